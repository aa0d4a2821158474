"""What each page of the built book sends before the reader does anything, and when its first content shows.

``python -m tools.weight``. The pages are served as GitHub Pages serves them, text compressed, and opened in Chromium
with an empty cache, over a line of 1.6 Mbit/s with 150 ms to the server and back.
"""

from __future__ import annotations

import gzip
import http.server
import shutil
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools import pages

LIMIT = 1_500_000  # bytes
HTML = pages.ROOT / "_build" / "html"
TEXT = {".html", ".css", ".js", ".svg", ".json"}
PATIENCE = 180_000  # milliseconds: for what hangs, not for what is slow on a busy machine
LINE = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}


class Compressing(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        body, is_text = path.read_bytes(), path.suffix in TEXT
        body = gzip.compress(body, 6) if is_text else body
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(len(body)))
        if is_text:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def served(folder):
    """The address under which `folder` is served."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Compressing, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass
class Weight:
    """What a page sends: bytes by path, compressed and unpacked, and milliseconds to its first content."""

    sent: dict
    unpacked: dict
    first_content: float


def weigh(browser, address, folder, name, line=None):
    """The `Weight` of a page ("book/index.html"), opened anew; over a slow `line`, or one that takes no time."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    if line:
        devtools = context.new_cdp_session(tab)
        devtools.send("Network.enable")
        devtools.send("Network.emulateNetworkConditions", line)
    sent, unpacked = {}, {}

    def note(request):
        path = unquote(urlsplit(request.url).path).lstrip("/")
        if path:  # else an image that stands in the page itself
            sent[path] = request.sizes()["responseBodySize"]
            unpacked[path] = (folder / path).stat().st_size

    tab.on("requestfinished", note)
    tab.goto(f"{address}/{name}")
    tab.wait_for_load_state("networkidle")
    first = tab.wait_for_function("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    weight = Weight(sent, unpacked, first.json_value())
    context.close()
    return weight


def main():
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        sys.exit("no Chromium: apt install chromium")
    print(f"{'page':<16} {'sent':>9} {'unpacked':>9} {'first content':>14}")
    with sync_playwright() as playwright, served(HTML) as address:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for page in pages.toc():
            weight = weigh(browser, address, HTML, f"{page.docname}.html", LINE)
            sent, unpacked = (sum(sizes.values()) / 1e3 for sizes in (weight.sent, weight.unpacked))
            print(f"{page.stem:<16} {sent:6.0f} kB {unpacked:6.0f} kB {weight.first_content / 1e3:12.1f} s")
        browser.close()


if __name__ == "__main__":
    main()
