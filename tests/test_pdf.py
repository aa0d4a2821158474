"""The book as a PDF, made of two small pages in the frame of the real ones."""

import re
import shutil
from typing import NamedTuple

import pytest
from pypdf import PdfReader

from tools import book, pages, pdf

pytestmark = pytest.mark.browser

LONGEST = f"long = '{'x' * 88}'"  # as long as a line of code may be
ONE = f"""<section id="one"><h1>1. One<a class="headerlink" href="#one">#</a></h1>
<p>The first page. See <a href="two.html#same">the second</a>, <a href="#same">this section</a>,
<a href="gone.html">what is not printed</a>.</p>
<div class="cell"><div class="cell_input"><div class="highlight"><pre>{LONGEST}</pre></div></div></div>
<div class="cell"><details class="hide above-input"><summary>Show code</summary><pre>folded = 1</pre></details></div>
<details class="sd-dropdown"><summary>Answer</summary><p>An answer that is open.</p></details>
<div class="rnnbook-widget"><p>A picture.</p></div>
{"<p>Words that fill a sheet.</p>" * 90}
<section id="same"><h2>1.1. A section</h2><p>Its text.</p></section></section>"""
TWO = """<section id="two"><h1>Two</h1><section id="same"><h2>The same name</h2><h3 id="deep">Deep</h3>
<p>The second page. <a href="one.html">Back</a>.</p></section></section>"""


class Page(NamedTuple):
    docname: str
    number: int | None
    title: str


PAGES = [Page("book/one", 1, "One"), Page("book/two", None, "Two")]


@pytest.fixture(scope="module")
def printed(built, browser, tmp_path_factory):
    """A `PdfReader` of both pages."""
    folder = tmp_path_factory.mktemp("html")
    (folder / "_static").symlink_to(built / "_static")
    (folder / "book").mkdir()
    frame = (built / "book" / "glossary.html").read_text(encoding="utf-8")
    before, after = re.split(r"(?<=<article class=\"bd-article\">).*(?=</article>)", frame, flags=re.S)
    for page, text in zip(PAGES, (ONE, TWO)):
        (folder / f"{page.docname}.html").write_text(f"{before}{text}{after}", encoding="utf-8")
    shutil.copy(built / "genindex.html", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book, "HTML", folder)
        opening, parts = pdf.printed_all(browser, PAGES)
        pdf.assembled(opening, parts).write(folder / "book.pdf")
    return PdfReader(folder / "book.pdf")


def text(page):
    return re.sub(r"\s+", " ", page.extract_text())


def sheets(reader):
    """{the number that stands on a sheet: its text}"""
    return dict(zip(reader.page_labels, map(text, reader.pages)))


def test_every_page_is_there_with_its_number(printed):
    numbers = printed.page_labels
    assert numbers[:3] == ["i", "ii", "1"] and numbers[2:] == [str(n + 1) for n in range(len(numbers) - 2)]
    assert len(numbers) >= 2 + 3 + 1  # the first page fills more than two sheets
    for number, words in list(sheets(printed).items())[3:]:
        assert re.search(rf"\b{number}\b", words)
    assert pages.CONFIG["title"] in sheets(printed)["i"]


def test_the_contents_name_the_sheet_on_which_a_part_begins(printed):
    found = sheets(printed)
    for heading in ("1. One", "1.1. A section", "Two", "The same name"):
        number = re.search(rf"{re.escape(heading)}\s*(\d+)", found["ii"])[1]
        assert heading in found[number]
    assert "Deep" not in found["ii"]


def bookmarks(outline, depth=0):
    for entry in outline:
        if isinstance(entry, list):
            yield from bookmarks(entry, depth + 1)
        else:
            yield depth, entry


def test_bookmarks_lead_to_every_heading(printed):
    found = [(depth, mark.title, text(printed.pages[printed.get_destination_page_number(mark)]))
             for depth, mark in bookmarks(printed.outline)]
    assert [(depth, title) for depth, title, _ in found] == [
        (0, "1. One"), (1, "1.1. A section"), (0, "Two"), (1, "The same name"), (2, "Deep")]
    assert all(title in words for _, title, words in found)


def test_links_lead_to_pages_of_the_pdf_or_online(printed):
    inside, outside = [], []
    for page in printed.pages[2:]:
        for link in (each.get_object() for each in page.get("/Annots", [])):
            if "/Dest" in link:
                inside.append(printed.get_page_number(link["/Dest"][0].get_object()))
            else:
                outside.append(link["/A"]["/URI"])
    last = len(printed.pages) - 1
    assert inside == [last, last - 1, 2]  # the second page, the end of the first one, the first one
    assert outside == [f"{pages.ONLINE}/book/gone.html", f"{pages.ONLINE}/book/one.html"]
    contents = [link.get_object() for link in printed.pages[1]["/Annots"]]
    assert len([link for link in contents if "/Dest" in link]) == 4


def test_nothing_is_cut_and_what_pages_fold_is_left_out(printed):
    first = sheets(printed)["1"]
    assert LONGEST in printed.pages[2].extract_text().splitlines()  # in one line
    assert "An answer that is open." in first and "A picture." in first and "Interactive on the page online" in first
    assert "folded" not in first
