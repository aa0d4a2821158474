"""Measure rankings and predicted ratings: Recall@K, MRR@K and NDCG@K under a protocol, RMSE, MAE, and intervals.

A *recommender*, here and in the whole book, is any object with

- ``item_ids``: array [n_items] of raw item ids, the catalogue that it scores;
- ``recommend(history, k=10) -> Recommendations``: takes raw item ids, oldest first, and returns the best ``k`` (see
  `rnnbook.recommenders`);
- ``score_sessions(data, batch_size=512)``: an iterator of ``(positions, scores)``, int64 tensor [B] and float
  tensor [B, n_items]. ``positions`` are indices into ``data.items`` of the *targets*. Every event that has a
  predecessor in its session is a target exactly once, in any order. A row of scores may use only the events before
  its target in the same session.

A *ranker*, such as `rnnbook.fast.Ranker`, has ``rank_sessions(data, ties) -> (positions, doubled)`` in place of
``score_sessions``. Both are int64 arrays [n_predictions]: the same positions, and twice the rank of each, or 0 where
a score is NaN.

Each prediction ranks the target among all items. Ranking it among a sample of negatives is faster, but can order
the models differently (W. Krichene and S. Rendle. "On Sampled Metrics for Item Recommendation." KDD 2020). To
reproduce a paper that samples, pass a `Protocol`; by default nothing is sampled and no item is left out.

A *rating predictor* is any object with

- ``user_ids``, ``item_ids``: arrays of raw ids;
- ``predict(users, items, times) -> float64 [n]``: takes raw ids and seconds since 1970, and returns expected
  ratings. A prediction may use only ratings that the model has seen. A model that uses time may use only those
  strictly before the time asked for. An unknown id gets the prediction for a new user or item.
- ``follow(data) -> float64 [n_ratings]``: predicts every rating of ``data`` as if the ratings arrived one after
  another. ``data`` is RatingData over the same ids, later than all that the model has seen. A prediction may use
  what was seen before ``data`` and the ratings of ``data`` at a strictly earlier time. So ratings at the same time
  are predicted independently. A static model ignores the new ratings. Afterwards the model is as it was before.

Predictions are on the data's own scale and are not clipped. Baselines also have ``fit(train)``. It trains the model,
stores the ratings that later predictions start from, and returns the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import gammaln, xlogy

METRICS = ("recall", "mrr", "ndcg")
RATING_METRICS = ("rmse", "mae")
TIES = ("standard", "conservative", "median")
TARGETS = ("all", "last")
AVERAGES = ("event", "session")
SAMPLINGS = ("uniform", "popularity")


# Shared by all recommenders -----------------------------------------------------------------------------


def target_positions(data):
    """Find every event that has a predecessor in its session.

    Parameters
    ----------
    data : SessionData

    Returns
    -------
    positions : int64 array [n_predictions], ascending indices into ``data.items``
    sessions : int64 array [n_predictions], the session of each

    Examples
    --------
    Sessions of 3 and 2 clicks: the events 1, 2 and 4 have a predecessor.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
    >>> positions, sessions = target_positions(SessionData.from_frame(clicks))
    >>> positions.tolist(), sessions.tolist()
    ([1, 2, 4], [0, 0, 1])
    """
    is_target = np.ones(data.n_events, dtype=bool)
    is_target[data.offsets[:-1][data.lengths > 0]] = False
    return np.flatnonzero(is_target), np.repeat(np.arange(data.n_sessions), data.lengths)[is_target]


def check_catalogue(model, data):
    """Raise ValueError unless ``model`` and ``data`` have the same ``item_ids`` in the same order.

    Examples
    --------
    >>> from rnnbook.baselines import Popularity
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": 1, "item": ["a", "b"], "time": [0, 1]})
    >>> shop = SessionData.from_frame(clicks)
    >>> other = SessionData.from_frame(clicks.replace("b", "x"))
    >>> check_catalogue(Popularity().fit(shop), other)
    Traceback (most recent call last):
    ValueError: the catalogues differ: 2 items in the model, 2 in the data. Use
        data.restrict_to(model.item_ids), which drops and counts events of unknown items; load_sessions gives train
        and test one catalogue
    """
    if not np.array_equal(model.item_ids, data.item_ids):
        raise ValueError(
            f"the catalogues differ: {len(model.item_ids)} items in the model, {data.n_items} in the data. "
            "Use data.restrict_to(model.item_ids), which drops and counts events of unknown items; load_sessions gives "
            "train and test one catalogue")


# Ranks --------------------------------------------------------------------------------------------------


def _count(compare, scores, target):
    """Count the scores of each row for which ``compare(score, target)`` is true: int64 [B]."""
    # On a CPU, summing ones in float32 is several times faster than summing booleans, and exact up to 2**24 items.
    return compare(scores, target, out=torch.empty_like(scores, dtype=torch.float32)).sum(1).long()


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def doubled_ranks(scores, targets, ties):
    """Compute twice the ranks of :func:`ranks`, from the same arguments.

    The median rank of a tie can be a half. Doubled, it is an integer, and so exact on every device.

    Returns
    -------
    int64 tensor [B]
        On the device of the scores; 0 for a row that contains a NaN.

    Raises
    ------
    ValueError
        ``ties`` is not one of ``TIES``.

    Examples
    --------
    >>> scores = torch.tensor([[0.9, 0.5, 0.5], [0.1, float("nan"), 0.2]])
    >>> doubled_ranks(scores, torch.tensor([2, 0]), "median")
    tensor([5, 0])
    """
    _check_choice("ties", ties, TIES)
    scores = scores.detach()
    target = scores.gather(1, targets[:, None])
    if ties == "conservative":
        doubled = 2 * _count(torch.ge, scores, target)
    elif ties == "standard":
        doubled = 2 * _count(torch.gt, scores, target) + 2
    else:
        doubled = 2 * _count(torch.gt, scores, target) + _count(torch.eq, scores, target) + 1
    return doubled.masked_fill(scores.amax(1).isnan(), 0)  # the maximum of a row with a NaN is NaN


def ranks(scores, targets, ties="conservative"):
    """Rank each target among all items; 1 is best.

    Let ``g`` items have a higher score than the target, and ``e`` items the same score (the target included)::

        standard      g + 1              the best rank within the tie
        conservative  g + e              the worst rank; a model that gives all items one score gains nothing
        median        g + (e - 1)/2 + 1  the middle of the tie, which can be a half

    Parameters
    ----------
    scores : float tensor [B, n_items]; may be infinite
    targets : int64 tensor [B], the index of each row's target
    ties : "standard", "conservative" or "median"

    Returns
    -------
    float64 tensor [B] on the CPU

    Raises
    ------
    ValueError
        A score is NaN, or ``ties`` is unknown. Every comparison with NaN is false, so a broken model would get rank 0.

    Examples
    --------
    One item has a higher score than the target, and two others have the same score.

    >>> scores, target = torch.tensor([[0.9, 0.5, 0.5, 0.5, 0.1]]), torch.tensor([2])
    >>> [ranks(scores, target, ties).item() for ties in TIES]
    [2.0, 4.0, 3.0]
    """
    doubled = doubled_ranks(scores, targets, ties).cpu()
    if (doubled == 0).any():
        row = int((doubled == 0).nonzero()[0])
        raise ValueError(f"the scores of row {row} hold a NaN; a NaN has no rank")
    return doubled.double() / 2


def gains(ranks, k):
    """Compute Recall@K, MRR@K and NDCG@K of each prediction.

    A prediction has exactly one correct item. With its rank :math:`r`,

    .. math::
        \\mathrm{Recall@K} &= [r \\le K], \\\\
        \\mathrm{MRR@K} &= [r \\le K] / r, \\\\
        \\mathrm{NDCG@K} &= [r \\le K] / \\log_2(r + 1).

    The ideal DCG of one correct item is 1. The score of a data set is the mean over its predictions.

    Parameters
    ----------
    ranks : array [n_predictions], 1 is best
    k : int

    Returns
    -------
    dict of float64 arrays [n_predictions]
        With the keys ``"recall"``, ``"mrr"`` and ``"ndcg"``.

    Examples
    --------
    Ranks 1, 3 and 21 for K = 20.

    >>> {name: values.round(4).tolist() for name, values in gains([1, 3, 21], k=20).items()}
    {'recall': [1.0, 1.0, 0.0], 'mrr': [1.0, 0.3333, 0.0], 'ndcg': [1.0, 0.5, 0.0]}
    """
    ranks = np.asarray(ranks, dtype=np.float64)
    hit = ranks <= k
    return {"recall": hit.astype(np.float64), "mrr": hit / ranks, "ndcg": hit / np.log2(ranks + 1)}


# Protocols ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Protocol:
    """Which events are predicted, what the next item is ranked against, and what the mean is over.

    The default is the book's: every event with a predecessor counts once, and the next item is ranked among all items.
    The other values are those of papers; the page "What an evaluation is worth" shows what each does to a comparison.

    Attributes
    ----------
    ties : "standard", "conservative" or "median"
        See :func:`ranks`.
    targets : "all" or "last"
        Whether every event with a predecessor is predicted or only the last one of each session.
    average : "event" or "session"
        The mean over all predictions, or over sessions of each session's own mean.
    repeats : bool
        If False, the items that the session has clicked before are no candidates, and an event that repeats one of
        them is not predicted.
    min_support : int
        Items with fewer clicks in training are no candidates, and their events are not predicted. With 1, that leaves
        out the items that training has not seen.
    negatives : int or None
        The next item is ranked among so many other candidates, drawn at random, instead of among all.
    sampling : "uniform" or "popularity"
        Negatives are drawn uniformly without replacement, or with replacement in proportion to their clicks in
        training.
    seed : int, of the negatives

    Raises
    ------
    ValueError
        A field has a value that is not allowed.

    Examples
    --------
    The protocol of the SASRec paper's code, but for its sampling with replacement:

    >>> print(Protocol(negatives=100, targets="last", repeats=False))
    conservative ties, the last event of a session, no repeats, 100 negatives drawn uniformly
    """

    ties: str = "conservative"
    targets: str = "all"
    average: str = "event"
    repeats: bool = True
    min_support: int = 0
    negatives: int | None = None
    sampling: str = "uniform"
    seed: int = 0

    def __post_init__(self):
        for name, choices in (("ties", TIES), ("targets", TARGETS), ("average", AVERAGES), ("sampling", SAMPLINGS)):
            _check_choice(name, getattr(self, name), choices)
        if self.min_support < 0:
            raise ValueError(f"min_support must be 0 or more, not {self.min_support}")
        if self.negatives is not None and self.negatives < 1:
            raise ValueError(f"negatives must be None, for all items, or 1 or more, not {self.negatives}")

    @property
    def ranks_all(self):
        """bool: whether the next item is ranked among all items of the catalogue."""
        return self.negatives is None and self.repeats and not self.min_support

    def __str__(self):
        drawn = "uniformly" if self.sampling == "uniform" else "by popularity"
        parts = (f"{self.ties} ties", "the last event of a session" * (self.targets == "last"),
                 "each session counted once" * (self.average == "session"), "no repeats" * (not self.repeats),
                 f"items with {self.min_support} clicks or more" * (self.min_support > 0),
                 f"{self.negatives} negatives drawn {drawn}" * (self.negatives is not None))
        return ", ".join(filter(None, parts))


def candidate_counts(model, data, protocol=Protocol(), support=None, batch_size=512):
    """Count, for every event with a predecessor, the candidates that a model scores above it, as high as it, and all.

    The target is none of its own candidates. Where the protocol samples by popularity, clicks in training are counted
    in place of items. So ``above / total`` is the probability that one negative is scored higher than the target.

    Parameters
    ----------
    model : a recommender (see the top of this module)
    data : SessionData over the model's catalogue
    protocol : Protocol
        Its fields ``repeats``, ``min_support`` and ``sampling``.
    support : int array [n_items]
        The clicks on each item in training. Needed for ``min_support`` and for sampling by popularity.
    batch_size : int, passed to ``model.score_sessions``

    Returns
    -------
    above, tied, total : float64 arrays [n_predictions], in the order of ``data.items``
        ``above`` is NaN where a score is.

    Raises
    ------
    ValueError
        ``support`` is missing, or the model gives no scores, or skips or repeats a target.

    Examples
    --------
    Popularity counts a: 2, b: 2, c: 1. The events to predict are b, c and a. One item is tied with b, two are above c.

    >>> from rnnbook.baselines import Popularity
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
    >>> data = SessionData.from_frame(clicks)
    >>> model = Popularity().fit(data)
    >>> [counts.tolist() for counts in candidate_counts(model, data)]
    [[0.0, 2.0, 0.0], [1.0, 0.0, 1.0], [2.0, 2.0, 2.0]]
    >>> # without repeats, what was clicked before is no candidate: a for b, a and b for c, b for a
    >>> [counts.tolist() for counts in candidate_counts(model, data, Protocol(repeats=False))]
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]
    """
    if not hasattr(model, "score_sessions"):
        raise ValueError("this protocol needs the scores of all items, which a ranker does not give; use "
                         "metrics.evaluate_sessions with the model itself")
    weight = torch.ones(data.n_items, dtype=torch.float64)
    if protocol.min_support or protocol.sampling == "popularity":
        clicks = _clicks(support, data)
        if protocol.sampling == "popularity":
            weight = torch.from_numpy(clicks.astype(np.float64))
        weight = weight * torch.from_numpy(clicks >= protocol.min_support)
    starts, batches, counts = data.offsets[:-1], [], []
    for batch, scores in model.score_sessions(data, batch_size=batch_size):
        positions = batch.cpu().numpy()
        first = starts[np.searchsorted(starts, positions, side="right") - 1]
        weights = weight.repeat(len(positions), 1)
        if not protocol.repeats:
            for row, a, b in zip(weights, first, positions):
                row[data.items[a:b]] = 0
        target = torch.from_numpy(data.items[positions])[:, None]
        weights.scatter_(1, target, 0)
        scores = scores.detach().cpu()
        score = scores.gather(1, target)
        above = ((scores > score) * weights).sum(1).masked_fill(scores.amax(1).isnan(), torch.nan)
        batches.append(positions)
        counts.append(torch.stack([above, ((scores == score) * weights).sum(1), weights.sum(1)]))
    order = _order(np.concatenate(batches), target_positions(data)[0])
    above, tied, total = torch.cat(counts, dim=1).numpy()[:, order]
    return above, tied, total


def _clicks(support, data):
    """``support`` as an int array [n_items], or a ValueError that says what it is."""
    if support is None or len(support) != data.n_items:
        raise ValueError(f"the protocol needs support=train.support, the clicks on each of the {data.n_items} items "
                         "in training")
    return np.asarray(support)


def _order(positions, expected):
    """The order that sorts the positions a model has scored, if they are the expected ones."""
    order = np.argsort(positions)
    if not np.array_equal(positions[order], expected):
        raise ValueError("the model must score every event with a predecessor in its session exactly once: "
                         f"{len(expected)} such events, {len(positions)} predictions of "
                         f"{len(np.intersect1d(positions, expected))} of them")
    return order


def _predicted(data, protocol, support):
    """bool [n_predictions]: which of the events with a predecessor the protocol predicts."""
    positions, sessions = target_positions(data)
    kept = np.ones(len(positions), dtype=bool)
    if protocol.targets == "last":
        kept &= np.diff(sessions, append=-1) != 0
    if not protocol.repeats:
        first = data.offsets[sessions]
        kept &= [data.items[at] not in data.items[a:at] for a, at in zip(first, positions)]
    if protocol.min_support:
        kept &= _clicks(support, data)[data.items[positions]] >= protocol.min_support
    return kept


def _doubled(above, tied, ties):
    """Twice the ranks, int64, of targets that have so many items above them and as many others tied with them."""
    return np.int64(2 * above + 2 + {"standard": 0, "median": 1, "conservative": 2}[ties] * tied)


def _drawn(above, tied, total, protocol):
    """How many of the negatives, drawn at random, are above each target and how many tied with it."""
    n, rng = protocol.negatives, np.random.default_rng(protocol.seed)
    if protocol.sampling == "popularity":
        better = rng.binomial(n, above / total)
        return better, rng.binomial(n - better, np.divide(tied, total - above, out=np.zeros(len(tied)),
                                                          where=total > above))
    above, tied, total = (counts.astype(np.int64) for counts in (above, tied, total))
    better = rng.hypergeometric(above, total - above, n)
    return better, rng.hypergeometric(tied, total - above - tied, n - better)


def _check_negatives(total, protocol):
    fewest = 1 if protocol.sampling == "popularity" else protocol.negatives
    if total.min() < fewest:
        raise ValueError(f"{protocol.negatives} negatives cannot be drawn from the {total.min():.0f} candidates, or "
                         "clicks on them, that an event has; lower negatives or min_support")


def sampled_gains(above, tied, total, k, protocol):
    """Expected Recall@K, MRR@K and NDCG@K of targets that are ranked among sampled negatives. Exact, nothing is drawn.

    Of the ``total`` candidates, ``above`` have a higher score than the target. If ``n`` of them are drawn without
    replacement, the number drawn from above, B, is hypergeometric, and the target has rank 1 + B. So

    .. math::
        &\\mathbb{E}[\\mathrm{Recall@K}] = \\sum_{b=0}^{K-1} P(B = b), \\\\
        &P(B = b) = \\\\
        &\\quad \\binom{\\text{above}}{b} \\binom{\\text{total} - \\text{above}}{n - b} \\Big/
        \\binom{\\text{total}}{n}.

    Drawn with replacement, B is binomial. MRR and NDCG weigh each term by 1 / (1 + b) and 1 / log2(2 + b). Conservative
    ties count the tied as above. Median ties count half of those drawn; then the sum is over both numbers.

    Parameters
    ----------
    above, tied, total : arrays [n_predictions], from :func:`candidate_counts`
    k : int
    protocol : Protocol
        Its fields ``negatives``, ``sampling`` and ``ties``.

    Returns
    -------
    dict of float64 arrays [n_predictions], as from :func:`gains`

    Raises
    ------
    ValueError
        There are fewer candidates than negatives.

    References
    ----------
    W. Krichene and S. Rendle. "On Sampled Metrics for Item Recommendation." KDD 2020.

    Examples
    --------
    A target at rank 101 of 10,000 items is never in a list of 20. Among 100 of the others it nearly always is.

    >>> expected = sampled_gains([100], [0], [9999], k=20, protocol=Protocol(negatives=100))
    >>> {name: values.round(3).tolist() for name, values in expected.items()}
    {'recall': [1.0], 'mrr': [0.63], 'ndcg': [0.724]}
    """
    above, tied, total = (np.asarray(counts, dtype=np.float64) for counts in (above, tied, total))
    _check_negatives(total, protocol)
    if protocol.ties != "median":
        above, tied = above + tied * (protocol.ties == "conservative"), np.zeros_like(tied)
    n, found = protocol.negatives, {metric: np.zeros(len(above)) for metric in METRICS}
    for b in range(min(k, n + 1)):
        p = _probability(b, above, total, n, protocol.sampling)
        for e in range(min(2 * (k - 1 - b), n - b) + 1 if protocol.ties == "median" else 1):
            joint = p * _probability(e, tied, total - above, n - b, protocol.sampling)
            for metric, value in gains(1 + b + e / 2, k).items():
                found[metric] += joint * value
    return found


def _probability(b, good, total, n, sampling):
    """P(b of n drawn are good), where ``good`` of ``total`` are: hypergeometric, or binomial if by popularity."""
    if sampling == "popularity":
        share = np.divide(good, total, out=np.zeros_like(good), where=total > 0)
        return np.exp(_log_choose(n, b) + xlogy(b, share) + xlogy(n - b, 1 - share))
    ways = _log_choose(np.maximum(total, n), n)  # where fewer are left than drawn, b > good or n - b > total - good
    return np.exp(_log_choose(good, b) + _log_choose(total - good, n - b) - ways)


def _log_choose(n, k):
    """log of n over k; minus infinity if k is above n."""
    n = np.asarray(n, dtype=np.float64)
    return np.where(n < k, -np.inf, gammaln(n + 1) - gammaln(k + 1) - gammaln(np.maximum(n - k, 0) + 1))


# Evaluation ---------------------------------------------------------------------------------------------


class _Scores:
    """What SessionScores and RatingScores share: printing, and comparison of two of them.

    A subclass also has ``_setting``, a str that must be equal in a comparison; ``_label(metric)`` and ``_note()`` for
    its table; ``_values(metric)``, float64 [n_predictions], and ``_once``, whether a session or user counts once,
    however many predictions it has. :func:`_score` computes the metric from their mean.
    """

    _metrics: tuple[str, ...]
    _unit: str  # the attribute [n_predictions] with the session or user of each prediction, which is resampled whole
    _label: Callable[..., str]
    _note: Callable[..., str]
    intervals: dict
    seconds: float

    @property
    def _once(self):
        return False

    @property
    def n_predictions(self):
        """int: predictions."""
        return len(getattr(self, self._unit))

    @property
    def events_per_second(self):
        """float: predictions that were scored and ranked per second."""
        return self.n_predictions / self.seconds

    def _rows(self):
        return [(self._label(metric), getattr(self, metric), *self.intervals[metric]) for metric in self._metrics]

    def __str__(self):
        rows = "\n".join(f"{name:<10} {mean:.4f}  [{low:.4f}, {high:.4f}]"
                         for name, mean, low, high in self._rows())
        return f"{rows}\n{self._note()}"

    def _repr_html_(self):
        rows = "".join(f"<tr><td>{name}</td><td>{mean:.4f}</td><td>[{low:.4f}, {high:.4f}]</td></tr>"
                       for name, mean, low, high in self._rows())
        return (f"<table><caption>{self._note()}</caption><thead><tr><th>metric</th><th>score</th>"
                f"<th>95 % interval</th></tr></thead><tbody>{rows}</tbody></table>")


@dataclass(frozen=True, eq=False)
class SessionScores(_Scores):
    """The scores of one recommender on one data set, and its ranks, from which two recommenders are compared.

    Examples
    --------
    >>> from rnnbook.baselines import Popularity
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
    >>> data = SessionData.from_frame(clicks)
    >>> scores = evaluate_sessions(Popularity().fit(data), data, k=1)
    >>> scores.ranks.tolist(), scores.n_predictions, scores.n_sessions
    ([2.0, 3.0, 2.0], 3, 2)
    """

    recall: float
    mrr: float
    ndcg: float
    intervals: dict  # {"recall": (low, high), "mrr": …, "ndcg": …}: 95 %, bootstrap over sessions
    k: int
    protocol: Protocol
    ranks: np.ndarray  # float64 [n_predictions], in the order of data.items
    sessions: np.ndarray  # int64 [n_predictions], the session of each prediction
    seconds: float  # spent scoring and ranking

    _metrics, _unit = METRICS, "sessions"

    @property
    def ties(self):
        """str: how the protocol ranks ties."""
        return self.protocol.ties

    @property
    def n_sessions(self):
        """int: sessions with at least one prediction."""
        return len(np.unique(self.sessions))

    @property
    def _setting(self):
        return f"at k={self.k} with {self.protocol}"

    @property
    def _once(self):
        return self.protocol.average == "session"

    def _label(self, metric):
        return f"{metric}@{self.k}"

    def _note(self):
        return (f"{self.n_predictions:,} predictions in {self.n_sessions:,} sessions, {self.protocol}, "
                f"{self.events_per_second:,.0f} events/s")

    def _values(self, metric):
        return gains(self.ranks, self.k)[metric]


def evaluate_sessions(model, data, k=20, *, protocol=Protocol(), ties=None, targets=None,
                      support=None, batch_size=512, n_boot=1000, seed=0):
    """Let ``model`` predict the next event at every position of ``data``, and score it over the full catalogue.

    The intervals come from a bootstrap over *sessions*. Clicks of one session are not independent, so a bootstrap
    over predictions would give intervals that are too short. One resample draws as many sessions as there are, with
    replacement. Its score is the sum of their gains divided by the number of their predictions. The scores do not
    depend on ``batch_size``.

    Parameters
    ----------
    model : a recommender or a ranker (see the top of this module)
    data : SessionData over the model's catalogue
    k : int, the length of the list of recommendations
    protocol : Protocol
        The rules of the evaluation; by default the book's. Negatives are drawn for each event, anew for each model.
    ties, targets : str
        Short for a protocol with these two fields.
    support : int array [n_items]
        ``train.support``, for a protocol with ``min_support`` or with negatives by popularity.
    batch_size : int, passed to ``model.score_sessions``
    n_boot : int, the number of resamples
    seed : int, of the resamples

    Returns
    -------
    SessionScores

    Raises
    ------
    ValueError
        There is nothing to predict, ``k`` is below 1, the catalogues differ, a score is NaN, or the model skips or
        repeats a target. The protocol lacks ``support``, has more negatives than candidates, or needs scores of a
        model that only ranks.

    Examples
    --------
    Items a and b are clicked twice, c once. Ties are conservative: a and b have rank 2, and c has rank 3, which is
    beyond K. So the Recall is 2/3 and the MRR is (1/2 + 0 + 1/2) / 3.

    >>> from rnnbook.baselines import Popularity
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
    >>> data = SessionData.from_frame(clicks)
    >>> scores = evaluate_sessions(Popularity().fit(data), data, k=2)
    >>> round(scores.recall, 4), round(scores.mrr, 4)
    (0.6667, 0.3333)
    >>> # with standard ties, a and b have rank 1
    >>> round(evaluate_sessions(Popularity().fit(data), data, k=2, ties="standard").mrr, 4)
    0.6667
    >>> # the mean over sessions: (1/2 + 0) / 2 of the first, 1/2 of the second
    >>> once = Protocol(average="session")
    >>> evaluate_sessions(Popularity().fit(data), data, k=2, protocol=once).mrr
    0.375
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    given = {"ties": ties, "targets": targets}
    protocol = replace(protocol, **{name: value for name, value in given.items() if value is not None})
    check_catalogue(model, data)
    expected, sessions = target_positions(data)
    if not len(expected):
        raise ValueError(f"nothing to predict: none of the {data.n_sessions} sessions has two events")

    started = time.perf_counter()
    if not protocol.ranks_all:
        doubled = _rank_candidates(model, data, protocol, support, batch_size)
    elif hasattr(model, "rank_sessions"):
        positions, doubled = model.rank_sessions(data, protocol.ties)
        doubled = doubled[_order(positions, expected)]
    else:
        positions, doubled = _rank_scores(model, data, protocol.ties, batch_size)
        doubled = doubled[_order(positions, expected)]
    seconds = time.perf_counter() - started

    if (doubled == 0).any():
        event = expected[np.argmax(doubled == 0)]
        raise ValueError(f"the scores for event {event} hold a NaN; a NaN has no rank")
    kept = _predicted(data, protocol, support)
    if not kept.any():
        raise ValueError(f"nothing to predict: the protocol leaves out all of the {len(kept)} events ({protocol})")
    doubled, sessions = doubled[kept], sessions[kept]

    earned = gains(doubled / 2, k)
    totals, counts = _totals([earned[m] for m in METRICS], sessions, once=protocol.average == "session")
    draws = _resampled_means(totals, counts, n_boot, seed)
    means = totals.mean(0) if protocol.average == "session" else [earned[m].mean() for m in METRICS]
    return SessionScores(**dict(zip(METRICS, map(float, means))),
                         intervals={m: _interval(draws[:, i]) for i, m in enumerate(METRICS)},
                         k=k, protocol=protocol, ranks=doubled / 2, sessions=sessions, seconds=seconds)


