"""How the package is laid out: what imports what, who stays within its own names, and how long a chapter is."""

import ast
import io
import re
import tokenize
import tomllib

import pytest

from tools import pages

PACKAGE = pages.ROOT / "rnnbook"
CHAPTERS = [page.stem.split("_", 1)[1] for page in pages.toc() if page.number]  # as the book tells them
IN_A_CHAPTER, IN_A_FUNCTION = 320, 42  # about 300 and 40 lines of code


def modules(folder, package):
    """Source by name of every module in a folder."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join([package, *parts]).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


SOURCES = modules(PACKAGE, "rnnbook") | modules(pages.ROOT / "benchmarks", "rnnbook.benchmarks")
TREES = {name: ast.parse(source) for name, source in SOURCES.items()}


class Imports(ast.NodeVisitor):
    """Whom a module imports at any place, but for ``if TYPE_CHECKING``: (module, name or None, as what)."""

    def __init__(self):
        self.found = []

    def visit_If(self, node):
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node):
        self.found += [(it.name, None, it.asname or it.name) for it in node.names]

    def visit_ImportFrom(self, node):
        assert not node.level, "an import names its module in full"
        self.found += [(node.module, it.name, it.asname or it.name) for it in node.names]


def test_the_installed_package_has_all_its_parts():
    """An editable installation finds a folder that a wheel would lack."""
    settings = tomllib.loads((pages.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {path.parent.relative_to(pages.ROOT).as_posix() for path in PACKAGE.rglob("__init__.py")}
    assert set(settings["packages"]) == {folder.replace("/", ".") for folder in folders} | {"rnnbook.benchmarks"}
    files = {path.suffix for path in PACKAGE.rglob("*") if path.is_file() and path.parent.name != "__pycache__"}
    assert files == {".py"} | {pattern.removeprefix("*") for pattern in settings["package-data"]["rnnbook.widgets"]}


def test_the_recipes_name_what_is_there():
    for recipe in (pages.ROOT / "CONTRIBUTING.md", *(pages.ROOT / "contributing").glob("*.md")):
        text = " ".join(recipe.read_text(encoding="utf-8").split())
        for name, path in re.findall(r"`(\w+)`(?: in `\w+`)? in `([\w/]+\.py)`", text):
            assert re.search(rf"\b{name}\b", (pages.ROOT / path).read_text(encoding="utf-8")), (recipe.name, name, path)


def imports(tree):
    visitor = Imports()
    visitor.visit(tree)
    return visitor.found


def graph(trees):
    """Modules of ours by who imports them: ``from a import b`` is the module a.b, if there is one, or else a."""
    return {name: {f"{module}.{what}" if f"{module}.{what}" in trees else module
                   for module, what, _ in imports(tree)} & trees.keys() for name, tree in trees.items()}


def reached(edges):
    """All that each module imports, by others too."""
    reach = {name: set(to) for name, to in edges.items()}
    while True:
        wider = {name: to.union(*(reach[other] for other in to)) for name, to in reach.items()}
        if wider == reach:
            return reach
        reach = wider


def circles(edges):
    """Every set of modules that import each other, or itself."""
    reach = reached(edges)
    return {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in edges
            if name in reach[name]}


def test_no_module_imports_itself_by_others():
    assert circles(graph(TREES)) == set()


def test_a_circle_would_be_found():
    texts = {"p": "", "p.a": "from p import b", "p.b": "import os\ndef late():\n    from p.c import name",
             "p.c": "import p.a as it", "p.d": "from p.a import x\nif TYPE_CHECKING:\n    from p.e import y",
             "p.e": "import p.d", "p.f": "from p.f import z"}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    assert graph(trees)["p.d"] == {"p.a"} and graph(trees)["p.a"] == {"p.b"}
    assert circles(graph(trees)) == {("p.a", "p.b", "p.c"), ("p.f",)}


# Who may import whom ------------------------------------------------------------------------------------


def names(prefix):
    return {name for name in TREES if name == prefix or name.startswith(f"{prefix}.")}


def test_the_containers_import_nothing_of_ours():
    edges = graph(TREES)
    assert {other for name in names("rnnbook.interactions") for other in edges[name]} <= names("rnnbook.interactions")


def test_gru4rec_knows_neither_the_compiled_step_nor_the_ranks():
    assert not {"rnnbook.fast", "rnnbook.distributed"} & reached(graph(TREES))["rnnbook.gru4rec"]


@pytest.mark.parametrize("number", range(len(CHAPTERS)), ids=CHAPTERS)
def test_a_chapter_imports_no_later_one(number):
    later = {f"rnnbook.{chapter}" for chapter in CHAPTERS[number + 1:]}
    assert not later & reached(graph(TREES))[f"rnnbook.{CHAPTERS[number]}"]


def test_what_chapters_share_imports_no_chapter():
    reach, chapters = reached(graph(TREES)), {f"rnnbook.{chapter}" for chapter in CHAPTERS}
    for room in ("training", "worlds", "baselines", "sources", "data", "metrics", "results", "plots"):
        assert names(f"rnnbook.{room}")
        assert not [(name, chapters & reach[name]) for name in names(f"rnnbook.{room}") if chapters & reach[name]]


# Names of one's own -------------------------------------------------------------------------------------


def private(name):
    return name.startswith("_") and not name.endswith("__")


def own_names(tree):
    """The underscored names that the classes of a module define, as methods, in their body or on ``self``."""
    found = set()
    for cls in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(cls):
            if isinstance(node, ast.FunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
    return set(filter(private, found))


def intrusions(trees):
    """(module, line, code) wherever a module uses an underscored name of another.

    That is ``from other import _name``, ``other._name`` for what was imported, or ``it._name`` where only classes of
    other modules define such a name. What a class inherits is its own: ``self``, ``cls``, ``super()``, ``Base._name``.
    """
    owners = {name: own_names(tree) for name, tree in trees.items()}
    for name, tree in trees.items():
        ours = [it for it in imports(tree) if it[0] in trees]
        yield from ((name, 0, f"from {module} import {what}") for module, what, _ in ours if what and private(what))
        bases = {ast.unparse(base) for cls in ast.walk(tree) if isinstance(cls, ast.ClassDef) for base in cls.bases}
        imported = {alias for _, _, alias in ours} - bases
        others = set().union(*(owners[other] for other in owners if other != name)) - owners[name]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and private(node.attr):
                of = ast.unparse(node.value)
                if of in imported or (node.attr in others and of not in {"self", "cls", "super()", *bases}):
                    yield name, node.lineno, ast.unparse(node)


def test_no_module_reaches_into_anothers_underscored_names():
    assert list(intrusions(TREES)) == []


def test_an_intrusion_would_be_found():
    texts = {"p": "",
             "p.a": "def _f(): pass\nclass A:\n    _k = 1\n    def _m(self):\n        self._x = 1\n        self.y = 2",
             "p.b": "from p.a import _f, A\nimport p.a\nfrom p import a as it\nit._f()\np.a._f()\nA._k\n"
                    "def g(x):\n    return x._m() + x._x + x.y + x._replace()",
             "p.c": "from p.a import A\nclass C(A):\n    def _m(self):\n        return self._x + super()._m()\n"
                    "def g(c):\n    return c._m() + c.__dict__ + A._k"}
    found = [(module, code) for module, _, code in intrusions({name: ast.parse(text) for name, text in texts.items()})]
    assert sorted(found) == sorted(("p.b", code) for code in ("from p.a import _f", "it._f", "p.a._f", "A._k", "x._m",
                                                              "x._x"))


# How long -----------------------------------------------------------------------------------------------


def code_lines(source):
    """The numbers of the lines that hold code: no blank lines, comments and docstrings."""
    idle = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = {line for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in idle
             for line in range(token.start[0], token.end[0] + 1)}
    texts = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr)
             and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)]
    return lines - {line for text in texts for line in range(text.lineno, text.end_lineno + 1)}


def long_functions(source, most):
    lines = code_lines(source)
    lengths = {node.name: len(lines & set(range(node.lineno, node.end_lineno + 1))) for node in
               ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return {name: length for name, length in lengths.items() if length > most}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_is_read_in_one_sitting(chapter):
    assert len(code_lines(SOURCES[f"rnnbook.{chapter}"])) <= IN_A_CHAPTER


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_function_fits_on_a_screen(chapter):
    assert long_functions(SOURCES[f"rnnbook.{chapter}"], IN_A_FUNCTION) == {}


def test_lines_are_counted_without_words():
    source = ('"""Text.\n\nMore."""\n\n# a word\nx = (1,\n     2)  # two lines\n\n\ndef f(a):\n    """Say."""\n'
              '    b = """\n    text that is data"""\n\n    return a + b\n')
    assert code_lines(source) == {6, 7, 10, 12, 13, 15}
    assert long_functions(source, 3) == {"f": 4} and long_functions(source, 4) == {}
