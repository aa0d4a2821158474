"""Chapter 1: recurrent cells by hand, back-propagation through time by hand, and how far a gradient reaches.

Letters, here and in every chapter: T steps, B sequences, n inputs, d hidden units. Sequences are time-first,
``x [T, B, n]``; states are ``h [T + 1, B, d]`` with ``h[0]`` the initial one, so step t (from 0) reads
``x[t]`` and ``h[t]`` and writes ``h[t + 1]``. Input weights ``W [d, n]``, recurrent weights ``U [d, d]``,
output weights ``V``. All functions keep the dtype and the device of their inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from tqdm.auto import tqdm

from rnnbook.training import pick_device

# --- the cells, one step each -----------------------------------------------------------------------------


def rnn_step(x, h, W, U, b):
    """One step of the vanilla cell, h' = tanh(W x + U h + b): x [B, n], h [B, d] -> [B, d].

    Examples
    --------
    >>> x, h = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5]])
    >>> W, U, b = torch.tensor([[0.1, 0.2]]), torch.tensor([[0.4]]), torch.tensor([0.3])
    >>> rnn_step(x, h, W, U, b)  # tanh(0.1 + 0.4 + 0.2 + 0.3)
    tensor([[0.7616]])
    """
    return torch.tanh(x @ W.T + h @ U.T + b)


def lstm_step(x, h, c, W, U, b):
    """One step of the LSTM, gates stacked as in torch.nn.LSTM: input, forget, candidate, output.

    x [B, n], h and c [B, d], W [4d, n], U [4d, d], b [4d] (the sum of torch's two biases) -> (h', c').

    Examples
    --------
    With weights 0 the biases alone decide: forget and output gate open, input gate half open, candidate 0. The memory
    stays as it was.

    >>> x, h, c = torch.ones(1, 3), torch.zeros(1, 1), torch.tensor([[2.0]])
    >>> h, c = lstm_step(x, h, c, torch.zeros(4, 3), torch.zeros(4, 1),
    ...                  torch.tensor([0.0, 100.0, 0.0, 100.0]))
    >>> round(c.item(), 4), round(h.item(), 4)  # 2 and tanh(2)
    (2.0, 0.964)
    """
    i, f, g, o = (x @ W.T + h @ U.T + b).chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_step(x, h, W, U, b, b_hidden):
    """One step of the GRU as torch.nn.GRU computes it: gates stacked reset, update, candidate; z keeps.

    The reset gate multiplies after the matrix product, n = tanh(W x + b + r * (U h + b_hidden)), and
    h' = (1 - z) n + z h. x [B, n], h [B, d], W [3d, n], U [3d, d], b and b_hidden [3d] -> [B, d].

    Examples
    --------
    With weights 0 the biases alone decide. Where z is 1 the old state stays, where it is 0 the candidate, here 0, takes
    its place.

    >>> h, no_weights = torch.tensor([[0.7]]), (torch.zeros(3, 2), torch.zeros(3, 1))
    >>> for z in (100.0, 0.0, -100.0):
    ...     b = torch.tensor([0.0, z, 0.0])
    ...     print(round(gru_step(torch.ones(1, 2), h, *no_weights, b, torch.zeros(3)).item(), 4))
    0.7
    0.35
    0.0
    """
    r, z, n = (x @ W.T + b).chunk(3, dim=1)
    r_h, z_h, n_h = (h @ U.T + b_hidden).chunk(3, dim=1)
    r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
    n = torch.tanh(n + r * n_h)
    return (1 - z) * n + z * h


def gru_step_paper(x, h, W, U, b):
    """One step of the GRU as the GRU4Rec paper writes it (eqs. 2-5): same stacking, but here z overwrites.

    The reset gate multiplies before the matrix product, n = tanh(W x + b + U (r * h)), and
    h' = (1 - z) h + z n. Shapes as in `gru_step`, with one bias b [3d].

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


# --- forward and backward through time --------------------------------------------------------------------


def rnn_forward(x, h0, W, U, b):
    """All states of the vanilla RNN: x [T, B, n], h0 [B, d] -> h [T + 1, B, d], h[0] = h0.

    Examples
    --------
    A click at the first step, then silence: what is left of it after each step.

    >>> x = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    >>> W, U, b = torch.ones(1, 1), torch.tensor([[0.5]]), torch.zeros(1)
    >>> rnn_forward(x, torch.zeros(1, 1), W, U, b).flatten()
    tensor([0.0000, 0.7616, 0.3634, 0.1797])
    """
    h = [h0]
    for x_t in x:
        h.append(rnn_step(x_t, h[-1], W, U, b))
    return torch.stack(h)


class RNNGradients(NamedTuple):
    """Gradients of the loss, shaped like what they belong to.

    Examples
    --------
    >>> x, h0 = torch.zeros(5, 2, 3), torch.zeros(2, 4)
    >>> W, U, b = torch.zeros(4, 3), torch.eye(4), torch.zeros(4)
    >>> gradients = rnn_backward(x, rnn_forward(x, h0, W, U, b), torch.ones(5, 2, 4), U)
    >>> {name: tuple(gradient.shape) for name, gradient in gradients._asdict().items()}
    {'W': (4, 3), 'U': (4, 4), 'b': (4,), 'h0': (2, 4)}
    >>> gradients.b  # 5 losses and 2 sequences; the loss of step t reaches t of the biases' uses
    tensor([30., 30., 30., 30.])
    """

    W: torch.Tensor  # [d, n]
    U: torch.Tensor  # [d, d]
    b: torch.Tensor  # [d]
    h0: torch.Tensor  # [B, d]


def rnn_backward(x, h, grad_h, U, truncate=None):
    """Back-propagation through time by hand (the page's equations 4-6).

    Parameters
    ----------
    x : Tensor [T, B, n]
    h : Tensor [T + 1, B, d], from `rnn_forward`
    grad_h : Tensor [T, B, d]
        What each step's own loss says about its state, dL_t/dh_t, before anything comes back through time.
    U : Tensor [d, d]
    truncate : int, optional
        Cut the sequence into chunks of this many steps and let no gradient cross a cut, as
        ``h.detach()`` between chunks does. None: the whole gradient.

    Returns
    -------
    RNNGradients

    Examples
    --------
    By hand as by PyTorch, for the loss that adds up all states.

    >>> shapes = (6, 2, 3), (2, 4), (4, 3), (4, 4), (4,)
    >>> x, h0, W, U, b = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    >>> h = rnn_forward(x, h0, W, U.requires_grad_(), b)
    >>> h[1:].sum().backward()
    >>> h, by_autograd, U = h.detach(), U.grad, U.detach()
    >>> torch.allclose(rnn_backward(x, h, torch.ones(6, 2, 4), U).U, by_autograd)
    True
    >>> torch.allclose(rnn_backward(x, h, torch.ones(6, 2, 4), U, truncate=2).U, by_autograd)
    False
    """
    if truncate is not None and truncate < 1:
        raise ValueError(f"truncate must be at least 1 step, got {truncate}")
    W_grad, U_grad = x.new_zeros(U.shape[0], x.shape[2]), torch.zeros_like(U)
    b_grad, back = x.new_zeros(U.shape[0]), torch.zeros_like(h[0])
    for t in reversed(range(len(x))):
        delta = (grad_h[t] + back) * (1 - h[t + 1] ** 2)  # dL/d(pre-activation) [B, d]; tanh' = 1 - tanh^2
        W_grad += delta.T @ x[t]  # one weight, T uses: their gradients add up
        U_grad += delta.T @ h[t]
        b_grad += delta.sum(dim=0)
        back = delta @ U
        if truncate is not None and t % truncate == 0:
            back = torch.zeros_like(back)
    return RNNGradients(W_grad, U_grad, b_grad, back)


def clip_gradient(gradients, max_norm):
    """Scale all gradients together so that their joint norm is at most max_norm; the direction stays.

    gradients: sequence of Tensors -> (clipped list, the norm before clipping as a 0-d Tensor).

    Examples
    --------
    >>> clipped, norm = clip_gradient([torch.tensor([3.0]), torch.tensor([4.0])], max_norm=1.0)
    >>> clipped, norm
    ([tensor([0.6000]), tensor([0.8000])], tensor(5.))
    """
    norm = torch.stack([g.norm() for g in gradients]).norm()
    scale = (max_norm / norm).clamp(max=1) if norm > 0 else torch.ones_like(norm)
    return [g * scale for g in gradients], norm


# --- how far a gradient reaches ---------------------------------------------------------------------------


def spectral_radius(U):
    """Largest absolute eigenvalue of U [d, d], a 0-d Tensor.

    Examples
    --------
    A quarter turn that doubles lengths: its eigenvalues are 2i and -2i.

    >>> round(spectral_radius(torch.tensor([[0.0, -2.0], [2.0, 0.0]])).item(), 4)
    2.0
    """
    return torch.linalg.eigvals(U).abs().max()


def gradient_norms(step, x, state, grad):
    """Norm of a last-step gradient at every state before it.

    Parameters
    ----------
    step : callable (x_t [B, n], state [B, s]) -> state [B, s]
    x : Tensor [T, B, n]
    state : Tensor [B, s], the first state
    grad : Tensor [B, s], the gradient of a loss with respect to the last state

    Returns
    -------
    Tensor [T + 1]: entry k is the mean over the B sequences of ||dL/ds_{T-k}||; entry 0 is ||grad|| itself.

    Examples
    --------
    A state that halves at every step; what it holds now says a quarter as much two steps on.

    >>> gradient_norms(lambda x, s: 0.5 * s, torch.zeros(3, 1, 1), torch.ones(1, 1),
    ...                torch.ones(1, 1))
    tensor([1.0000, 0.5000, 0.2500, 0.1250])
    """
    states = [state.detach().requires_grad_()]
    for x_t in x:
        states.append(step(x_t, states[-1]))
    gradients = torch.autograd.grad(states[-1], states, grad_outputs=grad)
    return torch.stack([g.norm(dim=1).mean() for g in gradients]).flip(0)


def gradient_flow(cell, radius, length=50, hidden_size=32, seed=0, *, gate_bias=3.0, n_sequences=16):
    """Gradient norm against distance for a random, untrained cell: the numbers of the gradient-flow explorer.

    Every recurrent block U is Gaussian, scaled to the given spectral radius; inputs are weak Gaussian noise,
    and the cell has run for `length` steps before the first state that counts; the loss is a random unit
    direction of the last hidden state. The carried state is h, and for the LSTM (h, c).

    Parameters
    ----------
    cell : "rnn", "lstm" or "gru"
    radius : float, spectral radius of each recurrent block
    length : int, number of states
    gate_bias : float
        Bias of the gate that keeps the state (the LSTM's forget gate, the GRU's z in torch's convention):
        sigmoid(gate_bias) of the state is kept per step if the weights say nothing else.

    Returns
    -------
    float64 Tensor [length]; entry k is the norm k steps before the loss, entry 0 is 1.

    Examples
    --------
    What is left of a gradient 20 steps back, if the recurrent weights halve it and no gate keeps it.

    >>> plain, gated = (gradient_flow(cell, radius=0.5, length=21, hidden_size=8)
    ...                 for cell in ("rnn", "lstm"))
    >>> plain[0].item(), plain[20].item() < 0.5**20, gated[20].item() > 0.1
    (1.0, True, True)
    """
    d, blocks = hidden_size, {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    U = torch.cat([u * (radius / spectral_radius(u)) for u in randn(blocks, d, d)])
    W = 0.25 * randn(blocks * d, d) / math.sqrt(d)
    x, grad = randn(2 * length - 1, n_sequences, d), randn(n_sequences, d)
    state, grad = torch.zeros_like(grad), grad / grad.norm(dim=1, keepdim=True)
    b = torch.zeros(blocks * d, dtype=torch.float64)
    if blocks > 1:
        b[d : 2 * d] = gate_bias  # the second block is the forget gate of the LSTM and z of the GRU

    def step(x_t, s):
        if cell == "rnn":
            return rnn_step(x_t, s, W, U, b)
        if cell == "gru":
            return gru_step(x_t, s, W, U, b, torch.zeros_like(b))
        h, c = s.chunk(2, dim=1)
        return torch.cat(lstm_step(x_t, h, c, W, U, b), dim=1)

    if cell == "lstm":  # the carried state is (h, c); the loss looks at h
        state, grad = torch.cat([state, state], dim=1), torch.cat([grad, torch.zeros_like(grad)], dim=1)
    for x_t in x[:length]:
        state = step(x_t, state)
    return gradient_norms(step, x[length:], state, grad)


# --- a task that needs memory, with a known optimum -------------------------------------------------------


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
    """One click tells what the visitor came for, the others are noise; name it `distance` steps later.

    Tokens 0 .. n_cues - 1 are cues, the next n_noise are noise. A sequence has one cue, `distance` steps
    before its end; the target is that cue with probability `keep`, else one of the other cues, all alike. So
    the best possible score is known, whatever the distance; distance=0, the control, needs no memory.

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

    distance: int = 40
    length: int = 41
    n_cues: int = 4
    n_noise: int = 8
    keep: float = 0.9

    def __post_init__(self):
        if not 0 <= self.distance < self.length:
            raise ValueError(f"distance must be in 0 .. length - 1 = {self.length - 1}, got {self.distance}")

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
        """The exact P(y | x), float64 [n, n_cues], by reading the cue where it stands."""
        p = torch.full((x.shape[1], self.n_cues), (1 - self.keep) / (self.n_cues - 1),
                       dtype=torch.float64, device=x.device)
        return p.scatter_(1, x[self.length - 1 - self.distance, :, None], self.keep)

    def optimum(self):
        """The expected score of the posterior, in closed form; nothing can do better."""
        p = [self.keep] + [(1 - self.keep) / (self.n_cues - 1)] * (self.n_cues - 1)
        return Score(max(p), -sum(q * math.log(q) for q in p if q > 0))

    def no_memory(self):
        """The best score of a model that has forgotten the cue: every answer alike."""
        return Score(1 / self.n_cues, math.log(self.n_cues))


@dataclass(frozen=True)
class ClassifierConfig:
    """Settings of the chapter's experiment; no paper's.

    Examples
    --------
    >>> ClassifierConfig(cell="lstm", n_steps=50)
    ClassifierConfig(cell='lstm', hidden_size=32, embedding_size=16, gate_bias=3.0,
        learning_rate=0.003, max_norm=1.0, batch_size=64, n_steps=50)
    """

    cell: str = "gru"  # "rnn", "lstm" or "gru"
    hidden_size: int = 32
    embedding_size: int = 16
    gate_bias: float = 3.0  # added to the gate that keeps the state; 0 leaves PyTorch's initialisation
    learning_rate: float = 3e-3  # Adam
    max_norm: float = 1.0  # of the clipped gradient
    batch_size: int = 64
    n_steps: int = 200


class Classifier(nn.Module):
    """Embedding -> recurrent cell -> the last state through V: x int64 [T, B] -> logits [B, n_classes].

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
        cell = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[config.cell]
        self.cell = cell(config.embedding_size, config.hidden_size)
        self.V = nn.Linear(config.hidden_size, n_classes)
        self.history = []
        if config.cell != "rnn":
            with torch.no_grad():  # as in `gradient_flow`: the second block keeps the state
                self.cell.bias_ih_l0[config.hidden_size : 2 * config.hidden_size] += config.gate_bias

    def forward(self, x):
        h, _ = self.cell(self.embedding(x))  # [T, B, d]
        return self.V(h[-1])


@torch.no_grad()
def evaluate(model, task, n=4000, seed=0):
    """Score of a model (x [T, B] -> logits [B, n_cues]) on n fresh sequences.

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

    Same seed, same device, same numbers; the caller's random state is left alone.

    Examples
    --------
    The control, where the cue is the last click: 100 steps teach it.

    >>> task = MemoryTask(distance=0, length=3)
    >>> model = fit(task, ClassifierConfig(n_steps=100), device="cpu", progress=False)
    >>> [point["step"] for point in model.history]
    [0, 25, 50, 75, 100]
    >>> model.history[0]["accuracy"] < 0.6 < 0.8 < model.history[-1]["accuracy"]
    True
    """
    device = pick_device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(task.n_tokens, task.n_cues, config).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    for step in tqdm(range(config.n_steps + 1), desc=f"{config.cell}, distance {task.distance}",
                     disable=not progress):
        if step % 25 == 0:
            model.history.append({"step": step, **evaluate(model, task, n=1000)._asdict()})
        x, y = task.sample(config.batch_size, seed=(seed + 1) * 1_000_003 + step, device=device)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.max_norm)
        optimizer.step()
    return model
