"""What every recommender must do. Inherit, define ``fit(train)``, and pytest runs all of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from rnnbook import metrics
from rnnbook.interactions import SessionData

BLOCK, N_BLOCKS = 5, 6


def chains(n, seed):
    """Sessions that walk a ring of 5 items, one of 6 rings: after the first click, the next is certain.

    Any method that knows which items go together ranks the target among its first 5 of 30; popularity knows
    nothing, since all items are equally popular.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for s in range(n):
        ring, start = s % N_BLOCKS, rng.integers(BLOCK)
        for t in range(rng.integers(3, 6)):
            rows.append((s, f"item-{BLOCK * ring + (start + t) % BLOCK:02}", 1000.0 * s + t))
    catalogue = np.array([f"item-{i:02}" for i in range(BLOCK * N_BLOCKS)], dtype=object)
    return SessionData.from_frame(pd.DataFrame(rows, columns=["session", "item", "time"]), item_ids=catalogue)


def all_scores(model, data, batch_size=512):
    """Scores by event, float64 [n_events, n_items]; rows of events that are no target are NaN."""
    rows = torch.full((data.n_events, data.n_items), torch.nan, dtype=torch.float64)
    for positions, scores in model.score_sessions(data, batch_size=batch_size):
        rows[positions.cpu()] = scores.detach().cpu().double()
    return rows.numpy()


class Constant:
    """A recommender that scores every item by a fixed row."""

    def __init__(self, item_ids, row):
        self.item_ids, self.row = item_ids, torch.as_tensor(row, dtype=torch.float64)

    def score_sessions(self, data, batch_size=512):
        positions, _ = metrics.target_positions(data)
        yield torch.from_numpy(positions), self.row.expand(len(positions), -1)


