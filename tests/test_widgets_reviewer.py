"""The network that writes in the page, in a real browser: its probabilities and texts are those of the package, and the
optimum's those of all reviews that the world can write."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm
from test_joint import SMALL, TRAIN, some_reviews
from test_widgets import EVIL, drag_to, shown_as_text, status

from rnnbook.interactions.lookup import find_ids
from rnnbook.joint import END, UNKNOWN, JointConfig, encode, fit, new_model
from rnnbook.widgets import Reviewer
from rnnbook.widgets.base import HERE
from rnnbook.worlds import MovingReviewWorld, ReviewWorld
from rnnbook.worlds.reviews import CLOSINGS, EDGES, OPENINGS, WORDS

WORLD = ReviewWorld(n_items=12, n_users=6, n=3, noise=0.8)
DATA, *_ = WORLD.split(WORLD.sample())
USERS, ITEMS = ["user-3", "user-0"], ["item-2", "item-0", "item-11"]
HOSTILE = '\x00\x07\t\n "&/<>b\x7f\x85\xa0\u0301\u2028\u202e\U000e0001'  # in the order of code points
SCRIPT = "".join((HERE / f"{name}.js").read_text(encoding="utf-8").replace("export default { render };", "")
                 for name in ("engine", "reviews", "reviewer"))


def sharp(data, **changes):
    """An untrained model that is not undecided: told and characters matter. The writer's weights have 16 bits."""
    model = new_model(data, replace(SMALL, **changes), device="cpu", seed=1)
    with torch.no_grad():
        for layer, times in ((model.writer.to_joint, 8), (model.writer.lstm, 6), (model.writer.out, 12)):
            for p in layer.parameters():
                p.mul_(times)
        model.writer.out.bias[END] += 8
        for side in model.sides:
            side.anchor.weight.mul_(30)
        for _, _, b, c in model.writer.lstm.all_weights:  # the page has their sum
            b.copy_((b + c).half())
            c.zero_()
        for layer in (model.writer.character, model.writer.lstm, model.writer.out):
            for p in layer.parameters():
                p.copy_(p.half())
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return sharp(DATA)


@pytest.fixture
def widget(model):
    return Reviewer(model, USERS, ITEMS, WORLD, DATA, length=60)


@torch.no_grad()
def chances(model, user, item, rating, text):
    """P(next symbol) after a text, float64 [n_symbols], by the package."""
    users, items = model.terms_at([user], [item], [model.seen.times[-1] + 1])
    if rating is not None:
        [predicted] = model.ratings(users, items)
        items = items._replace(bias=items.bias + (rating - predicted) / model.scale["std"])
    x = model.x_joint(users, items, find_ids([item], model.item_ids))
    symbols = encode(np.array([ord(c) for c in text], dtype=np.uint32), model.alphabet)
    h, _ = model.writer(torch.tensor([END, *symbols.tolist()])[:, None], x)
    return torch.softmax(model.writer.out(h[-1, 0]).double(), 0).numpy()


def best(item, rating, text, world=WORLD, data=DATA):
    """P(next character), "" for the end, of someone who knows the law and the item's past: a dict. By brute force."""
    rows = np.flatnonzero(data.ratings.items == int(item[5:]))
    q, spread = np.linspace(-8, 8, 8001), world.text_noise
    edges = np.concatenate([[-np.inf], EDGES, [np.inf]])
    about = q if world.text != "independent" else 0 * q
    if world.text != "quality":
        spread = world.noise if world.text == "rating" else np.hypot(1, spread)
    law = np.diff(norm.cdf((edges[:, None] - about) / spread), axis=0)  # [n_words, n]
    p = norm.pdf(q)
    for r in [*data.ratings.ratings[rows], *([] if rating is None else [rating])]:
        p = p * norm.pdf(r, q, world.noise)
    if world.text == "quality":
        for k in world.tokens(data.take(rows)):
            p = p * law[k]
    words = law @ p / p.sum()
    if world.text == "rating" and rating is not None:
        words = np.arange(20) == np.searchsorted(EDGES, rating)
    total = {}
    for opening in OPENINGS:
        for word, share in zip(WORDS, words):
            for closing in CLOSINGS:
                if (sentence := opening + word + closing).startswith(text):
                    following = sentence[len(text):len(text) + 1]
                    total[following] = total.get(following, 0.0) + share
    return {c: mass / sum(total.values()) for c, mass in total.items()} if sum(total.values()) else {}


