"""``python -m tools.address REPOSITORY SITE``: give a fork its own addresses.

The addresses in ``_config.yml`` are what counts. Every committed file that repeats them, notebooks included, gets the
new ones, and so do the links to Colab and Binder, which name the repository.
"""

from __future__ import annotations

import argparse
import re
import subprocess

import nbformat
import yaml

from tools import lower, pages

REPOSITORY = re.compile(r"https://github\.com/[\w-]+/[\w.-]+")  # Colab and Binder open nothing else
SITE = re.compile(r"https?://\S+[^/\s]")


def committed():
    """The paths of all files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=pages.ROOT, capture_output=True, check=True, text=True)
    return [pages.ROOT / name for name in listed.stdout.split("\0") if name]


def move(files, config, repository, site):
    """Write the new addresses over those of the file `config` in all `files`; the files that have changed."""
    old = yaml.safe_load(config.read_text(encoding="utf-8"))
    before, after = (address.removeprefix("https://github.com/") for address in (old["repository"]["url"], repository))
    anywhere = re.compile(rf"(github\.com/|/github/|/gh/){re.escape(before)}(?![\w-])")
    online = re.compile(rf"{re.escape(old['html']['baseurl'])}(?![\w-])")
    changed = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture
            continue
        new = anywhere.sub(rf"\g<1>{after}", online.sub(lambda _: site, text))
        if new != text:
            path.write_text(new, encoding="utf-8")
            if path.suffix == ".ipynb":  # the ids of its cells depend on their text
                lower.write(lower.assembled(nbformat.reads(new, as_version=4).cells), path)
            changed.append(path)
    return changed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", help="https://github.com/YOU/rnnbook")
    parser.add_argument("site", help="https://YOU.github.io/rnnbook")
    options = parser.parse_args()
    repository, site = options.repository.removesuffix(".git").rstrip("/"), options.site.rstrip("/")
    wrong = [f"{name}={given} is no address like {like}" if given else f"{name} is missing"
             for name, form, given, like in (("REPO", REPOSITORY, repository, "https://github.com/YOU/rnnbook"),
                                             ("SITE", SITE, site, "https://YOU.github.io/rnnbook"))
             if not form.fullmatch(given)]
    if wrong:
        parser.error(f"{' and '.join(wrong)}: "
                     "make address REPO=https://github.com/YOU/rnnbook SITE=https://YOU.github.io/rnnbook")
    for path in move(committed(), pages.ROOT / "_config.yml", repository, site):
        print(f"  {path.relative_to(pages.ROOT)}")


if __name__ == "__main__":
    main()
