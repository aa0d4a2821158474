"""The recurrent recommender network (Wu, Ahmed, Beutel, Smola & Jing, WSDM 2017): ratings that change with time.

Read it from top to bottom: the settings, the equations of one side of the network (users or items; both are alike), the
model of both sides and its predictions, the loss of a batch, and training by subspace descent. How ratings become the
steps that an LSTM reads stands in `rnnbook.interactions.steps`.

Sizes: n ratings, of which a batch has k; S steps; B sequences of at most L places, P places in all; e numbers in an
LSTM's input, h in its state; d dynamic factors, s stationary factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rnnbook import training
from rnnbook.interactions import DAY, RatingData, concatenate
from rnnbook.interactions.lookup import as_seconds, find_ids
from rnnbook.interactions.ragged import batches_by_length, concatenated_ranges
from rnnbook.interactions.steps import Sequences, Steps, pack
from rnnbook.training import Dropout, Rate, Size, Weight, as_tensor, check_settings

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

    hidden_size: Size = 40  # of each LSTM
    embedding_size: Size = 40  # of its input y_t
    dynamic_size: Size = 20  # not 40, as in the later paper, which did worse on validation ratings
    stationary_size: Size = 160
    dropout: Dropout = 0.5  # of the dynamic factors
    penalty: Weight = 30.0  # ℓ2 on each user's and item's anchor and stationary factors, in ratings
    bias_penalty: Weight = 1.0
    clip: Rate = 15.0  # each component of a dense gradient is kept within ±clip
    learning_rate: Rate = 1.5e-3  # of Adam
    table_learning_rate: Rate | None = None  # of the embedding tables, if another; rare rows need large steps
    decay: bool = False  # let the learning rate fall linearly, epoch by epoch, to 0 after the last
    batch_size: Size = 4096  # steps
    n_epochs: Size = 16
    user_step: Weight = 0.0  # seconds that count as one time for a user; 0: each instant
    item_step: Weight = DAY

    # Cold-start rate: the share of training sequences whose owner is treated as new, without static terms, as most
    # users of a test are. Otherwise the LSTM learns to rely on terms that were fitted to the ratings it predicts.
    cold_start: Dropout = 0.5

    # Parts that can be switched off alone
    newbie: bool = True  # the flag of a first step
    wall_clock: bool = True  # τ_t and τ_{t−1}
    dynamic: bool = True  # the LSTMs
    stationary: bool = True  # the static terms: anchor, stationary factors and bias
    anchored: bool = True  # not in the paper: dynamic factors are added to an anchor of each user and item
    joint: bool = False  # back-propagate through both sides at once instead of one at a time

    def __post_init__(self):
        check_settings(self)
        if not (self.dynamic or self.stationary):
            raise ValueError("with dynamic=False and stationary=False nothing is left of the model")


# --- The equations of one side (PyTorch) ------------------------------------------------------------------


class Terms(NamedTuple):
    """What one side, users or items, brings to k predictions.

    Examples
    --------
    A user of static terms 0 and with the dynamic factors u meets an item with the anchor b: the prediction is u · b.

    >>> zero = torch.zeros(1, 2)
    >>> user = Terms(torch.tensor([[3.0, 4.0]]), zero, zero, zero[:, 0])
    >>> item = Terms(zero, torch.tensor([[1.0, 2.0]]), zero, zero[:, 0])
    >>> RRN.combine(user, item)
    tensor([11.])
    """

    dynamic: torch.Tensor  # float [k, d]: u_i(t) or m_j(t), with W and b applied
    anchor: torch.Tensor  # float [k, d]: a
    stationary: torch.Tensor  # float [k, s]: p or q
    bias: torch.Tensor  # float [k]: c


class Side(nn.Module):
    """The users' half of the network, or the items': an LSTM over their steps, and the static terms of each.

    Each table has one row more than training had owners (or others). It stays zero and stands for all who came later.
    The row of an owner without a rating in training is zero, too.

    Parameters
    ----------
    n_owners, n_others : int
    config : RRNConfig

    Examples
    --------
    All who came after training share the last row, of zeros.

    >>> side = Side(n_owners=3, n_others=2, config=RRNConfig(stationary_size=4))
    >>> side.initialize(torch.tensor([0, 1]), torch.tensor([0, 1]))  # owner 2 has no rating
    >>> side.rows(torch.tensor([0, 2, 3, 17, -1])).tolist()
    [0, 2, 3, 3, 3]
    >>> side.stationary.weight.abs().sum(1).gt(0).tolist()
    [True, True, False, False]
    """

    def __init__(self, n_owners, n_others, config):
        super().__init__()
        self.n_owners, self.n_others, self.config = n_owners, n_others, config
        # W_embed in three parts. Each of the others has two rows in the first: one that the rating multiplies, and one
        # for its presence, since a rating of 0, the mean, is not the same as none. Row 0 of each kind is common to all.
        self.embed = nn.Embedding(2 * (n_others + 2), config.embedding_size, sparse=True)
        self.embed_anchor = nn.Linear(config.dynamic_size, 2 * config.embedding_size, bias=False)
        self.embed_clock = nn.Linear(3, config.embedding_size)
        self.lstm = nn.LSTM(config.embedding_size, config.hidden_size)
        self.to_factors = nn.Linear(config.hidden_size, config.dynamic_size)
        self.anchor = nn.Embedding(n_owners + 1, config.dynamic_size, sparse=True)
        self.stationary = nn.Embedding(n_owners + 1, config.stationary_size, sparse=True)
        self.bias = nn.Embedding(n_owners + 1, 1, sparse=True)

    @torch.no_grad()
    def initialize(self, owners, others):
        """Small random rows for all who have a rating in training, zeros for the others."""
        known, read = owners.unique(), torch.cat([others.unique() + 1, others.new_zeros(1)])
        read = torch.cat([read, read + self.n_others + 2])
        for table, rows, std in ((self.anchor, known, 0.02), (self.stationary, known, 0.05), (self.bias, known, 0.0),
                                 (self.embed, read, 0.1)):
            noise = torch.randn(len(rows), table.embedding_dim, device=rows.device) * std
            nn.init.zeros_(table.weight).index_copy_(0, rows, noise)

    @torch.no_grad()
    def set_stationary(self, factors):
        """Take over stationary factors [n_owners, s]; rows of those without a rating in training stay zero."""
        table = self.stationary.weight
        factors = torch.as_tensor(factors).to(table)
        wanted = self.n_owners, table.shape[1]
        if factors.shape != wanted:
            raise ValueError(f"factors to start from are {tuple(factors.shape)}; owners × stationary_size is {wanted}")
        table[:-1] = factors * (self.anchor.weight[:-1] != 0).any(1, keepdim=True)

    def rows(self, owners):
        """The row of each owner in the tables, int64 [k]: the last for -1 and for all who came after training."""
        return torch.where((owners < 0) | (owners > self.n_owners), self.n_owners, owners)

    def embed_ratings(self, packed, values, anchors):
        """W_embed x for the step that each reader reads, the sum over its ratings: float [R, e].

        Arguments as of `forward`. A row of W_embed is the common one, plus one for whom or what the rating is about,
        plus a linear function of the anchor there.
        """
        # Each row that is needed is computed once, however many ratings need it.
        index = F.pad(packed.others + 1, (1, 0))  # [1 + U], the common row first
        rows = self.embed(torch.stack([index, index + self.n_others + 2]))  # [2, 1 + U, e]
        of_anchors = self.embed_anchor(anchors).view(len(anchors), 2, -1).transpose(0, 1)  # [2, U, e]
        rows = rows[:, :1] + rows[:, 1:] + of_anchors
        two = torch.stack([packed.other, packed.other + len(anchors)], dim=1)  # [K, 2]: a rating, and that it is there
        weights = torch.stack([values, torch.ones_like(values)], dim=1)
        return F.embedding_bag(two.ravel(), rows.flatten(0, 1), 2 * packed.bags, mode="sum",
                               per_sample_weights=weights.ravel())

    def forward(self, packed, clock, values, anchors):
        """Dynamic factors at every place of some sequences:

            y_k = W_embed [x_{k−1}, 1_newbie, τ_k, τ_{k−1}],    h_k = LSTM(h_{k−1}, y_k),    u_k = W_u h_k + b_u

        where x_{k−1} holds the ratings of step k − 1, and nothing at the first place.

        Parameters
        ----------
        packed : Sequences
        clock : float array [P, 3]
            1_newbie, τ_k, and what stands for τ_{k−1}: the gap.
        values : Tensor, float [K]
            The ratings read, less the bias of whom or what they are about.
        anchors : Tensor, float [U, d]
            The anchors of ``packed.others``.

        Returns
        -------
        Tensor, float [P, d]
        """
        n_places, n_sequences = int(packed.place.max()) + 1, int(packed.sequence[-1]) + 1
        packed = Sequences(*(as_tensor(array, values) for array in packed))
        y = self.embed_clock(as_tensor(clock, values)).to(values.dtype)  # [P, e]; autocast may have rounded it
        if len(packed.ratings):
            y = y.index_add(0, packed.readers, self.embed_ratings(packed, values, anchors))
        padded = y.new_zeros(n_places, n_sequences, self.config.embedding_size)  # [L, B, e]
        h, _ = self.lstm(padded.index_put((packed.place, packed.sequence), y))  # [L, B, h]
        return F.dropout(self.to_factors(h[packed.place, packed.sequence]).to(y), self.config.dropout, self.training)

    def terms(self, dynamic, owners, cold=None):
        """The Terms of k predictions: dynamic factors [k, d] and the static terms of their owners, int64 array [k].

        The static terms are 0 where ``cold`` (Tensor, bool [n_owners], optional) says so.
        """
        # Each row of the tables is read once, and so its gradient is one row, however many ratings need it.
        owners, place = (as_tensor(array, self.bias.weight) for array in np.unique(owners, return_inverse=True))
        rows, kept = self.rows(owners), float(self.config.stationary)
        if cold is not None:
            kept = kept * (~cold[owners, None]).float()
        anchor, stationary, bias = (F.embedding(place, rows_of_each) for rows_of_each in (
            self.anchor(rows) * (kept * self.config.anchored), self.stationary(rows) * kept, self.bias(rows) * kept))
        return Terms(dynamic, anchor, stationary, bias[:, 0])

    def penalty(self, owners, parts):
        """R(θ) of some owners (int64 array [B]): of the squares of their static terms, one part in ``parts`` [B]."""
        rows = self.rows(as_tensor(owners, self.bias.weight))
        factors = self.anchor(rows).square().sum(1) + self.stationary(rows).square().sum(1)
        penalty = self.config.penalty * factors + self.config.bias_penalty * self.bias(rows)[:, 0].square()
        return (penalty / as_tensor(parts, penalty)).sum()


# --- The model --------------------------------------------------------------------------------------------


class Trajectory(NamedTuple):
    """The path of one user or item through time.

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
    factors: np.ndarray  # float32 [k, d]: dynamic factors plus anchor, from the ratings before each time


