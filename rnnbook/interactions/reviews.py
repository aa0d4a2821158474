"""Reviews as flat arrays: ratings with the text that came with each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from rnnbook.interactions.ratings import RatingData
from rnnbook.interactions.tables import read_reviews

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
            Column names. All but the text is as in :meth:`~rnnbook.interactions.ratings.RatingData.from_frame`; a
            missing text is an empty review.

        Raises
        ------
        DataError
            A missing column or value, a rating that is no number, a bad time, or a text that is none; it names
            the row.
        """
        frame, report = read_reviews(df, user=user, item=item, rating=rating, time=time, text=text)
        return cls.from_reviews(frame, name, report).count_repairs()

    @classmethod
    def from_reviews(cls, frame, name, report):
        """Reviews from a polars DataFrame as `read_reviews` returns it, its rows in any order, and its report."""
        frame = frame.sort("time", maintain_order=True)
        offsets = np.concatenate([[0], np.cumsum(frame["text"].str.len_chars().to_numpy(), dtype=np.int64)])
        characters = np.empty(offsets[-1], dtype=np.uint32)
        for start, block in zip(offsets[::BLOCK], frame.iter_slices(BLOCK)):
            codes = np.frombuffer("".join(block["text"]).encode("utf-32-le"), dtype="<u4")
            characters[start:start + len(codes)] = codes
        return cls(RatingData.from_ratings(frame, name, report), characters, offsets)

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

        As :meth:`~rnnbook.interactions.ratings.RatingData.split_by_time`: the same parameters, the same errors.

        Returns
        -------
        tuple of ReviewData, one a share, over the same ids
        """
        ends = np.cumsum([part.n_ratings for part in self.ratings.split_by_time(*shares)])
        return tuple(self.take(slice(a, b)) for a, b in zip((0, *ends[:-1]), ends))

    def count_repairs(self):
        """The same reviews; the report counts repeated pairs, empty reviews and lost characters."""
        lost = np.searchsorted(self.offsets, np.flatnonzero(self.characters == LOST), side="right")
        counts = {"reviews without text": int((self.lengths == 0).sum()),
                  "reviews with a character that could not be read (U+FFFD)": len(np.unique(lost))}
        ratings = self.ratings.count_repeats()
        report = ratings.report | {what: count for what, count in counts.items() if count}
        return replace(self, ratings=replace(ratings, report=report))

    def keep_active_users(self, least):
        """As `RatingData.keep_active_users`: users of at least ``least`` ratings, with their reviews."""
        ratings = self.ratings.keep_active_users(least)
        if ratings is self.ratings:
            return self
        active = np.isin(self.ratings.user_ids, ratings.user_ids)
        return replace(self.take(active[self.ratings.users]), ratings=ratings)

    def __repr__(self):
        first, *counts = repr(self.ratings).split("\n")
        return "\n".join([f"{first}, {self.n_characters:,} characters of text", *counts])


def _decoded(characters):
    return characters.astype("<u4", copy=False).tobytes().decode("utf-32-le")
