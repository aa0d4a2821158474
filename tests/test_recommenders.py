"""From scores to recommendations: blocks, ties, seen items, and what may be a typing error in a history."""

import uuid

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbook import recommenders
from rnnbook.baselines import Popularity
from rnnbook.interactions import SessionData
from rnnbook.recommenders import Recommender, better


class Fixed(Recommender):
    """Scores by a table: row i for the i-th history of a batch."""

    answers_empty_history = True

    def __init__(self, scores, item_ids=None):
        self.table = torch.as_tensor(scores, dtype=torch.float32)
        self.item_ids = np.arange(self.table.shape[1]) if item_ids is None else np.asarray(item_ids, dtype=object)
        self.asked = 0  # the largest number of scores that were asked for together

    def scorer(self, histories):
        def score(rows, items):
            scores = self.table[:len(histories)][rows][:, items].clone()
            self.asked = max(self.asked, scores.numel())
            return scores
        return score


def expected(scores, k, history=(), candidates=None):
    """The best items, by sorting all of them; of equal scores the first wins."""
    allowed = range(len(scores)) if candidates is None else sorted(set(candidates))
    return sorted((i for i in allowed if i not in history), key=lambda i: -scores[i])[:k]


@settings(max_examples=200, deadline=None)
@given(rows=st.integers(1, 30).flatmap(lambda m: st.lists(st.lists(st.integers(-3, 3), min_size=m, max_size=m),
                                                          min_size=1, max_size=6)),
       k=st.integers(1, 35), block=st.integers(1, 40), exclude=st.booleans(), data=st.data())
def test_blocks_give_what_sorting_everything_gives(rows, k, block, exclude, data):
    """Scores have many ties: where the last place is shared, the earlier items of the catalogue have it."""
    n_items = len(rows[0])
    item = st.integers(0, n_items - 1)
    histories = [data.draw(st.lists(item, max_size=4)) for _ in rows]
    candidates = data.draw(st.none() | st.lists(item, min_size=1, max_size=8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recommenders, "BLOCK", block)
        found = Fixed(rows).recommend_many(histories, k, exclude_seen=exclude, candidates=candidates)
    for scores, history, best in zip(rows, histories, found, strict=True):
        ids = expected(scores, k, history if exclude else (), candidates)
        assert best.ids.tolist() == ids and best.scores.tolist() == [scores[i] for i in ids]


def test_no_more_scores_than_a_block_are_in_memory(monkeypatch):
    monkeypatch.setattr(recommenders, "BLOCK", 60)
    model = Fixed(np.random.default_rng(0).normal(size=(4, 1000)))
    best = model.recommend_many([[1]] * 4, k=3)
    assert model.asked == 60
    assert [b.ids.tolist() for b in best] == [expected(row, 3) for row in model.table.tolist()]


def test_histories_are_read_in_batches(monkeypatch):
    monkeypatch.setattr(recommenders, "ROWS", 2)
    monkeypatch.setattr(Popularity, "at_once", 4)
    clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcbc"), "time": range(5)})
    model = Popularity().fit(SessionData.from_frame(clicks))
    found = model.recommend_many([["a"], ["b"], ["c"]] * 5 + [["b"]], k=1, exclude_seen=True)
    assert [best.ids.tolist() for best in found] == [["b"], ["c"], ["b"]] * 5 + [["c"]]


def test_nothing_is_asked_and_nothing_is_answered():
    assert Fixed([[1.0, 2.0]]).recommend_many([]) == []
    none = SessionData(np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0), np.arange(2), np.empty(0))
    assert Fixed([[1.0, 2.0]]).recommend_many(none) == []


def test_the_first_of_equals_are_taken():
    best = better(torch.tensor([[2.0, 2.0, 2.0, 3.0], [0.0, 1.0, 0.0, 0.0]]), 0, None, 3)
    assert best[1].tolist() == [[3, 0, 1], [1, 0, 2]] and best[0].tolist() == [[3, 2, 2], [1, 0, 0]]
    values, columns = better(torch.tensor([[2.0, 4.0], [0.0, 0.5]]), 4, best, 3)
    assert columns.tolist() == [[5, 3, 0], [1, 5, 0]] and values.tolist() == [[4, 3, 2], [1, 0.5, 0]]


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "3", None])
def test_a_wrong_k_is_refused(k):
    with pytest.raises(ValueError, match="k must be"):
        Fixed([[1.0, 2.0]]).recommend([0], k=k)


