"""Ratings and reviews together: on the world in which the worth of a text is known, and on real reviews of gift cards.

``python -m rnnbook reproduce joint-world``, ``… joint-moving`` and ``… joint-gift-cards``
"""

from dataclasses import asdict, replace

import numpy as np

from rnnbook import data, metrics, results
from rnnbook.benchmarks.rows import collect, difference_row, mean_row, paired_row, score_row
from rnnbook.benchmarks.units import Units
from rnnbook.joint import JointConfig, evaluate_text, fit
from rnnbook.baselines import Biases, ReviewRidge
from rnnbook.interactions import DAY, concatenate
from rnnbook.worlds import MovingReviewWorld, ReviewWorld

SEEDS = range(5)

# Wu et al., ICLR workshop 2017 ("2017a" in the book's bibliography): IMDb with at least 15 ratings a user and movie,
# RMSE of the ratings and perplexity of the characters
PUBLISHED = {("RRN", "rmse"): 1.7047, ("RRN and reviews", "rmse"): 1.7012,
             ("characters alone", "perplexity"): 3.3442, ("RRN and reviews", "perplexity"): 3.3362}
PAPER = [{"source": "IMDb, 15-core, Wu et al. 2017a", "model": model, "metric": metric, "value": value}
         for (model, metric), value in PUBLISHED.items()]

# --- The world of reviews ----------------------------------------------------------------------------------

# What the search begins with. In this world nothing moves and users are alike, so there is nothing for the LSTMs of the
# ratings to follow: they are off. Only the writer is recurrent here.
WORLD_CONFIG = JointConfig(dynamic=False, dynamic_size=2, stationary_size=1, anchored=False, cold_start=0.0,
                           dropout=0.5, penalty=1000.0, bias_penalty=1.0, batch_size=1024, n_epochs=12,
                           learning_rate=1e-2, table_learning_rate=0.1, decay=True, character_size=16, joint_size=16,
                           text_hidden_size=32, min_count=1, text_batch=4096, warm_up=8, text_weight=25.0)
ITEMS = {1: 8000, 3: 4000}  # by the number of ratings that each has in the past

# Where qualities move, the LSTMs of the ratings are on.
MOVING_CONFIG = replace(WORLD_CONFIG, dynamic=True, hidden_size=8, embedding_size=8, cold_start=0.1, user_step=DAY,
                        learning_rate=5e-3, n_epochs=20)
MOVING_ITEMS, MOVING_SEEDS, RHO = {1: 8000, 3: 8000}, range(3), 0.95
SETTINGS = {"joint-world": WORLD_CONFIG, "joint-moving": MOVING_CONFIG}
SEARCHES = {"joint-world": "joint-search", "joint-moving": "joint-moving-search"}


def new_world(experiment, n, text, seed):
    if experiment == "joint-moving":
        return MovingReviewWorld(n_items=MOVING_ITEMS[n], n=n, text=text, seed=seed, rho=RHO)
    return ReviewWorld(n_items=ITEMS[n], n=n, text=text, seed=seed)


def train_world(job):
    """{arm: {metric: value}} of one draw, and what the optimum scores."""
    experiment, n, seed, alone, together = job
    scores = {}

    def score(name, model, test):
        scores[name] = {"rmse": metrics.evaluate_ratings(model, test.ratings, n_boot=1).rmse}

    def arm(name, train, valid, test, settings=together, **changes):
        config = replace(SETTINGS[experiment], **settings | changes)
        model = fit(train, config, device="cpu", seed=seed, valid=valid, patience=5, progress=False)
        score(name, model, test)
        if model.config.text_weight:
            found = evaluate_text(model, test)
            scores[name] |= {"perplexity": found.perplexity, "word_perplexity": found.word_perplexity,
                             "nats_per_review": float(found.nats.mean())}

    for text in ("quality", "independent", "rating"):
        world = new_world(experiment, n, text, seed)
        train, valid, test = world.split(world.sample(seed))
        if text == "quality":
            arm("ratings alone", train, valid, test, alone)
            arm("ratings and reviews", train, valid, test)
            arm("shuffled reviews", world.shuffled(train, seed), valid, test)
            arm("a vector of each item for the writer", train, valid, test, writer_item_size=50)
            score("word ridge", ReviewRidge(n).fit(train, valid), test)
            score("word ridge, shuffled reviews", ReviewRidge(n).fit(world.shuffled(train, seed), valid), test)
            if experiment == "joint-moving":
                arm("ratings and reviews, no LSTMs", train, valid, test, dynamic=False)
            best = world.oracle(train, test)
            size = (test.n_characters + test.n_ratings) / test.n_ratings
            scores["optimum"] = {"rmse": best.rmse, "perplexity": float(np.exp(best.nats.per_review / size)),
                                 "word_perplexity": best.nats.word_perplexity, "nats_per_review": best.nats.per_review}
            scores["who knows nothing of the item"] = {"nats_per_review": world.entropy().marginal.per_review}
            scores["optimum of the ratings alone"] = {"rmse": best.rmse_without_text}
        else:
            arm(f"reviews: {text}", train, valid, test)
            score(f"word ridge, reviews: {text}", ReviewRidge(n).fit(train, valid), test)
    # Of what only the text can give: counted from the best prediction without it, not from where the model ends
    blind = scores["optimum of the ratings alone"]["rmse"]
    for name in ("ratings and reviews", "word ridge"):
        scores[name]["gain_share"] = (blind - scores[name]["rmse"]) / (blind - scores["optimum"]["rmse"])
    return scores


