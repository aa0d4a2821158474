"""Can this file of predictions be graded? ``python check.py predictions.csv``, in the folder of the project's data.

Needs nothing but Python. The grader reads submissions with the same code.
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

LONGEST = 20  # items recommended in each session
LARGEST_FILE = 5_000_000  # bytes
LARGEST_RATING = 1000


class SubmissionError(ValueError):
    """A file that cannot be graded: says which file, row (that of a text editor) and column, and what is wrong."""


def fail(path, what, row=None, column=None):
    place = [path.name, *([f"row {row}"] if row else []), *([f"column {column}"] if column else [])]
    raise SubmissionError(f"{', '.join(place)}: {what}")


def rows_of(path):
    """Yield (row number, fields) of a csv file, blank lines left out."""
    path = Path(path)
    if not path.is_file():
        fail(path, "there is no such file")
    if path.stat().st_size > LARGEST_FILE:
        fail(path, f"has {path.stat().st_size:,} bytes; predictions need no more than {LARGEST_FILE:,}")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail(path, "is not UTF-8 text", raw[:error.start].count(b"\n") + 1)
    if "\0" in text:
        fail(path, "holds a zero byte, so it is no text", text[:text.index("\0")].count("\n") + 1)
    reader = csv.reader(text.splitlines(), strict=True)
    while True:
        row = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fail(path, f"is no csv: {error}", row)
        if fields:
            yield row, [field.strip() for field in fields]


def read(path, header, keys):
    """Yield (row number, key, other fields) of each row; every one of ``keys`` must be there once."""
    path, missing, seen = Path(path), set(keys), {}
    rows = rows_of(path)
    row, found = next(rows, (1, []))
    if found != header:
        fail(path, f"the header must be {','.join(header)!r}, not {short(','.join(found))}", row)
    for row, (key, *fields) in rows:
        if len(fields) + 1 != len(header):
            fail(path, f"has {len(fields) + 1} fields where the header has {len(header)}", row)
        if key in seen:
            fail(path, f"{short(key)} stands in row {seen[key]} already", row, header[0])
        if key not in missing:
            fail(path, f"{short(key)} is not in test.csv{no_place(key, keys)}", row, header[0])
        missing.remove(key)
        seen[key] = row
        yield row, key, fields
    if missing:
        first = next(key for key in keys if key in missing)
        fail(path, f"{len(missing)} of {len(seen) + len(missing)} are missing, the first is {first!r}",
             column=header[0])


def read_recommendations(path, sessions, items):
    """{session: list of LONGEST items}; the ids of ``sessions`` and ``items`` are strings."""
    header, known, found = ["session", *(f"item_{n}" for n in range(1, LONGEST + 1))], set(items), {}
    for row, session, fields in read(path, header, sessions):
        for column, item in zip(header[1:], fields):
            if item not in known:
                fail(Path(path), f"{short(item)} is not in items.csv{no_place(item, items)}", row, column)
        if len(set(fields)) < LONGEST:
            n = next(n for n, item in enumerate(fields) if item in fields[:n])
            fail(Path(path), f"{short(fields[n])} is recommended twice", row, header[1 + n])
        found[session] = fields
    return found


def read_ratings(path, users):
    """{user: rating}; the ids of ``users`` are strings."""
    found = {}
    for row, user, (text,) in read(path, ["user", "rating"], users):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if "_" in text or not abs(value) <= LARGEST_RATING:
            fail(Path(path), f"{short(text)} is no number between -{LARGEST_RATING} and {LARGEST_RATING}", row,
                 "rating")
        found[user] = value
    return found


def no_place(text, ids):
    """What to say to somebody who may have written a place in a list, where an id is asked for."""
    looks_so = text.isdigit() and int(text) < len(ids)
    return f". Is it the place of an id in a list? Write the id itself, such as {ids[int(text)]!r}" if looks_so else ""


def short(text):
    return repr(text if len(text) <= 40 else text[:37] + "...")


def column(path, name):
    """The different values of a column of one of the project's own files, in order."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(dict.fromkeys(row[name] for row in csv.DictReader(file)))


def check(path, folder):
    """Raise SubmissionError unless the file answers the project whose data are in the folder."""
    if (folder / "items.csv").exists():
        read_recommendations(path, column(folder / "test.csv", "session"), column(folder / "items.csv", "item"))
    else:
        read_ratings(path, column(folder / "test.csv", "user"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        check(sys.argv[1], Path(__file__).parent)
    except SubmissionError as error:
        sys.exit(str(error))
    print(f"{sys.argv[1]} can be graded.")
