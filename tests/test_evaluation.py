"""Protocols of evaluation: by hand, by enumeration of every sample, and the claims of the page about them."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metrics import Scripted, noisy_oracle, random_data, sessions, zeros

from rnnbook import metrics, results
from rnnbook.baselines import ItemKNN, Markov, Popularity, PopularityTies
from rnnbook.benchmarks import evaluation
from rnnbook.interactions import SessionData
from rnnbook.metrics import Protocol, candidate_counts, evaluate_sessions, gains, sampled_gains
from rnnbook.worlds import SessionWorld

__all__ = ["random_data"]  # a fixture
HALF = {"standard": 0, "median": 0.5, "conservative": 1}


def coarse(data, position):
    """A row of few different scores, which depends on the position alone."""
    return np.random.default_rng(position).integers(5, size=data.n_items).astype(float)


def same(a, b):
    return (a.recall, a.mrr, a.ndcg, a.intervals) == (b.recall, b.mrr, b.ndcg, b.intervals) and np.array_equal(a.ranks,
                                                                                                               b.ranks)


# Protocol -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field, value, says", [
    ("ties", "random", "ties must be one of standard, conservative, median, not 'random'"),
    ("targets", "first", "targets must be one of all, last"), ("average", "user", "average must be one of event"),
    ("sampling", "zipf", "sampling must be one of uniform, popularity"), ("min_support", -1, "min_support must be 0"),
    ("negatives", 0, "negatives must be None, for all items, or 1 or more, not 0")])
def test_a_protocol_that_makes_no_sense_is_refused(field, value, says):
    with pytest.raises(ValueError, match=says):
        Protocol(**{field: value})


def test_the_default_is_the_books(random_data):
    model = Scripted(random_data.item_ids, noisy_oracle)
    assert Protocol().ranks_all and str(Protocol()) == "conservative ties"
    assert same(evaluate_sessions(model, random_data), evaluate_sessions(model, random_data, protocol=Protocol()))
    for ties in metrics.TIES:  # the ways to say it
        given = evaluate_sessions(model, random_data, ties=ties, targets="last")
        assert same(given, evaluate_sessions(model, random_data, protocol=Protocol(ties=ties, targets="last")))
        assert given.ties == ties and given.protocol == Protocol(ties=ties, targets="last")


@pytest.mark.parametrize("ties", metrics.TIES)
def test_counts_lead_to_the_ranks(random_data, ties):
    """Counted with weights, the candidates are those that the full ranking compares."""
    model = Scripted(random_data.item_ids, coarse)
    above, tied, total = candidate_counts(model, random_data, batch_size=7)
    assert tied.max() > 3 and set(total) == {random_data.n_items - 1}
    found = evaluate_sessions(model, random_data, ties=ties)
    np.testing.assert_array_equal(1 + above + HALF[ties] * tied, found.ranks)


def slow_counts(model, data, protocol, support):
    """[(above, tied, total)] of each event, item by item."""
    found = []
    for start, end in itertools.pairwise(data.offsets):
        for at in range(start + 1, end):
            row, target = model.score(data, at), data.items[at]
            weights = {i: support[i] if protocol.sampling == "popularity" else 1 for i in range(data.n_items)
                       if i != target and support[i] >= protocol.min_support
                       and (protocol.repeats or i not in data.items[start:at])}
            found.append((sum(w for i, w in weights.items() if row[i] > row[target]),
                          sum(w for i, w in weights.items() if row[i] == row[target]), sum(weights.values())))
    return np.array(found).T


@pytest.mark.parametrize("sampling", metrics.SAMPLINGS)
@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("least", [0, 8])
def test_counts_against_a_loop(random_data, sampling, repeats, least):
    model, support = Scripted(random_data.item_ids, coarse), np.random.default_rng(1).integers(20, size=30)
    protocol = Protocol(sampling=sampling, repeats=repeats, min_support=least)
    np.testing.assert_array_equal(candidate_counts(model, random_data, protocol, support),
                                  slow_counts(model, random_data, protocol, support))


def test_what_no_negative_is_drawn_by_does_not_matter(random_data):
    model, support = Scripted(random_data.item_ids, coarse), np.random.default_rng(1).integers(1, 20, size=30)
    one, other = (evaluate_sessions(model, random_data, protocol=Protocol(repeats=False, sampling=sampling),
                                    support=support) for sampling in metrics.SAMPLINGS)
    assert same(one, other)


def test_repeats_left_out_by_hand():
    data = sessions([0, 1, 0, 2], [3, 3])  # without repeats 1 and 2 are predicted, and nothing of the second
    model = Scripted(data.item_ids, lambda data, position: np.array([9.0, 5, 5, 7]))
    scores = evaluate_sessions(model, data, protocol=Protocol(repeats=False))
    # 0 was clicked: 1 is behind 3 and beside 2; then 0 and 1 were: 2 is behind 3
    assert scores.ranks.tolist() == [3, 2] and scores.sessions.tolist() == [0, 0]
    last = evaluate_sessions(model, data, protocol=Protocol(repeats=False, targets="last"))
    assert last.ranks.tolist() == [2]  # a session that ends in a repeat has no last event to predict


def test_a_filtered_catalogue_by_hand():
    data = sessions([0, 1, 2, 3])
    model = Scripted(data.item_ids, lambda data, position: np.array([9.0, 8, 7, 6]))
    scores = evaluate_sessions(model, data, protocol=Protocol(min_support=2), support=np.array([1, 2, 1, 3]))
    assert scores.ranks.tolist() == [1, 2]  # 2 is no event; 1 and 3 are ranked among each other


def test_items_that_training_has_not_seen():
    """Over the items of both parts an unseen one is a miss of a counting model; with min_support=1 it is left out."""
    train, whole = sessions([0, 1], [1, 0], n_items=4), sessions([0, 1, 3], [2, 0], n_items=4)
    model = PopularityTies(Markov()).fit(train)
    missed = evaluate_sessions(model, whole, k=2)
    assert missed.ranks.tolist() == [1, 4, 2] and missed.recall == pytest.approx(2 / 3)
    out = evaluate_sessions(model, whole, k=2, protocol=Protocol(min_support=1), support=train.support)
    assert out.ranks.tolist() == [1, 2] and out.recall == 1


def test_sessions_count_once_by_hand_and_in_the_bootstrap(random_data):
    model = Scripted(random_data.item_ids, noisy_oracle)
    every, once = (evaluate_sessions(model, random_data, k=5, protocol=Protocol(average=average), n_boot=300)
                   for average in metrics.AVERAGES)
    means = pd.Series(gains(every.ranks, 5)["mrr"]).groupby(every.sessions).mean().to_numpy()
    assert once.mrr == pytest.approx(means.mean()) and abs(once.mrr - every.mrr) > 1e-3
    rng = np.random.default_rng(0)
    drawn = [means[rng.integers(len(means), size=len(means))].mean() for _ in range(300)]
    assert once.intervals["mrr"] == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    other = evaluate_sessions(Scripted(random_data.item_ids, coarse), random_data, k=5, n_boot=2,
                              protocol=Protocol(average="session"))
    assert metrics.paired_difference(once, other, "mrr")[0] == pytest.approx(once.mrr - other.mrr)
    with pytest.raises(ValueError, match="each session counted once do not compare"):
        metrics.paired_difference(once, every)


# Sampled negatives --------------------------------------------------------------------------------------


def by_subsets(above, tied, total, n, ties):
    """Expected gains for K = 1, 2, 3: the mean over all ways to draw n of the candidates without replacement."""
    kinds = np.array([1] * above + [0] * tied + [-1] * (total - above - tied))
    drawn = np.array(list(itertools.combinations(kinds, n)))
    ranks = 1 + (drawn == 1).sum(1) + HALF[ties] * (drawn == 0).sum(1)
    return {k: {metric: values.mean() for metric, values in gains(ranks, k).items()} for k in (1, 2, 3)}


def by_tuples(above, tied, total, n, ties):
    """The same with replacement: every sequence of draws with its probability."""
    shares, found = {1: above / total, 0: tied / total, -1: (total - above - tied) / total}, {}
    for k in (1, 2, 3):
        found[k] = dict.fromkeys(metrics.METRICS, 0.0)
        for drawn in itertools.product(shares, repeat=n):
            rank = 1 + drawn.count(1) + HALF[ties] * drawn.count(0)
            for metric, value in gains([rank], k).items():
                found[k][metric] += math.prod(shares[kind] for kind in drawn) * value[0]
    return found


@pytest.mark.claim("evaluation-sampled-exact")
@pytest.mark.parametrize("ties", metrics.TIES)
@pytest.mark.parametrize("sampling", metrics.SAMPLINGS)
def test_the_expectation_is_the_mean_over_every_sample(ties, sampling):
    slow = by_subsets if sampling == "uniform" else by_tuples
    for above, tied, n in itertools.product((0, 1, 3, 6), (0, 2, 4), (1, 3, 5)):
        protocol, total = Protocol(negatives=n, sampling=sampling, ties=ties), 10
        for k, expected in slow(above, tied, total, n, ties).items():
            found = sampled_gains([above], [tied], [total], k, protocol)
            assert {metric: value[0] for metric, value in found.items()} == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 30), st.integers(0, 60), st.integers(1, 25), st.sampled_from(metrics.TIES))
def test_with_all_negatives_it_is_the_full_ranking(above, tied, below, k, ties):
    total = above + tied + below
    if not total:
        return
    found = sampled_gains([above], [tied], [total], k, Protocol(negatives=total, ties=ties))
    expected = gains([1 + above + HALF[ties] * tied], k)
    for metric in metrics.METRICS:
        assert found[metric] == pytest.approx(expected[metric], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(1, 100), st.integers(1, 30), st.sampled_from(metrics.SAMPLINGS))
def test_fewer_negatives_flatter_and_a_lower_target_never_does(above, n, k, sampling):
    few, more, lower = (sampled_gains([a], [0], [500], k, Protocol(negatives=m, sampling=sampling))["recall"][0]
                        for a, m in ((above, n), (above, n + 1), (above + 1, n)))
    assert 0 <= more <= few + 1e-9 <= 1 + 2e-9 and lower <= few + 1e-9
    assert few == pytest.approx(1) or n >= k


@pytest.mark.parametrize("ties", metrics.TIES)
@pytest.mark.parametrize("sampling", metrics.SAMPLINGS)
def test_what_is_drawn_has_the_expectation(random_data, ties, sampling):
    """The mean of 200 evaluations, within four of its standard errors, for each metric."""
    model, support = Scripted(random_data.item_ids, coarse), np.random.default_rng(1).integers(1, 20, size=30)
    protocol = Protocol(negatives=10, ties=ties, sampling=sampling)
    counts = candidate_counts(model, random_data, protocol, support)
    expected = sampled_gains(*counts, 4, protocol)
    drawn = [evaluate_sessions(model, random_data, 4, support=support, n_boot=1,
                               protocol=Protocol(negatives=10, ties=ties, sampling=sampling, seed=seed))
             for seed in range(200)]
    for metric in metrics.METRICS:
        values = [getattr(scores, metric) for scores in drawn]
        assert abs(np.mean(values) - expected[metric].mean()) < 4 * np.std(values) / 200**0.5
        assert np.std(values) > 0.005


def test_the_same_seed_draws_the_same_in_batches_of_any_size(random_data):
    model = Scripted(random_data.item_ids, coarse)
    one, other, third = (evaluate_sessions(model, random_data, 4, batch_size=size,
                                           protocol=Protocol(negatives=10, seed=seed))
                         for size, seed in ((7, 0), (500, 0), (500, 1)))
    assert same(one, other) and not np.array_equal(one.ranks, third.ranks)


def test_one_negative_measures_the_auc():
    """The probability that a random other item is scored lower, whatever K would have been."""
    above = np.arange(0, 100)
    found = sampled_gains(above, np.zeros(100), np.full(100, 99), 1, Protocol(negatives=1))
    np.testing.assert_allclose(found["recall"], 1 - above / 99, atol=1e-12)


@pytest.mark.claim("evaluation-sampling-turns")
def test_sampling_turns_two_models_round():
    """One is right half of the time and far off otherwise, the other always near: no sample is needed to see it."""
    right, near, total = np.array([0, 4999]), np.array([49, 49]), np.array([9999, 9999])
    full = [gains(1 + above, 20)["recall"].mean() for above in (right, near)]
    few = [sampled_gains(above, [0, 0], total, 20, Protocol(negatives=100))["recall"].mean() for above in (right, near)]
    assert full == [0.5, 0] and few[1] > 0.999 > 0.501 > few[0]


# What is refused ----------------------------------------------------------------------------------------


def test_what_a_protocol_lacks_is_said(random_data):
    model = Scripted(random_data.item_ids, coarse)
    for protocol in (Protocol(min_support=1), Protocol(negatives=5, sampling="popularity")):
        for support in (None, np.ones(3)):
            with pytest.raises(ValueError, match=r"needs support=train.support, the clicks on each of the 30 items"):
                evaluate_sessions(model, random_data, protocol=protocol, support=support)
    with pytest.raises(ValueError, match="30 negatives cannot be drawn from the 29 candidates"):
        evaluate_sessions(model, random_data, protocol=Protocol(negatives=30))
    with pytest.raises(ValueError, match="leaves out all of the 2 events"):
        evaluate_sessions(model, sessions([0, 0, 0], n_items=30), protocol=Protocol(repeats=False))
    with pytest.raises(ValueError, match="nothing to predict"):
        evaluate_sessions(model, sessions([0], n_items=30), protocol=Protocol(negatives=2))


def test_a_nan_has_no_rank_among_negatives(random_data):
    def broken(data, position):
        return np.full(data.n_items, np.nan if position == 5 else 0.0)

    data = sessions([0, 1, 2, 3, 4, 5, 6])
    with pytest.raises(ValueError, match=r"event 5.*NaN"):
        evaluate_sessions(Scripted(data.item_ids, broken), data, protocol=Protocol(negatives=3))


def test_a_model_that_only_ranks_is_sent_back(random_data):
    class Ranks:
        item_ids = random_data.item_ids

        def rank_sessions(self, data, ties):
            positions, _ = metrics.target_positions(data)
            return positions, np.full(len(positions), 2)

    assert evaluate_sessions(Ranks(), random_data).recall == 1
    with pytest.raises(ValueError, match=r"does not give; use metrics\.evaluate_sessions with the model"):
        evaluate_sessions(Ranks(), random_data, protocol=Protocol(negatives=3))


# What is stored of each event ---------------------------------------------------------------------------


def shop(n_sessions=600, seed=0, n_topics=8, size=12, again=0.5):
    """Sessions that stay with one topic of the items; every other click repeats the one before."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, size + 1)  # of the clicks on a topic, the first item of it most
    lists = []
    for _ in range(n_sessions):
        topic, clicks = rng.integers(n_topics), []
        for t in range(6):
            fresh = topic * size + rng.choice(size, p=share / share.sum())
            clicks.append(clicks[-1] if t and rng.random() < again else fresh)
        lists.append([int(item) for item in clicks])
    return sessions(*lists, n_items=n_topics * size)


