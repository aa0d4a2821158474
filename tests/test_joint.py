"""The joint model against its slow forms: one review after another, the LSTM's equations by hand."""

import json
from dataclasses import asdict, fields, replace
from functools import partial

import numpy as np
import pytest
import torch

from resume import check_resumes
from rnnbook import joint, rrn, training
from rnnbook.interactions import DAY, RatingData, ReviewData
from rnnbook.joint import (
    END,
    UNKNOWN,
    Joint,
    JointConfig,
    Texts,
    alphabet_of,
    batch_loss,
    decode,
    encode,
    evaluate_text,
    fit,
    new_model,
    padded_batches,
    text_loss,
    warm_up,
)
from rnnbook.rrn import RRN
from rnnbook.worlds import ReviewWorld

N_USERS, N_ITEMS = 5, 6
SMALL = JointConfig(hidden_size=5, embedding_size=4, dynamic_size=3, stationary_size=2, dropout=0.0, cold_start=0.0,
                    batch_size=20, n_epochs=2, learning_rate=0.01, character_size=4, joint_size=3, text_hidden_size=6,
                    min_count=1, text_batch=100, warm_up=1, text_weight=0.7)
WORDS = ["good", "bad", "so so", "ä ö ü", "🙂👍", "", "tab\there\n", "a" * 40]


def some_reviews(n=50, seed=0, start=0.0, words=WORDS):
    rng = np.random.default_rng(seed)
    texts = [" ".join(words[i] for i in rng.integers(len(words), size=rng.integers(0, 4))) for _ in range(n)]
    ratings = RatingData(rng.integers(N_USERS, size=n), rng.integers(N_ITEMS, size=n),
                         rng.integers(1, 6, size=n).astype(float),
                         start + np.sort(rng.integers(24 * 30, size=n)) * 3600.0,
                         np.arange(100, 100 + N_USERS), np.array([f"item-{i}" for i in range(N_ITEMS)], dtype=object))
    characters = np.array([ord(c) for c in "".join(texts)], dtype=np.uint32)
    return ReviewData(ratings, characters, np.append(0, np.cumsum([len(t) for t in texts])))


TRAIN, LATER = some_reviews(), some_reviews(20, seed=1, start=31 * DAY)
WARM = torch.zeros(N_USERS, dtype=torch.bool)  # nobody is cold


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def untrained(**changes):
    model = new_model(TRAIN, replace(SMALL, **changes), device="cpu")
    with torch.no_grad():
        for side in model.sides:  # large enough to matter in a comparison
            side.anchor.weight.mul_(10)
            side.stationary.weight.mul_(5)
            side.bias.weight.add_(0.3 * (side.anchor.weight[:, :1] != 0))
    return model.eval()


def everything(model):
    """All training ratings as one batch of users: the Steps, and the Batch."""
    steps = model.steps(TRAIN.ratings)
    with torch.no_grad():
        fixed = model.factors_at_all_steps(model.items, steps[1])
    return steps, rrn.batch_of(model, 0, np.arange(N_USERS), TRAIN.ratings, steps, fixed, WARM)


def nats_by_hand(writer, symbols, x):
    """−log Pr of a review, and of its end, by the paper's equations: layer by layer, gate by gate."""
    layers = writer.lstm.num_layers
    h = [x.new_zeros(writer.lstm.hidden_size) for _ in range(layers)]
    c = [x.new_zeros(writer.lstm.hidden_size) for _ in range(layers)]
    total = x.new_zeros(())
    for before, after in zip([END, *symbols], [*symbols, END]):
        y = torch.cat([writer.character.weight[before], x])
        for k in range(layers):
            gates = (getattr(writer.lstm, f"weight_ih_l{k}") @ y + getattr(writer.lstm, f"bias_ih_l{k}")
                     + getattr(writer.lstm, f"weight_hh_l{k}") @ h[k] + getattr(writer.lstm, f"bias_hh_l{k}"))
            i, f, g, o = gates.chunk(4)
            c[k] = torch.sigmoid(f) * c[k] + torch.sigmoid(i) * torch.tanh(g)
            h[k] = y = torch.sigmoid(o) * torch.tanh(c[k])
        total = total - torch.log_softmax(writer.out.weight @ y + writer.out.bias, 0)[after]
    return total


