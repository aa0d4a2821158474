"""Read clicks, ratings or reviews from a table; an error names the place of a fault.

:func:`read_events`, :func:`read_ratings` and :func:`read_reviews` turn a file or a DataFrame into typed, checked
columns. A file is csv, tsv or text with another separator, JSON lines, or parquet; each may be gzipped. Polars streams
the file, so 33 million rows fit in a few gigabytes. A value that cannot be read raises a :class:`DataError`, which
names file, column and line. Only blank lines are dropped, and they are counted.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import itertools
import json
import re
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl

# Common column names, in order of preference. They are compared in lower case and without punctuation.
USUAL_NAMES = {
    "session": ("session", "sessionid", "sessid", "sid"),
    "user": ("user", "userid", "uid", "customerid", "reviewerid"),
    "item": ("item", "itemid", "productid", "product", "articleid", "trackid", "movieid", "movie",
             "parentasin", "asin"),
    "rating": ("rating", "stars", "score", "overall"),
    "time": ("time", "timestamp", "ts", "datetime", "eventtime", "unixtime", "unixreviewtime", "date",
             "eventdate"),
    "text": ("text", "reviewtext", "review"),
}
ID_ROLES = ("session", "user", "item")
TIME_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d",
)
AMAZON_2023 = {"user": "user_id", "item": "parent_asin", "rating": "rating", "time": "timestamp",
               "text": "text"}  # a table with these columns has its times in milliseconds
LATEST = 1e11  # seconds, in the year 5138; a larger time must be in milliseconds
SHOWN = 3  # at most so many faulty rows are named in an error
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which no encoding can hold


class DataError(ValueError):
    """Data that cannot be used as they are. The message names the place of the fault and how to correct it."""


def read_events(source, *, session=None, item=None, time=None, extra=(), header=None, per_second=1
                ) -> tuple[pl.DataFrame, dict[str, int]]:
    """Read, type and check the session, item and time columns of a table.

    Ids are integers if all of them are written as integers (``7``, not ``07``); otherwise they are strings. Times are
    numbers, dates or ISO 8601 strings. All must have the form of the first. Without an offset they are UTC.

    Parameters
    ----------
    source : path, or pandas or polars DataFrame
        A text table (its separator is found from the first line), JSON lines or parquet; each may be gzipped.
    session, item, time : str, optional
        Column names. A missing name is guessed (``SessionId``, ``session_id``, ``item``, ``timestamp``, …).
    extra : sequence of str
        Further columns to read; they are not changed.
    header : list of str, optional
        Column names of a text file without a header line.
    per_second : int
        Units of a numeric time in one second (1000 for milliseconds).

    Returns
    -------
    frame : polars DataFrame
        Columns ``session``, ``item`` (int64 or str), ``time`` (float64, seconds since 1970) and the extra
        ones; one row per event, in the order of the table.
    report : dict of str to int
        ``"rows read"`` and, if there were any, ``"blank lines skipped"``.

    Raises
    ------
    DataError
        A column or a value is missing; a time cannot be parsed, is negative or is in milliseconds; the encoding is
        damaged; rows have different numbers of fields; the file is empty, truncated or not a table.
    FileNotFoundError
        There is no such file.
    TypeError
        ``source`` is neither a path nor a DataFrame.
    """
    wanted = {"session": session, "item": item, "time": time} | {name: name for name in extra}
    return _read(source, wanted, header, per_second)


def read_ratings(source, *, user=None, item=None, rating=None, time=None, header=None
                 ) -> tuple[pl.DataFrame, dict[str, int]]:
    """Read, type and check the user, item, rating and time columns of a table.

    Ids, times and file formats are as in :func:`read_events`. Two more formats are read: the separator ``::``, and
    that of the Netflix Prize, in which lines ``user,rating,time`` follow a line ``item:``. A line ``item:`` counts as
    blank.

    Parameters
    ----------
    source : path, or pandas or polars DataFrame
    user, item, rating, time : str, optional
        Column names. A missing name is guessed (``userId``, ``movie_id``, ``stars``, ``timestamp``, …).
    header : list of str, optional
        Column names of a text file without a header line.

    Returns
    -------
    frame : polars DataFrame
        Columns ``user``, ``item`` (int64 or str), ``rating`` (float64, finite) and ``time`` (float64, seconds
        since 1970); one row per rating, in the order of the table.
    report : dict of str to int
        ``"rows read"`` and, if there were any, ``"blank lines skipped"``.

    Raises
    ------
    DataError
        As in :func:`read_events`, or a rating is not a finite number.
    """
    return _read(source, {"user": user, "item": item, "rating": rating, "time": time}, header, 1)


def read_reviews(source, *, user=None, item=None, rating=None, time=None, text=None
                 ) -> tuple[pl.DataFrame, dict[str, int]]:
    """Read, type and check the user, item, rating, time and text columns of a table.

    This works as :func:`read_ratings`, without its ``header``. Numeric times are in seconds. In a table with the
    columns of Amazon's reviews of 2023 (``AMAZON_2023``) they are in milliseconds.

    Parameters
    ----------
    source : path, or pandas or polars DataFrame
    user, item, rating, time, text : str, optional
        Column names. A missing name is guessed (``reviewerID``, ``parent_asin``, ``overall``, ``reviewText``, …).

    Returns
    -------
    frame : polars DataFrame
        Columns ``user``, ``item``, ``rating`` and ``time`` as in :func:`read_ratings`, and ``text`` (str); one row per
        review, in the order of the table. The text is unchanged, but half a surrogate pair, and bytes that are not
        UTF-8, become U+FFFD. A missing text becomes "".
    report : dict of str to int
        ``"rows read"`` and, if there were any, ``"blank lines skipped"``.

    Raises
    ------
    DataError
        As in :func:`read_ratings`, or a text is not a string.
    """
    return _read(source, {"user": user, "item": item, "rating": rating, "time": time, "text": text}, None, 1)


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


def _read(source, wanted, header, per_second):
    with contextlib.ExitStack() as stack:
        if isinstance(source, (str, Path)):
            table = _open(Path(source), header, wanted, stack)
        else:
            table = _frame(source, wanted)
        if AMAZON_2023.items() <= table.roles.items():
            per_second = 1000
        frame = _typed(table, per_second)
    blank = int(frame["blank"].sum())
    if blank:
        frame = frame.filter(~pl.col("blank"))
    return frame.drop("blank"), {"rows read": len(frame)} | ({"blank lines skipped": blank} if blank else {})


class _Table(NamedTuple):
    """The wanted columns of a table, not read yet, and their places for an error message."""

    name: str
    roles: dict[str, str]  # "item" -> the column's name in the table
    lazy: pl.LazyFrame  # a column for each role, and "blank": is the line empty?
    places: Callable[[list[int]], list[str]]  # row numbers from 0 -> ["line 17", …]
    ragged: Callable[[], str | None]  # a reason why polars failed, if one is found

    def collect(self, lazy):
        try:
            return lazy.collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = self.ragged() or str(error).strip().splitlines()[0]
            raise DataError(f"{self.name} cannot be read: {reason}") from error

    def refuse(self, role, bad, fault, remedy):
        """Raise a DataError about the rows where the boolean series ``bad`` is true."""
        rows = bad.arg_true().head(SHOWN).to_list()
        raw = self.collect(self.lazy.with_row_index("row").filter(pl.col("row").is_in(rows)).select(role))
        shown = [f"{place} ({'nothing' if value is None else repr(value)})"
                 for place, value in zip(self.places(rows), raw[role], strict=True)]
        more = f" and {int(bad.sum()) - len(rows):,} more" if bad.sum() > len(rows) else ""
        where = f"{self.name}, column {self.roles[role]!r}"
        raise DataError(f"{where}: {fault} at {', '.join(shown)}{more}. {remedy}")


def _roles(table, names, wanted):
    """The table's column for each role: the given name, else the first of the usual names that the table has."""
    # RecBole writes user_id:token, so only what comes before a colon is compared
    plain = {"".join(c for c in name.lower().partition(":")[0] if c.isalnum()): name for name in reversed(names)}
    roles = {}
    for role, given in wanted.items():
        usual = [given] if given is not None else [plain[u] for u in USUAL_NAMES[role] if u in plain]
        if not usual or usual[0] not in names:
            what = f"column {given!r}" if given is not None else f"column for the {role} (such as {role!r})"
            headless = any(name.replace(".", "").isdigit() for name in names)
            raise DataError(
                f"{table} has no {what}; it has {', '.join(map(repr, names))}. "
                + (f"Its first line looks like data: add a header line such as {','.join(wanted)}." if headless
                   else f"Name the right one: {role}=…"))
        roles[role] = usual[0]
        if names.count(usual[0]) > 1:
            raise DataError(f"{table} has two columns {usual[0]!r}. Rename one of them.")
    return roles


