"""A claim whose tests only read result files has a twin: a small run that trains now, and that fails untrained.

A file stays as it is when training breaks, and so would such a claim. The mark ``twin(id)`` stands on the small run.
"""

import ast

import pytest

from tools import pages

MACHINE, REAL, PEER = "speed or memory of one machine", "real data, which are not everywhere", "another's package"
WITHOUT = {
    "fast-is-faster": MACHINE, "cost-grows-with-ratings": MACHINE, "text-is-the-cost": MACHINE,
    "cost-forecast": MACHINE, "network-forecast": MACHINE,
    "gru4rec-beats-counts": REAL, "gru4rec-and-neighbours": REAL, "the-state-adds-little": REAL,
    "together-they-know-more": REAL,
    "the-loss-decides": REAL, "hard-negatives-matter": REAL, "exact-logq-changes-little": REAL, "more-layers": REAL,
    "prefixes-on-real-clicks": REAL, "m1-and-gru4rec": REAL, "the-price-of-a-point": REAL,
    "fine-tuning-within-a-week": REAL,
    "the-last-click-has-most-of-the-order": REAL, "new-users-are-met": REAL, "online-factorisation-wins": REAL,
    "twenty-two-years": REAL, "real-clicks": REAL, "users-histories": REAL,
    "gru4rec-on-histories": REAL, "below-models-fitted-once": PEER}


def marked(kind):
    """{claim: [(test, whether it or what it calls in its file reads results)]} of a mark."""
    found = {}
    for path in sorted((pages.ROOT / "tests").glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
        for name, node in functions.items():
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == f"pytest.mark.{kind}":
                    reads = "results" in used(node, functions) & imported
                    found.setdefault(ast.literal_eval(mark.args[0]), []).append((name, reads))
    return found


def used(node, functions):
    """All names in a test, in the fixtures that it asks for and in the functions of its file that it calls."""
    names, todo = set(), [node]
    while todo:
        function = todo.pop()
        here = {part.id if isinstance(part, ast.Name) else part.arg for part in ast.walk(function)
                if isinstance(part, (ast.Name, ast.arg))}
        todo += [functions[name] for name in here - names if name in functions]
        names |= here
    return names


def rest_on_files():
    """The claims all of whose tests read results."""
    return {claim for claim, tests in marked("claim").items() if all(reads for _, reads in tests)}


def test_the_claims_that_rest_on_files_are_found():
    assert {"gru-passes-last-item", "reviews-buy", "vanilla-draws-lots", "zoo-lost-state"} <= rest_on_files()
    assert not {"bptt-by-hand", "bug-zoo", "memory-control", "pointwise-not-unstable-here"} & rest_on_files()


def test_each_of_them_has_a_twin_or_a_reason_why_not():
    twins = marked("twin")
    assert rest_on_files() - twins.keys() == WITHOUT.keys()
    assert not twins.keys() - pages.claims().keys()


@pytest.mark.parametrize("claim,tests", marked("twin").items())
def test_a_twin_reads_no_results(claim, tests):
    assert not [name for name, reads in tests if reads]
