"""Projects for the end of term, in worlds that only the teacher knows.

    python -m tools.projects make sessions FOLDER       or: make ratings FOLDER
    python -m tools.projects grade FOLDER SUBMISSION...

The first writes FOLDER/students, to be handed out, and FOLDER/secret.json, to be kept. The second scores files of
predictions and writes FOLDER/scores.csv. A score is the share of the way from a baseline, 0, to the optimum, 1. Both
ends and what lies between are exact expectations, not counts of hits: luck has no part in them, and nobody passes 1.

Points are not the score itself. A score of `half` gets half of them: a model from the book reaches it as it is. A score
of `full` gets all: it takes a model that fits what moves this world. Below `half`, between and above it is a straight
line, never below 0 nor above 100.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
import secrets
import shutil
import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from rnnbook.worlds import RatingWorld, SessionWorld
from tools.check import LONGEST, SubmissionError, read_ratings, read_recommendations
from tools.grading import collect

FILES = collect.Kind(re.compile(r"\.csv(\.txt)?$", re.I), "csv", None)

TEXT = """\
# {title}

{task}

Files: {files}

Hand in one file, `predictions.csv`, like `sample_predictions.csv`: {form} Check it before you hand it in:

    python check.py predictions.csv

The score is {score}

Half of the points are for the score. It gets half of these at {half}, all of them at {full}, and none at 0 or below.

The other half is for a report of two pages:

| points | what the report shows |
| --- | --- |
| 0 to 10 | what moves this world: figures or tests on the data that led to the choice of a model |
| 0 to 10 | how models were judged before handing in: a split in time, intervals, each rival with the same effort |
| 0 to 10 | all that was tried, also what failed, and how often the same validation data were looked at |
| 0 to 10 | a control: an experiment whose result would have been another one if the explanation were wrong |
| 0 to 10 | everybody can repeat it: code that runs, seeds, a table whose numbers come from files |

