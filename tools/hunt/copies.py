"""The text of each version of the recommender: a student's copy, each fault alone, and the correct ones."""

from __future__ import annotations

import ast
import builtins
import random
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from threading import Lock

HERE = Path(__file__).parent
SHOP = (HERE / "shop.py").read_text(encoding="utf-8")
PARSING = Lock()
N_FAULTS = 5  # in a copy, in five different functions

# Two ways that both are in use. For each: (what the docstring says, what the code does), the one and the other.
CONVENTIONS = {
    "split": (("its last click is at", "time[-1] >="), ("its first click is at", "time[0] >=")),
    "gru": (("state is z * h + (1 - z) * c.", "z * h + (1 - z) * c\n"),
            ("state is (1 - z) * h + z * c.", "(1 - z) * h + z * c\n")),
    "draw": (("in proportion to its clicks,", "weights = counts.astype(float)"),
             ("in proportion to the square root of its clicks,", "weights = np.sqrt(counts)")),
    "ranks": (("Other items with the target's score all stand before it.", "better + equal + 1"),
              ("Of the other items with the target's score, half stand before it.", "better + equal / 2 + 1")),
    "measure": (("In the mean a rank above k counts 0.", "(hit / rank).mean"),
                ("The mean is over all ranks, also those above k.", "(1 / rank).mean")),
}

# {fault: (the right code, the wrong code)}. Five faults are a convention that the docstring does not ask for.
FAULTS = {f"the other convention of {name}": name for name in CONVENTIONS} | {
    "cutoff left out": (">= cutoff for", "> cutoff for"),
    "last click never predicted": ("range(len(session) - 1)", "range(max(len(session) - 2, 0))"),
    "only the first session of a lane begins": ("n == 0) for", "n == 0 and not queue) for"),
    "a lane ends with the shortest": ("n_steps = max(", "n_steps = min("),
    "gate r forgotten": ("(r * h) @ U", "h @ U"),
    "gates exchanged": ("    r, z = np", "    z, r = np"),
    "no reset": ("np.zeros(d) if is_first else last[lane]", "last.get(lane, np.zeros(d))"),
    "reset of all lanes": ("np.zeros(d) if is_first else", "np.zeros(d) if any(entry[3] for entry in step) else"),
    "sign of the loss": ("negatives - target[:, None]).mean", "target[:, None] - negatives).mean"),
    "logarithm forgotten": ("np.logaddexp(0, negatives - target[:, None])", "sigmoid(negatives - target[:, None])"),
    "uniform negatives": ("    p = weights / weights.sum()", "    p = np.ones(len(weights)) / len(weights)"),
    "the target as a negative": ("same := drawn == targets[:, None]",
                                 "same := drawn == np.arange(len(targets))[:, None]"),
    "ties for the model": ("return better + equal", "return better + 0 * equal"),
    "rank k is no hit": ("rank <= k", "rank < k"),
    "mask turned round": ("np.where(seen, -np.inf, scores)", "np.where(seen, scores, -np.inf)"),
    "only the last click masked": ("row[history] = True", "row[history[-1:]] = True"),
    "rows and columns exchanged": ("counts[before, after] += 1", "counts[after, before] += 1"),
    "across the end of a session": ("    for session in sessions:\n        for before,",
                                    "    for session in [sum(map(list, sessions), [])]:\n        for before,"),
    "columns add up to one": ("counts.sum(axis=1, keepdims=True)", "counts.sum(axis=0, keepdims=True)"),
    "leak of the next click": ("scores = P[before]", "scores = P[after]"),
    "sampled metric": ("ranks(scores, after)", "ranks(np.where(np.arange(len(P)) % 2 == after[:, None] % 2, scores, "
                                               "-np.inf), after)"),
    "only the last click judged": ("in pairwise(session)]\n    before",
                                   "in pairwise(session[-2:])]\n    before"),
    "leak of the rating": ("ratings[times < time].mean() if (times < time)",
                           "ratings[times <= time].mean() if (times <= time)"),
    "all ratings at once": ("ratings[times < time].mean()", "ratings.mean()"),
}