NUMBERS, WORDS = Fixed(np.eye(4)), Fixed(np.eye(4), ["7", "tent", "a b", str(uuid.UUID(int=5))])


@pytest.mark.parametrize("history", [[1, 3], (1, 3), np.array([1, 3]), np.array([1.0, 3.0]), torch.tensor([1, 3]),
                                     pd.Series([1, 3]), [np.int32(1), np.float32(3)], iter([1, 3]), range(1, 4, 2)])
def test_any_sequence_of_whole_numbers_is_a_history(history):
    assert NUMBERS.recommend(history, k=1, exclude_seen=True, candidates=[1, 3, 2]).ids.tolist() == [2]


@pytest.mark.parametrize(("model", "history", "message"), [
    (NUMBERS, ["3"], "did you mean 3"), (NUMBERS, ["3.0"], "did you mean 3"), (NUMBERS, [" 3 "], "did you mean 3"),
    (NUMBERS, [1, 99], "unknown item 99"), (NUMBERS, [1.5], "1.5 cannot be the id of an item: here these are integers"),
    (NUMBERS, [True], "True cannot"), (NUMBERS, [None], "None cannot"), (NUMBERS, [float("nan")], "nan cannot"),
    (NUMBERS, 3, "a history is a sequence"), (NUMBERS, torch.tensor(3), "a history is a sequence"),
    (WORDS, "tent", "a history is a sequence"), (WORDS, b"tent", "a history is a sequence"),
    (WORDS, [7], "did you mean '7'"), (WORDS, [7.0], "did you mean '7'"), (WORDS, ["tent "], "did you mean 'tent'"),
    (WORDS, ["07"], "did you mean '7'"), (WORDS, [uuid.UUID(int=5)], "did you mean '00000000-"),
    (WORDS, ["stove"], "unknown item 'stove'"), (WORDS, [8], "8 cannot be the id of an item: here these are strings"),
    (WORDS, [None], "None cannot"), (WORDS, [["tent"]], "cannot be the id of an item"),
])
def test_what_may_be_a_typing_error_is_refused(model, history, message):
    with pytest.raises(ValueError, match=message.replace("(", "[(]")):
        model.recommend(history)


def test_of_several_unknown_items_the_first_is_named():
    for history in (["tent", "item-2"], ["7", "item-2", "item-4"]):
        with pytest.raises(ValueError, match="unknown item 'item-2'"):
            WORDS.recommend_many([["tent"], history])


def test_candidates_are_looked_up_like_histories():
    with pytest.raises(ValueError, match="did you mean 3"):
        NUMBERS.recommend([1], candidates=["3"])
    with pytest.raises(ValueError, match="a candidate is not in the catalogue: 99"):
        NUMBERS.recommend([1], candidates=[0, 99])
    with pytest.raises(ValueError, match="no candidates"):
        NUMBERS.recommend([1], candidates=[])
    for candidates in ("item-1", (each for each in [0])):
        with pytest.raises(ValueError, match="candidates must be a list of item ids, not"):
            NUMBERS.recommend([1], candidates=candidates)


def test_scores_that_are_no_numbers_are_refused():
    model = Popularity().fit(SessionData.from_frame(pd.DataFrame(
        {"session": [1, 1], "item": [5, 6], "time": range(2)})))
    model.scores_after = lambda histories: np.full((len(histories), 2), np.nan)
    with pytest.raises(ValueError, match="some scores are not numbers"):
        model.recommend([5], k=2)


def test_another_catalogue_is_refused():
    clicks = pd.DataFrame({"session": [1, 1], "item": [5, 6], "time": range(2)})
    with pytest.raises(ValueError, match="the catalogues differ"):
        NUMBERS.recommend_many(SessionData.from_frame(clicks))
