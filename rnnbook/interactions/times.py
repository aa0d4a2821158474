"""Times as they are written, numbers in one of four units or dates in one of many forms: all become seconds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from rnnbook.interactions.ids import is_missing

UNITS = {"s": ("seconds", 1), "ms": ("milliseconds", 10**3), "us": ("microseconds", 10**6),
         "ns": ("nanoseconds", 10**9)}
LATEST = 1e11  # seconds, in the year 5138: a larger number must be in a smaller unit
EARLIEST = LATEST / 1000  # in 1973: a smaller number must be in a larger unit
FORMS = tuple(f"{day}{between}{clock}{zone}" for day in ("%Y-%m-%d", "%Y/%m/%d") for between in ("T", " ")
              for clock in ("%H:%M:%S%.f", "%H:%M") for zone in ("Z", " UTC", " GMT", "%#z", " %#z", "")
              ) + ("%Y-%m-%d", "%Y/%m/%d")
COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # by their number of digits
REMEDY = ("Write every time as seconds since 1970 or as ISO 8601 (2014-04-07T10:51:09.277Z), all in "
          "the same way, with a zone in all or in none, or delete those rows.")


class Form(NamedTuple):
    """How the times of a column are written, as their first values tell.

    Attributes
    ----------
    read : polars expression, optional
        The time as a number; null where a value is written in another way. None if the first value is no time.
    dates : bool
        Whether the times are dates; then that number is in microseconds since 1970.
    said : str, optional
        What the report has to say of them.
    """

    read: pl.Expr | None
    dates: bool = True
    said: str | None = None


def find_form(head, time_unit=None):
    """The form in which a column of times is written.

    Parameters
    ----------
    head : polars Series
        Its first values.
    time_unit : str, optional
        The unit of numbers, if it is known: then 20140401 is not a date.

    Returns
    -------
    Form

    Examples
    --------
    >>> import polars as pl
    >>> find_form(pl.Series(["20140401", "20140402"])).said
    'times such as 20140401 read as dates'
    """
    column, values = pl.col("time"), head.drop_nulls()
    if head.dtype == pl.String:
        values = values.filter(~is_missing(values))
        if values.str.contains(r"^\s|\s$").any():
            column, values = column.str.strip_chars(), values.str.strip_chars()
    if head.dtype in (pl.Date, pl.Datetime):
        return Form(column.cast(pl.Datetime("us")).dt.epoch("us"))
    if values.is_empty() or head.dtype.is_numeric() or (
            head.dtype == pl.String and values.head(1).cast(pl.Float64, strict=False).null_count() == 0):
        if time_unit or (form := _compact(values)) is None:
            return Form(column.cast(pl.Float64, strict=False), dates=False)
        digits = column if head.dtype == pl.String else column.cast(pl.Int64, strict=False).cast(pl.String)
        same = pl.when(digits.str.len_bytes() == len(_digits(values)[0])).then(digits)
        return Form(_epoch(same, form), said=f"times such as {_digits(values)[0]} read as dates")
    if head.dtype == pl.String:
        for form in FORMS:
            if _epoch(values.head(1), form).null_count() == 0:
                return Form(_epoch(column, form))
    return Form(None)


def _epoch(column, form):
    return column.str.to_datetime(form, strict=False, time_unit="us").dt.epoch("us")


def _digits(values):
    return values.cast(pl.Int64, strict=False).cast(pl.String)


def _compact(values):
    """The form of numbers that are dates, such as 20140401, or None if they are not."""
    text = _digits(values)
    form = COMPACT.get(len(text[0] or "")) if len(text) else None
    if form is None or not text.str.contains(rf"^(?:19|20)\d{{{len(text[0]) - 2}}}$").fill_null(False).all():
        return None
    return form if _epoch(text, form).null_count() == 0 else None


def guess_unit(numbers):
    """The unit of times by their size: seconds below 1e11, then milliseconds, microseconds, nanoseconds.

    The median decides for all.

    Examples
    --------
    >>> guess_unit(np.array([1396342800000.0, 1396342800.0, 1396342801000.0]))
    'ms'
    """
    finite = numbers[np.isfinite(numbers)]
    if not len(finite) or finite.max() < LATEST:  # the usual case needs no median
        return "s"
    middle = np.partition(finite, (len(finite) - 1) // 2)[(len(finite) - 1) // 2]
    return next((unit for unit, (_, per) in UNITS.items() if middle < LATEST * per), "ns")


def misfits(seconds, unit, guessed, dates):
    """Times that cannot be right: a mask, the fault and its remedy for each kind.

    Parameters
    ----------
    seconds : polars Series of float64
    unit : str
        The unit of the numbers in the table.
    guessed : bool
        Whether their size told the unit. Then all must be of that size.
    dates : bool
        Whether they were no numbers, but dates.
    """
    yield seconds < 0, "a time before 1970", "Times are seconds since 1970; correct those rows."
    name, per_second = UNITS[unit]
    late, early = seconds >= LATEST, seconds < EARLIEST
    within = f", in {name}" if guessed and unit != "s" else ""
    if late.any():
        other, per = _unit_of(seconds.filter(late)[0] * per_second)
        remedy = f"These look like {other}: divide them by {per // per_second}."
        if not guessed:
            remedy = ("Correct those rows." if dates else f"These are not {name}: give another time_unit=, on the "
                      "command line --time-unit, or none.")
        yield late, f"a time after the year 5000{within}", remedy
    if within and early.any():
        other, per = _unit_of(seconds.filter(early)[0] * per_second)
        yield early, f"a time before 1973{within}", f"These look like {other}: multiply them by {per_second // per}."


def _unit_of(number):
    return next(((name, per) for name, per in UNITS.values() if number < LATEST * per), UNITS["ns"])
