"""Load data: `load_sessions`, `load_ratings` and `load_reviews` take the name of a data set, a file or a DataFrame.

The tables SPLITS, LOGS, RATINGS and REVIEWS below give the function that reads each named data set. A file or a
DataFrame in the form of a known data set is recognised, and is read as that data set is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from rnnbook import sources
from rnnbook.interactions import DAY, DataError, RatingData, ReviewData, SessionData
from rnnbook.interactions.columns import plain
from rnnbook.interactions.sessions import cut_sessions
from rnnbook.interactions.tables import look, read_events, read_ratings, read_reviews
from rnnbook.interactions.times import UNITS
from rnnbook.sources import shapes
from rnnbook.worlds import RatingWorld, ReviewWorld, SessionWorld

GAP = 1800  # seconds without an event after which a session has ended
FORMAT = {"header": None, "separator": None, "quote_char": '"', "time_unit": None, "drop_missing": False}
READERS = {shapes.SESSIONS: read_events, shapes.RATINGS: read_ratings, shapes.REVIEWS: read_reviews}


def _is_named(source, known, folders=False, **given):
    """Whether a source is the name of a data set.

    Raises FileNotFoundError if it is a str or path, but neither a name nor a file, and TypeError if something is given
    that only a table of one's own needs.
    """
    if isinstance(source, str) and _form(source) in known:
        own = [f"{name}=" for name, value in given.items() if value != FORMAT.get(name)]
        if own:
            raise TypeError(f"{source} has its own column names and format; {', '.join(own)} is for a table of yours")
        return True
    if isinstance(source, (str, Path)) and not (Path(source).is_file() or (folders and Path(source).is_dir())):
        raise FileNotFoundError(f"{str(source)!r} is neither a file here nor one of the data sets: {', '.join(known)}")
    return False


def _form(name):
    """The name as in the list of data sets: a category is replaced by ``<Category>``."""
    form, colon, _ = name.partition(":")
    return f"{form}:{sources.CATEGORY}" if colon else name


def _read(kind, source, columns, options, shape=None):
    """Read a table by its published form, which is recognised unless it is given.

    Returns
    -------
    frame : polars DataFrame
    report : dict of str to int
    shape : Shape or None
    """
    options, said = FORMAT | options, shape is None
    seen = look(source, *(options[name] for name in ("header", "separator", "quote_char")))
    shape = shape or sources.recognise(kind, *seen)
    if shape:
        there = {plain(name): name for name in reversed(shape.header or seen.names)}
        own = {role: there.get(plain(name), name) for role, name in shape.columns.items() if role in columns}
        if any(name not in (None, own.get(role)) for role, name in columns.items()):
            shape = None  # whoever names other columns wants another thing
    if shape is None:
        frame, report = READERS[kind](source, **columns, **options)
        return frame, report, None
    more = {role: there.get(plain(name), name) for role, name in shape.extra.items()}
    options |= {name: value for name, value in shape.options.items() if options[name] == FORMAT[name]}
    if shape.header:
        options["header"] = list(shape.header)
    frame, report = READERS[kind](source, **own, **({"extra": more} if more else {}), **options)
    report.pop(f"times read as {UNITS[shape.unit][0]}", None)  # nothing was assumed: it is published so
    if said:
        report = {"rows read": report["rows read"],
                  f"rows in the published form of {shape.name}": report["rows read"]} | report
    return frame, report, shape


def kind_of(name):
    """"ratings" or "reviews" for the name of such a data set; "sessions" for another name, and for a file.

    Examples
    --------
    >>> kind_of("rating-world"), kind_of("clicks.csv")
    ('ratings', 'sessions')
    """
    return "ratings" if name in RATINGS else "reviews" if _form(name) in REVIEWS else "sessions"


# --- Sessions ---------------------------------------------------------------------------------------------


def load_sessions(source, *, session=None, item=None, time=None, user=None, gap=None, min_support=None,
                  test_seconds=None, header=None, separator=None, quote_char='"', time_unit=None, drop_missing=False):
    """Load a session log and split it into train and test.

    A published split is kept, and so is the split of the world. Other logs are prepared as the GRU4Rec authors prepare
    RSC15. First, sessions of one event are dropped, then items clicked fewer than ``min_support`` times, then sessions
    left with one event. The test set consists of the sessions that end in the last ``test_seconds``. Their events of
    items that train does not have are dropped. Repeated clicks are kept.

    Parameters
    ----------
    source : str, path or DataFrame
        A name (``python -m rnnbook data`` lists them): ``"session-world"``, ``"yoochoose-100k"``,
        ``"rsc15"``, ``"retailrocket"``, ``"diginetica"``, ``"sasrec-video"``; or a table (csv, tsv, JSON lines,
        parquet, also gzipped); or a folder with a ``train`` and a ``test`` table; or a pandas or polars DataFrame.
    session, item, time : str, optional
        Column names of your own table. A missing name is guessed.
    user : str, optional
        The column of users in a log without sessions. Sessions are cut where a user does nothing for a while.
    gap : float, optional
        More than so many seconds without an event of the user end a session, by default half an hour (1,800). Only for
        a log whose sessions are cut.
    min_support : int, optional
        The smallest number of clicks of an item, by default 5. Only for logs without a published split.
    test_seconds : float, optional
        The length of the test period, by default a day (86,400). Only for logs without a published split.
    header : list of str, optional
        The names of the columns, in their order, of a text file without a header line.
    separator : str, optional
        What stands between the fields of a text file. By default it is found from the first lines.
    quote_char : str, optional
        What stands around a field that contains separators or line breaks. None: quotes are characters.
    time_unit : {"s", "ms", "us", "ns"}, optional
        The unit of numeric times: seconds, milliseconds, microseconds or nanoseconds since 1970. By default their size
        tells it, and the report says so. ISO 8601 strings and dates such as 20140401 need none.
    drop_missing : bool
        Drop the rows in which a value is missing, and count them. Empty fields, ``NULL``, ``\\N``, ``NaN``, ``N/A`` and
        their like are missing. By default the first such row is an error.

    Returns
    -------
    train, test : SessionData
        Over one catalogue, the items of train. Their ``report`` counts what was dropped, repaired or assumed.

    Raises
    ------
    DataError
        The table has a fault (the message names file, column and line), or a part would be empty.
    FileNotFoundError
        The data are not here. The message says how to get them and where to put them.
    TypeError
        An argument does not apply to these data.

    Examples
    --------
    >>> train, test = load_sessions("session-world")
    >>> train.n_items == test.n_items
    True

    A log that knows users only. Half an hour without a click ends a session.

    >>> log = pd.DataFrame({"who": [1, 1, 1, 1, 2, 2], "item": [7, 8, 7, 8, 7, 8],
    ...                     "time": [0, 60, 9000, 9060, 99_000, 99_060]})
    >>> train, test = load_sessions(log, user="who", gap=1800, min_support=1)
    >>> train.n_sessions, test.n_sessions
    (2, 1)
    """
    columns = {"session": session, "user": user, "item": item, "time": time}
    options = {"header": header, "separator": separator, "quote_char": quote_char, "time_unit": time_unit,
               "drop_missing": drop_missing}
    if session is not None and user is not None:
        raise TypeError("a log has session= or, to cut its sessions, user=; not both")
    if _is_named(source, SPLITS | LOGS, folders=True, **columns, gap=gap, **options):
        if source in LOGS:
            return _split(LOGS[source](), min_support, test_seconds)
        _check_not_to_split(source, min_support, test_seconds)
        return SPLITS[source]()
    path = Path(source) if isinstance(source, (str, Path)) else None
    if path and path.is_dir():
        _check_not_to_split(path, min_support, test_seconds)
        return _published(path.name, *(_log(_half(path, half), path.name, columns, gap, options)
                                       for half in ("train", "test")))
    return _split(_log(source, path.name if path else "sessions", columns, gap, options), min_support, test_seconds)


def load_log(source, *, session=None, item=None, time=None, user=None, gap=None, **options):
    """Load a whole session log, of which nothing is dropped or held out. Open sessions, to be answered, are such a log.

    Parameters
    ----------
    source : str, path or DataFrame
        As in `load_sessions`. Of a data set with a published split, this is the training part.
    session, item, time, user, gap, **options
        As in `load_sessions`, without ``min_support`` and ``test_seconds``.

    Returns
    -------
    SessionData
        With all sessions, those of one event too.

    Raises
    ------
    DataError, FileNotFoundError, TypeError
        As in `load_sessions`.

    Examples
    --------
    >>> clicks = {"session": [1, 2, 1], "item": ["mug", "tent", "rope"], "time": [5, 6, 7]}
    >>> data = load_log(pd.DataFrame(clicks))
    >>> data.lengths.tolist(), data.item_ids.tolist()
    ([2, 1], ['mug', 'rope', 'tent'])
    """
    unknown = options.keys() - FORMAT.keys()
    if unknown:
        raise TypeError(f"load_log has no option {', '.join(sorted(unknown))}")
    columns = {"session": session, "user": user, "item": item, "time": time}
    if _is_named(source, SPLITS | LOGS, folders=True, **columns, gap=gap, **options):
        return LOGS[source]() if source in LOGS else SPLITS[source]()[0]
    path = Path(source) if isinstance(source, (str, Path)) else None
    table = _half(path, "train") if path and path.is_dir() else source
    return _log(table, path.name if path else "sessions", columns, gap, options)


def _log(source, name, columns=None, gap=None, options=None, shape=None):
    """SessionData of a whole log, its sessions cut where it has none."""
    if gap is not None and not 0 < gap < math.inf:
        raise ValueError(f"gap must be a number of seconds above 0, not {gap}")
    columns = columns or dict.fromkeys(("session", "user", "item", "time"))
    frame, report, shape = _read(shapes.SESSIONS, source, columns, options or {}, shape)
    if "milliseconds" in frame.columns:
        frame = _with_milliseconds(frame, f"missing {shape.extra['milliseconds']}s read as 0", report)
    if "user" in frame.columns:
        gap = gap or GAP
        frame = cut_sessions(frame, gap)
        report[f"sessions cut at gaps above {gap:,g} s"] = frame["session"].n_unique()
    elif gap is not None:
        raise DataError(f"gap= cuts the log of users, and {name} is one of sessions: leave it out, on the command line "
                        "--gap, or name the column of the users: user=…, on the command line --user NAME.")
    if "event" in frame.columns:  # once the sessions are cut, since whoever buys has not left
        views = frame.filter(pl.col("event") == "view")
        if len(views) < len(frame):
            report["events other than views dropped"] = len(frame) - len(views)
        frame = views
    return SessionData.from_events(frame, name, report)


def _with_milliseconds(frame, missing, report):
    """Add to each time, which is a day, the milliseconds since the session began."""
    since = frame["milliseconds"].cast(pl.Float64, strict=False)
    if since.null_count():
        report[missing] = since.null_count()
    return frame.with_columns(pl.Series("time", frame["time"].to_numpy() + since.fill_null(0).to_numpy() / 1000))


def _check_not_to_split(name, min_support, test_seconds):
    for what, value in (("min_support", min_support), ("test_seconds", test_seconds)):
        if value is not None:
            raise TypeError(f"{name} has a test part of its own and is taken as it is; {what}=, for the command "
                            f"--{what.replace('_', '-')}, is for a log that has none")


def _split(data, min_support, test_seconds):
    """Apply the GRU4Rec authors' preprocessing of RSC15 to a log, and split it."""
    min_support = 5 if min_support is None else min_support
    data = data.drop_short("one-event sessions dropped")
    data = data.keep_events(data.support[data.items] >= min_support,
                            f"events of items clicked fewer than {min_support} times dropped")
    data = data.drop_short("events of sessions left with one event dropped")
    if data.n_events == 0:
        raise DataError(f"{data.name}: nothing is left after dropping one-event sessions and items clicked "
                        f"fewer than {min_support} times. Load more data, or lower min_support, on the command line "
                        "--min-support.")
    return hold_out(data, test_seconds)


