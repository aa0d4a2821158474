"""Metrics against hand-worked cases, brute force and data whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbook import metrics
from rnnbook.interactions import RatingData, SessionData
from rnnbook.metrics import (
    evaluate_ratings,
    evaluate_sessions,
    gains,
    paired_difference,
    paired_seed_difference,
    ranks,
    seed_interval,
)


def sessions(*lists, n_items=None):
    n_items = n_items or 1 + max(max(s) for s in lists)
    frame = pd.DataFrame([(s, i, 100 * s + t) for s, items in enumerate(lists) for t, i in enumerate(items)],
                         columns=["session", "item", "time"])
    return SessionData.from_frame(frame, item_ids=np.arange(n_items))


class Scripted:
    """Scores every target by ``score(data, position) -> [n_items]``; its batches come in reverse."""

    def __init__(self, item_ids, score):
        self.item_ids, self.score = item_ids, score

    def score_sessions(self, data, batch_size=512):
        positions, _ = metrics.target_positions(data)
        for start in reversed(range(0, len(positions), batch_size)):
            batch = positions[start:start + batch_size]
            yield torch.from_numpy(batch), torch.tensor(np.array([self.score(data, p) for p in batch]))


def oracle(data, position):
    return np.eye(data.n_items)[data.items[position]]


def zeros(data, position):
    return np.zeros(data.n_items)


def noisy_oracle(data, position):
    """A pseudo-random row that depends on the position alone, the target lifted a little."""
    rng = np.random.default_rng(position)
    return rng.random(data.n_items) + 0.4 * oracle(data, position)


@pytest.fixture(scope="module")
def random_data():
    rng = np.random.default_rng(0)
    return sessions(*[rng.integers(30, size=rng.integers(1, 9)).tolist() for _ in range(80)], n_items=30)


# Ranks


@pytest.mark.parametrize("ties, expected", [("standard", [1, 2, 4, 1]), ("conservative", [1, 4, 4, 4]),
                                            ("median", [1, 3, 4, 2.5])])
def test_ranks_by_hand(ties, expected):
    scores = torch.tensor([[9., 1, 2, 3], [5, 9, 5, 5], [3, 2, 1, 0], [7, 7, 7, 7]])
    result = ranks(scores, torch.tensor([0, 2, 3, 1]), ties)
    assert result.dtype == torch.float64
    assert result.tolist() == expected


@pytest.mark.parametrize("ties, expected", [("standard", [3, 1, 1]), ("conservative", [4, 2, 1]),
                                            ("median", [3.5, 1.5, 1])])
def test_infinities_are_numbers(ties, expected):
    inf = torch.inf
    scores = torch.tensor([[inf, 0, -inf, -inf], [inf, inf, 0, -inf], [-inf, -inf, -inf, 0]])
    assert ranks(scores, torch.tensor([2, 1, 3]), ties).tolist() == expected


@pytest.mark.parametrize("ties", metrics.TIES)
@pytest.mark.parametrize("place", [0, 2])
def test_nan_has_no_rank(ties, place):
    scores = torch.zeros(3, 4)
    scores[1, place] = torch.nan
    with pytest.raises(ValueError, match=r"row 1.*NaN"):
        ranks(scores, torch.tensor([0, 0, 0]), ties)


def test_unknown_tie_mode():
    with pytest.raises(ValueError, match="conservative"):
        ranks(torch.zeros(1, 2), torch.tensor([0]), "optimistic")


def test_gradients_do_not_disturb_ranks():
    assert ranks(torch.tensor([[0., 1.]], requires_grad=True), torch.tensor([0])).tolist() == [2]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from([-np.inf, -1., 0., 1., 2., np.inf]), min_size=5, max_size=5),
                min_size=1, max_size=6), st.integers(0, 4))
def test_ranks_against_a_sort(rows, target):
    scores = torch.tensor(rows, dtype=torch.float64)
    targets = torch.full((len(rows),), target)
    standard, conservative, median = (ranks(scores, targets, ties) for ties in metrics.TIES)
    assert torch.equal(median, (standard + conservative) / 2)
    for row, first, last in zip(rows, standard, conservative):
        ordered = sorted(row, reverse=True)
        places = [i + 1 for i, score in enumerate(ordered) if score == row[target]]
        assert (places[0], places[-1]) == (first, last)


# Gains


def test_gains_by_hand():
    earned = gains([1, 3, 4, 2.5], k=3)
    assert earned["recall"].tolist() == [1, 1, 0, 1]
    np.testing.assert_allclose(earned["mrr"], [1, 1 / 3, 0, 0.4])
    np.testing.assert_allclose(earned["ndcg"], [1, 0.5, 0, 1 / np.log2(3.5)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1), st.integers(1, 50))
def test_gains_bounds_and_order(rank_list, k):
    earned, wider = gains(rank_list, k), gains(rank_list, k + 1)
    for name in metrics.METRICS:
        assert (0 <= earned[name]).all() and (earned[name] <= wider[name]).all()
    assert (earned["mrr"] <= earned["ndcg"]).all() and (earned["ndcg"] <= earned["recall"]).all()


# Evaluation


def test_by_hand_from_sessions_to_scores():
    data = sessions([0, 1, 2], [2], [3, 0])  # targets 1, 2 | none | 0

    def score(data, position):  # ranks 1, 3, 2
        return {1: [0, 9, 1, 2], 2: [9, 8, 7, 6], 5: [8, 9, 0, 0]}[position]

    result = evaluate_sessions(Scripted(data.item_ids, score), data, k=2)
    assert result.ranks.tolist() == [1, 3, 2]
    assert result.sessions.tolist() == [0, 0, 2]
    assert (result.n_predictions, result.n_sessions, result.k) == (3, 2, 2)
    assert result.recall == pytest.approx(2 / 3)
    assert result.mrr == pytest.approx(0.5)
    assert result.ndcg == pytest.approx((1 + 1 / np.log2(3)) / 3)
    assert result.events_per_second == pytest.approx(3 / result.seconds)


def test_perfect_and_empty_headed_models(random_data):
    perfect = evaluate_sessions(Scripted(random_data.item_ids, oracle), random_data)
    assert (perfect.recall, perfect.mrr, perfect.ndcg) == (1, 1, 1)
    assert set(perfect.intervals.values()) == {(1, 1)}
    nothing = evaluate_sessions(Scripted(random_data.item_ids, zeros), random_data)
    assert (nothing.recall, nothing.mrr, nothing.ndcg) == (0, 0, 0)
    flattered = evaluate_sessions(Scripted(random_data.item_ids, zeros), random_data, ties="standard")
    assert flattered.recall == 1  # why the default is conservative


def test_the_last_event_of_each_session_alone(random_data):
    model = Scripted(random_data.item_ids, lambda data, p: np.random.default_rng(p).random(data.n_items))
    every, last = (evaluate_sessions(model, random_data, k=3, targets=targets) for targets in ("all", "last"))
    positions, sessions = metrics.target_positions(random_data)
    ends = np.isin(positions, random_data.offsets[1:] - 1)
    np.testing.assert_array_equal(last.ranks, every.ranks[ends])
    np.testing.assert_array_equal(last.sessions, np.unique(sessions))
    assert last.recall == np.mean(every.ranks[ends] <= 3) != every.recall
    with pytest.raises(ValueError, match="targets must be one of all, last, not 'first'"):
        evaluate_sessions(model, random_data, targets="first")


def test_batch_size_does_not_matter(random_data):
    model = Scripted(random_data.item_ids, noisy_oracle)
    results = [evaluate_sessions(model, random_data, k=5, batch_size=b) for b in (1, 7, 10_000)]
    assert 0.1 < results[0].recall < 0.9
    for other in results[1:]:
        np.testing.assert_array_equal(other.ranks, results[0].ranks)
        assert (other.recall, other.mrr, other.ndcg) == (results[0].recall, results[0].mrr, results[0].ndcg)
        assert other.intervals == results[0].intervals


def test_against_brute_force(random_data):
    k, recall, mrr, ndcg = 5, [], [], []
    for s in range(random_data.n_sessions):
        for p in range(random_data.offsets[s] + 1, random_data.offsets[s + 1]):
            row = noisy_oracle(random_data, p)
            place = sorted(-row).index(-row[random_data.items[p]]) + 1
            recall.append(place <= k)
            mrr.append(1 / place if place <= k else 0)
            ndcg.append(1 / np.log2(1 + place) if place <= k else 0)
    result = evaluate_sessions(Scripted(random_data.item_ids, noisy_oracle), random_data, k=k)
    expected = np.mean(recall), np.mean(mrr), np.mean(ndcg)
    assert (result.recall, result.mrr, result.ndcg) == pytest.approx(expected)


def test_nothing_to_predict():
    for data in (sessions([0], [1]), sessions([0, 1]).take([])):
        with pytest.raises(ValueError, match="nothing to predict"):
            evaluate_sessions(Scripted(data.item_ids, oracle), data)


def test_another_catalogue(random_data):
    model = Scripted(np.arange(30)[::-1], oracle)
    with pytest.raises(ValueError, match="catalogues differ"):
        evaluate_sessions(model, random_data)


def test_k_below_one(random_data):
    with pytest.raises(ValueError, match="k must be"):
        evaluate_sessions(Scripted(random_data.item_ids, oracle), random_data, k=0)


def test_nan_in_evaluation_names_the_event(random_data):
    def broken(data, position):
        return np.full(data.n_items, np.nan if position == 5 else 0.0)

    data = sessions([0, 1, 2, 3, 4, 5, 6])
    with pytest.raises(ValueError, match=r"event 5.*NaN"):
        evaluate_sessions(Scripted(data.item_ids, broken), data)


def test_skipped_or_repeated_targets_are_noticed():
    data = sessions([0, 1, 2])

    class Careless(Scripted):
        def score_sessions(self, data, batch_size=512):
            yield torch.tensor(self.score), torch.zeros(len(self.score), data.n_items)

    for positions in ([1], [1, 1], [1, 2, 2], [0, 1, 2]):
        with pytest.raises(ValueError, match="exactly once"):
            evaluate_sessions(Careless(data.item_ids, positions), data)


def test_it_prints(random_data):
    result = evaluate_sessions(Scripted(random_data.item_ids, noisy_oracle), random_data, k=5)
    low, high = result.intervals["recall"]
    assert f"recall@5   {result.recall:.4f}  [{low:.4f}, {high:.4f}]" in str(result)
    assert f"<td>{result.ndcg:.4f}</td>" in result._repr_html_()


def same(a, b):
    return (a.k, a.ties, a.intervals) == (b.k, b.ties, b.intervals) and np.array_equal(a.ranks, b.ranks)


def test_what_is_not_said_is_as_documented(random_data, rated):
    """Recall@20 with conservative ties, a thousand resamples of seed 0: the numbers of the book's tables."""
    model, other = Scripted(random_data.item_ids, noisy_oracle), Scripted(random_data.item_ids, zeros)
    scores = evaluate_sessions(model, random_data)
    assert same(scores, evaluate_sessions(model, random_data, k=20, ties="conservative", n_boot=1000, seed=0))
    narrow = [evaluate_sessions(each, random_data, k=3) for each in (model, other)]
    said = {"metric": "recall", "n_boot": 1000, "seed": 0}
    assert seed_interval(narrow) == seed_interval(narrow, **said)
    assert paired_difference(*narrow) == paired_difference(*narrow, **said)
    assert paired_seed_difference(narrow, narrow[1:]) == paired_seed_difference(narrow, narrow[1:], **said)
    foretold = Foretold(np.zeros(rated.n_ratings))
    assert evaluate_ratings(foretold, rated).intervals == evaluate_ratings(foretold, rated, n_boot=1000,
                                                                          seed=0).intervals
    assert ranks(torch.tensor([[1.0, 1.0]]), torch.tensor([0])).tolist() == [2]


