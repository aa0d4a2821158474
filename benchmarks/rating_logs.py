"""How much time there is in the rating logs: for how long users are there, and how many ratings share a second.

The logs are those that models are trained on: that of MovieTweetings is without the users of few ratings.
``python -m rnnbook reproduce rating-logs``
"""

from functools import reduce

import numpy as np

from rnnbook import results
from rnnbook.benchmarks.rows import mean_row
from rnnbook.benchmarks.rrn_logs import LOGS, load
from rnnbook.interactions import DAY, concatenate

HOLD_OUT = 0.1  # of the ratings, the last: as in the experiments on these logs


def facts(log):
    """{what: number} of a log."""
    first, last = np.full(log.n_users, np.inf), np.full(log.n_users, -np.inf)
    np.minimum.at(first, log.users, log.times)
    np.maximum.at(last, log.users, log.times)
    span = (last - first)[np.isfinite(first)]  # of users who have ratings
    past, test = log.split_by_time(1 - HOLD_OUT, HOLD_OUT)
    order = np.lexsort((log.times, log.users))
    user, time = log.users[order], log.times[order]
    with_next = np.append((user[1:] == user[:-1]) & (time[1:] == time[:-1]), False)
    shared = with_next | np.append(False, with_next[:-1])
    return {"ratings": log.n_ratings, "users": len(span), "days": (log.times[-1] - log.times[0]) / DAY,
            "median minutes of a user": np.median(span) / 60,
            "users active over 30 days": np.mean(span > 30 * DAY),
            "users active over a year": np.mean(span > 365 * DAY),
            "ratings that share their second with another of the user": shared.mean(),
            "test ratings by new users": np.mean(~np.isin(test.users, past.users))}


def main(experiment):
    logs = {name: reduce(concatenate, load(name)) for name in LOGS}
    result = results.new_result(experiment, results.describe(*logs["movielens-100k"].split_by_time(0.9, 0.1)),
                                {"logs": list(LOGS), "held out": HOLD_OUT})
    for name, log in logs.items():
        result["rows"] += [mean_row(name, what, [float(value)]) for what, value in facts(log).items()]
    results.write(result)
