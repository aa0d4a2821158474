"""GRU4Rec at the size of RSC15, against the size of the catalogue, and with two processes.

``python -m rnnbook reproduce gru4rec-full`` runs the one command that takes a raw log to scores, on a made-up log in
RSC15's format and of its size (the published one may not be passed on). ``… gru4rec-catalogue`` measures a step and
the memory from ten thousand items to ten million, and ``… gru4rec-ranks`` what two processes gain and what their sums
cost, a thread each on one machine.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from torch.distributed.launcher import LaunchConfig, elastic_launch

from rnnbook import distributed, fast, gru4rec, results
from rnnbook.benchmarks.rows import mean_row
from rnnbook.benchmarks.rrn_scale import GIB, alone, peak
from rnnbook.benchmarks.rsc15_preprocess import DAYS, N_ITEMS, write_clicks
from rnnbook.interactions import SessionData
from rnnbook.distributed import Ranks
from rnnbook.gru4rec import GRU4RecConfig

# One epoch with the rates of the search and larger batches, for which 33 million clicks are enough
FULL = GRU4RecConfig(batch_size=512, n_epochs=1)
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
CATALOGUE = GRU4RecConfig(hidden_size=32, batch_size=256, n_epochs=1, hidden_dropout=0.0)
N_SESSIONS = 30_000
RANKS = GRU4RecConfig(n_epochs=1)


def full(experiment):
    """Seconds of each stage as the command announces them, the peak of memory, and the scores."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "rsc15" / "yoochoose-clicks.dat"
        log.parent.mkdir()
        n_events = write_clicks(log)
        settings = [f"{name}={getattr(FULL, name)}" for name in ("batch_size", "n_epochs")]
        words = [sys.executable, "-m", "rnnbook", "train", "rsc15", str(Path(folder) / "run"), "--fast",
                 "--set", *settings]
        result = results.new_result(experiment, {}, {
            "command": "python -m rnnbook train rsc15 run --fast --set " + " ".join(settings),
            "n_events": n_events, "n_items": N_ITEMS, "days": DAYS, "model": asdict(FULL), "bytes": log.stat().st_size})
        stages = []
        with subprocess.Popen(words, env=os.environ | {"RNNBOOK_DATA": folder, "PYTHONUNBUFFERED": "1"},
                              stdout=subprocess.PIPE, text=True) as run:
            held = Held(run.pid)
            for line in run.stdout:
                stages.append((time.perf_counter(), line.strip()))
        ended = time.perf_counter()
        if run.returncode:
            sys.exit(f"the command ended with {run.returncode}")
        scores = json.loads((Path(folder) / "run" / "scores.json").read_text())
        info = json.loads((Path(folder) / "run" / "checkpoint" / "info.json").read_text())
    begins = {word: next(when for when, line in stages if line.startswith(word))
              for word in ("Reading", "Training", "Scoring")}
    ends = [*list(begins.values())[1:], ended]
    trained, tested = (line for _, line in stages if line.startswith(("Training on", "Scoring on")))
    (n_train, events), (n_test, test_events) = (
        [int(n.replace(",", "")) for n in re.search("([0-9,]+) sessions, ([0-9,]+) events", line).groups()]
        for line in (trained, tested))
    result["data"] = {"name": "made-up log of RSC15's size", "sha256": info["identity"]["train"],
                      "n_train": events, "n_test": test_events}
    result["config"]["n_predictions"] = [events - n_train, test_events - n_test]  # of an epoch, of the test
    for stage, begin, end in zip(("reading", "training", "scoring"), begins.values(), ends):
        result["rows"].append(mean_row(stage, "seconds", [end - begin]))
    result["rows"].append(mean_row("the whole command", "peak_gib", [held.most / GIB]))
    for metric in ("recall", "mrr"):
        low, high = scores[metric]["interval"]
        result["rows"].append({"model": "GRU4Rec", "metric": f"{metric}@20", "mean": scores[metric]["mean"],
                               "low": low, "high": high, "values": [scores[metric]["mean"]]})
    results.write(result)


class Held:
    """The most bytes that a process has held, as Linux tells it while the process is alive."""

    def __init__(self, pid):
        self.path, self.most = Path(f"/proc/{pid}/status"), 0
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while True:
            try:
                lines = self.path.read_text().splitlines()
                self.most = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
            except (OSError, StopIteration):  # it has ended
                return
            time.sleep(0.2)


def sessions_of(n_items):
    rng = np.random.default_rng(0)
    items = np.minimum((n_items ** rng.random(N_SESSIONS * 4)).astype(np.int64), n_items - 1)  # 1/rank popularity
    frame = pd.DataFrame({"session": np.repeat(np.arange(N_SESSIONS), 4), "item": items,
                          "time": np.arange(len(items))})
    return SessionData.from_frame(frame, item_ids=np.arange(n_items), name="made-up sessions, popularity 1/rank")


