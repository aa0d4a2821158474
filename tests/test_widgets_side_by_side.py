"""The models after the GRU side by side in a real browser: what each says and keeps is what it is in the package."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_widgets import status

from rnnbook.after import MODELS, AfterGRU
from rnnbook.widgets import SideBySide
from rnnbook.worlds import LongMemoryWorld, SessionWorld

pytestmark = pytest.mark.browser
MEMORY = LongMemoryWorld(lag=3, n_items=30)
MOODS = SessionWorld(n_states=6, n_items=30, mean_length=6.0)
CLICKS = [3, 17, 3, 29, 8, 0]


def model_of(name, **changes):
    """Random weights of 16 bits, as in the page, and so large that each matters."""
    torch.manual_seed(len(name))
    config = replace(MODELS[name], **{"hidden_size": 12, "n_heads": 2, "n_blocks": 1} | changes)
    model = AfterGRU(MEMORY.item_ids, config).double().eval()
    for key, p in model.named_parameters():
        if key.split(".")[-1] not in ("nu", "theta", "gamma"):  # the linear recurrence keeps its factors
            p.data.add_(0.5 * torch.randn_like(p))
        p.data.copy_(p.half())
    return model


@pytest.fixture(scope="module")
def models():
    return {name: model_of(name) for name in MODELS}


@torch.no_grad()
def said(model, clicks):
    """P(next item | clicks), float64 [n_items]."""
    return model.scores(model.states(torch.tensor([clicks]))[0, -1]).softmax(0).numpy()


def best(world):
    return lambda clicks: next(iter(world.bayes().scorer([np.array(clicks)])(slice(0, 1), slice(None)))).numpy()


def moved(predict, clicks, others, shown=10):
    """How far each of the last clicks moves a prediction, by its definition."""
    p, instead = predict(clicks), lambda s, other: predict([*clicks[:s], other, *clicks[s + 1:]])
    return [np.mean([np.abs(p - instead(s, other)).sum() / 2 for other in others if other != clicks[s]])
            for s in range(max(0, len(clicks) - shown), len(clicks))]


@torch.no_grad()
def left(model, clicks, block=0):
    """What is left of each click, [n_clicks, n_units or n_heads], after the mixer's equations."""
    heard, mixer = [], model.blocks[block].mixer
    hook = mixer.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    model.states(torch.tensor([clicks]))
    hook.remove()
    x, T = heard[0], len(clicks)
    if model.config.mixer == "attention":
        q, k, _ = mixer.heads(x)
        return (q[0, :, -1:] @ k[0].transpose(1, 2) / q.shape[-1]**0.5).softmax(-1)[:, 0].T.numpy()
    if model.config.mixer == "lru":
        return mixer.factor().abs().numpy()**np.arange(T)[::-1, None]
    if model.config.mixer == "mingru":
        keep = mixer.gates(x)[0][0]
    else:
        gru, h = mixer.gru, torch.cat([torch.zeros_like(x[0, :1]), mixer(x)[0, :-1]])
        d = h.shape[1]
        keep = torch.sigmoid(x[0] @ gru.weight_ih_l0[d:2 * d].T + gru.bias_ih_l0[d:2 * d]
                             + h @ gru.weight_hh_l0[d:2 * d].T + gru.bias_hh_l0[d:2 * d])
    return np.array([((1 - keep[s]) * keep[s + 1:].prod(0)).tolist() for s in range(T)])


# --- The arithmetic ---------------------------------------------------------------------------------------


@pytest.fixture
def run(new_tab):
    """run(widget, clicks): of the optimum and each network what the page's functions return after these clicks."""
    page = new_tab()
    module = re.sub("^export .*", "", SideBySide._esm, flags=re.MULTILINE)

    def run(widget, clicks):
        return page.evaluate(f"""({{ world, nets, others, shown, clicks }}) => {{ {module}
            const E = engine(), best = "lag" in world ? memoryWorld(world) : moodWorld(E.world(world));
            return [best, ...Object.values(nets).map((net) => afterGRU(net, E.unpack))].map((reader) => {{
              let run = {{ state: reader.start, instead: [] }};
              const states = clicks.map((item) => (run = reads(reader, item, run, others, shown)).state);
              const p = reader.predict(run.state), plain = (rows) => rows.map((row) => Array.from(row));
              return {{ p: Array.from(p), moved: moves(reader, p, run.instead),
                left: Array.from({{ length: reader.n_blocks ?? 0 }}, (_, b) => plain(reader.left(states, b))) }};
            }}); }}""", {**widget.state(), "clicks": clicks})

    return run


