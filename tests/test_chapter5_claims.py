"""What chapter 5 claims beyond `test_joint.py`: what its result files show."""

import pytest

from rnnbook import results

NAME = "joint-world"


def paired(n, arm):
    return next(row for row in results.load(NAME)["paired"]
                if (row["a"], row["b"], row["metric"]) == (f"n={n} · {arm}", f"n={n} · ratings alone", "rmse"))


@pytest.mark.claim("reviews-buy")
@pytest.mark.parametrize("n", [1, 3])
def test_joint_training_gains_half_of_what_can_be_gained(n):
    rmse = results.rows(NAME, "rmse")
    possible = rmse[f"n={n} · optimum of the ratings alone"]["mean"] - rmse[f"n={n} · optimum"]["mean"]
    assert possible > 0.04
    assert paired(n, "ratings and reviews")["high"] < 0
    assert results.rows(NAME, "gain_share")[f"n={n} · ratings and reviews"]["mean"] >= 0.5
    # The rival is no straw man: what is left to it without reviews is little.
    alone = rmse[f"n={n} · ratings alone"]["mean"] - rmse[f"n={n} · optimum of the ratings alone"]["mean"]
    assert alone < possible / 2


@pytest.mark.claim("empty-words-buy-nothing")
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("arm", ["shuffled reviews", "reviews: independent", "reviews: rating"])
def test_reviews_that_cannot_help_do_not(n, arm):
    assert paired(n, arm)["high"] > 0


@pytest.mark.claim("writes-near-the-optimum")
@pytest.mark.parametrize("n", [1, 3])
def test_the_writer_comes_near_the_optimum(n):
    perplexity, nats = results.rows(NAME, "perplexity"), results.rows(NAME, "nats_per_review")
    found, best = (perplexity[f"n={n} · {who}"]["mean"] for who in ("ratings and reviews", "optimum"))
    assert best < found < 1.05 * best
    assert nats[f"n={n} · ratings and reviews"]["mean"] < nats[f"n={n} · shuffled reviews"]["mean"]
