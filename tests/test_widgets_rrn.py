"""The widgets of chapter 4 in a real browser: what they show equals what the model predicts."""

import json
from dataclasses import replace

import numpy as np
import pytest
from test_widgets import EVIL, drag_to, shown_as_text, status

from rnnbook.interactions import DAY, RatingData
from rnnbook.rrn import RRN, RRNConfig, fit
from rnnbook.widgets import TasteExplorer, TimeTravel
from rnnbook.worlds import RatingWorld
from rnnbook.worlds.ratings import START

DATA = RatingWorld(n_users=30, n_items=12, n_steps=20).sample()
USERS = ["user-3", "user-0", "user-29"]
TIMES = START + DAY * np.array([0.0, 2, 5.5, 9, 20])
SMALL = RRNConfig(hidden_size=6, embedding_size=5, dynamic_size=4, stationary_size=3, n_epochs=2,
                  user_step=2 * DAY)


@pytest.fixture(scope="module")
def model():
    """With two ratings a step, for steps of two days."""
    return fit(DATA, SMALL, device="cpu", progress=False)


def number(text):
    return float(text.replace("−", "-"))


def table(page, label):
    """Rows of a table on the page: the item, without its badge, and the numbers."""
    rows = page.get_by_role("region", name=label).locator("tbody tr").evaluate_all(
        "rows => rows.map(r => [r.cells[0].firstChild.data, ...[...r.cells].slice(1).map(c => c.textContent)])")
    return [(item, *map(number, rest)) for item, *rest in rows]


def changed_after(model, time):
    """The same model, having seen other ratings from a time on."""
    seen = model.seen
    other = RRN(model.item_ids, model.config, user_ids=model.user_ids, scale=model.scale)
    other.load_state_dict(model.state_dict())
    other.seen = replace(seen, ratings=np.where(seen.times < time, seen.ratings, 3 - seen.ratings))
    return other.eval()


# --- taste explorer ---------------------------------------------------------------------------------------


def test_impossible_settings_are_refused(model):
    for widget in (TasteExplorer, lambda model, users: TimeTravel(model, users, TIMES)):
        with pytest.raises(ValueError, match="0 users"):
            widget(model, [])
        with pytest.raises(ValueError, match="9 users"):
            widget(model, USERS * 3)
        with pytest.raises(ValueError, match="'nobody' has no ratings"):
            widget(model, ["user-3", "nobody"])
    for times in ([], [START, START], [START + DAY, START]):
        with pytest.raises(ValueError, match="rise"):
            TimeTravel(model, USERS, times)
    with pytest.raises(ValueError, match="k is 0"):
        TimeTravel(model, USERS, TIMES, k=0)


def test_paths_are_the_trajectories_on_their_principal_components(model):
    widget = TasteExplorer(model, USERS)
    ways = [model.trajectory(user).factors.astype(float) for user in USERS]
    points = np.concatenate(ways) - np.concatenate(ways).mean(0)
    variance, axes = np.linalg.eigh(points.T @ points)
    assert widget.shares == pytest.approx(variance[:-3:-1] / variance.sum(), rel=1e-3)
    assert [len(path) for path in widget.paths] == [len(way) for way in ways]
    for i, share in enumerate(np.concatenate(widget.paths).T):
        expected = points @ axes[:, -1 - i]
        assert share == pytest.approx(expected * np.sign(share @ expected), abs=2e-3 * np.abs(expected).max())
    assert widget.state() == TasteExplorer(model, USERS).state()


