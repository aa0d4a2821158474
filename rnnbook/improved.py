"""The improved RNN for session-based recommendation (Tan, Xu & Liu, DLRS 2016): four ideas, each with a switch.

Read from top to bottom, in the order of the page: the settings, prefixes and their batches, the network, recent
sessions, the loss with its teacher, the search for a point's nearest items, and the stages of a training.

Letters: B sessions of T clicks (padded), P pairs of a history and the click after it, m items, d hidden units,
e the embedding size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rnnbook import metrics, training
from rnnbook.interactions.ragged import batches_by_length
from rnnbook.recommenders import Recommender
from rnnbook.training import Dropout, Rate, Share, Size

# --- Settings ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImprovedConfig:
    """Settings of the models M to M4; the defaults are M1.

    Sizes, optimiser, the share of deleted clicks, the cut after 19 steps and M3's λ are the paper's (Tan et al., 2016,
    section 4.1). The batch (512 there), and the learning rate and dropout, which it does not name, are those with which
    the model trains well on a validation day of a small log; benchmarks/improved_search.py records the search.

    Raises
    ------
    ValueError
        If a field is not what its annotation allows, or if ideas 3 and 4 are both on.

    Examples
    --------
    >>> ImprovedConfig() == MODELS["M1"]
    True
    >>> MODELS["M2"].recent, MODELS["M3"].privileged, MODELS["M4"].output
    (0.25, 0.2, 'embedding')
    """

    embedding_size: Size = 50
    hidden_size: Size = 100
    embedding_dropout: Dropout = 0.0  # of units of the embeddings
    output_dropout: Dropout = 0.5  # of units of the states that predict
    batch_size: Size = 128  # positions: pairs of a history and its next click if there are prefixes
    learning_rate: Rate = 2e-3  # Adam
    n_epochs: Size = 16
    max_steps: Size = 19  # the gradient is cut after so many clicks

    # Idea 1: every prefix is an example, and clicks are deleted from it at random
    prefixes: bool = True  # off: one example a session, all clicks but the last -> the last
    click_dropout: Dropout = 0.25  # the probability of a deletion; the paper calls it embedding dropout

    # Idea 2: pre-train on all sessions, then fine-tune on a recent share of them; 0 is off
    recent: Share = 0.0
    recent_learning_rate: Rate = 4e-4
    recent_epochs: Size = 5

    # Idea 3: learn from a teacher that sees what came after; 0 is off
    privileged: Share = 0.0  # the paper's λ
    teacher: Literal["future", "both"] = "future"  # both: the past too, which makes it unbiased

    # Idea 4: predict a point in the embedding space ("embedding") instead of m scores ("softmax").
    # Not in the paper: "shared", m scores by the table that also embeds the input, as GRU4Rec of 2018 has it.
    output: Literal["softmax", "shared", "embedding"] = "softmax"

    def __post_init__(self):
        training.check_settings(self)
        if self.output == "embedding" and self.privileged:
            raise ValueError('output="embedding" has no distribution to compare with a teacher\'s; set privileged=0')


MODELS = {
    "M": ImprovedConfig(prefixes=False, click_dropout=0.0),
    "M1": ImprovedConfig(),
    "M2": ImprovedConfig(recent=1 / 4),
    "M3": ImprovedConfig(privileged=0.2),
    "M4": ImprovedConfig(output="embedding"),
}


# --- Idea 1: every prefix is an example -------------------------------------------------------------------


def prefixes(items):
    """The training pairs of one session as the paper writes them: ([x_1], x_2), ([x_1, x_2], x_3), …

    The slow form, for reading and for tests; `ImprovedRNN.hidden` computes all of them in one pass.

    Examples
    --------
    >>> prefixes(["tent", "stove", "boots"])
    [(['tent'], 'stove'), (['tent', 'stove'], 'boots')]
    """
    return [(items[:r], items[r]) for r in range(1, len(items))]


class Batch(NamedTuple):
    """Padded sessions and their pairs: the click at ``column + 1`` of a row, to be predicted from those before it.

    Examples
    --------
    Sessions of 3 and 2 clicks: three pairs, the last two of them at the end of their session.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = pd.DataFrame({"session": [1, 1, 1, 2, 2], "item": list("abcba"), "time": range(5)})
    >>> batch, position = Padded(SessionData.from_frame(clicks), "cpu").batch(np.array([0, 1]))
    >>> batch.mask.tolist()
    [[True, True, True], [True, True, False]]
    >>> batch.row.tolist(), batch.column.tolist(), batch.y.tolist(), batch.last.tolist()
    ([0, 0, 1], [0, 1, 0], [1, 2, 0], [False, True, True])
    """

    x: torch.Tensor  # int64 [B, T]: items, any where there is padding
    mask: torch.Tensor  # bool [B, T]: False where there is padding
    row: torch.Tensor  # int64 [P]
    column: torch.Tensor  # int64 [P]: of the last click of the history
    last: torch.Tensor  # bool [P]: the click to predict is the last of its session

    @property
    def y(self):
        """int64 [P]: the clicks to predict."""
        return self.x[self.row, self.column + 1]


class Padded:
    """The clicks of a SessionData on a device; `batch` pads any of its sessions to one length.

    All positions are computed on the CPU, so that no step has to wait for the device.

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
        lengths, place = self.lengths[sessions], np.arange(self.lengths[sessions].max())  # [B], [T]
        mask = place < lengths[:, None]  # [B, T]
        position = np.where(mask, self.offsets[sessions, None] + place, 0)  # [B, T]: in items
        row, column = np.nonzero(mask[:, 1:])  # [P]
        last = column == lengths[row] - 2
        if not prefixes:
            row, column, last = row[last], column[last], last[last]
        x, *rest, target = (torch.from_numpy(a).to(self.items.device)
                            for a in (position, mask, row, column, last, position[row, column + 1]))
        return Batch(self.items[x], *rest), target


