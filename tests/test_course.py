"""The teacher's kit: assignments, slides in a browser, projects with a known optimum. Grading has tests of its own."""

import csv
import itertools
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from sphinx.util.tags import Tags

from rnnbook import baselines
from rnnbook.interactions import DAY
from tools import blocks, book, book_sphinx, check, course, projects, slides

CHAPTERS = course.chapters()


def graded(page):
    return [exercise for exercise in course.exercises(page) if exercise.answer]


def test_what_students_get_holds_no_solution_and_no_hidden_test():
    for page in CHAPTERS:
        told = [part.source if isinstance(part, nbformat.NotebookNode) else str(part)
                for part in course.stream(page, page.read().cells) if not isinstance(part, course.Exercise)]
        secret = {line for exercise in course.exercises(page) for line in lines_of_the_solution(exercise)
                  if line.strip() not in "\n".join(told)}
        assert len(secret) > 20
        for notebook in (course.assignment(page), course.student(page)):
            text = "\n".join(cell.source for cell in notebook.cells)
            assert course.HIDDEN not in text
            assert [line for line in secret if line in text] == []


def lines_of_the_solution(exercise):
    """The longer lines of its text, its code and its hidden tests."""
    for part in exercise.solution:
        if isinstance(part, str):
            yield from (line for line in part.splitlines() if len(line) > 60)
        elif isinstance(part, nbformat.NotebookNode):
            source = part.source
            if part is exercise.answer:
                source = re.sub(r'^def .*?""".*?"""$', "", source, flags=re.M | re.S)
            elif course.points(part):
                source = source.partition(course.HIDDEN)[2]
            yield from (line for line in source.splitlines() if len(line) > 40)


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_student_edition_holds_no_solution(page):
    """What is written of a page, and put into the search index, is its doctree."""
    doctree = pickle.loads((book.BUILD / ".doctrees" / f"{page.docname}.doctree").read_bytes())
    whole = plain(doctree.astext())
    book_sphinx.without_solutions(SimpleNamespace(tags=Tags([])), doctree, page.docname)
    assert plain(doctree.astext()) == whole
    book_sphinx.without_solutions(SimpleNamespace(tags=Tags(["student"])), doctree, page.docname)
    left = plain(doctree.astext())
    open_to_all = [part for part in course.stream(page, page.read().cells) if not isinstance(part, course.Exercise)]
    open_to_all += [part for exercise in course.exercises(page) for part in (*exercise.text, *exercise.given)]
    told = plain("\n".join(getattr(part, "source", getattr(part, "body", str(part))) for part in open_to_all))
    secret = {line for exercise in course.exercises(page) for line in fragments(exercise) if line not in told}
    assert len([line for line in secret if line in whole]) > max(30, 0.9 * len(secret))
    assert [line for line in secret if line in left] == []
    assert "colab" not in left and f'href="../notebooks/{page.stem}.ipynb"' in left
    assert left.count("Predict first") == whole.count("Predict first") > 0
    assert left.count("Answer 5") == whole.count("Answer 5") == 1


def fragments(exercise):
    """The longer lines of a solution as they read on a page: of its text, what stands between formulas and code."""
    for part in exercise.solution:
        if isinstance(part, nbformat.NotebookNode):
            yield from (plain(line) for line in part.source.splitlines() if len(line) > 50)
        else:
            for line in getattr(part, "body", str(part)).splitlines():
                words = re.split(r"[`*$\\{}\[\]<>|()]+", line)
                yield from (plain(found) for found in words if len(found) > 40)


def plain(text):
    return " ".join(text.split())


def test_student_edition_has_no_sources_and_no_buttons_to_them():
    config = SimpleNamespace(html_copy_source=True, html_theme_options={"use_repository_button": True, "logo": 1})
    book_sphinx.students_settings(SimpleNamespace(tags=Tags(["student"])), config)
    assert not config.html_copy_source
    buttons = {"use_repository_button": False, "use_issues_button": False, "use_download_button": False}
    assert config.html_theme_options == buttons | {"logo": 1}