def choose(page, user=None, item=None, rating=None, temperature=None, start=None):
    for name, value in (("user", user), ("item", item)):
        if value is not None:
            page.get_by_role("combobox", name=name).select_option(value)
    if rating == "as predicted":
        page.get_by_role("checkbox").check()
    elif rating is not None:
        drag_to(page, "rating", rating)
    if temperature is not None:
        drag_to(page, "temperature", temperature)
    if start is not None:
        page.get_by_role("textbox", name="The review begins with").fill(start)


def paper(page):
    return page.get_by_role("group", name="review so far").text_content()


def listed(page):
    """{what is shown: [probabilities]} of the list of next characters, the others last."""
    rows = page.get_by_role("table", name="next characters").locator("tbody tr").evaluate_all(
        """rows => rows.filter(r => r.style.visibility !== "hidden").map(r => [r.cells[0].textContent,
            [...r.querySelectorAll("td.rb-number")].map(cell => Number(cell.dataset.value))])""")
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def sign(c):
    return {"": "∎ the end", " ": "␣ space"}.get(c, c)


def check_next(page, model, user, item, rating, text):
    """The list has the package's probabilities and the optimum's, and leaves out what is below half a percent."""
    found, p, q = listed(page), chances(model, user, item, rating, text), best(item, rating, text)
    expected = {sign(c): (p[symbol], q.get(c, 0.0))
                for symbol, c in zip([END, *range(2, len(p))], ["", *model.alphabet])}
    expected["\ufffd unknown"] = p[UNKNOWN], 0.0
    *rows, others = found
    assert others == "others"
    for name in rows:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=2e-5)
    left = {name for name, both in expected.items() if max(both) > 0.00501} - set(rows)
    assert not left or (len(rows) == 11 and max(max(expected[name]) for name in left)
                        <= min(max(found[name]) for name in rows) + 4e-5)
    np.testing.assert_allclose(np.sum([*found.values()], axis=0), [1, 1 if q else 0], atol=1e-9)


# --- Numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["file", "http"])
def test_the_next_character_is_that_of_the_package_and_of_the_world(show, model, widget, over):
    page = show(widget, over=over)
    for user, item, rating, text in ((USERS[0], ITEMS[0], None, ""), (USERS[1], ITEMS[2], None, "It was "),
                                     (USERS[1], ITEMS[1], 2.5, "Simply d"), (USERS[0], ITEMS[2], -3.0, "I f"),
                                     (USERS[1], ITEMS[2], 0.4, "My verdict: brilliant"),
                                     (USERS[0], ITEMS[0], 1.7, "It "), (USERS[1], ITEMS[0], 3.0, "bad"),
                                     (USERS[0], ITEMS[1], None, "Honestly good, so far."),
                                     (USERS[1], ITEMS[0], 3.0, "?")):
        choose(page, user, item, "as predicted" if rating is None else rating, start=text)
        check_next(page, model, user, item, rating, text)
    assert "writes no review that begins so" in page.locator(".rb-known").text_content()
    assert len({tuple(chances(model, user, item, 1.0, "It ")) for user in USERS for item in ITEMS}) == 6


