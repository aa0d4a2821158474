"""Which settings chapter 5's models get: a random search in worlds of another seed than those that are reported.

With reviews and without, where qualities stay (``python -m rnnbook reproduce joint-search``) and where they move
(``joint-moving-search``).
"""

from dataclasses import replace

from rnnbook import results
from rnnbook.benchmarks.joint import SEARCHES, SETTINGS, new_world
from rnnbook.benchmarks.rows import mean_row
from rnnbook.benchmarks.search import draws
from rnnbook.benchmarks.units import Units
from rnnbook.joint import fit

DRAWS, SEED, PATIENCE = 20, 99, 5
SPACE = {"learning_rate": [2.5e-3, 5e-3, 1e-2, 2e-2], "table_learning_rate": [0.03, 0.1, 0.3],
         "bias_penalty": [0.5, 1.0, 2.0], "dropout": [0.2, 0.5, 0.7], "batch_size": [512, 1024],
         "n_epochs": [12, 20, 40]}
SPACES = {"ratings alone": SPACE | {"text_weight": [0.0]},
          "ratings and reviews": SPACE | {"text_weight": [10.0, 25.0, 40.0], "warm_up": [8, 24, 48],
                                          "joint_size": [4, 16], "text_hidden_size": [16, 32, 64]}}


def try_one(job):
    """The least RMSE on the validation half of the last day, and after how many epochs."""
    experiment, n, arm, settings = job
    world = new_world(experiment, n, "quality", SEED)
    train, valid, _ = world.split(world.sample(SEED))
    trial = {"experiment": experiment, "n": n, "arm": arm, "config": settings}
    try:
        model = fit(train, replace(SETTINGS[experiment], **settings), device="cpu", valid=valid, patience=PATIENCE,
                    progress=False)
    except FloatingPointError as error:
        return trial | {"failed": str(error)}
    best = min(model.history, key=lambda point: point["rmse"])
    return trial | {"rmse": best["rmse"], "epoch": best["epoch"]}


def main(experiment):
    of = {search: of for of, search in SEARCHES.items()}[experiment]
    train, valid, _ = (world := new_world(of, 1, "quality", SEED)).split(world.sample(SEED))
    result = results.new_result(experiment, results.describe(train.ratings, valid.ratings), {
        "draws per arm": DRAWS, "seed of the world": SEED, "patience": PATIENCE, "space": SPACES,
        "chosen by": "RMSE on the validation half"})
    units = Units(result)
    jobs = [(of, n, arm, settings) for n in (3, 1) for arm, space in SPACES.items()
            for settings in draws(arm, space, DRAWS)]
    result["trials"], result["config"]["chosen"] = units.in_parallel(try_one, jobs), []
    for n, arm in dict.fromkeys(job[1:3] for job in jobs):
        best = min((t for t in result["trials"] if (t["n"], t["arm"]) == (n, arm) and "failed" not in t),
                   key=lambda t: t["rmse"])
        result["config"]["chosen"].append(best)
        result["rows"].append(mean_row(f"n={n} · {arm}", "rmse", [best["rmse"]]))
    units.write()
