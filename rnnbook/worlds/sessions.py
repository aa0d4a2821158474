"""Worlds of sessions: hidden moods, their first-order control, and a log with a break."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from rnnbook import metrics
from rnnbook.baselines import LastItemRecommender
from rnnbook.interactions import SessionData


class Optimum(NamedTuple):
    """What the best possible recommender scores on a data set.

    Examples
    --------
    >>> world = SessionWorld(n_items=30)
    >>> optimum = world.oracle(world.sample(100), k=5)
    >>> optimum._fields
    ('recall', 'mrr', 'ndcg', 'cross_entropy', 'k')
    >>> 0 < optimum.mrr < optimum.ndcg < optimum.recall < 1, optimum.k
    (True, 5)
    """

    recall: float
    mrr: float
    ndcg: float
    cross_entropy: float  # nats per prediction
    k: int


class BayesFilter:
    """The best recommender for a hidden Markov chain: scores are P(next item | history), float64.

    With the start distribution :math:`\\pi`, transitions :math:`A_{su} = P(u | s)` and emissions
    :math:`B_{si} = P(i | s)`, the belief about the state of the next click starts as :math:`b_1 = \\pi`; each
    click :math:`x_t` moves it by Bayes' rule, then by one step of the chain:

    .. math::
        b_{t+1} \\propto \\sum_s b_t(s)\\, B_{s x_t}\\, A_{s \\cdot}, \\qquad
        P(x_{t+1} = i | x_1 … x_t) = \\sum_s b_{t+1}(s)\\, B_{si}.

    Recall, MRR and NDCG fall with the rank of the one right item, so ranking by this probability is best for
    each of them in expectation, and reporting it is best for the cross-entropy.

    Examples
    --------
    Two moods that last, each with an item of its own, a or b, and both with c. Who has clicked a will never click b.

    >>> start, stay = np.array([0.5, 0.5]), np.eye(2)
    >>> emission = np.array([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    >>> best = BayesFilter(np.array(["a", "b", "c"]), start, stay, emission)
    >>> best.recommend(["c"], k=3).scores.tolist()  # nobody knows the mood yet: c, then a or b
    [0.5, 0.25, 0.25]
    >>> best.recommend(["a", "c"], k=3)
    Recommendations(ids=array(['a', 'c', 'b'], dtype='<U1'), scores=array([0.5, 0.5, 0. ]))
    """

    def __init__(self, item_ids, start, transition, emission):
        self.item_ids = item_ids
        self.start, self.transition, self.emission = start, transition, emission

    def _after_click(self, belief, items):
        """Belief [B, n_states] about the states of these clicks, and the clicks [B], to the next belief."""
        belief = belief * self.emission[:, items].T
        likelihood = belief.sum(1, keepdims=True)
        if (likelihood == 0).any():
            item = self.item_ids[items[np.argmax(likelihood[:, 0] == 0)]]
            raise ValueError(f"a click on {item!r} is impossible here after the clicks before it")
        return belief / likelihood @ self.transition

    def recommend(self, history, k=10):
        """Raw item ids, oldest first, to the ``k`` most probable next items: Recommendations."""
        belief = self.start[None]
        for item in metrics.encode_history(history, self.item_ids):
            belief = self._after_click(belief, np.array([item]))
        return metrics.best_items(belief[0] @ self.emission, self.item_ids, k)

    def score_sessions(self, data, batch_size=512):
        """Yield (positions int64 tensor [B], probabilities float64 tensor [B, n_items])."""
        metrics.check_catalogue(self, data)
        longest_first = np.argsort(-data.lengths, kind="stable")
        for first in range(0, data.n_sessions, batch_size):
            sessions = longest_first[first:first + batch_size]
            belief = np.tile(self.start, (len(sessions), 1))
            for t in range(1, data.lengths[sessions[0]]):
                alive = np.count_nonzero(data.lengths[sessions] > t)  # a prefix: the longest come first
                targets = data.offsets[sessions[:alive]] + t
                belief = self._after_click(belief[:alive], data.items[targets - 1])
                yield torch.from_numpy(targets), torch.from_numpy(belief @ self.emission)


class LastItem(LastItemRecommender):
    """The best recommender that sees nothing but the last click: scores are P(next item | last item).

    Examples
    --------
    >>> model = LastItem(np.array(["a", "b"]), np.array([[0.1, 0.9], [0.6, 0.4]]))
    >>> model.recommend(["b", "a"], k=1)
    Recommendations(ids=array(['b'], dtype='<U1'), scores=array([0.9]))
    """

    def __init__(self, item_ids, next_given_last):
        self.item_ids, self.next_given_last = item_ids, next_given_last

    def scores_after_item(self, last):
        return self.next_given_last[last]


@dataclass(frozen=True)
class SessionWorld:
    """Sessions driven by a hidden mood: a sticky, mostly cyclic hidden Markov chain.

    The hidden state stays as it is with probability ``stay``; else it moves to the next state on a ring, or,
    with probability ``jump``, to any other. Each item belongs to ``states_per_item`` random states, so that
    one click leaves open which state it came from, while a few clicks tell. In a state, its items are drawn
    in proportion to their popularity, which is log-normal: exp(``spread`` · N(0, 1)).

    The chain starts in its stationary distribution, which is uniform, and the length of a session, 2 +
    Poisson(``mean_length`` − 2), is drawn apart from the states. So neither the position in the session nor
    its end tells anything about an item, and both :meth:`bayes` and :meth:`last_item` are exact at every
    position.

    Parameters
    ----------
    n_states, n_items, states_per_item : sizes
    stay : probability to remain in the state
    jump : probability, given a move, to go to any other state instead of the next
    ring_step : the next state on the ring is this many further on; -1 walks the ring backwards
    spread : standard deviation of the items' log popularity
    mean_length : mean clicks per session, at least 2
    noise : probability that a click is on any item, uniformly, whatever the state; known to the oracle
    seed : draws who belongs where and the popularities; the world is the same wherever the seed is

    Examples
    --------
    What the last click alone leaves on the table:

    >>> from rnnbook.metrics import evaluate_sessions
    >>> world = SessionWorld(n_items=100)
    >>> data = world.sample(1000, seed=1)
    >>> data.n_sessions, data.n_items, world.transition.shape, world.emission.shape
    (1000, 100, (20, 20), (20, 100))
    >>> evaluate_sessions(world.last_item(), data, k=5).recall < world.oracle(data, k=5).recall
    True
    """

    n_states: int = 20
    n_items: int = 300
    states_per_item: int = 3
    stay: float = 0.8
    jump: float = 0.05
    spread: float = 0.8
    mean_length: float = 8.0
    noise: float = 0.0
    ring_step: int = 1
    seed: int = 0

    def __post_init__(self):
        if not 2 <= self.n_states <= self.n_items or not 1 <= self.states_per_item <= self.n_states:
            raise ValueError(f"need 2 <= n_states <= n_items and 1 <= states_per_item <= n_states: {self}")
        if not all(0 <= p <= 1 for p in (self.stay, self.jump, self.noise)):
            raise ValueError(f"stay, jump and noise are probabilities: {self}")
        if self.ring_step % self.n_states == 0:
            raise ValueError(f"ring_step must lead to another of the {self.n_states} states: {self}")
        if self.mean_length < 2:
            raise ValueError(f"mean_length must be at least 2, a click to see and one to predict: {self}")

    @cached_property
    def item_ids(self):
        """array [n_items] of str: the catalogue."""
        return _item_ids(self.n_items)

    @cached_property
    def start(self):
        """float64 [n_states]: P(first state), uniform, the stationary distribution of ``transition``."""
        return np.full(self.n_states, 1 / self.n_states)

    @cached_property
    def transition(self):
        """float64 [n_states, n_states]: row s is P(next state | state s); columns sum to 1 too."""
        here = np.eye(self.n_states)
        elsewhere = (1 - here) / (self.n_states - 1)
        move = (1 - self.jump) * np.roll(here, self.ring_step, axis=1) + self.jump * elsewhere
        return self.stay * here + (1 - self.stay) * move

    @cached_property
    def emission(self):
        """float64 [n_states, n_items]: row s is P(item | state s), noise included."""
        rng = np.random.default_rng([self.seed, 0])
        order = rng.random((self.n_items, self.n_states))
        one = rng.permutation(self.n_items) % self.n_states
        order[np.arange(self.n_items), one] = -1  # comes first, so that no state is empty
        member = order.argsort(1).argsort(1) < self.states_per_item
        weight = np.where(member.T, np.exp(self.spread * rng.standard_normal(self.n_items)), 0.0)
        weight /= weight.sum(1, keepdims=True)
        return (1 - self.noise) * weight + self.noise / self.n_items

    @cached_property
    def popularity(self):
        """float64 [n_items]: P(item) at any position."""
        return self.start @ self.emission

    @cached_property
    def next_given_last(self):
        """float64 [n_items, n_items]: row i is P(next item | last item i) at any position."""
        state_given_item = (self.start[:, None] * self.emission / self.popularity).T
        return state_given_item @ self.transition @ self.emission

    def sample(self, n, seed=0):
        """``n`` sessions as SessionData; another ``seed`` gives other sessions of the same world."""
        rng = np.random.default_rng([self.seed, 1, seed])
        states, items = _draw_start(rng, self.start, n), []
        lengths = _draw_lengths(rng, n, self.mean_length)
        for _ in range(lengths.max(initial=0)):
            items.append(draw_from_rows(rng, self.emission, states))
            states = draw_from_rows(rng, self.transition, states)
        return _session_data(rng, items, lengths, self.item_ids, "session-world")

    def bayes(self):
        """The best possible recommender."""
        return BayesFilter(self.item_ids, self.start, self.transition, self.emission)

    def last_item(self):
        """The best recommender that sees nothing but the last click: the ceiling of item-KNN and Markov."""
        return LastItem(self.item_ids, self.next_given_last)

    def oracle(self, data, k=20):
        """The best possible scores, as :meth:`bayes` realises them on ``data``: an Optimum.

        A model may pass it by luck on few sessions, never in expectation: compare on the same data.
        """
        return _optimum(self.bayes(), data, k)

    def markov_control(self):
        """A MarkovWorld with the same popularity and the same P(next item | last item).

        Every first-order method sees the same statistics and has the same ceiling in both worlds; only here
        does the past before the last click tell more.
        """
        return MarkovWorld(self)


@dataclass(frozen=True)
class MarkovWorld:
    """The control: a first-order Markov chain over items, where the last click is all there is to know.

    It takes P(first item), P(next item | last item) and the session lengths from ``world``. A sequence model
    that beats its last-item ceiling here has found something that is not there.

    Examples
    --------
    Here the last click tells all there is to know.

    >>> control = SessionWorld(n_items=100).markov_control()
    >>> data = control.sample(100)
    >>> from rnnbook.metrics import evaluate_sessions
    >>> evaluate_sessions(control.last_item(), data).recall == control.oracle(data).recall
    True
    """

    world: SessionWorld

    @property
    def item_ids(self):
        """array [n_items] of str: the catalogue."""
        return self.world.item_ids

    @property
    def start(self):
        """float64 [n_items]: P(first item), the stationary distribution of ``transition``."""
        return self.world.popularity

    @property
    def transition(self):
        """float64 [n_items, n_items]: row i is P(next item | item i)."""
        return self.world.next_given_last

    def sample(self, n, seed=0):
        """``n`` sessions as SessionData."""
        rng = np.random.default_rng([self.world.seed, 2, seed])
        last, items = _draw_start(rng, self.start, n), []
        lengths = _draw_lengths(rng, n, self.world.mean_length)
        for _ in range(lengths.max(initial=0)):
            items.append(last)
            last = draw_from_rows(rng, self.transition, last)
        return _session_data(rng, items, lengths, self.item_ids, "markov-world")

    def bayes(self):
        """The best possible recommender, which here is :meth:`~SessionWorld.last_item`."""
        return self.last_item()

    def last_item(self):
        """The best recommender that sees nothing but the last click."""
        return LastItem(self.item_ids, self.transition)

    def oracle(self, data, k=20):
        """The best possible scores on ``data``: an Optimum."""
        return _optimum(self.bayes(), data, k)


@dataclass(frozen=True)
class DriftWorld:
    """A log with a break: sessions follow ``before``, and from a known time on ``after``.

    What comes next is always drawn from ``after``, so that is where the optimum lies: with the time of the
    break known, no earlier session says anything about how moods move now. (What the items are, it does say,
    if both worlds have the same ``seed``.) The control is ``DriftWorld(world, world)``, which has no break.

    Parameters
    ----------
    before, after : SessionWorld
        Over the same number of items.
    change : share of the sessions that come before the break

    Examples
    --------
    >>> world = DriftWorld(SessionWorld(n_items=30), SessionWorld(n_items=30, ring_step=-1),
    ...                    change=0.75)
    >>> data = world.sample(8)
    >>> # minutes; the break lies before the seventh
    >>> (data.times[data.offsets[:-1]] / 60).round().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """

    before: SessionWorld
    after: SessionWorld
    change: float = 0.9

    def __post_init__(self):
        if self.before.n_items != self.after.n_items:
            raise ValueError(f"the worlds have {self.before.n_items} and {self.after.n_items} items; "
                             "a drift needs one catalogue")
        if not 0 <= self.change <= 1:
            raise ValueError(f"change={self.change}; it is a share of the sessions, between 0 and 1")

    @property
    def item_ids(self):
        """array [n_items] of str: the catalogue."""
        return self.after.item_ids

    def sample(self, n, seed=0):
        """``n`` sessions as SessionData, in the order of time, the last (1 − change) · n of them after the break."""
        n_before = round(self.change * n)
        old, new = self.before.sample(n_before, 2 * seed), self.after.sample(n - n_before, 2 * seed + 1)
        later = 60.0 * n_before  # a session starts each minute
        return SessionData(items=np.concatenate([old.items, new.items]), item_ids=self.item_ids,
                           offsets=np.concatenate([old.offsets, old.n_events + new.offsets[1:]]),
                           times=np.concatenate([old.times, later + new.times]), session_ids=np.arange(n),
                           name="drift-world")

    def bayes(self):
        """The best possible recommender after the break."""
        return self.after.bayes()

    def last_item(self):
        """The best recommender after the break that sees nothing but the last click."""
        return self.after.last_item()

    def oracle(self, data, k=20):
        """The best possible scores on ``data``, sessions of ``after``: an Optimum."""
        return self.after.oracle(data, k)


def _optimum(recommender, data, k):
    scores = metrics.evaluate_sessions(recommender, data, k, n_boot=1)
    nats = sum(-p[torch.arange(len(p)), torch.from_numpy(data.items)[positions]].log().sum().item()
               for positions, p in recommender.score_sessions(data))
    return Optimum(scores.recall, scores.mrr, scores.ndcg, nats / scores.n_predictions, k)


def _item_ids(n):
    return np.array([f"item-{i}" for i in range(n)], dtype=object)


def _draw_start(rng, probabilities, n):
    return rng.choice(len(probabilities), size=n, p=probabilities)


def _draw_lengths(rng, n, mean):
    return 2 + rng.poisson(mean - 2, size=n)


def draw_from_rows(rng, probabilities, rows):
    """One index drawn from each of the given rows of a stochastic matrix.

    Parameters
    ----------
    rng : numpy.random.Generator
    probabilities : float64 array [n_rows, n_columns]
        Each row adds up to 1.
    rows : int64 array [n]

    Returns
    -------
    int64 array [n]

    Examples
    --------
    >>> draw_from_rows(np.random.default_rng(0), np.eye(3), np.array([2, 0])).tolist()
    [2, 0]
    """
    cumulative = probabilities.cumsum(1)
    cumulative /= cumulative[:, -1:]  # ends in exactly 1, so that nothing falls behind the last column
    # Row s shifted to (s, s + 1] makes the whole matrix one sorted array.
    flat = (cumulative + np.arange(len(cumulative))[:, None]).ravel()
    found = np.searchsorted(flat, rows + rng.random(len(rows)), side="right") - rows * probabilities.shape[1]
    return np.minimum(found, probabilities.shape[1] - 1)


def _session_data(rng, items, lengths, item_ids, name):
    """Cut columns of clicks (a list of [n], one per position) to their lengths and put a clock to them."""
    kept = np.arange(len(items)) < lengths[:, None]
    gaps = rng.exponential(30.0, size=kept.shape)  # seconds between two clicks; a session starts each minute
    times = 60.0 * np.arange(len(lengths))[:, None] + gaps.cumsum(1) - gaps[:, :1]
    return SessionData(items=np.stack(items, axis=1)[kept] if items else np.empty(0, np.int64),
                       offsets=np.concatenate([[0], lengths.cumsum()]).astype(np.int64), times=times[kept],
                       item_ids=item_ids, session_ids=np.arange(len(lengths)), name=name)
