"""The recurrent recommender network on MovieLens 100K, on MovieTweetings, and on the world of drifting tastes.

``python -m rnnbook reproduce rrn-movielens-100k``, and so ``rrn-movietweetings-100k`` and ``rrn-world``
"""

import random
from dataclasses import asdict, replace

import numpy as np

from rnnbook import data, metrics, results
from rnnbook.benchmarks.rows import collect, difference_row, mean_row, paired_row, score_row
from rnnbook.benchmarks.units import Units
from rnnbook.interactions import DAY, concatenate
from rnnbook.baselines import (AutoRec, Biases, EstimatedKalman, ForgettingMF, MatrixFactorization, OnlineMF,
                               TimeSVDpp)
from rnnbook.rrn import RRNConfig, fit
from rnnbook.worlds import RatingWorld

SEEDS = range(5)

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


class Mean:
    """The mean of the training ratings for everyone."""

    def fit(self, train):
        self.user_ids, self.item_ids, self.mean = train.user_ids, train.item_ids, train.ratings.mean()
        return self

    def follow(self, data):
        return np.full(data.n_ratings, self.mean)


# --- Real ratings: the first 80 % to learn from, 10 % to choose with, the last 10 % one after another ------------

# Every part is left out once on MovieLens, two on MovieTweetings too.
ABLATIONS = {"RRN": {}, "RRN, no newbie flag": {"newbie": False}, "RRN, no clock": {"wall_clock": False},
             "RRN, no stationary part": {"stationary": False}, "RRN, no dynamic part": {"dynamic": False},
             "RRN, no anchors": {"anchored": False}}


ARMS = {"movielens-100k": ABLATIONS, "movietweetings-100k": {
    model: ABLATIONS[model] for model in ("RRN", "RRN, no stationary part", "RRN, no anchors")}}


def load(name):
    return data.load_ratings(name, min_user_ratings=10 if name == "movietweetings-100k" else 1).split_by_time()


def fitted(parts, config, seed, start=None):
    """An RRN of the first two parts, for as many epochs as the second, held out, says."""
    train, valid, _ = parts
    options = {"device": "cpu", "seed": seed, "progress": False}
    history = fit(train, config, valid=valid, start=start and start(train), **options).history
    n_epochs = int(np.argmin([point["rmse"] for point in history])) + 1
    past = concatenate(train, valid)
    return fit(past, replace(config, n_epochs=n_epochs), start=start and start(past), **options), n_epochs


def from_autorec(train):
    """Stationary factors of an I-AutoRec, as the authors' later paper has it, the items' taken around their mean."""
    autorec = AutoRec("item", hidden_size=RRNConfig.stationary_size).fit(train)
    scale = np.sqrt(train.ratings.std())
    return autorec.user_factors / scale, (autorec.item_factors - autorec.item_factors.mean(0)) / scale


def train_real(job):
    """{model: RatingScores} of one seed: every RRN and the baselines that have chance in them."""
    name, seed = job
    parts = load(name)
    past, test = concatenate(*parts[:2]), parts[2]
    scores, epochs = {}, {}
    for model, changes in ARMS[name].items():
        network, epochs[model] = fitted(parts, RRNConfig(**changes), seed)
        scores[model] = metrics.evaluate_ratings(network, test)
    if name == "movielens-100k":
        network, epochs["RRN, started from I-AutoRec"] = fitted(parts, RRNConfig(), seed, start=from_autorec)
        scores["RRN, started from I-AutoRec"] = metrics.evaluate_ratings(network, test)
    for model, baseline in {"MF": MatrixFactorization(seed=seed),
                            "PMF (no biases)": MatrixFactorization(seed=seed, biased=False),
                            "Online MF": OnlineMF(seed=seed), "TimeSVD++": TimeSVDpp(seed=seed),
                            "I-AutoRec": AutoRec("item", seed=seed), "U-AutoRec": AutoRec("user", seed=seed)}.items():
        scores[model] = metrics.evaluate_ratings(baseline.fit(past), test)
    return scores, epochs


