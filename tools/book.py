"""Build the book: ``python -m tools.book execute | html | offline | notebooks``.

Each page is executed once, into the cache from which both the HTML and the committed notebooks take their outputs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import date
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from tools import lower, pages, ran
from tools.pages import ROOT

BUILD = ROOT / "_build"
CACHE = BUILD / ".jupyter_cache"
STAMP = CACHE / "code.sha256"
HTML = BUILD / "html"
OFFLINE = BUILD / "rnnbook-offline.zip"
TIMEOUT = pages.CONFIG["execute"]["timeout"]

# One thread a kernel: as many kernels as cores run at once, and sums do not depend on the number of cores.
# Progress bars off: they show seconds, which differ each time.
KERNEL = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
# Each figure in the forms that pages, notebooks and slides need.
KERNEL_OPTIONS = ["--log-level=40", "--IPKernelApp.extensions=rnnbook.plots", "--InlineBackend.figure_formats=set()"]


def code_digest():
    """Hex digest of what pages run but do not contain: Python, the package, the results, the samples, the pins."""
    digest = hashlib.sha256(sys.version.encode())
    files = [ROOT / "requirements.txt", *(ROOT / "data" / "samples").rglob("*")]
    files += [path for folder in ("rnnbook", "benchmarks") for path in (ROOT / folder).rglob("*")
              if path.suffix in {".py", ".js", ".css", ".json"}]
    for path in sorted(filter(Path.is_file, files)):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def open_cache():
    """The cache of executed pages, emptied when the code that pages run has changed."""
    if not is_current():
        for old in (CACHE, BUILD / ".doctrees"):  # from the second Sphinx takes pages whose own text is the same
            shutil.rmtree(old, ignore_errors=True)
        CACHE.mkdir(parents=True)
        STAMP.write_text(code_digest())
    return get_cache(CACHE)


def is_current():
    """Whether what is in the cache was executed with the code as it is now."""
    return STAMP.exists() and STAMP.read_text() == code_digest()


def executed(cache, page):
    """The page as a notebook with its outputs."""
    return cache.merge_match_into_notebook(page.read())[1]


def executions():
    """{page: the page as a notebook with its outputs}, as `execute` left them; for tests, which execute no page."""
    missing = "a page was not executed since it or its code has changed: run `make book`, or `make test`, which does"
    if not is_current():
        raise LookupError(missing)
    cache = get_cache(CACHE)
    try:
        return {page: executed(cache, page) for page in pages.toc() if pages.has_code(page)}
    except KeyError:
        raise LookupError(missing) from None


def execute():
    """Run every page that is not in the cache, with a line for each; returns the cache. Exits if a page fails."""
    cache = open_cache()
    todo = []
    with_code = [page for page in pages.toc() if pages.has_code(page)]
    for page in with_code:
        try:
            cache.match_cache_notebook(page.read())
            print(f"  {page.docname:<24} unchanged", flush=True)
        except KeyError:
            todo.append(page)
    failed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {pool.submit(run_page, page): page for page in todo}
        for n, future in enumerate(as_completed(runs), len(with_code) - len(todo) + 1):
            page, (notebook, seconds, error) = runs[future], future.result()
            verdict = "failed" if error else "executed"
            print(f"  {page.docname:<24} {verdict} in {seconds:5.1f} s   ({n} of {len(with_code)})", flush=True)
            if error:
                failed.append((page, error))
            else:
                bundle = CacheBundleIn(notebook, str(page.source), data={"execution_seconds": seconds})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    for page, error in failed:
        print(f"\n{page.source}:", re.sub(r"\x1b\[[0-9;]*m", "", str(error)), sep="\n", file=sys.stderr)
    if failed:
        sys.exit(1)
    return cache


def run_page(page):
    """(executed notebook, seconds, the error of a cell if one fails). It runs in an empty folder, as in Colab."""
    notebook, start, error = page.read(), time.perf_counter(), None
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": folder}},
                                record_timing=False, extra_arguments=KERNEL_OPTIONS)
        try:
            client.execute(env=os.environ | KERNEL)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as raised:
            error = raised
    # A figure is drawn after its cell, so an error in drawing it raises nothing here.
    undrawn = [output.evalue for cell in notebook.cells for output in cell.get("outputs", [])
               if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", [])]
    return notebook, time.perf_counter() - start, error or "\n".join(undrawn)


def html():
    """Execute the pages, build the HTML with warnings as errors, and check that no page is missing or empty."""
    start = time.perf_counter()
    print("Executing the pages", flush=True)
    execute()
    print("Building the HTML", flush=True)
    builder = Path(sys.executable).with_name("jupyter-book")
    command = [builder, "build", "-q", "-W", "-n", "--keep-going", ROOT]
    if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
        sys.exit("The HTML was not built: see the warnings above.")
    bad = [page.docname for page in pages.toc() if not is_page(HTML / f"{page.docname}.html")]
    if bad:
        sys.exit(f"Missing or empty in {HTML}: {', '.join(bad)}")
    for line in ran.overdue(date.today()):
        print(f"  {line}: `make colab` runs it as a reader would")
    print(f"{len(pages.toc())} pages in {time.perf_counter() - start:.0f} s. Open {(HTML / 'index.html').as_uri()}")


def offline():
    """Build the HTML and pack it into one zip: unpacked anywhere, it opens without a server and without a network."""
    html()
    pack(HTML, OFFLINE)
    print(f"{OFFLINE.relative_to(ROOT)}, {OFFLINE.stat().st_size / 1e6:.1f} MB. Unpack it, open rnnbook/index.html")


def pack(folder, target):
    """Write the HTML book in `folder` to the zip `target`, the same bytes for the same book."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and name.name != ".buildinfo":
                packed.writestr(zipfile.ZipInfo(f"rnnbook/{name.as_posix()}"), path.read_bytes(), zipfile.ZIP_DEFLATED)


def is_page(path):
    """Whether a built page exists and has a heading and text of its own, not just the frame around it."""
    if not path.exists():
        return False
    article = re.search(r"<article[^>]*>(.*)</article>", path.read_text(encoding="utf-8"), re.S)
    text = re.sub(r"<[^>]+>", " ", article[1]) if article else ""
    return "<h1" in (article[1] if article else "") and len(text.split()) > 30


def notebooks():
    """Write book/notebooks afresh: a notebook for each page with code, but the front page."""
    cache = execute()
    wanted = {}
    for page in pages.toc():
        if pages.has_notebook(page):
            wanted[page.notebook] = lower.notebook(page, executed(cache, page))
    for path in pages.NOTEBOOKS.glob("*.ipynb"):
        if path not in wanted:
            path.unlink()
    for path, notebook in wanted.items():
        lower.write(notebook, path)
        print(f"  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["execute", "html", "offline", "notebooks"])
    {"execute": execute, "html": html, "offline": offline, "notebooks": notebooks}[parser.parse_args().what]()
