"""What each page of the built book sends before the reader does anything, when it shows, and when it is idle.

``python -m tools.weight`` fails if a page is above a limit. The pages are served as GitHub Pages serves them, text
compressed, and opened in Chromium with an empty cache: once over a line of 1.6 Mbit/s with 150 ms to the server and
back, once over a line that takes no time on a processor that is slowed down.
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
SLOWDOWN = 4  # a phone, beside a laptop
FIRST_CONTENT, IDLE, SHIFT = 1.0, 3.0, 0.05  # on the slow processor, at most: seconds, seconds, score of moved content
HTML = pages.ROOT / "_build" / "html"
TEXT = {".html", ".css", ".js", ".svg", ".json"}
PATIENCE = 180_000  # milliseconds: for what hangs, not for what is slow on a busy machine
LINE = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
# When the last task of more than 50 ms ended, and how much has moved by itself since the page was opened
WATCH = """window.busy = window.moved = 0;
new PerformanceObserver((list) => list.getEntries().forEach((task) => {
  window.busy = Math.max(window.busy, task.startTime + task.duration);
})).observe({ type: "longtask", buffered: true });
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  if (!entry.hadRecentInput) window.moved += entry.value; })).observe({ type: "layout-shift", buffered: true });"""
FIRST = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
QUIET = f"Math.max({FIRST}, window.busy) + 1000 < performance.now()"


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
    """What a page sends: bytes by path, compressed and unpacked. Milliseconds to its first content, and to the end of
    its long tasks; on a slowed processor, of those before its first second without any. How much moved, as browsers
    score it.
    """

    sent: dict
    unpacked: dict
    first_content: float
    idle: float
    shift: float


def weigh(browser, address, folder, name, line=None, slowdown=1):
    """The `Weight` of a page ("book/index.html"), opened anew; over a slow `line`, or one that takes no time."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    tab.add_init_script(WATCH)
    devtools = context.new_cdp_session(tab)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
    if line:
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
    tab.wait_for_function(QUIET if slowdown > 1 else FIRST)
    first, busy, moved = tab.evaluate(f"[{FIRST}, window.busy, window.moved]")
    weight = Weight(sent, unpacked, first, max(first, busy), moved)
    context.close()
    return weight


def main():
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        sys.exit("no Chromium: apt install chromium")
    print(f"{'':<46} | slow line | processor {SLOWDOWN} times slower\n{'page':<25} {'sent':>9} {'unpacked':>10} "
          f"| {'content':>9} | {'content':>9} {'idle':>8} {'shift':>6}")
    heavy = []
    with sync_playwright() as playwright, served(HTML) as address:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for page in pages.toc():
            far, slow = (weigh(browser, address, HTML, f"{page.docname}.html", *how)
                         for how in ((LINE,), (None, SLOWDOWN)))
            sent, unpacked = sum(slow.sent.values()), sum(slow.unpacked.values())
            print(f"{page.stem:<25} {sent / 1e3:6.0f} kB {unpacked / 1e3:7.0f} kB | {far.first_content / 1e3:7.1f} s | "
                  f"{slow.first_content / 1e3:7.1f} s {slow.idle / 1e3:6.1f} s {slow.shift:6.3f}", flush=True)
            if (sent > LIMIT or slow.first_content > 1e3 * FIRST_CONTENT or slow.idle > 1e3 * IDLE
                    or slow.shift > SHIFT):
                heavy.append(page.stem)
        browser.close()
    if heavy:
        sys.exit(f"Above a limit ({LIMIT / 1e6} MB, {FIRST_CONTENT} s, {IDLE} s, {SHIFT}): {', '.join(heavy)}")


if __name__ == "__main__":
    main()
