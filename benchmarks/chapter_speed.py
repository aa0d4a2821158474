"""Training and scoring of chapters 2 to 5 beside the code that one writes at first, on equal work, in turns.

``python -m rnnbook reproduce chapter-speed --peer PATH`` with PATH a checkout of rn5l/session-rec, whose neighbour
methods are timed beside ours; without it these rows are left out. Nothing of it is in this repository.
Two workarounds let it run on current versions: an empty module stands for pympler, which it imports and does not use,
and ``np.isin`` for ``np.in1d``, which NumPy has no more.

Everything runs on one thread, and the clock counts the time of the processor. The writer of chapter 5 has its own
experiment, joint-cost; here is only where its time goes.
"""

import sys
import time
import types
from dataclasses import asdict
from functools import partial
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from rnnbook import improved, joint, metrics, results, rrn
from rnnbook.baselines import VSKNN, ItemKNN
from rnnbook.benchmarks import joint_cost
from rnnbook.benchmarks.peer_speed import clocked, matmul_speed
from rnnbook.benchmarks.rows import median_row
from rnnbook.benchmarks.rrn_scale import alone
from rnnbook.improved import ImprovedConfig
from rnnbook.rrn import RRNConfig
from rnnbook.worlds import RatingWorld, SessionWorld

ROUNDS = 5
# Without dropout and deletions, and with the gradient of whole sequences, so that both ways have the same numbers.
IMPROVED = ImprovedConfig(click_dropout=0.0, output_dropout=0.0, max_steps=1000, n_epochs=1)
SESSIONS = {"300 items": SessionWorld(n_items=300), "3,000 items": SessionWorld(n_items=3000)}
N_SESSIONS = 500  # of an epoch
READ, ASKED = 20_000, 100  # sessions that the neighbour methods know, and those whose next clicks are predicted
RATINGS = {"100 ratings a user": RatingWorld(n_users=200, n_items=20),
           "10 ratings a user": RatingWorld(n_users=1000, n_items=20, n_steps=10)}
RRN = RRNConfig(dropout=0.0, cold_start=0.0, n_epochs=1)
REVIEWS = {100: 400, 1600: 100}  # so many of so many characters
PARTS = {
    "improved": {"batch": (improved.Padded, "batch"), "GRU": (nn.GRU, "forward"), "look-ups": (improved, "batch_loss"),
                 "scores": (improved.ImprovedRNN, "scores"), "log-softmax": (torch.Tensor, "log_softmax"),
                 "gradients": (torch.Tensor, "backward"), "Adam": (improved.training.Adam, "step")},
    "rrn": {"LSTM": (nn.LSTM, "forward"), "its input": (rrn.RRN, "dynamic_factors"), "prediction": (rrn, "batch_of"),
            "loss": (rrn, "batch_loss"), "gradients": (torch.Tensor, "backward"),
            "Adam": (rrn.training.Adam, "step")},
    "joint": {"batch": (joint.Texts, "pack"), "LSTM": (nn.LSTM, "forward"), "scores": (nn.Linear, "forward"),
              "loss": (F, "cross_entropy"), "gradients": (torch.autograd, "grad")},
}


def by_turns(ways, n):
    """``n`` things a second of each way, round by round, after one round that does not count; what each last gave."""
    speeds, given = {name: [] for name in ways}, {}
    for _ in range(ROUNDS + 1):
        for name, way in ways.items():
            started = time.process_time()
            given[name] = way()
            speeds[name].append(n / (time.process_time() - started))
    return {name: each[1:] for name, each in speeds.items()}, given


def parts_of(kind, way, n):
    """Microseconds of each of ``n`` things by part, in three runs."""
    found = []
    for _ in range(3):
        with clocked(PARTS[kind], time.process_time) as spent:
            started = time.process_time()
            way()
            whole = time.process_time() - started
        found.append(spent | {"rest": whole - sum(spent.values())})
    return {part: [1e6 * spent[part] / n for spent in found] for part in found[0]}


# --- Chapter 3: the improved RNN ---------------------------------------------------------------------------


def sessions_one_by_one(model, batch, teacher=None):
    """`rnnbook.improved.batch_loss` as one writes it at first: a loop over the sessions."""
    total = 0.0
    for x, real in zip(batch.x, batch.mask):
        session = x[real]
        h, _ = model.grus["past"](model.embedding(session[:-1])[None])
        total = total + F.cross_entropy(model.scores(h[0]), session[1:], reduction="sum")
    return total / len(batch.row)


def prefixes_one_by_one(model, batch, teacher=None):
    """The same as the paper writes it: a loop over the prefixes."""
    total = 0.0
    for x, real in zip(batch.x, batch.mask):
        for history, y in improved.prefixes(x[real]):
            h, _ = model.grus["past"](model.embedding(history)[None])
            total = total + F.cross_entropy(model.scores(h[:, -1]), y[None], reduction="sum")
    return total / len(batch.row)