def step_of(n_items, compiled):
    """Milliseconds of a step and of a recommendation to one visitor, and bytes at the peak."""
    train, fit = sessions_of(n_items), fast.fit if compiled else gru4rec.fit
    if compiled:  # before the clock runs
        fit(train.take(range(600)), CATALOGUE, device="cpu", progress=False)
    clock = []
    model = fit(train, CATALOGUE, device="cpu", progress=False, callback=clocked(clock))
    found = {"step": milliseconds(train, CATALOGUE, clock), "peak": peak()}
    model.recommend(train.item_ids[:1])
    began = time.perf_counter()
    for item in range(1, 11):
        model.recommend(train.item_ids[item:item + 1], k=20)
    return found | {"recommend": 100 * (time.perf_counter() - began)}


def clocked(clock):
    """A callback that notes when which part of the epoch was done."""
    return lambda point: clock.append((point["epoch"], time.perf_counter()))


def milliseconds(train, config, clock):
    """Of one step, from the first report of an epoch to its last but one; the last comes after the epoch's end."""
    (first, began), (last, ended) = clock[0], clock[-2]
    n_steps = gru4rec.session_parallel(train.offsets, config.batch_size).n_steps
    return 1000 * (ended - began) / (n_steps * (last - first))


def catalogue(experiment):
    """What a step and the memory cost by the number of items: the rows of a step are what is touched."""
    train = sessions_of(SIZES[0])
    result = results.new_result(experiment, results.describe(train, train.take([])),
                                {"model": asdict(CATALOGUE), "threads": 1, "seeds": [0]})
    for n_items in SIZES:
        for compiled in (False, True):
            found = [alone(step_of, n_items, compiled) for _ in range(3)]
            name = f"{n_items:,} items, {'compiled' if compiled else 'readable'}"
            result["rows"].append(mean_row(name, "step_milliseconds", [run["step"] for run in found]))
            result["rows"].append(mean_row(name, "peak_gib", [run["peak"] / GIB for run in found]))
        result["rows"].append(mean_row(f"{n_items:,} items", "recommend_milliseconds",
                                       [run["recommend"] for run in found]))
    results.write(result)


def one_rank(n_lanes, together, n_threads, compiled):
    """Milliseconds of a step and of its sum, as rank 0 sees them, and megabytes of the sum."""
    if not together:  # each trains alone, beside the others
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            del os.environ[name]
    torch.set_num_threads(n_threads)
    train, config, clock = sessions_of(SIZES[0]), replace(RANKS, batch_size=n_lanes), []
    epoch = fast.train_epoch_of_ranks if compiled else distributed.train_epoch
    if compiled:  # before the clock runs
        distributed.fit(train.take(range(4 * n_lanes)), config, device="cpu", progress=False, epoch=epoch)
    sent, add = [], Ranks.sum
    with patch.object(Ranks, "sum", lambda ranks, tensors: sent.append(sum(t.nbytes for t in tensors)) or add(
            ranks, tensors)):
        distributed.fit(train, config, device="cpu", progress=False, callback=clocked(clock), epoch=epoch)
    ranks, size = Ranks("cpu"), float(np.median(sent))
    sums = []
    for _ in range(200):
        numbers = torch.zeros(int(size / 4))
        began = time.perf_counter()
        ranks.sum([numbers])
        sums.append(1000 * (time.perf_counter() - began))
    return ranks.rank == 0 and {"step_milliseconds": milliseconds(train, config, clock),
                                "sum_milliseconds": float(np.median(sums)), "sum_megabytes": size / 1e6}


def launched(n, *setting):
    config = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=n, run_id="ranks",
                          rdzv_backend="c10d", rdzv_endpoint="localhost:0")
    return elastic_launch(config, one_rank)(*setting)[0]


def measure_ranks(experiment):
    """What two processes make of a batch, what one makes of it and of half of it, two that do not talk, and two threads
    of one."""
    train = sessions_of(SIZES[0])
    result = results.new_result(experiment, results.describe(train, train.take([])),
                                {"model": asdict(RANKS), "threads of a process, if not said": 1, "repeats": 5})
    settings = {"1 process, 512 lanes": (1, 512, False, 1), "1 process, 256 lanes": (1, 256, False, 1),
                "1 process of 2 threads, 512 lanes": (1, 512, False, 2),
                "2 processes, 512 lanes": (2, 512, True, 1), "2 processes apart, 256 lanes each": (2, 256, False, 1)}
    settings = {name + code: (*setting, bool(code))
                for code in ("", ", compiled") for name, setting in settings.items()}
    found: dict = {name: [] for name in settings}
    for _ in range(5):
        for name, setting in settings.items():
            found[name].append(launched(*setting))
    for name, runs in found.items():
        for metric in runs[0]:
            result["rows"].append(mean_row(name, metric, [run[metric] for run in runs]))
    results.write(result)


def main(experiment):
    {"gru4rec-full": full, "gru4rec-catalogue": catalogue, "gru4rec-ranks": measure_ranks}[experiment](experiment)