@pytest.mark.parametrize("layers", [1, 2])
def test_with_sixteen_bits_probabilities_hardly_move(new_tab, layers):
    """A network that has learnt, with all of its bits in the package and 16 in the page: the whole distribution."""
    config = replace(SMALL, n_epochs=60, learning_rate=0.02, text_weight=20.0, text_hidden_size=24, text_layers=layers)
    model = fit(DATA, config, device="cpu", progress=False)
    state, worst, sure = Reviewer(model, USERS, ITEMS, length=60).state(), 0.0, 0.0
    page = new_tab()
    for i, text in enumerate(("", "It was ", "Honestly terr", "All in all good overall.", "My verdict: perfect, I ")):
        user, item, rating = i % 2, i % 3, [None, -2.0, 2.0][i % 3]
        symbols = encode(np.array([ord(c) for c in text], dtype=np.uint32), model.alphabet).tolist()
        p = page.evaluate("([state, x, symbols]) => {" + SCRIPT + """
            const E = engine(), { weights, hidden_size } = state;
            const open = (v) => Object.fromEntries(Object.entries(v).map(([name, each]) => [name, E.unpack(each)]));
            const { layers, ...rest } = weights;
            const read = characterWriter({ layers: layers.map(open), ...open(rest) }, hidden_size);
            return [...[0, ...symbols].reduce((at, symbol) => read(symbol, x, at?.state), null).p];
        }""", [state, np.tanh(np.array(state["told"][user][item]) + (0 if rating is None else (
            rating - state["predicted"][user][item]) * np.array(state["slope"]))).tolist(), symbols])
        expected = chances(model, USERS[user], ITEMS[item], rating, text)
        assert len(p) == len(model.alphabet) + 2 and sum(p) == pytest.approx(1)
        worst, sure = max(worst, np.abs(p - expected).max()), max(sure, expected.max())
    assert worst < 0.005 and sure > 0.9


@pytest.mark.parametrize("text", ["quality", "rating", "independent"])
def test_the_optimum_is_that_of_all_reviews_in_each_world(new_tab, model, text):
    world = replace(WORLD, text=text, text_noise=0.3)
    data, *_ = world.split(world.sample())
    state, page = Reviewer(sharp(data), USERS, ITEMS, world, data).state(), new_tab()
    for i, (prefix, rating) in enumerate((("", None), ("It was ", None), ("It was ", 2.6), ("All in all p", -1.0),
                                          ("Simply good", None), ("Simply good.", 0.5), ("Nothing", None))):
        found = page.evaluate("([state, item, rating, text]) => {" + SCRIPT + """
            const world = reviewWorld(state.law), [ratings, words] = state.pasts[item];
            const p = world.posterior(rating === null ? ratings : [...ratings, rating], words);
            return [...world.follow(text, world.wordChances(p, rating)).at(-1)];
        }""", [state, i % 3, rating, prefix])
        expected = {c: p for c, p in best(ITEMS[i % 3], rating, prefix, world, data).items() if p > 0}
        assert dict(found) == pytest.approx(expected, abs=3e-7), (prefix, rating)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
def test_it_writes_what_the_package_writes(show, model, widget, temperature):
    """The same seed, the same draws: from the page as from `Joint.write`, and each time again."""
    page, ends = show(widget), set()
    page.emulate_media(reduced_motion="reduce")
    choose(page, temperature=temperature)
    for seed in range(4):
        user, item, rating = USERS[seed % 2], ITEMS[seed % 3], [None, -1.5, 2.0][seed % 3]
        choose(page, user, item, "as predicted" if rating is None else rating)
        if seed == 0:
            page.get_by_role("button", name="Whole review").click()
        expected = model.write(user, item, rating=rating, temperature=temperature, max_length=60, seed=seed)
        steps = list(model.sample_characters(user, item, rating, None, temperature, 60, seed))
        over = steps[-1][0] == ""
        ends.add(over)
        assert paper(page) == expected + ("∎" if over else "…")
        told = float(re.search(r"surprise in all: ([\d.]+)|$", status(page), re.IGNORECASE)[1] or 0) if over else None
        if over:
            bits = -sum(np.log2(p[END if c == "" else encode(np.array([ord(c)], np.uint32), model.alphabet)[0]])
                        for c, p in steps)
            assert told == pytest.approx(bits, abs=0.06)
        page.get_by_role("button", name="Another draw").click()
    assert temperature == 0 or True in ends
    again = show(Reviewer(model, USERS, ITEMS, WORLD, DATA, length=60, user=1, item=1, rating=2.0, as_predicted=0,
                          temperature=temperature, seed=5, step=61))
    texts = [paper(again), model.write(USERS[1], ITEMS[1], rating=2.0, temperature=temperature, max_length=60, seed=5)]
    again.reload()
    again.wait_for_function("document.querySelector('[role=status]:not(:empty)')")
    assert paper(again) == texts[0] and texts[0].rstrip("∎…") == texts[1]


