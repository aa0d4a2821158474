// A review that grows character by character, beside it what might come next. All draws come from the package:
// written beforehand, and, where there is a kernel to ask, on demand.

const [END, UNKNOWN] = [0, 1]; // symbols; the alphabet's characters follow
const NAMED = { " ": ["␣", "space"], "\n": ["⏎", "newline"], "\t": ["⇥", "tab"] };
const RANKS = ["", "second ", "third ", "fourth ", "fifth ", "sixth "];
const DELAY = 80; // milliseconds a character
const WHOLE = 200; // characters: no review is longer
const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const plain = (value) => String(Math.round(value * 100) / 100 + 0).replace("-", "−"); // no −0
const percent = (p) => (p < 0.1 ? "< 0.1 %" : p > 99.9 ? "> 99.9 %" : `${p.toFixed(1)} %`);

/** What stands for a symbol, and its name if that is not the character itself. Nothing stays invisible. */
function sign(symbol, alphabet) {
  if (symbol === END) return ["∎", "the end"];
  if (symbol === UNKNOWN) return ["\ufffd", "unknown"];
  const character = alphabet[symbol - 2];
  const code = `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  if (character in NAMED) return NAMED[character];
  if (/[\p{C}\p{Z}]/u.test(character)) return [code, "invisible"];
  return /\p{M}/u.test(character) ? [`◌${character}`, code] : [character, ""];
}

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [users, items, ratings, predicted, temperature, draws, reviews] =
    ["users", "items", "ratings", "predicted", "temperature", "n_draws", "reviews"].map((name) => model.get(name));
  const alphabet = [...model.get("alphabet")];
  const put = (name, value) => { model.set(name, value); model.save_changes(); };
  const place = () => {
    const [user, item, rating, draw] = ["user", "item", "rating", "draw"].map((name) => model.get(name));
    return ((user * items.length + item) * ratings.length + rating) * draws + draw;
  };
  const fresh = new Map(); // place -> what the kernel wrote in its stead
  const review = () => fresh.get(place())?.draws ?? reviews[place()];
  const last = () => review().length - 1;
  const at = () => clamp(model.get("step"), 0, last());
  // What is whole stays so when another review is chosen.
  const move = (step) => put("step", step < last() ? Math.max(step, 0) : WHOLE);

  let timer = null;
  const pause = () => {
    clearInterval(timer);
    timer = null;
    whole.textContent = "Whole review";
    status.setAttribute("aria-live", "polite");
  };
  const go = (step) => { pause(); move(step); };
  const write = () => {
    if (timer) return pause();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return move(WHOLE);
    if (at() === last()) move(0);
    status.setAttribute("aria-live", "off"); // a voice that reads every character would never finish one
    whole.textContent = "Pause";
    timer = setInterval(() => {
      if (at() + 1 >= last()) pause(); // before the last one, so that the end is read
      move(at() + 1);
    }, DELAY);
  };
  el.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: at() - 1, ArrowRight: at() + 1, Home: 0, End: WHOLE };
    if (event.target.matches("select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    go(steps[event.key]);
  });

  const choices = [["user", users], ["item", items], ["rating", ratings.map(plain)]].map(([name, values]) => {
    const input = html("select", { "aria-label": name, onchange: () => { pause(); put(name, input.selectedIndex); } },
      ...values.map((value) => html("option", {}, value)));
    return { node: html("label", { class: "rb-select" }, html("span", {}, name), input),
      show: () => { input.selectedIndex = model.get(name); } };
  });
  const button = (text, key, onclick) =>
    html("button", { type: "button", title: `Key: ${key}`, "aria-keyshortcuts": key, onclick }, text);
  const next = button("Next character", "ArrowRight", () => go(at() + 1));
  const whole = html("button", { type: "button", onclick: write }, "Whole review");
  const again = button("Again", "Home", () => go(0));
  const other = html("button", { type: "button",
    onclick: () => { pause(); put("draw", (model.get("draw") + 1) % draws); } });

  let asked = temperature;
  const warmth = slider({ label: "temperature", min: 0, max: 2, step: 0.1, format: plain,
    oninput: (value) => { asked = value; warmth.show(value); } });
  warmth.show(asked);
  const ask = html("button", { type: "button", onclick: () => {
    pause();
    const [user, item, rating] = ["user", "item", "rating"].map((name) => model.get(name));
    status.textContent = "Writing …";
    model.send({ user, item, rating, temperature: asked, place: place() });
  } }, "Write anew");
  const live = !model.send ? "" // a page has no kernel to ask
    : html("div", { class: "rb-controls", role: "group", "aria-label": "A new review" }, warmth.node,
      html("div", { class: "rb-buttons" }, ask));
  const answered = (answer) => {
    if (!answer.draws) return;
    fresh.set(answer.place, answer);
    if (answer.place !== place()) return;
    put("step", 0);
    draw();
    write();
  };

  const title = html("p", { class: "rb-heading" });
  const breaks = (steps) => steps.filter(([symbol]) => alphabet[symbol - 2] === "\n").length;
  const lines = Math.max(...reviews.map((steps) => Math.ceil(steps.length / 34) + breaks(steps))); // on a phone
  const text = html("div", { class: "rb-code rb-paper", role: "group", "aria-label": "review so far",
    style: `min-height: ${1.5 * lines + 1.5}em` }); // room for the longest: nothing jumps
  const told = html("p");
  const body = html("tbody");
  const note = html("div");
  const status = html("p", { class: "rb-status rb-drawing", role: "status", "aria-live": "polite" });
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "The reviewer" },
      ...choices.map(({ node }) => node)),
    html("div", { class: "rb-buttons rb-writing" }, next, whole, again, draws > 1 ? other : ""),
    live,
    html("div", { class: "rb-panels" },
      html("div", {}, title, text, told),
      html("div", {}, html("p", { class: "rb-heading" }, "Likeliest next characters"),
        html("div", { class: "rb-next" }, html("table", { "aria-label": "likeliest next characters" },
          html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "character"), html("td"),
            html("th", { scope: "col", class: "rb-number" }, "probability"))), body)),
        note)),
    status);

  const mark = (symbol) => {
    const [shown, name] = sign(symbol, alphabet);
    return name ? html("span", { class: "rb-sign", title: name }, shown) : shown;
  };
  const written = (symbol) => { // spaces and accents as they are: a text has to be read
    const character = alphabet[symbol - 2];
    if (/^[ \p{M}]$/u.test(character)) return [character];
    return character === "\n" ? [mark(symbol), "\n"] : [mark(symbol)];
  };
  const spoken = (symbol) => {
    const [shown, name] = sign(symbol, alphabet);
    return name ? `${name} (${shown})` : `“${shown}”`;
  };
  const likeliest = ([, , ...rest]) => rest.flatMap((symbol, i) => (i % 2 ? [] : [[symbol, rest[i + 1]]]));
  const rank = (drawn) => {
    const place = likeliest(drawn).findIndex(([symbol]) => symbol === drawn[0]);
    return place < 0 ? "not among the likeliest" : `the ${RANKS[place]}likeliest`;
  };
  const row = (name, p, kind = "") => html("tr", { class: kind }, html("th", { scope: "row" }, ...name),
    html("td", { class: "rb-share" }, html("div", { style: `width: ${p}%` })),
    html("td", { class: "rb-number" }, percent(p)));

  function draw() {
    const [steps, k, n] = [review(), at(), last()];
    const over = k === n && steps[n][0] === END;
    choices.forEach(({ show }) => show());
    other.textContent = `Another draw (${model.get("draw") + 1} of ${draws})`;
    const [user, item, rating] = ["user", "item", "rating"].map((name) => model.get(name));
    title.textContent = `${users[user]} on ${items[item]}, rating it ${plain(ratings[rating])}`;
    told.textContent = `Rating that the model itself predicts: ${plain(predicted[user][item])}`;

    const { temperature: heat, seed } = fresh.get(place()) ?? { temperature };
    const how = (heat === 1 ? [] : [heat === 0 ? "Temperature 0: the likeliest is taken every time."
      : `Drawn at temperature ${plain(heat)}: ${heat < 1 ? "sharper" : "flatter"} than these.`])
      .concat(seed === undefined ? [] : [`Written now, with seed ${seed}.`]);
    note.replaceChildren(...how.length ? [html("p", { class: "rb-muted" }, how.join(" "))] : []);

    const symbols = steps.slice(0, k).map(([symbol]) => symbol);
    text.replaceChildren(...symbols.slice(0, -1).flatMap(written),
      ...symbols.slice(-1).map((symbol) => html("mark", {}, ...written(symbol))),
      over ? mark(END) : k === n ? html("span", { class: "rb-muted" }, "…")
        : html("span", { class: "rb-caret", "aria-hidden": "true" }));
    const now = likeliest(steps[k]);
    const others = alphabet.length + 2 - now.length;
    const rest = Math.max(0, Math.round(10 * now.reduce((left, [, p]) => left - p, 100)) / 10);
    body.replaceChildren(...now.map(([symbol, p]) => {
      const name = sign(symbol, alphabet)[1];
      return row([mark(symbol), name ? html("span", { class: "rb-muted" }, ` ${name}`) : ""], p,
        over && symbol === END ? "rb-drawn" : "");
    }), others ? row([count(others, "other")], rest, "rb-muted") : "");

    const [likely, p] = now[0];
    const coming = `Likeliest ${k ? "next" : "to begin"}: ${spoken(likely)}, ${percent(p)}.`;
    status.textContent = over ? `The review is over after ${count(n, "character")}: its end was drawn with `
        + `${percent(steps[n][1])}, ${rank(steps[n])}.`
      : k === n ? `Cut off after ${count(n, "character")}. ${coming}`
      : k ? `${count(k, "character")} so far. The last, ${spoken(symbols.at(-1))}, was drawn with `
        + `${percent(steps[k - 1][1])}, ${rank(steps[k - 1])}. ${coming}`
      : `Nothing is written yet. ${coming}`;
  }

  const stop = follow(model, el, ["user", "item", "rating", "draw", "step"], draw);
  model.on("msg:custom", answered);
  return () => { stop(); pause(); model.off("msg:custom", answered); };
}

export default { render };
