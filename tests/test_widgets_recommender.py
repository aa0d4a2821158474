"""The explorer of chapter 4 in a real browser: the RRN and the Kalman filter in the page are those of the package."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_widgets import EVIL, drag_to, shown_as_text, status

from rnnbook.interactions import DAY
from rnnbook.rrn import RRNConfig, new_model
from rnnbook.widgets import InsideRRN
from rnnbook.worlds import JumpWorld, RatingWorld
from rnnbook.worlds.ratings import START

WORLD = RatingWorld(n_users=30, n_items=12, n_steps=20, dim=2, rho=0.95)
USERS = ["user-3", "user-0", "user-29"]
SMALL = RRNConfig(hidden_size=6, embedding_size=5, dynamic_size=4, stationary_size=3, user_step=DAY)
NAMES = "RRN", "filter", "true taste"


def drawn(data, config=SMALL):
    """An RRN that has seen these data; its weights are random, and so large that each matters."""
    model = new_model(data, config, device="cpu")
    for p in model.parameters():
        p.data.normal_(std=0.4)
    return model.double()


@pytest.fixture(scope="module")
def model():
    """It has seen eighteen of the twenty days."""
    torch.manual_seed(0)
    return drawn(WORLD.sample().take(slice(540)))


def with_added(seen, user, added):
    """The ratings, and those that the reader adds to a user, each at the end of its day: (day from 1, item, rating)."""
    days, items, ratings = np.array(added or np.empty((0, 3))).T
    times = np.append(seen.times, START + DAY * days - 1)
    order = np.argsort(times, kind="stable")
    return replace(seen, users=np.append(seen.users, np.full(len(days), user))[order],
                   items=np.append(seen.items, items.astype(np.int64))[order],
                   ratings=np.append(seen.ratings, ratings)[order], times=times[order])


def of_package(model, world, user, added=()):
    """Of each morning what the RRN says of all items [n_days + 1, n_items], and the filter's means and covariances."""
    last = min(int(world.steps(model.seen.times[-1])) + 1, world.n_steps - 1)
    mornings, seen, owner = np.arange(last + 1), with_added(model.seen, user, added), np.full(last + 1, user)
    items, times = np.arange(world.n_items), START + DAY * mornings
    with torch.no_grad():
        u = model.factors_at_times(model.users, model.steps(seen)[0], owner, times)
        m = model.factors_at_times(model.items, model.steps(model.seen)[1], np.tile(items, last + 1),
                                   np.repeat(times, len(items))).view(last + 1, len(items), -1)
        said = [model.ratings(model.users.terms(u[t].expand(len(items), -1), np.full_like(items, user)),
                              model.items.terms(m[t], items)) for t in mornings]
    known = world.kalman()
    means, covariances = known._beliefs(seen)
    rows = np.flatnonzero(seen.users == user)
    before = np.searchsorted(world.steps(seen.times[rows]), mornings)
    after = np.where(before, rows[before - 1], -1)
    passed = np.where(before, mornings - np.append(world.steps(seen.times), 0)[after], 0)
    return np.array(said), *known._later(means[after], covariances[after], passed)


@pytest.fixture
def run(new_tab):
    """run(widget, user, added): what the page's functions return, as `of_package` does."""
    page = new_tab()
    module = re.sub("^export .*", "", InsideRRN._esm, flags=re.MULTILINE)

    def run(widget, user, added=()):
        extra = [[day - 1, item, rating] for day, item, rating in added]
        ratings = sorted([*widget.ratings[user], *extra], key=lambda row: row[0])
        said, beliefs = page.evaluate(f"""(given) => {{ {module}
            const {{ unpack }} = engine(), {{ net, world, user, ratings, last }} = given;
            const read = Object.fromEntries(Object.entries(net).map(([name, value]) =>
              [name, typeof value === "string" ? unpack(value) : value]));
            return [rrnForecasts(read, user, ratings, last), filterBeliefs(world, ratings, last)]; }}""", {
            "net": widget.net, "world": widget.world, "user": user, "ratings": ratings,
            "last": len(widget.tastes[0]) - 1})
        return (np.array(said), *(np.array([each[name] for each in beliefs]) for name in ("mean", "covariance")))

    return run


# --- The arithmetic ---------------------------------------------------------------------------------------


OTHER = {"dim": 3, "ratings_per_step": 2, "wave": 0.5, "seed": 4}  # two a day; half of the users come late