def test_the_figures_of_the_laboratory_are_those_of_evaluate_sessions():
    """Of every setting that evaluate_sessions has too, on a day whose items are all known."""
    train, test = shop(160, seed=1), shop(150, seed=2)
    models = [Popularity().fit(train), PopularityTies(Markov()).fit(train), ItemKNN().fit(train)]
    counts = []
    for model in models:
        lines = [[candidate_counts(model, test, Protocol(sampling=sampling, repeats=repeats, min_support=least),
                                   train.support) for least in (0, evaluation.FREQUENT) for repeats in (True, False)]
                 for sampling in metrics.SAMPLINGS]
        counts.append(np.array(lines)[:, :, [2, 0, 1]].transpose(3, 0, 2, 1).astype(int))
    positions, of = metrics.target_positions(test)
    last, first = np.diff(of, append=-1) != 0, test.offsets[of]
    repeat = np.array([test.items[at] in test.items[a:at] for a, at in zip(first, positions)])
    rare = train.support[test.items[positions]] < evaluation.FREQUENT
    flags = (evaluation.LAST + evaluation.ENDS) * last + evaluation.REPEAT * repeat + evaluation.RARE * rare
    split = evaluation.split_of(np.array([of, flags, np.arange(len(of))]), counts)
    assert repeat.any() and rare.any() and not rare.all()
    for setting in some_settings():
        protocol = Protocol(ties=setting["ties"], targets=setting["targets"], average=setting["average"],
                            repeats=setting["repeats"] == "kept",
                            min_support=evaluation.FREQUENT * (setting["items"] == "frequent"))
        found, sizes = evaluation.by_session(split, setting)
        for model, sums in zip(models, found):
            expected = evaluate_sessions(model, test, setting["k"], protocol=protocol, support=train.support,
                                         n_boot=300)
            mean, half = evaluation.interval(sums, sizes)
            assert mean == pytest.approx(getattr(expected, setting["metric"]), abs=1e-12), setting
            low, high = expected.intervals[setting["metric"]]
            assert len(sizes) < 100 or 2 * half == pytest.approx(high - low, rel=0.25, abs=0.02)