def test_student_notebook_has_the_chapter_and_a_blank_for_each_exercise():
    for page in CHAPTERS:
        notebook, n_exercises, n_graded = course.student(page), len(course.exercises(page)), len(graded(page))
        in_words = sum(bool(exercise.by_hand or not exercise.answer) for exercise in course.exercises(page))
        text = "\n".join(cell.source for cell in notebook.cells)
        assert text.count("raise NotImplementedError") == n_graded
        assert text.count("*Your answer here.*") == in_words
        assert all(f"**Exercise {page.number}.{n}**" in text for n in range(1, 1 + n_exercises))
        assert next(cell.source for cell in page.read().cells if cell.cell_type == "code") in text
        assert not any(cell.get("outputs") for cell in notebook.cells)


def test_exercises_of_the_book():
    labels = [exercise.label for page in CHAPTERS for exercise in course.exercises(page)]
    assert len(labels) == len(set(labels))
    for page in CHAPTERS:
        times = []
        for exercise in course.exercises(page):
            assert exercise.solution, exercise.label
            text = "\n".join(part if isinstance(part, str) else part.body for part in exercise.text)
            time = re.search(r"\*\*\s*\((?:(\d+) minutes|half (a day|an hour))\)", text)
            assert time, f"{exercise.label} has no expected time"
            times.append({"a day": 240, "an hour": 30}.get(time[2]) or int(time[1]))
        assert len(times) >= 5 and len(graded(page)) >= 3
        assert min(times) <= 10 and max(times) == 240


def test_notebooks_of_a_course_install_its_own_commit(monkeypatch):
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=book.ROOT, capture_output=True, text=True).stdout.strip()
    monkeypatch.delenv("REF", raising=False)
    assert f"@{commit}\"" in course.installing() or not commit
    monkeypatch.setenv("REF", "v2")
    for notebook in (course.student(CHAPTERS[0]), course.assignment(CHAPTERS[0])):
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        assert "git+https" in first.source and "@v2\"" in first.source


def cell(source, *tags):
    made = nbformat.v4.new_code_cell(source)
    made.metadata["tags"] = list(tags)
    return made


def test_students_get_signatures_and_docstrings():
    two = cell('def f(x):\n    """One\n\n    more."""\n    y = x\n    return y\n\n'
               'def g():\n    """Two."""\n    return 1')
    assert course.blanked(two) == (
        'def f(x):\n    """One\n\n    more."""\n    # Your code here\n    raise NotImplementedError\n\n'
        'def g():\n    """Two."""\n    # Your code here\n    raise NotImplementedError')
    for bad in ("x = 1", "def f():\n    return 1"):
        with pytest.raises(ValueError, match="functions with a docstring"):
            course.blanked(cell(bad))


def test_an_answer_without_tests_is_an_error():
    text = "```{exercise-start}\n:label: a\n```\nText\n```{exercise-end}\n```\n```{solution-start} a\n```"
    page = [nbformat.v4.new_markdown_cell(text), cell("def f():\n    '''A.'''\n    return 1", "answer"),
            nbformat.v4.new_markdown_cell("```{solution-end}\n```")]
    with pytest.raises(ValueError, match="a has an answer without tests"):
        course.stream(CHAPTERS[0], page)


# Slides


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    """Folder with the slides of all chapters."""
    folder, executed = tmp_path_factory.mktemp("decks") / "slides", book.executions()
    slides.copy_libraries(folder)
    for page in CHAPTERS:
        slides.write(page, course.stream(page, executed[page].cells), folder / f"{page.stem}.html")
    return folder


WALK = """() => {
    const seen = [];
    for (const slide of Reveal.getSlides()) {
        const at = Reveal.getIndices(slide);
        Reveal.slide(at.h, at.v);
        const content = slide.querySelector(".content"), box = content.getBoundingClientRect();
        const inside = [...content.querySelectorAll("p, li, mjx-container, pre, table, img, .rnnbook-widget")]
            .filter(e => !e.closest("mjx-assistive-mml, .rnnbook-widget *"))
            .every(e => e.getBoundingClientRect().right <= 1281 && e.getBoundingClientRect().bottom <= 721);
        seen.push({title: slide.querySelector("h1, h2").textContent, zoom: +content.style.zoom, inside,
                   height: box.height, notes: slide.querySelector("aside.notes").textContent.trim().length,
                   text: content.textContent.trim().length, images: content.querySelectorAll("img").length});
    }
    return seen;
}"""


