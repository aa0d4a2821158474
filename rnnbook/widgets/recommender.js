// A recurrent recommender and a Kalman filter follow a user day by day, and the reader adds ratings.

const NAMES = ["RRN", "filter", "true taste"]; // also the styles in which they are drawn, 0 to 2
const DAYS = 14; // that are drawn of the past
const LATEST = 5; // ratings listed
const SIDE = 340; // of the pictures, in units of their own
const SHAPES = ["m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", "m-2.7-2.7h5.4v5.4h-5.4z", "m0-3.6l3.4 6h-6.8z", "m0-4l4 4l-4 4l-4-4z",
  "m-1.5-3.6h3v7.2h-3z", "m0 3.6l3.4-6h-6.8z"]; // of the points of the slopes
const NINETY = Math.sqrt(-2 * Math.log(0.1)); // standard deviations within which 90 % of a normal plane lie

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const dotted = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
/** Ratings are [day, item, rating]; those of a day, in the order in which they came. */
const ratedOn = (ratings, day) => ratings.filter(([when]) => when === day);

/** What the RRN says of each film on each morning from 0 to `last`, for the user in place `who`: arrays [n_items]. */
function rrnForecasts(net, who, ratings, last) {
  const { hidden: H, embedding: e, factors: d, mean, std } = net, n = net.films.length / (last + 1) / d;
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const times = (matrix, vector, row) => { // a row of a matrix with a vector
    let sum = 0;
    for (let j = 0, at = row * vector.length; j < vector.length; j++) sum += matrix[at + j] * vector[j];
    return sum;
  };

  /** One step of the LSTM: it reads the ratings of the place before, which was `gap` days ago, and the clock. */
  function next(before, read, day, gap) {
    const clock = [gap === null ? 1 : 0, net.start + net.pace * day, Math.log1p(24 * (gap ?? 0)) / 5, 1];
    const y = Float64Array.from({ length: e }, (_, k) => clock.reduce((sum, value, c) => sum + value * net.clock[c * e + k], 0));
    for (const [, item, rating] of read)
      for (let k = 0; k < e; k++)
        y[k] += (rating - mean) / std * net.embed[item * e + k] + net.embed[(n + item) * e + k];
    const gate = (g, j) => net.bias[g * H + j] + times(net.weight_ih, y, g * H + j) + times(net.weight_hh, before.h, g * H + j);
    const c = before.c.map((old, j) => sigmoid(gate(1, j)) * old + sigmoid(gate(0, j)) * Math.tanh(gate(2, j)));
    return { c, h: c.map((value, j) => sigmoid(gate(3, j)) * Math.tanh(value)) };
  }

  const said = [];
  let place = { c: new Float64Array(H), h: new Float64Array(H) }, read = [], since = null;
  for (let day = 0; day <= last; day++) {
    const now = next(place, read, day, since === null ? null : day - since);
    const u = Float64Array.from({ length: d }, (_, k) => net.anchor[who * d + k] + times(net.to_factors, now.h, k));
    const films = net.films.subarray(day * n * d, (day + 1) * n * d);
    said.push(Array.from({ length: n }, (_, item) => mean + std * (times(films, u, item) + net.still[who * n + item])));
    const today = ratedOn(ratings, day);
    if (today.length) [place, read, since] = [now, today, day]; // a day without a rating is no step
  }
  return said;
}

