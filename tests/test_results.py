"""Result files: a malformed one is refused by name and key; what is written is what is read."""

import copy
import json
import math
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.display import HTML
from scipy import stats

from rnnbook import cli, results, tables
from rnnbook.benchmarks.rows import difference_row, p_value
from rnnbook.improved import ImprovedConfig, ImprovedRNN
from tools import pages


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "folders", lambda: [tmp_path])
    return tmp_path


@pytest.fixture
def result():
    fresh = results.new_result("trial", {"name": "world", "sha256": "ab" * 32, "n_train": 10, "n_test": 5},
                               {"k": 20, "seeds": [0, 1]})
    for model, mean in (("popularity", 0.2), ("GRU4Rec", 0.7)):
        for metric in ("recall@20", "mrr@20"):
            fresh["rows"].append({"model": model, "metric": metric, "mean": mean, "low": mean - 0.1,
                                  "high": mean + 0.1, "values": [mean, mean]})
    fresh["paired"].append({"a": "GRU4Rec", "b": "popularity", "metric": "recall@20",
                            "difference": 0.5, "low": 0.4, "high": 0.6})
    fresh["paper"].append({"source": "Table 1", "model": "POP", "metric": "recall@20", "value": 0.005})
    return fresh


def test_what_is_written_is_read(here, result):
    path = results.write(result)
    assert path == here / "trial.json"
    assert [p.name for p in here.iterdir()] == ["trial.json"]  # no partial file is left
    loaded = results.load("trial")
    assert loaded["rows"] == result["rows"] and loaded["seconds"] >= 0
    assert results.names() == ["trial"]
    assert results.value("trial", "GRU4Rec", "mrr@20") == 0.7
    assert set(loaded["machine"]) == {"cpu", "cores", "device"} and loaded["code"] == "unknown"
    assert loaded["packages"]["torch"].startswith("2.") and loaded["created"].endswith("+00:00")


def test_tables(here, result):
    results.write(result)
    shown = results.table("trial", ["mrr@20"])
    assert list(shown.index) == ["GRU4Rec", "popularity"] and list(shown.columns) == ["MRR@20"]
    assert shown.loc["GRU4Rec", "MRR@20"] == "0.70 [0.60, 0.80]"
    result["rows"][3] |= {"low": 0.7, "high": 0.7}
    results.write(result)
    assert results.table("trial").loc["GRU4Rec", "MRR@20"] == "0.700"  # no interval pretended
    assert results.paired_table("trial").to_dict() == {
        "Recall@20, a − b": {("GRU4Rec", "popularity"): "+0.50 [+0.40, +0.60]"}}
    assert results.paper_table("trial").loc[("Table 1", "POP"), "Recall@20"] == "0.0050"
    result["paper"].append({"source": "Table 2", "model": "GRU", "metric": "parameters", "value": 1234})
    results.write(result)
    assert results.paper_table("trial", ["parameters"], 0).to_dict() == {"parameters": {("Table 2", "GRU"): "1,234"}}
    html = results.badge("trial").data
    for fact in (result["commit"][:10], "ab" * 6, "2\N{NO-BREAK SPACE}seeds", "world", "10 events"):
        assert fact in html
    result["config"]["seeds"] = [0]  # one seed, timed twice
    results.write(result)
    assert "2\N{NO-BREAK SPACE}runs" in results.badge("trial").data


def test_p_values_are_corrected_over_the_comparisons_of_one_metric(here, result):
    first = result["paired"][0]
    result["paired"] = [first | {"p": 0.02}, first | {"metric": "mrr@20", "p": 0.04}, first | {"b": "KNN", "p": 1e-5}]
    results.write(result)  # Holm: over the comparisons of one metric
    shown = results.paired_table("trial")
    assert shown["Recall@20, p, Holm"].to_dict() == {("GRU4Rec", "popularity"): "0.020", ("GRU4Rec", "KNN"): "< 0.001"}
    assert shown["MRR@20, p, Holm"].to_dict() == {("GRU4Rec", "popularity"): "0.040", ("GRU4Rec", "KNN"): ""}