@pytest.mark.browser
@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_slides_fit_and_ask_the_network_for_nothing(new_tab, noise, decks, page):
    tab = new_tab(viewport={"width": 1280, "height": 720})
    tab.on("console", lambda message: noise.append(message.text))
    tab.on("pageerror", lambda error: noise.append(str(error)))
    tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or noise.append(request.url))
    tab.goto((decks / f"{page.stem}.html").as_uri())
    tab.wait_for_selector("body[data-ready]")
    seen = tab.evaluate(WALK)
    parts = course.stream(page, page.read().cells)
    sections = [line for part in parts if isinstance(part, str) for line in part.splitlines() if line.startswith("## ")]
    assert seen[0]["title"] == page.title and len(seen) > max(15, len(sections)) and len(sections) > 3
    assert [slide for slide in seen if not slide["inside"] or slide["height"] > 720] == []
    assert min(slide["zoom"] for slide in seen) >= 0.55, "a slide that is shown this small cannot be read"
    assert sum(slide["notes"] > 0 for slide in seen) > len(seen) / 2
    assert all(slide["text"] or slide["images"] for slide in seen)
    equations = [part for part in parts if isinstance(part, blocks.Math)]
    assert tab.locator('mjx-container[display="true"]').count() == len(equations) > 0
    assert tab.locator("mjx-container").count() > 20
    assert tab.locator("mjx-merror, [data-mjx-error]").count() == 0
    figures = [cell for cell in page.read().cells if "figure" in cell.metadata.get("mystnb", {})]
    assert sum(slide["images"] for slide in seen) == len(figures)


@pytest.mark.browser
def test_widget_on_a_slide_keeps_its_keys(new_tab, decks):
    tab = new_tab(viewport={"width": 1280, "height": 720})
    tab.goto((decks / "01_rnn.html").as_uri())
    tab.wait_for_selector("body[data-ready]")
    place = tab.evaluate("""() => {
        const {h, v} = Reveal.getIndices(document.querySelector(".rnnbook-widget").closest("section"));
        Reveal.slide(h, v);
        return [h, v];
    }""")
    slider = tab.locator(".present .rnnbook-widget input[type=range]").first
    before = slider.input_value()
    slider.focus()
    tab.keyboard.press("ArrowRight")
    assert slider.input_value() != before
    assert tab.evaluate("(({h, v}) => [h, v])(Reveal.getIndices())") == place
    slider.blur()
    tab.keyboard.press("Space")
    assert tab.evaluate("(({h, v}) => [h, v])(Reveal.getIndices())") != place


def test_no_address_of_the_network_on_slides(decks):
    for page in CHAPTERS:
        html = (decks / f"{page.stem}.html").read_text(encoding="utf-8")
        assert not re.search(r"""(?:src|href|action|data)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import"""
                             r"""|(?:import|from)\s*\(?["'](?:https?:)?//""", html)


def test_claims_and_questions_stand_on_slides_and_the_prose_in_notes(decks):
    for page in CHAPTERS:
        html = (decks / f"{page.stem}.html").read_text(encoding="utf-8")
        source = page.source.read_text(encoding="utf-8")
        assert html.count('<div class="box claim"><b>Claim: ') == source.count("{admonition} Claim: ")
        assert html.count('<div class="box question">') == source.count("{admonition} Predict first")
        seen = re.sub(r'<aside class="notes">.*?</aside>', "", html, flags=re.S)
        assert "You need" not in seen and "You need" in html


