"""The widget of the front page in a real browser."""

import itertools

import numpy as np
import pytest

from rnnbook.widgets import NextClick
from rnnbook.widgets.next_click import ITEMS, MOODS, STAY


def by_enumeration(clicks):
    """P(next item | clicks), [n_items]: the sum over every path of moods."""
    moods = np.array(MOODS)
    total = np.zeros(len(ITEMS))
    for path in itertools.product(range(2), repeat=len(clicks) + 1):
        weight = 0.5 * np.prod([STAY if a == b else 1 - STAY for a, b in itertools.pairwise(path)])
        total += weight * np.prod([moods[m, c] for m, c in zip(path, clicks)]) * moods[path[-1]]
    return total / total.sum()


def shown(page, column):
    cells = page.locator(f"tbody td:nth-of-type({column})").all()
    return [float(cell.get_attribute("data-value")) for cell in cells]


def click(page, name):
    page.get_by_role("button", name=name).click()


def status(page):
    return page.get_by_role("status").text_content()


@pytest.mark.parametrize("over", ["file", "http"])
def test_guesses_are_exact(show, over):
    page = show(NextClick(), over=over)
    click(page, "Be the visitor")
    clicks = [0, 1, 3]
    for item in (None, 4, 3, 2):
        if item is not None:
            click(page, ITEMS[item])
            clicks.append(item)
        assert shown(page, 1) == pytest.approx(by_enumeration(clicks), abs=1e-12)
        assert shown(page, 2) == pytest.approx(by_enumeration(clicks[-1:]), abs=1e-12)
    click(page, "Next visitor")
    assert shown(page, 1) == shown(page, 2) == pytest.approx(by_enumeration([]), abs=1e-12)
    assert status(page) == "A new visitor. Best guess from all clicks: jeans, 25 %; from the last click alone: none."


def test_the_reader_guesses_first_and_socks_mislead_the_last_click(show):
    page = show(NextClick(seed=1))
    assert status(page) == "Clicked: tent, stove and socks. Your guess?"
    assert page.locator("[data-value]").count() == 0 and page.get_by_text("%").count() == 0
    boots = page.get_by_role("button", name="boots")
    boots.focus()
    page.keyboard.press("Enter")
    assert status(page).endswith("All clicks say boots, 41 %; the last one alone jeans, 25 %.")
    assert page.evaluate("document.activeElement.textContent") == "Next visitor" and boots.is_disabled()
    page.keyboard.press("Enter")
    assert status(page).endswith("Your guess?") and page.locator("[data-value]").count() == 0


def test_the_score_is_what_was_seen_and_both_bars_have_one_scale(show):
    page, right = show(NextClick(seed=3)), {"You": 0, "The last click": 0, "All clicks": 0}
    for k in range(10):
        clicks = [ITEMS.index(card) for card in page.locator(".rb-card:not(.rb-next)").all_text_contents()]
        mine, last, best = ("boots", "socks")[k % 2], *(
            ITEMS[np.argmax(by_enumeration(known))] for known in (clicks[-1:], clicks))
        click(page, mine)
        came = page.locator(".rb-next").text_content()
        for line, who, guessed in zip(page.locator(".rb-score tr").all(), right, (mine, last, best), strict=True):
            right[who] += guessed == came
            assert line.locator("th").text_content() == who
            assert line.locator(".rb-number").text_content() == str(right[who])
            assert line.locator(".rb-open").count() == 9 - k
        widths = page.evaluate("""[...document.querySelectorAll(".rb-guess td")].map((cell) =>
            cell.querySelector(".rb-bar").offsetWidth / cell.clientWidth / cell.dataset.value)""")
        assert max(widths) - min(widths) < 0.15 * max(widths)  # whole pixels
        if k < 9:
            click(page, "Next visitor")
    you, last, best = right.values()
    assert status(page).startswith(f"After ten visitors: you {you}, the last click {last}, all clicks {best}. Without")
    click(page, "Ten more")
    assert page.locator(".rb-open").count() == 30


def test_visitors_follow_the_law_of_the_world(show):
    """Over 600 visitors the optimum is right as often as it says, within four standard errors; more often than the
    last click."""
    page = show(NextClick(seed=0))
    expected, hits = page.evaluate("""() => {
        const root = document.querySelector(".rnnbook-widget"), button = (name) =>
          [...root.querySelectorAll("button")].find((each) => each.textContent === name);
        const expected = [], hits = [];
        for (let k = 0; k < 600; k++) {
          button("tent").click();
          const came = root.querySelector(".rb-next").textContent;
          for (const column of [1, 2]) {
            const cells = [...root.querySelectorAll(`.rb-guess tbody td:nth-of-type(${column})`)];
            const best = cells.findIndex((cell) => cell.className === "rb-best");
            const all = root.querySelectorAll(".rb-guess tbody td:nth-of-type(1)");
            expected.push(Number(all[best].dataset.value));
            hits.push(Number(came === root.querySelectorAll(".rb-guess tbody button")[best].textContent));
          }
          (button("Next visitor") ?? button("Ten more")).click();
        }
        return [expected, hits];
    }""")
    expected, hits = np.array(expected).reshape(-1, 2), np.array(hits).reshape(-1, 2)
    spread = np.sqrt((expected * (1 - expected)).sum(0))
    assert (abs(hits.sum(0) - expected.sum(0)) < 4 * spread).all()
    assert expected[:, 0].mean() > expected[:, 1].mean() + 0.02


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_it_fits_and_does_not_move(show, screenshots, theme, width):
    page, heights = show(NextClick(seed=2), theme=theme, width=width), set()
    widget = page.locator(".rnnbook-widget")
    for k in range(19):
        heights.add(widget.bounding_box()["height"])
        click(page, "shirt" if k % 2 == 0 else "Next visitor")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    heights.add(widget.bounding_box()["height"])
    assert len(heights) == 1
    widget.screenshot(path=screenshots / f"next-click-{theme}-{width}.png")
