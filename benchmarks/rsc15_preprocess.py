"""Memory and time of loading RSC15 at its full size: ``python -m rnnbook reproduce rsc15-preprocess``.

The published file may not be passed on, so one of the same size and format is made up: 33 million clicks,
Zipf-like popularity, mostly short sessions, half a year. A child process loads and splits it and reports its
peak memory; and the same with two smaller logs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import rnnbook.data  # noqa: F401 - what LOAD runs: it is part of the code that made the result
from rnnbook import results
from rnnbook.benchmarks.rows import mean_row

N_EVENTS = 33_000_000
SMALLER = 4_000_000, 8_000_000  # from which the memory of the whole can be forecast
N_ITEMS = 50_000
DAYS = 182
CHUNK = 1_000_000  # sessions written at a time


def write_clicks(path, n_events=N_EVENTS, n_items=N_ITEMS, days=DAYS, seed=0):
    """A click log in the format of ``yoochoose-clicks.dat``; returns the number of rows written."""
    rng = np.random.default_rng(seed)
    popularity = (np.arange(n_items) + 100.0) ** -1.7  # the rarest items get about five clicks
    below = np.cumsum(popularity / popularity.sum())
    ids = 214_500_000 + rng.permutation(8 * n_items)[:n_items]
    start = np.datetime64("2014-04-01T00:00:00", "ms").astype(np.int64)
    n_sessions = n_events / 4.1  # about what the lengths below give
    written = first = 0
    with open(path, "wb") as file:
        while written < n_events:
            lengths = np.minimum(np.ceil(rng.lognormal(0.95, 0.8, CHUNK)).astype(np.int64), 200)
            lengths = lengths[:np.searchsorted(np.cumsum(lengths), n_events - written) + 1]
            n = int(lengths.sum())
            session = np.repeat(np.arange(len(lengths)), lengths)
            # later sessions begin later, give or take some days
            begin = days * 86_400_000 * np.clip((first + np.arange(len(lengths))) / n_sessions, 0, 1)
            begin = begin + rng.uniform(0, 2 * 86_400_000, len(lengths))
            gaps = np.cumsum(rng.exponential(120_000, n))
            time = begin[session] + gaps - gaps[np.cumsum(lengths) - lengths][session]
            pl.DataFrame({
                "session": session + first + 1,
                "time": pl.Series(start + time.astype(np.int64)).cast(pl.Datetime("ms")),
                "item": ids[np.searchsorted(below, rng.random(n)).clip(max=n_items - 1)],
                "category": rng.integers(0, 13, n),
            }).write_csv(file, include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S.%3fZ")
            first += len(lengths)
            written += n
    return written


LOAD = """
import json, resource, sys, time
from rnnbook import data
begin = time.perf_counter()
train, test = data.load_sessions("rsc15")
seconds = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": seconds, "peak": peak, "sha256": train.sha256,
                  "sizes": [train.n_events, test.n_events], "reports": [train.report, test.report]}))
"""


def measure(folder):
    """Load ``rsc15`` from a folder in a fresh process; its peak memory in bytes, seconds and counts."""
    done = subprocess.run([sys.executable, "-c", LOAD], env=os.environ | {"RNNBOOK_DATA": str(folder)},
                          check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main(experiment="rsc15-preprocess"):
    result = results.new_result(experiment, data={}, config={"n_items": N_ITEMS, "days": DAYS, "smaller": SMALLER})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "yoochoose-clicks.dat"
        measured = {}
        for n_events in (*SMALLER, N_EVENTS):
            result["config"] |= {"n_events": write_clicks(path, n_events), "bytes": path.stat().st_size}
            measured[n_events] = measure(folder)
    whole = measured[N_EVENTS]
    n_train, n_test = whole["sizes"]
    result["data"] = {"name": "made-up log of RSC15's size", "sha256": whole["sha256"],
                      "n_train": n_train, "n_test": n_test}
    result["reports"] = whole["reports"]
    for n_events, found in measured.items():
        name = "load_sessions" + (f", {n_events:,} clicks" if n_events in SMALLER else "")
        for metric, value in (("peak_gib", found["peak"] / 2**30), ("seconds", found["seconds"])):
            result["rows"].append(mean_row(name, metric, [value]))
    results.write(result)


if __name__ == "__main__":
    main()