def _rank_candidates(model, data, protocol, support, batch_size):
    """Doubled ranks, int64 [n_predictions], among the candidates of a protocol or a sample of them; 0 for a NaN."""
    counted = protocol if protocol.negatives else replace(protocol, sampling="uniform")  # all are ranked: none is drawn
    above, tied, total = candidate_counts(model, data, counted, support, batch_size)
    kept = _predicted(data, protocol, support) & ~np.isnan(above)
    doubled = np.where(np.isnan(above), 0, 2)
    if protocol.negatives is not None and kept.any():
        _check_negatives(total[kept], protocol)
        above[kept], tied[kept] = _drawn(above[kept], tied[kept], total[kept], protocol)
    doubled[kept] = _doubled(above[kept], tied[kept], protocol.ties)
    return doubled


def _rank_scores(model, data, ties, batch_size):
    """Positions and doubled ranks, int64 arrays [n_predictions], from the model's scores."""
    batches, ranked, items = [], [], None
    for batch, scores in model.score_sessions(data, batch_size=batch_size):
        if items is None:
            items = torch.from_numpy(data.items).to(scores.device)
        batches.append(batch)
        ranked.append(doubled_ranks(scores, items[batch.to(scores.device)], ties))  # stays on the device
    return torch.cat(batches).cpu().numpy(), torch.cat(ranked).cpu().numpy()


