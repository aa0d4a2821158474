"""Mutation tests: each fault of the bug zoo, planted, turns its test of the suite red, and is gone afterwards."""

import importlib.util
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_gru4rec import float64, sessions
from test_metrics import random_data

from recommender_contract import chains
from rnnbook import gru4rec, metrics, results
from rnnbook.benchmarks.bugs import MODELS, RIGHT
from rnnbook.bugs import BUGS, planted
from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig, fit
from rnnbook.worlds import SessionWorld

__all__ = ["float64", "random_data"]  # fixtures

TESTS = Path(__file__).parent
DENSE = "torch.testing.assert_close(ours, theirs"
# What the test that a fault must turn red is called with (a fixture's name for its value), and the line that fails.
CALLS = {
    "late-reset": ((None, {}), DENSE),
    "kept-mask": ((None, {}), DENSE),
    "never-reset": ((None, {}), DENSE),
    "no-reset-in-evaluation": (("model", "test"), "assert_allclose(alone, together"),
    "lost-state": ((None, {}), DENSE),
    "sigma-for-log-sigma": (("bpr", False), "assert values[row].item() == pytest.approx(value"),
    "log-of-batch-mean": ((None, {"loss": "bpr-max"}), DENSE),
    "target-among-negatives": ((None, {"loss": "bpr-max"}), DENSE),
    "softmax-twice": (("cross-entropy", False), "assert values[row].item() == pytest.approx(value"),
    "tied-tables": ((), "assert (model.input != start.input)"),
    "dropout-nowhere": ((0.7,), "assert (h == 0)"),
    "keep-for-drop": ((0.7,), "assert (h == 0)"),
    "full-accumulator": ((None, {}), DENSE),
    "ties-for-the-model": (("conservative", [1, 4, 4, 4]), "assert result.tolist() == expected"),
    "rank-below-k": ((), 'assert earned["recall"].tolist() == [1, 1, 0, 1]'),
    "first-lane-ends-it": (("random_data",), "assert (other.recall, other.mrr, other.ndcg)"),
    "mean-of-means": (("random_data",), "assert (other.recall, other.mrr, other.ndcg)"),
    "hundred-negatives": (("random_data",), "assert (result.recall, result.mrr, result.ndcg) == pytest.approx"),
    "whole-history": ((), "assert result.recall == pytest.approx(2 / 3)"),
}


def run(test, arguments):
    """Run ``file.py::test`` from a fresh import of its file, so that names it imports are those of this moment.

    Returns the line of the tests at which it fails; None if it passes.
    """
    file, *names = test.split("::")
    spec = importlib.util.spec_from_file_location(f"fresh_{Path(file).stem}", TESTS / file)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    for name in names:
        found = getattr(found() if isinstance(found, type) else found, name)
    if "model" in arguments:
        data = chains(60, seed=1)
        arguments = found.__self__.fit(chains(180, seed=0)), data
    try:
        found(*arguments)
    except AssertionError:
        frames = traceback.extract_tb(sys.exc_info()[2])
        return [frame.line for frame in frames if Path(frame.filename).parent == TESTS][-1]


def arguments(name, request):
    return tuple(request.getfixturevalue(a) if a == "random_data" else a for a in CALLS[name][0])


@pytest.mark.claim("bug-zoo")
@pytest.mark.parametrize("name", BUGS)
def test_the_suite_catches_it(name, request, float64):
    given, line = arguments(name, request), CALLS[name][1]
    assert run(BUGS[name].caught_by, given) is None
    with planted(name):
        failed = run(BUGS[name].caught_by, given)
    assert failed is not None, f"{name} goes unnoticed by {BUGS[name].caught_by}"
    assert line in failed


# --- What is planted comes out again ----------------------------------------------------------------------


def held(name):
    """What stands where the fault of that name goes."""
    holder, key = BUGS[name].place
    return holder[key] if isinstance(holder, dict) else vars(holder)[key]


@pytest.mark.parametrize("name", BUGS)
def test_a_fault_is_gone_after_the_block_and_after_an_exception(name):
    right = held(name)
    with planted(name):
        assert held(name) is not right
    assert held(name) is right
    with pytest.raises(KeyError), planted(name):
        raise KeyError
    assert held(name) is right


def test_unknown_faults_are_named():
    message = "no bug 'late_reset' in the zoo; its bugs are late-reset, "
    with pytest.raises(ValueError, match=message), planted("late_reset"):
        pass


