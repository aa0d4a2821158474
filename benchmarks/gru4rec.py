"""GRU4Rec against the baselines, on YooChoose-100k and on the world whose optimum is known.

``python -m rnnbook reproduce gru4rec-yoochoose-100k`` and ``… gru4rec-world``
"""

import json
from dataclasses import asdict, replace

import numpy as np

from rnnbook import baselines, metrics, results
from rnnbook.baselines import PopularityTies
from rnnbook.benchmarks.gru4rec_search import RIVALS, as_config, best_of, rival, test_days, total
from rnnbook.benchmarks.rows import METRICS, mean_row, paired_rows, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import LOSSES, GRU4RecConfig, fit
from rnnbook.worlds import SessionWorld

SEEDS = range(5)
# Hidasi et al., ICLR 2016, tables 1 to 3, and Hidasi & Karatzoglou, CIKM 2018: RSC15, 100 units where nothing is said
PUBLISHED = {
    "POP": (0.0050, 0.0012), "S-POP": (0.2672, 0.1775), "Item-KNN": (0.5065, 0.2048), "BPR-MF": (0.2574, 0.0618),
    "GRU4Rec TOP1 (2016)": (0.5853, 0.2305), "GRU4Rec BPR (2016)": (0.6069, 0.2407),
    "GRU4Rec cross-entropy (2016)": (0.6074, 0.2430), "GRU4Rec TOP1, 1000 units (2016)": (0.6206, 0.2693),
    "GRU4Rec BPR, 1000 units (2016)": (0.6322, 0.2467), "GRU4Rec TOP1, samples (2018)": (0.6117, 0.2367),
    "GRU4Rec cross-entropy, samples (2018)": (0.7112, 0.3059), "GRU4Rec TOP1-max (2018)": (0.7086, 0.3045),
    "GRU4Rec BPR-max (2018)": (0.7190, 0.3119), "GRU4Rec BPR-max, shared embedding (2018)": (0.7220, 0.3070)}
PAPER = [{"source": "RSC15, as published", "model": model, "metric": metric, "value": value}
         for model, values in PUBLISHED.items() for metric, value in zip(METRICS, values)]


# --- YooChoose-100k ---------------------------------------------------------------------------------------

K = 20


def train_yoochoose(job):
    """SessionScores of a network on one of the test days, and what its lists are like."""
    config, seed, day = job
    train, test = test_days()[day]
    model = fit(train, config, device="cpu", seed=seed, progress=False)
    return metrics.evaluate_sessions(model, test), lists(model, train, test)


def fit_rival(job):
    name, settings, day = job
    train, test = test_days()[day]
    model = rival(name, settings).fit(train)
    return metrics.evaluate_sessions(model, test), lists(model, train, test)


def lists(model, train, test):
    """What stands in the lists of 20, beside whether the next item does: three shares.

    Coverage is that of the catalogue that is in a list at all. Popularity is the mean place of an item that is listed
    among all items by support, from 0 to 1. Repeats are listed items that the session has clicked before.
    """
    place = train.support.argsort(kind="stable").argsort() / (train.n_items - 1)
    first = np.repeat(test.offsets[:-1], test.lengths)
    listed, places, repeats = set(), [], []
    for positions, scores in model.score_sessions(test):
        best = scores.topk(K, dim=1).indices.cpu().numpy()
        listed.update(np.unique(best).tolist())
        places.append(place[best].mean(1))
        repeats += [np.isin(row, test.items[first[at]:at]).mean() for row, at in zip(best, positions.tolist())]
    return {"coverage@20": len(listed) / train.n_items, "popularity@20": float(np.concatenate(places).mean()),
            "repeats@20": float(np.mean(repeats))}


def pooled(days):
    """The SessionScores of several days as those of one."""
    ranks = np.concatenate([scores.ranks for scores in days])
    starts = np.cumsum([0] + [scores.sessions.max() + 1 for scores in days])
    sessions = np.concatenate([scores.sessions + start for scores, start in zip(days, starts)])
    means = {metric: float(values.mean()) for metric, values in metrics.gains(ranks, K).items()}
    return replace(days[0], ranks=ranks, sessions=sessions, **means)