# Ratings ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class RatingScores(_Scores):
    """The scores of one rating predictor on one data set, and its errors, from which two predictors are compared.

    Examples
    --------
    >>> from rnnbook.worlds import RatingWorld
    >>> world = RatingWorld(n_users=20, n_steps=10)
    >>> scores = evaluate_ratings(world.kalman(), world.sample())
    >>> scores.n_predictions, scores.n_users, scores.errors.shape
    (200, 20, (200,))
    >>> low, high = scores.intervals["rmse"]
    >>> low < scores.rmse < high
    True
    """

    rmse: float
    mae: float
    intervals: dict  # {"rmse": (low, high), "mae": …}: 95 %, bootstrap over users
    errors: np.ndarray  # float64 [n_predictions], prediction minus rating, in the order of the data
    users: np.ndarray  # int64 [n_predictions], the user of each prediction
    seconds: float  # spent predicting

    _metrics, _unit, _setting = RATING_METRICS, "users", "of ratings"

    @property
    def n_users(self):
        """int: users with at least one rating to predict."""
        return len(np.unique(self.users))

    def _label(self, metric):
        return metric

    def _note(self):
        return (f"{self.n_predictions:,} predictions for {self.n_users:,} users, "
                f"{self.events_per_second:,.0f} events/s")

    def _values(self, metric):
        return _losses(self.errors)[metric]


