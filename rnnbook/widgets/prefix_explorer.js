// A session's training pairs under click deletion: every prefix for itself, or all positions in one pass. The reader
// strikes clicks out, and sees what the exact distribution of the next click makes of it.

const LETTERS = "ABCDEFGH";
const FORMS = {
  prefixes: { name: "each prefix its own deletions: the paper’s form", unit: "pair" },
  positions: { name: "all positions at once: the fast form", unit: "session" },
};
const [MOST, LISTED] = [8, 12]; // clicks of a session; items with a bar
const sum = (values) => values.reduce((a, b) => a + b, 0);
const count = (n, word) => `${n} ${word}${n === 1 ? "" : /[sx]$/.test(word) ? "es" : "s"}`;

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [sessions, uniform, items, emission, stay] = ["sessions", "uniform", "items", "emission", "stay"]
    .map((key) => model.get(key));
  const put = (key, value) => { model.set(key, value); model.save_changes(); };
  const renew = (key, value) => { model.set("flips", []); put(key, value); }; // other deletions: nothing is struck yet
  const place = (form, r) => (form === "prefixes" ? r : uniform[0][model.get("session")].length - 1); // in `flips`

  /** P(next item | clicks), exact: Bayes' rule for the mood at each click, then the mood stays or is drawn anew. */
  function predict(clicks) {
    let belief = emission.map(() => 1 / emission.length);
    for (const click of clicks) {
      const seen = belief.map((b, m) => b * emission[m][items.indexOf(click)]), total = sum(seen);
      belief = seen.map((b) => stay * b / total + (1 - stay) / seen.length);
    }
    return items.map((_, i) => sum(belief.map((b, m) => b * emission[m][i])));
  }

  /** Of each prefix of the session shown: which clicks are kept. */
  function kept(form) {
    const u = uniform[model.get("draw")][model.get("session")];
    const numbers = form === "prefixes" ? u : u.map((row) => u.at(-1).slice(0, row.length));
    const flips = form === model.get("form") ? model.get("flips") : [];
    return numbers.map((row, r) => row.map((v, e) =>
      (v >= model.get("rate")) !== flips.includes(MOST * place(form, r) + e)));
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

  const radios = (key, values, change = put) => {
    const group = `${key}-${Math.random()}`; // the radio buttons of two widgets must not join
    return values.map((value) =>
      html("input", { type: "radio", name: group, value, onchange: () => change(key, value) }));
  };
  const session = radios("session", [...sessions.keys()], renew);
  const form = radios("form", Object.keys(FORMS), renew);
  const pair = radios("pair", [...Array(Math.max(...uniform[0].map((u) => u.length))).keys()]);
  const rate = slider({ label: "deletion rate", min: 0, max: 0.9, step: 0.05, format: (v) => v.toFixed(2),
    oninput: (v) => renew("rate", v) });
  const size = slider({ label: "batch size", min: 1, max: 8, oninput: (v) => put("batch_size", v),
    format: (v) => count(v, FORMS[model.get("form")].unit) });
  const again = html("button", { type: "button",
    onclick: () => renew("draw", (model.get("draw") + 1) % uniform.length) });

  const column = (text) => html("th", { scope: "col", class: "rb-number" }, text);
  const cell = (name) => html("td", { class: "rb-number", "data-name": name });
  const costs = form.map(() => ["clicks", "deleted", "read", "empty"].map(cell));
  function toggle(r, e) {
    const flip = MOST * place(model.get("form"), r) + e, flips = model.get("flips");
    put("flips", flips.includes(flip) ? flips.filter((other) => other !== flip) : [...flips, flip]);
  }
  const rows = pair.map((radio, r) => {
    const clicks = [...Array(r + 1).keys()].map((e) =>
      html("button", { type: "button", class: "rb-item", onclick: () => toggle(r, e) }));
    const goal = html("span", { class: "rb-item rb-target", style: colour(1) });
    const [after, part] = [cell("state"), cell("batch")];
    const node = html("tr", { onclick: () => r !== model.get("pair") && put("pair", r) }, html("th", { scope: "row" },
      html("label", {}, radio, String(r + 1))),
      html("td", {}, ...clicks, html("span", { class: "rb-goal" }, "→ ", goal)), after, part);
    return { node, clicks, goal, after, part };
  });
  const bars = [...Array(Math.min(LISTED, items.length))].map(() => {
    const [name, share] = [html("span", { class: "rb-name" }), html("span", { class: "rb-share" })];
    const [all, left] = [5, 0].map((i) => html("span", { class: "rb-bar", style: colour(i) }));
    return { name, share, all, left, node: html("li", {}, name, html("span", {}, all, left), share) };
  });
  const key = (i) => html("span", { class: "rb-bar", style: colour(i) });
  const heading = html("p", { class: "rb-heading" });
  const pass = html("p");
  const next = html("p", { class: "rb-heading" }, "The next click, as the exact optimum of this shop predicts it");
  const legend = html("p", { class: "rb-key" }, html("span", {}, key(5), "given all clicks"),
    html("span", {}, key(0), "given those kept"));
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite",
    style: "--rb-lines: 3; --rb-narrow: 6" });
  const pairs = html("div", {}, html("table", { class: "rb-pairs" },
    html("thead", {}, html("tr", {}, ...["pair", "clicks → target"].map((text) =>
      html("th", { scope: "col" }, text)), ...["state", "batch"].map(column))),
    html("tbody", {}, ...rows.map(({ node }) => node))));
  el.append(
    html("p", { class: "rb-heading" }, "Strike clicks out: press them. What does it do to the prediction?"),
    html("div", { class: "rb-controls", role: "group", "aria-label": "Prefix explorer" },
      html("fieldset", { class: "rb-choices" }, html("legend", {}, "session"), ...session.map((radio, s) =>
        html("label", {}, radio, `${LETTERS[s]}, ${count(sessions[s].length, "click")}`))),
      rate.node, html("div", { class: "rb-buttons" }, again), size.node),
    html("table", { class: "rb-forms" },
      html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "form"),
        ...["clicks", "deleted", "read", "empty"].map(column))),
      html("tbody", {}, ...form.map((radio, i) => html("tr", { "data-form": radio.value },
        html("th", { scope: "row" }, html("label", {}, radio, FORMS[radio.value].name)), ...costs[i])))),
    heading, pass, pairs, next, legend,
    html("ul", { class: "rb-shop", "aria-hidden": "true" }, ...bars.map(({ node }) => node)),
    status);

  const state = (k, kind = "") => html("span", { class: `rb-state ${kind}` }, String(k));
  /** Clicks and the state after each, which a deleted one leaves as it was. */
  const read = (clicks, keep, chosen) => {
    const after = keep.map((_, e) => sum(keep.slice(0, e + 1)));
    return [state(0, chosen ? "" : "rb-chosen"), ...clicks.flatMap((name, e) => [
      keep[e] ? html("span", { class: "rb-item", style: colour(0) }, name) : html("del", { class: "rb-item" }, name),
      state(after[e], !keep[e] ? "rb-same" : after[e] === chosen ? "rb-chosen" : "")])];
  };
  function name(clicks) { // the rows' clicks and targets
    rows.forEach(({ node, clicks: chips, goal }, r) => {
      node.hidden = r + 1 >= clicks.length;
      if (node.hidden) return;
      chips.forEach((chip, e) => { chip.textContent = clicks[e]; });
      goal.textContent = clicks[r + 1];
    });
  }
  let width = 0;
  function reserve() { // room for the tallest session, so that nothing moves
    if (el.clientWidth === width) return;
    width = el.clientWidth;
    const most = [[pairs, (clicks) => name(clicks)],
      [pass, (clicks) => pass.replaceChildren(...read(clicks.slice(0, -1), clicks.slice(1).map(() => true), 0))]];
    for (const [box, fill] of most) {
      box.style.minHeight = "";
      const tall = sessions.map((clicks) => { fill(clicks); return box.getBoundingClientRect().height; });
      box.style.minHeight = `${Math.max(...tall)}px`;
    }
  }

  /** What is listed: all items, or the ones with the highest probability of all, and the target. */
  function listed(p, target) {
    const best = [...items.keys()].sort((a, b) => p[b] - p[a]).slice(0, LISTED);
    if (!best.includes(target)) best[LISTED - 1] = target;
    return best.sort((a, b) => a - b);
  }
  const percent = (p) => `${(100 * p).toFixed(0)} %`;
  const widest = Math.max(...emission.flat()); // no prediction is surer than a mood is

  function draw() {
    const [clicks, now] = [sessions[model.get("session")], model.get("form")];
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
    reserve();
    name(clicks);
    prefixes.forEach((keep, r) => {
      const { node, clicks: chips, after: last, part } = rows[r];
      pair[r].checked = r === chosen;
      node.classList.toggle("rb-chosen", r === chosen);
      chips.forEach((chip, e) => {
        chip.style.cssText = keep[e] ? colour(0) : "";
        chip.classList.toggle("rb-struck", !keep[e]);
        chip.tabIndex = r === chosen ? 0 : -1; // the keyboard goes through one row
        chip.setAttribute("aria-label", `${clicks[e]}, ${keep[e] ? "kept" : "deleted"}`);
      });
      last.replaceChildren(state(after[r], r === chosen ? "rb-chosen" : ""));
      part.textContent = batch(r);
    });
    heading.textContent = now === "positions" ? "One pass for all; state k: after k clicks"
      : `Pair ${chosen + 1}’s own pass; state k: after k clicks`;
    const whole = prefixes[now === "positions" ? prefixes.length - 1 : chosen];
    pass.replaceChildren(...read(clicks.slice(0, whole.length), whole, after[chosen]));

    const behind = clicks.filter((_, e) => prefixes[chosen][e]), target = items.indexOf(clicks[chosen + 1]);
    const [all, left] = [clicks.slice(0, chosen + 1), behind].map(predict);
    listed(all, target).forEach((i, k) => {
      const bar = bars[k];
      bar.name.textContent = items[i];
      bar.node.classList.toggle("rb-target", i === target);
      [[bar.all, all], [bar.left, left]].forEach(([node, p]) => {
        node.style.width = `${100 * p[i] / widest}%`;
        node.dataset.value = p[i];
      });
      bar.share.textContent = `${percent(all[i])} → ${percent(left[i])}`;
    });
    const [given, , reads] = cost(now);
    status.textContent = `Session ${LETTERS[model.get("session")]}: ${count(prefixes.length, "pair")}; the network reads `
      + `${reads} of ${count(given, "click")}. Pair ${chosen + 1}, batch ${batch(chosen)}: ${items[target]} is predicted `
      + `from ${behind.length ? `the state after ${count(behind.length, "click")} (${behind.join(", ")})`
        : "the zero state, nothing read"}. Its probability is ${percent(left[target])}; given all clicks, `
      + `${percent(all[target])}.`;
  }

  return follow(model, el, ["session", "rate", "batch_size", "form", "draw", "pair", "flips"], draw);
}

export default { render };
