"""The benchmark on a GPU: what it measures there is run here on a CPU, at a small size."""

import itertools
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from rnnbook import cli, results, training
from rnnbook.benchmarks import gpu, peer_speed
from rnnbook.gru4rec import GRU4RecConfig, fit
from rnnbook.worlds import SessionWorld
from tools import pages

WORLD = SessionWorld(n_items=30)
TRAIN, TEST = WORLD.sample(300, seed=1), WORLD.sample(50, seed=2)
SETTING = "8 units, batch 16"


class StandIn:
    """Takes what the peer takes; its network scores by popularity."""

    def __init__(self, **settings):
        self.settings, self.layers, self.device = settings, settings["layers"], settings["device"]

    def fit(self, frame, **options):
        ids = sorted(frame["item"].unique(), reverse=True)  # an order of its own
        self.data_iterator = SimpleNamespace(itemidmap=pd.Series(range(len(ids)), index=ids))
        counts = torch.tensor(frame["item"].value_counts()[ids].to_numpy(copy=True), dtype=torch.float32)
        self.model = torch.nn.Module()
        self.model.forward = lambda x, hidden, targets: counts.expand(len(x), -1) + 0 * hidden[0].sum()


@pytest.fixture(scope="module")
def rows():
    torch.manual_seed(0)
    peer = SimpleNamespace(GRU4Rec=StandIn)
    return gpu.measure(TRAIN, TEST, [(16, 8)], "cpu", peer=peer, rounds=2, n_epochs=2, floor_size=64, backend="eager")


def test_every_side_is_measured(rows):
    found = {(row["model"], row["metric"]): row for row in rows}
    for side in ("float32", "TF32", "bfloat16", "float32, compiled", "authors' code"):
        for metric in ("events_per_second", "share_of_floor", "recall@20", "mrr@20"):
            row = found[f"{side}, {SETTING}", metric]
            assert len(row["values"]) == 2 and 0 < row["low"] <= row["mean"] <= row["high"]
    whole = found[f"float32, {SETTING}", "recall@20"]["values"]
    assert found[f"float32, compiled, {SETTING}", "recall@20"]["values"] == pytest.approx(whole, abs=0.01)
    assert found[f"bfloat16, {SETTING}", "recall@20"]["values"] == pytest.approx(whole, abs=0.05)
    assert f"bfloat16 / float32, {SETTING}" in {model for model, metric in found if metric == "speed_ratio"}
    assert not any(metric == "peak_mib" for _, metric in found)  # there is no GPU memory on a CPU


def test_the_modes_differ_and_leave_nothing_behind():
    a, step, precision = torch.rand(8, 8), gpu.gru4rec.GRU4Rec.step, torch.get_float32_matmul_precision()
    modes, dtypes = gpu.modes("cpu", "eager"), {}
    for name, mode in modes.items():
        with mode():
            dtypes[name] = (a @ a).dtype, torch.get_float32_matmul_precision(), gpu.gru4rec.GRU4Rec.step is step
        assert gpu.gru4rec.GRU4Rec.step is step and torch.get_float32_matmul_precision() == precision
        assert not torch.is_autocast_enabled("cpu")
    assert dtypes == {"float32": (torch.float32, precision, True), "TF32": (torch.float32, "high", True),
                      "bfloat16": (torch.bfloat16, precision, True),
                      "float32, compiled": (torch.float32, precision, False)}


