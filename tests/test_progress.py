"""What a reader has done is kept in the browser and shown; keys lead through the book and stay out of the way."""

import json
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import SETTLE
from test_reader import REFUSE

from tools import weight

pytestmark = pytest.mark.browser

CHAPTER = "book/02_gru4rec"
MARK = ".bd-links a.current .progress-mark"
NEXT = "**/03_improved.html"
KEPT = "JSON.parse(localStorage.getItem('rnnbook:progress'))"


@pytest.fixture(scope="module")
def address(built):
    with weight.served(built) as address:
        yield address


@pytest.fixture
def tab(new_tab, noise, address):
    """A chapter in a browser that keeps what is stored."""
    tab = new_tab(viewport={"width": 1280, "height": 900})
    tab.on("pageerror", lambda error: noise.append(str(error)))
    tab.add_init_script(weight.WATCH)
    tab.goto(f"{address}/{CHAPTER}.html")
    return tab


def test_a_page_is_read_at_its_end_and_not_before(tab):
    assert tab.locator(".progress-mark").count() == 0
    tab.locator(".prev-next-footer").scroll_into_view_if_needed()
    tab.locator(MARK).wait_for()
    assert tab.locator(MARK).text_content() == "✓ (read)"
    tab.keyboard.press("n")
    tab.wait_for_url(NEXT)
    link = tab.locator(".bd-links a", has_text="2. GRU4Rec")
    assert link.locator(".progress-mark").get_attribute("title") == "read"
    assert tab.locator(".progress-mark").count() == 1


def test_marks_and_boxes_move_nothing(tab):
    def places():
        tab.wait_for_function(SETTLE)
        return tab.evaluate("""[...document.querySelectorAll(".bd-links a, article h2, article .exercise p")]
            .map((part) => part.getBoundingClientRect()).map(({ x, width, height }) => [x, width, height])""")

    before = places()
    tab.get_by_label("Exercise 2.1 done").check()
    assert tab.locator(MARK).get_attribute("title") == "1 exercise done"
    assert places() == before
    tab.goto(tab.url)
    tab.locator(MARK).wait_for()
    assert places() == before and tab.evaluate("window.moved") < 0.01


def test_exercises_and_predictions_are_counted_and_kept(tab):
    box = tab.get_by_label("Exercise 2.2 done")
    box.focus()
    tab.keyboard.press("Space")
    tab.get_by_label("Your prediction").first.fill("nine")
    tab.locator(MARK, has_text="○ (1 prediction, 1 exercise done)").wait_for()
    tab.reload()
    assert box.is_checked() and not tab.get_by_label("Exercise 2.1 done").is_checked()
    box.uncheck()
    assert tab.locator(MARK).get_attribute("title") == "1 prediction"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_front_page_leads_back_to_where_the_reader_was(tab, address, width):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"{address}/book/index.html")
    tab.evaluate("localStorage.clear()")
    tab.reload()
    invitation = tab.locator(".continue")
    assert invitation.text_content().strip().startswith("Start with ")
    height = invitation.bounding_box()["height"]
    tab.goto(f"{address}/{CHAPTER}.html")
    tab.evaluate("document.getElementById('sampling-on-the-output').scrollIntoView({ behavior: 'instant' })")
    tab.goto(f"{address}/book/index.html")
    link = invitation.locator("a")
    assert invitation.text_content() == "Continue where you were: 2.4. Sampling on the output"
    assert invitation.bounding_box()["height"] == height and tab.evaluate("window.moved") < 0.01
    link.click()
    tab.wait_for_url(f"**/{CHAPTER}.html#sampling-on-the-output")


