"""What a network's state knows of a quantity that it was never shown: a linear probe, and moves along it.

A probe predicts the quantity from the state by least squares. If it succeeds on other sessions, the state holds the
quantity in a form that a linear map can read. Whether the network *uses* it shows only when the state is moved: then it
must answer as if it had seen another past.
"""

from __future__ import annotations

import numpy as np

from rnnbook import metrics


def histories(sessions):
    """The clicks before each prediction.

    Parameters
    ----------
    sessions : SessionData

    Returns
    -------
    list of int64 array, item indices; one for each event that has a predecessor, in the order of the events

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> sessions = SessionWorld().sample(3)
    >>> found = histories(sessions)
    >>> len(found) == sessions.n_events - 3, found[1].tolist() == sessions.items[:2].tolist()
    (True, True)
    """
    positions, of = metrics.target_positions(sessions)
    return [sessions.items[start:end] for start, end in zip(sessions.offsets[of], positions)]


def beliefs(world, sessions):
    """P(mood of the next click | clicks so far) of a `SessionWorld`, by the recursion of its Bayes filter.

    Parameters
    ----------
    world : SessionWorld
    sessions : SessionData

    Returns
    -------
    float64 array [n_predictions, n_states], a row for each of `histories`

    Examples
    --------
    With the emissions it gives the optimum's predictions.

    >>> from rnnbook.worlds import SessionWorld
    >>> world = SessionWorld()
    >>> sessions = world.sample(20)
    >>> positions, best = next(world.bayes().score_sessions(sessions))  # of the second clicks
    >>> row = metrics.target_positions(sessions)[0].searchsorted(positions.numpy())
    >>> np.allclose(beliefs(world, sessions)[row] @ world.emission, best)
    True
    """
    found, best = np.empty((sessions.n_events, world.n_states)), world.bayes()
    belief = np.tile(world.start, (sessions.n_sessions, 1))
    for t in range(sessions.lengths.max(initial=0)):
        alive = np.flatnonzero(sessions.lengths > t)
        events = sessions.offsets[alive] + t
        belief[alive] = found[events] = best.after_click(belief[alive], sessions.items[events])
    return found[metrics.target_positions(sessions)[0] - 1]


def r_squared(predicted, actual):
    """Share of the variance of ``actual`` that ``predicted`` explains, over all columns together; both [n, k].

    Examples
    --------
    >>> actual = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> r_squared(actual, actual), r_squared(np.full((4, 2), 0.5), actual)
    (1.0, 0.0)
    """
    return float(1 - ((actual - predicted)**2).sum() / ((actual - actual.mean(0))**2).sum())


class LinearProbe:
    """The linear map from states to a quantity with the least squared error, with an intercept.

    Parameters
    ----------
    states : float array [n, d]
    targets : float array [n, k]

    Attributes
    ----------
    weight : float64 array [d, k]
    bias : float64 array [k]

    Examples
    --------
    >>> states = np.random.default_rng(0).normal(size=(50, 3))
    >>> probe = LinearProbe(states, states[:, :1] - 2 * states[:, 1:2] + 5)
    >>> probe.weight.round(6).ravel().tolist(), probe.bias.round(6).tolist()
    ([1.0, -2.0, 0.0], [5.0])
    >>> moved = probe.move(states[:1], np.array([[10.0]]))
    >>> (moved - states[:1]).round(6).tolist()
    [[2.0, -4.0, 0.0]]
    """

    def __init__(self, states, targets):
        with_one = np.column_stack([states, np.ones(len(states))]).astype(np.float64)
        *weight, self.bias = np.linalg.lstsq(with_one, targets, rcond=None)[0]
        self.weight = np.array(weight)

    def read(self, states):
        """What the probe reads in states [n, d]: float64 [n, k]."""
        return states @ self.weight + self.bias

    def move(self, states, changes):
        """States [n, d] moved as little as possible, so that the probe reads ``changes`` [n, k] more in them.

        A change that no move can make, as one of a sum that is always 1, is made as far as it can be.
        """
        # Targets that sum to 1 leave a direction in which the weight is 0 but for rounding; it must not count.
        return states + changes @ np.linalg.pinv(self.weight, rcond=1e-9)
