"""Worlds against enumeration, long simulation, and everything that might beat their optimum but must not."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from recommender_contract import all_scores
from rnnbook import metrics
from rnnbook.baselines import ItemKNN, Markov, Popularity, SessionKNN
from rnnbook.worlds import BayesFilter, DriftWorld, FutureChain, MarkovWorld, SessionWorld, divergence
from rnnbook.worlds.sessions import draw_from_rows

TINY = SessionWorld(n_states=3, n_items=5, states_per_item=2, stay=0.6, jump=0.3, mean_length=5)


@pytest.fixture(scope="module")
def world():
    return SessionWorld()


@pytest.fixture(scope="module")
def test(world):
    return world.sample(1500, seed=1)


def enumerated(world, history):
    """P(next item | history), float64 [n_items], as a sum over every path of hidden states."""
    joint = np.zeros(world.n_items)
    for path in product(range(world.n_states), repeat=len(history) + 1):
        p = world.start[path[0]]
        for here, there, item in zip(path, path[1:], history):
            p *= world.emission[here, item] * world.transition[here, there]
        joint += p * world.emission[path[-1]]
    return joint / joint.sum()


# The filter is exact


@pytest.mark.parametrize("tiny", [TINY, replace(TINY, noise=0.2), replace(TINY, jump=1.0, seed=3),
                                  replace(TINY, stay=0.95, states_per_item=1)])
def test_filter_equals_enumeration(tiny):
    data = tiny.sample(30, seed=0)
    assert data.lengths.max() >= 7
    for model, seen in ((tiny.bayes(), slice(None)), (tiny.last_item(), slice(-1, None))):
        rows = all_scores(model, data)
        for position, session in zip(*metrics.target_positions(data)):
            history = data.items[data.offsets[session]:position][seen]
            np.testing.assert_allclose(rows[position], enumerated(tiny, history), rtol=0, atol=1e-12)


def test_last_item_is_exact_at_every_position():
    """P(x_t | x_{t-1}) by enumeration of everything before: the same at t = 2 and t = 4."""
    for t in (2, 4):
        joint = np.zeros((TINY.n_items, TINY.n_items))
        for past in product(range(TINY.n_items), repeat=t - 1):
            p = np.zeros(TINY.n_states)
            p[:] = TINY.start
            for item in past:
                p = (p * TINY.emission[:, item]) @ TINY.transition
            joint[past[-1]] += p @ TINY.emission
        given_last = joint / joint.sum(1, keepdims=True)
        np.testing.assert_allclose(given_last, TINY.next_given_last, rtol=0, atol=1e-12)


def test_probabilities_are_probabilities():
    for world in (SessionWorld(), TINY, SessionWorld(noise=0.3, stay=0, jump=1)):
        for rows in (world.transition, world.emission, world.next_given_last, world.start[None],
                     world.popularity[None]):
            assert (rows >= 0).all()
            np.testing.assert_allclose(rows.sum(1), 1)
        np.testing.assert_allclose(world.start @ world.transition, world.start)
        np.testing.assert_allclose(world.popularity @ world.next_given_last, world.popularity)


def test_structure(world):
    member = world.emission > 0
    assert (member.sum(0) == 3).all() and member.any(1).all()
    assert world.transition[0, 0] == pytest.approx(0.8)
    assert world.transition[0, 1] == world.transition[19, 0] == pytest.approx(0.2 * (0.95 + 0.05 / 19))
    assert world.transition[1, 0] == pytest.approx(0.2 * 0.05 / 19)
    noisy = replace(world, noise=0.25)
    np.testing.assert_allclose(noisy.emission, 0.75 * world.emission + 0.25 / 300)


# Samples follow the law


def test_sample_is_deterministic_and_seeds_differ(world):
    one, same, other = world.sample(50, seed=1), world.sample(50, seed=1), world.sample(50, seed=2)
    np.testing.assert_array_equal(one.items, same.items)
    np.testing.assert_array_equal(one.times, same.times)
    assert not np.array_equal(one.items[:50], other.items[:50])
    assert not np.allclose(world.emission, SessionWorld(seed=1).emission)
    assert world.item_ids[17] == "item-17" and one.items.dtype == one.offsets.dtype == np.int64


def test_sample_is_a_click_log(test):
    assert test.lengths.min() == 2 and test.lengths.mean() == pytest.approx(8, abs=0.3)
    inside = np.diff(np.repeat(np.arange(test.n_sessions), test.lengths)) == 0
    assert (np.diff(test.times)[inside] > 0).all()
    assert (np.diff(test.times[test.offsets[:-1]]) > 0).all()
    again = type(test).from_frame(test.to_frame(), item_ids=test.item_ids)
    np.testing.assert_array_equal(again.items, test.items)
    np.testing.assert_array_equal(again.offsets, test.offsets)


@pytest.mark.parametrize("tiny", [TINY, replace(TINY, noise=0.4), TINY.markov_control()])
def test_sample_follows_the_law(tiny):
    """Pair frequencies at a fixed place, and of all pairs, against P(item) P(next | item)."""
    transition = tiny.transition if isinstance(tiny, MarkovWorld) else tiny.next_given_last
    data = tiny.sample(40_000, seed=0)
    law = (tiny.start if isinstance(tiny, MarkovWorld) else tiny.popularity)[:, None] * transition
    targets, _ = metrics.target_positions(data)
    for chosen in (data.offsets[:-1] + 1, data.offsets[1:] - 1, targets):
        pairs = np.zeros_like(law)
        np.add.at(pairs, (data.items[chosen - 1], data.items[chosen]), 1 / len(chosen))
        np.testing.assert_allclose(pairs, law, rtol=0, atol=4 * np.sqrt(law.max() / 40_000))


def test_three_clicks_tell_the_worlds_apart():
    """The control shares all pairs with its world, not the triples: there the past tells more than a pair."""
    hazy = replace(TINY, states_per_item=1, stay=0.95, noise=0.4)
    pair = hazy.popularity[:, None] * hazy.next_given_last
    hidden = np.array([[pair[a, b] * enumerated(hazy, [a, b]) for b in range(5)] for a in range(5)])
    first_order = pair[:, :, None] * hazy.next_given_last
    assert np.abs(hidden - first_order).max() > 0.01
    for world, law in ((hazy, hidden), (hazy.markov_control(), first_order)):
        data = world.sample(60_000, seed=0)
        first = data.offsets[:-1][data.lengths >= 3]
        count = np.zeros((5, 5, 5))
        np.add.at(count, (data.items[first], data.items[first + 1], data.items[first + 2]), 1 / len(first))
        np.testing.assert_allclose(count, law, rtol=0, atol=0.004)


def test_draw_never_takes_the_impossible():
    rows = np.array([[0.0, 0.5, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]])
    drawn = draw_from_rows(np.random.default_rng(0), rows, np.repeat([0, 1], 20_000))
    assert set(drawn[:20_000]) == {1, 2} and set(drawn[20_000:]) == {0}
    assert drawn[:20_000].mean() == pytest.approx(1.5, abs=0.02)


# The optimum is an optimum


def test_oracle_is_what_the_filter_scores(world, test):
    optimum = world.oracle(test, k=10)
    scores = metrics.evaluate_sessions(world.bayes(), test, k=10)
    assert optimum[:3] == (scores.recall, scores.mrr, scores.ndcg) and optimum.k == 10
    probability = all_scores(world.bayes(), test)[np.arange(test.n_events), test.items]
    assert optimum.cross_entropy == pytest.approx(-np.nanmean(np.log(probability)))


def test_oracle_keeps_its_promise_on_long_runs():
    """The filter says how often it will be right, and what each rank earns; a long simulation agrees."""
    world = replace(TINY, noise=0.1)
    data = world.sample(20_000, seed=5)
    optimum = world.oracle(data, k=2)
    rows = all_scores(world.bayes(), data)
    rows = np.sort(rows[~np.isnan(rows[:, 0])])[:, ::-1]
    assert optimum.recall == pytest.approx(rows[:, :2].sum(1).mean(), abs=0.006)
    assert optimum.mrr == pytest.approx((rows[:, :2] @ [1, 1 / 2]).mean(), abs=0.006)
    assert optimum.ndcg == pytest.approx((rows[:, :2] @ [1, 1 / np.log2(3)]).mean(), abs=0.006)
    assert optimum.cross_entropy == pytest.approx(-(rows * np.log(rows)).sum(1).mean(), abs=0.01)


def test_known_figures():
    """Recall@20 of filter, last item and popularity near those of another sampling of such a world."""
    for stay, *expected in ((0.5, 0.495, 0.364, 0.241), (0.8, 0.554, 0.402, 0.241),
                            (0.95, 0.636, 0.447, 0.240)):
        world = SessionWorld(stay=stay)
        data = world.sample(1500, seed=1)
        popular = Popularity().fit(data)
        popular.popularity = world.popularity
        models = world.bayes(), world.last_item(), popular
        found = [metrics.evaluate_sessions(model, data).recall for model in models]
        assert found == pytest.approx(expected, abs=0.04)
        assert found[0] > found[1] + 0.1 > found[2] + 0.15


def test_nobody_beats_the_optimum(world, test):
    train = world.sample(3000, seed=0)
    best = metrics.evaluate_sessions(world.bayes(), test)
    ceiling = metrics.evaluate_sessions(world.last_item(), test)
    wrong = replace(world, stay=0.7)  # a filter with a slightly wrong law
    for rival in (world.last_item(), wrong.bayes(), SessionKNN(n_recent=200).fit(train)):
        assert metrics.paired_difference(best, metrics.evaluate_sessions(rival, test))[2] > 0
    for rival in (Popularity(), Markov(), ItemKNN()):  # one click sees no further than its ceiling
        assert metrics.paired_difference(ceiling, metrics.evaluate_sessions(rival.fit(train), test))[1] > 0
    assert metrics.paired_difference(best, ceiling)[1] > 0.1
    assert metrics.paired_difference(best, ceiling, "mrr")[1] > 0.02
    assert wrong.oracle(test).cross_entropy > world.oracle(test).cross_entropy


def test_the_control_has_nothing_before_the_last_item(world):
    control = world.markov_control()
    test = control.sample(1500, seed=1)
    best = metrics.evaluate_sessions(control.bayes(), test)
    assert best.recall == metrics.evaluate_sessions(control.last_item(), test).recall
    assert best.recall == control.oracle(test).recall
    # The session world's filter, which reads more into the past than is there, must lose.
    assert metrics.paired_difference(best, metrics.evaluate_sessions(world.bayes(), test))[1] > 0
    # The same ceiling as in the session world, up to chance.
    twin = metrics.evaluate_sessions(world.last_item(), world.sample(1500, seed=1))
    assert best.recall == pytest.approx(twin.recall, abs=0.02)
    assert control.oracle(test).cross_entropy == pytest.approx(
        -(world.popularity @ (world.next_given_last * np.log(world.next_given_last)).sum(1)), abs=0.02)


def test_noise_lowers_the_optimum(world):
    noisy = replace(world, noise=0.3)
    data = noisy.sample(1000, seed=1)
    best = metrics.evaluate_sessions(noisy.bayes(), data)
    assert best.recall < world.oracle(world.sample(1000, seed=1)).recall - 0.1
    unaware = BayesFilter(world.item_ids, world.start, world.transition, replace(world, noise=1e-4).emission)
    assert metrics.paired_difference(best, metrics.evaluate_sessions(unaware, data))[1] > 0


# The protocol


@pytest.mark.parametrize("make", [SessionWorld.bayes, SessionWorld.last_item,
                                  lambda world: world.markov_control().bayes()],
                         ids=["bayes", "last", "control"])
class TestProtocol:
    def test_batch_size(self, make, world, test):
        model, few = make(world), test.take(np.arange(40))
        whole = all_scores(model, few)
        for batch_size in (1, 7):
            np.testing.assert_allclose(all_scores(model, few, batch_size), whole, rtol=1e-12, atol=1e-15)

    def test_no_leak(self, make, world, test):
        model, few = make(world), test.take(np.arange(200))
        before = all_scores(model, few)
        place = np.arange(few.n_events) - np.repeat(few.offsets[:-1], few.lengths)
        for first_changed in (1, 4):
            changed = np.where(place >= first_changed, (few.items + 7) % 300, few.items)
            after = all_scores(model, replace(few, items=changed))
            unmoved, moved = (place >= 1) & (place <= first_changed), place > first_changed
            np.testing.assert_allclose(after[unmoved], before[unmoved], rtol=1e-12)
            # A few stay, where the new item belongs to the same states as the old.
            assert np.isclose(after[moved], before[moved]).all(1).mean() < 0.1

    def test_recommend(self, make, world, test):
        model, few = make(world), test.take(np.arange(20))
        rows = all_scores(model, few)
        for position, session in list(zip(*metrics.target_positions(few)))[::13]:
            ids, scores = model.recommend(few.item_ids[few.items[few.offsets[session]:position]], k=20)
            np.testing.assert_allclose(scores, np.sort(rows[position])[::-1][:20], rtol=1e-9)
            assert scores[0] == pytest.approx(rows[position][np.flatnonzero(few.item_ids == ids[0])[0]])

    def test_bad_histories(self, make, world, test):
        with pytest.raises(ValueError, match="item-300"):
            make(world).recommend(["item-1", "item-300"])
        with pytest.raises(ValueError, match="empty"):
            make(world).recommend([])
        with pytest.raises(ValueError, match="catalogue"):
            list(make(world).score_sessions(replace(test, item_ids=test.item_ids[::-1].copy())))


def test_impossible_history():
    world = SessionWorld(n_states=4, n_items=8, states_per_item=1, stay=1.0, jump=0.0)
    state = world.emission.argmax(0)
    other = np.flatnonzero(state != state[0])[0]
    with pytest.raises(ValueError, match=f"item-{other}.*impossible"):
        world.bayes().recommend(["item-0", f"item-{other}"])


@pytest.mark.parametrize("bad", [{"n_states": 1}, {"n_states": 301}, {"states_per_item": 0},
                                 {"states_per_item": 21}, {"stay": 1.2}, {"jump": -0.1}, {"noise": 2},
                                 {"mean_length": 1.5}])
def test_bad_settings(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}="):
        SessionWorld(**bad)


def test_the_smallest_worlds():
    """What lies on a bound is allowed."""
    for world in (SessionWorld(n_states=2, n_items=2, states_per_item=1), SessionWorld(n_states=4, n_items=4,
                  states_per_item=4), SessionWorld(stay=1.0, jump=0.0, noise=1.0), SessionWorld(stay=0.0, jump=1.0)):
        data = world.sample(3)
        assert data.n_sessions == 3 and np.isfinite(world.oracle(data).cross_entropy)


def test_what_is_not_said_is_as_documented(world, test):
    """The world of the book's figures, its first sample, and the twenty best."""
    assert world == SessionWorld(n_states=20, n_items=300, states_per_item=3, stay=0.8, jump=0.05, spread=0.8,
                                 mean_length=8.0, noise=0.0, ring_step=1, seed=0)
    control, drift = world.markov_control(), DriftWorld(world, world)
    for each in (world, control, drift):
        np.testing.assert_array_equal(each.sample(30).items, each.sample(30, seed=0).items)
        assert each.oracle(test) == each.oracle(test, k=20)
    assert drift.change == 0.9
    history = test.item_ids[test.items[:3]]
    assert len(world.bayes().recommend(history).ids) == len(world.last_item().recommend(history).ids) == 10
    assert len(next(world.bayes().score_sessions(test))[0]) == 512
    assert FutureChain() == FutureChain(n_items=6, concentration=0.4, seed=0)


