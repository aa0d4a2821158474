"""Chapter 1: recurrent cells by hand, back-propagation through time by hand, and how far a gradient reaches.

Letters, here and in every chapter: T steps, B sequences, n inputs, d hidden units. Sequences are time-first,
``x [T, B, n]``; states are ``h [T + 1, B, d]`` with ``h[0]`` the initial one, so step t (from 0) reads
``x[t]`` and ``h[t]`` and writes ``h[t + 1]``. All functions keep the dtype and the device of their inputs.

Weights have the names, shapes and order of PyTorch's cells: the page's W is ``weight_ih [d, n]``, its U is
``weight_hh [d, d]``, and its b is the sum of ``bias_ih`` and ``bias_hh``, each ``[d]``. So each step runs with the
weights of one of PyTorch's cells, ``rnn_step(x, h, **cell.state_dict())``, and a dict of ours by these names goes into
``cell.load_state_dict``. The layers `torch.nn.RNN`, `LSTM` and `GRU` add ``_l0`` to each name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from torch import nn

from rnnbook.training import Count, Rate, Share, Size, check_settings, pick_device, progress_bar, seeded
from rnnbook.training.settings import Limit

# --- The vanilla cell -------------------------------------------------------------------------------------


def rnn_step(x, h, weight_ih, weight_hh, bias_ih, bias_hh=0.0):
    """One step of the vanilla cell, h' = tanh(W x + U h + b), as in `torch.nn.RNNCell`.

    x [B, n], h [B, d] -> h' [B, d]. Without ``bias_hh``, ``bias_ih`` is the sum of the two.

    Examples
    --------
    >>> x, h = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5]])
    >>> weight_ih, weight_hh = torch.tensor([[0.1, 0.2]]), torch.tensor([[0.4]])
    >>> rnn_step(x, h, weight_ih, weight_hh, torch.tensor([0.3]))  # tanh(0.1 + 0.4 + 0.2 + 0.3)
    tensor([[0.7616]])

    The weights of PyTorch's cell have the same names.

    >>> cell = nn.RNNCell(2, 1)
    >>> torch.allclose(rnn_step(x, h, **cell.state_dict()), cell(x, h))
    True
    """
    return torch.tanh(x @ weight_ih.T + h @ weight_hh.T + (bias_ih + bias_hh))


def rnn_forward(x, h0, weight_ih, weight_hh, bias_ih, bias_hh=0.0):
    """All states of the vanilla RNN: x [T, B, n], h0 [B, d] -> h [T + 1, B, d], h[0] = h0.

    Examples
    --------
    A click at the first step and none afterwards: what is left of it after each step.

    >>> x = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    >>> weight_ih, weight_hh = torch.ones(1, 1), torch.tensor([[0.5]])
    >>> rnn_forward(x, torch.zeros(1, 1), weight_ih, weight_hh, bias_ih=torch.zeros(1)).flatten()
    tensor([0.0000, 0.7616, 0.3634, 0.1797])
    """
    h = [h0]
    for x_t in x:
        h.append(rnn_step(x_t, h[-1], weight_ih, weight_hh, bias_ih, bias_hh))
    return torch.stack(h)


# --- Back-propagation through time ------------------------------------------------------------------------


class RNNGradients(NamedTuple):
    """Gradients of the loss, each with the shape of what it belongs to. That of ``bias_hh`` is that of ``bias_ih``.

    Examples
    --------
    >>> x, h0 = torch.zeros(5, 2, 3), torch.zeros(2, 4)
    >>> weight_ih, weight_hh, bias = torch.zeros(4, 3), torch.eye(4), torch.zeros(4)
    >>> h = rnn_forward(x, h0, weight_ih, weight_hh, bias)
    >>> gradients = rnn_backward(x, h, torch.ones(5, 2, 4), weight_hh)
    >>> {name: tuple(gradient.shape) for name, gradient in gradients._asdict().items()}
    {'weight_ih': (4, 3), 'weight_hh': (4, 4), 'bias_ih': (4,), 'h0': (2, 4)}

    The bias is used at 5 steps of 2 sequences, and the loss of step t depends on its first t uses.

    >>> gradients.bias_ih  # 2 * (1 + 2 + 3 + 4 + 5)
    tensor([30., 30., 30., 30.])
    """

    weight_ih: torch.Tensor  # [d, n]
    weight_hh: torch.Tensor  # [d, d]
    bias_ih: torch.Tensor  # [d]
    h0: torch.Tensor  # [B, d]


def rnn_backward(x, h, grad_h, weight_hh, truncate=None):
    """Back-propagation through time by hand.

    delta_t = (dL_t/dh_t + U^T delta_{t+1}) * (1 - h_t^2), and the gradients of W, U and b are the sums over t of
    delta_t x_t^T, delta_t h_{t-1}^T and delta_t.

    Parameters
    ----------
    x : Tensor [T, B, n]
    h : Tensor [T + 1, B, d], from `rnn_forward`
    grad_h : Tensor [T, B, d]
        The gradient of each step's own loss with respect to its state, dL_t/dh_t, without later losses.
    weight_hh : Tensor [d, d]
    truncate : int, optional
        Cut the sequence into chunks of this many steps and let no gradient cross a cut, as
        ``h.detach()`` between chunks does. None: the whole gradient.

    Returns
    -------
    RNNGradients

    Raises
    ------
    ValueError
        If ``truncate`` is below 1.

    Examples
    --------
    By hand as by PyTorch, for the loss that adds up all states.

    >>> shapes = (6, 2, 3), (2, 4), (4, 3), (4, 4), (4,)
    >>> x, h0, weight_ih, weight_hh, bias = (torch.randn(s, dtype=torch.float64) for s in shapes)
    >>> h = rnn_forward(x, h0, weight_ih, weight_hh.requires_grad_(), bias)
    >>> h[1:].sum().backward()
    >>> h, by_autograd, weight_hh = h.detach(), weight_hh.grad, weight_hh.detach()
    >>> whole = rnn_backward(x, h, torch.ones(6, 2, 4), weight_hh)
    >>> truncated = rnn_backward(x, h, torch.ones(6, 2, 4), weight_hh, truncate=2)
    >>> [torch.allclose(g.weight_hh, by_autograd) for g in (whole, truncated)]
    [True, False]
    """
    if truncate is not None and truncate < 1:
        raise ValueError(f"truncate={truncate}; it must be at least 1 step")
    grad_ih, grad_hh = x.new_zeros(weight_hh.shape[0], x.shape[2]), torch.zeros_like(weight_hh)
    grad_bias = x.new_zeros(weight_hh.shape[0])
    grad_next = torch.zeros_like(h[0])  # [B, d]: what comes back from the next step, U^T delta
    for t in reversed(range(len(x))):
        delta = (grad_h[t] + grad_next) * (1 - h[t + 1] ** 2)  # [B, d]: dL/d(W x + U h + b); tanh' = 1 - tanh^2
        grad_ih += delta.T @ x[t]  # one weight, used T times: the gradients of its uses add up
        grad_hh += delta.T @ h[t]
        grad_bias += delta.sum(dim=0)
        grad_next = delta @ weight_hh
        if truncate is not None and t > 0 and t % truncate == 0:  # t begins a chunk, and another one is before it
            grad_next = torch.zeros_like(grad_next)
    return RNNGradients(grad_ih, grad_hh, grad_bias, grad_next)


# --- How far a gradient reaches ---------------------------------------------------------------------------


def spectral_radius(matrix):
    """Largest absolute eigenvalue of a matrix [d, d], a 0-d Tensor.

    Examples
    --------
    A quarter turn that doubles lengths: its eigenvalues are 2i and -2i.

    >>> round(spectral_radius(torch.tensor([[0.0, -2.0], [2.0, 0.0]])).item(), 4)
    2.0
    """
    return torch.linalg.eigvals(matrix).abs().max()


def gradient_norms(step, x, state, grad):
    """Norm of the gradient of a last-step loss with respect to each state, by autograd.

    Parameters
    ----------
    step : callable (x_t [B, n], state [B, s]) -> state [B, s]
    x : Tensor [T, B, n]
    state : Tensor [B, s], the first state
    grad : Tensor [B, s], the gradient of a loss with respect to the last state

    Returns
    -------
    Tensor [T + 1]: entry k is the mean over the B sequences of ||dL/ds_{T-k}||; entry 0 is that of ||grad||.

    Examples
    --------
    A state that halves at every step: two steps back, the gradient is a quarter.

    >>> gradient_norms(lambda x, s: 0.5 * s, torch.zeros(3, 1, 1), torch.ones(1, 1),
    ...                torch.ones(1, 1))
    tensor([1.0000, 0.5000, 0.2500, 0.1250])
    """
    states = [state.detach().requires_grad_()]
    for x_t in x:
        states.append(step(x_t, states[-1]))
    gradients = torch.autograd.grad(states[-1], states, grad_outputs=grad)
    return torch.stack([g.norm(dim=1).mean() for g in gradients]).flip(0)


# --- Clipping ---------------------------------------------------------------------------------------------


def clip_gradient(gradients, max_norm):
    """Scale all gradients by one factor so that their joint norm is at most max_norm; the direction stays.

    gradients: sequence of Tensors -> (clipped list, the norm before clipping as a 0-d Tensor).

    Examples
    --------
    >>> clipped, norm = clip_gradient([torch.tensor([3.0]), torch.tensor([4.0])], max_norm=1.0)
    >>> clipped, norm
    ([tensor([0.6000]), tensor([0.8000])], tensor(5.))
    """
    norm = torch.stack([g.norm() for g in gradients]).norm()
    scale = (max_norm / norm).clamp(max=1)  # 1 where the norm is 0
    return [g * scale for g in gradients], norm


# --- Gated cells ------------------------------------------------------------------------------------------


def lstm_step(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh=0.0):
    """One step of the LSTM as in `torch.nn.LSTMCell`, gates stacked as there: input, forget, candidate, output.

    c' = f * c + i * g and h' = o * tanh(c'). x [B, n], h and c [B, d], weight_ih [4d, n], weight_hh [4d, d], biases
    [4d] -> (h', c'). Without ``bias_hh``, ``bias_ih`` is the sum of the two.

    Examples
    --------
    With zero weights the biases alone decide: forget gate and output gate are open, the input gate is half open, and
    the candidate is 0. The cell keeps its value.

    >>> x, h, c = torch.ones(1, 3), torch.zeros(1, 1), torch.tensor([[2.0]])
    >>> h, c = lstm_step(x, h, c, torch.zeros(4, 3), torch.zeros(4, 1),
    ...                  bias_ih=torch.tensor([0.0, 100.0, 0.0, 100.0]))
    >>> round(c.item(), 4), round(h.item(), 4)  # 2 and tanh(2)
    (2.0, 0.964)
    """
    gates = x @ weight_ih.T + h @ weight_hh.T + (bias_ih + bias_hh)  # [B, 4d]
    i, f, g, o = gates.chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_step(x, h, weight_ih, weight_hh, bias_ih, bias_hh):
    """One step of the GRU as in `torch.nn.GRUCell`, gates stacked as there: reset, update, candidate.

    The update gate z says how much of the state is kept, h' = (1 - z) * n + z * h, and the reset gate multiplies after
    the matrix product, n = tanh(W x + bias_ih + r * (U h + bias_hh)). x [B, n], h [B, d], weight_ih [3d, n],
    weight_hh [3d, d], biases [3d] -> h' [B, d].

    Examples
    --------
    With zero weights the biases alone decide. Where z is 1 the old state stays; where it is 0, the candidate, here 0,
    takes its place.

    >>> h, no_weights = torch.tensor([[0.7]]), (torch.zeros(3, 2), torch.zeros(3, 1))
    >>> for z in (100.0, 0.0, -100.0):
    ...     bias = torch.tensor([0.0, z, 0.0])
    ...     print(round(gru_step(torch.ones(1, 2), h, *no_weights, bias, torch.zeros(3)).item(), 4))
    0.7
    0.35
    0.0
    """
    r, z, n = (x @ weight_ih.T + bias_ih).chunk(3, dim=1)  # [B, d] each
    r_h, z_h, n_h = (h @ weight_hh.T + bias_hh).chunk(3, dim=1)
    r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
    n = torch.tanh(n + r * n_h)
    return (1 - z) * n + z * h


def gru_step_paper(x, h, W, U, b):
    """One step of the GRU as the GRU4Rec paper writes it (equations 2-5), with the paper's letters.

    Stacked as in `gru_step`, but here z says how much of the state is overwritten, h' = (1 - z) * h + z * n, and the
    reset gate multiplies before the matrix product, n = tanh(W x + b + U (r * h)). x [B, n], h [B, d], W [3d, n],
    U [3d, d], b [3d] -> h' [B, d].

    Examples
    --------
    The same biases as in `gru_step`, the other convention: where z is 1 the state is overwritten.

    >>> h, no_weights = torch.tensor([[0.7]]), (torch.zeros(3, 2), torch.zeros(3, 1))
    >>> for z in (100.0, 0.0, -100.0):
    ...     print(round(gru_step_paper(torch.ones(1, 2), h, *no_weights,
    ...                                torch.tensor([0.0, z, 0.0])).item(), 4))
    0.0
    0.35
    0.7
    """
    W_r, W_z, W_n = W.chunk(3)
    U_r, U_z, U_n = U.chunk(3)
    b_r, b_z, b_n = b.chunk(3)
    r = torch.sigmoid(x @ W_r.T + h @ U_r.T + b_r)
    z = torch.sigmoid(x @ W_z.T + h @ U_z.T + b_z)
    n = torch.tanh(x @ W_n.T + (r * h) @ U_n.T + b_n)
    return (1 - z) * h + z * n


def gradient_flow(cell, radius, length=50, hidden_size=32, seed=0, *, gate_bias=3.0, n_sequences=16):
    """Gradient norm against distance for a random, untrained cell: the numbers of the gradient-flow explorer.

    Every block of ``weight_hh`` is Gaussian, scaled to the given spectral radius. Inputs are weak Gaussian noise, and
    the cell has run for `length` steps before the first state that is measured. The loss is a random unit direction of
    the last hidden state. The state carried from step to step is h, or (h, c) for the LSTM.

    Parameters
    ----------
    cell : "rnn", "lstm" or "gru"
    radius : float, spectral radius of each recurrent block
    length : int, number of states measured
    hidden_size : int
    gate_bias : float
        Bias of the gate that keeps the state (the LSTM's forget gate, the GRU's z in torch's convention): if the
        weights add nothing, the share sigmoid(gate_bias) of the state is kept at each step.
    n_sequences : int, over which the norm is averaged
    seed : int, of the weights and inputs

    Returns
    -------
    float64 Tensor [length]; entry k is the norm k steps before the loss, entry 0 is 1.

    Raises
    ------
    ValueError
        There is no such cell.

    Examples
    --------
    The gradient 20 steps back, where the recurrent weights halve it at each step: without a gate it vanishes, with an
    open one it does not.

    >>> plain, gated = (gradient_flow(cell, radius=0.5, length=21, hidden_size=8)
    ...                 for cell in ("rnn", "lstm"))
    >>> plain[0].item(), plain[20].item() < 0.5**20, gated[20].item() > 0.1
    (1.0, True, True)
    """
    if cell not in ("rnn", "gru", "lstm"):
        raise ValueError(f"cell={cell!r}; it must be rnn, gru or lstm")
    d, n_blocks = hidden_size, {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weight_hh = torch.cat([u * (radius / spectral_radius(u)) for u in randn(n_blocks, d, d)])  # [n_blocks d, d]
    weight_ih = 0.25 * randn(n_blocks * d, d) / math.sqrt(d)
    x, grad = randn(2 * length - 1, n_sequences, d), randn(n_sequences, d)
    state, grad = torch.zeros_like(grad), grad / grad.norm(dim=1, keepdim=True)
    bias = torch.zeros(n_blocks * d, dtype=torch.float64)
    if n_blocks > 1:
        bias[d : 2 * d] = gate_bias  # the second block is the forget gate of the LSTM and z of the GRU

    def step(x_t, s):
        if cell == "rnn":
            return rnn_step(x_t, s, weight_ih, weight_hh, bias)
        if cell == "gru":
            return gru_step(x_t, s, weight_ih, weight_hh, bias, torch.zeros_like(bias))
        h, c = s.chunk(2, dim=1)
        return torch.cat(lstm_step(x_t, h, c, weight_ih, weight_hh, bias), dim=1)

    if cell == "lstm":  # the carried state is (h, c), and the loss depends on h
        state, grad = torch.cat([state, state], dim=1), torch.cat([grad, torch.zeros_like(grad)], dim=1)
    for x_t in x[:length]:
        state = step(x_t, state)
    return gradient_norms(step, x[length:], state, grad)


# --- A task that needs memory, and its optimum ------------------------------------------------------------


class Score(NamedTuple):
    """How well a classifier answers.

    Examples
    --------
    >>> MemoryTask(n_cues=4).no_memory()
    Score(accuracy=0.25, cross_entropy=1.3862943611198906)
    """

    accuracy: float
    cross_entropy: float  # nats


@dataclass(frozen=True)
class MemoryTask:
    """One click, the cue, mostly decides the target; all others are noise. Predict the target at the end.

    Tokens 0 .. n_cues - 1 are cues, the next n_noise are noise. A sequence has one cue, `distance` steps before its
    end; the target is that cue with probability `keep`, otherwise any of the other cues, each with equal probability.
    So the best possible score is known, whatever the distance; distance=0, the control, needs no memory.

    Raises
    ------
    ValueError
        If a field is not what its annotation allows, or the cue would stand before the first click.

    Examples
    --------
    >>> task = MemoryTask(distance=2, length=4, n_cues=3, keep=0.9)
    >>> x, y = task.sample(1000)
    >>> x.shape, y.shape
    (torch.Size([4, 1000]), torch.Size([1000]))
    >>> (x[1] < 3).all().item()  # the cue stands 2 steps before the last
    True
    >>> [round(p, 2) for p in sorted(task.posterior(x)[0].tolist())], task.optimum().accuracy
    ([0.05, 0.05, 0.9], 0.9)
    """

    distance: Count = 40
    length: Size = 41
    n_cues: Annotated[int, Limit(at_least=2)] = 4
    n_noise: Size = 8
    keep: Share = 0.9

    def __post_init__(self):
        check_settings(self)
        if self.distance >= self.length:
            raise ValueError(f"distance={self.distance}; it must be below length={self.length}")

    @property
    def n_tokens(self):
        """int: cues and noise."""
        return self.n_cues + self.n_noise

    def sample(self, n, seed=0, device="cpu"):
        """n sequences and their targets, the same on every device: x int64 [length, n], y int64 [n]."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randint(self.n_cues, self.n_tokens, (self.length, n), generator=generator)
        cue = torch.randint(self.n_cues, (n,), generator=generator)
        other = (cue + torch.randint(1, self.n_cues, (n,), generator=generator)) % self.n_cues
        x[self.length - 1 - self.distance] = cue
        y = torch.where(torch.rand(n, generator=generator) < self.keep, cue, other)
        return x.to(device), y.to(device)

    def posterior(self, x):
        """The exact P(y | x), float64 [n, n_cues], which depends on the cue alone: x int64 [length, n]."""
        p = torch.full((x.shape[1], self.n_cues), (1 - self.keep) / (self.n_cues - 1),
                       dtype=torch.float64, device=x.device)
        return p.scatter_(1, x[self.length - 1 - self.distance, :, None], self.keep)

    def optimum(self):
        """The expected score of the posterior, in closed form; no model can do better."""
        p = [self.keep] + [(1 - self.keep) / (self.n_cues - 1)] * (self.n_cues - 1)
        return Score(max(p), -sum(q * math.log(q) for q in p if q > 0))

    def no_memory(self):
        """The best score of a model that has forgotten the cue: all answers are equally likely."""
        return Score(1 / self.n_cues, math.log(self.n_cues))


# --- A classifier and its training ------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassifierConfig:
    """Settings of the chapter's own experiment, not of a paper. A value that is not allowed raises ValueError.

    Examples
    --------
    >>> ClassifierConfig(cell="lstm", n_steps=50)
    ClassifierConfig(cell='lstm', hidden_size=32, embedding_size=16, gate_bias=3.0,
        learning_rate=0.003, max_norm=1.0, batch_size=64, n_steps=50)
    """

    cell: Literal["rnn", "lstm", "gru"] = "gru"
    hidden_size: Size = 32
    embedding_size: Size = 16
    gate_bias: float = 3.0  # added to the gate that keeps the state; 0 leaves PyTorch's initialisation
    learning_rate: Rate = 3e-3  # Adam
    max_norm: Rate = 1.0  # of the clipped gradient
    batch_size: Size = 64
    n_steps: Size = 200

    def __post_init__(self):
        check_settings(self)


class Classifier(nn.Module):
    """Embedding, recurrent layer, and scores from the last state: x int64 [T, B] -> logits [B, n_classes].

    Examples
    --------
    >>> task = MemoryTask()
    >>> model = Classifier(task.n_tokens, task.n_cues, ClassifierConfig(cell="rnn"))
    >>> x, y = task.sample(5)
    >>> model(x).shape  # a logit for each of 4 answers
    torch.Size([5, 4])
    """

    def __init__(self, n_tokens, n_classes, config):
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, config.embedding_size)
        layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[config.cell]
        self.cell = layer(config.embedding_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, n_classes)  # the page's V
        self.history = []
        if config.cell != "rnn":
            with torch.no_grad():  # as in `gradient_flow`: the second block keeps the state
                self.cell.bias_ih_l0[config.hidden_size : 2 * config.hidden_size] += config.gate_bias

    def forward(self, x):
        h, _ = self.cell(self.embedding(x))  # [T, B, d]
        return self.output(h[-1])


@torch.no_grad()
def evaluate(model, task, n=4000, seed=0):
    """Score of a model (x int64 [T, B] -> logits [B, n_cues]) on n fresh sequences.

    Examples
    --------
    A model that was never trained does no better than one that forgets the cue.

    >>> task = MemoryTask()
    >>> score = evaluate(Classifier(task.n_tokens, task.n_cues, ClassifierConfig()), task, n=1000)
    >>> abs(score.accuracy - task.no_memory().accuracy) < 0.1
    True
    """
    x, y = task.sample(n, seed, next(model.parameters()).device)
    logits = model(x)
    accuracy = (logits.argmax(dim=1) == y).double().mean().item()
    return Score(accuracy, nn.functional.cross_entropy(logits, y).item())


def fit(task, config=ClassifierConfig(), *, device="auto", seed=0, progress=True):
    """Train a `Classifier` on fresh samples of the task, and keep its score every 25 steps in ``.history``.

    The same seed on the same device gives the same numbers; the caller's random state does not change.

    Parameters
    ----------
    task : MemoryTask
    config : ClassifierConfig
    device : str or torch.device
        ``"auto"`` takes a GPU when there is one.
    seed : int
    progress : bool
        Show a progress bar.

    Returns
    -------
    Classifier

    Raises
    ------
    ValueError
        There is no such device here.

    Examples
    --------
    The control, where the cue is the last click: 100 steps are enough.

    >>> task = MemoryTask(distance=0, length=3)
    >>> model = fit(task, ClassifierConfig(n_steps=100), device="cpu", progress=False)
    >>> [point["step"] for point in model.history]
    [0, 25, 50, 75, 100]
    >>> model.history[0]["accuracy"] < 0.6 < 0.8 < model.history[-1]["accuracy"]
    True
    """
    device = pick_device(device)
    with seeded(seed, device):
        model = Classifier(task.n_tokens, task.n_cues, config).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    with progress_bar(config.n_steps, progress) as bar:
        for step in range(config.n_steps + 1):
            if step % 25 == 0:
                model.history.append({"step": step, **evaluate(model, task, n=1000)._asdict()})
            if step == config.n_steps:
                break
            x, y = task.sample(config.batch_size, seed=(seed + 1) * 1_000_003 + step, device=device)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.max_norm)
            optimizer.step()
            bar.update()
    return model
