"""Tables in, arrays out: sessions of clicks as flat arrays with offsets, and the splits the papers use."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from . import sources
from .ratings import RatingData, load_ratings  # noqa: F401 - data.load_ratings beside data.load_sessions
from .reviews import ReviewData, load_reviews  # noqa: F401 - and data.load_reviews
from .tables import DataError, digest, read_events

DAY = 86_400  # seconds


@dataclass(frozen=True, eq=False, repr=False)
class SessionData:
    """Sessions in CSR style: session ``s`` is ``items[offsets[s]:offsets[s + 1]]``.

    Sessions are ordered by the time of their first event (ties: by session id), events by time within the
    session (ties: as they came).

    Attributes
    ----------
    items : int64 array [n_events]
        Index of the clicked item into ``item_ids``.
    offsets : int64 array [n_sessions + 1]
        Where each session begins; the last entry is ``n_events``.
    times : float64 array [n_events]
        Seconds since 1970.
    item_ids : array [n_items]
        Raw ids (int64, or str as objects), the catalogue. Train and test share one.
    session_ids : array [n_sessions]
        Raw ids.
    name : str
    report : dict of str to int
        What was counted on the way here: rows read, repairs, drops. Every row read is an event, held out for
        another split, or in an entry that ends in "dropped".

    Examples
    --------
    >>> clicks = pd.DataFrame({"session": [7, 7, 3, 7, 3],
    ...                        "item": ["tent", "rope", "mug", "tent", "rope"],
    ...                        "time": [10, 20, 30, 40, 50]})
    >>> data = SessionData.from_frame(clicks)
    >>> # the session that begins first is the first
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
        """Sessions from a DataFrame with one row per click; no row is dropped.

        Parameters
        ----------
        df : pandas or polars DataFrame
        session, item, time : str
            Column names. Ids are integers or strings; times are seconds since 1970, dates or ISO strings.
        item_ids : array [n_items], optional
            A fixed catalogue, such as a trained model's. By default it is the sorted items of ``df``.

        Raises
        ------
        DataError
            A missing column or value, a bad time, or an item outside ``item_ids``; it names the row.
        """
        frame, report = read_events(df, session=session, item=item, time=time)
        data = cls._from_events(frame, name, report)
        if item_ids is None:
            return data
        item_ids = np.asarray(item_ids)
        index = pd.Index(item_ids).get_indexer(data.item_ids)
        if (index < 0).any():
            unknown = data.item_ids[index < 0][0]
            row = (frame["item"] == unknown).arg_max()
            label = df.index[row] if isinstance(df, pd.DataFrame) else row
            raise DataError(f"the DataFrame, column {item!r}, row {label!r}: item {unknown!r} is not among "
                            f"the {len(item_ids):,} of item_ids ({(index < 0).sum():,} items are not). Drop "
                            f"those rows, or train on data that have them.")
        return replace(data, items=index[data.items].astype(np.int64), item_ids=item_ids)

    @classmethod
    def _from_events(cls, frame, name, report):
        """From checked columns ``session``, ``item``, ``time``, in any order."""
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
        data.report.update(_counted({"duplicate rows kept": _duplicates(data)}))
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
        """int: items of the catalogue, clicked here or not."""
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
        """Hex digest of the arrays and ids: equal data, equal digest."""
        return digest([(self.items, "<i8"), (self.offsets, "<i8"), (self.times, "<f8")],
                      [self.item_ids, self.session_ids])

    def take(self, sessions):
        """The given sessions (int64 indices), in that order, over the same catalogue; its report is empty."""
        sessions = np.asarray(sessions, dtype=np.int64)
        lengths = self.lengths[sessions]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        pos = np.repeat(self.offsets[:-1][sessions] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(self, items=self.items[pos], times=self.times[pos], offsets=offsets,
                       session_ids=self.session_ids[sessions], report={})

    def split_by_time(self, seconds=DAY):
        """Hold out the last sessions, as the GRU4Rec authors do for test and again for validation.

        A session is held out if its last event lies within ``seconds`` of the latest event of all. From the
        held-out part go the items that the earlier part never saw, then sessions of fewer than two events.
        Both parts share the earlier part's catalogue, which can be smaller than this one's.

        Returns
        -------
        before, last : SessionData
            Every event of ``before`` is earlier than the latest event minus ``seconds``.

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
        before = before._onto(before.item_ids[before.support > 0])
        last = _drop_short(last._onto(before.item_ids), "events of sessions left with one event dropped")
        if last.n_sessions == 0:
            raise DataError(f"{self.name}: no session of two known items is left in the last {seconds:,.0f} "
                            f"s. Hold out more time, or load more data.")
        return before, last

    def _onto(self, item_ids):
        """Over another catalogue; events of items outside it are dropped and counted."""
        index = pd.Index(item_ids).get_indexer(self.item_ids)
        kept = _drop(self, index[self.items] >= 0, "events of items unseen in training dropped")
        return replace(kept, items=index[kept.items].astype(np.int64, copy=False), item_ids=item_ids)

    def __repr__(self):
        lines = [f"{self.name}: {self.n_sessions:,} sessions, {self.n_events:,} events, "
                 f"{self.n_items:,} items"]
        if self.n_events:
            first, last = (datetime.fromtimestamp(t, UTC) for t in (self.times.min(), self.times.max()))
            lines[0] += f", {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        return "\n".join(lines + [f"  {count:>12,} {what}" for what, count in self.report.items()])


def _counted(counts):
    return {what: int(count) for what, count in counts.items() if count}


def _duplicates(data):
    """How many rows repeat an earlier one in session, item and time; only rows of equal time are compared."""
    session = np.repeat(np.arange(data.n_sessions), data.lengths)
    same = (session[1:] == session[:-1]) & (data.times[1:] == data.times[:-1])
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    rows = pl.DataFrame({"session": session[tied], "time": data.times[tied], "item": data.items[tied]})
    return len(rows) - rows.n_unique()


def _drop(data, keep, reason):
    """The events where ``keep`` (bool [n_events]) holds; sessions left without any go too. Counted."""
    if keep.all():
        return data
    ends = np.concatenate([[0], np.cumsum(keep)])[data.offsets]
    alive = np.diff(ends) > 0
    report = data.report | {reason: data.report.get(reason, 0) + int((~keep).sum())}
    kept = replace(data, items=data.items[keep], times=data.times[keep], session_ids=data.session_ids[alive],
                   offsets=np.concatenate([[0], ends[1:][alive]]), report=report)
    if keep[data.offsets[:-1][alive]].all():
        return kept
    # a session that lost its first event now begins later
    by_id = pd.factorize(kept.session_ids, sort=True)[0]
    return replace(kept.take(np.lexsort((by_id, kept.times[kept.offsets[:-1]]))), report=report)


def _drop_short(data, reason):
    return _drop(data, np.repeat(data.lengths >= 2, data.lengths), reason)


def load_sessions(source, *, session=None, item=None, time=None, min_support=5, test_seconds=None):
    """Load a session log and split it into train and test.

    A published split is kept, and so is the world's. Other logs are prepared as the GRU4Rec authors prepare
    RSC15: sessions of one event, then items clicked fewer than ``min_support`` times, then sessions left with
    one event are dropped; the sessions that end in the last ``test_seconds`` are the test set, without items
    that train lacks. Repeated clicks stay.

    Parameters
    ----------
    source : str, path or DataFrame
        A name (``python -m rnnbook data`` lists them): ``"session-world"``, ``"yoochoose-100k"``,
        ``"rsc15"``, ``"retailrocket"``, ``"diginetica"``; or a table (csv, tsv, parquet, also gzipped); or a
        folder that holds a ``train`` and a ``test`` table; or a pandas or polars DataFrame.
    session, item, time : str, optional
        Column names of your own table; guessed where not given.
    min_support : int
        For logs without a published split.
    test_seconds : float, optional
        Likewise; a day (86,400) if not given.

    Returns
    -------
    train, test : SessionData
        Over one catalogue, the items of train. Their ``report`` counts what was dropped.

    Raises
    ------
    DataError
        The table is faulty (file, column and line are named), or a part would be empty.
    FileNotFoundError
        The data are not here; the message says how to get them and where to put them.
    TypeError
        An argument is not for these data.

    Examples
    --------
    >>> train, test = load_sessions("session-world")
    >>> train.n_items == test.n_items
    True
    """
    columns = {"session": session, "item": item, "time": time}
    if isinstance(source, str) and source in SPLITS | LOGS:
        if any(columns.values()):
            raise TypeError(f"{source} has its own column names; session=, item=, time= are for your own")
        if source in LOGS:
            return _split(LOGS[source](), min_support, test_seconds)
        _check_not_to_split(source, test_seconds)
        return SPLITS[source]()
    if isinstance(source, (str, Path)):
        path = Path(source)
        if path.is_dir():
            _check_not_to_split(path, test_seconds)
            return _published(path.name, *(_half(path, half) for half in ("train", "test")), **columns)
        if not path.is_file():
            raise FileNotFoundError(f"{str(source)!r} is neither a file here nor one of the data sets: "
                                    f"{', '.join(SPLITS | LOGS)}")
        return _split(_log(path, path.name, **columns), min_support, test_seconds)
    return _split(_log(source, "sessions", **columns), min_support, test_seconds)


def _log(source, name, **columns):
    frame, report = read_events(source, **columns)
    return SessionData._from_events(frame, name, report)


def _check_not_to_split(name, test_seconds):
    if test_seconds is not None:
        raise TypeError(f"{name} has a test part of its own; test_seconds=, for the command --test-seconds, is for a "
                        f"log that has none")


def _split(data, min_support, test_seconds):
    """The GRU4Rec authors' preprocessing of RSC15, on any log."""
    data = _drop_short(data, "one-event sessions dropped")
    data = _drop(data, data.support[data.items] >= min_support,
                 f"events of items clicked fewer than {min_support} times dropped")
    data = _drop_short(data, "events of sessions left with one event dropped")
    if data.n_events == 0:
        raise DataError(f"{data.name}: nothing is left after dropping one-event sessions and items clicked "
                        f"fewer than {min_support} times. Load more data, or lower min_support.")
    try:
        return data.split_by_time(DAY if test_seconds is None else test_seconds)
    except DataError as error:
        raise DataError(f"{error} That is load_sessions(…, test_seconds=…), or "
                        f"python -m rnnbook train … --test-seconds ….") from None


def _published(name, train, test, **columns):
    """A split made by others: kept, but for one-event sessions and test items that train lacks."""
    train, test = (_drop_short(_log(path, name, **columns), "one-event sessions dropped")
                   for path in (train, test))
    test = _drop_short(test._onto(train.item_ids), "events of sessions left with one event dropped")
    shared = np.isin(test.session_ids, train.session_ids).sum()
    test.report.update(_counted({"sessions also in train": shared}))
    for half, data in (("train", train), ("test", test)):
        if data.n_events == 0:
            raise DataError(f"{name}: no session of two events is left in {half}. Load more data.")
    return train, test


def _half(folder, half):
    found = sorted(path for path in folder.iterdir() if path.name.split(".")[0] == half)
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} should hold one file {half}.csv, .tsv or .parquet (or its .gz); "
                                f"it holds {[path.name for path in found] or 'none'}")
    return found[0]


