"""The four ideas of the improved RNN on YooChoose-100k.

``python -m rnnbook reproduce improved-yoochoose-100k``
"""

from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial

import numpy as np

from rnnbook import data, metrics, results
from rnnbook.benchmarks.gru4rec_search import as_config, best_of, rival as neighbour
from rnnbook.benchmarks.rows import collect, paired_rows, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import fit as fit_gru4rec
from rnnbook.improved import ImprovedConfig, fit, new_model, recent_sessions, train_stage

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

FRACTIONS = {"1/256": 1 / 256, "1/64": 1 / 64, "1/16": 1 / 16, "1/4": 1 / 4}
STRENGTH = 0.2  # λ of M3
SHARED = ", shared table"


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


def stages(config, suffix, train, options):
    """M with prefixes, M2 on each fraction, and last M1."""
    yield f"M + prefixes{suffix}", fit(train, replace(config, click_dropout=0.0), device="cpu", **options)
    first = fit(train, config, device="cpu", **options)
    slow = replace(config, learning_rate=config.learning_rate / 5)
    for label, fraction in FRACTIONS.items():
        kept, stop = with_validation(recent_sessions(train, fraction))
        yield f"M2, {label}{suffix}", train_stage(deepcopy(first), kept, settings=slow, **stop, **options)
    yield f"M1{suffix}", first


def own_table(train, m1, shared, options):
    yield from stages(m1, "", train, options)


def shared_table(train, m1, shared, options):
    for name, model in stages(shared, SHARED, train, options):
        yield name, model
    vectors = replace(shared, output="embedding")
    yield "M4", fit(train, vectors, device="cpu", **options, table=model.embedding.weight)  # M1's


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


def taught(sees, suffix, train, m1, shared, options):
    config = shared if suffix else m1
    teacher = train_stage(new_model(train, config, device="cpu", seed=options["seed"], sees=sees), train, **options)
    student = replace(config, privileged=STRENGTH, teacher=sees)
    name = {"future": "x*", "both": "(x, x*)"}[sees]
    yield f"M3, teacher sees {name}{suffix}", fit(train, student, device="cpu", **options, teacher=teacher)


def rival(train, m1, shared, options):
    yield "GRU4Rec cross-entropy", fit_gru4rec(train, rival_config(), device="cpu", **options)


def rival_config():
    return as_config(best_of(results.load("gru4rec-search")["trials"], "cross-entropy")["config"])


# Each part of a seed is trained by itself; arms that share a stage are in one part.
PARTS = {"whole": whole_sessions, "own table": own_table, "shared table": shared_table, "recent": recent_only,
         "rival": rival} | {f"{sees}{suffix}": partial(taught, sees, suffix)
                            for sees in ("future", "both") for suffix in ("", SHARED)}


def train_yoochoose(job):
    """{arm: SessionScores} of one part of the arms, with one seed."""
    seed, part = job
    train, test = data.load_sessions("yoochoose-100k")
    arms = PARTS[part](train, *chosen().values(), {"seed": seed, "progress": False})
    return {name: metrics.evaluate_sessions(model, test) for name, model in arms}


def main(experiment):
    """Each idea with a table of its own for the output, and again with the table that the input has."""
    train, test = data.load_sessions("yoochoose-100k")
    trials = results.load("gru4rec-search")["trials"]
    neighbours = {name: best_of(trials, name)["config"] for name in ("Item-KNN", "V-SKNN")}
    configs = chosen() | {"GRU4Rec cross-entropy": rival_config()}
    day = {label: (train.times.max() - recent_sessions(train, f).times.min()) / data.DAY
           for label, f in FRACTIONS.items()}
    result = results.new_result(experiment, results.describe(train, test), {
        "seeds": list(SEEDS), "ties": "conservative", "privileged": STRENGTH, "days spanned by a fraction": day,
        "models": {name: asdict(config) for name, config in configs.items()} | neighbours})
    units = Units(result)
    jobs = [(seed, part) for part in PARTS for seed in SEEDS]
    done, scores = dict(zip(jobs, units.in_parallel(train_yoochoose, jobs))), {}
    for part in PARTS:
        scores |= collect([done[seed, part] for seed in SEEDS])
    for name, settings in neighbours.items():
        scores[name] = [metrics.evaluate_sessions(neighbour(name, settings).fit(train), test)]
    for name in scores:
        result["rows"] += score_rows(name, scores[name])
        for reference in ("M1", "GRU4Rec cross-entropy", f"M1{SHARED}"):
            if name != reference:
                result["paired"] += paired_rows(name, reference, scores)
    result["paired"] += paired_rows("M + prefixes", "M, whole sessions", scores)
    result["paper"] = PAPER
    units.write()
