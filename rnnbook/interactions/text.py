"""Text tables: where a line ends a record, which quotes are characters, and on which line a fault stands.

A table is read in one of three ways, and the bytes of the file decide which. Without a double quote, or if no field
begins with one, polars splits at separators alone. If each line by itself is well-formed CSV, polars reads quoted
fields. Otherwise Python reads the table, record by record: a quoted field may hold line breaks, and a quote that
nothing closes is a character.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import polars as pl

from rnnbook.interactions.columns import ID_ROLES
from rnnbook.interactions.errors import DataError

SEPARATORS = ("\t", ";", ",", "|", "::")
SPARE = "\x01\x02\x03\x04\x05\x06"  # characters that hardly any text contains: polars splits at one to read whole lines
PEEK = 1 << 16  # bytes from which the format is told
BATCH = 100_000  # records that Python reads before polars stores them
LONGEST = 100_000  # lines of a record: where a quote has not closed by then, it does not
LITERAL = "lines whose quotes were read as characters"


class Start(NamedTuple):
    """What the beginning of a text file tells.

    Attributes
    ----------
    kind : str
        ``"table"``, ``"netflix"`` (lines ``user,rating,time`` below a line ``item:``), ``"json"`` or ``"idomaar"``.
    names : list of str
        The columns; empty for JSON, whose records need not have the same.
    rows : list of lists of str
        The fields of the first lines, without regard to quotes.
    line : str
        The first line that is not blank.
    blank : int
        How many blank lines stand before it.
    separator : str
    quote : str, optional
    has_header : bool
    """

    kind: str
    names: list[str]
    rows: list[list[str]]
    line: str
    blank: int
    separator: str
    quote: str | None
    has_header: bool


class Scan(NamedTuple):
    """The columns of a table, not read yet, and the places of its rows.

    Attributes
    ----------
    lazy : polars LazyFrame
        The columns by role, ``blank`` (is the line empty?) and ``short`` (may the line have too few fields?).
    places : callable
        Row numbers from 0 become ``["line 17", …]``.
    misfit : callable
        A sentence about the first line with another number of fields than the table, or None.
    report : dict of str to int
        What was decided.
    """

    lazy: pl.LazyFrame
    places: Callable[[list[int]], list[str]]
    misfit: Callable[[], str | None] = lambda: None
    report: dict[str, int] = {}


def begin(start, name, header=None, separator=None, quote='"'):
    """The format of a text file.

    Parameters
    ----------
    start : bytes
        The first `PEEK` bytes of the file.
    name : str
    header : list of str, optional
        The names of the columns, if the file has no header line.
    separator : str, optional
        By default the one that cuts the first lines into equally many fields.
    quote : str, optional

    Returns
    -------
    Start

    Raises
    ------
    DataError
        ``header`` has another number of names than the first line has fields, or that line is a header.

    Examples
    --------
    >>> begin(b"session;item;time\\n1;2,5;3\\n", "log.csv").names
    ['session', 'item', 'time']
    """
    lines = start.decode("utf-8-sig", "replace").split("\n")
    lines = [line.removesuffix("\r") for line in (lines[:-1] if len(start) == PEEK and len(lines) > 1 else lines)]
    blank = next((n for n, line in enumerate(lines) if line.strip()), 0)
    lines = [line for line in lines[blank:] if line][:50]
    line = lines[0]
    if line.count("\r") > 1 and len(lines) == 1:
        raise DataError(f"{name} has lines that end in a carriage return, as on old Macs. Convert it: "
                        f"tr '\\r' '\\n' < OLD > NEW.")
    if Path(name.removesuffix(".gz")).suffix in (".json", ".jsonl") or re.match(r'\{\s*"', line):
        return Start("json", [], [], line, blank, "", None, False)
    if line.startswith("event.session\t"):
        return Start("idomaar", ["session", "time", "user", "item"], [], line, blank, "\t", None, False)
    if header is None and re.fullmatch(r"\d+:", line):
        return Start("netflix", ["item", "user", "rating", "time"], [], line, blank, ",", None, False)
    separator = separator or _find_separator(lines)
    rows = [each.split(separator) for each in lines]
    quoted = Splitter(separator, quote).strictly(line) if quote and len(separator.encode()) == 1 else None
    first = quoted.fields if quoted else rows[0]
    if header is not None:
        _check_header(name, list(header), first, blank + 1)
    return Start("table", list(header or first), rows, line, blank, separator, quote, header is None)


def _find_separator(lines):
    """The separator that the first line has, and the others equally often; then the one that it has most often."""
    def fitness(separator):
        counts = [line.count(separator) for line in lines]
        return counts[0] > 0, len(set(counts)) == 1, counts[0] * len(separator)
    return max(SEPARATORS, key=fitness)


def _check_header(name, header, first, line):
    if len(header) != len(first):
        raise DataError(f"{name}: header= names {len(header)} columns, but line {line} has {len(first)} fields. Give a "
                        f"name to each, in their order.")
    if header == first:
        raise DataError(f"{name}: line {line} is a header line already. Leave header= out.")


# ---- the three ways ------------------------------------------------------------------------------------------


def scan_table(path, name, start, roles):
    """The columns of a text table by role.

    Parameters
    ----------
    path : Path
    name : str
        What the file is called in an error.
    start : Start
    roles : dict of str to str
        The column's name for each role.

    Returns
    -------
    Scan

    Raises
    ------
    DataError
        A quote opens and does not close.
    """
    if start.kind == "netflix":
        return _scan_lines(path, start, roles, _below_headings())
    if len(start.separator.encode()) > 1:
        return _scan_lines(path, start, roles, _between(start.separator, start.names))
    quote, report = start.quote, {}
    if quote and quote in (seen := _present(path, quote + SPARE)):
        spare = next((c for c in SPARE if c not in seen and c != start.separator), None)
        style = _quote_style(_lines(path, spare, start), start) if spare else "mixed"
        if style == "mixed" or start.blank:
            return _scan_records(path, name, start, roles)
        if isinstance(style, int):
            quote, report = None, {LITERAL: style}
    else:
        quote = None
    lazy = pl.scan_csv(path, separator=start.separator, has_header=start.has_header, infer_schema=False,
                       new_columns=None if start.has_header else start.names, encoding="utf8-lossy", glob=False,
                       quote_char=quote)
    columns = lazy.collect_schema().names()
    if start.blank or len(columns) != len(start.names):
        return _scan_records(path, name, start, roles)
    blank = pl.all_horizontal(pl.all().is_null())
    found = {role: pl.col(columns[start.names.index(column)]) for role, column in roles.items()}
    # polars fills a line with too few fields with nulls, so its last field is one; it may also just be empty
    lazy = lazy.select(blank.alias("blank"), (pl.col(columns[-1]).is_null() & ~blank).alias("short"), **found)
    return Scan(lazy, _by_number(start), lambda: _misfit(path, start, quote), report)


def _present(path, characters):
    """Those of some ASCII characters that the file contains."""
    missing, found = {c: c.encode() for c in characters}, set()
    with open(path, "rb") as file:
        while missing and (chunk := file.read(1 << 20)):
            new = {c for c, byte in missing.items() if byte in chunk}
            found |= new
            missing = {c: byte for c, byte in missing.items() if c not in new}
    return found


def _lines(path, spare, start):
    """A lazy frame of whole lines, in a column ``line``; a blank line is null."""
    lazy = pl.scan_csv(path, separator=spare, has_header=False, new_columns=["line"], infer_schema=False,
                       quote_char=None, encoding="utf8-lossy", glob=False)
    return lazy.slice(int(start.has_header))


def _quote_style(lines, start):
    """What quotes are in these lines: ``"csv"``, ``"mixed"``, or characters alone, on this number of lines."""
    q, s, line = re.escape(start.quote), re.escape(start.separator), pl.col("line")
    field = f"(?:{q}(?:[^{q}]|{q}{q})*{q}|[^{s}{q}]*)"
    has = line.str.contains(start.quote, literal=True)
    found = lines.select(lines=has.sum(), opening=(has & line.str.contains(f"(?:^|{s}){q}")).any(),
                         odd=(has & ~line.str.contains(f"^{field}(?:{s}{field})*\r?$")).any()
                         ).collect(engine="streaming").row(0, named=True)
    return int(found["lines"]) if found["lines"] and not found["opening"] else "mixed" if found["odd"] else "csv"


def _by_number(start):
    return lambda rows: [f"line {row + 1 + start.has_header + start.blank}" for row in rows]


def _scan_lines(path, start, roles, cut):
    """polars splits at single bytes only: here it reads whole lines, and ``cut`` has expressions for their fields."""
    seen = _present(path, SPARE)
    lazy = _lines(path, next((c for c in SPARE if c not in seen), SPARE[0]), start)
    line = pl.col("line")
    netflix = start.kind == "netflix"
    wrong = line.str.count_matches(start.separator, literal=True) != len(start.names) - 1 - netflix
    lazy = lazy.select((wrong & ~line.str.ends_with(":") if netflix else wrong).fill_null(False).alias("short"),
                       **{role: cut[column] for role, column in roles.items()})
    return Scan(lazy.with_columns(pl.all_horizontal(pl.col(*roles).is_null()).alias("blank")), _by_number(start),
                lambda: _misfit(path, start, None))


def _between(separator, names):
    """Expressions for the columns of these names, from lines split at a separator of several characters."""
    fields = pl.col("line").str.splitn(separator, len(names)).struct.rename_fields(names)
    return {name: fields.struct.field(name) for name in names}


def _below_headings():
    """Expressions for the columns of lines ``user,rating,time`` after a line ``item:``; that line becomes nulls."""
    line = pl.col("line")
    heading = line.str.ends_with(":")
    fields = line.str.splitn(",", 3).struct.rename_fields(["user", "rating", "time"])
    item = pl.when(heading).then(line.str.strip_suffix(":")).forward_fill()
    columns = {"item": item} | {name: fields.struct.field(name) for name in ("user", "rating", "time")}
    return {name: pl.when(~heading).then(column) for name, column in columns.items()}


def _misfit(path, start, quote):
    """A sentence about the first line that has another number of fields than the table, or None."""
    split, netflix = Splitter(start.separator, quote), start.kind == "netflix"
    for number, line in _numbered(path):
        line = line.removesuffix("\r")
        if line and not (netflix and line.endswith(":")):
            found = split.strictly(line) if quote and quote in line else None
            n = len(found.fields if found else line.split(start.separator))
            if n != len(start.names) - netflix:
                return _wrong_width(number, line, n, start)
    return None


def _wrong_width(number, line, found, start):
    width = len(start.names) - (start.kind == "netflix")
    text = f"line {number} has {found} field{'s' * (found != 1)} where the first has {width}. "
    if found < width:
        return f"{text}Complete or delete that line."
    if start.quote and len(start.separator) == 1:
        return f"{text}Look for a stray {start.separator!r} there, or put {start.quote} around the text that has it."
    quoted = " If texts are in quotes, leave out quote_char=None." if '"' in line else ""
    return f"{text}Look for a stray {start.separator!r} there.{quoted}"


def _numbered(path):
    """(number, line) of all lines as text; a carriage return at the end of a line stays."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, 1):
            yield number, line.removesuffix("\n")


