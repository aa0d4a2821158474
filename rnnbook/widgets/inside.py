"""A trained GRU4Rec, open: its gates, state and scores on a session that the reader clicks together."""

from __future__ import annotations

import traitlets

from rnnbook.widgets.base import HERE, Widget, source
from rnnbook.widgets.engine import packed, spec_of, weights_of

LONGEST = 50  # clicks that a link may hold
FAULTS = ["", "cut", "never", "late", "swapped", "reset inside", "lift"]  # what they do stands in inside.js


class InsideGRU4Rec(Widget):
    """Every number behind a prediction of a trained network, beside what anyone could know at best.

    The reader clicks items, and sees the item's vector, both gates, the candidate, the new state and the most probable
    next items; beside them the exact distribution of the mood and the optimum's items. Each gate can be opened down to
    one multiplication. Faults can be switched on, and their cost in Recall@k is computed in the page.

    Parameters
    ----------
    model : GRU4Rec
        With one layer and the shared table, trained on sessions of ``world``. Its weights are kept with 16 bits.
    world : SessionWorld
        With at most 26 moods, which are named by letters.
    probe : rnnbook.probes.LinearProbe, optional
        Reads the moods from the state. What it reads is drawn beside the exact distribution.
    clicks : sequence of int
        Item indices that are clicked at the beginning.
    k : int
        Recall@k is computed, and the k best items are compared.
    seed : int
        Of the visitors whom the world sends.

    Raises
    ------
    ValueError
        The network has a form or a loss that the page cannot show, or other items than the world; the probe reads
        something else than the moods; there are too many of them, or a click may be impossible.

    Examples
    --------
    >>> from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig
    >>> from rnnbook.worlds import SessionWorld
    >>> world = SessionWorld(n_states=4, n_items=12)
    >>> widget = InsideGRU4Rec(GRU4Rec(world.item_ids, GRU4RecConfig(hidden_size=4)), world)
    >>> widget.summary()[:50]
    'A GRU4Rec with 4 units on a world of 12 items and '
    """

    _esm = source("engine.js", "inside.js")
    _css = Widget._css + (HERE / "inside.css").read_text(encoding="utf-8")
    spec = traitlets.Dict().tag(sync=True)
    names = traitlets.List().tag(sync=True)
    hidden_size = traitlets.Int().tag(sync=True)
    weights = traitlets.Dict().tag(sync=True)
    probe = traitlets.Dict(None, allow_none=True).tag(sync=True)
    clicks = traitlets.List().tag(sync=True)
    k = traitlets.Int().tag(sync=True)
    seed = traitlets.Int().tag(sync=True)
    fault = traitlets.Unicode("").tag(sync=True)  # one of FAULTS

    def __init__(self, model, world, probe=None, clicks=(), k=20, seed=0, **kwargs):
        if world.n_states > 26:
            raise ValueError(f"moods are named by letters, and the world has more than 26: {world.n_states}")
        if not world.noise and (world.jump == 0 or world.stay == 1):
            raise ValueError("in a world with jump=0 or stay=1 some clicks are impossible after others; give it some "
                             "noise")
        if (model.config.loss, model.config.final_activation) != ("cross-entropy", "linear"):
            raise ValueError("the page shows a softmax of the scores, which is the network's prediction only after "
                             "loss='cross-entropy' and final_activation='linear'")
        if list(model.item_ids) != list(world.item_ids):
            raise ValueError("the network's items are not those of the world")
        reads = None if probe is None else probe.weight.shape
        if reads not in (None, (model.config.hidden_sizes[-1], world.n_states)):
            raise ValueError(f"the probe reads {reads[1]} numbers from {reads[0]}, not the moods from the state")
        reading = reads and {"weight": packed(probe.weight), "bias": packed(probe.bias)}
        super().__init__(spec=spec_of(world), names=[str(i) for i in world.item_ids], weights=weights_of(model),
                         probe=reading, hidden_size=model.config.hidden_sizes[0], clicks=[int(i) for i in clicks],
                         k=k, seed=seed, **kwargs)

    def linked(self):
        return {"clicks": {"of": list(range(len(self.names))), "least": 0, "most": LONGEST}, "fault": FAULTS}

    def summary(self):
        return (f"A GRU4Rec with {self.hidden_size} units on a world of {len(self.names)} items and "
                f"{self.spec['n_states']} moods: its gates, state and predictions for a session that the reader clicks "
                "together, beside the best possible ones.")
