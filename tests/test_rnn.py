"""Chapter 1: hand formulas against autograd and torch.nn, gradient flow, the memory task and its optimum."""

import itertools
import math
import re
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rnnbook import metrics, results, rnn
from rnnbook.baselines import ItemKNN, Markov
from rnnbook.rnn import Classifier, ClassifierConfig, MemoryTask
from rnnbook.worlds import SessionWorld

F64 = torch.float64
sizes = st.integers(1, 5)


def random_rnn(T, B, n, d, seed=0, dtype=F64):
    g = torch.Generator().manual_seed(seed)
    shapes = [(T, B, n), (B, d), (d, n), (d, d), (d,), (T, B, d)]  # x, h0, W, U, b, grad_h
    scales = [1, 0.5, 1 / math.sqrt(n), 1 / math.sqrt(d), 0.1, 1]
    return [torch.randn(*shape, generator=g, dtype=dtype) * scale
            for shape, scale in zip(shapes, scales, strict=True)]


def autograd(x, h0, W, U, b, grad_h, truncate=None):
    """The same gradients from PyTorch, with h.detach() between chunks."""
    leaves = [p.clone().requires_grad_() for p in (W, U, b, h0)]
    W, U, b, h = leaves
    loss = 0
    for t, x_t in enumerate(x):
        if truncate is not None and t % truncate == 0 and t > 0:
            h = h.detach()
        h = torch.tanh(x_t @ W.T + h @ U.T + b)
        loss = loss + (h * grad_h[t]).sum()
    return torch.autograd.grad(loss, leaves, allow_unused=True)


# --- forward and BPTT -------------------------------------------------------------------------------------


