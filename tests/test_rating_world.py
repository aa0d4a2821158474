"""The world of drifting ratings against brute-force conditioning, and what must not beat its optimum."""

from dataclasses import replace

import numpy as np
import pytest

from rnnbook import worlds
from rnnbook.interactions import DAY, concatenate
from rnnbook.metrics import evaluate_ratings, paired_difference
from rnnbook.worlds.ratings import START, KalmanFilter, RatingWorld

TINY = RatingWorld(n_users=3, n_items=20, n_steps=15, rho=0.9, noise=0.4)


class Constant:
    """Predicts one number, or one for each item, float64 [n_items]."""

    def __init__(self, world, value):
        self.user_ids, self.item_ids = world.user_ids, world.item_ids
        self.value = np.broadcast_to(value, world.n_items)

    def follow(self, data):
        return self.value[data.items]


def at(data, world, step):
    """The ratings before this step, and the others."""
    before = world.steps(data.times) < step
    return data.take(before), data.take(~before)


def rmse(predictions, data):
    return np.sqrt(((predictions - data.ratings)**2).mean())


def joint(world, seen, user, item, time):
    """Mean and variance of one rating from the joint normal distribution of it and all this user rated before."""
    past = seen.take((seen.users == user) & (seen.times < time))
    items, steps = np.append(past.items, item), np.append(past.times, time) // DAY - START // DAY
    q = world.factors[items]
    cov = (q @ q.T) * world.rho**np.abs(steps[:, None] - steps) + world.noise**2 * np.eye(len(items))
    mean = np.array([float(world.mean(j, t)) for j, t in zip(items, steps)])
    weights = np.linalg.solve(cov[:-1, :-1], cov[:-1, -1])
    return mean[-1] + weights @ (past.ratings - mean[:-1]), cov[-1, -1] - weights @ cov[:-1, -1]


@pytest.fixture(scope="module")
def world():
    return RatingWorld(n_users=400)


@pytest.fixture(scope="module")
def split(world):
    return at(world.sample(), world, 80)


# The filter is exact


@pytest.mark.parametrize("tiny", [
    TINY, replace(TINY, rho=1.0), replace(TINY, rho=0.0), replace(TINY, dim=1), replace(TINY, wave=0.5, seed=2),
    replace(TINY, ratings_per_step=3, n_steps=8),
    replace(TINY, level_shift=2.0, season=-1.5, period=5.0, n_items=5)])
