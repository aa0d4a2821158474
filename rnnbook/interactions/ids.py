"""Raw ids as they are written: which are missing, which are integers, which have spaces around them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

# As databases, spreadsheets and pandas write what is missing, in any case, with or without spaces around it. With a
# backslash each, so that the same text is a regular expression.
_MISSING = (r"null|none|nan|-nan|nat|na|n/a|<na>|#n/a|#n/a n/a|#na|\\n|<null>|\(null\)|nil|undefined|"
            r"1\.#ind|-1\.#ind|1\.#qnan|-1\.#qnan")
MISSING = rf"(?i)^\s*(?:{_MISSING})?\s*$"
INTEGER = r"^(-?[1-9]\d*|0)(?:\.0+)?$"  # 7 and 7.0, but not 07
EXACT = 2**53  # from here on, floats skip integers


class Ids(NamedTuple):
    """A column of ids: int64 or text, null where one is missing, and what was repaired by report entry."""

    column: pl.Series
    repairs: dict[str, int]


def is_missing(column):
    """For each value of a text column, whether it stands for nothing; null is missing too."""
    return column.is_null() | column.str.contains(MISSING).fill_null(False)


def clean_ids(column):
    """Ids from a column of any type.

    Ids are integers if all are written as integers (``7`` or ``7.0``, not ``07``); otherwise they are text, without
    spaces around them. What stands for nothing in databases and in pandas (``NULL``, ``nan``, blanks, …) is null.

    Parameters
    ----------
    column : polars Series

    Returns
    -------
    Ids

    Examples
    --------
    >>> import polars as pl
    >>> ids, repairs = clean_ids(pl.Series([" 7", "8.0", "NULL"]))
    >>> ids.to_list(), repairs
    ([7, 8, None], {'ids with spaces around them trimmed': 1, 'ids such as 8.0 read as integers': 1})
    >>> clean_ids(pl.Series(["7", "07"])).column.to_list()
    ['7', '07']
    """
    if column.dtype.is_float():
        column = column.fill_nan(None)
        if column.drop_nulls().is_finite().all() and (column.drop_nulls() % 1 == 0).all():
            return Ids(column.cast(pl.Int64, strict=False), {})
    if column.dtype.is_integer():
        whole = column.cast(pl.Int64, strict=False)
        return Ids(whole if whole.null_count() == column.null_count() else column.cast(pl.String), {})
    text = column.cast(pl.String)
    missing = is_missing(text)
    if missing.any():
        text = text.set(missing, None)
    repairs = {}
    spaced = text.str.contains(r"^\s|\s$")
    if spaced.any():
        text = text.str.strip_chars()
        repairs["ids with spaces around them trimmed"] = int(spaced.sum())
    if not text.head(1000).str.contains(INTEGER).all():  # null is neither
        return Ids(text, repairs)
    whole = text.str.extract(INTEGER).cast(pl.Int64, strict=False)
    if whole.null_count() > text.null_count():
        return Ids(text, repairs)
    floats = text.str.contains(".", literal=True)
    if floats.any():
        repairs[f"ids such as {text.filter(floats.fill_null(False))[0]} read as integers"] = int(floats.sum())
    return Ids(whole, repairs)


def fast_int(role, dtype):
    """An expression for a column of text of which most are integers: null where one is not, and `clean_ids` decides."""
    number = pl.col(role).cast(pl.Int64, strict=False)
    # "07" and "7" are different ids, so an id is an integer only if it is written as Python prints it
    return pl.when(number.cast(dtype) == pl.col(role)).then(number).alias(role)


def all_plain_ints(column):
    """Whether all values of a text column are integers as Python prints them."""
    return column.dtype == pl.String and bool(
        (column.cast(pl.Int64, strict=False).cast(pl.String) == column).fill_null(False).all())


def python_value(value):
    """A NumPy scalar as the Python value that it is; anything else as it is.

    Examples
    --------
    >>> python_value(np.int64(140))
    140
    """
    return value.item() if isinstance(value, np.generic) else value
