"""The recurrent recommender network (Wu, Ahmed, Beutel, Smola & Jing, WSDM 2017): ratings that move in time.

Read from top to bottom: ratings as sequences of steps, the settings, one side of the network (users or items;
both are alike), the model of both sides with its predictions, and the training by subspace descent.

Letters: n ratings, S steps, B sequences of at most L places, e embedding size, d dynamic factors, s stationary factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from rnnbook import training
from rnnbook.interactions import DAY, RatingData, concatenate

# --- Ratings as steps -------------------------------------------------------------------------------------


def _runs(starts, lengths):
    """The integers of the runs [start, start + length) one after another: int64 [sum of lengths]."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(lengths.sum())


class Steps:
    """The ratings of one side as sequences of steps: all that a user rated (or that befell an item) at one time.

    A step without ratings does not exist: the clock tells the next one how long the gap was. So everything here
    grows with the number of ratings, and nothing with users × items × time.

    Parameters
    ----------
    owners, others : int64 arrays [n]
        Whose step it is, and whom or what the rating was about.
    ratings, times : float64 arrays [n]
        The times never fall.
    n_owners : int
    width : float
        Seconds that count as one time; 0 puts only ratings of the same instant together.

    Attributes
    ----------
    time : float64 [S]
        Of each step, rounded down to ``width``; the steps of one owner lie together, the oldest first.
    offsets : int64 [n_owners + 1]
        Owner i has the steps ``offsets[i] : offsets[i + 1]``.
    bags : int64 [S + 1]
        Step k holds the ratings ``bags[k] : bags[k + 1]`` of ``others`` and ``ratings``.
    order : int64 [n]
        Where each of those ratings stood in the data.
    step : int64 [n]
        The step of each rating, in the order of the data.

    Examples
    --------
    Two users. The first rates twice at one instant, then once more: two steps, the first with two ratings.

    >>> owners, others = np.array([0, 0, 1, 0]), np.array([5, 6, 5, 7])
    >>> steps = Steps(owners, others, np.array([3.0, 4.0, 1.0, 5.0]),
    ...               np.array([10.0, 10.0, 20.0, 30.0]), 2, width=0)
    >>> steps.time.tolist(), steps.offsets.tolist(), steps.bags.tolist()
    ([10.0, 30.0, 20.0], [0, 2, 3], [0, 2, 3, 4])
    >>> steps.before([0, 0, 0], [10, 11, 31]).tolist()  # strictly before
    [0, 1, 2]
    """

    def __init__(self, owners, others, ratings, times, n_owners, width):
        self.order = np.argsort(owners, kind="stable")
        owner, clock = owners[self.order], _rounded(times, width)[self.order]
        first = np.ones(len(owner), dtype=bool)
        first[1:] = (owner[1:] != owner[:-1]) | (clock[1:] != clock[:-1])
        starts = np.flatnonzero(first)
        self.time, self.bags = clock[starts], np.append(starts, len(owner))
        self.offsets = np.searchsorted(owner[starts], np.arange(n_owners + 1))
        self.others, self.ratings, self.width = others[self.order], ratings[self.order], width
        self.step = np.empty(len(owner), dtype=np.int64)
        self.step[self.order] = np.cumsum(first) - 1

    def before(self, owners, times):
        """How many steps each owner has strictly before a time: int64 [B]."""
        return np.array([np.searchsorted(self.time[self.offsets[i]:self.offsets[i + 1]], t)
                         for i, t in zip(owners, times)], dtype=np.int64)


def _rounded(times, width):
    return np.floor(times / width) * width if width else times


def batches(sizes, batch_size, order):
    """Cut owners into batches of about ``batch_size`` steps, sequences of similar length side by side.

    Parameters
    ----------
    sizes : int64 array [n_owners]
        Steps of each; owners without any are left out.
    batch_size : int
        The sequence that fills a batch stays whole.
    order : int64 array
        Owners; those of equal length stay in this order.

    Returns
    -------
    list of int64 arrays, the shortest sequences first

    Examples
    --------
    Owners of 3, 1, 0 and 1 steps, cut where about two steps are together.

    >>> [batch.tolist() for batch in batches(np.array([3, 1, 0, 1]), batch_size=2,
    ...                                      order=np.arange(4))]
    [[1, 3], [0]]
    """
    order = order[sizes[order] > 0]
    order = order[np.argsort(sizes[order], kind="stable")]
    batch = (np.cumsum(sizes[order]) - sizes[order]) // batch_size
    return np.split(order, np.flatnonzero(np.diff(batch)) + 1) if len(order) else []


