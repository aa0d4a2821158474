// GRU4Rec in the page: its worlds, its training and its predictions, with the arithmetic of the package. No element is
// touched here, and all of it is inside one function, so that a worker can be made from its text.

function engine() {
  // --- Random numbers: those of numpy.random.default_rng(entropy) ---------------------------------------

  /** 64 × 2 hashed bits from a list of numbers below 2³²: numpy's SeedSequence. */
  function seedWords(entropy) {
    const mul = Math.imul, shift = (x) => (x ^ (x >>> 16)) >>> 0;
    let constant = 0x43B0D7E5;
    const hash = (value) => {
      value ^= constant;
      constant = mul(constant, 0x931E8875);
      return shift(mul(value, constant));
    };
    const mix = (x, y) => shift(mul(0xCA01F9DD, x) - mul(0x4973F715, y));
    const pool = [0, 1, 2, 3].map((i) => hash(entropy[i] ?? 0));
    for (let from = 0; from < 4; from++)
      for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
    for (const value of entropy.slice(4)) for (let to = 0; to < 4; to++) pool[to] = mix(pool[to], hash(value));
    constant = 0x8B51F9DD;
    return Array.from({ length: 8 }, (_, i) => {
      let value = pool[i % 4] ^ constant;
      constant = mul(constant, 0x58F38DED);
      return shift(mul(value, constant));
    });
  }

  /** A function that returns the next number in [0, 1): PCG64. Its 128 bits are eight limbs of 16, lowest first. */
  function generator(entropy) {
    const multiplier = [0xf645, 0x9fcc, 0xdf64, 0x4385, 0x5da4, 0x1fc6, 0xed05, 0x2360];
    const state = new Float64Array(8), next = new Float64Array(8), step = new Float64Array(8);
    const limbs = (words) => words.flatMap((word) => [word & 0xffff, word >>> 16]); // words of 32 bits, lowest first
    const words = seedWords(entropy);
    const [start, stream] = [[2, 3, 0, 1], [6, 7, 4, 5]].map((places) => limbs(places.map((i) => words[i])));
    for (let k = 7; k >= 0; k--) step[k] = ((stream[k] << 1) | (k ? stream[k - 1] >>> 15 : 1)) & 0xffff;

    const advance = () => {
      let carry = 0;
      for (let k = 0; k < 8; k++) {
        let sum = carry + step[k];
        for (let i = 0; i <= k; i++) sum += state[i] * multiplier[k - i];
        carry = Math.floor(sum / 65536);
        next[k] = sum - carry * 65536;
      }
      state.set(next);
    };
    advance();
    for (let k = 0, carry = 0; k < 8; k++) {
      const sum = state[k] + start[k] + carry;
      carry = sum >= 65536 ? 1 : 0;
      state[k] = sum - carry * 65536;
    }
    advance();

    return () => {
      advance();
      // The upper half xor the lower one, turned right by the six highest bits; of it the 53 highest count.
      const low = ((state[0] ^ state[4]) | ((state[1] ^ state[5]) << 16)) >>> 0;
      const high = ((state[2] ^ state[6]) | ((state[3] ^ state[7]) << 16)) >>> 0;
      const turn = state[7] >>> 10;
      let [a, b] = turn & 32 ? [high, low] : [low, high]; // low and high word after a turn by 32 or 0
      const rest = turn & 31;
      if (rest) [a, b] = [(a >>> rest) | (b << (32 - rest)), (b >>> rest) | (a << (32 - rest))];
      return ((b >>> 0) * 2097152 + (a >>> 11)) / 9007199254740992;
    };
  }

  /** The first place whose running sum is above `value`; the last one if none is. */
  function search(sums, value, from = 0, to = sums.length) {
    const last = to - 1;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (sums[middle] > value) to = middle;
      else from = middle + 1;
    }
    return Math.min(from, last);
  }

  // --- Worlds ------------------------------------------------------------------------------------------

  /** Running sums of the rows of a matrix [rows × columns], each ending in the number of its row plus 1. */
  function runningSums(matrix, rows, columns) {
    const sums = new Float64Array(rows * columns);
    for (let r = 0; r < rows; r++) {
      let total = 0;
      for (let c = 0; c < columns; c++) sums[r * columns + c] = total += matrix[r * columns + c];
      for (let c = 0; c < columns; c++) sums[r * columns + c] = sums[r * columns + c] / total + r;
    }
    return sums;
  }

  function multiply(a, b, rows, inner, columns) {
    const product = new Float64Array(rows * columns);
    for (let r = 0; r < rows; r++)
      for (let k = 0; k < inner; k++) {
        const factor = a[r * inner + k];
        if (factor) for (let c = 0; c < columns; c++) product[r * columns + c] += factor * b[k * columns + c];
      }
    return product;
  }

  /**
   * A SessionWorld, or with `firstOrder` its Markov control. `spec`: the settings of the world, and of each state its
   * `items` and their `shares` of its clicks, before there is noise.
   */
  function world(spec, firstOrder = false) {
    const { n_states: S, n_items: n, stay, jump, noise, ring_step: ring, mean_length: mean, seed } = spec;
    const emission = new Float64Array(S * n), transition = new Float64Array(S * S);
    emission.fill(noise / n);
    for (let s = 0; s < S; s++) {
      spec.items[s].forEach((item, k) => { emission[s * n + item] += (1 - noise) * spec.shares[s][k]; });
      for (let u = 0; u < S; u++) {
        const move = (u === (((s + ring) % S) + S) % S ? 1 - jump : 0) + (u === s ? 0 : jump / (S - 1));
        transition[s * S + u] = (u === s ? stay : 0) + (1 - stay) * move;
      }
    }
    const popularity = new Float64Array(n);
    for (let s = 0; s < S; s++) for (let i = 0; i < n; i++) popularity[i] += emission[s * n + i] / S;
    // P(next item | last item), the same at every position
    const stateGivenItem = new Float64Array(n * S);
    for (let i = 0; i < n; i++)
      for (let s = 0; s < S; s++) stateGivenItem[i * S + s] = emission[s * n + i] / S / popularity[i];
    const nextGivenLast = multiply(multiply(stateGivenItem, transition, n, S, S), emission, n, S, n);

    const [rows, moves] = firstOrder ? [n, nextGivenLast] : [S, transition];
    const first = runningSums(firstOrder ? popularity : new Float64Array(S).fill(1 / S), 1, rows);
    const moveSums = runningSums(moves, rows, rows), emitSums = runningSums(emission, S, n);

    /** n sessions: {items, offsets}, those of the package's `sample(n, seed)`. */
    function sample(count, sampleSeed) {
      const random = generator([seed, firstOrder ? 2 : 1, sampleSeed]);
      const places = Int32Array.from({ length: count }, () => search(first, random()));
      const lengths = Int32Array.from({ length: count }, () => {
        let [clicks, product] = [2, random()]; // Poisson, by products
        while (product > Math.exp(2 - mean)) { clicks += 1; product *= random(); }
        return clicks;
      });
      const offsets = new Int32Array(count + 1);
      lengths.forEach((length, k) => { offsets[k + 1] = offsets[k] + length; });
      const items = new Int32Array(offsets[count]);
      const draw = (sums, columns, row) => search(sums, row + random(), row * columns, (row + 1) * columns)
        - row * columns;
      const most = lengths.reduce((a, b) => Math.max(a, b), 0);
      for (let t = 0; t < most; t++) {
        const drawn = firstOrder ? places.slice() : places.map((s) => draw(emitSums, n, s));
        drawn.forEach((item, k) => { if (t < lengths[k]) items[offsets[k] + t] = item; });
        places.forEach((row, k) => { places[k] = draw(moveSums, rows, row); });
      }
      return { items, offsets };
    }

    /** What is known of the mood after a click, [n_states], from what was known before it: Bayes, then a step. */
    function believe(belief, item) {
      const seen = belief.map((b, s) => b * emission[s * n + item]);
      const total = seen.reduce((a, b) => a + b, 0);
      return Float64Array.from(seen, (_, u) => seen.reduce((sum, b, s) => sum + b * transition[s * S + u], 0) / total);
    }

    /** P(next item) of someone who knows so much about the mood, Float64Array [n_items]. */
    const predicted = (belief) => multiply(belief, emission, 1, S, n);

    /** P(next item | clicks), Float64Array [n_items]: the optimum. */
    function optimum(clicks) {
      if (firstOrder) return clicks.length ? lastItem(clicks) : popularity;
      return predicted(clicks.reduce(believe, new Float64Array(S).fill(1 / S)));
    }

    /** P(next item | last click). */
    const lastItem = (clicks) => nextGivenLast.subarray(clicks.at(-1) * n, (clicks.at(-1) + 1) * n);

    return { n, S, firstOrder, emission, transition, popularity, sample, believe, predicted, optimum, lastItem };
  }

  // --- Losses: of the scores of one row, the target in column i; they return the loss and fill the slopes ----

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const slopeOf = (p) => p * (1 - p); // of a sigmoid whose value is p

  /** softmax of all scores but column i, which gets 0. */
  function weightsOf(s, i) {
    let [most, total] = [-Infinity, 0];
    for (let j = 0; j < s.length; j++) if (j !== i && s[j] > most) most = s[j];
    const w = new Float64Array(s.length);
    for (let j = 0; j < s.length; j++) if (j !== i) total += w[j] = Math.exp(s[j] - most);
    for (let j = 0; j < s.length; j++) w[j] /= total;
    return w;
  }

  const losses = {
    "cross-entropy": (s, i, slopes) => {
      let [most, total] = [-Infinity, 0];
      for (let j = 0; j < s.length; j++) if (s[j] > most) most = s[j];
      for (let j = 0; j < s.length; j++) total += slopes[j] = Math.exp(s[j] - most);
      for (let j = 0; j < s.length; j++) slopes[j] /= total;
      const loss = -Math.log(slopes[i]);
      slopes[i] -= 1;
      return loss;
    },
    bpr: (s, i, slopes) => {
      let [loss, sum, count] = [0, 0, s.length - 1];
      for (let j = 0; j < s.length; j++) {
        if (j === i) continue;
        loss += softplus(s[j] - s[i]) / count;
        sum += slopes[j] = sigmoid(s[j] - s[i]) / count;
      }
      slopes[i] = -sum;
      return loss;
    },
    top1: (s, i, slopes) => {
      let [loss, sum, count] = [0, 0, s.length - 1];
      for (let j = 0; j < s.length; j++) {
        if (j === i) continue;
        const [rank, size] = [sigmoid(s[j] - s[i]), sigmoid(s[j] * s[j])];
        loss += (rank + size) / count;
        sum += slopeOf(rank) / count;
        slopes[j] = (slopeOf(rank) + 2 * s[j] * slopeOf(size)) / count;
      }
      slopes[i] = -sum;
      return loss;
    },
    "bpr-max": (s, i, slopes, regularization) => {
      const w = weightsOf(s, i);
      let [above, penalty, sum] = [0, 0, 0];
      for (let j = 0; j < s.length; j++) {
        above += w[j] * sigmoid(s[i] - s[j]);
        penalty += w[j] * s[j] * s[j];
      }
      for (let j = 0; j < s.length; j++) {
        if (j === i) continue;
        const p = sigmoid(s[i] - s[j]);
        sum += w[j] * slopeOf(p);
        slopes[j] = -w[j] * (p - above - slopeOf(p)) / above
          + regularization * w[j] * (s[j] * s[j] - penalty + 2 * s[j]);
      }
      slopes[i] = -sum / above;
      return -Math.log(above) + regularization * penalty;
    },
    "top1-max": (s, i, slopes) => {
      const w = weightsOf(s, i), each = new Float64Array(s.length);
      let [loss, sum] = [0, 0];
      for (let j = 0; j < s.length; j++) loss += w[j] * (each[j] = sigmoid(s[j] - s[i]) + sigmoid(s[j] * s[j]));
      for (let j = 0; j < s.length; j++) {
        if (j === i) continue;
        const [rank, size] = [sigmoid(s[j] - s[i]), sigmoid(s[j] * s[j])];
        sum += w[j] * slopeOf(rank);
        slopes[j] = w[j] * (each[j] - loss + slopeOf(rank) + 2 * s[j] * slopeOf(size));
      }
      slopes[i] = -sum;
      return loss;
    },
    pointwise: (s, i, slopes) => {
      let [loss, count] = [softplus(-s[i]), s.length - 1];
      slopes[i] = -sigmoid(-s[i]);
      for (let j = 0; j < s.length; j++) {
        if (j === i) continue;
        loss += softplus(s[j]) / count;
        slopes[j] = sigmoid(s[j]) / count;
      }
      return loss;
    },
  };

  // --- The network: one GRU layer; the rows of `output` are the embeddings too ---------------------------
  // All arrays have 64 bits, so that each function sees arrays of one kind, which makes it several times as fast.

  const NAMES = ["output", "bias", "weight_ih", "weight_hh", "bias_ih", "bias_hh"];

  /** Σ a[i + k] b[j + k] over d numbers; four sums at once do not wait for each other. */
  function dot(a, i, b, j, d) {
    let [s, t, u, v, k] = [0, 0, 0, 0, 0];
    for (; k + 3 < d; k += 4) {
      s += a[i + k] * b[j + k];
      t += a[i + k + 1] * b[j + k + 1];
      u += a[i + k + 2] * b[j + k + 2];
      v += a[i + k + 3] * b[j + k + 3];
    }
    for (; k < d; k++) s += a[i + k] * b[j + k];
    return s + t + (u + v);
  }

  /** a[i + k] += factor b[j + k], for d numbers. */
  function add(a, i, factor, b, j, d) {
    for (let k = 0; k < d; k++) a[i + k] += factor * b[j + k];
  }

  /** Parameters of a network of n items and d units, drawn from `random` as `GRU4Rec.reset_parameters` draws them. */
  function newModel(n, d, random) {
    const uniform = (size, bound) => Float64Array.from({ length: size }, () => Math.fround((2 * random() - 1) * bound));
    return { n, d, output: uniform(n * d, Math.sqrt(6 / (n + d))), bias: new Float64Array(n),
      weight_ih: uniform(3 * d * d, Math.sqrt(3 / d)), weight_hh: uniform(3 * d * d, Math.sqrt(3 / d)),
      bias_ih: new Float64Array(3 * d), bias_hh: new Float64Array(3 * d) };
  }

  /**
   * One step of the GRU for B sessions: from their clicks [B] and states `before` [B × d] to what each gate does and the
   * next states `h`. Two faults show what the parts do: "swapped", each of the gates does the other's work; and "reset
   * inside", W (r ⊙ h) as in the first paper on the GRU, though the weights were trained for r ⊙ (W h).
   */
  function gruStep(model, items, before, fault = null) {
    const { d, output, weight_ih: W, weight_hh: U, bias_ih: b, bias_hh: c } = model, size = items.length * d;
    const r = new Float64Array(size), z = new Float64Array(size), candidate = new Float64Array(size);
    const recurrent = new Float64Array(size), h = new Float64Array(size);
    const [ofR, ofZ, inside] = [fault === "swapped" ? d : 0, fault === "swapped" ? 0 : d, fault === "reset inside"];
    for (let row = 0, at = 0; row < items.length; row++) {
      const x = items[row] * d, own = row * d;
      for (let k = 0; k < d; k++, at++) {
        const gate = (g) => sigmoid(b[g] + c[g] + dot(W, g * d, output, x, d) + dot(U, g * d, before, own, d));
        r[at] = gate(ofR + k);
        z[at] = gate(ofZ + k);
      }
      const read = inside ? before.subarray(own, own + d).map((value, k) => value * r[own + k]) : before;
      for (let k = 0; k < d; k++) {
        const g = 2 * d + k, j = own + k;
        recurrent[j] = c[g] + dot(U, g * d, read, inside ? 0 : own, d);
        candidate[j] = Math.tanh(b[g] + dot(W, g * d, output, x, d) + (inside ? 1 : r[j]) * recurrent[j]);
        h[j] = candidate[j] + z[j] * (before[j] - candidate[j]);
      }
    }
    return { r, z, candidate, recurrent, h };
  }

  /** The scores of all items, Float64Array [n_items], from a state. */
  function scores(model, h) {
    const { n, d, output, bias } = model;
    return Float64Array.from({ length: n }, (_, i) => bias[i] + dot(output, i * d, h, 0, d));
  }

  /** How many items come before the target; an equal score counts as before it. */
  function rankOf(values, target) {
    let rank = 1;
    for (let i = 0; i < values.length; i++) if (i !== target && values[i] >= values[target]) rank += 1;
    return rank;
  }

  /** Numbers of 16 bits in base64, lowest byte first, as Float64Array. */
  function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return Float64Array.from({ length: bytes.length / 2 }, (_, i) => {
      const bits = bytes[2 * i] | (bytes[2 * i + 1] << 8), exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
      const size = exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14;
      return bits >> 15 ? -size : size;
    });
  }

  // --- Training ------------------------------------------------------------------------------------------

  /** Adagrad of all parameters. A step takes gradients, which it sets to 0, and for tables the rows that have one. */
  function adagrad(model, rate) {
    const squares = Object.fromEntries(NAMES.map((name) => [name, new Float64Array(model[name].length)]));
    return (name, gradient, rows = null) => {
      const values = model[name], acc = squares[name], width = rows ? values.length / model.n : values.length;
      for (const row of rows ?? [0])
        for (let j = row * width, end = j + width; j < end; j++) {
          const g = gradient[j];
          acc[j] += g * g;
          values[j] -= rate * g / Math.sqrt(acc[j] + 1e-6);
          gradient[j] = 0;
        }
    };
  }

  /**
   * An epoch of training: after each update it yields {step, loss, count}, the summed loss of `count` predictions.
   * `config` has the package's names; `sessions` is {items, offsets}; `random` draws the negatives.
   */
  function* trainEpoch(model, optimize, config, sessions, random) {
    const { items, offsets } = sessions, { n, d } = model, { batch_size: B, n_sample, bptt } = config;
    const support = new Float64Array(n), sums = new Float64Array(n);
    items.forEach((item) => { support[item] += 1; });
    for (let i = 0, total = 0; i < n; i++) sums[i] = total += support[i] && support[i] ** config.sample_alpha;
    const logSupport = support.map(Math.log);
    const gradients = Object.fromEntries(NAMES.map((name) => [name, new Float64Array(model[name].length)]));

    // A lane: the event that it reads, and how many are left of its session. One that has ended takes the next session.
    const lanes = Array.from({ length: B }, (_, place) => ({ place, event: 0, left: 0 })), states = new Float64Array(B * d);
    let taken = 0, step = 0;
    const nextRows = () => {
      for (const lane of lanes) {
        lane.starts = !lane.left && taken < offsets.length - 1;
        if (!lane.starts) continue;
        lane.event = offsets[taken];
        lane.left = offsets[taken + 1] - offsets[taken] - 1;
        states.fill(0, lane.place * d, (lane.place + 1) * d);
        taken += 1;
      }
      return lanes.filter((lane) => lane.left);
    };
    const enough = (rows) => rows.length >= (n_sample ? 1 : 2); // a row alone has no negative

    for (let rows = nextRows(); enough(rows);) {
      const window = [];
      let loss = 0, count = 0;
      while (window.length < bptt && enough(rows)) {
        const read = Int32Array.from(rows, (lane) => items[lane.event]), columns = new Int32Array(rows.length + n_sample);
        rows.forEach((lane, row) => { columns[row] = items[lane.event + 1]; });
        for (let k = rows.length; k < columns.length; k++) columns[k] = search(sums, random() * sums[n - 1]);
        const before = new Float64Array(rows.length * d);
        rows.forEach(({ place }, row) => before.set(states.subarray(place * d, (place + 1) * d), row * d));
        const seen = { read, columns, before, ...gruStep(model, read, before), places: rows.map((lane) => lane.place),
          starts: rows.map((lane) => lane.starts) };
        loss += forwardLoss(model, config, seen, logSupport);
        count += rows.length;
        rows.forEach((lane, row) => {
          states.set(seen.h.subarray(row * d, (row + 1) * d), lane.place * d);
          lane.event += 1;
          lane.left -= 1;
        });
        window.push(seen);
        step += 1;
        rows = nextRows();
      }
      backward(model, window, gradients, B);
      const columns = new Set(), used = new Set();
      for (const seen of window) {
        seen.columns.forEach((row) => { columns.add(row); used.add(row); });
        seen.read.forEach((row) => used.add(row));
      }
      for (const name of NAMES) optimize(name, gradients[name], { output: used, bias: columns }[name]);
      yield { step, loss, count };
    }
  }

  /** The summed loss of a step; its slopes, by the scores of each row, are kept in `seen.slopes` [B][N]. */
  function forwardLoss(model, config, seen, logSupport) {
    const { d, output, bias } = model, { columns, h } = seen, B = seen.read.length, found = new Float64Array(columns.length);
    const logq = config.loss === "cross-entropy" ? config.logq : 0;
    let total = 0;
    seen.slopes = seen.places.map((_, row) => {
      for (let k = 0; k < found.length; k++) {
        found[k] = bias[columns[k]] + dot(output, columns[k] * d, h, row * d, d);
        if (logq) found[k] -= logq * (k < B ? 1 : config.sample_alpha) * logSupport[columns[k]];
      }
      const slopes = new Float64Array(found.length);
      total += losses[config.loss](found, row, slopes, config.bpr_max_regularization);
      return slopes;
    });
    return total;
  }

  /** Add to `gradients` that of a window's loss, divided by the batch size B, back through its steps. */
  function backward(model, window, gradients, B) {
    const { d, output, weight_ih: W, weight_hh: U } = model;
    const { output: ofOutput, bias: ofBias, weight_ih: ofW, weight_hh: ofU, bias_ih: ofB, bias_hh: ofC } = gradients;
    const later = new Float64Array(B * d), slope = new Float64Array(d); // later: by lane, of its state after this step
    const gates = new Float64Array(3 * d), recurrents = new Float64Array(3 * d);
    for (const { read, columns, before, r, z, candidate, recurrent, h, places, starts, slopes } of [...window].reverse())
      for (let row = 0; row < read.length; row++) {
        const own = row * d, lane = places[row] * d, x = read[row] * d, of = slopes[row];
        for (let j = 0; j < d; j++) slope[j] = later[lane + j];
        for (let k = 0; k < columns.length; k++) {
          const g = of[k] / B, at = columns[k] * d;
          ofBias[columns[k]] += g;
          add(ofOutput, at, g, h, own, d);
          add(slope, 0, g, output, at, d);
        }
        for (let j = 0, at = own; j < d; j++, at++) {
          const ofCandidate = slope[j] * (1 - z[at]) * (1 - candidate[at] * candidate[at]);
          gates[j] = recurrents[j] = ofCandidate * recurrent[at] * slopeOf(r[at]);
          gates[d + j] = recurrents[d + j] = slope[j] * (before[at] - candidate[at]) * slopeOf(z[at]);
          gates[2 * d + j] = ofCandidate;
          recurrents[2 * d + j] = ofCandidate * r[at];
          later[lane + j] = slope[j] * z[at];
        }
        for (let k = 0; k < 3 * d; k++) {
          ofB[k] += gates[k];
          ofC[k] += recurrents[k];
          add(ofW, k * d, gates[k], output, x, d);
          add(ofOutput, x, gates[k], W, k * d, d);
          add(ofU, k * d, recurrents[k], before, own, d);
          add(later, lane, recurrents[k], U, k * d, d);
        }
        if (starts[row]) later.fill(0, lane, lane + d); // the state was 0 before a session
      }
  }

  /** Recall@k and MRR@k over all clicks but each session's first: a generator that pauses after each session. */
  function* evaluate(sessions, predict, k = 20) {
    const { items, offsets } = sessions;
    let [hits, reciprocal, count] = [0, 0, 0];
    for (let s = 0; s + 1 < offsets.length; s++) {
      const read = predict();
      for (let t = offsets[s]; t + 1 < offsets[s + 1]; t++) {
        const rank = rankOf(read(items[t]), items[t + 1]);
        if (rank <= k) { hits += 1; reciprocal += 1 / rank; }
        count += 1;
      }
      yield null;
    }
    return { recall: hits / count, mrr: reciprocal / count };
  }

  /** For `evaluate`: a network that reads a session click by click. */
  const reader = (model) => () => {
    let h = new Float64Array(model.d);
    return (item) => { ({ h } = gruStep(model, [item], h)); return scores(model, h); };
  };

  /** For `evaluate`: the optimum, which follows what can be known of a session; and the last click alone. */
  const follower = (known) => () => {
    if (known.firstOrder) return lastReader(known)();
    let belief = new Float64Array(known.S).fill(1 / known.S);
    return (item) => { belief = known.believe(belief, item); return known.predicted(belief); };
  };
  const lastReader = (known) => () => (item) => known.lastItem([item]);

  /**
   * A training to look at. `job` has the world's `spec`, `first_order`, the numbers of sessions to learn from and to
   * `valid`ate with, `n_epochs`, `seed`, and the settings of the network. advance(ms) works for so long, at least until
   * the next update, and returns what happened: {bounds}, {step, epoch, loss, count} of an update, {epoch, recall, mrr}.
   */
  function training(job) {
    const known = world(job.spec, job.first_order), train = known.sample(job.sessions, 100), valid = known.sample(job.valid, 2);
    const model = newModel(known.n, job.hidden_size, generator([job.seed, 0])), random = generator([job.seed, 1]);
    const optimize = adagrad(model, job.learning_rate), perEpoch = train.items.length - (train.offsets.length - 1);
    function* work() {
      const last = yield* evaluate(valid, lastReader(known)), best = yield* evaluate(valid, follower(known));
      yield { bounds: { last, best } };
      for (let epoch = 0, step = 0; epoch < job.n_epochs; epoch++) {
        let done = 0, measured = 0;
        for (const { loss, count } of trainEpoch(model, optimize, job, train, random)) {
          done += count;
          step += 1;
          if (!Number.isFinite(loss)) { yield { step, failed: true }; return; }
          yield { step, epoch: epoch + done / perEpoch, loss, count };
          if (Math.floor(4 * done / perEpoch) > measured && measured < 3) { // a look at each quarter of an epoch
            measured += 1;
            yield { epoch: epoch + done / perEpoch, ...(yield* evaluate(valid, reader(model))) };
          }
        }
        yield { epoch: epoch + 1, ...(yield* evaluate(valid, reader(model))) };
      }
    }
    const course = work();
    return (ms) => {
      const events = [], until = performance.now() + ms;
      let at;
      do {
        at = course.next();
        if (at.value) events.push(at.value);
      } while (!at.done && (performance.now() < until || !events.length));
      return { events, done: at.done };
    };
  }

  return { generator, world, training, losses, newModel, gruStep, scores, unpack, rankOf, adagrad, trainEpoch, evaluate,
    reader, follower, lastReader, NAMES };
}
