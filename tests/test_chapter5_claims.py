"""What chapter 5 claims beyond `test_joint.py`: what its result files show, and small live twins of it."""

from dataclasses import replace

import numpy as np
import pytest

from rnnbook import metrics, results
from rnnbook.benchmarks.joint import MOVING_CONFIG, WORLD_CONFIG
from rnnbook.benchmarks.rows import t_interval
from rnnbook.joint import evaluate_text, fit, new_model
from rnnbook.worlds import MovingReviewWorld, ReviewWorld

NAME = "joint-world"


def paired(n, arm):
    return next(row for row in results.load(NAME)["paired"]
                if (row["a"], row["b"], row["metric"]) == (f"n={n} · {arm}", f"n={n} · ratings alone", "rmse"))


@pytest.mark.claim("reviews-buy")
@pytest.mark.parametrize("n", [1, 3])
def test_joint_training_gains_what_only_the_text_can_give(n):
    rmse = results.rows(NAME, "rmse")
    possible = rmse[f"n={n} · optimum of the ratings alone"]["mean"] - rmse[f"n={n} · optimum"]["mean"]
    assert possible > 0.04
    assert paired(n, "ratings and reviews")["high"] < 0
    blind, found, best = (np.array(rmse[f"n={n} · {arm}"]["values"]) for arm in (
        "optimum of the ratings alone", "ratings and reviews", "optimum"))
    assert t_interval((blind - found) / (blind - best))[1] > {1: 3 / 10, 3: 1 / 2}[n]
    # The rival is no straw man: what is left to it without reviews is little.
    alone = rmse[f"n={n} · ratings alone"]["mean"] - rmse[f"n={n} · optimum of the ratings alone"]["mean"]
    assert alone < possible / 2


@pytest.mark.claim("empty-words-buy-nothing")
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("arm", ["shuffled reviews", "reviews: independent", "reviews: rating"])
def test_reviews_that_cannot_help_do_not(n, arm):
    rmse = results.rows(NAME, "rmse")
    assert paired(n, arm)["low"] > 0
    assert rmse[f"n={n} · {arm}"]["mean"] < rmse[f"n={n} · optimum of the ratings alone"]["mean"] + 0.06  # a little


@pytest.mark.claim("earlier-reviews-read")
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("name", [NAME, "joint-moving"])
def test_who_reads_the_earlier_reviews_gains_nearly_all(name, n):
    errors = {arm: np.array(row["values"]) for arm, row in results.rows(name, "rmse").items()}
    blind, best = (errors[f"n={n} · {arm}"] for arm in ("optimum of the ratings alone", "optimum"))

    def shares(arm):
        return (blind - errors[f"n={n} · {arm}"]) / (blind - best)

    assert shares("word ridge").min() > 0.9 and (shares("ratings and reviews") < shares("word ridge") - 0.15).all()
    for arm in ("shuffled reviews", "reviews: independent", "reviews: rating"):
        assert abs(shares(f"word ridge, {arm}")).max() < 0.1
    for arm in ("word ridge", "ratings and reviews"):
        assert results.rows(name, "gain_share")[f"n={n} · {arm}"]["mean"] == pytest.approx(shares(arm).mean())


def moving(n):
    """{arm: RMSE of each draw} where qualities move."""
    return {name.removeprefix(f"n={n} · "): np.array(row["values"])
            for name, row in results.rows("joint-moving", "rmse").items() if name.startswith(f"n={n} ")}


@pytest.mark.claim("moving-reviews-buy")
@pytest.mark.parametrize("n", [1, 3])
def test_where_qualities_move_the_text_gains_and_empty_words_do_not(n):
    config = results.load("joint-moving")["config"]
    assert config["world"]["rho"] == 0.95 and config["model"]["dynamic"]
    rmse = moving(n)
    blind, best = rmse["optimum of the ratings alone"], rmse["optimum"]
    assert len(blind) == 3 and (rmse["ratings and reviews"] < blind).all() and (blind - best > 0.05).all()
    share = results.rows("joint-moving", "gain_share")[f"n={n} · ratings and reviews"]
    assert share["low"] > (1 / 2 if n == 3 else 0)
    assert f"{share['mean']:.0%}" == {1: "47%", 3: "58%"}[n]  # “What we had wrong”
    for arm in ("shuffled reviews", "reviews: independent", "reviews: rating"):
        assert (rmse[arm] > blind).all(), arm
    some = rmse["shuffled reviews"] < rmse["ratings alone"]
    assert some.any() == (n == 3) and not some.all()  # “some are better than the network of ratings alone”
    low, high = t_interval(rmse["ratings and reviews"] - rmse["ratings and reviews, no LSTMs"])[1:]
    assert high < 0 if n == 3 else low < 0 < high


@pytest.mark.claim("writers-own-memory")
@pytest.mark.parametrize("n", [1, 3])
def test_a_memory_of_its_own_takes_the_lesson_from_the_ratings(n):
    rmse = moving(n)
    blind, best = rmse["optimum of the ratings alone"], rmse["optimum"]
    shared, own = ((blind - rmse[arm]) / (blind - best) for arm in (
        "ratings and reviews", "a vector of each item for the writer"))
    assert own.max() < 1 / 5 and shared.min() > 1 / 4
    gain, left = (rmse["ratings alone"] - rmse[arm] for arm in (
        "ratings and reviews", "a vector of each item for the writer"))
    assert gain.min() > 0.03
    assert (left / gain).max() == pytest.approx(0.5, abs=0.03) if n == 3 else (left < 0).all()  # “What we had wrong”
    nats = {arm: row["values"] for arm, row in results.rows("joint-moving", "nats_per_review").items()}
    shared, memory = (np.array(nats[f"n={n} · {arm}"]) for arm in (
        "ratings and reviews", "a vector of each item for the writer"))
    assert (memory > shared).all()  # “new reviews are then harder to write”