# --- The network ------------------------------------------------------------------------------------------


class ImprovedRNN(nn.Module, Recommender):
    """Embedding, GRU, and a score for every item.

    The student sees the clicks before the one to predict. A teacher is the same network, and sees those after it, read
    backwards from the session's end, or both.

    Parameters
    ----------
    item_ids : ndarray [n_items]
    config : ImprovedConfig
    device : torch.device or str
    sees : "past", "future" or "both"

    Examples
    --------
    A deleted click leaves no trace: the state after it is the state before it.

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
        nn.init.normal_(self.embedding.weight, std=0.1)  # PyTorch's 1 is too large for a table that also scores

    @property
    def device(self):
        """torch.device: where the parameters are."""
        return self.embedding.weight.device

    def states(self, x, keep, side="past"):
        """The GRU's states after the first 0, 1, …, T clicks, computed from the kept clicks alone.

        The kept clicks are moved to the front, the GRU runs over them once, and each position looks up the state after
        as many clicks as were kept so far. So padding may stand on either side.

        Parameters
        ----------
        x : Tensor, int64 [B, T]
        keep : Tensor, bool [B, T]
            False where a click is deleted, and where there is padding.

        Returns
        -------
        Tensor, float [B, T + 1, d]
            Zeros where no click was kept so far.
        """
        kept_first = (~keep).byte().argsort(dim=1, stable=True)  # [B, T]: positions, those of kept clicks first
        v = F.dropout(self.embedding(x.gather(1, kept_first)), self.config.embedding_dropout, self.training)
        h, states = None, [v.new_zeros(len(x), 1, self.config.hidden_size)]  # the state before any click
        for chunk in v.split(self.config.max_steps, dim=1):  # [B, max_steps, e]
            out, h = self.grus[side](chunk, h if h is None else h.detach())
            states.append(out)
        n_kept = F.pad(keep.cumsum(dim=1), (1, 0))  # [B, T + 1]
        return torch.cat(states, dim=1).gather(1, n_kept[:, :, None].expand(-1, -1, self.config.hidden_size))

    def hidden(self, batch, keep=None):
        """The states that predict the pairs of a Batch: float [P, d], or [P, 2d] if the model sees both sides.

        Click r is predicted from the state after x_1, …, x_{r−1}; by a teacher, from that after x_T, …, x_{r+1}.
        ``keep`` (bool [B, T]) is False where a click is deleted; by default none is.
        """
        keep = batch.mask if keep is None else keep
        parts = []
        if "past" in self.grus:
            parts.append(self.states(batch.x, keep)[batch.row, batch.column + 1])
        if "future" in self.grus:
            backwards = self.states(batch.x.flip(1), keep.flip(1), "future").flip(1)  # [B, T + 1, d]
            parts.append(backwards[batch.row, batch.column + 2])
        return F.dropout(torch.cat(parts, dim=1), self.config.output_dropout, self.training)

    def scores(self, hidden, items=slice(None)):
        """Scores of items (by default all), float [P, d] -> [P, m]: logits, or cosines with each item's vector."""
        if self.config.output == "softmax":
            return F.linear(hidden, self.output.weight[items], self.output.bias[items])
        vectors = self.embedding.weight[items]
        if self.config.output == "shared":
            return F.linear(self.output(hidden), vectors, self.bias[items])
        return F.normalize(self.output(hidden), dim=1) @ F.normalize(vectors, dim=1).T

    @torch.no_grad()
    def score_sessions(self, data, batch_size=512):
        """Scores of all items for every event that has a predecessor in its session.

        Yields
        ------
        positions : Tensor, int64 [P]
            Index into ``data.items`` of the event to predict.
        scores : Tensor, float [P, m]
            From the events before it in its session alone; a teacher, which is no recommender, sees more.
        """
        self.eval()
        padded = Padded(data, self.device)
        for sessions in batches_by_length(data.lengths - 1, batch_size, np.arange(data.n_sessions)):
            batch, position = padded.batch(sessions)
            yield position, self.scores(self.hidden(batch))

    @torch.no_grad()
    def scorer(self, histories):
        """Read histories (a list of int64 arrays of item indices), as `Recommender` needs it; not for a teacher."""
        if self.sees != "past":
            raise ValueError(f"a teacher that sees the {self.sees} cannot recommend: its history would have to end "
                             "after the click it predicts")
        self.eval()
        last = self.embedding.weight.new_empty(len(histories), self.config.hidden_size)
        lengths = np.array([len(history) for history in histories])
        for batch in batches_by_length(lengths, 65_536, np.arange(len(histories))):
            clicks = [torch.from_numpy(histories[i]) for i in batch]
            x = nn.utils.rnn.pad_sequence(clicks, batch_first=True, padding_value=-1).to(self.device)
            keep = x >= 0
            states = self.states(x.clamp(min=0), keep)  # [B, T + 1, d]
            last[torch.from_numpy(batch).to(self.device)] = states[torch.arange(len(x), device=x.device), keep.sum(1)]
        return lambda rows, items: self.scores(last[rows], items)

    def save(self, path):
        """Write the folder ``path``: tensors as safetensors, settings and item ids as JSON."""
        training.save_model(self, path, sees=self.sees)

    @classmethod
    def load(cls, path, device="auto"):
        """Read what `save` wrote. A folder that does not fit raises ValueError, which says what is wrong."""
        model = training.load_model(cls, ImprovedConfig, path, device, extra_info=["sees"])
        model.embedding.weight.requires_grad_(model.config.output != "embedding")  # such a table stays fixed: see `fit`
        return model


