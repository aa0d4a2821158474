// What an item's ratings tell of its quality, and what the words of their reviews add, as they are read in turn.

const NAMES = ["ratings alone", "with the reviews"]; // the two readers, in the order of all that is synchronised
const fixed = (value, digits = 2) => { // no −0.00
  const rounded = Math.round(value * 10 ** digits) / 10 ** digits + 0;
  return rounded.toFixed(digits).replace("-", "−");
};
const key = (icon, text) => html("span", {}, icon, text);
const heading = (...text) => html("p", { class: "rb-heading" }, ...text);
const picture = () => svg("svg", { role: "img" });

/** A table; fill(rows) with rows of cells, the first the row's head, the last ones numbers. */
function table(columns, n_numbers) {
  const body = html("tbody");
  const name = (i) => (i < columns.length - n_numbers ? {} : { class: "rb-number" });
  const node = html("table", {}, html("thead", {}, html("tr", {}, ...columns.map((column, i) =>
    html("th", { scope: "col", ...name(i) }, column)))), body);
  const row = ([head, ...cells]) => html("tr", {}, html("th", { scope: "row" }, ...[head].flat()),
    ...cells.map((cell, i) => html("td", name(i + 1), cell)));
  return { node, fill: (rows) => body.replaceChildren(...rows.map(row)) };
}

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [items, quality, noise, reviews, known, densities, qualities] =
    ["items", "quality", "noise", "reviews", "known", "densities", "qualities"].map((name) => model.get(name));
  const put = (name, value) => { model.set(name, value); model.save_changes(); };

  const select = html("select", { "aria-label": "item", onchange: () => put("item", select.selectedIndex) },
    ...items.map((name) => html("option", {}, name)));
  const read = slider({ label: "reviews read", min: 0, max: 1, oninput: (v) => put("step", v),
    format: (v) => `${v} of ${reviews[model.get("item")].length}` });
  const [density, curve] = [picture(), picture()];
  const figures = table(["quality told by", "mean", "sd", "RMSE"], 3);
  const texts = table(["review", "by", "rating"], 1);
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite" });
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "What the text bought" },
      html("label", { class: "rb-select" }, html("span", {}, "item"), select), read.node),
    html("div", { class: "rb-panels" },
      html("div", {}, heading("What is known of the quality"), html("div", {}, density),
        html("p", { class: "rb-key" }, ...NAMES.map((name, i) => key(swatch(i), name)),
          key(svg("svg", { class: "rb-swatch", "aria-hidden": "true", style: "width: 6px" },
            svg("line", { class: "rb-axis", x1: 3, x2: 3, y1: 0, y2: 12 })), "the true quality"))),
      html("div", {}, heading("RMSE expected of the next rating"), html("div", {}, curve),
        html("p", { class: "rb-key" }, key(swatch("rule"), "if the quality were known")), figures.node)),
    html("div", { class: "rb-panels" }, html("div", {}, heading("Read so far, the latest first"),
      html("div", { class: "rb-scroll rb-rows", tabindex: 0, role: "region", "aria-label": "reviews read so far" },
        texts.node))),
    status);

  function draw() {
    const item = model.get("item");
    const n = reviews[item].length;
    const step = clamp(model.get("step"), 0, n);
    select.selectedIndex = item;
    read.input.max = n;
    read.show(step);
    const now = known[item][step];
    const errors = NAMES.map((_, i) => known[item].map((both, k) => [k, both[i][2]]));

    chart(density, { height: 280, cursor: quality[item],
      x: { domain: [qualities[0], qualities.at(-1)], label: "quality" },
      y: { domain: [0, 1.08 * Math.max(...densities[item].flat(2))], label: "density" },
      lines: densities[item][step].map((values, i) =>
        ({ style: i, points: values.map((v, k) => [qualities[k], v]) })) });
    density.setAttribute("aria-label", `Densities of the quality of ${items[item]}, whose true value is `
      + `${fixed(quality[item])}, after ${step} of ${n} reviews: `
      + list(NAMES.map((name, i) => `${name}, a hump about ${fixed(now[i][0])} of width ${fixed(now[i][1])}`)));
    const most = errors[0][0][1];
    chart(curve, { height: 170, cursor: step, x: { domain: [0, Math.max(n, 3)], label: "reviews read" },
      y: { domain: [noise - 0.1 * (most - noise), most + 0.05 * (most - noise)], label: "RMSE" },
      lines: errors.map((points, i) => ({ style: i, points })),
      dots: errors.map((points, i) => ({ x: step, y: points[step][1], style: i })),
      rules: [{ y: noise, label: "" }] });
    curve.setAttribute("aria-label", `RMSE expected of the next rating of ${items[item]} after 0 to ${n} reviews: `
      + list(NAMES.map((name, i) => `${name}, from ${fixed(most, 3)} to ${fixed(errors[i][n][1], 3)}`)));
    figures.fill(NAMES.map((name, i) => [[swatch(i), name], fixed(now[i][0]), fixed(now[i][1]), fixed(now[i][2], 3)]));
    texts.fill(reviews[item].slice(0, step).reverse().map(([user, rating, text]) => [text, user, fixed(rating)]));
    status.textContent = `${items[item]} after ${step} of ${n} reviews, of true quality ${fixed(quality[item])}: `
      + `${list(NAMES.map((name, i) => `${name} ${fixed(now[i][0])} ± ${fixed(now[i][1])}`))}. `
      + `RMSE expected of the next rating: ${list(NAMES.map((name, i) => `${fixed(now[i][2], 3)} ${name}`))}.`;
  }

  return follow(model, el, ["item", "step"], draw);
}

export default { render };
