"""The improved RNN against its slow forms: prefixes one by one, clicks really deleted, the loss by hand."""

import re
from dataclasses import fields, replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from recommender_contract import RecommenderContract
from resume import check_resumes
from rnnbook import improved, metrics, results, training
from rnnbook.baselines import Popularity
from rnnbook.improved import (
    MODELS,
    Batch,
    ImprovedConfig,
    ImprovedRNN,
    Padded,
    approximate_index,
    batch_loss,
    delete_clicks,
    fit,
    log_likelihood,
    nearest,
    new_model,
    prefixes,
    recent_sessions,
    soft_labels,
    train_stage,
)
from rnnbook.interactions import SessionData
from rnnbook.interactions.ragged import batches_by_length
from rnnbook.worlds import SessionWorld

N_ITEMS = 12
PLAIN = ImprovedConfig(embedding_size=5, hidden_size=7, embedding_dropout=0.0, output_dropout=0.0, click_dropout=0.0,
                       batch_size=16, n_epochs=2, learning_rate=0.01)


def sessions(lists, n_items=N_ITEMS):
    rows = [(s, item, 100.0 * s + t) for s, items in enumerate(lists) for t, item in enumerate(items)]
    return SessionData.from_frame(pd.DataFrame(rows, columns=["session", "item", "time"]), item_ids=np.arange(n_items))


def random_sessions(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return sessions([rng.integers(N_ITEMS, size=rng.integers(1, 9)).tolist() for _ in range(n)])


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def network(sees="past", **changes):
    torch.manual_seed(1)
    return ImprovedRNN(np.arange(N_ITEMS), replace(PLAIN, **changes), sees=sees)


def whole(data, **options):
    """All sessions of two clicks or more in one batch."""
    return Padded(data, "cpu").batch(np.flatnonzero(data.lengths > 1), **options)


def last_state(model, items, side="past"):
    """The slow form: one history, no padding; zeros if it is empty."""
    if not len(items):
        return torch.zeros(model.config.hidden_size)
    return model.grus[side](model.embedding(torch.as_tensor(items))[None])[1][0, 0]


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def assert_same(a, b):
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-12)


# --- Prefixes ---------------------------------------------------------------------------------------------


def test_prefixes_are_those_of_the_slide():
    assert prefixes([7, 8, 9]) == [([7], 8), ([7, 8], 9)]
    assert prefixes([7]) == prefixes([]) == []


def prefix_loss(model, pairs):
    """The sum of the cross-entropies of (history, target) pairs, one after the other."""
    scores = torch.stack([model.scores(last_state(model, history)[None])[0] for history, _ in pairs])
    return F.cross_entropy(scores, torch.tensor([target for _, target in pairs]), reduction="sum")


@pytest.mark.claim("prefixes-are-all-positions")
@pytest.mark.parametrize("output", ["softmax", "shared"])
def test_all_positions_at_once_have_the_gradient_of_the_prefixes(float64, output):
    model, data = network(output=output), random_sessions()
    batch, _ = whole(data)
    pairs = [pair for s in range(data.n_sessions)
             for pair in prefixes(data.items[data.offsets[s]:data.offsets[s + 1]].tolist())]
    assert len(pairs) == len(batch.row)
    assert_same(gradients(model, prefix_loss(model, pairs) / len(pairs)), gradients(model, batch_loss(model, batch)))


@pytest.mark.claim("prefixes-are-all-positions")
def test_one_deletion_per_session_has_the_expected_gradient_of_one_per_prefix(float64, monkeypatch):
    """Every mask with its probability: of each prefix by itself, and of the session as a whole."""
    rate, items = 0.3, [3, 1, 4, 1]
    model = network(click_dropout=rate)
    expected = 0
    for history, target in prefixes(items):
        for mask in product([True, False], repeat=len(history)):
            weight = np.prod([1 - rate if kept else rate for kept in mask])
            kept = [item for item, keep in zip(history, mask) if keep]
            expected = expected + weight * prefix_loss(model, [(kept, target)]) / 3
    batch, _ = whole(sessions([items]))
    at_once = 0
    for mask in product([True, False], repeat=4):
        drawn = torch.tensor([[1.0 if kept else 0.0 for kept in mask]])
        monkeypatch.setattr(torch, "rand", lambda *_, drawn=drawn, **__: drawn)
        at_once = at_once + np.prod([1 - rate if kept else rate for kept in mask]) * batch_loss(model.train(), batch)
    assert_same(gradients(model, expected), gradients(model, at_once))


some_sessions = st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=7), min_size=1, max_size=6).filter(
    lambda lists: max(map(len, lists)) > 1)


