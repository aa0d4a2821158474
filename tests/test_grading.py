"""Grading: right answers of any shape get their points, wrong ones a sentence, tricks nothing, a crash costs little."""

import ast
import csv
import io
import json
import zipfile
from functools import cache

import nbformat
import numpy as np
import pytest
import torch

from tests.answers import RIGHT, WRONG
from tools import course
from tools.grading import answers, collect, marks, report, wire
from tools.grading.__main__ import hand_back, main

PAGES = course.chapters()


@cache
def opened(page):
    return marks.Chapter(page)


@cache
def graded():
    """{label: (chapter, exercise)}"""
    return {exercise.label: (opened(page), exercise) for page in PAGES for exercise in opened(page).tested}


@pytest.fixture(scope="module", autouse=True)
def warm():
    marks.warm_up()


def mark(label, source, helpers=()):
    chapter, exercise = graded()[label]
    return chapter.mark(exercise, source, helpers)


# Right and wrong


def test_answers_are_those_of_the_graded_exercises():
    assert list(RIGHT) == list(WRONG) == list(graded())
    assert all(len(found[label]) == 3 for found in (RIGHT, WRONG) for label in RIGHT)


@pytest.mark.parametrize("label", RIGHT)
def test_right_answers_get_full_marks_and_others_a_sentence(label):
    chapter, exercise = graded()[label]
    for source in (exercise.answer.source, *RIGHT[label]):
        verdict = mark(label, source)
        assert (verdict.how, verdict.points) == (marks.RIGHT, chapter.worth(exercise)), (verdict, source)
    for source, misconception in WRONG[label]:
        verdict = mark(label, source)
        assert (verdict.how, verdict.points) == (marks.WRONG, 0), (verdict, source)
        assert verdict.why.startswith("Expected ") and misconception in verdict.why
    blank = mark(label, course.blanked(exercise.answer))
    assert (blank.how, blank.points) == (marks.MISSING, 0)


@pytest.mark.parametrize("rows", [
    "F.normalize(table).T",  # it never looks at `block`
    "torch.cat([F.normalize(table[n:n + block]).T for n in range(0, len(table), block)], dim=1)"])
def test_a_search_in_blocks_that_has_the_whole_matrix_in_memory_is_noticed(rows):
    verdict = mark("ex-blocks", "def nearest_in_blocks(states, table, k, block):\n"
                                f"    return (F.normalize(states) @ {rows}).topk(k).indices")
    assert (verdict.how, verdict.points) == (marks.WRONG, 0) and "a block at a time" in verdict.why


@pytest.mark.parametrize("label", RIGHT)
def test_a_wrong_answer_passes_the_tests_that_students_see(label):
    """So it takes the hidden ones to catch it."""
    chapter, exercise = graded()[label]
    names = dict(chapter.names)
    for source in (*(cell.source for cell in exercise.given), WRONG[label][0][0],
                   *(course.visible_tests(cell) for _, cell in exercise.checks)):
        exec(source, names)


@pytest.mark.parametrize("label", RIGHT)
def test_each_assertion_has_a_sentence(label):
    for _, cell in graded()[label][1].checks:
        nodes = list(ast.walk(ast.parse(cell.source)))
        for node in nodes:
            if isinstance(node, ast.Assert):
                assert "Expected " in ast.unparse(node.msg), ast.unparse(node)
        assert not [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "testing"]


# Tricks

LOSS = "(torch.sigmoid(r[1:] - r[0]) + torch.sigmoid(r[1:] ** 2)).mean()"
TOP1 = (f"def loss(r):\n    return {LOSS}\n"
        "def top1_gradient(target, others):\n    r = torch.cat([target[None], others])\n")
