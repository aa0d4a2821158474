"""Functions of `shop.py` that take sessions, lanes and random numbers in another order, which nobody promised."""

from itertools import pairwise

import numpy as np


def lanes(sessions, n_lanes):
    waiting, reading, steps = [list(session) for session in sessions if len(session) > 1], {}, []
    while waiting or reading:
        step = []
        for lane in reversed(range(n_lanes)):
            if lane not in reading and waiting:
                reading[lane] = (waiting.pop(), 0)
            if lane in reading:
                session, n = reading.pop(lane)
                step.append((lane, session[n], session[n + 1], n == 0))
                if n + 2 < len(session):
                    reading[lane] = (session, n + 1)
        steps.append(step)
    return steps


def draw(counts, targets, k, seed):
    rng, found = np.random.default_rng([seed, 1]), []
    for target in targets:
        weights = counts.astype(float)
        weights[target] = 0
        found.append(np.searchsorted(np.cumsum(weights), rng.random(k) * weights.sum(), side="right"))
    return np.array(found)


def evaluate(P, sessions, k):
    pairs = [pair for session in reversed(sessions) for pair in reversed(list(pairwise(session)))]
    return measure(ranks(P[[i for i, _ in pairs]], np.array([j for _, j in pairs])), k)  # noqa: F821
