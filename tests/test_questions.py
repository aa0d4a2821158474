"""The bank of questions: whole, right, and the same for Moodle, for QTI and on the page."""

import math
import re
import zipfile
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
import yaml

from tools import book, book_sphinx, course, pages, questions, slides

CHAPTERS = course.chapters()
BANK = {page.stem: questions.load(page.stem) for page in CHAPTERS}
EVERY = [question for bank in BANK.values() for question in bank]
Q = f"{{{questions.QTI}}}"

per_chapter = pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)

# The numeric answers, computed anew and where possible in another way than the bank explains them
COMPUTED = {
    "rnn-count-weights": lambda: 8 * (3 + 8 + 1) + 4 * 8,
    "rnn-chunk-looks-back": lambda: sum(range(9)) / 9,
    "rnn-norm-bound": lambda: math.prod([0.5] * 4),
    "rnn-half-open-ten": lambda: 1 / (1 / (1 + math.exp(0))) ** 10,
    "rnn-no-memory": lambda: max(0.9 / 4 + 3 * (0.1 / 3) / 4 for _ in range(4)),
    "gru-count-predictions": lambda: sum(len(range(1, n)) for n in (3, 2, 6)),
    "gru-lift-of-a-lamp": lambda: 15 / 5,
    "gru-top1-floor": lambda: 1 / (1 + math.exp(50 - 0)) + 1 / (1 + math.exp(-(0**2))),
    "gru-conservative-rank": lambda: sum(score >= 0.5 for score in (0.5, 0.9, 0.5, 0.5, 0.1)),
    "improved-clicks-read": lambda: sum(len(range(r)) for r in range(1, 10)),
    "improved-best-lambda-value": lambda: min(
        (value / 1000 for value in range(1001)), key=lambda w: w**2 * 0.1 + (1 - 2 * w + w**2) / 10),
    "improved-soft-labels": lambda: 500 * 10_000 / 1e6,
    "rrn-weight-of-age": lambda: 0.9 * 0.9,
    "rrn-taste-left": lambda: 0.9 * 0.9 * 0.9,
    "rrn-gain": lambda: 3 / (3 + 1),
    "rrn-same-instant": lambda: sum(time < 4 for time in (1, 4, 4, 5)),
    "joint-precision": lambda: 1 + 2 * (1 / 1**2 + 1 / 0.5**2),
    "joint-ratings-per-review": lambda: (1 / 1**2 + 1 / 0.5**2) * 1**2,
    "joint-best-rmse": lambda: math.hypot(math.sqrt(1 / 2), 1),
    "joint-perplexity": lambda: math.exp(-math.log(1 / 20)),
    "after-mingru-step": lambda: 4 + 0.25 * (8 - 4),
    "after-join": lambda: 0.25 * (0.5 * 0 + 4) + 1,
    "after-rounds": lambda: math.ceil(math.log2(100)),
    "after-lru-share": lambda: abs((0.8 * complex(math.cos(2), math.sin(2))) ** 3),
    "after-drawn-negative": lambda: 1 / (100 * 0.02),
}

VALID = {
    "id": "a-question", "kind": "choice", "section": "Exercises", "text": "Is $a < b$ & c?", "right": "Yes: `a < b`",
    "why": "Since $a < b$.", "wrong": [{"text": "No", "why": "It is."}, {"text": "Maybe", "why": "It is certain."}],
}


