"""What grading writes: grades.csv, a feedback page a student, and two files for the questions that a person grades."""

from __future__ import annotations

import csv
import html
import re
from dataclasses import dataclass

from tools import blocks, lower
from tools.grading import collect, marks

LONGEST = 20_000  # characters of an answer that a page shows
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; }}
pre {{ background: #f4f4f4; padding: .6em; font-size: 13px; white-space: pre-wrap; }}
h2 {{ font-size: 1.1em; margin-top: 2em; border-top: 1px solid #ccc; padding-top: .6em; }}
</style><h1>{title}</h1>
{body}
"""
UNREADABLE = "unreadable"
SAYS = {marks.RIGHT: "This is right.", marks.WRONG: "Not right yet.", marks.CRASHED: "No points, since it crashed.",
        marks.FORBIDDEN: "No points, since it uses what is not allowed.", marks.MISSING: "There is no answer."}


@dataclass
class Graded:
    """What a student handed in, and what came of it."""

    submission: collect.Submission
    verdicts: dict  # {label: Verdict}
    sources: dict  # {label: the code of an answer}
    texts: dict  # {label: an answer in words}
    levels: dict  # {label: (points as text, comment)}, typed by a teacher

    @property
    def student(self):
        return self.submission.student

    def level(self, exercise):
        """(points as text, comment) of an answer in words; no points yet are "", and nothing gets "0"."""
        return self.levels.get(exercise.label, ("", "")) if self.texts[exercise.label] else ("0", "")

    def points(self, chapter):
        """(points so far, points that wait for a person)"""
        levels = [(self.level(exercise)[0], exercise.by_hand) for exercise in chapter.written]
        tested = sum(verdict.points for verdict in self.verdicts.values())
        return tested + sum(int(level or 0) for level, _ in levels), sum(most for level, most in levels if not level)


# The page for one student


def feedback(chapter, graded):
    points, waiting = graded.points(chapter)
    parts = [paragraph(f"{points} of {chapter.points} points" + (f"; {waiting} are still to be graded." * bool(waiting)
                                                                 or "."))]
    if graded.submission.fault:
        parts.append(paragraph(graded.submission.fault))
    for exercise in chapter.exercises:
        if exercise.answer:
            verdict = graded.verdicts[exercise.label]
            parts.append(heading(chapter, exercise, f"{verdict.points} of {chapter.worth(exercise)} points"))
            parts.append(paragraph(f"{SAYS[verdict.how]} {verdict.why}"))
            if verdict.notes:
                parts.append(paragraph("Part of the cell failed when it ran: " + " ".join(verdict.notes)))
            parts.append(pre(graded.sources[exercise.label]))
        if exercise.by_hand:
            level, comment = graded.level(exercise)
            parts.append(heading(chapter, exercise, f"in words, {level or '?'} of {exercise.by_hand} points"))
            parts.append(pre(graded.texts[exercise.label]) or paragraph(SAYS[marks.MISSING]))
            parts += [paragraph(f"{points} points: {text}") for points, text in exercise.rubric.items()]
            parts.append(paragraph(comment))
    return page(f"{chapter.page.title}: {graded.student}", parts)


def heading(chapter, exercise, worth):
    text = "\n".join(getattr(part, "body", part) for part in exercise.text)
    title = re.search(r"\*\*(.+?)\.?\*\*", text)[1]
    return f"<h2>Exercise {chapter.number[exercise.label]}: {html.escape(f'{title} ({worth})')}</h2>"


def page(title, parts):
    return PAGE.format(title=html.escape(title), body="\n".join(filter(None, parts)))


def paragraph(text):
    """Sentences as HTML, with `code` in them."""
    inside = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return text and f"<p>{inside}</p>"


def pre(text):
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}\n[{len(text) - LONGEST:,} more characters]"
    return text and f"<pre>{html.escape(text)}</pre>"


# The tables


def grades(chapter, everybody, missing):
    """The rows of grades.csv: points and verdicts, and at the end who has handed in nothing."""
    header = ["student", "points", "of"]
    for exercise in chapter.exercises:
        number = chapter.number[exercise.label]
        header += [number, f"{number} verdict"] * bool(exercise.answer)
        header += [f"{number} in words"] * bool(exercise.by_hand)
    yield [*header, "file"]
    for graded in everybody:
        row = [graded.student, graded.points(chapter)[0], chapter.points]
        for exercise in chapter.exercises:
            if exercise.answer:
                verdict = graded.verdicts[exercise.label]
                row += [verdict.points, UNREADABLE if graded.submission.fault else verdict.how]
            if exercise.by_hand:
                row.append(graded.level(exercise)[0])
        yield [*row, graded.submission.path]
    for student in missing:
        yield [student, 0, chapter.points, *[""] * (len(header) - 3), "nothing handed in"]


def write_csv(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[harmless(field) for field in row] for row in rows])


def harmless(field):
    """A field that a spreadsheet does not take for a formula."""
    return f"'{field}" if str(field).startswith(("=", "+", "-", "@", "\t")) else field


# Questions that a person grades


HEADER = ["student", "exercise", "points", "comment"]


def written_rows(chapter, everybody):
    """The rows of written.csv, question by question, with what has been typed into it so far."""
    yield HEADER
    for exercise in chapter.written:
        for graded in everybody:
            if graded.texts[exercise.label]:
                yield [graded.student, chapter.number[exercise.label], *graded.level(exercise)]


def read_levels(path, chapter):
    """{student: {label: (points as text, comment)}} that a teacher has typed into written.csv."""
    levels, of_number = {}, {chapter.number[exercise.label]: exercise for exercise in chapter.written}
    if not path.exists():
        return levels
    try:
        text = path.read_text(encoding="utf-8-sig")
        header, *rows = csv.reader(text.splitlines(), delimiter=";" if ";" in text.split("\n")[0] else ",")
        rows = [dict(zip(header, map(str.strip, row))) for row in rows if any(row)]
        rows = [[row[name] for name in HEADER] for row in rows]
        if not set(HEADER) <= set(header):
            raise KeyError(header)
    except (KeyError, ValueError, csv.Error):
        raise SystemExit(f"{path} cannot be read. Its header must be {','.join(HEADER)}; save it as csv, in "
                         "UTF-8.") from None
    for student, number, level, comment in rows:
        exercise = of_number.get(number)
        if exercise is None:
            raise SystemExit(f"{path}: there is no exercise {number!r} in words. There are {', '.join(of_number)}; "
                             "keep this column as it was.")
        if level not in {"", *map(str, range(exercise.by_hand + 1))}:
            raise SystemExit(f"{path}: {student}, exercise {number}: type points from 0 to {exercise.by_hand}, and not "
                             f"{level!r}.")
        levels.setdefault(student.removeprefix("'"), {})[exercise.label] = level, comment
    return levels


def written_page(chapter, everybody):
    """All answers to a question below each other, with the rubric and the model answer."""
    parts, lowering = [], lower.Lowering(chapter.page)
    for exercise in chapter.written:
        model = [part for part in exercise.solution if part not in exercise.code
                 and not (isinstance(part, blocks.Directive) and part.argument == "Rubric")]
        parts += [heading(chapter, exercise, f"{exercise.by_hand} points"),
                  pre(lowering.markdown_cell_of(exercise.text).source),
                  paragraph("The model answer:"), pre(lowering.markdown_cell_of(model).source)]
        parts += [paragraph(f"{points} points: {text}") for points, text in exercise.rubric.items()]
        for graded in everybody:
            if graded.texts[exercise.label]:
                parts += [f"<h3>{html.escape(graded.student)}</h3>", pre(graded.texts[exercise.label])]
    return page(f"{chapter.page.title}: answers in words", parts)