@settings(max_examples=60, deadline=None)
@given(some_sessions, st.booleans(), st.randoms())
def test_the_pairs_of_a_batch_are_the_prefixes_of_its_sessions(lists, every_prefix, random):
    data = sessions(lists)
    chosen = [s for s, items in enumerate(lists) if len(items) > 1]
    random.shuffle(chosen)
    batch, position = Padded(data, "cpu").batch(np.array(chosen), prefixes=every_prefix)
    found = [(batch.x[r, :c + 1].tolist(), y, last) for r, c, y, last in
             zip(batch.row, batch.column, batch.y.tolist(), batch.last.tolist())]
    expected = [(history, target, len(history) == len(lists[s]) - 1) for s in chosen
                for history, target in prefixes(lists[s])]
    assert found == [pair for pair in expected if every_prefix or pair[2]]
    assert batch.mask.sum(dim=1).tolist() == [len(lists[s]) for s in chosen]
    assert batch.mask.shape == (len(chosen), max(len(lists[s]) for s in chosen))
    assert position.tolist() == [data.offsets[chosen[r]] + c + 1 for r, c in zip(batch.row, batch.column)]


def test_without_prefixes_only_the_last_click_is_a_target():
    data = random_sessions()
    batch, position = whole(data, prefixes=False)
    long = data.lengths > 1
    assert position.tolist() == (data.offsets[1:][long] - 1).tolist() and batch.last.all()
    assert batch.y.tolist() == data.items[position].tolist()


# --- Deletion and padding ---------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**9 - 1), st.integers(1, 4))
def test_states_know_only_the_kept_clicks_wherever_the_padding_stands(n, before, after, mask, max_steps):
    model = network(max_steps=max_steps)
    items, kept = torch.randint(N_ITEMS, (n,)), torch.tensor([bool(mask >> t & 1) for t in range(n)])
    x = torch.randint(N_ITEMS, (1, before + n + after))  # the padding holds items too: they must not matter
    keep = torch.zeros(1, before + n + after, dtype=torch.bool)
    x[0, before:before + n], keep[0, before:before + n] = items, kept
    with torch.no_grad():
        states = model.states(x, keep)[0, before:]
        for r in range(n + 1):
            torch.testing.assert_close(states[r], last_state(model, items[:r][kept[:r]]), rtol=1e-5, atol=1e-6)
        if after:
            torch.testing.assert_close(states[n], states[-1])


def test_a_wider_rectangle_changes_no_loss(float64):
    model, data = network(), random_sessions()
    batch, _ = whole(data)
    wide = batch._replace(x=F.pad(batch.x, (0, 5), value=3), mask=F.pad(batch.mask, (0, 5)))
    right_aligned = Batch(F.pad(batch.x, (5, 0), value=3), F.pad(batch.mask, (5, 0)), batch.row, batch.column + 5,
                          batch.last)
    for other in (wide, right_aligned):
        torch.testing.assert_close(batch_loss(model, batch), batch_loss(model, other), rtol=0, atol=1e-12)


def test_a_click_is_deleted_where_the_number_drawn_is_below_the_rate(monkeypatch):
    drawn = torch.tensor([[0.0, 0.2, 0.25, 0.3, 0.9, 0.9]])
    monkeypatch.setattr(torch, "rand", lambda *_, **__: drawn)
    mask = torch.tensor([[True, True, True, True, True, False]])
    assert delete_clicks(mask, 0.25).tolist() == [[False, False, True, True, True, False]]
    assert torch.equal(delete_clicks(mask, 0.0), mask)


def test_clicks_are_deleted_at_the_given_rate_in_training_only():
    model, (batch, _) = network(click_dropout=0.4), whole(random_sessions(400))
    seen = []
    hidden = model.hidden
    model.hidden = lambda batch, keep: seen.append(keep) or hidden(batch, keep)
    batch_loss(model.train(), batch)
    batch_loss(model.eval(), batch)
    assert 0.36 < 1 - seen[0][batch.mask].float().mean() < 0.44 and not seen[0][~batch.mask].any()
    assert torch.equal(seen[1], batch.mask)


def test_with_every_click_deleted_the_empty_prefix_still_predicts(monkeypatch):
    model, (batch, _) = network(click_dropout=0.5).train(), whole(random_sessions())
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.zeros(shape))
    empty = model.scores(torch.zeros(1, 7)).expand(len(batch.row), -1)
    torch.testing.assert_close(batch_loss(model, batch), F.cross_entropy(empty, batch.y))


def test_the_gradient_is_cut_after_max_steps():
    model, items = network(max_steps=3), torch.arange(8)[None]
    states = model.states(items, torch.ones_like(items, dtype=torch.bool))
    uncut = network().states(items, torch.ones_like(items, dtype=torch.bool))
    torch.testing.assert_close(states, uncut)  # same numbers
    states[0, 8].sum().backward()  # after 8 clicks; the last cut lies before the seventh
    touched = model.embedding.weight.grad.abs().sum(dim=1)
    assert (touched[:6] == 0).all() and (touched[6:8] > 0).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 50))