# --- Settings ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RRNConfig:
    """Settings of an RRN.

    Sizes are those of the paper (Wu et al., "Recurrent Recommender Networks", 2017, section 4.1), the stationary one
    that for IMDb; for Netflix it is 20. Dropout, clipping and learning rate are those that the authors' later paper
    gives for this model ("Joint Training of Ratings and Reviews with Recurrent Recommender Networks", 2017). The
    paper's steps are wider, from a day to two months; the other settings were chosen on validation ratings.

    Examples
    --------
    >>> RRNConfig(dynamic=False, stationary=False)
    Traceback (most recent call last):
    ValueError: with dynamic=False and stationary=False nothing is left of the model
    """

    hidden_size: int = 40  # of each LSTM
    embedding_size: int = 40  # of its input y_t
    dynamic_size: int = 20  # not 40, as in the later paper, which did worse on validation ratings
    stationary_size: int = 160
    dropout: float = 0.5  # of the dynamic factors
    penalty: float = 30.0  # ℓ2 on a user's and an item's own factors, in ratings
    bias_penalty: float = 1.0
    clip: float = 15.0  # each component of a gradient, ±
    learning_rate: float = 1.5e-3  # Adam
    table_learning_rate: float | None = None  # of what is each one's own, if another; rare rows need large steps
    decay: bool = False  # let the learning rate fall epoch by epoch, in a straight line to 0 after the last
    batch_size: int = 4096  # steps
    n_epochs: int = 16
    user_step: float = 0.0  # seconds that count as one time for a user; 0: each instant
    item_step: float = DAY

    # How often a training sequence is that of a stranger, without parameters of its own, as most new users are.
    # Without it the LSTM would learn to count on parameters that were fitted to the very ratings it predicts.
    stranger: float = 0.5

    # Parts that can be switched off alone
    newbie: bool = True  # the flag of a first step
    wall_clock: bool = True  # τ_t and τ_{t−1}
    dynamic: bool = True  # the LSTMs
    stationary: bool = True  # the parameters of each user and item
    anchored: bool = True  # not in the paper: the dynamic factors swing around a point of each user's and item's own
    joint: bool = False  # back-propagate through both sides at once instead of one at a time

    def __post_init__(self):
        for name in ("hidden_size", "embedding_size", "dynamic_size", "stationary_size", "batch_size", "n_epochs"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}; it must be an integer of at least 1")
        for name in ("dropout", "stranger"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}; it must be in [0, 1)")
        for name in ("penalty", "bias_penalty", "user_step", "item_step"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}; it must not be negative")
        if not (self.dynamic or self.stationary):
            raise ValueError("with dynamic=False and stationary=False nothing is left of the model")


# --- The network ------------------------------------------------------------------------------------------


TABLES = ("read", "anchor", "stationary", "bias")  # of a Side: only the rows of a batch have a gradient


