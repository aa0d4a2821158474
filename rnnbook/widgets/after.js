// The networks of rnnbook/after.py, click by click, as `AfterGRU.step` runs them. No element is touched here.

/**
 * A trained AfterGRU. `net`: its `mixer`, `hidden_size`, `n_blocks` and `n_heads`, and `weights`, which `unpack` reads.
 * step(item, state) reads a click; predict(state) is P(next item); left(states, block) is how much of each click is left.
 */
function afterGRU(net, unpack) {
  const { mixer, hidden_size: d, n_blocks, n_heads } = net;
  const weights = Object.fromEntries(Object.entries(net.weights).map(([name, text]) => [name, unpack(text)]));
  const { "embedding.weight": table, "place.weight": places, bias } = weights;
  const parameters = (prefix) => (name) => weights[`${prefix}.${name}`];
  const norm = (prefix) => ["weight", "bias"].map(parameters(prefix));
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));

  function linear(W, x, b) { // W x + b
    const width = x.length, rows = W.length / width, y = new Float64Array(rows);
    for (let row = 0, k = 0; row < rows; row++) {
      let sum = b ? b[row] : 0;
      for (let j = 0; j < width; j++) sum += W[k++] * x[j];
      y[row] = sum;
    }
    return y;
  }

  function layerNorm(x, [gain, shift]) {
    const y = new Float64Array(d);
    let mean = 0, variance = 0;
    for (let j = 0; j < d; j++) mean += x[j] / d;
    for (let j = 0; j < d; j++) variance += (x[j] - mean) ** 2 / d;
    const scale = 1 / Math.sqrt(variance + 1e-5);
    for (let j = 0; j < d; j++) y[j] = (x[j] - mean) * scale * gain[j] + shift[j];
    return y;
  }

  function add(x, y) {
    const sum = new Float64Array(d);
    for (let j = 0; j < d; j++) sum[j] = x[j] + y[j];
    return sum;
  }

  function gelu(x) { // x Φ(x); Φ by Abramowitz and Stegun, 7.1.26: at most 1e-7 off
    const size = Math.abs(x) / Math.SQRT2, t = 1 / (1 + 0.3275911 * size);
    const tail = 0.5 * Math.exp(-size * size) * t * (0.254829592 + t * (-0.284496736 + t * (1.421413741
      + t * (-1.453152027 + t * 1.061405429))));
    return x * (x < 0 ? tail : 1 - tail);
  }

  function softmax(scores) {
    const p = new Float64Array(scores.length);
    let most = -Infinity, total = 0;
    for (let i = 0; i < p.length; i++) if (scores[i] > most) most = scores[i];
    for (let i = 0; i < p.length; i++) total += p[i] = Math.exp(scores[i] - most);
    for (let i = 0; i < p.length; i++) p[i] /= total;
    return p;
  }

  // Of each mixer: (input, state) -> output `y`, new `state`, and `look`, of which `left` makes how much is left.
  const mixers = {
    gru(of) {
      const [W, U, b, c] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map((name) => of(`gru.${name}_l0`));
      return (x, state = new Float64Array(d)) => {
        const own = linear(W, x, b), past = linear(U, state, c), y = new Float64Array(d), keep = new Float64Array(d);
        for (let j = 0; j < d; j++) {
          const reset = sigmoid(own[j] + past[j]), z = sigmoid(own[d + j] + past[d + j]);
          y[j] = (1 - z) * Math.tanh(own[2 * d + j] + reset * past[2 * d + j]) + z * state[j];
          keep[j] = z;
        }
        return { y, state: y, look: keep };
      };
    },
    mingru(of) {
      const [W, b] = [of("into.weight"), of("into.bias")];
      return (x, state = new Float64Array(d)) => {
        const own = linear(W, x, b), keep = new Float64Array(d), y = new Float64Array(d);
        for (let j = 0; j < d; j++) {
          keep[j] = sigmoid(-own[j]); // 1 − z
          y[j] = keep[j] * state[j] + (1 - keep[j]) * own[d + j];
        }
        return { y, state: y, look: keep };
      };
    },
    attention(of) {
      const [W, b, V, c] = ["into.weight", "into.bias", "out.weight", "out.bias"].map(of), size = d / n_heads;
      return (x, state = []) => { // the state: [k, v] of each click
        const all = linear(W, x, b), query = all.subarray(0, d), mixed = new Float64Array(d);
        const kept = [...state, [all.subarray(d, 2 * d), all.subarray(2 * d)]];
        const look = Array.from({ length: n_heads }, (_, head) => {
          const from = head * size, to = from + size;
          const row = softmax(kept.map(([key]) => {
            let sum = 0;
            for (let j = from; j < to; j++) sum += query[j] * key[j];
            return sum / Math.sqrt(size);
          }));
          row.forEach((weight, s) => { for (let j = from; j < to; j++) mixed[j] += weight * kept[s][1][j]; });
          return row;
        });
        return { y: linear(V, mixed, c), state: kept, look };
      };
    },
    lru(of) {
      const [B, C, gamma] = [of("into.weight"), of("out.weight"), of("gamma").map(Math.exp)];
      const radius = of("nu").map((nu) => Math.exp(-Math.exp(nu))), angle = of("theta").map(Math.exp);
      const real = radius.map((r, j) => r * Math.cos(angle[j])), imaginary = radius.map((r, j) => r * Math.sin(angle[j]));
      return (x, state = new Float64Array(2 * d)) => { // the state: real parts, then imaginary ones
        const h = linear(B, x);
        for (let j = 0; j < d; j++) {
          h[j] = gamma[j] * h[j] + real[j] * state[j] - imaginary[j] * state[d + j];
          h[d + j] = gamma[j] * h[d + j] + real[j] * state[d + j] + imaginary[j] * state[j];
        }
        return { y: linear(C, h), state: h, look: radius };
      };
    },
  };

  const blocks = Array.from({ length: n_blocks }, (_, b) => {
    const of = parameters(`blocks.${b}`);
    const [W, c, V, e] = ["0.weight", "0.bias", "3.weight", "3.bias"].map((name) => of(`feedforward.${name}`));
    const [first, second] = [0, 1].map((i) => norm(`blocks.${b}.norms.${i}`));
    const mix = mixers[mixer](parameters(`blocks.${b}.mixer`));
    return (input, before) => {
      const { y, state, look } = mix(layerNorm(input, first), before), x = add(input, y);
      const wide = linear(W, layerNorm(x, second), c);
      for (let j = 0; j < wide.length; j++) wide[j] = gelu(wide[j]);
      return { x: add(x, linear(V, wide, e)), state, look };
    };
  });

  function step(item, before) {
    const n = before?.n ?? 0;
    let x = table.subarray(item * d, (item + 1) * d);
    if (places) x = add(x, places.subarray(n * d, (n + 1) * d));
    const kept = blocks.map((block, b) => {
      const { x: next, ...rest } = block(x, before?.kept[b].state);
      x = next;
      return rest;
    });
    return { n: n + 1, kept, x };
  }
  const last = norm("norm");
  const predict = (state) => softmax(linear(table, layerNorm(state.x, last), bias));

  /**
   * How much of each click is left after the last one, by unit or head: the share of the state that was written at the
   * click, the attention on it, or what the linear recurrence has made of it, |λ|^age. `states`: after each click.
   */
  function left(states, block) {
    const looks = states.map((state) => state.kept[block].look);
    if (mixer === "attention") return looks.map((_, s) => looks.at(-1).map((row) => row[s]));
    if (mixer === "lru") return looks.map((radius, s) => radius.map((r) => r ** (looks.length - 1 - s)));
    const rest = new Float64Array(d).fill(1);
    return looks.reverse().map((keep) => keep.map((z, j) => {
      const written = rest[j] * (1 - z);
      rest[j] *= z;
      return written;
    })).reverse();
  }

  /** How many numbers are kept after n clicks. */
  const size = (n) => n_blocks * d * { gru: 1, mingru: 1, lru: 2, attention: 2 * n }[mixer];

  return { mixer, n_blocks, step, predict, left, size };
}
