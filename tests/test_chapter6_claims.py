"""What chapter 6 claims beyond `test_after.py`: what its result files show, and small live twins of it."""

from dataclasses import replace

import pytest

from rnnbook import metrics, results
from rnnbook.after import MODELS, fit
from rnnbook.worlds import LongMemoryWorld

NAME = "after-worlds"
FAR, NEAR, COUNTED = "80 back · N=1000", "5 back · N=2000", "3 back of those that count · N=2000"


def closed(task, arm):
    """The share of the gap that an arm closes, as a row."""
    return results.rows(NAME, "gap_closed")[f"{task} · {arm}"]


def against_the_gru(task, arm):
    return next(row for row in results.load(NAME)["paired"] if (row["a"], row["b"]) == (
        f"{task} · {arm}", f"{task} · GRU"))


def trained(arm, world, n, n_epochs=6, **settings):
    """The share of the gap that a small network closes on fresh sessions, in Recall@1; nothing is known at 0."""
    config = replace(MODELS[arm], **{"hidden_size": 32, "n_blocks": 1, "dropout": 0.0, "batch_size": 256,
                                     "max_length": world.length, "learning_rate": 8e-3} | settings)
    model = fit(world.sample(n, seed=1), replace(config, n_epochs=n_epochs), device="cpu", seed=0, progress=False)
    test = world.sample(200, seed=2)
    return metrics.evaluate_sessions(model, test, k=1, n_boot=1).recall / world.oracle(test, k=1).recall


@pytest.mark.claim("attention-reaches-far")
def test_attention_finds_the_click_80_steps_back_and_no_recurrence_of_the_frame_does():
    assert closed(FAR, "SASRec")["low"] > 0.9
    for arm in ("GRU", "minGRU", "LRU"):
        assert closed(FAR, arm)["high"] < 0.1


@pytest.mark.claim("gates-choose")
def test_the_order_turns_round_where_what_counts_is_a_matter_of_content():
    for arm in ("SASRec", "LRU"):
        assert against_the_gru(NEAR, arm)["low"] > 0
        assert against_the_gru(COUNTED, arm)["high"] < 0


@pytest.mark.twin("attention-reaches-far")
def test_attention_finds_the_click_ten_steps_back_and_no_gate_does():
    world = LongMemoryWorld(lag=10, n_items=20, length=20)
    assert trained("SASRec", world, 600) > 0.9
    assert max(trained(arm, world, 600) for arm in ("GRU", "minGRU")) < 0.4


@pytest.mark.twin("gates-choose")
def test_gates_find_the_second_click_back_of_those_that_count():
    world = LongMemoryWorld(lag=2, n_items=20, length=20, distraction=0.5)
    assert min(trained(arm, world, 1000) for arm in ("GRU", "minGRU")) > 0.9
    assert max(trained(arm, world, 1000) for arm in ("SASRec", "LRU")) < 0.85


def test_without_training_nothing_is_found():
    """The bars above would notice: an untrained network is at the share of a guess, one in twenty."""
    for world in (LongMemoryWorld(lag=10, n_items=20, length=20),
                  LongMemoryWorld(lag=2, n_items=20, length=20, distraction=0.5)):
        for arm in MODELS:
            assert trained(arm, world, 600, n_epochs=1, learning_rate=1e-9) < 0.3