# Intervals


def slow_interval(result, n_boot, seed):
    """The bootstrap as its definition says it: a loop over resamples, sessions picked by index."""
    rng = np.random.default_rng(seed)
    kept = np.unique(result.sessions)
    hits = [result.ranks[result.sessions == s] <= result.k for s in kept]
    draws = [np.concatenate([hits[i] for i in rng.integers(len(kept), size=len(kept))]).mean()
             for _ in range(n_boot)]
    return tuple(np.quantile(draws, [0.025, 0.975]))


def test_bootstrap_equals_its_definition(random_data):
    model = Scripted(random_data.item_ids, noisy_oracle)
    result = evaluate_sessions(model, random_data, k=5, n_boot=200, seed=3)
    assert result.intervals["recall"] == pytest.approx(slow_interval(result, 200, 3))


def test_bootstrap_blocks_draw_whole_resamples():
    weights = list(metrics._resamples(1_000_000, 9, 0))
    assert [len(w) for w in weights] == [4, 4, 1]
    assert all((w.sum(1) == 1_000_000).all() for w in weights)


def fake_scores(hits, per_session=1, k=1):
    """SessionScores whose predictions hit (rank 1) or miss (rank 2)."""
    rank = np.where(np.repeat(hits, per_session), 1.0, 2.0)
    earned = gains(rank, k)
    return metrics.SessionScores(**{m: earned[m].mean() for m in metrics.METRICS}, intervals={}, k=k,
                                 protocol=metrics.Protocol(), ranks=rank, seconds=1.0,
                                 sessions=np.repeat(np.arange(len(hits)), per_session))


