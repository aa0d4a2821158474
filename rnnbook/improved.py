"""The improved RNN for session-based recommendation (Tan, Xu & Liu, DLRS 2016): four ideas, each with a switch.

Read from top to bottom: sessions as prefixes and as padded batches, the network, what a batch costs (plain,
distilled from the future, or as a vector), and the stages of a training: teacher, table, model, fine-tuning.

Letters: B sessions of T clicks (padded), P pairs of a history and the click after it, m items, d hidden units,
e embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from rnnbook import metrics, training

# --- Sessions as examples ---------------------------------------------------------------------------------


def prefixes(items):
    """The training pairs of one session as the paper writes them: ([x_1], x_2), ([x_1, x_2], x_3), …

    The slow, obvious form, for reading and for tests; `ImprovedRNN.hidden` serves all of them in one pass.

    Examples
    --------
    >>> prefixes(["tent", "stove", "boots"])
    [(['tent'], 'stove'), (['tent', 'stove'], 'boots')]
    """
    return [(items[:r], items[r]) for r in range(1, len(items))]


def recent_sessions(data, fraction):
    """The most recent ``fraction`` of the sessions (at least one), over the same catalogue.

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> data = SessionWorld().sample(8)
    >>> recent_sessions(data, 1 / 4).session_ids.tolist()
    [6, 7]
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction={fraction}; it must be above 0 and at most 1")
    n = max(1, round(fraction * data.n_sessions))
    return data.take(np.arange(data.n_sessions - n, data.n_sessions))


def batches(lengths, batch_size, order):
    """Cut sessions into batches of about ``batch_size`` pairs, sessions of the same length side by side.

    So next to nothing is padding, and a few very long sessions cannot blow up a batch. A session of n clicks
    has n − 1 pairs; sessions of one click are left out.

    Parameters
    ----------
    lengths : int64 array [n_sessions]
    batch_size : int
        Pairs. The session that fills a batch stays whole.
    order : int64 array
        Sessions; those of equal length stay in this order.

    Returns
    -------
    list of int64 arrays, the sessions of each batch, the shortest sessions first

    Examples
    --------
    Sessions of 2, 3, 1 and 2 clicks have 1, 2, 0 and 1 pairs.

    >>> [batch.tolist() for batch in batches(np.array([2, 3, 1, 2]), batch_size=2,
    ...                                      order=np.arange(4))]
    [[0, 3], [1]]
    """
    order = order[lengths[order] > 1]
    order = order[np.argsort(lengths[order], kind="stable")]
    pairs = lengths[order] - 1
    batch = (np.cumsum(pairs) - pairs) // batch_size
    return np.split(order, np.flatnonzero(np.diff(batch)) + 1) if len(order) else []


class Batch(NamedTuple):
    """Sessions as a padded rectangle, and its pairs: click ``column + 1`` of a row, and the clicks before it.

    Examples
    --------
    Sessions of 3 and 2 clicks: three pairs, the last two of them at the end of their session.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
    >>> batch, position = Padded(SessionData.from_frame(clicks), "cpu").batch(np.array([0, 1]))
    >>> batch.real.tolist()
    [[True, True, True], [True, True, False]]
    >>> batch.row.tolist(), batch.column.tolist(), batch.y.tolist(), batch.last.tolist()
    ([0, 0, 1], [0, 1, 0], [1, 2, 0], [False, True, True])
    """

    x: torch.Tensor  # int64 [B, T]: items, anything where not real
    real: torch.Tensor  # bool [B, T]: False where the rectangle is padding
    row: torch.Tensor  # int64 [P]
    column: torch.Tensor  # int64 [P]
    last: torch.Tensor  # bool [P]: the session ends with this pair's click

    @property
    def y(self):
        """int64 [P]: the clicks to predict."""
        return self.x[self.row, self.column + 1]


