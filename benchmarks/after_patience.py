"""The click 80 steps back, once more: the settings of after-worlds, and no training that stops for want of progress.

There, training stopped after two epochs without a better Recall@1 on the validation sessions, and found nothing. Is it
the network that cannot, or the patience? ``python -m rnnbook reproduce after-patience``
"""

from rnnbook import after, metrics, results
from rnnbook.after import MODELS
from rnnbook.benchmarks.after import FIVE, SEEDS, TASKS, TiesBroken, config_of, samples
from rnnbook.benchmarks.rows import paired_row, score_row
from rnnbook.benchmarks.units import Units

TASK, N, N_EPOCHS = "80 back", 1_000, 10


def train_one(job):
    """The SessionScores after the last epoch, and the loss of each."""
    arm, settings, seed = job
    data, _, test = samples(TASK, N, seed)
    model = after.fit(data, config_of(arm, settings, TASK, N_EPOCHS), device="cpu", seed=seed, progress=False)
    return metrics.evaluate_sessions(model, test, k=1), [point["loss"] for point in model.history]


def main(experiment):
    chosen = {each["arm"]: each["config"] for each in results.load("after-worlds")["config"]["chosen"]
              if each["task"] == FIVE[0]}
    world, (train, _, test) = TASKS[TASK].world, samples(TASK, N, 0)
    result = results.new_result(experiment, results.describe(train, test), {
        "seeds": list(SEEDS), "world": repr(world), "epochs": N_EPOCHS, "K": 1,
        "chosen": {arm: chosen[arm] for arm in MODELS}})
    units = Units(result)
    jobs = [(arm, chosen[arm], seed) for arm in MODELS for seed in SEEDS]
    done = list(zip(jobs, units.in_parallel(train_one, jobs)))
    scores = {arm: [found for (of, *_), (found, _) in done if of == arm] for arm in MODELS}
    scores["Bayes optimum"] = [metrics.evaluate_sessions(TiesBroken(world.bayes()), test, k=1)]
    for arm, runs in scores.items():
        result["rows"].append(score_row(arm, "recall@20", runs) | {"metric": "recall@1"})
    result["paired"] = [paired_row(arm, "GRU", "recall@20", scores[arm], scores["GRU"]) | {"metric": "recall@1"}
                        for arm in MODELS if arm != "GRU"]
    result["losses"] = {arm: [losses for (of, *_), (_, losses) in done if of == arm] for arm in MODELS}
    units.write()
