"""The compiled training step: the readable step's numbers, and a refusal that says why where it cannot train."""

import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from rnnbook import fast, gru4rec, metrics, train as training
from rnnbook.gru4rec import GRU4RecConfig, NegativeSampler, fit, session_parallel
from rnnbook.worlds import SessionWorld

SETTINGS = {
    "cross-entropy with logQ": GRU4RecConfig(),
    "cross-entropy without": GRU4RecConfig(logq=0.0, hidden_dropout=0.0),
    "few samples, many targets": GRU4RecConfig(batch_size=64, n_sample=3, embedding_dropout=0.2),
    "in-batch negatives": GRU4RecConfig(batch_size=16, n_sample=0),
    "BPR-max": GRU4RecConfig(loss="bpr-max", final_activation="elu", bpr_max_regularization=0.7),
    "BPR-max, tanh, momentum": GRU4RecConfig(loss="bpr-max", final_activation="tanh", momentum=0.3),
    "BPR-max, linear, two dropouts": GRU4RecConfig(loss="bpr-max", embedding_dropout=0.1, momentum=0.1),
}


WORLD = SessionWorld(n_items=60)


EQUAL = 1e-12  # a hundred times what was measured in float64, over all settings and numbers of threads


@pytest.fixture(scope="module")
def sessions():
    return WORLD.sample(400)


def train_steps(train_epoch, train, config, n_steps, dtype=torch.float64):
    """What some steps make of the model, the optimiser and the loss, from the same seeds."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        torch.manual_seed(0)
        model = gru4rec.GRU4Rec(train.item_ids, config).train()
        optimizer = training.Adagrad(model.named_parameters(), config.learning_rate, config.momentum)
        schedule = session_parallel(train.offsets, config.batch_size)
        sampler = NegativeSampler(train.support, config.n_sample, config.sample_alpha, torch.device("cpu"), n_steps)
        reports = []
        loss = train_epoch(model, optimizer, sampler, schedule, torch.from_numpy(train.items), n_steps,
                           lambda t, loss, n: reports.append((t, loss / n)))
        drawn = torch.rand(3)  # the random numbers that come next: both have drawn as many
    finally:
        torch.set_default_dtype(before)
    assert reports[-1][0] == n_steps and reports[-1][1] > 0
    return {"loss": torch.tensor(loss, dtype=dtype), "drawn": drawn} | model.state_dict() | optimizer.tensors()


def untrained(train, config):
    """The model that `train_steps` begins with."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    state = gru4rec.GRU4Rec(train.item_ids, config).state_dict()
    torch.set_default_dtype(before)
    return state


@pytest.mark.claim("fast-is-the-same")
@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_fifty_steps_are_the_same_in_float64(sessions, config, n_threads, monkeypatch):
    config = replace(config, hidden_size=12, batch_size=min(config.batch_size, 16), n_sample=min(config.n_sample, 40))
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    here = train_steps(fast.train_epoch, sessions, config, 50)
    there = train_steps(gru4rec.train_epoch, sessions, config, 50)
    torch.testing.assert_close(here, there, rtol=0, atol=EQUAL)
    for name, before in untrained(sessions, config).items():  # and there was something to get wrong
        assert (there[name] - before).abs().max() > 1e-3


def test_single_precision_is_close(sessions):
    """After a few steps; later ones part, as two runs in single precision do. Ten times what was measured."""
    config = GRU4RecConfig(hidden_size=12, batch_size=8, n_sample=20)
    here, there = (train_steps(epoch, sessions, config, 5, torch.float32)
                   for epoch in (fast.train_epoch, gru4rec.train_epoch))
    torch.testing.assert_close(here, there, rtol=0, atol=2e-5)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_the_last_lanes_end(sessions, n_threads, monkeypatch):
    """To the end of the epoch, where lanes end, the batch shrinks to nothing, and threads are without a lane."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    config = GRU4RecConfig(hidden_size=5, batch_size=7, n_sample=4, hidden_dropout=0.3)
    n_steps = session_parallel(sessions.offsets, config.batch_size).n_steps
    here, there = (train_steps(epoch, sessions, config, n_steps) for epoch in (fast.train_epoch, gru4rec.train_epoch))
    torch.testing.assert_close(here, there, rtol=0, atol=EQUAL)


@pytest.mark.parametrize("loss", ["cross-entropy", "bpr-max"])
def test_an_epoch_is_as_good(loss):
    train, test = WORLD.sample(3000), WORLD.sample(1000, seed=1)
    config = GRU4RecConfig(hidden_size=32, loss=loss, n_sample=64, n_epochs=2)
    readable, compiled = (metrics.evaluate_sessions(fit(train, config, device="cpu", fast=how, progress=False), test)
                          for how in (False, True))
    assert compiled.recall == pytest.approx(readable.recall, abs=0.002)  # seeds differ by as much
    untrained = fit(train, replace(config, learning_rate=1e-9), device="cpu", fast=True, progress=False)
    assert compiled.recall > metrics.evaluate_sessions(untrained, test).recall + 0.1


@pytest.mark.parametrize("more,reason", [
    ({"loss": "bpr"}, "loss='bpr'"), ({"hidden_size": (4, 4)}, r"hidden_size=\(4, 4\)"),
    ({"input": "one-hot", "bptt": 2}, "input='one-hot', bptt=2"), ({"mask_targets": True}, "mask_targets=True"),
    ({"final_activation": "tanh"}, "final_activation='tanh' with cross-entropy")])
def test_what_it_cannot_train_is_trained_readably_and_said(sessions, more, reason):
    config = GRU4RecConfig(**{"hidden_size": 4, "batch_size": 8, "n_sample": 8, "n_epochs": 1} | more)
    with pytest.warns(UserWarning, match=f"not for this .{reason}.; the readable step trains"):
        model = fit(sessions, config, device="cpu", fast=True, progress=False)
    assert torch.equal(model.output, fit(sessions, config, device="cpu", progress=False).output)
    assert fast.unsupported(GRU4RecConfig(), torch.device("cuda")) == "device='cuda'"


def test_without_numba_it_is_trained_readably_and_said(sessions, monkeypatch):
    monkeypatch.setitem(sys.modules, "rnnbook.fast", None)
    monkeypatch.delattr("rnnbook.fast", raising=False)
    with pytest.warns(UserWarning, match=r'pip install "rnnbook\[fast\]"'):
        fit(sessions, GRU4RecConfig(hidden_size=4, n_epochs=1), device="cpu", fast=True, progress=False)


def test_the_exponential_is_one(sessions):
    import numba

    @numba.njit(fastmath=True)
    def exponentials(x):
        return np.array([fast._exp(v) for v in x])

    x = np.linspace(-30, 30, 10_001)
    assert np.abs(exponentials(x.astype(np.float32)) / np.exp(x.astype(np.float32).astype(float)) - 1).max() < 2e-7
    assert np.array_equal(exponentials(np.float32([-1e30, 200])), exponentials(np.float32([-30, 30])))
    assert np.abs(exponentials(x) / np.exp(x) - 1).max() < 1e-15


def test_it_asks_for_no_warning(sessions):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(sessions, GRU4RecConfig(hidden_size=4, n_epochs=1), device="cpu", fast=True, progress=False)