class Side(nn.Module):
    """The users' half of the model, or the items': an LSTM over their steps, and what is each one's own.

    Every table has a row more than there were owners (or others) in training; it stays zero and stands for all
    that came later. So does the row of one who had no rating in training.

    Parameters
    ----------
    n_owners, n_others : int
    config : RRNConfig

    Examples
    --------
    All who came after the training share the last row, of zeros.

    >>> side = Side(n_owners=3, n_others=2, config=RRNConfig(stationary_size=4))
    >>> side.start(torch.tensor([0, 1]), torch.tensor([0, 1]))  # owner 2 has no rating
    >>> side.rows(torch.tensor([0, 2, 3, 17, -1])).tolist()
    [0, 2, 3, 3, 3]
    >>> side.stationary.weight.abs().sum(1).gt(0).tolist()
    [True, True, False, False]
    """

    def __init__(self, n_owners, n_others, config):
        super().__init__()
        self.n_owners, self.n_others, self.config = n_owners, n_others, config
        # W_embed: a row for the rating of each other one, and a row for its having been rated at all, since a
        # rating of 0, the mean, is not the same as none. The very first row of each kind is common to all.
        self.read = nn.Embedding(2 * (n_others + 2), config.embedding_size, sparse=True)
        self.read_anchor = nn.Linear(config.dynamic_size, 2 * config.embedding_size, bias=False)
        self.clock = nn.Linear(3, config.embedding_size)
        self.lstm = nn.LSTM(config.embedding_size, config.hidden_size)
        self.to_factors = nn.Linear(config.hidden_size, config.dynamic_size)
        self.anchor = nn.Embedding(n_owners + 1, config.dynamic_size, sparse=True)
        self.stationary = nn.Embedding(n_owners + 1, config.stationary_size, sparse=True)
        self.bias = nn.Embedding(n_owners + 1, 1, sparse=True)

    @torch.no_grad()
    def start(self, owners, others):
        """Small random rows for all who have a rating in training, zeros for the others."""
        known = owners.unique()
        for table, std in ((self.anchor, 0.02), (self.stationary, 0.05), (self.bias, 0.0)):
            rows = torch.randn(len(known), table.embedding_dim, device=known.device) * std
            nn.init.zeros_(table.weight).index_copy_(0, known, rows)
        rows = torch.cat([others.unique() + 1, others.new_zeros(1)])
        rows = torch.cat([rows, rows + self.n_others + 2])
        noise = torch.randn(len(rows), self.read.embedding_dim, device=known.device) * 0.1
        nn.init.zeros_(self.read.weight).index_copy_(0, rows, noise)

    def rows(self, owners):
        """Each one's row of the tables, int64 [k]; -1 and all that were not there in training have the last."""
        return torch.where((owners < 0) | (owners > self.n_owners), self.n_owners, owners)

    @torch.no_grad()
    def start_from(self, factors):
        """Stationary factors [n_owners, s] to begin with; rows of those without a rating in training stay zero."""
        table = self.stationary.weight
        factors = torch.as_tensor(factors).to(table)
        if factors.shape != (self.n_owners, table.shape[1]):
            raise ValueError(f"factors to start from are {tuple(factors.shape)}; {self.n_owners} owners and "
                             f"stationary_size={table.shape[1]} need {(self.n_owners, table.shape[1])}")
        known = (self.anchor.weight[:-1] != 0).any(1, keepdim=True)
        table[:-1] = factors * known

    def forward(self, steps, owners, n_before, last, clock, read):
        """Dynamic factors at every place of some sequences.

        A sequence reads the steps 1 … n_before of its owner and has n_before + 1 places. At place k it has read
        the steps before k; its input is what the step before brought and the time of the place:

            y_k = W_embed [x_{k−1}, 1_newbie, τ_k, τ_{k−1}],    h_k = LSTM(h_{k−1}, y_k)

        where x_{k−1} is a bag of ratings, empty at the first place, which is the newbie's. Of a rating counts what its
        subject's bias leaves. A row of W_embed is one of its own plus, from the subject's anchor, a linear function.

        Parameters
        ----------
        steps : Steps
        owners : int64 array [B]
        n_before : int64 array [B]
        last : float64 array [B]
            The time of the last place, in seconds.
        clock : callable(float64 array) -> float64 array
            Seconds to the model's time.
        read : callable(int64 array [k], int64 array [r]) -> (Tensor, float [k], Tensor, float [r, d])
            The values of ratings of ``steps``, and the anchors of others.

        Returns
        -------
        Tensor, float [sum of n_before + 1, d], sequence after sequence
        """
        config, device, dtype = self.config, self.clock.weight.device, self.clock.weight.dtype
        first, ends = steps.offsets[owners], np.cumsum(n_before + 1)
        row = np.repeat(np.arange(len(owners)), n_before + 1)
        place = _runs(np.zeros_like(first), n_before + 1)
        time = np.empty(len(row))
        time[ends - 1] = last
        reads = _runs(first, n_before)  # the steps that are read, and read at the place after their own
        earlier = np.ones(len(row), dtype=bool)
        earlier[ends - 1] = False
        time[earlier] = steps.time[reads]

        size = steps.bags[reads + 1] - steps.bags[reads]
        held = _runs(steps.bags[reads], size)
        who, which = np.unique(np.minimum(steps.others[held], self.n_others), return_inverse=True)

        since = np.zeros(len(row))
        since[1:] = np.where(place[1:] > 0, np.diff(time), 0.0)
        given = np.stack([(place == 0) * config.newbie, clock(time) * config.wall_clock,
                          np.log1p(since / 3600) / 5 * config.wall_clock], axis=1)

        def here(array, dtype):
            return torch.from_numpy(np.ascontiguousarray(array)).to(device, dtype)

        row, place = here(row, torch.int64), here(place, torch.int64)
        y = self.clock(here(given, dtype))
        if len(reads):
            # The rows of W_embed that occur here, each made once: what is common to all, its own, and of its anchor.
            value, anchor = read(held, who)
            own = self.read(here(np.append(0, who + 1) + [[0], [self.n_others + 2]], torch.int64))
            rows = own[:, :1] + own[:, 1:] + self.read_anchor(anchor).view(len(who), 2, -1).transpose(0, 1)
            bag = F.embedding_bag(here(np.stack([which, which + len(who)], axis=1).ravel(), torch.int64),
                                  rows.flatten(0, 1), here(2 * (np.cumsum(size) - size), torch.int64), mode="sum",
                                  per_sample_weights=torch.stack([value, torch.ones_like(value)], dim=1).ravel())
            y = y.index_add(0, here(np.flatnonzero(earlier), torch.int64) + 1, bag)
        padded = y.new_zeros(int(n_before.max()) + 1, len(owners), config.embedding_size)
        h = self.lstm(padded.index_put((place, row), y))[0][place, row]
        return F.dropout(self.to_factors(h), config.dropout, self.training)


class Trajectory(NamedTuple):
    """The way of one user or item through time.

    Examples
    --------
    >>> from rnnbook.worlds import RatingWorld
    >>> data = RatingWorld(n_users=5, n_steps=4).sample()
    >>> model = new_model(data, RRNConfig(dynamic_size=3), device="cpu")
    >>> times, factors = model.trajectory("user-0")  # four ratings, and a moment after the last
    >>> times.shape, factors.shape
    ((5,), (5, 3))
    """

    times: np.ndarray  # float64 [k], seconds
    factors: np.ndarray  # float32 [k, d]: the dynamic factors that predict at each time, from the ratings before it


