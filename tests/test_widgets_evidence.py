"""The widget of what the text bought in a real browser: what it shows equals the exact posterior of its world."""

import json
from dataclasses import replace

import numpy as np
import pytest
from test_widgets import EVIL, drag_to, status

from rnnbook.widgets import Evidence
from rnnbook.widgets.base import HERE
from rnnbook.widgets.reviews import law_of
from rnnbook.worlds import MovingReviewWorld, ReviewWorld
from rnnbook.worlds.reviews import EDGES, WORDS

WORLD = ReviewWorld(n_items=30, n_users=12, n=4, noise=0.9)
DATA, _, LAST = WORLD.split(WORLD.sample())
ITEMS = ["item-3", "item-0", "item-29"]
LAW = (HERE / "reviews.js").read_text(encoding="utf-8").replace("return { qualities,", "return { logWords, qualities,")
READERS = ("ratings alone", "with the words")


def of(item, data=DATA):
    """Ratings, tokens, texts and users of an item's reviews, in the order of time."""
    rows = np.flatnonzero(data.ratings.items == int(item[5:]))
    return (data.ratings.ratings[rows], WORLD.tokens(data)[rows], [data.text(i) for i in rows],
            data.ratings.user_ids[data.ratings.users[rows]].tolist())


def number(text):
    return float(text.replace("−", "-"))


def posteriors(item, step, words=()):
    """Mean, sd and RMSE of the next rating, float64 [2, 3]: from the ratings alone, and with the words."""
    ratings, tokens = (each[:step] for each in of(item)[:2])
    told = [WORLD.posterior(ratings), WORLD.posterior(ratings, np.append(tokens, list(words)).astype(np.int64))]
    return np.array([[mean, sd, np.sqrt(sd**2 + 0.9**2)] for mean, sd in told])


def told_by(page):
    """[[mean, sd, RMSE]] of the two readers, as the table has them."""
    rows = page.locator("tr", has=page.locator("svg")).evaluate_all(
        "rows => rows.map(r => [...r.cells].map(c => c.textContent))")
    assert [row[0] for row in rows] == list(READERS)
    return [row[1:] for row in rows]


def check(page, item, step, words=()):
    """The table is the package's posterior, to the digits that it has."""
    expected, found = posteriors(item, step, words), np.array([[*map(number, row)] for row in told_by(page)])
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=0, atol=0.00502)
    np.testing.assert_allclose(found[:, 2], expected[:, 2], rtol=0, atol=0.00052)


def word(page, name):
    return page.get_by_role("group", name="Words, the worst first").get_by_role("button", name=name, exact=True)


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


def test_the_state_holds_the_reviews():
    widget = Evidence(WORLD, DATA, ITEMS)
    assert widget.quality == pytest.approx(WORLD.quality[[3, 0, 29]], rel=1e-3) and (widget.item, widget.step) == (0, 4)
    for i, item in enumerate(ITEMS):
        ratings, tokens, texts, users = of(item)
        assert [[user, text, token] for user, _, text, token in widget.reviews[i]] == [
            list(each) for each in zip(users, texts, tokens)]
        assert [rating for _, rating, _, _ in widget.reviews[i]] == pytest.approx(ratings, abs=1e-6)
    assert widget.state() == Evidence(WORLD, DATA, ITEMS).state()
    with pytest.raises(ValueError, match="whose qualities move"):
        Evidence(MovingReviewWorld(n_items=30, n=4), DATA, ITEMS)


@pytest.mark.parametrize("text", ["quality", "independent", "rating"])
@pytest.mark.parametrize("noises", [(0.9, 0.7), (0.1, 3.0), (4.0, 0.15)])
def test_the_page_knows_the_law_of_each_world(new_tab, text, noises):
    """log P(word | quality) in both tails, and densities after ratings and words, for little noise and for much."""
    world = replace(WORLD, text=text, noise=noises[0], text_noise=noises[1])
    law, page = law_of(world, most=14), new_tab()
    rng, found = np.random.default_rng(0), page.evaluate("(law) => {" + LAW + """
        const world = reviewWorld(law);
        return [[...world.qualities], world.logWords.map((row) => [...row])]; }""", law)
    qualities, logs = map(np.array, found)
    np.testing.assert_allclose(logs, np.broadcast_to(world.log_words(qualities), logs.shape), rtol=1e-6, atol=2e-5)
    for _ in range(4):
        q = rng.normal()
        n = rng.integers(0, 5)
        ratings, tokens = q + noises[0] * rng.normal(size=n), np.searchsorted(EDGES, q + noises[1] * rng.normal(size=n))
        density, moments = page.evaluate("([law, ratings, tokens]) => {" + LAW + """
            const world = reviewWorld(law), p = world.posterior(ratings, tokens);
            return [[...p].map((mass) => mass / law.step), world.moments(p)]; }""",
                                         [law, ratings.tolist(), tokens.tolist()])
        expected = world.density(qualities, ratings, tokens)
        np.testing.assert_allclose(density, expected, rtol=0, atol=2e-5 * expected.max())
        np.testing.assert_allclose(moments, np.ravel(world.posterior(ratings, tokens)), rtol=0, atol=1e-5)