class RecommenderContract:
    """Tests of the protocol that :mod:`rnnbook.metrics` documents."""

    learns_what_goes_together = True  # popularity models do not
    rounding = 0.0  # of scores that are computed together or alone: none in float64 without matrix products
    answers_empty_history = False

    def fit(self, train):
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def train(cls):
        return chains(180, seed=0)

    @pytest.fixture(scope="class")
    @classmethod
    def test(cls):
        return chains(60, seed=1)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, train):
        return cls().fit(train)

    def test_fit_leaves_the_data_alone(self):
        train = chains(60, seed=2)
        before = train.items.copy(), train.offsets.copy(), train.times.copy(), train.item_ids.copy()
        model = self.fit(train)
        for old, new in zip(before, (train.items, train.offsets, train.times, train.item_ids)):
            np.testing.assert_array_equal(old, new)
        np.testing.assert_array_equal(model.item_ids, train.item_ids)

    def test_every_target_is_scored_once_over_the_whole_catalogue(self, model, test):
        seen = []
        for positions, scores in model.score_sessions(test, batch_size=7):
            assert positions.dtype == torch.int64 and scores.is_floating_point()
            assert scores.shape == (len(positions), test.n_items)
            assert scores.isfinite().all()
            seen += positions.tolist()
        assert sorted(seen) == metrics.target_positions(test)[0].tolist()

    def test_one_event_sessions_are_seen_but_not_scored(self, model, test):
        lengths = np.where(np.arange(test.n_sessions) % 3, test.lengths, 1)
        kept = np.arange(test.lengths.max()) < lengths[:, None]
        inside = np.arange(test.lengths.max()) < test.lengths[:, None]
        short = replace(test, items=test.items[kept[inside]], times=test.times[kept[inside]],
                        offsets=np.append(0, lengths.cumsum()))
        scored = ~np.isnan(all_scores(model, short)[:, 0])
        np.testing.assert_array_equal(np.flatnonzero(scored), metrics.target_positions(short)[0])

    def test_batch_size_does_not_matter(self, model, test):
        whole = all_scores(model, test)
        for batch_size in (1, 7):
            np.testing.assert_allclose(all_scores(model, test, batch_size), whole, rtol=1e-5, atol=1e-6)

    def test_the_future_does_not_leak(self, model, test):
        before = all_scores(model, test)
        place = np.arange(test.n_events) - np.repeat(test.offsets[:-1], test.lengths)
        for first_changed in (1, 2, 3):
            changed = np.where(place >= first_changed, (test.items + 7) % test.n_items, test.items)
            after = all_scores(model, replace(test, items=changed))
            unmoved = (place >= 1) & (place <= first_changed)
            np.testing.assert_allclose(after[unmoved], before[unmoved], rtol=1e-5, atol=1e-6)

    def test_other_sessions_do_not_leak(self, model, test):
        together = all_scores(model, test, batch_size=4)
        for session in (0, 17, test.n_sessions - 1):
            alone = all_scores(model, test.take([session]), batch_size=4)
            np.testing.assert_allclose(alone, together[test.offsets[session]:test.offsets[session + 1]],
                                       rtol=1e-5, atol=1e-6)

    def test_recommend_agrees_with_score_sessions(self, model, test):
        rows = all_scores(model, test)
        for position, session in list(zip(*metrics.target_positions(test)))[::17]:
            history = test.item_ids[test.items[test.offsets[session]:position]]
            ids, scores = model.recommend(history, k=6)
            assert len(ids) == len(scores) == len(set(ids)) == 6
            index = np.searchsorted(test.item_ids, ids)
            for same in (np.sort(rows[position])[::-1][:6], rows[position, index]):
                np.testing.assert_allclose(scores, same, rtol=1e-5, atol=1e-6)

    def test_many_are_answered_as_one_by_one(self, model, test):
        histories = [test.item_ids[test.items[a:b]].tolist() for a, b in zip(test.offsets, test.offsets[1:])]
        histories += [history[:1] for history in histories[:5]]
        together = model.recommend_many(histories, k=7)
        assert len(together) == len(histories)
        for many, of_data in zip(together, model.recommend_many(test, k=7)):
            assert many.ids.tolist() == of_data.ids.tolist()
            np.testing.assert_allclose(of_data.scores, many.scores, rtol=0, atol=self.rounding)
        for history, many in zip(histories, together):
            whole = model.recommend(history, k=30)
            np.testing.assert_allclose(many.scores, whole.scores[:7], rtol=0, atol=self.rounding)
            own = dict(zip(*whole))  # each item has its own score, so none stands in for another
            np.testing.assert_allclose(many.scores, [own[i] for i in many.ids], rtol=0, atol=self.rounding)
            assert len(set(many.ids)) == 7 and (self.rounding > 1e-9 or many.ids.tolist() == whole.ids[:7].tolist())

    def test_seen_items_are_left_out_and_others_are_no_candidates(self, model, test):
        everything = model.recommend(["item-03", "item-04"], k=30)
        unseen = model.recommend(["item-03", "item-04"], k=30, exclude_seen=True)
        assert sorted(everything.ids) == sorted(test.item_ids)
        assert unseen.ids.tolist() == [i for i in everything.ids if i not in ("item-03", "item-04")]
        allowed = ["item-20", "item-03", "item-11"]
        some = model.recommend(["item-03", "item-04"], k=30, candidates=allowed)
        assert some.ids.tolist() == [i for i in everything.ids if i in allowed]
        np.testing.assert_allclose(some.scores, [s for i, s in zip(*everything) if i in allowed], rtol=0,
                                   atol=self.rounding)
        left = model.recommend(["item-03", "item-04"], k=2, candidates=allowed, exclude_seen=True)
        assert left.ids.tolist() == [i for i in everything.ids if i in ("item-20", "item-11")]
        assert len(model.recommend(["item-03"], candidates=["item-03"], exclude_seen=True).ids) == 0

    def test_unknown_item(self, model):
        with pytest.raises(ValueError, match="item-99"):
            model.recommend(["item-03", "item-99"])
        with pytest.raises(ValueError, match="99"):
            model.recommend([99])

    def test_empty_history(self, model):
        if self.answers_empty_history:
            assert len(model.recommend([], k=3).ids) == 3
        else:
            with pytest.raises(ValueError, match="empty"):
                model.recommend([])

    def test_another_catalogue(self, model, test):
        for item_ids in (test.item_ids[::-1].copy(), np.append(test.item_ids, "item-99")):
            with pytest.raises(ValueError, match="catalogue"):
                metrics.evaluate_sessions(model, replace(test, item_ids=item_ids))

    def test_it_learns_what_goes_together(self, model, train, test):
        score = metrics.evaluate_sessions(model, test, k=BLOCK)
        popular = metrics.evaluate_sessions(Constant(test.item_ids, train.support), test, k=BLOCK)
        nothing = metrics.evaluate_sessions(Constant(test.item_ids, np.zeros(test.n_items)), test, k=BLOCK)
        assert nothing.recall == 0 and popular.recall < 0.35
        if self.learns_what_goes_together:
            assert score.recall > 0.95, "after the first click the next is certain, and the model does not name it"
            assert metrics.paired_difference(score, popular, "mrr")[1] > 0
        else:
            assert score.recall < 0.35, ("one list for all sessions names the next click as often as chance does, in "
                                         "5 of 30; if the model learns what goes together, leave "
                                         "learns_what_goes_together = True")