class RRN(nn.Module):
    r"""Users and items whose states move with each rating.

    .. math::
        \hat r_{ij}(t) = \langle W_u u_i(t) + b_u + a_i,\; W_m m_j(t) + b_m + a_j \rangle
            + \langle p_i, q_j \rangle + c_i + c_j

    in units of the training ratings' standard deviation, around their mean. :math:`u_i(t)` and :math:`m_j(t)` are the
    LSTMs' states after all steps strictly before t; p and q are stationary factors. The paper has neither the biases c,
    which it can express in p and q, nor the anchors a (``anchored=False`` takes them out): with them what a user likes
    now can meet what a movie always was, which no term of the paper's sum provides.

    Parameters
    ----------
    item_ids : ndarray [n_items]
        Of the training data, as are the users.
    config : RRNConfig
    device : torch.device or str
    user_ids : ndarray [n_users]
    scale : dict
        The training ratings' ``mean`` and ``std``, and the ``start`` and ``span`` of their times in seconds.

    Attributes
    ----------
    seen : RatingData
        All ratings so far: those of the training, and what was observed since.

    Examples
    --------
    Predictions change with what was observed, without any training.

    >>> from rnnbook.worlds import RatingWorld
    >>> data = RatingWorld(n_users=5, n_steps=4).sample()
    >>> past, future = data.take(slice(10)), data.take(slice(10, None))
    >>> model = new_model(past, RRNConfig(), device="cpu")
    >>> model.follow(future).shape
    (10,)
    >>> who, what, when = ["user-0", "a stranger"], ["item-1", "item-1"], [data.times[-1] + 1] * 2
    >>> before = model.predict(who, what, when)
    >>> model.observe(future)
    >>> model.seen.n_ratings, np.array_equal(before, model.predict(who, what, when))
    (20, False)
    """

    Config = RRNConfig
    BUILT_FROM: tuple[str, ...] = ("user_ids", "scale")  # beside settings and item_ids; what a checkpoint has to hold

    def __init__(self, item_ids, config, device="cpu", *, user_ids, scale):
        super().__init__()
        self.item_ids, self.user_ids = np.asarray(item_ids), np.asarray(user_ids)
        self.config, self.scale, self.history = config, scale, []
        nobody, nothing = np.empty(0, np.int64), np.empty(0)
        self.seen = RatingData(nobody, nobody, nothing, nothing, self.user_ids, self.item_ids)
        n_users, n_items = len(self.user_ids), len(self.item_ids)
        with torch.device(device):
            self.users, self.items = Side(n_users, n_items, config), Side(n_items, n_users, config)

    @property
    def device(self):
        """torch.device: where the parameters are."""
        return self.users.clock.weight.device

    def to_scale(self, ratings):
        """Ratings in the model's unit, the standard deviation of the training ratings, around their mean."""
        return (ratings - self.scale["mean"]) / self.scale["std"]

    def to_clock(self, times):
        """Seconds to the model's τ: 0 at the first training rating, 1 at the last."""
        return (times - self.scale["start"]) / self.scale["span"]

    def steps(self, data):
        """The ratings as steps of the users and as steps of the items: two Steps."""
        config = self.config
        return (Steps(data.users, data.items, data.ratings, data.times, data.n_users, config.user_step),
                Steps(data.items, data.users, data.ratings, data.times, data.n_items, config.item_step))

    @property
    def sides(self):
        """The users' Side and the items'."""
        return self.users, self.items

    def zeros(self, k):
        """Dynamic factors of 0, float [k, d]."""
        return torch.zeros(k, self.config.dynamic_size, device=self.device, dtype=self.users.clock.weight.dtype)

    def run(self, side, steps, owners, n_before, last):
        """`Side.forward`, or zeros where the model has no dynamic part."""
        if not self.config.dynamic:
            return self.zeros(int((n_before + 1).sum()))
        other = self.items if side is self.users else self.users

        def read(ratings, others):
            value = torch.from_numpy(self.to_scale(steps.ratings[ratings])).to(self.device, self.zeros(0).dtype)
            rated, rows = (other.rows(torch.from_numpy(i).to(self.device)) for i in (steps.others[ratings], others))
            anchor = other.anchor(rows) * (self.config.stationary * self.config.anchored)
            return value - other.bias(rated)[:, 0].detach() * self.config.stationary, anchor.detach()

        return side(steps, owners, n_before, last, self.to_clock, read)

    def at_steps(self, side, steps, owners):
        """Dynamic factors at all steps of some owners, each from the steps before it.

        Returns
        -------
        numbers : int64 array [P]
            Of the steps.
        factors : Tensor, float [P, d]
        """
        first, end = steps.offsets[owners], steps.offsets[owners + 1]
        return _runs(first, end - first), self.run(side, steps, owners, end - first - 1, steps.time[end - 1])

    def at_all_steps(self, side, steps, owners=None):
        """The same for many owners, batch by batch: float [S, d], zeros at the steps of the others."""
        sizes = np.diff(steps.offsets)
        owners = np.arange(len(sizes)) if owners is None else owners
        parts = [self.at_steps(side, steps, batch) for batch in batches(sizes, 4 * self.config.batch_size, owners)]
        out = self.zeros(len(steps.time))
        if parts:  # in one go: a copy of all for each batch would cost the square of the number of steps
            numbers, factors = zip(*parts)
            out = out.index_copy(0, torch.from_numpy(np.concatenate(numbers)).to(self.device), torch.cat(factors))
        return out

    def at_times(self, side, steps, owners, times):
        """Dynamic factors of some owners (int64 [k], -1: unknown) at any times (s, [k]): float [k, d]."""
        times = _rounded(times, steps.width)
        n_before = steps.before(owners, times)
        out = self.zeros(len(owners))
        for batch in batches(n_before + 1, 4 * self.config.batch_size, np.arange(len(owners))):
            factors = self.run(side, steps, owners[batch], n_before[batch], times[batch])
            final = torch.from_numpy(np.cumsum(n_before[batch] + 1) - 1).to(self.device)
            out[torch.from_numpy(batch).to(self.device)] = factors[final]
        return out

    def own(self, side, owners, known=None):
        """What belongs to each owner alone: anchor [k, d], stationary factors [k, s], bias [k].

        Parameters
        ----------
        owners : int64 array [k]
        known : Tensor, bool [n_owners], optional
            Where False, the owner is treated as such a stranger.
        """
        # Each row of the tables is read once, and so its gradient is one row, however many ratings need it.
        owners, place = (torch.from_numpy(i).to(self.device) for i in np.unique(owners, return_inverse=True))
        rows = side.rows(owners)
        kept = float(self.config.stationary) if known is None else self.config.stationary * known[owners, None].float()
        anchor, stationary, bias = (F.embedding(place, part) for part in (
            side.anchor(rows) * (kept * self.config.anchored), side.stationary(rows) * kept, side.bias(rows) * kept))
        return anchor, stationary, bias[:, 0]

    def norm(self, side, owners, counts):
        """R(θ) of some owners: the squares of what is each one's own, by their penalties.

        One part in ``counts`` (float array [k]) of each: a rating carries one in as many as its owner has, so that
        each owner (int64 array [k]) counts once an epoch on either side.
        """
        config, rows = self.config, side.rows(torch.from_numpy(owners).to(self.device))
        counts = torch.from_numpy(counts).to(self.device, side.bias.weight.dtype)
        factors = side.anchor(rows).square().sum(1) + side.stationary(rows).square().sum(1)
        return ((config.penalty * factors + config.bias_penalty * side.bias(rows)[:, 0].square()) / counts).sum()

    @staticmethod
    def combine(u, m, ours, theirs):
        """The prediction on the model's scale, float [k], from dynamic factors [k, d] and the `own` of both sides."""
        (a, p, c), (b, q, d) = ours, theirs
        return ((u + a) * (m + b)).sum(1) + (p * q).sum(1) + c + d

    def ratings(self, u, m, users, items):
        """`combine` on the data's scale, for indices (int64 [k]) of users and items: float64 array [k]."""
        return self.combine(u, m, *self.own_of_both(users, items)).cpu().double().numpy() * self.scale["std"] \
            + self.scale["mean"]

    def own_of_both(self, users, items):
        """What is the users' own and what the items', by indices (int64 arrays [k])."""
        return [self.own(side, owners) for side, owners in zip(self.sides, (users, items))]

    def ahead(self, data):
        """Where users and items are at every rating of ``data``, if these came in one after another.

        Returns
        -------
        u, m : Tensors, float [data.n_ratings, d]
            Dynamic factors of both sides.
        users, items : int64 arrays [data.n_ratings]
            Indices; those that training did not know come behind the others.
        """
        both = concatenate(self.seen, data)
        new = slice(self.seen.n_ratings, None)
        u, m = (self.at_all_steps(side, steps, np.unique(who[new]))[torch.from_numpy(steps.step[new]).to(self.device)]
                for side, steps, who in zip(self.sides, self.steps(both), (both.users, both.items)))
        return u, m, both.users[new], both.items[new]

    @torch.no_grad()
    def follow(self, data):
        """Predict every rating of ``data`` as if they came in one after another; nothing is trained.

        Parameters
        ----------
        data : RatingData
            What comes after ``seen``. Users and items may be new.

        Returns
        -------
        float64 array [data.n_ratings]
            Each from what was seen and from the ratings of ``data`` at earlier steps.
        """
        return self.eval().ratings(*self.ahead(data))

    def at(self, users, items, times):
        """As `ahead`, of raw ids [k] at any times [k] (s), from what was seen; an unknown id has the index -1."""
        times = np.asarray(times, dtype=np.float64)
        users, items = (pd.Index(ids).get_indexer(pd.Index(raw)).astype(np.int64)
                        for ids, raw in ((self.seen.user_ids, users), (self.seen.item_ids, items)))
        u, m = (self.at_times(side, steps, owners, times)
                for side, steps, owners in zip(self.sides, self.steps(self.seen), (users, items)))
        return u, m, users, items

    @torch.no_grad()
    def predict(self, users, items, times):
        """What these users would give these items at these times, from the ratings seen at earlier steps.

        Parameters
        ----------
        users, items : sequences of raw ids [k]
            Unknown ids get the prediction for a newcomer.
        times : float array [k], seconds since 1970

        Returns
        -------
        float64 array [k], on the scale of the ratings
        """
        return self.eval().ratings(*self.at(users, items, times))

    def observe(self, data):
        """Take in new ratings: predictions after them start from the moved states. Nothing is trained.

        Parameters
        ----------
        data : RatingData
            Not earlier than what was seen; users and items may be new.
        """
        self.seen = concatenate(self.seen, data)

    @torch.no_grad()
    def trajectory(self, user=None, *, item=None, times=None):
        """The way of one user (or one item) through time.

        Parameters
        ----------
        user, item : raw id, one of the two
        times : float array [k], optional
            Seconds; by default the steps at which the user rated, and a moment after the last.

        Returns
        -------
        Trajectory
        """
        if (user is None) == (item is None):
            raise ValueError("a trajectory is that of one user or of one item; give one of the two")
        which, raw, ids = (0, user, self.seen.user_ids) if item is None else (1, item, self.seen.item_ids)
        [owner] = pd.Index(ids).get_indexer([raw])
        if owner < 0:
            raise ValueError(f"{raw!r} has no ratings yet, so there is no trajectory")
        self.eval()
        side, steps = self.sides[which], self.steps(self.seen)[which]
        if times is None:
            times = steps.time[steps.offsets[owner]:steps.offsets[owner + 1]]
            times = np.append(times, times[-1] + max(1.0, steps.width))
        u = self.at_times(side, steps, np.full(len(times), owner), np.asarray(times, dtype=np.float64))
        anchor, _, _ = self.own(side, np.array([owner]))
        return Trajectory(np.asarray(times), (u + anchor).cpu().numpy())

    def save(self, path):
        """Write the folder ``path``: parameters and seen ratings as safetensors, settings and ids as JSON."""
        seen = {f"seen.{name}": torch.from_numpy(getattr(self.seen, name)) for name in SEEN}
        more = {name: getattr(self, name) for name in self.BUILT_FROM} | {"user_ids": self.user_ids.tolist()}
        training.save_model(self, path, extra_tensors=seen, **more,
                            seen={"user_ids": self.seen.user_ids.tolist(), "item_ids": self.seen.item_ids.tolist(),
                                  "name": self.seen.name})

    @classmethod
    def load(cls, path, device="auto"):
        """Read what `save` wrote. A folder that does not fit raises ValueError and names what is wrong."""
        tensors, info = training.load_checkpoint(path)
        if not {"user_ids", "item_ids", "name"} <= info.get("seen", {}).keys():
            raise ValueError(f"{path}: info.json says nothing of the seen ratings; save the model again")
        users, items, ratings, times = (tensors.pop(f"seen.{name}", torch.empty(0)).numpy() for name in SEEN)
        model = training.build_model(cls, cls.Config, tensors, info, path, device, cls.BUILT_FROM)
        user_ids, item_ids = (np.asarray(info["seen"][name]) for name in ("user_ids", "item_ids"))
        model.seen = RatingData(users, items, ratings, times, user_ids, item_ids, info["seen"]["name"])
        _check_seen(model.seen, path)
        return model


