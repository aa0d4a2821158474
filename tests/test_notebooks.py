"""The committed notebooks: made from the pages, run, and free of what only the book's builder understands."""

import re
import subprocess
import sys
from copy import deepcopy

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools import bib, blocks, lower, pages

PAGES = [page for page in pages.toc() if pages.has_notebook(page)]
STALE = "is stale: run `make notebooks` and commit the result"


@pytest.fixture(params=PAGES, ids=lambda page: page.stem)
def page(request):
    return request.param


@pytest.fixture
def committed(page):
    if not page.notebook.exists():
        pytest.fail(f"{page.notebook.name} is missing: run `make notebooks`")
    return nbformat.read(page.notebook, as_version=4)


def with_outputs(page, committed):
    """The page's cells with the committed notebook's outputs (its first code cell is Colab's and not the page's)."""
    notebook = page.read()
    ours = [cell for cell in notebook.cells if cell.cell_type == "code"]
    theirs = [cell for cell in committed.cells if cell.cell_type == "code"][1:]
    assert len(ours) == len(theirs), f"{page.notebook.name} {STALE}"
    for cell, run in zip(ours, theirs, strict=True):
        cell.outputs = run.outputs
    return notebook


def test_notebook_is_made_from_the_page_as_it_is(page, committed):
    fresh = lower.notebook(page, with_outputs(page, committed))
    for new, old in zip(fresh.cells, committed.cells, strict=True):
        assert (new.id, new.cell_type, new.source) == (old.id, old.cell_type, old.source), \
            f"{page.notebook.name} {STALE}"


def test_nothing_but_notebooks_of_pages():
    assert set(pages.NOTEBOOKS.glob("*.ipynb")) == {page.notebook for page in PAGES}


def test_notebook_has_run(committed):
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(output.output_type != "error" for cell in code for output in cell.outputs)
    assert any(cell.outputs for cell in code)


def test_first_cell_installs_in_colab_only(committed):
    first = committed.cells[0]
    assert first.cell_type == "code" and first.source == lower.SETUP and not first.outputs
    assert '"google.colab" in sys.modules' in first.source and pages.REPOSITORY in first.source


def test_first_cell_does_nothing_elsewhere(capsys):
    names = {}
    exec(TransformerManager().transform_cell(lower.SETUP), names)
    assert names.keys() - {"__builtins__"} == {"sys"} and capsys.readouterr().out == ""


def changed(notebook, kind):
    """A notebook as if the code had given something else when it was committed, and the numbers of the changed cells.

    The numbers are nbval's, which counts code cells from 0.
    """
    notebook = deepcopy(notebook)
    code = list(enumerate(cell for cell in notebook.cells if cell.cell_type == "code"))
    texts = [(n, output) for n, cell in code for output in cell.outputs if output.output_type == "stream"]
    values = [(n, output) for n, cell in code for output in cell.outputs if "text/html" in output.get("data", {})]
    if kind == "nothing":
        return notebook, set()
    if kind == "a printed word":
        n, output = texts[0]
        output.text += "more\n"
    elif kind == "a cell of a table":
        n, output = values[0]
        output.data["text/html"] = output.data["text/html"].replace("</td>", " more</td>", 1)
    elif kind == "an output less":
        n, output = values[-1]
        dict(code)[n].outputs.remove(output)
    elif kind == "an output more":
        n, output = values[0]
        dict(code)[n].outputs.append(nbformat.v4.new_output("stream", text="more"))
    elif kind == "other code":
        n, cell = code[-1]
        cell.source += "\n1 + 1"
    return notebook, {n}


CHANGES = ["nothing", "a printed word", "a cell of a table", "an output less", "an output more", "other code"]


