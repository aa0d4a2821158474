"""Training and evaluation beside the authors' own PyTorch code, on equal work, in one run, in turns.

``python -m rnnbook reproduce peer-speed --peer PATH`` with PATH a checkout of hidasib/GRU4Rec_PyTorch_Official.
Its licence allows research and education; nothing of it is in this repository. All sides train in float32 on the
CPU with the same log, batch size, layer, loss, samples and number of epochs, and are scored on the same test
sessions. Two workarounds let the peer run on current versions: its ``compatibility_mode`` is off (it needs
numpy < 2), and ``torch.tensor`` is given arrays where it passes a pandas Series.
"""

import contextlib
import os
import sys
import time
from functools import partial
from unittest import mock

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from rnnbook import data, fast, gru4rec, metrics, results, training
from rnnbook.benchmarks.rows import median_row
from rnnbook.gru4rec import GRU4RecConfig

ROUNDS = 5
SETTINGS = [(batch_size, loss) for loss in ("cross-entropy", "bpr-max") for batch_size in (32, 128, 512)]
N_SAMPLE, SIZE = 2048, 100
EVERY = 3  # every third test session is scored: the peer's network is asked one event at a time
PARTS = {"negatives": (gru4rec.NegativeSampler, "next"), "network": (gru4rec.GRU4Rec, "step"),
         "loss": (gru4rec, "step_loss"), "gradients": (torch.autograd, "grad"),
         "Adagrad, tables": (training.Adagrad, "step_rows"), "Adagrad, GRU": (training.Adagrad, "step")}


def config(batch_size, loss):
    return GRU4RecConfig(batch_size=batch_size, loss=loss, hidden_dropout=0.0, learning_rate=0.05, momentum=0.0,
                         n_sample=N_SAMPLE, sample_alpha=0.5, logq=0.0, n_epochs=1, hidden_size=SIZE,
                         final_activation="elu" if loss == "bpr-max" else "linear")


def train_ours(fit, train, test, batch_size, loss):
    """Seconds of training, and the scores."""
    started = time.perf_counter()
    model = fit(train, config(batch_size, loss), device="cpu", progress=False)
    seconds = time.perf_counter() - started
    return seconds, metrics.evaluate_sessions(model, test), model


def train_peer(peer, train, test, batch_size, loss):
    """Seconds of the peer's ``fit``, and its model's scores under our own evaluation."""
    started = time.perf_counter()
    model = fit_peer(peer, train, config(batch_size, loss), "cpu")
    seconds = time.perf_counter() - started
    return seconds, metrics.evaluate_sessions(PeerScores(model, train.item_ids), test), model


def fit_peer(peer, train, config, device):
    """The peer's model, trained with our settings."""
    model = peer.GRU4Rec(layers=[config.hidden_size], loss=config.loss, batch_size=config.batch_size,
                         n_sample=config.n_sample, sample_alpha=config.sample_alpha, n_epochs=config.n_epochs,
                         learning_rate=config.learning_rate, elu_param=1.0, device=torch.device(device))
    model.fit(frame(train), compatibility_mode=False, session_key="session", item_key="item", time_key="time",
              sample_cache_max_size=config.n_sample * 1000)
    return model


def frame(sessions):
    return sessions.to_frame()[["session", "item", "time"]]


class PeerScores:
    """The peer's trained network behind our evaluation."""

    def __init__(self, model, item_ids):
        self.network, self.item_ids = model.model.eval(), item_ids
        self.size, self.device = model.layers[0], model.device
        self.order = torch.as_tensor(model.data_iterator.itemidmap[item_ids].to_numpy(copy=True), dtype=torch.int64,
                                     device=self.device)

    @torch.no_grad()
    def score_sessions(self, data, batch_size=512):
        for start, end in zip(data.offsets, data.offsets[1:]):
            hidden = [torch.zeros(1, self.size, device=self.device)]
            for position in range(start, end - 1):
                x = self.order[data.items[position]][None]
                scores = self.network.forward(x, hidden, None)[:, self.order]
                yield torch.tensor([position + 1]), scores


def matmul_speed(sizes=(256, 512, 1024), device="cpu", clock=time.perf_counter):
    """FLOP/s of the fastest product of two square matrices: the floor's measure.

    On a CPU it is PyTorch's product or NumPy's: they come from two libraries, and either can be the faster one.
    """
    best = 0.0
    for n in sizes:
        a = torch.rand(n, n, device=device)
        for matrix in (a, a.numpy()) if device == "cpu" else (a,):
            with threadpool_limits(torch.get_num_threads()):
                for _ in range(11):  # the first is not as fast
                    started = clock()
                    (matrix @ matrix)[0, 0].item()  # a GPU is waited for
                    best = max(best, 2 * n**3 / (clock() - started))
    return best


def flops_per_event(batch_size, size=SIZE):
    """Of the matrix products: the scores and their two gradients, two products of the GRU with two gradients each."""
    return 3 * 2 * (batch_size + N_SAMPLE) * size + 6 * 2 * size * 3 * size


def import_peer(path):
    """The modules of the checkout, for training and for evaluation, with the second workaround in place."""
    sys.path.insert(0, path)
    tensor = torch.tensor
    torch.tensor = lambda x, **options: tensor(np.asarray(x) if isinstance(x, pd.Series) else x, **options)
    import evaluation
    import gru4rec_pytorch

    return gru4rec_pytorch, evaluation


def flops_per_prediction(n_items):
    """Of the matrix products in evaluation: the scores of all items, and the two products of the GRU. The compiled way
    needs fewer, for sessions that open with the same item share their first prediction's scores."""
    return 2 * n_items * SIZE + 2 * 2 * SIZE * 3 * SIZE


