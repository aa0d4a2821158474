// A session's training pairs under click deletion: every prefix for itself, or all positions in one pass.

const LETTERS = "ABCDEFGH";
const FORMS = {
  prefixes: { name: "each prefix its own deletions: the paper’s form", unit: "pair" },
  positions: { name: "all positions at once: the fast form", unit: "session" },
};
const sum = (values) => values.reduce((a, b) => a + b, 0);
const count = (n, word) => `${n} ${word}${n === 1 ? "" : /[sx]$/.test(word) ? "es" : "s"}`;

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [sessions, uniform] = ["sessions", "uniform"].map((key) => model.get(key));
  const put = (key, value) => { model.set(key, value); model.save_changes(); };

  /** Of each prefix of the session shown: which clicks are kept. */
  function kept(form) {
    const u = uniform[model.get("draw")][model.get("session")];
    const numbers = form === "prefixes" ? u : u.map((row) => u.at(-1).slice(0, row.length));
    return numbers.map((row) => row.map((v) => v >= model.get("rate")));
  }
  /** Clicks given, deleted, read; prefixes left empty. The fast form runs over the longest prefix alone. */
  function cost(form) {
    const prefixes = kept(form);
    const given = (form === "prefixes" ? prefixes : prefixes.slice(-1)).flat();
    return [given.length, given.length - sum(given), sum(given), prefixes.filter((row) => !sum(row)).length];
  }
  /** The batch that takes pair r: pairs or sessions in their order, cut every batch_size. */
  function batch(r) {
    const s = model.get("session");
    const before = model.get("form") === "positions" ? s
      : sum(uniform[0].slice(0, s).map((prefixes) => prefixes.length)) + r;
    return 1 + Math.floor(before / model.get("batch_size"));
  }

  const radios = (key, values) => {
    const group = `${key}-${Math.random()}`; // the radio buttons of two widgets must not join
    return values.map((value) =>
      html("input", { type: "radio", name: group, value, onchange: () => put(key, value) }));
  };
  const session = radios("session", [...sessions.keys()]);
  const form = radios("form", Object.keys(FORMS));
  const pair = radios("pair", [...Array(Math.max(...uniform[0].map((u) => u.length))).keys()]);
  const rate = slider({ label: "deletion rate", min: 0, max: 0.9, step: 0.05, format: (v) => v.toFixed(2),
    oninput: (v) => put("rate", v) });
  const size = slider({ label: "batch size", min: 1, max: 8, oninput: (v) => put("batch_size", v),
    format: (v) => count(v, FORMS[model.get("form")].unit) });
  const again = html("button", { type: "button",
    onclick: () => put("draw", (model.get("draw") + 1) % uniform.length) });

  const column = (text) => html("th", { scope: "col", class: "rb-number" }, text);
  const cell = (name) => html("td", { class: "rb-number", "data-name": name });
  const costs = form.map(() => ["clicks", "deleted", "read", "empty"].map(cell));
  const rows = pair.map((radio, r) => {
    const [clicks, after, part] = [html("td"), cell("state"), cell("batch")];
    const node = html("tr", { onclick: () => put("pair", r) },
      html("th", { scope: "row" }, html("label", {}, radio, String(r + 1))), clicks, after, part);
    return { node, clicks, after, part };
  });
  const heading = html("p", { class: "rb-heading" });
  const pass = html("p");
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite" });
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "Prefix explorer" },
      html("fieldset", { class: "rb-choices" }, html("legend", {}, "session"), ...session.map((radio, s) =>
        html("label", {}, radio, `${LETTERS[s]}, ${count(sessions[s].length, "click")}`))),
      rate.node, html("div", { class: "rb-buttons" }, again), size.node),
    html("table", { class: "rb-forms" },
      html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "form"),
        ...["clicks", "deleted", "read", "empty"].map(column))),
      html("tbody", {}, ...form.map((radio, i) => html("tr", { "data-form": radio.value },
        html("th", { scope: "row" }, html("label", {}, radio, FORMS[radio.value].name)), ...costs[i])))),
    heading, pass,
    html("table", { class: "rb-pairs" },
      html("thead", {}, html("tr", {}, ...["pair", "clicks → target"].map((text) =>
        html("th", { scope: "col" }, text)), ...["state", "batch"].map(column))),
      html("tbody", {}, ...rows.map(({ node }) => node))),
    status);

  const click = (name, keep) => (keep ? html("span", { class: "rb-item", style: colour(0) }, name)
    : html("del", { class: "rb-item" }, html("span", {}, "deleted: "), name));
  const state = (k, strong) => html("span", { class: strong ? "rb-state rb-chosen" : "rb-state" }, String(k));

  function draw() {
    const [items, now] = [sessions[model.get("session")], model.get("form")];
    const prefixes = kept(now);
    const after = prefixes.map(sum); // the state that each target is predicted from
    const chosen = Math.min(model.get("pair"), prefixes.length - 1);
    rate.show(model.get("rate"));
    size.show(model.get("batch_size"));
    again.textContent = `Draw again (${model.get("draw") + 1} of ${uniform.length})`;
    session.forEach((radio, s) => { radio.checked = s === model.get("session"); });
    form.forEach((radio, i) => {
      radio.checked = radio.value === now;
      cost(radio.value).forEach((value, k) => { costs[i][k].textContent = value; });
    });
    rows.forEach(({ node, clicks, after: last, part }, r) => {
      node.hidden = r >= prefixes.length;
      if (node.hidden) return;
      pair[r].checked = r === chosen;
      node.classList.toggle("rb-chosen", r === chosen);
      clicks.replaceChildren(...prefixes[r].map((keep, e) => click(items[e], keep)),
        html("span", { class: "rb-goal" }, "→ ",
          html("span", { class: "rb-item rb-target", style: colour(1) }, items[r + 1])));
      last.replaceChildren(state(after[r], r === chosen));
      part.textContent = batch(r);
    });
    heading.textContent = now === "positions" ? "One pass over the kept clicks; state k: after k of them"
      : `${count(prefixes.length, "pass")}, one for each prefix; state k: after k clicks of its own`;
    const longest = prefixes.at(-1);
    pass.hidden = now !== "positions";
    pass.replaceChildren(state(0, after[chosen] === 0), ...longest.flatMap((keep, e) => {
      const k = sum(longest.slice(0, e + 1));
      return [click(items[e], keep), ...(keep ? [state(k, k === after[chosen])] : [])];
    }));
    const [clicks, deleted, read, empty] = cost(now);
    const behind = prefixes[chosen].flatMap((keep, e) => (keep ? [items[e]] : []));
    status.textContent = `Session ${LETTERS[model.get("session")]}: ${count(prefixes.length, "pair")}. `
      + `${now === "positions" ? "The fast form" : "The paper’s form"} feeds ${count(clicks, "click")}, less `
      + `${deleted} deleted: the network reads ${read}, and ${count(empty, "prefix")} `
      + `${empty === 1 ? "is" : "are"} left empty. Pair ${chosen + 1}, batch ${batch(chosen)}: `
      + `${items[chosen + 1]} is predicted from ${behind.length
        ? `the state after ${count(behind.length, "click")} (${behind.join(", ")})`
        : "the zero state, nothing read"}.`;
  }

  return follow(model, el, ["session", "rate", "batch_size", "form", "draw", "pair"], draw);
}

export default { render };
