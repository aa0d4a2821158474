"""What the chapters share to train: the loop, checkpoints, optimisers, devices and the check of settings."""

import contextlib
import json
import math
import os
import re
from dataclasses import asdict, dataclass, replace
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rnnbook import training
from rnnbook.training import (
    Adagrad,
    Adam,
    Count,
    Dropout,
    Rate,
    Share,
    Size,
    Weight,
    check_settings,
    load_checkpoint,
    save_checkpoint,
)

CPU = torch.device("cpu")


class Killed(Exception):
    pass


# --- The loop ---------------------------------------------------------------------------------------------


class Line(torch.nn.Module):
    """One number, which training moves, and a dropout that is there to be switched off."""

    def __init__(self, at=0.0):
        super().__init__()
        self.at = torch.nn.Parameter(torch.tensor([at]))
        self.dropout = torch.nn.Dropout()


def moves_by_chance(model, optimizer, seen=None):
    """An epoch that moves the number by what is drawn, through the optimiser; it notes (epoch, drawn, mode)."""
    def train_epoch(epoch, middle, save):
        drawn = torch.rand(())
        if seen is not None:
            seen.append((epoch, drawn.item(), model.training))
        optimizer.step("at", drawn[None])
        return drawn.item()

    return train_epoch


def scripted(scores, name="recall"):
    """A validation that gives these scores, one after the other."""
    left = iter(scores)
    return lambda: {name: next(left)}


def counts(model):
    """An epoch after which the number is the epoch's own, from 1."""
    def train_epoch(epoch, middle, save):
        model.at.data.fill_(epoch + 1.0)
        return 0.5

    return train_epoch


def trained(n_epochs=4, *, seed=0, model=None, epoch=None, **options):
    """(model, history) of a run that counts its epochs."""
    model = Line() if model is None else model
    options = {"optimizer": Adagrad(model.named_parameters(), lr=0.1), "identity": {}} | options
    return model, training.run(model, epoch or counts(model), n_epochs, seed=seed, **options)


def draws(seed, n_epochs=3):
    """What each epoch of a run draws first."""
    model, seen = Line(), []
    optimizer = Adagrad(model.named_parameters(), lr=0.1)
    trained(n_epochs, seed=seed, model=model, epoch=moves_by_chance(model, optimizer, seen), optimizer=optimizer)
    return [drawn for _, drawn, _ in seen]


def test_epochs_come_in_their_order_and_tell_of_themselves():
    model, seen, told = Line(), [], []
    optimizer = Adagrad(model.named_parameters(), lr=0.1)
    _, history = trained(3, model=model, epoch=moves_by_chance(model, optimizer, seen), optimizer=optimizer,
                         callback=told.append)
    assert [epoch for epoch, _, _ in seen] == [0, 1, 2]
    assert history == told == [{"epoch": epoch + 1, "loss": drawn} for epoch, drawn, _ in seen]
    assert trained(0)[1] == trained(0, validate=scripted([]), patience=1)[1] == []


def test_it_trains_in_training_mode_and_validates_and_returns_in_the_other():
    model, modes = Line().eval(), []
    optimizer, seen = Adagrad(model.named_parameters(), lr=0.1), []

    def validate():
        modes.append(model.training)
        return {"recall": 0.0}

    trained(2, model=model, epoch=moves_by_chance(model, optimizer, seen), optimizer=optimizer, validate=validate)
    assert [mode for _, _, mode in seen] == [True, True] and modes == [False, False] and not model.training
    assert not trained(0)[0].training


def test_each_epoch_has_random_numbers_of_its_own():
    assert draws(3) == draws(3)
    everything = [drawn for seed in (0, 1, 2) for drawn in draws(seed)]
    assert len(set(everything)) == len(everything)
    for seed in (7, 2**70):  # the numbers of the book's results; and no seed is too large
        for epoch, drawn in enumerate(draws(seed)):
            torch.manual_seed((seed * 1_000_003 + epoch) % 2**63)
            assert torch.rand(()).item() == drawn


def test_the_callers_random_numbers_go_on():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    draws(0)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("scores, better, kept", [
    ([0.1, 0.4, 0.3, 0.2], max, 2), ([0.1, 0.2, 0.3, 0.4], max, 4), ([4, 3, 2, 1], max, 1), ([4, 1, 2, 3], min, 2),
    ([0.1, 0.4, 0.4, 0.4], max, 2), ([2, 2, 2, 2], min, 1), ([3, 1, 2, 1], min, 2)])
def test_the_best_epoch_is_kept_and_of_equals_the_first(scores, better, kept):
    model, history = trained(validate=scripted(scores, "score"), metric="score", better=better)
    assert model.at.item() == kept
    assert [point["score"] for point in history] == scores and len(history) == 4


def test_without_validation_the_last_epoch_stays():
    model, history = trained(patience=1)
    assert model.at.item() == 4 and history[3] == {"epoch": 4, "loss": 0.5}


