"""Reviews in, arrays out: ratings with the text that came with each, and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from . import sources
from .ratings import RatingData, _of_active_users, _repeats_counted
from .tables import AMAZON_2023, read_reviews

BLOCK = 4096  # reviews encoded at a time: their text in other encodings is small beside the whole
LOST = 0xFFFD  # what stands for a character that could not be read


@dataclass(frozen=True, eq=False, repr=False)
class ReviewData:
    """Ratings with their reviews, in CSR style: review ``i`` is ``characters[offsets[i]:offsets[i + 1]]``.

    Attributes
    ----------
    ratings : RatingData
        Who rated what, how much and when, in the order of time.
    characters : uint32 array [n_characters]
        Unicode code points, review after review in the order of ``ratings``.
    offsets : int64 array [n_ratings + 1]
        Where each review begins; the last entry is ``n_characters``. A review is empty if nothing was written.

    Examples
    --------
    >>> rows = pd.DataFrame({"user": ["bob", "ann"], "item": "tea", "rating": [3, 5],
    ...                      "time": [20, 10], "text": ["too hot", "😀"]})
    >>> data = ReviewData.from_frame(rows)
    >>> data.ratings.ratings.tolist(), data.offsets.tolist(), [hex(c) for c in data.characters[:2]]
    ([5.0, 3.0], [0, 1, 8], ['0x1f600', '0x74'])
    >>> data.take(slice(1, None)).text(0)
    'too hot'
    """

    ratings: RatingData
    characters: np.ndarray
    offsets: np.ndarray

    @classmethod
    def from_frame(cls, df, *, user="user", item="item", rating="rating", time="time", text="text", name="reviews"):
        """Reviews from a DataFrame with one row per rating, over its sorted ids; no row is dropped.

        Parameters
        ----------
        df : pandas or polars DataFrame
        user, item, rating, time, text : str
            Column names. All but the text is as in :meth:`~rnnbook.ratings.RatingData.from_frame`; a
            missing text is an empty review.

        Raises
        ------
        DataError
            A missing column or value, a rating that is no number, a bad time, or a text that is none; it names
            the row.
        """
        read = read_reviews(df, user=user, item=item, rating=rating, time=time, text=text)
        return _counted(cls._from_columns(*read, name))

    @classmethod
    def _from_columns(cls, frame, report, name):
        """From checked columns ``user``, ``item``, ``rating``, ``time``, ``text``, in any order."""
        frame = frame.sort("time", maintain_order=True)
        offsets = np.concatenate([[0], np.cumsum(frame["text"].str.len_chars().to_numpy(), dtype=np.int64)])
        characters = np.empty(offsets[-1], dtype=np.uint32)
        for start, block in zip(offsets[::BLOCK], frame.iter_slices(BLOCK)):
            codes = np.frombuffer("".join(block["text"]).encode("utf-32-le"), dtype="<u4")
            characters[start:start + len(codes)] = codes
        return cls(RatingData._from_columns(frame, report, name), characters, offsets)

    def text(self, i):
        """Review ``i`` as a str."""
        i = range(self.n_ratings)[i]  # so that -1 is the last
        return _decoded(self.characters[self.offsets[i]:self.offsets[i + 1]])

    def to_frame(self):
        """The reviews as a pandas DataFrame: ``user``, ``item`` (raw ids), ``rating``, ``time`` (s), ``text``."""
        text, offsets = _decoded(self.characters), self.offsets.tolist()
        return self.ratings.to_frame().assign(text=[text[a:b] for a, b in pairwise(offsets)])

    @property
    def name(self):
        """str: the name of the ratings."""
        return self.ratings.name

    @property
    def report(self):
        """dict of str to int: the report of the ratings, which counts for the reviews too."""
        return self.ratings.report

    @property
    def n_ratings(self):
        """int: ratings, each with its review."""
        return self.ratings.n_ratings

    @property
    def n_characters(self):
        """int: characters of all reviews."""
        return len(self.characters)

    @cached_property
    def lengths(self):
        """int64 [n_ratings]: characters per review."""
        return np.diff(self.offsets)

    @cached_property
    def sha256(self):
        """Hex digest of the ratings and the texts: equal data, equal digest."""
        digest = hashlib.sha256(self.ratings.sha256.encode())
        for array, kind in ((self.offsets, "<i8"), (self.characters, "<u4")):
            digest.update(np.ascontiguousarray(array, dtype=kind).data)
        return digest.hexdigest()

    def take(self, which):
        """The reviews at the given places (ascending int64 indices, a slice or a mask), over the same ids.

        Raises
        ------
        ValueError
            The indices do not ascend, so that the order of time would be lost.
        """
        rows = np.arange(self.n_ratings)[which]
        if (np.diff(rows) <= 0).any():
            raise ValueError("reviews are taken in the order of time, each once: the indices must ascend")
        keep = np.zeros(self.n_ratings, dtype=bool)
        keep[rows] = True
        return ReviewData(self.ratings.take(rows), self.characters[np.repeat(keep, self.lengths)],
                          np.concatenate([[0], np.cumsum(self.lengths[rows])]))

    def split_by_time(self, *shares):
        """Cut into consecutive parts of these shares, by default 80, 10 and 10 %: the past first.

        As :meth:`~rnnbook.ratings.RatingData.split_by_time`, of which it takes the parameters and raises the errors.

        Returns
        -------
        tuple of ReviewData, one a share, over the same ids
        """
        ends = np.cumsum([part.n_ratings for part in self.ratings.split_by_time(*shares)])
        return tuple(self.take(slice(a, b)) for a, b in zip((0, *ends[:-1]), ends))

    def __repr__(self):
        first, *counts = repr(self.ratings).split("\n")
        return "\n".join([f"{first}, {self.n_characters:,} characters of text", *counts])


def _decoded(characters):
    return characters.astype("<u4", copy=False).tobytes().decode("utf-32-le")


def _counted(data):
    """With the repeated pairs, empty reviews and lost characters in the report."""
    lost = np.searchsorted(data.offsets, np.flatnonzero(data.characters == LOST), side="right")
    counts = {"reviews without text": int((data.lengths == 0).sum()),
              "reviews with a character that could not be read (U+FFFD)": len(np.unique(lost))}
    ratings = _repeats_counted(data.ratings)
    report = ratings.report | {what: count for what, count in counts.items() if count}
    return replace(data, ratings=replace(ratings, report=report))


def load_reviews(source, *, user=None, item=None, rating=None, time=None, text=None, min_user_ratings=1):
    """Load ratings with their reviews, in the order of time.

    The text comes through as it stands there: nothing is cut, trimmed, folded or unescaped.

    Parameters
    ----------
    source : str, path or DataFrame
        A name (``python -m rnnbook data`` lists them): ``"review-world"``, ``"amazon-gift-cards"``, one like
        ``"amazon-2014:Digital_Music"`` or ``"amazon-2023:Digital_Music"``; or a table (JSON lines as .json or
        .jsonl; csv, tsv, parquet; also gzipped); or a pandas or polars DataFrame.
    user, item, rating, time, text : str, optional
        Column names of your own table; guessed where not given. Times are seconds since 1970, dates or ISO
        strings; in a table with the columns of Amazon's reviews of 2023 (``user_id``, ``parent_asin``,
        ``rating``, ``text``, ``timestamp``) they are milliseconds, as published.
    min_user_ratings : int
        Users with fewer ratings are dropped, with the items that no one else rated.

    Returns
    -------
    ReviewData
        Reviews of the same time stay in the order of the table. A missing text is an empty review; half a
        surrogate pair, which is no character, becomes U+FFFD. Both are counted, and so is a pair rated more
        than once, which is kept.

    Raises
    ------
    DataError
        The table is faulty (file, column and line are named), or nothing would be left.
    FileNotFoundError
        The data are not here; the message says how to get them and where to put them.
    ValueError
        The category of a name is not written as one.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"user": [1, 2], "item": 7, "rating": [5, 2], "time": [20, 10],
    ...                    "text": ["So good!", None]})
    >>> data = load_reviews(df)
    >>> [data.text(i) for i in range(data.n_ratings)]
    ['', 'So good!']
    """
    columns = {"user": user, "item": item, "rating": rating, "time": time, "text": text}
    known = _form(source) if isinstance(source, str) else None
    if known in REVIEWS:
        if any(columns.values()):
            raise TypeError(f"{source} has its own column names; user=, item=, rating=, time=, text= are for your "
                            "own")
        data = REVIEWS[known](source)
    else:
        path = Path(source) if isinstance(source, (str, Path)) else None
        if path and not path.is_file():
            raise FileNotFoundError(f"{str(source)!r} is neither a file here nor one of the data sets: "
                                    f"{', '.join(REVIEWS)}")
        data = ReviewData._from_columns(*read_reviews(source, **columns), path.name if path else "reviews")
    ratings = _of_active_users(data.ratings, min_user_ratings)
    if ratings is not data.ratings:
        active = np.isin(data.ratings.user_ids, ratings.user_ids)
        data = replace(data.take(active[data.ratings.users]), ratings=ratings)
    return _counted(data)


def _form(name):
    """The name with any category it has left open, as in the list of data sets."""
    form, colon, _ = name.partition(":")
    return f"{form}:{sources.CATEGORY}" if colon else name


def _review_world(_):
    from .worlds import ReviewWorld  # the worlds are built on this module

    return ReviewWorld().sample(seed=0)


def _amazon(name, **columns):
    [path] = sources.locate(sources.named(name))
    return ReviewData._from_columns(*read_reviews(path, **columns), name)


REVIEWS: dict[str, Callable[[str], ReviewData]] = {
    "review-world": _review_world,
    "amazon-gift-cards": _amazon,
    f"amazon-2014:{sources.CATEGORY}": _amazon,
    f"amazon-2023:{sources.CATEGORY}": partial(_amazon, **AMAZON_2023),
}
