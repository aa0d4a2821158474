"""GRU4Rec against hand formulas, a slow reference, and what it must not be able to do."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from recommender_contract import RecommenderContract
from resume import Killed, check_resumes, kill_and_resume
from rnnbook import fast, gru4rec, metrics, training
from rnnbook.baselines import Popularity
from rnnbook.gru4rec import LOSSES, GRU4Rec, GRU4RecConfig, NegativeSampler, fit, session_parallel, train_step
from rnnbook.interactions import SessionData
from rnnbook.worlds import SessionWorld

SMALL = GRU4RecConfig(hidden_size=8, batch_size=4, n_sample=6, n_epochs=3, hidden_dropout=0.1, learning_rate=0.1)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def sessions(lists):
    """SessionData with the given lists of item numbers as sessions, in that order."""
    rows = [(s, f"i{item:02}", 1000 * s + t) for s, items in enumerate(lists) for t, item in enumerate(items)]
    catalogue = np.array([f"i{i:02}" for i in range(max(map(max, lists)) + 1)])
    return SessionData.from_frame(pd.DataFrame(rows, columns=["session", "item", "time"]), item_ids=catalogue)


def random_sessions(n=40, n_items=12, seed=0):
    rng = np.random.default_rng(seed)
    return sessions([rng.integers(n_items, size=rng.integers(2, 7)).tolist() for _ in range(n)] + [[n_items - 1] * 2])


# --- The schedule -----------------------------------------------------------------------------------------


def reference_steps(offsets, batch_size):
    """The slides' four steps, one lane and one event at a time: (position, lane, session, reset) per step."""
    waiting = [s for s in range(len(offsets) - 1) if offsets[s + 1] - offsets[s] > 1]
    lanes = [None] * batch_size
    while True:
        for lane in range(batch_size):
            if lanes[lane] is None and waiting:
                session = waiting.pop(0)
                lanes[lane] = (session, offsets[session])
        if not any(lanes):
            return
        yield [(position, lane, session, position == offsets[session])
               for lane, (session, position) in ((i, at) for i, at in enumerate(lanes) if at)]
        for lane, at in enumerate(lanes):
            if at:
                session, position = at
                lanes[lane] = None if position + 2 == offsets[session + 1] else (session, position + 1)


@pytest.mark.claim("schedule-is-the-four-steps")
@settings(deadline=None, max_examples=200)
@given(lengths=st.lists(st.integers(1, 9), max_size=40), batch_size=st.integers(1, 7))
def test_schedule_equals_the_obvious_iterator(lengths, batch_size):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    schedule = session_parallel(offsets, batch_size)
    steps = list(reference_steps(offsets.tolist(), batch_size))
    assert schedule.n_steps == len(steps)
    for t, expected in enumerate(steps):
        at = slice(schedule.offsets[t], schedule.offsets[t + 1])
        columns = (schedule.position, schedule.lane, schedule.session, schedule.reset)
        assert list(zip(*(column[at].tolist() for column in columns))) == expected
        later = {lane for step in steps[t + 1:t + 2] for _, lane, _, _ in step}
        assert schedule.keep[at].tolist() == [lane in later for _, lane, _, _ in expected]


def test_schedule_covers_every_prediction_once():
    data = random_sessions()
    targets = np.sort(session_parallel(data.offsets, 5).position) + 1
    assert np.array_equal(targets, metrics.target_positions(data)[0])


# --- The losses -------------------------------------------------------------------------------------------

SCORES = [[0.3, -1.2, 0.8, 2.0], [0.5, 1.5, -0.4, 0.1]]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(loss, target, others):
    """Value and gradient (target first) of a loss for one row, from the formulas of the papers."""
    n, margin = len(others), target - others
    if loss == "cross-entropy":
        p = np.exp(np.append(target, others)) / np.exp(np.append(target, others)).sum()
        return -np.log(p[0]), p - np.eye(n + 1)[0]
    if loss == "bpr":
        d = (1 - sigmoid(margin)) / n
        return -np.log(sigmoid(margin)).mean(), np.append(-d.sum(), d)
    if loss == "top1":
        d = sigmoid(-margin) * (1 - sigmoid(-margin)) / n
        square = sigmoid(others**2) * (1 - sigmoid(others**2)) * 2 * others / n
        return (sigmoid(-margin) + sigmoid(others**2)).mean(), np.append(-d.sum(), d + square)
    if loss == "pointwise":
        return (-np.log(sigmoid(target)) - np.log(sigmoid(-others)).mean(),
                np.append(sigmoid(target) - 1, sigmoid(others) / n))
    s = np.exp(others) / np.exp(others).sum()
    if loss == "bpr-max":
        inner = (s * sigmoid(margin)).sum()
        d_sigma = s * sigmoid(margin) * (1 - sigmoid(margin))
        d_s = s * (sigmoid(margin) - inner)
        square = s * others**2
        d_square = s * (others**2 - square.sum()) + 2 * s * others
        return -np.log(inner) + square.sum(), np.append(-d_sigma.sum(), d_sigma - d_s) / inner + np.append(0, d_square)
    inner = sigmoid(-margin) + sigmoid(others**2)
    d = s * sigmoid(-margin) * (1 - sigmoid(-margin))
    square = s * sigmoid(others**2) * (1 - sigmoid(others**2)) * 2 * others
    return (s * inner).sum(), np.append(-d.sum(), d + square + s * (inner - (s * inner).sum()))


@pytest.mark.claim("loss-gradients")
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("masked", [False, True])
def test_loss_and_gradient_are_the_papers(loss, masked):
    scores = torch.tensor(SCORES, dtype=torch.float64, requires_grad=True)
    negative = torch.ones(2, 4, dtype=torch.bool).fill_diagonal_(False)
    negative[0, 3] = not masked
    values = LOSSES[loss](scores, negative)
    values.sum().backward()
    for row in range(2):
        keep = negative[row].numpy()
        value, gradient = by_hand(loss, SCORES[row][row], np.array(SCORES[row])[keep])
        assert values[row].item() == pytest.approx(value, abs=1e-12)
        assert scores.grad[row, row].item() == pytest.approx(gradient[0], abs=1e-12)
        np.testing.assert_allclose(scores.grad[row].numpy()[keep], gradient[1:], atol=1e-12)
        assert (scores.grad[row].numpy()[~keep & (np.arange(4) != row)] == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [80.0, -80.0])
def test_losses_stay_finite_far_from_zero(loss, size):
    scores = torch.tensor([[size, -size, 0.0]], requires_grad=True)
    value = LOSSES[loss](scores, torch.tensor([[False, True, True]]))
    value.sum().backward()
    assert value.isfinite().all() and scores.grad.isfinite().all()


@pytest.mark.claim("top1-floor")
def test_top1_never_reaches_zero():
    scores = torch.tensor([[50.0, 0.0, 0.0]], dtype=torch.float64)
    assert gru4rec.top1(scores, torch.tensor([[False, True, True]])).item() == pytest.approx(0.5, abs=1e-12)


