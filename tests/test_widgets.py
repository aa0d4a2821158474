"""The widgets in a real browser: static pages over file:// and http."""

import itertools
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import torch

from rnnbook.gru4rec import LOSSES, session_parallel
from rnnbook.interactions import SessionData
from rnnbook.rnn import gradient_flow
from rnnbook.widgets import (
    DistillationExplorer,
    GradientFlowExplorer,
    LossCurves,
    LossRace,
    PrefixExplorer,
    RankingLossExplorer,
    SessionParallelStepper,
)

EVIL = '</script><img src=x onerror="document.title=`owned`"><!-- \u2028'


@pytest.fixture(scope="module")
def flow():
    return GradientFlowExplorer(radii=(0.5, 0.9, 1.3), biases=(0, 2), length=20, hidden_size=8)


@pytest.fixture(scope="module")
def trained():
    curves = LossCurves(ceiling={"loss": 1.0, "recall": 0.6}, ceiling_label="Bayes optimum")
    for i in range(1, 41):
        curves.update({"epoch": i / 10, "running_loss": 1 + math.exp(-i / 10)})
        if i % 10 == 0:
            curves.update({"epoch": i / 10, "loss": 1.1 + math.exp(-i / 10), "recall": 0.5 - 0.4 / i, "mrr": 0.2})
    curves.flush()
    return curves


def status(page, nth=0):
    return page.locator("[role=status]").nth(nth).text_content()


def drag_to(page, label, value):
    page.get_by_role("slider", name=label).evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value)


def shown_as_text(page):
    """Whether `EVIL` on a page remained text: it made no picture, and its script did not run."""
    # A picture that cannot be read fails only after those that were asked for before it.
    page.evaluate("new Promise(done => { const own = new Image(); own.onerror = done; own.src = 'data:,'; })")
    return page.title() == "page" and page.locator("img").count() == 0


# --- display ----------------------------------------------------------------------------------------------


