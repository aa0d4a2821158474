"""Baselines for tastes that drift: a ridge regression that forgets, and a Kalman filter with estimated parameters.

Both keep what they know of each user in a few numbers, and update them with every rating. They start from the item
vectors of a matrix factorisation and follow the protocol of the other baselines (see `rnnbook.baselines.ratings`).
Items are not learnt after the training.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from rnnbook.baselines.ratings import MatrixFactorization, RatingBaseline
from rnnbook.interactions import DAY, concatenate
from rnnbook.interactions.steps import Steps


def _rounds(offsets):
    """Round k has the k-th of the places ``offsets[i]:offsets[i + 1]`` of every owner i that has so many.

    Yields
    ------
    owners, places : int64 arrays [m]
    """
    lengths = np.diff(offsets)
    owners = np.argsort(-lengths, kind="stable")  # the longest first: each round is a prefix of this order
    for k in range(lengths.max(initial=0)):
        owners = owners[:np.searchsorted(-lengths[owners], -k)]
        yield owners, offsets[owners] + k


class ForgettingMF(MatrixFactorization):
    r"""Matrix factorisation whose users are ridge regressions that forget.

    ``fit`` is that of :class:`MatrixFactorization`. Then the items' vectors are fixed, and a user's vector at time t is

    .. math::
        &[b_u, p_u](t) = \arg\min \\
        &\quad \sum_{\tau < t} \gamma^{t - \tau} \big(r_\tau - \mu - b_j - b_u - p_u^\top q_j\big)^2 \\
        &\quad {} + \lambda' \|p_u\|^2 + \lambda'_b b_u^2

    with ages in days. While a user rates nothing, the weights of old ratings fall and the penalty stays, so the
    prediction returns to that for the mean user. With γ = 1 nothing is forgotten. Two sums for each user are enough to
    go on: a rating costs the same, however many there were. An item without a training rating has the vector 0.

    Parameters
    ----------
    gamma : float in (0, 1], γ, what is left of the weight of a rating after a day
    user_penalty : float > 0, λ'; λ'_b is this times ``bias_penalty / penalty``
    step : float, seconds that count as one time, 0 for each instant; ratings at one time do not see each other
    n_factors, penalty, bias_penalty, n_epochs, seed, biased : of the factorisation

    Examples
    --------
    One user liked tea less and less. The regression that forgets is nearer to the last ratings.

    >>> from rnnbook.interactions import RatingData
    >>> rows = [("ann", "tea", 5 - day / 10, DAY * day) for day in range(41)]
    >>> rows += [("bob", "tea", 3.0, DAY * day) for day in range(41)]
    >>> train = RatingData.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating", "time"]))
    >>> for gamma in (1.0, 0.9):
    ...     model = ForgettingMF(gamma=gamma, n_factors=1, penalty=1.0, user_penalty=1.0).fit(train)
    ...     print(model.predict(["ann"], ["tea"], [41 * DAY]).round(1).item())
    3.0
    2.1
    """

    def __init__(self, gamma=0.99, user_penalty=15.0, step=0.0, n_factors=20, penalty=15.0, bias_penalty=2.0,
                 n_epochs=15, seed=0, biased=True):
        super().__init__(n_factors, penalty, bias_penalty, n_epochs, seed, biased)
        if not 0 < gamma <= 1:
            raise ValueError(f"gamma must be above 0 and at most 1, not {gamma!r}")
        self.gamma, self.user_penalty, self.step = gamma, user_penalty, step

    def fit(self, train):
        super().fit(train)
        size = train.n_users + 1, 1 + self.n_factors, 2 + self.n_factors
        # [Σ w x xᵀ, Σ w x y] of each user, x = [1, q], and the day that the weights w are of
        self.sums, self.day = np.zeros(size), np.zeros(train.n_users + 1)
        self._read(train, self.sums, self.day)
        return self

    def _read(self, data, sums, day, predicted=None):
        """Take in the ratings, step by step; before each step predict its ratings, if there is room for them."""
        steps = Steps(data.users, data.items, data.ratings, data.times, data.n_users, self.step)
        items = self.item_vectors[steps.others]
        design, offset = self._design(items), self.mean + items[:, 0]
        for owners, numbers in _rounds(steps.offsets):
            now = steps.time[numbers] / DAY
            sums[owners] *= (self.gamma**(now - day[owners]))[:, None, None]
            day[owners] = now
            sizes, places = steps.ratings_in(numbers)
            x, users = design[places], np.repeat(owners, sizes)
            if predicted is not None:
                vectors = np.repeat(self._solve_sums(sums[owners]), sizes, axis=0)
                predicted[steps.order[places]] = offset[places] + (x * vectors).sum(1)
            y = steps.ratings[places] - offset[places]
            np.add.at(sums, users, x[:, :, None] * np.hstack([x, y[:, None]])[:, None, :])

    def _solve_sums(self, sums):
        """The users' vectors, [n, 1 + d], from their sums [n, 1 + d, 2 + d]."""
        ridge = self._ridge() * self.user_penalty / self.penalty
        return np.linalg.solve(sums[..., :-1] + ridge, sums[..., -1:])[..., 0]

    def _predict(self, users, items, times):
        days = np.floor(times / self.step) * self.step / DAY if self.step else times / DAY
        if (self.sums[users].any((1, 2)) & (days <= self.day[users])).any():
            raise ValueError("a user has a rating that is not strictly before the time asked for; ask for a later time")
        faded = self.gamma**np.maximum(days - self.day[users], 0)
        vectors, items = self._solve_sums(self.sums[users] * faded[:, None, None]), self.item_vectors[items]
        return self.mean + items[:, 0] + (self._design(items) * vectors).sum(1)

    def follow(self, data):
        self._check_goes_on(data)
        predicted = np.empty(data.n_ratings)
        self._read(data, self.sums.copy(), self.day.copy(), predicted)
        return predicted