def test_holm_is_the_least_level_at_which_each_is_rejected():
    """By its definition: in rising order, p_k must be at most level / (n − k), and so must all before it."""
    p = np.random.default_rng(0).random(9)**3
    ranked = np.sort(p)
    for each, corrected in zip(p, results.holm(p)):
        def rejected(level, each=each):
            bounds = level / np.arange(len(p), 0, -1)
            return (ranked <= bounds)[:np.searchsorted(ranked, each) + 1].all()
        assert corrected == 1 or rejected(corrected + 1e-12)
        assert not rejected(corrected - 1e-12)


def test_p_values_are_those_of_the_intervals():
    differences = np.random.default_rng(0).normal(0.5, 1, 8)
    row = difference_row("a", "b", "rmse", differences)
    assert row["p"] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-12)
    assert p_value(0.2, 0.1, stats.norm) == pytest.approx(2 * stats.norm.sf(2 * 1.959963984540054), rel=1e-12)
    assert p_value(0.1, 0.0, stats.norm) == 0.0
    assert [results._p_value(mean, mean, mean) for mean in (0.1, 0.0)] == [0.0, 1.0]
    assert results._p_value(0.2, 0.1, 0.3) == pytest.approx(p_value(0.2, 0.1, stats.norm), rel=1e-9)


def test_beside_a_paper(here, result):
    result["paper"].append({"source": "Table 1", "model": "GRU", "metric": "recall@20", "value": 0.605})
    result["paper"].append({"source": "Table 2", "model": "POP", "metric": "recall@20", "value": 0.9})
    results.write(result)
    pairs = {"POP": "popularity", "KNN": "", "GRU": "GRU4Rec"}
    shown = results.beside("trial", "Table 1", "recall@20", pairs, "GRU")
    assert shown.loc["POP"].tolist() == ["0.0050", "0.20 [0.10, 0.30]", "2", "+0.6000", "+0.50 [+0.40, +0.60]"]
    assert shown.loc["KNN"].tolist() == [""] * 5
    assert shown.loc["GRU"].tolist() == ["0.6050", "0.70 [0.60, 0.80]", "2", "", ""]
    theirs_alone = results.beside("trial", "Table 1", "recall@20", dict.fromkeys(("POP", "GRU"), ""), "GRU")
    assert list(theirs_alone.columns) == ["paper", "difference, paper"]
    with pytest.raises(KeyError, match="no recall@20 of nobody"):
        results.beside("trial", "Table 1", "recall@20", {"POP": "nobody", "GRU": "GRU4Rec"}, "GRU")
    with pytest.raises(KeyError, match=r"no mrr@20 of 'Table 1'; it has: Table 1: recall@20, Table 2: recall@20"):
        results.beside("trial", "Table 1", "mrr@20", pairs, "GRU")


def test_badge_escapes(here, result):
    result["data"]["name"] = "<script>alert(1)</script>"
    results.write(result)
    assert "<script>" not in results.badge("trial").data


@pytest.mark.parametrize(("path", "broken", "message"), [
    (["rows", 1, "mean"], None, r"rows\[1\].mean is missing"),
    (["rows", 0, "mean"], "0.7", r"rows\[0\].mean must be a number"),
    (["rows", 0, "mean"], True, r"rows\[0\].mean must be a number"),
    (["rows", 0, "mean"], float("nan"), r"rows\[0\].mean is nan"),
    (["rows", 0, "values"], [], r"rows\[0\].values is empty"),
    (["rows", 0, "low"], 2.0, r"rows\[0\].low is above"),
    (["paired", 0, "b"], None, r"paired\[0\].b is missing"),
    (["data", "sha256"], None, "data.sha256 is missing"),
    (["code"], 5, "code must be a str"),
    (["data"], [], "data must be a dict"),
    (["paper"], None, "paper is missing"),
    (["experiment"], "other", "the file's name says 'trial'"),
])
def test_malformed_file_is_named(here, result, path, broken, message):
    parent = result
    for key in path[:-1]:
        parent = parent[key]
    if broken is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = broken
    (here / "trial.json").write_text(json.dumps(result))
    with pytest.raises(ValueError, match=rf"trial\.json: .*{message}"):
        results.load("trial")


