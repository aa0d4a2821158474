// The reader draws a curve or sets a number; then the truth is drawn over it, and the distance said.

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [name, x, truth, others, unit] = ["name", "x", "truth", "others", "unit"].map((key) => model.get(key));
  const [xlabel, ylabel, [low, high], log] = ["xlabel", "ylabel", "ylim", "log"].map((key) => model.get(key));
  const n = x.length, numeric = x.every((each) => typeof each === "number") && n > 1;
  const places = numeric && model.get("xlog") ? x.map(Math.log10) : numeric ? x : x.map((_, i) => i);
  const toShare = (y) => (log ? Math.log(y / low) / Math.log(high / low) : (y - low) / (high - low)); // 0 below, 1 on top
  const toValue = (share) => (log ? low * (high / low) ** share : low + share * (high - low));
  const digits = Math.max(0, 2 - Math.floor(Math.log10(high - low)));
  const said = (value) => (log ? number(value, 2) : value.toFixed(Math.min(digits, 3)).replace("-", "−")) + unit;

  // --- What the reader drew, kept in the browser -----------------------------------------------------------

  const key = `rnnbook:draw:${name}`;
  let drawn = x.map(() => 0.5), touched = false, open = false, place = 0;
  try { // a browser may refuse to keep anything
    const kept = JSON.parse(localStorage.getItem(key));
    if (kept?.drawn.length === n && kept.drawn.every(Number.isFinite)) {
      drawn = kept.drawn.map((share) => clamp(share, 0, 1));
      [touched, open] = [true, kept.open === true];
    }
  } catch { /* then it is drawn anew */ }
  const keep = () => {
    try {
      if (touched) localStorage.setItem(key, JSON.stringify({ drawn, open }));
      else localStorage.removeItem(key);
    } catch { /* not kept */ }
  };
  function set(i, share) {
    drawn[i] = clamp(share, 0, 1);
    [touched, place] = [true, i];
    keep();
    draw();
  }
  function toggle() {
    open = !open;
    if (!open) [drawn, touched] = [x.map(() => 0.5), false];
    keep();
    draw();
  }

  // --- Elements --------------------------------------------------------------------------------------------

  const frame = svg("svg", { class: "rb-draw", role: "img", "aria-label": ylabel });
  let area = null, last = null, before = null; // where the chart is; of a stroke the last point, and what was before it
  function point(event) {
    const box = frame.getBoundingClientRect(), across = (event.clientX - box.left - area.left) / area.w;
    const at = domain[0] + across * (domain[1] - domain[0]);
    const i = places.reduce((best, value, k) => (Math.abs(value - at) < Math.abs(places[best] - at) ? k : best), 0);
    return [i, 1 - (event.clientY - box.top - area.top) / area.h];
  }
  function stroke(event) {
    if (open) return;
    const [i, share] = point(event), [from, start] = last ?? [i, share];
    const steps = Math.abs(i - from); // a fast stroke passes over some places
    for (let k = 1; k < steps; k++)
      drawn[from + Math.sign(i - from) * k] = clamp(start + (share - start) * k / steps, 0, 1);
    last = [i, share];
    set(i, share);
  }
  frame.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary) return; // a second finger comes to zoom
    [last, before] = [null, [[...drawn], touched, place]];
    frame.setPointerCapture(event.pointerId);
    stroke(event);
  });
  frame.addEventListener("pointermove", (event) => { if (event.isPrimary && event.buttons & 1) stroke(event); });
  frame.addEventListener("pointercancel", (event) => { // the finger scrolls: it has drawn nothing
    if (!event.isPrimary || !before) return;
    [drawn, touched, place] = before;
    keep();
    draw();
  });

  const where = slider({ label: xlabel, min: 0, max: n - 1, format: (i) => String(x[i]),
    oninput: (i) => { place = i; draw(); } });
  const value = slider({ label: ylabel, min: 0, max: 1, step: 0.005, format: (share) => said(toValue(share)),
    oninput: (share) => set(place, share) });
  const show = roomy("Show the truth", toggle);
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite" });
  const legend = html("p", { class: "rb-muted rb-drawn" }, swatch(1), "yours ", html("span", {}, swatch(0), "the truth"),
    ...others.map((other, k) => html("span", {}, swatch(k + 2), other.label)));
  el.append(html("p", { class: "rb-heading" }, model.get("question")), html("div", {}, frame), legend,
    html("div", { class: "rb-controls" }, n > 1 ? where.node : "", value.node, html("div", { class: "rb-buttons" }, show)),
    status);

  // --- What is seen ----------------------------------------------------------------------------------------

  const edge = (places[n - 1] - places[0]) * 0.04 || 0.5;
  const domain = numeric ? [places[0] - edge, places[n - 1] + edge] : [-0.5, n - 0.5];
  const halves = (name) => { // two lines, about as long as each other
    const words = name.split(" "), length = (from, to) => words.slice(from, to).join(" ").length;
    const cuts = words.map((_, i) => Math.abs(length(0, i) - length(i))), cut = cuts.indexOf(Math.min(...cuts));
    return [words.slice(0, cut), words.slice(cut)].map((line) => line.join(" ")).filter(Boolean);
  };
  const ticked = () => {
    if (n === 1) return [[0, ""]];
    if (!numeric) { // names that are too long for their places have two lines
      const narrow = 8 * Math.max(...x.map((name) => name.length)) > (el.clientWidth - 90) / n;
      return x.map((name, i) => [i, ...(narrow ? halves(name) : [name])]);
    }
    const every = Math.ceil(45 * n / el.clientWidth);
    return x.map((each, i) => [places[i], number(each, 2).replace(/\.0+(?!\d)/, "")]).filter((_, i) => i % every === 0);
  };
  const lineOf = (values, look) => ({ points: places.map((at, i) => [at, values[i]]), style: look });

  function distance() {
    const mine = drawn.map(toValue);
    const far = mine.map((v, i) => (log ? Math.abs(Math.log(v / clamp(truth[i], low, high))) : Math.abs(v - truth[i])));
    const mean = far.reduce((a, b) => a + b) / n, most = far.indexOf(Math.max(...far));
    const size = (d) => (log ? `a factor of ${number(Math.exp(d), 2)}` : said(d));
    const side = mine[most] > truth[most] ? "too high" : "too low";
    if (n === 1) return `You said ${said(mine[0])}, it is ${said(truth[0])}: ${size(far[0])} ${far[0] ? side : "apart"}.`;
    return `You are ${size(mean)} off on average, most at ${x[most]}: ${size(far[most])} ${side}.`;
  }

  function draw() {
    if (!el.clientWidth) return;
    const mine = drawn.map(toValue), dots = (values, look) => places.map((at, i) => ({ x: at, y: values[i], style: look }));
    const lined = numeric ? (values, look) => [lineOf(values, look)] : () => [];
    area = chart(frame, { height: 230, x: { domain, label: n > 1 ? xlabel : "", ticks: ticked() },
      y: { domain: [low, high], label: ylabel, log },
      lines: [...lined(mine, 1), ...(open ? lined(truth, 0) : []),
        ...others.flatMap((other, k) => lined(other.values, k + 2))],
      dots: [...(numeric ? [] : dots(mine, 1)), ...(open && !numeric ? dots(truth, 0) : []),
        ...(numeric ? [] : others.flatMap((other, k) => dots(other.values, k + 2)))],
      cursor: open || n === 1 ? null : places[place] });
    frame.classList.toggle("rb-open", open);
    where.show(place);
    value.show(drawn[place]);
    value.input.disabled = open;
    if (open) value.input.setAttribute("aria-valuetext", `yours ${said(mine[place])}, the truth ${said(truth[place])}`);
    show.textContent = open ? "Draw again" : "Show the truth";
    show.disabled = !open && !touched;
    legend.children[1].style.visibility = open ? "visible" : "hidden";
    status.textContent = open ? distance() : touched ? "Done? Then look at the truth."
      : n > 1 ? "Draw with the mouse or a finger, or use the sliders." : "Set your guess.";
  }

  return follow(model, el, [], draw);
}

export default { render };
