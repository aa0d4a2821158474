"""The RRN beside scikit-surprise, whose models are fitted once and hear nothing of the test.

``python -m rnnbook reproduce rrn-surprise``, with ``pip install scikit-surprise``, which nothing else needs.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd

from rnnbook import metrics, results
from rnnbook.benchmarks.rows import paired_row, score_row
from rnnbook.benchmarks.rrn import SEEDS
from rnnbook.benchmarks.rrn_logs import load
from rnnbook.benchmarks.units import Units
from rnnbook.interactions import concatenate
from rnnbook.rrn import RRNConfig, fit

# The package's own settings, but for MovieTweetings, where fewer factors and a larger penalty do better.
SETTINGS = {"movielens-100k": {"BaselineOnly": {}, "SVD": {}, "SVDpp": {}},
            "movietweetings-100k": {"BaselineOnly": {}, "SVD": {"n_factors": 20, "reg_all": 0.05}}}


class Surprise:
    """A model of scikit-surprise as a rating predictor that never learns from what it follows."""

    def __init__(self, kind, seed, **settings):
        self.kind, self.seed, self.settings = kind, seed, settings

    def fit(self, train):
        import surprise

        chance = {} if self.kind == "BaselineOnly" else {"random_state": self.seed}
        options = {"verbose": False} | chance | self.settings
        frame = pd.DataFrame({"user": train.users, "item": train.items, "rating": train.ratings})
        scale = surprise.Reader(rating_scale=(train.ratings.min(), train.ratings.max()))
        self.user_ids, self.item_ids = train.user_ids, train.item_ids
        self.model = getattr(surprise, self.kind)(**options)
        self.model.fit(surprise.Dataset.load_from_df(frame, scale).build_full_trainset())
        return self

    def follow(self, data):
        return np.array([self.model.predict(u, i).est for u, i in zip(data.users.tolist(), data.items.tolist())])


def settings(name):
    """The settings of the RRN in the tables beside this."""
    return RRNConfig(**results.load(f"rrn-{name}")["config"]["chosen"]["RRN"])


def train_one(job):
    """RatingScores of one model on the last tenth, trained on all before."""
    name, model, seed = job
    train, valid, test = load(name)
    past = concatenate(train, valid)
    if model == "RRN":
        network = fit(past, settings(name), device="cpu", seed=seed, progress=False)
        return metrics.evaluate_ratings(network, test)
    return metrics.evaluate_ratings(Surprise(model, seed, **SETTINGS[name][model]).fit(past), test)


def main(experiment):
    try:
        import surprise
    except ImportError as error:
        raise SystemExit("rrn-surprise compares with scikit-surprise: pip install scikit-surprise") from error
    parts = {name: load(name) for name in SETTINGS}
    train, valid, test = parts["movielens-100k"]
    result = results.new_result(experiment, results.describe(concatenate(train, valid), test), {
        "seeds": list(SEEDS), "settings": SETTINGS, "scikit-surprise": surprise.__version__,
        "the RRN": {name: asdict(settings(name)) for name in SETTINGS},
        "sha256": {name: concatenate(*p[:2]).sha256 for name, p in parts.items()}})
    units = Units(result)
    jobs = [(name, model, seed) for name, models in SETTINGS.items() for model in ["RRN", *models]
            for seed in (SEEDS if model != "BaselineOnly" else [0])]
    scores = {}
    for (name, model, _), score in zip(jobs, units.in_parallel(train_one, jobs)):
        scores.setdefault((name, model), []).append(score)
    for (name, model), runs in scores.items():
        result["rows"].append(score_row(f"{name} · {model}", "rmse", runs))
        if model != "RRN":
            result["paired"].append(paired_row(f"{name} · RRN", f"{name} · {model}", "rmse",
                                               scores[name, "RRN"], runs))
    units.write()
