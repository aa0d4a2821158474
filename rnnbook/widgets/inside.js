// A trained GRU4Rec, open: every gate and number behind a prediction, beside the best that anyone could know.

const MAPS = [["x", "item's vector"], ["r", "reset gate"], ["z", "update gate"], ["candidate", "candidate"],
  ["h", "new state"]];
const FAULTS = [ // [key, name, what one sees]
  ["", "as trained", ""],
  ["cut", "state cut", "Before each click the state is emptied: what is left is a guess from the last click."],
  ["never", "never reset", "A new visitor starts from the state that the last one left."],
  ["late", "reset too late", "A new visitor's first click is read with the last one's state; then the state is emptied."],
  ["swapped", "gates swapped", "The reset gate does the update gate's work, and the reverse."],
  ["reset inside", "reset inside", "W(r ⊙ h) as in the first paper on the GRU, with weights trained for r ⊙ (W h)."],
  ["lift", "ranked by lift", "Each probability is divided by the item's popularity, as a model without logQ learns it."],
];
const MOST = 8, VISITORS = 200, LEVELS = 10;

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const E = engine(), known = E.world(model.get("spec")), { n, S } = known;
  const [d, K] = [model.get("hidden_size"), model.get("k")];
  const read = (packed) => Object.fromEntries(Object.entries(packed).map(([name, text]) => [name, E.unpack(text)]));
  const net = { n, d, ...read(model.get("weights")) }, probe = model.get("probe") && read(model.get("probe"));
  const names = model.get("names"), letter = (s) => String.fromCharCode(65 + s);
  const tag = (i) => model.get("spec").items.map((own, s) => (own.includes(i) ? letter(s) : "")).join(""); // i's moods
  const zeros = () => new Float64Array(d); // the state of nobody
  const nothing = () => new Float64Array(S).fill(1 / S); // a belief about the mood before any click

  // --- The run: the clicks of this visitor, and what the network made of them -----------------------------

  let fault = model.get("fault");
  const random = E.generator([model.get("seed"), 0]);
  let left = zeros(), mood = null; // what the last visitor left; the true mood, if the world is the visitor
  let pick = { map: 2, unit: 0, term: 0 };

  /** Read a click; `place` counts the clicks of the visitor before it. */
  function next(key, h, item, place) {
    const before = key === "cut" || (key === "late" && place === 1) ? zeros() : h;
    return { item, before, ...E.gruStep(net, [item], before, key) };
  }
  const begin = (key) => (key === "never" || key === "late" ? left : zeros());
  const logPopularity = known.popularity.map(Math.log);
  function scores(key, h) {
    const s = E.scores(net, h);
    return key === "lift" ? s.map((value, i) => value - logPopularity[i]) : s;
  }
  function softmax(s) {
    const most = s.reduce((a, b) => Math.max(a, b)), p = s.map((value) => Math.exp(value - most));
    const total = p.reduce((a, b) => a + b);
    return p.map((value) => value / total);
  }
  let trace = [], traced = null; // the steps of this visitor, and under which fault they were made
  function run() { // what the last time had in common with this one is not computed again
    const clicks = model.get("clicks"), same = clicks.findIndex((item, place) => trace[place]?.item !== item);
    trace = traced === fault ? trace.slice(0, same < 0 ? clicks.length : same) : [];
    traced = fault;
    for (let place = trace.length; place < clicks.length; place++)
      trace.push(next(fault, trace.at(-1)?.h ?? begin(fault), clicks[place], place));
    return trace.at(-1) ?? { item: null, before: begin(fault), h: begin(fault),
      ...Object.fromEntries(["r", "z", "candidate", "recurrent"].map((key) => [key, zeros()])) };
  }

  // --- What a fault costs: Recall@k over visitors of the same world --------------------------------------

  const visitors = known.sample(VISITORS, 2), costs = new Map();
  const readerOf = (key) => {
    let last = zeros();
    return () => {
      let h = key === "never" || key === "late" ? last : zeros(), place = 0;
      return (item) => {
        last = h = next(key, h, item, place).h;
        place += 1;
        return scores(key, h);
      };
    };
  };
  const judged = { best: E.follower(known), last: E.lastReader(known) };
  let judging = null;
  const waiting = [];
  function judge(key) { // in slices, so that the page stays awake
    if (costs.has(key)) return;
    costs.set(key, null);
    waiting.push([key, E.evaluate(visitors, judged[key] ?? readerOf(key), K)]);
    judging ??= setTimeout(slice);
  }
  function slice() {
    const until = performance.now() + 8, [key, work] = waiting[0];
    let at = work.next();
    while (!at.done && performance.now() < until) at = work.next();
    if (at.done) {
      costs.set(key, at.value.recall);
      waiting.shift();
      showCosts();
    }
    judging = waiting.length ? setTimeout(slice) : null;
  }

  // --- What the reader does -------------------------------------------------------------------------------

  function put(value, key = "clicks") { model.set(key, value); model.save_changes(); }
  function click(item) { mood = null; put([...model.get("clicks"), item]); }
  const drawFrom = (matrix, row, width) => {
    let rest = random();
    for (let i = 0; i < width; i++) { rest -= matrix[row * width + i]; if (rest < 0) return i; }
    return width - 1;
  };
  function visitorClicks() { // a visitor of the world: the mood draws an item and moves on
    const now = mood ?? drawFrom(belief, 0, S), item = drawFrom(known.emission, now, n); // one who could have been here
    mood = drawFrom(known.transition, now, S);
    put([...model.get("clicks"), item]);
  }
  function newcomer() {
    left = run().h;
    [trace, mood] = [[], null];
    put([]);
  }
  function choose(change) { pick = { ...pick, ...change }; showUnit(); }

  // --- Elements --------------------------------------------------------------------------------------------

  const button = (text, onclick, more = {}) => html("button", { type: "button", onclick, ...more }, text);
  const strip = html("ol", { class: "rb-strip" });
  const undo = button("← Back", () => { mood = null; put(model.get("clicks").slice(0, -1)); });
  const side = Math.ceil(Math.sqrt(d)), cell = 10;
  const maps = MAPS.map(([key, label], map) => {
    // One path for all cells of a sign and a level: a few elements change with a click, not hundreds.
    const levels = ["rb-plus", "rb-minus"].map((sign) => Array.from({ length: LEVELS }, (_, l) =>
      svg("path", { class: sign, "fill-opacity": (l + 1) / LEVELS })));
    const frameOfPick = svg("rect", { class: "rb-picked", width: cell - 1, height: cell - 1 });
    const frame = svg("svg", { viewBox: `-1 -1 ${side * cell + 1} ${side * cell + 1}`, "aria-hidden": "true" },
      ...levels.flat(), frameOfPick);
    const at = (event) => {
      if (!(event.buttons & 1)) return; // a pointer on its way to what is below picks nothing
      const box = frame.getBoundingClientRect();
      const [column, row] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
        .map((share) => clamp(Math.floor(share * side), 0, side - 1));
      choose({ map, unit: Math.min(row * side + column, d - 1) });
    };
    frame.addEventListener("pointerdown", at);
    frame.addEventListener("pointermove", at);
    const fill = (values) => levels.forEach((paths, minus) => {
      const shapes = paths.map(() => "");
      values.forEach((value, k) => {
        const level = Math.min(Math.round(Math.abs(value) * LEVELS), LEVELS) - 1;
        if (level < 0 || (value < 0) !== Boolean(minus)) return;
        const [x, y, size, r] = [(k % side) * cell, Math.floor(k / side) * cell, cell - 1, (cell - 1) / 2];
        shapes[level] += minus ? `M${x} ${y + r}a${r} ${r} 0 1 0 ${size} 0a${r} ${r} 0 1 0-${size} 0z` // a dot
          : `M${x} ${y}h${size}v${size}h-${size}z`; // a square
      });
      paths.forEach((path, l) => path.setAttribute("d", shapes[l]));
    });
    const node = html("div", { class: "rb-map", tabindex: 0, role: "slider", "aria-label": `${label}, unit`,
      "aria-valuemin": 1, "aria-valuemax": d, onfocus: () => choose({ map }),
      onkeydown: (event) => {
        const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -side, ArrowDown: side };
        if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        event.stopPropagation();
        choose({ map, unit: clamp(pick.unit + steps[event.key], 0, d - 1) });
      } }, frame, html("span", {}, label));
    return { key, label, fill, frameOfPick, node };
  });
  const formula = html("p", { class: "rb-formula" }), legend = html("p", { class: "rb-muted rb-legend" });
  const bars = ["rb-of-item", "rb-of-state", "rb-picked"].map((kind) => svg("path", { class: kind }));
  const underPointer = (event) => {
    if (!(event.buttons & 1)) return;
    const box = terms.getBoundingClientRect();
    choose({ term: clamp(Math.floor((event.clientX - box.left) / box.width * 2 * d), 0, 2 * d - 1) });
  };
  const terms = svg("svg", { class: "rb-terms", viewBox: `0 -30 ${8 * d} 60`, preserveAspectRatio: "none",
    "aria-hidden": "true", onpointermove: underPointer, onpointerdown: underPointer },
    svg("line", { class: "rb-axis", x1: 0, x2: 8 * d, y1: 0, y2: 0 }), ...bars);
  const term = slider({ label: "one multiplication", min: 0, max: 2 * d - 1,
    format: (j) => `${j < d ? "item" : "state"} ${(j % d) + 1}`, oninput: (j) => choose({ term: j }) });
  const product = html("p", { class: "rb-formula" });

  const ring = svg("svg", { viewBox: "-150 -150 300 300", role: "group",
    "aria-label": "Moods: a click on one clicks an item of it" });
  const turn = (s) => 2 * Math.PI * s / S - Math.PI / 2;
  const point = (s, radius) => [radius * Math.cos(turn(s)), radius * Math.sin(turn(s))];
  const wedge = (s, inner, outer, from = -0.5, to = 0.5) => {
    const [a, b, c, e] = [point(s + from, inner), point(s + from, outer), point(s + to, outer), point(s + to, inner)];
    return `M${a}L${b}A${outer} ${outer} 0 0 1 ${c}L${e}A${inner} ${inner} 0 0 0 ${a}Z`; // as far from the middle all along
  };
  const moods = Array.from({ length: S }, (_, s) => {
    const [exact, readOff] = ["rb-exact", "rb-read"].map((kind, i) => svg("path", { class: kind, style: colour(i) }));
    const [x, y] = point(s, 58), text = svg("text", { x, y: y + 4, "text-anchor": "middle" }, letter(s));
    const act = () => click(drawFrom(known.emission, s, n));
    const node = svg("g", { class: "rb-mood", role: "button", tabindex: 0, onclick: act, onkeydown: (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      act();
    } }, svg("path", { class: "rb-target", d: wedge(s, 48, 148) }), exact, readOff, text);
    return { s, exact, readOff, text, node };
  });
  const trail = svg("path", { class: "rb-trail" });
  const dots = [0, 1].map((i) => svg("path", { class: "rb-dot", d: MARKS[i], style: colour(i) }));
  ring.append(...[68, 108, 148].map((r) => svg("circle", { class: "rb-grid", r, fill: "none" })),
    ...moods.map((m) => m.node),
    ...[[108, "50 %"], [148, "100 %"]].map(([r, text]) =>
      svg("text", { x: 0.71 * r, y: -0.71 * r - 3, class: "rb-muted rb-tick" }, text)),
    svg("circle", { class: "rb-grid", r: 44, fill: "none" }), trail, dots[0], probe ? dots[1] : "");

  const lists = ["GRU4Rec", "optimum"].map((who, which) => {
    const rows = Array.from({ length: Math.min(MOST, n) }, () => {
      const name = html("span"), share = html("span", { class: "rb-share" });
      const bar = html("span", { class: "rb-bar", style: colour(1 - which) });
      const node = html("button", { type: "button", onclick: () => click(Number(node.dataset.item)) }, name, share, bar);
      return { node, name, share, bar };
    });
    return { rows, node: html("div", { class: "rb-list", role: "group", "aria-label": `Next, says ${who}` },
      html("p", { class: "rb-heading" }, `Next: ${who}`), ...rows.map((row) => row.node)) };
  });
  const group = `rb-fault-${Math.random().toString(36).slice(2)}`;
  const radios = FAULTS.map(([key, label]) => html("label", {}, html("input", { type: "radio", name: group, value: key,
    onchange: () => put(key, "fault") }), label));
  const said = html("p", { class: "rb-muted rb-said", "aria-live": "polite" });
  const costRows = [["last", "last click", 5], ["", "as trained", 1], ["now", "with this fault", 3],
    ["best", "optimum", 0]].map(([key, label, c]) => {
    const bar = html("span", { class: "rb-bar", style: colour(c) }), sum = html("span");
    const node = html("div", { class: "rb-cost" }, html("span", {}, label), html("span", { class: "rb-track" }, bar), sum);
    return { key, bar, sum, node };
  });
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite" });
  const keyOf = (kind, i, text) => [svg("svg", { class: "rb-key", "aria-hidden": "true" },
    svg("rect", { class: kind, style: colour(i), width: 12, height: 12 })), text];
  const keys = html("p", { class: "rb-muted rb-keys" }, ...keyOf("rb-exact", 0, "exact "),
    ...(probe ? keyOf("rb-read", 1, "read from the state") : []), html("br"),
    `In the middle: the mean of ${probe ? "each" : "it"} on the ring.`);

  el.append(
    html("p", { class: "rb-heading" },
      "Click a session together: an item in a list, or a mood on the ring, which clicks one of its items."),
    strip,
    html("div", { class: "rb-buttons rb-run" }, button("A visitor clicks", visitorClicks), undo,
      button("New visitor", newcomer)),
    html("div", { class: "rb-panels" },
      html("div", { class: "rb-belief" }, html("p", { class: "rb-heading" }, "Mood of the next click"), ring, keys),
      html("div", { class: "rb-lists" }, ...lists.map((each) => each.node))),
    html("div", { class: "rb-machine" }, ...maps.map((map) => map.node)),
    html("p", { class: "rb-muted rb-legend" }, "Squares are positive, dots negative, the vector's largest number is full. "
      + "Press on a unit: below is what the item (blue) and the state before (green) add to its gate."),
    html("div", { class: "rb-unit" }, formula, legend, terms, term.node, product),
    html("fieldset", { class: "rb-choices rb-faults" }, html("legend", { class: "rb-heading" }, "Break it"), ...radios),
    said,
    html("div", { class: "rb-costs" }, html("p", { class: "rb-heading" }, `Recall@${K} over ${VISITORS} other visitors`),
      ...costRows.map((row) => row.node)),
    status);

  // --- What is seen ----------------------------------------------------------------------------------------

  let step, p, best, belief, orders;
  const two = (value) => value.toFixed(2).replace("-", "−");
  const percent = (value) => `${Math.round(100 * value)} %`.replace("-", "−");
  const factor = (value) => (value < 0 ? `(${two(value)})` : two(value));
  const signed = (value) => (value < 0 ? `− ${two(-value)}` : `+ ${two(value)}`);
  const widest = Math.max(...Array.from({ length: S }, (_, s) => Math.max(...known.emission.subarray(s * n, (s + 1) * n))));

  function show() {
    const clicks = model.get("clicks");
    step = run();
    p = softmax(scores(fault, step.h));
    const beliefs = [nothing()];
    clicks.forEach((item) => beliefs.push(known.believe(beliefs.at(-1), item)));
    belief = beliefs.at(-1);
    best = known.predicted(belief);
    const values = { ...step, x: step.item === null ? zeros() : net.output.subarray(step.item * d, (step.item + 1) * d) };
    const most = values.x.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
    maps.forEach(({ key, fill }) => fill(key === "x" ? values.x.map((value) => value / most) : values[key]));
    const parts = (name) => name.split(/(?<=-)/).flatMap((part) => [html("wbr"), part]); // it may break after "item-"
    const card = (i) => html("li", { class: "rb-card" }, ...parts(names[i]), html("small", {}, tag(i)));
    strip.replaceChildren(...clicks.slice(-6).map(card),
      html("li", { class: "rb-card rb-next" }, "?", html("small", {}, mood === null ? "next" : `truly ${letter(mood)}`)));
    undo.disabled = !clicks.length;
    orders = [p, best].map((values) => Array.from(values.keys()).sort((a, b) => values[b] - values[a]));
    showBelief(beliefs);
    showLists();
    radios.forEach((radio) => { radio.firstChild.checked = radio.firstChild.value === fault; });
    said.textContent = FAULTS.find(([key]) => key === fault)[2];
    showUnit();
    showCosts();
    const theirs = new Set(orders[1].slice(0, K)), shared = orders[0].slice(0, K).filter((i) => theirs.has(i)).length;
    const kl = best.reduce((sum, b, i) => sum + b * Math.log(b / p[i]), 0), sure = belief.indexOf(Math.max(...belief));
    const so_far = clicks.length ? `After ${clicks.length} click${clicks.length > 1 ? "s" : ""}` : "Before the first click";
    const next_mood = clicks.length ? `mood ${letter(sure)} next with ${percent(belief[sure])}`
      : "all moods are equally probable";
    status.textContent = `${so_far}: ${next_mood}. Of GRU4Rec's ${K} best `
      + `items ${shared} are among the optimum's; its prediction is ${two(kl)} nats from the best one.`;
  }

  function showBelief(beliefs) {
    const readOff = probe && step.item !== null && Array.from(belief, (_, s) => {
      let sum = probe.bias[s];
      for (let k = 0; k < d; k++) sum += step.h[k] * probe.weight[k * S + s];
      return sum;
    });
    moods.forEach(({ s, exact, readOff: own, text, node }) => {
      const reach = (value) => 68 + 80 * clamp(value, 0, 1);
      exact.setAttribute("d", wedge(s, 68, reach(belief[s]), -0.42, probe ? 0 : 0.42));
      own.setAttribute("d", readOff ? wedge(s, 68, reach(readOff[s]), 0, 0.42) : "");
      text.setAttribute("class", s === mood ? "rb-true" : "");
      node.setAttribute("aria-label", `Mood ${letter(s)}, ${percent(belief[s])}`
        + `${readOff ? `, read ${percent(readOff[s])}` : ""}. Click an item of it.`);
    });
    const centre = (values) => [0, 1].map((axis) => values.reduce((sum, value, s) => sum + value * point(s, 44)[axis], 0)
      .toFixed(1));
    const path = beliefs.slice(-7);
    trail.setAttribute("d", `M${path.map(centre).join("L")}`);
    [belief, readOff].forEach((values, i) => {
      dots[i].style.visibility = values ? "visible" : "hidden";
      if (values) dots[i].setAttribute("transform", `translate(${centre(values)})`);
    });
  }

  function showLists() {
    const both = orders.map((each) => each.slice(0, MOST));
    lists.forEach(({ rows }, which) => rows.forEach(({ node, name, share, bar }, k) => {
      const i = both[which][k], value = [p, best][which][i];
      node.dataset.item = i;
      node.classList.toggle("rb-both", both[1 - which].includes(i));
      name.replaceChildren(names[i], html("small", {}, tag(i)));
      share.textContent = `${(100 * value).toFixed(1)} %`;
      bar.style.width = `${Math.min(100 * value / widest, 100)}%`;
    }));
  }

  function showUnit() {
    const { map, unit: k } = pick, key = MAPS[map][0], W = net.weight_ih, U = net.weight_hh, started = step.item !== null;
    maps.forEach(({ frameOfPick, node, label }, m) => {
      frameOfPick.setAttribute("transform", `translate(${(k % side) * cell} ${Math.floor(k / side) * cell})`);
      frameOfPick.style.visibility = m === map ? "visible" : "hidden";
      node.setAttribute("aria-valuenow", k + 1);
      node.setAttribute("aria-valuetext", `${label} of unit ${k + 1}: ${two({ ...step, x: rowOf() }[MAPS[m][0]][k])}`);
    });
    function rowOf() { return started ? net.output.subarray(step.item * d, (step.item + 1) * d) : zeros(); }
    const x = rowOf(), swap = fault === "swapped", gate = { r: swap ? 1 : 0, z: swap ? 0 : 1, candidate: 2 }[key];
    const g = gate === undefined || !started ? null : gate * d + k; // the row of the weights behind this number
    const inside = key === "candidate" && fault === "reset inside";
    const past = inside ? step.before.map((value, j) => value * step.r[j]) : step.before;
    const products = (weights, values) => Array.from(values, (value, j) => weights[g * d + j] * value);
    const parts = g === null ? [] : [...products(W, x), ...products(U, past)];
    const sum = (from) => parts.slice(from, from + d).reduce((a, b) => a + b, 0);
    const [own, recurrent] = g === null ? [0, 0] : [sum(0), sum(d)];
    const value = two({ ...step, x }[key][k]), u = k + 1, bias = (name) => net[name][g];
    const inner = () => `${two(bias("bias_ih") + bias("bias_hh"))} ${signed(own)} ${signed(recurrent)}`;
    const times = () => `${two(step.r[k])} · ${factor(bias("bias_hh") + recurrent)}`;
    const kept = `${two(step.z[k])} · ${factor(step.before[k])} + ${two(1 - step.z[k])} · ${factor(step.candidate[k])}`;
    [formula.textContent, legend.textContent] = !started ? ["Nothing has been read yet.", ""] : {
      x: () => [`x[${u}] = ${value}`, "a number of the item's row in the table, which is its input and its output too"],
      r: () => [`r[${u}] = σ(${inner()}) = ${value}`,
        "bias, from the item, from the state before: how much of the state the candidate may see"],
      z: () => [`z[${u}] = σ(${inner()}) = ${value}`,
        "bias, from the item, from the state before: the share of the state that is kept"],
      candidate: () => (inside ? [`n[${u}] = tanh(${inner()}) = ${value}`,
        "bias, from the item, from the state that the reset gate has thinned"]
        : [`n[${u}] = tanh(${two(bias("bias_ih"))} ${signed(own)} + ${times()}) = ${value}`,
          "bias, from the item, and reset gate times what comes from the state before"]),
      h: () => [`h[${u}] = ${kept} = ${value}`, "update gate times the state before, and the rest of the candidate"],
    }[key]();
    const largest = parts.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9), j = pick.term;
    const shape = (from, to) => parts.slice(from, to)
      .map((part, at) => `M${4 * (from + at)} 0v${(-30 * part / largest).toFixed(1)}h3V0z`).join("");
    [[0, d], [d, 2 * d], [j, j + 1]].forEach(([from, to], i) => bars[i].setAttribute("d", shape(from, to)));
    term.show(j);
    term.input.disabled = g === null;
    const [from, at, weights, values] = j < d ? ["x", j, W, x] : [inside ? "(r ⊙ h)" : "h", j - d, U, past];
    const name = `${j < d ? "W" : "U"}[${u}, ${at + 1}] · ${from}[${at + 1}]`;
    product.textContent = g === null ? "This number has no row of weights behind it."
      : `${name} = ${two(weights[g * d + at])} · ${factor(values[at])} = ${two(parts[j])}`;
  }

  function showCosts() {
    costRows.forEach(({ key, bar, sum, node }) => {
      const recall = costs.get(key === "now" ? fault : key);
      node.classList.toggle("rb-off", key === "now" && !fault);
      bar.style.width = `${100 * (recall ?? 0)}%`;
      sum.textContent = recall == null ? "…" : recall.toFixed(3);
    });
  }

  function broken() {
    fault = model.get("fault");
    judge(fault);
    show();
  }
  model.on("change:clicks", show);
  model.on("change:fault", broken);
  show();
  const giveUp = whenNear(el, () => ["last", "best", "", fault].forEach(judge));
  return () => {
    giveUp();
    clearTimeout(judging);
    model.off("change:clicks", show);
    model.off("change:fault", broken);
  };
}

export default { render };
