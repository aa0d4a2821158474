"""The page of the package: every public name is explained, and classes and functions have examples that run."""

import doctest
import importlib
import inspect
import re
import sys
from functools import cached_property
from types import FunctionType

import pytest

from tools import pages

API = (pages.ROOT / "book" / "api.md").read_text(encoding="utf-8")
MODULES = re.findall(r"automodule:: (\S+)", API)
BEFORE = "from {} import *\nimport numpy as np, pandas as pd, torch"  # as the page says


def public(module):
    """(name, class or function) of all that the page shows of a module."""
    module = importlib.import_module(module)
    own = [name for name, it in vars(module).items() if getattr(it, "__module__", None) == module.__name__]
    named = [(name, getattr(module, name)) for name in getattr(module, "__all__", own) if not name.startswith("_")]
    return [(name, it) for name, it in named if inspect.isclass(it) or inspect.isfunction(it)]


def members(cls):
    """The public methods and properties that a class itself defines."""
    kinds = property, cached_property, classmethod, staticmethod, FunctionType
    return [name for name, it in vars(cls).items() if isinstance(it, kinds) and not name.startswith("_")]


def test_the_modules_are_found():
    assert {"rnnbook.rnn", "rnnbook.gru4rec", "rnnbook.widgets"} <= set(MODULES)
    assert ("GRU4Rec", importlib.import_module("rnnbook.gru4rec").GRU4Rec) in public("rnnbook.gru4rec")
    assert all(public(module) for module in MODULES)


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
