"""The four ideas of the improved RNN, on worlds whose optimum is known and on YooChoose-100k.

``python -m rnnbook reproduce improved-yoochoose-100k``, and so ``improved-drift``, ``improved-privileged`` and
``improved-catalogue``
"""

import time
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial

import numpy as np
from torch.nn.functional import normalize as unit

from rnnbook import baselines, data, metrics, results
from rnnbook.baselines import PopularityTies
from rnnbook.benchmarks.gru4rec_search import as_config, best_of
from rnnbook.benchmarks.rows import collect, difference_row, mean_row, paired_rows, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import GRU4RecConfig, fit as fit_gru4rec
from rnnbook.improved import (ImprovedConfig, Padded, approximate_index, batch_loss, fit, nearest, new_model,
                              recent_sessions, train_stage)
from rnnbook.training import Adam
from rnnbook.worlds import DriftWorld, SessionWorld, divergence

SEEDS = range(5)

# Li et al., CIKM 2017 (NARM): their re-run of this model beside others, Recall@20 and MRR@20 in per cent
PUBLISHED = {
    ("YooChoose 1/64", "Item-KNN"): (51.60, 21.81), ("YooChoose 1/64", "GRU-Rec"): (60.64, 22.89),
    ("YooChoose 1/64", "Improved GRU-Rec"): (67.84, 29.00), ("YooChoose 1/64", "NARM"): (68.32, 28.76),
    ("YooChoose 1/4", "Item-KNN"): (52.31, 21.70), ("YooChoose 1/4", "GRU-Rec"): (59.53, 22.60),
    ("YooChoose 1/4", "Improved GRU-Rec"): (69.11, 29.22), ("YooChoose 1/4", "NARM"): (69.73, 29.23),
    ("Diginetica", "Item-KNN"): (28.35, 9.45), ("Diginetica", "GRU-Rec"): (43.82, 15.46),
    ("Diginetica", "Improved GRU-Rec"): (57.95, 24.93), ("Diginetica", "NARM"): (62.58, 27.35)}
# Tan et al., 2016, table 1: the best M2 and the best M4 beside what it cites, Recall@20 and MRR@20
BEST = {
    "S-POP": (0.2672, 0.1775), "Item-KNN": (0.5065, 0.2048), "GRU4Rec TOP1, 1000 units (2016)": (0.6206, 0.2693),
    "GRU4Rec BPR, 1000 units (2016)": (0.6322, 0.2467), "M4, 1000 units": (0.6676, 0.2847),
    "M2, 100 units": (0.7129, 0.3091)}
# and table 2: seconds to predict for a batch, ± as printed, and the number of parameters
COST = {
    "M1 to M3, 100 units": (0.665, 0.023, 5_705_384), "M4, 100 units": (0.366, 0.022, 1_950_150),
    "M1 to M3, 1000 units": (0.824, 0.025, 42_548_684), "M4, 1000 units": (0.485, 0.022, 7_133_250)}
PAPER = [{"source": "RSC15, Tan et al. 2016", "model": model, "metric": metric, "value": value}
         for names, table in ((("recall@20", "mrr@20"), BEST), (("seconds", "±", "parameters"), COST))
         for model, values in table.items() for metric, value in zip(names, values)]
PAPER += [{"source": f"{source}, Li et al. 2017", "model": model, "metric": metric, "value": round(value / 100, 4)}
          for (source, model), values in PUBLISHED.items() for metric, value in zip(("recall@20", "mrr@20"), values)]


# --- YooChoose-100k ---------------------------------------------------------------------------------------

FRACTIONS = {"1/256": 1 / 256, "1/64": 1 / 64, "1/16": 1 / 16, "1/4": 1 / 4}
STRENGTH = 0.2  # λ of M3


def chosen():
    """The settings of the search: with the paper's softmax, clicks deleted; and with a shared table."""
    trials = results.load("improved-search")["trials"]
    deleting = [t for t in trials if t["config"]["click_dropout"] > 0]
    return {output: ImprovedConfig(**best_of([t for t in deleting if t["config"]["output"] == output])["config"])
            for output in ("softmax", "shared")}


def whole_sessions(train, m1, shared, options):
    # One pair a session instead of about three: as many updates take three times the epochs.
    whole = replace(m1, prefixes=False, n_epochs=3 * m1.n_epochs)
    yield "M, whole sessions", fit(train, replace(whole, click_dropout=0.0), device="cpu", **options)
    yield "M + deletion", fit(train, whole, device="cpu", **options)


def fine_tuned(train, m1, shared, options):
    yield "M + prefixes", fit(train, replace(m1, click_dropout=0.0), device="cpu", **options)
    first = fit(train, m1, device="cpu", **options)
    yield "M1", first
    slow = replace(m1, learning_rate=m1.learning_rate / 5)
    for label, fraction in FRACTIONS.items():
        kept, stop = with_validation(recent_sessions(train, fraction))
        yield f"M2, {label}", train_stage(deepcopy(first), kept, settings=slow, **stop, **options)