@pytest.mark.parametrize("changes", [{}, {"n_blocks": 2, "n_heads": 3}])
def test_each_network_says_keeps_and_moves_as_in_the_package(run, changes):
    models = {name: model_of(name, **changes) for name in MODELS}
    widget = SideBySide(MEMORY, models)
    for clicks in ([5], CLICKS, [7] * 12 + CLICKS):
        _, *found = run(widget, clicks)
        for (name, model), each in zip(models.items(), found):
            # The error function in the page is up to 2e-7 off: 7e-8 was seen here.
            np.testing.assert_allclose(each["p"], said(model, clicks), rtol=0, atol=3e-7)
            assert max(each["p"]) < 0.9, name  # or little could be wrong
            for block, rows in enumerate(each["left"]):
                np.testing.assert_allclose(rows, left(model, clicks, block), rtol=0, atol=3e-7)
            expected = moved(lambda given, model=model: said(model, given), clicks, widget.others)
            np.testing.assert_allclose(each["moved"], expected, rtol=0, atol=3e-7)


@pytest.mark.parametrize("world", [MEMORY, replace(MEMORY, lag=1), replace(MEMORY, lag=10, faithful=1.0),
                                   replace(MEMORY, lag=2, distraction=0.4), MOODS,
                                   replace(MOODS, jump=0.0, noise=0.1)])
def test_the_optimum_is_the_world_s(run, models, world):
    widget = SideBySide(world, {"GRU": models["GRU"]})
    for clicks in (CLICKS[:2], CLICKS, CLICKS * 3):
        found = run(widget, clicks)[0]
        np.testing.assert_allclose(found["p"], best(world)(clicks), rtol=0, atol=1e-12)
        np.testing.assert_allclose(found["moved"], moved(best(world), clicks, widget.others), rtol=0, atol=1e-12)


def test_in_a_world_of_memory_one_click_moves_the_optimum(run, models):
    [found, _] = run(SideBySide(MEMORY, {"GRU": models["GRU"]}), CLICKS)
    assert found["moved"] == pytest.approx([0, 0, 0, MEMORY.faithful, 0, 0])


def test_it_is_small_enough_for_a_page():
    world = LongMemoryWorld(n_items=100)
    models = {name: AfterGRU(world.item_ids, replace(MODELS[name], hidden_size=32, n_blocks=1))
              for name in ("GRU", "SASRec", "LRU")}
    widget = SideBySide(world, models)
    assert len(json.dumps(widget.nets)) < 150_000 and len(widget.to_html()) < 240_000


def test_what_the_page_cannot_show_is_refused(models):
    for world in (replace(MEMORY, lag=11), replace(MOODS, jump=0.0), replace(MOODS, stay=1.0), MOODS.markov_control()):
        with pytest.raises(ValueError, match="the page shows a LongMemoryWorld"):
            SideBySide(world, models)
    for given, message in (({}, "0 models"), ({str(i): models["GRU"] for i in range(5)}, "5 models"),
                           ({"old": AfterGRU(np.arange(30), MODELS["GRU"])}, "items of old are not those")):
        with pytest.raises(ValueError, match=message):
            SideBySide(MEMORY, given)
    with pytest.raises(ValueError, match="5 clicks; the page and the models read at most 4"):
        SideBySide(MEMORY, {"short": model_of("SASRec", max_length=4)}, clicks=[1] * 5)


# --- What is seen -----------------------------------------------------------------------------------------


def check(page, world, models, clicks, others, block=0):
    """All that is shown after these clicks is what package and world say."""
    predictors = {"optimum": best(world)} | {
        name: lambda given, model=model: said(model, given) for name, model in models.items()}
    assert [each for each in page.locator(".rb-clicked > span").all_text_contents() if each] == [
        f"item-{item}" for item in clicks[-10:]]
    for name, predict in predictors.items():
        p, row = predict(clicks), page.get_by_role("img", name=re.compile(f"^{name}: "))
        moves = moved(predict, clicks, others)[::-1]
        label = row.get_attribute("aria-label")
        assert [float(each) for each in re.findall(r"moves ([\d.]+)", label)] == pytest.approx(moves, abs=0.0051)
        bars = row.locator(".rb-slot:not(.rb-empty)").evaluate_all("""slots => slots.map(slot =>
            ["--left", "--moved"].map(name => Number(slot.style.getPropertyValue(name))))""")
        assert [bar[1] for bar in bars[::-1]] == pytest.approx(moves, abs=1e-5)
        if name in models:
            kept = left(models[name], clicks, min(block, models[name].config.n_blocks - 1)).mean(1)[-10:]
            assert [bar[0] for bar in bars] == pytest.approx(kept, abs=1e-5)
            told = [float(each) for each in re.findall(r"([\d.]+) left", label)]
            assert told == pytest.approx(kept[::-1], abs=0.0051)
        found = [(int(entry.get_attribute("data-item")), float(re.search(r" ([\d.]+) %", entry.text_content())[1]))
                 for entry in page.get_by_role("group", name=f"Next, says {name}").get_by_role("button").all()]
        assert [value for _, value in found] == pytest.approx(np.sort(100 * p)[::-1][:5], abs=0.0501)
        assert [100 * p[item] for item, _ in found] == pytest.approx([value for _, value in found], abs=0.0501)
        if name in models:
            distance = float(re.search(rf"\b{name} (\d\.\d+)", status(page).split("from the optimum: ")[1])[1])
            assert distance == pytest.approx(np.abs(p - best(world)(clicks)).sum() / 2, abs=0.0051)
    assert status(page).startswith(f"After {len(clicks)} clicks. ")