# --- Idea 2: the most recent sessions ---------------------------------------------------------------------


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


# --- The loss, and idea 3: a teacher that sees the future -------------------------------------------------


def delete_clicks(mask, rate):
    """Which clicks of a batch to keep: each is deleted with probability ``rate``, whatever happens to the others.

    mask bool [B, T], False where there is padding -> keep bool [B, T], False there and where a click is deleted.

    Examples
    --------
    >>> mask = torch.tensor([[True] * 1000 + [False] * 1000])
    >>> keep = delete_clicks(mask, rate=0.25)
    >>> 650 < keep.sum().item() < 850, keep[0, 1000:].any().item()
    (True, False)
    """
    return mask & (torch.rand(mask.shape, device=mask.device) >= rate)


@torch.no_grad()
def soft_labels(teacher, batch):
    """A teacher's distribution over all items for each pair of a Batch, M*(x*): float [P, m], without gradient.

    It is computed batch by batch: P · m floats, which a step needs and then forgets. The teacher sees all clicks, also
    those that are deleted for its student.

    Examples
    --------
    An untrained teacher of 300 items, for sessions of 3 and 2 clicks. The last click of a session has no future; there
    `batch_loss` ignores the label.

    >>> from rnnbook.worlds import SessionWorld
    >>> train = SessionWorld().sample(20)
    >>> batch, _ = Padded(train, "cpu").batch(np.arange(20))
    >>> labels = soft_labels(new_model(train, ImprovedConfig(), device="cpu", sees="future"), batch)
    >>> labels.shape == (len(batch.y), 300), labels[0].sum().round(decimals=3).item()
    (True, 1.0)
    """
    return teacher.scores(teacher.hidden(batch)).softmax(dim=1)


