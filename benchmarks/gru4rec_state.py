"""What the state is worth on real clicks: GRU4Rec against the same network without one, each with its own search.

The second reads the last click only: its state is zero before each click, in training and in the test. It tries the
same draws of the settings as chapter 2's GRU4Rec. ``python -m rnnbook reproduce gru4rec-state``
"""

from rnnbook import results
from rnnbook.benchmarks.gru4rec import SEEDS, fit_rival, pooled, train_yoochoose
from rnnbook.benchmarks.gru4rec_search import (DRAWS, OWN, RUNGS, SPACE, as_config, best_of, split, test_days, total,
                                               try_network)
from rnnbook.benchmarks.rows import paired_rows, score_rows
from rnnbook.benchmarks.search import draws
from rnnbook.benchmarks.units import Units
from rnnbook.bugs import planted
from rnnbook.gru4rec import GRU4RecConfig

LOSS = "cross-entropy"
WHOLE, BLIND = "GRU4Rec", "GRU4Rec, last click only"
RIVALS = "Markov", "V-SKNN", "STAN", "VSTAN"


def try_blind(job):
    with planted("lost-state"):
        return try_network(job)


def train_blind(job):
    with planted("lost-state"):
        return train_yoochoose(job)


def main(experiment):
    days, searched = test_days(), []
    models = {name: best_of(results.load("gru4rec-search")["trials"], arm)["config"]
              for name, arm in {WHOLE: LOSS, **dict(zip(RIVALS, RIVALS))}.items()}
    result = results.new_result(experiment, results.describe(*split()), {
        "seeds": list(SEEDS), "draws per arm": DRAWS, "epochs and draws": RUNGS, "ties": "conservative",
        "days": len(days), "chosen by": "recall@20 + mrr@20", "models": models})
    units = Units(result)
    left = [GRU4RecConfig(loss=LOSS, **settings) for settings in draws(LOSS, SPACE | OWN[LOSS], DRAWS)]
    for n_epochs, n_left in RUNGS.items():
        done = units.in_parallel(try_blind, [(config, n_epochs) for config in left[:n_left]])
        searched += done
        ranked = sorted(((total(trial), -i) for i, trial in enumerate(done) if "failed" not in trial), reverse=True)
        left = [left[-i] for _, i in ranked]
    models[BLIND] = best_of(searched)["config"]

    jobs = [(seed, day) for day in range(len(days)) for seed in SEEDS]
    done = {}
    for name, train in ((WHOLE, train_yoochoose), (BLIND, train_blind)):
        config = as_config(models[name])
        found = units.in_parallel(train, [(config, *job) for job in jobs])
        done |= {(name, day, seed): scores for (seed, day), (scores, _) in zip(jobs, found)}
    rivals = [(name, models[name], day) for name in RIVALS for day in range(len(days))]
    counted = {(name, day): scores for (name, _, day), (scores, _) in zip(rivals, units.in_parallel(fit_rival, rivals))}

    def scores_on(day):
        networks = {name: [done[name, day, seed] for seed in SEEDS] for name in (WHOLE, BLIND)}
        return networks | {name: [counted[name, day]] for name in RIVALS}

    by_day = [scores_on(day) for day in range(len(days))]
    four = {name: [pooled([day[name][i] for day in by_day]) for i in range(len(by_day[0][name]))] for name in by_day[0]}
    for prefix, scores in {"": by_day[0], "four days · ": four}.items():
        named = {f"{prefix}{name}": runs for name, runs in scores.items()}
        for name, runs in named.items():
            result["rows"] += score_rows(name, runs)
            if name != f"{prefix}{BLIND}":
                result["paired"] += paired_rows(name, f"{prefix}{BLIND}", named)
    result["trials"] = searched
    units.write()