@pytest.mark.parametrize("patience, n_epochs", [(None, 7), (1, 3), (2, 6), (3, 7)])
def test_it_stops_after_that_many_epochs_without_a_gain(patience, n_epochs):
    """The best come second and fourth; the fifth is as good as the fourth, which is no gain."""
    scores = [0.1, 0.4, 0.3, 0.5, 0.5, 0.2, 0.3]
    model, history = trained(7, validate=scripted(scores), patience=patience)
    assert len(history) == n_epochs and model.at.item() == (2 if patience == 1 else 4)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_run(loss, tmp_path):
    told, losses = [], iter([1.0, loss])
    with pytest.raises(FloatingPointError, match=rf"the loss became {loss} in epoch 2.*lower the learning rate"):
        trained(epoch=lambda *_: next(losses), callback=told.append, checkpoint=tmp_path / "run")
    assert len(told) == len(load_checkpoint(tmp_path / "run")[1]["history"]) == 1


def chance(checkpoint=None, callback=None, n_epochs=5, scores=(0.1, 0.3, 0.2, 0.3, 0.1), patience=None):
    """A run that hangs on chance and on the optimiser's state: (model, history, epochs run, optimiser)."""
    model, seen = Line(), []
    optimizer = Adagrad(model.named_parameters(), lr=0.1, momentum=0.5)
    given = {"config": {"lr": 0.1, "layers": (3, 2)}, "train": "abc", "valid": None, "seed": 1}
    done = len(load_checkpoint(checkpoint)[1]["history"]) if checkpoint and checkpoint.exists() else 0
    history = training.run(model, moves_by_chance(model, optimizer, seen), n_epochs, seed=1, optimizer=optimizer,
                           identity=given, validate=scripted(scores[done:]), patience=patience, checkpoint=checkpoint,
                           callback=callback)
    return model, history, [epoch for epoch, _, _ in seen], optimizer


def die_at(epoch):
    def callback(point):
        if point["epoch"] == epoch:
            raise Killed

    return callback


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path, at):
    whole, history, _, optimizer = chance()
    with pytest.raises(Killed):
        chance(tmp_path / "run", die_at(at))
    model, resumed, ran, other = chance(tmp_path / "run")
    assert ran == list(range(at, 5)) and resumed == history
    assert torch.equal(model.at, whole.at)  # of epoch 2: also if that was before the kill
    for name, tensor in optimizer.tensors().items():
        assert torch.equal(other.tensors()[name], tensor) and tensor.any()
    assert chance(tmp_path / "run")[2] == []  # it is over
    assert chance(tmp_path / "run", n_epochs=6, scores=[0.1, 0.3, 0.2, 0.3, 0.1, 0.2])[2] == [5]


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    model, history, ran, _ = chance(tmp_path / "run", patience=1)
    assert ran == [0, 1, 2]
    again, same, ran, _ = chance(tmp_path / "run", patience=1)
    assert ran == [] and same == history and torch.equal(again.at, model.at)
    assert chance(tmp_path / "run", patience=2)[2] == [3]


def in_steps(folder, die_after=None, writes=True, n_epochs=2, n_steps=4):
    """A run that saves after every step, and may die after so many; what it drew, and what it was handed."""
    model, drawn, handed, packed = Line(), [], [], []

    def train_epoch(epoch, middle, save):
        handed.append({name: tensor.tolist() for name, tensor in middle.items()})
        first, total = (int(middle["step"]), middle["total"].item()) if middle else (0, 0.0)
        for step in range(first, n_steps):
            drawn.append(torch.rand(()).item())
            total += drawn[-1]
            model.at.data += drawn[-1]

            def pack(step=step, total=total):
                packed.append(step)
                return {"step": torch.tensor(step + 1), "total": torch.tensor(total, dtype=torch.float64)}

            save(pack)
            if die_after == len(drawn):
                raise Killed
        return total / n_steps

    history = None
    with contextlib.suppress(Killed):
        history = training.run(model, train_epoch, n_epochs, seed=3, checkpoint=folder, writes=writes, identity={},
                               optimizer=Adagrad(model.named_parameters(), lr=0.1))
    return SimpleNamespace(model=model, history=history, drawn=drawn, handed=handed, packed=packed)


@pytest.mark.parametrize("at", [1, 3, 4, 6])
def test_a_run_killed_within_an_epoch_goes_on_there(tmp_path, at):
    whole = in_steps(tmp_path / "whole")
    cut = in_steps(tmp_path / "run", die_after=at)
    assert cut.drawn == whole.drawn[:at]
    rest = in_steps(tmp_path / "run")
    assert rest.drawn == whole.drawn[at:] and rest.history == whole.history
    assert torch.equal(rest.model.at, whole.model.at)
    assert rest.handed[0]["step"] == (at - 1) % 4 + 1 and not any(rest.handed[1:])
    assert whole.handed == [{}, {}] and len(whole.history) == 2


