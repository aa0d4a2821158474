"""A course from the chapters: ``python -m tools.course`` writes slides, notebooks and assignments.

Everything is made from the pages. An exercise that is graded automatically has, in its solution, a code cell with
the tag ``answer``, whose functions students write, and one with a tag such as ``points-3``, whose tests they have to
pass: those above the line ``# Hidden tests`` they see, those below they don't. The tag ``without-autograd`` beside
``answer`` forbids autograd. An exercise with a class such as ``points-2`` has a question that is answered in words and
graded by hand, and in its solution a dropdown *Rubric* with a line for each number of points.

An assignment stands alone. Cells of the page with the tag ``setup``, and its first code cell, come before its
exercises; cells with the tag ``for-ex-name`` come with that exercise, and so do the equations that it refers to.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass, field

import nbformat

from tools import blocks, book, exams, lower, pages, questions, slides

COURSE = book.BUILD / "course"
HIDDEN = "# Hidden tests"
BLANK_TEXT = "*Your answer here.*"
TO_WRITE = "# Your code here\nraise NotImplementedError"

# For the exchange of a JupyterHub, which is all that nbgrader is asked for
CONFIG = """\
# nbgrader hands out and collects; run its commands in the folder of this file.
c = get_config()

c.CourseDirectory.course_id = "rnnbook"
"""

NAME = "**Your name:**"
GREETING = """\
# Assignment: {title}

