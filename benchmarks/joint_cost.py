"""What the writer costs: by the length of the reviews, beside one review at a time, and with fifty million characters.

``python -m rnnbook reproduce joint-cost`` and ``… joint-large``
"""

import time
from dataclasses import asdict, replace

import numpy as np
import torch
from torch.nn import functional as F

from rnnbook import results
from rnnbook.benchmarks.peer_speed import matmul_speed
from rnnbook.benchmarks.rows import mean_row
from rnnbook.benchmarks.rrn_scale import GIB, alone, peak
from rnnbook.joint import JointConfig, Texts, fit, new_model, text_loss
from rnnbook.interactions import ReviewData
from rnnbook.worlds import RatingWorld, ReviewWorld

LENGTHS = (25, 100, 400, 1600)  # characters of a review, in the mean
REVIEWS = 400  # whose gradient is timed at each length
REPEATS = 5
RATINGS = 1_000  # of an epoch
CONFIG = JointConfig(min_count=1, warm_up=0, n_epochs=2)
LARGE = {"n_ratings": 100_000, "length": 500}


def reviews_of(n, length, seed=0):
    """``n`` ratings, each with sentences of the world of reviews until about ``length`` characters are reached."""
    ratings = RatingWorld(n_users=max(n // 100, 1), n_items=100).sample(seed)
    ratings = ratings.take(slice(0, n))
    pool = ReviewWorld(n_items=1000, n=1).sample(seed)
    sentences = [np.append(pool.characters[a:b], ord(" ")) for a, b in zip(pool.offsets[:-1], pool.offsets[1:])]
    mean = np.mean([len(s) for s in sentences])
    rng = np.random.default_rng(seed)
    counts = rng.geometric(min(1.0, mean / length), size=ratings.n_ratings)  # lengths differ as those of people do
    drawn = [sentences[i] for i in rng.integers(len(sentences), size=counts.sum())]
    ends = np.cumsum(counts)
    offsets = np.append(0, np.cumsum([len(s) for s in drawn]))[np.append(0, ends)]
    return ReviewData(ratings, np.concatenate(drawn).astype(np.uint32), offsets)


# --- Batches by length beside one review at a time --------------------------------------------------------


def in_batches(writer, texts, rows, x_joint, weight, text_batch=CONFIG.text_batch):
    """The gradient of `rnnbook.joint.text_loss`: returned for x_joint, added to the parameters for the writer."""
    leaf = x_joint.detach().requires_grad_()
    text_loss(writer, texts, rows, leaf, weight, text_batch).backward()
    return leaf.grad


def one_by_one(writer, texts, rows, x_joint, weight):
    """The same as one writes it at first: a loop over the reviews."""
    leaf = x_joint.detach().requires_grad_()
    for k, row in enumerate(rows):
        start, length = texts.starts[row], texts.lengths[row]
        review = texts.symbols[start:start + length].long()
        end = review.new_zeros(1)
        h, _ = writer(torch.cat([end, review])[:, None], leaf[k:k + 1])
        (weight * F.cross_entropy(writer.out(h[:, 0]), torch.cat([review, end]))).backward()
    return leaf.grad


def work(config, n_symbols):
    """Multiplications and additions of a character: forward, and twice that backward."""
    size, total = config.character_size + config.joint_size, 0
    for _ in range(config.text_layers):
        total += 4 * config.text_hidden_size * (size + config.text_hidden_size)
        size = config.text_hidden_size
    return 3 * 2 * (total + size * n_symbols)


def gradient_of(length):
    """Characters a second of both ways, by turns; their gradients' largest difference, and the share of the floor."""
    reviews = reviews_of(REVIEWS, length)
    model = new_model(reviews, CONFIG, device="cpu")
    texts = Texts(reviews, model.alphabet, model.device)
    rows = np.arange(reviews.n_ratings)
    x = torch.rand(len(rows), CONFIG.joint_size)
    n = reviews.n_characters + len(rows)
    speeds, gradients = {"batches": [], "loop": []}, {}
    for _ in range(REPEATS + 1):  # the first is not counted
        for name, way in (("batches", in_batches), ("loop", one_by_one)):
            model.zero_grad()
            start = time.process_time()
            g = way(model.writer, texts, rows, x, 1 / len(rows))
            speeds[name].append(n / (time.process_time() - start))
            moved = [p.grad.flatten() for p in model.writer.parameters() if p.grad is not None]
            gradients[name] = torch.cat([g.flatten(), *moved])
    a, b = gradients.values()
    floor = matmul_speed(clock=time.process_time) / work(CONFIG, len(model.alphabet) + 2)
    return {"batches": speeds["batches"][1:], "loop": speeds["loop"][1:],
            "difference": float((a - b).abs().max() / b.abs().max()), "floor": floor}


def epoch_of(length, text_weight):
    """Seconds of the last epoch."""
    clock = [time.process_time()]
    fit(reviews_of(RATINGS, length), replace(CONFIG, text_weight=text_weight), device="cpu", progress=False,
        callback=lambda _: clock.append(time.process_time()))
    return clock[-1] - clock[-2]


def cost(experiment):
    """Characters a second by the length of reviews, and seconds of an epoch."""
    small = reviews_of(RATINGS, LENGTHS[0]).ratings
    result = results.new_result(experiment, results.describe(small, small.take(slice(0))), {
        "seeds": [0], "threads": 1, "repeats": REPEATS, "reviews": REVIEWS, "ratings of an epoch": RATINGS,
        "model": asdict(CONFIG)})
    bare = alone(epoch_of, LENGTHS[0], 0.0)
    result["rows"].append(mean_row("ratings alone", "epoch_seconds", [bare]))
    for length in LENGTHS:
        done, name = alone(gradient_of, length), f"{length} characters"
        values = {"characters_per_second": done["batches"], "loop_characters_per_second": done["loop"],
                  "times_the_loop": [a / b for a, b in zip(done["batches"], done["loop"])],
                  "share_of_floor": [a / done["floor"] for a in done["batches"]],
                  "gradient_difference": [done["difference"]], "epoch_seconds": [alone(epoch_of, length, 1.0)]}
        for metric, each in values.items():
            result["rows"].append(mean_row(name, metric, each))
    results.write(result)


# --- Fifty million characters ------------------------------------------------------------------------------


def epoch_of_large():
    """What it trained on, and the measures: characters and ratings, seconds, bytes at the peak."""
    train = reviews_of(LARGE["n_ratings"], LARGE["length"])
    start = time.process_time()
    fit(train, replace(CONFIG, n_epochs=1), device="cpu", progress=True)
    seconds, peak_bytes = time.process_time() - start, peak()
    return results.describe(train.ratings, train.ratings.take(slice(0))), {
        "characters": train.n_characters, "ratings": train.n_ratings, "epoch_seconds": seconds,
        "peak_gib": peak_bytes / GIB,
        # both halves of an epoch read each review
        "characters_per_second": 2 * (train.n_characters + train.n_ratings) / seconds}


def large(experiment):
    """An epoch of ratings with fifty megabytes of reviews, with the package's settings."""
    data, measures = alone(epoch_of_large)
    result = results.new_result(experiment, data, {
        "seeds": [0], "threads": 1, **LARGE, "model": asdict(replace(CONFIG, n_epochs=1))})
    result["rows"] = [mean_row("50 MB of reviews", metric, [value]) for metric, value in measures.items()]
    results.write(result)


def main(experiment):
    (cost if experiment == "joint-cost" else large)(experiment)