def test_a_broken_result_leaves_the_old_file(here, result):
    results.write(result)
    before = (here / "trial.json").read_text()
    broken = copy.deepcopy(result)
    del broken["rows"][0]["metric"]
    with pytest.raises(ValueError, match="metric is missing"):
        results.write(broken)
    assert (here / "trial.json").read_text() == before


def test_not_json_and_not_there(here):
    (here / "cut.json").write_text('{"experiment": ')
    with pytest.raises(ValueError, match=r"cut\.json: not JSON"):
        results.load("cut")
    with pytest.raises(FileNotFoundError, match="reproduce nowhere"):
        results.load("nowhere")


def test_unknown_model_is_named(here, result):
    results.write(result)
    with pytest.raises(KeyError, match="no mrr@20 of nobody"):
        results.value("trial", "nobody", "mrr@20")


@pytest.mark.parametrize("name,module", [
    ("gru4rec-yoochoose-100k", "gru4rec"), ("bugs-yoochoose-100k", "bugs"), ("improved-yoochoose-100k", "improved"),
    ("rrn-movielens-100k", "rrn_logs"), ("rrn-movietweetings-100k", "rrn_logs"),
    ("rrn-movielens-latest-small", "rrn_logs"), ("joint-gift-cards", "joint")])
def test_the_papers_figures_are_those_of_the_benchmark(name, module):
    assert results.load(name)["paper"] == import_module(f"rnnbook.benchmarks.{module}").PAPER


def test_the_new_figures_of_what_we_had_wrong_are_those_of_the_results():
    text = " ".join((pages.ROOT / "book" / "claims.md").read_text(encoding="utf-8").split())
    name = "gru4rec-yoochoose-100k"
    best = results.load(name)["best on validation"]
    found = {(row["a"], row["b"], row["metric"]): row["difference"] for row in results.load(name)["paired"]}
    recall, mrr = (min(found[f"four days · {best}", f"four days · {rival}", metric]
                       for rival in ("S-KNN", "V-SKNN", "STAN", "VSTAN")) for metric in ("recall@20", "mrr@20"))
    assert f"ahead of the best by {recall:.3f} in Recall@20, and behind by {-mrr:.3f} in MRR@20" in text
    closed = results.rows("rrn-world", "gap_closed")
    rrn, ridge, kalman = (closed[f"ρ=0.98 · {model}"]["mean"] for model in (
        "RRN", "Forgetting MF", "Estimated Kalman filter"))
    assert f"the RRN closes {rrn:.0%}, the ridge {ridge:.0%} and the filter {kalman:.1%}".replace("%", " %") in text
    rmse = results.rows("joint-world", "rmse")

    def share(n):
        blind, found, best = (np.array(rmse[f"n={n} · {arm}"]["values"]) for arm in (
            "optimum of the ratings alone", "ratings and reviews", "optimum"))
        return ((blind - found) / (blind - best)).mean()

    assert f"in the world where qualities stay: {share(1):.0%} and {share(3):.0%}".replace("%", " %") in text
    again = next(row["difference"] for row in results.load("joint-world")["paired"]
                 if (row["a"], row["metric"]) == ("n=1 · reviews: rating", "rmse"))
    assert f"raises the RMSE by {again:.3f} with one review an item" in text
    ideas = {(row["a"], row["b"], row["metric"]): row["difference"]
             for row in results.load("improved-yoochoose-100k")["paired"]}
    own, shared = (-ideas[f"M + prefixes{table}", f"M1{table}", "recall@20"] for table in ("", ", shared table"))
    assert f"there it raises Recall@20 by {own:.3f}, and with a shared table by {shared:.3f}" in text
    cost = rmse["n=1 · reviews: rating"]["mean"] - rmse["n=1 · ratings alone"]["mean"]
    assert f"raises the RMSE by {cost:.3f} with one" in text
    losses = results.rows("gru4rec-losses", "recall@20")
    worse = losses["BPR"]["mean"] - losses["BPR, times N_S"]["mean"]
    assert f"BPR is worse by {worse:.3f} in Recall@20" in text
    blind = {row["a"]: row["difference"] for row in results.load("gru4rec-state")["paired"]
             if row["b"] == "four days · GRU4Rec, last click only" and row["metric"] == "recall@20"}
    assert f"loses {blind['four days · GRU4Rec']:.3f} in Recall@20 over four days" in text
    assert f"{-blind['four days · Markov']:.3f} above the Markov chain" in text
    behind = {name: next(row for row in results.load(name)["paired"] if (row["a"], row["b"]) == ("RRN", "Online MF"))
              for name in ("rrn-movielens-100k", "rrn-movietweetings-100k")}
    tweets = behind["rrn-movietweetings-100k"]
    assert f"the past alone deciding who is active: {tweets['difference']:.3f} above, within the interval" in text
    assert tweets["low"] < 0 < tweets["high"] and behind["rrn-movielens-100k"]["low"] > 0