Write your answers where it says *Your code here* or *Your answer here*, and leave all other cells as they are; you may
add cells of your own. An answer may use Python, NumPy, SciPy, pandas and PyTorch, but not the package `rnnbook`: it has
what you are asked to write. The tests below an answer show some of what is checked; more is checked when it is graded.
Before you hand it in, restart the kernel and run all cells. The chapter itself: [{title}]({url}).
"""


@dataclass
class Exercise:
    """What a page says of one exercise."""

    label: str
    text: list = field(default_factory=list)  # blocks of MyST
    given: list = field(default_factory=list)  # code cells that stand in the exercise
    solution: list = field(default_factory=list)  # blocks, and code cells, in order
    by_hand: int = 0  # points for a question that is answered in words

    @property
    def answer(self):
        """The code cell that students write, or None."""
        return next((cell for cell in self.code if "answer" in tags(cell)), None)

    @property
    def checks(self):
        """Its tests: a list of (points, code cell)."""
        return [(points(cell), cell) for cell in self.code if points(cell)]

    @property
    def code(self):
        return [part for part in self.solution if isinstance(part, nbformat.NotebookNode)]

    @property
    def rubric(self):
        """{points: what an answer in words has that gets them}, the most first."""
        found = {}
        for part in self.solution:
            if isinstance(part, blocks.Directive) and part.argument == "Rubric":
                for line in re.split(r"^- ", part.body, flags=re.M)[1:]:
                    points, text = re.fullmatch(r"\*\*(\d+)\*\*:? (.+)", line.strip(), re.S).groups()
                    found[int(points)] = " ".join(text.split())
        return found


def tags(cell):
    return cell.metadata.get("tags", [])


def points(cell):
    return next((int(tag.removeprefix("points-")) for tag in tags(cell) if tag.startswith("points-")), 0)


def chapters():
    return [page for page in pages.toc() if page.number]


# The page, cut into what stands in exercises and what does not


def stream(page, cells):
    """The page in order: blocks of MyST, code cells and, each in the place where it begins, an Exercise; no slides.

    ``cells`` are those of the page, executed or not.
    """
    place, exercises, found = None, {}, []
    for cell in cells:
        parts = [cell] if cell.cell_type == "code" else blocks.parse(cell.source)
        for part in parts:
            name = part.name if isinstance(part, blocks.Directive) else ""
            if name == "slide":
                pass
            elif name in {"exercise", "exercise-start"}:
                exercise = Exercise(part.options["label"], [part])
                grades = re.search(r"points-(\d+)", part.options.get("class", ""))
                exercise.by_hand = int(grades[1]) if grades else 0
                exercises[exercise.label] = exercise
                found.append(exercise)
                place = (exercise.text, exercise.given) if name == "exercise-start" else None
            elif name == "solution":
                exercises[part.argument].solution.extend(blocks.parse(part.body))
            elif name == "solution-start":
                place = (exercises[part.argument].solution,) * 2
            elif name in {"exercise-end", "solution-end"}:
                place = None
            elif place:
                place[isinstance(part, nbformat.NotebookNode)].append(part)
            else:
                found.append(part)
    for exercise in exercises.values():
        if bool(exercise.answer) != bool(exercise.checks):
            raise ValueError(f"{page.source.name}: {exercise.label} has an answer without tests, or tests without one")
        if exercise.by_hand and list(exercise.rubric) != [exercise.by_hand, exercise.by_hand // 2, 0]:
            raise ValueError(f"{page.source.name}: {exercise.label} needs a dropdown 'Rubric' in its solution, with "
                             f"lines for {exercise.by_hand}, {exercise.by_hand // 2} and 0 points")
    return found


def exercises(page):
    return [part for part in stream(page, page.read().cells) if isinstance(part, Exercise)]


# Answers and tests


def functions(cell):
    """The functions of an answer, as `ast` has them."""
    found = ast.parse(cell.source).body
    if not found or any(not isinstance(node, ast.FunctionDef) or ast.get_docstring(node) is None for node in found):
        raise ValueError(f"an answer is one or more functions with a docstring each, not\n{cell.source}")
    return found


def blanked(cell):
    """The source of an answer as students get it: signature, docstring, and nothing else."""
    lines = cell.source.splitlines()
    for function in reversed(functions(cell)):
        indent = " " * function.body[0].col_offset
        lines[function.body[0].end_lineno:function.end_lineno] = [indent + line for line in TO_WRITE.splitlines()]
    return "\n".join(lines)


def visible_tests(cell):
    return cell.source.split(HIDDEN)[0].strip()


def setup(page):
    """The sources of the cells that come before the exercises of an assignment."""
    cells = [cell for cell in page.read().cells if cell.cell_type == "code"]
    return [cells[0].source, *(cell.source for cell in cells if "setup" in tags(cell))]


# Notebooks


def installing():
    """The first cell. In Colab it installs the package of this commit, so that nothing changes during a course.

    `make course REF=v2` names another commit, tag or branch.
    """
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=pages.ROOT, capture_output=True, text=True)
    ref = os.environ.get("REF") or git.stdout.strip()
    return lower.SETUP.replace(pages.REPOSITORY, f"{pages.REPOSITORY}@{ref}" if ref else pages.REPOSITORY)


def student(page):
    """The chapter with a blank below each exercise, without solutions and without outputs: predict first."""
    lowering = lower.Lowering(page)
    cells, text = [code(installing())], []

    def flush():
        cells.append(lowering.markdown_cell_of(text))
        text.clear()

    for part in stream(page, page.read().cells):
        if isinstance(part, Exercise):
            flush()
            cells.extend(blank(lowering, part))
        elif isinstance(part, nbformat.NotebookNode):
            flush()
            cells.append(code(part.source))
            figure = part.metadata.get("mystnb", {}).get("figure")
            if figure:
                cells.append(markdown(lowering.caption(figure)))
        else:
            text.append(part)
    flush()
    return lower.assembled(cells)


def blank(lowering, exercise):
    """The cells of an exercise for a student."""
    yield lowering.markdown_cell_of(exercise.text)
    yield from (code(cell.source) for cell in exercise.given)
    if exercise.answer:
        yield code(blanked(exercise.answer))
        yield from (code(visible_tests(cell)) for _, cell in exercise.checks)
    if exercise.by_hand or not exercise.answer:
        yield markdown(BLANK_TEXT)
    if exercise.code and not exercise.answer:
        yield code("# Your code here")


def assignment(page):
    """The graded exercises of a chapter as students get them, with nbgrader's marks on every cell."""
    lowering = lower.Lowering(page)
    greeting = markdown(GREETING.format(title=page.title, url=page.url))
    cells = [locked(greeting, "greeting"), nbgrader(markdown(NAME), "name"), locked(code(installing()), "colab")]
    cells += [locked(code(source), f"setup-{n}") for n, source in enumerate(setup(page))]
    chapter, given = page.read().cells, set()
    for exercise in (part for part in stream(page, chapter) if isinstance(part, Exercise)):
        if not exercise.answer and not exercise.by_hand:
            continue
        label = exercise.label
        cells.append(locked(lowering.markdown_cell_of([*exercise.text, *equations(chapter, exercise)]), label))
        here = [source for source in (*cells_for(chapter, exercise), *(cell.source for cell in exercise.given))
                if source not in given]
        given |= set(here)
        cells += [locked(code(source), f"{label}-given-{n}") for n, source in enumerate(here)]
        if exercise.answer:
            cells.append(nbgrader(code(blanked(exercise.answer)), f"{label}-answer", solution=True))
            for n, (worth, cell) in enumerate(exercise.checks):
                tests = code(visible_tests(cell))
                cells.append(nbgrader(tests, f"{label}-tests-{n}", grade=True, locked=True, points=worth))
        if exercise.by_hand:
            cells.append(locked(markdown(in_words(exercise)), f"{label}-rubric"))
            cells.append(nbgrader(markdown(BLANK_TEXT), f"{label}-words", solution=True, grade=True,
                                  points=exercise.by_hand))
    return lower.assembled(cells)


