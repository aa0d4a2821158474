"""Links to widgets: the address says what is shown, and a page opened with it shows it again."""

import pytest
from test_widgets import status

from rnnbook import widgets
from rnnbook.widgets import SessionParallelStepper

pytestmark = pytest.mark.browser
SHOWN = "document.querySelector('[role=status]')?.textContent.length > 0"

ALONE = ["DistillationExplorer", "EvaluationLab", "GradientFlowExplorer", "LiveTraining", "LossRace", "PrefixExplorer",
         "RankingLossExplorer", "SessionParallelStepper"]  # those that need no model
LINKS = [
    ("DistillationExplorer", "strength=0.25&sees=both&n=30"), ("GradientFlowExplorer", "radius=1.2&bias=2&cells=lstm"),
    ("LossRace", "negatives=64&step=gradient+descent&steps=12"), ("PrefixExplorer", "session=1&rate=0&form=positions"),
    ("RankingLossExplorer", "target=1.5&negatives=-1,2&loss=bpr-max")]


def allowed(value, values):
    if isinstance(values, list):
        return value in values
    if "of" in values:
        return values["least"] <= len(value) <= values["most"] and all(allowed(each, values["of"]) for each in value)
    return values["low"] <= value <= values["high"]


@pytest.mark.parametrize("name", ALONE)
def test_what_a_widget_shows_at_first_may_stand_in_its_link(name):
    widget = getattr(widgets, name)()
    assert widget.linked()
    for trait, values in widget.linked().items():
        assert widget.trait_metadata(trait, "sync"), trait
        assert allowed(getattr(widget, trait), values), trait


@pytest.mark.parametrize("name, asked", LINKS)
def test_each_explorer_opens_from_its_link(show, name, asked):
    page = show(getattr(widgets, name)())
    before = status(page)
    page.evaluate(f"location.hash = '#{name}:{asked}'")
    page.wait_for_function("text => document.querySelector('[role=status]').textContent !== text", arg=before)
    opened = status(page)
    page.reload()
    page.wait_for_function(SHOWN)
    assert status(page) == opened
    page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.taken = text; }; }")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("A link to what you see is copied.").wait_for()
    taken = page.evaluate("decodeURIComponent(taken.replaceAll('+', ' '))")
    assert all(part in taken for part in asked.replace("+", " ").split("&"))


@pytest.mark.parametrize("over", ["file", "http"])
def test_what_the_reader_does_is_in_the_address(show, over):
    page = show(SessionParallelStepper(), over=over)
    assert "#" not in page.url
    page.get_by_role("button", name="Step →").click()
    page.get_by_role("button", name="Step →").click()
    page.wait_for_url("**#SessionParallelStepper:*")
    assert page.url.endswith("#SessionParallelStepper:batch_size=3&step=2&forgotten=0")
    before = status(page)
    page.reload()
    page.wait_for_function(SHOWN)
    assert status(page) == before


def test_a_link_can_be_followed_on_the_page_itself_and_asks_for_one_of_two(show):
    page = show(SessionParallelStepper(), SessionParallelStepper())
    first, second = (page.locator(".rnnbook-widget").nth(i).locator("[role=status]") for i in (0, 1))
    before = first.text_content()
    page.evaluate("location.hash = '#SessionParallelStepper-2:step=1'")
    page.wait_for_function("text => document.querySelectorAll('[role=status]')[1].textContent !== text", arg=before)
    assert first.text_content() == before
    assert second.text_content().startswith("Step 2 of")


def test_a_link_is_copied_or_where_that_is_refused_said(show):
    page = show(SessionParallelStepper())
    page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.taken = text; }; }")
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("A link to what you see is copied.").wait_for()
    assert page.evaluate("taken").endswith("#SessionParallelStepper:batch_size=3&step=0&forgotten=0")
    page.evaluate("() => { navigator.clipboard.writeText = async () => { throw new Error('refused'); }; }")
    page.get_by_role("button", name="Copy link").click()
    field = page.get_by_role("textbox", name="link to what you see")
    assert field.input_value().endswith("#SessionParallelStepper:batch_size=3&step=0&forgotten=0")


@pytest.mark.parametrize("asked", ["step=99", "step=-1", "step=1.5", "step=", "batch_size=0", "batch_size=%3Cimg%3E",
                                   "toString=1", "items=1", ""])
def test_what_a_link_may_not_set_is_left_out(show, asked):
    page = show(SessionParallelStepper())
    before = status(page)
    page.evaluate(f"location.hash = '#SessionParallelStepper:{asked}'")
    page.reload()
    page.wait_for_function(SHOWN)
    assert status(page) == before
