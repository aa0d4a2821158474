"""The built book as a reader meets it: every page in a real browser, with no network."""

import base64
import re
import struct
from contextlib import nullcontext
from types import SimpleNamespace

import nbformat
import pytest

from tools import book, pages

PAGES = pages.toc()
STICKS_OUT = """() => [...document.querySelectorAll("main *")].filter(element => {
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height || box.right <= innerWidth + 1) return false;
    for (let node = element; node; node = node.parentElement)
        if (getComputedStyle(node).position === "fixed"
            || node !== element && getComputedStyle(node).overflowX !== "visible" && node.tagName !== "BODY")
            return false;
    return true;
}).map(element => `${element.tagName}.${element.className} reaches ${element.getBoundingClientRect().right}`)"""

pytestmark = pytest.mark.browser


@pytest.fixture
def picture(request, screenshots):
    """picture(tab, name) keeps the whole page, for people to look at, where they ask for it by --pictures."""
    def take(tab, name):
        if request.config.option.pictures:
            tab.screenshot(path=screenshots / f"{name}.png", full_page=True)

    return take


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_opens(visit, picture, page, theme):
    tab = visit(page, theme)
    assert tab.locator("html").get_attribute("data-theme") == theme
    assert tab.locator("article h1").count() == 1
    assert tab.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert tab.evaluate("document.querySelectorAll('.math').length === 0 || !!document.querySelector('mjx-container')")
    no_alt = tab.evaluate("[...document.images].filter(i => !i.alt.trim()).map(i => i.src)")
    assert no_alt == []
    not_loaded = tab.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
    assert not_loaded == []
    assert tab.evaluate("window.moved") < 0.05
    picture(tab, f"{page.stem}-{theme}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_phone_needs_no_sideways_scrolling(visit, picture, page):
    tab = visit(page, width=360)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate(STICKS_OUT) == []
    assert tab.evaluate("window.moved") < 0.05
    picture(tab, f"{page.stem}-360")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_figures_say_what_they_show(page):
    """Alt text states the finding: of a sentence's length, and not the caption again."""
    for cell in page.read().cells:
        mystnb = cell.metadata.get("mystnb", {})
        if "figure" in mystnb:
            alt = mystnb.get("image", {}).get("alt", "")
            assert len(alt.split()) >= 6, f"{mystnb['figure'].get('name')}: {alt!r}"
            assert alt != mystnb["figure"].get("caption")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_figures_are_drawn_in_the_books_style(page):
    """It makes them readable, and refuses bars on an axis that does not hold zero."""
    code = [cell for cell in page.read().cells if cell.cell_type == "code"]
    if any("figure" in cell.metadata.get("mystnb", {}) for cell in code):
        assert any("plots.style()" in cell.source for cell in code)
        assert not any("figure.hooks" in cell.source for cell in code)


def test_a_figure_that_cannot_be_drawn_stops_the_build():
    """It is drawn when its cell is done, so that it is no error of the cell."""
    page = SimpleNamespace(read=lambda: pages.python_notebook([nbformat.v4.new_code_cell(
        "import matplotlib.pyplot as plt\nfrom rnnbook import plots\nplots.style()\n"
        "ax = plt.subplots()[1]\nax.bar([1, 2], [0.9, 0.8])\nax.set_ylim(0.5, 1);")]))
    assert "bars on an axis from 0.5 to 1" in book.run_page(page)[2]


def test_a_figure_too_high_for_a_slide_has_a_form_for_it():
    page = SimpleNamespace(read=lambda: pages.python_notebook([nbformat.v4.new_code_cell(
        "import matplotlib.pyplot as plt\nfrom rnnbook import plots\nplots.style()\n"
        "fig, axes = plt.subplots(2, sharex=True, figsize=(5, 6))")]))
    (output,) = book.run_page(page)[0].cells[0].outputs
    width, height = struct.unpack(">II", base64.b64decode(output.data["image/png"])[16:24])
    assert 530 < width <= 550 and 640 < height <= 660
    for svg, high in ((output.data["image/svg+xml"], True), (output.metadata["image/svg+xml"]["slide"], False)):
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
        assert (float(box[2]) > float(box[1])) == high


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_text_is_swallowed_as_a_comment(page):
    """In MyST a line that starts with % is a comment: a "95 %" broken across lines would lose its sentence."""
    for cell in page.read().cells:
        if cell.cell_type == "markdown":
            assert not any(line.lstrip().startswith("%") for line in cell.source.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_on_a_laptop_no_code_scrolls_sideways(page):
    """At 1280 pixels the text column has room for 98 characters of code."""
    for cell in page.read().cells:
        if cell.cell_type == "code":
            assert [line for line in cell.source.splitlines() if len(line) > 98] == []


@pytest.mark.parametrize("page", [page for page in PAGES if pages.has_notebook(page)], ids=lambda page: page.stem)
def test_badge_opens_the_notebook_in_colab(built, page):
    html = (built / f"{page.docname}.html").read_text(encoding="utf-8")
    assert html.count(f'href="{page.colab}"') == 1
    assert page.colab.endswith(page.notebook.relative_to(pages.ROOT).as_posix()) and page.notebook.exists()


@pytest.mark.parametrize("page", [page for page in PAGES if page.number], ids=lambda page: page.stem)
def test_a_chapter_stands_wherever_one_looks_for_it(page):
    module = page.stem.split("_", 1)[1]
    for file, text in (("book/index.md", f":link: {page.stem}\n"), ("book/index.md", f"<!-- time {page.stem} -->"),
                       (f"book/api/rnnbook-{module}.md", f".. automodule:: rnnbook.{module}\n"),
                       ("book/instructors.md", f"<{page.stem}>"), ("README.md", f"`rnnbook/{module}.py`")):
        assert text in (pages.ROOT / file).read_text(encoding="utf-8"), f"{file} lacks the chapter: no {text!r}"
    assert (pages.ROOT / "tests" / f"test_{module}.py").exists()


def test_claims_and_tests_name_each_other():
    claims, marks = set(pages.claims()), set(pages.claim_marks())
    assert claims - marks == set(), "claims of the book that no test is marked with"
    assert marks - claims == set(), "marks of tests that no page claims"
    assert claims


@pytest.mark.parametrize("title,classes", [("Claim", "claim"), ("Claim: shown", "claim shown"),
                                           ("Claim: proved", "claim"), ("Claim: proved", "claim not-reproduced")])
def test_a_claim_without_a_state_is_refused(monkeypatch, tmp_path, title, classes):
    page = tmp_path / "page.md"
    box = ":::{{admonition}} {}\n:class: {}\n:name: claim-it\nIt holds.\n\nSee {{cite:t}}`wu2017joint`, table 1.\n:::\n"
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "toc", lambda: [pages.Page("page", None)])
    page.write_text(box.format("Claim: not reproduced", "claim not-reproduced"))
    assert pages.claims()["it"][1:] == ("It holds.", "not reproduced", "{cite:t}`wu2017joint`, table 1")
    page.write_text(box.format(title, classes))
    with pytest.raises(ValueError, match=r"page\.md: the claim 'it' is neither of proved, measured"):
        pages.claims()


@pytest.mark.parametrize("claim,refused", [
    ("It holds.\n\nSee {cite:t}`a`, section 3.2, and {cite:t}`b`, equations 2 to 5.", False),
    ("It holds.\n\nSee {cite:t}`a`, place not checked.", False),
    ("It holds.\n\nSee {cite:t}`a`.", True),
    ("It holds.\n\nSee {cite:t}`a` and {cite:t}`b`, section 3.2.", True),
    ("It holds.\n\nSee {cite:t}`a`, section 3.2, and {cite:t}`b`.", True),
    ("It holds.\n\nSee {cite:t}`a`, which is long.", True),
    ("It holds, as in {cite:t}`a`.", True),
    ("It holds.", True),
])
def test_a_reproduced_claim_names_the_place_in_the_paper(monkeypatch, tmp_path, claim, refused):
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "toc", lambda: [pages.Page("page", None)])
    (tmp_path / "page.md").write_text(":::{admonition} Claim: reproduced\n:class: claim reproduced\n:name: claim-it\n"
                                      f"{claim}\n:::\n")
    with pytest.raises(ValueError, match="the claim 'it' does not name each paper") if refused else nullcontext():
        pages.claims()


