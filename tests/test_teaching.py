"""The page for instructors: every objective is assessed, minutes add up, and what it names is there."""

import re

import nbformat
import pytest

from tools import course, exams, memory, pages, questions

PAGE = (pages.ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
PLAIN = " ".join(PAGE.split())
CHAPTERS = course.chapters()


def section(title):
    return re.search(rf"^### {title}\n(.*?)^#", PAGE, re.M | re.S)[1]


def rows(title):
    """The cells of the rows of a table."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in section(title).splitlines()
             if line.startswith("| ")]
    return found[1:] if "---" not in found[1][0] else found[2:]


def objectives():
    """{"1.1": the words of the week's plan}"""
    found = {}
    for page in CHAPTERS:
        week = re.search(rf"### Week {page.number}: .*?\*Afterwards students can\* (.*?)\. \*They come|"
                         rf"### Week {page.number}: .*?\*Afterwards students can\* (.*?)\.\n", PAGE, re.S)
        parts = re.split(r"; (?:and )?", " ".join((week[1] or week[2]).split()))
        found |= {f"{page.number}.{n}": part for n, part in enumerate(parts, 1)}
    return found


def test_each_objective_has_a_question_an_exercise_and_a_place_in_an_exam():
    table = {row[0].split()[0]: row for row in rows("What assesses which objective")}
    assert list(table) == list(objectives()) and len(table) == 24
    for number, text in objectives().items():
        said, in_bank, exercises, in_exam = table[number]
        assert text.startswith(said.partition(" ")[2]), (said, text)
        page = CHAPTERS[int(number[0]) - 1]
        known = {question.id for question in questions.load(page.stem)}
        labels = {exercise.label for exercise in course.exercises(page)}
        for cell, ids in ((in_bank, known), (exercises, labels)):
            named = re.findall(r"`([^`]+)`", cell)
            assert named and set(named) <= ids, number
        asked = exams.exam(in_exam[0].lower(), 0)[int(in_exam[1]) - 1]
        assert number in asked.objectives


@pytest.mark.parametrize("row", rows("Minutes"), ids=lambda row: f"week {row[0]}")
def test_lecture_and_lab_have_ninety_minutes(row):
    week, lecture, lab = row
    for cell in (lecture, lab):
        assert sum(map(int, re.findall(r"\*\*(\d+)\*\*", cell))) == 90
    labels = {exercise.label for exercise in course.exercises(CHAPTERS[int(week) - 1])}
    assert set(re.findall(r"`(ex-[\w-]+)`", lecture + lab)) <= labels


def minutes_of_slides(page):
    """{title: minutes} of a deck, with its first two slides, which it makes itself."""
    text = page.source.read_text(encoding="utf-8")
    found = re.findall(r"^```\{slide\} (.+)\n(?::(?!minutes).*\n)*:minutes: (\d+)", text, re.M)
    return {"title": 1, "goals": 2} | {title: int(minutes) for title, minutes in found}


@pytest.mark.parametrize("row", rows("Minutes"), ids=lambda row: f"week {row[0]}")
def test_a_deck_without_the_slides_to_leave_out_fits_its_lecture(row):
    week, lecture, _ = row
    other = ("concept test", "questions on", "the projects")
    room = sum(int(minutes) for minutes, what in re.findall(r"\*\*(\d+)\*\* ([^,]+)", lecture)
               if not what.startswith(other))
    found = re.search(rf"^- Week {week}: (.+?)\.\n(?=- |\n)", section("Minutes"), re.M | re.S)
    cut = re.findall(r"“([^”]+)”", " ".join(found[1].split()))
    slides = minutes_of_slides(CHAPTERS[int(week) - 1])
    assert set(cut) <= slides.keys() and sum(slides.values()) > 85
    assert room - 2 <= sum(slides.values()) - sum(slides[title] for title in cut) <= room


def test_what_is_cut_in_a_short_term_are_sections():
    headings = {heading for page in CHAPTERS
                for heading in re.findall(r"^##+ (.+)$", page.source.read_text(encoding="utf-8"), re.M)}
    named = re.findall(r"“([^”]+)”", " ".join(section("Less time").split()))
    assert len(named) > 10 and set(named) <= headings


def test_what_is_cut_is_needed_by_no_graded_exercise():
    cut = set(re.findall(r"“([^”]+)”", " ".join(section("Less time").split())))
    for page in CHAPTERS:
        for part in re.split(r"^##+ ", page.source.read_text(encoding="utf-8"), flags=re.M)[1:]:
            if part.partition("\n")[0] in cut and page.number < 5:
                assert ":tags: [setup" not in part and ":tags: [for-ex" not in part


def test_a_server_for_sixty_has_room_for_all_and_the_limit_for_the_largest_chapter():
    table = {name: int(size) for name, size in re.findall(r"^\| ([^|]+) \| (\d+) \|$", PAGE, re.M)}
    lab, kernel, *chapters = table.values()
    assert [f"{page.number} {re.match('[^:,]+', page.title)[0]}" for page in CHAPTERS] == list(table)[2:]
    assert max(chapters) + lab < 1000 and kernel < min(chapters)
    each, all_of_them = map(int, re.search(r"plan (\d+) GB for a student, \*\*(\d+) GB for sixty", PAGE).groups())
    assert 60 * each <= all_of_them
    asked, limit = (int(re.search(pattern, PLAIN)[1]) for pattern in (r"asked for up to (\d+) MB", r"ulimit -d (\d+)"))
    assert max(chapters) < asked and 1.9 * asked < limit * 1024 / 1e6 < 2.3 * asked


def test_the_memory_of_a_kernel_is_measured_and_a_failure_is_named(tmp_path):
    def written(source):
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), tmp_path / "one.ipynb")
        return tmp_path / "one.ipynb"

    assert 400 < memory.peak(written("held = b'x' * 400_000_000\ndel held")) < 550
    with pytest.raises(SystemExit, match=r"one\.ipynb did not run through"):
        memory.peak(written("1 / 0"))