def test_batches_hold_every_session_with_a_pair_once(lengths, batch_size):
    lengths = np.array(lengths, dtype=np.int64)
    order = np.random.default_rng(0).permutation(len(lengths))
    cut = batches_by_length(lengths - 1, batch_size, order)
    assert sorted(s for batch in cut for s in batch) == np.flatnonzero(lengths > 1).tolist()
    pairs = [int((lengths[batch] - 1).sum()) for batch in cut]
    assert all(n - (lengths[batch[-1]] - 1) < batch_size for n, batch in zip(pairs, cut))
    assert all(np.ptp(lengths[batch]) <= max(np.diff(np.unique(lengths)), default=0) * len(np.unique(lengths[batch]))
               for batch in cut)


# --- The teacher and the loss -----------------------------------------------------------------------------


@pytest.mark.parametrize("sees", ["past", "future", "both"])
def test_a_model_sees_what_it_may_and_nothing_else(sees):
    """For every target: exchange each other click, and the target itself; what moves is what was seen."""
    model, items = network(sees).eval(), [3, 1, 4, 1, 5]
    with torch.no_grad():
        before = model.hidden(whole(sessions([items]))[0])
        for changed in range(5):
            other = items[:changed] + [9] + items[changed + 1:]
            moved = (model.hidden(whole(sessions([other]))[0]) - before).abs().sum(dim=1) > 1e-7
            for target in range(1, 5):
                seen = (changed < target and sees != "future") or (changed > target and sees != "past")
                assert moved[target - 1] == seen


@pytest.mark.parametrize("sees", ["future", "both"])
def test_the_distilled_loss_is_the_papers(float64, sees):
    data, strength = random_sessions(), 0.3
    model, teacher = network(privileged=strength), network(sees)
    total, n_pairs = 0, 0
    for s in range(data.n_sessions):
        x = data.items[data.offsets[s]:data.offsets[s + 1]]
        for r in range(1, len(x)):  # x[r] is the paper's x_{r+1}; x* = [x_n, …, x_{r+2}]
            log_p = model.scores(last_state(model, x[:r])[None])[0].log_softmax(0)
            future = last_state(teacher, x[:r:-1].copy(), "future")
            sides = [last_state(teacher, x[:r]), future] if sees == "both" else [future]
            soft = teacher.scores(torch.cat(sides)[None])[0].softmax(0)
            share = strength if r < len(x) - 1 else 0.0
            total = total - (1 - share) * log_p[x[r]] - share * (soft * log_p).sum()
            n_pairs += 1
    batch, _ = whole(data)
    ours = batch_loss(model, batch, teacher)
    torch.testing.assert_close(ours, total / n_pairs, rtol=0, atol=1e-12)
    assert_same(gradients(model, ours), gradients(model, total / n_pairs))


@pytest.mark.parametrize("sees", ["future", "both"])
def test_a_teacher_sees_the_clicks_that_are_deleted_for_its_student(float64, monkeypatch, sees):
    model, teacher = network(privileged=0.6, click_dropout=0.5).train(), network(sees).eval()
    batch, _ = whole(random_sessions())
    drawn = torch.rand(batch.mask.shape)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: drawn)
    keep = batch.mask & (drawn >= 0.5)
    log_p = model.scores(model.hidden(batch, keep)).log_softmax(dim=1)
    hard = F.nll_loss(log_p, batch.y, reduction="none")

    def loss(of_teacher):
        soft = F.cross_entropy(log_p, teacher.scores(of_teacher).softmax(dim=1), reduction="none")
        return torch.where(batch.last, hard, 0.4 * hard + 0.6 * soft).mean()

    found = batch_loss(model, batch, teacher)
    torch.testing.assert_close(found, loss(teacher.hidden(batch)), rtol=0, atol=1e-12)
    assert abs(found - loss(teacher.hidden(batch, keep))) > 1e-4


def test_soft_labels_are_distributions_without_a_gradient():
    labels = soft_labels(network("both"), whole(random_sessions())[0])
    assert not labels.requires_grad and (labels > 0).all()
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(len(labels)))


def test_a_teacher_is_not_trained_by_its_student():
    model, teacher = network(privileged=0.5), network("both")
    batch_loss(model, whole(random_sessions())[0], teacher).backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_a_perfect_teacher_that_sees_both_sides_leaves_nothing_to_guess():
    """Walks up or down a ring: with both neighbours known the click between them is certain."""
    rng = np.random.default_rng(0)
    data = sessions([[(s + d * t) % N_ITEMS for t in range(5)]
                     for s, d in zip(rng.integers(N_ITEMS, size=300), rng.choice([-1, 1], size=300))])
    config = replace(PLAIN, hidden_size=24, embedding_size=12, n_epochs=15, learning_rate=0.02)
    teacher = train_stage(new_model(data, config, device="cpu", sees="both"), data, progress=False)
    batch, _ = whole(data)
    with torch.no_grad():
        right = teacher.scores(teacher.hidden(batch)).argmax(dim=1) == batch.y
    assert right[~batch.last].float().mean() > 0.99


# --- Output embedding -------------------------------------------------------------------------------------


