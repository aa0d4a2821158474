"""What a recurrent model of ratings has to beat: biases, factors, factors kept up to date, and autoencoders.

All follow the protocol of rating predictors in :mod:`rnnbook.metrics` and compute in float64; ``fit`` returns the
model. :math:`\\mu` is the mean of the training ratings. A user or item without a training rating has zeros for
parameters, which is what a ridge knows about it, so that its prediction falls back to the parts that are known
(but see :class:`AutoRec`); ``predict`` treats unknown ids alike. ``predict`` goes on from all that was trained on,
whatever the time asked for (:class:`TimeSVDpp` alone reads it). Predictions are not clipped to the scale.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.sparse.linalg import cg
from scipy.special import expit
from torch.nn import functional as F

from rnnbook.interactions import DataError, concatenate
from rnnbook.interactions.ragged import batches_in_order, concatenated_ranges
from rnnbook.training import Adam


class RatingBaseline(ABC):
    """The protocol for a model that learns once; a subclass defines ``fit`` and ``_predict``.

    Examples
    --------
    The mean of the training, for everybody and everything:

    >>> class Mean(RatingBaseline):
    ...     def fit(self, train):
    ...         self._start(train)
    ...         return self
    ...
    ...     def _predict(self, users, items, times):
    ...         return np.full(len(users), self.mean)
    >>> from rnnbook.interactions import RatingData
    >>> rows = pd.DataFrame({"user": ["ann", "bob"], "item": ["tea", "milk"], "rating": [5.0, 2.0],
    ...                      "time": [0, 1]})
    >>> model = Mean().fit(RatingData.from_frame(rows))
    >>> model.predict(["ann", "zoe"], ["milk", "milk"], [2, 2]).tolist()
    [3.5, 3.5]
    """

    @abstractmethod
    def fit(self, train):
        """Learn from RatingData, remember it to go on from, and return the model."""

    @abstractmethod
    def _predict(self, users, items, times):
        """Ratings, float64 [n], for indices [n] and seconds [n]; n_users and n_items stand for all new ones."""

    def _start(self, train):
        if not train.n_ratings:
            raise DataError(f"{train.name}: no ratings to learn from")
        self.user_ids, self.item_ids, self.mean = train.user_ids, train.item_ids, train.ratings.mean()
        self.last = train.times[-1]

    def _check_goes_on(self, data):
        for ids in ("user_ids", "item_ids"):
            if not np.array_equal(getattr(self, ids), getattr(data, ids)):
                raise ValueError(f"{data.name} has other {ids} than the training; take both from one split")
        if data.n_ratings and data.times[0] < self.last:
            raise ValueError(f"{data.name} begins before the training ends; use predict for what was trained on")

    def predict(self, users, items, times):
        """Predicted ratings, float64 [n], for raw ids [n] and seconds [n]; unknown ids are new users and items."""
        return self._predict(_indices(users, self.user_ids), _indices(items, self.item_ids),
                             np.asarray(times, dtype=np.float64))

    def follow(self, data):
        """Predicted ratings, float64 [n_ratings], for ``data`` over the same ids, from the training alone."""
        self._check_goes_on(data)
        return self._predict(data.users, data.items, data.times)


def _indices(raw, ids):
    found = pd.Index(ids).get_indexer(pd.Index(raw))
    return np.where(found < 0, len(ids), found)


def _matrix(rows, columns, values, shape):
    """Sums of ``values`` by place: csr_array."""
    return sparse.csr_array((values, (rows, columns)), shape=shape)


def _instants(times):
    """Consecutive slices, each with the ratings of one instant."""
    cuts = [0, *np.flatnonzero(np.diff(times)) + 1, len(times)]
    return [slice(a, b) for a, b in pairwise(cuts) if a < b]


class _Grouped:
    """The positions of each row's ratings in the data, row after row."""

    def __init__(self, rows, n_rows):
        self.places = np.argsort(rows, kind="stable")
        self.counts = np.bincount(rows, minlength=n_rows)
        self.starts = np.cumsum(self.counts) - self.counts

    def of(self, rows):
        """Places of the ratings of ``rows``, row after row."""
        return self.places[concatenated_ranges(self.starts[rows], self.counts[rows])]

    def batches(self, batch_size, rng):
        """All rows with ratings in random order, cut into batches of about ``batch_size`` ratings."""
        return batches_in_order(self.counts, batch_size, rng.permutation(np.flatnonzero(self.counts)))