def improved_of(world):
    """Clicks a second of training, the losses of the epoch, the floor in clicks a second, and the parts."""
    train = world.sample(N_SESSIONS)
    n = int((train.lengths - 1).sum())

    def epoch(loss):
        model = improved.new_model(train, IMPROVED, device="cpu")
        with mock.patch.object(improved, "batch_loss", loss):
            improved.train_stage(model, train, progress=False)
        return model.history[-1]["loss"]

    ways = {"ours": partial(epoch, improved.batch_loss), "loop": partial(epoch, sessions_one_by_one),
            "loop over prefixes": partial(epoch, prefixes_one_by_one)}
    speeds, losses = by_turns(ways, n)
    h, e = IMPROVED.hidden_size, IMPROVED.embedding_size
    work = 3 * 2 * (3 * h * (e + h) + h * train.n_items)  # forward, and twice that backward
    parts = parts_of("improved", lambda: epoch(improved.batch_loss), n)  # looked up when its clock is in place
    return speeds, losses, matmul_speed(clock=time.process_time) / work, parts


# --- Chapter 4: the RRN ------------------------------------------------------------------------------------


def sequences_one_by_one(model, side, steps, owners, n_before, last):
    """`rnnbook.rrn.RRN.dynamic_factors` as one writes it at first: a loop over the users, or the items."""
    other = model.items if side is model.users else model.users
    dtype, shift, factors = side.bias.weight.dtype, side.n_others + 2, []
    for owner, n, end in zip(owners, n_before, last):
        first = steps.offsets[owner]
        time = np.append(steps.time[first:first + n], end)
        gap = np.diff(time, prepend=time[0])
        clock = np.stack([np.arange(n + 1) == 0, model.to_clock(time), np.log1p(gap / 3600) / 5])
        y = side.embed_clock(torch.from_numpy(clock.T).to(dtype))
        if n:
            bags = steps.bags[first:first + n + 1]
            ratings, bags = slice(bags[0], bags[-1]), torch.from_numpy(bags)
            others = torch.from_numpy(steps.others[ratings])
            value = torch.from_numpy(model.to_scale(steps.ratings[ratings])).to(dtype)
            value = value - other.bias(others)[:, 0].detach()
            rows = side.embed(torch.stack([others + 1, 0 * others, others + 1 + shift, 0 * others + shift]))
            with_value, without = side.embed_anchor(other.anchor(others).detach()).chunk(2, dim=1)
            read = value[:, None] * (rows[0] + rows[1] + with_value) + rows[2] + rows[3] + without
            bag = y.new_zeros(n, y.shape[1]).index_add(0, torch.repeat_interleave(bags.diff()), read)
            y = torch.cat([y[:1], y[1:] + bag])
        h, _ = side.lstm(y[:, None])
        factors.append(side.to_factors(h[:, 0]))
    return torch.cat(factors)


def rrn_of(world):
    """Ratings a second of training, the losses of the epoch, the floor in ratings a second, and the parts."""
    train = world.sample()
    n = train.n_ratings

    def epoch(dynamic_factors):
        with mock.patch.object(rrn.RRN, "dynamic_factors", dynamic_factors):
            return rrn.fit(train, RRN, device="cpu", progress=False).history[-1]["loss"]

    ours = rrn.RRN.dynamic_factors
    speeds, losses = by_turns({"ours": partial(epoch, ours), "loop": partial(epoch, sequences_one_by_one)}, n)
    h, e, d = RRN.hidden_size, RRN.embedding_size, RRN.dynamic_size
    n_steps = sum(len(side.time) for side in rrn.new_model(train, RRN, device="cpu").steps(train))
    # Forward and twice that backward, and forward once more for the other side; the clock has no gradient.
    work = 2 * n_steps * (4 * (4 * h * (e + h) + h * d) + 3 * 3 * e) / n
    parts = parts_of("rrn", lambda: epoch(rrn.RRN.dynamic_factors), n)  # looked up when its clock is in place
    return speeds, losses, matmul_speed(clock=time.process_time) / work, parts


# --- Chapter 5: the writer -----------------------------------------------------------------------------------


def writer_of(length):
    """The parts of a character."""
    reviews = joint_cost.reviews_of(REVIEWS[length], length)
    model = joint.new_model(reviews, joint_cost.CONFIG, device="cpu")
    texts, rows = joint.Texts(reviews, model.alphabet, model.device), np.arange(reviews.n_ratings)
    x = torch.rand(len(rows), joint_cost.CONFIG.joint_size)

    def run():
        joint_cost.in_batches(model.writer, texts, rows, x, 1 / len(rows))

    run()  # once without the clock
    return parts_of("joint", run, reviews.n_characters + len(rows))


