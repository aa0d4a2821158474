"""The engine in the page against the package: random numbers, worlds, losses, gates, gradients and training."""

import json

import numpy as np
import pytest
import torch

from rnnbook import metrics
from rnnbook.gru4rec import LOSSES, GRU4RecConfig, NegativeSampler, session_parallel, step_loss
from rnnbook.training import Adagrad
from rnnbook.widgets.base import HERE
from rnnbook.widgets.engine import packed, page_model, spec_of, train_epoch_of_the_page
from rnnbook.worlds import SessionWorld

ENGINE = (HERE / "engine.js").read_text(encoding="utf-8")
WORLD = SessionWorld(n_states=6, n_items=40, mean_length=6.0)
MODEL = """
const { n, d, weights } = given.model;
const model = { n, d, ...Object.fromEntries(E.NAMES.map((name) => [name, Float64Array.from(weights[name])])) };
"""


@pytest.fixture
def run(new_tab):
    """run(body, **given) is what a function body returns in the browser: E is the engine, `given` the arguments."""
    page = new_tab()

    def run(body, **given):
        return page.evaluate(f"(given) => {{ {ENGINE}\nconst E = engine(); {body} }}", json.loads(json.dumps(given)))

    return run


def as_given(model):
    """A GRU4Rec of one layer, as `MODEL` takes it."""
    [layer] = model.layers
    named = {"output": model.output, "bias": model.bias} | dict(layer.named_parameters())
    return {"n": len(model.item_ids), "d": model.config.hidden_size,
            "weights": {name: tensor.detach().flatten().tolist() for name, tensor in named.items()}}


def sessions_of(data):
    return {"items": data.items.tolist(), "offsets": data.offsets.tolist()}


@pytest.mark.parametrize("entropy", [[0], [0, 1, 0], [7, 1, 123456789], [4294967295, 2], [1, 2, 3, 4, 5, 6]])
def test_random_numbers_are_those_of_numpy(run, entropy):
    found = run("return Array.from({ length: 3000 }, E.generator(given.entropy));", entropy=entropy)
    np.testing.assert_array_equal(found, np.random.default_rng(entropy).random(3000))


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("world", [WORLD, SessionWorld(noise=0.2, seed=3, ring_step=-1, stay=0.4)])
def test_sessions_are_those_of_the_world(run, world, first_order):
    ours = world.markov_control() if first_order else world
    for seed in (0, 5):
        items, offsets = run("""const { items, offsets } = E.world(given.spec, given.first).sample(200, given.seed);
                                return [[...items], [...offsets]];""",
                             spec=spec_of(world), first=first_order, seed=seed)
        data = ours.sample(200, seed)
        assert items == data.items.tolist() and offsets == data.offsets.tolist()


def test_what_is_known_of_a_session_is_what_the_world_knows(run):
    world = SessionWorld(noise=0.1)
    histories = [[3], [7, 7, 200], [0, 1, 2, 3, 4, 5], [299, 12, 45, 45]]
    found = run("""const world = E.world(given.spec), nothing = new Float64Array(world.S).fill(1 / world.S);
                   return given.histories.map((clicks) => [clicks.reduce(world.believe, nothing), world.optimum(clicks),
                     world.lastItem(clicks)].map((p) => [...p]));""", spec=spec_of(world), histories=histories)
    best = world.bayes()
    for history, (belief, optimum, last) in zip(histories, found):
        known = best.start[None]
        for item in history:
            known = best.after_click(known, np.array([item]))
        for ours, theirs in ((belief, known[0]), (optimum, known[0] @ world.emission),
                             (last, world.next_given_last[history[-1]])):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)
    nothing = run("return [...E.world(given.spec).optimum([])];", spec=spec_of(world))
    np.testing.assert_allclose(nothing, world.popularity, rtol=0, atol=1e-13)


def test_numbers_of_16_bits_are_read_exactly(run):
    numbers = np.concatenate([np.random.default_rng(0).normal(size=500).astype(np.float16),
                              np.array([0, 1, -1, 65504, -65504, 2**-14, 2**-24, -(2**-24), 1e-5], np.float16)])
    assert run("return [...E.unpack(given.text)];", text=packed(numbers)) == numbers.astype(float).tolist()
    for wrong in (1e6, np.nan):
        with pytest.raises(ValueError, match="65,504"):
            packed([wrong])


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_slopes_are_those_of_the_package(run, name):
    drawn = 3 * np.random.default_rng(0).standard_normal((5, 12))
    scores = torch.tensor(drawn, requires_grad=True)
    config = GRU4RecConfig(loss=name, logq=0.0, bpr_max_regularization=0.7)
    loss = step_loss(config, scores, torch.arange(12), None)
    loss.sum().backward()
    found, slopes = run("""const slopes = given.scores.map(() => new Float64Array(12));
                           const loss = (row, i) => E.losses[given.name](row, i, slopes[i], 0.7);
                           return [given.scores.map(loss), slopes.map((row) => [...row])];""",
                        scores=drawn.tolist(), name=name)
    np.testing.assert_allclose(found, loss.detach(), rtol=1e-12)
    np.testing.assert_allclose(slopes, scores.grad, rtol=0, atol=1e-14)


