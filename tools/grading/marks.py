"""From an answer to a verdict: the tests run here, and each call of a student's function goes to another process."""

from __future__ import annotations

import ast
import multiprocessing
import os
import re
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field

from tools import course
from tools.grading import answers, collect, wire

# The processes are forked from one that has imported what answers import. Elsewhere a fork of numpy is not safe.
FORKS = sys.platform.startswith("linux")
START = multiprocessing.get_context("forkserver" if FORKS else "spawn")
START_SECONDS = 60  # until a process is there
CLOCK = 4 * answers.SECONDS  # on the wall: a busy machine takes longer than the seconds of computing
LONGEST = 1000  # characters of a sentence that may hold what an answer gave
TESTS = "<tests>"
AUTOGRAD = {"autograd", "backward", "requires_grad", "requires_grad_", "enable_grad", "grad", "functorch", "forward_ad",
            "jvp", "vjp", "jacrev", "jacfwd", "hessian", "_C"}

RIGHT, WRONG, CRASHED, FORBIDDEN, MISSING = "right", "wrong", "crashed", "forbidden", "missing"


def warm_up():
    """Start the process from which those of the answers are forked, and wait until it has its imports."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    if FORKS:
        START.set_forkserver_preload(["tools.grading.answers", "matplotlib.pyplot", "pandas", "scipy.special",
                                      "IPython.display"])
        first = START.Process(target=int)
        first.start()
        first.join()


@dataclass
class Verdict:
    how: str  # of the five above
    points: int = 0
    why: str = ""
    notes: list = field(default_factory=list)  # what else the answer's cell did


class Stopped(Exception):
    """The process of an answer gave no value."""

    def __init__(self, how, why):
        super().__init__(why)
        self.verdict = Verdict(how, why=why[:LONGEST])


class Chapter:
    """The graded exercises of a page, ready to test answers."""

    def __init__(self, page):
        self.page = page
        found = course.exercises(page)
        self.exercises = [exercise for exercise in found if exercise.answer or exercise.by_hand]
        self.tested = [exercise for exercise in found if exercise.answer]
        self.written = [exercise for exercise in found if exercise.by_hand]
        self.points = sum(map(self.worth, self.tested)) + sum(exercise.by_hand for exercise in self.written)
        self.number = {exercise.label: f"{page.number}.{n}" for n, exercise in enumerate(found, 1)}
        setup = course.setup(page)
        self.names = {}  # what the chapter's first cells define
        for source in setup:
            exec(source, self.names)
        self.imports = [answers.definitions(source) for source in setup]  # the same, for an answer
        self.strangers = {name for source in setup for name in imported(answers.tree_of(source), "rnnbook")}

    @staticmethod
    def worth(exercise):
        """The points of its tests."""
        return sum(points for points, _ in exercise.checks)


    def mark(self, exercise, source, helpers=()):
        """The verdict on the source of an answer; `helpers` are the sources of a student's other cells."""
        wanted = [node.name for node in answers.tree_of(exercise.answer.source).body]
        if not source.strip():
            return Verdict(MISSING, why="The cell for it is empty, or not in the notebook any more.")
        forbidden = self.forbidden(exercise, source)
        if forbidden:
            return Verdict(FORBIDDEN, why=forbidden)
        try:
            with Answer(self, exercise, source, helpers) as answer:
                for name in wanted:
                    if name not in answer.names:
                        how, why = ((CRASHED, answer.notes[0]) if answer.notes else
                                    (MISSING, "No cell defines it. Was its name changed?"))
                        return Verdict(how, why=f"There is no function `{name}`. {why}")
                points, why = 0, []
                for worth, cell in exercise.checks:
                    sentence = self.fault(exercise, cell.source, {name: answer.function(name) for name in wanted})
                    points += 0 if sentence else worth
                    why += [sentence] if sentence else []
                return Verdict(WRONG if why else RIGHT, points, " ".join(why), answer.notes)
        except Stopped as stopped:
            return stopped.verdict

    def fault(self, exercise, tests, functions):
        """The sentence of the first assertion that fails, or None."""
        names = dict(self.names)
        for cell in exercise.given:
            exec(cell.source, names)
        names |= functions
        try:
            exec(compile(tests, TESTS, "exec"), names)
        except Stopped:
            raise
        except AssertionError as error:
            return str(error)[:LONGEST] or "This is not what was expected."
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            line = next(frame.lineno for frame in frames if frame.filename == TESTS)
            seen = line <= tests.partition(course.HIDDEN)[0].count("\n")
            return (f"{'A test that you can see' if seen else 'A hidden test'} cannot use what the function returns. "
                    f"Are type and shape those of its docstring? ({type(error).__name__})")

    def forbidden(self, exercise, source):
        """What an answer uses and may not, in a sentence; "" if it does not, or if it is no Python."""
        try:
            tree = answers.parsed(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ""
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        own |= imported(tree) - imported(tree, "rnnbook")
        strangers = used & (self.strangers | imported(tree, "rnnbook")) - own
        if strangers:
            return not_allowed("the package", sorted(strangers))
        if "without-autograd" in course.tags(exercise.answer):
            words = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} | imported(tree, "torch")
            words |= {part for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)
                      for name in (getattr(node, "module", None) or "", *(alias.name for alias in node.names))
                      for part in name.split(".")}
            if words & AUTOGRAD:
                return not_allowed("autograd", sorted(words & AUTOGRAD))
        return ""


