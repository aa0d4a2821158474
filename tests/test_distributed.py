"""Several processes against one: the same numbers, whatever their number, and a clear end when one is lost."""

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbook import distributed, fast, gru4rec, metrics, training
from rnnbook.distributed import Ranks, step_bytes
from rnnbook.gru4rec import GRU4RecConfig, session_parallel
from rnnbook.interactions import SessionData
from rnnbook.training import loop
from rnnbook.training.lanes import lanes_of
from rnnbook.worlds import SessionWorld

SMALL = GRU4RecConfig(hidden_size=6, batch_size=8, n_sample=5, n_epochs=2)  # with its dropout of 0.4
SETTINGS = {
    "as it is": SMALL,
    "BPR-max, momentum, two layers": replace(SMALL, loss="bpr-max", momentum=0.3, hidden_size=(7, 5),
                                             embedding_dropout=0.2, final_activation="elu"),
    "windows, separate tables": replace(SMALL, bptt=3, input="separate", embedding_size=4),
    "in-batch negatives, masked": replace(SMALL, n_sample=0, mask_targets=True, logq=0.5),
    "one-hot, TOP1": replace(SMALL, input="one-hot", loss="top1", hidden_dropout=0.0)}
COMPILED = {
    "compiled": SMALL,
    "compiled, BPR-max, momentum": replace(SMALL, loss="bpr-max", momentum=0.3, embedding_dropout=0.2,
                                           final_activation="elu"),
    "compiled, in-batch negatives": replace(SMALL, n_sample=0, logq=0.5)}


WITH_FAST = {"epoch": fast.train_epoch_of_ranks, "evaluate": fast.evaluate_sessions}


def sessions(n=40, seed=0):
    """Sessions of 2 to 7 events, but a last one of 30: most ranks run out of lanes long before the epoch ends."""
    world = SessionWorld(n_items=20).sample(n, seed=seed)
    rng = np.random.default_rng(seed)
    lists = [rng.choice(world.items, size) for size in [*rng.integers(2, 8, size=n), 30]]
    rows = [(s, item, 100 * s + t) for s, items in enumerate(lists) for t, item in enumerate(items)]
    return SessionData.from_frame(pd.DataFrame(rows, columns=["session", "item", "time"]), item_ids=np.arange(20))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="device='cuda': PyTorch finds no CUDA GPU"):
        Ranks("cuda")


def test_ranks_choose_their_gpus_themselves():
    for device in ("mps", "cuda:1", "gpu"):
        with pytest.raises(ValueError, match=f"device='{device}'; it must be"):
            Ranks(device)


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# --- Starting ranks ---------------------------------------------------------------------------------------

# A process that imports what ranks need, once, and has done nothing else when they are forked from it
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["accelerate", "hypothesis", "pytest", "rnnbook.distributed", "rnnbook.fast"])


def as_rank(rank, n, port, folder, work, arguments):
    """What a process started by `launch` does: `work` as rank `rank`, its result or error into a file."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n),
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
                   "GLOO_SOCKET_IFNAME": "lo"}
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    try:
        result = work(*arguments)
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    torch.save(result, folder / f"{rank}.pt")


def launch(n, folder, work, *arguments):
    """Run work(*arguments) as each of n ranks; their results, None for a rank that left none."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [SERVER.Process(target=as_rank, args=(rank, n, port, folder, work, arguments)) for rank in range(n)]
    for process in started:
        process.start()
    for process in started:
        process.join(600)
        if process.is_alive():
            process.kill()
            process.join()
    files = [folder / f"{rank}.pt" for rank in range(n)]
    return [torch.load(file) if file.exists() else None for file in files]


def trained(fit, config, **options):
    model = fit(sessions(), config, device="cpu", seed=1, progress=False, **options)
    return {"tensors": model.state_dict(), "history": model.history}


def assert_same(ours, theirs):
    for name, expected in theirs["tensors"].items():
        torch.testing.assert_close(ours["tensors"][name], expected, rtol=0, atol=1e-8)
    for point, expected in zip(ours["history"], theirs["history"], strict=True):
        assert point == pytest.approx(expected, abs=1e-8)


