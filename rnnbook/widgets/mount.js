// A page without a kernel: the part of the widget model that a module needs, the element it draws into, and a link.
const state = STATE;
const [kind, linked] = LINKED;
const listeners = [];
const model = {
  get: (key) => state[key],
  set: (key, value) => {
    state[key] = value;
    listeners.filter(([name]) => name === `change:${key}`).forEach(([, callback]) => callback());
  },
  on: (name, callback) => listeners.push([name, callback]),
  off: (name, callback) => listeners.splice(0, listeners.length,
    ...listeners.filter(([n, c]) => n !== name || (callback && c !== callback))),
  save_changes: () => remember(), // a module calls it when the reader has changed something
};
// Outputs kept from different runs of a notebook may share an id: each script takes the first free element.
const el = document.querySelector(`[id="${ELEMENT_ID}"]:not([data-mounted])`);
el.dataset.mounted = kind;
el.replaceChildren();

// The address says what is shown, page#Kind:trait=value&trait=value; of the second of a kind on a page, #Kind-2:…
const place = document.querySelectorAll(`[data-mounted="${kind}"]`).length;
const name = place === 1 ? kind : `${kind}-${place}`;
const address = () => {
  const shown = new URLSearchParams(Object.keys(linked).map((key) => [key, String(model.get(key))]));
  return `${location.href.split("#")[0]}#${name}:${shown}`;
};
let waiting = null;
function remember() { // once the reader rests: browsers allow only so many changes
  if (!Object.keys(linked).length || el.closest(".reveal")) return; // slides have addresses of their own
  clearTimeout(waiting);
  waiting = setTimeout(() => history.replaceState(null, "", address()), 300);
}

/** The value that a text stands for; undefined unless it is allowed. */
function valueOf(text, allowed) {
  if (Array.isArray(allowed)) return allowed.find((each) => String(each) === text);
  if ("of" in allowed) {
    const all = text ? text.split(",").map((each) => valueOf(each, allowed.of)) : [];
    return all.includes(undefined) || all.length < allowed.least || all.length > allowed.most ? undefined : all;
  }
  if ("longest" in allowed) return [...text].length <= allowed.longest ? text : undefined;
  const value = text.trim() ? Number(text) : NaN;
  return value >= allowed.low && value <= allowed.high ? value : undefined;
}
function reopen() {
  const [, text] = location.hash.match(new RegExp(`^#${name}:(.*)$`)) ?? [];
  if (text === undefined) return;
  for (const [key, given] of new URLSearchParams(text)) {
    const value = Object.hasOwn(linked, key) ? valueOf(given, linked[key]) : undefined;
    if (value !== undefined) model.set(key, value);
  }
  const show = () => el.scrollIntoView();
  if (document.readyState === "complete") show();
  else window.addEventListener("load", show);
}
window.addEventListener("hashchange", reopen);
reopen();
render({ model, el });
if (Object.keys(linked).length) {
  const said = html("span", { "aria-live": "polite" });
  el.append(html("p", { class: "rb-link" }, said, html("button", { type: "button", onclick: async () => {
    if (await copied(address())) { said.textContent = "A link to what you see is copied."; return; }
    const field = html("input", { type: "text", readonly: true, value: address(), "aria-label": "link to what you see" });
    said.replaceChildren(field); // where the browser refuses, the reader copies
    field.select();
  } }, "Copy link")));
}
