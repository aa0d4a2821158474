"""Citations for notebooks: author and year, linked, from the book's one bibliography."""

from __future__ import annotations

from functools import cache

from pybtex.backends.plaintext import Backend as PlainText
from pybtex.database import parse_file
from pybtex.richtext import Text

from tools.pages import ROOT


@cache
def entries():
    return parse_file(ROOT / "book" / "references.bib").entries


def plain(latex):
    # render_as("text") would look for this class among all that is installed, each time
    return Text.from_latex(latex).render(PlainText())


def entry(key):
    if key not in entries():
        raise ValueError(f"references.bib has no {key!r}")
    return entries()[key]


def names(key):
    people = entry(key).persons.get("author") or entry(key).persons.get("editor")
    return [plain(" ".join(person.prelast_names + person.last_names)) for person in people]


def authors(key):
    last = names(key)
    return last[0] if len(last) == 1 else f"{last[0]} and {last[1]}" if len(last) == 2 else f"{last[0]} et al."


def url(key):
    fields = entry(key).fields
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    if "eprint" in fields:
        return f"https://arxiv.org/abs/{fields['eprint']}"
    if "arXiv:" in fields.get("note", ""):
        return f"https://arxiv.org/abs/{fields['note'].split('arXiv:')[1].split()[0].strip('.,')}"
    return fields.get("url", "")


def linked(text, key):
    return f"[{text}]({url(key)})" if url(key) else text


def short(key):
    """Hidasi et al., 2016"""
    return linked(f"{authors(key)}, {entry(key).fields['year']}", key)


def textual(key):
    """Hidasi et al. (2016)"""
    return linked(f"{authors(key)} ({entry(key).fields['year']})", key)


def sort_key(key):
    return names(key), entry(key).fields["year"], key


def reference(key):
    """The whole reference, as a line of Markdown."""
    fields = entry(key).fields
    venue = next((plain(fields[f]) for f in ("journal", "booktitle", "publisher", "note") if f in fields), "")
    people = ", ".join(names(key)[:6]) + (" et al." if len(names(key)) > 6 else "")
    place = f" *{venue}*," if venue else ""
    stop = "" if people.endswith(".") else "."
    return f"{people}{stop} {linked(plain(fields['title']), key)}.{place} {fields['year']}."
