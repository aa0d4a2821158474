"""How good is a ranking, or a rating? Recall@K, MRR@K, NDCG@K with honest ties, RMSE, MAE, and intervals.

A *recommender*, here and in the whole book, is any object with

- ``item_ids``: array [n_items] of raw item ids, the catalogue that it scores;
- ``recommend(history, k=10) -> Recommendations``: raw item ids in (oldest first), the best ``k`` out;
- ``score_sessions(data, batch_size=512)``: an iterator of ``(positions, scores)``, int64 tensor [B] and float
  tensor [B, n_items]. ``positions`` index ``data.items`` and are the *targets*: every event that has a
  predecessor in its session, exactly once, in any order. A row of scores may use only the events before its
  target in the same session.

A *ranker*, such as `rnnbook.fast.Ranker`, has ``rank_sessions(data, ties) -> (positions, doubled)`` in place of
``score_sessions``: int64 arrays [n_predictions], the same positions, and twice the rank of each, or 0 where a score is
NaN.

Each prediction ranks the target among all items. Ranking it among a sample of negatives is faster and gives
another order of models (W. Krichene and S. Rendle. "On Sampled Metrics for Item Recommendation." KDD 2020), so
there is no such option here.

A *rating predictor* is any object with

- ``user_ids``, ``item_ids``: arrays of raw ids;
- ``predict(users, items, times) -> float64 [n]``: raw ids and seconds since 1970 in, expected ratings out. Each
  may use only what the model has seen, and of it only what is strictly before its time (where the model uses
  time at all). An unknown id gets the prediction for a newcomer.
- ``follow(data) -> float64 [n_ratings]``: a prediction for every rating of ``data``, RatingData over the same ids
  that comes after all the model has seen, as if the ratings came in one after another. Each may use what was
  seen before ``data`` and, of ``data``, the ratings at a strictly earlier time: ratings of one instant do not see
  each other. A static model predicts and ignores the news. Afterwards the model is as it was before.

Predictions are on the data's own scale and are not clipped. Baselines also have ``fit(train)``, which learns,
remembers the ratings to go on from, and returns the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

METRICS = ("recall", "mrr", "ndcg")
RATING_METRICS = ("rmse", "mae")
TIES = ("standard", "conservative", "median")


class Recommendations(NamedTuple):
    """The answer of ``recommend``, best first.

    Examples
    --------
    >>> answer = Recommendations(np.array(["tent", "stove"]), np.array([0.7, 0.2]))
    >>> dict(zip(answer.ids.tolist(), answer.scores.tolist()))
    {'tent': 0.7, 'stove': 0.2}
    """

    ids: np.ndarray  # [k] raw item ids
    scores: np.ndarray  # float [k]


# What every recommender needs ---------------------------------------------------------------------------


def target_positions(data):
    """Every event that has a predecessor in its session.

    Returns
    -------
    positions : int64 array [n_predictions], ascending indices into ``data.items``
    sessions : int64 array [n_predictions], the session of each

    Examples
    --------
    Sessions of 3 and 2 clicks: the events 1, 2 and 4 have one before them.

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
    """Raise ValueError unless ``data`` numbers its items exactly as ``model`` does.

    Examples
    --------
    >>> from rnnbook.baselines import Popularity
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": 1, "item": ["a", "b"], "time": [0, 1]})
    >>> shop = SessionData.from_frame(clicks)
    >>> other = SessionData.from_frame(clicks.replace("b", "x"))
    >>> check_catalogue(Popularity().fit(shop), other)
    Traceback (most recent call last):
    ValueError: the catalogues differ: 2 items in the model, 2 in the data; build the data with
        item_ids=model.item_ids (load_sessions gives train and test one catalogue)
    """
    if not np.array_equal(model.item_ids, data.item_ids):
        raise ValueError(
            f"the catalogues differ: {len(model.item_ids)} items in the model, {data.n_items} in the data; build "
            "the data with item_ids=model.item_ids (load_sessions gives train and test one catalogue)")


def encode_history(history, item_ids, *, may_be_empty=False):
    """Raw item ids to int64 indices [n]; ValueError names the first item that the catalogue lacks.

    Examples
    --------
    >>> encode_history(["stove", "tent"], np.array(["tent", "stove", "boots"])).tolist()
    [1, 0]
    """
    if isinstance(history, (str, bytes)):
        raise ValueError(f"a history is a sequence of item ids, not one id; pass [{history!r}]")
    history = list(history)
    if not history and not may_be_empty:
        raise ValueError("the history is empty; pass at least one item id (only popularity needs none)")
    indices = pd.Index(item_ids).get_indexer(pd.Index(history)) if history else np.empty(0)
    if (indices < 0).any():
        unknown = history[int(np.argmax(indices < 0))]
        raise ValueError(f"unknown item {unknown!r}: it is not among the {len(item_ids)} items of the "
                         "catalogue; leave it out of the history, or train on data that hold it")
    return indices.astype(np.int64)