# --- The shares -------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(lengths=st.lists(st.integers(1, 9), max_size=40), n=st.sampled_from([1, 2, 3, 4]), lanes=st.integers(1, 3))
def test_every_prediction_is_made_by_one_rank_and_every_session_read_by_one(lengths, n, lanes):
    schedule = session_parallel(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), n * lanes)
    shares = [lanes_of(schedule, rank, n) for rank in range(n)]
    read = [set(own.session.tolist()) for own, _ in shares]
    assert sum(map(len, read)) == len(set().union(*read)) == len(set(schedule.session.tolist()))
    for t, (lo, hi) in enumerate(pairwise(schedule.offsets)):
        at = 0
        for own, first in shares:
            assert own.n_steps == schedule.n_steps and first[t] == at
            mine = slice(own.offsets[t], own.offsets[t + 1])
            whole = slice(lo + at, lo + at + mine.stop - mine.start)
            for column in ("position", "lane", "session", "reset", "keep"):
                assert np.array_equal(getattr(own, column)[mine], getattr(schedule, column)[whole])
            at += mine.stop - mine.start
        assert at == hi - lo


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="batch_size=8 can't be shared equally by 3 ranks"):
        lanes_of(session_parallel(np.array([0, 3, 5, 9]), 8), 0, 3)


# --- The same numbers -------------------------------------------------------------------------------------


def every_setting(valid_seed):
    sent, add = [], Ranks.sum
    Ranks.sum = lambda ranks, tensors: sent.append(sum(t.numel() for t in tensors)) or add(ranks, tensors)
    results, most = {}, {}
    for name, config in (SETTINGS | COMPILED).items():
        sent.clear()
        results[name] = trained(distributed.fit, config, **(WITH_FAST if name in COMPILED else {}))
        most[name] = max(sent)
    validated = [trained(distributed.fit, replace(SMALL, n_epochs=6), valid=sessions(9, seed=valid_seed), patience=2,
                         **options) for options in ({}, WITH_FAST)]
    return {"results": results, "validated": validated, "sent": most}


@pytest.fixture(scope="module")
def compiled_once():
    """The compiled code is on disk, and not made by each of the ranks."""
    torch.set_default_dtype(torch.float64)
    for config in COMPILED.values():
        assert_same(trained(distributed.fit, config, **WITH_FAST), trained(gru4rec.fit, config))


@pytest.fixture(scope="module", params=[2, 4])
def ranks(request, compiled_once, tmp_path_factory):
    return launch(request.param, tmp_path_factory.mktemp("ranks") / "all", every_setting, 3)


@pytest.mark.claim("ranks-are-one")
@pytest.mark.parametrize("setting", SETTINGS | COMPILED)
def test_ranks_get_what_one_process_gets(ranks, setting):
    """Dropout and negatives too, to the end of epochs in which all ranks but one have nothing left to read."""
    config = (SETTINGS | COMPILED)[setting]
    alone = trained(gru4rec.fit, config)
    assert_same(ranks[0]["results"][setting], alone)
    untrained = gru4rec.fit(sessions(), replace(config, learning_rate=1e-12), device="cpu", seed=1, progress=False)
    assert (untrained.output - alone["tensors"]["output"]).abs().max() > 0.1


def test_replicas_are_the_same_bit_by_bit(ranks):
    for other in ranks[1:]:
        for setting, result in other["results"].items():
            for name, tensor in result["tensors"].items():
                assert torch.equal(tensor, ranks[0]["results"][setting]["tensors"][name])


def test_validation_is_shared_and_stops_all_ranks_alike(ranks):
    alone = trained(gru4rec.fit, replace(SMALL, n_epochs=6), valid=sessions(9, seed=3), patience=2)
    for rank in ranks:
        for validated in rank["validated"]:
            assert_same(validated, alone)


def test_what_is_sent_is_what_the_formula_says(ranks):
    for name, config in SETTINGS.items():
        model = gru4rec.GRU4Rec(sessions().item_ids, config)
        assert 8 * ranks[0]["sent"][name] == step_bytes(model)  # 8 bytes a number: this is double precision
    for name, config in COMPILED.items():
        assert 8 * ranks[0]["sent"][name] < step_bytes(gru4rec.GRU4Rec(sessions().item_ids, config))


def test_the_compiled_step_sends_each_row_once(ranks):
    """Of the table, and of the biases; where there are no extra negatives, the schedule says which these are."""
    data, config = sessions(), COMPILED["compiled, in-batch negatives"]
    schedule, d = session_parallel(data.offsets, config.batch_size), config.hidden_size
    rows = []
    for lo, hi in pairwise(schedule.offsets):
        at = schedule.position[lo:hi]
        targets = set(data.items[at + 1])
        rows.append(d * len(targets | set(data.items[at])) + len(targets))
    assert ranks[0]["sent"]["compiled, in-batch negatives"] == 1 + 3 * d * (2 * d + 2) + max(rows)


