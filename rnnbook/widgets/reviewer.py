"""A network that writes reviews in the page, character by character, beside the best that anyone could say of them."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pandas as pd
import torch
import traitlets

from rnnbook.interactions.lookup import find_ids
from rnnbook.widgets.base import HERE, Widget, rounded, source
from rnnbook.widgets.engine import packed
from rnnbook.widgets.reviews import law_of

MOST = {"users": 4, "items": 8}  # to choose from
LONGEST = 200  # characters that still fit on a screen
LARGEST = 300_000  # bytes that the network may add to the page


@torch.no_grad()
def _weights(writer):
    """The weights of a `Writer` by the names that the page has for them, `packed`; of the LSTM a list of layers."""
    layers = [{"input": W, "state": U, "bias": b + c} for W, U, b, c in writer.lstm.all_weights]
    rest = {"characters": writer.character.weight, "output": writer.out.weight, "bias": writer.out.bias}
    return {"layers": [_packed(layer) for layer in layers], **_packed(rest)}


def _packed(tensors):
    return {name: packed(tensor.cpu().numpy()) for name, tensor in tensors.items()}


@torch.no_grad()
def _read(model, users, items):
    """All that the writer reads of users and items.

    Returns
    -------
    told : [n_users][n_items][g]
        What x_joint is the tanh of, if no rating is asked for.
    slope : [g]
        What is added to it for each 1 by which the rating asked for is above the predicted one.
    predicted : [n_users][n_items]
    """
    model.eval()
    pairs = list(product(users, items))
    u, m = model.terms_at(*zip(*pairs), np.full(len(pairs), model.seen.times[-1] + 1))  # when the reviews are written
    known = find_ids([item for _, item in pairs], model.item_ids)
    sums = []
    hook = model.writer.to_joint.register_forward_hook(lambda *call: sums.append(call[-1].cpu().double().numpy()))
    for bias in (m.bias, m.bias + 1):
        model.x_joint(u, m._replace(bias=bias), known)
    hook.remove()
    shape = len(users), len(items)
    return ([[[float(f"{v:.7g}") for v in row] for row in rows] for rows in sums[0].reshape(*shape, -1)],
            [float(f"{v:.7g}") for v in (sums[1] - sums[0]).mean(0) / model.scale["std"]],
            np.round(model.ratings(u, m), 7).reshape(shape).tolist())


class Reviewer(Widget):
    """A character LSTM that goes on with a review that the reader has begun, for any user, item and rating.

    The network runs in the page. Each character is marked by its surprise, −log₂ p. Beside the network's probabilities
    of the next character stand those of the optimum, if the log comes from a `ReviewWorld`. The optimum knows the law
    of the world and the item's reviews in ``data``. A rating that is asked for is one more rating to it, that of the
    review. With the same seed, `Joint.write` writes the same text, but for the weights, of which 16 bits each are kept.

    Parameters
    ----------
    model : Joint
    users, items : sequences of raw ids
        1 to 4 and 1 to 8, known to the model.
    world, data : ReviewWorld and ReviewData, optional
        The world, and the reviews of it that the model was trained on.
    ratings : pair of float
        The lowest and the highest rating that can be asked for.
    length : int
        1 to 200 characters, after which a review is cut off.

    Attributes
    ----------
    user, item : int
        What is shown, counted from 0.
    as_predicted : int
        1 while the review is for the rating that the model predicts, 0 if it is for ``rating``.
    rating, temperature : float
    start : str
        What the reader has typed.
    seed : int
        Of the draws.
    step : int
        So many draws are shown, the end of the review being one.

    Raises
    ------
    ValueError
        If there are too many users or items or none, the model does not know one, a setting is out of its range, or
        the network is too large for a page; if only one of ``world`` and ``data`` is given, or they do not fit.

    Examples
    --------
    >>> from rnnbook.joint import JointConfig, new_model
    >>> from rnnbook.worlds import ReviewWorld
    >>> world = ReviewWorld(n_items=10)
    >>> model = new_model(world.sample(), JointConfig(text_hidden_size=8), device="cpu")
    >>> widget = Reviewer(model, ["user-1"], ["item-2", "item-3"], world, world.sample(),
    ...                   start="It is ")
    >>> widget.summary()[:50]
    'A character LSTM with 2 layers of 8 units writes r'
    """

    _esm = source("engine.js", "reviews.js", "reviewer.js")
    _css = Widget._css + (HERE / "reviewer.css").read_text(encoding="utf-8")
    users = traitlets.List().tag(sync=True)  # [n_users] names
    items = traitlets.List().tag(sync=True)  # [n_items] names
    alphabet = traitlets.Unicode().tag(sync=True)
    hidden_size = traitlets.Int().tag(sync=True)
    weights = traitlets.Dict().tag(sync=True)
    told = traitlets.List().tag(sync=True)  # [n_users][n_items][g]
    slope = traitlets.List().tag(sync=True)  # [g]
    predicted = traitlets.List().tag(sync=True)  # [n_users][n_items]
    law = traitlets.Dict().tag(sync=True)  # of the world, if there is one
    pasts = traitlets.List().tag(sync=True)  # [item] -> [ratings, words] before the review
    limits = traitlets.List().tag(sync=True)  # of the ratings that can be asked for
    length = traitlets.Int().tag(sync=True)
    user = traitlets.Int(0).tag(sync=True)
    item = traitlets.Int(0).tag(sync=True)
    as_predicted = traitlets.Int(1).tag(sync=True)
    rating = traitlets.Float(0.0).tag(sync=True)
    temperature = traitlets.Float(1.0).tag(sync=True)
    start = traitlets.Unicode("").tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)

    def __init__(self, model, users, items, world=None, data=None, *, ratings=(-3.0, 3.0), length=80, **kwargs):
        for (name, most), values in zip(MOST.items(), (users, items)):
            if not 1 <= len(values) <= most:
                raise ValueError(f"{len(values)} {name}; the widget shows 1 to {most}")
        if not 1 <= length <= LONGEST:
            raise ValueError(f"length is {length}; the widget shows 1 to {LONGEST} characters")
        if not (np.isfinite(ratings).all() and ratings[0] < ratings[1]):
            raise ValueError(f"ratings must be a lowest and a highest one: {ratings}")
        if (world is None) != (data is None):
            raise ValueError("the optimum needs both, the world and the reviews that the model was trained on")
        for ids, known in ((users, model.seen.user_ids), (items, model.seen.item_ids)):
            if bad := [each for each, i in zip(ids, pd.Index(known).get_indexer(pd.Index(ids))) if i < 0]:
                raise ValueError(f"{bad[0]!r} is unknown to the model")
        weights = _weights(model.writer)
        if (size := len(json.dumps(weights))) > LARGEST:
            raise ValueError(f"the network would add {size // 1000} kB to the page, and at most {LARGEST // 1000} may "
                             "be; take a smaller text_hidden_size")
        told, slope, predicted = _read(model, users, items)
        pasts = [] if world is None else [_past(world, data, item) for item in items]
        most = 1 + max((len(ratings) for ratings, _ in pasts), default=0)
        super().__init__(users=[str(user) for user in users], items=[str(item) for item in items],
                         alphabet=model.alphabet, hidden_size=model.config.text_hidden_size, weights=weights, told=told,
                         slope=slope, predicted=predicted, law={} if world is None else law_of(world, most),
                         pasts=pasts, limits=rounded(ratings), length=length, **kwargs)

    def linked(self):
        low, high = self.limits
        return {"user": list(range(len(self.users))), "item": list(range(len(self.items))), "as_predicted": [0, 1],
                "rating": {"low": low, "high": high}, "temperature": {"low": 0, "high": 2},
                "start": {"longest": self.length}, "seed": list(range(100)), "step": list(range(self.length + 2))}

    def summary(self):
        beside = ", beside the best probabilities that anyone could give" if self.law else ""
        return (f"A character LSTM with {len(self.weights['layers'])} layers of {self.hidden_size} units writes "
                f"reviews by {len(self.users)} users about {len(self.items)} items, and shows the probabilities of the "
                f"next character{beside}.")


def _past(world, data, item):
    """The ratings and the words of an item in ``data``, two lists."""
    rows = np.flatnonzero(data.ratings.items == list(data.ratings.item_ids).index(item))
    return [np.round(data.ratings.ratings[rows], 7).tolist(), world.tokens(data.take(rows)).tolist()]
