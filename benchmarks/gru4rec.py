"""GRU4Rec against the baselines, on YooChoose-100k and on the world whose optimum is known.

``python -m rnnbook reproduce gru4rec-yoochoose-100k`` and ``… gru4rec-world``
"""

from dataclasses import asdict

from rnnbook import baselines, data, metrics, results
from rnnbook.baselines import PopularityTies
from rnnbook.benchmarks.gru4rec_search import best_of
from rnnbook.benchmarks.rows import METRICS, mean_row, paired_rows, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import LOSSES, GRU4RecConfig, fit
from rnnbook.worlds import SessionWorld

SEEDS = range(5)
# Neighbours and counts tie most items at 0; popularity orders these ties, or conservative ranks would punish them.
BASELINES = {"Popularity": baselines.Popularity(), "Session popularity": baselines.SessionPopularity(),
             "Item-KNN": PopularityTies(baselines.ItemKNN()), "Markov": PopularityTies(baselines.Markov()),
             "S-KNN": PopularityTies(baselines.SessionKNN()), "V-SKNN": PopularityTies(baselines.VSKNN())}

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


def train_yoochoose(job):
    config, seed = job
    train, test = data.load_sessions("yoochoose-100k")
    return metrics.evaluate_sessions(fit(train, config, device="cpu", seed=seed, progress=False), test)


def yoochoose(experiment):
    """Every loss with the settings that `gru4rec_search` chose on a validation day, beside every baseline."""
    train, test = data.load_sessions("yoochoose-100k")
    chosen = {loss: best_of(results.load("gru4rec-search")["trials"], loss) for loss in LOSSES}
    configs = {f"GRU4Rec {loss}": GRU4RecConfig(**chosen[loss]["config"]) for loss in LOSSES}
    result = results.new_result(experiment, results.describe(train, test), {
        "seeds": list(SEEDS), "ties": "conservative", "models": {m: asdict(c) for m, c in configs.items()}})
    units = Units(result)
    scores = {name: [metrics.evaluate_sessions(model.fit(train), test)] for name, model in BASELINES.items()}
    done = units.in_parallel(train_yoochoose, [(config, seed) for config in configs.values() for seed in SEEDS])
    for i, name in enumerate(configs):
        scores[name] = done[i * len(SEEDS):(i + 1) * len(SEEDS)]
    best = "GRU4Rec " + best_of(chosen.values())["config"]["loss"]  # on the validation day
    result["best on validation"] = best
    for name in scores:
        result["rows"] += score_rows(name, scores[name])
        if name != best:
            result["paired"] += paired_rows(best, name, scores)
    result["paper"] = PAPER
    units.write()


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
