"""The opened GRU4Rec in a real browser: its numbers are those of the package, whatever is broken in it."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softmax

from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig, fit
from rnnbook.metrics import evaluate_sessions
from rnnbook.probes import LinearProbe, beliefs, histories
from rnnbook.widgets import InsideGRU4Rec
from rnnbook.worlds import SessionWorld

WORLD = SessionWorld(n_states=6, n_items=40, mean_length=6.0)
CLICKS = [3, 17, 3, 39]


@pytest.fixture(scope="module")
def model():
    """A trained network whose weights have 16 bits, as in the page."""
    config = GRU4RecConfig(hidden_size=16, hidden_dropout=0.0, batch_size=64, n_sample=64, n_epochs=2)
    trained = fit(WORLD.sample(4000, 1), config, device="cpu", progress=False)
    for p in trained.parameters():
        p.data.copy_(p.data.half())
    return trained.eval()


@pytest.fixture(scope="module")
def probe(model):
    sessions = WORLD.sample(1000, 2)
    with torch.no_grad():
        return LinearProbe(model.states_after(histories(sessions))[-1].numpy(), beliefs(WORLD, sessions))


def gates(model, items):
    """What each map shows after these clicks, by its key: the package's weights, in 64 bits."""
    [layer], h = model.double().layers, torch.zeros(1, 16).double()
    with torch.no_grad():
        for item in items:
            x, before = model.output[[item]], h
            x_r, x_z, x_n = (x @ layer.weight_ih.T + layer.bias_ih).chunk(3, 1)
            h_r, h_z, h_n = (h @ layer.weight_hh.T + layer.bias_hh).chunk(3, 1)
            r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
            candidate = torch.tanh(x_n + r * h_n)
            h = layer(x, h)
    model.float()
    return {"item's vector": x, "reset gate": r, "update gate": z, "candidate": candidate, "new state": h}, before


def status(page):
    return page.get_by_role("status").text_content()


def listed(page, who):
    """[(item, percentage)] of a list."""
    rows = page.get_by_role("group", name=f"Next, says {who}").get_by_role("button").all()
    return [(int(row.get_attribute("data-item")), float(row.locator(".rb-share").text_content().split()[0]))
            for row in rows]


def number(text):
    return float(text.replace("−", "-"))


def costs(page):
    page.wait_for_function("![...document.querySelectorAll('.rb-cost:not(.rb-off)')].some((row) => "
                           "row.textContent.includes('…'))")
    return {row.locator("span").first.text_content(): float(row.locator("span").last.text_content())
            for row in page.locator(".rb-cost:not(.rb-off)").all()}


@pytest.mark.parametrize("over", ["file", "http"])
def test_lists_and_ring_are_those_of_package_and_world(show, model, probe, over):
    page = show(InsideGRU4Rec(model, WORLD, probe, CLICKS), over=over)
    clicks = list(CLICKS)
    for turn in range(3):
        with torch.no_grad():
            state = model.states_after([np.array(clicks)])[-1]
            p = softmax(model._score(state)[0].double(), 0).numpy()
        best = next(iter(WORLD.bayes().scorer([clicks])(slice(None), np.arange(40)))).numpy()
        for who, expected in (("GRU4Rec", p), ("optimum", best)):
            found = listed(page, who)
            assert [value for _, value in found] == pytest.approx(np.sort(100 * expected)[::-1][:8], abs=0.0501)
            assert [100 * expected[item] for item, _ in found] == pytest.approx([v for _, v in found], abs=0.0501)
        known = WORLD.bayes()
        belief = known.start[None]
        for item in clicks:
            belief = known.after_click(belief, np.array([item]))
        labels = [node.get_attribute("aria-label") for node in page.locator(".rb-mood").all()]
        shown = np.array([[number(each) for each in re.findall(r"([−\d]+) %", label)] for label in labels])
        np.testing.assert_allclose(shown[:, 0], 100 * belief[0], atol=0.501)
        np.testing.assert_allclose(shown[:, 1], 100 * probe.read(state.numpy())[0], atol=0.6)  # the probe has 16 bits
        kl = (best * np.log(best / p)).sum()
        assert f"{kl:.2f} nats" in status(page) and f"After {len(clicks)} clicks" in status(page)
        item = listed(page, "optimum")[turn][0]
        page.get_by_role("group", name="Next, says optimum").get_by_role("button").nth(turn).click()
        clicks.append(item)


