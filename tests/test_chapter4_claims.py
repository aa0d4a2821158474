"""What chapter 4 claims beyond `test_rrn.py`: what its result files show, and small live twins of it."""

import time
from dataclasses import replace

import numpy as np
import pytest

from rnnbook import metrics, results
from rnnbook.baselines import EstimatedKalman, ForgettingMF, MatrixFactorization, OnlineMF, Residual, Smoothing
from rnnbook.benchmarks.rrn import WORLDS as BENCHMARK_WORLDS
from rnnbook.benchmarks.rrn_logs import left_over
from rnnbook.interactions import DAY, concatenate
from rnnbook.rrn import RRNConfig, fit, new_model
from rnnbook.worlds import JumpWorld, RatingWorld
from rnnbook.worlds.ratings import START

REAL = ("rrn-movielens-100k", "rrn-movietweetings-100k")


def paired(name, a, b):
    return next(row for row in results.load(name)["paired"] if (row["a"], row["b"]) == (a, b))


@pytest.mark.claim("descent-is-cheaper")
def test_one_side_at_a_time_takes_less_time_and_memory_and_is_as_good():
    def ratio(metric):
        rows = results.rows("rrn-descent", metric)
        return rows["one side at a time"]["high"] / rows["both sides at once"]["low"]

    assert ratio("epoch_seconds") < 1 / 3 and ratio("training_mib") < 2 / 3
    differences = {row["metric"]: row for row in results.load("rrn-descent")["paired"]}
    assert differences["rmse"]["low"] < 0 < differences["rmse"]["high"]
    assert differences["epochs"]["low"] < 0 < differences["epochs"]["high"]
    assert differences["seconds"]["low"] > 0  # both at once has its best later


