"""What the book adds to Sphinx: links under titles, maps, folds, the ledger, the bibliography, the index of the
package, and pictures in the page's own colours.

With the tag `student` it builds the student's edition, from the same doctrees: a page loses its solutions just before
it is written, so numbers and links stay what they are.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from sphinx.util import logging
from sphinx_exercise.nodes import solution_node

from rnnbook import plots
from tools import bib, boxes, maps, pages, questions, ran

LEDGER = "<!-- the ledger -->"
BIBLIOGRAPHY = "<!-- the bibliography -->"
MODULES = "<!-- the modules -->"
LAUNCH = '<p class="launch">'
BUTTONS = ("use_repository_button", "use_issues_button", "use_download_button")  # they lead to a page's source
log = logging.getLogger(__name__)


class Slide(Directive):
    """A slide of the lecture beside its section. The page itself shows nothing of it."""

    has_content, required_arguments, final_argument_whitespace = True, 1, True
    option_spec = {"minutes": float, "show": directives.unchanged, "code": directives.unchanged,
                   "symbols": directives.unchanged, "ask": directives.flag}

    def run(self):
        return []


def on_source_read(app, docname, source):
    by_name = {page.docname: page for page in pages.toc()}
    if docname in by_name and pages.has_notebook(by_name[docname]):
        source[0] = re.sub(r"^# .*$", lambda title: f"{title[0]}\n\n{badge(by_name[docname])}", source[0],
                           count=1, flags=re.M)
    if LEDGER in source[0]:
        source[0] = source[0].replace(LEDGER, ledger())
    if BIBLIOGRAPHY in source[0]:
        source[0] = source[0].replace(BIBLIOGRAPHY, bibliography())
    if MODULES in source[0]:
        source[0] = source[0].replace(MODULES, index_of_modules())
    for asked in questions.PLACEHOLDER.findall(source[0]):
        app.env.note_dependency(str(questions.FOLDER / f"{asked}.yml"))  # it changes the page
    source[0] = questions.filled(maps.filled(source[0], by_name.get(docname), link=maps.html_link))
    source[0] = re.sub(r"<!-- time (\S+) -->", lambda stem: first_capital(by_name[f"book/{stem[1]}"].time), source[0])


def first_capital(text):
    return text[0].upper() + text[1:]


def badge(page):
    """HTML: the page in Colab and on Binder, its notebook, its module."""
    blob = f"{pages.REPOSITORY}/blob/{pages.BRANCH}"
    links = [f'<a class="colab" href="{page.colab}"><img src="../_static/badge-colab.svg" alt="Open in Colab"></a>',
             f'<a href="{page.binder}">Binder</a>',
             f'<a href="{blob}/{page.notebook.relative_to(pages.ROOT).as_posix()}">Notebook</a>']
    module = page.stem.split("_", 1)[-1]
    if page.number and (pages.ROOT / "rnnbook" / f"{module}.py").exists():
        links.append(f'<a href="{blob}/rnnbook/{module}.py">rnnbook/{module}.py</a>')
    last = re.sub("`(.*?)`", r"<code>\1</code>", ran.said(page))
    return f'{LAUNCH}{" ".join(links)} <span class="ran">{last}</span></p>'


def students_settings(app, config):
    """No sources, which have the solutions, and no buttons to them."""
    if app.tags.has("student"):
        config.html_copy_source = False
        config.html_theme_options |= dict.fromkeys(BUTTONS, False)


def without_solutions(app, doctree, docname):
    if not app.tags.has("student"):
        return
    for solution in list(doctree.findall(solution_node)):
        solution.parent.remove(solution)
    for links in doctree.findall(lambda node: isinstance(node, nodes.raw) and node.astext().startswith(LAUNCH)):
        stem = docname.rpartition("/")[2]
        text = f'{LAUNCH}<a href="../notebooks/{stem}.ipynb" download>Notebook with blanks for the exercises</a></p>'
        links.replace_self(nodes.raw("", text, format="html"))


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
            tests = ", ".join(map(boxes.test_link, marks.get(name, [])))
            parts.append(f'<a class="claim-id" href="{page.stem}.html#claim-{escape(name)}"><code>{escape(name)}'
                         f'</code></a> <span class="claim-state">{claim.state}</span>\n\n{claim.text}\n\n'
                         f"{f'After {claim.sources}. ' if claim.sources else ''}Shown by {tests or '**no test**'}.\n")
    return "\n".join(parts)


def bibliography():
    """All that the pages cite, a line each, as MyST."""
    cited = set()
    for page in pages.toc():
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page.source.read_text(encoding="utf-8")):
            cited.update(key.strip() for key in keys.split(","))
    return "\n".join(f"- {bib.reference(key)}" for key in sorted(cited, key=bib.sort_key))


def documented(page):
    """The modules whose documentation a page shows."""
    return re.findall(r"automodule:: (\S+)", page.source.read_text(encoding="utf-8"))


def public(module):
    """(name, class or function) of all that the documentation of a module shows."""
    module = importlib.import_module(module)
    own = [name for name, it in vars(module).items() if getattr(it, "__module__", None) == module.__name__]
    named = [(name, getattr(module, name)) for name in getattr(module, "__all__", own) if not name.startswith("_")]
    return [(name, it) for name, it in named if inspect.isclass(it) or inspect.isfunction(it)]


def index_of_modules():
    """What each module is for, and a link to each of its classes and functions, as MyST."""
    parts = []
    for page in filter(documented, pages.toc()):
        parts.append(f"### {{doc}}`{page.title} </{page.docname}>`\n")
        for module in documented(page):
            about = inspect.getdoc(importlib.import_module(module)).partition("\n\n")[0]
            names = " · ".join(f"{{py:{'class' if inspect.isclass(it) else 'func'}}}`~{module}.{name}`"
                               for name, it in public(module))
            parts.append(f"**`{module}`.** {about}\\\n{names}\n")
    return "\n".join(parts)


def skip_bare_fields(app, what, name, obj, skip, options):
    """Leave out the fields of named tuples: of each, Python says only its number; the class explains them."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def figures(app, doctree, docname):
    """Make the pictures that cells have drawn parts of the page: as files they would not know its colours."""
    for n, picture in enumerate(list(doctree.findall(nodes.image)), 1):
        if "jupyter_execute" in picture["uri"] and picture["uri"].endswith(".svg"):
            name = next(iter(picture.parent["ids"]), f"picture-{n}")
            svg = (Path(app.srcdir) / picture["uri"]).read_text(encoding="utf-8")
            alt = " ".join(picture["alt"].split())
            picture.replace_self(nodes.raw("", plots.inline(svg, name, alt), format="html"))


