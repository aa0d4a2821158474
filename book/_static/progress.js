// What a reader has read and done, kept in this browser alone; and the keys that lead through the book.
// Where the browser refuses to store, nothing is kept and all else works.
document.addEventListener("DOMContentLoaded", () => {
  const KEY = "rnnbook:progress", { pagename } = DOCUMENTATION_OPTIONS;
  const home = new URL(document.documentElement.dataset.content_root, location.href).href;
  const chapters = document.querySelectorAll(".bd-links a.reference.internal");
  const build = (tag, attributes, ...children) => {
    const node = Object.assign(document.createElement(tag), attributes);
    node.append(...children);
    return node;
  };
  let forgotten = false; // until the page is loaded anew

  function stored(act, otherwise) {
    try { return act(localStorage) ?? otherwise; } catch { return otherwise; }
  }
  const kept = () => ({ read: [], done: [], ...stored((store) => JSON.parse(store.getItem(KEY)), {}) });
  function keep(news) {
    if (!forgotten) stored((store) => store.setItem(KEY, JSON.stringify({ ...kept(), ...news })));
    mark();
  }
  const ours = () => stored((store) => Object.entries(store).filter(([key]) => key.startsWith("rnnbook:")), []);
  const several = (number, what, then = "") => (number ? `${number} ${what}${number === 1 ? "" : "s"}${then}` : "");

  // The contents at the left: a tick for a page that was read to its end, a ring for one that was begun.
  const pageOf = (link) => (link.getAttribute("href").startsWith("#") ? pagename
    : link.href.replace(home, "").replace(/\.html.*/, ""));
  const predicted = (name) => ours().filter(([key, value]) => key.startsWith(`rnnbook:predict:${name}:`)
    && /"text":"[^"]/.test(value)).length;
  function mark() {
    const { read, done } = kept();
    chapters.forEach((link) => {
      const name = pageOf(link), finished = read.includes(name);
      const exercises = done.filter((each) => each.startsWith(`${name}#`)).length;
      const told = [finished && "read", several(predicted(name), "prediction"),
        several(exercises, "exercise", " done")].filter(Boolean).join(", ");
      link.querySelector(".progress-mark")?.remove();
      if (told) link.append(build("span", { className: "progress-mark", title: told },
        build("span", { ariaHidden: "true" }, finished ? "✓" : "○"),
        build("span", { className: "visually-hidden" }, ` (${told})`)));
    });
  }
  const inContents = [...chapters].some((link) => pageOf(link) === pagename);
  const end = document.querySelector(".prev-next-footer");
  if (inContents && end) {
    const observer = new IntersectionObserver(([{ isIntersecting }]) => {
      if (!isIntersecting) return;
      observer.disconnect();
      keep({ read: [...new Set([...kept().read, pagename])] });
    });
    observer.observe(end);
  }
  document.querySelector("article")?.addEventListener("input", mark); // a prediction is typed

  // Exercises
  document.querySelectorAll("div.exercise[id]").forEach((box) => {
    const title = box.querySelector(".admonition-title"), name = `${pagename}#${box.id}`;
    const input = build("input", { type: "checkbox", checked: kept().done.includes(name),
      ariaLabel: `${title.textContent.trim()} done` });
    input.addEventListener("change", () => {
      const others = kept().done.filter((each) => each !== name);
      keep({ done: input.checked ? [...others, name] : others });
    });
    title.append(build("label", { className: "exercise-done" }, input, "done"));
  });

  // Where the reader was: the section at the top of the window. The front page leads back to it.
  const front = document.querySelector(".continue");
  const words = (heading) => heading.textContent.replace(/#$/, "").trim();
  function leave() {
    const sections = [...document.querySelectorAll("article section[id]:has(> :is(h1, h2, h3))")];
    const section = sections.findLast((each) => each.getBoundingClientRect().top < innerHeight / 3) ?? sections[0];
    if (!inContents || front || !section) return;
    const [page, part] = [document.querySelector("article h1"), section.querySelector("h1, h2, h3")].map(words);
    const title = page === part || /^\d/.test(part) ? part : `${page}: ${part}`;
    keep({ last: { page: pagename, part: section.id, title } });
  }
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => { if (document.hidden) leave(); });
  const { last } = kept();
  if (front && last) front.replaceChildren(build("p", {}, "Continue where you were: ",
    build("a", { href: `${home}${last.page}.html#${last.part}` }, last.title)));

  // What was kept, to take along and to forget
  const progress = () => {
    const all = ours().map(([key]) => key), { read, done } = kept();
    if (!stored((store) => [store.length])) return "Your browser lets this site keep nothing.";
    const guesses = all.filter((key) => key.startsWith("rnnbook:predict:")).length;
    const told = [several(read.length, "page", " read"), several(guesses, "prediction"),
      several(done.length, "exercise", " done")].filter(Boolean).join(", ");
    return `${told || "Nothing yet"}. It is kept in this browser only.`;
  };
  function leavesNothing() {
    if (!confirm("Forget what you have read, predicted and done?")) return;
    ours().forEach(([key]) => localStorage.removeItem(key));
    forgotten = true;
    location.reload();
  }
  async function takes(file, status) {
    try {
      const entries = Object.entries(JSON.parse(await file.text()));
      if (!entries.every(([key, value]) => key.startsWith("rnnbook:") && typeof value === "string")) throw Error();
      entries.forEach(([key, value]) => localStorage.setItem(key, value));
      forgotten = true; // where this page was left is older than what the file says
      location.reload();
    } catch {
      status.textContent = "This file cannot be loaded: it must be one that was saved here.";
    }
  }

  // Keys, and the window that lists them
  const follow = (selector) => document.querySelector(selector)?.click();
  const KEYS = { "/": () => follow(".search-button__button"), n: () => follow(".right-next"),
    p: () => follow(".left-prev"), "?": help };
  const LIST = [["/", "search, as Ctrl K"], ["n", "next page"], ["p", "previous page"], ["?", "this window"],
    ["Esc", "close it"]];
  function help() {
    const status = build("p", { role: "status" }, progress());
    const file = build("input", { type: "file", accept: ".json" });
    file.addEventListener("change", () => takes(file.files[0], status));
    const text = encodeURIComponent(JSON.stringify(Object.fromEntries(ours()), null, 1));
    const dialog = build("dialog", { className: "help", ariaLabel: "Keys and progress" },
      build("h2", {}, "Keys"),
      build("dl", {}, ...LIST.flatMap(([key, what]) =>
        [build("dt", {}, build("kbd", {}, key)), build("dd", {}, what)])),
      build("h2", {}, "Your progress"), status,
      build("div", { className: "help-acts" },
        build("a", { href: `data:application/json,${text}`, download: "rnnbook-progress.json" }, "Save as a file"),
        build("label", {}, "Load a file ", file),
        build("button", { type: "button", onclick: leavesNothing }, "Forget it all")),
      build("form", { method: "dialog" }, build("button", { autofocus: true }, "Close")));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }
  document.querySelectorAll(".btn-help-button").forEach((button) => button.addEventListener("click", help));
  addEventListener("keydown", (event) => {
    const busy = "input, textarea, select, [contenteditable], .rnnbook-widget, dialog";
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(busy)
      || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    event.stopPropagation(); // Sphinx would take "/" for a search field that the theme does not have
    KEYS[event.key]();
  }, true);
  mark();
});
