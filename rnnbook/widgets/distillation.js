// A student's soft labels (1 − λ) 1ⱼ + λ T on a small chain, computed here as in rnnbook.worlds.FutureChain.

const TEACHERS = { future: "sees the future alone", both: "sees past and future" };
const LINES = [3, 5]; // the styles of the teachers' lines: 0 to 2 are the bars'
const sum = (values) => values.reduce((a, b) => a + b, 0);
const dot = (a, b) => sum(a.map((v, j) => v * b[j]));
const clean = (v) => (Math.abs(v) < 1e-12 ? 0 : v); // rounding errors are zeros

/** What a teacher teaches about item i: its mean, a student's mean and error for λ and n, and the best λ. */
export function lesson(P, stationary, i, sees) {
  const truth = P[i];
  const joint = P.map((_, k) => truth.map((p, j) => p * P[j][k])); // [k][j]: P(j, k | i)
  const future = joint.map(sum); // P(k | i)
  const teacher = joint.map((row, k) => row.map((p, j) =>
    (sees === "both" ? p / future[k] : stationary[j] * P[j][k] / stationary[k])));
  const mean = truth.map((_, j) => dot(future, teacher.map((row) => row[j])));
  const cross = sum(joint.map((row, k) => dot(row, teacher[k])));
  const square = dot(future, teacher.map((row) => dot(row, row)));
  const student = (strength) => truth.map((p, j) => (1 - strength) * p + strength * mean[j]);
  const error = (strength, n) => {
    const q = student(strength);
    const bias = sum(q.map((v, j) => (v - truth[j]) ** 2));
    const label = (1 - strength) ** 2 + 2 * strength * (1 - strength) * cross + strength ** 2 * square;
    const variance = (label - dot(q, q)) / n;
    return { bias, variance, total: bias + variance };
  };
  const best = (n) => { // the error is a parabola in λ
    const [start, middle, end] = [0, 0.5, 1].map((strength) => error(strength, n).total);
    return clamp((3 * start - 4 * middle + end) / (4 * (start - 2 * middle + end)), 0, 1);
  };
  return { truth, mean, student, error, best };
}

/** A bar told by its filling as well as by its colour: full, striped or hollow. */
function bar(i, x, y, width, height) {
  const box = { x: x + 0.75, y, width: width - 1.5, height };
  const stripes = { x1: x + width / 2, x2: x + width / 2, y1: y + height, y2: y, class: "rb-curve",
    style: `stroke-width: ${width - 1.5}px; stroke-dasharray: 2 2` };
  return svg("g", { class: "rb-chip", style: colour(i) },
    svg("rect", i ? box : { ...box, style: "fill: var(--c)" }), i === 1 ? svg("line", stripes) : "");
}

