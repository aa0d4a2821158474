"""From a model's scores to recommendations: for one history, or for many at once.

:class:`Recommender` is the base class of every model that scores all items after a history. It finds the best items in
blocks of histories and items, so the scores of all items for all histories are never in memory together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from rnnbook.interactions import SessionData
from rnnbook.interactions.lookup import find_ids
from rnnbook.metrics import check_catalogue

ROWS = 256  # histories whose scores are computed together
BLOCK = 1 << 21  # scores that are in memory together: 8 MB in float32


class Recommendations(NamedTuple):
    """The recommended items and their scores, best first; `Recommender.recommend` returns it.

    Examples
    --------
    >>> answer = Recommendations(np.array(["tent", "stove"]), np.array([0.7, 0.2]))
    >>> dict(zip(answer.ids.tolist(), answer.scores.tolist()))
    {'tent': 0.7, 'stove': 0.2}
    """

    ids: np.ndarray  # [k] raw item ids
    scores: np.ndarray  # float [k]


class Recommender(ABC):
    """Base class of a model that scores items after a history.

    A subclass sets ``item_ids`` and defines ``scorer``.

    Examples
    --------
    A model that recommends what was not clicked yet, in the order of the catalogue:

    >>> class Unseen(Recommender):
    ...     item_ids = np.array(["tent", "stove", "boots"])
    ...
    ...     def scorer(self, histories):
    ...         clicked = torch.zeros(len(histories), 3)
    ...         for row, history in enumerate(histories):
    ...             clicked[row, history] = 1.0
    ...         return lambda rows, items: -clicked[rows][:, items]
    >>> Unseen().recommend(["boots", "tent"], k=1)
    Recommendations(ids=array(['stove'], dtype='<U5'), scores=array([-0.], dtype=float32))
    """

    item_ids: np.ndarray
    answers_empty_history = False
    at_once = 8192  # histories that are read together

    @abstractmethod
    def scorer(self, histories) -> Callable:
        """Read some histories, and return a function that scores items after them.

        Parameters
        ----------
        histories : list of int64 arrays
            Item indices, oldest first.

        Returns
        -------
        callable(slice, slice or Tensor int64 [m]) -> Tensor, float [n, m]
            The scores after some of the histories (n of them, by a slice) of some items (by their indices).
        """

    def recommend(self, history, k=10, *, exclude_seen=False, candidates=None):
        """The k best next items after one history.

        Parameters
        ----------
        history : sequence of raw item ids
            The session so far, oldest first.
        k, exclude_seen, candidates
            As in `recommend_many`.

        Returns
        -------
        Recommendations
            ``ids`` [k] and ``scores`` [k], best first.

        Raises
        ------
        ValueError
            The history is empty or has an unknown item.

        Examples
        --------
        >>> from rnnbook.baselines import Popularity
        >>> from rnnbook.interactions import SessionData
        >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcbc"), "time": range(5)})
        >>> model = Popularity().fit(SessionData.from_frame(clicks))
        >>> model.recommend(["b"], k=2).ids.tolist()
        ['b', 'c']
        >>> model.recommend(["b"], exclude_seen=True).ids.tolist()
        ['c', 'a']
        """
        return self.recommend_many([history], k, exclude_seen=exclude_seen, candidates=candidates)[0]

    @torch.no_grad()
    def recommend_many(self, histories, k=10, *, exclude_seen=False, candidates=None):
        """The k best next items after each of many histories. This is much faster than one call for each.

        Parameters
        ----------
        histories : sequence of sequences of raw item ids, or SessionData
            The sessions so far, each with its oldest item first. SessionData must have the catalogue of the model.
        k : int
            If fewer items can be recommended, all of them are returned.
        exclude_seen : bool
            Whether to leave out the items of the history. By default they can be recommended, because users click an
            item again.
        candidates : sequence of raw item ids, optional
            Recommend only these items; by default the whole catalogue.

        Returns
        -------
        list of Recommendations
            For each history ``ids`` [k] and ``scores`` [k], best first. Items of equal score keep the order of the
            catalogue.

        Raises
        ------
        ValueError
            A history is empty, or has an unknown item; or ``k`` is below 1; or a candidate is unknown.

        Examples
        --------
        >>> from rnnbook.baselines import Markov
        >>> from rnnbook.interactions import SessionData
        >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
        >>> model = Markov().fit(SessionData.from_frame(clicks))
        >>> [best.ids.tolist() for best in model.recommend_many([["a"], ["a", "b"]], k=1)]
        [['b'], ['a']]
        >>> [best.ids.tolist() for best in model.recommend_many([["a"], ["b"]], candidates=["c", "a"])]
        [['a', 'c'], ['a', 'c']]
        """
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise ValueError(f"k must be a whole number of at least 1, not {k!r}")
        index = self._index()
        encoded = _encode_histories(histories, self, index)
        allowed = np.arange(len(self.item_ids)) if candidates is None else _encode_candidates(candidates, index)
        answers = []
        for start in range(0, len(encoded), self.at_once):
            batch = encoded[start:start + self.at_once]
            indices, scores = self.best(batch, allowed, min(k, len(allowed)), seen_places(batch, allowed, exclude_seen))
            if np.isnan(scores).any():
                raise ValueError("some scores are not numbers; the model's weights must be finite")
            ids, n = self.item_ids[indices], np.isfinite(scores).sum(1)
            answers += [Recommendations(ids[i, :n[i]], scores[i, :n[i]]) for i in range(len(batch))]
        return answers

    def best(self, histories, allowed, k, seen):
        """The best items after each history, found in blocks of `ROWS` histories and many items.

        Parameters
        ----------
        histories : list of int64 arrays
        allowed : int64 array [m], ascending
            The items that can be recommended.
        k : int
            At most m.
        seen : list of int64 arrays
            For each history the places in ``allowed``, ascending, of items that must not be recommended.

        Returns
        -------
        items : int64 array [n_histories, k]
        scores : float array [n_histories, k], descending
            -inf where no item is left.
        """
        score = self.scorer(histories)
        parts = [best_of(partial(score, slice(low, low + ROWS)), allowed, k, seen[low:low + ROWS])
                 for low in range(0, len(histories), ROWS)]
        return tuple(map(np.concatenate, zip(*parts)))

    def _index(self):
        """The catalogue as a pandas Index, whose table of places is built once."""
        kept = self.__dict__.get("_kept_index")
        if kept is None or kept[0] is not self.item_ids:
            kept = self.__dict__["_kept_index"] = (self.item_ids, pd.Index(self.item_ids))
        return kept[1]


def _encode_histories(histories, model, index):
    """Item indices of each history: a list of int64 arrays. The arguments are those of `Recommender.recommend_many`."""
    if isinstance(histories, SessionData):
        check_catalogue(model, histories)
        encoded = np.split(histories.items, histories.offsets[1:-1]) if histories.n_sessions else []
    else:
        lists = [_as_list(history) for history in histories]
        items = find_ids(chain.from_iterable(lists), index)
        encoded = np.split(items, np.cumsum([len(each) for each in lists])[:-1]) if lists else []
        if (items < 0).any():
            unknown = next(item for item in chain.from_iterable(lists) if item not in index)
            raise ValueError(f"unknown item {unknown!r}: it is not among the {len(index):,} items of the catalogue; "
                             "leave it out of the history, or train on data that have it")
    if not model.answers_empty_history and any(len(history) == 0 for history in encoded):
        raise ValueError("the history is empty; pass at least one item id (only popularity needs none)")
    return encoded


def _encode_candidates(candidates, index):
    """Item indices of the candidates, each once: int64 array, ascending."""
    if isinstance(candidates, (str, bytes)) or not hasattr(candidates, "__len__"):
        raise ValueError(f"candidates must be a list of item ids, not {candidates!r}")
    found = find_ids(candidates, index)
    if len(found) == 0:
        raise ValueError("there are no candidates; give at least one, or None for the whole catalogue")
    if (found < 0).any():
        raise ValueError(f"a candidate is not in the catalogue: {list(candidates)[int(np.argmin(found))]!r}; leave it "
                         "out")
    return np.unique(found)


def _as_list(history):
    """The raw ids of a history as a list; a ValueError if it is a single id."""
    if hasattr(history, "tolist"):
        history = history.tolist()
    if isinstance(history, (str, bytes)) or not isinstance(history, Iterable):
        raise ValueError(f"a history is a sequence of item ids, not one id; pass [{history!r}]")
    return list(history)


def seen_places(histories, allowed, exclude_seen):
    """For each history the places of its items in ``allowed``, ascending: a list of int64 arrays.

    Examples
    --------
    >>> histories, allowed = [np.array([7, 3, 7]), np.array([5])], np.array([3, 4, 7])
    >>> [places.tolist() for places in seen_places(histories, allowed, exclude_seen=True)]
    [[0, 2], []]
    >>> [places.tolist() for places in seen_places(histories, allowed, exclude_seen=False)]
    [[], []]
    """
    if not exclude_seen:
        return [np.empty(0, np.int64)] * len(histories)
    lengths = [len(history) for history in histories]
    row, item = np.repeat(np.arange(len(histories)), lengths), np.concatenate(histories)
    place = np.searchsorted(allowed, item)
    there = allowed[np.minimum(place, len(allowed) - 1)] == item
    row, place = np.divmod(np.unique(row[there] * len(allowed) + place[there]), len(allowed))
    return np.split(place, np.searchsorted(row, np.arange(1, len(histories))))


def best_of(score, allowed, k, seen):
    """The best items after a few histories, found block by block.

    Parameters
    ----------
    score : callable(slice or Tensor int64 [m]) -> Tensor, float [n, m]
        The scores of some items after all the histories.
    allowed, k, seen
        As in `Recommender.best`, whose result this has.

    Examples
    --------
    >>> table, allowed = torch.tensor([[0.1, 0.7, 0.7]], dtype=torch.float64), np.arange(3)
    >>> def score(items):
    ...     return table[:, items].clone()
    >>> best_of(score, allowed, 2, seen=[np.array([], int)])[0].tolist()
    [[1, 2]]
    >>> items, scores = best_of(score, allowed, 2, seen=[np.array([0, 1])])
    >>> items.tolist()[0][0], scores.tolist()
    (2, [[0.7, -inf]])
    """
    width = max(1, BLOCK // len(seen))
    row, place = np.repeat(np.arange(len(seen)), list(map(len, seen))), np.concatenate(seen)
    consecutive = allowed[-1] - allowed[0] == len(allowed) - 1
    best: Any = None
    for start in range(0, len(allowed), width):
        part = allowed[start:start + width]
        # a slice of a table is not copied
        scores = score(slice(int(part[0]), int(part[-1]) + 1) if consecutive else torch.from_numpy(part))
        here = (start <= place) & (place < start + len(part))
        if here.any():
            scores[torch.from_numpy(row[here]), torch.from_numpy(place[here] - start)] = -torch.inf
        best = better(scores, start, best, k)
    return allowed[best[1].cpu().numpy()], best[0].cpu().numpy()


def better(scores, first, best, k):
    """The k best columns of each row, of those before and of a new block. Of equal scores, the first columns win.

    Parameters
    ----------
    scores : Tensor, float [n, m]
        The columns ``first``, ``first + 1``, ….
    first : int
    best : (values, columns), or None
        What the blocks before gave, whose columns are lower.
    k : int

    Returns
    -------
    values : Tensor, float [n, k], descending
        Fewer than k where there are fewer columns.
    columns : Tensor, int64 of the same shape

    Examples
    --------
    >>> best = better(torch.tensor([[1.0, 3.0, 2.0, 3.0, 2.0]]), first=0, best=None, k=3)
    >>> best[1], better(torch.tensor([[3.0, 4.0]]), first=5, best=best, k=3)[1]
    (tensor([[1, 3, 2]]), tensor([[6, 1, 3]]))
    """
    in_block = min(k, scores.shape[1])
    values, columns = scores.topk(in_block, dim=1)
    level = values[:, -1:]
    # topk takes any of the columns that are as good as the last; where there are more of them, the first are taken.
    # On a CPU, summing ones in float32 is several times faster than summing booleans.
    reached = torch.ge(scores, level, out=torch.empty_like(scores, dtype=torch.float32)).sum(1)
    for row in (reached > in_block).nonzero()[:, 0].tolist():
        above, equal = (compare(scores[row], level[row]).nonzero()[:, 0] for compare in (torch.gt, torch.eq))
        columns[row] = torch.cat([above, equal[:in_block - len(above)]])
    columns = columns.sort(dim=1).values
    values, columns = scores.gather(1, columns), columns + first
    if best is not None:
        values, columns = torch.cat([best[0], values], dim=1), torch.cat([best[1], columns], dim=1)
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values[:, :k], columns.gather(1, order[:, :k])