@pytest.mark.claim("writes-near-the-optimum")
@pytest.mark.parametrize("n", [1, 3])
def test_the_writer_comes_near_the_optimum(n):
    perplexity = results.rows(NAME, "perplexity")
    found, best = (perplexity[f"n={n} · {who}"] for who in ("ratings and reviews", "optimum"))
    assert best["mean"] < found["mean"] and found["high"] < 1.05 * best["low"]


@pytest.mark.claim("writes-near-the-optimum")
def test_it_is_told_of_the_item_what_it_needs_only_if_there_is_more_than_one_review():
    nats = results.rows(NAME, "nats_per_review")
    found, ignorant, best = ([nats[f"n={n} · {who}"] for n in (1, 3)] for who in (
        "ratings and reviews", "who knows nothing of the item", "optimum"))
    assert found[0]["low"] > ignorant[0]["mean"]
    assert found[0]["low"] > nats["n=1 · shuffled reviews"]["high"]  # “worse than the same network …”
    assert best[1]["high"] < found[1]["low"] < found[1]["high"] < ignorant[1]["mean"]


@pytest.mark.claim("text-is-the-cost")
def test_runs_of_similar_length_are_faster_and_fifty_megabytes_fit():
    times = results.rows("joint-cost", "times_the_loop")
    for length, least in ((25, 4.0), (100, 2.0), (1600, 1.0)):
        assert times[f"{length} characters"]["low"] > least
    differences = results.rows("joint-cost", "gradient_difference").values()
    assert len(differences) == 4 and all(0 <= row["mean"] < 1e-5 for row in differences)
    [peak], [read] = (results.rows("joint-large", metric).values() for metric in ("peak_gib", "characters"))
    assert read["mean"] > 49e6 and 1e8 < peak["mean"] * 2**30 < 8e9


# --- The same now, in a small world -----------------------------------------------------------------------

SMALL = replace(WORLD_CONFIG, batch_size=128, n_epochs=10, learning_rate=2e-2, table_learning_rate=0.3, warm_up=6,
                text_batch=1024)
ALONE = replace(SMALL, text_weight=0.0, n_epochs=20)


@pytest.fixture(scope="module")
def small():
    """A world of items with one rating and one review each, and its past and test part."""
    world = ReviewWorld(n_items=1200, n=1)
    train, _, test = world.split(world.sample(0))
    return world, train, test


@pytest.fixture(scope="module")
def with_reviews(small):
    return fit(small[1], SMALL, device="cpu", progress=False)


def rmse(model, test):
    return metrics.evaluate_ratings(model, test.ratings, n_boot=1).rmse


@pytest.fixture(scope="module")
def error(small, with_reviews):
    """RMSE by what was read in training; "untrained" has read nothing."""
    world, train, test = small
    models = {"ratings and reviews": with_reviews, "ratings alone": fit(train, ALONE, device="cpu", progress=False),
              "shuffled reviews": fit(world.shuffled(train, 0), SMALL, device="cpu", progress=False),
              "untrained": new_model(train, SMALL, device="cpu")}
    return {name: rmse(model, test) for name, model in models.items()}


@pytest.mark.twin("reviews-buy")
def test_reviews_buy_something_in_a_small_world(small, error):
    world, train, test = small
    best = world.oracle(train, test).rmse

    def holds(model):
        return best < error[model] < error["ratings alone"] - 0.01

    assert holds("ratings and reviews") and not holds("untrained")


@pytest.mark.twin("writers-own-memory")
def test_a_memory_of_its_own_takes_the_lesson_in_a_small_world(small, error):
    train, test = small[1:]
    own = fit(train, replace(SMALL, writer_item_size=50), device="cpu", progress=False)

    def holds(shared):
        gain = error["ratings alone"] - error[shared]
        return gain > 0.01 and error["ratings alone"] - rmse(own, test) < gain / 2

    assert holds("ratings and reviews") and not holds("untrained")


@pytest.mark.twin("moving-reviews-buy")
def test_reviews_buy_something_in_a_small_world_that_moves():
    world = MovingReviewWorld(n_items=1200, n=3, rho=0.95)
    train, valid, test = world.split(world.sample(0))
    config = replace(MOVING_CONFIG, batch_size=256, n_epochs=8, warm_up=3)
    best = world.oracle(train, valid, test).rmse
    alone = rmse(fit(train, replace(config, text_weight=0.0), device="cpu", progress=False), test)

    def holds(model):
        return best < rmse(model, test) < alone - 0.01

    assert holds(fit(train, config, device="cpu", progress=False))
    assert not holds(new_model(train, config, device="cpu"))


@pytest.mark.twin("empty-words-buy-nothing")
def test_shuffled_reviews_buy_nothing_in_a_small_world(error):
    def holds(model):
        return error["ratings alone"] - 0.01 < error[model] < 0.97 * error["untrained"]

    assert holds("shuffled reviews") and not holds("untrained")


@pytest.mark.twin("writes-near-the-optimum")
def test_the_writer_of_a_small_world_comes_near_the_optimum(small, with_reviews):
    world, train, test = small
    nats, size = world.oracle(train, test).nats.per_review, (test.n_characters + test.n_ratings) / test.n_ratings

    def holds(model):
        found = evaluate_text(model, test)
        # one review of an item is too few for the writer to beat one who knows nothing of the item
        return (np.exp(nats / size) < found.perplexity < 1.05 * np.exp(nats / size)
                and found.nats.mean() > world.entropy().marginal.per_review)

    assert holds(with_reviews) and not holds(new_model(train, SMALL, device="cpu"))