@pytest.mark.parametrize("start", ["It was ", "Honestly"])
def test_it_goes_on_from_what_was_typed(show, model, widget, start):
    """Draw by draw, with one number of the seed's generator for each; back is the way back."""
    page = show(widget)
    choose(page, start=start)
    rng, text, seen = np.random.default_rng(0), start, [paper(page)]
    for _ in range(12):
        check_next(page, model, USERS[0], ITEMS[0], None, text)
        p = chances(model, USERS[0], ITEMS[0], None, text)
        symbol = rng.choice(len(p), p=p)
        page.get_by_role("button", name="Next character").click()
        bits = -np.log2(p[symbol])
        mark = page.locator(".rb-paper .rb-ink").last
        assert f"{bits:.1f} bits" in mark.get_attribute("title")
        scale = float(mark.evaluate("el => el.style.getPropertyValue('--s')"))
        assert scale == pytest.approx(min(bits / 8, 1), abs=6e-4)
        if symbol == END:
            break
        text += model.alphabet[symbol - 2] if symbol != UNKNOWN else "\ufffd"
        assert paper(page) == text and f"a surprise of {bits:.1f} bits" in status(page)
        seen.append(text)
    if symbol == END:
        page.get_by_role("button", name="← Back").click()
    assert page.locator(".rb-typed").count() == len(start)
    for before in reversed(seen[:-1]):
        page.get_by_role("button", name="← Back").click()
        assert paper(page) == before
    assert page.get_by_role("button", name="← Back").is_disabled()


def test_surprise_is_summed_for_both(show, model, widget):
    page = show(widget)
    choose(page, start="It is good.", rating=1.0)
    rows = page.locator(".rb-bill tr").evaluate_all("rows => rows.map(r => [...r.cells].map(c => c.textContent))")
    expected = [0.0, 0.0]
    for k, c in enumerate("It is good."):
        last = (-np.log2(chances(model, USERS[0], ITEMS[0], 1.0, "It is good."[:k])[model.alphabet.index(c) + 2]),
                -np.log2(best(ITEMS[0], 1.0, "It is good."[:k])[c]))
        expected = [a + b for a, b in zip(expected, last)]
    for (name, *found), *values in zip(rows[1:], last, expected):
        assert name in ("network", "optimum")
        assert [float(each) for each in found] == pytest.approx(values, abs=0.051)
    choose(page, start="It is good?")
    assert page.locator(".rb-bill tr").last.locator("td").all_text_contents() == ["∞", "∞"]


def test_the_rating_moves_only_what_it_must(show, model, widget):
    page = show(widget)
    choose(page, start="It was ")
    assert page.get_by_role("checkbox").is_checked()
    predicted = model.predict([USERS[0]], [ITEMS[0]], [model.seen.times[-1] + 1])[0]
    label = page.get_by_text("for the rating that the network predicts").text_content()
    assert float(label.split(", ")[1].replace("−", "-")) == pytest.approx(predicted, abs=0.0051)
    own = listed(page)
    page.get_by_role("slider", name="rating").press("Home")
    assert not page.get_by_role("checkbox").is_checked() and listed(page) != own
    assert page.locator(".rb-heading").first.text_content() == "user-3 on item-2, rating it −3"
    page.get_by_role("checkbox").check()
    assert listed(page) == own and page.locator(".rb-heading").first.text_content().endswith(", as predicted")


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
    page = show(Reviewer(model, [100], ["item-1"], ratings=(-5, 11), length=10, temperature=0.0, step=11))
    page.get_by_role("slider", name="rating").press("Home")
    low = paper(page)
    page.get_by_role("slider", name="rating").press("End")
    assert (low, paper(page)) == ("bad∎", "good∎")
    assert page.get_by_text("optimum").count() == 0  # there is no world