class _Rounds:
    """The ratings of all users side by side: everyone's first, then everyone's second, and so on.

    The users with most ratings come first. So each round is a slice, and so are its users' ratings before.

    Attributes
    ----------
    place : int64 [n], where each rating of the steps stands
    others, ratings : arrays [n], as in the steps
    gaps : float64 [n]
        Days since the user's rating before: 0 within a step, and ∞, which forgets all, at the first.
    before : int64 [n], where the user's rating before stands; the first round has none
    slices : list of (slice, slice), a round and its users in the round before
    """

    def __init__(self, steps):
        gaps = np.diff(np.repeat(steps.time, np.diff(steps.bags)), prepend=0.0) / DAY
        gaps[steps.bags[steps.offsets[:-1]][np.diff(steps.offsets) > 0]] = np.inf
        rounds = [places for _, places in _rounds(steps.bags[steps.offsets])]
        order = np.concatenate([np.zeros(0, np.int64), *rounds])
        self.place = np.empty(len(order), np.int64)
        self.place[order] = np.arange(len(order))
        self.others, self.ratings, self.gaps = steps.others[order], steps.ratings[order], gaps[order]
        self.before, self.slices, start, last = np.arange(len(order)), [], 0, 0
        for size in map(len, rounds):
            now = slice(start, start + size)
            self.before[now] -= start - last
            self.slices.append((now, slice(last, last + size)))
            start, last = now.stop, start


class _Filtered(NamedTuple):
    """What a Kalman filter knows at each of n ratings."""

    m_before: np.ndarray  # [d, n] mean of the taste from the ratings before
    P_before: np.ndarray  # [d, d, n] and its covariance
    m: np.ndarray  # from this rating too
    P: np.ndarray
    gain: np.ndarray  # [d, n]
    error: np.ndarray  # [n] rating − prediction
    variance: np.ndarray  # [n] of the error
    log_likelihood: float  # of all ratings