def batch_loss(model, batch, teacher=None):
    """The mean loss over the pairs of a Batch, with clicks deleted if the model is in training mode.

    ``(1 − λ) L(M(x), V(x_{r+1})) + λ L(M(x), M*(x*))`` with cross-entropy for L. Nothing comes after a session's last
    click; there λ is 0. With ``output="embedding"``: 1 − cos(M(x), emb(x_{r+1})).

    Parameters
    ----------
    model : ImprovedRNN
    batch : Batch
    teacher : ImprovedRNN, optional
        In evaluation mode. Without one, λ is 0.

    Returns
    -------
    Tensor, float, 0-d, in nats

    Examples
    --------
    Where all items have the same score, each click costs log 3 = 1.0986 nats.

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
    config, keep = model.config, batch.mask
    if model.training and config.click_dropout:
        keep = delete_clicks(batch.mask, config.click_dropout)
    hidden = model.hidden(batch, keep)  # [P, d]
    if config.output == "embedding":
        return 1 - F.cosine_similarity(model.output(hidden), model.embedding(batch.y)).mean()
    log_p = model.scores(hidden).log_softmax(dim=1)  # [P, m]
    hard = -log_p.gather(1, batch.y[:, None])[:, 0]  # [P]: L(M(x), V(x_{r+1}))
    if teacher is None:
        return hard.mean()
    soft = -(soft_labels(teacher, batch) * log_p).sum(dim=1)  # [P]: L(M(x), M*(x*))
    strength = config.privileged * ~batch.last  # [P]: λ
    return ((1 - strength) * hard + strength * soft).mean()


# --- Idea 4: the items nearest to a point -----------------------------------------------------------------


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
    found: tuple[torch.Tensor, ...] = ()  # ids and cosines of the best so far
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
        Links per item; with more of them the search finds more of the true neighbours, and takes more memory and time.

    Returns
    -------
    faiss.IndexHNSWFlat
        Of the package faiss-cpu, which ``pip install "rnnbook[serve]"`` installs.

    Raises
    ------
    ImportError
        If faiss is not installed.

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


# --- Training ---------------------------------------------------------------------------------------------


def new_model(train, config, *, device="auto", seed=0, sees="past"):
    """An untrained ImprovedRNN over the catalogue of ``train``; the caller's random state does not change.

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
    with training.seeded(seed, device):
        return ImprovedRNN(train.item_ids, config, device, sees)


def train_stage(model, train, *, seed=0, valid=None, patience=3, metric="recall", checkpoint=None, progress=True,
                callback=None, teacher=None, settings=None):
    """Train a model from its present weights with Adam: one stage of `fit`, whose parameters it shares.

    Fine-tuning is a second stage on `recent_sessions`; a teacher is a ``new_model(…, sees="both")`` after one stage.

    Parameters
    ----------
    settings : ImprovedConfig, optional
        Its learning rate, batch size, prefixes and number of epochs are used; by default those of the model.

    Returns
    -------
    ImprovedRNN
        The same model, in evaluation mode; its ``history`` is that of this stage.

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> train = SessionWorld(n_items=30).sample(50)
    >>> model = new_model(train, ImprovedConfig(hidden_size=8, n_epochs=2), device="cpu")
    >>> model = train_stage(model, train, progress=False)
    >>> [point["epoch"] for point in model.history]
    [1, 2]
    """
    config, n_pairs, padded = settings or model.config, train.lengths - 1, Padded(train, model.device)
    n_steps = len(batches_by_length(n_pairs, config.batch_size, np.arange(train.n_sessions)))
    if n_steps == 0:
        raise ValueError(f"{train.name}: nothing to learn from; it needs sessions of two clicks or more")
    if metric not in ("recall", "mrr", "likelihood"):
        raise ValueError(f"metric={metric!r}; allowed are recall, mrr and likelihood")
    if teacher is not None:
        metrics.check_catalogue(teacher, train)
        teacher.eval()
    optimizer = training.Adam({n: p for n, p in model.named_parameters() if p.requires_grad}, config.learning_rate)
    start = training.digest_of(model)  # a checkpoint goes on only from the same weights, such as those of a table

    def train_epoch(epoch, *_):
        bar.update(epoch * n_steps - bar.n)  # a run that resumes starts with a later epoch
        total, n_seen = torch.zeros((), device=model.device), 0
        batches = batches_by_length(n_pairs, config.batch_size, torch.randperm(train.n_sessions).numpy())
        for i in torch.randperm(n_steps).tolist():
            batch, _ = padded.batch(batches[i], config.prefixes)
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

    with training.progress_bar(config.n_epochs * n_steps, progress) as bar:
        model.history = training.run(
            model, train_epoch, config.n_epochs, seed=seed, optimizer=optimizer,
            identity=training.identity(config, train, valid, seed, sees=model.sees, metric=metric, start=start,
                                       teacher=teacher and training.digest_of(teacher)),
            validate=valid and validate, patience=patience, metric=metric, checkpoint=checkpoint, callback=callback)
    return model


