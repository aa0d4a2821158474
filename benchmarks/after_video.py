"""The four networks of chapter 6 on long histories, beside GRU4Rec and neighbours: reviews of video games at Amazon.

The log has an order within each user and no times, so the last event of each user tests (leave-last-out). Settings and
epochs are chosen by other users, who are left out of the training data. Every second user is left out of the log, and
each network sees 2,048 negatives: all users would take twice as long, the softmax over all items about five times.
``python -m rnnbook reproduce after-video``
"""

from dataclasses import replace
from functools import cache

import numpy as np

from rnnbook import after, data, gru4rec, metrics, results
from rnnbook.after import MODELS
from rnnbook.benchmarks.gru4rec_search import OWN, RIVALS, SPACE, as_config, best_of, rival, total
from rnnbook.benchmarks.rows import mean_row, paired_rows, score_rows
from rnnbook.benchmarks.search import draws
from rnnbook.benchmarks.units import Units

DRAWS, SEEDS, PATIENCE, MOST_EPOCHS = 20, range(5), 2, 30
RUNGS = {2: 20, 6: 6, 12: 2}  # epochs, and how many of the draws are trained for so many
CHOOSES = 20  # of so many users of the whole log, one chooses
FRAME = {"n_sample": [2048], "sample_alpha": [0.25, 0.5, 0.75], "hidden_size": [64, 128], "n_blocks": [1, 2],
         "dropout": [0.2, 0.35, 0.5], "batch_size": [512, 1024], "learning_rate": [1e-3, 2e-3, 4e-3, 8e-3]}
SPACES = {name: FRAME | ({"n_heads": [1, 2, 4]} if name == "SASRec" else {}) for name in MODELS}
SPACES["GRU4Rec"] = SPACE | OWN["cross-entropy"] | {"n_sample": [2048], "batch_size": [64, 128],
                                                    "hidden_size": [64, 100, 128]}
# STAN and VSTAN weigh sessions by their times, which this log does not have
OTHERS = ("Popularity", "Markov", "Item-KNN", "S-KNN", "V-SKNN")


@cache
def split():
    """Users to learn from, users to choose by, and whole histories whose last event tests."""
    before, whole = (part.take(np.flatnonzero(part.session_ids % 2 == 0))
                     for part in data.load_sessions("sasrec-video"))
    chooses = before.session_ids % CHOOSES == 0
    return before.take(np.flatnonzero(~chooses)), before.take(np.flatnonzero(chooses)), whole


def fit(arm, settings, n_epochs, seed):
    """A network, trained until the users that choose see no gain, for at most ``n_epochs``."""
    train, valid, _ = split()
    if arm == "GRU4Rec":
        return gru4rec.fit(train, as_config(settings | {"n_epochs": n_epochs}), device="cpu", seed=seed, valid=valid,
                           patience=PATIENCE, progress=False)
    return after.fit(train, replace(MODELS[arm], **settings, n_epochs=n_epochs), device="cpu", seed=seed, valid=valid,
                     patience=PATIENCE, progress=False)


def try_one(job):
    """The scores of a draw for the users that choose, or the reason there are none."""
    arm, settings, n_epochs = job
    train, valid, _ = split()
    if arm in OTHERS:
        scores = metrics.evaluate_sessions(rival(arm, settings).fit(train), valid, n_boot=1)
        return {"arm": arm, "config": settings, "recall@20": scores.recall, "mrr@20": scores.mrr}
    try:
        history = fit(arm, settings, n_epochs, seed=0).history
    except FloatingPointError as error:
        return {"arm": arm, "config": settings, "epochs": n_epochs, "failed": str(error)}
    best = max(history, key=total)
    return {"arm": arm, "config": settings, "epochs": n_epochs, "recall@20": best["recall"], "mrr@20": best["mrr"]}


def search(units):
    """All trials; the better draws of a network are trained for more epochs."""
    trials = units.in_parallel(try_one, [(arm, settings, None) for arm in OTHERS
                                         for settings in draws(arm, RIVALS[arm][1], DRAWS)])
    left = {arm: draws(arm, space, DRAWS) for arm, space in SPACES.items()}
    for n_epochs, n_left in RUNGS.items():
        jobs = [(arm, settings, n_epochs) for arm in left for settings in left[arm][:n_left]]
        done = units.in_parallel(try_one, jobs)
        trials += done
        left = {arm: [trial["config"] for trial in sorted(done, key=total, reverse=True) if trial["arm"] == arm]
                for arm in left}
    return trials


def test_one(job):
    """The epochs that a model was trained for, and its SessionScores for the last event of each user."""
    arm, settings, seed = job
    train, _, whole = split()
    model = rival(arm, settings).fit(train) if arm in OTHERS else fit(arm, settings, MOST_EPOCHS, seed)
    epochs = 0 if arm in OTHERS else max(model.history, key=lambda point: point["recall"])["epoch"]
    return epochs, metrics.evaluate_sessions(model, whole, targets="last")


def main(experiment):
    train, valid, whole = split()
    result = results.new_result(experiment, results.describe(train, whole) | {"n_test": whole.n_sessions}, {
        "users": {"train": train.n_sessions, "choose": valid.n_sessions, "test": whole.n_sessions},
        "items": train.n_items, "longest": int(whole.lengths.max()), "seeds": list(SEEDS), "draws per arm": DRAWS,
        "epochs and draws": RUNGS, "space": SPACES,
        "space of the others": {arm: RIVALS[arm][1] for arm in OTHERS}, "targets": "last", "ties": "conservative",
        "chosen by": "recall@20 + mrr@20", "patience": PATIENCE, "most epochs": MOST_EPOCHS})
    units = Units(result)
    result["trials"] = search(units)
    chosen = {arm: best_of(result["trials"], arm)["config"] for arm in (*SPACES, *OTHERS)}
    result["config"]["chosen"] = chosen
    jobs = [(arm, chosen[arm], seed) for arm in chosen for seed in (SEEDS[:1] if arm in OTHERS else SEEDS)]
    found = list(zip(jobs, units.in_parallel(test_one, jobs)))
    scores = {arm: [each for (one, _, _), (_, each) in found if one == arm] for arm in chosen}
    for arm in chosen:
        result["rows"] += score_rows(arm, scores[arm])
        if arm in SPACES:
            result["rows"].append(mean_row(arm, "epochs", [epochs for (one, _, _), (epochs, _) in found if one == arm]))
        for other in ("GRU", "GRU4Rec"):
            if arm not in ("GRU", other):
                result["paired"] += paired_rows(arm, other, scores)
    units.write()
