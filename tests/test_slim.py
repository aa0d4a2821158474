"""The built pages cut to what they use: nothing that is used goes."""

import re
import shutil

import pytest
import tinycss2
from fontTools.ttLib import TTFont

from tools import slim


def kept(css, words):
    rules = tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)
    return "".join(slim.used(rules, set(words.split())))


def test_rules_of_used_names_stay():
    assert kept(".a .b > p:hover::before { color: red }", "a b") == ".a .b > p:hover::before{color: red}"
    assert kept(".a, .b, p { x: 1 }", "b") == ".b,p{x: 1}"
    assert kept(".a #b { x: 1 } .a { y: 2 }", "a") == ".a{y: 2}"
    assert kept("p:not(.gone) { x: 1 } :is(.c, .d) { y: 2 } [class*=fa-] { z: 3 }", "") \
        == "p:not(.gone){x: 1}:is(.c, .d){y: 2}[class*=fa-]{z: 3}"


def test_rules_inside_rules():
    css = "@media print { .a { x: 1 } .b { y: 2 } } @media screen { .b { z: 3 } }"
    assert kept(css, "a") == "@media print{.a{x: 1}}"
    assert kept("@keyframes k { from { x: 1 } } @font-face { font-family: f }", "").count("@") == 2


def test_a_style_that_cannot_be_read_is_an_error():
    with pytest.raises(ValueError, match="cannot be read"):
        kept(".a", "a")


def test_page_loses_scripts_that_it_does_not_use(tmp_path):
    text = ('<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>'
            '<script src="../searchindex.js"></script><script src="../_static/doctools.js"></script>'
            '<script type="application/vnd.jupyter.widget-state+json">{"a": 1}</script>')
    assert slim.page(text, tmp_path / "page.html") == '<script src="../_static/doctools.js"></script>'
    assert "searchindex" in slim.page(text, tmp_path / "search.html")


def test_code_loses_marks_that_nobody_sees(built, tmp_path):
    code = '<pre><span class="kn">import</span><span class="w"> </span><span class="nn">rnnbook</span></pre>'
    assert slim.page(code, tmp_path / "page.html") == '<pre><span class="kn">import</span> rnnbook</pre>'
    css = (built / "_static" / "pygments.css").read_text(encoding="utf-8")
    for theme in ("light", "dark"):
        rule = rf'html\[data-theme="{theme}"\] \.highlight(?: \.(\w+))?{{[^}}]*\bcolor: ?([^;}}]+)'
        colour = dict(re.findall(rule, css))
        assert {colour[mark] for mark in ("n", "nn", "p", "w")} == {colour[""]} != {colour["k"]}


def test_a_style_stands_once_where_it_comes_first(tmp_path):
    text = "<style>a</style>1<style>a</style><style>b</style>2<style>b</style><style>a</style>3"
    assert slim.page(text, tmp_path / "page.html") == "<style>a</style>1<style>b</style>23"


def test_a_comma_stays_with_its_formula(tmp_path):
    given = r'of <span class="math notranslate">\(x\)</span>, (<span class="math">\(1 &lt; y\)</span>). A (b) <b>c</b>,'
    kept = r'of <span class="math notranslate">\(x\),</span> <span class="math">(\(1 &lt; y\)).</span> A (b) <b>c</b>,'
    assert slim.page(given, tmp_path / "page.html") == kept == slim.page(kept, tmp_path / "page.html")


def test_only_a_page_with_formulas_loads_what_sets_them(tmp_path):
    scripts = ('<script>window.MathJax = {"loader": {}}</script>\n'
               '<script defer="defer" src="../_static/mathjax/startup.js?v=4ba68244"></script>')
    formula = '<span class="math notranslate nohighlight">\\(m\\)</span>'
    assert slim.page(scripts, tmp_path / "page.html") == ""
    assert slim.page(scripts + formula, tmp_path / "page.html") == scripts + formula


def test_figures_stand_in_the_page_and_say_their_size(built):
    """Or the text would move when a picture comes."""
    text = (built / "book" / "02_gru4rec.html").read_text(encoding="utf-8")
    figures = re.findall(r'<svg role="img" [^>]*>', text)
    assert len(figures) > 3 and 'src="../_images/' not in text
    assert all(re.search(r' width="[\d.]+pt" height="[\d.]+pt"', figure) for figure in figures)


def test_icons_that_the_pages_show_are_in_the_fonts(built):
    pages = "".join(path.read_text(encoding="utf-8") for path in built.rglob("*.html"))
    css = (built / "_static" / "styles" / "pydata-sphinx-theme.css").read_text(encoding="utf-8")
    have = set()
    for font in (built / "_static" / slim.ICONS).iterdir():
        have |= set(TTFont(font).getBestCmap())
    icons = set(re.findall(r'<i class="[^"]*?(fa-(?!solid|brands|regular|lg|fw)[a-z-]+)', pages))
    assert len(icons) > 5
    for icon in icons:
        code = re.search(rf'\.{icon}:{{1,2}}before[^{{]*{{content:"(.)"', css)
        assert code and ord(code[1]) in have, icon


def test_cutting_twice_changes_nothing(built, tmp_path):
    copy = tmp_path / "html"  # others read the pages meanwhile
    shutil.copytree(built, copy)
    slim.html(copy)
    assert files(copy) == files(built)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_theme_looks_for_no_frames(built):
    """It lays the page out anew for each code cell, the folded ones too, after every change; book.js finds them."""
    theme = (built / "_static" / "scripts" / "pydata-sphinx-theme.js").read_text(encoding="utf-8")
    assert "[].forEach(e=>{e.tabIndex=e.scrollWidth>" in theme


@pytest.mark.browser
def test_a_click_in_a_widget_is_not_searched_for_by_the_theme_and_one_outside_is(new_tab, built):
    tab = new_tab(viewport={"width": 1280, "height": 900})
    tab.goto((built / "book" / "02_gru4rec.html").as_uri())
    button = tab.locator("[data-mounted=InsideGRU4Rec] button").get_by_text("A visitor clicks")
    button.scroll_into_view_if_needed()
    tab.evaluate("""() => {
      const search = document.querySelectorAll;
      window.searched = [];
      document.querySelectorAll = (selector) => { searched.push(selector); return search.call(document, selector); };
    }""")
    button.evaluate("(node) => node.click()")
    assert not [selector for selector in tab.evaluate("searched") if "data-bs" in selector]
    tab.evaluate("document.querySelector('h1').click()")
    assert [selector for selector in tab.evaluate("searched") if "data-bs" in selector]


EMPTY = "[...document.querySelectorAll('.math')].filter((formula) => formula.querySelector('mjx-lazy')).length"


@pytest.mark.browser
def test_formulas_far_below_are_set_when_the_reader_comes_near_or_prints(new_tab, built):
    """To set them all at once keeps a phone busy for seconds."""
    tab = new_tab(viewport={"width": 1280, "height": 900})
    tab.goto((built / "book" / "01_rnn.html").as_uri())
    tab.wait_for_function("window.MathJax?.startup?.promise?.then(() => true)")
    assert tab.evaluate(EMPTY) > 50
    last = tab.locator("article .math").last
    last.scroll_into_view_if_needed()
    last.locator("mjx-math").first.wait_for(state="attached")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.wait_for_function(f"{EMPTY} === 0")
