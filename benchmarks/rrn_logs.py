"""The recurrent recommender network on real ratings: MovieLens 100K, MovieTweetings, and MovieLens latest small.

Every arm gets the same number of draws of its settings on validation ratings; the test ratings are read once.
``python -m rnnbook reproduce rrn-movielens-100k``, and so ``rrn-movietweetings-100k`` and
``rrn-movielens-latest-small``
"""

from dataclasses import replace

import numpy as np

from rnnbook import data, metrics, results
from rnnbook.baselines import (AutoRec, Biases, EstimatedKalman, ForgettingMF, MatrixFactorization, OnlineMF, Residual,
                               TimeSVDpp, prequential)
from rnnbook.benchmarks.rows import paired_row, score_row
from rnnbook.benchmarks.rrn import SEEDS, Mean
from rnnbook.benchmarks.search import draws
from rnnbook.benchmarks.units import Units
from rnnbook.interactions import concatenate
from rnnbook.rrn import RRNConfig, fit

DRAWS, MAX_EPOCHS, PATIENCE = 20, 24, 4
ACTIVE = 10  # ratings in the first part that a user of MovieTweetings must have; later ones do not count
# Shares to learn from, to choose with and to test on, and how often the models are fitted anew within the test
LOGS = {"movielens-100k": ((0.8, 0.1, 0.1), 1), "movietweetings-100k": ((0.8, 0.1, 0.1), 1),
        "movielens-latest-small": ((0.4, 0.1, 0.5), 5)}

# RMSE in the paper of the RRN (Wu et al., WSDM 2017, "2017b" in the book's bibliography), table 2, and in the authors'
# later one (ICLR workshop 2017, "2017a"), table 1: there of IMDb with at least 15 ratings a user and movie
MODELS = "PMF", "TimeSVD++", "U-AutoRec", "I-AutoRec", "RRN"
PUBLISHED = {
    "Netflix, 6 months, Wu et al. 2017b": (0.9584, 0.9589, 0.9836, 0.9778, 0.9427),
    "Netflix, all, Wu et al. 2017b": (0.9252, 0.9275, 0.9647, 0.9364, 0.9224),
    "IMDb, Wu et al. 2017b": (2.3913, 2.0037, 2.0290, 2.0521, 1.9703),
    "IMDb, 15-core, Wu et al. 2017a": (1.7355, 1.7348, 1.7332, 1.7135, 1.7047)}
# Table 3 of the first: width of a step (user / movie), and seconds of one epoch of the users' and of the movies' side
STEPS = {"RRN, 1 day / 1 day": (0.9440, 9235, 7225), "RRN, 1 day / 7 days": (0.9427, 8587, 4478),
         "RRN, 7 days / 1 day": (0.9459, 6845, 7219), "RRN, 7 days / 7 days": (0.9440, 6800, 4298)}
PAPER = [{"source": source, "model": model, "metric": "rmse", "value": value}
         for source, values in PUBLISHED.items() for model, value in zip(MODELS, values)]
PAPER += [{"source": "Netflix, 6 months, by step, Wu et al. 2017b", "model": model, "metric": metric, "value": value}
          for model, values in STEPS.items()
          for metric, value in zip(("rmse", "seconds, users", "seconds, items"), values)]


# --- Arms -------------------------------------------------------------------------------------------------

FACTORS = {"n_factors": [5, 10, 20, 40], "penalty": [5.0, 10.0, 15.0, 25.0], "bias_penalty": [1.0, 2.0, 5.0]}
RIVALS = {
    "Mean": (Mean, {}),
    "Biases": (Biases, {"user_penalty": [2.0, 5.0, 10.0, 20.0], "item_penalty": [1.0, 2.0, 5.0, 10.0]}),
    "MF": (MatrixFactorization, FACTORS),
    "PMF (no biases)": (MatrixFactorization, {"biased": [False]} | FACTORS),
    "Online MF": (OnlineMF, FACTORS),
    "Forgetting MF": (ForgettingMF, FACTORS | {"gamma": [0.9, 0.97, 0.99, 0.997, 0.999, 0.9997, 1.0],
                                               "user_penalty": [2.0, 5.0, 10.0, 15.0, 25.0]}),
    "Estimated Kalman filter": (EstimatedKalman, {"n_factors": [1, 2, 3, 5, 8], "penalty": [1.0, 3.0, 10.0, 30.0]}),
    "TimeSVD++": (TimeSVDpp, {"n_factors": [5, 10, 20, 40], "penalty": [20.0, 50.0, 100.0],
                              "time_penalty": [300.0, 1000.0, 3000.0], "lr": [0.005, 0.01, 0.02],
                              "n_epochs": [10, 15, 25]}),
    "I-AutoRec": (AutoRec, {"side": ["item"], "hidden_size": [50, 100, 200], "penalty": [20.0, 50.0, 100.0],
                            "lr": [0.001, 0.003, 0.01], "n_epochs": [5, 10, 20]}),
    "U-AutoRec": (AutoRec, {"side": ["user"], "hidden_size": [50, 100, 200], "penalty": [20.0, 50.0, 100.0],
                            "lr": [0.001, 0.003, 0.01], "n_epochs": [5, 10, 20]})}