OPTIMUM = "def best_scores(n_cues, p):\n    return p, {}.MemoryTask(n_cues=n_cues, keep=p).optimum().cross_entropy"
BLOCKS = "def nearest_in_blocks(states, table, k, block):\n"
RANK = "def rank(scores, target):\n"
TRICKS = {
    # what an exercise forbids
    "autograd": ("ex-top1", TOP1 + "    r.requires_grad_()\n    (g,) = torch.autograd.grad(loss(r), r)\n"
                                   "    return g[0], g[1:]", marks.FORBIDDEN),
    "autograd, spelt backwards": (
        "ex-top1", TOP1 + "    getattr(r, '_darg_seriuqer'[::-1])()\n"
        "    (g,) = getattr(getattr(torch, 'dargotua'[::-1]), 'darg'[::-1])(loss(r), r)\n    return g[0], g[1:]",
        marks.FORBIDDEN),
    "autograd, and never mind": (
        "ex-top1", TOP1 + "    getattr(r, '_darg_seriuqer'[::-1])()\n    try:\n"
        "        getattr(loss(r), 'drawkcab'[::-1])()\n    except BaseException:\n        pass\n"
        "    return r[0], r[1:]", marks.FORBIDDEN),
    "autograd of a fresh engine": (
        "ex-top1", TOP1 + "    getattr(r, '_darg_seriuqer'[::-1])()\n"
        "    engine = getattr(getattr(torch, 'dargotua'[::-1]).variable, 'enignEevitarepmI'[::-1])()\n"
        "    engine.run_backward((loss(r),), (None,), False, False, (r,), True, False)", marks.FORBIDDEN),
    "the package, by its name in the chapter": ("ex-optimum", OPTIMUM.format("rnn"), marks.FORBIDDEN),
    "the package, imported": ("ex-optimum", "from rnnbook import rnn as mine\n" + OPTIMUM.format("mine"),
                              marks.FORBIDDEN),
    "the package, its name put together": (
        "ex-optimum", "import importlib\nmine = importlib.import_module('rnn' + 'book.rnn')\n" + OPTIMUM.format("mine"),
        marks.FORBIDDEN),
    "the package, past its stranger": (
        "ex-optimum", "import sys, importlib\nsys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "
        "'Package']\nfor name in [n for n in sys.modules if n.startswith('rnnbook')]:\n    del sys.modules[name]\n"
        "mine = importlib.import_module('rnn' + 'book.rnn')\n" + OPTIMUM.format("mine"), marks.CRASHED),
    "the package for a branch that no test takes": (
        "ex-ties", RANK + "    if len(scores) > 10_000:\n        return metrics.ranks(scores, target)\n"
        "    return int((scores >= scores[target]).sum())", marks.FORBIDDEN),
    "the package's ranks": ("ex-ties", RANK + "    return metrics.ranks(scores[None], "
                                       "torch.tensor([target]))[0]", marks.FORBIDDEN),
    "the package's nearest": ("ex-blocks", BLOCKS + "    return improved.nearest(states, table, k)[0]",
                              marks.FORBIDDEN),
    "the package's loss": ("ex-top1", TOP1 + "    return LOSSES['top1'](r[None], r > 0), r", marks.FORBIDDEN),
    # what a test knows
    "expected, a global": ("ex-blocks", BLOCKS + "    return expected", marks.CRASHED),
    "expected, from __main__": ("ex-blocks", BLOCKS + "    import __main__\n    return __main__.expected",
                                marks.CRASHED),
    "expected, from the frames above": (
        "ex-blocks", "import sys\n" + BLOCKS + "    frame = sys._getframe()\n    while frame:\n"
        "        for names in (frame.f_locals, frame.f_globals):\n            if 'expected' in names:\n"
        "                return names['expected']\n        frame = frame.f_back", marks.WRONG),
    "expected, from all there is": (
        "ex-blocks", "import gc\n" + BLOCKS + "    for thing in gc.get_objects():\n"
        "        if type(thing) is dict and 'some_states' in thing:\n            return thing['expected']",
        marks.WRONG),
    "a helper of the visible tests": ("ex-top1", TOP1 + "    return top1_by_autograd(target, others)", marks.CRASHED),
    "a helper of the hidden tests": (
        "ex-steps", "def fewest_steps(lengths, n_lanes):\n    return fewest_of_all_orders(lengths, n_lanes)",
        marks.CRASHED),
    "the notebook's history": ("ex-ties", RANK + "    return len(In[-1])", marks.CRASHED),
    "the kernel's history": ("ex-ties", RANK + "    return get_ipython().user_ns['In'][-1]",
                             marks.CRASHED),
    "the page, from the disk": ("ex-ties", "def rank(scores, target):\n"
                                           f"    return len(open({str(PAGES[1].source)!r}).read())",
                                marks.CRASHED),
    # how a test compares
    "another assert_allclose": (
        "ex-chain-lambda", "np.testing.assert_allclose = np.allclose = lambda *a, **k: True\n"
        "def best_strength(bias_squared, b, c, n):\n    return np.ones_like(b)", marks.WRONG),
    "another allclose": (
        "ex-input-gradient", "torch.allclose = torch.testing.assert_close = lambda *a, **k: True\n"
        "def input_gradient(h, grad_h, W, U):\n    return torch.zeros(*grad_h.shape[:2], W.shape[1])", marks.WRONG),
    "a number that equals all others": (
        "ex-ties", "class Any(int):\n    def __eq__(self, other):\n        return True\n    __hash__ = None\n"
        + RANK + "    return Any()", marks.WRONG),
    "a tensor that equals all others": (
        "ex-ties", "class Any(torch.Tensor):\n    def __eq__(self, other):\n        return True\n"
        + RANK + "    return torch.tensor(0).as_subclass(Any)", marks.WRONG),
    "not a number": ("ex-gate-bias", "def bias_for_half_life(k):\n    return float('nan')", marks.WRONG),
    "another builtin": ("ex-worth", "import builtins\nbuiltins.abs = lambda x: 0\n"
                                    "def ratings_per_review(sigma, sigma_t):\n    return 1", marks.WRONG),
    "inputs that are changed": (
        "ex-delete", "def pairs_after_deletion(session, keep):\n    session.clear()\n    return []", marks.WRONG),
    # the machine
    "another process": ("ex-ties", "import os\n" + RANK + "    return os.fork()", marks.CRASHED),
    "a command": ("ex-ties", "import subprocess\n" + RANK + "    subprocess.run(['true'])", marks.CRASHED),
    "the teacher's process": ("ex-ties", "import os\n" + RANK + "    os.kill(os.getppid(), 9)",
                              marks.CRASHED),
    "the C library": ("ex-ties", "import ctypes\n" + RANK + "    ctypes.CDLL(None)", marks.CRASHED),
    "the network": ("ex-ties", "import socket\n" + RANK + "    socket.create_connection(('::1', 9))",
                    marks.CRASHED),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_earns_a_point(trick):
    label, source, how = TRICKS[trick]
    verdict = mark(label, source)
    assert (verdict.how, verdict.points) == (how, 0), verdict
    assert verdict.why


def test_autograd_may_be_used_where_it_is_not_forbidden_and_to_check_an_answer():
    own = "wanted = torch.autograd.grad\ndef check():\n    return torch.autograd.grad(loss, scores)"
    assert mark("ex-top1", graded()["ex-top1"][1].answer.source, [own]).how == marks.RIGHT
    assert mark("ex-top1", RIGHT["ex-top1"][0].replace("s - s ** 2", "grad - grad ** 2").replace("s, q", "grad, q")
                ).how == marks.RIGHT, "a local variable may be called grad"


# Crashes

TIES = RANK + "    {}\n    return int((scores >= scores[target]).sum())"
CRASHES = {
    "os._exit": ("import os\n" + TIES.format("os._exit(0)"), marks.CRASHED, "ended its Python process"),
    "exit before the function": ("import os\nos._exit(3)\n" + TIES.format(""), marks.CRASHED, "exit code 3"),
    "a loop without end": (TIES.format("while True: pass"), marks.CRASHED, "more than 3 seconds"),
    "a nap": ("import time\n" + TIES.format("time.sleep(1e6)"), marks.CRASHED, "more than 3 seconds"),
    "a signal": ("import signal\n" + TIES.format("signal.raise_signal(signal.SIGSEGV)"), marks.CRASHED, "SIGSEGV"),
    "memory": (TIES.format("torch.ones(10**10)"), marks.CRASHED, "memory"),
    "a syntax error": ("def rank(scores, target)\n    return 1", marks.CRASHED, "SyntaxError (line 1)"),
    "an exception": (TIES.format("1 / 0"), marks.CRASHED, "ZeroDivisionError: division by zero (line 2, `1 / 0`)"),
    "recursion": (RANK + "    return rank(scores, target)", marks.CRASHED, "RecursionError"),
    "another signature": ("def rank(scores):\n    return 1", marks.CRASHED, "positional argument"),
    "another name": ("def ranks(scores, target):\n    return 1", marks.MISSING, "no function `rank`"),
    "nothing": ("", marks.MISSING, "empty"),
    "no return": (RANK + "    pass", marks.WRONG, "Expected 2"),
    "a generator": (RANK + "    yield 2", marks.WRONG, "returns a generator"),
    "too much": (TIES.format("return torch.zeros(10**8)"), marks.WRONG, "too large"),
    "too deep": (TIES.format("x = []\n    for _ in range(10**4): x = [x]\n    return x"), marks.WRONG, "too deep"),
    "garbage on the wire": (
        "import os\n" + TIES.format("for fd in range(3, 99):\n        try: os.write(fd, b'0' * 99)\n"
                                    "        except OSError: pass"), marks.CRASHED, "The answer"),
}


@pytest.mark.parametrize("crash", CRASHES)
def test_a_crash_is_told_from_a_wrong_answer(crash, monkeypatch):
    monkeypatch.setattr(marks, "CLOCK", 3)
    source, how, why = CRASHES[crash]
    verdict = mark("ex-ties", source)
    assert (verdict.how, verdict.points) == (how, 0)
    assert why in verdict.why and len(verdict.why) <= marks.LONGEST


def test_what_does_no_harm_costs_nothing():
    for source in ("print('x' * 20_000_000)\n" + TIES.format("print(scores)"),
                   "%%time\n" + TIES.format("") + "\n!ls\nprint(rank(zero, 0))"):
        assert mark("ex-ties", source).how == marks.RIGHT
    notes = mark("ex-ties", TIES.format("") + "\nprint(rank(zero, 0))").notes
    assert notes == ["NameError: name 'zero' is not defined (line 4, `print(rank(zero, 0))`)"]


def test_an_answer_may_use_what_other_cells_define():
    helpers = ["import numpy as mine\nhalf = 0.5\nraise SystemExit\nwhile True: pass",
               "def count(x):\n    return int(x.sum() + half - 0.5)"]
    assert mark("ex-ties", RANK + "    mine.ones(2)\n    return count(scores >= scores[target])",
                helpers).how == marks.RIGHT


def test_values_pass_between_the_two_as_they_are():
    for value in (None, True, 3, 0.1, 1 - 2j, float("inf"), "ü", [1, (2.0, "x")], {"a": [None], 2: ()}, np.float32(1.5),
                  np.arange(6).reshape(2, 3), np.zeros((0, 2)), torch.ones(2, dtype=torch.float64, requires_grad=True),
                  torch.tensor(True)):
        found = wire.decode(wire.unpack(wire.pack(wire.encode(value))))
        assert type(found) is type(value)
        assert str(found) == str(value.detach() if isinstance(value, torch.Tensor) else value)
    for value in ({1, 2}, object(), np.array([object()]), map(str, "ab")):
        with pytest.raises(TypeError):
            wire.encode(value)


# Whole notebooks


@cache
def released(page):
    return nbformat.writes(course.assignment(page))


def handed_in(chapter, answers, words=(), name=""):
    """The released notebook with {label: source} and {label: text} filled in."""
    notebook = nbformat.reads(released(chapter.page), as_version=4)
    for cell in notebook.cells:
        grade_id = cell.metadata["nbgrader"]["grade_id"]
        label, _, kind = grade_id.rpartition("-")
        if kind == "answer" and label in answers:
            cell.source = answers[label]
        elif kind == "words" and label in dict(words):
            cell.source = dict(words)[label]
        elif grade_id == "name":
            cell.source += f" {name}"
    return notebook


def solved(chapter, **changes):
    return {exercise.label: exercise.answer.source for exercise in chapter.tested} | changes


NAMES = {  # as learning systems, browsers and people write them
    "lovelaceada_12345_678901_ada_01_rnn.ipynb": "ada",
    "anna_maria_01_rnn.ipynb": "anna_maria",
    "bob_01_rnn (1).ipynb": "bob",
    "carl_01_rnn-1.ipynb": "carl",
    "dora_1_rnn.ipynb": "dora",
    "EVE_01_RNN.ipynb": "eve",
    "fritz_01_rnn-Copy1.ipynb": "fritz",
    "Copy of gil_01_rnn.ipynb": "gil",
    "smithjo_LATE_12_34_01_rnn-2.ipynb": "smithjo",
    "Homework 1_hugo_attempt_2026-11-03-10-12-00_01_rnn.ipynb": "hugo",
    "Ida Roe_4711_assignsubmission_file_/Copy of 01_rnn.ipynb": "ida roe",
    "123-456 - Jan Doe - Nov 3, 2026 1012 AM/01_rnn.ipynb": "jan doe",
    "submitted/kim/01_rnn/01_rnn.ipynb": "kim",
    "lea_01_rnn.ipynb.txt": "lea",
    "u\u0308mit_01_rnn.ipynb": "ümit",
}
UNTOLD = {"Copy of 01_rnn.ipynb": "whose it is", "01_rnn.ipynb": "whose it is",
          "frank_02_gru4rec.ipynb": "the assignment 02_gru4rec", "homework.ipynb": "whose it is"}


@pytest.mark.parametrize("path", NAMES)
def test_names_are_told(path):
    names, _, reason = collect.owner(path, None, "01_rnn")
    assert not reason and names[0] == NAMES[path]


@pytest.mark.parametrize("path", UNTOLD)
def test_names_that_cannot_be_told_have_a_reason(path):
    names, _, reason = collect.owner(path, None, "01_rnn")
    assert not names and UNTOLD[path] in reason


def owner(path, notebook):
    notebook, fault = collect.read(nbformat.writes(notebook).encode())
    assert not fault
    return collect.owner(path, notebook, "01_rnn")[0]


def test_a_name_is_also_read_from_the_notebook():
    notebook = handed_in(opened(PAGES[0]), {}, name="Nina Simone")
    assert owner("01_rnn.ipynb", notebook) == ["nina simone"]
    notebook = handed_in(opened(PAGES[0]), {})
    notebook.cells[3].metadata["executionInfo"] = {"user": {"displayName": "Otto"}}
    notebook.cells[4].metadata["executionInfo"] = notebook.cells[4].metadata["nbgrader"] = "nonsense"
    assert owner("Copy of 01_rnn.ipynb", notebook) == ["otto"]


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def test_a_class_is_collected_beside_its_roster(tmp_path):
    notebook = nbformat.writes(handed_in(opened(PAGES[0]), {}))
    inner = io.BytesIO()
    zipped(inner, {"Zack_01_rnn.ipynb": notebook})
    found = zipped(tmp_path / "all.zip", {
        "bob_01_rnn.ipynb": "{", "bob_01_rnn (1).ipynb": notebook, "bob_01_rnn (2).ipynb": "{",
        "lovelaceada_12_34_ada_01_rnn.ipynb": notebook, "byronada_56_78_ada_01_rnn.ipynb": notebook,
        "twice/tim_01_rnn.ipynb": notebook, "again/tim_01_rnn.ipynb": notebook,
        "submitted/bob/02_gru4rec/02_gru4rec.ipynb": "another assignment",
        "__MACOSX/._bob_01_rnn.ipynb": "x", "essay.pdf": "x", "inner.zip": inner.getvalue(), "bad.zip": "x",
        "mistyped_01_rnn.ipynb": notebook})
    (tmp_path / "roster.csv").write_text(
        'student,name\nAda.L,"Lovelace, Ada"\nAda.B,Ada Byron\nbob,\nzack,\ntim,\nmia,\n')
    collected = collect.collect([found], "01_rnn", collect.Roster(tmp_path / "roster.csv"))
    assert {one.student: one.path for one in collected.submissions} == {
        "ada.l": "all/lovelaceada_12_34_ada_01_rnn.ipynb", "ada.b": "all/byronada_56_78_ada_01_rnn.ipynb",
        "bob": "all/bob_01_rnn (1).ipynb", "zack": "all/inner/Zack_01_rnn.ipynb",
        "mistyped": "all/mistyped_01_rnn.ipynb"}
    assert collected.missing == ["tim", "mia"]
    reasons = {path.removeprefix("all/"): reason for path, reason in collected.untold}
    assert set(reasons) == {"bob_01_rnn.ipynb", "bob_01_rnn (2).ipynb", "twice/tim_01_rnn.ipynb",
                            "again/tim_01_rnn.ipynb", "essay.pdf", "bad.zip", "mistyped_01_rnn.ipynb"}
    assert "handed in again" in reasons["bob_01_rnn.ipynb"] and "Keep one" in reasons["twice/tim_01_rnn.ipynb"]
    assert "no notebook" in reasons["essay.pdf"] and "cannot be opened" in reasons["bad.zip"]
    assert "the roster has no 'mistyped'" in reasons["mistyped_01_rnn.ipynb"]


def test_what_nbgrader_has_collected_is_told_and_handed_back(tmp_path):
    """The notebook that was handed out counts, not what lies beside it; nbgrader finds the feedback."""
    notebook = nbformat.writes(handed_in(opened(PAGES[0]), {}))
    files = {"kim": ["01_rnn", "01_rnn-Copy1", "scratch"], "lea": ["lea_01_rnn"]}
    for name, stems in files.items():
        folder = tmp_path / "course" / "submitted" / name / "01_rnn"
        (folder / "feedback" / "earlier").mkdir(parents=True)
        (folder / "feedback" / "earlier" / "01_rnn.html").write_text("x")
        (folder / "timestamp.txt").write_text("2026-11-30 08:55:46 UTC")
        (folder / "submission_secret.txt").write_text(f"secret of {name}")
        for stem in stems:
            (folder / f"{stem}.ipynb").write_text(notebook, encoding="utf-8")
    source = tmp_path / "course" / "submitted"
    collected = collect.collect([source], "01_rnn")
    assert {one.student: one.path for one in collected.submissions} == {
        "kim": "submitted/kim/01_rnn/01_rnn.ipynb", "lea": "submitted/lea/01_rnn/lea_01_rnn.ipynb"}
    assert {path for path, _ in collected.untold} == {
        "submitted/kim/01_rnn/01_rnn-Copy1.ipynb", "submitted/kim/01_rnn/scratch.ipynb"}
    for one in collected.submissions:
        assert hand_back(one.student, [tmp_path, source], one.path) == {tmp_path / "course"}
    back = tmp_path / "course" / "feedback"
    assert {path.relative_to(back).as_posix(): path.read_text() for path in back.rglob("*.*")} == {
        "kim/01_rnn/01_rnn.html": "kim", "kim/01_rnn/timestamp.txt": "2026-11-30 08:55:46 UTC",
        "kim/01_rnn/submission_secret.txt": "secret of kim",
        "lea/01_rnn/lea_01_rnn.html": "lea", "lea/01_rnn/timestamp.txt": "2026-11-30 08:55:46 UTC",
        "lea/01_rnn/submission_secret.txt": "secret of lea"}
    (source / "kim" / "01_rnn" / "submission_secret.txt").unlink()  # it was copied there by other means
    assert hand_back("kim", [source], "submitted/kim/01_rnn/01_rnn.ipynb") == set()


@pytest.fixture(scope="module")
def class_of_five(tmp_path_factory):
    """A folder with what five students handed in, graded by the command."""
    folder, chapter = tmp_path_factory.mktemp("class"), opened(PAGES[0])
    words = {"ex-clip": "It cannot, since `signs` <stay>."}
    torn = handed_in(chapter, solved(chapter, **{
        "ex-input-gradient": "import os\nos._exit(0)", "ex-gate-bias": "def bias_for_half_life(k)\n"}))
    lost = handed_in(chapter, solved(chapter))
    lost.cells = [cell for cell in lost.cells if cell.metadata["nbgrader"]["grade_id"] != "ex-optimum-answer"]
    moved = handed_in(chapter, {"ex-gate-bias": graded()["ex-gate-bias"][1].answer.source})
    moved.cells += [nbformat.v4.new_code_cell(source) for source in ("raise SystemExit", solved(chapter)["ex-optimum"])]
    noise = "print('<script>' * 10**6)\n#" + "&" * 10**6 + "\n"
    wordy = solved(chapter, **{"ex-gate-bias": noise + WRONG["ex-gate-bias"][0][0]})
    files = {"good_01_rnn.ipynb": handed_in(chapter, solved(chapter), words), "torn_01_rnn.ipynb": torn,
             "lost_01_rnn.ipynb": lost, "moved_01_rnn.ipynb": moved, "=wordy_01_rnn.ipynb": handed_in(chapter, wordy)}
    zipped(folder / "all.zip", {name: nbformat.writes(notebook) for name, notebook in files.items()})
    (folder / "roster.csv").write_text("student\ngood\ntorn\nlost\nmoved\n=wordy\nabsent\n")
    return folder


def command(folder):
    main(["01_rnn", str(folder / "all.zip"), "--roster", str(folder / "roster.csv"), "--to", str(folder / "grades")])
    return folder / "grades" / "01_rnn"


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_crash_costs_one_exercise_and_words_are_graded_by_hand(class_of_five, capsys):
    grades = command(class_of_five)
    out = capsys.readouterr().out
    assert "5 graded" in out and "Nothing from absent." in out
    table = {row["student"]: row for row in rows(grades / "grades.csv")}
    verdicts = {name: tuple(row[f"1.{n} verdict"] for n in (1, 3, 7)) for name, row in table.items()}
    assert verdicts == {"good": ("right",) * 3, "torn": ("crashed", "crashed", "right"),
                        "lost": ("right", "right", "missing"), "moved": ("missing", "right", "right"),
                        "'=wordy": ("right", "wrong", "right"), "absent": ("", "", "")}
    assert [table[name]["points"] for name in ("good", "torn", "lost", "moved")] == ["7", "2", "5", "4"]
    assert table["good"]["1.4 in words"] == "" and table["torn"]["1.4 in words"] == "0"

    pages = {path.stem: path.read_text(encoding="utf-8") for path in (grades / "feedback").iterdir()}
    assert len(pages) == 5 and all(len(page.encode()) < 1e6 for page in pages.values())
    assert "1/e" in pages["_wordy"] and "<script>" not in pages["_wordy"]
    assert "2 are still to be graded" in pages["good"] and "&lt;stay&gt;" in pages["good"]
    hidden = [line.strip() for exercise in opened(PAGES[0]).tested for _, cell in exercise.checks
              for line in cell.source.partition(course.HIDDEN)[2].splitlines() if "Expected" not in line]
    assert not [line for line in hidden if len(line) > 25 and line.strip('"') in "".join(pages.values())]
    assert "&lt;stay&gt;" in (grades / "written.html").read_text(encoding="utf-8")

    assert rows(grades / "written.csv") == [{"student": "good", "exercise": "1.4", "points": "", "comment": ""}]
    (grades / "written.csv").write_text("student;exercise;points;comment\ngood;1.4;1;And uphill?\n", encoding="utf-8")
    command(class_of_five)
    assert {row["student"]: row["points"] for row in rows(grades / "grades.csv")}["good"] == "8"
    assert rows(grades / "written.csv")[0] | {"student": ""} == {
        "student": "", "exercise": "1.4", "points": "1", "comment": "And uphill?"}
    assert "And uphill?" in (grades / "feedback" / "good.html").read_text(encoding="utf-8")
    for text, message in (("student,exercise,points,comment\ngood,1.4,3,\n", "points from 0 to 2, and not '3'"),
                          ("student,exercise,points,comment\ngood,1.1,1,\n", "no exercise '1.1' in words"),
                          ("good,1.4\n", "Its header must be")):
        (grades / "written.csv").write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit, match=message):
            report.read_levels(grades / "written.csv", opened(PAGES[0]))


