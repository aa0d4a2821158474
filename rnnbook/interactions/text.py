"""Text tables: where a line ends a record, which quotes are characters, and on which line a fault stands.

A table is read in one of three ways, and the bytes of the file decide which. Without a double quote, or if no field
begins with one, polars splits at separators alone. If each line by itself is well-formed CSV, polars reads quoted
fields. Otherwise Python reads the table, record by record: a quoted field may hold line breaks, and a quote that
nothing closes is a character.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import polars as pl

from rnnbook.interactions.columns import SEPARATORS, one_column, plain
from rnnbook.interactions.errors import DataError
from rnnbook.interactions.records import (LITERAL, Records, Scan, Splitter, Start, open_text, stack, without_end,
                                          wrong_width)

SPARE = "\x01\x02\x03\x04\x05\x06"  # characters that hardly any text contains: polars splits at one to read whole lines
WIDE = 50  # columns of a table for which a regular expression has room
PEEK = 1 << 16  # bytes from which the format is told


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
        raise DataError(f"{name}: header= names {len(header)} column{'s' * (len(header) != 1)}, but line {line} has "
                        f"{len(first)} field{'s' * (len(first) != 1)}. "
                        f"{one_column(first) or 'Give a name to each, in their order.'}")
    if sorted(map(plain, header)) == sorted(map(plain, first)):  # in any order
        raise DataError(f"{name}: line {line} is a header line already. Leave header= out, on the command line "
                        "--header.")


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


def _patterns(start):
    """Regular expressions for the beginning of a quoted field, and for one field of well-formed CSV."""
    q, s = re.escape(start.quote), re.escape(start.separator)
    return f"(?:^|{s}){q}", f"(?:{q}(?:[^{q}]|{q}{q})*{q}|[^{s}{q}]*)", s


def _quote_style(lines, start):
    """What quotes are in these lines: ``"csv"``, ``"mixed"``, or characters alone, on this number of lines."""
    opening, field, s = _patterns(start)
    line = pl.col("line")
    has = line.str.contains(start.quote, literal=True)
    found = lines.select(lines=has.sum(), opening=(has & line.str.contains(opening)).any(),
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
    seen = _present(path, SPARE)
    spare = next((c for c in SPARE if c not in seen and c != start.separator), None)
    alone = start.kind == "table" and len(start.separator) == 1 and len(start.names) <= WIDE
    if spare and alone:  # polars sees quickly whether there is one
        line = pl.col("line")
        wrong = line.str.count_matches(start.separator, literal=True) != len(start.names) - 1
        if quote:
            _, field, s = _patterns(start)
            fits = line.str.contains(f"^{field}(?:{s}{field}){{{len(start.names) - 1}}}\r?$")
            wrong = pl.when(line.str.contains(quote, literal=True)).then(~fits).otherwise(wrong)
        if not _lines(path, spare, start).select(wrong.any()).collect(engine="streaming").item():
            return None
    split, netflix = Splitter(start.separator, quote), start.kind == "netflix"
    with open_text(path) as lines:
        for number, line in enumerate(map(without_end, lines), 1):
            if line and not (netflix and line.endswith(":")):
                found = split.strictly(line) if quote and quote in line else None
                n = len(found.fields) if found else line.count(start.separator) + 1
                if n != len(start.names) - netflix:
                    return wrong_width(number, line, n, start)
    return None


def _scan_records(path, name, start, roles):
    """The columns of a table that is read record by record."""
    wanted = {role: start.names.index(column) for role, column in roles.items()}
    with open_text(path) as lines:
        records = Records(islice(lines, start.blank + start.has_header, None), name, start, wanted)
        scan = stack(records.batches(), list(roles))
    return scan._replace(report={LITERAL: records.n_literal} if records.n_literal else {})