@pytest.mark.usefixtures("built")
def test_nbval_sees_an_output_that_the_code_no_longer_gives(tmp_path):
    """Though it gets the outputs from the one execution that the HTML is made of."""
    page = next(page for page in PAGES if page.stem == "beyond")
    notebook, expected = nbformat.read(page.notebook, as_version=4), {}
    for kind in CHANGES:
        path = tmp_path / kind.replace(" ", "-") / page.notebook.name
        mutant, expected[path.parent.name] = changed(notebook, kind)
        path.parent.mkdir()
        nbformat.write(mutant, path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tools.recorded", "-p", "no:cacheprovider", "--rootdir", tmp_path,
         "--nbval-sanitize-with", pages.ROOT / "tests" / "nbval.cfg", "--color=no", tmp_path],
        cwd=pages.ROOT, capture_output=True, text=True)
    failed = re.findall(r"^FAILED .*?([\w-]+)/beyond\.ipynb::Cell (\d+)", done.stdout, re.M)
    assert {kind: {int(n) for other, n in failed if other == kind} for kind in expected} == expected, done.stdout


def test_last_cell_says_where_the_reader_is_and_what_comes_next(page, committed):
    last = committed.cells[-1].source
    assert page.url in last and page.title in last
    rest = PAGES[PAGES.index(page) + 1:]
    assert (f"**Next:** {rest[0].title} ([in Colab]({rest[0].colab})" if rest else "**You are here:**") in last
    assert (f"chapter {page.number} of " in last) == bool(page.number)


def test_no_raw_myst_and_nothing_of_this_machine(committed):
    for cell in committed.cells:
        if cell.cell_type == "markdown":
            text = re.sub(r"^(```|~~~).*?^\1", "", cell.source, flags=re.M | re.S)
            assert not re.search(r"^\s*[>\s]*(:::|```\{)|\{[a-z:]+\}`|^\([\w-]+\)=", text, re.M), text
    text = nbformat.writes(committed)
    assert str(pages.ROOT) not in text
    assert not re.search(r"0x[0-9a-f]{8,}", text)


def test_addresses_come_from_one_place():
    for path in [*(pages.ROOT / "book").glob("*.md"), *(pages.ROOT / "tools").glob("*.py")]:
        assert pages.REPOSITORY not in path.read_text(encoding="utf-8"), path


def test_what_is_cited_can_be_followed():
    """A workshop paper was found under no lasting address."""
    assert [key for key in bib.entries() if not bib.url(key)] == ["wu2017joint"]
    assert ".." not in "".join(bib.reference(key).split("](")[0] for key in bib.entries())


# The lowering itself, on a page made for it


@pytest.fixture
def lowered(tmp_path, monkeypatch):
    """lowered(text) is the Markdown that MyST text becomes on a page that is chapter 7."""
    class Chapter(pages.Page):
        source = tmp_path / "07_trial.md"

    def run(text, glue=()):
        chapter = Chapter("book/07_trial", 7)
        chapter.source.write_text(f"# Trial\n\n{text}", encoding="utf-8")
        other = next(page for page in PAGES if page.number == 1)
        labels = lower.labels_of(chapter)
        monkeypatch.setattr(lower, "_labels", {**labels, "far": lower.Label(other, "Far", "far")})
        return lower.Lowering(chapter, dict(glue)).lower(text).strip()

    return run


def test_figures_and_exercises_have_the_numbers_of_the_page(built):
    shown = 0
    for name, label in lower.all_labels().items():
        if re.match(r"(Figure|Exercise) ", label.text):
            html = (built / f"{label.page.docname}.html").read_text(encoding="utf-8")
            caption = re.search(rf'id="{name}">.*?class="caption-number">([^<]+)<', html, re.S)
            assert caption[1].replace("Fig.", "Figure").strip() == label.text, f"{label.page.stem}: {name}"
            shown += 1
    assert shown > 30


def test_admonitions_become_quotes(lowered):
    assert lowered("::::{admonition} Predict first\nWhat *now*?\n:::{dropdown} Answer\nThis.\n:::\n::::") == (
        "> **Predict first**\n> \n> What *now*?\n> <details><summary><b>Answer</b></summary>\n> \n> This.\n> \n"
        "> </details>")
    assert lowered(":::{note}\n:class: x\nText.\n:::") == "> **Note**\n> \n> Text."


