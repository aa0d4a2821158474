"""What else could bring the recurrent recommender network to the optimum: another cell, longer training, the mean of
three networks, or a filter whose errors it learns.

``python -m rnnbook reproduce rrn-cells``
"""

from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from rnnbook import results
from rnnbook.baselines import EstimatedKalman, Residual
from rnnbook.benchmarks.rows import collect, difference_row, mean_row
from rnnbook.benchmarks.rrn import WORLDS
from rnnbook.benchmarks.rrn_logs import left_over
from rnnbook.benchmarks.rrn_users import CONFIG
from rnnbook.benchmarks.units import Units
from rnnbook.interactions import DAY, concatenate
from rnnbook.rrn import RRN, batch_loss, descend, new_model

SEEDS, NETWORKS = range(3), range(3)
USERS, USERS_OF_SEARCH = 2000, 1000
RATES = 1e-3, 2e-3, 4e-3, 8e-3  # of the search; the settings beside it are those of `rrn-users`
FILTER, ON_FILTER, LONGER = "Estimated Kalman filter", "RRN on the estimated filter", "LSTM, twice the epochs"
AVERAGED = "LSTM, mean of three networks"


class LayerNormLSTM(nn.Module):
    """An LSTM with layer normalisation (Ba, Kiros & Hinton 2016, arXiv 1607.06450, equations 20 to 22).

    It takes float [L, B, e] and returns the states, float [L, B, h], and the last state and cell, as `torch.nn.LSTM`.
    """

    def __init__(self, n_in, n):
        super().__init__()
        self.n, self.read, self.carry = n, nn.Linear(n_in, 4 * n, bias=False), nn.Linear(n, 4 * n, bias=False)
        self.of_read, self.of_carry, self.of_cell = nn.LayerNorm(4 * n), nn.LayerNorm(4 * n), nn.LayerNorm(n)

    def forward(self, x):
        h = c = x.new_zeros(x.shape[1], self.n)
        states = []
        for read in self.of_read(self.read(x)):
            i, f, g, o = (read + self.of_carry(self.carry(h))).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * self.of_cell(c).tanh()
            states.append(h)
        return torch.stack(states), (h, c)


CELLS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "LSTM with layer norm": LayerNormLSTM}
ARMS = {"ρ=0.98": [*CELLS, ON_FILTER], "ρ=0.97, jumps": ["LSTM", ON_FILTER]}


def network(train, arm, settings, seed):
    """An RRN whose two sides have the arm's cell."""
    class WithCell(RRN):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            for side in self.sides:
                side.lstm = CELLS.get(arm, nn.LSTM)(self.config.embedding_size, self.config.hidden_size)

    model = new_model(train, replace(CONFIG, **settings), device="cpu", seed=seed, kind=WithCell)
    descend(model, train, batch_loss, seed=seed, identity={}, progress=False)
    return model


def estimated(dim):
    return lambda past: EstimatedKalman(dim, step=DAY).fit(past)


def fitted(arm, past, dim, settings, seed):
    """An arm, fitted to all ratings of the past."""
    if arm == FILTER:
        return estimated(dim)(past)
    if arm == ON_FILTER:
        return Residual(estimated(dim)(past), network(left_over(estimated(dim), past), arm, settings, seed))
    return network(past, arm, settings, seed)


def batch_of(n_users):
    """Steps in a batch: a batch has the same share of the users for each number of them."""
    return CONFIG.batch_size * n_users // WORLDS["ρ=0.98"].n_users


def rmse(predicted, test):
    return float(np.sqrt(np.mean((predicted - test.ratings) ** 2)))


def try_one(job):
    """The RMSE of a learning rate on the validation steps of the first draw, with fewer users."""
    name, arm, rate = job
    world = replace(WORLDS[name], n_users=USERS_OF_SEARCH, seed=0)
    train, valid, _ = world.sample(0).split_by_time()
    settings = {"learning_rate": rate, "batch_size": batch_of(USERS_OF_SEARCH)}
    return rmse(fitted(arm, train, world.dim, settings, 0).follow(valid), valid)


def test_one(job):
    """The predictions of an arm for the last tenth of a draw, float64 [n]."""
    name, arm, settings, draw, seed = job
    world = replace(WORLDS[name], n_users=USERS, seed=draw)
    train, valid, test = world.sample(draw).split_by_time()
    past = concatenate(train, valid)
    if arm == "Optimum":
        return world.best().fit(past).follow(test)
    return fitted(arm, past, world.dim, settings | {"batch_size": batch_of(USERS)}, seed).follow(test)


def main(experiment):
    train, valid, test = replace(WORLDS["ρ=0.98"], n_users=USERS, seed=0).sample(0).split_by_time()
    result = results.new_result(experiment, results.describe(concatenate(train, valid), test), {
        "seeds": list(SEEDS), "networks of a mean": list(NETWORKS), "users": USERS, "users of the search":
        USERS_OF_SEARCH, "worlds": {name: asdict(WORLDS[name]) for name in ARMS}, "model": asdict(CONFIG),
        "learning rates": RATES})
    units = Units(result)
    trials = [(name, arm, rate) for name, arms in ARMS.items() for arm in arms for rate in RATES]
    errors = dict(zip(trials, units.in_parallel(try_one, trials)))
    result["trials"] = [{"world": name, "arm": arm, "config": {"learning_rate": rate}, "rmse": error}
                        for (name, arm, rate), error in errors.items()]

    def chosen(name, arm):
        if arm in (FILTER, "Optimum"):
            return {}
        searched = "LSTM" if arm == LONGER else arm
        rate = min(RATES, key=lambda rate: errors[name, searched, rate])
        return {"learning_rate": rate} | ({"n_epochs": 2 * CONFIG.n_epochs} if arm == LONGER else {})

    arms = {name: [*ARMS[name], LONGER, FILTER, "Optimum"] for name in ARMS}
    result["config"]["chosen"] = {name: {arm: chosen(name, arm) for arm in arms[name]} for name in ARMS}
    jobs = [(name, arm, chosen(name, arm), draw, seed) for name in ARMS for arm in arms[name] for draw in SEEDS
            for seed in (NETWORKS if arm == "LSTM" else NETWORKS[:1])]
    made = {(name, arm, draw, seed): predicted for (name, arm, _, draw, seed), predicted
            in zip(jobs, units.in_parallel(test_one, jobs))}
    for name in ARMS:
        scores = []
        for draw in SEEDS:
            future = replace(WORLDS[name], n_users=USERS, seed=draw).sample(draw).split_by_time()[2]
            scores.append({arm: rmse(made[name, arm, draw, 0], future) for arm in arms[name]} | {
                AVERAGED: rmse(np.mean([made[name, "LSTM", draw, seed] for seed in NETWORKS], axis=0), future)})
        by_arm = {arm: np.array(values) for arm, values in collect(scores).items()}
        result["rows"] += [mean_row(f"{name} · {arm}", "rmse", values) for arm, values in by_arm.items()]
        for arm in by_arm:
            result["paired"] += [difference_row(f"{name} · {arm}", f"{name} · {other}", "rmse",
                                                by_arm[arm] - by_arm[other])
                                 for other in ("LSTM", FILTER) if arm not in (other, FILTER, "Optimum")]
    units.write()
