"""How many users the recurrent recommender network needs: fewer than in ``rrn-world``, with as many updates an epoch.

``python -m rnnbook reproduce rrn-users``
"""

from dataclasses import asdict, replace

from rnnbook import metrics, results
from rnnbook.benchmarks.rows import mean_row
from rnnbook.benchmarks.rrn import REMEMBERED, SIZE, WORLD_CONFIG, WORLDS
from rnnbook.benchmarks.units import Units
from rnnbook.interactions import concatenate
from rnnbook.rrn import fit

USERS, SEEDS = (500, 1000, 2000), range(3)
CONFIG = replace(WORLD_CONFIG, **REMEMBERED, wall_clock=False)  # as the validation steps choose there at ρ = 0.98


def world_of(n, seed):
    return replace(WORLDS["ρ=0.98"], n_users=n, seed=seed)


def train_one(job):
    """RMSE on the last tenth of one draw. A batch has the same share of the users for each number of them."""
    n, seed = job
    train, valid, test = world_of(n, seed).sample(seed).split_by_time()
    config = replace(CONFIG, batch_size=CONFIG.batch_size * n // SIZE["n_users"])
    model = fit(concatenate(train, valid), config, device="cpu", seed=seed, progress=False)
    return metrics.evaluate_ratings(model, test, n_boot=1).rmse


def main(experiment):
    train, valid, test = world_of(max(USERS), 0).sample(0).split_by_time()
    result = results.new_result(experiment, results.describe(concatenate(train, valid), test), {
        "seeds": list(SEEDS), "users": USERS, "world": asdict(world_of(max(USERS), 0)), "model": asdict(CONFIG)})
    units = Units(result)
    jobs = [(n, seed) for n in reversed(USERS) for seed in SEEDS]
    done = dict(zip(jobs, units.in_parallel(train_one, jobs)))
    for n in USERS:
        result["rows"].append(mean_row(f"{n} users · RRN", "rmse", [done[n, seed] for seed in SEEDS]))
    units.write()
