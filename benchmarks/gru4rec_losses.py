"""Why BPR falls behind with many negatives, what the exact logQ correction changes, and what more layers do.

One thing is varied at a time, from the same settings, on a validation day. The test set is never read.
``python -m rnnbook reproduce gru4rec-losses``
"""

from dataclasses import asdict, replace
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from torch.nn import functional as F

from rnnbook import data, metrics, results
from rnnbook.benchmarks.rows import collect, mean_row, paired_rows, score_rows
from rnnbook.benchmarks.units import Units
from rnnbook.gru4rec import LOSSES, GRU4RecConfig, NegativeSampler, bpr, fit, step_loss

SEEDS = range(3)
CONFIG = GRU4RecConfig(batch_size=64, n_sample=2048, hidden_dropout=0.2, n_epochs=8)
HARDEST = 0.01  # of the negatives


def weighted_bpr(scores, negative, sharpness):
    """BPR whose mean over the negatives is weighted by softmax(sharpness · r̂): BPR at 0, most on the hardest at 1.

    The weights have no gradient, so each pair pulls as in BPR; only the shares of the pairs change.
    """
    weights = (sharpness * scores.detach()).masked_fill(~negative, -torch.inf).softmax(dim=1)
    margin = scores.diagonal()[:, None] - scores
    return -(weights * F.logsigmoid(margin)).sum(dim=1)


def bpr_times_n(scores, negative):
    """BPR without the division by N_S: the sum over the negatives."""
    return bpr(scores, negative) * negative.sum(dim=1)


# Arms: the loss that takes the place of BPR, or changes of the settings
SHARPNESS = (0.25, 0.5, 1.0)
BPRS = {"BPR": bpr, "BPR, times N_S": bpr_times_n} | {
    f"BPR, weights softmax({sharpness:g} r)": partial(weighted_bpr, sharpness=sharpness) for sharpness in SHARPNESS}
OTHERS = {"BPR-max": {"loss": "bpr-max"}, "BPR-max, no penalty": {"loss": "bpr-max", "bpr_max_regularization": 0.0},
          "cross-entropy, logQ": {}, "cross-entropy, exact": {"exact_logq": True},
          "cross-entropy, no correction": {"logq": 0.0},
          "cross-entropy, two layers": {"hidden_size": (100, 100)},
          "cross-entropy, feed-forward": {"feedforward_size": 100}}
ARMS = [*BPRS, *OTHERS]


def split():
    return data.load_sessions("yoochoose-100k")[0].split_by_time(data.DAY)


def share_of_the_hardest(model, config, valid):
    """How much of a prediction's gradient goes to the hardest 1 % of its negatives: a mean over 1,000 predictions."""
    torch.manual_seed(0)
    support = split()[0].support
    sampler = NegativeSampler(support, config.n_sample, config.sample_alpha, "cpu", 100)
    positions, scores = next(model.score_sessions(valid, batch_size=1000))
    targets, shares = torch.from_numpy(valid.items)[positions], []
    for rows in torch.arange(len(targets)).split(config.batch_size):
        columns = torch.cat([targets[rows], sampler.next()])
        of_batch = scores[rows][:, columns].requires_grad_()
        gradient = torch.autograd.grad(step_loss(config, of_batch, columns, sampler).sum(), of_batch)[0].abs()
        gradient.fill_diagonal_(0.0)
        hardest = of_batch.detach().fill_diagonal_(-torch.inf).topk(int(HARDEST * len(columns)), dim=1).indices
        shares.append(gradient.gather(1, hardest).sum(1) / gradient.sum(1))
    return torch.cat(shares).mean().item()


def train_one(job):
    arm, seed = job
    fitted, valid = split()
    config = replace(CONFIG, loss="bpr") if arm in BPRS else replace(CONFIG, **OTHERS[arm])
    with patch.dict(LOSSES, {"bpr": BPRS.get(arm, bpr)}):
        model = fit(fitted, config, device="cpu", seed=seed, progress=False)
        share = share_of_the_hardest(model, config, valid)
    return {"scores": metrics.evaluate_sessions(model, valid), "share": share}


def main(experiment):
    fitted, valid = split()
    result = results.new_result(experiment, results.describe(fitted, valid), {
        "seeds": list(SEEDS), "model": asdict(CONFIG), "hardest": HARDEST, "arms": ARMS})
    units = Units(result)
    jobs = [(arm, seed) for seed in SEEDS for arm in ARMS]
    done = dict(zip(jobs, units.in_parallel(train_one, jobs)))
    scores = collect([{arm: done[arm, seed]["scores"] for arm in ARMS} for seed in SEEDS])
    for arm in ARMS:
        result["rows"] += score_rows(arm, scores[arm])
        result["rows"].append(mean_row(arm, "share of the hardest", [done[arm, seed]["share"] for seed in SEEDS]))
    for b in [*BPRS, "BPR-max", "BPR-max, no penalty"][1:]:
        result["paired"] += paired_rows(b, "BPR", scores)
    result["paired"] += paired_rows("BPR-max", "BPR-max, no penalty", scores)
    for a in ("exact", "no correction", "two layers", "feed-forward"):
        result["paired"] += paired_rows(f"cross-entropy, {a}", "cross-entropy, logQ", scores)
    # The two rates at which an item enters the columns, up to its support: among other rows' targets, and drawn
    rates = {"in batch": (CONFIG.batch_size - 1) / fitted.n_events,
             "sampled": CONFIG.n_sample / np.sum(fitted.support.astype(float) ** CONFIG.sample_alpha)}
    result["config"]["log rates"] = {name: float(np.log(rate)) for name, rate in rates.items()}
    units.write()