class Padded:
    """A SessionData's clicks on a device; `batch` lays any of its sessions side by side.

    Which place belongs to whom is worked out on the host, so that no step waits for the device.

    Examples
    --------
    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
    >>> padded = Padded(SessionData.from_frame(clicks), "cpu")
    >>> batch, position = padded.batch(np.array([0, 1]))
    >>> position.tolist()  # of the clicks to predict
    [1, 2, 4]
    >>> batch, position = padded.batch(np.array([0, 1]), prefixes=False)
    >>> position.tolist()
    [2, 4]
    """

    def __init__(self, data, device):
        self.offsets, self.lengths = data.offsets, data.lengths
        self.items = torch.from_numpy(data.items).to(device)

    def batch(self, sessions, prefixes=True):
        """Sessions int64 [B] of two clicks or more -> (Batch, position int64 [P] of each pair's click in ``items``).

        With ``prefixes=False`` only the last click of each session makes a pair.
        """
        lengths, place = self.lengths[sessions], np.arange(self.lengths[sessions].max())
        real = place < lengths[:, None]
        position = np.where(real, self.offsets[sessions, None] + place, 0)
        row, column = np.nonzero(real[:, 1:])
        last = column == lengths[row] - 2
        if not prefixes:
            row, column, last = row[last], column[last], last[last]
        x, *rest, target = (torch.from_numpy(a).to(self.items.device)
                            for a in (position, real, row, column, last, position[row, column + 1]))
        return Batch(self.items[x], *rest), target


