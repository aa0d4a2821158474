"""The bank of questions: book/questions/<chapter>.yml to Moodle XML, to QTI 2.1, and to the end of the chapter's page.

A question is a mapping with these keys:

    id, kind    a name of its own; choice, numeric or order
    section     the heading of the chapter that it belongs to
    text        with $maths$ and `code`, and no other markup; so are all texts below
    right       the right option, the number, or the list in the right order
    why         the explanation, one or two sentences
    wrong       for choice, and where wanted for numeric: a list of answers, each with text, why it is wrong and, where
                it is one of those that students come believing, the belief in the words of book/instructors.md
    tolerance, how    for numeric: how far off an answer may be, and how to compute it
    memory      true for the five that the page asks at its end
    reaches     of these the one about an earlier chapter: that chapter's stem
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from dataclasses import dataclass
from decimal import Decimal
from html import escape, unescape
from itertools import combinations
from xml.etree import ElementTree as ET

import yaml

from tools import pages

FOLDER = pages.ROOT / "book" / "questions"
PLACEHOLDER = re.compile(r"<!-- questions (\S+) -->")  # in a page, where its questions from memory go

NEEDED = {"id", "kind", "section", "text", "right", "why"}
OF_KIND = {"choice": {"wrong"}, "numeric": {"tolerance", "how"}, "order": set()}
OPTIONAL = {"memory", "reaches"}


@dataclass(frozen=True)
class Wrong:
    text: str | float
    why: str
    believed: str = ""


@dataclass(frozen=True)
class Question:
    id: str
    kind: str
    section: str
    text: str
    right: str | float | list
    why: str
    wrong: tuple = ()
    tolerance: float = 0
    how: str = ""
    memory: bool = False
    reaches: str = ""

    @property
    def explanation(self):
        return f"{self.why} {self.how}".strip()

    @property
    def shown(self):
        """The options, or the parts to be put in order, in an order that gives nothing away and is always the same."""
        every = self.right if self.kind == "order" else [self.right, *(wrong.text for wrong in self.wrong)]
        mixed = sorted(every, key=lambda text: hashlib.sha256(f"{self.id} {text}".encode()).digest())
        return mixed[::-1] if mixed == self.right else mixed

    def about(self, option):
        """What to say to somebody who has chosen this option."""
        for wrong in self.wrong:
            if wrong.text == option:
                return f"Many believe that {wrong.believed}. {wrong.why}" if wrong.believed else wrong.why
        return self.explanation


def load(stem, folder=FOLDER):
    """The questions of a chapter; a ValueError names the file and the question that is not as it should be."""
    path, found = folder / f"{stem}.yml", []
    page = next(page for page in pages.toc() if page.stem == stem)
    for n, entry in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")), 1):
        try:
            question = read(entry, page)
            if question.id in {other.id for other in found}:
                raise ValueError("another question has the same id")
        except (ValueError, TypeError) as error:
            name = entry.get("id", n) if isinstance(entry, dict) else n
            raise ValueError(f"{path.name}, question {name}: {error}") from None
        found.append(question)
    return found


def read(entry, page):
    if not isinstance(entry, dict) or entry.get("kind") not in OF_KIND:
        raise ValueError(f"is no mapping with a kind out of {', '.join(OF_KIND)}")
    kind, needed = entry["kind"], NEEDED | OF_KIND[entry["kind"]]
    allowed = needed | OPTIONAL | ({"wrong"} if kind == "numeric" else set())
    for names, fault in ((needed - entry.keys(), "lacks"), (entry.keys() - allowed, "has an unknown")):
        if names:
            raise ValueError(f"{fault} {', '.join(sorted(names))}")
    question = Question(**entry | {"wrong": tuple(Wrong(**wrong) for wrong in entry.get("wrong", ()))})
    check(question, page)
    return question


def check(question, page):
    type_of_right = {"choice": str, "numeric": (int, float), "order": list}[question.kind]
    texts = [str(text) for text in (question.text, question.why, question.how, *question.shown,
                                    *(wrong.why for wrong in question.wrong))]
    headings = re.findall(r"^##+ (.+)$", page.source.read_text(encoding="utf-8"), re.M)
    taken = [question.right, *(wrong.text for wrong in question.wrong)]
    for fault, found in {
        f"is a {question.kind} with {question.right!r} as its answer": not isinstance(question.right, type_of_right),
        "has an id that is not made of letters, digits and hyphens": not re.fullmatch(r"[a-z][a-z0-9-]*", question.id),
        f"names a section that is not in the chapter, {question.section!r}": question.section not in headings,
        "has a $ or a ` without its partner": any(text.count("$") % 2 or text.count("`") % 2 for text in texts),
        "has an answer twice": len({str(text) for text in question.shown}) < len(question.shown),
        "has fewer than three answers": question.kind != "numeric" and len(question.shown) < 3,
        "has two numbers that one answer can mean, within the tolerance": question.kind == "numeric" and any(
            abs(a - b) <= 2.001 * question.tolerance for a, b in combinations(taken, 2)),
        "reaches back to no earlier chapter": question.reaches and not (question.memory and question.reaches in {
            other.stem for other in pages.toc() if other.number and other.number < page.number}),
    }.items():
        if found:
            raise ValueError(fault)


# The page


def filled(text):
    """A page's text with its questions from memory in place of the comment that asks for them."""
    return PLACEHOLDER.sub(lambda match: from_memory(load(match[1])), text)


