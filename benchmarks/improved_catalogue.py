"""The output embedding: its cost and its recall by the size of the catalogue.

``python -m rnnbook reproduce improved-catalogue``
"""

import time
from dataclasses import asdict, replace
from functools import partial

import numpy as np
from torch.nn.functional import normalize as unit

from rnnbook import metrics, results
from rnnbook.benchmarks.rows import mean_row, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import GRU4RecConfig, fit as fit_gru4rec
from rnnbook.improved import (ImprovedConfig, Padded, approximate_index, batch_loss, fit, nearest, new_model)
from rnnbook.training import Adam
from rnnbook.worlds import SessionWorld

CATALOGUES = (1_000, 10_000, 100_000, 1_000_000)
CATALOGUE_TRAIN, CATALOGUE_TEST = 30_000, 300
TABLE_CONFIG = GRU4RecConfig(hidden_size=64, batch_size=256, n_sample=2048, hidden_dropout=0.1, n_epochs=2)
CATALOGUE_CONFIG = ImprovedConfig(embedding_size=64, hidden_size=64, embedding_dropout=0.0, output_dropout=0.1,
                                  click_dropout=0.0, batch_size=512, learning_rate=3e-3, n_epochs=2)


def median_seconds(action, budget=5.0):
    """Of at least three calls, after one that does not count."""
    action()
    times = []
    while len(times) < 3 or (sum(times) < budget and len(times) < 50):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def training_step(model, batch):
    """A function that makes one step on the batch."""
    optimizer = Adam({name: p for name, p in model.named_parameters() if p.requires_grad}, lr=1e-3)

    def step():
        optimizer.zero_grad()
        batch_loss(model.train(), batch).backward()
        optimizer.step()

    return step


def of_size(m):
    """The rows of one catalogue."""
    world = SessionWorld(n_items=m, spread=2.0)
    train, test = world.sample(CATALOGUE_TRAIN, 100), world.sample(CATALOGUE_TEST, 2)
    table = fit_gru4rec(train, TABLE_CONFIG, device="cpu", seed=0, progress=False)
    vectors = fit(train, replace(CATALOGUE_CONFIG, output="embedding"), device="cpu", seed=0, progress=False,
                  table=table.output)
    models, found_rows = {"sampled softmax": table, "output embedding": vectors, "Bayes optimum": world.bayes()}, []
    for name, model in models.items():
        found_rows += score_rows(f"m={m} · {name}", [metrics.evaluate_sessions(model, test, batch_size=64)])

    items, index = vectors.embedding.weight, approximate_index(vectors.embedding.weight)
    batch, _ = Padded(test, "cpu").batch(np.arange(80))  # about 500 pairs
    queries = unit(vectors.output(vectors.hidden(batch)).detach())
    one = queries[:1]
    softmax = new_model(train, replace(CATALOGUE_CONFIG, output="shared"), device="cpu")
    for name, metric, action in (
            ("full softmax", "step_seconds", training_step(softmax, batch)),
            ("output embedding", "step_seconds", training_step(vectors, batch)),
            ("exact search", "answer_seconds", partial(nearest, one, items, 20)),
            ("approximate search", "answer_seconds", partial(index.search, one.numpy(), 20))):
        found_rows.append(mean_row(f"m={m} · {name}", metric, [median_seconds(action)]))
    found, exact = index.search(queries.numpy(), 20)[1].tolist(), nearest(queries, items, 20)[0].tolist()
    shared = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(found, exact)])
    return [*found_rows, mean_row(f"m={m} · approximate search", "neighbours_found", [shared])]


def main(experiment):
    """A training step and an answer, with m scores and with a vector; the table is that of a sampled softmax."""
    small = SessionWorld(n_items=CATALOGUES[0], spread=2.0)
    result = results.new_result(
        experiment, results.describe(small.sample(CATALOGUE_TRAIN, 100), small.sample(CATALOGUE_TEST, 2)),
        {"catalogues": CATALOGUES, "train_sessions": CATALOGUE_TRAIN, "world": asdict(small),
         "table": asdict(TABLE_CONFIG), "model": asdict(CATALOGUE_CONFIG)})
    units = Units(result)
    for m in CATALOGUES:
        result["rows"] += units.remember(m, partial(of_size, m))
    units.write()
