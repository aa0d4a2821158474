"""GRU4Rec's training step and ranking, compiled: the results of `gru4rec.train_step` and `GRU4Rec.score_sessions`,
several times as fast on a CPU.

To understand the model, read `gru4rec.py` first. `fit` here calls `gru4rec.fit` with another epoch function. `Ranker`
replaces the model in `metrics.evaluate_sessions`. The gradients are the same, but written by hand. Numba compiles them,
so there is no autograd graph and no small tensor is allocated. In addition:

- An item that is drawn twice, or is the target of two rows, is one column of the scores, with a weight. So the matrix
  products are smaller, and every row of a table is updated once, without a search for repeats.
- Each thread has its own columns in the products, in the softmax and in Adagrad. It waits for the others in a loop,
  without sleeping.
- e^x and x^(-1/2) are written such that the compiler uses vector instructions.

The step supports the default settings and settings near them: a CPU, one layer, a shared table, cross-entropy or
BPR-max, one step of back-propagation. `unsupported` names what is not supported. The ranking works for every GRU4Rec on
a CPU.
"""

from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg  # noqa: F401 - loads the BLAS that Numba calls, so that ThreadpoolController below finds it
import torch

from rnnbook import gru4rec, metrics, training
from rnnbook.gru4rec import GRU4RecConfig
from rnnbook.interactions.ragged import concatenated_ranges
from rnnbook.metrics import TIES
from rnnbook.recommenders import Recommender
from rnnbook.training.lanes import lanes_of, rows_to_lanes

try:
    import numba
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic, overload
    from threadpoolctl import ThreadpoolController
except ImportError as error:
    raise ImportError(f'{error.name} is not installed, which rnnbook.fast needs: pip install "rnnbook[fast]"',
                      name=error.name) from error

ACTIVATIONS = {"linear": 0, "tanh": 1, "elu": 2}
LINEAR, TANH, ELU = ACTIVATIONS.values()
STANDARD, CONSERVATIVE, MEDIAN = range(len(TIES))
BLAS = ThreadpoolController()
__all__ = ["Ranker", "cannot_rank", "evaluate_sessions", "fit", "train_epoch", "train_epoch_of_ranks", "unsupported"]
# Python's error model checks every division for a divisor of 0, which would prevent vector instructions.
FASTMATH: dict[str, Any] = {"fastmath": True, "error_model": "numpy"}
# FASTMATH assumes that there are no NaN. KEEPS_NAN does not.
KEEPS_NAN: dict[str, Any] = {"fastmath": {"reassoc", "contract", "arcp", "nsz"}, "error_model": "numpy"}
N_ROWS, N_COLUMNS = 64, 4096  # scores that are computed together in the search for the best: a megabyte
PIECE = 64  # of which the maximum is compared before any of them
CHUNK = 100  # steps in one call of the compiled code; the progress bar is updated between two calls


def unsupported(config, device):
    """The settings and the device with which this step cannot train, as a str; "" if it can train with all of them.

    Parameters
    ----------
    config : GRU4RecConfig
    device : torch.device

    Examples
    --------
    >>> from rnnbook.gru4rec import GRU4RecConfig
    >>> unsupported(GRU4RecConfig(), torch.device("cpu"))
    ''
    >>> unsupported(GRU4RecConfig(loss="top1"), torch.device("cpu"))
    "loss='top1'"
    """
    able = {"loss": ("cross-entropy", "bpr-max"), "input": ("shared",), "bptt": (1,), "mask_targets": (False,),
            "feedforward_size": (0,), "elu_alpha": (1.0,), "exact_logq": (False,)}
    refused = [f"{name}={getattr(config, name)!r}" for name, values in able.items()
               if getattr(config, name) not in values]
    if len(config.hidden_sizes) > 1:
        refused.append(f"hidden_size={config.hidden_size!r}")
    if config.loss == "cross-entropy" and config.final_activation != "linear":
        refused.append(f"final_activation={config.final_activation!r} with cross-entropy")
    if device.type != "cpu":
        refused.append(f"device={str(device)!r}")
    return ", ".join(refused)


def fit(train, config=GRU4RecConfig(), *, device="auto", **options):
    """Train as `gru4rec.fit` does, with compiled steps and compiled validation. The results differ only by rounding.

    Parameters
    ----------
    train, config, device, **options
        As in `gru4rec.fit`.

    Returns
    -------
    GRU4Rec

    Raises
    ------
    ValueError
        The compiled step does not support these settings or this device. The message names them.

    Examples
    --------
    >>> from rnnbook import gru4rec
    >>> from rnnbook.worlds import SessionWorld
    >>> sessions = SessionWorld().sample(200)
    >>> config = gru4rec.GRU4RecConfig(hidden_size=8, n_epochs=1)
    >>> options = {"device": "cpu", "progress": False}
    >>> readable = gru4rec.fit(sessions, config, **options)
    >>> compiled = fit(sessions, config, **options)
    >>> torch.allclose(readable.output, compiled.output, atol=1e-3)
    True
    """
    refused = unsupported(config, training.pick_device(device))
    if refused:
        raise ValueError(f"the compiled step cannot train with {refused}; gru4rec.fit can (the command without --fast)")
    return gru4rec.fit(train, config, device=device, epoch=train_epoch, evaluate=evaluate_sessions, **options)


def train_epoch(model, optimizer, sampler, schedule, items, steps, lanes, report):
    """Train on some steps. The arguments and the random numbers are those of `gru4rec.train_epoch`.

    Examples
    --------
    Two sessions in one lane have three steps. This call trains on the first two.

    >>> from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig, NegativeSampler, session_parallel
    >>> from rnnbook.training import Adagrad
    >>> model = GRU4Rec(["a", "b", "c"], GRU4RecConfig(batch_size=1, n_sample=4))
    >>> optimizer = Adagrad(model.named_parameters(), lr=0.1)
    >>> sampler = NegativeSampler([1, 2, 2], n_sample=4, alpha=0.5, device="cpu", n_steps=2)
    >>> items, offsets, losses = torch.tensor([0, 1, 2, 1, 2]), np.array([0, 3, 5]), []
    >>> train_epoch(model, optimizer, sampler, session_parallel(offsets, 1), items, range(2),
    ...             model.initial_state(1), report=lambda t, loss, *_: losses.append(loss.item()))
    >>> min(losses) > 0
    True
    """
    x, y = items.numpy()[schedule.position], items.numpy()[schedule.position + 1]
    state = _first_state(model, schedule, steps, lanes)
    learned, constants = _of_model(model, optimizer), _of_steps(model.config, sampler, state.dtype)
    work = _work(model)

    def lanes_before(t):
        return _lanes(state, schedule.lanes(t), schedule.batch_size)

    with _threads() as in_parts:
        for chunk, offsets, *drawn in _chunks(model.config, sampler, schedule, steps):
            piece = slice(offsets[0], offsets[-1])
            work.arrived[0] = 0
            loss, *_ = in_parts(  # each part returns the loss of all parts
                _run, x[piece], y[piece], schedule.reset[piece], schedule.keep[piece], offsets - offsets[0], *drawn,
                state, *learned, *constants, work)
            report(chunk.stop, torch.tensor(loss, dtype=torch.float64), int(offsets[-1] - offsets[0]),
                   partial(lanes_before, chunk.stop))