@pytest.mark.claim("bpr-gradient-dies")
def test_easy_negatives_silence_bpr_but_not_bpr_max():
    """One hard negative among many easy ones: BPR averages it away, BPR-max gives it the weight."""
    pull = {}
    for loss in ("bpr", "bpr-max"):
        scores = torch.tensor([[0.0, 2.0] + [-6.0] * 500], dtype=torch.float64, requires_grad=True)
        negative = torch.ones(1, 502, dtype=torch.bool).fill_diagonal_(False)
        kwargs = {"regularization": 0.0} if loss == "bpr-max" else {}
        LOSSES[loss](scores, negative, **kwargs).sum().backward()
        pull[loss] = -scores.grad[0, 0].item()
    assert pull["bpr"] < 0.01 and pull["bpr-max"] > 30 * pull["bpr"]


# --- The network ------------------------------------------------------------------------------------------


def test_layer_is_torch_gru_cell(float64):
    layer, cell = gru4rec.GRULayer(5, 3), torch.nn.GRUCell(5, 3)
    cell.load_state_dict(layer.state_dict())
    x, h = torch.randn(4, 5), torch.randn(4, 3)
    torch.testing.assert_close(layer(x, h), cell(x, h), atol=1e-12, rtol=0)


def test_one_hot_input_is_picking_a_row(float64):
    model = GRU4Rec(range(6), replace(SMALL, input="one-hot"))
    x = torch.tensor([4, 1])
    layer, h = model.layers[0], torch.randn(2, 8)
    product = F.one_hot(x, 6).double() @ model.input
    torch.testing.assert_close(layer(model.input[x], h), layer(product, h), atol=1e-12, rtol=0)


@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_dropout_drops_its_share_in_training_only(rate):
    """Of the last layer too, and of a single one; what is left is scaled up, so that the mean stays."""
    torch.manual_seed(0)
    model = GRU4Rec(range(6), replace(SMALL, hidden_size=(200, 400), hidden_dropout=rate))
    x, state = torch.randn(50, 400), model.initial_state(50)
    (first, last), whole = model.train().step(x, state), model.eval().step(x, state)
    for h in (first, last):
        assert (h == 0).double().mean().item() == pytest.approx(rate, abs=0.02)
    assert all((h != 0).all() for h in whole)
    kept = first != 0
    torch.testing.assert_close(first[kept], whole[0][kept] / (1 - rate))


@pytest.mark.parametrize("input", ["shared", "separate"])
def test_the_feed_forward_layer_stands_between_the_gru_and_every_score(float64, input):
    config = replace(SMALL, feedforward_size=6, input=input)
    model = GRU4Rec(range(20), config)
    assert model.output.shape == (20, 6) and model.dense.keys() == {
        "layers.0.weight_ih", "layers.0.weight_hh", "layers.0.bias_ih", "layers.0.bias_hh", "feedforward.weight",
        "feedforward.bias"}
    torch.nn.init.uniform_(model.feedforward.bias)
    h, table = model.initial_state(1)[0], getattr(model, model.input_table)
    for item in (3, 7, 7):
        h = model.layers[0](table[[item]], h)
    expected = torch.tanh(h @ model.feedforward.weight.T + model.feedforward.bias) @ model.output.T + model.bias
    ids, scores = model.recommend([3, 7, 7], k=20)
    np.testing.assert_allclose(scores, expected.detach().numpy()[0, ids], rtol=1e-12)
    model.item_ids = (data := sessions([[3, 7, 7, 1, 19]])).item_ids
    positions, scores = next(model.score_sessions(data, batch_size=1))
    assert positions.tolist() == [1]  # after one click
    top = torch.tanh(model.feedforward(model.layers[0](table[[3]], model.initial_state(1)[0])))
    torch.testing.assert_close(scores, top @ model.output.T + model.bias)


@pytest.mark.parametrize("gates,config", [
    (1, SMALL), (1, replace(SMALL, input="separate", embedding_size=5)), (3, replace(SMALL, input="one-hot"))])
def test_initial_weights_fill_their_interval(gates, config):
    torch.manual_seed(0)
    model = GRU4Rec(range(500), config)
    for name, p in model.named_parameters():
        if p.dim() == 1:
            assert (p == 0).all()
            continue
        rows, columns = {"output": (500, 8), "input": (500, 5 if gates == 1 else 8)}.get(name, p.shape)
        rows = rows // 3 if "layers" in name else rows
        bound = (6 / (rows + columns)) ** 0.5
        assert 0.9 * bound < p.abs().max() <= bound


# --- A training step against plain, dense autograd --------------------------------------------------------


def dense_reference(model, config, data, n_steps, sampled, support):
    """Train with autograd through the whole tables and an Adagrad written out; no rows, no schedule arrays."""
    parameters = dict(model.named_parameters())
    acc = {k: torch.zeros_like(p) for k, p in parameters.items()}
    velocity = {k: torch.zeros_like(p) for k, p in parameters.items()}
    state = {}
    steps = list(reference_steps(data.offsets.tolist(), config.batch_size))[:n_steps]
    windows = [steps[i:i + config.bptt] for i in range(0, len(steps), config.bptt)]
    for window in windows:
        state = {lane: [h.detach() for h in layers] for lane, layers in state.items()}
        loss, touched = 0.0, {"output": set(), "bias": set(), "input": set()}
        for step in window:
            extra = next(sampled).tolist()
            targets = [data.items[position + 1] for position, *_ in step]
            columns = [*targets, *extra]
            tops = []
            for position, lane, _, reset in step:
                if reset or lane not in state:
                    state[lane] = [torch.zeros(size) for size in config.hidden_sizes]
                x = getattr(model, model.input_table)[data.items[position]][None]
                for i, layer in enumerate(model.layers):
                    x = layer(x, state[lane][i][None])
                    state[lane][i] = x[0]
                tops.append(x[0])
            tops = torch.stack(tops)
            if config.feedforward_size:
                tops = torch.tanh(tops @ model.feedforward.weight.T + model.feedforward.bias)
            scores = tops @ model.output[columns].T + model.bias[columns]
            if config.loss == "cross-entropy":
                weights = [support[i] for i in targets] + [support[i] ** config.sample_alpha for i in extra]
                scores = scores - config.logq * torch.tensor(weights).log()
            negative = torch.ones(scores.shape, dtype=torch.bool).fill_diagonal_(False)
            loss = loss + LOSSES[config.loss](scores, negative).sum() / config.batch_size
            touched["output"] |= set(columns)
            touched["bias"] |= set(columns)
            touched[model.input_table] |= {data.items[position] for position, *_ in step}
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for name, p in parameters.items():
                rows = sorted(map(int, touched[name])) if name in touched else slice(None)
                acc[name][rows] += p.grad[rows] ** 2
                velocity[name][rows] = (config.momentum * velocity[name][rows]
                                        - config.learning_rate * p.grad[rows] / (acc[name][rows] + 1e-6).sqrt())
                p[rows] += velocity[name][rows]


@pytest.mark.parametrize("changes", [
    {}, {"input": "separate", "embedding_size": 5}, {"input": "one-hot"}, {"hidden_size": (7, 5)},
    {"loss": "bpr-max"}, {"loss": "top1"}, {"bptt": 3}, {"n_sample": 0, "logq": 0.5}, {"feedforward_size": 6},
    {"feedforward_size": 6, "hidden_size": (7, 5), "input": "separate", "embedding_size": 5}], ids=str)
