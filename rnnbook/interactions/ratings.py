"""Ratings as flat arrays in the order of time: user, item, rating and time of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pandas as pd
import polars as pl

from rnnbook.interactions.lookup import joined_ids
from rnnbook.interactions.tables import DataError, amount, digest, read_ratings


@dataclass(frozen=True, eq=False, repr=False)
class RatingData:
    """Ratings in the order of time; ratings at the same time keep the order of the source.

    Attributes
    ----------
    users, items : int64 arrays [n_ratings]
        Indices into ``user_ids`` and ``item_ids``.
    ratings : float64 array [n_ratings]
        On the data's own scale.
    times : float64 array [n_ratings]
        Seconds since 1970, in ascending order.
    user_ids, item_ids : arrays [n_users], [n_items]
        Raw ids (int64, or str as objects). The parts of a split share them, so an id may have no rating in one part.
    name : str
    report : dict of str to int
        Counts of rows read, repaired and dropped. Every row read is either a rating or counted in an entry that ends
        in "dropped".

    Examples
    --------
    >>> rows = pd.DataFrame({"user": ["bob", "ann", "bob"], "item": ["tea", "tea", "milk"],
    ...                      "rating": [3, 5, 4],
    ...                      "time": ["2024-01-02", "2024-01-01", "2024-01-03"]})
    >>> data = RatingData.from_frame(rows)
    >>> data.users.tolist(), data.items.tolist(), data.ratings.tolist()  # in the order of time
    ([0, 1, 1], [1, 1, 0], [5.0, 3.0, 4.0])
    >>> past, future = data.split_by_time(2 / 3, 1 / 3)
    >>> future
    ratings: 1 rating by 2 users of 2 items, 2024-01-03 to 2024-01-03
    """

    ARRAYS: ClassVar = {"users": np.int64, "items": np.int64, "ratings": np.float64, "times": np.float64}

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    times: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    name: str = "ratings"
    report: dict = field(default_factory=dict)

    @classmethod
    def from_frame(cls, df, *, user="user", item="item", rating="rating", time="time", name="ratings"):
        """Make RatingData from a DataFrame with one row per rating. No row is dropped; the ids are sorted.

        Parameters
        ----------
        df : pandas or polars DataFrame
        user, item, rating, time : str
            Column names. Ids are integers or strings. Ratings are numbers. Times are seconds since 1970, dates or
            ISO 8601 strings.

        Raises
        ------
        DataError
            A column or a value is missing, a rating is not a number, or a time is invalid. The message names the row.
        """
        frame, report = read_ratings(df, user=user, item=item, rating=rating, time=time)
        return cls.from_ratings(frame, name, report).count_repeats()

    @classmethod
    def from_ratings(cls, frame, name, report):
        """Make RatingData from the polars DataFrame and the report of `read_ratings`; the rows may be in any order."""
        order = np.argsort(frame["time"].to_numpy(), kind="stable")
        (users, user_ids), (items, item_ids) = (pd.factorize(frame[role].to_numpy(), sort=True)
                                                for role in ("user", "item"))
        return cls(users[order].astype(np.int64, copy=False), items[order].astype(np.int64, copy=False),
                   frame["rating"].to_numpy()[order], frame["time"].to_numpy()[order], np.asarray(user_ids),
                   np.asarray(item_ids), name, report)

    def to_frame(self):
        """The ratings as a pandas DataFrame: ``user``, ``item`` (raw ids), ``rating`` and ``time`` (s)."""
        return pd.DataFrame({"user": self.user_ids[self.users], "item": self.item_ids[self.items],
                             "rating": self.ratings, "time": self.times})

    @property
    def n_ratings(self):
        """int: ratings."""
        return len(self.ratings)

    @property
    def n_users(self):
        """int: users, including those without a rating here."""
        return len(self.user_ids)

    @property
    def n_items(self):
        """int: items, including those without a rating here."""
        return len(self.item_ids)

    @cached_property
    def sha256(self):
        """str: SHA-256 of the arrays and ids, as hex. Equal data have equal digests."""
        return digest([(self.users, "<i8"), (self.items, "<i8"), (self.ratings, "<f8"), (self.times, "<f8")],
                      [self.user_ids, self.item_ids])

    def take(self, which):
        """RatingData with the ratings at these positions, over all ids; its report is empty.

        Parameters
        ----------
        which : int64 array, slice, or bool array [n_ratings]
            A later rating must not come before an earlier one.

        Raises
        ------
        ValueError
            The times of what is taken do not ascend.
        """
        if (np.diff(self.times[which]) < 0).any():
            raise ValueError("take ratings in the order of their times: the indices must ascend")
        return replace(self, users=self.users[which], items=self.items[which], ratings=self.ratings[which],
                       times=self.times[which], report={})

    def split_by_time(self, *shares):
        """Split into consecutive parts, the earliest first. By default they have 80, 10 and 10 % of the ratings.

        Parameters
        ----------
        *shares : float
            The share of each part, adding up to 1. Ratings at the same time can be on both sides of a cut.

        Returns
        -------
        tuple of RatingData
            One for each share, all over the same ids.

        Raises
        ------
        ValueError
            The shares are not positive or do not add up to 1.
        DataError
            A part would be empty.
        """
        shares = shares or (0.8, 0.1, 0.1)
        if min(shares) <= 0 or not np.isclose(sum(shares), 1):
            raise ValueError(f"shares must be positive and add up to 1, not {shares}")
        cuts = np.rint(np.cumsum((0.0, *shares)) * self.n_ratings).astype(np.int64)
        if (np.diff(cuts) == 0).any():
            raise DataError(f"{self.name}: {self.n_ratings} ratings cannot be cut into parts of {shares}; load "
                            "more data")
        return tuple(self.take(slice(a, b)) for a, b in pairwise(cuts))

    def count_repeats(self):
        """The same RatingData; its report counts the ratings that repeat an earlier pair of user and item."""
        repeats = self.n_ratings - pl.Series(self.users * self.n_items + self.items).n_unique()
        return replace(self, report=self.report | {"repeated ratings of a pair kept": repeats}) if repeats else self

    def keep_active_users(self, least):
        """Drop the users with fewer than ``least`` ratings, and the items that only they rated: RatingData.

        Raises
        ------
        DataError
            Nothing would be left.
        """
        active = np.bincount(self.users, minlength=self.n_users) >= least
        keep = active[self.users]
        if keep.all():
            return self
        kept = self.take(keep)
        if kept.n_ratings == 0:
            raise DataError(f"{self.name}: no user has {least} ratings. Lower min_user_ratings, or load more data.")
        rated = np.bincount(kept.items, minlength=self.n_items) > 0
        lost = f"ratings by users with fewer than {least} dropped"
        return replace(kept, users=(active.cumsum() - 1)[kept.users], items=(rated.cumsum() - 1)[kept.items],
                       user_ids=self.user_ids[active], item_ids=self.item_ids[rated],
                       report=self.report | {lost: int((~keep).sum())})

    def restrict_to(self, user_ids, item_ids):
        """RatingData over other ids, arrays [n_users] and [n_items]; ratings of other users and items are dropped."""
        user, item = (pd.Index(ids).get_indexer(own).astype(np.int64)
                      for ids, own in ((user_ids, self.user_ids), (item_ids, self.item_ids)))
        keep = (user[self.users] >= 0) & (item[self.items] >= 0)
        kept = self.take(keep)
        lost = {"ratings of unknown users or items dropped": int((~keep).sum())} if not keep.all() else {}
        return replace(kept, users=user[kept.users], items=item[kept.items], user_ids=user_ids, item_ids=item_ids,
                       report=self.report | lost)

    def pack(self):
        """What a file has to keep: the arrays by name, and ids and name in types that JSON has; `unpack` reads both."""
        return ({name: getattr(self, name) for name in self.ARRAYS},
                {"user_ids": self.user_ids.tolist(), "item_ids": self.item_ids.tolist(), "name": self.name})

    @classmethod
    def unpack(cls, arrays, info):
        """Ratings from what `pack` returned.

        Raises
        ------
        ValueError
            Something is missing, or it cannot be the arrays of ratings: another dtype, length or value.
        """
        differ = (cls.ARRAYS.keys() ^ arrays.keys()) | ({"user_ids", "item_ids", "name"} ^ info.keys())
        if differ:
            raise ValueError(f"{', '.join(sorted(differ))} missing or too much")
        data = cls(**{name: arrays[name] for name in cls.ARRAYS}, user_ids=np.asarray(info["user_ids"]),
                   item_ids=np.asarray(info["item_ids"]), name=info["name"])
        n = {"users": data.n_users, "items": data.n_items}
        for name, dtype in cls.ARRAYS.items():
            array = getattr(data, name)
            if array.dtype != dtype or len(array) != len(data.times) or not (len(array) and np.isfinite(array).all()):
                raise ValueError(f"{name} is no array of ratings")
            if name in n and not ((0 <= array) & (array < n[name])).all():
                raise ValueError(f"{name} has an index that is not of {n[name]} ids")
        if (np.diff(data.times) < 0).any():
            raise ValueError("times fall")
        return data

    @classmethod
    def empty(cls, user_ids, item_ids):
        """No rating yet, over given ids (arrays [n_users], [n_items])."""
        none = [np.empty(0, dtype) for dtype in cls.ARRAYS.values()]
        return cls(none[0], none[1], none[2], none[3], user_ids, item_ids)

    def __repr__(self):
        text = (f"{self.name}: {amount(self.n_ratings, 'rating')} by {amount(self.n_users, 'user')} of "
                f"{amount(self.n_items, 'item')}")
        if self.n_ratings:
            first, last = (datetime.fromtimestamp(t, UTC) for t in self.times[[0, -1]])
            text += f", {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        return "\n".join([text] + [f"  {count:>12,} {what}" for what, count in self.report.items()])


def concatenate(first, second):
    """Concatenate two RatingData. Ids that only ``second`` has come after those of ``first``.

    Parameters
    ----------
    first, second : RatingData

    Returns
    -------
    RatingData

    Raises
    ------
    ValueError
        ``second`` begins before ``first`` ends.

    Examples
    --------
    >>> rows = pd.DataFrame({"user": ["zoe", "ann"], "item": 7, "rating": 4.0, "time": [1, 2]})
    >>> first, second = RatingData.from_frame(rows[:1]), RatingData.from_frame(rows[1:])
    >>> both = concatenate(first, second)
    >>> both.user_ids.tolist(), both.users.tolist()  # new users get the next numbers
    (['zoe', 'ann'], [0, 1])
    """
    if first.n_ratings and second.n_ratings and second.times[0] < first.times[-1]:
        raise ValueError(f"{second.name} begins before {first.name} ends ({second.times[0]:.0f} s, "
                         f"{first.times[-1]:.0f} s); ratings must be added in the order of time, so give only those "
                         "that come after")
    users, user_ids = _joined(first.user_ids, second.user_ids, second.users)
    items, item_ids = _joined(first.item_ids, second.item_ids, second.items)
    return replace(first, users=np.append(first.users, users), items=np.append(first.items, items),
                   ratings=np.append(first.ratings, second.ratings), times=np.append(first.times, second.times),
                   user_ids=user_ids, item_ids=item_ids, report={})


def _joined(ids, more, indices):
    """Append to ``ids`` the ids that only ``more`` has; returns ``indices`` into ``more`` as indices into the result,
    and the result."""
    if np.array_equal(ids, more):
        return indices, ids
    joined = joined_ids(ids, more)
    return pd.Index(joined).get_indexer(more).astype(np.int64)[indices], joined
