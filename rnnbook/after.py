"""After the GRU: attention and linear recurrences, in one frame, so that they can be compared on equal terms.

Read this module from top to bottom: the settings, the associative scan, four ways to mix a history (the GRU, attention,
minGRU and a linear recurrent unit), the network around them, windows of a session, the loss, and `fit`.

In shapes, B is the number of sequences in a batch, T their length, P the number of clicks to predict, m the number of
items and d the number of hidden units. Sequences are padded at their end. No mixer looks ahead, so the padding reaches
nothing that counts, and no mask is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rnnbook import metrics, training
from rnnbook.gru4rec import NegativeSampler
from rnnbook.interactions.ragged import batches_by_length, concatenated_ranges
from rnnbook.recommenders import Recommender
from rnnbook.training import Count, Dropout, Rate, Size, Weight

# --- Settings ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AfterConfig:
    """Settings of all four models. They differ in ``mixer`` alone.

    The block is SASRec's (Kang & McAuley, 2018, section 3.2) with the normalisation before each part. Its paper has two
    blocks of 50 units and one head, and a dropout of 0.2 or 0.5.

    Raises
    ------
    ValueError
        A value is not allowed, or the heads do not divide the units.

    Examples
    --------
    >>> MODELS["GRU"].mixer, MODELS["SASRec"] == AfterConfig()
    ('gru', True)
    >>> AfterConfig(hidden_size=10, n_heads=4)
    Traceback (most recent call last):
    ValueError: hidden_size=10 is not a multiple of n_heads=4
    """

    mixer: Literal["gru", "attention", "mingru", "lru"] = "attention"
    hidden_size: Size = 64
    n_blocks: Size = 2
    n_heads: Size = 1  # of the attention
    max_length: Size = 50  # clicks of the history that a prediction may use
    dropout: Dropout = 0.2
    batch_size: Size = 1024  # clicks to predict in a step
    n_sample: Count = 0  # negatives of a step, the same for all its clicks; 0: the softmax over all items
    sample_alpha: Weight = 0.5  # negatives are drawn ∝ support^alpha
    learning_rate: Rate = 2e-3  # Adam
    n_epochs: Size = 10

    def __post_init__(self):
        training.check_settings(self)
        if self.hidden_size % self.n_heads:
            raise ValueError(f"hidden_size={self.hidden_size} is not a multiple of n_heads={self.n_heads}")


MODELS = {"GRU": AfterConfig(mixer="gru"), "SASRec": AfterConfig(), "minGRU": AfterConfig(mixer="mingru"),
          "LRU": AfterConfig(mixer="lru")}


# --- The scan ---------------------------------------------------------------------------------------------


def scan(a, b):
    r"""All states of the linear recurrence h_t = a_t ⊙ h_{t−1} + b_t with h_0 = 0, in log₂ T steps instead of T.

    Two steps in a row are one step of the same form:

    .. math::
        (a, b) \circ (a', b') = (a' a,\; a' b + b').

    This operation is associative, so it may be bracketed at will. In round k each place is joined with the one
    :math:`2^k` before it, which already holds the result of the :math:`2^k` steps up to there.

    Parameters
    ----------
    a, b : Tensor, float or complex [B, T, d]

    Returns
    -------
    Tensor [B, T, d]
        h_1, …, h_T.

    Examples
    --------
    Each state is half of the last one, plus 1.

    >>> scan(torch.full((1, 4, 1), 0.5), torch.ones(1, 4, 1)).flatten()
    tensor([1.0000, 1.5000, 1.7500, 1.8750])
    """
    reach = 1  # steps that each place holds already
    while reach < b.shape[1]:
        b = torch.cat([b[:, :reach], a[:, reach:] * b[:, :-reach] + b[:, reach:]], dim=1)
        a = torch.cat([a[:, :reach], a[:, reach:] * a[:, :-reach]], dim=1)
        reach *= 2
    return b


# --- Four mixers ------------------------------------------------------------------------------------------
# Each has forward(x) for whole sequences, float [B, T, d] -> [B, T, d], where row t depends on rows 0, …, t alone.
# And it has step(x, state) for one more click, float [B, d] -> (float [B, d], the new state), as one serves it; the
# state before the first click is None.


class GRU(nn.Module):
    """The GRU of `torch.nn`: a state of d numbers, computed click after click.

    Examples
    --------
    >>> mixer = GRU(AfterConfig(hidden_size=4))
    >>> mixer(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, config):
        super().__init__()
        self.gru = nn.GRU(config.hidden_size, config.hidden_size, batch_first=True)

    def forward(self, x):
        """The states after each input, float [B, T, d]."""
        return self.gru(x)[0]

    def step(self, x, state=None):
        """After one more input: the output and the new state, which are the same, float [B, d]."""
        h = self.gru(x[:, None], None if state is None else state[None])[0][:, 0]
        return h, h


class Attention(nn.Module):
    r"""Causal self-attention (SASRec, equations 2 and 3). Place t weighs all places up to its own:

    .. math::
        y_t &= W_O \sum_{s \le t} \alpha_{ts}\, v_s, \\
        \alpha_{t\cdot} &= \mathrm{softmax}_{s \le t}\big(q_t \cdot k_s / \sqrt{d}\big).

    With several heads each has its share of the numbers of q, k and v. Its state is all keys and values so far.

    Examples
    --------
    >>> mixer = Attention(AfterConfig(hidden_size=4, n_heads=2))
    >>> y, (keys, values) = mixer.step(torch.zeros(2, 4), None)
    >>> y, (keys, values) = mixer.step(torch.zeros(2, 4), (keys, values))
    >>> keys.shape  # two sequences, two heads, two clicks so far
    torch.Size([2, 2, 2, 2])
    """

    def __init__(self, config):
        super().__init__()
        self.n_heads = config.n_heads
        self.into = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)

    def heads(self, x):
        """Queries, keys and values, each float [B, n_heads, T, d / n_heads]."""
        return (part.unflatten(2, (self.n_heads, -1)).transpose(1, 2) for part in self.into(x).chunk(3, dim=2))

    def forward(self, x):
        """float [B, T, d] -> [B, T, d]"""
        q, k, v = self.heads(x)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))

    def step(self, x, state=None):
        """The output float [B, d], and keys and values of all inputs so far, two of [B, n_heads, t, d / n_heads]."""
        q, k, v = self.heads(x[:, None])
        if state is not None:
            k, v = (torch.cat(both, dim=2) for both in zip(state, (k, v)))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))[:, 0], (k, v)


