"""Draw first, in a real browser: the truth stays covered, the distance is right, and a drawing is kept."""

import math

import pytest

from rnnbook.widgets import DrawFirst

X, TRUTH = list(range(1, 9)), [0.1, 0.2, 0.3, 0.35, 0.4, 0.42, 0.43, 0.44]


@pytest.fixture
def curve():
    return DrawFirst("curve", "How does it rise?", X, TRUTH, (0, 1), xlabel="clicks", ylabel="recall",
                     others={"ceiling": [0.2] * 8})


def status(page):
    return page.get_by_role("status").text_content()


def strokes(page):
    """The lines that are seen, but for the curves that were given."""
    return page.locator(".rb-draw polyline").count() - 1


def drag(page, points):
    """A stroke through points, as shares of the plot from the left and from below."""
    box = page.locator(".rb-draw").bounding_box()
    left, top, w, h = 44, 24, box["width"] - 56, box["height"] - 64
    for k, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + left + x * w, box["y"] + top + (1 - y) * h)
        if not k:
            page.mouse.down()
    page.mouse.up()


def test_a_stroke_over_the_truth_is_no_distance_from_it(show, curve):
    page = show(curve)
    button = page.get_by_role("button", name="Show the truth")
    assert button.is_disabled() and strokes(page) == 1 and "Draw with" in status(page)
    edge = 0.28  # the axis goes beyond the outermost places by 4 % of what lies between
    places = [(x - 1 + edge) / (7 + 2 * edge) for x in X]
    drag(page, list(zip(places, TRUTH)))
    assert strokes(page) == 1 and "Then look" in status(page)
    button.click()
    assert strokes(page) == 2
    words = status(page).split()
    assert words[:2] == ["You", "are"] and float(words[2]) < 0.005  # a pixel is 0.006
    page.get_by_role("button", name="Draw again").click()
    assert strokes(page) == 1 and button.is_disabled()


def test_a_fast_stroke_draws_a_straight_line(show, curve):
    page = show(curve)
    drag(page, [(0.03, 0.2), (0.97, 0.9)])
    page.get_by_role("button", name="Show the truth").click()
    drawn = [0.2 + 0.1 * k for k in range(8)]
    mean = sum(abs(a - b) for a, b in zip(drawn, TRUTH)) / 8
    words = status(page).replace(":", "").split()
    assert float(words[2]) == pytest.approx(mean, abs=0.007)
    assert words[-5:-3] == ["at", "8"] and float(words[-3]) == pytest.approx(0.46, abs=0.007)
    assert words[-2:] == ["too", "high."]


def test_by_keyboard_and_kept_in_the_browser(show, curve):
    page = show(curve, over="http")
    where, value = page.get_by_role("slider", name="clicks"), page.get_by_role("slider", name="recall")
    where.focus()
    where.press("End")
    assert where.get_attribute("aria-valuetext") == "8"
    value.focus()
    value.press("End")
    assert value.get_attribute("aria-valuetext") == "1.00"
    page.reload()
    page.get_by_role("button", name="Show the truth").click()
    assert "most at 8: 0.56 too high" in status(page)
    assert value.is_disabled()
    page.reload()
    again = page.get_by_role("button", name="Draw again")
    again.wait_for()
    assert "most at 8: 0.56 too high" in status(page)
    where.press("Home")
    assert value.get_attribute("aria-valuetext") == "yours 0.50, the truth 0.10"
    again.click()
    page.reload()
    assert page.get_by_role("button", name="Show the truth").is_disabled()


def test_a_number_and_a_factor(show):
    page = show(DrawFirst("number", "How many?", ["steps"], [100.0], (1, 10_000), ylabel="steps", log=True))
    slider = page.get_by_role("slider", name="steps")
    slider.fill("0.75")  # 1 to 10,000 in factors: 1,000
    page.get_by_role("button", name="Show the truth").click()
    assert status(page) == "You said 1000, it is 100: a factor of 10 too high."


def test_named_places_are_points(show):
    page = show(DrawFirst("named", "Who wins?", ["MF", "RRN"], [0.4, 0.2], (0, 1), ylabel="error"))
    assert page.locator(".rb-draw polyline").count() == 0
    drag(page, [(0.25, 0.5), (0.25, 0.4)])
    page.get_by_role("button", name="Show the truth").click()
    assert "most at RRN: 0.30 too high" in status(page)


@pytest.mark.parametrize("changes,message", [
    ({"truth": [0.1]}, "for each of the 8 places"), ({"truth": [math.nan] * 8}, "finite"),
    ({"truth": [2.0] * 8}, "off the axis"), ({"others": {"ceiling": [0.1]}}, "'ceiling'")])
def test_what_cannot_be_drawn_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DrawFirst(**{"name": "x", "question": "?", "x": X, "truth": TRUTH, "ylim": (0, 1)} | changes)


def test_a_finger_scrolls_up_and_down_and_draws_sideways(show, curve):
    page = show(curve, width=390, touch=True)
    page.evaluate("document.body.style.height = '3000px'")
    box, button = page.locator(".rb-draw").bounding_box(), page.get_by_role("button", name="Show the truth")
    touch = page.context.new_cdp_session(page)

    def swipe(dx, dy):
        for k in range(12):
            point = {"x": box["x"] + 150 + k * dx, "y": box["y"] + 150 + k * dy}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove" if k else "touchStart", "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def back():
        """To the top, once the page has come to rest."""
        page.wait_for_function("() => [window.at, window.at = scrollY].every((y, _, all) => y === all[1])", polling=100)
        page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
        page.wait_for_function("scrollY === 0")

    swipe(0, -10)
    page.wait_for_function("scrollY > 50")
    assert button.is_disabled() and "Draw with" in status(page) and page.evaluate("localStorage.length") == 0
    back()
    swipe(10, -4)
    page.wait_for_function("localStorage.length === 1")
    assert button.is_enabled() and page.evaluate("scrollY") == 0
    drawn = page.evaluate("Object.values(localStorage)[0]")
    swipe(0, -10)
    page.wait_for_function("scrollY > 50")
    assert page.evaluate("Object.values(localStorage)[0]") == drawn
    back()
    page.touchscreen.tap(box["x"] + 300, box["y"] + 40)
    page.wait_for_function("drawn => Object.values(localStorage)[0] !== drawn", arg=drawn)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_it_fits_and_does_not_move(show, curve, screenshots, theme, width):
    page, heights = show(curve, theme=theme, width=width), set()
    widget = page.locator(".rnnbook-widget")
    heights.add(widget.bounding_box()["height"])
    drag(page, [(0.1, 0.1), (0.5, 0.5), (0.9, 0.6)])
    heights.add(widget.bounding_box()["height"])
    page.get_by_role("button", name="Show the truth").click()
    heights.add(widget.bounding_box()["height"])
    assert len(heights) == 1 and page.evaluate("document.documentElement.scrollWidth") <= width
    widget.screenshot(path=screenshots / f"draw-{theme}-{width}.png")