class EstimatedKalman(RatingBaseline):
    r"""A Kalman filter for drifting tastes that estimates its parameters: ρ, σ and the items' vectors.

    The model is that of :class:`rnnbook.worlds.RatingWorld`, with a time in days between two steps of a user:

    .. math::
        r &= \mu_j + q_j^\top u_t + \sigma\, N(0, 1), \\
        u_{t + \Delta} &= \rho^\Delta u_t + \sqrt{1 - \rho^{2\Delta}}\, N(0, I), \\
        u &\sim N(0, I).

    ρ, σ and all :math:`[\mu_j, q_j]` maximise the likelihood of the training ratings times a prior of the items,
    :math:`N([\bar\mu, \bar q], I / \lambda)` around their own mean. An item without a training rating gets that mean. A
    Kalman filter gives the likelihood, a smoother its gradient, and L-BFGS climbs, from the vectors of a factorisation.

    Parameters
    ----------
    n_factors : int, d, the dimension of a taste; one of them may take the part of a user's bias
    penalty : float > 0, λ
    step : float, seconds that count as one time, 0 for each instant; ratings at one time do not see each other
    n_epochs : int, the steps of L-BFGS at most
    seed : int, of the factorisation

    Attributes
    ----------
    rho, sigma : float, ρ after a day, and σ
    items : float64 array [n_items + 1, 1 + d]
        :math:`[\mu_j, q_j]`; the last row is their mean.
    log_likelihood : list of float
        Of the training ratings times the prior of the items, up to a constant, at each point that was tried.

    References
    ----------
    A. E. Bryson, M. Frazier. "Smoothing for Linear and Nonlinear Dynamic Systems." Proceedings of the Optimum System
    Synthesis Conference, 1963.

    Examples
    --------
    The world has ρ = 0.9 and σ = 0.5.

    >>> from rnnbook.worlds import RatingWorld
    >>> train = RatingWorld(n_users=200, n_items=10, dim=1, rho=0.9).sample()
    >>> model = EstimatedKalman(n_factors=1, step=DAY, n_epochs=30).fit(train)
    >>> abs(model.rho - 0.9) < 0.02, abs(model.sigma - 0.5) < 0.01
    (True, True)
    """

    def __init__(self, n_factors=3, penalty=1.0, step=0.0, n_epochs=80, seed=0):
        self.n_factors, self.penalty, self.step = n_factors, penalty, step
        self.n_epochs, self.seed = n_epochs, seed

    def fit(self, train):
        self._start(train)
        self.rho, self.sigma = 0.99, float(train.ratings.std()) / 2 or 1.0
        self.log_likelihood: list[float] = []
        if len(np.unique(train.items)) < self.n_factors:
            raise ValueError(f"n_factors={self.n_factors} is more than the {len(np.unique(train.items))} rated items")
        self._start_items(train)
        steps, rated = self._steps(train), np.unique(train.items)
        start, rounds = self.items[rated], _Rounds(steps)
        # Items with many ratings need small steps: in these units all are about as steep.
        scale = np.sqrt(np.bincount(train.items)[rated] / self.sigma**2 + self.penalty)[:, None]

        def misfit(x):
            self._set(x, rated, start, scale)
            filtered = self._filter(rounds)
            slopes = self._gradient(rounds, *self._smooth(rounds, filtered))
            gap = self.items[rated] - self.items[-1]
            of_items = (slopes[2][rated] - self.penalty * gap) / scale
            value = filtered.log_likelihood - self.penalty / 2 * (gap**2).sum()
            self.log_likelihood.append(value)
            return -value, -np.concatenate([slopes[:2], of_items.ravel()])

        first = np.concatenate([[np.log(-np.log(self.rho)), np.log(self.sigma)], np.zeros(start.size)])
        # Of log(−log ρ): from standing still to no memory. Of log σ: below, a filter's variances are lost in rounding.
        widest = np.log(self.sigma) + 2
        bounds = [(-14, 3), (widest - 10, widest)] + [(None, None)] * start.size
        best = minimize(misfit, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": self.n_epochs})
        self._set(best.x, rated, start, scale)
        self.train, self.steps = train, steps
        self.tastes = self._filter(rounds).m[:, rounds.place].T  # [n, d]: after each rating, as the steps have them
        return self

    def _set(self, x, rated, start, scale):
        """Take ρ, σ and the items from the vector that is searched over."""
        self.rho, self.sigma = float(np.exp(-np.exp(x[0]))), float(np.exp(x[1]))
        self.items[rated] = start + x[2:].reshape(start.shape) / scale
        self.items[np.setdiff1d(np.arange(len(self.items)), rated)] = self.items[rated].mean(0)

    def _start_items(self, train):
        """[μ, q] of a factorisation, turned and scaled so that the users have the distribution N(0, I)."""
        start = MatrixFactorization(self.n_factors, seed=self.seed).fit(train)
        users = start.user_vectors[np.unique(train.users)]
        loadings = start.item_vectors.copy()
        loadings[:, 0] = 1
        spread = np.linalg.cholesky(np.cov(users.T, bias=True) + 1e-6 * np.eye(users.shape[1]))
        directions = np.linalg.svd((loadings @ spread)[np.unique(train.items)], full_matrices=False)[2]
        means = start.mean + start.item_vectors[:, 0] + loadings @ users.mean(0)
        self.items = np.column_stack([means, loadings @ spread @ directions[:self.n_factors].T])
        untrained = np.setdiff1d(np.arange(len(self.items)), train.items)
        self.items[untrained] = self.items[np.unique(train.items)].mean(0)

    def _steps(self, data):
        return Steps(data.users, data.items, data.ratings, data.times, data.n_users + 1, self.step)

    def _fade(self, days):
        """How a taste is tied to the one some days [n] before: a = ρ^Δ, and what is new in it, 1 − a²: [n] each."""
        kept = self.rho**days
        return kept, 1 - kept**2

    def _filter(self, rounds):
        """What is known of a taste at each rating, with the users along the last axis: NumPy is fast along it."""
        q, rest = self.items[rounds.others, 1:].T, rounds.ratings - self.items[rounds.others, 0]
        (d, n), (kept, added) = q.shape, self._fade(rounds.gaps)
        eye = np.eye(d)[:, :, None]
        m_before, m, gain = np.zeros((3, d, n))
        P_before, P = np.zeros((2, d, d, n))
        variance, error = np.empty((2, n))
        for now, last in rounds.slices:
            m_before[:, now] = kept[now] * m[:, last]
            P_before[..., now] = kept[now]**2 * P[..., last] + added[now] * eye
            Pq = (P_before[..., now] * q[:, now]).sum(1)
            variance[now] = (q[:, now] * Pq).sum(0) + self.sigma**2
            error[now] = rest[now] - (q[:, now] * m_before[:, now]).sum(0)
            gain[:, now] = Pq / variance[now]
            m[:, now] = m_before[:, now] + gain[:, now] * error[now]
            P[..., now] = P_before[..., now] - gain[:, None, now] * Pq
        log_likelihood = -(np.log(2 * np.pi * variance) + error**2 / variance).sum() / 2
        return _Filtered(m_before, P_before, m, P, gain, error, variance, log_likelihood)

    def _smooth(self, rounds, filtered):
        """The taste at each rating from all ratings, by the smoother of Bryson and Frazier, which inverts nothing.

        Returns
        -------
        mean, covariance : float64 arrays [d, n], [d, d, n]
        with_before : float64 array [n]
            The trace of the covariance with the taste at the rating before; of no use where there is none.
        """
        m_before, P_before, _, P, gain, error, variance, _ = filtered
        q, kept = self.items[rounds.others, 1:].T, self._fade(rounds.gaps)[0]
        # What the ratings from here on say about the taste: r and N; first from the ratings after this one alone
        r, N = np.zeros_like(m_before), np.zeros_like(P_before)
        for now, last in reversed(rounds.slices):
            one, k = q[:, now], gain[:, now]
            Nk = (N[..., now] * k).sum(1)
            r[:, now] += one * (error[now] / variance[now] - (k * r[:, now]).sum(0))
            N[..., now] += one[:, None] * (one * ((k * Nk).sum(0) + 1 / variance[now]) - Nk) - Nk[:, None] * one
            if now.start:
                r[:, last], N[..., last] = kept[now] * r[:, now], kept[now]**2 * N[..., now]
        NP = np.einsum("ijn,jkn->ikn", N, P_before)
        mean = m_before + (P_before * r).sum(1)
        covariance = P_before - np.einsum("ijn,jkn->ikn", P_before, NP)
        P_last = P[..., rounds.before]
        return mean, covariance, kept * (np.einsum("iin->n", P_last) - np.einsum("ijn,jin->n", P_last, NP))

    def _gradient(self, rounds, m, P, with_before):
        """The gradient of the log-likelihood by log(−log ρ), log σ and the items [n_items + 1, 1 + d].

        It is that of the expected log-likelihood of ratings and tastes together, where the tastes have the distribution
        that all ratings give them (Fisher's identity).
        """
        P = P + m * m[:, None]  # E[u uᵀ]
        later = np.flatnonzero(np.isfinite(rounds.gaps) & (rounds.gaps > 0))
        last = rounds.before[later]
        now, before = np.einsum("iin->n", P)[later], np.einsum("iin->n", P)[last]
        both = with_before[later] + (m[:, later] * m[:, last]).sum(0)
        days = -np.log(self.rho) * rounds.gaps[later]
        kept, free = np.exp(-days), -np.expm1(-2 * days)  # a = ρ^Δ and 1 − a²
        squares = now - 2 * kept * both + kept**2 * before  # E |u − a u'|²
        by_kept = (both - kept * before + kept * (self.n_factors - squares / free)) / free
        by_rate = -(by_kept * kept * days).sum()

        q, rest = self.items[rounds.others, 1:].T, rounds.ratings - self.items[rounds.others, 0]
        error = rest - (q * m).sum(0)
        with_taste = rest * m - (P * q).sum(1)  # E[(r − μ − q·u) u]
        by_item = np.zeros_like(self.items)
        np.add.at(by_item, rounds.others, np.vstack([error, with_taste]).T / self.sigma**2)
        # E[e²] = e (r − μ) − q · E[e u], as e = r − μ − q·u
        squares = error * rest - (q * with_taste).sum(0)
        return by_rate, (squares / self.sigma**2 - 1).sum(), by_item

    def _predict(self, users, items, times):
        times = self.steps.round(times)
        n_before = self.steps.count_before(users, times)
        last = np.where(n_before > 0, self.steps.offsets[users] + n_before - 1, -1)  # the last step
        m = np.vstack([self.tastes, np.zeros(self.n_factors)])[self.steps.bags[last + 1] - 1]
        days = np.where(n_before > 0, (times - np.append(self.steps.time, 0)[last]) / DAY, np.inf)
        return self.items[items, 0] + (self.items[items, 1:] * m).sum(1) * self._fade(days)[0]

    def follow(self, data):
        self._check_goes_on(data)
        steps = self._steps(concatenate(self.train, data))
        rounds = _Rounds(steps)
        first = steps.bags[steps.step_of[self.train.n_ratings:]]  # ratings of one step do not see each other
        taste = self._filter(rounds).m_before[:, rounds.place[first]].T
        return self.items[data.items, 0] + (self.items[data.items, 1:] * taste).sum(1)
