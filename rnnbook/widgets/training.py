"""Training a GRU4Rec in the page: the reader chooses the settings, and sees the gap to the optimum close or not."""

from __future__ import annotations

from typing import Any

import traitlets

from rnnbook.widgets.base import HERE, Widget, source
from rnnbook.widgets.engine import spec_of
from rnnbook.worlds import SessionWorld

ITEMS = 300
CHOICES: dict[str, list] = {
    "world": ["hidden moods", "first order"],
    "loss": ["cross-entropy", "bpr", "top1", "bpr-max", "top1-max", "pointwise"],
    "sessions": [1000, 3000, 10000],
    "batch_size": [8, 16, 32, 64, 128],
    "n_sample": [0, 16, 64, 256, 1024, 2048],
    "sample_alpha": [0.0, 0.25, 0.5, 0.75, 1.0],
    "learning_rate": [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 2.0],
    "hidden_size": [8, 16, 32, 64],
    "bptt": [1, 2, 3, 4],
    "seed": list(range(10)),
}
DEFAULT: dict[str, Any] = {
    "world": "hidden moods", "loss": "cross-entropy", "sessions": 10000, "batch_size": 32, "n_sample": 64,
    "sample_alpha": 0.5, "learning_rate": 0.1, "hidden_size": 32, "bptt": 2, "seed": 0}
PRESETS: list[tuple[str, str, dict]] = [
    ("A good start", "Ten thousand sessions. After how many epochs does it pass the guess from the last click?", {}),
    ("Popular negatives", "Negatives are drawn in proportion to their clicks, and BPR does not correct for it.",
     {"loss": "bpr", "sample_alpha": 1.0}),
    ("BPR and 2,048 negatives", "In the mean over so many negatives the hard ones hardly count. Compare BPR-max.",
     {"loss": "bpr", "n_sample": 2048}),
    ("Learning rate too high", "The first updates throw the weights far out, and most of the gates are stuck.",
     {"learning_rate": 2.0}),
    ("A first-order world", "Only the last click matters here: there is nothing to be gained from the others.",
     {"world": "first order"}),
]


class LiveTraining(Widget):
    """Train a GRU4Rec in the browser on a small `SessionWorld`, with settings of one's own.

    It trains in a web worker, or in slices where the browser refuses one. The sessions, the first weights and the
    negatives are those of `rnnbook.widgets.engine.fit_as_in_the_page`, so the package gives the same curve.

    Parameters
    ----------
    n_epochs : int
        After so many it stops.
    **kwargs
        Settings to begin with, each one of its ``CHOICES``: ``LiveTraining(loss="bpr", n_sample=2048)``.

    Examples
    --------
    >>> LiveTraining().summary()[:42]
    'Train a GRU4Rec in the page, on 10,000 ses'
    """

    _esm = source("engine.js", "training.js")
    _css = Widget._css + (HERE / "training.css").read_text(encoding="utf-8")
    spec = traitlets.Dict().tag(sync=True)
    presets = traitlets.List().tag(sync=True)
    choices = traitlets.Dict().tag(sync=True)
    n_epochs = traitlets.Int().tag(sync=True)
    world = traitlets.Enum(CHOICES["world"], DEFAULT["world"]).tag(sync=True)
    loss = traitlets.Enum(CHOICES["loss"], DEFAULT["loss"]).tag(sync=True)
    sessions = traitlets.Enum(CHOICES["sessions"], DEFAULT["sessions"]).tag(sync=True)
    batch_size = traitlets.Enum(CHOICES["batch_size"], DEFAULT["batch_size"]).tag(sync=True)
    n_sample = traitlets.Enum(CHOICES["n_sample"], DEFAULT["n_sample"]).tag(sync=True)
    sample_alpha = traitlets.Enum(CHOICES["sample_alpha"], DEFAULT["sample_alpha"]).tag(sync=True)
    learning_rate = traitlets.Enum(CHOICES["learning_rate"], DEFAULT["learning_rate"]).tag(sync=True)
    hidden_size = traitlets.Enum(CHOICES["hidden_size"], DEFAULT["hidden_size"]).tag(sync=True)
    bptt = traitlets.Enum(CHOICES["bptt"], DEFAULT["bptt"]).tag(sync=True)
    seed = traitlets.Enum(CHOICES["seed"], DEFAULT["seed"]).tag(sync=True)

    def __init__(self, n_epochs=10, **kwargs):
        presets = [{"name": name, "text": text, "config": DEFAULT | config} for name, text, config in PRESETS]
        super().__init__(spec=spec_of(SessionWorld(n_items=ITEMS)), choices=CHOICES, presets=presets, n_epochs=n_epochs,
                         **kwargs)

    def linked(self):
        return CHOICES

    def summary(self):
        return (f"Train a GRU4Rec in the page, on {DEFAULT['sessions']:,} sessions of a world of {ITEMS} items, and "
                "see how much of the gap between the last click and the optimum it closes.")