def test_each_number_can_be_followed_to_one_multiplication(show, model):
    page, (maps, before) = show(InsideGRU4Rec(model, WORLD, clicks=CLICKS)), gates(model, CLICKS)
    assert page.locator(".rb-read[d]:not([d=''])").count() == 0  # there is no probe
    formula, product = page.locator(".rb-formula").first, page.locator(".rb-formula").last
    for name, values in maps.items():
        node = page.get_by_role("slider", name=f"{name}, unit", exact=True)
        node.focus()
        for key in ("ArrowRight", "ArrowDown", "ArrowLeft"):
            node.press(key)
            unit = int(node.get_attribute("aria-valuenow")) - 1
            for text in (node.get_attribute("aria-valuetext"), formula.text_content()):
                assert number(text.split()[-1]) == pytest.approx(values[0, unit].item(), abs=0.0051)
    node = page.get_by_role("slider", name="update gate, unit")
    node.focus()
    unit, [layer] = int(node.get_attribute("aria-valuenow")) - 1, model.layers
    inner = re.search(r"σ\((.*)\)", formula.text_content())[1].replace("− ", "−").replace("+ ", "")
    bias, own, past = map(number, inner.split())
    with torch.no_grad():
        w, u = layer.weight_ih[16 + unit], layer.weight_hh[16 + unit]
        x = model.output[CLICKS[-1]]
        assert bias == pytest.approx((layer.bias_ih + layer.bias_hh)[16 + unit].item(), abs=0.0051)
        assert own == pytest.approx((w @ x).item(), abs=0.0051)
        assert past == pytest.approx((u.double() @ before[0]).item(), abs=0.0051)
        term = page.get_by_role("slider", name="one multiplication")
        for place, expected in ((0, w[0] * x[0]), (16, u[0] * before[0, 0]), (31, u[15] * before[0, 15])):
            term.fill(str(place))
            assert number(product.text_content().split()[-1]) == pytest.approx(expected.item(), abs=0.0051)


def broken(model, fault):
    """Recall@20 of 200 visitors with a fault, in a loop of its own."""
    [layer], sessions, hits, left = model.double().layers, WORLD.sample(200, 2), [], torch.zeros(1, 16).double()

    def step(x, h):
        if fault == "gates swapped":
            x_z, x_r, x_n = (x @ layer.weight_ih.T + layer.bias_ih).chunk(3, 1)
            h_z, h_r, h_n = (h @ layer.weight_hh.T + layer.bias_hh).chunk(3, 1)
            r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
            return z * h + (1 - z) * torch.tanh(x_n + r * h_n)
        if fault == "reset inside":
            x_r, x_z, x_n = (x @ layer.weight_ih.T + layer.bias_ih).chunk(3, 1)
            h_r, h_z, _ = (h @ layer.weight_hh.T + layer.bias_hh).chunk(3, 1)
            r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
            return z * h + (1 - z) * torch.tanh(x_n + (r * h) @ layer.weight_hh[32:].T + layer.bias_hh[32:])
        return layer(x, h)

    with torch.no_grad():
        for start, end in zip(sessions.offsets, sessions.offsets[1:]):
            h = left if fault in ("never reset", "reset too late") else torch.zeros_like(left)
            for place, (item, target) in enumerate(zip(sessions.items[start:end - 1], sessions.items[start + 1:end])):
                if fault == "state cut" or (fault == "reset too late" and place == 1):
                    h = torch.zeros_like(h)
                h = step(model.output[[item]], h)
                scores = (h @ model.output.T + model.bias)[0]
                if fault == "ranked by lift":
                    scores = scores - torch.from_numpy(WORLD.popularity).log()
                hits.append((scores >= scores[target]).sum().item() <= 20)
            left = h
    model.float()
    return np.mean(hits)


