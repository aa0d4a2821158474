// What the widgets share: elements, controls, a player, a small line chart. Stands in front of each module.

function build(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children); // strings become text nodes, never markup
  return node;
}
const html = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// A series is told by dash and marker as well as by colour; the series "rule" is a thin dotted line.
const DASHES = ["none", "8 3", "4 3", "9 3 2 3", "5 2 1.5 2 1.5 2", "16 5"];
const MARKS = ["M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.5-3.5h7v7h-7z", "M0-4.5L4.5 3.5H-4.5z",
  "M0-5L5 0L0 5L-5 0z", "M-1.5-4h3v8h-3z", "M0 4.5L4.5-3.5H-4.5z"];
const colour = (i) => `--c: var(--rb-${i === "rule" ? "ink" : `c${i % 6}`})`;
const style = (i) => `${colour(i)}; stroke-dasharray: ${i === "rule" ? "1.5 3.5" : DASHES[i % 6]}`;
const mark = (i, x, y, scale = 1) => i === "rule" ? "" : svg("path", { class: "rb-dot", d: MARKS[i % 6],
  transform: `translate(${x.toFixed(2)} ${y.toFixed(2)}) scale(${scale})`, style: colour(i) });
const swatch = (i) => svg("svg", { class: "rb-swatch", "aria-hidden": "true" },
  svg("line", { class: "rb-curve", x1: 0, x2: 32, y1: 6, y2: 6, style: style(i) }), mark(i, 16, 6));

/** A button whose words change: it keeps room for the longest, so that what is beside it does not move. */
const roomy = (room, onclick) => html("button", { type: "button", "data-room": room, onclick });

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const superscript = (n) => String(n).replace(/./g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻");
/** 0.00123 as "0.00123", 0.0000123 as "1.23 × 10⁻⁵", whose spaces do not break. */
const number = (value, digits = 3) => (value === 0 ? "0"
  : Math.abs(value) < 1e-3 || Math.abs(value) >= 1e4
    ? value.toExponential(digits - 1).replace(/e\+?(.+)/, (_, power) => `\u00a0×\u00a010${superscript(power)}`)
  : Math.abs(Number(value.toPrecision(digits))) >= 10 ** digits ? value.toFixed(0)
  : value.toPrecision(digits)).replaceAll("-", "−");

/** Whether the text got into the clipboard, which a browser may refuse, or not have at all. */
async function copied(text) {
  try { await navigator.clipboard.writeText(text); } catch { return false; }
  return true;
}

/** A loss as the papers write it: "BPR-max" for the package's "bpr-max". */
const lossName = (loss) => loss.replace(/^(bpr|top1)/, (initials) => initials.toUpperCase());
const list = (words) => // "a, b and c"
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

// JupyterLab takes arrow keys for itself, before the element in focus sees them, unless this one asks it not to.
window.addEventListener("keydown", ({ target, ctrlKey, metaKey, altKey }) => {
  if (target.closest?.(".rnnbook-widget"))
    target.toggleAttribute("data-lm-suppress-shortcuts", !(ctrlKey || metaKey || altKey));
}, true);

/** A labelled range input: node to place, show(value) to set it; oninput gets what the reader chose. */
function slider({ label, min, max, step = 1, format = String, oninput }) {
  const output = html("span", { class: "rb-value" });
  const input = html("input", { type: "range", min, max, step, "aria-label": label,
    oninput: () => oninput(Number(input.value)) });
  let end = null;
  function reserve() { // room for the longest value, so that the label beside it does not move
    if (end === input.max) return;
    end = input.max;
    const values = Array.from({ length: Math.floor((end - min) / step + 1e-9) + 1 }, (_, i) => min + i * step);
    output.style.minWidth = `${Math.max(...values.map((each) => format(each).length))}ch`;
  }
  const show = (value) => {
    input.value = value;
    output.textContent = format(value);
    reserve();
    input.setAttribute("aria-valuetext", format(value));
  };
  return { node: html("label", { class: "rb-slider" }, html("span", {}, label, output), input), input, show };
}

/** Back, play and step over the frames 0 … last(). Arrow keys work anywhere in `root` outside form fields. */
function player({ root, status, get, set, last, delay = 900 }) {
  let timer = null;
  const move = (frame) => set(clamp(frame, 0, last()));
  const pause = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
    status.setAttribute("aria-live", "polite");
  };
  const start = () => {
    if (get() >= last()) move(0);
    status.setAttribute("aria-live", "off"); // a voice that reads every frame would never finish one
    play.textContent = "Pause";
    timer = setInterval(() => (get() < last() ? move(get() + 1) : pause()), delay);
  };
  const go = (frame) => { pause(); move(frame); };
  const play = roomy("Pause", () => (timer ? pause() : start()));
  play.textContent = "Play";
  const back = html("button", { type: "button", onclick: () => go(get() - 1) }, "← Back");
  const step = html("button", { type: "button", onclick: () => go(get() + 1) }, "Step →");
  root.addEventListener("keydown", (event) => {
    const frames = { ArrowLeft: get() - 1, ArrowRight: get() + 1, Home: 0, End: last() };
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!(event.key in frames)) return;
    event.preventDefault();
    event.stopPropagation();
    go(frames[event.key]);
  });
  return { node: html("div", { class: "rb-buttons" }, back, play, step), pause, go };
}

/** A button that runs through the frames 0 … last(), or shows the last one at once to readers who want no motion. */
function runner({ name, status, get, set, last, delay = 50 }) {
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    status.setAttribute("aria-live", "polite");
  };
  const to = (frame) => {
    if (frame >= last()) stop(); // before the last frame, which is read aloud
    set(Math.min(frame, last()));
  };
  const start = () => {
    stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return to(last());
    status.setAttribute("aria-live", "off");
    timer = setInterval(() => to(get() + 1), delay);
    set(0);
  };
  return { node: html("button", { type: "button", onclick: start }, name), start, stop };
}