def test_one_process_of_several_writes_and_all_pack(tmp_path):
    assert in_steps(tmp_path / "run", writes=False).packed == [0, 1, 2, 3] * 2
    assert list(tmp_path.iterdir()) == []
    assert in_steps(None).packed == []  # nothing to be saved
    in_steps(tmp_path / "run", die_after=3)
    assert len(in_steps(tmp_path / "run", writes=False).drawn) == 5  # it reads
    assert len(in_steps(tmp_path / "run").drawn) == 5


def test_a_checkpoint_of_another_run_is_refused_with_what_differs(tmp_path):
    given = {"config": {"lr": 0.1, "layers": (3, 2), "loss": "bpr"}, "train": "abc", "valid": None, "seed": 1}
    trained(1, checkpoint=tmp_path / "run", identity=given)
    _, history = trained(1, checkpoint=tmp_path / "run", identity=json.loads(json.dumps(given)))
    assert len(history) == 1
    for changes, says in (({"config": given["config"] | {"lr": 0.3}}, r"lr=0\.1, now 0\.3"),
                          ({"config": given["config"] | {"lr": 0.3, "loss": "top1"}},
                           r"lr=0\.1, now 0\.3, loss='bpr', now 'top1'"),
                          ({"config": given["config"] | {"layers": (3, 4)}}, r"layers=\[3, 2\], now \[3, 4\]"),
                          ({"config": given["config"] | {"more": 1}}, r"more=None, now 1"),
                          ({"train": "abd"}, "other training data"), ({"valid": "x"}, "other validation data"),
                          ({"seed": 2}, "seed=1, now 2"), ({"config": 3}, "config={.*}, now 3"),
                          ({"config": given["config"], "data": {"n": 1}}, r"data=None, now {'n': 1}"),
                          ({"stage": "two"}, "stage=None, now 'two'")):
        with pytest.raises(ValueError, match=rf"{tmp_path}/run: .* belongs to another run \({says}\); give"):
            trained(1, checkpoint=tmp_path / "run", identity=given | changes)


def test_a_damaged_checkpoint_is_to_be_deleted(tmp_path):
    trained(1, checkpoint=tmp_path / "run")
    (tmp_path / "run" / "info.json").write_text("{")
    with pytest.raises(ValueError, match=f"damaged.*cannot go on from it, delete {tmp_path / 'run'} to start again"):
        trained(1, checkpoint=tmp_path / "run")
    (tmp_path / "run" / "info.json").unlink()
    with pytest.raises(ValueError, match=r"info\.json: not there.*delete"):
        trained(1, checkpoint=tmp_path / "run")


def test_a_checkpoint_with_other_tensors_is_refused(tmp_path):
    trained(1, checkpoint=tmp_path / "run")
    tensors, _ = load_checkpoint(tmp_path / "run")
    save_file(tensors | {"model.at": torch.tensor([math.nan])}, tmp_path / "run" / "tensors.safetensors")
    with pytest.raises(ValueError, match=r"model\.at holds values that are not finite"):
        trained(1, checkpoint=tmp_path / "run")


def test_what_a_run_is_known_by():
    @dataclass
    class Settings:
        size: int = 3

    data, other = SimpleNamespace(sha256="a"), SimpleNamespace(sha256="b")
    assert training.identity(Settings(), data, other, 5, stage="two") == {
        "config": {"size": 3}, "train": "a", "valid": "b", "seed": 5, "stage": "two"}
    assert training.identity(Settings(), data, None, 5)["valid"] is None


def test_the_bar_counts_steps_and_can_be_hidden(monkeypatch):
    bars = []
    monkeypatch.setattr("rnnbook.training.loop.tqdm", lambda **options: bars.append(options))
    for shown in (True, False):
        training.progress_bar(7, shown)
    shown = {"total": 7, "initial": 0, "unit": "step", "leave": False}  # whether it is shown then, the environment says
    assert bars == [shown, shown | {"disable": True}]


# --- Checkpoints ------------------------------------------------------------------------------------------


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    leaf = torch.randn(3, 4, requires_grad=True)
    tensors = {"turned": leaf.T, "whole": torch.arange(5), "double": torch.rand(2, dtype=torch.float64)}
    info = {"epoch": 3, "name": "größer", "nested": {"list": [1, 2.5, None, True]}}
    save_checkpoint(tmp_path / "a" / "b", tensors, info)
    back, told = load_checkpoint(str(tmp_path / "a" / "b"))
    assert told == info and back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor) and back[name].dtype == tensor.dtype and not back[name].requires_grad
    assert names(tmp_path / "a" / "b") == ["info.json", "tensors.safetensors"] and names(tmp_path / "a") == ["b"]
    modes = {path.stat().st_mode for path in (tmp_path / "a" / "b").iterdir()}
    assert len(modes) == 1  # who may read the one may read the other