def test_training_steps_equal_dense_autograd(float64, changes):
    config = replace(SMALL, hidden_dropout=0.0, momentum=0.3, **changes)
    data, n_steps = random_sessions(), 12
    torch.manual_seed(1)
    model, twin = GRU4Rec(data.item_ids, config), GRU4Rec(data.item_ids, config)
    twin.load_state_dict(model.state_dict())
    support = data.support.astype(float)

    torch.manual_seed(2)
    sampler = NegativeSampler(support, config.n_sample, config.sample_alpha, "cpu", n_steps)
    drawn = [sampler.next() for _ in range(n_steps)]
    sampler.next = iter(drawn).__next__
    optimizer = training.Adagrad(model.named_parameters(), config.learning_rate, config.momentum)
    items, state, window = torch.from_numpy(data.items), model.initial_state(config.batch_size), []
    steps = session_parallel(data.offsets, config.batch_size).steps("cpu")
    model.train()
    for _, (position, reset, live) in zip(range(n_steps), steps):
        window.append((items[position], items[position + 1], reset, live))
        if len(window) == config.bptt:
            _, state = train_step(model, optimizer, sampler, window, state)
            window = []

    dense_reference(twin, config, data, n_steps, iter(drawn), support)
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters()):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0, msg=partial("{}: {}".format, name))
        assert "bias" in name or not torch.equal(ours, torch.zeros_like(ours))


def test_a_step_touches_only_its_rows():
    data = sessions([[0, 1, 2], [3, 4, 5], [6, 7], [30, 31]])
    config = replace(SMALL, batch_size=2, n_sample=0, n_epochs=1)
    model = GRU4Rec(data.item_ids, config)
    before = model.output.detach().clone()
    optimizer = training.Adagrad(model.named_parameters(), 0.1)
    window = [(torch.tensor([0, 3]), torch.tensor([1, 4]), torch.ones(2, dtype=torch.bool), None)]
    train_step(model, optimizer, NegativeSampler(data.support, 0, 0.5, "cpu", 1), window, model.initial_state(2))
    changed = (model.output.detach() != before).any(dim=1).nonzero().flatten().tolist()
    assert changed == [0, 1, 3, 4]


WITH_ALL = {"hidden_size": (6, 8), "momentum": 0.1, "bptt": 2, "embedding_dropout": 0.2}