def hold_out(data, seconds=None):
    """Split a log by time, as `SessionData.split_by_time` does; a refusal also says what to do on the command line.

    Parameters
    ----------
    data : SessionData
    seconds : float, optional
        By default a day.

    Returns
    -------
    before, last : SessionData

    Raises
    ------
    DataError
        One of the parts would be empty.

    Examples
    --------
    >>> clicks = {"session": [1, 1, 2, 2], "item": [7, 8, 7, 8], "time": [0, 1, 200_000, 200_001]}
    >>> before, last = hold_out(load_log(pd.DataFrame(clicks)))
    >>> before.session_ids.tolist(), last.session_ids.tolist()
    ([1], [2])
    """
    ends = data.times[data.offsets[1:] - 1]
    if len(ends) and ends.min() == ends.max():
        what = "one session is left" if len(ends) == 1 else f"all {len(ends):,} sessions end at the same time"
        rare = any(reason.endswith("times dropped") for reason in data.report)
        raise DataError(f"{data.name}: {what}, and a split takes two that end at different times: one to train on, one "
                        "to hold out. Name the right column of the sessions: session=…, on the command line --session "
                        f"NAME; {'lower min_support, on the command line --min-support; ' * rare}or load more data.")
    try:
        return data.split_by_time(DAY if seconds is None else seconds)
    except DataError as error:
        raise DataError(f"{error} The time that is held out is set by load_sessions(…, test_seconds=…), on the command "
                        "line by --test-seconds SECONDS.") from None


