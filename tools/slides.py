"""Lecture slides from a chapter: what is to be seen on the slides, what is to be told in the speaker's notes.

On slides go the first sentences of a section's first paragraphs, its equations, figures, widgets and tables, the
claims, the questions to be answered first, the errata, and code cells with the tag ``slide``. All prose goes into the
notes.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert.filters import Highlight2HTML, markdown2html
from pygments.formatters import HtmlFormatter

from rnnbook import plots
from tools import blocks, lower, pages

HERE = Path(__file__).parent
ROOM = 13.0  # lines of text that fit on a slide under its title
POINTS = 3  # sentences on a slide, besides what is to be seen


@dataclass
class Slide:
    """One slide: HTML on it and in the speaker's notes, and how many lines it has."""

    title: str
    first: bool = False  # of a section: slides of one section stand below each other
    parts: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    lines: float = 0.0
    points: int = 0  # how many of the parts are sentences
    kind: str = ""  # "title", "question", "alone" (a figure or widget), "boxes" or, with room for sentences, ""


class Deck:
    """Collects slides in the order of the page."""

    def __init__(self, page, lowering):
        self.page, self.lowering, self.slides, self.lead = page, lowering, [], ""

    def new(self, title, **options):
        self.slides.append(Slide(title, **options))
        return self.slides[-1]

    @property
    def now(self):
        return self.slides[-1]

    def put(self, html, lines, *, alone=False):
        """On this slide if there is room, else on one more with the same title."""
        under_a_remark = html.startswith("<svg") and self.now.points == len(self.now.parts) and self.now.lines < 3.5
        full = (alone and not under_a_remark) or (self.now.lines + lines > ROOM and not alone)
        if self.now.parts and (full or self.now.kind == "alone"):
            self.new(self.now.title)
        if alone:
            self.now.kind = "alone"
        self.now.parts.append(html)
        self.now.lines += lines

    def html(self, text):
        """MyST to HTML without links: a slide asks the network for nothing."""
        return unlinked(markdown2html(self.lowering.lower(text).strip()))

    def tell(self, text):
        self.now.notes.append(self.html(text))

    # Blocks

    def add(self, part):
        if isinstance(part, nbformat.NotebookNode):
            self.cell(part)
        elif isinstance(part, blocks.Directive):
            self.directive(part)
        elif isinstance(part, blocks.Math):
            self.math(part)
        elif isinstance(part, str):
            for paragraph in re.split(r"\n\s*\n", part.strip()):
                self.paragraph(paragraph.strip())

    def paragraph(self, text):
        heading = re.match(r"(#+) (.*)", text)
        if heading and len(heading[1]) == 1:
            self.new(heading[2], first=True, kind="title")
        elif heading:
            self.new(heading[2], first=len(heading[1]) == 2)
            self.lead = ""
        elif text.startswith("**After this chapter**"):
            goals = re.sub(r"\*\*After this chapter\*\*\s+you can\s+", "", " ".join(text.split())).rstrip(".")
            self.new("After this chapter you can", first=True)
            items = "\n".join(f"- {goal.removeprefix('and ')}" for goal in goals.split("; "))
            self.put(self.html(items), 0)
            self.tell(text)
        elif text.startswith(("**You need**", "**Time:**")):
            self.tell(text)
        elif text and not text.startswith("<!--"):  # a map is for readers, questions from memory are for a later day
            self.lead = text
            self.tell(text)
            if re.match(r"([-*]|\d+\.) ", text):
                self.put(self.html(text), lines_of(text) + text.count("\n"))
            elif not text.startswith(("```", "|")):
                self.point(first_sentences(text))

    def point(self, text):
        """A sentence on this slide, if there is room for it."""
        if (not self.now.kind and self.now.points < POINTS and self.now.lines + lines_of(text) <= 0.8 * ROOM
                and not text.endswith((":", ",")) and not text[0].islower()):
            self.put(self.html(text), lines_of(text))
            self.now.points += 1

    def math(self, block):
        rows = 1 + block.body.count(r"\\") + 0.6 * block.body.count(r"\frac") ** 0.5
        html = "" if self.now.parts and self.now.lines + 1.5 * rows <= ROOM else self.introduction()
        self.put(html + self.formula(block), 1.5 * rows + 0.8 + (2 if html else 0))

    def formula(self, block):
        return f'<div class="formula">{escape(self.lowering.math(block), quote=False)}</div>'

    def introduction(self):
        """The sentence that leads to what comes now, where it says so by a colon."""
        if not self.lead.endswith((":", ",")):
            return ""
        return self.html(sentences(self.lead)[-1])

    def directive(self, d):
        title = d.argument
        if d.name == "admonition" and "claim" in d.options.get("class", ""):
            text = self.html(d.body)
            self.put(f'<div class="box claim"><b>{escape(title)}</b>{text}</div>', lines_of(d.body) + 1.6)
            self.now.kind = "boxes"
        elif d.name == "admonition" and title == "Predict first":
            self.question(d)
        elif d.name == "admonition" and d.options.get("class") == "from-the-lecture":
            self.tell(d.body)
        elif d.name == "admonition":
            self.errata(d)
        elif d.name == "bibliography":
            pass
        else:
            self.tell(f"```{{{d.name}}} {title}\n{d.body}\n```" if d.name in lower.CODE else d.body)

    def question(self, d):
        question, answer = "", ""
        for block in blocks.parse(d.body):
            if isinstance(block, blocks.Directive) and block.name == "dropdown":
                answer = block.body
            elif isinstance(block, blocks.Math):
                question += f"\n$$\n{block.body}\n$$\n"
            elif isinstance(block, str):
                question += block
        before = self.now.title
        self.new("Predict first", kind="question")
        self.put(f'<div class="box question">{self.html(question)}</div>'
                 f'<div class="box answer fragment">{self.html(answer)}</div>', ROOM)
        self.tell("Let everybody write down an answer, then ask for hands, then go on to the answer.")
        self.new(before)  # what follows the question

    def errata(self, d):
        """A line for each thing that is put right; the whole in the notes."""
        for paragraph in re.split(r"\n\s*\n", d.body.strip()):
            self.put(f'<div class="erratum">{self.html(paragraph)}</div>', lines_of(paragraph) + 0.6)

    def exercises(self, several):
        """A list of the exercises with their times."""
        lines = []
        for exercise in several:
            text = "\n".join(block.body if isinstance(block, blocks.Directive) else block
                             for block in exercise.text if not isinstance(block, blocks.Math))
            found = re.search(r"\*\*(.+?)\.?\*\*\s*\(([^)]*)\)", text, re.S)
            number = self.lowering.labels[exercise.label].text.split()[-1]
            lines.append(f"- {number} **{found[1]}** ({found[2]})" + (", graded by tests" if exercise.answer else ""))
        self.put(self.html("\n".join(lines)), len(lines))

    # Cells

    def cell(self, cell):
        figure = cell.metadata.get("mystnb", {}).get("figure")
        outputs = [nbformat.from_dict(output) for output in cell.get("outputs", [])]
        html = ["".join(output.data["text/html"]) for output in outputs if "text/html" in output.get("data", {})]
        if figure:
            alt = " ".join(cell.metadata["mystnb"]["image"]["alt"].split())
            svg = next(output.data["image/svg+xml"] for output in outputs if "image/svg+xml" in output.get("data", {}))
            caption = self.lowering.caption(figure)
            self.put(f'{plots.inline(svg, figure["name"], alt)}'
                     f'<div class="caption">{unlinked(markdown2html(first_sentences(caption, 30, 140)))}</div>',
                     ROOM, alone=True)
            self.now.notes.append(unlinked(markdown2html(caption)))
        elif "no-slide" in cell.metadata.get("tags", []):
            pass  # too tall to be read on one
        elif any("rnnbook-widget" in text for text in html):
            widget = next(text for text in html if "rnnbook-widget" in text)
            self.put(widget, ROOM, alone=True)
        elif html:
            tables = unlinked("\n".join(html))
            said = [output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]
            self.put("".join(self.html(text) for text in said) + tables, 2 + len(said) + 0.8 * tables.count("<tr"))
        elif "slide" in cell.metadata.get("tags", []):
            source = Highlight2HTML()(cell.source)
            printed = "".join(output.text for output in outputs if output.output_type == "stream")
            self.put(source + (f"<pre>{escape(printed)}</pre>" if printed else ""),
                     0.75 * (cell.source + printed).count("\n") + 1.5)
            self.now.kind = "boxes"


