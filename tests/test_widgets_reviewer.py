"""The widget that writes reviews in a real browser: what it shows equals what `Joint.writing` yields."""

import json
import re
import unicodedata
from dataclasses import replace
from itertools import chain, product

import numpy as np
import pytest
import torch
from test_joint import SMALL, TRAIN, some_reviews
from test_widgets import EVIL, status

from rnnbook.joint import END, UNKNOWN, JointConfig, decode, fit, new_model
from rnnbook.widgets import Reviewer, reviewer

USERS, ITEMS, RATINGS, SEEDS = [103, 100], ["item-2", "item-0", "item-5"], [-1.25, 0.0, 2], [3, 5]
HOSTILE = '\x00\x07\t\n "&/<>b\x7f\x85\xa0\u0301\u2028\u202e\U000e0001'  # in the order of code points
PICTURE = {" ": ("␣", "space"), "\n": ("⏎", "newline"), "\t": ("⇥", "tab")}
TOP = reviewer.LIKELIEST


REVIEWS = ["good", "bad", "so so", "a\tb\n", "ä"]
TRAIN_END = some_reviews(200, words=REVIEWS).ratings.times[-1]


def sharp(words, **changes):
    """An untrained model of such reviews that is not undecided: told and characters matter."""
    config = replace(SMALL, **changes)
    model = new_model(some_reviews(200, words=words), config, device="cpu", seed=1)
    with torch.no_grad():
        for layer, times in ((model.writer.to_joint, 8), (model.writer.lstm, 6), (model.writer.out, 12)):
            for p in layer.parameters():
                p.mul_(times)
        model.writer.out.bias[END] -= 1
        for side in model.sides:
            side.anchor.weight.mul_(30)
    return model


@pytest.fixture(scope="module")
def model():
    return sharp(REVIEWS)


@pytest.fixture(scope="module")
def widget(model):
    return Reviewer(model, USERS, ITEMS, RATINGS, length=30, seeds=SEEDS)


@pytest.fixture(scope="module")
def largest(model):
    """About the most that fits a page; it takes half a minute to write."""
    return Reviewer(model, USERS, ITEMS, range(5), length=200, seeds=range(2))


@pytest.fixture(scope="module")
def hostile():
    model = sharp([*HOSTILE])
    assert model.alphabet == HOSTILE
    return model


def places(widget):
    """Of each review its place in the widget, and what it was written for."""
    choices = (USERS, ITEMS, RATINGS, SEEDS)
    return zip(product(*map(range, map(len, choices))), product(*choices), widget.reviews, strict=True)


def text_of(draws, alphabet):
    return decode([symbol for symbol, *_ in draws[:-1]], alphabet)


def percent(p):
    """As the page prints a probability in percent."""
    return "< 0.1 %" if p == 0 else "> 99.9 %" if p == 100 else f"{p:.1f} %"


def sign(symbol, alphabet):
    """What the list of characters shows for a symbol: a sign, and the name of one that is not its own."""
    if symbol in (END, UNKNOWN):
        return [("∎", "the end"), ("\ufffd", "unknown")][symbol]
    c = alphabet[symbol - 2]
    if c in PICTURE:
        return PICTURE[c]
    code = f"U+{ord(c):04X}"
    kind = unicodedata.category(c)[0]
    return (code, "invisible") if kind in "CZ" else (f"◌{c}", code) if kind == "M" else (c, "")


def paper(page):
    return page.get_by_role("group", name="review so far").text_content()


def on_paper(symbols, alphabet):
    """The text of symbols as the page shows it."""
    kept = (" ", "\u0301")
    return "".join(alphabet[s - 2] if s > UNKNOWN and alphabet[s - 2] in kept
                   else sign(s, alphabet)[0] + "\n" * (s > UNKNOWN and alphabet[s - 2] == "\n") for s in symbols)


