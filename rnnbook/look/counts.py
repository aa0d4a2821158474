"""The facts of a log, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rnnbook.interactions import DAY, RatingData, ReviewData, SessionData

PERCENTILES = (50, 90, 99, 100)
GAPS = {"0 s": 0, "up to 10 s": 10, "up to 30 s": 30, "up to 1 min": 60, "up to 2 min": 120, "up to 5 min": 300,
        "up to 30 min": 1800, "longer": np.inf}  # seconds: the last of each bin
RARE = 5  # load_sessions drops items with fewer clicks, if the log has no published split
SHOWN = 3  # so many of the most popular items are named


@dataclass(frozen=True, eq=False)
class SessionFacts:
    """What `facts` finds in SessionData. Shares are from 0 to 1, and a share of nothing is 0.

    Attributes
    ----------
    name : str
    report : dict of str to int
        Of the data: counts of rows read, repaired and dropped.
    n_events, n_sessions : int
    n_items, n_catalogue : int
        Items with a click, and all items of the data.
    first, last : float
        Times of the first and the last event, in seconds since 1970; NaN if there is none.
    popular : tuple of (raw id, int)
        The most clicked items, with their clicks.
    longest : raw id or None
        The first of the longest sessions.
    lengths : int64 array [longest length + 1]
        How many sessions have 0, 1, 2, … events.
    support : int64 array [n_items]
        Clicks of each item, in descending order.
    per_day : int64 array [n_days]
        Events of each day (UTC) from the first to the last.
    gap_percentiles : tuple of float
        Of the seconds between successive events of a session, for the percentages of ``PERCENTILES``; or empty.
    gap_counts : int64 array [len(GAPS)]
        How many of those times are in each bin of ``GAPS``.
    repeats, again : float
        Share of events on an item that the session has already, and on the item of the event just before.
    openings : float
        Share of events that are the first of their session.
    once : float
        Share of events that are the only one of their item, but not the first of their session.
    rest : float
        Share of events that are none of these: no repeats, no openings, not the only one of their item.
    test_sessions, test_events : int
        What `SessionData.split_by_time` holds out: the sessions that end in the last day.
    test_unseen : float
        Share of the held-out events whose item has no event in the other sessions.
    test_unseen_items : int
    test_predicted : int
        Held-out events that a model can be asked for, as `split_by_time` leaves them.

    Examples
    --------
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [7, 7, 7, 3, 3], "time": [10, 20, 40, 50, 60],
    ...                        "item": ["tent", "rope", "tent", "mug", "rope"]})
    >>> found = facts(SessionData.from_frame(clicks))
    >>> found.repeats, found.openings, found.support.tolist(), found.lengths.tolist()
    (0.2, 0.4, [2, 2, 1], [0, 0, 1, 1])
    """

    name: str
    report: dict
    n_events: int
    n_sessions: int
    n_items: int
    n_catalogue: int
    first: float
    last: float
    popular: tuple
    longest: object
    lengths: np.ndarray
    support: np.ndarray
    per_day: np.ndarray
    gap_percentiles: tuple
    gap_counts: np.ndarray
    repeats: float
    again: float
    openings: float
    once: float
    rest: float
    test_sessions: int
    test_events: int
    test_unseen: float
    test_unseen_items: int
    test_predicted: int


@dataclass(frozen=True, eq=False)
class RatingFacts:
    """What `facts` finds in RatingData or ReviewData. Shares are from 0 to 1, and a share of nothing is 0.

    Attributes
    ----------
    name : str
    report : dict of str to int
        Of the data: counts of rows read, repaired and dropped.
    n_ratings : int
    n_users, n_items : int
        Those with a rating.
    first, last : float
        Times of the first and the last rating, in seconds since 1970; NaN if there is none.
    popular : tuple of (raw id, int)
        The items with the most ratings.
    values, counts : float64, int64 arrays [n_values]
        The distinct ratings in ascending order, and how often each was given.
    mean, deviation : float
        Mean and standard deviation of the ratings; NaN if there is none.
    per_user, per_item : int64 arrays
        How many users gave, and how many items got, 0, 1, 2, … ratings.
    support : int64 array [n_items]
        Ratings of each item, in descending order.
    per_day : int64 array [n_days]
        Ratings of each day (UTC) from the first to the last.
    span_percentiles : tuple of float
        Of the seconds from a user's first rating to the last, for the percentages of ``PERCENTILES``; or empty.
    repeats : float
        Share of ratings that repeat an earlier pair of user and item.
    tied : float
        Share of ratings at the same time as an earlier one of the same user.
    late_ratings, late_users, late_items : int
        Ratings of the last 10 %, as ``split_by_time(0.9, 0.1)`` cuts them, their users and their items.
    cold_users, cold_items : int
        Those of them that have no earlier rating.
    cold_user, cold_item, cold : float
        Share of the late ratings whose user, item, or one of the two is among them.
    texts : int64 array or None
        How many reviews have 0, 1, 2, … characters; None for RatingData.

    Examples
    --------
    >>> from rnnbook.interactions import RatingData
    >>> stars = pd.DataFrame({"user": ["bob", "ann", "bob"], "item": ["tea", "tea", "milk"],
    ...                       "rating": [3, 5, 5], "time": [10, 20, 30]})
    >>> found = facts(RatingData.from_frame(stars))
    >>> found.values.tolist(), found.counts.tolist(), found.per_user.tolist()
    ([3.0, 5.0], [1, 2], [0, 1, 1])
    """

    name: str
    report: dict
    n_ratings: int
    n_users: int
    n_items: int
    first: float
    last: float
    popular: tuple
    values: np.ndarray
    counts: np.ndarray
    mean: float
    deviation: float
    per_user: np.ndarray
    per_item: np.ndarray
    support: np.ndarray
    per_day: np.ndarray
    span_percentiles: tuple
    repeats: float
    tied: float
    late_ratings: int
    late_users: int
    late_items: int
    cold_users: int
    cold_items: int
    cold_user: float
    cold_item: float
    cold: float
    texts: np.ndarray | None


def facts(data):
    """Count what is in a log.

    Parameters
    ----------
    data : SessionData, RatingData or ReviewData
        All of a log, before it is split.

    Returns
    -------
    SessionFacts or RatingFacts

    Examples
    --------
    >>> from rnnbook.interactions import RatingData
    >>> stars = pd.DataFrame({"user": ["bob", "ann"], "item": "tea", "rating": 5, "time": [10, 20]})
    >>> found = facts(RatingData.from_frame(stars))
    >>> found.cold_users, found.cold_items  # the last rating's user is new, its item is not
    (1, 0)
    """
    if isinstance(data, SessionData):
        return _session_facts(data)
    if isinstance(data, ReviewData):
        return _rating_facts(data.ratings, np.bincount(data.lengths))
    if isinstance(data, RatingData):
        return _rating_facts(data, None)
    raise TypeError(f"a look is at SessionData, RatingData or ReviewData, all of a log in one, not at a "
                    f"{type(data).__name__}")


def _session_facts(data):
    items, offsets, n = data.items, data.offsets, data.n_events
    opening = np.zeros(n, dtype=bool)
    opening[offsets[:-1]] = True
    again = (items[1:] == items[:-1]) & ~opening[1:]
    n_once = int(((data.support == 1)[items] & ~opening).sum())
    pairs = np.repeat(np.arange(data.n_sessions) * data.n_items, data.lengths) + items
    gaps = np.diff(data.times)[~opening[1:]]
    n_repeats = n - _n_distinct(pairs)
    return SessionFacts(
        name=data.name, report=data.report, n_events=n, n_sessions=data.n_sessions,
        n_items=int((data.support > 0).sum()), n_catalogue=data.n_items, **_span(data.times),
        popular=_popular(data.support, data.item_ids),
        longest=data.session_ids[data.lengths.argmax()] if data.n_sessions else None,
        lengths=np.bincount(data.lengths), support=_descending(data.support), per_day=_per_day(data.times),
        gap_percentiles=_percentiles(gaps), gap_counts=_gap_counts(gaps),
        repeats=share(n_repeats, n), again=share(int(again.sum()), n), openings=share(data.n_sessions, n),
        once=share(n_once, n), rest=share(n - data.n_sessions - n_once - n_repeats, n), **_last_day(data))


def _last_day(data):
    """What the last day as the test part is like, before and after events are dropped."""
    ends = data.times[data.offsets[1:] - 1]
    late = ends >= ends.max(initial=-np.inf) - DAY
    lengths = data.lengths[late]
    items = data.items[np.repeat(late, data.lengths)]
    in_test = np.bincount(items, minlength=data.n_items)
    known = data.support > in_test
    left = np.diff(np.concatenate([[0], np.cumsum(known[items])])[np.concatenate([[0], np.cumsum(lengths)])])
    return {"test_sessions": len(lengths), "test_events": len(items),
            "test_unseen": share(int((~known[items]).sum()), len(items)),
            "test_unseen_items": int(((in_test > 0) & ~known).sum()),
            "test_predicted": int(np.maximum(left - 1, 0).sum())}


def _rating_facts(data, texts):
    n, users, items = data.n_ratings, data.users, data.items
    per_user, per_item = (np.bincount(each, minlength=of) for each, of in ((users, data.n_users),
                                                                            (items, data.n_items)))
    values, counts = _value_counts(data.ratings)
    begin, end = np.zeros(data.n_users), np.zeros(data.n_users)
    begin[users[::-1]] = data.times[::-1]  # of several values for one place, the last is kept
    end[users] = data.times
    cut = min(int(np.rint(0.9 * n)), max(n - 1, 0))
    new_users, late_users = _new(users, cut, data.n_users)
    new_items, late_items = _new(items, cut, data.n_items)
    cold_user, cold_item = new_users[users[cut:]], new_items[items[cut:]]
    return RatingFacts(
        name=data.name, report=data.report, n_ratings=n, n_users=int((per_user > 0).sum()),
        n_items=int((per_item > 0).sum()), **_span(data.times), popular=_popular(per_item, data.item_ids),
        values=values, counts=counts, mean=float(data.ratings.mean()) if n else np.nan,
        deviation=(float(data.ratings.std()) if np.ptp(data.ratings) else 0.0) if n else np.nan,
        per_user=np.bincount(per_user[per_user > 0]), per_item=np.bincount(per_item[per_item > 0]),
        support=_descending(per_item), per_day=_per_day(data.times),
        span_percentiles=_percentiles((end - begin)[per_user > 0]),
        repeats=share(n - _n_distinct(users * data.n_items + items), n), tied=share(_n_tied(data), n),
        late_ratings=n - cut, late_users=late_users, late_items=late_items,
        cold_users=int(new_users.sum()), cold_items=int(new_items.sum()),
        cold_user=share(int(cold_user.sum()), n - cut), cold_item=share(int(cold_item.sum()), n - cut),
        cold=share(int((cold_user | cold_item).sum()), n - cut), texts=texts)


def _new(ids, cut, n):
    """Which of n ids occur from ``cut`` on and not before, and how many occur from there on."""
    early, late = (np.bincount(part, minlength=n) > 0 for part in (ids[:cut], ids[cut:]))
    return late & ~early, int(late.sum())


def _n_tied(data):
    """The number of ratings at the time of an earlier rating of the same user."""
    same = data.times[1:] == data.times[:-1]
    moments = np.cumsum(np.append(True, ~same))[:data.n_ratings]
    tied = np.append(False, same)[:data.n_ratings] | np.append(same, False)[:data.n_ratings]
    pairs = moments[tied] * data.n_users + data.users[tied]
    return len(pairs) - _n_distinct(pairs)


def _n_distinct(numbers):
    """How many different numbers there are; ``numbers`` is sorted in its place."""
    numbers.sort()  # faster than a hash table
    return int((numbers[1:] != numbers[:-1]).sum()) + bool(len(numbers))


def _value_counts(ratings):
    found = pl.Series("value", ratings).value_counts().sort("value")
    return found["value"].to_numpy(), found["count"].to_numpy().astype(np.int64)


def _percentiles(values):
    """The smallest values that at least 50, 90, 99 and 100 % of the values do not exceed; () for none."""
    if not len(values):
        return ()
    places = [-(-percent * len(values) // 100) - 1 for percent in PERCENTILES]
    return tuple(np.partition(values, sorted(set(places)))[places].tolist())


def count_percentiles(counts):
    """The same of values whose counts are given: ``counts[v]`` of them are v."""
    total = np.cumsum(counts)
    return tuple(int(np.argmax(100 * total >= percent * total[-1])) for percent in PERCENTILES)


def _gap_counts(gaps):
    up_to = np.array([np.count_nonzero(gaps <= most) for most in GAPS.values()], dtype=np.int64)
    return np.diff(up_to, prepend=0)


def _span(times):
    return {"first": float(times.min()), "last": float(times.max())} if len(times) else {"first": np.nan,
                                                                                         "last": np.nan}


def _per_day(times):
    if not len(times):
        return np.zeros(0, dtype=np.int64)
    return np.bincount((times - times.min() // DAY * DAY).astype(np.int64) // DAY)  # faster than floats by DAY


def _descending(support):
    return np.sort(support[support > 0])[::-1]


def _popular(support, item_ids):
    top = np.argsort(-support, kind="stable")[:SHOWN]
    return tuple((item_ids[item], int(support[item])) for item in top if support[item])


def share(part, whole):
    return part / whole if whole else 0.0