def steps_of_an_epoch(config, device):
    """Runs a window of ``config.bptt`` steps for each loss that it gives; all is on the device before the first."""
    data = random_sessions()
    model = GRU4Rec(data.item_ids, config, device).train()
    optimizer = training.Adagrad(model.named_parameters(), config.learning_rate, config.momentum)
    sampler = NegativeSampler(data.support, config.n_sample, config.sample_alpha, device, n_steps=5)  # refills itself
    items, state = torch.from_numpy(data.items).to(device), model.initial_state(config.batch_size)
    schedule = session_parallel(data.offsets, config.batch_size)
    assert np.diff(schedule.offsets, n=2).any()  # lanes end
    steps = schedule.steps(torch.device(device))
    following = next(steps)
    yield None
    for _ in range(schedule.n_steps // config.bptt):
        window = []
        for _ in range(config.bptt):
            position, reset, live = following
            window.append((items[position], items[position + 1], reset, live))
            following = next(steps, None)
        loss, state = train_step(model, optimizer, sampler, window, state)
        yield loss


def test_training_runs_on_the_meta_device():
    """Meta tensors mix with no others, so a tensor made on the CPU by mistake stops the step."""
    *_, loss = steps_of_an_epoch(replace(SMALL, **WITH_ALL), "meta")
    assert loss.device.type == "meta"


class NoWaiting(TorchDispatchMode):
    """Refuses what would make the host wait for a GPU: a value or a number of elements that it needs to go on, a copy
    from or to it."""

    NEED_A_VALUE = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2",
                    "unique_dim", "unique_consecutive", "bincount", "repeat_interleave"}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for arg in args for x in (arg if isinstance(arg, list | tuple) else [arg])
                   if isinstance(x, torch.Tensor)]
        name = function.overloadpacket.__name__
        masks = name in ("index", "index_put", "index_put_") and any(
            i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        out = function(*args, **kwargs)
        moved = isinstance(out, torch.Tensor) and any(x.device != out.device for x in tensors if x.dim())
        if name in self.NEED_A_VALUE or masks or moved:
            raise AssertionError(f"the host waits in {function}")
        return out


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("changes", [
    WITH_ALL, {"loss": "bpr-max", "final_activation": "elu"}, {"mask_targets": True, "input": "separate"},
    {"n_sample": 0, "final_activation": "tanh"}], ids=str)
def test_no_step_makes_the_host_wait(device, changes):
    steps = steps_of_an_epoch(replace(SMALL, **changes), device)
    next(steps)
    with NoWaiting():
        assert len(list(steps)) > 5


@pytest.mark.parametrize("waits", [
    lambda x: x.sum().item(), lambda x: bool(x.any()), lambda x: x[x > 0], lambda x: x.nonzero(), torch.unique,
    lambda x: x.__setitem__(x > 0, torch.zeros(2)), lambda x: x.to("meta"), lambda x: x.masked_select(x > 0)])
def test_waiting_would_be_noticed(waits):
    with NoWaiting(), pytest.raises(AssertionError, match="the host waits"):
        waits(torch.tensor([0.0, 1.0, 2.0]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("changes", [WITH_ALL, {"loss": "bpr-max"}], ids=str)
def test_no_step_makes_the_host_wait_on_cuda(changes):
    steps = steps_of_an_epoch(replace(SMALL, **changes), "cuda")
    next(steps)
    next(steps)  # the first use of a library may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert len(list(steps)) > 5
    finally:
        torch.cuda.set_sync_debug_mode("default")


def epoch_on(device):
    """The weights after an epoch on a device, always from the same ones; nothing in it is drawn."""
    data, config = random_sessions(), replace(SMALL, hidden_dropout=0.0, n_sample=0)
    torch.manual_seed(0)
    start = GRU4Rec(data.item_ids, config)
    model = GRU4Rec(data.item_ids, config, device).train()
    model.load_state_dict(start.state_dict())
    optimizer = training.Adagrad(model.named_parameters(), config.learning_rate)
    schedule = session_parallel(data.offsets, config.batch_size)
    sampler = NegativeSampler(data.support, 0, config.sample_alpha, device, 1)
    n_steps = int((np.diff(schedule.offsets) > 1).sum())
    gru4rec.train_epoch(model, optimizer, sampler, schedule, torch.from_numpy(data.items).to(device), range(n_steps),
                        model.initial_state(config.batch_size), report=lambda *_: None)
    assert all((p.cpu() - q).abs().max() > 0.01 for p, q in zip(model.parameters(), start.parameters()))
    return {name: p.cpu() for name, p in model.state_dict().items()}


@pytest.mark.parametrize("device", [
    "cpu", pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(
        not torch.cuda.is_available(), reason="no CUDA device here")])])
def test_every_device_trains_to_the_same_model(device):
    """In float32, where the order of sums shows; `test_gpu.py` compares in float64. The CPU repeats itself exactly."""
    torch.testing.assert_close(epoch_on(device), epoch_on("cpu"), rtol=0, atol=0 if device == "cpu" else 1e-4)


# --- Sampling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_negatives_follow_support_to_the_alpha(alpha):
    torch.manual_seed(0)
    support = np.array([0, 1, 4, 16, 100, 0])
    sampler = NegativeSampler(support, 1000, alpha, "cpu", 50)
    drawn = torch.stack([sampler.next() for _ in range(200)])
    counts = np.bincount(drawn.flatten(), minlength=6)
    expected = np.where(support > 0, support.astype(float) ** alpha, 0)
    expected *= drawn.numel() / expected.sum()
    assert counts[0] == counts[5] == 0
    chi2 = ((counts - expected)[1:5] ** 2 / expected[1:5]).sum()
    assert chi2 < 16.3  # 99.9 % of chi-square with 3 degrees of freedom
    assert not torch.equal(drawn[0], drawn[1])


def test_logq_makes_the_sampled_softmax_unbiased_in_popularity():
    """With logq = 1 a frequent column is lowered by the log of how often it is there."""
    config = replace(SMALL, logq=1.0, n_sample=2)
    sampler = NegativeSampler(np.array([1, 10, 100]), 2, 0.5, "cpu", 1)
    columns = torch.tensor([0, 2, 1, 2])
    corrected = torch.zeros(2, 4) - torch.tensor([1.0, 100.0, 10**0.5, 10.0]).log()
    expected = F.cross_entropy(corrected, torch.arange(2), reduction="none")
    torch.testing.assert_close(gru4rec.step_loss(config, torch.zeros(2, 4), columns, sampler), expected)


@pytest.mark.claim("exact-logq-is-unbiased")
def test_exact_logq_adds_up_to_the_full_softmax(float64):
    """In the mean over many draws of the other rows' targets and of the extra negatives, the sum over the negatives is
    that over all other items; with only the ratios right, as with logq, it is not."""
    support, n_others, n_sample, alpha = np.array([1, 4, 10, 40]), 3, 2, 0.5
    rng, torch_rng = np.random.default_rng(0), torch.Generator().manual_seed(0)
    r = torch.tensor([0.3, -1.0, 0.5, 2.0])
    sampler = NegativeSampler(support, n_sample, alpha, "cpu", 1)
    n, sums = 20_000, {True: 0.0, False: 0.0}
    targets = torch.from_numpy(rng.choice(4, p=support / support.sum(), size=(n, n_others)))
    weights = torch.from_numpy(support**alpha)
    extra = torch.multinomial(weights, n * n_sample, replacement=True, generator=torch_rng).view(n, n_sample)
    for exact in sums:
        config = replace(SMALL, exact_logq=exact, mask_targets=True, n_sample=n_sample)
        for others, sampled in zip(targets, extra):
            columns = torch.cat([torch.tensor([2]), others, sampled])
            scores = r[columns][None].expand(1 + n_others, -1)
            loss = gru4rec.step_loss(config, scores, columns, sampler)[0]
            sums[exact] += loss.expm1().item() * r[2].exp().item() / n  # loss = log(1 + Σ / exp r̂_i)
    rest = (r.exp().sum() - r[2].exp()).item()
    assert abs(sums[True] / rest - 1) < 0.02 < 0.5 < abs(sums[False] / rest - 1)


def test_exact_logq_of_one_step_by_hand(float64):
    config = replace(SMALL, exact_logq=True, n_sample=2)
    sampler = NegativeSampler(np.array([1, 10, 100]), 2, 0.5, "cpu", 1)
    columns, scores = torch.tensor([0, 2, 1, 2]), torch.tensor([[0.5, 1.0, -1.0, 1.0], [2.0, 0.0, 0.3, 0.0]])
    root = 1 + 10**0.5 + 10
    often = {0: 1 / 111 + 2 / root, 1: 10 / 111 + 2 * 10**0.5 / root, 2: 100 / 111 + 2 * 10 / root}
    first = np.log1p((2 * np.e / often[2] + np.exp(-1) / often[1]) / np.exp(0.5))
    second = np.log1p(np.exp(2) / often[0] + np.exp(0.3) / often[1])  # the fourth column is its own target
    loss = gru4rec.step_loss(config, scores, columns, sampler)
    np.testing.assert_allclose(loss.numpy(), [first, second], rtol=1e-12)


def test_alpha_of_elu_is_where_it_ends(float64):
    config = replace(SMALL, loss="bpr", final_activation="elu", elu_alpha=0.5)
    sampler = NegativeSampler(np.array([1, 1]), 0, 0.5, "cpu", 1)
    scores = torch.tensor([[1.0, -50.0], [-50.0, 1.0]])
    values = gru4rec.step_loss(config, scores, torch.tensor([0, 1]), sampler)
    np.testing.assert_allclose(values.numpy(), np.log1p(np.exp(-1.5)), rtol=1e-12)


def test_masked_targets_are_no_negatives():
    config = replace(SMALL, mask_targets=True, loss="bpr")
    sampler = NegativeSampler(np.array([1, 1, 1]), 1, 0.5, "cpu", 1)
    scores = torch.tensor([[0.0, 9.0, 1.0], [0.0, 0.0, 1.0]])
    values = gru4rec.step_loss(config, scores, torch.tensor([0, 0, 1]), sampler)
    assert values[0].item() == pytest.approx(np.log(1 + np.e))


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_row_whose_columns_all_are_its_target_does_not_spoil_the_step(loss):
    """Two lanes with the same target and nothing else to compare it with: the loss is finite, and nobody is moved."""
    config = replace(SMALL, mask_targets=True, loss=loss, n_sample=0, logq=0.0, bpr_max_regularization=0.0)
    sampler = NegativeSampler(np.array([1, 1, 1]), 0, 0.5, "cpu", 1)
    scores = torch.zeros(2, 2, requires_grad=True)
    loss = gru4rec.step_loss(config, scores, torch.tensor([1, 1]), sampler).sum()
    loss.backward()
    assert loss.isfinite() and scores.grad.sum().abs() < 1e-6


# --- Training as a whole ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cycle():
    """After item i comes i + 1 going up and i − 1 going down: the last item alone cannot tell which."""
    rng = np.random.default_rng(0)
    walks = [[(start + direction * t) % 20 for t in range(6)]
             for start, direction in zip(rng.integers(20, size=400), rng.choice([-1, 1], size=400))]
    return sessions(walks)


FAST = GRU4RecConfig(hidden_size=32, batch_size=16, n_sample=20, n_epochs=5, hidden_dropout=0.0, learning_rate=0.1)


@pytest.mark.parametrize("loss", LOSSES)
def test_learns_direction_from_the_sequence(cycle, loss):
    model = fit(cycle, replace(FAST, loss=loss, logq=0.0), device="cpu", progress=False)
    scores = metrics.evaluate_sessions(model, cycle, k=1)
    popularity = metrics.evaluate_sessions(Popularity().fit(cycle), cycle, k=1)
    # The first step is a coin flip and the other four are certain: .9 is the best, .5 what the last item gives.
    floor = 0.5 if loss == "pointwise" else 0.8
    assert scores.recall > max(floor, 2 * popularity.recall)


@pytest.mark.parametrize("changes", [{"input": "one-hot"}, {"input": "separate"}, {"hidden_size": (24, 32)},
                                     {"bptt": 4}, {"final_activation": "tanh", "loss": "bpr"}], ids=str)
def test_every_form_of_the_network_learns(cycle, changes):
    model = fit(cycle, replace(FAST, logq=0.0, **changes), device="cpu", progress=False)
    assert metrics.evaluate_sessions(model, cycle, k=1).recall > 0.65  # the last item gives .5


def test_separate_tables_learn_apart():
    """Inputs and outputs of the same item: training moves every row of both, and no two rows are equal."""
    data = random_sessions()
    config = replace(SMALL, input="separate", embedding_size=8)
    model = fit(data, config, device="cpu", progress=False)
    torch.manual_seed(0)
    start = GRU4Rec(data.item_ids, config)
    assert (model.input != start.input).any(dim=1).all() and (model.input != model.output).all()


def test_without_its_state_the_model_cannot_tell_the_direction(cycle):
    """The mutation that the test above must catch: a hidden state reset at every step."""
    model = fit(cycle, replace(FAST, logq=0.0), device="cpu", progress=False)
    step = model.step
    model.step = lambda x, state: step(x, [torch.zeros_like(h) for h in state])
    assert metrics.evaluate_sessions(model, cycle, k=1).recall < 0.7


@pytest.mark.parametrize("loss", ["cross-entropy", "bpr-max"])
def test_under_autocast_it_trains_as_well(loss):
    world = SessionWorld(n_items=200)
    train, test = world.sample(2000, seed=1), world.sample(1000, seed=2)
    config = GRU4RecConfig(loss=loss, hidden_size=32, batch_size=32, n_sample=128, n_epochs=2, hidden_dropout=0.1)
    whole = fit(train, config, device="cpu", progress=False)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = fit(train, config, device="cpu", progress=False)
    assert not torch.equal(whole.output, rounded.output)  # it did round
    assert all(p.dtype == torch.float32 for p in rounded.parameters())
    a, b = (metrics.evaluate_sessions(model, test) for model in (whole, rounded))
    assert a.recall > 0.4 and b.recall == pytest.approx(a.recall, abs=0.01) and b.mrr == pytest.approx(a.mrr, abs=0.01)
    assert rounded.history[-1]["loss"] == pytest.approx(whole.history[-1]["loss"], rel=0.003)


def test_only_the_products_are_rounded_under_autocast(monkeypatch):
    seen, config, data = [], replace(SMALL, logq=0.0), random_sessions()
    cross_entropy, step = LOSSES["cross-entropy"], training.Adagrad.step

    def watched(scores, negative):
        seen.append(scores.dtype)
        return cross_entropy(scores, negative)

    def watched_step(self, name, grad):
        seen.append(grad.dtype)
        step(self, name, grad)
        seen.extend(t.dtype for t in self.tensors().values())

    monkeypatch.setitem(LOSSES, "cross-entropy", watched)
    monkeypatch.setattr(training.Adagrad, "step", watched_step)
    with torch.autocast("cpu", torch.bfloat16):
        model = fit(data, replace(config, n_epochs=1), device="cpu", progress=False)
        inside = [scores for _, scores in model.score_sessions(data)]
        state = model.step(model.output[:3], model.initial_state(3))
        best = model.recommend(["i03", "i01"], k=3)
    assert set(seen) == {torch.float32} and state[0].dtype == torch.float32
    outside = [scores for _, scores in model.score_sessions(data)]
    for a, b in zip(inside, outside):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=0.02, rtol=0)
    assert best.scores.dtype == np.float32


