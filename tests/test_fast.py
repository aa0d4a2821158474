"""Compiled training and evaluation: the readable code's numbers, or a word on why they cannot be had."""

import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbook import fast, gru4rec, metrics, recommenders, training
from rnnbook.distributed import Ranks
from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig, NegativeSampler, fit, session_parallel
from rnnbook.worlds import SessionWorld

SETTINGS = {
    "cross-entropy with logQ": GRU4RecConfig(),
    "cross-entropy without": GRU4RecConfig(logq=0.0, hidden_dropout=0.0),
    "few samples, many targets": GRU4RecConfig(batch_size=64, n_sample=3, embedding_dropout=0.2),
    "in-batch negatives": GRU4RecConfig(batch_size=16, n_sample=0),
    "BPR-max": GRU4RecConfig(loss="bpr-max", final_activation="elu", bpr_max_regularization=0.7),
    "BPR-max, tanh, momentum": GRU4RecConfig(loss="bpr-max", final_activation="tanh", momentum=0.3),
    "BPR-max, linear, two dropouts": GRU4RecConfig(loss="bpr-max", embedding_dropout=0.1, momentum=0.1),
}


WORLD = SessionWorld(n_items=60)


EQUAL = 1e-12  # a hundred times what was measured in float64, over all settings and numbers of threads


@pytest.fixture(scope="module")
def sessions():
    return WORLD.sample(400)


def train_steps(train_epoch, train, config, n_steps, dtype=torch.float64):
    """What some steps make of the model, the optimiser and the loss, from the same seeds."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        torch.manual_seed(0)
        model = gru4rec.GRU4Rec(train.item_ids, config).train()
        optimizer = training.Adagrad(model.named_parameters(), config.learning_rate, config.momentum)
        schedule = session_parallel(train.offsets, config.batch_size)
        sampler = NegativeSampler(train.support, config.n_sample, config.sample_alpha, torch.device("cpu"), n_steps)
        reports = []
        train_epoch(model, optimizer, sampler, schedule, torch.from_numpy(train.items), range(n_steps),
                    model.initial_state(config.batch_size), lambda t, loss, n, _: reports.append((t, float(loss), n)))
        drawn = torch.rand(3)  # the random numbers that come next: both have drawn as many
    finally:
        torch.set_default_dtype(before)
    steps, losses, rows = zip(*reports)
    assert steps[-1] == n_steps and losses[-1] > 0
    loss = torch.tensor(sum(losses) / sum(rows), dtype=dtype)
    return {"loss": loss, "drawn": drawn} | model.state_dict() | optimizer.tensors()


def untrained(train, config):
    """The model that `train_steps` begins with."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    state = gru4rec.GRU4Rec(train.item_ids, config).state_dict()
    torch.set_default_dtype(before)
    return state


@pytest.mark.claim("fast-is-the-same")
@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_fifty_steps_are_the_same_in_float64(sessions, config, n_threads, monkeypatch):
    config = replace(config, hidden_size=12, batch_size=min(config.batch_size, 16), n_sample=min(config.n_sample, 40))
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    here = train_steps(fast.train_epoch, sessions, config, 50)
    there = train_steps(gru4rec.train_epoch, sessions, config, 50)
    torch.testing.assert_close(here, there, rtol=0, atol=EQUAL)
    for name, before in untrained(sessions, config).items():  # and there was something to get wrong
        assert (there[name] - before).abs().max() > 1e-3