def published(name, source):
    """{(model, metric): value} of one of the papers' tables."""
    found = {(row["model"], row["metric"]): row["value"] for row in results.load(name)["paper"]
             if row["source"] == source}
    assert found
    return found


def test_the_papers_tables_agree_with_each_other_and_with_what_is_said_of_them():
    tan = published("improved-yoochoose-100k", "RSC15, Tan et al. 2016")
    hidasi = published("gru4rec-yoochoose-100k", "RSC15, as published")
    cited = {key: value for key, value in tan.items() if key in hidasi}
    assert len(cited) == 8 and all(hidasi[key] == value for key, value in cited.items())
    gains = {metric: tan["M2, 100 units", metric] / tan[f"GRU4Rec {loss}, 1000 units (2016)", metric] - 1
             for metric, loss in (("recall@20", "BPR"), ("mrr@20", "TOP1"))}
    assert {metric: round(100 * gain, 1) for metric, gain in gains.items()} == {"recall@20": 12.8, "mrr@20": 14.8}
    for units in (100, 1000):  # ours, with a place for the padding: three biases more for each unit, none hidden in M4
        ours = {output: sum(p.numel() for p in ImprovedRNN(
            range(37_484), ImprovedConfig(hidden_size=units, output=output), "meta").parameters())
            for output in ("softmax", "embedding")}
        assert ours["softmax"] - tan[f"M1 to M3, {units} units", "parameters"] == 3 * units
        assert ours["embedding"] < tan[f"M4, {units} units", "parameters"]

    rrn = "rrn-movielens-100k"
    core, imdb = (published(rrn, s) for s in ("IMDb, 15-core, Wu et al. 2017a", "IMDb, Wu et al. 2017b"))
    assert core.keys() == imdb.keys() and all(core[key] < imdb[key] for key in imdb)
    months, everything = (published(rrn, f"Netflix, {s}, Wu et al. 2017b") for s in ("6 months", "all"))
    order = [sorted(table, key=table.get) for table in (core, imdb, months, everything)]
    assert all(ranks[0] == ("RRN", "rmse") for ranks in order) and order[0] != order[1] != order[2]
    steps = published(rrn, "Netflix, 6 months, by step, Wu et al. 2017b")
    assert steps["RRN, 1 day / 7 days", "rmse"] == months["RRN", "rmse"]
    for one in ("1 day", "7 days"):
        assert steps[f"RRN, 1 day / {one}", "seconds, users"] > steps[f"RRN, 7 days / {one}", "seconds, users"]
        assert steps[f"RRN, {one} / 1 day", "seconds, items"] > steps[f"RRN, {one} / 7 days", "seconds, items"]
    assert published("joint-gift-cards", "IMDb, 15-core, Wu et al. 2017a")["RRN", "rmse"] == core["RRN", "rmse"]


