"""Sequences of unequal length, concatenated: their positions, and batches of them with little padding."""

from __future__ import annotations

import numpy as np


def concatenated_ranges(starts, lengths):
    """Concatenate the ranges [start, start + length).

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
    """Cut sequences into batches of about ``batch_size`` elements; sequences of similar length share a batch.

    So a padded batch has little padding. A batch of very long sequences is not larger, because it has few of them.

    Parameters
    ----------
    lengths : int64 array [n]
        The number of elements of each sequence. Empty sequences are left out.
    batch_size : int
        The number of elements per batch. A sequence is never split, so a batch can have more.
    order : int64 array [n]
        Indices of the sequences. Sequences of equal length keep this order.

    Returns
    -------
    list of int64 arrays
        The indices of the sequences of each batch, the shortest sequences first.

    Examples
    --------
    Sequences of 3, 1, 0 and 1 elements, in batches of about two elements.

    >>> batches = batches_by_length(np.array([3, 1, 0, 1]), batch_size=2, order=np.arange(4))
    >>> [batch.tolist() for batch in batches]
    [[1, 3], [0]]
    """
    order = order[lengths[order] > 0]
    return batches_in_order(lengths, batch_size, order[np.argsort(lengths[order], kind="stable")])


def batches_in_order(lengths, batch_size, order):
    """Cut sequences into batches of about ``batch_size`` elements, in the order given.

    Parameters and result are those of `batches_by_length`, but ``order`` [k] must not contain empty sequences.

    Examples
    --------
    >>> batches = batches_in_order(np.array([3, 1, 0, 1]), batch_size=2, order=np.array([1, 0, 3]))
    >>> [batch.tolist() for batch in batches]
    [[1, 0], [3]]
    """
    batch = (np.cumsum(lengths[order]) - lengths[order]) // batch_size
    return np.split(order, np.flatnonzero(np.diff(batch)) + 1) if len(order) else []