def _session_world():
    from .worlds import SessionWorld  # the worlds are built on this module

    world = SessionWorld()
    return world.sample(10_000, seed=0), world.sample(3_000, seed=1)


def _yoochoose_100k():
    return _published("yoochoose-100k", *sources.locate(sources.SOURCES["yoochoose-100k"]))


def _rsc15():
    [path] = sources.locate(sources.SOURCES["rsc15"])
    return _log(path, "rsc15", header=["session", "time", "item", "category"])


def _retailrocket():
    """Views only; a visitor's session ends after 30 minutes without any event of theirs."""
    [path] = sources.locate(sources.SOURCES["retailrocket"])
    frame, report = read_events(path, session="visitorid", item="itemid", time="timestamp", extra=["event"],
                                per_second=1000)
    frame = frame.sort("session", "time", maintain_order=True)
    new = (pl.col("session") != pl.col("session").shift()) | (pl.col("time").diff() > 30 * 60)
    frame = frame.with_columns(new.fill_null(True).cum_sum().cast(pl.Int64).alias("session"))
    views = frame.filter(pl.col("event") == "view")
    report |= _counted({"events other than views dropped": len(frame) - len(views)})
    return SessionData._from_events(views, "retailrocket", report)


def _diginetica():
    """The time of a view is its day plus the milliseconds since the session began."""
    [path] = sources.locate(sources.SOURCES["diginetica"])
    frame, report = read_events(path, time="eventdate", extra=["timeframe"])
    since = frame["timeframe"].cast(pl.Float64, strict=False)
    report |= _counted({"missing timeframes read as 0": since.null_count()})
    time = frame["time"].to_numpy() + since.fill_null(0).to_numpy() / 1000
    return SessionData._from_events(frame.with_columns(pl.Series("time", time)), "diginetica", report)


SPLITS = {"session-world": _session_world, "yoochoose-100k": _yoochoose_100k}  # -> train, test
LOGS = {"rsc15": _rsc15, "retailrocket": _retailrocket, "diginetica": _diginetica}  # -> a log to split
