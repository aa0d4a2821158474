"""The engine in the page against the package: random numbers, worlds, losses, gates, gradients and training."""

import json

import numpy as np
import pytest
import torch

from rnnbook import metrics
from rnnbook.gru4rec import LOSSES, GRU4RecConfig, session_parallel, step_loss
from rnnbook.training import Adagrad
from rnnbook.widgets.base import HERE
from rnnbook.widgets.engine import page_model, spec_of, train_epoch_of_the_page
from rnnbook.worlds import SessionWorld

ENGINE = (HERE / "engine.js").read_text(encoding="utf-8")
WORLD = SessionWorld(n_states=6, n_items=40, mean_length=6.0)


@pytest.fixture(scope="module")
def run():
    """run(body, **given) is what a function body returns in the browser, where E is the engine."""
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium-headless-shell")
        page = browser.new_page()

        def run(body, **given):
            names = ", ".join(given)
            script = f"(given) => {{ {ENGINE}\nconst E = engine(); const {{ {names} }} = given; {body} }}"
            return page.evaluate(script, json.loads(json.dumps(given)))

        yield run
        browser.close()


@pytest.mark.parametrize("entropy", [[0], [0, 1, 0], [7, 1, 123456789], [4294967295, 2], [1, 2, 3, 4, 5, 6]])
def test_random_numbers_are_those_of_numpy(run, entropy):
    found = run("const random = E.generator(entropy); return Array.from({ length: 3000 }, random);", entropy=entropy)
    np.testing.assert_array_equal(found, np.random.default_rng(entropy).random(3000))


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("world", [WORLD, SessionWorld(noise=0.2, seed=3, ring_step=-1, stay=0.4)])
def test_sessions_are_those_of_the_world(run, world, first_order):
    ours = world.markov_control() if first_order else world
    for seed in (0, 5):
        found = run("const { items, offsets } = E.world(spec, first).sample(200, seed);"
                    "return [[...items], [...offsets]];", spec=spec_of(world), first=first_order, seed=seed)
        data = ours.sample(200, seed)
        assert found[0] == data.items.tolist() and found[1] == data.offsets.tolist()


