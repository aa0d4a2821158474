// One session through several networks and the optimum: what is left of each click, and how far it moves the prediction.

const WRITTEN = ["share of the state", "the share of the state that was written at it"];
const LEFT = { // by mixer, what is left of a click: below the model's name, and in a sentence
  gru: WRITTEN, mingru: WRITTEN, attention: ["attention", "the attention on it"],
  lru: ["|\u2060λ|\u2060ᵃᵍᵉ", "|\u2060λ|\u2060ᵃᵍᵉ, which no click changes"],
};
const OFFERED = 6, LISTED = 5;

/** A LongMemoryWorld for someone who knows it; the state is the last `lag` clicks of those that count. */
function memoryWorld({ popularity, lag, faithful, partner }) {
  const m = partner.length, counts = popularity.slice(0, m).reduce((sum, p) => sum + p, 0); // the items that count
  function predict(last) {
    const p = Float64Array.from(popularity);
    if (last.length < lag) return p;
    for (let i = 0; i < m; i++) p[i] *= 1 - faithful;
    p[partner[last[0]]] += counts * faithful;
    return p;
  }
  const step = (item, last) => item < m ? [...last, item].slice(-lag) : last;
  return { start: [], step, predict, most: counts * (faithful + (1 - faithful) / m) };
}

/** A SessionWorld for someone who knows it; the state is a belief about the mood. */
function moodWorld(known) {
  return { start: new Float64Array(known.S).fill(1 / known.S), step: (item, belief) => known.believe(belief, item),
    predict: known.predicted, most: Math.max(...known.emission) };
}

/** The total variation distance of two distributions. */
function apart(p, q) {
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += Math.abs(p[i] - q[i]);
  return sum / 2;
}

/**
 * A session as a reader, {step, predict}, takes it: its `state` after the clicks so far, and for each of the last
 * `shown` clicks the states `instead`, had another item been clicked there.
 */
function reads(reader, item, { state, instead }, others, shown) {
  const earlier = instead.slice(-(shown - 1)).map((states) => states.map((each) => reader.step(item, each)));
  const latest = others.filter((other) => other !== item).map((other) => reader.step(other, state));
  return { state: reader.step(item, state), instead: [...earlier, latest] };
}

