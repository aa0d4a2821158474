"""Baselines for recurrent models of ratings: biases, factor models, an online factor model, and autoencoders.

All follow the protocol of rating predictors in :mod:`rnnbook.metrics` and compute in float64. ``fit`` takes RatingData
and returns the model; it raises DataError if there are no ratings. :math:`\\mu` is the mean of the training ratings.

A user or item without a training rating has parameters of zero, because ridge regression without data gives zeros. So
its prediction consists of the known parts only (:class:`AutoRec` differs). ``predict`` treats unknown ids in the same
way. ``predict`` uses all training ratings, whatever the times asked for. Of these models only :class:`TimeSVDpp` reads
the times. Predictions are not clipped to the scale.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import cg
from scipy.special import expit
from torch.nn import functional as F

from rnnbook.interactions import DataError, concatenate
from rnnbook.interactions.lookup import as_seconds, find_ids
from rnnbook.interactions.ragged import batches_in_order, concatenated_ranges
from rnnbook.training import Adam


class RatingBaseline(ABC):
    """Base class of a model that is trained once; a subclass defines ``fit`` and ``_predict``.

    Examples
    --------
    A model that predicts the mean of the training ratings for every user and item:

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
        """Learn from RatingData, store what later predictions need, and return the model."""

    @abstractmethod
    def _predict(self, users, items, times):
        """Ratings, float64 [n], for indices [n] and seconds [n]; the indices n_users and n_items mean an unknown id."""

    def _start(self, train):
        if not train.n_ratings:
            raise DataError(f"{train.name}: no ratings to learn from")
        self.user_ids, self.item_ids, self.mean = train.user_ids, train.item_ids, train.ratings.mean()
        self.last = train.times[-1]

    def _check_goes_on(self, data):
        for ids in ("user_ids", "item_ids"):
            if not np.array_equal(getattr(self, ids), getattr(data, ids)):
                raise ValueError(f"the {ids} of {data.name} differ from those of the training data; take both from one "
                                 "split")
        if data.n_ratings and data.times[0] < self.last:
            raise ValueError(f"{data.name} begins before the training data end; use predict for training ratings")

    def predict(self, users, items, times):
        """Predicted ratings, float64 [n], for raw ids [n] and times [n], in seconds since 1970 or datetimes.

        Ids may be unknown. An id of the wrong type, or a known one in another spelling, raises a ValueError.
        """
        if not len(users) == len(items) == len(times):
            raise ValueError(f"users: {len(users)}, items: {len(items)}, times: {len(times)}; a rating has one of each")
        users, items = find_ids(users, self.user_ids, "user"), find_ids(items, self.item_ids, "item")
        return self._predict(np.where(users < 0, len(self.user_ids), users),
                             np.where(items < 0, len(self.item_ids), items), as_seconds(times))

    def follow(self, data):
        """Predicted ratings, float64 [n_ratings], for RatingData over the same ids, from the training ratings only.

        Raises
        ------
        ValueError
            The ids differ from those of the training data, or ``data`` begins before the training data end.
        """
        self._check_goes_on(data)
        return self._predict(data.users, data.items, data.times)


def _matrix(rows, columns, values, shape):
    """A csr_array of this shape; values at the same row and column are summed."""
    return sparse.csr_array((values, (rows, columns)), shape=shape)


def _instants(times):
    """Consecutive slices, each with all ratings of one time."""
    cuts = [0, *np.flatnonzero(np.diff(times)) + 1, len(times)]
    return [slice(a, b) for a, b in pairwise(cuts) if a < b]


class _Grouped:
    """The positions of each row's ratings, concatenated row after row."""

    def __init__(self, rows, n_rows):
        self.places = np.argsort(rows, kind="stable")
        self.counts = np.bincount(rows, minlength=n_rows)
        self.starts = np.cumsum(self.counts) - self.counts

    def of(self, rows):
        """Positions of the ratings of ``rows``, row after row."""
        return self.places[concatenated_ranges(self.starts[rows], self.counts[rows])]

    def batches(self, batch_size, rng):
        """All rows with ratings in random order, cut into batches of about ``batch_size`` ratings."""
        return batches_in_order(self.counts, batch_size, rng.permutation(np.flatnonzero(self.counts)))


# Ridge --------------------------------------------------------------------------------------------------


