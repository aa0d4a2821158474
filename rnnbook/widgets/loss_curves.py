"""Loss curves that stream while a model trains and replay where no kernel runs."""

from __future__ import annotations

import time

import traitlets
from IPython import get_ipython
from IPython.display import display

from rnnbook.widgets.base import Widget, source

MOST_POINTS = 400  # of the loss; with more, every second one is dropped
SECONDS = 0.25  # between two messages to the browser


class LossCurves(Widget):
    """Curves of a running training: show ``curves = LossCurves()``, then ``fit(…, callback=curves.update)``.

    The loss has the upper chart, every other metric the lower. When the cell that trained is done, the HTML
    kept in the notebook is renewed, so that a static page shows the whole course and can replay it.

    Parameters
    ----------
    ceiling : dict of str to float, optional
        Horizontal lines, for example ``{"loss": 4.1, "recall": 0.55}``: the best that is possible.
    ceiling_label : str

    Examples
    --------
    >>> curves = LossCurves(ceiling={"recall": 0.55})
    >>> curves.summary()
    'Loss curves of a training that has not begun.'
    >>> # what ``callback=curves.update`` does
    >>> curves.update({"epoch": 1, "loss": 2.5, "recall": 0.31})
    >>> curves.summary()
    'Loss curves of a training, 1 points; the last: epoch 1, loss 2.5, recall 0.31.'
    """

    _esm = source("loss_curves.js")
    points = traitlets.List().tag(sync=True)  # {"epoch": float, "running_loss" or "loss": float, metric: float, …}
    ceiling = traitlets.Dict().tag(sync=True)
    ceiling_label = traitlets.Unicode().tag(sync=True)

    def __init__(self, ceiling=None, ceiling_label="best possible", **kwargs):
        super().__init__(ceiling=ceiling or {}, ceiling_label=ceiling_label, **kwargs)
        self._recorded, self._sent, self._shown = list(self.points), 0.0, []
        if (shell := get_ipython()) is not None:
            shell.events.register("post_run_cell", self._renew)

    def update(self, point):
        """Append a point as `fit` hands it to its callback.

        Within an epoch it has the epoch, a fraction, and the running loss; at the end of an epoch the epoch, the mean
        loss over all of it, and metrics if any.
        """
        if self._recorded and point["epoch"] < self._recorded[-1]["epoch"]:
            self._recorded = []  # a new training
        self._recorded.append({key: float(f"{value:.5g}") for key, value in point.items()})
        within = [p for p in self._recorded if "loss" not in p] or self._recorded
        if len(within) > MOST_POINTS:
            drop = {id(p) for p in within[1::2] if p.keys() <= {"epoch", "running_loss", "loss"}}
            self._recorded = [p for p in self._recorded if id(p) not in drop]
        if time.monotonic() - self._sent > SECONDS or "loss" in point:
            self.flush()

    def flush(self):
        """Send what was recorded since the last message."""
        self._sent = time.monotonic()
        self.points = list(self._recorded)

    def summary(self):
        if not self._recorded:
            return "Loss curves of a training that has not begun."
        end = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in self._recorded[-1].items())
        return f"Loss curves of a training, {len(self._recorded)} points; the last: {end}."

    def _ipython_display_(self):  # type: ignore[override]  # None in the base, where there is nothing to do
        self.flush()
        data, metadata = self._repr_mimebundle_()
        handle = display(data, metadata=metadata, raw=True, display_id=True)
        if handle is not None:
            element_id = data["text/html"].split('"', 2)[1]
            self._shown.append((handle, element_id, len(self._recorded)))

    def _renew(self, result):
        """After a cell: what was displayed before new points came is displayed anew, now with all of them."""
        for i, (handle, element_id, n_points) in enumerate(self._shown):
            if n_points != len(self._recorded):
                self.flush()
                data, metadata = self._repr_mimebundle_()
                data["text/html"] = self.to_html(element_id)
                handle.update(data, metadata=metadata, raw=True)
                self._shown[i] = (handle, element_id, len(self._recorded))
