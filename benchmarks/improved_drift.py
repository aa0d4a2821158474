"""Old sessions, new sessions or both: the improved RNN on a log with a break whose optimum is known.

``python -m rnnbook reproduce improved-drift``
"""

from copy import deepcopy
from dataclasses import asdict, replace

from rnnbook import metrics, results
from rnnbook.benchmarks.rows import collect, mean_row, paired_rows, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.improved import ImprovedConfig, fit, recent_sessions, train_stage
from rnnbook.worlds import DriftWorld, SessionWorld

SEEDS = range(5)
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


def main(experiment):
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