def recent_only(train, m1, shared, options):
    for label, fraction in FRACTIONS.items():
        kept, stop = with_validation(recent_sessions(train, fraction))
        config = replace(m1, n_epochs=4 * m1.n_epochs)
        yield f"recent only, {label}", fit(kept, config, device="cpu", **stop, **options)


def with_validation(recent):
    """The sessions without every tenth, and the options of a training that these stop."""
    held_out = np.arange(recent.n_sessions) % 10 == 0
    valid = recent.take(np.flatnonzero(held_out))
    return recent.take(np.flatnonzero(~held_out)), {"valid": valid, "patience": 3}


def shared_table(train, m1, shared, options):
    first = fit(train, shared, device="cpu", **options)
    yield "M1, shared table", first
    yield "M4", fit(train, replace(shared, output="embedding"), device="cpu", **options, table=first.embedding.weight)


def taught(sees, name, train, m1, shared, options):
    teacher = train_stage(new_model(train, m1, device="cpu", seed=options["seed"], sees=sees), train, **options)
    student = replace(m1, privileged=STRENGTH, teacher=sees)
    yield f"M3, teacher sees {name}", fit(train, student, device="cpu", **options, teacher=teacher)


def rival(train, m1, shared, options):
    yield "GRU4Rec cross-entropy", fit_gru4rec(train, rival_config(), device="cpu", **options)


def rival_config():
    return as_config(best_of(results.load("gru4rec-search")["trials"], "cross-entropy")["config"])


# Each part of a seed is trained by itself; arms that share a stage are in one part.
PARTS = {"whole": whole_sessions, "fine-tuned": fine_tuned, "shared": shared_table,
         "future": partial(taught, "future", "x*"), "both": partial(taught, "both", "(x, x*)"),
         "recent": recent_only, "rival": rival}


def train_yoochoose(job):
    """{arm: SessionScores} of one part of the arms, with one seed."""
    seed, part = job
    train, test = data.load_sessions("yoochoose-100k")
    arms = PARTS[part](train, *chosen().values(), {"seed": seed, "progress": False})
    return {name: metrics.evaluate_sessions(model, test) for name, model in arms}


def yoochoose(experiment):
    train, test = data.load_sessions("yoochoose-100k")
    configs = chosen() | {"GRU4Rec cross-entropy": rival_config()}
    day = {label: (train.times.max() - recent_sessions(train, f).times.min()) / data.DAY
           for label, f in FRACTIONS.items()}
    result = results.new_result(experiment, results.describe(train, test), {
        "seeds": list(SEEDS), "ties": "conservative", "privileged": STRENGTH, "days spanned by a fraction": day,
        "models": {name: asdict(config) for name, config in configs.items()}})
    units = Units(result)
    jobs = [(seed, part) for part in PARTS for seed in SEEDS]
    done, scores = dict(zip(jobs, units.in_parallel(train_yoochoose, jobs))), {}
    for part in PARTS:
        scores |= collect([done[seed, part] for seed in SEEDS])
    for name, model in {"Item-KNN": baselines.ItemKNN(), "V-SKNN": baselines.VSKNN()}.items():
        scores[name] = [metrics.evaluate_sessions(PopularityTies(model).fit(train), test)]
    for name in scores:
        result["rows"] += score_rows(name, scores[name])
        for reference in ("M1", "GRU4Rec cross-entropy"):
            if name != reference:
                result["paired"] += paired_rows(name, reference, scores)
    result["paired"] += paired_rows("M + prefixes", "M, whole sessions", scores)
    result["paper"] = PAPER
    units.write()


# --- Drift: old sessions, new sessions, both ----------------------------------------------------------------

CHANGE, DRIFT_TRAIN, DRIFT_TEST = 0.85, 100_000, 5_000
DRIFT_CONFIG = ImprovedConfig(embedding_size=100, hidden_size=100, embedding_dropout=0.0, output_dropout=0.1,
                              click_dropout=0.0, batch_size=512, learning_rate=2e-3, n_epochs=4, output="shared",
                              recent=1 - CHANGE, recent_learning_rate=1e-3, recent_epochs=6)


def drifts():
    before = SessionWorld(n_states=12, n_items=150, stay=0.3)
    after = replace(before, ring_step=-1)  # moods now walk the ring backwards
    return {"drift": DriftWorld(before, after, CHANGE), "no drift": DriftWorld(after, after, CHANGE)}