def test_it_begins_with_the_weights_of_the_page(run):
    found = run("""const model = E.newModel(40, 8, E.generator([5, 0]));
                   return Object.fromEntries(E.NAMES.map((name) => [name, [...model[name]]]));""")
    config = GRU4RecConfig(hidden_size=8, hidden_dropout=0.0)
    assert found == as_given(page_model(WORLD.item_ids, config, seed=5))["weights"]


def test_gates_and_scores_are_those_of_the_package(run):
    model = page_model(WORLD.item_ids, GRU4RecConfig(hidden_size=16, hidden_dropout=0.0), seed=0).eval()
    torch.manual_seed(0)
    for p in model.parameters():  # as large as after training
        p.data.add_(0.5 * torch.randn_like(p))
    clicks = [3, 17, 3, 39, 0]
    found = run(MODEL + """
        let h = new Float64Array(d);
        return given.clicks.map((item) => {
          const step = E.gruStep(model, [item], h), swapped = E.gruStep(model, [item], h, "swapped");
          h = step.h;
          return [step.r, step.z, step.candidate, h, E.scores(model, h), swapped.r, swapped.z].map((a) => [...a]);
        });""", model=as_given(model), clicks=clicks)
    state, [layer] = model.initial_state(1), model.layers
    for item, of_page in zip(clicks, found):
        x, before = model.output[[item]], state[0]
        x_r, x_z, x_n = (x @ layer.weight_ih.T + layer.bias_ih)[0].split(16)
        h_r, h_z, h_n = (before @ layer.weight_hh.T + layer.bias_hh)[0].split(16)
        state = model.step(x, state)
        r, z, h = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z), state[0][0]
        package = r, z, torch.tanh(x_n + r * h_n), h, model.output @ h + model.bias, z, r
        for ours, theirs in zip(of_page, package, strict=True):
            np.testing.assert_allclose(ours, theirs.detach(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("bptt", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_training_is_that_of_the_package(run, name, bptt, seed):
    """Sixty sessions in five lanes: about fifty steps, the last of them with fewer lanes."""
    config = GRU4RecConfig(hidden_size=8, hidden_dropout=0.0, batch_size=5, n_sample=20, loss=name, bptt=bptt,
                           learning_rate=0.05, bpr_max_regularization=0.5, sample_alpha=0.75)
    data, losses = WORLD.sample(60, seed), []
    model = page_model(data.item_ids, config, seed)
    start, optimizer = as_given(model), Adagrad(dict(model.named_parameters()), config.learning_rate)
    schedule = session_parallel(data.offsets, config.batch_size)
    sampler = NegativeSampler(data.support, config.n_sample, config.sample_alpha, "cpu", 1)
    train_epoch_of_the_page(np.random.default_rng([seed, 1]), model, optimizer, sampler, schedule,
                            torch.from_numpy(data.items), range(schedule.n_steps), model.initial_state(5),
                            lambda t, loss, n, _: losses.append((t, loss.item(), n)))
    assert len(losses) >= 50 / bptt and losses[-1][2] < 5 * bptt
    found, weights = run(MODEL + """
        const { config, sessions, seed } = given, optimize = E.adagrad(model, config.learning_rate);
        const steps = [...E.trainEpoch(model, optimize, config, sessions, E.generator([seed, 1]))];
        return [steps.map(({ step, loss, count }) => [step, loss, count]),
          Object.fromEntries(E.NAMES.map((name) => [name, [...model[name]]]))];""",
                         model=start, config=vars(config), sessions=sessions_of(data), seed=seed)
    np.testing.assert_allclose(found, losses, rtol=1e-6)
    for tensor, values in as_given(model)["weights"].items():
        np.testing.assert_allclose(weights[tensor], values, rtol=0, atol=4e-6)


def test_recall_and_mrr_are_those_of_the_package(run):
    model = page_model(WORLD.item_ids, GRU4RecConfig(hidden_size=8, hidden_dropout=0.0), seed=2).eval()
    data = WORLD.sample(50, 9)
    found = run(MODEL + """
        const counting = E.evaluate(given.sessions, E.reader(model), 5);
        let at = counting.next();
        while (!at.done) at = counting.next();
        return [at.value.recall, at.value.mrr];""", model=as_given(model), sessions=sessions_of(data))
    scores = metrics.evaluate_sessions(model, data, k=5, n_boot=1)
    assert found == pytest.approx([scores.recall, scores.mrr], abs=1e-12)