def test_display_carries_the_live_view_a_static_page_and_a_fixed_text():
    widget = RankingLossExplorer()
    (first, _), (second, _) = widget._repr_mimebundle_(), widget._repr_mimebundle_()
    assert first["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    assert first["text/plain"] == second["text/plain"] and "0x" not in first["text/plain"]
    ids = [re.search(r'id="(rnnbook-widget-\d+)"', bundle["text/html"])[1] for bundle in (first, second)]
    assert ids[0] != ids[1]
    assert first["text/html"].replace(ids[0], ids[1]) == second["text/html"]


def test_impossible_settings_are_refused(small):
    with pytest.raises(ValueError, match="batch_size is 9"):
        SessionParallelStepper(small, batch_size=9)
    with pytest.raises(ValueError, match="no session of 2 to 10 events"):
        SessionParallelStepper(small.take([]))
    with pytest.raises(Exception, match="hinge"):
        RankingLossExplorer(loss="hinge")


# --- session-parallel stepper -----------------------------------------------------------------------------


@pytest.fixture
def small():
    rng = np.random.default_rng(0)
    lengths = [3, 2, 5, 4, 2, 6]
    return SessionData.from_frame(pd.DataFrame({
        "session": np.repeat(np.arange(6), lengths), "time": np.arange(22.0),
        "item": rng.choice(list("abcdef"), 22)}))


def tensors(page):
    """The step's X, Y and reset as the page prints them."""
    lines = page.locator(".rb-code").text_content().lower().split("\n")
    return [json.loads(re.search(r"\[.*\]", line)[0]) for line in lines]


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_stepper_shows_the_tensors_of_the_schedule(show, small, batch_size):
    page = show(SessionParallelStepper(small, batch_size=batch_size))
    schedule = session_parallel(small.offsets, batch_size)
    assert page.locator("[role=status]").text_content().startswith(f"Step 1 of {schedule.n_steps}.")
    for t in range(schedule.n_steps):
        rows = slice(schedule.offsets[t], schedule.offsets[t + 1])
        x, y, reset = tensors(page)
        assert x == small.items[schedule.position[rows]].tolist()
        assert y == small.items[schedule.position[rows] + 1].tolist()
        assert reset == schedule.reset[rows].tolist()
        live = rows.stop - rows.start
        assert ("shrinks" in status(page)) == (live < batch_size)
        assert page.locator("tbody tr:visible", has_text="ended").count() == batch_size - live
        page.get_by_role("button", name="Step").click()
    assert status(page).startswith(f"Step {schedule.n_steps} of")  # the last step stays


@pytest.mark.parametrize("over", ["file", "http"])
def test_stepper_answers_clicks_keys_and_play(show, over):
    page = show(SessionParallelStepper(), over=over)
    assert status(page).startswith("Step 1 of")
    page.get_by_role("button", name="Step").click()
    assert status(page).startswith("Step 2 of")
    page.keyboard.press("ArrowRight")
    assert status(page).startswith("Step 3 of")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Home")
    assert status(page).startswith("Step 1 of")
    page.keyboard.press("End")
    assert "shrinks" in status(page)
    drag_to(page, "batch size", 5)
    assert status(page).startswith("Step 1 of") and page.locator("tbody tr:visible").count() == 5
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('[role=status]').textContent.startsWith('Step 2')")
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Play").is_visible()


def test_a_forgotten_reset_leaves_other_visitors_clicks_in_the_hidden_row(show):
    widget = SessionParallelStepper(batch_size=3)
    page, schedule = show(widget), session_parallel(widget.data.offsets, 3)
    page.get_by_label("forget the reset").check()
    assert page.get_by_label("forget the reset").is_checked()
    guests, stained, seen = {}, 0, 0
    for t in range(schedule.n_steps):
        drag_to(page, "step", t)
        now = slice(schedule.offsets[t], schedule.offsets[t + 1])
        for lane, session in zip(schedule.lane[now].tolist(), schedule.session[now].tolist()):
            known = guests.setdefault(lane, [])
            if session not in known:
                known.append(session)
            stained, seen = stained + (len(known) > 1), seen + 1
            cell = page.locator("tbody tr").nth(lane).locator("td").nth(1).text_content()
            letters = ["ABCDEFGH"[s] for s in known]
            assert cell == (f"of {''.join(letters)}" if len(known) > 1
                            else "▌ zero" if schedule.reset[now][schedule.lane[now] == lane][0] else "kept")
        assert f"{stained} of {seen} predictions" in status(page)
        assert "True" not in page.locator(".rb-code").text_content()
    page.get_by_label("forget the reset").uncheck()
    assert page.get_by_text(re.compile("^of [A-H]")).count() == 0


def test_a_session_slides_from_its_row_into_its_lane(show):
    page = show(SessionParallelStepper(batch_size=3))
    slides = page.locator(".rb-slide")
    assert slides.count() == 0
    page.get_by_role("button", name="Step").click()  # lane 1 takes D: of its three clicks two are inputs
    assert slides.locator(".rb-tag").all_text_contents() == ["D", "D"]
    assert slides.first.evaluate("chip => getComputedStyle(chip).animationName") == "rb-slide"
    start = page.evaluate("""() => { // where the first of them begins, and where it was
      const chip = document.querySelector(".rb-slide"), [animation] = chip.getAnimations();
      animation.pause();
      animation.currentTime = 0;
      const [sessions] = document.querySelectorAll("svg[role=img]");
      const own = [...sessions.querySelectorAll(".rb-chip")][11]; // after the eleven of A, B and C
      return [chip, own].map((node) => { const { left, top } = node.getBoundingClientRect(); return [left, top]; });
    }""")
    assert start[0] == pytest.approx(start[1], abs=2)
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="Step").click()
    page.get_by_role("button", name="Step").click()
    assert slides.count() and slides.first.evaluate("chip => getComputedStyle(chip).animationName") == "none"


def test_stepper_shows_item_ids_as_text(show):
    evil = f"{EVIL}."  # spaces at the end of an id would be trimmed
    frame = pd.DataFrame({"session": [0, 0, 1, 1], "time": [0, 1, 2, 3], "item": [evil, "b", "b", evil]})
    page = show(SessionParallelStepper(SessionData.from_frame(frame), batch_size=2))
    assert shown_as_text(page) and evil in page.locator("tbody").text_content()


def test_two_steppers_on_a_page_move_alone(show):
    page = show(SessionParallelStepper(), SessionParallelStepper(batch_size=2))
    page.get_by_role("button", name="Step").nth(1).click()
    assert status(page, 0).startswith("Step 1 of") and status(page, 1).startswith("Step 2 of")


# --- gradient flow ----------------------------------------------------------------------------------------


