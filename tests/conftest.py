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
from weight import served

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = Path(__file__).parent / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SETTLE = "() => !window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"
PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8"><title>page</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<body style="margin: 8px; background: {ground}">{bodies}"""


@pytest.fixture(autouse=True)
def seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium; skipped where there is none, but never under CI=true."""
    if not CHROMIUM:
        reason = "no Chromium: apt install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """A folder and the address under which it is served."""
    folder = tmp_path_factory.mktemp("pages")
    with served(folder) as address:
        yield folder, address


@pytest.fixture
def show(browser, serve):
    """Open a page with the given widgets, drawn; at the end it must have raised no error and loaded nothing else."""
    pages, (folder, address), numbers = [], serve, itertools.count()

    def show(*widgets, over="file", theme="light", width=800):
        path = folder / f"page-{next(numbers)}.html"
        bodies = "".join(w._repr_mimebundle_()[0]["text/html"] for w in widgets)
        ground = {"light": "#fff", "dark": "#14181e"}[theme]
        path.write_text(PAGE.format(theme=theme, ground=ground, bodies=bodies), encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(20_000)
        url = path.as_uri() if over == "file" else f"{address}/{path.name}"
        problems = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: request.url in (url, "data:,") or problems.append(request.url))
        page.goto(url)
        pages.append((page, problems))
        # a widget draws once it has a width: on a busy machine that is after the page has loaded
        drawn = "document.querySelectorAll('.rnnbook-widget [role=status]:not(:empty)')"
        page.wait_for_function(f"n => {drawn}.length === n", arg=len(widgets))
        return page

    yield show
    for page, problems in pages:
        page.close()
        assert not problems


@pytest.fixture(scope="session")
def built():
    """Folder of the built HTML."""
    html = ROOT / "_build" / "html"
    if not (html / "index.html").exists():
        pytest.fail("the book is not built: run `make book`, or `make test`, which does")
    return html


@pytest.fixture
def visit(browser, built):
    """visit(page, theme, width) opens a built page, or a path in the book such as "search"; at the end its console must
    be silent and its net unused."""
    context, noise = [], []

    def open_page(page, theme="light", width=1280):
        context.append(browser.new_context(viewport={"width": width, "height": 900}))
        tab = context[0].new_page()
        tab.on("console", lambda message: noise.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: noise.append(str(error)))
        tab.on("requestfailed", lambda request: noise.append(f"failed: {request.url}"))
        tab.route(re.compile("^(https?|wss?):"), lambda route: route.abort())
        tab.add_init_script(f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')")
        tab.goto((built / f"{getattr(page, 'docname', page)}.html").as_uri())
        tab.wait_for_function(SETTLE)
        return tab

    yield open_page
    for opened in context:
        opened.close()
    assert noise == []


@pytest.fixture
def screenshots():
    SCREENSHOTS.mkdir(exist_ok=True)
    return SCREENSHOTS
