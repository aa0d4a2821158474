// A race of losses: the rank of one target among its negatives, all scored by one state that each loss trains alone.

const RUNNERS = [ // [name, the engine's loss, whether it is multiplied by the number of negatives, style]
  ["BPR", "bpr", false, 1], ["BPR × N", "bpr", true, 2], ["BPR-max", "bpr-max", false, 3],
  ["cross-entropy", "cross-entropy", false, 0],
];
const RATES = { "Adagrad": 0.05, "gradient descent": 0.02 };
const [MOST, SIZE, LAST] = [2048, 32, 100]; // negatives, units of the state, steps
const [SPREAD, LOW] = [1.5, -2]; // of the negatives' scores at the start, and the target's score

/** The ranks of the target, by loss, after 0, 1, … steps: `ranks`, and advance() adds a step. */
export function newRace({ negatives, step, seed }) {
  const E = engine(), random = E.generator([seed]);
  function normals(size) { // two from two uniform numbers, after Box and Muller
    const values = new Float64Array(size);
    for (let k = 0; k < size; k += 2) {
      const [long, angle] = [Math.sqrt(-2 * Math.log(1 - random())), 2 * Math.PI * random()];
      [values[k], values[k + 1]] = [long * Math.cos(angle), long * Math.sin(angle)];
    }
    return values;
  }
  const n = negatives + 1, start = normals(SIZE), long = Math.hypot(...start);
  const state = start.map((v) => v * SPREAD / long);
  const vectors = normals(n * SIZE); // the target's is the first; with fewer negatives, the first of them are the same
  const scores = (h) => E.scores({ n, d: SIZE, output: vectors, bias: new Float64Array(n) }, h);
  const lift = (LOW - scores(state)[0]) / SPREAD ** 2; // the target's vector, moved along the state, scores LOW
  state.forEach((v, k) => { vectors[k] += lift * v; });

  const runners = RUNNERS.map(([, loss, times]) => ({ loss, factor: times ? negatives : 1, h: state.slice(),
    squares: new Float64Array(SIZE) }));
  const ranks = runners.map(({ h }) => [E.rankOf(scores(h), 0)]);
  function advance() {
    runners.forEach(({ loss, factor, h, squares }, i) => {
      const slopes = new Float64Array(n), gradient = new Float64Array(SIZE);
      E.losses[loss](scores(h), 0, slopes, 0);
      for (let j = 0, at = 0; j < n; j++)
        for (let k = 0; k < SIZE; k++, at++) gradient[k] += factor * slopes[j] * vectors[at];
      gradient.forEach((g, k) => {
        squares[k] += g * g;
        h[k] -= RATES[step] * (step === "Adagrad" ? g / Math.sqrt(squares[k] + 1e-6) : g);
      });
      ranks[i].push(E.rankOf(scores(h), 0));
    });
  }
  return { ranks, advance };
}

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const put = (key, value) => { model.set(key, value); model.save_changes(); };
  const group = `step-${Math.random()}`; // the radio buttons of two widgets must not join
  const again = (key, value) => { go.stop(); put("steps", 0); put(key, value); };
  const many = slider({ label: "negatives N", min: 3, max: Math.log2(MOST), format: (k) => whole(2 ** k),
    oninput: (k) => again("negatives", 2 ** k) });
  const radios = Object.keys(RATES).map((name) =>
    html("input", { type: "radio", name: group, value: name, onchange: () => again("step", name) }));
  const frame = svg("svg", { role: "img", "aria-label": "The target's rank against the number of steps, as in the table" });
  const marks = [0, 10, 20, 40, LAST];
  const cells = RUNNERS.map(() => marks.map(() => html("td", { class: "rb-number" })));
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite",
    style: "--rb-lines: 3; --rb-narrow: 6" });
  const go = runner({ name: "Start the race", status, get: () => model.get("steps"), last: () => LAST,
    set: (k) => put("steps", k) });
  el.append(
    html("p", { class: "rb-heading" }, "Start the race. Then take fewer negatives, or the other step, and start it again."),
    html("div", { class: "rb-controls", role: "group", "aria-label": "Race of losses" },
      many.node, html("div", { class: "rb-buttons" }, go.node),
      html("fieldset", { class: "rb-choices" }, html("legend", {}, "a step is one of"),
        ...radios.map((radio) => html("label", {}, radio, radio.value)))),
    html("div", {}, frame),
    html("div", { class: "rb-scroll" }, html("table", {},
      html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "rank after"),
        ...marks.map((k) => html("th", { scope: "col", class: "rb-number" }, `${k}`)))),
      html("tbody", {}, ...RUNNERS.map(([name, , , i], row) => html("tr", { "data-loss": name },
        html("th", { scope: "row" }, swatch(i), name), ...cells[row]))))),
    status);

  let race = null, of = ""; // the race that has been run, and its settings
  function draw() {
    const [negatives, step, seed, steps] = ["negatives", "step", "seed", "steps"].map((key) => model.get(key));
    if (of !== `${negatives} ${step}`) [race, of] = [newRace({ negatives, step, seed }), `${negatives} ${step}`];
    while (race.ranks[0].length <= steps) race.advance();
    many.show(Math.log2(negatives));
    radios.forEach((radio) => { radio.checked = radio.value === step; });
    const run = race.ranks.map((ranks) => ranks.slice(0, steps + 1));
    chart(frame, { height: 260, x: { domain: [0, LAST], label: "steps" },
      y: { domain: [0.8, MOST + 1], label: "rank of the target (log scale; 1 is best)", log: true },
      lines: RUNNERS.map(([, , , i], row) => ({ style: i, points: run[row].map((rank, k) => [k, rank]) })),
      dots: RUNNERS.map(([, , , i], row) => ({ x: steps, y: run[row][steps], style: i })) });
    cells.forEach((row, r) => row.forEach((cell, c) => {
      cell.textContent = marks[c] <= steps ? whole(run[r][marks[c]]) : "·";
    }));
    const first = (ranks) => ranks.indexOf(1);
    const told = RUNNERS.map(([name], row) => (first(run[row]) < 0 ? `${name} is at rank ${whole(run[row][steps])}`
      : `${name} reaches rank 1 after ${first(run[row])}`));
    status.textContent = steps ? `${step}, ${whole(negatives)} negatives, ${steps} steps: ${list(told)}.`
      : `${whole(negatives)} negatives; the target begins at rank ${whole(run[0][0])} with each loss.`;
  }

  const end = follow(model, el, ["negatives", "step", "steps"], draw);
  return () => { end(); go.stop(); };
}

export default { render };