# ---- record by record ----------------------------------------------------------------------------------------


class Fields(NamedTuple):
    """The fields of a record, and whether one without quotes around it contains one."""

    fields: list[str]
    literal: bool


class Splitter:
    """Cuts a record into fields by the rules of CSV; but a field that is not in quotes may contain one.

    Examples
    --------
    >>> split = Splitter(",", '"')
    >>> split.strictly('1,"a, ""b"" c",12" mix')
    Fields(fields=['1', 'a, "b" c', '12" mix'], literal=True)
    >>> split.strictly('1,"a, b') is None
    True
    """

    def __init__(self, separator, quote):
        self.separator, self.quote = separator, quote
        q, s = re.escape(quote or '"'), re.escape(separator)
        inside = f"(?:[^{q}]|{q}{q})*+"
        self.quoted = re.compile(f"{q}({inside}){q}(?={s}|\\Z)")
        self.unclosed = re.compile(f"{q}{inside}\\Z")
        self.still_open = re.compile(f"{inside}\\Z")
        self.closing = re.compile(f"{inside}{q}(?={s}|\\Z)")

    def strictly(self, text):
        """The Fields of a text, or None if a quote opens a field and nothing closes it."""
        fields, literal, at = [], False, 0
        while True:
            opens = text.startswith(self.quote, at)
            if opens and (match := self.quoted.match(text, at)):
                fields.append(match[1].replace(2 * self.quote, self.quote))
                end = match.end()
            elif opens and self.unclosed.match(text, at):
                return None
            else:
                end = text.find(self.separator, at)
                end = len(text) if end < 0 else end
                fields.append(text[at:end])
                literal = literal or self.quote in fields[-1]
            if end == len(text):
                return Fields(fields, literal)
            at = end + len(self.separator)


