"""The models after the GRU, against their equations by hand, and served click by click against whole sequences."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from recommender_contract import RecommenderContract
from resume import check_resumes
from rnnbook import metrics
from rnnbook.after import (
    LRU,
    MODELS,
    AfterConfig,
    AfterGRU,
    Attention,
    MinGRU,
    fit,
    new_model,
    next_item_loss,
    scan,
    take,
    windows,
)
from rnnbook.baselines import Popularity
from rnnbook.gru4rec import NegativeSampler
from rnnbook.interactions import SessionData
from rnnbook.worlds import SessionWorld

SMALL = {name: replace(config, hidden_size=8, n_heads=2, max_length=12, n_epochs=2, batch_size=64, dropout=0.1)
         for name, config in MODELS.items()}
every_model = pytest.mark.parametrize("name", list(MODELS))


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model_of(name, n_items=30, **changes):
    torch.manual_seed(1)
    model = AfterGRU(np.arange(n_items), replace(SMALL[name], **changes)).eval()
    torch.nn.init.normal_(model.bias)
    return model


@every_model
def test_under_autocast_it_predicts_the_same(name):
    model, items = model_of(name), torch.arange(12).view(2, 6)
    with torch.no_grad():
        whole = model.states(items)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model.states(items)
    assert not torch.equal(whole, rounded)
    torch.testing.assert_close(rounded.float(), whole, atol=0.05, rtol=0.05)


# --- The scan ---------------------------------------------------------------------------------------------


def loop(a, b):
    h, states = torch.zeros_like(b[:, 0]), []
    for t in range(b.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, dim=1)


@pytest.mark.claim("scan-is-the-loop")
@pytest.mark.parametrize("length", [1, 2, 3, 7, 64, 100])
@pytest.mark.parametrize("dtype, bar", [(torch.float32, 1e-6), (torch.float64, 1e-12), (torch.complex128, 1e-12)])
def test_the_scan_is_the_loop(length, dtype, bar):
    torch.manual_seed(length)
    a, b = torch.rand(3, length, 5).to(dtype), torch.randn(3, length, 5, dtype=dtype)
    if dtype.is_complex:
        a = a * torch.exp(1j * 6 * torch.rand(3, length, 5))
    torch.testing.assert_close(scan(a, b), loop(a, b), rtol=bar, atol=bar)


@pytest.mark.claim("scan-is-the-loop")
def test_its_gradient_is_that_of_the_loop(float64):
    a, b = torch.rand(2, 9, 3, requires_grad=True), torch.randn(2, 9, 3, requires_grad=True)
    weight = torch.randn(2, 9, 3)
    found, wanted = (torch.autograd.grad((way(a, b) * weight).sum(), [a, b]) for way in (scan, loop))
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


# --- Mixers, by hand --------------------------------------------------------------------------------------


def test_attention_weighs_what_came_before(float64):
    torch.manual_seed(0)
    mixer, x = Attention(AfterConfig(hidden_size=6, n_heads=2)), torch.randn(2, 5, 6)
    q, k, v = (x @ w.T + b for w, b in zip(mixer.into.weight.chunk(3), mixer.into.bias.chunk(3)))
    rows = torch.zeros(2, 5, 6)
    for t in range(5):
        for part in (slice(0, 3), slice(3, 6)):  # the heads
            weight = (k[:, :t + 1, part] @ q[:, t, part, None] / 3**0.5).softmax(dim=1)
            rows[:, t, part] = (weight * v[:, :t + 1, part]).sum(1)
    torch.testing.assert_close(mixer(x), rows @ mixer.out.weight.T + mixer.out.bias, rtol=1e-13, atol=1e-13)


def test_mingru_by_its_equations(float64):
    torch.manual_seed(0)
    mixer, x = MinGRU(AfterConfig(hidden_size=4)), torch.randn(2, 6, 4)
    (wz, wh), (bz, bh) = mixer.into.weight.chunk(2), mixer.into.bias.chunk(2)
    h, rows = torch.zeros(2, 4), []
    for t in range(6):
        z = 1 / (1 + torch.exp(-(x[:, t] @ wz.T + bz)))
        h = (1 - z) * h + z * (x[:, t] @ wh.T + bh)
        rows.append(h)
    torch.testing.assert_close(mixer(x), torch.stack(rows, 1), rtol=1e-13, atol=1e-13)


def test_lru_by_its_equations(float64):
    torch.manual_seed(0)
    mixer, x = LRU(AfterConfig(hidden_size=4)), torch.randn(2, 6, 4)
    b = torch.complex(*mixer.into.weight.chunk(2))  # [d, d]
    c = torch.complex(mixer.out.weight[:, :4], -mixer.out.weight[:, 4:])
    factor = torch.exp(-torch.exp(mixer.nu)) * torch.exp(1j * torch.exp(mixer.theta))
    h, rows = torch.zeros(2, 4, dtype=torch.complex128), []
    for t in range(6):
        h = factor * h + mixer.gamma.exp() * (x[:, t].to(torch.complex128) @ b.T)
        rows.append((h @ c.T).real)
    torch.testing.assert_close(mixer(x), torch.stack(rows, 1), rtol=1e-13, atol=1e-13)


def test_lru_starts_on_its_ring_with_a_state_of_even_size(float64):
    torch.manual_seed(0)
    mixer = LRU(AfterConfig(hidden_size=4000))
    radius, angle = mixer.factor().abs(), mixer.factor().angle() % (2 * np.pi)
    assert 0.8 < radius.min() < 0.801 and 0.989 < radius.max() < 0.99
    assert abs((radius**2 < (0.8**2 + 0.99**2) / 2).double().mean() - 0.5) < 0.03  # uniform over the area
    assert abs(angle.mean() - np.pi) < 0.1 and angle.std() > 1.7
    # White noise of variance 1 into each number of the state: Σ |λ|^2t γ² = γ² / (1 − |λ|²) = 1
    torch.testing.assert_close(mixer.gamma.exp()**2 / (1 - radius**2), torch.ones(4000), rtol=1e-13, atol=0)


# --- The network ------------------------------------------------------------------------------------------


@pytest.mark.claim("after-causal")
@every_model
def test_served_click_by_click_it_has_the_same_states(name, float64):
    model, items = model_of(name).double(), torch.randint(30, (3, 12))
    whole, state = model.states(items), None
    for t in range(12):
        h, state = model.step(items[:, t], state)
        torch.testing.assert_close(h, whole[:, t], rtol=1e-13, atol=1e-13)
    assert state[0] == 12


@pytest.mark.claim("state-of-attention-grows")
@every_model
def test_what_is_kept_grows_with_attention_alone(name):
    model, state, sizes = model_of(name), None, []
    for _ in range(3):
        _, state = model.step(torch.tensor([1, 2]), state)
        parts = [part for kept in state[1] for part in (kept if isinstance(kept, tuple) else (kept,))]
        sizes.append(sum(part.numel() for part in parts))
    first = {"SASRec": 64}.get(name, 32)  # two sequences, two blocks, eight units; keys and values
    assert sizes == ([first, 2 * first, 3 * first] if name == "SASRec" else [first] * 3)


def test_attention_has_no_place_beyond_its_length():
    model, state = model_of("SASRec", max_length=2), None
    for _ in range(2):
        _, state = model.step(torch.tensor([1]), state)
    with pytest.raises(ValueError, match="positions for 2 clicks only"):
        model.step(torch.tensor([1]), state)


@pytest.mark.claim("after-causal")
@every_model
def test_a_later_click_moves_no_earlier_state(name, float64):
    model, items = model_of(name).double(), torch.randint(30, (1, 12))
    before = model.states(items)
    for t in range(12):
        changed = items.clone()
        changed[0, t] = (changed[0, t] + 1) % 30
        after = model.states(changed)
        assert torch.equal(after[:, :t], before[:, :t])
        assert (after[:, t:] - before[:, t:]).abs().amax(dim=2).min() > 1e-6  # and each later one knows of it


@every_model
def test_order_matters(name, float64):
    model = model_of(name).double()
    one, other = (model.states(torch.tensor([items]))[0, -1] for items in ([3, 4, 5], [4, 3, 5]))
    assert (one - other).abs().max() > 1e-4


@pytest.mark.claim("after-causal")
@every_model
def test_padding_changes_nothing(name, float64):
    """A session alone, and beside one of a greater length."""
    model = model_of(name).double()
    alone, beside = sessions([[3, 4, 5]]), sessions([[3, 4, 5], list(range(12))])
    rows = [torch.cat([scores for _, scores in model.score_sessions(data, batch_size=10_000)]) for data in
            (alone, beside)]
    torch.testing.assert_close(rows[1][:2], rows[0], rtol=1e-12, atol=1e-12)


@every_model
def test_a_prediction_uses_the_last_clicks_up_to_its_length(name, float64):
    model, items = model_of(name, max_length=4).double(), [1, 7, 3, 9, 2, 5, 8, 4]
    found = {}
    for positions, scores in model.score_sessions(sessions([items]), batch_size=3):
        found |= dict(zip(positions.tolist(), scores))
    assert sorted(found) == list(range(1, 8))
    for t, scores in found.items():
        wanted = model.scores(model.states(torch.tensor([items[max(0, t - 4):t]]))[:, -1])[0]
        torch.testing.assert_close(scores, wanted, rtol=1e-12, atol=1e-12)
        read = model.scorer([np.array(items[:t])])(slice(0, 1), slice(None))[0]
        torch.testing.assert_close(read, wanted, rtol=1e-12, atol=1e-12)


# --- Windows ----------------------------------------------------------------------------------------------


def sessions(lists, n_items=30):
    rows = [(s, item, 100.0 * s + t) for s, items in enumerate(lists) for t, item in enumerate(items)]
    return SessionData.from_frame(pd.DataFrame(rows, columns=["session", "item", "time"]), item_ids=np.arange(n_items))


@settings(deadline=None, max_examples=60)
@given(lengths=st.lists(st.integers(0, 12), max_size=6), most=st.integers(1, 6), every=st.booleans())
def test_each_click_but_the_first_is_predicted_once_from_its_own_session(lengths, most, every):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    found, items = windows(offsets, most, every), torch.arange(offsets[-1])
    wanted = [t for s, n in zip(offsets, lengths) for t in range(s + 1, s + n)]
    targets = []
    for i in range(len(found.start)):
        batch = take(found, np.array([i]), items)
        session = np.searchsorted(offsets, found.start[i], side="right") - 1
        for column, target in zip(batch.column.tolist(), batch.target.tolist()):
            read = batch.x[0, :column + 1].tolist()
            assert read == list(range(target - len(read), target)) and read[0] >= offsets[session]
            assert target < offsets[session + 1] and len(read) <= most
            if every:
                assert len(read) == min(most, target - offsets[session])
            targets.append(target)
    assert sorted(targets) == wanted


# --- The loss ---------------------------------------------------------------------------------------------


def test_the_loss_over_all_items_by_hand(float64):
    model, hidden, y = model_of("SASRec", n_items=5).double(), torch.randn(3, 8), torch.tensor([4, 0, 4])
    scores = hidden @ model.embedding.weight.T + model.bias
    wanted = -(scores.exp() / scores.exp().sum(1, keepdim=True))[range(3), y].log().mean()
    torch.testing.assert_close(next_item_loss(model, hidden, y), wanted, rtol=1e-12, atol=1e-12)


def test_the_sampled_loss_by_hand_and_in_the_mean(float64):
    model, hidden, y = model_of("SASRec", n_items=5).double(), torch.randn(2, 8), torch.tensor([4, 0])
    support = np.array([5, 1, 0, 2, 9])
    sampler = NegativeSampler(support, 6, 0.5, "cpu", 1)
    torch.manual_seed(3)
    loss = next_item_loss(model, hidden, y, sampler)
    torch.manual_seed(3)
    drawn = NegativeSampler(support, 6, 0.5, "cpu", 1).next().tolist()
    scores, q = model.scores(hidden), support**0.5 / (support**0.5).sum()

    def one(r, target, negatives):
        rest = sum(r[j].exp() / (len(negatives) * q[j]) for j in negatives if j != target)
        return -(r[target].exp() / (r[target].exp() + rest)).log()

    wanted = torch.stack([one(r, target, drawn) for r, target in zip(scores, y.tolist())]).mean()
    torch.testing.assert_close(loss, wanted, rtol=1e-12, atol=1e-12)
    # With very many negatives it is the softmax over all items that can be drawn.
    many = next_item_loss(model, hidden, y, NegativeSampler(support, 400_000, 0.5, "cpu", 1))
    full = F.cross_entropy(scores.index_fill(1, torch.tensor([2]), -torch.inf), y)
    torch.testing.assert_close(many, full, rtol=0, atol=3e-3)


# --- Training ---------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("n_sample", [0, 64])
def test_it_learns_what_no_last_click_knows(name, n_sample):
    """Two shops share the middle click; the first click says which way a visitor goes on. Popularity has 1/2."""
    ways = [[0, 2, 3], [1, 2, 4]]
    data = sessions([ways[i % 2] for i in range(200)], n_items=5)
    config = replace(SMALL[name], hidden_size=16, n_epochs=25, n_sample=n_sample, learning_rate=1e-2, dropout=0.0)
    model = fit(data, config, device="cpu", seed=0, progress=False)
    assert metrics.evaluate_sessions(model, data, k=1, targets="last").recall == 1.0
    assert metrics.evaluate_sessions(Popularity().fit(data), data, k=1, targets="last").recall <= 0.5
    untrained = new_model(data, config, device="cpu", seed=0)
    assert metrics.evaluate_sessions(untrained, data, k=1, targets="last").recall < 1


@every_model
def test_a_killed_training_goes_on_to_the_same_numbers(name, tmp_path):
    world = SessionWorld(n_states=4, n_items=30)
    config = replace(SMALL[name], n_epochs=3, n_sample=20)
    check_resumes(partial(fit, world.sample(60), config, device="cpu", seed=5, valid=world.sample(20, 1),
                          progress=False), tmp_path / "run")


@every_model
def test_it_saves_and_loads(name, tmp_path):
    model = model_of(name)
    model.save(tmp_path / "model")
    loaded = AfterGRU.load(tmp_path / "model", device="cpu")
    assert loaded.config == model.config
    items = torch.randint(30, (2, 5))
    assert torch.equal(loaded.states(items), model.states(items))


def test_nothing_to_learn_from_is_said():
    with pytest.raises(ValueError, match="sessions of two clicks"):
        fit(sessions([[1], [2]]), SMALL["SASRec"], device="cpu", progress=False)


def test_an_unknown_metric_is_refused_before_the_first_epoch():
    clicks = sessions([[1, 2], [2, 3]])
    with pytest.raises(ValueError, match="metric='likelihood'; it must be recall or mrr"):
        fit(clicks, SMALL["GRU"], valid=clicks, metric="likelihood", device="cpu", progress=False, callback=pytest.fail)


@pytest.mark.parametrize("changes, message", [({"n_heads": 3}, "not a multiple"), ({"mixer": "mamba"}, "mixer='mamba'"),
                                              ({"max_length": 0}, "max_length=0"), ({"dropout": 1.0}, "dropout=1.0")])
def test_what_a_setting_may_not_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL["SASRec"], **changes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@every_model
def test_on_a_gpu_it_has_the_scores_of_the_cpu(name):
    model, items = model_of(name), torch.randint(30, (3, 12))
    torch.testing.assert_close(model.cuda().states(items.cuda()).cpu(), model.cpu().states(items), rtol=1e-4, atol=1e-4)


class After(RecommenderContract):
    name = "SASRec"
    rounding = 1e-12

    def fit(self, train):
        config = replace(MODELS[self.name], hidden_size=32, batch_size=64, learning_rate=0.01, n_epochs=15, dropout=0.0)
        return fit(train, config, device="cpu", progress=False).double()


class TestSASRec(After):
    pass


class TestMinGRU(After):
    name = "minGRU"


class TestLRU(After):
    name = "LRU"


class TestGRU(After):
    name = "GRU"
