"""The recurrent recommender network on worlds of drifting tastes, whose optimum is known.

``python -m rnnbook reproduce rrn-world``
"""

from dataclasses import asdict, replace
from itertools import product

import numpy as np

from rnnbook import metrics, results
from rnnbook.benchmarks.rows import collect, difference_row, mean_row
from rnnbook.benchmarks.units import Units
from rnnbook.interactions import DAY, concatenate
from rnnbook.baselines import EstimatedKalman, ForgettingMF, MatrixFactorization, OnlineMF
from rnnbook.rrn import RRNConfig, fit
from rnnbook.worlds import JumpWorld, RatingWorld

SEEDS = range(5)


class Mean:
    """The mean of the training ratings for everyone."""

    def fit(self, train):
        self.user_ids, self.item_ids, self.mean = train.user_ids, train.item_ids, train.ratings.mean()
        return self

    def follow(self, data):
        return np.full(data.n_ratings, self.mean)


SIZE = {"n_users": 4000}
CURVE = {f"ρ=0.98, {n:,} users": RatingWorld(rho=0.98, n_users=n) for n in (500, 1000, 2000, 8000)}
WORLDS = {"ρ=0.98": RatingWorld(rho=0.98, **SIZE), "ρ=0.995": RatingWorld(rho=0.995, **SIZE),
          "ρ=1": RatingWorld(rho=1.0, **SIZE),
          "ρ=0.98, level shift": RatingWorld(rho=0.98, level_shift=1.0, **SIZE),
          "ρ=0.98, season": RatingWorld(rho=0.98, season=1.0, **SIZE),
          "ρ=0.98, new users": RatingWorld(rho=0.98, wave=0.5, **SIZE),
          "ρ=0.97, jumps": JumpWorld(rho=0.97, **SIZE)} | CURVE
# Draws of a world and of its ratings, each with a seed of its own: five of the first, two of the largest
WORLD_SEEDS = dict.fromkeys(WORLDS, range(3)) | {"ρ=0.98": SEEDS, "ρ=0.98, 8,000 users": range(2)}
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
# For the ridge that forgets, all of them. A world has no biases, but where films shift, means of films help.
FORGETTING = {"gamma": (0.75, 0.8, 0.85, 0.9, 0.95, 1.0), "user_penalty": (0.5, 1.0, 2.0), "biased": (False, True)}
WORLD_CONFIG = RRNConfig(hidden_size=32, embedding_size=16, dynamic_size=8, stationary_size=4, dropout=0.1,
                         user_step=DAY, learning_rate=4e-3, decay=True, batch_size=2048, n_epochs=32)
# What the validation steps choose from: to count on what is remembered, with the clock or without, or on each one's own
# parameters. These were found on the validation steps of the first draw at ρ = 0.98.
REMEMBERED = {"cold_start": 0.95, "penalty": 300.0, "bias_penalty": 300.0}
CHOICES = {"memory and clock": REMEMBERED, "memory": REMEMBERED | {"wall_clock": False},
           "own parameters": {"cold_start": 0.0, "dropout": 0.5, "penalty": 10.0}}


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
    """Which of the CHOICES does best on the validation steps of the world with half of the users."""
    world = WORLDS[name]
    train, valid, _ = replace(world, n_users=world.n_users // 2).sample(0).split_by_time()

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
    forgetting = [dict(zip(FORGETTING, values)) for values in product(*FORGETTING.values())]
    forgets, _ = tuned(ForgettingMF, [ridge | {"step": DAY} | settings for settings in forgetting])
    kalman = EstimatedKalman(world.dim, step=DAY, seed=seed).fit(past)
    scores = {"Mean": Mean().fit(past), "MF": mf, "Online MF": OnlineMF(**ridge).fit(past), "Forgetting MF": forgets,
              "Estimated Kalman filter": kalman,
              "Static, items known, fitted once": FittedOnce(world.static()).fit(past),
              "Static, items known, kept up to date": world.static().fit(past),
              "Best linear filter": world.kalman().fit(past), "Optimum": world.best().fit(past),
              "RRN": rrn(past, **CHOICES[choice])}
    if name == "ρ=0.98":
        scores["RRN, no anchors"] = rrn(past, **CHOICES[choice], anchored=False)
    chosen = {"forgetting": {key: getattr(forgets, key) for key in FORGETTING}, "penalty": ridge["penalty"],
              "estimated": {"rho": kalman.rho, "sigma": kalman.sigma}}
    return {model: rmse(predictor) for model, predictor in scores.items()}, chosen


def main(experiment):
    """RMSE beside the optimum, and how much of the gap between the best static model and the optimum is closed."""
    train, valid, test = WORLDS["ρ=0.98"].sample(0).split_by_time()
    result = results.new_result(experiment, results.describe(concatenate(train, valid), test), {
        "seeds": list(SEEDS), "worlds": {name: asdict(world) for name, world in WORLDS.items()},
        "seed of a world": "that of the draw", "penalties of MF": PENALTIES, "forgetting": FORGETTING,
        "model": asdict(WORLD_CONFIG), "choices": CHOICES})
    units = Units(result)
    large = [name for name in WORLDS if name not in CURVE]
    choice = dict(zip(large, units.in_parallel(choose, large)))
    choice |= dict.fromkeys(CURVE, choice["ρ=0.98"])
    longest_first = sorted(WORLDS, key=lambda name: -WORLDS[name].n_users)
    jobs = [(name, seed, choice[name]) for name in longest_first for seed in WORLD_SEEDS[name]]
    done = {(name, seed): unit for (name, seed, _), unit in zip(jobs, units.in_parallel(train_world, jobs))}
    result["config"]["chosen"] = choice
    result["config"]["ridges"] = {name: [done[name, seed][1] for seed in WORLD_SEEDS[name]] for name in WORLDS}
    for name in WORLDS:
        by_model = collect([done[name, seed][0] for seed in WORLD_SEEDS[name]])
        for model, values in by_model.items():
            result["rows"].append(mean_row(f"{name} · {model}", "rmse", values))
        rmse = {model: np.array(values) for model, values in by_model.items()}
        static = np.minimum(rmse["MF"], rmse["Static, items known, fitted once"])
        optimum = rmse["Optimum"]
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