def test_single_precision_is_close(sessions):
    """After a few steps; later ones part, as two runs in single precision do. Three times what was measured."""
    config = GRU4RecConfig(hidden_size=12, batch_size=8, n_sample=20)
    here, there = (train_steps(epoch, sessions, config, 5, torch.float32)
                   for epoch in (fast.train_epoch, gru4rec.train_epoch))
    torch.testing.assert_close(here, there, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_the_last_lanes_end(sessions, n_threads, monkeypatch):
    """To the end of the epoch, where lanes end, the batch shrinks to nothing, and threads are without a lane."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    config = GRU4RecConfig(hidden_size=5, batch_size=7, n_sample=4, hidden_dropout=0.3)
    n_steps = session_parallel(sessions.offsets, config.batch_size).n_steps
    here, there = (train_steps(epoch, sessions, config, n_steps) for epoch in (fast.train_epoch, gru4rec.train_epoch))
    torch.testing.assert_close(here, there, rtol=0, atol=EQUAL)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_a_rank_may_have_several_threads(sessions, n_threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    config = GRU4RecConfig(hidden_size=5, batch_size=7, n_sample=4, embedding_dropout=0.1, momentum=0.2)
    n_steps = session_parallel(sessions.offsets, config.batch_size).n_steps
    here, there = (train_steps(epoch, sessions, config, n_steps) for epoch in (
        partial(fast.train_epoch_of_ranks, Ranks("cpu")), gru4rec.train_epoch))
    torch.testing.assert_close(here, there, rtol=0, atol=EQUAL)


@pytest.mark.parametrize("loss", ["cross-entropy", "bpr-max"])
def test_an_epoch_is_as_good(loss):
    train, test = WORLD.sample(3000), WORLD.sample(1000, seed=1)
    config = GRU4RecConfig(hidden_size=32, loss=loss, n_sample=64, n_epochs=2)
    readable, compiled = (metrics.evaluate_sessions(how(train, config, device="cpu", progress=False), test)
                          for how in (fit, fast.fit))
    assert compiled.recall == pytest.approx(readable.recall, abs=0.002)  # seeds differ by as much
    untrained = fast.fit(train, replace(config, learning_rate=1e-9), device="cpu", progress=False)
    assert compiled.recall > metrics.evaluate_sessions(untrained, test).recall + 0.1


@pytest.mark.parametrize("more,reason", [
    ({"loss": "bpr"}, "loss='bpr'"), ({"hidden_size": (4, 4)}, r"hidden_size=\(4, 4\)"),
    ({"input": "one-hot", "bptt": 2}, "input='one-hot', bptt=2"), ({"mask_targets": True}, "mask_targets=True"),
    ({"feedforward_size": 3}, "feedforward_size=3"), ({"exact_logq": True}, "exact_logq=True"),
    ({"loss": "bpr-max", "final_activation": "elu", "elu_alpha": 0.5}, "elu_alpha=0.5"),
    ({"final_activation": "tanh"}, "final_activation='tanh' with cross-entropy")])
def test_what_it_cannot_train_is_refused_and_the_remedy_works(sessions, more, reason):
    config = GRU4RecConfig(**{"hidden_size": 4, "batch_size": 8, "n_sample": 8, "n_epochs": 1} | more)
    with pytest.raises(ValueError, match=f"cannot train with {reason}; gru4rec.fit can"):
        fast.fit(sessions, config, device="cpu", progress=False)
    assert fit(sessions, config, device="cpu", progress=False).history
    assert fast.unsupported(GRU4RecConfig(), torch.device("cuda")) == "device='cuda'"


def test_without_numba_the_import_says_what_to_install():
    script = "import sys; sys.modules['numba'] = None; import rnnbook.fast"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode and 'numba is not installed, which rnnbook.fast needs: pip install "rnnbook[fast]"' in \
        done.stderr


def test_the_exponential_is_one(sessions):
    import numba

    @numba.njit(fastmath=True)
    def exponentials(x):
        return np.array([fast._exp(v) for v in x])

    x = np.linspace(-30, 30, 10_001)
    assert np.abs(exponentials(x.astype(np.float32)) / np.exp(x.astype(np.float32).astype(float)) - 1).max() < 2e-7
    assert np.array_equal(exponentials(np.float32([-1e30, 200])), exponentials(np.float32([-30, 30])))
    assert np.abs(exponentials(x) / np.exp(x) - 1).max() < 1e-15


def test_it_asks_for_no_warning(sessions):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast.fit(sessions, GRU4RecConfig(hidden_size=4, n_epochs=1), device="cpu", progress=False)


# --- Evaluation -------------------------------------------------------------------------------------------

MODELS = {
    "shared": GRU4RecConfig(hidden_size=12),
    "separate": GRU4RecConfig(hidden_size=12, input="separate", embedding_size=7),
    "one-hot": GRU4RecConfig(hidden_size=12, input="one-hot"),
    "two layers": GRU4RecConfig(hidden_size=(9, 6)),
    "three layers, one-hot": GRU4RecConfig(hidden_size=(4, 9, 6), input="one-hot"),
    "elu": GRU4RecConfig(hidden_size=12, final_activation="elu", loss="bpr-max", hidden_dropout=0.4),
}


def strong(item_ids, config, dtype=torch.float64):
    """A model with large random weights, biases too; a third of its items always score 0 or 1, which makes ties."""
    model = gru4rec.GRU4Rec(item_ids, config).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
        model.output[::3] = 0
        model.bias[::6], model.bias[3::6] = 0, 1
    return model


def both(model, data, **options):
    """The scores from the readable and from the compiled way; a warning would be an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [metrics.evaluate_sessions(how, data, n_boot=1, **options) for how in (model, fast.Ranker(model))]


@pytest.mark.claim("fast-is-the-same")
@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("ties", metrics.TIES)
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_ranks_are_the_same_in_float64(sessions, config, ties, n_threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    model = strong(sessions.item_ids, config)
    readable, compiled = both(model, sessions, ties=ties)
    np.testing.assert_array_equal(compiled.ranks, readable.ranks)
    assert (compiled.recall, compiled.intervals) == (readable.recall, readable.intervals)
    assert len(np.unique(readable.ranks)) > 40  # and there was something to get wrong
    others = [metrics.evaluate_sessions(model, sessions, n_boot=1, ties=t).ranks for t in metrics.TIES if t != ties]
    assert all((other != readable.ranks).mean() > 0.1 for other in others)


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
@pytest.mark.parametrize("lengths", [[1, 9, 2, 1, 4], [2], [30, 1], [2] * 700])
def test_sessions_of_all_lengths_in_pieces(sessions, lengths, at_once, monkeypatch):
    monkeypatch.setattr(fast, "AT_ONCE", at_once)
    ends = np.append(0, np.cumsum(lengths))
    data = replace(sessions, offsets=ends, items=sessions.items[:ends[-1]], times=sessions.times[:ends[-1]])
    for config in (MODELS["shared"], MODELS["two layers"]):
        readable, compiled = both(strong(sessions.item_ids, config), data)
        np.testing.assert_array_equal(compiled.ranks, readable.ranks)


def test_single_precision_ranks_are_close(sessions):
    """Ranks part where another rounding makes or breaks a tie."""
    readable, compiled = both(strong(sessions.item_ids, MODELS["shared"], torch.float32), sessions)
    assert (readable.ranks != compiled.ranks).mean() < 0.002
    assert np.abs(readable.ranks - compiled.ranks).max() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [name for name, _ in gru4rec.GRU4Rec([0, 1], MODELS["separate"]).named_parameters()])
def test_a_nan_in_the_weights_is_the_same_error(sessions, name, dtype):
    model = strong(sessions.item_ids, MODELS["separate"], dtype)
    model.get_parameter(name).data[-1] = torch.nan
    messages = []
    for how in (model, fast.Ranker(model)):
        with pytest.raises(ValueError, match="hold a NaN") as error:
            metrics.evaluate_sessions(how, sessions, n_boot=1)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_infinite_scores_are_compared(sessions):
    model = strong(sessions.item_ids, MODELS["shared"])
    model.bias.data[:2] = torch.tensor([torch.inf, -torch.inf])
    for ties in metrics.TIES:
        readable, compiled = both(model, sessions, ties=ties)
        np.testing.assert_array_equal(compiled.ranks, readable.ranks)


def test_what_it_cannot_rank_is_refused_or_ranked_readably(sessions):
    model = strong(sessions.item_ids, MODELS["shared"]).to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"not for torch.bfloat16; evaluate the model itself"):
        fast.Ranker(model)
    there = fast.evaluate_sessions(model, sessions)
    assert np.array_equal(there.ranks, metrics.evaluate_sessions(model, sessions).ranks)
    assert fast.cannot_rank(model.to("meta")) == "device='meta'"
    assert fast.cannot_rank(gru4rec.GRU4Rec(range(9), GRU4RecConfig(feedforward_size=3))) == "feedforward_size=3"
    with pytest.raises(ValueError, match="ties must be one of"):
        fast.evaluate_sessions(strong(sessions.item_ids, MODELS["shared"]), sessions, ties="optimistic")