SPACE = {"learning_rate": [5e-4, 1e-3, 1.5e-3, 3e-3], "table_learning_rate": [None, 0.01, 0.03],
         "dropout": [0.2, 0.5], "penalty": [10.0, 30.0, 60.0], "hidden_size": [20, 40, 80],
         "dynamic_size": [10, 20, 40], "stationary_size": [20, 160], "cold_start": [0.3, 0.5, 0.8]}
# With a search of their own, and with the settings that the RRN got. What is left out costs as much as the RRN itself:
# it is tried where a network is trained once, and not where it is trained anew within the test.
NETWORKS = {"RRN": {}, "RRN on Online MF": {"learning_rate": [1e-4, 2e-4, 5e-4, 1e-3]},  # little is left to learn
            "RRN, no dynamic part": {"dynamic": [False]}}
WITHOUT = {"RRN, no newbie flag": {"newbie": False}, "RRN, no clock": {"wall_clock": False},
           "RRN, no stationary part": {"stationary": False}, "RRN, no anchors": {"anchored": False}}
AVERAGED = "RRN and Online MF, averaged"


def space_of(arm):
    return SPACE | NETWORKS[arm] if arm in NETWORKS else RIVALS[arm][1]


def load(name):
    """The parts of a log: to learn from, to choose with, to test on."""
    shares, _ = LOGS[name]
    parts = data.load_ratings(name).split_by_time(*shares)
    if name != "movietweetings-100k":
        return parts
    active = np.bincount(parts[0].users, minlength=parts[0].n_users) >= ACTIVE
    return tuple(part.take(active[part.users]) for part in parts)


def network(train, settings, seed, valid=None):
    options = {} if valid is None else {"valid": valid, "patience": PATIENCE}
    return fit(train, RRNConfig(**settings), device="cpu", seed=seed, progress=False, **options)


def left_over(base, past):
    """What a base leaves over of all but the first fifth of the ratings: RatingData of errors made beforehand."""
    start = past.n_ratings // 5
    late = past.take(slice(start, None))
    return replace(late, ratings=late.ratings - prequential(base, past, start, n_parts=4))


def fitter(arm, chosen, seed):
    """fit(train) of an arm with its chosen settings."""
    settings = chosen.get(arm)
    if arm in RIVALS:
        kind = RIVALS[arm][0]
        chance = {"seed": seed} if arm not in ("Mean", "Biases", "Forgetting MF") else {}
        return lambda train: kind(**settings, **chance).fit(train)
    if arm == "Forgetting MF, γ = 1":
        return lambda train: ForgettingMF(**(chosen["Forgetting MF"] | {"gamma": 1.0})).fit(train)
    if arm == "RRN on Online MF":
        base = fitter("Online MF", chosen, seed)
        return lambda train: Residual(base(train), network(left_over(base, train), settings, seed))
    return lambda train: network(train, settings or chosen["RRN"] | WITHOUT[arm], seed)


# --- The search, and the test -----------------------------------------------------------------------------


def try_one(job):
    """The RMSE of one draw on the validation ratings."""
    name, arm, settings, online = job
    train, valid, _ = load(name)
    if arm in RIVALS:
        model = fitter(arm, {arm: settings}, seed=0)(train)
        return {"arm": arm, "config": settings, "rmse": metrics.evaluate_ratings(model, valid, n_boot=1).rmse}
    if arm == "RRN on Online MF":
        base = fitter("Online MF", {"Online MF": online}, seed=0)
        valid = replace(valid, ratings=valid.ratings - base(train).follow(valid))
        train = left_over(base, train)
    history = network(train, settings | {"n_epochs": MAX_EPOCHS}, 0, valid).history
    best = min(history, key=lambda point: point["rmse"])
    return {"arm": arm, "config": settings | {"n_epochs": best["epoch"]}, "rmse": best["rmse"]}