def world(experiment):
    """RMSE with and without reviews, with reviews that tell nothing, and how well reviews are predicted."""
    items, seeds = {"joint-world": (ITEMS, SEEDS), "joint-moving": (MOVING_ITEMS, MOVING_SEEDS)}[experiment]
    chosen = {(each["n"], each["arm"]): each["config"]
              for each in results.load(SEARCHES[experiment])["config"]["chosen"]}
    jobs = [(experiment, n, seed, chosen[n, "ratings alone"], chosen[n, "ratings and reviews"])
            for n in sorted(items, reverse=True) for seed in seeds]
    first = new_world(experiment, 1, "quality", 0)
    train, _, test = first.split(first.sample())
    result = results.new_result(experiment, results.describe(train.ratings, test.ratings), {
        "seeds": list(seeds), "items": items, "world": asdict(first), "model": asdict(SETTINGS[experiment]),
        "chosen": {f"n={n} · {arm}": settings for (n, arm), settings in chosen.items()}})
    units = Units(result)
    done = dict(zip([job[1:3] for job in jobs], units.in_parallel(train_world, jobs)))
    for n in items:
        by_arm = collect([done[n, seed] for seed in seeds])
        for name, runs in by_arm.items():
            for metric in runs[0]:
                result["rows"].append(mean_row(f"n={n} · {name}", metric, [run[metric] for run in runs]))
        rmse = {name: np.array([run["rmse"] for run in runs]) for name, runs in by_arm.items() if "rmse" in runs[0]}
        for name in rmse:
            if name != "ratings alone":
                result["paired"].append(difference_row(f"n={n} · {name}", f"n={n} · ratings alone", "rmse",
                                                       rmse[name] - rmse["ratings alone"]))
    units.write()


# --- Gift cards: a check that the whole way works on real text, too small to show more -------------------------

CARDS_CONFIG = JointConfig(hidden_size=16, embedding_size=16, dynamic_size=4, stationary_size=8, text_hidden_size=64,
                           batch_size=1024, n_epochs=8, learning_rate=4e-3, warm_up=20, text_batch=2048)
CARDS_ARMS = {"ratings alone": {"text_weight": 0.0}, "ratings and reviews": {"text_weight": 1.0}}


def train_cards(seed):
    train, valid, test = data.load_reviews("amazon-gift-cards").split_by_time()
    scores, texts = {}, {}
    for name, changes in CARDS_ARMS.items():
        model = fit(train, replace(CARDS_CONFIG, **changes), device="cpu", seed=seed, valid=valid, progress=False)
        model.observe(valid.ratings)
        scores[name] = metrics.evaluate_ratings(model, test.ratings)
        if changes["text_weight"]:
            texts = evaluate_text(model, test)._asdict()
            texts.pop("nats")
    return scores, texts


def gift_cards(experiment):
    reviews = data.load_reviews("amazon-gift-cards")
    train, valid, test = reviews.split_by_time()
    written = [reviews.text(i) for i in range(reviews.n_ratings)]
    result = results.new_result(experiment, {"name": reviews.name, "sha256": reviews.sha256, "n_test": test.n_ratings,
                                             "n_train": train.n_ratings + valid.n_ratings}, {
        "seeds": list(SEEDS), "characters": reviews.n_characters, "empty reviews": written.count(""),
        "different texts": len(set(written)), "share of 5 stars": float((reviews.ratings.ratings == 5).mean()),
        "model": asdict(CARDS_CONFIG)})
    units = Units(result)
    done = units.in_parallel(train_cards, list(SEEDS))
    scores = collect([s for s, _ in done])
    scores["Biases"] = [metrics.evaluate_ratings(Biases().fit(concatenate(train.ratings, valid.ratings)), test.ratings)]
    for name, runs in scores.items():
        result["rows"].append(score_row(name, "rmse", runs))
    for metric in ("perplexity", "word_perplexity"):
        result["rows"].append(mean_row("ratings and reviews", metric, [texts[metric] for _, texts in done]))
    a, b = "ratings and reviews", "ratings alone"
    result["paired"].append(paired_row(a, b, "rmse", scores[a], scores[b]))
    result["paper"] = PAPER
    units.write()


def main(experiment):
    (gift_cards if experiment == "joint-gift-cards" else world)(experiment)