def _published(name, train, test):
    """Keep a published split. One-event sessions are dropped, and test events of items that train does not have."""
    train, test = (half.drop_short("one-event sessions dropped") for half in (train, test))
    test = test.restrict_to(train.item_ids).drop_short("events of sessions left with one event dropped")
    shared = int(np.isin(test.session_ids, train.session_ids).sum())
    if shared:
        test.report["sessions also in train"] = shared
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
    world = SessionWorld()
    return world.sample(10_000, seed=0), world.sample(3_000, seed=1)


def _yoochoose_100k():
    return _published("yoochoose-100k", *(_log(path, "yoochoose-100k")
                                          for path in sources.locate(sources.SOURCES["yoochoose-100k"])))


def _sasrec_video():
    """Each user is a session. There are no times; the number of the line stands in their place."""
    [path] = sources.locate(sources.SOURCES["sasrec-video"])
    frame = pl.read_csv(path, has_header=False, new_columns=["session", "item"], separator=" ")
    return _log(frame.with_row_index("time"), "sasrec-video").leave_last_out()


def _one_log(name, shape):
    [path] = sources.locate(sources.SOURCES[name])
    return _log(path, name, shape=shape)


SPLITS = {"session-world": _session_world, "yoochoose-100k": _yoochoose_100k,  # -> train, test
          "sasrec-video": _sasrec_video}
