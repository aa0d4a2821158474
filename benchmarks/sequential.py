"""What the order of the clicks is worth: on worlds of which the answer is known, and on two real logs.

``python -m rnnbook reproduce sequential``
"""

import hashlib
from dataclasses import asdict, replace

from rnnbook import data, results
from rnnbook.benchmarks.rows import METRICS, mean_row, paired_row, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.sequential import CONFIG, LOST, sequentiality, split
from rnnbook.worlds import LongMemoryWorld, SessionWorld

MOODS = SessionWorld(n_items=100, stay=0.6)
WORLDS = {"one mood a session": replace(MOODS, stay=1.0), "first order": MOODS.markov_control(),
          "moods that move": MOODS, "three clicks ago": LongMemoryWorld(lag=3, n_items=40, length=12)}
SIZES, SEEDS = (1_000, 3_000, 10_000), range(10)
LOGS, LOG_SEEDS = ("yoochoose-100k", "sasrec-video"), range(3)

# Change of NDCG@10 of a GRU4Rec when the users' histories are shuffled, in per cent: the README of Klenitskiy et al.'s
# code (RecSys 2024), github.com/Antondfger/Does-It-Look-Sequential
PUBLISHED = {"YooChoose": -34, "OTTO": -37, "Diginetica": -16, "RetailRocket": -5, "Beauty": -26, "ML-20M": -67,
             "30Music": -96, "Steam": -9, "Gowalla": -2, "Foursquare": 0}


def on_world(job):
    """[(difference, low, high) of each of LOST] in Recall, and in MRR."""
    name, n, seed = job
    found = sequentiality(WORLDS[name].sample(n, 100 + seed), device="cpu", seed=seed, progress=False)
    return [[interval for _, interval in found.losses(metric)] for metric in ("recall", "mrr")]


def on_log(job):
    """{way: SessionScores}"""
    name, seed = job
    return sequentiality(data.load_log(name), device="cpu", seed=seed, progress=False).scores


def main(experiment):
    """Shares of the seeds in which each kind of information is found, and what it is worth on the logs."""
    parts = [split(data.load_log(name)) for name in LOGS]
    described = {"name": " and ".join(LOGS), "sha256": hashlib.sha256(
        "".join(part.sha256 for of_log in parts for part in of_log).encode()).hexdigest(),
        "n_train": sum(train.n_events for train, _, _ in parts), "n_test": sum(test.n_events for _, _, test in parts)}
    result = results.new_result(experiment, described, {
        "worlds": {name: repr(world) for name, world in WORLDS.items()}, "sizes": SIZES, "seeds": list(SEEDS),
        "logs": LOGS, "seeds of the logs": list(LOG_SEEDS), "model": asdict(CONFIG)})
    units = Units(result)
    logs = [(name, seed) for name in LOGS for seed in LOG_SEEDS]
    by_log = dict(zip(logs, units.in_parallel(on_log, logs)))
    for name in LOGS:
        ways = {way: [by_log[name, seed][way] for seed in LOG_SEEDS] for way in by_log[name, 0]}
        for way, scores in ways.items():
            result["rows"] += score_rows(f"{name} · {way}", scores)
        pairs = [*zip(ways, list(ways)[1:]), ("in order", "shuffled")]
        result["paired"] += [paired_row(f"{name} · {a}", f"{name} · {b}", metric, ways[a], ways[b])
                             for a, b in pairs for metric in METRICS]
    jobs = [(name, n, seed) for n in sorted(SIZES, reverse=True) for name in WORLDS for seed in SEEDS]
    by_world = dict(zip(jobs, units.in_parallel(on_world, jobs)))
    for name in WORLDS:
        for n in SIZES:
            for k, metric in enumerate(("recall@20", "mrr@20")):
                for what, *found in zip(LOST, *(by_world[name, n, seed][k] for seed in SEEDS)):
                    row = f"{name} · N={n} · {what}"
                    result["rows"] += [mean_row(row, f"difference of {metric}", [mean for mean, _, _ in found]),
                                       mean_row(row, f"found in {metric}", [float(low > 0) for _, low, _ in found])]
    result["paper"] = [{"source": "Klenitskiy et al. 2024", "model": name, "metric": "change of ndcg@10",
                        "value": round(change / 100, 4)} for name, change in PUBLISHED.items()]
    units.write()
