"""GRU4Rec's training step, compiled: the numbers of `gru4rec.train_step`, sooner. ``fit(…, fast=True)`` takes it.

`gru4rec.py` is the place to learn from. Here the same gradients are written out by hand, and Numba makes machine code
of them, so that no graph is built and nothing small is allocated. Three things save most of the time:

- An item that is drawn twice, or is the target of two rows, becomes one column of the scores, with a weight. So the
  matrix products are smaller, and every row of a table is moved once, without a search for repeats.
- Each thread has its own columns, for the products, the softmax and Adagrad alike; they stay in its cache.
- e^x and x^(-1/2) are written so that they become vector instructions.

It covers what the defaults are made of: a CPU, one layer, a shared table, cross-entropy or BPR-max, one step of
back-propagation. `unsupported` says what else is asked for.
"""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import numba
import numpy as np
import torch
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload
from threadpoolctl import threadpool_limits

ACTIVATIONS = {"linear": 0, "tanh": 1, "elu": 2}
LINEAR, TANH, ELU = ACTIVATIONS.values()
CHUNK = 100  # steps for one call of the compiled code; between two of them the progress bar moves

numba.config.THREADING_LAYER = "workqueue"  # the one that goes with SciPy's BLAS, which it calls from its threads
_ALONE = threading.Lock()  # and that cannot be entered by two Python threads


def unsupported(config, device):
    """Why this step cannot train with these settings, as a str; "" where it can.

    Examples
    --------
    >>> from rnnbook.gru4rec import GRU4RecConfig
    >>> unsupported(GRU4RecConfig(), torch.device("cpu"))
    ''
    >>> unsupported(GRU4RecConfig(loss="top1"), torch.device("cpu"))
    "loss='top1'"
    """
    able = {"loss": ("cross-entropy", "bpr-max"), "input": ("shared",), "bptt": (1,), "mask_targets": (False,)}
    refused = [f"{name}={getattr(config, name)!r}" for name, values in able.items()
               if getattr(config, name) not in values]
    if len(config.hidden_sizes) > 1:
        refused.append(f"hidden_size={config.hidden_size!r}")
    if config.loss == "cross-entropy" and config.final_activation != "linear":
        refused.append(f"final_activation={config.final_activation!r} with cross-entropy")
    if device.type != "cpu":
        refused.append(f"device={str(device)!r}")
    return ", ".join(refused)