def listed(page):
    """Rows of the list of next characters: name, share of the width, probability."""
    return page.get_by_role("table", name="likeliest next characters").locator("tbody tr").evaluate_all(
        "rows => rows.map(r => [r.cells[0].textContent, r.querySelector('div').style.width, r.cells[2].textContent])")


def check_step(page, draws, k, alphabet):
    """Text, list and status after k characters of a review."""
    n = len(draws) - 1
    over, cut = k == n and draws[n][0] == END, k == n and draws[n][0] != END
    symbols = [symbol for symbol, *_ in draws[:k]]
    assert paper(page) == on_paper(symbols, alphabet) + ("∎" if over else "…" if cut else "")
    likeliest = list(zip(draws[k][2::2], draws[k][3::2]))
    *rows, others = listed(page)
    assert [(name, p) for name, _, p in rows] == [
        (" ".join(filter(None, sign(s, alphabet))), percent(p)) for s, p in likeliest]
    assert [float(width[:-1]) for _, width, _ in rows] == pytest.approx([p for _, p in likeliest])
    assert others[0] == f"{len(alphabet) + 2 - len(likeliest)} others"
    assert others[2] == percent(max(0, round(100 - sum(p for _, p in likeliest), 1)))
    told = status(page)
    if k:
        drawn, p, *rest = draws[n if over else k - 1]
        place = rest[::2].index(drawn) if drawn in rest[::2] else None
        rank = ["the likeliest", "the second likeliest", "the third likeliest", "the fourth likeliest",
                "the fifth likeliest", "the sixth likeliest"][place] if place is not None else "not among the likeliest"
        characters = f"{k} character{'s' * (k != 1)}"
        if over:
            assert told == f"The review is over after {characters}: its end was drawn with {percent(p)}, {rank}."
        elif cut:
            assert told.startswith(f"Cut off after {characters}. Likeliest next: ")
        else:
            assert told.startswith(f"{characters} so far. The last, ")
            assert f" was drawn with {percent(p)}, {rank}. " in told
    else:
        assert told.startswith("Nothing is written yet. Likeliest to begin: ") or over
    if not over:
        assert told.endswith(f", {percent(likeliest[0][1])}.")


# --- What it holds ----------------------------------------------------------------------------------------