def test_one_rank_needs_no_launcher():
    assert_same(trained(distributed.fit, SMALL), trained(gru4rec.fit, SMALL))


def test_evaluation_is_that_of_the_metrics():
    data = sessions()
    model = gru4rec.GRU4Rec(data.item_ids, SMALL)
    for k in (1, 5):
        whole = metrics.evaluate_sessions(model, data, k=k)
        scores = distributed.evaluate_share(Ranks("cpu"), metrics.evaluate_sessions, model, data, k)
        assert scores == pytest.approx((whole.recall, whole.mrr))


# --- When a rank is lost ----------------------------------------------------------------------------------


def die():
    os._exit(1)


def hang(until):
    """Until the other rank has given this one up and written its error."""
    while not until.exists():
        time.sleep(0.1)
    die()


def lose_one_in_the_second_epoch(who, checkpoint, how=die, timeout=3600):
    epochs, done, rank, train_step = [], [], int(os.environ["RANK"]), distributed.train_step

    def step(*arguments):
        done.append(len(epochs))
        if done.count(2) > done.count(1) / 2 and rank == who:
            how()
        return train_step(*arguments)

    train_epoch = distributed.train_epoch
    distributed.train_epoch = lambda *arguments: epochs.append(1) or train_epoch(*arguments)
    distributed.train_step = step
    return trained(distributed.fit, replace(SMALL, n_epochs=3), checkpoint=checkpoint, timeout=timeout)


def go_on(checkpoint):
    written, save = [], loop.save_checkpoint
    loop.save_checkpoint = lambda *arguments: written.append(1) or save(*arguments)
    return trained(distributed.fit, replace(SMALL, n_epochs=3), checkpoint=checkpoint) | {"written": len(written)}


def saves(step):
    """How often an epoch of `SMALL` is saved from a step on: whenever another twentieth is done, and at its end."""
    n_steps = session_parallel(sessions().offsets, SMALL.batch_size).n_steps
    return len({t * 20 // n_steps for t in range(step + 1, n_steps)} - {step * 20 // n_steps}) + 1


def saved_epochs(checkpoint):
    return len(json.loads((checkpoint / "info.json").read_text())["history"])


@pytest.mark.parametrize("who", [3, 0])
def test_a_dead_rank_ends_the_run_and_fewer_go_on(tmp_path, who):
    """One of four ranks dies within an epoch; two take the run to where it would have gone, or the readable `fit`."""
    left = launch(4, tmp_path / "four", lose_one_in_the_second_epoch, who, tmp_path / "run")
    assert [rank for rank, result in enumerate(left) if result is None] == [who]
    for rank, result in enumerate(left):
        if rank != who:
            assert result["error"].startswith(f"RuntimeError: rank {rank} of 4 lost another in epoch 2: a process died")
            assert f"with checkpoint='{tmp_path / 'run'}'" in result["error"]
            # It was noticed when the connection went, and not by the timeout of an hour.
    assert saved_epochs(tmp_path / "run") == 1
    step = int(training.load_checkpoint(tmp_path / "run")[0]["mid_epoch.step"])
    whole = trained(gru4rec.fit, replace(SMALL, n_epochs=3))
    if who:
        results = launch(2, tmp_path / "two", go_on, tmp_path / "run")
        for result in results:
            assert_same(result, whole)
        assert [result["written"] for result in results] == [saves(step) + saves(0), 0]  # two epochs, by rank 0
    else:
        assert_same(trained(gru4rec.fit, replace(SMALL, n_epochs=3), checkpoint=tmp_path / "run"), whole)


def written_at_first(checkpoint):
    """A compiled run to its end, whose checkpoint stays what it was early in the first epoch."""
    written, save = [], loop.save_checkpoint
    loop.save_checkpoint = lambda *arguments: written.append(1) or len(written) > 5 or save(*arguments)
    return trained(distributed.fit, SMALL, checkpoint=checkpoint, **WITH_FAST)


def compiled_from(checkpoint):
    begun = []

    def epoch(*arguments):
        begun.append(arguments[6].start)
        fast.train_epoch_of_ranks(*arguments)

    return trained(distributed.fit, SMALL, checkpoint=checkpoint, epoch=epoch) | {"begun": begun}


def test_a_compiled_run_goes_on(compiled_once, tmp_path):
    """From two ranks that stopped within an epoch, on four, and on one with the readable step."""
    whole = launch(2, tmp_path / "two", written_at_first, tmp_path / "run")[0]
    assert saved_epochs(tmp_path / "run") == 0
    step = int(training.load_checkpoint(tmp_path / "run")[0]["mid_epoch.step"])
    assert step > 5
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    for result in launch(4, tmp_path / "four", compiled_from, tmp_path / "run"):
        assert_same(result, whole)
        assert result["begun"] == [step, 0]
    assert_same(trained(gru4rec.fit, SMALL, checkpoint=tmp_path / "other"), whole)


def test_a_rank_that_hangs_is_given_up(tmp_path):
    hanging = partial(hang, tmp_path / "two" / "0.pt")
    started = launch(2, tmp_path / "two", lose_one_in_the_second_epoch, 1, None, hanging, 20)
    assert "in epoch 2: a process died, and has said why if it could, or did not answer for 20 s" in started[0]["error"]
    assert "there is no checkpoint to go on from" in started[0]["error"]


def with_settings_of_its_own(how):
    rank = int(os.environ["RANK"])
    if how == "learning rate":
        return trained(distributed.fit, replace(SMALL, learning_rate=0.1 + rank))
    if how == "step":
        return trained(distributed.fit, SMALL, **(WITH_FAST if rank else {}))
    if how == "patience":
        return trained(distributed.fit, SMALL, valid=sessions(9), patience=1 + rank)
    return trained(distributed.fit, SMALL, checkpoint=how.with_name(f"{how.name}{rank}"))


@pytest.mark.parametrize("how", ["learning rate", "patience", "step", "checkpoint"])
def test_ranks_that_differ_say_so(tmp_path, how):
    if how == "checkpoint":  # rank 1 looks into another folder, as on a machine that does not share it
        trained(gru4rec.fit, replace(SMALL, n_epochs=2), checkpoint=tmp_path / "run0")
        how = tmp_path / "run"
    for result in launch(2, tmp_path / "two", with_settings_of_its_own, how):
        assert result["error"].startswith("ValueError: ranks [1] differ from rank 0 in data, settings, seed or")


# --- As a command -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("launcher", ["accelerate.commands.accelerate_cli launch --multi_gpu --num_processes 2 "
                                      "--num_machines 1 --mixed_precision no --dynamo_backend no -m",
                                      "torch.distributed.run --standalone --nproc_per_node 2 -m"])
