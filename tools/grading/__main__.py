"""The command: ``python -m tools.grading 01_rnn submissions.zip --roster roster.csv``."""

from __future__ import annotations

import argparse
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.grading import collect, marks, report


@dataclass
class Graded:
    submission: collect.Submission
    verdicts: dict  # {label: Verdict}
    answers: dict  # {label: source or text}

    @property
    def student(self):
        return self.submission.student


def grade(stem, sources, folder, roster=None):
    """Grade what is in `sources` and write into `folder`; returns (the graded, what was collected)."""
    marks.warm_up()
    chapter = marks.chapter(stem)
    collected = collect.collect(sources, stem, roster)
    folder = Path(folder)
    (folder / "feedback").mkdir(parents=True, exist_ok=True)
    levels = report.read_levels(folder / "written.csv", chapter)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        everybody = list(pool.map(lambda submission: graded(chapter, submission), collected.submissions))
    for one in everybody:
        for exercise in chapter.written:
            if not one.answers[exercise.label]:
                levels.setdefault((one.student, exercise.label), ("0", ""))
    for one in everybody:
        name = re.sub(r"[^\w.@ -]", "_", one.student)
        (folder / "feedback" / f"{name}.html").write_text(report.feedback(chapter, one, levels), encoding="utf-8")
    report.write_csv(folder / "grades.csv", report.grades(chapter, everybody, levels, collected.missing))
    if chapter.written:
        report.write_csv(folder / "written.csv", report.level_rows(chapter, everybody, levels))
        (folder / "written.html").write_text(report.written_page(chapter, everybody), encoding="utf-8")
    return everybody, collected


def graded(chapter, submission):
    """One student's verdicts."""
    verdicts, answers = {}, {}
    for exercise in chapter.tested:
        if submission.notebook is None:
            verdicts[exercise.label], answers[exercise.label] = marks.Verdict(marks.MISSING), ""
            continue
        answer, helpers = marks.answer_in(submission.notebook, exercise)
        verdicts[exercise.label], answers[exercise.label] = chapter.mark(exercise, answer, helpers), answer or ""
    for exercise in chapter.written:
        answers[exercise.label] = marks.text_in(submission.notebook, exercise) if submission.notebook else ""
    print(f"  {submission.student:<24} {sum(verdict.points for verdict in verdicts.values()):>3}   "
          + " ".join(f"{chapter.number[label]} {verdict.how}" for label, verdict in verdicts.items()), flush=True)
    return Graded(submission, verdicts, answers)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tools.grading", description="Grade what students handed in.")
    parser.add_argument("assignment", help="such as 01_rnn")
    parser.add_argument("submissions", nargs="+", help="the zip of your learning system, folders, or notebooks")
    parser.add_argument("--roster", help="a csv with a row for each student: shows who is missing")
    parser.add_argument("--to", default="graded", help="folder for grades and feedback (default: graded)")
    args = parser.parse_args(argv)
    folder = Path(args.to) / args.assignment
    roster = collect.Roster(args.roster) if args.roster else None
    everybody, collected = grade(args.assignment, args.submissions, folder, roster)
    print(f"{len(everybody)} graded. Grades and feedback are in {folder}.")
    for path, reason in collected.untold:
        print(f"  {path}: {reason}")
    if collected.missing:
        print(f"Nothing from {', '.join(collected.missing)}.")


if __name__ == "__main__":
    main()