def test_one(job):
    """The predictions of an arm for all test ratings, float64 [n]."""
    name, arm, chosen, seed = job
    parts = load(name)
    past = concatenate(*parts[:2])
    return prequential(fitter(arm, chosen, seed), concatenate(past, parts[2]), past.n_ratings, LOGS[name][1])


class Predicted:
    """Predictions that were made before, as a model."""

    def __init__(self, data, predictions):
        self.user_ids, self.item_ids, self.predictions = data.user_ids, data.item_ids, predictions

    def follow(self, data):
        return self.predictions


def main(experiment):
    name = experiment.removeprefix("rrn-")
    train, valid, test = load(name)
    past = concatenate(train, valid)
    known = np.isin(test.users, past.users)
    result = results.new_result(experiment, results.describe(past, test), {
        "seeds": list(SEEDS), "shares": LOGS[name][0], "fitted anew": LOGS[name][1], "draws per arm": DRAWS,
        "test ratings by new users": float(1 - known.mean()),
        "test ratings of new items": float(1 - np.isin(test.items, past.items).mean()),
        "space": SPACE, "space of the rivals": {arm: space for arm, (_, space) in RIVALS.items()}})
    units = Units(result)

    def search(arms, online=None):
        trials = units.in_parallel(try_one, [(name, arm, settings, online) for arm in arms
                                           for settings in draws(arm, space_of(arm), DRAWS)])
        best = {arm: min((t for t in trials if t["arm"] == arm), key=lambda t: t["rmse"]) for arm in arms}
        return trials, {arm: trial["config"] for arm, trial in best.items()}

    trials, chosen = search(RIVALS)
    of_networks, networks = search(NETWORKS, chosen["Online MF"])
    chosen |= networks
    result["trials"], result["config"]["chosen"] = trials + of_networks, chosen
    arms = [*RIVALS, "Forgetting MF, γ = 1", *NETWORKS, *(WITHOUT if LOGS[name][1] == 1 else {})]
    without_chance = "Mean", "Biases", "Forgetting MF", "Forgetting MF, γ = 1"
    jobs = [(name, arm, chosen, seed) for arm in arms for seed in (SEEDS if arm not in without_chance else (0,))]
    made: dict[str, list] = {arm: [] for arm in arms}
    for (_, arm, *_), predictions in zip(jobs, units.in_parallel(test_one, jobs)):
        made[arm].append(predictions)
    made[AVERAGED] = [np.mean(both, axis=0) for both in zip(made["RRN"], made["Online MF"])]
    scores = {arm: [metrics.evaluate_ratings(Predicted(test, predictions), test) for predictions in runs]
              for arm, runs in made.items()}
    for arm, runs in scores.items():
        result["rows"].append(score_row(arm, "rmse", runs))
        for group, which in {"new users": ~known, "known users": known}.items():
            if which.any():
                of_group = [replace(s, errors=s.errors[which], users=s.users[which],
                                    rmse=float(np.sqrt(np.mean(s.errors[which] ** 2)))) for s in runs]
                result["rows"].append(score_row(arm, "rmse", of_group) | {"metric": f"rmse, {group}"})
    for a, others in {"RRN": list(scores), "RRN on Online MF": ["Online MF", "Forgetting MF", "RRN", AVERAGED],
                      AVERAGED: ["Online MF"],
                      "Forgetting MF": ["Forgetting MF, γ = 1", "Online MF"],
                      "Estimated Kalman filter": ["Online MF"]}.items():
        result["paired"] += [paired_row(a, b, "rmse", scores[a], scores[b]) for b in others if a != b]
    result["config"]["filter"] = estimated_numbers(chosen, past)
    result["paper"] = PAPER
    units.write()


def estimated_numbers(chosen, past):
    """ρ after a day and σ, as the filter finds them."""
    model = fitter("Estimated Kalman filter", chosen, seed=0)(past)
    return {"rho": model.rho, "sigma": model.sigma}