def gradients(model):
    return {name: p.grad.to_dense().clone() for name, p in model.named_parameters() if p.grad is not None}


# --- Characters -------------------------------------------------------------------------------------------


def test_the_alphabet_holds_what_is_frequent_and_the_rest_is_one_symbol():
    reviews = some_reviews(1)
    reviews = replace(reviews, characters=np.array([ord(c) for c in "abab🙂c\x00\x00"], dtype=np.uint32))
    alphabet = alphabet_of(reviews, 2)
    assert alphabet == "\x00ab"
    symbols = encode(reviews.characters, alphabet)
    assert symbols.dtype == np.int32 and symbols.tolist() == [3, 4, 3, 4, UNKNOWN, UNKNOWN, 2, 2]
    assert decode(symbols, alphabet) == "abab\ufffd\ufffd\x00\x00"
    assert encode(reviews.characters, "").tolist() == [UNKNOWN] * 8


def test_text_comes_back_from_its_symbols():
    text = "".join(WORDS)
    alphabet = alphabet_of(TRAIN, 1)
    assert decode(encode(np.array([ord(c) for c in text], dtype=np.uint32), alphabet), alphabet) == text


def test_a_lone_surrogate_is_no_letter():
    reviews = replace(some_reviews(1), characters=np.array([0xD800, 0xDFFF] * 9 + [97], dtype=np.uint32))
    assert alphabet_of(reviews, 1) == "a"
    reviews = replace(reviews, characters=np.array([0xE000, 0xD7FF], dtype=np.uint32))  # those beside them are
    assert alphabet_of(reviews, 1) == "\ud7ff\ue000"


def test_packed_reviews_by_hand():
    texts = Texts(replace(some_reviews(1), characters=np.array([97, 98, 97, 98, 98], dtype=np.uint32),
                          offsets=np.array([0, 2, 2, 5])), "ab", "cpu")
    inputs, targets, place, row = texts.pack(np.array([2, 0]))
    assert inputs.T.tolist() == [[0, 2, 3, 3], [0, 2, 3, 0]]
    assert targets.tolist() == [2, 3, 3, 0, 2, 3, 0]
    assert row.tolist() == [0, 0, 0, 0, 1, 1, 1] and place.tolist() == [0, 1, 2, 3, 0, 1, 2]


# --- The loss against one review after another, in float64 ------------------------------------------------


def test_padded_batches_are_full_but_not_overfull_and_hold_each_review_once():
    lengths = np.array([3, 0, 9, 4, 4, 120, 1, 3])
    batches = padded_batches(lengths, 20, np.array([7, 6, 5, 4, 3, 2, 1, 0]))
    assert [batch.tolist() for batch in batches] == [[5], [3, 2], [6, 7, 0, 4]]  # 121 alone, 2 × 10, 4 × 5
    assert padded_batches(lengths, 20, np.array([1])) == padded_batches(lengths, 20, np.array([], dtype=int)) == []
    lengths = np.random.default_rng(0).geometric(0.01, size=3000) - 1
    batches = padded_batches(lengths, 4096, np.arange(3000))
    assert np.array_equal(np.sort(np.concatenate(batches)), np.flatnonzero(lengths))
    padded = np.array([(lengths[batch].max() + 1) * len(batch) for batch in batches])
    assert (padded <= 4096).all() and padded.sum() < 1.1 * (lengths + 1).sum()