def in_words(exercise):
    """What stands above the cell for an answer in words: its points and what they are given for."""
    question = "What the function does not answer, answer in words" if exercise.answer else "Answer in words"
    levels = "\n".join(f"- **{points}** {text}" for points, text in exercise.rubric.items())
    return f"{question} ({exercise.by_hand} points):\n\n{levels}"


def equations(chapter, exercise):
    """Blocks with the equations that an exercise refers to, from the chapter's cells."""
    text = "\n".join(part if isinstance(part, str) else part.body for part in exercise.text)
    wanted = re.findall(r"\{eq\}`([^`]+)`", text)
    if not wanted:
        return []
    found = [part for cell in chapter if cell.cell_type == "markdown" for part in blocks.parse(cell.source)
             if isinstance(part, blocks.Math) and part.label in wanted]
    return ["\nFrom the chapter:\n", *found]


def cells_for(chapter, exercise):
    """The sources of the chapter's cells that an exercise needs."""
    return [cell.source for cell in chapter if f"for-{exercise.label}" in tags(cell)]


def code(source):
    return nbformat.v4.new_code_cell(source)


def markdown(source):
    return nbformat.v4.new_markdown_cell(source)


def locked(cell, name):
    return nbgrader(cell, name, locked=True)


def nbgrader(cell, name, **roles):
    """The cell with the metadata from which nbgrader knows its role."""
    cell.metadata["nbgrader"] = {"grade": False, "grade_id": name, "locked": False, "schema_version": 3,
                                 "solution": False, "task": False} | roles
    return cell


# The whole course


def main(folder=COURSE):
    """Write the course, its slides where a page has changed.

    What a teacher has put beside it stays: a gradebook, submissions, other settings.
    """
    cache, common, record = book.execute(), digest_of_tools(), folder / "made.json"
    slides.copy_libraries(folder / "slides")
    made = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    executed = {page: book.executed(cache, page) for page in chapters()}
    now = {page: digest(page, executed[page], common) for page in chapters()}
    stale = [page for page in chapters() if made.get(page.stem) != now[page] or not is_there(folder, page)]
    for page in chapters():  # the notebooks name a commit, and are made in no time
        write(lower.notebook(page, executed[page]), folder / "solutions" / page.notebook.name)
        write(student(page), folder / "student" / page.notebook.name)
        write(assignment(page), folder / "nbgrader" / "release" / page.stem / page.notebook.name)
        print(f"  {page.stem:<14} {graded(page)}", flush=True)
    for page in stale:
        slides.write(page, executed[page], folder / "slides")
    if stale and not slides.print_pdf(folder / "slides", [page.stem for page in stale]):
        print("No PDF of the slides: that needs Chromium (apt install chromium).")
    questions.write(folder / "questions")
    exams.write(folder / "exams")
    settings = folder / "nbgrader" / "nbgrader_config.py"
    if not settings.exists():
        settings.write_text(CONFIG, encoding="utf-8")
    record.write_text(json.dumps({page.stem: now[page] for page in chapters()}), encoding="utf-8")
    print(f"Slides ({len(stale)} of {len(now)} had changed), notebooks, assignments, questions and exams are in "
          f"{folder}. How to use them: the page for instructors.")


def digest_of_tools():
    """Hex digest of what slides are made with and by: tools, questions, references, and the labels of all pages."""
    labels = {name: label.text for name, label in lower.all_labels().items()}
    found = hashlib.sha256(repr((labels, [(page.docname, page.title) for page in pages.toc()])).encode())
    files = [pages.ROOT / "_config.yml", pages.ROOT / "book" / "references.bib", *questions.FOLDER.iterdir(),
             *(path for path in slides.HERE.iterdir() if path.suffix in {".py", ".html", ".css"})]
    for path in sorted(files):
        found.update(path.read_bytes())
    return found.hexdigest()


def digest(page, executed, common):
    """Hex digest of a page, its outputs and what is common to all pages."""
    outputs = json.dumps([cell.get("outputs", []) for cell in executed.cells])
    return hashlib.sha256(f"{common}{page.source.read_text(encoding='utf-8')}{outputs}".encode()).hexdigest()


def is_there(folder, page):
    """Whether the slides of a page are in the folder, the PDF too where it can be made."""
    endings = [".html", *([".pdf", "-handout.pdf"] if slides.chromium() else [])]
    return all((folder / "slides" / f"{page.stem}{ending}").exists() for ending in endings)


def write(notebook, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    lower.write(notebook, path)


def graded(page):
    """One line on the exercises of a page."""
    tested = [exercise for exercise in exercises(page) if exercise.answer]
    by_hand = [exercise for exercise in exercises(page) if exercise.by_hand]
    return (f"{len(exercises(page))} exercises, {len(tested)} graded by tests "
            f"({sum(worth for exercise in tested for worth, _ in exercise.checks)} points), "
            f"{len(by_hand)} by hand ({sum(exercise.by_hand for exercise in by_hand)} points)")


if __name__ == "__main__":
    main()