@pytest.mark.parametrize("of_world, config", [
    ({}, {}), (OTHER, {}), ({"seed": 1}, {"anchored": False, "newbie": False}),
    ({"dim": 4}, {"stationary": False, "wall_clock": False})])
def test_both_followers_are_those_of_the_package(run, of_world, config):
    world = replace(WORLD, **of_world)
    data = world.sample(seed=1)
    model = drawn(data.take(slice(int(0.9 * data.n_ratings))), replace(SMALL, **config))
    widget = InsideRRN(model, world, USERS, seed=1)
    turn = np.eye(2) if world.dim == 2 else np.linalg.svd(world.factors)[2]
    assert np.array(widget.world["factors"]) == pytest.approx(world.factors @ turn.T)
    truth = world.tastes(1)[:len(widget.tastes[0])]
    for i, user in enumerate(int(name[5:]) for name in USERS):
        assert np.array(widget.tastes[i]) == pytest.approx(truth[:, user] @ turn.T, rel=1e-3)
        last, plain = widget.ratings[i][-1][0], None
        for added in ((), [(2, 5, 3.5)], [(last + 1, 0, -4.0), (last + 1, 0, 2.0), (last - 1, 7, 3.0)]):
            said, mean, covariance = run(widget, i, added)
            expected, m, P = of_package(model, world, user, added)
            np.testing.assert_allclose(mean, m @ turn.T, rtol=0, atol=1e-9)
            np.testing.assert_allclose(covariance, turn @ P @ turn.T, rtol=0, atol=1e-9)
            np.testing.assert_allclose(said, expected, rtol=0, atol=2e-3)  # weights have 16 bits
            print("BOUND", abs(said - expected).max(), expected.std())
            # what is added tells, from the next morning on
            assert not added or np.abs(said - plain).max() > 0.05
            plain = said if plain is None else plain


def test_the_ellipse_is_as_the_chapter_says():
    """It holds the true taste nine times out of ten; it shrinks at first, and then stays about as large."""
    world = RatingWorld(n_users=500, n_items=20, n_steps=55, dim=2, rho=0.97)
    seen, known, truth = world.sample(), world.kalman(), world.tastes()
    means, covariances = known._beliefs(seen)
    area, held = [], []
    for day in range(1, 55):
        rows = np.flatnonzero(world.steps(seen.times) == day - 1)
        m, P = known._later(means[rows], covariances[rows], np.ones(len(rows), dtype=int))
        off = truth[day, seen.users[rows]] - m
        held.append(np.einsum("ni,nij,nj->n", off, np.linalg.inv(P), off) < -2 * np.log(0.1))
        area.append(np.sqrt(np.linalg.det(P)).mean())
    assert np.mean(held) == pytest.approx(0.9, abs=0.01)
    assert area[0] > 2 * area[14] and area[14:] == pytest.approx(np.full(40, area[14]), rel=0.05)


def test_the_first_ratings_push_the_filter_most():
    """The chapter asks on which day the same rating of a film far from the middle pushes the filter further."""
    world = RatingWorld(n_users=500, n_items=20, n_steps=55, dim=2, rho=0.97)
    known, seen = world.kalman(), world.sample()
    q = world.factors[np.hypot(*world.factors.T).argmax()]
    _, covariances = known._beliefs(seen)
    days = world.steps(seen.times)
    gain = [np.linalg.norm(P @ q, axis=1) / (np.einsum("i,nij,j->n", q, P, q) + world.noise**2)
            for P in (covariances[:-1][days == 0], covariances[:-1][days == 53])]
    assert gain[0].mean() > 1.1 * gain[1].mean()


def test_what_the_page_cannot_show_is_refused(model):
    for users, message in (([], "0 users"), (USERS * 3, "9 users"), (["user-3", "nobody"], "'nobody' has no ratings")):
        with pytest.raises(ValueError, match=message):
            InsideRRN(model, WORLD, users)
    for world in (replace(WORLD, dim=1), replace(WORLD, season=1.0), replace(WORLD, level_shift=1.0),
                  JumpWorld(n_users=30, n_items=12, n_steps=20, dim=2)):
        with pytest.raises(ValueError, match="a RatingWorld of two dimensions"):
            InsideRRN(model, world, USERS)
    for world, seed in ((WORLD, 1), (replace(WORLD, seed=1), 0)):
        with pytest.raises(ValueError, match="has not seen the first ratings"):
            InsideRRN(model, world, USERS, seed=seed)
    for config in (replace(SMALL, user_step=0.0), replace(SMALL, dynamic=False)):
        with pytest.raises(ValueError, match="user_step=DAY"):
            InsideRRN(new_model(WORLD.sample(), config, device="cpu"), WORLD, USERS)
    for k in (0, 13):
        with pytest.raises(ValueError, match=f"lists of {k}"):
            InsideRRN(model, WORLD, USERS, k=k)