# Ridge --------------------------------------------------------------------------------------------------


class Biases(RatingBaseline):
    r"""Who is generous, what is liked: :math:`\hat r_{uj} = \mu + b_u + b_j`.

    The biases minimise :math:`\sum (r_{uj} - \hat r_{uj})^2 + \lambda_u \sum b_u^2 + \lambda_j \sum b_j^2`,
    both at once (by conjugate gradients, to 10 digits).

    Parameters
    ----------
    user_penalty, item_penalty : λ_u, λ_j > 0, in ratings: a user with λ_u of them is believed by half

    References
    ----------
    Y. Koren, R. Bell, C. Volinsky. "Matrix Factorization Techniques for Recommender Systems." Computer 42(8),
    2009.

    Examples
    --------
    Two ratings by one user, 2 above and 2 below the mean of 3. With a penalty of 1 an item that has one rating is
    believed by half.

    >>> from rnnbook.interactions import RatingData
    >>> rows = pd.DataFrame({"user": ["ann", "ann"], "item": ["tea", "milk"], "rating": [5.0, 1.0],
    ...                      "time": [0, 1]})
    >>> model = Biases(item_penalty=1.0).fit(RatingData.from_frame(rows))
    >>> model.predict(["ann", "ann", "zoe"], ["tea", "milk", "tea"], [2, 2, 2]).round(4).tolist()
    [4.0, 2.0, 4.0]
    """

    def __init__(self, user_penalty=5.0, item_penalty=2.0):
        self.user_penalty, self.item_penalty = user_penalty, item_penalty

    def fit(self, train):
        self._start(train)
        n_users, n_items = train.n_users + 1, train.n_items + 1
        both = np.concatenate([train.users, n_users + train.items])
        rating = np.tile(np.arange(train.n_ratings), 2)
        design = _matrix(rating, both, np.ones(len(both)), (train.n_ratings, n_users + n_items))
        penalty = np.repeat([float(self.user_penalty), self.item_penalty], [n_users, n_items])
        normal = design.T @ design + sparse.diags_array(penalty)
        solution, failed = cg(normal, design.T @ (train.ratings - self.mean), rtol=1e-10,
                              M=sparse.diags_array(1 / normal.diagonal()))
        assert not failed
        self.user_bias, self.item_bias = solution[:n_users], solution[n_users:]
        return self

    def _predict(self, users, items, times):
        return self.mean + self.user_bias[users] + self.item_bias[items]


