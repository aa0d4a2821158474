// What the pages do beside being read. All of it may fail and leaves a page that can be read.

// Browsers do not let a page from a file read its neighbours: search results come without excerpts there.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// Who has not chosen gets the system's theme, at once; left to itself the theme complains that nothing was chosen.
const root = document.documentElement;
root.dataset.mode ||= "auto";
root.dataset.theme ||= matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";

// At each click the theme's Bootstrap searches the whole page eleven times for what the click may be meant for. In a
// widget nothing is Bootstrap's, so clicks there pass by: on a phone this is half of the time that a click takes.
const listen = document.addEventListener.bind(document);
document.addEventListener = (type, listener, options) => listen(type, type !== "click" || options !== true ? listener
  : (event) => { if (!event.target.closest?.(".rnnbook-widget")) listener.call(document, event); }, options);

// Formulas are set when the reader comes near. Those in view at the beginning are set at once, not made empty first.
document.addEventListener("DOMContentLoaded", () => {
  if (!window.MathJax) return;
  const seen = [...document.querySelectorAll(".math")].filter((formula) => {
    const { top, bottom } = formula.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
  if (seen.length) (MathJax.config ?? MathJax).options.lazyAlwaysTypeset = seen; // an empty list is more than it can bear
});

// What scrolls sideways in its own frame can be reached, and so scrolled, with the keyboard. To ask what is folded for its
// width, or anything after a write, would make the browser lay it out: so only what is seen, and all before any write.
const FRAMES = "pre, .cell_output, .text_html, .wide, .pst-scrollable-table-container, div.math, mjx-container[display]";
function reachable() {
  const frames = [...document.querySelectorAll(FRAMES)].filter((frame) => frame.checkVisibility());
  const scroll = frames.map((frame) => frame.scrollWidth > frame.clientWidth
    && getComputedStyle(frame).overflowX !== "visible");
  frames.forEach((frame, i) => {
    if (scroll[i]) frame.tabIndex = 0;
    else if (frame.tabIndex === 0) frame.removeAttribute("tabindex");
  });
}
window.addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  const observer = new ResizeObserver(reachable); // the page's width changes, a drawer opens, a sidebar takes its place
  [document.body, document.querySelector("article")].forEach((part) => part && observer.observe(part));
});

// The theme's arrow beside a page that has others below it says nothing to a screen reader.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".has-children > details > summary").forEach((arrow) => {
    arrow.ariaLabel = `Pages below ${arrow.closest(".has-children").querySelector("a").textContent.trim()}`;
  });
});

// The page of results: what is typed keeps the rows that hold all of its words, and opens their files.
document.addEventListener("DOMContentLoaded", () => {
  const all = document.querySelector(".result-files");
  if (!all) return;
  const files = [...all.children].map((file) => ({
    file, tables: [...file.querySelectorAll("table")],
    rows: [...file.querySelectorAll("tbody tr")].map((row) => [
      row, `${file.querySelector("summary").textContent} ${row.textContent}`.toLowerCase()]),
  }));
  const label = document.createElement("label"), field = document.createElement("input");
  const status = document.createElement("span");
  Object.assign(field, { type: "search", placeholder: "rrn movielens kalman" });
  status.setAttribute("role", "status");
  label.append("Show only rows with the words", field);
  label.className = "result-filter";
  all.before(label, status);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    files.forEach(({ file, tables, rows }) => {
      const kept = rows.filter(([row, text]) => !(row.hidden = !words.every((word) => text.includes(word)))).length;
      tables.forEach((table) => { table.hidden = !table.querySelector("tbody tr:not([hidden])"); });
      file.hidden = !kept;
      file.open = words.length > 0 && kept > 0;
      found += kept;
    });
    status.textContent = words.length ? `${found} rows` : "";
  });
});

// The contents beside the text: the section that is being read is marked, and the mark is kept in view. The theme alone
// marks a section when its title comes by: after a jump, or on the way back up, the mark would be that of another one.
document.addEventListener("DOMContentLoaded", () => {
  const side = document.querySelector(".bd-sidebar-secondary"), contents = side?.querySelector("nav.page-toc");
  if (!contents) return;
  const links = [...contents.querySelectorAll("a")];
  const sections = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  let marked;
  const mark = () => {
    const end = innerHeight + scrollY >= root.scrollHeight - 2; // there the last sections cannot rise any further
    const line = end ? innerHeight : innerHeight / 3;
    const read = links[sections.findLastIndex((section) => section.getBoundingClientRect().top < line)];
    links.filter((link) => link.hasAttribute("aria-current") !== (link === read)).forEach((link) => {
      link.classList.toggle("active", link === read);
      if (link === read) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    if (read === marked) return;
    marked = read;
    contents.querySelectorAll(".toc-entry").forEach((entry) => entry.classList.toggle("active", entry.contains(read)));
    show();
  };
  const show = () => {
    if (!marked) return;
    const [box, frame] = [marked, side].map((node) => node.getBoundingClientRect());
    if (box.top < frame.top || box.bottom > frame.bottom)
      side.scrollBy({ top: box.top - frame.top - frame.height / 2, behavior: "instant" });
  };
  addEventListener("scroll", mark, { passive: true });
  new ResizeObserver(mark).observe(document.querySelector("article")); // a formula is set, a fold opens: sections move
  // The theme has a mark of its own, and opens and closes parts of the contents somewhat later.
  new MutationObserver(() => { mark(); show(); }).observe(contents,
    { subtree: true, attributes: true, attributeFilter: ["aria-current", "class"] });
});

// On paper the dark theme would be light text on white.
let theme;
addEventListener("beforeprint", () => {
  theme = root.dataset.theme;
  root.dataset.theme = "light";
});
addEventListener("afterprint", () => { root.dataset.theme = theme; });

// Predict first: a place to write one's guess beside each question. It and the opened answer are kept in this browser;
// where the browser refuses to store, question and answer work as they stand.
document.addEventListener("DOMContentLoaded", () => {
  const store = {
    get(key) { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, JSON.stringify(value)); return true; } catch { return false; } },
  };
  const build = (tag, attributes, ...children) => {
    const node = Object.assign(document.createElement(tag), attributes);
    node.append(...children);
    return node;
  };

  document.querySelectorAll(".admonition.predict-first").forEach((box) => {
    const answer = box.querySelector("details");
    if (!answer) return;
    // The question's own words are the key: another question on the page does not shift the answers. Formulas do not
    // count, since nobody knows whether they are typeset yet.
    const question = box.querySelector("p:not(.admonition-title)").cloneNode(true);
    question.querySelectorAll(".math").forEach((formula) => formula.remove());
    const words = question.textContent.replace(/[^\p{L}\p{N}]+/gu, " ").trim();
    const key = `rnnbook:predict:${DOCUMENTATION_OPTIONS.pagename}:${words.slice(0, 60)}`;
    const kept = store.get(key) ?? {};
    const text = build("textarea", { rows: 2, value: kept.text ?? "" });
    const status = build("span", { className: "predict-status", role: "status" });
    const say = () => {
      const told = store.set(key, { text: text.value, open: answer.open });
      status.textContent = told ? "Kept in this browser." : "Your browser keeps nothing: it is gone when you leave.";
    };
    text.addEventListener("input", say);
    answer.open = Boolean(kept.open);
    answer.addEventListener("toggle", () => { if (answer.open !== Boolean((store.get(key) ?? {}).open)) say(); });
    answer.before(build("div", { className: "predict-guess" },
      build("label", {}, build("span", {}, "Your prediction"), text), status));
  });
});
