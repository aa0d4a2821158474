"""The RRN against its slow forms: dense ratings vectors, the LSTM's equations by hand, one rating after another."""

from dataclasses import asdict, fields, replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from resume import check_resumes
from rnnbook import metrics, training
from rnnbook.benchmarks.rrn_cells import LayerNormLSTM
from rnnbook.interactions import DAY, RatingData, concatenate
from rnnbook.interactions.ragged import batches_by_length
from rnnbook.interactions.steps import Steps, pack
from rnnbook.rrn import RRN, RRNConfig, batch_loss, batch_of, fit, half_epoch, new_model, update
from rnnbook.worlds import RatingWorld

N_USERS, N_ITEMS = 6, 8
SMALL = RRNConfig(hidden_size=5, embedding_size=4, dynamic_size=3, stationary_size=2, dropout=0.0, cold_start=0.0,
                  batch_size=20, n_epochs=2, learning_rate=0.01)


def random_ratings(n=60, seed=0, start=0.0, n_users=N_USERS, n_items=N_ITEMS, days=30):
    """Ratings 1 to 5; times are multiples of an hour, so that some fall together."""
    rng = np.random.default_rng(seed)
    return RatingData(rng.integers(n_users, size=n), rng.integers(n_items, size=n),
                      rng.integers(1, 6, size=n).astype(float),
                      start + np.sort(rng.integers(24 * days, size=n)) * 3600.0,
                      np.arange(100, 100 + n_users), np.array([f"item-{i}" for i in range(n_items)], dtype=object))


TRAIN, LATER = random_ratings(), random_ratings(25, seed=1, start=31 * DAY)
WARM = torch.zeros(max(N_USERS, N_ITEMS), dtype=torch.bool)  # nobody is cold


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def untrained(train=TRAIN, seed=0, **changes):
    return new_model(train, replace(SMALL, **changes), device="cpu", seed=seed).eval()


def enlarged(model):
    """The model with some parameters made large enough to matter in a comparison."""
    with torch.no_grad():
        for side in model.sides:
            for p in side.lstm.parameters():
                p.mul_(2)
            side.anchor.weight.mul_(10)
            side.bias.weight.add_(0.3 * (side.anchor.weight[:, :1] != 0))
    return model


# --- Steps ------------------------------------------------------------------------------------------------


def test_steps_by_hand():
    owners, others = np.array([1, 0, 1, 1, 0]), np.array([5, 6, 7, 8, 9])
    steps = Steps(owners, others, np.array([1.0, 2, 3, 4, 5]), np.array([10.0, 11, 19, 20, 30]), 3, 10.0)
    assert steps.time.tolist() == [10, 30, 10, 20]
    assert steps.offsets.tolist() == [0, 2, 4, 4]
    assert steps.bags.tolist() == [0, 1, 2, 4, 5]
    assert steps.others.tolist() == [6, 9, 5, 7, 8] and steps.ratings.tolist() == [2, 5, 1, 3, 4]
    assert steps.n_ratings(np.array([2, 0, 1])).tolist() == [0, 2, 3]
    sizes, ratings = steps.ratings_in(np.array([3, 2]))
    assert sizes.tolist() == [1, 2] and ratings.tolist() == [4, 2, 3]
    assert steps.order.tolist() == [1, 4, 0, 2, 3] and steps.step_of.tolist() == [2, 0, 2, 3, 1]
    assert steps.count_before(np.array([0, 0, 1, 2]), np.array([10.0, 31, 20, 99])).tolist() == [0, 2, 1, 0]


def test_instants_are_steps_where_the_width_is_zero():
    steps = Steps(np.zeros(4, int), np.arange(4), np.ones(4), np.array([1.0, 1, 1.5, 2]), 1, 0)
    assert steps.time.tolist() == [1, 1.5, 2] and steps.step_of.tolist() == [0, 0, 1, 2]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_batches_hold_every_owner_with_steps_once(sizes, batch_size):
    sizes = np.array(sizes)
    parts = batches_by_length(sizes, batch_size, np.arange(len(sizes))[::-1])
    assert sorted(np.concatenate([*parts, []]).tolist()) == np.flatnonzero(sizes).tolist()
    for part in parts:
        assert sizes[part[:-1]].sum() < batch_size
        assert (np.diff(sizes[part]) >= 0).all()


def test_what_is_stored_grows_with_ratings_and_with_nothing_else():
    def floats(n_users, n_items, n):
        data = random_ratings(n, n_users=n_users, n_items=n_items)
        return sum(array.size for steps in untrained(data).steps(data) for array in vars(steps).values()
                   if isinstance(array, np.ndarray))

    n = 4000
    # Six numbers a rating and a side at most, and an offset an owner.
    assert floats(100, 100, n) <= 2 * (6 * n + 1) + 202
    assert floats(100, 100, 2 * n) <= 2.1 * floats(100, 100, n)
    assert floats(1000, 1000, n) - floats(100, 100, n) <= 2 * 2 * n + 1800  # never users x items


