"""Privileged information: the bias and the variance of students in a world whose posterior is known.

``python -m rnnbook reproduce improved-privileged``
"""

from dataclasses import asdict, replace

import numpy as np

from rnnbook import results
from rnnbook.benchmarks.rows import difference_row, mean_row
from rnnbook.benchmarks.units import Units
from rnnbook.improved import ImprovedConfig, fit, new_model, train_stage
from rnnbook.worlds import SessionWorld, divergence

SIZES = {100: range(30), 300: range(30), 1_000: range(30), 10_000: range(3)}
STRENGTHS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
MARGIN = 0.1  # fixed before the seeds were run: less than this share of the divergence without a teacher is no gain
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


def main(experiment):
    """Divergence from the exact posterior by number of sessions, teacher and λ; λ also as validation chooses it."""
    jobs = [(n, seed) for n, seeds in SIZES.items() for seed in seeds]
    world = PRIVILEGED_WORLD
    result = results.new_result(experiment, results.describe(world.sample(max(SIZES), 100), world.sample(1000, 2)), {
        "seeds": {n: len(seeds) for n, seeds in SIZES.items()}, "world": asdict(world), "strengths": STRENGTHS,
        "margin": MARGIN,
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
            arms = {"chosen": best} | {f"{s:g}": [f[sees, s][0] for f in found] for s in STRENGTHS[1:]}
            for label, values in arms.items():
                result["paired"].append(difference_row(f"N={n} · {sees} · {label}", f"N={n} · {sees} · 0", "kl",
                                                       np.array(values) - plain))
    units.write()
