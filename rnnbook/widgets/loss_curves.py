"""Loss curves that are updated while a model trains, and can be replayed without a kernel."""

from __future__ import annotations

import time

import traitlets
from IPython import get_ipython
from IPython.display import display

from rnnbook.widgets.base import Widget, source

MOST_POINTS = 400  # points of the loss; if there are more, every second one is dropped
SECONDS = 0.25  # the shortest time between two messages to the browser


class LossCurves(Widget):
    """Live curves of a training run: display ``curves = LossCurves()``, then call ``fit(…, callback=curves.update)``.

    The loss is in the upper chart, all other metrics in the lower. When the cell with the training has finished, the
    HTML stored in the notebook is updated. So a static page shows the whole training and can replay it.

    Parameters
    ----------
    ceiling : dict of str to float, optional
        Horizontal lines for the best possible values, for example ``{"loss": 4.1, "recall": 0.55}``.
    ceiling_label : str
        The label of these lines.

    Examples
    --------
    >>> curves = LossCurves(ceiling={"recall": 0.55})
    >>> curves.summary()
    'Loss curves of a training that has not begun.'
    >>> # ``fit(…, callback=curves.update)`` calls this
    >>> curves.update({"epoch": 1, "loss": 2.5, "recall": 0.31})
    >>> curves.summary()
    'Loss curves of a training, 1 point; the last: epoch 1, loss 2.5, recall 0.31.'
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
        """Append a point, a dict of str to float, that `fit` passes to its callback.

        Within an epoch it has ``"epoch"``, a fraction, and ``"running_loss"``. At the end of an epoch it has
        ``"epoch"``, ``"loss"``, the mean over the epoch, and the metrics, if any.
        """
        if self._recorded and point["epoch"] < self._recorded[-1]["epoch"]:
            self._recorded = []  # a new training run
        self._recorded.append({key: float(f"{value:.5g}") for key, value in point.items()})
        within = [p for p in self._recorded if "loss" not in p] or self._recorded
        if len(within) > MOST_POINTS:
            drop = {id(p) for p in within[1::2] if p.keys() <= {"epoch", "running_loss", "loss"}}
            self._recorded = [p for p in self._recorded if id(p) not in drop]
        if time.monotonic() - self._sent > SECONDS or "loss" in point:
            self.flush()

    def flush(self):
        """Send the points recorded so far to the browser."""
        self._sent = time.monotonic()
        self.points = list(self._recorded)

    def summary(self):
        if not self._recorded:
            return "Loss curves of a training that has not begun."
        end = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in self._recorded[-1].items())
        n = len(self._recorded)
        return f"Loss curves of a training, {n} point{'s' * (n > 1)}; the last: {end}."

    def _ipython_display_(self):  # type: ignore[override]  # in the base class it is None
        self.flush()
        data, metadata = self._repr_mimebundle_()
        handle = display(data, metadata=metadata, raw=True, display_id=True)
        if handle is not None:
            element_id = data["text/html"].split('"', 2)[1]
            self._shown.append((handle, element_id, len(self._recorded)))

    def _renew(self, result):
        """Called after a cell has run: update each display that does not have all points."""
        for i, (handle, element_id, n_points) in enumerate(self._shown):
            if n_points != len(self._recorded):
                self.flush()
                data, metadata = self._repr_mimebundle_()
                data["text/html"] = self.to_html(element_id)
                handle.update(data, metadata=metadata, raw=True)
                self._shown[i] = (handle, element_id, len(self._recorded))
