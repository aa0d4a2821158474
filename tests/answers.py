"""Answers to the graded exercises that students might hand in: {label: sources}.

RIGHT has three of different shape for each exercise. WRONG has three with a part of the sentence that their feedback
must say; the first of each passes the tests that students see, and several are bugs that public implementations had.
"""

RIGHT = {
    "ex-input-gradient": ["""
def input_gradient(h, grad_h, W, U):
    steps = grad_h.shape[0]
    x_grad = torch.empty(steps, grad_h.shape[1], W.shape[1], dtype=W.dtype)
    g = torch.zeros_like(grad_h[0])
    for t in range(steps - 1, -1, -1):
        g = grad_h[t] + g
        a = g - g * h[t + 1] * h[t + 1]
        x_grad[t] = torch.einsum("bd,dn->bn", a, W)
        g = torch.einsum("bd,de->be", a, U)
    return x_grad""", """
def input_gradient(h, grad_h, W, U):
    def back(t):
        if t == len(grad_h):
            return torch.zeros_like(grad_h[0]), []
        carried, rest = back(t + 1)
        delta = (grad_h[t] + carried) * (1 - h[t + 1].square())
        return delta @ U, [delta @ W, *rest]
    return torch.stack(back(0)[1])""", """
def slopes(h):
    return 1 - h[1:] ** 2

def input_gradient(h, grad_h, W, U):
    # every loss on its own: forward over the losses, backward from each
    D, total = slopes(h), torch.zeros(*grad_h.shape[:2], W.shape[1], dtype=h.dtype)
    for last in range(len(grad_h)):
        v = grad_h[last].clone()
        for t in range(last, -1, -1):
            v *= D[t]
            total[t] += v @ W
            v = v @ U
    return total"""],
    "ex-gate-bias": ["""
def bias_for_half_life(k):
    return -math.log(2 ** (1 / k) - 1)""", """
import numpy as np
def bias_for_half_life(k):
    keep = np.exp(np.log(0.5) / k)
    return np.log(keep) - np.log1p(-keep)""", """
def bias_for_half_life(k):
    low, high = -50.0, 50.0
    for _ in range(200):
        middle = (low + high) / 2
        if torch.sigmoid(torch.tensor(middle, dtype=torch.float64)) ** k < 0.5:
            low = middle
        else:
            high = middle
    return middle"""],
    "ex-optimum": ["""
import numpy as np
def best_scores(n_cues, p):
    q = np.full(n_cues, (1 - p) / (n_cues - 1))
    q[0] = p
    q = q[q > 0]
    return q[0], float(-(q * np.log(q)).sum())""", """
def best_scores(n_cues, p):
    rest = 1 - p
    other = 0.0 if rest == 0 else rest * (math.log(n_cues - 1) - math.log(rest))
    return p, other - p * math.log(p)""", """
def best_scores(n_cues, p):
    q = torch.tensor([p] + [(1 - p) / (n_cues - 1)] * (n_cues - 1), dtype=torch.float64)
    return q.max().item(), torch.special.entr(q).sum().item()"""],
    "ex-steps": ["""
def fewest_steps(lengths, n_lanes):
    predictions = sum(lengths) - len(lengths)
    return -(-predictions // n_lanes)""", """
import numpy as np
def fewest_steps(lengths, n_lanes):
    n = np.array(lengths) - 1
    return int(max(np.ceil(n.sum() / n_lanes), n.max()))""", """
def fewest_steps(lengths, n_lanes):
    steps, left = 0, sum(n - 1 for n in lengths)
    while left > 0:
        left, steps = left - n_lanes, steps + 1
    return max(steps, *(n - 1 for n in lengths))"""],
    "ex-top1": ["""
def top1_gradient(target, others):
    s, q, n = (others - target).sigmoid(), (others * others).sigmoid(), others.numel()
    first = (s - s ** 2) / n
    return -first.sum(), first + (q - q ** 2) * 2 * others / n""", """
import numpy as np
def slope(x):
    return 1 / (2 + 2 * np.cosh(x))

def top1_gradient(target, others):
    r = others.numpy()
    d = slope(r - target.item())
    return -d.mean(), (d + 2 * r * slope(r**2)) / r.size""", """
def top1_gradient(target, others):
    grads, pull = [], 0.0
    for r in others.tolist():
        a = math.exp(-abs(r - target.item()))
        b = math.exp(-r * r)
        pull -= a / (1 + a) ** 2 / len(others)
        grads.append((a / (1 + a) ** 2 + 2 * r * b / (1 + b) ** 2) / len(others))
    return torch.tensor(pull, dtype=torch.float64), torch.tensor(grads, dtype=torch.float64)"""],
    "ex-ties": ["""
def rank(scores, target):
    return len(scores) - (scores < scores[target]).sum().item()""", """
def rank(scores, target):
    place = 1
    for item, score in enumerate(scores):
        if item != target and score >= scores[target]:
            place += 1
    return place""", """
import numpy as np
def rank(scores, target):
    ascending = np.sort(scores.numpy())
    return ascending.size - np.searchsorted(ascending, scores[target].item(), side="left")"""],
    "ex-chain-lambda": ["""
def best_strength(bias_squared, b, c, n):
    free = (b / n) / (c / n + bias_squared)
    return np.minimum(1.0, np.maximum(0.0, free))""", """
def best_strength(bias_squared, b, c, n):
    out = []
    for one_bias, one_b, one_c in zip(bias_squared, b, c):
        value = one_b / (n * one_bias + one_c)
        out.append(min(max(value, 0.0), 1.0))
    return out""", """
def best_strength(bias_squared, b, c, n):
    grid = np.linspace(0, 1, 4001)[:, None]
    error = grid**2 * bias_squared + (grid**2 * c - 2 * grid * b) / n
    return grid[error.argmin(axis=0), 0]"""],
    "ex-delete": ["""
def pairs_after_deletion(session, keep):
    pairs, history = [], []
    for r, (item, kept) in enumerate(zip(session, keep)):
        if r:
            pairs.append((list(history), item))
        if kept:
            history.append(item)
    return pairs""", """
import itertools
def pairs_after_deletion(session, keep):
    return [(list(itertools.compress(session[:r], keep[:r])), session[r]) for r in range(1, len(session))]""", """
import numpy as np
def pairs_after_deletion(session, keep):
    session, keep = np.array(session), np.array(keep)
    return [(session[:r][keep[:r]].tolist(), int(session[r])) for r in range(1, len(session))]"""],
    "ex-blocks": ["""
def nearest_in_blocks(states, table, k, block):
    values = torch.full((len(states), k), -float("inf"))
    rows = torch.zeros(len(states), k, dtype=torch.long)
    for start, part in zip(range(0, len(table), block), table.split(block)):
        cosines = F.cosine_similarity(states[:, None], part[None], dim=2)
        number = start + torch.arange(len(part)).repeat(len(states), 1)
        values, order = torch.cat([values, cosines], 1).topk(k)
        rows = torch.cat([rows, number], 1).gather(1, order)
    return rows""", """
import heapq
def nearest_in_blocks(states, table, k, block):
    best = [[] for _ in states]
    for start in range(0, len(table), block):
        part = table[start:start + block]
        products = states @ part.T / part.norm(dim=1)
        for heap, row in zip(best, products.tolist()):
            for n, value in enumerate(row):
                heapq.heappush(heap, (value, start + n))
                if len(heap) > k:
                    heapq.heappop(heap)
    return torch.tensor([[n for _, n in sorted(heap, reverse=True)] for heap in best])""", """
def nearest_in_blocks(states, table, k, block):
    unit, found = F.normalize(states), []
    for start in range(0, len(table), block):
        c = unit @ F.normalize(table[start:start + block]).T
        top = c.topk(min(k, c.shape[1]))
        found.append((top.values, top.indices + start))
    values, rows = (torch.cat(parts, dim=1) for parts in zip(*found))
    return rows.gather(1, values.argsort(dim=1, descending=True)[:, :k])"""],
    "ex-gain": ["""
def steady_gain(rho, sigma):
    # the fixed point is the root of a quadratic in the variance before a rating
    s, w = sigma**2, 1 - rho**2
    half = (s * w - w) / 2
    prior = -half + (half**2 + s * w) ** 0.5
    return prior / (prior + s)""", """
def steady_gain(rho, sigma):
    prior, old = 1.0, 0.0
    while abs(prior - old) > 1e-14:
        old = prior
        prior = rho**2 * prior * sigma**2 / (prior + sigma**2) + 1 - rho**2
    return prior / (prior + sigma**2)""", """
def steady_gain(rho, sigma):
    def moved(K):
        P = K * sigma**2
        before = rho**2 * P + (1 - rho**2)
        return before / (before + sigma**2) - K
    low, high = 0.0, 1.0
    for _ in range(100):
        K = (low + high) / 2
        low, high = (K, high) if moved(K) > 0 else (low, K)
    return K"""],
    "ex-strictly-before": ["""
def last_before(times, asked):
    return (np.asarray(times)[None, :] < np.asarray(asked)[:, None]).sum(axis=1) - 1""", """
import bisect
def last_before(times, asked):
    return np.array([bisect.bisect_left(times.tolist(), t) - 1 for t in asked])""", """
def last_before(times, asked):
    answer = []
    for question in asked:
        place = -1
        for n, time in enumerate(times):
            if time < question:
                place = n
        answer.append(place)
    return answer"""],
    "ex-forget": ["""
def forgetting_ridge(q, r, ages, gamma, penalty):
    root = gamma ** (ages / 2)
    d = q.shape[1]
    A = np.vstack([q * root[:, None], np.sqrt(penalty) * np.eye(d)])
    return np.linalg.lstsq(A, np.concatenate([r * root, np.zeros(d)]), rcond=None)[0]""", """
def forgetting_ridge(q, r, ages, gamma, penalty):
    d = q.shape[1]
    A, y = penalty * np.eye(d), np.zeros(d)
    for vector, rating, age in zip(q, r, ages):
        A += gamma**age * np.outer(vector, vector)
        y += gamma**age * rating * vector
    return np.linalg.inv(A) @ y""", """
def forgetting_ridge(q, r, ages, gamma, penalty):
    w = torch.as_tensor(np.exp(np.log(gamma) * ages))
    q, r = torch.as_tensor(q), torch.as_tensor(r)
    A = torch.einsum("n,ni,nj->ij", w, q, q) + penalty * torch.eye(q.shape[1], dtype=q.dtype)
    return torch.linalg.solve(A, torch.einsum("n,n,ni->i", w, r, q)).numpy()"""],
    "ex-worth": ["""
def ratings_per_review(sigma, sigma_t):
    return 1 + (sigma / sigma_t) ** 2""", """
def ratings_per_review(sigma, sigma_t):
    rating, text = sigma**-2, sigma_t**-2
    return (rating + text) / rating""", """
def ratings_per_review(sigma, sigma_t):
    variance_of_both = sigma**2 * sigma_t**2 / (sigma**2 + sigma_t**2)
    return sigma**2 / variance_of_both"""],
    "ex-perplexity": ["""
def perplexity(nats, lengths):
    total, characters = 0.0, 0
    for n, length in zip(nats, lengths):
        total += n
        characters += length + 1
    return math_exp(total / characters)

from math import exp as math_exp""", """
def perplexity(nats, lengths):
    return np.e ** (nats.sum() / (lengths.sum() + len(lengths)))""", """
def perplexity(nats, lengths):
    weights = (lengths + 1) / (lengths + 1).sum()
    return float(np.prod(np.exp(nats / (lengths + 1)) ** weights))"""],
    "ex-posterior": ["""
def posterior(ratings, tokens, sigma, sigma_t):
    mean, variance = 0.0, 1.0
    for seen, noise in ((ratings, sigma), (tokens, sigma_t)):
        for value in seen:
            gain = variance / (variance + noise**2)
            mean, variance = mean + gain * (value - mean), (1 - gain) * variance
    return mean, variance**0.5""", """
def posterior(ratings, tokens, sigma, sigma_t):
    seen = np.concatenate([[0.0], ratings, tokens])
    w = np.concatenate([[1.0], np.full(len(ratings), sigma**-2.0), np.full(len(tokens), sigma_t**-2.0)])
    return np.average(seen, weights=w), 1 / np.sqrt(w.sum())""", """
def posterior(ratings, tokens, sigma, sigma_t):
    n, m = len(ratings), len(tokens)
    noise = np.diag([sigma**2.0] * n + [sigma_t**2.0] * m)
    values, ones = np.concatenate([ratings, tokens]), np.ones(n + m)
    inverse = np.linalg.inv(noise + np.outer(ones, ones)) if n + m else noise
    return ones @ inverse @ values, (1 - ones @ inverse @ ones) ** 0.5"""],
    "ex-join": ["""
def join(first, second):
    A = second[0].dot(first[0])
    b = second[0].dot(first[1]) + second[1]
    return A, b""", """
def join(first, second):
    def both(h):
        for A, b in (first, second):
            h = A @ h + b
        return h
    d = len(first[1])
    b = both(np.zeros(d))
    return np.stack([both(e) - b for e in np.eye(d)], axis=1), b""", """
def join(first, second):
    def square(A, b):
        d = len(b)
        S = np.eye(d + 1)
        S[:d, :d], S[:d, d] = A, b
        return S
    S = square(*second) @ square(*first)
    return S[:-1, :-1], S[:-1, -1]"""],
    "ex-half-life": ["""
def half_life(factor):
    return -math.log(2) / math.log(math.hypot(factor.real, factor.imag))""", """
def half_life(factor):
    return 1 / -math.log2(abs(factor))""", """
def half_life(factor):
    return float(np.log(0.25) / np.log((factor * np.conj(factor)).real))"""],
    "ex-attend": ["""
def attend(q, k, v):
    rows = []
    for t in range(len(q)):
        asked = k[:t + 1] @ q[t] / q.shape[1] ** 0.5
        e = np.exp(asked - asked.max())
        rows.append(e @ v[:t + 1] / e.sum())
    return np.stack(rows)""", """
def attend(q, k, v):
    q, k, v = (torch.as_tensor(x) for x in (q, k, v))
    later = torch.ones(len(q), len(q), dtype=torch.bool).triu(1)
    return ((q @ k.T / q.shape[1] ** 0.5).masked_fill(later, -math.inf).softmax(1) @ v).numpy()""", """
def attend(q, k, v):
    out = np.empty_like(v)
    for t, ask in enumerate(q):
        top, total, mean = -np.inf, 0.0, np.zeros(v.shape[1])
        for s in range(t + 1):
            a = ask @ k[s] / np.sqrt(len(ask))
            new = max(top, a)
            old, w = np.exp(top - new), np.exp(a - new)
            mean, total, top = mean * old + w * v[s], total * old + w, new
        out[t] = mean / total
    return out"""],
}