FAULTS = "state cut", "never reset", "reset too late", "gates swapped", "reset inside", "ranked by lift"


def test_what_a_fault_costs_is_what_it_costs_in_the_package(show, model):
    page, visitors = show(InsideGRU4Rec(model, WORLD, clicks=CLICKS)), WORLD.sample(200, 2)
    found = costs(page)
    for name, of in (("as trained", model), ("last click", WORLD.last_item()), ("optimum", WORLD.bayes())):
        assert found[name] == pytest.approx(evaluate_sessions(of, visitors, n_boot=1).recall, abs=0.0015)
    assert found["last click"] < found["as trained"] < found["optimum"] and "with this fault" not in found
    right = listed(page, "GRU4Rec")
    for fault in FAULTS:
        page.get_by_label(fault).check()
        assert costs(page)["with this fault"] == pytest.approx(broken(model, fault), abs=0.0015)
        assert (listed(page, "GRU4Rec") == right) == (fault == "never reset"), fault  # no visitor was here before
    page.get_by_label("as trained").check()
    assert listed(page, "GRU4Rec") == right and costs(page) == found


def test_a_state_that_is_never_reset_is_the_last_visitors(show, model):
    page = show(InsideGRU4Rec(model, WORLD, clicks=CLICKS))
    page.get_by_label("never reset").check()
    page.get_by_role("button", name="New visitor").click()
    mood = page.locator(".rb-mood").first
    mood.focus()
    page.keyboard.press("Enter")
    item = int(page.locator(".rb-card").first.evaluate("card => card.innerText").split("-")[1].split()[0])
    assert 0 in np.flatnonzero(WORLD.emission[:, item])  # the mood's own item
    with torch.no_grad():
        p = softmax(model._score(model.states_after([np.array([*CLICKS, item])])[-1])[0], 0).numpy()
    assert [v for _, v in listed(page, "GRU4Rec")] == pytest.approx(np.sort(100 * p)[::-1][:8], abs=0.0501)


def test_a_visitor_of_the_world_clicks_what_the_mood_holds(show, model):
    page = show(InsideGRU4Rec(model, WORLD, seed=4))
    assert page.get_by_role("button", name="← Back").is_disabled()
    truth = None
    for _ in range(12):
        page.get_by_role("button", name="A visitor clicks").click()
        tag, after = (page.locator(".rb-card small").nth(k).text_content() for k in (-2, -1))
        assert truth is None or truth in tag
        truth = after.removeprefix("truly ")
        assert page.locator(".rb-true").text_content() == truth
    page.get_by_role("button", name="← Back").click()
    assert "After 11 clicks" in status(page) and page.locator(".rb-true").count() == 0


def test_before_the_first_click_nothing_is_claimed(show, model, probe):
    page = show(InsideGRU4Rec(model, WORLD, probe, CLICKS))
    page.get_by_role("button", name="New visitor").click()
    assert status(page).startswith("Before the first click: all moods are equally probable. ")
    assert page.locator(".rb-formula").first.text_content() == "Nothing has been read yet."
    assert "read" not in page.locator(".rb-mood").first.get_attribute("aria-label")
    assert page.get_by_role("slider", name="one multiplication").is_disabled()


def test_a_unit_is_picked_by_a_press_and_not_on_the_way(show, model):
    page = show(InsideGRU4Rec(model, WORLD, clicks=CLICKS))
    node = page.get_by_role("slider", name="candidate, unit")
    box = node.locator("svg").bounding_box()
    third, last = (box["x"] + 0.6 * box["width"], box["y"] + 5), (box["x"] + 5, box["y"] + box["height"] - 5)
    page.mouse.move(*third)
    page.mouse.down()
    page.mouse.up()
    page.mouse.move(*last)
    assert node.get_attribute("aria-valuenow") == "3"
    page.mouse.down()
    assert node.get_attribute("aria-valuenow") == "13"


