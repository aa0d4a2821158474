"""Look up the ids and the times that a caller passes to a model. What may be a typing error is refused."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

LATEST = 1e11  # seconds, in the year 5138; a larger time has another unit


def find_ids(raw, known, what="item"):
    """The indices of raw ids among the known ones.

    Parameters
    ----------
    raw : sequence of raw ids [n]
        A list, an array, a tensor or a Series. Whole numbers of any type are integers.
    known : array or pandas Index [n_known]
        Integers, or strings.
    what : str
        What the ids are of, for an error message.

    Returns
    -------
    int64 array [n]
        -1 for an id that is not known.

    Raises
    ------
    ValueError
        An id is missing, or of another type than the known ones, or it differs from a known one only by its spelling.

    Examples
    --------
    >>> find_ids([8.0, 9], np.array([7, 8])).tolist()
    [1, -1]
    >>> find_ids(["8"], np.array([7, 8]))
    Traceback (most recent call last):
    ValueError: unknown item '8': did you mean 8? The item ids here are integers.
    """
    index = known if isinstance(known, pd.Index) else pd.Index(known)
    given = raw.tolist() if hasattr(raw, "tolist") else list(raw)
    integers = pd.api.types.is_integer_dtype(index)
    values = pd.Index(given, tupleize_cols=False)
    if values.inferred_type != ("integer" if integers else "string"):
        whole = [_as_int(value) if integers else isinstance(value, str) or None for value in given]
        if None in whole:
            _refuse(given[whole.index(None)], index, integers, what)
        values = pd.Index(whole if integers else given, dtype=np.int64 if integers else object)
    found = index.get_indexer(values).astype(np.int64)
    for place in np.flatnonzero(found < 0):
        if other_spelling(given[place], index) is not None:
            _refuse(given[place], index, integers, what)
    return found


def _as_int(value):
    """The int that a number is equal to, or None."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, (float, np.floating)) and float(value).is_integer() else None


def other_spelling(value, index):
    """The known id that an unknown one is another spelling of, or None.

    Parameters
    ----------
    value : id
    index : pandas Index of the known ids

    Examples
    --------
    >>> other_spelling("100.0", pd.Index([99, 100])), other_spelling(7, pd.Index(["7"]))
    (100, '7')
    >>> other_spelling(" mug ", pd.Index(["mug"])), other_spelling(7, pd.Index([8]))
    ('mug', None)
    """
    text = str(value).strip()
    texts = [text, text.removesuffix(".0"), text.removesuffix(".0").lstrip("0")]
    numbers = [int(each) for each in texts if each.removeprefix("-").isdecimal() and len(each) < 19]
    return next((each for each in (numbers if pd.api.types.is_integer_dtype(index) else texts) if each in index), None)


def _refuse(value, index, integers, what):
    """Raise the ValueError about an id of the wrong type or in another spelling."""
    kind, meant = "integers" if integers else "strings", other_spelling(value, index)
    if meant is not None:
        raise ValueError(f"unknown {what} {value!r}: did you mean {meant!r}? The {what} ids here are {kind}.")
    example = f", for example {index[:1].tolist()[0]!r}" if len(index) else ""
    raise ValueError(f"{value!r} cannot be the id of {'a' if what == 'user' else 'an'} {what}: here these are "
                     f"{kind}{example}")


def joined_ids(known, others):
    """The ids of ``known``, followed by those that only ``others`` has: all are arrays of raw ids.

    Raises
    ------
    ValueError
        Those of one are integers, those of the other strings.

    Examples
    --------
    >>> joined_ids(np.array([7, 3]), np.array([3, 5, 9])).tolist()
    [7, 3, 5, 9]
    """
    if len(known) and len(others) and (known.dtype.kind in "iu") != (others.dtype.kind in "iu"):
        one = known.tolist()[0]
        strange = next(each for each in others.tolist() if isinstance(each, str) != isinstance(one, str))
        raise ValueError(f"the ids known so far are like {one!r}, but there is {strange!r} too; all must be integers, "
                         "or all strings")
    return np.concatenate([known, others[pd.Index(known).get_indexer(others) < 0]])


def ids_like(ids, known):
    """Ids of the type of the known ones, where they can be: an array of the same length.

    A table's ids are integers only if all of them are. So the same id can be 7 in one table and "7" in another.

    Examples
    --------
    >>> ids_like(np.array([7, 8]), np.array(["7", "x"], dtype=object)).tolist()
    ['7', '8']
    >>> ids_like(np.array(["7", "x"], dtype=object), np.array([7, 8])).tolist()
    [7, 'x']
    """
    if (ids.dtype.kind in "iu") == (known.dtype.kind in "iu"):
        return ids
    if ids.dtype.kind in "iu":
        return ids.astype(str).astype(object)
    mixed = [int(each) if each.isdecimal() and str(int(each)) == each else each for each in ids.tolist()]
    return np.array(mixed, dtype=object if any(isinstance(each, str) for each in mixed) else np.int64)


def as_seconds(times):
    """Times as seconds since 1970.

    Parameters
    ----------
    times : sequence [n]
        Seconds, or dates with times: datetime objects, NumPy's, pandas' or ISO 8601 strings. Without an offset they
        are UTC.

    Returns
    -------
    float64 array [n]

    Raises
    ------
    ValueError
        A time is missing, is not a time, or is so large that its unit cannot be seconds.

    Examples
    --------
    >>> as_seconds([0, 1.5]).tolist()
    [0.0, 1.5]
    >>> as_seconds(["1970-01-02", "1970-01-01T01:00:00+01:00"]).tolist()
    [86400.0, 0.0]
    >>> as_seconds([1396342800000])
    Traceback (most recent call last):
    ValueError: the time 1396342800000.0 is after the year 5000: times are seconds since 1970, and this looks like
        another unit, such as milliseconds.
    """
    values = times.tolist() if type(times).__module__.startswith("torch") else times
    array = np.asarray(values)
    if array.dtype.kind in "MOSU":
        moments = array.ravel() if array.dtype.kind == "M" else np.asarray(values, dtype=object).ravel()
        wrong = [moment for moment in moments if not isinstance(moment, (str, date, np.datetime64))]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is not a time; give seconds since 1970, datetimes or ISO 8601 strings, all "
                             "in the same way")
        try:
            stamps = pd.to_datetime(moments, utc=True, format="ISO8601")
        except (ValueError, TypeError) as error:
            raise ValueError(f"a time cannot be read: {error}. Give seconds since 1970, datetimes or ISO 8601 "
                             "strings") from None
        seconds = (stamps - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
        array = np.asarray(seconds).reshape(array.shape)
    elif array.dtype.kind not in "iuf":
        raise ValueError(f"times must be numbers or dates, not {array.dtype}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"a time is missing: number {int(np.argmin(np.isfinite(array)))} of the times, counted from "
                         "0, is not a number")
    if (array > LATEST).any():
        raise ValueError(f"the time {array.max()} is after the year 5000: times are seconds since 1970, and this "
                         "looks like another unit, such as milliseconds.")
    return array