def _losses(errors):
    """The squared and absolute errors: a dict of float64 arrays. :func:`_score` computes a metric from their mean."""
    return {"rmse": errors**2, "mae": np.abs(errors)}


def _score(metric, mean):
    """The metric from its mean per prediction: the RMSE is the root of that mean, other metrics are the mean."""
    return np.sqrt(mean) if metric == "rmse" else mean


def evaluate_ratings(model, data, *, n_boot=1000, seed=0):
    """Let ``model`` follow ``data`` and predict each rating as it arrives, and score the predictions.

    With the errors :math:`e`, predictions minus ratings,

    .. math::
        \\mathrm{RMSE} &= \\sqrt{\\tfrac{1}{n} \\textstyle\\sum e^2}, \\\\
        \\mathrm{MAE} &= \\tfrac{1}{n} \\textstyle\\sum |e|.

    All ratings have equal weight, so a user with many ratings counts more. The intervals come from a bootstrap over
    *users*, because the errors for one user are not independent. One resample draws as many users as there are, with
    replacement, and takes all ratings of each.

    Parameters
    ----------
    model : a rating predictor (see the top of this module)
    data : RatingData over the model's ids, later than what it has seen
    n_boot : int, the number of resamples
    seed : int, of the resamples

    Returns
    -------
    RatingScores

    Raises
    ------
    ValueError
        There is nothing to predict, the ids differ, the number of predictions is not that of the ratings, or a
        prediction is not finite.

    Examples
    --------
    Predictions of 3 for ratings of 5, 3 and 2 have the errors -2, 0 and 1. So the RMSE is √(5/3) and the MAE is 3/3.

    >>> from rnnbook.baselines import Biases
    >>> from rnnbook.interactions import RatingData
    >>> rows = pd.DataFrame({"user": "ann", "item": "tea", "rating": [3.0, 5.0, 3.0, 2.0],
    ...                      "time": range(4)})
    >>> data = RatingData.from_frame(rows)
    >>> scores = evaluate_ratings(Biases().fit(data.take(slice(1))), data.take(slice(1, None)))
    >>> round(scores.rmse, 4), round(scores.mae, 4)
    (1.291, 1.0)
    """
    for ids in ("user_ids", "item_ids"):
        if not np.array_equal(getattr(model, ids), getattr(data, ids)):
            raise ValueError(f"the model and {data.name} have different {ids}; train on a part of the same data "
                             "(the parts of a split share their ids)")
    if not data.n_ratings:
        raise ValueError(f"nothing to predict: {data.name} holds no rating")

    started = time.perf_counter()
    predictions = np.asarray(model.follow(data), dtype=np.float64)
    seconds = time.perf_counter() - started

    if predictions.shape != data.ratings.shape:
        raise ValueError("the model must predict every rating exactly once: "
                         f"{data.n_ratings} ratings, predictions of shape {predictions.shape}")
    if not np.isfinite(predictions).all():
        rating = int(np.argmin(np.isfinite(predictions)))
        raise ValueError(f"the prediction for rating {rating} is {predictions[rating]}, not a finite number")

    errors = predictions - data.ratings
    losses = _losses(errors)
    draws = _resampled_means(*_totals([losses[m] for m in RATING_METRICS], data.users), n_boot, seed)
    return RatingScores(**{m: float(_score(m, losses[m].mean())) for m in RATING_METRICS},
                        intervals={m: _interval(_score(m, draws[:, i])) for i, m in enumerate(RATING_METRICS)},
                        errors=errors, users=data.users, seconds=seconds)