SEEN = {"users": np.int64, "items": np.int64, "ratings": np.float64, "times": np.float64}


def _check_seen(seen, path):
    """Raise ValueError unless the arrays of a checkpoint are ratings."""
    fits = all(getattr(seen, name).dtype == kind and getattr(seen, name).shape == seen.times.shape
               for name, kind in SEEN.items())
    if not (fits and seen.n_ratings and np.isfinite(seen.ratings).all() and (np.diff(seen.times) >= 0).all()
            and all(0 <= index.min() and index.max() < n
                    for index, n in ((seen.users, seen.n_users), (seen.items, seen.n_items)))):
        raise ValueError(f"{path}: the seen ratings are damaged; save the model again")


# --- Training ---------------------------------------------------------------------------------------------


class Targets(NamedTuple):
    """The ratings to learn, in the order of the data.

    Examples
    --------
    Ratings of 1, 3 and 5 have the mean 3 and the standard deviation 1.633: on the model's scale the first is -2/1.633.

    >>> rows = pd.DataFrame({"user": ["ann", "bob", "ann"], "item": "tea",
    ...                      "rating": [1.0, 3.0, 5.0], "time": range(3)})
    >>> data = RatingData.from_frame(rows)
    >>> learnt = targets(new_model(data, RRNConfig(), device="cpu"), data)
    >>> [round(y, 4) for y in learnt.y.tolist()]
    [-1.2247, 0.0, 1.2247]
    """

    owners: tuple  # of two int64 arrays [n]: users and items
    counts: tuple  # of two int64 arrays [n_users] and [n_items]: how many ratings each has
    y: torch.Tensor  # float [n]: ratings on the model's scale