def most_kept(n_reviews, text_batch):
    """The most bytes that back-propagation keeps at a time for the text of so many reviews of forty characters."""
    model = untrained(text_batch=text_batch)
    texts, now, most = Texts(some_reviews(n_reviews, words=["a" * 40]), model.alphabet, "cpu"), 0, 0

    class Kept:
        def __init__(self, tensor):
            nonlocal now, most
            self.tensor = tensor
            now += tensor.nbytes
            most = max(most, now)

        def __del__(self):
            nonlocal now
            now -= self.tensor.nbytes

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        x = torch.rand(n_reviews, SMALL.joint_size)
        loss = text_loss(model.writer, texts, np.arange(n_reviews), x.requires_grad_(), 1.0, text_batch)
        loss.backward()
    return most


def test_what_is_kept_does_not_grow_with_the_text_of_a_batch():
    small, large = most_kept(100, 1000), most_kept(1000, 1000)
    assert large < 1.2 * small
    assert most_kept(1000, 10**6) > 5 * large  # at once it would


def test_nats_and_x_joint_are_those_of_the_equations(float64):
    model = untrained()
    texts, (_, batch) = Texts(TRAIN, model.alphabet, "cpu"), everything(model)
    x = model.writer.x_joint(batch.users, batch.items)
    (u, a, p, c), (m, b, q, d) = batch.users, batch.items
    for k in (0, 7, 31):
        terms = torch.cat([u[k], m[k], a[k], b[k], p[k], q[k], c[k, None], d[k, None]])
        by_hand = torch.tanh(model.writer.to_joint.weight @ terms + model.writer.to_joint.bias)
        np.testing.assert_allclose(x[k].detach(), by_hand.detach())
    nats = model.writer.nats(texts, batch.ratings, x)
    for k, i in enumerate(batch.ratings.tolist()):
        symbols = encode(TRAIN.characters[TRAIN.offsets[i]:TRAIN.offsets[i + 1]], model.alphabet)
        by_hand = nats_by_hand(model.writer, symbols, x[k])
        assert nats[k].item() == pytest.approx(by_hand.item(), rel=1e-10)


def test_an_items_own_vector_is_for_the_writer_alone(float64):
    model = untrained(writer_item_size=4)
    table = model.writer_items.weight
    assert table.shape == (N_ITEMS + 1, 4) and not table.any()
    with torch.no_grad():
        table[:-1] = torch.randn(N_ITEMS, 4)
    steps, batch = everything(model)
    assert set(model.state_dict()) - set(untrained().state_dict()) == {"writer_items.weight"}
    indices = TRAIN.ratings.items[batch.ratings]
    x = model.x_joint(batch.users, batch.items, indices)
    plain = model.writer.x_joint(batch.users, batch.items, torch.zeros(len(indices), 4))
    weight = model.writer.to_joint.weight[:, -4:]
    np.testing.assert_allclose(torch.atanh(x).detach(), (torch.atanh(plain) + table[indices] @ weight.T).detach())
    loss, _ = batch_loss(model, TRAIN.ratings, steps, batch, Texts(TRAIN, model.alphabet, "cpu"))
    loss.backward()
    assert model.writer_items.weight.grad.to_dense()[:-1].abs().sum(1).all()
    # A new item has the vector 0, in whichever catalogue it stands; ratings never see the table.
    later = LATER.ratings
    stranger = replace(LATER, ratings=replace(later, item_ids=np.append(later.item_ids[1:], "item-new").astype(object)))
    scores = evaluate_text(model, stranger)
    with torch.no_grad():
        table[:-1] = table[:-1].roll(-1, dims=0)
    rolled = evaluate_text(model, stranger)
    new = stranger.ratings.items[stranger.lengths > 0] == N_ITEMS - 1
    assert new.any() and np.array_equal(scores.nats[new], rolled.nats[new]) and (scores.nats != rolled.nats)[~new].all()
    asked = [100], ["item-2"], [later.times[0]]
    before = model.predict(*asked)
    with torch.no_grad():
        table.zero_()
    assert model.predict(*asked) == before


def test_a_model_with_vectors_for_the_writer_trains_and_loads(tmp_path):
    model = fit(TRAIN, replace(SMALL, writer_item_size=4), device="cpu", progress=False)
    assert model.writer_items.weight[:-1].abs().sum(1).all() and not model.writer_items.weight[-1].any()
    model.save(tmp_path / "model")
    loaded = Joint.load(tmp_path / "model", device="cpu")
    assert loaded.write(100, "item-2", seed=1) == model.write(100, "item-2", seed=1)