def test_what_the_page_of_results_says_beside_the_tables():
    def paired(name, metric):
        found = {}
        for row in results.load(name)["paired"]:
            if row["metric"] == metric:
                found[row["a"], row["b"]] = row["low"], row["high"]
                found[row["b"], row["a"]] = -row["high"], -row["low"]
        return found

    clicks = paired("improved-yoochoose-100k", "recall@20")
    assert clicks["M1", "GRU4Rec cross-entropy"][1] < 0  # M1 does not beat it
    assert clicks["recent only, 1/4", "M1"][1] < -0.1  # the last quarter alone loses much
    assert max(map(abs, clicks["M2, 1/4", "M1"])) < 0.01  # fine-tuning on it changes little
    assert max(results.load("improved-yoochoose-100k")["config"]["days spanned by a fraction"].values()) < 1.5
    for name in ("rrn-movielens-100k", "rrn-movietweetings-100k"):
        rmse = results.rows(name, "rmse")
        assert rmse["RRN"]["mean"] < min(rmse[rival]["mean"] for rival in ("PMF (no biases)", "TimeSVD++", "I-AutoRec"))
        assert paired(name, "rmse")["RRN on Online MF", "Online MF"][1] < 0
    lens, tweets = (paired(name, "rmse") for name in ("rrn-movielens-100k", "rrn-movietweetings-100k"))
    assert lens["RRN", "Online MF"][0] > 0 and tweets["RRN", "U-AutoRec"][1] < -0.05
    auto = results.rows("rrn-movielens-100k", "rmse")["U-AutoRec"]["mean"]
    assert auto < results.rows("rrn-movielens-100k", "rmse")["RRN"]["mean"] and lens["RRN", "U-AutoRec"][0] < 0
    low, high = paired("rrn-movietweetings-100k", "rmse")["RRN", "Biases"]
    assert low < 0 < high
    low, high = paired("joint-gift-cards", "rmse")["ratings and reviews", "ratings alone"]
    wu = published("joint-gift-cards", "IMDb, 15-core, Wu et al. 2017a")
    assert low < wu["RRN and reviews", "rmse"] - wu["RRN", "rmse"] < high  # a gain of this size is inside ours


def test_what_the_figures_of_who_is_ahead_are_said_to_show():
    def verdicts(name, model, rivals, metric, prefix=""):
        found = results.lead(name, prefix + model, [prefix + rival for rival in rivals], metric)
        return {rival.removeprefix(prefix): results.verdict(row) for rival, row in found.items()}

    knn = ["Markov", "S-KNN", "V-SKNN", "STAN", "VSTAN"]
    clicks = [verdicts("gru4rec-yoochoose-100k", "GRU4Rec cross-entropy", knn, metric, "four days · ")
              for metric in ("recall@20", "mrr@20")]
    assert clicks == [dict.fromkeys(knn, "ahead"), dict.fromkeys(knn, "ahead") | {"VSTAN": "behind"}]
    rivals, name = ["V-SKNN", "GRU4Rec cross-entropy", "M1, shared table"], "improved-yoochoose-100k"
    for metric in ("recall@20", "mrr@20"):
        assert verdicts(name, "M1", ["M, whole sessions", *rivals], metric) == (
            {"M, whole sessions": "ahead"} | dict.fromkeys(rivals, "behind"))
    recall = results.rows(name, "recall@20")
    others = [recall[arm]["mean"] - recall["M + prefixes"]["mean"] for arm in recall
              if re.match("M[1-4]$|M3|M2", arm) and "shared" not in arm]
    assert recall["M1, shared table"]["mean"] - recall["M1"]["mean"] > max(others)  # worth more than the other ideas
    kept_up, fixed = ["Online MF", "Estimated Kalman filter", "Forgetting MF"], ["PMF (no biases)", "Biases"]
    assert verdicts("rrn-movielens-100k", "RRN", [*kept_up, "U-AutoRec", *fixed], "rmse") == (
        dict.fromkeys(kept_up, "behind") | {"U-AutoRec": "not certain"} | dict.fromkeys(fixed, "ahead"))
    tweets = verdicts("rrn-movietweetings-100k", "RRN", [*kept_up, "PMF (no biases)", "I-AutoRec", "TimeSVD++",
                                                         "U-AutoRec", "Biases"], "rmse")
    assert {rival for rival, said in tweets.items() if said == "ahead"} == {
        "PMF (no biases)", "U-AutoRec", "I-AutoRec", "Estimated Kalman filter"}
    assert "behind" not in tweets.values()
    years = verdicts("rrn-movielens-latest-small", "RRN", [*kept_up, "PMF (no biases)", "I-AutoRec", "TimeSVD++",
                                                           "U-AutoRec", "Biases"], "rmse")
    assert {rival for rival, said in years.items() if said != "ahead"} == {"Forgetting MF"} and (
        years["Forgetting MF"] == "not certain")
    cells, ahead = ["GRU4Rec", "SASRec", "LRU", "minGRU"], {"GRU4Rec": "ahead", "SASRec": "ahead"}
    moods = [verdicts("after-worlds", "GRU", cells, "recall@20", f"moods · N={n} · ") for n in (10_000, 160_000)]
    assert moods == [ahead | {"LRU": "ahead", "minGRU": "not certain"},
                     ahead | {"LRU": "not certain", "minGRU": "ahead"}]
    assert verdicts("after-yoochoose-100k", "GRU", cells, "recall@20") == ahead | {"LRU": "behind", "minGRU": "behind"}
    assert verdicts("after-video", "GRU", cells, "recall@20") == {
        "SASRec": "ahead", "LRU": "ahead", "GRU4Rec": "not certain", "minGRU": "not certain"}
    rmse = results.rows("joint-world", "rmse")
    for n in (1, 3):
        means = [np.array(rmse[f"n={n} · {arm}"]["values"]) for arm in (
            "optimum", "word ridge", "ratings and reviews", "optimum of the ratings alone")]
        assert (np.diff(means, axis=0) > 0).all()  # in every draw
    seeds = results.rows("rnn-memory", "accuracy, distance 40")
    assert min(seeds["vanilla"]["values"]) < 0.3 and max(seeds["vanilla"]["values"]) > 0.85


