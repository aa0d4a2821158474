"""Read clicks, ratings or reviews from a table; an error names the place of a fault.

:func:`read_events`, :func:`read_ratings` and :func:`read_reviews` turn a file or a DataFrame into typed, checked
columns. A file is csv, tsv or text with another separator, JSON lines, or parquet; each may be gzipped. Polars streams
the file, so 33 million rows fit in a few gigabytes. A value that cannot be read raises a :class:`DataError`, which
names file, column and line. Only blank lines are dropped, and rows with a missing value if asked to; both are counted.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl

from rnnbook.interactions.columns import ID_ROLES, find_columns
from rnnbook.interactions.errors import DataError
from rnnbook.interactions.ids import EXACT, all_plain_ints, clean_ids, fast_int, is_missing, python_value
from rnnbook.interactions.json_lines import json_names, scan_json, whole_characters
from rnnbook.interactions.text import PEEK, Scan, begin, scan_table
from rnnbook.interactions.times import EARLIEST, REMEDY, UNITS, find_form, guess_unit, misfits

__all__ = ["DataError", "amount", "digest", "look", "read_events", "read_ratings", "read_reviews"]
SHOWN = 3  # at most so many faulty rows are named in an error


def read_events(source, *, session=None, user=None, item=None, time=None, extra=None, **options
                ) -> tuple[pl.DataFrame, dict[str, int]]:
    """Read, type and check the session, item and time columns of a table.

    Ids are integers if all of them are written as integers (``7`` or ``7.0``, not ``07``); otherwise they are strings.
    Times are numbers, dates or ISO 8601 strings. All must have the form of the first. Without an offset they are UTC.

    Parameters
    ----------
    source : path, or pandas or polars DataFrame
        A text table, JSON lines or parquet; each may be gzipped.
    session, item, time : str, optional
        Column names. A missing name is guessed (``SessionId``, ``session_id``, ``item``, ``timestamp``, …).
    user : str, optional
        The column of users, for a log without sessions; it is read in place of ``session``.
    extra : dict of str to str, optional
        Further columns to read, by the names that they get; they are not changed.
    **options
        ``header``, ``separator``, ``quote_char``, ``time_unit`` and ``drop_missing``, as for
        :func:`rnnbook.data.load_sessions`. ``drop_missing`` may also name the columns, by their roles here, whose
        missing values are dropped.

    Returns
    -------
    frame : polars DataFrame
        Columns ``session`` or ``user``, ``item`` (int64 or str), ``time`` (float64, seconds since 1970) and the extra
        ones; one row per event, in the order of the table.
    report : dict of str to int
        ``"rows read"`` and what was repaired, assumed or dropped.

    Raises
    ------
    DataError
        A column or a value is missing; a time cannot be parsed, is negative or in another unit than the others; the
        encoding is damaged; rows have different numbers of fields; the file is empty, truncated or not a table.
    FileNotFoundError
        There is no such file.
    TypeError
        ``source`` is neither a path nor a DataFrame, or an option does not apply to it.
    """
    who = {"session": session} if user is None else {"user": user}
    return _read(source, who | {"item": item, "time": time} | (extra or {}), **options)


def read_ratings(source, *, user=None, item=None, rating=None, time=None, **options
                 ) -> tuple[pl.DataFrame, dict[str, int]]:
    """Read, type and check the user, item, rating and time columns of a table.

    Ids, times, file formats and options are as in :func:`read_events`. Two more formats are read: a separator of
    several characters such as ``::``, and that of the Netflix Prize, in which lines ``user,rating,time`` follow a line
    ``item:``. A line ``item:`` counts as blank.

    Parameters
    ----------
    source : path, or pandas or polars DataFrame
    user, item, rating, time : str, optional
        Column names. A missing name is guessed (``userId``, ``movie_id``, ``stars``, ``timestamp``, …).
    **options
        As in :func:`read_events`.

    Returns
    -------
    frame : polars DataFrame
        Columns ``user``, ``item`` (int64 or str), ``rating`` (float64, finite) and ``time`` (float64, seconds
        since 1970); one row per rating, in the order of the table.
    report : dict of str to int
        As in :func:`read_events`.

    Raises
    ------
    DataError
        As in :func:`read_events`, or a rating is not a finite number.
    """
    return _read(source, {"user": user, "item": item, "rating": rating, "time": time}, **options)


def read_reviews(source, *, user=None, item=None, rating=None, time=None, text=None, **options
                 ) -> tuple[pl.DataFrame, dict[str, int]]:
    """Read, type and check the user, item, rating, time and text columns of a table, as :func:`read_ratings` does.

    Parameters
    ----------
    source : path, or pandas or polars DataFrame
    user, item, rating, time, text : str, optional
        Column names. A missing name is guessed (``reviewerID``, ``parent_asin``, ``overall``, ``reviewText``, …).
    **options
        As in :func:`read_events`.

    Returns
    -------
    frame : polars DataFrame
        Columns ``user``, ``item``, ``rating`` and ``time`` as in :func:`read_ratings`, and ``text`` (str); one row per
        review, in the order of the table. The text is unchanged, but half a surrogate pair, and bytes that are not
        UTF-8, become U+FFFD. A missing text becomes "".
    report : dict of str to int
        As in :func:`read_events`.

    Raises
    ------
    DataError
        As in :func:`read_ratings`, or a text is not a string.
    """
    return _read(source, {"user": user, "item": item, "rating": rating, "time": time, "text": text}, **options)


class Look(NamedTuple):
    """What can be told of a table before it is read: its column names, and the first line of a text file."""

    names: list[str]
    line: str = ""


def look(source, header=None, separator=None, quote_char='"'):
    """The names of a table's columns and its first line. What cannot be read has none: reading it says why.

    Parameters
    ----------
    source : path, or pandas or polars DataFrame
    header, separator, quote_char
        As in :func:`read_events`.

    Returns
    -------
    Look
    """
    if isinstance(source, (pd.DataFrame, pl.DataFrame)):
        return Look([str(name) for name in source.columns])
    if not isinstance(source, (str, Path)):
        return Look([])
    path = Path(source)
    try:
        with (gzip.open if _start(path)[:2] == b"\x1f\x8b" else open)(path, "rb") as file:
            start = file.read(PEEK)
        if start[:4] == b"PAR1":
            return Look(pl.scan_parquet(path, glob=False).collect_schema().names())
        found = begin(start, path.name, header, separator, quote_char)
    except (EOFError, OSError, ValueError, IndexError, zlib.error, pl.exceptions.PolarsError):
        return Look([])
    names = json_names(start, path.name) if found.kind == "json" else found.names
    return Look(names, found.line if header is None else "")


def digest(columns, ids):
    """Compute the SHA-256 of a data set. Equal data have equal digests.

    Parameters
    ----------
    columns : sequence of (array, str)
        Arrays, each with the dtype to which it is converted before hashing.
    ids : sequence of arrays
        Raw ids, which are converted to text.

    Returns
    -------
    str
        Hexadecimal.

    Examples
    --------
    The digest does not depend on the type of the ids or the dtype of the columns.

    >>> column, ids = np.array([1, 0]), np.array([7, 8])
    >>> as_text = digest([(column.astype(np.int32), "<i8")], [ids.astype(str)])
    >>> as_text == digest([(column, "<i8")], [ids])
    True
    """
    found = hashlib.sha256()
    for array, dtype in columns:
        found.update(np.ascontiguousarray(array, dtype=dtype).data)
    for each in ids:
        for start in range(0, len(each), 100_000):  # in pieces, because the text of all ids would need much memory
            found.update((b"\n" if start else b"") + "\n".join(map(str, each[start:start + 100_000].tolist())).encode())
        found.update(b"\0")
    return found.hexdigest()


def amount(n, what):
    """A number and what is counted: str.

    Examples
    --------
    >>> amount(1, "session"), amount(1200, "item")
    ('1 session', '1,200 items')
    """
    return f"{n:,} {what}" + "s" * (n != 1)


# ---- opening -------------------------------------------------------------------------------------------------


def _read(source, wanted, *, header=None, separator=None, quote_char='"', time_unit=None, drop_missing=False):
    if time_unit is not None and time_unit not in UNITS:
        raise ValueError(f"time_unit is one of {', '.join(map(repr, UNITS))}, not {time_unit!r}")
    if quote_char is not None and (not isinstance(quote_char, str) or len(quote_char.encode()) != 1):
        raise ValueError(f"quote_char is one character, or None, not {quote_char!r}")
    with contextlib.ExitStack() as stack:
        if isinstance(source, (str, Path)):
            table = _open(Path(source), header, separator, quote_char, wanted, stack)
        else:
            _check_for_text("a DataFrame", header, separator)
            table = _frame(source, wanted)
        drop = set(table.roles) - {"text"} if drop_missing is True else set(drop_missing or ())
        frame, report = _typed(table, time_unit, drop)
    return frame, {"rows read": len(frame) + sum(n for what, n in report.items() if what.endswith("dropped"))} | report


class _Table(NamedTuple):
    """The wanted columns of a table, not read yet, and their places for an error message."""

    name: str
    roles: dict[str, str]  # "item" -> the column's name in the table
    scan: Scan

    def collect(self, *columns, rows=None):
        """Some columns as a DataFrame, by expressions of the roles; of all rows or of some."""
        lazy = self.scan.lazy
        if rows is not None:
            lazy = lazy.with_row_index("row").filter(pl.col("row").is_in(rows))
        try:
            return lazy.select(*columns).collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = self.scan.misfit() or str(error).strip().splitlines()[0]
            raise DataError(f"{self.name} cannot be read: {reason}") from error

    def head(self):
        """The first rows that are not blank."""
        lazy = self.scan.lazy.filter(~pl.col("blank")).head(1000)
        return self._replace(scan=self.scan._replace(lazy=lazy)).collect(*self.roles)

    def said(self, role, bad, fault, remedy):
        """Sentences about the rows where the boolean series ``bad`` is true."""
        rows = bad.arg_true().head(SHOWN).to_list()
        shown = [f"{place} ({'nothing' if value is None else repr(value)})" for place, value in
                 zip(self.scan.places(rows), self.collect(role, rows=rows)[role], strict=True)]
        more = f" and {int(bad.sum()) - len(rows):,} more" if bad.sum() > len(rows) else ""
        where = f"{self.name}, column {self.roles[role]!r}"
        return f"{where}: {fault} at {', '.join(shown)}{more}. {remedy}"

    def refuse(self, role, bad, fault, remedy):
        """Raise a DataError of what is `said`."""
        raise DataError(self.said(role, bad, fault, remedy))


def _check_for_text(what, header, separator):
    if header is not None or separator is not None:
        raise TypeError(f"{what} has columns of its own; header= and separator= are for text files")


def _open(path, header, separator, quote_char, wanted, stack):
    """A table from a file: text, JSON lines or parquet, each also gzipped."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    name, start = path.name, _start(path)
    if start[:2] == b"\x1f\x8b":
        path = _gunzip(path, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        start = _start(path)
    if not start.strip():
        raise DataError(f"{name} is empty. Look where it came from and get it again.")
    if start[:4] == b"PAR1" or Path(name.removesuffix(".gz")).suffix == ".parquet":
        _check_for_text(name, header, separator)
        return _parquet(path, name, wanted)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{name} is UTF-16. Save it as UTF-8: iconv -f utf-16 -t utf-8 OLD > NEW.")
    if start.startswith((b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c")):
        raise DataError(f"{name} is not a text table, but an archive or a spreadsheet. Unpack it and load the file "
                        "inside, or save the spreadsheet as CSV.")
    if b"\0" in start:
        raise DataError(f"{name} has a NUL byte at line {start[:start.index(0)].count(10) + 1}, so it is not a text "
                        r"table. If it is one but for that, remove it: tr -d '\000' < OLD > NEW. Otherwise save it as "
                        "CSV.")
    found = begin(start, name, header, separator, quote_char)
    if found.kind in ("json", "idomaar"):
        _check_for_text(name, header, separator)
        roles, scan = scan_json(path, name, found.kind, lambda names: find_columns(name, names, wanted))
    else:
        roles = find_columns(name, found.names, wanted, found.rows if header is None else ())
        scan = scan_table(path, name, found, roles)
    return _Table(name, roles, scan)


def _parquet(path, name, wanted):
    try:
        lazy = pl.scan_parquet(path, glob=False)
        names = lazy.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{name} is not a complete parquet file. If its download was interrupted, get it again; if "
                        f"it is another kind of table, rename it (.csv, .tsv, .jsonl).") from error
    roles = find_columns(name, names, wanted)
    lazy = lazy.select(pl.all_horizontal(pl.all().is_null()).alias("blank"), pl.lit(False).alias("short"),
                       *(pl.col(column).alias(role) for role, column in roles.items()))
    return _Table(name, roles, Scan(lazy, lambda rows: [f"row {row + 1}" for row in rows]))


def _start(path):
    with open(path, "rb") as file:
        return file.read(PEEK)


def _gunzip(path, folder):
    unpacked = folder / path.stem
    try:
        with gzip.open(path) as packed, open(unpacked, "wb") as out:
            while chunk := packed.read1(1 << 20):
                out.write(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        with open(unpacked, "rb") as file:
            lines = sum(1 for _ in file)
        raise DataError(f"{path.name} is truncated or damaged after line {lines:,}: get it again.") from error
    return unpacked


def _frame(df, wanted):
    """A table from a pandas or polars DataFrame; errors name rows by their index label."""
    if not isinstance(df, (pd.DataFrame, pl.DataFrame)):
        raise TypeError(f"a path or a DataFrame is needed, not {type(df).__name__}")
    if len(df) == 0:
        raise DataError("the DataFrame is empty: it has no rows.")
    names = [str(name) for name in df.columns]
    roles = find_columns("the DataFrame", names, wanted)
    labels = df.index if isinstance(df, pd.DataFrame) else range(len(df))
    if isinstance(df, pd.DataFrame):
        lazy = pl.LazyFrame([_series(role, df.iloc[:, names.index(name)]) for role, name in roles.items()])
    else:
        lazy = df.lazy().select(pl.col(name).alias(role) for role, name in roles.items())
    return _Table("the DataFrame", roles, Scan(lazy.with_columns(blank=pl.lit(False), short=pl.lit(False)),
                                               lambda rows: [f"row {python_value(labels[row])!r}" for row in rows]))


def _series(role, column):
    """A polars column from a pandas one; raises DataError if it has values of several types."""
    if column.dtype == object:
        filled = column.dropna()
        kinds = [type(value) for value in filled]
        if len(set(kinds)) > 1:
            other = next(n for n, kind in enumerate(kinds) if kind != kinds[0])
            row = python_value(filled.index[other])
            raise DataError(f"the DataFrame, column {column.name!r}: {kinds[0].__name__} in the first row, "
                            f"{kinds[other].__name__} in row {row!r}. Give them one type: "
                            f"df[{column.name!r}].astype(str).")
        if role in ID_ROLES and kinds and not issubclass(kinds[0], (str, int, float, np.generic)):
            column = column.map(str, na_action="ignore")  # a UUID, which polars would take for its bytes
    if role == "text":
        column = column.map(whole_characters, na_action="ignore")
    return pl.from_pandas(column.reset_index(drop=True)).alias(role)  # type: ignore[attr-defined]  # it is a Series


# ---- types and checks ------------------------------------------------------------------------------------------


def _typed(table, time_unit, drop):
    """Read the columns with their types, and raise DataError for values of another type.

    Parameters
    ----------
    table : _Table
    time_unit : str, optional
    drop : set of str
        The roles in which a missing value drops its row.
    """
    head = table.head()
    if head.is_empty():
        raise DataError(f"{table.name} is empty: it has no rows. Look where it came from and get it again.")
    fast = [role for role in ID_ROLES if role in table.roles and all_plain_ints(head[role])]
    form = _find_form(table, head, time_unit)
    _check_text(table, head)
    frame = table.collect("blank", "short", *(_expression(role, head, fast, form) for role in table.roles))
    if frame["short"].any() and (reason := table.scan.misfit()):
        raise DataError(f"{table.name} cannot be read: {reason}")
    report, keep = dict(table.scan.report), ~frame["blank"]
    if frame["blank"].any():
        report["blank lines skipped"] = int(frame["blank"].sum())
    frame, absent = frame.drop("short", "blank"), {}
    for role in table.roles:
        column, missing = _checked(table, role, frame[role], keep, role in fast, report)
        if missing is not None and missing.any():
            if role not in drop:
                absent[role] = missing
                continue
            report[f"rows without {'an' if role == 'item' else 'a'} {role} dropped"] = int(missing.sum())
            keep &= ~missing
        frame = frame.with_columns(column.alias(role))
    if absent:
        _refuse_missing(table, absent)
    if not keep.any():
        raise DataError(f"{table.name}: no row is left of {len(keep):,}, as each lacks a value.")
    frame = frame.with_columns(_seconds(table, frame["time"], keep, form, time_unit, report).alias("time"))
    return frame if keep.all() else frame.filter(keep), report


def _find_form(table, head, time_unit):
    form = find_form(head["time"], time_unit)
    if form.read is None:
        values = table.collect("blank", "time")
        bad = ~values["blank"] & ~is_missing(values["time"].cast(pl.String, strict=False))
        table.refuse("time", bad if bad.any() else ~values["blank"], "not a time", REMEDY)
    if time_unit and form.dates:
        raise DataError(f"{table.name}, column {table.roles['time']!r} has dates, such as "
                        f"{head['time'].drop_nulls()[0]}; time_unit={time_unit!r} is for numbers. Leave it out, on "
                        "the command line --time-unit.")
    return form


def _check_text(table, head):
    if "text" in table.roles and head.schema["text"] not in (pl.String, pl.Categorical, pl.Enum):
        first = table.collect("text")["text"]
        if first.count():
            table.refuse("text", first.is_not_null(), "not a text", "Name the column of the reviews: text=…, on the "
                         "command line --text NAME.")


def _expression(role, head, fast, form):
    """What is read of a column: its values as they are, or numbers, null where a value is none."""
    if role == "time":
        return form.read.alias(role)
    if role == "rating":
        numbers = head.schema[role].is_numeric() or head.schema[role] == pl.String
        return (pl.col(role) if numbers else pl.lit(None)).cast(pl.Float64, strict=False).alias(role)
    if role == "text":
        return pl.col(role).cast(pl.String).fill_null("")
    return fast_int(role, head.schema[role]) if role in fast else pl.col(role)


def _checked(table, role, column, keep, fast, report):
    """A column with its final type, and which of its values are missing; raises DataError for one that is wrong."""
    if role in ("rating", "time"):
        return column, _check_numbers(table, role, column, keep)
    if role not in ID_ROLES or (fast and not (column.is_null() & keep).any()):
        return column, None
    raw = table.collect(role)[role] if fast else column
    limit = 2**24 if raw.dtype == pl.Float32 else EXACT
    if raw.dtype.is_float() and (large := (raw.abs() >= limit).fill_null(False) & raw.is_finite()).any():
        table.refuse(role, large, "a float too large to be an exact id", "Read or make the ids as integers or text, "
                     "never as floats: different ids have become one.")
    ids, repairs = clean_ids(raw)
    for what, count in repairs.items():
        report[what] = report.get(what, 0) + count
    if ids.dtype == pl.String:
        _check_characters(table, role, ids)
    return ids, ids.is_null() & keep


def _check_characters(table, role, ids):
    if (broken := ids.str.contains("\n").fill_null(False)).any():
        table.refuse(role, broken, "a line break in an id", "Look for a stray double quote before it.")
    if (damaged := ids.str.contains("\ufffd").fill_null(False)).any():
        table.refuse(role, damaged, "bytes that are not UTF-8", "Save the file as UTF-8, for example with "
                     "iconv -f latin1 -t utf-8 OLD > NEW; different ids could otherwise become one.")


_NO_NUMBER = {"rating": ("no rating, or not a number", "Write every rating as a number (4.5, not 4,5), or delete those "
                                                       "rows."),
              "time": ("no time, or not one written like the first", REMEDY)}
_DROP = "Let load_sessions, load_log, load_ratings or load_reviews drop and count them: drop_missing=True, on the " \
        "command line --drop-missing."


def _check_numbers(table, role, column, keep):
    """Which ratings or times are missing; raises DataError if one is no number."""
    unread = ~column.cast(pl.Float64).is_finite().fill_null(False) & keep
    if not unread.any():
        return None
    missing = is_missing(table.collect(pl.col(role).cast(pl.String, strict=False))[role]) & unread
    if (wrong := unread & ~missing).any():
        table.refuse(role, wrong, *_NO_NUMBER[role])
    return missing


def _refuse_missing(table, absent):
    """Raise a DataError about all columns in which a value is missing, by role."""
    said = []
    for role, missing in absent.items():
        fault, remedy = _NO_NUMBER.get(role, (f"the {role} id is missing", "Fill it in or delete those rows."))
        said.append(table.said(role, missing, fault, remedy))
    raise DataError(" ".join([*said, _DROP]))


def _seconds(table, times, keep, form, time_unit, report):
    """Times in seconds since 1970; the unit of numbers is found by their size if nobody has named it."""
    numbers = times.to_numpy()
    guessed = not form.dates and time_unit is None
    unit = time_unit or ("us" if form.dates else guess_unit(numbers[keep.to_numpy()]))
    name, per_second = UNITS[unit]
    if form.said:
        report[form.said] = int(keep.sum())
    if guessed and unit != "s":
        report[f"times read as {name}"] = int(keep.sum())
    # NumPy divides exactly; polars would multiply by the rounded reciprocal
    seconds = pl.Series("time", numbers / per_second)
    for bad, fault, remedy in misfits(seconds, unit, guessed, form.dates):
        if (bad := bad & keep).any():
            table.refuse("time", bad, fault, remedy)
    if time_unit and (early := (seconds < EARLIEST) & keep).any():
        report[f"times before 1973, if they are in {name}: is that their unit?"] = int(early.sum())
    return seconds
