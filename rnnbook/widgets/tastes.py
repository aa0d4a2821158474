"""What a recurrent recommender believes of its users as time goes by, and what it would have shown them."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import torch
import traitlets

from rnnbook.widgets.base import HERE, MOST, Widget, rounded, source

LATEST = 12  # ratings listed between two dates
CSS = Widget._css + (HERE / "tastes.css").read_text(encoding="utf-8")


def _owners(model, users):
    """Indices of raw ids into ``model.seen.user_ids``, int64 [n_users]; ValueError unless all have ratings."""
    if not 1 <= len(users) <= MOST:
        raise ValueError(f"{len(users)} users; the widget shows 1 to {MOST}")
    owners = pd.Index(model.seen.user_ids).get_indexer(pd.Index(users))
    if bad := [user for user, i in zip(users, owners) if i not in model.seen.users]:
        raise ValueError(f"{bad[0]!r} has no ratings yet")
    return owners


def _names(ids, titles):
    titles = {} if titles is None else titles
    return [str(titles.get(each, each)) for each in ids.tolist()]


def _plane(points):
    """Points [n, d] on their first two principal components, float64 [n, 2], and the variance's shares [2]."""
    points = np.pad(points.astype(np.float64), ((0, 0), (0, 1)))  # so that d is 2 at least
    points -= points.mean(0)
    _, size, axes = np.linalg.svd(points, full_matrices=False)
    axes = axes[:2] * np.where(axes[:2].sum(1, keepdims=True) < 0, -1, 1)  # of two signs always the same
    return points @ axes.T, size[:2]**2 / max((size**2).sum(), np.finfo(float).tiny)


class TasteExplorer(Widget):
    """The path of a user's taste in the plane, and for each step the ratings and what had been predicted.

    The dynamic factors of all users at all their steps are shown on their first two principal components. The
    point of a step is the taste that predicts its ratings, from the steps before it. These ratings, and the time that
    passes, move it to the next point.

    Parameters
    ----------
    model : RRN
    users : sequence of raw ids
        1 to 8, each with ratings in ``model.seen``.
    titles : mapping of raw item ids to str, optional

    Attributes
    ----------
    user, step : int
        What is shown, counted from 0; at the start the last step of the first user.

    Raises
    ------
    ValueError
        If there are too many users or none, or one has no ratings.

    Examples
    --------
    >>> from rnnbook.rrn import RRNConfig, new_model
    >>> from rnnbook.worlds import RatingWorld
    >>> model = new_model(RatingWorld(n_users=5, n_steps=4).sample(), RRNConfig(), device="cpu")
    >>> widget = TasteExplorer(model, ["user-0", "user-3"])
    >>> # four steps, and where the taste is after the last
    >>> len(widget.times[0]), len(widget.paths[0])
    (4, 5)
    """

    _esm, _css = source("tastes.js"), CSS
    users = traitlets.List().tag(sync=True)  # [n_users] names
    items = traitlets.List().tag(sync=True)  # titles of the items rated
    shares = traitlets.List().tag(sync=True)  # [2] of the variance
    paths = traitlets.List().tag(sync=True)  # [user][step][2], and a point after the last step
    times = traitlets.List().tag(sync=True)  # [user][step]
    ratings = traitlets.List().tag(sync=True)  # [user][step] -> [item, rating, prediction] of each rating
    user = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int().tag(sync=True)

    def __init__(self, model, users, *, titles=None, **kwargs):
        owners, seen = _owners(model, users), model.seen
        steps, _ = model.steps(seen)
        paths = [model.trajectory(user).factors for user in users]
        points, shares = _plane(np.concatenate(paths))
        bags = [[steps.order[steps.bags[k]:steps.bags[k + 1]] for k in range(*steps.offsets[[i, i + 1]])]
                for i in owners]  # [user][step] -> places of its ratings in the data
        rows = np.concatenate([bag for each in bags for bag in each])
        items, codes = np.unique(seen.items[rows], return_inverse=True)
        predicted = model.predict(seen.user_ids[seen.users[rows]], seen.item_ids[seen.items[rows]],
                                  seen.times[rows])
        shown = dict(zip(rows.tolist(), zip(codes.tolist(), rounded(seen.ratings[rows]), rounded(predicted))))
        super().__init__(
            users=[str(user) for user in users], items=_names(seen.item_ids[items], titles), shares=rounded(shares),
            paths=[rounded(path) for path in np.split(points, np.cumsum([len(path) for path in paths[:-1]]))],
            times=[[f"{datetime.fromtimestamp(seen.times[bag[0]], UTC):%Y-%m-%d %H:%M}" for bag in each]
                   for each in bags],
            ratings=[[[list(shown[row]) for row in bag.tolist()] for bag in each] for each in bags],
            step=len(bags[0]) - 1, **kwargs)

    def summary(self):
        return (f"How the tastes of {len(self.users)} users move: their dynamic factors on two principal "
                "components, and for each step the ratings, the predictions before them and the errors.")


