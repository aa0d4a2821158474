"""GRU4Rec: session-based recommendation with a GRU (Hidasi et al., ICLR 2016; Hidasi & Karatzoglou, CIKM 2018).

Read this module from top to bottom: session-parallel mini-batches, the losses, the settings and the network, the
negatives, one training step, the loop over an epoch, and `fit`.

In shapes, B is the number of lanes in a step, S the number of extra negatives, N = B + S the number of scored items,
and d the number of hidden units.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rnnbook import metrics, training
from rnnbook.interactions.lookup import joined_ids
from rnnbook.recommenders import Recommender
from rnnbook.training import Count, Dropout, Momentum, Rate, Size, UsedRows, Weight
from rnnbook.training.lanes import EpochTracker, rows_to_lanes

# --- Session-parallel mini-batches ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Schedule:
    """All session-parallel mini-batches of an epoch as flat arrays, ordered by step, then lane.

    Step ``t`` is the slice ``offsets[t]:offsets[t + 1]``, with one entry per active lane. While sessions remain, every
    step has ``batch_size`` entries. After that, lanes end and the batch becomes smaller.

    Examples
    --------
    Sessions of 3, 2 and 4 events in two lanes. The first step reads the events 0 and 3, which begin the first two
    sessions.

    >>> schedule = session_parallel(np.array([0, 3, 5, 9]), batch_size=2)
    >>> schedule.offsets.tolist(), schedule.n_steps
    ([0, 2, 4, 5, 6], 4)
    >>> schedule.position[:4].tolist(), schedule.reset[:4].tolist()
    ([0, 3, 1, 5], [True, True, False, True])
    """

    position: np.ndarray  # int64 [n_predictions]: the input event; its target is the event after it
    lane: np.ndarray  # int64 [n_predictions]
    session: np.ndarray  # int64 [n_predictions]
    reset: np.ndarray  # bool [n_predictions]: a session starts here, so the lane's row of the state is zeroed first
    keep: np.ndarray  # bool [n_predictions]: the lane is still active in the next step
    offsets: np.ndarray  # int64 [n_steps + 1]
    batch_size: int

    @property
    def n_steps(self):
        """int: the number of steps of the epoch."""
        return len(self.offsets) - 1

    def lanes(self, step):
        """int64 [B]: the lane of each row of a step."""
        return self.lane[self.offsets[step]:self.offsets[step + 1]]

    def steps(self, device):
        """Iterate over the steps, as tensors on a device.

        Yields
        ------
        position : Tensor, int64 [B]
        reset : Tensor, bool [B]
        live : Tensor, int64 [B], or None
            The rows of the previous step's state that are kept; None if all are.
        """
        offsets = self.offsets.tolist()
        ends = np.flatnonzero(np.diff(self.offsets, n=2)).tolist()  # after these steps fewer lanes are active
        rows = [np.flatnonzero(self.keep[offsets[t]:offsets[t + 1]]) for t in ends]
        # Copy everything to the device now. Copies between steps would delay a GPU.
        position, reset, kept = (torch.from_numpy(a).to(device) for a in (
            self.position, self.reset, np.concatenate([np.empty(0, dtype=np.int64), *rows])))
        live = dict(zip(ends, kept.split([len(r) for r in rows])))
        for t, (lo, hi) in enumerate(pairwise(offsets)):
            yield position[lo:hi], reset[lo:hi], live.get(t - 1)


def session_parallel(session_offsets, batch_size):
    """Assign sessions to ``batch_size`` parallel lanes; when a session ends, its lane takes the next one.

    A session of n events fills n − 1 steps of its lane; each step has an input and a target. Only the choice of the
    lane is a loop over sessions. Everything else is one array operation for the whole epoch.

    Parameters
    ----------
    session_offsets : ndarray, int64 [n_sessions + 1]
        Session ``s`` consists of the events ``session_offsets[s]:session_offsets[s + 1]``.
    batch_size : int

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        ``batch_size`` is below 1.

    Examples
    --------
    Sessions of 3, 2 and 4 events in two lanes. The third session follows the second in its lane; after two steps it is
    the only one left.

    >>> schedule = session_parallel(np.array([0, 3, 5, 9]), batch_size=2)
    >>> [schedule.session[a:b].tolist() for a, b in pairwise(schedule.offsets)]
    [[0, 1], [0, 2], [2], [2]]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
    lengths = np.diff(session_offsets) - 1
    sessions = np.flatnonzero(lengths > 0)  # a session of one event has no target
    lengths = lengths[sessions]

    # The next session goes to the lane that ends first; of several such lanes, to the lowest. So the heap holds
    # end · batch_size + lane.
    ends = list(range(min(batch_size, len(sessions))))
    placed = np.empty(len(sessions), dtype=np.int64)
    for i, length in enumerate(lengths.tolist()):
        placed[i] = ends[0]
        heapq.heapreplace(ends, ends[0] + length * batch_size)
    start, lane = np.divmod(placed, batch_size)

    first = np.cumsum(lengths) - lengths
    within = np.arange(lengths.sum()) - np.repeat(first, lengths)  # 0, 1, … inside each session
    step = np.repeat(start, lengths) + within
    order = np.lexsort((np.repeat(lane, lengths), step))
    last_step = np.zeros(batch_size, dtype=np.int64)
    np.maximum.at(last_step, lane, start + lengths - 1)

    def by_step(values):
        return np.repeat(values, lengths)[order]

    n_steps = int(last_step.max()) + 1 if len(sessions) else 0
    return Schedule(
        position=by_step(np.asarray(session_offsets)[sessions]) + within[order], lane=by_step(lane),
        session=by_step(sessions), reset=within[order] == 0, keep=step[order] < last_step[by_step(lane)],
        offsets=np.searchsorted(step[order], np.arange(n_steps + 1)), batch_size=batch_size)