/** Draw once `el` has a width, when that changes, and once after the model's keys have changed; returns what ends it. */
function follow(model, el, keys, draw) {
  let [width, due] = [0, false];
  const redraw = () => { due = false; if (width) draw(); };
  const later = () => { // several keys may change at once
    if (!due) queueMicrotask(() => due && redraw());
    due = true;
  };
  const observer = new ResizeObserver(() => {
    if (el.clientWidth === width) return;
    width = el.clientWidth;
    redraw();
  });
  observer.observe(el);
  keys.forEach((key) => model.on(`change:${key}`, later));
  return () => {
    due = false;
    observer.disconnect();
    keys.forEach((key) => model.off(`change:${key}`, later));
  };
}

/** Call `work` once, when `el` is in view or about to be; returns what gives it up. */
function whenNear(el, work) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    work();
  }, { rootMargin: "50%" });
  observer.observe(el);
  return () => observer.disconnect();
}

/** A whole number with commas, as "2,048". The browser's own way loads its locales first, which slow phones notice. */
const whole = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, ",");

function ticks([low, high], log, count) {
  const span = log ? Math.log10(high / low) : high - low;
  const power = 10 ** Math.floor(Math.log10(span / count));
  const nice = [1, 2, 5, 10].map((m) => m * power).find((s) => span / s <= count);
  const step = log ? Math.max(1, Math.round(nice)) : nice;
  const start = Math.ceil((log ? Math.log10(low) : low) / step - 1e-9);
  const values = Array.from({ length: Math.floor(span / step + 1e-9) + 1 }, (_, i) => (start + i) * step);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return log ? values.map((v) => [10 ** v, `10${superscript(v)}`])
    : values.filter((v) => v <= high + 1e-9).map((v) => [v, v.toFixed(decimals).replace("-", "−")]);
}

/**
 * Draw a line chart into the SVG element `frame`, and return where its plot is, in pixels. Axes: {domain: [low, high],
 * label, log}, of x also its ticks, [[place, ...lines of text]], if they are not to be round numbers. lines: [{points:
 * [[x, y]], style: index, strong}], dots: [{x, y, style}] on top, rules: [{y, label}] across, cursor: an x.
 */
function chart(frame, { height, x, y, lines, dots = [], rules = [], cursor = null }) {
  const width = frame.parentNode.clientWidth;
  const [left, right, top] = [44, 12, 24], w = Math.max(width - left - right, 40);
  const places = x.ticks ?? ticks(x.domain, x.log, clamp(Math.floor(w / 50), 2, 10));
  const under = 14 * Math.max(...places.map((tick) => tick.length - 1)), h = height - top - 26 - under;
  const scale = ({ domain, log }, size) => {
    const f = log ? Math.log10 : Number;
    return (v) => (f(v) - f(domain[0])) / (f(domain[1]) - f(domain[0])) * size;
  };
  const [sx, up] = [scale(x, w), scale(y, h)];
  const sy = (v) => (v === 0 && y.log ? 2 * h : clamp(h - up(v), -h, 2 * h));
  const shape = (points) => points.map(([a, b]) => `${sx(a).toFixed(2)},${sy(b).toFixed(2)}`).join(" ");
  const at = (v) => Math.round(v) + 0.5;
  const marks = ({ points, style: i }) => { // about six on each line, not all lines' at the same places
    const every = Math.ceil(points.length / 6);
    const first = Math.floor(every * (i + 1) / 8);
    return points.filter((_, k) => k % every === first).map(([a, b]) => mark(i, sx(a), sy(b), 0.8));
  };
  const plot = svg("svg", { x: left, y: top, width: w, height: h, style: `width: ${w}px; overflow: hidden` },
    ...rules.map((r) => svg("line", { class: "rb-rule", x1: 0, x2: w, y1: at(sy(r.y)), y2: at(sy(r.y)) })),
    cursor === null ? "" : svg("path", { class: "rb-axis", d: `M${at(sx(cursor))} 0V${h}` }),
    ...lines.flatMap((l) => [svg("polyline", { class: l.strong ? "rb-curve rb-strong" : "rb-curve",
      style: style(l.style), points: shape(l.points) }), ...marks(l)]));
  frame.setAttribute("height", height);
  frame.setAttribute("viewBox", `0 0 ${width} ${height}`);
  frame.replaceChildren(
    svg("text", { x: 0, y: 12, class: "rb-muted" }, y.label),
    ...ticks(y.domain, y.log, 5).flatMap(([v, text]) => [
      svg("line", { class: "rb-grid", x1: left, x2: left + w, y1: at(top + sy(v)), y2: at(top + sy(v)) }),
      svg("text", { x: left - 6, y: top + sy(v) + 4, "text-anchor": "end", class: "rb-muted" }, text)]),
    ...places.flatMap(([v, ...texts]) => texts.map((text, i) => svg("text", { x: left + sx(v),
      y: top + h + 16 + 14 * i, "text-anchor": "middle", class: "rb-muted" }, text))),
    svg("line", { class: "rb-axis", x1: left, x2: left + w, y1: at(top + h), y2: at(top + h) }),
    svg("text", { x: left + w, y: top + h + 20 + under, "text-anchor": "end", class: "rb-muted" }, x.label),
    plot,
    ...dots.map((d) => mark(d.style, left + sx(d.x), top + clamp(sy(d.y), 0, h), 1.4)),
    ...rules.map((r) => svg("text", { x: left + 6, y: top + sy(r.y) - 6, class: "rb-label" }, r.label)));
  return { left, top, w, h };
}
