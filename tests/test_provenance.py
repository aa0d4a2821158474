"""The digest of the code behind a number: what changes it, and what must not."""

from pathlib import Path

import pytest

from rnnbook import provenance, results
from rnnbook.benchmarks import EXPERIMENTS

CODE = {
    "rnnbook/__init__.py": "__version__ = '1'\n",
    "rnnbook/plots.py": "COLOUR = 'red'\n",
    "rnnbook/widgets/__init__.py": "SIZE = 1\n",
    "rnnbook/metrics.py": "ONE = 1\n\n\ndef recall(x):\n    return x + one()\n\n\ndef one():\n    return ONE\n\n\n"
                          "def unused():\n    return 7\n",
    "rnnbook/given.py": "def first():\n    return 1\n",
    "rnnbook/worlds/__init__.py": "from rnnbook.worlds.chain import Chain\n",
    "rnnbook/worlds/chain.py": "class Chain:\n    length = 3\n",
    "rnnbook/worlds/longer.py": "class Chain:\n    length = 9\n",
    "rnnbook/other.py": "x = 1\n\n\ndef one():\n    return x\n",
    "rnnbook/runs.py": "from rnnbook import worlds\n\nworlds.Chain.length = 5\n",
    "rnnbook/benchmarks/__init__.py": "EXPERIMENTS = {}\n",
    "rnnbook/benchmarks/trial.py": "from rnnbook import given, metrics, plots, widgets\n\n\ndef main():\n"
                                   "    from rnnbook.worlds import Chain\n    every(given)\n"
                                   "    return metrics.recall(Chain.length)\n"}


def before_the_return(statement):
    return CODE["rnnbook/metrics.py"].replace("return x + one()", f"{statement}\n    return x + one()")


def forget():
    for kept in (provenance._path, provenance._code, provenance._needs, provenance._text):
        kept.cache_clear()


@pytest.fixture
def digest_with(tmp_path, monkeypatch):
    """digest_with({file: text}) is the digest of the module trial, with some files of the package changed."""
    def digest(changes=()):
        for name, text in (CODE | dict(changes)).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        forget()
        return provenance.code_digest("rnnbook.benchmarks.trial")

    monkeypatch.setattr(provenance.resources, "files", lambda package: tmp_path / Path(*package.split(".")))
    yield digest
    forget()


def test_the_definitions_are_those_that_are_needed_in_the_end(digest_with):
    digest_with()
    assert provenance.definitions_of("rnnbook.benchmarks.trial") == [
        ("rnnbook.benchmarks.trial", "main"), ("rnnbook.given", "first"), ("rnnbook.metrics", "ONE"),
        ("rnnbook.metrics", "one"), ("rnnbook.metrics", "recall"), ("rnnbook.worlds.chain", "Chain")]
    with pytest.raises(ModuleNotFoundError, match=r"no module rnnbook\.nothing in the package"):
        provenance.code_digest("rnnbook.nothing")


@pytest.mark.parametrize("name,text", [
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"].replace("ONE = 1", "ONE = 2")),
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"].replace("ONE = 1", "ONE = 1.0")),
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"].replace("ONE = 1", "ONE = True")),
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"].replace("return ONE", "return ONE + 1")),
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"].replace("def one", "@twice\ndef one")),
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"] + "\n\nONE += 1\n"),  # bound a second time
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"] + "\n\n@instead_of(one)\ndef two():\n    return 2\n"),
    *(("rnnbook/metrics.py", before_the_return(statement))
      for statement in (  # no guards
          "if x < 0:\n        raise FloatingPointError('x')", "if x < 0:\n        x = 0",
          "if (y := x):\n        raise ValueError('x')",
          "if x < 0:\n        raise ValueError('x')\n    else:\n        x = 1",
          "try:\n        if x:\n            raise ValueError('x')\n    except ValueError:\n        x = 1")),
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"] + "\n\nif True:\n    one = unused\n"),
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"] + "\n\nfrom rnnbook.other import one\n"),
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"] + "\n\nimport rnnbook.runs\n"),  # that patches another one
    ("rnnbook/given.py", CODE["rnnbook/given.py"] + "\n\ndef second():\n    return 2\n"),  # it is given as a whole
    ("rnnbook/worlds/chain.py", "class Chain:\n    length = 4\n"),
    ("rnnbook/worlds/__init__.py", "from rnnbook.worlds.chain import Chain\nChain.length = 4\n"),
    ("rnnbook/worlds/__init__.py", "from rnnbook.worlds.longer import Chain\n"),
    ("rnnbook/benchmarks/trial.py", CODE["rnnbook/benchmarks/trial.py"] + "\n\nSEEDS = range(5)\n")])
