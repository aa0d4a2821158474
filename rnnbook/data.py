"""Load data: `load_sessions`, `load_ratings` and `load_reviews` take the name of a data set, a file or a DataFrame.

The tables SPLITS, LOGS, RATINGS and REVIEWS below give the function that reads each named data set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from rnnbook import sources
from rnnbook.interactions import DAY, DataError, RatingData, ReviewData, SessionData
from rnnbook.interactions.tables import AMAZON_2023, read_events, read_ratings, read_reviews
from rnnbook.worlds import RatingWorld, ReviewWorld, SessionWorld

# --- Sessions ---------------------------------------------------------------------------------------------


def load_sessions(source, *, session=None, item=None, time=None, min_support=5, test_seconds=None):
    """Load a session log and split it into train and test.

    A published split is kept, and so is the split of the world. Other logs are prepared as the GRU4Rec authors prepare
    RSC15. First, sessions of one event are dropped, then items clicked fewer than ``min_support`` times, then sessions
    left with one event. The test set consists of the sessions that end in the last ``test_seconds``. Their events of
    items that train does not have are dropped. Repeated clicks are kept.

    Parameters
    ----------
    source : str, path or DataFrame
        A name (``python -m rnnbook data`` lists them): ``"session-world"``, ``"yoochoose-100k"``,
        ``"rsc15"``, ``"retailrocket"``, ``"diginetica"``; or a table (csv, tsv, parquet, also gzipped); or a
        folder with a ``train`` and a ``test`` table; or a pandas or polars DataFrame.
    session, item, time : str, optional
        Column names of your own table. A missing name is guessed.
    min_support : int
        The smallest number of clicks of an item. Only for logs without a published split.
    test_seconds : float, optional
        The length of the test period, by default a day (86,400). Only for logs without a published split.

    Returns
    -------
    train, test : SessionData
        Over one catalogue, the items of train. Their ``report`` counts what was dropped.

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
    return SessionData.from_events(frame, name, report)


def _check_not_to_split(name, test_seconds):
    if test_seconds is not None:
        raise TypeError(f"{name} has a test part of its own; test_seconds=, for the command --test-seconds, is for a "
                        f"log that has none")


def _split(data, min_support, test_seconds):
    """Apply the GRU4Rec authors' preprocessing of RSC15 to a log, and split it."""
    data = data.drop_short("one-event sessions dropped")
    data = data.keep_events(data.support[data.items] >= min_support,
                            f"events of items clicked fewer than {min_support} times dropped")
    data = data.drop_short("events of sessions left with one event dropped")
    if data.n_events == 0:
        raise DataError(f"{data.name}: nothing is left after dropping one-event sessions and items clicked "
                        f"fewer than {min_support} times. Load more data, or lower min_support.")
    try:
        return data.split_by_time(DAY if test_seconds is None else test_seconds)
    except DataError as error:
        raise DataError(f"{error} That is load_sessions(…, test_seconds=…), or "
                        f"python -m rnnbook train … --test-seconds ….") from None


def _published(name, train, test, **columns):
    """Read a published split. One-event sessions are dropped, and test events of items that train does not have."""
    train, test = (_log(path, name, **columns).drop_short("one-event sessions dropped") for path in (train, test))
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
    return _published("yoochoose-100k", *sources.locate(sources.SOURCES["yoochoose-100k"]))


def _rsc15():
    [path] = sources.locate(sources.SOURCES["rsc15"])
    return _log(path, "rsc15", header=["session", "time", "item", "category"])


def _retailrocket():
    """Views only. A session of a visitor ends after 30 minutes without an event, which need not be a view."""
    [path] = sources.locate(sources.SOURCES["retailrocket"])
    frame, report = read_events(path, session="visitorid", item="itemid", time="timestamp", extra=["event"],
                                per_second=1000)
    frame = frame.sort("session", "time", maintain_order=True)
    new = (pl.col("session") != pl.col("session").shift()) | (pl.col("time").diff() > 30 * 60)
    frame = frame.with_columns(new.fill_null(True).cum_sum().cast(pl.Int64).alias("session"))
    views = frame.filter(pl.col("event") == "view")
    if len(views) < len(frame):
        report["events other than views dropped"] = len(frame) - len(views)
    return SessionData.from_events(views, "retailrocket", report)


def _diginetica():
    """The time of a view is its day plus the milliseconds since the session began."""
    [path] = sources.locate(sources.SOURCES["diginetica"])
    frame, report = read_events(path, time="eventdate", extra=["timeframe"])
    since = frame["timeframe"].cast(pl.Float64, strict=False)
    if since.null_count():
        report["missing timeframes read as 0"] = since.null_count()
    time = frame["time"].to_numpy() + since.fill_null(0).to_numpy() / 1000
    return SessionData.from_events(frame.with_columns(pl.Series("time", time)), "diginetica", report)


SPLITS = {"session-world": _session_world, "yoochoose-100k": _yoochoose_100k}  # -> train, test
LOGS = {"rsc15": _rsc15, "retailrocket": _retailrocket, "diginetica": _diginetica}  # -> a log to split


# --- Ratings ----------------------------------------------------------------------------------------------

COLUMNS = ["user", "item", "rating", "time"]  # the order in every published file without a header