def slow_loss(model):
    """The loss of `everything`, written out review by review."""
    steps, batch = everything(model)
    loss, _ = rrn.batch_loss(model, TRAIN.ratings, steps, batch)
    x = model.writer.x_joint(batch.users, batch.items)
    for k, i in enumerate(batch.ratings.tolist()):
        symbols = encode(TRAIN.characters[TRAIN.offsets[i]:TRAIN.offsets[i + 1]], model.alphabet)
        if len(symbols):
            loss = loss + 0.7 * nats_by_hand(model.writer, symbols, x[k]) / (len(symbols) + 1) / len(batch.ratings)
    return loss


@pytest.mark.claim("text-reaches-both")
@pytest.mark.parametrize("text_batch", [1, 100, 10_000])
def test_loss_and_gradient_are_those_written_out_however_reviews_are_batched(float64, text_batch):
    model = untrained(text_batch=text_batch)
    texts, (steps, batch) = Texts(TRAIN, model.alphabet, "cpu"), everything(model)
    loss, error = batch_loss(model, TRAIN.ratings, steps, batch, texts)
    assert not any(p.grad is not None for p in model.parameters())  # a loss computes a loss
    (3 * loss).backward()
    found = gradients(model)

    model.zero_grad()
    slow = slow_loss(model)
    (3 * slow).backward()
    wanted = gradients(model)
    assert loss.item() == pytest.approx(slow.item(), rel=1e-10)
    assert error.item() == rrn.batch_loss(model, TRAIN.ratings, steps, batch)[1].item()
    assert found.keys() == wanted.keys() and any(name.startswith("writer.lstm") for name in found)
    for name, grad in wanted.items():
        np.testing.assert_allclose(found[name], grad, rtol=1e-8, atol=1e-12, err_msg=name)
        assert grad.abs().max() > 1e-6, name  # or the comparison would say nothing


@pytest.mark.claim("text-reaches-both")
def test_the_text_reaches_states_and_static_terms_of_both(float64):
    model = untrained(joint=True)
    batch = rrn.batch_of(model, 0, np.arange(N_USERS), TRAIN.ratings, model.steps(TRAIN.ratings), None, WARM)
    x = model.writer.x_joint(batch.users, batch.items)
    text_loss(model.writer, Texts(TRAIN, model.alphabet, "cpu"), batch.ratings, x, 1.0, 500).backward()
    reached = {name for name, grad in gradients(model).items() if grad.abs().max() > 1e-9}
    for side in ("users", "items"):
        assert {f"{side}.{part}" for part in ("lstm.weight_ih_l0", "lstm.weight_hh_l0", "embed.weight", "anchor.weight",
                                              "stationary.weight", "bias.weight", "to_factors.weight")} <= reached


def test_without_a_review_there_is_no_text_loss(float64):
    model, silent = untrained(), replace(TRAIN, characters=TRAIN.characters[:0], offsets=0 * TRAIN.offsets)
    steps, batch = everything(model)
    loss, _ = batch_loss(model, TRAIN.ratings, steps, batch, Texts(silent, model.alphabet, "cpu"))
    assert loss.item() == rrn.batch_loss(model, TRAIN.ratings, steps, batch)[0].item()
    loss.backward()
    assert not any("writer.lstm" in name for name in gradients(model))


def test_dropout_falls_on_x_joint_in_training_alone():
    model = untrained(dropout=0.8)
    _, batch = everything(model)
    assert (model.writer.x_joint(batch.users, batch.items) != 0).all()
    x = model.train().writer.x_joint(batch.users, batch.items)
    assert 0.7 < (x == 0).float().mean() < 0.9