10 is for convincing, 5 for there with gaps, 0 for missing.
"""


@dataclass
class Sessions:
    """Recommend the next click in sessions of an unknown shop."""

    seed: int
    n_train: int = 20_000
    n_test: int = 2_000

    half, full = 0.9, 0.96  # GRU4Rec with its defaults, and a model that finds what moves the shop

    def __post_init__(self):
        self.world = SessionWorld(n_states=15, n_items=200, seed=self.seed)
        self.train = self.world.sample(self.n_train, seed=1)
        self.test = self.world.sample(self.n_test, seed=2)  # the last click of each is hidden
        self.sessions = [str(self.n_train + session) for session in self.test.session_ids]
        self.items = list(self.world.item_ids)

    text = TEXT.format(
        half=half, full=full, title="What will they click next?",
        task="A shop gives you its sessions of clicks, and the beginning of some more. Recommend 20 items for the\n"
             "next click of each of these. Nobody tells you what moves the visitors of this shop; it is the same in\n"
             "all files.",
        files="`train.csv` has whole sessions, `test.csv` the beginnings (`session`, `item`, and `time` in seconds),\n"
              "`items.csv` all items.",
        form="a row for each session of `test.csv` with 20 different items, in any order.",
        score="the share of the way from recommending the most popular items, 0, to the best that\n"
              "anybody could do who knew this shop completely, 1, in expected Recall@20.")

    def files(self):
        """{name: DataFrame} of what students get."""
        frame = self.test.to_frame()
        frame["session"] += self.n_train
        frame["time"] += self.train.times.max()
        hidden = self.test.offsets[1:] - 1
        return {"train.csv": self.train.to_frame().round(2), "test.csv": frame.drop(index=hidden).round(2),
                "items.csv": pd.DataFrame({"item": self.items}), "sample_predictions.csv": self.answer(self.popular())}

    @cached_property
    def probabilities(self):
        """float64 [n_test, n_items]: P(the hidden click | the clicks before it), exact."""
        found = np.empty((self.n_test, self.world.n_items))
        last = self.test.offsets[1:] - 1
        for positions, p in self.world.bayes().score_sessions(self.test):
            session = np.searchsorted(last, positions.numpy())
            is_last = last[session] == positions.numpy()
            found[session[is_last]] = p.numpy()[is_last]
        return found

    def popular(self):
        return np.tile(np.argsort(-self.train.support, kind="stable")[:LONGEST], (self.n_test, 1))

    def best(self, scores):
        return np.argsort(-scores, axis=1, kind="stable")[:, :LONGEST]

    def marks(self):
        """{name: expected Recall@20}: the baseline, the optimum, and what the last click alone allows."""
        by_last_click = self.best(self.world.next_given_last[self.test.items[self.test.offsets[1:] - 2]])
        return {name: self.recall(items) for name, items in (
            ("baseline", self.popular()), ("last click", by_last_click), ("optimum", self.best(self.probabilities)))}

    def recall(self, items):
        """Expected Recall@20 of items recommended, indices [n_test, 20]."""
        return float(np.take_along_axis(self.probabilities, items, axis=1).sum(axis=1).mean())

    def measure(self, path):
        """Expected Recall@20 of a file of predictions."""
        found = read_recommendations(path, self.sessions, self.items)
        index = pd.Index(self.items)
        return self.recall(np.stack([index.get_indexer(found[s]) for s in self.sessions]))

    def answer(self, items):
        """A file of predictions from indices of items [n_test, 20]."""
        frame = pd.DataFrame(np.asarray(self.items)[items], columns=[f"item_{n}" for n in range(1, LONGEST + 1)])
        frame.insert(0, "session", self.sessions)
        return frame


@dataclass
class Ratings:
    """Predict tomorrow's ratings by users whose tastes move."""

    seed: int
    n_users: int = 1500

    half, full = 0.45, 0.92  # a matrix factorisation with its defaults, and a filter that finds out how tastes move

    def __post_init__(self):
        self.world = RatingWorld(n_users=self.n_users, n_items=60, n_steps=80, level_shift=1.0, wave=0.25,
                                 seed=self.seed)
        ratings = self.world.sample(seed=1)
        is_last_day = self.world.steps(ratings.times) == self.world.n_steps - 1  # one rating by each user
        self.train, self.test = ratings.take(~is_last_day), ratings.take(is_last_day)
        self.users = list(self.world.user_ids[self.test.users])

    text = TEXT.format(
        half=half, full=full, title="How will they like it tomorrow?",
        task="Users have rated items day by day. Predict the one rating that each of them gives on the day after.\n"
             "Tastes may move, items may change, and a good part of the users came late.",
        files="`train.csv` has the ratings so far (`user`, `item`, `rating`, and `time` in seconds), `test.csv` who\n"
              "will rate what tomorrow.",
        form="a row for each user of `test.csv` with one number.",
        score="the share of the way from predicting the mean of all ratings, 0, to the best that anybody\n"
              "could do who knew the items and how tastes move, 1, in expected RMSE.")

    def files(self):
        """{name: DataFrame} of what students get."""
        test = self.test.to_frame()
        return {"train.csv": self.train.to_frame().round(4), "test.csv": test.drop(columns="rating"),
                "sample_predictions.csv": self.answer(np.full(self.test.n_ratings, self.train.ratings.mean().round(4)))}

    @cached_property
    def foretold(self):
        """Mean and variance of each hidden rating given the past, float64 [n_test] each, exact."""
        return self.world.kalman().fit(self.train).follow_with_variance(self.test)

    def rmse(self, predictions):
        """Root of the expected squared error: the variance cannot be foretold, the rest is the prediction's."""
        mean, variance = self.foretold
        return float(np.sqrt(((predictions - mean)**2 + variance).mean()))

    def marks(self):
        """{name: expected RMSE}: the baseline, the optimum, and the best for tastes that stand still."""
        return {"baseline": self.rmse(self.train.ratings.mean()),
                "tastes stand still": self.rmse(self.world.static().fit(self.train).follow(self.test)),
                "optimum": self.rmse(self.foretold[0])}

    def measure(self, path):
        """Expected RMSE of a file of predictions."""
        found = read_ratings(path, self.users)
        return self.rmse(np.array([found[user] for user in self.users]))

    def answer(self, predictions):
        """A file of predictions from numbers [n_test]."""
        return pd.DataFrame({"user": self.users, "rating": predictions})


