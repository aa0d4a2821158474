"""Ranking losses and their gradients for one target and a few negatives."""

from __future__ import annotations

import traitlets

from rnnbook.gru4rec import LOSSES
from rnnbook.widgets.base import Widget, source


class RankingLossExplorer(Widget):
    """The reader drags the scores of a target and its negatives, and sees each loss and its gradients.

    It also plots the losses against the margin. The browser computes the losses of `rnnbook.gru4rec.LOSSES` in double
    precision.

    Parameters
    ----------
    target : float
        Score of the target item.
    negatives : sequence of float
        Scores of 1 to 8 negatives. All scores are in [−6, 6].
    loss : str
        The loss that is selected at the start, a key of `LOSSES`.
    regularization : float
        λ of BPR-max.

    Examples
    --------
    >>> widget = RankingLossExplorer(target=2.0, negatives=[0.0, -5.0], loss="bpr-max")
    >>> widget.summary().split(",")[0]
    'Ranking losses of a target scored 2 against 2 negatives'
    """

    _esm = source("ranking_loss.js")
    target = traitlets.Float().tag(sync=True)
    negatives = traitlets.List(traitlets.Float(), minlen=1, maxlen=8).tag(sync=True)
    loss = traitlets.Enum(list(LOSSES)).tag(sync=True)
    regularization = traitlets.Float().tag(sync=True)

    def __init__(self, target=1.0, negatives=(0.5, -0.8, -2.0, -3.0), loss="bpr", regularization=1.0,
                 **kwargs):
        super().__init__(target=target, negatives=list(negatives), loss=loss, regularization=regularization,
                         **kwargs)

    def linked(self):
        score = {"low": -6, "high": 6}  # as far as the sliders go
        return {"target": score, "negatives": {"of": score, "least": 1, "most": 8}, "loss": list(LOSSES)}

    def summary(self):
        return (f"Ranking losses of a target scored {self.target:g} against {len(self.negatives)} negatives, "
                f"their gradients, and curves against the margin: {', '.join(LOSSES)}.")
