"""Lecture slides, from the `{slide}` blocks that stand in a chapter beside the section they belong to.

A block has the short text of one slide, and below a line ``+++`` the notes for the teacher; with the option ``:ask:``
it has a question, its answer and the notes. The page's own figures, tables, widgets, equations and code are shown by
name, so a slide shows what the page shows. `contributing/slides.md` explains the options.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import dataclass
from html import escape
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from nbconvert.filters import Highlight2HTML, markdown2html
from pygments.formatters import HtmlFormatter

from rnnbook import plots
from tools import blocks, lower, pages

HERE = Path(__file__).parent
OPTIONS = {"minutes", "show", "code", "ask", "symbols"}
MOST_CODE = 8  # lines
TALL = 0.7  # of its width: a figure that is higher gets larger beside the text than below it
CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PATIENCE = 180_000  # milliseconds: for what hangs, not for what is slow on a busy machine


@dataclass
class Slide:
    """One slide. All but the title and the numbers is HTML."""

    title: str
    minutes: float
    text: str
    notes: str
    answer: str = ""
    shown: str = ""  # a figure, widget, table or equation of the page
    code: str = ""
    beside: bool = False  # a tall figure, which stands beside the text
    is_title: bool = False
    start: float = 0  # minutes since the lecture began


class Deck:
    """Makes the slides of a page from its cells, executed."""

    def __init__(self, page, executed):
        self.page, self.cells = page, executed.cells
        self.lowering = lower.Lowering(page, lower.glued(executed))
        self.named = {}
        for cell in self.cells:
            if cell.cell_type == "code":
                name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name") or cell.metadata.get("name")
                self.named[name] = cell
            else:
                self.named |= {block.label: block for block in blocks.parse(cell.source)
                               if isinstance(block, blocks.Math) and block.label}

    def rows(self):
        """A list of slides for each section of the page that has some; the first begins with the title."""
        rows = [[self.title(), self.goals()]]
        for cell in self.cells:
            for part in blocks.parse(cell.source) if cell.cell_type == "markdown" else ():
                if isinstance(part, blocks.Directive) and part.name == "slide":
                    rows[-1].append(self.slide(part))
                elif isinstance(part, str) and "```{slide}" in part:
                    raise ValueError(f"{self.page.source.name}: a slide's title has no backtick, or it is no block")
                elif isinstance(part, str) and re.search(r"^## ", part, re.M) and not part.startswith("```"):
                    rows.append([])
        clock = 0
        for slide in (slide for row in rows for slide in row):
            slide.start = clock
            clock += slide.minutes
        return [row for row in rows if row]

    def html(self, text):
        """MyST to HTML without links: a slide asks the network for nothing."""
        return unlinked(markdown2html(self.lowering.lower(text).strip()))

    def paragraph(self, beginning):
        """The paragraph of the page's head that begins with these words, without them, on one line."""
        text = self.page.source.read_text(encoding="utf-8")
        return " ".join(re.search(rf"^\*\*{beginning}\*\*(.+?)\n\n", text, re.M | re.S)[1].split())

    def title(self):
        notes = f"Students need {self.paragraph('You need')}"
        return Slide(self.page.title, 1, "", self.html(notes), is_title=True)

    def goals(self):
        goals = self.paragraph("After this chapter").removeprefix("you can ").rstrip(".").split("; ")
        items = "\n".join(f"- {goal.removeprefix('and ')}" for goal in goals)
        notes = "Read them out, and come back to them at the end: which of them can everybody do now?"
        return Slide("After this chapter you can", 2, self.html(items), self.html(notes))

    def slide(self, block):
        def wrong(what):
            return ValueError(f"{self.page.source.name}: the slide {block.argument!r} {what}")

        if not block.options.keys() <= OPTIONS or "minutes" not in block.options:
            raise wrong(f"must have minutes, and no options but {', '.join(sorted(OPTIONS))}")
        texts = re.split(r"^\+\+\+[ \t]*$", block.body, flags=re.M)
        needed = texts[1:] if "show" in block.options else texts
        if len(texts) != 2 + ("ask" in block.options) or not all(text.strip() for text in needed):
            raise wrong("must have a text and notes below a line '+++'; a question has an answer between the two")
        wanted = [block.options[option] for option in ("show", "code") if option in block.options]
        missing = [name for name in wanted if name not in self.named]
        if missing:
            raise wrong(f"shows {missing[0]!r}, which is no cell or equation of the page")
        made = Slide(re.sub(r"</?p>|\n$", "", self.html(block.argument)),
                     float(block.options["minutes"]), self.html(texts[0]), self.html(texts[-1]))
        if "ask" in block.options:
            made.answer = self.html(texts[1])
        if "show" in block.options:
            made.shown = self.show(self.named[block.options["show"]])
            box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', made.shown.partition(">")[0])
            made.beside = box is not None and float(box[2]) > TALL * float(box[1])
        if "code" in block.options:
            source = self.named[block.options["code"]].source
            if len(source.splitlines()) > MOST_CODE:
                raise wrong(f"shows more than {MOST_CODE} lines of code")
            made.code = Highlight2HTML()(source)
        return made

    def show(self, named):
        if isinstance(named, blocks.Math):
            formula = escape(named.body.strip().rstrip(",."), quote=False)
            return f'<div class="formula">$$\n{formula}\n$$</div>'
        return "\n".join(filter(None, (self.output(named, output) for output in named.outputs)))

    def output(self, cell, output):
        """An output of a cell as HTML; nothing of where its numbers come from: the page has that."""
        if output.output_type == "stream":
            return f"<pre>{escape(output.text)}</pre>" if output.name == "stdout" else ""
        data = output.data
        if "image/svg+xml" in data:
            alt = " ".join(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "").split())
            svg = output.metadata.get("image/svg+xml", {}).get("slide") or "".join(data["image/svg+xml"])
            return plots.inline(svg, cell.metadata["mystnb"]["figure"]["name"], alt)
        if "text/html" in data:
            html = "".join(data["text/html"])
            if 'class="provenance"' in html:
                return ""
            return html if "rnnbook-widget" in html else unlinked(html)
        return self.html("".join(data["text/markdown"])) if "text/markdown" in data else ""


