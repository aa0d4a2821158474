"""How far a gradient reaches back through a random recurrent cell."""

from __future__ import annotations

import traitlets

from rnnbook.rnn import gradient_flow
from rnnbook.widgets.base import Widget, source

CELLS = ("rnn", "lstm", "gru")
RADII = tuple(r / 10 for r in range(5, 16))  # .5 to 1.5
BIASES = tuple(range(-1, 6))


class GradientFlowExplorer(Widget):
    """A gradient on its way back through vanilla, LSTM and GRU cell, by spectral radius and gate bias.

    A pulse travels back along the unrolled network, as large as the gradient's norm. Below it are the curves of
    `rnnbook.rnn.gradient_flow` for each radius and gate bias, rounded to 4 digits, beside the line radius ** distance.

    Parameters
    ----------
    radii : sequence of float
        Spectral radii of the recurrent matrices, in ascending order.
    biases : sequence of float
        Biases of the LSTM's forget gate and the GRU's update gate, in ascending order. The vanilla cell has no gate.
    length, hidden_size, seed : int
        As for `gradient_flow`.

    Attributes
    ----------
    pulse : int
        How many steps before the loss the pulse is.

    Examples
    --------
    >>> widget = GradientFlowExplorer(radii=(0.5, 1.0), biases=(0, 3), length=10, hidden_size=4)
    >>> sorted(widget.norms), len(widget.norms["lstm"][1][0])  # [cell][bias][radius][distance]
    (['gru', 'lstm', 'rnn'], 10)
    """

    _esm = source("gradient_flow.js")
    radii = traitlets.List().tag(sync=True)
    biases = traitlets.List().tag(sync=True)
    norms = traitlets.Dict().tag(sync=True)  # cell -> [bias][radius][distance]
    radius = traitlets.Float().tag(sync=True)
    bias = traitlets.Float().tag(sync=True)
    pulse = traitlets.Int(0).tag(sync=True)
    cells = traitlets.List(list(CELLS)).tag(sync=True)  # those drawn

    def __init__(self, radii=RADII, biases=BIASES, length=50, hidden_size=32, seed=0, **kwargs):
        def curve(cell, radius, bias):
            norms = gradient_flow(cell, radius, length, hidden_size, seed, gate_bias=bias)
            return [float(f"{norm:.4g}") for norm in norms.tolist()]

        norms = {cell: [[curve(cell, r, b) for r in radii] for b in (biases[:1] if cell == "rnn" else biases)]
                 for cell in CELLS}
        start = {"radius": min(radii, key=lambda r: abs(r - 0.9)), "bias": min(biases, key=lambda b: abs(b - 3))}
        super().__init__(radii=list(radii), biases=list(biases), norms=norms, **{**start, **kwargs})

    def linked(self):
        pulses = len(self.norms[CELLS[0]][0][0])
        return {"radius": self.radii, "bias": self.biases, "pulse": list(range(pulses)),
                "cells": {"of": list(CELLS), "least": 0, "most": len(CELLS)}}

    def summary(self):
        return ("Gradient norm against distance in time for vanilla, LSTM and GRU cells, by spectral radius "
                f"({min(self.radii):g} to {max(self.radii):g}) and gate bias ({min(self.biases):g} to "
                f"{max(self.biases):g}).")
