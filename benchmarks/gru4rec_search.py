"""Which settings each loss gets: a random search on a validation day split off the training data.

Every loss is given the same number of draws from the same space, after one common starting point; the best of each
is then tried with more negatives. The test set is never read here. ``python -m rnnbook reproduce gru4rec-search``
"""

import random
from dataclasses import asdict, replace

from rnnbook import data, results
from rnnbook.benchmarks.rows import mean_row
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import LOSSES, GRU4RecConfig, fit

DRAWS = 4
N_SAMPLE, MORE_SAMPLES = 512, 2048
MAX_EPOCHS = 10
SPACE = {
    "batch_size": [64, 128],
    "learning_rate": [0.02, 0.05, 0.1, 0.2],
    "momentum": [0.0, 0.2],
    "hidden_dropout": [0.0, 0.2, 0.4, 0.5],
    "embedding_dropout": [0.0, 0.1, 0.25],
    "n_sample": [N_SAMPLE],
    "sample_alpha": [0.25, 0.5, 0.75],
}
ACTIVATIONS = {"cross-entropy": ["linear"], "pointwise": ["linear"], "bpr": ["linear", "tanh"],
               "top1": ["linear", "tanh"], "bpr-max": ["linear", "elu"], "top1-max": ["linear", "tanh"]}


def draws(loss):
    """The settings tried for a loss; the same list every time."""
    common = {"n_epochs": MAX_EPOCHS, "loss": loss}
    yield GRU4RecConfig(**common, batch_size=64, learning_rate=0.1, momentum=0.0, n_sample=N_SAMPLE)
    rng = random.Random(f"search {loss}")
    for _ in range(DRAWS - 1):
        drawn = {name: rng.choice(values) for name, values in SPACE.items()}
        yield GRU4RecConfig(**common, **drawn, final_activation=rng.choice(ACTIVATIONS[loss]))


def try_one(config):
    """Train with early stopping on the validation day; the best epoch's scores, or the reason there are none."""
    train, valid = data.load_sessions("yoochoose-100k")[0].split_by_time(data.DAY)
    try:
        history = fit(train, config, device="cpu", seed=0, valid=valid, patience=2, progress=False).history
    except FloatingPointError as error:
        return {"config": asdict(config), "failed": str(error)}
    best = max(history, key=lambda point: point["recall"])
    return {"config": asdict(config) | {"n_epochs": best["epoch"]}, "recall@20": best["recall"], "mrr@20": best["mrr"]}


def best_of(trials, loss=None):
    """The trial (of one loss) with the highest sum of the two scores that the book reports; a failed one never wins."""
    return max((t for t in trials if loss in (None, t["config"].get("loss")) and "failed" not in t),
               key=lambda t: t["recall@20"] + t["mrr@20"])


def main(experiment):
    train, _ = data.load_sessions("yoochoose-100k")
    fitted, valid = train.split_by_time(data.DAY)
    result = results.new_result(experiment, results.describe(fitted, valid), {
        "draws per loss": DRAWS, "space": SPACE, "more samples": MORE_SAMPLES, "final_activation": ACTIVATIONS,
        "chosen by": "recall@20 + mrr@20"})
    units = Units(result)
    trials = units.in_parallel(try_one, [config for loss in LOSSES for config in draws(loss)])
    best = [GRU4RecConfig(**best_of(trials, loss)["config"]) for loss in LOSSES]
    trials += units.in_parallel(try_one, [replace(config, n_sample=MORE_SAMPLES, n_epochs=MAX_EPOCHS)
                                          for config in best])
    for loss in LOSSES:
        best = best_of(trials, loss)
        for metric in ("recall@20", "mrr@20"):
            result["rows"].append(mean_row(loss, metric, [best[metric]]) | {"config": best["config"]})
    result["trials"] = trials
    units.write()
