"""What a protocol does to a comparison: stored ranks of six models, and a switch for each thing that papers decide."""

from __future__ import annotations

import traitlets

from rnnbook import results
from rnnbook.widgets.base import HERE, Widget, source

MOST_K = 20


class EvaluationLab(Widget):
    """The scores of some models and their order, under a protocol that the reader puts together.

    Nothing is sampled in the page. Where a protocol samples negatives, the score is the expectation of
    `rnnbook.metrics.sampled_gains`. The intervals are those of the delta method, over sessions.

    Parameters
    ----------
    lab : dict, optional
        As ``benchmarks/evaluation.py`` stores it; by default that of the result ``evaluation``.
    **setting
        What is shown at the start: a value of ``lab["choices"]`` for each switch that is not to stand on the book's.

    Raises
    ------
    ValueError
        A setting is none of the choices.

    Examples
    --------
    >>> widget = EvaluationLab(metric="mrr", k=10)
    >>> widget.k, widget.split, len(widget.models)
    (10, 'time', 6)
    >>> EvaluationLab(ties="random")
    Traceback (most recent call last):
    ValueError: ties must be one of conservative, median, standard, not 'random'
    """

    _esm = source("evaluation_lab.js")
    _css = Widget._css + (HERE / "evaluation_lab.css").read_text(encoding="utf-8")
    models = traitlets.List().tag(sync=True)
    negatives = traitlets.Int().tag(sync=True)
    frequent = traitlets.Int().tag(sync=True)
    choices = traitlets.Dict().tag(sync=True)  # switch -> its values, the book's first
    presets = traitlets.List().tag(sync=True)  # [name, what it changes of the book's protocol]
    events = traitlets.Dict().tag(sync=True)  # split -> its events, as `encode` of the benchmark writes them
    split = traitlets.Unicode().tag(sync=True)
    among = traitlets.Unicode().tag(sync=True)
    ties = traitlets.Unicode().tag(sync=True)
    targets = traitlets.Unicode().tag(sync=True)
    average = traitlets.Unicode().tag(sync=True)
    repeats = traitlets.Unicode().tag(sync=True)
    unseen = traitlets.Unicode().tag(sync=True)
    items = traitlets.Unicode().tag(sync=True)
    metric = traitlets.Unicode().tag(sync=True)
    k = traitlets.Int().tag(sync=True)

    def __init__(self, lab=None, **setting):
        lab = lab or results.load("evaluation")["lab"]
        choices = {**lab["choices"], "k": list(range(1, MOST_K + 1))}
        for name, value in setting.items():
            if name in choices and value not in choices[name]:
                raise ValueError(f"{name} must be one of {', '.join(map(str, choices[name]))}, not {value!r}")
        book = {name: values[0] for name, values in lab["choices"].items()}
        super().__init__(models=list(lab["models"]), negatives=lab["negatives"], frequent=lab["frequent"],
                         choices=choices, presets=lab["presets"], events=lab["events"], **(book | setting))

    def linked(self):
        return self.choices

    def summary(self):
        return (f"The scores of {len(self.models)} models on the same clicks and their order, under an evaluation "
                "protocol that the reader puts together.")