def test_first_sentences():
    text = "A short one. Another, that is longer than the first by far, with $x. Y$ in it. And a third one."
    assert slides.first_sentences(text, enough=10) == "A short one."
    assert slides.first_sentences(text, enough=40).startswith("A short one. Another")
    only = "Only one, whatever its length."
    assert slides.first_sentences(only, enough=1, most=3) == only


def test_remarks_in_the_middle_of_a_section_become_notes():
    made = [slides.Slide("A", parts=["x"], points=1, notes=["1"]), slides.Slide("Q", kind="question", parts=["q"]),
            slides.Slide("A", parts=["y"], points=1, notes=["2"]),
            slides.Slide("B", parts=["z"], points=1, notes=["3"])]
    kept = slides.without_remarks(made)
    assert [slide.title for slide in kept] == ["A", "Q", "B"]
    assert kept[2].notes == ["2", "3"]


# Projects


@pytest.fixture(scope="module", params=["sessions", "ratings"])
def project(request, tmp_path_factory):
    """A small project and its folder."""
    folder = tmp_path_factory.mktemp(request.param)
    sizes = {"sessions": {"n_train": 2000, "n_test": 200}, "ratings": {"n_users": 200}}[request.param]
    return projects.make(request.param, folder, seed=987_654_321_987, **sizes), folder


def submit(project, folder, name, answer):
    answer.to_csv(folder / name, index=False)
    return folder / name


def oracle(project):
    """A file of predictions by someone who knows everything."""
    if isinstance(project, projects.Sessions):
        return project.answer(project.best(project.probabilities))
    return project.answer(project.foretold[0])


def test_scores_run_from_the_baseline_to_the_optimum(project):
    project, folder = project
    sample = folder / "students" / "sample_predictions.csv"
    best = submit(project, folder, "best.csv", oracle(project))
    shuffled = submit(project, folder, "shuffled.csv", oracle(project).sample(frac=1, random_state=0))
    rows = {Path(row["file"]).name: row["score"] for row in projects.grade(folder, [sample, best, shuffled])}
    assert abs(rows["sample_predictions.csv"]) < 0.001
    assert abs(rows["best.csv"] - 1) < 0.001 and rows["shuffled.csv"] == rows["best.csv"]
    marks = project.marks()
    between = next(name for name in marks if name not in ("baseline", "optimum"))
    assert 0.2 < projects.share(marks[between], marks) < 0.8
    points = {row["group"]: row["points"] for row in projects.grade(folder, [sample, best])}
    assert points["best"] == 100 and points["sample"] < 0.5
    with open(folder / "scores.csv", encoding="utf-8", newline="") as file:
        assert [row["group"] for row in csv.DictReader(file)] == ["sample", "best"]


def test_points_have_a_floor_and_a_ceiling(project):
    project, _ = project
    assert 0 < project.half < project.full < 1
    scores = [-3, 0, project.half / 2, project.half, (project.half + project.full) / 2, project.full, 1]
    assert [projects.points(score, project) for score in scores] == [0, 0, 25, 50, 75, 100, 100]
    text = project.text
    assert f"half of these at {project.half}, all of them at {project.full}" in text


def reached(project, predictions):
    """The score that predictions get, to one digit."""
    return round(projects.share(project.recall(predictions) if isinstance(project, projects.Sessions)
                                else project.rmse(predictions), project.marks()), 1)


def test_what_models_reach_is_what_the_page_for_instructors_says():
    page = " ".join((book.ROOT / "book" / "instructors.md").read_text(encoding="utf-8").split())
    for kind in projects.PROJECTS.values():
        assert f"| {kind.__name__.lower()} | {kind.half}: " in page and f" | {kind.full}: " in page
    shop = projects.Sessions(seed=11)
    histories = [shop.test.items[first:end - 1] for first, end in itertools.pairwise(shop.test.offsets)]
    for model, words in ((baselines.Markov(), "a Markov chain reaches about 0.4"),
                         (baselines.VSKNN(), "session neighbours about 0.5")):
        items = shop.best(np.asarray(model.fit(shop.train).scores_after(histories)))
        assert words in page and words.endswith(f" {reached(shop, items)}")
    people = projects.Ratings(seed=11)
    forgetting = {"gamma": 0.9, "user_penalty": 1.0, "step": DAY, "n_factors": 4, "penalty": 5.0}
    for model, score in ((baselines.OnlineMF(), 0.4), (baselines.ForgettingMF(**forgetting), 0.8)):
        assert reached(people, model.fit(people.train).follow(people.test)) == score
    assert "A ridge regression that forgets reaches about 0.8" in page


