"""Exams: points and minutes add up, all chapters and objectives are there, and the numbers of a solution are right."""

import random
import re

import numpy as np
import pytest
import torch

from tools import exam_questions, exams, pages, questions

SEEDS = range(40)
PRINTED = 0.00501  # three digits: at most half of the last one is off, and float32 adds a little
EXAMS = [(name, seed) for name in "ab" for seed in SEEDS]


def test_points_are_minutes_and_each_chapter_has_its_share():
    for name, seed in EXAMS:
        asked = exams.exam(name, seed)
        assert sum(question.points for question in asked) == exams.MINUTES
        assert [question.chapter for question in asked] == [page.number for page in pages.toc() if page.number]
        assert all(question.points == 15 for question in asked)
        assert all(part.points > 0 and len(part.marks) < 5 for question in asked for part in question.parts)


def test_the_two_exams_ask_for_all_objectives_once():
    named = [objective for name in "ab" for question in exams.exam(name, 0) for objective in question.objectives]
    assert sorted(named) == [f"{chapter}.{n}" for chapter in range(1, 7) for n in range(1, 5)]


def test_numbers_come_from_the_seed():
    for name in "ab":
        pages_made = {exams.page("x", exams.exam(name, seed), solved=False) for seed in SEEDS}
        assert len(pages_made) > 30
        assert exams.page("x", exams.exam(name, 3), True) == exams.page("x", exams.exam(name, 3), True)
    for name, seed in EXAMS:
        text = exams.page("x", exams.exam(name, seed), solved=True)
        assert not re.search(r"\bnan\b|\binf\b|e[+-]\d\d[^.\d]*%", text) and "{" not in text.split("</style>")[1]


def test_an_exam_does_not_hold_its_solutions():
    for name in "ab":
        asked, text = exams.exam(name, 1), exams.page("Exam", exams.exam(name, 1), solved=False)
        solved = exams.page("Exam", asked, solved=True)
        for part in (part for question in asked for part in question.parts):
            shown = exams.MARKDOWN.render(part.solution).strip()
            assert shown in solved and shown not in text
            assert all(what in solved for _, what in part.marks)


def drawn(function, seed):
    """What a question draws and says: (text, solution) of its parts."""
    return [(text, solution) for text, solution, _ in function(random.Random(seed))]


def numbers(text):
    return [float(found) for found in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text.replace("−", "-").replace(",", " "))]


@pytest.mark.parametrize("seed", range(8))
def test_gradients_are_those_of_autograd(seed):
    (first, values), (_, gradients), _ = drawn(exam_questions.back_through_time, seed)
    w, u, x1, x2, y = (float(re.search(rf"{name} = (−?[\d.]+)", first)[1].rstrip(".").replace("−", "-")) for name in (
        "w", "u", "x<sub>1</sub>", "x<sub>2</sub>", "y"))
    u = torch.tensor(u, requires_grad=True)
    h1 = torch.tanh(torch.tensor(w * x1)).requires_grad_()
    h2 = torch.tanh(w * x2 + u * h1)
    to_h1, to_u = torch.autograd.grad((h2 - y) ** 2 / 2, [h1, u])
    found = [float(number) for number in re.findall(r"= (-?[\d.]*\d)[.,](?: |$)", values.replace("−", "-"))]
    assert len(found) == 2
    np.testing.assert_allclose(found, [h1.item(), h2.item()], rtol=PRINTED, atol=0)
    found = [float(number.replace("−", "-")) for number in re.findall(r"= (−?[\d.]*\d)\.(?: |$)", gradients)]
    assert len(found) == 2
    np.testing.assert_allclose(found, [float(to_h1), float(to_u)], rtol=PRINTED, atol=0)


@pytest.mark.parametrize("seed", range(8))
def test_posteriors_are_those_of_a_sum_over_a_grid(seed):
    (text, solution), *_ = drawn(exam_questions.worth_of_a_review, seed)
    sigma, token = (float(found) for found in re.findall(r"deviation ([\d.]*\d)", text))
    ratings = [float(found) for found in re.search(r"ratings ([\d.]+) and ([\d.]+)\.", text).groups()]
    word = float(re.search(r"word is ([\d.]*\d)", text)[1])
    q = np.linspace(-5, 5, 20001)
    log_p = -q**2 / 2 - sum((rating - q) ** 2 / (2 * sigma**2) for rating in ratings)
    found = re.findall(r"(?:mean|=) ([\d.]*\d), deviation ([\d.]*\d)", solution)
    for (mean, deviation), extra in zip(found, (0, -(word - q) ** 2 / (2 * token**2)), strict=True):
        p = np.exp(log_p + extra)
        p /= p.sum()
        expected = (p * q).sum()
        assert np.isclose(float(mean), expected, rtol=PRINTED)
        assert np.isclose(float(deviation), np.sqrt((p * (q - expected) ** 2).sum()), rtol=PRINTED)