def test_a_save_replaces_the_folder_and_what_a_killed_one_left(tmp_path):
    for leftover in (".run.new", ".run.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "rest").touch()
    for epoch in (1, 2):
        save_checkpoint(tmp_path / "run", {"w": torch.full((2,), float(epoch))}, {"epoch": epoch})
        assert names(tmp_path) == ["run"]
        tensors, info = load_checkpoint(tmp_path / "run")
        assert tensors["w"].tolist() == [epoch, epoch] and info == {"epoch": epoch}
    (tmp_path / "run" / "notes").touch()
    with pytest.raises(ValueError, match=r"something else already \(notes\); give another folder"):
        save_checkpoint(tmp_path / "run", {}, {})
    assert names(tmp_path / "run") == ["info.json", "notes", "tensors.safetensors"]


@pytest.mark.parametrize("call, survives", [("mkdir", 1), ("save_file", 1), ("first", 1), ("second", 1), ("rmtree", 2)])
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path, monkeypatch, call, survives):
    from rnnbook.training import checkpoints

    save_checkpoint(tmp_path / "run", {"w": torch.ones(1)}, {"epoch": 1})
    replace_, rmtree, renamed, removed = os.replace, checkpoints.shutil.rmtree, [], []

    def die(*_, **__):
        raise Killed

    def replace_or_die(source, target):
        renamed.append(source)
        if len(renamed) == {"first": 1, "second": 2}.get(call):
            raise Killed
        replace_(source, target)

    def rmtree_or_die(*args, **options):
        removed.append(args)
        if call == "rmtree" and len(removed) == 3:  # two are of what an earlier kill left
            raise Killed
        rmtree(*args, **options)

    with monkeypatch.context() as context:
        context.setattr(os, "replace", replace_or_die)
        context.setattr(checkpoints.shutil, "rmtree", rmtree_or_die)
        if call == "mkdir":
            context.setattr(checkpoints.Path, "mkdir", die)
        if call == "save_file":
            context.setattr(checkpoints, "save_file", die)
        with pytest.raises(Killed):
            save_checkpoint(tmp_path / "run", {"w": torch.full((1,), 2.0)}, {"epoch": 2})
    assert training.find_checkpoint(tmp_path / "run")
    tensors, info = load_checkpoint(tmp_path / "run")
    assert (tensors["w"].item(), info["epoch"]) == (survives, survives)
    save_checkpoint(tmp_path / "run", {"w": torch.zeros(1)}, {"epoch": 3})
    assert names(tmp_path) == ["run"] and load_checkpoint(tmp_path / "run")[1] == {"epoch": 3}


def test_what_is_no_checkpoint_is_left_alone(tmp_path):
    (tmp_path / "empty").mkdir()
    assert not training.find_checkpoint(tmp_path / "empty") and not training.find_checkpoint(tmp_path / "nothing")
    assert names(tmp_path) == ["empty"]
    (tmp_path / "full").mkdir()
    for name in "abcd":
        (tmp_path / "full" / name).touch()
    (tmp_path / "full" / "info.json").touch()  # one of two does not make it ours
    for path, says in (("full", r"full: .*\(a, b, c\)"), ("full/a", r"full/a: .*\(a\)")):
        for use in (training.find_checkpoint, lambda path: save_checkpoint(path, {"w": torch.ones(1)}, {})):
            with pytest.raises(ValueError, match=says):
                use(tmp_path / path)
    assert names(tmp_path / "full") == ["a", "b", "c", "d", "info.json"]
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "info.json").touch()  # of a checkpoint that lost its half: it may be written anew
    assert training.find_checkpoint(tmp_path / "half")
    save_checkpoint(tmp_path / "half", {}, {})