# --- The faults are what they say -------------------------------------------------------------------------

# In two lanes: 0 1 2 3 4 in the one, 5 6 and 7 8 9 and 10 11 in the other.
LANES = [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9], [10, 11]]


def resets(name=None):
    """The reset masks of the steps of `LANES` side by side in two lanes, right or under a fault."""
    schedule = gru4rec.session_parallel(sessions(LANES).offsets, 2)
    steps = gru4rec.Schedule.steps if name is None else BUGS[name].wrong(gru4rec.Schedule.steps)
    return [reset.int().tolist() for _, reset, _ in steps(schedule, "cpu")]


def test_masks_are_late_or_kept():
    assert resets() == [[1, 1], [0, 1], [0, 0], [0, 1]]
    assert resets("late-reset") == [[0, 0], [1, 1], [0, 1], [0, 0]]
    assert resets("kept-mask") == [[0, 0], [0, 1], [0, 1], [0, 1]]


def test_each_way_of_counting_weighs_the_same_ranks():
    """Of all predictions one is a hit; how much it counts is the fault."""
    class OneHit:
        def __init__(self, item_ids, position):
            self.item_ids, self.position = item_ids, position

        def score_sessions(self, data, batch_size=512):
            positions = torch.from_numpy(metrics.target_positions(data)[0])
            scores = torch.zeros(len(positions), data.n_items)
            scores[positions == self.position, data.items[self.position]] = 1
            yield positions, scores

    data = sessions(LANES)

    def recall(position, name=None):
        model = OneHit(data.item_ids, position)
        if name is None:
            return metrics.evaluate_sessions(model, data, k=1, batch_size=2).recall
        with planted(name):
            return metrics.evaluate_sessions(model, data, k=1, batch_size=2).recall

    # Lane 1 scores 1 2 3 4, lane 2 scores 6, 8 9, 11: eight predictions in four full steps.
    assert recall(1) == recall(11) == 1 / 8
    assert recall(1, "whole-history") == 4 / 15 and recall(4, "whole-history") == 1 / 15  # 4 + 3 + 2 + 1, 1, 2 + 1, 1
    data = sessions([*LANES, [12, 13, 14]])  # two more, alone in the last steps: 13 and 14
    assert recall(13) == 1 / 10
    assert recall(13, "first-lane-ends-it") == 0 and recall(1, "first-lane-ends-it") == 1 / 8
    assert recall(13, "mean-of-means") == 1 / 6 and recall(1, "mean-of-means") == pytest.approx(1 / 12)


def test_optimists_are_right_about_everything():
    scores, targets = torch.zeros(3, 500), torch.tensor([4, 5, 6])
    with planted("ties-for-the-model"):
        assert metrics.ranks(scores, targets).tolist() == [1, 1, 1]
    assert metrics.ranks(scores, targets).tolist() == [500, 500, 500]


def test_among_a_hundred_a_rank_shrinks_to_its_share():
    scores = -torch.arange(2000.0).expand(200, -1)
    with planted("hundred-negatives"):
        ranks = metrics.ranks(scores, torch.full((200,), 999))
    assert ranks.mean().item() == pytest.approx(51, abs=1.5) and ranks.max() <= 101


def test_a_dead_logarithm_of_the_batch():
    """One row without hope among good ones: the right loss pulls at it, the log of the mean hardly does."""
    scores = torch.zeros(20, 21).fill_diagonal_(6.0)
    scores[0, 0] = -6.0
    negative = torch.ones(20, 21, dtype=torch.bool).fill_diagonal_(False)
    pull = {}
    for name in ("right", "log-of-batch-mean"):
        loss = gru4rec.bpr_max if name == "right" else BUGS[name].wrong(gru4rec.bpr_max)
        leaf = scores.clone().requires_grad_()
        loss(leaf, negative, 0.0).sum().backward()
        pull[name] = -leaf.grad[0, 0].item()
    assert pull["right"] > 0.9 and pull["log-of-batch-mean"] < 0.01


# --- What the result files show ---------------------------------------------------------------------------

EXPERIMENTS = ["bugs-world", "bugs-yoochoose-100k"]


