"""What a student learns from a teacher that sees the future, on a chain where all of it is computed exactly."""

from __future__ import annotations

import traitlets

from rnnbook.widgets.base import HERE, Widget, source
from rnnbook.worlds import FutureChain

COUNTS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000)
NAMES = ("tent", "socks", "stove", "mat", "rope", "lamp", "mug", "map")
MAX_ITEMS = len(NAMES)  # that fit on a screen


class DistillationExplorer(Widget):
    """The λ explorer: bias and variance of a student that learns from clicks and from a teacher that sees the future.

    Two bars split the student's error into squared bias and variance; they change places as ``n`` grows. The browser
    computes what ``teacher_mean`` and ``error`` of `rnnbook.worlds.FutureChain` compute.

    Parameters
    ----------
    chain : FutureChain, optional
        Of 2 to 8 items, by default ``FutureChain()``.
    context : int
        The last click; all distributions shown are conditional on it.
    strength : float
        λ, from 0 (clicks alone) to 1 (teacher alone).
    sees : {"future", "both"}
        What the teacher sees: the future alone, or past and future.
    n : int
        How many times the student has seen the context: one of `COUNTS`, which go from 1 to 1000.
    names : sequence of str
        Short names of the items.

    Raises
    ------
    ValueError
        If the chain has another number of items, or not the context.

    Examples
    --------
    >>> from rnnbook.worlds import FutureChain
    >>> widget = DistillationExplorer(FutureChain(n_items=4), context=2, strength=0.3)
    >>> len(widget.stationary), widget.context, widget.strength
    (4, 2, 0.3)
    """

    _esm = source("distillation.js")
    _css = Widget._css + (HERE / "distillation.css").read_text(encoding="utf-8")
    transition = traitlets.List().tag(sync=True)  # [n_items, n_items]: row i is P(next item | item i)
    stationary = traitlets.List().tag(sync=True)  # [n_items]
    names = traitlets.List().tag(sync=True)
    counts = traitlets.List(list(COUNTS)).tag(sync=True)
    context = traitlets.Int().tag(sync=True)
    strength = traitlets.Float(min=0, max=1).tag(sync=True)
    sees = traitlets.Enum(["future", "both"]).tag(sync=True)
    n = traitlets.Enum(COUNTS).tag(sync=True)

    def __init__(self, chain=None, context=0, strength=0.5, sees="future", n=10, names=NAMES, **kwargs):
        chain = chain or FutureChain()
        if not 2 <= chain.n_items <= MAX_ITEMS:
            raise ValueError(f"a chain of {chain.n_items} items; the explorer shows those of 2 to {MAX_ITEMS}")
        if not 0 <= context < chain.n_items:
            raise ValueError(f"context is {context}; the chain has the items 0 to {chain.n_items - 1}")
        super().__init__(transition=chain.transition.tolist(), stationary=chain.stationary.tolist(),
                         names=list(names[: chain.n_items]), context=context, strength=strength, sees=sees, n=n,
                         **kwargs)

    def linked(self):
        return {"context": list(range(len(self.names))), "strength": {"low": 0, "high": 1},
                "sees": ["future", "both"], "n": self.counts}

    def summary(self):
        return (f"What comes after a click on a chain of {len(self.stationary)} items: truth, the mean of a "
                "teacher that sees the future, a student that learns from both, and the student's error against λ.")
