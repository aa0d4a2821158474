"""Fixtures that the tests share: fixed seeds, a browser without a network, the built book."""

import itertools
import os
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tools.weight import PATIENCE, WATCH, served

torch.set_num_threads(1)  # as in `make test`: on a busy machine threads wait for each other most of the time

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = Path(__file__).parent / "screenshots"
# the first is the same without windows, and a fifth faster
CHROMIUM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser",
                                                "google-chrome"))), None)
NUMBERS = itertools.count()
SETTLE = """() => !window.MathJax?.startup?.promise || MathJax.startup.promise
  .then(() => MathJax.startup.document.lazyTypesetAll())  // those far below, too
  .then(() => document.fonts.ready).then(() => true)"""
# Two workers do these first, and not both of them what the tests of one file share; at the end small ones are left.
LONG = {"test_course.py", "test_distributed.py", "test_grading.py", "test_reader.py"}
PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8"><title>page</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<body style="margin: 8px; background: {ground}">{bodies}"""


def pytest_addoption(parser):
    parser.addoption("--pictures", action="store_true",
                     help="keep a picture of each page, light, dark and on a phone, in tests/screenshots")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True)
def seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium, one for each process of tests; skipped where there is none, but never under CI=true."""
    if not CHROMIUM:
        reason = "no Chromium: apt install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, timeout=PATIENCE,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        yield browser
        browser.close()


@pytest.fixture
def noise():
    """A list for what a page must not do; at the end, when all pages are closed, it must be empty."""
    heard = []
    yield heard
    assert heard == []


@pytest.fixture
def new_tab(browser, noise):
    """new_tab(**options) opens a page that shares nothing with others, with the options of a browser context."""
    contexts = []

    def open_tab(**options):
        contexts.append(browser.new_context(**options))
        contexts[-1].set_default_timeout(PATIENCE)
        return contexts[-1].new_page()

    yield open_tab
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def serve(tmp_path_factory):
    """A folder and the address under which it is served."""
    folder = tmp_path_factory.mktemp("pages")
    with served(folder) as address:
        yield folder, address


@pytest.fixture
def show(new_tab, noise, serve):
    """Open a page with the given widgets, drawn; at the end it must have raised no error and loaded nothing else."""
    folder, address = serve

    def show(*widgets, over="file", theme="light", width=800, touch=False):
        path = folder / f"page-{next(NUMBERS)}.html"
        bodies = "".join(w._repr_mimebundle_()[0]["text/html"] for w in widgets)
        ground = {"light": "#fff", "dark": "#14181e"}[theme]
        path.write_text(PAGE.format(theme=theme, ground=ground, bodies=bodies), encoding="utf-8")
        page = new_tab(viewport={"width": width, "height": 900}, has_touch=touch)
        url = path.as_uri() if over == "file" else f"{address}/{path.name}"
        page.on("console", lambda message: noise.append(message.text))
        page.on("pageerror", lambda error: noise.append(str(error)))
        own = (url, "data:", "blob:")  # a blob is what the page made itself, such as a worker
        page.on("request", lambda request: request.url.startswith(own) or noise.append(request.url))
        page.goto(url)
        # a widget draws once it has a width: on a busy machine that is after the page has loaded
        drawn = "document.querySelectorAll('.rnnbook-widget [role=status]:not(:empty)')"
        page.wait_for_function(f"n => {drawn}.length === n", arg=len(widgets))
        return page

    return show


@pytest.fixture(scope="session")
def built():
    """Folder of the built HTML."""
    html = ROOT / "_build" / "html"
    if not (html / "index.html").exists():
        pytest.fail("the book is not built: run `make book`, or `make test`, which does")
    return html


def open_page(tab, noise, built, page, theme="light"):
    """Open a built page, or a path in the book such as "search"; what its console says and its net is asked for is
    noise."""
    tab.on("console", lambda message: noise.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: noise.append(str(error)))
    tab.on("requestfailed", lambda request: noise.append(f"failed: {request.url}"))
    tab.route(re.compile("^(https?|wss?):"), lambda route: route.abort())
    tab.add_init_script(f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}'); {WATCH}")
    tab.goto((built / f"{getattr(page, 'docname', page)}.html").as_uri())
    tab.wait_for_function(SETTLE)
    return tab


@pytest.fixture
def visit(new_tab, noise, built):
    """visit(page, theme, width) opens a built page, or a path in the book such as "search"; at the end its console must
    be silent and its net unused."""
    def visit(page, theme="light", width=1280):
        return open_page(new_tab(viewport={"width": width, "height": 900}), noise, built, page, theme)

    return visit


@pytest.fixture
def screenshots():
    SCREENSHOTS.mkdir(exist_ok=True)
    return SCREENSHOTS