def test_more_items_than_float32_can_count_are_left_to_the_readable_ranks(monkeypatch):
    monkeypatch.setattr(fast, "COUNTABLE", 9)
    few, many = (gru4rec.GRU4Rec(range(n), GRU4RecConfig(hidden_size=2)) for n in (9, 10))
    assert fast.cannot_rank(few) == "" and fast.cannot_rank(many) == "10 items"
    assert fast.cannot_rank(many.double()) == ""


def test_training_validates_as_it_trains(sessions, monkeypatch):
    asked, rank = [], fast.Ranker.rank_sessions
    monkeypatch.setattr(fast.Ranker, "rank_sessions", lambda *args: asked.append(args) or rank(*args))
    config = GRU4RecConfig(hidden_size=4, n_epochs=2)
    fit(sessions, config, device="cpu", valid=sessions, progress=False)
    assert not asked
    fast.fit(sessions, config, device="cpu", valid=sessions, progress=False)
    assert len(asked) == 2


def test_the_limit_reaches_the_blas_that_is_called():
    """A library that is loaded after the limit was set would start threads of its own within each thread."""
    script = """
from rnnbook import fast, gru4rec, worlds
from threadpoolctl import ThreadpoolController
def loaded(controller):
    return sorted(library["filepath"] for library in controller.select(user_api="blas").info())
before = loaded(fast.BLAS)
sessions = worlds.SessionWorld().sample(20)
fast.Ranker(gru4rec.GRU4Rec(sessions.item_ids, gru4rec.GRU4RecConfig())).rank_sessions(sessions, "median")
assert before and loaded(ThreadpoolController()) == before, before
"""
    subprocess.run([sys.executable, "-c", script], check=True)


