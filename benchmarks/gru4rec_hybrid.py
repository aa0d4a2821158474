"""GRU4Rec and the neighbours together: do they know the same?

Scores become probabilities, and two models are mixed with a weight that was chosen on the validation day. Beside each
mixture stand its parts, the mean of five networks, and a mixture of two rivals, which shows what mixing alone brings.
``python -m rnnbook reproduce gru4rec-hybrid``
"""

import numpy as np
import torch

from rnnbook import metrics, results
from rnnbook.benchmarks.gru4rec import SEEDS, pooled
from rnnbook.benchmarks.gru4rec_search import as_config, best_of, rival, split, test_days
from rnnbook.benchmarks.rows import paired_rows, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import fit

NETWORK, FIVE, RIVALS = "GRU4Rec", "GRU4Rec, mean of five", ("STAN", "VSTAN")
WEIGHTS = tuple(n / 10 for n in range(1, 10))  # of the second model of a mixture
MIXTURES = {f"{first} and {second}": (first, second) for first, second in (
    (NETWORK, "STAN"), (NETWORK, "VSTAN"), (FIVE, "STAN"), (FIVE, "VSTAN"), ("STAN", "VSTAN"))}


class Scored:
    """The scores of all items at all events to predict, float32 [n, n_items], as a model."""

    def __init__(self, item_ids, probabilities):
        self.item_ids, self.probabilities = item_ids, probabilities

    def score_sessions(self, data, batch_size=512):
        positions = torch.from_numpy(metrics.target_positions(data)[0])
        yield from zip(positions.split(batch_size), self.probabilities.split(batch_size))


@torch.no_grad()
def probabilities(model, data, to_share):
    """float32 [n, n_items] at the events to predict, in their order; ``to_share`` makes rows of sum 1 of scores."""
    order, parts = zip(*((positions, to_share(scores)) for positions, scores in model.score_sessions(data)))
    return torch.cat(parts)[torch.cat(order).argsort()].float()


def share_of_total(scores):
    """Neighbours' scores are weighted counts of sessions, so they are divided by their sum."""
    return scores / scores.sum(1, keepdim=True)


def scores_of(job):
    """{model or mixture: its SessionScores, one for each seed that it depends on} on a day.

    ``weights`` has those of each mixture. With more than one weight, the names have it too.
    """
    models, weights, day = job
    train, test = split() if day is None else test_days()[day]
    made = {name: [probabilities(rival(name, models[name]).fit(train), test, share_of_total)] for name in RIVALS}
    made[NETWORK] = [probabilities(fit(train, as_config(models[NETWORK]), device="cpu", seed=seed, progress=False),
                                   test, lambda scores: scores.softmax(1)) for seed in SEEDS]
    made[FIVE] = [torch.stack(made[NETWORK]).mean(0)]

    def evaluated(scores):
        return [metrics.evaluate_sessions(Scored(train.item_ids, each), test, n_boot=1) for each in scores]

    found = {name: evaluated(scores) for name, scores in made.items()}
    for mixture, (first, second) in MIXTURES.items():
        for w in weights[mixture]:
            name = mixture if len(weights[mixture]) == 1 else f"{mixture}, {w}"
            found[name] = evaluated((1 - w) * each + w * made[second][0] for each in made[first])
    return found


def main(experiment):
    days, trials = test_days(), results.load("gru4rec-search")["trials"]
    models = {NETWORK: best_of(trials, "cross-entropy")["config"]} | {
        name: best_of(trials, name)["config"] for name in RIVALS}
    result = results.new_result(experiment, results.describe(*split()), {
        "seeds": list(SEEDS), "ties": "conservative", "days": len(days), "weights": WEIGHTS, "models": models,
        "chosen by": "recall@20 + mrr@20"})
    units = Units(result)
    tried, = units.in_parallel(scores_of, [(models, dict.fromkeys(MIXTURES, WEIGHTS), None)])

    def quality(name):
        return float(np.mean([scores.recall + scores.mrr for scores in tried[name]]))

    result["trials"] = [{"mixture": mixture, "config": {"weight": w}, "recall@20 + mrr@20": quality(f"{mixture}, {w}")}
                        for mixture in MIXTURES for w in WEIGHTS]
    chosen = {mixture: max(WEIGHTS, key=lambda w: quality(f"{mixture}, {w}")) for mixture in MIXTURES}
    result["config"]["weight of the second"] = chosen
    by_day = units.in_parallel(scores_of, [(models, {mixture: [w] for mixture, w in chosen.items()}, day)
                                            for day in range(len(days))])
    four = {name: [pooled([day[name][i] for day in by_day]) for i in range(len(runs))]
            for name, runs in by_day[0].items()}
    for prefix, scores in {"": by_day[0], "four days · ": four}.items():
        named = {f"{prefix}{name}": runs for name, runs in scores.items()}
        for name, runs in named.items():
            result["rows"] += score_rows(name, runs)
        for mixture, parts in MIXTURES.items():
            for part in parts:
                result["paired"] += paired_rows(f"{prefix}{mixture}", f"{prefix}{part}", named)
        for mixture in MIXTURES:
            if NETWORK in mixture:
                result["paired"] += paired_rows(f"{prefix}{mixture}", f"{prefix}STAN and VSTAN", named)
        result["paired"] += paired_rows(f"{prefix}{FIVE}", f"{prefix}{NETWORK}", named)
    units.write()