def some_settings():
    names = ("ties", "targets", "average", "repeats", "items", "k", "metric")
    rng = np.random.default_rng(0)
    for _ in range(25):
        yield evaluation.HONEST | {name: evaluation.CHOICES[name][rng.integers(len(evaluation.CHOICES[name]))]
                                   for name in names}


def test_every_setting_of_so_many_switches_is_tried_once():
    for changes in (1, 2):
        tried = list(evaluation.settings(changes))
        assert len({tuple(sorted(each.items(), key=str)) for each in tried}) == len(tried)
        assert all(len(each) == changes and evaluation.HONEST | each != evaluation.HONEST for each in tried)
        assert not any("split" in each and "targets" in each for each in tried)


# The claims about the clicks ----------------------------------------------------------------------------


def result():
    return results.load("evaluation")


def reversal(a, b):
    return next((each for each in result()["reversals"] if {each["a"], each["b"]} == {a, b}), None)


@pytest.mark.claim("evaluation-repeats-turn")
def test_left_out_repeats_turn_two_models_round():
    found = reversal("Item-KNN", "Markov")
    assert found["changed"] == {"repeats": "left out"} and found["before"][2] < -0.05 and found["now"][1] > 0.05


@pytest.mark.claim("evaluation-negatives-turn")
def test_a_hundred_negatives_turn_popularity_and_neighbours_round():
    found = evaluation.plainest(result()["reversals"])
    assert (found["a"], found["b"], found["changed"]) == ("Popularity", "Item-KNN", {"among": "uniform"})
    assert found["before"][2] < -0.2 and found["now"][1] > 0.1


