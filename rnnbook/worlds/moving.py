"""A world of ratings with reviews in which the quality of items moves from day to day."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import softmax
from scipy.stats import norm

from rnnbook.interactions import DAY
from rnnbook.worlds.ratings import START
from rnnbook.worlds.reviews import ReviewWorld


@dataclass(frozen=True)
class MovingReviewWorld(ReviewWorld):
    r"""The world of reviews with qualities that move from day to day, around 0, each with the same variance 1:

    .. math::
        q_{j,0} &\sim N(0, 1), \\
        q_{j,t+1} &= \rho\, q_{j,t} + \sqrt{1 - \rho^2}\, N(0, 1).

    The rating and the word of day t tell of :math:`q_{j,t}`. The best prediction is that of a filter over both: a day
    turns what is known of :math:`q_{j,t}` into a little less of :math:`q_{j,t+1}`. Words are bins, so what is known is
    no normal distribution. It is held on a grid; without words it is what a Kalman filter gives.

    Parameters
    ----------
    rho : float in [0, 1), ρ
    n_items, n_users, n, noise, text_noise, text, seed : as in :class:`ReviewWorld`

    Examples
    --------
    Two days of 2, then two of -1. What is old counts less: the posterior mean is below that of qualities that stay.

    >>> moving, still = MovingReviewWorld(rho=0.8), ReviewWorld()
    >>> ratings = [2.0, 2.0, -1.0, -1.0]
    >>> [round(world.posterior(ratings)[0].item(), 2) for world in (moving, still)]
    [-0.2, 0.4]
    """

    rho: float = 0.9

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.rho < 1:
            raise ValueError(f"rho must be at least 0 and below 1, not {self.rho!r}; ReviewWorld has qualities that "
                             "stay")

    @cached_property
    def path(self):
        """float64 [n + 1, n_items]: the quality on each day; that of the first is ``quality``."""
        rng, path = np.random.default_rng([self.seed, 3]), [self.quality]
        for _ in range(self.n):
            path.append(self.rho * path[-1] + np.sqrt(1 - self.rho**2) * rng.standard_normal(self.n_items))
        return np.array(path)

    def posterior(self, ratings, tokens=None):
        """Mean and standard deviation of the quality on the day after some days with a rating and a review each.

        Parameters
        ----------
        ratings : float array [..., k], one a day, the latest last
        tokens : int64 array [..., k], optional
            Indices into ``WORDS``, of the reviews of these ratings.

        Returns
        -------
        mean, sd : float64 arrays [...]
        """
        p = self._today(ratings, tokens) @ self._tomorrow
        mean, variance, _ = self._moments_of(p.reshape(-1, p.shape[-1]))
        return mean.reshape(p.shape[:-1]), np.sqrt(variance).reshape(p.shape[:-1])

    def density(self, q, ratings, tokens=None):
        """The posterior density at qualities q, float [n]: float64 [..., n]. The others are as in :meth:`posterior`."""
        return self._today(ratings, tokens) @ self._density_tomorrow(q)

    @cached_property
    def _grid(self):
        """float64 [n_grid]: as in a world that stays, with steps of half the least standard deviation that occurs."""
        told, variance = 1 / self.noise**2 + 1 / self.text_noise**2, 1.0
        for _ in range(self.n + 1):  # a Kalman filter that sees the token itself
            variance = 1 / (1 / variance + told)
            least, variance = variance, self.rho**2 * variance + 1 - self.rho**2
        return np.arange(-8, 8, 0.5 * np.sqrt(min(least, 1 - self.rho**2)))

    @property
    def _spacing(self):
        return self._grid[1] - self._grid[0]

    def _density_tomorrow(self, q):
        """The density of tomorrow's quality at q [n], given today's on the grid: float64 [n_grid, n]."""
        return norm.pdf(q, self.rho * self._grid[:, None], np.sqrt(1 - self.rho**2))

    def _read(self, p, ratings, tokens=None):
        """The probabilities p [..., n_grid] of today's quality after a rating and a word each [...]."""
        log_p = -(ratings[..., None] - self._grid)**2 / (2 * self.noise**2)
        if tokens is not None and self.text == "quality":
            log_p = log_p + self.log_words(self._grid)[tokens]
        p = p * np.exp(log_p - log_p.max(-1, keepdims=True))
        return p / p.sum(-1, keepdims=True)

    @cached_property
    def _tomorrow(self):
        """float64 [n_grid, n_grid]: the probabilities of tomorrow's quality, given today's."""
        return self._density_tomorrow(self._grid) * self._spacing

    @cached_property
    def _prior(self):
        return softmax(-self._grid**2 / 2)

    def _today(self, ratings, tokens):
        """The probabilities [..., n_grid] of the quality of the last of these days [..., k], with its rating known."""
        ratings = np.asarray(ratings, dtype=np.float64)
        p = np.broadcast_to(self._prior, (*ratings.shape[:-1], len(self._grid)))
        for day in range(ratings.shape[-1]):
            said = None if tokens is None else np.asarray(tokens)[..., day]
            p = self._read(p @ self._tomorrow if day else p, ratings[..., day], said)
        return p

    def _forecasts(self, seen, tokens, n):
        days = ((seen.times - START) // DAY).astype(np.int64)
        forecasts = []
        for said in (tokens, None):
            p, found = np.tile(self._prior, (self.n_items, 1)), np.empty((seen.n_ratings, len(self._grid)))
            for rows in np.split(np.arange(seen.n_ratings), np.searchsorted(days, np.arange(1, days.max() + 1))):
                items = seen.items[rows]  # each at most once a day
                found[rows] = p[items]
                p[items] = self._read(p[items], seen.ratings[rows], None if said is None else said[rows])
                p = p @ self._tomorrow
            forecasts.append(self._moments_of(found[-n:]))
        return forecasts
