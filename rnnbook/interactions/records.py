"""Text tables record by record, in Python: where lines end and records do not, and what stands on which line."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import polars as pl

from rnnbook.interactions.columns import ID_ROLES
from rnnbook.interactions.errors import DataError

BATCH = 100_000  # records that Python reads before polars stores them, in far less memory
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


def wrong_width(number, line, found, start):
    """The sentence about a line with another number of fields than the table."""
    width = len(start.names) - (start.kind == "netflix")
    text = f"line {number} has {found} field{'s' * (found != 1)} where the first has {width}. "
    if found < width:
        return f"{text}Complete or delete that line."
    if start.quote and len(start.separator) == 1:
        return f"{text}Look for a stray {start.separator!r} there, or put {start.quote} around the text that has it."
    quoted = " If texts are in quotes, leave out quote_char=None." if '"' in line else ""
    return f"{text}Look for a stray {start.separator!r} there.{quoted}"


def numbered_lines(path):
    """(number, line) of all lines as text; a carriage return at the end of a line stays."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, 1):
            yield number, line.removesuffix("\n")


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
    >>> from rnnbook.interactions.text import begin
    >>> lines = ["a,5,two", 'b,6,"Heroes', 'c,7,Heroes"', 'd,8,"two', 'lines"']
    >>> start = begin(b"item,time,title\n", "log.csv")
    >>> records = Records(iter(enumerate(lines, 2)), "log.csv", start,
    ...                   {"item": 0, "time": 1, "title": 2})
    >>> [frame] = records.batches()
    >>> frame["title"].to_list(), records.n_literal
    (['two', '"Heroes', 'Heroes"', 'two\nlines'], 2)
    """

    def __init__(self, lines, name, start, wanted):
        self.lines, self.name, self.start, self.wanted = lines, name, start, wanted
        self.split = Splitter(start.separator, start.quote)
        self.ahead: deque[tuple[int, str]] = deque()
        self.like: str | None = None  # what times look like
        self.n_literal = 0

    def batches(self):
        """DataFrames of records, as `frame_of` makes them."""
        quote = self.start.quote or "\n"  # which no line contains
        while True:
            plain: list[tuple[int, str]] = []
            rows: list[tuple[int, list]] = []
            while len(plain) + len(rows) < BATCH:
                number, line = self.ahead.popleft() if self.ahead else next(self.lines, (0, ""))
                if not number:
                    break
                if quote in line:
                    rows.append((number, self._quoted(number, line)))
                else:
                    plain.append((number, line))
                    if self.like is None and line.count(self.start.separator) == len(self.start.names) - 1:
                        self.like = self._look(line.split(self.start.separator))
            if not plain and not rows:
                return
            yield pl.concat([self._split(plain), frame_of(rows, list(self.wanted))]).sort("line")

    def _split(self, lines):
        """The records of lines without a quote: polars splits them."""
        width, separator, line = len(self.start.names), self.start.separator, pl.col("text")
        frame = pl.DataFrame(lines, schema={"line": pl.Int64, "text": pl.String}, orient="row")
        frame = frame.with_columns(line.str.strip_suffix("\r"))
        bad = frame.filter((line != "") & (line.str.count_matches(separator, literal=True) != width - 1))
        if len(bad):
            number, text = bad.row(0)
            found = text.count(separator) + 1
            raise DataError(f"{self.name} cannot be read: {wrong_width(number, text, found, self.start)}")
        field = pl.when(line != "").then(line).str.split_exact(separator, width - 1).struct
        fields = {role: field.field(f"field_{place}") for role, place in self.wanted.items()}
        frame = frame.select("line", **{role: pl.when(value != "").then(value) for role, value in fields.items()},
                             blank=~line.str.contains(f"[^{re.escape(separator)}]"))
        return frame.select("line", "blank", *self.wanted)

    def _quoted(self, number, line):
        """The wanted fields of the record that begins on a line with quotes."""
        width = len(self.start.names)
        found = self.split.strictly(line.removesuffix("\r"))
        if found is None:
            span = self._span(line)
            text = "\n".join(span).removesuffix("\r")
            whole = None if all(map(self._like_a_row, span)) else self.split.strictly(text)
            if whole and len(whole.fields) == width:
                for _ in span[1:]:
                    self.ahead.popleft()
                return [whole.fields[place] or None for place in self.wanted.values()]
        line = line.removesuffix("\r")
        raw = line.split(self.start.separator)
        if found is None and len(raw) != width:
            raise DataError(f"{self.name} cannot be read: line {number} opens a quote that does not close. Close it, "
                            f"or delete that line.")
        if found is None or len(found.fields) != width == len(raw):
            found = Fields(raw, True)
        if len(found.fields) != width:
            raise DataError(f"{self.name} cannot be read: {wrong_width(number, line, len(found.fields), self.start)}")
        self.n_literal += found.literal
        return [found.fields[place] or None for place in self.wanted.values()]

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


def frame_of(rows, roles):
    """A DataFrame of rows that Python has read.

    Parameters
    ----------
    rows : sequence of (int, list of str or None, or None)
        The line of each row and its values, in the order of ``roles``; None for a blank line.
    roles : sequence of str

    Returns
    -------
    polars DataFrame
        Columns ``line``, ``blank`` and the roles.

    Examples
    --------
    >>> frame_of([(1, ["a"]), (2, None)], ["item"]).rows()
    [(1, False, 'a'), (2, True, None)]
    """
    schema = {"line": pl.Int64, "blank": pl.Boolean} | dict.fromkeys(roles, pl.String)
    values = {role: [None if row is None else row[n] for _, row in rows] for n, role in enumerate(roles)}
    return pl.DataFrame({"line": [line for line, _ in rows], "blank": [row is None for _, row in rows]} | values,
                        schema=schema)


def stack(frames, roles):
    """A Scan of what `frame_of` made of a table, part by part.

    Examples
    --------
    >>> scan = stack([frame_of([(1, ["a"])], ["item"]), frame_of([(3, ["b"])], ["item"])], ["item"])
    >>> scan.lazy.collect()["item"].to_list(), scan.places([1])
    (['a', 'b'], ['line 3'])
    """
    frame = pl.concat([frame_of([], roles), *frames])
    return Scan(frame.lazy().select(*roles, "blank", short=pl.lit(False)),
                lambda rows: [f"line {frame['line'][row]}" for row in rows])


def batched(rows):
    """Lists of up to `BATCH` rows."""
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        yield batch