def train_epoch_of_ranks(ranks, model, optimizer, sampler, schedule, items, steps, lanes, report):
    """Train on some steps with several processes. The arguments are those of `distributed.train_epoch`.

    Pass it to `distributed.fit` as ``epoch``.

    Examples
    --------
    >>> from rnnbook import distributed
    >>> from rnnbook.gru4rec import GRU4RecConfig
    >>> from rnnbook.worlds import SessionWorld
    >>> sessions, config = SessionWorld().sample(200), GRU4RecConfig(hidden_size=8, n_epochs=1)
    >>> readable, compiled = (
    ...     distributed.fit(sessions, config, device="cpu", progress=False, epoch=epoch)
    ...     for epoch in (distributed.train_epoch, train_epoch_of_ranks))
    >>> torch.allclose(readable.output, compiled.output, atol=1e-3)
    True
    """
    own, first = lanes_of(schedule, ranks.rank, ranks.n)
    x, y = items.numpy()[schedule.position], items.numpy()[schedule.position + 1]
    state = _first_state(model, own, steps, lanes)
    learned, constants = _of_model(model, optimizer), _of_steps(model.config, sampler, state.dtype)
    work = _work(model)

    def lanes_before(t):  # the lanes of all ranks
        return ranks.sum(_lanes(state, own.lanes(t), schedule.batch_size))

    # After each sum, PyTorch's threads would keep a processor busy for a while, so they are limited to one.
    with _threads(openmp=1) as in_parts:
        for chunk, offsets, samples, *masks in _chunks(model.config, sampler, schedule, steps):
            total = torch.zeros(1, dtype=model.output.dtype)
            for t in chunk:
                mine, here = slice(*own.offsets[t:t + 2]), slice(*schedule.offsets[t:t + 2])
                n, low = mine.stop - mine.start, here.start - offsets[0] + first[t]
                work.arrived[0] = 0
                (loss, _), *_ = in_parts(
                    _gradients, 0, x[here], y[here], samples[t - chunk.start], first[t], own.reset[mine],
                    *(mask[low:low + n] for mask in masks), state[:n], learned[0], *constants, work)
                loss = total.new_tensor([loss])
                gradients = [loss, *map(torch.from_numpy, _of_step(work))]
                for gradient, of_all in zip(gradients, ranks.sum(gradients)):
                    gradient.copy_(of_all)
                in_parts(_update, *learned, constants[-1], work)
                live = state[:n][own.keep[mine]]  # rows of ended lanes are removed
                state[:len(live)] = live
                total += loss
            report(chunk.stop, total[0], int(offsets[-1] - offsets[0]), partial(lanes_before, chunk.stop))


@contextmanager
def _threads(**limits):
    """Yields in_parts(function, *arguments): a list of the results of ``function(part, n_parts, *arguments)``, which
    runs once in each thread."""
    n_parts = torch.get_num_threads()
    with BLAS.limit(limits={"blas": 1} | limits), ThreadPoolExecutor(n_parts) as threads:  # each thread calls BLAS
        yield lambda function, *arguments: list(
            threads.map(lambda part: function(part, n_parts, *arguments), range(n_parts)))


def _of_model(model, optimizer):
    """The parameters, and the optimiser's accumulators and velocities: three `Weights`."""
    names = [name for name, _ in model.named_parameters()]
    acc = _arrays(optimizer.acc, names)
    velocity = _arrays(optimizer.velocity, names) if optimizer.momentum else acc  # without momentum it is not read
    return _arrays(model.state_dict(), names), acc, velocity


def _of_steps(config, sampler, dtype):
    """The weight of each item in the softmax, float [n_items], as a target and as a sample; and the settings."""
    logq = config.logq if config.loss == "cross-entropy" else 0.0
    settings = Settings(*np.array([config.learning_rate, config.momentum, config.batch_size,
                                   config.bpr_max_regularization], dtype), config.loss == "bpr-max",
                        ACTIVATIONS[config.final_activation])
    return *(torch.exp(-strength * sampler.log_support).numpy() for strength in (logq, logq * sampler.alpha)), settings


def _first_state(model, schedule, steps, lanes):
    """The state of the first step's rows, from the states of the lanes: float [batch_size, d]."""
    rows = schedule.lanes(steps.start)
    state = np.zeros((schedule.batch_size, model.config.hidden_sizes[0]), lanes[0].numpy().dtype)
    state[:len(rows)] = lanes[0][rows]
    return state


def _lanes(state, rows, batch_size):
    """The state of all lanes, from a state from which ended lanes are already removed."""
    return rows_to_lanes([torch.from_numpy(state[:len(rows)])], rows, batch_size)


