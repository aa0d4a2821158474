"""The commands: ``python -m tools.hunt make FOLDER --students roster.csv`` and ``grade FOLDER SUBMISSION...``."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.grading import answers, collect, report
from tools.grading.marks import warm_up
from tools.hunt import marks
from tools.hunt.copies import FAULTS, HERE, N_FAULTS, Copy

UNREADABLE = "The file is no text in UTF-8. Ask for it again."


def make(folder, students, seed):
    """Write a copy for each student, and the secret; returns the copies."""
    folder = Path(folder)
    if (folder / "secret.json").exists():
        raise SystemExit(f"{folder / 'secret.json'} exists: a hunt lives there already. Name another folder.")
    copies = [Copy(seed, student) for student in students]
    for copy in copies:
        mine = folder / "students" / re.sub(r"[^\w.@ -]", "_", copy.student)
        mine.mkdir(parents=True)
        (mine / "shop.py").write_text(copy.text(*copy.faults), encoding="utf-8")
        task = (HERE / "task.md").read_text(encoding="utf-8")
        (mine / "README.md").write_text(task.replace("{bpr}", copy.names["bpr"])
                                        .replace("{seconds}", str(answers.SECONDS)), encoding="utf-8")
    secret = {"seed": seed, "students": {copy.student: digest(copy) for copy in copies}}
    (folder / "secret.json").write_text(json.dumps(secret, indent=2) + "\n", encoding="utf-8")
    return copies


def digest(copy):
    return hashlib.sha256(copy.text(*copy.faults).encode()).hexdigest()


def open_hunt(folder):
    """{student: Copy}, as they were handed out."""
    secret = json.loads((Path(folder) / "secret.json").read_text(encoding="utf-8"))
    copies = {student: Copy(secret["seed"], student) for student in secret["students"]}
    if any(digest(copy) != secret["students"][student] for student, copy in copies.items()):
        raise SystemExit(f"{folder}: this version of the course makes other copies than were handed out. Grade with "
                         "the version that made them.")
    return copies


def read(content):
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return None, UNREADABLE


TESTS = collect.Kind(re.compile(r"\.py(\.txt)?$", re.I), "file of tests (.py)", read)


def grade(folder, sources, roster=None):
    """Mark what is in `sources`, write grades.csv and feedback; returns ({student: Verdict}, what was collected)."""
    folder, copies = Path(folder), open_hunt(folder)
    collected = collect.collect(sources, "tests", roster, TESTS)
    known = [one for one in collected.submissions if one.student in copies]
    collected.untold += [(one.path, f"Nobody called {one.student!r} has got a copy.")
                         for one in collected.submissions if one.student not in copies]
    warm_up()

    def marked(one):
        verdict = marks.mark(copies[one.student], one.notebook or "")
        said = f"false alarm: {', '.join(verdict.alarms)}" if verdict.alarms else f"{verdict.n_tests} tests"
        print(f"  {one.student:<24} {verdict.share:4.0%}   {said}", flush=True)
        return verdict

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = dict(zip([one.student for one in known], pool.map(marked, known)))
    (folder / "feedback").mkdir(exist_ok=True)
    for student, verdict in verdicts.items():
        name = re.sub(r"[^\w.@ -]", "_", student)
        (folder / "feedback" / f"{name}.html").write_text(feedback(copies[student], verdict), encoding="utf-8")
    report.write_csv(folder / "grades.csv", rows(copies, verdicts))
    return verdicts, collected


def rows(copies, verdicts):
    yield ["student", "share", "caught", "of", "tests", "false alarms on"]
    for student, copy in copies.items():
        if student in verdicts:
            verdict = verdicts[student]
            yield [student, verdict.share, sum(map(bool, verdict.caught.values())), len(copy.faults), verdict.n_tests,
                   "; ".join(verdict.alarms)]
        else:
            yield [student, 0, "", len(copy.faults), "", "nothing handed in"]


def feedback(copy, verdict):
    """The page for a student: false alarms, and the faults of the copy with the code that was wrong."""
    parts = [report.paragraph(f"{verdict.share:.0%} of the faults, with {verdict.n_tests} tests.")]
    for version, failed in verdict.alarms.items():
        parts.append(report.paragraph(f"A false alarm on the correct version “{version}”, so there are no points:"))
        parts += [report.paragraph(f"`{name}`: {why}") for name, why in failed.items()]
    for fault in copy.faults:
        right, wrong = copy.change(fault)
        tests = ", ".join(f"`{name}`" for name in verdict.caught[fault])
        parts.append(f"<h2>{fault[0].upper()}{fault[1:]}</h2>")
        parts.append(report.paragraph(f"Caught by {tests}." if tests else "No test noticed it."))
        parts.append(report.pre(f"your copy: {wrong.strip()}\nright:     {right.strip()}"))
    return report.page(f"The bug hunt: {copy.student}", parts)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tools.hunt", description="Copies with faults, marked by tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write a copy for each student")
    making.add_argument("folder")
    making.add_argument("--students", required=True, help="a csv with a row for each student; the first column counts")
    making.add_argument("--seed", type=int, help="of what is drawn; by default one that nobody can guess")
    grading = commands.add_parser("grade", help="mark what students handed in")
    grading.add_argument("folder")
    grading.add_argument("submissions", nargs="+", help="the zip of your learning system, folders, or files")
    grading.add_argument("--roster", help="the same csv: other columns may have other names of a student")
    args = parser.parse_args(argv)
    if args.command == "make":
        seed = secrets.randbits(62) if args.seed is None else args.seed
        copies = make(args.folder, collect.Roster(args.students).students, seed)
        print(f"{len(copies)} copies, with {N_FAULTS} faults each out of {len(FAULTS)}, are in "
              f"{Path(args.folder) / 'students'}. Keep {Path(args.folder) / 'secret.json'} to yourself.")
        return
    verdicts, collected = grade(args.folder, args.submissions, collect.Roster(args.roster) if args.roster else None)
    print(f"{len(verdicts)} marked. Grades and feedback are in {args.folder}.")
    for path, reason in collected.untold:
        print(f"  {path}: {reason}")


if __name__ == "__main__":
    main()
