// Click in a shop of a few items: what comes next, given all clicks, and given the last one alone?

function render({ model, el }) {
  el.classList.add("rnnbook-widget");
  const [items, moods, stay] = ["items", "moods", "stay"].map((name) => model.get(name));
  const put = (clicks) => { model.set("clicks", clicks); model.save_changes(); };
  const percent = (p) => `${Math.round(100 * p)} %`;

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

  const again = html("button", { type: "button", onclick: () => put([]) }, "New visitor");
  const status = html("p", { class: "rb-status", role: "status", "aria-live": "polite" });
  const rows = items.map((name, i) => {
    const cells = [html("td"), html("td")];
    const button = html("button", { type: "button", onclick: () => put([...model.get("clicks"), i]) }, name);
    return { cells, node: html("tr", {}, html("th", { scope: "row" }, button), ...cells) };
  });
  el.append(
    html("div", { class: "rb-controls", role: "group", "aria-label": "Guess the next click" },
      html("p", { style: "flex: 1 1 14rem" }, "Click as a visitor would. What will the next click be?"), again),
    html("table", { class: "rb-guess" }, html("thead", {}, html("tr", {},
      ...["click", "guess from all clicks", "from the last one alone"].map((text) => html("th", { scope: "col" }, text)))),
      html("tbody", {}, ...rows.map((row) => row.node))),
    status);

  function draw() {
    const clicks = model.get("clicks");
    const guesses = [guess(clicks), guess(clicks.slice(-1))];
    const most = Math.max(...guesses.flat());
    rows.forEach(({ cells }, i) => cells.forEach((cell, k) => {
      const p = guesses[k][i];
      cell.className = best(guesses[k]) === i ? "rb-best" : "";
      cell.dataset.value = p;
      cell.replaceChildren(html("span", { class: "rb-bar", style: `${colour(k)}; width: ${100 * p / most}%` }), percent(p));
    }));
    const [all, last] = guesses.map((p) => `${items[best(p)]}, ${percent(Math.max(...p))}`);
    status.textContent = clicks.length
      ? `Clicked: ${clicks.slice(-8).map((click) => items[click]).join(", ")}. Best guess from all clicks: ${all}; `
        + `from the last one alone: ${last}.`
      : "A new visitor: nothing is known yet.";
  }

  model.on("change:clicks", draw);
  draw();
  return () => model.off("change:clicks", draw);
}

export default { render };
