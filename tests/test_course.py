"""The teacher's kit: assignments, slides in a browser, projects with a known optimum. Grading has tests of its own."""

import csv
import itertools
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from sphinx.util.tags import Tags

from rnnbook import baselines
from rnnbook.interactions import DAY
from tools import blocks, book, book_sphinx, check, course, lower, pages, projects, slides

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


per_deck = pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
GREEK = ("alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|phi|varphi"
         "|chi|psi|omega|Gamma|Delta|Theta|Lambda|Sigma|Phi|Psi|Omega|ell")


@pytest.fixture(scope="module")
def executed():
    return book.executions()


@pytest.fixture(scope="module")
def decks(tmp_path_factory, executed):
    """Folder with the slides of the chapters that have them."""
    folder = tmp_path_factory.mktemp("decks") / "slides"
    slides.copy_libraries(folder)
    for page in CHAPTERS:
        slides.write(page, executed[page], folder)
    return folder


def slide_blocks(page):
    return [part for cell in page.read().cells if cell.cell_type == "markdown" for part in blocks.parse(cell.source)
            if isinstance(part, blocks.Directive) and part.name == "slide"]


def texts_of(block):
    """What students see of a slide, as MyST: all but the notes."""
    return "\n".join([block.argument, *re.split(r"^\+\+\+", block.body, flags=re.M)[:-1]])


@per_deck
def test_a_slide_deck_takes_ninety_minutes(page, executed):
    made = [slide for row in slides.Deck(page, executed[page]).rows() for slide in row]
    assert 20 <= len(made) <= 40
    assert min(slide.minutes for slide in made) > 0 and 85 <= sum(slide.minutes for slide in made) <= 95
    assert made[-1].start + made[-1].minutes == sum(slide.minutes for slide in made)
    assert sum(bool(slide.answer) for slide in made) >= 5
    assert [slide.title for slide in made[2:] if len(re.findall(r"[.?!:](?:\s|<|$)", slide.notes)) < 2] == []
    assert made[0].title == page.title and all(slide.notes for slide in made)


@per_deck
def test_a_slide_is_short_and_says_one_thing(page):
    for block in slide_blocks(page):
        words = re.findall(r"\S*\w\S*", re.sub(r"\$\$.*?\$\$|\$[^$]*\$", " x ", texts_of(block), flags=re.S))
        assert len(words) <= (110 if "ask" in block.options else 65), block.argument
        assert len(block.argument) <= 70, block.argument
        assert "cite:" not in block.body, f"{block.argument}: the page's bibliography does not hear of a slide"


def symbols(tex):
    r"""The letters of a formula, such as ``h``, ``h_`` for one with an index, or ``\hat r``; words are none."""
    tex = re.sub(r"\\(?:text|mathrm|operatorname\*?|mathbb|begin|end)\s*\{[^}]*\}", " ", tex)
    tex = re.sub(rf"\\(?!(?:hat|tilde|bar|{GREEK})(?![a-zA-Z]))[a-zA-Z]+", "|", tex)
    tex = re.sub(r"(\\(?:hat|tilde|bar))\s*\{?\s*(\\[a-zA-Z]+|[a-zA-Z])\}?", r"\1 \2", tex)
    return {re.sub(r"\s*_$", "_", symbol)
            for symbol in re.findall(r"(?:\\(?:hat|tilde|bar) )?(?:\\[a-zA-Z]+|[a-zA-Z])(?:\s*_)?", tex)}


def test_symbols_of_formulas():
    assert symbols(r"h_t = \tanh(W x_t + U h_{t-1})") == {"h_", "t", "W", "x_", "U"}
    assert symbols(r"\hat{r}_{s,j} - \hat r") == {r"\hat r_", r"\hat r", "s", "j"}
    assert symbols(r"\sigma(\sigma_t) \text{ const } \mathbb{R}^d \operatorname{diag}") == {
        r"\sigma", r"\sigma_", "t", "d"}


@per_deck
def test_a_slide_explains_each_letter_before_it_is_used(page, executed):
    named = slides.Deck(page, executed[page]).named
    explained = {"e"}  # the number
    for block in slide_blocks(page):
        text = texts_of(block)
        inline = " ".join(re.findall(r"(?<!\$)\$(?!\$)([^$]+)\$(?!\$)", text))
        here = symbols(block.options.get("symbols", ""))
        assert here <= symbols(inline), f"{block.argument}: {here - symbols(inline)} is not in its text"
        explained |= here
        shown = named.get(block.options.get("show"))
        formulas = [inline, *re.findall(r"\$\$(.+?)\$\$", text, re.S), getattr(shown, "body", "")]
        unknown = symbols(" ".join(formulas)) - explained
        assert not unknown, f"{block.argument}: {unknown} is not explained here or before"


