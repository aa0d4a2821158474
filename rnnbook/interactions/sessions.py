"""Sessions of clicks as flat arrays with offsets, and the split by time of the GRU4Rec papers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import pandas as pd
import polars as pl

from rnnbook.interactions.ids import python_value
from rnnbook.interactions.lookup import ids_like, other_spelling
from rnnbook.interactions.ragged import concatenated_ranges
from rnnbook.interactions.tables import DataError, amount, digest, read_events

DAY = 86_400  # seconds


@dataclass(frozen=True, eq=False, repr=False)
class SessionData:
    """Sessions in CSR style: session ``s`` is ``items[offsets[s]:offsets[s + 1]]``.

    Sessions are sorted by the time of their first event, then by session id. Events of a session are sorted by time;
    events at the same time keep the order of the source.

    Attributes
    ----------
    items : int64 array [n_events]
        Index of the clicked item into ``item_ids``.
    offsets : int64 array [n_sessions + 1]
        The start of each session; the last entry is ``n_events``.
    times : float64 array [n_events]
        Seconds since 1970.
    item_ids : array [n_items]
        The catalogue: raw ids (int64, or str as objects). Train and test have the same.
    session_ids : array [n_sessions]
        Raw ids.
    name : str
    report : dict of str to int
        Counts of rows read, repaired and dropped. Every row read is an event, or held out for another part of a
        split, or counted in an entry that ends in "dropped".

    Examples
    --------
    >>> clicks = pd.DataFrame({"session": [7, 7, 3, 7, 3],
    ...                        "item": ["tent", "rope", "mug", "tent", "rope"],
    ...                        "time": [10, 20, 30, 40, 50]})
    >>> data = SessionData.from_frame(clicks)
    >>> # session 7 begins before session 3, so it comes first
    >>> data.item_ids.tolist(), data.session_ids.tolist()
    (['mug', 'rope', 'tent'], [7, 3])
    >>> data.items.tolist(), data.offsets.tolist()
    ([2, 1, 2, 0, 1], [0, 3, 5])
    >>> data.take([1]).to_frame()["item"].tolist()
    ['mug', 'rope']
    """

    items: np.ndarray
    offsets: np.ndarray
    times: np.ndarray
    item_ids: np.ndarray
    session_ids: np.ndarray
    name: str = "sessions"
    report: dict = field(default_factory=dict)

    @classmethod
    def from_frame(cls, df, *, session="session", item="item", time="time", item_ids=None, name="sessions"):
        """Make SessionData from a DataFrame with one row per click. No row is dropped.

        Parameters
        ----------
        df : pandas or polars DataFrame
        session, item, time : str
            Column names. Ids are integers or strings. Times are seconds since 1970, dates or ISO 8601 strings.
        item_ids : array [n_items], optional
            A given catalogue, such as that of a trained model. By default it is the sorted items of ``df``.

        Raises
        ------
        DataError
            A column or a value is missing, a time is invalid, or an item is not in ``item_ids``. The message names
            the row.
        """
        frame, report = read_events(df, session=session, item=item, time=time)
        data = cls.from_events(frame, name, report)
        if item_ids is None:
            return data
        item_ids = np.asarray(item_ids)
        known = pd.Index(item_ids)
        index = known.get_indexer(ids_like(data.item_ids, item_ids))
        if (index < 0).any():
            unknown = python_value(data.item_ids[index < 0][0])
            meant = python_value(other_spelling(unknown, known))
            row = (frame["item"] == unknown).arg_max()
            label = python_value(df.index[row]) if isinstance(df, pd.DataFrame) else row
            raise DataError(f"the DataFrame, column {item!r}, row {label!r}: item {unknown!r} is not among "
                            f"the {len(item_ids):,} of item_ids ({(index < 0).sum():,} items are not)"
                            f"{'.' if meant is None else f': did you mean {meant!r}?'} Drop those rows, or train on "
                            "data that have them.")
        return replace(data, items=index[data.items].astype(np.int64), item_ids=item_ids)

    @classmethod
    def from_events(cls, frame, name, report):
        """Make SessionData from the polars DataFrame and the report of `read_events`; the rows may be in any order."""
        time = frame["time"].to_numpy()
        session, session_ids = pd.factorize(frame["session"].to_numpy(), sort=True)
        start = np.full(len(session_ids), np.inf)
        np.minimum.at(start, session, time)
        by_start = np.argsort(start, kind="stable")
        rank = np.empty_like(by_start)
        rank[by_start] = np.arange(len(by_start))
        session = rank[session]
        order = np.lexsort((time, session))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(session))])
        items, item_ids = pd.factorize(frame["item"].to_numpy(), sort=True)
        data = cls(items[order].astype(np.int64, copy=False), offsets, time[order], np.asarray(item_ids),
                   np.asarray(session_ids)[by_start], name, dict(report))
        for what, count in zip(("duplicate rows kept", "events ordered by file order alone"), _ties(data)):
            if count:
                data.report[what] = count
        return data

    def to_frame(self):
        """The clicks as a pandas DataFrame with columns ``session``, ``item`` (raw ids) and ``time`` (s)."""
        return pd.DataFrame({"session": np.repeat(self.session_ids, self.lengths),
                             "item": self.item_ids[self.items], "time": self.times})

    @property
    def n_events(self):
        """int: clicks."""
        return len(self.items)

    @property
    def n_sessions(self):
        """int: sessions."""
        return len(self.offsets) - 1

    @property
    def n_items(self):
        """int: items of the catalogue, including those without a click here."""
        return len(self.item_ids)

    @cached_property
    def lengths(self):
        """int64 [n_sessions]: events per session."""
        return np.diff(self.offsets)

    @cached_property
    def support(self):
        """int64 [n_items]: how often each item was clicked."""
        return np.bincount(self.items, minlength=self.n_items)

    @cached_property
    def sha256(self):
        """str: SHA-256 of the arrays and ids, as hex. Equal data have equal digests."""
        return digest([(self.items, "<i8"), (self.offsets, "<i8"), (self.times, "<f8")],
                      [self.item_ids, self.session_ids])

    def take(self, sessions):
        """SessionData of these sessions (int64 indices, in any order) over the same catalogue; its report is empty."""
        if np.asarray(sessions).dtype.kind == "b":
            raise TypeError("give the indices of the sessions, not a mask: np.flatnonzero(mask)")
        sessions = np.asarray(sessions, dtype=np.int64)
        lengths = self.lengths[sessions]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        events = concatenated_ranges(self.offsets[:-1][sessions], lengths)
        return replace(self, items=self.items[events], times=self.times[events], offsets=offsets,
                       session_ids=self.session_ids[sessions], report={})

    def split_by_time(self, seconds=DAY):
        """Hold out the last sessions. The GRU4Rec authors do this once for test and once more for validation.

        A session is held out if its last event lies within ``seconds`` of the latest event in the data. In the
        held-out part, events of items that the earlier part does not have are dropped, and then sessions of fewer
        than two events. Both parts have the catalogue of the earlier part, which can be smaller than this one.

        Parameters
        ----------
        seconds : float

        Returns
        -------
        before, last : SessionData
            Every event of ``before`` is more than ``seconds`` earlier than the latest event.

        Raises
        ------
        DataError
            One of the parts would be empty.
        """
        if self.n_events == 0:
            raise DataError(f"{self.name}: no events to split")
        ends = self.times[self.offsets[1:] - 1]
        late = ends >= ends.max() - seconds
        before, last = self.take(np.flatnonzero(~late)), self.take(np.flatnonzero(late))
        if before.n_sessions == 0:
            span = ends.max() - self.times.min()
            raise DataError(f"{self.name}: every session ends within {seconds:,.0f} s of the last event, so "
                            f"none is left to train on (the data span {span:,.0f} s). Hold out less time, or "
                            f"load more data.")
        held_out = self.report.get("events held out", 0) + last.n_events
        before = replace(before, report=self.report | {"events held out": held_out})
        last = replace(last, report={"events held out": last.n_events})
        before = before.restrict_to(before.item_ids[before.support > 0])
        last = last.restrict_to(before.item_ids).drop_short("events of sessions left with one event dropped")
        if last.n_sessions == 0:
            raise DataError(f"{self.name}: no session of two known items is left in the last {seconds:,.0f} "
                            f"s. Hold out more time, or load more data.")
        return before, last

    def leave_last_out(self):
        """Hold out the last event of each session: all that a log without times allows.

        It lets a model learn from events that come after those that it predicts, so prefer `split_by_time`. The second
        part holds whole sessions, since what came before the last event is needed to predict it; evaluate it with
        ``evaluate_sessions(…, targets="last")``. Sessions of fewer than three events stay in the first part, and so do
        those whose last event is of an item that the first part does not have.

        Returns
        -------
        before, whole : SessionData
            Over the items of ``before``.

        Raises
        ------
        DataError
            No session has three events.

        Examples
        --------
        >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abacb"), "time": range(5)})
        >>> before, whole = SessionData.from_frame(clicks).leave_last_out()
        >>> before.lengths.tolist(), whole.lengths.tolist()
        ([2, 2], [3])
        """
        last = self.offsets[1:] - 1
        held_out = self.lengths >= 3
        seen = np.bincount(np.delete(self.items, last[held_out]), minlength=self.n_items) > 0
        held_out &= seen[self.items[last]]
        if not held_out.any():
            raise DataError(f"{self.name}: no session has three events, the last of them of an item that is left")
        keep = np.ones(self.n_events, dtype=bool)
        keep[last[held_out]] = False
        before = self.keep_events(keep, "events held out")
        before = before.restrict_to(before.item_ids[before.support > 0])
        whole = self.take(np.flatnonzero(held_out)).restrict_to(before.item_ids)
        return before, replace(whole, report={"events that are also in the first part": int(
            whole.n_events - whole.n_sessions)})

    def keep_events(self, keep, reason):
        """SessionData of the events where ``keep`` (bool [n_events]) is true, without sessions that become empty.

        The number of dropped events is added to the report under ``reason``.
        """
        if keep.all():
            return self
        ends = np.concatenate([[0], np.cumsum(keep)])[self.offsets]
        alive = np.diff(ends) > 0
        report = self.report | {reason: self.report.get(reason, 0) + int((~keep).sum())}
        kept = replace(self, items=self.items[keep], times=self.times[keep], session_ids=self.session_ids[alive],
                       offsets=np.concatenate([[0], ends[1:][alive]]), report=report)
        if keep[self.offsets[:-1][alive]].all():
            return kept
        # a session that lost its first event now begins later, so the sessions are sorted again
        by_id = pd.factorize(kept.session_ids, sort=True)[0]
        return replace(kept.take(np.lexsort((by_id, kept.times[kept.offsets[:-1]]))), report=report)

    def drop_short(self, reason):
        """SessionData of the sessions with two or more events; the report counts the other events under ``reason``."""
        return self.keep_events(np.repeat(self.lengths >= 2, self.lengths), reason)

    def restrict_to(self, item_ids):
        """SessionData over another catalogue, array [n_items]; events of items outside it are dropped and counted."""
        index = pd.Index(item_ids).get_indexer(self.item_ids)
        kept = self.keep_events(index[self.items] >= 0, "events of items unseen in training dropped")
        return replace(kept, items=index[kept.items].astype(np.int64, copy=False), item_ids=item_ids)

    def __repr__(self):
        lines = [f"{self.name}: {amount(self.n_sessions, 'session')}, {amount(self.n_events, 'event')}, "
                 f"{amount(self.n_items, 'item')}"]
        if self.n_events:
            first, last = (datetime.fromtimestamp(t, UTC) for t in (self.times.min(), self.times.max()))
            lines[0] += f", {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        return "\n".join(lines + [f"  {count:>12,} {what}" for what, count in self.report.items()])


def cut_sessions(frame, gap):
    """Sessions of a log that knows users only: one ends when its user does nothing for more than ``gap`` seconds.

    Parameters
    ----------
    frame : polars DataFrame
        A row per event with columns ``user`` and ``time`` (s), in any order.
    gap : float
        Seconds.

    Returns
    -------
    polars DataFrame
        Sorted by user and time, with a column ``session`` (int64, from 1) in place of ``user``.

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame({"user": [7, 5, 7, 7], "time": [0.0, 0.0, 1800.0, 3601.0]})
    >>> cut_sessions(log, gap=1800)["session"].to_list()  # user 5, then twice user 7
    [1, 2, 2, 3]
    """
    frame = frame.sort("user", "time", maintain_order=True)
    new = (pl.col("user") != pl.col("user").shift()) | (pl.col("time").diff() > gap)
    return frame.with_columns(new.fill_null(True).cum_sum().cast(pl.Int64).alias("session")).drop("user")


def _ties(data):
    """How many rows repeat the session, item and time of an earlier row; and how many stand behind an event of another
    item at the same time, so that nothing but their place in the file orders them."""
    session = np.repeat(np.arange(data.n_sessions), data.lengths)
    same = (session[1:] == session[:-1]) & (data.times[1:] == data.times[:-1])
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))  # only rows of equal time can repeat
    rows = pl.DataFrame({"session": session[tied], "time": data.times[tied], "item": data.items[tied]})
    return len(rows) - rows.n_unique(), int((same & (data.items[1:] != data.items[:-1])).sum())