def test_a_damaged_checkpoint_names_its_file(tmp_path):
    def fresh():
        save_checkpoint(tmp_path / "run", {"w": torch.ones(1)}, {})
        return tmp_path / "run"

    for part in ("info.json", "tensors.safetensors"):
        (fresh() / part).unlink()
        with pytest.raises(FileNotFoundError, match=f"{part}: not there; a checkpoint is a folder with"):
            load_checkpoint(tmp_path / "run")
    for content in (b"{", b"\xff"):
        (fresh() / "info.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"info\.json is damaged: not JSON .*use another copy, or train"):
            load_checkpoint(tmp_path / "run")
    (fresh() / "tensors.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ValueError, match=r"tensors\.safetensors is damaged: not a safetensors file .*or train again"):
        load_checkpoint(tmp_path / "run")


@dataclass(frozen=True)
class PlaneConfig:
    size: int = 2
    slope: float = 0.5


class Plane(torch.nn.Module):
    """A model as the chapters have them, with a count that it needs besides its settings."""

    def __init__(self, item_ids, config, device="cpu", n_users=1):
        super().__init__()
        self.config, self.item_ids, self.history = config, np.array(item_ids), []
        self.weight = torch.nn.Parameter(torch.rand(len(item_ids), config.size, device=device))
        self.register_buffer("seen", torch.zeros(n_users, dtype=torch.int64, device=device))


def load_plane(path, extra_info=("n_users",)):
    return training.load_model(Plane, PlaneConfig, path, "cpu", extra_info)


@pytest.fixture
def plane(tmp_path):
    model = Plane([3, 7, 9], PlaneConfig(size=4), n_users=5)
    model.history = [{"epoch": 1, "loss": 0.25}]
    training.save_model(model, tmp_path / "plane", n_users=5)
    return model


def test_a_saved_model_comes_back(plane, tmp_path):
    twin = load_plane(tmp_path / "plane")
    assert type(twin) is Plane and twin.config == plane.config and twin.history == plane.history
    assert twin.item_ids.tolist() == [3, 7, 9] and not twin.training
    for name, tensor in plane.state_dict().items():
        assert torch.equal(twin.state_dict()[name], tensor)
    assert isinstance(twin.weight, torch.nn.Parameter) and twin.weight.requires_grad
    assert load_checkpoint(tmp_path / "plane")[1] == {
        "format": 2, "model": "Plane", "config": asdict(plane.config), "history": plane.history, "item_ids": [3, 7, 9],
        "n_users": 5}


def test_extra_tensors_are_saved_beside_the_parameters(plane, tmp_path):
    training.save_model(plane, tmp_path / "plane", {"last": torch.arange(3)}, n_users=5)
    tensors, _ = load_checkpoint(tmp_path / "plane")
    assert tensors.keys() == {"weight", "seen", "last"} and tensors["last"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"other tensors .*; missing are \[\], not known are \['last'\]"):
        load_plane(tmp_path / "plane")


@pytest.mark.parametrize(("changes", "message"), [
    ({"model": "Line"}, "not of a Plane but of a Line; load it with that class"),
    ({"model": None}, "not of a Plane; give the folder that its save"), ({"item_ids": None}, "not of a Plane"),
    ({"n_users": None}, "not of a Plane"), ({"config": None}, "not of a Plane"),
    ({"config": {"size": 4, "slope": 0.5, "more": 1}}, "of rnnbook, with what this one does not know .more")])
def test_a_model_of_another_kind_is_refused(plane, tmp_path, changes, message):
    tensors, info = load_checkpoint(tmp_path / "plane")
    info = {name: value for name, value in (info | changes).items() if value is not None}
    save_checkpoint(tmp_path / "plane", tensors, info)
    with pytest.raises(ValueError, match=message):
        load_plane(tmp_path / "plane")


def test_a_setting_that_an_older_version_did_not_have_gets_its_default(plane, tmp_path):
    tensors, info = load_checkpoint(tmp_path / "plane")
    save_checkpoint(tmp_path / "plane", tensors, info | {"config": {"size": plane.config.size}})
    with pytest.warns(UserWarning, match="plane: saved by an older version .*; taken as slope=0.5"):
        twin = load_plane(tmp_path / "plane")
    assert twin.config == PlaneConfig(size=plane.config.size)


def test_a_model_without_history_has_an_empty_one(plane, tmp_path):
    tensors, info = load_checkpoint(tmp_path / "plane")
    del info["history"]
    assert training.build_model(Plane, PlaneConfig, tensors, info, "here", "cpu", ["n_users"]).history == []


def test_a_built_model_owns_its_tensors(plane):
    info = {"model": "Plane", "config": asdict(plane.config), "item_ids": [3, 7, 9], "n_users": 5}
    twin = training.build_model(Plane, PlaneConfig, plane.state_dict(), info, "here", "cpu", ["n_users"])
    with torch.no_grad():
        twin.weight.fill_(9)
    assert (plane.weight < 1).all()


def test_shapes_are_compared_before_anything_is_allocated(plane, tmp_path):
    tensors, info = load_checkpoint(tmp_path / "plane")
    save_checkpoint(tmp_path / "plane", tensors, info | {"config": {"size": 10**12, "slope": 0.5}})
    with pytest.raises(ValueError, match=r"weight is \(3, 4\) torch.float32, the model needs \(3, 1000000000000\)"):
        load_plane(tmp_path / "plane")


def test_tensors_must_have_the_names_shapes_and_types_and_be_finite():
    good = {"w": torch.zeros(2), "n": torch.zeros(3, dtype=torch.int64)}
    training.check_tensors(good, {name: torch.ones_like(t) for name, t in good.items()}, "here")
    for changes, says in (({"w": torch.zeros(3)}, r"w is \(3,\) torch.float32, the model needs \(2,\) torch.float32"),
                          ({"w": torch.zeros(2, dtype=torch.float64)}, r"w is \(2,\) torch.float64, the model needs"),
                          ({"n": torch.zeros(3)}, r"n is \(3,\) torch.float32, the model needs \(3,\) torch.int64"),
                          ({"w": torch.tensor([0.0, math.inf])}, "w holds values that are not finite"),
                          ({"w": torch.tensor([math.nan, 0.0])}, "w holds values that are not finite"),
                          ({"b": torch.zeros(1)}, r"other tensors .*; missing are \[\], not known are \['b'\]")):
        with pytest.raises(ValueError, match=f"^here: {says}"):
            training.check_tensors(good | changes, good, "here")
    with pytest.raises(ValueError, match=r"missing are \['n'\], not known are \[\]"):
        training.check_tensors({"w": good["w"]}, good, "here")


def test_a_file_is_no_pickle(plane, tmp_path):
    path = tmp_path / "plane" / "tensors.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(path).items()}, path)
    assert torch.equal(load_plane(tmp_path / "plane").weight, 2 * plane.weight)


# --- Optimisers -------------------------------------------------------------------------------------------


def adagrad_by_rows(table, steps, lr, momentum):
    """Adagrad as its text says it, number by number: ``steps`` are (rows, gradients) or (None, gradient)."""
    p = [list(row) for row in table.tolist()]
    acc, v = [[0.0] * len(row) for row in p], [[0.0] * len(row) for row in p]
    for rows, grad in steps:
        whole = {}
        for row, g in zip(range(len(p)) if rows is None else rows.tolist(), grad.tolist()):
            whole[row] = [a + b for a, b in zip(whole.get(row, [0.0] * len(g)), g)]
        for row, g in whole.items():
            for i, x in enumerate(g):
                acc[row][i] += x * x
                v[row][i] = momentum * v[row][i] - lr * x / math.sqrt(acc[row][i] + 1e-6)
                p[row][i] += v[row][i]
    return torch.tensor(p, dtype=torch.float64), torch.tensor(acc, dtype=torch.float64)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_adagrad_is_what_its_text_says(momentum):
    table = torch.randn(5, 3, dtype=torch.float64)
    rows = [torch.tensor([4, 0, 4, 4]), torch.tensor([1, 0]), torch.tensor([2, 2]), torch.tensor([0, 4, 1])]
    steps = [(row, 1e-3 * torch.randn(len(row), 3, dtype=torch.float64)) for row in rows]
    dense = [(None, torch.randn(5, 3, dtype=torch.float64)) for _ in range(3)]
    for done, step in ((steps, lambda optimizer, row, grad: optimizer.step_rows("table", row, grad)),
                       (dense, lambda optimizer, row, grad: optimizer.step("table", grad))):
        p = table.clone()
        optimizer = Adagrad({"table": p}, lr=0.1, momentum=momentum)
        for row, grad in done:
            step(optimizer, row, grad.clone())
        expected, acc = adagrad_by_rows(table, done, 0.1, momentum)
        torch.testing.assert_close(p, expected, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(optimizer.tensors()["acc.table"], acc, rtol=1e-12, atol=1e-16)
    assert torch.equal(adagrad_by_rows(table, steps, 0.1, momentum)[0][3], table[3])  # nobody asked for row 3


def test_adagrad_has_no_momentum_unless_asked():
    optimizer = Adagrad({"w": torch.zeros(2)}, lr=0.1)
    assert optimizer.momentum == 0 and list(optimizer.tensors()) == ["acc.w"]


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_adagrads_state_can_be_restored(momentum):
    def some_steps(optimizer, n):
        for _ in range(n):
            optimizer.step("b", torch.randn(3))
            optimizer.step_rows("w", torch.tensor([1, 0, 1]), torch.randn(3, 2))

    parameters = {"w": torch.randn(4, 2), "b": torch.randn(3)}
    first = Adagrad(parameters, lr=0.1, momentum=momentum)
    some_steps(first, 3)
    kinds = ("acc", "velocity") if momentum else ("acc",)
    assert sorted(first.tensors()) == sorted(f"{kind}.{name}" for kind in kinds for name in "wb")
    second = Adagrad({name: p.clone() for name, p in parameters.items()}, lr=0.1, momentum=momentum)
    for name, tensor in second.tensors().items():
        tensor.copy_(first.tensors()[name])
    for optimizer in (first, second):
        torch.manual_seed(4)
        some_steps(optimizer, 2)
    for name, p in parameters.items():
        assert torch.equal(second.parameters[name], p)


def test_adam_is_torchs():
    """Dense parameters by Adam, tables by SparseAdam with a rate of their own, both slowed down on the way."""
    start = {"w": torch.randn(3), "table": torch.randn(6, 2), "other": torch.randn(4, 2)}
    ours, theirs = ({name: p.clone().requires_grad_() for name, p in start.items()} for _ in range(2))
    optimizer = Adam(ours, lr=0.1, tables={"table"}, table_lr=0.03)
    dense = torch.optim.Adam([theirs["w"], theirs["other"]], 0.1)
    sparse = torch.optim.SparseAdam([theirs["table"]], 0.03)
    for step in range(6):
        if step == 4:
            optimizer.slow_down(0.25)
            dense.param_groups[0]["lr"], sparse.param_groups[0]["lr"] = 0.025, 0.0075
        rows = torch.tensor([step % 3, 4, 4])
        for parameters in (ours, theirs):
            looked_up = torch.nn.functional.embedding(rows, parameters["table"], sparse=True)
            loss = (looked_up**2).sum() + ((parameters["w"] - 1)**2).sum() + (parameters["other"]**3).sum()
            loss.backward()
        for each in (optimizer, dense, sparse):
            each.step()
        for each in (optimizer, dense, sparse):
            each.zero_grad()
        assert all(p.grad is None for p in ours.values())
        for name in start:
            torch.testing.assert_close(ours[name], theirs[name])
    assert torch.equal(ours["table"][5], start["table"][5]) and not torch.equal(ours["table"][0], start["table"][0])
    optimizer.slow_down(1)  # of the rates given, not of the last
    assert [part.param_groups[0]["lr"] for part in optimizer.parts] == [0.1, 0.03]


def test_adams_tables_have_the_other_rate_if_none_is_given():
    table = torch.randn(4, 2, requires_grad=True)
    before = table.detach().clone()
    optimizer = Adam({"w": torch.zeros(1, requires_grad=True), "table": table}, lr=0.2, tables={"table"})
    torch.nn.functional.embedding(torch.tensor([1]), table, sparse=True).sum().backward()
    optimizer.step()
    torch.testing.assert_close(before - table.detach(), torch.tensor([[0., 0], [0.2, 0.2], [0, 0], [0, 0]]))
    optimizer.slow_down(0.5)
    assert [part.param_groups[0]["lr"] for part in optimizer.parts] == [0.1, 0.1]


def test_adams_state_is_there_from_the_start_and_can_be_restored():
    def some_steps(optimizer, w, table, n):
        for _ in range(n):
            optimizer.zero_grad()
            ((w - torch.randn(2))**2).sum().backward()
            torch.nn.functional.embedding(torch.randint(3, (2,)), table, sparse=True).square().sum().backward()
            optimizer.step()

    first = {"w": torch.ones(2, requires_grad=True), "table": torch.ones(3, 2, requires_grad=True)}
    optimizer = Adam(first, lr=0.1, tables={"table"})
    state = optimizer.tensors()
    assert sorted(state) == [f"{kind}.{name}" for kind in ("exp_avg", "exp_avg_sq", "step") for name in ("table", "w")]
    assert not any(tensor.any() for tensor in state.values())
    some_steps(optimizer, *first.values(), 3)
    second = {name: p.detach().clone().requires_grad_() for name, p in first.items()}
    other = Adam(second, lr=0.1, tables={"table"})
    for name, tensor in other.tensors().items():
        tensor.copy_(optimizer.tensors()[name])
    for parameters, each in ((first, optimizer), (second, other)):
        torch.manual_seed(4)
        some_steps(each, *parameters.values(), 2)
    for name, p in first.items():
        assert torch.equal(second[name], p)
    assert optimizer.tensors()["step.w"].item() == 5


@pytest.mark.parametrize("make", [Adagrad, Adam])
def test_a_step_inside_autocast_is_seen_by_the_next(make):
    layer, x = torch.nn.Linear(3, 2), torch.ones(1, 3)
    optimizer = make(layer.named_parameters(), lr=0.5)
    ways = [lambda grad: optimizer.step("weight", grad),
            lambda grad: optimizer.step_rows("weight", torch.arange(2), grad)]
    for way in ways if make is Adagrad else [lambda grad: optimizer.step()]:
        with torch.autocast("cpu", torch.bfloat16):
            layer.zero_grad()
            before = layer(x)
            before.sum().backward()
            way(layer.weight.grad)
            after = layer(x)
        assert (after < before - 0.5).all()


# --- Devices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuda, mps, expected", [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"),
                                                 (False, False, "cpu")])
def test_auto_takes_the_first_there_is(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert training.pick_device() == training.pick_device("auto") == torch.device(expected)
    assert training.pick_device("cpu") == training.pick_device(CPU) == CPU
    assert training.pick_device("meta") == torch.device("meta")


def test_seeded_numbers_are_the_seeds_and_the_callers_go_on_also_after_an_error():
    torch.manual_seed(9)
    expected = torch.rand(2)
    torch.manual_seed(9)
    with contextlib.suppress(Killed), training.seeded(3, CPU):
        inside = torch.rand(2)
        raise Killed
    assert torch.equal(torch.rand(2), expected)
    torch.manual_seed(3)
    assert torch.equal(inside, torch.rand(2))


@pytest.mark.parametrize("kind, forked", [("cpu", []), ("cuda", ["it"]), ("mps", [])])
def test_the_numbers_of_the_device_are_seeded_too(monkeypatch, kind, forked):
    given = []
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: given.append(devices) or torch.no_grad())
    device = SimpleNamespace(type=kind)
    with training.seeded(3, device):
        pass
    assert given == [[device for _ in forked]]


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_the_random_state_is_that_of_the_cpu_and_of_the_device(monkeypatch, kind):
    states = {}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.tensor([1]))
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: torch.tensor([2]))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: states.update(cuda=state.item()))
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: states.update(mps=state.item()))
    device = SimpleNamespace(type=kind)
    state = training.random_state(device)
    assert state.keys() == {"cpu", kind}
    first = torch.rand(3)
    training.set_random_state(state, device)
    assert torch.equal(torch.rand(3), first)
    assert states == {"cpu": {}, "cuda": {"cuda": 1}, "mps": {"mps": 2}}[kind]
    states.clear()
    training.set_random_state(state, CPU)  # a checkpoint from another kind of machine
    training.set_random_state({}, device)
    assert states == {}


