"""A world with a long memory: one click decides, a number of clicks back, and no other click does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from rnnbook import metrics
from rnnbook.recommenders import Recommender
from rnnbook.worlds.sessions import LastItem, numbered_items, optimum_of, session_data


class MemoryFilter(Recommender):
    """The best recommender of a LongMemoryWorld: scores are P(next item | history), float64.

    Parameters
    ----------
    world : LongMemoryWorld

    Examples
    --------
    >>> world = LongMemoryWorld(n_items=10, lag=2)
    >>> partner = world.item_ids[world.partner[3]]
    >>> world.bayes().recommend(["item-3", "item-7"], k=1).ids[0] == partner
    True
    """

    def __init__(self, world):
        self.world, self.item_ids = world, world.item_ids

    def probabilities(self, decisive):
        """float64 [n, n_items]: after the clicks int64 [n] that decide; −1 where there is none yet."""
        world, known = self.world, decisive >= 0
        p = np.tile(world.popularity, (len(decisive), 1))
        content = 1 - world.distraction
        p[known, :world.n_content] *= 1 - world.faithful
        p[known, world.partner[decisive[known]]] += content * world.faithful
        return p

    def scorer(self, histories):
        """Read histories, as `Recommender` needs it."""
        lag, counted = self.world.lag, [h[h < self.world.n_content] for h in histories]
        p = self.probabilities(np.array([h[-lag] if len(h) >= lag else -1 for h in counted]))
        return lambda rows, items: torch.from_numpy(p[rows][:, items])

    def score_sessions(self, data, batch_size=512):
        """Yield (positions int64 tensor [B], probabilities float64 tensor [B, n_items])."""
        metrics.check_catalogue(self, data)
        positions, sessions = metrics.target_positions(data)
        counts = data.items < self.world.n_content
        content = np.flatnonzero(counts)  # the places of the clicks that count
        back = np.cumsum(counts)[positions - 1] - self.world.lag  # of them, the one that decides
        decisive = np.where((back >= 0) & (content[back] >= data.offsets[sessions]), data.items[content[back]], -1)
        for first in range(0, len(positions), batch_size):
            rows = slice(first, first + batch_size)
            yield torch.from_numpy(positions[rows]), torch.from_numpy(self.probabilities(decisive[rows]))


@dataclass(frozen=True)
class LongMemoryWorld:
    """Sessions in which a click goes with the one ``lag`` clicks before it.

    Each item has a partner, and is the partner of one item. With probability ``faithful`` the next click is the partner
    of the click ``lag`` steps back. Otherwise, and in the first ``lag`` clicks, it is any item. All items are equally
    popular. For a lag above 1 the last click says nothing, and so do all others but one.

    A model must keep ``lag`` clicks apart from each other to know which of them decides. Attention can look it up, as
    long as it has a place for it. A recurrent network has to pass all of them through its state.

    With a ``distraction``, that share of the clicks goes to the second half of the catalogue. These clicks do not
    count: the one that decides lies ``lag`` clicks of the first half back. So a model must choose what it keeps by
    what was clicked, and not by how long ago. (Without, this is the task of copying; with it, of selective copying.)

    Parameters
    ----------
    lag : int, at least 1
    n_items : int, at least 2; with a distraction, at least 4
    faithful : float in [0, 1]
    length : int, the clicks of a session, at least 2
    distraction : float in [0, 1)
    seed : int, draws the partners; equal seeds give equal worlds

    Raises
    ------
    ValueError
        A parameter is out of its range.

    Examples
    --------
    >>> world = LongMemoryWorld(lag=5, n_items=100)
    >>> data = world.sample(200)
    >>> world.oracle(data).recall > 0.5, world.oracle(data).recall > 2 * 20 / 100
    (True, True)
    """

    lag: int = 5
    n_items: int = 100
    faithful: float = 0.8
    length: int = 30
    distraction: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if self.lag < 1 or self.n_content < 2 or self.length < 2 or not 0 <= self.faithful <= 1:
            raise ValueError(f"need lag >= 1, length >= 2, two items that count and a probability faithful: {self}")
        if not 0 <= self.distraction < 1:
            raise ValueError(f"need 0 <= distraction < 1: {self}")

    @property
    def n_content(self):
        """int: the items that count, the first of the catalogue."""
        return self.n_items // 2 if self.distraction else self.n_items

    @property
    def popularity(self):
        """float64 [n_items]: the probability of each item when nothing is known."""
        others = self.n_items - self.n_content
        return np.repeat([(1 - self.distraction) / self.n_content, self.distraction / max(others, 1)],
                         [self.n_content, others])

    @cached_property
    def item_ids(self):
        """array [n_items] of str: the catalogue."""
        return numbered_items(self.n_items)

    @cached_property
    def partner(self):
        """int64 [n_content]: a permutation, the item that goes with each."""
        return np.random.default_rng([self.seed, 0]).permutation(self.n_content)

    def sample(self, n, seed=0):
        """``n`` sessions as SessionData; another ``seed`` gives other sessions of the same world."""
        rng = np.random.default_rng([self.seed, 1, seed])
        content = np.zeros((n, self.length), dtype=np.int64)  # as if every click counted
        for t in range(self.length):
            anything = rng.integers(self.n_content, size=n)
            follows = (rng.random(n) < self.faithful) & (t >= self.lag)
            content[:, t] = np.where(follows, self.partner[content[:, t - self.lag]], anything)
        items = list(content.T)
        if self.distraction:  # the clicks that count are spread over the session
            counts = rng.random((n, self.length)) >= self.distraction
            which = np.maximum(np.cumsum(counts, axis=1) - 1, 0)
            others = rng.integers(self.n_content, self.n_items, size=(n, self.length))
            items = list(np.where(counts, np.take_along_axis(content, which, axis=1), others).T)
        return session_data(rng, items, np.full(n, self.length), self.item_ids, "long-memory-world")

    def bayes(self):
        """The best possible recommender."""
        return MemoryFilter(self)

    def last_item(self):
        """The best recommender that sees only the last click."""
        return LastItem(self.item_ids, self.next_given_last)

    @cached_property
    def next_given_last(self):
        """float64 [n_items, n_items]: row i is P(next item | last item i), far from the beginning of a session."""
        items = np.arange(self.n_items)
        decides = (self.lag == 1) & (items < self.n_content)
        return self.bayes().probabilities(np.where(decides, items, -1))

    def oracle(self, data, k=20):
        """The best possible scores on ``data``: an Optimum."""
        return optimum_of(self.bayes(), data, k)