class Records:
    """The records of a text table in which quotes are not what each line alone makes of them.

    A line that is well-formed alone is a record. Where a line opens a quote and a later line closes it, the lines are
    one record, unless each of them looks like a row of its own: then the quotes are characters. Where none closes it,
    they are characters if the line has as many fields as the table.

    Parameters
    ----------
    lines : iterator of (int, str)
        Numbered lines.
    name : str
    start : Start
    wanted : dict of str to int
        The place of each role's column.

    Attributes
    ----------
    n_literal : int
        The lines read so far whose quotes are characters.

    Examples
    --------
    >>> lines = ["a,5,two", 'b,6,"Heroes', 'c,7,Heroes"', 'd,8,"two', 'lines"']
    >>> start = begin(b"item,time,title\\n", "log.csv")
    >>> records = Records(iter(enumerate(lines, 2)), "log.csv", start, {"item": 0, "time": 1})
    >>> [record for _, record in records][1:], records.n_literal
    ([['b', '6', '"Heroes'], ['c', '7', 'Heroes"'], ['d', '8', 'two\\nlines']], 2)
    """

    def __init__(self, lines, name, start, wanted):
        self.lines, self.name, self.start, self.wanted = lines, name, start, wanted
        self.split = Splitter(start.separator, start.quote)
        self.ahead: deque[tuple[int, str]] = deque()
        self.like: str | None = None  # what times look like
        self.n_literal = 0

    def __iter__(self):
        """(line, fields) of each record; None for the fields of a blank line."""
        width, separator, quote = len(self.start.names), self.start.separator, self.start.quote
        while True:
            number, whole = self.ahead.popleft() if self.ahead else next(self.lines, (0, ""))
            if not number:
                return
            line = whole.removesuffix("\r")
            if not line:
                yield number, None
                continue
            fields = self._quoted(number, whole) if quote and quote in line else line.split(separator)
            if len(fields) != width:
                raise DataError(f"{self.name} cannot be read: {_wrong_width(number, line, len(fields), self.start)}")
            if self.like is None:
                self.like = self._look(fields)
            yield number, fields if any(fields) else None

    def _quoted(self, number, line):
        width = len(self.start.names)
        found = self.split.strictly(line.removesuffix("\r"))
        if found is None:
            span = self._span(line)
            text = "\n".join(span).removesuffix("\r")
            whole = None if all(map(self._like_a_row, span)) else self.split.strictly(text)
            if whole and len(whole.fields) == width:
                for _ in span[1:]:
                    self.ahead.popleft()
                return whole.fields
        raw = line.removesuffix("\r").split(self.start.separator)
        if found is None and len(raw) != width:
            raise DataError(f"{self.name} cannot be read: line {number} opens a quote that does not close. Close it, "
                            f"or delete that line.")
        if found is None or len(found.fields) != width:
            found = Fields(raw, True)
        self.n_literal += found.literal
        return found.fields

    def _span(self, line):
        """The lines from one that opens a quote to the one that closes it; none if there is no such line."""
        span = [line]
        for each in self._coming():
            span.append(each)
            if self.split.still_open.match(each):
                continue
            if not self.split.closing.match(each.removesuffix("\r")):
                return []
            if self.split.strictly("\n".join(span).removesuffix("\r")):  # otherwise this line opens another field
                return span
        return []

    def _coming(self):
        """The next lines, which stay the next ones."""
        for _, line in list(self.ahead):
            yield line
        while len(self.ahead) < LONGEST and (coming := next(self.lines, None)):
            self.ahead.append(coming)
            yield coming[1]

    def _look(self, fields):
        return re.sub(r"[\d.]+", "0", fields[self.wanted["time"]].strip())

    def _like_a_row(self, line):
        fields = line.removesuffix("\r").split(self.start.separator)
        return (len(fields) == len(self.start.names) and self._look(fields) == (self.like or self._look(fields))
                and all(fields[self.wanted[role]].strip() for role in self.wanted if role in (*ID_ROLES, "time")))


