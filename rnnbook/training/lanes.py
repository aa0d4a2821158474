"""The lanes of session-parallel training: their states, their division among ranks, and the progress of an epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from rnnbook.training.checkpoints import check_tensors

REPORTS = 20  # reports and checkpoints per epoch


def rows_to_lanes(state, lanes, batch_size):
    """Expand a state with rows for some of the lanes to one with a row for every lane; missing rows are zeros.

    Parameters
    ----------
    state : list of Tensor, float [B, d]
    lanes : int64 array [B]
        The lane of each row.
    batch_size : int

    Returns
    -------
    list of Tensor, float [batch_size, d]

    Examples
    --------
    >>> rows_to_lanes([torch.tensor([[1.0], [2.0]])], np.array([3, 0]), batch_size=4)[0].flatten()
    tensor([2., 0., 0., 1.])
    """
    lanes = torch.from_numpy(lanes).to(state[0].device)
    return [h.new_zeros(batch_size, h.shape[1]).index_copy(0, lanes, h) for h in state]


def lanes_of(schedule, rank, n):
    """The part of a schedule that belongs to one of ``n`` ranks: ``batch_size / n`` consecutive lanes.

    A session stays in its lane, so one rank reads all of it and keeps its hidden state.

    Parameters
    ----------
    schedule : gru4rec.Schedule
    rank, n : int

    Returns
    -------
    own : gru4rec.Schedule
        The entries of this rank. It has as many steps as ``schedule``; steps after the end of its lanes are empty.
    first : ndarray, int64 [n_steps]
        The position of this rank's first entry among the entries of all ranks, for each step.

    Raises
    ------
    ValueError
        ``batch_size`` is not a multiple of ``n``.

    Examples
    --------
    Two lanes and four steps. Lane 0 belongs to rank 0 and ends after the second step; lane 1 belongs to rank 1.

    >>> from itertools import pairwise
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

    def until(chosen):  # the number of chosen entries before each step
        return np.concatenate([[0], np.cumsum(chosen)])[schedule.offsets]

    mine = owner == rank
    own = replace(schedule, position=schedule.position[mine], lane=schedule.lane[mine],
                  session=schedule.session[mine], reset=schedule.reset[mine], keep=schedule.keep[mine],
                  offsets=until(mine), batch_size=schedule.batch_size // n)
    return own, np.diff(until(owner < rank))


class EpochTracker:
    """The progress of an epoch of GRU4Rec. It is reported and saved about 20 times, so a killed run can continue.

    Parameters
    ----------
    epoch, n_steps : int
        The number of epochs before this one, and the number of steps of an epoch.
    lanes : list of Tensor, float [batch_size, d]
        The initial state, a row for each lane.
    sampler : gru4rec.NegativeSampler
        Negatives that it has drawn but not returned yet are saved too.
    bar : tqdm
    save : callable
        As `training.run` passes it to an epoch.
    callback : callable(dict), optional
        Receives ``{"epoch", "running_loss"}``.

    Attributes
    ----------
    step : int
        The number of completed steps.
    total : Tensor, float
        The sum of all losses so far, a scalar.

    Examples
    --------
    The loss of a report is the mean over the predictions since the last one. Here each step is reported.

    >>> from rnnbook.gru4rec import NegativeSampler
    >>> from rnnbook.training import progress_bar
    >>> sampler, points = NegativeSampler([1, 1], 2, 0.5, "cpu", n_steps=2), []
    >>> with progress_bar(2, shown=False) as bar:
    ...     tracker = EpochTracker(0, 2, [torch.zeros(1, 4)], sampler, bar, save=lambda pack: None,
    ...                            callback=points.append)
    ...     tracker.report(1, torch.tensor(8.0), 4, lanes=None)
    ...     tracker.report(2, torch.tensor(1.0), 1, lanes=None)
    >>> points
    [{'epoch': 0.5, 'running_loss': 2.0}, {'epoch': 1.0, 'running_loss': 1.0}]
    """

    def __init__(self, epoch, n_steps, lanes, sampler, bar, save, callback):
        self.epoch, self.n_steps, self.lanes, self.sampler = epoch, n_steps, lanes, sampler
        self.bar, self.save, self.callback = bar, save, callback
        # A sum of millions of losses needs float64; Apple's GPUs have only float32.
        dtype = torch.float32 if lanes[0].device.type == "mps" else torch.float64
        self.step, self.total = 0, torch.zeros((), dtype=dtype, device=lanes[0].device)
        self.reported, self.n_since = self.total, 0  # the sum at the last report, and the predictions since

    def report(self, step, loss, n, lanes):
        """Record a window of steps; an epoch function calls this after each.

        Parameters
        ----------
        step : int
            The number of completed steps.
        loss : Tensor
            The sum of the window's losses, a scalar.
        n : int
            The number of its predictions.
        lanes : callable() -> list of Tensor, float [batch_size, d]
            Returns the state after the window, a row for each lane.
        """
        before, self.step = self.step, step
        self.total, self.n_since = self.total + loss, self.n_since + n
        self.bar.update(self.epoch * self.n_steps + step - self.bar.n)
        if step * REPORTS // self.n_steps == before * REPORTS // self.n_steps:
            return
        if step < self.n_steps:
            self.save(lambda: self.pack(lanes()))
        if self.callback:
            mean = float(self.total - self.reported) / self.n_since
            self.callback({"epoch": self.epoch + step / self.n_steps, "running_loss": mean})
        self.reported, self.n_since = self.total, 0

    def pack(self, lanes):
        """All that is needed to continue the epoch: a dict of str to Tensor."""
        return {"step": torch.tensor(self.step), "total": self.total, "unread": self.sampler.unread_samples(),
                **{f"lanes.{layer}": h for layer, h in enumerate(lanes)}}

    def restore(self, packed, checkpoint):
        """Continue from what `pack` returned.

        Raises
        ------
        ValueError
            It does not match this epoch. The message names the checkpoint.
        """
        fresh = self.pack(self.lanes)
        unread = packed.get("unread", torch.empty(0))
        check_tensors(packed, fresh | {"unread": fresh["unread"].new_empty(len(unread), *fresh["unread"].shape[1:])},
                      checkpoint)
        step, n_items = int(packed["step"]), len(self.sampler.cumulative)
        if not 0 < step < self.n_steps or (unread.numel() and not 0 <= unread.min() <= unread.max() < n_items):
            raise ValueError(f"{checkpoint}: the steps or the samples that it holds are not of this epoch; it is "
                             "damaged, delete it to start again")
        self.sampler.unread = [*unread.to(self.sampler.cumulative.device).unbind()]
        self.step, self.lanes = step, [packed[f"lanes.{n}"].to(h.device) for n, h in enumerate(self.lanes)]
        self.total = self.reported = packed["total"].to(self.total.device)
