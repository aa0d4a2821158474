// What a protocol does to a comparison: stored counts of the items above each target, and exact expectations from them.

const [LAST, REPEAT, RARE, UNSEEN, ENDS] = [1, 2, 4, 8, 16]; // flags of an event
const METRICS = { recall: "Recall", mrr: "MRR", ndcg: "NDCG" };
const GAINS = { recall: () => 1, mrr: (rank) => 1 / rank, ndcg: (rank) => 1 / Math.log2(rank + 1) };
const three = (value) => value.toFixed(3).replace("-", "−");
const signed = (value) => (value < 0 ? three(value) : `+${three(value)}`);

const logFactorials = [0]; // as far as they were asked for
function logChoose(n, k) {
  if (k < 0 || k > n) return -Infinity;
  for (let m = logFactorials.length; m <= n; m++) logFactorials.push(logFactorials[m - 1] + Math.log(m));
  return logFactorials[n] - logFactorials[k] - logFactorials[n - k];
}
const times = (n, log) => (n ? n * log : 0); // 0 · −∞ is 0 here

/** P(b of n drawn are good), where `good` of `total` are: without replacement, or with it if by popularity. */
function probability(b, good, total, n, popularity) {
  if (!popularity) return Math.exp(logChoose(good, b) + logChoose(total - good, n - b) - logChoose(total, n));
  const share = total ? good / total : 0;
  return Math.exp(logChoose(n, b) + times(b, Math.log(share)) + times(n - b, Math.log1p(-share)));
}

/** The expected gain of a target with `above` candidates of `total` above it and `tied` beside it, among n of them. */
function sampledGain(above, tied, total, n, { ties, k, metric, among }) {
  const popularity = among === "popularity", median = ties === "median" && tied > 0;
  if (ties === "conservative") above += tied;
  let sum = 0;
  for (let b = 0; b <= Math.min(k - 1, n, popularity ? n : above); b++) {
    const p = probability(b, above, total, n, popularity);
    if (!median) sum += p * GAINS[metric](1 + b);
    else if (p) for (let e = 0; e <= Math.min(2 * (k - 1 - b), n - b); e++)
      sum += p * probability(e, tied, total - above, n - b, popularity) * GAINS[metric](1 + b + e / 2);
  }
  return sum;
}

function fullGain(above, tied, { ties, k, metric }) {
  const rank = 1 + above + { standard: 0, median: 0.5, conservative: 1 }[ties] * tied;
  return rank <= k ? GAINS[metric](rank) : 0;
}

/** The events of a split: {session, flags, counts}, counts[sampling][0: candidates; above, tied of each model][combo]. */
function decode(text, nModels) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), events = [];
  let at = 0;
  function next() {
    let value = 0, scale = 1;
    for (; bytes[at] >= 128; scale *= 128) value += (bytes[at++] - 128) * scale;
    return value + bytes[at++] * scale;
  }
  const four = () => {
    const [all, repeats, frequent, both] = [next(), next(), next(), next()];
    return [all, all - repeats, frequent, frequent - both];
  };
  for (let session = 0; at < bytes.length; session++)
    for (let left = next(); left > 0; left--) {
      const flags = next();
      const counts = flags & UNSEEN ? null : [0, 1].map(() => Array.from({ length: 1 + 2 * nModels }, four));
      events.push({ session, flags, counts });
    }
  return events;
}

/** The mean of sums over sizes, and half of its 95 % interval by the delta method; the units are sessions. */
function interval(sums, sizes) {
  const total = (values) => values.reduce((a, b) => a + b, 0), n = sizes.length, size = total(sizes);
  const mean = total(sums) / size;
  return [mean, 1.96 * Math.sqrt(n / (n - 1) * total(sums.map((s, i) => (s - mean * sizes[i]) ** 2))) / size];
}