def test_one_more_word_makes_nobody_less_sure():
    """As the chapter says; and after many reviews it moves the mean less than after none."""
    rng, moved = np.random.default_rng(0), {0: [], 4: []}
    for _ in range(100):
        q = rng.normal()
        ratings, tokens = q + 0.9 * rng.normal(size=4), np.searchsorted(EDGES, q + 0.7 * rng.normal(size=4))
        for n in moved:
            for k in (0, 7, 19):
                before = WORLD.posterior(ratings[:n], tokens[:n])
                after = WORLD.posterior(ratings[:n], np.append(tokens[:n], k))
                assert after[1] < before[1]
                moved[n].append(abs(after[0] - before[0]))
    assert np.mean(moved[4]) < np.mean(moved[0]) / 2


@pytest.mark.parametrize("text", ["independent", "rating"])
def test_reviews_of_the_controls_buy_nothing(show, text):
    """And a word that is dropped tells something only if it is about the quality, or about a rating not yet known."""
    world = replace(WORLD, text=text)
    page = show(Evidence(world, world.sample(), ITEMS))
    for _ in range(5):
        alone, both = told_by(page)
        assert alone == both
        page.get_by_role("slider", name="reviews read").press("ArrowLeft")
    word(page, "perfect").click()
    alone, both = told_by(page)
    assert (alone == both) == (text == "independent") and number(both[0]) >= number(alone[0])


@pytest.mark.parametrize("over", ["file", "http"])
def test_it_answers_keys_and_shows_the_exact_values(show, over):
    page = show(Evidence(WORLD, DATA, ITEMS), over=over)

    def look(item, step):
        told = status(page)
        check(page, item, step)
        assert told.startswith(f"{item} after {step} of 4 reviews, of true quality ")
        assert number(told.split("of true quality ")[1].split(":")[0]) == pytest.approx(
            WORLD.quality[int(item[5:])], abs=0.0052)
        for (mean, sd, rmse), reader in zip(told_by(page), READERS):
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
    look("item-3", 4)
    assert peaks() == pytest.approx((posteriors("item-3", 4)[:, 0] + 4) / 8, abs=0.012)
    slider.press("ArrowLeft")
    look("item-3", 3)
    page.keyboard.press("Home")
    look("item-3", 0)
    page.keyboard.press("ArrowRight")  # the focus stayed
    look("item-3", 1)
    assert slider.get_attribute("aria-valuetext") == "1 of 4"
    page.get_by_role("combobox", name="item").press("ArrowDown")
    look("item-0", 1)
    page.get_by_role("combobox", name="item").select_option("item-29")
    drag_to(page, "reviews read", 2)
    look("item-29", 2)
    assert peaks() == pytest.approx((posteriors("item-29", 2)[:, 0] + 4) / 8, abs=0.012)
    curve = page.locator("svg[aria-label^=RMSE]").get_attribute("aria-label")
    for reader, (_, _, rmse) in zip(READERS, posteriors("item-29", 4)):
        assert f"{reader}, from {np.hypot(1, 0.9):.3f} to " in curve
        assert float(curve.split(f"{reader}, from ")[1].split(" to ")[1][:5]) == pytest.approx(rmse, abs=0.0012)