def test_interval_is_as_wide_as_theory_says():
    hits = np.random.default_rng(0).random(400) < 0.3
    theory = 2 * 1.96 * hits.std() / np.sqrt(400)
    for per_session in (1, 10):  # ten copies of a click in a session are no new evidence
        _, low, high = seed_interval([fake_scores(hits, per_session)], n_boot=4000)
        assert high - low == pytest.approx(theory, rel=0.08)


def test_intervals_cover():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        _, low, high = seed_interval([fake_scores(rng.random(150) < 0.3)], n_boot=300, seed=trial)
        covered += low <= 0.3 <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_paired_difference_by_hand_and_its_sign():
    a = fake_scores(np.array([1, 1, 1, 0, 1] * 40))
    b = fake_scores(np.array([1, 0, 1, 0, 1] * 40))
    difference, low, high = paired_difference(a, b)
    assert difference == pytest.approx(0.2)
    assert 0 < low < 0.2 < high
    assert paired_difference(b, a) == pytest.approx((-0.2, -high, -low))
    assert paired_difference(a, a) == (0, 0, 0)


def test_pairing_narrows_the_interval():
    rng = np.random.default_rng(0)
    hits = rng.random(500) < 0.5
    a, b = fake_scores(hits), fake_scores(hits & (rng.random(500) < 0.95))
    _, low, high = paired_difference(a, b)
    own = seed_interval([a])
    assert high - low < 0.5 * (own[2] - own[1])
    assert low > 0  # seen although the two models' own intervals overlap
    assert seed_interval([b])[2] > own[1]


