"""What chapter 4 claims beyond `test_rrn.py`: what its result files show."""

import pytest

from rnnbook import results

REAL = ("rrn-movielens-100k", "rrn-movietweetings-100k")


def paired(name, a, b):
    return next(row for row in results.load(name)["paired"] if (row["a"], row["b"]) == (a, b))


@pytest.mark.claim("drift-is-followed")
@pytest.mark.parametrize("rho,share", [(0.98, 0.6), (0.995, 0.4)])
def test_the_rrn_closes_much_of_the_gap_and_beats_a_factorisation_that_hears_the_same_news(rho, share):
    closed = results.rows("rrn-world", "gap_closed")
    assert closed[f"ρ={rho:g} · RRN"]["low"] > share
    assert closed[f"ρ={rho:g} · Online MF"]["high"] < 0.15  # the gap is not closed by hearing the news alone
    assert paired("rrn-world", f"ρ={rho:g} · RRN", f"ρ={rho:g} · Online MF")["high"] < 0
    assert paired("rrn-world", f"ρ={rho:g} · RRN", f"ρ={rho:g} · Kalman optimum")["low"] > 0  # no one beats it


@pytest.mark.claim("anchors-carry-it")
def test_without_anchors_the_drift_is_followed_less():
    assert paired("rrn-world", "ρ=0.98 · RRN", "ρ=0.98 · RRN, no anchors")["high"] < 0


@pytest.mark.claim("nothing-moves")
def test_where_nothing_moves_the_rrn_is_worse_than_a_factorisation():
    assert paired("rrn-world", "ρ=1 · RRN", "ρ=1 · MF")["low"] > 0
    rmse = results.rows("rrn-world", "rmse")  # the control is sound: the static model is the optimum there
    assert abs(rmse["ρ=1 · Static, items known, kept up to date"]["mean"] - rmse["ρ=1 · Kalman optimum"]["mean"]) < 1e-9


@pytest.mark.claim("new-users-are-met")
def test_on_movielens_the_rrn_is_below_all_that_hear_no_news():
    name = "rrn-movielens-100k"
    for model in ("Mean", "Biases", "MF", "PMF (no biases)", "TimeSVD++", "I-AutoRec"):
        assert paired(name, "RRN", model)["high"] < 0, model
    for model in ("RRN, no newbie flag", "RRN, no clock", "RRN, no stationary part", "RRN, no anchors", "U-AutoRec"):
        row = paired(name, "RRN", model)
        assert row["low"] < 0 < row["high"], model
    assert results.load(name)["config"]["test ratings by new users"] > 0.5


@pytest.mark.claim("online-factorisation-wins")
@pytest.mark.parametrize("name", REAL)
def test_an_online_factorisation_is_better_on_both_logs(name):
    assert paired(name, "RRN", "Online MF")["low"] > 0


@pytest.mark.claim("below-models-fitted-once")
def test_on_both_logs_the_rrn_is_below_scikit_surprise():
    rows = results.load("rrn-surprise")["paired"]
    assert len(rows) == 5 and all(row["a"].endswith(" · RRN") and row["high"] < 0 for row in rows)
    for name in REAL:  # the same RRNs as in the tables beside it
        rmse = results.rows("rrn-surprise", "rmse")[name.removeprefix("rrn-") + " · RRN"]["values"]
        assert rmse == pytest.approx(results.rows(name, "rmse")["RRN"]["values"], rel=1e-4)
