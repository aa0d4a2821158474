"""``python -m tools.ran``: when each notebook last ran, and with which versions; fails if one has not for long.

`make colab` and `make newest` record each run in book/notebooks/ran.json, which is committed.
"""

from __future__ import annotations

import json
import sys
from datetime import date

from tools import pages

RAN = pages.NOTEBOOKS / "ran.json"
LONG = 60  # days
SHOWN = ("python", "torch", "numpy", "pandas")


def runs():
    """{stem of a notebook: its last run: the day, the command, and the version of each of SHOWN}."""
    return json.loads(RAN.read_text(encoding="utf-8"))


def record(stems, day, command, versions):
    """Note that the notebooks `stems` ran on `day` (date) by `command`, with `versions` (of more packages, maybe)."""
    run = {"day": day.isoformat(), "command": command, **{name: versions[name] for name in SHOWN}}
    noted = runs() if RAN.exists() else {}
    kept = {page.notebook.stem for page in pages.toc() if pages.has_notebook(page)}
    noted = {stem: each for stem, each in {**noted, **dict.fromkeys(stems, run)}.items() if stem in kept}
    RAN.write_text(json.dumps(noted, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def said(page):
    """One sentence on the last run of a page's notebook; "" if none is known."""
    run = runs().get(page.stem)
    if run is None:
        return ""
    day = date.fromisoformat(run["day"])
    versions = ", ".join(f"{name.replace('python', 'Python')} {run[name]}" for name in SHOWN)
    return f"Last run on {day.day} {day:%B %Y} by `{run['command']}`: {versions}."


def overdue(today):
    """A line for each notebook that has not run for LONG days, or of which no run is known."""
    lines = []
    for page in filter(pages.has_notebook, pages.toc()):
        run = runs().get(page.stem)
        days = run and (today - date.fromisoformat(run["day"])).days
        if run is None or days > LONG:
            lines.append(f"{page.stem} {f'last ran {days} days ago' if run else 'has no known run'}")
    return lines


def main():
    for page in filter(pages.has_notebook, pages.toc()):
        print(f"  {page.stem:<16} {said(page)}")
    late = overdue(date.today())
    if late:
        sys.exit("\n".join([*late, "Run `make colab`, then `make notebooks`, and commit what they write."]))


if __name__ == "__main__":
    main()
