"""Look at a log before anybody trains: its `facts`, a text that states them, and an HTML page with pictures."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from html import escape
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from rnnbook import plots
from rnnbook.interactions import DAY, RatingData, ReviewData, SessionData

PERCENTILES = (50, 90, 99, 100)
GAPS = {"0 s": 0, "up to 10 s": 10, "up to 30 s": 30, "up to 1 min": 60, "up to 2 min": 120, "up to 5 min": 300,
        "up to 30 min": 1800, "longer": np.inf}  # seconds: the last of each bin
RARE = 5  # load_sessions drops items with fewer clicks, if the log has no published split
SHOWN = 3  # so many of the most popular items are named


# --- The facts --------------------------------------------------------------------------------------------


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
        repeats=_share(n_repeats, n), again=_share(int(again.sum()), n), openings=_share(data.n_sessions, n),
        once=_share(n_once, n), rest=_share(n - data.n_sessions - n_once - n_repeats, n), **_last_day(data))


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
            "test_unseen": _share(int((~known[items]).sum()), len(items)),
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
        deviation=float(data.ratings.std()) if n else np.nan,
        per_user=np.bincount(per_user[per_user > 0]), per_item=np.bincount(per_item[per_item > 0]),
        support=_descending(per_item), per_day=_per_day(data.times),
        span_percentiles=_percentiles((end - begin)[per_user > 0]),
        repeats=_share(n - _n_distinct(users * data.n_items + items), n), tied=_share(_n_tied(data), n),
        late_ratings=n - cut, late_users=late_users, late_items=late_items,
        cold_users=int(new_users.sum()), cold_items=int(new_items.sum()),
        cold_user=_share(int(cold_user.sum()), n - cut), cold_item=_share(int(cold_item.sum()), n - cut),
        cold=_share(int((cold_user | cold_item).sum()), n - cut), texts=texts)


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


def _count_percentiles(counts):
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


def _share(part, whole):
    return part / whole if whole else 0.0


# --- The facts in words: text and page state the same -----------------------------------------------------


class _Fact(NamedTuple):
    name: str
    value: str
    why: str = ""  # why it matters


def _number(x):
    """A mean: at most three digits that are not 0, with separators for thousands."""
    return f"{float(f'{x:.3g}'):,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def _percent(share):
    """At most three digits; a share that is neither all nor nothing does not become one of them."""
    percent = 100 * share
    if 0 < percent < 0.001:
        return "under 0.001\xa0%"
    if 99.9 < percent < 100:
        return "over 99.9\xa0%"
    return f"{percent:.3g}\xa0%"


def _duration(seconds):
    for unit, size, end in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, DAY)):
        if seconds < end:
            return f"{_number(seconds / size)}\xa0{unit}"
    days = _number(seconds / DAY)
    return f"{days}\xa0day{'s' * (days != '1')}"


def _date(seconds):
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _moment(seconds):
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _raw(name):
    """An id or a name as one line that moves no cursor: what cannot be printed is escaped, and the length bounded."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))
    return plain if len(plain) <= 40 else f"{plain[:37]}..."


def _at_most(percentiles, show="{:,}".format):
    half, most, nearly_all, all_ = map(show, percentiles)
    return f"half have at most {half}, 90\xa0% at most {most}, 99\xa0% at most {nearly_all}, all at most {all_}"


def _spread(counts):
    """Mean and percentiles of values of which ``counts[v]`` are v."""
    mean = (np.arange(len(counts)) * counts).sum() / counts.sum()
    return f"{_number(mean)} on average; {_at_most(_count_percentiles(counts))}"


