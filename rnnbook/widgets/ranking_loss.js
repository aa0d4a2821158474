// Ranking losses of one target score and its negatives' scores, computed here as in rnnbook.gru4rec.LOSSES.

const sum = (values) => values.reduce((a, b) => a + b, 0);
const mean = (values) => sum(values) / values.length;
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))); // −log σ(−x), for any x
const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const slope = (x) => sigmoid(x) * sigmoid(-x); // σ′
function logsumexp(values) {
  const top = Math.max(...values);
  return top + Math.log(sum(values.map((v) => Math.exp(v - top))));
}
const softmax = (values) => { const z = logsumexp(values); return values.map((v) => Math.exp(v - z)); };

/** Each: (target score t, negatives' scores n, λ) -> {loss, target: ∂L/∂t, negatives: [∂L/∂n_j]}. */
export const LOSSES = {
  "cross-entropy": (t, n) => {
    const z = logsumexp(n);
    const p = sigmoid(z - t); // the probability that is not the target's
    return { loss: softplus(z - t), target: -p, negatives: softmax(n).map((s) => s * p) };
  },
  bpr: (t, n) => ({
    loss: mean(n.map((v) => softplus(v - t))),
    target: -mean(n.map((v) => sigmoid(v - t))),
    negatives: n.map((v) => sigmoid(v - t) / n.length),
  }),
  top1: (t, n) => ({
    loss: mean(n.map((v) => sigmoid(v - t) + sigmoid(v * v))),
    target: -mean(n.map((v) => slope(v - t))),
    negatives: n.map((v) => (slope(v - t) + 2 * v * slope(v * v)) / n.length),
  }),
  "bpr-max": (t, n, lambda = 1) => {
    const s = softmax(n);
    const z = logsumexp(n);
    const logs = n.map((v) => v - z - softplus(v - t)); // log of s_j σ(t − n_j)
    const share = softmax(logs);
    const square = sum(n.map((v, j) => s[j] * v * v));
    return {
      loss: -logsumexp(logs) + lambda * square,
      target: -sum(n.map((v, j) => share[j] * sigmoid(v - t))),
      negatives: n.map((v, j) => s[j] - share[j] * sigmoid(t - v) + lambda * s[j] * (v * v - square + 2 * v)),
    };
  },
  "top1-max": (t, n) => {
    const s = softmax(n);
    const each = n.map((v) => sigmoid(v - t) + sigmoid(v * v));
    const loss = sum(each.map((e, j) => s[j] * e));
    return {
      loss, target: -sum(n.map((v, j) => s[j] * slope(v - t))),
      negatives: n.map((v, j) => s[j] * (each[j] - loss + slope(v - t) + 2 * v * slope(v * v))),
    };
  },
  pointwise: (t, n) => ({
    loss: softplus(-t) + mean(n.map(softplus)),
    target: -sigmoid(-t),
    negatives: n.map((v) => sigmoid(v) / n.length),
  }),
};

