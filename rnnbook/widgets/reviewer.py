"""A review that grows character by character, and at each what else might have come."""

from __future__ import annotations

import json
from itertools import chain, product

import numpy as np
import pandas as pd
import traitlets

from rnnbook.joint import END, encode
from rnnbook.widgets.base import HERE, Widget, rounded, source

MOST = {"users": 4, "items": 6, "ratings": 5, "seeds": 8}  # to choose from
LONGEST = 200  # characters that still fit on a screen
LIKELIEST = 6  # characters listed
LARGEST = 300_000  # bytes that the reviews may add to the page


def _draws(model, user, item, rating, temperature, length, seed):
    """What is drawn to write a review: its characters, and then its end or, if it is longer, one more character.

    Returns
    -------
    list of lists
        Of each draw the symbol and its probability, then the likeliest symbols with theirs. Probabilities are in
        percent, with one decimal; likeliest symbols of none are left out.
    """
    draws = []
    for c, p in model.sample_characters(user, item, rating, None, temperature, length + 1, seed):
        symbol = int(encode(np.array([ord(c)], dtype=np.uint32), model.alphabet)[0]) if c else END
        likeliest, percent = np.argsort(-p, kind="stable")[:LIKELIEST].tolist(), np.round(100.0 * p, 1).tolist()
        draws.append([symbol, percent[symbol], *chain(*((s, percent[s]) for s in likeliest if percent[s]))])
    return draws


class Reviewer(Widget):
    """The review that a user would write about an item for a rating: drawn character by character.

    Beside the text stand the likeliest next characters with their probabilities, and the rating that the model itself
    predicts. The reviews of a page are written beforehand; with a live kernel the reader can have more of them written,
    at any temperature.

    Parameters
    ----------
    model : Joint
    users, items : sequences of raw ids
        1 to 4 and 1 to 6, known to the model.
    ratings : sequence of float
        1 to 5 that the reviews are written for.
    length : int
        1 to 200 characters, after which a review is cut off.
    temperature : float
        Of the draws; the probabilities shown are those of temperature 1.
    seeds : sequence of int
        1 to 8. For each user, item and rating a review is written with each.

    Attributes
    ----------
    user, item, rating, draw, step : int
        What is shown: which of each, counted from 0, and so many of the review's characters; at the start none.

    Raises
    ------
    ValueError
        If there are too many of something or none, the model does not know one, a rating is not finite, or the
        reviews together are too long for a page.

    Examples
    --------
    An untrained model writes and rates at random.

    >>> from rnnbook.joint import JointConfig, new_model
    >>> from rnnbook.worlds import ReviewWorld
    >>> model = new_model(ReviewWorld(n_items=10).sample(), JointConfig(text_hidden_size=8),
    ...                   device="cpu")
    >>> widget = Reviewer(model, ["user-1"], ["item-2", "item-3"], ratings=[1, 5], length=10)
    >>> # two items × two ratings; a prediction for each item
    >>> len(widget.reviews), len(widget.predicted[0])
    (4, 2)
    """

    _esm = source("reviewer.js")
    _css = Widget._css + (HERE / "reviewer.css").read_text(encoding="utf-8")
    users = traitlets.List().tag(sync=True)  # [n_users] names
    items = traitlets.List().tag(sync=True)  # [n_items] names
    ratings = traitlets.List().tag(sync=True)
    predicted = traitlets.List().tag(sync=True)  # [n_users][n_items]
    alphabet = traitlets.Unicode().tag(sync=True)
    temperature = traitlets.Float().tag(sync=True)
    n_draws = traitlets.Int().tag(sync=True)
    reviews = traitlets.List().tag(sync=True)  # [user × item × rating × draw][step], the last varying fastest
    user = traitlets.Int(0).tag(sync=True)
    item = traitlets.Int(0).tag(sync=True)
    rating = traitlets.Int(0).tag(sync=True)
    draw = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)

    def __init__(self, model, users, items, ratings=(1, 2, 3, 4, 5), length=120, temperature=1.0, seeds=(0,), **kwargs):
        for (name, most), values in zip(MOST.items(), (users, items, ratings, seeds)):
            if not 1 <= len(values) <= most:
                raise ValueError(f"{len(values)} {name}; the widget shows 1 to {most}")
        if not 1 <= length <= LONGEST:
            raise ValueError(f"length is {length}; the widget shows 1 to {LONGEST} characters")
        if not np.isfinite(ratings).all():
            raise ValueError(f"ratings must be finite: {ratings}")
        for ids, known in ((users, model.seen.user_ids), (items, model.seen.item_ids)):
            if bad := [each for each, i in zip(ids, pd.Index(known).get_indexer(pd.Index(ids))) if i < 0]:
                raise ValueError(f"{bad[0]!r} is unknown to the model")
        reviews, size = [], 0
        for user, item, rating, seed in product(users, items, ratings, seeds):
            reviews.append(_draws(model, user, item, rating, temperature, length, seed))
            size += len(json.dumps(reviews[-1], separators=(",", ":"))) + 1
            if size > LARGEST:
                raise ValueError(f"the reviews would add more than {LARGEST // 1000} kB to the page; take fewer users, "
                                 "items, ratings or seeds, or a smaller length")
        pairs = list(product(users, items))
        now = np.full(len(pairs), model.seen.times[-1] + 1)  # when the reviews are written
        predicted = model.predict(*zip(*pairs), now).reshape(len(users), len(items))
        super().__init__(users=[str(user) for user in users], items=[str(item) for item in items],
                         ratings=rounded(ratings), predicted=rounded(predicted), alphabet=model.alphabet,
                         temperature=temperature, n_draws=len(seeds), reviews=reviews, **kwargs)
        self._model, self._length, self._seed = model, length, max(seeds)
        self._choices = {"user": users, "item": items, "rating": ratings}
        self.on_msg(self._write)

    def _write(self, _, asked, buffers):
        """Answer who asks, in a live view, for a review with a temperature of its own: each has the next seed."""
        if "temperature" not in asked:  # not a message of ours
            return
        self._seed += 1
        user, item, rating = (choices[asked[name]] for name, choices in self._choices.items())
        draws = _draws(self._model, user, item, rating, asked["temperature"], self._length, self._seed)
        self.send({**asked, "seed": self._seed, "draws": draws})

    def summary(self):
        return (f"Reviews by {len(self.users)} users about {len(self.items)} items for {len(self.ratings)} ratings, "
                "written character by character, with the probabilities of the characters that might come next.")