def _typed(table, per_second):
    """Read the columns with their types, and raise DataError for values of another type."""
    head = table.collect(table.lazy.filter(~pl.col("blank")).head(1000))
    if head.is_empty():
        raise DataError(f"{table.name} is empty: it has no rows. Look where it came from and get it again.")
    as_int = {role: _all_ints(head[role]) for role in ID_ROLES if role in table.roles}
    numbers = [_number("rating", head.schema["rating"])] if "rating" in table.roles else []
    others = [role for role in table.roles if role not in USUAL_NAMES]
    if "text" in table.roles:
        if head.schema["text"] not in (pl.String, pl.Categorical, pl.Enum):
            first = table.collect(table.lazy.select("text"))["text"]
            if first.count():
                table.refuse("text", first.is_not_null(), "not a text", "Name the column of the reviews: text=….")
        others.append(pl.col("text").cast(pl.String).fill_null(""))
    time, per_second = _time(head["time"], per_second)
    if time is None:
        first = table.collect(table.lazy.select("blank", "time"))
        table.refuse("time", ~first["blank"] & first["time"].is_not_null(), "not a time", _TIME_REMEDY)
    while True:
        ids = [_id(role, head.schema[role], whole) for role, whole in as_int.items()]
        frame = table.collect(table.lazy.select("blank", *ids, *numbers, time, *others))
        late = [role for role, whole in as_int.items()
                if whole and (frame[role].is_null() & ~frame["blank"]).any()]
        if not late:
            break
        as_int |= dict.fromkeys(late, False)  # an id after the first 1000 is not an integer: all become strings
    # NumPy divides exactly; polars would multiply by the rounded reciprocal
    frame = frame.with_columns(pl.Series("time", frame["time"].to_numpy() / per_second))
    for role in as_int:
        _check_ids(table, frame, role)
    if numbers:
        _check_ratings(table, frame)
    _check_times(table, frame, per_second)
    return frame


