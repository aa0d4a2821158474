"""A ridge that forgets and a Kalman filter that finds its numbers: against sums, likelihoods and gradients by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rating_contract import RatingContract, random_ratings, ridge, rmse

from rnnbook.baselines import EstimatedKalman, ForgettingMF, OnlineMF
from rnnbook.baselines.drift import _Rounds
from rnnbook.interactions import DAY, concatenate
from rnnbook.worlds import RatingWorld


class TestForgettingMF(RatingContract):
    learns_from_news = True

    def fit(self, train):
        return ForgettingMF(0.995, 0.3, n_factors=3, penalty=0.3, bias_penalty=0.3).fit(train)

    @pytest.mark.parametrize("step", [0, 2 * DAY])
    def test_each_prediction_is_a_weighted_ridge(self, step):
        data = random_ratings(5, n=60)
        train, test = data.split_by_time(0.6, 0.4)
        gamma, penalty = 0.8, 2.0
        model = ForgettingMF(gamma, penalty, step, n_factors=2, penalty=4.0, bias_penalty=1.4).fit(train)
        days = (np.floor(data.times / step) * step if step else data.times) / DAY
        target, items, expected = data.ratings - train.ratings.mean(), model.item_vectors, []
        for now, u, j in zip(days[train.n_ratings:], test.users, test.items):
            old = np.flatnonzero((days < now) & (data.users == u))
            root = np.sqrt(gamma ** (now - days[old]))  # a weight is as often a rating, so its root multiplies both
            vectors = items[data.items[old]]
            design = root[:, None] * np.column_stack([np.ones(len(old)), vectors[:, 1:]])
            user = np.linalg.solve(design.T @ design + np.diag([0.7, penalty, penalty]),
                                   design.T @ (root * (target[old] - vectors[:, 0])))
            expected.append(train.ratings.mean() + items[j, 0] + user[0] + items[j, 1:] @ user[1:])
        np.testing.assert_allclose(model.follow(test), expected, rtol=1e-13)

    def test_without_forgetting_it_is_the_ridge(self):
        data = random_ratings(6)
        model = ForgettingMF(1.0, 2.0, n_factors=2, penalty=2.0, bias_penalty=0.7).fit(data)
        items, mine = model.item_vectors, np.flatnonzero(data.users == 3)
        vectors = items[data.items[mine]]
        user = ridge(data.ratings[mine] - model.mean, vectors[:, 0], vectors[:, 1:], 2.0, 0.7)
        expected = model.mean + items[1, 0] + user[0] + items[1, 1:] @ user[1:]
        predicted = model.predict(["user-3"] * 2, [101] * 2, data.times[-1] + DAY * np.array([1, 1000]))
        np.testing.assert_allclose(predicted, [expected] * 2, rtol=1e-13)

    def test_without_news_a_user_falls_back_to_the_mean_user(self):
        data = random_ratings(6)
        model = ForgettingMF(0.9, 2.0, n_factors=2, penalty=2.0, bias_penalty=0.7).fit(data)
        times = data.times[-1] + DAY * np.array([1, 5, 50, 500])
        away = np.abs(model.predict(["user-3"] * 4, [101] * 4, times) - model.predict(["nobody"], [101], [0.0]))
        assert (np.diff(away[:3]) < 0).all() and away[3] < 1e-9 < away[2]

    def test_a_rating_that_is_not_before_the_time_asked_for_is_not_used(self):
        data = random_ratings(6)
        model = ForgettingMF(0.9, 2.0, n_factors=2, penalty=2.0, bias_penalty=0.7).fit(data)
        last = data.times[data.users == 3][-1]
        for time in (last, last - 9 * DAY):
            with pytest.raises(ValueError, match="not strictly before the time asked for; ask for a later time"):
                model.predict(["user-3", "nobody"], [101, 101], [time, time])
        model.predict(["user-3", "nobody"], [101, 101], [last + 1, 0.0])

    @pytest.mark.parametrize("gamma", [0.0, 1.1, -0.5, float("nan")])
    def test_what_gamma_may_be(self, gamma):
        with pytest.raises(ValueError, match="gamma must be"):
            ForgettingMF(gamma)


def drifting(n_users=150, **changes):
    world = RatingWorld(n_users=n_users, n_items=10, n_steps=60, dim=2, **changes)
    train, valid, test = world.sample().split_by_time()
    return world, concatenate(train, valid), test


def test_what_is_not_said_is_as_documented():
    of_factorisation = {"n_factors": 20, "penalty": 15, "bias_penalty": 2, "n_epochs": 15, "seed": 0, "biased": True,
                        "init": None}
    assert vars(ForgettingMF()) == of_factorisation | {"gamma": 0.99, "user_penalty": 15, "step": 0}
    assert vars(EstimatedKalman()) == {"n_factors": 3, "penalty": 1, "step": 0, "n_epochs": 80, "seed": 0}


def test_forgetting_helps_where_tastes_drift_and_harms_where_they_do_not():
    def errors(rho):
        world, past, test = drifting(rho=rho)
        kwargs = {"step": DAY, "n_factors": 2, "penalty": 3.0, "bias_penalty": 3.0, "biased": False}
        forgets, keeps = (rmse(ForgettingMF(gamma, 1.0, **kwargs).fit(past).follow(test), test)
                          for gamma in (0.85, 1.0))
        online = OnlineMF(n_factors=2, penalty=3.0, bias_penalty=3.0).fit(past)
        return forgets, keeps, rmse(online.follow(test), test), world.oracle(past, test).rmse

    forgets, keeps, online, optimum = errors(0.97)
    assert optimum < forgets < optimum + 0.15 * (keeps - optimum) and forgets < online - 0.15
    forgets, keeps, _, optimum = errors(1.0)
    assert optimum < keeps < optimum + 0.02 < forgets


class TestEstimatedKalman(RatingContract):
    learns_from_news = True

    def fit(self, train):
        return EstimatedKalman(3, penalty=1.0, n_epochs=40).fit(train)

    def test_more_factors_than_rated_items_are_refused(self):
        with pytest.raises(ValueError, match="n_factors=3 is more than the 2 rated items"):
            self.fit(RatingWorld(n_users=9, n_items=2, n_steps=6, dim=2).sample())

    def test_its_predictions_are_those_of_the_filter_with_its_numbers(self):
        world, past, test = drifting(rho=0.95)
        model = EstimatedKalman(2, step=DAY, n_epochs=5).fit(past)
        # The world's own filter, with the factors that were found and ratings around the means that were found
        found = RatingWorld(n_users=150, n_items=10, n_steps=60, dim=2, rho=model.rho, noise=model.sigma)
        vars(found)["factors"] = model.items[:-1, 1:]
        kalman = found.kalman()
        around = [replace(part, ratings=part.ratings - model.items[part.items, 0]) for part in (past, test)]
        expected = kalman.fit(around[0]).follow(around[1]) + model.items[test.items, 0]
        np.testing.assert_allclose(model.follow(test), expected, rtol=0, atol=1e-13)
        alone = model.predict(test.user_ids[test.users[:9]], test.item_ids[test.items[:9]], test.times[:9])
        np.testing.assert_allclose(alone, expected[:9], rtol=0, atol=1e-13)

    @pytest.mark.parametrize("scale, outlier", [(0.0, 0.0), (1e6, 0.0), (1.0, 1e8)])
    def test_ratings_of_any_size_end_in_numbers(self, scale, outlier):
        """All equal, on a scale of millions, and with one far from all others: the search overflowed."""
        data = RatingWorld(n_users=30, n_items=12, n_steps=10, dim=2).sample()
        data = replace(data, ratings=scale * data.ratings + outlier * (np.arange(data.n_ratings) == 5))
        model = EstimatedKalman(2).fit(data)
        assert np.isfinite(model.log_likelihood).all()
        assert np.isfinite(model.predict(data.user_ids, data.item_ids[:1].repeat(30), np.full(30, 1e9))).all()

    def log_likelihood(self, model, data, log_rate, log_sigma, items):
        """By one normal distribution of all of a user's ratings, in torch: for gradients."""
        rated = items[np.unique(data.items)]
        total = -model.penalty / 2 * ((rated - rated.mean(0))**2).sum()
        for user in np.unique(data.users):
            mine = np.flatnonzero(data.users == user)
            days = torch.from_numpy(data.times[mine] / DAY)
            mean, q = items[data.items[mine], 0], items[data.items[mine], 1:]
            covariance = (q @ q.T) * torch.exp(-torch.exp(log_rate) * (days[:, None] - days).abs())
            covariance = covariance + torch.exp(2 * log_sigma) * torch.eye(len(mine), dtype=torch.float64)
            normal = torch.distributions.MultivariateNormal(mean, covariance)
            total = total + normal.log_prob(torch.from_numpy(data.ratings[mine]))
        return total

    @pytest.mark.parametrize("n_epochs", [1, 300])
    def test_likelihood_and_gradient_are_those_of_all_ratings_at_once(self, n_epochs):
        world = RatingWorld(n_users=20, n_items=4, n_steps=20, dim=1, rho=0.9)
        data = world.sample()
        data = replace(data, times=np.floor(data.times / (2 * DAY)) * 2 * DAY)  # two ratings of a user at each instant
        data = data.take(np.random.default_rng(0).random(data.n_ratings) < 0.8)  # and gaps
        model = EstimatedKalman(1, penalty=2.0, n_epochs=n_epochs).fit(data)
        numbers = [torch.tensor(value, dtype=torch.float64, requires_grad=True)
                   for value in (np.log(-np.log(model.rho)), np.log(model.sigma), model.items)]
        value = self.log_likelihood(model, data, *numbers)
        value.backward()
        rounds = _Rounds(model._steps(data))
        filtered = model._filter(rounds)
        slopes = model._gradient(rounds, *model._smooth(rounds, filtered))
        gap = model.items[:-1] - model.items[-1]
        assert filtered.log_likelihood - model.penalty / 2 * (gap**2).sum() == pytest.approx(value.item(), rel=1e-12)
        by_item = slopes[2][:-1] - model.penalty * gap
        for ours, number in zip([*slopes[:2], by_item], [numbers[0].grad, numbers[1].grad, numbers[2].grad[:-1]]):
            np.testing.assert_allclose(ours, number.numpy(), rtol=0, atol=1e-10)
        top = max(np.abs(by_item).max(), np.abs(slopes[:2]).max())
        assert top < 0.02 if n_epochs == 300 else top > 5  # the top of the likelihood, where no slope is left

    def test_it_finds_the_numbers_of_the_world(self):
        world, past, test = drifting(n_users=300, rho=0.95)
        model = EstimatedKalman(2, step=DAY).fit(past)
        assert abs(model.rho - 0.95) < 0.01 and abs(model.sigma - world.noise) < 0.02
        optimum, zero = world.oracle(past, test).rmse, np.sqrt(np.mean(test.ratings**2))
        assert rmse(model.follow(test), test) < optimum + 0.05 * (zero - optimum)
        _, past, test = drifting(n_users=300, rho=1.0)
        still = EstimatedKalman(2, step=DAY).fit(past)
        assert still.rho > 0.999

    def test_an_item_without_a_rating_has_the_mean_of_the_others(self, model, data):
        train, _ = data
        unrated = np.setdiff1d(np.arange(train.n_items + 1), train.items)
        rated = model.items[np.unique(train.items)].mean(0)
        np.testing.assert_allclose(model.items[unrated], np.tile(rated, (len(unrated), 1)), rtol=1e-12)