class RRN(nn.Module):
    r"""Users and items whose states change with each rating.

    .. math::
        \hat r_{ij}(t) &= \langle W_u u_i(t) + b_u + a_i, \\
        &\qquad W_m m_j(t) + b_m + a_j \rangle \\
        &\quad {} + \langle p_i, q_j \rangle + c_i + c_j

    in units of the training ratings' standard deviation, around their mean. :math:`u_i(t)` and :math:`m_j(t)` are the
    LSTMs' states after all steps strictly before t; p and q are stationary factors. The paper has neither the biases c,
    which it can express in p and q, nor the anchors a (``anchored=False`` takes them out). With anchors, a user's
    present taste can meet what an item always was, which no term of the paper's sum provides.

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
    users, items : Side
    sides : (users, items)
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
    >>> users, items = ["user-0", "a new user"], ["item-1", "item-1"]
    >>> times = [data.times[-1] + 1] * 2
    >>> before = model.predict(users, items, times)
    >>> model.observe(future)
    >>> model.seen.n_ratings, np.array_equal(before, model.predict(users, items, times))
    (20, False)
    """

    Config = RRNConfig
    BUILT_FROM: tuple[str, ...] = ("user_ids", "scale")  # besides settings and item_ids; a saved model has to hold it

    def __init__(self, item_ids, config, device="cpu", *, user_ids, scale):
        super().__init__()
        self.item_ids, self.user_ids = np.asarray(item_ids), np.asarray(user_ids)
        self.config, self.scale, self.history = config, scale, []
        self.seen = RatingData.empty(self.user_ids, self.item_ids)
        n_users, n_items = len(self.user_ids), len(self.item_ids)
        with torch.device(device):
            self.users, self.items = Side(n_users, n_items, config), Side(n_items, n_users, config)
        self.sides = self.users, self.items

    @property
    def device(self):
        """torch.device: where the parameters are."""
        return self.users.bias.weight.device

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

    def zeros(self, k):
        """Dynamic factors of 0, float [k, d]."""
        return self.users.bias.weight.new_zeros(k, self.config.dynamic_size)

    def dynamic_factors(self, side, steps, owners, n_before, last):
        """Dynamic factors at all places of some sequences, float [P, d]; zeros where the model has no dynamic part.

        Arguments as of `pack`. The other side's biases and anchors enter as numbers, without a gradient.
        """
        config = self.config
        if not config.dynamic:
            return self.zeros(int((n_before + 1).sum()))
        packed = pack(steps, owners, n_before, last, side.n_others)
        clock = np.stack([(packed.place == 0) * config.newbie, self.to_clock(packed.time) * config.wall_clock,
                          np.log1p(packed.gap / 3600) / 5 * config.wall_clock], axis=1)
        with torch.no_grad():
            other = self.items if side is self.users else self.users
            others = as_tensor(packed.others, other.bias.weight)
            anchors = other.anchor(others) * (config.stationary * config.anchored)  # [U, d]
            biases = (other.bias(others) * config.stationary)[as_tensor(packed.other, others), 0]  # [K]
            values = as_tensor(self.to_scale(steps.ratings[packed.ratings]), biases) - biases
        return side(packed, clock, values, anchors)

    def factors_at_steps(self, side, steps, owners):
        """Dynamic factors at all steps of some owners (int64 array [B]), each from the steps before it.

        Returns
        -------
        numbers : int64 array [P]
            The steps.
        factors : Tensor, float [P, d]
        """
        first, end = steps.offsets[owners], steps.offsets[owners + 1]
        factors = self.dynamic_factors(side, steps, owners, end - first - 1, steps.time[end - 1])
        return concatenated_ranges(first, end - first), factors

    def factors_at_all_steps(self, side, steps, owners=None):
        """The same for all owners, or for many, in batches: float [S, d], zeros at the steps of the others."""
        parts = [self.factors_at_steps(side, steps, batch)
                 for batch in steps.batches(4 * self.config.batch_size, owners)]
        out = self.zeros(len(steps.time))
        if parts:  # in one go: a copy of all for each batch would cost the square of the number of steps
            numbers, factors = zip(*parts)
            out = out.index_copy(0, as_tensor(np.concatenate(numbers), out), torch.cat(factors))
        return out

    def factors_at_times(self, side, steps, owners, times):
        """Dynamic factors of some owners (int64 array [k], -1: unknown) at any times (s, [k]): float [k, d]."""
        times = steps.round(times)
        n_before = steps.count_before(owners, times)
        out = self.zeros(len(owners))
        for batch in batches_by_length(n_before + 1, 4 * self.config.batch_size, np.arange(len(owners))):
            factors = self.dynamic_factors(side, steps, owners[batch], n_before[batch], times[batch])
            out[as_tensor(batch, out)] = factors[as_tensor(np.cumsum(n_before[batch] + 1) - 1, out)]  # the last places
        return out

    def terms_at(self, users, items, times):
        """The Terms of raw user and item ids [k] at any times [k] (s), from what was seen; unknown ids are new.

        Returns
        -------
        users, items : Terms
        """
        if not len(users) == len(items) == len(times):
            raise ValueError(f"users: {len(users)}, items: {len(items)}, times: {len(times)}; a rating has one of each")
        both = find_ids(users, self.seen.user_ids, "user"), find_ids(items, self.seen.item_ids, "item")
        times = as_seconds(times)
        return tuple(side.terms(self.factors_at_times(side, steps, owners, times), owners)
                     for side, steps, owners in zip(self.sides, self.steps(self.seen), both))

    def terms_following(self, data):
        """The Terms of users and items at every rating of ``data``, if these came in one after another."""
        both, new = concatenate(self.seen, data), slice(self.seen.n_ratings, None)

        def terms(side, steps, owners):
            factors = self.factors_at_all_steps(side, steps, np.unique(owners))
            return side.terms(factors[as_tensor(steps.step_of[new], factors)], owners)

        return tuple(map(terms, self.sides, self.steps(both), (both.users[new], both.items[new])))

    @staticmethod
    def combine(users, items):
        """The prediction on the model's scale, float [k], from the Terms of both sides."""
        return (((users.dynamic + users.anchor) * (items.dynamic + items.anchor)).sum(1)  # over d: [k]
                + (users.stationary * items.stationary).sum(1)  # over s: [k]
                + users.bias + items.bias)

    def ratings(self, users, items):
        """`combine` on the data's scale: float64 array [k]."""
        return self.combine(users, items).cpu().double().numpy() * self.scale["std"] + self.scale["mean"]

    @torch.no_grad()
    def predict(self, users, items, times):
        """What these users would give these items at these times, from the ratings seen at earlier steps.

        Parameters
        ----------
        users, items : sequences of raw ids [k]
            Unknown ids get the prediction for a new user or item.
        times : sequence [k]
            Seconds since 1970, or datetimes.

        Returns
        -------
        float64 array [k], on the scale of the ratings

        Raises
        ------
        ValueError
            An id is of the wrong type, or a known one in another spelling; or a time is missing or not in seconds.
        """
        return self.eval().ratings(*self.terms_at(users, items, times))

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
        return self.eval().ratings(*self.terms_following(data))

    def observe(self, data):
        """Take in new ratings: later predictions start from states that have read them. Nothing is trained.

        Parameters
        ----------
        data : RatingData
            Not earlier than what was seen; users and items may be new.
        """
        self.seen = concatenate(self.seen, data)

    @torch.no_grad()
    def trajectory(self, user=None, *, item=None, times=None):
        """The path of one user (or one item) through time.

        Parameters
        ----------
        user, item : raw id, one of the two
        times : sequence [k], optional
            Seconds since 1970, or datetimes; by default the steps at which the user rated, and a moment after the last.

        Returns
        -------
        Trajectory
        """
        if (user is None) == (item is None):
            raise ValueError("a trajectory is that of one user or of one item; give one of the two")
        which, raw, ids = (0, user, self.seen.user_ids) if item is None else (1, item, self.seen.item_ids)
        [owner] = find_ids([raw], ids, "user" if item is None else "item")
        if owner < 0:
            raise ValueError(f"{raw!r} has no ratings yet, so there is no trajectory")
        side, steps = self.eval().sides[which], self.steps(self.seen)[which]
        if times is None:
            times = steps.time[steps.offsets[owner]:steps.offsets[owner + 1]]
            times = np.append(times, times[-1] + max(1.0, steps.width))
        owners, times = np.full(len(times), owner), as_seconds(times)
        terms = side.terms(self.factors_at_times(side, steps, owners, times), owners)
        return Trajectory(times, (terms.dynamic + terms.anchor).cpu().numpy())

    def save(self, path):
        """Write the folder ``path``: parameters and seen ratings as safetensors, settings and ids as JSON."""
        arrays, seen = self.seen.pack()
        info = {name: getattr(self, name) for name in self.BUILT_FROM} | {"user_ids": self.user_ids.tolist()}
        tensors = {f"seen.{name}": torch.from_numpy(array) for name, array in arrays.items()}
        training.save_model(self, path, tensors, seen=seen, **info)

    @classmethod
    def load(cls, path, device="auto"):
        """Read what `save` wrote. A folder that does not fit raises ValueError and names what is wrong."""
        tensors, info = training.load_checkpoint(path)
        arrays = {k: tensors.pop(k).numpy() for k in [*tensors] if k.startswith("seen.")}
        try:
            seen = RatingData.unpack({k.removeprefix("seen."): v for k, v in arrays.items()}, info.get("seen", {}))
        except ValueError as error:
            raise ValueError(f"{path}: seen ratings are damaged ({error}); use another copy, or train again") from error
        model = training.build_model(cls, cls.Config, tensors, info, path, device, cls.BUILT_FROM)
        model.seen = seen
        return model