def score_ours(model, test):
    """Predictions per second of a model or of its ranker."""
    return metrics.evaluate_sessions(model, test, n_boot=1).events_per_second


def score_peer(batch_eval, model, test):
    """The same of the authors' code."""
    log = frame(test)
    started = time.perf_counter()
    batch_eval(model, log, session_key="session", item_key="item", time_key="time")
    return int((test.lengths - 1).sum()) / (time.perf_counter() - started)


@contextlib.contextmanager
def clocked(parts, clock=time.perf_counter):
    """Seconds inside some functions, ``{part: (owner, attribute)}``; one that calls another is not billed for it."""
    spent, billed = dict.fromkeys(parts, 0.0), [0.0]  # billed: what the calls within each open call took

    def timed(part, function):
        def run(*args, **kwargs):
            billed.append(0.0)
            started = clock()
            value = function(*args, **kwargs)
            seconds = clock() - started
            spent[part] += seconds - billed.pop()
            billed[-1] += seconds
            return value
        return run

    with contextlib.ExitStack() as stack:
        for part, (owner, attribute) in parts.items():
            stack.enter_context(mock.patch.object(owner, attribute, timed(part, getattr(owner, attribute))))
        yield spent


def parts_of_a_step(train, batch_size, loss):
    """Microseconds of a readable step by part, in an epoch with a clock around each part; "rest" is what is left."""
    with clocked(PARTS) as spent:
        started = time.perf_counter()
        gru4rec.fit(train, config(batch_size, loss), device="cpu", progress=False)
        whole = time.perf_counter() - started
    steps = gru4rec.session_parallel(train.offsets, batch_size).n_steps
    return {name: 1e6 * seconds / steps for name, seconds in (spent | {"rest": whole - sum(spent.values())}).items()}


def main(experiment, peer=None):
    if peer is None:
        sys.exit("Name a checkout of the authors' code, hidasib/GRU4Rec_PyTorch_Official, with --peer PATH.")
    gru4rec_pytorch, evaluation = import_peer(peer)
    train, whole_test = data.load_sessions("yoochoose-100k")
    test = whole_test.take(range(0, whole_test.n_sessions, EVERY))
    n_events = int((train.lengths - 1).sum())
    floor = matmul_speed()
    result = results.new_result(experiment, results.describe(train, test), {
        "rounds": ROUNDS, "test sessions": f"every {EVERY}rd", "threads": torch.get_num_threads(), "layers": [SIZE],
        "n_sample": N_SAMPLE, "sample_alpha": 0.5, "learning_rate": 0.05, "n_epochs": 1,
        "matmul GFLOP/s": floor / 1e9, "flops per event": {b: flops_per_event(b) for b, _ in SETTINGS},
        "flops per prediction": flops_per_prediction(train.n_items),
        "workarounds": __doc__.split("Two workarounds")[1].strip()})

    def add(model, metric, values):
        result["rows"].append(median_row(model, metric, values))

    sides = {"rnnbook": partial(train_ours, gru4rec.fit, train, test),
             "rnnbook, fast": partial(train_ours, fast.fit, train, test),
             "peer": partial(train_peer, gru4rec_pytorch, train, test)}
    train_ours(fast.fit, train, test, 512, "bpr-max")  # compiled once, before the clock runs
    evaluations = {side: [] for side in sides}
    with open(os.devnull, "w") as silence, tqdm(total=len(SETTINGS) * ROUNDS, unit="round") as bar:
        for batch_size, loss in SETTINGS:
            runs = {side: [] for side in sides}
            for _ in range(ROUNDS):
                for side, run in sides.items():
                    with contextlib.redirect_stdout(silence):
                        runs[side].append(run(batch_size=batch_size, loss=loss))
                bar.update()
            setting = f"{loss}, batch {batch_size}"
            for side, done in runs.items():
                speeds = [n_events / seconds for seconds, _, _ in done]
                add(f"{side}, {setting}", "events_per_second", speeds)
                add(f"{side}, {setting}", "share_of_floor", [s * flops_per_event(batch_size) / floor for s in speeds])
                add(f"{side}, {setting}", "recall@20", [scores.recall for _, scores, _ in done])
                add(f"{side}, {setting}", "mrr@20", [scores.mrr for _, scores, _ in done])
                if side != "peer":
                    ratios = [theirs[0] / ours[0] for ours, theirs in zip(done, runs["peer"])]
                    add(f"{side} / peer, {setting}", "speed_ratio", ratios)
        ours, theirs = (runs[side][-1][2] for side in ("rnnbook", "peer"))
        score_ours(fast.Ranker(ours), test)  # compiled once
        with contextlib.redirect_stdout(silence):
            for _ in range(ROUNDS * len(SETTINGS)):
                evaluations["rnnbook"].append(score_ours(ours, whole_test))
                evaluations["rnnbook, fast"].append(score_ours(fast.Ranker(ours), whole_test))
                evaluations["peer"].append(score_peer(evaluation.batch_eval, theirs, whole_test))
    for side, speeds in evaluations.items():
        add(f"{side}, evaluation", "predictions_per_second", speeds)
        add(f"{side}, evaluation", "share_of_floor",
            [s * flops_per_prediction(train.n_items) / floor for s in speeds])
        if side != "peer":
            add(f"{side} / peer, evaluation", "speed_ratio", [a / b for a, b in zip(speeds, evaluations["peer"])])
    for batch_size in (32, 512):
        parts = [parts_of_a_step(train, batch_size, "cross-entropy") for _ in range(3)]
        for name in parts[0]:
            add(f"{name}, batch {batch_size}", "step_microseconds", [part[name] for part in parts])
    results.write(result)