class MinGRU(nn.Module):
    r"""The minimal GRU (Feng et al., 2024): its gate and its candidate see the input alone, never the state.

    .. math::
        z_t &= \sigma(W_z x_t + b_z), \qquad \tilde h_t = W_h x_t + b_h, \\
        h_t &= (1 - z_t) \odot h_{t-1} + z_t \odot \tilde h_t.

    So all gates are known beforehand, and the states are a `scan`.

    Examples
    --------
    >>> mixer = MinGRU(AfterConfig(hidden_size=4))
    >>> mixer(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, config):
        super().__init__()
        self.into = nn.Linear(config.hidden_size, 2 * config.hidden_size)

    def gates(self, x):
        """1 − z and z ⊙ h̃, each of the shape of x."""
        gate, candidate = self.into(x).chunk(2, dim=-1)
        z = torch.sigmoid(gate)
        return 1 - z, z * candidate

    def forward(self, x):
        """The states after each input, float [B, T, d]."""
        return scan(*self.gates(x))

    def step(self, x, state=None):
        """After one more input: the output and the new state, which are the same, float [B, d]."""
        keep, add = self.gates(x)
        h = add if state is None else keep * state + add
        return h, h


class LRU(nn.Module):
    r"""The linear recurrent unit (Orvieto et al., 2023), as LRURec has it (Yue et al., 2024):

    .. math::
        h_t &= \lambda \odot h_{t-1} + \gamma \odot B x_t, \\
        y_t &= \mathrm{Re}(C h_t),

    with complex h, B and C. Each :math:`\lambda_k = \exp(-e^{\nu_k} + \mathrm{i}\, e^{\theta_k})` rotates and shrinks
    one component of the state at every click, whatever was clicked. The factor :math:`\gamma_k` starts as
    :math:`\sqrt{1 - |\lambda_k|^2}`, so that all components have about the same size. The states are a `scan`.

    LRURec's state has 2d complex numbers, here it has d; and B and C have no bias.

    Examples
    --------
    >>> mixer = LRU(AfterConfig(hidden_size=4))
    >>> mixer(torch.zeros(2, 3, 4)).shape, bool((mixer.factor().abs() < 1).all())
    (torch.Size([2, 3, 4]), True)
    """

    def __init__(self, config, smallest=0.8, largest=0.99):
        super().__init__()
        d = config.hidden_size
        radius = torch.sqrt(smallest**2 + torch.rand(d) * (largest**2 - smallest**2))  # uniform over the ring's area
        self.nu = nn.Parameter(torch.log(-torch.log(radius)))
        self.theta = nn.Parameter(torch.log(2 * torch.pi * torch.rand(d)))
        self.gamma = nn.Parameter(torch.log(1 - radius**2) / 2)
        self.into = nn.Linear(d, 2 * d, bias=False)  # the real parts of B, then the imaginary ones
        self.out = nn.Linear(2 * d, d, bias=False)  # the real parts of C, then minus the imaginary ones

    def factor(self):
        """λ, complex [d]; its absolute value is below 1."""
        return torch.exp(torch.complex(-self.nu.exp(), self.theta.exp()))

    def inputs(self, x):
        """γ ⊙ B x, complex, of the shape of x."""
        return self.gamma.exp() * torch.complex(*self.into(x).to(self.gamma.dtype).chunk(2, dim=-1))

    def readout(self, h):
        """Re(C h), float, of the shape of h."""
        return self.out(torch.cat([h.real, h.imag], dim=-1))

    def forward(self, x):
        """float [B, T, d] -> [B, T, d]"""
        b = self.inputs(x)
        return self.readout(scan(self.factor().expand_as(b), b))

    def step(self, x, state=None):
        """The output, float [B, d], and the new state, complex [B, d]."""
        h = self.inputs(x) if state is None else self.factor() * state + self.inputs(x)
        return self.readout(h), h


MIXERS: dict[str, Any] = {"gru": GRU, "attention": Attention, "mingru": MinGRU, "lru": LRU}


# --- The network ------------------------------------------------------------------------------------------


class Block(nn.Module):
    """A mixer along the sequence, then two layers at each place, each with a norm before and the input added after.

    Examples
    --------
    >>> block = Block(AfterConfig(hidden_size=4))
    >>> block(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, config):
        super().__init__()
        d = config.hidden_size
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))
        self.mixer = MIXERS[config.mixer](config)
        self.feedforward = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Dropout(config.dropout),
                                         nn.Linear(4 * d, d))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        """float [B, T, d] -> [B, T, d]"""
        return self.after(x, self.mixer(self.norms[0](x)))

    def step(self, x, state=None):
        """The same for one click: float [B, d] -> (float [B, d], the mixer's state)."""
        mixed, state = self.mixer.step(self.norms[0](x), state)
        return self.after(x, mixed), state

    def after(self, x, mixed):
        """What follows the mixer, at each place by itself."""
        x = x + self.dropout(mixed)
        return x + self.dropout(self.feedforward(self.norms[1](x)))