def load_ratings(source, *, user=None, item=None, rating=None, time=None, min_user_ratings=1):
    """Load ratings, in the order of time.

    Parameters
    ----------
    source : str, path or DataFrame
        A name (``python -m rnnbook data`` lists them): ``"rating-world"``, ``"movielens-100k"``,
        ``"movietweetings-100k"``, ``"movielens-1m"``, ``"movielens-32m"``, ``"netflix"``; or a table (csv,
        tsv, parquet, also gzipped); or a pandas or polars DataFrame.
    user, item, rating, time : str, optional
        Column names of your own table. A missing name is guessed.
    min_user_ratings : int
        Users with fewer ratings are dropped, and so are the items that only they rated.

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
    if isinstance(source, str) and source in RATINGS:
        if any(columns.values()):
            raise TypeError(f"{source} has its own column names; user=, item=, rating=, time= are for your own")
        data = RATINGS[source]()
    else:
        path = Path(source) if isinstance(source, (str, Path)) else None
        if path and not path.is_file():
            raise FileNotFoundError(f"{str(source)!r} is neither a file here nor one of the data sets: "
                                    f"{', '.join(RATINGS)}")
        data = _ratings(source, path.name if path else "ratings", **columns)
    return data.keep_active_users(min_user_ratings).count_repeats()


def _ratings(source, name, **options):
    frame, report = read_ratings(source, **options)
    return RatingData.from_ratings(frame, name, report)


def _rating_world():
    return RatingWorld().sample(seed=0)


def _movielens_100k():
    """Read either format. The rows are sorted, so that ratings at the same time have the same order in both."""
    [path] = sources.locate(sources.SOURCES["movielens-100k"])
    frame, report = read_ratings(path, header=COLUMNS if path.name.startswith("u.data") else None)
    return RatingData.from_ratings(frame.sort("user", "item"), "movielens-100k", report)


def _one_file(name, header=None):
    [path] = sources.locate(sources.SOURCES[name])
    return _ratings(path, name, header=header)


def _netflix():
    frames, reports = zip(*map(read_ratings, sources.locate(sources.SOURCES["netflix"])), strict=True)
    report = {"rows read": sum(each["rows read"] for each in reports),
              "lines that name a movie or are blank": sum(each["blank lines skipped"] for each in reports)}
    return RatingData.from_ratings(pl.concat(frames), "netflix", report)


RATINGS: dict[str, Callable[[], RatingData]] = {
    "rating-world": _rating_world,
    "movielens-100k": _movielens_100k,
    "movietweetings-100k": partial(_one_file, "movietweetings-100k", COLUMNS),
    "movielens-1m": partial(_one_file, "movielens-1m", COLUMNS),
    "movielens-32m": partial(_one_file, "movielens-32m"),
    "netflix": _netflix,
}


# --- Reviews ----------------------------------------------------------------------------------------------


def load_reviews(source, *, user=None, item=None, rating=None, time=None, text=None, min_user_ratings=1):
    """Load ratings with their reviews, in the order of time.

    The text is not changed: it is not cut, stripped, lower-cased or unescaped.

    Parameters
    ----------
    source : str, path or DataFrame
        A name (``python -m rnnbook data`` lists them): ``"review-world"``, ``"amazon-gift-cards"``, one like
        ``"amazon-2014:Digital_Music"`` or ``"amazon-2023:Digital_Music"``; or a table (JSON lines as .json or
        .jsonl; csv, tsv, parquet; also gzipped); or a pandas or polars DataFrame.
    user, item, rating, time, text : str, optional
        Column names of your own table. A missing name is guessed. Times are seconds since 1970, dates or ISO 8601
        strings. In a table with the columns of Amazon's reviews of 2023 (``user_id``, ``parent_asin``, ``rating``,
        ``text``, ``timestamp``) they are in milliseconds, as published.
    min_user_ratings : int
        Users with fewer ratings are dropped, and so are the items that only they rated.

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
    known = _form(source) if isinstance(source, str) else None
    if known in REVIEWS:
        if any(columns.values()):
            raise TypeError(f"{source} has its own column names; user=, item=, rating=, time=, text= are for your "
                            "own")
        data = REVIEWS[known](source)
    else:
        path = Path(source) if isinstance(source, (str, Path)) else None
        if path and not path.is_file():
            raise FileNotFoundError(f"{str(source)!r} is neither a file here nor one of the data sets: "
                                    f"{', '.join(REVIEWS)}")
        data = _reviews(source, path.name if path else "reviews", **columns)
    return data.keep_active_users(min_user_ratings).count_repairs()


def _reviews(source, name, **columns):
    frame, report = read_reviews(source, **columns)
    return ReviewData.from_reviews(frame, name, report)


def _form(name):
    """The name as in the list of data sets: a category is replaced by ``<Category>``."""
    form, colon, _ = name.partition(":")
    return f"{form}:{sources.CATEGORY}" if colon else name


def _review_world(_):
    return ReviewWorld().sample(seed=0)


def _amazon(name, **columns):
    [path] = sources.locate(sources.get_source(name))
    return _reviews(path, name, **columns)


REVIEWS: dict[str, Callable[[str], ReviewData]] = {
    "review-world": _review_world,
    "amazon-gift-cards": _amazon,
    f"amazon-2014:{sources.CATEGORY}": _amazon,
    f"amazon-2023:{sources.CATEGORY}": partial(_amazon, **AMAZON_2023),
}