def test_what_is_known_of_a_session_is_what_the_world_knows(run):
    world = SessionWorld(noise=0.1)
    histories = [[3], [7, 7, 200], [0, 1, 2, 3, 4, 5], [299, 12, 45, 45]]
    best, last, beliefs = run(
        "const w = E.world(spec); const uniform = new Float64Array(w.S).fill(1 / w.S);"
        "return [histories.map((h) => [...w.optimum(h)]), histories.map((h) => [...w.lastItem(h)]),"
        " histories.map((h) => [...h.reduce(w.believe, uniform)])];", spec=spec_of(world), histories=histories)
    filtered = world.bayes()
    for row, history in enumerate(histories):
        belief = filtered.start[None]
        for item in history:
            belief = filtered._after_click(belief, np.array([item]))
        np.testing.assert_allclose(beliefs[row], belief[0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(best[row], belief[0] @ world.emission, rtol=0, atol=1e-13)
        np.testing.assert_allclose(last[row], world.next_given_last[history[-1]], rtol=0, atol=1e-13)
    empty = run("return [...E.world(spec).optimum([])];", spec=spec_of(world))
    np.testing.assert_allclose(empty, world.popularity, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_slopes_are_those_of_the_package(run, name):
    drawn = 3 * np.random.default_rng(0).standard_normal((5, 12))
    config = GRU4RecConfig(loss=name, logq=0.0, bpr_max_regularization=0.7)
    scores = torch.tensor(drawn, requires_grad=True)
    loss = step_loss(config, scores, torch.arange(12), None)
    loss.sum().backward()
    found, slopes = run(
        "const slopes = scores.map(() => new Float64Array(12));"
        "return [scores.map((row, i) => E.losses[name](row, i, slopes[i], 0.7)), slopes.map((row) => [...row])];",
        scores=drawn.tolist(), name=name)
    np.testing.assert_allclose(found, loss.detach(), rtol=1e-12)
    np.testing.assert_allclose(slopes, scores.grad, rtol=0, atol=1e-14)


def weights_of(model):
    [layer] = model.layers
    named = {"output": model.output, "bias": model.bias} | dict(layer.named_parameters())
    return {name: tensor.detach().flatten().tolist() for name, tensor in named.items()}


MODEL = ("const model = { n, d, ...Object.fromEntries(E.NAMES.map((name) => [name, Float64Array.from(weights[name])])) };")


def test_it_begins_with_the_weights_of_the_page(run):
    config = GRU4RecConfig(hidden_size=8, hidden_dropout=0.0)
    found = run("const model = E.newModel(40, 8, E.generator([5, 0]));"
                "return Object.fromEntries(E.NAMES.map((name) => [name, [...model[name]]]));")
    assert found == weights_of(page_model(WORLD.item_ids, config, seed=5))


def test_gates_and_scores_are_those_of_the_package(run):
    torch.manual_seed(0)
    config = GRU4RecConfig(hidden_size=16, hidden_dropout=0.0)
    model = page_model(WORLD.item_ids, config, seed=0).eval()
    for p in model.parameters():  # as large as after training
        p.data.add_(0.5 * torch.randn_like(p))
    clicks = [3, 17, 3, 39, 0]
    state, [layer] = model.initial_state(1), model.layers
    found = run(MODEL + "let h = new Float64Array(d); return clicks.map((item) => { const step = E.gruStep(model, [item], h);"
                "h = step.h; return [...['r', 'z', 'candidate', 'h'].map((key) => [...step[key]]), [...E.scores(model, h)]]; });",
                n=40, d=16, weights=weights_of(model), clicks=clicks)
    for item, (r, z, candidate, h, scores) in zip(clicks, found):
        x, before = model.output[[item]], state[0]
        x_gates, h_gates = x @ layer.weight_ih.T + layer.bias_ih, before @ layer.weight_hh.T + layer.bias_hh
        (x_r, x_z, x_n), (h_r, h_z, h_n) = x_gates[0].split(16), h_gates[0].split(16)
        state = model.step(x, state)
        of_reset = torch.sigmoid(x_r + h_r)
        for ours, theirs in ((r, of_reset), (z, torch.sigmoid(x_z + h_z)), (candidate, torch.tanh(x_n + of_reset * h_n)),
                             (h, state[0][0]), (scores, model.output @ state[0][0] + model.bias)):
            np.testing.assert_allclose(ours, theirs.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("bptt", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_fifty_steps_of_training_are_those_of_the_package(run, name, bptt):
    config = GRU4RecConfig(hidden_size=8, hidden_dropout=0.0, batch_size=5, n_sample=20, loss=name, bptt=bptt,
                           learning_rate=0.05, bpr_max_regularization=0.5, sample_alpha=0.75)
    for seed in (0, 1):
        data = WORLD.sample(60, seed)
        model = page_model(data.item_ids, config, seed)
        start = weights_of(model)
        optimizer = Adagrad(dict(model.named_parameters()), config.learning_rate)
        schedule, losses = session_parallel(data.offsets, config.batch_size), []
        from rnnbook.gru4rec import NegativeSampler
        sampler = NegativeSampler(data.support, config.n_sample, config.sample_alpha, "cpu", 1)
        steps = range(min(50, schedule.n_steps))
        train_epoch_of_the_page(np.random.default_rng([seed, 1]), model, optimizer, sampler, schedule,
                                torch.from_numpy(data.items), steps, model.initial_state(config.batch_size),
                                lambda t, loss, n, _: losses.append((t, loss.item(), n)))
        settings = {key: getattr(config, key) for key in ("batch_size", "n_sample", "sample_alpha", "logq", "loss", "bptt",
                                                          "bpr_max_regularization")}
        found, weights = run(
            MODEL + "const optimize = E.adagrad(model, rate); const found = [];"
            "for (const at of E.trainEpoch(model, optimize, config, { items, offsets }, E.generator([seed, 1])))"
            "{ if (at.step > last) break; found.push([at.step, at.loss, at.count]); if (at.step >= last) break; }"
            "return [found, Object.fromEntries(E.NAMES.map((name) => [name, [...model[name]]]))];",
            n=40, d=8, weights=start, rate=config.learning_rate, config=settings, items=data.items.tolist(),
            offsets=data.offsets.tolist(), seed=seed, last=steps[-1] + 1)
        whole = [entry for entry in losses if entry[0] % bptt == 0]
        assert [(t, n) for t, _, n in found][:len(whole)] == [(t, n) for t, _, n in whole]
        np.testing.assert_allclose([loss for _, loss, _ in found][:len(whole)], [loss for _, loss, _ in whole], rtol=1e-4)
        if len(found) == len(losses):
            for name_of, values in weights_of(model).items():
                np.testing.assert_allclose(weights[name_of], values, rtol=0, atol=1e-4)


def test_recall_and_mrr_are_those_of_the_package(run):
    config = GRU4RecConfig(hidden_size=8, hidden_dropout=0.0)
    model, data = page_model(WORLD.item_ids, config, seed=2).eval(), WORLD.sample(50, 9)
    scores = metrics.evaluate_sessions(model, data, k=5, n_boot=1)
    found = run(MODEL + "const counting = E.evaluate({ items, offsets }, E.reader(model), 5);"
                "let at = counting.next(); while (!at.done) at = counting.next(); return [at.value.recall, at.value.mrr];",
                n=40, d=8, weights=weights_of(model), items=data.items.tolist(), offsets=data.offsets.tolist())
    assert found == pytest.approx([scores.recall, scores.mrr], abs=1e-12)