@pytest.mark.parametrize("make", [training.Adagrad, training.Adam])
def test_a_step_inside_autocast_is_seen_by_the_next(make):
    layer, x = torch.nn.Linear(3, 2), torch.ones(1, 3)
    optimizer = make(layer.named_parameters(), lr=0.5)
    with torch.autocast("cpu", torch.bfloat16):
        before = layer(x)
        layer.zero_grad()
        before.sum().backward()
        if make is training.Adagrad:
            optimizer.step("weight", layer.weight.grad)
        else:
            optimizer.step()
        after = layer(x)
    assert (after < before - 1).all()


def test_same_seed_same_model_other_seed_other_model():
    data = random_sessions()
    a, b, c = (fit(data, SMALL, device="cpu", seed=seed, progress=False) for seed in (3, 3, 4))
    assert torch.equal(a.output, b.output) and not torch.equal(a.output, c.output)


def test_fit_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(random_sessions(), replace(SMALL, n_epochs=1), device="cpu", progress=False)
    assert torch.equal(torch.rand(3), expected)


COMPILED = {"epoch": fast.train_epoch, "evaluate": fast.evaluate_sessions}
RESUMED = {
    "readable": {}, "compiled": {}, "in-batch negatives": {"n_sample": 0},
    "windows, two layers, momentum": {"bptt": 3, "hidden_size": (8, 5), "momentum": 0.3, "embedding_dropout": 0.2}}


@pytest.mark.parametrize("when", [0.05, 0.4, 1.0, 1.55, 1.95])
@pytest.mark.parametrize("how", RESUMED)
def test_a_killed_run_resumes_to_the_same_numbers(tmp_path, how, when):
    config = replace(SMALL, **RESUMED[how])
    options = {"device": "cpu", "seed": 1, "progress": False} | (COMPILED if how == "compiled" else {})
    if how in ("compiled", "readable"):
        options["valid"] = random_sessions(seed=9)
    _, after = check_resumes(partial(fit, random_sessions(), config, **options), tmp_path / "run", at=when)
    assert when <= after[0]["epoch"] < when + 0.2  # two windows of a tenth


@pytest.mark.parametrize("when", [0.4, 1.95])
@pytest.mark.parametrize("first,then", [({}, COMPILED), (COMPILED, {})], ids=["readable first", "compiled first"])
def test_the_compiled_step_goes_on_for_the_readable_one_and_back(float64, tmp_path, first, then, when):
    """A hundred times what was measured; with the lanes forgotten it is 0.03 and more."""
    run = partial(fit, random_sessions(), SMALL, device="cpu", seed=1, progress=False)
    resumed, *_ = kill_and_resume(partial(run, **first), tmp_path / "run", when, resume=partial(run, **then))
    torch.testing.assert_close(dict(resumed.state_dict()), dict(run().state_dict()), rtol=0, atol=1e-13)


def test_a_run_killed_within_an_epoch_that_is_no_longer_asked_for_is_refused(tmp_path):
    def again(**options):
        return fit(random_sessions(), replace(SMALL, n_epochs=2), device="cpu", progress=False, **options)

    run = partial(fit, random_sessions(), SMALL, device="cpu", progress=False)
    with pytest.raises(ValueError, match=r"within epoch 3, beyond n_epochs=2; raise n_epochs, or give another folder"):
        kill_and_resume(run, tmp_path / "run", 2.4, resume=again)