def test_the_embedding_loss_is_one_minus_the_cosine(float64):
    model, data = network(output="embedding"), random_sessions()
    batch, position = whole(data)
    cosines = []
    for target in position.tolist():
        session = np.searchsorted(data.offsets, target, side="right") - 1
        v = model.output(last_state(model, data.items[data.offsets[session]:target]))
        e = model.embedding.weight[data.items[target]]
        cosines.append(v @ e / (v.norm() * e.norm()))
    torch.testing.assert_close(batch_loss(model, batch), 1 - torch.stack(cosines).mean(), rtol=0, atol=1e-12)


@pytest.mark.claim("embedding-output-collapses")
def test_a_table_that_may_move_collapses():
    world = SessionWorld()
    data, test = world.sample(1500, seed=0), world.sample(200, seed=1)
    config = replace(PLAIN, embedding_size=32, hidden_size=64, output="embedding", batch_size=256, n_epochs=4)
    frozen = fit(data, config, device="cpu", progress=False)
    loose = train_stage(new_model(data, config, device="cpu"), data, progress=False)

    def alike(model):
        """Mean cosine between two items."""
        unit = F.normalize(model.embedding.weight.detach(), dim=1)
        return (unit @ unit.T).mean().item()

    assert loose.history[-1]["loss"] < 0.01 < 0.3 < frozen.history[-1]["loss"]  # a perfect loss …
    assert alike(loose) > 0.99 and alike(frozen) < 0.3  # … since all items lie in one direction
    good, bad = (metrics.evaluate_sessions(model, test, n_boot=1).recall for model in (frozen, loose))
    assert good > 0.25 and bad < 0.15 < metrics.evaluate_sessions(Popularity().fit(data), test, n_boot=1).recall


def test_the_given_table_is_kept_and_must_fit():
    data, table = random_sessions(), torch.randn(N_ITEMS, 5)
    config = replace(PLAIN, output="embedding")
    model = fit(data, config, device="cpu", progress=False, table=table)
    assert torch.equal(model.embedding.weight, table)
    with pytest.raises(ValueError, match=r"table is \(12, 4\)"):
        fit(data, config, device="cpu", progress=False, table=table[:, :4])
    with pytest.raises(ValueError, match="a table is used with output=embedding only"):
        fit(data, PLAIN, device="cpu", progress=False, table=table)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 50), st.integers(0, 2**31))
def test_nearest_in_blocks_is_nearest_for_any_sizes(n_items, k, block, seed):
    torch.manual_seed(seed)
    vectors, table = torch.randn(3, 4), torch.randn(n_items, 4)
    expected = F.cosine_similarity(vectors[:, None], table[None], dim=2).topk(min(k, n_items), dim=1)
    ids, cosines = nearest(vectors, table, k, block)
    torch.testing.assert_close(cosines, expected.values)
    assert torch.equal(ids, expected.indices)


@pytest.mark.parametrize("block", [1, 7, 50, 1000])
def test_nearest_in_blocks_is_nearest(block):
    vectors, table = torch.randn(9, 6), torch.randn(50, 6)
    expected = (F.normalize(vectors, dim=1) @ F.normalize(table, dim=1).T).topk(8, dim=1)
    ids, cosines = nearest(vectors, table, 8, block)
    assert torch.equal(ids, expected.indices)
    torch.testing.assert_close(cosines, expected.values)
    assert nearest(vectors, table, 80, block)[0].sort(dim=1).values.tolist() == [list(range(50))] * 9
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        nearest(vectors, table, 0)


def test_the_approximate_index_finds_most_neighbours():
    pytest.importorskip("faiss", reason="faiss-cpu is optional and not installed")
    torch.manual_seed(0)
    vectors, table = torch.randn(50, 16), torch.randn(5000, 16)
    _, found = approximate_index(table).search(F.normalize(vectors, dim=1).numpy(), 10)
    exact = nearest(vectors, table, 10)[0].tolist()
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), exact)]
    assert np.mean(shared) > 0.7


def test_without_faiss_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ImportError, match="pip install faiss-cpu"):
        approximate_index(torch.randn(3, 2))


# --- Recency ----------------------------------------------------------------------------------------------


def test_recent_sessions_are_the_last_ones():
    data = random_sessions(40)
    recent = recent_sessions(data, 1 / 4)
    assert recent.session_ids.tolist() == data.session_ids[30:].tolist() and recent.n_items == data.n_items
    assert recent_sessions(data, 1).n_sessions == 40 and recent_sessions(data, 1e-9).n_sessions == 1
    for fraction in (0, -0.5, 1.5):
        with pytest.raises(ValueError, match="fraction"):
            recent_sessions(data, fraction)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.floats(0, 1, exclude_min=True))
def test_the_recent_share_is_the_end_of_the_log(n, fraction):
    data = sessions([[0, 1]] * n)
    recent = recent_sessions(data, fraction)
    assert recent.n_sessions == max(1, round(fraction * n))
    assert recent.session_ids.tolist() == data.session_ids[n - recent.n_sessions:].tolist()


