"""What every predictor of ratings must do. Inherit, define ``fit(train)``, and pytest runs all of it."""

from dataclasses import replace

import numpy as np
import pytest

from rnnbook.interactions import DAY, RatingData
from rnnbook.interactions.tables import DataError


def ratings(*rows, n_users, n_items):
    """RatingData of (user, item, rating, time) in the order of time; ids are ``user-0…`` and 100, 101, …"""
    users, items, values, times = zip(*rows)
    return RatingData(np.array(users), np.array(items), np.array(values, dtype=np.float64),
                      np.array(times, dtype=np.float64),
                      np.array([f"user-{u}" for u in range(n_users)], dtype=object), 100 + np.arange(n_items))


def blocks(seed=0, n_users=30, n_items=20, share=0.8, camps=True):
    """Train and test of two camps of users and two of items: everybody gives their own camp's items 5, the
    other's 1. Better items and kinder users add a half each; without camps, 2 each to a 3. The last two users and
    the last item come late, and the last user rates little."""
    rng = np.random.default_rng(seed)
    user, item = np.divmod(np.flatnonzero(rng.random(n_users * n_items) < share), n_items)
    kind_and_good = 1.0 * (item % 4 < 2) + (user % 4 < 2)
    value = np.where(user % 2 == item % 2, 5, 1) + kind_and_good / 2 if camps else 3 + 2 * kind_and_good
    time = rng.integers(0, 150, len(user)) + np.where((user >= n_users - 2) | (item == n_items - 1), 150, 0)
    kept = (user < n_users - 1) | (item < 4)
    order = np.argsort(time[kept], kind="stable")
    rows = zip(user[kept][order], item[kept][order], value[kept][order], 1e9 + DAY * time[kept][order])
    return ratings(*rows, n_users=n_users, n_items=n_items).split_by_time(0.8, 0.2)


def rmse(predicted, data):
    return np.sqrt(np.mean((predicted - data.ratings) ** 2))


def random_ratings(seed, n_users=7, n_items=5, n=40, days=30):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, days * DAY, n))
    return ratings(*zip(rng.integers(n_users, size=n), rng.integers(n_items, size=n), rng.normal(3, 1, n), times),
                   n_users=n_users + 1, n_items=n_items + 1)


def ridge(target, offset, factors, penalty, bias_penalty):
    """[bias, vector] that minimises Σ (target − offset − bias − factors · vector)² + penalties, row by row."""
    design = np.hstack([np.ones((len(factors), 1)), factors])
    penalties = np.diag([bias_penalty] + [penalty] * factors.shape[1])
    return np.linalg.solve(sum((np.outer(x, x) for x in design), penalties),
                           sum(((y - o) * x for x, y, o in zip(design, target, offset)), np.zeros(len(penalties))))


