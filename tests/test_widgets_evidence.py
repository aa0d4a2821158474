"""The widget of what the text bought in a real browser: what it shows equals the exact posterior of its world."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from test_widgets import EVIL, drag_to, status

from rnnbook.widgets import Evidence
from rnnbook.worlds import ReviewWorld

WORLD = ReviewWorld(n_items=30, n_users=12, n=4, noise=0.9)
DATA, _, LAST = WORLD.split(WORLD.sample())
ITEMS = ["item-3", "item-0", "item-29"]
READERS = ("ratings alone", "with the reviews")


def of(item, data=DATA):
    """Ratings, tokens, texts and users of an item's reviews, in the order of time."""
    rows = np.flatnonzero(data.ratings.items == int(item[5:]))
    return (data.ratings.ratings[rows], WORLD.tokens(data)[rows], [data.text(i) for i in rows],
            data.ratings.user_ids[data.ratings.users[rows]].tolist())


def number(text):
    return float(text.replace("−", "-"))


def posteriors(item, step):
    """Mean, sd and RMSE of the next rating, float64 [2, 3]: from the ratings alone, and with the words."""
    ratings, tokens = (each[:step] for each in of(item)[:2])
    told = [WORLD.posterior(ratings), WORLD.posterior(ratings, tokens)]
    return np.array([[mean, sd, np.sqrt(sd**2 + 0.9**2)] for mean, sd in told])


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="0 items"):
        Evidence(WORLD, DATA, [])
    with pytest.raises(ValueError, match="9 items"):
        Evidence(WORLD, DATA, ITEMS * 3)
    with pytest.raises(ValueError, match="'nothing' has no reviews"):
        Evidence(WORLD, DATA, ["item-3", "nothing"])
    unread = next(item for item in WORLD.item_ids if item not in LAST.ratings.item_ids[LAST.ratings.items])
    with pytest.raises(ValueError, match=f"'{unread}' has no reviews"):
        Evidence(WORLD, LAST, [unread])


def test_the_state_holds_the_posteriors_of_each_step():
    widget = Evidence(WORLD, DATA, ITEMS)
    assert widget.quality == pytest.approx(WORLD.quality[[3, 0, 29]], rel=1e-3) and widget.noise == 0.9
    assert (widget.item, widget.step) == (0, 4)
    for i, item in enumerate(ITEMS):
        ratings, tokens, texts, users = of(item)
        assert [(user, text) for user, _, text in widget.reviews[i]] == list(zip(users, texts))
        assert [rating for _, rating, _ in widget.reviews[i]] == pytest.approx(ratings, rel=1e-3)
        assert len(widget.known[i]) == len(widget.densities[i]) == 5
        for k in range(5):
            np.testing.assert_allclose(widget.known[i][k], posteriors(item, k), rtol=6e-4, atol=1e-9)
            alone, both = np.array(widget.densities[i][k])
            mean, sd = WORLD.posterior(ratings[:k])
            np.testing.assert_allclose(alone, norm.pdf(widget.qualities, mean, sd), rtol=0, atol=6e-4)
            np.testing.assert_allclose(both, WORLD.density(np.array(widget.qualities), ratings[:k], tokens[:k]),
                                       rtol=0, atol=6e-4)
            assert both.max() > alone.max() + 0.05 if k else (both == alone).all()
    assert widget.state() == Evidence(WORLD, DATA, ITEMS).state()


def test_later_reviews_do_not_move_earlier_steps():
    n = DATA.n_ratings // 2
    one, two = Evidence(WORLD, DATA.take(slice(n)), ITEMS), Evidence(WORLD, DATA, ITEMS)
    for i in range(3):
        assert one.known[i] == two.known[i][:3] and one.densities[i] == two.densities[i][:3]


@pytest.mark.parametrize("text", ["independent", "rating"])
def test_reviews_of_the_controls_buy_nothing(text):
    world = replace(WORLD, text=text)
    widget = Evidence(world, world.sample(), ITEMS)
    for kind in (widget.known, widget.densities):
        assert all(alone == both for item in kind for alone, both in item)