LOGS = {"rsc15": partial(_one_log, "rsc15", shapes.RSC15),  # -> a log to split
        "retailrocket": partial(_one_log, "retailrocket", shapes.RETAILROCKET),
        "diginetica": partial(_one_log, "diginetica", shapes.DIGINETICA)}


# --- Ratings ----------------------------------------------------------------------------------------------

def load_ratings(source, *, user=None, item=None, rating=None, time=None, min_user_ratings=1, header=None,
                 separator=None, quote_char='"', time_unit=None, drop_missing=False):
    """Load ratings, in the order of time.

    Parameters
    ----------
    source : str, path or DataFrame
        A name (``python -m rnnbook data`` lists them): ``"rating-world"``, ``"movielens-100k"``,
        ``"movietweetings-100k"``, ``"movielens-latest-small"``, ``"movielens-1m"``, ``"movielens-32m"``,
        ``"netflix"``; or a table (csv, tsv, JSON lines, parquet, also gzipped); or a pandas or polars DataFrame.
    user, item, rating, time : str, optional
        Column names of your own table. A missing name is guessed.
    min_user_ratings : int
        Users with fewer ratings are dropped, and so are the items that only they rated.
    header, separator, quote_char, time_unit, drop_missing : optional
        How the table is written, as for :func:`load_sessions`.

    Returns
    -------
    RatingData
        Ratings at the same time keep the order of the table. MovieLens 100K is published in two formats, so its
        ratings at the same time are sorted by user, then item. A pair rated more than once is kept and counted.

    Raises
    ------
    DataError
        The table has a fault (the message names file, column and line), or nothing would be left.
    FileNotFoundError
        The data are not here. The message says how to get them and where to put them.
    TypeError
        A column name is given for a named data set.

    Examples
    --------
    >>> past, valid, future = load_ratings("rating-world").split_by_time()
    >>> print(past.times[-1] <= valid.times[0])
    True
    """
    columns = {"user": user, "item": item, "rating": rating, "time": time}
    options = {"header": header, "separator": separator, "quote_char": quote_char, "time_unit": time_unit,
               "drop_missing": drop_missing}
    if _is_named(source, RATINGS, **columns, **options):
        data = RATINGS[source]()
    else:
        data = _ratings(source, Path(source).name if isinstance(source, (str, Path)) else "ratings", columns, options)
    return data.keep_active_users(min_user_ratings).count_repeats()


RATING_COLUMNS = dict.fromkeys(("user", "item", "rating", "time"))


def _ratings(source, name, columns=RATING_COLUMNS, options=FORMAT, shape=None):
    frame, report, _ = _read(shapes.RATINGS, source, columns, options, shape)
    return RatingData.from_ratings(frame, name, report)


def _rating_world():
    return RatingWorld().sample(seed=0)


def _movielens_100k():
    """Read either format. The rows are sorted, so that ratings at the same time have the same order in both."""
    [path] = sources.locate(sources.SOURCES["movielens-100k"])
    shape = shapes.MOVIELENS if path.name.startswith("u.data") else shapes.RECBOLE
    frame, report, _ = _read(shapes.RATINGS, path, RATING_COLUMNS, {}, shape)
    return RatingData.from_ratings(frame.sort("user", "item"), "movielens-100k", report)