def test_a_visitor_joins_where_the_clicks_have_led(show, model):
    """Over forty visitors the mood of one who comes after clicks is that of the belief, most of the time."""
    page, right = show(InsideGRU4Rec(model, WORLD, clicks=[0])), 0
    [belief] = beliefs(WORLD, replace(WORLD.sample(1), items=np.array([0, 0]), offsets=np.array([0, 2]),
                                      times=np.zeros(2), session_ids=np.zeros(1)))
    likely = np.flatnonzero(belief > 0.1)
    assert belief[likely].sum() > 0.8 and len(likely) < 4
    for _ in range(40):
        page.get_by_role("button", name="A visitor clicks").click()
        card = page.locator(".rb-card:not(.rb-next)").last
        item = int(card.evaluate("card => card.innerText").split("-")[1].split()[0])
        right += WORLD.emission[likely][:, item].any()
        page.get_by_role("button", name="← Back").click()
    assert right > 28


def test_a_link_opens_the_session_again(show, model):
    page = show(InsideGRU4Rec(model, WORLD, clicks=[1]))
    page.evaluate("location.hash = '#InsideGRU4Rec:clicks=3,17,3,39&fault=cut'")
    page.reload()
    page.wait_for_function("document.querySelector('[role=status]')?.textContent.includes('After 4 clicks')")
    assert page.get_by_label("state cut").is_checked()


def test_what_the_page_cannot_run_is_refused(model):
    for config in (GRU4RecConfig(hidden_size=(4, 4)), GRU4RecConfig(hidden_size=4, input="one-hot"),
                   GRU4RecConfig(hidden_size=4, feedforward_size=4)):
        with pytest.raises(ValueError, match="one GRU layer"):
            InsideGRU4Rec(GRU4Rec(WORLD.item_ids, config), WORLD)
    with pytest.raises(ValueError, match="items are not those"):
        InsideGRU4Rec(model, SessionWorld(n_states=6, n_items=41))
    with pytest.raises(ValueError, match="reads 6 numbers from 8"):
        InsideGRU4Rec(model, WORLD, LinearProbe(np.ones((3, 8)), np.ones((3, 6))))
    for world, changes, message in ((replace(WORLD, jump=0), {}, "jump=0"), (replace(WORLD, stay=1), {}, "stay=1"),
                                    (WORLD, {"loss": "bpr"}, "softmax"),
                                    (WORLD, {"final_activation": "tanh"}, "softmax")):
        with pytest.raises(ValueError, match=message):
            InsideGRU4Rec(GRU4Rec(WORLD.item_ids, GRU4RecConfig(hidden_size=4, **changes)), world)
    with pytest.raises(ValueError, match="more than 26: 30"):
        InsideGRU4Rec(model, SessionWorld(n_states=30, n_items=40))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_it_fits_and_does_not_move(show, model, probe, screenshots, theme, width):
    page, heights = show(InsideGRU4Rec(model, WORLD, probe), theme=theme, width=width), set()
    widget = page.locator(".rnnbook-widget")
    for _ in range(8):
        heights.add(widget.bounding_box()["height"])
        page.get_by_role("button", name="A visitor clicks").click()
    for fault in FAULTS:
        page.get_by_label(fault).check()
        heights.add(widget.bounding_box()["height"])
    for name in ("item's vector", "reset gate", "candidate", "new state"):
        page.get_by_role("slider", name=f"{name}, unit", exact=True).focus()
        heights.add(widget.bounding_box()["height"])
    assert len(heights) == 1 and page.evaluate("document.documentElement.scrollWidth") <= width
    widget.screenshot(path=screenshots / f"inside-{theme}-{width}.png")
