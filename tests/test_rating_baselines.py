"""Rating baselines: the protocol of rating predictors, hand-worked cases, and dense formulas from the papers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rating_contract import RatingContract, random_ratings, ratings, ridge, rmse

from rnnbook.baselines import AutoRec, Biases, MatrixFactorization, OnlineMF, TimeSVDpp
from rnnbook.interactions import DAY, concatenate

class TestBiases(RatingContract):
    knows_camps = False

    def fit(self, train):
        return Biases(1.0, 1.0).fit(train)

    def test_two_by_two_by_hand(self):
        # μ = 3 leaves 2, 0, −1 and −1 for (0,0), (0,1), (1,0), (1,1). With λ = 2, 4 b_u + c_0 + c_1 = 2 and −2,
        # 4 c_j + b_0 + b_1 = 1 and −1: b = ±.5 and c = ±.25.
        data = ratings((0, 0, 5, 0), (0, 1, 3, 1), (1, 0, 2, 2), (1, 1, 2, 3), n_users=3, n_items=3)
        model = Biases(2.0, 2.0).fit(data)
        users, items = np.divmod(np.arange(9), 3)
        predicted = model.predict(data.user_ids[users], data.item_ids[items], np.zeros(9))
        np.testing.assert_allclose(predicted, [3.75, 3.25, 3.5, 2.75, 2.25, 2.5, 3.25, 2.75, 3], rtol=1e-9)

    def test_penalties_go_to_their_sides(self):
        data = ratings((0, 0, 5, 0), (0, 1, 3, 1), (1, 0, 2, 2), (1, 1, 2, 3), n_users=2, n_items=2)
        # 2 b_0 + λ_u b_0 = 2 when the items' biases add up to 0, as here
        model = Biases(user_penalty=8.0, item_penalty=3.0).fit(data)
        np.testing.assert_allclose(model.user_bias[:2], [0.2, -0.2], rtol=1e-9)
        np.testing.assert_allclose(model.item_bias[:2], [0.2, -0.2], rtol=1e-9)


class TestMatrixFactorization(RatingContract):
    def fit(self, train):
        return MatrixFactorization(n_factors=3, penalty=0.3, bias_penalty=0.3).fit(train)

    def test_one_epoch_written_out(self):
        data = random_ratings(0)  # pairs occur more than once, the last user and the last item never
        start = np.random.default_rng(1).normal(size=(data.n_items, 2))
        model = MatrixFactorization(2, penalty=3.0, bias_penalty=0.7, n_epochs=1, init=start).fit(data)
        target = data.ratings - data.ratings.mean()
        users = np.array([ridge(target[data.users == u], np.zeros(sum(data.users == u)),
                                start[data.items[data.users == u]], 3.0, 0.7) for u in range(data.n_users)])
        items = []
        for j in range(data.n_items):
            u = data.users[data.items == j]
            items.append(ridge(target[data.items == j], users[u, 0], users[u, 1:], 3.0, 0.7))
        items = np.array(items)
        np.testing.assert_allclose(model.user_vectors[:-1], users, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(model.item_vectors[:-1], items, rtol=1e-9, atol=1e-12)
        expected = data.ratings.mean() + users[2, 0] + items[3, 0] + users[2, 1:] @ items[3, 1:]
        np.testing.assert_allclose(model.predict(["user-2"], [103], [0.0]), expected, rtol=1e-12)
        assert not model.user_vectors[-2:].any() and not model.item_vectors[-2:].any()

    def test_no_biases(self):
        data = random_ratings(2)
        model = MatrixFactorization(2, penalty=3.0, n_epochs=2, biased=False).fit(data)
        assert not model.user_vectors[:, 0].any() and not model.item_vectors[:, 0].any()
        u = data.users[data.items == 1]
        p = model.user_factors[u]
        expected = np.linalg.solve(p.T @ p + 3 * np.eye(2), p.T @ (data.ratings[data.items == 1] - model.mean))
        np.testing.assert_allclose(model.item_factors[1], expected, rtol=1e-9)

    def test_many_rows_are_solved_in_pieces(self):
        data = random_ratings(3, n_users=9000, n_items=5, n=9000)
        model = MatrixFactorization(1, penalty=3.0, bias_penalty=0.7, n_epochs=1, init=np.ones((6, 1))).fit(data)
        for u in data.users[[0, 1000]].tolist() + [data.users.max()]:
            target = data.ratings[data.users == u] - data.ratings.mean()
            expected = ridge(target, 0 * target, np.ones((len(target), 1)), 3.0, 0.7)
            np.testing.assert_allclose(model.user_vectors[u], expected, rtol=1e-9)

    def test_seeds(self):
        data = random_ratings(4)
        a, b, c = (MatrixFactorization(2, penalty=0.5, n_epochs=1, seed=seed).fit(data).item_factors
                   for seed in (0, 0, 1))
        np.testing.assert_array_equal(a, b)
        assert np.abs(a - c).max() > 1e-3


class TestOnlineMF(RatingContract):
    learns_from_news = True
    rounding = 1e-3  # it solves once more than the fit did

    def fit(self, train):
        return OnlineMF(n_factors=3, penalty=0.3, bias_penalty=0.3, n_epochs=200).fit(train)

    def test_each_prediction_is_a_refit(self):
        data = random_ratings(5)
        data = replace(data, times=np.floor(data.times / (2 * DAY)))  # some instants with several ratings
        train, test = data.split_by_time(0.6, 0.4)
        train, test = data.take(data.times < test.times[0]), data.take(data.times >= test.times[0])
        assert 1 < len(np.unique(test.times)) < test.n_ratings
        model = OnlineMF(2, penalty=2.0, bias_penalty=0.7, n_epochs=3).fit(train)
        users, items = model.user_vectors.copy(), model.item_vectors.copy()
        target, expected = data.ratings - train.ratings.mean(), []
        for now in np.unique(test.times):
            asked = np.flatnonzero(data.times == now)
            for j in set(data.items[asked]):
                old = np.flatnonzero((data.times < now) & (data.items == j))
                u = data.users[old]
                items[j] = ridge(target[old], users[u, 0], users[u, 1:], 2.0, 0.7)
            for u in set(data.users[asked]):
                old = np.flatnonzero((data.times < now) & (data.users == u))
                j = data.items[old]
                users[u] = ridge(target[old], items[j, 0], items[j, 1:], 2.0, 0.7)
            expected += [train.ratings.mean() + users[u, 0] + items[j, 0] + users[u, 1:] @ items[j, 1:]
                         for u, j in zip(data.users[asked], data.items[asked])]
        np.testing.assert_allclose(model.follow(test), expected, rtol=1e-9)

    def test_newcomers_are_learnt(self, model, data):
        train, test = data
        new = ~np.isin(test.users, train.users)
        assert new.sum() > 10
        static = MatrixFactorization(3, 0.3, 0.3).fit(train).follow(test)
        assert rmse(model.follow(test)[new], test.take(new)) < rmse(static[new], test.take(new)) - 0.5


class TestTimeSVDpp(RatingContract):
    def fit(self, train):
        return TimeSVDpp(3, penalty=0.3, bias_penalty=0.3, time_penalty=30.0, lr=0.03, n_epochs=60,
                         batch_size=100).fit(train)

    def test_prediction_from_given_parameters(self):
        data = ratings((0, 0, 4, 0), (0, 2, 2, 2 * DAY), (1, 1, 3, 4 * DAY), (0, 1, 5, 10 * DAY),
                       n_users=3, n_items=4)
        model = TimeSVDpp(2, n_bins=5, n_epochs=1).fit(data)
        rng = np.random.default_rng(0)
        given = {name: rng.normal(size=p.shape) for name, p in model.parameters.items()}
        for name, p in model.parameters.items():
            p.copy_(torch.from_numpy(given[name]))
        g, t_bar, seen = given, {0: 4.0, 1: 4.0}, {0: [0, 2, 1], 1: [1]}
        expected, asked = [], [(0, 1, 1.0), (0, 3, 4.0), (1, 0, 3.9), (0, 2, 50.0), (1, 2, 10.0), (0, 0, 6.1)]
        for u, j, day in asked:
            away = day - t_bar[u]
            dev = np.sign(away) * abs(away) ** 0.4
            time_bin = min(int(day // 2), 4)  # 10 days in five bins
            p = (g["user_factors"][u] + g["user_factors_drift"][u] * dev
                 + sum(g["implicit"][k] for k in seen[u]) / len(seen[u]) ** 0.5)
            expected.append(3.5 + g["user_bias"][u] + g["user_drift"][u] * dev + g["item_bias"][j]
                            + g["item_bin_bias"][j, time_bin] + g["item_factors"][j] @ p)
        users, items, days = (np.array(column) for column in zip(*asked))
        np.testing.assert_allclose(model.predict(data.user_ids[users], data.item_ids[items], days * DAY), expected,
                                   rtol=1e-9)
        # user-2 has no time and no items: dev and the sum are 0
        expected = 3.5 + g["user_bias"][2] + g["item_bias"][1] + g["item_bin_bias"][1, 3] + (
            g["item_factors"][1] @ g["user_factors"][2])
        np.testing.assert_allclose(model.predict(["user-2"], [101], [7 * DAY]), expected, rtol=1e-9)

    def test_what_was_not_rated_stays_zero(self):
        data = random_ratings(6)
        model = TimeSVDpp(2, n_epochs=3).fit(data)
        for name, p in model.parameters.items():
            assert not p[-2:].any() and p[:-2].abs().max() > 0, name

    def test_it_reaches_the_ridge_of_biases(self):
        data = random_ratings(7)
        heavy = TimeSVDpp(2, penalty=1e9, bias_penalty=2.0, time_penalty=1e9, lr=0.01, n_epochs=2000).fit(data)
        expected = Biases(2.0, 2.0).fit(data)
        np.testing.assert_allclose(heavy.parameters["user_bias"].numpy(), expected.user_bias, atol=1e-4)
        np.testing.assert_allclose(heavy.parameters["item_bias"].numpy(), expected.item_bias, atol=1e-4)

    def test_drift_is_followed(self):
        rng = np.random.default_rng(8)
        rows = [(u, int(rng.integers(6)), 3 + (1 if u % 2 else -1) * (day - 50) / 25, day * DAY)
                for day in range(100) for u in range(4)]
        train, test = ratings(*rows, n_users=4, n_items=6).split_by_time(0.8, 0.2)
        kwargs = {"n_factors": 2, "penalty": 50.0, "n_epochs": 150, "batch_size": 400}
        moves = rmse(TimeSVDpp(time_penalty=1.0, **kwargs).fit(train).follow(test), test)
        stands = rmse(TimeSVDpp(time_penalty=1e6, **kwargs).fit(train).follow(test), test)
        assert moves < 0.6 * stands


class AutoRecContract(RatingContract):
    learns_from_news = True
    side = None

    def fit(self, train):
        return AutoRec(self.side, hidden_size=8, penalty=0.5, lr=0.02, n_epochs=60, batch_size=100).fit(train)

    def dense(self, model, data):
        """Matrices [n_rows + 1, n_columns + 1] of centred ratings (summed) and of their number."""
        rows, columns = (data.items, data.users) if self.side == "item" else (data.users, data.items)
        shape = (data.n_items + 1, data.n_users + 1)[::1 if self.side == "item" else -1]
        centred, count = np.zeros(shape), np.zeros(shape)
        np.add.at(centred, (rows, columns), data.ratings - model.mean)
        np.add.at(count, (rows, columns), 1)
        return centred, count

    def reconstruction(self, model, centred):
        codes = 1 / (1 + np.exp(-(centred @ model.V + model.c)))
        return codes, model.mean + codes @ model.W.T + model.b

    def test_forward_against_dense(self, model, data):
        train, _ = data
        codes, expected = self.reconstruction(model, self.dense(model, train)[0])
        if self.side == "item":
            expected = expected.T
        users, items = np.divmod(np.arange(train.n_users * train.n_items), train.n_items)
        predicted = model.predict(train.user_ids[users], train.item_ids[items], np.zeros(len(users)))
        np.testing.assert_allclose(predicted, expected[users, items], rtol=1e-10)
        product = (model.mean + model.user_factors @ model.item_factors.T + model.user_bias[:, None]
                   + model.item_bias)
        np.testing.assert_allclose(product, expected[:-1, :-1], rtol=1e-10)
        np.testing.assert_allclose(model.hidden(np.zeros(8)), codes[-1], rtol=1e-12)
        coded = model.item_factors if self.side == "item" else model.user_factors
        np.testing.assert_allclose(coded, codes[:-1], rtol=1e-10)

    def test_follow_against_dense(self, model, data):
        train, test = data
        predicted = model.follow(test)
        for place in (0, 13, 47, test.n_ratings - 1):
            seen = concatenate(train, test.take(test.times < test.times[place]))
            _, expected = self.reconstruction(model, self.dense(model, seen)[0])
            row, column = test.items[place], test.users[place]
            if self.side == "user":
                row, column = column, row
            np.testing.assert_allclose(predicted[place], expected[row, column], rtol=1e-10)

    def test_loss_and_gradient_against_dense(self):
        data = ratings((0, 0, 4, 0), (0, 2, 2, 1), (1, 1, 3, 2), (2, 0, 1, 3), (1, 0, 5, 4), (2, 2, 2.5, 5),
                       n_users=4, n_items=4)
        model = AutoRec(self.side, hidden_size=3, penalty=0.8, n_epochs=1).fit(data)
        given = {n: torch.randn(p.shape, dtype=torch.float64) for n, p in model.parameters.items()}
        for p, g in zip(model.parameters.values(), given.values()):
            p.copy_(g).requires_grad_()
        rows, columns = (data.items, data.users) if self.side == "item" else (data.users, data.items)
        batch = np.array([2, 0])
        places = np.concatenate([np.flatnonzero(rows == row) for row in batch])
        counts = np.bincount(rows)[batch]
        loss = model._loss(columns[places], (data.ratings - model.mean)[places], counts, data.n_ratings)
        loss.backward()

        # The gradient by hand: mean of e², e = r − W σ(V r + c) − b, and .8/2 (‖V‖² + ‖W‖²) / 6 ratings
        centred, count = (m[batch] for m in self.dense(model, data))
        V, W, c, b = (given[n].numpy() for n in ("V", "W", "c", "b"))
        codes = 1 / (1 + np.exp(-(centred @ V + c)))
        error = count * (centred - codes @ W.T - b)
        n = count.sum()
        penalty = 0.4 * ((V ** 2).sum() + (W ** 2).sum()) / 6
        np.testing.assert_allclose(loss.item(), (error ** 2).sum() / n + penalty, rtol=1e-10)
        into = -2 / n * error
        inner = into @ W * codes * (1 - codes)
        expected = {"W": into.T @ codes + 0.8 * W / 6, "b": into.sum(0), "V": centred.T @ inner + 0.8 * V / 6,
                    "c": inner.sum(0)}
        for name, gradient in expected.items():
            np.testing.assert_allclose(model.parameters[name].grad.numpy(), gradient, rtol=1e-9, atol=1e-12)

    def test_untrained_columns(self, model, data):
        train, _ = data
        columns = train.users if self.side == "item" else train.items
        rated = np.bincount(columns, minlength=len(model.W)) > 0
        assert not rated[:-1].all()  # a newcomer by index, too
        assert not model.V[~rated].any()
        np.testing.assert_allclose(model.W[~rated], np.tile(model.W[rated].mean(0), (sum(~rated), 1)), rtol=1e-12)
        np.testing.assert_allclose(model.b[~rated], model.b[rated].mean(), rtol=1e-12)

    def test_seeds(self, data):
        a, b = (AutoRec(self.side, 4, n_epochs=1, seed=s).fit(data[0]).V for s in (0, 1))
        assert np.abs(a - b).max() > 1e-3


class TestItemAutoRec(AutoRecContract):
    side = "item"


class TestUserAutoRec(AutoRecContract):
    side = "user"

    def test_newcomers_are_learnt(self, model, data):
        train, test = data
        new = ~np.isin(test.users, train.users) & np.isin(test.items, train.items)
        assert new.sum() > 10
        at_first = model.predict(test.user_ids[test.users], test.item_ids[test.items], test.times)
        assert rmse(model.follow(test)[new], test.take(new)) < rmse(at_first[new], test.take(new)) - 0.5


def test_autorec_has_two_sides():
    with pytest.raises(ValueError, match="side"):
        AutoRec("both")


def test_what_is_not_said_is_as_documented():
    """The settings behind the numbers of the book's tables, which a search on validation data found."""
    assert vars(Biases()) == {"user_penalty": 5, "item_penalty": 2}
    factors = {"n_factors": 20, "penalty": 15, "bias_penalty": 2, "n_epochs": 15, "seed": 0, "biased": True,
               "init": None}
    assert vars(MatrixFactorization()) == vars(OnlineMF()) == factors
    assert vars(TimeSVDpp()) == {"n_factors": 20, "penalty": 50, "bias_penalty": 2, "time_penalty": 1000, "n_bins": 30,
                                 "lr": 0.01, "n_epochs": 15, "batch_size": 1000, "seed": 0}
    assert vars(AutoRec()) == {"side": "item", "hidden_size": 100, "penalty": 50, "lr": 0.003, "n_epochs": 10,
                               "batch_size": 1000, "seed": 0}
