// The search of the book: chapters first, the glossary next, the package's reference last. Sphinx puts this file behind
// its own search, which it adjusts in two places.

var Scorer = {
  objNameMatch: 11, objPartialMatch: 6, objPrio: { 0: 15, 1: 5, 2: -5 }, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
  // Sphinx's own scores, which the above are, reach 116: they order what is in one group.
  score: (result) => {
    const [page, , anchor, , score] = result;
    if (anchor.startsWith("#term-")) result[1] += `: ${anchor.slice(6).replaceAll("-", " ")}`; // of the glossary
    const groups = [/^book\/\d/, /^book\/glossary$/, /^(?!book\/api)/, /./];
    return score - 200 * groups.findIndex((group) => group.test(page));
  },
};

// What a page says in words: without its frame, its formulas, its code and its tables.
Search.htmlToText = (html, anchor) => {
  const page = new DOMParser().parseFromString(html, "text/html");
  const article = page.querySelector("article") ?? page.body;
  article.querySelectorAll(".math").forEach((formula) => formula.replaceWith("…"));
  article.querySelectorAll("script, style, nav, h1, .headerlink, .launch, pre, table, .cell_input, .rnnbook-widget")
    .forEach((part) => part.remove());
  article.querySelectorAll("dt, dd, li, p, h2, h3").forEach((block) => block.append(" "));
  const place = anchor ? page.getElementById(decodeURIComponent(anchor.slice(1))) : article;
  const part = place?.matches("dt") ? place.nextElementSibling : place; // a term of the glossary: its explanation
  return (part ?? article).textContent.replace(/\s+/g, " ").trim();
};

// The part of a page that holds most of the words searched for, from one whole word to another.
Search.makeSearchSummary = (html, words, anchor) => {
  const text = Search.htmlToText(html, anchor), lower = text.toLowerCase(), long = 240;
  const places = [...words].flatMap((word) => [...lower.matchAll(_escapeRegExp(word))].map((match) => match.index));
  const found = (start) => [...words].filter((word) => lower.slice(start, start + long - 80).includes(word)).length;
  const best = places.reduce((best, place) => (found(place) > found(best) ? place : best), places[0] ?? 0);
  const start = best < 80 ? 0 : text.indexOf(" ", best - 60) + 1;
  const end = start + long < text.length ? text.lastIndexOf(" ", start + long) : text.length;
  const summary = document.createElement("p");
  summary.className = "context";
  summary.textContent = (start ? "… " : "") + text.slice(start, end) + (end < text.length ? " …" : "");
  return summary;
};