def test_incomparable_scores():
    a = fake_scores(np.ones(5))
    with pytest.raises(ValueError, match="different data"):
        paired_difference(a, fake_scores(np.ones(6)))
    with pytest.raises(ValueError, match="k=1"):
        paired_difference(a, fake_scores(np.ones(5), k=2))
    with pytest.raises(ValueError, match="metric must be"):
        paired_difference(a, a, "precision")


def test_one_seed_is_the_interval_over_sessions(random_data):
    result = evaluate_sessions(Scripted(random_data.item_ids, noisy_oracle), random_data, k=5)
    for metric in metrics.METRICS:
        own = getattr(result, metric), *result.intervals[metric]
        assert seed_interval([result], metric) == pytest.approx(own)


def test_seeds_widen_the_interval():
    rng = np.random.default_rng(0)
    runs = [fake_scores(rng.random(2000) < p) for p in (0.3, 0.4, 0.5, 0.6, 0.7)]
    mean, low, high = seed_interval(runs, n_boot=4000)
    assert mean == pytest.approx(np.mean([r.recall for r in runs]))
    theory = 2 * 1.96 * np.std([r.recall for r in runs]) / np.sqrt(5)  # sessions add next to nothing here
    assert high - low == pytest.approx(theory, rel=0.1)
    same = seed_interval(runs[:1] * 5, n_boot=4000)
    assert same == pytest.approx(seed_interval(runs[:1], n_boot=4000))


def test_seed_difference_with_a_model_without_chance():
    rng = np.random.default_rng(0)
    hits = rng.random(1000) < 0.4
    runs = [fake_scores(hits | (rng.random(1000) < p)) for p in (0.1, 0.12, 0.14)]
    difference, low, high = paired_seed_difference(runs, [fake_scores(hits)])
    assert difference == pytest.approx(np.mean([r.recall for r in runs]) - hits.mean())
    assert 0 < low < difference < high
    one = [fake_scores(rng.random(1000) < p) for p in (0.3, 0.7)]
    other = [fake_scores(rng.random(1000) < 0.5)]
    _, low, high = paired_seed_difference(one, other)
    assert low < 0 < high and high - low > 0.3  # the two runs disagree, and that shows
    _, low, high = paired_seed_difference(one, one)  # run 1 is not paired with run 1
    assert high - low > 0.5