WRONG = {
    "ex-input-gradient": [("""
def input_gradient(h, grad_h, W, U):
    back, x_grad = torch.zeros_like(h[0]), []
    for t in reversed(range(len(grad_h))):
        delta = (grad_h[t] + back) * (1 - h[t] ** 2)        # the state before the step
        x_grad.append(delta @ W)
        back = delta @ U
    return torch.stack(x_grad[::-1])""", "off by one"), ("""
def input_gradient(h, grad_h, W, U):
    return (grad_h * (1 - h[1:] ** 2)) @ W                  # no way back through time""", "its own loss alone"), ("""
def input_gradient(h, grad_h, W, U):
    back, x_grad = torch.zeros_like(h[0]), []
    for t in reversed(range(len(grad_h))):
        delta = (grad_h[t] + back) * (1 - h[t + 1] ** 2)
        x_grad.append(delta @ W)
        back = delta @ U
    return torch.stack(x_grad)                              # the last step first""", "turn its list round")],
    "ex-gate-bias": [("""
def bias_for_half_life(k):
    return math.log(k)                                      # the chrono initialisation""", "1/e"), ("""
def bias_for_half_life(k):
    f = 2 ** (-1 / k)
    return math.log((1 - f) / f)                            # upside down""", "turned round"), ("""
def bias_for_half_life(k):
    return math.log(k / math.log(2)) if k > 1 else 0.0      # the approximation""", "exact bias")],
    "ex-optimum": [("""
def best_scores(n_cues, p):
    wrong = (1 - p) / (n_cues - 1)
    return p, -p * math.log2(p) - (1 - p) * math.log2(wrong or 1)           # bits""", "These are bits"), ("""
def best_scores(n_cues, p):
    rest = 1 - p
    return p, -p * math.log(p) - (rest * math.log(rest) if rest else 0)     # one wrong cue""", "one wrong cue"), ("""
def best_scores(n_cues, p):
    return p, -math.log(p)                                                  # it is right always""", "This is -log p")],
    "ex-steps": [("""
def fewest_steps(lengths, n_lanes):
    return sum(n - 1 for n in lengths) // n_lanes + 1  # one too many where nothing is left over""",
                  "one more where nothing is left over"), ("""
def fewest_steps(lengths, n_lanes):
    return sum(n - 1 for n in lengths) // n_lanes                           # rounded down""", "Expected 7"), ("""
def fewest_steps(lengths, n_lanes):
    return max(lengths) + 1                                                 # the longest session, and some luck""",
                  "lower bound")],
    "ex-top1": [("""
def top1_gradient(target, others):
    s = torch.sigmoid(others - target)                      # BPR with its logarithm lost
    return -(s * (1 - s)).mean(), s * (1 - s) / len(others)""", "first term alone"), ("""
def top1_gradient(target, others):
    s, q = torch.sigmoid(others - target), torch.sigmoid(others**2)
    return -(s * (1 - s)).mean(), (s * (1 - s) + q * (1 - q)) / len(others)""", "inner derivative"), ("""
def top1_gradient(target, others):                          # by differences
    r, h = torch.cat([target[None], others]), 1e-5
    loss = lambda r: (torch.sigmoid(r[1:] - r[0]) + torch.sigmoid(r[1:]**2)).mean()
    g = torch.stack([(loss(r + h * e) - loss(r - h * e)) / (2 * h) for e in torch.eye(len(r), dtype=r.dtype)])
    return g[0], g[1:]""", "")],
    "ex-ties": [("""
def rank(scores, target):
    return int((scores > scores[target]).sum()) + 1         # ties count for the model""",
                "ties count for the model"), ("""
def rank(scores, target):
    others = (scores == scores[target]).sum() - 1
    return int((scores > scores[target]).sum() + others / 2) + 1            # half of the ties""",
                "ties count half"), ("""
def rank(scores, target):
    return scores.argsort(descending=True, stable=True).tolist().index(target) + 1""", "last place")],
    "ex-chain-lambda": [("""
def best_strength(bias_squared, b, c, n):
    return np.clip(b / c, 0, 1)                             # the teacher is believed to be unbiased""",
                "unbiased"), ("""
def best_strength(bias_squared, b, c, n):
    return np.clip(b / (c + bias_squared / n), 0, 1)        # a bias that averages out""", "averages a bias away"), ("""
def best_strength(bias_squared, b, c, n):
    return b / (c + n * bias_squared)                       # not cut""", "cut to the range")],
    "ex-delete": [("""
def pairs_after_deletion(session, keep):
    kept = [item for item, k in zip(session, keep) if k]    # the targets are deleted, too
    return [(kept[:r], kept[r]) for r in range(1, len(kept))]""", "deleted before the pairs were made"), ("""
def pairs_after_deletion(session, keep):
    found = [([i for i, k in zip(session[:r], keep) if k], session[r]) for r in range(1, len(session))]
    return [pair for pair in found if pair[0]]              # no history, no pair""",
                "nothing is left of the history"), ("""
def pairs_after_deletion(session, keep):
    gone = {item for item, k in zip(session, keep) if not k}                # by item, not by place
    return [([i for i in session[:r] if i not in gone], session[r]) for r in range(1, len(session))]""",
                "by its place")],
    "ex-blocks": [("""
def nearest_in_blocks(states, table, k, block):
    states, best, ids = F.normalize(states, dim=1), None, None
    for start in range(0, len(table), block):
        cosines = states @ F.normalize(table[start:start + block], dim=1).T
        rows = torch.arange(cosines.shape[1]).expand_as(cosines)            # counts within the block
        if best is not None:
            cosines, rows = torch.cat([best, cosines], dim=1), torch.cat([ids, rows], dim=1)
        best, place = cosines.topk(min(k, cosines.shape[1]), dim=1)
        ids = rows.gather(1, place)
    return ids""", "numbers within a block"), ("""
def nearest_in_blocks(states, table, k, block):
    for start in range(0, len(table), block):
        part = F.normalize(table[start:start + block])
        ids = start + (states @ part.T).topk(min(k, len(part))).indices     # forgets those before
    return ids""", "k rows for each state"), ("""
def nearest_in_blocks(states, table, k, block):
    return (states @ table.T).topk(k).indices                               # products""", "largest cosines")],
    "ex-gain": [("""
def steady_gain(rho, sigma):
    P = 1.0
    for _ in range(1000):
        before_rating = rho**2 * P + 1 - rho**2
        K = before_rating / (before_rating + sigma)         # a deviation for a variance
        P = (1 - K) * before_rating
    return K""", "a deviation"), ("""
def steady_gain(rho, sigma):
    P = 1.0
    for _ in range(1000):
        before_rating = rho**2 * P + 1 - rho                # the step's variance
        K = before_rating / (before_rating + sigma**2)
        P = (1 - K) * before_rating
    return K""", "variance 1 - rho²"), ("""
def steady_gain(rho, sigma):
    return 1 / (1 + sigma**2)                               # the first""", "the first rating")],
    "ex-strictly-before": [("""
def last_before(times, asked):
    return np.searchsorted(times, asked, side="right") - 1  # a rating predicts itself""", "finds itself"), ("""
def last_before(times, asked):
    return np.array([np.flatnonzero(times < t)[-1] if (times < t).any() else 0 for t in asked])""", "-1 where"), ("""
def last_before(times, asked):
    places = np.searchsorted(times, asked) - 1
    if len(times) and np.array_equal(times, asked):
        places = np.arange(len(times)) - 1                  # the one before in the list
    return places""", "place in the list")],
    "ex-forget": [("""
def forgetting_ridge(q, r, ages, gamma, penalty):
    w = gamma**ages
    weighted = q * w[:, None]                               # the weight counts twice
    return np.linalg.solve(weighted.T @ weighted + penalty * np.eye(q.shape[1]), weighted.T @ (w * r))""",
                "twice"), ("""
def forgetting_ridge(q, r, ages, gamma, penalty):
    w = gamma**-ages                                        # the old ones count
    return np.linalg.solve((q * w[:, None]).T @ q + penalty * np.eye(q.shape[1]), q.T @ (w * r))""",
                "old ratings"), ("""
def forgetting_ridge(q, r, ages, gamma, penalty):
    w = gamma**ages
    return np.linalg.solve((q * w[:, None]).T @ q, q.T @ (w * r))           # no penalty""", "penalty is left out")],
    "ex-worth": [("""
def ratings_per_review(sigma, sigma_t):
    return 1 + sigma / sigma_t                              # deviations for variances""", "deviations"), ("""
def ratings_per_review(sigma, sigma_t):
    return 1 + sigma_t**2 / sigma**2                        # upside down""", "turned round"), ("""
def ratings_per_review(sigma, sigma_t):
    return 2 * sigma**2 / sigma_t**2                        # two measurements, alike""", "Precisions of independent")],
    "ex-perplexity": [("""
def perplexity(nats, lengths):
    return np.exp(nats / (lengths + 1)).mean()              # a mean of the reviews' perplexities""",
                "own perplexities"), ("""
def perplexity(nats, lengths):
    return np.exp((nats / (lengths + 1)).mean())            # a mean of means""", "own nats"), ("""
def perplexity(nats, lengths):
    return np.exp(nats.sum() / (lengths.sum() + 1))         # one end for all""", "one end")],
    "ex-posterior": [("""
def posterior(ratings, tokens, sigma, sigma_t):
    precision = 1 + len(ratings) / sigma**2 + len(tokens) / sigma_t**2
    mean = (np.sum(ratings) + np.sum(tokens)) / (1 + len(ratings) + len(tokens))    # all weigh alike
    return mean, precision**-0.5""", "all weigh alike"), ("""
def posterior(ratings, tokens, sigma, sigma_t):
    precision = 1 + len(ratings) / sigma**2 + len(tokens) / sigma_t**2
    total = np.sum(ratings) / sigma**2 + np.sum(tokens) / sigma_t**2
    return total / precision, 1 / precision                                         # the variance""",
                "the variance"), ("""
def posterior(ratings, tokens, sigma, sigma_t):
    precision = len(ratings) / sigma**2 + len(tokens) / sigma_t**2                  # no prior
    total = np.sum(ratings) / sigma**2 + np.sum(tokens) / sigma_t**2
    return (total / precision, precision**-0.5) if precision else (0, 1)""", "does not pull the mean")],
    "ex-join": [("""
def join(first, second):
    (A1, b1), (A2, b2) = first, second
    return A1 @ A2, A2 @ b1 + b2                            # the matrices in the order of time""",
                 "on the left"),
                ("""
def join(first, second):
    (A1, b1), (A2, b2) = first, second
    return A2 @ A1, b1 + b2""", "halved by the second"),
                ("""
def join(first, second):
    (A1, b1), (A2, b2) = first, second
    return A2 * A1, A2 @ b1 + b2""", "elementwise")],
    "ex-half-life": [("""
def half_life(factor):
    return math.log(0.5) / math.log(complex(factor).real)   # the angle is taken for a fade""",
                      "the real part alone"),
                     ("""
def half_life(factor):
    return math.log(0.5) / math.log(abs(factor) ** 2)""", "where each click halves"),
                     ("""
def half_life(factor):
    return 1 / (1 - abs(factor)) - 1""", "log(1/2) / log |factor|")],
    "ex-attend": [("""
def attend(q, k, v):
    asked = np.where(np.tri(len(q), dtype=bool), q @ k.T, -np.inf)              # no root of d
    weights = np.exp(asked - asked.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v""", "divided by the root of d"),
                  ("""
def attend(q, k, v):
    asked = np.exp(q @ k.T / np.sqrt(q.shape[1]))
    return np.tril(asked / asked.sum(axis=1, keepdims=True)) @ v""", "the first one, two and three rows"),
                  ("""
def attend(q, k, v):
    asked = np.where(np.tri(len(q), dtype=bool), k @ q.T / np.sqrt(q.shape[1]), -np.inf)
    weights = np.exp(asked - asked.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v""", "changed places")],
}
