"""Make the built pages light: what no page uses is not sent.

The theme brings every icon there is as a script and as fonts, styles for every component it knows, MathJax with a
menu and a reader for each language, and the search index on every page: four megabytes a page. Here they are cut
to what the pages use, after Sphinx has written them. And what would keep a slow processor busy is left out or put off.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import tinycss2
from fontTools import subset

# The last two: formulas as MathML, to be read aloud; and those far below are set when the reader comes near.
MATHJAX = ("core", "input/tex", "output/chtml", "a11y/assistive-mml", "ui/lazy")
NEAR = "800px"
MATHJAX_ON_DEMAND = ("input/tex/extensions", "output/chtml/fonts")
ICONS = "vendor/fontawesome/webfonts"
ALL_ICONS = re.compile(r'\s*<script[^>]*src="[^"]*/fontawesome\.js[^"]*"[^>]*></script>')
SEARCH = re.compile(r'\s*<script[^>]*src="[^"]*\b(?:searchtools|language_data|searchindex)\.js[^"]*"[^>]*></script>')
# The theme looks for frames that scroll after every change of the page, and lays it out anew for each; see book.js.
FRAMES = re.compile(r'document\.querySelectorAll\(\["pre",[^\]]*\]\.join\(", "\)\)')
STYLE = re.compile(r"<style>.*?</style>", re.S)  # each widget brings those of all
FORMULAS = re.compile(r'\s*<script>window\.MathJax = .*?</script>'
                      r'|\s*<script[^>]*/mathjax/startup\.js[^>]*></script>', re.S)
# Names, brackets and spaces have the colour of the code around them: most of a page's elements, and nobody sees them.
PLAIN = re.compile(r'<span class="(?:n|nn|p|w)">([^<]*)</span>')
# A line may break before and after a formula, even before a comma: what belongs to a formula is moved into it.
FORMULA = re.compile(r'(\(?)(<span class="math[^"]*">)(\\\([^<]*\\\))(</span>)([,.;:!?)”]*)')
# The state of all widgets for a widget manager, which no page has: a widget's own HTML carries it once more.
WIDGET_STATE = re.compile(r'\s*<script type="application/vnd\.jupyter\.widget-state\+json">.*?</script>', re.S)


def html(folder):
    """Cut the HTML book in `folder` (Path) to what its pages use. Doing it twice changes nothing."""
    mathjax(folder / "_static" / "mathjax")
    (folder / "_static" / "scripts" / "fontawesome.js").unlink(missing_ok=True)
    theme = folder / "_static" / "scripts" / "pydata-sphinx-theme.js"
    theme.write_text(FRAMES.sub("[]", theme.read_text(encoding="utf-8")), encoding="utf-8")
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        slim = page(text, path)
        if slim != text:
            path.write_text(slim, encoding="utf-8")
    styles(folder)
    for path in [*folder.rglob("*.map"), *folder.rglob("*webpack-macros.html")]:  # the theme's own, for its makers
        path.unlink()


def mathjax(folder):
    """Keep the parts that the pages ask for, and those that these may ask for."""
    keep = [folder / "startup.js", *(folder / f"{part}.js" for part in MATHJAX)]
    for path in folder.rglob("*"):
        inside = any(path.is_relative_to(folder / part) for part in MATHJAX_ON_DEMAND)
        if path.is_file() and path not in keep and not inside:
            path.unlink()


def page(text, path):
    """A page without scripts it does not need."""
    text = PLAIN.sub(r"\1", WIDGET_STATE.sub("", ALL_ICONS.sub("", text)))
    text = FORMULA.sub(r"\2\1\3\5\4", text)
    if 'class="math' not in text:
        text = FORMULAS.sub("", text)
    for style in set(STYLE.findall(text)):
        first, *others = text.split(style)
        text = first + style + "".join(others)
    return text if path.name == "search.html" else SEARCH.sub("", text)


# Styles and icons


def styles(folder):
    """Drop every rule for a class or id that stands in no page and in no script; cut the icon fonts to what is left."""
    words = set()
    for path in [*folder.rglob("*.html"), *(folder / "_static").rglob("*.js")]:
        words.update(re.findall(r"[\w-]+", path.read_text(encoding="utf-8")))
    for path in (folder / "_static").rglob("*.css"):
        rules = tinycss2.parse_stylesheet(path.read_text(encoding="utf-8"), skip_comments=True, skip_whitespace=True)
        path.write_text("\n".join(used(rules, words)) + "\n", encoding="utf-8")
    theme = folder / "_static" / "styles" / "pydata-sphinx-theme.css"
    theme.write_text(icons(theme.read_text(encoding="utf-8"), folder / "_static" / ICONS), encoding="utf-8")


def used(rules, words):
    """The text of those rules that may concern a page in which `words` stand."""
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [text for names, text in split(rule.prelude) if names <= words]
            if selectors:
                yield f"{','.join(selectors)}{{{tinycss2.serialize(rule.content).strip()}}}"
        elif rule.type == "at-rule" and rule.lower_at_keyword in {"media", "supports"}:
            inside = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            inner = "".join(used(inside, words))
            if inner:
                yield f"@{rule.at_keyword} {tinycss2.serialize(rule.prelude).strip()}{{{inner}}}"
        elif rule.type == "error":
            raise ValueError(f"a style that cannot be read: {rule.message}")
        else:
            yield rule.serialize()


def split(prelude):
    """(class and id names, text) of each selector; what stands in brackets, as in :not(…), asks for none."""
    names, tokens, dot = set(), [], False
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            yield names, tinycss2.serialize(tokens).strip()
            names, tokens = set(), []
            continue
        if token.type == "hash" or (dot and token.type == "ident"):
            names.add(token.value)
        dot = token.type == "literal" and token.value == "."
        tokens.append(token)
    yield names, tinycss2.serialize(tokens).strip()


def icons(css, folder):
    """The theme's style with its icon fonts cut to the icons that it still names."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    codes = {ord(icon) for icon in re.findall("[\ue000-\uf8ff]", css)}
    for ttf in folder.glob("*.ttf"):
        options = subset.Options(flavor="woff", notdef_outline=True)
        font = subset.load_font(ttf, options)
        cut = subset.Subsetter(options)
        cut.populate(unicodes=codes)
        cut.subset(font)
        subset.save_font(font, ttf.with_suffix(".woff"), options)
        css = re.sub(rf'url\([^)]*{ttf.stem}\.woff2\) format\("woff2"\),\s*'
                     rf'url\([^)]*{ttf.stem}\.ttf\) format\("truetype"\)',
                     f'url(../{ICONS}/{ttf.stem}.woff) format("woff")', css)
        ttf.unlink()
        ttf.with_suffix(".woff2").unlink()
    return css


# Sphinx


def on_config(app, config):
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = {"loader": {"load": list(MATHJAX)}, "options": {
        "lazyMargin": NEAR, "ignoreHtmlClass": "bd-main"}}  # no search in the text: Sphinx marks each formula


def on_build_finished(app, exception):
    if exception is None and app.builder.name == "html":
        html(Path(app.outdir))


def setup(app):
    app.connect("config-inited", on_config, priority=900)
    app.connect("build-finished", on_build_finished, priority=900)  # after the extension that copies MathJax
    return {"parallel_read_safe": True}