def test_files_are_told_by_group():
    for path, group in (("group-3_predictions.csv", "group-3"), ("Group 3_predictions (1).csv", "group 3"),
                        ("roec_12345_678_team_b_predictions-1.csv", "team_b"), ("best.csv", "best"),
                        ("Team A_4711_assignsubmission_file_/predictions.csv", "team a")):
        assert projects.group_of(Path(path)) == group


def test_expected_scores_are_those_of_many_draws():
    """The exact score of a project is what counting hits or squared errors gives on the average."""
    shop = projects.Sessions(seed=3, n_train=500, n_test=4000)
    target = shop.test.items[shop.test.offsets[1:] - 1]
    items = shop.best(shop.probabilities)
    assert abs((items == target[:, None]).any(axis=1).mean() - shop.recall(items)) < 0.03
    people = projects.Ratings(seed=3, n_users=4000)
    guess = np.full(4000, 0.2)
    assert abs(np.sqrt(((people.test.ratings - guess)**2).mean()) - people.rmse(guess)) < 0.05


def test_what_students_get_does_not_hold_what_they_are_to_find(project):
    project, folder = project
    handed_out = folder / "students"
    assert {path.name for path in handed_out.iterdir()} >= {"train.csv", "test.csv", "README.md", "check.py"}
    assert not any(str(project.seed) in path.read_text(encoding="utf-8") for path in handed_out.iterdir())
    test = project.files()["test.csv"]
    if isinstance(project, projects.Sessions):
        assert len(test) == project.test.n_events - project.test.n_sessions
        assert not set(test["session"]) & set(project.files()["train.csv"]["session"])
    else:
        assert list(test.columns) == ["user", "item", "time"]
        assert test["time"].min() > project.files()["train.csv"]["time"].max()


def test_the_students_check_runs_alone(project):
    """With nothing but Python, in the folder of the data."""
    _, folder = project
    alone = [sys.executable, "-I", "-S", "check.py"]
    for name, code in (("sample_predictions.csv", 0), ("train.csv", 1)):
        done = subprocess.run([*alone, name], cwd=folder / "students", capture_output=True, text=True)
        assert done.returncode == code and name in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def broken(kind):
    """{what is wrong: (how to break the text of a good file, what the message must say after the file's name)}"""
    def line(n, change):
        def changed(text):
            lines = text.split("\n")
            lines[n - 1] = change(lines[n - 1])
            return "\n".join(lines)
        return changed

    def value(n, place, new):
        return line(n, lambda row: ",".join([*row.split(",")[:place], new, *row.split(",")[place + 1:]]))

    both = {
        "empty": (lambda text: "", "row 1: the header must be"),
        "other header": (line(1, lambda row: row.upper()), "row 1: the header must be"),
        "semicolons": (lambda text: text.replace(",", ";"), "row 1: the header must be"),
        "a field too many": (line(4, lambda row: row + ",x"), "row 4: has"),
        "a row missing": (lambda text: "\n".join(text.split("\n")[:3] + text.split("\n")[4:]), "1 of 200 are missing"),
        "a row twice": (line(6, lambda row: row + "\n" + row), "row 7, column KEY: "),
        "unknown key": (value(3, 0, "nobody"), "row 3, column KEY: 'nobody' is not in test.csv"),
        "a place for a key": (value(3, 0, "1"), "'1' is not in test.csv. Is it the place of an id in a list?"),
        "open quote": (line(5, lambda row: '"' + row), "row 5"),
        "zero byte": (line(5, lambda row: row + "\0"), "row 5: holds a zero byte"),
        "too large": (lambda text: text + "\n" * 5_000_001, "has 5,"),
    }
    if kind == "sessions":
        return both | {
            "unknown item": (value(9, 2, "item-9999"), "row 9, column item_2: 'item-9999' is not in items.csv"),
            "a place for an item": (value(9, 2, "17"), "'17' is not in items.csv. Is it the place of an id in a list?"),
            "no item": (value(9, 20, ""), "row 9, column item_20: '' is not in items.csv"),
            "an item twice": (line(2, lambda row: ",".join([*row.split(",")[:-1], row.split(",")[1]])),
                              "row 2, column item_20: "),
        }
    return both | {name: (value(8, 1, name), f"row 8, column rating: {name!r} is no number")
                   for name in ("nan", "inf", "-1e9", "1_0", "four", "", "=1+1")}


