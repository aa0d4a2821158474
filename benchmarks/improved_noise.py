"""What deleting clicks at random is worth where a known share of the clicks are accidents.

Logs of three sizes, so that the answer does not hang on a model that has seen too little.
``python -m rnnbook reproduce improved-noise``
"""

from dataclasses import asdict, replace

from rnnbook import metrics, results
from rnnbook.benchmarks.rows import collect, paired_rows, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.improved import ImprovedConfig, fit
from rnnbook.worlds import SessionWorld

SEEDS, N_TEST = range(10), 5_000
NOISE, DELETION = (0.0, 0.2, 0.4), (0.0, 0.1, 0.25)
EPOCHS = {2_500: 8, 10_000: 8, 40_000: 4}  # most epochs, by the number of sessions
CONFIG = ImprovedConfig(embedding_size=64, hidden_size=64, embedding_dropout=0.0, output_dropout=0.2,
                        click_dropout=0.0, batch_size=128, learning_rate=4e-3, output="shared")


def train_one(job):
    """{deletion: SessionScores} of one number of sessions, share of accidents and seed."""
    n, share, seed = job
    world, config = SessionWorld(noise=share), replace(CONFIG, n_epochs=EPOCHS[n])
    train, valid, test = (world.sample(*sample) for sample in ((n, 100 + seed), (n // 8, 50), (N_TEST, 2)))
    return {deletion: metrics.evaluate_sessions(
        fit(train, replace(config, click_dropout=deletion), device="cpu", seed=seed, valid=valid, progress=False),
        test) for deletion in DELETION}


def main(experiment):
    """Recall@20 by share of accidents, number of sessions and rate of deletion; the optimum knows the noise."""
    world = SessionWorld()
    data = results.describe(world.sample(max(EPOCHS), 100), world.sample(N_TEST, 2))
    result = results.new_result(experiment, data, {
        "seeds": list(SEEDS), "world": asdict(world), "noise": NOISE, "deletion": DELETION, "epochs": EPOCHS,
        "model": asdict(CONFIG)})
    units = Units(result)
    jobs = [(n, share, seed) for n in sorted(EPOCHS, reverse=True) for share in NOISE for seed in SEEDS]
    done = dict(zip(jobs, units.in_parallel(train_one, jobs)))
    for share in NOISE:
        for n in EPOCHS:
            by_rate = collect([done[n, share, seed] for seed in SEEDS])
            scores = {f"noise {share:g} · N={n} · deletion {rate:g}": by_rate[rate] for rate in DELETION}
            plain, *deleting = scores
            for name in scores:
                result["rows"] += score_rows(name, scores[name])
            for name in deleting:
                result["paired"] += paired_rows(name, plain, scores)
        noisy = SessionWorld(noise=share)
        for name, model in (("Bayes optimum", noisy.bayes()), ("Last-item ceiling", noisy.last_item())):
            result["rows"] += score_rows(f"noise {share:g} · {name}",
                                         [metrics.evaluate_sessions(model, noisy.sample(N_TEST, seed=2))])
    units.write()
