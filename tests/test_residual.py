"""A model of what another leaves over: predictions before the rating is read, and their sum."""

from dataclasses import replace

import numpy as np
import pytest
from rating_contract import RatingContract, random_ratings, ratings, rmse

from rnnbook.baselines import Biases, ForgettingMF, MatrixFactorization, Residual, Smoothing, prequential
from rnnbook.interactions import DAY, concatenate
from rnnbook.worlds import RatingWorld


def test_every_part_is_predicted_by_a_model_of_all_before_it():
    data = random_ratings(1, n=50)
    fitted = []

    def fit(train):
        fitted.append(train.n_ratings)
        return Biases().fit(train)

    predicted = prequential(fit, data, start=10, n_parts=4)
    assert fitted[0] == 10 and len(fitted) == 4 and predicted.shape == (40,)
    ends = [*fitted[1:], 50]
    for start, end in zip(fitted, ends):
        part = Biases().fit(data.take(slice(start))).follow(data.take(slice(start, end)))
        np.testing.assert_array_equal(predicted[start - 10:end - 10], part)


def test_ratings_of_one_time_are_not_divided():
    data = random_ratings(2, n=40)
    data = replace(data, times=np.repeat(np.arange(5.0), 8))  # instants of eight ratings
    cuts = []
    prequential(lambda train: cuts.append(train.n_ratings) or Biases().fit(train), data, start=8, n_parts=3)
    assert cuts and not any(cut % 8 for cut in cuts)


@pytest.mark.parametrize("n_times", [1, 2])
def test_a_start_within_one_time_leaves_one_prediction_for_each_rating(n_times):
    data = random_ratings(2, n=40)
    data = replace(data, times=np.repeat(np.arange(float(n_times)), 40 // n_times))
    for start in (1, 19, 21, 39):
        assert len(prequential(Biases().fit, data, start=start, n_parts=4)) == 40 - start


@pytest.mark.parametrize("change", ["ratings", "items"])
def test_no_rating_helps_to_predict_an_earlier_one(change):
    data = random_ratings(3, n=60)
    later = np.arange(60) >= 40
    other = replace(data, **{change: np.where(later, getattr(data, change)[::-1], getattr(data, change))})
    before, after = (prequential(Biases().fit, it, start=10) for it in (data, other))
    first = later.argmax() - 10 + (change == "items")  # an item is asked for when it is rated
    np.testing.assert_array_equal(before[:first - 1], after[:first - 1])
    assert (before[first:] != after[first:]).any()


class TestResidual(RatingContract):
    learns_from_news = True

    def fit(self, train):
        def base(part):
            return ForgettingMF(1.0, 0.3, n_factors=3, penalty=0.3, bias_penalty=0.3).fit(part)

        start = train.n_ratings // 4
        late = train.take(slice(start, None))
        errors = replace(late, ratings=late.ratings - prequential(base, train, start))
        return Residual(base(train), Biases().fit(errors))

    def test_it_is_the_sum_and_the_second_reads_errors(self, model, data):
        _, test = data
        predicted = model.base.follow(test)
        errors = replace(test, ratings=test.ratings - predicted)
        np.testing.assert_array_equal(model.follow(test), predicted + model.correction.follow(errors))


def test_a_base_that_forgets_makes_good_for_a_base_that_does_not():
    """A ridge that forgets reads the errors of a factorisation that is fitted once, and finds the drift in them."""
    world = RatingWorld(n_users=150, n_items=10, n_steps=60, dim=2, rho=0.97)
    train, valid, test = world.sample().split_by_time()
    past = concatenate(train, valid)

    def base(part):
        return MatrixFactorization(n_factors=2, penalty=3.0, bias_penalty=3.0).fit(part)

    start = past.n_ratings // 5
    late = past.take(slice(start, None))
    errors = replace(late, ratings=late.ratings - prequential(base, past, start))
    forgetting = ForgettingMF(0.85, 1.0, DAY, n_factors=2, penalty=3.0, bias_penalty=3.0, biased=False)
    model = Residual(base(past), forgetting.fit(errors))
    assert rmse(model.follow(test), test) < rmse(base(past).follow(test), test) - 0.1


class TestSmoothed(RatingContract):
    learns_from_news = True

    def fit(self, train):
        def base(part):
            return MatrixFactorization(n_factors=3, penalty=0.3, bias_penalty=0.3).fit(part)

        start = train.n_ratings // 4
        late = train.take(slice(start, None))
        errors = replace(late, ratings=late.ratings - prequential(base, train, start))
        return Residual(base(train), Smoothing(0.1).fit(errors))


def test_smoothing_by_hand():
    """Every rating moves the level of its user by a share of what is between; at one time, towards the mean."""
    data = ratings((0, 0, 1.0, 0), (1, 0, -2.0, 1), (0, 1, 3.0, 2), (0, 2, -1.0, 3), (0, 1, 2.0, 3), (0, 0, 9.0, 4),
                   n_users=3, n_items=3)
    model = Smoothing(0.25).fit(data.take(slice(2)))
    np.testing.assert_allclose(model.level, [0.25, -0.5, 0, 0])
    level = 0.25 + 0.25 * (3 - 0.25)
    np.testing.assert_allclose(model.follow(data.take(slice(2, None))),
                               [0.25, level, level, level + (1 - 0.75 ** 2) * (0.5 - level)], rtol=1e-14)
