"""The widgets of chapter 3 in a real browser: what they show equals what the package computes."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from test_widgets import EVIL, drag_to, shown_as_text, status

from rnnbook.improved import prefixes
from rnnbook.widgets import DistillationExplorer, PrefixExplorer
from rnnbook.widgets.distillation import COUNTS
from rnnbook.worlds import BayesFilter, FutureChain

SESSIONS = [list("abcdefgh"), ["a", "b"], list("caba")]


# --- prefixes and click deletion --------------------------------------------------------------------------


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="0 sessions"):
        PrefixExplorer([])
    with pytest.raises(ValueError, match="a session of 9 clicks"):
        PrefixExplorer([["a", "b"], list("abcdefghi")])
    with pytest.raises(ValueError, match="session is 4"):
        PrefixExplorer(session=4)
    with pytest.raises(Exception, match="rate"):
        PrefixExplorer(rate=1.0)
    with pytest.raises(ValueError, match="a chain of 9 items"):
        DistillationExplorer(FutureChain(9))
    with pytest.raises(ValueError, match="context is 6"):
        DistillationExplorer(context=6)
    with pytest.raises(Exception, match="past"):
        DistillationExplorer(sees="past")


def test_draws_are_fixed_by_the_seed():
    assert PrefixExplorer(seed=1).state() == PrefixExplorer(seed=1).state() != PrefixExplorer(seed=2).state()


def shown(page):
    """The rows of pairs on the page."""
    return page.locator(".rb-pairs tbody tr:visible").evaluate_all("""rows => rows.map((row) => {
      const chips = [...row.querySelectorAll(".rb-item")];
      const target = chips.pop();
      const number = (name) => Number(row.querySelector(`[data-name=${name}]`).textContent);
      return {items: chips.map((c) => c.textContent), kept: chips.map((c) => !c.matches(".rb-struck")),
              target: target.textContent, state: number("state"), batch: number("batch")};
    })""")


def costs(page, form):
    return [int(text) for text in page.locator(f"tr[data-form={form}] td").all_text_contents()]


def test_rows_are_the_pairs_of_the_package(show):
    page = show(PrefixExplorer(SESSIONS, rate=0.0))
    for s, items in enumerate(SESSIONS):
        page.get_by_role("radio", name=f"{'ABC'[s]}, ").click()
        assert [(row["items"], row["target"]) for row in shown(page)] == prefixes(items)
        n = len(items)
        assert costs(page, "prefixes") == [n * (n - 1) // 2, 0, n * (n - 1) // 2, 0]
        assert costs(page, "positions") == [n - 1, 0, n - 1, 0]
        assert [row["state"] for row in shown(page)] == list(range(1, n))


@pytest.mark.parametrize("form", ["prefixes", "positions"])
def test_deletions_states_and_batches_equal_numpys(show, form):
    widget = PrefixExplorer(SESSIONS, batch_size=3, form=form)
    page = show(widget)
    pairs_before = np.cumsum([0, *(len(items) - 1 for items in SESSIONS)])
    for draw, (session, rate) in enumerate(itertools.product([0, 2], [0.05, 0.4, 0.9])):
        page.get_by_role("radio", name=f"{'ABC'[session]}, ").click()
        drag_to(page, "deletion rate", rate)
        u = widget.uniform[draw][session]
        kept = [np.array(u[r] if form == "prefixes" else u[-1][: r + 1]) >= rate for r in range(len(u))]
        first = pairs_before[session] if form == "prefixes" else session
        batch = [1 + int(first + r * (form == "prefixes")) // 3 for r in range(len(u))]
        rows = shown(page)
        assert [row["kept"] for row in rows] == [k.tolist() for k in kept]
        assert [row["state"] for row in rows] == [int(k.sum()) for k in kept]
        assert [row["batch"] for row in rows] == batch
        assert [(row["items"], row["target"]) for row in rows] == prefixes(SESSIONS[session])
        given = np.concatenate(kept if form == "prefixes" else kept[-1:])
        empty = sum(not k.any() for k in kept)
        assert costs(page, form) == [len(given), int((~given).sum()), int(given.sum()), empty]
        assert f"{len(u)} pairs; the network reads {given.sum()} of {len(given)} clicks" in status(page)
        page.get_by_role("button", name="Draw again").click()


@pytest.mark.parametrize("over", ["file", "http"])
def test_prefix_explorer_answers_clicks_and_keys(show, over):
    page = show(PrefixExplorer(rate=0.0), over=over)
    assert status(page).startswith("Session A: 6 pairs; the network reads 21 of 21 clicks. ")
    assert "Pair 3, batch 1: torch is predicted from the state after 3 clicks (tent, stove, jeans)" in status(page)
    page.locator(".rb-pairs tbody tr").nth(1).locator(".rb-target").click()
    assert "Pair 2, batch 1: jeans" in status(page)
    page.get_by_role("radio", name="2", exact=True).press("ArrowDown")
    assert "Pair 3, batch 1: torch" in status(page)
    page.keyboard.press("ArrowDown")  # the focus stayed
    assert "Pair 4, batch 2: rope" in status(page)
    page.get_by_role("radio", name="fast form").click()
    assert "the network reads 6 of 6 clicks" in status(page)
    chosen = page.locator(".rb-state.rb-chosen:visible")
    assert chosen.all_text_contents() == ["4", "4"]  # in the pass and in the row
    page.get_by_role("slider", name="deletion rate").press("End")
    for n in range(2, 9):
        page.get_by_role("button", name="Draw again").press("Enter")
        assert page.get_by_role("button", name=f"({n} of 8)").is_visible()
    drag_to(page, "batch size", 1)
    page.get_by_role("radio", name="A, 7 clicks").press("ArrowLeft")  # round to the last session
    assert status(page).startswith("Session D: 1 pair;") and "Pair 1, batch 4: bulb" in status(page)


def test_an_empty_prefix_is_predicted_from_the_zero_state(show):
    widget = PrefixExplorer([["a", "b"]], rate=0.9, form="positions")
    widget.draw = next(d for d, u in enumerate(widget.uniform) if u[0][0][0] < 0.9)
    page = show(widget)
    assert costs(page, "positions") == [1, 1, 0, 1] and "b is predicted from the zero state" in status(page)
    assert shown(page)[0]["state"] == 0


def optimum(widget, clicks):
    """P(next item | clicks) in the explorer's shop, float64 [n_items], by the package's filter."""
    n, stay = len(widget.emission), widget.stay
    best = BayesFilter(np.array(widget.items), np.full(n, 1 / n), stay * np.eye(n) + (1 - stay) / n,
                       np.array(widget.emission))
    return next(iter(best.scorer([[widget.items.index(c) for c in clicks]])(slice(None), np.arange(len(widget.items)))))


def predicted(page):
    """What the bars say of each listed item: {name: [given all clicks, given the kept ones]}; their widths agree."""
    rows = page.locator(".rb-shop li").evaluate_all("""rows => rows.map((row) => [
      row.querySelector(".rb-name").textContent, ...[...row.querySelectorAll(".rb-bar")].map((bar) =>
        [Number(bar.dataset.value), bar.getBoundingClientRect().width / bar.parentNode.clientWidth])])""")
    scale = {round(width / p, 2) for _, *bars in rows for p, width in bars if width > 0.1}
    assert max(scale) - min(scale) < 0.15  # one scale, from zero
    return {name: [p for p, _ in bars] for name, *bars in rows}


@pytest.mark.parametrize("form", ["prefixes", "positions"])
def test_a_struck_click_changes_the_prediction_as_the_package_says(show, form):
    widget = PrefixExplorer(rate=0.0, form=form)
    page, row = show(widget), widget.sessions[0]
    pair = page.locator(".rb-pairs tbody tr").nth(3)
    pair.locator(".rb-target").click()
    for struck in ([], [2], [2, 0], [0], [0, 1, 2, 3]):
        for e in range(4):
            chip = pair.locator("button").nth(e)
            if (e in struck) != chip.evaluate("chip => chip.matches('.rb-struck')"):
                chip.focus()
                chip.press("Enter" if e % 2 else "Space")
                assert chip.evaluate("chip => chip === document.activeElement")
        kept = [item for e, item in enumerate(row[:4]) if e not in struck]
        expected = dict(zip(widget.items, zip(optimum(widget, row[:4]).tolist(), optimum(widget, kept).tolist())))
        shown_bars = predicted(page)
        assert shown_bars.keys() == expected.keys()
        for name, values in shown_bars.items():
            assert values == pytest.approx(expected[name], rel=1e-9)
        assert f"Its probability is {100 * expected['rope'][1]:.0f} %" in status(page)
        others = [r["kept"] for r in shown(page)]
        assert others[5][:4] == [e not in struck if form == "positions" else True for e in range(4)]
    page.get_by_role("button", name="Draw again").click()
    assert all(all(r["kept"]) for r in shown(page))


def test_an_accident_struck_out_makes_the_prediction_better(show):
    """What the explorer begins with: the jeans among the tents."""
    widget = PrefixExplorer()
    target = widget.items.index("torch")
    assert optimum(widget, ["tent", "stove"])[target] > 1.5 * optimum(widget, ["tent", "stove", "jeans"])[target]


def test_items_are_shown_as_text(show):
    page = show(PrefixExplorer([[EVIL, "b", EVIL]], rate=0.9))
    assert shown_as_text(page) and EVIL in page.locator(".rb-pairs").text_content()


# --- distillation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chain", [FutureChain(), FutureChain(4, 1.0, seed=3)], ids=["default", "four items"])
def test_lessons_in_the_browser_equal_the_package(new_tab, chain):
    cases = list(itertools.product(range(chain.n_items), ["future", "both"], [0.0, 0.37, 1.0], [1, 30, 1000]))
    page = new_tab()
    got = page.evaluate(
        """async ([source, P, stationary, cases]) => {
             const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
             const { lesson } = await import(url);
             return cases.map(([i, sees, strength, n]) => {
               const { mean, student, error, best } = lesson(P, stationary, i, sees);
               return { mean, student: student(strength), ...error(strength, n), best: best(n) };
             });
           }""",
        [DistillationExplorer._esm, chain.transition.tolist(), chain.stationary.tolist(), cases])
    for (i, sees, strength, n), result in zip(cases, got, strict=True):
        P, mean = chain.transition[i], chain.teacher_mean(sees)[i]
        assert result["mean"] == pytest.approx(mean, abs=1e-9)
        assert result["student"] == pytest.approx((1 - strength) * P + strength * mean, abs=1e-9)
        assert result["total"] == pytest.approx(chain.error(strength, n, sees)[i], rel=1e-6)
        assert result["bias"] == pytest.approx(chain.error(strength, np.inf, sees)[i], rel=1e-6, abs=1e-12)
        assert result["bias"] + result["variance"] == pytest.approx(result["total"], rel=1e-12)
        least = minimize_scalar(lambda s, i=i, n=n, sees=sees: chain.error(s, n, sees)[i], bounds=(0, 1))
        assert result["best"] == pytest.approx(least.x, abs=1e-4)


def values(page, table):
    return [[float(td.get_attribute("data-value")) for td in row.locator("td").all()]
            for row in page.locator("table").nth(table).locator("tbody tr").all()]


@pytest.mark.parametrize("over", ["file", "http"])
def test_distillation_explorer_shows_the_package_values(show, over):
    chain = FutureChain()
    page = show(DistillationExplorer(context=0, strength=0.3, sees="future", n=10), over=over)

    def check(i, strength, sees, n):
        P, mean = chain.transition[i], chain.teacher_mean(sees)[i]
        rows = [P, mean, (1 - strength) * P + strength * mean]
        assert np.array(values(page, 0)) == pytest.approx(np.array(rows), abs=1e-6)
        bias, variance, error, best = values(page, 1)
        chosen = ["future", "both"].index(sees)
        for k, teacher in enumerate(["future", "both"]):
            assert error[k] == pytest.approx(chain.error(strength, n, teacher)[i], rel=1e-6)
            assert bias[k] + variance[k] == pytest.approx(error[k], rel=1e-9)
            assert chain.error(best[k], n, teacher)[i] <= min(chain.error(s, n, teacher)[i] + 1e-12
                                                              for s in np.linspace(0, 1, 101))
        told = page.locator(".rb-part").evaluate_all("parts => parts.map((part) => [+part.dataset.value, "
                                                     "parseFloat(part.style.width) / 100])")
        share = bias[chosen] / error[chosen]  # one scale from zero to all of the error
        assert told == [pytest.approx([v, v], abs=1e-5) for v in (share, 1 - share)]
        apart = np.abs(mean - P).sum() / 2
        assert f"is {apart:.3g} (total variation)" in status(page) or apart < 1e-12

    check(0, 0.3, "future", 10)
    page.get_by_role("slider", name="strength").press("ArrowRight")
    check(0, 0.31, "future", 10)
    page.get_by_role("radio", name="rope", exact=True).click()
    check(4, 0.31, "future", 10)
    page.keyboard.press("ArrowLeft")
    drag_to(page, "times seen", len(COUNTS) - 1)
    check(3, 0.31, "future", 1000)
    page.get_by_role("radio", name="sees past and future").click()
    drag_to(page, "strength", 1)
    drag_to(page, "times seen", 0)
    check(3, 1.0, "both", 1)
    assert "A student with λ = 1.00 who saw mat once: bias² 0 + variance" in status(page)
    assert "is 0 (total variation)" in status(page)


def test_bias_overtakes_variance_as_n_grows(show):
    """With the teacher of the future alone the columns rise from little to nearly all; the other has no bias."""
    chain, page = FutureChain(), show(DistillationExplorer())
    for sees in ("future", "both"):
        page.get_by_role("radio", name={"future": "future alone", "both": "past and future"}[sees]).click()
        full, top = page.get_by_role("img", name="shares of bias").evaluate("""svg => [0, 1].map((i) =>
          [...svg.querySelectorAll(".rb-chip")].filter((_, k) => k % 2 === i)
            .map((g) => Number(g.querySelector("rect").getAttribute("height"))))""")
        expected = [chain.error(0.5, np.inf, sees)[0] / chain.error(0.5, n, sees)[0] for n in COUNTS]
        assert np.array(full) / 104 == pytest.approx(expected, abs=1e-6)
        assert np.array(full) + top == pytest.approx(np.full(len(COUNTS), 104), abs=1e-9)
        assert (expected[0] < 0.1 and expected[-1] > 0.9) if sees == "future" else max(expected) < 1e-9