@pytest.mark.parametrize("name", results.names())
def test_every_result_file_of_the_book_is_sound(name):
    assert results.load(name)["rows"]


def test_rows_and_differences_are_found_either_way_round(here, result):
    results.write(result)
    assert results.rows("trial", "mrr@20")["GRU4Rec"]["high"] == pytest.approx(0.8)
    assert set(results.rows("trial", "mrr@20")) == {"GRU4Rec", "popularity"}
    assert results.difference("trial", "GRU4Rec", "popularity", "recall@20") == "+0.50 [+0.40, +0.60]"
    assert results.difference("trial", "popularity", "GRU4Rec", "recall@20") == "-0.50 [-0.60, -0.40]"
    with pytest.raises(KeyError, match="no paired difference of GRU4Rec and popularity in mrr@20"):
        results.difference("trial", "GRU4Rec", "popularity", "mrr@20")


# --- Tables as pages show them -----------------------------------------------------------------------------


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.sampled_from(["", "+"]))
@example(10.5, 0.99999, "+")  # three digits of it are those of 1
def test_an_interval_has_no_digit_that_it_leaves_open_and_none_too_few(mean, half, sign):
    texts = re.findall(r"[-+\d.,]+", tables.interval(mean, mean - half, mean + half, sign).replace(", ", " "))
    shown, low, high = (float(text.replace(",", "")) for text in texts)
    assert low <= shown <= high and low < high  # it still is one
    step = 10.0 ** math.floor(math.log10(half * 1.0000001))  # the place of the first digit of half its width
    assert max(abs(shown - mean), abs(low - mean + half), abs(high - mean - half)) <= step / 2 * 1.0001
    for text in texts:  # at most two digits of half the width
        assert len(text.partition(".")[2]) <= max(0, 1 - math.floor(math.log10(half * 1.001)))
    assert not re.search(r"-0(\.0*)?(?![\d.])", " ".join(texts))


def cells_of(frame):
    return re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", tables.html(frame))


def test_a_table_has_one_head_and_no_empty_column_and_unbroken_intervals():
    frame = pd.DataFrame({
        "RMSE": [0.51234, 12.0], "empty": ["", None], "gain": ["-0.000 [-0.001, +0.000]", "1.5 (1 to 2)"],
        "share": ["43%", "-7 % [-9 %, -5 %]"], "note": ["<b>", HTML("<i>x</i>")]},
        index=pd.Index(["MF", "RRN"], name="model"))
    assert cells_of(frame) == [
        "model", "RMSE", "gain", "share", "note", "MF", "0.512", "0.000 [−0.001,\xa00.000]", "43\xa0%", "&lt;b&gt;",
        "RRN", "12.0", "1.5 (1\xa0to\xa02)", "−7\xa0% [−9\xa0%,\xa0−5\xa0%]", "<i>x</i>"]
    assert tables.html(frame).count("<tr>") == 3
    counts = pd.DataFrame({"n": [1, 12_345, None]}, dtype=object)
    assert cells_of(counts) == ["n", "1", "12,345", ""]  # the numbers of the rows are left out
    assert cells_of(pd.DataFrame({"a": [0.4, 0.123456], "b": [1e-9, 98_765.0]}, index=["x", "y"]))[3:] == [
        "x", "0.400", "0.000000001", "y", "0.123", "98,800"]