def test_the_numbers_of_a_seed_stay():
    """Another order of draws would be another world under the same name, and the result files of the old one."""
    world = SessionWorld(n_items=30, n_states=5)
    sample = world.sample(3, seed=2)
    assert sample.items.tolist() == [20, 17, 17, 23, 22, 10, 19, 0, 20, 12, 18, 29, 18, 4, 17, 23, 20, 23, 23, 15]
    assert sample.times.round(1).tolist()[:7] == [0, 28.8, 124.5, 126.9, 229.1, 60, 115.9]
    assert world.markov_control().sample(3, seed=2).items.tolist() == [
        1, 8, 12, 18, 25, 5, 28, 4, 3, 3, 27, 7, 7, 4, 24, 20, 4, 20, 27]
    np.testing.assert_allclose(FutureChain(n_items=3).transition[:2], [[0.927352, 0.039571, 0.033076],
                                                                       [0.036268, 0.00065, 0.963082]], atol=1e-6)


def test_empty_and_shortest_samples(world):
    assert world.sample(0).n_sessions == 0
    pairs = replace(world, mean_length=2).sample(10)
    assert (pairs.lengths == 2).all()
    scores = next(world.bayes().score_sessions(pairs))[1]
    torch.testing.assert_close(scores, next(world.last_item().score_sessions(pairs))[1])