class AfterGRU(nn.Module, Recommender):
    """Embedding, blocks, and a score for every item by the table that also embeds the input.

    Attention alone does not know the order of the clicks, so there each position has a learned embedding, which is
    added to the item's. The other mixers read the clicks in their order.

    Parameters
    ----------
    item_ids : ndarray [n_items]
    config : AfterConfig
    device : torch.device or str

    Examples
    --------
    >>> model = AfterGRU(["tent", "stove", "boots"], AfterConfig(hidden_size=8))
    >>> model.states(torch.tensor([[0, 1], [2, 2]])).shape
    torch.Size([2, 2, 8])
    >>> model.recommend(["tent", "boots"], k=2).ids.shape
    (2,)
    """

    def __init__(self, item_ids, config, device="cpu"):
        super().__init__()
        self.item_ids, self.config, self.history = np.asarray(item_ids), config, []
        with torch.device(device):
            self.embedding = nn.Embedding(len(self.item_ids), config.hidden_size)
            if config.mixer == "attention":
                self.place = nn.Embedding(config.max_length, config.hidden_size)
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
            self.norm = nn.LayerNorm(config.hidden_size)
            self.bias = nn.Parameter(torch.zeros(len(self.item_ids)))
        for table in (m for m in self.modules() if isinstance(m, nn.Embedding)):
            nn.init.normal_(table.weight, std=0.1)  # PyTorch's 1 is too large for a table that also scores

    @property
    def device(self):
        """torch.device: where the parameters are."""
        return self.bias.device

    def embed(self, items, places):
        """Embeddings of items, int64 of any shape, at positions that broadcast against it: float [..., d]."""
        x = self.embedding(items)
        if self.config.mixer == "attention":
            x = x + self.place(places)
        return F.dropout(x, self.config.dropout, self.training)

    def states(self, items):
        """The states after the first 1, 2, …, T items, int64 [B, T] -> float [B, T, d]; T is at most ``max_length``."""
        x = self.embed(items, torch.arange(items.shape[1], device=items.device))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    @torch.no_grad()
    def step(self, items, state=None):
        """The state after one more click, for serving: the cost depends on the kept state, not on the history's items.

        Parameters
        ----------
        items : Tensor, int64 [B]
        state : tuple, optional
            What the last call returned; None before the first click.

        Returns
        -------
        h : Tensor, float [B, d]
            The last row of ``states`` of all clicks so far.
        state : tuple
            The number of clicks so far, and what each block's mixer keeps.

        Raises
        ------
        ValueError
            Attention has no place for more than ``max_length`` clicks.

        Examples
        --------
        >>> model = AfterGRU(["tent", "stove", "boots"], MODELS["minGRU"]).eval()
        >>> h, state = model.step(torch.tensor([0]))
        >>> h, state = model.step(torch.tensor([2]), state)
        >>> torch.allclose(h, model.states(torch.tensor([[0, 2]]))[:, -1], atol=1e-5)
        True
        """
        n, kept = state or (0, [None] * len(self.blocks))
        if self.config.mixer == "attention" and n == self.config.max_length:
            raise ValueError(f"the model has positions for {n} clicks only; start again with the last of them")
        x, new = self.embed(items, torch.tensor(n, device=items.device)), []
        for block, each in zip(self.blocks, kept):
            x, each = cast(Block, block).step(x, each)
            new.append(each)
        return self.norm(x), (n + 1, new)

    def scores(self, hidden, items=slice(None)):
        """Scores of items (by default all), float [P, d] -> [P, m]."""
        return F.linear(hidden, self.embedding.weight[items], self.bias[items])

    @torch.no_grad()
    def score_sessions(self, data, batch_size=512):
        """Scores of all items for every event that has a predecessor in its session.

        Yields
        ------
        positions : Tensor, int64 [P]
            Index into ``data.items`` of the event to predict.
        scores : Tensor, float [P, m]
            From the last ``max_length`` events before it in its session.
        """
        self.eval()
        items = torch.from_numpy(data.items).to(self.device)
        found = windows(data.offsets, self.config.max_length, every=True)
        for some in batches_by_length(found.length, batch_size, np.arange(len(found.length))):
            batch = take(found, some, items)
            yield batch.target, self.scores(self.states(batch.x)[batch.row, batch.column])

    @torch.no_grad()
    def scorer(self, histories):
        """Read histories (a list of int64 arrays of item indices), as `Recommender` needs it."""
        self.eval()
        last = self.bias.new_empty(len(histories), self.config.hidden_size)
        histories = [torch.from_numpy(history[-self.config.max_length:]) for history in histories]
        lengths = np.array([len(history) for history in histories])
        for some in batches_by_length(lengths, 65_536, np.arange(len(histories))):
            x = nn.utils.rnn.pad_sequence([histories[i] for i in some], batch_first=True).to(self.device)
            ends = torch.from_numpy(lengths[some] - 1).to(self.device)
            last[torch.from_numpy(some).to(self.device)] = self.states(x)[torch.arange(len(x), device=x.device), ends]
        return lambda rows, items: self.scores(last[rows], items)

    def save(self, path):
        """Write the folder ``path``: tensors as safetensors, settings and item ids as JSON."""
        training.save_model(self, path)

    @classmethod
    def load(cls, path, device="auto"):
        """Read what `save` wrote. A folder that does not fit raises ValueError, which says what is wrong."""
        return training.load_model(cls, AfterConfig, path, device)