@pytest.mark.claim("cost-grows-with-ratings")
def test_a_rating_costs_twice_as_much_among_ten_million_and_memory_grows_with_ratings_alone():
    sizes = [f"{n:,} ratings" for n in (100_000, 1_000_000, 10_000_000)]

    def means(metric):
        rows = results.rows("rrn-scale", metric)
        return np.array([rows[size]["mean"] for size in sizes])

    cost, peak, stored = map(means, ("microseconds_per_rating", "peak_gib", "stored_numbers_per_rating"))
    assert 1.5 * cost[0] < cost[2] < 2.5 * cost[0]
    # Why: how many films and users a batch has for each rating of it, drawn from so many, as the world draws them.
    k = RRNConfig().batch_size
    small, large = ([n * (1 - (1 - 1 / n) ** k) / k for n in (ratings // 1000, ratings // 100)]
                    for ratings in (100_000, 10_000_000))
    assert max(small) < 0.25 and min(large) > 0.75
    assert stored.max() < 1.02 * stored.min()
    assert all(peak[1:] < 10 * peak[:-1]) and peak[-1] * 2**30 < 12e9


def gap_closed(world, model):
    return results.rows("rrn-world", "gap_closed")[f"{world} · {model}"]


def against(world, rival):
    """The paired difference of the RRN and a rival."""
    return paired("rrn-world", f"{world} · RRN", f"{world} · {rival}")


@pytest.mark.claim("drift-is-followed")
@pytest.mark.parametrize("world,least", [("ρ=0.98", 0.8), ("ρ=0.995", 0.7)])
def test_the_rrn_closes_most_of_the_gap_and_a_ridge_that_forgets_more(world, least):
    config = results.load("rrn-world")["config"]
    assert config["worlds"][world]["n_users"] == 4000
    assert np.prod([len(values) for values in config["forgetting"].values()]) == 36  # “tries 36 settings”
    assert gap_closed(world, "RRN")["low"] > least and gap_closed(world, "Forgetting MF")["low"] > 0.95
    assert gap_closed(world, "Estimated Kalman filter")["low"] > 0.99  # “at the optimum, as far as one can see”
    assert gap_closed(world, "Online MF")["high"] < 0.15  # the gap is not closed by hearing the news alone
    assert against(world, "Online MF")["high"] < 0 < against(world, "Forgetting MF")["low"]
    assert against(world, "Optimum")["low"] > 0  # no one beats it


@pytest.mark.claim("drift-is-followed")
def test_with_every_doubling_of_the_users_the_rrn_comes_closer_and_the_rivals_need_none():
    rmse, fewer = results.rows("rrn-world", "rmse"), results.rows("rrn-users", "rmse")
    worlds = [f"ρ=0.98, {n}" for n in ("500 users", "1,000 users", "2,000 users")] + ["ρ=0.98", "ρ=0.98, 8,000 users"]
    rrn = [fewer[f"{n} users · RRN"] for n in (500, 1000, 2000)] + [rmse[f"{world} · RRN"] for world in worlds[3:]]
    assert (np.diff([row["mean"] for row in rrn]) < 0).all()
    assert max(rrn[0]["values"]) > 0.9 > sorted(rrn[0]["values"])[1]  # “one draw of the three hardly found a rule”
    for world, row in zip(worlds, rrn):
        ridge, kalman = (rmse[f"{world} · {model}"] for model in ("Forgetting MF", "Estimated Kalman filter"))
        assert (np.array(row["values"]) > ridge["values"]).all()  # “in no draw does it reach that of the ridge”
        assert ridge["mean"] > kalman["mean"] and gap_closed(world, "Forgetting MF")["mean"] > 0.95


@pytest.mark.claim("other-drifts-are-followed")
@pytest.mark.parametrize("kind", ["level shift", "season", "new users"])
def test_the_rrn_follows_shifts_seasons_and_newcomers_too(kind):
    world = f"ρ=0.98, {kind}"
    assert against(world, "Online MF")["high"] < 0 and gap_closed(world, "RRN")["low"] > 0.7
    assert against(world, "Forgetting MF")["high"] > 0
    if kind == "level shift":  # “we cannot tell which of the two is better”
        assert against(world, "Forgetting MF")["low"] < 0
        assert round(against(world, "Forgetting MF")["difference"], 3) == 0.006  # in “What we had wrong”
        chosen = {name: {ridge["forgetting"]["biased"] for ridge in ridges} for name, ridges
                  in results.load("rrn-world")["config"]["ridges"].items()}
        assert {name for name, choices in chosen.items() if True in choices} == {world} and chosen[world] == {True}
    assert against(world, "Estimated Kalman filter")["low"] > (-0.02 if kind == "season" else 0)
    if kind == "season":  # “at about the same error”
        rivals = "RRN", "Forgetting MF", "Estimated Kalman filter"
        assert np.ptp([gap_closed(world, model)["mean"] for model in rivals]) < 0.05
        # What the season costs the RRN in squared error, and what a model would pay that ignores it
        still = results.rows("rrn-world", "rmse")["ρ=0.98 · RRN"]["values"]
        for seed, found in enumerate(results.rows("rrn-world", "rmse")[f"{world} · RRN"]["values"]):
            of_draw = replace(BENCHMARK_WORLDS[world], seed=seed)
            test = of_draw.sample(seed).split_by_time()[-1]
            steps = ((test.times - START) // DAY).astype(int)
            ignored = np.mean(of_draw.mean(test.items, steps) ** 2)
            assert 0.4 * ignored < found**2 - still[seed] ** 2 < 0.8 * ignored
    if kind == "new users":  # “about two points less”, “the filter as much as before”
        lost = {model: gap_closed("ρ=0.98", model)["mean"] - gap_closed(world, model)["mean"] for model in (
            "RRN", "Forgetting MF", "Estimated Kalman filter")}
        assert 0.015 < lost["RRN"] < 0.025 and 0.015 < lost["Forgetting MF"] < 0.025
        assert abs(lost["Estimated Kalman filter"]) < 0.005


@pytest.mark.claim("jumps-are-not-learned")
def test_where_tastes_jump_the_rrn_does_not_pass_the_linear_filter():
    world = "ρ=0.97, jumps"
    rmse = {model: results.rows("rrn-world", "rmse")[f"{world} · {model}"] for model in (
        "MF", "RRN", "Forgetting MF", "Estimated Kalman filter", "Best linear filter", "Optimum")}
    possible = np.subtract(rmse["Best linear filter"]["values"], rmse["Optimum"]["values"])
    assert possible.min() > 0.04  # there is something to be gained
    behind = np.subtract(rmse["RRN"]["values"], rmse["Estimated Kalman filter"]["values"])
    assert behind.min() > 0 and len(behind) == 3
    assert rmse["Best linear filter"]["mean"] < rmse["Estimated Kalman filter"]["mean"] < rmse["RRN"]["mean"]
    assert rmse["Forgetting MF"]["mean"] < rmse["RRN"]["mean"] < 0.8 * rmse["MF"]["mean"]


@pytest.mark.claim("anchors-carry-it")
def test_without_anchors_the_drift_is_followed_less():
    assert paired("rrn-world", "ρ=0.98 · RRN", "ρ=0.98 · RRN, no anchors")["high"] < 0


@pytest.mark.claim("nothing-moves")
def test_where_nothing_moves_the_rrn_is_worse_than_a_factorisation():
    rmse, loss = results.rows("rrn-world", "rmse"), paired("rrn-world", "ρ=1 · RRN", "ρ=1 · MF")
    assert 0 < loss["low"] and loss["high"] < 0.01 * rmse["ρ=1 · MF"]["mean"]
    assert 1.01 < rmse["ρ=1 · RRN"]["mean"] / rmse["ρ=1 · Optimum"]["mean"] < 1.015
    assert rmse["ρ=1 · Optimum"]["mean"] == pytest.approx(0.5, abs=0.01)  # σ: “nearly all of this error is the noise”
    chosen = results.load("rrn-world")["config"]["chosen"]
    assert chosen["ρ=1"] == "own parameters" and chosen["ρ=0.98"] == chosen["ρ=0.995"] == "memory"
    # The control is sound: the static model is the optimum there.
    assert abs(rmse["ρ=1 · Static, items known, kept up to date"]["mean"] - rmse["ρ=1 · Optimum"]["mean"]) < 1e-9


@pytest.mark.claim("new-users-are-met")
def test_on_movielens_the_rrn_is_below_all_that_hear_no_news():
    name = "rrn-movielens-100k"
    for model in ("Mean", "Biases", "MF", "PMF (no biases)", "TimeSVD++", "I-AutoRec"):
        assert paired(name, "RRN", model)["high"] < 0, model
    for model in ("RRN, no newbie flag", "RRN, no clock", "RRN, no stationary part", "RRN, no anchors", "U-AutoRec"):
        row = paired(name, "RRN", model)
        assert row["low"] < 0 < row["high"], model
    assert results.load(name)["config"]["test ratings by new users"] > 0.5
    for log in REAL:
        rmse = results.rows(log, "rmse")
        assert min(rmse["I-AutoRec"]["values"]) > rmse["Biases"]["mean"] < rmse["TimeSVD++"]["mean"]
        known = results.rows(log, "rmse, known users")
        assert min(known["TimeSVD++"]["mean"], known["I-AutoRec"]["mean"]) > known["Biases"]["mean"]
    lead = {who: results.value(name, "Biases", f"rmse, {who} users") - results.value(name, "RRN", f"rmse, {who} users")
            for who in ("new", "known")}
    assert lead["known"] > 1.5 * lead["new"] > 0
    clock, over_biases = paired(name, "RRN", "RRN, no clock"), paired(name, "RRN", "Biases")
    assert clock["low"] > over_biases["difference"] / 4  # “a small part of the lead over the biases at most”


def test_for_how_long_users_are_there():
    minutes, month, days = (results.rows("rating-logs", what) for what in (
        "median minutes of a user", "users active over 30 days", "days"))
    tweets = "movietweetings-100k"
    assert minutes["movielens-100k"]["mean"] < 60 and month[tweets]["mean"] > 0.9
    assert minutes[tweets]["mean"] / 60 / 24 > 0.75 * days[tweets]["mean"] and 170 < days[tweets]["mean"] < 190


@pytest.mark.claim("online-factorisation-wins")
def test_an_online_factorisation_is_better_on_movielens_and_not_told_apart_on_movietweetings():
    assert paired(REAL[0], "RRN", "Online MF")["low"] > 0
    for other in ("Online MF", "MF", "Biases", "RRN, no clock", "RRN, no newbie flag"):
        row = paired(REAL[1], "RRN", other)
        assert row["low"] < 0 < row["high"], other
    assert results.load(REAL[1])["config"]["test ratings by new users"] == 0
    assert all(paired(REAL[1], "RRN", part)["high"] < 0 for part in ("RRN, no stationary part", "RRN, no anchors"))


@pytest.mark.claim("rrn-on-top")
def test_on_both_logs_an_rrn_on_top_of_the_online_factorisation_is_below_it():
    for name in REAL:
        rmse, row = results.rows(name, "rmse"), paired(name, "RRN on Online MF", "Online MF")
        assert row["high"] < 0 and -row["difference"] < 0.012 * rmse["Online MF"]["mean"]  # about a per cent, or less
    averaged = [paired(name, "RRN and Online MF, averaged", "Online MF") for name in REAL]
    assert averaged[0]["low"] < 0 < averaged[0]["high"] and averaged[1]["high"] < 0
    assert paired(REAL[1], "RRN on Online MF", "RRN and Online MF, averaged")["low"] > 0
    for near in (paired(name, "RRN on Online MF", "Forgetting MF") for name in REAL):
        assert near["low"] < 0 < near["high"] and near["difference"] < 0


@pytest.mark.claim("forgetting-on-real-logs")
@pytest.mark.parametrize("name", REAL)
def test_forgetting_is_not_told_from_not_forgetting(name):
    row = paired(name, "Forgetting MF", "Forgetting MF, γ = 1")
    assert row["low"] < 0 < row["high"]
    config = results.load(name)["config"]
    assert config["chosen"]["Forgetting MF"].get("gamma", ForgettingMF().gamma) < 1  # validation chose to forget
    assert config["filter"]["rho"] > 0.99
    drawn = [t for t in results.load(name)["trials"] if t["arm"] == "Forgetting MF"]
    assert len(drawn) == 20 and sum(t["config"].get("gamma") == 1 for t in drawn) == 3
    never = min(t["rmse"] for t in results.load(name)["trials"] if t["arm"] == "Online MF")
    assert never < min(t["rmse"] for t in drawn)  # on the validation ratings
    if name == REAL[0]:  # “nearly all of the difference is with known users”
        gain = {who: results.value(name, "Forgetting MF, γ = 1", f"rmse, {who} users")
                - results.value(name, "Forgetting MF", f"rmse, {who} users") for who in ("known", "new")}
        assert gain["known"] > 10 * abs(gain["new"])


@pytest.mark.claim("twenty-two-years")
def test_over_22_years_the_rrn_is_ahead_and_forgetting_pays():
    name = "rrn-movielens-latest-small"
    for a, b in (("RRN", "Online MF"), ("RRN on Online MF", "Online MF"), ("RRN on Online MF", "RRN"),
                 ("Forgetting MF", "Forgetting MF, γ = 1")):
        assert paired(name, a, b)["high"] < 0, (a, b)
    for model in ("Mean", "Biases", "MF", "PMF (no biases)", "TimeSVD++", "I-AutoRec", "U-AutoRec"):
        assert paired(name, "RRN", model)["high"] < -0.05, model
    rows = results.load(name)["paired"]
    p = {(row["a"], row["b"]): p for row, p in zip(rows, results.holm([row["p"] for row in rows]))}
    assert 0.05 < p["RRN", "Online MF"] < 0.06  # “just not significant”
    assert max(p["RRN on Online MF", "Online MF"], p["Forgetting MF", "Forgetting MF, γ = 1"]) < 0.01
    config = results.load(name)["config"]
    assert (config["shares"], config["fitted anew"]) == ([0.4, 0.1, 0.5], 5)
    tuned, same = paired(name, "Forgetting MF", "Online MF"), paired(name, "Forgetting MF", "Forgetting MF, γ = 1")
    assert 0.35 < tuned["difference"] / same["difference"] < 0.6 and tuned["high"] < 0  # “about half as large”
    assert p["Forgetting MF", "Online MF"] < 0.05
    on_top = "RRN on Online MF", "Forgetting MF"
    assert paired(name, *on_top)["high"] < 0 and p[on_top] < 0.05
    users, days = (results.rows("rating-logs", what)["movielens-latest-small"]["mean"] for what in ("users", "days"))
    assert users == 610 and 22 < days / 365.25 < 23


@pytest.mark.claim("level-not-taste")
def test_one_number_that_follows_the_level_of_a_user_does_what_the_rrn_does():
    def against(log, a, b="Online MF, smoothed"):
        return paired("rrn-sittings", f"{log} · {a}", f"{log} · {b}")

    def shown(metric, arm, log="movielens-latest-small"):
        return results.rows("rrn-sittings", metric)[f"{log} · {arm}"]["mean"]

    years, lens, tweets = "movielens-latest-small", "movielens-100k", "movietweetings-100k"
    assert against(years, "RRN")["low"] > 0 and against(lens, "RRN")["low"] > 0
    assert against(years, "RRN on Online MF")["low"] < 0 < against(years, "RRN on Online MF")["high"]
    smoothing = [against(log, "Online MF, smoothed", "Online MF") for log in (years, tweets)]
    assert smoothing[0]["high"] < 0 and smoothing[1]["low"] < 0 < smoothing[1]["high"]
    assert against(tweets, "RRN on Online MF")["high"] < 0 and against(lens, "RRN on Online MF")["high"] < 0
    share = results.rows("rrn-sittings", "test ratings within an hour of the last")
    assert share[tweets]["mean"] < 0.2 < 0.9 < share[years]["mean"]  # “few ratings come within an hour”
    found = results.load("rrn-sittings")["config"]
    assert len(found["alphas"]) == 9 and found["chosen"][lens] == found["chosen"][tweets] == min(found["alphas"])
    assert shown("rmse, later", "Online MF, smoothed") < shown("rmse, later", "Online MF") - 0.03
    for arm in ("RRN", "RRN on Online MF", "Online MF, smoothed"):
        assert shown("correlation of two errors in a row", arm) < 0.1 < 0.2 < shown(
            "correlation of two errors in a row", "Online MF")


@pytest.mark.claim("below-models-fitted-once")
def test_on_both_logs_the_rrn_is_below_scikit_surprise():
    rows = {row["b"]: row for row in results.load("rrn-surprise")["paired"] if row["a"].endswith(" · RRN")}
    assert len(rows) == 5 and all(row["high"] < 0 for name, row in rows.items() if name != "movietweetings-100k · SVD")
    assert rows["movietweetings-100k · SVD"]["low"] < 0 < rows["movietweetings-100k · SVD"]["high"]
    for name in REAL:  # the same RRNs as in the tables beside it
        rmse = results.rows("rrn-surprise", "rmse")[name.removeprefix("rrn-") + " · RRN"]["values"]
        assert rmse == pytest.approx(results.rows(name, "rmse")["RRN"]["values"], rel=1e-4)


# --- The same now, in small worlds ------------------------------------------------------------------------

SMALL = RRNConfig(hidden_size=32, embedding_size=16, dynamic_size=8, stationary_size=4, dropout=0.1, penalty=1.0,
                  user_step=DAY, learning_rate=8e-3, decay=True, batch_size=1024, n_epochs=10)
WORLDS = {"ρ=0.98": {"rho": 0.98}, "season": {"rho": 0.98, "season": 1.0}, "ρ=1": {"rho": 1.0}}


def rmse(model, data):
    return metrics.evaluate_ratings(model, data, n_boot=1).rmse


def parts(world):
    train, valid, test = world.sample(0).split_by_time()
    return concatenate(train, valid), test


@pytest.fixture(scope="module")
def error_in():
    """error_in(world) is the RMSE of each model, of an RRN without training too; a world is trained in once."""
    known = {}

    def errors(name):
        if name not in known:
            world = RatingWorld(n_users=300, **WORLDS[name])
            past, test = parts(world)
            models = {"RRN": fit(past, SMALL, device="cpu", progress=False),
                      "untrained": new_model(past, SMALL, device="cpu"),
                      "MF": MatrixFactorization(n_factors=world.dim, penalty=10.0, bias_penalty=10.0).fit(past),
                      "Online MF": OnlineMF(n_factors=world.dim, penalty=10.0, bias_penalty=10.0).fit(past),
                      "optimum": world.kalman().fit(past)}
            known[name] = {model: rmse(predictor, test) for model, predictor in models.items()}
        return known[name]

    return errors


@pytest.mark.twin("drift-is-followed")
@pytest.mark.twin("other-drifts-are-followed")
@pytest.mark.parametrize("world", ["ρ=0.98", "season"])
def test_a_small_rrn_follows_drift(error_in, world):
    error = error_in(world)

    def holds(model):
        closed = (error["MF"] - error[model]) / (error["MF"] - error["optimum"])
        return 0.3 < closed < 1 and error[model] < error["Online MF"] - 0.05

    assert holds("RRN") and not holds("untrained")


def forgetting_ridge(name):
    """The ridge that forgets as the validation steps choose it, its error, and that of one that does not forget."""
    world = RatingWorld(n_users=300, **WORLDS[name])
    train, valid, test = world.sample(0).split_by_time()

    def model(gamma, data):
        kwargs = {"n_factors": world.dim, "penalty": 10.0, "bias_penalty": 10.0, "biased": False}
        return ForgettingMF(gamma, 1.0, DAY, **kwargs).fit(data)

    gamma = min((0.8, 0.85, 0.9, 0.95, 1.0), key=lambda gamma: rmse(model(gamma, train), valid))
    past = concatenate(train, valid)
    return gamma, rmse(model(gamma, past), test), rmse(model(1.0, past), test)


@pytest.mark.claim("forgetting-is-the-rival")
def test_one_number_is_enough_to_pass_a_small_rrn(error_in):
    error = error_in("ρ=0.98")

    def closed(value):
        return (error["MF"] - value) / (error["MF"] - error["optimum"])

    gamma, forgets, keeps = forgetting_ridge("ρ=0.98")
    past, test = parts(RatingWorld(n_users=300, **WORLDS["ρ=0.98"]))
    estimated = rmse(EstimatedKalman(3, step=DAY).fit(past), test)
    assert gamma < 1 and forgets < error["RRN"] and closed(forgets) > 0.8 and closed(keeps) < 0.2
    assert 0.9 < closed(estimated) < 1


@pytest.mark.claim("forgetting-is-the-rival")
def test_where_nothing_moves_nothing_is_forgotten():
    assert forgetting_ridge("ρ=1")[0] == 1.0


@pytest.mark.twin("jumps-are-not-learned")
def test_a_small_rrn_does_not_pass_the_linear_filter_where_tastes_jump():
    past, test = parts(JumpWorld(n_users=300, rho=0.97))
    filtered = rmse(EstimatedKalman(3, step=DAY).fit(past), test)
    still = rmse(MatrixFactorization(n_factors=3, penalty=10.0, bias_penalty=10.0).fit(past), test)

    def holds(model):
        return filtered + 0.02 < rmse(model, test) < still - 0.05

    assert holds(fit(past, SMALL, device="cpu", progress=False)) and not holds(new_model(past, SMALL, device="cpu"))


@pytest.mark.twin("anchors-carry-it")
def test_a_small_rrn_without_anchors_follows_it_less(error_in):
    past, test = parts(RatingWorld(n_users=300, **WORLDS["ρ=0.98"]))
    config, error = replace(SMALL, anchored=False), error_in("ρ=0.98")
    without, untrained = fit(past, config, device="cpu", progress=False), new_model(past, config, device="cpu")

    def holds(model, other):
        return model + 0.02 < other < error["untrained"]

    assert holds(error["RRN"], rmse(without, test))
    assert not holds(error["untrained"], rmse(untrained, test))


@pytest.mark.twin("nothing-moves")
def test_a_small_rrn_loses_a_little_where_nothing_moves(error_in):
    error = error_in("ρ=1")

    def holds(model):
        return error["MF"] < error[model] < 1.6 * error["MF"]

    assert holds("RRN") and not holds("untrained")


@pytest.mark.twin("descent-is-cheaper")
def test_in_a_small_world_one_side_at_a_time_is_cheaper_and_as_good():
    past, test = parts(RatingWorld(n_users=100, n_items=30, n_steps=60))
    error, seconds, untrained = {}, {}, rmse(new_model(past, SMALL, device="cpu"), test)
    for joint in (False, True):
        clock = []
        model = fit(past, replace(SMALL, joint=joint, n_epochs=8, batch_size=128), device="cpu", progress=False,
                    callback=lambda _, clock=clock: clock.append(time.process_time()))
        error[joint], seconds[joint] = rmse(model, test), np.median(np.diff(clock))

    def holds(one_side, both):
        return abs(one_side - both) < 0.1 and max(one_side, both) < 0.97 * untrained

    assert seconds[False] < seconds[True] / 1.2
    assert holds(*error.values()) and not holds(untrained, untrained)


@pytest.mark.twin("rrn-on-top")
def test_a_small_rrn_finds_what_an_online_factorisation_leaves_over():
    past, test = parts(RatingWorld(n_users=300, rho=0.98))

    def online(train):
        return OnlineMF(n_factors=3, penalty=10.0, bias_penalty=10.0).fit(train)

    left, base = left_over(online, past), online(past)
    on_top, untrained = (rmse(Residual(online(past), network), test) for network in (
        fit(left, SMALL, device="cpu", progress=False), new_model(left, SMALL, device="cpu")))
    assert on_top < rmse(base, test) - 0.02 < untrained


@pytest.mark.twin("forgetting-on-real-logs")
@pytest.mark.parametrize("rho,pays", [(1.0, False), (0.98, True)])
def test_forgetting_pays_only_where_tastes_move(rho, pays):
    past, test = parts(RatingWorld(n_users=300, rho=rho))
    forgets, keeps = (rmse(ForgettingMF(gamma, user_penalty=1.0, step=DAY, n_factors=3, penalty=3.0).fit(past), test)
                      for gamma in (0.95, 1.0))
    assert (forgets < keeps - 0.05) == pays and min(forgets, keeps) < 0.8 * test.ratings.std()


@pytest.mark.twin("level-not-taste")
@pytest.mark.parametrize("size,pays", [(0.0, False), (0.3, True)])
def test_smoothing_pays_where_the_errors_of_a_user_have_runs(size, pays):
    past, test = parts(RatingWorld(n_users=300, rho=1.0))
    both, rng, run = concatenate(past, test), np.random.default_rng(0), np.zeros(300)
    values = both.ratings.copy()
    for i, user in enumerate(both.users):  # most of a run is left in the next rating of the user
        run[user] = 0.9 * run[user] + size * rng.normal()
        values[i] += run[user]
    both = replace(both, ratings=values)
    past, test = both.take(slice(past.n_ratings)), both.take(slice(past.n_ratings, None))

    def online(train):
        return OnlineMF(n_factors=3, penalty=10.0, bias_penalty=10.0).fit(train)

    smoothed = Residual(online(past), Smoothing(0.1).fit(left_over(online, past)))
    gain = rmse(online(past), test) - rmse(smoothed, test)
    assert 0.09 < gain < 0.14 if pays else -0.03 < gain < 0
    assert rmse(smoothed, test) < 0.6 * test.ratings.std()