# Intervals and differences ------------------------------------------------------------------------------


def _totals(values, units, once=False) -> tuple[np.ndarray, np.ndarray]:
    """Sum m lists of values [n_predictions] over each of the n sessions or users that have a prediction.

    Returns the sums [n, m] and the number of predictions [n], float64; if each unit counts ``once``, the means and 1.
    """
    _, unit = np.unique(units, return_inverse=True)
    totals, counts = np.stack([np.bincount(unit, v) for v in values], axis=1), np.bincount(unit).astype(np.float64)
    return (totals / counts[:, None], np.ones_like(counts)) if once else (totals, counts)


def _resamples(n, n_boot, seed):
    """Yield blocks [b, n] with how often each of ``n`` sessions or users is drawn; ``n_boot`` rows in total."""
    rng = np.random.default_rng(seed)
    block = max(1, 4_000_000 // n)
    for start in range(0, n_boot, block):
        b = min(block, n_boot - start)
        drawn = rng.integers(n, size=(b, n)) + n * np.arange(b)[:, None]
        yield np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


def _resampled_means(totals, counts, n_boot, seed):
    """Mean per prediction of each resample, [n_boot, m], from sums [n, m] and numbers of predictions [n]."""
    return np.concatenate([w @ totals / (w @ counts)[:, None] for w in _resamples(len(counts), n_boot, seed)])


def _interval(draws):
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _check_comparable(scores):
    first = scores[0]
    for other in scores[1:]:
        if first._setting != other._setting:
            raise ValueError(f"scores {first._setting} do not compare with scores {other._setting}")
        if not np.array_equal(getattr(first, first._unit), getattr(other, first._unit)):
            raise ValueError(f"the scores are of different data: the {first._unit} of their predictions differ")


def _seed_draws(scores, metric, n_boot, seed, stream):
    """Mean over seeds, and resampled means [n_boot]. Two models draw their seeds with different ``stream`` numbers."""
    first = scores[0]
    if metric not in first._metrics:
        raise ValueError(f"metric must be one of {', '.join(first._metrics)}, not {metric!r}")
    totals, counts = _totals([s._values(metric) for s in scores], getattr(first, first._unit), first._once)
    seeds = np.random.default_rng([seed, stream]).multinomial(
        len(scores), np.full(len(scores), 1 / len(scores)), size=n_boot) / len(scores)
    means = _score(metric, _resampled_means(totals, counts, n_boot, seed))
    return float(np.mean([getattr(s, metric) for s in scores])), (means * seeds).sum(1)


def seed_interval(scores, metric="recall", *, n_boot=1000, seed=0):
    """Mean of one metric over several seeds of a model, with a 95 % interval.

    Two things are random: the choice of test sessions (for ratings, of users) and the training run. A resample draws
    both with replacement: the sessions, the same for every seed, and the seeds. With few seeds the interval is
    somewhat too short, because ``n`` seeds show only ``(n-1)/n`` of their variance. With one seed it is the interval
    over sessions alone.

    Parameters
    ----------
    scores : list of SessionScores, or of RatingScores, of one model on one data set, one per seed
    metric : "recall", "mrr" or "ndcg"; for ratings "rmse" or "mae"
    n_boot : int, the number of resamples
    seed : int, of the resamples

    Returns
    -------
    (mean, low, high) : floats

    Raises
    ------
    ValueError
        The metric is unknown, or the scores are of different data or settings.

    Examples
    --------
    >>> from rnnbook.worlds import RatingWorld
    >>> world = RatingWorld(n_users=20, n_steps=10)
    >>> data = world.sample()
    >>> # two models, in place of two seeds of one model
    >>> runs = [evaluate_ratings(model, data) for model in (world.kalman(), world.static())]
    >>> mean, low, high = seed_interval(runs, "rmse")
    >>> round(mean, 10) == round((runs[0].rmse + runs[1].rmse) / 2, 10), low < mean < high
    (True, True)
    """
    _check_comparable(scores)
    mean, draws = _seed_draws(scores, metric, n_boot, seed, 1)
    return mean, *_interval(draws)


def paired_seed_difference(a, b, metric="recall", *, n_boot=1000, seed=0):
    """Mean of ``a`` minus mean of ``b`` over their seeds, with a 95 % interval.

    It resamples as :func:`seed_interval` does. Both models are scored on the same resampled sessions or users, so the
    variation that they share cancels. Their seeds are drawn independently, because run 3 of one model is not related
    to run 3 of another. A model without random numbers is a list of one.

    Parameters
    ----------
    a, b : lists of SessionScores, or of RatingScores, on one data set; their lengths may differ
    metric : "recall", "mrr" or "ndcg"; for ratings "rmse" or "mae", where below 0 means that ``a`` is better
    n_boot : int, the number of resamples
    seed : int, of the resamples

    Returns
    -------
    (difference, low, high) : floats

    Raises
    ------
    ValueError
        The metric is unknown, or the scores are of different data or settings.

    Examples
    --------
    Tastes drift here. The model that assumes drift beats the one that assumes fixed tastes: the whole interval is
    below 0. The second model has one run only.

    >>> from rnnbook.worlds import RatingWorld
    >>> world = RatingWorld(n_users=50, n_steps=40, rho=0.9)
    >>> data = world.sample()
    >>> drift, still = (evaluate_ratings(model, data) for model in (world.kalman(), world.static()))
    >>> difference, low, high = paired_seed_difference([drift, drift], [still], "rmse")
    >>> difference < 0, high < 0
    (True, True)
    """
    _check_comparable([*a, *b])
    mean_a, draws_a = _seed_draws(a, metric, n_boot, seed, 1)
    mean_b, draws_b = _seed_draws(b, metric, n_boot, seed, 2)
    return mean_a - mean_b, *_interval(draws_a - draws_b)


def paired_difference(a, b, metric="recall", *, n_boot=1000, seed=0):
    """Score of ``a`` minus score of ``b`` on the same data, with a 95 % interval.

    Both models are scored on the same resampled sessions or users. If the whole interval lies above 0 (RMSE and MAE:
    below 0), ``a`` is significantly better. This can happen even when the two models' own intervals overlap.

    Parameters
    ----------
    a, b : SessionScores, or RatingScores, on one data set
    metric : "recall", "mrr" or "ndcg"; for ratings "rmse" or "mae"
    n_boot : int, the number of resamples
    seed : int, of the resamples

    Returns
    -------
    (difference, low, high) : floats

    Raises
    ------
    ValueError
        The metric is unknown, or the scores are of different data or settings.

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> world = SessionWorld(n_items=50)
    >>> data = world.sample(500)
    >>> best, last = (evaluate_sessions(model, data, k=5)
    ...               for model in (world.bayes(), world.last_item()))
    >>> # the Recall gained by using all clicks instead of the last one
    >>> difference, low, high = paired_difference(best, last)
    >>> 0 < low < difference < high
    True
    """
    return paired_seed_difference([a], [b], metric, n_boot=n_boot, seed=seed)
