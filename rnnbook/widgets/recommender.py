"""A recurrent recommender that runs in the page, beside the Kalman filter of its world and the true taste."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
import traitlets

from rnnbook.interactions import DAY
from rnnbook.widgets.base import HERE, MOST, Widget, rounded, source
from rnnbook.widgets.engine import packed
from rnnbook.worlds.ratings import START, RatingWorld


def _owners(model, users):
    """Indices of raw ids into ``model.seen.user_ids``, int64 [n_users]; ValueError unless all have ratings."""
    if not 1 <= len(users) <= MOST:
        raise ValueError(f"{len(users)} users; the widget shows 1 to {MOST}")
    owners = pd.Index(model.seen.user_ids).get_indexer(pd.Index(users))
    if bad := [user for user, i in zip(users, owners) if i not in model.seen.users]:
        raise ValueError(f"{bad[0]!r} has no ratings yet")
    return owners


@torch.no_grad()
def _net(model, owners, mornings):
    """What the page needs of the RRN: the users' LSTM, what stands still, and the films' vectors of each morning.

    The page knows no biases of films and no switches of the settings: both are in the weights already.
    """
    users, films = model.eval().sides
    config, scale, items = model.config, model.scale, np.arange(len(model.item_ids))

    def still(side, owners):
        return side.terms(model.zeros(len(owners)), owners)

    # A row of W_embed for each film: for its rating (1), and for being there (2), where the bias is taken off (1).
    of_film = still(films, items)
    rows = users.embed.weight.view(2, len(items) + 2, -1)
    rows = rows[:, :1] + rows[:, 1:-1] + users.embed_anchor(of_film.anchor).view(len(items), 2, -1).transpose(0, 1)
    rows[1] -= of_film.bias[:, None] * rows[0]
    switches = torch.tensor([config.newbie, config.wall_clock, config.wall_clock]).to(rows)
    clock = users.embed_clock.weight.T * switches[:, None]
    moving = model.factors_at_times(films, model.steps(model.seen)[1], np.tile(items, len(mornings)),
                                    np.repeat(mornings, len(items))).view(len(mornings), len(items), -1)
    of_user = still(users, owners)
    weights = {"embed": rows, "clock": torch.cat([clock, users.embed_clock.bias[None]]),
               "weight_ih": users.lstm.weight_ih_l0, "weight_hh": users.lstm.weight_hh_l0,
               "bias": users.lstm.bias_ih_l0 + users.lstm.bias_hh_l0,
               "to_factors": users.to_factors.weight, "anchor": of_user.anchor + users.to_factors.bias,
               "still": of_user.stationary @ of_film.stationary.T + of_user.bias[:, None] + of_film.bias,
               "films": moving + of_film.anchor}
    return {"hidden": config.hidden_size, "embedding": config.embedding_size, "factors": config.dynamic_size,
            "mean": scale["mean"], "std": scale["std"], "start": (START - scale["start"]) / scale["span"],
            "pace": DAY / scale["span"], **{name: packed(values.cpu().numpy()) for name, values in weights.items()}}


class InsideRRN(Widget):
    """An RRN and a Kalman filter follow the same users day by day, and the reader may add ratings.

    In one plane stand the user's taste as the RRN sees it, the filter's belief with an ellipse that holds 90 % of it,
    the true taste, and the films. What the RRN believes is read off its predictions: the taste that explains those for
    all films best, by least squares. Beside it the best films of the last days are drawn by rank.

    The page runs the users' LSTM, with weights of 16 bits, and the filter. The films' states are computed beforehand,
    so a rating that is added moves the user alone. In a world of more than two dimensions the plane is that of the
    films' first two principal directions.

    Parameters
    ----------
    model : RRN
        With steps of a day for users. It has seen the first ratings of ``world.sample(seed)``.
    world : RatingWorld
        Without level shift and season.
    users : sequence of raw ids
        1 to 8, each with ratings in ``model.seen``.
    seed : int
        Of the sample.
    titles : mapping of raw item ids to str, optional
    k : int
        How many films are recommended.

    Attributes
    ----------
    user, day : int
        Whom the page shows, counted from 0, and after which day, counted from 1; at the start the last one.
    ranks : int
        By whom films are ranked: 0 the RRN, 1 the filter, 2 the true taste.
    film, rating : int, float
        What stands in the form of a rating to add.
    added : list of float
        The ratings added by the reader, four numbers each: user, day, film, rating.

    Raises
    ------
    ValueError
        If there are too many users or none, or one has no ratings; if the model has seen something else than the
        world's sample, has another step or no LSTM; or if the world has no plane of tastes or films whose mean moves.

    Examples
    --------
    >>> from rnnbook.rrn import RRNConfig, new_model
    >>> from rnnbook.worlds import RatingWorld
    >>> world = RatingWorld(n_users=5, n_steps=4)
    >>> model = new_model(world.sample(), RRNConfig(user_step=86_400), device="cpu")
    >>> widget = InsideRRN(model, world, ["user-0", "user-3"])
    >>> # a day is shown with the true taste of the morning after it, which the last has not
    >>> widget.day, len(widget.ratings[1])
    (3, 3)
    """

    _esm = source("engine.js", "recommender.js")
    _css = Widget._css + (HERE / "recommender.css").read_text(encoding="utf-8")
    users = traitlets.List().tag(sync=True)  # [n_users] names
    items = traitlets.List().tag(sync=True)  # [n_items] titles
    net = traitlets.Dict().tag(sync=True)  # of the RRN: sizes, scales and packed weights
    world = traitlets.Dict().tag(sync=True)  # rho, noise, factors [n_items][dim], and reader [dim][n_items]
    ratings = traitlets.List().tag(sync=True)  # [user] -> [day, item, rating] of each
    tastes = traitlets.List().tag(sync=True)  # [user][n_days + 1][dim] the truth of each morning
    k = traitlets.Int().tag(sync=True)
    user = traitlets.Int(0).tag(sync=True)
    day = traitlets.Int().tag(sync=True)
    ranks = traitlets.Int(0).tag(sync=True)
    film = traitlets.Int(0).tag(sync=True)
    rating = traitlets.Float(2.0).tag(sync=True)
    added = traitlets.List().tag(sync=True)

    def __init__(self, model, world, users, *, seed=0, titles=None, k=6, **kwargs):
        owners, seen, titles = _owners(model, users), model.seen, {} if titles is None else titles
        if type(world) is not RatingWorld or world.dim < 2 or world.level_shift or world.season:
            raise ValueError("the page shows a RatingWorld of two dimensions or more, without level shift and season")
        sample = world.sample(seed).take(slice(seen.n_ratings))
        if not all(np.array_equal(getattr(seen, name), getattr(sample, name))
                   for name in ("user_ids", "item_ids", "users", "items", "ratings", "times")):
            raise ValueError(f"the model has not seen the first ratings of world.sample({seed})")
        if model.config.user_step != DAY or not model.config.dynamic:
            raise ValueError("the page runs an RRN with dynamic factors and user_step=DAY")
        n_days = min(int(world.steps(seen.times[-1])) + 1, world.n_steps - 1)  # each has a morning after it
        if n_days < 1 or not 1 <= k <= world.n_items:
            raise ValueError(f"{n_days} days and lists of {k}; at least 1 day and 1 to {world.n_items} films are shown")
        # An orthogonal map changes neither ratings nor the law of tastes, so the filter runs in the plane's directions.
        turn = np.eye(2) if world.dim == 2 else np.linalg.svd(world.factors)[2]
        factors, days = world.factors @ turn.T, world.steps(seen.times)
        mine = [np.flatnonzero((seen.users == owner) & (days < n_days)) for owner in owners]
        columns, truth = (days, seen.items, seen.ratings), world.tastes(seed)[:n_days + 1, owners] @ turn.T
        super().__init__(
            users=[str(user) for user in users], items=[str(titles.get(each, each)) for each in seen.item_ids.tolist()],
            net=_net(model, owners, START + DAY * np.arange(n_days + 1)),
            world={"rho": world.rho, "noise": world.noise, "factors": factors.tolist(),
                   "reader": np.linalg.pinv(factors).tolist()},
            ratings=[[list(row) for row in zip(*(column[rows].tolist() for column in columns))] for rows in mine],
            tastes=rounded(truth.swapaxes(0, 1)), k=k, **{"day": n_days, **kwargs})

    def linked(self):
        counts = {"user": len(self.users), "film": len(self.items), "ranks": 3}
        most = max(len(self.tastes[0]), len(self.items))
        return {name: list(range(count)) for name, count in counts.items()} | {
            "day": list(range(1, len(self.tastes[0]))), "rating": {"low": -4, "high": 4},
            "added": {"of": {"low": -10, "high": most}, "least": 0, "most": 80}}

    def summary(self):
        return (f"A recurrent recommender follows {len(self.users)} users for {len(self.tastes[0]) - 1} days: where it "
                "sees their taste among the films, where the Kalman filter does, where it truly is, and what each "
                "recommends.")