class MatrixFactorization(RatingBaseline):
    r"""Biased matrix factorisation, :math:`\hat r_{uj} = \mu + b_u + b_j + p_u^\top q_j`, by alternating ridges.

    It lowers :math:`\sum (r_{uj} - \hat r_{uj})^2 + \lambda \sum (\|p_u\|^2 + \|q_j\|^2) + \lambda_b \sum (b_u^2
    + b_j^2)`: given the items, the user's :math:`[b_u, p_u]` is a ridge regression on the design
    :math:`[1, q_j]`, solved exactly, and then the other way round. Without the biases this is the maximum a
    posteriori of probabilistic matrix factorisation. The penalty is plain. Times the number of ratings, as in
    ALS-WR, the best for MovieLens 100K gained .005 of its validation RMSE and lost .06 of MovieTweetings'.

    Parameters
    ----------
    n_factors : d
    penalty, bias_penalty : λ, λ_b > 0
    n_epochs : solves of all users and all items
    seed : of the item factors before the first solve, which are small and random
    biased : whether there are :math:`b_u` and :math:`b_j`
    init : float array [n_items, n_factors], optional
        Item factors to start from instead. There is nothing to give for the users, which are solved first.

    Attributes
    ----------
    user_vectors, item_vectors : float64 arrays [n_users + 1, 1 + d], [n_items + 1, 1 + d]
        :math:`[b_u, p_u]` and :math:`[b_j, q_j]`; the last row is that of all new ones.

    References
    ----------
    R. Salakhutdinov, A. Mnih. "Probabilistic Matrix Factorization." NIPS 2007. Y. Koren, R. Bell, C. Volinsky.
    "Matrix Factorization Techniques for Recommender Systems." Computer 42(8), 2009.

    Examples
    --------
    Two tastes that no bias can tell: half of the users love tea and hate milk, the others the reverse.

    >>> from rnnbook.interactions import RatingData
    >>> rows = [(u, i, 5.0 if u % 2 == i else 1.0, 10 * u + i) for u in range(20) for i in range(2)]
    >>> frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    >>> train = RatingData.from_frame(frame)
    >>> for model in (Biases(), MatrixFactorization(n_factors=1, penalty=0.1)):
    ...     print(model.fit(train).predict([0, 0], [0, 1], [999, 999]).round(1).tolist())
    [3.0, 3.0]
    [5.0, 1.0]
    """

    def __init__(self, n_factors=20, penalty=15.0, bias_penalty=2.0, n_epochs=15, seed=0, biased=True, init=None):
        self.n_factors, self.penalty, self.bias_penalty = n_factors, penalty, bias_penalty
        self.n_epochs, self.seed, self.biased, self.init = n_epochs, seed, biased, init

    @property
    def user_factors(self):
        """float64 [n_users, d]: p, a view of ``user_vectors``."""
        return self.user_vectors[:-1, 1:]

    @property
    def item_factors(self):
        """float64 [n_items, d]: q, a view of ``item_vectors``."""
        return self.item_vectors[:-1, 1:]

    def fit(self, train):
        self._start(train)
        self.train = train
        self.item_vectors = np.zeros((train.n_items + 1, 1 + self.n_factors))
        rng = np.random.default_rng(self.seed)
        self.item_factors[:] = rng.normal(0, 0.1, self.item_factors.shape) if self.init is None else self.init
        places = train.users, train.items
        shape = train.n_users + 1, train.n_items + 1
        count = _matrix(*places, np.ones(train.n_ratings), shape)  # of ratings: usually 1
        total = _matrix(*places, train.ratings - self.mean, shape)
        for _ in range(self.n_epochs):
            self.user_vectors = self._solve_all(count, total, self.item_vectors)
            self.item_vectors = self._solve_all(count.T.tocsr(), total.T.tocsr(), self.user_vectors)
        return self

    def _design(self, others):
        """[1, factors] of the other side, [n, 1 + d]; a design of 0 is all it takes to keep a bias at 0."""
        design = others.copy()
        design[:, 0] = self.biased
        return design

    def _ridge(self):
        return np.diag([self.bias_penalty] + [self.penalty] * self.n_factors)

    def _solve_all(self, count, total, others):
        """The ridge of every row: sparse [n, m] counts and sums of ratings, vectors [m, 1 + d], to [n, 1 + d]."""
        design = self._design(others)
        right = total @ design - count @ (others[:, :1] * design)
        products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
        solved = np.empty_like(right)
        for start in range(0, len(right), 4096):  # the normal equations of so many rows at a time fit into memory
            rows = slice(start, start + 4096)
            left = (count[rows] @ products).reshape(-1, *self._ridge().shape) + self._ridge()
            solved[rows] = np.linalg.solve(left, right[rows, :, None])[..., 0]
        return solved

    def _predict(self, users, items, times):
        return self._rating(self.user_vectors[users], self.item_vectors[items])

    def _rating(self, user, item):
        return self.mean + user[:, 0] + item[:, 0] + (user[:, 1:] * item[:, 1:]).sum(1)


