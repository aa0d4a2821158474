"""A small recommender: it reads sessions of clicks and says what comes next.

Items are the numbers 0, 1, ..., m - 1. A session is a list of items in the order of the clicks.
"""

from itertools import pairwise

import numpy as np


def split(sessions, times, cutoff):
    """Two lists of sessions, for training and for the test. times[s] has the times of the clicks of sessions[s].

    A session is for the test if its last click is at the cutoff or later.
    """
    late = [time[-1] >= cutoff for time in times]
    return ([session for session, is_late in zip(sessions, late) if not is_late],
            [session for session, is_late in zip(sessions, late) if is_late])


def lanes(sessions, n_lanes):
    """Session-parallel batches: a list of steps. A step is a list of (lane, click, next click, is_first).

    A lane reads a session click by click, and then one that no lane has read, whichever this is. It has one entry in
    each step until no session is left for it. The last click of a session is only ever a next click. is_first says
    whether the click is the first of its session.
    """
    queues = [[] for _ in range(n_lanes)]
    for session in sessions:
        queue = min(queues, key=len)
        queue += [(session[n], session[n + 1], n == 0) for n in range(len(session) - 1)]
    n_steps = max(map(len, queues))
    return [[(lane, *queue[step]) for lane, queue in enumerate(queues) if step < len(queue)]
            for step in range(n_steps)]


def gru(x, h, W, U, b):
    """The next states [n, d] of a GRU, from inputs x [n, e] and states h [n, d].

    W [e, 3d], U [d, 3d] and b [3d] have three parts: for the gates r and z, and for the candidate c. The gates are
    r = sigmoid(x W_r + h U_r + b_r) and z likewise. The candidate is c = tanh(x W_c + (r * h) U_c + b_c), and the next
    state is z * h + (1 - z) * c.
    """
    d = h.shape[1]
    inputs = x @ W + b
    r, z = np.split(sigmoid(inputs[:, :2 * d] + h @ U[:, :2 * d]), 2, axis=1)
    c = np.tanh(inputs[:, 2 * d:] + (r * h) @ U[:, 2 * d:])
    return z * h + (1 - z) * c


def sigmoid(x):
    """1 / (1 + exp(-x)), for each number of an array."""
    return 0.5 + 0.5 * np.tanh(x / 2)


def read(steps, table, W, U, b):
    """The states after each step of session-parallel batches: a list with a dict {lane: state [d]} for each step.

    A lane reads the row of the table [m, e] that belongs to its click. At the first click of a session the state
    before is zero; otherwise it is the lane's last one.
    """
    d, last, found = len(U), {}, []
    for step in steps:
        x = np.array([table[click] for _, click, _, _ in step])
        h = np.array([np.zeros(d) if is_first else last[lane] for lane, _, _, is_first in step])
        states = gru(x, h, W, U, b)
        last |= {lane: state for (lane, *_), state in zip(step, states)}
        found.append({lane: last[lane] for lane, *_ in step})
    return found


def bpr(target, negatives):
    """The BPR loss of the scores of targets [n] and of k negatives for each [n, k].

    It is the mean of -log sigmoid(target - negative) over all n * k pairs.
    """
    return float(np.logaddexp(0, negatives - target[:, None]).mean())


def draw(counts, targets, k, seed):
    """k negatives for each of the targets [n]: items as an array [n, k]. The same seed gives the same.

    An item is drawn with a probability in proportion to its clicks, counts [m], with replacement. The target itself is
    never among its negatives. At least two items have been clicked.
    """
    rng = np.random.default_rng(seed)
    weights = counts.astype(float)
    p = weights / weights.sum()
    drawn = rng.choice(len(counts), (len(targets), k), p=p)
    while (same := drawn == targets[:, None]).any():
        drawn[same] = rng.choice(len(counts), same.sum(), p=p)
    return drawn


def ranks(scores, targets):
    """The rank of each target [n] among all items, by its scores [n, m]; the best has rank 1.

    Other items with the target's score all stand before it.
    """
    own = scores[np.arange(len(targets)), targets][:, None]
    better, equal = (scores > own).sum(axis=1), (scores == own).sum(axis=1) - 1
    return better + equal + 1


def measure(rank, k):
    """(Recall@k, MRR@k) of the ranks [n]: the share of ranks up to k, and the mean of 1 / rank.

    In the mean a rank above k counts 0.
    """
    hit = rank <= k
    return float(hit.mean()), float((hit / rank).mean())


def unseen(scores, histories):
    """The scores [n, m], with -inf for the items in the row's history. histories[n] is a list of items."""
    seen = np.zeros(scores.shape, dtype=bool)
    for row, history in zip(seen, histories):
        row[history] = True
    return np.where(seen, -np.inf, scores)


def transitions(sessions, m):
    """P [m, m]: row i has the shares of the items that were clicked next after i. One is added to each count."""
    counts = np.ones((m, m))
    for session in sessions:
        for before, after in pairwise(session):
            counts[before, after] += 1
    return counts / counts.sum(axis=1, keepdims=True)


def evaluate(P, sessions, k):
    """(Recall@k, MRR@k) of a Markov chain over every click but the first of each session.

    A click is predicted from the one before it: row P[i] has the scores of all items after a click on i.
    """
    pairs = [pair for session in sessions for pair in pairwise(session)]
    before, after = np.array(pairs).T
    scores = P[before]
    return measure(ranks(scores, after), k)


def foretell(times, ratings, asked, start):
    """What to expect at each of the times asked: the mean of the ratings that were made strictly before.

    Where there are none, it is the number start. times and ratings belong together and may be in any order.
    """
    return np.array([ratings[times < time].mean() if (times < time).any() else start for time in asked])