def test_a_file_beside_a_model_is_not_overwritten_with_it(tmp_path):
    model = fit(random_sessions(), replace(SMALL, n_epochs=1), device="cpu", progress=False)
    for name, saves in ((".DS_Store", True), ("notes.txt", False)):
        model.save(tmp_path / name)
        (tmp_path / name / name).touch()
        if saves:
            model.save(tmp_path / name)
        else:
            with pytest.raises(ValueError, match=r"something else already \(.*notes\.txt"):
                model.save(tmp_path / name)
            assert (tmp_path / name / name).exists()


def test_an_empty_folder_is_a_beginning_and_a_full_one_is_left_alone(tmp_path):
    (tmp_path / "empty").mkdir()
    fit(random_sessions(), replace(SMALL, n_epochs=1), device="cpu", checkpoint=tmp_path / "empty", progress=False)
    assert training.find_checkpoint(tmp_path / "empty")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    for folder in ("full", "full/thesis.tex"):
        with pytest.raises(ValueError, match=r"something else already.*thesis\.tex.*another folder"):
            fit(random_sessions(), SMALL, device="cpu", checkpoint=tmp_path / folder, progress=False)
        with pytest.raises(ValueError, match="something else already"):
            training.save_checkpoint(tmp_path / folder, {"w": torch.ones(1)}, {})
    assert (tmp_path / "full" / "thesis.tex").exists()


def test_a_damaged_checkpoint_is_to_be_deleted(tmp_path):
    fit(random_sessions(), SMALL, device="cpu", checkpoint=tmp_path / "run", progress=False)
    (tmp_path / "run" / "tensors.safetensors").write_bytes(b"{")
    with pytest.raises(ValueError, match=f"damaged.*delete {tmp_path / 'run'} to start again"):
        fit(random_sessions(), SMALL, device="cpu", checkpoint=tmp_path / "run", progress=False)


@pytest.mark.parametrize("damage,match", [
    (lambda t: t | {"mid_epoch.step": torch.tensor(10**9)}, "the steps or the samples"),
    (lambda t: t | {"mid_epoch.unread": t["mid_epoch.unread"] + 10**6}, "the steps or the samples"),
    (lambda t: t | {"mid_epoch.unread": t["mid_epoch.unread"][:, 1:].contiguous()}, "unread is"),
    (lambda t: t | {"mid_epoch.lanes.0": t["mid_epoch.lanes.0"][1:].contiguous()}, "lanes.0 is"),
    (lambda t: t | {"mid_epoch.lanes.0": t["mid_epoch.lanes.0"] * torch.nan}, "not finite"),
    (lambda t: {name: tensor for name, tensor in t.items() if name != "mid_epoch.total"}, "other tensors.*total")])
def test_a_damaged_middle_of_an_epoch_is_refused(tmp_path, damage, match):
    data = random_sessions()

    def damage_then_kill(point):
        edit_tensors(tmp_path / "run", damage)
        raise Killed

    with pytest.raises(Killed):
        fit(data, SMALL, device="cpu", checkpoint=tmp_path / "run", progress=False, callback=damage_then_kill)
    with pytest.raises(ValueError, match=f"{tmp_path / 'run'}.*{match}"):
        fit(data, SMALL, device="cpu", checkpoint=tmp_path / "run", progress=False)


@pytest.mark.parametrize("rename", [1, 2])
def test_a_run_killed_while_it_saves_goes_on(tmp_path, monkeypatch, rename):
    """Before the former checkpoint makes room for the new one, or after."""
    data, options = random_sessions(), {"device": "cpu", "seed": 1, "progress": False}
    whole, replaced = fit(data, SMALL, **options), []

    def replace_or_die(source, target):
        replaced.append(source)
        if len(replaced) == 1 + 2 * 8 + rename:  # the first save has nothing to move away
            raise Killed
        os.rename(source, target)

    with monkeypatch.context() as context:
        context.setattr(os, "replace", replace_or_die)
        with pytest.raises(Killed):
            fit(data, SMALL, checkpoint=tmp_path / "run", **options)
    (tmp_path / "run.old").mkdir()  # somebody's own
    points = []
    resumed = fit(data, SMALL, checkpoint=tmp_path / "run", callback=points.append, **options)
    assert points[0]["epoch"] > 0.4 and resumed.history == whole.history
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.old"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    data = random_sessions()
    fit(data, SMALL, device="cpu", checkpoint=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match=r"learning_rate=0\.1, now 0\.3"):
        fit(data, replace(SMALL, learning_rate=0.3), device="cpu", checkpoint=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="other training data, seed=0, now 1"):
        fit(random_sessions(seed=2), SMALL, device="cpu", seed=1, checkpoint=tmp_path / "run", progress=False)


def test_early_stopping_keeps_the_best_epoch(cycle, monkeypatch):
    recalls = iter([0.1, 0.4, 0.3, 0.2, 0.9])
    kept = []

    def evaluate(model, data, k):
        kept.append(model.output.detach().clone())
        return SimpleNamespace(recall=next(recalls), mrr=0.0)

    monkeypatch.setattr(metrics, "evaluate_sessions", evaluate)
    model = fit(cycle, FAST, device="cpu", valid=cycle, patience=2, progress=False)
    assert [point["recall"] for point in model.history] == [0.1, 0.4, 0.3, 0.2]
    assert torch.equal(model.output, kept[1])


def test_a_diverging_run_says_so(cycle):
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        fit(cycle, replace(FAST, learning_rate=1e38), device="cpu", progress=False)


def test_a_diverging_run_leaves_its_last_good_checkpoint(cycle, tmp_path):
    run = partial(fit, cycle, replace(FAST, n_epochs=1), device="cpu", progress=False)
    step, steps = training.Adagrad.step, iter(range(10**6))

    def diverges(self, name, grad):
        step(self, name, grad * torch.nan if next(steps) == 100 else grad)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Adagrad, "step", diverges)
        with pytest.raises(ValueError, match="lower the learning rate"):
            run(checkpoint=tmp_path / "run")
    assert (tmp_path / "run").exists()
    assert torch.equal(run(checkpoint=tmp_path / "run").output, run().output)


def test_nothing_to_predict_is_an_error():
    with pytest.raises(ValueError, match="needs a session of two events, two if n_sample=0"):
        fit(random_sessions().take([]), SMALL, device="cpu", progress=False)


def test_callback_streams_points(cycle):
    points = []
    model = fit(cycle, replace(FAST, n_epochs=2), device="cpu", progress=False, callback=points.append)
    epochs = [point["epoch"] for point in points]
    assert len(points) > 20 and epochs == sorted(epochs) and epochs[-1] == 2
    assert [point for point in points if "loss" in point] == model.history
    assert all(point.keys() == {"epoch", "running_loss"} for point in points if point not in model.history)