/** What the filter knows of the taste on each morning from 0 to `last`: [{mean, covariance}]. */
function filterBeliefs({ rho, noise, factors }, ratings, last) {
  const identity = factors[0].map((_, i) => factors[0].map((_, j) => Number(i === j)));
  let mean = factors[0].map(() => 0), covariance = identity;
  return Array.from({ length: last + 1 }, (_, day) => {
    const morning = { mean, covariance };
    for (const [, item, rating] of ratedOn(ratings, day)) {
      const q = factors[item], Pq = covariance.map((row) => dotted(row, q)), s = dotted(q, Pq) + noise ** 2;
      const surprise = rating - dotted(q, mean);
      mean = mean.map((m, i) => m + Pq[i] * surprise / s);
      covariance = covariance.map((row, i) => row.map((value, j) => value - Pq[i] * Pq[j] / s));
    }
    mean = mean.map((m) => rho * m);
    covariance = covariance.map((row, i) => row.map((value, j) => rho ** 2 * value + (1 - rho ** 2) * identity[i][j]));
    return morning;
  });
}

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [users, titles, world, ratings, tastes, k] =
    ["users", "items", "world", "ratings", "tastes", "k"].map((name) => model.get(name));
  const items = titles.map((title) => short(title, 30)); // what no text has room for is told by the pointer
  const { factors, reader } = world, n = items.length, last = tastes[0].length - 1, { unpack } = engine();
  const net = Object.fromEntries(Object.entries(model.get("net")).map(([name, value]) =>
    [name, typeof value === "string" ? unpack(value) : value]));
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const get = (name, most) => clamp(Math.round(model.get(name)), 0, most);
  const who = () => get("user", users.length - 1), now = () => Math.max(get("day", last), 1);

  // --- What both know, of each morning ---------------------------------------------------------------------

  /** The ratings that the reader added to a user's, as [day, item, rating]; the first morning is that of day 0. */
  function extra(user) {
    const flat = model.get("added"), fours = Array.from({ length: Math.floor(flat.length / 4) }, (_, i) => flat.slice(4 * i, 4 * i + 4));
    return fours.filter(([u, day, item, rating]) => u === user && day >= 1 && day <= last && item in items && Number.isFinite(rating))
      .map(([, day, item, rating]) => [day - 1, item, rating, true]);
  }
  const scores = (taste) => factors.map((q) => dotted(q, taste));
  const placesOf = (values) => { // the best film is in place 1
    const places = Array(n);
    values.map((_, i) => i).sort((a, b) => values[b] - values[a]).forEach((item, rank) => { places[item] = rank + 1; });
    return places;
  };
  /** Who is on the list has a look of its own, from 0, and keeps it until it leaves: of each morning {film: look}. */
  function looksOf(days) {
    let looks = {};
    return days.map((places) => {
      const on = [...places.keys()].filter((item) => places[item] <= k), stay = on.filter((item) => item in looks);
      const free = [...Array(k).keys()].filter((look) => !stay.some((item) => looks[item] === look));
      looks = Object.fromEntries(on.map((item) => [item, item in looks ? looks[item] : free.shift()]));
      return looks;
    });
  }
  let known = null, ran = null; // computed anew for another user or rating only
  function run() {
    const user = who(), key = [user, ...model.get("added")].join();
    if (key === ran) return known;
    const all = [...ratings[user], ...extra(user)].sort((a, b) => a[0] - b[0]);
    const ofRRN = rrnForecasts(net, user, all, last), beliefs = filterBeliefs(world, all, last);
    const said = [ofRRN, beliefs.map(({ mean }) => scores(mean)), tastes[user].map(scores)];
    const points = [ofRRN.map((values) => reader.map((row) => dotted(row, values))), beliefs.map(({ mean }) => mean), tastes[user]];
    const places = said.map((days) => days.map(placesOf));
    [known, ran] = [{ all, beliefs, said, points, places, looks: places.map(looksOf) }, key];
    return known;
  }

  // --- Elements --------------------------------------------------------------------------------------------

  const signed = (value) => {
    const text = (Math.round(100 * value) / 100 + 0).toFixed(2); // no −0.00
    return text === "0.00" ? text : text.startsWith("-") ? text.replace("-", "−") : `+${text}`;
  };
  const choice = (name, label, options) => {
    const input = html("select", { "aria-label": label, onchange: () => { play.pause(); put(name, input.selectedIndex); } },
      ...options.map((option) => html("option", {}, option)));
    return { input, node: html("label", { class: "rb-select" }, html("span", {}, label), input) };
  };
  const heading = (...text) => html("p", { class: "rb-heading" }, ...text);
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite" });
  const play = player({ root: el, status, get: now, set: (day) => put("day", Math.max(day, 1)), last: () => last, delay: 700 });
  const user = choice("user", "user", users);
  const day = slider({ label: "day", min: 1, max: last, format: (v) => `${v} of ${last}`, oninput: (v) => play.go(v) });

  // The plane: both axes have one scale, and the films have another one, since only their directions and lengths count.
  const reach = Math.max(2.5, ...tastes.flat().flatMap((taste) => taste.slice(0, 2).map(Math.abs))) * 1.08;
  const farthest = 1.2 * Math.max(...factors.map(([x, y]) => Math.max(Math.abs(x), Math.abs(y))));
  const at = (point, scale = reach) => point.slice(0, 2).map((value, axis) =>
    clamp(SIDE / 2 * (1 + (axis ? -value : value) / scale), 4, SIDE - 4));
  const films = factors.map((q, item) => {
    const [cx, cy] = at(q, farthest), text = svg("text", { class: "rb-label" }, short(items[item], 20)), line = svg("path", { class: "rb-rule" });
    const node = svg("g", { onclick: () => put("film", item) }, svg("circle", { class: "rb-target", cx, cy, r: 10 }),
      svg("circle", { class: "rb-dot", cx, cy, r: 3.5, style: "--c: var(--rb-muted)" }), text, svg("title", {}, titles[item]));
    return { cx, cy, text, line, node, size: Math.hypot(...q), named: true };
  });
  function placeNames(widths) { // where there is room, the strongest films first
    const taken = films.map((each) => ({ of: each, box: [each.cx - 6, each.cy - 6, each.cx + 6, each.cy + 6] }));
    for (const each of [...films].sort((a, b) => b.size - a.size)) {
      const { cx, cy, text } = each, width = widths.get(text);
      const spots = [[cx + 7, cy + 4], [cx - 7 - width, cy + 4], ...[cx - width / 2, cx - 5, cx + 5 - width].flatMap((x) =>
        [[x, cy - 8], [x, cy + 16]])];
      const room = ([x, y]) => ({ of: each, box: [x, y - 9, x + width, y + 2] });
      const inside = ({ box: [x, y, right, low] }) => x > 2 && y > 2 && right < SIDE - 2 && low < SIDE - 2;
      const apart = ({ box: a }) => taken.every(({ of, box: b }) =>
        of === each || a[0] > b[2] || b[0] > a[2] || a[1] > b[3] || b[1] > a[3]);
      const free = spots.find((spot) => inside(room(spot)) && apart(room(spot)));
      const [x, y] = free ?? spots.find((spot) => inside(room(spot))) ?? spots[0];
      each.named = Boolean(free);
      if (free) taken.push(room(free));
      Object.entries({ x, y }).forEach(([name, value]) => text.setAttribute(name, value));
    }
  }
  const trails = NAMES.map((_, i) => svg("polyline", { class: "rb-curve rb-trail", style: style(i) }));
  const pushes = NAMES.slice(0, 2).map((_, i) => svg("line", { class: "rb-curve rb-strong", style: colour(i) }));
  const ellipse = svg("ellipse", { class: "rb-ellipse", style: colour(1) });
  const marks = NAMES.map((_, i) => svg("path", { class: "rb-dot", d: MARKS[i], style: colour(i) }));
  const plane = svg("svg", { class: "rb-taste", viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img" },
    svg("path", { class: "rb-grid", d: `M${SIDE / 2} 0V${SIDE}M0 ${SIDE / 2}H${SIDE}` }),
    ...films.map(({ line }) => line), ellipse, ...trails, ...pushes, ...films.map(({ node }) => node), ...marks);

  // The slopes: a line for each film, coloured while it is on the list.
  const row = 46, column = 14, left = 22, low = 16 + (k - 0.6) * row;
  const X = (back) => left + (DAYS - 1 - back) * column, Y = (place) => 16 + (Math.min(place, k + 1) - 1) * row;
  let shown = null; // the film whose line is pointed at
  const point = (item) => { shown = item; tell(); };
  const slopes = items.map((name, item) => {
    const line = svg("polyline", { class: "rb-curve" });
    const target = svg("polyline", { class: "rb-target" }), dots = svg("path", { class: "rb-dot" });
    const text = svg("text", { x: X(0) + 9 });
    const node = svg("g", { tabindex: 0, role: "img", onfocus: () => point(item), onpointerenter: () => point(item),
      onblur: () => point(null), onpointerleave: () => point(null) }, target, line, dots, text);
    return { node, line, target, dots, text };
  });
  const ends = ["start", "end"].map((anchor) => svg("text", { class: "rb-muted", y: low + 14, "text-anchor": anchor }));
  const slope = svg("svg", { class: "rb-slopes", viewBox: `0 0 ${SIDE} ${low + 18}`, role: "group" },
    ...Array.from({ length: k }, (_, i) => svg("text", { class: "rb-muted", x: 8, y: Y(i + 1) + 4, "text-anchor": "middle" }, i + 1)),
    ...ends, svg("svg", { height: low, style: "overflow: hidden" }, ...slopes.map(({ node }) => node)));
  const told = html("p", { class: "rb-muted rb-told" });
  const group = `rb-ranks-${Math.random().toString(36).slice(2)}`;
  const radios = NAMES.map((name, i) => html("label", {}, html("input", { type: "radio", name: group,
    onchange: () => put("ranks", i) }), name));

  const cells = Array.from({ length: LATEST }, () => html("tr", {}, html("th", { scope: "row" }),
    ...Array.from({ length: 4 }, () => html("td", { class: "rb-number" }))));
  const table = html("table", { class: "rb-rated" }, html("caption", {}, "The latest ratings, and what both expected of them"),
    html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "film"), ...["day", "rated", "RRN", "filter"].map((name) => html("th", { scope: "col", class: "rb-number" }, name)))),
    html("tbody", {}, ...cells));

  const film = choice("film", "film", items);
  const rating = slider({ label: "rating", min: -4, max: 4, step: 0.1, format: signed, oninput: (v) => put("rating", v) });
  const button = (text, onclick) => html("button", { type: "button", onclick }, text);
  const add = roomy(`Add on day ${last}`, () => { play.pause(); put("added", [...model.get("added"), who(), now(), get("film", n - 1), model.get("rating")]); });
  const undo = button("Undo", () => {
    const flat = model.get("added");
    const start = [...Array(Math.floor(flat.length / 4)).keys()].map((i) => 4 * i).findLast((i) => flat[i] === who());
    put("added", [...flat.slice(0, start), ...flat.slice(start + 4)]);
  });
  const expected = html("p", { class: "rb-muted rb-expected" });

  const ring = svg("svg", { class: "rb-swatch", "aria-hidden": "true" },
    svg("ellipse", { class: "rb-ellipse", style: colour(1), cx: 16, cy: 6, rx: 14, ry: 5 }), mark(1, 16, 6, 0.8));
  el.append(
    heading("Play the days, and see each rating push what is known of the user. Then add ratings of your own."),
    html("div", { class: "rb-controls", role: "group", "aria-label": "Inside the RRN" }, user.node, play.node, day.node),
    html("div", { class: "rb-panels" },
      html("div", {}, heading("The plane of tastes"), plane, html("p", { class: "rb-key" },
        html("span", {}, swatch(0), "as the RRN sees it"), html("span", {}, ring, "filter, and where it is 90 % sure"),
        html("span", {}, swatch(2), "true taste"),
        html("span", {}, swatch("rule"), "direction of the day's film"))),
      html("div", {}, html("fieldset", { class: "rb-choices" }, html("legend", { class: "rb-heading" }, `The ${k} best films, by`),
        ...radios), slope, told)),
    table,
    html("div", { class: "rb-controls rb-add", role: "group", "aria-label": "Add a rating" }, film.node, rating.node,
      html("div", { class: "rb-buttons" }, add, undo)),
    expected, status);

  function name() { // by the widths of the letters, once they are laid out, and bold as a name may become
    const texts = [...films, ...slopes].map(({ text }) => text);
    texts.forEach((text) => { text.style.fontWeight = "bold"; });
    slopes.forEach(({ text }, item) => {
      let most = 20;
      do text.textContent = short(items[item], most--); while (text.getComputedTextLength() > SIDE - X(0) - 11);
    });
    placeNames(new Map(films.map(({ text }) => [text, text.getComputedTextLength()])));
    texts.forEach((text) => { text.style.fontWeight = ""; });
  }

  // --- What is seen ----------------------------------------------------------------------------------------

  const away = (a, b) => Math.hypot(...a.map((value, i) => value - b[i]));
  const spot = (point) => at(point).map((v) => v.toFixed(1));

  function tell() {
    const by = get("ranks", 2), to = now(), from = Math.max(1, to - DAYS + 1), { places } = run();
    slopes.forEach(({ node }, item) => node.classList.toggle("rb-lit", item === shown));
    slope.classList.toggle("rb-pointed", shown !== null);
    const [before, after] = [from, to].map((t) => places[by][t][shown]);
    told.textContent = shown === null ? "Point at a line, or tab to it."
      : `${items[shown]}: place ${before} of ${n} after day ${from}, ${after} after day ${to}.`;
  }

  function show() {
    const i = who(), to = now(), from = Math.max(1, to - DAYS + 1), by = get("ranks", 2);
    const { all, beliefs, said, points, places, looks } = run(), today = ratedOn(all, to - 1);
    user.input.selectedIndex = i;
    day.show(to);

    films.forEach(({ node, line, named }, item) => {
      const rated = today.some(([, each]) => each === item), [x, y] = factors[item];
      const [dx, dy] = [x, -y].map((value) => SIDE * value / Math.hypot(x, y)); // from the middle to beyond the edge
      node.setAttribute("class", `rb-film${rated ? " rb-today" : named ? "" : " rb-unnamed"}`);
      line.setAttribute("d", rated ? `M${SIDE / 2 - dx} ${SIDE / 2 - dy}l${2 * dx} ${2 * dy}` : "");
    });
    trails.forEach((trail, each) =>
      trail.setAttribute("points", points[each].slice(from - 1, to + 1).map((point) => spot(point).join()).join(" ")));
    pushes.forEach((push, each) => [to - 1, to].forEach((t, end) => spot(points[each][t]).forEach((value, axis) =>
      push.setAttribute(`${"xy"[axis]}${end + 1}`, value))));
    marks.forEach((node, each) => node.setAttribute("transform", `translate(${spot(points[each][to])}) scale(1.5)`));
    const [[a, b], [, c]] = beliefs[to].covariance, spread = Math.hypot((a - c) / 2, b);
    const [rx, ry] = [1, -1].map((sign) => NINETY * Math.sqrt((a + c) / 2 + sign * spread) * SIDE / 2 / reach);
    const angle = -Math.atan2(2 * b, a - c) / 2 * 180 / Math.PI; // screens count downwards
    Object.entries({ rx, ry, transform: `translate(${spot(points[1][to])}) rotate(${angle})` })
      .forEach(([name, value]) => ellipse.setAttribute(name, value));
    const where = (point) => `(${point.slice(0, 2).map(signed).join(", ")})`;
    plane.setAttribute("aria-label", `The plane of tastes after day ${to}: `
      + list(NAMES.map((name, each) => `${name} at ${where(points[each][to])}`)));

    radios.forEach((radio, each) => { radio.firstChild.checked = each === by; });
    const days = Array.from({ length: to - from + 1 }, (_, t) => from + t), best = [];
    slopes.forEach(({ node, line, target, dots, text }, item) => {
      const look = looks[by][to][item] ?? 0;
      const own = days.map((t) => places[by][t][item]), place = own.at(-1), xy = own.map((p, t) => [X(to - days[t]), Y(p)]);
      node.setAttribute("style", place > k ? "--c: var(--rb-muted)" : colour(look));
      node.setAttribute("class", own.every((p) => p > k) ? "rb-never" : place > k ? "rb-gone" : "");
      [line, target].forEach((each) => each.setAttribute("points", xy.join(" ")));
      dots.setAttribute("d", xy.filter((_, t) => own[t] <= k).map((spot) => `M${spot.join(" ")}${SHAPES[look % 6]}`).join(""));
      text.setAttribute("y", Y(place) + 4);
      if (place <= k) best[place - 1] = items[item];
      node.setAttribute("aria-label", `${items[item]}: place ${own[0]} after day ${from}, ${place} after day ${to}`);
    });
    ends.forEach((text, end) => {
      text.setAttribute("x", end ? X(0) + 4 : X(to - from) - 4);
      text.textContent = end ? `day ${to}` : to > from + 6 ? `day ${from}` : "";
    });
    slope.setAttribute("aria-label", `The best films by the ${NAMES[by]} after day ${to}: ${list(best)}`);
    tell();

    const latest = all.filter(([t]) => t < to).slice(-LATEST).reverse();
    cells.forEach((node, r) => {
      const [t, item, value, own] = latest[r] ?? [], values = latest[r] ? [value, said[0][t][item], said[1][t][item]].map(signed) : [];
      const texts = latest[r] ? [items[item] + (own ? " (yours)" : ""), t + 1, ...values] : Array(5).fill("\u00a0");
      node.className = t === to - 1 ? "rb-today" : "";
      texts.forEach((text, cell) => { node.cells[cell].textContent = text; });
      node.cells[0].title = titles[item] ?? "";
    });

    const picked = get("film", n - 1);
    film.input.selectedIndex = picked;
    rating.show(model.get("rating"));
    add.textContent = `Add on day ${to}`;
    undo.disabled = !extra(i).length;
    expected.textContent = `Of ${items[picked]} the RRN now expects ${signed(said[0][to][picked])}, the filter ${signed(said[1][to][picked])}.`;

    const [last_rated] = today.slice(-1), truth = points[2][to];
    status.textContent = `${users[i]} after day ${to}: ${last_rated ? `${items[last_rated[1]]} rated ${signed(last_rated[2])}, where the RRN expected `
      + `${signed(said[0][to - 1][last_rated[1]])} and the filter ${signed(said[1][to - 1][last_rated[1]])}` : "nothing rated"}. `
      + `From the true taste the RRN is ${away(points[0][to], truth).toFixed(2)} away, the filter ${away(points[1][to], truth).toFixed(2)}.`;
  }

  const keys = ["user", "day", "ranks", "film", "rating", "added"];
  keys.forEach((key) => model.on(`change:${key}`, show));
  show();
  const stop = follow(model, el, [], () => { name(); show(); });
  return () => { stop(); play.pause(); keys.forEach((key) => model.off(`change:${key}`, show)); };
}

export default { render };
