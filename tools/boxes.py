"""What the pages fold at first sight: code that is not taught, and how a claim is shown; what a line keeps together.

In print all is open, except folded code.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

from tools import pages

CHECKS = re.compile(r"\bassert\b|\bassert_\w+\(")
PERCENT = re.compile(r"(?<=\d)\s?%")
AS_TYPED = nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw
SENTENCE = re.compile(r"(?<=[.?!])(?:\s+(?=[A-Z“])|\s*$)")


class NamedFolds(SphinxPostTransform):
    """Each folded cell says what a click shows."""

    default_priority = 198  # MyST-NB folds at 199
    formats = ("html",)

    def run(self, **options):
        for cell in self.document.findall(nodes.container):
            if cell.get("hide_mode"):
                cell["prompt_show"], cell["prompt_hide"] = (f"{verb} {content(cell)}" for verb in ("Show", "Hide"))


def content(cell):
    """What the code of a cell does, by what comes out of it, in words for a reader."""
    html = "".join(raw.astext() for raw in cell.findall(nodes.raw))
    source = next(cell.findall(nodes.literal_block)).astext()
    if "rnnbook-widget" in html:
        return "the code of the widget"
    if next(cell.findall(nodes.image), None):
        return "the code of the figure"
    if "<table" in html:
        return "the code of the table"
    if source.startswith(("import ", "from ")) and len(cell.children) == 1:
        return "the imports"
    return "the check" if CHECKS.search(source) else "the code"


class Percentages(SphinxPostTransform):
    """A number and its per cent sign stand on one line, with a space between them."""

    default_priority = 200
    formats = ("html",)

    def run(self, **options):
        for text in list(self.document.findall(nodes.Text)):
            if not isinstance(text.parent, AS_TYPED):
                together = PERCENT.sub("\N{NO-BREAK SPACE}%", text)
                if together != text:
                    text.parent.replace(text, nodes.Text(together))


class ClaimBoxes(SphinxPostTransform):
    """A claim in one line, its state and its first sentence; what follows, its source and its tests are folded."""

    default_priority = 200
    formats = ("html",)

    def run(self, **options):
        marks = pages.claim_marks()
        for box in list(self.document.findall(nodes.admonition)):
            name = next((name for name in box["ids"] if name.startswith("claim-")), None)
            if name and "claim" in box["classes"]:
                box.replace_self(folded(box, name, marks.get(name.removeprefix("claim-"), [])))


def folded(box, name, tests):
    title, first, *rest = box.children
    state = title.astext().removeprefix("Claim: ")
    claim, more = halves(first)
    line = nodes.inline("", "", *claim)
    for reference in list(line.findall(nodes.reference)):
        # A link in what opens the fold could not be followed.
        reference.replace_self(nodes.inline("", "", *reference.children, classes=["reference"]))
    link = f'<a class="headerlink" href="#{name}" title="Link to this claim">#</a>'
    return nodes.container(
        "", html(f'<details><summary><span class="claim-state">{state}</span> '), line,
        html("</summary>"), *([nodes.paragraph("", "", *more)] if more else []), *rest,
        html(f"<p>Shown by {', '.join(map(test_link, tests))}.</p></details>{link}"),
        ids=box["ids"], classes=["admonition", *box["classes"]])


def html(text):
    return nodes.raw("", text, format="html")


def test_link(test):
    """HTML: the name of a test, which breaks between its words, linked to its file."""
    file, name = test.split("::")
    words = name.replace("_", "_<wbr>")
    return f'<a href="{pages.REPOSITORY}/blob/{pages.BRANCH}/{file}"><code>{words}</code></a>'


def halves(paragraph):
    """The first sentence of a paragraph, and what follows it: two lists of nodes."""
    children = [child.deepcopy() for child in paragraph.children]
    for n, child in enumerate(children):
        end = SENTENCE.search(child) if isinstance(child, nodes.Text) else None
        if end and (end.end() < len(child) or n + 1 < len(children)):
            before, after = child[:end.start()], child[end.end():]
            return [*children[:n], nodes.Text(before)], [*([nodes.Text(after)] if after else []), *children[n + 1:]]
    return children, []
