// The law of a ReviewWorld in the page: what ratings and words tell of an item's quality, and what a review says next.

/** log Φ(z), good to seven digits in both tails (the erfc of Numerical Recipes). */
function logNormal(z) {
  if (z > 0) return Math.log1p(-Math.exp(logNormal(-z)));
  const x = -z / Math.SQRT2, t = 1 / (1 + x / 2);
  const series = [0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196,
    1.00002368, -1.26551223].reduce((sum, c) => sum * t + c);
  return Math.log(t / 2) - x * x + series;
}

/** `law` is what `law_of` says of a world. */
function reviewWorld({ noise, text_noise, text, openings, words, closings, edges, step }) {
  const half = Math.round(8 / step);
  const qualities = Float64Array.from({ length: 2 * half + 1 }, (_, i) => (i - half) * step);
  // The token behind a word is drawn about the quality, or about 0, with this deviation, if the rating is not known.
  const [about, spread] = { quality: [1, text_noise], rating: [1, noise],
    independent: [0, Math.hypot(1, text_noise)] }[text];

  /** log P(word k | quality q). */
  function logWord(k, q) {
    const [a, b] = [edges[k - 1] ?? -Infinity, edges[k] ?? Infinity].map((edge) => (edge - about * q) / spread);
    const [low, high] = a > 0 ? [-b, -a] : [a, b]; // mirrored: differences of numbers near 1 would lose digits
    return logNormal(high) + Math.log1p(-Math.exp(logNormal(low) - logNormal(high)));
  }
  const logWords = words.map((_, k) => qualities.map((q) => logWord(k, q)));

  /**
   * The probabilities of `qualities` after some ratings, the words of the same reviews, and `loose` words that came
   * without a rating.
   */
  function posterior(ratings, tokens = [], loose = []) {
    const sum = ratings.reduce((a, b) => a + b, 0), precision = ratings.length / (noise * noise) + 1;
    const log = qualities.map((q) => q * sum / (noise * noise) - precision * q * q / 2);
    // Where a word repeats its rating, it tells nothing that the rating has not told.
    for (const k of text === "quality" ? [...tokens, ...loose] : loose)
      for (let i = 0; i < log.length; i++) log[i] += logWords[k][i];
    const most = log.reduce((a, b) => Math.max(a, b)), p = log.map((value) => Math.exp(value - most));
    const total = p.reduce((a, b) => a + b);
    return p.map((value) => value / total);
  }

  /** Mean and standard deviation of qualities with these probabilities. */
  function moments(p) {
    const mean = p.reduce((sum, each, i) => sum + each * qualities[i], 0);
    return [mean, Math.sqrt(p.reduce((sum, each, i) => sum + each * (qualities[i] - mean) ** 2, 0))];
  }

  /** P(word of the next review), for qualities with these probabilities and, unless it is null, the review's rating. */
  function wordChances(p, rating = null) {
    if (text === "rating" && rating !== null) { // the word says the rating again
      const said = edges.filter((edge) => edge < rating).length;
      return words.map((_, k) => Number(k === said));
    }
    return logWords.map((row) => p.reduce((sum, each, i) => sum + each * Math.exp(row[i]), 0));
  }

  const sentences = words.flatMap((word, k) => openings.flatMap((opening) =>
    closings.map((closing) => ({ k, sentence: opening + word + closing }))));
  /**
   * What follows a text, beginning after beginning, the empty one first: Maps from the next character, "" for the end,
   * to its probability. A Map is empty where no review begins so.
   */
  function follow(text, chances) {
    let left = sentences.filter(({ k }) => chances[k] > 0);
    return Array.from({ length: text.length + 1 }, (_, at) => {
      const next = new Map();
      if (at) left = left.filter(({ sentence }) => sentence[at - 1] === text[at - 1]);
      let total = 0;
      for (const { k, sentence } of left) {
        const character = sentence[at] ?? "";
        next.set(character, (next.get(character) ?? 0) + chances[k]);
        total += chances[k];
      }
      next.forEach((mass, character) => next.set(character, mass / total));
      return next;
    });
  }

  return { qualities, words, edges, posterior, moments, wordChances, follow };
}
