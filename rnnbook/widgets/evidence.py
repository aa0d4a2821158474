"""What the text bought: how sure of an item's quality its ratings make us, and how sure with words beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import traitlets

from rnnbook.widgets.base import HERE, MOST, Widget, rounded, source
from rnnbook.widgets.reviews import law_of

MOST_WORDS = 8  # that the reader may add


class Evidence(Widget):
    """The posterior density of an item's quality as its reviews are read, from the ratings alone and with the words.

    The reader can drop more words onto the quality, and see the posterior move. Beside it stand the reviews read so far
    and the RMSE that the best prediction of the next rating would have. All of it is exact, and computed in the page.

    Parameters
    ----------
    world : ReviewWorld
    data : ReviewData
        Of this world.
    items : sequence of raw ids
        1 to 8, each with reviews in ``data``.

    Attributes
    ----------
    item, step : int
        What is shown: an item, counted from 0, after so many of its reviews; at the start all of the first's.
    words : list of int
        Words that the reader has added, each the number of a word of the world.

    Raises
    ------
    ValueError
        If there are too many items or none, one has no reviews, or a review is not of this world; or the qualities of
        the world move.

    Examples
    --------
    >>> from rnnbook.worlds import ReviewWorld
    >>> world = ReviewWorld(n_items=10, n=3)
    >>> widget = Evidence(world, world.sample(), ["item-0", "item-7"])
    >>> # all four reviews of the first item are read at the start
    >>> len(widget.reviews[0]), widget.step
    (4, 4)
    """

    _esm = source("reviews.js", "evidence.js")
    _css = Widget._css + (HERE / "evidence.css").read_text(encoding="utf-8")
    items = traitlets.List().tag(sync=True)  # [n_items] names
    quality = traitlets.List().tag(sync=True)  # [n_items] the truth
    reviews = traitlets.List().tag(sync=True)  # [item][review] -> [user, rating, text, word]
    law = traitlets.Dict().tag(sync=True)
    item = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int().tag(sync=True)
    words = traitlets.List().tag(sync=True)

    def __init__(self, world, data, items, **kwargs):
        if not 1 <= len(items) <= MOST:
            raise ValueError(f"{len(items)} items; the widget shows 1 to {MOST}")
        seen, rated = data.ratings, pd.Index(data.ratings.item_ids).get_indexer(pd.Index(items))
        reviews = []
        for name, item in zip(items, rated):
            rows = np.flatnonzero(seen.items == item)
            if not len(rows):
                raise ValueError(f"{name!r} has no reviews here")
            reviews.append([[str(seen.user_ids[seen.users[row]]), round(float(seen.ratings[row]), 7), data.text(row),
                             word] for row, word in zip(rows, world.tokens(data.take(rows)).tolist())])
        law = law_of(world, max(map(len, reviews)) + MOST_WORDS)
        super().__init__(items=[str(name) for name in items], quality=rounded(world.quality[rated]), reviews=reviews,
                         law=law, **{"step": len(reviews[0]), **kwargs})

    def linked(self):
        return {"item": list(range(len(self.items))), "step": list(range(max(map(len, self.reviews)) + 1)),
                "words": {"of": list(range(len(self.law["words"]))), "least": 0, "most": MOST_WORDS}}

    def summary(self):
        return (f"What is known of the quality of {len(self.items)} items as their reviews are read one by one, from "
                "the ratings alone and with the words, and the error expected of the next rating. The reader can add "
                "words.")
