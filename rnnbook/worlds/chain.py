"""A small chain on which learning from the future is computed exactly, and the divergence of a model from a world."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from rnnbook import metrics


@dataclass(frozen=True)
class FutureChain:
    r"""A small Markov chain on which learning from the future is computed exactly (chapter 3).

    A click i is followed by j, and j by k, with :math:`P(j | i)` and :math:`P(k | j)`. A perfect teacher sees what
    comes after j, and gives the distribution of j. In a Markov chain, k holds all that the future says about j:

    .. math::
        T_\text{future}(j | k) &= \frac{\pi_j P_{jk}}{\pi_k}, \\
        T_\text{both}(j | i, k) &= \frac{P_{ij} P_{jk}}{(P^2)_{ik}} .

    Every row of ``P`` is drawn from a Dirichlet distribution whose parameters all equal ``concentration``.

    Parameters
    ----------
    n_items : int
    concentration : float > 0; the smaller it is, the more predictable is the next item
    seed : int, of ``P``

    Examples
    --------
    A teacher that sees both the past and the future is right on average over the futures. A teacher that sees only
    the future is biased.

    >>> chain = FutureChain(n_items=3)
    >>> [np.allclose(chain.teacher_mean(sees), chain.transition) for sees in ("both", "future")]
    [True, False]

    With two examples of each context, a student learns more from the teacher that sees both (λ = 1) than from the
    clicks (λ = 0).

    >>> print((chain.error(1.0, 2, "both") < chain.error(0.0, 2, "both")).all())
    True
    """

    n_items: int = 6
    concentration: float = 0.4
    seed: int = 0

    @cached_property
    def transition(self):
        """float64 [n_items, n_items]: row i is P(next item | item i)."""
        rng = np.random.default_rng([self.seed, 3])
        return rng.dirichlet(np.full(self.n_items, self.concentration), size=self.n_items)

    @cached_property
    def stationary(self):
        """float64 [n_items]: π, with π P = π."""
        equations = np.vstack([self.transition.T - np.eye(self.n_items), np.ones(self.n_items)])
        return np.linalg.lstsq(equations, np.append(np.zeros(self.n_items), 1.0), rcond=None)[0]

    def teacher(self, sees):
        """float64 [n_items i, n_items k, n_items j]: the perfect teacher's distribution of j.

        ``sees`` is "future" or "both".

        Raises
        ------
        ValueError
            ``sees`` is neither.
        """
        P, pi = self.transition, self.stationary
        joint = P[:, None, :] * P.T[None]  # [i, k, j]: P(j, k | i)
        if sees == "both":
            return joint / joint.sum(2, keepdims=True)
        if sees == "future":
            return np.broadcast_to((pi[:, None] * P / pi).T, joint.shape)
        raise ValueError(f'a teacher sees "future" or "both", not {sees!r}')

    def teacher_mean(self, sees):
        """float64 [n_items i, n_items j]: E[teacher | i] over the futures k that follow i. It is P for "both"."""
        return np.einsum("ik,ikj->ij", self.transition @ self.transition, self.teacher(sees))

    def error(self, strength, n, sees):
        r"""Expected squared error of a student that has seen each context i ``n`` times: float64 [n_items].

        The student can learn any distribution for each i. It learns the mean of its n soft labels
        (1 − λ) 1_j + λ T, where λ is the ``strength``. Its error is its squared bias plus its variance over n:

        .. math::
            &E \lVert \hat q_i - P_i \rVert^2 = \lVert m_i - P_i \rVert^2 \\
            &\quad {} + \tfrac{1}{n} \big( E[\lVert (1-\lambda) 1_j + \lambda T \rVert^2 | i]
            - \lVert m_i \rVert^2 \big), \\
            &m_i = (1-\lambda) P_i + \lambda\, E[T | i] .
        """
        P, T = self.transition, self.teacher(sees)
        mean = (1 - strength) * P + strength * self.teacher_mean(sees)
        given_i = P[:, None, :] * P.T[None]  # [i, k, j]
        square = ((1 - strength)**2 + 2 * strength * (1 - strength) * (given_i * T).sum((1, 2))
                  + strength**2 * (given_i.sum(2) * (T**2).sum(2)).sum(1))
        return ((mean - P)**2).sum(1) + (square - (mean**2).sum(1)) / n


def divergence(model, exact, data):
    """Mean Kullback-Leibler divergence, in nats, of a model from the exact P(next item | history) on ``data``.

    The divergence is 0 only if the model's probabilities are exact. This is stricter than a ranking metric: a model
    can rank perfectly with wrong probabilities.

    Parameters
    ----------
    model : a recommender
        Its distribution is the softmax of its scores.
    exact : a recommender whose scores are probabilities, such as a world's ``bayes()``
    data : SessionData

    Returns
    -------
    float
        The mean over the predictions of ``data``.

    Examples
    --------
    The optimum has a divergence of 0 from itself. A model that uses only the last click has a positive divergence.

    >>> from rnnbook.worlds import SessionWorld
    >>> world = SessionWorld(n_items=30)
    >>> data = world.sample(200)
    >>> class Logits:
    ...     def __init__(self, model):
    ...         self.model = model
    ...
    ...     def score_sessions(self, data):
    ...         return ((positions, p.log()) for positions, p in self.model.score_sessions(data))
    >>> best, last = (divergence(Logits(model), world.bayes(), data)
    ...               for model in (world.bayes(), world.last_item()))
    >>> abs(best) < 1e-9, last > 0.1
    (True, True)
    """
    log_q: dict[int, torch.Tensor] = {}
    for positions, scores in model.score_sessions(data):
        log_q |= zip(positions.tolist(), scores.double().log_softmax(1).cpu())
    total = 0.0
    for positions, p in exact.score_sessions(data):
        q = torch.stack([log_q.pop(position) for position in positions.tolist()])
        total += (torch.special.xlogy(p, p) - p * q).sum().item()
    return total / len(metrics.target_positions(data)[0])