def yoochoose(experiment):
    """Every arm with the settings that `gru4rec_search` chose, on the published test day.

    The best loss and all rivals also stand against each other on the three days before it.
    """
    days, trials = test_days(), results.load("gru4rec-search")["trials"]
    chosen = {arm: best_of(trials, arm) for arm in [*RIVALS, *LOSSES]}
    configs = {f"GRU4Rec {loss}": as_config(chosen[loss]["config"]) for loss in LOSSES}
    best = "GRU4Rec " + max(LOSSES, key=lambda loss: total(chosen[loss]))  # on the validation day
    result = results.new_result(experiment, results.describe(*days[0]), {
        "seeds": list(SEEDS), "ties": "conservative", "days": len(days),
        "models": {m: asdict(c) for m, c in configs.items()} | {m: chosen[m]["config"] for m in RIVALS}})
    units = Units(result)
    jobs = [(config, seed, 0) for config in configs.values() for seed in SEEDS]
    jobs += [(configs[best], seed, day) for day in range(1, len(days)) for seed in SEEDS]
    done = dict(zip([(json.dumps(asdict(c)), *rest) for c, *rest in jobs], units.in_parallel(train_yoochoose, jobs)))
    rivals = [(name, chosen[name]["config"], day) for name in RIVALS for day in range(len(days))]
    of_rival = {(name, day): unit for (name, _, day), unit in zip(rivals, units.in_parallel(fit_rival, rivals))}

    def scores_on(day):
        networks = {name: [done[json.dumps(asdict(config)), seed, day] for seed in SEEDS]
                    for name, config in configs.items() if day == 0 or name == best}
        return {name: [of_rival[name, day]] for name in RIVALS} | networks

    for model, runs in scores_on(0).items():
        result["rows"] += score_rows(model, [scores for scores, _ in runs])
        result["rows"] += [mean_row(model, metric, [about[metric] for _, about in runs]) for metric in runs[0][1]]
    by_day = [{model: [scores for scores, _ in runs] for model, runs in scores_on(day).items()}
              for day in range(len(days))]
    four, before = ({model: [pooled([day[model][i] for day in several]) for i in range(len(by_day[0][model]))]
                     for model in by_day[1]} for several in (by_day, by_day[1:]))
    for model in by_day[0]:
        if model != best:
            result["paired"] += paired_rows(best, model, by_day[0])
        if model in configs and model != best:
            result["paired"] += paired_rows(model, "V-SKNN", by_day[0])
    groups = {"four days": four, "three days before": before} | {
        f"day {-day}": by_day[day] for day in range(1, len(days))}
    for name, scores in groups.items():
        named = {f"{name} · {model}": runs for model, runs in scores.items()}
        for model, runs in named.items():
            result["rows"] += score_rows(model, runs)
            if model != f"{name} · {best}":
                result["paired"] += paired_rows(f"{name} · {best}", model, named)
    result["best on validation"] = best
    result["config"]["test events that repeat one of their session"] = repeated(days[0][1])
    result["paper"] = PAPER
    units.write()


def repeated(test):
    """The share of predicted events whose item the session has clicked before."""
    positions, sessions = metrics.target_positions(test)
    return float(np.mean([test.items[at] in test.items[test.offsets[s]:at] for at, s in zip(positions, sessions)]))


# --- The world with a known optimum -----------------------------------------------------------------------

# Settings and size were chosen on other sessions of the world (sample seed 1) than those that test here.
N_TRAIN, N_TEST, TEST_SEED, WORLD_SEEDS = 1_000_000, 10_000, 2, range(3)
WORLD_CONFIG = GRU4RecConfig(batch_size=256, n_sample=512, hidden_dropout=0.1, bptt=4, n_epochs=2)


def worlds():
    hmm = SessionWorld()
    return {"HMM": hmm, "Markov control": hmm.markov_control()}


def train_world(job):
    name, seed = job
    world = worlds()[name]
    model = fit(world.sample(N_TRAIN, seed=100 + seed), WORLD_CONFIG, device="cpu", seed=seed, progress=False)
    return metrics.evaluate_sessions(model, world.sample(N_TEST, seed=TEST_SEED))


def world(experiment):
    """Share of the gap between the last-item ceiling and the Bayes optimum that GRU4Rec closes."""
    jobs = [(name, seed) for name in worlds() for seed in WORLD_SEEDS]
    hmm = SessionWorld()
    result = results.new_result(experiment, results.describe(hmm.sample(N_TRAIN, 100), hmm.sample(N_TEST, TEST_SEED)), {
        "seeds": list(WORLD_SEEDS), "world": asdict(hmm), "train_sessions": N_TRAIN, "gru4rec": asdict(WORLD_CONFIG)})
    units = Units(result)
    done = dict(zip(jobs, units.in_parallel(train_world, jobs)))
    for name, kind in worlds().items():
        train, test = kind.sample(N_TRAIN, seed=100), kind.sample(N_TEST, seed=TEST_SEED)
        models = {"Popularity": baselines.Popularity().fit(train),
                  "Item-KNN": PopularityTies(baselines.ItemKNN()).fit(train),
                  "Markov": PopularityTies(baselines.Markov()).fit(train), "Last-item ceiling": kind.last_item(),
                  "Bayes optimum": kind.bayes()}
        scores = {f"{name} · {m}": [metrics.evaluate_sessions(model, test)] for m, model in models.items()}
        gru, ceiling, bayes = (f"{name} · {m}" for m in ("GRU4Rec", "Last-item ceiling", "Bayes optimum"))
        scores[gru] = [done[name, seed] for seed in WORLD_SEEDS]
        for model in scores:
            result["rows"] += score_rows(model, scores[model])
        result["paired"] += paired_rows(gru, ceiling, scores) + paired_rows(bayes, gru, scores)
        low, high = scores[ceiling][0].recall, scores[bayes][0].recall
        if high > low:
            result["rows"].append(mean_row(gru, "gap_closed", [(s.recall - low) / (high - low) for s in scores[gru]]))
    units.write()


def main(experiment):
    {"gru4rec-yoochoose-100k": yoochoose, "gru4rec-world": world}[experiment](experiment)