@pytest.mark.parametrize("over, world", [("file", MEMORY), ("http", MOODS)])
def test_it_answers_clicks_and_keys_with_the_package_s_values(show, models, over, world):
    models = models | {"minGRU": model_of("minGRU", n_blocks=2)}
    widget = SideBySide(world, models, clicks=CLICKS, seed=4)
    page, clicks = show(widget, over=over), list(CLICKS)
    check(page, world, models, clicks, widget.others)
    page.get_by_role("group", name="Click an item").get_by_role("button", name="item-4").click()
    clicks.append(4)
    entry = page.get_by_role("group", name="Next, says SASRec").get_by_role("button").nth(1)
    clicks.append(int(entry.get_attribute("data-item")))
    entry.focus()
    page.keyboard.press("Enter")
    check(page, world, models, clicks, widget.others)
    page.get_by_label("2", exact=True).check()
    check(page, world, models, clicks, widget.others, block=1)
    page.get_by_role("button", name="← Back").click()
    page.keyboard.press("ArrowLeft")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    clicks = clicks[:-2]
    for _ in range(6):  # the visitor draws from the optimum's prediction
        draw = np.random.default_rng([4, len(clicks)]).random()
        clicks.append(int(np.searchsorted(best(world)(clicks).cumsum(), draw, side="right")))
    check(page, world, models, clicks, widget.others, block=1)


def test_a_session_begins_with_nothing_and_ends_when_it_is_full(show, models):
    page = show(SideBySide(MEMORY, {"GRU": models["GRU"], "SASRec": model_of("SASRec", max_length=7)}))
    assert status(page).startswith("After 5 clicks. ")
    page.get_by_role("button", name="New session").click()
    assert status(page) == "Before the first click the networks predict nothing."
    assert page.get_by_role("button", name="← Back").is_disabled()
    assert page.get_by_role("group", name="Next, says GRU").get_by_role("button").count() == 0  # hidden
    page.keyboard.press("ArrowLeft")
    for n in range(1, 9):
        page.keyboard.press("ArrowRight")
        assert status(page).startswith(f"After {min(n, 7)} click")
    assert "no more fit" in status(page) and page.get_by_role("button", name="A visitor clicks").is_disabled()
    page.get_by_role("button", name="← Back").click()
    assert page.get_by_role("button", name="A visitor clicks").is_enabled()


def test_each_new_session_is_another_visitor_s(show, models):
    page, sessions = show(SideBySide(MEMORY, {"GRU": models["GRU"]})), []
    for _ in range(2):
        page.get_by_role("button", name="New session").click()
        for _ in range(4):
            page.get_by_role("button", name="A visitor clicks").click()
        sessions.append(page.locator(".rb-clicked > span").all_text_contents())
    assert sessions[0] != sessions[1]


def test_a_link_opens_the_session_again_and_the_same_visitor_goes_on(show, models):
    page = show(SideBySide(MEMORY, models))
    page.evaluate("location.hash = '#SideBySide:clicks=3,17,3,29&seed=5'")
    page.reload()
    page.wait_for_function("document.querySelector('[role=status]')?.textContent.includes('After 4 clicks')")
    page.get_by_role("button", name="A visitor clicks").click()
    draw = np.random.default_rng([5, 4]).random()
    item = np.searchsorted(best(MEMORY)([3, 17, 3, 29]).cumsum(), draw, side="right")
    page.wait_for_url(f"**#SideBySide:clicks=3%2C17%2C3%2C29%2C{item}&block=0&seed=5")


def test_titles_take_the_items_place(show, models):
    page = show(SideBySide(MEMORY, {"GRU": models["GRU"]}, clicks=[1], titles={"item-1": "<b>tent</b>"}))
    assert page.locator(".rb-clicked > span").last.text_content() == "<b>tent</b>"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 360])
def test_it_fits_and_does_not_move(show, models, screenshots, theme, width):
    page, heights = show(SideBySide(MEMORY, models), theme=theme, width=width), set()
    widget = page.locator(".rnnbook-widget")
    for key in ["ArrowLeft"] * 5 + ["ArrowRight"] * 20:
        heights.add(widget.bounding_box()["height"])
        page.get_by_role("button", name="New session").press(key)
    heights.add(widget.bounding_box()["height"])
    assert len(heights) == 1 and page.evaluate("document.documentElement.scrollWidth") <= width
    widget.screenshot(path=screenshots / f"side-by-side-{theme}-{width}.png")
