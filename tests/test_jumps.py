"""The world of jumping tastes: its optimum against the enumeration of all jumps, and against the best linear filter."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from rnnbook import metrics
from rnnbook.interactions import DAY
from rnnbook.worlds import JumpWorld, RatingWorld
from rnnbook.worlds.ratings import START

WORLD = JumpWorld(n_users=3, n_items=4, dim=2, n_steps=7, rho=0.8, noise=0.6)


def by_enumeration(world, data, user, item, step):
    """Mean and variance of a rating given a user's earlier ones: a sum over all patterns of jumps at every step."""
    mine = (data.users == user) & (world.steps(data.times) < step)
    steps, items = world.steps(data.times)[mine], data.items[mine]
    r = data.ratings[mine] - world.mean(items, steps)
    design, asked = world.factors[items], world.factors[item]
    first = steps.min(initial=step)
    weights, means, squares = [], [], []
    for jumps in product([False, True], repeat=step - first):
        piece = np.concatenate([[0], np.cumsum(jumps)])  # which taste holds at each step from the first on
        of_rating, now = piece[steps - first], piece[-1]
        same = of_rating[:, None] == of_rating
        covariance = (design @ design.T) * same + world.noise**2 * np.eye(len(r))
        with_asked = (design @ asked) * (of_rating == now)
        inverse = np.linalg.inv(covariance)
        mean = with_asked @ inverse @ r
        variance = asked @ asked + world.noise**2 - with_asked @ inverse @ with_asked
        log = -(r @ inverse @ r + np.linalg.slogdet(covariance)[1]) / 2
        weights.append(np.prod(np.where(jumps, 1 - world.rho, world.rho)) * np.exp(log))
        means.append(mean)
        squares.append(variance + mean**2)
    weights = np.array(weights) / np.sum(weights)
    return world.mean(item, step) + weights @ means, weights @ squares - (weights @ means)**2


@pytest.mark.parametrize("changes", [{}, {"level_shift": 1.0, "season": 0.5, "n_items": 10}, {"rho": 0.2}], ids=str)
def test_the_optimum_is_the_sum_over_all_jumps(changes):
    world = replace(WORLD, **changes)
    data = world.sample(seed=1)
    kept = data.take(np.random.default_rng(0).random(data.n_ratings) < 0.7)  # gaps of several steps
    means, variances = world.best().follow_with_variance(kept)
    for k in range(kept.n_ratings):
        expected = by_enumeration(world, kept, kept.users[k], kept.items[k], int(world.steps(kept.times[k:k + 1])[0]))
        np.testing.assert_allclose((means[k], variances[k]), expected, rtol=0, atol=1e-12)


def test_predict_is_follow_and_unknown_users_get_the_prior():
    train, _, test = WORLD.sample(seed=2).split_by_time(0.6, 0.1, 0.3)
    model = WORLD.best().fit(train)
    first = test.take(slice(1))
    ids = first.user_ids[first.users], first.item_ids[first.items]
    assert model.predict(*ids, first.times) == pytest.approx(model.follow(first), rel=1e-12)
    assert model.predict(["nobody", "nobody"], ["item-0", "item-9"], [first.times[0]] * 2).tolist() == [0, 0]
    before = model.predict(ids[0], ids[1], [START - DAY])  # before any rating
    assert before.tolist() == [0]


def test_a_later_rating_moves_no_earlier_prediction():
    data = WORLD.sample(seed=3)
    place = 8
    changed = replace(data, ratings=np.where(np.arange(data.n_ratings) >= place, data.ratings + 5, data.ratings))
    before, after = WORLD.best().follow(data), WORLD.best().follow(changed)
    np.testing.assert_array_equal(before[:place + 1], after[:place + 1])
    assert (before[place + 1:] != after[place + 1:]).any()


def test_it_has_the_moments_of_the_drifting_world_and_another_law():
    jumping, drifting = (kind(n_users=20_000, n_steps=4, rho=0.7) for kind in (JumpWorld, RatingWorld))
    for world in (jumping, drifting):
        u = world.tastes()
        assert u.mean() == pytest.approx(0, abs=0.01) and u.var() == pytest.approx(1, abs=0.01)
        for lag in (1, 3):
            assert np.mean(u[lag:] * u[:-lag]) == pytest.approx(0.7**lag, abs=0.01)
    stays = (jumping.tastes()[1:] == jumping.tastes()[:-1]).all(2).mean()
    assert stays == pytest.approx(0.7, abs=0.01) and not (drifting.tastes()[1:] == drifting.tastes()[:-1]).any()


def test_the_optimum_is_below_the_best_linear_filter_which_is_below_a_static_one():
    world = JumpWorld(n_users=1000, rho=0.97)
    train, test = world.sample().split_by_time(0.9, 0.1)
    optimum = world.oracle(train, test)
    linear, static = (metrics.evaluate_ratings(model.fit(train), test, n_boot=1).rmse
                      for model in (world.kalman(), world.static()))
    assert optimum.rmse < linear - 0.03 < static - 0.1
    assert optimum.rmse == pytest.approx(optimum.expected_rmse, abs=0.02)  # it is as good as it says


def test_in_the_drifting_world_the_best_is_the_kalman_filter():
    assert type(RatingWorld().best()) is type(RatingWorld().kalman())