# --- Settings ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config:
    """One field of every kind that a chapter uses."""

    size: Size = 1
    count: Count = 0
    rate: Rate = 0.5
    weight: Weight = 0.0
    share: Share = 0.0
    dropout: Dropout = 0.0
    plain_int: int = -3
    plain_float: float = -0.5
    flag: bool = False
    word: str = "any"
    loss: Literal["bpr", "top1", 3] = "bpr"
    layers: tuple[Size, ...] = (1,)
    width: Size | tuple[Size, ...] = 1
    clip: Rate | None = None
    mixed: Literal["auto"] | Share | None = "auto"

    def __post_init__(self):
        check_settings(self)


ALLOWED = {
    "size": ([1, 2, 10**9], [0, -1, 1.0, True, "1", None, (1,), math.inf, math.nan], "an integer of at least 1"),
    "count": ([0, 1], [-1, 0.0, False, None], "an integer of at least 0"),
    "rate": ([1e-9, 1, 2.5], [0, 0.0, -1e-9, True, "0.1", None, math.nan, math.inf], "a number above 0"),
    "weight": ([0, 0.0, 7.5], [-1e-9, math.inf, math.nan, True], "a number of at least 0"),
    "share": ([0, 0.5, 1, 1.0], [-1e-9, 1 + 1e-9, math.nan, True], "a number of at least 0 and at most 1"),
    "dropout": ([0, 0.999], [1, 1.0, -0.1, 2, math.nan], "a number of at least 0 and below 1"),
    "plain_int": ([0, -5], [0.5, True, math.nan], "an integer"),
    "plain_float": ([0, -5, 2.5], [math.nan, math.inf, -math.inf, True, "1", 1j], "a number"),
    "flag": ([True, False], [0, 1, "no", None], "True or False"),
    "loss": (["bpr", "top1", 3], ["BPR", 3.0, True, None, "3"], "one of bpr, top1, 3"),
    "layers": ([(1,), (3, 2)], [(), (0,), (3, 0), (3, 2.0), 3, (None,)], "a tuple, each an integer of at least 1"),
    "width": ([4, (4, 2)], [0, (), (4, 0), 4.0, True, None],
              "an integer of at least 1 or a tuple, each an integer of at least 1"),
    "clip": ([None, 0.1], [0, -1, "none", math.nan, False], "a number above 0 or None"),
    "mixed": (["auto", None, 0, 1], ["a", 2, True, -1], "one of auto or a number of at least 0 and at most 1 or None")}