# Of each slide: the smallest text and formula, what lies outside, and how much of the room its picture has
WALK = """async () => {
    const seen = [], frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const box = (element) => element.getBoundingClientRect();
    const sizes = (content) => {
        const found = [], walk = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) {
            const parent = walk.currentNode.parentElement, at = box(parent);
            const text = walk.currentNode.textContent.trim();
            if (!text || at.width < 2 || at.height < 2) continue;
            if (parent.closest("script, style, option, mjx-assistive-mml, .rb-status")) continue;
            const scale = parent.ownerSVGElement ? Math.hypot(parent.getScreenCTM().a, parent.getScreenCTM().b)
                : parent.currentCSSZoom;
            found.push([parseFloat(getComputedStyle(parent).fontSize) * scale, text]);
        }
        for (const glyph of content.querySelectorAll("mjx-container use, mjx-container path[data-c]"))
            if (glyph.getScreenCTM()) found.push([1000 * glyph.getScreenCTM().a, "a letter of a formula"]);
        return found;
    };
    for (const slide of Reveal.getSlides()) {
        const at = Reveal.getIndices(slide), content = slide.querySelector(".content");
        Reveal.slide(at.h, at.v);
        slide.querySelectorAll(".fragment").forEach((part) => part.classList.add("visible"));
        await frames();
        const parts = [...content.querySelectorAll("h1, h2, p, li, mjx-container, pre, table, img, svg")]
            .filter((element) => !element.closest("mjx-assistive-mml, .rb-status") && box(element).height > 0);
        const tooFull = (room) => room.scrollHeight > room.clientHeight + 1 || room.scrollWidth > room.clientWidth + 1;
        const image = content.querySelector(".shown > svg");
        seen.push({
            title: slide.querySelector("h1, h2").textContent,
            small: sizes(content).filter(([size]) => size < 18).map(([size, text]) => `${size.toFixed(1)}: ${text}`),
            outside: parts.filter((part) => box(part).right > 1281 || box(part).bottom > 721)
                .map((part) => part.tagName + part.textContent.slice(0, 40)),
            cut: [content, ...content.querySelectorAll(".shown")].some(tooFull),
            picture: image ? box(image).height : null,
        });
    }
    return seen;
}"""


def open_deck(new_tab, decks, page):
    tab = new_tab(viewport={"width": 1280, "height": 720})
    tab.goto((decks / f"{page.stem}.html").as_uri())
    tab.wait_for_selector("body[data-ready]")
    return tab


@pytest.mark.browser
@per_deck
def test_a_slide_is_read_from_the_last_row_and_asks_the_network_for_nothing(new_tab, noise, decks, page):
    tab = new_tab(viewport={"width": 1280, "height": 720})
    tab.on("console", lambda message: noise.append(message.text))
    tab.on("pageerror", lambda error: noise.append(str(error)))
    tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or noise.append(request.url))
    tab.goto((decks / f"{page.stem}.html").as_uri())
    tab.wait_for_selector("body[data-ready]")
    seen = tab.evaluate(WALK)
    assert len(seen) == len(slide_blocks(page)) + 2
    assert {slide["title"]: slide["small"] for slide in seen if slide["small"]} == {}
    assert {slide["title"]: slide["outside"] for slide in seen if slide["outside"]} == {}
    assert [slide["title"] for slide in seen if slide["cut"]] == []
    assert [slide["title"] for slide in seen if slide["picture"] is not None and slide["picture"] < 280] == []
    assert tab.locator("mjx-container").count() > 20
    assert tab.locator("mjx-merror, [data-mjx-error]").count() == 0


PLACE = "(({h, v, f}) => [h, v, f])(Reveal.getIndices())"


def focus_widget(tab):
    """Go to the first slide with a slider and put the focus there; the slider and the slide's place."""
    place = tab.evaluate("""() => {
        const slide = Reveal.getSlides().find((slide) => slide.querySelector(".rnnbook-widget input[type=range]"));
        Reveal.slide(Reveal.getIndices(slide).h, Reveal.getIndices(slide).v);
        return """ + PLACE + "; }")
    slider = tab.query_selector("section.present > section.present .rnnbook-widget input[type=range]")
    slider.focus()
    return slider, place