# --- Losses -----------------------------------------------------------------------------------------------
# Each loss takes scores r̂, float [B, N], and a mask of the negatives of each row, bool [B, N]. It returns float [B].
# In row i, column i is the score r̂_i of the target. N_S is the number of negatives j of a row.


def cross_entropy(scores, negative):
    r"""Cross-entropy of the softmax over the target and the negatives:

    .. math::
        &-\log \frac{\exp \hat r_i}{\exp \hat r_i + \sum_j \exp \hat r_j} \\
        &\quad = \mathrm{softplus}\Big(\log \sum_j \exp \hat r_j - \hat r_i\Big)

    Examples
    --------
    The target has the score 2, the negatives 0 and -5: log(1 + exp(-2) + exp(-7)).

    >>> scores, negative = torch.tensor([[2.0, 0.0, -5.0]]), torch.tensor([[False, True, True]])
    >>> cross_entropy(scores, negative)
    tensor([0.1277])
    """
    rest = scores.masked_fill(~negative, -torch.inf).logsumexp(dim=1)
    return F.softplus(rest - scores.diagonal())


def bpr(scores, negative):
    r"""Bayesian personalised ranking: compares the target with each negative and takes the mean.

    .. math::
        -\frac{1}{N_S} \sum_j \log \sigma(\hat r_i - \hat r_j)

    Examples
    --------
    A second negative, scored far below the target, halves the loss: in the mean, easy negatives hide the hard one.

    >>> scores = torch.tensor([[2.0, 0.0, -5.0]])
    >>> bpr(scores, torch.tensor([[False, True, False]]))
    tensor([0.1269])
    >>> bpr(scores, torch.tensor([[False, True, True]]))
    tensor([0.0639])
    """
    margin = scores.diagonal()[:, None] - scores
    return mean_over_negatives(-F.logsigmoid(margin), negative)


def top1(scores, negative):
    r"""A smooth approximation of the target's relative rank, and a penalty on the negatives' scores:

    .. math::
        \frac{1}{N_S} \sum_j \big[\sigma(\hat r_j - \hat r_i) + \sigma(\hat r_j^2)\big]

    It is always above 1/2, because :math:`\sigma(\hat r_j^2) \ge \sigma(0) = \tfrac12`.

    Examples
    --------
    Even a negative with a very low score adds :math:`\sigma(\hat r_j^2)` to the loss. Here this is
    :math:`\sigma(0) = \tfrac12` or :math:`\sigma(25) \approx 1`.

    >>> scores = torch.tensor([[2.0, 0.0, -5.0]])
    >>> top1(scores, torch.tensor([[False, True, False]]))
    tensor([0.6192])
    >>> top1(scores, torch.tensor([[False, False, True]]))
    tensor([1.0009])
    """
    margin = scores.diagonal()[:, None] - scores
    return mean_over_negatives(torch.sigmoid(-margin) + torch.sigmoid(scores**2), negative)


def bpr_max(scores, negative, regularization=1.0):
    r"""BPR weighted towards the negatives with the highest scores, with a penalty on the scores:

    .. math::
        -\log \sum_j s_j\, \sigma(\hat r_i - \hat r_j) + \lambda \sum_j s_j \hat r_j^2

    where s is the softmax of the negatives' scores and :math:`\lambda` the ``regularization``.

    Examples
    --------
    A second negative, scored far below the target, hardly changes the loss: the softmax gives it a small weight.

    >>> scores = torch.tensor([[2.0, 0.0, -5.0]])
    >>> bpr_max(scores, torch.tensor([[False, True, False]]), regularization=0.0)
    tensor([0.1269])
    >>> bpr_max(scores, torch.tensor([[False, True, True]]), regularization=0.0)
    tensor([0.1260])
    """
    log_s = scores.masked_fill(~negative, -torch.inf).log_softmax(dim=1)
    margin = scores.diagonal()[:, None] - scores
    return -(log_s + F.logsigmoid(margin)).logsumexp(dim=1) + regularization * (log_s.exp() * scores**2).sum(dim=1)