class Biases(RatingBaseline):
    r"""A bias for each user and each item: :math:`\hat r_{uj} = \mu + b_u + b_j`.

    The biases minimise :math:`\sum (r_{uj} - \hat r_{uj})^2` :math:`+ \lambda_u \sum b_u^2 + \lambda_j \sum b_j^2`,
    jointly (by conjugate gradients, to 10 digits).

    Parameters
    ----------
    user_penalty, item_penalty : float > 0
        λ_u and λ_j. With given item biases, the bias of a user with λ_u ratings is half of its mean residual.

    References
    ----------
    Y. Koren, R. Bell, C. Volinsky. "Matrix Factorization Techniques for Recommender Systems." Computer 42(8),
    2009.

    Examples
    --------
    One user gave two ratings, 2 above and 2 below the mean of 3. With a penalty of 1, the bias of an item with one
    rating is half of these 2.

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
    r"""Biased matrix factorisation, :math:`\hat r_{uj} = \mu + b_u + b_j + p_u^\top q_j`, by alternating least squares.

    It minimises :math:`\sum (r_{uj} - \hat r_{uj})^2` :math:`+ \lambda \sum (\|p_u\|^2 + \|q_j\|^2)`
    :math:`+ \lambda_b \sum (b_u^2 + b_j^2)`. With the items fixed, a user's :math:`[b_u, p_u]` is an exact ridge
    regression on the design :math:`[1, q_j]`. Then the users are fixed and the items are solved for. Without the
    biases, the minimum is the maximum a posteriori estimate of probabilistic matrix factorisation. The penalty does not
    depend on the number of ratings. A penalty times that number, as in ALS-WR, lowered the validation RMSE of
    MovieLens 100K slightly and raised that of MovieTweetings clearly.

    Parameters
    ----------
    n_factors : int, d
    penalty, bias_penalty : float > 0, λ and λ_b
    n_epochs : int, how often all users and all items are solved for
    seed : int, of the random item factors before the first solve, which are small
    biased : bool, whether there are :math:`b_u` and :math:`b_j`
    init : float array [n_items, n_factors], optional
        Item factors to start from instead. The users need none, because they are solved for first.

    Attributes
    ----------
    user_vectors, item_vectors : float64 arrays [n_users + 1, 1 + d], [n_items + 1, 1 + d]
        :math:`[b_u, p_u]` and :math:`[b_j, q_j]`; the last row is that of unknown ids.

    References
    ----------
    R. Salakhutdinov, A. Mnih. "Probabilistic Matrix Factorization." NIPS 2007. Y. Koren, R. Bell, C. Volinsky.
    "Matrix Factorization Techniques for Recommender Systems." Computer 42(8), 2009.

    Examples
    --------
    Half of the users love tea and hate milk, the others the reverse. Biases cannot represent this; one factor can.

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
        """[1, factors] of the other side, [n, 1 + d]. Without biases the 1 is a 0, which keeps each bias at 0."""
        design = others.copy()
        design[:, 0] = self.biased
        return design

    def _ridge(self):
        return np.diag([self.bias_penalty] + [self.penalty] * self.n_factors)

    def _solve_all(self, count, total, others):
        """Ridge regression for every row: [n, 1 + d].

        ``count`` and ``total``, sparse [n, m], hold the number and the sum of the ratings of each pair; ``others``
        [m, 1 + d] are the vectors of the other side.
        """
        design = self._design(others)
        right = total @ design - count @ (others[:, :1] * design)
        products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
        solved = np.empty_like(right)
        for start in range(0, len(right), 4096):  # the normal equations of all rows would not fit into memory
            rows = slice(start, start + 4096)
            left = (count[rows] @ products).reshape(-1, *self._ridge().shape) + self._ridge()
            solved[rows] = np.linalg.solve(left, right[rows, :, None])[..., 0]
        return solved

    def _predict(self, users, items, times):
        return self._rating(self.user_vectors[users], self.item_vectors[items])

    def _rating(self, user, item):
        return self.mean + user[:, 0] + item[:, 0] + (user[:, 1:] * item[:, 1:]).sum(1)