PROJECTS = {"sessions": Sessions, "ratings": Ratings}


def share(value, marks):
    """Share of the way from the baseline to the optimum."""
    return round((value - marks["baseline"]) / (marks["optimum"] - marks["baseline"]), 4) + 0.0  # no -0.0


def points(score, project):
    """Points out of 100 for a score: 0, half and full of them where the project says, and straight lines between."""
    return round(float(np.interp(score, [0, project.half, project.full], [0, 50, 100])), 1)


def group_of(path):
    """Whose file it is, from the names that groups and learning systems make: `group-3_predictions.csv`."""
    names, _, _ = collect.owner(path.as_posix(), None, "predictions", FILES)
    return names[0] if names else FILES.ending.sub("", path.name)


def make(kind, folder, seed=None, **sizes):
    """Write the data of a project and the secret; returns the project."""
    folder = Path(folder)
    if (folder / "secret.json").exists():
        raise SystemExit(f"{folder / 'secret.json'} exists: a project lives there already. Name another folder.")
    project = PROJECTS[kind](seed=secrets.randbits(62) if seed is None else seed, **sizes)
    students = folder / "students"
    students.mkdir(parents=True, exist_ok=True)
    for name, frame in project.files().items():
        frame.to_csv(students / name, index=False)
    shutil.copy(Path(__file__).with_name("check.py"), students)
    (students / "README.md").write_text(project.text, encoding="utf-8")
    secret = {"project": kind} | asdict(project) | {"sha256": digest(students / "test.csv")}
    (folder / "secret.json").write_text(json.dumps(secret, indent=2) + "\n", encoding="utf-8")
    return project


def open_project(folder):
    """The project of a folder, made anew from its secret."""
    secret = json.loads((Path(folder) / "secret.json").read_text(encoding="utf-8"))
    kind, sha256 = secret.pop("project"), secret.pop("sha256")
    project = PROJECTS[kind](**secret)
    if sha256 != hashlib.sha256(project.files()["test.csv"].to_csv(index=False).encode()).hexdigest():
        raise SystemExit(f"{folder}: this version of the package makes another world of the seed than was handed out. "
                         "Grade with the version that made the project.")
    return project


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def grade(folder, submissions):
    """Score files; writes scores.csv and returns its rows: group, points, score, measure, file, error."""
    project, rows = open_project(folder), []
    marks = project.marks()
    for name, value in marks.items():
        print(f"  {name:<24} {share(value, marks):6.3f}   {value:.4f}")
    for path in map(Path, submissions):
        row = {"group": group_of(path), "points": 0, "score": "", "measure": "", "file": str(path), "error": ""}
        try:
            value = project.measure(path)
            score = share(value, marks)
            row |= {"points": points(score, project), "score": score, "measure": round(value, 5)}
            print(f"  {row['group']:<24} {score:6.3f}   {value:.4f}   {row['points']:5.1f} points")
        except SubmissionError as error:
            row["error"] = str(error)
            print(f"  {row['group']:<24} not graded: {error}")
        rows.append(row)
    with open(Path(folder) / "scores.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["group", "points", "score", "measure", "file", "error"])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write a project's data and its secret")
    making.add_argument("project", choices=PROJECTS)
    making.add_argument("folder")
    making.add_argument("--seed", type=int, help="of the world; by default one that nobody can guess")
    grading = commands.add_parser("grade", help="score files of predictions")
    grading.add_argument("folder")
    grading.add_argument("submissions", nargs="+")
    args = parser.parse_args(argv)
    if args.command == "make":
        make(args.project, args.folder, args.seed)
        print(f"Hand out {Path(args.folder) / 'students'}. Keep {Path(args.folder) / 'secret.json'} to yourself: "
              "whoever has it knows the optimum.")
    elif any(row["error"] for row in grade(args.folder, args.submissions)):
        sys.exit("Some files could not be graded; what is wrong with them stands above and in scores.csv.")


if __name__ == "__main__":
    main()
