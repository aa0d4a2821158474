"""Page to notebook: MyST directives and roles lowered to the Markdown that Jupyter and Colab read.

What a notebook cannot say is resolved: numbers of figures and equations, citations, links. A directive or role
that is not known here is an error that names the page, so that nothing reaches a notebook as raw markup.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections import Counter
from mimetypes import guess_type
from pathlib import Path
from textwrap import dedent, indent

import nbformat

from tools import bib, maps, pages, questions, ran
from tools.blocks import Directive, Math, Target, parse

SETUP = f"""\
# In Colab only: install the package and let its widgets show.
import sys

if "google.colab" in sys.modules:
    %pip install -q "rnnbook @ git+{pages.REPOSITORY}"
    from google.colab import output

    output.enable_custom_widget_manager()"""

ASIDES = {"note", "tip", "warning", "important", "caution", "attention", "hint", "danger", "error", "seealso",
          "margin", "sidebar", "epigraph", "topic", "todo"}
FLAT = {"grid", "grid-item", "grid-item-card", "card", "card-carousel", "tab-set", "tab-item", "div", "container"}
DROPPED = {"tableofcontents", "toctree", "contents", "index", "raw", "exercise-end", "solution-end", "slide"}
CODE = {"code-block", "code", "sourcecode"}
KEPT_TAGS = {"raises-exception", "nbval-ignore-output", "nbval-skip", "nbval-raises-exception"}


def notebook(page, executed):
    """The notebook of `page` with the outputs of `executed` (the page's own cells, run)."""
    lowering = Lowering(page, glued(executed))
    cells = [nbformat.v4.new_code_cell(SETUP, execution_count=1)]
    for cell in executed.cells:
        if cell.cell_type == "code":
            cells.append(code_cell(cell, count=1 + sum(c.cell_type == "code" for c in cells)))
            figure = cell.metadata.get("mystnb", {}).get("figure")
            if figure:
                cells.append(nbformat.v4.new_markdown_cell(lowering.caption(figure)))
        else:
            cells.append(lowering.markdown_cell(cell.source))
    cells.append(nbformat.v4.new_markdown_cell(whereabouts(page)))
    return assembled(cells)


def assembled(cells):
    """A notebook of those cells that are not empty, with ids that stay the same as long as the cells do."""
    cells = [cell for cell in cells if cell.source.strip()]
    seen = {}
    for cell in cells:
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = f"{digest}-{seen[digest]}"
    return pages.python_notebook(cells)


def whereabouts(page):
    """Where the reader of a notebook stands in the book, and where to go on: the last cell."""
    chapters = [other for other in pages.toc() if other.number]
    number = f"chapter {page.number} of {len(chapters)}, " if page.number else ""
    text = f"---\n\n**You are here:** {number}[{page.title}]({page.url}) in [{pages.toc()[0].title}]({pages.ONLINE})."
    rest = pages.toc()[pages.toc().index(page) + 1:]
    following = next((other for other in rest if pages.has_notebook(other)), None)
    if following:
        text += f" **Next:** {following.title} ([in Colab]({following.colab}), [to read]({following.url}))."
    return f"{text}\n\n{ran.said(page)}".rstrip()


def code_cell(cell, count):
    new = nbformat.v4.new_code_cell(cell.source, execution_count=count)
    tags = [tag for tag in cell.metadata.get("tags", []) if tag in KEPT_TAGS]
    if cell.source.rstrip().endswith(";"):
        tags.append("nbval-ignore-output")  # nbval sees the value that the semicolon hides
    if tags:
        new.metadata["tags"] = tags
    for output in cell.outputs:
        output = nbformat.from_dict(output)
        if output.output_type == "stream" and output.name == "stderr":
            continue  # progress bars
        if output.output_type == "stream" and new.outputs and new.outputs[-1].output_type == "stream":
            new.outputs[-1].text += output.text  # a busy kernel sends one text in several pieces
            continue
        if output.output_type == "execute_result":
            output["execution_count"] = count
        if "data" in output:
            # The state of a live widget is not saved: its HTML, where it has one, shows it. SVG is for the pages.
            for mime in ("application/vnd.jupyter.widget-view+json", "image/svg+xml"):
                output.data.pop(mime, None)
                output.metadata.pop(mime, None)
        new.outputs.append(output)
    return new


def glued(executed):
    """{name: text} of the values that cells have glued."""
    found = {}
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name:
                texts = [text for mime, text in output.data.items() if mime.endswith("text/plain")]
                found[name] = texts[0] if texts else ""
    return found


def write(nb, path):
    """Write a notebook in the one form that is committed."""
    nbformat.validate(nb)
    path.parent.mkdir(exist_ok=True)
    path.write_text(nbformat.writes(nb) + "\n", encoding="utf-8")


class Lowering:
    """Lowers the text of one page; keeps the numbers and titles that its references ask for."""

    def __init__(self, page, glue=()):
        self.page = page
        self.glue = glue
        self.labels = all_labels()
        self.cited = []
        self.attachments = {}

    def error(self, what):
        return ValueError(f"{self.page.source.name}: {what}")

    def markdown_cell(self, text):
        return self.markdown_cell_of(parse(text))

    def markdown_cell_of(self, blocks):
        self.attachments = {}
        cell = nbformat.v4.new_markdown_cell(self.lower_blocks(blocks).strip())
        if self.attachments:
            cell["attachments"] = self.attachments
        return cell

    def caption(self, figure):
        number = f"*{self.labels[figure['name']].text}.* " if "name" in figure else ""
        return number + self.inline(figure["caption"].strip())

    def lower(self, text):
        return self.lower_blocks(parse(text))

    def lower_blocks(self, blocks):
        parts = []
        for block in blocks:
            if isinstance(block, Directive):
                parts.append(indent(self.directive(block), block.indent))
            elif isinstance(block, Math):
                parts.append(self.math(block))
            elif isinstance(block, str) and (questions.PLACEHOLDER.search(block) or maps.PLACEHOLDER.search(block)):
                parts.append(self.lower(questions.filled(maps.filled(block, self.page))) + "\n")
            elif isinstance(block, str):
                parts.append(block if block.lstrip().startswith(("```", "~~~")) else self.inline(block))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(parts))

    def math(self, block):
        tag = f" \\tag{{{self.labels[block.label].text.strip('()')}}}" if block.label else ""
        return indent(f"$$\n{block.body.strip()}{tag}\n$$", block.indent)

    # Directives

    def directive(self, d):
        classes = d.options.get("class", "").split()
        if d.name in DROPPED:
            return ""
        if d.name in CODE:
            return f"```{d.argument}\n{d.body}\n```"
        if d.name == "math":
            return self.math(Math(d.body, d.options.get("label"), ""))
        if d.name in {"figure", "image"}:
            return self.image(d)
        if d.name == "list-table":
            return self.list_table(d)
        if d.name == "bibliography":
            return "\n".join(f"- {bib.reference(key)}" for key in sorted(set(self.cited), key=bib.sort_key))
        body = self.lower(d.body).strip()
        title = self.inline(d.argument)
        if d.name == "dropdown" or ("dropdown" in classes and d.name == "admonition"):
            return details(title, body)
        if d.name in {"admonition", *ASIDES}:
            if d.name not in {"admonition", "topic", "sidebar"}:
                body = f"{title}\n{body}".strip()
                title = d.name.replace("seealso", "see also").capitalize()
            return quote(title, body)
        if d.name in {"exercise", "exercise-start"}:
            return f"**{self.labels[d.options['label']].text}{f': {title}' if title else ''}**\n\n{body}"
        if d.name == "solution":
            return details(f"Solution to {self.labels[d.argument].text.lower()}", body)
        if d.name == "solution-start":
            return f"**Solution to {self.labels[d.argument].text.lower()}**\n\n{body}"
        if d.name.startswith("prf:"):
            return quote(d.name[4:].capitalize() + (f" ({title})" if title else ""), body)
        if d.name == "table":
            return f"{body}\n\n*{title}*" if title else body
        if d.name in FLAT:
            return f"{f'**{title}**' if title and not title.isdigit() else ''}\n\n{body}".strip()
        raise self.error(f"no lowering for the directive {{{d.name}}}")

    def image(self, d):
        alt = d.options.get("alt", "")
        text = f"![{alt}]({self.attach(d.argument)})"
        if d.name == "image" or not d.body:
            return text
        number = f"*{self.labels[d.options['name']].text}.* " if "name" in d.options else ""
        return f"{text}\n\n{number}{self.lower(d.body).strip()}"

    def attach(self, target):
        """Carry a picture of the book inside the notebook: a notebook travels alone."""
        if "://" in target:
            return target
        path = (self.page.source.parent / target).resolve()
        if not path.exists():
            raise self.error(f"no picture {target}")
        self.attachments[path.name] = {guess_type(path.name)[0]: b64encode(path.read_bytes()).decode()}
        return f"attachment:{path.name}"

    def list_table(self, d):
        rows = [[dedent(" " * 2 + cell).strip().replace("\n", " ") for cell in re.split(r"^ *- ?", row, flags=re.M)[1:]]
                for row in re.split(r"^\* ", d.body, flags=re.M)[1:]]
        rows = [[self.inline(" ".join(cell.split())).replace("|", "\\|") for cell in row] for row in rows]
        head, *body = rows if int(d.options.get("header-rows", 0)) else [[""] * len(rows[0]), *rows]
        lines = [head, ["---"] * len(head), *body]
        table = "\n".join(f"| {' | '.join(row)} |" for row in lines)
        return f"{table}\n\n*{self.inline(d.argument)}*" if d.argument else table

    # Roles and links

    INLINE = re.compile(
        r"\{(?P<role>[a-zA-Z][\w:.-]*)\}(?P<ticks>`+)(?P<content>.+?)(?P=ticks)(?!`)"
        r"|(?P<verbatim>(?P<t2>`+)(?!`).+?(?<!`)(?P=t2)(?!`)|(?<![\\$])\$(?!\s)[^$]+?(?<!\\)\$)"
        r"|(?P<bang>!?)\[(?P<text>(?:[^\[\]`]|`[^`]*`|\[[^\]]*\])*)\]\((?P<target>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)",
        re.S)

    def inline(self, text):
        return self.INLINE.sub(self.replace, text)

    def replace(self, match):
        if match["role"]:
            return self.role(match["role"], re.sub(r"\s+", " ", match["content"]))
        if match["verbatim"]:
            return match[0]
        if match["bang"]:
            return f"![{match['text']}]({self.attach(match['target'])})"
        return self.link(match["target"], self.inline(match["text"]))

    def role(self, role, content):
        explicit = re.fullmatch(r"(.*?)\s*<([^<>]+)>", content)
        text, target = explicit.groups() if explicit else ("", content)
        if role in {"cite:p", "cite", "cite:t", "cite:alp"}:
            keys = [key.strip() for key in content.split(",")]
            self.cited += keys
            form = bib.textual if role == "cite:t" else bib.short
            joined = "; ".join(form(key) for key in keys)
            return f"({joined})" if role in {"cite:p", "cite"} else joined
        if role in {"numref", "eq", "ref", "doc", "prf:ref"}:
            if role == "numref" and text:
                number = self.find(target).text.split()[-1]
                text = text.replace("%s", number).replace("{number}", number)
            return self.link(target, text)
        if role.startswith("glue:"):
            name, _, form = content.partition(":")
            if name not in self.glue:
                raise self.error(f"nothing was glued as {name!r}")
            value = self.glue[name].strip("'\"")
            return f"{float(value):{form}}" if form else value
        if role == "math":
            return f"${content}$"
        if role.startswith("py:"):
            return f"`{(text or target).lstrip('~')}`" if "~" not in target else f"`{target.rsplit('.', 1)[-1]}`"
        if role in {"kbd", "sub", "sup"}:
            return f"<{role}>{content}</{role}>"
        if role == "abbr":
            return content
        if role in {"term", "abbreviation"}:
            return text or target
        raise self.error(f"no lowering for the role {{{role}}}")

    def find(self, label):
        if label not in self.labels:
            raise self.error(f"the reference {label!r} leads nowhere")
        return self.labels[label]

    def link(self, target, text):
        """A Markdown link, or plain text where it leads to a place on this very page."""
        if re.match(r"\w+:", target):
            return f"[{text or target}]({target})"
        path, _, anchor = target.partition("#")
        file = (self.page.source.parent / path).resolve()
        if path and not path.endswith(".md") and path not in self.labels and file.exists():
            blob = f"{pages.REPOSITORY}/blob/{pages.BRANCH}/{file.relative_to(pages.ROOT).as_posix()}"
            return f"[{text or path}]({blob})"
        label = self.find(Path(path).stem if path else anchor) if path.endswith(".md") or not path else self.find(path)
        if label.page == self.page:
            return text or label.text
        anchor = anchor or label.anchor
        return f"[{text or label.text}]({label.page.url}{'#' + anchor if anchor else ''})"