def test_fine_tuning_goes_on_from_the_trained_model(monkeypatch):
    """The second stage starts where the first ended, sees recent sessions alone, and has its own rate and epochs."""
    seen = []
    run = training.run

    def spy(model, train_epoch, n_epochs, *, optimizer, identity, **options):
        start = {k: v.clone() for k, v in model.state_dict().items()}
        history = run(model, train_epoch, n_epochs, optimizer=optimizer, identity=identity, **options)
        seen.append((identity["train"], n_epochs, optimizer.parts[0].param_groups[0]["lr"], start,
                     {k: v.clone() for k, v in model.state_dict().items()}))
        return history

    monkeypatch.setattr(training, "run", spy)
    data = random_sessions()
    model = fit(data, replace(PLAIN, recent=0.25, recent_epochs=3, recent_learning_rate=0.005), device="cpu",
                progress=False)
    (first, *_, end), (second, n_epochs, rate, start, _) = seen
    assert (first, second) == (data.sha256, recent_sessions(data, 0.25).sha256) and (n_epochs, rate) == (3, 0.005)
    assert all(torch.equal(start[k], end[k]) for k in end)
    assert [point["epoch"] for point in model.history] == [1, 2, 3, 4, 5]


# --- Training as a whole ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sees", ["past", "both"])
@pytest.mark.parametrize("output", ["softmax", "shared", "embedding"])
def test_a_step_runs_on_the_meta_device(sees, output):
    """Meta tensors mix with no others, so a tensor made on the CPU by mistake stops the step."""
    data = random_sessions()
    config = replace(PLAIN, output=output, click_dropout=0.2, embedding_dropout=0.1, output_dropout=0.1, max_steps=3)
    model = ImprovedRNN(data.item_ids, config, "meta", sees).train()
    teacher = None
    if output != "embedding":
        model.config = replace(config, privileged=0.2)
        teacher = ImprovedRNN(data.item_ids, config, "meta", "both")
    batch, _ = Padded(data, "meta").batch(np.flatnonzero(data.lengths > 1))
    loss = batch_loss(model, batch, teacher)
    loss.backward()
    assert loss.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_trains_to_the_same_model():
    models = [fit(random_sessions(), replace(PLAIN, privileged=0.2), device=device, progress=False)
              for device in ("cpu", "cuda")]
    assert models[1].device.type == "cuda"
    assert models[0].history[-1]["loss"] == pytest.approx(models[1].history[-1]["loss"], rel=0.05)


def test_every_model_is_the_paper_s():
    assert {name: (c.prefixes, c.click_dropout, c.recent, c.privileged, c.teacher, c.output)
            for name, c in MODELS.items()} == {
        "M": (False, 0.0, 0.0, 0.0, "future", "softmax"), "M1": (True, 0.25, 0.0, 0.0, "future", "softmax"),
        "M2": (True, 0.25, 0.25, 0.0, "future", "softmax"), "M3": (True, 0.25, 0.0, 0.2, "future", "softmax"),
        "M4": (True, 0.25, 0.0, 0.0, "future", "embedding")}
    assert {(c.embedding_size, c.hidden_size, c.max_steps) for c in MODELS.values()} == {(50, 100, 19)}


def test_the_default_settings_are_those_that_the_search_chose():
    search = results.load("improved-search")
    (chosen,) = (row["config"] for row in search["rows"] if (row["model"], row["metric"]) == ("softmax", "recall@20"))
    names = [*search["config"]["space"], "n_epochs"]
    assert {name: getattr(ImprovedConfig(), name) for name in names} == {name: chosen[name] for name in names}
    assert ImprovedConfig().recent_learning_rate == pytest.approx(ImprovedConfig().learning_rate / 5)
    assert ImprovedConfig().recent_epochs == 5


def test_without_options_a_fit_has_seed_0_and_a_patience_of_3_in_recall():
    data, valid = random_sessions(seed=4), random_sessions(seed=5)
    config = replace(PLAIN, n_epochs=9, learning_rate=0.03)
    options = {"device": "cpu", "valid": valid, "progress": False}
    said = fit(data, config, **options, seed=0, patience=3, metric="recall")
    assert len(said.history) < 9  # so that the patience counts
    assert fit(data, config, **options).history == said.history
    stage = train_stage(new_model(data, config, device="cpu"), data, valid=valid, progress=False)
    assert stage.history == said.history
    assert len(said.recommend([1]).ids) == 10


def test_a_new_table_is_small_and_a_new_bias_zero():
    model = new_model(random_sessions(), replace(PLAIN, embedding_size=2000, output="shared"), device="cpu")
    assert model.embedding.weight.std().item() == pytest.approx(0.1, rel=0.05)
    assert torch.equal(model.bias, torch.zeros(N_ITEMS)) and model.bias.requires_grad
    assert abs(model.embedding.weight.mean().item()) < 0.01


def test_a_new_model_is_that_of_its_seed_and_leaves_the_random_state_alone():
    data, state = random_sessions(), torch.get_rng_state()
    a, b, c = (new_model(data, PLAIN, device="cpu", seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a[name], b[name]) and not torch.equal(a[name], c[name]) for name in a)


