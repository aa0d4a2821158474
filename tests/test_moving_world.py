"""The world of reviews whose qualities move: its filter against Kalman's and against integrals over two days."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from rnnbook.worlds import MovingReviewWorld, ReviewWorld
from rnnbook.worlds.reviews import WORDS

TINY = MovingReviewWorld(n_items=20, n_users=5, n=3, rho=0.8)


def kalman(ratings, world):
    """Mean and standard deviation of tomorrow's quality, from ratings alone."""
    mean, variance = 0.0, 1.0
    for rating in ratings:
        gain = variance / (variance + world.noise**2)
        mean, variance = mean + gain * (rating - mean), (1 - gain) * variance
        mean, variance = world.rho * mean, world.rho**2 * variance + 1 - world.rho**2
    return mean, np.sqrt(variance)


@pytest.mark.parametrize("world", [TINY, replace(TINY, rho=0.0), replace(TINY, rho=0.99, noise=0.4),
                                   replace(TINY, n=10, text_noise=0.2)])
def test_without_words_it_is_a_kalman_filter(world):
    ratings = np.random.default_rng(0).standard_normal((6, 4)) * 1.5
    mean, sd = world.posterior(ratings)
    expected = np.array([kalman(row, world) for row in ratings]).T
    np.testing.assert_allclose((mean, sd), expected, rtol=0, atol=1e-12)
    q = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(world.density(q, ratings), norm.pdf(q, *expected[:, :, None]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", ["quality", "independent", "rating"])
def test_two_days_with_words_against_an_integral_over_both(text):
    world, ratings, tokens = replace(TINY, text=text, noise=0.7), [1.2, -0.5], [14, 8]
    q = np.linspace(-7, 7, 1201)
    likelihood = [norm.pdf(rating, q, world.noise) for rating in ratings]
    if text == "quality":
        likelihood = [law * np.exp(world.log_words(q)[token]) for law, token in zip(likelihood, tokens)]
    moved = np.sqrt(1 - world.rho**2)
    both = (norm.pdf(q) * likelihood[0])[:, None] * norm.pdf(q, world.rho * q[:, None], moved) * likelihood[1]
    of_today = both.sum(0) / both.sum()  # tomorrow's quality, given today's q, has the distribution N(ρ q, 1 − ρ²)
    mean = of_today @ (world.rho * q)
    variance = of_today @ (world.rho * q)**2 + moved**2 - mean**2
    np.testing.assert_allclose(world.posterior(ratings, tokens), (mean, np.sqrt(variance)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", ["quality", "independent"])
def test_the_oracle_is_what_the_posteriors_score(text):
    world = replace(TINY, text=text)
    data = world.sample(seed=2)
    train, valid, test = world.split(data)
    tokens, ratings = world.tokens(data), data.ratings.ratings
    optimum = world.oracle(train, valid, test)
    errors, spreads, nats = {True: [], False: []}, [], []
    for i in range(data.n_ratings - test.n_ratings, data.n_ratings):
        past = np.flatnonzero(data.ratings.items[:60] == data.ratings.items[i])
        for with_text in errors:
            said = tokens[past] if with_text else None
            mean, sd = world.posterior(ratings[past], said)
            errors[with_text].append(mean - ratings[i])
        grid = np.linspace(-8, 8, 1601)
        p = world.density(grid, ratings[past], tokens[past]) * 0.01
        nats.append(-np.log(np.exp(world.log_words(grid))[tokens[i]] @ p / 64))
        spreads.append(world.posterior(ratings[past], tokens[past])[1]**2)
    assert optimum.rmse == pytest.approx(np.sqrt(np.mean(np.square(errors[True]))), abs=1e-12)
    assert optimum.rmse_without_text == pytest.approx(np.sqrt(np.mean(np.square(errors[False]))), abs=1e-12)
    assert optimum.expected_rmse == pytest.approx(np.sqrt(np.mean(spreads) + 1), abs=1e-12)
    assert optimum.nats.per_review == pytest.approx(np.mean(nats), abs=1e-12)
    assert (optimum.rmse < optimum.rmse_without_text) == (text == "quality")


def test_it_is_the_law_that_it_says():
    """Day after day: variance 1, and the correlation of two days is a power of ρ."""
    world = MovingReviewWorld(n_items=40_000, n=4, rho=0.7)
    path = world.path
    np.testing.assert_allclose(path.std(1), 1, atol=4 / np.sqrt(2 * 40_000))
    np.testing.assert_allclose(np.corrcoef(path)[0], 0.7**np.arange(5), atol=4 / np.sqrt(40_000))
    data = world.sample()
    day = np.repeat(np.arange(5), world.n_items)
    about = path[day, data.ratings.items]
    assert np.std(data.ratings.ratings - about) == pytest.approx(1, abs=4 / np.sqrt(2 * len(day)))
    spoken = np.array([np.corrcoef(world.tokens(data)[day == d], about[day == d])[0, 1] for d in range(5)])
    assert (spoken > 0.75).all()  # of the day's own quality


def test_nearly_still_it_is_the_world_that_stays():
    still, moving = ReviewWorld(n_items=20), MovingReviewWorld(n_items=20, rho=0.9999)
    ratings, tokens = np.array([0.5, 1.5, -0.3]), np.array([12, 15, 9])
    np.testing.assert_allclose(moving.posterior(ratings, tokens), still.posterior(ratings, tokens), atol=1e-3)


@pytest.mark.parametrize("rho", [1.0, -0.1, 1.5])
def test_what_rho_may_be(rho):
    with pytest.raises(ValueError, match="rho must be"):
        MovingReviewWorld(rho=rho)


def test_the_least_step_of_the_grid_is_fine_enough():
    """Halving it changes nothing."""
    world = replace(TINY, n=6, text_noise=0.3, rho=0.95)
    ratings, tokens = np.array([2.0, 1.0, 2.5, -1.0]), np.array([17, 15, 18, 4])
    fine = replace(world)
    vars(fine)["_grid"] = np.arange(-8, 8, (world._grid[1] - world._grid[0]) / 2)
    np.testing.assert_allclose(world.posterior(ratings, tokens), fine.posterior(ratings, tokens), rtol=0, atol=1e-12)
    assert len(WORDS) == 20