@pytest.mark.parametrize("kept", [1.0, 0.3])
def test_filter_equals_conditioning(tiny, kept):
    """All ratings, or with gaps; and ratings of the same user at one instant, which do not see each other."""
    data = tiny.sample()
    data = data.take(np.random.default_rng(0).random(data.n_ratings) < kept)
    tied = replace(data, times=START + DAY * tiny.steps(data.times) + 43_200.0 * (data.times % DAY > 43_200))
    for each in (data, tied.take(np.argsort(tied.times, kind="stable"))):
        train, test = each.take(slice(each.n_ratings // 2)), each.take(slice(each.n_ratings // 2, None))
        mean, variance = tiny.kalman().fit(train).follow_with_variance(test)
        expected = [joint(tiny, each, u, i, t) for u, i, t in zip(test.users, test.items, test.times)]
        np.testing.assert_allclose(np.stack([mean, variance], axis=1), expected, rtol=0, atol=1e-9)
        mean, variance = tiny.kalman().follow_with_variance(each)  # from nothing
        expected = [joint(tiny, each, u, i, t) for u, i, t in zip(each.users, each.items, each.times)]
        np.testing.assert_allclose(np.stack([mean, variance], axis=1), expected, rtol=0, atol=1e-9)


def test_predict_equals_conditioning():
    """Any user, item and time, in any order, before, within and after the fitted ratings, exactly at one too."""
    train, later = at(TINY.sample(), TINY, 10)
    rng = np.random.default_rng(0)
    n = 60
    users, items = rng.integers(TINY.n_users, size=n), rng.integers(TINY.n_items, size=n)
    times = START + DAY * rng.uniform(-3, 20, size=n)
    users[:5], times[:5] = train.users[-5:], train.times[-5:]
    model = TINY.kalman().fit(train)
    predicted = model.predict(TINY.user_ids[users], TINY.item_ids[items], times)
    expected = [joint(TINY, train, u, i, t)[0] for u, i, t in zip(users, items, times)]
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-9)
    assert np.ptp(predicted) > 1

    stepwise = [TINY.kalman().fit(concatenate(train, later.take(later.times < t))).predict([u], [i], [t])[0]
                for u, i, t in zip(TINY.user_ids[later.users], TINY.item_ids[later.items], later.times)]
    np.testing.assert_allclose(model.follow(later), stepwise, rtol=0, atol=1e-12)


def test_unknown_ids():
    world = replace(TINY, level_shift=1.0)
    train, later = at(world.sample(), world, 10)
    known, when = world.user_ids[0], later.times[[0, 0, 0, 0]]
    predicted = world.kalman().fit(train).predict([known, "nobody", "nobody", known],
                                                  ["item-0", "item-0", "item-19", "nothing"], when)
    assert predicted[1:].tolist() == [1, 0, 0]  # the means, shifted and not, and 0 for an unknown item
    assert abs(predicted[0] - 1) > 0.1


def test_following_leaves_the_filter_as_it_was_and_fitting_starts_anew(world, split):
    train, test = split
    model = world.kalman().fit(train)
    first = model.follow(test)
    np.testing.assert_array_equal(model.follow(test), first)
    np.testing.assert_array_equal(model.fit(train.take(slice(100))).fit(train).follow(test), first)
    assert rmse(world.kalman().follow(test), test) > rmse(first, test) + 0.03  # the history is of use


def test_other_ids_are_refused(world, split):
    with pytest.raises(ValueError, match=r"user_ids of .* differ"):
        TINY.kalman().fit(split[0])
    with pytest.raises(ValueError, match="begins before"):
        world.kalman().fit(split[1]).follow(split[0])


@pytest.mark.parametrize("column", ["ratings", "items", "users", "times"])
def test_later_changes_do_not_move_earlier_predictions(world, split, column):
    train, test = split
    model, event = world.kalman().fit(train), test.n_ratings // 2
    changed = getattr(test, column).copy()
    if column == "times":
        changed[event:] = changed[event:] + 3 * DAY
    elif column == "ratings":
        changed[event] += 5
    else:
        changed[event] = (changed[event] + 7) % {"items": world.n_items, "users": world.n_users}[column]
    before, after = model.follow(test), model.follow(replace(test, **{column: changed}))
    np.testing.assert_array_equal(after[:event], before[:event])
    moved = np.flatnonzero(after != before)
    assert (moved > event).any() and (column != "ratings" or (test.users[moved] == test.users[event]).all())


# The optimum is the optimum


def test_the_filter_knows_its_error(world):
    """Errors over their standard deviations are N(0, 1), where the filter is sure and where it is not."""
    data = world.sample(seed=1)
    mean, variance = world.kalman().follow_with_variance(data)
    z = (mean - data.ratings) / np.sqrt(variance)
    assert np.ptp(variance) > 1
    for part in (variance < np.median(variance), variance >= np.median(variance)):
        n = part.sum()
        assert abs((z[part]**2).mean() - 1) < 4 * np.sqrt(2 / n)
        assert abs(z[part].mean()) < 4 / np.sqrt(n)
    mean, variance = world.static().follow_with_variance(data)
    assert ((mean - data.ratings)**2 / variance).mean() > 2  # who believes in rho = 1 is far too sure


@pytest.mark.parametrize("rho, best, static, nothing", [(0.98, 0.703, 1.103, 1.176), (0.995, 0.595, 0.765, 1.153)])
def test_against_the_published_scores(rho, best, static, nothing):
    """Kalman filter, ridge regression on 80 steps, and 0, on the other 20 (of another draw of the world)."""
    world = RatingWorld(rho=rho)
    train, test = at(world.sample(), world, 80)
    taste = np.zeros((world.n_users, world.dim))
    for user in range(world.n_users):
        of = train.users == user
        q = world.factors[train.items[of]]
        taste[user] = np.linalg.solve(q.T @ q + world.noise**2 * np.eye(world.dim), q.T @ train.ratings[of])
    ridge = (taste[test.users] * world.factors[test.items]).sum(1)
    frozen = world.static().fit(train).predict(world.user_ids[test.users], world.item_ids[test.items], test.times)
    np.testing.assert_allclose(frozen, ridge, rtol=0, atol=1e-9)

    optimum = world.oracle(train, test)
    assert optimum.rmse == pytest.approx(best, abs=0.02)
    assert optimum.expected_rmse == pytest.approx(best, abs=0.01)
    assert rmse(ridge, test) == pytest.approx(static, abs=0.04)
    assert rmse(0, test) == pytest.approx(nothing, abs=0.04)
    updating = rmse(world.static().fit(train).follow(test), test)
    assert optimum.rmse + 0.1 < updating < rmse(ridge, test) - 0.02


def test_nobody_beats_it(world, split):
    train, test = split
    best = evaluate_ratings(world.kalman().fit(train), test)
    rivals = [Constant(world, 0.0), Constant(world, train.ratings.mean()),
              Constant(world, np.bincount(train.items, train.ratings) / np.bincount(train.items)),
              world.static().fit(train), *[KalmanFilter(replace(world, **wrong)).fit(train)
                                           for wrong in ({"rho": 0.95}, {"rho": 0.993}, {"noise": 0.8})]]
    for rival in rivals:
        assert paired_difference(best, evaluate_ratings(rival, test), "rmse")[2] < 0
    for rival in rivals[:3]:
        assert evaluate_ratings(rival, test).rmse > best.rmse + 0.4


def test_control_without_drift(world):
    """With rho = 1 the static filter is the optimum, and what it does not know is nearly the noise alone."""
    still = replace(world, rho=1.0)
    train, test = at(still.sample(), still, 80)
    np.testing.assert_array_equal(still.static().fit(train).follow(test), still.kalman().fit(train).follow(test))
    assert 0.5 < still.oracle(train, test).expected_rmse < 0.52


def test_oracle(world, split):
    train, test = split
    optimum = world.oracle(train, test)
    scores = evaluate_ratings(world.kalman().fit(train), test)
    assert (optimum.rmse, optimum.mae) == pytest.approx((scores.rmse, scores.mae), abs=1e-12)
    assert optimum.mae == pytest.approx(np.sqrt(2 / np.pi) * optimum.rmse, rel=0.03)  # nearly one normal law
    assert abs(optimum.rmse - optimum.expected_rmse) < 4 * optimum.rmse / np.sqrt(2 * test.n_ratings)
    parts = train.take(slice(20_000)), train.take(slice(20_000, None)), test
    assert world.oracle(*parts) == optimum
    whole = concatenate(train, test)
    assert world.oracle(whole).rmse == pytest.approx(rmse(world.kalman().follow(whole), whole), abs=1e-12)
    assert world.oracle(test).rmse > optimum.rmse + 0.03  # nothing is known at first
    with pytest.raises(ValueError, match="begins before"):
        world.oracle(test, train)


# The world


def test_zero_has_the_expected_error():
    short = RatingWorld(n_users=3000, n_steps=10)
    for world in (short, replace(short, dim=2, scale=1.0, seed=5)):
        assert np.sqrt((world.factors**2).mean()) == pytest.approx(world.scale, abs=1e-12)
        expected = np.sqrt(world.noise**2 + world.dim * world.scale**2)
        assert rmse(0, world.sample()) == pytest.approx(expected, rel=0.02)
    assert np.sqrt(0.5**2 + 3 * 0.615**2) == pytest.approx(1.1767, abs=1e-4)


def test_tastes_are_stationary_and_remember_as_said():
    u = RatingWorld(n_users=20_000, n_steps=31, rho=0.95).tastes()
    for t in (0, 15, 30):
        np.testing.assert_allclose(np.cov(u[t].T), np.eye(3), atol=0.05)
        assert (u[0] * u[t]).mean() == pytest.approx(0.95**t, abs=0.03)
    still = replace(TINY, rho=1.0).tastes()
    np.testing.assert_array_equal(still, np.broadcast_to(still[0], still.shape))


def test_ratings_are_what_the_law_says(world):
    """Less the tastes behind it, a rating is noise."""
    data = world.sample(seed=3)
    steps, u = world.steps(data.times), world.tastes(seed=3)
    rest = data.ratings - (u[steps, data.users] * world.factors[data.items]).sum(1)
    assert rest.mean() == pytest.approx(0, abs=4 * 0.5 / np.sqrt(len(rest)))
    assert rest.std() == pytest.approx(0.5, rel=4 / np.sqrt(2 * len(rest)))
    wrong = data.ratings - (world.tastes(seed=4)[steps, data.users] * world.factors[data.items]).sum(1)
    assert wrong.std() > 1


def test_sample(world):
    data = world.sample()
    assert data.sha256 == RatingWorld(n_users=400).sample().sha256
    assert len({data.sha256, world.sample(seed=1).sha256, replace(world, seed=1).sample().sha256}) == 3
    np.testing.assert_array_equal(replace(world, rho=0.5).factors, world.factors)
    assert data.name == "rating-world" and data.n_ratings == 40_000 and (np.diff(data.times) >= 0).all()
    assert (data.times[0], data.times[-1]) == pytest.approx((START, START + 100 * DAY), abs=DAY / 10)
    assert (data.users.dtype, data.items.dtype, data.ratings.dtype) == (np.int64, np.int64, np.float64)
    step_and_user = world.steps(data.times) * world.n_users + data.users
    np.testing.assert_array_equal(np.sort(step_and_user), np.arange(40_000))  # everyone, once a step
    per_item = np.bincount(data.items, minlength=world.n_items)
    assert len(per_item) == 50 and ((per_item - 800)**2 / 800).sum() < 95  # chi square, 49 degrees: p = 1e-4
    assert "2020-01-01 to 2020-04-09" in repr(data)

    several = replace(TINY, ratings_per_step=4).sample()
    counts = np.bincount(TINY.steps(several.times) * 3 + several.users)
    assert (counts == 4).all() and len(counts) == 45


def test_level_shift_and_season_by_hand():
    world = RatingWorld(level_shift=2.0, season=0.5, period=20.0)
    items = np.array([0, 4, 5, 9, 10, 49])[:, None]
    means = world.mean(items, np.array([0, 5, 15, 49, 50, 99]))
    wave = 0.5 * np.array([0, 1, -1, np.sin(4.9 * np.pi), 0, np.sin(9.9 * np.pi)])
    np.testing.assert_allclose(means, [[0, 0, 0, 0, 2, 2]] * 2 + [wave] * 2 + [[0] * 6] * 2, rtol=0, atol=1e-12)


def test_level_shift_and_season_in_the_ratings_and_in_the_optimum():
    """The ratings hold the means, and a filter that does not know them is worse."""
    world = RatingWorld(n_users=400, level_shift=2.0, season=1.5)
    data, plain = world.sample(), RatingWorld(n_users=400).sample()
    np.testing.assert_array_equal(data.times, plain.times)
    means = world.mean(data.items, world.steps(data.times))
    np.testing.assert_allclose(data.ratings - plain.ratings, means, rtol=0, atol=1e-12)
    train, test = at(data, world, 80)
    optimum = world.oracle(train, test)
    assert optimum.rmse == pytest.approx(RatingWorld(n_users=400).oracle(*at(plain, world, 80)).rmse, abs=1e-9)
    for unaware in ({"level_shift": 0.0}, {"season": 0.0}):
        assert rmse(KalmanFilter(replace(world, **unaware)).fit(train).follow(test), test) > optimum.rmse + 0.1


def test_wave():
    world = RatingWorld(n_users=500, wave=0.3)
    data = world.sample()
    train, test = at(data, world, 80)
    assert world.wave_step == 80 and data.n_ratings == 350 * 100 + 150 * 20
    assert set(train.users) == set(range(350)) and set(test.users) == set(range(500))
    mean, variance = world.kalman().fit(train).follow_with_variance(test)
    day, new = world.steps(test.times), test.users >= 350
    error = (mean - test.ratings)**2
    assert error[new & (day == 80)].mean() > 1.6 * error[~new].mean()  # of a newcomer nothing is known,
    assert (mean[new & (day == 80)] == 0).all()
    assert error[new & (day >= 95)].mean() < 1.25 * error[~new].mean()  # but it is soon learnt
    assert error.mean() == pytest.approx(variance.mean(), rel=0.05)
    assert RatingWorld(n_steps=7).wave_step == 6


def test_what_is_not_said_is_as_documented(world):
    assert RatingWorld() == RatingWorld(n_users=1000, n_items=50, dim=3, noise=0.5, n_steps=100, rho=0.98, scale=0.615,
                                        ratings_per_step=1, level_shift=0.0, season=0.0, period=25.0, wave=0.0, seed=0)
    assert TINY.sample().sha256 == TINY.sample(seed=0).sha256
    np.testing.assert_array_equal(TINY.tastes(), TINY.tastes(seed=0))


def test_the_numbers_of_a_seed_stay():
    """Another order of draws would be another world under the same name, and the result files of the old one."""
    data = RatingWorld(n_users=3, n_items=4, n_steps=2).sample(seed=2)
    assert data.users.tolist() == [2, 0, 1, 1, 0, 2] and data.items.tolist() == [1, 0, 0, 1, 0, 0]
    np.testing.assert_allclose(data.ratings, [-0.856155, 0.711619, -0.605722, -0.263985, 1.009839, -1.427913],
                               atol=1e-6)
    assert (data.times - data.times[0]).tolist() == [0, 17368, 25645, 67568, 100037, 128600]


def test_the_smallest_worlds():
    """What lies on a bound is allowed."""
    for world in (RatingWorld(n_users=1, n_items=1, dim=1, n_steps=1, ratings_per_step=1),
                  RatingWorld(n_users=2, n_steps=2, rho=0.0, wave=0.0), RatingWorld(n_users=2, n_steps=10, wave=1.0)):
        optimum = world.oracle(world.sample())
        assert np.isfinite(optimum.rmse) and optimum.expected_rmse > world.noise


def test_bad_parameters():
    for wrong, message in (({"n_users": 0}, "size"), ({"ratings_per_step": 0}, "size"), ({"rho": 1.1}, "rho"),
                           ({"wave": -0.1}, "wave"), ({"noise": 0}, "noise"), ({"period": 0}, "period"),
                           ({"scale": 0}, "scale"), ({"rho": -0.1}, "rho"), ({"wave": 1.1}, "wave"),
                           ({"n_items": 0}, "size"), ({"dim": 0}, "size"), ({"n_steps": 0}, "size")):
        with pytest.raises(ValueError, match=message):
            RatingWorld(**wrong)


def test_it_is_among_the_worlds():
    assert worlds.RatingWorld is RatingWorld
