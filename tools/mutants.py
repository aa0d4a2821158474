"""Do the tests notice? Change one thing in a module, run its tests, and count how often one fails.

    python tools/mutants.py rnnbook/metrics.py tests/test_metrics.py --sample 60 --seed 0

prints the changes that no test noticed, and the share that was noticed. A change is one comparison, operator, number,
slice, condition or statement. It is made in the memory of a process that has the tests loaded already, so what a test
file computed as it was imported stays as it was. Nothing is written to the module.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import resource
import signal
import sys
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from types import FunctionType

import pytest

OTHERS = {ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
          ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
          ast.NotIn: (ast.In,), ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
          ast.FloorDiv: (ast.Div,), ast.Mod: (ast.Mult,), ast.Pow: (ast.Mult,), ast.BitAnd: (ast.BitOr,),
          ast.BitOr: (ast.BitAnd,), ast.And: (ast.Or,), ast.Or: (ast.And,)}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum",
         "argmin": "argmax", "argmax": "argmin", "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like"}
WRAPPERS = FunctionType, classmethod, staticmethod, property, cached_property


def changed(node, **parts):
    """A copy of ``node`` with other parts."""
    new = copy.copy(node)
    vars(new).update(parts)
    return new


def variants(node):
    """What could stand in the place of ``node``."""
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            yield from (changed(node, ops=[*node.ops[:i], other(), *node.ops[i + 1:]]) for other in OTHERS[type(op)])
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        yield from (changed(node, op=other()) for other in OTHERS.get(type(node.op), ()))
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield from (ast.Constant(node.value + 1), ast.Constant(node.value - 1))
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in NAMES:
        yield changed(node, id=NAMES[node.id])
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.attr in NAMES:
        yield changed(node, attr=NAMES[node.attr])
    elif isinstance(node, ast.Slice):
        for end in ("lower", "upper"):
            if getattr(node, end) and not isinstance(getattr(node, end), ast.Constant):
                yield changed(node, **{end: ast.BinOp(getattr(node, end), ast.Add(), ast.Constant(1))})
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield changed(node, test=ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Expr | ast.AugAssign | ast.Raise | ast.Continue | ast.Break) or (
            isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple)):
        yield ast.Pass()
    elif isinstance(node, ast.Return) and node.value:
        yield ast.Return(None)


def shown(node):
    return " ".join(ast.unparse(getattr(node, "test", node)).split())[:90]


def mutants(tree):
    """Yield (lines, text, changed module) for every change; the lines are None outside of functions."""
    def visit(node, lines):
        if isinstance(node, ast.stmt) and lines:
            body = getattr(node, "body", None)
            lines = range(node.lineno, max(node.lineno + 1, body[0].lineno) if body else node.end_lineno + 1)
        for field, old in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list") or isinstance(node, ast.Raise | ast.JoinedStr):
                continue
            for i, child in enumerate(old if isinstance(old, list) else [old]):
                if not isinstance(child, ast.AST) or isinstance(getattr(child, "value", child), str):
                    continue
                if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):  # a docstring
                    continue
                inner = lines
                if isinstance(child, ast.stmt) and (lines or isinstance(node, ast.FunctionDef)):
                    inner = range(child.lineno, child.end_lineno + 1)
                yield from visit(child, inner)
                for new in variants(child):
                    put = (lambda it, old=old, i=i: old.__setitem__(i, it)) if isinstance(old, list) else (
                        lambda it, node=node, field=field: setattr(node, field, it))
                    put(new)
                    yield inner, f"{child.lineno}: {shown(child)}  ->  {shown(new)}", tree
                    put(child)
    return visit(tree, None)


def graft(old, new):
    """Give the functions of ``old``, which others hold already, the code of ``new``."""
    if isinstance(old, FunctionType):
        old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__
    for inner in ("__wrapped__", "__func__", "fget", "func"):
        if isinstance(old, WRAPPERS) and hasattr(old, inner):
            graft(getattr(old, inner), getattr(new, inner))
    if isinstance(old, type) and old.__module__ == new.__module__:
        for name, value in vars(new).items():
            if isinstance(value, int | float | str | tuple) and not name.startswith("__"):
                setattr(old, name, value)
            elif name in vars(old) and not isinstance(value, type):
                graft(vars(old)[name], value)


def change(module, code):
    """Put changed code into a module that is in use."""
    old, new = vars(module), dict(vars(module))
    exec(code, new)
    for name, value in new.items():
        if isinstance(value, int | float | str | tuple) and value is not old.get(name):
            for other in [it for it in sys.modules.values() if it.__name__.startswith(("rnnbook", "test_"))]:
                for alias in [alias for alias, it in vars(other).items() if it is old.get(name)]:
                    setattr(other, alias, value)
        elif getattr(value, "__module__", None) == module.__name__ and name in old:
            graft(old[name], value)


class Mutants:
    """Pytest plugin that runs the tests once for each change, in a process of its own, instead of once."""

    def __init__(self, given):
        self.given, self.path = given, given.module.resolve()

    def pytest_configure(self):
        settings = import_module("hypothesis").settings
        settings.register_profile("mutants", database=None, derandomize=True)
        settings.load_profile("mutants")

    def pytest_runtestloop(self, session):
        status, seconds, told = self.run(session, session.items, 600, note=True)
        if status:
            sys.exit(f"without any change the tests fail: {told}")
        runs = {item: set(lines) for item, lines in zip(session.items, json.loads(told))}
        module = import_module(".".join(self.given.module.with_suffix("").parts))
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        total = sum(1 for _ in mutants(tree))
        chosen = random.Random(self.given.seed).sample(range(total), min(self.given.sample or total, total))
        missed = 0
        for number, (lines, text, other) in enumerate(mutants(tree)):
            if number not in chosen:
                continue
            first = [item for item in session.items if not lines or not runs[item].isdisjoint(lines)]
            files = {item.path for item in first}  # a test of another file cannot notice
            items = first + [item for item in session.items if item.path in files and item not in first]
            code = compile(ast.fix_missing_locations(other), self.path, "exec")
            status, _, _ = self.run(session, items, 10 + 3 * seconds, partial(change, module, code))
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
                print(f"{self.given.module}:{text}  (noticed: the tests do not end)", flush=True)
            elif not status:
                missed += 1
                print(f"{self.given.module}:{text}" + "  (no test runs it)" * (not first), flush=True)
        print(f"{self.given.module}: {len(chosen) - missed} of {len(chosen)} changes noticed, "
              f"{(len(chosen) - missed) / len(chosen):.0%}; {total} are possible")
        return True

    def run(self, session, items, seconds, prepare=lambda: None, note=False):
        """(how it ended, seconds of the processor, JSON of what was noted) of tests in a process of its own."""
        ours, theirs = os.pipe()
        if pid := os.fork():
            os.close(theirs)
            with open(ours, encoding="utf-8") as pipe:
                told = pipe.read()
            _, status, used = os.wait4(pid, 0)
            return status, used.ru_utime + used.ru_stime, told
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
        signal.alarm(60 + int(30 * seconds))  # ends what waits for ever
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        status, told = 1, []
        try:
            prepare()
            for item, following in zip(items, [*items[1:], None]):
                told.append(lines := set())
                if note:
                    sys.settrace(self.tracer(lines))
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                sys.settrace(None)
                if session.testsfailed:
                    told = [[item.nodeid]]
                    break
            status = int(session.testsfailed > 0)
            os.write(theirs, json.dumps([*map(list, told)]).encode()) if note else None
        finally:
            os._exit(status)

    def tracer(self, lines):
        path = str(self.path)

        def trace(frame, event, _):
            if frame.f_code.co_filename == path:
                lines.add(frame.f_lineno)
                return trace
            return None

        return trace


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+", help="files, or what pytest takes")
    parser.add_argument("--sample", type=int, default=60, help="changes tried, drawn by chance (60; 0: all)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.path[0] = os.getcwd()  # as with python -m pytest
    pytest.main(["-s", "-o", "addopts=", "-p", "no:terminal", "-p", "no:cacheprovider", *given.tests], [Mutants(given)])


if __name__ == "__main__":
    main()
