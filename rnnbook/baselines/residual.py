"""A second model that predicts what a first one leaves over, as both see each rating only after it was predicted."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from rnnbook.interactions import DataError


def prequential(fit, data, start, n_parts=5):
    """Predict every rating before it is read: part by part, each by a model of all ratings before the part.

    Within a part the model follows the ratings, and between two parts it is fitted anew.

    Parameters
    ----------
    fit : callable
        ``fit(train)`` returns a rating predictor (see :mod:`rnnbook.metrics`) that was fitted to RatingData.
    data : RatingData
    start : int
        The ratings before this one are the first to be fitted to; they are not predicted.
    n_parts : int
        In how many parts, of about equal size, the others are predicted. Only ``start`` may divide ratings of one time.

    Returns
    -------
    float64 array [data.n_ratings - start]

    Raises
    ------
    DataError
        There is no rating before ``start``, or none from there on.

    Examples
    --------
    >>> from rnnbook.baselines import Biases
    >>> from rnnbook.worlds import RatingWorld
    >>> data = RatingWorld(n_users=20, n_steps=10).sample()
    >>> prequential(Biases().fit, data, start=100, n_parts=2).shape
    (100,)
    """
    if not 0 < start < data.n_ratings:
        raise DataError(f"{data.name}: no ratings before number {start}, or none from there on; there are "
                        f"{data.n_ratings}")
    cuts = np.searchsorted(data.times, data.times[np.linspace(start, data.n_ratings - 1, n_parts + 1).astype(int)])
    cuts = np.unique(np.concatenate([[start], np.maximum(cuts[1:-1], start), [data.n_ratings]]))
    parts = [fit(data.take(slice(a))).follow(data.take(slice(a, b))) for a, b in pairwise(cuts)]
    return np.concatenate(parts)


class Residual:
    r"""The sum of two rating predictors: :math:`\hat r = \hat r_\mathrm{base} + \hat e`.

    The second one is trained on the errors :math:`e = r - \hat r_\mathrm{base}` of the first, and reads errors where it
    would read ratings. An error says what a rating brought that was not expected, which is what an update needs.

    Parameters
    ----------
    base, correction : rating predictors
        The second one was trained on errors that the first one made before it saw the ratings, as `prequential` gives.

    Examples
    --------
    Biases on top of a factorisation that has none.

    >>> from rnnbook.baselines import Biases, MatrixFactorization
    >>> from rnnbook.worlds import RatingWorld
    >>> train, _, test = RatingWorld(n_users=50, n_steps=20).sample().split_by_time()
    >>> def base(part):
    ...     return MatrixFactorization(n_factors=3, biased=False).fit(part)
    >>> late = train.take(slice(200, None))
    >>> errors = replace(late, ratings=late.ratings - prequential(base, train, start=200))
    >>> model = Residual(base(train), Biases().fit(errors))
    >>> model.follow(test).shape
    (100,)
    """

    def __init__(self, base, correction):
        self.base, self.correction = base, correction
        self.user_ids, self.item_ids = base.user_ids, base.item_ids

    def predict(self, users, items, times):
        """Predicted ratings, float64 [n], as both models give them."""
        return self.base.predict(users, items, times) + self.correction.predict(users, items, times)

    def follow(self, data):
        """Predicted ratings of RatingData, float64 [n_ratings]; the second model reads the errors of the first."""
        predicted = self.base.follow(data)
        return predicted + self.correction.follow(replace(data, ratings=data.ratings - predicted))