def train_epoch(model, optimizer, sampler, schedule, items, n_steps, report):
    """An epoch of training; takes and returns what `gru4rec.train_epoch` does, and draws the same random numbers."""
    config, names = model.config, [name for name, _ in model.named_parameters()]
    weights = _arrays(model.state_dict(), names)
    acc = _arrays(optimizer.acc, names)
    velocity = _arrays(optimizer.velocity, names) if config.momentum else acc  # not read then
    real, n_lanes, size = model.output.dtype, config.batch_size, config.hidden_sizes[0]
    logq = config.logq if config.loss == "cross-entropy" else 0.0
    target_weight, sample_weight = (torch.exp(-strength * sampler.log_support).numpy()
                                    for strength in (logq, logq * sampler.alpha))
    settings = Settings(*np.array([config.learning_rate, config.momentum, n_lanes, config.bpr_max_regularization],
                                  weights.output.dtype), config.loss == "bpr-max", ACTIVATIONS[config.final_activation])
    x, y = items.numpy()[schedule.position], items.numpy()[schedule.position + 1]
    state = np.zeros((n_lanes, size), weights.output.dtype)
    place = np.full(len(weights.output), -1)
    n_threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    chunk = max(1, min(CHUNK, n_steps // 20, 4_000_000 // (n_lanes * size)))
    total = 0.0

    with _ALONE, threadpool_limits(1, user_api="blas"):
        numba.set_num_threads(n_threads)
        for start in range(0, n_steps, chunk):
            offsets = schedule.offsets[start:start + chunk + 1][:n_steps - start + 1]
            low, high = offsets[0], offsets[-1]
            samples = torch.empty(len(offsets) - 1, config.n_sample, dtype=torch.int64)
            drop_x, drop_h = (torch.empty(high - low if p else 0, size, dtype=real)
                              for p in (config.embedding_dropout, config.hidden_dropout))
            for t, (lo, hi) in enumerate(zip(offsets - low, offsets[1:] - low)):
                samples[t] = sampler.next()
                for mask, p in ((drop_x, config.embedding_dropout), (drop_h, config.hidden_dropout)):
                    if p:
                        mask[lo:hi].bernoulli_(1 - p).div_(1 - p)
            part = slice(low, high)
            loss = _run(x[part], y[part], schedule.reset[part], schedule.keep[part], offsets - low, samples.numpy(),
                        drop_x.numpy(), drop_h.numpy(), state, weights, acc, velocity, target_weight, sample_weight,
                        place, settings, n_threads)
            total += loss
            report(start + len(offsets) - 1, loss / (high - low))
    return total / schedule.offsets[n_steps]


class Weights(NamedTuple):
    """The model's parameters in its own order, or what the optimiser keeps of each; NumPy arrays on the same memory."""

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
    """2ⁿ as float32 for an int32 n: n becomes the exponent's bits."""
    def codegen(context, builder, signature, arguments):
        i32 = ir.IntType(32)
        biased = builder.add(arguments[0], ir.Constant(i32, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(i32, 23)), ir.FloatType())
    return types.float32(types.int32), codegen


def _exp(x):
    """eˣ. A call into the C library would keep the compiler from using vector instructions, so in float32 it is the
    polynomial of Cephes; in float64, where the tests compare digits, it is the library's. Beyond ±30 it stays where it
    is: against 1 that is nothing in float32, and numbers near 1e-38, which processors are slow with, do not arise."""
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


@numba.njit(fastmath=True)
def _adagrad(p, acc, velocity, rows, grad, low, high, lr, momentum):
    """Rows ``rows[low:high]`` of a parameter move by these rows of their gradient, as in `train.Adagrad`."""
    epsilon, power = p.dtype.type(1e-6), p.dtype.type(-0.5)  # np.sqrt would not become a vector instruction
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


@numba.njit(parallel=True, fastmath=True, cache=True)
def _run(x, y, reset, keep, offsets, samples, drop_x, drop_h, state, weights, acc, velocity, target_weight,
         sample_weight, place, settings, n_threads):
    """Some steps; the state, the weights and what the optimiser keeps are changed in place. Returns the sum of losses.

    x, y int64 [n_predictions], reset, keep bool [n_predictions] and offsets int64 [n_steps + 1] are a piece of a
    `Schedule`; samples int64 [n_steps, n_sample]; drop_x and drop_h float [n_predictions, d] masks, empty without
    dropout; state float [batch_size, d]; target_weight and sample_weight float [n_items], what an item counts in the
    softmax as a target and as a sample; place int64 [n_items], all -1.
    """
    output, bias, w_x, b_x, w_h, b_h = weights
    lr, momentum, batch_size, regularization, bpr_max, activation = settings
    real = output.dtype.type
    zero, one = real(0), real(1)
    H, n_steps, n_sample = output.shape[1], len(offsets) - 1, samples.shape[1]
    most = 0
    for t in range(n_steps):
        most = max(most, offsets[t + 1] - offsets[t])
    n_columns = most + n_sample
    dtype = output.dtype
    rows, gates = np.empty(n_columns + most, np.int64), np.arange(3 * H)
    weight = np.empty(n_columns, dtype)
    column, x_row = np.empty(most, np.int64), np.empty(most, np.int64)
    table = np.empty((n_columns + most, H), dtype)
    d_table, d_bias = np.empty_like(table), np.empty((n_columns, 1), dtype)
    flat_e = np.empty(n_columns * most, dtype)
    flat_r = np.empty(n_columns * most if bpr_max else 0, dtype)
    flat_sigma = np.empty_like(flat_r)
    x_in, before, d_x = np.empty((most, H), dtype), np.empty((most, H), dtype), np.empty((most, H), dtype)
    g_x, g_h = np.empty((most, 3 * H), dtype), np.empty((most, 3 * H), dtype)
    d_g_x, d_g_h = np.empty((most, 3 * H), dtype), np.empty((most, 3 * H), dtype)
    target = np.empty(most, dtype)
    top, z_part, p_part = (np.empty((n_threads, most), dtype), np.empty((n_threads, most), dtype),
                           np.empty((n_threads, most), dtype))
    q_part, s_part = np.empty((n_threads, most), dtype), np.empty((n_threads, most), dtype)
    d_h = np.empty((n_threads, most, H), dtype)
    d_w_x, d_w_h = np.empty((n_threads, 3 * H, H), dtype), np.empty((n_threads, 3 * H, H), dtype)
    d_b_x, d_b_h = np.empty((n_threads, 3 * H, 1), dtype), np.empty((n_threads, 3 * H, 1), dtype)
    total = 0.0

    for t in range(n_steps):
        first = offsets[t]
        B = offsets[t + 1] - first
        h = state[:B]

        # Every item once: the columns of the scores first, then inputs that are no column.
        U = 0
        for i in range(B):
            row = y[first + i]
            u = place[row]
            if u < 0:
                u = U
                U += 1
                place[row], rows[u], weight[u] = u, row, zero
            column[i] = u
            weight[u] += target_weight[row]
        for j in range(n_sample):
            row = samples[t, j]
            u = place[row]
            if u < 0:
                u = U
                U += 1
                place[row], rows[u], weight[u] = u, row, zero
            weight[u] += sample_weight[row]
        R = U
        for i in range(B):
            row = x[first + i]
            u = place[row]
            if u < 0:
                u = R
                R += 1
                place[row], rows[u] = u, row
            x_row[i] = u
        for u in range(R):
            place[rows[u]] = -1

        # The network forward, and the rows of the table fetched.
        for part in numba.prange(n_threads):
            for u in range(R * part // n_threads, R * (part + 1) // n_threads):
                row = rows[u]
                for k in range(H):
                    table[u, k] = output[row, k]
            l0, l1 = B * part // n_threads, B * (part + 1) // n_threads
            for i in range(l0, l1):
                row = x[first + i]
                for k in range(H):
                    x_in[i, k] = output[row, k]
                if len(drop_x):
                    for k in range(H):
                        x_in[i, k] *= drop_x[first + i, k]
                if reset[first + i]:
                    h[i] = zero
                for k in range(H):
                    before[i, k] = h[i, k]
            np.dot(x_in[l0:l1], w_x.T, g_x[l0:l1])
            np.dot(before[l0:l1], w_h.T, g_h[l0:l1])
            for i in range(l0, l1):
                for k in range(2 * H):
                    g_x[i, k] = one / (one + _exp(-(g_x[i, k] + b_x[k, 0] + g_h[i, k] + b_h[k, 0])))
                for k in range(H):
                    g_h[i, 2 * H + k] += b_h[2 * H + k, 0]
                    n = g_x[i, 2 * H + k] + b_x[2 * H + k, 0] + g_x[i, k] * g_h[i, 2 * H + k]
                    n = one - (one + one) / (one + _exp(n + n))
                    g_x[i, 2 * H + k] = n
                    h[i, k] = n + g_x[i, H + k] * (before[i, k] - n)
                if len(drop_h):
                    for k in range(H):
                        h[i, k] *= drop_h[first + i, k]
                row = y[first + i]
                s = bias[row, 0]
                for k in range(H):
                    s += h[i, k] * output[row, k]
                if activation == TANH:
                    s = one - (one + one) / (one + _exp(s + s))
                elif activation == ELU:
                    s = max(s, zero) + min(_exp(s) - one, zero)
                target[i] = s

        # Scores and the sums over them, each thread its columns; a row of `e` is a column of the scores.
        e = flat_e[:U * B].reshape((U, B))
        if bpr_max:
            r, sigma = flat_r[:U * B].reshape((U, B)), flat_sigma[:U * B].reshape((U, B))
        else:
            r, sigma = flat_r.reshape((0, B)), flat_sigma.reshape((0, B))
        for part in numba.prange(n_threads):
            u0, u1 = U * part // n_threads, U * (part + 1) // n_threads
            np.dot(table[u0:u1], h.T, e[u0:u1])
            m = top[part]
            for i in range(B):
                m[i] = real(-1e30)
                z_part[part, i] = zero
                p_part[part, i] = zero
                q_part[part, i] = zero
                s_part[part, i] = zero
            for u in range(u0, u1):
                b = bias[rows[u], 0]
                for i in range(B):
                    e[u, i] += b
                if activation == TANH:
                    for i in range(B):
                        e[u, i] = one - (one + one) / (one + _exp(e[u, i] + e[u, i]))
                elif activation == ELU:
                    for i in range(B):
                        e[u, i] = max(e[u, i], zero) + min(_exp(e[u, i]) - one, zero)
                for i in range(B):
                    m[i] = max(m[i], e[u, i])
            if not bpr_max:
                for u in range(u0, u1):
                    w = weight[u]
                    for i in range(B):
                        e[u, i] = w * _exp(e[u, i] - m[i])
                        z_part[part, i] += e[u, i]
            else:
                for u in range(u0, u1):
                    for i in range(B):
                        s = e[u, i]
                        r[u, i] = s
                        sigma[u, i] = one / (one + _exp(s - target[i]))
                        e[u, i] = weight[u] * _exp(s - m[i])
                for i in range(B):  # the target is no negative of its own
                    u = column[i]
                    if u0 <= u < u1:
                        e[u, i] *= (weight[u] - one) / weight[u]
                for u in range(u0, u1):
                    for i in range(B):
                        a = e[u, i]
                        z_part[part, i] += a
                        p_part[part, i] += a * sigma[u, i]
                        s_part[part, i] += a * sigma[u, i] * (one - sigma[u, i])
                        q_part[part, i] += a * r[u, i] * r[u, i]

        # The loss and, for each lane, what its gradient needs of all threads.
        for i in range(B):
            m = top[0, i]
            for part in range(1, n_threads):
                m = max(m, top[part, i])
            z = p = q = s = zero
            for part in range(n_threads):
                scale = _exp(top[part, i] - m)
                top[part, i] = scale
                z += scale * z_part[part, i]
                p += scale * p_part[part, i]
                q += scale * q_part[part, i]
                s += scale * s_part[part, i]
            z_part[0, i], p_part[0, i], q_part[0, i], s_part[0, i] = z, p, q, s
            if bpr_max:
                total += np.log(z / p) + regularization * q / z
            else:
                total += np.log(z) + m - target[i] - np.log(target_weight[y[first + i]])

        # Back to the scores, the table and the state.
        for part in numba.prange(n_threads):
            u0, u1 = U * part // n_threads, U * (part + 1) // n_threads
            z, p, q, s = z_part[0], p_part[0], q_part[0], s_part[0]
            scale = np.empty(B, dtype)
            if not bpr_max:
                for i in range(B):
                    scale[i] = top[part, i] / (z[i] * batch_size)
                for u in range(u0, u1):
                    for i in range(B):
                        e[u, i] *= scale[i]
                for i in range(B):
                    u = column[i]
                    if u0 <= u < u1:
                        e[u, i] -= one / batch_size
            else:
                for i in range(B):
                    scale[i] = top[part, i] / batch_size
                for u in range(u0, u1):
                    for i in range(B):
                        g = sigma[u, i]
                        e[u, i] *= scale[i] * (-g * g / p[i] + one / z[i] + regularization / z[i] * (
                            r[u, i] * r[u, i] + r[u, i] + r[u, i] - q[i] / z[i]))
                for i in range(B):
                    u = column[i]
                    if u0 <= u < u1:
                        e[u, i] -= s[i] / (p[i] * batch_size)
                if activation == TANH:
                    for u in range(u0, u1):
                        for i in range(B):
                            e[u, i] *= one - r[u, i] * r[u, i]
                elif activation == ELU:
                    for u in range(u0, u1):
                        for i in range(B):
                            e[u, i] *= min(r[u, i], zero) + one
            for u in range(u0, u1):
                d_bias[u, 0] = zero
                for i in range(B):
                    d_bias[u, 0] += e[u, i]
            np.dot(e[u0:u1], h, d_table[u0:u1])
            np.dot(e[u0:u1].T, table[u0:u1], d_h[part, :B])

        # Back through the GRU.
        for part in numba.prange(n_threads):
            l0, l1 = B * part // n_threads, B * (part + 1) // n_threads
            for i in range(l0, l1):
                for k in range(H):
                    d = d_h[0, i, k]
                    for other in range(1, n_threads):
                        d += d_h[other, i, k]
                    if len(drop_h):
                        d *= drop_h[first + i, k]
                    r_, z_, n = g_x[i, k], g_x[i, H + k], g_x[i, 2 * H + k]
                    d_n = d * (one - z_) * (one - n * n)
                    d_r = d_n * g_h[i, 2 * H + k] * r_ * (one - r_)
                    d_z = d * (before[i, k] - n) * z_ * (one - z_)
                    d_g_x[i, k], d_g_x[i, H + k], d_g_x[i, 2 * H + k] = d_r, d_z, d_n
                    d_g_h[i, k], d_g_h[i, H + k], d_g_h[i, 2 * H + k] = d_r, d_z, d_n * r_
            np.dot(d_g_x[l0:l1], w_x, d_x[l0:l1])
            if len(drop_x):
                for i in range(l0, l1):
                    for k in range(H):
                        d_x[i, k] *= drop_x[first + i, k]
            np.dot(d_g_x[l0:l1].T, x_in[l0:l1], d_w_x[part])
            np.dot(d_g_h[l0:l1].T, before[l0:l1], d_w_h[part])
            for k in range(3 * H):
                d_b_x[part, k, 0] = zero
                d_b_h[part, k, 0] = zero
            for i in range(l0, l1):
                for k in range(3 * H):
                    d_b_x[part, k, 0] += d_g_x[i, k]
                    d_b_h[part, k, 0] += d_g_h[i, k]
        for u in range(U, R):
            d_table[u] = zero
        for i in range(B):
            for k in range(H):
                d_table[x_row[i], k] += d_x[i, k]

        # Adagrad, on the rows that had a part in the step.
        for part in numba.prange(n_threads):
            low, high = R * part // n_threads, R * (part + 1) // n_threads
            _adagrad(output, acc.output, velocity.output, rows, d_table, low, high, lr, momentum)
            low, high = U * part // n_threads, U * (part + 1) // n_threads
            _adagrad(bias, acc.bias, velocity.bias, rows, d_bias, low, high, lr, momentum)
            low, high = 3 * H * part // n_threads, 3 * H * (part + 1) // n_threads
            for other in range(1, n_threads):
                for k in range(low, high):
                    for j in range(H):
                        d_w_x[0, k, j] += d_w_x[other, k, j]
                        d_w_h[0, k, j] += d_w_h[other, k, j]
                    d_b_x[0, k, 0] += d_b_x[other, k, 0]
                    d_b_h[0, k, 0] += d_b_h[other, k, 0]
            _adagrad(w_x, acc.w_x, velocity.w_x, gates, d_w_x[0], low, high, lr, momentum)
            _adagrad(b_x, acc.b_x, velocity.b_x, gates, d_b_x[0], low, high, lr, momentum)
            _adagrad(w_h, acc.w_h, velocity.w_h, gates, d_w_h[0], low, high, lr, momentum)
            _adagrad(b_h, acc.b_h, velocity.b_h, gates, d_b_h[0], low, high, lr, momentum)

        # Lanes that ended are taken out.
        live = 0
        for i in range(B):
            if keep[first + i]:
                if live != i:
                    h[live] = h[i]
                live += 1
    return total