def one_by_one(data, config, seed, n_epochs):
    """What a training without deletion and dropout computes, with PyTorch's optimiser and a loss a session."""
    model = new_model(data, config, device="cpu", seed=seed)
    optimizer = torch.optim.Adam(model.parameters(), config.learning_rate)
    losses = []
    for epoch in range(n_epochs):
        torch.manual_seed(seed * 1_000_003 + epoch)
        cut = batches_by_length(data.lengths - 1, config.batch_size, torch.randperm(data.n_sessions).numpy())
        total = 0
        for i in torch.randperm(len(cut)).tolist():
            pairs = [p for s in cut[i] for p in prefixes(data.items[data.offsets[s]:data.offsets[s + 1]].tolist())]
            pairs = pairs if config.prefixes else [p for a, p in enumerate(pairs)
                                                   if a + 1 == len(pairs) or len(pairs[a + 1][0]) == 1]
            loss = prefix_loss(model, pairs)
            optimizer.zero_grad()
            (loss / len(pairs)).backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / (sum(data.lengths - 1) if config.prefixes else np.count_nonzero(data.lengths > 1)))
    return model, losses


@pytest.mark.parametrize("every_prefix", [True, False])
def test_a_training_is_the_loop_over_its_batches(float64, every_prefix):
    data, config = random_sessions(12), replace(PLAIN, prefixes=every_prefix, batch_size=7)
    model = fit(data, config, device="cpu", seed=2, progress=False)
    slow, losses = one_by_one(data, config, 2, config.n_epochs)
    assert [point["loss"] for point in model.history] == pytest.approx(losses, rel=1e-9)
    for name, tensor in slow.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=1e-11)


@pytest.mark.parametrize("sees", ["future", "both"])
def test_m3_is_a_student_of_a_teacher_trained_first(sees):
    data, config = random_sessions(), replace(PLAIN, privileged=0.3, teacher=sees, recent=0.5, recent_epochs=1)
    options = {"device": "cpu", "seed": 3, "progress": False}
    teacher = new_model(data, replace(PLAIN, teacher=sees), device="cpu", seed=3, sees=sees)
    train_stage(teacher, data, seed=3, progress=False)
    student, by_hand, alone = (fit(data, c, teacher=t, **options) for c, t in (
        (config, None), (config, teacher), (replace(config, privileged=0.0), None)))
    for name, tensor in by_hand.state_dict().items():
        assert torch.equal(student.state_dict()[name], tensor)
    assert student.history == by_hand.history != alone.history


def test_m4_keeps_the_table_of_a_shared_model_trained_first():
    data, config, options = random_sessions(), replace(PLAIN, output="embedding"), {"device": "cpu", "progress": False}
    table = fit(data, replace(config, output="shared"), seed=3, **options).embedding.weight
    model = fit(data, config, seed=3, **options)
    assert torch.equal(model.embedding.weight, table)
    assert model.history == fit(data, config, seed=3, table=table, **options).history


@pytest.mark.parametrize("metric", ["recall", "mrr", "likelihood"])
def test_on_validation_sessions_the_best_epoch_by_the_metric_is_kept(metric):
    data, valid = random_sessions(seed=4), random_sessions(seed=5)
    config = replace(PLAIN, n_epochs=8, learning_rate=0.03)
    model = fit(data, config, device="cpu", valid=valid, patience=3, metric=metric, progress=False)
    values = [point[metric] for point in model.history]
    stopped = len(values) - 1 - values.index(max(values))
    assert stopped == 3 if len(values) < 8 else stopped <= 3
    scores = metrics.evaluate_sessions(model, valid, k=20, n_boot=1)
    kept = {"recall": scores.recall, "mrr": scores.mrr, "likelihood": log_likelihood(model, valid)}
    assert kept == {name: model.history[values.index(max(values))][name] for name in kept}
    assert scores.k == 20


def test_each_epoch_of_its_own_stages_is_reported_once():
    points, config = [], replace(PLAIN, privileged=0.3, recent=0.5, recent_epochs=3)
    model = fit(random_sessions(), config, device="cpu", progress=False, callback=points.append)
    assert points == model.history and [point["epoch"] for point in points] == [1, 2, 3, 4, 5]


class Bar:
    """A progress bar that keeps what it was told."""

    def __init__(self, n_steps, shown):
        self.n_steps, self.shown, self.n, self.moves = n_steps, shown, 0, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, n=1):
        self.n += n
        self.moves.append(n)


def test_the_bar_counts_the_steps_and_starts_where_a_run_resumes(tmp_path, monkeypatch):
    bars = []
    monkeypatch.setattr(training, "progress_bar", lambda *options: bars.append(Bar(*options)) or bars[-1])
    data = random_sessions()
    n_steps = len(batches_by_length(data.lengths - 1, PLAIN.batch_size, np.arange(data.n_sessions)))

    def stop(point):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(data, PLAIN, device="cpu", checkpoint=tmp_path / "run", callback=stop, progress=False)
    fit(data, PLAIN, device="cpu", checkpoint=tmp_path / "run")
    assert [(bar.n_steps, bar.n, bar.shown) for bar in bars] == [(2 * n_steps, n_steps, False),
                                                                 (2 * n_steps, 2 * n_steps, True)]
    assert [bar.moves for bar in bars] == [[0] + [1] * n_steps, [n_steps] + [1] * n_steps]


