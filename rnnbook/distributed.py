"""Data parallelism: several processes train one GRU4Rec, on one machine or on many.

Each process, called a *rank*, holds the whole model and a share of the lanes, and with the lanes their sessions. In a
step it reads its own sessions and works out what they have to say about the weights; then the gradients of all ranks
are added up, and every rank makes the same update. So the replicas stay the same without ever being sent.

Random numbers are drawn for all lanes by every rank. That makes the result independent of the number of ranks: but for
rounding it is what `gru4rec.fit` gets at the same batch size, and a run may go on with more ranks than it began with.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from datetime import timedelta
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from rnnbook import gru4rec, metrics, training
from rnnbook.data import load_sessions
from rnnbook.gru4rec import GRU4RecConfig, Schedule


class _RankLost(RuntimeError):
    """Another rank does not answer."""


class Ranks:
    """The processes that train together, as one of them sees them: NCCL connects GPUs, Gloo CPUs.

    Parameters
    ----------
    device : str
        ``"auto"`` takes this rank's GPU where there is one, ``"cpu"`` does not.
    timeout : float
        Seconds that the others may be late for a sum. Set by the first ``Ranks`` of a process.

    Examples
    --------
    A program that was not launched as several has one rank.

    >>> ranks = Ranks("cpu")
    >>> ranks.rank, ranks.n, ranks.device
    (0, 1, device(type='cpu'))
    """

    def __init__(self, device="auto", timeout=300):
        from accelerate import Accelerator  # here, so that shares and sizes can be looked at without it
        from accelerate.utils import InitProcessGroupKwargs

        # Asked for a GPU where there is none, Accelerate would let each process train alone.
        self.accelerator = Accelerator(cpu=device == "cpu" or not torch.cuda.is_available(), kwargs_handlers=[
            InitProcessGroupKwargs(timeout=timedelta(seconds=timeout))])
        self.rank, self.n = self.accelerator.process_index, self.accelerator.num_processes
        self.device, self.timeout = self.accelerator.device, timeout

    def sum(self, tensors):
        """Add up the ranks' tensors, each with its counterparts of the same shape; every rank gets all the sums.

        They travel as one: a message costs a wait, however short it is.

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