def test_launched_from_the_command_line(tmp_path, launcher):
    data = sessions()
    session = np.repeat(np.arange(data.n_sessions), data.lengths)
    for half in ("train", "test"):
        pd.DataFrame({"session": session, "item": data.items, "time": data.times}).to_csv(
            tmp_path / f"{half}.csv", index=False)
    command = [sys.executable, "-m", *launcher.split(), "rnnbook.distributed", "--data", tmp_path, "--epochs", "2",
               "--batch-size", "8", "--checkpoint", tmp_path / "run", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600,
                          cwd=Path(distributed.__file__).parents[1],
                          env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "TQDM_DISABLE": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 ranks, 2 epochs") == 1
    assert saved_epochs(tmp_path / "run") == 2


NOTEBOOK = """
import json, sys
from accelerate import notebook_launcher
from rnnbook import distributed
from rnnbook.distributed import Ranks
from rnnbook.gru4rec import GRU4RecConfig, fit
from rnnbook.worlds import SessionWorld

train, config = SessionWorld().sample(60), GRU4RecConfig(hidden_size=8, batch_size=8, n_sample=5, n_epochs=2)

def job():
    distributed.fit(train, config, device="cpu", checkpoint=sys.argv[1])
    sys.stdout.write(f"{Ranks('cpu').n} ranks,")  # in one piece: the other writes into the same pipe

notebook_launcher(job, num_processes=2)
fits = [fit(train, config, device="cpu", checkpoint=checkpoint) for checkpoint in (sys.argv[1], None)]
print(json.dumps([[point["loss"] for point in model.history] for model in fits]))
"""


def test_launched_from_a_notebook(tmp_path):
    """What the launcher's processes leave in the checkpoint is what one process gets."""
    done = subprocess.run([sys.executable, "-c", NOTEBOOK, tmp_path / "run"], capture_output=True, text=True,
                          timeout=600, cwd=Path(distributed.__file__).parents[1],
                          env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "TQDM_DISABLE": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 ranks,") == 2
    launched, alone = json.loads(done.stdout[done.stdout.index("[["):])
    assert len(launched) == 2 and launched == pytest.approx(alone, rel=1e-5)
