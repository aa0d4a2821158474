"""Whose is which file: notebooks out of folders, zips and the names that learning systems make.

A name is told from, in this order, the file's name (`ada_01_rnn.ipynb`, whatever a browser, Colab or a learning system
puts around it), what the learning system or nbgrader says (Canvas, Blackboard, the folders of Moodle and Brightspace,
the folder `submitted/ada/01_rnn`), the cell *Your name* of the notebook, and the name that Colab leaves in it.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import nbformat

from tools import course

LARGEST = 50_000_000  # bytes of a file
ROLE, COLAB = "nbgrader", "executionInfo"  # in the metadata of a cell: what it is for, and who ran it
NOTEBOOK = re.compile(r"\.ipynb(\.txt|\.json)?$", re.I)  # some browsers add an ending
TIME, SECRET = "timestamp.txt", "submission_secret.txt"  # nbgrader's files beside what was handed in
SKIPPED = {".ipynb_checkpoints", "__MACOSX", ".DS_Store", "Thumbs.db"}
COPY = re.compile(r"^(copy of|kopie von|kopie van|copie de|copia de|copia di|cópia de)[ _]+", re.I)
AGAIN = re.compile(r"[ _]*\((\d+)\)$|-(\d{1,2})$|[ _-]*copy ?(\d*)$", re.I)  # " (1)" of a browser, "-1" of Canvas
CANVAS = re.compile(r"^(?P<who>[^_]+)_(?:LATE_)?\d+_\d+_(?P<rest>.+)$", re.I)
BLACKBOARD = re.compile(r"^.*?_(?P<who>[^_]+)_attempt_[\d-]+_?(?P<rest>.*)$", re.I)
MOODLE = re.compile(r"^(?P<who>.+?)_\d+_assignsubmission_\w*$", re.I)
BRIGHTSPACE = re.compile(r"^\d+-\d+ - (?P<who>.+?) - .+$")


@dataclass
class Submission:
    """A notebook that a student handed in, or the reason why there is none."""

    student: str
    path: str
    notebook: Any  # for what is no notebook, whatever was read
    fault: str = ""  # why the notebook cannot be read
    version: int = 0  # 1 for "ada_01_rnn (1)"
    names: tuple = ()  # all that the file says of whose it is, the surest last


@dataclass
class Collected:
    submissions: list = field(default_factory=list)  # one a student, sorted
    untold: list = field(default_factory=list)  # (path, reason)
    missing: list = field(default_factory=list)  # students of the roster without a file


class Kind(NamedTuple):
    """What students hand in, and how it is read."""

    ending: re.Pattern
    what: str  # in a sentence
    read: Any  # from bytes to (what is in it, "") or (None, the fault)


def read(content):
    """(notebook, "") or (None, what is wrong with the file)."""
    try:
        notebook = nbformat.reads(content.decode("utf-8-sig"), as_version=4)
        for cell in notebook.cells:
            cell.source = str(cell.source)
            for key in (ROLE, COLAB):  # what a student may have written there
                if not isinstance(cell.metadata.get(key), dict):
                    cell.metadata[key] = {}
        return notebook, ""
    except Exception as error:  # nbformat has an error of its own for each fault, and none above them
        return None, f"The file is no notebook that can be read ({type(error).__name__}). Ask for it again."


NOTEBOOKS = Kind(NOTEBOOK, "notebook (.ipynb)", read)


def collect(sources, stem, roster=None, kind=NOTEBOOKS):
    """Everything that was handed in for the assignment `stem`, from files, folders and zips: notebooks, or a `Kind`."""
    found, told = Collected(), {}
    # nbgrader has all assignments in one folder, and puts files of its own beside a notebook
    elsewhere = re.compile(rf"(^|/)submitted/[^/]+/((?!{stem}/)\d\d_|{stem}/({TIME}|{SECRET}|feedback/))")
    for path, content in files(sources, kind):
        if elsewhere.search(path):
            continue
        if isinstance(content, str):
            found.untold.append((path, content))
            continue
        notebook, fault = kind.read(content)
        names, version, reason = owner(path, notebook, stem, kind)
        if reason:
            found.untold.append((path, f"{fault} {reason}".strip()))
            continue
        if roster:
            names = [student for name in names for student in roster.find(name)] or names
        told.setdefault(names[0], []).append(Submission(names[0], path, notebook, fault, version, tuple(names)))
    for student, several in sorted(told.items()):
        by_system = {submission.names[-1] for submission in several}
        if len(by_system) == len(several) > 1:  # two people with one name: the learning system tells them apart
            for submission in several:
                submission.student = submission.names[-1]
            found.submissions += several
            continue
        *older, last = sorted(several, key=lambda submission: (submission.notebook is not None, submission.version))
        if any((other.version, other.notebook is None) == (last.version, last.notebook is None) for other in older):
            why = f"{student} has several notebooks, and no name says which is the last. Keep one; none is graded."
            found.untold += [(submission.path, why) for submission in several]
            continue
        found.untold += [(other.path, f"{student} has handed in again: {last.path} is graded.") for other in older]
        found.submissions.append(last)
    if roster:
        named = {submission.student for submission in found.submissions}
        found.missing = [student for student in roster.students if student not in named]
        found.untold += [(one.path, f"It is graded, but the roster has no {one.student!r}. Is the name misspelt?")
                         for one in found.submissions if one.student not in roster.students]
    return found


def files(sources, kind):
    """(path, bytes) of every file of this kind; (path, reason) of another one."""
    for source in map(Path, sources):
        if source.is_dir():
            inside = sorted(path for path in source.rglob("*") if path.is_file())
            for path in inside:
                yield from one(path.relative_to(source.parent).as_posix(), path.read_bytes, path.stat().st_size, kind)
        elif source.is_file():
            yield from one(source.name, source.read_bytes, source.stat().st_size, kind)
        else:
            raise SystemExit(f"There is no file and no folder {source}. Name the zip of your learning system, a "
                             "folder, or files.")


def one(path, content, size, kind):
    name = PurePosixPath(path)
    if SKIPPED & set(name.parts) or name.name.startswith("._"):
        return
    if size > LARGEST and name.suffix.lower() != ".zip":
        yield path, f"The file has {size / 1e6:.0f} MB, more than {LARGEST / 1e6:.0f}. Ask for it without its outputs."
        return
    try:
        if name.suffix.lower() == ".zip":
            packed = zipfile.ZipFile(io.BytesIO(content()))
        elif kind.ending.search(name.name):
            yield path, content()
            return
        else:
            yield path, f"This is no {kind.what}. Ask for the file itself."
            return
    except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        yield path, f"It cannot be opened: {error}. Ask for the file itself."
        return
    for info in sorted(packed.infolist(), key=lambda info: info.filename):
        if not info.is_dir():
            inside = (name.parent / name.stem / info.filename).as_posix()
            yield from one(inside, lambda info=info: packed.read(info), info.file_size, kind)


def owner(path, notebook, stem, kind=NOTEBOOKS):
    """(names of the student, version, "") or ([], 0, the reason why it cannot be told whose it is)."""
    *folders, name = PurePosixPath(unicodedata.normalize("NFC", path)).parts
    name, version, names = COPY.sub("", kind.ending.sub("", name)), 0, []
    again = AGAIN.search(name)
    if again:
        version, name = int(next(filter(None, again.groups()), 1)), name[:again.start()]
    for system in (CANVAS, BLACKBOARD):
        made = system.match(name)
        if made:
            names.append(made["who"])
            name = COPY.sub("", made["rest"] or stem)
    other = next((page.stem for page in course.chapters()
                  if page.stem != stem and assignment(page.stem).search(name)), None)
    if other:
        return [], 0, f"By its name this is the assignment {other} and not {stem}. Grade it with {other}."
    place = assignment(stem).search(name)
    if place and place.start():
        names.insert(0, name[:place.start()])
    for folder, below, above in zip(folders, [*folders[1:], ""], ["", *folders]):
        made = MOODLE.match(folder) or BRIGHTSPACE.match(folder)
        if made:
            names.append(made["who"])
        elif (above, below) == ("submitted", stem):
            names.append(folder)
            if name != stem or again:  # what lies beside the notebook that was handed out counts if that one is gone
                version = -1
    names = [name.strip(" _-").lower() for name in names or names_inside(notebook)]
    if names:
        return names, version, ""
    return [], 0, (f"Neither its name nor what is in it says whose it is. Put the student's name before its own: "
                   f"NAME_{stem}.")


def assignment(stem):
    """What stands for the assignment at the end of a name: 01_rnn, 1_rnn, 01-RNN; or a word alone."""
    number, _, rest = stem.rpartition("_")
    number = rf"0*{int(number)}[ _-]?" if number else ""
    return re.compile(rf"(?:^|[ _-]){number}{re.escape(rest)}$", re.I)


def names_inside(notebook):
    """What stands in the cell for the name, or else the name that Colab has left: a list of one, or of none."""
    cells = getattr(notebook, "cells", [])
    for cell in cells:
        name = cell.source.replace(course.NAME, "").strip(" *_\n")
        if cell.metadata[ROLE].get("grade_id") == "name" and 0 < len(name) < 100:
            return [name]
    users = [cell.metadata[COLAB].get("user") for cell in cells]
    shown = Counter(user["displayName"] for user in users if isinstance(user, dict) and user.get("displayName"))
    return [str(name) for name, _ in shown.most_common(1)]


class Roster:
    """Who takes the course: a csv with a row for each student, whose first column names them in the grades.

    Any other column may hold another name of theirs, such as the login or "Lovelace, Ada".
    """

    def __init__(self, path):
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                rows = [[field.strip() for field in row] for row in csv.reader(file) if any(row)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SystemExit(f"The roster {path} cannot be read: {error}. Save it as csv, in UTF-8.") from None
        self.students, self.by_name = [], {}
        for row in rows[1:]:
            student = row[0].lower()
            self.students.append(student)
            for name in filter(None, row):
                for key in (key_of(name), key_of(" ".join(reversed(re.split(r"[\s,]+", name))))):
                    self.by_name.setdefault(key, set()).add(student)

    def find(self, name):
        """The student of this name: a list of one, or of none."""
        found = self.by_name.get(key_of(name), set())
        return list(found) if len(found) == 1 else []


def key_of(name):
    """A name without what systems change in it: case, accents, blanks, marks."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in plain if letter.isalnum())
