"""Do the tests notice? Change one thing in a module, run its tests, and count how often they fail.

    python tools/mutants.py rnnbook/metrics.py tests/test_metrics.py --sample 60 --seed 0

prints the changes that no test noticed, and the share that was noticed. A change is one comparison, operator, number,
slice, condition or statement. It is made in memory, in a process of its own; nothing is written to the module.
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
import tempfile
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path

OTHERS = {ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
          ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
          ast.NotIn: (ast.In,), ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
          ast.FloorDiv: (ast.Div,), ast.Mod: (ast.Mult,), ast.Pow: (ast.Mult,), ast.BitAnd: (ast.BitOr,),
          ast.BitOr: (ast.BitAnd,), ast.And: (ast.Or,), ast.Or: (ast.And,)}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum",
         "argmin": "argmax", "argmax": "argmin", "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like"}
PRELOADED = "torch", "pandas", "polars", "scipy.sparse", "safetensors.torch", "tqdm.auto", "pooch", "requests", "pytest"


def variants(node):
    """What could stand in the place of ``node``."""
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in OTHERS[type(op)]:
                yield ast.Compare(node.left, [*node.ops[:i], other(), *node.ops[i + 1:]], node.comparators)
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        for other in OTHERS.get(type(node.op), ()):
            yield (changed := copy.copy(node))
            changed.op = other()
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield from (ast.Constant(node.value + 1), ast.Constant(node.value - 1))
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in NAMES:
        yield ast.Name(NAMES[node.id], node.ctx)
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.attr in NAMES:
        yield ast.Attribute(node.value, NAMES[node.attr], node.ctx)
    elif isinstance(node, ast.Slice):
        for end in {"lower", "upper"} & {k for k, v in vars(node).items() if v and not isinstance(v, ast.Constant)}:
            yield (changed := copy.copy(node))
            setattr(changed, end, ast.BinOp(getattr(node, end), ast.Add(), ast.Constant(1)))
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield (changed := copy.copy(node))
        changed.test = ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.Expr | ast.AugAssign | ast.Raise | ast.Continue | ast.Break) or (
            isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple)):
        yield ast.Pass()
    elif isinstance(node, ast.Return) and node.value:
        yield ast.Return(None)


def mutants(tree):
    """Yield (first line, last line, text, changed module) for every change."""
    def visit(node, span):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            span = node.lineno, max(node.lineno, body[0].lineno - 1) if body else node.end_lineno
        for field, old in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list") or isinstance(node, ast.Raise | ast.JoinedStr):
                continue
            for i, child in enumerate(old if isinstance(old, list) else [old]):
                if not isinstance(child, ast.AST) or (isinstance(child, ast.Expr) and
                                                      isinstance(child.value, ast.Constant)):
                    continue
                yield from visit(child, span)
                for new in variants(child):
                    if isinstance(old, list):
                        old[i] = new
                    else:
                        setattr(node, field, new)
                    own = (child.lineno, child.end_lineno) if isinstance(child, ast.stmt) else span
                    was, now = (" ".join(ast.unparse(it).split())[:90] for it in (child, new))
                    yield *own, f"{child.lineno}: {was}  ->  {now}", tree
                    if isinstance(old, list):
                        old[i] = child
                    else:
                        setattr(node, field, child)
    return visit(tree, (0, 0))


class Order:
    """Pytest plugin: note which lines of the module each test runs, or begin with the tests that run given lines."""

    def __init__(self, path, lines_of=None, lines=()):
        self.path, self.lines_of, self.lines, self.test = path, lines_of or {}, lines, "import"

    def trace(self, frame, event, _):
        if frame.f_code.co_filename != self.path:
            return None
        self.lines_of.setdefault(self.test, set()).add(frame.f_lineno)
        return self.trace

    def pytest_configure(self):
        settings = import_module("hypothesis").settings
        settings.register_profile("mutants", database=None, derandomize=True)
        settings.load_profile("mutants")

    def pytest_runtest_logstart(self, nodeid):
        self.test = nodeid

    def pytest_collection_modifyitems(self, items):
        if self.lines:
            runs = {item: not self.lines_of.get(item.nodeid, set()).isdisjoint(self.lines) for item in items}
            files = {item.path for item in items if runs[item]}  # of another file, no test can notice
            items[:] = sorted((item for item in items if item.path in files), key=lambda item: not runs[item])


def run(module, code, tests, order, seconds, notes=None):
    """Run the tests in a process of its own, the module's code as given: its exit status and seconds of CPU."""
    if pid := os.fork():
        _, status, used = os.wait4(pid, 0)
        return status, used.ru_utime + used.ru_stime
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    signal.alarm(60 + int(10 * seconds))  # ends what waits for ever
    read = SourceFileLoader.get_code
    SourceFileLoader.get_code = lambda self, name: code if name == module else read(self, name)
    if notes:
        sys.settrace(order.trace)
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    status = 1
    try:
        status = int(import_module("pytest").main(["-x", "-q", "-p", "no:cacheprovider", *tests], [order]))
        sys.settrace(None)
        if notes:
            Path(notes).write_text(json.dumps({test: sorted(lines) for test, lines in order.lines_of.items()}))
    finally:
        os._exit(status)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+", help="files, or what pytest takes")
    parser.add_argument("--sample", type=int, default=60, help="changes tried, drawn by chance (60; 0: all)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.path[0] = os.getcwd()  # as with python -m pytest
    for name in PRELOADED:
        import_module(name)

    source, path = given.module.read_text(encoding="utf-8"), str(given.module.resolve())
    module = ".".join(given.module.with_suffix("").parts)
    with tempfile.NamedTemporaryFile() as notes:
        status, seconds = run(module, compile(source, path, "exec"), given.tests, Order(path), 600, notes.name)
        if status:
            sys.exit("the tests fail without any change")
        lines_of = {test: set(lines) for test, lines in json.loads(Path(notes.name).read_text()).items()}
    imported = lines_of.pop("import", set())

    tree = ast.parse(source)
    everything = sum(1 for _ in mutants(tree))
    rng = random.Random(given.seed)
    chosen = set(rng.sample(range(everything), min(given.sample or everything, everything)))
    survived = 0
    for number, (first, last, text, changed) in enumerate(mutants(tree)):
        if number not in chosen:
            continue
        lines = set(range(first, last + 1))
        if lines & imported:
            lines = set()  # of every test
        elif not any(lines & of for of in lines_of.values()):
            survived += 1
            print(f"no test runs   {path}:{text}", flush=True)
            continue
        code = compile(ast.fix_missing_locations(changed), path, "exec")
        status, _ = run(module, code, given.tests, Order(path, lines_of, lines), 5 + 3 * seconds)
        if status == 0:
            survived += 1
            print(f"not noticed    {given.module}:{text}", flush=True)
    print(f"{given.module}: {len(chosen) - survived} of {len(chosen)} changes noticed, "
          f"{(len(chosen) - survived) / len(chosen):.0%} ({everything} possible)")


if __name__ == "__main__":
    main()