def real(experiment):
    name = experiment.removeprefix("rrn-")
    train, valid, test = load(name)
    past = concatenate(train, valid)
    known = np.isin(test.users, past.users)
    result = results.new_result(experiment, results.describe(past, test), {
        "seeds": list(SEEDS), "split": "80, 10, 10 % by time; the last fit has the first 90 %",
        "test ratings by new users": float(1 - known.mean()),
        "test ratings of new items": float(1 - np.isin(test.items, past.items).mean()), "model": asdict(RRNConfig())})
    units = Units(result)
    done = units.in_parallel(train_real, [(name, seed) for seed in SEEDS])
    scores = collect([s for s, _ in done])
    result["config"]["epochs"] = {model: [e[model] for _, e in done] for model in done[0][1]}
    for model, baseline in {"Mean": Mean(), "Biases": Biases()}.items():
        scores[model] = [metrics.evaluate_ratings(baseline.fit(past), test)]
    for model, runs in scores.items():
        result["rows"].append(score_row(model, "rmse", runs))
        for group, which in {"new users": ~known, "known users": known}.items():
            by_group = [float(np.sqrt(np.mean(s.errors[which] ** 2))) for s in runs]
            result["rows"].append(mean_row(model, f"rmse, {group}", by_group))
        if model != "RRN":
            result["paired"].append(paired_row("RRN", model, "rmse", scores["RRN"], runs))
    result["paper"] = PAPER
    units.write()


# --- The world of drifting tastes ---------------------------------------------------------------------------

SIZE = {"n_users": 4000}
CURVE = {f"ρ=0.98, {n:,} users": RatingWorld(rho=0.98, n_users=n) for n in (500, 1000, 2000, 8000)}
WORLDS = {"ρ=0.98": RatingWorld(rho=0.98, **SIZE), "ρ=0.995": RatingWorld(rho=0.995, **SIZE),
          "ρ=1": RatingWorld(rho=1.0, **SIZE),
          "ρ=0.98, level shift": RatingWorld(rho=0.98, level_shift=1.0, **SIZE),
          "ρ=0.98, season": RatingWorld(rho=0.98, season=1.0, **SIZE),
          "ρ=0.98, new users": RatingWorld(rho=0.98, wave=0.5, **SIZE)} | CURVE
CONTROLLED = ("ρ=0.98", "ρ=0.995", "ρ=1")  # five draws of the world and of its ratings; the others have three
WORLD_SEEDS = {name: SEEDS if name in CONTROLLED else range(3) for name in WORLDS}
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
DRAWS = 20  # of γ, the penalty of a user and whether there are biases, for the ridge that forgets
FORGETTING = {"gamma": (0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 1.0),
              "user_penalty": (0.3, 0.5, 1.0, 2.0, 4.0, 8.0), "biased": (False, True)}
WORLD_CONFIG = RRNConfig(hidden_size=32, embedding_size=16, dynamic_size=8, stationary_size=4, dropout=0.1, penalty=1.0,
                         user_step=DAY, learning_rate=4e-3, decay=True, batch_size=2048, n_epochs=20)
# What the validation steps choose from: to count on what is remembered, or on each one's own parameters.
CHOICES = {"with cold starts": {}, "without": {"cold_start": 0.0, "dropout": 0.5, "penalty": 10.0}}


class FittedOnce:
    """A model that follows nothing: its answers are those that it had after training."""

    def __init__(self, model):
        self.model = model

    def fit(self, train):
        self.user_ids, self.item_ids = train.user_ids, train.item_ids
        self.model.fit(train)
        return self

    def follow(self, data):
        return self.model.predict(data.user_ids[data.users], data.item_ids[data.items], data.times)


def choose(name):
    """Which of the CHOICES does best on the validation steps of a world's first draw; the other draws take it over."""
    train, valid, _ = WORLDS[name].sample(0).split_by_time()

    def error(choice):
        model = fit(train, replace(WORLD_CONFIG, **CHOICES[choice]), device="cpu", seed=0, progress=False)
        return metrics.evaluate_ratings(model, valid, n_boot=1).rmse

    return min(CHOICES, key=error)