# --- What is seen -----------------------------------------------------------------------------------------


def number(text):
    return float(text.replace("−", "-"))


def rated(page):
    """Rows of the table: item, day, and three numbers."""
    rows = page.locator(".rb-rated tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))")
    return [(item, int(day), *map(number, rest)) for item, day, *rest in rows if item.strip()]


def check(page, model, i, day, by=0, added=()):
    """All that is shown after a day is what the package says."""
    user = int(USERS[i][5:])
    said, m, P = of_package(model, WORLD, user, added)
    truth = WORLD.tastes()[:19, user]
    values = [said, m @ WORLD.factors.T, truth @ WORLD.factors.T]
    points = [said @ np.linalg.pinv(WORLD.factors).T, m, truth]

    seen = with_added(model.seen, user, added)
    mine = np.flatnonzero((seen.users == user) & (WORLD.steps(seen.times) < day))[::-1][:5]
    found = rated(page)
    days, items = WORLD.steps(seen.times[mine]), seen.items[mine]
    assert [row[:2] for row in [(name.removesuffix(" (yours)"), d) for name, d, *_ in found]] == [
        (f"item-{item}", d + 1) for item, d in zip(items, days)]
    assert np.array([row[2:] for row in found]) == pytest.approx(np.stack(
        [seen.ratings[mine], said[days, items], values[1][days, items]], axis=1), abs=0.0085)
    assert status(page).startswith(f"{USERS[i]} after day {day}: item-{items[0]} rated ")
    apart = [np.linalg.norm(points[who][day] - truth[day]) for who in (0, 1)]
    assert list(map(float, re.search(r"RRN is ([\d.]+) away, the filter ([\d.]+)\.$", status(page)).groups())) \
        == pytest.approx(apart, abs=0.0085)

    plane = page.locator("svg.rb-taste")
    places = re.findall(r"(RRN|filter|true taste) at \(([^,]+), ([^)]+)\)", plane.get_attribute("aria-label"))
    assert [name for name, *_ in places] == list(NAMES)
    assert [list(map(number, xy)) for _, *xy in places] == [pytest.approx(point[day], abs=0.0085) for point in points]
    marks = plane.locator(":scope > path.rb-dot").evaluate_all(
        "marks => marks.map(mark => mark.getAttribute('transform'))")
    xy = [np.array(re.findall(r"[-\d.]+", mark)[:2], dtype=float) for mark in marks]
    scale = np.divide(*(np.linalg.norm(b - a) for a, b in ((xy[1], xy[2]), (m[day], truth[day]))))  # pixels
    assert xy[0] == pytest.approx(170 + scale * points[0][day] * [1, -1], abs=1)
    ellipse = plane.locator("ellipse")
    radii = [float(ellipse.get_attribute(name)) / scale for name in ("rx", "ry")]
    variances, axes = np.linalg.eigh(P[day])
    assert radii == pytest.approx(np.sqrt(-2 * np.log(0.1) * variances[::-1]), rel=0.02)
    angle = np.radians(float(re.search(r"rotate\(([-\d.e]+)\)", ellipse.get_attribute("transform"))[1]))
    assert abs(axes[:, 1] @ [np.cos(angle), -np.sin(angle)]) == pytest.approx(1, abs=1e-6)  # of screen and plane
    today = plane.locator(".rb-today text").all_text_contents()
    assert set(today) == {f"item-{item}" for item, d in zip(items, days) if d == day - 1}

    order = np.argsort(-values[by][day], kind="stable")
    best = [f"item-{item}" for item in order[:6]]
    label = page.locator("svg.rb-slopes").get_attribute("aria-label")
    assert label == f"The best films by the {NAMES[by]} after day {day}: {', '.join(best[:-1])} and {best[-1]}"
    first = max(1, day - 13)
    for node in page.locator(".rb-slopes g:visible").all():
        item, before, after = re.fullmatch(rf"item-(\d+): place (\d+) after day {first}, (\d+) after day {day}",
                                           node.get_attribute("aria-label")).groups()
        for place, t in ((before, first), (after, day)):
            assert int(place) == 1 + (values[by][t] > values[by][t][int(item)]).sum()
        heights = [float(point.split(",")[1]) for point in node.locator(".rb-curve").get_attribute("points").split()]
        ranks = 1 + (values[by][first:day + 1] > values[by][first:day + 1, [int(item)]]).sum(1)
        assert heights == pytest.approx(16 + 46 * (np.minimum(ranks, 7) - 1))
    once = (np.argsort(np.argsort(-values[by][first:day + 1], axis=1), axis=1) < 6).any(0)
    assert page.locator(".rb-slopes g:not(.rb-never)").count() == once.sum()