def quote(title, body):
    return indent(f"**{title}**\n\n{body}", "> ", lambda line: True)


def details(title, body):
    return f"<details><summary><b>{title}</b></summary>\n\n{body}\n\n</details>"


# Labels: what a reference may point at, with the number or title that it shows


class Label:
    def __init__(self, page, text, anchor=""):
        self.page, self.text, self.anchor = page, text, anchor


_labels = {}


def all_labels():
    """{label: Label} over all pages."""
    if not _labels:
        for page in pages.toc():
            _labels.update(labels_of(page))
    return _labels


def labels_of(page):
    found, counts = {page.stem: Label(page, page.title)}, Counter()
    prefix = f"{page.number}." if page.number else ""

    def number(kind):
        counts[kind] += 1
        return f"{prefix}{counts[kind]}"

    def walk(text):
        pending = []
        for block in parse(text):
            if isinstance(block, Target):
                pending.append(block.label)
            elif isinstance(block, Math) and block.label:
                found[block.label] = Label(page, f"({number('Equation')})", f"equation-{block.label}")
            elif isinstance(block, str):
                heading = re.search(r"^#+ (.+)$", block, re.M)
                if block.strip():
                    for label in pending:
                        found[label] = Label(page, heading[1] if heading else page.stem, label)
                    pending = []
            elif isinstance(block, Directive):
                directive(block)

    def directive(d):
        name = d.options.get("name") or d.options.get("label")
        if d.name == "math":
            if name:
                found[name] = Label(page, f"({number('Equation')})", f"equation-{name}")
        elif d.name == "figure" and d.body:
            text = f"Figure {number('Figure')}"
            if name:
                found[name] = Label(page, text, name)
        elif d.name in {"exercise", "exercise-start"}:
            d.options.setdefault("label", f"{page.stem}-exercise")
            found[d.options["label"]] = Label(page, f"Exercise {number('Exercise')}", name or "")
        elif d.name in {"table", "list-table"} and d.argument:
            text = f"Table {number('Table')}"
            if name:
                found[name] = Label(page, text, name)
        elif name:
            found[name] = Label(page, d.argument or d.name, name)
        if d.name not in CODE | {"math", "slide"}:
            walk(d.body)

    for cell in page.read().cells:
        if cell.cell_type == "markdown":
            walk(cell.source)
        else:
            figure = cell.metadata.get("mystnb", {}).get("figure")
            if figure and figure.get("caption"):
                text = f"Figure {number('Figure')}"
                if figure.get("name"):
                    found[figure["name"]] = Label(page, text, figure["name"])
    return found
