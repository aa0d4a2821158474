"""Published files, recognised by their column names or by their first line, and how each is read.

A data set that is loaded by name and the same file that is given by path are read by the same `Shape`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rnnbook.interactions.columns import plain

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"
SESSIONS, RATINGS, REVIEWS = "sessions", "ratings", "reviews"


@dataclass(frozen=True)
class Shape:
    """A published form of a table.

    Attributes
    ----------
    name : str
        Whose form it is.
    kinds : tuple of str
        What can be loaded from it: ``"sessions"``, ``"ratings"``, ``"reviews"``.
    columns : dict of str to str
        The published name of the column for each role; a role that is not here is guessed. A column ``user`` of a log
        of sessions says that the sessions have to be cut.
    others : tuple of str
        Further columns by which it is recognised.
    line : str, optional
        A regular expression for the first line. If there is one, it alone decides.
    header : tuple of str, optional
        The names of the columns, for a file without a header line.
    options : dict
        Options of the readers.
    extra : dict of str to str
        Further columns, which it needs: ``"milliseconds"`` to add to a time that is a day, and ``"event"``, which must
        be a view.
    unit : str
        The published unit of times.

    Examples
    --------
    >>> OTTO.columns["item"], RETAILROCKET.extra
    ('aid', {'event': 'event'})
    """

    name: str
    kinds: tuple
    columns: dict = field(default_factory=dict)
    others: tuple = ()
    line: str | None = None
    header: tuple | None = None
    options: dict = field(default_factory=dict)
    extra: dict = field(default_factory=dict)
    unit: str = "s"

    def fits(self, kind, names, line):
        """Whether a table with these column names, as `plain` makes them, and this first line has the shape."""
        if kind not in self.kinds:
            return False
        if self.line is not None:
            return re.fullmatch(self.line, line) is not None
        needed = [column for role, column in self.columns.items() if role != "text" or kind == REVIEWS]
        return {plain(column) for column in (*needed, *self.others, *self.extra.values())} <= names


RSC15 = Shape("RSC15", (SESSIONS,), line=rf"\d+,{TIME},\d+,[^,]*", header=("session", "time", "item", "category"),
              options={"quote_char": None})
RETAILROCKET = Shape("RetailRocket", (SESSIONS,), {"user": "visitorid", "item": "itemid", "time": "timestamp"},
                     ("transactionid",), extra={"event": "event"}, unit="ms")
DIGINETICA = Shape("Diginetica", (SESSIONS,), {"session": "sessionId", "item": "itemId", "time": "eventdate"},
                   extra={"milliseconds": "timeframe"})
REES46 = Shape("REES46", (SESSIONS,), {"session": "user_session", "item": "product_id", "time": "event_time"},
               ("event_type", "user_id"), options={"drop_missing": ("session",)})
OTTO = Shape("OTTO", (SESSIONS,), {"session": "session", "item": "aid", "time": "ts"}, ("type",), unit="ms")
LASTFM = Shape("Last.fm-1K", (SESSIONS,), {"user": "user", "item": "track", "time": "time"},
               line=rf"user_\d+\t{TIME}(?:\t[^\t]*){{4}}",
               header=("user", "time", "artist", "artist_name", "track", "track_name"),
               options={"quote_char": None, "drop_missing": ("item",)})
THIRTY_MUSIC = Shape("30Music", (SESSIONS,), {"session": "session", "item": "item", "time": "time"},
                     line=r"event\.session\t.*")
COVEO = Shape("Coveo", (SESSIONS,), {"session": "session_id_hash", "item": "product_sku_hash",
                                     "time": "server_timestamp_epoch_ms"},
              options={"drop_missing": ("item",)}, unit="ms")
MOVIELENS = Shape("MovieLens", (RATINGS,), line=r"\d+(::)\w+\1[\d.]+\1\d+|\d+\t\d+\t[\d.]+\t\d{9,10}",
                  header=("user", "item", "rating", "time"))
NETFLIX = Shape("the Netflix Prize", (RATINGS,), line=r"\d+:")
AMAZON_2014_CSV = Shape("Amazon's ratings of 2014", (RATINGS,), line=r"A[A-Z0-9]{10,20},[A-Z0-9]{10},[\d.]+,\d{9,10}",
                        header=("user", "item", "rating", "time"))
AMAZON_2018_CSV = Shape("Amazon's ratings of 2018", (RATINGS,), line=r"[A-Z0-9]{10},A[A-Z0-9]{10,20},[\d.]+,\d{9,10}",
                        header=("item", "user", "rating", "time"))
AMAZON_2014 = Shape("Amazon's reviews of 2014 and 2018", (RATINGS, REVIEWS),
                    {"user": "reviewerID", "item": "asin", "rating": "overall", "time": "unixReviewTime",
                     "text": "reviewText"})
AMAZON_2023 = Shape("Amazon's reviews of 2023", (RATINGS, REVIEWS),
                    {"user": "user_id", "item": "parent_asin", "rating": "rating", "time": "timestamp",
                     "text": "text"}, unit="ms")
RECBOLE = Shape("RecBole", (SESSIONS, RATINGS, REVIEWS),
                line=r"\w+:(?:token|float)(?:_seq)?(?:\t\w+:(?:token|float)(?:_seq)?)+")
SHAPES = (RSC15, RETAILROCKET, DIGINETICA, REES46, OTTO, LASTFM, THIRTY_MUSIC, COVEO, MOVIELENS, NETFLIX,
          AMAZON_2014_CSV, AMAZON_2018_CSV, AMAZON_2014, AMAZON_2023, RECBOLE)


def recognise(kind, names, line=""):
    """The published form that a table has.

    Parameters
    ----------
    kind : str
        What is to be loaded: ``"sessions"``, ``"ratings"`` or ``"reviews"``.
    names : sequence of str
        The names of its columns.
    line : str
        The first line of a text file.

    Returns
    -------
    Shape or None

    Examples
    --------
    >>> recognise("sessions", [], "7,2014-04-01T10:51:09.277Z,214536502,0").name
    'RSC15'
    >>> print(recognise("sessions", ["session", "item", "time"]))
    None
    """
    found = {plain(name) for name in names}
    return next((shape for shape in SHAPES if shape.fits(kind, found, line)), None)
