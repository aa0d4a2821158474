"""Which code made a number: a digest of a module and of all definitions of the package that it needs.

A definition is a function, a class or a constant at the top level of a module. It is needed if code that is needed
names it. So a new function, or a change in one that an experiment never calls, leaves its result as good as it was.
Comments, docstrings and layout are no part of the digest, and it is the same in every version of Python. Guards are no
part of it either: an ``if`` that only raises a ValueError, TypeError, KeyError or DataError stops a run, or leaves its
numbers as they are. Nor is what such an error says, or what ``repr`` shows: no number is made of it. The digest is
worked out from the source files, without importing them.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

# Modules that cannot change a number, so a change in them leaves every result as good as it was.
CHANGE_NO_NUMBER = (
    "rnnbook.results", "rnnbook.tables", "rnnbook.plots", "rnnbook.widgets",  # they show what is in a result file
    # how files are found and read; which data came out, say checksum and counts in the result
    "rnnbook.sources", "rnnbook.data", "rnnbook.interactions.columns", "rnnbook.interactions.ids",
    "rnnbook.interactions.json_lines", "rnnbook.interactions.tables", "rnnbook.interactions.text",
    "rnnbook.interactions.times",
    "rnnbook.provenance", "rnnbook.benchmarks.units",  # they name and keep numbers, exactly as they are
)
GUARDS = "ValueError", "TypeError", "KeyError", "DataError"  # no experiment catches one of these
REST = ""  # in place of a name: the statements of a module that bind none, and run when it is imported


class _Code(NamedTuple):
    """The top level of a module."""

    definitions: dict[str, list[ast.stmt]]  # name -> the statements that bind it
    rest: list[ast.stmt]
    modules: dict[str, str]  # name -> the package's module that is imported under it, anywhere in this one
    names: dict[str, tuple[str, str]]  # name -> the module that it is imported from, and its name there
    imported: list[str]  # the package's modules that run when this one is imported


def code_digest(module):
    """The SHA-256 digest (64 hex digits) of the code that the numbers of a module depend on.

    Parameters
    ----------
    module : str
        For example "rnnbook.benchmarks.gru4rec".

    Examples
    --------
    >>> digest = code_digest("rnnbook.benchmarks.gru4rec")
    >>> len(digest), digest == code_digest("rnnbook.benchmarks.joint")
    (64, False)
    """
    digest = hashlib.sha256()
    for home, name in definitions_of(module):
        digest.update(f"{home}\0{name}\0{_text(home, name)}\0".encode())
    return digest.hexdigest()


def definitions_of(module):
    """All definitions of a module, and those of the package that they need, directly or not.

    What cannot change a number is left out.

    Returns
    -------
    list of (str, str)
        Module and name, in order. An empty name stands for the statements of a module that bind no name.

    Raises
    ------
    ModuleNotFoundError
        If the package has no such module.

    Examples
    --------
    >>> definitions_of("rnnbook.benchmarks.search")
    [('rnnbook.benchmarks.search', 'draws')]
    """
    if _path(module) is None:
        raise ModuleNotFoundError(f"no module {module} in the package")
    found, todo = set(), [(module, name) for name in _code(module).definitions] + [(module, REST)]
    while todo:
        home, name = todo.pop()
        if (home, name) not in found and _counts(home):
            found.add((home, name))
            todo += _needs(home, name)
    return sorted((home, name) for home, name in found if _statements(home, name))


@cache
def _needs(module, name):
    """Module and name of all that a definition names; of a module that it names as a whole, everything."""
    code = _code(module)
    needed = [(home, REST) for home in (code.imported if name == REST else [module])]  # what is imported runs too
    if name in code.names:
        needed.append(code.names[name])
    if name in code.modules:
        needed += _all_of(code.modules[name])
    needed += _registered(module, name)
    for statement in _statements(module, name):
        qualified = set()  # modules that stand before a dot; the outermost attribute of a chain is walked first
        for node in ast.walk(statement):
            if isinstance(node, ast.Attribute):
                first, *parts = _chain(node)
                if isinstance(first, ast.Name) and first.id in code.modules and first not in qualified:
                    qualified.add(first)
                    home = code.modules[first.id]
                    while parts and _path(f"{home}.{parts[0]}"):
                        home = f"{home}.{parts.pop(0)}"
                    needed += [(home, parts[0])] if parts else _all_of(home)
            elif isinstance(node, ast.Name) and node not in qualified:
                if node.id in code.modules:
                    needed += _all_of(code.modules[node.id])
                elif node.id in code.names:
                    needed.append(code.names[node.id])
                needed.append((module, node.id))
    return needed


def _registered(module, name):
    """What a decorator that is given this name binds: ``@overload(name)`` runs another function in its place."""
    return [(module, other) for other, statements in _code(module).definitions.items() for statement in statements
            for decorator in getattr(statement, "decorator_list", ()) if isinstance(decorator, ast.Call)
            if any(isinstance(given, ast.Name) and given.id == name for given in decorator.args)]


def _all_of(module):
    code = _code(module)
    return [(module, name) for name in (*code.definitions, *code.names, REST)]


def _chain(node):
    """[the name in front, "b", "c"] of name.b.c; what stands in front need not be a name."""
    parts: list = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return [node, *parts]


def _statements(module, name):
    code = _code(module)
    return code.rest if name == REST else code.definitions.get(name, [])


@cache
def _code(module):
    """The _Code of a module."""
    tree = ast.parse(_path(module).read_text(encoding="utf-8"))
    tree = _WithoutGuards().visit(_WithoutMessages().visit(tree))
    code = _Code({}, [], {}, {}, [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _path(alias.name):
                    outermost = alias.name.split(".")[0]
                    code.modules[alias.asname or outermost] = alias.name if alias.asname else outermost
                    code.imported.append(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and _path(node.module):
            for alias in node.names:
                whole, known = f"{node.module}.{alias.name}", alias.asname or alias.name
                code.imported.extend([node.module, whole] if _path(whole) else [node.module])
                if _path(whole):
                    code.modules[known] = whole
                else:
                    code.names[known] = node.module, alias.name
    for statement in tree.body[ast.get_docstring(tree) is not None:]:
        for name in _bound(statement):
            code.definitions.setdefault(name, []).append(statement)
        if not _bound(statement) and not isinstance(statement, (ast.Import, ast.ImportFrom)):
            code.rest.append(statement)
    return code


class _WithoutMessages(ast.NodeTransformer):
    """Takes out what a person reads: the arguments of `GUARDS` that are raised, and ``__repr__``."""

    def visit_Raise(self, node):
        if _is_guard(node):
            node.exc.args, node.exc.keywords = [], []
        return node

    def visit_FunctionDef(self, node):
        return None if node.name == "__repr__" else self.generic_visit(node)


class _WithoutGuards(ast.NodeTransformer):
    """Takes out each ``if`` that can only raise one of `GUARDS`. What a ``try`` may catch stays."""

    def visit_Try(self, node):
        return node

    def visit_If(self, node):
        node = self.generic_visit(node)
        only_raises = all(map(_is_guard, node.body))
        binds = any(isinstance(part, ast.NamedExpr) for part in ast.walk(node.test))
        return None if only_raises and not node.orelse and not binds else node


def _is_guard(statement):
    """Whether a statement raises one of `GUARDS`."""
    error = getattr(getattr(statement, "exc", None), "func", None)
    return isinstance(error, ast.Name) and error.id in GUARDS


def _bound(statement):
    """The names that a definition or an assignment binds."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    targets: list = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        targets = [statement.target]
    return [node.id for target in targets for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _counts(module):
    """Whether a module can change a number. The outermost packages hold a version and a table of names."""
    outermost = module in ("rnnbook", "rnnbook.benchmarks")
    return not outermost and not any(f"{module}.".startswith(f"{name}.") for name in CHANGE_NO_NUMBER)


@cache
def _path(module):
    """Path of a module's source file, or None if the package has no such module."""
    for package in ("rnnbook.benchmarks", "rnnbook"):  # the first lies elsewhere in a checkout
        if f"{module}.".startswith(f"{package}."):
            base = Path(str(resources.files(package))).joinpath(*module.removeprefix(package).split(".")[1:])
            candidates = base / "__init__.py", base.with_suffix(".py")
            return next((path for path in candidates if path.is_file()), None)
    return None


@cache
def _text(module, name):
    return _plain(_statements(module, name))


def _plain(node):
    """A syntax tree as text, without docstrings and without fields that are empty, which differ between Pythons."""
    if isinstance(node, list):
        return "[" + ", ".join(map(_plain, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    documented = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = fields["body"][1:]
    if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some with an empty text
        fields["values"] = [part for part in node.values if not (isinstance(part, ast.Constant) and part.value == "")]
    parts = [f"{name}={_plain(value)}" for name, value in fields.items() if value is not None and value != []]
    return f"{type(node).__name__}({', '.join(parts)})"