class OnlineMF(MatrixFactorization):
    """Matrix factorisation that learns from every rating as it arrives, as a recurrent model does.

    ``fit`` is that of :class:`MatrixFactorization`. Before each prediction, ``follow`` solves the ridge regression of
    the item, then that of the user. Each uses all of its ratings so far and the current vectors of the other side.
    Ratings at the same time are handled together: all items are solved for, then all users, then all ratings are
    predicted, and only then are they learnt from. ``predict`` uses the training ratings only.

    Examples
    --------
    All ratings were 3; now one user rates 5. The predictions of ``follow`` move towards 5 with every rating.

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


class Smoothing(RatingBaseline):
    r"""What a user gave of late: :math:`\hat r_{uj} = s_u`, and after each rating :math:`s_u` moves by
    :math:`\alpha (r_{uj} - s_u)`.

    It starts from zero and is meant for the errors of another model, as the correction in
    :class:`~rnnbook.baselines.Residual`: if the last ratings of a user were higher than that model expected, the next
    one probably is, too. This is simple exponential smoothing. The k ratings that a user gave at one time count as k
    steps towards their mean.

    Parameters
    ----------
    alpha : float in (0, 1]

    Examples
    --------
    Three errors of 1, each of which closes half of the distance.

    >>> from rnnbook.interactions import RatingData
    >>> rows = pd.DataFrame({"user": ["ann"] * 3, "item": list("abc"), "rating": [1.0] * 3,
    ...                      "time": [0, 1, 2]})
    >>> data = RatingData.from_frame(rows)
    >>> Smoothing(0.5).fit(data.take(slice(1))).follow(data.take(slice(1, None))).tolist()
    [0.5, 0.75]
    """

    def __init__(self, alpha=0.05):
        self.alpha = alpha

    def fit(self, train):
        self._start(train)
        self.level = np.zeros(train.n_users + 1)  # the last one is that of unknown ids
        self._smooth(train, self.level)
        return self

    def _predict(self, users, items, times):
        return self.level[users]

    def follow(self, data):
        """Predicted ratings of RatingData, float64 [n_ratings], each from all ratings before it."""
        self._check_goes_on(data)
        return self._smooth(data, self.level.copy())

    def _smooth(self, data, level):
        """The levels before each rating; ``level`` becomes what it is after the last one."""
        before = np.empty(data.n_ratings)
        for now in _instants(data.times):
            before[now] = level[data.users[now]]
            users, place, counts = np.unique(data.users[now], return_inverse=True, return_counts=True)
            mean = np.bincount(place, data.ratings[now]) / counts
            level[users] += (1 - (1 - self.alpha) ** counts) * (mean - level[users])
        return before


# Gradients ----------------------------------------------------------------------------------------------


def _descend(parameters, loss, grouped, lr, n_epochs, batch_size, seed):
    """Minimise ``loss(rows)`` by Adam, over batches of rows with about ``batch_size`` ratings in total."""
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
    """Sums of (weighted) rows ``columns`` [n] of ``table``, over m consecutive bags of sizes ``counts`` [m]: [m, k]."""
    starts = torch.from_numpy(np.cumsum(counts) - counts)
    return F.embedding_bag(torch.from_numpy(columns), table, starts, mode="sum", per_sample_weights=weights)


class TimeSVDpp(RatingBaseline):
    r"""SVD++ with user factors that drift in time and item biases that depend on the time bin.

    .. math::
        &\hat r_{uj}(t) = \mu + b_u + \alpha_u\, \mathrm{dev}_u(t) + b_j + b_{j,\mathrm{bin}(t)} \\
        &\quad {} + q_j^\top \Big(p_u + \alpha_{pu}\, \mathrm{dev}_u(t) + z_u\Big), \\
        &z_u = |N(u)|^{-1/2} \sum_{k \in N(u)} y_k, \\
        &\mathrm{dev}_u(t) = \mathrm{sign}(t - \bar t_u)\, |t - \bar t_u|^{0.4} \quad \text{in days}

    Here :math:`\bar t_u` is the mean time of the user's training ratings, and :math:`N(u)` are the items of the
    user's ratings; an item that was rated twice counts twice.
    ``n_bins`` equal bins cover the time from the first training rating to the last; the last bin is also used for all
    later times. Two parts of the paper are left out: the parameters of single days (:math:`b_{u,t}, p_{u,t}`), because
    they say nothing about future days, and the user's scale :math:`c_u(t)` of the item's bias. The loss is
    :math:`\sum (r - \hat r)^2` plus each penalty times the sum of squares of its parameters.

    Parameters
    ----------
    n_factors : int, d
    penalty : float, on p, q, y
    bias_penalty : float, on :math:`b_u, b_j`
    time_penalty : float, on :math:`\alpha_u, \alpha_{pu}, b_{j,\mathrm{bin}}`, which are extrapolated to the future
    n_bins : int; 30 as in the paper
    lr, n_epochs : float and int, of Adam
    batch_size : int, ratings per batch; a user is never split
    seed : int, of the initial q and of the batches

    References
    ----------
    Y. Koren. "Collaborative Filtering with Temporal Dynamics." KDD 2009.

    Examples
    --------
    One user's ratings fall from 5 to 1 in 40 days. A model without time would predict the mean of 3.

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
        # Times are counted from the first rating: sums of seconds since 1970 would lose digits.
        since = np.bincount(train.users, train.times - self.first, n_users)
        self.middle = self.first + since / np.maximum(self._of_user.counts, 1)
        tables = {"user_bias": ((n_users,), self.bias_penalty), "item_bias": ((n_items,), self.bias_penalty),
                  "user_drift": ((n_users,), self.time_penalty),
                  "item_bin_bias": ((n_items, self.n_bins), self.time_penalty),
                  "user_factors": ((n_users, d), self.penalty), "item_factors": ((n_items, d), self.penalty),
                  "user_factors_drift": ((n_users, d), self.time_penalty),
                  "implicit": ((n_items, d), self.penalty)}
        # Only q must not start at zero. Parameters of users and items without ratings stay at zero.
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
    r"""An autoencoder of the ratings of items or of users: :math:`\hat r = \mu + W \sigma(V (r - \mu) + c) + b`.

    For ``side="item"`` r is an item's column of ratings, for ``"user"`` a user's row. The mean is subtracted, and a
    missing rating is 0. The loss :math:`\sum (r - \hat r)^2 + \frac{\lambda}{2} (\|V\|^2 + \|W\|^2)` is over the
    observed ratings. Input and output are computed for these only, so memory grows with their number.

    Every prediction is also an inner product, as in matrix factorisation. For ``side="item"`` it is that of the item's
    code :math:`h_j = \sigma(V (r_j - \mu) + c)` and the user's row of W. ``follow`` gives all ratings so far to the
    encoder. So in U-AutoRec the code of a new user changes with the first rating.

    A new user in I-AutoRec, or a new item in U-AutoRec, has no trained row of V and W. Its ratings enter with weight 0,
    and it is predicted by the mean row of W and the mean of b. Zeros, as ridge regression would give, are worse: codes
    are positive and the mean of W is not 0, so a row of zeros would predict :math:`\mu`.

    Parameters
    ----------
    side : "item" or "user", whose ratings are encoded
    hidden_size : int, k
    penalty : float, λ
    lr, n_epochs : float and int, of Adam; with more epochs the model overfits early
    batch_size : int, ratings per batch; a row is never split
    seed : int, of V, W and the batches

    Attributes
    ----------
    user_factors, item_factors : float64 arrays [n_users, k], [n_items, k]
        The codes of the encoded side and the rows of W of the other side. :math:`\hat r = \mu` + their inner product +
        ``user_bias`` + ``item_bias``.
    user_bias, item_bias : float64 arrays [n_users], [n_items]
        Zeros for the encoded side, b for the other side.

    Raises
    ------
    ValueError
        ``side`` is neither "item" nor "user".

    References
    ----------
    S. Sedhain, A. K. Menon, S. Sanner, L. Xie. "AutoRec: Autoencoders Meet Collaborative Filtering." WWW 2015.

    Examples
    --------
    The first ten users love half of the items, the other users love the other half. Each user leaves out every third
    item; user 0 has rated neither 6 nor 9.

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
        reach = np.sqrt(6 / (rated.sum() + self.hidden_size))  # Glorot initialisation
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
        """Both arguments, that of the encoded side first."""
        return (of_items, of_users) if self.side == "item" else (of_users, of_items)

    def _encoder_input(self, data):
        """V (r − μ) after the ratings of ``data``, float64 [n_rows + 1, k]."""
        rows, columns = self._sides(data.users, data.items)
        return _matrix(rows, columns, data.ratings - self.mean, self._shape) @ self.V

    def hidden(self, inputs):
        """Codes σ(x + c), float64 [n, k], of encoder inputs x = V (r − μ), float64 [n, k].

        The code of a row without ratings is σ(c).
        """
        return expit(inputs + self.c)

    def _loss(self, columns, centred, counts, n_ratings):
        """Mean squared error over rows with ``counts`` ratings each, plus the penalty divided by all ratings."""
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