def test_steps_hold_each_rating_once_with_the_prediction_before_it(model):
    widget = TasteExplorer(model, USERS)
    for user, steps in zip(USERS, widget.ratings):
        mine = DATA.take(DATA.user_ids[DATA.users] == user)
        frame = mine.to_frame()
        got = [rating for step in steps for rating in step]
        assert [widget.items[item] for item, _, _ in got] == frame["item"].tolist()
        assert [r for _, r, _ in got] == pytest.approx(mine.ratings, rel=1e-3)
        predicted = model.predict(frame["user"], frame["item"], mine.times)
        assert [p for _, _, p in got] == pytest.approx(predicted, rel=1e-3)
        assert [len(step) for step in steps] == np.unique(mine.times // (2 * DAY), return_counts=True)[1].tolist()


def test_predictions_do_not_know_later_ratings(model):
    cut = START + 9 * DAY
    other = changed_after(model, cut)
    one, two = TasteExplorer(model, USERS), TasteExplorer(other, USERS)
    n_same = [np.sum(DATA.times[DATA.users == int(user[5:])] < cut) for user in USERS]
    for a, b, n in zip(one.ratings, two.ratings, n_same):
        a, b = (np.array([rating for step in each for rating in step]) for each in (a, b))
        assert (a[:n] == b[:n]).all() and (a[n:, 1] != b[n:, 1]).all() and (a[n + 2:, 2] != b[n + 2:, 2]).any()
    one, two = TimeTravel(model, USERS, TIMES), TimeTravel(other, USERS, TIMES)
    for a, b in zip(*([[[(widget.items[item], value) for item, value in top] + mean for top, mean in zip(*each)]
                       for each in zip(widget.lists, widget.unrated)] for widget in (one, two))):
        assert a[:4] == b[:4] and a[4] != b[4]  # the fourth date is that of the change


@pytest.mark.parametrize("over", ["file", "http"])
def test_taste_explorer_answers_keys_and_shows_the_model_values(show, model, over):
    widget = TasteExplorer(model, USERS)
    page = show(widget, over=over)

    def check(user, step):
        mine = DATA.take(DATA.users == int(user[5:]))
        days = mine.times // (2 * DAY)
        at = days == np.unique(days)[step - 1]
        items, times = mine.item_ids[mine.items[at]], mine.times[at]
        predicted = model.predict([user] * at.sum(), items, times)
        got = table(page, "ratings of the step")
        assert [row[0] for row in got] == items.tolist()
        assert np.array([row[1:] for row in got]) == pytest.approx(
            np.stack([mine.ratings[at], predicted, predicted - mine.ratings[at]], axis=1), abs=0.0062)
        errors = np.abs(predicted - mine.ratings[at])
        assert status(page).startswith(f"{user}, step {step} of {len(np.unique(days))}, ")
        assert number(status(page).split("|error| ")[1].split(",")[0]) == pytest.approx(errors.mean(), abs=0.0062)
        strokes = page.locator("svg[aria-label^=Path] .rb-curve").evaluate_all(
            "lines => lines.map(l => Number(l.getAttribute('stroke-opacity') ?? 1))")
        assert len(strokes) == step and strokes == sorted(strokes)  # older parts are fainter
        assert page.locator("svg[aria-label^=Path] .rb-other").count() == len(USERS) - 1

    n = len(widget.times[0])
    check("user-3", n)
    page.get_by_role("slider", name="step").press("ArrowLeft")
    check("user-3", n - 1)
    page.keyboard.press("Home")
    check("user-3", 1)
    page.keyboard.press("ArrowRight")  # the focus stayed
    check("user-3", 2)
    assert page.get_by_role("slider", name="step").get_attribute("aria-valuetext") == f"2 of {n}"
    page.get_by_role("combobox", name="user").press("ArrowDown")
    check("user-0", 2)
    page.get_by_role("combobox", name="user").select_option("user-29")
    drag_to(page, "step", 5)
    check("user-29", 5)


def test_a_single_step_and_a_single_factor_are_enough(show):
    data = RatingData(np.array([0, 1]), np.array([0, 0]), np.array([1.0, 2.0]), np.array([0.0, DAY]),
                      np.array([7, 8]), np.array([5]))
    model = fit(data, replace(SMALL, dynamic_size=1), device="cpu", progress=False)
    page = show(TasteExplorer(model, [8]), TimeTravel(model, [8], [DAY, 3 * DAY]))
    page.locator("svg[height]").nth(2).wait_for()
    assert status(page).startswith("8, step 1 of 1, 1970-01-02 00:00: 5 rated 2.00")
    assert status(page, 1).startswith("8 on 1970-01-04: every item is rated.")
    assert page.get_by_text("Nothing is left to recommend").is_visible() and "NaN" not in page.content()


# --- time travel ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["file", "http"])
def test_time_travel_answers_keys_and_shows_the_best_predictions(show, model, over):
    page = show(TimeTravel(model, USERS, TIMES, k=4), over=over)

    def recommended(user, time):
        """The four best and the mean of all that the user had not rated."""
        rated = DATA.items[(DATA.users == int(user[5:])) & (DATA.times < time)]
        left = np.delete(model.item_ids, np.unique(rated))
        predicted = model.predict([user] * len(left), left, [time] * len(left))
        best = np.argsort(-predicted)[:4]
        return left[best].tolist(), predicted[best], predicted.mean(), len(left)

    def check(user, t):
        items, predicted, mean, n = recommended(user, TIMES[t])
        got = table(page, "recommended")
        assert [row[0] for row in got] == items
        assert [row[1] for row in got] == pytest.approx(predicted, abs=0.0055)
        day = np.datetime64(int(TIMES[t]), "s").astype("datetime64[D]")
        assert status(page).startswith(f"{user} on {day}: ")
        means, rest = status(page).split("mean predicted rating ")[1].split(" of all ")
        means = [number(text) for text in means.split(", against ")]
        assert means == pytest.approx([predicted.mean(), mean], abs=0.0055)
        assert rest.startswith(f"{n} item")
        before = recommended(user, TIMES[t - 1])[0] if t else items
        new = page.locator("tr", has=page.get_by_text("new", exact=True)).locator("th").evaluate_all(
            "cells => cells.map(c => c.firstChild.data)")
        assert new == [item for item in items if item not in before]
        begin = TIMES[t - 1] if t else 0
        since = (DATA.users == int(user[5:])) & (DATA.times >= begin) & (DATA.times < TIMES[t])
        rated = table(page, "rated in between")
        assert [row[0] for row in rated] == DATA.item_ids[DATA.items[since]][::-1].tolist()
        assert [row[1] for row in rated] == pytest.approx(DATA.ratings[since][::-1], abs=0.0055)
        assert f"{len(rated)} rating" in status(page)
        hits = page.get_by_text("was on the list").count()
        assert hits == (sum(row[0] in before for row in rated) if t else 0)

    slider = page.get_by_role("slider", name="date")
    check("user-3", 4)
    assert slider.get_attribute("aria-valuetext") == "2020-01-21"
    slider.press("Home")
    for t in range(5):
        check("user-3", t)
        page.keyboard.press("ArrowRight")
    page.get_by_role("combobox", name="user").press("ArrowDown")
    check("user-0", 4)
    page.get_by_role("combobox", name="user").select_option("user-29")
    drag_to(page, "date", 2)
    check("user-29", 2)


def test_only_the_latest_of_many_ratings_are_listed(show, model):
    page = show(TimeTravel(model, USERS, TIMES[[0, 4]]))
    rated = table(page, "rated in between")
    assert len(rated) == 12 and page.get_by_text("the last 12 of 20").is_visible()
    assert rated[0][0] == DATA.item_ids[DATA.items[DATA.users == 3][-1]]


# --- both -------------------------------------------------------------------------------------------------


def test_names_are_shown_as_text(show):
    data = RatingData(DATA.users, DATA.items, DATA.ratings, DATA.times,
                      np.array([EVIL, *DATA.user_ids[1:]], dtype=object), DATA.item_ids)
    model = fit(data, SMALL, device="cpu", progress=False)
    titles = dict.fromkeys(DATA.item_ids, EVIL)
    page = show(TasteExplorer(model, [EVIL, "user-1"], titles=titles),
                TimeTravel(model, [EVIL], TIMES[:3], titles=titles))
    page.locator("svg[height]").nth(2).wait_for()
    page.get_by_role("slider", name="step").press("Home")
    page.get_by_role("combobox", name="user").nth(0).press("ArrowDown")
    assert shown_as_text(page)
    for name in ("ratings of the step", "recommended"):
        assert EVIL in page.get_by_role("region", name=name).text_content()
    assert EVIL in status(page, 1)


def test_the_state_is_small():
    data = RatingWorld(n_users=8, n_items=50, n_steps=100).sample()
    model = fit(data, replace(SMALL, user_step=0.0, n_epochs=1), device="cpu", progress=False)
    dates = START + DAY * np.arange(8, 104, 8)
    widgets = TasteExplorer(model, data.user_ids), TimeTravel(model, data.user_ids, dates)
    for widget, most in zip(widgets, (60_000, 20_000)):
        assert len(json.dumps(widget.state(), separators=(",", ":"))) < most


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_no_overflow_and_screenshots(show, model, screenshots, theme, width):
    titles = {"item-1": "The Unbelievably Long Title of a Movie That Nobody Saw, Part II: The Return (1997)",
              "item-2": "A" * 60}
    widgets = {"tastes": TasteExplorer(model, USERS, titles=titles),
               "travel": TimeTravel(model, USERS, TIMES, titles=titles)}
    for widget in widgets.values():
        widget.users = [widget.users[0], "a-user-" * 12, *widget.users[2:]]
    page = show(*widgets.values(), theme=theme, width=width)
    page.locator("svg[height]").nth(2).wait_for()
    for step in range(4):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for name, box in zip(widgets, page.locator(".rnnbook-widget").all(), strict=True):
            if step == 1:
                box.screenshot(path=screenshots / f"{name}-{theme}-{width}.png")
            assert box.evaluate("""el => [...el.querySelectorAll("svg[role] text, svg[role] rect")].every(t => {
                const [a, b] = [t.getBoundingClientRect(), el.getBoundingClientRect()];
                return a.left >= b.left && a.right <= b.right; })""")
            assert box.evaluate("""el => [...el.querySelectorAll(".rb-scroll, .rb-status")].every(
                t => t.scrollWidth <= t.clientWidth)""")
        for slider in page.get_by_role("slider").all():
            slider.press("ArrowLeft")
        if step == 2:
            for select in page.get_by_role("combobox").all():
                select.press("ArrowDown")
