"""Session-parallel mini-batches, one training step at a time."""

from __future__ import annotations

import numpy as np
import traitlets

from rnnbook.interactions import SessionData
from rnnbook.gru4rec import session_parallel
from rnnbook.widgets.base import HERE, Widget, source

LONGEST, WIDEST = 10, 6  # at most so many events of a session and lanes fit on a screen


def _example():
    """Eight short sessions of twelve items. They end at different steps, and at the end the batch becomes smaller."""
    sessions = [[0, 3, 7, 1], [5, 2], [8, 4, 4, 9, 6], [1, 10, 3], [2, 5], [11, 0, 7], [6, 8, 9, 3, 2, 10],
                [4, 1]]
    lengths = [len(s) for s in sessions]
    items = np.concatenate(sessions)
    return SessionData(items=items, offsets=np.cumsum([0, *lengths]), times=np.arange(float(len(items))),
                       item_ids=np.array([f"item-{i}" for i in range(12)]),
                       session_ids=np.arange(len(sessions)), name="stepper")


class SessionParallelStepper(Widget):
    """Sessions as lanes of a mini-batch, step by step: the tensors X and Y, and the reset mask.

    Parameters
    ----------
    data : SessionData, optional
        Those with 2 to 10 events are shown, the first `n_sessions` of them. By default it is a small example.
    batch_size : int
        The initial number of lanes. The reader can choose 1 to 6.
    n_sessions : int
        At most 26, because each session is named by a letter.

    Attributes
    ----------
    data : SessionData
        The sessions that are shown. The schedule for each batch size is `rnnbook.gru4rec.session_parallel` of its
        offsets.

    Raises
    ------
    ValueError
        The data have no session of 2 to 10 events, or there are fewer sessions than lanes, or more than 6 lanes.

    Examples
    --------
    >>> widget = SessionParallelStepper(batch_size=3)
    >>> widget.data.lengths.tolist()
    [4, 2, 5, 3, 2, 3, 6, 2]
    >>> widget.schedules[2]["session"][:6]  # the first two steps with three lanes
    [0, 1, 2, 0, 3, 2]
    """

    _esm = source("session_parallel.js")
    _css = Widget._css + (HERE / "session_parallel.css").read_text(encoding="utf-8")
    items = traitlets.List().tag(sync=True)  # [n_events] item of each event
    offsets = traitlets.List().tag(sync=True)  # [n_sessions + 1]
    item_names = traitlets.Dict().tag(sync=True)  # item -> raw id
    schedules = traitlets.List().tag(sync=True)  # [batch_size - 1] -> the schedule's arrays
    batch_size = traitlets.Int().tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    forgotten = traitlets.Int(0).tag(sync=True)  # 1: the reset is forgotten

    def __init__(self, data=None, batch_size=3, n_sessions=8, **kwargs):
        data = _example() if data is None else data
        short = np.flatnonzero((data.lengths >= 2) & (data.lengths <= LONGEST))[: min(n_sessions, 26)]
        if not len(short):
            raise ValueError(f"{data.name}: no session of 2 to {LONGEST} events to show")
        self.data = data.take(short)
        widest = min(WIDEST, len(short))
        if not 1 <= batch_size <= widest:
            raise ValueError(f"batch_size is {batch_size}; {len(short)} sessions allow 1 to {widest}")
        super().__init__(
            items=self.data.items.tolist(), offsets=self.data.offsets.tolist(),
            item_names={str(i): str(self.data.item_ids[i]) for i in np.unique(self.data.items)},
            schedules=[self._arrays(b) for b in range(1, widest + 1)], batch_size=batch_size, **kwargs)

    def _arrays(self, batch_size):
        schedule = session_parallel(self.data.offsets, batch_size)
        fields = ("position", "lane", "session", "reset", "offsets")
        return {name: getattr(schedule, name).tolist() for name in fields}

    def linked(self):
        most = max(len(schedule["offsets"]) for schedule in self.schedules)
        return {"batch_size": list(range(1, len(self.schedules) + 1)), "step": list(range(most)),
                "forgotten": [0, 1]}

    def summary(self):
        return (f"Session-parallel mini-batches, step by step: {self.data.n_sessions} sessions in "
                f"{self.batch_size} lanes, the hidden rows that reset, and the tensors of each step.")
