"""Which column of a table is which: by a given name, by a usual name, or, without a header line, by its values."""

from __future__ import annotations

import re
import shlex

from rnnbook.interactions.errors import DataError

# Common column names, in order of preference. They are compared in lower case and without punctuation.
USUAL_NAMES = {
    "session": ("session", "sessionid", "sessid", "sid", "usersession", "sessionidhash"),
    "user": ("user", "userid", "uid", "customerid", "visitorid", "reviewerid"),
    "item": ("item", "itemid", "productid", "product", "articleid", "trackid", "movieid", "movie",
             "parentasin", "asin", "productskuhash"),
    "rating": ("rating", "stars", "score", "overall"),
    "time": ("time", "timestamp", "ts", "datetime", "eventtime", "unixtime", "unixreviewtime", "date",
             "eventdate", "servertimestampepochms"),
    "text": ("text", "reviewtext", "review"),
}
ID_ROLES = ("session", "user", "item")
TAB = "\t"  # which a shell writes as $'\\t'
SEPARATORS = (TAB, ";", ",", "|", "::")


def plain(name):
    """A column name in lower case, without punctuation, and without the type that RecBole writes (``user_id:token``).

    Examples
    --------
    >>> plain("User_ID:token")
    'userid'
    """
    return "".join(c for c in name.lower().partition(":")[0] if c.isalnum())


def find_columns(table, names, wanted, rows=()):
    """The table's column for each role: the given name, else the first of the usual names that the table has.

    Parameters
    ----------
    table : str
        What the table is called in an error.
    names : list of str
    wanted : dict
        For each role the given name or None.
    rows : sequence of lists of str
        The first rows of a text table, its header line among them: if it has none, they tell which column is which.

    Returns
    -------
    dict of str to str

    Raises
    ------
    DataError
        A column is missing, or two have its name.

    Examples
    --------
    >>> find_columns("log.csv", ["SessionId", "when", "Item"],
    ...              {"session": None, "item": None, "time": "when"})
    {'session': 'SessionId', 'item': 'Item', 'time': 'when'}
    """
    by_plain = {plain(name): name for name in reversed(names)}
    roles = {role: _fitting(role, given, by_plain)[:1] for role, given in wanted.items()}
    missing = [role for role, found in roles.items() if not set(found) & set(names)]
    if missing:
        what = " and no ".join(f"column for the {role} (such as {role!r})" if wanted[role] is None
                               else f"column {wanted[role]!r}" for role in missing)
        remedy = _remedy(missing[0], names, by_plain, wanted, rows)
        others = [f" {_name_it(role)}." for role in missing[1:] if remedy.startswith(_name_it(missing[0]))]
        raise DataError(f"{table} has no {what}; it has {', '.join(map(repr, names))}. {remedy}{''.join(others)}")
    for (name,) in roles.values():
        if names.count(name) > 1:
            raise DataError(f"{table} has two columns {name!r}. Rename one of them.")
    return {role: name for role, (name,) in roles.items()}


def one_column(names):
    """What to do if the only column of a text table is several, by the separators in its name; otherwise None.

    Examples
    --------
    >>> one_column(["session;item;time"])
    "It was read as one column: leave separator= out, or give separator=';', on the command line --sep ';'."
    """
    inside = [separator for separator in SEPARATORS if separator in names[0]]
    if len(names) > 1 or not inside:
        return None
    best = max(inside, key=names[0].count)
    return (f"It was read as one column: leave separator= out, or give separator={best!r}, on the command line --sep "
            f"{'$' * (best == TAB)}{best!r}.")


def _fitting(role, given, by_plain):
    """The given name of a role's column alone, or those of the usual names that the table has."""
    return [given] if given is not None else [by_plain[usual] for usual in USUAL_NAMES[role] if usual in by_plain]


def _remedy(role, names, by_plain, wanted, rows):
    if rows and (several := one_column(names)):
        return several
    numbered = names == [str(n) for n in range(len(names))]  # what pandas writes for columns without names
    if rows and not numbered and any(re.match(r"[-+]?\d", name) or not name for name in names):
        header = guess_header(rows, wanted)
        if header is None:
            return (f"Its first line looks like data, but its columns do not look like {', '.join(wanted)}: write a "
                    f"line with their names above it.")
        return ('Its first line looks like data. If it has no header line, name its columns in their order: '
                f'header=[{", ".join(map(quoted, header))}], on the command line --header {",".join(header)}.')
    users, ratings = _fitting("user", None, by_plain), _fitting("rating", None, by_plain)
    if role == "session" and users:
        return (f"{_name_it('session')}. Or let load_sessions or load_log cut the log of each user into sessions: "
                f"user={quoted(users[0])}, gap=1800, on the command line --user {shlex.quote(users[0])} --gap 1800."
                + (" If it is a log of ratings: load_ratings, on the command line look --kind ratings or train --model "
                   "rrn." if ratings else ""))
    taken = {name for other, given in wanted.items() if other != role for name in _fitting(other, given, by_plain)[:1]}
    or_users = (", or, in load_sessions and load_log, that of users: user=…, on the command line --user NAME"
                if role == "session" else "")
    return f"{_name_it(role)}{or_users}{'' if set(names) - taken else ', or add one'}."


def _name_it(role):
    """How to name the column of a role, in Python and on the command line.

    Examples
    --------
    >>> _name_it("item")
    'Name the right one: item=…, on the command line --item NAME'
    """
    return f"Name the right one: {role}=…, on the command line --{role} NAME"


def quoted(name):
    """A name in double quotes, as in JSON and in Python."""
    return f'"{name}"'


_EPOCH = re.compile(r"(?:[6-9]\d{8}|[1-4]\d{9})(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?")  # 1989 to 2128, s to ns
_DATE = re.compile(r"(?:19|20)\d\d[-/.]?[01]\d[-/.]?[0-3]\d(?:\D.*|\d{4}|\d{6})?")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def guess_header(rows, wanted):
    """Names for the columns of a table without a header line, or None if its values do not tell.

    A time looks like a date or like seconds since 1970, a text is long, a rating is a small number; of several such
    columns the last is taken. The ids are the first of the other columns, in the order of ``wanted``.

    Examples
    --------
    >>> guess_header([["7", "1396342800", "214"], ["7", "1396342860", "215"]],
    ...              ["session", "item", "time"])
    ['session', 'time', 'item']
    """
    width = len(rows[0])
    columns = {n: [row[n].strip() for row in rows if len(row) == width] for n in range(width)}
    found = {}

    def take(role, candidates):
        if role in wanted and role not in found and candidates:
            found[role] = candidates[-1]
            del columns[found[role]]

    def those(pattern):
        return [n for n, values in columns.items() if all(map(pattern.fullmatch, values))]

    for pattern in (_DATE, _EPOCH, _NUMBER):
        take("time", those(pattern))
    if "text" in wanted:
        take("text", sorted(columns, key=lambda n: sum(map(len, columns[n]))))
    take("rating", [n for n in those(_NUMBER) if max(map(float, columns[n])) <= 100])
    for role in (role for role in wanted if role in ID_ROLES):
        take(role, sorted(columns, reverse=True))
    if len(found) < len(wanted):
        return None
    by_place = {place: role for role, place in found.items()}
    return [by_place.get(n, f"column{n + 1}") for n in range(width)]
