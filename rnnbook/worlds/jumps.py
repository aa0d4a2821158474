"""A world of tastes that stay as they are and now and then change at once: no linear filter is the optimum here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnnbook.worlds.ratings import KalmanFilter, RatingWorld


class JumpFilter(KalmanFilter):
    r"""Bayes' rule for tastes that jump: a rating predictor (see :mod:`rnnbook.metrics`), exact in float64.

    What matters is when the last jump was. If a user's last k ratings came after it, what is known of the taste is the
    normal distribution :math:`N(m_k, P_k)` that a ridge regression of these k ratings gives. So the posterior is a
    mixture with weights :math:`w_k`. After Δ steps

    .. math::
        w_k &\leftarrow \rho^\Delta w_k, \\
        w_0 &\leftarrow w_0 + 1 - \rho^\Delta ,

    and :math:`k = 0` is the prior. A rating r turns each :math:`w_k` into :math:`w_{k+1}`, in proportion to
    :math:`w_k\, N(r;\, \mu + q^\top m_k,\, s_k)`, and updates :math:`m_k` and :math:`P_k` as the Kalman filter does.
    Of all functions of the past, the prediction :math:`\mu + q^\top \sum_k w_k m_k` has the smallest mean squared
    error.

    Parameters
    ----------
    world : JumpWorld

    Examples
    --------
    Four ratings of about 1, then one of -1. With so little noise it must have been a jump: the four are forgotten,
    while the Kalman filter still remembers them.

    >>> world = JumpWorld(n_users=1, n_items=1, dim=1, scale=1.0, noise=0.3, rho=0.98)
    >>> data = world.sample().take(slice(5))
    >>> data.ratings[:] = 1.0, 1.1, 0.9, 1.0, -1.0
    >>> [model.fit(data).predict(["user-0"], ["item-0"], [data.times[-1] + 1]).round(1).item()
    ...  for model in (world.best(), world.kalman())]
    [-0.9, 0.0]
    """

    def _forecast(self, seen, users, items, times):
        """Mean and variance [n] of the ratings at these indices (-1: unknown), each given the ratings before it."""
        n_asked, world = len(users), self.world
        owner, moment = np.concatenate([users, seen.users]), np.concatenate([times, seen.times])
        item, is_rating = np.concatenate([items, seen.items]), np.repeat([False, True], [n_asked, seen.n_ratings])
        value, step = np.append(np.zeros(n_asked), seen.ratings), world.steps(moment)
        # By user and time; at equal times the questions come before the ratings, so that a rating counts only later.
        order = np.lexsort((is_rating, moment, owner))
        starts = np.append(np.flatnonzero(np.diff(owner[order], prepend=-2)), len(order))
        lengths = np.diff(starts)
        q = np.vstack([world.factors, np.zeros(world.dim)])[item]
        mean = world.mean(item, step)
        means, variances = np.empty(len(order)), np.empty(len(order))
        longest = np.argsort(-lengths, kind="stable")  # the k-th events of all users together; a prefix has so many
        mixture = _Mixture(len(longest), world.dim)
        for k in range(lengths.max(initial=0)):
            active = int(np.searchsorted(-lengths[longest], -k))
            at = order[starts[longest[:active]] + k]
            before = order[starts[longest[:active]] + max(k - 1, 0)]
            mixture.wait(world.rho ** (step[at] - step[before]))
            predicted, variance = mixture.predict(q[at], world.noise)
            means[at], variances[at] = mean[at] + predicted, variance
            mixture.read(q[at], value[at] - mean[at], world.noise, is_rating[at])
        return means[:n_asked], variances[:n_asked]  # unknown users, -1, were one user without a rating: the prior


class _Mixture:
    """For each of n users the weights, means and covariances of the components k = 0, 1, …: ratings since a jump."""

    def __init__(self, n, dim):
        self.weight = np.ones((n, 1))
        self.mean, self.covariance = np.zeros((n, 1, dim)), np.tile(np.eye(dim), (n, 1, 1, 1))

    def wait(self, kept):
        """The first users go on after some time, in which no jump came with probability ``kept`` [m]."""
        self.weight, self.mean, self.covariance = (
            array[:len(kept)] for array in (self.weight, self.mean, self.covariance))
        self.weight = self.weight * kept[:, None]
        self.weight[:, 0] += 1 - kept

    def predict(self, q, noise):
        """Mean and variance [m] of a rating of items with the factors q [m, dim]."""
        self.by_component = np.einsum("nd,nkd->nk", q, self.mean)
        self.Pq = np.einsum("nkde,ne->nkd", self.covariance, q)
        self.spread = np.einsum("nkd,nd->nk", self.Pq, q) + noise**2
        mean = (self.weight * self.by_component).sum(1)
        return mean, (self.weight * (self.spread + (self.by_component - mean[:, None])**2)).sum(1)

    def read(self, q, rating, noise, is_rating):
        """Take in the ratings [m] that were just predicted, where there is one."""
        error = rating[:, None] - self.by_component
        log = np.log(np.maximum(self.weight, 1e-300)) - (error**2 / self.spread + np.log(self.spread)) / 2
        weight = np.exp(log - log.max(1, keepdims=True))
        weight /= weight.sum(1, keepdims=True)
        gain = self.Pq / self.spread[..., None]
        mean = self.mean + gain * error[..., None]
        covariance = self.covariance - gain[..., :, None] * self.Pq[..., None, :]
        m, dim = q.shape
        # Component k becomes k + 1; the new component 0 is the prior, with a weight of 0 until time passes.
        self.weight = np.where(is_rating[:, None], np.hstack([np.zeros((m, 1)), weight]),
                               np.hstack([self.weight, np.zeros((m, 1))]))
        self.mean = np.where(is_rating[:, None, None], np.concatenate([np.zeros((m, 1, dim)), mean], axis=1),
                             np.concatenate([self.mean, np.zeros((m, 1, dim))], axis=1))
        prior = np.tile(np.eye(dim), (m, 1, 1, 1))
        self.covariance = np.where(is_rating[:, None, None, None], np.concatenate([prior, covariance], axis=1),
                                   np.concatenate([self.covariance, prior], axis=1))


@dataclass(frozen=True)
class JumpWorld(RatingWorld):
    r"""`RatingWorld` with jumps in place of drift: a taste stays for a step with probability ρ, or else is drawn anew,

    .. math::
        u_{it} = \begin{cases} u_{i,t-1} & \text{with probability } \rho \\ N(0, I) & \text{else.} \end{cases}

    Mean and covariances of all ratings are the same as in `RatingWorld` with this ρ. So the Kalman filter is the best
    of all linear predictors here, too. But it cannot see that a jump has just happened. The optimum, `JumpFilter`, can.

    Examples
    --------
    >>> world = JumpWorld(n_users=200, n_steps=40, rho=0.95)
    >>> train, _, test = world.sample().split_by_time()
    >>> linear = world.kalman().fit(train)
    >>> from rnnbook.metrics import evaluate_ratings
    >>> world.oracle(train, test).rmse < evaluate_ratings(linear, test).rmse
    True
    """

    def tastes(self, seed=0):
        """u: float64 [n_steps, n_users, dim], the tastes that generate the ratings of ``sample(seed)``."""
        rng = np.random.default_rng([self.seed, 1, seed])
        u = rng.standard_normal((self.n_steps, self.n_users, self.dim))
        stays = rng.random((self.n_steps, self.n_users)) < self.rho
        for t in range(1, self.n_steps):
            u[t] = np.where(stays[t][:, None], u[t - 1], u[t])
        return u

    def best(self):
        """The best possible rating predictor."""
        return JumpFilter(self)