def top1_max(scores, negative):
    r"""TOP1 weighted towards the negatives with the highest scores:

    .. math::
        \sum_j s_j \big[\sigma(\hat r_j - \hat r_i) + \sigma(\hat r_j^2)\big]

    where s is the softmax of the negatives' scores.

    Examples
    --------
    The negatives at 0 and -5 alone have the losses 0.6192 and 1.0009 in `top1`. Their weights are 0.9933 and 0.0067.

    >>> scores = torch.tensor([[2.0, 0.0, -5.0]])
    >>> top1_max(scores, torch.tensor([[False, True, True]]))
    tensor([0.6218])
    """
    s = scores.masked_fill(~negative, -torch.inf).softmax(dim=1)
    margin = scores.diagonal()[:, None] - scores
    return (s * (torch.sigmoid(-margin) + torch.sigmoid(scores**2))).sum(dim=1)


def pointwise(scores, negative):
    r"""Binary cross-entropy of each score by itself; scores are not compared with each other:

    .. math::
        -\log \sigma(\hat r_i) - \frac{1}{N_S} \sum_j \log \sigma(-\hat r_j)

    Examples
    --------
    The negative's score of 0 means a probability of 1/2, so it adds log 2 = 0.6931, whatever the target's score is.

    >>> scores = torch.tensor([[2.0, 0.0, -5.0]])
    >>> pointwise(scores, torch.tensor([[False, True, False]]))  # 0.1269 + 0.6931
    tensor([0.8201])
    """
    return -F.logsigmoid(scores.diagonal()) + mean_over_negatives(-F.logsigmoid(-scores), negative)


def mean_over_negatives(values, negative):
    """The mean, float [B], of values, float [B, N], over the negatives of each row, bool [B, N].

    Examples
    --------
    >>> mean_over_negatives(torch.tensor([[9.0, 1.0, 3.0]]), torch.tensor([[False, True, True]]))
    tensor([2.])
    """
    return (values * negative).sum(dim=1) / negative.sum(dim=1)


LOSSES = {"cross-entropy": cross_entropy, "bpr": bpr, "top1": top1, "bpr-max": bpr_max, "top1-max": top1_max,
          "pointwise": pointwise}


# --- Model ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GRU4RecConfig:
    """Settings of GRU4Rec.

    The defaults are close to the authors' published settings for RSC15. Batch size, learning rate and momentum differ:
    with these values every loss trains well on a validation day. benchmarks/gru4rec_search.py records the search.

    Raises
    ------
    ValueError
        A value is not allowed. The message names the setting, its value and what is allowed.

    Examples
    --------
    >>> GRU4RecConfig(hidden_size=(100, 50)).hidden_sizes
    (100, 50)
    >>> GRU4RecConfig(loss="hinge")
    Traceback (most recent call last):
    ValueError: loss='hinge'; it must be one of cross-entropy, bpr, top1, bpr-max, top1-max, pointwise
    """

    hidden_size: Size | tuple[Size, ...] = 100  # a tuple stacks GRU layers; the first is nearest to the input
    loss: Literal["cross-entropy", "bpr", "top1", "bpr-max", "top1-max", "pointwise"] = "cross-entropy"
    input: Literal["shared", "separate", "one-hot"] = "shared"  # shared: the output weights are also the embeddings
    embedding_size: Size = 100  # for input="separate"
    feedforward_size: Count = 0  # units of a tanh layer between the GRU and the scores (2016, figure 1); 0: none
    final_activation: Literal["linear", "tanh", "elu"] = "linear"  # on the scores in training; 2016: tanh, 2018: elu
    elu_alpha: Rate = 1.0  # α of ELU, which ends at −α; the authors have 0.5 in some settings
    embedding_dropout: Dropout = 0.0
    hidden_dropout: Dropout = 0.4
    batch_size: Size = 64
    n_sample: Count = 2048  # extra negatives per step, in addition to the other rows' targets (2018, section 3.1)
    sample_alpha: Weight = 0.5  # negatives are drawn ∝ support^alpha
    logq: Weight = 1.0  # strength of the logQ correction of the sampled softmax (cross-entropy only)
    exact_logq: bool = False  # in its place: by how often an item is expected among the negatives; see `step_loss`
    mask_targets: bool = False  # ignore negatives that are the row's target item; the authors keep them
    bpr_max_regularization: Weight = 1.0  # λ of BPR-max (2018, equation 9)
    learning_rate: Rate = 0.1
    momentum: Momentum = 0.0
    n_epochs: Size = 10
    bptt: Size = 1  # number of steps that the gradient flows back; the authors truncate it after each step

    @property
    def hidden_sizes(self):
        """tuple of int: the size of each layer."""
        return (self.hidden_size,) if isinstance(self.hidden_size, int) else self.hidden_size

    def __post_init__(self):
        training.check_settings(self)
        if self.batch_size == 1 and self.n_sample == 0:
            raise ValueError("batch_size=1 with n_sample=0 leaves no negatives; raise either")