@pytest.mark.parametrize("over", ["file", "http"])
def test_it_answers_keys_and_shows_the_exact_values(show, over):
    page = show(Evidence(WORLD, DATA, ITEMS), over=over)

    def check(item, step):
        expected = posteriors(item, step)
        told = status(page)
        assert told.startswith(f"{item} after {step} of 4 reviews, of true quality ")
        assert number(told.split("of true quality ")[1].split(":")[0]) == pytest.approx(
            WORLD.quality[int(item[5:])], abs=0.0052)
        rows = page.locator("tr", has=page.locator("svg")).evaluate_all(
            "rows => rows.map(r => [...r.cells].map(c => c.textContent))")
        assert [row[0] for row in rows] == list(READERS)
        got = np.array([[number(cell) for cell in row[1:]] for row in rows])
        np.testing.assert_allclose(got[:, :2], expected[:, :2], rtol=0, atol=0.0057)
        np.testing.assert_allclose(got[:, 2], expected[:, 2], rtol=0, atol=0.0012)
        for (mean, sd, rmse), reader in zip([row[1:] for row in rows], READERS):
            assert f"{reader} {mean} ± {sd}" in told and f"{rmse} {reader}" in told
        read = page.get_by_role("region", name="reviews read so far").locator("tbody tr").evaluate_all(
            "rows => rows.map(r => [...r.cells].map(c => c.textContent))")
        ratings, _, texts, users = of(item)
        assert [row[:2] for row in read] == list(map(list, zip(texts, users)))[:step][::-1]
        assert [number(row[2]) for row in read] == pytest.approx(ratings[:step][::-1], abs=0.0057)

    def peaks():
        """Where the two curves of the density are highest, from the left in shares of the width."""
        return page.locator("svg[aria-label^=Densities] svg").evaluate("""plot =>
            [...plot.querySelectorAll('polyline')].map(line =>
                [...line.points].reduce((a, b) => (b.y < a.y ? b : a)).x / plot.width.baseVal.value)""")

    slider = page.get_by_role("slider", name="reviews read")
    check("item-3", 4)
    assert peaks() == pytest.approx((posteriors("item-3", 4)[:, 0] + 4) / 8, abs=0.012)
    slider.press("ArrowLeft")
    check("item-3", 3)
    page.keyboard.press("Home")
    check("item-3", 0)
    page.keyboard.press("ArrowRight")  # the focus stayed
    check("item-3", 1)
    assert slider.get_attribute("aria-valuetext") == "1 of 4"
    page.get_by_role("combobox", name="item").press("ArrowDown")
    check("item-0", 1)
    page.get_by_role("combobox", name="item").select_option("item-29")
    drag_to(page, "reviews read", 2)
    check("item-29", 2)
    assert peaks() == pytest.approx((posteriors("item-29", 2)[:, 0] + 4) / 8, abs=0.012)
    curve = page.locator("svg[aria-label^=RMSE]").get_attribute("aria-label")
    for reader, (_, _, rmse) in zip(READERS, posteriors("item-29", 4)):
        assert f"{reader}, from {np.hypot(1, 0.9):.3f} to " in curve
        assert float(curve.split(f"{reader}, from ")[1].split(" to ")[1][:5]) == pytest.approx(rmse, abs=0.0012)


def test_the_truth_is_marked(show):
    """At the same place whatever is known of it."""
    extreme = int(np.argmax(np.abs(WORLD.quality)))
    page = show(Evidence(WORLD, DATA, [f"item-{extreme}"]))
    for key in ("Home", "End"):
        page.get_by_role("slider", name="reviews read").press(key)
        cursor, width = page.locator("svg[aria-label^=Densities] svg").evaluate(
            "plot => [plot.querySelector('path.rb-axis').getAttribute('d'), plot.width.baseVal.value]")
        assert float(cursor[1:].split(" ")[0]) / width == pytest.approx((WORLD.quality[extreme] + 4) / 8, abs=0.003)


def test_names_and_texts_are_shown_as_text(show):
    widget = Evidence(WORLD, DATA, ITEMS)
    widget.items = [EVIL, *ITEMS[1:]]
    widget.reviews = [[[EVIL, 1.0, EVIL]] * 4, *widget.reviews[1:]]
    page = show(widget)
    assert EVIL in status(page) and page.title() == "page" and page.locator("img").count() == 0
    assert page.get_by_role("region", name="reviews read so far").text_content().count(EVIL) == 8


def test_a_single_review_is_enough(show):
    world = ReviewWorld(n=1)
    train, _, _ = world.split(world.sample())
    page = show(Evidence(world, train, ["item-0"]))
    assert status(page).startswith("item-0 after 1 of 1 reviews")
    page.get_by_role("slider", name="reviews read").press("Home")
    assert status(page).startswith("item-0 after 0 of 1 reviews")
    assert status(page).endswith("1.414 ratings alone and 1.414 with the reviews.") and "NaN" not in page.content()


def test_the_state_is_small():
    world = ReviewWorld(n=10)
    widget = Evidence(world, world.split(world.sample())[0], world.item_ids[:5])
    assert len(json.dumps(widget.state(), separators=(",", ":"))) < 60_000


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_no_overflow_and_screenshots(show, screenshots, theme, width):
    widget = Evidence(WORLD, DATA, ITEMS)
    widget.items = [widget.items[0], "an-item-" * 12, widget.items[2]]
    page = show(widget, theme=theme, width=width)
    for step in range(4):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator(".rnnbook-widget")
        if step == 1:
            box.screenshot(path=screenshots / f"evidence-{theme}-{width}.png")
        assert box.evaluate("""el => [...el.querySelectorAll("svg[role] text")].every(t => {
            const [a, b] = [t.getBoundingClientRect(), el.getBoundingClientRect()];
            return a.left >= b.left && a.right <= b.right; })""")
        assert box.evaluate("""el => [...el.querySelectorAll(".rb-scroll, .rb-status, table")].every(
            t => t.scrollWidth <= t.clientWidth && t.scrollWidth <= t.parentNode.clientWidth)""")
        page.get_by_role("slider", name="reviews read").press("ArrowLeft")
        if step == 1:
            page.get_by_role("combobox", name="item").press("ArrowDown")
