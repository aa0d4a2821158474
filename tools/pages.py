"""What the book consists of: pages from _toc.yml, addresses from _config.yml, claims and the tests that show them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat
import yaml
from myst_nb.core.read import read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "book" / "notebooks"

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
REPOSITORY = CONFIG["repository"]["url"]
BRANCH = CONFIG["repository"]["branch"]
ONLINE = CONFIG["html"]["baseurl"]
MYST = MdParserConfig(enable_extensions=set(CONFIG["parse"]["myst_enable_extensions"]))


@dataclass(frozen=True)
class Page:
    """A page of the table of contents."""

    docname: str  # "book/01_rnn", as Sphinx names it
    number: int | None  # of a chapter; None where the part is not numbered

    @property
    def stem(self):
        return Path(self.docname).name

    @property
    def source(self):
        return ROOT / f"{self.docname}.md"

    @property
    def title(self):
        return re.search(r"^# (.+)$", self.source.read_text(encoding="utf-8"), re.M)[1]

    @property
    def notebook(self):
        """Where the generated notebook stands."""
        return NOTEBOOKS / f"{self.stem}.ipynb"

    @property
    def url(self):
        return f"{ONLINE}/{self.docname}.html"

    @property
    def colab(self):
        path = self.notebook.relative_to(ROOT).as_posix()
        return f"https://colab.research.google.com/{REPOSITORY.removeprefix('https://').replace('.com', '')}" \
               f"/blob/{BRANCH}/{path}"

    @property
    def binder(self):
        return f"https://mybinder.org/v2/gh/{REPOSITORY.removeprefix('https://github.com/')}/{BRANCH}" \
               f"?urlpath=lab/tree/{self.notebook.relative_to(ROOT).as_posix()}"

    @property
    def time(self):
        """How long the page takes, in its own words: "two hours to read ...". None if it does not say."""
        said = re.search(r"^\*\*Time:\*\* (.+?)\n\n", self.source.read_text(encoding="utf-8"), re.M | re.S)
        return said and " ".join(said[1].split())

    def read(self):
        """The page as a notebook: its code cells and, between them, MyST Markdown."""
        return read_page(self.source.read_text(encoding="utf-8"))


def read_page(text):
    """A page's text as a notebook, cut exactly as the book's builder cuts it (so that both find one cache)."""
    return read_myst_markdown_notebook(text, MYST)


def has_code(page):
    return any(cell.cell_type == "code" for cell in page.read().cells)


def has_notebook(page):
    """Whether a notebook is made of the page: if it has code, but not of the front page, which only shows a widget."""
    return page != toc()[0] and has_code(page)


def toc():
    """All pages in reading order."""
    table = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    pages = [Page(table["root"], None)]
    for part in table["parts"]:
        for number, chapter in enumerate(part["chapters"], 1):
            pages.append(Page(chapter["file"], number if part.get("numbered") else None))
            pages += [Page(section["file"], None) for section in chapter.get("sections", [])]
    return pages


STATES = ("proved", "measured", "reproduced", "not reproduced")
CITED = re.compile(r"\{cite(?::\w+)?\}`[^`]+`")
PLACE = re.compile(r", (?:(?:page|section|equation|table|figure)s? \d|abstract\b|place not checked\b)")


class Claim(NamedTuple):
    """A sentence about a model that a test or a result shows."""

    page: Page
    text: str  # MyST
    state: str  # of STATES; it stands in the title of the box and, for its colour, in its class
    sources: str  # MyST citations of where it comes from, each with its place in the paper; "" where it is ours


def claims():
    """{claim id: Claim}, for every claim that stands in a page."""
    found = {}
    fence = re.compile(r"^(:{3,}|`{3,})\{admonition\}([^\n]*)\n((?::[\w-]+:[^\n]*\n)+)(.*?)^\1\s*$", re.M | re.S)
    for page in toc():
        for _, title, options, body in fence.findall(page.source.read_text(encoding="utf-8")):
            name = re.search(r"^:name:\s*claim-(\S+)", options, re.M)
            if name is None:
                continue
            state = title.strip().removeprefix("Claim: ")
            if state not in STATES or f":class: claim {state.replace(' ', '-')}\n" not in options:
                raise ValueError(f"{page.source.name}: the claim {name[1]!r} is neither of {', '.join(STATES)} "
                                 "in its title and its class alike")
            if name[1] in found:
                raise ValueError(f"{page.source.name}: the claim {name[1]!r} stands in the book twice")
            text, _, sources = body.strip().partition("\n\nSee ")
            after = CITED.split(body)[1:]  # what follows each citation
            if not all(map(PLACE.match, after)) or (state == "reproduced" and not after):
                raise ValueError(f"{page.source.name}: the claim {name[1]!r} does not name each paper with the place "
                                 "in it, as in 'section 3.2', or with 'place not checked'")
            found[name[1]] = Claim(page, text, state, sources.rstrip("."))
    return found


@cache
def claim_marks():
    """{claim id: ["tests/test_x.py::test_y", ...]}, from the `pytest.mark.claim` decorators of the tests."""
    found = {}
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for mark in getattr(node, "decorator_list", []):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.claim":
                    for argument in mark.args:
                        found.setdefault(ast.literal_eval(argument), []).append(f"tests/{path.name}::{node.name}")
    return found


def python_notebook(cells):
    """An empty-handed notebook around `cells`, with the metadata of every generated notebook."""
    return nbformat.v4.new_notebook(cells=cells, metadata={
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    })
