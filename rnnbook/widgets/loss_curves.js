// Loss and metrics of a training: follows a live kernel, and replays what was recorded.

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const last = () => Math.max(model.get("points").length - 1, 0);
  let frame = last();
  let following = true; // at the end: new points move the view along
  const show = (f) => { frame = f; following = f >= last(); draw(); };

  const status = html("p", { class: "rb-status", role: "status", "aria-live": "off" });
  const play = player({ root: el, status, get: () => frame, set: show, last, delay: 60 });
  const position = slider({ label: "recorded points", min: 0, max: 1, oninput: play.go,
    format: (f) => `${Math.min(f + 1, model.get("points").length)} of ${model.get("points").length}` });
  const lossFrame = svg("svg", { role: "img", height: 240, "aria-label": "Training loss against epoch" });
  const metricFrame = svg("svg", { role: "img", "aria-label": "Metrics against epoch" });
  const lossLegend = html("p", { class: "rb-choices" });
  const legend = html("p", { class: "rb-choices" });
  const metricBox = html("div", {}, metricFrame, legend);
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "Loss curves" },
      play.node, position.node),
    html("div", { class: "rb-panels" }, html("div", {}, lossFrame, lossLegend), metricBox), status);

  const padded = (values) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
  };

  function draw() {
    const points = model.get("points");
    const [ceiling, best] = [model.get("ceiling"), model.get("ceiling_label")];
    if (following) frame = last();
    position.input.max = last();
    position.show(frame);
    const keys = new Set(points.flatMap((p) => Object.keys(p)));
    const losses = { running_loss: "since the last point", loss: "mean over the epoch" };
    const metrics = [...keys].filter((key) => key !== "epoch" && !(key in losses));
    const drawn = Object.keys(losses).filter((key) => keys.has(key));
    metricBox.hidden = metrics.length === 0;
    if (!points.length) {
      status.textContent = "Waiting for the first point of the training.";
      lossFrame.replaceChildren();
      return;
    }
    const x = { domain: [0, Math.max(...points.map((p) => p.epoch), 1e-3)], label: "epoch" };
    const seen = points.slice(0, frame + 1);
    const pairs = (key, from = seen) => from.filter((p) => key in p).map((p) => [p.epoch, p[key]]);
    const panel = (node, keys, label, first) => {
      const rules = keys.filter((key) => key in ceiling)
        .map((key) => ({ y: ceiling[key], label: `${best}${keys.length > 1 && !(key in losses) ? `, ${key}` : ""}` }));
      const all = keys.flatMap((key) => pairs(key, points).map((p) => p[1])).concat(rules.map((r) => r.y));
      const lines = keys.map((key, i) => ({ style: first + i, points: pairs(key) }));
      // The few means over whole epochs are dots, each where its epoch ends; of a long line only the end is one.
      const dots = lines.flatMap((l, i) => l.points.slice(keys[i] === "loss" && drawn.length > 1 ? 0 : -1)
        .map(([e, v]) => ({ x: e, y: v, style: l.style })));
      chart(node, { height: 240, x, y: { domain: padded(all), label }, lines, dots, rules });
    };
    panel(lossFrame, drawn, "training loss", 0);
    lossLegend.hidden = drawn.length < 2;
    lossLegend.replaceChildren(...drawn.map((key, i) => html("span", {}, swatch(i), losses[key])));
    if (metrics.length) panel(metricFrame, metrics, metrics.join(", "), drawn.length);
    legend.replaceChildren(...metrics.map((key, i) => html("span", {}, swatch(drawn.length + i), key)));
    const said = [...drawn, ...metrics].flatMap((key) => pairs(key).slice(-1)
      .map(([, v]) => `${key.replace("_", " ")} ${number(v, key in losses ? 4 : 3)}`));
    status.textContent = [`Epoch ${number(seen.at(-1).epoch)}`, ...said].join(", ")
      + Object.entries(ceiling).map(([key, v]) => `; ${best} ${key} ${number(v)}`).join("") + ".";
  }

  const stop = follow(model, el, ["points"], draw);
  return () => { stop(); play.pause(); };
}

export default { render };
