"""The world with a long memory: its law in the sample, and its optimum against counting all sessions."""

from itertools import product

import numpy as np
import pytest

from recommender_contract import all_scores
from rnnbook import metrics
from rnnbook.interactions import SessionData
from rnnbook.worlds import LongMemoryWorld


@pytest.mark.parametrize("lag, n_items, distraction", [(1, 3, 0), (2, 3, 0), (3, 3, 0), (1, 4, 0.4), (2, 5, 0.4)])
def test_the_optimum_is_bayes_rule_over_all_sessions(lag, n_items, distraction):
    """P(next | history) from the probabilities of all sessions of four clicks on a few items."""
    world = LongMemoryWorld(lag=lag, n_items=n_items, length=4, faithful=0.7, distraction=distraction, seed=2)
    m = {3: 3, 4: 2, 5: 2}[n_items]  # the items that count

    def probability(clicks):
        p, counted = 1.0, []
        for click in clicks:
            if click >= m:
                p *= distraction / (n_items - m)
                continue
            follows = len(counted) >= lag and click == world.partner[counted[-lag]]
            p *= (1 - distraction) * (1 / m if len(counted) < lag else 0.7 * follows + 0.3 / m)
            counted.append(click)
        return p

    sessions = list(product(range(n_items), repeat=4))
    law = {clicks: probability(clicks) for clicks in sessions}
    assert sum(law.values()) == pytest.approx(1, abs=1e-12)
    n = len(sessions)
    data = SessionData(items=np.concatenate(sessions), offsets=np.arange(0, 4 * n + 1, 4), times=np.arange(4.0 * n),
                       item_ids=world.item_ids, session_ids=np.arange(n), name="all")
    scores = all_scores(world.bayes(), data)
    for s, clicks in enumerate(sessions):
        for t in range(1, 4):
            same = {other: p for other, p in law.items() if other[:t] == clicks[:t]}
            wanted = [sum(p for other, p in same.items() if other[t] == i) / sum(same.values())
                      for i in range(n_items)]
            np.testing.assert_allclose(scores[4 * s + t], wanted, rtol=1e-12)


def test_the_sample_follows_the_law():
    world = LongMemoryWorld(lag=5, n_items=20, length=15, faithful=0.6)
    items = world.sample(20_000, seed=3).items.reshape(20_000, 15)
    followed = items[:, 5:] == world.partner[items[:, :-5]]
    assert abs(followed.mean() - (0.6 + 0.4 / 20)) < 0.004
    assert np.abs(np.bincount(items.ravel(), minlength=20) / items.size - 1 / 20).max() < 0.002
    for other in (1, 4, 6):  # another lag says nothing
        assert abs((items[:, other:] == world.partner[items[:, :-other]]).mean() - 1 / 20) < 0.004
    assert not np.array_equal(world.sample(5, seed=1).items, world.sample(5, seed=2).items)
    assert np.array_equal(world.sample(5, seed=1).items, world.sample(5, seed=1).items)


def test_clicks_that_do_not_count():
    world = LongMemoryWorld(lag=2, n_items=20, length=30, faithful=0.6, distraction=0.3)
    items = world.sample(5_000, seed=3).items.reshape(5_000, 30)
    assert abs((items >= 10).mean() - 0.3) < 0.005
    assert np.abs(np.bincount(items.ravel(), minlength=20) / items.size - world.popularity).max() < 0.002
    followed = [row[row < 10][2:] == world.partner[row[row < 10][:-2]] for row in items]
    assert abs(np.concatenate(followed).mean() - (0.6 + 0.4 / 10)) < 0.01


@pytest.mark.parametrize("lag", [1, 4])
def test_what_the_last_click_says(lag):
    world = LongMemoryWorld(lag=lag, n_items=40, length=20)
    data = world.sample(500)
    last, best = (metrics.evaluate_sessions(model, data, k=2).recall for model in (world.last_item(), world.bayes()))
    assert last == best if lag == 1 else last < 0.1 < best
    # Ties are conservative: of the items that are equally likely none is among the best two.
    assert best == pytest.approx((20 - lag) / 19 * (0.8 + 0.2 / 40), abs=0.01)


def test_what_the_last_click_says_when_it_may_not_count():
    """P(next | last), counted in a large sample, far from the beginning."""
    world = LongMemoryWorld(lag=1, n_items=6, length=40, faithful=0.7, distraction=0.5)
    items = world.sample(20_000, seed=4).items.reshape(-1, 40)[:, 20:]
    counts = np.zeros((6, 6))
    np.add.at(counts, (items[:, :-1].ravel(), items[:, 1:].ravel()), 1)
    np.testing.assert_allclose(counts / counts.sum(1, keepdims=True), world.next_given_last, atol=0.008)


@pytest.mark.parametrize("changes", [{"lag": 0}, {"n_items": 1}, {"length": 1}, {"faithful": 1.1},
                                     {"n_items": 3, "distraction": 0.1}])
def test_what_it_may_not_be_is_refused(changes):
    with pytest.raises(ValueError, match="need lag"):
        LongMemoryWorld(**changes)
    with pytest.raises(ValueError, match="distraction < 1"):
        LongMemoryWorld(distraction=1.0)
