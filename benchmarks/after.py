"""GRU4Rec, attention and linear recurrences on equal terms, on worlds whose optimum is known.

Each arm gets the same number of draws of its settings; the sessions that test are never seen by the search.
``python -m rnnbook reproduce after-worlds``
"""

from dataclasses import asdict, replace
from typing import NamedTuple

import torch

from rnnbook import after, gru4rec, metrics, results
from rnnbook.after import MODELS, AfterConfig
from rnnbook.baselines import VSKNN, PopularityTies
from rnnbook.benchmarks.gru4rec_search import IDF, NEIGHBOURS
from rnnbook.benchmarks.rows import paired_row, score_row
from rnnbook.benchmarks.search import draws
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import GRU4RecConfig
from rnnbook.worlds import LongMemoryWorld, SessionWorld

SEEDS, N_TEST, N_VALID = range(3), 5_000, 2_000
DRAWS, RUNGS, PATIENCE = 20, {2: 20, 6: 4}, 2  # epochs, and how many of the draws are trained for so many
SPACE = {"hidden_size": [32, 64], "n_blocks": [1, 2], "dropout": [0.0, 0.1, 0.2, 0.4],
         "batch_size": [256, 512, 1024], "learning_rate": [1e-3, 2e-3, 4e-3, 8e-3]}
SPACES = {name: SPACE | ({"n_heads": [1, 2, 4]} if name == "SASRec" else {}) for name in MODELS} | {
    "GRU4Rec": {"hidden_size": [32, 64], "loss": ["cross-entropy"], "batch_size": [64, 128, 256], "n_sample": [512],
                "hidden_dropout": [0.0, 0.1, 0.2, 0.4], "learning_rate": [0.02, 0.05, 0.1, 0.2],
                "momentum": [0.0, 0.2], "bptt": [1, 4, 8]},
    "V-SKNN": NEIGHBOURS | IDF}
NETWORKS = [arm for arm in SPACES if arm != "V-SKNN"]


class Task(NamedTuple):
    world: object
    epochs: dict  # number of training sessions -> most epochs
    k: int  # the list's length that is judged
    settings: tuple  # the task and the number of sessions by which an arm's settings are chosen

    @property
    def n_test(self):
        """A session of a memory world has many times the clicks of the others."""
        return N_TEST // 5 if isinstance(self.world, LongMemoryWorld) else N_TEST


MOODS, FIVE = ("moods", 10_000), ("5 back", 1_000)
TASKS = {
    "moods": Task(SessionWorld(), {3_000: 16, 10_000: 8, 40_000: 4, 160_000: 3}, 20, MOODS),
    "first order": Task(SessionWorld().markov_control(), {10_000: 8}, 20, MOODS),
    "5 back": Task(LongMemoryWorld(lag=5, length=30), {2_000: 8}, 1, FIVE),
    "20 back": Task(LongMemoryWorld(lag=20, length=60), {2_000: 8}, 1, FIVE),
    "80 back": Task(LongMemoryWorld(lag=80, length=160), {1_000: 8}, 1, FIVE),
    "3 back of those that count": Task(LongMemoryWorld(lag=3, length=30, distraction=0.5), {2_000: 8}, 1, FIVE)}
# NDCG@10 and HR@10 as the README of facebookresearch/generative-recommenders prints them: the public experiments of
# Zhai et al., ICML 2024. The rows of GRU4Rec and BERT4Rec there are those of Klenitskiy & Vasilev, RecSys 2023.
PUBLISHED = {
    "MovieLens 1M": {"GRU4Rec": (0.1648, 0.2811), "SASRec": (0.1603, 0.2853), "BERT4Rec": (0.1537, 0.2843),
                     "HSTU": (0.1720, 0.3097), "HSTU-large": (0.1893, 0.3294)},
    "MovieLens 20M": {"GRU4Rec": (0.1730, 0.2813), "SASRec": (0.1621, 0.2889), "BERT4Rec": (0.1703, 0.2816),
                      "HSTU": (0.1895, 0.3273), "HSTU-large": (0.2098, 0.3556)},
    "Amazon Books": {"SASRec": (0.0164, 0.0306), "HSTU": (0.0227, 0.0416), "HSTU-large": (0.0262, 0.0478)}}
PAPER = [{"source": source, "model": model, "metric": metric, "value": value}
         for source, models in PUBLISHED.items() for model, values in models.items()
         for metric, value in zip(("ndcg@10", "recall@10"), values)]
ONE_SEED = 160_000  # so many sessions say enough by themselves