class OnlineMF(MatrixFactorization):
    """Matrix factorisation that learns from every rating as it comes: the fair rival of a recurrent model.

    Fitted as :class:`MatrixFactorization`. Before each prediction ``follow`` solves the item's ridge, then the
    user's, each from all of its ratings so far with the other side's vectors as they stand. The ratings of one
    instant are solved for, items first, and predicted together before any of them is learnt from. ``predict``
    goes on from the training alone.

    Examples
    --------
    All ratings were 3, now one user rates 5: `follow` moves towards it from rating to rating.

    >>> from rnnbook.interactions import RatingData
    >>> rows = [(u, u + k, 3.0, 10 * u + k) for u in range(8) for k in range(8)]
    >>> later = [(0, k, 5.0, 1000 + k) for k in range(8)]
    >>> frame = pd.DataFrame(rows + later, columns=["user", "item", "rating", "time"])
    >>> data = RatingData.from_frame(frame)
    >>> past, future = data.take(slice(64)), data.take(slice(64, None))
    >>> fixed, online = (kind(n_factors=2).fit(past).follow(future)
    ...                  for kind in (MatrixFactorization, OnlineMF))
    >>> fixed[-1].round(1).item(), online[[0, 3, -1]].round(1).tolist()
    (3.0, [3.0, 3.4, 3.8])
    """

    def follow(self, data):
        self._check_goes_on(data)
        both = concatenate(self.train, data)
        target = both.ratings - self.mean
        users, items = self.user_vectors.copy(), self.item_vectors.copy()
        sides = ((both.items, items, _Grouped(both.items, len(items)), both.users, users),
                 (both.users, users, _Grouped(both.users, len(users)), both.items, items))
        predicted = np.empty(data.n_ratings)
        for now in _instants(data.times):
            seen = self.train.n_ratings + now.start
            for rows, vectors, grouped, columns, others in sides:
                for row in np.unique(rows[seen:seen + now.stop - now.start]):
                    places = grouped.of([row])
                    places = places[:np.searchsorted(places, seen)]
                    vectors[row] = self._solve(others[columns[places]], target[places])
            predicted[now] = self._rating(users[data.users[now]], items[data.items[now]])
        return predicted

    def _solve(self, others, target):
        design = self._design(others)
        return np.linalg.solve(design.T @ design + self._ridge(), design.T @ (target - others[:, 0]))


# Gradients ----------------------------------------------------------------------------------------------


def _descend(parameters, loss, grouped, lr, n_epochs, batch_size, seed):
    """Adam on ``loss(rows)`` over batches of rows that hold about ``batch_size`` ratings."""
    for parameter in parameters.values():
        parameter.requires_grad_()
    optimizer, rng = Adam(parameters, lr), np.random.default_rng(seed)
    for _ in range(n_epochs):
        for rows in grouped.batches(batch_size, rng):
            optimizer.zero_grad()
            loss(rows).backward()
            optimizer.step()
    optimizer.zero_grad()
    for parameter in parameters.values():
        parameter.requires_grad_(False)


def _bags(table, columns, counts, weights=None):
    """Sums of (weighted) rows of ``table``: int64 [n], consecutive bags of sizes [m], to [m, k]."""
    starts = torch.from_numpy(np.cumsum(counts) - counts)
    return F.embedding_bag(torch.from_numpy(columns), table, starts, mode="sum", per_sample_weights=weights)