def _all_ints(column):
    if column.dtype.is_integer():
        return True
    if column.dtype.is_float():  # pandas keeps integers with a gap as floats
        return bool((column.drop_nulls() % 1 == 0).all())
    return column.dtype == pl.String and bool(
        (column.cast(pl.Int64, strict=False).cast(pl.String) == column).fill_null(False).all())


def _id(role, dtype, whole):
    column = pl.col(role)
    if not whole:
        return column.cast(pl.String)
    number = column.cast(pl.Int64, strict=False)
    # "07" and "7" are different ids, so an id is an integer only if it is written as Python prints it
    return pl.when(number.cast(dtype) == column).then(number).alias(role)


def _number(role, dtype):
    column = pl.col(role) if dtype.is_numeric() or dtype == pl.String else pl.lit(None)
    return column.cast(pl.Float64, strict=False).alias(role)


def _time(head, per_second):
    """An expression that parses the time, or None, and its units per second; the first value decides the format."""
    column, dtype = pl.col("time"), head.dtype
    if dtype == pl.String:
        first = head.drop_nulls().head(1)
        if first.is_empty() or first.cast(pl.Float64, strict=False).null_count() == 0:
            return column.cast(pl.Float64, strict=False), per_second
        for form in TIME_FORMATS:
            if first.str.to_datetime(form, strict=False, time_unit="us").null_count() == 0:
                return column.str.to_datetime(form, strict=False, time_unit="us").dt.epoch("us"), 1_000_000
    elif dtype in (pl.Date, pl.Datetime):
        return column.cast(pl.Datetime("us")).dt.epoch("us"), 1_000_000
    elif dtype.is_numeric() or dtype == pl.Null:
        return column.cast(pl.Float64, strict=False), per_second
    return None, per_second


_TIME_REMEDY = ("Write every time as seconds since 1970 or as ISO 8601 (2014-04-07T10:51:09.277Z), all in "
                "the same way, or delete those rows.")


def _check_ids(table, frame, role):
    column, used = frame[role], ~frame["blank"]
    text = column.dtype == pl.String
    missing = (column.str.strip_chars().fill_null("") == "" if text else column.is_null()) & used
    if missing.any():
        table.refuse(role, missing, f"the {role} id is missing", "Fill it in or delete those rows.")
    if text and (broken := column.str.contains("\n") & used).any():
        table.refuse(role, broken, "a line break in an id", "Look for a stray double quote before it.")
    if text and (damaged := column.str.contains("\ufffd") & used).any():
        table.refuse(role, damaged, "bytes that are not UTF-8", "Save the file as UTF-8, for example with "
                     "iconv -f latin1 -t utf-8 OLD > NEW; different ids could otherwise become one.")


