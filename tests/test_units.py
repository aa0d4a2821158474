"""Units of experiments: what is kept is what was found, and a stopped experiment goes on to the same numbers."""

import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from rnnbook import metrics, results
from rnnbook.benchmarks import units
from rnnbook.benchmarks.rows import difference_row, mean_row, t_interval
from rnnbook.gru4rec import GRU4RecConfig
from rnnbook.worlds import RatingWorld, SessionWorld

DATA = {"name": "world", "sha256": "ab" * 32, "n_train": 10, "n_test": 5}


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begins an experiment whose folder is a fresh one."""
    monkeypatch.setattr(results, "root", lambda: tmp_path)
    return lambda config=(): units.Units(results.new_result("trial", DATA, dict(config)))


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (metrics.SessionScores, metrics.RatingScores, GRU4RecConfig)):
        return same(vars(a), vars(b))
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("value", [
    None, True, 3, 0.1 + 0.2, 1e-320, math.inf, math.nan, "ρ=0.98 · RRN", [1, (2.0, "x")],
    {("future", 0.2): (1.5, -2.5)}, {0.1: {"a": []}, 7: ()}, np.float32(0.1), np.float64(1 / 3), np.int64(-5),
    np.array([[1.5, np.nan]], np.float32),
    np.arange(6).reshape(2, 3).T, np.empty((0, 2), bool), np.array(["a", "bc"]), GRU4RecConfig(loss="bpr")],
    ids=lambda value: str(value)[:20])
def test_values_come_back_exactly(value):
    assert same(units.decode(json.loads(json.dumps(units.encode(value)))), value)


def test_scores_come_back_exactly():
    world, ratings = SessionWorld(n_items=30), RatingWorld(n_users=20, n_steps=10)
    for scores in (metrics.evaluate_sessions(world.bayes(), world.sample(50)),
                   metrics.evaluate_ratings(ratings.static(), ratings.sample())):
        back = units.decode(json.loads(json.dumps(units.encode(scores))))
        assert same(back, scores) and metrics.paired_difference(back, scores, scores._metrics[0]) == (0.0, 0.0, 0.0)


def test_what_is_not_data_is_refused():
    with pytest.raises(TypeError, match="cannot hold a set"):
        units.encode({"a": {1, 2}})
    with pytest.raises(TypeError, match="cannot hold a CompletedProcess"):
        units.encode([subprocess.CompletedProcess([], 0)])


def test_a_unit_is_computed_once_and_again_where_anything_that_it_depends_on_is_other(begin, monkeypatch):
    calls = []

    def compute():
        calls.append(1)
        return (1.5, {"a": 2})

    for _ in range(2):
        assert begin().remember(("n", 0), compute) == (1.5, {"a": 2})
    assert len(calls) == 1
    begin().remember(("n", 1), compute)
    begin({"n_epochs": 2}).remember(("n", 0), compute)
    monkeypatch.setattr(results, "code", lambda experiment: "other")
    begin().remember(("n", 0), compute)
    assert len(calls) == 4


def test_jobs_in_parallel_are_units_too(begin):
    done = begin()
    done.remember([math.factorial.__name__, 4], lambda: "kept")  # it is not computed again
    assert done.in_parallel(math.factorial, [3, 4, 5]) == [6, "kept", 120]
    assert len(list(done.folder.iterdir())) == 3


def test_the_seconds_of_stopped_runs_are_added_and_the_units_leave_with_the_result(begin, tmp_path):
    stopped = begin()
    stopped.began -= 100.0  # so it has taken this long
    stopped.remember(0, lambda: 1)
    stopped.began -= 50.0
    stopped.remember(1, lambda: 1)
    again = begin()
    again.remember(2, lambda: 1)
    path = again.write()
    assert path == tmp_path / "results" / "trial.json"
    assert results.load("trial")["seconds"] == pytest.approx(150, abs=30)
    assert list((tmp_path / "_build" / "experiments").iterdir()) == []


EXPERIMENT = """
import os, signal, sys
from pathlib import Path
from rnnbook import metrics, results
from rnnbook.benchmarks.rows import score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import GRU4RecConfig, fit
from rnnbook.worlds import SessionWorld

folder, killed_at = Path(sys.argv[1]), int(sys.argv[2])
results.root = lambda: folder
train, test = (SessionWorld(n_items=30).sample(100, seed=s) for s in (0, 1))

def train_one(seed):
    if seed == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)
    with open(folder / "log", "a") as log:
        print(seed, file=log)
    config = GRU4RecConfig(hidden_size=8, batch_size=16, n_sample=8, n_epochs=1)
    return metrics.evaluate_sessions(fit(train, config, device="cpu", seed=seed, progress=False), test)

result = results.new_result("trial", results.describe(train, test), {"seeds": [0, 1, 2]})
units = Units(result)
result["rows"] += score_rows("GRU4Rec", [units.remember(seed, lambda: train_one(seed)) for seed in range(3)])
units.write()
"""


def test_a_killed_experiment_goes_on_to_the_numbers_of_one_that_was_not(tmp_path, monkeypatch):
    def rows(name):
        """Of a run to its end."""
        monkeypatch.setattr(results, "root", None)  # the experiment sets it; here it is put back
        monkeypatch.setattr(sys, "argv", ["", tmp_path / name, "-1"])
        exec(EXPERIMENT, {})
        return json.loads((tmp_path / name / "results" / "trial.json").read_text())["rows"]

    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    killed = subprocess.run([sys.executable, "-c", EXPERIMENT, tmp_path / "stopped", "2"],
                            env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "stopped" / "results").exists()
    whole = rows("whole")
    assert rows("stopped") == whole and len(set(whole[0]["values"])) > 1
    assert (tmp_path / "stopped" / "log").read_text().split() == ["0", "1", "2"]  # none was trained twice


def test_the_interval_of_one_number_a_seed():
    values = [0.1, 0.4, 0.2, 0.7]
    mean, low, high = t_interval(values)
    half = 3.182446305 * np.std(values, ddof=1) / 2  # Student's t with three degrees of freedom, from a table
    assert (mean, high - mean, mean - low) == pytest.approx((0.35, half, half))
    assert t_interval([0.3]) == (0.3, 0.3, 0.3)
    row, difference = mean_row("RRN", "rmse", np.array(values)), difference_row("a", "b", "rmse", values)
    assert (row["low"], row["high"]) == (difference["low"], difference["high"]) == (low, high)
    assert row["values"] == values and difference["difference"] == mean