def _scan_records(path, name, start, roles):
    wanted = {role: start.names.index(column) for role, column in roles.items()}
    lines = islice(_numbered(path), start.blank + start.has_header, None)
    records = Records(lines, name, start, wanted)
    places = list(wanted.values())
    rows = ((number, fields and [fields[place] or None for place in places]) for number, fields in records)
    scan = stack(rows, roles)
    return scan._replace(report={LITERAL: records.n_literal} if records.n_literal else {})


def stack(rows, roles):
    """A Scan of rows that Python has read.

    Parameters
    ----------
    rows : iterator of (int, list of str or None, or None)
        The line of each row and its values, in the order of ``roles``; None for a blank line.
    roles : sequence of str

    Returns
    -------
    Scan

    Examples
    --------
    >>> scan = stack([(1, ["a"]), (2, None)], ["item"])
    >>> scan.lazy.collect().rows(), scan.places([1])
    ([('a', False, False), (None, True, False)], ['line 2'])
    """
    schema = {"line": pl.Int64, "blank": pl.Boolean} | dict.fromkeys(roles, pl.String)
    rows, frames, nothing = iter(rows), [pl.DataFrame(schema=schema)], [None] * len(roles)
    while batch := list(islice(rows, BATCH)):  # strings of Python need far more memory than those of polars
        values = zip(*(nothing if row is None else row for _, row in batch))
        frames.append(pl.DataFrame({"line": [line for line, _ in batch], "blank": [row is None for _, row in batch]}
                                   | dict(zip(roles, map(list, values))), schema=schema))
    frame = pl.concat(frames)
    return Scan(frame.lazy().select(*roles, "blank", pl.lit(False).alias("short")),
                lambda rows: [f"line {frame['line'][row]}" for row in rows])
