"""Four losses lift the same target over the same negatives: a race of ranks."""

from __future__ import annotations

import traitlets

from rnnbook.widgets.base import Widget, source

COUNTS = tuple(2**k for k in range(3, 12))  # 8 to 2,048
STEPS = ("Adagrad", "gradient descent")


class LossRace(Widget):
    """The rank of one target against the number of steps, with BPR, BPR times its negatives, BPR-max and cross-entropy.

    Items have random vectors, which stay. What learns is the state that they are multiplied with: all losses begin from
    the same state, and so from the same scores, with the target low among the negatives. BPR-max has no penalty. The
    browser computes the losses of `rnnbook.gru4rec.LOSSES`.

    Parameters
    ----------
    negatives : int
        8, 16, 32, … or 2,048.
    step : {"Adagrad", "gradient descent"}
    steps : int
        How many steps of the race have been run at the beginning, at most 100.
    seed : int
        Of the vectors and the state.

    Examples
    --------
    >>> LossRace(negatives=128).summary().split(":")[0]
    'The rank of a target among 128 negatives over 100 steps of Adagrad'
    """

    _esm = source("engine.js", "loss_race.js")
    negatives = traitlets.Enum(COUNTS).tag(sync=True)
    step = traitlets.Enum(STEPS).tag(sync=True)
    steps = traitlets.Int(min=0, max=100).tag(sync=True)
    seed = traitlets.Int().tag(sync=True)

    def __init__(self, negatives=2048, step="Adagrad", steps=0, seed=0, **kwargs):
        super().__init__(negatives=negatives, step=step, steps=steps, seed=seed, **kwargs)

    def linked(self):
        return {"negatives": list(COUNTS), "step": list(STEPS), "steps": list(range(101)), "seed": list(range(100))}

    def summary(self):
        return (f"The rank of a target among {self.negatives:,} negatives over 100 steps of {self.step}: BPR, BPR "
                "times the number of negatives, BPR-max and cross-entropy.")
