"""The models after the GRU side by side, on a session that the reader clicks together, with the optimum beside them."""

from __future__ import annotations

import numpy as np
import traitlets

from rnnbook.widgets.base import HERE, Widget, source
from rnnbook.widgets.engine import packed, spec_of
from rnnbook.worlds import LongMemoryWorld, SessionWorld

LONGEST = 20  # clicks of a session
SHOWN = 10  # of these the last few are drawn
OTHERS = 8  # items that take a click's place in turn


def _world_of(world):
    """A world as the page takes it (a dict); ValueError if the page cannot run it."""
    if type(world) is LongMemoryWorld and world.lag <= SHOWN:
        return {"popularity": world.popularity.tolist(), "lag": world.lag, "faithful": world.faithful,
                "partner": world.partner.tolist()}
    if type(world) is SessionWorld and (world.noise or (world.jump and world.stay < 1)):
        return spec_of(world)
    raise ValueError(f"the page shows a LongMemoryWorld with a lag of at most {SHOWN}, or a SessionWorld in which each "
                     f"click is possible (noise above 0, or jump above 0 and stay below 1): {world}")


def _net_of(model, longest):
    """An AfterGRU as after.js takes it (a dict): its form, and its weights by their names, `packed`."""
    config, weights = model.config, model.state_dict()
    if "place.weight" in weights:
        weights["place.weight"] = weights["place.weight"][:longest]
    return {name: getattr(config, name) for name in ("mixer", "hidden_size", "n_blocks", "n_heads")} | {
        "weights": {name: packed(tensor.cpu().numpy()) for name, tensor in weights.items()}}


class SideBySide(Widget):
    """The same session through several networks: what each keeps of a click, and what it makes of it.

    The reader clicks a session together. Below each of its last ten clicks stand two bars for each network. The wide
    one is how much of the click is left: the share of a GRU's or minGRU's state that was written at this click, the
    attention on it, or :math:`|\\lambda|^{age}` of a linear recurrence, in the mean over units or heads. The narrow one
    is the same measure for all, and for the optimum: how far the click moves the prediction. Another item is put in its
    place, and the rest of the session is read again. The total variation distance of the two predictions,
    :math:`\\frac12 \\sum_i |p_i - q_i|`, is the probability that goes to other items. The bar is its mean over
    ``others``.

    Parameters
    ----------
    world : LongMemoryWorld or SessionWorld
        A lag is at most 10. In a SessionWorld every click must be possible after every other.
    models : dict of str to AfterGRU
        One to four, trained on sessions of ``world``. Their weights are kept with 16 bits.
    clicks : sequence of int, optional
        Item indices that are clicked at the beginning; by default the first few of a visitor.
    titles : mapping of raw item ids to str, optional
    seed : int
        Of the visitor whom the world sends; each new session has the next one.

    Attributes
    ----------
    block : int
        Which block's memory is shown, counted from 0.
    others : list of int
        The items that take a click's place: 8, evenly spread over the catalogue, or all if there are fewer. The click
        itself is not among them.

    Raises
    ------
    ValueError
        The page cannot run this world, there are too many models or none, one has other items than the world, or the
        session is longer than the page and each model can read.

    Examples
    --------
    >>> from rnnbook.after import MODELS, AfterGRU
    >>> from rnnbook.worlds import LongMemoryWorld
    >>> world = LongMemoryWorld(lag=3, n_items=12)
    >>> models = {name: AfterGRU(world.item_ids, MODELS[name]) for name in ("GRU", "SASRec", "LRU")}
    >>> widget = SideBySide(world, models, clicks=[1, 4, 1])
    >>> widget.summary()[:66]
    'GRU, SASRec and LRU read the same session in a world of 12 items: '
    """

    _esm = source("engine.js", "after.js", "side_by_side.js")
    _css = Widget._css + (HERE / "side_by_side.css").read_text(encoding="utf-8")
    world = traitlets.Dict().tag(sync=True)
    nets = traitlets.Dict().tag(sync=True)  # by the models' names
    names = traitlets.List().tag(sync=True)  # [n_items]
    others = traitlets.List().tag(sync=True)
    shown = traitlets.Int(SHOWN).tag(sync=True)
    longest = traitlets.Int().tag(sync=True)
    clicks = traitlets.List().tag(sync=True)
    block = traitlets.Int(0).tag(sync=True)
    seed = traitlets.Int().tag(sync=True)

    def __init__(self, world, models, clicks=None, *, titles=None, seed=0, **kwargs):
        spec, titles, n = _world_of(world), {} if titles is None else titles, world.n_items
        if not 1 <= len(models) <= 4:
            raise ValueError(f"{len(models)} models; the page shows one to four beside each other")
        if bad := [name for name, model in models.items() if list(model.item_ids) != list(world.item_ids)]:
            raise ValueError(f"the items of {bad[0]} are not those of the world")
        longest = min([LONGEST, *(model.config.max_length for model in models.values())])
        if clicks is None:
            clicks = world.sample(1, seed).items[:spec.get("lag", 2) + 2]
        if len(clicks) > longest:
            raise ValueError(f"{len(clicks)} clicks; the page and the models read at most {longest}")
        super().__init__(world=spec, nets={name: _net_of(model, longest) for name, model in models.items()},
                         names=[str(titles.get(i, i)) for i in world.item_ids.tolist()],
                         others=np.linspace(0, n - 1, min(n, OTHERS)).round().astype(int).tolist(), longest=longest,
                         clicks=[int(i) for i in clicks], seed=seed, **kwargs)

    def linked(self):
        return {"clicks": {"of": list(range(len(self.names))), "least": 0, "most": self.longest},
                "block": list(range(max(net["n_blocks"] for net in self.nets.values()))),
                "seed": {"low": 0, "high": 10**6}}

    def summary(self):
        *most, last = self.nets
        return (f"{', '.join(most)}{' and ' * bool(most)}{last} read the same session in a world of {len(self.names)} "
                "items: what is left of each click, how far it moves the prediction, and what is recommended, beside "
                "the best possible.")