def new_model(train, config, *, device="auto", seed=0, start=None, kind=RRN):
    """An untrained model, an RRN or another kind of it, that has seen ``train``; see `fit` for the arguments.

    Examples
    --------
    >>> rows = pd.DataFrame({"user": ["ann", "bob", "ann"], "item": "tea",
    ...                      "rating": [1.0, 3.0, 5.0], "time": range(3)})
    >>> model = new_model(RatingData.from_frame(rows), RRNConfig(), device="cpu")
    >>> model.scale["mean"], model.seen.n_ratings, model.users.bias.weight.flatten().tolist()
    (3.0, 3, [0.0, 0.0, 0.0])
    """
    device = training.pick_device(device)
    scale = {"mean": float(train.ratings.mean()), "std": float(train.ratings.std()) if np.ptp(train.ratings) else 1.0,
             "start": float(train.times[0]), "span": float(train.times[-1] - train.times[0]) or 1.0}
    users, items = (torch.from_numpy(ids).to(device) for ids in (train.users, train.items))
    with training.seeded(seed, device):
        model = kind(train.item_ids, config, device, user_ids=train.user_ids, scale=scale)
        model.users.initialize(users, items)
        model.items.initialize(items, users)
    for side, factors in zip(model.sides, start or ()):
        side.set_stationary(factors)
    model.seen = train
    return model


