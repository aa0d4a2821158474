"""Baselines for neural recommenders: counts and nearest neighbours.

All follow the protocol of recommenders in :mod:`rnnbook.metrics` and score in float64. ``fit`` takes SessionData and
returns the model. No step is added that the papers do not have. So an item that no neighbour clicked scores 0, and all
such items are tied. Conservative ties rank them last, mostly as misses. Standard ties rank them directly after the
neighbours' items, often as hits, so a neighbour method looks far better than it is. :class:`PopularityTies` orders
these ties explicitly.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from scipy import sparse

from rnnbook import metrics
from rnnbook.interactions import DAY
from rnnbook.interactions.ragged import concatenated_ranges
from rnnbook.recommenders import ROWS, Recommender


class HistoryRecommender(Recommender):
    """Base class of a model whose scores are a function of the clicks so far.

    A subclass sets ``item_ids`` and defines ``scores_after``.

    Examples
    --------
    A model that recommends only items that have not been clicked yet:

    >>> class Unseen(HistoryRecommender):
    ...     item_ids = np.array(["tent", "stove", "boots"])
    ...
    ...     def scores_after(self, histories):
    ...         return np.stack([1.0 - np.isin(np.arange(3), history) for history in histories])
    >>> Unseen().recommend(["boots", "tent"], k=1)
    Recommendations(ids=array(['stove'], dtype='<U5'), scores=array([1.]))
    """

    @abstractmethod
    def scores_after(self, histories):
        """Scores of all items after each history: float64 [n_histories, n_items].

        Parameters
        ----------
        histories : list of int64 arrays [n >= 1]
            Item indices, oldest first.
        """

    at_once = ROWS  # histories whose scores of all items are in memory together

    def scorer(self, histories):
        scores = torch.from_numpy(self.scores_after(histories))
        return lambda rows, items: scores[rows][:, items]

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
    """Base class of a model that uses only the last click; a subclass defines ``scores_after_item``.

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
        """Scores of all items, float64 [B, n_items], after the last clicks, int64 [B] (item indices)."""

    def scores_after(self, histories):
        return self.scores_after_item(np.array([history[-1] for history in histories]))


# Counts -------------------------------------------------------------------------------------------------


class Popularity(HistoryRecommender):
    """POP: the same list for all sessions, ordered by the number of clicks in training.

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
    """S-POP: items ordered by the number of clicks in this session, then by popularity in training.

    score(i) = clicks on i in the session + support_i / (1 + max support). The second term is below 1.

    Examples
    --------
    Each click of the session adds 1. The popularity is below 1, so it only orders the ties.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcbc"), "time": range(5)})
    >>> model = SessionPopularity().fit(SessionData.from_frame(clicks))
    >>> best = model.recommend(["a", "c", "a"], k=3)
    >>> best.ids.tolist(), best.scores.round(4).tolist()
    (['a', 'c', 'b'], [2.3333, 1.6667, 0.6667])
    """

    answers_empty_history = True

    def fit(self, train):
        """Count the clicks on each item, which order the ties."""
        self.item_ids = train.item_ids
        self.popularity = train.support / (1 + train.support.max())
        return self

    def scores_after(self, histories):
        scores = np.tile(self.popularity, (len(histories), 1))
        rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
        np.add.at(scores, (rows, np.concatenate(histories)), 1)
        return scores


class Markov(LastItemRecommender):
    """First-order Markov chain over items: score(j) is the estimate of P(j | last item) from the counts in training.

    Clicks on the last item that end a session are not counted.

    Examples
    --------
    Two clicks on b were followed by another click: one by c, one by a.

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
        followed = np.maximum(counts.sum(1), 1)  # the row of an item that was never followed stays zero
        self.transitions = (sparse.diags_array(1 / followed) @ counts).tocsr()
        return self

    def scores_after_item(self, last):
        return self.transitions[last].toarray()


