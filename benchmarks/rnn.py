"""The memory task over several seeds: accuracy and cross-entropy of each cell by the distance of the cue.

Every cell gets the learning rate, chosen for each distance apart, that does best on a seed kept for that
purpose; the vanilla cell may train three times as long as the others.
"""

import hashlib
from dataclasses import asdict, replace

from tqdm.auto import tqdm

from rnnbook import results, rnn
from rnnbook.benchmarks.rows import mean_row

CELLS = {"vanilla": ("rnn", 0.0), "LSTM, open": ("lstm", 3.0), "GRU, open": ("gru", 3.0),
         "LSTM, half-open": ("lstm", 0.0), "GRU, half-open": ("gru", 0.0)}
DISTANCES = (0, 40)
LEARNING_RATES = (1e-3, 3e-3, 1e-2)
SEARCH_SEED, SEEDS = 1000, range(5)
N_STEPS, N_TEST = 150, 5_000


def score(task, config, seed, test_seed):
    """(accuracy, cross-entropy) of one training run on sequences that no other run is tested on."""
    model = rnn.fit(task, config, device="cpu", seed=seed, progress=False)
    return rnn.evaluate(model, task, N_TEST, seed=test_seed)


def main(experiment="rnn-memory"):
    base = rnn.ClassifierConfig(n_steps=N_STEPS)
    samples = rnn.MemoryTask().sample(N_TEST, seed=1)
    sha256 = hashlib.sha256(b"".join(t.numpy().tobytes() for t in samples)).hexdigest()
    n_clicks = rnn.MemoryTask().length
    result = results.new_result(
        experiment,
        {"name": "memory-task", "sha256": sha256, "n_train": N_STEPS * base.batch_size * n_clicks,
         "n_test": N_TEST * n_clicks},
        {**asdict(base), "learning_rates": LEARNING_RATES, "search_seed": SEARCH_SEED, "seeds": list(SEEDS),
         "n_steps_vanilla": 3 * N_STEPS, "task": asdict(rnn.MemoryTask())})
    search = []
    for distance in DISTANCES:
        task = rnn.MemoryTask(distance=distance)
        best = task.optimum()
        for metric, value in best._asdict().items():
            result["rows"].append(mean_row("optimum", f"{metric}, distance {distance}", [value]))
        for name, (cell, gate_bias) in tqdm(CELLS.items(), desc=f"distance {distance}"):
            n_steps = N_STEPS * (3 if cell == "rnn" else 1)
            config = replace(base, cell=cell, gate_bias=gate_bias, n_steps=n_steps)
            tried = {lr: score(task, replace(config, learning_rate=lr), SEARCH_SEED, 2)
                     for lr in LEARNING_RATES}
            lr = min(tried, key=lambda lr: tried[lr].cross_entropy)
            search += [{"model": name, "distance": distance, "learning_rate": rate, "chosen": rate == lr,
                        **tried[rate]._asdict()} for rate in LEARNING_RATES]
            scores = [score(task, replace(config, learning_rate=lr), seed, 3 + seed) for seed in SEEDS]
            for metric in best._fields:
                values = [getattr(s, metric) for s in scores]
                result["rows"].append(mean_row(name, f"{metric}, distance {distance}", values))
    result["search"] = search
    results.write(result)


if __name__ == "__main__":
    main()
