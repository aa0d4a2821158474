"""Data parallelism: several processes train one GRU4Rec, on one or more machines.

Each process, called a *rank*, has the whole model and a part of the lanes with their sessions. In a step it computes
the gradients of its own sessions. Then the gradients of all ranks are summed, and every rank makes the same update. So
the copies of the model stay equal, and the weights are never sent.

Every rank draws the random numbers of all lanes. So the result does not depend on the number of ranks. Except for
rounding, it is that of `gru4rec.fit` with the same batch size. A run can be continued with another number of ranks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from datetime import timedelta
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from rnnbook import gru4rec, metrics, training
from rnnbook.data import load_sessions
from rnnbook.gru4rec import GRU4RecConfig
from rnnbook.training.lanes import lanes_of, rows_to_lanes


class _RankLost(RuntimeError):
    """Another rank does not answer."""


class Ranks:
    """Connects this process to the others that train with it: by NCCL on GPUs, by Gloo on CPUs.

    Parameters
    ----------
    device : str
        ``"auto"`` takes this rank's GPU if there is one, ``"cuda"`` insists on one, and ``"cpu"`` takes none.
    timeout : float
        The seconds that a sum waits for the other ranks. The first ``Ranks`` of a process determines it.

    Raises
    ------
    ValueError
        Another device is asked for, and there is no CUDA GPU.

    Attributes
    ----------
    rank, n : int
        The number of this rank, from 0, and the number of ranks.
    device : torch.device

    Examples
    --------
    A program that was started as a single process has one rank.

    >>> ranks = Ranks("cpu")
    >>> ranks.rank, ranks.n, ranks.device
    (0, 1, device(type='cpu'))
    """

    def __init__(self, device="auto", timeout=300):
        from accelerate import Accelerator  # imported here, so that the rest of this module works without it
        from accelerate.utils import InitProcessGroupKwargs

        if device not in ("auto", "cpu", "cuda"):
            raise ValueError(f'device={device!r}; it must be "auto", "cpu" or "cuda", where each rank gets a GPU')
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError(f'device={device!r}: PyTorch finds no CUDA GPU here. Give "auto" or "cpu"')
        # Without a GPU, cpu=True is necessary: otherwise Accelerate would let each process train by itself.
        self.accelerator = Accelerator(cpu=device == "cpu" or not torch.cuda.is_available(), kwargs_handlers=[
            InitProcessGroupKwargs(timeout=timedelta(seconds=timeout))])
        self.rank, self.n = self.accelerator.process_index, self.accelerator.num_processes
        self.device, self.timeout = self.accelerator.device, timeout

    def sum(self, tensors):
        """Sum tensors over the ranks. Every rank gets the sums.

        The tensors are sent as one message, because every message has a latency, however short it is.

        Parameters
        ----------
        tensors : list of Tensor
            All of one dtype. Every rank passes the same number of tensors, with the same shapes.

        Returns
        -------
        list of Tensor
            With the same shapes.

        Examples
        --------
        >>> Ranks("cpu").sum([torch.ones(2), torch.zeros(1, 1)])
        [tensor([1., 1.]), tensor([[0.]])]
        """
        joined = torch.cat([t.reshape(-1) for t in tensors])
        try:
            total = self.accelerator.reduce(joined, "sum")
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise _RankLost(f"rank {self.rank} of {self.n} lost another") from error
        return [part.view_as(t) for part, t in zip(total.split([t.numel() for t in tensors]), tensors)]


def fit(train, config=GRU4RecConfig(), *, device="auto", seed=0, valid=None, patience=3, checkpoint=None,
        progress=True, callback=None, start=None, epoch=None, evaluate=metrics.evaluate_sessions, timeout=300):
    """Train as `gru4rec.fit` does, with all launched ranks. Each of them calls this with the same arguments.

    Parameters
    ----------
    train : SessionData
    config : GRU4RecConfig
        ``batch_size`` is the total over all ranks. It must be a multiple of their number.
    device : str
        ``"auto"`` takes one GPU per rank if there are GPUs; ``"cpu"`` does not.
    seed, valid, patience, progress, callback, start
        As in `gru4rec.fit`. Each rank evaluates its part of ``valid``. Only rank 0 shows progress and calls
        ``callback``.
    epoch : callable, optional
        By default `train_epoch`; or another function with the same arguments, such as `fast.train_epoch_of_ranks`.
    evaluate : callable(model, data, k, n_boot) -> metrics.SessionScores
        The function that scores a rank's part of ``valid``, such as `fast.evaluate_sessions`.
    checkpoint : path, optional
        A folder that all ranks can read. Rank 0 writes it about 20 times an epoch. `gru4rec.fit`, and any number of
        ranks, can resume from it.
    timeout : float
        The seconds that a rank waits for the others.

    Returns
    -------
    GRU4Rec
        The same on every rank, in evaluation mode.

    Raises
    ------
    RuntimeError
        On the remaining ranks, if one died or does not answer. The message names the epoch and the checkpoint.
    ValueError
        The ranks have different arguments, or ``batch_size`` is not a multiple of their number.

    Examples
    --------
    With one rank the result is that of `gru4rec.fit`.

    >>> from rnnbook.worlds import SessionWorld
    >>> train = SessionWorld(n_items=30).sample(60)
    >>> config = GRU4RecConfig(hidden_size=8, batch_size=8, n_sample=8, n_epochs=2)
    >>> model = fit(train, config, device="cpu", progress=False)
    >>> alone = gru4rec.fit(train, config, device="cpu", progress=False)
    >>> torch.allclose(model.output, alone.output, atol=1e-5)
    True
    """
    ranks, epoch, epochs = Ranks(device, timeout), epoch or train_epoch, 0

    def one_epoch(*arguments):
        nonlocal epochs
        epochs += 1
        return epoch(ranks, *arguments)

    try:
        # Epoch functions may sum gradients of different sizes, so all ranks must use the same one.
        identity = training.identity(config, train, valid, seed, n_epochs=config.n_epochs, patience=patience,
                                     start=start and training.digest_of(start), epoch=epoch.__qualname__)
        epochs = _agree(ranks, identity, checkpoint)
        model = gru4rec.fit(
            train, config, device=ranks.device, seed=seed, valid=valid, patience=patience, checkpoint=checkpoint,
            start=start, epoch=one_epoch, evaluate=partial(evaluate_share, ranks, evaluate), writes=ranks.rank == 0,
            progress=progress and ranks.rank == 0, callback=callback if ranks.rank == 0 else None)
        ranks.sum([torch.zeros(1, device=ranks.device)])  # wait until rank 0 has written the last checkpoint
    except _RankLost as error:
        now = f"in epoch {epochs}" if epochs else "before the first epoch"
        then = "there is no checkpoint to go on from" if checkpoint is None else (
            f"start again, on any number of ranks, with checkpoint={str(checkpoint)!r}: it goes on from where that was "
            "written last")
        raise RuntimeError(f"{error} {now}: a process died, and has said why if it could, or did not answer for "
                           f"{timeout} s; {then}") from error.__cause__
    return model


def _agree(ranks, identity, checkpoint):
    """The number of epochs in the checkpoint. Every rank raises ValueError if their arguments or checkpoints differ."""
    there = checkpoint is not None and training.find_checkpoint(checkpoint)
    saved = Path(checkpoint, "info.json").read_bytes() if there else b""
    digest = hashlib.sha256(json.dumps(identity).encode() + saved).digest()
    digests = torch.zeros(ranks.n, dtype=torch.int64, device=ranks.device)
    digests[ranks.rank] = int.from_bytes(digest[:7])
    digests = ranks.sum([digests])[0].tolist()
    others = [rank for rank, other in enumerate(digests) if other != digests[0]]
    if others:
        raise ValueError(f"ranks {others} differ from rank 0 in data, settings, seed or epoch function, or cannot read "
                         f"its checkpoint {checkpoint}; start all with the same arguments and one shared folder")
    return len(json.loads(saved)["history"]) if saved else 0


def train_epoch(ranks, model, optimizer, sampler, schedule, items, steps, lanes, report):
    """Train as `gru4rec.train_epoch` does, on this rank's lanes. When they have ended, the rank adds zeros to the sums.

    Parameters
    ----------
    ranks : Ranks
    model, optimizer, sampler
        As in `gru4rec.train_epoch`.
    schedule : gru4rec.Schedule
        The schedule of all ranks.
    items : Tensor, int64 [n_events]
        The item of each event; the positions of the schedule are indices into it.
    steps : range
        The steps to train on.
    lanes : list of Tensor, float [batch_size, hidden_size]
        The initial state, a row for each lane of all ranks.
    report : callable(int, Tensor, int, callable)
        Called after each window with the number of completed steps, the sum of the losses over all ranks, the number
        of predictions over all ranks, and a function that returns the state of all lanes if all ranks call it.

    Examples
    --------
    Two sessions in one lane have three steps. This call trains on the first two.

    >>> from rnnbook.gru4rec import GRU4Rec, NegativeSampler, session_parallel
    >>> model = GRU4Rec(["a", "b", "c"], GRU4RecConfig(batch_size=1, n_sample=4))
    >>> optimizer = training.Adagrad(model.named_parameters(), lr=0.1)
    >>> sampler = NegativeSampler([1, 2, 2], n_sample=4, alpha=0.5, device="cpu", n_steps=2)
    >>> items, schedule, losses = torch.tensor([0, 1, 2, 1, 2]), session_parallel([0, 3, 5], 1), []
    >>> train_epoch(Ranks("cpu"), model, optimizer, sampler, schedule, items, range(2),
    ...             model.initial_state(1), report=lambda t, loss, *_: losses.append(loss.item()))
    >>> len(losses), min(losses) > 0
    (2, True)
    """
    own, first = lanes_of(schedule, ranks.rank, ranks.n)
    position = torch.from_numpy(schedule.position).to(model.device)
    everyone = zip(pairwise(schedule.offsets.tolist()), first.tolist(), own.steps(model.device))
    before = torch.from_numpy(own.lanes(max(steps.start - 1, 0))).to(model.device)
    state, window = [h[before] for h in lanes], []

    def lanes_after(t, state):
        return ranks.sum(rows_to_lanes(state, own.lanes(t), schedule.batch_size))

    for t, ((lo, hi), start, (_, reset, live)) in zip(steps, islice(everyone, steps.start, None)):
        window.append((items[position[lo:hi]], items[position[lo:hi] + 1], start, reset, live))
        if len(window) == model.config.bptt or t == steps[-1]:
            loss, state = train_step(ranks, model, optimizer, sampler, window, state)
            report(t + 1, loss, sum(len(y) for _, y, *_ in window), partial(lanes_after, t, state))
            window = []


def train_step(ranks, model, optimizer, sampler, window, state):
    """Make one update as `gru4rec.train_step` does, from this rank's rows. The gradients are summed over the ranks.

    Every rank has the whole schedule, so it knows the input items and targets of all rows. The extra negatives come
    from the same random numbers. So every rank gathers the same table rows in the same order, and has a gradient for
    each of them. The gradient is zero for rows that its own sessions do not use. Only gradients and the loss are sent.

    Parameters
    ----------
    ranks : Ranks
    model, optimizer, sampler
        As in `gru4rec.train_step`.
    window : list of (x, y, first, reset, live)
        One entry per step: input items and targets of all ranks, int64 [B]; the position of the first of this rank's
        B/n rows among them; their reset mask, bool [B/n]; and the rows of this rank's previous state that are kept.
    state : list of Tensor, float [B/n, hidden_size]

    Returns
    -------
    loss : Tensor, a scalar
        The sum over the rows of all ranks.
    state : list of Tensor, float [B/n, hidden_size]

    Examples
    --------
    One step with two lanes, as in `gru4rec.train_step`. The only rank has both lanes.

    >>> from rnnbook.gru4rec import GRU4Rec, NegativeSampler
    >>> model = GRU4Rec(["a", "b", "c"], GRU4RecConfig(hidden_size=4, batch_size=2))
    >>> optimizer = training.Adagrad(model.named_parameters(), lr=0.1)
    >>> sampler = NegativeSampler([1, 2, 1], n_sample=5, alpha=0.5, device="cpu", n_steps=1)
    >>> new = torch.tensor([True, True])
    >>> window = [(torch.tensor([0, 1]), torch.tensor([1, 2]), 0, new, None)]
    >>> state = model.initial_state(2)
    >>> loss, state = train_step(Ranks("cpu"), model, optimizer, sampler, window, state)
    >>> loss.shape, state[0].shape
    (torch.Size([]), torch.Size([2, 4]))
    """
    return gru4rec.train_step(model, optimizer, sampler, window, state, forward=forward_window, combine=ranks.sum)


def forward_window(model, sampler, window, state, rows):
    """Compute `gru4rec.forward_window` for this rank's rows.

    Parameters
    ----------
    model : GRU4Rec
    sampler : gru4rec.NegativeSampler
    window : list of (x, y, first, reset, live)
        As in `train_step`.
    state : list of Tensor, float [B/n, hidden_size]
    rows : training.UsedRows

    Returns
    -------
    loss : Tensor, a scalar
        The sum over this rank's rows.
    state : list of Tensor, float [B/n, hidden_size]

    Examples
    --------
    Two lanes. This rank has the second one, in which a session starts.

    >>> from rnnbook.gru4rec import GRU4Rec, NegativeSampler
    >>> from rnnbook.training import UsedRows
    >>> model = GRU4Rec(["a", "b", "c"], GRU4RecConfig(hidden_size=4, batch_size=2))
    >>> sampler = NegativeSampler([1, 2, 1], n_sample=5, alpha=0.5, device="cpu", n_steps=1)
    >>> window = [(torch.tensor([0, 1]), torch.tensor([1, 2]), 1, torch.tensor([True]), None)]
    >>> loss, state = forward_window(model, sampler, window, model.initial_state(1), UsedRows(model))
    >>> loss.shape, state[0].shape
    (torch.Size([]), torch.Size([1, 4]))
    """
    loss = torch.zeros((), device=model.device)
    for x, y, first, reset, live in window:
        n, mine = len(y), slice(first, first + len(reset))
        columns = torch.cat([y, sampler.next()])
        inputs = rows.read(model.input_table, x)[mine]
        state = _forward(model, inputs, gru4rec.carry_state(state, reset, live), mine, n)
        # A loss expects the target of row i in column i, so this rank's targets come first, then those of the others.
        own, output, bias = (torch.cat([all_rows[first:n], all_rows[:first], all_rows[n:]])
                             for all_rows in (columns, rows.read("output", columns), rows.read("bias", columns)))
        scores = F.linear(model.readout(state), output, bias).to(model.output.dtype)
        loss = loss + gru4rec.step_loss(model.config, scores, own, sampler, n_targets=n).sum()
    return loss, state


def _forward(model, x, state, mine, n):
    """Compute `GRU4Rec.step` in training for the rows ``mine`` of ``n``; every rank draws the dropout of all ``n``."""
    def dropout(x, p):
        return x * F.dropout(x.new_ones(n, x.shape[1]), p)[mine] if p else x

    x, new = dropout(x, model.config.embedding_dropout), []
    for layer, h in zip(model.layers, state):
        x = dropout(layer(x, h), model.config.hidden_dropout)
        new.append(x)
    return new


def step_bytes(model):
    """The bytes that a rank contributes to the sums of one update: its gradients and its loss. Returns an int.

    With d hidden units, B lanes and S extra negatives, these are the gradients of the GRU's weights, of B input rows,
    and of B + S output rows and biases. The number does not depend on the size of the catalogue. The compiled step
    sends each row once, so it sends at most this.

    Examples
    --------
    The GRU has 3·8·(8 + 8) weights and 2·3·8 biases. Then come 4 input rows, 10 output rows with their biases, and the
    loss.

    >>> from rnnbook.gru4rec import GRU4Rec
    >>> config = GRU4RecConfig(hidden_size=8, batch_size=4, n_sample=6)
    >>> step_bytes(GRU4Rec(range(1000), config)) == 4 * (384 + 48 + 4 * 8 + 10 * 9 + 1)
    True
    """
    config = model.config
    dense = sum(p.numel() for p in model.dense.values())
    rows = (config.batch_size * getattr(model, model.input_table).shape[1]
            + (config.batch_size + config.n_sample) * (model.output.shape[1] + 1))
    return model.output.element_size() * (dense + config.bptt * rows + 1)


def evaluate_share(ranks, evaluate, model, data, k=20):
    """Score a model with all ranks: each of n ranks evaluates every n-th session.

    Parameters
    ----------
    ranks : Ranks
    evaluate : callable(model, data, k, n_boot) -> metrics.SessionScores
    model, data, k
        As in `metrics.evaluate_sessions`.

    Returns
    -------
    ShareScores
        The scores over all sessions, the same on every rank.

    Raises
    ------
    ValueError
        No session has two events.

    Examples
    --------
    >>> from rnnbook.gru4rec import GRU4Rec
    >>> from rnnbook.worlds import SessionWorld
    >>> data = SessionWorld(n_items=30).sample(50)
    >>> model = GRU4Rec(data.item_ids, GRU4RecConfig(hidden_size=4))
    >>> scores = evaluate_share(Ranks("cpu"), metrics.evaluate_sessions, model, data)
    >>> whole = metrics.evaluate_sessions(model, data)
    >>> abs(scores.recall - whole.recall) < 1e-12, abs(scores.mrr - whole.mrr) < 1e-12
    (True, True)
    """
    sums = torch.zeros(3, dtype=torch.float64, device=ranks.device)
    long = np.flatnonzero(data.lengths > 1)
    if not len(long):
        raise ValueError(f"nothing to predict: none of the {data.n_sessions} sessions has two events")
    own = long[ranks.rank::ranks.n]
    if len(own):
        scores = evaluate(model, data.take(own), k=k, n_boot=1)
        sums += sums.new_tensor([scores.recall, scores.mrr, 1]) * scores.n_predictions
    recall, mrr, n = ranks.sum([sums])[0].tolist()
    return ShareScores(recall / n, mrr / n)


class ShareScores(NamedTuple):
    """The scores that `evaluate_share` returns, over all ranks.

    Examples
    --------
    >>> ShareScores(recall=0.5, mrr=0.25).recall
    0.5
    """

    recall: float
    mrr: float


def _main(argv=None):
    parser = argparse.ArgumentParser(prog="accelerate launch -m rnnbook.distributed",
                                     description="Train GRU4Rec with as many ranks as are launched, and test it.")
    parser.add_argument("--data", default="session-world", help="a name, a table or a folder, as for load_sessions")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64, help="lanes of all ranks together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu"])
    parser.add_argument("--fast", action="store_true", help="the compiled step and evaluation, on CPUs")
    parser.add_argument("--checkpoint", help="a folder that all ranks share: written, and continued from if it exists")
    args = parser.parse_args(argv)
    train, test = load_sessions(args.data)
    config = GRU4RecConfig(batch_size=args.batch_size, n_epochs=args.epochs)
    compiled = {}
    if args.fast:
        from rnnbook import fast  # needs Numba

        compiled = {"epoch": fast.train_epoch_of_ranks, "evaluate": fast.evaluate_sessions}
    model = fit(train, config, device=args.device, seed=args.seed, checkpoint=args.checkpoint, **compiled)
    ranks = Ranks(args.device)
    scores = evaluate_share(ranks, compiled.get("evaluate", metrics.evaluate_sessions), model, test)
    if ranks.rank == 0:
        print(f"{train.name}, {ranks.n} rank{'s' * (ranks.n > 1)}, {len(model.history)} epochs: "
              f"loss {model.history[-1]['loss']:.4f}, Recall@20 {scores.recall:.4f}, MRR@20 {scores.mrr:.4f}")
    ranks.accelerator.end_training()


if __name__ == "__main__":
    _main()