class TimeSVDpp(RatingBaseline):
    r"""SVD++ whose users drift and whose items have good and bad months.

    .. math::
        \hat r_{uj}(t) &= \mu + b_u + \alpha_u\, \mathrm{dev}_u(t) + b_j + b_{j,\mathrm{bin}(t)}
            + q_j^\top \Big(p_u + \alpha_{pu}\, \mathrm{dev}_u(t) + |N(u)|^{-1/2} \sum_{k \in N(u)} y_k\Big) \\
        \mathrm{dev}_u(t) &= \mathrm{sign}(t - \bar t_u)\, |t - \bar t_u|^{0.4} \quad \text{in days}

    with :math:`\bar t_u` the mean time of the user's training ratings, :math:`N(u)` the items of them, and
    ``n_bins`` equal bins from the first training rating to the last, whose bin also serves all later times. Left
    out are the paper's parameters of single days (:math:`b_{u,t}, p_{u,t}`), which say nothing about a day to
    come, and the user's scale :math:`c_u(t)` of the item's bias. The loss is :math:`\sum (r - \hat r)^2` plus each
    penalty times the squares of its parameters.

    Parameters
    ----------
    n_factors : d
    penalty : on p, q, y
    bias_penalty : on :math:`b_u, b_j`
    time_penalty : on :math:`\alpha_u, \alpha_{pu}, b_{j,\mathrm{bin}}`, which the future has to extrapolate
    n_bins : the paper's 30
    lr, n_epochs : of Adam
    batch_size : ratings, of whole users
    seed : of the first q and of the batches

    References
    ----------
    Y. Koren. "Collaborative Filtering with Temporal Dynamics." KDD 2009.

    Examples
    --------
    One user's ratings fall from 5 to 1 in 40 days. A model without time answers with the mean of 3.

    >>> from rnnbook.interactions import DAY
    >>> from rnnbook.interactions import RatingData
    >>> rows = [("ann", day % 2, 5 - day / 10, DAY * day) for day in range(41)]
    >>> frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    >>> train = RatingData.from_frame(frame)
    >>> model = TimeSVDpp(n_factors=1, time_penalty=0.1, lr=0.1, n_epochs=40).fit(train)
    >>> first, last = model.predict(["ann", "ann"], [0, 0], [0, 40 * DAY])
    >>> print(first > 4, last < 2)
    True True
    """

    def __init__(self, n_factors=20, penalty=50.0, bias_penalty=2.0, time_penalty=1000.0, n_bins=30, lr=0.01,
                 n_epochs=15, batch_size=1000, seed=0):
        self.n_factors, self.n_bins, self.lr, self.n_epochs = n_factors, n_bins, lr, n_epochs
        self.penalty, self.bias_penalty, self.time_penalty = penalty, bias_penalty, time_penalty
        self.batch_size, self.seed = batch_size, seed

    def fit(self, train):
        self._start(train)
        n_users, n_items, d = train.n_users + 1, train.n_items + 1, self.n_factors
        self.items, self._of_user = train.items, _Grouped(train.users, n_users)
        self.first = train.times[0]
        # Seconds since 1970 summed over a user would lose digits.
        since = np.bincount(train.users, train.times - self.first, n_users)
        self.middle = self.first + since / np.maximum(self._of_user.counts, 1)
        tables = {"user_bias": ((n_users,), self.bias_penalty), "item_bias": ((n_items,), self.bias_penalty),
                  "user_drift": ((n_users,), self.time_penalty),
                  "item_bin_bias": ((n_items, self.n_bins), self.time_penalty),
                  "user_factors": ((n_users, d), self.penalty), "item_factors": ((n_items, d), self.penalty),
                  "user_factors_drift": ((n_users, d), self.time_penalty),
                  "implicit": ((n_items, d), self.penalty)}
        # All but q may start from zero, and what has no rating stays there.
        self.parameters = {name: torch.zeros(shape, dtype=torch.float64) for name, (shape, _) in tables.items()}
        rated = np.unique(train.items)
        small = np.random.default_rng(self.seed).normal(0, 0.1, (len(rated), d))
        self.parameters["item_factors"][rated] = torch.from_numpy(small)

        def loss(users):
            places = self._of_user.of(users)
            rating = self._forward(train.users[places], train.items[places], train.times[places])
            penalties = sum(tables[name][1] * p.square().sum() for name, p in self.parameters.items())
            return (torch.from_numpy(train.ratings[places]) - rating).square().mean() + penalties / train.n_ratings

        _descend(self.parameters, loss, self._of_user, self.lr, self.n_epochs, self.batch_size, self.seed)
        return self

    def _forward(self, users, items, times):
        days = (times - self.middle[users]) / 86_400
        dev = torch.from_numpy((self._of_user.counts[users] > 0) * np.sign(days) * np.abs(days) ** 0.4)
        share = np.clip((times - self.first) / max(self.last - self.first, 1), 0, 1)
        bins = torch.from_numpy(np.minimum(share * self.n_bins, self.n_bins - 1).astype(np.int64))
        distinct, place = np.unique(users, return_inverse=True)
        counts = self._of_user.counts[distinct]
        implicit = _bags(self.parameters["implicit"], self.items[self._of_user.of(distinct)], counts)
        implicit = implicit / torch.from_numpy(np.sqrt(np.maximum(counts, 1)))[:, None]
        user, item = ({name[5:]: p[rows] for name, p in self.parameters.items() if name.startswith(side)}
                      for side, rows in (("user_", users), ("item_", items)))
        factors = user["factors"] + user["factors_drift"] * dev[:, None] + implicit[place]
        return (self.mean + user["bias"] + user["drift"] * dev + item["bias"]
                + item["bin_bias"].gather(1, bins[:, None])[:, 0] + (item["factors"] * factors).sum(1))

    def _predict(self, users, items, times):
        return self._forward(users, items, times).numpy()


