// Two views of a recurrent recommender's users: the way of a taste, and what would have been recommended when.

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const fixed = (value, plus = "") => { // no −0.00
  const rounded = Math.round(value * 100) / 100 + 0;
  return (rounded > 0 ? plus : "") + rounded.toFixed(2).replace("-", "−");
};

/** A labelled select over names; show(i) to set it, oninput gets the index that the reader chose. */
function choice(label, names, oninput) {
  const input = html("select", { "aria-label": label, onchange: () => oninput(input.selectedIndex) },
    ...names.map((name) => html("option", {}, name)));
  return { node: html("label", { class: "rb-select" }, html("span", {}, label), input),
    show: (i) => { input.selectedIndex = i; } };
}

/** A table that scrolls where it must, by keys too; fill(rows) with rows of cells, the first the row's head. */
function rows(label, columns) {
  const body = html("tbody");
  const name = (i) => (i ? { class: "rb-number" } : {});
  const node = html("div", { class: "rb-scroll rb-rows", tabindex: 0, role: "region", "aria-label": label },
    html("table", {}, html("thead", {}, html("tr", {}, ...columns.map((column, i) =>
      html("th", { scope: "col", ...name(i) }, column)))), body));
  const row = ([head, ...cells]) => html("tr", {}, html("th", { scope: "row" }, ...[head].flat()),
    ...cells.map((cell) => html("td", name(1), cell)));
  return { node, fill: (all) => body.replaceChildren(...all.map(row)) };
}

const badge = (i, text) => html("span", { class: "rb-badge", style: colour(i) }, text);
const key = (icon, text) => html("span", {}, icon, text);
const picture = () => svg("svg", { role: "img" });
const heading = (...text) => html("p", { class: "rb-heading" }, ...text);
const announcer = () => html("p", { class: "rb-status", role: "status", "aria-live": "polite" });

/** Draw one user's path up to a step into the SVG element `frame`: both axes have the same scale. */
function plane(frame, { paths, users, shares, user, step }) {
  const width = Math.max(frame.parentNode.clientWidth, 200); // 0 before the page is laid out
  const [height, top, bottom, edge] = [330, 20, 20, 14]; // pixels
  const range = [0, 1].map((axis) => {
    const values = paths.flat().map((point) => point[axis]);
    return [Math.min(...values), Math.max(...values)];
  });
  const room = [width - 2 * edge, height - top - bottom - 2 * edge];
  const scale = Math.min(...range.map(([low, high], axis) => room[axis] / (high - low)));
  const at = (point) => point.map((v, axis) => { // screens count downwards
    const away = (v - (range[axis][0] + range[axis][1]) / 2) * (Number.isFinite(scale) ? scale : 1);
    return axis ? top + (height - top - bottom) / 2 - away : width / 2 + away;
  });
  const path = paths[user].map(at);
  const line = (from, attributes) => svg("line", { class: "rb-curve", x1: path[from][0], y1: path[from][1],
    x2: path[from + 1][0], y2: path[from + 1][1], ...attributes });
  const age = (i) => (0.15 + 0.85 * (i + 1) / (step + 1)).toFixed(2);
  const past = [...Array(step).keys()];
  const axis = (i) => `${["first", "second"][i]} component, ${Math.round(100 * shares[i])} % of the variance`;
  frame.setAttribute("height", height);
  frame.setAttribute("viewBox", `0 0 ${width} ${height}`);
  frame.replaceChildren(
    svg("text", { x: 0, y: 12, class: "rb-muted" }, axis(1)),
    svg("text", { x: width, y: height - 4, "text-anchor": "end", class: "rb-muted" }, axis(0)),
    svg("rect", { class: "rb-plane", x: 0.5, y: top + 0.5, width: width - 1, height: height - top - bottom }),
    ...paths.flatMap((other, i) => (i === user ? [] : [at(other.at(-1))].map(([cx, cy]) =>
      svg("circle", { class: "rb-other", cx, cy, r: 3 }, svg("title", {}, users[i]))))),
    ...past.map((i) => line(i, { style: colour(0), "stroke-opacity": age(i) })),
    ...past.map((i) => svg("circle", { cx: path[i][0], cy: path[i][1], r: 2.2, "fill-opacity": age(i),
      style: `${colour(0)}; fill: var(--c)` })),
    line(step, { style: style(1) }), mark(1, ...path[step + 1], 0.9), mark(0, ...path[step], 1.5));
}