@torch.no_grad()
def log_likelihood(model, data):
    """Mean log-probability, in nats, of the clicks of ``data``, the model's scores taken as logits: at most 0.

    Examples
    --------
    A model that gives all 30 items the same score has -log 30 = -3.4012; the optimum is higher.

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
    """Train any of the models: first a teacher or a table if the settings need one, then the model, then fine-tuning.

    Parameters
    ----------
    train : SessionData
    config : ImprovedConfig
        ``MODELS["M"]`` … ``MODELS["M4"]``, or any combination of the ideas.
    device : str or torch.device
        ``"auto"`` takes a GPU when there is one.
    seed : int
        The same seed on the same machine gives the same model.
    valid : SessionData, optional
        Sessions over the same catalogue. The model is evaluated on them after each epoch, and each stage keeps the
        weights of its best epoch.
    patience : int
        With ``valid``: a stage stops when ``metric`` has not improved for this many epochs.
    metric : str
        What is compared on ``valid``: "recall" or "mrr", both at 20, or "likelihood" (`log_likelihood`).
    checkpoint : path, optional
        A folder with a checkpoint for each stage, rewritten after every epoch; training goes on from there.
    progress : bool
        Show a progress bar for each stage.
    callback : callable(dict), optional
        Receives ``{"epoch", "loss"}``, and the measures on ``valid``, after each epoch of the model's own stages (not
        of the teacher's or the table's).
    teacher : ImprovedRNN, optional
        A trained teacher, for ``privileged > 0``; by default one is trained first.
    table : Tensor, float [n_items, embedding_size], optional
        For ``output="embedding"``: the item vectors, which stay fixed. By default those that the same model with
        ``output="shared"`` learns.

    Returns
    -------
    ImprovedRNN
        In evaluation mode; ``model.history`` holds one point per epoch of its own stages.

    Raises
    ------
    ValueError
        If there is no session of two clicks, the teacher has another catalogue, the table another shape, or the
        checkpoint belongs to another run.

    Examples
    --------
    Visitors click a, b, c, d and a again, from any of them on.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = [(s, "abcd"[(s + t) % 4], 10 * s + t) for s in range(40) for t in range(4)]
    >>> train = SessionData.from_frame(pd.DataFrame(clicks, columns=["session", "item", "time"]))
    >>> config = replace(MODELS["M1"], batch_size=8, learning_rate=0.01, n_epochs=5)
    >>> model = fit(train, config, device="cpu", progress=False)
    >>> model.recommend(["c", "d"], k=1).ids.tolist()
    ['a']
    """
    if teacher is not None and not config.privileged:
        raise ValueError("a teacher is used with privileged above 0 only")
    if table is not None and config.output != "embedding":
        raise ValueError("a table is used with output=embedding only")
    device = training.pick_device(device)
    common = {"seed": seed, "valid": valid, "patience": patience, "metric": metric, "progress": progress}

    def folder(stage):
        return None if checkpoint is None else Path(checkpoint) / stage

    if config.privileged and teacher is None:
        without_teacher = replace(config, privileged=0.0, recent=0.0)
        teacher = new_model(train, without_teacher, device=device, seed=seed, sees=config.teacher)
        train_stage(teacher, train, checkpoint=folder("teacher"), **common)
    if config.output == "embedding" and table is None:
        shared = new_model(train, replace(config, output="shared", recent=0.0), device=device, seed=seed)
        table = train_stage(shared, train, checkpoint=folder("table"), **common).embedding.weight

    model = new_model(train, config, device=device, seed=seed)
    if config.output == "embedding":
        if table.shape != model.embedding.weight.shape:
            raise ValueError(f"the table is {tuple(table.shape)}; {train.n_items} items of embedding_size="
                             f"{config.embedding_size} need {tuple(model.embedding.weight.shape)}")
        # If the item vectors were trained too, all would become equal, and the loss 0 whatever comes next.
        model.embedding = nn.Embedding.from_pretrained(table.detach().to(device, copy=True), freeze=True)
    common |= {"teacher": teacher, "callback": callback}
    train_stage(model, train, checkpoint=folder("model"), **common)
    if config.recent:
        pretrained = model.history
        tuning = replace(config, learning_rate=config.recent_learning_rate, n_epochs=config.recent_epochs)
        if callback:  # its epochs go on from those of the first stage, as in the history
            common["callback"] = lambda point: callback(point | {"epoch": point["epoch"] + len(pretrained)})
        train_stage(model, recent_sessions(train, config.recent), settings=tuning, checkpoint=folder("recent"),
                    **common)
        model.history = pretrained + [p | {"epoch": p["epoch"] + len(pretrained)} for p in model.history]
    return model