# --- What the reader types ----------------------------------------------------------------------------------


def test_unknown_characters_and_too_many_are_said_and_cut(show, model, widget):
    page = show(widget)
    choose(page, start="It wäs 🙂")
    assert status(page).endswith("Unknown to the network, and read as its one unknown symbol: “ä”, “🙂”.")
    check_next(page, model, USERS[0], ITEMS[0], None, "It wäs 🙂")
    assert paper(page) == "It w\ufffds \ufffd"
    choose(page, start="It was " * 20)
    text = ("It was " * 20)[:60]
    assert page.get_by_role("textbox").input_value() == text and paper(page) == text + "…"
    assert status(page).startswith("Cut off after 60 characters. ")
    assert page.get_by_role("button", name="Next character").is_disabled()
    page.get_by_role("button", name="Whole review").click()
    assert paper(page) == text + "…" and page.get_by_role("button", name="Whole review").is_visible()


def test_a_key_in_the_field_writes_on(show, widget):
    page = show(widget)
    page.emulate_media(reduced_motion="reduce")
    field = page.get_by_role("textbox")
    field.press_sequentially("It ")
    assert paper(page) == "It " and status(page).startswith("3 characters so far. The last, space (␣), had ")
    field.press("Enter")
    assert len(paper(page)) > 4
    field.press("ArrowLeft")
    field.press("Backspace")  # what was written was for another beginning
    assert paper(page) == "I "


def test_the_whole_review_is_written_out_and_can_be_paused(show, widget):
    widget.seed = 1
    page = show(widget)
    page.clock.install()  # time is the page's own: passed over where nothing may happen in it
    page.clock.run_for(10_000)
    assert paper(page) == ""  # nothing moves unasked
    page.get_by_role("button", name="Whole review").click()
    page.clock.run_for(250)
    assert len(paper(page)) >= 3 and page.get_by_role("status").get_attribute("aria-live") == "off"
    page.get_by_role("button", name="Pause").click()
    text = paper(page)
    page.clock.run_for(10_000)
    assert paper(page) == text and page.get_by_role("status").get_attribute("aria-live") == "polite"
    page.get_by_role("button", name="Whole review").click()
    page.get_by_role("combobox", name="item").select_option(ITEMS[1])  # a choice stops it
    text = paper(page)
    page.clock.run_for(10_000)
    assert paper(page) == text and page.get_by_role("button", name="Whole review").is_visible()
    page.get_by_role("button", name="Whole review").click()
    page.clock.run_for(10_000)
    whole = paper(page)
    assert whole[-1] in "∎…" and page.get_by_role("button", name="Next character").is_disabled()
    page.get_by_role("combobox", name="item").select_option(ITEMS[2])
    assert paper(page)[-1] in "∎…" and paper(page) != whole  # what is whole stays so


def test_another_draw_without_any_shows_one(show, widget):
    page = show(widget)
    page.get_by_role("button", name="Another draw").click()
    first = paper(page)
    page.get_by_role("button", name="Another draw").click()
    assert first[-1] in "∎…" and paper(page)[-1] in "∎…" and first != paper(page)


# --- What it may not do --------------------------------------------------------------------------------------


