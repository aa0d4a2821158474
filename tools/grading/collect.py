"""Whose is which file: notebooks out of folders, zips and the names that learning systems make.

A name is told from, in this order, the file's name (`ada_01_rnn.ipynb`, whatever a browser, Colab or a learning system
puts around it), what the learning system or nbgrader says (Canvas, Blackboard, the folders of Moodle and Brightspace, the
folder `submitted/ada/01_rnn`), and the cell *Your name* of the notebook.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import nbformat

from tools import course

LARGEST = 50_000_000  # bytes of a notebook
NOTEBOOK = re.compile(r"\.ipynb(\.txt|\.json)?$", re.I)  # some browsers add an ending
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
    notebook: nbformat.NotebookNode | None
    fault: str = ""  # why the notebook cannot be read
    version: int = 0  # 1 for "ada_01_rnn (1)"


@dataclass
class Collected:
    submissions: list = field(default_factory=list)  # one a student, sorted
    untold: list = field(default_factory=list)  # (path, reason)
    missing: list = field(default_factory=list)  # students of the roster without a file


def collect(sources, stem, roster=None):
    """Everything that was handed in for the assignment `stem`, from files, folders and zips."""
    found, told = Collected(), {}
    for path, content in files(sources):
        if isinstance(content, str):
            found.untold.append((path, content))
            continue
        notebook, fault = read(content)
        student, version, reason = owner(path, notebook, stem, roster)
        if reason:
            found.untold.append((path, f"{fault} {reason}".strip()))
        else:
            told.setdefault(student, []).append(Submission(student, path, notebook, fault, version))
    for student, several in sorted(told.items()):
        *older, last = sorted(several, key=lambda submission: (submission.notebook is not None, submission.version))
        rivals = [other for other in older if (other.version, other.fault) == (last.version, last.fault)]
        if rivals:
            names = ", ".join(other.path for other in (*rivals, last))
            found.untold += [(submission.path, f"{student} has handed in several notebooks, and the names do not say which "
                              f"is the last ({names}). Keep one of them.") for submission in several]
            continue
        found.untold += [(other.path, f"{student} has handed in again: {last.path} is graded.") for other in older]
        found.submissions.append(last)
    if roster:
        named = {submission.student for submission in found.submissions}
        found.missing = [student for student in roster.students if student not in named]
        found.untold += [(submission.path, f"graded, but there is no {submission.student!r} in the roster. Was the name "
                          "misspelt?") for submission in found.submissions if submission.student not in roster.students]
    return found


def files(sources):
    """(path, bytes) of every notebook; (path, reason) of a file that is none."""
    for source in map(Path, sources):
        if source.is_dir():
            inside = sorted(path for path in source.rglob("*") if path.is_file())
            for path in inside:
                yield from one(path.relative_to(source.parent).as_posix(), path.read_bytes, path.stat().st_size)
        elif source.is_file():
            yield from one(source.name, source.read_bytes, source.stat().st_size)
        else:
            raise SystemExit(f"There is no file and no folder {source}. Name the zip that your learning system gave you, a "
                             "folder, or notebooks.")


def one(path, content, size):
    name = PurePosixPath(path)
    if SKIPPED & set(name.parts) or name.name.startswith("._"):
        return
    if name.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(io.BytesIO(content())) as packed:
                for info in sorted(packed.infolist(), key=lambda info: info.filename):
                    if not info.is_dir():
                        inside = (name.parent / name.stem / info.filename).as_posix()
                        yield from one(inside, lambda info=info: packed.read(info), info.file_size)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            yield path, f"This zip cannot be opened: {error}. Ask for the notebook itself."
    elif not NOTEBOOK.search(name.name):
        yield path, "This is no notebook (.ipynb). Ask for the notebook itself."
    elif size > LARGEST:
        yield path, f"The file has {size / 1e6:.0f} MB, more than {LARGEST / 1e6:.0f}. Ask for it without its outputs."
    else:
        yield path, content()


def read(content):
    """(notebook, "") or (None, what is wrong with the file)."""
    try:
        notebook = nbformat.reads(content.decode("utf-8-sig"), as_version=4)
        for cell in notebook.cells:
            cell.source, cell.cell_type, cell.metadata  # noqa: B018
        return notebook, ""
    except Exception as error:  # nbformat has an error of its own for each fault, and none above them
        return None, f"The file is no notebook that can be read ({type(error).__name__}). Ask for it again."


def owner(path, notebook, stem, roster=None):
    """(student, version, "") or (None, 0, the reason why it cannot be told)."""
    *folders, name = PurePosixPath(unicodedata.normalize("NFC", path)).parts
    name, version = COPY.sub("", NOTEBOOK.sub("", name)), 0
    candidates = []
    for system in (CANVAS, BLACKBOARD):
        made = system.match(name)
        if made:
            candidates.append(made["who"])
            name = made["rest"] or stem
    again = AGAIN.search(name)
    if again and not assignment(stem).search(name[again.start():]):
        version, name = int(next(filter(None, again.groups()), 1)), name[:again.start()]
    name = COPY.sub("", name)
    other = next((page.stem for page in course.chapters()
                  if page.stem != stem and assignment(page.stem).search(name)), None)
    if other:
        return None, 0, f"By its name this is the assignment {other} and not {stem}. Grade it with {other}."
    place = assignment(stem).search(name)
    if place and place.start():
        candidates.insert(0, name[:place.start()])
    for n, folder in enumerate(folders):
        made = MOODLE.match(folder) or BRIGHTSPACE.match(folder)
        if made:
            candidates.append(made["who"])
        elif folders[n + 1:n + 2] == [stem] and folders[n - 1] == "submitted":
            candidates.append(folder)
    candidates += written_name(notebook)
    candidates = [candidate.strip(" _-").lower() for candidate in candidates]
    if roster:
        known = [student for candidate in candidates for student in roster.find(candidate)]
        candidates = known or candidates
    if candidates:
        return candidates[0], version, ""
    return None, 0, (f"Neither the name nor the notebook says whose it is. Call it NAME_{stem}.ipynb, with the student's "
                     "name for NAME.")


def assignment(stem):
    """What stands for the assignment at the end of a name: 01_rnn, 1_rnn, 01-RNN."""
    number, _, rest = stem.partition("_")
    return re.compile(rf"(?:^|[ _-])0*{int(number)}[ _-]?{re.escape(rest)}$", re.I)


def written_name(notebook):
    """What stands in the cell for the name: a list of one, or of none."""
    for cell in notebook.cells if notebook else []:
        if (cell.metadata.get("nbgrader") or {}).get("grade_id") == "name":
            name = cell.source.replace(course.NAME, "").strip(" *_\n")
            return [name] if name and len(name) < 100 else []
    return []


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