def norms_of(radius, bias):
    return {cell: gradient_flow(cell, radius, 20, 8, 0, gate_bias=bias) for cell in ("rnn", "lstm", "gru")}


@pytest.mark.parametrize("over", ["file", "http"])
def test_gradient_flow_shows_the_package_values(show, flow, over):
    page = show(flow, over=over)
    rows = page.locator("tbody tr")
    for (i, radius), (j, bias) in itertools.product(enumerate([0.5, 0.9, 1.3]), enumerate([0, 2])):
        drag_to(page, "spectral radius", i)
        drag_to(page, "gate bias", j)
        for row, exact in enumerate(norms_of(radius, bias).values()):
            shown = [float(v.get_attribute("data-value")) for v in rows.nth(row).locator("td").all()]
            assert shown == pytest.approx(exact[[1, 9, 19]].tolist(), rel=5e-4)
        theory = [float(v.get_attribute("data-value")) for v in rows.nth(3).locator("td").all()]
        assert theory == pytest.approx([radius, radius**9, radius**19], rel=1e-12)
        assert f"Spectral radius {radius}, gates at {[0.5, 0.88][j]:.2f}" in status(page)
    page.get_by_role("checkbox", name="GRU").click()
    assert rows.nth(2).locator("td").all_text_contents() == ["–"] * 3 and "GRU" not in status(page)
    assert page.locator(".rb-pulse").count() == 2


def pulses(page):
    """Of each cell's pulse: the distance, from where the disc stands, the number at it, and its radius."""
    return page.locator("svg:has(.rb-pulse)").evaluate("""svg => [...svg.querySelectorAll(".rb-pulse")].map((disc) => {
      const plain = {"\u00a0×\u00a010": "e", "⁻": "-", ...Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].map((c, i) => [c, i]))};
      const read = (text) => Number(text.replace(/\u00a0×\u00a010|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]/g, (c) => plain[c]));
      const line = disc.parentNode.querySelector("line"), [from, to] = ["x1", "x2"].map((k) => +line.getAttribute(k));
      return {back: Math.round(19 * (to - disc.getAttribute("cx")) / (to - from)), r: +disc.getAttribute("r"),
              norm: read(disc.parentNode.lastChild.textContent)}; })""")


def test_a_pulse_carries_the_norm_at_its_distance(show, flow):
    page, exact = show(flow), norms_of(0.9, 2)
    for k in (0, 7, 19):
        drag_to(page, "steps back", -k)
        for pulse, norms in zip(pulses(page), exact.values(), strict=True):
            assert pulse["back"] == k and pulse["norm"] == pytest.approx(norms[k].item(), rel=6e-3)
            assert pulse["r"] == pytest.approx(1 + 10 * (math.log10(norms[k]) + 12) / 18, abs=0.01)
        assert page.locator("[visibility=visible]").count() == 3 * (k + 1)
    page.get_by_role("slider", name="steps back").press("ArrowRight")
    assert {pulse["back"] for pulse in pulses(page)} == {18} and "18 steps earlier" in status(page)


def test_the_pulse_runs_and_without_motion_has_arrived(show, flow):
    page = show(flow)
    page.get_by_role("button", name="Send a pulse").click()
    page.wait_for_function("document.querySelector('[role=status]').textContent.includes('19 steps earlier')")
    drag_to(page, "steps back", -3)
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="Send a pulse").press("Enter")
    assert {pulse["back"] for pulse in pulses(page)} == {19}