@pytest.mark.parametrize("bptt", [1, 4])
@pytest.mark.parametrize("how", ["readable", "compiled"])
def test_a_running_loss_is_the_mean_since_the_last_one(how, bptt):
    """Weighted by their predictions, those of an epoch have the epoch's mean, though at its end few lanes are left."""
    if how == "compiled" and bptt > 1:
        pytest.skip("the compiled step has no windows")
    data, points, sizes = random_sessions(), [], []
    config = replace(SMALL, n_epochs=1, bptt=bptt)
    schedule = session_parallel(data.offsets, config.batch_size)
    model = fit(data, config, device="cpu", progress=False, callback=points.append,
                **(COMPILED if how == "compiled" else {}))
    *points, last = points
    ends = [round(point["epoch"] * schedule.n_steps) for point in points]
    sizes = np.diff(schedule.offsets[[0, *ends]])
    assert ends[-1] == schedule.n_steps and sizes[-1] < sizes[0]
    mean = np.average([point["running_loss"] for point in points], weights=sizes)
    assert mean == pytest.approx(model.history[0]["loss"], rel=1e-6) == last["loss"]


def test_no_running_loss_is_that_of_a_single_short_step(cycle):
    """Untrained, all 16 + 20 columns are about as likely: each is near log 36, the last of the epoch too."""
    points = []
    config = replace(FAST, n_epochs=1, learning_rate=1e-6, logq=0.0)
    fit(cycle, config, device="cpu", progress=False, callback=points.append)
    losses = [point["running_loss"] for point in points[:-1]]
    assert losses == pytest.approx([np.log(FAST.batch_size + FAST.n_sample)] * len(losses), abs=0.1)


@pytest.mark.parametrize("field,value,allowed", [
    ("loss", "hinge", "one of cross-entropy, bpr, "), ("input", "word2vec", "one of shared, "),
    ("final_activation", "relu", "one of linear, tanh, elu"), ("hidden_size", 0, "an integer of at least 1"),
    ("hidden_size", (8, 0), "an integer of at least 1 or a tuple"), ("hidden_size", (), "an integer of at least 1"),
    ("embedding_size", 2.5, "an integer"), ("embedding_dropout", -0.1, "a number of at least 0 and below 1"),
    ("hidden_dropout", 1.0, "a number of at least 0 and below 1"), ("batch_size", 0, "an integer of at least 1"),
    ("n_sample", -5, "an integer of at least 0"), ("sample_alpha", float("nan"), "a number of at least 0"),
    ("logq", -1, "a number of at least 0"), ("mask_targets", "no", "True or False"),
    ("bpr_max_regularization", "strong", "a number"), ("learning_rate", 0, "a number above 0"),
    ("momentum", -5, "a number of at least 0 and below 1"), ("n_epochs", True, "an integer"),
    ("bptt", 0, "an integer of at least 1"), ("feedforward_size", -1, "an integer of at least 0"),
    ("elu_alpha", 0.0, "a number above 0"), ("exact_logq", 1, "True or False")])
def test_bad_settings_are_named_with_what_is_allowed(field, value, allowed):
    with pytest.raises(ValueError, match=re.escape(f"{field}={value!r}; it must be {allowed}")):
        GRU4RecConfig(**{field: value})


# --- Going on from a trained model ------------------------------------------------------------------------


ON = GRU4RecConfig(hidden_size=16, batch_size=16, n_sample=32, n_epochs=1, momentum=0.1)
QUIET = {"device": "cpu", "progress": False}


def weeks(n_items, seed, new_item=False):
    """Clicks on a ring of items; with a new item, it stands between the last item and the first."""
    rng, rows = np.random.default_rng(seed), []
    ring = [f"i{n:02}" for n in range(n_items)] + ["a new one"] * new_item
    for s in range(300):
        start = rng.integers(len(ring))
        rows += [(s, ring[(start + t) % len(ring)], 1000.0 * s + t) for t in range(rng.integers(3, 7))]
    return SessionData.from_frame(pd.DataFrame(rows, columns=["session", "item", "time"]))


def equal_models(one, other):
    return (one.history == other.history and one.item_ids.tolist() == other.item_ids.tolist() and all(
        torch.equal(a, b) for mine, theirs in ((one.state_dict(), other.state_dict()),
                                               (one.optimizer_state, other.optimizer_state))
        for a, b in zip(mine.values(), theirs.values(), strict=True)))


@pytest.mark.parametrize("saved", [False, True])
def test_one_more_epoch_later_is_one_more_at_once(saved, tmp_path):
    train = weeks(20, seed=0)
    start = fit(train, replace(ON, n_epochs=2), **QUIET)
    if saved:
        start.save(tmp_path / "model")
        start = GRU4Rec.load(tmp_path / "model", device="cpu")
    before = {name: t.clone() for name, t in (start.state_dict() | start.optimizer_state).items()}
    points = []
    later = fit(train, ON, start=start, callback=points.append, **QUIET)
    assert equal_models(later, fit(train, replace(ON, n_epochs=3), **QUIET))
    assert not equal_models(later, fit(train, ON, **QUIET))
    assert [point["epoch"] for point in later.history] == [1, 2, 3] and points[0]["epoch"] > 2
    for name, t in (start.state_dict() | start.optimizer_state).items():
        assert torch.equal(t, before[name])  # the model to start from is not changed


def test_a_checkpoint_goes_on_with_more_epochs_but_not_with_fewer(tmp_path):
    train = weeks(20, seed=0)
    fit(train, replace(ON, n_epochs=2), checkpoint=tmp_path / "run", **QUIET)
    more = fit(train, replace(ON, n_epochs=3), checkpoint=tmp_path / "run", **QUIET)
    assert equal_models(more, fit(train, replace(ON, n_epochs=3), **QUIET))
    with pytest.raises(ValueError, match="has 3 epochs, more than n_epochs=2; raise n_epochs, or give another"):
        fit(train, replace(ON, n_epochs=2), checkpoint=tmp_path / "run", **QUIET)


def test_the_next_week_brings_a_new_item_and_keeps_what_was_learned():
    first, next_week = weeks(20, seed=0), weeks(20, seed=1, new_item=True)
    start = fit(first, replace(ON, n_epochs=8), **QUIET)
    later = fit(next_week, replace(ON, n_epochs=3), start=start, **QUIET)
    assert later.item_ids.tolist() == [*start.item_ids, "a new one"]
    assert later.recommend(["i18", "i19"], k=1).ids.tolist() == ["a new one"]
    assert later.recommend(["a new one"], k=1).ids.tolist() == ["i00"]
    for n in range(17):  # what the new item did not change
        history, expected = [f"i{n:02}", f"i{n + 1:02}"], f"i{n + 2:02}"
        assert start.recommend(history, k=1).ids == later.recommend(history, k=1).ids == [expected]
    # an epoch of 20 sessions is enough for a model that has seen the first week, but not for a new one
    few = next_week.take(range(20))
    for begin, least, most in ((start, 0.8, 1), (None, 0, 0.5)):
        model = fit(few, ON, start=begin, **QUIET)
        test = weeks(20, seed=2, new_item=True).restrict_to(model.item_ids)
        assert least <= metrics.evaluate_sessions(model, test, k=1).recall <= most


