"""What a reader online needs: to be able to use the pages at all, quickly, on paper, and without a network."""

import re
import zipfile
from html import unescape
from urllib.parse import unquote

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from axe_playwright_python.sync_playwright import Axe
from conftest import SETTLE, open_page

from tools import book, pages, weight

PAGES = pages.toc()
EVERYTHING = [*(page.docname for page in PAGES), "search", "genindex"]
QUESTIONS = [page.docname for page in PAGES if "{admonition} Predict first" in page.source.read_text(encoding="utf-8")]
# At once: some colours would change in steps.
WEAR = """theme => {
    document.documentElement.dataset.theme = theme;
    return Promise.allSettled(document.getAnimations().map(change => change.finished));
}"""
REFUSE = """Object.defineProperty(window, "localStorage",
    {get() { throw new DOMException("refused", "SecurityError"); }})"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def address(built):
    """The address under which the built book is served."""
    with weight.served(built) as address:
        yield address


# --- One page, several tests ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=EVERYTHING)
def opened_once(request, browser, built):
    """Each page, opened once for all tests of it: its path, its tab, and what it must not do."""
    context, noise = browser.new_context(viewport={"width": 1280, "height": 900}), []
    context.set_default_timeout(weight.PATIENCE)
    yield request.param, open_page(context.new_page(), noise, built, request.param), noise
    context.close()


@pytest.fixture
def shared(opened_once):
    path, tab, noise = opened_once
    yield path, tab
    assert noise == []


def test_every_question_can_be_answered(shared):
    path, tab = shared
    boxes = tab.locator(".admonition.predict-first")
    titles = tab.locator(".admonition-title", has_text="Predict first")
    assert boxes.count() == titles.count() == tab.get_by_label("Your prediction").count()
    assert (boxes.count() > 0) == (path in QUESTIONS)
    keys = [box.locator("p:not(.admonition-title)").first.text_content()[:50] for box in boxes.all()]
    assert len(set(keys)) == len(keys)


def test_every_widget_has_a_text_in_its_place(shared, built):
    """One sentence for who has no scripts; a status and named pictures for who does not see."""
    path, tab = shared
    html = (built / f"{path}.html").read_text(encoding="utf-8")
    texts = re.findall(r'class="rnnbook-widget"><p>(.*?)</p>', html, re.S)
    assert all(len(text.split()) >= 8 for text in texts)
    boxes = tab.locator(".rnnbook-widget")
    assert boxes.count() == len(texts) == html.count('class="rnnbook-widget"')
    for box in boxes.all():
        box.scroll_into_view_if_needed()
        assert len(box.locator("[role=status]").first.text_content().split()) >= 3
        assert box.evaluate("""box => [...box.querySelectorAll("svg")].every(picture =>
            picture.parentNode.closest("svg") || picture.closest("[aria-hidden=true]")
            || picture.getAttribute("aria-label"))""")


# --- For everyone -----------------------------------------------------------------------------------------


# Half of all that a page holds are words of code, and axe-core takes milliseconds to tell one from its ground. Once a
# text has passed, those pass unseen that look alike: in all that axe reads of a text, and of what lies behind it.
ALIKE = """() => {
    const rule = axe._audit.rules.find(({id}) => id === "color-contrast"), {matches} = rule;
    const check = axe._audit.checks["color-contrast"], nobody = {data() {}, relatedNodes() {}};
    const passed = new Set(), veils = new Map([[null, ""]]), layers = new Map();
    const kept = (map, key, value) => map.has(key) ? map.get(key) : map.set(key, value(key)).get(key);
    const veil = (part) => kept(veils, part, () => {
        const {opacity, mixBlendMode} = getComputedStyle(part), own = `${opacity} ${mixBlendMode}`;
        return veil(part.parentElement) + (own === "1 normal" ? "" : `(${own})`);
    });
    const layer = (part) => kept(layers, part, () => {
        const {backgroundColor, backgroundImage} = getComputedStyle(part);
        return [part.tagName, backgroundColor, backgroundImage, veil(part)].join();
    });
    const look = (node) => {
        const style = getComputedStyle(node);
        return [axe.commons.dom.isVisibleOnScreen(node), style.fontSize, style.fontWeight, style.color,
                style.webkitTextFillColor, style.webkitTextStrokeWidth, style.webkitTextStrokeColor, style.textShadow,
                ...(axe.commons.color.getBackgroundStack(node) ?? []).map(layer)].join(";");
    };
    rule.matches = (node, virtual, context) => {
        if (!matches(node, virtual, context)) return false;
        const key = look(node);
        if (passed.has(key)) return false;
        const passes = check.evaluate.call(nobody, node, check.options, virtual);
        virtual._stackingContext = undefined;  // which a second look would change
        if (passes) passed.add(key);
        return !passes;
    };
}"""
# axe-core remembers what it has found of a part in lists, and looks a part up in them from the first one on: on a long
# page a third of its time. It gets a search that goes to the place at once; what that doesn't find is found once more.
PLACES = """
const search = Array.prototype.indexOf, places = new WeakMap();
Array.prototype.indexOf = function (sought, ...from) {
    if (this.length < 30 || from.length) return search.call(this, sought, ...from);
    if (!places.has(this)) places.set(this, new Map());
    const place = places.get(this);
    for (let n = place.size; n < this.length; n++) place.set(this[n], n);
    const at = place.get(sought);
    return at !== undefined && this[at] === sought ? at : -1;
};
"""
AXE = Axe(f"{PLACES}{AXE_SCRIPT};Array.prototype.indexOf = search;({ALIKE})()")


def serious(tab, axe=AXE, **options):
    """What axe-core finds of serious or critical impact: (rule, where, HTML)."""
    # With "preload" axe would ask for the style files once more, which a page from a file may not.
    options = {"resultTypes": ["violations"], "preload": False, **options}
    return [(violation["id"], node["target"], node["html"][:200])
            for violation in axe.run(tab, options=options).response["violations"]
            if violation["impact"] in {"serious", "critical"} for node in violation["nodes"]]


def pale(tab):
    """What axe-core finds of text that is hard to tell from its ground."""
    return serious(tab, runOnly=["color-contrast"])


def serious_but_pale(tab):
    """What axe-core finds of everything but colours."""
    return serious(tab, rules={"color-contrast": {"enabled": False}})


# The page looks for these itself, somewhat after it has changed.
SCROLLING_CAN_BE_REACHED = """() => [
    ...document.querySelectorAll("pre, .cell_output, .text_html, .wide, div.math")].every(
    frame => frame.scrollWidth <= frame.clientWidth || getComputedStyle(frame).overflowX === "visible"
             || frame.tabIndex === 0)"""


OPEN = """() => {
    document.querySelectorAll("details").forEach((box) => { box.open = true; });
    document.querySelectorAll("button.toggle-button-hidden").forEach((button) => button.click());  // solutions
    return Promise.allSettled(document.getAnimations().map((change) => change.finished));
}"""


TO_THE_TOP = """() => {
    scrollTo({top: 0, behavior: "instant"});
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


def opened(tab):
    """The page with all its drawers open, and what scrolls in it within the keyboard's reach."""
    tab.evaluate(OPEN)
    tab.wait_for_function(SCROLLING_CAN_BE_REACHED)
    return tab


# --- Formulas and figures on a phone ------------------------------------------------------------------------

PHONE = {"width": 390, "height": 900}
# The formulas that do not fit: displayed ones beyond their frame, into their number, or too small; others beyond text.
UNFIT = """() => [...document.querySelectorAll("article div.math")].filter((frame) => {
    const box = (part) => part.getBoundingClientRect(), set = frame.querySelector("mjx-container");
    const formula = box(set.querySelector("mjx-math")), number = frame.querySelector(".eqno");
    const end = number ? box(number).left : box(frame).right;
    return !formula.width || formula.left < box(frame).left - 1 || formula.right > end + 1
        || number && box(number).right > box(frame).right + 1 || parseFloat(getComputedStyle(set).fontSize) < 11
        || [frame, set].some((part) => part.scrollWidth > part.clientWidth + 1);
}).map((frame) => frame.id || frame.textContent.slice(0, 60)).concat(
    [...document.querySelectorAll("article span.math mjx-math")].filter((formula) => {
        const text = formula.closest("p, li, td, th, dt, dd, figcaption, summary");
        return text && formula.getBoundingClientRect().right > text.getBoundingClientRect().right + 1;
    }).map((formula) => formula.closest("p, li, td, th, dt, dd, figcaption, summary").textContent.slice(0, 60)))"""
# The texts of figures that are lower than 9 pixels (subscripts apart), or less than 4.5 : 1 with the page.
UNREADABLE = """() => [...document.querySelectorAll("figure > svg")].flatMap((svg) => {
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, n) => sum + part * [0.2126, 0.7152, 0.0722][n], 0.05);
    const ground = light(getComputedStyle(document.body).backgroundColor);
    return [...svg.querySelectorAll("text")].filter((text) => {
        const parts = text.querySelector("tspan") ? [...text.querySelectorAll("tspan")] : [text];
        const styles = parts.map((part) => getComputedStyle(part));
        const size = scale * Math.max(...styles.map(({fontSize}) => parseFloat(fontSize)));
        const pale = styles.some(({fill}) => Math.max(light(fill) / ground, ground / light(fill)) < 4.5);
        return size < 9 || pale;
    }).map((text) => `${svg.getAttribute("aria-label").slice(0, 40)}: ${text.textContent.trim()}`);
})"""


def test_on_a_phone_formulas_fit_and_figures_can_be_read(shared):
    path, tab = shared
    tab.evaluate(OPEN)
    tab.set_viewport_size(PHONE)
    assert tab.evaluate(UNFIT) == []
    for theme in ("dark", "light"):
        tab.evaluate(WEAR, theme)
        assert tab.evaluate(UNREADABLE) == [], theme
    page = next((page for page in PAGES if page.docname == path), None)
    if page:
        figures = [cell for cell in page.read().cells if "figure" in cell.metadata.get("mystnb", {})]
        assert tab.locator("figure > svg").count() == len(figures)
    tab.set_viewport_size({"width": 1280, "height": 900})


def test_what_a_phone_cannot_show_would_be_found(visit):
    tab = visit("book/05_joint", width=390)
    short = {"equation-eq-worth", "equation-eq-joint-input"}
    formulas = short | {"equation-eq-writer", "equation-eq-joint-loss"}
    labels = tab.locator("figure > svg text").count()
    for rule, unfit, unreadable in (
            ("p {}", set(), 0),
            (".bd-article mjx-container[display] {font-size: 20px !important}", formulas - short, 0),
            (".bd-article mjx-container[display] {font-size: 10px !important}", formulas, 0),
            (".eqno {margin-left: 200px}", formulas, 0),
            ("p:has(span.math) {max-width: 20px}", None, 0),
            ("figure > svg {width: 200px}", set(), labels),
            ("figure > svg :is(text, tspan) {fill: #888 !important}", set(), labels)):
        style = tab.add_style_tag(content=rule)
        found = set(tab.evaluate(UNFIT))
        assert found == unfit if unfit is not None else len(found - formulas) > 9, rule  # formulas within the text
        assert len(tab.evaluate(UNREADABLE)) == unreadable, rule
        style.evaluate("style => style.remove()")


def test_axe_finds_nothing_serious(shared):
    """In both themes and on a phone. Colours are all that the theme changes, and the width does not change them.
    The last test with this page, which it changes."""
    _, tab = shared
    tab.evaluate(TO_THE_TOP)  # else some text would lie behind the header, and pass
    opened(tab)
    assert serious(tab) == [], "light"
    tab.evaluate(WEAR, "dark")
    assert pale(tab) == [], "dark"
    tab.set_viewport_size({"width": 360, "height": 900})
    assert serious_but_pale(opened(tab)) == [], "on a phone"


def test_axe_would_find_it(visit):
    """The test above can fail: axe runs, and sees a faint text and a field without a name."""
    tab = visit(PAGES[0])
    tab.evaluate("""document.querySelector("article").insertAdjacentHTML("beforeend",
        "<p id='faint' style='color: #ccc; background: #fff'>faint</p><input>")""")
    assert {rule for rule, _, _ in serious(tab)} == {"color-contrast", "label"}
    assert {rule for rule, _, _ in serious_but_pale(tab)} == {"label"}
    assert {rule for rule, _, _ in pale(tab)} == {"color-contrast"}
    tab.evaluate("document.querySelector('#faint').style = 'color: #333'")
    assert pale(tab) == []
    tab.evaluate(WEAR, "dark")
    assert [where for _, where, _ in pale(tab)] == [["#faint"]]


PLANT = """() => {
    const words = [...document.querySelectorAll(".highlight .k")];
    words.at(-1).id = "faint";
    words.at(-2).parentElement.insertAdjacentHTML("afterbegin",
        "<span style='opacity: 0.4'><i id=veiled>of</i></span>");
    words.at(-3).parentElement.insertAdjacentHTML("afterbegin",
        "<span style='background: #777'>a <b id=on-gray>word</b></span>");
    words.at(-4).parentElement.insertAdjacentHTML("afterbegin", "<b style='font-size: 30px'>is</b><b id=small>in</b>");
    document.head.insertAdjacentHTML("beforeend", `<style>
        #faint, #on-gray, #small, [style*="30px"] { color: #949494 !important }
        html[data-theme=dark] :is(#faint, #small, [style*="30px"]) { color: #7c7c7c !important }
        #small, [style*="30px"] { background: #fff }
        html[data-theme=dark] :is(#small, [style*="30px"]) { background: #202020 }</style>`);
}"""


def test_axe_would_find_it_in_code(visit):
    """One word among thousands that look alike else: it is fainter, behind a veil, on another ground or smaller."""
    tab = opened(visit("book/02_gru4rec"))
    assert tab.locator(".highlight span").count() > 2000
    tab.evaluate(PLANT)
    planted = {"#faint", "#veiled", "#on-gray", "#small"}
    assert {where for _, (where,), _ in pale(tab)} == planted
    tab.evaluate(WEAR, "dark")
    assert {where for _, (where,), _ in pale(tab)} == planted


def test_axe_finds_the_same_where_it_looks_at_every_text(visit):
    tab = opened(visit("book/conventions"))
    painted = ".highlight :is(pre, span), article p:nth-child(3), .toctree-l1 a"
    tab.add_style_tag(content=f"{painted} {{color: #888 !important}}")
    tab.evaluate("document.querySelectorAll('article p').forEach(text => text.after(document.createElement('input')))")
    for theme in ("light", "dark"):
        tab.evaluate(WEAR, theme)
        every = serious(tab, Axe())
        assert serious(tab) == every
        found = [rule for rule, _, _ in every]
        assert found.count("color-contrast") > 20 and found.count("label") > 20


# --- Tables -----------------------------------------------------------------------------------------------

# Each cell of the tables: what it holds, its side, and the side of its column's head
CELLS = """(() => {
    const side = (cell) => getComputedStyle(cell).textAlign;
    return [...document.querySelectorAll("article table.dataframe")].flatMap(({rows}) => {
        const heads = [...rows].filter(({cells}) => [...cells].at(-1).matches("th:not(:empty)")).at(-1).cells;
        return [...rows].flatMap(({cells}) => [...cells].map((cell, n) => [cell, [...heads].at(n - cells.length)]))
            .filter(([cell]) => cell.matches("td"))
            .map(([cell, head]) => [cell.textContent.trim(), side(cell), side(head)]);
    });
})()"""


READ = """() => {  // [the marked section, the one that is being read, whether the mark is in view]
    const side = document.querySelector(".bd-sidebar-secondary"), mark = side.querySelector("a[aria-current]");
    const top = (link) => document.getElementById(decodeURIComponent(link.hash.slice(1))).getBoundingClientRect().top;
    const read = [...side.querySelectorAll(".page-toc a")].findLast((link) => top(link) < innerHeight / 3);
    const [box, frame] = [mark, side].map((part) => part?.getBoundingClientRect());
    return [mark?.hash, read?.hash, !mark || box.top >= frame.top - 1 && box.bottom <= frame.bottom + 1];
}"""


def test_the_mark_in_the_contents_is_right_and_in_view(visit):
    """Whether one goes on line by line, jumps, or goes back up."""
    page = visit("book/02_gru4rec")
    page.set_viewport_size({"width": 1280, "height": 800})
    names = page.evaluate("[...document.querySelectorAll('.bd-sidebar-secondary .page-toc a')].map(a => a.hash)")
    assert len(names) > 20
    for name in [*names[::4], names[-1], names[0]]:
        page.evaluate("name => document.getElementById(decodeURIComponent(name.slice(1))).scrollIntoView("
                      "{ behavior: 'instant' })", name)
        page.wait_for_function(f"name => {{ const [mark, , inView] = ({READ})(); return mark === name && inView; }}",
                               arg=name)
    seen = set()
    for step in [*[700] * 20, 9000, 9000, *[-500] * 20, -9000]:
        page.evaluate("step => scrollBy({top: step, behavior: 'instant'})", step)
        page.wait_for_function(f"() => {{ const [mark, read, inView] = ({READ})(); return mark === read && inView; }}")
        seen.add(page.evaluate(READ)[0])
    assert len(seen) > 10


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", ["book/results", "book/bugs", "book/data", "book/03_improved"])
def test_numbers_stand_at_the_right_and_words_at_the_left_as_their_heads_do(visit, path, width):
    cells = visit(path, width=width).evaluate(CELLS)
    assert [cell for cell in cells if cell[1] != cell[2]] == []
    named = re.compile("(?!nan)[a-z]{3}", re.I)  # "20 back · GRU" begins with a number, and is a name
    assert {side for text, side, _ in cells if re.match(r"[-+−]?\d", text) and not named.search(text)} == {"right"}
    words = {side for text, side, _ in cells if named.match(text)}
    assert words == ({"left"} if path != "book/03_improved" else set())  # which has two rows of heads, but no words


TABLES = """[...document.querySelectorAll("article table:not(.highlighttable)")].map((table) => ({
    kind: table.className, cells: [...table.rows].map(({cells}) => [...cells].map((cell) => cell.textContent.trim())),
}))"""


def test_tables_are_words_and_no_key_stands_in_them(shared):
    """No column, row or head without a word, no zero with a sign, no name of a metric as the files hold it."""
    path, tab = shared
    for table in tab.evaluate(TABLES) if path.startswith("book/") else []:
        rows, texts = table["cells"], [text for row in table["cells"] for text in row]
        assert all(any(row) for row in rows), f"{path}: a row of nothing in {texts[:5]}"
        if table["kind"] == "dataframe":
            columns = zip(*(row for row in rows[1:] if len(row) == len(rows[-1])))
            assert all(any(column) for column in columns), f"{path}: a column of nothing in {texts[:5]}"
        # Last, an interval that could break; below its mean it may stand in a table of the package alone
        broken = (r"[\[(][-+−\d.,%\xa0]* [-+−\d.,%\s]*[\])]" if table["kind"] == "dataframe"
                  else r"\d [\[(][-+−\d.,%\s]+[\])]")
        wrong = re.compile(r"(?<!\w)[-+−]0(\.0*)?%?(?![\d.])|(?<![\w.])-\d|\b(recall|mrr|ndcg)@|\brmse\b"
                           rf"|\d%|{broken}")
        assert [text for text in texts if wrong.search(text)] == [], path


def test_tables_are_drawn_by_the_package(built):
    """Not by pandas, which gives its tables a border."""
    assert [page.stem for page in PAGES
            if '<table border="1" class="dataframe">' in (built / f"{page.docname}.html").read_text("utf-8")] == []


# --- The package's reference ------------------------------------------------------------------------------


@pytest.mark.parametrize("path,open_", [("book/02_gru4rec", False), ("book/api/rnnbook-metrics", True)])
def test_the_pages_of_the_package_are_folded_away_elsewhere(visit, path, open_):
    links = visit(path).locator(".bd-sidebar-primary a[href*='rnnbook-']")
    assert links.count() > 10 and links.first.is_visible() == open_


# --- The page of results ----------------------------------------------------------------------------------


def test_who_is_ahead_is_said_on_eight_screens(visit):
    tab = visit("book/results")
    top, end = (tab.locator(f"section#{name}").bounding_box()["y"] for name in (
        "who-is-ahead", "the-papers-tables-beside-ours"))
    assert 0 < top < 800 and end <= 8 * 800
    assert tab.locator("section#who-is-ahead figure").count() == 6
    assert tab.evaluate("document.body.scrollHeight") < 18 * 800
    frame = tab.locator("section#who-is-ahead div.text_html").first
    assert frame.evaluate("frame => frame.scrollWidth <= frame.clientWidth")  # its table is seen whole


def test_what_is_typed_filters_the_result_files(visit, noise):
    tab = visit("book/results", width=390)
    files, field = tab.locator(".result-files > details"), tab.get_by_label("Show only rows with the words")
    assert files.count() > 30 and not files.locator("table").first.is_visible()
    field.fill("RRN-movielens kalman")
    shown = tab.locator(".result-files tbody tr").filter(visible=True)
    assert shown.count() > 1 and all("Kalman" in text for text in shown.all_text_contents())
    assert tab.locator(".result-files > details:not([hidden]) > summary").all_text_contents() == [
        "rrn-movielens-100k", "rrn-movielens-latest-small"]
    assert tab.locator(".result-files table").filter(visible=True).count() < files.locator("table").count()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    status = tab.get_by_role("status").filter(has_text="rows")
    assert status.text_content() == f"{shown.count()} rows"
    field.fill("no such thing")
    assert files.filter(visible=True).count() == 0
    field.fill("")
    assert files.filter(visible=True).count() == files.count() and not files.locator("table").first.is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_table_that_scrolls_on_a_phone_shows_that_it_does(visit, theme):
    frames = opened(visit("book/results", theme, width=390)).evaluate("""
        [...document.querySelectorAll("article :is(.wide, .text_html:has(> table))")]
            .filter((frame) => frame.scrollWidth > frame.clientWidth)
            .map((frame) => getComputedStyle(frame).backgroundAttachment)""")
    assert frames and set(frames) == {"local, local, scroll, scroll"}


# --- Predict first ----------------------------------------------------------------------------------------


def test_a_prediction_is_remembered(new_tab, address):
    # Not from a file: Chromium may reload those in another process, which misses what was stored a moment ago.
    tab = new_tab()
    tab.goto(f"{address}/book/01_rnn.html")
    box = tab.locator(".admonition.predict-first").first
    tab.get_by_label("Your prediction").first.focus()
    tab.keyboard.type("they fall & rise <b>")
    assert box.get_by_role("status").text_content() == "Kept in this browser."
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert box.locator("details").evaluate("details => details.open")
    tab.wait_for_function("Object.values(localStorage).some(kept => kept.includes('\"open\":true'))")
    tab.reload()
    assert tab.get_by_label("Your prediction").first.input_value() == "they fall & rise <b>"
    assert box.locator("details").evaluate("details => details.open")
    assert not tab.locator(".admonition.predict-first details").nth(1).evaluate("details => details.open")


def test_where_storage_is_refused_questions_still_work(new_tab, built):
    tab = new_tab()
    tab.add_init_script(REFUSE)
    tab.goto((built / "book" / "01_rnn.html").as_uri())
    box = tab.locator(".admonition.predict-first").first
    tab.get_by_label("Your prediction").first.fill("down")
    assert "keeps nothing" in box.get_by_role("status").text_content()
    box.locator("summary").press("Enter")
    assert box.locator("details p").first.is_visible()


def test_without_scripts_questions_still_work(new_tab, built):
    tab = new_tab(java_script_enabled=False)
    tab.goto((built / "book" / "01_rnn.html").as_uri())
    box = tab.locator(".admonition.predict-first").first
    assert not box.locator("details p").first.is_visible()
    box.locator("summary").press("Enter")
    assert box.locator("details p").first.is_visible()
    assert tab.locator(".rnnbook-widget p").first.is_visible()


# --- On paper ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_on_paper_nothing_is_hidden_or_cut(visit, page):
    tab = visit(page, width=700)  # an A4 sheet with margins
    for theme in ("light", "dark"):
        tab.evaluate(WEAR, theme)
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert_printed_whole(tab)
        tab.evaluate("dispatchEvent(new Event('afterprint'))")
        assert tab.locator("html").get_attribute("data-theme") == theme
        tab.emulate_media(media="screen")


def assert_printed_whole(tab):
    assert tab.locator("html").get_attribute("data-theme") == "light"
    tab.emulate_media(media="print")
    for frame in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article", ".prev-next-footer", ".launch"):
        assert not any(part.is_visible() for part in tab.locator(frame).all()), frame
    assert tab.evaluate("""[...document.querySelectorAll("article details.above-input")].every(
        fold => !fold.checkVisibility() && fold.querySelector("pre"))""")
    closed = tab.evaluate("""[...document.querySelectorAll("article details:not(.above-input) > :not(summary)")]
        .filter(part => part.getBoundingClientRect().height < 5).map(part => part.outerHTML.slice(0, 200))""")
    assert closed == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= 700
    cut = tab.evaluate("""[...document.querySelectorAll("article *")].filter(part =>
        part.scrollWidth > part.clientWidth + 2
        && ["auto", "scroll", "hidden"].includes(getComputedStyle(part).overflowX) && part.clientWidth > 5
        && !part.closest("mjx-container, svg, span.math")).map(part => part.outerHTML.slice(0, 120))""")
    assert cut == []
    assert tab.evaluate("""[...document.images].filter(image => image.checkVisibility() && !image.naturalWidth)
        .map(image => image.src)""") == []
    # A formula may not reach into its number, nor beyond the sheet.
    wide = tab.evaluate("""[...document.querySelectorAll("article div.math")].filter(box => {
        const formula = box.querySelector("mjx-container > mjx-math").getBoundingClientRect();
        const number = box.querySelector(".eqno")?.getBoundingClientRect();
        return formula.right > 701 || number && formula.right > number.left + 1 && formula.bottom > number.top
            && formula.top < number.bottom;
    }).map(box => box.textContent.slice(0, 80))""")
    assert wide == []
    pale = tab.evaluate("""[...document.querySelectorAll("article :is(figcaption, .provenance, .claim-state)")]
        .map(part => [getComputedStyle(part).color, getComputedStyle(part).opacity].join(" "))""")
    assert set(pale) <= {"rgb(51, 51, 51) 1"}


# --- Light ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_weighs_little(browser, address, built, page):
    weighed = weight.weigh(browser, address, built, f"{page.docname}.html")
    assert f"{page.docname}.html" in weighed.sent and len(weighed.sent) > 10
    assert sum(weighed.sent.values()) <= weight.LIMIT
    assert weighed.first_content > 0


# --- Without a network ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("offline")
    book.pack(built, folder / "book.zip")
    with zipfile.ZipFile(folder / "book.zip") as packed:
        packed.extractall(folder)
    return folder / "rnnbook"


def test_every_link_in_the_zip_leads_somewhere(unpacked):
    targets, ids = [], {}
    for path in unpacked.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        ids[path] = set(re.findall(r'\bid="([^"]+)"', text))
        for link in re.findall(r'<(?:a|img|script|link)\b[^>]*?\s(?:href|src)="([^"]+)"', text):
            if not re.match(r"[a-z]+:|#$", link):
                targets.append((path, unescape(link)))
    assert len(targets) > 1000
    dead = set()
    for path, link in targets:
        file, _, anchor = link.partition("#")
        target = (path.parent / unquote(file.partition("?")[0])).resolve() if file else path
        if not target.is_file() or (anchor and unquote(anchor) not in ids[target]):
            dead.add((path.name, link))
    assert dead == set()


def test_the_zip_opens_from_a_file_with_no_network(new_tab, noise, unpacked):
    tab = new_tab(offline=True)
    tab.on("console", lambda message: noise.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: noise.append(str(error)))
    tab.on("requestfailed", lambda request: "favicon" in request.url or noise.append(f"failed: {request.url}"))
    tab.route(re.compile("^(https?|wss?):"), lambda route: route.abort())
    tab.goto((unpacked / "index.html").as_uri())
    tab.wait_for_url(re.compile(r"book/index\.html$"))
    tab.get_by_role("button", name="jeans").click()
    assert "jeans" in tab.locator(".rnnbook-widget [role=status]").text_content()
    tab.locator(".sd-card").first.click()
    tab.wait_for_url(re.compile(r"01_rnn\.html"))
    tab.wait_for_function(SETTLE)
    assert tab.locator("mjx-container").count() > 10 and tab.locator("mjx-merror").count() == 0
    tab.locator(".next-page, .right-next").first.click()
    tab.wait_for_url(re.compile(r"02_gru4rec\.html"))
    tab.keyboard.press("Control+k")
    tab.keyboard.type("vanishing")
    tab.keyboard.press("Enter")
    tab.wait_for_url(re.compile(r"search\.html\?q=vanishing"))
    tab.locator("#search-results a", has_text="Glossary").first.wait_for()