def from_memory(questions):
    """MyST: what is to be answered from memory, the question about an earlier chapter last, the answers folded."""
    asked = sorted((question for question in questions if question.memory), key=lambda question: bool(question.reaches))
    parts = ["Answer these without looking back, if you can a day after reading. Then open the answers."]
    for n, question in enumerate(asked, 1):
        choice = question.kind == "choice"
        letters = dict(zip(question.shown, "abcdefgh"))
        parts.append(f"**{n}.** {question.text}")
        if question.kind == "order":
            parts.append("\n".join(f"- {part}" for part in question.shown))
            answer = "\n".join(f"{place}. {part}" for place, part in enumerate(question.right, 1))
            answer += f"\n\n{question.explanation}"
        else:
            answer = f"**{letters[question.right] if choice else f'{question.right:g}'}.** {question.explanation}"
        if choice:
            # a line each, and no list: its bullets would stand before the letters
            parts.append("\\\n".join(f"**{letter}.** {option}" for option, letter in letters.items()))
            answer += "".join(f"\n\n**{letter}.** {question.about(option)}"
                              for option, letter in letters.items() if option != question.right)
        parts.append(f":::{{dropdown}} Answer {n}\n{answer}\n:::")
    return "\n\n".join(parts)


# What both formats share


def html(text):
    r"""HTML of a text, its maths between \( and \): Moodle knows these, and so does MathJax wherever it is loaded."""
    marked = {"$": r"\({}\)", "`": "<code>{}</code>"}
    parts = re.split(r"(\$[^$]+\$|`[^`]+`)", str(text))
    return "".join(marked[part[0]].format(escape(part[1:-1], quote=False)) if n % 2 else escape(part, quote=False)
                   for n, part in enumerate(parts))


def element(tag, *children, **attributes):
    """An XML element around other elements, or around a text, which is escaped."""
    made = ET.Element(tag, {name.rstrip("_"): str(value) for name, value in attributes.items()})
    if children and not ET.iselement(children[0]):
        made.text, children = str(children[0]), children[1:]
    made.extend(children)
    return made


def document(root):
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


# Moodle XML


def moodle(page, questions):
    """Bytes: the questions of a chapter as Moodle imports them, into a category of the chapter's own."""
    category = element("category", element("text", f"$course$/top/rnnbook/{page.title.replace('/', '//')}"))
    quiz = element("quiz", element("question", category, type="category"), *map(moodle_question, questions))
    ET.indent(quiz)
    # Moodle drops a blank between two escaped characters, but not in CDATA.
    return re.sub(rb"(?<=<text>)([^<]*&[^<]*)(?=</text>)",
                  lambda text: f"<![CDATA[{unescape(text[1].decode())}]]>".encode(), document(quiz))


def moodle_question(question):
    def rich(tag, text):
        return element(tag, element("text", html(text)), format="html")

    def answer(option):
        right = option == question.right
        feedback = "" if right else question.about(option)  # of the right one: it is the general feedback
        made = element("answer", element("text", html(option)), rich("feedback", feedback),
                       fraction=100 if right else 0, format="html")
        if question.kind == "numeric":
            made.append(element("tolerance", question.tolerance))
        return made

    kind = {"choice": "multichoice", "numeric": "numerical", "order": "ordering"}[question.kind]
    made = element("question", element("name", element("text", question.id)), rich("questiontext", question.text),
                   rich("generalfeedback", question.explanation), element("defaultgrade", 1),
                   element("tags", element("tag", element("text", question.section))), type=kind)
    if question.kind == "order":
        settings = {"layouttype": "VERTICAL", "selecttype": "ALL", "selectcount": len(question.right),
                    "gradingtype": "ALL_OR_NOTHING",  # as in QTI; Moodle marks an order that nobody has touched
                    "shownumcorrect": 1}  # without it the import stops with an error of the database
        made.extend(element(name, value) for name, value in settings.items())
        # Moodle goes by the order in the file; in its own exports the fraction is the place
        made.extend(element("answer", element("text", html(part)), fraction=place, format="html")
                    for place, part in enumerate(question.right, 1))
        return made
    if question.kind == "choice":
        settings = {"single": "true", "shuffleanswers": "true", "answernumbering": "abc"}
        made.extend(element(name, value) for name, value in settings.items())
    # Of a number Moodle takes the first answer in the file that fits, so the right one stands first.
    made.extend(map(answer, sorted(question.shown, key=lambda option: (
        question.kind == "numeric" and option != question.right))))
    return made


