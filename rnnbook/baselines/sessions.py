"""What a neural recommender has to beat: counts and nearest neighbours.

All follow the protocol of :mod:`rnnbook.metrics` and score in float64; ``fit`` returns the model. Nothing is
added behind the papers' backs: an item that no neighbour clicked scores 0, and all such items tie.
Conservative ties count them as misses; standard ties count them as hits right behind the neighbours, which
makes a neighbour method look far better than it is. :class:`PopularityTies` orders them openly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from scipy import sparse

from rnnbook import metrics


class HistoryRecommender(ABC):
    """The protocol for a model whose scores are a function of the clicks so far.

    A subclass sets ``item_ids`` and defines ``scores_after``.

    Examples
    --------
    A model that recommends what has not been clicked yet, and nothing else:

    >>> class Unseen(HistoryRecommender):
    ...     item_ids = np.array(["tent", "stove", "boots"])
    ...
    ...     def scores_after(self, histories):
    ...         return np.stack([1.0 - np.isin(np.arange(3), history) for history in histories])
    >>> Unseen().recommend(["boots", "tent"], k=1)
    Recommendations(ids=array(['stove'], dtype='<U5'), scores=array([1.]))
    """

    item_ids: np.ndarray
    answers_empty_history = False

    @abstractmethod
    def scores_after(self, histories):
        """A list of int64 arrays [n >= 1] of item indices, oldest first, to float64 [len(histories), n_items]."""

    def recommend(self, history, k=10):
        """Raw item ids, oldest first, to the ``k`` best next items: Recommendations."""
        history = metrics.encode_history(history, self.item_ids, may_be_empty=self.answers_empty_history)
        return metrics.best_items(self.scores_after([history])[0], self.item_ids, k)

    def score_sessions(self, data, batch_size=512):
        """Yield (positions int64 tensor [B], scores float64 tensor [B, n_items])."""
        metrics.check_catalogue(self, data)
        positions, sessions = metrics.target_positions(data)
        for start in range(0, len(positions), batch_size):
            batch = positions[start:start + batch_size]
            first = data.offsets[sessions[start:start + batch_size]]
            histories = [data.items[a:b] for a, b in zip(first, batch)]
            yield torch.from_numpy(batch), torch.from_numpy(self.scores_after(histories))


class LastItemRecommender(HistoryRecommender):
    """A model that looks at the last click alone; a subclass defines ``scores_after_item``.

    Examples
    --------
    A model that always recommends the item just clicked:

    >>> class Again(LastItemRecommender):
    ...     item_ids = np.array(["tent", "stove", "boots"])
    ...
    ...     def scores_after_item(self, last):
    ...         return np.eye(3)[last]
    >>> Again().recommend(["boots", "tent"], k=2).ids.tolist()
    ['tent', 'stove']
    """

    @abstractmethod
    def scores_after_item(self, last):
        """Indices of last clicks, int64 [B], to float64 [B, n_items]."""

    def scores_after(self, histories):
        return self.scores_after_item(np.array([history[-1] for history in histories]))


# Counts -------------------------------------------------------------------------------------------------


class Popularity(HistoryRecommender):
    """POP: the same list for everybody, ordered by the number of clicks in training.

    Examples
    --------
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcbc"), "time": range(5)})
    >>> Popularity().fit(SessionData.from_frame(clicks)).recommend([], k=3)
    Recommendations(ids=array(['b', 'c', 'a'], dtype=object), scores=array([2., 2., 1.]))
    """

    answers_empty_history = True

    def fit(self, train):
        """Count the clicks on each item."""
        self.item_ids = train.item_ids
        self.popularity = train.support.astype(np.float64)
        return self

    def scores_after(self, histories):
        return np.tile(self.popularity, (len(histories), 1))


class SessionPopularity(HistoryRecommender):
    """S-POP: the items clicked most often in this session; ties, and the rest, by popularity in training.

    score(i) = clicks on i in the session + support_i / (1 + max support), the second term below 1.

    Examples
    --------
    The clicks of the session count in full; popularity, below 1, orders the ties.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcbc"), "time": range(5)})
    >>> model = SessionPopularity().fit(SessionData.from_frame(clicks))
    >>> best = model.recommend(["a", "c", "a"], k=3)
    >>> best.ids.tolist(), best.scores.round(4).tolist()
    (['a', 'c', 'b'], [2.3333, 1.6667, 0.6667])
    """

    answers_empty_history = True

    def fit(self, train):
        """Count the clicks on each item, to order what the session ties."""
        self.item_ids = train.item_ids
        self.popularity = train.support / (1 + train.support.max())
        return self

    def scores_after(self, histories):
        scores = np.tile(self.popularity, (len(histories), 1))
        rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
        np.add.at(scores, (rows, np.concatenate(histories)), 1)
        return scores


class Markov(LastItemRecommender):
    """First-order transitions: score(j) = share of the training clicks on the last item followed by j.

    Examples
    --------
    Of two clicks on b that went on, one was followed by c and one by a.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
    >>> best = Markov().fit(SessionData.from_frame(clicks)).recommend(["b"], k=3)
    >>> best.ids.tolist(), best.scores.tolist()
    (['a', 'c', 'b'], [0.5, 0.5, 0.0])
    """

    def fit(self, train):
        """Count which item follows which."""
        self.item_ids = train.item_ids
        target, _ = metrics.target_positions(train)
        counts = sparse.csr_array((np.ones(len(target)), (train.items[target - 1], train.items[target])),
                                  shape=(train.n_items, train.n_items))
        followed = np.maximum(counts.sum(1), 1)  # an item that ends every session keeps its row of zeros
        self.transitions = (sparse.diags_array(1 / followed) @ counts).tocsr()
        return self

    def scores_after_item(self, last):
        return self.transitions[last].toarray()


class PopularityTies(HistoryRecommender):
    """Any of these models with its ties ordered by popularity in training: ``PopularityTies(ItemKNN())``.

    Sparse counts tie most items at 0. This is the plainest way to order them, and a fairer rival under
    conservative ties. Scores that differ by less than 1e-9 count as tied.

    Examples
    --------
    c was clicked twice, a once: now the tie between them is broken.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2, 3, 3], "item": list("abcbacc"),
    ...                        "time": range(7)})
    >>> train = SessionData.from_frame(clicks)
    >>> [model.fit(train).recommend(["b"], k=2).ids.tolist()
    ...  for model in (Markov(), PopularityTies(Markov()))]
    [['a', 'c'], ['c', 'a']]
    """

    def __init__(self, model):
        self.model = model
        self.answers_empty_history = model.answers_empty_history

    def fit(self, train):
        """Fit the model, and count the clicks that order its ties."""
        self.model.fit(train)
        self.item_ids = train.item_ids
        self.tie_break = 1e-9 * train.support / (1 + train.support.max())
        return self

    def scores_after(self, histories):
        return self.model.scores_after(histories) + self.tie_break


# Neighbours ---------------------------------------------------------------------------------------------


def _item_sets(data):
    """Sessions as sets: csr_array [n_sessions, n_items] of float64, 1 where the session clicked the item."""
    sets = sparse.csr_array((np.ones(data.n_events), data.items, data.offsets),
                            shape=(data.n_sessions, data.n_items), copy=True)
    sets.sum_duplicates()  # sorts in place: without the copy, it would sort the caller's sessions
    sets.data[:] = 1
    return sets


class ItemKNN(LastItemRecommender):
    r"""Item-to-item neighbours of the last click, the baseline of the GRU4Rec papers.

    .. math::
        s_{ij} = \frac{|S_i \cap S_j|}{(|S_i| + \lambda)^{\alpha} (|S_j| + \lambda)^{1 - \alpha}},
        \qquad s_{ii} = 0

    where i is the last click, j the item to score, and :math:`S_i` the set of training sessions that hold i.
    Each i keeps its ``n_similar`` best j, the rest score 0. This is the paper's definition; the authors' code
    counts clicks where the paper counts sessions: a session that clicked i twice adds 2 to the numerator
    (which then is not symmetric), and :math:`|S_i|` becomes the number of clicks on i.

    Parameters
    ----------
    n_similar : neighbours kept per item
    shrinkage : λ in sessions, discounts coincidences among rare items
    alpha : α; 0.5 is a cosine, 1 the confidence of the rule i → j

    References
    ----------
    B. Hidasi et al. "Session-based Recommendations with Recurrent Neural Networks." ICLR 2016.

    Examples
    --------
    Two of three sessions hold a, two hold b, one holds both: 1 / √(2 · 2).

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 2, 2, 3, 3], "item": list("abacbc"),
    ...                        "time": range(6)})
    >>> best = ItemKNN(shrinkage=0).fit(SessionData.from_frame(clicks)).recommend(["a"], k=3)
    >>> best.ids.tolist(), best.scores.round(4).tolist()
    (['b', 'c', 'a'], [0.5, 0.5, 0.0])
    """

    def __init__(self, n_similar=100, shrinkage=20.0, alpha=0.5):
        self.n_similar, self.shrinkage, self.alpha = n_similar, shrinkage, alpha

    def fit(self, train):
        """Find the neighbours of each item."""
        self.item_ids = train.item_ids
        sets = _item_sets(train)
        shrunk = np.maximum(sets.sum(0) + self.shrinkage, 1)  # 1 for an item never seen: it has no neighbour
        together = sparse.csr_array(sets.T @ sets)
        together -= sparse.diags_array(together.diagonal())
        together.eliminate_zeros()
        left, right = (sparse.diags_array(shrunk ** -power) for power in (self.alpha, 1 - self.alpha))
        self.similarity = _keep_best((left @ together @ right).tocsr(), self.n_similar)
        return self

    def scores_after_item(self, last):
        return self.similarity[last].toarray()


def _keep_best(matrix, n):
    """The ``n`` largest entries of each row of a csr_array; ties in column order."""
    matrix.sort_indices()
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-matrix.data, row))  # stable: row by row, the largest first
    kept = order[np.arange(matrix.nnz) - matrix.indptr[row] < n]
    return sparse.csr_array((matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape)


class SessionKNN(HistoryRecommender):
    r"""S-KNN: what the most similar past sessions clicked.

    Candidates are the ``n_recent`` most recent training sessions (by their last click) that share an item
    with the current session c. The ``k`` nearest among them, :math:`N`, vote:

    .. math::
        \mathrm{sim}(c, s) = \frac{|c \cap s|}{\sqrt{|c|\,|s|}}, \qquad
        \mathrm{score}(i) = \sum_{s \in N} \mathrm{sim}(c, s)\, [i \in s]

    with sessions as sets of items; of equally similar sessions the more recent is nearer. (The cosine of the
    authors' framework, session-rec, multiplies by :math:`\sqrt{|s|}` where it should divide.)

    Parameters
    ----------
    k : neighbours that vote
    n_recent : candidates among which they are sought

    References
    ----------
    D. Jannach and M. Ludewig. "When Recurrent Neural Networks meet the Neighborhood for Session-Based
    Recommendation." RecSys 2017.

    Examples
    --------
    The session {a, b} is nearest to {b, a, d} (two of three, two of two: 2/√6) and shares one item with {a, c}.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("badac"), "time": range(5)})
    >>> best = SessionKNN(k=2).fit(SessionData.from_frame(clicks)).recommend(["a", "b"], k=4)
    >>> best.ids.tolist(), best.scores.round(4).tolist()
    (['a', 'b', 'd', 'c'], [1.3165, 0.8165, 0.8165, 0.5])
    """

    def __init__(self, k=100, n_recent=1000):
        self.k, self.n_recent = k, n_recent

    def fit(self, train):
        """Lay the sessions in the order of time, and note which hold each item."""
        self.item_ids = train.item_ids
        by_last_click = np.argsort(train.times[train.offsets[1:] - 1], kind="stable")
        self.sessions = _item_sets(train.take(by_last_click))  # [n_sessions, n_items], the latest last
        self.sizes = np.diff(self.sessions.indptr)
        self._sessions_of = self.sessions.tocsc()  # column i: the sessions with item i, the latest last
        self._sessions_of.sort_indices()
        return self

    def scores_after(self, histories):
        found = [self._neighbours(history) for history in histories]
        ends = np.cumsum([0] + [len(sessions) for sessions, _ in found])
        votes = sparse.csr_array((np.concatenate([vote for _, vote in found]),
                                  np.concatenate([sessions for sessions, _ in found]), ends),
                                 shape=(len(histories), len(self.sizes)))
        return (votes @ self.sessions).toarray()

    def _neighbours(self, history):
        """The nearest sessions, int64 [<= k], and the weight of their votes."""
        items, age = np.unique(history[::-1], return_index=True)  # age 0 is the last click
        items, age = items[age.argsort()], np.sort(age)
        start, end = self._sessions_of.indptr[items], self._sessions_of.indptr[items + 1]
        start = np.maximum(start, end - self.n_recent)  # no item needs more than its own n_recent latest
        shared = np.concatenate([self._sessions_of.indices[a:b] for a, b in zip(start, end)])
        shared_age = np.repeat(age, end - start)
        sessions, newest, place = np.unique(shared, return_index=True, return_inverse=True)
        similarity, vote = self._compare(sessions, place, shared_age, shared_age[newest], history)
        latest_first = np.arange(len(sessions))[-self.n_recent:][::-1]
        nearest = latest_first[np.argsort(-similarity[latest_first], kind="stable")[:self.k]]
        return sessions[nearest], vote[nearest]

    def _compare(self, sessions, place, age, newest_age, history):
        """Similarity and vote of each candidate, float64 [n].

        ``place`` and ``age`` run over the pairs (candidate, item shared with it): which candidate, and how
        many clicks ago the item was last clicked; ``newest_age`` [n] is the least age of each candidate.
        """
        similarity = np.bincount(place) / np.sqrt(len(np.unique(history)) * self.sizes[sessions])
        return similarity, similarity


class VSKNN(SessionKNN):
    r"""V-SKNN: S-KNN that minds the order of the current session.

    The click at position p of n (its last, if clicked again) weighs p/n instead of 1, and a neighbour's vote
    shrinks with the number of clicks since the last item that it shares, :math:`a = 0` for the last click:

    .. math::
        \mathrm{sim}(c, s) = \sum_{i \in c \cap s} \frac{p_i}{n}, \qquad
        \mathrm{score}(i) = (1 + w\, \mathrm{idf}_i)
            \sum_{s \in N} \frac{\mathrm{sim}(c, s)}{1 + a_s}\, [i \in s]

    with :math:`\mathrm{idf}_i = \log(n / |S_i|)` for n training sessions, of which :math:`S_i` hold i. Past
    sessions stay sets.

    Parameters
    ----------
    k, n_recent : as in :class:`SessionKNN`
    idf_weight : w; 0 leaves popularity alone

    References
    ----------
    M. Ludewig and D. Jannach. "Evaluation of Session-based Recommendation Algorithms." UMUAI 28, 2018.

    Examples
    --------
    After a, then b, the session that shares b says more than the one that shares a.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 2, 2], "item": list("acbd"), "time": range(4)})
    >>> best = VSKNN().fit(SessionData.from_frame(clicks)).recommend(["a", "b"], k=4)
    >>> # 2/2 of the last click; 1/2, halved as it is one click ago
    >>> best.ids.tolist(), best.scores.tolist()
    (['b', 'd', 'a', 'c'], [1.0, 1.0, 0.25, 0.25])
    """

    def __init__(self, k=100, n_recent=1000, idf_weight=0.0):
        super().__init__(k, n_recent)
        self.idf_weight = idf_weight

    def fit(self, train):
        """As :class:`SessionKNN`, and weigh the items by their rarity."""
        super().fit(train)
        self.boost = 1 + self.idf_weight * np.log(train.n_sessions / np.maximum(self.sessions.sum(0), 1))
        return self

    def scores_after(self, histories):
        return super().scores_after(histories) * self.boost

    def _compare(self, sessions, place, age, newest_age, history):
        n = len(history)
        similarity = np.bincount(place, weights=n - age) / n  # whole numbers up to here, so that equals tie
        return similarity, similarity / (1 + newest_age)