# --- Recommendations --------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 400), k=st.integers(1, 420), levels=st.integers(1, 1000), seed=st.integers(0, 99))
def test_the_best_are_those_of_the_readable_search(n, k, levels, seed):
    """With few levels, most scores are tied; some rows have nothing that can be recommended."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(5, n)).astype(np.float32)
    scores[rng.random((5, n)) < 0.2] = -np.inf
    scores[3] = -np.inf
    cut, k = rng.integers(n), min(n, k)
    for row in scores:
        readable, values, columns = None, np.full(k, -np.inf, np.float32), np.zeros(k, np.int64)
        for start, stop in filter(lambda block: block[0] < block[1], ((0, cut), (cut, n))):
            readable = recommenders.better(torch.from_numpy(row[None, start:stop]), start, readable, k)
            fast._search(row[start:stop], start, values, columns)
        expected = sorted(np.flatnonzero(np.isfinite(row)), key=lambda i: -row[i])[:k]
        for best, where in ((values, columns), (readable[0][0].numpy(), readable[1][0].numpy())):
            there = np.isfinite(best)
            assert len(best) == len(where) == k
            assert where[there].tolist() == expected and best[there].tolist() == list(row[expected])


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_of_rows_and_items_are_put_together(threads, tied, float64):
    """More sessions and items than a block has, divided among threads; tied scores are exact, so the order is too."""
    data = SessionWorld(n_items=300).sample(200)
    model = GRU4Rec(np.arange(9000), GRU4RecConfig(hidden_size=4))
    model.bias.data = torch.from_numpy(np.random.default_rng(0).normal(size=9000)).round(decimals=1)
    if tied:
        model.output.data.zero_()
    histories = np.split(data.items, data.offsets[1:-1])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        compiled = fast.Ranker(model).recommend_many(histories, k=40, exclude_seen=True)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(model.recommend_many(histories, k=40, exclude_seen=True), compiled, strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=0 if tied else EQUAL)


@pytest.mark.parametrize("options", [{}, {"exclude_seen": True}, {"candidates": list(range(5, 60, 7)), "k": 30}])
def test_compiled_recommendations_are_the_readable_ones(options, float64):
    data = SessionWorld(n_items=80).sample(50)
    model = GRU4Rec(np.arange(80), GRU4RecConfig(hidden_size=(8, 4), input="separate", embedding_size=4))
    histories = np.split(data.items, data.offsets[1:-1])
    readable, compiled = (each.recommend_many(histories, **options) for each in (model, fast.Ranker(model)))
    for one, other in zip(readable, compiled, strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=EQUAL)