# Ratings


def ratings_of(users, ratings):
    """One item, a rating a second; user 0 to 9 exist."""
    n = len(users)
    return RatingData(np.array(users, dtype=np.int64), np.zeros(n, np.int64), np.array(ratings, dtype=float),
                      np.arange(float(n)), np.arange(10), np.array(["it"], dtype=object))


class Foretold:
    """Gives these predictions, whatever the data."""

    def __init__(self, predictions, user_ids=range(10), item_ids=("it",)):
        self.predictions = predictions
        self.user_ids, self.item_ids = np.array(user_ids), np.array(item_ids, dtype=object)

    def follow(self, data):
        return self.predictions


def rating_scores(errors, users):
    errors, users = np.asarray(errors, dtype=float), np.asarray(users)
    return metrics.RatingScores(rmse=np.sqrt((errors**2).mean()), mae=np.abs(errors).mean(), intervals={},
                                errors=errors, users=users, seconds=1.0)


@pytest.fixture(scope="module")
def rated():
    """120 ratings by 9 users of very different zeal and error."""
    rng = np.random.default_rng(0)
    users = rng.choice(9, size=120, p=np.arange(1, 10) / 45)
    return ratings_of(users, rng.normal(size=120) * (1 + users))


def test_rating_scores_by_hand():
    data = ratings_of([3, 3, 1, 3], [4, 2, 5, 1])
    result = evaluate_ratings(Foretold([3, 2, 3.5, 5]), data)
    assert result.errors.tolist() == [-1, 0, -1.5, 4] and result.users.tolist() == [3, 3, 1, 3]
    assert result.rmse == pytest.approx(np.sqrt((1 + 2.25 + 16) / 4))  # the root of the mean, 2.19,
    assert result.mae == pytest.approx(6.5 / 4)  # over ratings, not over users
    assert (result.n_predictions, result.n_users) == (4, 2)
    assert result.events_per_second == pytest.approx(4 / result.seconds)
    # A resample holds user 3 twice, user 1 twice, or both.
    low, high = result.intervals["rmse"]
    assert (low, high) == pytest.approx((1.5, np.sqrt(17 / 3)))
    assert result.intervals["mae"] == pytest.approx((1.5, 5 / 3))


def test_perfect_and_worse_than_zero(rated):
    perfect = evaluate_ratings(Foretold(rated.ratings.copy()), rated)
    assert (perfect.rmse, perfect.mae, set(perfect.intervals.values())) == (0, 0, {(0, 0)})
    zero = evaluate_ratings(Foretold(np.zeros(120)), rated)
    assert zero.rmse == pytest.approx(np.sqrt((rated.ratings**2).mean()))
    opposite = evaluate_ratings(Foretold(-rated.ratings), rated)
    for metric in metrics.RATING_METRICS:
        assert getattr(opposite, metric) == pytest.approx(2 * getattr(zero, metric))
        difference, low, high = paired_difference(opposite, zero, metric)
        assert difference == pytest.approx(getattr(zero, metric))
        assert (low, high) == pytest.approx(zero.intervals[metric])  # twice the errors in every resample


def slow_draws(runs, metric, n_boot, seed, stream):
    """The bootstrap as its definition says it: users picked by index, all their errors, then the seeds."""
    rng, seeds = np.random.default_rng(seed), np.random.default_rng([seed, stream])
    kept, draws = np.unique(runs[0].users), []
    times_drawn = seeds.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=n_boot)
    for counts in times_drawn:
        picked = rng.integers(len(kept), size=len(kept))
        scores = []
        for run in runs:
            errors = np.concatenate([run.errors[run.users == kept[i]] for i in picked])
            scores.append(np.sqrt(np.mean(errors**2)) if metric == "rmse" else np.mean(np.abs(errors)))
        draws.append(np.average(scores, weights=counts))
    return np.array(draws)