def samples(task, n, seed):
    """(train, valid, test) of a task."""
    world = TASKS[task].world
    n_test = TASKS[task].n_test
    return world.sample(n, seed=100 + seed), world.sample(N_VALID * n_test // N_TEST, seed=50), world.sample(n_test, 2)


def train(arm, settings, task, data, seed, n_epochs, valid):
    """An arm with its settings, trained on data."""
    if arm == "V-SKNN":
        return PopularityTies(VSKNN(**settings)).fit(data)
    options = {"device": "cpu", "seed": seed, "valid": valid, "patience": PATIENCE, "progress": False}
    if arm == "GRU4Rec":
        return gru4rec.fit(data, GRU4RecConfig(**settings, n_epochs=n_epochs), **options)
    return after.fit(data, config_of(arm, settings, task, n_epochs), **options)


def config_of(arm, settings, task, n_epochs):
    """The AfterConfig of an arm; it has a place for each click of the world's sessions."""
    most = getattr(TASKS[task].world, "length", AfterConfig.max_length)
    return replace(MODELS[arm], **settings, max_length=most, n_epochs=n_epochs)


def try_one(job):
    """Recall@K of one draw on the validation sessions, after so many epochs at most."""
    arm, settings, (task, n), n_epochs = job
    data, valid, _ = samples(task, n, seed=0)
    try:
        model = train(arm, settings, task, data, 0, n_epochs, valid)
    except FloatingPointError as error:
        return {"arm": arm, "task": task, "config": settings, "epochs": n_epochs, "failed": str(error), "recall": 0.0}
    scores = metrics.evaluate_sessions(model, valid, k=TASKS[task].k, n_boot=1)
    return {"arm": arm, "task": task, "config": settings, "epochs": n_epochs, "recall": scores.recall}


def test_one(job):
    """SessionScores of an arm with its chosen settings."""
    arm, settings, task, n, seed = job
    data, valid, test = samples(task, n, seed)
    model = train(arm, settings, task, data, seed, TASKS[task].epochs[n], valid)
    return metrics.evaluate_sessions(model, test, k=TASKS[task].k)


def search(units):
    """The settings of each arm by task and number of sessions, and all trials: more epochs for ever fewer draws."""
    trials, left = [], {(arm, at): draws(arm, SPACES[arm], DRAWS) for arm in SPACES for at in (MOODS, FIVE)}
    for n_epochs, n in RUNGS.items():
        jobs = [(arm, settings, at, n_epochs) for (arm, at), some in left.items() for settings in some[:n]]
        done = units.in_parallel(try_one, jobs)
        trials += done
        for arm, at in left:
            of_arm = [t for (a, _, where, _), t in zip(jobs, done) if (a, where) == (arm, at)]
            left[arm, at] = [t["config"] for t in sorted(of_arm, key=lambda t: -t["recall"])]
    return {key: some[0] for key, some in left.items()}, trials


def main(experiment):
    result = results.new_result(experiment, results.describe(*samples(*MOODS, seed=0)[::2]), {
        "seeds": list(SEEDS), "draws per arm": DRAWS, "epochs and draws": RUNGS, "space": SPACES,
        "tasks": {task: {"world": repr(t.world), "most epochs by sessions": t.epochs, "K": t.k,
                         "settings of": list(t.settings)} for task, t in TASKS.items()},
        "defaults": asdict(AfterConfig()), "ties": "conservative"})
    units = Units(result)
    chosen, result["trials"] = search(units)
    result["config"]["chosen"] = [{"arm": arm, "task": task, "config": settings}
                                  for (arm, (task, _)), settings in chosen.items()]
    jobs = [(arm, chosen[arm, t.settings], task, n, seed) for task, t in TASKS.items() for n in t.epochs
            for arm in SPACES for seed in (SEEDS if arm in NETWORKS and n != ONE_SEED else SEEDS[:1])]
    done = list(zip(jobs, units.in_parallel(test_one, jobs)))
    for task, t in TASKS.items():
        for n in t.epochs:
            report(result, f"{task} · N={n}", t, {arm: [scores for (a, _, of, size, _), scores in done
                                                      if (a, of, size) == (arm, task, n)] for arm in SPACES})
    result["paper"] = PAPER
    units.write()


class TiesBroken:
    """A model whose ties are broken, as those of a network are: here by the items' numbers."""

    def __init__(self, model):
        self.model, self.item_ids = model, model.item_ids

    def score_sessions(self, data, batch_size=512):
        for positions, scores in self.model.score_sessions(data, batch_size):
            yield positions, scores - 1e-12 * torch.arange(scores.shape[1])


def report(result, where, task, scores):
    """The rows of one world and size: Recall@K, the share of the gap, and each arm against the GRU, as both."""
    test = task.world.sample(task.n_test, 2)
    ceiling, optimum = (metrics.evaluate_sessions(TiesBroken(model), test, k=task.k)
                        for model in (task.world.last_item(), task.world.bayes()))
    gap, name = optimum.recall - ceiling.recall, f"recall@{task.k}"
    for model, runs in (scores | {"Last-click ceiling": [ceiling], "Bayes optimum": [optimum]}).items():
        result["rows"].append(score_row(f"{where} · {model}", "recall@20", runs) | {"metric": name})
    for arm, runs in scores.items():
        if arm != "GRU":
            row = paired_row(f"{where} · {arm}", f"{where} · GRU", "recall@20", runs, scores["GRU"])
            result["paired"].append(row | {"metric": name})
        if gap > 0:  # in the first-order control the last click says all
            row = paired_row(arm, "Last-click ceiling", "recall@20", runs, [ceiling])
            result["rows"].append({"model": f"{where} · {arm}", "metric": "gap_closed",
                                   "mean": row["difference"] / gap, "low": row["low"] / gap, "high": row["high"] / gap,
                                   "values": [(s.recall - ceiling.recall) / gap for s in runs]})
