"""Ratings as sequences of steps, one sequence for each user or item, and the packed arrays that an LSTM reads of them.

The owner of a sequence is a user, and the others are the items that were rated; or the reverse.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rnnbook.interactions.ragged import batches_by_length, concatenated_ranges


class Steps:
    """The ratings of one side as sequences of steps: a step holds all that an owner's sequence has at one time.

    A step without ratings does not exist; the clock shows how long the gap before the next one was. So the size of
    all arrays grows with the number of ratings, and never with users × items × time.

    Parameters
    ----------
    owners, others : int64 arrays [n]
        Whose step each rating belongs to, and whom or what it is about: users and items, or items and users.
    ratings, times : float64 arrays [n]
        The times never fall.
    n_owners : int
    width : float
        Seconds that count as one time; 0 puts only ratings of the same instant together.

    Attributes
    ----------
    time : float64 [S]
        The time of each step, rounded down to ``width``. Steps of one owner lie together, the oldest first.
    offsets : int64 [n_owners + 1]
        Owner i has the steps ``offsets[i] : offsets[i + 1]``.
    bags : int64 [S + 1]
        Step k holds the ratings ``bags[k] : bags[k + 1]`` of ``others`` and ``ratings``.
    order : int64 [n]
        The position of each of those ratings in the data.
    step_of : int64 [n]
        The step of each rating, in the order of the data.

    Examples
    --------
    Two users. The first rates twice at one instant, then once more: two steps, the first with two ratings.

    >>> owners, others = np.array([0, 0, 1, 0]), np.array([5, 6, 5, 7])
    >>> steps = Steps(owners, others, np.array([3.0, 4.0, 1.0, 5.0]),
    ...               np.array([10.0, 10.0, 20.0, 30.0]), 2, width=0)
    >>> steps.time.tolist(), steps.offsets.tolist(), steps.bags.tolist()
    ([10.0, 30.0, 20.0], [0, 2, 3], [0, 2, 3, 4])
    >>> steps.count_before([0, 0, 0], [10, 11, 31]).tolist()  # strictly before
    [0, 1, 2]
    """

    def __init__(self, owners, others, ratings, times, n_owners, width):
        self.width = width
        self.order = np.argsort(owners, kind="stable")
        owner, time = owners[self.order], self.round(times)[self.order]
        first = np.ones(len(owner), dtype=bool)  # whether a rating begins a step
        first[1:] = (owner[1:] != owner[:-1]) | (time[1:] != time[:-1])
        starts = np.flatnonzero(first)
        self.time, self.bags = time[starts], np.append(starts, len(owner))
        self.offsets = np.searchsorted(owner[starts], np.arange(n_owners + 1))
        self.others, self.ratings = others[self.order], ratings[self.order]
        self.step_of = np.empty(len(owner), dtype=np.int64)
        self.step_of[self.order] = np.cumsum(first) - 1

    def round(self, times):
        """Times (s) rounded down to the width of a step."""
        return np.floor(times / self.width) * self.width if self.width else times

    def batches(self, batch_size, owners=None):
        """Owners, by default all, in batches of about ``batch_size`` steps; see `batches_by_length`."""
        n_steps = np.diff(self.offsets)
        return batches_by_length(n_steps, batch_size, np.arange(len(n_steps)) if owners is None else owners)

    def ratings_in(self, numbers):
        """The ratings of some steps (int64 [R]): how many each has, int64 [R], and their positions, step after step."""
        sizes = self.bags[numbers + 1] - self.bags[numbers]
        return sizes, concatenated_ranges(self.bags[numbers], sizes)

    def n_ratings(self, owners):
        """How many ratings each owner has: int64 [B]."""
        return self.bags[self.offsets[owners + 1]] - self.bags[self.offsets[owners]]

    def count_before(self, owners, times):
        """How many steps each owner (int64 [B]) has strictly before a time (s, [B]): int64 [B]."""
        return np.array([np.searchsorted(self.time[self.offsets[i]:self.offsets[i + 1]], t)
                         for i, t in zip(owners, times)], dtype=np.int64)


class Sequences(NamedTuple):
    """Sequences of steps, packed one after the other. With n steps, a sequence has n + 1 places.

    Place 0 reads nothing, place k reads step k − 1. So the state at a place knows the steps strictly before it.

    Examples
    --------
    User 0 rated item 1, and on the next day items 0 and 1. The second place reads one rating, the third reads two.

    >>> day = 86_400.0
    >>> steps = Steps(np.array([0, 0, 0]), np.array([1, 0, 1]), np.array([3.0, 4.0, 5.0]),
    ...               np.array([0.0, day, day]), n_owners=1, width=day)
    >>> packed = pack(steps, np.array([0]), n_before=np.array([2]), last=np.array([5 * day]),
    ...               n_others=2)
    >>> packed.place.tolist(), (packed.time / day).tolist(), (packed.gap / day).tolist()
    ([0, 1, 2], [0.0, 1.0, 5.0], [0.0, 1.0, 4.0])
    >>> packed.readers.tolist(), packed.bags.tolist(), packed.others[packed.other].tolist()
    ([1, 2], [0, 1], [1, 0, 1])
    """

    sequence: np.ndarray  # int64 [P]: which of the B sequences a place belongs to
    place: np.ndarray  # int64 [P]: its position there, from 0
    time: np.ndarray  # float64 [P]: seconds
    gap: np.ndarray  # float64 [P]: seconds since the place before; 0 at place 0
    readers: np.ndarray  # int64 [R]: the places that read a step, R = P − B
    bags: np.ndarray  # int64 [R]: where the ratings of each such step begin in the next two
    ratings: np.ndarray  # int64 [K]: the ratings read, as positions in ``Steps.ratings``
    other: np.ndarray  # int64 [K]: whom or what each is about, as a position in ``others``
    others: np.ndarray  # int64 [U]: those, each once and ascending; n_others stands for all who came after training


def pack(steps, owners, n_before, last, n_others):
    """The Sequences of some owners, each up to a step of its own.

    Parameters
    ----------
    steps : Steps
    owners : int64 array [B]
    n_before : int64 array [B]
        How many steps of each are read.
    last : float64 array [B]
        The time of the last place, in seconds.
    n_others : int
        How many others training knew.

    Returns
    -------
    Sequences

    Examples
    --------
    Without a step before it, a sequence has one place, which reads nothing.

    >>> steps = Steps(np.array([0]), np.array([1]), np.array([3.0]), np.array([0.0]), 1, width=0)
    >>> packed = pack(steps, np.array([0]), np.array([0]), np.array([60.0]), n_others=2)
    >>> packed.place.tolist(), packed.time.tolist(), packed.readers.tolist()
    ([0], [60.0], [])
    """
    sequence = np.repeat(np.arange(len(owners)), n_before + 1)
    place = concatenated_ranges(np.zeros_like(n_before), n_before + 1)
    readers = np.flatnonzero(place > 0)
    read = concatenated_ranges(steps.offsets[owners], n_before)  # the steps
    time = np.empty(len(place))
    time[np.cumsum(n_before + 1) - 1] = last
    time[readers - 1] = steps.time[read]
    gap = np.where(place > 0, np.diff(time, prepend=0.0), 0.0)
    sizes, ratings = steps.ratings_in(read)
    others, other = np.unique(np.minimum(steps.others[ratings], n_others), return_inverse=True)
    return Sequences(sequence, place, time, gap, readers, np.cumsum(sizes) - sizes, ratings, other, others)