def test_impossible_settings_are_refused(model):
    for changes, message in (({"users": []}, "0 users; the widget shows 1 to 4"),
                             ({"users": [*range(100, 105)]}, "5 users"), ({"items": []}, "0 items"),
                             ({"items": ["item-1"] * 7}, "7 items; the widget shows 1 to 6"),
                             ({"ratings": []}, "0 ratings"), ({"ratings": range(6)}, "6 ratings"),
                             ({"seeds": ()}, "0 seeds"), ({"seeds": range(9)}, "9 seeds"),
                             ({"length": 0}, "length is 0"), ({"length": 201}, "length is 201; .* 1 to 200"),
                             ({"ratings": [1.0, float("nan")]}, "finite"), ({"ratings": [float("inf")]}, "finite"),
                             ({"users": [100, "nobody"]}, "'nobody' is unknown"),
                             ({"items": ["item-0", "nothing"]}, "'nothing' is unknown"),
                             ({"temperature": -1.0}, "temperature=-1.0")):
        with pytest.raises(ValueError, match=message):
            Reviewer(model, **({"users": USERS, "items": ITEMS, "ratings": RATINGS, "length": 5} | changes))


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_it_holds_what_the_model_writes(model, temperature):
    widget = Reviewer(model, USERS, ITEMS, RATINGS, length=30, temperature=temperature, seeds=SEEDS)
    ends = set()
    for _, (user, item, rating, seed), draws in places(widget):
        steps = list(model.sample_characters(user, item, rating, temperature=temperature, max_length=30, seed=seed))
        assert text_of(draws, model.alphabet) == "".join(c for c, _ in steps)
        ends.add(draws[-1][0] == END)
        for (symbol, chance, *rest), (_, p) in zip(draws, steps):
            best = np.argsort(-p, kind="stable")[:TOP]
            assert rest[::2] == best[:len(rest) // 2].tolist()
            assert [chance, *rest[1::2]] == [round(value, 1) for value in [chance, *rest[1::2]]]
            np.testing.assert_allclose(np.array(rest[1::2]) / 100, p[rest[::2]], rtol=0, atol=0.00051)
            assert (p[best][len(rest) // 2:] < 0.00051).all() and chance / 100 == pytest.approx(p[symbol], abs=0.00051)
    assert ends == ({True, False} if temperature else {False})  # reviews that end, and such that are cut off


@torch.no_grad()
def test_the_last_draw_is_that_of_the_end(model, widget):
    n_ended = 0
    for _, (user, item, rating, _), draws in places(widget):
        users, items = model.terms_at([user], [item], [TRAIN_END + 1])
        [predicted] = model.ratings(users, items)
        items = items._replace(bias=items.bias + (rating - predicted) / model.scale["std"])
        x = model.writer.x_joint(users, items)
        h, _ = model.writer(torch.tensor([[END], *([s] for s, *_ in draws[:-1])]), x)
        chances = torch.softmax(model.writer.out(h[-1, 0]), 0)
        assert draws[-1][1] / 100 == pytest.approx(chances[draws[-1][0]].item(), abs=0.00051)
        n_ended += draws[-1][0] == END
    assert n_ended > 5


def test_it_holds_the_predicted_ratings(model, widget):
    now = TRAIN_END + 1
    for i, user in enumerate(USERS):
        np.testing.assert_allclose(widget.predicted[i], model.predict([user] * 3, ITEMS, [now] * 3), rtol=1e-3)
    assert len({*np.ravel(widget.predicted)}) == 6
    assert widget.ratings == [-1.25, 0.0, 2.0] and widget.users == ["103", "100"] and widget.step == 0


def test_a_page_is_not_filled(model, monkeypatch):
    big = {"users": [100, 101, 102, 103], "items": [f"item-{i}" for i in range(6)], "length": 200, "seeds": range(8)}
    written = []
    monkeypatch.setattr(reviewer, "_draws", lambda *args: written.append(args) or [[9, 99.9] * 7] * 201)
    with pytest.raises(ValueError, match="more than 300 kB to the page; take fewer users"):
        Reviewer(model, **big)
    assert len(written) < 40  # it is not written to the end to be thrown away


def test_the_state_is_small_and_repeatable(model, widget, largest):
    assert widget.state() == Reviewer(model, USERS, ITEMS, RATINGS, length=30, seeds=SEEDS).state()
    assert len(json.dumps(largest.state(), separators=(",", ":"))) < 310_000


def test_a_trained_model_writes_for_the_rating(show):
    """A tiny one learns that all reviews of 1 say bad and all of 5 good, and what the page shows says so."""
    words = {1: "bad", 5: "good"}
    ratings = replace(TRAIN.ratings, ratings=np.where(TRAIN.ratings.ratings < 3, 1.0, 5.0))
    texts = [words[r] for r in ratings.ratings]
    reviews = replace(TRAIN, ratings=ratings, characters=np.array([*map(ord, "".join(texts))], dtype=np.uint32),
                      offsets=np.append(0, np.cumsum([len(t) for t in texts])))
    config = JointConfig(**(SMALL.__dict__ | {"n_epochs": 60, "warm_up": 5, "learning_rate": 0.03, "text_weight": 20.0,
                                              "text_hidden_size": 16}))
    model = fit(reviews, config, device="cpu", progress=False)
    page = show(Reviewer(model, [100], ["item-1"], ratings=(-5, 11), length=10, temperature=0.0))
    page.get_by_role("button", name="Next character").press("End")
    low = paper(page)
    page.get_by_role("combobox", name="rating").select_option("11")
    assert (low, paper(page)) == ("bad∎", "good∎")


# --- In the browser ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["file", "http"])
def test_it_answers_keys_and_buttons(show, widget, over):
    page = show(widget, over=over)
    index = next(i for i, each in enumerate(widget.reviews) if i % 2 and each[-1][0] == END and len(each) > 6)
    place, (user, item, rating, seed), draws = list(places(widget))[index]
    n = len(draws) - 1
    for name, i in zip(("user", "item", "rating"), place):
        select = page.get_by_role("combobox", name=name)
        assert select.evaluate("select => select.selectedIndex") == 0
        for _ in range(i):
            select.press("ArrowDown")
    for _ in range(place[3]):
        page.get_by_role("button", name="Another draw (1 of 2)").press("Enter")
    assert page.locator(".rb-heading").first.text_content() == (
        f"{user} on {item}, rating it {['−1.25', '0', '2'][place[2]]}")
    told = page.get_by_text("Rating that the model itself predicts: ").text_content().split(": ")[1]
    assert float(told.replace("−", "-")) == pytest.approx(widget.predicted[place[0]][place[1]], abs=0.0052)

    check_step(page, draws, 0, widget.alphabet)
    button = page.get_by_role("button", name="Next character")
    for k in range(1, 4):
        button.press(["Enter", "Space"][k % 2])
        check_step(page, draws, k, widget.alphabet)
    for key, k in (("ArrowRight", 4), ("ArrowLeft", 3), ("Home", 0), ("ArrowLeft", 0), ("End", n), ("ArrowRight", n),
                   ("ArrowLeft", n - 1), ("ArrowRight", n)):
        page.keyboard.press(key)
        check_step(page, draws, k, widget.alphabet)
    page.get_by_role("button", name="Again").click()
    check_step(page, draws, 0, widget.alphabet)
    page.keyboard.press("Control+ArrowRight")
    check_step(page, draws, 0, widget.alphabet)


def test_every_choice_shows_its_own_review(show, widget):
    page = show(widget)
    button = page.get_by_role("button", name="Another draw")
    for (*place, draw), _, draws in places(widget):
        for name, i in zip(("user", "item", "rating"), place):
            page.get_by_role("combobox", name=name).select_option(index=i)
        if button.text_content() != f"Another draw ({draw + 1} of 2)":
            button.click()
        button.press("Home")
        check_step(page, draws, 0, widget.alphabet)
        button.press("End")
        check_step(page, draws, len(draws) - 1, widget.alphabet)
        button.press("ArrowLeft")
        check_step(page, draws, max(len(draws) - 2, 0), widget.alphabet)


def test_a_choice_leaves_whole_what_is_whole(show, widget):
    page = show(widget)
    page.get_by_role("combobox", name="rating").select_option(index=2)
    page.get_by_role("button", name="Next character").press("End")
    lengths = [len(widget.reviews[2 * r]) - 1 for r in (2, 1, 0)]
    assert lengths == sorted(lengths) and lengths[0] < lengths[2]
    for r in (2, 1, 0):
        page.get_by_role("combobox", name="rating").select_option(index=r)
        check_step(page, widget.reviews[2 * r], lengths[2 - r], widget.alphabet)


def test_keys_in_a_select_choose_and_do_not_write(show, widget):
    page = show(widget)
    select = page.get_by_role("combobox", name="rating")
    for key, rating in (("End", 2), ("Home", 0)):
        select.press(key)
        check_step(page, widget.reviews[2 * rating], 0, widget.alphabet)


def test_the_whole_review_is_written_out_and_can_be_paused(show, widget):
    page = show(widget)
    page.clock.install()  # time is the page's own: passed over where nothing may happen in it
    page.get_by_role("combobox", name="rating").select_option(index=1)
    draws = widget.reviews[2]
    n = len(draws) - 1
    assert n > 8
    page.clock.run_for(10_000)
    assert paper(page) == ""  # nothing moves unasked
    seen = page.evaluate("""() => new Promise(done => {
        const [paper, states] = [document.querySelector(".rb-paper"), []];
        const status = document.querySelector("[role=status]");
        new MutationObserver(() => {
          states.push([paper.textContent, status.getAttribute("aria-live")]);
          if (/^(The review is over|Cut off)/.test(status.textContent)) done(states);
        }).observe(status, { childList: true });
        [...document.querySelectorAll("button")].find(b => b.textContent === "Whole review").click();
    })""")
    assert [len(text) for text, _ in seen] == sorted(len(text) for text, _ in seen) and len(seen) == n
    assert [live for _, live in seen] == ["off"] * (n - 1) + ["polite"]
    check_step(page, draws, n, widget.alphabet)

    button = page.get_by_role("button", name="Whole review")
    button.click()  # once more, from the beginning
    page.get_by_role("button", name="Pause").click()
    text = paper(page)
    page.clock.run_for(10_000)
    assert paper(page) == text and len(text) < n and button.is_visible()
    button.click()
    page.get_by_role("combobox", name="rating").select_option(index=2)  # a choice stops it
    assert button.is_visible()
    button.click()
    page.get_by_role("button", name="Again").click()
    page.clock.run_for(10_000)
    assert paper(page) == "" and button.is_visible()


def test_who_wants_no_motion_gets_the_review_at_once(show, widget):
    page = show(widget)
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("combobox", name="rating").select_option(index=1)
    page.get_by_role("button", name="Whole review").click()
    assert page.get_by_role("button", name="Pause").count() == 0
    check_step(page, widget.reviews[2], len(widget.reviews[2]) - 1, widget.alphabet)


def test_no_text_is_markup_and_nothing_stays_invisible(show, hostile):
    widget = Reviewer(hostile, [100], ["item-0"], [3.0], length=60)
    symbols = [*range(1, len(HOSTILE) + 2), *([HOSTILE.index(c) + 2 for c in '<b>"&'])]
    widget.reviews = [[[s, 10.0, s, 10.0, END, 0.5] for s in [*symbols, END]]]
    widget.users, widget.items = [EVIL], [EVIL]
    page = show(widget)
    for k in range(len(symbols) + 1):
        check_step(page, widget.reviews[0], k, HOSTILE)
        page.get_by_role("button", name="Next character").click()
    text = paper(page)
    assert '<b>"&' in text and "\ufffd" in text and not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\xa0\u2028\u202e]", text)
    assert page.locator("b, img").count() == 0 and page.title() == "page"
    assert page.locator(".rb-heading").first.text_content() == f"{EVIL} on {EVIL}, rating it 3"


@pytest.mark.parametrize("width", [800, 360])
def test_reviews_of_a_hostile_alphabet(show, hostile, width):
    widget = Reviewer(hostile, [100], ["item-0"], [3.0], length=60, seeds=[1])
    longest = HOSTILE.index("\U000e0001") + 2
    widget.reviews = [[*widget.reviews[0], [END, 100.0, longest, 40.0]]]
    page = show(widget, width=width)
    for k in range(len(widget.reviews[0])):
        check_step(page, widget.reviews[0], k, HOSTILE)
        assert page.locator(".rb-next").evaluate(
            "el => [...el.querySelectorAll('th, td')].every(cell => cell.scrollWidth <= cell.clientWidth)")
        page.get_by_role("button", name="Next character").press("ArrowRight")


@pytest.mark.parametrize("temperature,note", [(1.0, None), (0.7, "Drawn at temperature 0.7: sharper than these."),
                                              (2, "Drawn at temperature 2: flatter than these."),
                                              (0, "Temperature 0: the likeliest is taken every time.")])
def test_draws_that_are_not_from_these_probabilities_are_said_to_be_so(show, model, temperature, note):
    page = show(Reviewer(model, [100], ["item-0"], [3.0], length=5, temperature=temperature))
    assert page.locator("p.rb-muted").all_text_contents() == [note] * (note is not None)
    assert page.get_by_role("button", name="Another draw").count() == 0  # there is one draw


def test_a_model_that_knows_no_character_and_one_that_says_nothing(show):
    model = sharp([""])
    assert model.alphabet == " "
    with torch.no_grad():
        model.writer.out.bias[END] = 1e4
    page = show(Reviewer(model, [100], ["item-0"]))
    assert status(page) == "The review is over after 0 characters: its end was drawn with > 99.9 %, the likeliest."
    page.get_by_role("button", name="Whole review").click()
    assert paper(page) == "∎" and listed(page) == [["∎ the end", "100%", "> 99.9 %"], ["2 others", "0%", "< 0.1 %"]]


def test_two_on_a_page_move_alone(show, widget):
    page = show(widget, widget)
    for i in range(2):
        page.get_by_role("combobox", name="rating").nth(i).select_option(index=1)
    page.get_by_role("button", name="Next character").nth(1).click()
    assert status(page, 0).startswith("Nothing") and status(page, 1).startswith("1 character so far")


def contrast(page, selector):
    """The least contrast of such elements' text against what they stand on."""
    return page.locator(selector).evaluate_all("""nodes => {
      const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const over = (...colours) => {
        colours.forEach((c) => { paint.fillStyle = c; paint.fillRect(0, 0, 1, 1); });
        return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
      };
      const light = (rgb) => rgb.map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      return Math.min(...nodes.map((node) => {
        const grounds = [];
        for (let n = node; n; n = n.parentElement) grounds.unshift(getComputedStyle(n).backgroundColor);
        const [a, b] = [over(...grounds), over(...grounds, getComputedStyle(node).color)].map(light);
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      }));
    }""")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_no_overflow_contrast_and_screenshots(show, screenshots, monkeypatch, largest, theme, width):
    long = [largest.alphabet.index(c) + 2 for c in "good\tä"] * 34
    long = [[s, 10.0, s, 40.0, 1, 20.0, 2, 15.0, 3, 10.0, 4, 5.0, 0, 5.0] for s in long[:201]]
    monkeypatch.setattr(largest, "users", ["a-user-" * 12, "100"])
    monkeypatch.setattr(largest, "reviews", [long, *largest.reviews[1:]])
    page = show(largest, theme=theme, width=width)
    status(page)
    box = page.locator(".rnnbook-widget")
    for step, key in enumerate(["ArrowRight", "End", "Home", "ArrowRight", "ArrowRight", "End"]):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert box.evaluate("""el => [...el.querySelectorAll("p, table, .rb-paper, .rb-buttons")].every(
            t => t.scrollWidth <= t.clientWidth && t.scrollWidth <= t.parentNode.clientWidth)""")
        for selector in (".rb-paper", ".rb-sign, mark, .rb-next :is(th, td), .rb-muted", "button, option, .rb-status"):
            assert contrast(page, selector) >= 4.5, selector
        page.get_by_role("button", name="Next character").press(key)
        if step == 1:
            box.screenshot(path=screenshots / f"reviewer-{theme}-{width}.png")
        if step == 2:
            page.get_by_role("combobox", name="user").select_option("100")


@pytest.mark.parametrize("width", [800, 360])
def test_nothing_jumps_while_it_writes(show, model, width):
    widget = Reviewer(model, USERS[:1], ITEMS[:1], RATINGS[:1], length=60, seeds=[0])
    certain = [[s, 100.0, s, 100.0] for s in (2, 4, 5)]  # one row only
    open_ = [[s, 10.0, *chain(*([r, 10.0] for r in range(5, 11)))] for s in range(3, 11)]
    widget.reviews = [[*certain, *open_, *certain]]
    page = show(widget, width=width)
    found = set()
    for _ in range(len(widget.reviews[0])):
        status(page)
        found.add((page.locator(".rb-status").bounding_box()["y"],
                   page.locator(".rnnbook-widget").bounding_box()["height"]))
        page.get_by_role("button", name="Next character").press("ArrowRight")
    assert len(found) == 1
