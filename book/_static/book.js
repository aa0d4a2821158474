// Predict first: a place to write one's guess beside each question. It and the opened answer are kept in this browser.
// Without scripts, or where the browser refuses to store, question and answer work as they stand.

// Browsers do not let a page from a file read its neighbours: search results come without excerpts there.
if (location.protocol === "file:" && window.DOCUMENTATION_OPTIONS) DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

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
  const page = window.DOCUMENTATION_OPTIONS?.pagename ?? location.pathname;

  document.querySelectorAll(".admonition.predict-first").forEach((box) => {
    const answer = box.querySelector("details");
    if (!answer) return;
    // The question's own words are the key: another question on the page does not shift the answers.
    const question = box.querySelector("p:not(.admonition-title)").textContent.replace(/[^\p{L}\p{N}]+/gu, " ").trim();
    const key = `rnnbook:predict:${page}:${question.slice(0, 60)}`;
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