def test_keys_lead_through_the_book(tab):
    tab.keyboard.press("n")
    tab.wait_for_url(NEXT)
    tab.keyboard.press("p")
    tab.wait_for_url(f"**/{CHAPTER}.html")
    tab.keyboard.press("/")
    tab.wait_for_function("document.activeElement.matches('input[type=search]')")
    tab.keyboard.type("np?/")
    assert tab.evaluate("document.activeElement.value") == "np?/"
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name="Keys and your progress").click()
    dialog = tab.get_by_role("dialog", name="Keys and progress")
    for line in ("/search", "nnext page", "pprevious page", "?this window"):
        assert line in dialog.text_content()
    tab.keyboard.press("n")  # not while it is open
    tab.keyboard.press("Escape")
    assert dialog.count() == 0 and CHAPTER in tab.url


def test_keys_are_left_to_fields_widgets_and_the_browser(tab):
    tab.get_by_label("Your prediction").first.focus()
    tab.keyboard.type("np?")
    assert tab.get_by_label("Your prediction").first.input_value() == "np?"
    tab.locator(".rnnbook-widget button").first.focus()
    tab.keyboard.type("np?")
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("Control+n")
    assert tab.locator("dialog.help").count() == 0 and tab.url.endswith(f"{CHAPTER}.html")


def test_progress_is_saved_forgotten_and_loaded(tab, tmp_path):
    tab.get_by_label("Exercise 2.1 done").check()
    tab.get_by_label("Your prediction").first.fill("nine")
    tab.keyboard.press("Escape")
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("?")
    status = tab.locator("dialog.help [role=status]")
    assert status.text_content() == "1 prediction, 1 exercise done. It is kept in this browser only."
    with tab.expect_download() as download:
        tab.get_by_text("Save as a file").click()
    saved = Path(tmp_path / download.value.suggested_filename)
    download.value.save_as(saved)
    assert all(key.startswith("rnnbook:") for key in json.loads(saved.read_text(encoding="utf-8")))

    tab.once("dialog", lambda question: question.accept())
    with tab.expect_navigation():
        tab.get_by_role("button", name="Forget it all").click()
    assert tab.locator(".progress-mark").count() == 0
    assert tab.evaluate(f"{KEPT}") is None
    assert tab.get_by_label("Your prediction").first.input_value() == ""

    tab.keyboard.press("?")
    (tmp_path / "other.json").write_text('{"theme": "dark"}')
    tab.get_by_label("Load a file").set_input_files(tmp_path / "other.json")
    tab.locator("dialog.help [role=status]", has_text="cannot be loaded").wait_for()
    with tab.expect_navigation():
        tab.get_by_label("Load a file").set_input_files(saved)
    assert tab.locator(MARK).get_attribute("title") == "1 prediction, 1 exercise done"
    assert tab.get_by_label("Your prediction").first.input_value() == "nine"


def test_where_storage_is_refused_all_else_works(new_tab, built):
    tab = new_tab(viewport={"width": 1280, "height": 900})
    tab.add_init_script(REFUSE)
    tab.goto((built / f"{CHAPTER}.html").as_uri())
    tab.get_by_label("Exercise 2.1 done").check()
    tab.locator(".prev-next-footer").scroll_into_view_if_needed()
    tab.keyboard.press("Escape")
    tab.evaluate("document.activeElement.blur()")
    tab.keyboard.press("?")
    assert "keep nothing" in tab.locator("dialog.help [role=status]").text_content()
    tab.keyboard.press("Escape")
    tab.locator("dialog.help").wait_for(state="hidden")
    tab.keyboard.press("n")
    tab.wait_for_url(NEXT)


def test_it_is_kept_where_pages_are_files(new_tab, built):
    tab = new_tab(viewport={"width": 1280, "height": 900})
    tab.goto((built / f"{CHAPTER}.html").as_uri())
    tab.get_by_label("Exercise 2.1 done").check()
    assert tab.evaluate(f"{KEPT}.done") == [f"{CHAPTER}#ex-steps"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_window(tab, theme):
    tab.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    tab.set_viewport_size({"width": 390, "height": 900})
    tab.keyboard.press("?")
    box = tab.locator("dialog.help").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    found = Axe().run(tab, context="dialog.help", options={"preload": False}).response
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == [] and found["passes"]