def test_impossible_settings_are_refused(model):
    for changes, message in (({"users": []}, "0 users; the widget shows 1 to 4"), ({"users": USERS * 3}, "6 users"),
                             ({"items": []}, "0 items"), ({"items": ITEMS * 3}, "9 items; the widget shows 1 to 8"),
                             ({"length": 0}, "length is 0"), ({"length": 201}, "length is 201; .* 1 to 200"),
                             ({"ratings": (1.0, float("nan"))}, "lowest"), ({"ratings": (2, 2)}, "lowest"),
                             ({"users": ["user-0", "nobody"]}, "'nobody' is unknown"),
                             ({"items": ["item-0", "nothing"]}, "'nothing' is unknown"),
                             ({"world": None}, "needs both"), ({"data": None}, "needs both"),
                             ({"data": some_reviews(20)}, "is not a review|is not in list"),
                             ({"world": MovingReviewWorld(n_items=12)}, "whose qualities move")):
        with pytest.raises(ValueError, match=message):
            Reviewer(**({"model": model, "users": USERS, "items": ITEMS, "world": WORLD, "data": DATA} | changes))
    with pytest.raises(ValueError, match=r"would add \d+ kB to the page, and at most 300"):
        Reviewer(new_model(DATA, JointConfig(), device="cpu"), USERS, ITEMS)


def test_the_state_is_small_and_repeatable(model, widget):
    assert widget.state() == Reviewer(model, USERS, ITEMS, WORLD, DATA, length=60).state()
    assert len(json.dumps(widget.state(), separators=(",", ":"))) < 10_000


def test_no_text_is_markup_and_nothing_stays_invisible(show):
    model = sharp(some_reviews(200, words=[*HOSTILE]))
    assert model.alphabet == HOSTILE
    widget = Reviewer(model, [100], ["item-0"], length=60)
    widget.users, widget.items, widget.start = [EVIL], [EVIL], HOSTILE + EVIL[:30]
    page = show(widget)
    page.get_by_role("button", name="Next character").click()
    text = paper(page)
    assert '"&' in text and "<" in text and "\ufffd" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\xa0\u2028\u202e]", text)
    assert shown_as_text(page) and page.locator("b").count() == 1  # the legend's own


def test_a_model_that_says_nothing(show):
    model = sharp(some_reviews(200, words=[""]))
    with torch.no_grad():
        model.writer.out.bias[END] = 1e4
    page = show(Reviewer(model, [100], ["item-0"]))
    assert status(page) == "Nothing is written yet. Likeliest next: the end (∎), > 99.9\u00a0%."
    page.get_by_role("button", name="Next character").click()
    assert status(page) == "The review is over after 0 characters. Its surprise in all: 0.0 bits."
    assert paper(page) == "∎" and listed(page)["∎ the end"] == [1.0]


def test_two_on_a_page_move_alone(show, widget):
    page = show(widget, widget)
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
def test_it_fits_and_does_not_move(show, screenshots, widget, theme, width):
    widget.users = ["a-user-" * 12, "user-0"]
    page, heights = show(widget, theme=theme, width=width), set()
    box = page.locator(".rnnbook-widget")
    page.get_by_role("combobox", name="user").select_option("user-0")
    for start in ("", "It was ", "Honestly worthless", "It wä🙂", "nothing like it", "It is solid.", "verdict: " * 9):
        choose(page, start=start)
        for rating in ("as predicted", -3, 3):
            choose(page, rating=rating)
            heights.add(box.bounding_box()["height"])
            page.get_by_role("button", name="Another draw").click()
            heights.add(box.bounding_box()["height"])
    assert len(heights) == 1
    choose(page, start="It was ")
    page.get_by_role("button", name="Another draw").click()
    box.screenshot(path=screenshots / f"reviewer-{theme}-{width}.png")
    for selector in (".rb-paper", ".rb-ink", ".rb-next :is(th, td), .rb-muted", "button:enabled, option, .rb-status"):
        assert contrast(page, selector) >= 4.5, selector
    page.get_by_role("combobox", name="user").select_option(index=0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert box.evaluate("""el => [...el.querySelectorAll("p, table, .rb-paper, .rb-buttons, .rb-next :is(th, td)")]
        .every(t => t.scrollWidth <= t.clientWidth + 1)""")
