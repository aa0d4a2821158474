"""Baselines for tastes that drift: a ridge regression that forgets, and a Kalman filter with estimated parameters.

Both keep what they know of each user in a few numbers, and update them with every rating. They start from the item
vectors of a matrix factorisation and follow the protocol of the other baselines (see `rnnbook.baselines.ratings`).
Items are not learnt after the training.
"""

from __future__ import annotations

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
        [b_u, p_u](t) = \arg\min \sum_{\tau < t} \gamma^{t - \tau} \big(r_\tau - \mu - b_j - b_u - p_u^\top q_j\big)^2
            + \lambda' \|p_u\|^2 + \lambda'_b b_u^2

    with ages in days. Without news the weight of what was rated falls and that of the penalty stays, so a user falls
    back to the mean user. With γ = 1 nothing is forgotten. Two sums for each user are enough to go on: a rating costs
    the same, however many there were. An item without a training rating has the vector 0.

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
        faded = self.gamma**np.maximum(days - self.day[users], 0)
        vectors, items = self._solve_sums(self.sums[users] * faded[:, None, None]), self.item_vectors[items]
        return self.mean + items[:, 0] + (self._design(items) * vectors).sum(1)

    def follow(self, data):
        self._check_goes_on(data)
        predicted = np.empty(data.n_ratings)
        self._read(data, self.sums.copy(), self.day.copy(), predicted)
        return predicted