@pytest.mark.parametrize("metric", metrics.RATING_METRICS)
def test_rating_bootstrap_equals_its_definition(rated, metric):
    rng = np.random.default_rng(1)
    a = [evaluate_ratings(Foretold(rng.normal(size=120)), rated, n_boot=200, seed=3) for _ in range(3)]
    b = [evaluate_ratings(Foretold(rng.normal(size=120) + rated.ratings / 3), rated) for _ in range(2)]
    one, three, other = (slow_draws(runs, metric, 200, 3, stream) for runs, stream in ((a[:1], 1), (a, 1), (b, 2)))

    assert a[0].intervals[metric] == pytest.approx(np.quantile(one, [0.025, 0.975]))
    own = getattr(a[0], metric), *a[0].intervals[metric]
    assert seed_interval(a[:1], metric, n_boot=200, seed=3) == pytest.approx(own)
    mean = np.mean([getattr(run, metric) for run in a])
    expected = mean, *np.quantile(three, [0.025, 0.975])
    assert seed_interval(a, metric, n_boot=200, seed=3) == pytest.approx(expected)
    difference = paired_seed_difference(a, b, metric, n_boot=200, seed=3)
    expected = mean - np.mean([getattr(run, metric) for run in b]), *np.quantile(three - other, [0.025, 0.975])
    assert difference == pytest.approx(expected)
    assert 0 < difference[1]  # b foretells a third of each rating
    assert paired_difference(a[0], b[0], metric) == paired_seed_difference(a[:1], b[:1], metric)


def test_rating_interval_is_as_wide_as_theory_says():
    """The delta method: RMSE varies as the mean square over 2 RMSE; copies of a user's error add nothing."""
    errors = np.random.default_rng(0).normal(size=500)
    theory = 2 * 1.96 * (errors**2).std() / np.sqrt(500) / (2 * np.sqrt((errors**2).mean()))
    for copies in (1, 10):
        scores = rating_scores(np.repeat(errors, copies), np.repeat(np.arange(500), copies))
        _, low, high = seed_interval([scores], "rmse", n_boot=4000)
        assert high - low == pytest.approx(theory, rel=0.08)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_predictions_must_be_numbers(wrong):
    with pytest.raises(ValueError, match=r"rating 2 is (nan|inf)"):
        evaluate_ratings(Foretold([0, 0, wrong]), ratings_of([0, 1, 2], [1, 2, 3]))


def test_every_rating_is_predicted_once():
    for predictions in ([0, 0], [0, 0, 0, 0], [[0], [0], [0]], 0):
        with pytest.raises(ValueError, match="exactly once"):
            evaluate_ratings(Foretold(predictions), ratings_of([0, 1, 2], [1, 2, 3]))


def test_no_ratings_and_other_ids():
    with pytest.raises(ValueError, match="nothing to predict"):
        evaluate_ratings(Foretold([]), ratings_of([], []))
    for ids in ({"user_ids": np.arange(9)}, {"item_ids": np.array(["that"], dtype=object)}):
        with pytest.raises(ValueError, match=f"different {next(iter(ids))}"):
            evaluate_ratings(Foretold([0], **ids), ratings_of([0], [1]))


def test_incomparable_rating_scores():
    a = rating_scores([1, 2, 3], [0, 0, 1])
    with pytest.raises(ValueError, match="different data: the users of"):
        paired_difference(a, rating_scores([1, 2, 3], [0, 1, 1]), "rmse")
    with pytest.raises(ValueError, match="scores of ratings do not compare with scores at k=1"):
        paired_difference(a, fake_scores(np.ones(3)), "rmse")
    with pytest.raises(ValueError, match="metric must be one of rmse, mae"):
        paired_difference(a, a)
    with pytest.raises(ValueError, match="metric must be one of recall"):
        seed_interval([fake_scores(np.ones(3))], "rmse")


def test_rating_scores_print(rated):
    result = evaluate_ratings(Foretold(np.zeros(120)), rated)
    low, high = result.intervals["rmse"]
    assert f"rmse       {result.rmse:.4f}  [{low:.4f}, {high:.4f}]" in str(result)
    assert f"120 predictions for {len(set(rated.users))} users" in str(result)
    assert f"<td>{result.mae:.4f}</td>" in result._repr_html_()


# Helpers


def test_target_positions():
    positions, session = metrics.target_positions(sessions([0, 1, 2], [2], [3, 0]))
    assert positions.tolist() == [1, 2, 5] and session.tolist() == [0, 0, 2]
    empty = SimpleNamespace(n_events=2, n_sessions=3, offsets=np.array([0, 0, 2, 2]),
                            lengths=np.array([0, 2, 0]))
    assert metrics.target_positions(empty)[0].tolist() == [1]  # a session may be empty