def unlinked(html):
    return re.sub(r"</?a\b[^>]*>", "", html)


def write(page, executed, folder):
    """Write the slides of a page, one HTML file beside the libraries, and a second one to be printed."""
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=False, trim_blocks=True, lstrip_blocks=True)
    environment.filters["clock"] = lambda minutes: f"{int(minutes) // 60}:{minutes % 60:02.0f}"
    code = HtmlFormatter(style="a11y-light").get_style_defs(".highlight")
    for template, name in (("slides.html", f"{page.stem}.html"), ("handout.html", f"{page.stem}-handout.html")):
        html = environment.get_template(template).render(
            page=page, rows=Deck(page, executed).rows(), book=pages.CONFIG["title"], code=code)
        (folder / name).write_text(html, encoding="utf-8")


def copy_libraries(folder):
    """Put reveal.js and MathJax beside the slides, from the packages that bring them."""
    reveal = Path(importlib.util.find_spec("sphinx_revealjs").origin).parent / "_static" / "revealjs"
    mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dist/reveal.js", "dist/reveal.css", "dist/reset.css", "plugin/notes/notes.js", "LICENSE"):
        (folder / "reveal" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(reveal / name, folder / "reveal" / name)
    shutil.copy(mathjax / "tex-svg.js", folder / "mathjax.js")
    shutil.copy(HERE / "slides.css", folder)


def chromium():
    """The system's Chromium, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


def print_pdf(folder, stems):
    """Print decks and handouts as PDF; False if there is no Chromium."""
    if not chromium():
        return False
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 1280, "height": 720})
        tab.set_default_timeout(PATIENCE)
        for stem in stems:
            for form in ("deck", "handout"):
                tab.goto(f"{(folder / f'{stem}-handout.html').as_uri()}#{form}")
                tab.reload()  # another form of the same address does not load it again
                tab.wait_for_selector("body[data-ready]")
                name = f"{stem}.pdf" if form == "deck" else f"{stem}-handout.pdf"
                tab.pdf(path=folder / name, prefer_css_page_size=True, print_background=True)
        browser.close()
    return True