class GRULayer(nn.Module):
    r"""One step of a GRU. Its weights have the names, the shapes and the meaning of those of `torch.nn.GRUCell`:

    .. math::
        r &= \sigma(W_{ir} x + b_{ir} + W_{hr} h + b_{hr}), \\
        z &= \sigma(W_{iz} x + b_{iz} + W_{hz} h + b_{hz}), \\
        n &= \tanh\big(W_{in} x + b_{in} + r \odot (W_{hn} h + b_{hn})\big), \\
        h' &= (1 - z) \odot n + z \odot h.

    Parameters
    ----------
    input_size : int or None
        None means that the input already is :math:`W x + b` of the three gates. For a one-hot x this is a row of a
        table, so no product is needed.
    hidden_size : int

    Examples
    --------
    >>> layer, cell = GRULayer(input_size=3, hidden_size=5), nn.GRUCell(3, 5)
    >>> _ = cell.load_state_dict(layer.state_dict())
    >>> x, h = torch.randn(2, 3), torch.randn(2, 5)
    >>> torch.allclose(layer(x, h), cell(x, h), atol=1e-6)
    True
    """

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size = input_size
        if input_size is not None:
            self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
            self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(3 * hidden_size))
        for p in self.parameters():
            nn.init.uniform_(p, -(hidden_size**-0.5), hidden_size**-0.5)

    def forward(self, x, h):
        """The next state, float [B, d], from the input x, float [B, input_size], and the state h, float [B, d].

        If ``input_size`` is None, x is float [B, 3d].
        """
        x_gates = x if self.input_size is None else F.linear(x, self.weight_ih, self.bias_ih)
        x_r, x_z, x_n = x_gates.chunk(3, dim=1)
        h_r, h_z, h_n = F.linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return n + z * (h - n)