# QTI 2.1

QTI = "http://www.imsglobal.org/xsd/imsqti_v2p1"
PACKAGE = "http://www.imsglobal.org/xsd/imscp_v1p1"


def qti(page, questions, path):
    """Write the questions of a chapter as a QTI 2.1 package: a manifest and a file for each, in one zip."""
    resources = [element("resource", element("file", href=f"{question.id}.xml"), identifier=question.id,
                         type="imsqti_item_xmlv2p1", href=f"{question.id}.xml") for question in questions]
    manifest = element("manifest", element("metadata", element("schema", "QTIv2.1 Package"),
                                           element("schemaversion", "1.0.0")),
                       element("organizations"), element("resources", *resources),
                       xmlns=PACKAGE, identifier=f"rnnbook-{page.stem}")
    files = {"imsmanifest.xml": manifest} | {f"{question.id}.xml": qti_item(question) for question in questions}
    with zipfile.ZipFile(path, "w") as packed:
        for name, root in files.items():
            packed.writestr(zipfile.ZipInfo(name), document(root), zipfile.ZIP_DEFLATED)  # the same bytes each time


def qti_item(question):
    def rich(tag, text, **attributes):
        made = ET.fromstring(f"<{tag}>{html(text)}</{tag}>")
        made.attrib.update(attributes)
        return made

    names = {} if question.kind == "numeric" else {
        option: f"option-{n}" for n, option in enumerate(question.shown, 1)}
    choices = [rich("simpleChoice", option, identifier=name) for option, name in names.items()]
    prompt = rich("prompt", question.text)
    response = {"responseIdentifier": "RESPONSE"}
    if question.kind == "choice":
        asked = element("choiceInteraction", prompt, *choices, shuffle="true", maxChoices=1, **response)
    elif question.kind == "order":
        asked = element("orderInteraction", prompt, *choices, shuffle="true", **response)
    else:
        entry = element("textEntryInteraction", expectedLength=12, **response)
        asked = element("div", rich("p", question.text), element("p", entry))

    correct = [names[part] for part in question.right] if question.kind == "order" else [
        names[question.right] if names else decimal(question.right)]
    answers = {"right": question.right} | {f"wrong-{n}": wrong.text for n, wrong in enumerate(question.wrong, 1)}
    cases = [element("responseElseIf" if case != "right" else "responseIf", qti_condition(question, answer, names),
                     *([outcome("SCORE", "float", 1)] if case == "right" else []),
                     outcome("FEEDBACK", "identifier", case)) for case, answer in answers.items()]
    cases.append(element("responseElse", outcome("FEEDBACK", "identifier", "otherwise")))
    feedback = {case: question.about(answer) for case, answer in answers.items()} | {"otherwise": question.explanation}
    return element(
        "assessmentItem",
        element("responseDeclaration",
                element("correctResponse", *(element("value", part) for part in correct)),
                identifier="RESPONSE", cardinality="ordered" if question.kind == "order" else "single",
                baseType="float" if question.kind == "numeric" else "identifier"),
        element("outcomeDeclaration", element("defaultValue", element("value", 0)),
                identifier="SCORE", cardinality="single", baseType="float", normalMaximum=1),
        element("outcomeDeclaration", identifier="FEEDBACK", cardinality="single", baseType="identifier"),
        element("itemBody", asked),
        element("responseProcessing", element("responseCondition", *cases)),
        *(rich("modalFeedback", text, outcomeIdentifier="FEEDBACK", identifier=case, showHide="show")
          for case, text in feedback.items()),
        xmlns=QTI, identifier=question.id, title=question.id, adaptive="false", timeDependent="false")


def qti_condition(question, answer, names):
    """Whether the response is this answer."""
    given = element("variable", identifier="RESPONSE")
    if question.kind == "numeric":
        either = decimal(question.tolerance * 1.000001)  # in binary 1.225 − 0.005 is more than 1.22
        return element("equal", given, element("baseValue", decimal(answer), baseType="float"),
                       toleranceMode="absolute", tolerance=f"{either} {either}")
    if answer == question.right:
        return element("match", given, element("correct", identifier="RESPONSE"))
    return element("match", given, element("baseValue", names[answer], baseType="identifier"))


def decimal(number):
    """A number without an exponent, which not every reader of QTI takes."""
    return f"{Decimal(str(number)):f}"


def outcome(name, kind, value):
    return element("setOutcomeValue", element("baseValue", value, baseType=kind), identifier=name)


def write(folder):
    """Write the questions of all chapters for Moodle and as QTI."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages.toc():
        if page.number:
            questions = load(page.stem)
            (folder / f"{page.stem}-moodle.xml").write_bytes(moodle(page, questions))
            qti(page, questions, folder / f"{page.stem}-qti.zip")
