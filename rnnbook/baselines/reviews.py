"""A baseline for joint models of ratings and reviews: it reads the reviews that an item already has."""

from __future__ import annotations

import re

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import lsqr

from rnnbook.baselines.ratings import RatingBaseline


class ReviewRidge(RatingBaseline):
    r"""Ridge regression on the words of an item's earlier reviews.

    First it learns what words say about the rating that they come with. With :math:`x_i \in \{0, 1\}^m`, the words
    that review i has,

    .. math::
        s_i &= v \cdot x_i, \\
        v &= \arg\min_v \sum_i (r_i - \mu - v \cdot x_i)^2 + \lambda \|v\|^2 .

    Then it predicts an item's next rating from its last n ratings and from what their reviews said, the latest first:

    .. math::
        \hat r_j = \mu + \sum_{k=1}^n a_k (r_{j,k} - \mu) + b_k s_{j,k} .

    The a and b are the least-squares solution for validation ratings. Terms of ratings that an item does not have are
    0. Users are not distinguished, and the review of the rating to predict is not read.

    Parameters
    ----------
    n : int
        The number of ratings of an item that are used.
    penalty : float > 0
        λ

    Attributes
    ----------
    words : list of str [m]
        In alphabetical order, in lower case.
    weights : float64 array [m]
        v

    Examples
    --------
    The item of Ann's "good" gets 4, that of her "bad" 2.

    >>> from rnnbook.interactions import ReviewData
    >>> rows = pd.DataFrame({"user": "ann", "item": ["tea", "milk"] * 2, "rating": [4.0, 2.0] * 2,
    ...                      "time": range(4), "text": ["Good.", "Bad.", "", ""]})
    >>> data = ReviewData.from_frame(rows)
    >>> model = ReviewRidge(n=1).fit(data.take(slice(2)), data.take(slice(2, None)))
    >>> model.words, model.weights.round(2).tolist()
    (['bad', 'good'], [-0.5, 0.5])
    >>> model.predict(["bob"], ["tea"], [4]).round(2).tolist()
    [4.0]
    """

    def __init__(self, n=3, penalty=1.0):
        self.n, self.penalty = n, penalty

    def fit(self, train, valid):  # type: ignore[override]  # a second set of ratings is needed, those that come next
        """Learn from ReviewData, and how much the past counts from ``valid``, those that come next. Returns the model.
        """
        self._start(train.ratings)
        of_review = [set(re.findall(r"\w+", text.lower())) for text in train.to_frame()["text"]]
        self.words = sorted(set().union(*of_review))
        column = {word: k for k, word in enumerate(self.words)}
        places = [column[word] for words in of_review for word in words]
        ends = np.cumsum([0, *map(len, of_review)])
        x = sparse.csr_array((np.ones(len(places)), places, ends), shape=(len(of_review), len(self.words)))
        rating = train.ratings.ratings - self.mean
        self.weights = lsqr(x, rating, damp=self.penalty**0.5, atol=1e-12, btol=1e-12)[0]
        self.past = self._latest(train.ratings.items, np.stack([rating, x @ self.weights], axis=1))
        later = valid.ratings
        self.shares = np.linalg.lstsq(self.past[later.items], later.ratings - self.mean, rcond=None)[0]
        return self

    def _latest(self, items, values):
        """The last n rows of ``values`` [n_ratings, 2] for each item, the latest first: [n_items + 1, 2 n]."""
        by_item = np.argsort(items, kind="stable")
        ends = np.cumsum(np.bincount(items))
        back = ends[items[by_item]] - np.arange(len(items)) - 1  # how many ratings the item has after this one
        kept, back = by_item[back < self.n], back[back < self.n]
        past = np.zeros((len(self.item_ids) + 1, self.n, 2))  # the last row: of unknown items
        past[items[kept], back] = values[kept]
        return past.reshape(len(past), -1)

    def _predict(self, users, items, times):
        return self.mean + self.past[items] @ self.shares
