"""Training speed beside the authors' own PyTorch code, on equal work, in one run, in turns.

``python -m rnnbook reproduce peer-speed --peer PATH`` with PATH a checkout of hidasib/GRU4Rec_PyTorch_Official.
Its licence allows research and education; nothing of it is in this repository. Both sides train in float32 on the
CPU with the same log, batch size, layer, loss, samples and number of epochs, and are scored on the same test
sessions. Two workarounds let the peer run on current versions: its ``compatibility_mode`` is off (it needs
numpy < 2), and ``torch.tensor`` is given arrays where it passes a pandas Series.
"""

import contextlib
import os
import statistics
import sys
import time

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from rnnbook import data, metrics, results
from rnnbook.gru4rec import GRU4RecConfig, fit

ROUNDS = 3
SETTINGS = [(32, "cross-entropy"), (512, "cross-entropy"), (128, "bpr-max")]
EVERY = 3  # every third test session is scored: the peer's network is asked one event at a time


def train_ours(train, test, batch_size, loss):
    config = GRU4RecConfig(batch_size=batch_size, loss=loss, hidden_dropout=0.0, learning_rate=0.05, momentum=0.0,
                           n_sample=2048, sample_alpha=0.5, logq=0.0, n_epochs=1,
                           final_activation="elu" if loss == "bpr-max" else "linear")
    started = time.perf_counter()
    model = fit(train, config, device="cpu", progress=False)
    seconds = time.perf_counter() - started
    return seconds, metrics.evaluate_sessions(model, test)


def train_peer(peer, train, test, batch_size, loss):
    """Seconds of the peer's ``fit``, and its model's scores under our own evaluation."""
    model = peer.GRU4Rec(layers=[100], loss=loss, batch_size=batch_size, n_sample=2048, sample_alpha=0.5,
                         learning_rate=0.05, n_epochs=1, elu_param=1.0, device=torch.device("cpu"))
    frame = train.to_frame()[["session", "item", "time"]]
    started = time.perf_counter()
    model.fit(frame, compatibility_mode=False, session_key="session", item_key="item", time_key="time",
              sample_cache_max_size=2048 * 1000)
    seconds = time.perf_counter() - started
    return seconds, metrics.evaluate_sessions(PeerScores(model, train.item_ids), test)


class PeerScores:
    """The peer's trained network behind our evaluation."""

    def __init__(self, model, item_ids):
        self.network, self.item_ids = model.model.eval(), item_ids
        self.order = torch.as_tensor(model.data_iterator.itemidmap[item_ids].to_numpy(copy=True), dtype=torch.int64)

    @torch.no_grad()
    def score_sessions(self, data, batch_size=512):
        for start, end in zip(data.offsets, data.offsets[1:]):
            hidden = [torch.zeros(1, 100)]
            for position in range(start, end - 1):
                x = self.order[data.items[position]][None]
                scores = self.network.forward(x, hidden, None)[:, self.order]
                yield torch.tensor([position + 1]), scores


def main(experiment, peer=None):
    if peer is None:
        sys.exit("Name a checkout of the authors' code, hidasib/GRU4Rec_PyTorch_Official, with --peer PATH.")
    sys.path.insert(0, peer)
    tensor = torch.tensor
    torch.tensor = lambda x, **options: tensor(np.asarray(x) if isinstance(x, pd.Series) else x, **options)
    import gru4rec_pytorch

    train, test = data.load_sessions("yoochoose-100k")
    test = test.take(range(0, test.n_sessions, EVERY))
    n_events = int((train.lengths - 1).sum())
    result = results.new_result(experiment, results.describe(train, test), {
        "rounds": ROUNDS, "test sessions": f"every {EVERY}rd", "threads": torch.get_num_threads(),
        "layers": [100], "n_sample": 2048, "sample_alpha": 0.5, "learning_rate": 0.05, "n_epochs": 1,
        "workarounds": __doc__.split("Two workarounds")[1].strip()})
    for batch_size, loss in tqdm(SETTINGS, unit="setting"):
        runs = {"rnnbook": [], "peer": []}
        for _ in range(ROUNDS):
            runs["rnnbook"].append(train_ours(train, test, batch_size, loss))
            with open(os.devnull, "w") as silence, contextlib.redirect_stdout(silence):
                runs["peer"].append(train_peer(gru4rec_pytorch, train, test, batch_size, loss))
        setting = f"{loss}, batch {batch_size}"
        ratios = [theirs[0] / ours[0] for ours, theirs in zip(runs["rnnbook"], runs["peer"])]
        measured = [(f"{side}, {setting}", metric, values) for side, done in runs.items() for metric, values in (
            ("events_per_second", [n_events / seconds for seconds, _ in done]),
            ("recall@20", [scores.recall for _, scores in done]), ("mrr@20", [scores.mrr for _, scores in done]))]
        measured.append((f"rnnbook / peer, {setting}", "speed_ratio", ratios))
        for model, metric, values in measured:  # median, least and most of the rounds
            result["rows"].append({"model": model, "metric": metric, "mean": statistics.median(values),
                                   "low": min(values), "high": max(values), "values": list(map(float, values))})
    results.write(result)
