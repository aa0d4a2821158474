"""How light a page is to read: little code and small boxes at first sight, and a map at the head of each chapter."""

import re
from functools import cache

import nbformat
import pytest
from bs4 import BeautifulSoup

from tools import blocks, maps, pages

PAGES = pages.toc()
CHAPTERS = [page for page in PAGES if page.number]
WITH_CODE = [page for page in PAGES if pages.has_notebook(page)]
# The heights of the article, of all code that is seen in it, and of all claims; outputs are no code.
SEEN = """() => {
    const height = (part) => part.checkVisibility() ? part.getBoundingClientRect().height : 0;
    const sum = (selector) => [...document.querySelectorAll(`article ${selector}`)]
        .filter(part => !part.closest(".cell_output")).reduce((total, part) => total + height(part), 0);
    return [height(document.querySelector("article")), sum("div[class*='highlight-']"), sum("div.claim")];
}"""
CODE, CLAIMS = 0.15, 0.05  # most of a page's height
HOURS = {"an hour": 1, "an hour and a half": 1.5, "two hours": 2, "two and a half hours": 2.5, "three hours": 3}
FOLDS = {"Show the code of the figure", "Show the code of the table", "Show the code of the widget", "Show the imports",
         "Show the check", "Show the code"}


@cache
def article(built, page):
    return BeautifulSoup((built / f"{page.docname}.html").read_text(encoding="utf-8"), "html.parser").article


@pytest.mark.browser
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_little_of_a_page_is_code_and_claims(visit, page):
    article, code, claims = visit(page).evaluate(SEEN)
    assert code <= CODE * article, f"{code / article:.1%} of the page is code: what teaches nothing is to be folded"
    assert claims <= CLAIMS * article


@pytest.mark.browser
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_is_large_enough_and_fits_a_laptop(visit, page):
    """At 1280 pixels no code scrolls sideways, folded code and solutions included."""
    tab = visit(page)
    tab.evaluate("document.querySelectorAll('article details').forEach(fold => { fold.open = true; })")
    small, wide = tab.evaluate("""() => {
        const code = [...document.querySelectorAll("article .cell_input pre")];
        return [code.filter(part => parseFloat(getComputedStyle(part).fontSize) < 13),
                code.filter(part => part.scrollWidth > part.clientWidth)].map(parts => parts.map(p => p.textContent));
    }""")
    assert small == wide == []


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_code_that_draws_is_folded(page):
    for cell in page.read().cells:
        if "figure" in cell.metadata.get("mystnb", {}):
            assert {"hide-input", "remove-input"} & set(cell.metadata.get("tags", [])), cell.source


def test_every_fold_says_what_a_click_shows(built):
    found = set()
    for page in WITH_CODE:
        for summary in article(built, page).select("details.hide > summary"):
            assert not summary.get("aria-label")  # it would be read in place of the words
            found.add(summary.find(class_="collapsed").text)
    assert found == FOLDS


# Claims ---------------------------------------------------------------------------------------------------


def test_a_claim_is_a_line_and_a_fold_with_its_source_and_its_tests(built):
    marks = pages.claim_marks()
    for name, claim in pages.claims().items():
        box = article(built, claim.page).find(id=f"claim-{name}")
        assert box.summary.find(class_="claim-state").text == claim.state
        assert [link.text for link in box.find_all("a", href=re.compile("/tests/"))] == [
            test.split("::")[1] for test in marks[name]]
        assert box.find("a", class_="headerlink")["href"] == f"#claim-{name}"
        whole = "".join(text for text in box.strings if not text.find_parent(class_=["math", "reference"]))
        text = re.sub(r"\$[^$]+\$|\{\S+?\}`[^`]+`", "", claim.text)
        assert letters(whole).startswith(letters(claim.state + text))
        assert ("See" in box.text) == bool(claim.sources)


def letters(text):
    return re.sub(r"[\W_]", "", text)


@pytest.mark.browser
def test_a_claim_opens_and_can_be_linked_to(visit):
    tab = visit(CHAPTERS[0])
    box = tab.locator("div.claim").first
    shown = box.get_by_text("Shown by")
    assert not shown.is_visible()
    box.locator("summary").press("Enter")
    assert shown.is_visible()
    assert tab.locator("figcaption .headerlink").count() and tab.locator(".eqno .headerlink").count()


# Maps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_a_chapter_begins_with_a_map(built, page):
    soup = article(built, page)
    box = soup.select_one(".chapter-map")
    links = {link.text: link["href"].removeprefix("#") for link in box.find_all("a")}
    assert {section.title for section in maps.sections(page)} <= links.keys()
    for title, anchor in links.items():
        section = soup.find(id=anchor)
        assert section.name == "section" and title in section.find(["h2", "h3"]).text
        assert box in section.find_all_previous("div")  # the map comes first
    assert box.text.count("Before the lecture, read up to") == 1
    assert box.text.count("may be skipped") == soup.text.count("May be skipped at first reading.") > 0


def test_a_map_that_names_no_section_is_refused():
    text = '<!-- map\nbefore the lecture: "Elsewhere"\nskip: []\n-->'
    with pytest.raises(ValueError, match="names no section Elsewhere"):
        maps.filled(text, CHAPTERS[0])


def test_minutes_are_counted_from_what_is_read():
    """Words, formulas, open code, figures and questions; what is folded takes no time."""
    text = nbformat.v4.new_markdown_cell("word " * 50)
    code = nbformat.v4.new_code_cell("a = 1\nb = 2")
    assert maps.minutes(text.source) == 50 * maps.WORD and maps.minutes(code) == 2 * maps.CODE_LINE
    code.metadata["tags"] = ["hide-input"]
    assert maps.minutes(code) == 0
    formula, question = blocks.parse("$$\na = b\n$$\n:::{admonition} Predict first\n:class: predict-first\nWhy?\n:::")
    [slide] = blocks.parse("```{slide} Why?\n:minutes: 2\n\nText.\n\n+++\n\nNotes.\n```")
    assert maps.minutes(slide) == 0
    assert maps.minutes(formula) == maps.EQUATION and maps.minutes(question) == maps.QUESTION + maps.WORD


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_the_time_that_a_chapter_names_is_that_of_its_map(page):
    named = page.time.split(" to read")[0]
    minutes = sum(map(maps.whole, maps.sections(page)))
    assert abs(HOURS[named] - minutes / 60) < 0.5, f"about {minutes:.0f} minutes"
