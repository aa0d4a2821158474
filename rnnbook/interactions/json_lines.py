"""Files with one JSON object per line, and two published formats in which such a line holds several events.

Python reads them, as polars drops halves of surrogate pairs. Numbers are kept as text, as in a csv file.
"""

from __future__ import annotations

import itertools
import json
import re

from rnnbook.interactions.errors import DataError
from rnnbook.interactions.records import batched, frame_of, stack

LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which no encoding can hold
_decode = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)


def whole_characters(text):
    """A text in which U+FFFD replaces halves of surrogate pairs; another value as it is."""
    return LONE_SURROGATE.sub("\ufffd", text) if isinstance(text, str) else text


def scan_json(path, name, kind, find_roles):
    """The columns of a file of JSON lines.

    Parameters
    ----------
    path : Path
    name : str
        What the file is called in an error.
    kind : str
        ``"json"``, or ``"idomaar"`` for the sessions of 30Music.
    find_roles : callable
        Turns a list of names into a dict from role to name.

    Returns
    -------
    roles : dict of str to str
    scan : Scan

    Raises
    ------
    DataError
        A line is no JSON object, or a wanted value is neither a string nor a number.
    """
    read = {"json": _objects, "idomaar": _plays}[kind]
    with open(path, "rb") as file:
        records = ((number, record) for number, line in enumerate(file, 1) for record in read(name, number, line))
        head = list(itertools.islice(records, 1000))  # a record may lack a column
        roles = find_roles(list(dict.fromkeys(itertools.chain.from_iterable(record or () for _, record in head))))
        rows = ((number, _values(name, number, record, roles)) for number, record in itertools.chain(head, records))
        return roles, stack((frame_of(batch, list(roles)) for batch in batched(rows)), list(roles))


def json_names(start, name):
    """The names in the records of the first lines (bytes); those of a line that cannot be read are left out."""
    names: dict[str, None] = {}
    for number, line in enumerate(start.split(b"\n"), 1):
        try:
            for record in _objects(name, number, line):
                names |= dict.fromkeys(record or ())
        except DataError:
            continue
    return list(names)


def _values(name, number, record, roles):
    """The values of a record for each role, or None if there is no record."""
    if record is None:
        return None
    values = []
    for column in roles.values():
        value = record.get(column)
        if value is not None and not isinstance(value, str):
            raise DataError(f"{name}, column {column!r}: neither a string nor a number at line {number} "
                            f"({value!r:.60}). Correct or delete that line.")
        values.append(whole_characters(value))
    return values


def _objects(name, number, line):
    """The JSON object of a line, or None if it is blank. One with a list of ``events``, as OTTO's, is one for each."""
    if not line or line.isspace():
        return [None]
    record = _object(name, number, line)
    events = record.get("events")
    if isinstance(events, list) and all(isinstance(event, dict) for event in events):
        rest = {key: value for key, value in record.items() if key != "events"}
        return [rest | event for event in events]
    return [record]


def _object(name, number, line):
    try:
        record = _decode.decode(line.decode("utf-8-sig"))
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


def _plays(name, number, line):
    """The plays of a line of 30Music: session, time, a JSON object about it, and one with its user and tracks."""
    if line.isspace():
        return [None]
    try:
        _, session, time, rest = line.decode("utf-8-sig").split("\t", 3)
        _, end = _decode.raw_decode(rest)
        linked = _decode.decode(rest[end:].strip())
        return [{"session": session, "user": linked["subjects"][0]["id"], "item": track["id"],
                 "time": str(int(time) + int(track.get("playstart") or 0))} for track in linked["objects"]]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{name} cannot be read: line {number}: not a session of 30Music ({error!r:.80}). Correct or "
                        f"delete that line.") from error
