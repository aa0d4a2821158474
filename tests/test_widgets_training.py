"""The widget that trains in the page: the same curve as the package's, with a worker and without, from a link."""

from functools import cache

import numpy as np
import pytest
import torch

from rnnbook.gru4rec import GRU4RecConfig
from rnnbook.metrics import evaluate_sessions
from rnnbook.widgets import LiveTraining
from rnnbook.widgets.engine import fit_as_in_the_page
from rnnbook.widgets.training import CHOICES, DEFAULT, PRESETS
from rnnbook.worlds import SessionWorld

SMALL = {"sessions": 1000, "batch_size": 64, "n_sample": 16, "hidden_size": 16, "loss": "bpr-max", "bptt": 2, "seed": 3}


def recall(model, data):
    return evaluate_sessions(model, data, n_boot=1).recall


@cache
def run_cell(code):
    """What a reader gets who runs a copied cell: the history, and what the page says of the two bounds."""
    known = {}
    exec(code.replace("patience=2)", "patience=2, progress=False)"), known)
    world = known["world"]
    test = world.sample(300, seed=2)
    last, best = recall(world.last_item(), test), recall(world.bayes(), test)
    return known["model"].history, f"last click {last:.3f}, optimum {best:.3f}"


def status(page):
    return page.get_by_role("status").text_content()


def wait_for(page, words):
    page.wait_for_function("words => document.querySelector('[role=status]').textContent.includes(words)", arg=words)


@pytest.fixture
def small():
    """A widget that begins with a small training of two epochs."""
    return LiveTraining(n_epochs=2, **SMALL)


def copied(page):
    """What "Copy as Python" would put into a clipboard; it is shown where there is none."""
    page.evaluate("""() => Object.defineProperty(navigator, "clipboard",
                                                 { value: { writeText: () => Promise.reject() } })""")
    before = status(page)
    page.get_by_role("button", name="Copy as Python").click()
    page.wait_for_function("before => document.querySelector('[role=status]').textContent !== before", arg=before)
    return status(page)


REFUSALS = {"a worker": "", "no workers": "delete window.Worker", "a worker that fails":
            "URL.createObjectURL = () => 'data:text/javascript,throw 1'"}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("over", ["file", "http"])
def test_the_copied_cell_gives_the_curve_of_the_page(show, small, over, refusal):
    page = show(small, over=over)
    page.evaluate(f"() => {{ {REFUSALS[refusal]} }}")
    assert status(page) == "Nothing is trained yet."
    page.get_by_role("button", name="Train").click()
    wait_for(page, "after 2.0 epochs")
    assert page.get_by_role("button", name="Go on").is_disabled()
    told = status(page)
    code = copied(page)
    assert f"world.sample({SMALL['sessions']}," in code  # the page began with these settings
    history, bounds = run_cell(code)
    assert float(told.split("Recall@20 ")[1].split()[0]) == pytest.approx(history[-1]["recall"], abs=0.001)
    assert bounds in told


def test_with_too_high_a_learning_rate_most_gates_are_stuck():
    """As the preset says: of the reset and update gates, over 300 clicks after an epoch."""
    def stuck(rate):
        config = GRU4RecConfig(hidden_size=32, hidden_dropout=0.0, batch_size=32, n_sample=64, learning_rate=rate,
                               bptt=2, n_epochs=1)
        model = fit_as_in_the_page(SessionWorld().sample(1000, 100), config, seed=0, progress=False)
        [layer], state, shares = model.layers, model.initial_state(1), []
        for item in SessionWorld().sample(50, 2).items[:300].tolist():
            x = model.output[[item]].detach()
            both = torch.sigmoid(x @ layer.weight_ih.T + layer.bias_ih + state[0] @ layer.weight_hh.T + layer.bias_hh)
            shares.append(((both[:, :64] - 0.5).abs() > 0.49).double().mean().item())
            state = [model.step(x, state)[0].detach()]
        return np.mean(shares)

    [high] = [config["learning_rate"] for name, _, config in PRESETS if name == "Learning rate too high"]
    assert stuck(high) > 0.8 and stuck(DEFAULT["learning_rate"]) < 0.05


def test_one_update_a_pause_and_a_new_start(show, small):
    page = show(small)
    page.get_by_role("button", name="One update").click()
    wait_for(page, "Update 1, loss")
    page.get_by_role("button", name="One update").click()
    wait_for(page, "Update 2, loss")
    page.get_by_role("button", name="Go on").click()
    wait_for(page, "Recall@20")
    page.get_by_role("button", name="Pause").or_(page.get_by_role("button", name="Go on")).click()
    page.get_by_role("button", name="Start again").click()
    assert status(page) == "Nothing is trained yet."


@pytest.mark.parametrize("name,text,config", PRESETS)
def test_a_preset_sets_what_it_says(show, name, text, config):
    page = show(LiveTraining())
    page.get_by_role("button", name=name).click()
    assert page.locator(".rb-lesson").text_content() == text
    for key, value in (DEFAULT | config).items():
        if isinstance(value, str):
            assert page.get_by_role("combobox", name=key).input_value() == value
    assert page.get_by_role("slider", name="negatives").input_value() == str(
        CHOICES["n_sample"].index((DEFAULT | config)["n_sample"]))
    page.get_by_role("slider", name="seed").press("ArrowRight")
    assert page.locator(".rb-lesson").text_content() == "Settings of your own."


def test_a_link_opens_the_settings_again(show):
    page = show(LiveTraining())
    page.evaluate("location.hash = '#LiveTraining:loss=top1&seed=7&n_sample=1024&batch_size=5&evil=%3Cimg%3E'")
    page.reload()
    page.wait_for_function("document.querySelector('.rb-lesson')?.textContent.length > 0")
    assert page.get_by_role("combobox", name="loss").input_value() == "top1"
    assert page.get_by_role("slider", name="seed").input_value() == "7"
    assert page.get_by_role("slider", name="negatives").input_value() == str(CHOICES["n_sample"].index(1024))
    assert page.get_by_role("slider", name="lanes").input_value() == str(CHOICES["batch_size"].index(32))  # 5 is none


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_it_fits_and_does_not_move(show, small, screenshots, theme, width):
    page, heights = show(small, theme=theme, width=width), set()
    widget = page.locator(".rnnbook-widget")
    for name, *_ in PRESETS:
        page.get_by_role("button", name=name).click()
        heights.add(widget.bounding_box()["height"])
    page.get_by_role("button", name=PRESETS[0][0]).click()
    page.get_by_role("button", name="One update").click()
    wait_for(page, "Update 1")
    heights.add(widget.bounding_box()["height"])
    assert len(heights) == 1 and page.evaluate("document.documentElement.scrollWidth") <= width
    widget.screenshot(path=screenshots / f"training-{theme}-{width}.png")
