"""Which tests of a suite fail on which version of the recommender, and what that is worth."""

from __future__ import annotations

from dataclasses import dataclass

from tools.grading import answers, wire
from tools.grading.marks import Child, Stopped
from tools.hunt import suite


class Suite(Child):
    what = "The file of tests"


class Shop(Child):
    what = "The recommender"


@dataclass
class Verdict:
    """What came of a suite of tests."""

    alarms: dict  # {correct version: {name of a test that fails on it: why}}, without versions on which none fails
    caught: dict  # {fault of the copy: names of the tests that fail on it, [] where it was missed}
    n_tests: int

    @property
    def share(self):
        """The mark: the share of the faults that were caught, 0 after a false alarm."""
        return 0.0 if self.alarms else sum(map(bool, self.caught.values())) / len(self.caught)


def mark(copy, tests):
    """The verdict on a suite, the text of a file."""
    alarms, caught, n_tests = {}, {}, 0
    for name, version in copy.correct().items():
        failed, passed = run(copy, tests, version)
        n_tests = max(n_tests, len(failed) + len(passed))
        if failed:
            alarms[name] = failed
    for fault in copy.faults:
        failed, _ = run(copy, tests, copy.text(fault))
        caught[fault] = sorted(failed)
    return Verdict(alarms, caught, n_tests)


def run(copy, tests, version):
    """({name of a test that fails on this version: why}, [names of the others])"""
    try:
        with (Shop(answers.serve, version, [], [], False) as shop,
              Suite(suite.serve, tests, list(copy.names.values())) as asking):
            shop.reply()  # it is there
            while True:
                message = asking.reply()
                if "failed" in message:
                    return ({str(name): str(why) for name, why in dict(message["failed"]).items()},
                            list(map(str, message["passed"])))
                asking.connection.send_bytes(wire.pack(answer(shop, message["call"])))
    except Stopped as stopped:
        return {"the whole file": stopped.verdict.why}, []
    except (KeyError, TypeError, ValueError, OSError):
        return {"the whole file": "It sends what no test sends."}, []


def answer(shop, call):
    """What the recommender replies to a call; where its process has ended, that."""
    try:
        shop.connection.send_bytes(wire.pack(call))
        return shop.reply()
    except (Stopped, OSError) as ended:
        return {"error": str(ended), "kind": "RuntimeError"}
