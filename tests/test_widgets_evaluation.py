"""The laboratory of protocols in a real browser: its numbers are the package's."""

import itertools
import json
import re

import numpy as np
import pytest
from test_widgets import status

from rnnbook import metrics
from rnnbook.benchmarks.evaluation import (CHOICES, ENDS, HONEST, LAST, MODELS, RARE, REPEAT, SASREC, UNSEEN, Split,
                                           by_session, differences, encode, interval)
from rnnbook.widgets import EvaluationLab
from rnnbook.widgets.base import source

pytestmark = pytest.mark.browser
CODE = re.sub(r"^export.*$", "", source("evaluation_lab.js"), flags=re.MULTILINE)
N_ITEMS, N_NEGATIVES = 300, 100


def small_split(seed, n_sessions=25, alone=False):
    """A Split of random sessions whose scores have many ties; a model is the better the later it stands."""
    rng = np.random.default_rng(seed)
    support = rng.integers(1, 60, size=N_ITEMS)
    session, flags, counts = [], [], []
    for s in range(n_sessions):
        clicked = rng.integers(60, size=1 + rng.integers(1, 6))
        known = rng.random(len(clicked)) > 0.1 * (not alone)
        for at in range(len(clicked) - 1 if alone else 1, len(clicked)):
            target, seen, ends = clicked[at], clicked[:at], at == len(clicked) - 1
            session.append(s)
            flags.append(LAST * int(known[at] and not known[at + 1:].any()) + REPEAT * int(target in seen)
                         + RARE * int(support[target] < 20 and known[at]) + UNSEEN * int(not known[at])
                         + ENDS * int(ends))
            scores = rng.integers(9, size=(len(MODELS), N_ITEMS))
            scores[:, target] += np.arange(len(MODELS))
            counts.append(np.zeros((2, 1 + 2 * len(MODELS), 4), dtype=np.int64))
            for c, (least, repeats) in enumerate(itertools.product((0, 20), (True, False))):
                candidate = support >= least
                candidate[target] = False
                if not repeats:
                    candidate[seen] = False
                for w, weight in enumerate((np.ones(N_ITEMS, dtype=np.int64), support)):
                    lines = [candidate, *(side for row in scores for side in (row > row[target], row == row[target]))]
                    counts[-1][w, :, c] = [(weight * candidate * line).sum() for line in lines]
    return Split(np.unique(session, return_inverse=True)[1], np.array(flags),
                 np.where((np.array(flags) & UNSEEN > 0)[:, None, None, None], 0, counts))


SPLITS = {"time": small_split(0), "leave-one-out": small_split(1, alone=True)}
LAB = {"models": list(MODELS), "negatives": N_NEGATIVES, "frequent": 20, "choices": CHOICES,
       "presets": [["the book's", {}], ["as in SASRec's code", SASREC], ["no repeats", {"repeats": "left out"}]],
       "events": {name: encode(split) for name, split in SPLITS.items()}}


def some_settings():
    """The book's, each switch turned alone, and 40 settings at random."""
    rng = np.random.default_rng(0)
    yield HONEST
    for name, values in CHOICES.items():
        yield from (HONEST | {name: value} for value in values[1:])
    for _ in range(40):
        yield {name: values[rng.integers(len(values))] for name, values in CHOICES.items()}


def expected(setting):
    """[(mean, half)] of each model."""
    sums, sizes = by_session(SPLITS[setting["split"]], setting)
    return [interval(each, sizes) for each in sums]


@pytest.fixture(scope="module")
def computed(browser):
    """What the browser computes for all of the settings, and the differences of all pairs."""
    page = browser.new_page()
    found = page.evaluate("([lab, settings]) => {" + CODE + """
        const figures = newLab(lab);
        return settings.map((setting) => {
            const { scores, predictions, sessions, order, difference } = figures(setting);
            const pairs = lab.models.flatMap((_, a) => lab.models.slice(a + 1).map((_, i) => difference(a, a + 1 + i)));
            return { scores, predictions, sessions, order, pairs }; }); }""", [LAB, list(some_settings())])
    page.close()
    return found


def test_the_browsers_numbers_are_the_packages(computed):
    for setting, found in zip(some_settings(), computed, strict=True):
        np.testing.assert_allclose(found["scores"], expected(setting), rtol=1e-9, atol=1e-12, err_msg=str(setting))
        means = [mean for mean, _ in found["scores"]]
        assert [means[m] for m in found["order"]] == sorted(means, reverse=True)


def test_the_browsers_differences_are_the_packages(computed):
    for setting, found in zip(some_settings(), computed, strict=True):
        pairs = list(differences(SPLITS[setting["split"]], setting).values())
        np.testing.assert_allclose(found["pairs"], pairs, rtol=1e-7, atol=1e-12, err_msg=str(setting))


def test_the_settings_differ(computed):
    """Each switch changes a number; so a switch that did nothing would be seen above."""
    honest, *turned = computed[:1 + sum(len(values) - 1 for values in CHOICES.values())]
    for found in turned:
        assert found["scores"] != honest["scores"]


def test_the_interval_is_the_bootstraps():
    sums, sizes = by_session(SPLITS["time"], HONEST | {"metric": "mrr"})
    rng = np.random.default_rng(0)
    picked = rng.integers(len(sizes), size=(4000, len(sizes)))
    for each in sums[2:]:
        low, high = np.quantile(each[picked].sum(1) / sizes[picked].sum(1), [0.025, 0.975])
        assert 2 * interval(each, sizes)[1] == pytest.approx(high - low, rel=0.1)