def _check_ratings(table, frame):
    unread = ~frame["rating"].is_finite().fill_null(False) & ~frame["blank"]
    if unread.any():
        table.refuse("rating", unread, "no rating, or not a number",
                     "Write every rating as a number (4.5, not 4,5), or delete those rows.")


def _check_times(table, frame, per_second):
    time, used = frame["time"], ~frame["blank"]
    unread = ~time.is_finite() & used
    if unread.any():
        table.refuse("time", unread, "no time, or not one written like the first", _TIME_REMEDY)
    if (negative := (time < 0) & used).any():
        table.refuse("time", negative, "a time before 1970",
                     "Times are seconds since 1970; correct those rows.")
    if (late := (time > LATEST) & used).any():
        table.refuse("time", late, "a time after the year 5000",
                     "These look like milliseconds: divide them by 1000.")
    if per_second == 1000 and (early := (time < LATEST / 1000) & used).any():
        table.refuse("time", early, "a time before 1973, in milliseconds",
                     "These look like seconds: multiply them by 1000.")


def _frame(df, wanted):
    """A table from a pandas or polars DataFrame; errors name rows by their index label."""
    if not isinstance(df, (pd.DataFrame, pl.DataFrame)):
        raise TypeError(f"a path or a DataFrame is needed, not {type(df).__name__}")
    if len(df) == 0:
        raise DataError("the DataFrame is empty: it has no rows.")
    names = [str(name) for name in df.columns]
    roles = _roles("the DataFrame", names, wanted)
    labels = df.index if isinstance(df, pd.DataFrame) else range(len(df))
    if isinstance(df, pd.DataFrame):
        lazy = pl.LazyFrame([_series(role, df.iloc[:, names.index(name)]) for role, name in roles.items()])
    else:
        lazy = df.lazy().select(pl.col(name).alias(role) for role, name in roles.items())
    return _Table("the DataFrame", roles, lazy.with_columns(pl.lit(False).alias("blank")),
                  lambda rows: [f"row {labels[row]!r}" for row in rows], lambda: None)


def _series(role, column):
    """A polars column from a pandas one; raises DataError if it has values of several types."""
    if column.dtype == object:
        filled = column.dropna()
        kinds = [type(value) for value in filled]
        if len(set(kinds)) > 1:
            other = next(n for n, kind in enumerate(kinds) if kind != kinds[0])
            raise DataError(f"the DataFrame, column {column.name!r}: {kinds[0].__name__} in the first row, "
                            f"{kinds[other].__name__} in row {filled.index[other]!r}. Give them one type: "
                            f"df[{column.name!r}].astype(str).")
    if role == "text":
        column = column.map(_whole, na_action="ignore")
    return pl.from_pandas(column.reset_index(drop=True)).alias(role)  # type: ignore[attr-defined]  # it is a Series


def _whole(text):
    return LONE_SURROGATE.sub("\ufffd", text) if isinstance(text, str) else text


def _open(path, header, wanted, stack):
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
        try:
            lazy = pl.scan_parquet(path, glob=False)
            names = lazy.collect_schema().names()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{name} is not a complete parquet file. If its download was interrupted, get it again; if "
                            f"it is another kind of table, rename it (.csv, .tsv, .jsonl).") from error
        roles = _roles(name, names, wanted)
        return _Table(name, roles, _renamed(lazy, roles), lambda rows: [f"row {row + 1}" for row in rows],
                      lambda: None)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{name} is UTF-16. Save it as UTF-8: iconv -f utf-16 -t utf-8 OLD > NEW.")
    if start[:2] == b"PK" or start[:2] == b"7z" or b"\0" in start:
        raise DataError(f"{name} is not a text table. If it is an archive, unpack it and load the file inside.")
    if Path(name.removesuffix(".gz")).suffix in (".json", ".jsonl"):
        return _json_lines(path, name, wanted)
    line = start.decode("utf-8-sig", "replace").splitlines()[0]
    separator = max(("\t", ";", ",", "|", "::"), key=line.count)
    headed = header is None and re.fullmatch(r"\d+:", line)
    has_header = header is None and not headed
    if headed:
        cut = _below_headings()
        names = list(cut)
    elif separator == "::":
        names = header or line.split("::")
        cut = _between_colons(names)
    else:
        names, cut = header or next(csv.reader([line], delimiter=separator)), None
    roles = _roles(name, names, wanted)
    if cut:  # polars splits at single characters only, so it reads whole lines, which are split later
        header, separator = ["line"], "\t"
    lazy = pl.scan_csv(path, separator=separator, has_header=has_header, new_columns=header,
                       infer_schema=False, encoding="utf8-lossy", glob=False)
    text = _Text(path, separator, has_header, 1 if cut else len(names))
    return _Table(name, roles, _renamed(lazy.select(**cut) if cut else lazy, roles), text.places, text.ragged)