def test_every_claim_is_in_the_ledger(built):
    html = (built / "book" / "claims.html").read_text(encoding="utf-8")
    for claim, (page, _, state, sources) in pages.claims().items():
        entry = re.search(rf'href="{page.stem}.html#claim-{claim}"[^\n]*{state}</span>(.*?)Shown by', html, re.S)
        for place in pages.CITED.split(sources)[1:]:
            assert " ".join(place.split()).strip(", ").removesuffix(", and") in " ".join(entry[1].split())
        assert f'id="claim-{claim}"' in (built / f"{page.docname}.html").read_text(encoding="utf-8")


def test_when_the_code_has_changed_all_pages_are_built_again(monkeypatch, tmp_path):
    """Sphinx itself would keep those whose own text is the same, with their old outputs."""
    monkeypatch.setattr(book, "BUILD", tmp_path)
    monkeypatch.setattr(book, "CACHE", tmp_path / ".jupyter_cache")
    monkeypatch.setattr(book, "STAMP", tmp_path / ".jupyter_cache" / "code.sha256")
    monkeypatch.setattr(pages, "toc", list)
    kept = tmp_path / ".doctrees" / "page"
    for digest, stays in (("one", False), ("one", True), ("two", False)):
        kept.parent.mkdir(exist_ok=True)
        kept.touch()
        monkeypatch.setattr(book, "code_digest", lambda digest=digest: digest)
        with nullcontext() if stays else pytest.raises(LookupError, match="was not executed"):
            book.executions()
        book.open_cache()
        assert kept.exists() == stays and book.executions() == {}


