"""Reviews as flat arrays: ratings, each with a text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from rnnbook.interactions.ratings import RatingData
from rnnbook.interactions.tables import amount, read_reviews

BLOCK = 4096  # reviews that are encoded together; converting all at once would need much more memory
LOST = 0xFFFD  # the character that replaces an unreadable one


@dataclass(frozen=True, eq=False, repr=False)
class ReviewData:
    """Ratings with their reviews, in CSR style: review ``i`` is ``characters[offsets[i]:offsets[i + 1]]``.

    Attributes
    ----------
    ratings : RatingData
        User, item, rating and time of each, in the order of time.
    characters : uint32 array [n_characters]
        Unicode code points, review after review in the order of ``ratings``.
    offsets : int64 array [n_ratings + 1]
        The start of each review; the last entry is ``n_characters``. A review can be empty.

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
        """Make ReviewData from a DataFrame with one row per rating. No row is dropped; the ids are sorted.

        Parameters
        ----------
        df : pandas or polars DataFrame
        user, item, rating, time, text : str
            Column names. Ids, ratings and times are as in
            :meth:`~rnnbook.interactions.ratings.RatingData.from_frame`. A missing text becomes an empty review.

        Raises
        ------
        DataError
            A column or a value is missing, a rating is not a number, a time is invalid, or a text is not a string.
            The message names the row.
        """
        frame, report = read_reviews(df, user=user, item=item, rating=rating, time=time, text=text)
        return cls.from_reviews(frame, name, report).count_repairs()

    @classmethod
    def from_reviews(cls, frame, name, report):
        """Make ReviewData from the polars DataFrame and the report of `read_reviews`; the rows may be in any order."""
        frame = frame.sort("time", maintain_order=True)
        offsets = np.concatenate([[0], np.cumsum(frame["text"].str.len_chars().to_numpy(), dtype=np.int64)])
        characters = np.empty(offsets[-1], dtype=np.uint32)
        for start, block in zip(offsets[::BLOCK], frame.iter_slices(BLOCK)):
            codes = np.frombuffer("".join(block["text"]).encode("utf-32-le"), dtype="<u4")
            characters[start:start + len(codes)] = codes
        return cls(RatingData.from_ratings(frame, name, report), characters, offsets)

    def text(self, i):
        """Review ``i`` as a str."""
        i = range(self.n_ratings)[i]  # -1 means the last review
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
        """dict of str to int: the report of the ratings, which also counts repairs of the texts."""
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
        """str: SHA-256 of the ratings and the texts, as hex. Equal data have equal digests."""
        digest = hashlib.sha256(self.ratings.sha256.encode())
        for array, kind in ((self.offsets, "<i8"), (self.characters, "<u4")):
            digest.update(np.ascontiguousarray(array, dtype=kind).data)
        return digest.hexdigest()

    def take(self, which):
        """ReviewData with the reviews at these positions (ascending int64 indices, a slice or a mask), over all ids.

        Raises
        ------
        ValueError
            The indices do not ascend, so the result would not be in the order of time.
        """
        rows = np.arange(self.n_ratings)[which]
        if (np.diff(rows) <= 0).any():
            raise ValueError("reviews are taken in the order of time, each once: the indices must ascend")
        keep = np.zeros(self.n_ratings, dtype=bool)
        keep[rows] = True
        return ReviewData(self.ratings.take(rows), self.characters[np.repeat(keep, self.lengths)],
                          np.concatenate([[0], np.cumsum(self.lengths[rows])]))

    def split_by_time(self, *shares):
        """Split into consecutive parts, the earliest first. By default they have 80, 10 and 10 % of the reviews.

        Parameters and errors are those of :meth:`~rnnbook.interactions.ratings.RatingData.split_by_time`.

        Returns
        -------
        tuple of ReviewData
            One for each share, all over the same ids.
        """
        ends = np.cumsum([part.n_ratings for part in self.ratings.split_by_time(*shares)])
        return tuple(self.take(slice(a, b)) for a, b in zip((0, *ends[:-1]), ends))

    def count_repairs(self):
        """The same ReviewData; its report counts repeated pairs, empty reviews and reviews with lost characters."""
        lost = np.searchsorted(self.offsets, np.flatnonzero(self.characters == LOST), side="right")
        counts = {"reviews without text": int((self.lengths == 0).sum()),
                  "reviews with a character that could not be read (U+FFFD)": len(np.unique(lost))}
        ratings = self.ratings.count_repeats()
        report = ratings.report | {what: count for what, count in counts.items() if count}
        return replace(self, ratings=replace(ratings, report=report))

    def keep_active_users(self, least):
        """ReviewData of the users with at least ``least`` ratings, as `RatingData.keep_active_users`."""
        ratings = self.ratings.keep_active_users(least)
        if ratings is self.ratings:
            return self
        active = np.isin(self.ratings.user_ids, ratings.user_ids)
        return replace(self.take(active[self.ratings.users]), ratings=ratings)

    def __repr__(self):
        first, *counts = repr(self.ratings).split("\n")
        return "\n".join([f"{first}, {amount(self.n_characters, 'character')} of text", *counts])


def _decoded(characters):
    return characters.astype("<u4", copy=False).tobytes().decode("utf-32-le")