function tasteExplorer({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [users, items, shares, paths, times, ratings] =
    ["users", "items", "shares", "paths", "times", "ratings"].map((name) => model.get(name));
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const errors = ratings.map((steps) => steps.map((step) => mean(step.map(([, r, p]) => Math.abs(p - r)))));

  const who = choice("user", users, (i) => put("user", i));
  const when = slider({ label: "step", min: 1, max: 1, oninput: (v) => put("step", v - 1),
    format: (v) => `${v} of ${times[model.get("user")].length}` });
  const [map, curve] = [picture(), picture()];
  const title = heading();
  const table = rows("ratings of the step", ["item", "rating", "predicted", "error"]);
  const status = announcer();
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "Taste explorer" }, who.node, when.node),
    html("div", { class: "rb-panels" },
      html("div", {}, heading("The way of the taste"), html("div", {}, map), html("p", { class: "rb-key" },
        key(swatch(0), "so far, older parts fainter"), key(swatch(1), "on to the next step"),
        users.length > 1 ? key(svg("svg", { class: "rb-swatch", "aria-hidden": "true", style: "width: 8px" },
          svg("circle", { class: "rb-other", cx: 4, cy: 6, r: 3 })), "other users at their end") : "")),
      html("div", {}, title, table.node, heading("Mean |error| of each step"), html("div", {}, curve))),
    status);

  function draw() {
    const user = model.get("user");
    const n = times[user].length;
    const step = clamp(model.get("step"), 0, n - 1);
    who.show(user);
    when.input.max = n;
    when.show(step + 1);
    plane(map, { paths, users, shares, user, step });
    const now = ratings[user][step];
    title.textContent = `Rated at step ${step + 1}, ${times[user][step]}`;
    table.fill(now.map(([item, r, p]) => [items[item], fixed(r), fixed(p), fixed(p - r, "+")]));
    const [error, usual] = [errors[user][step], mean(errors[user])];
    chart(curve, { height: 170, cursor: step + 1, x: { domain: [0, Math.max(n, 5) + 0.5], label: "step" },
      y: { domain: [0, 1.1 * Math.max(...errors[user]) || 1], label: "|predicted − rated|" },
      lines: [{ style: 0, points: errors[user].map((v, i) => [i + 1, v]) }],
      dots: [{ x: step + 1, y: error, style: 0 }] });
    const [[x, y], [a, b]] = paths[user].slice(step, step + 2);
    map.setAttribute("aria-label", `Path of ${users[user]} up to step ${step + 1}, from `
      + `(${paths[user][0].map((v) => number(v, 2)).join(", ")}) to (${number(x, 2)}, ${number(y, 2)})`);
    const [least, most] = [Math.min, Math.max].map((f) => fixed(f(...errors[user])));
    curve.setAttribute("aria-label", `Mean absolute error of ${users[user]} at ${count(n, "step")}, from `
      + `${least} to ${most}; at step ${step + 1} ${fixed(error)}`);
    const [item, r, p] = now[0];
    const what = now.length > 1 ? `${now.length} ratings, mean |error| ${fixed(error)}`
      : `${items[item]} rated ${fixed(r)}, predicted ${fixed(p)}, |error| ${fixed(error)}`;
    status.textContent = `${users[user]}, step ${step + 1} of ${n}, ${times[user][step]}: ${what}, against `
      + `${fixed(usual)} over all steps. To the next step the taste moves by `
      + `${number(Math.hypot(a - x, b - y), 2)} in the plane.`;
  }

  return follow(model, el, ["user", "step"], draw);
}