def test_no_test_takes_what_was_executed_before_a_page_changed(monkeypatch, tmp_path):
    page = pages.toc()[-1]
    monkeypatch.setattr(book, "is_current", lambda: True)
    monkeypatch.setattr(book, "CACHE", tmp_path)
    monkeypatch.setattr(pages, "toc", lambda: [page])
    monkeypatch.setattr(pages, "has_code", lambda page: True)
    with pytest.raises(LookupError, match="was not executed"):
        book.executions()


def test_an_empty_page_is_noticed(tmp_path):
    frame = "<html><nav>" + "word " * 100 + "</nav><article>{}</article></html>"
    path = tmp_path / "page.html"
    assert not book.is_page(path)
    path.write_text(frame.format("<h1>A title and no more</h1>"))
    assert not book.is_page(path)
    path.write_text(frame.format("<h1>A title</h1><p>" + "text " * 40))
    assert book.is_page(path)



def test_links_to_a_page_have_a_description_and_a_picture(built):
    """Each page has words of its own for search engines and for previews, and the picture that they name is there."""
    found = {}
    for page in PAGES:
        html = (built / f"{page.docname}.html").read_text(encoding="utf-8")
        tags = dict(re.findall(r'<meta (?:name|property)="([\w:]+)" content="([^"]*)"', html))
        found[page.stem] = tags["description"]
        assert 60 < len(tags["description"]) <= 300 and not set("<$") & set(tags["description"])
        assert tags["og:description"] == tags["description"] and tags["og:url"] == page.url
        assert tags["og:image"].startswith(pages.ONLINE)
        assert (built / tags["og:image"].removeprefix(f"{pages.ONLINE}/")).stat().st_size < 200_000
    assert len(set(found.values())) == len(PAGES)


def test_an_address_that_does_not_exist_leads_back(built):
    html = (built / "404.html").read_text(encoding="utf-8")
    assert f'<base href="{pages.ONLINE}/">' in html
    links = re.findall(rf'href="{pages.ONLINE}/([^"]+)"', html[html.index("The address may be old"):])[:2]
    assert len(links) == 2 and all((built / path).exists() for path in links)
