"""Which settings each model of chapter 2 gets: a random search on a validation day split off the training data.

Every arm, rivals first, gets the same number of draws; one that has fewer settings than that tries them all. A network
is first trained for a few epochs, and the better half goes on for twice as many (successive halving), so that twenty
draws cost what ten full trainings would. The four days that test are never read here.
``python -m rnnbook reproduce gru4rec-search``
"""

from dataclasses import asdict

from rnnbook import baselines, data, metrics, results
from rnnbook.baselines import PopularityTies
from rnnbook.benchmarks.rows import mean_row
from rnnbook.benchmarks.search import draws
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import LOSSES, GRU4RecConfig, fit

DRAWS = 20
RUNGS = {2: 20, 4: 10, 8: 5, 16: 2}  # epochs, and how many of the draws are trained for so many
SPACE = {
    "batch_size": [32, 64, 128],
    "learning_rate": [0.02, 0.05, 0.1, 0.2],
    "momentum": [0.0, 0.2],
    "hidden_dropout": [0.0, 0.2, 0.4, 0.5],
    "embedding_dropout": [0.0, 0.1, 0.25, 0.4],
    "n_sample": [512, 2048],
    "sample_alpha": [0.0, 0.25, 0.5, 0.75],
    "hidden_size": [100, 200, 300, (100, 100)],
    "feedforward_size": [0, 0, 100],
    "bptt": [1, 1, 2, 4],
}
OWN = {"cross-entropy": {"logq": [0.5, 1.0], "exact_logq": [False, True]}, "pointwise": {},
       "bpr": {"final_activation": ["linear", "tanh"]}, "top1": {"final_activation": ["linear", "tanh"]},
       "bpr-max": {"final_activation": ["linear", "elu"], "elu_alpha": [0.5, 1.0],
                   "bpr_max_regularization": [0.25, 0.5, 1.0, 2.0]},
       "top1-max": {"final_activation": ["linear", "tanh"]}}

NEIGHBOURS = {"k": [50, 100, 200, 500, 1000], "n_recent": [500, 1000, 2500, 5000]}
OFF = 1e9  # a decay so slow that there is none; JSON has no infinity
DECAYS = {"click_decay": [0.5, 1.02, 2.0, 4.0, OFF], "session_decay": [0.5, 1.0, 2.5, 5.0, 20.0, OFF],
          "item_decay": [0.5, 1.02, 2.05, 4.0, OFF]}
IDF = {"idf_weight": [0.0, 1.0, 2.0, 5.0, 10.0]}
RIVALS = {"Popularity": (baselines.Popularity, {}), "Session popularity": (baselines.SessionPopularity, {}),
          "Item-KNN": (baselines.ItemKNN, {"n_similar": [50, 100, 200, 500], "shrinkage": [0.0, 5.0, 20.0, 50.0],
                                           "alpha": [0.25, 0.5, 0.75, 1.0]}),
          "Markov": (baselines.Markov, {}), "S-KNN": (baselines.SessionKNN, NEIGHBOURS),
          "V-SKNN": (baselines.VSKNN, NEIGHBOURS | IDF), "STAN": (baselines.STAN, NEIGHBOURS | DECAYS),
          "VSTAN": (baselines.VSTAN, NEIGHBOURS | DECAYS | IDF | {"match_decay": [0.5, 1.02, 2.0, OFF]})}


def rival(name, settings):
    """A baseline with these settings. Neighbours and counts tie most items at 0; popularity orders these ties."""
    model = RIVALS[name][0](**settings)
    return model if "opularity" in name else PopularityTies(model)


def test_days():
    """(train, test) of the published split, and of the three days before: each trained on all days before it."""
    days = [data.load_sessions("yoochoose-100k")]
    for _ in range(3):
        days.append(days[-1][0].split_by_time(data.DAY))
    return days


def split():
    """What is left before these days: to learn from, and a day to choose by."""
    return test_days()[-1][0].split_by_time(data.DAY)


def try_rival(job):
    """The scores of a rival on the validation day."""
    arm, settings = job
    train, valid = split()
    scores = metrics.evaluate_sessions(rival(arm, settings).fit(train), valid, n_boot=1)
    return {"arm": arm, "config": settings, "recall@20": scores.recall, "mrr@20": scores.mrr}


def try_network(job):
    """The scores of a network at the best of so many epochs, or the reason there are none."""
    config, n_epochs = job
    train, valid = split()
    whole = asdict(config) | {"n_epochs": n_epochs}
    try:
        history = fit(train, GRU4RecConfig(**whole), device="cpu", seed=0, valid=valid, patience=3,
                      progress=False).history
    except FloatingPointError as error:
        return {"arm": config.loss, "config": whole, "failed": str(error)}
    best = max(history, key=total)
    return {"arm": config.loss, "config": whole | {"n_epochs": best["epoch"]}, "epochs": n_epochs,
            "recall@20": best["recall"], "mrr@20": best["mrr"]}


def total(scores):
    """What is chosen by: the sum of the two scores that the book reports."""
    return scores.get("recall@20", scores.get("recall", 0.0)) + scores.get("mrr@20", scores.get("mrr", 0.0))


def as_config(settings):
    """GRU4RecConfig of the settings as JSON has them, in which a tuple is a list."""
    return GRU4RecConfig(**{name: tuple(value) if isinstance(value, list) else value
                            for name, value in settings.items()})


def best_of(trials, arm=None):
    """The best trial (of one arm); a failed one never wins."""
    return max((t for t in trials if arm in (None, t.get("arm", t["config"].get("loss"))) and "failed" not in t),
               key=total)


def main(experiment):
    fitted, valid = split()
    result = results.new_result(experiment, results.describe(fitted, valid), {
        "draws per arm": DRAWS, "epochs and arms": RUNGS, "space": SPACE | {"of each loss": OWN},
        "space of the rivals": {arm: space for arm, (_, space) in RIVALS.items()}, "chosen by": "recall@20 + mrr@20"})
    units = Units(result)
    trials = units.in_parallel(try_rival, [(arm, settings) for arm, (_, space) in RIVALS.items()
                                            for settings in draws(arm, space, DRAWS)])
    left = {loss: [GRU4RecConfig(loss=loss, **settings)
                   for settings in draws(loss, SPACE | OWN[loss], DRAWS)] for loss in LOSSES}
    for n_epochs, n_left in RUNGS.items():
        jobs = [(config, n_epochs) for loss in LOSSES for config in left[loss][:n_left]]
        done = units.in_parallel(try_network, jobs)
        trials += done
        for loss in LOSSES:
            ranked = sorted((total(trial), -i, config) for i, ((config, _), trial) in enumerate(zip(jobs, done))
                            if config.loss == loss and "failed" not in trial)
            left[loss] = [config for _, _, config in reversed(ranked)]
    for arm in [*RIVALS, *LOSSES]:
        best = best_of(trials, arm)
        for metric in ("recall@20", "mrr@20"):
            result["rows"].append(mean_row(arm, metric, [best[metric]]) | {"config": best["config"]})
    result["trials"] = trials
    units.write()
