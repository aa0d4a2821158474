"""The facts in words, from which the text and the page are both made."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from rnnbook.interactions import DAY
from rnnbook.look.counts import RARE, SessionFacts, count_percentiles, facts, share


class _Fact(NamedTuple):
    name: str
    value: str
    why: str = ""  # why it matters


def number(x):
    """A mean: at most three digits that are not 0, with separators for thousands."""
    return f"{float(f'{x:.3g}'):,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def percent(share):
    """At most three digits; a share that is neither all nor nothing does not become one of them."""
    percent = 100 * share
    if 0 < percent < 0.001:
        return "under 0.001\xa0%"
    if 99.9 < percent < 100:
        return "over 99.9\xa0%"
    return f"{percent:.3g}\xa0%"


def duration(seconds):
    for unit, size, end in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, DAY)):
        if seconds < end:
            return f"{number(seconds / size)}\xa0{unit}"
    days = number(seconds / DAY)
    return f"{days}\xa0day{'s' * (days != '1')}"


def date(seconds):
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _moment(seconds):
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def raw(name):
    """An id or a name as one line that moves no cursor: what cannot be printed is escaped, and the length bounded."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))
    return plain if len(plain) <= 40 else f"{plain[:37]}..."


def _at_most(percentiles, show="{:,}".format):
    half, most, nearly_all, all_ = map(show, percentiles)
    return f"half have at most {half}, 90\xa0% at most {most}, 99\xa0% at most {nearly_all}, all at most {all_}"


def _spread(counts):
    """Mean and percentiles of values of which ``counts[v]`` are v."""
    mean = (np.arange(len(counts)) * counts).sum() / counts.sum()
    return f"{number(mean)} on average; {_at_most(count_percentiles(counts))}"


