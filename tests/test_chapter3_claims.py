"""What chapter 3 claims beyond `test_improved.py`: the exact chain, and what its result files show."""

import numpy as np
import pytest

from rnnbook import results
from rnnbook.worlds import FutureChain


def paired(name, a, b, metric):
    rows = results.load(name)["paired"]
    return next(row for row in rows if (row["a"], row["b"], row["metric"]) == (a, b, metric))


# --- The chain --------------------------------------------------------------------------------------------


@pytest.mark.claim("future-teacher-is-biased")
def test_a_perfect_teacher_of_the_future_is_biased_and_one_of_both_is_not():
    chain = FutureChain()
    variation = np.abs(chain.teacher_mean("future") - chain.transition).sum(1) / 2
    assert variation.min() > 0.1 and variation.mean() > 0.3
    np.testing.assert_allclose(chain.teacher_mean("both"), chain.transition, atol=1e-12)


@pytest.mark.claim("lambda-trades-bias-for-variance")
def test_the_best_strength_falls_with_the_visits_only_if_the_teacher_is_biased():
    chain, strengths, visits = FutureChain(), np.linspace(0, 1, 101), (3, 10, 30, 100, 1000)

    def best(n, sees):
        return strengths[np.argmin([chain.error(s, n, sees).mean() for s in strengths])]

    biased = [best(n, "future") for n in visits]
    assert all(np.diff(biased) < 0) and biased[0] > 0.4 and biased[-1] <= 0.01
    assert all(chain.error(1, n, "future").mean() > chain.error(0, n, "future").mean() for n in visits if n >= 10)
    assert {best(n, "both") for n in visits} == {1.0}


# --- Results ----------------------------------------------------------------------------------------------


def kl_difference(n, sees, which):
    return paired("improved-privileged", f"N={n} · {sees} · {which}", f"N={n} · {sees} · 0", "kl")


@pytest.mark.claim("teachers-help-with-little-data")
def test_teachers_help_with_a_hundred_sessions_and_the_biased_one_must_not_be_believed():
    assert all(kl_difference(100, sees, "chosen")["high"] < 0 for sees in ("future", "both"))
    harm = [kl_difference(n, "future", "1") for n in (100, 300, 1000, 10000)]
    assert all(row["low"] > 0 for row in harm)
    assert sorted(row["difference"] for row in harm) == [row["difference"] for row in harm]
    kl = results.rows("improved-privileged", "kl")
    assert all(kl[f"N={n} · future · 1"]["low"] > kl[f"N={n} · both · 1"]["high"] for n in (300, 1000, 10000))


@pytest.mark.claim("unbiased-teacher-from-300")
@pytest.mark.parametrize("n", [300, 1000, 10000])
def test_with_more_sessions_the_unbiased_teacher_makes_no_clear_difference(n):
    row = kl_difference(n, "both", "chosen")
    assert row["low"] < 0 < row["high"]
    assert results.value("improved-privileged", f"N={n} · both · 0", "kl") < 0.2  # there was something to be had


@pytest.mark.claim("fine-tuning-after-a-break")
def test_fine_tuning_after_a_break_beats_both_arms_and_costs_nothing_without_one():
    def difference(kind, arm):
        return paired("improved-drift", f"{kind} · pre-train, fine-tune", f"{kind} · {arm}", "recall@20")

    share = results.rows("improved-drift", "oracle_share")
    assert share["drift · pre-train, fine-tune"]["low"] > 0.95
    assert difference("drift", "all sessions")["low"] > 0 and difference("drift", "recent only")["low"] > 0
    assert difference("no drift", "recent only")["low"] > 0 and difference("no drift", "all sessions")["high"] > 0
    recall = results.rows("improved-drift", "recall@20")
    assert recall["drift · all sessions"]["high"] < recall["drift · Last-item ceiling"]["low"]


