"""The four networks of chapter 6 on real clicks, beside GRU4Rec and neighbours, on equal terms.

Every arm gets the same number of draws of its settings, and every network the same epochs to try them in. The clicks
that test are never seen by the search. Each of the last four days tests a model that learned from all days before it.
``python -m rnnbook reproduce after-yoochoose-100k``
"""

from dataclasses import replace

from rnnbook import after, gru4rec, metrics, results
from rnnbook.after import MODELS
from rnnbook.benchmarks.gru4rec import pooled
from rnnbook.benchmarks.gru4rec_search import DRAWS, RUNGS, as_config, best_of, rival, split, test_days, total
from rnnbook.benchmarks.rows import mean_row, paired_rows, score_rows
from rnnbook.benchmarks.search import draws
from rnnbook.benchmarks.units import Units

SEEDS, PATIENCE = range(5), 3
SPACE = {"hidden_size": [64, 128, 256], "n_blocks": [1, 2], "dropout": [0.0, 0.2, 0.4, 0.5],
         "batch_size": [128, 256, 512, 1024], "learning_rate": [1e-3, 2e-3, 4e-3, 8e-3],
         "n_sample": [0, 512, 2048], "sample_alpha": [0.25, 0.5, 0.75]}
SPACES = {name: SPACE | ({"n_heads": [1, 2, 4]} if name == "SASRec" else {}) for name in MODELS}
# Their settings are those that as many draws found for chapter 2, on the same day
SEARCHED = {"GRU4Rec": "cross-entropy", "V-SKNN": "V-SKNN", "STAN": "STAN", "VSTAN": "VSTAN"}


def try_one(job):
    """The scores of a draw on the validation day at the best of so many epochs, or the reason there are none."""
    arm, settings, n_epochs = job
    train, valid = split()
    try:
        history = after.fit(train, replace(MODELS[arm], **settings, n_epochs=n_epochs), device="cpu", seed=0,
                            valid=valid, patience=PATIENCE, progress=False).history
    except FloatingPointError as error:
        return {"arm": arm, "config": settings, "epochs": n_epochs, "failed": str(error)}
    best = max(history, key=total)
    return {"arm": arm, "config": settings | {"n_epochs": best["epoch"]}, "epochs": n_epochs,
            "recall@20": best["recall"], "mrr@20": best["mrr"]}


def search(units):
    """All trials: more epochs for ever fewer draws."""
    trials, left = [], {arm: draws(arm, SPACES[arm], DRAWS) for arm in MODELS}
    for n_epochs, n_left in RUNGS.items():
        jobs = [(arm, settings, n_epochs) for arm in MODELS for settings in left[arm][:n_left]]
        done = units.in_parallel(try_one, jobs)
        trials += done
        for arm in MODELS:
            of_arm = [(settings, trial) for (a, settings, _), trial in zip(jobs, done) if a == arm]
            left[arm] = [settings for settings, _ in sorted(of_arm, key=lambda pair: -total(pair[1]))]
    return trials


def test_one(job):
    """SessionScores of an arm with its chosen settings on one of the test days."""
    arm, settings, day, seed = job
    train, test = test_days()[day]
    if arm in MODELS:
        model = after.fit(train, replace(MODELS[arm], **settings), device="cpu", seed=seed, progress=False)
    elif arm == "GRU4Rec":
        model = gru4rec.fit(train, as_config(settings), device="cpu", seed=seed, progress=False)
    else:
        model = rival(arm, settings).fit(train)
    return metrics.evaluate_sessions(model, test)


def main(experiment):
    days = test_days()
    result = results.new_result(experiment, results.describe(*days[0]), {
        "seeds": list(SEEDS), "draws per arm": DRAWS, "epochs and draws": RUNGS, "space": SPACES, "days": len(days),
        "ties": "conservative", "chosen by": "recall@20 + mrr@20"})
    units = Units(result)
    result["trials"] = search(units)
    of_chapter_2 = results.load("gru4rec-search")["trials"]
    chosen = {arm: best_of(result["trials"], arm)["config"] for arm in MODELS}
    chosen |= {arm: best_of(of_chapter_2, name)["config"] for arm, name in SEARCHED.items()}
    result["config"]["chosen"] = chosen
    seeds = {arm: SEEDS if arm in MODELS or arm == "GRU4Rec" else SEEDS[:1] for arm in chosen}
    jobs = [(arm, chosen[arm], day, seed) for arm in chosen for seed in seeds[arm] for day in range(len(days))]
    done = iter(units.in_parallel(test_one, jobs))
    by_day = {arm: [[next(done) for _ in days] for _ in seeds[arm]] for arm in chosen}
    scores = {arm: [pooled(each) for each in runs] for arm, runs in by_day.items()}
    for arm, runs in by_day.items():
        result["rows"] += score_rows(arm, scores[arm])
        result["rows"] += [mean_row(f"day {-day} · {arm}", "recall@20", [each[day].recall for each in runs])
                           for day in range(len(days))]
    for arm in chosen:
        if arm != "GRU":
            result["paired"] += paired_rows(arm, "GRU", scores)
        if arm not in ("GRU", "GRU4Rec"):
            result["paired"] += paired_rows(arm, "GRU4Rec", scores)
    units.write()
