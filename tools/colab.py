"""Run every notebook as Colab would: a fresh environment, an empty folder, the package from a git address.

The environment holds what Colab has of itself (torch, numpy, pandas, matplotlib, ipywidgets) in the pinned
versions, and what it takes to run a notebook; everything else must come with the package. With ``--newest`` they
come in their newest releases, and so does all that the package asks for; ``--pin torch`` keeps one at its pin, for
a machine where a newer build would not fit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import venv
from datetime import date
from pathlib import Path

from tools import pages, ran

OWN = ("torch", "numpy", "pandas", "matplotlib", "ipywidgets", "ipykernel", "nbclient", "nbformat")


def main(newest=False, pinned=()):
    with tempfile.TemporaryDirectory(prefix="colab-") as folder:
        folder = Path(folder)
        print("Installing as in Colab; then every notebook, a minute or two each", flush=True)
        start = time.perf_counter()
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        own = [name if newest and name not in pinned else pin(name) for name in OWN]
        subprocess.run([*pip, *own], check=True)
        subprocess.run([*pip, f"git+{pages.ROOT.as_uri()}"], check=True)
        print(f"  installed in {time.perf_counter() - start:.0f} s", flush=True)
        listed = subprocess.run([python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
                                capture_output=True, check=True)
        versions = {package["name"]: package["version"] for package in json.loads(listed.stdout)}
        others = [f"{name} {version}" for name, version in versions.items()
                  if pin(name) not in (None, f"{name}=={version}")]
        print(f"  not as pinned: {', '.join(others) or 'nothing'}", flush=True)
        paths = sorted(pages.NOTEBOOKS.glob("*.ipynb"))
        ran_through = [path for path in paths if runs(path, python, folder)]
    ran.record([path.stem for path in ran_through], date.today(), f"make {'newest' if newest else 'colab'}",
               {"python": platform.python_version(), **versions})
    print("Recorded. `make notebooks` writes it into the notebooks.")
    failed = [path.name for path in paths if path not in ran_through]
    if failed:
        sys.exit(f"Failed as in Colab: {', '.join(failed)}")


def pin(name):
    """The line of requirements.txt that pins a package; None where none does."""
    line = re.search(rf"^{name}==.*$", (pages.ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M)
    return line and line[0]


def runs(path, python, folder):
    """Whether a notebook, alone in an empty folder, runs from top to bottom."""
    alone = folder / path.stem
    alone.mkdir()
    (alone / path.name).write_bytes(path.read_bytes())
    start = time.perf_counter()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RNNBOOK"))}
    # A cache of its own: Colab has downloaded nothing yet.
    environment["XDG_CACHE_HOME"] = str(folder / "cache")
    done = subprocess.run([python.with_name("jupyter-execute"), "--timeout=600", path.name], cwd=alone,
                          capture_output=True, text=True, env=environment)
    verdict = "failed" if done.returncode else "ran"
    print(f"  {path.stem:<16} {verdict} in {time.perf_counter() - start:5.1f} s", flush=True)
    if done.returncode:
        print(re.sub(r"\x1b\[[0-9;]*m", "", done.stderr[-3000:]), file=sys.stderr)
    return not done.returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--newest", action="store_true", help="the newest releases instead of the pinned ones")
    parser.add_argument("--pin", nargs="*", default=[], choices=OWN, metavar="NAME", help="keep these at their pins")
    options = parser.parse_args()
    main(options.newest, options.pin)