/** How far each of these clicks moves the prediction p: its distance from those instead, in the mean. */
const moves = (reader, p, instead) => instead.map((states) =>
  states.reduce((sum, state) => sum + apart(p, reader.predict(state)), 0) / states.length);

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const E = engine(), world = model.get("world"), names = model.get("names"), nets = model.get("nets");
  const [others, shown, longest] = ["others", "shown", "longest"].map((key) => model.get(key));
  const best = "lag" in world ? memoryWorld(world) : moodWorld(E.world(world));
  const readers = [{ name: "optimum", ...best },
    ...Object.entries(nets).map(([name, net]) => ({ name, ...afterGRU(net, E.unpack) }))];

  // --- The session ------------------------------------------------------------------------------------------

  const begin = { item: null, runs: readers.map((reader) => ({ state: reader.start, instead: [] })) };
  let moments = [begin]; // after each click, of each reader what `reads` returns
  function follow() { // what the last time had in common with this one is not read again
    const clicks = model.get("clicks"), same = clicks.findIndex((item, t) => moments[t + 1]?.item !== item);
    moments = moments.slice(0, 1 + (same < 0 ? clicks.length : same));
    for (const item of clicks.slice(moments.length - 1)) {
      const { runs } = moments.at(-1);
      moments.push({ item, runs: readers.map((reader, i) => reads(reader, item, runs[i], others, shown)) });
    }
  }

  // --- What the reader does ---------------------------------------------------------------------------------

  function put(clicks) { model.set("clicks", clicks); model.save_changes(); }
  const full = () => model.get("clicks").length >= longest;
  function click(item) { if (!full()) put([...model.get("clicks"), item]); }
  function visitorClicks() { // in both worlds the next click is drawn from what the optimum predicts
    const p = readers[0].predict(moments.at(-1).runs[0].state);
    let rest = E.generator([model.get("seed"), moments.length - 1])();
    click(Math.max(0, p.findIndex((value) => (rest -= value) < 0)));
  }
  const back = () => put(model.get("clicks").slice(0, -1));
  function newcomer() {
    model.set("seed", model.get("seed") + 1);
    put([]);
  }
  function onKey(event) {
    const act = { ArrowRight: visitorClicks, ArrowLeft: back }[event.key];
    if (!act || event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  // --- Elements ---------------------------------------------------------------------------------------------

  const button = (text, onclick) => html("button", { type: "button", onclick }, text);
  const visitor = button("A visitor clicks", visitorClicks), undo = button("← Back", back);
  const offered = names.slice(0, OFFERED).map((name, item) => button(name, () => click(item)));
  const slots = (make) => Array.from({ length: shown }, (_, slot) => make(shown - slot));
  const row = (label, cells, more) => html("div", more, html("div", { class: "rb-label" }, ...label), ...cells);
  const cards = slots(() => html("span", { class: "rb-click" }));
  const rows = readers.map((reader, i) => {
    const cells = slots(() => {
      const [left, moved, value] = ["rb-left", "rb-moved", "rb-most"].map((kind) => html("span", { class: kind }));
      return { left, moved, value, node: html("div", { class: "rb-slot" }, left, moved, value) };
    });
    const kept = html("small"), what = html("small", {}, i ? LEFT[reader.mixer][0] : "knows the world");
    const node = row([html("strong", {}, reader.name), what, kept], cells.map((cell) => cell.node),
      { class: "rb-row", role: "img", style: colour(i) });
    return { cells, kept, node };
  });
  const lists = readers.map((reader, i) => {
    const distance = html("p", { class: "rb-muted rb-distance" });
    const entries = Array.from({ length: Math.min(LISTED, names.length) }, () => {
      const name = html("span", { class: "rb-named" }), share = html("span");
      const bar = html("span", { class: "rb-bar" });
      const node = html("button", { type: "button", onclick: () => click(Number(node.dataset.item)) },
        name, " ", share, bar);
      return { node, name, share, bar };
    });
    const node = html("div", { class: "rb-says", role: "group", "aria-label": `Next, says ${reader.name}`, style: colour(i) },
      html("p", { class: "rb-heading" }, `Next: ${reader.name}`), distance, ...entries.map((entry) => entry.node));
    return { distance, entries, node };
  });
  const n_blocks = Math.max(...readers.slice(1).map((reader) => reader.n_blocks));
  const group = `rb-block-${Math.random().toString(36).slice(2)}`;
  const radios = Array.from({ length: n_blocks }, (_, b) => html("label", {}, html("input", { type: "radio", name: group,
    onchange: () => { model.set("block", b); model.save_changes(); } }), String(b + 1)));
  const key = (kind) => html("span", { class: `rb-sample ${kind}`, "aria-hidden": "true" });
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite",
    style: `--rb-lines: 3; --rb-narrow: ${readers.length + 2}` });
  const meanings = [...new Set(readers.slice(1).map((reader) => LEFT[reader.mixer][1]))].map((meaning) =>
    `${meaning} (${list(readers.slice(1).filter((reader) => LEFT[reader.mixer][1] === meaning).map(({ name }) => name))})`);

  el.append(
    html("p", { class: "rb-heading" }, "Click a session together: an item here or in a list below, or let a visitor click."),
    html("div", { class: "rb-buttons rb-offered", role: "group", "aria-label": "Click an item" }, ...offered),
    html("div", { class: "rb-buttons rb-run" }, visitor, undo, button("New session", newcomer)),
    n_blocks > 1 ? html("fieldset", { class: "rb-choices rb-of-block" }, html("legend", {}, "Memory of block"), ...radios)
      : "",
    html("div", { class: "rb-side-by-side", style: `--slots: ${shown}` },
      row(["last clicks"], cards, { class: "rb-row rb-clicked" }),
      ...rows.map((each) => each.node),
      row(["clicks back"], slots((age) => html("span", {}, String(age))), { class: "rb-row rb-ages", "aria-hidden": "true" })),
    html("p", { class: "rb-muted rb-reading" }, key("rb-left"), `How much is left of the click: ${list(meanings)}.`, html("br"),
      key("rb-moved"), "How far it moves the prediction: the probability that goes to other items if another one is clicked "
      + `in its place, in the mean over ${others.length} of them. A full box is 1. The distance from the optimum is measured alike.`),
    html("div", { class: "rb-nexts" }, ...lists.map((each) => each.node)),
    status);
  el.addEventListener("keydown", onKey);

  // --- What is seen -----------------------------------------------------------------------------------------

  const two = (value) => value.toFixed(2);
  const orderOf = (p) => Array.from(p.keys()).sort((a, b) => p[b] - p[a]);
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

  function show() {
    follow();
    const clicks = model.get("clicks"), block = model.get("block"), { runs } = moments.at(-1);
    const seen = readers.map((reader, i) => {
      if (!clicks.length && i) return { p: null, moved: [], left: [] }; // a network predicts from the first click on
      const p = reader.predict(runs[i].state), states = moments.slice(1).map((moment) => moment.runs[i].state);
      const left = i && reader.left(states, Math.min(block, reader.n_blocks - 1)).slice(-shown).map(mean);
      return { p, moved: moves(reader, p, runs[i].instead), left };
    });
    showSession(clicks);
    rows.forEach((_, i) => showRow(i, seen[i], clicks.length));
    showLists(seen);
    radios.forEach((radio, b) => { radio.firstChild.checked = b === block; });
    status.textContent = said(seen, clicks.length);
  }

  function showSession(clicks) {
    const last = clicks.slice(-shown);
    cards.forEach((card, slot) => { card.textContent = names[last[slot - shown + last.length]] ?? ""; });
    undo.disabled = !clicks.length;
    [visitor, ...offered, ...lists.flatMap(({ entries }) => entries.map((entry) => entry.node))]
      .forEach((node) => { node.disabled = full(); });
  }

  function showRow(i, { moved, left }, n) {
    const { cells, kept, node } = rows[i], empty = shown - moved.length, most = moved.indexOf(Math.max(...moved));
    const told = moved.map((value, s) => `${moved.length - s} back ${left ? `${two(left[s])} left, ` : ""}moves ${two(value)}`);
    cells.forEach((cell, slot) => {
      const s = slot - empty, value = moved[s] ?? 0;
      cell.node.classList.toggle("rb-empty", s < 0);
      cell.node.style.setProperty("--left", left?.[s] ?? 0);
      cell.node.style.setProperty("--moved", value);
      cell.value.textContent = s === most && value >= 0.005 ? two(value) : "";
    });
    if (i) kept.textContent = `keeps ${plural(readers[i].size(n), "number")}`;
    node.setAttribute("aria-label", `${readers[i].name}: ${told.reverse().join("; ") || "no click yet"}`);
  }

  function showLists(seen) {
    const [first, second] = orderOf(seen[0].p), right = seen[0].p[first] > seen[0].p[second] ? first : null;
    const scale = Math.max(readers[0].most, ...seen.map(({ p }) => (p ? Math.max(...p) : 0)));
    lists.forEach(({ distance, entries }, i) => {
      const { p } = seen[i], order = p ? orderOf(p) : [];
      distance.textContent = !i ? "the best possible" : p ? `${two(apart(p, seen[0].p))} from the optimum` : "no click yet";
      entries.forEach(({ node, name, share, bar }, k) => {
        const item = order[k];
        node.classList.toggle("rb-off", item === undefined);
        if (item === undefined) return;
        node.dataset.item = item;
        node.classList.toggle("rb-right", item === right);
        name.textContent = names[item];
        share.textContent = `${(100 * p[item]).toFixed(1)} %`;
        bar.style.width = `${100 * p[item] / scale}%`;
      });
    });
  }

  function said(seen, n) {
    if (!n) return "Before the first click the networks predict nothing.";
    const most = seen.map(({ moved }, i) => {
      const largest = Math.max(...moved), age = moved.length - moved.indexOf(largest);
      return `${largest < 0.005 ? "none" : age === 1 ? "the last" : `${age} back`} for ${i ? "" : "the "}${readers[i].name}`;
    });
    const distances = seen.slice(1).map(({ p }, i) => `${readers[i + 1].name} ${two(apart(p, seen[0].p))}`);
    return `After ${plural(n, "click")}${full() ? " (no more fit here)" : ""}. The click that moves the prediction most: `
      + `${list(most)}. Distance from the optimum: ${list(distances)}.`;
  }

  ["clicks", "block"].forEach((name) => model.on(`change:${name}`, show));
  show();
  return () => {
    el.removeEventListener("keydown", onKey);
    ["clicks", "block"].forEach((name) => model.off(`change:${name}`, show));
  };
}

export default { render };
