"""What grading writes: grades.csv, a feedback page a student, and two files for the questions that a person grades."""

from __future__ import annotations

import csv
import html
import re

from tools import lower
from tools.grading import marks

LONGEST = 20_000  # characters of an answer that a page shows
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; }}
pre {{ background: #f4f4f4; padding: .6em; overflow-x: auto; font-size: 13px; white-space: pre-wrap; }}
h2 {{ font-size: 1.1em; margin-top: 2em; border-top: 1px solid #ccc; padding-top: .6em; }}
</style><h1>{title}</h1>
{body}
"""
SAYS = {marks.RIGHT: "right", marks.WRONG: "not right yet", marks.CRASHED: "not graded, since it crashed",
        marks.FORBIDDEN: "not graded, since it uses what is not allowed", marks.MISSING: "there is no answer"}
UNREADABLE = "unreadable"


def title_of(exercise):
    text = "\n".join(getattr(part, "body", part) for part in exercise.text)
    bold = re.search(r"\*\*(.+?)\.?\*\*", text)
    return bold[1] if bold else exercise.label


def short(text):
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n[{len(text) - LONGEST:,} more characters]"


def pre(text):
    return f"<pre>{html.escape(short(text))}</pre>"


def paragraph(text):
    """A sentence as HTML, with `code` in it."""
    return f"<p>{re.sub(r'`([^`]+)`', r'<code>\1</code>', html.escape(text))}</p>"


def feedback(chapter, graded, levels):
    """The page for one student."""
    total, of, waiting = points(chapter, graded, levels)
    parts = [paragraph(f"{total} of {of} points" + (f"; {waiting} more have not been graded yet." if waiting else "."))]
    if graded.submission.fault:
        parts.append(paragraph(graded.submission.fault))
    for exercise in chapter.tested:
        verdict = graded.verdicts[exercise.label]
        worth = sum(worth for worth, _ in exercise.checks)
        parts.append(heading(chapter, exercise, f"{verdict.points} of {worth} points"))
        parts.append(paragraph(f"This is {SAYS[verdict.how]}." if verdict.how == marks.RIGHT else
                               f"{SAYS[verdict.how].capitalize()}. {verdict.why}"))
        if verdict.notes:
            parts.append(paragraph("When the cell ran, part of it failed: " + " ".join(verdict.notes)))
        if graded.answers[exercise.label]:
            parts.append(pre(graded.answers[exercise.label]))
    for exercise in chapter.written:
        level, comment = levels.get((graded.student, exercise.label), ("", ""))
        parts.append(heading(chapter, exercise, f"{level or '?'} of {exercise.by_hand} points"))
        text = graded.answers[exercise.label]
        parts.append(pre(text) if text else paragraph("There is no answer."))
        if level:
            parts.append(paragraph(exercise.rubric.get(int(level), "")))
        if comment:
            parts.append(paragraph(comment))
    return page(f"{chapter.page.title}: {graded.student}", parts)


def heading(chapter, exercise, worth):
    return (f"<h2>Exercise {chapter.number[exercise.label]}: {html.escape(title_of(exercise))} "
            f"({html.escape(worth)})</h2>")


def page(title, parts):
    return PAGE.format(title=html.escape(title), body="\n".join(parts))


def points(chapter, graded, levels):
    """(points so far, points there are to have, points that wait for a person)"""
    total, of, waiting = 0, 0, 0
    for exercise in chapter.tested:
        total += graded.verdicts[exercise.label].points
        of += sum(worth for worth, _ in exercise.checks)
    for exercise in chapter.written:
        level, _ = levels.get((graded.student, exercise.label), ("", ""))
        total += int(level or 0)
        of += exercise.by_hand
        waiting += 0 if level else exercise.by_hand
    return total, of, waiting


def grades(chapter, everybody, levels, missing):
    """The rows of grades.csv, with its header."""
    tested = [(exercise, chapter.number[exercise.label]) for exercise in chapter.tested]
    written = [(exercise, chapter.number[exercise.label]) for exercise in chapter.written]
    yield ["student", "points", "of", *(column for _, number in tested for column in (number, f"{number} verdict")),
           *(number for _, number in written), "file"]
    for graded in everybody:
        total, of, _ = points(chapter, graded, levels)
        row = [graded.student, total, of]
        for exercise, _ in tested:
            verdict = graded.verdicts[exercise.label]
            row += [verdict.points, UNREADABLE if graded.submission.fault else verdict.how]
        row += [levels.get((graded.student, exercise.label), ("", ""))[0] for exercise, _ in written]
        yield [*row, graded.submission.path]
    for student in missing:
        yield [student, 0, points_of(chapter), *(["", marks.MISSING] * len(tested)), *[""] * len(written), ""]


def points_of(chapter):
    return (sum(worth for exercise in chapter.tested for worth, _ in exercise.checks)
            + sum(exercise.by_hand for exercise in chapter.written))


def harmless(field):
    """A field that a spreadsheet takes for text."""
    return f"'{field}" if str(field).startswith(("=", "+", "-", "@", "\t")) else field


def write_csv(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[harmless(field) for field in row] for row in rows])


# Questions that a person grades


HEADER = ["student", "exercise", "points", "comment"]


def read_levels(path, chapter):
    """{(student, label): (points as text, comment)} that a teacher has typed into written.csv."""
    if not path.exists():
        return {}
    labels = {chapter.number[exercise.label]: exercise for exercise in chapter.written}
    levels = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
        for row in csv.DictReader(text.splitlines(), delimiter=";" if ";" in text.split("\n")[0] else ","):
            exercise, level = labels.get(row["exercise"].strip()), (row["points"] or "").strip()
            if exercise is None or level not in {"", *map(str, range(exercise.by_hand + 1))}:
                raise SystemExit(f"{path}: {row['student']}, exercise {row['exercise']}: {level!r} are no points of it. Type "
                                 f"a number from 0 to {exercise.by_hand if exercise else '…'}, or leave it empty.")
            levels[row["student"].strip().removeprefix("'"), exercise.label] = level, (row["comment"] or "").strip()
    except (KeyError, UnicodeDecodeError, AttributeError, csv.Error):
        raise SystemExit(f"{path} cannot be read. Its header must be {','.join(HEADER)}; save it as csv in "
                         "UTF-8.") from None
    return levels


def level_rows(chapter, everybody, levels):
    """The rows of written.csv, question by question; what has been typed stays, an empty answer gets 0."""
    yield HEADER
    for exercise in chapter.written:
        for graded in everybody:
            level, comment = levels.get((graded.student, exercise.label), ("", ""))
            yield [graded.student, chapter.number[exercise.label], level, comment]


def written_page(chapter, everybody):
    """All answers to each question below each other, with the rubric and the model answer."""
    parts = []
    lowering = lower.Lowering(chapter.page)
    for exercise in chapter.written:
        parts.append(heading(chapter, exercise, f"{exercise.by_hand} points"))
        parts.append(pre(lowering.markdown_cell_of(exercise.text).source))
        model = [part for part in exercise.solution if part not in exercise.code]
        parts.append("<p>The model answer:</p>" + pre(lowering.markdown_cell_of(model).source))
        parts += [paragraph(f"{points}: {text}") for points, text in exercise.rubric.items()]
        for graded in everybody:
            text = graded.answers[exercise.label]
            parts.append(f"<h3>{html.escape(graded.student)}</h3>" + (pre(text) if text else paragraph("No answer.")))
    return page(f"{chapter.page.title}: written answers", parts)