def train_drift(job):
    name, seed = job
    world = drifts()[name]
    train = world.sample(DRIFT_TRAIN, seed=100 + seed)
    valid, test = world.after.sample(1000, 50), world.after.sample(DRIFT_TEST, 2)
    options = {"seed": seed, "progress": False}
    stop = options | {"valid": valid, "patience": 3}
    recent = recent_sessions(train, DRIFT_CONFIG.recent)
    old = fit(train, replace(DRIFT_CONFIG, recent=0.0), device="cpu", **stop)
    tuned = replace(DRIFT_CONFIG, learning_rate=DRIFT_CONFIG.recent_learning_rate, n_epochs=DRIFT_CONFIG.recent_epochs)
    models = {"all sessions": old,
              "recent only": fit(recent, replace(DRIFT_CONFIG, recent=0.0, n_epochs=12), device="cpu", **stop),
              "pre-train, fine-tune": train_stage(deepcopy(old), recent, settings=tuned, **stop)}
    return {arm: metrics.evaluate_sessions(model, test) for arm, model in models.items()}


def drift(experiment):
    """Three ways to use a log with a break, and the same three where there is none."""
    jobs = [(name, seed) for name in drifts() for seed in SEEDS]
    world = drifts()["drift"]
    data = results.describe(world.sample(DRIFT_TRAIN, 100), world.after.sample(DRIFT_TEST, 2))
    result = results.new_result(experiment, data, {
        "seeds": list(SEEDS), "before": asdict(world.before), "after": asdict(world.after), "change": CHANGE,
        "train_sessions": DRIFT_TRAIN, "model": asdict(DRIFT_CONFIG)})
    units = Units(result)
    done = dict(zip(jobs, units.in_parallel(train_drift, jobs)))
    for name, world in drifts().items():
        test = world.after.sample(DRIFT_TEST, 2)
        scores = {f"{name} · {arm}": s for arm, s in collect([done[name, seed] for seed in SEEDS]).items()}
        scores |= {f"{name} · {label}": [metrics.evaluate_sessions(model, test)] for label, model in (
            ("Bayes optimum", world.bayes()), ("Last-item ceiling", world.last_item()),
            ("optimum of the old regime", world.before.bayes()))}
        best = scores[f"{name} · Bayes optimum"][0].recall
        for model in scores:
            result["rows"] += score_rows(model, scores[model])
            result["rows"].append(mean_row(model, "oracle_share", [s.recall / best for s in scores[model]]))
        for arm in ("all sessions", "recent only"):
            result["paired"] += paired_rows(f"{name} · pre-train, fine-tune", f"{name} · {arm}", scores)
    units.write()


# --- Privileged information: bias against variance ----------------------------------------------------------

SIZES = {100: range(10), 300: range(10), 1_000: range(10), 10_000: range(3)}
STRENGTHS = (0.0, 0.2, 0.5, 0.8, 1.0)
PRIVILEGED_WORLD = SessionWorld(n_states=6, n_items=30, states_per_item=2, stay=0.5, mean_length=6)
PRIVILEGED_CONFIG = ImprovedConfig(embedding_size=16, hidden_size=32, embedding_dropout=0.0, output_dropout=0.2,
                                   click_dropout=0.0, batch_size=32, learning_rate=5e-3, n_epochs=30, output="shared")


