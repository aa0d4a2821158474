"""Recommendations for many sessions: sessions per second, one call each and all at once, readable and compiled.

``python -m rnnbook reproduce recommend-speed`` measures at ten thousand and at a million items. The floor is the time
of the matrix product of all states and all items alone, which no exact method avoids.
"""

import time

import numpy as np
import pandas as pd
import torch

from rnnbook import fast, results
from rnnbook.benchmarks.rows import median_row
from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig
from rnnbook.interactions import SessionData

SIZES = {10_000: (20_000, 400), 1_000_000: (2_000, 40)}  # items -> sessions at once, sessions one by one
K, RUNS = 20, 3
CONFIG = GRU4RecConfig(hidden_size=100)


def histories_of(n_items, n_sessions):
    """Sessions of 1, 2, … clicks, 4 in the mean."""
    rng = np.random.default_rng(0)
    session = np.repeat(np.arange(n_sessions), rng.geometric(0.25, n_sessions))
    items = rng.integers(0, n_items, len(session))
    frame = pd.DataFrame({"session": session, "item": items, "time": np.arange(len(session))})
    return SessionData.from_frame(frame, item_ids=np.arange(n_items), name="made-up sessions, 4 clicks in the mean")


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def product(model, n_sessions, block=1024):
    """All scores of all sessions, a block at a time, and nothing else."""
    states = torch.randn(block, model.output.shape[1])
    with torch.no_grad():
        for _ in range(0, n_sessions, block):
            for items in model.output.split(2048):
                states @ items.T


def measure(n_items, n_many, n_single):
    """Sessions per second in each way, RUNS times: a dict of lists."""
    torch.manual_seed(0)
    model = GRU4Rec(np.arange(n_items), CONFIG)
    data, compiled = histories_of(n_items, n_many), fast.Ranker(model)
    histories = [each.tolist() for each in np.split(data.items, data.offsets[1:-1])]
    for warm in (model, compiled):
        warm.recommend_many(histories[:10], K)
    ways = {"one by one": (n_single, lambda: [model.recommend(each, K) for each in histories[:n_single]]),
            "all at once, readable": (n_many, lambda: model.recommend_many(histories, K)),
            "all at once, compiled": (n_many, lambda: compiled.recommend_many(histories, K)),
            "the matrix product alone": (n_many, lambda: product(model, n_many))}
    found = {name: [] for name in ways}
    for _ in range(RUNS):  # in turns, so that a slow moment of the machine meets all of them
        for name, (n, work) in ways.items():
            found[name].append(n / seconds(work))
    return found


def main(experiment):
    asked = histories_of(*next((n_items, n_many) for n_items, (n_many, _) in SIZES.items()))
    result = results.new_result(experiment, results.describe(asked, asked.take([])), {
        "k": K, "hidden_size": CONFIG.hidden_size, "threads": torch.get_num_threads(), "sizes": list(SIZES)})
    for n_items, (n_many, n_single) in SIZES.items():
        result["rows"] += [median_row(f"{name}, {n_items:,} items", "sessions_per_second", values)
                           for name, values in measure(n_items, n_many, n_single).items()]
    results.write(result)