class PopularityTies(HistoryRecommender):
    """Any of these models with its ties ordered by popularity in training: ``PopularityTies(ItemKNN())``.

    With sparse counts, most items are tied at 0. Ordering them by popularity is the simplest way to break the ties,
    and makes the comparison under conservative ties fairer. Scores that differ by less than 1e-9 count as tied.

    Parameters
    ----------
    model : HistoryRecommender

    Examples
    --------
    Item c was clicked three times, a twice: popularity breaks the tie between them.

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
    """Sessions as sets: csr_array [n_sessions, n_items] of float64, 1 if the session has a click on the item."""
    sets = sparse.csr_array((np.ones(data.n_events), data.items, data.offsets),
                            shape=(data.n_sessions, data.n_items), copy=True)
    sets.sum_duplicates()  # this sorts in place, so a copy is needed: else the caller's sessions would be sorted
    sets.data[:] = 1
    return sets


class ItemKNN(LastItemRecommender):
    r"""Item-to-item neighbours of the last click, the baseline of the GRU4Rec papers.

    .. math::
        s_{ij} &= \frac{|S_i \cap S_j|}{(|S_i| + \lambda)^{\alpha} (|S_j| + \lambda)^{1 - \alpha}}, \\
        s_{ii} &= 0

    where i is the last click, j the item to score, and :math:`S_i` the set of training sessions that contain i. Each i
    keeps its ``n_similar`` best j; all others score 0. This is the paper's definition. The authors' code counts clicks
    where the paper counts sessions. There, a session with two clicks on i adds 2 to the numerator, which is then not
    symmetric, and :math:`|S_i|` is the number of clicks on i.

    Parameters
    ----------
    n_similar : int, neighbours kept per item
    shrinkage : float, λ, a number of sessions; lowers the similarities of rare items
    alpha : float, α; 0.5 gives the cosine, 1 the confidence of the rule i → j

    References
    ----------
    B. Hidasi et al. "Session-based Recommendations with Recurrent Neural Networks." ICLR 2016.

    Examples
    --------
    Of three sessions, two contain a, two contain b, and one contains both: 1 / √(2 · 2).

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
        shrunk = np.maximum(sets.sum(0) + self.shrinkage, 1)  # at least 1, for items that were never clicked
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
    order = np.lexsort((-matrix.data, row))  # a stable sort by row, then the largest first
    kept = order[np.arange(matrix.nnz) - matrix.indptr[row] < n]
    return sparse.csr_array((matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape)


class SessionKNN(HistoryRecommender):
    r"""S-KNN: the items of the most similar past sessions.

    Candidates are the ``n_recent`` most recent training sessions (by their last click) that share an item with the
    current session c. The ``k`` nearest of them, :math:`N`, give each item a score:

    .. math::
        \mathrm{sim}(c, s) &= \frac{|c \cap s|}{\sqrt{|c|\,|s|}}, \\
        \mathrm{score}(i) &= \sum_{s \in N} \mathrm{sim}(c, s)\, [i \in s]

    Sessions are sets of items here. Of two equally similar sessions, the more recent one counts as nearer. (The cosine
    of the authors' framework, session-rec, multiplies by :math:`\sqrt{|s|}` where it should divide.)

    Parameters
    ----------
    k : int, the number of neighbours
    n_recent : int, the number of candidates

    References
    ----------
    D. Jannach and M. Ludewig. "When Recurrent Neural Networks meet the Neighborhood for Session-Based
    Recommendation." RecSys 2017.

    Examples
    --------
    The session {a, b} shares two items with {b, a, d}, a similarity of 2/√(2 · 3), and one with {a, c}, 1/√(2 · 2).

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("badac"), "time": range(5)})
    >>> best = SessionKNN(k=2).fit(SessionData.from_frame(clicks)).recommend(["a", "b"], k=4)
    >>> best.ids.tolist(), best.scores.round(4).tolist()
    (['a', 'b', 'd', 'c'], [1.3165, 0.8165, 0.8165, 0.5])
    """

    def __init__(self, k=100, n_recent=1000):
        self.k, self.n_recent = k, n_recent

    def fit(self, train):
        """Sort the sessions by time, and index which of them contain each item."""
        self.item_ids = train.item_ids
        self._take_in(train.take(np.argsort(train.times[train.offsets[1:] - 1], kind="stable")))
        return self

    def _take_in(self, train):
        """Take in the sessions, the one with the latest last click last."""
        self.sessions = _item_sets(train)  # [n_sessions, n_items]
        self.sizes = np.diff(self.sessions.indptr)
        self._sessions_of = self.sessions.tocsc()  # column i: the sessions with item i, the latest last
        self._sessions_of.sort_indices()

    def scores_after(self, histories):
        found = [self._neighbours(history) for history in histories]
        ends = np.cumsum([0] + [len(sessions) for sessions, _ in found])
        votes = sparse.csr_array((np.concatenate([vote for _, vote in found]),
                                  np.concatenate([sessions for sessions, _ in found]), ends),
                                 shape=(len(histories), len(self.sizes)))
        return (votes @ self.sessions).toarray()

    def _neighbours(self, history):
        """The nearest sessions, int64 [<= k], and the weight of each."""
        items, age = np.unique(history[::-1], return_index=True)  # age 0 is the last click
        items, age = items[age.argsort()], np.sort(age)
        start, end = self._sessions_of.indptr[items], self._sessions_of.indptr[items + 1]
        start = np.maximum(start, end - self.n_recent)  # at most n_recent sessions of each item can be candidates
        shared = np.concatenate([self._sessions_of.indices[a:b] for a, b in zip(start, end)])
        shared_age = np.repeat(age, end - start)
        sessions, newest, place = np.unique(shared, return_index=True, return_inverse=True)
        similarity, vote = self._compare(sessions, place, shared_age, shared_age[newest], history)
        latest_first = np.arange(len(sessions))[-self.n_recent:][::-1]
        nearest = latest_first[np.argsort(-similarity[latest_first], kind="stable")[:self.k]]
        return sessions[nearest], vote[nearest]

    def _compare(self, sessions, place, age, newest_age, history):
        """Similarity and weight of each candidate, two float64 arrays [n].

        ``place`` and ``age`` have an entry for each pair of a candidate and an item that it shares: which candidate
        it is, and how many clicks ago the item was last clicked. ``newest_age`` [n] is the smallest age of each
        candidate.
        """
        similarity = np.bincount(place) / np.sqrt(len(np.unique(history)) * self.sizes[sessions])
        return similarity, similarity


class VSKNN(SessionKNN):
    r"""V-SKNN: S-KNN that uses the order of the current session.

    The item at position p of n has the weight p/n instead of 1; if it was clicked again, p is its last position. The
    weight of a neighbour decreases with the number of clicks since the last item that it shares, :math:`a`, which is 0
    for the last click:

    .. math::
        \mathrm{sim}(c, s) &= \sum_{i \in c \cap s} \frac{p_i}{n}, \\
        \mathrm{score}(i) &= (1 + w\, \mathrm{idf}_i)
            \sum_{s \in N} \frac{\mathrm{sim}(c, s)}{1 + a_s}\, [i \in s]

    with :math:`\mathrm{idf}_i = \log(n / |S_i|)`, where n is now the number of training sessions, and :math:`S_i` is
    the set of those that contain i. Past sessions are still sets.

    Parameters
    ----------
    k, n_recent : as in :class:`SessionKNN`
    idf_weight : float, w; with 0, rare items get no higher weight

    References
    ----------
    M. Ludewig and D. Jannach. "Evaluation of Session-based Recommendation Algorithms." UMUAI 28, 2018.

    Examples
    --------
    After the clicks a, b, the session that shares b has a higher weight than the session that shares a.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 2, 2], "item": list("acbd"), "time": range(4)})
    >>> best = VSKNN().fit(SessionData.from_frame(clicks)).recommend(["a", "b"], k=4)
    >>> # b: 2/2, the last click; a: 1/2, and halved because one click came after it
    >>> best.ids.tolist(), best.scores.tolist()
    (['b', 'd', 'a', 'c'], [1.0, 1.0, 0.25, 0.25])
    """

    def __init__(self, k=100, n_recent=1000, idf_weight=0.0):
        super().__init__(k, n_recent)
        self.idf_weight = idf_weight

    def fit(self, train):
        """As :class:`SessionKNN`, and compute the idf weight of each item."""
        super().fit(train)
        self.boost = 1 + self.idf_weight * np.log(train.n_sessions / np.maximum(self.sessions.sum(0), 1))
        return self

    def scores_after(self, histories):
        return super().scores_after(histories) * self.boost

    def _compare(self, sessions, place, age, newest_age, history):
        n = len(history)
        similarity = np.bincount(place, weights=n - age) / n  # the sums are of integers, so equal ones tie exactly
        return similarity, similarity / (1 + newest_age)


class STAN(SessionKNN):
    r"""STAN: S-KNN that knows how long ago everything was.

    What counts less: an item of the current session c that was clicked before others, a past session s that ended long
    ago, and an item that stands far from those that s shares with c. With a the clicks after the (last) click on an
    item in c, t the days since the last click of s until the last one of the training, p(i, s) the (last) position of i
    in s, and :math:`i^*` the shared item that stands last in s,

    .. math::
        \mathrm{sim}(c, s) &= \frac{e^{-t_s / \lambda_2}}{\sqrt{|s|}} \sum_{i \in c \cap s} e^{-a_i / \lambda_1}, \\
        \mathrm{score}(i) &= \sum_{s \in N} \mathrm{sim}(c, s)\, \Lambda(i, s)\, [i \in s], \\
        \Lambda(i, s) &= e^{-|p(i, s) - p(i^*, s)| / \lambda_3} .

    The time of the recommendation and the norm of c are the same for all s and are left out, since they do not
    change the ranking; session-rec leaves them out, too. The definition of :math:`i^*` is that of session-rec.

    Parameters
    ----------
    k, n_recent : as in :class:`SessionKNN`
    click_decay, session_decay, item_decay : float > 0
        λ1 in clicks, λ2 in days, λ3 in positions. With ``np.inf`` that decay is off.

    References
    ----------
    D. Garg et al. "Sequence and Time Aware Neighborhood for Session-based Recommendations." SIGIR 2019.

    Examples
    --------
    Both sessions share b. In the first c is next to it, in the second d is two clicks away.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 2, 2, 2], "item": list("bcbad"), "time": 0})
    >>> best = STAN(session_decay=np.inf, item_decay=1.0).fit(
    ...     SessionData.from_frame(clicks)).recommend(["b"], k=4)
    >>> # b: 1/√2 + 1/√3; c: e⁻¹/√2; a: e⁻¹/√3; d: e⁻²/√3
    >>> best.ids.tolist(), best.scores.round(3).tolist()
    (['b', 'c', 'a', 'd'], [1.284, 0.26, 0.212, 0.078])
    """

    def __init__(self, k=500, n_recent=5000, click_decay=1.02, session_decay=5.0, item_decay=2.05):
        super().__init__(k, n_recent)
        self.click_decay, self.session_decay, self.item_decay = click_decay, session_decay, item_decay

    def _take_in(self, train):
        """As :class:`SessionKNN`, and note when each session ended and where its items stand."""
        super()._take_in(train)
        ends = train.times[train.offsets[1:] - 1]
        self.recency = np.exp((ends - ends[-1]) / DAY / self.session_decay)
        session = np.repeat(np.arange(train.n_sessions), train.lengths)
        order = np.lexsort((train.items, session))  # stable: the last click on an item stays its last
        is_last = np.append((np.diff(train.items[order]) != 0) | (np.diff(session[order]) != 0), True)
        self.positions = (np.arange(train.n_events) - train.offsets[session])[order[is_last]]  # as `sessions.indices`

    def _compare(self, sessions, place, age, newest_age, history):
        weights = np.bincount(place, weights=np.exp(-age / self.click_decay))
        similarity = weights * self.recency[sessions] / np.sqrt(self.sizes[sessions])
        return similarity, similarity

    def scores_after(self, histories):
        found = [self._neighbours(history) for history in histories]
        query = np.repeat(np.arange(len(histories)), [len(sessions) for sessions, _ in found])
        sessions, votes = (np.concatenate(parts) for parts in zip(*found))
        clicked = np.zeros((len(histories), len(self.item_ids)), dtype=bool)
        for row, history in zip(clicked, histories):
            row[history] = True
        sizes = self.sizes[sessions]
        entries = concatenated_ranges(self.sessions.indptr[sessions], sizes)  # all items of all neighbours
        item, position, query = self.sessions.indices[entries], self.positions[entries], np.repeat(query, sizes)
        shared = np.where(clicked[query, item], position, -1)
        last_shared = np.maximum.reduceat(shared, np.cumsum(sizes) - sizes) if len(sizes) else shared
        distance = np.abs(position - np.repeat(last_shared, sizes))
        score = np.repeat(votes, sizes) * np.exp(-distance / self.item_decay)
        flat = np.bincount(query * len(self.item_ids) + item, score, minlength=clicked.size)
        return flat.reshape(clicked.shape).astype(float)  # without a neighbour NumPy counts nothing, in integers


class VSTAN(STAN):
    r"""VSTAN: STAN with two ideas of V-SKNN: rare items weigh more, and so do neighbours that share a late click.

    The score of :class:`STAN`, in which a neighbour's vote is multiplied by :math:`e^{-a_s / \lambda_4}` and item i's
    score by :math:`1 + w\, \mathrm{idf}_i`; :math:`a_s` and idf as in :class:`VSKNN`.

    Parameters
    ----------
    k, n_recent, click_decay, session_decay, item_decay : as in :class:`STAN`
    match_decay : float > 0, λ4, in clicks
    idf_weight : float, w

    References
    ----------
    M. Ludewig et al. "Empirical Analysis of Session-based Recommendation Algorithms." UMUAI 31, 2021.

    Examples
    --------
    Session 2 shares only the click before the last, so its vote is lower.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 2, 2], "item": list("bcad"), "time": 0})
    >>> VSTAN().fit(SessionData.from_frame(clicks)).recommend(["a", "b"], k=4).ids.tolist()
    ['b', 'c', 'a', 'd']
    """

    def __init__(self, k=500, n_recent=5000, click_decay=1.02, session_decay=5.0, item_decay=2.05, match_decay=1.02,
                 idf_weight=5.0):
        super().__init__(k, n_recent, click_decay, session_decay, item_decay)
        self.match_decay, self.idf_weight = match_decay, idf_weight

    def fit(self, train):
        """As :class:`STAN`, and compute the idf weight of each item."""
        super().fit(train)
        self.boost = 1 + self.idf_weight * np.log(train.n_sessions / np.maximum(self.sessions.sum(0), 1))
        return self

    def _compare(self, sessions, place, age, newest_age, history):
        similarity, vote = super()._compare(sessions, place, age, newest_age, history)
        return similarity, vote * np.exp(-newest_age / self.match_decay)

    def scores_after(self, histories):
        return super().scores_after(histories) * self.boost
