"""How far a gradient reaches back through a random recurrent cell."""

from __future__ import annotations

import traitlets

from rnnbook.rnn import gradient_flow
from rnnbook.widgets.base import Widget, source

CELLS = ("rnn", "lstm", "gru")
RADII = tuple(r / 10 for r in range(5, 16))  # .5 to 1.5


class GradientFlowExplorer(Widget):
    """Gradient norm against distance for vanilla, LSTM and GRU cell, by spectral radius and sequence length.

    The curves are those of `rnnbook.rnn.gradient_flow` for each radius and length, rounded to 8 digits, beside the line
    radius ** distance.

    Parameters
    ----------
    radii : sequence of float
        Spectral radii of the recurrent matrices, in ascending order.
    lengths : sequence of int
        Sequence lengths, in ascending order.
    hidden_size, seed : int
        As for `gradient_flow`.

    Examples
    --------
    >>> widget = GradientFlowExplorer(radii=(0.5, 1.0), lengths=(5, 10), hidden_size=4)
    >>> sorted(widget.norms), len(widget.norms["lstm"][1][0])  # [cell][length][radius][distance]
    (['gru', 'lstm', 'rnn'], 10)
    """

    _esm = source("gradient_flow.js")
    radii = traitlets.List().tag(sync=True)
    lengths = traitlets.List().tag(sync=True)
    norms = traitlets.Dict().tag(sync=True)  # cell -> [length][radius][distance]
    radius = traitlets.Float().tag(sync=True)
    length = traitlets.Int().tag(sync=True)
    cells = traitlets.List(list(CELLS)).tag(sync=True)  # those drawn

    def __init__(self, radii=RADII, lengths=(10, 30, 60), hidden_size=32,
                 seed=0, **kwargs):
        def curve(cell, radius, length):
            norms = gradient_flow(cell, radius, length, hidden_size, seed)
            return [float(f"{norm:.8g}") for norm in norms.tolist()]

        norms = {cell: [[curve(cell, r, n) for r in radii] for n in lengths] for cell in CELLS}
        start = {"radius": min(radii, key=lambda r: abs(r - 0.9)), "length": max(lengths)}
        super().__init__(radii=list(radii), lengths=list(lengths), norms=norms, **{**start, **kwargs})

    def summary(self):
        return ("Gradient norm against distance in time for vanilla, LSTM and GRU cells, by spectral radius "
                f"({min(self.radii):g} to {max(self.radii):g}) and length (up to {max(self.lengths)}).")