def test_heads_and_labels_of_several_levels():
    columns = pd.MultiIndex.from_tuples([("test day", "Recall"), ("test day", "MRR"), ("four days", "MRR")])
    index = pd.MultiIndex.from_tuples([("Table 1", "POP"), ("Table 1", "GRU"), ("Table 2", "GRU")],
                                      names=["source", "model"])
    shown = tables.html(pd.DataFrame(0.5, index, columns))
    assert '<td></td><td></td><th colspan="2">test day</th><th colspan="1">four days</th></tr>' in shown
    assert ('<tr><th class="words">source</th><th class="words">model</th><th>Recall</th><th>MRR</th><th>MRR</th></tr>'
            in shown)
    assert re.findall(r"<th( class=\"again\")?>Table (\d)", shown) == [("", "1"), (' class="again"', "1"), ("", "2")]


def test_labels_name_losses_as_the_text_does_and_leave_settings_alone():
    pair = pd.MultiIndex.from_tuples([("GRU4Rec bpr-max", "peer, top1, batch 32")], names=["a", "b"])
    assert cells_of(pd.DataFrame({"top1-max": ["bpr"]}, pair)) == [
        "a", "b", "TOP1-max", "GRU4Rec BPR-max", "peer, TOP1, batch 32", "bpr"]  # a cell may be a setting's value
    assert cells_of(pd.DataFrame({"BPR": [1]}, ["bpr_max_regularization"])) == [
        "", "BPR", "bpr_max_regularization", "1"]


def test_who_is_ahead(here, result):
    pair = {"a": "GRU4Rec", "metric": "rmse", "difference": -0.5, "low": -0.6, "high": -0.4}
    result["paired"] = [pair | {"b": "popularity"}, pair | {"b": "KNN", "difference": 0.1, "low": 0.0, "high": 0.2},
                        pair | {"b": "MF", "p": 0.9}]
    results.write(result)
    found = results.lead("trial", "GRU4Rec", ["popularity", "KNN", "MF"], "rmse")
    assert [found["popularity"][end] for end in ("mean", "low", "high")] == [0.5, 0.4, 0.6]  # less is better
    assert {rival: results.verdict(row) for rival, row in found.items()} == {
        "popularity": "ahead", "KNN": "not certain", "MF": "not certain"}
    assert found["KNN"]["p"] == pytest.approx(2 * 0.05) and found["MF"]["p"] == 0.9  # Holm: the second of three
    assert results.verdict(results.lead("trial", "GRU4Rec", ["KNN"], "rmse")["KNN"] | {"p": 0.01}) == "behind"


def test_a_file_opens_with_all_its_rows(here, result):
    extra = {"model": "GRU4Rec", "metric": "seconds", "mean": 3.0, "low": 3.0, "high": 3.0, "values": [3.0]}
    result["rows"] += [extra | {"model": "clock"}]
    results.write(result)
    shown = results.folded("trial").data
    tables = re.findall(r"<thead>(.*?)</thead>", shown)
    assert [re.findall(r"<th[^>]*>(.*?)</th>", head) for head in tables] == [
        ["model", "Recall@20", "MRR@20"], ["model", "seconds"], ["a", "b", "Recall@20, a − b"],
        ["source", "model", "Recall@20"]]
    assert shown.startswith('<details class="fold"><summary>trial</summary><p class="provenance"')


# --- Stale results ----------------------------------------------------------------------------------------


def badge_of(result):
    results.write(result)
    return results.badge(result["experiment"]).data