def test_packed_sequences_by_hand():
    owners, others = np.array([0, 0, 0, 1, 0]), np.array([3, 1, 1, 0, 9])
    steps = Steps(owners, others, np.ones(5), np.array([10.0, 10, 20, 25, 50]), 3, 0)
    packed = pack(steps, np.array([1, 0, 2]), np.array([0, 3, 0]), np.array([7.0, 99, 8]), n_others=5)
    assert packed.sequence.tolist() == [0, 1, 1, 1, 1, 2] and packed.place.tolist() == [0, 0, 1, 2, 3, 0]
    assert packed.time.tolist() == [7, 10, 20, 50, 99, 8] and packed.gap.tolist() == [0, 0, 10, 30, 49, 0]
    assert packed.readers.tolist() == [2, 3, 4] and packed.bags.tolist() == [0, 2, 3]
    assert steps.order[packed.ratings].tolist() == [0, 1, 2, 4]
    assert packed.others.tolist() == [1, 3, 5] and packed.other.tolist() == [1, 0, 0, 2]  # the one unknown is 5


# --- The network ------------------------------------------------------------------------------------------


def slow_states(model, which, data, owner, time):
    """Dynamic factors of one owner just before a time: dense vectors x_t and an LSTM written out."""
    side, other, config = model.sides[which], model.sides[1 - which], model.config
    width = (config.user_step, config.item_step)[which]
    clock = np.floor(data.times / width) * width if width else data.times
    time = np.floor(time / width) * width if width else time
    mine, theirs = (data.users, data.items) if which == 0 else (data.items, data.users)
    n_others = side.n_others
    rated = (mine == owner) & (clock < time)
    times = [*np.unique(clock[rated]), time]
    h = c = torch.zeros(config.hidden_size)
    for k, now in enumerate(times):
        x, present = torch.zeros(n_others + 2), torch.zeros(n_others + 2)
        anchors = torch.zeros(config.embedding_size)
        if k:
            for j in np.flatnonzero(rated & (clock == times[k - 1])):
                value = (data.ratings[j] - model.scale["mean"]) / model.scale["std"]
                if config.stationary:
                    value -= other.bias.weight[theirs[j], 0].item()
                per_value, per_rating = side.embed_anchor.weight.chunk(2)
                if config.stationary and config.anchored:
                    anchors = anchors + (value * per_value + per_rating) @ other.anchor.weight[theirs[j]].detach()
                for row in (theirs[j] + 1, 0):
                    x[row] += value
                    present[row] += 1
        since = now - times[k - 1] if k else 0.0
        tau = (now - model.scale["start"]) / model.scale["span"]
        y = torch.cat([x, present]) @ side.embed.weight + anchors + side.embed_clock.bias
        if config.newbie and k == 0:
            y = y + side.embed_clock.weight[:, 0]
        if config.wall_clock:
            y = y + side.embed_clock.weight[:, 1:] @ torch.tensor([tau, np.log1p(since / 3600) / 5])
        W, U, b, d = (getattr(side.lstm, name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"))
        i, f, g, o = (W @ y + b + U @ h + d).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    return side.to_factors(h)


def slow_prediction(model, data, user, item, time):
    (a, b), config = model.sides, model.config
    u, m = slow_states(model, 0, data, user, time), slow_states(model, 1, data, item, time)
    if not config.dynamic:
        u, m = 0 * u, 0 * m
    if config.stationary and config.anchored:
        u, m = u + a.anchor.weight[user], m + b.anchor.weight[item]
    r = u @ m
    if config.stationary:
        r = r + (a.stationary.weight[user] @ b.stationary.weight[item] + a.bias.weight[user, 0]
                 + b.bias.weight[item, 0])
    return r.item() * model.scale["std"] + model.scale["mean"]


@pytest.mark.parametrize("changes", [
    {}, {"user_step": DAY, "item_step": 0.0}, {"user_step": 7 * DAY, "item_step": 2 * DAY}, {"newbie": False},
    {"wall_clock": False}, {"dynamic": False}, {"stationary": False}, {"anchored": False}], ids=str)
def test_predictions_are_those_of_the_equations(float64, changes):
    model = enlarged(untrained(**changes))
    both = concatenate(TRAIN, LATER)
    expected = [slow_prediction(model, both, *case) for case in zip(LATER.users, LATER.items, LATER.times)]
    np.testing.assert_allclose(model.follow(LATER), expected, rtol=0, atol=1e-10)
    assert np.std(expected) > 0.01  # they do differ
    model.observe(LATER)
    cases = [(100, "item-3", 5 * DAY), (103, "item-0", 40 * DAY), (105, "item-7", 0.0), (105, "item-7", 90 * DAY)]
    expected = [slow_prediction(model, both, user - 100, int(item[-1]), time) for user, item, time in cases]
    np.testing.assert_allclose(model.predict(*zip(*cases)), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("which", [0, 1])
def test_gradients_are_those_of_the_equations(float64, which):
    """A half moves its own side's parameters and the tables of both, by the gradient of the slow form."""
    model = enlarged(untrained(penalty=0.3, bias_penalty=0.7))
    steps = model.steps(TRAIN)
    owners = np.arange(len(steps[which].offsets) - 1)
    with torch.no_grad():
        fixed = model.factors_at_all_steps(model.sides[1 - which], steps[1 - which])
    batch = batch_of(model, which, owners, TRAIN, steps, fixed, WARM)
    (loss, error), n = batch_loss(model, TRAIN, steps, batch), len(batch.ratings)
    loss.backward()
    fast = {name: p.grad.to_dense().clone() for name, p in model.named_parameters() if p.grad is not None}
    for side in model.sides:  # rows for owners, not for ratings: one of the prediction and one of the penalty
        assert side.stationary.weight.grad._nnz() <= 2 * side.n_owners < n
    assert model.sides[which].embed.weight.grad._nnz() <= 2 * (1 + model.sides[which].n_others) < n
    assert n == TRAIN.n_ratings
    other = {name for name in fast if name.startswith(("items", "users")[which])}
    assert {name.split(".")[1] for name in other} == {"anchor", "stationary", "bias"}

    model.zero_grad()
    a, b = model.sides
    total = 0.0
    for user, item, time, rating in zip(TRAIN.users, TRAIN.items, TRAIN.times, TRAIN.ratings):
        u, m = slow_states(model, 0, TRAIN, user, time), slow_states(model, 1, TRAIN, item, time)
        ours = (a.anchor.weight[user], a.stationary.weight[user], a.bias.weight[user])
        theirs = (b.anchor.weight[item], b.stationary.weight[item], b.bias.weight[item])
        r = (u + ours[0]) @ (m + theirs[0]) + ours[1] @ theirs[1] + ours[2].sum() + theirs[2].sum()
        total = total + (r - (rating - model.scale["mean"]) / model.scale["std"]) ** 2
    penalty = sum(0.3 * (side.anchor.weight.square().sum() + side.stationary.weight.square().sum())
                  + 0.7 * side.bias.weight.square().sum() for side in model.sides)  # the row of new ones is zero
    slow = total / n + penalty / n
    torch.testing.assert_close(loss, slow, rtol=0, atol=1e-10)
    torch.testing.assert_close(error, total.detach(), rtol=0, atol=1e-9)
    slow.backward()
    for name, p in model.named_parameters():
        if name in fast:
            grad = p.grad.to_dense()
            torch.testing.assert_close(fast[name], grad, rtol=0, atol=1e-10)
            assert grad.abs().max() > 1e-6


def test_a_batch_of_some_owners_has_their_share_of_the_loss(float64):
    """The batches of a half add up to the gradient of the whole: no penalty is counted twice, none is left out."""
    model = enlarged(untrained(penalty=0.3, bias_penalty=0.7))
    steps = model.steps(TRAIN)
    with torch.no_grad():
        fixed = model.factors_at_all_steps(model.items, steps[1])
    gradients = []
    for split in ([np.arange(N_USERS)], [np.array([4, 0]), np.array([1]), np.array([5, 2, 3])]):
        model.zero_grad()
        for owners in split:
            batch = batch_of(model, 0, owners, TRAIN, steps, fixed, WARM)
            loss, _ = batch_loss(model, TRAIN, steps, batch)
            (loss * len(batch.ratings) / TRAIN.n_ratings).backward()
        gradients.append([p.grad.to_dense() for p in model.parameters() if p.grad is not None])
    for whole, parts in zip(*gradients):
        torch.testing.assert_close(whole, parts, rtol=0, atol=1e-12)


def test_joint_back_propagation_reaches_both_sides_with_the_same_error():
    errors, sides = [], []
    for joint in (False, True):
        model = enlarged(untrained(joint=joint))
        steps = model.steps(TRAIN)
        with torch.no_grad():
            fixed = model.factors_at_all_steps(model.items, steps[1])
        batch = batch_of(model, 0, np.array([1, 3]), TRAIN, steps, None if joint else fixed, WARM)
        loss, error = batch_loss(model, TRAIN, steps, batch)
        loss.backward()
        errors.append(error.item())
        sides.append({side for side in ("users", "items") if getattr(model, side).lstm.weight_ih_l0.grad is not None})
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)
    assert sides == [{"users"}, {"users", "items"}]


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("which", [0, 1])
def test_half_an_epoch_reaches_one_side_and_joint_back_propagation_both(which, joint):
    model = untrained(joint=joint)
    reached, n = set(), 0
    for batch in half_epoch(model, which, TRAIN, model.steps(TRAIN)):
        batch_loss(model, TRAIN, model.steps(TRAIN), batch)[0].backward()
        reached |= {side for side in ("users", "items") if getattr(model, side).lstm.weight_ih_l0.grad is not None}
        n += len(batch.ratings)
    assert reached == ({"users", "items"} if joint else {("users", "items")[which]})
    assert n == TRAIN.n_ratings


def test_the_other_side_is_held_fixed_without_dropout():
    model = untrained(dropout=0.9)
    steps = model.steps(TRAIN)
    expected = model.factors_at_all_steps(model.items, steps[1])[torch.from_numpy(steps[1].step_of)]
    for batch in half_epoch(model, 0, TRAIN, steps):
        assert model.training and not batch.items.dynamic.requires_grad
        torch.testing.assert_close(batch.items.dynamic, expected[batch.ratings])
        assert (batch.users.dynamic == 0).float().mean() > 0.7


# --- Cold start -------------------------------------------------------------------------------------------


def test_cold_owners_and_new_ones_have_no_static_terms():
    model = enlarged(untrained())
    users, dynamic = np.arange(N_USERS), torch.rand(N_USERS, 3)
    cold = torch.tensor([True, False] * 3)
    terms, warm = model.users.terms(dynamic, users, cold), model.users.terms(dynamic, users)
    for part, without in zip(terms[1:], warm[1:]):
        assert not part[::2].any() and torch.equal(part[1::2], without[1::2]) and without.reshape(6, -1).any(1).all()
    assert terms.dynamic is dynamic
    for part in model.users.terms(dynamic[:3], np.array([-1, N_USERS, N_USERS + 7]))[1:]:
        assert not part.any()


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("which", [0, 1])
def test_in_training_so_many_sequences_are_cold(rate, which):
    """A cold owner's bias has no gradient in the half that runs its sequence; the other side's are all there."""
    data = random_ratings(4000, n_users=400, n_items=400)
    model = untrained(data, cold_start=rate, penalty=0.0, bias_penalty=0.0, batch_size=10_000)
    steps, draws = model.steps(data), []
    for _ in range(2):
        model.zero_grad()
        [batch] = half_epoch(model, which, data, steps)
        batch_loss(model, data, steps, batch)[0].backward()
        mine, other = (model.sides[i].bias.weight.grad.to_dense()[:-1, 0] for i in (which, 1 - which))
        assert (other != 0).all()
        assert (mine == 0).float().mean() == pytest.approx(rate, abs=0.06)
        draws.append(mine == 0)
    assert torch.equal(*draws) == (rate == 0)  # each half draws anew


# --- Parts that can be switched off -----------------------------------------------------------------------

WEIGHTS = {"embed": [], "embed_anchor": [], "newbie": [0], "clock": [1, 2], "lstm": [], "to_factors": [], "anchor": [],
           "stationary": [], "bias": []}  # of a Side, and the columns if not all
PARTS = {"newbie": {"newbie"}, "wall_clock": {"clock"}, "anchored": {"anchor", "embed_anchor"},
         "stationary": {"anchor", "embed_anchor", "stationary", "bias"},
         "dynamic": {"embed", "embed_anchor", "newbie", "clock", "lstm", "to_factors"}}


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_switched_off_alone(part):
    """The weights of what is off do not matter, and all others do."""
    def matters(model, side, name):
        before, module = model.follow(LATER), getattr(getattr(model, side), {
            "newbie": "embed_clock", "clock": "embed_clock"}.get(name, name))
        with torch.no_grad():
            for p in module.parameters():
                if not WEIGHTS[name]:
                    p += 0.3
                elif p.ndim == 2:
                    p[:, WEIGHTS[name]] += 0.3
        return np.abs(model.follow(LATER) - before).max() > 1e-4

    for side in ("users", "items"):
        for name in WEIGHTS:
            assert matters(enlarged(untrained()), side, name), (side, name)
            off = enlarged(untrained(**{part: False}))
            assert matters(off, side, name) == (name not in PARTS[part]), (side, name)


# --- Causality --------------------------------------------------------------------------------------------


@pytest.mark.claim("no-rating-predicts-itself")
@pytest.mark.parametrize("field", ["users", "items", "ratings", "times"])
def test_a_later_event_moves_no_earlier_prediction(field):
    model = enlarged(untrained())
    before = model.follow(LATER)
    moved = 0
    for at in range(2, LATER.n_ratings):
        column = getattr(LATER, field).copy()
        if field == "times":
            column[at:] += 5 * DAY
        else:
            column[at] = {"users": (column[at] + 1) % N_USERS, "items": (column[at] + 1) % N_ITEMS,
                          "ratings": 6 - column[at] if column[at] != 3 else 5}[field]
        after = model.follow(replace(LATER, **{field: column}))
        earlier = LATER.times < LATER.times[at]
        np.testing.assert_allclose(after[earlier], before[earlier], rtol=0, atol=1e-6)
        moved += np.abs(after - before).max() > 1e-5
    assert moved > 15  # what does change, changes something


@pytest.mark.claim("no-rating-predicts-itself")
def test_ratings_of_one_instant_do_not_see_each_other():
    model = enlarged(untrained())
    together = replace(LATER, users=np.full(25, 2), times=np.full(25, LATER.times[0]))
    before = model.follow(together)
    changed = together.ratings.copy()
    changed[[0, 7]] = 6 - changed[[0, 7]] + (changed[[0, 7]] == 3)
    np.testing.assert_array_equal(model.follow(replace(together, ratings=changed)), before)
    one_by_one = np.array([model.follow(together.take(slice(i, i + 1)))[0] for i in range(25)])
    np.testing.assert_allclose(one_by_one, before, atol=1e-6)


def test_predictions_are_without_dropout():
    model = untrained(dropout=0.9)
    ways = [lambda: model.follow(LATER), lambda: model.predict([100, 999], ["item-1", "item-2"], [40 * DAY] * 2),
            lambda: model.trajectory(item="item-2").factors]
    for way in ways:
        expected = way()
        model.train()
        np.testing.assert_array_equal(way(), expected)
        assert not model.training


def test_following_is_observing_and_predicting_rating_by_rating():
    model, other = enlarged(untrained()), enlarged(untrained())
    expected = []
    for i in range(LATER.n_ratings):
        now = LATER.take(slice(i, i + 1))
        expected += list(other.predict(now.user_ids[now.users], now.item_ids[now.items], now.times))
        other.observe(now)
    np.testing.assert_allclose(model.follow(LATER), expected, atol=1e-5)
    np.testing.assert_array_equal(model.follow(LATER), model.follow(LATER))
    assert model.seen.n_ratings == TRAIN.n_ratings and other.seen.n_ratings == TRAIN.n_ratings + 25


# --- Newcomers --------------------------------------------------------------------------------------------


def test_new_users_and_items_get_a_prediction_and_are_learnt():
    model = enlarged(untrained())
    night = np.full(3, 100 * DAY)
    first = model.predict([999, 100, 999], ["item-0", "new", "new"], night)
    assert np.isfinite(first).all()
    news = replace(random_ratings(4, start=40 * DAY), users=np.zeros(4, int), items=np.array([0, 0, 1, 1]),
                   user_ids=np.array([999]), item_ids=np.array(["new", "item-0"], dtype=object))
    assert np.isfinite(model.follow(news)).all()
    model.observe(news)
    assert model.seen.user_ids.tolist() == [*range(100, 106), 999] and model.seen.item_ids[-1] == "new"
    assert (np.abs(model.predict([999, 100, 999], ["item-0", "new", "new"], night) - first) > 1e-5).all()
    with pytest.raises(ValueError, match="order of time"):
        model.observe(TRAIN)


def test_those_without_a_training_rating_are_new():
    less = TRAIN.take(TRAIN.users != 4)
    model = enlarged(untrained(less))
    at = 50 * DAY
    named, unknown = model.predict([104, 999], ["item-1", "item-1"], [at, at])
    assert named == pytest.approx(unknown, abs=1e-6)
    assert not model.users.anchor.weight[4].any() and not model.items.embed.weight[5].any()
    assert model.items.embed.weight[4].any() and model.items.embed.weight[0].any()


def test_trajectories_are_what_predicts():
    model = enlarged(untrained(anchored=False, stationary=False))
    way = model.trajectory(103)
    mine = np.unique(TRAIN.times[TRAIN.users == 3])
    assert way.times[:-1].tolist() == mine.tolist() and way.times[-1] > mine[-1]
    movie = model.trajectory(item="item-2", times=way.times)
    r = (way.factors * movie.factors).sum(1) * model.scale["std"] + model.scale["mean"]
    np.testing.assert_allclose(model.predict([103] * len(r), ["item-2"] * len(r), way.times), r, atol=1e-5)
    assert way.times[-1] == mine[-1] + 1
    movie = model.trajectory(item="item-2")
    assert movie.times[-1] == movie.times[-2] + DAY  # the next step
    for bad in ({}, {"user": 103, "item": "item-2"}, {"user": 5}):
        with pytest.raises(ValueError, match="trajectory"):
            model.trajectory(**bad)


def test_a_trajectory_is_around_the_anchor():
    model = enlarged(untrained())
    steps = model.steps(TRAIN)[0]
    _, dynamic = model.factors_at_steps(model.users, steps, np.array([3]))
    expected = dynamic + model.users.anchor.weight[3]
    np.testing.assert_allclose(model.trajectory(103).factors[:-1], expected.detach(), atol=1e-6)


# --- Training ---------------------------------------------------------------------------------------------


def test_an_untrained_model_has_the_scale_of_its_data_and_small_random_tables():
    data = random_ratings(5000, n_users=300, n_items=200)
    model = untrained(data, stationary_size=40, dynamic_size=10, embedding_size=10)
    assert model.scale == {"mean": data.ratings.mean(), "std": data.ratings.std(), "start": data.times[0],
                           "span": data.times[-1] - data.times[0]}
    for side in model.sides:
        for name, std in (("anchor", 0.02), ("stationary", 0.05), ("embed", 0.1)):
            table = getattr(side, name).weight
            assert table[table != 0].std().item() == pytest.approx(std, rel=0.06), name
            assert table[table != 0].mean().abs() < 0.1 * std
        assert not side.bias.weight.any()
        assert (side.embed.weight == 0).all(1).nonzero().flatten().tolist() == [
            side.n_others + 1, 2 * side.n_others + 3]  # the last of either kind
    (first, second), (second_last, last) = TRAIN.times[:2], TRAIN.times[-2:]
    assert first < second and second_last < last  # or the next line would not tell them apart
    assert (untrained().scale["start"], untrained().scale["span"]) == (first, last - first)
    at_once = replace(TRAIN, times=np.full(60, 7.0))
    assert untrained(at_once).scale["span"] == 1.0 and untrained(at_once).scale["start"] == 7.0
    alike = replace(TRAIN, ratings=np.full(60, 3.7))
    assert alike.ratings.std() > 0  # from rounding alone
    assert untrained(alike).scale["std"] == 1.0


def test_the_loss_reported_is_the_mean_squared_error_on_the_models_scale():
    still = replace(SMALL, learning_rate=1e-12, penalty=7.0, n_epochs=1, batch_size=7)
    model = fit(TRAIN, still, device="cpu", seed=3, progress=False)
    untrained_model = untrained(seed=3)
    steps = untrained_model.steps(TRAIN)
    batch = batch_of(untrained_model, 0, np.arange(N_USERS), TRAIN, steps, None, WARM)
    _, error = batch_loss(untrained_model, TRAIN, steps, batch)
    assert model.history[0]["loss"] == pytest.approx(error.item() / 60, rel=1e-5)


def test_the_progress_bar_counts_the_batches_and_goes_on_after_a_kill(tmp_path, monkeypatch):
    bars, real = [], training.progress_bar

    def progress_bar(n_steps, shown):
        bar, updates = real(n_steps, False), []
        bar.update, bar.n = lambda n=1: updates.append(n), 0
        bars.append((n_steps, shown, updates))
        return bar

    monkeypatch.setattr(training, "progress_bar", progress_bar)
    check_resumes(partial(fit, TRAIN, replace(SMALL, n_epochs=3), device="cpu"), tmp_path / "run")
    n = sum(len(of_side.batches(SMALL.batch_size)) for of_side in untrained().steps(TRAIN))
    (uncut, shown, steps), _, (again, _, resumed) = bars
    assert uncut == again == 3 * n and shown is True
    assert steps == [0, *[1] * n, n, *[1] * n, 2 * n, *[1] * n]  # the stand-in stays at 0, so each epoch catches up
    assert resumed == [n, *[1] * n, 2 * n, *[1] * n]


def test_a_step_runs_on_the_meta_device():
    model = RRN(TRAIN.item_ids, replace(SMALL, dropout=0.2), "meta", user_ids=TRAIN.user_ids,
                scale={"mean": 3.0, "std": 1.0, "start": 0.0, "span": DAY}).train()
    steps = model.steps(TRAIN)
    fixed = torch.empty(len(steps[1].time), 3, device="meta")
    batch = batch_of(model, 0, np.arange(N_USERS), TRAIN, steps, fixed, WARM.to("meta"))
    loss, _ = batch_loss(model, TRAIN, steps, batch)
    loss.backward()
    assert loss.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_trains_to_the_same_model():
    cpu, cuda = (fit(TRAIN, SMALL, device=device, progress=False) for device in ("cpu", "cuda"))
    assert cuda.device.type == "cuda"
    np.testing.assert_allclose(cpu.follow(LATER), cuda.follow(LATER), atol=0.05)


@pytest.mark.parametrize("saves", [1, 2])
def test_a_killed_run_resumes_to_the_same_numbers(tmp_path, saves):
    config = replace(SMALL, n_epochs=3, dropout=0.3, cold_start=0.4, decay=True)
    run = partial(fit, TRAIN, config, device="cpu", seed=1, progress=False, valid=LATER)
    check_resumes(run, tmp_path / "run", saves)
    start = np.ones((N_USERS, 2)), np.ones((N_ITEMS, 2))
    with pytest.raises(ValueError, match="start"):
        run(checkpoint=tmp_path / "run", start=start)


def test_a_run_goes_on_only_from_the_factors_that_it_started_with(tmp_path):
    ones = np.ones((N_USERS, 2)), np.ones((N_ITEMS, 2))
    run = partial(fit, TRAIN, replace(SMALL, n_epochs=1), device="cpu", progress=False, checkpoint=tmp_path / "run")
    first = run(start=ones)
    assert run(start=ones).history == first.history
    with pytest.raises(ValueError, match="start"):
        run(start=(ones[0], 2 * ones[1]))


def test_under_autocast_it_trains_as_well():
    train, test, _ = RatingWorld(n_users=40, n_items=20, n_steps=20).sample().split_by_time(0.8, 0.1, 0.1)
    config = RRNConfig(dropout=0.0, learning_rate=0.01, n_epochs=6, batch_size=100)
    whole = fit(train, config, device="cpu", progress=False)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = fit(train, config, device="cpu", progress=False)
        inside = rounded.terms_following(test)
        predicted = rounded.follow(test)
    assert not torch.equal(whole.users.lstm.weight_hh_l0, rounded.users.lstm.weight_hh_l0)  # it did round
    assert {t.dtype for t in (*rounded.parameters(), *inside[0], *inside[1])} == {torch.float32}
    np.testing.assert_allclose(predicted, rounded.follow(test), atol=0.05)
    a, b = ([point["loss"] for point in model.history] for model in (whole, rounded))
    assert a[-1] < 0.8 * a[0] and b == pytest.approx(a, rel=0.01)


def test_gradients_are_clipped_where_they_are_dense_and_then_followed():
    model = untrained(clip=0.5)
    a, b, table = model.users.to_factors.bias, model.items.to_factors.bias, model.users.bias
    before, changes = [p.detach().clone() for p in (a, b, table.weight)], []

    class Descent:
        def zero_grad(self):
            changes.append("zeroed")
            for p in model.parameters():
                p.grad = None

        def step(self):
            changes.extend([a.grad, b.grad, table.weight.grad.coalesce()])

    a.grad = torch.full_like(a, 7.0)  # of a step before
    loss = a @ torch.tensor([-9.0, 0.1, 0.6]) + 0.4 * b.sum() + 30 * table(torch.tensor([2])).sum()
    update(model, Descent(), loss)
    assert changes[0] == "zeroed"
    np.testing.assert_allclose(changes[1], [-0.5, 0.1, 0.5])
    np.testing.assert_allclose(changes[2], 0.4)
    assert changes[3].indices().tolist() == [[2]] and changes[3].values().tolist() == [[30]]
    assert all(torch.equal(p, old) for p, old in zip((a, b, table.weight), before))
    update(model, Descent(), 30 * table(torch.tensor([2])).sum())  # nothing to clip


def test_the_clip_of_the_settings_is_used_in_training(monkeypatch):
    clips, real = [], nn.utils.clip_grad_value_
    monkeypatch.setattr(nn.utils, "clip_grad_value_", lambda p, clip: (clips.append(clip), real(p, clip)))
    fit(TRAIN, replace(SMALL, clip=0.125), device="cpu", progress=False)
    assert set(clips) == {0.125}
    free, tight = (fit(TRAIN, replace(SMALL, clip=clip), device="cpu", progress=False).follow(LATER)
                   for clip in (1e3, 1e-9))
    assert np.abs(free - tight).max() > 1e-3


def test_decay_lets_both_learning_rates_fall_to_nothing(monkeypatch):
    rates, step = [], training.Adam.step
    monkeypatch.setattr(training.Adam, "step", lambda self: (
        rates.append([part.param_groups[0]["lr"] for part in self.parts]), step(self)))
    fit(TRAIN, replace(SMALL, n_epochs=4, learning_rate=0.08, table_learning_rate=0.4, decay=True), device="cpu",
        progress=False)
    np.testing.assert_allclose(np.unique(rates, axis=0), [[0.02, 0.1], [0.04, 0.2], [0.06, 0.3], [0.08, 0.4]])


def test_the_best_epoch_is_that_of_least_error():
    points = []
    model = fit(TRAIN, replace(SMALL, n_epochs=12, learning_rate=0.1), device="cpu", valid=LATER, patience=4,
                progress=False, callback=points.append)
    least = min(point["rmse"] for point in points)
    assert len(points) < 12  # the rating noise of so few is soon overfitted
    assert np.sqrt(np.mean((model.follow(LATER) - LATER.ratings) ** 2)) == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize("off", ["newbie", "wall_clock", "dynamic", "stationary", "anchored"])
def test_it_trains_without_any_one_part(off):
    model = fit(TRAIN, replace(SMALL, n_epochs=4, **{off: False}), device="cpu", progress=False)
    assert model.history[-1]["loss"] < model.history[0]["loss"]


def test_same_seed_same_model_other_seed_other_model():
    a, b, c = (fit(TRAIN, SMALL, device="cpu", seed=s, progress=False).follow(LATER) for s in (3, 3, 4))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1e-4


def test_saved_models_go_on_from_what_they_had_seen(tmp_path):
    model = fit(TRAIN, SMALL, device="cpu", progress=False)
    model.observe(replace(LATER.take(slice(0, 9)), user_ids=np.arange(102, 108)))
    model.save(tmp_path / "model")
    loaded = RRN.load(tmp_path / "model", device="cpu")
    rest = LATER.take(slice(9, None))
    np.testing.assert_array_equal(model.follow(rest), loaded.follow(rest))
    case = ([107, 100], ["item-1", "new"], [60 * DAY] * 2)
    np.testing.assert_array_equal(model.predict(*case), loaded.predict(*case))
    assert loaded.history == model.history


@pytest.mark.parametrize("name,value", [
    ("users", torch.full((60,), 99)), ("users", torch.full((60,), N_USERS)), ("items", torch.full((60,), -1)),
    ("users", torch.zeros(60)), ("ratings", torch.full((60,), torch.nan).double()),
    ("times", torch.arange(60).flip(0).double()), ("items", torch.zeros(59).long())])
def test_a_crafted_checkpoint_is_refused(tmp_path, name, value):
    model = untrained()
    model.save(tmp_path / "model")
    tensors, _ = training.load_checkpoint(tmp_path / "model")
    save_file(tensors | {f"seen.{name}": value}, tmp_path / "model" / "tensors.safetensors")
    with pytest.raises(ValueError, match="seen ratings"):
        RRN.load(tmp_path / "model", device="cpu")


def test_what_is_asked_for_has_one_user_one_item_and_one_time():
    with pytest.raises(ValueError, match="users: 1, items: 2, times: 2; a rating has one of each"):
        untrained().predict([0], [0, 1], [9e12, 9e12])


def test_nothing_to_validate_on_is_refused_before_the_first_epoch():
    data = random_ratings()
    with pytest.raises(ValueError, match="no ratings to validate on"):
        fit(data, RRNConfig(n_epochs=1), device="cpu", valid=data.take(slice(0)), progress=False, callback=pytest.fail)


def test_an_empty_list_of_seen_ratings_is_refused(tmp_path):
    untrained().save(tmp_path / "model")
    tensors, info = training.load_checkpoint(tmp_path / "model")
    none = {name: tensor[:0] for name, tensor in tensors.items() if name.startswith("seen.")}
    training.save_checkpoint(tmp_path / "model", tensors | none, info)
    with pytest.raises(ValueError, match="seen ratings"):
        RRN.load(tmp_path / "model", device="cpu")


def test_a_checkpoint_without_seen_ratings_is_refused(tmp_path):
    untrained().save(tmp_path / "model")
    tensors, info = training.load_checkpoint(tmp_path / "model")
    info.pop("seen")
    training.save_checkpoint(tmp_path / "model", tensors, info)
    with pytest.raises(ValueError, match="seen ratings"):
        RRN.load(tmp_path / "model", device="cpu")


def test_stationary_factors_can_start_from_others():
    rng = np.random.default_rng(0)
    start = rng.standard_normal((N_USERS, 2)), rng.standard_normal((N_ITEMS, 2))
    model = new_model(TRAIN, SMALL, device="cpu", start=start)
    np.testing.assert_allclose(model.users.stationary.weight[:-1].detach(), start[0], rtol=1e-6)
    assert not model.users.stationary.weight[-1].any()
    with pytest.raises(ValueError, match="stationary_size"):
        new_model(TRAIN, SMALL, device="cpu", start=start[::-1])


def test_default_settings_are_those_of_the_papers_and_of_the_results():
    assert asdict(RRNConfig()) == {
        "hidden_size": 40, "embedding_size": 40, "stationary_size": 160,  # Wu et al. 2017, section 4.1
        "dropout": 0.5, "clip": 15.0, "learning_rate": 1.5e-3,  # their later paper
        "dynamic_size": 20, "penalty": 30.0, "bias_penalty": 1.0, "table_learning_rate": None, "decay": False,
        "batch_size": 4096, "n_epochs": 16, "user_step": 0.0, "item_step": 86_400.0, "cold_start": 0.5, "newbie": True,
        "wall_clock": True, "dynamic": True, "stationary": True, "anchored": True, "joint": False}


WRONG = {"Size": [0, -1, 2.5, "3", True, None], "Weight": [-0.1, np.nan, np.inf, "1", True, None],
         "Rate": [0.0, -1, np.nan, "1", True, None], "Rate | None": [0.0, -1, np.nan, "1", True],
         "Dropout": [-0.1, 1.0, 1.5, np.nan, "0", None], "bool": ["no", 1, 0.0, None]}


@pytest.mark.parametrize("field", fields(RRNConfig), ids=lambda field: field.name)
def test_a_wrong_setting_is_refused_with_its_name_its_value_and_what_is_allowed(field):
    for value in WRONG[field.type]:
        with pytest.raises(ValueError, match=rf"^{field.name}={value!r}; it must be \S"):
            RRNConfig(**{field.name: value})


def test_a_model_without_any_part_is_refused():
    with pytest.raises(ValueError, match="nothing is left"):
        RRNConfig(dynamic=False, stationary=False)


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(ValueError, match="no ratings to train on"):
        fit(TRAIN.take(slice(0, 0)), SMALL, device="cpu", progress=False)


# --- What it learns ---------------------------------------------------------------------------------------


class Mean:
    def fit(self, train):
        self.mean, self.user_ids, self.item_ids = train.ratings.mean(), train.user_ids, train.item_ids
        return self

    def follow(self, data):
        return np.full(data.n_ratings, self.mean)


def test_moving_tastes_are_followed_and_the_mean_is_not_enough():
    world = RatingWorld(n_users=400, n_items=20, n_steps=60, dim=2, rho=0.98)
    train, valid, test = world.sample(seed=0).split_by_time()
    config = RRNConfig(hidden_size=32, embedding_size=16, dynamic_size=8, stationary_size=4, dropout=0.0, penalty=1e-3,
                       user_step=DAY, batch_size=1000, learning_rate=8e-3, n_epochs=14)
    model = fit(train, config, device="cpu", valid=valid, patience=5, progress=False)
    model.observe(valid)
    past = concatenate(train, valid)
    ours, mean = (metrics.evaluate_ratings(m, test).rmse for m in (model, Mean().fit(past)))
    best = metrics.evaluate_ratings(world.kalman().fit(past), test).rmse
    assert best < ours < mean - 0.4 * (mean - best)
    no_news = replace(test, ratings=np.full(test.n_ratings, past.ratings.mean()))  # nothing of the test is learnt
    assert np.sqrt(np.mean((model.follow(no_news) - test.ratings) ** 2)) > ours


def test_users_who_always_give_the_same_rating_are_told_apart():
    """The mean is wrong by 1 for everybody."""
    def habits(data):
        return replace(data, ratings=np.where(data.users % 2, 4.0, 2.0))

    config = replace(SMALL, n_epochs=12, penalty=1.0, learning_rate=0.03)
    model = fit(habits(TRAIN), config, device="cpu", progress=False)
    np.testing.assert_allclose(model.follow(habits(LATER)), habits(LATER).ratings, atol=0.5)


def test_ratings_that_are_all_equal_stay_finite():
    model = fit(replace(TRAIN, ratings=np.full(60, 4.0)), SMALL, device="cpu", progress=False)
    assert model.scale["std"] == 1.0
    np.testing.assert_allclose(model.follow(replace(LATER, ratings=np.full(25, 4.0))), 4.0, atol=0.1)


def test_layer_normalisation_in_an_lstm_is_that_of_its_paper(float64):
    """Ba, Kiros & Hinton 2016, equations 20 to 22, a step at a time; scale and shift of each norm are not 1 and 0."""
    torch.manual_seed(0)
    lstm = LayerNormLSTM(3, 2)
    norms = lstm.of_read, lstm.of_carry, lstm.of_cell
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    read, carry = (layer.weight.detach().numpy() for layer in (lstm.read, lstm.carry))

    def normal(a, norm):
        scaled = (a - a.mean()) / np.sqrt(a.var() + 1e-5)
        return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    x = torch.randn(4, 5, 3)
    states, (last, cell) = lstm(x)
    for b in range(5):
        h = c = np.zeros(2)
        for t in range(4):
            gates = normal(read @ x[t, b].numpy(), norms[0]) + normal(carry @ h, norms[1])
            i, f, g, o = gates.reshape(4, 2)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(normal(c, norms[2]))
            np.testing.assert_allclose(states[t, b].detach().numpy(), h, rtol=1e-12)
        np.testing.assert_allclose(last[b].detach().numpy(), h, rtol=1e-12)
        np.testing.assert_allclose(cell[b].detach().numpy(), c, rtol=1e-12)