def test_what_is_stored_is_read_back(computed):
    split = SPLITS["time"]
    settings = list(some_settings())
    assert computed[0]["predictions"] == (split.flags & UNSEEN == 0).sum()
    assert computed[settings.index(HONEST | {"unseen": "missed"})]["predictions"] == len(split.flags)
    assert computed[0]["sessions"] == len(np.unique(split.session[split.flags & UNSEEN == 0]))


def test_a_setting_that_is_none_is_refused():
    with pytest.raises(ValueError, match="among must be one of all, uniform, popularity, not 'some'"):
        EvaluationLab(LAB, among="some")


def rows(page):
    return page.locator(".rb-figures tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.cells].map(c => c.textContent))")


def turn(page, label, option):
    page.get_by_role("combobox", name=label).select_option(option)


@pytest.mark.parametrize("over", ["file", "http"])
def test_it_shows_the_scores_in_their_order(show, over):
    page = show(EvaluationLab(LAB), over=over)

    def look(setting):
        figures = expected(setting)
        order = sorted(range(len(MODELS)), key=lambda m: -figures[m][0])
        by_book = sorted(range(len(MODELS)), key=lambda m: -expected(HONEST)[m][0])
        for place, (m, row) in enumerate(zip(order, rows(page))):
            mean, half = figures[m]
            before = by_book.index(m)
            assert row == [str(place + 1), MODELS[m], f"{mean:.3f}",
                           f"[{mean - half:.3f}, {mean + half:.3f}]".replace("-", "−"),
                           f"{before + 1}{'' if before == place else ' ▲' if before > place else ' ▼'}"]
        name = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG"}[setting["metric"]]
        assert status(page).startswith(f"{name}@{setting['k']}, ")
        picture = page.locator("svg[role=img]").get_attribute("aria-label")
        assert picture.startswith(f"{name}@{setting['k']}: {MODELS[order[0]]} {figures[order[0]][0]:.3f}")

    look(HONEST)
    assert status(page).endswith("This is the book's protocol. Turn a switch.")
    turn(page, "ranked among", f"{N_NEGATIVES}, by popularity")
    turn(page, "metric", "NDCG")
    look(HONEST | {"among": "popularity", "metric": "ndcg"})
    assert "2 switches are not the book's." in status(page)
    slider = page.get_by_role("slider", name="K")
    for _ in range(10):
        slider.press("ArrowLeft")
    look(HONEST | {"among": "popularity", "metric": "ndcg", "k": 10})
    turn(page, "protocol", "as in SASRec's code")
    look(HONEST | SASREC)
    for label in ("predicted is", "mean over", "items new that day"):
        assert page.get_by_role("combobox", name=label).is_disabled()
    turn(page, "held out", "the last day")
    assert page.get_by_role("combobox", name="protocol").evaluate("s => s.selectedOptions[0].text") == "your own"
    turn(page, "protocol", "the book's")
    look(HONEST)


def test_pairs_that_change_places_are_named(show):
    page = show(EvaluationLab(LAB, ties="standard"))
    was, now = (differences(SPLITS["time"], HONEST | changed) for changed in ({}, {"ties": "standard"}))
    turned = [pair for pair in was if was[pair][0] * now[pair][0] < 0]
    clear = [pair for pair in turned if all(abs(each[pair][0]) > each[pair][1] for each in (was, now))]
    words = f"{len(turned)} pair{'s have' if len(turned) > 1 else ' has'} changed places, {len(clear)} of them clearly"
    assert (words if turned else "All models keep their order.") in status(page)


def test_a_link_opens_what_it_was_made_of(show):
    page = show(EvaluationLab(LAB))
    before = status(page)
    page.evaluate("location.hash = '#EvaluationLab:split=leave-one-out&among=uniform&k=3&metric=mrr&ties=random'")
    page.wait_for_function("text => document.querySelector('[role=status]').textContent !== text", arg=before)
    assert status(page).startswith("MRR@3, ") and "4 switches are not the book's." in status(page)
    turn(page, "metric", "Recall")
    page.wait_for_url("**metric=recall**")
    opened = status(page)
    page.reload()
    page.wait_for_function("document.querySelector('[role=status]')?.textContent.length > 0")
    assert status(page) == opened


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_it_fits_and_keeps_its_height(show, screenshots, theme, width):
    page, heights = show(EvaluationLab(LAB), theme=theme, width=width), set()
    widget = page.locator(".rnnbook-widget")
    for label, option in [("held out", "the last day"), ("a tied target is", "first: standard"), ("metric", "MRR"),
                          ("ranked among", f"{N_NEGATIVES}, by popularity"), ("items clicked before", "left out"),
                          ("catalogue", "20 clicks or more"), ("protocol", "as in SASRec's code")]:
        turn(page, label, option)
        heights.add(widget.bounding_box()["height"])
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert widget.evaluate("el => [...el.querySelectorAll('.rb-scroll, .rb-status, table')].every("
                               "t => t.scrollWidth <= t.clientWidth && t.scrollWidth <= t.parentNode.clientWidth)")
    widget.screenshot(path=screenshots / f"evaluation-{theme}-{width}.png")
    assert len(heights) == 1, heights


def test_the_state_of_the_books_own_fits_on_the_page():
    state = json.dumps(EvaluationLab().state(), separators=(",", ":"))
    assert len(state) < 450_000


def test_the_books_own_lab_shows_the_result_files_sample(show):
    """Its scores by the book are those of the whole day, as nearly as a sample of sessions can be."""
    from rnnbook import results

    page, whole = show(EvaluationLab()), results.rows("evaluation", "recall@20")
    for _, model, score, *_ in rows(page):
        assert float(score) == pytest.approx(whole[model]["mean"], abs=0.06)
    assert metrics.METRICS == tuple(CHOICES["metric"])