def top(facts, percent):
    """How many items the top ``percent`` % are, and their share of what was counted."""
    n = -(-percent * facts.n_items // 100)
    return n, share(int(facts.support[:n].sum()), int(facts.support.sum()))


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
    return f"{n:,} ({percent(n / whole)}){also}" if n else "none"


def _popularity(facts, what):
    """The facts on how unequal the items are, for events and for ratings."""
    (one, of_one), (ten, of_ten), half = top(facts, 1), top(facts, 10), _n_for_half(facts.support)
    named = ", ".join(f"{raw(item)} ({count:,})" for item, count in facts.popular)
    return [
        _Fact("Most popular", named),
        _Fact("Top 1\xa0% of the items", f"{percent(of_one)} of the {what} ({_number_of(one, 'item')})"),
        _Fact("Top 10\xa0% of the items", f"{percent(of_ten)} of the {what} ({_number_of(ten, 'item')})",
              "The larger the share, the stronger a rival is a list of the most popular items, the same for everybody."
              if what == "events" else "What a model says of the other items rests on few ratings."),
        _Fact(f"Half of the {what}", f"on the {_number_of(half, 'item')} with the most "
              f"({percent(half / facts.n_items)} of all)"),
        _Fact("Concentration", f"{number(_gini(facts.support))} (Gini)",
              f"0 if all items have as many {what}, near 1 if one item has them all."),
    ]


def _days(facts, what):
    per_day = facts.per_day
    busiest, empty = int(per_day.argmax()), int((per_day == 0).sum())
    return [
        _Fact("From", f"{_moment(facts.first)} UTC"),
        _Fact("To", f"{_moment(facts.last)} UTC, {duration(facts.last - facts.first)} later"),
        _Fact(f"{what.capitalize()} a day", f"{number(per_day.mean())} on average; the most on "
              f"{date(facts.first + busiest * DAY)}, {per_day[busiest]:,}",
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
            _Fact("Longest session", f"{raw(facts.longest)}: {_number_of(len(facts.lengths) - 1, 'event')}",
                  "A session far longer than all others is often a robot."),
            _Fact("Sessions of one event", _some(ones, sessions),
                  "There is nothing to predict in them; load_sessions drops them." if ones else ""),
            *_gaps(facts),
            _Fact("Repeats", f"{percent(facts.repeats)} of the events are on an item that the session has already, "
                  f"{percent(facts.again)} on the item just before",
                  "The larger the share, the stronger a rival is a model that recommends a session's own items again."),
        ]),
        ("Items", [
            _Fact("Events an item", _spread(np.bincount(facts.support))),
            *_popularity(facts, "events"),
            _Fact("Items with one event", _some(single, facts.n_items)),
            _Fact(f"Items with fewer than {RARE}", _some(len(rare), facts.n_items, also=f", with "
                  f"{percent(rare.sum() / n)} of the events"),
                  "load_sessions drops them, unless the log has a published split." if len(rare) else ""),
        ]),
        ("What can be predicted", [
            _Fact("First of its session", f"{percent(facts.openings)} of the events",
                  "There is no history to predict them from."),
            _Fact("Only event of its item", f"{percent(facts.once)} of the events, besides those",
                  "No model that learns from clicks knows an item before its first."),
            _Fact("Out of reach", f"{percent(facts.openings + facts.once)} of the events, the two together"),
            _Fact("Repeats", f"{percent(facts.repeats)} of the events", "Known from the session itself."),
            _Fact("The rest", f"{percent(facts.rest)} of the events",
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
    half, most, nearly_all, all_ = map(duration, facts.gap_percentiles)
    return [
        _Fact("Time between events", f"half are at most {half}, 90\xa0% at most {most}, 99\xa0% at most {nearly_all}, "
              f"all at most {all_}"),
        _Fact("Of these over 30\xa0min", percent(facts.gap_counts[-1] / n), "Such a session may be two visits."),
        _Fact("Of these 0\xa0s", percent(facts.gap_counts[0] / n),
              "The order of events at the same time is that of the file."),
    ]


def _test(facts):
    """Facts on the split that `load_sessions` makes by default."""
    held = _Fact("Held out", f"{_number_of(facts.test_sessions, 'session')} with "
                 f"{_number_of(facts.test_events, 'event')} ({percent(facts.test_events / facts.n_events)})",
                 "A session that ends in the last 24 hours of the log is held out, as the GRU4Rec authors do it.")
    if facts.test_sessions == facts.n_sessions:
        return [held, _Fact("Left to train on", "nothing: every session ends in the last 24 hours",
                            "Split at another time: load_sessions(..., test_seconds=...).")]
    return [
        held,
        _Fact("Of items unseen in train", f"{percent(facts.test_unseen)} of these events, on "
              f"{_number_of(facts.test_unseen_items, 'item')}",
              "No model can name them; load_sessions drops these events." if facts.test_unseen else ""),
        _Fact("Left to predict", f"{_number_of(facts.test_predicted, 'event')} "
              f"({percent(share(facts.test_predicted, facts.test_events))} of those held out)",
              "Those of known items, less the first of each session. A score is a mean over them."),
    ]


def _rating_sections(facts):
    """(title, facts in words) for each part of the look."""
    n = facts.n_ratings
    size = [_Fact("Ratings", f"{n:,}"), _Fact("Users", f"{facts.n_users:,}"), _Fact("Items", f"{facts.n_items:,}")]
    if not n:
        return [("Size", size), *_report(facts)]
    pairs = n * (1 - facts.repeats)
    size.append(_Fact("Density", percent(pairs / (facts.n_users * facts.n_items)),
                      "So many of all pairs of a user and an item have a rating."))
    half, most, *_ = map(duration, facts.span_percentiles)
    return [
        ("Size", size),
        ("Time", _days(facts, "ratings")),
        ("Values", _values(facts)),
        ("Users", [
            _Fact("Ratings a user", _spread(facts.per_user)),
            _Fact("A user's time", f"from first to last rating at most {half} for half of the users, at most {most} "
                  "for 90\xa0%", "Who rates on one evening only has no history for a model of change."),
            _Fact("At the same time", f"{percent(facts.tied)} of the ratings are at the time of an earlier one of the "
                  "same user", "Their order is that of the file, and may mean nothing." if facts.tied else ""),
            _Fact("Repeated pairs", f"{percent(facts.repeats)} of the ratings are of an item that the user has rated "
                  "before", "The earlier rating is a good guess for the later one." if facts.repeats else ""),
        ]),
        ("Items", [_Fact("Ratings an item", _spread(facts.per_item)), *_popularity(facts, "ratings")]),
        *([("Texts", _texts(facts))] if facts.texts is not None else []),
        ("If the last 10\xa0% of the ratings were the test part", [
            _Fact("Held out", f"{_number_of(facts.late_ratings, 'rating')} by "
                  f"{_number_of(facts.late_users, 'user')} of {_number_of(facts.late_items, 'item')}"),
            _Fact("New users", f"{facts.cold_users:,} of these users, with {percent(facts.cold_user)} of the ratings",
                  "No earlier rating tells what they like." if facts.cold_users else ""),
            _Fact("New items", f"{facts.cold_items:,} of these items, with {percent(facts.cold_item)} of the ratings",
                  "No earlier rating tells who likes them." if facts.cold_items else ""),
            _Fact("User or item new", f"{percent(facts.cold)} of the held-out ratings",
                  "For these a model falls back on means, or on text." if facts.cold else ""),
        ]),
        *_report(facts),
    ]


def _values(facts):
    values, counts, n = facts.values, facts.counts, facts.n_ratings
    often = int(counts.argmax())
    shown = "; ".join(f"{value:.6g}:\xa0{percent(count / n)}" for value, count in zip(values, counts, strict=True))
    return [
        _Fact("Ratings", shown if len(values) <= 10 else
              f"{len(values):,} different ones, from {values[0]:.6g} to {values[-1]:.6g}"),
        *([_Fact("Most frequent", f"{values[often]:.6g}, {percent(counts[often] / n)} of the ratings")]
          if counts[often] > 1 else []),
        _Fact("Mean", number(facts.mean)),
        _Fact("Standard deviation", number(facts.deviation),
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


def in_words(data):
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
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [7, 7, 7, 3, 3], "time": [10, 20, 40, 50, 60],
    ...                        "item": ["tent", "rope", "tent", "mug", "rope"]})
    >>> text = describe(SessionData.from_frame(clicks))
    >>> print(text[text.index("What can be predicted"):text.index("Out of reach")])
    What can be predicted
      First of its session      40 % of the events
                                There is no history to predict them from.
      Only event of its item    0 % of the events, besides those
                                No model that learns from clicks knows an item before its first.
    """
    found, sections = in_words(data)
    name = raw(found.name)
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