def targets(model, data):
    """The Targets of a RatingData, what is to be predicted on the model's device.

    Examples
    --------
    >>> rows = pd.DataFrame({"user": ["ann", "bob", "ann"], "item": "tea",
    ...                      "rating": [1.0, 3.0, 5.0], "time": range(3)})
    >>> data = RatingData.from_frame(rows)
    >>> learnt = targets(new_model(data, RRNConfig(), device="cpu"), data)
    >>> [owner.tolist() for owner in learnt.owners], [count.tolist() for count in learnt.counts]
    ([[0, 1, 0], [0, 0, 0]], [[2, 1], [3]])
    """
    owners = data.users, data.items
    counts = tuple(np.bincount(ids, minlength=n) for ids, n in zip(owners, (data.n_users, data.n_items)))
    return Targets(owners, counts, torch.from_numpy(model.to_scale(data.ratings)).to(model.zeros(0)))


def batch_of(model, which, owners, steps, data, fixed, known):
    """All that the ratings of some owners are predicted from, with the other side's dynamic factors as they are.

    What belongs to a user or an item alone is no sequence, and gets its gradient on either side.

    Parameters
    ----------
    model : RRN
    which : 0 for users, 1 for items
        Whose sequences are run.
    owners : int64 array [B]
    steps : pair of Steps
    data : Targets
    fixed : Tensor, float [S', d], or None
        The other side's dynamic factors at all its steps. None computes those that are needed, and the gradient
        then goes through both sides: joint back-propagation.
    known : Tensor, bool [n_owners]
        Who is trained with parameters of their own, and who as a stranger.

    Returns
    -------
    at : int64 array [k]
        Places of the ratings in the data.
    parts : u, m, ours, theirs
        What `RRN.combine` takes, of users and items.

    Examples
    --------
    Ann's ratings are the first and the third; the items' factors are computed with them, as ``fixed`` is None.

    >>> rows = pd.DataFrame({"user": ["ann", "bob", "ann"], "item": "tea",
    ...                      "rating": [1.0, 3.0, 5.0], "time": range(3)})
    >>> data = RatingData.from_frame(rows)
    >>> model = new_model(data, RRNConfig(dynamic_size=4), device="cpu")
    >>> learnt, known = targets(model, data), torch.tensor([True, True])
    >>> at, (u, m, ours, theirs) = batch_of(model, 0, np.array([0]), model.steps(data), learnt,
    ...                                     None, known)
    >>> at.tolist(), u.shape, m.shape
    ([0, 2], torch.Size([2, 4]), torch.Size([2, 4]))
    """
    mine, theirs = steps[which], steps[1 - which]
    numbers, factors = model.at_steps(model.sides[which], mine, owners)
    size = mine.bags[numbers + 1] - mine.bags[numbers]
    at = mine.order[_runs(mine.bags[numbers], size)]
    place, their_step = (torch.from_numpy(i).to(model.device) for i in (
        np.repeat(np.arange(len(numbers)), size), theirs.step[at]))
    us, them = data.owners[which][at], data.owners[1 - which][at]
    own, other = model.own(model.sides[which], us, known), model.own(model.sides[1 - which], them)
    if fixed is None:
        fixed = model.at_all_steps(model.sides[1 - which], theirs, np.unique(them))
    one, two = (factors[place], own), (fixed[their_step], other)
    (u, ours), (m, others) = (one, two) if which == 0 else (two, one)
    return at, (u, m, ours, others)