def test_exercises_and_solutions(lowered):
    text = lowered("```{exercise} Count\n:label: ex-one\nHow many?\n```\n\n```{solution} ex-one\n:class: dropdown\n"
                   "Two.\n```")
    assert text == ("**Exercise 7.1: Count**\n\nHow many?\n\n"
                    "<details><summary><b>Solution to exercise 7.1</b></summary>\n\nTwo.\n\n</details>")


def test_maths_keeps_its_number(lowered):
    assert lowered("$$\na = b\n$$ (eq-one)\n\nBy {eq}`eq-one`, $a$ is `{eq}`.") == (
        "$$\na = b \\tag{7.1}\n$$\n\nBy (7.1), $a$ is `{eq}`.")


def test_references_and_citations(lowered):
    assert lowered("(here)=\n## Here\n\n{ref}`here`, {ref}`far` and [far](#far)") == (
        f"## Here\n\nHere, [Far]({pages.ONLINE}/book/01_rnn.html#far) and [far]({pages.ONLINE}/book/01_rnn.html#far)")
    assert re.fullmatch(r"\(\[Hidasi et al\., 2016\]\(https://\S+\)\)", lowered("{cite:p}`hidasi2016session`"))
    assert lowered("{math}`x^2` {kbd}`Tab` {py:func}`~a.b.c`") == "$x^2$ <kbd>Tab</kbd> `c`"
    assert lowered("{glue:text}`score:.2f`", {"score": "0.123"}) == "0.12"


def test_code_is_left_alone(lowered):
    text = "```python\nx = '{eq}`no`'\n$$ (a)=\n```"
    assert lowered(text) == text
    assert lowered("```{code-block} text\n:name: a\nx\n```") == "```text\nx\n```"


def test_tables_and_cards(lowered):
    assert lowered("```{list-table} Sizes\n:header-rows: 1\n* - a\n  - b\n* - 1\n  - 2 | 3\n```") == (
        "| a | b |\n| --- | --- |\n| 1 | 2 \\| 3 |\n\n*Sizes*")
    assert lowered("::::{grid} 2\n:::{grid-item-card} One\nBody.\n:::\n::::") == "**One**\n\nBody."


@pytest.mark.parametrize(("text", "message"), [
    ("```{flowchart}\nx\n```", "07_trial.md: no lowering for the directive {flowchart}"),
    ("{colour}`x`", "no lowering for the role {colour}"),
    ("{ref}`nowhere`", "'nowhere' leads nowhere"),
    ("![a](no.png)", "no picture no.png"),
    ("{cite:p}`nobody1999`", "references.bib has no 'nobody1999'"),
])
def test_what_it_cannot_lower_is_an_error(lowered, text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        lowered(text)


def test_printed_text_is_one_output_however_many_pieces_it_came_in():
    cell = nbformat.v4.new_code_cell("print(1)", outputs=[
        nbformat.v4.new_output("stream", text="1"), nbformat.v4.new_output("stream", text="\n"),
        nbformat.v4.new_output("stream", name="stderr", text="half done"),
        nbformat.v4.new_output("display_data", {"text/plain": "x"}), nbformat.v4.new_output("stream", text="2")])
    assert [output.get("text") for output in lower.code_cell(cell, count=1).outputs] == ["1\n", None, "2"]


def test_blocks_nest():
    outer, = blocks.parse(":::::{a} x y\n---\nk: v\n---\n:::{b}\n:::\n```\n$$\n```\n:::::")
    assert (outer.name, outer.argument, outer.options) == ("a", "x y", {"k": "v"})
    inner, fence = blocks.parse(outer.body)
    assert inner.name == "b" and fence == "```\n$$\n```"