def test_a_step_runs_on_the_meta_device():
    model = Joint(TRAIN.ratings.item_ids, SMALL, "meta", user_ids=TRAIN.ratings.user_ids, alphabet="ab",
                  scale={"mean": 3.0, "std": 1.0, "start": 0.0, "span": DAY}).train()
    texts = Texts(TRAIN, "ab", "meta")
    nats = model.writer.nats(texts, np.arange(9), torch.empty(9, SMALL.joint_size, device="meta"))
    nats.sum().backward()
    assert nats.device.type == "meta" and nats.shape == (9,)


# --- What is known when -----------------------------------------------------------------------------------


@pytest.mark.claim("rating-reads-no-review")
def test_no_text_moves_a_rating_and_none_another_text():
    model = untrained()
    before, scores = model.follow(LATER.ratings), evaluate_text(model, LATER)
    other = replace(LATER, characters=LATER.characters.copy())
    other.characters[other.offsets[-2]:] = ord("b")  # the last review
    written = np.flatnonzero(LATER.lengths)
    assert written[-1] == LATER.n_ratings - 1
    after = evaluate_text(model, other)
    np.testing.assert_array_equal(model.follow(other.ratings), before)
    np.testing.assert_array_equal(after.nats[:-1], scores.nats[:-1])
    assert after.nats[-1] != scores.nats[-1]


@pytest.mark.claim("rating-reads-no-review")
def test_a_rating_moves_only_what_is_written_later():
    model, k = untrained(), 8
    news = replace(LATER, ratings=replace(LATER.ratings, ratings=LATER.ratings.ratings.copy()))
    news.ratings.ratings[k] += 3
    moved = np.abs(evaluate_text(model, news).nats - evaluate_text(model, LATER).nats) > 1e-7
    place = np.flatnonzero(LATER.lengths)
    assert moved.any() and (LATER.ratings.times[place[moved]] > LATER.ratings.times[k]).all()


# --- Training ---------------------------------------------------------------------------------------------


def test_perplexity_is_the_same_however_reviews_are_batched(float64):
    model = untrained()
    scores = evaluate_text(model, LATER)
    model.config = replace(SMALL, text_batch=1)
    np.testing.assert_allclose(evaluate_text(model, LATER).nats, scores.nats, rtol=1e-12)
    n = LATER.lengths[LATER.lengths > 0]
    assert scores.perplexity == pytest.approx(np.exp(scores.nats.sum() / (n + 1).sum()))
    words = sum(len(LATER.text(i).split()) for i in range(LATER.n_ratings))
    assert scores.word_perplexity == pytest.approx(np.exp(scores.nats.sum() / words))
    scores = evaluate_text(model, some_reviews(10, start=31 * DAY, words=[" "]))  # no word at all counts as one
    assert np.log(scores.word_perplexity) == pytest.approx(scores.nats.sum())


def test_training_predicts_better_than_the_frequency_of_characters():
    world = ReviewWorld(n_items=150, n=3)
    train, valid, _ = world.split(world.sample())
    config = replace(SMALL, n_epochs=6, warm_up=4, text_hidden_size=24, text_batch=1000, learning_rate=0.02,
                     text_weight=5.0)
    model = fit(train, config, device="cpu", progress=False)
    _, counts = np.unique(train.characters, return_counts=True)
    p = np.append(counts, train.n_ratings) / (counts.sum() + train.n_ratings)
    frequency, uniform = np.exp(-(p * np.log(p)).sum()), len(p)
    found = evaluate_text(model, valid).perplexity
    assert found < 0.35 * frequency < frequency < uniform
    assert found > world.oracle(train, valid).expected_nats.character_perplexity * 0.95


def test_under_autocast_it_trains_as_well():
    whole = fit(TRAIN, SMALL, device="cpu", progress=False)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = fit(TRAIN, SMALL, device="cpu", progress=False)
    assert any(not torch.equal(a, b) for a, b in zip(whole.parameters(), rounded.parameters()))
    assert {p.dtype for p in rounded.parameters()} == {torch.float32}
    a, b = ([point["loss"] for point in model.history] for model in (whole, rounded))
    assert b == pytest.approx(a, rel=0.01)
    a, b = (joint.evaluate_text(model, LATER).perplexity for model in (whole, rounded))
    assert b == pytest.approx(a, rel=0.01)


