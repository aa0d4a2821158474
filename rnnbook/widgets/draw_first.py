"""Draw first: the reader's own curve or number, then the truth over it."""

from __future__ import annotations

import math

import traitlets

from rnnbook.widgets.base import HERE, Widget, source


class DrawFirst(Widget):
    """The reader draws the answer to a question before the page shows it, and learns how far off it was.

    What was drawn is kept in the reader's browser, and comes back when the page is opened again.

    Parameters
    ----------
    name : str
        Under which the drawing is kept; each question of the book has its own.
    question : str
    x : sequence of float or str [n]
        The places at which a value is asked for. Texts are drawn as points of their own; a single one is a number to
        set.
    truth : sequence of float [n]
    ylim : (float, float)
        The axis. It should not give the answer away.
    xlabel, ylabel : str
    others : dict of str to sequence of float [n]
        Curves that are seen from the beginning, by their labels.
    log, xlog : bool
        Logarithmic axes. Distances are then factors.
    unit : str
        Put behind numbers, for instance " %".

    Raises
    ------
    ValueError
        The truth or another curve has another length than x, or is no number, or the truth is off the axis.

    Examples
    --------
    >>> widget = DrawFirst("halving", "How much is left after k steps?",
    ...                    x=[0, 1, 2], truth=[1.0, 0.5, 0.25], ylim=(0, 1))
    >>> widget.summary()
    'How much is left after k steps? Draw your answer before you look at it.'
    """

    _esm = source("draw_first.js")
    _css = Widget._css + (HERE / "draw_first.css").read_text(encoding="utf-8")
    name = traitlets.Unicode().tag(sync=True)
    question = traitlets.Unicode().tag(sync=True)
    x = traitlets.List().tag(sync=True)
    truth = traitlets.List().tag(sync=True)
    ylim = traitlets.List().tag(sync=True)
    xlabel = traitlets.Unicode().tag(sync=True)
    ylabel = traitlets.Unicode().tag(sync=True)
    others = traitlets.List().tag(sync=True)  # [{"label", "values"}]
    log = traitlets.Bool().tag(sync=True)
    xlog = traitlets.Bool().tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)

    def __init__(self, name, question, x, truth, ylim, xlabel="", ylabel="", others=None, log=False, xlog=False,
                 unit="", **kwargs):
        curves = {"truth": truth} | (others or {})
        for label, values in curves.items():
            if len(values) != len(x) or not all(math.isfinite(v) for v in values):
                raise ValueError(f"{label!r} must have a finite number for each of the {len(x)} places")
        if not all(ylim[0] <= v <= ylim[1] for v in truth):
            raise ValueError(f"the truth, {min(truth):g} to {max(truth):g}, is off the axis {ylim}")
        x = [each if isinstance(each, str) else float(each) for each in x]
        curves = {label: [float(v) for v in values] for label, values in curves.items()}
        super().__init__(name=name, question=question, x=x, truth=curves.pop("truth"), ylim=[float(v) for v in ylim],
                         xlabel=xlabel, ylabel=ylabel, log=log, xlog=xlog, unit=unit,
                         others=[{"label": label, "values": values} for label, values in curves.items()], **kwargs)

    def summary(self):
        return f"{self.question} Draw your answer before you look at it."