def _json_lines(path, name, wanted):
    """A table from a file with one JSON object per line. Python reads it, as polars drops halves of surrogate pairs."""
    with open(path, "rb") as file:
        records = (_record(name, number, line) for number, line in enumerate(file, 1))
        head = list(itertools.islice(records, 1000))  # a record may lack a column
        roles = _roles(name, list(dict.fromkeys(itertools.chain.from_iterable(filter(None, head)))), wanted)
        columns: dict[str, list] = {role: [] for role in roles}
        blank = []
        for number, record in enumerate(itertools.chain(head, records), 1):
            blank.append(record is None)
            for role, column in roles.items():
                value = None if record is None else record.get(column)
                if value is not None and not isinstance(value, str):
                    raise DataError(f"{name}, column {column!r}: neither a string nor a number at line {number} "
                                    f"({value!r:.60}). Correct or delete that line.")
                columns[role].append(_whole(value))
    lazy = pl.LazyFrame(columns, schema=dict.fromkeys(roles, pl.String)).with_columns(pl.Series("blank", blank))
    return _Table(name, roles, lazy, lambda rows: [f"line {row + 1}" for row in rows], lambda: None)


# numbers are kept as text, as in a csv file
_decode = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False).decode


def _record(name, number, line):
    """The JSON object of a line as a dict, or None if the line is blank."""
    if line.isspace():
        return None
    try:
        record = _decode(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        fault = "bytes that are not UTF-8. Save the file as UTF-8."
    except json.JSONDecodeError as error:
        fault = f"{error.msg} at character {error.colno}. Correct or delete that line."
    except RecursionError:
        fault = "too many brackets. Correct or delete that line."
    else:
        if isinstance(record, dict):
            return record
        fault = "not a JSON object. Write one object per line, {…}, without a list around them."
    raise DataError(f"{name} cannot be read: line {number}: {fault}")


def _between_colons(names):
    """Expressions for the columns of these names, from lines split at ``::``."""
    fields = pl.col("line").str.splitn("::", len(names)).struct.rename_fields(names)
    return {name: fields.struct.field(name) for name in names}


def _below_headings():
    """Expressions for the columns of lines ``user,rating,time`` after a line ``item:``; that line becomes nulls."""
    line = pl.col("line")
    heading = line.str.ends_with(":")
    fields = line.str.splitn(",", 3).struct.rename_fields(["user", "rating", "time"])
    item = pl.when(heading).then(line.str.strip_suffix(":")).forward_fill()
    columns = {"item": item} | {name: fields.struct.field(name) for name in ("user", "rating", "time")}
    return {name: pl.when(~heading).then(column) for name, column in columns.items()}


def _renamed(lazy, roles):
    return lazy.select(pl.all_horizontal(pl.all().is_null()).alias("blank"),
                       *(pl.col(name).alias(role) for role, name in roles.items()))


def _start(path):
    with open(path, "rb") as file:
        return file.read(4096)


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


class _Text(NamedTuple):
    """Reads a text table again, slowly, to find the line numbers for an error message."""

    path: Path
    separator: str
    has_header: bool
    width: int

    def places(self, rows):
        found = []
        with self._records() as records:
            for row, (line, _) in enumerate(records):
                if row in rows:
                    found.append(f"line {line}")
                    if len(found) == len(rows):
                        break
        return found

    def ragged(self):
        line = 0
        try:
            with self._records(strict=True) as records:
                for line, fields in records:
                    if len(fields) > self.width:
                        return (f"line {line} has {len(fields)} fields where the first has {self.width}. "
                                f"Look for a stray {self.separator!r} or an open quote there.")
        except csv.Error as error:
            return f"after line {line}: {error}. Look for a stray double quote there."
        return None

    @contextlib.contextmanager
    def _records(self, strict=False):
        with open(self.path, encoding="latin-1", newline="") as file:
            reader = csv.reader(file, delimiter=self.separator, strict=strict)
            records = ((reader.line_num, fields) for fields in reader)
            yield itertools.islice(records, int(self.has_header), None)