def batch_loss(model, data, at, parts):
    """The loss over the ratings of a batch, from what `batch_of` returned.

    Returns
    -------
    loss : Tensor, scalar
        The mean squared error on the model's scale, and the penalties.
    error : Tensor, scalar
        The sum of squared errors.

    Examples
    --------
    >>> rows = pd.DataFrame({"user": ["ann", "bob", "ann"], "item": "tea",
    ...                      "rating": [1.0, 3.0, 5.0], "time": range(3)})
    >>> data = RatingData.from_frame(rows)
    >>> model = new_model(data, RRNConfig(penalty=0.0, bias_penalty=0.0), device="cpu")
    >>> learnt, known = targets(model, data), torch.tensor([True, True])
    >>> at, parts = batch_of(model, 0, np.array([0, 1]), model.steps(data), learnt, None, known)
    >>> loss, error = batch_loss(model, learnt, at, parts)
    >>> torch.isclose(loss, error / 3).item()  # without penalties, the mean over the three ratings
    True
    """
    norm = 0.0
    for side, ids, counts in zip(model.sides, data.owners, data.counts):
        owners, here = np.unique(ids[at], return_counts=True)  # each once, with the shares of all its ratings here
        norm = norm + model.norm(side, owners, counts[owners] / here)
    error = (model.combine(*parts) - data.y[torch.from_numpy(at).to(model.device)]).square()
    return error.mean() + norm / len(at), error.detach().sum()


def new_model(train, config, *, device="auto", seed=0, start=None, kind=RRN):
    """An untrained model of a kind of RRN that has seen ``train``; the caller's random numbers are left alone.

    Examples
    --------
    >>> rows = pd.DataFrame({"user": ["ann", "bob", "ann"], "item": "tea",
    ...                      "rating": [1.0, 3.0, 5.0], "time": range(3)})
    >>> model = new_model(RatingData.from_frame(rows), RRNConfig(), device="cpu")
    >>> model.scale["mean"], model.seen.n_ratings, model.users.bias.weight.flatten().tolist()
    (3.0, 3, [0.0, 0.0, 0.0])
    """
    device = training.pick_device(device)
    scale = {"mean": float(train.ratings.mean()), "std": float(train.ratings.std()) or 1.0,
             "start": float(train.times[0]), "span": float(train.times[-1] - train.times[0]) or 1.0}
    owners = [torch.from_numpy(i).to(device) for i in (train.users, train.items)]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = kind(train.item_ids, config, device, user_ids=train.user_ids, scale=scale)
        for side, mine, theirs in zip(model.sides, owners, owners[::-1]):
            side.start(mine, theirs)
    if start is not None:
        for side, factors in zip(model.sides, start):
            side.start_from(factors)
    model.seen = train
    return model