def _one_file(name, shape=None):
    [path] = sources.locate(sources.SOURCES[name])
    return _ratings(path, name, shape=shape)


def _netflix():
    paths = sources.locate(sources.SOURCES["netflix"])
    frames, reports, _ = zip(*(_read(shapes.RATINGS, path, RATING_COLUMNS, {}, shapes.NETFLIX) for path in paths),
                             strict=True)
    report = {"rows read": sum(each["rows read"] for each in reports),
              "lines that name a movie or are blank": sum(each["blank lines skipped"] for each in reports)}
    return RatingData.from_ratings(pl.concat(frames), "netflix", report)


RATINGS: dict[str, Callable[[], RatingData]] = {
    "rating-world": _rating_world,
    "movielens-100k": _movielens_100k,
    "movietweetings-100k": partial(_one_file, "movietweetings-100k", shapes.MOVIELENS),
    "movielens-latest-small": partial(_one_file, "movielens-latest-small"),
    "movielens-1m": partial(_one_file, "movielens-1m", shapes.MOVIELENS),
    "movielens-32m": partial(_one_file, "movielens-32m"),
    "netflix": _netflix,
}


# --- Reviews ----------------------------------------------------------------------------------------------


def load_reviews(source, *, user=None, item=None, rating=None, time=None, text=None, min_user_ratings=1, header=None,
                 separator=None, quote_char='"', time_unit=None, drop_missing=False):
    """Load ratings with their reviews, in the order of time.

    The text is not changed: it is not cut, stripped, lower-cased or unescaped.

    Parameters
    ----------
    source : str, path or DataFrame
        A name (``python -m rnnbook data`` lists them): ``"review-world"``, ``"amazon-gift-cards"``, one like
        ``"amazon-2014:Digital_Music"`` or ``"amazon-2023:Digital_Music"``; or a table (JSON lines as .json or
        .jsonl; csv, tsv, parquet; also gzipped); or a pandas or polars DataFrame.
    user, item, rating, time, text : str, optional
        Column names of your own table. A missing name is guessed.
    min_user_ratings : int
        Users with fewer ratings are dropped, and so are the items that only they rated.
    header, separator, quote_char, time_unit, drop_missing : optional
        How the table is written, as for :func:`load_sessions`.

    Returns
    -------
    ReviewData
        Reviews at the same time keep the order of the table. A missing text becomes an empty review. Half a surrogate
        pair, which is not a character, becomes U+FFFD. A pair rated more than once is kept. All three are counted in
        the report.

    Raises
    ------
    DataError
        The table has a fault (the message names file, column and line), or nothing would be left.
    FileNotFoundError
        The data are not here. The message says how to get them and where to put them.
    TypeError
        A column name is given for a named data set.
    ValueError
        The category in the name contains a character that is not a letter, a digit or ``_``.

    Examples
    --------
    >>> df = pd.DataFrame({"user": [1, 2], "item": 7, "rating": [5, 2], "time": [20, 10],
    ...                    "text": ["So good!", None]})
    >>> data = load_reviews(df)
    >>> [data.text(i) for i in range(data.n_ratings)]
    ['', 'So good!']
    """
    columns = {"user": user, "item": item, "rating": rating, "time": time, "text": text}
    options = {"header": header, "separator": separator, "quote_char": quote_char, "time_unit": time_unit,
               "drop_missing": drop_missing}
    if _is_named(source, REVIEWS, **columns, **options):
        data = REVIEWS[_form(source)](source)
    else:
        data = _reviews(source, Path(source).name if isinstance(source, (str, Path)) else "reviews", columns, options)
    return data.keep_active_users(min_user_ratings).count_repairs()


def _reviews(source, name, columns=RATING_COLUMNS | {"text": None}, options=FORMAT, shape=None):
    frame, report, _ = _read(shapes.REVIEWS, source, columns, options, shape)
    return ReviewData.from_reviews(frame, name, report)


def _review_world(_):
    return ReviewWorld().sample(seed=0)


def _amazon(name, shape):
    [path] = sources.locate(sources.get_source(name))
    return _reviews(path, name, shape=shape)


REVIEWS: dict[str, Callable[[str], ReviewData]] = {
    "review-world": _review_world,
    "amazon-gift-cards": partial(_amazon, shape=shapes.AMAZON_2014),
    f"amazon-2014:{sources.CATEGORY}": partial(_amazon, shape=shapes.AMAZON_2014),
    f"amazon-2023:{sources.CATEGORY}": partial(_amazon, shape=shapes.AMAZON_2023),
}
