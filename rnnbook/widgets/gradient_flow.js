// Gradient norm against distance k: curves measured by the package, beside ρᵏ, ρ the spectral radius.

const CELL_NAMES = { rnn: "vanilla RNN", lstm: "LSTM", gru: "GRU" };
const FLOOR = 1e-12; // bottom of the chart

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [radii, lengths, norms] = ["radii", "lengths", "norms"].map((key) => model.get(key));
  const names = Object.keys(norms);
  const put = (key, value) => { model.set(key, value); model.save_changes(); };

  const radius = slider({ label: "spectral radius ρ", min: 0, max: radii.length - 1,
    format: (i) => String(radii[i]), oninput: (i) => put("radius", radii[i]) });
  const length = slider({ label: "sequence length", min: 0, max: lengths.length - 1,
    format: (i) => String(lengths[i]), oninput: (i) => put("length", lengths[i]) });
  const boxes = names.map((cell) => html("input", { type: "checkbox", value: cell,
    onchange: () => put("cells", names.filter((_, i) => boxes[i].checked)) }));
  const frame = svg("svg", { role: "img", "aria-label": "Gradient norm against distance, as in the table" });
  const columns = ["1 step back", "halfway", "at start"]
    .map((text) => html("th", { scope: "col", class: "rb-number" }, text));
  const body = html("tbody");
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite" });
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "Gradient-flow explorer" },
      radius.node, length.node, html("fieldset", { class: "rb-choices" }, html("legend", {}, "cells"),
        ...names.map((cell, i) => html("label", {}, boxes[i], CELL_NAMES[cell])))),
    html("div", {}, frame),
    html("div", { class: "rb-scroll" }, html("table", {},
      html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "gradient norm"), ...columns)), body)),
    status);

  function draw() {
    const [rho, n, shown] = [model.get("radius"), model.get("length"), model.get("cells")];
    const [i, j] = [radii.indexOf(rho), lengths.indexOf(n)];
    radius.show(i);
    length.show(j);
    boxes.forEach((box) => { box.checked = shown.includes(box.value); });
    const measured = names
      .map((cell, style) => ({ cell, name: CELL_NAMES[cell], values: norms[cell][j][i], style }))
      .filter(({ cell }) => shown.includes(cell));
    const theory = { name: "ρᵏ", values: Array.from({ length: n }, (_, k) => rho ** k), style: "rule" };
    const series = [...measured, theory];
    chart(frame, { height: 300, x: { domain: [0, n - 1], label: "distance k: steps before the loss" },
      y: { domain: [FLOOR, 1e6], label: "gradient norm (log scale)", log: true },
      lines: series.map((s) => ({ style: s.style, points: s.values.map((v, k) => [k, v]) })) });
    const marks = [1, Math.floor((n - 1) / 2), n - 1];
    const cell = (v) => html("td", { class: "rb-number", "data-value": v }, number(v));
    body.replaceChildren(...series.map((s) => html("tr", {},
      html("th", { scope: "row" }, swatch(s.style), s.name), ...marks.map((k) => cell(s.values[k])))));
    const word = (v) => (v < 1e-3 ? "vanished" : v < 0.5 ? "faded" : v <= 2 ? "kept" : "grown");
    const ends = measured
      .map((s) => `${number(s.values[n - 1])} through the ${s.name} (${word(s.values[n - 1])})`);
    status.textContent = !ends.length ? `Spectral radius ${rho}; no cell is chosen.`
      : `Spectral radius ${rho}: of a gradient of norm 1 at the loss, ${list(ends)} arrives `
        + `${n - 1} steps earlier.`;
  }

  return follow(model, el, ["radius", "length", "cells"], draw);
}

export default { render };