@pytest.mark.browser
@pytest.mark.parametrize("key", ["Space", "PageDown"])
def test_a_widget_on_a_slide_keeps_its_arrows_and_lets_the_lecture_go_on(new_tab, decks, key):
    tab = open_deck(new_tab, decks, CHAPTERS[0])
    slider, place = focus_widget(tab)
    before = slider.input_value()
    tab.keyboard.press("ArrowLeft")
    moved = slider.input_value()
    assert moved != before and tab.evaluate(PLACE) == place
    tab.keyboard.press(key)
    after = tab.evaluate(PLACE)
    assert after != place and slider.input_value() == moved
    tab.keyboard.press(key)
    assert tab.evaluate(PLACE) not in (place, after)


@pytest.mark.browser
@per_deck
def test_the_answer_on_a_slide_is_uncovered_by_a_step(new_tab, decks, page):
    tab = open_deck(new_tab, decks, page)
    n = tab.evaluate("""() => {
        const slide = Reveal.getSlides().find((slide) => slide.querySelector(".answer"));
        Reveal.slide(Reveal.getIndices(slide).h, Reveal.getIndices(slide).v);
        return Reveal.getSlidePastCount();
    }""")
    answer = tab.locator(".present > .content .answer")
    assert answer.evaluate("box => getComputedStyle(box).visibility") == "hidden"
    tab.keyboard.press("Space")
    answer.wait_for(state="visible")  # which takes a moment
    assert tab.evaluate("Reveal.getSlidePastCount()") == n
    tab.keyboard.press("Space")
    assert tab.evaluate("Reveal.getSlidePastCount()") == n + 1


@per_deck
def test_a_slide_shows_no_address_badge_or_checksum(decks, page):
    html = (decks / f"{page.stem}.html").read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href|action|data)=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import"""
                         r"""|(?:import|from)\s*\(?["'](?:https?:)?//""", html)
    seen = re.sub(r"<script.*?</script>|<style.*?</style>|<img[^>]*>|<[^>]+>", " ", html, flags=re.S)
    assert not re.search(r"https?://|www\.|github|sha256|\b(?=\w*\d)[0-9a-f]{10,}\b|provenance|\bcommit\b", seen)


def notebook_with(text, *cells):
    return nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_markdown_cell(text)])


def output(**data):
    return nbformat.v4.new_output("display_data", {f"text/{mime}": text for mime, text in data.items()})


THREE_SECTIONS = r"""
Before.

## One

$$
a < b_t
$$ (eq-x)

```{slide} *A* & $c$
:minutes: 2
:show: scores
:code: scores

Text.

+++

Notes.
```

Between.

## Two

No slide.

## Three

```{slide} Asked
:ask:
:minutes: 1.5
:show: fig-x

What?

+++

This.

+++

Wait.
```

```{slide} Equation
:minutes: 1
:show: eq-x

Text.

+++

Notes.
```
"""


def test_a_slide_shows_what_the_page_shows():
    table = cell("table(\n)")
    table.metadata["name"] = "scores"
    table.outputs = [output(html="<table><tr><td><a href='x'>0.5</a></td></tr></table>"),
                     output(html='<p class="provenance">commit 0123456789</p>'), output(markdown="in *all*"),
                     nbformat.v4.new_output("stream", name="stdout", text="a < b")]
    picture = cell("plot()")
    picture.metadata["mystnb"] = {"figure": {"name": "fig-x"}, "image": {"alt": "It\n falls."}}
    picture.outputs = [nbformat.v4.new_output("display_data", {"image/png": "AA\n==", "image/svg+xml": "<svg/>"})]
    notebook = notebook_with(THREE_SECTIONS, table, picture)
    (title, goals), (first,), (asked, equation) = slides.Deck(CHAPTERS[0], notebook).rows()
    assert title.is_title and "matrix products" in title.notes and goals.text.count("<li>") >= 4
    assert first.title == "<em>A</em> &amp; $c$" and first.text == "<p>Text.</p>\n" and "Notes" in first.notes
    assert "<td>0.5</td>" in first.shown and "<em>all</em>" in first.shown and "<pre>a &lt; b</pre>" in first.shown
    assert "commit" not in first.shown and "table" in first.code and first.start == 3
    assert (asked.text, asked.answer, asked.minutes, asked.start) == ("<p>What?</p>\n", "<p>This.</p>\n", 1.5, 5)
    assert asked.shown == '<svg role="img" aria-label="It falls." style="stroke-linejoin: round"/>'
    assert equation.shown == '<div class="formula">$$\na &lt; b_t\n$$</div>'
    picture.outputs[0].metadata["image/svg+xml"] = {"slide": "<svg width='9pt'/>"}  # a form for slides
    (asked, _) = slides.Deck(CHAPTERS[0], notebook_with(THREE_SECTIONS, table, picture)).rows()[-1]
    assert asked.shown.endswith(" width='9pt'/>")


