"""What GRU4Rec's state knows of the hidden mood, by a linear probe, and what happens if the state is moved along it.

``python -m rnnbook reproduce gru4rec-belief``
"""

from dataclasses import asdict

import numpy as np
import torch

from rnnbook import results
from rnnbook.benchmarks.rows import difference_row, mean_row
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig, fit
from rnnbook.probes import LinearProbe, beliefs, histories, r_squared
from rnnbook.worlds import SessionWorld

SEEDS = range(5)
N_TRAIN, N_PROBE, N_TEST = 40_000, 4_000, 2_000  # sessions to train the networks, to fit the probes, and to judge both
CONFIG = GRU4RecConfig(hidden_size=64, batch_size=256, hidden_dropout=0.0, n_sample=0, n_epochs=2)
WORLD, MOST = SessionWorld(), 8  # R² is also reported after 1, 2, …, 8 clicks


def divergence(world, belief, scores):
    """The mean KL divergence, in nats, from the optimum's prediction with this belief to the softmax of scores."""
    best = belief @ world.emission
    log_p = torch.from_numpy(scores).log_softmax(1).numpy()
    return float((best * (np.log(best) - log_p)).sum(1).mean())


def one_seed(seed):
    """({arm: R² of all predictions, then after 1, 2, … clicks}, {arm: divergence})"""
    fitted, test = WORLD.sample(N_PROBE, 1000 + seed), WORLD.sample(N_TEST, 2000 + seed)
    beliefs_fitted, beliefs_test = beliefs(WORLD, fitted), beliefs(WORLD, test)
    clicks = np.array([len(history) for history in histories(test)])
    rng = np.random.default_rng(seed)

    def trained(world):
        return fit(world.sample(N_TRAIN, 100 + seed), CONFIG, device="cpu", seed=seed, progress=False)

    def states(model, sessions):
        with torch.no_grad():
            return model.states_after(histories(sessions))[-1].double().numpy()

    def explained(predicted, actual=beliefs_test):
        return [r_squared(predicted, actual), *(r_squared(predicted[clicks == n], actual[clicks == n])
                                                for n in range(1, MOST + 1))]

    torch.manual_seed(seed)
    untrained = GRU4Rec(WORLD.item_ids, CONFIG)
    networks = {"GRU4Rec": trained(WORLD), "GRU4Rec of the first-order world": trained(WORLD.markov_control()),
                "GRU4Rec, untrained": untrained}
    by_last = (WORLD.emission / WORLD.emission.sum(0)).T @ WORLD.transition
    r2 = {"last click": explained(by_last[[history[-1] for history in histories(test)]])}
    for name, model in networks.items():
        probe = LinearProbe(states(model, fitted), beliefs_fitted)
        r2[name] = explained(probe.read(states(model, test)))
    of_others = LinearProbe(states(networks["GRU4Rec"], fitted), rng.permutation(beliefs_fitted))
    r2["GRU4Rec, beliefs of others"] = explained(of_others.read(states(networks["GRU4Rec"], test)),
                                                 rng.permutation(beliefs_test))

    model = networks["GRU4Rec"]
    probe, h = LinearProbe(states(model, fitted), beliefs_fitted), states(model, test)
    other = rng.permutation(len(h))
    change = beliefs_test[other] - beliefs_test
    along = probe.move(h, change)
    random = rng.standard_normal(h.shape)
    random *= np.linalg.norm(along - h, axis=1, keepdims=True) / np.linalg.norm(random, axis=1, keepdims=True)
    table, bias = model.output.detach().double().numpy(), model.bias.detach().double().numpy()
    moved = {"not moved": h, "moved along the probe": along, "moved as far at random": h + random,
             "the state of the other": h[other]}
    kl = {name: divergence(WORLD, beliefs_test[other], state @ table.T + bias) for name, state in moved.items()}
    return r2, kl


def main(experiment):
    """R² of the probe against its controls, and how far the moved network is from the optimum of the moved belief."""
    data = results.describe(WORLD.sample(N_TRAIN, 100), WORLD.sample(N_TEST, 2000))
    result = results.new_result(experiment, data, {
        "seeds": list(SEEDS), "world": asdict(WORLD), "model": asdict(CONFIG), "probe_sessions": N_PROBE,
        "intervals": "t over seeds, each with its own training, probe and test sessions"})
    units = Units(result)
    found = units.in_parallel(one_seed, list(SEEDS))
    for arm in found[0][0]:
        values = np.array([r2[arm] for r2, _ in found])
        result["rows"].append(mean_row(arm, "r2", values[:, 0]))
        result["rows"] += [mean_row(f"{arm} · {n} clicks", "r2", values[:, n]) for n in range(1, MOST + 1)]
    for arm in found[0][1]:
        result["rows"].append(mean_row(arm, "kl", [kl[arm] for _, kl in found]))
    for a, b, metric, values in (("GRU4Rec", "last click", "r2", [r2 for r2, _ in found]),
                                 ("GRU4Rec of the first-order world", "last click", "r2", [r2 for r2, _ in found]),
                                 ("moved along the probe", "not moved", "kl", [kl for _, kl in found]),
                                 ("moved along the probe", "moved as far at random", "kl", [kl for _, kl in found])):
        differences = [np.ravel(v[a])[0] - np.ravel(v[b])[0] for v in values]
        result["paired"].append(difference_row(a, b, metric, differences))
    units.write()