const FORMULAS = {
  "cross-entropy": "−log softmax(r̂)ᵢ",
  bpr: "−(1/N) Σⱼ log σ(r̂ᵢ − r̂ⱼ)",
  top1: "(1/N) Σⱼ [σ(r̂ⱼ − r̂ᵢ) + σ(r̂ⱼ²)]",
  "bpr-max": "−log Σⱼ sⱼ σ(r̂ᵢ − r̂ⱼ) + λ Σⱼ sⱼ r̂ⱼ²",
  "top1-max": "Σⱼ sⱼ [σ(r̂ⱼ − r̂ᵢ) + σ(r̂ⱼ²)]",
  pointwise: "−log σ(r̂ᵢ) − (1/N) Σⱼ log σ(−r̂ⱼ)",
};
const NAMES = Object.keys(LOSSES);
const LIMIT = 6; // scores and margins reach from −LIMIT to LIMIT
const ROW = matchMedia("(pointer: coarse)").matches ? 36 : 26, ROWS = 9; // of the scores: pixels, how many have room

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const put = (key, value) => { model.set(key, value); model.save_changes(); };
  const tenth = (v) => clamp(Math.round(v * 10) / 10, -LIMIT, LIMIT);
  const signed = (v, digits = 1) => v.toFixed(digits).replace("-", "−");
  const hardest = () => Math.max(...model.get("negatives"));
  const at = (name, t) => LOSSES[name](t, model.get("negatives"), model.get("regularization"));

  const margin = slider({ label: "margin", min: -LIMIT, max: LIMIT, step: 0.1,
    format: (v) => signed(v), oninput: (m) => put("target", hardest() + m) });
  const count = slider({ label: "negatives", min: 1, max: 8, oninput: (k) => {
    const kept = model.get("negatives").slice(0, k);
    put("negatives", kept.concat(Array(k - kept.length).fill(-3))); // new ones are easy
  } });
  const start = { target: model.get("target"), negatives: model.get("negatives") };
  const move = (target, negatives) => { put("target", target); put("negatives", negatives); };
  const bounded = (v) => clamp(v, -LIMIT, LIMIT);
  function descend() { // all scores against their gradients, at a learning rate of 1
    const now = at(model.get("loss"), model.get("target"));
    move(bounded(model.get("target") - now.target), model.get("negatives").map((v, j) => bounded(v - now.negatives[j])));
  }
  const button = (text, onclick) => html("button", { type: "button", onclick }, text);
  const ladder = svg("svg", { role: "group", "aria-label": "Scores: drag, or use the arrow keys" });
  const [lossFrame, gradientFrame] = ["Loss against margin", "Gradient on the target against margin"]
    .map((text) => svg("svg", { role: "img", "aria-label": `${text}; the table has the current values` }));
  const group = `loss-${Math.random()}`; // the radio buttons of two widgets must not join
  const radios = NAMES.map((name) =>
    html("input", { type: "radio", name: group, value: name, onchange: () => put("loss", name) }));
  const columns = [["loss"], ["∂L/∂", html("br"), "target"], ["∂L/∂", html("br"), "hardest"]] // two lines at any width
    .map((parts) => html("th", { scope: "col", class: "rb-number" }, ...parts));
  const cells = NAMES.map(() => columns.map(() => html("td", { class: "rb-number" })));
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite",
    style: "--rb-lines: 2; --rb-narrow: 5" });
  const heading = html("p", { class: "rb-heading" });
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "Ranking-loss explorer" },
      margin.node, count.node, html("div", { class: "rb-buttons" }, button("One step", descend),
        button("Start again", () => move(start.target, start.negatives)))),
    heading, html("div", {}, ladder),
    html("div", { class: "rb-scroll" }, html("table", {},
      html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "loss function"), ...columns)),
      html("tbody", {}, ...NAMES.map((name, i) => html("tr", { "data-loss": name },
        html("th", { scope: "row" }, html("label", {}, radios[i], swatch(i), lossName(name))), ...cells[i]))))),
    status,
    html("div", { class: "rb-panels" }, html("div", {}, lossFrame), html("div", {}, gradientFrame)));

  let handles = [];
  const from = 64; // pixels: the axis' start
  let span = 0; // and its length, as last drawn
  const toX = (score) => from + (score + LIMIT) / (2 * LIMIT) * span;
  const toScore = (x) => ((x - from) / span * 2 - 1) * LIMIT;

  /** A score as a slider: index −1 is the target. Made once, then moved, so that focus and a drag survive. */
  function handle(index) {
    const name = index < 0 ? "target" : `negative ${index + 1}`;
    const read = () => (index < 0 ? model.get("target") : model.get("negatives")[index]);
    const write = (score) => put(...(index < 0 ? ["target", tenth(score)]
      : ["negatives", model.get("negatives").map((v, j) => (j === index ? tenth(score) : v))]));
    const y = (index + 1) * ROW + ROW / 2;
    const halo = svg("circle", { class: "rb-halo", r: 12 });
    const arrow = svg("path", { class: "rb-arrow" });
    const shape = index < 0 ? svg("path", { class: "rb-dot", d: "M0-9L9 0L0 9L-9 0z", style: colour(0) })
      : svg("circle", { class: "rb-dot", r: 8, style: colour(1) });
    const hit = svg("circle", { r: ROW / 2, fill: "transparent" });
    const node = svg("g", { class: "rb-handle", role: "slider", tabindex: 0, "aria-label": `score of ${name}`,
      "aria-valuemin": -LIMIT, "aria-valuemax": LIMIT }, halo, arrow, shape, hit);
    node.addEventListener("pointerdown", (event) => {
      node.setPointerCapture(event.pointerId);
      node.focus();
    });
    node.addEventListener("pointermove", (event) => {
      if (!node.hasPointerCapture(event.pointerId)) return;
      write(toScore(event.clientX - ladder.getBoundingClientRect().left));
    });
    node.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: -0.1, ArrowDown: -0.1, ArrowRight: 0.1, ArrowUp: 0.1,
        PageDown: -1, PageUp: 1, Home: -2 * LIMIT, End: 2 * LIMIT };
      if (!(event.key in moves)) return;
      event.preventDefault();
      event.stopPropagation();
      write(read() + moves[event.key]);
    });
    const move = (gradient) => {
      node.setAttribute("transform", `translate(${toX(clamp(read(), -LIMIT, LIMIT))} ${y})`);
      node.setAttribute("aria-valuenow", read());
      node.setAttribute("aria-valuetext", `${signed(read())}, gradient ${number(gradient)}`);
      const way = gradient < 0 ? 1 : -1; // a step goes against the gradient
      const size = Math.min(Math.abs(gradient), 1) * 70;
      arrow.setAttribute("d", size < 1 ? "" : `M${way * 10} 0h${way * size}m0-4l${way * 6} 4l${-way * 6} 4z`);
    };
    return { node, move, y, name: index < 0 ? "target" : `neg. ${index + 1}` };
  }

  function draw_ladder(gradients) {
    if (handles.length !== gradients.negatives.length + 1) {
      handles = [-1, ...gradients.negatives.keys()].map(handle);
      ladder.replaceChildren(svg("g", { "aria-hidden": "true" }), ...handles.map((h) => h.node));
    }
    const tall = ROWS * ROW + 22;
    ladder.setAttribute("height", tall);
    ladder.firstChild.replaceChildren(...handles.flatMap((h) => [
      svg("line", { class: "rb-grid", x1: from, x2: from + span, y1: h.y, y2: h.y }),
      svg("text", { x: 0, y: h.y + 4, class: "rb-muted" }, h.name)]),
    ...[-6, -4, -2, 0, 2, 4, 6].map((v) =>
      svg("text", { x: toX(v), y: tall - 4, "text-anchor": "middle", class: "rb-muted" }, signed(v, 0))));
    handles.forEach((h, i) => h.move(i ? gradients.negatives[i - 1] : gradients.target));
  }

  function draw() {
    span = ladder.parentNode.clientWidth - 84; // once: after a change it would be laid out anew
    const [target, negatives, chosen] = [model.get("target"), model.get("negatives"), model.get("loss")];
    const [top, now] = [hardest(), at(chosen, target)];
    const m = target - top;
    margin.show(clamp(tenth(m), -LIMIT, LIMIT));
    count.show(negatives.length);
    heading.textContent = `Drag scores, or make a step. Arrows: where ${lossName(chosen)} pushes.`;
    NAMES.forEach((name, i) => {
      const r = at(name, target);
      radios[i].checked = name === chosen;
      [r.loss, r.target, r.negatives[negatives.indexOf(top)]].forEach((v, k) => {
        cells[i][k].textContent = number(v);
        cells[i][k].setAttribute("data-value", v);
      });
    });
    draw_ladder(now);
    const grid = Array.from({ length: 121 }, (_, i) => -LIMIT + i / 10);
    const x = { domain: [-LIMIT, LIMIT], label: "margin: target − hardest negative" };
    const style = NAMES.indexOf(chosen);
    const curves = NAMES.map((name, i) => ({ style: i, strong: name === chosen, values: grid.map((g) => at(name, top + g)) }))
      .sort((a, b) => a.strong - b.strong);
    const lines = (value) => curves.map(({ values, ...curve }) => (
      { ...curve, points: values.map((r, i) => [grid[i], value(r)]) }));
    const cursor = clamp(m, -LIMIT, LIMIT);
    const height = 240;
    chart(lossFrame, { height, x, y: { domain: [0, 6], label: "loss" }, cursor,
      lines: lines((r) => r.loss), dots: [{ x: cursor, y: now.loss, style }] });
    chart(gradientFrame, { height, x, y: { domain: [0, 1], label: "|∂L/∂ target|" }, cursor,
      lines: lines((r) => -r.target), dots: [{ x: cursor, y: -now.target, style }] });
    const place = m > 0 ? "above" : m < 0 ? "below" : "level with";
    status.textContent = `${lossName(chosen)}: ${FORMULAS[chosen]}. The target is ${number(Math.abs(m), 2)} ${place} `
      + `the hardest of ${negatives.length}: loss ${number(now.loss)}, `
      + `gradient on the target ${number(now.target)}.`;
  }

  return follow(model, el, ["target", "negatives", "loss"], draw);
}

export default { render };