def test_a_result_of_the_code_that_is_here_is_fresh_and_one_of_other_code_is_stale(here, result):
    result |= {"experiment": "gru4rec-world", "code": results.code("gru4rec-world"), "commit": "abc1234" * 6}
    assert "earlier version" not in badge_of(result)
    assert results.overview().loc["gru4rec-world", "state"] == "fresh"
    assert (results.overview()["state"] == "not made").sum() == len(results.overview()) - 1
    assert ("<br>Made with an earlier version of the code (commit abc1234abc) and not made again since.</p>"
            in badge_of(result | {"code": "0" * 64}))
    assert results.overview().loc["gru4rec-world", "state"] == "stale"


def test_a_result_from_before_there_was_a_digest_is_stale(here, result):
    result["experiment"] = "gru4rec-world"
    path = results.write(result)
    old = json.loads(path.read_text())
    del old["code"]
    path.write_text(json.dumps(old))
    assert results.load("gru4rec-world")["code"] == "unknown"
    assert "earlier version of the code" in results.badge("gru4rec-world").data


def test_a_new_result_has_the_digest_of_its_code():
    data = {"name": "world", "sha256": "ab" * 32, "n_train": 10, "n_test": 5}
    assert results.new_result("joint-world", data, {})["code"] == results.code("joint-world")


def test_results_are_listed_and_the_stale_ones_are_run_again(here, result, monkeypatch, capsys):
    for name, code, seconds in (("gru4rec-world", results.code("gru4rec-world"), 60), ("joint-world", "0" * 64, 120)):
        results.write(result | {"experiment": name, "code": code, "seconds": seconds})
    cli.main(["reproduce", "--list"])
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["gru4rec-world"] == ["fresh", "1.0"] and lines["joint-world"] == ["stale", "2.0"]
    assert lines["rrn-world"] == ["not", "made"]
    assert lines["stale"] == ["1", "2.0"] and lines["all"] == [str(len(cli.EXPERIMENTS)), "3.0"]

    ran = []
    failed = subprocess.CompletedProcess([], returncode=1)
    monkeypatch.setattr(cli.subprocess, "run", lambda words: ran.append(words[-1]) or failed)
    with pytest.raises(SystemExit, match="1"):
        cli.main(["reproduce", "--stale"])
    assert ran == ["joint-world"] and capsys.readouterr().err == "not made again: joint-world\n"


INSTALLED = """
import sys
from pathlib import Path
from rnnbook import benchmarks, cli, results
assert Path(results.__file__).is_relative_to(sys.argv[1]) and results.folders()[1].is_relative_to(sys.argv[1])
benchmarks.EXPERIMENTS["trial"] = "trial"
cli.main(["reproduce", "trial"])
assert results.load("trial")["rows"] == [] and results.names() == ["before", "trial"]
assert results.load("before")["config"] == {"old": True}
"""
TRIAL = """
from rnnbook import results
def main(experiment):
    results.write(results.load("before") | {"experiment": experiment, "rows": []})
"""


@pytest.mark.parametrize("checkout", [False, True])
def test_an_installed_package_writes_into_the_current_folder_and_never_into_itself(result, tmp_path, checkout):
    site, work = tmp_path / "site", tmp_path / "work"
    shutil.copytree(pages.ROOT / "rnnbook", site / "rnnbook", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(pages.ROOT / "benchmarks", site / "rnnbook" / "benchmarks",
                    ignore=shutil.ignore_patterns("results", "__pycache__"))
    (site / "rnnbook" / "benchmarks" / "trial.py").write_text(TRIAL)
    packaged = site / "rnnbook" / "benchmarks" / "results"
    packaged.mkdir()
    (packaged / "before.json").write_text(json.dumps(result | {"experiment": "before", "config": {"old": True}}))
    wanted = work / "benchmarks" / "results" if checkout else work / "results"
    (wanted if checkout else work).mkdir(parents=True)
    done = subprocess.run([sys.executable, "-c", INSTALLED, site], cwd=work, env=os.environ | {"PYTHONPATH": str(site)},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"The result is in {wanted / 'trial.json'}\n"
    assert [path.name for path in packaged.iterdir()] == ["before.json"]