def unlinked(html):
    return re.sub(r"</?a\b[^>]*>", "", html)


def sentences(text):
    return re.split(r"(?<=[.?!])\s+(?=[A-Z“$*`\\(])", " ".join(text.split()))


def first_sentences(text, enough=60, most=240):
    """The first sentences of a paragraph, so many that they have about ``enough`` characters."""
    said = ""
    for sentence in sentences(text):
        if said and (len(said) >= enough or len(said) + len(sentence) > most):
            break
        said = f"{said} {sentence}".strip()
    return said


def lines_of(text):
    return 0.6 + len(" ".join(text.split())) / 72


def deck(page, parts):
    """The slides of a chapter, from its stream of blocks, cells and exercises."""
    made = Deck(page, lower.Lowering(page))
    exercises = []
    for part in parts:
        if not isinstance(part, (str, blocks.Directive, blocks.Math, blocks.Target, nbformat.NotebookNode)):
            exercises.append(part)
            continue
        if exercises:
            made.exercises(exercises)
            exercises = []
        made.add(part)
    return without_remarks(made.slides)


def without_remarks(slides):
    """The slides, but for those in the middle of a section that hold nothing but sentences: their notes move on."""
    kept, notes, heading = [], [], ""
    for slide in slides:
        goes_on = slide.title == heading
        heading = slide.title if slide.kind != "question" else heading
        if slide.kind == "title" or len(slide.parts) > (slide.points if goes_on else 0):
            slide.notes[:0] = notes
            notes = []
            kept.append(slide)
        else:
            notes += slide.notes
    return kept


def write(page, parts, path):
    """Write the slides of a page as one HTML file beside the libraries."""
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=False, trim_blocks=True, lstrip_blocks=True)
    title, *made = deck(page, parts)
    stacks = []
    for slide in made:
        if slide.first or not stacks:
            stacks.append([])
        stacks[-1].append(slide)
    html = environment.get_template("slides.html").render(
        page=page, title=title, stacks=stacks, book=pages.CONFIG["title"],
        code=HtmlFormatter(style="a11y-light").get_style_defs(".highlight"))
    path.write_text(html, encoding="utf-8")


def copy_libraries(folder):
    """Put reveal.js and MathJax beside the slides, from the packages that bring them."""
    reveal = Path(importlib.util.find_spec("sphinx_revealjs").origin).parent / "_static" / "revealjs"
    mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    folder.mkdir(parents=True)
    for name in ("dist/reveal.js", "dist/reveal.css", "dist/reset.css", "plugin/notes/notes.js", "LICENSE"):
        (folder / "reveal" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(reveal / name, folder / "reveal" / name)
    shutil.copy(mathjax / "tex-svg.js", folder / "mathjax.js")
    shutil.copy(HERE / "slides.css", folder)