def test_the_peer_gets_our_settings():
    config = gpu.replace(peer_speed.config(16, "bpr-max"), hidden_size=7, n_epochs=3)
    model = peer_speed.fit_peer(SimpleNamespace(GRU4Rec=StandIn), TRAIN, config, "cpu")
    assert model.settings == {
        "layers": [7], "loss": "bpr-max", "batch_size": 16, "n_sample": config.n_sample, "n_epochs": 3,
        "sample_alpha": config.sample_alpha, "learning_rate": config.learning_rate, "elu_param": 1.0,
        "device": torch.device("cpu")}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_without_a_gpu_it_says_what_to_do():
    with pytest.raises(SystemExit, match=r"sees no CUDA GPU here.*Run it on a machine that has one"):
        cli.main(["reproduce", "gpu"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_it_measures_a_gpu():
    found = gpu.measure(TRAIN, TEST, [(16, 8)], "cuda", rounds=1, n_epochs=1, floor_size=512)
    peaks = [row["mean"] for row in found if row["metric"] == "peak_mib"]
    assert len(peaks) == 4 and min(peaks) > 0


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory):
    """A checkpoint after the first of two epochs on a CPU, in float64, and how to go on from it: fit_on(device)."""
    config = GRU4RecConfig(hidden_size=8, batch_size=16, n_sample=0, hidden_dropout=0.0, n_epochs=2)
    folder = tmp_path_factory.mktemp("half")
    tries = itertools.count()

    def kill(point):
        if point["epoch"] >= 1:
            raise Killed

    def fit_on(device, callback=None):
        here = folder / f"try {next(tries)}"
        if (folder / "try 0").exists():
            shutil.copytree(folder / "try 0", here)
        return fit(TRAIN, config, device=device, checkpoint=here, callback=callback, progress=False)

    torch.set_default_dtype(torch.float64)
    with pytest.raises(Killed):
        fit_on("cpu", callback=kill)
    torch.set_default_dtype(torch.float32)
    return fit_on


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def farthest(a, b):
    """The largest difference of any number of two models, and that of their losses."""
    parameters = [(p.detach().cpu() - q.detach().cpu()).abs().max().item()
                  for p, q in zip(a.parameters(), b.parameters(), strict=True)]
    return max(parameters), abs(a.history[-1]["loss"] - b.history[-1]["loss"])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[
    pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")])])
def test_an_epoch_from_the_same_weights_gives_the_same_numbers(float64, half_trained, device):
    """Without chance, and in float64: only the order of sums may differ, by less than 1e-9 after an epoch."""
    ours, theirs = half_trained("cpu"), half_trained(device)
    assert theirs.device.type == device and len(theirs.history) == 2
    assert max(farthest(ours, theirs)) <= (0 if device == "cpu" else 1e-9)
    for start, end in zip(TEST.offsets[:20], TEST.offsets[1:]):
        clicks = TEST.item_ids[TEST.items[start:end - 1]]
        ids, scores = ours.recommend(clicks, k=5)
        others, their_scores = theirs.recommend(clicks, k=5)
        assert ids.tolist() == others.tolist()
        np.testing.assert_allclose(their_scores, scores, rtol=1e-8)


def test_a_wrong_epoch_would_be_noticed(float64, half_trained, monkeypatch):
    """An epoch moves the weights, and one with one gradient in a hundred a little too long ends elsewhere."""
    ours = half_trained("cpu")
    steps, step = [], training.Adagrad.step_rows

    def too_long(self, name, rows, grad):
        steps.append(name)
        step(self, name, rows, grad * (1.001 if len(steps) % 100 == 0 else 1))

    monkeypatch.setattr(training.Adagrad, "step_rows", too_long)
    assert max(farthest(ours, half_trained("cpu"))) > 1e-6 and len(steps) > 100


def gpu_cell():
    text = (pages.ROOT / "book" / "results.md").read_text(encoding="utf-8")
    return next(cell.split("```")[0].split("---\n")[-1] for cell in text.split("```{code-cell} ipython3\n")
                if '"gpu" in results.names()' in cell)


def shown(monkeypatch, folder):
    monkeypatch.setattr(results, "folders", lambda: [folder])
    out = []
    exec(gpu_cell(), {"results": results, "display": lambda *what: out.extend(what), "Markdown": str})
    return out


def test_the_page_says_what_is_not_measured_and_shows_what_is(rows, monkeypatch, tmp_path):
    assert "not measured yet" in shown(monkeypatch, tmp_path)[0]
    result = results.new_result("gpu", results.describe(TRAIN, TEST), {})
    result["rows"] = [*rows, *({**row, "metric": "peak_mib"} for row in rows if row["metric"] == "events_per_second")]
    results.write(json.loads(json.dumps(result)))
    table, badge = shown(monkeypatch, tmp_path)
    assert len(table) == 5 and f"bfloat16, {SETTING}" in table.index and "<b>gpu</b>" in badge.data
    assert list(table.columns) == ["events a second", "peak MiB", "Recall@20", "MRR@20"]
    assert not table.isna().any(axis=None)
