"""A fork gets its own addresses: no trace of the old ones is left, and the links to Colab and Binder follow."""

import re
import shutil

import nbformat
import pytest
import yaml

from tools import address, lower, pages

REPOSITORY, SITE = "https://github.com/a-teacher/my-course.2", "https://course.example.org/book"


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    """A copy of all committed files with new addresses: its folder, and its files."""
    folder = tmp_path_factory.mktemp("fork")
    files = []
    for path in address.committed():
        if path.exists():
            files.append(folder / path.relative_to(pages.ROOT))
            files[-1].parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, files[-1])
    address.move(files, folder / "_config.yml", REPOSITORY, SITE)
    return folder, files


def texts(files):
    for path in files:
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_no_trace_of_the_old_addresses_is_left(fork):
    folder, files = fork
    slug = pages.REPOSITORY.removeprefix("https://github.com/")
    trace = re.compile(rf"{re.escape(pages.ONLINE.removeprefix('https://'))}|(?:github(?:\.com)?|gh)/{slug}\b")
    known = {path.name for path, text in texts(address.committed()) if trace.search(text)}
    assert {"_config.yml", "README.md", "CITATION.cff", "pyproject.toml", "index.md", "02_gru4rec.ipynb"} <= known
    assert [path.name for path, text in texts(files) if trace.search(text)] == []


def test_the_new_ones_stand_in_their_places(fork):
    folder, _ = fork
    config = yaml.safe_load((folder / "_config.yml").read_text(encoding="utf-8"))
    assert (config["repository"]["url"], config["html"]["baseurl"]) == (REPOSITORY, SITE)
    text = (folder / "book" / "notebooks" / "02_gru4rec.ipynb").read_text(encoding="utf-8")
    assert f"git+{REPOSITORY}" in text and f"{SITE}/book/03_improved.html" in text
    assert "https://colab.research.google.com/github/a-teacher/my-course.2/blob/main/book/notebooks/03" in text
    assert f"Read it** at <{SITE}>" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_notebook_is_as_if_it_had_been_made_anew(fork):
    for path in (fork[0] / "book" / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        made = lower.assembled(nbformat.reads(text, as_version=4).cells)
        assert nbformat.writes(made) + "\n" == text, path.name


def test_another_repository_whose_name_begins_alike_is_left_alone(tmp_path):
    config, other = tmp_path / "_config.yml", tmp_path / "other.md"
    config.write_text("repository: {url: https://github.com/a/b}\nhtml: {baseurl: https://a.io/b}\n")
    other.write_text("https://github.com/a/b-data https://a.io/bread https://github.com/a/b.git https://a.io/b/c")
    address.move([config, other], config, "https://github.com/c/d", "https://c.io/d")
    assert other.read_text() == ("https://github.com/a/b-data https://a.io/bread https://github.com/c/d.git "
                                 "https://c.io/d/c")


@pytest.mark.parametrize(("repository", "site", "wrong"), [
    ("", "", "REPO is missing and SITE is missing: make address REPO="),
    (REPOSITORY, "", "error: SITE is missing: make"),
    ("", SITE, "error: REPO is missing: make"),
    ("https://gitlab.com/a/b", SITE, "error: REPO=https://gitlab.com/a/b is no address like https://github.com/YOU/rnn"),
    (REPOSITORY, "course.example.org", "error: SITE=course.example.org is no address like https://YOU.github.io/rnnbo")])
def test_an_address_that_is_missing_or_wrong_is_named(repository, site, wrong, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["address", repository, site])
    monkeypatch.setattr(address, "move", lambda *_: pytest.fail("nothing may be changed"))
    with pytest.raises(SystemExit) as ended:
        address.main()
    assert ended.value.code == 2 and wrong in capsys.readouterr().err
