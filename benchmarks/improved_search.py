"""Which settings the improved RNN gets: a random search on a validation day split off the training data.

The same draws for the paper's softmax and for a table shared by input and output. The test set is never read
here. ``python -m rnnbook reproduce improved-search``
"""

import random
from dataclasses import asdict

from rnnbook import data, results
from rnnbook.benchmarks.gru4rec_search import best_of
from rnnbook.benchmarks.rows import mean_row
from rnnbook.benchmarks.units import Units
from rnnbook.improved import ImprovedConfig, fit

DRAWS, MAX_EPOCHS = 20, 20
OUTPUTS = ("softmax", "shared")
SPACE = {
    "batch_size": [64, 128, 256],
    "learning_rate": [1e-3, 2e-3, 4e-3, 8e-3],
    "embedding_size": [50, 100],
    "embedding_dropout": [0.0, 0.25],
    "output_dropout": [0.25, 0.5],
    "click_dropout": [0.0, 0.1, 0.25],
}


def draws():
    """The settings tried for each output; the same list every time."""
    rng = random.Random("improved search")
    for _ in range(DRAWS):
        yield ImprovedConfig(n_epochs=MAX_EPOCHS, **{name: rng.choice(values) for name, values in SPACE.items()})


def try_one(config):
    """Train with early stopping on the validation day; the best epoch's scores."""
    train, valid = data.load_sessions("yoochoose-100k")[0].split_by_time(data.DAY)
    history = fit(train, config, device="cpu", seed=0, valid=valid, patience=2, progress=False).history
    best = max(history, key=lambda point: point["recall"])
    return {"config": asdict(config) | {"n_epochs": best["epoch"]}, "recall@20": best["recall"], "mrr@20": best["mrr"]}


def main(experiment):
    train, _ = data.load_sessions("yoochoose-100k")
    fitted, valid = train.split_by_time(data.DAY)
    result = results.new_result(experiment, results.describe(fitted, valid), {
        "draws per output": DRAWS, "space": SPACE, "chosen by": "recall@20 + mrr@20"})
    units = Units(result)
    trials = units.in_parallel(try_one, [ImprovedConfig(**asdict(config) | {"output": output})
                                         for output in OUTPUTS for config in draws()])
    for output in OUTPUTS:
        best = best_of([t for t in trials if t["config"]["output"] == output])
        for metric in ("recall@20", "mrr@20"):
            result["rows"].append(mean_row(output, metric, [best[metric]]) | {"config": best["config"]})
    result["trials"] = trials
    units.write()