def reported(experiment, name):
    """Recall@20 as a fault's owner would have reported it, by its row, and the same of the right GRU4Rec."""
    rows = results.rows(experiment, "recall@20")
    return rows[f"{name}, as reported"], rows["GRU4Rec"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_fault_is_measured(experiment):
    """Reported for each; served by right code for those that act in training, and only for them."""
    rows, trained = results.rows(experiment, "recall@20"), {n for n, bug in BUGS.items() if bug.acts != "evaluation"}
    assert {f"{name}, as reported" for name in BUGS} <= rows.keys()
    assert trained == rows.keys() & BUGS.keys() == results.load(experiment)["losses"].keys() & BUGS.keys()
    for name in trained:
        if BUGS[name].acts == "training":
            assert rows[name]["values"] == rows[f"{name}, as reported"]["values"]


@pytest.mark.claim("zoo-lost-state")
def test_the_world_shows_the_lost_state_and_the_clicks_hide_it():
    faulty, right = reported("bugs-world", "lost-state")
    ceiling = results.rows("bugs-world", "recall@20")["Last-item ceiling"]
    assert max(faulty["values"]) < 0.8 * min(right["values"])
    assert all(ours < best for ours, best in zip(faulty["values"], ceiling["values"], strict=True))
    faulty, right = reported("bugs-yoochoose-100k", "lost-state")
    assert faulty["mean"] > 0.98 * right["mean"]


@pytest.mark.claim("zoo-above-the-optimum")
def test_a_hundred_negatives_beat_the_optimum():
    faulty, right = reported("bugs-world", "hundred-negatives")
    optimum = results.rows("bugs-world", "recall@20")["Bayes optimum"]
    assert min(faulty["values"]) > max(optimum["values"]) > max(right["values"])


@pytest.mark.claim("zoo-the-loss-falls")
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_under_every_fault_but_one_the_loss_falls(experiment):
    losses = results.load(experiment)["losses"]
    assert all(abs(run[-1] / run[0] - 1) < 1e-4 for run in losses.pop("softmax-twice"))
    for name, runs in losses.items():
        assert all(run[-1] < run[0] for run in runs), name


# --- The same now, in small -------------------------------------------------------------------------------

SMALL = GRU4RecConfig(hidden_size=32, embedding_size=32, batch_size=32, n_sample=128, hidden_dropout=0.0, n_epochs=2)


@pytest.fixture(scope="module")
def small():
    """A world, training and test sessions of it, and a GRU4Rec with and without training."""
    world = SessionWorld()
    train, test = world.sample(2000, seed=100), world.sample(300, seed=2)
    return world, train, test, fit(train, SMALL, device="cpu", progress=False), GRU4Rec(train.item_ids, SMALL)


def recall(model, test):
    return metrics.evaluate_sessions(model, test, batch_size=50, n_boot=1).recall


@pytest.mark.twin("zoo-lost-state")
def test_a_small_world_shows_the_lost_state(small):
    world, train, test, right, untrained = small
    with planted("lost-state"):
        faulty, never_trained = recall(fit(train, SMALL, device="cpu", progress=False), test), recall(untrained, test)

    def holds(faulty, right):
        return faulty < 0.85 * right and faulty < recall(world.last_item(), test)

    assert holds(faulty, recall(right, test)) and not holds(never_trained, recall(untrained, test))


@pytest.mark.twin("zoo-above-the-optimum")
def test_in_a_small_world_too_a_hundred_negatives_beat_the_optimum(small):
    world, _, test, right, untrained = small
    optimum = recall(world.bayes(), test)
    assert recall(right, test) < optimum
    with planted("hundred-negatives"):
        assert recall(right, test) > optimum > recall(untrained, test)


@pytest.mark.twin("zoo-the-loss-falls")
@pytest.mark.parametrize("name", [name for name, bug in BUGS.items() if bug.acts != "evaluation"])
def test_the_loss_of_a_small_run_falls_under_every_fault_but_one(small, name):
    config = replace(SMALL, n_sample=32, hidden_dropout=0.1, **MODELS[RIGHT.get(name, "GRU4Rec")])
    with planted(name):
        history = fit(small[1].take(range(600)), config, device="cpu", progress=False).history
    first, last = history[0]["loss"], history[-1]["loss"]
    assert len(history) == 2 and np.isfinite(last)
    if name == "softmax-twice":
        assert abs(last / first - 1) < 1e-3
    else:
        assert last < first - 0.005 * abs(first)  # untrained it stays where it is
