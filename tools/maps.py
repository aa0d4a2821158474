"""The map at the head of a chapter: its sections with the minutes that reading them takes, made from the page itself.

The page asks for it by a comment. There it also names, by their headings, the section before which students stop who
read ahead of the lecture, and what may be skipped at first reading:

    <!-- map
    before the lecture: "See it for yourself"
    skip: ["The scan", "What others found"]
    -->
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml
from docutils import nodes

from tools import blocks

PLACEHOLDER = re.compile(r"<!-- map\n(.*?)-->", re.S)
HEADING = re.compile(r"^(##+) (.+)$")
AFTER = ("Exercises", "From memory", "What came next")  # not read in one go with the rest

# Minutes, for one who studies: prose at half the speed of a novel, formulas and figures looked at, questions answered
WORD, EQUATION, CODE_LINE, FIGURE, QUESTION, WIDGET = 1 / 100, 1.0, 0.2, 1.0, 2.0, 4.0
STOP = "- *Before the lecture, read up to {}.*"
SKIP = " · *may be skipped*"


@dataclass
class Section:
    title: str
    depth: int
    minutes: float = 0.0
    parts: list = field(default_factory=list)  # the sections in it


def sections(page):
    """The sections of a chapter as far as it is read in one go, each with those in it."""
    found = []
    for part in (part for cell in page.read().cells for part in parts(cell)):
        heading = HEADING.match(part) if isinstance(part, str) else None
        if heading and len(heading[1]) == 2:
            found.append(Section(heading[2], 2))
        elif heading:
            found[-1].parts.append(Section(heading[2], 3))
        elif found:
            section = found[-1].parts[-1] if found[-1].parts else found[-1]
            section.minutes += minutes(part)
    return [section for section in found if section.title not in AFTER]


def parts(cell):
    """A cell, or the blocks of its text with each heading by itself."""
    if cell.cell_type == "code":
        yield cell
        return
    for block in blocks.parse(cell.source):
        yield from re.split(r"^(##+ .+)$", block, flags=re.M) if isinstance(block, str) else [block]


def minutes(part):
    """How long a block of text or a cell takes at first reading; what is folded takes no time."""
    if isinstance(part, str):
        return WORD * len(part.split())
    if isinstance(part, blocks.Math):
        return EQUATION * (1 + part.body.count(r"\\"))
    if isinstance(part, blocks.Directive) and part.name == "slide":
        return 0.0
    if isinstance(part, blocks.Directive):
        inside = sum(map(minutes, blocks.parse(part.body)))
        return inside + QUESTION * ("predict-first" in part.options.get("class", ""))
    if isinstance(part, blocks.Target):
        return 0.0
    shown = not {"hide-input", "remove-input", "remove-cell"} & set(part.metadata.get("tags", []))
    return (CODE_LINE * shown * len(part.source.splitlines()) + FIGURE * ("figure" in part.metadata.get("mystnb", {}))
            + WIDGET * ("rnnbook.widgets" in part.source))


def whole(section):
    return section.minutes + sum(map(whole, section.parts))


def filled(text, page, link: Callable[[str], str] = str):
    """A page's text with its map in place of the comment that asks for it; `link` makes a link to a heading."""
    asked = PLACEHOLDER.search(text)
    if not asked:
        return text
    marks = yaml.safe_load(asked[1])
    skipped = "|".join(map(re.escape, marks["skip"]))
    text = re.sub(rf"^(##+ (?:{skipped}))$", r"\1\n\n*May be skipped at first reading.*", text, flags=re.M)
    return text.replace(asked[0], chapter_map(page, marks, link))


def chapter_map(page, marks, link):
    """MyST: a list of the sections, with the two marks."""
    before, skip, lines = marks["before the lecture"], marks["skip"], []
    found = sections(page)
    known = {part.title for section in found for part in (section, *section.parts)}
    if {before, *skip} - known:
        raise ValueError(f"{page.source.name}: its map names no section {', '.join({before, *skip} - known)}")
    for section in found:
        if section.title == before:
            lines.append(STOP.format("here"))
        lines.append(f"- {link(section.title)} · {time(section)}" + SKIP * (section.title in skip))
        for part in section.parts:
            if part.title == before:
                lines.append("  - " + STOP.format(f"“{link(part.title)}”").removeprefix("- "))
            if part.title in skip and section.title not in skip:
                lines.append(f"  - {link(part.title)} · {time(part)}{SKIP}")
    total = sum(map(whole, found))
    return (f":::{{admonition}} Map: about {5 * round(total / 5)} minutes to read\n:class: chapter-map\n"
            + "\n".join(lines) + "\n:::")


def time(section):
    return f"{max(1, round(whole(section)))}\N{NO-BREAK SPACE}min"


def html_link(title):
    return f'<a href="#{nodes.make_id(title)}">{title}</a>'
