"""Functions of `shop.py` in another shape. They must do the same: they show whether a test asks for more."""

from itertools import pairwise

import numpy as np


def split(sessions, times, cutoff):
    parts = [], []
    for session, time in zip(sessions, times):
        parts[bool(time[-1] >= cutoff)].append(session)
    return parts


def gru(x, h, W, U, b):
    W_r, W_z, W_c = np.split(W, 3, axis=1)
    U_r, U_z, U_c = np.split(U, 3, axis=1)
    b_r, b_z, b_c = np.split(b, 3)
    r, z = 1 / (1 + np.exp(-(x @ W_r + h @ U_r + b_r))), 1 / (1 + np.exp(-(x @ W_z + h @ U_z + b_z)))
    c = np.tanh(x @ W_c + (r * h) @ U_c + b_c)
    return z * h + (1 - z) * c


def read(steps, table, W, U, b):
    state, found = {}, []
    for step in steps:
        for lane, click, _, is_first in step:
            before = np.zeros(len(U)) if is_first else state[lane]
            state[lane] = gru(table[[click]], before[None], W, U, b)[0]
        found.append({lane: state[lane] for lane, *_ in reversed(step)})
    return found


def bpr(target, negatives):
    return -np.log(sigmoid(np.repeat(target, negatives.shape[1]) - negatives.ravel())).mean()  # noqa: F821


def ranks(scores, targets):
    found = []
    for row, target in zip(scores, targets):
        better, equal = int((row > row[target]).sum()), int((np.delete(row, target) == row[target]).sum())
        found.append(better + equal + 1)
    return np.array(found)


def measure(rank, k):
    hit = np.asarray(rank) < k + 1
    return hit.mean(), (hit / rank).mean()


def unseen(scores, histories):
    found = scores.astype(float)
    for n, history in enumerate(histories):
        for item in history:
            found[n, item] = -np.inf
    return found


def transitions(sessions, m):
    pairs = [i * m + j for session in sessions for i, j in pairwise(session)]
    counts = np.bincount(np.array(pairs, dtype=int), minlength=m * m).reshape(m, m) + 1
    return (counts.T / counts.sum(axis=1)).T


def evaluate(P, sessions, k):
    rank = [ranks(P[[i]], np.array([j]))[0] for session in sessions for i, j in pairwise(session)]
    return measure(np.array(rank), k)


def foretell(times, ratings, asked, start):
    found = []
    for time in asked:
        before = [rating for when, rating in zip(times, ratings) if when < time]
        found.append(sum(before) / len(before) if before else start)
    return np.array(found, dtype=float)