@torch.no_grad()
def _forecasts(model, owners, times):
    """What `RRN.predict` says of each user, time and item of ``model``: float64 [n_users, n_times, n_items].

    The state of a user or an item at a time is computed once, and not once for every pair of them.
    """
    model.eval()
    items = np.arange(len(model.item_ids))

    def factors(side, steps, owners):  # [len(owners), n_times, d]
        each = model.factors_at_times(side, steps, np.repeat(owners, len(times)), np.tile(times, len(owners)))
        return each.view(len(owners), len(times), -1)

    u, m = map(factors, model.sides, model.steps(model.seen), (owners, items))
    return np.array([[model.ratings(model.users.terms(u[i, t], np.full_like(items, owner)),
                                    model.items.terms(m[:, t], items)) for t in range(len(times))]
                     for i, owner in enumerate(owners)])


class TimeTravel(Widget):
    """What a user would have been recommended at each of some dates: the unrated items of highest prediction.

    Parameters
    ----------
    model : RRN
    users : sequence of raw ids
        1 to 8, each with ratings in ``model.seen``.
    times : float array [n_times], seconds since 1970
        Rising; about a dozen. A list knows the ratings at earlier steps only.
    titles : mapping of raw item ids to str, optional
    k : int
        Length of a list; shorter where fewer items of ``model.item_ids`` are left unrated.

    Attributes
    ----------
    user, date : int
        What is shown, counted from 0; at the start the last date of the first user.

    Raises
    ------
    ValueError
        If there are too many users or none, one has no ratings, times do not rise or k is not positive.

    Examples
    --------
    >>> from rnnbook.rrn import RRNConfig, new_model
    >>> from rnnbook.worlds import RatingWorld
    >>> data = RatingWorld(n_users=5, n_steps=4).sample()
    >>> model = new_model(data, RRNConfig(), device="cpu")
    >>> widget = TimeTravel(model, ["user-0"], [data.times[0], data.times[-1] + 1], k=3)
    >>> widget.dates, [len(best) for best in widget.lists[0]]
    (['2020-01-01', '2020-01-04'], [3, 3])
    """

    _esm, _css = source("tastes.js"), CSS
    users = traitlets.List().tag(sync=True)  # [n_users] names
    items = traitlets.List().tag(sync=True)  # titles of the items below
    dates = traitlets.List().tag(sync=True)  # [n_times] ISO days
    lists = traitlets.List().tag(sync=True)  # [user][date] -> [item, prediction], the best first
    unrated = traitlets.List().tag(sync=True)  # [user][date] -> [how many items, mean prediction]
    rated = traitlets.List().tag(sync=True)  # [user][date] -> [item, rating], the latest since the date before
    n_rated = traitlets.List().tag(sync=True)  # [user][date] how many those were in all
    user = traitlets.Int(0).tag(sync=True)
    date = traitlets.Int().tag(sync=True)

    def __init__(self, model, users, times, *, titles=None, k=5, **kwargs):
        owners, seen, times = _owners(model, users), model.seen, np.asarray(times, dtype=np.float64)
        if not len(times) or (np.diff(times) <= 0).any():
            raise ValueError("times must be one or more, and rise")
        if k < 1:
            raise ValueError(f"k is {k}; a list needs at least 1 item")
        lists, unrated, rated, n_rated = ([[] for _ in users] for _ in range(4))
        for i, (owner, each) in enumerate(zip(owners, _forecasts(model, owners, times))):
            mine = np.flatnonzero(seen.users == owner)
            ends = np.searchsorted(seen.times[mine], times)  # how many of them lie before each time
            for start, end, predicted in zip([0, *ends[:-1]], ends, each):
                left = np.setdiff1d(np.arange(len(predicted)), seen.items[mine[:end]])
                best = left[np.argsort(-predicted[left], kind="stable")[:k]]
                since = mine[start:end][::-1][:LATEST]
                lists[i].append(list(zip(best.tolist(), rounded(predicted[best]))))
                unrated[i].append([len(left), rounded(predicted[left].sum() / max(len(left), 1))])
                rated[i].append(list(zip(seen.items[since].tolist(), rounded(seen.ratings[since]))))
                n_rated[i].append(int(end - start))
        items = sorted({item for kind in (lists, rated) for each in kind for rows in each for item, _ in rows})
        code = {item: c for c, item in enumerate(items)}
        lists, rated = ([[[[code[item], value] for item, value in rows] for rows in each] for each in kind]
                        for kind in (lists, rated))
        super().__init__(
            users=[str(user) for user in users], items=_names(seen.item_ids[items], titles),
            dates=[f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d}" for t in times], lists=lists, unrated=unrated,
            rated=rated, n_rated=n_rated, date=len(times) - 1, **kwargs)

    def summary(self):
        return (f"What {len(self.users)} users would have been recommended on {len(self.dates)} dates, from "
                f"{self.dates[0]} to {self.dates[-1]}, and what they rated in between.")
