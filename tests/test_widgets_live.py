"""The widgets in JupyterLab, with a live kernel behind them."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from test_widgets import status
from test_widgets_reviewer import DATA, ITEMS, USERS, choose, paper, sharp

HERE = Path(__file__).parent
pytestmark = pytest.mark.browser

TRAINING = [
    "from rnnbook.widgets import LossCurves, SessionParallelStepper\nSessionParallelStepper()",
    "curves = LossCurves(ceiling={'loss': 1.0})\ncurves",
    # A training that has not ended before it was seen to run, however slow the machine is.
    "import itertools, pathlib, time\nfor i in itertools.count(1):\n"
    "    curves.update({'epoch': 0.9 - 0.8 / i, 'loss': 1.1 + 1 / i})\n    time.sleep(0.05)\n"
    "    if pathlib.Path('seen').exists():\n        break\n"
    "curves.update({'epoch': 1.0, 'loss': 1.1})",
]
OTHERS = [
    "from rnnbook.widgets import *",
    "GradientFlowExplorer(radii=(0.5, 0.9), biases=(0, 3), length=8, hidden_size=4)",
    "RankingLossExplorer()",
    "LossRace(steps=3)",
    "EvaluationLab()",
    "PrefixExplorer()",
    "DistillationExplorer()",
    "from test_widgets_recommender import SMALL, USERS, WORLD\nfrom rnnbook.rrn import fit\n"
    "InsideRRN(fit(WORLD.sample(), SMALL, device='cpu', progress=False), WORLD, USERS)",
    "from rnnbook.after import MODELS, AfterGRU\nfrom rnnbook.worlds import LongMemoryWorld\n"
    "memory = LongMemoryWorld(n_items=20)\n"
    "SideBySide(memory, {name: AfterGRU(memory.item_ids, config) for name, config in MODELS.items()})",
    "from test_widgets_evidence import DATA, ITEMS, WORLD\nEvidence(WORLD, DATA, ITEMS)",
]
# Two frames later all that a key has changed is on the page.
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
PLAYING = ["from rnnbook.widgets import *\nNextClick(seed=1)", "LiveTraining()",
           "from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig\nfrom rnnbook.worlds import SessionWorld\n"
           "world = SessionWorld(n_states=4, n_items=20)\n"
           "InsideGRU4Rec(GRU4Rec(world.item_ids, GRU4RecConfig(hidden_size=4)), world, k=5)",
           "DrawFirst('trial', 'How far?', [1, 2, 3], [0.1, 0.2, 0.3], (0, 1), ylabel='share')"]
WRITING = ["from test_widgets_reviewer import *\nReviewer(sharp(DATA), USERS, ITEMS, WORLD, DATA, length=30)"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab: the folder that it serves, and its address."""
    folder = tmp_path_factory.mktemp("lab")
    settings = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR",
                                                      "IPYTHONDIR", "HOME")}
    with subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root",
             "--IdentityProvider.token=", "--ServerApp.password="],
            cwd=folder, env={**os.environ, **settings, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True) as server:
        told = []
        for line in server.stderr:  # it says where it is once it answers
            told.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            pytest.fail("".join(told))
        rest = threading.Thread(target=server.stderr.read)  # else it stops when the pipe is full
        rest.start()
        yield folder, found[0]
        os.killpg(server.pid, signal.SIGTERM)
        rest.join()


@pytest.fixture
def run_all(new_tab, lab):
    """run_all(name, cells): a notebook of these in JupyterLab, as a page on which all cells run."""
    def start(name, cells):
        folder, address = lab
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells],
                                                metadata=kernel), folder / f"{name}.ipynb")
        page = new_tab(viewport={"width": 1100, "height": 4000})  # all cells are drawn, none put off
        page.goto(f"{address}/lab/tree/{name}.ipynb?reset")
        page.get_by_text("| Idle").wait_for()  # the kernel is there; before, JupyterLab asks for one
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        return page

    return start


def test_a_training_is_seen_while_it_runs_and_kept(run_all, lab, screenshots):
    page = run_all("training", TRAINING)
    page.get_by_text("Epoch 0.").wait_for()  # the cell runs, the curve is on its way
    (lab[0] / "seen").touch()
    page.get_by_text("Epoch 1.00, loss 1.100").wait_for()
    page.get_by_role("group", name="Session-parallel stepper").get_by_role("button", name="Step").click()
    page.get_by_text("Step 2 of 9.").wait_for()
    assert page.locator(".rnnbook-widget").count() == 2
    page.screenshot(path=screenshots / "jupyterlab.png", clip={"x": 0, "y": 0, "width": 1100, "height": 1400})
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "training.ipynb" in answer.url):
        page.keyboard.press("Control+s")
    html = (lab[0] / "training.ipynb").read_text(encoding="utf-8")
    assert '\\"epoch\\":1.0' in html  # shown before the training, kept with all of its points


def test_every_other_widget_answers(run_all, screenshots):
    page = run_all("others", OTHERS)
    widgets = page.locator(".rnnbook-widget")
    widgets.nth(len(OTHERS) - 2).wait_for()
    assert widgets.count() == len(OTHERS) - 1
    for widget in widgets.all():
        before, told = status(widget), widget.locator("[role=status]").first
        for key in ("ArrowRight", "ArrowLeft"):  # what begins at its end goes back
            widget.locator("button:visible, input:visible").first.press(key)
            page.evaluate(DRAWN)
            if told.text_content() != before:
                break
        assert told.text_content() != before, before
    page.screenshot(path=screenshots / "jupyterlab-widgets.png")


def test_the_game_is_played_and_a_network_trained_in_the_browser(run_all):
    page = run_all("playing", PLAYING)
    page.get_by_role("button", name="boots").click()
    page.get_by_text("You guessed boots").wait_for()
    page.get_by_role("button", name="One update").click()
    page.get_by_text("Update 1, loss").wait_for()
    page.get_by_role("button", name="A visitor clicks").click()
    page.get_by_text("After 1 click: ").wait_for()
    page.get_by_role("slider", name="share").press("End")
    page.get_by_role("button", name="Show the truth").click()
    page.get_by_text("You are 0.47 off on average, most at 1: 0.90 too high.").wait_for()


def test_a_review_is_written_where_the_reader_types(run_all, screenshots):
    page = run_all("writing", WRITING)
    page.emulate_media(reduced_motion="reduce")  # at once, and not character by character
    choose(page, USERS[1], ITEMS[2], rating=1.0, temperature=0.7)
    page.get_by_role("button", name="Another draw").click()
    expected = sharp(DATA).write(USERS[1], ITEMS[2], rating=1.0, temperature=0.7, max_length=30, seed=1)
    assert paper(page).rstrip("∎…") == expected
    choose(page, start="It was ")
    page.get_by_text("7 characters so far. ").wait_for()
    assert paper(page) == "It was "
    page.locator(".rnnbook-widget").screenshot(path=screenshots / "reviewer-live.png")
