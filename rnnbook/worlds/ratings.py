"""A world of drifting ratings whose best possible predictor is a Kalman filter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np

from rnnbook.interactions import DAY, RatingData, concatenate
from rnnbook.interactions.lookup import as_seconds, find_ids

START = 1_577_836_800.0  # 2020-01-01 in seconds since 1970: step 0 begins


class RatingOptimum(NamedTuple):
    """What the best possible rating predictor scores on a data set.

    Examples
    --------
    >>> world = RatingWorld(n_users=100, n_steps=20)
    >>> optimum = world.oracle(world.sample())
    >>> world.noise < optimum.expected_rmse < 1.2, abs(optimum.rmse - optimum.expected_rmse) < 0.1
    (True, True)
    """

    rmse: float
    mae: float
    expected_rmse: float  # the root of the mean predicted variance; it does not depend on the noise of these ratings


class KalmanFilter:
    r"""Bayes' rule for tastes that drift: a rating predictor (see :mod:`rnnbook.metrics`), exact in float64.

    The posterior of a user's taste is a normal distribution :math:`N(m, P)`. The prior is :math:`N(0, I)`. After Δ
    steps without a rating the posterior is wider:

    .. math::
        m &\leftarrow \rho^\Delta m, \\
        P &\leftarrow \rho^{2\Delta} P + (1 - \rho^{2\Delta}) I.

    A rating r of an item with factors q and mean :math:`\mu` makes it narrower:

    .. math::
        s &= q^\top P q + \sigma^2, \\
        m &\leftarrow m + P q\, (r - \mu - q^\top m) / s, \\
        P &\leftarrow P - P q\, q^\top P / s.

    Of all functions of the past, the prediction :math:`\mu + q^\top m` has the smallest mean squared error, which is
    s, and the smallest mean absolute error.

    Parameters
    ----------
    world : RatingWorld
        The filter uses its factors, means, noise and rho.

    Examples
    --------
    One item with the factor 1 and noise of variance 1. After a rating of 2 the prediction is 1, half of it; it
    shrinks towards 0 with every day.

    >>> world = RatingWorld(n_users=1, n_items=1, dim=1, scale=1.0, noise=1.0, rho=0.9)
    >>> now, nobody = START, np.zeros(1, dtype=np.int64)
    >>> data = RatingData(nobody, nobody, np.array([2.0]), np.array([now]), world.user_ids,
    ...                   world.item_ids)
    >>> model = world.kalman().fit(data)
    >>> model.predict(["user-0"] * 3, ["item-0"] * 3,
    ...               [now, now + 1, now + 2 * DAY]).round(4).tolist()
    [0.0, 1.0, 0.81]
    """

    def __init__(self, world):
        self.world, self.user_ids, self.item_ids = world, world.user_ids, world.item_ids
        nobody, nothing = np.empty(0, np.int64), np.empty(0)
        self.seen = RatingData(nobody, nobody, nothing, nothing, self.user_ids, self.item_ids, "rating-world")

    def fit(self, train):
        """Store the ratings of RatingData that predictions start from; there is nothing to learn. Returns the filter.

        Raises
        ------
        ValueError
            The ids of ``train`` are not the world's.
        """
        self.seen = self._after(self.seen.take(slice(0)), train)
        return self

    def _after(self, seen, data):
        """Both, one after the other. The ids of ``data`` must be the world's, because its factors have their order."""
        for ids in ("user_ids", "item_ids"):
            if not np.array_equal(getattr(self, ids), getattr(data, ids)):
                raise ValueError(f"the {ids} of {data.name} differ from those of the world; take the data from its "
                                 "sample()")
        return concatenate(seen, data)

    def predict(self, users, items, times):
        """Predict ratings, float64 [n], from raw ids [n] and times [n] in seconds since 1970.

        Each prediction uses the fitted ratings before its time. For an unknown user the prior is used. An unknown
        item has factors and mean 0, which is the best prediction without a rating.
        """
        users, items = find_ids(users, self.user_ids, "user"), find_ids(items, self.item_ids, "item")
        return self._forecast(self.seen, users, items, as_seconds(times))[0]

    def follow(self, data):
        """Predict all ratings of RatingData, float64 [n_ratings].

        Each prediction uses the fitted ratings, and the ratings of ``data`` before its time.

        Raises
        ------
        ValueError
            The ids of ``data`` are not the world's, or it begins before the fitted ratings end.
        """
        return self.follow_with_variance(data)[0]

    def follow_with_variance(self, data):
        """As :meth:`follow`, and the variance s of each rating: two float64 arrays [n_ratings]."""
        return self._forecast(self._after(self.seen, data), data.users, data.items, data.times)

    def _forecast(self, seen, users, items, times):
        """Mean and variance [n] of the ratings at these indices (-1: unknown), each given the ratings before it."""
        means, covariances = self._beliefs(seen)
        after, steps = _last_before(seen, users, times), self.world.steps(times)
        passed = np.where(after < 0, 0, steps - np.append(self.world.steps(seen.times), 0)[after])
        m, P = self._later(means[after], covariances[after], passed)
        q = np.vstack([self.world.factors, np.zeros(self.world.dim)])[items]  # the last row, -1, is an unknown item
        return (self.world.mean(items, steps) + np.einsum("ni,ni->n", q, m),
                np.einsum("ni,nij,nj->n", q, P, q) + self.world.noise**2)

    def _beliefs(self, seen):
        """m [n_ratings + 1, dim] and P [n_ratings + 1, dim, dim] after each rating; the last row is the prior."""
        n, dim = seen.n_ratings, self.world.dim
        means, covariances = np.zeros((n + 1, dim)), np.tile(np.eye(dim), (n + 1, 1, 1))
        factors, steps = self.world.factors[seen.items], self.world.steps(seen.times)
        ratings = seen.ratings - self.world.mean(seen.items, steps)
        by_user = np.argsort(seen.users, kind="stable")
        users = seen.users[by_user]
        nth = np.arange(n) - np.searchsorted(users, users)  # its number among the user's ratings, from 0
        before = np.where(nth > 0, np.roll(by_user, 1), -1)
        in_rounds = np.argsort(nth, kind="stable")  # round k updates all users with their k-th rating together
        for one in np.split(in_rounds, np.cumsum(np.bincount(nth))[:-1]):
            now, last = by_user[one], before[one]
            m, P = self._later(means[last], covariances[last], np.where(last < 0, 0, steps[now] - steps[last]))
            q = factors[now]
            Pq = np.einsum("nij,nj->ni", P, q)
            s = np.einsum("ni,ni->n", q, Pq) + self.world.noise**2
            means[now] = m + Pq * ((ratings[now] - np.einsum("ni,ni->n", q, m)) / s)[:, None]
            covariances[now] = P - Pq[:, :, None] * Pq[:, None, :] / s[:, None, None]
        return means, covariances

    def _later(self, m, P, steps):
        """The distribution of tastes, m [n, dim] and P [n, dim, dim], after some steps [n] without a rating."""
        kept = (self.world.rho**steps)[:, None]
        return kept * m, kept[:, :, None]**2 * P + (1 - kept**2)[:, :, None] * np.eye(self.world.dim)