@pytest.mark.parametrize("over", ["file", "http"])
def test_it_answers_keys_and_shows_the_package_s_values(show, model, over):
    page = show(InsideRRN(model, WORLD, USERS), over=over)
    slider = page.get_by_role("slider", name="day")
    check(page, model, 0, 18)
    assert slider.get_attribute("aria-valuetext") == "18 of 18"
    page.get_by_role("button", name="Step").press("Home")
    check(page, model, 0, 1)
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    check(page, model, 0, 2)
    page.get_by_role("combobox", name="user").press("ArrowDown")
    check(page, model, 1, 2)
    drag_to(page, "day", 16)
    for by, name in enumerate(NAMES):
        page.get_by_label(name, exact=True).check()
        check(page, model, 1, 16, by)
    page.get_by_role("combobox", name="user").select_option("user-29")
    check(page, model, 2, 16, 2)


def test_lines_on_the_list_differ_in_colour_and_keep_it(show, model):
    page, before = show(InsideRRN(model, WORLD, USERS)), {}
    for _ in range(18):
        listed = page.locator(".rb-slopes g:visible:not(.rb-gone)")
        looks = dict(listed.evaluate_all("""lines => lines.map(line => [line.querySelector("text").textContent,
            line.getAttribute("style") + line.querySelector(".rb-dot").getAttribute("d").split(/M[^a-z]*/).at(-1)])"""))
        assert len(looks) == len(set(looks.values())) == 6
        assert all(looks[item] == before[item] for item in looks.keys() & before.keys())
        before = looks
        page.get_by_role("button", name="← Back").click()


def test_play_begins_again_at_the_first_day(show, model):
    page = show(InsideRRN(model, WORLD, USERS))
    page.get_by_role("button", name="Play").click()
    page.get_by_text("user-3 after day 1: ").wait_for()
    page.get_by_text("user-3 after day 2: ").wait_for()
    page.get_by_role("button", name="Pause").click()


def test_an_added_rating_moves_both_at_once_and_can_be_taken_back(show, model):
    page = show(InsideRRN(model, WORLD, USERS, day=7))
    undo, film = page.get_by_role("button", name="Undo"), page.get_by_role("combobox", name="film")
    assert undo.is_disabled()
    film.select_option("item-9")
    drag_to(page, "rating", 3.5)
    page.get_by_role("button", name="Add on day 7").click()
    check(page, model, 0, 7, added=[(7, 9, 3.5)])
    assert rated(page)[0][0] == "item-9 (yours)"
    said, m, _ = of_package(model, WORLD, 3, [(7, 9, 3.5)])
    now = re.findall(r"[+−]\d\.\d\d", page.locator(".rb-expected").text_content())
    assert list(map(number, now)) == pytest.approx([said[7, 9], WORLD.factors[9] @ m[7]], abs=0.0085)
    drag_to(page, "rating", -1)
    page.get_by_role("button", name="Add on day 7").click()
    page.get_by_role("button", name="Step").click()
    check(page, model, 0, 8, added=[(7, 9, 3.5), (7, 9, -1)])
    page.get_by_role("combobox", name="user").select_option("user-0")  # of whom none was added
    check(page, model, 1, 8)
    assert undo.is_disabled()
    page.get_by_role("button", name="Add on day 8").click()
    page.get_by_role("combobox", name="user").select_option("user-3")
    undo.click()
    check(page, model, 0, 8, added=[(7, 9, 3.5)])
    undo.click()
    check(page, model, 0, 8)
    assert undo.is_disabled()
    page.get_by_role("combobox", name="user").select_option("user-0")
    check(page, model, 1, 8, added=[(8, 9, -1)])