@pytest.mark.twin("evaluation-negatives-turn")
def test_a_hundred_negatives_turn_them_round_in_a_small_shop_too():
    """Neighbours that know few of the pairs are right at the top, or know nothing; popularity is never far off."""
    train, test = shop(40, seed=1, n_topics=20, again=0), shop(1000, seed=2, n_topics=20, again=0)
    models = [Popularity().fit(train), ItemKNN(shrinkage=0).fit(train)]
    few = Protocol(negatives=100)
    full, sampled = ([evaluate_sessions(model, test, 20, protocol=protocol) for model in models]
                     for protocol in (Protocol(), few))
    assert metrics.paired_difference(*full)[2] < 0 < metrics.paired_difference(*sampled)[1]
    untrained = ItemKNN().fit(sessions([0, 0], n_items=240))
    assert evaluate_sessions(untrained, test, 20, protocol=few).recall == 0


@pytest.mark.twin("evaluation-repeats-turn")
def test_left_out_repeats_turn_them_round_in_a_small_shop_too():
    """Item-KNN, which cannot recommend what was just clicked, loses to the chain by it and by nothing else."""
    train, test = shop(60, seed=1), shop(seed=2)
    chain, neighbours = PopularityTies(Markov()).fit(train), ItemKNN(shrinkage=0).fit(train)

    def lead(protocol):
        return metrics.paired_difference(*(evaluate_sessions(model, test, 5, protocol=protocol)
                                           for model in (neighbours, chain)))

    assert lead(Protocol())[2] < -0.1 and lead(Protocol(repeats=False))[1] > 0
    untrained = ItemKNN().fit(sessions([0, 0], n_items=96))
    assert evaluate_sessions(untrained, test, 5, protocol=Protocol(repeats=False)).recall == 0


