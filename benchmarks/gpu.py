"""GRU4Rec on a CUDA GPU: clicks a second, memory and accuracy by number format, in one run, in turns.

``python -m rnnbook reproduce gpu`` trains the readable path in float32, with TF32 products, under bfloat16 autocast,
and in float32 with the network's step compiled by ``torch.compile``. With ``--peer PATH`` the authors' PyTorch code, a
checkout of hidasib/GRU4Rec_PyTorch_Official, trains on the same GPU in the same rounds (see `peer_speed`).

The loss is not compiled: in the tail of an epoch the batch shrinks, and ``torch.compile`` takes each of its widths
for a new function.
"""

import contextlib
import os
import sys
import time
from dataclasses import replace
from functools import partial
from unittest import mock

import torch
from tqdm import tqdm

from rnnbook import data, gru4rec, metrics, results
from rnnbook.benchmarks import peer_speed
from rnnbook.benchmarks.rows import median_row
from rnnbook.gru4rec import fit

ROUNDS, N_EPOCHS, LOSS = 3, 3, "cross-entropy"
SETTINGS = [(batch_size, size) for size in (100, 512) for batch_size in (32, 128, 512, 2048)]
NO_GPU = ("PyTorch sees no CUDA GPU here, and this experiment measures one. Run it on a machine that has one, with a "
          "build of PyTorch for CUDA (https://pytorch.org/get-started/locally).")


@contextlib.contextmanager
def tf32():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def compiled(backend="inductor"):
    torch.compiler.reset()
    step = torch.compile(gru4rec.GRU4Rec.step, fullgraph=True, backend=backend)
    with mock.patch.object(gru4rec.GRU4Rec, "step", step):
        yield


def modes(device, backend="inductor"):
    """Name -> context in which the readable path trains."""
    return {"float32": contextlib.nullcontext, "TF32": tf32,
            "bfloat16": partial(torch.autocast, torch.device(device).type, torch.bfloat16),
            "float32, compiled": partial(compiled, backend)}


def clocked(work, device):
    """What ``work()`` returns, its seconds, and the bytes of GPU memory it took at its peak (None on a CPU)."""
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    started = time.perf_counter()
    value = work()
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    return value, seconds, torch.cuda.max_memory_allocated() - before if cuda else None


def train_ours(mode, train, test, device, config, seed):
    """Seconds, peak of memory and scores of a training in a mode; what a first use costs is paid before the clock."""
    with mode():
        few = train.take(range(min(2 * config.batch_size, train.n_sessions)))
        fit(few, replace(config, n_epochs=1), device=device, progress=False)
        model, seconds, peak = clocked(lambda: fit(train, config, device=device, seed=seed, progress=False), device)
    return seconds, peak, metrics.evaluate_sessions(model, test, n_boot=1)


def train_peer(peer, train, test, device, config, seed):
    """The same of the peer."""
    few = train.take(range(min(2 * config.batch_size, train.n_sessions)))
    with open(os.devnull, "w") as silence, contextlib.redirect_stdout(silence):
        peer_speed.fit_peer(peer, few, replace(config, n_epochs=1), device)
        torch.manual_seed(seed)
        model, seconds, peak = clocked(lambda: peer_speed.fit_peer(peer, train, config, device), device)
    scores = metrics.evaluate_sessions(peer_speed.PeerScores(model, train.item_ids), test, n_boot=1)
    return seconds, peak, scores


def measure(train, test, settings, device, *, peer=None, rounds=ROUNDS, n_epochs=N_EPOCHS, floor_size=8192,
            backend="inductor"):
    """The rows of a result file: every side trains in every round, one after the other."""
    rows, floors, sides = [], {}, {}
    for name, mode in modes(device, backend).items():
        sides[name] = partial(train_ours, mode)
        with mode():
            floors[name] = peer_speed.matmul_speed((floor_size,), device)
    if peer is not None:
        sides["authors' code"], floors["authors' code"] = partial(train_peer, peer), floors["float32"]
    n_events = n_epochs * int((train.lengths - 1).sum())

    def add(*row):
        rows.append(median_row(*row))

    for batch_size, size in tqdm(settings, unit="setting"):
        config = replace(peer_speed.config(batch_size, LOSS), hidden_size=size, n_epochs=n_epochs)
        runs = {side: [] for side in sides}
        for seed in range(rounds):
            for side, run in sides.items():
                runs[side].append(run(train, test, device, config, seed))
        for side, done in runs.items():
            name = f"{side}, {size} units, batch {batch_size}"
            speeds = [n_events / seconds for seconds, _, _ in done]
            flops = peer_speed.flops_per_event(batch_size, size)
            add(name, "events_per_second", speeds)
            add(name, "share_of_floor", [speed * flops / floors[side] for speed in speeds])
            if done[0][1] is not None:
                add(name, "peak_mib", [peak / 2**20 for _, peak, _ in done])
            add(name, "recall@20", [scores.recall for _, _, scores in done])
            add(name, "mrr@20", [scores.mrr for _, _, scores in done])
            for other in ("float32", "authors' code"):
                if side != other and other in runs:
                    add(f"{side} / {other}, {size} units, batch {batch_size}", "speed_ratio",
                        [theirs[0] / ours[0] for ours, theirs in zip(done, runs[other])])
    return rows


def main(experiment, peer=None):
    if not torch.cuda.is_available():
        sys.exit(NO_GPU)
    train, whole_test = data.load_sessions("yoochoose-100k")
    test = whole_test.take(range(0, whole_test.n_sessions, peer_speed.EVERY))
    result = results.new_result(experiment, results.describe(train, test), {
        "rounds": ROUNDS, "test sessions": f"every {peer_speed.EVERY}rd", "loss": LOSS, "n_epochs": N_EPOCHS,
        "n_sample": peer_speed.N_SAMPLE, "sample_alpha": 0.5, "learning_rate": 0.05, "peer": peer is not None,
        "steps of an epoch": {b: gru4rec.session_parallel(train.offsets, b).n_steps for b, _ in SETTINGS}})
    result["rows"] = measure(train, test, SETTINGS, "cuda", peer=peer and peer_speed.import_peer(peer)[0])
    results.write(result)