def test_scoring_has_no_dropout_even_in_training_mode():
    model, data = network(output_dropout=0.5, embedding_dropout=0.5), random_sessions()
    for ask in (lambda: torch.cat([scores for _, scores in model.train().score_sessions(data)]),
                lambda: torch.as_tensor(model.train().recommend([1, 2], k=N_ITEMS).scores)):
        assert torch.equal(ask(), ask())


def test_in_training_units_of_the_states_are_dropped_and_the_others_doubled():
    model, (batch, _) = network(output_dropout=0.5), whole(random_sessions())
    kept = model.eval().hidden(batch)
    dropped = model.train().hidden(batch)
    assert torch.equal(dropped, torch.where(dropped == 0, 0, 2 * kept))
    assert 0.4 < (dropped == 0).float().mean() < 0.6


def test_in_training_units_of_the_embeddings_are_dropped(monkeypatch):
    model, (batch, _) = network(embedding_dropout=0.3).train(), whole(random_sessions())
    asked, dropout = [], F.dropout
    monkeypatch.setattr(F, "dropout", lambda x, *options: asked.append((x.shape[-1], *options)) or dropout(x, *options))
    model.hidden(batch)
    assert asked == [(5, 0.3, True), (7, 0.0, True)]


def fit_and_report_all_stages(monkeypatch, **options):
    """`fit`, whose callback and history have the epochs of all stages, the teacher's and the table's too."""
    run = training.run

    def fit_all(checkpoint=None, callback=None):
        history = []

        def stage(*args, **settings):
            done = run(*args, **settings | {"callback": callback})
            history.extend(done)
            return done

        monkeypatch.setattr(training, "run", stage)
        model = fit(**options, checkpoint=checkpoint)
        return SimpleNamespace(history=history, state_dict=model.state_dict)

    return fit_all


THREE_STAGES = {"privileged": 0.3, "teacher": "both", "recent": 0.5, "recent_epochs": 2}
TWO_STAGES = {"output": "embedding"}


@pytest.mark.parametrize("changes,saves", [(THREE_STAGES, saves) for saves in (1, 2, 3, 4, 5)]
                         + [(TWO_STAGES, saves) for saves in (1, 2, 3)], ids=str)
def test_a_run_killed_in_any_stage_resumes_to_the_same_numbers(tmp_path, monkeypatch, changes, saves):
    resumable = fit_and_report_all_stages(
        monkeypatch, train=random_sessions(20), config=replace(PLAIN, click_dropout=0.2, **changes), device="cpu",
        seed=1, progress=False, valid=random_sessions(10, seed=9))
    resumed, _ = check_resumes(resumable, tmp_path / "run", saves)
    assert len(resumed.history) == (6 if changes is THREE_STAGES else 4)
    stages = {"teacher", "model", "recent"} if changes is THREE_STAGES else {"table", "model"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == stages


def test_log_likelihood_is_that_of_the_softmax():
    model, data = network(), random_sessions()
    with torch.no_grad():
        expected = -batch_loss(model.eval(), whole(data)[0])
    assert log_likelihood(model, data) == pytest.approx(expected.item(), rel=1e-5)
    assert log_likelihood(Popularity().fit(data), data) != pytest.approx(expected.item(), rel=1e-2)


def test_same_seed_same_model_other_seed_other_model():
    config = replace(PLAIN, click_dropout=0.25, output_dropout=0.5)
    a, b, c = (fit(random_sessions(), config, device="cpu", seed=s, progress=False) for s in (3, 3, 4))
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, b.state_dict()[name]) and not torch.equal(tensor, c.state_dict()[name])
    assert a.history == b.history != c.history


def test_every_epoch_and_every_seed_deletes_other_clicks(monkeypatch):
    drawn = []
    monkeypatch.setattr(improved, "delete_clicks", lambda mask, rate: drawn.append(delete_clicks(mask, rate)) or mask)
    for seed in (3, 4):
        fit(sessions([[0, 1, 2, 3, 4, 5] * 5]), replace(PLAIN, click_dropout=0.5), device="cpu", seed=seed,
            progress=False)
    assert len({str(keep.tolist()) for keep in drawn}) == len(drawn) == 4


@pytest.mark.parametrize("output", ["softmax", "shared", "embedding"])
def test_saved_models_recommend_the_same(tmp_path, output):
    model = fit(random_sessions(), replace(PLAIN, output=output), device="cpu", progress=False)
    model.save(tmp_path / "model")
    loaded = ImprovedRNN.load(tmp_path / "model", device="cpu")
    ours, theirs = (m.recommend([3, 1], k=5) for m in (model, loaded))
    assert ours.ids.tolist() == theirs.ids.tolist() and loaded.history == model.history
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5)