class GRU4Rec(nn.Module, Recommender):
    """The network: its input is an item, followed by GRU layers; its output is a score for every item.

    Parameters
    ----------
    item_ids : ndarray [n_items]
        The raw ids of the catalogue. Everywhere else, index ``i`` means ``item_ids[i]``.
    config : GRU4RecConfig
    device : torch.device or str

    Attributes
    ----------
    output : Parameter, float [n_items, d]
    bias : Parameter, float [n_items]
    input : Parameter, float [n_items, embedding_size], or [n_items, 3d] for ``input="one-hot"``
        Missing for ``input="shared"``.
    layers : ModuleList of GRULayer
    history : list of dict
        One point per epoch of training.
    optimizer_state : dict of str to Tensor
        The state of Adagrad after the last epoch, even if ``valid`` kept the weights of an earlier one, so that `fit`
        can go on from this model; empty before.

    Examples
    --------
    >>> model = GRU4Rec(["tea", "milk", "sugar"], GRU4RecConfig(hidden_size=(8, 4)))
    >>> [tuple(h.shape) for h in model.initial_state(batch_size=2)]
    [(2, 8), (2, 4)]
    >>> model.recommend(["milk", "tea"], k=2).ids.shape
    (2,)

    A saved model gives the same scores after loading.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model")
    ...     twin = GRU4Rec.load(f"{folder}/model", device="cpu")
    >>> np.array_equal(twin.recommend(["tea"]).scores, model.recommend(["tea"]).scores)
    True
    """

    def __init__(self, item_ids, config, device="cpu"):
        super().__init__()
        self.item_ids, self.config, self.history, self.optimizer_state = np.asarray(item_ids), config, [], {}
        n_items, sizes = len(self.item_ids), config.hidden_sizes
        width = config.feedforward_size or sizes[-1]
        input_size = {"shared": width, "separate": config.embedding_size, "one-hot": None}[config.input]
        with torch.device(device):
            self.output = nn.Parameter(torch.empty(n_items, width))
            self.bias = nn.Parameter(torch.zeros(n_items))
            if config.input != "shared":
                self.input = nn.Parameter(torch.empty(n_items, input_size or 3 * sizes[0]))
            self.layers = nn.ModuleList(GRULayer(i, h) for i, h in zip((input_size, *sizes), sizes))
            if config.feedforward_size:
                self.feedforward = nn.Linear(sizes[-1], width)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw every matrix (of each gate) from U[−x, x] with x = √(6 / (rows + columns)); biases are zero."""
        for name, p in self.named_parameters():
            gates = 3 if name.startswith("layers") or (name == "input" and self.config.input == "one-hot") else 1
            if p.dim() == 1:
                nn.init.zeros_(p)
            else:
                rows, columns = p.shape if name == "input" or gates == 1 else p.shape[::-1]
                bound = (6 / (rows + columns / gates)) ** 0.5
                nn.init.uniform_(p, -bound, bound)

    @property
    def device(self):
        """torch.device: where the parameters are."""
        return self.output.device

    @property
    def dense(self):
        """dict of str to Parameter: all but the tables, which have a row for each item."""
        return {name: p for name, p in self.named_parameters() if name not in ("output", "bias", "input")}

    @property
    def input_table(self):
        """str: the name of the table whose rows are the inputs."""
        return "output" if self.config.input == "shared" else "input"

    def initial_state(self, batch_size):
        """list of Tensor: zeros, float [batch_size, hidden_size], one per layer."""
        return [self.output.new_zeros(batch_size, size) for size in self.config.hidden_sizes]

    def step(self, x, state):
        """One step of all layers.

        Parameters
        ----------
        x : Tensor, float [B, input_size]
            The rows of the input items in the input table.
        state : list of Tensor, float [B, hidden_size]
            One per layer.

        Returns
        -------
        list of Tensor, float [B, hidden_size]
            The new state. Its last entry is the output. Units that dropout sets to zero are zero in this state too.
        """
        x = F.dropout(x, self.config.embedding_dropout, self.training)
        new = []
        for layer, h in zip(self.layers, state):
            x = F.dropout(layer(x, h), self.config.hidden_dropout, self.training)
            new.append(x)
        return new

    def readout(self, state):
        """What is multiplied with an item's row: the last layer's state, or the tanh layer of it, float [B, d]."""
        return torch.tanh(self.feedforward(state[-1])) if self.config.feedforward_size else state[-1]

    @torch.no_grad()
    def score_sessions(self, data, batch_size=512):
        """Score all items at every event that has a predecessor in its session.

        Parameters
        ----------
        data : SessionData over the model's catalogue
        batch_size : int

        Yields
        ------
        positions : Tensor, int64 [B]
            Indices into ``data.items`` of the events to predict.
        scores : Tensor, float [B, n_items]
            Computed only from the earlier events of the same session.
        """
        self.eval()
        table, items = getattr(self, self.input_table), torch.from_numpy(data.items).to(self.device)
        state = self.initial_state(batch_size)
        for position, reset, live in session_parallel(data.offsets, batch_size).steps(self.device):
            state = self.step(table[items[position]], carry_state(state, reset, live))
            yield position + 1, self._score(self.readout(state))

    def scorer(self, histories):
        """Read histories (a list of int64 arrays of item indices), as `Recommender` needs it."""
        self.eval()
        h = self.readout(self.states_after(histories))
        return lambda rows, items: self._score(h[rows], items)

    def states_after(self, histories):
        """The state after each history: list of Tensor, float [n_histories, hidden_size], one per layer.

        Step t reads item t of every history that is long enough. They are sorted, so these are the first rows.
        """
        lengths = np.array([len(history) for history in histories])
        longest_first = np.argsort(-lengths, kind="stable")
        items = torch.from_numpy(np.concatenate([histories[i] for i in longest_first])).to(self.device)
        first = torch.from_numpy(np.cumsum(lengths[longest_first]) - lengths[longest_first]).to(self.device)
        table, state = getattr(self, self.input_table), self.initial_state(len(histories))
        for t in range(lengths.max()):
            n = int((lengths > t).sum())
            for h, new in zip(state, self.step(table[items[first[:n] + t]], [h[:n] for h in state])):
                h[:n] = new
        back = torch.from_numpy(np.argsort(longest_first)).to(self.device)
        return [h[back] for h in state]

    def _score(self, h, items=slice(None)):
        """Scores of items (by default all), float [B, m]. Autocast is off, because rounding would create ties."""
        with torch.autocast(h.device.type, enabled=False):
            return F.linear(h, self.output[items], self.bias[items])

    def save(self, path):
        """Write the model into the folder ``path``: tensors as safetensors, settings and item ids as JSON."""
        training.save_model(self, path)

    @classmethod
    def load(cls, path, device="auto"):
        """Read a model that `save` wrote.

        Raises
        ------
        ValueError
            The folder has another model or is damaged. The message says what is wrong.
        """
        return training.load_model(cls, GRU4RecConfig, path, device)


# --- Negatives --------------------------------------------------------------------------------------------


class NegativeSampler:
    """Draws items with probability ∝ support^alpha: it looks up uniform random numbers in the cumulative weights.

    The negatives of many steps are drawn together. In float32 probabilities are exact to about 1e-7, so in a catalogue
    of many millions of items the rarest are drawn too often or never.

    Parameters
    ----------
    support : int array [n_items]
        The number of clicks on each item.
    n_sample : int
        The number of negatives per step.
    alpha : float
    device : torch.device or str
    n_steps : int
        At most so many steps are drawn together.

    Examples
    --------
    Items that were clicked 9 times, never, and once. An item without a click is never drawn.

    >>> sampler = NegativeSampler([9, 0, 1], n_sample=1000, alpha=1.0, device="cpu", n_steps=1)
    >>> counts = torch.bincount(sampler.next(), minlength=3).tolist()
    >>> counts[1], 850 < counts[0] < 950
    (0, True)
    """

    def __init__(self, support, n_sample, alpha, device, n_steps):
        support, dtype = torch.as_tensor(support, dtype=torch.float64), torch.get_default_dtype()
        self.cumulative = torch.cumsum(support**alpha * (support > 0), 0).to(dtype).to(device)
        self.log_support = support.log().to(dtype).to(device)
        # How often each item is expected among other rows' targets, for each of these, and among the extra negatives.
        # Targets are taken to be distributed as all clicks are, although the first click of a session is never one.
        self.in_batch = (support / support.sum()).to(dtype).to(device)
        self.sampled = n_sample * self.cumulative.diff(prepend=self.cumulative.new_zeros(1)) / self.cumulative[-1]
        self.alpha = alpha
        self.unread: list[torch.Tensor] = []  # drawn, but not returned yet; the next one is last
        self.shape = max(1, min(n_steps, 1_000_000 // max(1, n_sample))), n_sample

    def next(self):
        """int64 [n_sample]: the extra negatives of one step."""
        if not self.unread:
            u = torch.rand(self.shape, device=self.cumulative.device) * self.cumulative[-1]
            ids = torch.searchsorted(self.cumulative, u, right=True).clamp_(max=len(self.cumulative) - 1)
            self.unread = [*ids.unbind()][::-1]
        return self.unread.pop()

    def unread_samples(self):
        """int64 [k, n_sample]: the negatives that are drawn for the next k steps, those of the next step last."""
        return torch.stack(self.unread) if self.unread else torch.empty(0, self.shape[1], dtype=torch.int64)


# --- One training step ------------------------------------------------------------------------------------


def carry_state(state, reset, live):
    """The state before a step: rows of ended lanes are removed, and rows of new sessions are zeroed.

    Parameters
    ----------
    state : list of Tensor, float [B', d]
        The state after the previous step.
    reset, live
        As `Schedule.steps` yields them.

    Returns
    -------
    list of Tensor, float [B, d]

    Examples
    --------
    Of three lanes, the second has ended. In the first, a new session starts.

    >>> state = [torch.tensor([[1.0], [2.0], [3.0]])]
    >>> carry_state(state, reset=torch.tensor([True, False]), live=torch.tensor([0, 2]))
    [tensor([[0.],
            [3.]])]
    """
    if live is not None:
        state = [h[live] for h in state]
    return [h[: len(reset)].masked_fill(reset[:, None], 0.0) for h in state]


def step_loss(config, scores, columns, sampler, n_targets=None):
    """The loss of each row, according to the settings.

    Parameters
    ----------
    config : GRU4RecConfig
    scores : Tensor, float [B, N]
    columns : Tensor, int64 [N]
        The scored items: the targets, with that of row i in column i, then the extra negatives.
    sampler : NegativeSampler
    n_targets : int, optional
        The number of columns that are targets, if there are targets of other rows among them. By default it is B.

    Returns
    -------
    Tensor, float [B]

    Examples
    --------
    Two rows without extra negatives: the target of each row is the negative of the other. All scores are equal.

    >>> config = GRU4RecConfig(loss="bpr", n_sample=0)
    >>> sampler = NegativeSampler([1, 1, 1], n_sample=0, alpha=0.5, device="cpu", n_steps=1)
    >>> step_loss(config, torch.zeros(2, 2), torch.tensor([0, 2]), sampler)
    tensor([0.6931, 0.6931])
    """
    n_rows = len(scores)
    n_targets = n_rows if n_targets is None else n_targets
    negative = scores.new_ones(scores.shape, dtype=torch.bool).fill_diagonal_(False)
    exact = config.loss == "cross-entropy" and config.exact_logq
    if exact:
        # A negative j that is expected E_j times stands for E_j of its kind, so each counts exp(r̂_j) / E_j. In the mean
        # the negatives then add up to what all other items would in the full softmax.
        expected = (n_targets - 1) * sampler.in_batch[columns] + sampler.sampled[columns]
        scores = torch.where(negative, scores - expected.log(), scores)
    elif config.loss == "cross-entropy" and config.logq:
        # An item that is often drawn as a negative would get too low a score, so its log-frequency is subtracted.
        log_q = sampler.log_support[columns]
        scores = scores - config.logq * torch.cat([log_q[:n_targets], sampler.alpha * log_q[n_targets:]])
    if config.final_activation == "tanh":
        scores = torch.tanh(scores)
    elif config.final_activation == "elu":
        scores = F.elu(scores, config.elu_alpha)
    if config.mask_targets or exact:
        others = negative & (columns[None, :] != columns[:n_rows, None])
        negative = torch.where(others.any(dim=1, keepdim=True), others, negative)  # a row needs a negative
    if config.loss == "bpr-max":
        return bpr_max(scores, negative, config.bpr_max_regularization)
    return LOSSES[config.loss](scores, negative)


def forward_window(model, sampler, window, state, rows):
    """The loss of a window of consecutive steps, and the state after it.

    Parameters
    ----------
    model : GRU4Rec
    sampler : NegativeSampler
    window : list of (x, y, reset, live)
        One entry per step: input items and targets, int64 [B]; reset and live as `Schedule.steps` yields them.
    state : list of Tensor, float [B, d]
        The state before the window.
    rows : UsedRows
        Collects the rows that are read.

    Returns
    -------
    loss : Tensor, a scalar
        The sum over all rows of all steps.
    state : list of Tensor, float [B, d]

    Examples
    --------
    >>> model = GRU4Rec(["a", "b", "c"], GRU4RecConfig(hidden_size=4, batch_size=2))
    >>> sampler = NegativeSampler([1, 2, 1], n_sample=5, alpha=0.5, device="cpu", n_steps=1)
    >>> window = [(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([True, True]), None)]
    >>> loss, state = forward_window(model, sampler, window, model.initial_state(2), UsedRows(model))
    >>> loss.shape, state[0].shape
    (torch.Size([]), torch.Size([2, 4]))
    """
    loss = torch.zeros((), device=model.device)
    for x, y, reset, live in window:
        columns = torch.cat([y, sampler.next()])  # [N]
        state = model.step(rows.read(model.input_table, x), carry_state(state, reset, live))
        scores = F.linear(model.readout(state), rows.read("output", columns), rows.read("bias", columns))  # [B, N]
        scores = scores.to(model.output.dtype)  # autocast rounds the products; the loss needs full precision
        loss = loss + step_loss(model.config, scores, columns, sampler).sum()
    return loss, state


def train_step(model, optimizer, sampler, window, state, *, forward=forward_window, combine=list):
    """Make one update from a window of consecutive steps. By default the window is a single step (``config.bptt``).

    Parameters
    ----------
    model : GRU4Rec
    optimizer : training.Adagrad
    sampler : NegativeSampler
    window : list of (x, y, reset, live)
        As in `forward_window`.
    state : list of Tensor, float [B, d]
    forward : callable
        `forward_window`, or a function that computes one rank's part of it.
    combine : callable(list of Tensor) -> list of Tensor
        Is applied to the list of the loss and the gradients before the update. With several ranks, it adds up theirs.

    Returns
    -------
    loss : Tensor, a scalar
        The sum over all rows of all steps of the window.
    state : list of Tensor, float [B, d]
        Detached from the graph.

    Examples
    --------
    One step with two lanes: the inputs 0 and 1, and the targets 1 and 2. Both sessions start here.

    >>> from rnnbook.training import Adagrad
    >>> model = GRU4Rec(["a", "b", "c"], GRU4RecConfig(hidden_size=4, batch_size=2))
    >>> optimizer = Adagrad(model.named_parameters(), lr=0.1)
    >>> sampler = NegativeSampler([1, 2, 1], n_sample=5, alpha=0.5, device="cpu", n_steps=1)
    >>> window = [(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([True, True]), None)]
    >>> loss, state = train_step(model, optimizer, sampler, window, model.initial_state(2))
    >>> loss.shape, state[0].shape
    (torch.Size([]), torch.Size([2, 4]))
    """
    rows = UsedRows(model)
    loss, state = forward(model, sampler, window, [h.detach() for h in state], rows)
    dense = model.dense
    gradients = torch.autograd.grad(loss / model.config.batch_size, [*dense.values(), *rows.leaves])
    loss, *gradients = combine([loss.detach(), *gradients])
    for name, gradient in zip(dense, gradients):
        optimizer.step(name, gradient)
    rows.update(optimizer, gradients[len(dense):])
    return loss, [h.detach() for h in state]


# --- Training ---------------------------------------------------------------------------------------------


def train_epoch(model, optimizer, sampler, schedule, items, steps, lanes, report):
    """Train on some steps of a schedule, window by window.

    Parameters
    ----------
    model : GRU4Rec
    optimizer : training.Adagrad
    sampler : NegativeSampler
    schedule : Schedule
    items : Tensor, int64 [n_events]
        The item of each event; the positions of the schedule are indices into it.
    steps : range
        The steps to train on.
    lanes : list of Tensor, float [batch_size, hidden_size]
        The initial state, a row for each lane.
    report : callable(int, Tensor, int, callable)
        Called after each window with the number of completed steps, the sum of the window's losses, the number of its
        predictions, and a function that returns the state of the lanes.

    Examples
    --------
    Two sessions in one lane have three steps. This call trains on the first two.

    >>> model = GRU4Rec(["a", "b", "c"], GRU4RecConfig(batch_size=1, n_sample=4))
    >>> optimizer = training.Adagrad(model.named_parameters(), lr=0.1)
    >>> sampler = NegativeSampler([1, 2, 2], n_sample=4, alpha=0.5, device="cpu", n_steps=2)
    >>> items, offsets, losses = torch.tensor([0, 1, 2, 1, 2]), np.array([0, 3, 5]), []
    >>> train_epoch(model, optimizer, sampler, session_parallel(offsets, 1), items, range(2),
    ...             model.initial_state(1), report=lambda t, loss, *_: losses.append(loss.item()))
    >>> len(losses), min(losses) > 0
    (2, True)
    """
    # The rows of a state are those of the step that computed it. The next step removes the rows of ended lanes.
    before = torch.from_numpy(schedule.lanes(max(steps.start - 1, 0))).to(model.device)
    state, window = [h[before] for h in lanes], []
    for t, (position, reset, live) in zip(steps, islice(schedule.steps(model.device), steps.start, None)):
        window.append((items[position], items[position + 1], reset, live))
        if len(window) == model.config.bptt or t == steps[-1]:
            loss, state = train_step(model, optimizer, sampler, window, state)
            report(t + 1, loss, sum(len(y) for _, y, _, _ in window),
                   partial(rows_to_lanes, state, schedule.lanes(t), schedule.batch_size))
            window = []


def fit(train, config=GRU4RecConfig(), *, device="auto", seed=0, valid=None, patience=3, checkpoint=None,
        progress=True, callback=None, start=None, epoch=train_epoch, evaluate=None, writes=True):
    """Train a GRU4Rec.

    Parameters
    ----------
    train : SessionData
    config : GRU4RecConfig
    device : str or torch.device
        ``"auto"`` takes a GPU when there is one.
    seed : int
        Determines initial weights, dropout and negatives. The same seed on the same machine gives the same model.
    valid : SessionData, optional
        Sessions over the same catalogue, made from the training data (``train.split_by_time``). After each epoch
        Recall@20 is measured on them, and the best epoch is kept.
    patience : int
        With ``valid``: stop when Recall@20 has not improved for this many epochs.
    checkpoint : path, optional
        Folder that is rewritten about 20 times an epoch. If it exists, training resumes from it and gives the same
        numbers as without the interruption.
    progress : bool
        Show a progress bar.
    callback : callable(dict), optional
        Receives ``{"epoch", "running_loss"}`` about 20 times an epoch: the epoch as a fraction, and the mean loss of
        the predictions since the previous such point. At the end of each epoch it receives ``{"epoch", "loss"}``, with
        the mean loss over the whole epoch, and the scores on ``valid``.
    start : GRU4Rec, optional
        Go on from this trained model for ``n_epochs`` more, perhaps on newer sessions. Items that only ``train`` has
        get new rows. All other weights, and the state of the optimiser, are kept. The model itself is not changed.
    epoch : callable
        `train_epoch`, or another function with the same arguments, such as those of `rnnbook.fast` and
        `rnnbook.distributed`.
    evaluate : callable(model, data, k) -> metrics.SessionScores, optional
        The function that scores ``valid``, by default `metrics.evaluate_sessions`.
    writes : bool
        Whether this process writes the checkpoint. If several processes train together, only one does.

    Returns
    -------
    GRU4Rec
        In evaluation mode. ``model.history`` has one point per epoch.

    Raises
    ------
    FloatingPointError
        The loss became infinite or NaN.
    ValueError
        ``train`` has no step to learn from, or the checkpoint is damaged or belongs to another run.

    Examples
    --------
    Each session walks around the ring a b c d a.

    >>> from rnnbook.interactions import SessionData
    >>> clicks = [(s, "abcd"[(s + t) % 4], 10 * s + t) for s in range(40) for t in range(4)]
    >>> train = SessionData.from_frame(pd.DataFrame(clicks, columns=["session", "item", "time"]))
    >>> config = GRU4RecConfig(hidden_size=8, batch_size=8, n_sample=8, n_epochs=20)
    >>> model = fit(train, config, device="cpu", progress=False)
    >>> model.recommend(["c", "d"], k=1).ids.tolist()
    ['a']
    >>> len(model.history), model.history[-1]["loss"] < model.history[0]["loss"]
    (20, True)
    """
    device = training.pick_device(device)
    before = start.history if start else []
    if start:
        item_ids = joined_ids(start.item_ids, train.item_ids)
        train, valid = (data and data.restrict_to(item_ids) for data in (train, valid))
    with training.seeded(seed, device):
        model = GRU4Rec(train.item_ids, config, device)
    if start and model.state_dict().keys() != start.state_dict().keys():
        raise ValueError("the model to start from has other layers; keep the settings that it was trained with")
    optimizer = training.Adagrad(model.named_parameters(), config.learning_rate, config.momentum)
    if start:
        training.copy_first_rows(model.state_dict(), start.state_dict(), "the model to start from")
        training.copy_first_rows(optimizer.tensors(), start.optimizer_state, "the optimiser to start from")
    schedule = session_parallel(train.offsets, config.batch_size)
    # Without extra negatives a single lane has no negatives, so the epoch ends when fewer than two lanes are active.
    n_steps = int((np.diff(schedule.offsets) >= (1 if config.n_sample else 2)).sum())
    if n_steps == 0:
        raise ValueError(f"{train.name}: nothing to learn from; it needs a session of two events, two if n_sample=0")
    items = torch.from_numpy(train.items).to(device)

    def run_epoch(number, mid_epoch, save):
        sampler = NegativeSampler(train.support, config.n_sample, config.sample_alpha, device, n_steps)
        tracker = EpochTracker(number, n_steps, model.initial_state(config.batch_size), sampler, bar, save, callback)
        if mid_epoch:
            tracker.restore(mid_epoch, checkpoint)
        epoch(model, optimizer, sampler, schedule, items, range(tracker.step, n_steps), tracker.lanes, tracker.report)
        return float(tracker.total) / schedule.offsets[n_steps].item()

    def validate():
        scores = (evaluate or metrics.evaluate_sessions)(model, valid, k=20)
        return {"recall": scores.recall, "mrr": scores.mrr}

    n_steps_before = len(before) * n_steps
    with training.progress_bar(n_steps_before + config.n_epochs * n_steps, progress, n_steps_before) as bar:
        model.history = before + training.run(
            model, run_epoch, config.n_epochs, seed=seed, optimizer=optimizer, n_before=len(before),
            identity=training.identity(config, train, valid, seed, start=start and training.digest_of(start)),
            validate=valid and validate, patience=patience, checkpoint=checkpoint, writes=writes, callback=callback)
    model.optimizer_state = optimizer.tensors()
    return model