function timeTravel({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [users, items, dates, lists, unrated, rated, counts] =
    ["users", "items", "dates", "lists", "unrated", "rated", "n_rated"].map((name) => model.get(name));
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const days = dates.map((date) => (Date.parse(date) - Date.parse(dates[0])) / 864e5);
  const lines = lists.map((each, i) => { // of each user: means of the lists and of all that is unrated
    const points = (value) => each.flatMap((top, t) => (top.length ? [[days[t], value(top, t)]] : []));
    return [points((top) => mean(top.map(([, v]) => v))), points((top, t) => unrated[i][t][1])];
  });

  const who = choice("user", users, (i) => put("user", i));
  const when = slider({ label: "date", min: 0, max: dates.length - 1, oninput: (v) => put("date", v),
    format: (i) => dates[i] });
  const [first, second] = [heading(), heading()];
  const top = rows("recommended", ["item", "predicted"]);
  const since = rows("rated in between", ["item", "rating"]);
  const curve = picture();
  const status = announcer();
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "Time travel" }, who.node, when.node),
    html("div", { class: "rb-panels" }, html("div", {}, first, top.node, second, since.node),
      html("div", {}, heading("Mean predicted rating"), html("div", {}, curve), html("p", { class: "rb-key" },
        key(swatch(0), "of the list"), key(swatch(1), "of all unrated items")))),
    status);

  function draw() {
    const [user, t] = [model.get("user"), model.get("date")];
    const [now, [n, usual], between] = [lists[user][t], unrated[user][t], rated[user][t]];
    const before = (t ? lists[user][t - 1] : now).map(([item]) => item);
    const fresh = now.filter(([item]) => !before.includes(item)).map(([item]) => items[item]);
    who.show(user);
    when.show(t);
    first.textContent = now.length ? `Recommended on ${dates[t]}` : `Nothing is left to recommend on ${dates[t]}`;
    top.fill(now.map(([item, v]) => [[items[item], before.includes(item) ? "" : badge(2, "new")], fixed(v)]));
    const n_rated = counts[user][t];
    const more = n_rated > between.length ? `, the last ${between.length} of ${n_rated}` : "";
    second.textContent = `${n_rated ? "Rated" : "Nothing rated"} `
      + `${t ? `since ${dates[t - 1]}` : "earlier"}${more}`;
    since.fill(between.map(([item, v]) =>
      [[items[item], t && before.includes(item) ? badge(1, "was on the list") : ""], fixed(v)]));

    const values = lines[user].flat().map(([, v]) => v);
    const [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 0];
    const margin = 0.1 * (high - low) || 1;
    chart(curve, { height: 240, cursor: days[t],
      x: { domain: [0, days.at(-1) || 1], label: `days since ${dates[0]}` },
      y: { domain: [low - margin, high + margin], label: "predicted rating" },
      lines: lines[user].map((points, i) => ({ style: i, points })),
      dots: lines[user].flatMap((points, i) =>
        points.filter(([x]) => x === days[t]).map(([x, y]) => ({ x, y, style: i }))) });
    curve.setAttribute("aria-label", `Mean predicted ratings of ${users[user]} on ${count(dates.length, "date")}, `
      + "of the list and of all unrated items; the text below has those of the date");
    status.textContent = `${users[user]} on ${dates[t]}: ` + (now.length
      ? `${list(now.map(([item]) => items[item]))}; mean predicted rating ${fixed(mean(now.map(([, v]) => v)))}, `
        + `against ${fixed(usual)} of all ${count(n, "item")} not yet rated. ` : "every item is rated. ")
      + (t ? `New since ${dates[t - 1]}: ${list(fresh) || "none"}. ${count(n_rated, "rating")} in between.`
        : `${count(n_rated, "rating")} before.`);
  }

  return follow(model, el, ["user", "date"], draw);
}

const render = (context) => (context.model.get("dates") ? timeTravel : tasteExplorer)(context);

export default { render };