def _chunks(config, sampler, schedule, steps):
    """Yields chunks of at most `CHUNK` steps, with all random numbers drawn for them.

    A chunk is (range of steps, offsets int64 [n_steps + 1], extra negatives int64 [n_steps, n_sample], dropout masks of
    the inputs and of the states, float [n_predictions, d], or [0, d] without dropout).
    """
    size, real = config.hidden_sizes[0], sampler.log_support.dtype
    n_steps = max(1, min(CHUNK, steps.stop // 20, 4_000_000 // (config.batch_size * size)))
    for start in steps[::n_steps]:
        chunk = range(start, min(start + n_steps, steps.stop))
        offsets = schedule.offsets[chunk.start:chunk.stop + 1]
        samples = torch.empty(len(chunk), config.n_sample, dtype=torch.int64)
        drop_x, drop_h = (torch.empty(offsets[-1] - offsets[0] if p else 0, size, dtype=real)
                          for p in (config.embedding_dropout, config.hidden_dropout))
        for t, (lo, hi) in enumerate(pairwise(offsets - offsets[0])):
            samples[t] = sampler.next()
            for mask, p in ((drop_x, config.embedding_dropout), (drop_h, config.hidden_dropout)):
                if p:
                    mask[lo:hi].bernoulli_(1 - p).div_(1 - p)
        yield chunk, offsets, samples.numpy(), drop_x.numpy(), drop_h.numpy()


class Weights(NamedTuple):
    """The model's parameters in its own order, or the optimiser's state of each, as NumPy arrays that share memory."""

    output: np.ndarray  # [n_items, d]
    bias: np.ndarray  # [n_items, 1]
    w_x: np.ndarray  # [3d, d]
    b_x: np.ndarray  # [3d, 1]
    w_h: np.ndarray  # [3d, d]
    b_h: np.ndarray  # [3d, 1]


def _arrays(tensors, names):
    return Weights(*(tensors[name].detach().numpy().reshape(len(tensors[name]), -1) for name in names))


class Settings(NamedTuple):
    lr: np.floating
    momentum: np.floating
    batch_size: np.floating
    regularization: np.floating
    bpr_max: bool
    activation: int


@intrinsic
def _two_to_the(typingctx, n):
    """2ⁿ as float32 for an int32 n: n + 127 is shifted into the bits of the exponent."""
    def codegen(context, builder, signature, arguments):
        i32 = ir.IntType(32)
        biased = builder.add(arguments[0], ir.Constant(i32, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(i32, 23)), ir.FloatType())
    return types.float32(types.int32), codegen


@intrinsic
def _add_atomically(typingctx, counter, n):
    """Add n to ``counter[0]`` atomically and return the sum. Writes before it are then visible to other threads."""
    def codegen(context, builder, signature, arguments):
        pointer = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.add(builder.atomic_rmw("add", pointer, arguments[1], "seq_cst"), arguments[1])
    return types.int64(counter, types.int64), codegen


@intrinsic
def _let_others_run(typingctx):
    """Let other threads run, for the case of more threads than processors."""
    def codegen(context, builder, signature, arguments):
        if sys.platform != "win32":
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()
    return types.void(), codegen


@numba.njit
def _wait_for_all(arrived, passed, n_parts):
    """A barrier: waits until all threads have arrived. ``passed`` counts the arrivals at earlier barriers; returns the
    new count."""
    goal = passed + n_parts
    seen, tries = _add_atomically(arrived, 1), 0
    while seen < goal:
        seen = _add_atomically(arrived, 0)
        tries += 1
        if tries % 1000 == 0:
            _let_others_run()
    return goal


@numba.njit
def _share(n, part, n_parts):
    """The start and the end of a part's share of range(n)."""
    return n * part // n_parts, n * (part + 1) // n_parts


def _exp(x):
    """eˣ.

    A call of the C library would prevent vector instructions, so in float32 this is the polynomial of Cephes. In
    float64, where the tests compare digits, it is the library's function. In float32, x is limited to ±30: compared
    with 1 the difference is below the precision, and numbers near 1e-38, which are slow to compute with, do not occur.
    So for scores that are more than 30 apart, the loss and the gradient of BPR-max differ from the readable ones.
    """
    return math.exp(x)


@overload(_exp, inline="always")
def _overload_exp(x):
    if x != types.float32:
        return lambda x: math.exp(x)
    f = np.float32
    top, bottom, log2e, hi, lo = f(30), f(-30), f(1.44269504), f(0.693359375), f(-2.12194440e-4)
    c0, c1, c2, c3, c4, half, one = (f(1.9875691500e-4), f(1.3981999507e-3), f(8.3334519073e-3), f(4.1665795894e-2),
                                     f(1.6666665459e-1), f(0.5), f(1))

    def exp(x):
        x = min(max(x, bottom), top)
        n = np.floor(x * log2e + half)
        r = x - n * hi - n * lo
        p = ((((c0 * r + c1) * r + c2) * r + c3) * r + c4) * r + half
        return (p * r * r + r + one) * _two_to_the(np.int32(n))
    return exp


@numba.njit(**KEEPS_NAN)
def _tanh(x):
    one = type(x)(1)
    return one - type(x)(2) / (one + _exp(x + x))


@numba.njit(**FASTMATH)
def _adagrad(p, acc, velocity, rows, grad, low, high, lr, momentum):
    """Update the rows ``rows[low:high]`` of a parameter by ``grad[low:high]``, as `training.Adagrad` does."""
    epsilon, power = p.dtype.type(1e-6), p.dtype.type(-0.5)  # np.sqrt would not use vector instructions
    for u in range(low, high):
        row = rows[u]
        if momentum > 0:
            for k in range(p.shape[1]):
                acc[row, k] += grad[u, k] * grad[u, k]
                velocity[row, k] = momentum * velocity[row, k] - lr * grad[u, k] * (acc[row, k] + epsilon) ** power
                p[row, k] += velocity[row, k]
        else:
            for k in range(p.shape[1]):
                acc[row, k] += grad[u, k] * grad[u, k]
                p[row, k] -= lr * grad[u, k] * (acc[row, k] + epsilon) ** power


# --- A step, phase by phase ---------------------------------------------------------------------------------
# Each thread runs the same code with its own `part` of `n_parts`, and waits for the others between two phases. In a
# step, U is the number of columns of the scores, R ≥ U that of the used rows of the table, and B that of active lanes.


class Work(NamedTuple):
    """Arrays that the threads share. N is the maximum of U, M the maximum of B."""

    arrived: np.ndarray  # int64 [1]: the number of arrivals at all barriers so far
    size: np.ndarray  # int64 [2]: U and R
    place: np.ndarray  # int64 [n_items]: the position of an item in `rows`, or -1
    rows: np.ndarray  # int64 [N + M]: the items of the step, each once, those with a column of the scores first
    all_gates: np.ndarray  # int64 [3d]: the row numbers of the GRU's weights
    weight: np.ndarray  # [N]: the weight of a column in the softmax
    column: np.ndarray  # int64 [M]: the column of a lane's target
    x_row: np.ndarray  # int64 [M]: the position of a lane's input in `rows`
    table: np.ndarray  # [N + M, d]: the rows of the table
    d_table: np.ndarray
    d_bias: np.ndarray  # [N, 1]
    e: np.ndarray  # [N · M]: used as [U, B]; first the scores, then their exponentials, then the gradient
    r: np.ndarray  # [N · M], for BPR-max: the scores
    sigma: np.ndarray  # [N · M], for BPR-max: σ(target − score)
    x_in: np.ndarray  # [M, d]: the inputs of the GRU
    before: np.ndarray  # [M, d]: the state before the step
    d_x: np.ndarray
    g_x: np.ndarray  # [M, 3d]: r, z and n of the GRU
    g_h: np.ndarray  # [M, 3d]
    d_g_x: np.ndarray
    d_g_h: np.ndarray
    target: np.ndarray  # [M]: the target's score
    sums: np.ndarray  # [n_parts, 5, M]: the largest score and four sums over a part's columns
    d_h: np.ndarray  # [n_parts, M, d]
    d_w_x: np.ndarray  # [n_parts, 3d, d]
    d_b_x: np.ndarray  # [n_parts, 3d, 1]
    d_w_h: np.ndarray
    d_b_h: np.ndarray


def _work(model):
    config, n_parts, whole = model.config, torch.get_num_threads(), np.int64
    n_items, d = model.output.shape
    most, bpr_max = config.batch_size, config.loss == "bpr-max"
    n = most + config.n_sample

    def real(*shape):
        return np.empty(shape, model.output.detach().numpy().dtype)

    return Work(
        arrived=np.zeros(1, whole), size=np.zeros(2, whole), place=np.full(n_items, -1), rows=np.empty(n + most, whole),
        all_gates=np.arange(3 * d), weight=real(n), column=np.empty(most, whole), x_row=np.empty(most, whole),
        table=real(n + most, d), d_table=real(n + most, d), d_bias=real(n, 1), e=real(n * most),
        r=real(n * most * bpr_max), sigma=real(n * most * bpr_max),
        x_in=real(most, d), before=real(most, d), d_x=real(most, d),
        g_x=real(most, 3 * d), g_h=real(most, 3 * d), d_g_x=real(most, 3 * d), d_g_h=real(most, 3 * d),
        target=real(most), sums=real(n_parts, 5, most), d_h=real(n_parts, most, d), d_w_x=real(n_parts, 3 * d, d),
        d_b_x=real(n_parts, 3 * d, 1), d_w_h=real(n_parts, 3 * d, d), d_b_h=real(n_parts, 3 * d, 1))


@numba.njit(**FASTMATH)
def _each_item_once(x, y, first, n_lanes, samples, target_weight, sample_weight, work):
    """Find the rows of the table that the step uses, and among them the targets and inputs of the n lanes."""
    rows, place, weight = work.rows, work.place, work.weight
    n = 0
    for i in range(len(y)):
        u = place[y[i]]
        if u < 0:
            u = n
            place[y[i]], rows[u], weight[u] = u, y[i], 0
            n += 1
        if 0 <= i - first < n_lanes:
            work.column[i - first] = u
        weight[u] += target_weight[y[i]]
    for item in samples:
        u = place[item]
        if u < 0:
            u = n
            place[item], rows[u], weight[u] = u, item, 0
            n += 1
        weight[u] += sample_weight[item]
    work.size[0] = n
    for i in range(len(x)):
        u = place[x[i]]
        if u < 0:
            u = n
            place[x[i]], rows[u] = u, x[i]
            n += 1
        if 0 <= i - first < n_lanes:
            work.x_row[i - first] = u
    work.size[1] = n
    for u in range(n):
        place[rows[u]] = -1


@numba.njit(**FASTMATH)
def _forward(part, n_parts, x, y, reset, drop_x, drop_h, h, weights, activation, work):
    """Compute the GRU for this part's lanes and the scores of their targets; copy this part's rows of the table."""
    output, bias, w_x, b_x, w_h, b_h = weights
    g_x, g_h, x_in, before = work.g_x, work.g_h, work.x_in, work.before
    zero, one, d = output.dtype.type(0), output.dtype.type(1), output.shape[1]
    low, high = _share(work.size[1], part, n_parts)
    for u in range(low, high):
        row = work.rows[u]
        for k in range(d):
            work.table[u, k] = output[row, k]

    low, high = _share(len(x), part, n_parts)
    for i in range(low, high):
        for k in range(d):
            x_in[i, k] = output[x[i], k]
            if reset[i]:
                h[i, k] = zero
            before[i, k] = h[i, k]
        if len(drop_x):
            for k in range(d):
                x_in[i, k] *= drop_x[i, k]
    np.dot(x_in[low:high], w_x.T, g_x[low:high])
    np.dot(before[low:high], w_h.T, g_h[low:high])
    for i in range(low, high):
        for k in range(2 * d):
            g_x[i, k] = one / (one + _exp(-(g_x[i, k] + b_x[k, 0] + g_h[i, k] + b_h[k, 0])))
        for k in range(2 * d, 3 * d):
            g_h[i, k] += b_h[k, 0]
            g_x[i, k] = _tanh(g_x[i, k] + b_x[k, 0] + g_x[i, k - 2 * d] * g_h[i, k])
        for k in range(d):
            n, z = g_x[i, 2 * d + k], g_x[i, d + k]
            h[i, k] = n + z * (before[i, k] - n)
        if len(drop_h):
            for k in range(d):
                h[i, k] *= drop_h[i, k]
        score = bias[y[i], 0]
        for k in range(d):
            score += h[i, k] * output[y[i], k]
        if activation == TANH:
            score = _tanh(score)
        elif activation == ELU:
            score = max(score, zero) + min(_exp(score) - one, zero)
        work.target[i] = score


@numba.njit(**FASTMATH)
def _scores(part, n_parts, h, bias, bpr_max, activation, work):
    """Compute this part's columns of the scores, the largest of them for each lane, and the sums for the loss."""
    n_columns, n_lanes = work.size[0], len(h)
    low, high = _share(n_columns, part, n_parts)
    e = work.e[:n_columns * n_lanes].reshape((n_columns, n_lanes))
    top, z, p, s, q = work.sums[part]
    zero, one = bias.dtype.type(0), bias.dtype.type(1)
    np.dot(work.table[low:high], h.T, e[low:high])
    for i in range(n_lanes):
        top[i] = bias.dtype.type(-1e30)
        z[i] = p[i] = s[i] = q[i] = zero
    for u in range(low, high):
        b = bias[work.rows[u], 0]
        for i in range(n_lanes):
            e[u, i] += b
        if activation == TANH:  # outside the loops: a test for every score would prevent vector instructions
            for i in range(n_lanes):
                e[u, i] = _tanh(e[u, i])
        elif activation == ELU:
            for i in range(n_lanes):
                e[u, i] = max(e[u, i], zero) + min(_exp(e[u, i]) - one, zero)
        for i in range(n_lanes):
            top[i] = max(top[i], e[u, i])
    if not bpr_max:
        for u in range(low, high):
            w = work.weight[u]
            for i in range(n_lanes):
                e[u, i] = w * _exp(e[u, i] - top[i])
                z[i] += e[u, i]
        return
    r = work.r[:n_columns * n_lanes].reshape((n_columns, n_lanes))
    sigma = work.sigma[:n_columns * n_lanes].reshape((n_columns, n_lanes))
    # Each loop uses few arrays. With more, the compiler could not prove that they do not overlap, and would not use
    # vector instructions.
    for u in range(low, high):
        w = work.weight[u]
        for i in range(n_lanes):
            r[u, i] = e[u, i]
        for i in range(n_lanes):
            sigma[u, i] = one / (one + _exp(e[u, i] - work.target[i]))
        for i in range(n_lanes):
            e[u, i] = w * _exp(e[u, i] - top[i])
    for i in range(n_lanes):  # a lane's target is not its negative, but samples of the same item are
        u = work.column[i]
        if low <= u < high:
            e[u, i] *= (work.weight[u] - one) / work.weight[u]
    for u in range(low, high):
        for i in range(n_lanes):
            z[i] += e[u, i]
        for i in range(n_lanes):
            p[i] += e[u, i] * sigma[u, i]
        for i in range(n_lanes):
            s[i] += e[u, i] * sigma[u, i] * (one - sigma[u, i])
        for i in range(n_lanes):
            q[i] += e[u, i] * r[u, i] * r[u, i]


@numba.njit(**FASTMATH)
def _back_to_table_and_state(part, n_parts, y, h, target_weight, settings, work):
    """Compute the gradient of this part's scores, and from it the gradients of the table's rows, of the biases and of
    the state. Returns the loss of all lanes."""
    n_columns, n_lanes = work.size[0], len(h)
    low, high = _share(n_columns, part, n_parts)
    e = work.e[:n_columns * n_lanes].reshape((n_columns, n_lanes))
    zero, one, sums = h.dtype.type(0), h.dtype.type(1), work.sums
    scale, z, p, s, q, ridge = np.empty((6, n_lanes), h.dtype)
    loss = 0.0
    for i in range(n_lanes):
        top = sums[0, 0, i]
        for other in range(1, n_parts):
            top = max(top, sums[other, 0, i])
        z[i] = p[i] = s[i] = q[i] = zero
        for other in range(n_parts):
            share = _exp(sums[other, 0, i] - top)
            z[i] += share * sums[other, 1, i]
            p[i] += share * sums[other, 2, i]
            s[i] += share * sums[other, 3, i]
            q[i] += share * sums[other, 4, i]
        scale[i] = _exp(sums[part, 0, i] - top) / settings.batch_size
        if settings.bpr_max:
            loss += math.log(z[i] / p[i]) + settings.regularization * q[i] / z[i]
        else:
            loss += math.log(z[i] / target_weight[y[i]]) + top - work.target[i]

    if not settings.bpr_max:
        for i in range(n_lanes):
            scale[i] /= z[i]
        for u in range(low, high):
            for i in range(n_lanes):
                e[u, i] *= scale[i]
        for i in range(n_lanes):
            u = work.column[i]
            if low <= u < high:
                e[u, i] -= one / settings.batch_size
    else:
        r = work.r[:n_columns * n_lanes].reshape((n_columns, n_lanes))
        sigma = work.sigma[:n_columns * n_lanes].reshape((n_columns, n_lanes))
        for i in range(n_lanes):
            z[i], p[i] = one / z[i], one / p[i]
            q[i] *= z[i]
            ridge[i] = settings.regularization * z[i]
        for u in range(low, high):
            for i in range(n_lanes):
                sigma[u, i] = z[i] - sigma[u, i] * sigma[u, i] * p[i]
            for i in range(n_lanes):
                sigma[u, i] += ridge[i] * (r[u, i] * r[u, i] + r[u, i] + r[u, i] - q[i])
            for i in range(n_lanes):
                e[u, i] *= scale[i] * sigma[u, i]
        for i in range(n_lanes):
            u = work.column[i]
            if low <= u < high:
                e[u, i] -= s[i] * p[i] / settings.batch_size
        if settings.activation == TANH:
            for u in range(low, high):
                for i in range(n_lanes):
                    e[u, i] *= one - r[u, i] * r[u, i]
        elif settings.activation == ELU:
            for u in range(low, high):
                for i in range(n_lanes):
                    e[u, i] *= min(r[u, i], zero) + one
    for u in range(low, high):
        work.d_bias[u, 0] = zero
        for i in range(n_lanes):
            work.d_bias[u, 0] += e[u, i]
    np.dot(e[low:high], h, work.d_table[low:high])
    np.dot(e[low:high].T, work.table[low:high], work.d_h[part, :n_lanes])
    return loss


@numba.njit(**FASTMATH)
def _back_through_gru(part, n_parts, n_lanes, drop_x, drop_h, weights, work):
    """Compute the gradients of this part's lanes: of their inputs, and of the GRU's weights summed over these lanes."""
    g_x, g_h, d_g_x, d_g_h, before = work.g_x, work.g_h, work.d_g_x, work.d_g_h, work.before
    zero, one, d = before.dtype.type(0), before.dtype.type(1), before.shape[1]
    low, high = _share(n_lanes, part, n_parts)
    for i in range(low, high):
        for other in range(1, n_parts):
            for k in range(d):
                work.d_h[0, i, k] += work.d_h[other, i, k]
        if len(drop_h):
            for k in range(d):
                work.d_h[0, i, k] *= drop_h[i, k]
        for k in range(d):
            r, z, n, d_h = g_x[i, k], g_x[i, d + k], g_x[i, 2 * d + k], work.d_h[0, i, k]
            d_n = d_h * (one - z) * (one - n * n)
            d_g_x[i, k] = d_n * g_h[i, 2 * d + k] * r * (one - r)
            d_g_x[i, d + k] = d_h * (before[i, k] - n) * z * (one - z)
            d_g_x[i, 2 * d + k] = d_n
            d_g_h[i, 2 * d + k] = d_n * r
        for k in range(2 * d):
            d_g_h[i, k] = d_g_x[i, k]
    np.dot(d_g_x[low:high], weights.w_x, work.d_x[low:high])
    if len(drop_x):
        for i in range(low, high):
            for k in range(d):
                work.d_x[i, k] *= drop_x[i, k]
    np.dot(d_g_x[low:high].T, work.x_in[low:high], work.d_w_x[part])
    np.dot(d_g_h[low:high].T, before[low:high], work.d_w_h[part])
    work.d_b_x[part] = zero
    work.d_b_h[part] = zero
    for i in range(low, high):
        for k in range(3 * d):
            work.d_b_x[part, k, 0] += d_g_x[i, k]
            work.d_b_h[part, k, 0] += d_g_h[i, k]


@numba.njit(**FASTMATH)
def _add_up(part, n_parts, n_lanes, work):
    """Add the gradients of the inputs, and the sums of the other parts, to this part's rows of the gradients."""
    n_columns, n_rows = work.size
    low, high = _share(n_rows, part, n_parts)
    work.d_table[max(low, n_columns):high] = 0
    for i in range(n_lanes):
        u = work.x_row[i]
        if low <= u < high:
            for k in range(work.d_table.shape[1]):
                work.d_table[u, k] += work.d_x[i, k]
    low, high = _share(work.d_w_x.shape[1], part, n_parts)
    for grad in (work.d_w_x, work.d_b_x, work.d_w_h, work.d_b_h):
        for other in range(1, n_parts):
            for k in range(low, high):
                for j in range(grad.shape[2]):
                    grad[0, k, j] += grad[other, k, j]


@numba.njit(**FASTMATH, nogil=True, cache=True)
def _gradients(part, n_parts, passed, x, y, samples, first, reset, drop_x, drop_h, h, weights, target_weight,
               sample_weight, settings, work):
    """Compute the gradients of a step for the n lanes from ``first`` on; all `n_parts` threads call this.

    `_of_step` returns the gradients. This returns the sum of these lanes' losses, and the number of arrivals at
    barriers so far. x, y int64 [B], the inputs and targets of all lanes; samples int64 [n_sample]; reset bool [n];
    drop_x and drop_h float [n, d], the dropout masks, empty without dropout; h float [n, d], the state, changed in
    place; target_weight and sample_weight float [n_items], the weight of an item in the softmax as a target and as a
    sample.
    """
    n_lanes = len(reset)
    own_x, own_y = x[first:first + n_lanes], y[first:first + n_lanes]
    if part == 0:
        _each_item_once(x, y, first, n_lanes, samples, target_weight, sample_weight, work)
    passed = _wait_for_all(work.arrived, passed, n_parts)
    _forward(part, n_parts, own_x, own_y, reset, drop_x, drop_h, h, weights, settings.activation, work)
    passed = _wait_for_all(work.arrived, passed, n_parts)
    _scores(part, n_parts, h, weights.bias, settings.bpr_max, settings.activation, work)
    passed = _wait_for_all(work.arrived, passed, n_parts)
    loss = _back_to_table_and_state(part, n_parts, own_y, h, target_weight, settings, work)
    passed = _wait_for_all(work.arrived, passed, n_parts)
    _back_through_gru(part, n_parts, n_lanes, drop_x, drop_h, weights, work)
    passed = _wait_for_all(work.arrived, passed, n_parts)
    _add_up(part, n_parts, n_lanes, work)
    return loss, passed


def _of_step(work):
    """The gradients of a step: of the used rows of the table, of their biases, and of the GRU's weights."""
    n_columns, n_rows = work.size
    return (work.d_table[:n_rows], work.d_bias[:n_columns], work.d_w_x[0], work.d_b_x[0], work.d_w_h[0], work.d_b_h[0])


@numba.njit(**FASTMATH, nogil=True, cache=True)
def _update(part, n_parts, weights, acc, velocity, settings, work):
    """Apply Adagrad to the same rows of the table, the biases and the GRU's weights that this part had in `_add_up`."""
    lr, momentum, all_gates = settings.lr, settings.momentum, work.all_gates
    n_columns, n_rows = work.size
    low, high = _share(n_rows, part, n_parts)
    _adagrad(weights.output, acc.output, velocity.output, work.rows, work.d_table, low, high, lr, momentum)
    low, high = _share(n_columns, part, n_parts)
    _adagrad(weights.bias, acc.bias, velocity.bias, work.rows, work.d_bias, low, high, lr, momentum)
    low, high = _share(len(all_gates), part, n_parts)
    _adagrad(weights.w_x, acc.w_x, velocity.w_x, all_gates, work.d_w_x[0], low, high, lr, momentum)
    _adagrad(weights.b_x, acc.b_x, velocity.b_x, all_gates, work.d_b_x[0], low, high, lr, momentum)
    _adagrad(weights.w_h, acc.w_h, velocity.w_h, all_gates, work.d_w_h[0], low, high, lr, momentum)
    _adagrad(weights.b_h, acc.b_h, velocity.b_h, all_gates, work.d_b_h[0], low, high, lr, momentum)


@numba.njit(**FASTMATH, nogil=True, cache=True)
def _run(part, n_parts, x, y, reset, keep, offsets, samples, drop_x, drop_h, state, weights, acc, velocity,
         target_weight, sample_weight, settings, work):
    """Train on some steps; all `n_parts` threads call this. Returns the sum of the losses.

    The state, the weights and the optimiser's state are changed in place. x, y int64 [n_predictions], reset, keep bool
    [n_predictions] and offsets int64 [n_steps + 1] are a piece of a `Schedule`; samples int64 [n_steps, n_sample];
    drop_x, drop_h float [n_predictions, d]; state float [batch_size, d]. The others are as in `_gradients`.
    """
    total, passed = 0.0, 0
    for t in range(len(offsets) - 1):
        here = slice(offsets[t], offsets[t + 1])
        h = state[:offsets[t + 1] - offsets[t]]
        loss, passed = _gradients(part, n_parts, passed, x[here], y[here], samples[t], 0, reset[here], drop_x[here],
                                  drop_h[here], h, weights, target_weight, sample_weight, settings, work)
        total += loss
        _update(part, n_parts, weights, acc, velocity, settings, work)
        if part == 0:  # rows of ended lanes are removed
            live = 0
            for i in range(len(h)):
                if keep[offsets[t] + i]:
                    h[live] = h[i]
                    live += 1
        passed = _wait_for_all(work.arrived, passed, n_parts)
    return total


# --- Evaluation ---------------------------------------------------------------------------------------------
# It has three phases, each run by all threads. 1. The part of the gates that depends on the input, once for each item.
# 2. The states; the state after a first click is computed once for all sessions that begin with the same item. 3. The
# ranks, from scores that stay in the processor's cache until they are compared. A NaN must be found here, so the
# compiler must not assume that there are none.

AT_ONCE = 65_536  # predictions whose states are in memory at the same time
COUNTABLE = 2**24  # float32 can count up to this number in steps of 1


def cannot_rank(model):
    """The reason why `Ranker` cannot rank with this model, as a str; "" if it can.

    Parameters
    ----------
    model : GRU4Rec

    Examples
    --------
    >>> from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig
    >>> cannot_rank(GRU4Rec(["tea", "milk"], GRU4RecConfig()).half())
    'torch.float16'
    """
    if model.device.type != "cpu":
        return f"device={str(model.device)!r}"
    if model.config.feedforward_size:
        return f"feedforward_size={model.config.feedforward_size}"
    if model.output.dtype not in (torch.float32, torch.float64):
        return str(model.output.dtype)
    # Ranks are counted in the dtype of the scores.
    too_many = model.output.dtype == torch.float32 and len(model.output) > COUNTABLE
    return f"{len(model.output):,} items" if too_many else ""


def evaluate_sessions(model, data, k=20, **options):
    """Score a model as `metrics.evaluate_sessions` does, with a `Ranker` if possible. The numbers are the same.

    Parameters
    ----------
    model : GRU4Rec
    data, k, **options
        As in `metrics.evaluate_sessions`; a protocol that samples or leaves items out needs that function itself.

    Returns
    -------
    metrics.SessionScores

    Examples
    --------
    >>> from rnnbook import metrics
    >>> from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig
    >>> from rnnbook.worlds import SessionWorld
    >>> sessions = SessionWorld().sample(20)
    >>> model = GRU4Rec(sessions.item_ids, GRU4RecConfig(hidden_size=8))
    >>> readable, compiled = (evaluate(model, sessions)
    ...                       for evaluate in (metrics.evaluate_sessions, evaluate_sessions))
    >>> np.array_equal(compiled.ranks, readable.ranks)
    True
    """
    return metrics.evaluate_sessions(model if cannot_rank(model) else Ranker(model), data, k, **options)


class Ranker(Recommender):
    """A GRU4Rec whose ranks and recommendations are found by compiled code.

    Pass it to `metrics.evaluate_sessions` in place of the model, or call its ``recommend_many``.

    Parameters
    ----------
    model : GRU4Rec

    Raises
    ------
    ValueError
        The model is not on a CPU, has a feed-forward layer, is neither float32 nor float64, or has more than 2**24
        items in float32.

    Examples
    --------
    >>> from rnnbook import metrics
    >>> from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig
    >>> from rnnbook.worlds import SessionWorld
    >>> sessions = SessionWorld().sample(20)
    >>> model = GRU4Rec(sessions.item_ids, GRU4RecConfig(hidden_size=8))
    >>> positions, doubled = Ranker(model).rank_sessions(sessions, "standard")
    >>> ranks = metrics.evaluate_sessions(model, sessions, ties="standard").ranks
    >>> np.array_equal(doubled[positions.argsort()] / 2, ranks)
    True
    >>> histories = [["item-4"], ["item-4", "item-7"]]
    >>> compiled, readable = (each.recommend_many(histories) for each in (Ranker(model), model))
    >>> [np.array_equal(one.ids, other.ids) for one, other in zip(compiled, readable)]
    [True, True]
    """

    def __init__(self, model):
        refused = cannot_rank(model)
        if refused:
            raise ValueError(f"the compiled ranks are not for {refused}; evaluate the model itself")
        self.model, self.item_ids = model, model.item_ids

    def scorer(self, histories):
        return self.model.scorer(histories)

    def best(self, histories, allowed, k, seen):
        h = self.model.eval().states_after(histories)[-1].numpy()
        table, bias = self.model.output.detach().numpy(), self.model.bias.detach().numpy()
        if len(allowed) < len(table):
            table, bias = table[allowed], bias[allowed]
        offsets = np.cumsum([0, *map(len, seen)])
        values, columns = np.full((len(h), k), -np.inf, h.dtype), np.zeros((len(h), k), np.int64)
        with _threads() as in_parts:
            in_parts(_best, h, table, bias, offsets, np.concatenate(seen), values, columns)
        return allowed[columns], values

    def rank_sessions(self, data, ties):
        """Compute the ranks that follow from ``model.score_sessions(data)``, without storing all scores.

        Parameters
        ----------
        data : SessionData over the model's catalogue
        ties : "standard", "conservative" or "median", see `metrics.ranks`

        Returns
        -------
        positions : int64 array [n_predictions]
            The indices of the targets into ``data.items``.
        doubled : int64 array [n_predictions]
            Twice the rank of each, or 0 if a score is NaN.
        """
        longest_first = np.argsort(-data.lengths, kind="stable")[:np.count_nonzero(data.lengths > 1)]
        pieces = np.cumsum(data.lengths[longest_first] - 1) // AT_ONCE
        with _threads() as in_parts:
            done = [_rank(self.model, data, sessions, ties, in_parts)
                    for sessions in np.split(longest_first, np.flatnonzero(np.diff(pieces)) + 1)]
        return tuple(map(np.concatenate, zip(*done)))


SEARCH: dict[str, Any] = {"fastmath": {*KEEPS_NAN["fastmath"], "nnan"}, "error_model": "numpy"}  # with -inf


@numba.njit(**SEARCH, nogil=True, cache=True)
def _best(part, n_parts, h, table, bias, offsets, places, values, columns):
    """The best items for this part's rows of the states h: ``values`` (at first -inf) and ``columns``, [n, k].

    The scores are computed in blocks that stay in a core's cache. The items ``places[offsets[i]:offsets[i + 1]]`` are
    left out of row i.
    """
    low, high = _share(len(h), part, n_parts)
    buffer = np.empty(N_ROWS * N_COLUMNS, h.dtype)
    for first in range(low, high, N_ROWS):
        n_rows = min(N_ROWS, high - first)
        left_out = offsets[first:first + n_rows].copy()  # the next of each row
        for start in range(0, len(table), N_COLUMNS):
            stop = min(start + N_COLUMNS, len(table))
            scores = buffer[:n_rows * (stop - start)].reshape(n_rows, stop - start)
            np.dot(h[first:first + n_rows], table[start:stop].T, scores)
            for i in range(n_rows):
                of_row, row = scores[i], first + i
                for j in range(stop - start):
                    of_row[j] += bias[start + j]
                while left_out[i] < offsets[row + 1] and places[left_out[i]] < stop:
                    of_row[places[left_out[i]] - start] = -np.inf
                    left_out[i] += 1
                _search(of_row, start, values[row], columns[row])


@numba.njit(**SEARCH)
def _search(scores, start, best, where):
    """Insert the scores of the columns from ``start`` on into the best so far.

    They are cut into pieces, and only those are searched whose maximum is above the last of the best so far, and
    reaches the k-th highest of the maxima, which at least k scores do.
    """
    k, n_pieces = len(best), (len(scores) + PIECE - 1) // PIECE
    maxima, levels, pieces = np.empty(n_pieces, scores.dtype), best.copy(), np.empty(k, np.int64)
    for p in range(n_pieces):
        piece = scores[p * PIECE:(p + 1) * PIECE]
        highest = piece[0]
        for j in range(len(piece)):
            highest = piece[j] if piece[j] > highest else highest
        maxima[p] = highest
        if highest > levels[k - 1]:
            _insert(levels, pieces, highest, p)
    level = levels[k - 1]
    for p in range(n_pieces):
        if maxima[p] >= level and maxima[p] > best[k - 1]:
            for j in range(p * PIECE, min((p + 1) * PIECE, len(scores))):
                if scores[j] >= level and scores[j] > best[k - 1]:
                    _insert(best, where, scores[j], start + j)


@numba.njit(error_model="numpy")
def _insert(values, columns, value, column):
    """Insert a value into a descending list, whose last value is lost. Of equal values, the first inserted one wins."""
    place = len(values) - 1
    while place > 0 and values[place - 1] < value:
        values[place], columns[place] = values[place - 1], columns[place - 1]
        place -= 1
    values[place], columns[place] = value, column


def _rank(model, data, sessions, ties, in_parts):
    """Positions and doubled ranks of the predictions in some sessions (int64 array, the longest first)."""
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    table = weights[model.input_table]
    opening, n_later = data.offsets[sessions], data.lengths[sessions] - 2
    # The states: one for each item that begins a session, then those after later clicks, session by session.
    openers, opener = np.unique(data.items[opening], return_inverse=True)
    first = np.cumsum(n_later) - n_later
    later = concatenated_ranges(opening + 1, n_later)
    items = np.append(openers, data.items[later])
    alone = np.arange(len(openers)), np.ones(len(openers), int), np.full(len(openers), -1)
    # The targets: the second clicks of all sessions that begin with the same item are predicted from one state.
    positions = np.append(opening[np.argsort(opener, kind="stable")], later) + 1
    offsets = np.cumsum(np.r_[0, np.bincount(opener), np.ones(len(later), int)])

    clicked = np.zeros(len(table), bool)
    clicked[items] = True
    row, x = (np.cumsum(clicked) - 1)[items], table[clicked]
    for n, size in enumerate(model.config.hidden_sizes):
        w_x, b_x, w_h, b_h = (weights.get(f"layers.{n}.{name}")
                              for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh"))
        gates = x
        if w_x is not None:
            gates = np.empty((len(x), 3 * size), x.dtype)
            in_parts(_linear, x, w_x, b_x, gates)
        h = np.empty((len(items), size), x.dtype)
        in_parts(_states, *alone, row, gates, w_h, b_h, h)
        in_parts(_states, first + len(openers), n_later, opener, row, gates, w_h, b_h, h)
        row, x = np.arange(len(items)), h
    doubled = np.empty(len(positions), np.int64)
    in_parts(_ranks, np.zeros(1, np.int64), x, weights["output"], weights["bias"], offsets, data.items[positions],
             TIES.index(ties), doubled)
    return positions, doubled


@numba.njit(**KEEPS_NAN, nogil=True, cache=True)
def _linear(part, n_parts, x, w, b, out):
    """This part's rows of ``x @ w.T + b``."""
    low, high = _share(len(x), part, n_parts)
    np.dot(x[low:high], w.T, out[low:high])
    for i in range(low, high):
        for k in range(len(b)):
            out[i, k] += b[k]


@numba.njit(**KEEPS_NAN, nogil=True, cache=True)
def _states(part, n_parts, first, steps, before, row, x_gates, w_h, b_h, out):
    """Compute a layer's states for this part's sessions, all sessions in parallel.

    first, steps, before int64 [n_sessions], the longest session first. Session s fills the rows
    ``first[s]:first[s] + steps[s]`` of ``out`` [n, d]. It starts from row ``before[s]``, or from zeros if that is -1.
    row int64 [n] is the row of each input in ``x_gates`` [·, 3d].
    """
    first, steps, before, d = first[part::n_parts], steps[part::n_parts], before[part::n_parts], out.shape[1]
    one = out.dtype.type(1)
    h, g = np.zeros((len(first), d), out.dtype), np.empty((len(first), 3 * d), out.dtype)
    for i in range(len(first)):
        if before[i] >= 0:
            h[i] = out[before[i]]
    live, t = len(first), 0
    while True:
        while live and steps[live - 1] <= t:
            live -= 1
        if not live:
            break
        np.dot(h[:live], w_h.T, g[:live])
        for i in range(live):
            e = first[i] + t
            x, r, z, n = x_gates[row[e]], g[i, :d], g[i, d:2 * d], g[i, 2 * d:]
            for k in range(d):
                r[k] = one / (one + _exp(-(x[k] + r[k] + b_h[k])))
            for k in range(d):
                z[k] = one / (one + _exp(-(x[d + k] + z[k] + b_h[d + k])))
            for k in range(d):
                n[k] = _tanh(x[2 * d + k] + r[k] * (n[k] + b_h[2 * d + k]))
            for k in range(d):
                h[i, k] = n[k] + z[k] * (h[i, k] - n[k])
            out[e] = h[i]
        t += 1


@numba.njit(**KEEPS_NAN, nogil=True, cache=True)
def _ranks(part, n_parts, taken, h, output, bias, offsets, targets, ties, doubled):
    """Write twice the ranks of the targets, or 0, into ``doubled``.

    Threads take blocks of rows one after another; ``taken[0]`` blocks are taken so far. targets and doubled are int64
    [n_predictions]; those of state i are ``offsets[i]:offsets[i + 1]``.
    """
    most = max(64, min(256, 2**25 // len(output)))
    n_rows = math.ceil(len(h) / math.ceil(len(h) / most / n_parts) / n_parts)
    block = np.empty((n_rows, len(output)), h.dtype)
    zero, one = h.dtype.type(0), h.dtype.type(1)
    while True:
        start = n_rows * (_add_atomically(taken, 1) - 1)
        stop = min(start + n_rows, len(h))
        if start >= stop:
            return
        np.dot(h[start:stop], output.T, block[:stop - start])
        for i in range(start, stop):
            scores = block[i - start]
            for p in range(offsets[i], offsets[i + 1]):
                target = scores[targets[p]] + bias[targets[p]]
                # Counting in the dtype of the scores allows vector instructions. It is exact up to 2**24 items.
                above = at_least = not_below = zero
                for j in range(len(bias)):
                    score = scores[j] + bias[j]
                    above += one if score > target else zero
                    at_least += one if score >= target else zero
                    not_below += zero if score < target else one
                if not_below > at_least:  # only a NaN is neither below the target nor at least as high
                    doubled[p] = 0
                elif ties == STANDARD:
                    doubled[p] = 2 * int(above) + 2
                elif ties == CONSERVATIVE:
                    doubled[p] = 2 * int(at_least)
                else:
                    doubled[p] = int(above) + int(at_least) + 1