def best_items(scores, item_ids, k):
    """The ``k`` best of one row of scores [n_items] as Recommendations; ties in catalogue order.

    Examples
    --------
    >>> best_items([0.1, 0.7, 0.1], ["tent", "stove", "boots"], k=2).ids.tolist()
    ['stove', 'tent']
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    scores = np.asarray(scores)
    behind = -scores
    k = min(k, len(scores))
    # To sort a million items for the sake of ten would take longer than to score them.
    candidates = np.flatnonzero(~(behind > np.partition(behind, k - 1)[k - 1]))
    best = candidates[np.argsort(behind[candidates], kind="stable")[:k]]
    return Recommendations(np.asarray(item_ids)[best], scores[best])


# Ranks --------------------------------------------------------------------------------------------------


def _count(compare, scores, target):
    """How many scores of each row compare so with its target: int64 [B]."""
    # Ones in float32 sum several times faster than booleans on a CPU, and exactly up to 2**24 items.
    return compare(scores, target, out=torch.empty_like(scores, dtype=torch.float32)).sum(1).long()


def _check_ties(ties):
    if ties not in TIES:
        raise ValueError(f"ties must be one of {', '.join(TIES)}, not {ties!r}")


def doubled_ranks(scores, targets, ties):
    """Twice the ranks of :func:`ranks`, which takes the same arguments: int64 [B], on the device of the scores.

    Doubled, the middle of a tie is an integer too, and so exact on every device. 0 marks a row that holds a NaN.

    Examples
    --------
    >>> scores = torch.tensor([[0.9, 0.5, 0.5], [0.1, float("nan"), 0.2]])
    >>> doubled_ranks(scores, torch.tensor([2, 0]), "median")
    tensor([5, 0])
    """
    _check_ties(ties)
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
    """Rank of each target among all items; 1 is best.

    With ``g`` items scored above the target and ``e`` scored equal to it (itself included)::

        standard      g + 1              the best place it could be given
        conservative  g + e              the worst: a model that scores all alike earns nothing
        median        g + (e - 1)/2 + 1  the middle, possibly a half

    Parameters
    ----------
    scores : float tensor [B, n_items]; infinities are compared as numbers are
    targets : int64 tensor [B]
    ties : "standard", "conservative" or "median"

    Returns
    -------
    float64 tensor [B] on the CPU

    Raises
    ------
    ValueError
        A score is NaN. Every comparison with NaN is false, which would give a broken model rank 0.

    Examples
    --------
    One item is above the target, and two score as much as it does.

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
    """What each rank earns: a dict of float64 arrays, one value per prediction.

    A prediction has exactly one right item, at rank :math:`r`, so

    .. math::
        \\mathrm{Recall@K} = [r \\le K], \\qquad
        \\mathrm{MRR@K} = [r \\le K] / r, \\qquad
        \\mathrm{NDCG@K} = [r \\le K] / \\log_2(r + 1).

    The ideal DCG of one right item is 1. Each score of a data set is the mean over its predictions.

    Examples
    --------
    Ranks 1, 3 and 21 for K = 20.

    >>> {name: values.round(4).tolist() for name, values in gains([1, 3, 21], k=20).items()}
    {'recall': [1.0, 1.0, 0.0], 'mrr': [1.0, 0.3333, 0.0], 'ndcg': [1.0, 0.5, 0.0]}
    """
    ranks = np.asarray(ranks, dtype=np.float64)
    hit = ranks <= k
    return {"recall": hit.astype(np.float64), "mrr": hit / ranks, "ndcg": hit / np.log2(ranks + 1)}


# Evaluation ---------------------------------------------------------------------------------------------