def beliefs(page):
    """What students of a chapter come believing, in the words of the page for instructors."""
    text = (pages.ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
    section = next(part for part in text.split("\n### ") if f"<{page.stem}>`. *Afterwards" in part)
    said = re.search(r"\*They come believing\* that (.+?)\.(?= |\n|$)", re.sub(r"\s*\([^)]*\)", "", section), re.S)[1]
    return re.split(r",? and that |, that ", " ".join(said.split()))


def test_ids_are_unique_in_the_whole_book():
    assert len({question.id for question in EVERY}) == len(EVERY)


@per_chapter
def test_a_chapter_has_enough_questions_of_every_kind(page):
    kinds = [question.kind for question in BANK[page.stem]]
    assert len(kinds) >= 12 and kinds.count("choice") >= 5
    assert kinds.count("numeric") >= 3 and kinds.count("order") >= 2


@per_chapter
def test_five_are_asked_from_memory_and_one_reaches_back(page):
    asked = [question for question in BANK[page.stem] if question.memory]
    assert len(asked) == 5
    assert sum(bool(question.reaches) for question in asked) == (page.number > 1)


@per_chapter
def test_every_misconception_is_a_wrong_answer(page):
    named = {wrong.believed for question in BANK[page.stem] for wrong in question.wrong} - {""}
    assert len(beliefs(page)) >= 3
    assert named == set(beliefs(page))


def test_numeric_answers_are_right():
    numeric = {question.id: question for question in EVERY if question.kind == "numeric"}
    assert numeric.keys() == COMPUTED.keys()
    for name, compute in COMPUTED.items():
        assert abs(compute() - numeric[name].right) <= min(numeric[name].tolerance, 1e-3) + 1e-9, name


def test_the_order_of_what_is_left_is_that_of_the_numbers():
    left = [(1 / (1 + math.exp(-bias))) ** 40 for bias in (0, 1)] + [0.9**40, (1 / (1 + math.exp(-3))) ** 40]
    assert left == sorted(left) and len(next(q for q in EVERY if q.id == "rnn-what-is-left").right) == len(left)


def test_neither_place_nor_length_gives_the_right_answer_away():
    choices = [question for question in EVERY if question.kind == "choice"]
    places = [question.shown.index(question.right) for question in choices]
    assert max(places.count(place) for place in range(4)) < 0.4 * len(choices)
    longest = [len(question.right) == max(map(len, question.shown)) for question in choices]
    assert sum(longest) < 0.5 * len(choices)
    assert all(question.shown != question.right for question in EVERY if question.kind == "order")


@pytest.mark.parametrize("change,message", [
    ({"kind": "essay"}, "no mapping with a kind out of choice, numeric, order"),
    ({"why": None}, "lacks why"),
    ({"hint": "None"}, "has an unknown hint"),
    ({"id": "Ä b"}, "has an id that is not made of"),
    ({"section": "Nowhere"}, "names a section that is not in the chapter, 'Nowhere'"),
    ({"text": "A $ alone"}, "has a \\$ or a ` without its partner"),
    ({"right": "No"}, "has an answer twice"),
    ({"right": 3}, "is a choice with 3 as its answer"),
    ({"wrong": [{"text": "No", "why": "It is."}]}, "has fewer than three answers"),
    ({"wrong": [{"text": "No"}]}, "missing 1 required positional argument: 'why'"),
    ({"reaches": "01_rnn"}, "reaches back to no earlier chapter"),
    ({"reaches": "03_improved", "memory": True}, "reaches back to no earlier chapter"),
    ({"kind": "numeric", "right": 2, "tolerance": 0.5, "how": "1 + 1", "wrong": [{"text": 2.5, "why": "It is 2."}]},
     "has two numbers that one answer can mean"),
])
def test_a_faulty_question_is_named_with_its_file(tmp_path, change, message):
    entry = {key: value for key, value in (VALID | change).items() if value is not None}
    path = tmp_path / "02_gru4rec.yml"
    path.write_text(yaml.safe_dump([VALID]), encoding="utf-8")
    assert questions.load("02_gru4rec", tmp_path)[0].right == "Yes: `a < b`"
    path.write_text(yaml.safe_dump([entry]), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        questions.load("02_gru4rec", tmp_path)
    assert str(error.value).startswith(f"02_gru4rec.yml, question {entry['id']}: ")
    path.write_text(yaml.safe_dump([VALID, VALID]), encoding="utf-8")
    with pytest.raises(ValueError, match="question a-question: another question has the same id"):
        questions.load("02_gru4rec", tmp_path)


def special():
    return questions.read(VALID, CHAPTERS[1])


def test_maths_code_and_special_characters():
    assert questions.html("a < b & $c < d$, `e && f`") == \
        r"a &lt; b &amp; \(c &lt; d\), <code>e &amp;&amp; f</code>"


# Moodle


@per_chapter
def test_moodle_gets_every_question_with_one_right_answer(page):
    asked = ET.fromstring(questions.moodle(page, BANK[page.stem])).findall("question")
    assert asked[0].get("type") == "category" and asked[0].findtext("category/text").startswith("$course$/top/")
    assert [one.findtext("name/text") for one in asked[1:]] == [question.id for question in BANK[page.stem]]
    for one, question in zip(asked[1:], BANK[page.stem], strict=True):
        answers = one.findall("answer")
        texts = [answer.findtext("text") for answer in answers]
        if question.kind == "order":
            assert one.get("type") == "ordering" and texts == [questions.html(part) for part in question.right]
            assert one.findtext("shownumcorrect") == "1"  # Moodle 4.5 cannot read the question without it
            continue
        assert one.get("type") == {"choice": "multichoice", "numeric": "numerical"}[question.kind]
        right = [text for text, answer in zip(texts, answers) if answer.get("fraction") == "100"]
        assert right == [questions.html(question.right)]
        assert one.findtext("generalfeedback/text")  # is said of the right answer; each wrong one has its own
        assert all(bool(answer.findtext("feedback/text")) == (answer.get("fraction") == "0") for answer in answers)
        if question.kind == "numeric":
            assert {float(answer.findtext("tolerance")) for answer in answers} == {question.tolerance}
            assert answers[0].get("fraction") == "100"  # the first that fits counts


def test_no_blank_stands_between_escaped_characters_where_moodle_drops_it():
    text = questions.moodle(CHAPTERS[1], [replace(special(), text="Is `a < b` & `c > d`?")]).decode()
    assert "<![CDATA[Is <code>a &lt; b</code> &amp; <code>c &gt; d</code>?]]>" in text


def test_moodle_reads_html_that_is_escaped():
    one = ET.fromstring(questions.moodle(CHAPTERS[1], [special()])).findall("question")[1]
    assert one.findtext("questiontext/text") == r"Is \(a &lt; b\) &amp; c?"  # HTML, in XML that was read
    assert "Yes: <code>a &lt; b</code>" in [answer.findtext("text") for answer in one.findall("answer")]


# QTI


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    questions.write(folder)
    assert {path.name for path in folder.iterdir()} == {
        f"{page.stem}-{form}" for page in CHAPTERS for form in ("moodle.xml", "qti.zip")}
    return folder


@per_chapter
def test_a_package_holds_what_its_manifest_says(packages, page):
    with zipfile.ZipFile(packages / f"{page.stem}-qti.zip") as packed:
        manifest = ET.fromstring(packed.read("imsmanifest.xml"))
        listed = [file.get("href") for file in manifest.iter(f"{{{questions.PACKAGE}}}file")]
        assert listed == [f"{question.id}.xml" for question in BANK[page.stem]]
        assert sorted(packed.namelist()) == sorted(["imsmanifest.xml", *listed])
        for question in BANK[page.stem]:
            assert_item_is(question, ET.fromstring(packed.read(f"{question.id}.xml")))


def assert_item_is(question, item):
    """The item declares the right response, scores it alone, and has something to say to every response."""
    declared = item.find(f"{Q}responseDeclaration")
    values = [value.text for value in declared.iter(f"{Q}value")]
    choices = {choice.get("identifier"): choice for choice in item.iter(f"{Q}simpleChoice")}
    interaction = {"choice": "choiceInteraction", "numeric": "textEntryInteraction", "order": "orderInteraction"}
    asked = list(item.iter(f"{Q}{interaction[question.kind]}"))
    assert item.get("identifier") == question.id and len(asked) == 1
    assert asked[0].get("responseIdentifier") == declared.get("identifier") == "RESPONSE"
    if question.kind == "numeric":
        assert declared.get("baseType") == "float" and values == [str(question.right)]
        for test in item.iter(f"{Q}equal"):
            for either in test.get("tolerance").split():
                assert float(either) == pytest.approx(question.tolerance, rel=2e-6) and "e" not in either
        [equal, *_] = item.iter(f"{Q}equal")  # an answer at the bound counts, in binary numbers too
        assert abs(round(question.right - question.tolerance, 9) - question.right) <= float(
            equal.get("tolerance").split()[0])
    else:
        right = question.right if question.kind == "order" else [question.right]
        assert declared.get("cardinality") == ("ordered" if question.kind == "order" else "single")
        assert [read_back(choices[value]) for value in values] == list(map(questions.html, right))
        assert len(choices) == len(question.shown)
    processing = item.find(f"{Q}responseProcessing/{Q}responseCondition")
    scored = [case.tag for case in processing
              if any(rule.get("identifier") == "SCORE" for rule in case.iter(f"{Q}setOutcomeValue"))]
    assert scored == [f"{Q}responseIf"] and processing[-1].tag == f"{Q}responseElse"
    set_to = [rule[0].text for rule in processing.iter(f"{Q}setOutcomeValue") if rule.get("identifier") == "FEEDBACK"]
    assert set_to == [feedback.get("identifier") for feedback in item.findall(f"{Q}modalFeedback")]
    assert all("".join(feedback.itertext()).strip() for feedback in item.findall(f"{Q}modalFeedback"))


def read_back(choice):
    """The HTML inside an element of an item."""
    whole = ET.tostring(choice, encoding="unicode").replace("ns0:", "")
    return re.sub(r"^<[^>]+>|</[^>]+>\s*$", "", whole)


def test_qti_reads_what_is_escaped():
    item = ET.fromstring(questions.document(questions.qti_item(special())))
    assert "".join(item.find(f".//{Q}prompt").itertext()) == r"Is \(a < b\) & c?"
    assert_item_is(special(), item)


def test_the_same_questions_make_the_same_bytes(packages, tmp_path):
    questions.write(tmp_path)
    assert all(path.read_bytes() == (packages / path.name).read_bytes() for path in tmp_path.iterdir())


# The page, the notebooks, the slides


class App:
    """As much of Sphinx as a page asks for while it is read."""
    env = type("Environment", (), {"note_dependency": lambda self, path: None})()


@per_chapter
def test_the_page_asks_its_five_with_folded_answers(page):
    source = [page.source.read_text(encoding="utf-8")]
    assert source[0].count("## From memory\n\n") == source[0].count(f"<!-- questions {page.stem} -->") == 1
    book_sphinx.on_source_read(App, page.docname, source)
    asked = [question for question in BANK[page.stem] if question.memory]
    assert "<!-- questions" not in source[0] and source[0].count(":::{dropdown} Answer ") == 5
    section = re.search(r"^## From memory\n(.*?)^## ", source[0], re.M | re.S)[1]
    shown = re.sub(r":::\{dropdown\}.*?:::\n", "", section, flags=re.S)
    for question in asked:
        assert question.text in shown and question.why in section and question.why not in shown
    assert all(f"**5.** {question.text}" in shown for question in asked if question.reaches)


@per_chapter
def test_notebooks_ask_them_too_and_slides_do_not(page):
    student = "\n".join(cell.source for cell in course.student(page).cells)
    asked = [question for question in BANK[page.stem] if question.memory]
    assert "<!-- questions" not in student
    assert len(re.findall(r"<details><summary><b>Answer \d</b></summary>", student)) == 5
    assert all(question.text in student and question.explanation in student for question in asked)
    deck = [slide for row in slides.Deck(page, book.executions()[page]).rows() for slide in row]
    assert not any(question.text in slide.text + slide.answer for slide in deck for question in asked)


def test_answers_of_every_kind_on_a_page():
    order = questions.Question("o", "order", "", "Sort.", ["one", "two", "three"], "As they are.", memory=True)
    number = questions.Question("n", "numeric", "", "How many?", 0.5, "Few.", how="$1/2$.", tolerance=0, memory=True)
    text = questions.from_memory([replace(special(), memory=True, reaches="01_rnn"), order, number])
    assert "1. one\n2. two\n3. three\n\nAs they are." in text and "- one\n- two\n- three" not in text
    assert ":::{dropdown} Answer 2\n**0.5.** Few. $1/2$.\n:::" in text
    assert text.index("**3.** Is $a < b$") > text.index("**2.** How many?")
    believed = replace(special(), wrong=(questions.Wrong("No", "It is.", "nothing is"),))
    assert believed.about("No") == "Many believe that nothing is. It is."
