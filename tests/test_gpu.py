"""The benchmark on a GPU: what it measures there is run here on a CPU, at a small size."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from rnnbook.benchmarks import gpu, peer_speed

from rnnbook import cli, results
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
    assert list(table.columns) == ["events_per_second", "peak_mib", "recall@20", "mrr@20"]
    assert not table.isna().any(axis=None)