def fit(train, config=RRNConfig(), *, device="auto", seed=0, valid=None, patience=3, checkpoint=None, progress=True,
        callback=None, start=None):
    """Train an RRN by subspace descent.

    Each epoch runs the users' sequences batch by batch with the items' dynamic factors as they stand, then the
    items' with the users'. Back-propagation through both at once would chain every user's sequence to those of all
    items that they rated, and these to all others.

    Parameters
    ----------
    train : RatingData
    config : RRNConfig
    device : str or torch.device
        ``"auto"`` takes a GPU when there is one.
    seed : int
        The same seed on the same machine gives the same model.
    valid : RatingData, optional
        The ratings that come next. After each epoch the model follows them; the epoch of least RMSE is kept.
    patience : int
        With ``valid``: stop when the RMSE has not fallen for this many epochs.
    checkpoint : path, optional
        A folder, rewritten after every epoch; training goes on from there.
    progress : bool
        Show a progress bar.
    callback : callable(dict), optional
        Receives ``{"epoch", "loss", "rmse"}`` after each epoch (``rmse`` with ``valid``); the loss is the mean
        squared error of the training ratings on the model's scale.
    start : pair of float arrays [n_users, s], [n_items, s], optional
        Stationary factors to begin with, in units of the ratings' standard deviation, as of an I-AutoRec.

    Returns
    -------
    RRN
        In evaluation mode; it has seen ``train`` (not ``valid``, see `RRN.observe`).

    Examples
    --------
    Users whose ratings are 4 or 2, all of them; 20 epochs tell who is who.

    >>> rows = [(u, k % 3, 4.0 if u % 2 else 2.0, DAY * k + u) for u in range(10)
    ...         for k in range(10)]
    >>> frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    >>> train = RatingData.from_frame(frame)
    >>> config = RRNConfig(stationary_size=4, dropout=0.0, batch_size=50, learning_rate=0.01,
    ...                    n_epochs=20)
    >>> model = fit(train, config, device="cpu", progress=False)
    >>> strict, kind = model.predict([0, 1], [0, 0], [20 * DAY, 20 * DAY])
    >>> print(strict < 2.5, kind > 3.5)
    True True
    """
    if train.n_ratings == 0:
        raise ValueError(f"{train.name}: nothing to learn from")
    model = new_model(train, config, device=device, seed=seed, start=start)
    descend(model, train, batch_loss, seed=seed, valid=valid, patience=patience, checkpoint=checkpoint,
            progress=progress, callback=callback,
            identity=training.identity(config, train, valid, seed, start=start is not None))
    return model


def descend(model, train, loss_of, *, seed, valid, patience, checkpoint, progress, callback, identity, before=None):
    """The training of `fit`.

    Parameters
    ----------
    model : RRN
    train, valid : RatingData, RatingData or None
    loss_of : callable
        `batch_loss`, or what stands in its place.
    identity : dict
        See `rnnbook.training.run`.
    before : callable(optimizer), optional
        Called at the beginning of the first epoch.

    Examples
    --------
    As `fit`, with a loss of one's own: here without the penalties.

    >>> from rnnbook.worlds import RatingWorld
    >>> train = RatingWorld(n_users=5, n_steps=4).sample()
    >>> model = new_model(train, RRNConfig(n_epochs=2), device="cpu")
    >>> def plain(model, data, at, parts):
    ...     error = (model.combine(*parts) - data.y[at]).square()
    ...     return error.mean(), error.detach().sum()
    >>> descend(model, train, plain, seed=0, valid=None, patience=3, checkpoint=None,
    ...         progress=False, callback=None, identity={})
    >>> [point["epoch"] for point in model.history]
    [1, 2]
    """
    config = model.config
    tables = {name for name, _ in model.named_parameters() if name.split(".")[-2] in TABLES}
    optimizer = training.Adam(dict(model.named_parameters()), config.learning_rate, tables, config.table_learning_rate)
    dense = [p for name, p in model.named_parameters() if name not in tables]
    steps = model.steps(train)
    data = targets(model, train)
    sizes = [np.diff(side.offsets) for side in steps]
    n_steps = [len(batches(size, config.batch_size, np.arange(len(size)))) for size in sizes]
    hidden = {} if progress else {"disable": True}  # left out, TQDM_DISABLE in the environment decides
    bar = tqdm(total=config.n_epochs * sum(n_steps), unit="step", leave=False, **hidden)

    def train_epoch(epoch, *_):
        bar.update(epoch * sum(n_steps) - bar.n)
        if before and epoch == 0:
            before(optimizer)
        if config.decay:
            optimizer.slow_down(1 - epoch / config.n_epochs)
        total, n = torch.zeros((), device=model.device), 0
        for which in (0, 1):
            fixed = None
            if not config.joint:
                with torch.no_grad():
                    fixed = model.eval().at_all_steps(model.sides[1 - which], steps[1 - which])
            model.train()
            known = torch.rand(len(sizes[which]), device=model.device) >= config.stranger
            split = batches(sizes[which], config.batch_size, torch.randperm(len(sizes[which])).numpy())
            for i in torch.randperm(len(split)).tolist():
                optimizer.zero_grad()
                at, parts = batch_of(model, which, split[i], steps, data, fixed, known)
                loss, error = loss_of(model, data, at, parts)
                loss.backward()
                moved = [p for p in dense if p.grad is not None]
                if moved:  # PyTorch refuses to clip nothing
                    nn.utils.clip_grad_value_(moved, config.clip)
                optimizer.step()
                total, n = total + error, n + len(at)
                bar.update()
        return total.item() / n

    def validate():
        return {"rmse": float(np.sqrt(np.mean((model.follow(valid) - valid.ratings) ** 2)))}

    model.history = training.run(
        model, train_epoch, config.n_epochs, seed=seed, optimizer=optimizer, identity=identity,
        validate=valid and validate, patience=patience, metric="rmse", better=min, checkpoint=checkpoint,
        callback=callback)
    bar.close()
