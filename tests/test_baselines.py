"""Baselines: the protocol, hand-worked cases, and slow formulas written straight from the papers."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender_contract import RecommenderContract, all_scores
from rnnbook import metrics
from rnnbook.baselines import (STAN, VSKNN, VSTAN, ItemKNN, Markov, Popularity, PopularityTies, SessionKNN,
                               SessionPopularity)
from rnnbook.interactions import SessionData


def sessions(*lists, n_items, starts=None):
    starts = starts or [1000.0 * s for s in range(len(lists))]
    rows = [(s, i, starts[s] + t) for s, items in enumerate(lists) for t, i in enumerate(items)]
    frame = pd.DataFrame(rows, columns=["session", "item", "time"])
    return SessionData.from_frame(frame, item_ids=np.arange(n_items))


def random_lists(seed, n=60, n_items=12):
    rng = np.random.default_rng(seed)
    return [rng.choice(n_items, p=_skewed(n_items), size=rng.integers(2, 8)).tolist() for _ in range(n)]


def _skewed(n):
    weight = 1 / np.arange(1, n + 1)
    return weight / weight.sum()


def scores_after(model, *history):
    """Scores of the whole catalogue after raw ids, which in these tests are the indices."""
    ids, scores = model.recommend(history, k=len(model.item_ids))
    return scores[np.argsort(ids)]


class TestPopularity(RecommenderContract):
    learns_what_goes_together = False
    answers_empty_history = True

    def fit(self, train):
        return Popularity().fit(train)

    def test_by_hand(self):
        model = Popularity().fit(sessions([0, 1, 1], [1, 2], n_items=4))
        assert scores_after(model, 3).tolist() == [1, 3, 1, 0]
        assert model.recommend([], k=2).ids.tolist() == [1, 0]


class TestSessionPopularity(RecommenderContract):
    learns_what_goes_together = False
    answers_empty_history = True

    def fit(self, train):
        return SessionPopularity().fit(train)

    def test_by_hand(self):
        model = SessionPopularity().fit(sessions([0, 1, 1], [1, 2, 2], n_items=4))
        assert model.recommend([3, 0, 3], k=4).ids.tolist() == [3, 0, 1, 2]  # twice, once, then by popularity
        assert model.recommend([2, 1], k=2).ids.tolist() == [1, 2]  # once each: the more popular first
        np.testing.assert_allclose(scores_after(model, 3, 0, 3), [1 + 1 / 4, 3 / 4, 2 / 4, 2])

    def test_returning_clicks(self):
        data = sessions(*[[i, j, i, j, i] for i in range(8) for j in range(8) if i != j], n_items=8)
        own = metrics.evaluate_sessions(SessionPopularity().fit(data), data, k=2)
        popular = metrics.evaluate_sessions(Popularity().fit(data), data, k=2)
        assert own.recall == 0.75 > popular.recall  # only each session's second item comes unannounced


class TestMarkov(RecommenderContract):
    def fit(self, train):
        return Markov().fit(train)

    def test_by_hand(self):
        model = Markov().fit(sessions([0, 1, 0, 1, 2], [1, 1, 3], n_items=5))
        np.testing.assert_allclose(scores_after(model, 0), [0, 1, 0, 0, 0])
        np.testing.assert_allclose(scores_after(model, 2, 1), [1 / 4, 1 / 4, 1 / 4, 1 / 4, 0])
        assert not scores_after(model, 3).any() and not scores_after(model, 4).any()  # last or never seen

    def test_knows_the_order(self, model, test):
        assert metrics.evaluate_sessions(model, test, k=1).recall == 1


def slow_item_knn(lists, n_items, n_similar, shrinkage, alpha):
    holds = [{s for s, items in enumerate(lists) if i in items} for i in range(n_items)]
    result = np.zeros((n_items, n_items))
    for i in range(n_items):
        row = [len(holds[i] & holds[j]) / (len(holds[i]) + shrinkage) ** alpha
               / (len(holds[j]) + shrinkage) ** (1 - alpha) if j != i else 0 for j in range(n_items)]
        for j in sorted(range(n_items), key=lambda j: (-row[j], j))[:n_similar]:
            result[i, j] = row[j]
    return result


class TestItemKNN(RecommenderContract):
    def fit(self, train):
        return ItemKNN().fit(train)

    def test_by_hand(self):
        data = sessions([0, 1, 0], [0, 1], [0, 2], n_items=4)
        model = ItemKNN(shrinkage=1).fit(data)
        np.testing.assert_allclose(scores_after(model, 3, 0), [0, 2 / np.sqrt(4 * 3), 1 / np.sqrt(4 * 2), 0])
        assert not scores_after(model, 3).any()
        np.testing.assert_allclose(scores_after(ItemKNN(1, 0.0, 1.0).fit(data), 0), [0, 2 / 3, 0, 0])

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([0.0, 1.5, 20.0]),
           st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    def test_against_brute_force(self, seed, n_similar, shrinkage, alpha):
        lists = random_lists(seed) + [[i, i] for i in range(12)]  # unseen, an item would divide 0 by 0 below
        model = ItemKNN(n_similar, shrinkage, alpha).fit(sessions(*lists, n_items=12))
        slow = slow_item_knn(lists, 12, 12, shrinkage, alpha)
        # Which of equal neighbours is kept at the border is open: compare the kept values, sorted.
        found = model.similarity.toarray()
        kept = slow_item_knn(lists, 12, n_similar, shrinkage, alpha)
        np.testing.assert_allclose(np.sort(found), np.sort(kept))
        np.testing.assert_allclose(found[found > 0], slow[found > 0])

    def test_cannot_see_order(self):
        data = sessions([0, 1, 2], [3, 4], n_items=5)
        turned = sessions([2, 1, 0], [4, 3], n_items=5)
        np.testing.assert_array_equal(ItemKNN().fit(data).similarity.toarray(),
                                      ItemKNN().fit(turned).similarity.toarray())


def slow_session_knn(lists, last_clicks, history, n_items, k, n_recent, *, sequential, idf_weight=0.0):
    """S-KNN and V-SKNN as their formulas read, session by session."""
    current, n = set(history), len(history)
    latest = {item: p for p, item in enumerate(history)}  # position of the last click on each item
    candidates = [s for s, items in enumerate(lists) if current & set(items)]
    by_recency = sorted(candidates, key=lambda s: -last_clicks[s])
    found = []
    for s in by_recency[:n_recent]:
        shared = current & set(lists[s])
        if sequential:
            similarity = sum((latest[i] + 1) / n for i in shared)
            vote = similarity / (1 + (n - 1 - max(latest[i] for i in shared)))
        else:
            similarity = vote = len(shared) / np.sqrt(len(current) * len(set(lists[s])))
        found.append((similarity, vote, s))
    found.sort(key=lambda entry: -round(entry[0], 9))  # stable: of equals the more recent first
    scores = np.zeros(n_items)
    for _, vote, s in found[:k]:
        scores[list(set(lists[s]))] += vote
    holds = Counter(i for items in lists for i in set(items))
    return scores * [1 + idf_weight * np.log(len(lists) / max(holds[i], 1)) for i in range(n_items)]


class TestSessionKNN(RecommenderContract):
    def fit(self, train):
        return SessionKNN().fit(train)

    def test_by_hand(self):
        model = SessionKNN().fit(sessions([0, 1], [0, 1, 2, 2], [3, 4], n_items=5))
        whole, part = 1.0, 2 / np.sqrt(2 * 3)
        np.testing.assert_allclose(scores_after(model, 0, 1, 0), [whole + part, whole + part, part, 0, 0])
        nearest = SessionKNN(k=1).fit(sessions([0, 1], [0, 1, 2, 2], [3, 4], n_items=5))
        np.testing.assert_allclose(scores_after(nearest, 0, 1), [1, 1, 0, 0, 0])

    def test_recent_is_by_the_last_click(self):
        # The first session begins first and ends last.
        data = sessions([0, 1], [0, 2], [0, 3], n_items=4, starts=[0, 10, 20])
        data.times[1] = 50.0
        model = SessionKNN(n_recent=1).fit(data)
        assert scores_after(model, 0)[1:].tolist() == pytest.approx([1 / np.sqrt(2), 0, 0])

    @pytest.mark.parametrize("k, n_recent", [(100, 1000), (5, 1000), (5, 12), (3, 3)])
    def test_against_the_formula(self, k, n_recent):
        lists = random_lists(1)
        model = SessionKNN(k, n_recent).fit(sessions(*lists, n_items=12))
        for history in random_lists(2, n=40):
            np.testing.assert_allclose(
                scores_after(model, *history),
                slow_session_knn(lists, np.arange(60), history, 12, k, n_recent, sequential=False))

    def test_cannot_see_order_in_the_session(self):
        model = self.fit(sessions(*random_lists(1), n_items=12))
        np.testing.assert_array_equal(scores_after(model, 3, 1, 2), scores_after(model, 2, 3, 1))


class TestVSKNN(RecommenderContract):
    def fit(self, train):
        return VSKNN().fit(train)

    def test_by_hand(self):
        model = VSKNN().fit(sessions([0, 3], [1, 4], [0, 1, 5], n_items=6))
        # History 0, 1: position weights 1/2 and 1; only session 0 does not share the last click.
        np.testing.assert_allclose(scores_after(model, 0, 1), [0.25 + 1.5, 1 + 1.5, 0, 0.25, 1, 1.5])

    @pytest.mark.parametrize("idf_weight", [0.0, 2.0])
    @pytest.mark.parametrize("k, n_recent", [(100, 1000), (5, 1000), (5, 12), (3, 3)])
    def test_against_the_formula(self, k, n_recent, idf_weight):
        lists = random_lists(1)
        model = VSKNN(k, n_recent, idf_weight).fit(sessions(*lists, n_items=12))
        for history in random_lists(2, n=40):
            np.testing.assert_allclose(
                scores_after(model, *history),
                slow_session_knn(lists, np.arange(60), history, 12, k, n_recent, sequential=True,
                                 idf_weight=idf_weight))

    def test_the_last_click_weighs_most(self):
        model = self.fit(sessions([0, 2], [1, 3], n_items=4))
        assert model.recommend([0, 1], k=2).ids.tolist() == [1, 3]
        assert model.recommend([1, 0], k=2).ids.tolist() == [0, 2]


def slow_stan(lists, last_clicks, history, n_items, k, n_recent, decays, match_decay=np.inf, idf_weight=0.0):
    """STAN and VSTAN as their formulas read, session by session; the times of the last clicks are days."""
    current, n = set(history), len(history)
    latest = {item: p for p, item in enumerate(history)}
    by_recency = sorted((s for s, items in enumerate(lists) if current & set(items)), key=lambda s: -last_clicks[s])
    found = []
    for s in by_recency[:n_recent]:
        shared = current & set(lists[s])
        similarity = sum(np.exp(-(n - 1 - latest[i]) / decays[0]) for i in shared) / np.sqrt(len(set(lists[s])))
        found.append((similarity * np.exp(-(max(last_clicks) - last_clicks[s]) / decays[1]), s))
    found.sort(key=lambda entry: -round(entry[0], 9))
    scores = np.zeros(n_items)
    for similarity, s in found[:k]:
        place = {item: p for p, item in enumerate(lists[s])}  # the last of each
        shared = current & set(place)
        star = max(place[i] for i in shared)
        vote = similarity * np.exp(-(n - 1 - max(latest[i] for i in shared)) / match_decay)
        for item, p in place.items():
            scores[item] += vote * np.exp(-abs(p - star) / decays[2])
    holds = Counter(i for items in lists for i in set(items))
    return scores * [1 + idf_weight * np.log(len(lists) / max(holds[i], 1)) for i in range(n_items)]


DECAYS = [(1.02, 5.0, 2.05), (np.inf, 20.0, np.inf), (3.0, np.inf, 0.5)]


class TestSTAN(RecommenderContract):
    def fit(self, train):
        return STAN().fit(train)

    @pytest.mark.parametrize("decays", DECAYS)
    @pytest.mark.parametrize("k, n_recent", [(500, 5000), (5, 12)])
    def test_against_the_formula(self, k, n_recent, decays):
        lists, day = random_lists(1), 86_400.0
        ends = np.random.default_rng(3).permutation(60).astype(float)
        starts = [day * (end + 1) - len(items) + 1 for end, items in zip(ends, lists)]
        model = STAN(k, n_recent, *decays).fit(sessions(*lists, n_items=12, starts=starts))
        for history in random_lists(2, n=40):
            np.testing.assert_allclose(scores_after(model, *history),
                                       slow_stan(lists, ends, history, 12, k, n_recent, decays), rtol=1e-13)

    def test_histories_together_are_histories_alone(self):
        model = self.fit(sessions(*random_lists(1), n_items=13))  # item 12 has no neighbour
        histories = [np.array(history) for history in [*random_lists(2, n=9), [12]]]
        together = model.scores_after(histories)
        np.testing.assert_array_equal(together, np.concatenate([model.scores_after([one]) for one in histories]))
        assert not together[-1].any()


def test_stan_without_a_neighbour_leaves_out_what_was_seen():
    model = STAN().fit(sessions([0, 1], [0, 1], n_items=3))
    assert model.recommend([2], k=3, exclude_seen=True).scores.tolist() == [0.0, 0.0]


class TestVSTAN(RecommenderContract):
    def fit(self, train):
        return VSTAN().fit(train)

    @pytest.mark.parametrize("decays", DECAYS)
    @pytest.mark.parametrize("match_decay, idf_weight", [(1.02, 5.0), (np.inf, 1.0), (2.0, 0.0)])
    def test_against_the_formula(self, decays, match_decay, idf_weight):
        lists, day = random_lists(1), 86_400.0
        starts = [day * (s + 1) - len(items) + 1 for s, items in enumerate(lists)]
        model = VSTAN(7, 30, *decays, match_decay, idf_weight).fit(sessions(*lists, n_items=12, starts=starts))
        for history in random_lists(2, n=40):
            np.testing.assert_allclose(
                scores_after(model, *history),
                slow_stan(lists, np.arange(60.0), history, 12, 7, 30, decays, match_decay, idf_weight), rtol=1e-13)


class TestPopularityTies(RecommenderContract):
    def fit(self, train):
        return PopularityTies(ItemKNN()).fit(train)

    def test_orders_ties_and_nothing_else(self):
        data = sessions(*random_lists(3), n_items=12)
        bare, ordered = SessionKNN(k=2).fit(data), PopularityTies(SessionKNN(k=2)).fit(data)
        before, after = all_scores(bare, data), all_scores(ordered, data)
        popularity = data.support
        moved = 0
        for position, _ in zip(*metrics.target_positions(data)):
            for i in range(12):
                for j in range(12):
                    if before[position, i] > before[position, j] + 1e-9:
                        assert after[position, i] > after[position, j]
                    elif before[position, i] == before[position, j] and popularity[i] > popularity[j]:
                        assert after[position, i] > after[position, j]
                        moved += 1
        assert moved > 0

    def test_every_score_has_its_share_of_popularity(self):
        data = sessions([0, 1, 1], [1, 2], n_items=4)
        moved = scores_after(PopularityTies(Popularity()).fit(data), 0) - scores_after(Popularity().fit(data), 0)
        np.testing.assert_allclose(moved, 1e-9 * np.array([1, 3, 1, 0]) / 4, rtol=1e-5, atol=1e-16)

    def test_answers_what_its_model_answers(self):
        data = sessions([0, 1], n_items=2)
        assert PopularityTies(SessionPopularity()).fit(data).recommend([]).ids.tolist() == [0, 1]


def test_what_is_not_said_is_as_in_the_papers():
    """GRU4Rec's item-KNN keeps 100 neighbours and shrinks by 20; S-KNN has 100 neighbours of the 1,000
    latest."""
    assert vars(ItemKNN()) == {"n_similar": 100, "shrinkage": 20, "alpha": 0.5}
    assert vars(SessionKNN()) == {"k": 100, "n_recent": 1000}
    assert vars(VSKNN()) == {"k": 100, "n_recent": 1000, "idf_weight": 0}
    decays = {"click_decay": 1.02, "session_decay": 5, "item_decay": 2.05}  # as session-rec has them
    assert vars(STAN()) == {"k": 500, "n_recent": 5000} | decays
    assert vars(VSTAN()) == vars(STAN()) | {"match_decay": 1.02, "idf_weight": 5}
    many = Popularity().fit(sessions(range(30), n_items=30))
    positions, scores = next(many.score_sessions(sessions(*[[0, 1]] * 600, n_items=30)))
    assert len(many.recommend([0]).ids) == 10 and len(positions) == len(scores) == 512