# The other name that a function may have
NAMES = {"split": "parts", "lanes": "batches", "gru": "cell", "read": "run", "bpr": "pair_loss",
         "draw": "negatives_for", "ranks": "places", "measure": "summary", "unseen": "without_seen",
         "transitions": "chain", "evaluate": "judge", "foretell": "expected"}


@dataclass(frozen=True)
class Copy:
    """What is drawn for a student: the same for the same seed and name."""

    seed: int
    student: str

    @cached_property
    def drawn(self):
        """(conventions that are the other way, names that are the other one, faults)"""
        rng = random.Random(f"{self.seed} {self.student}")
        turned = {name for name in CONVENTIONS if rng.random() < 0.5}
        renamed = {name: other for name, other in NAMES.items() if rng.random() < 0.5}
        order, faults = rng.sample(sorted(FAULTS), len(FAULTS)), {}
        for fault in order:
            faults.setdefault(place_of(fault), fault)
        return turned, renamed, list(faults.values())[:N_FAULTS]

    @property
    def turned(self):
        return self.drawn[0]

    @property
    def faults(self):
        return self.drawn[2]

    @property
    def names(self):
        """{name of a function in shop.py: its name in this copy}"""
        return {name: self.drawn[1].get(name, name) for name in NAMES}

    def text(self, *faults):
        """The recommender with this copy's conventions and names, and with some faults."""
        text = SHOP
        for name in self.turned:
            for one, other in zip(*CONVENTIONS[name]):
                text = exchanged(text, one, other)
        for fault in faults:
            text = exchanged(text, *self.change(fault))
        return self.renamed(text)

    def change(self, fault):
        """(right code, wrong code) in this copy."""
        change = FAULTS[fault]
        if isinstance(change, str):
            (_, one), (_, other) = CONVENTIONS[change]
            return (other, one) if change in self.turned else (one, other)
        return change

    def correct(self):
        """{what is different: a correct version}"""
        return {"refactored": self.replaced("refactored.py"), "other names inside": other_names(self.text()),
                "another order": self.replaced("reordered.py")}

    def replaced(self, file):
        """The recommender with the functions that stand in another file."""
        functions = (HERE / file).read_text(encoding="utf-8")
        for name in self.turned:
            functions = functions.replace(CONVENTIONS[name][0][1], CONVENTIONS[name][1][1])
        found, text = bodies(self.renamed(functions)), self.text()
        for name, body in bodies(text).items():
            text = text.replace(body, found.get(name, body))
        return text

    def renamed(self, text):
        for name, other in self.drawn[1].items():
            text = re.sub(rf"(?<![\w.]){name}\(", f"{other}(", text)
        return text


def parsed(text):
    """The syntax tree; one at a time, since in two threads at once Python 3.11 may lose count of its depth."""
    with PARSING:
        return ast.parse(text)


def bodies(text):
    """{name of a function: its source}"""
    return {node.name: ast.get_source_segment(text, node) for node in parsed(text).body
            if isinstance(node, ast.FunctionDef)}


@cache
def place_of(fault):
    """The function in which a fault is planted."""
    change = FAULTS[fault]
    return change if isinstance(change, str) else next(name for name, body in bodies(SHOP).items() if change[0] in body)


def exchanged(text, old, new):
    if text.count(old) != 1:
        raise ValueError(f"{old!r} stands {text.count(old)} times in the recommender")
    return text.replace(old, new)


def other_names(text):
    """The same code without docstrings, its local variables called v0, v1, ..."""
    tree = parsed(text)
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        function.body = function.body[1:]
        arguments = {argument.arg for argument in function.args.args}
        local = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)
                 and isinstance(node.ctx, ast.Store)} - arguments - set(dir(builtins))
        new = {name: f"v{n}" for n, name in enumerate(sorted(local))}
        for node in ast.walk(function):
            if isinstance(node, ast.Name):
                node.id = new.get(node.id, node.id)
    return ast.unparse(tree)