class _Scores:
    """What the scores of rankings and of ratings share: they print, and they can be compared.

    A subclass also has ``_setting``, words that must agree in a comparison; ``_label(metric)`` and ``_note()`` for
    its table; and ``_values(metric)``: float64 [n_predictions], of whose mean :func:`_score` makes the metric.
    """

    _metrics: tuple[str, ...]
    _unit: str  # the attribute [n_predictions] that tells what is resampled as one
    _label: Callable[..., str]
    _note: Callable[..., str]
    intervals: dict
    seconds: float

    @property
    def n_predictions(self):
        return len(getattr(self, self._unit))

    @property
    def events_per_second(self):
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
    """The scores of one recommender on one data set, with what is needed to compare it with another.

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
    ties: str
    ranks: np.ndarray  # float64 [n_predictions], in the order of data.items
    sessions: np.ndarray  # int64 [n_predictions], the session of each prediction
    seconds: float  # spent scoring and ranking

    _metrics, _unit = METRICS, "sessions"

    @property
    def n_sessions(self):
        """Sessions that hold at least one prediction."""
        return len(np.unique(self.sessions))

    @property
    def _setting(self):
        return f"at k={self.k} with {self.ties} ties"

    def _label(self, metric):
        return f"{metric}@{self.k}"

    def _note(self):
        return (f"{self.n_predictions:,} predictions in {self.n_sessions:,} sessions, {self.ties} ties, "
                f"{self.events_per_second:,.0f} events/s")

    def _values(self, metric):
        return gains(self.ranks, self.k)[metric]


def evaluate_sessions(model, data, k=20, *, ties="conservative", batch_size=512, n_boot=1000, seed=0):
    """Let ``model`` predict every next event of ``data`` and score it over the full catalogue.

    The intervals come from a bootstrap over *sessions*: clicks of one session are not independent, so a
    bootstrap over predictions would promise too much. One resample draws as many sessions as there are, with
    replacement, and takes the sum of their gains over the number of their predictions. Nothing depends on
    ``batch_size``.

    Parameters
    ----------
    model : a recommender or a ranker (see the module's text)
    data : SessionData over the model's catalogue
    k : how many recommendations count
    ties : see :func:`ranks`
    batch_size : handed to ``model.score_sessions``
    n_boot : resamples
    seed : of the resamples

    Returns
    -------
    SessionScores

    Raises
    ------
    ValueError
        Nothing to predict, another catalogue, NaN scores, or a model that skips or repeats a target.

    Examples
    --------
    All items are clicked twice but c, which is clicked once. Ties are conservative: b and a have rank 2, and c has rank
    3, beyond K. So the Recall is 2/3 and the MRR (1/2 + 0 + 1/2) / 3.

    >>> from rnnbook.baselines import Popularity
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
    >>> data = SessionData.from_frame(clicks)
    >>> scores = evaluate_sessions(Popularity().fit(data), data, k=2)
    >>> round(scores.recall, 4), round(scores.mrr, 4)
    (0.6667, 0.3333)
    >>> # now they have rank 1
    >>> round(evaluate_sessions(Popularity().fit(data), data, k=2, ties="standard").mrr, 4)
    0.6667
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    _check_ties(ties)
    check_catalogue(model, data)
    expected, sessions = target_positions(data)
    if not len(expected):
        raise ValueError(f"nothing to predict: none of the {data.n_sessions} sessions has two events")

    started = time.perf_counter()
    if hasattr(model, "rank_sessions"):
        positions, doubled = model.rank_sessions(data, ties)
    else:
        positions, doubled = _rank_scores(model, data, ties, batch_size)
    seconds = time.perf_counter() - started

    order = np.argsort(positions)
    positions, doubled = positions[order], doubled[order]
    if not np.array_equal(positions, expected):
        raise ValueError("the model must score every event with a predecessor in its session exactly once: "
                         f"{len(expected)} such events, {len(positions)} predictions of "
                         f"{len(np.intersect1d(positions, expected))} of them")
    if (doubled == 0).any():
        event = positions[np.argmax(doubled == 0)]
        raise ValueError(f"the scores for event {event} hold a NaN; a NaN has no rank")

    earned = gains(doubled / 2, k)
    draws = _resampled_means(*_totals([earned[m] for m in METRICS], sessions), n_boot, seed)
    return SessionScores(**{m: float(earned[m].mean()) for m in METRICS},
                         intervals={m: _interval(draws[:, i]) for i, m in enumerate(METRICS)},
                         k=k, ties=ties, ranks=doubled / 2, sessions=sessions, seconds=seconds)


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
    """The scores of one rating predictor on one data set, with what is needed to compare it with another.

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
        """Users with at least one rating to predict."""
        return len(np.unique(self.users))

    def _label(self, metric):
        return metric

    def _note(self):
        return (f"{self.n_predictions:,} predictions for {self.n_users:,} users, "
                f"{self.events_per_second:,.0f} events/s")

    def _values(self, metric):
        return _losses(self.errors)[metric]


def _losses(errors):
    """What each prediction loses: a dict of float64 arrays, whose means :func:`_score` makes metrics of."""
    return {"rmse": errors**2, "mae": np.abs(errors)}


def _score(metric, mean):
    """The metric from its mean per prediction: that mean, but for the RMSE its root."""
    return np.sqrt(mean) if metric == "rmse" else mean


def evaluate_ratings(model, data, *, n_boot=1000, seed=0):
    """Let ``model`` follow ``data``, predict each rating as it comes, and score it.

    With the errors :math:`e`, predictions minus ratings,

    .. math::
        \\mathrm{RMSE} = \\sqrt{\\tfrac{1}{n} \\textstyle\\sum e^2}, \\qquad
        \\mathrm{MAE} = \\tfrac{1}{n} \\textstyle\\sum |e|.

    Every rating counts alike, so who rates much weighs much. The intervals come from a bootstrap over *users*,
    as the errors for one user are not independent: one resample draws as many users as there are, with
    replacement, and takes all ratings of each.

    Parameters
    ----------
    model : a rating predictor (see the module's text)
    data : RatingData over the model's ids, later than what it has seen
    n_boot : resamples
    seed : of the resamples

    Returns
    -------
    RatingScores

    Raises
    ------
    ValueError
        Nothing to predict, other ids, another number of predictions than ratings, or one that is not finite.

    Examples
    --------
    Who predicts 3 for ratings of 5, 3 and 2 errs by -2, 0 and 1: √(5/3) and 3/3.

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
            raise ValueError(f"the model and {data.name} have other {ids}; train on a part of the same data "
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


def _totals(values, units) -> tuple[np.ndarray, np.ndarray]:
    """Per session or user with a prediction: sums of each of the values [m][n_predictions], as [n, m], and
    the number of predictions [n]."""
    _, unit = np.unique(units, return_inverse=True)
    return np.stack([np.bincount(unit, v) for v in values], axis=1), np.bincount(unit).astype(np.float64)


def _resamples(n, n_boot, seed):
    """Blocks [b, n] of how often each of ``n`` sessions or users is drawn; ``n_boot`` rows in all."""
    rng = np.random.default_rng(seed)
    block = max(1, 4_000_000 // n)
    for start in range(0, n_boot, block):
        b = min(block, n_boot - start)
        drawn = rng.integers(n, size=(b, n)) + n * np.arange(b)[:, None]
        yield np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


def _resampled_means(totals, counts, n_boot, seed):
    """Mean per prediction of each resample: sums [n, m] and predictions [n] per unit to [n_boot, m]."""
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
            raise ValueError(f"the scores are of different data: other {first._unit} hold the predictions")


def _seed_draws(scores, metric, n_boot, seed, stream):
    """Mean over seeds, and [n_boot] resampled means. ``stream`` keeps the seed draws of two models apart."""
    first = scores[0]
    if metric not in first._metrics:
        raise ValueError(f"metric must be one of {', '.join(first._metrics)}, not {metric!r}")
    totals, counts = _totals([s._values(metric) for s in scores], getattr(first, first._unit))
    seeds = np.random.default_rng([seed, stream]).multinomial(
        len(scores), np.full(len(scores), 1 / len(scores)), size=n_boot) / len(scores)
    means = _score(metric, _resampled_means(totals, counts, n_boot, seed))
    return float(np.mean([getattr(s, metric) for s in scores])), (means * seeds).sum(1)


def seed_interval(scores, metric="recall", *, n_boot=1000, seed=0):
    """Mean of one metric over several seeds of a model, with a 95 % interval.

    Two things could have come out otherwise: the test sessions (of ratings: the users) and the training run. A
    resample draws both, the sessions (the same for every seed) and the seeds, with replacement. With few seeds
    the interval is somewhat too short, since ``n`` seeds show only ``(n-1)/n`` of their variance; with one seed
    it is the interval over sessions alone.

    Parameters
    ----------
    scores : list of SessionScores, or of RatingScores, of one model on one data set, one per seed
    metric : "recall", "mrr" or "ndcg"; of ratings "rmse" or "mae"

    Returns
    -------
    (mean, low, high)

    Examples
    --------
    >>> from rnnbook.worlds import RatingWorld
    >>> world = RatingWorld(n_users=20, n_steps=10)
    >>> data = world.sample()
    >>> # as if of two seeds
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

    As :func:`seed_interval`; both models meet the same resampled sessions or users, which takes out the part of
    the chance that they share. Their seeds are drawn apart, since run 3 of one model has nothing in common with
    run 3 of another; a model that has no chance in it is a list of one.

    Parameters
    ----------
    a, b : lists of SessionScores, or of RatingScores, on one data set, not necessarily equally long
    metric : "recall", "mrr" or "ndcg"; of ratings "rmse" or "mae", where below 0 means that ``a`` is better

    Returns
    -------
    (difference, low, high)

    Examples
    --------
    What knows that tastes drift beats what believes that they stand still, beyond chance; the second has one run only.

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

    Both meet the same resampled sessions or users. ``a`` is better beyond chance when the interval lies above 0
    (RMSE and MAE: below 0), which it may well do when the two models' own intervals overlap.

    Returns
    -------
    (difference, low, high)

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> world = SessionWorld(n_items=50)
    >>> data = world.sample(500)
    >>> best, last = (evaluate_sessions(model, data, k=5)
    ...               for model in (world.bayes(), world.last_item()))
    >>> # of recall: all clicks know more than the last one
    >>> difference, low, high = paired_difference(best, last)
    >>> 0 < low < difference < high
    True
    """
    return paired_seed_difference([a], [b], metric, n_boot=n_boot, seed=seed)
