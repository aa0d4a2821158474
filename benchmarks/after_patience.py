"""The click 20 and 80 steps back, once more: the settings of after-worlds, and no training that stops early.

There, training stopped after two epochs without a better Recall@1 on the validation sessions, and some networks found
nothing. Is it the network that cannot, or the patience? ``python -m rnnbook reproduce after-patience``
"""

from rnnbook import after, metrics, results
from rnnbook.after import MODELS
from rnnbook.benchmarks.after import FIVE, SEEDS, TASKS, TiesBroken, config_of, samples
from rnnbook.benchmarks.rows import paired_row, score_row
from rnnbook.benchmarks.units import Units

RUNS = {"20 back": (2_000, 20), "80 back": (1_000, 10)}  # sessions, as there, and epochs


def train_one(job):
    """The SessionScores after the last epoch, and the loss of each."""
    task, arm, settings, seed = job
    n, n_epochs = RUNS[task]
    data, _, test = samples(task, n, seed)
    model = after.fit(data, config_of(arm, settings, task, n_epochs), device="cpu", seed=seed, progress=False)
    return metrics.evaluate_sessions(model, test, k=1), [point["loss"] for point in model.history]


def main(experiment):
    chosen = {each["arm"]: each["config"] for each in results.load("after-worlds")["config"]["chosen"]
              if each["task"] == FIVE[0]}
    train, _, test = samples("80 back", RUNS["80 back"][0], 0)
    result = results.new_result(experiment, results.describe(train, test), {
        "seeds": list(SEEDS), "K": 1, "chosen": {arm: chosen[arm] for arm in MODELS},
        "tasks": {task: {"world": repr(TASKS[task].world), "sessions": n, "epochs": n_epochs}
                  for task, (n, n_epochs) in RUNS.items()}})
    units, result["losses"] = Units(result), {}
    jobs = [(task, arm, chosen[arm], seed) for task in RUNS for arm in MODELS for seed in SEEDS]
    done = list(zip(jobs, units.in_parallel(train_one, jobs)))
    for task in RUNS:
        runs = {arm: [found for (*at, _, _), found in done if at == [task, arm]] for arm in MODELS}
        scores = {arm: [found for found, _ in of_arm] for arm, of_arm in runs.items()}
        optimum = TiesBroken(TASKS[task].world.bayes())
        scores["Bayes optimum"] = [metrics.evaluate_sessions(optimum, samples(task, RUNS[task][0], 0)[2], k=1)]
        for arm, found in scores.items():
            result["rows"].append(score_row(f"{task} · {arm}", "recall@20", found) | {"metric": "recall@1"})
        result["paired"] += [paired_row(f"{task} · {arm}", f"{task} · GRU", "recall@20", scores[arm], scores["GRU"])
                             | {"metric": "recall@1"} for arm in MODELS if arm != "GRU"]
        result["losses"][task] = {arm: [losses for _, losses in of_arm] for arm, of_arm in runs.items()}
    units.write()