@pytest.mark.parametrize("case", sorted({*broken("sessions"), *broken("ratings")}))
def test_broken_files_are_refused_by_file_row_and_column(project, tmp_path, case):
    project, folder = project
    kind = type(project).__name__.lower()
    if case not in broken(kind):
        return
    change, message = broken(kind)[case]
    good = (folder / "students" / "sample_predictions.csv").read_text(encoding="utf-8").rstrip("\n")
    path = tmp_path / "mine.csv"
    path.write_text(change(good), encoding="utf-8", newline="\n")
    with pytest.raises(check.SubmissionError) as error:
        project.measure(path)
    assert str(error.value).startswith("mine.csv")
    assert message.replace("KEY", {"sessions": "session", "ratings": "user"}[kind]) in str(error.value)
    with pytest.raises(check.SubmissionError):
        check.check(path, folder / "students")


def test_harmless_differences_are_accepted(project, tmp_path):
    project, folder = project
    good = (folder / "students" / "sample_predictions.csv").read_text(encoding="utf-8")
    path = tmp_path / "mine.csv"
    path.write_bytes(b"\xef\xbb\xbf" + good.replace("\n", "\r\n").replace(",", " , ").encode() + b"\r\n\r\n")
    assert project.measure(path) == project.measure(folder / "students" / "sample_predictions.csv")


def test_one_broken_file_does_not_stop_the_others(project, tmp_path):
    _, folder = project
    sample = folder / "students" / "sample_predictions.csv"
    latin = tmp_path / "latin.csv"
    latin.write_bytes(sample.read_bytes() + "é".encode("latin-1"))
    rows = projects.grade(folder, [latin, tmp_path / "nothing.csv", tmp_path, sample])
    assert [bool(row["error"]) for row in rows] == [True, True, True, False]
    assert "latin.csv, row 202: is not UTF-8" in rows[0]["error"] and "no such file" in rows[1]["error"]
    assert (folder / "scores.csv").read_text(encoding="utf-8").count("\n") == 5


def test_a_project_is_not_overwritten_and_another_version_is_noticed(project, tmp_path):
    _, folder = project
    with pytest.raises(SystemExit, match="lives there already"):
        projects.make("sessions", folder)
    shutil.copy(folder / "secret.json", tmp_path)
    secret = (tmp_path / "secret.json").read_text(encoding="utf-8").replace("987654321987", "987654321988")
    (tmp_path / "secret.json").write_text(secret, encoding="utf-8")
    with pytest.raises(SystemExit, match="another world of the seed"):
        projects.open_project(tmp_path)


def test_seeds_are_drawn_where_none_is_given(tmp_path):
    first, second = (projects.make("ratings", tmp_path / name, n_users=5) for name in ("a", "b"))
    assert first.seed != second.seed and min(first.seed, second.seed) > 2**40


def test_blocks_of_an_exercise_are_cut_out():
    found = course.stream(CHAPTERS[0], CHAPTERS[0].read().cells)
    left = [part for part in found if isinstance(part, blocks.Directive)]
    assert not any(part.name.startswith(("exercise", "solution")) for part in left)
    assert len([part for part in found if isinstance(part, course.Exercise)]) == len(course.exercises(CHAPTERS[0]))