# --- A break in time, and the chain on which learning from the future is exact ------------------------------


def test_ring_step_turns_the_ring():
    forwards, backwards = SessionWorld(jump=0), SessionWorld(jump=0, ring_step=-1)
    np.testing.assert_array_equal(backwards.transition, forwards.transition.T)
    np.testing.assert_array_equal(backwards.emission, forwards.emission)
    with pytest.raises(ValueError, match="ring_step"):
        SessionWorld(ring_step=20)


def test_drift_world_is_its_two_worlds_in_the_order_of_time():
    before, after = SessionWorld(stay=0.3), SessionWorld(stay=0.3, ring_step=-7)
    data = DriftWorld(before, after, change=0.7).sample(1000, seed=4)
    starts = data.times[data.offsets[:-1]]
    assert data.n_sessions == 1000 and (np.diff(starts) > 0).all()
    for world, sessions in ((before, slice(0, 700)), (after, slice(700, None))):
        part = data.take(np.arange(1000)[sessions])
        seed = 8 if world is before else 9
        np.testing.assert_array_equal(part.items, world.sample(part.n_sessions, seed).items)
        own, other = (w.oracle(part).cross_entropy for w in ((before, after) if world is before else (after, before)))
        assert own < other - 0.1  # the regimes are told apart


def test_the_optimum_of_a_drift_is_that_of_the_last_regime():
    drift = DriftWorld(SessionWorld(stay=0.3), SessionWorld(stay=0.3, ring_step=-7))
    judged = drift.after.sample(500, seed=1)
    assert drift.oracle(judged) == drift.after.oracle(judged)
    assert drift.oracle(judged).recall > metrics.evaluate_sessions(drift.before.bayes(), judged).intervals["recall"][1]
    [new, old], history = ([w.last_item() for w in (drift.after, drift.before)], [drift.item_ids[7]])
    np.testing.assert_array_equal(drift.last_item().recommend(history).ids, new.recommend(history).ids)
    assert (new.recommend(history).ids != old.recommend(history).ids).any()


