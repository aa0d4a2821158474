"""Does the RRN follow a drift of taste on real ratings, or the run of a sitting? Against one number that follows runs.

The settings are those that ``rrn_logs`` chose. The rival is Online MF, corrected by an exponentially smoothed mean of
its own errors for the user; its one number is chosen on the same validation ratings.
``python -m rnnbook reproduce rrn-sittings``
"""

from dataclasses import replace

import numpy as np

from rnnbook import metrics, results
from rnnbook.baselines import Residual, Smoothing, prequential
from rnnbook.benchmarks.rows import mean_row, paired_row, score_row
from rnnbook.benchmarks.rrn import SEEDS
from rnnbook.benchmarks.rrn_logs import LOGS, Predicted, fitter, left_over, load
from rnnbook.benchmarks.units import Units
from rnnbook.interactions import concatenate

ALPHAS = [0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3]
HOUR = 3600
SMOOTHED = "Online MF, smoothed"
ARMS = ["Online MF", SMOOTHED, "RRN", "RRN on Online MF"]


def chosen_for(log):
    """The settings of the arms, as the search of ``rrn_logs`` found them."""
    return results.load(f"rrn-{log}")["config"]["chosen"]


def smoothed(alpha, chosen, seed):
    base = fitter("Online MF", chosen, seed)
    return lambda train: Residual(base(train), Smoothing(alpha).fit(left_over(base, train)))


def try_all(log):
    """The RMSE on the validation ratings of each share by which a rating moves the mean of a user's errors."""
    train, valid, _ = load(log)
    base = fitter("Online MF", chosen_for(log), seed=0)
    errors, model = left_over(base, train), base(train)
    return {alpha: metrics.evaluate_ratings(Residual(model, Smoothing(alpha).fit(errors)), valid, n_boot=1).rmse
            for alpha in ALPHAS}


def test_one(job):
    """The predictions of an arm for all test ratings, float64 [n]."""
    log, arm, alpha, seed = job
    parts, chosen = load(log), chosen_for(log)
    past = concatenate(*parts[:2])
    fit = smoothed(alpha, chosen, seed) if arm == SMOOTHED else fitter(arm, chosen, seed)
    return prequential(fit, concatenate(past, parts[2]), past.n_ratings, LOGS[log][1])


def since_last(past, test):
    """Seconds since the user's rating before, float64 [n_test]; infinity if there is none."""
    both = concatenate(past, test)
    order = np.lexsort((np.arange(both.n_ratings), both.users))
    users, times = both.users[order], both.times[order]
    waited = np.full(both.n_ratings, np.inf)
    waited[order[1:]] = np.where(users[1:] == users[:-1], np.diff(times), np.inf)
    return waited[past.n_ratings:]


def correlation(test, errors, waited):
    """Of a model's errors for two ratings of a user in a row, within an hour."""
    order = np.lexsort((np.arange(test.n_ratings), test.users))
    same = (test.users[order][1:] == test.users[order][:-1]) & (waited[order][1:] < HOUR)
    return float(np.corrcoef(errors[order][:-1][same], errors[order][1:][same])[0, 1])


def main(experiment):
    log = "movielens-latest-small"
    train, valid, test = load(log)
    result = results.new_result(experiment, results.describe(concatenate(train, valid), test), {
        "seeds": list(SEEDS), "logs": list(LOGS), "alphas": ALPHAS})
    units = Units(result)
    tried = dict(zip(LOGS, units.in_parallel(try_all, LOGS)))
    alphas = {log: min(ALPHAS, key=tried[log].__getitem__) for log in LOGS}
    result["config"]["chosen"] = alphas
    result["trials"] = [{"log": log, "alpha": alpha, "rmse": rmse}
                        for log in LOGS for alpha, rmse in tried[log].items()]
    jobs = [(log, arm, alphas[log], seed) for log in LOGS for arm in ARMS for seed in SEEDS]
    done = dict(zip(jobs, units.in_parallel(test_one, jobs)))
    for log in LOGS:
        report(result, log, {arm: [done[log, arm, alphas[log], seed] for seed in SEEDS] for arm in ARMS})
    units.write()


def report(result, log, predictions):
    """The rows of one log: the error, that within a sitting and after one, and how errors hang together."""
    parts = load(log)
    test, waited = parts[2], since_last(concatenate(*parts[:2]), parts[2])
    sitting = waited < HOUR
    scores = {arm: [metrics.evaluate_ratings(Predicted(test, each), test) for each in runs]
              for arm, runs in predictions.items()}
    for arm, runs in scores.items():
        where = f"{log} · {arm}"
        result["rows"].append(score_row(where, "rmse", runs))
        for name, which in {"within an hour": sitting, "later": ~sitting & np.isfinite(waited)}.items():
            some = [replace(s, errors=s.errors[which], users=s.users[which],
                            rmse=float(np.sqrt(np.mean(s.errors[which] ** 2)))) for s in runs]
            result["rows"].append(score_row(where, "rmse", some) | {"metric": f"rmse, {name}"})
        result["rows"].append(mean_row(where, "correlation of two errors in a row", [
            correlation(test, test.ratings - each, waited) for each in predictions[arm]]))
    for a, b in [(SMOOTHED, "Online MF"), ("RRN", SMOOTHED), ("RRN on Online MF", SMOOTHED)]:
        result["paired"].append(paired_row(f"{log} · {a}", f"{log} · {b}", "rmse", scores[a], scores[b]))
    result["rows"].append(mean_row(log, "test ratings within an hour of the last", [float(sitting.mean())]))