@given(T=sizes, B=sizes, n=sizes, d=sizes, seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_forward_is_torch_rnn(T, B, n, d, seed):
    x, h0, W, U, b, _ = random_rnn(T, B, n, d, seed)
    theirs = nn.RNN(n, d, dtype=F64)
    theirs.load_state_dict({"weight_ih_l0": W, "weight_hh_l0": U, "bias_ih_l0": b, "bias_hh_l0": 0 * b})
    h = rnn.rnn_forward(x, h0, W, U, b)
    assert h.shape == (T + 1, B, d) and torch.equal(h[0], h0)
    torch.testing.assert_close(h[1:], theirs(x, h0[None])[0], rtol=0, atol=1e-12)


@pytest.mark.claim("bptt-by-hand")
@given(T=sizes, B=sizes, n=sizes, d=sizes, seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_bptt_is_autograd(T, B, n, d, seed):
    x, h0, W, U, b, grad_h = random_rnn(T, B, n, d, seed)
    ours = rnn.rnn_backward(x, rnn.rnn_forward(x, h0, W, U, b), grad_h, U)
    for mine, theirs in zip(ours, autograd(x, h0, W, U, b, grad_h), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)


@pytest.mark.claim("shared-weights-add")
def test_gradient_of_a_shared_weight_is_the_sum_over_its_copies():
    x, h0, W, U, b, grad_h = random_rnn(7, 3, 2, 4)
    copies = [U.clone().requires_grad_() for _ in x]
    h, loss = h0, 0
    for t, U_t in enumerate(copies):
        h = rnn.rnn_step(x[t], h, W, U_t, b)
        loss = loss + (h * grad_h[t]).sum()
    apart = torch.autograd.grad(loss, copies)
    ours = rnn.rnn_backward(x, rnn.rnn_forward(x, h0, W, U, b), grad_h, U).weight_hh
    torch.testing.assert_close(ours, sum(apart), rtol=0, atol=1e-10)
    assert all((ours - g).norm() > 1e-3 for g in apart)  # no single copy would do


@given(T=st.integers(1, 9), truncate=st.integers(1, 12), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_truncated_bptt_is_detach_between_chunks(T, truncate, seed):
    x, h0, W, U, b, grad_h = random_rnn(T, 2, 3, 4, seed)
    h = rnn.rnn_forward(x, h0, W, U, b)
    ours = rnn.rnn_backward(x, h, grad_h, U, truncate)
    theirs = autograd(x, h0, W, U, b, grad_h, truncate)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)
    whole = rnn.rnn_backward(x, h, grad_h, U)
    if truncate >= T:
        torch.testing.assert_close(ours, whole, rtol=0, atol=0)
    else:
        assert (ours.weight_hh - whole.weight_hh).norm() > 1e-6 * whole.weight_hh.norm()


def test_truncate_must_be_a_step():
    x, h0, W, U, b, grad_h = random_rnn(3, 2, 2, 2)
    with pytest.raises(ValueError, match="truncate=0; it must be at least 1"):
        rnn.rnn_backward(x, rnn.rnn_forward(x, h0, W, U, b), grad_h, U, truncate=0)


def echo_gradient(n_sequences, seed, truncate, T=30, d=16, lag=4):
    """Gradient of U for a random RNN that should repeat its input of `lag` steps ago at every step."""
    g = torch.Generator().manual_seed(0)
    W, U, V = (torch.randn(*s, generator=g, dtype=F64) for s in ((d, 1), (d, d), (1, d)))
    U, V, b = U * 0.95 / rnn.spectral_radius(U), V / math.sqrt(d), torch.zeros(d, dtype=F64)
    x = torch.randn(T, n_sequences, 1, generator=torch.Generator().manual_seed(seed), dtype=F64)
    h = rnn.rnn_forward(x, x.new_zeros(n_sequences, d), W, U, b)
    error = h[1:] @ V.T - torch.cat([torch.zeros_like(x[:lag]), x[:-lag]])
    return rnn.rnn_backward(x, h, error @ V / (n_sequences * T), U, truncate).weight_hh


@pytest.mark.claim("truncation-bias")
def test_more_data_removes_the_noise_but_not_the_bias_of_truncation():
    truth = echo_gradient(16384, 1, None)

    def error(n, truncate):  # mean over repetitions, relative
        errors = [(echo_gradient(n, 10 + r, truncate) - truth).norm() / truth.norm() for r in range(6)]
        return sum(errors).item() / 6

    assert error(1024, None) < 0.4 * error(64, None)  # noise: falls like 1 / sqrt(n), a factor 4
    for k in (1, 5):
        assert error(1024, k) > 0.8 * error(64, k)
        assert error(1024, k) > 4 * error(1024, None)
    assert error(1024, 1) > error(1024, 5) > error(1024, 15)


@pytest.mark.claim("truncation-blind")
def test_truncated_gradient_never_sees_the_cue():
    task = MemoryTask(distance=10, length=11)
    x, y = task.sample(50, seed=1)
    x = nn.functional.one_hot(x, task.n_tokens).double()
    _, h0, W, U, b, _ = random_rnn(1, 50, task.n_tokens, 6)
    h = rnn.rnn_forward(x, h0, W, U, b)
    grad_h = torch.zeros_like(h[1:])
    grad_h[-1] = torch.randn(50, 6, generator=torch.Generator().manual_seed(2), dtype=F64)
    for truncate in range(1, 11):
        gradient = rnn.rnn_backward(x, h, grad_h, U, truncate).weight_ih
        assert (gradient[:, : task.n_cues] == 0).all()  # exactly: the cue's weights get nothing
        assert gradient[:, task.n_cues :].abs().max() > 1e-6
    assert rnn.rnn_backward(x, h, grad_h, U, 11).weight_ih[:, : task.n_cues].abs().max() > 1e-6


# --- clipping ---------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**31), scale=st.floats(1e-6, 1e6), max_norm=st.floats(1e-3, 1e3))
@settings(max_examples=60, deadline=None)
def test_clipping_bounds_the_norm_and_keeps_the_direction(seed, scale, max_norm):
    g = torch.Generator().manual_seed(seed)
    gradients = [torch.randn(*shape, generator=g, dtype=F64) * scale for shape in ((3, 2), (4,))]
    before = torch.cat([x.flatten() for x in gradients])
    clipped, norm = rnn.clip_gradient(gradients, max_norm)
    after = torch.cat([x.flatten() for x in clipped])
    assert norm.item() == pytest.approx(before.norm().item())
    assert after.norm() <= max_norm * (1 + 1e-12)
    torch.testing.assert_close(after / after.norm(), before / before.norm(), rtol=0, atol=1e-12)
    if before.norm() <= max_norm:
        assert torch.equal(after, before)


def test_clipping_is_torch_clipping_and_zero_stays_zero():
    parameters = [nn.Parameter(torch.zeros(5, dtype=F64)) for _ in range(2)]
    for p, g in zip(parameters, (3.0, 4.0), strict=True):
        p.grad = torch.full_like(p, g)
    ours, _ = rnn.clip_gradient([p.grad.clone() for p in parameters], 2.0)
    nn.utils.clip_grad_norm_(parameters, 2.0)
    for mine, p in zip(ours, parameters, strict=True):
        torch.testing.assert_close(mine, p.grad, rtol=1e-6, atol=0)
    assert torch.equal(rnn.clip_gradient([torch.zeros(3)], 1.0)[0][0], torch.zeros(3))


# --- gradient flow ----------------------------------------------------------------------------------------


def test_spectral_radius():
    turn = torch.tensor([[0.0, -3.0], [3.0, 0.0]], dtype=F64)  # eigenvalues +-3i
    assert rnn.spectral_radius(turn).item() == pytest.approx(3)
    shear = torch.tensor([[0.9, 50.0], [0.0, -0.5]], dtype=F64)
    assert rnn.spectral_radius(shear).item() == pytest.approx(0.9)


def flow(x, h0, W, U, b, grad):
    return rnn.gradient_norms(lambda x_t, h: rnn.rnn_step(x_t, h, W, U, b), x, h0, grad)


def test_gradient_norms_are_products_of_jacobians():
    x, h0, W, U, b, grad_h = random_rnn(6, 1, 3, 4)
    h = rnn.rnn_forward(x, h0, W, U, b)
    vector, expected = grad_h[-1, 0], [grad_h[-1, 0].norm()]
    for t in reversed(range(6)):
        vector = U.T @ torch.diag(1 - h[t + 1, 0] ** 2) @ vector  # J_t^T v, J_t = diag(1 - h^2) U
        expected.append(vector.norm())
    torch.testing.assert_close(flow(x, h0, W, U, b, grad_h[-1]), torch.stack(expected), rtol=1e-12, atol=0)


def test_gradient_norms_leave_the_first_state_as_it_was():
    x, h0, W, U, b, grad_h = random_rnn(3, 2, 3, 4)
    norms = flow(x, h0, W, U, b, grad_h[-1])
    assert not h0.requires_grad
    computed = h0 * torch.ones((), dtype=F64, requires_grad=True)  # with a graph of its own
    torch.testing.assert_close(flow(x, computed, W, U, b, grad_h[-1]), norms)


@pytest.mark.claim("norm-below-one-vanishes")
@given(norm=st.floats(0.1, 0.99), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_gradient_is_bounded_by_powers_of_the_spectral_norm(norm, seed):
    x, h0, W, U, b, grad_h = random_rnn(12, 2, 3, 5, seed)
    U = U * norm / torch.linalg.matrix_norm(U, 2)
    norms = flow(x, h0, W, U, b, grad_h[-1])
    assert (norms <= norms[0] * norm ** torch.arange(13, dtype=F64) * (1 + 1e-9)).all()


def test_without_saturation_an_orthogonal_matrix_gives_exact_powers():
    x, h0, W, U, b, grad_h = random_rnn(20, 3, 2, 6)
    U = 1.3 * torch.linalg.qr(U)[0]
    norms = flow(torch.zeros_like(x), torch.zeros_like(h0), W, U, torch.zeros_like(b), grad_h[-1])
    torch.testing.assert_close(norms / norms[0], 1.3 ** torch.arange(21, dtype=F64))


@pytest.mark.claim("radius-is-not-the-whole-story")
def test_radius_below_one_can_grow_and_above_one_can_vanish():
    B = 4
    grow = torch.tensor([[0.9, 5.0], [0.0, 0.9]], dtype=F64)
    zeros, grad = torch.zeros(30, B, 2, dtype=F64), torch.ones(B, 2, dtype=F64)
    eye, none = torch.eye(2, dtype=F64), torch.zeros(2, dtype=F64)
    norms = flow(zeros, zeros[0], eye, grow, none, grad)
    assert rnn.spectral_radius(grow) < 1 and norms.max() > 3 * norms[0]
    # radius 5, but saturated: tanh' is so small that nothing survives 30 steps
    norms = flow(torch.full_like(zeros, 3.0), zeros[0] + 1, eye, 5 * eye, none, grad)
    assert norms[30] / norms[0] < 1e-60


@pytest.mark.claim("gates-set-the-reach")
def test_open_gates_carry_a_gradient_at_any_radius_and_half_open_ones_do_not():
    radii, reach = (0.5, 1.0, 1.5), {}
    for cell in ("rnn", "lstm", "gru"):
        reach[cell] = [rnn.gradient_flow(cell, r)[40].item() for r in radii]
    assert max(reach["rnn"]) / min(reach["rnn"]) > 1e6
    for cell in ("lstm", "gru"):
        assert min(reach[cell]) > 0.05 and max(reach[cell]) / min(reach[cell]) < 10
        shut = rnn.gradient_flow(cell, 1.0, gate_bias=0.0)[40].item()  # the control: PyTorch's own start
        assert shut < 1e-5 and shut < 1e-2 * reach["rnn"][1]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_gradient_flow_shape_and_determinism(cell):
    norms = rnn.gradient_flow(cell, 0.9, length=20, hidden_size=8, seed=3)
    assert norms.shape == (20,) and norms.dtype == F64 and norms[0].item() == pytest.approx(1)
    assert torch.equal(norms, rnn.gradient_flow(cell, 0.9, length=20, hidden_size=8, seed=3))
    assert not torch.equal(norms, rnn.gradient_flow(cell, 0.9, length=20, hidden_size=8, seed=4))


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match="cell='GRU'; it must be rnn, gru or lstm"):
        rnn.gradient_flow("GRU", 0.9, length=20)


def slow_flow(cell, radius, length, d, seed, gate_bias, n_sequences=16):
    """`gradient_flow` one sequence at a time, by PyTorch's cells, with the Jacobian of each step written out."""
    kind, blocks = {"rnn": (nn.RNNCell, 1), "lstm": (nn.LSTMCell, 4), "gru": (nn.GRUCell, 3)}[cell]
    g = torch.Generator().manual_seed(seed)
    U, W, x, grad = (torch.randn(*shape, generator=g, dtype=F64) for shape in (
        (blocks, d, d), (blocks * d, d), (2 * length - 1, n_sequences, d), (n_sequences, d)))
    U = torch.stack([u * radius / np.abs(np.linalg.eigvals(u.numpy())).max() for u in U]).flatten(0, 1)
    bias = torch.zeros(blocks, d, dtype=F64)
    bias[1:2] = gate_bias
    layer = kind(d, d, dtype=F64)
    layer.load_state_dict({"weight_ih": W / (4 * math.sqrt(d)), "weight_hh": U, "bias_ih": bias.flatten(),
                           "bias_hh": torch.zeros(blocks * d)})

    def step(x_t, s):
        if cell == "lstm":
            return torch.cat([part[0] for part in layer(x_t[None], (s[None, :d], s[None, d:]))])
        return layer(x_t[None], s[None])[0]

    norms = torch.zeros(length, dtype=F64)
    for i in range(n_sequences):
        state, jacobians = torch.zeros(2 * d if cell == "lstm" else d, dtype=F64), []
        for t in range(2 * length - 1):
            if t >= length:
                jacobians.append(torch.autograd.functional.jacobian(partial(step, x[t, i]), state))
            state = step(x[t, i], state).detach()
        back = torch.zeros_like(state)
        back[:d] = grad[i] / grad[i].norm()
        for k in range(length):
            norms[k] += back.norm() / n_sequences
            if k < length - 1:
                back = jacobians[-1 - k].T @ back
    return norms


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_gradient_flow_is_the_slow_form_by_torch(cell):
    ours = rnn.gradient_flow(cell, 1.3, length=4, hidden_size=3, seed=6, gate_bias=0.8, n_sequences=2)
    torch.testing.assert_close(ours, slow_flow(cell, 1.3, 4, 3, 6, 0.8, 2), rtol=1e-9, atol=0)


def test_gradient_flow_starts_with_the_numbers_of_the_page():
    by_name = rnn.gradient_flow("gru", 0.9, length=50, hidden_size=32, seed=0, gate_bias=3.0, n_sequences=16)
    assert torch.equal(rnn.gradient_flow("gru", 0.9), by_name)


# --- gated cells ------------------------------------------------------------------------------------------


def gated(kind, n=3, d=4, T=6, B=2, seed=0):
    """A torch.nn layer with random weights, and an input and a state for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = kind(n, d, dtype=F64)
        for p in layer.parameters():
            nn.init.normal_(p, std=0.8)
        x, h0, c0 = (torch.randn(*shape, dtype=F64) for shape in ((T, B, n), (B, d), (B, d)))
        return layer, x, h0, c0


@pytest.mark.claim("gated-cells-by-hand")
@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_lstm_is_torch_lstm(seed):
    layer, x, h0, c0 = gated(nn.LSTM, seed=seed)
    W, U, b = layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0 + layer.bias_hh_l0
    h, c = h0, c0
    for x_t in x:
        h, c = rnn.lstm_step(x_t, h, c, W, U, b)
    _, (h_torch, c_torch) = layer(x, (h0[None], c0[None]))
    torch.testing.assert_close((h, c), (h_torch[0], c_torch[0]), rtol=0, atol=1e-12)
    ours = torch.autograd.grad(h.sum() + c.prod(), [W, U])
    theirs = torch.autograd.grad(h_torch.sum() + c_torch.prod(), [W, U])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.claim("gated-cells-by-hand")
@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_gru_is_torch_gru(seed):
    layer, x, h0, _ = gated(nn.GRU, seed=seed)
    W, U, b, b_hidden = layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0
    h = h0
    for x_t in x:
        h = rnn.gru_step(x_t, h, W, U, b, b_hidden)
    h_torch = layer(x, h0[None])[1][0]
    torch.testing.assert_close(h, h_torch, rtol=0, atol=1e-12)
    ours, theirs = (torch.autograd.grad(o.pow(2).sum(), [W, U, b_hidden]) for o in (h, h_torch))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


CELLS = {"rnn": (nn.RNNCell, nn.RNN), "lstm": (nn.LSTMCell, nn.LSTM), "gru": (nn.GRUCell, nn.GRU)}


def step_of(name, x, h, c, **weights):
    """One step of a cell of ours: (h',) or (h', c')."""
    if name == "lstm":
        return rnn.lstm_step(x, h, c, **weights)
    return ({"rnn": rnn.rnn_step, "gru": rnn.gru_step}[name](x, h, **weights),)


@pytest.mark.parametrize("name", CELLS)
def test_weights_go_from_torch_to_our_step_by_their_names(name):
    cell, layer = (kind(3, 4, dtype=F64) for kind in CELLS[name])
    _, x, h, c = gated(nn.LSTM)
    state = (h, c) if name == "lstm" else h
    theirs = cell(x[0], state)
    torch.testing.assert_close(step_of(name, x[0], h, c, **cell.state_dict()),
                               theirs if name == "lstm" else (theirs,), rtol=0, atol=1e-12)
    ours = (h, c)
    weights = {key.removesuffix("_l0"): tensor for key, tensor in layer.state_dict().items()}
    for x_t in x:
        ours = (*step_of(name, x_t, ours[0], ours[-1], **weights), c)[:2]
    torch.testing.assert_close(ours[0], layer(x, (h[None], c[None]) if name == "lstm" else h[None])[0][-1],
                               rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_weights_go_from_our_step_to_torch_by_their_names(name):
    blocks, (_, x, h, c) = {"rnn": 1, "gru": 3, "lstm": 4}[name], gated(nn.LSTM)
    weights = {"weight_ih": torch.randn(4 * blocks, 3, dtype=F64), "weight_hh": torch.randn(4 * blocks, 4, dtype=F64),
               "bias_ih": torch.randn(4 * blocks, dtype=F64), "bias_hh": torch.randn(4 * blocks, dtype=F64)}
    cell, layer = (kind(3, 4, dtype=F64) for kind in CELLS[name])
    cell.load_state_dict(weights)
    layer.load_state_dict({f"{key}_l0": tensor for key, tensor in weights.items()})
    ours = step_of(name, x[0], h, c, **weights)
    theirs = cell(x[0], (h, c)) if name == "lstm" else (cell(x[0], h),)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    of_layer = layer(x[:1], (h[None], c[None]) if name == "lstm" else h[None])[0][0]
    torch.testing.assert_close(ours[0], of_layer, rtol=0, atol=1e-12)


def test_gradients_have_the_names_of_torch():
    x, h0, W, U, b, grad_h = random_rnn(5, 2, 3, 4)
    cell = nn.RNN(3, 4, dtype=F64)
    cell.load_state_dict({"weight_ih_l0": W, "weight_hh_l0": U, "bias_ih_l0": b, "bias_hh_l0": 0 * b})
    (cell(x, h0[None])[0] * grad_h).sum().backward()
    ours = rnn.rnn_backward(x, rnn.rnn_forward(x, h0, W, U, b), grad_h, U)
    for name in ("weight_ih", "weight_hh", "bias_ih"):
        torch.testing.assert_close(getattr(ours, name), getattr(cell, f"{name}_l0").grad, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours.bias_ih, cell.bias_hh_l0.grad, rtol=0, atol=1e-10)
    split = rnn.rnn_forward(x, h0, W, U, bias_ih=0.3 * b, bias_hh=0.7 * b)
    torch.testing.assert_close(split, rnn.rnn_forward(x, h0, W, U, b), rtol=0, atol=1e-12)


def flip_update_gate(*blocks):
    """Negate the second block (z) of stacked gate weights: sigmoid(-a) = 1 - sigmoid(a)."""
    return [torch.cat([r, -z, n]) for r, z, n in (w.chunk(3) for w in blocks)]


@pytest.mark.claim("gru-two-forms")
@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_paper_gru_equals_torch_after_flipping_z_only_if_reset_and_product_commute(seed):
    layer, x, h, _ = gated(nn.GRU, seed=seed)
    W, U, b = (p.detach() for p in (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0))
    zero = torch.zeros_like(b)
    diagonal = torch.cat([U[:8], torch.diag(torch.diagonal(U[8:]))])
    for U_, equal in ((diagonal, True), (U, False)):
        torch_form = rnn.gru_step(x[0], h, W, U_, b, zero)
        paper = rnn.gru_step_paper(x[0], h, *flip_update_gate(W, U_, b))
        assert torch.allclose(torch_form, paper, rtol=0, atol=1e-12) is equal
        assert (rnn.gru_step_paper(x[0], h, W, U_, b) - torch_form).abs().max() > 1e-6  # z not flipped: never


def test_paper_gru_by_the_equations():
    layer, x, h, _ = gated(nn.GRU)
    W, U, b = (p.detach() for p in (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0))
    for row in range(2):
        x_t, h_t = x[0, row], h[row]
        r = torch.sigmoid(W[:4] @ x_t + U[:4] @ h_t + b[:4])
        z = torch.sigmoid(W[4:8] @ x_t + U[4:8] @ h_t + b[4:8])
        candidate = torch.tanh(W[8:] @ x_t + U[8:] @ (r * h_t) + b[8:])
        torch.testing.assert_close(rnn.gru_step_paper(x[0], h, W, U, b)[row], (1 - z) * h_t + z * candidate)


# --- dtype and device -------------------------------------------------------------------------------------


def test_hand_code_makes_no_tensor_elsewhere():
    # the meta device raises when a tensor of another device meets one of its own
    x, h0, W, U, b, grad_h = (t.to("meta") for t in random_rnn(4, 2, 3, 5, dtype=torch.float32))
    gradients = rnn.rnn_backward(x, rnn.rnn_forward(x, h0, W, U, b), grad_h, U, truncate=2)
    assert all(g.device.type == "meta" and g.dtype == torch.float32 for g in gradients)
    W4, b4 = torch.cat([W] * 4), torch.cat([b] * 4)
    U4 = torch.cat([U] * 4)
    assert rnn.lstm_step(x[0], h0, h0, W4, U4, b4)[0].device.type == "meta"
    assert rnn.gru_step_paper(x[0], h0, W4[:15], U4[:15], b4[:15]).dtype == torch.float32


# --- the memory task --------------------------------------------------------------------------------------


def test_optimum_by_enumeration():
    """Every sequence, target and probability of a small task; the best answer to each sequence, summed."""
    task = MemoryTask(distance=1, length=3, n_cues=3, n_noise=2, keep=0.7)
    joint = {}
    for cue, first, last, y in itertools.product(range(3), (3, 4), (3, 4), range(3)):
        joint[(first, cue, last), y] = 1 / 3 / 4 * (0.7 if y == cue else 0.15)
    assert sum(joint.values()) == pytest.approx(1)
    accuracy = entropy = 0.0
    for x in {x for x, _ in joint}:
        p = [joint[x, y] for y in range(3)]
        accuracy += max(p)
        entropy -= sum(q * math.log(q / sum(p)) for q in p)
        exact = task.posterior(torch.tensor(x)[:, None])[0]
        torch.testing.assert_close(exact, torch.tensor(p, dtype=F64) / sum(p))
    assert task.optimum() == pytest.approx((accuracy, entropy))


class Fixed(nn.Module):
    """Answers with the same scores whatever it sees: zeros, or the targets' popularity."""

    def __init__(self, scores):
        super().__init__()
        self.scores = nn.Parameter(scores)

    def forward(self, x):
        return self.scores.expand(x.shape[1], -1)


class Exact(Fixed):
    def __init__(self, task):
        super().__init__(torch.zeros(1))
        self.task = task

    def forward(self, x):
        return self.task.posterior(x).log()


@pytest.mark.parametrize("distance", [0, 7, 40])
def test_sampled_scores_meet_the_closed_forms(distance):
    task, n = MemoryTask(distance=distance), 20_000
    best, none = task.optimum(), task.no_memory()
    noise = 4 * math.sqrt(best.accuracy * (1 - best.accuracy) / n)  # 4 standard errors
    exact = rnn.evaluate(Exact(task), task, n)
    assert exact.accuracy == pytest.approx(best.accuracy, abs=noise)
    assert exact.cross_entropy == pytest.approx(best.cross_entropy, abs=5 * noise)
    y = task.sample(n, seed=3)[1]
    for scores in (torch.zeros(4), torch.bincount(y).log()):  # the zero model and popularity
        blind = rnn.evaluate(Fixed(scores), task, n)
        assert blind.accuracy == pytest.approx(none.accuracy, abs=0.015)
        assert blind.cross_entropy == pytest.approx(none.cross_entropy, abs=1e-3)
        assert blind.accuracy < best.accuracy - 0.5


def test_samples_hold_one_cue_where_it_belongs_and_repeat():
    task = MemoryTask(distance=5, length=9, n_cues=3, n_noise=4)
    x, y = task.sample(200, seed=8)
    assert x.shape == (9, 200) and y.shape == (200,) and x.dtype == y.dtype == torch.int64
    assert ((x < 3).sum(dim=0) == 1).all() and (x[3] < 3).all() and x.max() == 6 and y.max() == 2
    assert torch.equal(task.sample(200, seed=8)[0], x) and not torch.equal(task.sample(200, seed=9)[0], x)
    g = torch.Generator().manual_seed(8)  # drawn in this order, so that a seed keeps its numbers
    noise, cue, step, u = (torch.randint(3, 7, (9, 200), generator=g), torch.randint(3, (200,), generator=g),
                           torch.randint(1, 3, (200,), generator=g), torch.rand(200, generator=g))
    noise[3] = cue
    assert torch.equal(x, noise) and torch.equal(y, torch.where(u < 0.9, cue, (cue + step) % 3))
    with pytest.raises(ValueError, match="distance=9; it must be below length=9"):
        MemoryTask(distance=9, length=9)


def test_certain_targets_have_zero_entropy():
    assert MemoryTask(keep=1.0).optimum() == pytest.approx((1.0, 0.0))


@pytest.mark.claim("vanilla-can-hold")
def test_vanilla_weights_set_by_hand_reach_the_optimum_and_pass_no_gradient():
    task, d = MemoryTask(), 4
    U, b, W = 5 * torch.eye(d, dtype=F64), torch.zeros(d, dtype=F64), torch.zeros(d, task.n_tokens, dtype=F64)
    W[:, :4] = 40 * torch.eye(d, dtype=F64) - 20
    x, y = task.sample(4000, seed=1)
    one_hot = nn.functional.one_hot(x, task.n_tokens).double()
    h = rnn.rnn_forward(one_hot, torch.zeros(4000, d, dtype=F64), W, U, b)
    p = task.posterior(x)
    logits = h[-1] * math.log(task.keep / ((1 - task.keep) / 3)) / 2
    torch.testing.assert_close(logits.softmax(dim=1), p, rtol=0, atol=1e-4)
    norms = flow(one_hot[1:], h[1], W, U, b, torch.ones(4000, d, dtype=F64))
    assert norms[40] / norms[0] < 1e-100


def test_fit_is_the_loop_of_the_page():
    task, config = MemoryTask(distance=1, length=4), ClassifierConfig(n_steps=50, batch_size=8, max_norm=0.1)
    ours = rnn.fit(task, config, device="cpu", seed=2, progress=False)
    torch.manual_seed(2)
    model = Classifier(task.n_tokens, task.n_cues, config)
    optimizer, history = torch.optim.Adam(model.parameters(), lr=config.learning_rate), []
    for i in range(51):
        if i in (0, 25, 50):
            score = rnn.evaluate(model, task, n=1000, seed=0)
            history.append({"step": i, "accuracy": score.accuracy, "cross_entropy": score.cross_entropy})
        if i == 50:
            break  # the last score is that of the model that is returned
        x, y = task.sample(8, seed=3 * 1_000_003 + i)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
        assert norm > 0.1  # so that clipping has an effect
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    assert ours.history == history
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize("shown", [True, False])
def test_the_bar_counts_the_steps(monkeypatch, shown):
    made = []

    def bar(n_steps, shown):
        made.append((n_steps, shown))
        return real(n_steps, False)

    real = rnn.progress_bar
    monkeypatch.setattr(rnn, "progress_bar", bar)
    rnn.fit(MemoryTask(distance=0, length=2), ClassifierConfig(n_steps=3), device="cpu", progress=shown)
    assert made == [(3, shown)]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_classifier_scores_its_last_state(cell):
    task, config = MemoryTask(distance=2, length=5), ClassifierConfig(cell=cell, gate_bias=1.5)
    model, x = Classifier(task.n_tokens, task.n_cues, config), task.sample(6)[0]
    weights = {name.removesuffix("_l0"): p for name, p in model.cell.named_parameters()}
    state = (torch.zeros(6, 32), torch.zeros(6, 32))
    for x_t in x:
        state = (*step_of(cell, model.embedding(x_t), *state, **weights), state[1])[:2]
    torch.testing.assert_close(model(x), model.output(state[0]))
    torch.manual_seed(0)
    biased = Classifier(1, 2, config).cell
    torch.manual_seed(0)
    nn.Embedding(1, 16)  # which the classifier draws first
    plain = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell](16, 32)
    added = torch.zeros_like(plain.bias_ih_l0)
    if cell != "rnn":
        added[32:64] = 1.5
    torch.testing.assert_close(biased.bias_ih_l0 - plain.bias_ih_l0, added)


SIZE = ("an integer of at least 1", [0, -1, 1.5, True, "3", None])
RATE, SHARE = ("a number above 0", [0, -1, math.nan, math.inf]), ("a number of at least 0 and at most 1", [-0.1, 1.1])
ALLOWED = {
    ClassifierConfig: {"cell": ("one of rnn, lstm, gru", ["LSTM", None]), "hidden_size": SIZE, "embedding_size": SIZE,
                       "gate_bias": ("a number", ["open", math.inf, None]), "learning_rate": RATE, "max_norm": RATE,
                       "batch_size": SIZE, "n_steps": SIZE},
    MemoryTask: {"distance": ("an integer of at least 0", [-1, 0.5]), "length": SIZE, "n_noise": SIZE, "keep": SHARE,
                 "n_cues": ("an integer of at least 2", [1, 2.5])}}


@pytest.mark.parametrize("kind", ALLOWED)
def test_every_setting_has_a_limit(kind):
    assert set(ALLOWED[kind]) == {field.name for field in fields(kind)}


@pytest.mark.parametrize("kind,name,value", [(kind, name, value) for kind, limits in ALLOWED.items()
                                             for name, (_, bad) in limits.items() for value in bad])
def test_a_setting_that_is_not_allowed_is_named(kind, name, value):
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r}; it must be {ALLOWED[kind][name][0]}")):
        kind(**{name: value})


def test_the_limits_themselves_are_allowed():
    ClassifierConfig(hidden_size=1, embedding_size=1, gate_bias=-5, batch_size=1, n_steps=1)
    MemoryTask(distance=0, length=1, n_cues=2, n_noise=1, keep=0)
    MemoryTask(distance=3, length=4, keep=1)


def test_the_defaults_are_those_of_the_page():
    assert MemoryTask() == MemoryTask(distance=40, length=41, n_cues=4, n_noise=8, keep=0.9)
    assert ClassifierConfig() == ClassifierConfig("gru", hidden_size=32, embedding_size=16, gate_bias=3.0,
                                                  learning_rate=3e-3, max_norm=1.0, batch_size=64, n_steps=200)
    task, config = MemoryTask(distance=0, length=2), ClassifierConfig(n_steps=1, batch_size=2)
    a, b = (rnn.fit(task, config, device="cpu", progress=False, **options) for options in ({}, {"seed": 0}))
    assert a.history == b.history
    assert rnn.evaluate(a, task) == rnn.evaluate(a, task, n=4000, seed=0)
    assert all(torch.equal(x, y) for x, y in zip(task.sample(3), task.sample(3, seed=0), strict=True))


def test_fit_repeats_and_leaves_the_random_state_alone():
    task, config = MemoryTask(distance=0, length=3), ClassifierConfig(n_steps=25, batch_size=8)
    state = torch.get_rng_state()
    a, b = (rnn.fit(task, config, device="cpu", seed=4, progress=False) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert a.history == b.history and [p["step"] for p in a.history] == [0, 25]
    assert rnn.fit(task, config, device="cpu", seed=5, progress=False).history != a.history


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gate_bias_belongs_to_the_gate_that_keeps_the_state(cell):
    x, state, out = torch.zeros(1, 1, dtype=torch.int64), torch.full((1, 1, 32), 0.7), {}
    for gate_bias in (-30.0, 30.0):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            model = Classifier(4, 2, ClassifierConfig(cell=cell, gate_bias=gate_bias))
            _, end = model.cell(model.embedding(x), (state, state) if cell == "lstm" else state)
        out[gate_bias] = end[1] if cell == "lstm" else end
    if cell == "lstm":  # c' = f c + i g with f = 1 and 0: the two differ by the old c
        torch.testing.assert_close(out[30.0] - out[-30.0], state)
    else:  # h' = (1 - z) n + z h
        torch.testing.assert_close(out[30.0], state)
        assert (out[-30.0] - state).abs().max() > 0.1


def best_of_training(cell, distance, **settings):
    """Highest accuracy and lowest cross-entropy on the way; a late wobble of one run is not the point."""
    task = MemoryTask(distance=distance)
    history = rnn.fit(task, ClassifierConfig(cell=cell, **settings), device="cpu", progress=False).history
    return max(p["accuracy"] for p in history), min(p["cross_entropy"] for p in history)


@pytest.mark.claim("memory-needs-open-gates")
def test_open_gates_remember_and_the_others_do_not():
    best, none = MemoryTask().optimum(), MemoryTask().no_memory()
    for cell in ("lstm", "gru"):
        accuracy, cross_entropy = best_of_training(cell, 40, n_steps=150)
        assert accuracy > 0.95 * best.accuracy and cross_entropy < best.cross_entropy + 0.1
    for cell, gate_bias in (("rnn", 0.0), ("lstm", 0.0)):
        accuracy, cross_entropy = best_of_training(cell, 40, gate_bias=gate_bias)
        assert accuracy < none.accuracy + 0.1 and cross_entropy > none.cross_entropy - 0.1


@pytest.mark.claim("memory-control")
def test_without_distance_the_vanilla_cell_does_as_well():
    best = MemoryTask().optimum()
    for cell in ("rnn", "gru"):
        accuracy, cross_entropy = best_of_training(cell, 0, n_steps=75)
        assert accuracy > 0.97 * best.accuracy and cross_entropy < best.cross_entropy + 0.07


@pytest.mark.claim("vanilla-draws-lots")
def test_the_recorded_seeds_scatter_for_the_vanilla_cell_only():
    best, none = MemoryTask().optimum().accuracy, MemoryTask().no_memory().accuracy
    result = results.load("rnn-memory")
    assert result["config"]["n_steps_vanilla"] == 3 * result["config"]["n_steps"]
    seeds = {row["model"]: row["values"] for row in result["rows"]
             if row["metric"] == "accuracy, distance 40"}
    assert all(len(values) == 5 for name, values in seeds.items() if name != "optimum")
    assert min(seeds["GRU, open"]) > 0.97 * best and min(seeds["LSTM, open"]) > 0.9 * best
    assert round(1 - min(seeds["LSTM, open"]) / best, 2) == 0.06 and sorted(seeds["LSTM, open"])[1] > 0.97 * best
    assert max(seeds["LSTM, half-open"] + seeds["GRU, half-open"]) < none + 0.05
    assert min(seeds["vanilla"]) < 0.5 * best and max(seeds["vanilla"]) > 0.97 * best


@pytest.mark.twin("vanilla-draws-lots")
def test_seeds_scatter_for_the_vanilla_cell_only_over_twenty_steps_too():
    task, best = MemoryTask(distance=20, length=25), MemoryTask().optimum().accuracy
    vanilla = ClassifierConfig(cell="rnn", gate_bias=0.0, learning_rate=1e-2, n_steps=200)
    gru = ClassifierConfig(cell="gru", learning_rate=1e-2, n_steps=100)
    reached = {cell: [rnn.fit(task, config, device="cpu", seed=seed, progress=False).history for seed in seeds]
               for cell, config, seeds in (("vanilla", vanilla, range(5)), ("GRU", gru, range(1)))}

    def holds(which):
        accuracy = {cell: [history[which]["accuracy"] for history in seeds] for cell, seeds in reached.items()}
        return (min(accuracy["vanilla"]) < 0.5 * best and max(accuracy["vanilla"]) > 0.8 * best
                and min(accuracy["GRU"]) > 0.95 * best)

    assert holds(-1) and not holds(0)  # before the first step


# --- neighbours and order ---------------------------------------------------------------------------------


def backwards(data):
    sessions = [data.items[a:b][::-1] for a, b in itertools.pairwise(data.offsets)]
    return replace(data, items=np.concatenate(sessions))


@pytest.mark.claim("co-occurrence-is-blind-to-order")
@pytest.mark.parametrize("seed", [0, 1])
def test_item_knn_scores_reversed_sessions_alike_and_markov_does_not(seed):
    world = SessionWorld(n_items=60, seed=seed)
    train, test = world.sample(400, seed=1), world.sample(50, seed=2)
    same = {}
    for method in (ItemKNN, Markov):
        ahead, back = (torch.cat([s for _, s in method().fit(d).score_sessions(test)])
                       for d in (train, backwards(train)))
        assert ahead.std() > 0
        same[method] = torch.equal(ahead, back)
    assert same == {ItemKNN: True, Markov: False}


def recall_in(world, k=20):
    """Recall@20 of item-KNN and Markov with their scores, of the last-click ceiling and of the optimum."""
    train, test = world.sample(4000, seed=3), world.sample(800, seed=4)
    knn, markov, last, best = (metrics.evaluate_sessions(m, test, k, n_boot=200) for m in (
        ItemKNN().fit(train), Markov().fit(train), world.last_item(), world.bayes()))
    return knn, markov, last, best


@pytest.mark.claim("order-is-worth-counting")
def test_order_costs_item_knn_only_where_it_tells_something():
    knn, markov, _, best = recall_in(SessionWorld(stay=0.0, states_per_item=1))
    assert metrics.paired_difference(markov, knn, "recall")[1] > 0.2  # low end of the 95 % interval
    assert knn.recall < 0.65 * best.recall and markov.recall > 0.9 * best.recall
    control_knn, _, _, control_best = recall_in(SessionWorld(stay=1.0, states_per_item=1))
    assert control_knn.recall > 0.85 * control_best.recall


@pytest.mark.claim("the-last-click-is-not-enough")
def test_last_click_methods_stay_below_their_ceiling_and_that_below_the_optimum():
    knn, markov, last, best = recall_in(SessionWorld())
    for method in (knn, markov):
        assert metrics.paired_difference(last, method, "recall")[1] > 0
    assert metrics.paired_difference(best, last, "recall")[1] > 0.1
