"""What the text bought: how sure of an item's quality its ratings make us, and how sure with their reviews."""

from __future__ import annotations

import numpy as np
import pandas as pd
import traitlets

from rnnbook.widgets.base import MOST, Widget, rounded, source

QUALITIES = np.linspace(-4, 4, 101)  # where the densities are drawn


class Evidence(Widget):
    """The posterior density of an item's quality as its reviews are read, from the ratings alone and with the words.

    Beside it stand the reviews read so far and the RMSE that the best prediction of the next rating would have,
    from either. All of it is exact and computed beforehand.

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

    Raises
    ------
    ValueError
        If there are too many items or none, one has no reviews, or a review is not of this world.

    Examples
    --------
    >>> from rnnbook.worlds import ReviewWorld
    >>> world = ReviewWorld(n_items=10, n=3)
    >>> widget = Evidence(world, world.sample(), ["item-0", "item-7"])
    >>> # all four reviews of the first item are read at the start
    >>> len(widget.reviews[0]), widget.step
    (4, 4)
    """

    _esm = source("evidence.js")
    items = traitlets.List().tag(sync=True)  # [n_items] names
    quality = traitlets.List().tag(sync=True)  # [n_items] the truth
    noise = traitlets.Float().tag(sync=True)  # RMSE of who knows it
    reviews = traitlets.List().tag(sync=True)  # [item][review] -> [user, rating, text]
    known = traitlets.List().tag(sync=True)  # [item][step] -> [mean, sd, RMSE] of the ratings, and with the words
    densities = traitlets.List().tag(sync=True)  # [item][step] -> [2][n_qualities]
    qualities = traitlets.List().tag(sync=True)  # [n_qualities]
    item = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int().tag(sync=True)

    def __init__(self, world, data, items, **kwargs):
        if not 1 <= len(items) <= MOST:
            raise ValueError(f"{len(items)} items; the widget shows 1 to {MOST}")
        seen, rated = data.ratings, pd.Index(data.ratings.item_ids).get_indexer(pd.Index(items))
        reviews, known, densities = [], [], []
        for name, item in zip(items, rated):
            rows = np.flatnonzero(seen.items == item)
            if not len(rows):
                raise ValueError(f"{name!r} has no reviews here")
            ratings, tokens = seen.ratings[rows], world.tokens(data.take(rows))
            reviews.append([[str(seen.user_ids[seen.users[row]]), rounded(seen.ratings[row]), data.text(row)]
                            for row in rows])
            pasts = [[(ratings[:k],), (ratings[:k], tokens[:k])] for k in range(len(rows) + 1)]
            known.append([[self._moments(world, *past) for past in both] for both in pasts])
            densities.append([[np.round(world.density(QUALITIES, *past), 3).tolist() for past in both]
                              for both in pasts])
        super().__init__(items=[str(name) for name in items], quality=rounded(world.quality[rated]), noise=world.noise,
                         reviews=reviews, known=known, densities=densities, qualities=rounded(QUALITIES),
                         step=len(reviews[0]), **kwargs)

    @staticmethod
    def _moments(world, ratings, tokens=None):
        mean, sd = world.posterior(ratings, tokens)
        return rounded([mean, sd, np.hypot(sd, world.noise)])

    def summary(self):
        return (f"What is known of the quality of {len(self.items)} items as their reviews are read one by one, from "
                "the ratings alone and with the words, and the error expected of the next rating.")
