"""What an RRN costs: by the number of ratings, and by how far the gradient goes back.

``python -m rnnbook reproduce rrn-scale`` and ``… rrn-descent``
"""

import multiprocessing
import resource
import time
from dataclasses import asdict, replace

import numpy as np
import torch

from rnnbook import results
from rnnbook.benchmarks.rows import difference_row, mean_row
from rnnbook.rrn import RRNConfig, fit
from rnnbook.worlds import RatingWorld

SIZES = (100_000, 1_000_000, 10_000_000)
RUNS = {100_000: 5, 1_000_000: 3, 10_000_000: 1}
EPOCHS = 2  # of which the last is what counts; the first also pays for what is set up once
GIB = 2**30


def world_of(n_ratings):
    """Users of a hundred ratings each, films of a thousand."""
    return RatingWorld(n_users=n_ratings // 100, n_items=n_ratings // 1000)


def alone(function, *args):
    """The answer of a function that is run in a process of its own, whose peak of memory is then its own."""
    with multiprocessing.get_context("spawn").Pool(1, torch.set_num_threads, (1,)) as pool:
        return pool.apply(function, args)


def peak():
    """Bytes of memory that this process has held at most."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def epoch_of(n_ratings, seed):
    """Seconds of an epoch, bytes at the peak and numbers stored, of a run with the package's settings."""
    train = world_of(n_ratings).sample(seed)
    clock = [time.process_time()]  # of one thread: what else the machine does takes no part in it
    model = fit(train, RRNConfig(n_epochs=EPOCHS), device="cpu", seed=seed, progress=False,
                callback=lambda _: clock.append(time.process_time()))
    parameters = sum(p.numel() for p in model.parameters())
    arrays = sum(a.size for steps in model.steps(train) for a in vars(steps).values() if isinstance(a, np.ndarray))
    return {"seconds": clock[-1] - clock[-2], "peak": peak(), "parameters": parameters, "arrays": arrays}


def scale(experiment):
    """Microseconds a rating and memory, from 100 thousand ratings to 10 million."""
    small = world_of(SIZES[0]).sample(0)
    result = results.new_result(experiment, results.describe(small, small.take(slice(0))), {
        "seeds": list(range(max(RUNS.values()))), "runs": {str(n): k for n, k in RUNS.items()}, "threads": 1,
        "epochs": EPOCHS, "world": asdict(world_of(SIZES[0])),
        "model": asdict(RRNConfig())})
    for n in SIZES:
        done = [alone(epoch_of, n, seed) for seed in range(RUNS[n])]
        for metric, values in {
                "microseconds_per_rating": [1e6 * d["seconds"] / n for d in done],
                "peak_gib": [d["peak"] / GIB for d in done],
                "parameters_per_rating": [d["parameters"] / n for d in done],
                "stored_numbers_per_rating": [d["arrays"] / n for d in done]}.items():
            result["rows"].append(mean_row(f"{n:,} ratings", metric, values))
    results.write(result)


# --- One side at a time against both at once -------------------------------------------------------------

DESCENT_WORLD = RatingWorld(n_users=400, n_items=100)
DESCENT_CONFIG = RRNConfig(hidden_size=32, embedding_size=16, dynamic_size=8, stationary_size=4, dropout=0.1,
                           penalty=1.0, user_step=86_400.0, learning_rate=4e-3, batch_size=1024, n_epochs=40)
DESCENT_SEEDS = range(5)


def descend(joint, seed):
    """Seconds of an epoch, memory that training took, least RMSE on the validation ratings, and when it was there."""
    train, valid, _ = DESCENT_WORLD.sample(seed).split_by_time()
    before, clock = peak(), [time.process_time()]
    model = fit(train, replace(DESCENT_CONFIG, joint=joint), device="cpu", seed=seed, valid=valid, patience=8,
                progress=False, callback=lambda _: clock.append(time.process_time()))
    errors = [point["rmse"] for point in model.history]
    best = int(np.argmin(errors)) + 1
    return {"epoch_seconds": float(np.median(np.diff(clock))), "training_mib": (peak() - before) / 2**20,
            "rmse": min(errors), "epochs": best, "seconds": clock[best] - clock[0]}


def descent(experiment):
    """Time, memory and error of subspace descent and of back-propagation through both sides at once."""
    train, valid, _ = DESCENT_WORLD.sample(0).split_by_time()
    result = results.new_result(experiment, results.describe(train, valid), {
        "seeds": list(DESCENT_SEEDS), "threads": 1, "world": asdict(DESCENT_WORLD), "model": asdict(DESCENT_CONFIG)})
    # By turns, so that a slow minute of the machine falls on both.
    done = [{joint: alone(descend, joint, seed) for joint in (False, True)} for seed in DESCENT_SEEDS]
    names = {False: "one side at a time", True: "both sides at once"}
    for joint, name in names.items():
        for metric in done[0][joint]:
            result["rows"].append(mean_row(name, metric, [d[joint][metric] for d in done]))
    for metric in ("rmse", "epochs", "epoch_seconds", "seconds"):
        result["paired"].append(difference_row(names[True], names[False], metric,
                                               [d[True][metric] - d[False][metric] for d in done]))
    results.write(result)


def main(experiment):
    (scale if experiment == "rrn-scale" else descent)(experiment)
