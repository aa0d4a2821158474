"""The command: ``python -m tools.grading 01_rnn submissions.zip --roster roster.csv``.

It has to be a `__main__.py`: of any other script multiprocessing would import a copy into the process of each answer.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.grading import collect, marks, report


def grade(stem, sources, folder, roster=None):
    """Grade what is in `sources` and write into `folder`; returns (the graded, what was collected)."""
    chapter, folder = marks.chapter(stem), Path(folder)
    collected = collect.collect(sources, stem, roster)
    levels = report.read_levels(folder / "written.csv", chapter)
    marks.warm_up()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        everybody = list(pool.map(lambda one: graded(chapter, one, levels.get(one.student, {})), collected.submissions))
    (folder / "feedback").mkdir(parents=True, exist_ok=True)
    courses = set()
    for one in everybody:
        name, page = re.sub(r"[^\w.@ -]", "_", one.student), report.feedback(chapter, one)
        (folder / "feedback" / f"{name}.html").write_text(page, encoding="utf-8")
        courses |= hand_back(page, sources, one.submission.path)
    for where in sorted(courses):
        print(f"To give the feedback back, type in {where}: nbgrader release_feedback {stem}")
    report.write_csv(folder / "grades.csv", report.grades(chapter, everybody, collected.missing))
    report.write_csv(folder / "written.csv", report.written_rows(chapter, everybody))
    (folder / "written.html").write_text(report.written_page(chapter, everybody), encoding="utf-8")
    return everybody, collected


def hand_back(page, sources, path):
    """Put a page of feedback where nbgrader takes it from, if nbgrader has collected the notebook of this path.

    Returns the folder of the course, in a set, or an empty set. nbgrader names feedback by the secret of a submission,
    so that only who handed it in finds it.
    """
    for notebook in (Path(source).parent / path for source in sources):
        beside = [notebook.with_name(name) for name in (collect.SECRET, collect.TIME)]
        if notebook.parts[-4:-3] == ("submitted",) and all(file.is_file() for file in beside):
            submitted = notebook.parents[2]
            folder = submitted.with_name("feedback") / notebook.parent.relative_to(submitted)
            folder.mkdir(parents=True, exist_ok=True)
            for file in beside:
                shutil.copy(file, folder)
            (folder / f"{notebook.stem}.html").write_text(page, encoding="utf-8")
            return {submitted.parent}
    return set()


def graded(chapter, submission, levels):
    """One student's notebook, graded."""
    verdicts, sources, texts = {}, {}, {}
    for exercise in chapter.tested:
        if submission.notebook is None:
            verdicts[exercise.label], sources[exercise.label] = marks.Verdict(marks.MISSING), ""
        else:
            answer, helpers = marks.answer_in(submission.notebook, exercise)
            verdicts[exercise.label], sources[exercise.label] = chapter.mark(exercise, answer, helpers), answer
    for exercise in chapter.written:
        texts[exercise.label] = marks.text_in(submission.notebook, exercise) if submission.notebook else ""
    print(f"  {submission.student:<24} {sum(verdict.points for verdict in verdicts.values()):>3}   "
          + ", ".join(f"{chapter.number[label]} {verdict.how}" for label, verdict in verdicts.items()), flush=True)
    return report.Graded(submission, verdicts, sources, texts, levels)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tools.grading", description="Grade what students handed in.")
    parser.add_argument("assignment", help="such as 01_rnn")
    parser.add_argument("submissions", nargs="+", help="the zip of your learning system, folders, or notebooks")
    parser.add_argument("--roster", help="a csv with a row for each student: shows who is missing")
    parser.add_argument("--to", default="../grades", help="folder for grades and feedback (default: ../grades)")
    args = parser.parse_args(argv)
    folder = Path(args.to) / args.assignment
    everybody, collected = grade(args.assignment, args.submissions, folder,
                                 collect.Roster(args.roster) if args.roster else None)
    print(f"{len(everybody)} graded. Grades and feedback are in {folder}.")
    for path, reason in collected.untold:
        print(f"  {path}: {reason}")
    if collected.missing:
        print(f"Nothing from {', '.join(collected.missing)}.")


if __name__ == "__main__":
    main()