# --- Settings ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImprovedConfig:
    """Settings of the models M to M4; the defaults are M1.

    Sizes, optimiser, the share of deleted clicks and the cut after 19 steps are the paper's (Tan et al., 2016, section
    4.1), and so is M3's λ. Batch (512 there), rate and dropout, which it does not name, are moved to where the model
    trains well on a validation day of a small log; benchmarks/improved_search.py records it.

    Examples
    --------
    >>> ImprovedConfig() == MODELS["M1"]
    True
    >>> MODELS["M2"].recent, MODELS["M3"].privileged, MODELS["M4"].output
    (0.25, 0.2, 'embedding')
    """

    embedding_size: int = 50
    hidden_size: int = 100
    embedding_dropout: float = 0.0  # of units of the embeddings
    output_dropout: float = 0.5  # of units of the states that predict
    batch_size: int = 128  # pairs of a history and its next click
    learning_rate: float = 2e-3  # Adam
    n_epochs: int = 16
    max_steps: int = 19  # the gradient is cut after so many clicks

    # Idea 1: every prefix is an example, and clicks are deleted from it at random
    prefixes: bool = True  # off: one example a session, all clicks but the last -> the last
    click_dropout: float = 0.25  # what the paper calls embedding dropout

    # Idea 2: pre-train on all sessions, then fine-tune on a recent share of them; 0 is off
    recent: float = 0.0
    recent_learning_rate: float = 4e-4
    recent_epochs: int = 5

    # Idea 3: learn from a teacher that sees what came after; 0 is off
    privileged: float = 0.0  # the paper's λ
    teacher: Literal["future", "both"] = "future"  # both: the past too, which makes it unbiased

    # Idea 4: name a point in the embedding space ("embedding") instead of m scores ("softmax").
    # Not in the paper: "shared", m scores by the table that also embeds the input, as GRU4Rec of 2018 has it.
    output: Literal["softmax", "shared", "embedding"] = "softmax"

    def __post_init__(self):
        for name, allowed in {"teacher": ("future", "both"), "output": ("softmax", "shared", "embedding")}.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}={getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        for name in ("embedding_size", "hidden_size", "batch_size", "n_epochs", "max_steps"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}; it must be an integer of at least 1")
        for name in ("embedding_dropout", "output_dropout", "click_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}; it must be in [0, 1)")
        for name in ("recent", "privileged"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}; it must be in [0, 1]")
        if self.output == "embedding" and self.privileged:
            raise ValueError('output="embedding" has no distribution to distil into; set privileged=0')


MODELS = {
    "M": ImprovedConfig(prefixes=False, click_dropout=0.0),
    "M1": ImprovedConfig(),
    "M2": ImprovedConfig(recent=1 / 4),
    "M3": ImprovedConfig(privileged=0.2),
    "M4": ImprovedConfig(output="embedding"),
}


# --- The network ------------------------------------------------------------------------------------------


class ImprovedRNN(nn.Module):
    """Embedding, GRU, and a score for every item.

    The same network is the student, which sees the past of a click, and the teacher, which sees what came
    after it, read backwards from the session's end, or both.

    Parameters
    ----------
    item_ids : ndarray [n_items]
    config : ImprovedConfig
    device : torch.device or str
    sees : "past", "future" or "both"

    Examples
    --------
    A deleted click is as if it had never been: the state after it is the state before it.

    >>> model = ImprovedRNN(["tent", "stove", "boots"], ImprovedConfig(hidden_size=5)).eval()
    >>> states = model.states(torch.tensor([[0, 1, 2]]), torch.tensor([[True, False, True]]))
    >>> states.shape
    torch.Size([1, 4, 5])
    >>> torch.equal(states[0, 1], states[0, 2]), states[0, 0].tolist()
    (True, [0.0, 0.0, 0.0, 0.0, 0.0])
    >>> model.recommend(["tent"], k=2).ids.shape
    (2,)
    """

    def __init__(self, item_ids, config, device="cpu", sees="past"):
        super().__init__()
        self.item_ids, self.config, self.sees, self.history = np.asarray(item_ids), config, sees, []
        n_items, sides = len(self.item_ids), ("past", "future") if sees == "both" else (sees,)
        with torch.device(device):
            self.embedding = nn.Embedding(n_items, config.embedding_size)
            self.grus = nn.ModuleDict({side: nn.GRU(config.embedding_size, config.hidden_size, batch_first=True)
                                       for side in sides})
            self.output = nn.Linear(len(sides) * config.hidden_size,
                                    n_items if config.output == "softmax" else config.embedding_size)
            if config.output == "shared":
                self.bias = nn.Parameter(torch.zeros(n_items))
        nn.init.normal_(self.embedding.weight, std=0.1)  # PyTorch's 1 is far too loud for a table that also scores

    @property
    def device(self):
        """torch.device: where the parameters are."""
        return self.embedding.weight.device

    def states(self, x, keep, side="past"):
        """The GRU's states after the first 0, 1, …, T clicks, with clicks left out as if they had never been.

        The kept clicks move up, the GRU runs over them once, and each place looks up the state after as many
        clicks as were kept before it. So it makes no difference where the padding stands.

        Parameters
        ----------
        x : Tensor, int64 [B, T]
        keep : Tensor, bool [B, T]
            False where a click is deleted or there is none.

        Returns
        -------
        Tensor, float [B, T + 1, d]
            Zeros where no click was kept: the empty prefix.
        """
        kept_first = (~keep).byte().argsort(dim=1, stable=True)
        v = F.dropout(self.embedding(x.gather(1, kept_first)), self.config.embedding_dropout, self.training)
        h, states = None, [v.new_zeros(len(x), 1, self.config.hidden_size)]
        for piece in v.split(self.config.max_steps, dim=1):
            out, h = self.grus[side](piece, h if h is None else h.detach())
            states.append(out)
        n_kept = F.pad(keep.cumsum(dim=1), (1, 0))
        return torch.cat(states, dim=1).gather(1, n_kept[:, :, None].expand(-1, -1, self.config.hidden_size))

    def hidden(self, batch, keep=None):
        """What the pairs of a Batch are predicted from: float [P, d], or [P, 2d] for a model that sees both sides.

        Click r meets the state after x_1 … x_{r−1}; a teacher, the state after x_T … x_{r+1}. ``keep``
        (bool [B, T]) leaves clicks out; by default all real ones are kept.
        """
        keep = batch.real if keep is None else keep
        parts = []
        if "past" in self.grus:
            parts.append(self.states(batch.x, keep)[batch.row, batch.column + 1])
        if "future" in self.grus:
            backwards = self.states(batch.x.flip(1), keep.flip(1), "future").flip(1)
            parts.append(backwards[batch.row, batch.column + 2])
        return F.dropout(torch.cat(parts, dim=1), self.config.output_dropout, self.training)

    def scores(self, hidden):
        """Scores of all items, float [P, m]: logits, or cosines to every row of the table."""
        if self.config.output == "softmax":
            return self.output(hidden)
        if self.config.output == "shared":
            return F.linear(self.output(hidden), self.embedding.weight, self.bias)
        return F.normalize(self.output(hidden), dim=1) @ F.normalize(self.embedding.weight, dim=1).T

    @torch.no_grad()
    def score_sessions(self, data, batch_size=512):
        """Scores of all items for every event that has a predecessor in its session.

        Yields
        ------
        positions : Tensor, int64 [P]
            Index into ``data.items`` of the event to predict.
        scores : Tensor, float [P, m]
            From the events before it in its session alone (a teacher sees more, and is no recommender).
        """
        self.eval()
        padded = Padded(data, self.device)
        for sessions in batches(data.lengths, batch_size, np.arange(data.n_sessions)):
            batch, position = padded.batch(sessions)
            yield position, self.scores(self.hidden(batch))

    @torch.no_grad()
    def recommend(self, history, k=10):
        """The k items most likely to come next.

        Parameters
        ----------
        history : sequence of raw item ids
            The session so far, oldest first.
        k : int

        Returns
        -------
        metrics.Recommendations
            ``ids`` [k] and ``scores`` [k], best first.
        """
        if self.sees != "past":
            raise ValueError(f"a teacher that sees the {self.sees} cannot recommend: its history would have to end "
                             "after the click it predicts")
        self.eval()
        x = torch.from_numpy(metrics.encode_history(history, self.item_ids)).to(self.device)[None]
        last = self.states(x, torch.ones_like(x, dtype=torch.bool))[:, -1]
        if self.config.output != "embedding":
            return metrics.best_items(self.scores(last)[0].cpu(), self.item_ids, k)
        ids, cosines = nearest(self.output(last), self.embedding.weight, k)
        return metrics.Recommendations(self.item_ids[ids[0].cpu().numpy()], cosines[0].cpu().numpy())

    def save(self, path):
        """Write the folder ``path``: tensors as safetensors, settings and item ids as JSON."""
        training.save_model(self, path, sees=self.sees)

    @classmethod
    def load(cls, path, device="auto"):
        """Read what `save` wrote. A folder that does not fit raises ValueError and names what is wrong."""
        return training.load_model(cls, ImprovedConfig, path, device, extra_info=["sees"])


def nearest(vectors, table, k, block=65_536):
    """The k rows of a large table with the largest cosine to each vector, exactly, a block of rows at a time.

    Parameters
    ----------
    vectors : Tensor, float [P, e]
    table : Tensor, float [m, e]
    k : int
    block : int
        Rows compared at once; memory is P · (block + k) floats, whatever m is.

    Returns
    -------
    ids : Tensor, int64 [P, k]
    cosines : Tensor, float [P, k], the largest first

    Examples
    --------
    >>> table = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> ids, cosines = nearest(torch.tensor([[3.0, 1.0]]), table, k=2)
    >>> ids, cosines
    (tensor([[1, 2]]), tensor([[0.9487, 0.8944]]))
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    vectors = F.normalize(vectors, dim=1)
    found: tuple[torch.Tensor, ...] = ()  # the best of the blocks so far, as returned
    for start in range(0, len(table), block):
        cosines = vectors @ F.normalize(table[start:start + block], dim=1).T
        ids = torch.arange(start, start + cosines.shape[1], device=table.device).expand_as(cosines)
        if found:
            ids, cosines = (torch.cat(both, dim=1) for both in zip(found, (ids, cosines)))
        cosines, best = cosines.topk(min(k, cosines.shape[1]), dim=1)
        found = ids.gather(1, best), cosines
    return found


def approximate_index(table, neighbours=32):
    """An HNSW index over the rows of a table by cosine, for serving: ``index.search(unit vectors, k)``.

    Parameters
    ----------
    table : Tensor, float [m, e]
    neighbours : int
        Links per item; more find more of the true neighbours, and take more memory and time.

    Returns
    -------
    faiss.IndexHNSWFlat
        Of the package faiss-cpu; ``pip install "rnnbook[serve]"`` brings it.

    Examples
    --------
    >>> index = approximate_index(torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    >>> cosines, ids = index.search(np.array([[0.6, 0.8]], dtype=np.float32), 1)
    >>> ids.tolist(), round(float(cosines[0, 0]), 4)
    ([[2]], 0.9899)
    """
    try:
        import faiss
    except ImportError as error:
        raise ImportError("the approximate index needs faiss: pip install faiss-cpu") from error
    index = faiss.IndexHNSWFlat(table.shape[1], neighbours, faiss.METRIC_INNER_PRODUCT)
    index.add(F.normalize(table.detach().float(), dim=1).cpu().numpy())
    return index


# --- What a batch costs -----------------------------------------------------------------------------------


def batch_loss(model, batch, teacher=None):
    """The mean loss over the pairs of a Batch, clicks deleted if the model is in training mode.

    ``(1 − λ) L(M(x), V(x_{r+1})) + λ L(M(x), M*(x*))`` with cross-entropy for L. Nothing comes
    after a session's last click; there λ is 0. With ``output="embedding"``: 1 − cos(M(x), emb(x_{r+1})).

    The teacher answers for the pairs of this batch only: P · m floats that are gone with the step, whatever
    the number of sessions. It sees all clicks, deleted or not.

    Examples
    --------
    Where all items score alike, each click costs log 3 = 1.0986 nats.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
    >>> train = SessionData.from_frame(clicks)
    >>> model = new_model(train, ImprovedConfig(hidden_size=4), device="cpu")
    >>> for parameter in model.output.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> batch, _ = Padded(train, "cpu").batch(np.array([0, 1]))
    >>> round(batch_loss(model, batch).item(), 4)
    1.0986
    """
    config, keep = model.config, batch.real
    if model.training and config.click_dropout:
        keep = keep & (torch.rand(keep.shape, device=keep.device) >= config.click_dropout)
    hidden = model.hidden(batch, keep)
    if config.output == "embedding":
        return 1 - F.cosine_similarity(model.output(hidden), model.embedding(batch.y)).mean()
    log_p = model.scores(hidden).log_softmax(dim=1)
    hard = -log_p.gather(1, batch.y[:, None])[:, 0]
    if teacher is None:
        return hard.mean()
    with torch.no_grad():
        soft_label = teacher.scores(teacher.hidden(batch)).softmax(dim=1)
    strength = config.privileged * ~batch.last
    return ((1 - strength) * hard - strength * (soft_label * log_p).sum(dim=1)).mean()


# --- Training ---------------------------------------------------------------------------------------------


def new_model(train, config, *, device="auto", seed=0, sees="past"):
    """An untrained ImprovedRNN over the catalogue of ``train``; the caller's random numbers are left alone.

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> train = SessionWorld(n_items=30).sample(10)
    >>> one, other = (new_model(train, ImprovedConfig(), device="cpu", seed=7) for _ in range(2))
    >>> torch.equal(one.embedding.weight, other.embedding.weight)
    True
    >>> one.scores(torch.zeros(2, 100)).shape  # two states, a score for each item
    torch.Size([2, 30])
    """
    device = training.pick_device(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        return ImprovedRNN(train.item_ids, config, device, sees)


def train_stage(model, train, *, seed=0, valid=None, patience=3, metric="recall", checkpoint=None, progress=True,
                callback=None, teacher=None, settings=None):
    """Train a model where it stands, with Adam: one stage of what `fit` does, with its parameters.

    Fine-tuning is a second stage on `recent_sessions`; a teacher is a ``new_model(…, sees="both")`` trained so.

    Parameters
    ----------
    settings : ImprovedConfig, optional
        Whose learning rate, batch size and number of epochs count; by default the model's own.

    Returns
    -------
    ImprovedRNN
        The same model, in evaluation mode, its ``history`` that of this stage.

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> train = SessionWorld(n_items=30).sample(50)
    >>> model = new_model(train, ImprovedConfig(hidden_size=8, n_epochs=2), device="cpu")
    >>> model = train_stage(model, train, progress=False)
    >>> [point["epoch"] for point in model.history]
    [1, 2]
    """
    config = settings or model.config
    optimizer = training.Adam({n: p for n, p in model.named_parameters() if p.requires_grad}, config.learning_rate)
    padded = Padded(train, model.device)
    n_steps = len(batches(train.lengths, config.batch_size, np.arange(train.n_sessions)))
    if n_steps == 0:
        raise ValueError(f"{train.name}: nothing to learn from; it needs sessions of two clicks or more")
    if teacher is not None:
        metrics.check_catalogue(teacher, train)
        teacher.eval()
    hidden = {} if progress else {"disable": True}  # left out, TQDM_DISABLE in the environment decides
    bar = tqdm(total=config.n_epochs * n_steps, unit="step", leave=False, **hidden)

    def train_epoch(epoch, *_):
        bar.update(epoch * n_steps - bar.n)
        total, n_seen = torch.zeros((), device=model.device), 0
        steps = batches(train.lengths, config.batch_size, torch.randperm(train.n_sessions).numpy())
        for i in torch.randperm(n_steps).tolist():
            batch, _ = padded.batch(steps[i], config.prefixes)
            loss = batch_loss(model, batch, teacher)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, n_seen = total + loss.detach() * len(batch.row), n_seen + len(batch.row)
            bar.update()
        return total.item() / n_seen

    def validate():
        scores = metrics.evaluate_sessions(model, valid, k=20, n_boot=1)
        return {"recall": scores.recall, "mrr": scores.mrr, "likelihood": log_likelihood(model, valid)}

    model.history = training.run(
        model, train_epoch, config.n_epochs, seed=seed, optimizer=optimizer,
        identity=training.identity(config, train, valid, seed, sees=model.sees), validate=valid and validate,
        patience=patience, metric=metric, checkpoint=checkpoint, callback=callback)
    bar.close()
    return model


@torch.no_grad()
def log_likelihood(model, data):
    """Mean log-probability, in nats, of the clicks of ``data``, the model's scores taken as logits: at most 0.

    Examples
    --------
    A model for which all 30 items are alike has -log 30 = -3.4012; the optimum shows how much more there is.

    >>> from rnnbook.worlds import SessionWorld
    >>> world = SessionWorld(n_items=30)
    >>> data = world.sample(500)
    >>> model = new_model(data, ImprovedConfig(hidden_size=4), device="cpu")
    >>> for parameter in model.output.parameters():
    ...     _ = nn.init.zeros_(parameter)
    >>> round(log_likelihood(model, data), 4), -world.oracle(data).cross_entropy > -3
    (-3.4012, True)
    """
    total, n = torch.zeros(()), 0
    for positions, scores in model.score_sessions(data):
        y = torch.from_numpy(data.items).to(scores.device)[positions]
        total, n = total - F.cross_entropy(scores, y, reduction="sum"), n + len(y)
    return total.item() / n


def fit(train, config=ImprovedConfig(), *, device="auto", seed=0, valid=None, patience=3, metric="recall",
        checkpoint=None, progress=True, callback=None, teacher=None, table=None):
    """Train any of the models: what the settings need first (a teacher, a table), then the model, then fine-tuning.

    Parameters
    ----------
    train : SessionData
    config : ImprovedConfig
        ``MODELS["M"]`` … ``MODELS["M4"]``, or any mixture of the ideas.
    device : str or torch.device
        ``"auto"`` takes a GPU when there is one.
    seed : int
        The same seed on the same machine gives the same model.
    valid : SessionData, optional
        Sessions over the same catalogue; after each epoch the model is measured on them, and each stage keeps
        its best epoch.
    patience : int
        With ``valid``: a stage stops when ``metric`` has not improved for this many epochs.
    metric : str
        What decides on ``valid``: "recall" or "mrr", both at 20, or "likelihood" (`log_likelihood`).
    checkpoint : path, optional
        A folder with a checkpoint for each stage, rewritten after every epoch; training goes on from there.
    progress : bool
        Show a progress bar for each stage.
    callback : callable(dict), optional
        Receives ``{"epoch", "loss"}`` and what was measured on ``valid`` after each epoch of the model's own
        stages.
    teacher : ImprovedRNN, optional
        A trained teacher, for ``privileged > 0``; by default one is trained first.
    table : Tensor, float [n_items, embedding_size], optional
        For ``output="embedding"``: the item vectors, kept as they are. By default those that the same model
        with ``output="shared"`` learns.

    Returns
    -------
    ImprovedRNN
        In evaluation mode; ``model.history`` holds one point per epoch of its own stages.

    Examples
    --------
    Visitors go around in a ring, a b c d a.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = [(s, "abcd"[(s + t) % 4], 10 * s + t) for s in range(40) for t in range(4)]
    >>> train = SessionData.from_frame(pd.DataFrame(clicks, columns=["session", "item", "time"]))
    >>> config = replace(MODELS["M1"], batch_size=8, learning_rate=0.01, n_epochs=5)
    >>> model = fit(train, config, device="cpu", progress=False)
    >>> model.recommend(["c", "d"], k=1).ids.tolist()
    ['a']
    """
    device = training.pick_device(device)
    common = {"seed": seed, "valid": valid, "patience": patience, "metric": metric, "progress": progress}

    def stage(name):
        return None if checkpoint is None else Path(checkpoint) / name

    if config.privileged and teacher is None:
        plain = replace(config, privileged=0.0, recent=0.0)
        teacher = new_model(train, plain, device=device, seed=seed, sees=config.teacher)
        train_stage(teacher, train, checkpoint=stage("teacher"), **common)
    if config.output == "embedding" and table is None:
        shared = new_model(train, replace(config, output="shared", recent=0.0), device=device, seed=seed)
        table = train_stage(shared, train, checkpoint=stage("table"), **common).embedding.weight

    model = new_model(train, config, device=device, seed=seed)
    common |= {"teacher": teacher, "callback": callback}
    if config.output == "embedding":
        if table.shape != model.embedding.weight.shape:
            raise ValueError(f"the table is {tuple(table.shape)}; {train.n_items} items of embedding_size="
                             f"{config.embedding_size} need {tuple(model.embedding.weight.shape)}")
        # Free to move, all items would meet in one point: the cosine to it is 1, whatever comes next.
        model.embedding = nn.Embedding.from_pretrained(table.detach().to(device, copy=True), freeze=True)
    train_stage(model, train, checkpoint=stage("model"), **common)
    if config.recent:
        before = model.history
        tuned = replace(config, learning_rate=config.recent_learning_rate, n_epochs=config.recent_epochs)
        train_stage(model, recent_sessions(train, config.recent), settings=tuned, checkpoint=stage("recent"), **common)
        model.history = before + [point | {"epoch": point["epoch"] + len(before)} for point in model.history]
    return model