# --- ranking losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(LOSSES))
def test_losses_and_gradients_in_the_browser_equal_the_package(new_tab, name):
    rng = np.random.default_rng(1)
    cases = [rng.normal(scale=s, size=n + 1) for s in (0.5, 3, 20) for n in (1, 4, 8)]
    cases += [np.array(c, float) for c in ([700, -700, 0], [-700, 700, 0], [0, 0, 0], [-40, 40, 40])]
    page = new_tab()
    got = page.evaluate(
        """async ([source, name, cases]) => {
             const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
             const { LOSSES } = await import(url);
             return cases.map(([t, ...n]) => LOSSES[name](t, n, 1));
           }""", [RankingLossExplorer._esm, name, [c.tolist() for c in cases]])
    for case, result in zip(cases, got, strict=True):
        scores = torch.tensor(case[None], dtype=torch.float64, requires_grad=True)
        negative = torch.ones_like(scores, dtype=torch.bool)
        negative[0, 0] = False
        loss = LOSSES[name](scores, negative).sum()
        loss.backward()
        assert result["loss"] == pytest.approx(loss.item(), rel=1e-6, abs=1e-12)
        gradient = [result["target"], *result["negatives"]]
        assert gradient == pytest.approx(scores.grad[0].tolist(), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("over", ["file", "http"])
def test_ranking_loss_explorer_answers(show, over):
    page = show(RankingLossExplorer(target=1.0, negatives=[0.5, -2.0], loss="bpr"), over=over)

    def row(name):
        return [float(v.get_attribute("data-value")) for v in page.locator(f"tr[data-loss={name}] td").all()]

    def expected(name, *scores):
        scores = torch.tensor([scores], dtype=torch.float64)
        return LOSSES[name](scores, torch.arange(scores.shape[1])[None] > 0).item()

    for name in LOSSES:
        assert row(name)[0] == pytest.approx(expected(name, 1.0, 0.5, -2.0), abs=1e-6)
    page.get_by_role("slider", name="score of target").press("ArrowRight")
    for name in LOSSES:
        assert row(name)[0] == pytest.approx(expected(name, 1.1, 0.5, -2.0), abs=1e-6)
    page.get_by_role("radio", name="top1-max").click()
    assert status(page).startswith("TOP1-max:")
    drag_to(page, "margin", -1)
    assert row("bpr")[0] == pytest.approx(expected("bpr", -0.5, 0.5, -2.0), abs=1e-6)
    box = page.get_by_role("slider", name="score of negative 2").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(790, box["y"], steps=3)  # past the end: the score stops at 6
    page.mouse.up()
    assert row("bpr")[0] == pytest.approx(expected("bpr", -0.5, 0.5, 6.0), abs=1e-6)
    drag_to(page, "negatives", 5)
    assert page.get_by_role("slider", name="score of negative").count() == 5


# --- the race of losses -----------------------------------------------------------------------------------

RUNNERS = {"BPR": "bpr", "BPR × N": "bpr", "BPR-max": "bpr-max", "cross-entropy": "cross-entropy"}
RATES = {"Adagrad": 0.05, "gradient descent": 0.02}


def race(n, step, seed, last):
    """The ranks after 0, …, `last` steps by name of the runner: the same race, by the package's losses."""
    rng, d = np.random.default_rng([seed]), 32

    def normals(size):
        u = rng.random((size // 2, 2))
        long, angle = np.sqrt(-2 * np.log(1 - u[:, 0])), 2 * np.pi * u[:, 1]
        return np.stack([long * np.cos(angle), long * np.sin(angle)], 1).ravel()

    start = normals(d)
    start *= 1.5 / np.linalg.norm(start)
    vectors = normals((n + 1) * d).reshape(n + 1, d)
    vectors[0] += (-2 - vectors[0] @ start) / 1.5**2 * start
    vectors, found = torch.from_numpy(vectors), {}
    for name, loss in RUNNERS.items():
        h, squares, ranks = torch.from_numpy(start.copy()).requires_grad_(), torch.zeros(d), []
        for _ in range(last + 1):
            scores = vectors @ h
            ranks.append(1 + int((scores[1:] >= scores[0]).sum()))
            options = {"regularization": 0.0} if loss == "bpr-max" else {}
            value = LOSSES[loss](scores[None], torch.arange(n + 1)[None] > 0, **options).sum()
            [gradient] = torch.autograd.grad(value * (n if "×" in name else 1), h)
            squares = squares + gradient**2
            size = (squares + 1e-6).sqrt() if step == "Adagrad" else 1
            h = (h - RATES[step] * gradient / size).detach().requires_grad_()
        found[name] = ranks
    return found


@pytest.mark.parametrize("step", RATES)
def test_a_race_is_that_of_the_package(new_tab, step):
    cases = [(8, 0), (8, 5), (512, 1)]
    got = new_tab().evaluate(
        """async ([source, step, cases]) => {
             const { newRace } = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
             return cases.map(([negatives, seed]) => {
               const { ranks, advance } = newRace({ negatives, seed, step });
               for (let k = 0; k < 60; k++) advance();
               return ranks;
             });
           }""", [LossRace._esm, step, cases])
    for (n, seed), ranks in zip(cases, got, strict=True):
        assert dict(zip(RUNNERS, ranks, strict=True)) == race(n, step, seed, 60)


@pytest.mark.parametrize("seed", range(3))
def test_what_the_race_shows_is_no_luck(seed):
    """With few negatives all arrive together; with many, BPR is slow and its factor N changes nothing for Adagrad."""
    few, many = (race(n, "Adagrad", seed, 100) for n in (8, 2048))
    firsts = [ranks.index(1) for ranks in few.values()]
    assert max(firsts) - min(firsts) <= 1
    assert many["BPR"] == many["BPR × N"]
    assert 1 not in many["BPR"][:50] and 1 in many["BPR-max"][:35] and 1 in many["cross-entropy"][:20]
    plain = race(2048, "gradient descent", seed, 60)
    assert 1 in plain["BPR × N"][:3] and 1 not in plain["BPR"]


@pytest.mark.parametrize("over", ["file", "http"])
def test_the_race_runs_and_shows_its_ranks(show, over):
    page, expected = show(LossRace(64), over=over), race(64, "Adagrad", 0, 100)
    assert f"begins at rank {expected['BPR'][0]} " in status(page)
    page.get_by_role("button", name="Start the race").click()
    page.wait_for_function("document.querySelector('[role=status]').textContent.includes(' 100 steps')")

    def shown():
        return {row.get_attribute("data-loss"):
                [int(td.replace(",", "")) for td in row.locator("td").all_text_contents()]
                for row in page.locator("tr[data-loss]").all()}

    assert shown() == {name: [ranks[k] for k in (0, 10, 20, 40, 100)] for name, ranks in expected.items()}
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("radio", name="gradient descent").check()
    page.get_by_role("slider", name="negatives").press("Home")
    assert page.get_by_text("·", exact=True).count() == 16
    page.get_by_role("button", name="Start the race").press("Enter")
    assert shown()["BPR"][1] == race(8, "gradient descent", 0, 10)["BPR"][10]


# --- loss curves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bpr", "bpr-max", "cross-entropy"])
def test_a_step_of_the_loss_explorer_is_one_of_descent(show, name):
    scores = np.array([-1.0, 2.0, 0.5, -3.0])
    page = show(RankingLossExplorer(target=scores[0], negatives=scores[1:].tolist(), loss=name))
    for _ in range(3):
        page.get_by_role("button", name="One step").click()
        given = torch.tensor(scores[None], requires_grad=True)
        LOSSES[name](given, torch.arange(4)[None] > 0).sum().backward()
        scores = (scores - given.grad[0].numpy()).clip(-6, 6)
        handles = page.locator(".rb-handle").all()
        assert [float(handle.get_attribute("aria-valuenow")) for handle in handles] == pytest.approx(scores, abs=1e-9)
    page.get_by_role("button", name="Start again").click()
    assert page.locator(".rb-handle").first.get_attribute("aria-valuenow") == "-1"


@pytest.mark.parametrize("over", ["file", "http"])
def test_loss_curves_replay(show, trained, over):
    page = show(trained, over=over)
    end = "Epoch 4.00, running loss 1.018, loss 1.118, recall 0.490, mrr 0.200; Bayes optimum loss 1.00"
    assert status(page).startswith(end)
    for before in ("Epoch 4.00, running loss 1.018, loss 1.150, ", "Epoch 3.90, running loss 1.020, "):
        page.get_by_role("button", name="Back").click()
        assert status(page).startswith(before)
    page.keyboard.press("Home")
    assert status(page).startswith("Epoch 0.100, running loss 1.905; ")
    drag_to(page, "recorded points", 35)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('[role=status]').textContent.startsWith('Epoch 4.00')")


def test_loss_curves_wait_for_the_first_point(show):
    assert status(show(LossCurves())).startswith("Waiting")


def test_a_second_training_starts_anew():
    curves = LossCurves()
    for epoch in (0.5, 1.0, 0.5):
        curves.update({"epoch": epoch, "loss": 1.0})
    curves.flush()
    assert [p["epoch"] for p in curves.points] == [0.5]


def test_loss_curves_stay_small_and_keep_the_metrics():
    curves = LossCurves()
    for i in range(1, 3001):
        curves.update({"epoch": i / 100, "running_loss": 1 / i})
        if i % 100 == 0:
            curves.update({"epoch": i / 100, "loss": 2 / i, "recall": 0.5})
    curves.flush()
    assert len(curves.points) <= 450
    assert sum("recall" in p for p in curves.points) == 30
    assert curves.points[-1] == {"epoch": 30.0, "loss": pytest.approx(2 / 3000, rel=1e-4), "recall": 0.5}
    epochs = [p["epoch"] for p in curves.points]
    assert epochs == sorted(epochs) and epochs[0] == 0.01


# --- looks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 360])
def test_no_overflow_and_screenshots(show, flow, trained, screenshots, theme, width):
    widgets = {"stepper": SessionParallelStepper(), "gradient": flow, "loss": RankingLossExplorer(),
               "race": LossRace(steps=60),
               "curves": trained, "prefixes": PrefixExplorer(), "positions": PrefixExplorer(form="positions"),
               "distillation": DistillationExplorer()}
    page = show(*widgets.values(), theme=theme, width=width)
    page.wait_for_function("document.querySelectorAll('.rnnbook-widget svg[height]').length >= 11")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name, box in zip(widgets, page.locator(".rnnbook-widget").all(), strict=True):
        box.screenshot(path=screenshots / f"{name}-{theme}-{width}.png")
        assert box.evaluate("""el => [...el.querySelectorAll("svg[role] text, svg[role] rect")].every(t => {
            const [a, b] = [t.getBoundingClientRect(), el.getBoundingClientRect()];
            return a.left >= b.left && a.right <= b.right; })""")
        assert box.evaluate("""el => [...el.querySelectorAll(".rb-scroll")].every(
            t => t.scrollWidth <= t.clientWidth)""")


SLIDERS, CHOICES = "input[type=range]", "input[type=radio], input[type=checkbox]"


@pytest.mark.parametrize("width", [800, 700, 390, 360])
def test_nothing_moves_while_the_reader_acts(show, flow, width):
    for widget in (flow, RankingLossExplorer(target=-6.0), LossRace(64), PrefixExplorer(),
                   PrefixExplorer(form="positions"), DistillationExplorer(), SessionParallelStepper()):
        page = show(widget, width=width)
        page.emulate_media(reduced_motion="reduce")
        box = page.locator(".rnnbook-widget")
        heights = {"at first": box.bounding_box()["height"]}
        for node in page.locator(f"{SLIDERS}, {CHOICES}, button").all():
            kind = node.evaluate("node => node.type")
            for key in ("Home", "PageUp", "End", "PageDown") if kind == "range" else ("Space",):
                if node.is_visible():
                    node.press(key)
                    heights[f"{node.get_attribute('aria-label')} {node.text_content()} {key}"] = (
                        box.bounding_box()["height"])
        assert {name: h for name, h in heights.items() if h != heights["at first"]} == {}, type(widget)


def test_a_finger_has_room(show, flow):
    """32 pixels at least, where the pointer is a finger; and nothing moves there either."""
    for widget in (flow, RankingLossExplorer(), LossRace(64), PrefixExplorer(), DistillationExplorer(),
                   SessionParallelStepper()):
        page = show(widget, width=390, touch=True)
        small = page.evaluate("""() => [...document.querySelectorAll("button, select, label:has(input), [role=slider]")]
          .filter((node) => node.checkVisibility()).map((node) => node.getBoundingClientRect())
          .filter(({width, height}) => Math.min(width, height) < 32).length""")
        box, heights = page.locator(".rnnbook-widget"), set()
        for node in page.locator("button, [type=radio], [type=checkbox]").all():
            if node.is_visible() and node.is_enabled():
                node.press("Space")
                heights.add(box.bounding_box()["height"])
        assert small == 0 and len(heights) == 1, type(widget)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_contrast(show, flow, theme):
    """WCAG AA: 4.5 for text and for the series' colours, on the widget's ground."""
    page = show(flow, theme=theme)
    ratios = page.evaluate("""() => {
      const el = document.querySelector(".rnnbook-widget");
      const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
      const luminance = (name) => {
        const probe = Object.assign(document.createElement("i"), {style: `color: var(${name})`});
        el.append(probe);
        context.fillStyle = getComputedStyle(probe).color;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
          .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ground = luminance("--rb-surface");
      return ["--rb-ink", "--rb-muted", 0, 1, 2, 3, 4, 5].map((name) => {
        const [low, high] = [luminance(isNaN(name) ? name : `--rb-c${name}`), ground].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
      });
    }""")
    assert min(ratios) >= 4.5
