"""The words of the book: a linter for prose finds nothing in them, and a spell-checker knows them or our list does.

They are taken from the pages as built, so that what cells print and what tools write is read, too.
"""

import re
from functools import cache
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from proselint.checks import __register__
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.tools import LintFile
from spellchecker import SpellChecker

from tools import pages, questions

# Checks that we do not follow, and why
EXCEPTIONS = {
    "weasel_words.very": "“the very last click” and “very few” say what they should",
    "typography.symbols": "docstrings are in ASCII, and have values in the quotes of code",
    "typography.diacritical_marks": "takes the verb “resume” for a curriculum vitae",
    "dates_times.am_pm": "takes “Recall@20 among” for a time of day",
    "dates_times.dates": "takes numbers of sessions for years",
}
PAGES = [page for page in pages.toc() if page.stem != "bibliography"]  # others' titles and names
OTHERS = [pages.ROOT / "README.md", pages.ROOT / "CONTRIBUTING.md", *sorted((pages.ROOT / "contributing").glob("*.md"))]
WORDS = Path(__file__).with_name("words.txt")  # one in a line: names, terms, British forms
NOT_PROSE = "pre, script, style, svg, table, dl.py > dt, .rnnbook-widget, .headerlink, .launch, .provenance, .citation"
STANDS_FOR_A_WORD = "code, .math, mjx-container, a.reference.external"
TEXT = ["p", "li", "dd", "h1", "h2", "h3", "h4", "figcaption"]


def paragraphs(html):
    """The texts of a piece of HTML, each code and formula in them an X with a number."""
    soup = BeautifulSoup(html, "html.parser")
    soup = soup.find("article") or soup
    for part in soup.select(NOT_PROSE):
        part.decompose()
    for n, part in enumerate(soup.select(STANDS_FOR_A_WORD)):
        part.replace_with(f"X{n}")  # else the linter would find the same word twice
    blocks = [block for block in soup.find_all(TEXT) if not block.find(TEXT)]
    return [text for block in blocks if (text := " ".join(block.get_text().split()))]


@cache
def of_page(built, page):
    return paragraphs((built / f"{page.docname}.html").read_text(encoding="utf-8"))


def of_bank(stem):
    """The texts of a chapter's questions, of which its page shows five."""
    return [text for question in questions.load(stem)
            for shown in (question.text, question.explanation, *question.shown, *map(question.about, question.shown))
            for text in paragraphs(f"<p>{questions.html(re.sub(r'[$][^$]+[$]', 'X', str(shown)))}</p>")]


@cache
def linter():
    registry = CheckRegistry()
    registry.register_many(__register__)
    return DEFAULT | {"checks": dict.fromkeys(EXCEPTIONS, False) | DEFAULT["checks"]}  # the first that fits holds


def faults(text):
    """What the linter finds in a text."""
    return [f"{each.check_result.message}: {text}" for each in LintFile("a text", text).lint(linter())]


@cache
def checker():
    known = SpellChecker(language="en", distance=1)
    known.word_frequency.load_words(WORDS.read_text(encoding="utf-8").split())
    return known


def unknown(texts):
    """The words that neither the dictionary nor our list has."""
    return checker().unknown(words(texts))


def words(texts):
    """The words of three letters and more; what has a capital inside, as GRU4Rec or MovieLens, is a name."""
    found = re.findall(r"[A-Za-zÀ-ÿ]+(?:'[a-z]+)?", " ".join(texts).replace("’", "'"))
    found = {re.sub(r"'s?$", "", word) for word in found}
    return {word for word in found if len(word) > 2 and not re.search(r"\w[A-Z]", word)}


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "api"], ids=lambda page: page.stem)
def test_the_linter_finds_nothing_in_a_page(built, page):
    assert [fault for text in of_page(built, page) for fault in faults(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_word_of_a_page_is_spelt_right(built, page):
    assert unknown(of_page(built, page)) == set()


@pytest.mark.parametrize("page", [page for page in PAGES if page.number], ids=lambda page: page.stem)
def test_questions_are_spelt_right_and_plain(page):
    texts = of_bank(page.stem)
    assert unknown(texts) == set() and [fault for text in texts for fault in faults(text)] == []


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_what_stands_beside_the_book_is_spelt_right_and_plain(path):
    texts = paragraphs(MarkdownIt().render(path.read_text(encoding="utf-8")))
    assert unknown(texts) == set() and [fault for text in texts for fault in faults(text)] == []


def test_faults_would_be_found():
    html = "<p>The <code>sesions</code> are free gifts.</p><p>This is the the last clikc.</p><pre>clikc</pre>"
    texts = paragraphs(html)
    assert texts == ["The X0 are free gifts.", "This is the the last clikc."]
    assert len(faults(texts[0])) == len(faults(texts[1])) == 1
    assert unknown(texts) == {"clikc"}


def test_every_word_of_our_list_is_needed(built):
    """Each is in some text, in that form, and not in the dictionary; the list is in order."""
    texts = [text for page in PAGES for text in of_page(built, page)]
    texts += [text for page in PAGES if page.number for text in of_bank(page.stem)]
    texts += [text for path in OTHERS for text in paragraphs(MarkdownIt().render(path.read_text(encoding="utf-8")))]
    listed = WORDS.read_text(encoding="utf-8").split()
    assert listed == sorted(set(listed))
    assert set(map(str.lower, listed)) <= {word.lower() for word in words(texts)}
    assert set(map(str.lower, listed)) == SpellChecker(language="en").unknown(listed)
