"""Written exams and a concept test: ``python -m tools.exams --seed 2718 --to ../exams``.

Two exams of ninety minutes, each with solutions and a marking scheme: a point is worth a minute. The seed draws the
numbers, the solutions are computed. The concept test has questions of the bank, for the first and the last lecture.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

from tools import exam_questions, pages, questions

MINUTES = 90
PRACTICE = 0  # the seed of `make course`: everybody can make these
CONCEPTS = ("rnn-truncated-blind", "rnn-radius-below-one", "rnn-clipping", "gru-who-resets", "gru-falling-loss",
            "gru-same-rivals", "improved-deletion-is-blind", "improved-tower", "rrn-who-may-move", "rrn-nothing-moves",
            "joint-where-it-pays", "joint-repeats-the-stars", "after-mask-first", "after-first-visit", "after-no-stop")
MARKDOWN = MarkdownIt()
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; }}
h2 {{ font-size: 1.15em; margin-top: 2em; break-after: avoid; }}
.part {{ break-inside: avoid; margin: 1em 0; }}
.solution {{ border-left: 3px solid #888; padding-left: 1em; }}
.space {{ height: 9em; }}
@media screen {{ .space {{ height: 1em; }} }}
</style><h1>{title}</h1>
{body}
"""


@dataclass(frozen=True)
class Part:
    text: str
    solution: str
    marks: list  # (points, what they are given for)

    @property
    def points(self):
        return sum(points for points, _ in self.marks)


@dataclass(frozen=True)
class Question:
    chapter: int
    objectives: list
    title: str
    parts: list

    @property
    def points(self):
        return sum(part.points for part in self.parts)


def exam(name, seed):
    """The questions of exam "a" or "b", with the numbers that the seed draws."""
    return [Question(chapter, objectives, title, [Part(*part) for part in made(random.Random(f"{seed} {title}"))])
            for chapter, objectives, title, made in {"a": exam_questions.A, "b": exam_questions.B}[name]]


def page(title, asked, solved):
    """HTML of an exam to be printed, with space to write; or of its solutions and the marking scheme."""
    total = sum(question.points for question in asked)
    body = [f"<p>{MINUTES} minutes, {total} points: a point for a minute. A calculator is allowed. Give numbers with "
            "three digits; a formula with the right numbers in it counts as much.</p>", "<p>Name:</p>" * (not solved)]
    for number, question in enumerate(asked, 1):
        body.append(f"<h2>{number}. {escape(question.title)} ({question.points} points)</h2>")
        for letter, part in zip("abcd", question.parts):
            text = f"**{letter})** {part.text} *({part.points} points)*"
            body.append(f'<div class="part">{MARKDOWN.render(text)}</div>')
            if solved:
                scheme = "\n".join(["\n", *(f"- **{points}** {what}" for points, what in part.marks)])
                body.append(f'<div class="part solution">{MARKDOWN.render(part.solution + scheme)}</div>')
            else:
                body.append('<div class="space"></div>')
    return PAGE.format(title=escape(title), body="\n".join(body))


def concepts():
    """The questions of the concept test, in the order of the chapters."""
    bank = {question.id: question for chapter in pages.toc() if chapter.number
            for question in questions.load(chapter.stem)}
    return [bank[name] for name in CONCEPTS]


@dataclass(frozen=True)
class ConceptTest:
    """What the formats for learning systems ask of a page."""

    title: str = "Concept test"
    stem: str = "concept-test"


def write(folder, seed=PRACTICE):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in "ab":
        asked = exam(name, seed)
        for ending, solved in (("", False), ("-solutions", True)):
            title = f"Recurrent recommenders: exam {name.upper()}" + ", solutions" * solved
            (folder / f"exam-{name}{ending}.html").write_text(page(title, asked, solved), encoding="utf-8")
    (folder / "concept-test-moodle.xml").write_bytes(questions.moodle(ConceptTest(), concepts()))
    questions.qti(ConceptTest(), concepts(), folder / "concept-test-qti.zip")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.exams", description="Write two exams and a concept test.")
    parser.add_argument("--seed", type=int, required=True, help="of the numbers; keep it to yourself")
    parser.add_argument("--to", default="../exams", help="folder (default: ../exams)")
    given = parser.parse_args()
    write(given.to, given.seed)
    print(f"Two exams with their solutions, and the concept test, are in {given.to}.")