def test_old_rows_keep_their_optimiser_state_and_new_rows_have_none():
    start = fit(weeks(20, seed=0), ON, **QUIET)
    steps = []

    def no_step(model, optimizer, sampler, schedule, items, steps_, lanes, report):
        steps.append({name: t.clone() for name, t in optimizer.tensors().items()})
        report(steps_.stop, torch.tensor(1.0), 1, lambda: lanes)

    fit(weeks(20, seed=1, new_item=True), ON, start=start, epoch=no_step, **QUIET)
    assert steps[0].keys() == start.optimizer_state.keys()
    for name, old in start.optimizer_state.items():
        assert torch.equal(steps[0][name][:len(old)], old) and not steps[0][name][len(old):].any()
    assert len(steps[0]["acc.output"]) == 21 and start.optimizer_state["acc.output"].any()


def test_a_run_that_goes_on_resumes_after_a_kill_and_knows_its_start(tmp_path):
    start, next_week = fit(weeks(20, seed=0), ON, **QUIET), weeks(20, seed=1, new_item=True)

    def killed(point):
        if point["epoch"] > 1.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(next_week, ON, start=start, checkpoint=tmp_path / "run", callback=killed, **QUIET)
    other = fit(weeks(20, seed=0), ON, seed=5, **QUIET)
    with pytest.raises(ValueError, match=r"belongs to another run [(]start="):
        fit(next_week, ON, start=other, checkpoint=tmp_path / "run", **QUIET)
    resumed = fit(next_week, ON, start=start, checkpoint=tmp_path / "run", **QUIET)
    assert equal_models(resumed, fit(next_week, ON, start=start, **QUIET))


def test_what_does_not_fit_the_model_to_start_from_is_refused():
    start = fit(weeks(20, seed=0), ON, **QUIET)
    with pytest.raises(ValueError, match=r"output of the model to start from is .20, 16., which does not fit"):
        fit(weeks(20, seed=1), replace(ON, hidden_size=8), start=start, **QUIET)
    for changes in ({"hidden_size": (16, 16)}, {"feedforward_size": 8}, {"input": "separate"}):
        with pytest.raises(ValueError, match="the model to start from has other layers"):
            fit(weeks(20, seed=1), replace(ON, **changes), start=start, **QUIET)
    numbers = SessionData.from_frame(pd.DataFrame({"session": [1, 1, 2, 2], "item": [1, 2, 2, 1], "time": range(4)}))
    with pytest.raises(ValueError, match="like 'i00', but there is 1 too; all must be integers, or all strings"):
        fit(numbers, ON, start=start, **QUIET)


def test_validation_is_over_the_joined_catalogue():
    start, week = fit(weeks(20, seed=0), ON, **QUIET), weeks(20, seed=1, new_item=True)
    later = fit(week, replace(ON, n_epochs=2), start=start, valid=week.take(range(40)), **QUIET)
    assert [sorted(point) for point in later.history[1:]] == [["epoch", "loss", "mrr", "recall"]] * 2


def test_one_seed_in_three_threads_gives_one_model():
    train = weeks(20, seed=0)
    alone = fit(train, replace(ON, n_epochs=2), **QUIET)
    with ThreadPoolExecutor(3) as pool:
        models = list(pool.map(lambda _: fit(train, replace(ON, n_epochs=2), **QUIET), range(3)))
    assert all(equal_models(model, alone) for model in models)


# --- Saving -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    return fit(random_sessions(), SMALL, device="cpu", progress=False)


def test_saved_model_recommends_the_same(trained, tmp_path):
    trained.save(tmp_path / "model")
    loaded = GRU4Rec.load(tmp_path / "model", device="cpu")
    assert loaded.config == trained.config and loaded.history == trained.history
    ours, theirs = (model.recommend(["i03", "i01"], k=5) for model in (trained, loaded))
    assert ours.ids.tolist() == theirs.ids.tolist()
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5)
    assert sorted(f.name for f in (tmp_path / "model").iterdir()) == ["info.json", "tensors.safetensors"]


def edit_info(folder, **changes):
    info = json.loads((folder / "info.json").read_text())
    (folder / "info.json").write_text(json.dumps(info | changes))


def edit_tensors(folder, change):
    save_file(change(load_file(folder / "tensors.safetensors")), folder / "tensors.safetensors")


@pytest.mark.parametrize("damage,match", [
    (lambda f: (f / "tensors.safetensors").write_bytes((f / "tensors.safetensors").read_bytes()[:-9]), "damaged"),
    (lambda f: (f / "tensors.safetensors").write_bytes(b"\x80\x04pickle"), "damaged"),
    (lambda f: (f / "info.json").write_text('{"model": "GRU'), "damaged"),
    (lambda f: edit_info(f, model="AutoRec"), "not of a GRU4Rec"),
    (lambda f: edit_info(f, config={"hidden_size": 8, "speed": 1}), "another version of rnnbook.*speed"),
    (lambda f: edit_info(f, format=99), "another version of rnnbook.*format 99"),
    (lambda f: edit_tensors(f, lambda t: t | {"optimizer.acc.bias": t["bias"][:3].clone()}), "acc.bias is"),
    (lambda f: edit_tensors(f, lambda t: t | {"optimizer.acc.bias": t["bias"] * torch.nan}), "not finite"),
    (lambda f: edit_tensors(f, lambda t: t | {"optimizer.other": torch.ones(2)}), "other is"),
    (lambda f: edit_info(f, item_ids=list(range(10**6))), "output is"),
    (lambda f: edit_tensors(f, lambda t: t | {"output": t["output"] * torch.nan}), "not finite"),
    (lambda f: edit_tensors(f, lambda t: t | {"bias": t["bias"][:3].clone()}), "bias is"),
    (lambda f: edit_tensors(f, lambda t: t | {"extra": torch.zeros(1)}), "other tensors")])
def test_damaged_or_crafted_checkpoints_are_refused(trained, tmp_path, damage, match):
    trained.save(tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(ValueError, match=match):
        GRU4Rec.load(tmp_path / "model", device="cpu")


def test_a_model_of_an_older_version_loads_with_the_defaults_of_new_settings(trained, tmp_path):
    trained.save(tmp_path / "model")
    info = json.loads((tmp_path / "model" / "info.json").read_text())
    assert info.pop("format") == 2
    assert trained.config.bptt == GRU4RecConfig().bptt
    del info["config"]["bptt"]
    (tmp_path / "model" / "info.json").write_text(json.dumps(info))
    with pytest.warns(UserWarning, match="an older version of rnnbook.*bptt=1"):
        loaded = GRU4Rec.load(tmp_path / "model", device="cpu")
    assert loaded.config == trained.config


def test_missing_checkpoint_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tensors\.safetensors"):
        GRU4Rec.load(tmp_path / "nothing")


# --- As a recommender -------------------------------------------------------------------------------------


class TestGRU4RecIsARecommender(RecommenderContract):
    rounding = 1e-5  # float32, of scores up to 13; measured: 2e-6

    def fit(self, train):
        config = GRU4RecConfig(hidden_size=32, batch_size=16, n_sample=30, hidden_dropout=0.0, n_epochs=6)
        return fit(train, config, device="cpu", progress=False)
