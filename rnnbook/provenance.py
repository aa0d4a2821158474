"""Which code made a number: a digest of a module and of all of the package's modules that it imports.

Comments, docstrings and layout are no part of it, and it is the same in every version of Python. It is worked out from
the source files, without importing them.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib import resources
from pathlib import Path

# Modules that cannot change a number, so a change in them leaves every result as good as it was.
CHANGE_NO_NUMBER = (
    "rnnbook.results", "rnnbook.plots", "rnnbook.widgets",  # they show what is in a result file
    "rnnbook.sources",  # how files are found; which data were read, says the checksum in the result
    "rnnbook.provenance", "rnnbook.benchmarks.units",  # they name and keep numbers, exactly as they are
)


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
    for name in modules_of(module):
        digest.update(f"{name}\0{_text(name)}\0".encode())
    return digest.hexdigest()


def modules_of(module):
    """A module and all of the package's modules that it imports, directly or not, without those that change no number.

    Raises
    ------
    ModuleNotFoundError
        If the package has no such module.

    Examples
    --------
    >>> modules_of("rnnbook.metrics")
    ['rnnbook.metrics']
    """
    if _path(module) is None:
        raise ModuleNotFoundError(f"no module {module} in the package")
    found, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _imports(name)
    return sorted(found)


@cache
def _imports(module):
    """The package's modules that a module names in its imports, wherever they stand in it."""
    names: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(_home(node.module, alias.name) for alias in node.names)
    return [name for name in names if _path(name) and _counts(name)]


def _home(module, name):
    """The module that ``from module import name`` reads: a module of that name, or the one that defines it.

    A package that only hands on the names of its modules is passed through: a new module in it changes no other.
    """
    if _path(f"{module}.{name}"):
        return f"{module}.{name}"
    if _path(module) and _counts(module):
        code = [node for node in _tree(module).body if not isinstance(node, ast.Expr)]  # all but the docstring
        imports = [node for node in code if isinstance(node, ast.ImportFrom)]
        handed = [node.module for node in imports if name in (alias.name for alias in node.names)]
        only_hands_on = all(node in imports or "__all__" in ast.unparse(node) for node in code)
        if handed and only_hands_on:
            return _home(handed[0], name)
    return module


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
def _tree(module):
    return ast.parse(_path(module).read_text(encoding="utf-8"))


@cache
def _text(module):
    return _plain(_tree(module))


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