# --- The loss of a batch ----------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Some ratings, and all that they are predicted from; see `batch_of`.

    Examples
    --------
    >>> zero = Terms(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1))
    >>> batch = Batch(np.array([4]), users=zero, items=zero)  # the fifth rating of the data
    >>> RRN.combine(batch.users, batch.items)
    tensor([0.])
    """

    ratings: np.ndarray  # int64 [k]: positions in the data
    users: Terms
    items: Terms


def batch_of(model, which, owners, train, steps, fixed, cold):
    """The Batch of all ratings of some owners.

    Static terms do not depend on the sequences, so those of both sides receive gradients in each half of an epoch.

    Parameters
    ----------
    model : RRN
    which : 0 for users, 1 for items
        Whose sequences are run.
    owners : int64 array [B]
    train : RatingData
    steps : pair of Steps
        Those of ``train``.
    fixed : Tensor, float [S', d], or None
        The other side's dynamic factors at all its steps. None computes those that are needed, and the gradient
        then goes through both sides: joint back-propagation.
    cold : Tensor, bool [n_owners]
        Whose static terms are 0, as if they were new.

    Returns
    -------
    Batch

    Examples
    --------
    Ann's ratings are the first and the third; the items' factors are computed with them, as ``fixed`` is None.

    >>> rows = pd.DataFrame({"user": ["ann", "bob", "ann"], "item": "tea",
    ...                      "rating": [1.0, 3.0, 5.0], "time": range(3)})
    >>> train = RatingData.from_frame(rows)
    >>> model = new_model(train, RRNConfig(dynamic_size=4), device="cpu")
    >>> cold = torch.tensor([False, False])
    >>> batch = batch_of(model, 0, np.array([0]), train, model.steps(train), None, cold)
    >>> batch.ratings.tolist(), batch.users.dynamic.shape, batch.items.dynamic.shape
    ([0, 2], torch.Size([2, 4]), torch.Size([2, 4]))
    """
    side, other = model.sides[which], model.sides[1 - which]
    our_steps, their_steps = steps[which], steps[1 - which]
    numbers, factors = model.factors_at_steps(side, our_steps, owners)
    sizes, ratings = our_steps.ratings_in(numbers)
    ratings = our_steps.order[ratings]  # in the order of the data
    us, them = (train.users, train.items) if which == 0 else (train.items, train.users)
    if fixed is None:
        fixed = model.factors_at_all_steps(other, their_steps, np.unique(them[ratings]))
    of_place = as_tensor(np.repeat(np.arange(len(numbers)), sizes), factors)
    ours = side.terms(factors[of_place], us[ratings], cold)
    theirs = other.terms(fixed[as_tensor(their_steps.step_of[ratings], fixed)], them[ratings])
    return Batch(ratings, ours, theirs) if which == 0 else Batch(ratings, theirs, ours)


def batch_loss(model, train, steps, batch):
    """The loss over the ratings of a batch.

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
    >>> train = RatingData.from_frame(rows)
    >>> model = new_model(train, RRNConfig(penalty=0.0, bias_penalty=0.0), device="cpu")
    >>> steps, cold = model.steps(train), torch.tensor([False, False])
    >>> batch = batch_of(model, 0, np.array([0, 1]), train, steps, None, cold)
    >>> loss, error = batch_loss(model, train, steps, batch)
    >>> torch.isclose(loss, error / 3).item()  # without penalties, the mean over the three ratings
    True
    """
    penalty = 0.0
    for side, of_side, ids in zip(model.sides, steps, (train.users, train.items)):
        # A rating carries one part in as many as its owner has, so each owner counts once an epoch on either side.
        owners, here = np.unique(ids[batch.ratings], return_counts=True)
        penalty = penalty + side.penalty(owners, of_side.n_ratings(owners) / here)
    predicted = model.combine(batch.users, batch.items)
    error = (predicted - as_tensor(model.to_scale(train.ratings[batch.ratings]), predicted)).square()
    return error.mean() + penalty / len(batch.ratings), error.detach().sum()


# --- Subspace descent -------------------------------------------------------------------------------------


def half_epoch(model, which, train, steps):
    """The batches of half an epoch, in random order, while the other side's dynamic factors stay as they are.

    Parameters
    ----------
    model : RRN
    which : 0 for users, 1 for items
        Whose sequences are run.
    train : RatingData
    steps : pair of Steps
        Those of ``train``.

    Yields
    ------
    Batch
        Computed with the parameters as they are by then.

    Examples
    --------
    >>> from rnnbook.worlds import RatingWorld
    >>> train = RatingWorld(n_users=5, n_steps=4).sample()
    >>> model = new_model(train, RRNConfig(batch_size=8), device="cpu")
    >>> batches = list(half_epoch(model, 0, train, model.steps(train)))
    >>> sorted(len(batch.ratings) for batch in batches)  # two users, two users, one user
    [4, 8, 8]
    """
    with torch.no_grad():
        fixed = None if model.config.joint else model.eval().factors_at_all_steps(model.sides[1 - which],
                                                                                  steps[1 - which])
    model.train()
    n_owners = model.sides[which].n_owners
    cold = torch.rand(n_owners, device=model.device) < model.config.cold_start
    batches = steps[which].batches(model.config.batch_size, torch.randperm(n_owners).numpy())
    for i in torch.randperm(len(batches)).tolist():
        yield batch_of(model, which, batches[i], train, steps, fixed, cold)


def update(model, optimizer, loss):
    """One step of the optimiser. Components of dense gradients are clipped to ±clip; sparse gradients are not clipped.

    Examples
    --------
    Adam's first step is as long as its learning rate.

    >>> from rnnbook.worlds import RatingWorld
    >>> model = new_model(RatingWorld(n_users=5).sample(), RRNConfig(), device="cpu")
    >>> bias = model.users.to_factors.bias
    >>> before = bias.detach().clone()
    >>> update(model, training.Adam({"bias": bias}, lr=0.25), (3 * bias).sum())
    >>> torch.allclose(before - bias, torch.tensor(0.25))
    True
    """
    optimizer.zero_grad()
    loss.backward()
    dense = [p for p in model.parameters() if p.grad is not None and not p.grad.is_sparse]
    if dense:  # PyTorch refuses to clip nothing
        nn.utils.clip_grad_value_(dense, model.config.clip)
    optimizer.step()


def descend(model, train, loss_of, *, seed, identity, valid=None, patience=3, checkpoint=None, progress=True,
            callback=None, warm_up=None):
    """The training of `fit`, with any loss.

    Parameters
    ----------
    model : RRN
    train, valid : RatingData, RatingData or None
    loss_of : callable(model, train, steps, Batch) -> (loss, error)
        `batch_loss`, or what stands in its place.
    identity : dict
        See `rnnbook.training.run`.
    warm_up : callable(optimizer), optional
        Called at the beginning of the first epoch.

    Examples
    --------
    As `fit`, with a loss of one's own: here without the penalties.

    >>> from rnnbook.worlds import RatingWorld
    >>> train = RatingWorld(n_users=5, n_steps=4).sample()
    >>> model = new_model(train, RRNConfig(n_epochs=2), device="cpu")
    >>> def plain(model, train, steps, batch):
    ...     y = torch.from_numpy(model.to_scale(train.ratings[batch.ratings]))
    ...     error = (model.combine(batch.users, batch.items) - y).square()
    ...     return error.mean(), error.detach().sum()
    >>> descend(model, train, plain, seed=0, identity={}, progress=False)
    >>> [point["epoch"] for point in model.history]
    [1, 2]
    """
    config, steps = model.config, model.steps(train)
    tables = {f"{name}.weight" for name, module in model.named_modules() if getattr(module, "sparse", False)}
    optimizer = training.Adam(dict(model.named_parameters()), config.learning_rate, tables, config.table_learning_rate)
    n_batches = sum(len(of_side.batches(config.batch_size)) for of_side in steps)

    def train_epoch(epoch, *_):
        bar.update(epoch * n_batches - bar.n)
        if warm_up and epoch == 0:
            warm_up(optimizer)
        if config.decay:
            optimizer.slow_down(1 - epoch / config.n_epochs)
        total = torch.zeros((), device=model.device)
        for which in (0, 1):
            for batch in half_epoch(model, which, train, steps):
                loss, error = loss_of(model, train, steps, batch)
                update(model, optimizer, loss)
                total += error
                bar.update()
        return total.item() / (2 * train.n_ratings)

    def validate():
        return {"rmse": float(np.sqrt(np.mean((model.follow(valid) - valid.ratings) ** 2)))}

    with training.progress_bar(config.n_epochs * n_batches, progress) as bar:
        model.history = training.run(
            model, train_epoch, config.n_epochs, seed=seed, optimizer=optimizer, identity=identity,
            validate=valid and validate, patience=patience, metric="rmse", better=min, checkpoint=checkpoint,
            callback=callback)


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
        The same seed on the same machine gives the same model. The caller's random numbers are left alone.
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

    Raises
    ------
    ValueError
        There are no ratings to train or to validate on, or the checkpoint belongs to another run.
    FloatingPointError
        The loss has become infinite or not a number.

    Examples
    --------
    Users whose ratings are all 4 or all 2; after 20 epochs the model tells them apart.

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
    if not train.n_ratings or (valid is not None and not valid.n_ratings):
        raise ValueError(f"there are no ratings to {'validate' if train.n_ratings else 'train'} on")
    model = new_model(train, config, device=device, seed=seed, start=start)
    descend(model, train, batch_loss, seed=seed, valid=valid, patience=patience, checkpoint=checkpoint,
            progress=progress, callback=callback,
            identity=training.identity(config, train, valid, seed, n_epochs=config.decay and config.n_epochs,
                                       start=start is not None and training.digest_of(model)))
    return model