class AutoRec(RatingBaseline):
    r"""An autoencoder of one side's ratings: :math:`\hat r = \mu + W \sigma(V (r - \mu) + c) + b`.

    For ``side="item"`` r is an item's column of ratings, for ``"user"`` a user's row; after the mean is taken off,
    0 stands where there is none. The loss :math:`\sum (r - \hat r)^2 + \frac{\lambda}{2} (\|V\|^2 + \|W\|^2)` is
    over the observed ratings. Input and output are computed from these alone: memory grows with their number.

    Every rating is also an inner product, as in a factorisation: for items, of the item's code
    :math:`h_j = \sigma(V (r_j - \mu) + c)` and the user's row of W. ``follow`` feeds the ratings so far to the
    encoder, so that the code of a user new to U-AutoRec follows them at once. On the *other* side, what training did
    not know (a new user in I-AutoRec, a new item in U-AutoRec) has no weights: its ratings enter with weight 0, and
    it is predicted by the mean row of W and the mean of b. (With zeros, the ridge's answer, it would be predicted by
    :math:`\mu`, as codes are positive and W is not about 0: with 20 epochs and λ = 20, I-AutoRec's validation RMSE
    on MovieLens 100K was 1.09 so, and 1.04 with the means.)

    Parameters
    ----------
    side : "item" or "user", whose ratings are encoded
    hidden_size : k
    penalty : λ
    lr, n_epochs : of Adam; more epochs overfit, early
    batch_size : ratings, of whole rows
    seed : of V, W and the batches

    Attributes
    ----------
    user_factors, item_factors : float64 arrays [n_users, k], [n_items, k]
        Codes on the one side and rows of W on the other, whose bias is b. :math:`\hat r = \mu` + their inner
        product + ``user_bias`` + ``item_bias``.
    user_bias, item_bias : float64 arrays [n_users], [n_items]; zeros on the side of the codes

    References
    ----------
    S. Sedhain, A. K. Menon, S. Sanner, L. Xie. "AutoRec: Autoencoders Meet Collaborative Filtering." WWW 2015.

    Examples
    --------
    Half of the items are loved by the first ten users, half by the others, and each user leaves out every third item.
    User 0 has rated neither 6 nor 9.

    >>> from rnnbook.interactions import RatingData
    >>> rows = [(u, i, 5.0 if u // 10 == i % 2 else 1.0, 20 * u + i)
    ...         for u in range(20) for i in range(20) if (u + i) % 3]
    >>> frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    >>> train = RatingData.from_frame(frame)
    >>> model = AutoRec("item", hidden_size=5, penalty=1.0, lr=0.05, n_epochs=40).fit(train)
    >>> loved, hated = model.predict([0, 0], [6, 9], [999, 999])
    >>> print(loved > 4, hated < 2, model.item_factors.shape)
    True True (20, 5)
    """

    def __init__(self, side="item", hidden_size=100, penalty=50.0, lr=0.003, n_epochs=10, batch_size=1000, seed=0):
        if side not in ("item", "user"):
            raise ValueError(f"side must be 'item' or 'user', not {side!r}")
        self.side, self.hidden_size, self.penalty = side, hidden_size, penalty
        self.lr, self.n_epochs, self.batch_size, self.seed = lr, n_epochs, batch_size, seed

    def fit(self, train):
        self._start(train)
        rows, columns = self._sides(train.users, train.items)
        n_users, n_items = train.n_users + 1, train.n_items + 1
        self._shape = self._sides(n_users, n_items)
        n_columns = self._shape[1]
        rated = np.bincount(columns, minlength=n_columns) > 0
        rng = np.random.default_rng(self.seed)
        reach = np.sqrt(6 / (rated.sum() + self.hidden_size))  # Glorot's
        self.parameters = {name: torch.from_numpy(rng.uniform(-reach, reach, (n_columns, self.hidden_size))
                                                  * rated[:, None]) for name in ("V", "W")}
        self.parameters["c"] = torch.zeros(self.hidden_size, dtype=torch.float64)
        self.parameters["b"] = torch.zeros(n_columns, dtype=torch.float64)
        of_row, centred = _Grouped(rows, self._shape[0]), train.ratings - self.mean

        def loss(batch):
            places = of_row.of(batch)
            return self._loss(columns[places], centred[places], of_row.counts[batch], train.n_ratings)

        _descend(self.parameters, loss, of_row, self.lr, self.n_epochs, self.batch_size, self.seed)
        self.V, self.W, self.c, self.b = (p.numpy() for p in self.parameters.values())
        self.W[~rated], self.b[~rated] = self.W[rated].mean(0), self.b[rated].mean()
        self._inputs = self._encoder_input(train)
        codes = self.hidden(self._inputs[:-1])
        self.user_factors, self.item_factors = self._sides(codes, self.W[:-1])
        self.user_bias, self.item_bias = self._sides(np.zeros(len(codes)), self.b[:-1])
        return self

    def _sides(self, of_users, of_items):
        """The encoded side first."""
        return (of_items, of_users) if self.side == "item" else (of_users, of_items)

    def _encoder_input(self, data):
        """V (r − μ) after the ratings of ``data``, float64 [n_rows + 1, k]."""
        rows, columns = self._sides(data.users, data.items)
        return _matrix(rows, columns, data.ratings - self.mean, self._shape) @ self.V

    def hidden(self, inputs):
        """Codes σ(x + c) of encoder inputs x = V (r − μ), [n, k]; σ(c) is the code of a row without ratings."""
        return expit(inputs + self.c)

    def _loss(self, columns, centred, counts, n_ratings):
        """Of rows with ``counts`` ratings each: mean squared error, and the penalty's share of one rating."""
        V, W, c, b = (self.parameters[name] for name in ("V", "W", "c", "b"))
        target, at = torch.from_numpy(centred), torch.from_numpy(columns)
        codes = torch.sigmoid(_bags(V, columns, counts, target) + c)
        rating = (W[at] * codes.repeat_interleave(torch.from_numpy(counts), 0)).sum(1) + b[at]
        penalty = self.penalty / 2 * (V.square().sum() + W.square().sum())
        return (target - rating).square().mean() + penalty / n_ratings

    def _rating(self, inputs, columns):
        return self.mean + (self.W[columns] * self.hidden(inputs)).sum(1) + self.b[columns]

    def _predict(self, users, items, times):
        rows, columns = self._sides(users, items)
        return self._rating(self._inputs[rows], columns)

    def follow(self, data):
        self._check_goes_on(data)
        rows, columns = self._sides(data.users, data.items)
        inputs, predicted = self._inputs.copy(), np.empty(data.n_ratings)
        for now in _instants(data.times):
            predicted[now] = self._rating(inputs[rows[now]], columns[now])
            np.add.at(inputs, rows[now], self.V[columns[now]] * (data.ratings[now, None] - self.mean))
        return predicted