def test_it_opens_as_its_traits_say_and_what_is_not_there_is_left_out(show, model):
    added = [0, 4, 2, 1.5, 0, 99, 2, 1, 0, 4, 77, 1, 7, 4, 2, 1, 0, 4]
    page = show(InsideRRN(model, WORLD, USERS, day=5, ranks=1, film=3, rating=-2.5, added=added))
    check(page, model, 0, 5, by=1, added=[(4, 2, 1.5)])
    assert page.get_by_role("combobox", name="film").input_value() == "item-3"
    assert page.get_by_role("slider", name="rating").get_attribute("aria-valuetext") == "−2.50"
    assert status(show(InsideRRN(model, WORLD, USERS, user=9, day=99))).startswith("user-29 after day 18: ")


def test_a_line_that_is_pointed_at_is_named_and_a_film_in_the_plane_is_picked(show, model):
    page = show(InsideRRN(model, WORLD, USERS))
    told = page.locator(".rb-told")
    assert told.text_content() == "Point at a line, or tab to it."
    node = page.locator(".rb-slopes g:visible").first
    node.focus()
    name, rest = node.get_attribute("aria-label").split(": place ")
    before, after = re.findall(r"(\d+) after", rest)
    assert told.text_content() == f"{name}: place {before} of 12 after day 5, {after} after day 18."
    page.keyboard.press("ArrowLeft")  # the line keeps the focus
    assert told.text_content().startswith(f"{name}: place ") and "after day 17." in told.text_content()
    page.get_by_role("slider", name="day").focus()
    assert told.text_content() == "Point at a line, or tab to it."
    page.locator(".rb-film").nth(4).locator(".rb-target").click(force=True)
    assert page.locator(".rb-expected").text_content().startswith("Of item-")
    assert page.get_by_role("combobox", name="film").input_value() == page.locator(
        ".rb-expected").text_content().split()[1]


def test_names_are_shown_as_text(show, model):
    page = show(InsideRRN(model, WORLD, USERS, titles=dict.fromkeys(WORLD.item_ids, EVIL)))
    page.get_by_role("button", name="Add on day").click()
    page.locator(".rb-slopes g:visible").first.focus()
    assert shown_as_text(page)
    beginning = EVIL[:29]  # of a title there is room for so much
    assert beginning in status(page) and beginning in page.locator(".rb-told").text_content()
    assert rated(page)[0][0] == f"{beginning}… (yours)"


def test_the_state_is_small():
    world = RatingWorld(n_users=30, n_items=20, n_steps=60, dim=2)
    config = RRNConfig(hidden_size=32, embedding_size=16, dynamic_size=8, stationary_size=4, user_step=DAY)
    model = new_model(world.sample(), config, device="cpu")
    state = InsideRRN(model, world, world.user_ids[:8]).state()
    assert len(json.dumps(state, separators=(",", ":"))) < 100_000
    assert state == InsideRRN(model, world, world.user_ids[:8]).state()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_it_fits_and_does_not_move(show, model, screenshots, theme, width):
    titles = {"item-1": "The Unbelievably Long Title of a Movie That Nobody Saw, Part II: The Return (1997)",
              "item-2": "A" * 60}
    page, heights = show(InsideRRN(model, WORLD, USERS, titles=titles, film=1), theme=theme, width=width), set()
    widget = page.locator(".rnnbook-widget")
    widget.screenshot(path=screenshots / f"recommender-{theme}-{width}.png")

    def look():
        heights.add(widget.bounding_box()["height"])
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert widget.evaluate("""el => [...el.querySelectorAll(".rb-taste text, .rb-slopes text")].every(text => {
            const [a, b] = [text.getBoundingClientRect(), el.getBoundingClientRect()];
            return !a.width || getComputedStyle(text).visibility === "hidden" || a.left >= b.left && a.right <= b.right;
        })""")

    for _ in range(17):
        page.get_by_role("button", name="← Back").click()
        look()
    page.get_by_role("button", name="Add on day 1").click()
    for name in NAMES:
        page.get_by_label(name, exact=True).check()
        for node in page.locator(".rb-slopes g:visible").all():
            node.focus()
            look()
    for name in ("user", "film"):
        page.get_by_role("combobox", name=name).press("ArrowDown")
        look()
    assert len(heights) == 1, heights
