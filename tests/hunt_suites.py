"""Suites of tests for the bug hunt, as students of different kinds would write them.

They call the functions of `tools/hunt/shop.py`; `written_for` gives them the names that a copy has. What the docstrings
of a copy ask for stands in the dictionary `turned`.
"""

REFERENCE = '''
import numpy as np
import shop

rng = np.random.default_rng(0)


def test_split():
    sessions, times = [[0, 1], [2, 3], [4, 5], [6, 7]], [[1, 2], [3, 9], [5, 6], [1, 5]]
    train, test = map(list, shop.split(sessions, times, 5))
    expected = [[4, 5]] if turned["split"] else [[2, 3], [4, 5], [6, 7]]
    assert sorted(test) == expected
    assert sorted(train) == [session for session in sessions if session not in expected]


def steps_of(sessions, n_lanes):
    return [[tuple(entry) for entry in step] for step in shop.lanes(sessions, n_lanes)]


def test_lanes_read_every_session_from_its_first_to_its_last_click():
    sessions = [[0, 1, 2, 3], [4, 5], [6, 7, 8], [9, 10], [11, 12, 13]]
    for n_lanes in (1, 2, 3):
        found, open_ = [], {}
        for step in steps_of(sessions, n_lanes):
            assert len({lane for lane, *_ in step}) == len(step) <= n_lanes
            for lane, click, following, is_first in step:
                if is_first:
                    found.append(open_.setdefault(lane, [click]))
                    open_[lane] = found[-1] = [click]
                assert open_[lane][-1] == click
                open_[lane].append(following)
        assert sorted(found) == sessions


def weights(d=2, e=3):
    return rng.normal(size=(e, 3 * d)), rng.normal(size=(d, 3 * d)), rng.normal(size=3 * d)


def one_step(x, h, W, U, b):
    sigmoid = lambda a: 1 / (1 + np.exp(-a))
    (W_r, W_z, W_c), (U_r, U_z, U_c), (b_r, b_z, b_c) = (np.split(a, 3, axis=-1) for a in (W, U, b))
    r, z = sigmoid(x @ W_r + h @ U_r + b_r), sigmoid(x @ W_z + h @ U_z + b_z)
    c = np.tanh(x @ W_c + (r * h) @ U_c + b_c)
    return (1 - z) * h + z * c if turned["gru"] else z * h + (1 - z) * c


def test_gru():
    x, h, (W, U, b) = rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), weights()
    assert np.allclose(shop.gru(x, h, W, U, b), one_step(x, h, W, U, b))


def test_states_begin_at_zero_with_each_session_in_its_own_lane():
    table, (W, U, b) = rng.normal(size=(6, 3)), weights()
    steps = [[(0, 1, 2, True), (1, 3, 4, True)], [(0, 2, 5, False), (1, 0, 1, True)],
             [(0, 4, 0, True), (1, 1, 2, False)]]
    states = {}
    for step, found in zip(steps, shop.read(steps, table, W, U, b)):
        assert set(found) == {0, 1}
        for lane, click, _, is_first in step:
            before = np.zeros(2) if is_first else states[lane]
            states[lane] = shop.gru(table[[click]], before[None], W, U, b)[0]
            assert np.allclose(found[lane], states[lane])


def test_loss():
    target, negatives = np.array([2.0, 0.0]), np.array([[0.0, 1.0], [3.0, -1.0]])
    expected = -np.log(1 / (1 + np.exp(-(target[:, None] - negatives)))).mean()
    assert np.isclose(shop.bpr(target, negatives), expected)


def test_negatives():
    counts, targets = np.array([0, 1, 4, 16, 64]), np.array([4, 4, 0, 3])
    drawn = np.asarray(shop.draw(counts, targets, 2000, 3))
    assert drawn.shape == (4, 2000) and (drawn == np.asarray(shop.draw(counts, targets, 2000, 3))).all()
    for row, target in zip(drawn, targets):
        p = (np.sqrt(counts) if turned["draw"] else counts).astype(float)
        p[target] = 0
        assert np.abs(np.bincount(row, minlength=5) / 2000 - p / p.sum()).max() < 0.05


def test_ranks_and_ties():
    scores = np.array([[3.0, 1.0, 2.0, 0.0], [1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 5.0]])
    expected = [2, 2, 1] if turned["ranks"] else [2, 3, 1]
    assert np.allclose(shop.ranks(scores, np.array([2, 0, 3])), expected)


def test_measures():
    recall, mrr = shop.measure(np.array([1, 5, 6, 20]), 5)
    assert np.isclose(recall, 0.5)
    assert np.isclose(mrr, (1 + 1 / 5 + (1 / 6 + 1 / 20 if turned["measure"] else 0)) / 4)


def test_mask():
    found = shop.unseen(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), [[0, 2], []])
    assert np.array_equal(found, [[-np.inf, 2, -np.inf], [4, 5, 6]])


def test_transitions():
    expected = np.array([[1, 3, 1], [2, 1, 1], [2, 1, 1]]) / [[5], [4], [4]]
    assert np.allclose(shop.transitions([[0, 1, 0, 1], [2, 0]], 3), expected)


def test_evaluation_ranks_all_items_at_every_click():
    P, sessions = rng.random((6, 6)), [[0, 1, 2], [3, 4], [5, 0, 2, 1], [4, 3, 3]]
    pairs = [pair for session in sessions for pair in zip(session, session[1:])]
    for k in (1, 2, 3):
        rank = np.array([1 + (P[i] > P[i, j]).sum() for i, j in pairs])
        expected = (rank <= k).mean(), ((rank <= k) / rank if not turned["measure"] else 1 / rank).mean()
        assert np.allclose(shop.evaluate(P, sessions, k), expected)


def test_a_rating_is_foretold_from_those_before_it():
    times, ratings = np.array([3.0, 1.0, 2.0]), np.array([5.0, 1.0, 3.0])
    assert np.allclose(shop.foretell(times, ratings, np.array([0.5, 1.0, 2.0, 3.0, 9.0]), 4.0), [4, 4, 1, 2, 3])
'''

