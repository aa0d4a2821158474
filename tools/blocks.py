"""Cut MyST text into blocks: directives, displayed math, targets, and everything else as it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent

import yaml

FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,}|:{3,})[ \t]*(?:\{(?P<name>[\w:.-]+)\})?(?P<rest>.*)$")


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
    lines = text.splitlines()
    plain = []
    i = 0
    while i < len(lines):
        line = lines[i]
        fence = FENCE.match(line)
        if fence and (fence["name"] or fence["fence"][0] != ":"):
            yield from flush(plain)
            end = closing(lines, i + 1, fence["fence"])
            inner = dedent("\n".join(lines[i + 1:end]))
            if fence["name"]:
                options, body = split_options(inner)
                yield Directive(fence["name"], fence["rest"].strip(), options, body, fence["indent"])
            else:
                yield "\n".join(lines[i:end + 1])
            i = end + 1
            continue
        target = re.match(r"^\(([\w:.-]+)\)=\s*$", line)
        if target:
            yield from flush(plain)
            yield Target(target[1])
        elif line.lstrip().startswith("$$"):
            yield from flush(plain)
            end = i
            while not re.search(r"\$\$\s*(\([\w:.-]+\))?\s*$", lines[end][2 + lines[end].index("$$"):] if end == i
                                else lines[end]):
                end += 1
            whole = "\n".join(lines[i:end + 1])
            math = re.fullmatch(r"(\s*)\$\$(.*)\$\$\s*(?:\(([\w:.-]+)\))?\s*", whole, re.S)
            yield Math(dedent(math[2]), math[3], math[1])
            i = end
        elif not re.match(r"^(%( |$)|\+\+\+)", line):
            plain.append(line)
        i += 1
    yield from flush(plain)


def flush(plain):
    if plain:
        yield "\n".join(plain)
        plain.clear()


def closing(lines, start, fence):
    """Index of the line that closes `fence`; the end of the text where none does."""
    for i in range(start, len(lines)):
        bare = lines[i].strip()
        if len(bare) >= len(fence) and set(bare) == {fence[0]}:
            return i
    return len(lines)


def split_options(text):
    """(options, body) of a directive's content."""
    block = re.match(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", text, re.S)
    if block:
        return yaml.safe_load(block[1]) or {}, text[block.end():].strip("\n")
    options = {}
    lines = text.split("\n")
    while lines and (option := re.match(r"^:([\w-]+):\s*(.*)$", lines[0])):
        options[option[1]] = option[2].strip()
        lines.pop(0)
    return options, "\n".join(lines).strip("\n")