/** Grouped bars in the SVG element `frame`: rows [series][item], each item's name under its group. */
function bars(frame, rows, top, label, names) {
  const width = Math.max(frame.parentNode.clientWidth, 200); // 0 before the page is laid out
  const [height, left, upper, lower] = [240, 34, 24, 20]; // pixels
  const [h, step] = [height - upper - lower, (width - left) / rows[0].length];
  const y = (v) => upper + h * (1 - v / top);
  const across = (v, name) => svg("line", { class: name, x1: left, x2: width, y1: y(v), y2: y(v) });
  const wide = step * 0.8 / rows.length;
  frame.setAttribute("height", height);
  frame.setAttribute("viewBox", `0 0 ${width} ${height}`);
  frame.replaceChildren(
    svg("text", { x: 0, y: 12, class: "rb-muted" }, label),
    ...ticks([0, top], false, 5).flatMap(([v, text]) => [across(v, "rb-grid"),
      svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end", class: "rb-muted" }, text)]),
    ...rows.flatMap((row, i) => row.map((v, j) =>
      bar(i, left + step * (j + 0.1) + wide * i, y(v), wide, h * v / top))),
    ...rows[0].map((_, j) => svg("text", { x: left + step * (j + 0.5), y: height - 4, "text-anchor": "middle",
      class: "rb-muted" }, names[j])),
    across(0, "rb-axis"));
}

/** The share of bias² in the error for each count, a column each: bias² full, below, and variance on top of it. */
function columns(frame, shares, counts, chosen) {
  const width = Math.max(frame.parentNode.clientWidth, 200), [height, left, upper, lower] = [130, 44, 6, 20]; // pixels
  const [h, step] = [height - upper - lower, (width - left) / counts.length], y = (v) => upper + h * (1 - v);
  frame.setAttribute("height", height);
  frame.setAttribute("viewBox", `0 0 ${width} ${height}`);
  frame.replaceChildren(
    ...[0, 0.5, 1].flatMap((v) => [svg("line", { class: "rb-grid", x1: left, x2: width, y1: y(v), y2: y(v) }),
      svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end", class: "rb-muted" }, `${100 * v} %`)]),
    ...shares.flatMap((share, k) => [bar(0, left + step * k, y(share), step, h * share),
      bar(1, left + step * k, upper, step, h * (1 - share))]),
    svg("rect", { x: left + step * chosen, y: upper - 2, width: step, height: h + 4, class: "rb-chosen-column" }),
    ...counts.map((n, k) => [n, k]).filter(([n]) => /^10*$/.test(n)).map(([n, k]) =>
      svg("text", { x: left + step * (k + 0.5), y: height - 4, "text-anchor": k === counts.length - 1 ? "end" : "middle",
        class: "rb-muted" }, n)));
}

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [P, stationary, counts, names] = ["transition", "stationary", "counts", "names"].map((key) => model.get(key));
  const put = (key, value) => { model.set(key, value); model.save_changes(); };
  const items = [...P.keys()];
  const lessons = Object.keys(TEACHERS).map((sees) => items.map((i) => lesson(P, stationary, i, sees)));
  const top = Math.max(...lessons.flat().flatMap(({ truth, mean }) => [...truth, ...mean]));

  const radios = (key, values) => {
    const group = `${key}-${Math.random()}`; // the radio buttons of two widgets must not join
    return values.map((value) =>
      html("input", { type: "radio", name: group, value, onchange: () => put(key, value) }));
  };
  const choices = (legend, inputs, names) => html("fieldset", { class: "rb-choices" },
    html("legend", {}, legend), ...inputs.map((input, i) => html("label", {}, input, names[i])));
  const context = radios("context", items);
  const sees = radios("sees", Object.keys(TEACHERS));
  const strength = slider({ label: "strength λ", min: 0, max: 1, step: 0.01,
    format: (v) => v.toFixed(2), oninput: (v) => put("strength", v) });
  const times = slider({ label: "times seen, n", min: 0, max: counts.length - 1,
    format: (i) => String(counts[i]), oninput: (i) => put("n", counts[i]) });

  const column = (...text) => html("th", { scope: "col", class: "rb-number" }, ...text);
  const cells = (rows, columns) => rows.map(() => columns.map(() => html("td", { class: "rb-number" })));
  const table = (first, columns, names, values) => html("div", { class: "rb-scroll" }, html("table", {},
    html("thead", {}, html("tr", {}, html("th", { scope: "col" }, first), ...columns)),
    html("tbody", {}, ...names.map((name, i) => html("tr", {}, html("th", { scope: "row" }, ...name),
      ...values[i])))));
  const fill = (rows, values, text) => rows.forEach((row, i) => row.forEach((td, j) => {
    td.textContent = text(clean(values[i][j]));
    td.setAttribute("data-value", values[i][j]);
  }));
  const key = (i) => svg("svg", { class: "rb-swatch", "aria-hidden": "true", style: "width: 14px" },
    bar(i, 0, 1, 14, 10));
  const says = cells(["truth", "teacher", "student"], items);
  const errors = cells(["bias", "variance", "total", "best"], lessons);
  const [left, right] = ["Distributions over the next item", "Error against λ, for both teachers"]
    .map((text) => svg("svg", { role: "img", "aria-label": `${text}; the table has the values` }));
  const split = svg("svg", { role: "img", "aria-label": "The shares of bias² and variance for each n" });
  const parts = ["bias²", "variance"].map((name, i) => {
    const [fill, told] = [html("div", { class: "rb-part" }), html("span", { class: "rb-muted" })];
    return { fill, told, node: html("div", { class: "rb-split", style: colour(i) },
      html("p", {}, key(i), `${name} `, told), html("div", { class: i ? "rb-striped" : "" }, fill)) };
  });
  const heading = html("p", { class: "rb-heading" });
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite",
    style: "--rb-lines: 4; --rb-narrow: 7" });
  el.append(
    html("p", { class: "rb-heading" }, "Drag n: which part of the student’s error is left in the end?"),
    html("div", { class: "rb-controls", role: "group", "aria-label": "Distillation explorer" },
      choices("last click", context, names), choices("the teacher", sees, Object.values(TEACHERS)),
      times.node, strength.node),
    html("div", { class: "rb-panels" },
      html("div", {}, html("p", { class: "rb-heading" }, "Of the error, this is"), ...parts.map(({ node }) => node)),
      html("div", {}, html("p", { class: "rb-heading" }, "And for every n, 1 to 1000"), html("div", {}, split))),
    html("div", { class: "rb-panels" },
      html("div", {}, heading, html("div", {}, left),
        table("mean", names.map((name) => column(name)),
          ["truth", "teacher", "student"].map((name, i) => [key(i), name]), says)),
      html("div", {}, html("p", { class: "rb-heading" }, "The student’s error; on the axis, the best λ"),
        html("div", {}, right),
        table("teacher sees", ["future", "both"].map((name, i) => column(swatch(LINES[i]), name)),
          [["bias²"], ["variance / n"], ["error"], ["best λ"]], errors))),
    status);

  function draw() {
    const [i, share, n, teacher] = ["context", "strength", "n", "sees"].map((name) => model.get(name));
    const at = Object.keys(TEACHERS).indexOf(teacher);
    const both = lessons.map((each) => each[i]);
    strength.show(share);
    times.show(counts.indexOf(n));
    context.forEach((radio, j) => { radio.checked = j === i; });
    sees.forEach((radio) => { radio.checked = radio.value === teacher; });
    heading.textContent = `What comes after ${names[i]}`;

    const { truth, mean, student } = both[at];
    const rows = [truth, mean, student(share)];
    bars(left, rows, top, "probability", names);
    fill(says, rows, (v) => v.toFixed(2));

    const now = both.map(({ error }) => error(share, n));
    const best = both.map((each) => each.best(n));
    fill(errors, [...["bias", "variance", "total"].map((part) => now.map((e) => e[part])), best],
      (v) => number(v, 2));
    const grid = Array.from({ length: 101 }, (_, k) => k / 100);
    const alone = both[at].error(0, n).total; // the same for every teacher
    chart(right, { height: 240, cursor: share, rules: [{ y: 1, label: "" }], x: { domain: [0, 1], label: "λ" },
      y: { domain: [0, 1.5], label: "squared error; 1 is that without a teacher" },
      lines: both.map(({ error }, k) => ({ style: LINES[k], strong: k === at,
        points: grid.map((v) => [v, error(v, n).total / alone]) })),
      dots: [...best.map((v, k) => ({ x: v, y: 0, style: LINES[k] })),
        { x: share, y: now[at].total / alone, style: LINES[at] }] });

    const shareAt = (visits) => { const e = both[at].error(share, visits); return clean(e.bias) / e.total; };
    columns(split, counts.map(shareAt), counts, counts.indexOf(n));
    [shareAt(n), 1 - shareAt(n)].forEach((part, k) => {
      parts[k].fill.style.width = `${100 * part}%`;
      parts[k].fill.dataset.value = part;
      parts[k].told.textContent = `${number([clean(now[at].bias), now[at].variance][k], 2)}, ${Math.round(100 * part)} %`;
    });
    const apart = clean(sum(mean.map((v, j) => Math.abs(v - truth[j]))) / 2);
    const [{ bias, variance, total }, least] = [now[at], both[at].error(best[at], n).total];
    status.textContent = `After ${names[i]}, the mean of a teacher who ${TEACHERS[teacher]} is `
      + `${number(apart)} (total variation) from the truth. A student with λ = ${share.toFixed(2)} who saw `
      + `${names[i]} ${n === 1 ? "once" : `${n} times`}: bias² ${number(clean(bias))} + variance `
      + `${number(variance)} = error ${number(total)}, ${number(total / alone)} of that without a teacher. `
      + `Best λ: ${number(best[at], 2)}, error ${number(least)}.`;
  }

  return follow(model, el, ["context", "strength", "n", "sees"], draw);
}

export default { render };