SHAPES = '''
import numpy as np
import shop


def test_shapes():
    assert len(shop.split([[0, 1]], [[1, 2]], 5)) == 2
    assert len(shop.lanes([[0, 1, 2]], 2)) >= 1
    state = shop.gru(np.zeros((2, 3)), np.zeros((2, 4)), np.zeros((3, 12)), np.zeros((4, 12)), np.zeros(12))
    assert state.shape == (2, 4)
    assert shop.draw(np.ones(5), np.array([0, 1]), 3, 0).shape == (2, 3)
    assert shop.transitions([[0, 1]], 4).shape == (4, 4)
    assert len(shop.evaluate(np.ones((3, 3)), [[0, 1]], 2)) == 2


def test_ranges():
    assert shop.bpr(np.ones(2), np.zeros((2, 2))) > 0
    assert shop.ranks(np.array([[1.0, 3.0, 2.0]]), np.array([1]))[0] == 1
    assert np.isclose(shop.transitions([[0, 1], [1, 2]], 3).sum(), 3)
'''

ONE_EXAMPLE_EACH = '''
import numpy as np
import shop


def test_lanes():
    steps = shop.lanes([[0, 1, 2], [3, 4]], 2)
    clicks = sorted((click, following) for step in steps for _, click, following, _ in step)
    assert clicks == [(0, 1), (1, 2), (3, 4)]


def test_loss_falls_with_the_margin():
    assert shop.bpr(np.array([3.0]), np.array([[0.0]])) < shop.bpr(np.array([1.0]), np.array([[0.0]]))


def test_rank():
    assert shop.ranks(np.array([[5.0, 3.0, 4.0]]), np.array([2]))[0] == 2


def test_recall():
    assert shop.measure(np.array([1, 2, 9]), 3)[0] == 2 / 3


def test_mask():
    assert shop.unseen(np.zeros((1, 2)), [[1]])[0, 1] == -np.inf


def test_transitions():
    assert np.allclose(shop.transitions([[0, 1]], 2), [[1 / 3, 2 / 3], [1 / 2, 1 / 2]])


def test_future():
    assert shop.foretell(np.array([1.0]), np.array([5.0]), np.array([1.0]), 3.0)[0] == 3


def test_split():
    assert [len(part) for part in shop.split([[0, 1], [2, 3]], [[1, 2], [8, 9]], 5)] == [1, 1]
'''

BY_HAND = ONE_EXAMPLE_EACH + '''

def test_edges():
    assert shop.measure(np.array([3]), 3)[0] == 1
    same = shop.ranks(np.array([[1.0, 1.0, 0.0]]), np.array([0]))[0]
    assert np.isclose(same, 1.5 if turned["ranks"] else 2)
    assert np.allclose(shop.measure(np.array([4]), 3)[1], 0.25 if turned["measure"] else 0)
    assert [len(part) for part in shop.split([[0, 1]], [[5, 5]], 5)] == [0, 1]
    assert np.array_equal(shop.unseen(np.zeros((1, 3)), [[0, 2]]), [[-np.inf, 0, -np.inf]])


def test_negatives():
    drawn = shop.draw(np.array([1, 1, 100]), np.array([2, 2]), 500, 0)
    assert (drawn != 2).all()
    assert (shop.draw(np.array([1, 1, 100]), np.array([0]), 500, 0) == 2).mean() > 0.8


def test_a_state_begins_at_zero():
    table, W, U, b = np.eye(2), np.ones((2, 3)), np.ones((1, 3)), np.zeros(3)
    once, again = shop.read([[(0, 0, 1, True)], [(0, 0, 1, True)]], table, W, U, b)
    assert np.allclose(once[0], again[0])
'''

# It asks for an order that no docstring promises, and for floats without a tolerance.
TOO_STRICT = REFERENCE + '''

def test_order_of_sessions():
    assert steps_of([[0, 1], [2, 3]], 1) == [[(0, 0, 1, True)], [(0, 2, 3, True)]]
'''

SUITES = {"reference": REFERENCE, "empty": "", "shapes": SHAPES, "one example each": ONE_EXAMPLE_EACH,
          "edges by hand": BY_HAND, "too strict": TOO_STRICT}


def written_for(copy, name):
    """A suite as the student who has this copy would hand it in."""
    text = SUITES[name]
    for usual, other in copy.names.items():
        text = text.replace(f"shop.{usual}(", f"shop.{other}(")
    return f"turned = {({name: name in copy.turned for name in ('split', 'gru', 'draw', 'ranks', 'measure')})}\n{text}"
