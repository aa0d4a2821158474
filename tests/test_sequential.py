"""Does a log look sequential? On worlds of which the answer is known, it finds what there is and nothing else."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from rnnbook import cli, metrics, results
from rnnbook.interactions.errors import DataError
from rnnbook.sequential import LOST, WAYS, Reordered, sequentiality
from rnnbook.worlds import LongMemoryWorld, SessionWorld

WORLD = SessionWorld(n_items=100, stay=0.6)


class Reading:
    """Scores that spell out the history: item i has the place of its last click, from 1 on."""

    item_ids = np.arange(6)

    def scorer(self, histories):
        rows = torch.zeros(len(histories), 6)
        for row, history in zip(rows, histories):
            for place, item in enumerate(history.tolist(), start=1):
                row[item] = place
        return lambda rows_asked, items: rows[rows_asked][:, items]


@pytest.mark.parametrize("way", list(WAYS))
def test_each_way_keeps_what_it_says(way):
    history, rng = np.array([3, 1, 4, 1, 5]), np.random.default_rng(0)
    seen = {tuple(WAYS[way](history.copy(), rng).tolist()) for _ in range(400)}
    assert history.tolist() == [3, 1, 4, 1, 5]
    assert len(seen) == dict(zip(WAYS, (1, 12, 60, 24)))[way]  # the orders of two 1s, a 3 and a 4, and so on
    if way == "all but the last click shuffled":
        assert all(each[-1] == 5 for each in seen)
    kept = {1, 3, 4, 5} if way == "shuffled, without repeats" else None
    assert all(sorted(each) == (sorted(kept) if kept else [1, 1, 3, 4, 5]) for each in seen)


def test_the_targets_and_the_sessions_stay_what_they_are():
    data = SessionWorld(n_states=2, n_items=6, states_per_item=1).sample(30)
    found = {}
    for positions, scores in Reordered(Reading(), WAYS["in order"]).score_sessions(data, batch_size=7):
        found |= dict(zip(positions.tolist(), scores))
    targets, sessions = metrics.target_positions(data)
    assert sorted(found) == targets.tolist()
    for position, session in zip(targets, sessions):
        history = data.items[data.offsets[session]:position].tolist()
        assert found[position].tolist() == [len(history) - history[::-1].index(i) if i in history else 0
                                            for i in range(6)]


# --- What the page says, from the result file ------------------------------------------------------------


def rows_of(world, metric="recall@20"):
    """The rows of the first of LOST, the order of the clicks before the last, by the number of sessions."""
    sizes = results.load("sequential")["config"]["sizes"]
    rows = results.rows("sequential", f"found in {metric}")
    return {n: rows[f"{world} · N={n} · {LOST[0]}"] for n in sizes}


@pytest.mark.claim("order-is-found-where-it-is")
def test_order_is_found_where_it_is_and_nowhere_else():
    for metric in ("recall@20", "mrr@20"):
        for world in ("one mood a session", "first order"):
            assert all(row["mean"] <= 0.1 and len(row["values"]) == 10 for row in rows_of(world, metric).values())
        for world in ("moods that move", "three clicks ago"):
            assert rows_of(world, metric)[10_000]["mean"] == 1


@pytest.mark.claim("the-last-click-has-most-of-the-order")
def test_which_click_is_the_last_is_worth_most_of_the_order():
    found, ways = results.load("sequential"), list(WAYS)
    for log in found["config"]["logs"]:
        worth = {(row["a"].split(" · ")[1], row["b"].split(" · ")[1]): row for row in found["paired"]
                 if row["metric"] == "recall@20" and row["a"].startswith(log)}
        earlier, last, repeats = (worth[pair] for pair in pairwise(ways))
        assert last["low"] > 0 and earlier["low"] < 0 < earlier["high"]
        if log == "yoochoose-100k":
            assert last["low"] > 5 * earlier["high"]
        assert repeats["low"] < 0.005 and repeats["high"] > -0.005


# --- Live, on worlds -------------------------------------------------------------------------------------


def found(log):
    return dict(sequentiality(log, device="cpu", progress=False).losses())


@pytest.fixture(scope="module")
def moods():
    return found(WORLD.sample(6000, 1))


@pytest.mark.twin("order-is-found-where-it-is")
def test_where_the_mood_moves_the_order_matters_twice(moods):
    for what in LOST[:2]:
        assert moods[what][1] > 0, (what, moods)


def test_where_only_the_last_click_counts_it_is_not_called_order():
    first_order = found(WORLD.markov_control().sample(6000, 1))
    difference, low, high = first_order[LOST[0]]
    assert low < 0.002 and abs(difference) < 0.008, first_order
    assert first_order[LOST[1]][1] > 0.05


@pytest.mark.twin("order-is-found-where-it-is")
def test_where_the_mood_stays_there_is_no_order():
    """Clicks of one mood are exchangeable: any order of them is equally likely."""
    still = found(replace(WORLD, stay=1.0).sample(6000, 1))
    for what in LOST[:2]:
        assert abs(still[what][0]) < 0.008 and still[what][1] < 0.002, (what, still)


def test_a_long_memory_is_order_beyond_the_last_click():
    memory = found(LongMemoryWorld(lag=3, n_items=40, length=12).sample(2500, 1))
    assert memory[LOST[0]][1] > 0.05, memory


def test_too_small_a_log_is_refused():
    for n, said in ((12, "12 sessions of two clicks or more"), (1, "1 session of two clicks or more")):
        with pytest.raises(DataError, match=f"{said}; it takes 20 to learn and to judge. Load more .* --session NAME"):
            sequentiality(WORLD.sample(n), progress=False)


def test_the_command_says_it_in_words(tmp_path, capsys):
    WORLD.sample(300).to_frame().to_csv(tmp_path / "clicks.csv", index=False)
    cli.main(["sequential", str(tmp_path / "clicks.csv"), "--device", "cpu"])
    said = capsys.readouterr().out
    assert said.startswith("clicks.csv: a GRU predicts") and "Recall@20" in said and "MRR@20" in said
    assert "the order of the clicks before the last: " in said and "-" not in said.replace("last-", "")
    assert all(way in said for way in WAYS) and all(what in said for what in LOST)