def _last_before(seen, users, times):
    """Index into ``seen`` of each user's [n] last rating strictly before each time [n]; -1 where there is none."""
    by_user = np.argsort(seen.users, kind="stable")
    is_rating = np.repeat([False, True], [len(users), len(by_user)])
    # Sort by user, then time. At equal times the queries come before the ratings, so a rating counts only later.
    order = np.lexsort((is_rating, np.concatenate([times, seen.times]), np.concatenate([users, seen.users])))
    n_before = np.empty(len(order), np.int64)
    n_before[order] = np.cumsum(is_rating[order])
    last = np.append(by_user, -1)[n_before[:len(users)] - 1]  # may belong to another user: checked below
    return np.where(np.append(seen.users, -1)[last] == users, last, -1)


@dataclass(frozen=True)
class RatingWorld:
    r"""Ratings by users whose tastes drift: user i rates item j at step t with

    .. math::
        r &= \mu_j(t) + q_j^\top u_{it} + \sigma\, N(0, 1), \\
        u_{it} &= \rho\, u_{i,t-1} + \sqrt{1 - \rho^2}\, N(0, I).

    Tastes have the distribution N(0, I) at every step, so they drift without a trend. With ``rho=1`` they never
    change; this is the control. ``seed`` fixes each item's factors :math:`q_j` and mean :math:`\mu_j(t)`, and the
    optimum knows them. Only each user's taste is unknown, and has to be inferred from the user's own ratings. At
    every step each user rates ``ratings_per_step`` items, drawn uniformly with replacement. A step is a day, and the
    first is 2020-01-01. The time within the day is random.

    Without ``level_shift`` and ``season``, the constant prediction 0 has RMSE
    :math:`\sqrt{\sigma^2 + D \cdot \mathrm{scale}^2}`, which is 1.177 by default. The table gives the RMSE from step
    80 on. It is a mean over ten world seeds, with a standard deviation of at most .014:

    ====  =======  ================  ======================  =====
    rho   optimum  static, updating  static, fitted once     0
    ====  =======  ================  ======================  =====
    .98   .698     1.021             1.090                   1.173
    .995  .597     .744              .783                    1.173
    1     .508     .508              .509                    1.177
    ====  =======  ================  ======================  =====

    The penalty of :meth:`static` is optimal for fixed tastes. At .98, larger penalties improve its two values to 1.001
    and 1.046. At a smaller rho, static is worse than predicting 0: fitted once, it has 1.226 at .95, and at best 1.150
    with a larger penalty.

    Parameters
    ----------
    n_users, n_items, n_steps : int
    dim : int, D, the number of factors per user and item
    rho : float in [0, 1], the correlation of a taste with itself one step later
    noise : float > 0, σ
    scale : float > 0, the root mean square of all entries of the item factors
    ratings_per_step : int, the ratings of each user at each step
    level_shift : float, the mean of the first tenth of the items from the middle step on; before it, the mean is 0
    season : float, the amplitude of the second tenth of the items, whose mean is ``season`` · sin(2π t / period)
    period : float > 0, of the season, in steps
    wave : float in [0, 1], the share of the users who rate only in the last 20 % of the steps, from ``wave_step`` on;
        they have the highest user numbers
    seed : int, of the item factors

    Raises
    ------
    ValueError
        A parameter is out of its range.

    Examples
    --------
    A predictor that knows that tastes drift is better than one that assumes fixed tastes.

    >>> from rnnbook.metrics import evaluate_ratings
    >>> world = RatingWorld(n_users=100, n_steps=40, rho=0.9)
    >>> data = world.sample()
    >>> data.n_ratings, world.tastes().shape
    (4000, (40, 100, 3))
    >>> world.oracle(data).rmse < evaluate_ratings(world.static(), data).rmse
    True
    """

    n_users: int = 1000
    n_items: int = 50
    dim: int = 3
    noise: float = 0.5
    n_steps: int = 100
    rho: float = 0.98
    scale: float = 0.615
    ratings_per_step: int = 1
    level_shift: float = 0.0
    season: float = 0.0
    period: float = 25.0
    wave: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if min(self.n_users, self.n_items, self.dim, self.n_steps, self.ratings_per_step) < 1:
            raise ValueError(f"every size must be at least 1: {self}")
        if not 0 <= self.rho <= 1 or not 0 <= self.wave <= 1:
            raise ValueError(f"rho and wave must lie between 0 and 1: {self}")
        if min(self.noise, self.scale, self.period) <= 0:
            raise ValueError(f"noise, scale and period must be positive: {self}")

    @cached_property
    def user_ids(self):
        """array [n_users] of str."""
        return np.array([f"user-{i}" for i in range(self.n_users)], dtype=object)

    @cached_property
    def item_ids(self):
        """array [n_items] of str."""
        return np.array([f"item-{j}" for j in range(self.n_items)], dtype=object)

    @cached_property
    def factors(self):
        """float64 [n_items, dim]: q, drawn from a normal distribution, then scaled to have ``scale`` exactly."""
        q = np.random.default_rng([self.seed, 0]).standard_normal((self.n_items, self.dim))
        return q * self.scale / np.sqrt((q**2).mean())

    @property
    def wave_step(self):
        """int: the first step at which the users of the wave rate."""
        return -(-4 * self.n_steps // 5)

    def steps(self, times):
        """Seconds since 1970 [n] to steps, int64 [n]."""
        return np.floor((times - START) / DAY).astype(np.int64)

    def mean(self, items, steps):
        """μ: the mean rating, float64, of items (int64 indices) at steps (int64); the two arrays broadcast."""
        tenth = items // max(1, self.n_items // 10)
        return (self.level_shift * (tenth == 0) * (2 * steps >= self.n_steps)
                + self.season * (tenth == 1) * np.sin(2 * np.pi * steps / self.period))

    def tastes(self, seed=0):
        """u: float64 [n_steps, n_users, dim], the tastes that generate the ratings of ``sample(seed)``."""
        u = np.random.default_rng([self.seed, 1, seed]).standard_normal((self.n_steps, self.n_users, self.dim))
        for t in range(1, self.n_steps):
            u[t] = self.rho * u[t - 1] + np.sqrt(1 - self.rho**2) * u[t]
        return u

    def sample(self, seed=0):
        """All ratings as RatingData; another ``seed`` gives other tastes and ratings in the same world."""
        rng = np.random.default_rng([self.seed, 2, seed])
        shape = self.n_steps, self.n_users, self.ratings_per_step
        steps, users, _ = np.indices(shape)
        items, seconds = rng.integers(self.n_items, size=shape), rng.integers(DAY, size=shape)
        ratings = (self.mean(items, steps) + np.einsum("tukd,tud->tuk", self.factors[items], self.tastes(seed))
                   + self.noise * rng.standard_normal(shape))
        times = START + DAY * steps + seconds
        early = self.n_users - round(self.wave * self.n_users)
        rated = np.flatnonzero((users < early) | (steps >= self.wave_step))
        order = rated[np.argsort(times.ravel()[rated], kind="stable")]
        return RatingData(users.ravel()[order], items.ravel()[order], ratings.ravel()[order], times.ravel()[order],
                          self.user_ids, self.item_ids, "rating-world")

    def kalman(self):
        """The best of all linear rating predictors: the Kalman filter."""
        return KalmanFilter(self)

    def best(self):
        """The best possible rating predictor. Here it is the Kalman filter."""
        return self.kalman()

    def static(self):
        """The filter that assumes ``rho=1``: ridge regression for a fixed taste, with known item factors.

        ``predict`` is ridge regression on the fitted ratings. ``follow`` also uses the ratings of ``data`` that came
        before.
        """
        return KalmanFilter(replace(self, rho=1.0))

    def oracle(self, *parts):
        """The best possible scores on the last of these consecutive parts, given the parts before it.

        ``oracle(train, test)`` returns the RatingOptimum of :meth:`best`, fitted on train, on test.
        ``oracle(data)`` starts without ratings. On few ratings a model can have a lower ``rmse`` by chance, but never
        in expectation. So compare on the same data.

        Parameters
        ----------
        *parts : RatingData

        Returns
        -------
        RatingOptimum

        Raises
        ------
        ValueError
            The ids are not the world's, or a part begins before the one before it ends.
        """
        *history, data = parts
        model = self.best()
        if history:
            model.fit(reduce(concatenate, history))
        mean, variance = model.follow_with_variance(data)
        errors = mean - data.ratings
        return RatingOptimum(float(np.sqrt((errors**2).mean())), float(np.abs(errors).mean()),
                             float(np.sqrt(variance.mean())))
