// A character LSTM in the page: it goes on with a review that the reader has begun, beside the best anyone could say.

const [END, UNKNOWN] = [0, 1]; // symbols; the alphabet's characters follow
const NAMED = { " ": ["␣", "space"], "\n": ["⏎", "newline"], "\t": ["⇥", "tab"] };
const [LISTED, LEAST] = [11, 0.005]; // so many next characters are listed, if they are as probable
const DELAY = 80; // milliseconds a character
const MOST_BITS = 8; // of surprise, where the scale ends
const plain = (value) => String(Math.round(value * 100) / 100 + 0).replace("-", "−"); // no −0
const percent = (p) => // the space does not break
  (p < 0.001 ? "< 0.1\u00a0%" : p > 0.999 ? "> 99.9\u00a0%" : `${(100 * p).toFixed(1)}\u00a0%`);
const inBits = (value) => (value === Infinity ? "∞" : (value + 0).toFixed(1));
const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/** The character LSTM of the package: step(symbol, x, state) returns P(next symbol) and the next state. */
function characterWriter({ layers, characters, output, bias }, d) {
  const n = bias.length, size = characters.length / n, sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const dot = (matrix, row, values) => {
    let sum = 0;
    for (let k = 0, at = row * values.length; k < values.length; k++, at++) sum += matrix[at] * values[k];
    return sum;
  };
  const begin = () => layers.map(() => ({ h: new Float64Array(d), c: new Float64Array(d) }));
  function step(symbol, x, before = begin()) {
    let y = Float64Array.of(...characters.subarray(symbol * size, (symbol + 1) * size), ...x);
    const state = layers.map((layer, l) => {
      const { input, state, bias: constant } = layer, { h: left, c: kept } = before[l];
      const gate = (g, k, row = g * d + k) => constant[row] + dot(input, row, y) + dot(state, row, left);
      const h = new Float64Array(d), c = new Float64Array(d);
      for (let k = 0; k < d; k++) { // input, forget, candidate, output
        c[k] = sigmoid(gate(1, k)) * kept[k] + sigmoid(gate(0, k)) * Math.tanh(gate(2, k));
        h[k] = sigmoid(gate(3, k)) * Math.tanh(c[k]);
      }
      y = h;
      return { h, c };
    });
    const logits = bias.map((b, i) => b + dot(output, i, y)), most = Math.max(...logits);
    const p = logits.map((value) => Math.exp(value - most)), total = p.reduce((a, b) => a + b);
    return { p: p.map((value) => value / total), logits, state };
  }
  return step;
}

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
  const E = engine();
  const [users, items, told, slope, predicted, pasts, limits, longest] =
    ["users", "items", "told", "slope", "predicted", "pasts", "limits", "length"].map((name) => model.get(name));
  const alphabet = [...model.get("alphabet")], codes = new Map(alphabet.map((character, i) => [character, i + 2]));
  const unpacked = (value) => (typeof value === "string" ? E.unpack(value) : Array.isArray(value) ? value.map(unpacked)
    : Object.fromEntries(Object.entries(value).map(([name, each]) => [name, unpacked(each)])));
  const read = characterWriter(unpacked(model.get("weights")), model.get("hidden_size"));
  const world = model.get("law").words && reviewWorld(model.get("law"));
  const put = (changes) => {
    Object.entries(changes).forEach(([name, value]) => { if (model.get(name) !== value) model.set(name, value); });
    model.save_changes();
  };

  // --- The review: what was typed, and what was drawn ---------------------------------------------------------

  const typed = () => [...model.get("start")].slice(0, longest);
  const asked = () => {
    const [user, item, rating] = ["user", "item", "rating"].map((name) => model.get(name)), own = predicted[user][item];
    return { user, item, own, rating: model.get("as_predicted") ? null : rating };
  };
  let written = null, made = ""; // the steps of this review, each a symbol and what was probable before it; for what
  /** As much of the review as is asked for. What was computed before for the same settings is kept. */
  function run() {
    const { user, item, own, rating } = asked(), start = typed(), temperature = model.get("temperature");
    const now = JSON.stringify([user, item, rating, start, temperature, model.get("seed")]);
    if (now !== made) {
      const x = told[user][item].map((sum, i) => Math.tanh(sum + (rating === null ? 0 : (rating - own) * slope[i])));
      written = { x, steps: [], next: read(END, x), random: E.generator([model.get("seed")]) };
      start.forEach((character) => append(codes.get(character) ?? UNKNOWN, character));
      made = now;
    }
    const { steps } = written;
    while (steps.length < longest && steps.at(-1)?.symbol !== END && steps.length - start.length < model.get("step"))
      append(draw(written.next.logits, temperature, written.random()));
    // The end of a review is drawn too, and stands after its last character.
    return { start, steps: steps.slice(0, start.length + model.get("step")), rating };
  }
  function append(symbol, character = alphabet[symbol - 2] ?? "\ufffd") {
    const { steps, next, x } = written;
    steps.push({ symbol, character, p: next.p });
    if (symbol !== END) written.next = read(symbol, x, next.state);
  }
  function draw(logits, temperature, u) { // as the package draws
    const most = Math.max(...logits);
    const mass = logits.map((value) => Math.exp((value - most) / Math.max(temperature, 1e-6)));
    const total = mass.reduce((a, b) => a + b);
    let sum = 0;
    const drawn = mass.findIndex((each) => (sum += each / total) > u);
    return drawn < 0 ? mass.length - 1 : drawn;
  }
  /** Of each place in the text the optimum's Map from the next character to its probability. */
  function optimum(steps, item, rating) {
    const text = steps.filter(({ symbol }) => symbol !== END).map(({ character }) => character).join("");
    const [ratings, words] = pasts[item], known = rating === null ? ratings : [...ratings, rating];
    return world.follow(text, world.wordChances(world.posterior(known, words), rating));
  }

  // --- What the reader does ------------------------------------------------------------------------------------

  let timer = null;
  const drawn = () => run().steps.length - typed().length;
  const ended = () => { const { steps } = run(); return steps.at(-1)?.symbol === END || steps.length >= longest; };
  const pause = () => {
    clearInterval(timer);
    timer = null;
    whole.textContent = "Whole review";
    status.setAttribute("aria-live", "polite");
  };
  const change = (changes) => { pause(); put(changes); };
  const next = () => {
    put({ step: drawn() + 1 });
    if (ended()) change({ step: longest + 1 }); // what is whole stays so when something else is chosen
  };
  const write = () => {
    if (timer) return pause();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return put({ step: longest + 1 });
    if (ended()) put({ step: 0 });
    if (ended()) return; // the reader has typed all there may be
    status.setAttribute("aria-live", "off"); // a voice that reads every character would never finish one
    whole.textContent = "Pause";
    timer = setInterval(next, DELAY);
  };

  const choice = (name, values) => {
    const input = html("select", { "aria-label": name, onchange: () => change({ [name]: input.selectedIndex }) },
      ...values.map((value) => html("option", {}, value)));
    return { input, node: html("label", { class: "rb-select" }, html("span", {}, name), input) };
  };
  const choices = [choice("user", users), choice("item", items)];
  const wish = slider({ label: "rating", min: limits[0], max: limits[1], step: 0.1, format: plain,
    oninput: (rating) => change({ rating, as_predicted: 0 }) });
  const forecast = html("span"), free = html("input", { type: "checkbox",
    onchange: () => change({ as_predicted: Number(free.checked), rating: Number(wish.input.value) }) });
  const heat = slider({ label: "temperature", min: 0, max: 2, step: 0.1, format: plain,
    oninput: (temperature) => change({ temperature }) });
  const field = html("input", { type: "text", class: "rb-start", autocomplete: "off", autocapitalize: "off",
    spellcheck: "false", "aria-label": "The review begins with",
    oninput: () => change({ step: 0, start: [...field.value].slice(0, longest).join("") }),
    onkeydown: (event) => { if (event.key === "Enter" && !event.isComposing) write(); } });
  const button = (text, onclick) => html("button", { type: "button", onclick }, text);
  const one = button("Next character", () => { pause(); next(); }), whole = button("Whole review", write);
  const back = button("← Back", () => change({ step: Math.max(drawn() - 1, 0) }));
  const other = button("Another draw", () => {
    change({ step: drawn() ? model.get("step") : longest + 1, seed: model.get("seed") + 1 });
  });

  const title = html("p", { class: "rb-heading" });
  const text = html("div", { class: "rb-code rb-paper", role: "group", "aria-label": "review so far",
    style: `min-height: calc(${1.7 * Math.ceil((longest + 1) / 30)}em + 1.2rem)` }); // for the longest, on a phone
  const inked = (bits) => `--s: ${Math.min(bits / MOST_BITS, 1).toFixed(3)}`;
  const step = (bits) => html("span", {},
    html("span", { class: "rb-ink", style: inked(bits) }, bits === MOST_BITS ? `${bits} or more` : bits));
  const legend = html("p", { class: "rb-key" }, html("span", {}, "surprise in bits:"), ...[0, 2, 4, 6, 8].map(step),
    html("span", {}, html("b", {}, "typed"), ", written"));
  const head = (name, i) => html("th", { scope: "col", class: i ? "rb-number" : null }, name);
  const bill = html("table", { class: "rb-bill" },
    html("thead", {}, html("tr", {}, ...["surprise, bits", "last", "so far"].map(head))));
  const who = ["network", ...world ? ["optimum"] : []];
  const costs = who.map((name) => {
    const cells = [0, 1].map(() => html("td", { class: "rb-number" }));
    bill.append(html("tr", {}, html("th", { scope: "row" }, name), ...cells));
    return cells;
  });
  const body = html("tbody");
  const rows = Array.from({ length: LISTED + 1 }, () => {
    const name = html("th", { scope: "row" }), shares = who.map(() => html("td", { class: "rb-number" }));
    const bars = who.map((_, i) => html("div", { class: `rb-bar${i ? " rb-hollow" : ""}`, style: colour(i) }));
    const node = html("tr", {}, name, html("td", { class: "rb-share" }, ...bars), ...shares);
    body.append(node);
    return { node, name, bars, shares };
  });
  const whose = (name, i) => html("th", { scope: "col", class: "rb-number" },
    html("span", { class: `rb-patch${i ? " rb-hollow" : ""}`, style: colour(i) }), name);
  const known = html("p", { class: "rb-muted rb-known" });
  const status = html("p", { class: "rb-status rb-drawing", role: "status", "aria-live": "polite" });
  el.append(
    html("p", {}, "Type how a review begins, or nothing. The network goes on, character by character."),
    html("div", { class: "rb-controls", role: "group", "aria-label": "The reviewer" },
      ...choices.map(({ node }) => node), wish.node, heat.node),
    html("label", { class: "rb-own" }, free, "for the rating that the network predicts, ", forecast),
    html("label", { class: "rb-begin" }, html("span", {}, "The review begins with"), field),
    html("div", { class: "rb-buttons rb-writing" }, one, whole, back, other),
    html("div", { class: "rb-panels" },
      html("div", {}, title, text, legend, bill),
      html("div", {}, html("p", { class: "rb-heading" }, "The next character"),
        html("table", { class: "rb-next", "aria-label": "next characters" },
          html("thead", {}, html("tr", {},
            html("th", { scope: "col" }, "character"), html("td"), ...who.map(whose))), body),
        known)),
    status);

  const spoken = (symbol, character) => {
    const [shown, name] = symbol === UNKNOWN ? [character ?? "\ufffd", "unknown"] : sign(symbol, alphabet);
    return name ? `${name} (${shown})` : `“${shown}”`;
  };
  /** A symbol on the paper, marked by its surprise. Spaces and accents stay as they are: a text has to be read. */
  const ink = ({ symbol, character, p }, isTyped) => {
    const bits = -Math.log2(p[symbol]), kept = symbol > UNKNOWN && /^[ \p{M}]$/u.test(character);
    const [shown, name] = sign(symbol, alphabet);
    const node = html("span", { class: `rb-ink${name && !kept ? " rb-sign" : ""}${isTyped ? " rb-typed" : ""}`,
      style: inked(bits), title: `${spoken(symbol, character)}: ${percent(p[symbol])}, ${inBits(bits)} bits` },
    kept ? character : shown);
    return character === "\n" ? [node, "\n"] : [node];
  };

  function show() {
    const { start, steps, rating } = run(), { user, item, own } = asked(), last = steps.at(-1);
    const over = last?.symbol === END, cut = !over && steps.length >= longest;
    const best = world ? optimum(steps, item, rating) : null;
    choices.forEach(({ input }, i) => { input.selectedIndex = [user, item][i]; });
    wish.show(rating ?? own);
    free.checked = rating === null;
    heat.show(model.get("temperature"));
    if (field.value !== start.join("")) field.value = start.join("");
    one.disabled = over || cut;
    back.disabled = steps.length === start.length;
    forecast.textContent = plain(own);
    const wished = rating === null ? "as predicted" : `rating it ${plain(rating)}`;
    title.textContent = `${users[user]} on ${items[item]}, ${wished}`;
    text.replaceChildren(...steps.flatMap((step, i) => ink(step, i < start.length)),
      over ? "" : cut ? html("span", { class: "rb-muted" }, "…")
        : html("span", { class: "rb-caret", "aria-hidden": "true" }));

    const bits = [steps.map(({ symbol, p }) => -Math.log2(p[symbol])), // of the network, and of the optimum
      steps.map(({ symbol, character }, i) => -Math.log2(best?.[i].get(symbol === END ? "" : character) ?? 0))];
    const lasts = bits.map((each) => each.at(-1) ?? 0), sums = bits.map((each) => each.reduce((a, b) => a + b, 0));
    costs.forEach(([ofLast, ofAll], i) => {
      ofLast.textContent = inBits(lasts[i]);
      ofAll.textContent = inBits(sums[i]);
    });

    // After the end: what the end was drawn from.
    const p = over ? last.p : written.steps.length > steps.length ? written.steps[steps.length].p : written.next.p;
    const q = best?.at(-1);
    const nextBest = (symbol) => q?.get(symbol === END ? "" : alphabet[symbol - 2]) ?? 0;
    const table = [...p].map((share, symbol) => [symbol, share, nextBest(symbol)]);
    const likely = table.filter(([, ...shares]) => Math.max(...shares) >= LEAST)
      .sort((a, b) => Math.max(b[1], b[2]) - Math.max(a[1], a[2])).slice(0, LISTED).sort((a, b) => a[0] - b[0]);
    const rest = [1, 2].map((k) => likely.reduce((left, each) => left - each[k], k === 2 && !q?.size ? 0 : 1));
    rows.forEach(({ node, name, bars, shares }, i) => {
      const isRest = i === likely.length, [symbol, ...values] = isRest ? [null, ...rest] : likely[i] ?? [null, 0, 0];
      node.style.visibility = i > likely.length ? "hidden" : "";
      node.classList.toggle("rb-muted", isRest);
      const [shown, title] = symbol === null ? [isRest ? "others" : "–", ""] : sign(symbol, alphabet);
      name.replaceChildren(title ? html("span", { class: "rb-sign" }, shown) : shown,
        title ? html("span", { class: "rb-muted" }, ` ${title}`) : "");
      shares.forEach((cell, k) => {
        cell.textContent = k && !q.size ? "–" : percent(values[k]);
        cell.dataset.value = values[k];
        bars[k].style.width = `${100 * clamp(values[k], 0, 1)}%`;
      });
    });
    known.textContent = !world ? "" : !q.size ? "The world writes no review that begins so: there is no optimum."
      : `The optimum knows the world's law and the item's ${count(pasts[item][0].length, "earlier review")} with `
        + `ratings${rating === null ? "" : "; the rating asked for it takes as that of this review"}.`;

    const strange = [...new Set(steps.filter(({ symbol }) => symbol === UNKNOWN).map(({ character }) => character))];
    const both = (mine, its) => `${mine}${world ? ` (optimum ${its})` : ""}`, top = p.indexOf(Math.max(...p));
    const coming = `Likeliest next: ${spoken(top)}, `
      + `${both(percent(p[top]), q?.size ? percent(nextBest(top)) : "none")}.`;
    const told = over ? [`The review is over after ${count(steps.length - 1, "character")}.`,
      `Its surprise in all: ${both(`${inBits(sums[0])} bits`, inBits(sums[1]))}.`]
      : last ? [`${cut ? "Cut off after " : ""}${count(steps.length, "character")}${cut ? "" : " so far"}.`,
        `The last, ${spoken(last.symbol, last.character)}, had a probability of ${percent(last.p[last.symbol])},`,
        `a surprise of ${both(`${inBits(lasts[0])} bits`, inBits(lasts[1]))}.`, coming]
      : ["Nothing is written yet.", coming];
    if (strange.length) told.push("Unknown to the network, and read as its one unknown symbol: "
      + `${strange.slice(0, 8).map((each) => `“${each}”`).join(", ")}.`);
    status.textContent = told.join(" ");
  }

  const shown = ["user", "item", "as_predicted", "rating", "temperature", "start", "seed", "step"];
  shown.forEach((name) => model.on(`change:${name}`, show));
  show();
  return () => { pause(); shown.forEach((name) => model.off(`change:${name}`, show)); };
}

export default { render };
