"""The bug hunt: good tests get full marks, others a part, false alarms and tricks nothing."""

import csv
import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest

from tests.hunt_suites import SUITES, written_for
from tools import pages
from tools.grading.marks import warm_up
from tools.hunt import marks
from tools.hunt.__main__ import feedback, main
from tools.hunt.copies import CONVENTIONS, FAULTS, N_FAULTS, NAMES, SHOP, Copy, bodies, place_of

COPIES = [Copy(7, f"student {n}") for n in range(40)]


@pytest.fixture(scope="module", autouse=True)
def warm():
    warm_up()


def fails(suite, version):
    """The names of the tests of a suite that fail on a version, all in this process."""
    shop = type("shop", (), {})
    names = {}
    exec(version, names)
    for name, value in names.items():
        if callable(value):
            setattr(shop, name, staticmethod(value))
    tests = {"shop": shop}
    exec(suite.replace("import shop\n", ""), tests)
    failed = set()
    with np.errstate(all="ignore"):
        for name, test in tests.items():
            if name.startswith("test"):
                try:
                    test()
                except Exception:
                    failed.add(name)
    return failed


def test_every_fault_and_convention_is_drawn_and_none_twice_in_a_function():
    for copy in COPIES:
        assert len({place_of(fault) for fault in copy.faults}) == N_FAULTS
        assert Copy(7, copy.student).text(*copy.faults) == copy.text(*copy.faults) != copy.text()
    assert {fault for copy in COPIES for fault in copy.faults} == set(FAULTS)
    assert {name for copy in COPIES for name in copy.turned} == set(CONVENTIONS)
    assert {copy.names[name] for copy in COPIES for name in NAMES} == {*NAMES, *NAMES.values()}
    assert {place_of(fault) for fault in FAULTS} == set(NAMES) == set(bodies(SHOP)) - {"sigmoid"}
    assert Copy(8, "student 0").faults != COPIES[0].faults


def test_the_page_for_instructors_counts_right():
    page = " ".join((pages.ROOT / "book" / "instructors.md").read_text(encoding="utf-8").split())
    assert "some 150 lines with five faults" in page and "out of twenty-nine" in page and "five conventions" in page
    assert N_FAULTS == len(CONVENTIONS) == 5 and len(FAULTS) == 29 and 140 < SHOP.count("\n") < 170


@pytest.mark.parametrize("copy", COPIES[:3], ids=lambda copy: copy.student)
def test_the_reference_catches_every_fault_and_accepts_every_correct_version(copy):
    suite = written_for(copy, "reference")
    for name, version in {"as it should be": copy.text(), **copy.correct()}.items():
        assert fails(suite, version) == set(), name
    missed = [fault for fault in FAULTS if not fails(suite, copy.text(fault))]
    assert missed == []


def test_marks_of_suites():
    shares = {name: [marks.mark(copy, written_for(copy, name)).share for copy in COPIES[:2]] for name in SUITES}
    assert shares["reference"] == [1, 1] and shares["empty"] == shares["too strict"] == [0, 0]
    assert 0 <= sum(shares["shapes"]) < sum(shares["one example each"]) < sum(shares["edges by hand"]) < 2


def test_a_suite_for_another_copy_raises_false_alarms():
    mine, other = COPIES[0], next(copy for copy in COPIES if copy.turned != COPIES[0].turned)
    suite = written_for(other, "reference")
    for usual, name in other.names.items():  # somebody has even changed the names
        suite = suite.replace(f"shop.{name}(", f"shop.{mine.names[usual]}(")
    assert fails(suite, mine.text())


TRICKS = {
    "reads the recommender": "import inspect, shop\ndef test_a():\n    assert 'last.get' not in "
                             "inspect.getsource(shop.{read})",
    "says that all is well": "import sys\nsys.exit(0)",
    "fails always": "def test_a():\n    assert False",
    "ends the process": "import os\ndef test_a():\n    os._exit(0)",
    "no end": "while True: pass",
    "opens a file": "def test_a():\n    open('/etc/passwd')",
    "no python": "def test_a(:",
    "a test with arguments": "def test_a(x):\n    pass",
    "a huge argument": "import numpy as np, shop\n"
                       "def test_a():\n    shop.{draw}(np.ones(9), np.zeros(9, int), 10**10, 0)",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_earns_a_point(trick):
    copy = COPIES[0]
    tests = TRICKS[trick].replace("{read}", copy.names["read"]).replace("{draw}", copy.names["draw"])
    failed, _ = marks.run(copy, tests, copy.text())
    assert failed  # on a correct version, so it is a false alarm


def test_from_the_copies_to_the_grades(tmp_path):
    roster, hunt, handed_in = tmp_path / "roster.csv", tmp_path / "hunt", tmp_path / "handed in"
    roster.write_text("login,name\nada,\"Lovelace, Ada\"\nbob,Bob\ncarl,Carl\n", encoding="utf-8")
    handed_in.mkdir()
    with redirect_stdout(io.StringIO()):
        main(["make", str(hunt), "--students", str(roster), "--seed", "5"])
    with pytest.raises(SystemExit, match="lives there already"):
        main(["make", str(hunt), "--students", str(roster)])
    ada = Copy(5, "ada")
    mine = hunt / "students" / "ada"
    assert (mine / "shop.py").read_text(encoding="utf-8") == ada.text(*ada.faults)
    task = (mine / "README.md").read_text(encoding="utf-8")
    assert f"shop.{ada.names['bpr']}(" in task and "{" not in task.replace("{draw", "")
    assert not any(str(ada.seed) + " ada" in path.read_text(encoding="utf-8") for path in mine.iterdir())
    (handed_in / "Lovelace Ada_tests.py").write_text(written_for(ada, "reference"), encoding="utf-8")
    (handed_in / "bob_tests.py").write_bytes(b"\xff\xfe")
    (handed_in / "eve_tests.py").write_text("", encoding="utf-8")
    said = io.StringIO()
    with redirect_stdout(said):
        main(["grade", str(hunt), str(handed_in), "--roster", str(roster)])
    with open(hunt / "grades.csv", encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["ada"]["share"] == "1.0" and rows["ada"]["caught"] == rows["ada"]["of"] == str(N_FAULTS)
    assert rows["bob"]["share"] == rows["carl"]["share"] == "0" or float(rows["bob"]["share"]) == 0
    assert rows["carl"]["false alarms on"] == "nothing handed in"
    assert "Nobody called 'eve' has got a copy" in said.getvalue()
    page = (hunt / "feedback" / "ada.html").read_text(encoding="utf-8")
    assert all(fault[1:] in page for fault in ada.faults) and "Caught by" in page and "No test noticed" not in page
    secret = json.loads((hunt / "secret.json").read_text(encoding="utf-8"))
    (hunt / "secret.json").write_text(json.dumps(secret | {"seed": 6}), encoding="utf-8")
    with pytest.raises(SystemExit, match="makes other copies"):
        main(["grade", str(hunt), str(handed_in)])


def test_feedback_names_false_alarms_and_what_was_missed():
    copy = COPIES[0]
    verdict = marks.Verdict({"refactored": {"test_x": "AssertionError: <b>"}}, {fault: [] for fault in copy.faults}, 1)
    page = feedback(copy, verdict)
    assert "0% of the faults" in page and "“refactored”" in page and "&lt;b&gt;" in page
    assert page.count("No test noticed it.") == N_FAULTS
