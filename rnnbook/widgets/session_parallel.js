// Session-parallel mini-batches, one training step at a time. All values come from the package's schedule.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const [HIGH, TALL, GAP, SIDE] = [26, 38, 5, 54]; // pixels: height of a chip, of one in a lane, gap, label of a row

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const offsets = model.get("offsets");
  const items = model.get("items");
  const names = model.get("item_names");
  const wide = Math.max(34, 20 + 8 * String(Math.max(...items)).length); // pixels: width of a chip
  const letter = (session) => LETTERS[session];
  const schedule = () => model.get("schedules")[model.get("batch_size") - 1];
  const last = () => schedule().offsets.length - 2;
  const step = () => clamp(model.get("step"), 0, last());
  const go = (t) => { model.set("step", t); model.save_changes(); };

  /** The rows of step t: one per live lane. */
  function rows(t) {
    const { offsets: o, position, lane, session, reset } = schedule();
    return Array.from({ length: o[t + 1] - o[t] }, (_, i) => o[t] + i).map((i) => ({
      lane: lane[i], session: session[i], reset: reset[i], position: position[i],
      x: items[position[i]], y: items[position[i] + 1] }));
  }

  let forgotten = false; // whether the reset is

  /** By lane, the sessions that have been in it up to step t: what its hidden row knows, if nothing is ever reset. */
  function guests(t) {
    const found = new Map();
    for (let u = 0; u <= t; u++)
      for (const { lane, session } of rows(u)) {
        const known = found.get(lane) ?? [];
        if (known.at(-1) !== session) found.set(lane, [...known, session]);
      }
    return found;
  }

  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite",
    style: "--rb-lines: 3; --rb-narrow: 6" });
  const play = player({ root: el, status, get: step, set: go, last });
  const position = slider({ label: "step", min: 0, max: 1, oninput: play.go,
    format: (t) => `${t + 1} of ${last() + 1}` });
  const batch = slider({ label: "batch size (lanes)", min: 1, max: model.get("schedules").length,
    oninput: (lanes) => {
      play.pause();
      model.set("batch_size", lanes);
      model.set("step", 0);
      model.save_changes();
    } });
  const forget = html("input", { type: "checkbox", onchange: () => { model.set("forgotten", Number(forget.checked)); model.save_changes(); } });
  const sessions = svg("svg", { role: "img" });
  const lanes = svg("svg", { role: "img" });
  const body = html("tbody");
  const columns = html("tr", {}, ...["lane", "session", "hidden row", "X, input", "Y, target"]
    .map((text, i) => html("th", { scope: "col", style: `width: ${[12, 18, 22, 24, 24][i]}%` }, text)));
  const code = html("div", { class: "rb-code rb-tensors" });
  el.append(
    html("p", { class: "rb-heading" }, "Step through an epoch: a lane whose session has ended takes the next one."),
    html("div", { class: "rb-controls", role: "group", "aria-label": "Session-parallel stepper" },
      play.node, position.node, batch.node, html("label", {}, forget, "forget the reset")),
    html("div", { class: "rb-panels" },
      html("div", {}, html("p", { class: "rb-heading" }, "Sessions, in the order they began"), sessions),
      html("div", {}, html("p", { class: "rb-heading" }, "Lanes: the rows of the hidden state"),
        html("p", { class: "rb-muted" }, "▌ a new session: the row is set to zero first"), lanes)),
    html("table", { class: "rb-rows" }, html("thead", {}, columns), body),
    code, status);

  const box = (x, y, high, kind) =>
    svg("rect", { class: kind, x: x + 0.5, y: y + 0.5, width: wide - 1, height: high - 1, rx: 4 });
  /** A session's click; in a lane it is taller, and the tag has a line of its own. */
  const chip = (x, y, high, s, text, tag, kind, from = "") => {
    const [dx, dy, tx, ty] = high === TALL ? [0, 11, wide / 2, 14] : [tag ? 4 : 0, 5, 7, 11];
    return svg("g", { class: `rb-chip ${kind}`, style: colour(s) + from }, box(x, y, high),
      svg("text", { x: x + wide / 2 + dx, y: y + high / 2 + dy }, String(text)),
      svg("text", { class: "rb-tag", x: x + tx, y: y + ty }, tag));
  };
  const item = (i) => html("span", {}, `${i} `, html("span", { class: "rb-muted" }, names[i]));
  const label = (y, x, text, high = HIGH) => svg("text", { x, y: y + high / 2 + 4, class: "rb-muted" }, text);

  let places = new Map(), seen = null; // where each event is among the sessions, in pixels; the step drawn last
  function draw_sessions(now) {
    places = new Map();
    const width = sessions.parentNode.clientWidth;
    const room = Math.max(2, Math.floor((width - 42) / (wide + GAP)));
    const inputs = new Map(now.map((r) => [r.session, r.position]));
    const done = new Set(schedule().position.slice(0, schedule().offsets[step()]));
    const shapes = [];
    for (let s = 0; s + 1 < offsets.length; s++) {
      const [from, to] = [offsets[s], offsets[s + 1]];
      const skip = clamp((inputs.get(s) ?? from) - from - room + 2, 0, Math.max(0, to - from - room));
      const [left, y] = [30, s * (HIGH + GAP)];
      shapes.push(label(y, 0, letter(s)), label(y, 14, skip ? "…" : ""),
        label(y, left + room * (wide + GAP), skip + room < to - from ? "…" : ""));
      for (let e = from + skip; e < Math.min(to, from + skip + room); e++) {
        const input = inputs.get(s) === e;
        const target = inputs.get(s) === e - 1;
        const past = done.has(e) || (e === to - 1 && done.has(e - 1));
        const kind = input ? "rb-input" : target ? "rb-target" : past ? "rb-past" : "";
        const tag = input ? "X" : target ? "Y" : "";
        places.set(e, [left + (e - from - skip) * (wide + GAP), y]);
        shapes.push(chip(left + (e - from - skip) * (wide + GAP), y, HIGH, s, items[e], tag, kind));
      }
    }
    fit(sessions, width, (offsets.length - 1) * (HIGH + GAP), shapes);
  }

  function draw_lanes(t) {
    const width = lanes.parentNode.clientWidth;
    const room = Math.max(2, Math.floor((width - SIDE) / (wide + GAP)));
    const first = clamp(t - Math.floor(room / 2), 0, Math.max(0, last() + 1 - room));
    const [count, top] = [model.get("batch_size"), 20];
    const left = (u) => SIDE + (u - first) * (wide + GAP);
    const height = top + model.get("schedules").length * (TALL + GAP); // room for the most lanes
    const [here, there] = [lanes, sessions].map((node) => node.getBoundingClientRect());
    const taken = new Set(seen === null || t === seen ? [] : rows(t).filter((r) => r.reset).map((r) => r.session));
    /** A session that a lane takes now slides in from where its clicks were. */
    const slide = ({ session, position }, x, y) => {
      if (!taken.has(session) || !places.has(position)) return "";
      const [left_, top_] = places.get(position);
      return `; --x: ${there.left + left_ - here.left - x}px; --y: ${there.top + top_ - here.top - y}px`;
    };
    const shapes = [svg("rect", { class: "rb-now", x: left(t) - 4, y: 0, width: wide + 8,
      height: top + count * (TALL + GAP), rx: 5 })];
    for (let lane = 0; lane < count; lane++) shapes.push(label(top + lane * (TALL + GAP), 0, `lane ${lane}`, TALL));
    for (let u = first; u < Math.min(first + room, last() + 1); u++) {
      shapes.push(svg("text", { x: left(u) + wide / 2, y: 13, "text-anchor": "middle",
        class: u === t ? "" : "rb-muted" }, String(u + 1)));
      const live = new Map(rows(u).map((r) => [r.lane, r])), inside = guests(u);
      for (let lane = 0; lane < count; lane++) {
        const [x, y, r] = [left(u), top + lane * (TALL + GAP), live.get(lane)];
        const kind = u === t ? "rb-input" : u > t ? "rb-future" : "";
        const known = r && (forgotten ? inside.get(lane) : [r.session]).map(letter).join("");
        const tag = known?.length > 3 ? `…${known.slice(-2)}` : known;
        const from = r && u >= t ? slide(r, x, y) : "";
        shapes.push(r ? chip(x, y, TALL, r.session, r.x, tag, from ? `${kind} rb-slide` : kind, from)
          : box(x, y, TALL, "rb-ended"));
        if (r?.reset && !forgotten) shapes.push(svg("path", { class: "rb-reset", d: `M${x - 4} ${y}h3v${TALL}h-3z` }));
      }
    }
    fit(lanes, width, height, shapes);
    seen = t;
  }

  function fit(frame, width, height, shapes) {
    frame.setAttribute("viewBox", `0 0 ${width} ${height}`);
    frame.setAttribute("height", height);
    frame.replaceChildren(...shapes);
  }

  function describe(t, now) {
    if (forgotten) {
      let bad = 0, all = 0;
      for (let u = 0; u <= t; u++) {
        const inside = guests(u);
        all += rows(u).length;
        bad += rows(u).filter((r) => inside.get(r.lane).length > 1).length;
      }
      const here = guests(t), start = now.find((r) => r.reset && here.get(r.lane).length > 1);
      const left = start && letter(here.get(start.lane).at(-2));
      const told = start ? ` Session ${letter(start.session)} starts from what ${left} left.` : "";
      return `Step ${t + 1} of ${last() + 1}.${told} So far ${bad} of ${all} predictions come from a hidden row with `
        + "another visitor's clicks in it.";
    }
    const fresh = now.filter((r) => r.reset);
    const [which, what] = [list(fresh.map((r) => r.lane)), list(fresh.map((r) => letter(r.session)))];
    const resets = [
      "Every session goes on: no hidden row is reset.",
      `Lane ${which} starts session ${what}: its hidden row is set to zero first.`,
      `Lanes ${which} start sessions ${what}: their hidden rows are set to zero first.`,
    ][Math.min(fresh.length, 2)];
    const size = model.get("batch_size");
    const tail = now.length === size ? ""
      : ` No session is left for the other lanes: the batch shrinks to ${now.length} of ${size} rows.`;
    return `Step ${t + 1} of ${last() + 1}. ${resets}${tail}`;
  }

  function draw() {
    const t = step();
    const now = rows(t);
    position.input.max = last();
    position.show(t);
    batch.show(model.get("batch_size"));
    forget.checked = forgotten = model.get("forgotten") === 1;
    draw_sessions(now);
    draw_lanes(t);
    const inside = guests(t);
    body.replaceChildren(...model.get("schedules").map((_, lane) => {
      const r = now.find((row) => row.lane === lane);
      const of = r && forgotten && inside.get(lane).length > 1 ? `of ${inside.get(lane).map(letter).join("")}` : null;
      const cells = r ? [letter(r.session), of ?? (r.reset ? "▌ zero" : "kept"), item(r.x), item(r.y)]
        : ["–", "ended", "–", "–"];
      const kind = lane >= model.get("batch_size") ? "rb-room" : r ? "" : "rb-muted"; // no lane, but its room is kept
      return html("tr", { class: kind }, html("th", { scope: "row" }, String(lane)),
        ...cells.map((cell) => html("td", {}, cell)));
    }));
    const tensor = (values) => `tensor([${values.join(", ")}])`;
    code.textContent = `X     = ${tensor(now.map((r) => r.x))}\nY     = ${tensor(now.map((r) => r.y))}\n`
      + `reset = ${tensor(now.map((r) => (r.reset && !forgotten ? "True" : "False")))}`;
    status.textContent = describe(t, now);
    sessions.setAttribute("aria-label", `Now read: sessions ${list(now.map((r) => letter(r.session)))}`);
    lanes.setAttribute("aria-label",
      now.map((r) => `Lane ${r.lane}: session ${letter(r.session)}, input ${r.x}, target ${r.y}`).join(". "));
  }

  const stop = follow(model, el, ["step", "batch_size", "forgotten"], draw);
  return () => { stop(); play.pause(); };
}

export default { render };