def test_the_writer_is_warmed_up_before_the_first_epoch(monkeypatch):
    """With x_joint = 0, so many times on every review; the weight of each is a share of its batch."""
    calls, real = [], joint.text_loss
    monkeypatch.setattr(joint, "text_loss", lambda writer, texts, rows, x, weight, most: (
        calls.append((rows, bool(x.any()), weight, most)), real(writer, texts, rows, x, weight, most))[1])
    fit(TRAIN, replace(SMALL, warm_up=2, n_epochs=1), device="cpu", progress=False)
    n = [with_x for _, with_x, *_ in calls].index(True)
    assert not any(with_x for _, with_x, *_ in calls[:n]) and all(with_x for _, with_x, *_ in calls[n:])
    counts = np.bincount(np.concatenate([rows for rows, *_ in calls[:n]]), minlength=TRAIN.n_ratings)
    assert (counts == 2 * (TRAIN.lengths > 0)).all()
    for rows, with_x, weight, most in calls:
        assert weight == (SMALL.text_weight if with_x else 1.0) / len(rows) and most == SMALL.text_batch
    ends = [rows[-1] for rows, *_ in calls[:n // 2]], [rows[-1] for rows, *_ in calls[n // 2:n]]
    assert ends[0] != ends[1]  # in another order each time


def test_warming_up_moves_the_writer_alone():
    model = untrained(warm_up=3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = training.Adam(dict(model.named_parameters()), 0.01)
    warm_up(model, Texts(TRAIN, model.alphabet, "cpu"), optimizer)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {name.split(".")[1] for name in moved} == {"character", "lstm", "out"}
    assert all(name.startswith("writer.") for name in moved)


def test_without_weight_the_text_is_not_run():
    model = untrained(text_weight=0.0)
    steps, batch = everything(model)
    loss, _ = batch_loss(model, TRAIN.ratings, steps, batch, texts=None)
    assert loss.item() == rrn.batch_loss(model, TRAIN.ratings, steps, batch)[0].item()


def test_without_weight_the_writer_learns_nothing_and_the_ratings_do():
    before = new_model(TRAIN, replace(SMALL, text_weight=0.0), device="cpu").state_dict()
    after = fit(TRAIN, replace(SMALL, text_weight=0.0), device="cpu", progress=False).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any(name.startswith("writer") for name in changed)


@pytest.mark.parametrize("saves", [1, 2])
def test_a_killed_run_resumes_to_the_same_numbers(tmp_path, saves):
    config, options = replace(SMALL, n_epochs=3, dropout=0.3, cold_start=0.4), {"seed": 1, "valid": LATER}
    check_resumes(partial(fit, TRAIN, config, device="cpu", progress=False, **options), tmp_path / "run", saves)
    edited = replace(TRAIN, characters=TRAIN.characters[::-1].copy())
    with pytest.raises(ValueError, match="train"):
        fit(edited, config, device="cpu", progress=False, checkpoint=tmp_path / "run", **options)


def test_long_reviews_and_odd_characters_go_through():
    texts = ["x" * 20_000, "", "\x00\x07\u202e", "🙂" * 300, "é"]
    ratings = TRAIN.ratings.take(slice(5))
    odd = ReviewData(ratings, np.array([ord(c) for c in "".join(texts)], dtype=np.uint32),
                     np.append(0, np.cumsum([len(t) for t in texts])))
    model = fit(odd, replace(SMALL, n_epochs=1, warm_up=0), device="cpu", progress=False)
    assert np.isfinite(model.history[0]["loss"]) and all(torch.isfinite(p).all() for p in model.parameters())
    assert set(model.write(100, "item-1", seed=3)) <= set(model.alphabet) | {"\ufffd"}


def test_without_any_text_it_trains_but_has_no_perplexity():
    silent = replace(TRAIN, characters=TRAIN.characters[:0], offsets=0 * TRAIN.offsets)
    model = fit(silent, SMALL, device="cpu", progress=False)
    assert model.alphabet == ""
    with pytest.raises(ValueError, match="no review"):
        evaluate_text(model, replace(silent, ratings=LATER.ratings.take(slice(0)), offsets=silent.offsets[:1]))
    with pytest.raises(ValueError, match="no ratings to train on"):
        fit(TRAIN.take(slice(0)), SMALL, device="cpu", progress=False)
    with pytest.raises(ValueError, match="no ratings to validate on"):
        fit(TRAIN, SMALL, valid=LATER.take(slice(0)), device="cpu", progress=False, callback=pytest.fail)


WRONG = {"Size": [0, -1, 2.5, "3", True, None], "Count": [-1, 0.5, "1", None],
         "Weight": [-0.1, np.nan, "1", True, None]}
OWN = [field for field in fields(JointConfig) if field.name in JointConfig.__annotations__]


@pytest.mark.parametrize("field", OWN, ids=lambda field: field.name)
def test_a_wrong_setting_is_refused_with_its_name_its_value_and_what_is_allowed(field):
    for value in WRONG[field.type]:
        with pytest.raises(ValueError, match=rf"^{field.name}={value!r}; it must be \S"):
            JointConfig(**{field.name: value})


def test_settings_of_the_ratings_are_checked_too():
    with pytest.raises(ValueError, match="learning_rate=-1"):
        JointConfig(learning_rate=-1)
    with pytest.raises(ValueError, match="nothing is left"):
        JointConfig(dynamic=False, stationary=False)


def test_default_settings_are_those_of_the_paper_and_of_the_results():
    own = {field.name: field.default for field in OWN}
    assert own == {"character_size": 30, "joint_size": 40, "text_layers": 2,  # the paper's
                   "text_weight": 1.0, "text_hidden_size": 128, "min_count": 5, "text_batch": 4096, "warm_up": 1,
                   "writer_item_size": 0}  # the paper's 50 are in none of its equations
    assert JointConfig() == JointConfig(**asdict(rrn.RRNConfig()))


# --- Writing ----------------------------------------------------------------------------------------------


def test_writing_is_repeatable_bounded_and_from_the_alphabet():
    model = untrained()
    text = model.write(101, "item-2", max_length=60, seed=4)
    assert text == model.write(101, "item-2", max_length=60, seed=4)
    assert len({model.write(101, "item-2", max_length=60, seed=s) for s in range(6)}) > 1
    assert model.write(101, "item-2") == model.write(101, "item-2", temperature=1.0, max_length=500, seed=0)
    assert len(model.write(101, "item-2", max_length=7, temperature=50.0)) <= 7
    assert set(text) <= set(model.alphabet) | {"\ufffd"}
    news = [model.write(user, item, seed=1, max_length=30) for user, item in ((9999, "nothing"), (-7, "no item"))]
    assert news[0] == news[1] and 0 < len(news[0]) <= 30  # all new ones are the same to it
    with torch.no_grad():
        model.writer.to_joint.weight.mul_(8)
    known = model.sample_characters(101, "item-2", max_length=1), model.sample_characters(-7, "none", max_length=1)
    assert np.abs(np.subtract(*(next(characters)[1] for characters in known))).max() > 1e-5  # and unlike the known
    for bad in ({"temperature": -1.0}, {"max_length": 0}):
        with pytest.raises(ValueError, match="the first must not be negative"):
            model.write(101, "item-2", **bad)


def test_writing_and_scoring_are_without_dropout():
    model = untrained(dropout=0.9)
    with torch.no_grad():
        model.writer.to_joint.weight.mul_(8)
    for way in (lambda: next(model.sample_characters(101, "item-2"))[1], lambda: evaluate_text(model, LATER).nats):
        expected = way()
        model.train()
        np.testing.assert_array_equal(way(), expected)


def test_the_probabilities_are_those_that_score_a_review(float64):
    model = untrained()
    when = TRAIN.ratings.times[-1] + 5
    steps = [step for step in model.sample_characters(101, "item-2", time=when, seed=3, max_length=30) if step[0]]
    text = "".join(c for c, _ in steps)
    assert text and all(p.sum() == pytest.approx(1) for _, p in steps)
    x = model.writer.x_joint(*model.terms_at([101], ["item-2"], [when]))[0]
    symbols = encode(np.array([ord(c) for c in text], dtype=np.uint32), model.alphabet)
    so_far = -sum(np.log(p[s]) for s, (_, p) in zip(symbols, steps))
    h, _ = model.writer(torch.tensor([[END], *symbols[:, None].tolist()]), x[None])
    end = -torch.log_softmax(model.writer.out(h[-1, 0]), 0)[END].item()
    assert so_far + end == pytest.approx(nats_by_hand(model.writer, symbols, x).item(), rel=1e-9)


def test_by_default_it_writes_in_the_moment_after_all_that_was_seen(monkeypatch):
    model, last, asked = untrained(), TRAIN.ratings.times[-1], []
    terms_at = model.terms_at
    monkeypatch.setattr(model, "terms_at", lambda *of: (asked.append(of), terms_at(*of))[1])
    model.write(101, "item-2", max_length=1)
    model.write(101, "item-2", max_length=1, time=last + 7)
    assert asked == [([101], ["item-2"], [last + 1]), ([101], ["item-2"], [last + 7])]


def test_temperature_zero_takes_the_likeliest():
    model = untrained()
    for c, p in model.sample_characters(101, "item-2", temperature=0.0, max_length=10):
        assert encode(np.array([ord(x) for x in c], dtype=np.uint32), model.alphabet).tolist() == [p.argmax()][:len(c)]


def test_the_end_comes_with_its_probability():
    model = untrained()
    with torch.no_grad():
        model.writer.out.bias[END] += 3
    *steps, (last, p) = model.sample_characters(101, "item-2", seed=1)
    assert last == "" and p[END] > 0.3 and all(c for c, _ in steps)
    assert "".join(c for c, _ in steps) == model.write(101, "item-2", seed=1)


def test_a_wanted_rating_changes_what_is_written_through_the_bias_alone():
    model = untrained()
    with torch.no_grad():
        model.writer.to_joint.weight.mul_(8)
    when = LATER.ratings.times[0]
    [predicted] = model.predict([101], ["item-2"], [when])

    def first(rating):
        return next(model.sample_characters(101, "item-2", rating, when, seed=0))[1]

    np.testing.assert_allclose(first(predicted), first(None), rtol=1e-5)
    wanted = first(5.0)
    assert np.abs(wanted - first(1.0)).max() > 1e-4
    with torch.no_grad():  # a model that expects the rating by itself writes the same
        model.items.bias.weight[2] += (5.0 - predicted) / model.scale["std"]
    assert model.predict([101], ["item-2"], [when]) == pytest.approx([5.0], abs=1e-5)
    np.testing.assert_allclose(first(None), wanted, rtol=1e-4)


# --- Checkpoints ------------------------------------------------------------------------------------------


def test_a_saved_model_predicts_and_writes_the_same(tmp_path):
    model = untrained()
    model.save(tmp_path / "model")
    back = Joint.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(back.follow(LATER.ratings), model.follow(LATER.ratings))
    assert back.alphabet == model.alphabet and back.config == model.config
    assert back.write(101, "item-2", seed=2) == model.write(101, "item-2", seed=2)


def test_a_checkpoint_of_another_model_or_another_alphabet_is_refused(tmp_path):
    untrained().save(tmp_path / "model")
    with pytest.raises(ValueError, match="not of a RRN"):
        RRN.load(tmp_path / "model", device="cpu")
    info = json.loads((tmp_path / "model" / "info.json").read_text())
    info["alphabet"] += "z"
    (tmp_path / "model" / "info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="writer"):
        Joint.load(tmp_path / "model", device="cpu")
