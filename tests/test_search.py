"""The search: chapters first, then the glossary, the package's reference last; on a phone, and from a file."""

import re

import pytest

from tools.weight import served

pytestmark = pytest.mark.browser


@pytest.fixture
def search(new_tab, noise, built):
    """search(words, width, over) gives the tab with what was found, opened over http or from a file."""
    with served(built) as address:
        def search(words, width=1280, over="http"):
            tab = new_tab(viewport={"width": width, "height": 900})
            tab.on("pageerror", lambda error: noise.append(str(error)))
            tab.goto(f"{address if over == 'http' else built.as_uri()}/search.html?q={words}")
            tab.locator(".search-summary", has_text="finished").wait_for()
            return tab

        yield search


def pages_found(tab):
    return tab.locator("#search-results li > a").evaluate_all("links => links.map(link => link.getAttribute('href'))")


@pytest.mark.parametrize("over", ["http", "file"])
@pytest.mark.parametrize("words", ["Kalman", "softmax", "evaluate", "negative sampling"])
def test_chapters_come_first_and_the_reference_last(search, words, over):
    found = pages_found(search(words, over=over))
    kinds = ["chapter" if re.match(r"book/\d", page) else "glossary" if page.startswith("book/glossary")
             else "reference" if page.startswith("book/api") else "other" for page in found]
    order = ["chapter", "glossary", "other", "reference"]
    assert kinds == sorted(kinds, key=order.index) and {"chapter", "reference"} <= set(kinds)
    if words == "Kalman":
        assert found[0].startswith("book/04_rrn.html")
    if words == "negative sampling":
        assert any(page.startswith("book/glossary.html") for page in found)


@pytest.mark.parametrize("words", ["negative sampling", "gradient", "Kalman"])
def test_what_is_quoted_is_words(search, words):
    tab = search(words)
    texts = tab.locator("#search-results p.context")
    n = tab.locator("#search-results li:not(:has(span))").count()  # of names in the package there is no text to quote
    tab.wait_for_function("n => document.querySelectorAll('#search-results p.context').length >= n", arg=n)
    quoted = texts.all_text_contents()
    assert len(quoted) > 3 and not [text for text in quoted if re.search(r"[\\${}]", text)]
    assert sum(words.split()[0].lower() in text.lower() for text in quoted) > len(quoted) / 2


def test_a_phone_shows_all_of_it(search):
    tab = search("Kalman", width=390)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    wide = tab.locator("#search-results *").evaluate_all(
        "parts => parts.map(part => part.getBoundingClientRect().right).filter(right => right > 390)")
    assert wide == []
    sign, field = (tab.locator(f".bd-search-container .bd-search {part}") for part in ("i, svg", "input"))
    padding = float(field.evaluate("field => getComputedStyle(field).paddingLeft").removesuffix("px"))
    assert sign.first.bounding_box()["x"] + sign.first.bounding_box()["width"] <= field.bounding_box()["x"] + padding


def test_on_the_page_that_was_found_no_button_stands_above_the_title(search):
    tab = search("softmax")
    tab.locator("#search-results a").first.click()
    tab.locator("span.highlighted").first.wait_for()
    assert not tab.locator(".highlight-link").first.is_visible()
    tab.keyboard.press("Escape")
    assert tab.locator("span.highlighted").count() == 0