@pytest.mark.parametrize("field", ALLOWED)
def test_a_setting_is_refused_with_field_value_and_what_is_allowed(field):
    good, bad, allowed = ALLOWED[field]
    for value in good:
        kept = getattr(Config(**{field: value}), field)
        assert kept == value and type(kept) is type(value)
    for value in bad:
        with pytest.raises(ValueError, match=f"^{re.escape(f'{field}={value!r}; it must be {allowed}')}$"):
            Config(**{field: value})
        with pytest.raises(ValueError, match=f"{field}="):
            replace(Config(), **{field: value})


def test_a_plain_type_says_its_name():
    assert Config(word="").word == ""
    with pytest.raises(ValueError, match=r"word=3; it must be .*str"):
        Config(word=3)


def test_numbers_of_numpy_become_pythons_and_lists_tuples():
    config = Config(size=np.int64(4), rate=np.float32(0.5), flag=np.bool_(True), layers=[np.int32(3), 2], width=[5],
                    weight=np.array(2.0), share=torch.tensor(0.25), clip=np.float64(1.5))
    expected = {"size": 4, "rate": 0.5, "flag": True, "layers": (3, 2), "width": (5,), "weight": 2.0, "share": 0.25,
                "clip": 1.5}
    for field, value in expected.items():
        kept = getattr(config, field)
        assert kept == value and type(kept) is type(value)
    assert [type(size) for size in config.layers] == [int, int]
    assert Config(**json.loads(json.dumps(asdict(config)))) == config
    for field, value in (("size", np.int64(0)), ("size", np.float64(1.0)), ("size", np.bool_(True)),
                         ("rate", np.float64("nan")), ("rate", np.array([0.5])), ("layers", [])):
        with pytest.raises(ValueError, match=f"{field}="):
            Config(**{field: value})


@pytest.mark.parametrize("limit, inside, outside, words", [
    ({"at_least": 2}, [2, 3], [1.999], "a number of at least 2"), ({"above": 2}, [2.001], [2, 1], "a number above 2"),
    ({"at_most": 2}, [2, -9], [2.001], "a number at most 2"), ({"below": 2}, [1.999], [2, 3], "a number below 2"),
    ({"above": 0, "at_most": 0.25}, [0.25], [0, 0.26], "a number above 0 and at most 0.25"),
    ({}, [-9, 9], [], "a number")])
def test_limits(limit, inside, outside, words):
    limit = training.settings.Limit(**limit)
    assert limit.says("a number") == words
    assert all(map(limit.holds, inside)) and not any(map(limit.holds, outside))
