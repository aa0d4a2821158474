"""Probes against formulas of their own, without a look ahead; what the state believes, with live twins."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rnnbook import results
from rnnbook.benchmarks.gru4rec_belief import divergence
from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig, fit
from rnnbook.probes import LinearProbe, beliefs, histories, r_squared
from rnnbook.worlds import SessionWorld

WORLD = SessionWorld(n_states=6, n_items=40, states_per_item=2, noise=0.05)


def test_beliefs_are_sums_over_all_paths_of_moods():
    sessions, found = WORLD.sample(30, seed=3), []
    for history in histories(sessions):
        weight = WORLD.start
        for item in history:  # P(clicks so far, mood of the next one), unnormalised
            weight = (weight * WORLD.emission[:, item]) @ WORLD.transition
        found.append(weight / weight.sum())
    assert len(found) == sessions.n_events - sessions.n_sessions
    np.testing.assert_allclose(beliefs(WORLD, sessions), found, rtol=0, atol=1e-14)


def test_a_later_click_moves_no_earlier_belief():
    sessions = WORLD.sample(5, seed=1)
    changed = replace(sessions, items=sessions.items.copy())
    last = sessions.offsets[1] - 1  # of the first session: it is only predicted
    changed.items[last] = (changed.items[last] + 1) % 40
    np.testing.assert_array_equal(beliefs(WORLD, changed), beliefs(WORLD, sessions))
    changed.items[last - 1] = (changed.items[last - 1] + 1) % 40
    rows = (beliefs(WORLD, changed) != beliefs(WORLD, sessions)).any(1).nonzero()[0]
    assert rows.tolist() == [sessions.lengths[0] - 2]


def test_a_probe_solves_the_normal_equations_and_a_move_is_the_smallest():
    rng = np.random.default_rng(0)
    states, targets = rng.normal(size=(200, 10)), rng.dirichlet(np.ones(4), size=200)
    probe = LinearProbe(states, targets)
    centred = states - states.mean(0)
    weight = np.linalg.solve(centred.T @ centred, centred.T @ (targets - targets.mean(0)))
    np.testing.assert_allclose(probe.weight, weight, rtol=0, atol=1e-14)
    np.testing.assert_allclose(probe.bias, targets.mean(0) - states.mean(0) @ weight, rtol=0, atol=1e-14)
    error = ((targets - probe.read(states))**2).sum()
    assert r_squared(probe.read(states), targets) == pytest.approx(
        1 - error / (200 * targets.var(axis=0).sum()), abs=1e-14)
    change = targets[::-1] - targets  # sums to 0, as all changes of a belief
    moved = probe.move(states, change)
    np.testing.assert_allclose(probe.read(moved) - probe.read(states), change, rtol=0, atol=1e-13)
    # The smallest move has no part that the probe cannot see.
    unseen = np.linalg.svd(weight.T)[2][3:]
    np.testing.assert_allclose((moved - states) @ unseen.T, 0, atol=1e-13)


# --- What the state believes --------------------------------------------------------------------------------


@pytest.mark.claim("state-holds-the-belief")
def test_the_state_holds_the_belief_and_that_of_the_controls_does_not():
    r2 = results.rows("gru4rec-belief", "r2")
    assert r2["GRU4Rec"]["low"] > 0.8 and r2["GRU4Rec, untrained"]["high"] < 0.25
    more = next(row for row in results.load("gru4rec-belief")["paired"]
                if row["a"] == "GRU4Rec of the first-order world")
    assert more["b"] == "last click" and -0.01 < more["low"] < more["high"] < 0.01
    assert abs(r2["GRU4Rec, beliefs of others"]["mean"]) < 0.01
    # What the figure and its text say
    assert 1 / 3 < r2["last click"]["mean"] < 0.4
    assert all(abs(r2[f"GRU4Rec of the first-order world · {n} clicks"]["mean"]
                   - r2[f"last click · {n} clicks"]["mean"]) < 0.015 for n in range(2, 9))
    assert [round(r2[f"GRU4Rec · {n} clicks"]["mean"], 2) for n in (1, 2, 8)] == [0.83, 0.72, 0.9]
    assert round(r2["GRU4Rec of the first-order world · 1 clicks"]["mean"], 1) == 0.9
    assert all(abs(r2[f"GRU4Rec, untrained · {n} clicks"]["mean"] - 0.15) < 0.01 for n in range(2, 9))


@pytest.mark.claim("belief-is-used")
def test_a_moved_state_predicts_for_the_moved_belief():
    kl = results.rows("gru4rec-belief", "kl")
    assert kl["moved along the probe"]["high"] < 0.5
    assert min(kl["not moved"]["low"], kl["moved as far at random"]["low"]) > 2
    assert kl["the state of the other"]["high"] < kl["moved along the probe"]["low"]  # the move is not the whole way


@pytest.fixture(scope="module")
def small():
    """World, networks by name, and their probes, in a world that a network learns in seconds."""
    world = SessionWorld(n_states=6, n_items=40, states_per_item=2, mean_length=6.0)
    config = GRU4RecConfig(hidden_size=32, batch_size=64, n_sample=0, hidden_dropout=0.0, n_epochs=2)
    torch.manual_seed(0)
    networks = {name: fit(w.sample(6000, seed=1), config, device="cpu", progress=False)
                for name, w in (("trained", world), ("control", world.markov_control()))}
    networks["untrained"] = GRU4Rec(world.item_ids, config)
    asked = world.sample(1500, seed=2)
    return world, {name: (model, LinearProbe(states(model, asked), beliefs(world, asked)))
                   for name, model in networks.items()}


def states(model, sessions):
    with torch.no_grad():
        return model.states_after(histories(sessions))[-1].double().numpy()


@pytest.mark.twin("state-holds-the-belief")
def test_a_small_networks_state_holds_the_belief(small):
    world, networks = small
    test = world.sample(800, seed=3)
    truth, last = beliefs(world, test), (world.emission / world.emission.sum(0)).T @ world.transition
    r2 = {name: r_squared(probe.read(states(model, test)), truth) for name, (model, probe) in networks.items()}
    of_last = r_squared(last[[history[-1] for history in histories(test)]], truth)
    assert r2["trained"] > of_last + 0.25 and r2["untrained"] < of_last
    assert r2["control"] - of_last < 0.4 * (r2["trained"] - of_last)


@pytest.mark.twin("belief-is-used")
@pytest.mark.parametrize("name,used", [("trained", True), ("control", False)])
def test_a_small_network_predicts_from_the_belief(small, name, used):
    world, networks = small
    model, probe = networks[name]
    test = world.sample(800, seed=3)
    h, belief = states(model, test), beliefs(world, test)
    rng = np.random.default_rng(0)
    other = rng.permutation(len(h))
    moved = probe.move(h, belief[other] - belief)
    random = rng.standard_normal(h.shape)
    random *= np.linalg.norm(moved - h, axis=1, keepdims=True) / np.linalg.norm(random, axis=1, keepdims=True)

    def nats(state):
        with torch.no_grad():
            return divergence(world, belief[other], model._score(torch.from_numpy(state).float()).double().numpy())

    assert nats(moved) < 0.5 * nats(h) and nats(moved) < 0.5 * nats(h + random) if used else nats(moved) > 0.5 * nats(h)
