"""The widget that trains in the page: the same curve as the package's, with a worker and without, from a link."""

import pytest

from rnnbook.metrics import evaluate_sessions
from rnnbook.widgets import LiveTraining, training
from rnnbook.widgets.training import CHOICES, DEFAULT, PRESETS

SMALL = {"sessions": 1000, "batch_size": 64, "n_sample": 16, "hidden_size": 16, "loss": "bpr-max", "bptt": 2, "seed": 3}


def recall(model, data):
    return evaluate_sessions(model, data, n_boot=1).recall


def status(page):
    return page.get_by_role("status").text_content()


def wait_for(page, words):
    page.wait_for_function("words => document.querySelector('[role=status]').textContent.includes(words)", arg=words)


@pytest.fixture
def small(monkeypatch):
    """A widget that begins with a small training of two epochs."""
    monkeypatch.setattr(training, "DEFAULT", DEFAULT | SMALL)
    return LiveTraining(n_epochs=2)


def copied(page):
    """What "Copy as Python" would put into a clipboard; it is shown where there is none."""
    page.evaluate("""() => Object.defineProperty(navigator, "clipboard",
                                                 { value: { writeText: () => Promise.reject() } })""")
    before = status(page)
    page.get_by_role("button", name="Copy as Python").click()
    page.wait_for_function("before => document.querySelector('[role=status]').textContent !== before", arg=before)
    return status(page)


@pytest.mark.parametrize("worker", [True, False])
@pytest.mark.parametrize("over", ["file", "http"])
def test_the_copied_cell_gives_the_curve_of_the_page(show, small, over, worker):
    page = show(small, over=over)
    if not worker:
        page.evaluate("delete window.Worker")
    assert status(page) == "Nothing is trained yet."
    page.get_by_role("button", name="Train").click()
    wait_for(page, "after 2.0 epochs")
    assert page.get_by_role("button", name="Go on").is_disabled()
    told, code = status(page), copied(page)
    if worker and over == "file":
        known = {}
        exec(code.replace("patience=2)", "patience=2, progress=False)"), known)  # the reader's own cell, run as it is
        shown = float(told.split("Recall@20 ")[1].split()[0])
        assert shown == pytest.approx(known["model"].history[-1]["recall"], abs=0.003)
        world = known["world"]
        test = world.sample(300, seed=2)
        assert f"last click {recall(world.last_item(), test):.3f}, optimum {recall(world.bayes(), test):.3f}" in told


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
    page.evaluate("location.hash = '#train:loss=top1&seed=7&n_sample=1024&batch_size=5&evil=%3Cimg%3E'")
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