def not_allowed(what, words):
    use = {"the package": "An answer may use Python, NumPy, SciPy, pandas and PyTorch, but not the package: it has "
                          "what you are asked to write. Write it yourself.",
           "autograd": "The exercise asks for a derivative that you have found yourself. Derive it on paper, and use "
                       "autograd in a cell of your own to check it."}[what]
    return f"The answer uses {what} ({', '.join(f'`{word}`' for word in words)}). {use}"


def imported(tree, package=None):
    """The names that imports give to `package` and what is in it, or to anything."""
    return {(alias.asname or alias.name).split(".")[0] for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
            if package in {None, (getattr(node, "module", None) or alias.name).split(".")[0]}}


class Child:
    """A process that speaks through a connection, which is the first argument of what it runs. Leaving ends it."""

    what = "The answer"  # in sentences

    def __init__(self, target, *arguments):
        self.connection, theirs = START.Pipe()
        self.process = START.Process(target=target, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.deadline = time.monotonic() + CLOCK + (0 if FORKS else START_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.join()
        self.connection.close()

    def reply(self):
        """The next message of the process, a dict."""
        try:
            if not self.connection.poll(max(0, self.deadline - time.monotonic())):
                raise Stopped(CRASHED, f"{self.what} took more than {CLOCK} seconds. Does it wait for something, or "
                                       "does a loop never end?")
            reply = wire.unpack(self.connection.recv_bytes(wire.LARGEST))
            if not isinstance(reply, dict):
                raise ValueError("no dict")
        except EOFError:
            raise Stopped(CRASHED, self.end()) from None
        except (OSError, ValueError, RecursionError):
            raise Stopped(CRASHED, f"{self.what} gives back what cannot be read, or more than {wire.LARGEST / 1e6:.0f} "
                                   "MB.") from None
        if "forbidden" in reply:
            what = "autograd" if reply["forbidden"] == "autograd" else "the package"
            raise Stopped(FORBIDDEN, not_allowed(what, [str(reply["forbidden"])[:100]]))
        return reply

    def end(self):
        """How the process came to its end, in a sentence."""
        self.process.join(5)
        code = self.process.exitcode
        if code in {-signal.SIGKILL, -getattr(signal, "SIGXCPU", 24)}:
            return (f"{self.what} computed for more than {answers.SECONDS} seconds, or took too much memory. Does a "
                    "loop never end?")
        if code is not None and code < 0:
            return f"{self.what} crashed Python itself ({signal.Signals(-code).name})."
        return f"{self.what} ended its Python process (exit code {code}). Take out `exit`, `quit` and the like."


class Answer(Child):
    """A process in which a student's functions can be called."""

    def __init__(self, chapter, exercise, source, helpers):
        super().__init__(answers.serve, source, list(helpers), chapter.imports,
                         "without-autograd" in course.tags(exercise.answer))

    def __enter__(self):
        try:
            hello = self.reply()
            self.names, self.notes = set(hello["names"]), [str(note)[:LONGEST] for note in hello["notes"][:5]]
        except BaseException:
            self.__exit__()
            raise
        return self

    def function(self, name):
        def call(*arguments, **keywords):
            try:
                self.connection.send_bytes(wire.pack([name, wire.encode(arguments), wire.encode(keywords)]))
            except OSError:
                raise Stopped(CRASHED, self.end()) from None
            reply = self.reply()
            if "value" in reply:
                call.largest = reply.get("largest", 0)  # a hidden test may ask for it
                try:
                    return wire.decode(reply["value"])
                except Exception:
                    raise Stopped(CRASHED, "What the function returns cannot be read.") from None
            if reply.get("kind") == "NotImplementedError":
                raise Stopped(MISSING, "It has been left blank: it raises NotImplementedError.")
            if "error" in reply:
                raise Stopped(CRASHED, f"Your function `{name}` raises {reply['error']}")
            raise Stopped(WRONG, f"Your function `{name}` returns {reply.get('unusable')}. Return what its docstring "
                                 "says: numbers, lists, arrays or tensors.")

        return call


# What a student handed in


def cells_of(notebook):
    """[(grade_id, cell)] of what students may write: every cell but the locked ones."""
    found = []
    for cell in notebook.cells:
        role = cell.metadata[collect.ROLE]
        if not role.get("locked"):
            found.append((str(role.get("grade_id", "")), cell))
    return found


def answer_in(notebook, exercise):
    """(source of the answer, sources of the student's other code cells). The source is "" where there is none.

    The answer is the cell made for it. If that cell was deleted, lost its mark or was left blank, it is the last one
    that defines the function.
    """
    code = [(name, cell.source) for name, cell in cells_of(notebook) if cell.cell_type == "code"]
    wanted = answers.tree_of(exercise.answer.source).body[0].name
    defining = [source for name, source in code if re.search(rf"^(?:def {wanted}\b|{wanted}\s*=)", source, re.M)]
    marked = [source for name, source in code if name == f"{exercise.label}-answer"]
    blank = course.blanked(exercise.answer)
    written = [source for source in defining if source.strip() != blank.strip()]
    both = [source for source in written if source in marked]
    answer = (both or written or marked or [""])[-1]
    return answer, [source for _, source in code if source is not answer]


def text_in(notebook, exercise):
    """A written answer, "" where there is none."""
    texts = [cell.source for name, cell in cells_of(notebook) if name == f"{exercise.label}-words"]
    text = "\n\n".join(texts).strip()
    return "" if text == course.BLANK_TEXT else text


def chapter(stem):
    """The chapter of an assignment such as `01_rnn`."""
    for page in course.chapters():
        if page.stem == stem:
            return Chapter(page)
    raise SystemExit(f"There is no assignment {stem!r}. There are "
                     f"{', '.join(page.stem for page in course.chapters())}.")
