// What an item's ratings tell of its quality, and what words add: those of its reviews, and those that the reader adds.

const NAMES = ["ratings alone", "with the words"]; // the two readers
const MOST_WORDS = 8; // of the reader's own
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
  const [items, quality, reviews, law] = ["items", "quality", "reviews", "law"].map((name) => model.get(name));
  const world = reviewWorld(law), { noise, edges } = law;
  const place = (k) => edges[0] + (edges[1] - edges[0]) * (k - 0.5); // the middle of the tokens that a word stands for
  const put = (changes) => {
    Object.entries(changes).forEach(([name, value]) => model.set(name, value));
    model.save_changes();
  };
  const added = () => model.get("words");
  const add = (k) => { if (added().length < MOST_WORDS) put({ words: [...added(), k] }); };

  const select = html("select", { "aria-label": "item",
    onchange: () => put({ words: [], item: select.selectedIndex }) },
    ...items.map((name) => html("option", {}, name)));
  const read = slider({ label: "reviews read", min: 0, max: 1, oninput: (step) => put({ step }),
    format: (v) => `${v} of ${reviews[model.get("item")].length}` });
  const [density, curve] = [picture(), picture()], target = html("div", {}, density);
  const chips = law.words.map((word, k) => {
    let from = null, far = false;
    const over = ({ clientX: x, clientY: y }) => {
      const box = target.getBoundingClientRect();
      return x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;
    };
    const end = () => {
      from = null;
      button.style.transform = "";
      target.classList.remove("rb-drop");
    };
    const button = html("button", { type: "button",
      onclick: () => { if (!far) add(k); },
      onpointerdown: (event) => {
        far = false;
        if (event.pointerType === "touch") return; // a finger scrolls the page, and taps
        from = [event.clientX, event.clientY];
        button.setPointerCapture(event.pointerId);
      },
      onpointermove: (event) => {
        if (!from) return;
        const [dx, dy] = [event.clientX - from[0], event.clientY - from[1]];
        far ||= Math.hypot(dx, dy) > 5;
        if (far) button.style.transform = `translate(${dx}px, ${dy}px)`;
        target.classList.toggle("rb-drop", far && over(event));
      },
      onpointerup: (event) => {
        if (from && far && over(event)) add(k);
        end();
      },
      onpointercancel: end,
      onkeydown: () => { far = false; } }, word);
    return button;
  });
  const clear = html("button", { type: "button", onclick: () => {
    put({ words: [] });
    chips[0].focus({ preventScroll: true }); // this button is off now
  } }, "Start again");
  const figures = table(["quality told by", "mean", "sd", "RMSE"], 3);
  const texts = table(["review", "by", "rating"], 1);
  const status = html("p", { class: "rb-status rb-evidence", role: "status", "aria-live": "polite" });
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "What the text bought" },
      html("label", { class: "rb-select" }, html("span", {}, "item"), select), read.node),
    html("div", { class: "rb-panels" },
      html("div", {}, heading("What is known of the quality"), target,
        html("p", { class: "rb-key" }, ...NAMES.map((name, i) => key(swatch(i), name)),
          key(svg("svg", { class: "rb-swatch", "aria-hidden": "true", style: "width: 6px" },
            svg("line", { class: "rb-axis", x1: 3, x2: 3, y1: 0, y2: 12 })), "the true quality")),
        html("p", {}, "Drag a word onto the picture, or press it: what would one more word tell?"),
        html("div", { class: "rb-words", role: "group", "aria-label": "Words, the worst first" }, ...chips, clear)),
      html("div", {}, heading("RMSE expected of the next rating"), html("div", {}, curve),
        html("p", { class: "rb-key" }, key(swatch("rule"), "if the quality were known")), figures.node,
        heading("Read so far, the latest first"),
        html("div", { class: "rb-scroll rb-rows rb-read-so-far", tabindex: 0, role: "region",
          "aria-label": "reviews read so far" }, texts.node))),
    status);

  function draw() {
    const item = model.get("item"), words = added().slice(0, MOST_WORDS);
    const n = reviews[item].length;
    const step = clamp(model.get("step"), 0, n);
    select.selectedIndex = item;
    read.input.max = n;
    read.show(step);
    chips.forEach((chip) => { chip.disabled = words.length >= MOST_WORDS; });
    clear.disabled = !words.length;
    const past = (k) => [1, 3].map((column) => reviews[item].slice(0, k).map((review) => review[column]));
    const posteriors = Array.from({ length: n + 1 }, (_, k) => { // [step][reader]
      const [ratings, tokens] = past(k);
      return [world.posterior(ratings), world.posterior(ratings, tokens, words)];
    });
    const known = posteriors.map((both) => both.map((p) => {
      const [mean, sd] = world.moments(p);
      return [mean, sd, Math.hypot(sd, noise)];
    }));
    const now = known[step], errors = NAMES.map((_, i) => known.map((both, k) => [k, both[i][2]]));

    const high = 1.08 * Math.max(...posteriors.flat().map((p) => p.reduce((a, b) => Math.max(a, b)))) / law.step;
    const box = chart(density, { height: 280, cursor: quality[item],
      x: { domain: [-4, 4], label: "quality" }, y: { domain: [0, high], label: "density" },
      lines: posteriors[step].map((p, i) => ({ style: i,
        points: [...p].map((mass, k) => [world.qualities[k], mass / law.step]).filter(([q]) => Math.abs(q) <= 4) })) });
    words.forEach((k, i) => { // each at its place, one below the other
      const [x, y] = [box.left + box.w * (place(k) + 4) / 8, box.top + 12 + 15 * i];
      const anchor = k < 3 ? "start" : k > 16 ? "end" : "middle";
      density.append(svg("path", { class: "rb-said", d: `M${x} ${y + 4}V${box.top + box.h}`, style: colour(1) }),
        svg("text", { x, y, "text-anchor": anchor, class: "rb-word" }, law.words[k]));
    });
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
      + list(NAMES.map((name, i) => `${name}, from ${fixed(errors[i][0][1], 3)} to ${fixed(errors[i][n][1], 3)}`)));
    figures.fill(NAMES.map((name, i) => [[swatch(i), name], fixed(now[i][0]), fixed(now[i][1]), fixed(now[i][2], 3)]));
    texts.fill(reviews[item].slice(0, step).reverse().map(([user, rating, text]) => [text, user, fixed(rating)]));
    const own = words.length ? ` and ${words.length} word${words.length === 1 ? "" : "s"} of yours, the last `
      + `“${law.words[words.at(-1)]}”` : "";
    status.textContent = `${items[item]} after ${step} of ${n} reviews${own}, of true quality ${fixed(quality[item])}: `
      + `${list(NAMES.map((name, i) => `${name} ${fixed(now[i][0])} ± ${fixed(now[i][1])}`))}. `
      + `RMSE expected of the next rating: ${list(NAMES.map((name, i) => `${fixed(now[i][2], 3)} ${name}`))}.`;
  }

  return follow(model, el, ["item", "step", "words"], draw);
}

export default { render };
