"""Ratings in, arrays out: who rated what, how much and when, in the order of time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

import numpy as np

from .tables import DataError


@dataclass(frozen=True, eq=False, repr=False)
class RatingData:
    """Ratings in the order of time (ties: as they came).

    Attributes
    ----------
    users, items : int64 arrays [n_ratings]
        Indices into ``user_ids`` and ``item_ids``.
    ratings : float64 array [n_ratings]
        On the data's own scale.
    times : float64 array [n_ratings]
        Seconds since 1970; never falling.
    user_ids, item_ids : arrays [n_users], [n_items]
        Raw ids (int64, or str as objects). The parts of a split share them, so that both may hold ids without
        a rating in this part.
    name : str
    report : dict of str to int
        What was counted on the way here.
    """

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    times: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    name: str = "ratings"
    report: dict = field(default_factory=dict)

    @property
    def n_ratings(self):
        return len(self.ratings)

    @property
    def n_users(self):
        return len(self.user_ids)

    @property
    def n_items(self):
        return len(self.item_ids)

    @cached_property
    def sha256(self):
        """Hex digest of the arrays and ids: equal data, equal digest."""
        digest = hashlib.sha256()
        for array, kind in ((self.users, "<i8"), (self.items, "<i8"), (self.ratings, "<f8"), (self.times, "<f8")):
            digest.update(np.ascontiguousarray(array, dtype=kind).data)
        for ids in (self.user_ids, self.item_ids):
            digest.update("\n".join(map(str, ids.tolist())).encode() + b"\0")
        return digest.hexdigest()

    def take(self, which):
        """The ratings at the given places (ascending int64 indices, a slice or a mask), over the same ids."""
        return replace(self, users=self.users[which], items=self.items[which], ratings=self.ratings[which],
                       times=self.times[which], report={})

    def split_by_time(self, *shares):
        """Cut into consecutive parts of these shares, by default 80, 10 and 10 %: the past first.

        Parameters
        ----------
        *shares : float
            Of the ratings, adding up to 1. Ratings of one instant keep their order and may end up on both
            sides of a cut.

        Returns
        -------
        tuple of RatingData, one a share, over the same ids

        Raises
        ------
        DataError
            A part would be empty.
        """
        shares = shares or (0.8, 0.1, 0.1)
        if min(shares) <= 0 or not np.isclose(sum(shares), 1):
            raise ValueError(f"shares must be positive and add up to 1, not {shares}")
        cuts = np.rint(np.cumsum((0.0, *shares)) * self.n_ratings).astype(np.int64)
        if (np.diff(cuts) == 0).any():
            raise DataError(f"{self.name}: {self.n_ratings} ratings cannot be cut into parts of {shares}; load more data")
        return tuple(self.take(slice(a, b)) for a, b in zip(cuts[:-1], cuts[1:]))

    def __repr__(self):
        text = f"{self.name}: {self.n_ratings:,} ratings by {self.n_users:,} users of {self.n_items:,} items"
        if self.n_ratings:
            first, last = (datetime.fromtimestamp(t, UTC) for t in self.times[[0, -1]])
            text += f", {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        return "\n".join([text] + [f"  {count:>12,} {what}" for what, count in self.report.items()])


def concatenate(first, second):
    """Both, over the ids they share; ``second`` may not begin before ``first`` ends.

    Returns
    -------
    RatingData
    """
    for ids in ("user_ids", "item_ids"):
        if not np.array_equal(getattr(first, ids), getattr(second, ids)):
            raise ValueError(f"{first.name} and {second.name} have other {ids}")
    if first.n_ratings and second.n_ratings and second.times[0] < first.times[-1]:
        raise ValueError(f"{second.name} begins before {first.name} ends")
    return replace(first, report={}, **{column: np.concatenate([getattr(first, column), getattr(second, column)])
                                        for column in ("users", "items", "ratings", "times")})