@pytest.mark.claim("deletion-against-accidents")
def test_deletion_makes_no_clear_difference_whatever_the_noise():
    setting = results.load("improved-noise")["config"]
    gains = {q: [paired("improved-noise", f"noise {q:g} · deletion {rate:g}", f"noise {q:g} · deletion 0", "recall@20")
                 for rate in setting["deletion"] if rate] for q in setting["noise"]}
    assert all(row["low"] < 0 < row["high"] for rows in gains.values() for row in rows)
    assert max(row["difference"] for row in gains[0.4]) < max(row["difference"] for row in gains[0.0])
    recall = results.rows("improved-noise", "recall@20")  # the models did learn, and there was room above them
    assert recall["noise 0 · deletion 0"]["low"] > recall["noise 0 · Last-item ceiling"]["high"]
    for q in gains:
        assert recall[f"noise {q:g} · deletion 0"]["high"] < recall[f"noise {q:g} · Bayes optimum"]["low"]


def on_clicks(a, b, metric="recall@20"):
    return paired("improved-yoochoose-100k", a, b, metric)


@pytest.mark.claim("prefixes-on-real-clicks")
def test_prefixes_are_worth_most_and_deletion_some_on_real_clicks():
    others = ("M + prefixes", "M3, teacher sees x*", "M3, teacher sees (x, x*)", "M4", "M2, 1/4")
    for metric in ("recall@20", "mrr@20"):
        prefixes = on_clicks("M + prefixes", "M, whole sessions", metric)
        assert prefixes["low"] > 0.05
        assert all(max(abs(row["low"]), abs(row["high"])) < prefixes["low"]
                   for row in (on_clicks(name, "M1", metric) for name in others))
        for sees in ("x*", "(x, x*)"):
            teacher = on_clicks(f"M3, teacher sees {sees}", "M1", metric)
            assert teacher["low"] < 0 < teacher["high"]
    assert on_clicks("M + prefixes", "M1")["high"] < 0
    deletion = on_clicks("M + prefixes", "M1", "mrr@20")
    assert deletion["low"] < 0 < deletion["high"]


@pytest.mark.claim("m1-and-gru4rec")
def test_m1_stays_below_gru4rec_until_it_shares_its_table():
    assert all(on_clicks("M1", "GRU4Rec cross-entropy", metric)["high"] < 0 for metric in ("recall@20", "mrr@20"))
    shared = on_clicks("M1, shared table", "GRU4Rec cross-entropy")
    assert shared["low"] < 0 < shared["high"]
    assert on_clicks("M1, shared table", "M1")["low"] > 0


@pytest.mark.claim("fine-tuning-within-a-week")
@pytest.mark.parametrize("fraction", ["1/256", "1/64", "1/16", "1/4"])
def test_within_a_week_fine_tuning_changes_nothing_and_recent_sessions_are_too_few(fraction):
    for metric in ("recall@20", "mrr@20"):
        row = on_clicks(f"M2, {fraction}", "M1", metric)
        assert row["low"] < 0 < row["high"]
        assert on_clicks(f"recent only, {fraction}", "M1", metric)["high"] < 0


@pytest.mark.claim("a-step-that-does-not-see-the-catalogue")
def test_the_output_embedding_costs_the_same_for_any_catalogue_and_some_recall():
    seconds, recall = (results.rows("improved-catalogue", metric) for metric in ("step_seconds", "recall@20"))
    sizes = results.load("improved-catalogue")["config"]["catalogues"]
    assert (sizes[0], sizes[-1]) == (1_000, 1_000_000)

    def growth(name):
        return seconds[f"m={sizes[-1]} · {name}"]["mean"] / seconds[f"m={sizes[0]} · {name}"]["mean"]

    assert growth("full softmax") > 100 and growth("output embedding") < 1.5
    for m in sizes:
        names = "output embedding", "sampled softmax", "Bayes optimum"
        reached = [recall[f"m={m} · {name}"]["mean"] for name in names]
        assert reached == sorted(reached) and reached[0] > 0
