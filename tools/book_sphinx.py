"""What the book adds to Sphinx: the line of links under each title, and the claim ledger."""

from __future__ import annotations

import re
from collections import Counter
from html import escape

import pages
from sphinx.util import logging

LEDGER = "<!-- the ledger -->"
log = logging.getLogger(__name__)


def on_source_read(app, docname, source):
    by_name = {page.docname: page for page in pages.toc()}
    if docname in by_name and pages.has_code(by_name[docname]):
        source[0] = re.sub(r"^# .*$", lambda title: f"{title[0]}\n\n{badge(by_name[docname])}", source[0],
                           count=1, flags=re.M)
    if LEDGER in source[0]:
        source[0] = source[0].replace(LEDGER, ledger())


def badge(page):
    """HTML: the page in Colab, its notebook, its module."""
    blob = f"{pages.REPOSITORY}/blob/{pages.BRANCH}"
    links = [f'<a class="colab" href="{page.colab}"><img src="../_static/badge-colab.svg" alt="Open in Colab"></a>',
             f'<a href="{blob}/{page.notebook.relative_to(pages.ROOT).as_posix()}">Notebook</a>']
    module = page.stem.split("_", 1)[-1]
    if page.number and (pages.ROOT / "rnnbook" / f"{module}.py").exists():
        links.append(f'<a href="{blob}/rnnbook/{module}.py">rnnbook/{module}.py</a>')
    return f'<p class="launch">{" ".join(links)}</p>'


def ledger():
    """The claims of all pages, their states and the tests that show them, as MyST."""
    claims, marks = pages.claims(), pages.claim_marks()
    for claim in sorted(claims.keys() - marks.keys()):
        log.warning("%s: no test is marked claim(%r)", claims[claim].page.source.name, claim)
    for claim in sorted(marks.keys() - claims.keys()):
        log.warning("%s: no page has a claim %r", ", ".join(marks[claim]), claim)
    by_state = Counter(claim.state for claim in claims.values())
    parts = [f"There are {len(claims)}: " + ", ".join(f"{by_state[state]} {state}" for state in pages.STATES) + ".\n"]
    for page in pages.toc():
        here = {name: claim for name, claim in claims.items() if claim.page == page}
        if here:
            parts.append(f"## {page.title}\n")
        for name, claim in here.items():
            tests = ", ".join(f"[`{test}`]({pages.REPOSITORY}/blob/{pages.BRANCH}/{test.split('::')[0]})"
                              for test in marks.get(name, []))
            parts.append(f'<a class="claim-id" href="{page.stem}.html#claim-{escape(name)}"><code>{escape(name)}'
                         f'</code></a> <span class="claim-state">{claim.state}</span>\n\n{claim.text}\n\n'
                         f"{f'After {claim.sources}. ' if claim.sources else ''}Shown by {tests or '**no test**'}.\n")
    return "\n".join(parts)


def ledger_is_always_outdated(app, env, added, changed, removed):
    return {"book/claims"} & env.found_docs


def drop_thebe(app, pagename, templatename, context, doctree):
    """Take out a live-code library that we do not use: loaded twice, it raises an error on every page."""
    scripts = context.get("script_files", [])
    scripts[:] = [script for script in scripts if "thebe" not in f"{script}{getattr(script, 'attributes', '')}"]


def setup(app):
    app.connect("source-read", on_source_read)
    app.connect("env-get-outdated", ledger_is_always_outdated)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True}