# --- Windows of a session ---------------------------------------------------------------------------------


class Windows(NamedTuple):
    """Stretches of clicks, of which the clicks after the last few are to be predicted; `windows` makes them.

    Examples
    --------
    Sessions of 3 and 2 clicks fit into windows of four: in each, what comes after each click that is read.

    >>> windows(np.array([0, 3, 5]), most=4).n_targets.tolist()
    [2, 1]
    """

    start: np.ndarray  # int64 [n]: in the items, the first click that is read
    length: np.ndarray  # int64 [n]: so many are read, at least one
    n_targets: np.ndarray  # int64 [n]: after each of the last so many, the next click is predicted


def windows(offsets, most, every=False):
    """Windows of at most ``most`` clicks, in which each click but the first of a session is predicted once.

    Parameters
    ----------
    offsets : ndarray, int64 [n_sessions + 1]
    most : int
    every : bool
        Whether each click is predicted from as many clicks before it as a window holds; so it is judged. Otherwise a
        long session is cut into pieces, which cost less; so it is trained.

    Returns
    -------
    Windows

    Examples
    --------
    A session of 6 clicks, and windows of two. Cut into pieces, the third click is the first of its window.

    >>> pieces = windows(np.array([0, 6]), most=2)
    >>> pieces.start.tolist(), pieces.length.tolist(), pieces.n_targets.tolist()
    ([0, 2, 4], [2, 2, 1], [2, 2, 1])
    >>> judged = windows(np.array([0, 6]), most=2, every=True)
    >>> judged.start.tolist(), judged.length.tolist(), judged.n_targets.tolist()
    ([0, 1, 2, 3], [2, 2, 2, 2], [2, 1, 1, 1])
    """
    n = np.maximum(np.diff(offsets) - 1, 0)  # clicks that are read
    step = 1 if every else most
    count = np.where(n > 0, -(-np.maximum(n - most, 0) // step) + 1, 0)  # windows of a session
    which = concatenated_ranges(np.zeros_like(count), count)  # 0, 1, … within a session
    start = np.repeat(offsets[:-1], count) + step * which
    length = np.minimum(most, np.repeat(n, count) - step * which)
    return Windows(start, length, np.where((which > 0) & every, 1, length))


class Batch(NamedTuple):
    """Windows as tensors: inputs, and the places whose next click is to be predicted; `take` makes it.

    Examples
    --------
    >>> found, items = windows(np.array([0, 3, 5]), most=4), torch.tensor([7, 8, 9, 5, 6])
    >>> batch = take(found, np.array([0]), items)
    >>> batch.x.tolist(), batch.row.tolist(), batch.column.tolist(), batch.target.tolist()
    ([[7, 8]], [0, 0], [0, 1], [1, 2])
    """

    x: torch.Tensor  # int64 [B, T]: items; at the end of a short window, any
    row: torch.Tensor  # int64 [P]
    column: torch.Tensor  # int64 [P]
    target: torch.Tensor  # int64 [P]: index into the items of the click to predict


def take(found, some, items):
    """Some of the Windows, by their numbers int64 [B], as a Batch on the device of ``items``, int64 [n_events].

    Examples
    --------
    >>> items = torch.tensor([7, 8, 9, 5, 6])
    >>> batch = take(windows(np.array([0, 3, 5]), most=4), np.array([0, 1]), items)
    >>> batch.x.tolist(), items[batch.target].tolist()
    ([[7, 8], [5, 5]], [8, 9, 6])
    """
    start, length, n_targets = (part[some] for part in found)
    place = np.arange(length.max())
    inside = place < length[:, None]  # [B, T]
    row, column = np.nonzero(inside & (place >= (length - n_targets)[:, None]))
    read = start[:, None] + np.where(inside, place, 0)
    x, *rest = (torch.from_numpy(a).to(items.device) for a in (read, row, column, start[row] + column + 1))
    return Batch(items[x], *rest)


# --- The loss ---------------------------------------------------------------------------------------------


def next_item_loss(model, hidden, y, sampler=None):
    r"""The mean cross-entropy of the next clicks, in nats: of the softmax over all items, or over a sample of them.

    Of S negatives that are drawn with the probabilities q, each stands for :math:`1 / (S q_j)` of its kind:

    .. math::
        -\hat r_i + \log\Big(\exp \hat r_i + \sum_{j \ne i} \frac{\exp \hat r_j}{S q_j}\Big).

    In the mean over the draws, the sum is that over all other items that can be drawn.

    Parameters
    ----------
    model : AfterGRU
    hidden : Tensor, float [P, d]
    y : Tensor, int64 [P]
    sampler : NegativeSampler, optional
        Without one, all items are scored.

    Returns
    -------
    Tensor, float, 0-d

    Examples
    --------
    Where all scores are equal, the loss is the logarithm of the number of items.

    >>> model = AfterGRU(["a", "b", "c"], AfterConfig(hidden_size=4))
    >>> round(next_item_loss(model, torch.zeros(2, 4), torch.tensor([0, 2])).item(), 4)
    1.0986
    """
    if sampler is None:
        return F.cross_entropy(model.scores(hidden), y)
    negatives = sampler.next()  # int64 [S], the same for all clicks
    right = (hidden * model.embedding(y)).sum(1) + model.bias[y]  # [P]
    others = model.scores(hidden, negatives) - sampler.sampled[negatives].log()  # [P, S]
    others = others.masked_fill(negatives == y[:, None], -torch.inf)
    return (torch.logsumexp(torch.cat([right[:, None], others], dim=1), dim=1) - right).mean()


# --- Training ---------------------------------------------------------------------------------------------


def new_model(train, config, *, device="auto", seed=0):
    """An untrained AfterGRU over the catalogue of ``train``; the caller's random state does not change.

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> model = new_model(SessionWorld(n_items=30).sample(10), MODELS["LRU"], device="cpu", seed=7)
    >>> model.scores(torch.zeros(2, 64)).shape
    torch.Size([2, 30])
    """
    device = training.pick_device(device)
    with training.seeded(seed, device):
        return AfterGRU(train.item_ids, config, device)


def fit(train, config=AfterConfig(), *, device="auto", seed=0, valid=None, patience=3, metric="recall",
        checkpoint=None, progress=True, callback=None):
    """Train a model to predict the next click at every position of every session.

    Parameters
    ----------
    train : SessionData
    config : AfterConfig
        One of ``MODELS``, or your own.
    device : str or torch.device
        ``"auto"`` takes a GPU when there is one.
    seed : int
        The same seed on the same machine gives the same model.
    valid : SessionData, optional
        Sessions over the same catalogue. The model is evaluated on them after each epoch, and the best epoch is kept.
    patience : int
        With ``valid``: training stops when ``metric`` has not improved for this many epochs.
    metric : str
        "recall" or "mrr", both at 20.
    checkpoint : path, optional
        A folder that is rewritten after each epoch. If it exists, training goes on from there.
    progress : bool
        Show a progress bar.
    callback : callable(dict), optional
        Receives ``{"epoch", "loss"}``, and the measures on ``valid``, after each epoch.

    Returns
    -------
    AfterGRU
        In evaluation mode; ``model.history`` holds one point per epoch.

    Raises
    ------
    ValueError
        There is no session of two clicks, or the checkpoint belongs to another run.

    Examples
    --------
    Visitors click a, b, c, d and a again, from any of them on.

    >>> import pandas as pd
    >>> from rnnbook.interactions import SessionData
    >>> clicks = [(s, "abcd"[(s + t) % 4], 10 * s + t) for s in range(40) for t in range(4)]
    >>> train = SessionData.from_frame(pd.DataFrame(clicks, columns=["session", "item", "time"]))
    >>> config = AfterConfig(mixer="mingru", hidden_size=16, batch_size=16, n_epochs=5)
    >>> fit(train, config, device="cpu", progress=False).recommend(["c", "d"], k=1).ids.tolist()
    ['a']
    """
    if metric not in ("recall", "mrr"):
        raise ValueError(f"metric={metric!r}; it must be recall or mrr")
    model = new_model(train, config, device=device, seed=seed)
    items, found = torch.from_numpy(train.items).to(model.device), windows(train.offsets, config.max_length)
    n_steps = len(batches_by_length(found.length, config.batch_size, np.arange(len(found.length))))
    if n_steps == 0:
        raise ValueError(f"{train.name}: nothing to learn from; it needs sessions of two clicks or more")
    optimizer = training.Adam(dict(model.named_parameters()), config.learning_rate)

    def train_epoch(epoch, *_):
        bar.update(epoch * n_steps - bar.n)  # a run that resumes starts with a later epoch
        sampler = config.n_sample and NegativeSampler(np.bincount(train.items, minlength=train.n_items),
                                                      config.n_sample, config.sample_alpha, model.device, n_steps)
        total, n_seen = torch.zeros((), device=model.device), 0
        batches = batches_by_length(found.length, config.batch_size, torch.randperm(len(found.length)).numpy())
        for i in torch.randperm(n_steps).tolist():
            batch = take(found, batches[i], items)
            hidden = model.states(batch.x)[batch.row, batch.column]
            loss = next_item_loss(model, hidden, items[batch.target], sampler or None)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, n_seen = total + loss.detach() * len(batch.row), n_seen + len(batch.row)
            bar.update()
        return total.item() / n_seen

    def validate():
        scores = metrics.evaluate_sessions(model, valid, k=20, n_boot=1)
        return {"recall": scores.recall, "mrr": scores.mrr}

    with training.progress_bar(config.n_epochs * n_steps, progress) as bar:
        model.history = training.run(
            model, train_epoch, config.n_epochs, seed=seed, optimizer=optimizer,
            identity=training.identity(config, train, valid, seed, metric=metric),
            validate=valid and validate, patience=patience, metric=metric, checkpoint=checkpoint, callback=callback)
    return model
