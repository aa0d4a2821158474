"""Lists of unequal length laid end to end: their places, and batches of them in which little is padding."""

from __future__ import annotations

import numpy as np


def concatenated_ranges(starts, lengths):
    """The ranges [start, start + length), one after another.

    Parameters
    ----------
    starts, lengths : int64 arrays [k]

    Returns
    -------
    int64 array [sum of lengths]

    Examples
    --------
    >>> concatenated_ranges(np.array([10, 0, 7]), np.array([2, 0, 3])).tolist()
    [10, 11, 7, 8, 9]
    """
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(lengths.sum())


def batches_by_length(lengths, batch_size, order):
    """Cut sequences into batches of about ``batch_size`` elements, sequences of similar length side by side.

    So little of a padded batch is padding, and a few very long sequences cannot make a batch large.

    Parameters
    ----------
    lengths : int64 array [n]
        Elements of each sequence; sequences without any are left out.
    batch_size : int
        Elements. The sequence that fills a batch stays whole.
    order : int64 array [n]
        Sequences; those of equal length stay in this order.

    Returns
    -------
    list of int64 arrays
        The sequences of each batch, the shortest first.

    Examples
    --------
    Sequences of 3, 1, 0 and 1 elements, cut where about two elements are together.

    >>> batches = batches_by_length(np.array([3, 1, 0, 1]), batch_size=2, order=np.arange(4))
    >>> [batch.tolist() for batch in batches]
    [[1, 3], [0]]
    """
    order = order[lengths[order] > 0]
    return batches_in_order(lengths, batch_size, order[np.argsort(lengths[order], kind="stable")])


def batches_in_order(lengths, batch_size, order):
    """Cut sequences into batches of about ``batch_size`` elements, in the order given.

    Parameters and result are those of `batches_by_length`; ``order`` holds no sequence without elements.

    Examples
    --------
    >>> batches = batches_in_order(np.array([3, 1, 0, 1]), batch_size=2, order=np.array([1, 0, 3]))
    >>> [batch.tolist() for batch in batches]
    [[1, 0], [3]]
    """
    batch = (np.cumsum(lengths[order]) - lengths[order]) // batch_size
    return np.split(order, np.flatnonzero(np.diff(batch)) + 1) if len(order) else []
