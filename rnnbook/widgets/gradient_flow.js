// A gradient on its way back from the loss: norms measured by the package, beside ρᵏ, ρ the spectral radius.

const CELL_NAMES = { rnn: "vanilla RNN", lstm: "LSTM", gru: "GRU" };
const [FLOOR, CEILING] = [1e-12, 1e6]; // of the chart
const [HEAD, ROW] = [16, 36]; // pixels: above the chains, and for each of them

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [radii, biases, norms] = ["radii", "biases", "norms"].map((key) => model.get(key));
  const names = Object.keys(norms), oldest = norms.rnn[0][0].length - 1;
  const put = (key, value) => { model.set(key, value); model.save_changes(); };
  const level = (norm) => clamp(Math.log(norm / FLOOR) / Math.log(CEILING / FLOOR), 0, 1); // how high on the chart
  const open = (bias) => (1 / (1 + Math.exp(-bias))).toFixed(2);

  const radius = slider({ label: "spectral radius ρ", min: 0, max: radii.length - 1,
    format: (i) => String(radii[i]), oninput: (i) => put("radius", radii[i]) });
  const bias = slider({ label: "gate bias", min: 0, max: biases.length - 1,
    format: (i) => String(biases[i]).replace("-", "−"), oninput: (i) => put("bias", biases[i]) });
  const place = slider({ label: "steps back", min: -oldest, max: 0, format: (v) => String(-v),
    oninput: (v) => { send.stop(); put("pulse", -v); } });
  const boxes = names.map((cell) => html("input", { type: "checkbox", value: cell,
    onchange: () => put("cells", names.filter((_, i) => boxes[i].checked)) }));
  const [chains, frame] = ["The unrolled cells and the pulse, as in the text below",
    "Gradient norm against distance, as in the table"].map((text) => svg("svg", { role: "img", "aria-label": text }));
  const columns = ["1 back", "halfway", "start"]
    .map((text) => html("th", { scope: "col", class: "rb-number", style: "white-space: nowrap" }, text));
  const marks = [1, Math.floor(oldest / 2), oldest];
  const cells = [...names, "theory"].map(() => marks.map(() => html("td", { class: "rb-number" })));
  const heads = [...names.map((cell, i) => html("label", {}, boxes[i], swatch(i), CELL_NAMES[cell])),
    html("span", {}, swatch("rule"), "ρᵏ")];
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite",
    style: "--rb-lines: 3; --rb-narrow: 7" });
  const send = runner({ name: "Send a pulse", status, get: () => model.get("pulse"), last: () => oldest,
    set: (k) => put("pulse", k) });
  el.append(
    html("p", { class: "rb-heading" }, "Send a pulse back from the loss. Then drag the gate bias and send another."),
    html("div", { class: "rb-controls", role: "group", "aria-label": "Gradient-flow explorer" },
      place.node, html("div", { class: "rb-buttons" }, send.node), bias.node, radius.node),
    html("div", {}, chains), html("div", {}, frame),
    html("div", { class: "rb-scroll" }, html("table", {},
      html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "norm"), ...columns)),
      html("tbody", {}, ...heads.map((head, i) => html("tr", {}, html("th", { scope: "row" }, head), ...cells[i]))))),
    status);

  let series, moving; // what is drawn, and the parts of it that move with the pulse

  /** Curves, table, and the unrolled network of each cell over the chart's x axis, all its cells tinted by their norms. */
  function draw() {
    const [rho, b, chosen] = ["radius", "bias", "cells"].map((key) => model.get(key));
    const [i, j] = [radii.indexOf(rho), biases.indexOf(b)];
    radius.show(i);
    bias.show(j);
    boxes.forEach((box) => { box.checked = chosen.includes(box.value); });
    series = [...names.map((cell, k) => ({ cell, name: CELL_NAMES[cell], style: k, shown: chosen.includes(cell),
      values: norms[cell][cell === "rnn" ? 0 : j][i] })),
    { name: "ρᵏ", values: Array.from({ length: oldest + 1 }, (_, k) => rho ** k), style: "rule", shown: true }];
    const { left, top, w, h } = chart(frame, { height: 250,
      x: { domain: [oldest, 0], ticks: ticks([0, oldest], false, 6), label: "distance k: steps before the loss" },
      y: { domain: [FLOOR, CEILING], label: "gradient norm (log scale)", log: true },
      lines: series.filter(({ shown }) => shown).map((s) => ({ style: s.style, points: s.values.map((v, k) => [k, v]) })) });
    const cursor = svg("line", { class: "rb-axis", y1: top, y2: top + h });
    frame.append(cursor);

    const x = (k) => left + w * (1 - k / oldest), wide = clamp(w / oldest - 2, 2, 14);
    const height = HEAD + ROW * names.length + 10;
    const rows = series.slice(0, -1).map(({ cell, values, style: c, shown }, row) => {
      const y = HEAD + ROW * (row + 0.5) + 6;
      const square = (k) => `M${(x(k) - wide / 2).toFixed(1)} ${y - 6}h${wide.toFixed(1)}v12h-${wide.toFixed(1)}z`;
      const passed = values.map((norm, k) => svg("path", { d: square(k),
        style: `fill: var(--rb-c${c}); fill-opacity: ${(0.7 * level(norm)).toFixed(3)}` }));
      const disc = svg("circle", { class: "rb-pulse", style: colour(c), cy: y });
      const norm = svg("text", { y: y - 13, "text-anchor": "middle" });
      return { values, passed, disc, norm, node: svg("g", {},
        svg("text", { x: 0, y: y + 4, class: shown ? "" : "rb-muted" }, cell.toUpperCase()),
        svg("line", { class: "rb-axis", x1: left, x2: left + w, y1: y, y2: y }),
        svg("path", { class: "rb-unrolled", d: values.map((_, k) => square(k)).join("") }),
        ...(shown ? [...passed, disc, norm] : [])) };
    });
    chains.setAttribute("height", height);
    chains.setAttribute("viewBox", `0 0 ${left + w + 12} ${height}`);
    chains.replaceChildren(svg("text", { x: left, y: 10, class: "rb-muted" }, "the past"),
      svg("text", { x: left + w, y: 10, "text-anchor": "end", class: "rb-muted" }, "the loss"),
      ...rows.map(({ node }) => node));
    moving = { rows, cursor, x };

    series.forEach(({ values, shown }, row) => marks.forEach((k, column) => {
      const cell = cells[row][column];
      cell.textContent = shown ? number(values[k], 2) : "–";
      if (shown) cell.dataset.value = values[k];
      else delete cell.dataset.value;
    }));
    move();
  }

  function move() {
    const k = model.get("pulse"), { rows, cursor, x } = moving, at = x(k).toFixed(2);
    place.show(-k);
    ["x1", "x2"].forEach((end) => cursor.setAttribute(end, at));
    rows.forEach(({ values, passed, disc, norm }) => {
      passed.forEach((square, d) => square.setAttribute("visibility", d <= k ? "visible" : "hidden"));
      disc.setAttribute("cx", at);
      disc.setAttribute("r", (1 + 10 * level(values[k])).toFixed(2));
      norm.setAttribute("x", at);
      norm.textContent = number(values[k]);
    });
    const word = (v) => (v < 1e-3 ? "vanished" : v < 0.5 ? "faded" : v <= 2 ? "kept" : "grown");
    const far = k || oldest;
    const ends = series.filter(({ cell, shown }) => cell && shown)
      .map((s) => `${number(s.values[far])} through the ${s.name} (${word(s.values[far])})`);
    const setting = `Spectral radius ${model.get("radius")}, gates at ${open(model.get("bias"))}`;
    status.textContent = !ends.length ? `${setting}; no cell is chosen.`
      : `${setting}: of a gradient of norm 1 at the loss, ${list(ends)} arrives ${far} `
        + `${far === 1 ? "step" : "steps"} earlier.`;
  }

  const ends = [follow(model, el, ["radius", "bias", "cells"], draw), follow(model, el, ["pulse"], move)];
  return () => { ends.forEach((end) => end()); send.stop(); };
}

export default { render };
