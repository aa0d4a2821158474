// Gradient norm against distance: measured curves from the package, and radius ** distance beside them.

const CELL_NAMES = { rnn: "vanilla RNN", lstm: "LSTM", gru: "GRU" };
const FLOOR = 1e-12; // bottom of the chart

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [radii, lengths, norms] = ["radii", "lengths", "norms"].map((key) => model.get(key));
  const names = Object.keys(norms);
  const put = (key, value) => { model.set(key, value); model.save_changes(); };
  const curve = (cell) => norms[cell][lengths.indexOf(model.get("length"))][radii.indexOf(model.get("radius"))];

  const radius = slider({ label: "spectral radius", min: 0, max: radii.length - 1,
    format: (i) => String(radii[i]), oninput: (i) => put("radius", radii[i]) });
  const length = slider({ label: "sequence length", min: 0, max: lengths.length - 1,
    format: (i) => String(lengths[i]), oninput: (i) => put("length", lengths[i]) });
  const boxes = names.map((cell) => html("input", { type: "checkbox", value: cell,
    onchange: () => put("cells", names.filter((_, i) => boxes[i].checked)) }));
  const frame = svg("svg", { role: "img" });
  const body = html("tbody");
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite" });
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "Gradient-flow explorer" }, radius.node, length.node,
      html("fieldset", { class: "rb-choices" }, html("legend", {}, "cells"),
        ...names.map((cell, i) => html("label", {}, boxes[i], CELL_NAMES[cell])))),
    html("div", {}, frame),
    html("div", { class: "rb-scroll" }, html("table", {},
      html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "gradient norm"),
        ...["1 step back", "halfway", "at the start"].map((t) => html("th", { scope: "col", class: "rb-number" }, t)))),
      body)),
    status);

  function draw() {
    const [rho, n, shown] = [model.get("radius"), model.get("length"), model.get("cells")];
    radius.show(radii.indexOf(rho));
    length.show(lengths.indexOf(n));
    boxes.forEach((box) => { box.checked = shown.includes(box.value); });
    const theory = Array.from({ length: n }, (_, k) => rho ** k);
    const series = [...names.map((cell, i) => ({ name: CELL_NAMES[cell], values: curve(cell), style: i, cell }))
      .filter((s) => shown.includes(s.cell)), { name: "radius ** distance", values: theory, style: "rule" }];
    chart(frame, { height: 300, x: { domain: [0, n - 1], label: "distance: steps before the loss" },
      y: { domain: [FLOOR, 1e6], label: "gradient norm (log scale)", log: true },
      lines: series.map((s) => ({ style: s.style, points: s.values.map((v, k) => [k, v]) })) });
    const marks = [1, Math.floor((n - 1) / 2), n - 1];
    body.replaceChildren(...series.map((s) => html("tr", {},
      html("th", { scope: "row" }, swatch(s.style), s.name),
      ...marks.map((k) => html("td", { class: "rb-number", "data-value": s.values[k] }, number(s.values[k]))))));
    const word = (v) => (v < 1e-3 ? "vanished" : v < 0.5 ? "faded" : v <= 2 ? "kept" : "grown");
    const ends = series.filter((s) => s.cell)
      .map((s) => `${number(s.values[n - 1])} through the ${s.name} (${word(s.values[n - 1])})`);
    status.textContent = `Spectral radius ${rho}: of a gradient of norm 1 at the loss, ${list(ends) || "no cell is chosen;"}`
      + `${ends.length ? ` arrives ${n - 1} steps earlier.` : ""}`;
    frame.setAttribute("aria-label", `Gradient norm by distance on a log scale. ${status.textContent}`);
  }

  const stop = onWidth(el, draw);
  const keys = ["radius", "length", "cells"].map((key) => `change:${key}`);
  keys.forEach((key) => model.on(key, draw));
  return () => { stop(); keys.forEach((key) => model.off(key, draw)); };
}

export default { render };
