"""What each fault of the bug zoo costs, on the world whose optimum is known and on YooChoose-100k.

``python -m rnnbook reproduce bugs-world`` and ``… bugs-yoochoose-100k``
"""

from dataclasses import asdict, replace
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from rnnbook import baselines, data, metrics, results
from rnnbook.benchmarks.rows import difference_row, mean_row
from rnnbook.benchmarks.units import Units
from rnnbook.bugs import BUGS, planted
from rnnbook.gru4rec import GRU4RecConfig, fit
from rnnbook.worlds import SessionWorld

SEEDS, CLICK_SEEDS = range(5), range(4)
METRICS = {"recall@20": "recall", "mrr@20": "mrr"}
LANES = 50  # of the evaluation, as in the re-implementations
# Which right model a fault is compared with; all others with the first.
MODELS = {"GRU4Rec": {}, "GRU4Rec, BPR": {"loss": "bpr"}, "GRU4Rec, BPR-max": {"loss": "bpr-max"},
          "GRU4Rec, separate tables": {"input": "separate"}}
RIGHT = {"sigma-for-log-sigma": "GRU4Rec, BPR", "log-of-batch-mean": "GRU4Rec, BPR-max",
         "target-among-negatives": "GRU4Rec, BPR-max", "tied-tables": "GRU4Rec, separate tables"}
# Sizes and rates at which the right model trains well; nothing was tuned under a fault.
WORLD = GRU4RecConfig(hidden_size=64, embedding_size=64, batch_size=128, n_sample=128, hidden_dropout=0.1, n_epochs=2)
YOOCHOOSE = GRU4RecConfig(n_sample=512, n_epochs=4)

# Hidasi and Czapp's own measurements on all of YooChoose, from the project page of their paper
PROJECT = "Hidasi and Czapp 2023, project page, YooChoose"
PUBLISHED = {
    "official code, GRU4REC-pytorch's features, BPR-max": (0.4655, 0.1760),
    "GRU4REC-pytorch as it was, BPR-max": (0.0087, 0.0011),
    "GRU4REC-pytorch, evaluation mended, BPR-max": (0.1066, 0.0118),
    "GRU4REC-pytorch, all but the core mended, BPR-max": (0.1923, 0.0391),
    "official code, GRU4REC-pytorch's features, cross-entropy": (0.4583, 0.1523),
    "GRU4REC-pytorch as it was, cross-entropy": (0.1169, 0.1006),
    "GRU4REC-pytorch, evaluation mended, cross-entropy": (0.1212, 0.1037),
    "GRU4REC-pytorch, all but the core mended, cross-entropy": (0.4271, 0.1227)}
PAPER = [{"source": PROJECT, "model": model, "metric": metric, "value": value}
         for model, values in PUBLISHED.items() for metric, value in zip(METRICS, values)]


def evaluate(model, test):
    """(Recall@20, MRR@20) as the package measures them now, right or with a fault in it."""
    scores = metrics.evaluate_sessions(model, test, k=20, batch_size=LANES, n_boot=2)
    return [getattr(scores, name) for name in METRICS.values()]


def run(train, test, base, seed, bar):
    """All models and faults with one seed: {model: scores [2]} and {model: loss of each epoch}."""
    def trained(changes):
        return fit(train, replace(base, **changes), device="cpu", seed=seed, progress=False)

    models = {name: trained(changes) for name, changes in MODELS.items()}
    knn = baselines.ItemKNN().fit(train)  # most of its scores are 0, so it has ties
    scores = {name: evaluate(model, test) for name, model in models.items()} | {"Item-KNN": evaluate(knn, test)}
    losses = {name: [point["loss"] for point in model.history] for name, model in models.items()}
    for name, bug in BUGS.items():
        model = models[RIGHT.get(name, "GRU4Rec")]
        with planted(name):
            if bug.acts != "evaluation":
                model = trained(MODELS[RIGHT.get(name, "GRU4Rec")])
                losses[name] = [point["loss"] for point in model.history]
            scores[f"{name}, as reported"] = evaluate(model, test)
            if name == "ties-for-the-model":
                scores["Item-KNN, ties-for-the-model, as reported"] = evaluate(knn, test)
        if bug.acts != "evaluation":
            scores[name] = evaluate(model, test)  # trained with the fault, and now served and tested by right code
        bar.update()
    return scores, losses


def fill(result, runs):
    """Rows of all models, and the difference of every fault from its right model, seed by seed."""
    scores = {name: np.array([scores[name] for scores, _ in runs]) for name in runs[0][0]}  # [n_seeds, 2]
    for name, values in scores.items():
        result["rows"] += [mean_row(name, metric, column) for metric, column in zip(METRICS, values.T)]
    for name, values in scores.items():
        bug = name.removesuffix(", as reported").removeprefix("Item-KNN, ")
        if bug in BUGS:
            right = "Item-KNN" if name.startswith("Item-KNN") else RIGHT.get(bug, "GRU4Rec")
            result["paired"] += [difference_row(name, right, metric, differences)
                                 for metric, differences in zip(METRICS, (values - scores[right]).T)]
    result["losses"] = {name: [losses[name] for _, losses in runs] for name in runs[0][1]}


def world(experiment):
    """Every seed has training and test sessions of its own, so the intervals hold all the chance there is."""
    kind = SessionWorld()
    samples = [(kind.sample(20_000, seed=100 + seed), kind.sample(2000, seed=200 + seed)) for seed in SEEDS]
    result = results.new_result(experiment, results.describe(*samples[0]), {
        "seeds": list(SEEDS), "world": asdict(kind), "train_sessions": 20_000, "test_sessions": 2000,
        "lanes": LANES, "gru4rec": asdict(WORLD), "models": MODELS,
        "intervals": "t over seeds, each with its own data"})
    units = Units(result)
    with tqdm(total=len(SEEDS) * len(BUGS)) as bar:
        runs = [units.remember(seed, partial(run, train, test, WORLD, seed, bar))
                for seed, (train, test) in zip(SEEDS, samples)]
    for (scores, _), (_, test) in zip(runs, samples):
        scores |= {"Last-item ceiling": evaluate(kind.last_item(), test), "Bayes optimum": evaluate(kind.bayes(), test)}
    fill(result, runs)
    units.write()


def yoochoose(experiment):
    """All seeds have the same sessions: the intervals hold the chance of training, not that of the test day."""
    train, test = data.load_sessions("yoochoose-100k")
    result = results.new_result(experiment, results.describe(train, test), {
        "seeds": list(CLICK_SEEDS), "lanes": LANES, "gru4rec": asdict(YOOCHOOSE), "models": MODELS,
        "intervals": "t over seeds, all on the same sessions"})
    units = Units(result)
    with tqdm(total=len(CLICK_SEEDS) * len(BUGS)) as bar:
        runs = [units.remember(seed, partial(run, train, test, YOOCHOOSE, seed, bar)) for seed in CLICK_SEEDS]
    fill(result, runs)
    result["paper"] = PAPER
    units.write()


def main(experiment):
    torch.set_num_threads(1)
    {"bugs-world": world, "bugs-yoochoose-100k": yoochoose}[experiment](experiment)
