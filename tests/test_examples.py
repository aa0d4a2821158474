"""The pages of the package: every public name is explained, and classes and functions have examples that run."""

import doctest
import importlib
import inspect
import re
import sys
from functools import cached_property
from types import FunctionType

import pytest

from tools import pages
from tools.book_sphinx import documented, public

MODULES = [module for page in pages.toc() for module in documented(page)]
BEFORE = "from {} import *\nimport numpy as np, pandas as pd, torch"  # as the page says


def members(cls):
    """The public methods and properties that a class itself defines."""
    kinds = property, cached_property, classmethod, staticmethod, FunctionType
    return [name for name, it in vars(cls).items() if isinstance(it, kinds) and not name.startswith("_")]


def test_the_modules_are_found():
    assert {"rnnbook.rnn", "rnnbook.gru4rec", "rnnbook.widgets"} <= set(MODULES)
    assert ("GRU4Rec", importlib.import_module("rnnbook.gru4rec").GRU4Rec) in public("rnnbook.gru4rec")
    assert all(public(module) for module in MODULES) and len(set(MODULES)) == len(MODULES)


def test_the_index_of_the_package_leads_to_every_name(built):
    html = (built / "book" / "api.html").read_text(encoding="utf-8")
    found = set(re.findall(r'href="api/rnnbook-[a-z0-9]+\.html#([\w.]+)"', html))
    assert {f"{module}.{name}" for module in MODULES for name, _ in public(module)} <= found


def test_no_field_is_explained_by_its_number(built):
    texts = [(built / f"{page.docname}.html").read_text(encoding="utf-8") for page in pages.toc() if documented(page)]
    assert len(texts) > 10 and not [text for text in texts if "Alias for field number" in text]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_explained(module):
    python_made = "{}(".format  # the text that a dataclass or a named tuple gets by itself
    bare = [name for name, it in public(module) if not it.__doc__ or it.__doc__.startswith(python_made(name))]
    bare += [f"{name}.{member}" for name, cls in public(module) if inspect.isclass(cls) for member in members(cls)
             if not inspect.getdoc(getattr(cls, member))]
    assert not bare


@pytest.mark.parametrize("module", MODULES)
def test_every_class_and_function_has_an_example(module):
    assert not [name for name, it in public(module) if ">>>" not in (it.__doc__ or "")]


@pytest.mark.parametrize("module", MODULES)
def test_examples_fit_beside_the_contents(module):
    """At 1280 pixels the text of a function has room for 97 characters of code."""
    texts = [inspect.getdoc(it) or "" for _, cls in public(module) for it in (cls, *vars(cls).values())]
    code = [line.strip() for text in texts for line in text.splitlines() if line.strip().startswith((">>> ", "... "))]
    assert [line for line in code if len(line) > 97] == []


@pytest.mark.parametrize("module", MODULES)
def test_examples(module, seeds):
    names = {}
    exec(BEFORE.format(module), names)
    finder, output = doctest.DocTestFinder(), []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    from_elsewhere = [it for _, it in public(module) if it.__module__ != module]
    for it in [sys.modules[module], *from_elsewhere]:
        for example in finder.find(it, module=sys.modules[getattr(it, "__module__", module)], globs=names):
            runner.run(example, out=output.append)
    assert runner.tries
    assert not runner.failures, "".join(output)
