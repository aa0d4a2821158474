"""``python -m tools.pdf``: the built book as one PDF, to print, to keep and to read without a network.

Chromium prints each page. pypdf puts them together, with bookmarks, and lets links lead from page to page.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
import time
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import yaml
from playwright.sync_api import expect, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, Fit, FloatObject, NameObject, NullObject, TextStringObject

from rnnbook import __version__
from tools import book, pages
from tools.weight import PATIENCE

PDF = book.HTML / "rnnbook.pdf"
LIMIT = 15  # MB
FRAME = "genindex"  # a page that is not printed: its frame is the front matter's
STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
READY = """() => Promise.all([window.MathJax?.startup?.promise.then(() => MathJax.startup.document.lazyTypesetAll()),
  document.fonts.ready]).then(() => true)"""

# What the address says of a widget that begins empty, when there is something to see
STILLS = ("SessionParallelStepper:step=5", "LossRace:steps=100")
SHOW = """(still) => new Promise((done) => {
  addEventListener("hashchange", () => done(), { once: true });
  location.hash = still;
})"""
# Chromium keeps a place for each part of a page that a link of the same page leads to, seen or not: here for every
# part that has a name. Returned are the headings: their level, text and name.
PREPARE = """({ style, head, start, title, online, body }) => {
  dispatchEvent(new Event("beforeprint"));  // the light theme
  const add = (parent, tag, attributes) => parent.appendChild(Object.assign(document.createElement(tag), attributes));
  const article = document.querySelector("article");
  if (body) article.innerHTML = body;
  add(document.head, "style", { textContent: `${style}
    @page { @top-left { content: ${JSON.stringify(head)} } } html { counter-reset: page ${start - 1} }` });
  const first = article.querySelector("h1");
  if (title) first.replaceChildren(title);
  article.querySelectorAll(".rnnbook-widget").forEach((widget) => {
    if (!widget.checkVisibility()) return;  // a question whose answer one draws
    const line = add(widget, "p", { className: "online" });
    add(line, "a", { href: online, textContent: "Interactive on the page online" });
    if (widget.getBoundingClientRect().height > 480) widget.classList.add("tall");  // half a sheet
  });
  article.querySelectorAll(".highlight").forEach((code) => {
    if (code.textContent.trim().split("\\n").length <= 20) code.classList.add("whole");
  });
  article.querySelectorAll("table").forEach((table) => { if (table.rows.length <= 20) table.classList.add("whole"); });
  const names = [...article.querySelectorAll("[id]:not(mjx-container *, svg *)")].map((part) => part.id);
  names.forEach((name) => add(article, "a", { href: `#${name}`, hidden: true }));
  return [...article.querySelectorAll("h1, h2, h3")].filter((heading) => !heading.closest(".rnnbook-widget"))
    .map((heading) => [Number(heading.tagName[1]), heading.innerText.replace(/#$/, "").trim(),
                       (heading.closest("section") ?? heading).id]);
}"""


class Heading(NamedTuple):
    level: int
    text: str
    name: str


class Printed(NamedTuple):
    """A page of the book on paper: from which sheet on, its headings, and {name: (sheet, left, top)} of its parts."""

    docname: str
    reader: PdfReader
    start: int
    headings: list
    places: dict


@contextmanager
def browser():
    """Chromium, the system's."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if not chromium:
        sys.exit("no Chromium: apt install chromium")
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield chrome
        chrome.close()


def printed(chrome, docname, start, head, title="", body=""):
    """A built page, `Printed` from sheet `start` on with `head` above its text; with another `title` or `body`."""
    tab = chrome.new_page(viewport={"width": 700, "height": 1000})
    tab.set_default_timeout(PATIENCE)
    tab.goto((book.HTML / f"{docname}.html").as_uri())
    tab.wait_for_function(READY)
    pose(tab)
    tab.emulate_media(media="print")
    online = f"{pages.ONLINE}/{docname}.html"
    headings = tab.evaluate(PREPARE, {"style": STYLE, "head": head, "start": start, "title": title, "online": online,
                                      "body": body})
    reader = PdfReader(io.BytesIO(tab.pdf(prefer_css_page_size=True, print_background=True)))
    tab.close()
    places = {unquote(name).lstrip("/"): (start + reader.get_destination_page_number(place), place.left, place.top)
              for name, place in reader.named_destinations.items()}
    return Printed(docname, reader, start, [Heading(*each) for each in headings], places)


def pose(tab):
    """Give the widgets of a page their best still picture."""
    for still in STILLS:
        tab.evaluate(SHOW, still)
    for widget in tab.locator("[data-mounted=NextClick]").all():
        widget.get_by_role("button", name="boots").first.click()
    for widget in tab.locator("[data-mounted=InsideGRU4Rec]").all():
        widget.scroll_into_view_if_needed()  # what a fault costs is worked out when a reader comes near
        expect(widget.locator(".rb-cost:not(.rb-off)").filter(has_text="…")).to_have_count(0, timeout=PATIENCE)
    for widget in tab.locator("[data-mounted=LiveTraining]").all():
        widget.get_by_role("button", name="Train", exact=True).click()
        widget.get_by_text(re.compile(r"after (0\.[5-9]|[1-9])")).wait_for()
        widget.get_by_role("button", name="Pause").click()


def in_turn(chrome, which):
    """The pages `which`, each `Printed` after the other; yields them."""
    start = 1
    for page in which:
        title = "About this book" if page == pages.toc()[0] else ""  # whose title is the book's
        head = title or (f"{page.number}  {page.title}" if page.number else page.title)
        part = printed(chrome, page.docname, start, head, title)
        print(f"  {page.docname:<24} from page {start}", flush=True)
        yield part
        start += len(part.reader.pages)


def front(parts):
    """HTML of the title page and of the contents, with the page on which each part of the book begins."""
    table = yaml.safe_load((pages.ROOT / "_toc.yml").read_text(encoding="utf-8"))
    captions = {part["chapters"][0]["file"]: part["caption"] for part in table["parts"]}
    lines = []
    for part in parts:
        if part.docname in captions:
            lines.append(f'<p class="part">{escape(captions[part.docname])}</p>')
        for level, text, name in part.headings:
            if level < 3:
                sheet = part.places[name][0]
                lines.append(f'<a class="level-{level}" href="{part.docname}.html#{name}">'
                             f"<span>{escape(text)}</span><span>{sheet}</span></a>")
    return f"""
<div class="title-page"><img src="_static/logo.svg" alt=""><h1>{escape(pages.CONFIG["title"])}</h1>
<p>{escape(pages.CONFIG["author"])}</p>
<p>Version {__version__}. The pages online, with figures that answer: <a href="{pages.ONLINE}">{pages.ONLINE}</a></p>
<p>Text and figures CC BY 4.0, code MIT.</p></div>
<div class="contents"><h2>Contents</h2>{"".join(lines)}
<p>Code and tables that the pages fold are left out, and so is the package's reference. They are on the
<a href="{pages.ONLINE}">pages online</a>.</p></div>"""


def assembled(opening, parts):
    """The whole book as a `PdfWriter`: the front matter `opening` with Roman numbers, then the pages from 1 on."""
    writer = PdfWriter()
    for part in (opening, *parts):
        name_links(part)
        writer.append(part.reader, import_outline=False)
    del writer.root_object["/Names"]  # the parts' own, which now lead to the places themselves
    offset = len(opening.reader.pages)
    places = {(part.docname, name): place for part in parts for name, place in part.places.items()}
    places |= {(part.docname, ""): (part.start, 0, 842) for part in parts}
    for page in writer.pages:
        for link in page.get("/Annots", []):
            lead(link.get_object(), places, [sheet.indirect_reference for sheet in writer.pages][offset:])
    for part in parts:
        above = []
        for level, text, name in part.headings:
            sheet, left, top = part.places[name]
            del above[level - 1:]
            above.append(writer.add_outline_item(title=text, page_number=offset + sheet - 1,
                                                 parent=above[-1] if above else None, fit=Fit.xyz(left, top)))
    writer.set_page_label(0, offset - 1, style="/r")
    writer.set_page_label(offset, len(writer.pages) - 1, style="/D")
    writer.page_mode = "/UseOutlines"
    writer.root_object[NameObject("/Lang")] = TextStringObject("en")
    writer.metadata = {"/Title": pages.CONFIG["title"], "/Author": pages.CONFIG["author"]}
    writer.compress_identical_objects(remove_duplicates=True, remove_unreferenced=True)
    return writer


def name_links(part):
    """Let links inside a page name it, as links to other pages do: two pages may have parts of one name."""
    for page in part.reader.pages:
        for link in page.get("/Annots", []):
            link = link.get_object()
            if "/Dest" in link:
                address = f"{(book.HTML / part.docname).as_uri()}.html#{str(link.pop('/Dest')).lstrip('/')}"
                link[NameObject("/A")] = DictionaryObject({NameObject("/S"): NameObject("/URI"),
                                                           NameObject("/URI"): TextStringObject(address)})


def lead(link, places, sheets):
    """Let a link to a page of the book lead to its place in the PDF, or online where the PDF does not have it."""
    address = link.get("/A", {}).get("/URI", "")
    local = f"{book.HTML.as_uri()}/"
    if not address.startswith(local):
        return
    path, _, name = address.removeprefix(local).partition("#")
    place = places.get((path.removesuffix(".html"), unquote(name)))
    if place is None:
        link["/A"][NameObject("/URI")] = TextStringObject(f"{pages.ONLINE}/{address.removeprefix(local)}")
        return
    sheet, left, top = place
    del link["/A"]
    link[NameObject("/Dest")] = ArrayObject([sheets[sheet - 1], NameObject("/XYZ"), FloatObject(left),
                                             FloatObject(top), NullObject()])


def printed_all(chrome, which):
    """The front matter and the pages `which` of the built book, each `Printed`."""
    parts = list(in_turn(chrome, which))
    return printed(chrome, FRAME, 1, "", body=front(parts)), parts


def main():
    start = time.perf_counter()
    book.html()
    print("Printing the pages", flush=True)
    with browser() as chrome:
        opening, parts = printed_all(chrome, [page for page in pages.toc() if not page.docname.startswith("book/api")])
    assembled(opening, parts).write(PDF)
    size = PDF.stat().st_size / 1e6
    print(f"{PDF.relative_to(pages.ROOT)}: {size:.1f} MB in {time.perf_counter() - start:.0f} s")
    if size > LIMIT:
        sys.exit(f"The PDF has more than {LIMIT} MB.")


if __name__ == "__main__":
    main()