def train_world(job):
    """{model: RMSE on the last tenth} of one draw of a world, and what the validation steps chose for the ridges."""
    name, seed, choice = job
    world = replace(WORLDS[name], seed=seed)
    train, valid, test = world.sample(seed).split_by_time()
    past = concatenate(train, valid)

    def rmse(model, data=test):
        return metrics.evaluate_ratings(model, data, n_boot=1).rmse

    def tuned(kind, choices):
        """The settings that do best on the validation steps, then fitted on all before the test."""
        best = min(choices, key=lambda settings: rmse(kind(**settings).fit(train), valid))
        return kind(**best).fit(past), best

    def rrn(data, **changes):
        return fit(data, replace(WORLD_CONFIG, **changes), device="cpu", seed=seed, progress=False)

    ridges = [{"n_factors": world.dim, "penalty": p, "bias_penalty": p, "seed": seed} for p in PENALTIES]
    mf, ridge = tuned(MatrixFactorization, ridges)
    rng = random.Random("forgetting")
    forgetting = [ridge | {key: rng.choice(values) for key, values in FORGETTING.items()} | {"step": DAY}
                  for _ in range(DRAWS)]
    forgets, settings = tuned(ForgettingMF, forgetting)
    kalman = EstimatedKalman(world.dim, step=DAY, seed=seed).fit(past)
    scores = {"Mean": Mean().fit(past), "MF": mf, "Online MF": OnlineMF(**ridge).fit(past), "Forgetting MF": forgets,
              "Estimated Kalman filter": kalman,
              "Static, items known, fitted once": FittedOnce(world.static()).fit(past),
              "Static, items known, kept up to date": world.static().fit(past),
              "Kalman optimum": world.kalman().fit(past), "RRN": rrn(past, **CHOICES[choice])}
    if name == "ρ=0.98":
        scores["RRN, no anchors"] = rrn(past, **CHOICES[choice], anchored=False)
    chosen = {"forgetting": {key: settings[key] for key in FORGETTING}, "penalty": ridge["penalty"],
              "estimated": {"rho": kalman.rho, "sigma": kalman.sigma}}
    return {model: rmse(predictor) for model, predictor in scores.items()}, chosen


def world(experiment):
    """RMSE beside the optimum, and how much of the gap between the best static model and the optimum is closed."""
    train, valid, test = WORLDS["ρ=0.98"].sample(0).split_by_time()
    result = results.new_result(experiment, results.describe(concatenate(train, valid), test), {
        "seeds": list(SEEDS), "worlds": {name: asdict(world) for name, world in WORLDS.items()},
        "seed of a world": "that of the draw", "penalties of MF": PENALTIES, "forgetting": FORGETTING, "draws": DRAWS,
        "model": asdict(WORLD_CONFIG), "choices": CHOICES})
    units = Units(result)
    choice = dict.fromkeys(WORLDS, "with cold starts") | dict(zip(CONTROLLED, units.in_parallel(choose, CONTROLLED)))
    jobs = [(name, seed, choice[name]) for name in WORLDS for seed in WORLD_SEEDS[name]]
    done = {(name, seed): unit for (name, seed, _), unit in zip(jobs, units.in_parallel(train_world, jobs))}
    result["config"]["chosen"] = choice
    result["config"]["ridges"] = {name: [done[name, seed][1] for seed in WORLD_SEEDS[name]] for name in WORLDS}
    for name in WORLDS:
        by_model = collect([done[name, seed][0] for seed in WORLD_SEEDS[name]])
        for model, values in by_model.items():
            result["rows"].append(mean_row(f"{name} · {model}", "rmse", values))
        rmse = {model: np.array(values) for model, values in by_model.items()}
        static = np.minimum(rmse["MF"], rmse["Static, items known, fitted once"])
        optimum = rmse["Kalman optimum"]
        if WORLDS[name].rho < 1:
            for model in ("RRN", "Online MF", "Forgetting MF", "Estimated Kalman filter",
                          "Static, items known, kept up to date"):
                closed = (static - rmse[model]) / (static - optimum)
                result["rows"].append(mean_row(f"{name} · {model}", "gap_closed", closed))
        for model in by_model:
            if model != "RRN":
                result["paired"].append(difference_row(f"{name} · RRN", f"{name} · {model}", "rmse",
                                                       rmse["RRN"] - rmse[model]))
    units.write()


def main(experiment):
    (world if experiment == "rrn-world" else real)(experiment)