def lanes_of(schedule, rank, n):
    """The share of one of ``n`` ranks in a schedule: ``batch_size / n`` lanes that are neighbours.

    A session stays in its lane, so it is read by one rank, which carries its hidden state alone.

    Parameters
    ----------
    schedule : gru4rec.Schedule
    rank, n : int

    Returns
    -------
    own : gru4rec.Schedule
        The entries of this rank, in as many steps as the whole has; where its lanes have ended, steps are empty.
    first : ndarray, int64 [n_steps]
        Where they begin among the entries of all ranks.

    Examples
    --------
    Two lanes, four steps; the lane of rank 1 ends after the second.

    >>> from rnnbook.gru4rec import session_parallel
    >>> schedule = session_parallel(np.array([0, 3, 5, 9]), batch_size=2)
    >>> own, first = lanes_of(schedule, rank=1, n=2)
    >>> [schedule.position[a:b].tolist() for a, b in pairwise(schedule.offsets)]
    [[0, 3], [1, 5], [6], [7]]
    >>> [own.position[a:b].tolist() for a, b in pairwise(own.offsets)], first.tolist()
    ([[3], [5], [6], [7]], [1, 1, 0, 0])
    """
    if schedule.batch_size % n:
        raise ValueError(f"batch_size={schedule.batch_size} can't be shared equally by {n} ranks; take a multiple")
    owner = schedule.lane // (schedule.batch_size // n)

    def until(chosen):  # how many entries of these there are before each step
        return np.concatenate([[0], np.cumsum(chosen)])[schedule.offsets]

    mine = owner == rank
    own = Schedule(schedule.position[mine], schedule.lane[mine], schedule.session[mine], schedule.reset[mine],
                   schedule.keep[mine], until(mine), schedule.batch_size // n)
    return own, np.diff(until(owner < rank))


def fit_distributed(train, config=GRU4RecConfig(), *, device="auto", seed=0, valid=None, patience=3, checkpoint=None,
                    progress=True, callback=None, fast=False, timeout=300):
    """`gru4rec.fit` by as many ranks as were launched; each of them calls it with the same arguments.

    Parameters
    ----------
    train : SessionData
    config : GRU4RecConfig
        ``batch_size`` is that of all ranks together, and a multiple of their number.
    device : str
        ``"auto"`` takes GPUs, one for each rank, where there are any; ``"cpu"`` does not.
    seed, valid, patience, progress, callback, fast
        As in `gru4rec.fit`. Each rank evaluates its share of ``valid``; rank 0 alone shows progress and calls back.
    checkpoint : path, optional
        A folder that all ranks can read; rank 0 writes it about 20 times an epoch. `gru4rec.fit` and any number of
        ranks can go on from it.
    timeout : float
        Seconds after which a rank that does not answer is given up.

    Returns
    -------
    GRU4Rec
        The same on every rank, in evaluation mode.

    Raises
    ------
    RuntimeError
        On the ranks that are left, when one died or hangs; names the epoch and the checkpoint.

    Examples
    --------
    With one rank it is `gru4rec.fit`.

    >>> from rnnbook.worlds import SessionWorld
    >>> train = SessionWorld(n_items=30).sample(60)
    >>> config = GRU4RecConfig(hidden_size=8, batch_size=8, n_sample=8, n_epochs=2)
    >>> model = fit_distributed(train, config, device="cpu", progress=False)
    >>> alone = gru4rec.fit(train, config, device="cpu", progress=False)
    >>> torch.allclose(model.output, alone.output, atol=1e-5)
    True
    """
    ranks, epochs = Ranks(device, timeout), 0
    compiled = gru4rec._compiled(lambda fast: fast.unsupported(config, ranks.device),
                                 "the readable step trains") if fast else None

    def one_epoch(*arguments):
        nonlocal epochs
        epochs += 1
        return (compiled.train_epoch_of_ranks if compiled else train_epoch)(ranks, *arguments)

    def validate(model):
        return evaluate(ranks, model, valid, fast=compiled is not None)

    try:
        # What the compiled step sums has other sizes.
        epochs = _agree(ranks, training.identity(config, train, valid, seed, patience=patience,
                                                 compiled=compiled is not None), checkpoint)
        model = gru4rec._fit(
            train, config, ranks.device, one_epoch, validate, seed=seed, valid=valid, patience=patience,
            checkpoint=checkpoint, writes=ranks.rank == 0, progress=progress and ranks.rank == 0,
            callback=callback if ranks.rank == 0 else None)
        ranks.sum([torch.zeros(1, device=ranks.device)])  # nobody leaves before rank 0 has written the checkpoint
    except _RankLost as error:
        now = f"in epoch {epochs}" if epochs else "before the first epoch"
        then = "there is no checkpoint to go on from" if checkpoint is None else (
            f"start again, on any number of ranks, with checkpoint={str(checkpoint)!r}: it goes on from where that was "
            "written last")
        raise RuntimeError(f"{error} {now}: a process died, and has said why if it could, or did not answer for "
                           f"{timeout} s; {then}") from error.__cause__
    return model


def _agree(ranks, identity, checkpoint):
    """How many epochs the checkpoint has; a ValueError on every rank unless all are about to train the same from it."""
    there = checkpoint is not None and training.find_checkpoint(checkpoint)
    saved = Path(checkpoint, "info.json").read_bytes() if there else b""
    digest = hashlib.sha256(json.dumps(identity).encode() + saved).digest()
    digests = torch.zeros(ranks.n, dtype=torch.int64, device=ranks.device)
    digests[ranks.rank] = int.from_bytes(digest[:7])
    digests = ranks.sum([digests])[0].tolist()
    others = [rank for rank, other in enumerate(digests) if other != digests[0]]
    if others:
        raise ValueError(f"ranks {others} have other data, settings, seeds or another step than rank 0, or do not see "
                         f"its checkpoint {checkpoint}; all need the same arguments and one folder that they share")
    return len(json.loads(saved)["history"]) if saved else 0


def train_epoch(ranks, model, optimizer, sampler, schedule, items, steps, lanes, report):
    """`gru4rec.train_epoch` with this rank's lanes; a rank whose lanes have ended goes on adding zeros to the sums.

    Parameters
    ----------
    ranks : Ranks
    schedule : gru4rec.Schedule
        Of all ranks.
    items : Tensor, int64 [n_events]
        What the positions of the schedule are of.
    steps : range
    lanes : list of Tensor, float [batch_size, hidden_size]
        The state to begin with, a row for each lane of all ranks.
    report : callable(int, Tensor, int, callable)
        Hears, after each window, how many steps are done, the sum of its losses over all ranks, of how many, and what
        gives the lanes to go on with if all ranks call it.

    Examples
    --------
    Two sessions, one lane: three steps, of which the epoch here has the first two.

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
    everyone = zip(pairwise(schedule.offsets.tolist()), first.tolist(), gru4rec._steps(own, model.device))
    before = torch.from_numpy(own.lanes(max(steps.start - 1, 0))).to(model.device)
    state, window = [h[before] for h in lanes], []

    def lanes_after(t, state):
        return ranks.sum(gru4rec.rows_to_lanes(state, own.lanes(t), schedule.batch_size))

    for t, ((lo, hi), start, (_, reset, live)) in zip(steps, islice(everyone, steps.start, None)):
        window.append((items[position[lo:hi]], items[position[lo:hi] + 1], start, reset, live))
        if len(window) == model.config.bptt or t == steps[-1]:
            loss, state = train_step(ranks, model, optimizer, sampler, window, state)
            report(t + 1, loss, sum(len(y) for _, y, *_ in window), partial(lanes_after, t, state))
            window = []


def train_step(ranks, model, optimizer, sampler, window, state):
    """`gru4rec.train_step` on this rank's rows, with the sum over the ranks between the gradients and the update.

    Which items all rows read and aim at stands in the schedule, which every rank has, and the extra negatives come from
    the same random numbers. So every rank gathers the same rows of the tables, in the same order, has a gradient for
    each of them, zero for those that its own sessions do not touch, and nothing but gradients is sent.

    Parameters
    ----------
    window : list of (x, y, first, reset, live)
        Input items and targets int64 [B] of all ranks, where this rank's B/n begin among them, their reset mask
        bool [B/n], and the rows of its last state that live on.
    state : list of Tensor, float [B/n, hidden_size]

    Returns
    -------
    loss : Tensor
        Sum over the rows of all ranks.
    state : list of Tensor

    Examples
    --------
    Two lanes, a step each, as in `gru4rec.train_step`; the one rank has them both.

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
    config = model.config
    leaves: dict[str, list] = {}  # table -> its rows, and what was read from them

    def rows_of(name, rows):
        leaf = getattr(model, name).detach().index_select(0, rows).requires_grad_()
        leaves.setdefault(name, []).append((rows, leaf))
        return leaf

    state, loss = [h.detach() for h in state], torch.zeros((), device=model.device)
    for x, y, first, reset, live in window:
        n, mine = len(y), slice(first, first + len(reset))
        columns = torch.cat([y, sampler.next()])
        state = _forward(model, rows_of(model.input_table, x)[mine], gru4rec._hand_over(state, reset, live), mine, n)
        # A loss looks for the target of row i in column i: this rank's targets first, then those of the others.
        own, output, bias = (torch.cat([all_rows[first:n], all_rows[:first], all_rows[n:]])
                             for all_rows in (columns, rows_of("output", columns), rows_of("bias", columns)))
        scores = F.linear(state[-1], output, bias).to(model.output.dtype)
        loss = loss + gru4rec._loss(config, scores, own, sampler, n_targets=n).sum()

    dense = {name: p for name, p in model.named_parameters() if name.startswith("layers")}
    touched = [leaf for entries in leaves.values() for _, leaf in entries]
    gradients = torch.autograd.grad(loss / config.batch_size, [*dense.values(), *touched])
    loss, *gradients = ranks.sum([loss.detach(), *gradients])
    for name, gradient in zip(dense, gradients):
        optimizer.step(name, gradient)
    of_rows = iter(gradients[len(dense):])
    for name, entries in leaves.items():
        rows = torch.cat([rows for rows, _ in entries])
        optimizer.step_rows(name, rows, torch.cat([next(of_rows) for _ in entries]))
    return loss, [h.detach() for h in state]


def _forward(model, x, state, mine, n):
    """`GRU4Rec.step` in training, for the rows ``mine`` of ``n``; dropout is drawn for all ``n``, by every rank."""
    def dropout(x, p):
        return x * F.dropout(x.new_ones(n, x.shape[1]), p)[mine] if p else x

    x, new = dropout(x, model.config.embedding_dropout), []
    for layer, h in zip(model.layers, state):
        x = dropout(layer(x, h), model.config.hidden_dropout)
        new.append(x)
    return new


def step_bytes(model):
    """What a rank puts into the sum of one step, in bytes: its gradients and its loss.

    For d hidden units, B lanes and S extra negatives those of the GRU, of B input rows, and of B + S output rows and
    biases. The catalogue's size is not in it. The compiled step has each row once, so it puts in no more than this.

    Examples
    --------
    A GRU of 3·8·(8 + 8) weights and 2·3·8 biases, 4 input rows, 10 output rows with their biases, and the loss.

    >>> from rnnbook.gru4rec import GRU4Rec
    >>> config = GRU4RecConfig(hidden_size=8, batch_size=4, n_sample=6)
    >>> step_bytes(GRU4Rec(range(1000), config)) == 4 * (384 + 48 + 4 * 8 + 10 * 9 + 1)
    True
    """
    config = model.config
    dense = sum(p.numel() for name, p in model.named_parameters() if name.startswith("layers"))
    rows = (config.batch_size * getattr(model, model.input_table).shape[1]
            + (config.batch_size + config.n_sample) * (model.output.shape[1] + 1))
    return model.output.element_size() * (dense + config.bptt * rows + 1)


def evaluate(ranks, model, data, k=20, fast=False):
    """Recall@k and MRR@k as `metrics.evaluate_sessions` has them; each rank scores every n-th session.

    Returns
    -------
    dict of float
        ``recall`` and ``mrr``, the same on every rank.

    Examples
    --------
    >>> from rnnbook.worlds import SessionWorld
    >>> from rnnbook.gru4rec import GRU4Rec
    >>> data = SessionWorld(n_items=30).sample(50)
    >>> model = GRU4Rec(data.item_ids, GRU4RecConfig(hidden_size=4))
    >>> scores, whole = evaluate(Ranks("cpu"), model, data), metrics.evaluate_sessions(model, data)
    >>> abs(scores["recall"] - whole.recall) < 1e-12, abs(scores["mrr"] - whole.mrr) < 1e-12
    (True, True)
    """
    sums = torch.zeros(3, dtype=torch.float64, device=ranks.device)
    long = np.flatnonzero(data.lengths > 1)
    if not len(long):
        raise ValueError(f"nothing to predict: none of the {data.n_sessions} sessions has two events")
    own = long[ranks.rank::ranks.n]
    if len(own):
        scores = metrics.evaluate_sessions(model, data.take(own), k=k, n_boot=1, fast=fast)
        sums += sums.new_tensor([scores.recall, scores.mrr, 1]) * scores.n_predictions
    recall, mrr, n = ranks.sum([sums])[0].tolist()
    return {"recall": recall / n, "mrr": mrr / n}


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
    model = fit_distributed(train, config, device=args.device, seed=args.seed, checkpoint=args.checkpoint,
                            fast=args.fast)
    ranks = Ranks(args.device)
    scores = evaluate(ranks, model, test, fast=args.fast)
    if ranks.rank == 0:
        print(f"{train.name}, {ranks.n} ranks, {len(model.history)} epochs: loss {model.history[-1]['loss']:.4f}, "
              f"Recall@20 {scores['recall']:.4f}, MRR@20 {scores['mrr']:.4f}")
    ranks.accelerator.end_training()


if __name__ == "__main__":
    _main()
