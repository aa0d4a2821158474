"""Text tables record by record, in Python: where lines end and records do not, and what stands on which line."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from operator import methodcaller
from typing import NamedTuple

import numpy as np
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


def open_text(path):
    """An iterator over the lines of a text file, each with its end; only a line feed ends one."""
    return open(path, encoding="utf-8-sig", errors="replace", newline="\n")


def without_end(line):
    """A line without its line feed and the carriage return before it."""
    return line.removesuffix("\n").removesuffix("\r")


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
    one record, unless that line and another up to the later one look like rows: then the quotes are characters. Where
    none closes it, they are characters if the line has as many fields as the table. Both in one file are refused.

    Parameters
    ----------
    lines : iterator of str
        The lines below the header, each with its end.
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
    >>> lines = ["a,5,plain\\n", 'b,6,12" mix\\n', 'c,7,"two\\n', 'lines"\\n']
    >>> start = begin(b"item,time,title\\n", "log.csv")
    >>> records = Records(iter(lines), "log.csv", start, {"item": 0, "time": 1, "title": 2})
    >>> [frame] = records.batches()
    >>> frame["title"].to_list(), records.n_literal
    (['plain', '12" mix', 'two\\nlines'], 1)
    """

    def __init__(self, lines, name, start, wanted):
        self.lines, self.name, self.start, self.wanted = lines, name, start, wanted
        self.split = Splitter(start.separator, start.quote)
        self.like: str | None = None  # what times look like
        self.n_literal = 0
        self.character = 0  # the first line with a quote that opens a field and is a character
        self.spans = False  # whether there was a record of several lines

    def batches(self):
        """DataFrames of records, as `frame_of` makes them."""
        quote = self.start.quote or "\r\n\r"  # which no line contains
        first = self.start.blank + self.start.has_header + 1
        while block := list(islice(self.lines, BATCH)):
            rows, spans, end = [], [], 0
            if self.like is None:
                self.like = next(filter(None, map(self._look, block)), None)
            for at, line in enumerate(block):  # it grows where a record goes on beyond it
                if quote in line and at >= end:
                    fields, n_lines = self._quoted(first + at, block, at)
                    rows.append((first + at, fields))
                    end = at + n_lines
                    spans.append(np.arange(at, end))
            others = np.delete(np.arange(len(block)), np.concatenate([[], *spans]).astype(np.int64))
            plain = self._split(first + others, [block[at] for at in others.tolist()])
            yield pl.concat([plain, frame_of(rows, list(self.wanted))]).sort("line")
            first += len(block)

    def _split(self, numbers, lines):
        """The records of lines without a quote: polars splits them."""
        width, separator = len(self.start.names), self.start.separator
        columns = [str(n) for n in range(width)]
        text = "".join([separator * (width - 1), "\n", *lines])  # polars counts the columns on the first line
        if set(map(methodcaller("count", separator), lines)) != {width - 1}:
            for number, line in zip(numbers.tolist(), map(without_end, lines)):
                if line and line.count(separator) != width - 1:
                    raise self._fault(wrong_width(number, line, line.count(separator) + 1, self.start))
        frame = pl.read_csv(text.encode(), separator=separator, has_header=False, quote_char=None, infer_schema=False,
                            new_columns=columns)[1:]
        blank = pl.all_horizontal(pl.all().is_null())
        return frame.select(pl.Series("line", numbers), blank.alias("blank"),
                            **{role: columns[place] for role, place in self.wanted.items()})

    def _quoted(self, number, block, at):
        """The wanted fields of the record that begins on a line with quotes, and how many lines it has."""
        width, line, n_lines = len(self.start.names), without_end(block[at]), 1
        raw, found = line.split(self.start.separator), self.split.strictly(line)
        if found is None:
            n_span, whole = self._span(block, at)
            rows = self._look(block[at]) and any(map(self._look, block[at + 1:at + n_span]))
            if whole and len(whole.fields) == width and not rows:
                found, n_lines = whole._replace(literal=False), n_span
            self._check_habit(number, n_lines > 1, len(raw) == width)
        if len(raw) == width and (found is None or len(found.fields) != width):
            found = Fields(raw, True)
        if len(found.fields) != width:
            raise self._fault(wrong_width(number, line, len(found.fields), self.start))
        self.n_literal += found.literal
        return [found.fields[place] or None for place in self.wanted.values()], n_lines

    def _check_habit(self, number, spans, can_be_character):
        """Refuse a file in which one quote spans lines and another opens and is a character: which one is wrong?"""
        if spans and self.character:
            raise self._fault(f"line {number} opens a quote that closes further down, but the one on line "
                              f"{self.character} does not close. Close that one; or, if quotes are characters in this "
                              f"file, pass quote_char=None.")
        if not spans and (self.spans or not can_be_character):
            raise self._fault(f"line {number} opens a quote that does not close. Close it, or delete that line.")
        self.spans = self.spans or spans
        self.character = self.character or (0 if spans else number)

    def _span(self, block, at):
        """How many lines there are from one that opens a quote to one that closes it, and their Fields; or 1, None."""
        for n in range(1, LONGEST):
            if at + n == len(block):
                block.extend(islice(self.lines, 1))
            if at + n == len(block):
                break
            line = without_end(block[at + n])
            if self.split.still_open.match(line):
                continue
            if not self.split.closing.match(line):
                break
            fields = self.split.strictly(without_end("".join(block[at:at + n + 1])))
            if fields:  # otherwise that line opens another field
                return n + 1, fields
        return 1, None

    def _look(self, line):
        """What the time of a line looks like, or None unless the line looks like a row: with all columns and ids."""
        fields = without_end(line).split(self.start.separator)
        if len(fields) != len(self.start.names) or not all(
                fields[self.wanted[role]].strip() for role in self.wanted if role in (*ID_ROLES, "time")):
            return None
        look = re.sub(r"[\d.]+", "0", fields[self.wanted["time"]].strip())
        return look if look == (self.like or look) else None

    def _fault(self, sentence):
        return DataError(f"{self.name} cannot be read: {sentence}")


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