def made_from_others(app, env, added, changed, removed):
    """The pages that are made from what stands in other pages are always outdated."""
    return {"book/api", "book/claims", "book/bibliography", "book/index"} & env.found_docs


def all_pages(app, env):
    """Every page is written: of one that is not, Sphinx's search index would lose the titles and index entries."""
    return env.found_docs


def numbers_of_their_own(app, env):
    """Figures of a page without a number count from 1 there; Sphinx counts on from one such page to the next."""
    for docname, kinds in env.toc_fignumbers.items():
        if not env.toc_secnumbers.get(docname):
            for numbers in kinds.values():
                numbers.update((name, (n,)) for n, name in enumerate(numbers, 1))
    return []


def roles(app, pagename, templatename, context, doctree):
    """Mend what the extensions tell screen readers: a list of references holds items, its links are plain links."""
    body = context.get("body", "")
    context["body"] = re.sub(r' role="doc-(?:biblioentry|backlink)"',
                             lambda role: ' role="listitem"' if "entry" in role[0] else "", body)
    # the words in a fold's summary say more than this
    context["body"] = context["body"].replace('<summary aria-label="Toggle hidden content">', "<summary>")


def offer_help(app, pagename, templatename, context, doctree):
    """A button for the window that progress.js opens."""
    context["header_buttons"].append({"type": "javascript", "javascript": "", "icon": "fas fa-circle-question",
                                      "tooltip": "Keys and your progress", "label": "help-button"})


def drop_thebe(app, pagename, templatename, context, doctree):
    """Take out a live-code library that we do not use: loaded twice, it raises an error on every page."""
    scripts = context.get("script_files", [])
    scripts[:] = [script for script in scripts if "thebe" not in f"{script}{getattr(script, 'attributes', '')}"]


def describe(app, pagename, templatename, context, doctree):
    """What search engines and previews of a link show: the beginning of the page, and the picture of the front page."""
    if doctree is None:
        return
    title, site = context["title"], app.config.html_baseurl.rstrip("/")
    text = description(doctree)
    tags = {"description": text, "og:title": title, "og:description": text, "og:type": "website",
            "og:url": f"{site}/{pagename}.html", "og:image": f"{site}/_static/preview.png",
            "twitter:card": "summary_large_image"}
    for name, value in tags.items():
        kind, plain = "property" if name.startswith("og:") else "name", re.sub("<.*?>", "", value)
        context["metatags"] = context.get("metatags", "") + f'<meta {kind}="{name}" content="{escape(plain)}">'


def description(doctree, most=200):
    """The first sentences of a page that fit into so many characters; of a first sentence that does not, a part."""
    text = next((paragraph.astext() for paragraph in doctree.findall(nodes.paragraph)
                 if len(paragraph.astext()) > 60), doctree.astext())
    text = re.sub(r"\s+", " ", text)
    if len(text) <= most:
        return text
    ends = [match.end() for match in re.finditer(r"[.?!](?= )", text[:most])]
    return text[:ends[-1]] if ends and ends[-1] > 60 else text[:most].rsplit(" ", 1)[0] + " …"


def not_found(app):
    """The page for an address that does not exist. It is shown at any depth, so its links begin at the site's root."""
    site = app.config.html_baseurl.rstrip("/")
    body = (f'<h1>This page does not exist</h1><p>The address may be old. The <a href="{site}/book/index.html">front '
            f'page</a> links to all chapters, and the <a href="{site}/search.html">search</a> finds words in them.</p>')
    yield "404", {"title": "This page does not exist", "body": body,
                  "metatags": f'<base href="{site}/">'}, "page.html"


def setup(app):
    app.add_post_transform(boxes.NamedFolds)
    app.add_post_transform(boxes.ClaimBoxes)
    app.add_post_transform(boxes.Percentages)
    app.add_directive("slide", Slide)
    app.connect("config-inited", students_settings)
    app.connect("doctree-resolved", without_solutions)
    app.connect("html-collect-pages", not_found)
    app.connect("html-page-context", describe)
    app.connect("source-read", on_source_read)
    app.connect("autodoc-skip-member", skip_bare_fields)
    app.connect("env-get-outdated", made_from_others)
    app.connect("env-updated", all_pages)
    app.connect("env-get-updated", numbers_of_their_own, priority=900)  # after Sphinx's own
    app.connect("doctree-resolved", figures)
    app.connect("html-page-context", roles)
    app.connect("html-page-context", offer_help, priority=900)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True}
