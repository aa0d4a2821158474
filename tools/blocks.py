"""MyST text as blocks, cut where the book's own parser cuts it: directives, displayed math, targets, and the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent

from docutils.parsers.rst.directives.misc import TestDirective
from markdown_it.renderer import RendererHTML
from myst_parser.parsers.directives import parse_directive_text
from myst_parser.parsers.mdit import create_md_parser

from tools import pages

PARSER = create_md_parser(pages.MYST, RendererHTML)
PARSER.core.ruler.enableOnly(["normalize", "block"])  # what stands inside a paragraph is not asked for


@dataclass
class Directive:
    name: str
    argument: str
    options: dict
    body: str
    indent: str


@dataclass
class Math:
    body: str
    label: str | None
    indent: str


@dataclass
class Target:
    label: str


def parse(text):
    """Blocks of `text`, in order; a `str` is Markdown to be kept (a plain code fence is a `str` of its own)."""
    lines, done = text.splitlines(), 0
    for token in PARSER.parse(text):
        if token.type not in BLOCKS:
            continue
        start, end = token.map
        if done < start:
            yield "\n".join(lines[done:start])
        indent = re.match(r"\s*", lines[start])[0]
        yield from BLOCKS[token.type](token, indent, lines[start:end])
        done = end
    if done < len(lines):
        yield "\n".join(lines[done:])


def fence(token, indent, lines):
    named = re.fullmatch(r"\{([\w:.-]+)\}(.*)", token.info.strip())
    if not named:
        yield "\n".join(lines)
        return
    content = "\n" * token.content.startswith(":::") + token.content  # a directive inside, and not an option
    # Of all directives the one for tests alone takes every option as it stands.
    read = parse_directive_text(TestDirective, named[2].strip(), content)
    if read.warnings:
        raise ValueError(f"{{{named[1]}}}: {read.warnings[0].msg}")
    yield Directive(named[1], " ".join(read.arguments), read.options, dedent("\n".join(read.body)).strip("\n"), indent)


def math(token, indent, lines):
    yield Math(dedent(token.content), token.info or None, indent)


def target(token, indent, lines):
    yield Target(token.content)


def comment(token, indent, lines):
    yield from ()


# What is cut out of the Markdown around it, by the type of its token
BLOCKS = {"fence": fence, "colon_fence": fence, "math_block": math, "math_block_label": math, "myst_target": target,
          "myst_line_comment": comment, "myst_block_break": comment}
