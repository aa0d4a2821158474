"""What GRU, attention and linear recurrences cost: to serve a click, to train a step, and until they are good.

One thread of a CPU. Microseconds are medians; seconds of training are those of the processor, which other programs do
not slow. ``python -m rnnbook reproduce after-cost``
"""

import time
from dataclasses import asdict, replace

import torch

from rnnbook import after, gru4rec, metrics, results
from rnnbook.after import MODELS
from rnnbook.benchmarks.after import MOODS, NETWORKS, TASKS, config_of, samples
from rnnbook.benchmarks.rows import mean_row, median_row
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import GRU4RecConfig
from rnnbook.worlds import SessionWorld

LENGTHS, STEP_LENGTHS, REPEATS, SEEDS = (10, 100, 1_000, 4_000), (32, 128, 512), 9, range(1)
N, SHARE = 40_000, 0.5  # sessions of the world of moods, and the share of the gap that counts as good


def untrained(arm, most):
    world = SessionWorld()
    return after.AfterGRU(world.item_ids, replace(MODELS[arm], max_length=most), "cpu").eval()


def clock(n, action, *arguments):
    """Microseconds of ``n`` calls, each by itself."""
    times = []
    for _ in range(n):
        began = time.perf_counter()
        action(*arguments)
        times.append(1e6 * (time.perf_counter() - began))
    return times


def n_bytes(state):
    """Bytes of the tensors in a state, which is nested tuples and lists."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    return sum(map(n_bytes, state)) if isinstance(state, (tuple, list)) else 0


def serving(arm):
    """{length: (microseconds with the kept state, bytes of the state, microseconds without)} for one more click."""
    torch.set_num_threads(1)
    model, found = untrained(arm, max(LENGTHS) + 1), {}
    history, state = torch.randint(300, (1, max(LENGTHS) + 1)), None
    with torch.no_grad():
        for n in range(max(LENGTHS) + 1):
            if n in LENGTHS:
                found[n] = (clock(REPEATS, model.step, history[:, n], state), n_bytes(state),
                            clock(REPEATS, model.states, history[:, :n + 1]))
            state = model.step(history[:, n], state)[1]
    return found


def training_step(arm):
    """{length: milliseconds of forward and backward of 8,192 clicks}"""
    torch.set_num_threads(1)
    def step(model, items):
        model.states(items).sum().backward()

    found = {}
    for length in STEP_LENGTHS:
        items = torch.randint(300, (8_192 // length, length))
        found[length] = [t / 1e3 for t in clock(5, step, untrained(arm, length).train(), items)]
    return found


def until_good(job):
    """Processor seconds until the validation sessions show SHARE of the gap closed; None where that never comes."""
    arm, settings, seed = job
    data, valid, _ = samples("moods", N, seed)
    world, good = TASKS["moods"].world, []
    low, high = (metrics.evaluate_sessions(m, valid, n_boot=1).recall for m in (world.last_item(), world.bayes()))

    def look(point):
        if point.get("recall", 0.0) >= low + SHARE * (high - low):
            good.append(time.process_time() - began)

    fit, config = (gru4rec.fit, GRU4RecConfig(**settings)) if arm == "GRU4Rec" else (
        after.fit, config_of(arm, settings, "moods", 1))
    began = time.process_time()
    fit(data, replace(config, n_epochs=TASKS["moods"].epochs[N]), device="cpu", seed=seed, valid=valid,
        progress=False, callback=look)
    return good[0] if good else None


def main(experiment):
    chosen = {each["arm"]: each["config"] for each in results.load("after-worlds")["config"]["chosen"]
              if each["task"] == MOODS[0]}
    result = results.new_result(experiment, results.describe(*samples("moods", N, 0)[::2]), {
        "seeds": list(SEEDS), "threads": 1, "lengths": LENGTHS, "lengths of a step": STEP_LENGTHS, "sessions": N,
        "share of the gap": SHARE, "frame": {arm: asdict(config) for arm, config in MODELS.items()}, "chosen": chosen})
    units = Units(result)
    jobs = [(arm, chosen[arm], seed) for arm in NETWORKS for seed in SEEDS]
    for (arm, *_), seconds in zip(jobs, units.in_parallel(until_good, jobs)):
        if seconds is not None:  # one run each: the figure says which is cheap, not by how many per cent
            result["rows"].append(mean_row(arm, "seconds", [seconds]))
    for arm in MODELS:
        served, stepped = serving(arm), training_step(arm)
        for length, (with_state, size, anew) in served.items():
            result["rows"] += [median_row(f"{arm} · {length}", "microseconds", with_state),
                               mean_row(f"{arm} · {length}", "bytes", [size]),
                               median_row(f"{arm}, read anew · {length}", "microseconds", anew)]
        result["rows"] += [median_row(f"{arm} · {length}", "step_milliseconds", values)
                           for length, values in stepped.items()]
    units.write()