def test_a_change_of_code_changes_it(digest_with, name, text):
    assert digest_with() != digest_with({name: text})


@pytest.mark.parametrize("name,text", [
    ("rnnbook/metrics.py", '"""Of a module."""\n\n' + CODE["rnnbook/metrics.py"].replace(
        "def recall(x):", 'def recall(x):  # why\n    """Of it."""').replace("x + one()", "(x +\n one())")),
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"].replace("7", "8")),  # of a function that is not needed
    *(("rnnbook/metrics.py", before_the_return(guard))
      for guard in ("if x < 0:\n        raise ValueError(f'{x} is below 0')",
                    "if unused() > x:\n        raise TypeError('a')\n    elif x == 1:\n        raise KeyError('b')",
                    "if not x:\n        raise DataError('none')")),
    ("rnnbook/metrics.py", CODE["rnnbook/metrics.py"] + "\n\ndef precision(x):\n    return x\n"),
    ("rnnbook/worlds/chain.py", "class Chain:\n    length = 3\n\n    def __repr__(self):\n        return 'Chain'\n"),
    ("rnnbook/worlds/chain.py", 'class Chain:\n    """Of a class."""\n\n    length = 3\n'),
    ("rnnbook/plots.py", "COLOUR = 'blue'\n"),
    ("rnnbook/widgets/__init__.py", "SIZE = 2\n"),
    ("rnnbook/other.py", "x = 2\n"),
    ("rnnbook/__init__.py", "__version__ = '2'\n"),
    ("rnnbook/worlds/__init__.py", '"""Worlds."""\nfrom rnnbook.other import x\n'  # a new module in a package
                                   "from rnnbook.worlds.chain import Chain\n\n__all__ = ['Chain', 'x']\n"),
    ("rnnbook/benchmarks/__init__.py", "EXPERIMENTS = {'trial': 'trial'}\n")])
def test_what_cannot_change_a_number_does_not(digest_with, name, text):
    assert digest_with() == digest_with({name: text})


def test_what_an_error_says_is_no_part_of_it_but_which_one_it_is(digest_with):
    def raising(error):
        return digest_with({"rnnbook/metrics.py": CODE["rnnbook/metrics.py"].replace(
            "return x", f"try:\n        int(x)\n    except OSError as error:\n        raise {error} from error\n"
            "    return x")})

    assert raising("ValueError('no')") == raising("ValueError(f'{x}: {unused()}')")
    assert len({raising(f"{error}('no')") for error in ("ValueError", "TypeError", "FloatingPointError")}) == 3
    assert raising("FloatingPointError('no')") != raising("FloatingPointError('never')")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_has_one(experiment):
    module = f"rnnbook.benchmarks.{EXPERIMENTS[experiment]}"
    modules = {home for home, _ in provenance.definitions_of(module)}
    assert module in modules and not modules & set(provenance.CHANGE_NO_NUMBER)
    assert len(results.code(experiment)) == 64


def test_text_that_is_built_from_parts_is_the_same_in_every_python():
    """Python 3.12 ends some of them with an empty part, and other versions have fields that are empty."""
    tree = provenance.ast.parse("f'{x:{y}}'")
    inner = tree.body[0].value.values[0].format_spec.values
    before = provenance._plain(tree)
    inner.append(provenance.ast.Constant(value=""))
    tree.type_params = []
    assert provenance._plain(tree) == before


def test_the_modules_that_change_no_number_are_there():
    assert all(provenance._path(name) for name in provenance.CHANGE_NO_NUMBER)