@pytest.mark.parametrize("seed", range(8))
def test_joined_steps_and_attention(seed):
    (text, outputs), (recurrence, joined), (many, rounds) = drawn(exam_questions.by_hand, seed)
    k2 = float(re.search(r"k<sub>2</sub> = (\d)", text)[1])
    v = torch.tensor([float(found) for found in re.findall(r"v<sub>\d</sub> = (\d)", text)])
    attended = torch.softmax(torch.tensor([0.0, k2]), 0) @ v
    assert np.isclose(float(re.search(r"([\d.]*\d)\. The second alone", outputs)[1]), float(attended), rtol=PRINTED)
    a = float(re.search(r"= ([\d.]+) h", recurrence)[1])
    x = numbers(re.search(r"\((.*?)\)", recurrence)[1])
    h = 0.0
    for value in x:
        h = a * h + value
    assert np.isclose(numbers(joined)[-1], h, rtol=PRINTED)
    clicks = int(numbers(many)[0])
    assert 2 ** int(numbers(rounds)[0]) >= clicks > 2 ** (int(numbers(rounds)[0]) - 1)


@pytest.mark.parametrize("seed", range(8))
def test_lanes_read_all_but_the_last_clicks(seed):
    (text, solution), (known, share), _ = drawn(exam_questions.lanes_and_ranks, seed)
    lengths = [int(found) for found in re.search(r"have (\d), (\d), (\d) and (\d) clicks", text).groups()]
    read = re.findall(r"([A-D])(\d)( \(reset\))?", solution)
    assert sorted(name + k for name, k, _ in read) == sorted(
        f"{name}{k}" for name, length in zip("ABCD", lengths) for k in range(1, length))
    assert all(bool(reset) == (k == "1") for _, k, reset in read)
    best, last, network = (float(re.search(rf"{words} ([\d.]*\d)", known)[1]) for words in (
        "optimum is", "alone is", "GRU has"))
    found = float(re.search(r"\) = ([\d.]*\d)\.", share)[1])
    assert np.isclose(last + found * (best - last), network, rtol=0, atol=0.001)


@pytest.mark.parametrize("seed", range(8))
def test_second_exam_by_other_ways(seed):
    (text, solution), *_ = drawn(exam_questions.gates, seed)
    clicks = int(re.search(r"after (\d+) steps", text)[1])
    bias = numbers(solution)[-1]
    assert np.isclose((1 / (1 + np.exp(-bias))) ** clicks, 0.5, rtol=0.02)
    (text, solution), *_ = drawn(exam_questions.losses, seed)
    r = torch.tensor(float(re.search(r"r<sub>i</sub> = ([\d.]+),", text)[1]), requires_grad=True)
    negatives = torch.tensor([float(found.replace("−", "-")) for found in re.search(
        r"have (−?\d) and (−?\d)\.", text).groups()])
    (gradient,) = torch.autograd.grad(-torch.nn.functional.logsigmoid(r - negatives).mean(), r)
    printed = re.findall(r"= (−[\d.]*\d)\. ", solution)[0].replace("−", "-")
    assert np.isclose(float(printed), float(gradient), rtol=PRINTED)


# The concept test


def test_concept_test_asks_for_every_chapter_and_for_nothing_that_a_page_asks():
    asked = exams.concepts()
    assert len(asked) == len(set(exams.CONCEPTS)) == 15
    assert all(question.kind == "choice" and not question.memory for question in asked)
    of_chapter = {page.stem: sum(question in questions.load(page.stem) for question in asked)
                  for page in pages.toc() if page.number}
    assert min(of_chapter.values()) >= 2
    assert sum(any(wrong.believed for wrong in question.wrong) for question in asked) >= 9


def test_files(tmp_path):
    exams.write(tmp_path, seed=4)
    assert {path.name for path in tmp_path.iterdir()} == {
        "exam-a.html", "exam-a-solutions.html", "exam-b.html", "exam-b-solutions.html", "concept-test-moodle.xml",
        "concept-test-qti.zip"}
    assert (tmp_path / "concept-test-moodle.xml").read_bytes().count(b'type="multichoice"') == 15