class EstimatedKalman(RatingBaseline):
    r"""A Kalman filter of drifting tastes that finds its own numbers: ρ, σ and what each item is.

    The model is that of :class:`rnnbook.worlds.RatingWorld`, with a time in days between two steps of a user:

    .. math::
        r = \mu_j + q_j^\top u_t + \sigma\, N(0, 1), \qquad
        u_{t + \Delta} = \rho^\Delta u_t + \sqrt{1 - \rho^{2\Delta}}\, N(0, I), \qquad u \sim N(0, I).

    ρ, σ and all :math:`[\mu_j, q_j]` maximise the likelihood of the training ratings times a prior of the items,
    :math:`N([\bar\mu, \bar q], I / \lambda)` around their own mean. An item without a training rating gets that mean. A
    Kalman filter gives the likelihood, a Rauch-Tung-Striebel smoother its gradient, and L-BFGS climbs, from the
    vectors of a factorisation.

    Parameters
    ----------
    n_factors : int, d, the numbers of a taste; one of them may take the part of a user's bias
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
    H. E. Rauch, F. Tung, C. T. Striebel. "Maximum Likelihood Estimates of Linear Dynamic Systems." AIAA Journal 3(8),
    1965.

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
        self.train, self.rho, self.sigma = train, 0.99, float(train.ratings.std()) / 2 or 1.0
        self.log_likelihood: list[float] = []
        self._start_items(train)
        steps, rated = self._steps(train), np.unique(train.items)
        start = self.items[rated]
        # Items with many ratings need small steps: in these units all are about as steep.
        scale = np.sqrt(np.bincount(train.items)[rated] / self.sigma**2 + self.penalty)[:, None]

        def misfit(x):
            self._set(x, rated, start, scale)
            before, after, log_likelihood = self._filter(steps)
            slopes = self._gradient(steps, *self._smooth(steps, before, after))
            gap = self.items[rated] - self.items[-1]
            of_items = (slopes[2][rated] - self.penalty * gap) / scale
            value = log_likelihood - self.penalty / 2 * (gap**2).sum()
            self.log_likelihood.append(value)
            return -value, -np.concatenate([slopes[:2], of_items.ravel()])

        first = np.concatenate([[np.log(-np.log(self.rho)), np.log(self.sigma)], np.zeros(start.size)])
        bounds = [(-14, 3)] + [(None, None)] * (1 + start.size)  # of log(−log ρ): from standing still to no memory
        best = minimize(misfit, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": self.n_epochs})
        self._set(best.x, rated, start, scale)
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

    @staticmethod
    def _gaps(steps):
        """Days since the rating before, float64 [n]: 0 within a step, and ∞, which forgets all, at a user's first."""
        gaps = np.diff(np.repeat(steps.time, np.diff(steps.bags)), prepend=0.0) / DAY
        gaps[steps.bags[steps.offsets[:-1]][np.diff(steps.offsets) > 0]] = np.inf
        return gaps

    def _filter(self, steps):
        """What is known of a taste at each rating, user after user, and the log-likelihood of all ratings.

        Returns
        -------
        before, after : pairs of float64 arrays [n, d], [n, d, d]
            Mean and covariance, from the ratings before, and from this one too.
        log_likelihood : float
        """
        q, rest = self.items[steps.others, 1:], steps.ratings - self.items[steps.others, 0]
        (n, d), eye = q.shape, np.eye(self.n_factors)
        kept, added = self._fade(self._gaps(steps))
        m_before, m, P_before, P = np.zeros((n, d)), np.zeros((n, d)), np.zeros((n, d, d)), np.zeros((n, d, d))
        variance, error = np.empty(n), np.empty(n)
        for _, now in _rounds(steps.bags[steps.offsets]):
            a, one, new = kept[now, None], q[now], added[now, None, None] * eye
            m_before[now], P_before[now] = a * m[now - 1], a[:, :, None]**2 * P[now - 1] + new
            Pq = (P_before[now] @ one[:, :, None])[..., 0]
            variance[now] = (one * Pq).sum(1) + self.sigma**2
            error[now] = rest[now] - (one * m_before[now]).sum(1)
            gain = Pq / variance[now, None]
            m[now] = m_before[now] + gain * error[now, None]
            P[now] = P_before[now] - gain[:, :, None] * Pq[:, None, :]
        return (m_before, P_before), (m, P), -(np.log(2 * np.pi * variance) + error**2 / variance).sum() / 2

    def _smooth(self, steps, before, after):
        """The taste at each rating from all ratings: mean, covariance, and the covariance with the one before."""
        (m_before, P_before), (m, P) = before, (after[0].copy(), after[1].copy())
        with_last, kept = np.zeros_like(P), self._fade(self._gaps(steps))[0]
        for _, now in reversed(list(_rounds(steps.bags[steps.offsets]))[1:]):
            back = P[now - 1] * kept[now, None, None] @ np.linalg.inv(P_before[now])
            m[now - 1] += (back @ (m[now] - m_before[now])[:, :, None])[..., 0]
            P[now - 1] += back @ (P[now] - P_before[now]) @ back.transpose(0, 2, 1)
            with_last[now] = P[now] @ back.transpose(0, 2, 1)
        return m, P, with_last

    def _gradient(self, steps, m, P, with_last):
        """The gradient of the log-likelihood by log(−log ρ), log σ and the items [n_items + 1, 1 + d].

        It is that of the expected log-likelihood of ratings and tastes together, where the tastes have the distribution
        that all ratings give them (Fisher's identity).
        """
        P = P + m[:, :, None] * m[:, None, :]  # E[u uᵀ]
        gaps = self._gaps(steps)
        later = np.flatnonzero(np.isfinite(gaps) & (gaps > 0))
        now, last = (np.einsum("sii->s", P[at]) for at in (later, later - 1))
        both = np.einsum("sii->s", with_last[later]) + (m[later] * m[later - 1]).sum(1)
        days = -np.log(self.rho) * gaps[later]
        kept, free = np.exp(-days), -np.expm1(-2 * days)  # a = ρ^Δ and 1 − a²
        squares = now - 2 * kept * both + kept**2 * last  # E |u − a u'|²
        by_kept = (both - kept * last + kept * (self.n_factors - squares / free)) / free
        by_rate = -(by_kept * kept * days).sum()

        loadings = self.items[steps.others]
        error = steps.ratings - loadings[:, 0] - (loadings[:, 1:] * m).sum(1)
        with_taste = (P @ loadings[:, 1:, None])[..., 0]  # E[u uᵀ] q
        with_taste = (steps.ratings - loadings[:, 0])[:, None] * m - with_taste  # E[(r − μ − q·u) u]
        by_item = np.zeros_like(self.items)
        np.add.at(by_item, steps.others, np.column_stack([error, with_taste]) / self.sigma**2)
        # E[e²] = e (r − μ) − q · E[e u], as e = r − μ − q·u
        squares = error * (steps.ratings - loadings[:, 0]) - (loadings[:, 1:] * with_taste).sum(1)
        return by_rate, (squares / self.sigma**2 - 1).sum(), by_item

    def _predict(self, users, items, times):
        steps = self._steps(self.train)
        times = steps.round(times)
        n_before = steps.count_before(users, times)
        last = np.where(n_before > 0, steps.offsets[users] + n_before - 1, -1)  # the last step
        m = np.vstack([self._filter(steps)[1][0], np.zeros(self.n_factors)])[steps.bags[last + 1] - 1]
        days = np.where(n_before > 0, (times - np.append(steps.time, 0)[last]) / DAY, np.inf)
        return self.items[items, 0] + (self.items[items, 1:] * m).sum(1) * self._fade(days)[0]

    def follow(self, data):
        self._check_goes_on(data)
        steps = self._steps(concatenate(self.train, data))
        first = steps.bags[steps.step_of[self.train.n_ratings:]]  # ratings of one step do not see each other
        taste = self._filter(steps)[0][0][first]
        return self.items[data.items, 0] + (self.items[data.items, 1:] * taste).sum(1)
