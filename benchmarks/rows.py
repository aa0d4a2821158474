"""Rows of a result file: means, differences, and the one 95 % interval for a number a seed."""

import statistics

import numpy as np
from scipy import stats

from rnnbook import metrics

METRICS = "recall@20", "mrr@20", "ndcg@20"


def t_interval(values):
    """(mean, low, high) of one number a seed, by Student's t. A single one has no interval: low = high = mean."""
    mean, half = np.mean(values), 0.0
    if len(values) > 1:
        half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(mean), float(mean - half), float(mean + half)


def mean_row(model, metric, values):
    """The row of one number a seed."""
    mean, low, high = t_interval(values)
    return {"model": model, "metric": metric, "mean": mean, "low": low, "high": high,
            "values": [float(v) for v in values]}


def median_row(model, metric, values):
    """The row of some runs of a clock: the median, which one slow run does not move, the least and the most."""
    return {"model": model, "metric": metric, "mean": statistics.median(values), "low": min(values),
            "high": max(values), "values": list(map(float, values))}


def score_row(model, metric, scores):
    """The row of one metric of SessionScores or RatingScores, one a seed: a bootstrap over units and seeds."""
    name = metric.removesuffix("@20")
    mean, low, high = metrics.seed_interval(scores, name)
    return {"model": model, "metric": metric, "mean": mean, "low": low, "high": high,
            "values": [float(getattr(s, name)) for s in scores]}


def score_rows(model, scores):
    """A row for each metric of SessionScores, one a seed."""
    return [score_row(model, metric, scores) for metric in METRICS]


def difference_row(a, b, metric, differences):
    """The paired difference a - b from one number a seed, with the p-value of the t-test."""
    mean, low, high = t_interval(differences)
    p = p_value(mean, (high - low) / 2, stats.t(len(differences) - 1)) if len(differences) > 1 else 1.0
    return {"a": a, "b": b, "metric": metric, "difference": mean, "low": low, "high": high, "p": p}


def paired_row(a, b, metric, scores_a, scores_b):
    """The paired difference a - b in one metric from the scores of both, on the same units, with its p-value."""
    mean, low, high = metrics.paired_seed_difference(scores_a, scores_b, metric.removesuffix("@20"))
    p = p_value(mean, (high - low) / 2, stats.norm)
    return {"a": a, "b": b, "metric": metric, "difference": mean, "low": low, "high": high, "p": p}


def p_value(mean, half, distribution):
    """The two-sided p-value of a mean whose 95 % interval reaches ``half`` to each side.

    Examples
    --------
    >>> p_value(0.1, 0.1, stats.norm), p_value(0.0, 0.0, stats.norm)
    (0.05, 1.0)
    """
    if half == 0:  # without chance a difference is certain
        return float(mean == 0)
    return float(2 * distribution.sf(abs(mean) / half * distribution.ppf(0.975)))


def paired_rows(a, b, scores):
    """The paired difference of two models of ``scores``, a dict of lists of SessionScores, in each metric."""
    return [paired_row(a, b, metric, scores[a], scores[b]) for metric in METRICS]


def collect(done):
    """Scores by model, one a seed, from what each seed's job returned."""
    return {name: [scores[name] for scores in done] for name in done[0]}