def test_the_item_vectors_of_a_loaded_output_embedding_stay_fixed(tmp_path):
    """Trained on, they would all become equal: the loss of this output is 0 then, whatever comes next."""
    data = random_sessions()
    for output in ("embedding", "shared"):
        fit(data, replace(PLAIN, output=output), device="cpu", progress=False).save(tmp_path / output)
        loaded = ImprovedRNN.load(tmp_path / output, device="cpu")
        before = loaded.embedding.weight.detach().clone()
        train_stage(loaded, data, progress=False)
        assert torch.equal(before, loaded.embedding.weight) == (output == "embedding")


def test_an_unknown_metric_is_refused_before_the_first_epoch():
    data = random_sessions()
    with pytest.raises(ValueError, match="metric='ndcg'; allowed are recall, mrr and likelihood"):
        fit(data, PLAIN, device="cpu", valid=data, metric="ndcg", progress=False, callback=pytest.fail)


def test_a_teacher_is_saved_as_one_and_does_not_recommend(tmp_path):
    network("future").save(tmp_path / "teacher")
    teacher = ImprovedRNN.load(tmp_path / "teacher", device="cpu")
    assert teacher.sees == "future"
    with pytest.raises(ValueError, match="cannot recommend"):
        teacher.recommend([1])


SIZE, RATE = ("an integer of at least 1", [0, -1, 1.5, True, "3", None]), ("a number above 0", [0, -1, np.nan, np.inf])
SHARE = ("a number of at least 0 and at most 1", [-0.1, 1.1, np.nan, "all"])
DROPOUT = ("a number of at least 0 and below 1", [-0.1, 1, np.nan, True])
ALLOWED = {  # of each field: what is allowed, in words, and what is refused
    "embedding_size": SIZE, "hidden_size": SIZE, "batch_size": SIZE, "n_epochs": SIZE, "max_steps": SIZE,
    "recent_epochs": SIZE, "learning_rate": RATE, "recent_learning_rate": RATE, "embedding_dropout": DROPOUT,
    "output_dropout": DROPOUT, "click_dropout": DROPOUT, "recent": SHARE, "privileged": SHARE,
    "prefixes": ("True or False", [1, 0, "no", None]), "teacher": ("one of future, both", ["past", None]),
    "output": ("one of softmax, shared, embedding", ["cosine", True])}


def test_every_setting_has_a_limit():
    assert set(ALLOWED) == {field.name for field in fields(ImprovedConfig)}


@pytest.mark.parametrize("name,value", [(name, value) for name, (_, bad) in ALLOWED.items() for value in bad])
def test_a_setting_that_is_not_allowed_is_named(name, value):
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r}; it must be {ALLOWED[name][0]}")):
        ImprovedConfig(**{name: value})


def test_the_limits_themselves_are_allowed():
    ImprovedConfig(embedding_size=1, hidden_size=1, batch_size=1, n_epochs=1, max_steps=1, recent_epochs=1, recent=1,
                   privileged=1, embedding_dropout=0, output_dropout=0, click_dropout=0, learning_rate=1e-9)
    assert ImprovedConfig(hidden_size=np.int64(7)) == ImprovedConfig(hidden_size=7)


def test_ideas_that_exclude_each_other_say_so():
    with pytest.raises(ValueError, match="no distribution"):
        ImprovedConfig(output="embedding", privileged=0.2)
    ImprovedConfig(output="shared", privileged=0.2)


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(ValueError, match="two clicks or more"):
        fit(sessions([[1], [2]]), PLAIN, device="cpu", progress=False)


def test_a_teacher_of_another_catalogue_is_refused():
    other = SimpleNamespace(item_ids=np.arange(3), eval=lambda: None)
    with pytest.raises(ValueError, match="catalogue"):
        fit(random_sessions(), replace(PLAIN, privileged=0.2), device="cpu", progress=False, teacher=other)
    with pytest.raises(ValueError, match="a teacher is used with privileged above 0 only"):
        fit(random_sessions(), PLAIN, device="cpu", progress=False, teacher=other)


# --- As a recommender -------------------------------------------------------------------------------------


class Improved(RecommenderContract):
    changes = {}
    rounding = 1e-13  # measured: 5e-15

    def fit(self, train):
        config = ImprovedConfig(embedding_size=16, hidden_size=32, batch_size=32, learning_rate=0.01, n_epochs=15,
                                embedding_dropout=0.0, output_dropout=0.0, click_dropout=0.1)
        # In float64 the order of a sum does not show; in float32 scores of size ten would differ by more than 1e-6.
        return fit(train, replace(config, **self.changes), device="cpu", progress=False).double()


class TestM1IsARecommender(Improved):
    pass


class TestM2IsARecommender(Improved):
    changes = {"recent": 0.25}


class TestM3IsARecommender(Improved):
    changes = {"privileged": 0.2, "teacher": "both"}


class TestM4IsARecommender(Improved):
    changes = {"output": "embedding"}


class TestASharedTableIsARecommender(Improved):
    changes = {"output": "shared"}
