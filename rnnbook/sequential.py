"""Does a log look sequential? What a trained network loses when the histories that it reads are put out of order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rnnbook import metrics
from rnnbook.after import AfterConfig, fit
from rnnbook.interactions.errors import DataError

K = 20
MOST = 20_000  # predictions that are judged; more of them would only take longer
CONFIG = AfterConfig(mixer="gru", dropout=0.1, batch_size=512, n_sample=512, learning_rate=4e-3)


def in_order(history, rng):
    """The history as it was, int64 [n].

    Examples
    --------
    >>> in_order(np.array([3, 1, 4]), np.random.default_rng(0)).tolist()
    [3, 1, 4]
    """
    return history


def last_kept(history, rng):
    """All clicks but the last in a random order, int64 [n].

    Examples
    --------
    >>> last_kept(np.array([3, 1, 4]), np.random.default_rng(0)).tolist()[-1]
    4
    """
    return np.append(rng.permutation(history[:-1]), history[-1])


def shuffled(history, rng):
    """All clicks in a random order, int64 [n].

    Examples
    --------
    >>> sorted(shuffled(np.array([3, 1, 4, 1]), np.random.default_rng(0)).tolist())
    [1, 1, 3, 4]
    """
    return rng.permutation(history)


def items_alone(history, rng):
    """Each item once, in a random order, int64 [number of items].

    Examples
    --------
    >>> sorted(items_alone(np.array([3, 1, 4, 1]), np.random.default_rng(0)).tolist())
    [1, 3, 4]
    """
    return rng.permutation(np.unique(history))


# Each keeps less than the one before it.
WAYS = {"in order": in_order, "all but the last click shuffled": last_kept, "shuffled": shuffled,
        "shuffled, without repeats": items_alone}
LOST = ("the order of the clicks before the last", "which click is the last", "repeats")  # from one way to the next


class Reordered:
    """A recommender that is handed each history in another order; a recommender for `metrics.evaluate_sessions`.

    Parameters
    ----------
    model : a Recommender
    way : callable(int64 array [n], numpy.random.Generator) -> int64 array [m]
        One of ``WAYS``.
    seed : int

    Examples
    --------
    To a guess from the last click alone, the order of the others is nothing.

    >>> from rnnbook.worlds import SessionWorld
    >>> world = SessionWorld(n_items=30)
    >>> data = world.sample(50)
    >>> model = Reordered(world.last_item(), WAYS["all but the last click shuffled"])
    >>> one, other = (metrics.evaluate_sessions(m, data) for m in (model, world.last_item()))
    >>> one.recall == other.recall
    True
    """

    def __init__(self, model, way, seed=0):
        self.model, self.way, self.seed, self.item_ids = model, way, seed, model.item_ids

    def score_sessions(self, data, batch_size=512):
        """Yield (positions int64 tensor [B], scores float tensor [B, n_items])."""
        rng = np.random.default_rng(self.seed)
        positions, sessions = metrics.target_positions(data)
        for first in range(0, len(positions), batch_size):
            some = slice(first, first + batch_size)
            histories = [self.way(data.items[start:end], rng)
                         for start, end in zip(data.offsets[sessions[some]], positions[some])]
            scores = self.model.scorer(histories)
            yield torch.from_numpy(positions[some]), scores(slice(None), slice(None))


@dataclass(frozen=True, eq=False)
class Sequentiality:
    """What `sequentiality` finds.

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> config = AfterConfig(mixer="gru", n_epochs=1)
    >>> found = sequentiality(SessionWorld(n_items=30).sample(300), config, progress=False)
    >>> [what for what, *_ in found.losses("recall")] == list(LOST)
    True
    """

    name: str
    scores: dict[str, metrics.SessionScores]  # of each of WAYS

    def losses(self, metric="recall"):
        """What each kind of information is worth to the network.

        Parameters
        ----------
        metric : "recall", "mrr" or "ndcg"

        Returns
        -------
        list of (str, (float, float, float))
            One for each of ``LOST``: the score with it minus that without it, and the 95 % interval over sessions.
        """
        ways = list(self.scores.values())
        return [(what, metrics.paired_difference(a, b, metric)) for what, a, b in zip(LOST, ways, ways[1:])]

    def __str__(self):
        whole = self.scores["in order"]
        lines = [f"{self.name}: a GRU predicts {whole.n_predictions:,} clicks in {whole.n_sessions:,} later sessions"]
        for metric, label in (("recall", f"Recall@{K}"), ("mrr", f"MRR@{K}")):
            lines.append("")
            lines += [f"{label} {getattr(scores, metric):.3f}  {way}" for way, scores in self.scores.items()]
            for what, (difference, low, high) in self.losses(metric):
                verdict = ("matters" if low > 0 else "disturbs the network" if high < 0
                           else "makes no difference that can be measured")
                share = difference / max(getattr(whole, metric), np.finfo(float).tiny)
                numbers = f"{difference:+.3f} [{low:+.3f}, {high:+.3f}], {share:+.0%}".replace("-", "−")
                lines.append(f"  {what}: {numbers}: it {verdict}")
        return "\n".join(lines)


def split(log):
    """Earlier sessions to learn from, at most 1,000 to choose the epoch by, and later ones to judge; SessionData each.

    Raises
    ------
    DataError
        The log has too few sessions of two clicks or more.

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> [part.n_sessions for part in split(SessionWorld(n_items=30).sample(300))]
    [210, 30, 60]
    """
    usable = np.flatnonzero(log.lengths >= 2)
    if len(usable) < 20:
        raise DataError(f"{log.name}: {len(usable)} session{'s' * (len(usable) != 1)} of two clicks or more; it takes "
                        "20 to learn and to judge. Load more data, or name the right column of the sessions: "
                        "session=…, on the command line --session NAME.")
    train, valid, test = np.split(usable, [7 * len(usable) // 10, 8 * len(usable) // 10])
    n_judged = int(np.searchsorted(np.cumsum(log.lengths[test] - 1), MOST)) + 1
    return log.take(train), log.take(valid[:1000]), log.take(test[:n_judged])


def sequentiality(log, config=CONFIG, *, device="auto", seed=0, progress=True):
    """Train a network on the earlier sessions of a log, and let it predict the later ones from histories out of order.

    The network is trained once, on sessions in their order. Then each click of the last fifth of the sessions is
    predicted from its history as it was; with all clicks but the last shuffled; with all of them shuffled; and from its
    items alone. What is lost from one to the next is what the network made of the information that is gone. The targets
    stay the same, so the differences are paired.

    It is a lower bound: another network may find an order that this one does not. And a network may recover from a
    shuffled history what this one, which never saw one, cannot. Klenitskiy et al. (2024) train and shuffle in the same
    way, but for the last click of a user alone.

    Parameters
    ----------
    log : SessionData
    config : AfterConfig
    device : str or torch.device
    seed : int
    progress : bool

    Returns
    -------
    Sequentiality

    Raises
    ------
    DataError
        The log has too few sessions of two clicks or more.

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> config = AfterConfig(mixer="gru", n_epochs=1)
    >>> found = sequentiality(SessionWorld(n_items=30).sample(300), config, progress=False)
    >>> list(found.scores) == list(WAYS)
    True
    """
    train, valid, test = split(log)
    model = fit(train, config, device=device, seed=seed, valid=valid, patience=2, progress=progress)
    return Sequentiality(log.name, {name: metrics.evaluate_sessions(Reordered(model, way, seed), test, K)
                                    for name, way in WAYS.items()})