@pytest.mark.parametrize(("block", "message"), [
    ("\nText\n\n+++\n\nNotes", "must have minutes"),
    (":minutes: 1\n:colour: red\n\nText\n\n+++\n\nNotes", "no options but"),
    (":minutes: 1\n\nText", "notes below"),
    (":minutes: 1\n\nText\n\n+++\n", "notes below"),
    (":minutes: 1\n:ask:\n\nText\n\n+++\n\nNotes", "an answer between"),
    (":minutes: 1\n:show: fig-none\n\nText\n\n+++\n\nNotes", "'fig-none', which is no cell or equation"),
    (":minutes: 1\n:code: long\n\nText\n\n+++\n\nNotes", "more than 8 lines"),
])
def test_a_slide_with_a_fault_is_an_error(block, message):
    long = cell("x = 1\n" * 9)
    long.metadata["name"] = "long"
    with pytest.raises(ValueError, match="01_rnn.md: the slide 'A' .*" + message):
        slides.Deck(CHAPTERS[0], notebook_with(f"```{{slide}} A\n{block}\n```", long)).rows()


def test_a_slide_that_is_no_block_is_an_error():
    with pytest.raises(ValueError, match="a slide's title has no backtick"):
        slides.Deck(CHAPTERS[0], notebook_with("```{slide} The `h`\n:minutes: 1\n\nText\n\n+++\n\nNotes\n```")).rows()


def test_a_slide_leaves_no_trace_elsewhere(monkeypatch):
    page = CHAPTERS[0]
    source = page.source.read_text(encoding="utf-8")
    block = "```{slide} Zebra\n:minutes: 1\n\nGiraffe $$x$$ (eq-okapi)\n\n+++\n\nGnu\n```\n\n"
    places = ("## Truncation", "Accuracy 0.9; cross-entropy", "**Half-life of a gate.**")  # a section, a solution, ...
    added = source
    for place in places:
        assert source.count(place) == 1
        added = added.replace(place, block + place)
    before = [course.student(page), course.assignment(page), lower.notebook(page, page.read())]
    monkeypatch.setattr(pages.Page, "read", lambda page: pages.read_page(added))
    after = [course.student(page), course.assignment(page), lower.notebook(page, page.read())]
    assert [[c.source for c in nb.cells] for nb in before] == [[c.source for c in nb.cells] for nb in after]
    assert "eq-okapi" not in lower.labels_of(page)


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_a_slide_is_nowhere_in_the_built_book(built, page):
    html = (built / f"{page.docname}.html").read_text(encoding="utf-8") + (built / "searchindex.js").read_text("utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    for block in slide_blocks(page):
        for line in block.body.splitlines():
            words = re.sub(r"\s+", " ", line).strip()
            assert len(words) < 50 or "$" in words or "`" in words or words not in text, words


@pytest.mark.browser
def test_pdf_of_slides_and_handout(decks, executed, tmp_path):
    page = CHAPTERS[0]
    text = "".join(f"```{{slide}} Slide {n}\n:minutes: 1\n\nText.\n\n+++\n\nNotes.\n```\n" for n in range(5))
    shutil.copytree(decks, tmp_path / "slides")
    slides.write(page, notebook_with(text), tmp_path / "slides")
    with ThreadPoolExecutor(1) as own:  # the tests' browser has this thread
        assert own.submit(slides.print_pdf, tmp_path / "slides", [page.stem]).result()
    for name, n_pages in ((f"{page.stem}.pdf", 7), (f"{page.stem}-handout.pdf", 3)):
        assert len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "slides" / name).read_bytes())) == n_pages


def test_the_course_does_nothing_twice(monkeypatch, tmp_path):
    made, printed, two = [], {}, CHAPTERS[:2]

    def executed(cache, page):
        run = cell("1 + 1")
        run.outputs = [nbformat.v4.new_output("stream", name="stdout", text=printed.get(page, "2"))]
        return notebook_with("Text.", run)

    def remade():
        made.clear()
        course.main(tmp_path)
        return made.copy()

    monkeypatch.setattr(course, "chapters", lambda: two)
    monkeypatch.setattr(book, "execute", lambda: None)
    monkeypatch.setattr(book, "executed", executed)
    monkeypatch.setattr(slides, "chromium", lambda: None)
    monkeypatch.setattr(slides, "write", lambda page, executed, folder: (
        made.append(page), (folder / f"{page.stem}.html").write_text("")))
    assert remade() == two and remade() == []
    (tmp_path / "slides" / f"{two[0].stem}.html").unlink()
    assert remade() == [two[0]] and remade() == []
    printed[two[1]] = "3"
    assert remade() == [two[1]] and remade() == []
    monkeypatch.setattr(course, "digest_of_tools", lambda: "other tools")
    assert remade() == two


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
