"""GRU4Rec at the size of RSC15, and against the size of the catalogue.

``python -m rnnbook reproduce gru4rec-full`` runs the one command that takes a raw log to scores, on a made-up log in
RSC15's format and of its size (the published one may not be passed on). ``… gru4rec-catalogue`` measures a step and
the memory from ten thousand items to ten million.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from rnnbook import gru4rec, results
from rnnbook.benchmarks.improved import mean_row
from rnnbook.benchmarks.rrn_scale import GIB, alone, peak
from rnnbook.benchmarks.rsc15_preprocess import DAYS, N_ITEMS, write_clicks
from rnnbook.data import SessionData
from rnnbook.gru4rec import GRU4RecConfig, fit

# One epoch with the rates of the search and larger batches, for which 33 million clicks are enough
FULL = GRU4RecConfig(batch_size=512, n_epochs=1)
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
CATALOGUE = GRU4RecConfig(hidden_size=32, batch_size=256, n_epochs=1, hidden_dropout=0.0)
N_SESSIONS = 30_000


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
    counts = [int(line.split(" events")[0].split()[-1].replace(",", "")) for line in (trained, tested)]
    result["data"] = {"name": "made-up log of RSC15's size", "sha256": info["identity"]["train"],
                      "n_train": counts[0], "n_test": counts[1]}
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


def step_of(n_items, fast):
    """Milliseconds of a step, and bytes at the peak."""
    train = sessions_of(n_items)
    if fast:  # compiled before the clock runs
        fit(train.take(range(600)), CATALOGUE, device="cpu", progress=False, fast=True)
    clock = []
    fit(train, CATALOGUE, device="cpu", progress=False, fast=fast,
        callback=lambda point: clock.append((point["epoch"], time.perf_counter())))
    (first, began), (last, ended) = clock[0], clock[-2]  # the last report comes after the epoch, with its costs
    n_steps = gru4rec.session_parallel(train.offsets, CATALOGUE.batch_size).n_steps
    return {"step_milliseconds": 1000 * (ended - began) / (n_steps * (last - first)), "peak": peak()}


def catalogue(experiment):
    """What a step and the memory cost by the number of items: the rows of a step are what is touched."""
    train = sessions_of(SIZES[0])
    result = results.new_result(experiment, results.describe(train, train.take([])),
                                {"model": asdict(CATALOGUE), "threads": 1, "seeds": [0]})
    d = CATALOGUE.hidden_size
    for n_items in SIZES:
        for fast in (False, True):
            found = [alone(step_of, n_items, fast) for _ in range(3)]
            name = f"{n_items:,} items, {'compiled' if fast else 'readable'}"
            result["rows"].append(mean_row(name, "step_milliseconds", [run["step_milliseconds"] for run in found]))
            result["rows"].append(mean_row(name, "peak_gib", [run["peak"] / GIB for run in found]))
        # a row of the table and its bias, and as much again for Adagrad
        result["rows"].append(mean_row(f"{n_items:,} items", "table_gib", [2 * 4 * (d + 1) * n_items / GIB]))
    results.write(result)


def main(experiment):
    {"gru4rec-full": full, "gru4rec-catalogue": catalogue}[experiment](experiment)