function newLab({ models, negatives, events }) {
  const decoded = Object.fromEntries(Object.entries(events).map(([split, text]) => [split, decode(text, models.length)]));
  return function figures(setting) {
    const { split, among, targets, average, repeats, unseen, items } = setting;
    const missed = unseen === "missed", last = targets === "last" || split === "leave-one-out";
    const fresh = repeats === "left out", frequent = items === "frequent";
    const asked = decoded[split].filter(({ flags }) => !(
      (flags & UNSEEN && (!missed || frequent)) || (last && !(flags & (missed ? ENDS : LAST)))
      || (fresh && flags & REPEAT) || (frequent && flags & RARE)));
    const place = new Map(), sizes = [], combo = Number(fresh) + 2 * Number(frequent);
    const sums = models.map(() => []);
    for (const { session, flags, counts } of asked) {
      if (!place.has(session)) {
        place.set(session, sizes.length);
        sizes.push(0);
        sums.forEach((each) => each.push(0));
      }
      const i = place.get(session);
      sizes[i]++;
      if (flags & UNSEEN) continue;
      const [total, ...lines] = counts[Number(among === "popularity")].map((line) => line[combo]);
      sums.forEach((each, m) => {
        const [above, tied] = [lines[2 * m], lines[2 * m + 1]];
        each[i] += among === "all" ? fullGain(above, tied, setting) : sampledGain(above, tied, total, negatives, setting);
      });
    }
    const once = average === "session";
    const share = once ? sums.map((each) => each.map((sum, i) => sum / sizes[i])) : sums;
    const weights = once ? sizes.map(() => 1) : sizes;
    const scores = share.map((each) => interval(each, weights));
    return { scores, predictions: asked.length, sessions: sizes.length,
      order: scores.map((_, m) => m).sort((a, b) => scores[b][0] - scores[a][0] || a - b),
      difference: (a, b) => interval(share[a].map((value, i) => value - share[b][i]), weights) };
  };
}

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [models, negatives, frequent, choices, presets, events] = ["models", "negatives", "frequent", "choices", "presets",
    "events"].map((key) => model.get(key));
  const figures = newLab({ models, negatives, events });
  const keys = Object.keys(choices), book = Object.fromEntries(keys.map((key) => [key, choices[key][0]]));
  book.k = Math.max(...choices.k);
  const honest = figures(book);
  const put = (changes) => {
    Object.entries(changes).forEach(([key, value]) => model.set(key, value));
    model.save_changes();
  };
  const SWITCHES = { // what the reader sets, and how its values are called
    split: ["held out", ["the last day", "each last click"]],
    among: ["ranked among", ["all items", `${negatives}, drawn uniformly`, `${negatives}, by popularity`]],
    ties: ["a tied target is", ["last: conservative", "in the middle: median", "first: standard"]],
    targets: ["predicted is", ["every click", "the last click"]],
    average: ["mean over", ["clicks", "sessions"]],
    repeats: ["items clicked before", ["kept", "left out"]],
    unseen: ["items new that day", ["left out", "counted as missed"]],
    items: ["catalogue", ["all items", `${frequent} clicks or more`]],
    metric: ["metric", Object.values(METRICS)],
  };
  const many = slider({ label: "K", min: 1, max: book.k, oninput: (k) => put({ k }) });
  const selects = Object.fromEntries(Object.entries(SWITCHES).map(([key, [label, names]]) => {
    const select = html("select", { onchange: () => put({ [key]: choices[key][select.selectedIndex] }) },
      ...names.map((name) => html("option", {}, name)));
    return [key, { select, node: html("label", { class: "rb-select" }, html("span", {}, label), select) }];
  }));
  const preset = html("select", { onchange: () => { // the last option is not to be chosen
    if (preset.selectedIndex < presets.length) put({ ...book, ...presets[preset.selectedIndex][1] });
  } }, ...presets.map(([name]) => html("option", {}, name)), html("option", { disabled: true }, "your own"));
  const frame = svg("svg", { role: "img" });
  const rows = models.map(() => html("tr"));
  const heads = ["place", "model", "score", "95 % interval", "by the book"];
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite",
    style: "--rb-lines: 5; --rb-narrow: 10" });
  el.append(
    html("p", { class: "rb-heading" }, "Choose a protocol, or turn one switch after the other. Watch the order of the models."),
    html("div", { class: "rb-controls rb-switches", role: "group", "aria-label": "Evaluation protocol" },
      html("label", { class: "rb-select" }, html("span", {}, "protocol"), preset),
      ...Object.values(selects).map(({ node }) => node), many.node),
    html("div", {}, frame),
    html("p", { class: "rb-key" }, html("span", {}, "Dots: scores with their 95 % intervals. Small rings: the same models by the book.")),
    html("div", { class: "rb-scroll" }, html("table", { class: "rb-figures" },
      html("thead", {}, html("tr", {}, ...heads.map((head, i) =>
        html("th", { scope: "col", class: i > 1 && "rb-number" }, head)))), html("tbody", {}, ...rows))),
    status);

  function picture(found, name) {
    const width = frame.parentNode.clientWidth, [left, right, top, step] = [134, 14, 8, 30];
    const [w, h] = [width - left - right, step * models.length], x = (v) => left + w * clamp(v, 0, 1);
    const at = (row) => top + step * (row + 0.5);
    frame.setAttribute("height", top + h + 40);
    frame.setAttribute("viewBox", `0 0 ${width} ${top + h + 40}`);
    frame.replaceChildren(
      ...[0, 0.2, 0.4, 0.6, 0.8, 1].flatMap((v) => [
        svg("line", { class: "rb-grid", x1: x(v), x2: x(v), y1: top, y2: top + h }),
        svg("text", { x: x(v), y: top + h + 16, "text-anchor": "middle", class: "rb-muted" }, v.toFixed(1))]),
      svg("text", { x: left + w, y: top + h + 34, "text-anchor": "end", class: "rb-muted" }, name),
      ...found.order.flatMap((m, row) => {
        const [mean, half] = found.scores[m], y = at(row);
        return [svg("text", { x: 0, y: y + 4 }, models[m]),
          svg("circle", { class: "rb-before", cx: x(honest.scores[m][0]), cy: y, r: 3 }),
          svg("line", { class: "rb-whisker", style: colour(m), x1: x(mean - half), x2: x(mean + half), y1: y, y2: y }),
          mark(m, x(mean), y, 0.9)];
      }));
    frame.setAttribute("aria-label", `${name}: ${list(found.order.map((m) => `${models[m]} ${three(found.scores[m][0])}`))}.`);
  }

  function told(found, name, setting) {
    const changed = keys.filter((key) => setting[key] !== book[key]).length;
    const pairs = models.flatMap((_, a) => models.slice(a + 1).map((_, i) => [a, a + 1 + i]));
    const turned = pairs.map(([a, b]) => ({ a, b, now: found.difference(a, b), was: honest.difference(a, b) }))
      .filter(({ now, was }) => now[0] * was[0] < 0)
      .map((pair) => ({ ...pair, clear: Math.abs(pair.now[0]) > pair.now[1] && Math.abs(pair.was[0]) > pair.was[1] }))
      .sort((one, other) => other.clear - one.clear || Math.abs(other.now[0] - other.was[0]) - Math.abs(one.now[0] - one.was[0]));
    const clear = turned.filter((pair) => pair.clear).length, [most] = turned;
    const range = ([mean, half]) => `${signed(mean)} [${signed(mean - half)}, ${signed(mean + half)}]`;
    const best = found.order.slice(0, 2), lead = found.difference(...best);
    const first = `${name}, ${whole(found.predictions)} predictions in ${whole(found.sessions)} sessions. `
      + `${models[best[0]]} leads ${models[best[1]]} by ${three(lead[0])}${lead[0] > lead[1] ? "" : ", which may be chance"}. `;
    if (!changed) return `${first}This is the book's protocol. Turn a switch.`;
    const one = `${changed} switch${changed > 1 ? "es are" : " is"} not the book's. `;
    if (!turned.length) return `${first}${one}All models keep their order.`;
    return `${first}${one}${turned.length} pair${turned.length > 1 ? "s have" : " has"} changed places, ${clear} of them clearly `
      + `in both protocols. Most: ${models[most.a]} minus ${models[most.b]} is ${range(most.now)} here, by the book ${range(most.was)}.`;
  }

  function draw() {
    const setting = Object.fromEntries(keys.map((key) => [key, model.get(key)]));
    const found = figures(setting), name = `${METRICS[setting.metric]}@${setting.k}`;
    const alone = setting.split === "leave-one-out"; // it decides what is predicted, and holds out no new items
    for (const [key, { select, node }] of Object.entries(selects)) {
      const decided = alone && ["targets", "average", "unseen"].includes(key);
      select.disabled = decided;
      select.selectedIndex = decided && key === "targets" ? 1 : choices[key].indexOf(setting[key]);
      node.classList.toggle("rb-changed", !decided && setting[key] !== book[key]);
    }
    many.show(setting.k);
    const same = presets.findIndex(([, changes]) => keys.every((key) => setting[key] === (changes[key] ?? book[key])));
    preset.selectedIndex = same < 0 ? presets.length : same;
    picture(found, name);
    found.order.forEach((m, row) => {
      const [mean, half] = found.scores[m], before = honest.order.indexOf(m);
      rows[row].replaceChildren(
        html("td", {}, `${row + 1}`), html("th", { scope: "row" }, models[m]), html("td", { class: "rb-number" }, three(mean)),
        html("td", { class: "rb-number" }, `[${three(mean - half)}, ${three(mean + half)}]`),
        html("td", { class: before === row ? "rb-number" : "rb-number rb-moved" },
          `${before + 1}${before === row ? "" : before > row ? " ▲" : " ▼"}`));
    });
    status.textContent = told(found, name, setting);
  }

  return follow(model, el, keys, draw);
}

export default { render };
