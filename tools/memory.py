"""How much memory a student's kernel needs: ``python -m tools.memory``, or with names such as ``01_rnn``.

Each notebook runs alone, from top to bottom, with one thread. What is printed is the largest resident size that its
kernel has had, in megabytes; before them, that of a kernel which has only imported what all of them import.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from tools import pages

IDLE = "import rnnbook, torch"
# A process begins with the size of the one that starts it, so a small one stands between.
MEASURE = """import resource, subprocess, sys
run = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(run.returncode)"""


def peak(path):
    """The largest resident size in megabytes (10^6 bytes) of the kernel that runs this notebook."""
    run = subprocess.run(  # of nbconvert and of the kernel, which is larger, it prints the larger one
        [sys.executable, "-c", MEASURE, sys.executable, "-m", "nbconvert", "--to=notebook", "--execute", "--stdout",
         "--log-level=ERROR", "--ExecutePreprocessor.timeout=-1", "--ExecutePreprocessor.startup_timeout=600",
         str(path)],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"})
    if run.returncode:
        raise SystemExit(f"{path.name} did not run through.")
    return int(run.stdout) * (1 if sys.platform == "darwin" else 1024) / 1e6


def main(stems=()):
    with tempfile.TemporaryDirectory() as folder:
        idle = Path(folder) / "idle.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(IDLE)]), idle)
        every = {"idle": idle} | {page.stem: page.notebook for page in pages.toc() if page.number}
        for stem in stems or every:
            print(f"  {stem:<14} {peak(every[stem]):6.0f} MB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