# --- Chapter 2: the neighbours -------------------------------------------------------------------------------


class PeerScores:
    """A method of session-rec behind our evaluation: asked click by click, as its own evaluation does."""

    def __init__(self, model, train):
        self.model, self.item_ids, self.items = model, train.item_ids, np.arange(train.n_items)
        model.fit(frame(train))

    def score_sessions(self, data, batch_size=512):
        for session, (start, end) in enumerate(zip(data.offsets, data.offsets[1:])):
            for position in range(start, end - 1):
                scores = self.model.predict_next(session, data.items[position], self.items)
                yield torch.tensor([position + 1]), torch.from_numpy(scores.to_numpy(copy=True))[None]


def frame(sessions):
    """The columns that session-rec reads, with our numbers of the items, which it takes for integers."""
    return sessions.to_frame().assign(item=sessions.items)[["session", "item", "time"]]


def neighbours_of(world, peer):
    """Predictions a second and Recall@20 of our item-KNN and V-SKNN, and of session-rec's."""
    sys.path.insert(0, peer)
    sys.modules["pympler"] = types.SimpleNamespace(asizeof=None)
    vars(np)["in1d"] = np.isin
    from algorithms.knn.iknn import ItemKNN as PeerItemKNN
    from algorithms.knn.vsknn import VMContextKNN

    train, test = world.sample(READ), world.sample(ASKED, seed=1)
    columns = {"session_key": "session", "item_key": "item", "time_key": "time"}
    pairs = {"item-KNN": (ItemKNN(), PeerItemKNN(n_sims=100, lmbd=20, alpha=0.5, **columns)),
             "V-SKNN": (VSKNN(), VMContextKNN(k=100, sample_size=1000, similarity="vec", weighting="div",
                                              weighting_score="div", normalize=False, **columns))}
    found = {}
    for method, (ours, theirs) in pairs.items():
        models = {"ours": ours.fit(train), "peer": PeerScores(theirs, train)}
        speeds, _ = by_turns({name: partial(lambda m: sum(1 for _ in m.score_sessions(test)), model)
                              for name, model in models.items()}, int((test.lengths - 1).sum()))
        found[method] = speeds, {name: metrics.evaluate_sessions(m, test, n_boot=1).recall
                                 for name, m in models.items()}
    return found


# --- The result file -----------------------------------------------------------------------------------------


def main(experiment, peer=None):
    world = SESSIONS["300 items"]
    result = results.new_result(experiment, results.describe(world.sample(N_SESSIONS), world.sample(ASKED, seed=1)), {
        "rounds": ROUNDS, "threads": 1, "sessions of an epoch": N_SESSIONS, "sessions read, asked": [READ, ASKED],
        "reviews of a length": REVIEWS,
        "worlds": {name: asdict(world) for name, world in (SESSIONS | RATINGS).items()},
        "improved": asdict(IMPROVED), "rrn": asdict(RRN), "joint": asdict(joint_cost.CONFIG),
        "workarounds": __doc__.split("Two workarounds")[1].split("\n\n")[0].strip()})

    def add(model, metric, values):
        result["rows"].append(median_row(model, metric, values))

    def add_speeds(name, metric, speeds):
        for way, values in speeds.items():
            add(f"{name} · {way}", metric, values)
            if way != "ours":
                add(f"{name} · ours / {way}", "speed_ratio", [a / b for a, b in zip(speeds["ours"], values)])

    jobs = [("M1", "clicks", improved_of, SESSIONS), ("RRN", "ratings", rrn_of, RATINGS)]
    with tqdm(total=len(SESSIONS) + len(RATINGS) + len(REVIEWS) + bool(peer) * len(SESSIONS)) as bar:
        for model, things, job, worlds in jobs:
            for setting, world in worlds.items():
                name = f"{model}, {setting}"
                speeds, losses, floor, parts = alone(job, world)
                add_speeds(name, f"{things}_per_second", speeds)
                for way, values in speeds.items():
                    add(f"{name} · {way}", "share_of_floor", [value / floor for value in values])
                    add(f"{name} · {way}", "loss", [losses[way]])
                for part, values in parts.items():
                    add(f"{name} · {part}", "microseconds", values)
                bar.update()
        for length in REVIEWS:
            for part, values in alone(writer_of, length).items():
                add(f"writer, {length:,} characters · {part}", "microseconds", values)
            bar.update()
        for setting, world in SESSIONS.items() if peer else ():
            for method, (speeds, recall) in alone(neighbours_of, world, peer).items():
                name = f"{method}, {setting}"
                add_speeds(name, "predictions_per_second", speeds)
                for way, value in recall.items():
                    add(f"{name} · {way}", "recall@20", [value])
            bar.update()
    results.write(result)