def test_impossible_drifts_are_refused():
    with pytest.raises(ValueError, match="one catalogue"):
        DriftWorld(SessionWorld(), SessionWorld(n_items=301))
    for change in (1.5, -0.1):
        with pytest.raises(ValueError, match="share"):
            DriftWorld(SessionWorld(), SessionWorld(), change=change)
    for change in (0, 1):
        assert DriftWorld(SessionWorld(), SessionWorld(), change=change).sample(3).n_sessions == 3


@pytest.mark.parametrize("sees", ["future", "both"])
def test_future_chain_by_enumeration(sees):
    """The teacher by counting triples (i, j, k) with their probabilities; its mean and the student's error likewise."""
    chain = FutureChain(n_items=4, seed=2)
    P, pi, n = chain.transition, chain.stationary, 4
    np.testing.assert_allclose(pi @ P, pi, atol=1e-12)
    assert pi.sum() == pytest.approx(1)
    joint = {(i, j, k): pi[i] * P[i, j] * P[j, k] for i, j, k in product(range(n), repeat=3)}
    teacher = np.zeros((n, n, n))
    for (i, j, k), p in joint.items():
        for i_ in range(n) if sees == "future" else [i]:
            teacher[i_, k, j] += p
    teacher /= teacher.sum(2, keepdims=True)
    np.testing.assert_allclose(chain.teacher(sees), teacher, atol=1e-12)
    for i in range(n):
        cases = [(p / pi[i], j, k) for (a, j, k), p in joint.items() if a == i]
        np.testing.assert_allclose(chain.teacher_mean(sees)[i], sum(p * teacher[i, k] for p, _, k in cases), atol=1e-12)
        # the mean of two independent labels, every pair of cases with its probability
        label = {(j, k): 0.6 * np.eye(n)[j] + 0.4 * teacher[i, k] for _, j, k in cases}
        error = sum(p * q * (((label[j, k] + label[b, c]) / 2 - P[i])**2).sum()
                    for p, j, k in cases for q, b, c in cases)
        np.testing.assert_allclose(chain.error(0.4, 2, sees)[i], error, atol=1e-12)


def test_a_teacher_sees_one_of_two_things():
    with pytest.raises(ValueError, match="both"):
        FutureChain().teacher("past")


def test_divergence_is_zero_for_the_optimum_alone(world, test):
    class Logs:
        """A recommender whose scores are the logarithms of another's, which a softmax turns back."""

        def __init__(self, model):
            self.model = model

        def score_sessions(self, data):
            return ((positions, p.log()) for positions, p in self.model.score_sessions(data))

    few = test.take(range(100))
    assert abs(divergence(Logs(world.bayes()), world.bayes(), few)) < 1e-12
    last = divergence(Logs(world.last_item()), world.bayes(), few)
    popular = divergence(Logs(Popularity().fit(test)), world.bayes(), few)
    assert 0.2 < last < popular
