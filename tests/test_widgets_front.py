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


@pytest.mark.parametrize("over", ["file", "http"])
def test_guesses_are_exact(show, over):
    page = show(NextClick(), over=over)
    clicks = [0, 1, 3]
    for item in (None, 4, 3, 2):
        if item is not None:
            page.get_by_role("button", name=ITEMS[item]).click()
            clicks.append(item)
        assert shown(page, 1) == pytest.approx(by_enumeration(clicks), abs=1e-12)
        assert shown(page, 2) == pytest.approx(by_enumeration(clicks[-1:]), abs=1e-12)
    page.get_by_role("button", name="New visitor").click()
    assert shown(page, 1) == shown(page, 2) == pytest.approx(by_enumeration([]), abs=1e-12)
    assert page.get_by_role("status").text_content() == "A new visitor: nothing is known yet."


def test_the_last_click_alone_is_misled_by_socks(show):
    page = show(NextClick())
    assert page.get_by_role("status").text_content() == (
        "Clicked: tent, stove, socks. Best guess from all clicks: boots, 27 %; from the last one alone: jeans, 21 %.")
    tent = page.get_by_role("button", name="tent")
    tent.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("status").text_content().startswith("Clicked: tent, stove, socks, tent.")
    assert page.evaluate("document.activeElement.textContent") == "tent"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_it_fits(show, screenshots, theme, width):
    page = show(NextClick(), theme=theme, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".rnnbook-widget").screenshot(path=screenshots / f"next-click-{theme}-{width}.png")