def _top(facts, percent):
    """How many items the top ``percent`` % are, and their share of what was counted."""
    n = -(-percent * facts.n_items // 100)
    return n, _share(int(facts.support[:n].sum()), int(facts.support.sum()))


def _n_for_half(support):
    total = np.cumsum(support)
    return int(np.argmax(2 * total >= total[-1])) + 1


def _gini(support):
    """0 if all have equal support, near 1 if one has it all."""
    n = len(support)
    return float(((n + 1 - 2 * np.arange(1, n + 1)) * support).sum() / (n * support.sum()))


def _number_of(n, thing):
    return f"{n:,} {thing}{'s' * (n != 1)}"


def _some(n, whole, *, also=""):
    return f"{n:,} ({_percent(n / whole)}){also}" if n else "none"


def _popularity(facts, what):
    """The facts on how unequal the items are, for events and for ratings."""
    (one, of_one), (ten, of_ten), half = _top(facts, 1), _top(facts, 10), _n_for_half(facts.support)
    named = ", ".join(f"{_raw(item)} ({count:,})" for item, count in facts.popular)
    return [
        _Fact("Most popular", named),
        _Fact("Top 1\xa0% of the items", f"{_percent(of_one)} of the {what} ({_number_of(one, 'item')})"),
        _Fact("Top 10\xa0% of the items", f"{_percent(of_ten)} of the {what} ({_number_of(ten, 'item')})",
              "The larger the share, the stronger a rival is a list of the most popular items, the same for everybody."
              if what == "events" else "What a model says of the other items rests on few ratings."),
        _Fact(f"Half of the {what}", f"on the {_number_of(half, 'item')} with the most "
              f"({_percent(half / facts.n_items)} of all)"),
        _Fact("Concentration", f"{_number(_gini(facts.support))} (Gini)",
              f"0 if all items have as many {what}, near 1 if one item has them all."),
    ]


def _days(facts, what):
    per_day = facts.per_day
    busiest, empty = int(per_day.argmax()), int((per_day == 0).sum())
    return [
        _Fact("From", f"{_moment(facts.first)} UTC"),
        _Fact("To", f"{_moment(facts.last)} UTC, {_duration(facts.last - facts.first)} later"),
        _Fact(f"{what.capitalize()} a day", f"{_number(per_day.mean())} on average; the most on "
              f"{_date(facts.first + busiest * DAY)}, {per_day[busiest]:,}",
              "Days are those of UTC; the first and the last may not be whole."),
        _Fact(f"Days without {what}", f"{empty:,} of {len(per_day):,}",
              "An empty day between busy ones is often a fault of the export." if empty else ""),
    ]


def _session_sections(facts):
    """(title, facts in words) for each part of the look."""
    sessions, n = facts.n_sessions, facts.n_events
    silent = facts.n_catalogue - facts.n_items
    size = [_Fact("Events", f"{n:,}"), _Fact("Sessions", f"{sessions:,}"),
            _Fact("Items", f"{facts.n_items:,}" + (f", and {silent:,} without an event" if silent else ""))]
    if not n:
        return [("Size", size), *_report(facts)]
    ones = int(facts.lengths[1])
    rare = facts.support[facts.support < RARE]
    single = int((facts.support == 1).sum())
    return [
        ("Size", size),
        ("Time", _days(facts, "events")),
        ("Sessions", [
            _Fact("Events a session", _spread(facts.lengths), "A session of n events has n - 1 to predict."),
            _Fact("Longest session", f"{_raw(facts.longest)}, {_number_of(len(facts.lengths) - 1, 'event')}",
                  "A session far longer than all others is often a robot."),
            _Fact("Sessions of one event", _some(ones, sessions),
                  "There is nothing to predict in them; load_sessions drops them." if ones else ""),
            *_gaps(facts),
            _Fact("Repeats", f"{_percent(facts.repeats)} of the events are on an item that the session has already, "
                  f"{_percent(facts.again)} on the item just before",
                  "The larger the share, the stronger a rival is a model that recommends a session's own items again."),
        ]),
        ("Items", [
            _Fact("Events an item", _spread(np.bincount(facts.support))),
            *_popularity(facts, "events"),
            _Fact("Items with one event", _some(single, facts.n_items)),
            _Fact(f"Items with fewer than {RARE}", _some(len(rare), facts.n_items, also=f", with "
                  f"{_percent(rare.sum() / n)} of the events"),
                  "load_sessions drops them, unless the log has a published split." if len(rare) else ""),
        ]),
        ("What can be predicted", [
            _Fact("First of its session", f"{_percent(facts.openings)} of the events",
                  "There is no history to predict them from."),
            _Fact("Only one of its item", f"{_percent(facts.once)} of the events, besides those",
                  "No model that learns from clicks knows an item before its first."),
            _Fact("Out of reach", f"{_percent(facts.openings + facts.once)} of the events, the two together"),
            _Fact("Repeats", f"{_percent(facts.repeats)} of the events", "Known from the session itself."),
            _Fact("The rest", f"{_percent(facts.rest)} of the events",
                  "New in the session, but clicked elsewhere: here a model shows what it has learned."),
        ]),
        ("If the last day were the test part", _test(facts)),
        *_report(facts),
    ]


def _gaps(facts):
    """Facts on the times between successive events of a session."""
    n = int(facts.gap_counts.sum())
    if not n:
        return [_Fact("Time between events", "none: no session has two")]
    half, most, nearly_all, all_ = map(_duration, facts.gap_percentiles)
    return [
        _Fact("Time between events", f"half are at most {half}, 90\xa0% at most {most}, 99\xa0% at most {nearly_all}, "
              f"all at most {all_}"),
        _Fact("Of these over 30\xa0min", _percent(facts.gap_counts[-1] / n), "Such a session may be two visits."),
        _Fact("Of these 0\xa0s", _percent(facts.gap_counts[0] / n),
              "The order of events at the same time is that of the file."),
    ]


def _test(facts):
    """Facts on the split that `load_sessions` makes by default."""
    held = _Fact("Held out", f"{_number_of(facts.test_sessions, 'session')} with "
                 f"{_number_of(facts.test_events, 'event')} ({_percent(facts.test_events / facts.n_events)})",
                 "A session that ends in the last 24 hours of the log is held out, as the GRU4Rec authors do it.")
    if facts.test_sessions == facts.n_sessions:
        return [held, _Fact("Left to train on", "nothing: every session ends in the last 24 hours",
                            "Split at another time: load_sessions(..., test_seconds=...).")]
    return [
        held,
        _Fact("Of items unseen in train", f"{_percent(facts.test_unseen)} of these events, on "
              f"{_number_of(facts.test_unseen_items, 'item')}",
              "No model can name them; load_sessions drops these events." if facts.test_unseen else ""),
        _Fact("Left to predict", f"{_number_of(facts.test_predicted, 'event')} "
              f"({_percent(_share(facts.test_predicted, facts.test_events))} of those held out)",
              "Those of known items, less the first of each session. A score is a mean over them."),
    ]


def _rating_sections(facts):
    """(title, facts in words) for each part of the look."""
    n = facts.n_ratings
    size = [_Fact("Ratings", f"{n:,}"), _Fact("Users", f"{facts.n_users:,}"), _Fact("Items", f"{facts.n_items:,}")]
    if not n:
        return [("Size", size), *_report(facts)]
    pairs = n * (1 - facts.repeats)
    size.append(_Fact("Density", _percent(pairs / (facts.n_users * facts.n_items)),
                      "So many of all pairs of a user and an item have a rating."))
    half, most, *_ = map(_duration, facts.span_percentiles)
    return [
        ("Size", size),
        ("Time", _days(facts, "ratings")),
        ("Values", _values(facts)),
        ("Users", [
            _Fact("Ratings a user", _spread(facts.per_user)),
            _Fact("A user's time", f"from first to last rating at most {half} for half of the users, at most {most} "
                  "for 90\xa0%", "Who rates on one evening only has no history for a model of change."),
            _Fact("At the same time", f"{_percent(facts.tied)} of the ratings are at the time of an earlier one of the "
                  "same user", "Their order is that of the file, and may mean nothing." if facts.tied else ""),
            _Fact("Repeated pairs", f"{_percent(facts.repeats)} of the ratings are of an item that the user has rated "
                  "before", "The earlier rating is a good guess for the later one." if facts.repeats else ""),
        ]),
        ("Items", [_Fact("Ratings an item", _spread(facts.per_item)), *_popularity(facts, "ratings")]),
        *([("Texts", _texts(facts))] if facts.texts is not None else []),
        ("If the last 10\xa0% of the ratings were the test part", [
            _Fact("Held out", f"{_number_of(facts.late_ratings, 'rating')} by "
                  f"{_number_of(facts.late_users, 'user')} of {_number_of(facts.late_items, 'item')}"),
            _Fact("New users", f"{facts.cold_users:,} of these users, with {_percent(facts.cold_user)} of the ratings",
                  "No earlier rating tells what they like." if facts.cold_users else ""),
            _Fact("New items", f"{facts.cold_items:,} of these items, with {_percent(facts.cold_item)} of the ratings",
                  "No earlier rating tells who likes them." if facts.cold_items else ""),
            _Fact("User or item new", f"{_percent(facts.cold)} of the held-out ratings",
                  "For these a model falls back on means, or on text." if facts.cold else ""),
        ]),
        *_report(facts),
    ]


def _values(facts):
    values, counts, n = facts.values, facts.counts, facts.n_ratings
    often = int(counts.argmax())
    shown = "; ".join(f"{value:.6g}:\xa0{_percent(count / n)}" for value, count in zip(values, counts, strict=True))
    return [
        _Fact("Ratings", shown if len(values) <= 10 else
              f"{len(values):,} different ones, from {values[0]:.6g} to {values[-1]:.6g}"),
        *([_Fact("Most frequent", f"{values[often]:.6g}, {_percent(counts[often] / n)} of the ratings")]
          if counts[often] > 1 else []),
        _Fact("Mean", _number(facts.mean)),
        _Fact("Standard deviation", _number(facts.deviation),
              "It is the RMSE of a model that always says the mean, and any other has to beat it."
              if facts.deviation else ""),
    ]


def _texts(facts):
    empty, lengths = int(facts.texts[0]), np.arange(len(facts.texts))
    return [
        _Fact("Characters", f"{int((lengths * facts.texts).sum()):,}"),
        _Fact("Characters a review", _spread(facts.texts), "A model that reads them one by one takes a step for each."),
        _Fact("Reviews without text", _some(empty, facts.n_ratings)),
    ]


def _report(facts):
    """What was read, repaired and dropped, if anything was reported."""
    lines = [_Fact(what[:1].upper() + what[1:], f"{count:,}") for what, count in facts.report.items()]
    return [("What was read and repaired", lines)] if lines else []


def _told(data):
    """Facts, and the same in words."""
    found = facts(data)
    return found, (_session_sections if isinstance(found, SessionFacts) else _rating_sections)(found)


def describe(data):
    """Describe a log in a page of plain text: size, time, repeats, popularity, and what no model can predict.

    Parameters
    ----------
    data : SessionData, RatingData or ReviewData
        All of a log, before it is split.

    Returns
    -------
    str
        Lines of at most 96 characters, one fact in each, some with a sentence on why it matters. Characters of ids
        and names that cannot be printed are escaped.

    Examples
    --------
    >>> clicks = pd.DataFrame({"session": [7, 7, 7, 3, 3], "time": [10, 20, 40, 50, 60],
    ...                        "item": ["tent", "rope", "tent", "mug", "rope"]})
    >>> text = describe(SessionData.from_frame(clicks))
    >>> print(text[text.index("What can be predicted"):text.index("Out of reach")])
    What can be predicted
      First of its session      40 % of the events
                                There is no history to predict them from.
      Only one of its item      0 % of the events, besides those
                                No model that learns from clicks knows an item before its first.
    """
    found, sections = _told(data)
    name = _raw(found.name)
    lines = [name, "=" * len(name)]
    for title, told in sections:
        lines += ["", title]
        width = max(24, *(len(fact.name) for fact in told))
        for name, value, why in told:
            indent = " " * (width + 4)
            lines += textwrap.wrap(value, 96, initial_indent=f"  {name:{width}}  ", subsequent_indent=indent,
                                   break_on_hyphens=False)
            lines += textwrap.wrap(why, 96, initial_indent=indent, subsequent_indent=indent) if why else []
    return "\n".join(lines).replace("\xa0", " ")


# --- The page ---------------------------------------------------------------------------------------------

STYLE = """
:root { color-scheme: light dark; --ground: #fdfcfa; --surface: #f4f2ed; --text: #24292e; --muted: #5b646d;
  --line: #dcd8cf; --accent: #17696a; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --surface: #20262c; --text: #d5dbe1; --muted: #a3adb7;
  --line: #363e46; --accent: #63bdb9; } }
@media print { :root { color-scheme: light; --ground: #fff; --surface: #fff; --text: #000; --muted: #444; --line: #bbb;
  --accent: #17696a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 3rem; background: var(--ground); color: var(--text);
  font: 16px/1.5 "Source Sans 3", "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: anywhere; }
h1, h2 { font-family: Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif; line-height: 1.2; }
h1 { margin: 0; font-size: 1.9rem; }
h2 { margin: 0 0 0.6rem; font-size: 1.3rem; color: var(--accent); }
header p { margin: 0.3rem 0 1rem; color: var(--muted); }
section { padding: 1.4rem 0; border-top: 1px solid var(--line); }
section.pictured { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 27rem); gap: 0 2.5rem; }
section.pictured h2 { grid-column: 1 / -1; }
dl { margin: 0; max-width: 46rem; }
dl > div { display: grid; grid-template-columns: 12rem 1fr; gap: 0 1rem; padding: 0.35rem 0; break-inside: avoid; }
dt { color: var(--muted); }
dd { margin: 0; font-variant-numeric: tabular-nums; }
section:first-child dl { display: flex; flex-wrap: wrap; gap: 0.2rem 2.6rem; max-width: none; }
section:first-child dl > div { display: block; }
section:first-child dd { font-size: 1.45rem; line-height: 1.2; }
.why { display: block; color: var(--muted); font-size: 0.9rem; }
.pictures { display: grid; gap: 1rem; align-content: start; }
figure { margin: 0; padding: 0.7rem; background: var(--surface); border: 1px solid var(--line); border-radius: 4px;
  break-inside: avoid; }
figure svg { display: block; width: 100%; height: auto; color: var(--text); }
figcaption { margin-bottom: 0.4rem; font-weight: 600; line-height: 1.3; }
h2 { break-after: avoid; }
@media (max-width: 60rem) { section.pictured { display: block; }
  .pictures { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 27rem)); margin-top: 0.9rem; } }
@media (max-width: 36rem) { dl > div { grid-template-columns: 1fr; } dt { font-size: 0.9em; } }
@media print { body { padding: 0; font-size: 10.5pt; } section { padding: 0.7rem 0; }
  section.pictured { display: block; } dl > div { padding: 0.15rem 0; grid-template-columns: 12rem 1fr; }
  .pictures { grid-template-columns: 1fr 1fr; margin-top: 0.6rem; } }
"""
SAFE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # a page that runs and loads nothing


class _Picture(NamedTuple):
    title: str
    alt: str  # what is to be seen
    draw: Callable  # on matplotlib axes


def _section(title, told, pictures):
    """A part of the page: its title, the facts in words, and the pictures beside them."""
    rows = "".join(f"<div><dt>{escape(fact.name)}</dt><dd>{escape(fact.value)}"
                   + (f'<span class="why">{escape(fact.why)}</span>' if fact.why else "") + "</dd></div>\n"
                   for fact in told)
    head = f"<h2>{title}</h2>\n<dl>\n{rows}</dl>\n"
    if not pictures:
        return f"<section>{head}</section>\n"
    figures = "".join(f"<figure><figcaption>{picture.title}</figcaption>{_svg(picture)}</figure>\n"
                      for picture in pictures)
    return f'<section class="pictured">{head}<div class="pictures">\n{figures}</div></section>\n'


def _svg(picture):
    """The picture as an SVG element whose text has the colour of the page's, with ids that no other picture has."""
    with plt.rc_context():
        plots.style()
        figure = Figure(figsize=(4.5, 2.8))
        picture.draw(figure.subplots())
        written = io.StringIO()
        figure.savefig(written, format="svg")
    return plots.inline(written.getvalue(), re.sub("[ ,]+", "-", picture.title), picture.alt)


def _upright(labels, shares, xlabel, ax):
    """Bars that stand, of shares, from 0."""
    ax.bar(np.arange(len(labels)), 100 * np.asarray(shares), width=0.85, color=plots.COLOURS[0])
    ax.set_xticks(np.arange(len(labels)), labels)
    ax.set(xlabel=xlabel, ylabel="%", ylim=(0, None))
    ax.grid(visible=False, axis="x")


def _lying(shares, ax):
    """Bars that lie, of shares by name, each with its number; the first is on top."""
    bars = ax.barh(list(shares), [100 * share for share in shares.values()], height=0.7, color=plots.COLOURS[0])
    ax.bar_label(bars, [_percent(share) for share in shares.values()], padding=3)
    ax.invert_yaxis()
    ax.set(xlim=(0, 125 * max(*shares.values(), 0.004)), xlabel="%")
    ax.set_xticks([tick for tick in ax.get_xticks() if tick <= min(100, ax.get_xlim()[1])])
    ax.grid(visible=False, axis="y")


def _doubling(counts, xlabel, ax):
    """Bars over 1, 2 to 3, 4 to 7, … of values of which ``counts[v]`` are v."""
    edges = 2 ** np.arange(len(counts).bit_length() + 1)
    shares = 100 * np.diff(np.append(0, np.cumsum(counts))[np.minimum(edges, len(counts))]) / counts[1:].sum()
    ax.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=plots.COLOURS[0], edgecolor=plots.GREY)
    ax.set_xscale("log", base=2)
    shown = edges[::-(-len(edges) // 7)]
    ax.set_xticks(shown, [f"{edge:,}" for edge in shown])
    ax.set(xlabel=xlabel, ylabel="%", ylim=(0, None), xlim=(1, edges[-1]))
    ax.grid(visible=False, axis="x")


def _lorenz(support, what, ax):
    n = len(support)
    total = np.append(0, np.cumsum(support))
    at = np.unique(np.concatenate([np.linspace(0, n, 101), np.geomspace(1, n, 60)]).astype(np.int64))
    ax.plot(100 * at / n, 100 * total[at] / total[-1], marker="none")
    ax.plot([0, 100], [0, 100], color=plots.GREY, linestyle="--", marker="none")
    ax.annotate("if all items were equal", (50, 44), color=plots.GREY, ha="left", va="top")
    ax.set(xlabel="% of the items, the most popular first", ylabel=f"% of the {what}", xlim=(0, 100), ylim=(0, 102))


def _days_a_bar(facts):
    return -(-len(facts.per_day) // 120)


def _dates(first, n):
    """A few days from ``first`` on, in days since 1970, and their dates: beginnings of years, months or days."""
    unit, most = ("Y", 6) if n > 1000 else ("M", 4) if n > 90 else ("D", 3)
    begin, end = np.array([first, first + n], dtype="datetime64[D]").astype(f"datetime64[{unit}]").astype(int)
    marks = np.arange(begin, end + 1, -(-(end + 1 - begin) // most)).astype(f"datetime64[{unit}]")
    days = marks.astype("datetime64[D]").astype(int)
    within = (days >= first) & (days < first + n)
    return days[within], marks[within].astype(str)


def _daily(facts, what, ax):
    n, step = len(facts.per_day), _days_a_bar(facts)
    start = np.arange(0, n, step)
    width = np.diff(start, append=n)
    ax.bar(facts.first // DAY + start, np.add.reduceat(facts.per_day, start) / width, width=width, align="edge",
           color=plots.COLOURS[0])
    ax.set_xticks(*_dates(int(facts.first // DAY), n))
    ax.yaxis.set_major_formatter("{x:,.10g}")
    ax.set(ylabel=f"{what} a day", ylim=(0, None), xlim=(facts.first // DAY, facts.first // DAY + n))
    ax.grid(visible=False, axis="x")


def _shared_pictures(facts, what):
    """Of popularity and of days."""
    (_, share), busiest = _top(facts, 10), int(facts.per_day.argmax())
    day = _date(facts.first + busiest * DAY)
    step = _days_a_bar(facts)
    means = f", means over {step} days" if step > 1 else ""
    days = [_Picture(f"{what.capitalize()} a day{means}", f"Bars over time: {_number(facts.per_day.mean())} {what} a "
                     f"day on average, the most, {facts.per_day[busiest]:,}, on {day}.", partial(_daily, facts, what))]
    popular = _Picture("How unequal the items are", f"A curve above the diagonal: the 10\xa0% of the items with the "
                       f"most {what} have {_percent(share)} of them.", partial(_lorenz, facts.support, what))
    return days if len(facts.per_day) > 1 else [], popular


def _session_pictures(facts):
    days, popular = _shared_pictures(facts, "events")
    lengths, cap = facts.lengths, 12
    labels = [str(length) for length in range(1, min(cap, len(lengths)))]
    shares = lengths[1:cap] / facts.n_sessions
    if len(lengths) > cap:
        labels.append(f"{cap}+")
        shares = np.append(shares, lengths[cap:].sum() / facts.n_sessions)
    parts = {"first of its session": facts.openings, "only one of its item": facts.once,
             "repeats": facts.repeats, "the rest": facts.rest}
    mode = int(lengths.argmax())
    pictures = {
        "Time": days,
        "Sessions": [_Picture("Events a session", f"Bars: sessions of {mode:,} event{'s' * (mode != 1)} are the most "
                              f"frequent, {_percent(lengths[mode] / facts.n_sessions)} of all.",
                              partial(_upright, labels, shares, "events"))],
        "Items": [popular],
        "What can be predicted": [_Picture("Of all events", "Bars: " + ", ".join(
            f"{name} {_percent(share)}" for name, share in parts.items()) + ".", partial(_lying, parts))],
    }
    if facts.gap_percentiles:
        gaps = dict(zip(GAPS, facts.gap_counts / facts.gap_counts.sum(), strict=True))
        most = max(gaps, key=gaps.__getitem__)
        pictures["Sessions"].append(_Picture(
            "Time between events", f"Bars from 0\xa0s to over 30\xa0min: the highest is \u201c{most}\u201d, with "
            f"{_percent(gaps[most])}. Half of the times are at most {_duration(facts.gap_percentiles[0])}.",
            partial(_lying, gaps)))
    return pictures


def _rating_pictures(facts):
    days, popular = _shared_pictures(facts, "ratings")
    values, counts, n = facts.values, facts.counts, facts.n_ratings
    often = int(counts.argmax())
    draw = partial(_upright, [f"{value:.6g}" for value in values], counts / n, "rating")
    if len(values) > 12:
        draw = partial(_histogram, values, counts)
    user, item = (_count_percentiles(each)[0] for each in (facts.per_user, facts.per_item))
    new = {"by a new user": facts.cold_user, "of a new item": facts.cold_item, "one of the two": facts.cold}
    pictures = {
        "Time": days,
        "Values": [_Picture("Ratings", f"Bars: {values[often]:.6g} is the most frequent rating, "
                            f"{_percent(counts[often] / n)} of all.", draw)],
        "Users": [_Picture("Ratings a user", f"Bars over 1, 2 to 3, 4 to 7 ratings and so on: half of the users gave "
                           f"at most {user:,}.", partial(_doubling, facts.per_user, "ratings, on a doubling scale"))],
        "Items": [_Picture("Ratings an item", f"Bars over 1, 2 to 3, 4 to 7 ratings and so on: half of the items have "
                           f"at most {item:,}.", partial(_doubling, facts.per_item, "ratings, on a doubling scale")),
                  popular],
        "If the last 10\xa0% of the ratings were the test part": [_Picture(
            "Of the held-out ratings", "Bars: " + ", ".join(f"{name} {_percent(share)}" for name, share in new.items())
            + ".", partial(_lying, new))],
    }
    if facts.texts is not None and facts.texts[1:].any():
        half = _count_percentiles(facts.texts)[0]
        pictures["Texts"] = [_Picture("Characters a review, where there is text", f"Bars over 1, 2 to 3, 4 to 7 "
                                      f"characters and so on: half of the reviews have at most {half:,}.",
                                      partial(_doubling, facts.texts, "characters, on a doubling scale"))]
    return pictures


def _histogram(values, counts, ax):
    shares, edges = np.histogram(values, bins=20, weights=100 * counts / counts.sum())
    ax.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=plots.COLOURS[0], edgecolor=plots.GREY)
    ax.set(xlabel="rating", ylabel="%", ylim=(0, None))


def page(data):
    """Describe a log as one HTML file: the facts of `describe`, with pictures. It loads nothing and runs no script.

    Parameters
    ----------
    data : SessionData, RatingData or ReviewData
        All of a log, before it is split.

    Returns
    -------
    str
        To be written in UTF-8.

    Examples
    --------
    >>> stars = pd.DataFrame({"user": ["bob", "ann"], "item": "<tea>", "rating": [3, 5], "time": 10})
    >>> html = page(RatingData.from_frame(stars))
    >>> html[:15], html.count("<svg"), "&lt;tea&gt;" in html, "<tea>" in html
    ('<!doctype html>', 5, True, False)
    """
    found, sections = _told(data)
    name, first = escape(_raw(found.name)), np.isfinite(found.first)
    drawn = {} if not first else (_session_pictures if isinstance(found, SessionFacts) else _rating_pictures)(found)
    body = "".join(_section(title, told, drawn.get(title, [])) for title, told in sections)
    return (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>A look at {name}</title>\n'
            f'<meta http-equiv="Content-Security-Policy" content="{SAFE}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n<header><h1>{name}</h1>\n"
            "<p>What this log is, before anybody trains on it.</p></header>\n"
            f"<main>\n{body}</main>\n</body>\n</html>\n")