class RatingContract:
    """What every baseline for ratings must do. Inherit and define ``fit(train)``."""

    learns_from_news = False
    knows_camps = True  # who likes what, beyond who is kind and what is good
    rounding = 1e-12  # between follow's first prediction and predict

    @pytest.fixture(scope="class")
    @classmethod
    def data(cls):
        return blocks(camps=cls.knows_camps)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, data):
        return cls().fit(data[0])

    def test_fit_leaves_the_data_alone(self):
        train, _ = blocks(seed=1)
        before = train.sha256
        model = self.fit(train)
        assert replace(train).sha256 == before
        np.testing.assert_array_equal(model.user_ids, train.user_ids)
        np.testing.assert_array_equal(model.item_ids, train.item_ids)

    def test_fit_again_gives_the_same(self, model, data):
        train, test = data
        np.testing.assert_array_equal(self.fit(train).follow(test), model.follow(test))

    def test_no_ratings(self, data):
        with pytest.raises(DataError, match="no ratings"):
            self.fit(data[0].take(slice(0)))

    def test_follow_nothing(self, model, data):
        assert model.follow(data[1].take(slice(0))).shape == (0,)

    def test_follow_leaves_the_model_as_it_was(self, model, data):
        _, test = data
        ids = test.user_ids[test.users], test.item_ids[test.items], test.times
        at_first, first = model.predict(*ids), model.follow(test)
        assert first.dtype == at_first.dtype == np.float64 and np.isfinite(first).all()
        np.testing.assert_array_equal(model.follow(test), first)
        np.testing.assert_array_equal(model.predict(*ids), at_first)

    def test_follow_begins_as_predict(self, model, data):
        _, test = data
        first = np.flatnonzero(test.times == test.times[0])
        now = test.take(first)
        alone = model.predict(now.user_ids[now.users], now.item_ids[now.items], now.times)
        np.testing.assert_allclose(model.follow(test)[first], alone, rtol=self.rounding)

    def test_unknown_ids(self, model, data):
        train, _ = data
        time = train.times[-1] + 1
        users, items = ["user-0", "nobody", "nobody", "7"], [999, 101, 999, 998]
        predicted = model.predict(np.array(users, dtype=object), np.array(items, dtype=object), np.full(4, time))
        assert np.isfinite(predicted).all() and predicted.std() > 0.01  # what is known of one side counts
        newcomer = np.setdiff1d(np.arange(train.n_users), train.users)[0]
        np.testing.assert_array_equal(predicted[1:2],
                                      model.predict([train.user_ids[newcomer]], np.array([101]), [time]))
        assert predicted[2] == predicted[3]

    def test_one_user_one_item_and_one_time_a_rating(self, model, data):
        with pytest.raises(ValueError, match="users: 2, items: 1, times: 2; a rating has one of each"):
            model.predict(["user-0", "user-0"], [101], [9e12, 9e12])

    def test_other_ids(self, model, data):
        with pytest.raises(ValueError, match="item_ids"):
            model.follow(replace(data[1], item_ids=data[1].item_ids[::-1].copy()))

    def test_what_was_trained_on(self, model, data):
        with pytest.raises(ValueError, match="begins before"):
            model.follow(data[0])

    def test_the_future_does_not_leak(self, model, data):
        _, test = data
        before = model.follow(test)
        for place in (40, 70, test.n_ratings - 2):
            place = np.searchsorted(test.times, test.times[place])  # the first of its instant
            earlier = np.arange(test.n_ratings) < place
            later = ~earlier
            for changed in (
                    replace(test, ratings=np.where(later, 9 - test.ratings, test.ratings)),
                    replace(test, items=np.where(later, (test.items + 3) % test.n_items, test.items)),
                    replace(test, users=np.where(later, (test.users + 3) % test.n_users, test.users)),
                    replace(test, times=np.where(later, 2 * test.times - test.times[place] + 1, test.times)),
                    test.take(earlier)):
                np.testing.assert_array_equal(model.follow(changed)[:place], before[:place])

    def test_one_instant_does_not_see_itself(self, model, data):
        _, test = data
        now = replace(test, times=np.full(test.n_ratings, test.times[-1]))
        at_once = model.follow(now)
        np.testing.assert_array_equal(model.follow(replace(now, ratings=9 - now.ratings)), at_once)
        order = np.random.default_rng(0).permutation(now.n_ratings)
        np.testing.assert_allclose(model.follow(now.take(order)), at_once[order], rtol=1e-12)

    def test_news_count_where_they_should(self, model, data):
        _, test = data
        other = model.follow(replace(test, ratings=9 - test.ratings))
        moved = np.abs(other - model.follow(test)) > 1e-3
        assert moved.any() == self.learns_from_news

    def test_it_learns_what_goes_together(self, model, data):
        train, test = data
        known = np.isin(test.users, train.users) & np.isin(test.items, train.items)
        assert known.sum() > 15
        model, mean, zero = (rmse(p[known], test.take(known)) for p in (
            model.follow(test), np.full(test.n_ratings, train.ratings.mean()), np.zeros(test.n_ratings)))
        assert model < 0.6 < 1.2 < mean < zero