def test_words_that_are_pressed_move_the_posterior_and_go_again(show):
    page, said = show(Evidence(WORLD, DATA, ITEMS)), []
    again = page.get_by_role("button", name="Start again")
    assert again.is_disabled()
    for name, key in (("perfect", "Enter"), ("bad", " "), ("perfect", None), ("solid", None)):
        word(page, name).press(key) if key else word(page, name).click()
        said.append(WORDS.index(name))
        check(page, "item-3", 4, said)
    assert " and 4 words of yours, the last “solid”, of true quality " in status(page)
    page.get_by_role("slider", name="reviews read").press("Home")
    check(page, "item-3", 0, said)  # ratings alone know nothing, and the words are there
    curve = page.locator("svg[aria-label^=RMSE]").get_attribute("aria-label")
    for (reader, first, last) in zip(READERS, posteriors("item-3", 0, said)[:, 2], posteriors("item-3", 4, said)[:, 2]):
        got = curve.split(f"{reader}, from ")[1].split(" to ")
        assert [float(got[0]), float(got[1][:5])] == pytest.approx([first, last], abs=0.00052)
    for _ in range(4):
        word(page, "worthless").press("Enter")
    said += [0] * 4
    check(page, "item-3", 0, said)
    assert word(page, "fine").is_disabled()  # eight are enough
    again.click()
    check(page, "item-3", 0)
    assert again.is_disabled() and word(page, "fine").is_enabled()
    word(page, "fine").click()
    page.get_by_role("combobox", name="item").select_option("item-0")  # a word is about one item
    check(page, "item-0", 0)


def test_a_word_is_dragged_onto_the_picture_and_stands_at_its_place(show):
    page = show(Evidence(WORLD, DATA, ITEMS))
    picture = page.locator("svg[aria-label^=Densities]")
    box = picture.bounding_box()

    def drag(name, x, y):
        start = word(page, name).bounding_box()
        page.mouse.move(start["x"] + 5, start["y"] + 5)
        page.mouse.down()
        page.mouse.move(x, y, steps=4)
        over = page.locator(".rb-drop").count()
        page.mouse.up()
        assert page.locator(".rb-drop").count() == 0 and word(page, name).bounding_box() == start
        return over

    assert drag("awful", box["x"] + 30, box["y"] + 20) == 1
    check(page, "item-3", 4, [WORDS.index("awful")])
    assert drag("awful", box["x"] + box["width"] + 60, box["y"] + 20) == 0  # beside it
    check(page, "item-3", 4, [WORDS.index("awful")])
    word(page, "perfect").click()
    check(page, "item-3", 4, [WORDS.index("awful"), 19])
    width = picture.locator("svg").evaluate("plot => plot.width.baseVal.value")
    for name, path in zip(("awful", "perfect"), picture.locator(".rb-said").all()):
        k = WORDS.index(name)
        y = np.concatenate([[-4], EDGES, [4]])[k:k + 2].mean()  # the tokens that it stands for, or the nearest of them
        at = float(path.get_attribute("d")[1:].split(" ")[0]) - 44
        assert at / width == pytest.approx((y + 4) / 8, abs=0.003)
    assert picture.locator(".rb-word").all_text_contents() == ["awful", "perfect"]


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
    widget.reviews = [[[EVIL, 1.0, EVIL, 3]] * 4, *widget.reviews[1:]]
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
    assert status(page).endswith("1.414 ratings alone and 1.414 with the words.")
    widget = page.locator(".rnnbook-widget")
    assert "NaN" not in widget.inner_html()  # neither in a text nor in a drawing


def test_the_state_is_small():
    world = ReviewWorld(n=10)
    widget = Evidence(world, world.split(world.sample())[0], world.item_ids[:5])
    assert len(json.dumps(widget.state(), separators=(",", ":"))) < 10_000


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_no_overflow_and_screenshots(show, screenshots, theme, width):
    widget = Evidence(WORLD, DATA, ITEMS)
    widget.items = [widget.items[0], "an-item-" * 12, widget.items[2]]
    page = show(widget, theme=theme, width=width)
    heights = set()
    for step in range(4):
        heights.add(page.locator(".rnnbook-widget").bounding_box()["height"])
        word(page, ["mediocre", "excellent", "perfect", "worthless"][step]).click()
        heights.add(page.locator(".rnnbook-widget").bounding_box()["height"])
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
    page.get_by_role("combobox", name="item").select_option("item-29")
    heights.clear()  # those of a much longer name
    for _ in range(5):
        heights.add(page.locator(".rnnbook-widget").bounding_box()["height"])
        page.get_by_role("slider", name="reviews read").press("ArrowRight")
    for _ in range(8):
        word(page, "worthless").click()
        heights.add(page.locator(".rnnbook-widget").bounding_box()["height"])
    assert len(heights) == 1, heights
