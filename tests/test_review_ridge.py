"""The baseline that reads an item's earlier reviews: its formulas, what it may not see, and what it is worth."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from rnnbook import metrics
from rnnbook.baselines import ReviewRidge
from rnnbook.interactions import DataError, ReviewData
from rnnbook.worlds import ReviewWorld

ROWS = [("tea", 5, "Good, good tea."), ("milk", 1, "bad"), ("tea", 4, "Not BAD"), ("rum", 2, ""), ("tea", 3, "good"),
        ("tea", 5, "Good"), ("milk", 2, "bad tea"), ("rum", 4, "fine"), ("gin", 5, "good")]


def reviews(rows=ROWS):
    items, ratings, texts = zip(*rows)
    return ReviewData.from_frame(pd.DataFrame({
        "user": "ann", "item": items, "rating": ratings, "time": range(len(rows)), "text": texts}))


def split(data, n=5):
    return data.take(slice(n)), data.take(slice(n, None))


@pytest.mark.parametrize("n", [1, 2])  # with one rating of each item the shares cannot fit all later ones exactly
def test_words_and_shares_are_those_of_the_equations(n):
    train, valid = split(reviews())
    model = ReviewRidge(n, penalty=0.3).fit(train, valid)
    assert model.words == ["bad", "good", "not", "tea"]
    x = np.array([[0, 1, 0, 1], [1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=float)
    rating = np.array([5, 1, 4, 2, 3]) - 3.0
    v = np.linalg.solve(x.T @ x + 0.3 * np.eye(4), x.T @ rating)
    same = partial(np.testing.assert_allclose, rtol=0, atol=1e-12)
    same(model.weights, v)
    said = x @ v
    past = {"tea": [rating[4], said[4], rating[2], said[2]], "milk": [rating[1], said[1], 0, 0],
            "rum": [rating[3], said[3], 0, 0], "gin": [0, 0, 0, 0], "beer": [0, 0, 0, 0]}  # the latest first
    past = {item: values[:2 * n] for item, values in past.items()}  # nobody knows beer
    design, later = np.array([past[item] for item, _, _ in ROWS[5:]]), np.array([5, 2, 4, 5]) - 3.0
    shares = np.linalg.pinv(design) @ later
    same(model.shares, shares)
    same(model.predict(["ann"] * 5, [*past], [9] * 5), 3 + np.array([*past.values()]) @ shares)
    assert n == 2 or np.abs(design @ shares - later)[:3].min() > 0.01


def test_no_text_but_the_past_ones_moves_a_prediction():
    world = ReviewWorld(n_items=200, n=2)
    train, valid, test = world.split(world.sample())
    model = ReviewRidge(2).fit(train, valid)
    other = ReviewWorld(n_items=200, n=2, text="independent")
    again = ReviewRidge(2).fit(train, other.split(other.sample())[1])  # the same ratings with other words
    np.testing.assert_array_equal(model.follow(test.ratings), again.follow(test.ratings))
    moved = ReviewRidge(2).fit(world.shuffled(train), valid)
    assert not np.allclose(model.follow(test.ratings), moved.follow(test.ratings))


def test_without_ratings_there_is_nothing_to_learn():
    data = reviews()
    with pytest.raises(DataError, match="no ratings"):
        ReviewRidge().fit(data.take(slice(0)), data)


@pytest.mark.claim("earlier-reviews-read")
@pytest.mark.parametrize("n", [1, 3])
def test_it_gets_nearly_all_that_the_text_can_give_and_nothing_from_empty_words(n):
    world = ReviewWorld(n_items=4000, n=n)
    train, valid, test = world.split(world.sample())
    best = world.oracle(train, valid, test)
    possible = best.rmse_without_text - best.rmse

    def share(past):
        found = metrics.evaluate_ratings(ReviewRidge(n).fit(past, valid), test.ratings, n_boot=1).rmse
        return (best.rmse_without_text - found) / possible

    assert possible > 0.05 and share(train) > 0.9 and -0.1 < share(world.shuffled(train)) < 0.1
