"""Worlds of sessions: one with hidden states, its first-order Markov control, and a log with a change in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from rnnbook import metrics
from rnnbook.baselines import LastItemRecommender
from rnnbook.interactions import SessionData
from rnnbook.recommenders import Recommender


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


class BayesFilter(Recommender):
    """The best recommender for a hidden Markov chain: scores are P(next item | history), float64.

    With the start distribution :math:`\\pi`, transitions :math:`A_{su} = P(u | s)` and emissions
    :math:`B_{si} = P(i | s)`, the distribution of the state of the first click is :math:`b_1 = \\pi`. Each click
    :math:`x_t` updates it by Bayes' rule, then by one step of the chain:

    .. math::
        b_{t+1} &\\propto \\sum_s b_t(s)\\, B_{s x_t}\\, A_{s \\cdot}, \\\\
        P(x_{t+1} = i | x_1 … x_t) &= \\sum_s b_{t+1}(s)\\, B_{si}.

    Recall, MRR and NDCG never increase with the rank of the one correct item. So ranking by this probability is best
    for each of them in expectation. The probability itself is best for the cross-entropy.

    Parameters
    ----------
    item_ids : array [n_items]
    start : float64 array [n_states], π
    transition : float64 array [n_states, n_states], A
    emission : float64 array [n_states, n_items], B

    Examples
    --------
    Two states that never change. One emits a and c, the other b and c. After a click on a, b is impossible.

    >>> start, stay = np.array([0.5, 0.5]), np.eye(2)
    >>> emission = np.array([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
    >>> best = BayesFilter(np.array(["a", "b", "c"]), start, stay, emission)
    >>> best.recommend(["c"], k=3).scores.tolist()  # both states are still possible
    [0.5, 0.25, 0.25]
    >>> best.recommend(["a", "c"], k=3)
    Recommendations(ids=array(['a', 'c', 'b'], dtype='<U1'), scores=array([0.5, 0.5, 0. ]))
    """

    def __init__(self, item_ids, start, transition, emission):
        self.item_ids = item_ids
        self.start, self.transition, self.emission = start, transition, emission

    def after_click(self, belief, items):
        """The distributions of the next states, float64 [B, n_states], from those of the current ones and clicks [B].

        A click that is impossible in these states raises a ValueError.
        """
        belief = belief * self.emission[:, items].T
        likelihood = belief.sum(1, keepdims=True)
        if (likelihood == 0).any():
            item = self.item_ids[items[np.argmax(likelihood[:, 0] == 0)]]
            raise ValueError(f"a click on {item!r} is impossible here after the earlier clicks")
        return belief / likelihood @ self.transition

    def scorer(self, histories):
        """Read histories, as `Recommender` needs it. One that is impossible in this world raises a ValueError."""
        beliefs = np.empty((len(histories), len(self.start)))
        for row, history in enumerate(histories):
            belief = self.start[None]
            for item in history:
                belief = self.after_click(belief, np.array([item]))
            beliefs[row] = belief
        return lambda rows, items: torch.from_numpy(beliefs[rows] @ self.emission[:, items])

    def score_sessions(self, data, batch_size=512):
        """Yield (positions int64 tensor [B], probabilities float64 tensor [B, n_items])."""
        metrics.check_catalogue(self, data)
        longest_first = np.argsort(-data.lengths, kind="stable")
        for first in range(0, data.n_sessions, batch_size):
            sessions = longest_first[first:first + batch_size]
            belief = np.tile(self.start, (len(sessions), 1))
            for t in range(1, data.lengths[sessions[0]]):
                alive = np.count_nonzero(data.lengths[sessions] > t)  # they are the first rows: the longest come first
                targets = data.offsets[sessions[:alive]] + t
                belief = self.after_click(belief[:alive], data.items[targets - 1])
                yield torch.from_numpy(targets), torch.from_numpy(belief @ self.emission)


class LastItem(LastItemRecommender):
    """The best recommender that sees only the last click: scores are P(next item | last item).

    Parameters
    ----------
    item_ids : array [n_items]
    next_given_last : float64 array [n_items, n_items]

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
    """Sessions with a hidden state: a hidden Markov chain that changes slowly and mostly moves around a ring.

    The hidden state stays the same with probability ``stay``. Otherwise it moves to the next state on a ring, or, with
    probability ``jump``, to any other state. Each item belongs to ``states_per_item`` random states. So one click
    does not determine the state, but a few clicks do. In a state, its items are drawn in proportion to their
    popularity, which is log-normal: exp(``spread`` · N(0, 1)).

    The chain starts in its stationary distribution, which is uniform. The length of a session, 2 +
    Poisson(``mean_length`` − 2), is independent of the states. So neither the position in the session nor its end
    says anything about an item, and both :meth:`bayes` and :meth:`last_item` are exact at every position.

    Parameters
    ----------
    n_states, n_items, states_per_item : int
    stay : float in [0, 1], the probability to remain in the state
    jump : float in [0, 1], the probability, given a move, to go to any other state instead of the next
    ring_step : int, how far the next state on the ring is; -1 reverses the ring
    spread : float, the standard deviation of the items' log popularity
    mean_length : float, the mean number of clicks per session, at least 2
    noise : float in [0, 1], the probability that a click is on a uniformly random item; the oracle knows it
    seed : int, draws the states of the items and the popularities; equal seeds give equal worlds

    Raises
    ------
    ValueError
        A parameter is out of its range.

    Examples
    --------
    Using only the last click costs Recall:

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
        return numbered_items(self.n_items)

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
        order[np.arange(self.n_items), one] = -1  # comes first; so every state has an item
        member = order.argsort(1).argsort(1) < self.states_per_item
        weight = np.where(member.T, np.exp(self.spread * rng.standard_normal(self.n_items)), 0.0)
        weight /= weight.sum(1, keepdims=True)
        return (1 - self.noise) * weight + self.noise / self.n_items

    @cached_property
    def popularity(self):
        """float64 [n_items]: P(item), the same at every position."""
        return self.start @ self.emission

    @cached_property
    def next_given_last(self):
        """float64 [n_items, n_items]: row i is P(next item | last item i), the same at every position."""
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
        return session_data(rng, items, lengths, self.item_ids, "session-world")

    def bayes(self):
        """The best possible recommender."""
        return BayesFilter(self.item_ids, self.start, self.transition, self.emission)

    def last_item(self):
        """The best recommender that sees only the last click: the upper bound for item-KNN and Markov."""
        return LastItem(self.item_ids, self.next_given_last)

    def oracle(self, data, k=20):
        """The best possible scores on SessionData, those of :meth:`bayes`: an Optimum.

        On few sessions a model can be better by chance, but never in expectation. So compare on the same data.
        """
        return optimum_of(self.bayes(), data, k)

    def markov_control(self):
        """A MarkovWorld with the same popularity and the same P(next item | last item).

        Every first-order method sees the same statistics and has the same upper bound in both worlds. Only in this
        world do the clicks before the last one carry more information.
        """
        return MarkovWorld(self)


@dataclass(frozen=True)
class MarkovWorld:
    """The control: a first-order Markov chain over items, in which only the last click matters.

    It takes P(first item), P(next item | last item) and the distribution of session lengths from ``world``. In
    expectation no sequence model can beat the last-item bound here. If one does, its evaluation has an error.

    Parameters
    ----------
    world : SessionWorld

    Examples
    --------
    The best recommender needs only the last click.

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
        return session_data(rng, items, lengths, self.item_ids, "markov-world")

    def bayes(self):
        """The best possible recommender, which here is :meth:`~SessionWorld.last_item`."""
        return self.last_item()

    def last_item(self):
        """The best recommender that sees only the last click."""
        return LastItem(self.item_ids, self.transition)

    def oracle(self, data, k=20):
        """The best possible scores on ``data``: an Optimum."""
        return optimum_of(self.bayes(), data, k)


@dataclass(frozen=True)
class DriftWorld:
    """A log with a change point: sessions come from ``before`` up to a known time, and from ``after`` from then on.

    Future sessions always come from ``after``, so its optimum is the optimum. When the time of the change is known,
    earlier sessions say nothing about the new transitions. (They do show which items belong together, if both worlds
    have the same ``seed``.) The control is ``DriftWorld(world, world)``, which has no change.

    Parameters
    ----------
    before, after : SessionWorld
        Both have the same number of items.
    change : float in [0, 1]
        The share of the sessions before the change.

    Raises
    ------
    ValueError
        The numbers of items differ, or ``change`` is not a share.

    Examples
    --------
    >>> world = DriftWorld(SessionWorld(n_items=30), SessionWorld(n_items=30, ring_step=-1),
    ...                    change=0.75)
    >>> data = world.sample(8)
    >>> # start times in minutes; the last two sessions come after the change
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
        """``n`` sessions as SessionData in the order of time; the last (1 − change) · n come after the change."""
        n_before = round(self.change * n)
        old, new = self.before.sample(n_before, 2 * seed), self.after.sample(n - n_before, 2 * seed + 1)
        later = 60.0 * n_before  # a session starts each minute
        return SessionData(items=np.concatenate([old.items, new.items]), item_ids=self.item_ids,
                           offsets=np.concatenate([old.offsets, old.n_events + new.offsets[1:]]),
                           times=np.concatenate([old.times, later + new.times]), session_ids=np.arange(n),
                           name="drift-world")

    def bayes(self):
        """The best possible recommender after the change."""
        return self.after.bayes()

    def last_item(self):
        """The best recommender after the change that sees only the last click."""
        return self.after.last_item()

    def oracle(self, data, k=20):
        """The best possible scores on ``data``, sessions of ``after``: an Optimum."""
        return self.after.oracle(data, k)


def optimum_of(recommender, data, k):
    """The scores of a world's best recommender, whose scores are probabilities: an Optimum.

    Examples
    --------
    >>> world = SessionWorld(n_items=30)
    >>> data = world.sample(20)
    >>> optimum_of(world.bayes(), data, k=5) == world.oracle(data, k=5)
    True
    """
    scores = metrics.evaluate_sessions(recommender, data, k, n_boot=1)
    nats = sum(-p[torch.arange(len(p)), torch.from_numpy(data.items)[positions]].log().sum().item()
               for positions, p in recommender.score_sessions(data))
    return Optimum(scores.recall, scores.mrr, scores.ndcg, nats / scores.n_predictions, k)


def numbered_items(n):
    """A catalogue of n items, an array of str.

    Examples
    --------
    >>> numbered_items(3).tolist()
    ['item-0', 'item-1', 'item-2']
    """
    return np.array([f"item-{i}" for i in range(n)], dtype=object)


def _draw_start(rng, probabilities, n):
    return rng.choice(len(probabilities), size=n, p=probabilities)


def _draw_lengths(rng, n, mean):
    return 2 + rng.poisson(mean - 2, size=n)


def draw_from_rows(rng, probabilities, rows):
    """Draw one column index from each of the given rows of a stochastic matrix.

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
    cumulative /= cumulative[:, -1:]  # ends in exactly 1, so that no draw lies beyond the last column
    # Adding s to row s makes the whole matrix one sorted array, so one search serves all rows.
    flat = (cumulative + np.arange(len(cumulative))[:, None]).ravel()
    found = np.searchsorted(flat, rows + rng.random(len(rows)), side="right") - rows * probabilities.shape[1]
    return np.minimum(found, probabilities.shape[1] - 1)


def session_data(rng, items, lengths, item_ids, name):
    """SessionData from columns of clicks (a list of int64 [n], one per position): cut to lengths, with random times.

    Examples
    --------
    Two sessions, of which the first has two clicks and the second one.

    >>> columns = [np.array([4, 0]), np.array([2, 1])]
    >>> rng, lengths = np.random.default_rng(0), np.array([2, 1])
    >>> session_data(rng, columns, lengths, numbered_items(5), "tiny").items.tolist()
    [4, 2, 0]
    """
    kept = np.arange(len(items)) < lengths[:, None]
    gaps = rng.exponential(30.0, size=kept.shape)  # seconds between two clicks; a session starts each minute
    times = 60.0 * np.arange(len(lengths))[:, None] + gaps.cumsum(1) - gaps[:, :1]
    return SessionData(items=np.stack(items, axis=1)[kept] if items else np.empty(0, np.int64),
                       offsets=np.concatenate([[0], lengths.cumsum()]).astype(np.int64), times=times[kept],
                       item_ids=item_ids, session_ids=np.arange(len(lengths)), name=name)
