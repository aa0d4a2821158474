// Guess the next click of ten visitors, against a guess from all clicks and one from the last click alone.

const ICONS = { // 24 × 24, drawn with a line
  tent: "M2 20h20L12 4zM12 11l-4 9M12 11l4 9",
  stove: "M6 8h12v4a4 4 0 0 1-4 4h-4a4 4 0 0 1-4-4zM6 10H3M21 10h-3M10 21c-1-1.5.8-2 0-3.5M14 21c-1-1.5.8-2 0-3.5M10 5V4M14 5V4",
  boots: "M8 3h6v9l5 2.5a3 3 0 0 1 2 3V20H7a1 1 0 0 1-1-1V3zM6 17h15M14 7h-3M14 10h-3",
  socks: "M9 3h7v9l-6 7a3.5 3.5 0 0 1-5.5-4.5L9 10zM9 6.5h7",
  jeans: "M6 3h12l1.5 18H14l-2-11-2 11H4.5zM6 6.5h12",
  shirt: "M9 3.5c1.5 2 4.5 2 6 0L21 7l-2.5 4L16 9.8V21H8V9.8L5.5 11 3 7z",
};
const VISITORS = 10;

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [items, moods, stay, seed] = ["items", "moods", "stay", "seed"].map((name) => model.get(name));
  const percent = (p) => `${Math.round(100 * p)} %`;
  const widest = Math.ceil(10 * Math.max(...moods.flat())) / 10; // no guess is surer than a mood is
  const icon = (name) => svg("svg", { class: "rb-icon", viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("path", { d: ICONS[name] ?? "M4 4h16v16H4z" }));

  /** P(next item | clicks): the belief about the mood moves on with every click, Bayes' rule and a step of the chain. */
  const guess = (clicks) => {
    let belief = moods.map(() => 1 / moods.length);
    for (const click of clicks) {
      const seen = belief.map((b, k) => b * moods[k][click]);
      const total = seen.reduce((a, b) => a + b);
      belief = seen.map((b) => stay * b / total + (1 - stay) * (1 - b / total) / (moods.length - 1));
    }
    return items.map((_, i) => belief.reduce((sum, b, k) => sum + b * moods[k][i], 0));
  };
  const best = (p) => p.indexOf(Math.max(...p));

  // Visitors come from the world's own law: the same ones for the same seed.
  let state = seed ?? Math.floor(Math.random() * 2 ** 32);
  const random = () => { // mulberry32
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const draw = (p) => {
    let rest = random();
    const found = p.findIndex((each) => (rest -= each) < 0);
    return found < 0 ? p.length - 1 : found;
  };
  const visitor = () => {
    const clicks = [];
    for (let left = 2 + Math.floor(3 * random()); left > 0; left--) clicks.push(draw(guess(clicks)));
    return clicks;
  };

  // One round: what the visitor clicked, what came next (drawn once the reader has guessed), and what was guessed.
  let round = { clicks: model.get("clicks"), guessed: null, next: null }, playing = true, scores = [];
  const hit = (which) => scores.filter((score) => score[which].hit).length;
  const chance = (which) => scores.reduce((sum, score) => sum + score[which].chance, 0);

  function choose(i) {
    if (!playing) { put([...model.get("clicks"), i]); return; }
    const { clicks } = round, all = guess(clicks), last = guess(clicks.slice(-1)), next = draw(all);
    round = { clicks, guessed: i, next };
    const of = (k) => ({ hit: k === next, chance: all[k] });
    scores.push({ you: of(i), last: of(best(last)), all: of(best(all)) });
    show();
    again.focus({ preventScroll: true });
  }
  function put(clicks) { model.set("clicks", clicks); model.save_changes(); }
  function newcomer() {
    if (!playing) put([]);
    else {
      if (scores.length === VISITORS) scores = [];
      round = { clicks: visitor(), guessed: null, next: null };
      show();
      rows[0].button.focus({ preventScroll: true });
    }
  }
  function change() {
    playing = !playing;
    if (playing) round = { clicks: visitor(), guessed: null, next: null };
    show();
  }

  const question = html("p", { class: "rb-heading" }), strip = html("ol", { class: "rb-strip" });
  const [again, mode] = [roomy("Next visitor", newcomer), roomy("Be the visitor", change)];
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite" });
  const rows = items.map((name, i) => {
    const cells = [html("td"), html("td")];
    const button = html("button", { type: "button", onclick: () => choose(i) }, icon(name), html("span", {}, name));
    return { cells, button, node: html("tr", {}, html("th", { scope: "row" }, button), ...cells) };
  });
  const board = [["you", "You"], ["last", "The last click"], ["all", "All clicks"]].map(([key, label]) => {
    const dots = html("td", { class: "rb-hits" }), sum = html("td", { class: "rb-number" });
    return { key, label, dots, sum, node: html("tr", {}, html("th", { scope: "row" }, label), dots, sum) };
  });
  const score = html("table", { class: "rb-score" }, html("caption", {}, `Right guesses, of ${VISITORS}`),
    ...board.map((b) => b.node));
  el.append(question, strip,
    html("table", { class: "rb-guess" }, html("thead", {}, html("tr", {},
      ...["your guess", "from all clicks", "from the last click"].map((text) => html("th", { scope: "col" }, text)))),
      html("tbody", {}, ...rows.map((row) => row.node))),
    html("div", { class: "rb-buttons" }, again, mode), score, status);

  function show() {
    const clicks = playing ? round.clicks : model.get("clicks");
    const open = !playing || round.guessed !== null; // the other guesses are covered until the reader has made one
    const guesses = [guess(clicks), guess(clicks.slice(-1))];
    question.textContent = playing ? "What will this visitor click next?" : "You are the visitor. Click.";
    const card = (content, kind = "") => html("li", { class: `rb-card ${kind}` }, ...content);
    strip.replaceChildren(...clicks.slice(-6).map((i) => card([icon(items[i]), items[i]])),
      round.next !== null && playing ? card([icon(items[round.next]), items[round.next]], "rb-next")
        : card([html("span", { class: "rb-icon" }, "?"), "next"], "rb-next"));
    rows.forEach(({ cells, button }, i) => {
      button.disabled = playing && open;
      button.classList.toggle("rb-mine", playing && round.guessed === i);
      cells.forEach((cell, k) => {
        const p = guesses[k][i];
        cell.className = open ? (best(guesses[k]) === i ? "rb-best" : "") : "rb-covered";
        if (open) cell.dataset.value = p;
        else delete cell.dataset.value;
        const bar = html("span", { class: "rb-bar", style: `${colour(k)}; width: ${100 * p / widest}%` });
        cell.replaceChildren(...(open ? [bar, percent(p)] : ["·"]));
      });
    });
    again.textContent = playing && scores.length === VISITORS ? "Ten more" : "Next visitor";
    again.disabled = playing && !open;
    mode.textContent = playing ? "Be the visitor" : "Guess again";
    board.forEach(({ key, dots, sum }) => {
      dots.replaceChildren(...Array.from({ length: VISITORS }, (_, k) => html("span", {
        class: k >= scores.length ? "rb-open" : scores[k][key].hit ? "rb-hit" : "rb-miss" })));
      sum.textContent = hit(key);
      dots.setAttribute("aria-label", `${hit(key)} of ${scores.length}`);
    });
    const say = (k) => `${items[best(guesses[k])]}, ${percent(Math.max(...guesses[k]))}`;
    const expected = (key) => chance(key).toFixed(1);
    const told = `${clicks.length ? `Clicked: ${list(clicks.slice(-6).map((i) => items[i]))}. ` : "A new visitor. "}`;
    status.textContent = !open ? `${told}Your guess?`
      : !playing ? `${told}Best guess from all clicks: ${say(0)}; from the last click alone: ${clicks.length ? say(1) : "none"}.`
      : scores.length < VISITORS ? `Then: ${items[round.next]}. You guessed ${items[round.guessed]}, `
        + `${round.guessed === round.next ? "right" : "wrong"}. All clicks say ${say(0)}; the last one alone ${say(1)}.`
      : `After ten visitors: you ${hit("you")}, the last click ${hit("last")}, all clicks ${hit("all")}. Without luck, `
        + `guesses like these are right ${expected("you")}, ${expected("last")} and ${expected("all")} times in ten.`;
  }

  model.on("change:clicks", show);
  show();
  return () => model.off("change:clicks", show);
}

export default { render };