def test_what_is_asked_for_and_not_there_is_named(tmp_path):
    for arguments, message in ((["09_none", "x"], "There are 01_rnn"), (["01_rnn", str(tmp_path / "x")], "no file"),
                               (["01_rnn", "x", "--roster", str(tmp_path / "r")], "cannot be read")):
        with pytest.raises(SystemExit, match=message):
            main([*arguments, "--to", str(tmp_path)])
    for content in (b"", b"[]", b"{}", json.dumps({"cells": [{}]}).encode(), b"\xff\xfe"):
        notebook, fault = collect.read(content)
        assert notebook is None or notebook.cells == []
        assert notebook is not None or "cannot be read" not in fault or "Ask for it again" in fault


# Assignments stand alone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_an_assignment_stands_alone(page):
    chapter = opened(page)
    notebook, cells = handed_in(chapter, solved(chapter)), page.read().cells
    text = "\n".join(cell.source for cell in notebook.cells)
    for exercise in chapter.exercises:
        asked = "\n".join(part if isinstance(part, str) else part.body for part in exercise.text)
        assert len(course.equations(cells, exercise)) == (1 + asked.count("{eq}`") if "{eq}`" in asked else 0)
        assert "this chapter" not in asked
    names = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source.replace("    %pip", "    # %pip"), names)
    ids = [cell.metadata["nbgrader"]["grade_id"] for cell in notebook.cells]
    assert len(ids) == len(set(ids)) and len({cell["id"] for cell in notebook.cells}) == len(ids)
    for exercise in chapter.written:
        place = ids.index(f"{exercise.label}-words")
        assert notebook.cells[place].source == course.BLANK_TEXT
        assert notebook.cells[place].metadata["nbgrader"]["points"] == exercise.by_hand
        assert ids[place - 1] == f"{exercise.label}-rubric" and len(exercise.rubric) == 3
        assert all(text in notebook.cells[place - 1].source for text in exercise.rubric.values())
    assert "rubric" not in text.lower()


def test_an_exercise_in_words_needs_a_rubric():
    text = "```{exercise}\n:label: a\n:class: points-2\nWhy?\n```\n```{solution} a\nBecause.\n```"
    with pytest.raises(ValueError, match="a needs a dropdown 'Rubric'"):
        course.stream(PAGES[0], [nbformat.v4.new_markdown_cell(text)])


def test_definitions_of_a_cell():
    assert answers.definitions("import os\nx = 1\ny = f()\nprint(x)\n%time\nclass A: pass") == (
        "import os\nx = 1\n\nclass A:\n    pass")
    assert answers.definitions("def f(:") == ""


def test_a_cell_is_parsed_while_other_threads_parse(monkeypatch):
    """Python 3.11 counts the depth of its parser for all threads together, and complains at the end."""
    parse, told = answers.ast.parse, []

    def disturbed(source):
        told.append(source)
        if len(told) < 4:
            raise SystemError("AST constructor recursion depth mismatch")
        return parse(source)

    monkeypatch.setattr(answers.ast, "parse", disturbed)
    assert answers.parsed("x = 1").body[0].targets[0].id == "x" and len(told) == 4