def train_privileged(job):
    """{(teacher, λ): (KL to the exact posterior, log-likelihood on the validation sessions)}"""
    n, seed = job
    world, config = PRIVILEGED_WORLD, PRIVILEGED_CONFIG
    sizes = (n, 100 + seed), (max(50, n // 4), 1000 + seed), (1000, 2)
    train, valid, test = (world.sample(size, s) for size, s in sizes)
    options = {"seed": seed, "valid": valid, "metric": "likelihood", "patience": 4, "progress": False}

    def measured(model):
        return divergence(model, world.bayes(), test), max(point["likelihood"] for point in model.history)

    plain = measured(fit(train, config, device="cpu", **options))
    found = {}
    for sees in ("future", "both"):
        teacher = train_stage(new_model(train, config, device="cpu", seed=seed, sees=sees), train, **options)
        found[sees, 0.0] = plain
        for strength in STRENGTHS[1:]:
            student = replace(config, privileged=strength, teacher=sees)
            found[sees, strength] = measured(fit(train, student, device="cpu", teacher=teacher, **options))
    return found


def privileged(experiment):
    """Divergence from the exact posterior by number of sessions, teacher and λ; λ also as validation chooses it."""
    jobs = [(n, seed) for n, seeds in SIZES.items() for seed in seeds]
    world = PRIVILEGED_WORLD
    result = results.new_result(experiment, results.describe(world.sample(max(SIZES), 100), world.sample(1000, 2)), {
        "seeds": {n: len(seeds) for n, seeds in SIZES.items()}, "world": asdict(world), "strengths": STRENGTHS,
        "model": asdict(PRIVILEGED_CONFIG)})
    units = Units(result)
    done = dict(zip(jobs, units.in_parallel(train_privileged, jobs)))
    for n, seeds in SIZES.items():
        found = [done[n, seed] for seed in seeds]
        for sees in ("future", "both"):
            for strength in STRENGTHS:
                kl = [f[sees, strength][0] for f in found]
                result["rows"].append(mean_row(f"N={n} · {sees} · {strength:g}", "kl", kl))
            best = [f[max(((sees, s) for s in STRENGTHS), key=lambda key: f[key][1])][0] for f in found]
            result["rows"].append(mean_row(f"N={n} · {sees} · chosen", "kl", best))
            plain = np.array([f[sees, 0.0][0] for f in found])
            for label, values in (("chosen", best), ("1", [f[sees, 1.0][0] for f in found])):
                result["paired"].append(difference_row(f"N={n} · {sees} · {label}", f"N={n} · {sees} · 0", "kl",
                                                       np.array(values) - plain))
    units.write()


# --- Output embedding: cost and recall by the size of the catalogue -----------------------------------------

CATALOGUES = (1_000, 10_000, 100_000, 1_000_000)
CATALOGUE_TRAIN, CATALOGUE_TEST = 30_000, 300
TABLE_CONFIG = GRU4RecConfig(hidden_size=64, batch_size=256, n_sample=2048, hidden_dropout=0.1, n_epochs=2)
CATALOGUE_CONFIG = ImprovedConfig(embedding_size=64, hidden_size=64, embedding_dropout=0.0, output_dropout=0.1,
                                  click_dropout=0.0, batch_size=512, learning_rate=3e-3, n_epochs=2)


def median_seconds(action, budget=5.0):
    """Of at least three calls, after one that does not count."""
    action()
    times = []
    while len(times) < 3 or (sum(times) < budget and len(times) < 50):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def training_step(model, batch):
    """A function that makes one step on the batch."""
    optimizer = Adam({name: p for name, p in model.named_parameters() if p.requires_grad}, lr=1e-3)

    def step():
        optimizer.zero_grad()
        batch_loss(model.train(), batch).backward()
        optimizer.step()

    return step


def of_size(m):
    """The rows of one catalogue."""
    world = SessionWorld(n_items=m, spread=2.0)
    train, test = world.sample(CATALOGUE_TRAIN, 100), world.sample(CATALOGUE_TEST, 2)
    table = fit_gru4rec(train, TABLE_CONFIG, device="cpu", seed=0, progress=False)
    vectors = fit(train, replace(CATALOGUE_CONFIG, output="embedding"), device="cpu", seed=0, progress=False,
                  table=table.output)
    models, found_rows = {"sampled softmax": table, "output embedding": vectors, "Bayes optimum": world.bayes()}, []
    for name, model in models.items():
        found_rows += score_rows(f"m={m} · {name}", [metrics.evaluate_sessions(model, test, batch_size=64)])

    items, index = vectors.embedding.weight, approximate_index(vectors.embedding.weight)
    batch, _ = Padded(test, "cpu").batch(np.arange(80))  # about 500 pairs
    queries = unit(vectors.output(vectors.hidden(batch)).detach())
    one = queries[:1]
    softmax = new_model(train, replace(CATALOGUE_CONFIG, output="shared"), device="cpu")
    for name, metric, action in (
            ("full softmax", "step_seconds", training_step(softmax, batch)),
            ("output embedding", "step_seconds", training_step(vectors, batch)),
            ("exact search", "answer_seconds", partial(nearest, one, items, 20)),
            ("approximate search", "answer_seconds", partial(index.search, one.numpy(), 20))):
        found_rows.append(mean_row(f"m={m} · {name}", metric, [median_seconds(action)]))
    found, exact = index.search(queries.numpy(), 20)[1].tolist(), nearest(queries, items, 20)[0].tolist()
    shared = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(found, exact)])
    return [*found_rows, mean_row(f"m={m} · approximate search", "neighbours_found", [shared])]


def catalogue(experiment):
    """A training step and an answer, with m scores and with a vector; the table is that of a sampled softmax."""
    small = SessionWorld(n_items=CATALOGUES[0], spread=2.0)
    result = results.new_result(
        experiment, results.describe(small.sample(CATALOGUE_TRAIN, 100), small.sample(CATALOGUE_TEST, 2)),
        {"catalogues": CATALOGUES, "train_sessions": CATALOGUE_TRAIN, "world": asdict(small),
         "table": asdict(TABLE_CONFIG), "model": asdict(CATALOGUE_CONFIG)})
    units = Units(result)
    for m in CATALOGUES:
        result["rows"] += units.remember(m, partial(of_size, m))
    units.write()


def main(experiment):
    {"improved-yoochoose-100k": yoochoose, "improved-drift": drift, "improved-privileged": privileged,
     "improved-catalogue": catalogue}[experiment](experiment)