@pytest.mark.claim("evaluation-leak")
def test_leave_one_out_flatters_what_it_trains():
    """On the same last clicks, with the interval above zero, for every model that learns which items go together."""
    leaks = {row["a"].split(" · ")[1]: row for row in result()["paired"]
             if row["metric"] == "recall@20" and row["a"].startswith("leave-one-out")}
    assert leaks.keys() == set(evaluation.MODELS)
    for name in ("Item-KNN", "Markov", "V-SKNN", "GRU4Rec"):
        assert leaks[name]["low"] > 0
    assert -0.01 < leaks["Session popularity"]["low"] < leaks["Session popularity"]["high"] < 0.01  # the control


@pytest.mark.twin("evaluation-leak")
def test_leave_one_out_reads_tomorrows_shop():
    """The world changes on the last day: a model that leave-one-out trained knows it, one trained before does not."""
    old, new = (SessionWorld(n_items=60, seed=seed).sample(400, seed=3) for seed in (0, 1))
    frames = [each.to_frame() for each in (old, new)]
    frames[1]["session"] = frames[1]["session"].astype(str) + "-new"
    frames[1]["time"] += 10 * 86_400 + old.times.max() - new.times.min()
    log = SessionData.from_frame(pd.concat([frames[0].astype({"session": str}), frames[1]]), item_ids=old.item_ids)
    yesterday, today = log.take(range(400)), log.take(range(400, 800))
    left, whole = log.leave_last_out()
    today = today.take(np.flatnonzero(np.isin(today.session_ids, whole.session_ids)))
    before, leaked = (evaluate_sessions(PopularityTies(Markov()).fit(train), today, k=10, targets="last")
                      for train in (yesterday, left))
    assert metrics.paired_difference(leaked, before)[1] > 0.05
    untrained = evaluate_sessions(PopularityTies(Markov()).fit(yesterday.take([0])), today, k=10, targets="last")
    assert untrained.recall < leaked.recall - 0.05


@pytest.mark.claim("evaluation-bad-model-wins")
def test_a_bad_model_wins():
    found = reversal("Item-KNN", "GRU4Rec")
    assert len(found["changed"]) == 2 and found["changed"]["ties"] == "standard"
    assert found["before"][2] < -0.25 and found["now"][1] > 0.1


@pytest.mark.twin("evaluation-bad-model-wins")
def test_a_model_that_knows_nothing_wins_by_its_ties(random_data):
    nothing, something = Scripted(random_data.item_ids, zeros), Scripted(random_data.item_ids, noisy_oracle)
    for ties, wins in (("standard", True), ("conservative", False)):
        a, b = (evaluate_sessions(model, random_data, 3, protocol=Protocol(negatives=10, ties=ties))
                for model in (nothing, something))
        assert (a.recall > b.recall) == wins
