"""Checkpoints and saved models: tensors as safetensors, everything else as JSON; pickle is not used."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import warnings
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rnnbook.training.devices import pick_device

FORMAT = 2  # of saved models; 1 had no number
PARTS = ("tensors.safetensors", "info.json")  # the files of a checkpoint


def save_checkpoint(path, tensors, info):
    """Write ``path/tensors.safetensors`` and ``path/info.json``. The folder is never incomplete.

    If the process is killed, at any moment, either the new checkpoint or the previous one remains. The previous one
    may then have a temporary name; `find_checkpoint` renames it back.

    Parameters
    ----------
    path : path
        The folder. A checkpoint that is there is replaced.
    tensors : dict of str to Tensor
    info : dict
        In types that JSON has.

    Raises
    ------
    ValueError
        There is something at ``path`` that is not a checkpoint, or a number of a tensor is not finite.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/made", {"w": torch.ones(2)}, {"epoch": 3})
    ...     print(sorted(path.name for path in Path(folder, "made").iterdir()))
    ['info.json', 'tensors.safetensors']
    """
    path = Path(path)
    _check_folder(path)
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ValueError(f"{path}: not written, and what was there is kept, since the training has diverged: some of "
                         "the model's numbers are not finite; lower the learning rate, and give another folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    new = _beside(path, "new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, new / "tensors.safetensors")
        (new / "info.json").write_text(json.dumps(info, indent=1), encoding="utf-8")
    except (OSError, SafetensorError) as error:  # for example, if the disk is full
        shutil.rmtree(new, ignore_errors=True)
        raise OSError(f"{path} cannot be written: {error}") from error
    shutil.copymode(new / "info.json", new / "tensors.safetensors")  # safetensors makes it readable for the owner only
    move_checkpoint(new, path)


def move_checkpoint(new, path):
    """Move a whole checkpoint to ``path``. If the process is killed, the earlier one there has a temporary name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/made", {"w": torch.ones(2)}, {"epoch": 3})
    ...     move_checkpoint(f"{folder}/made", f"{folder}/kept")
    ...     find_checkpoint(f"{folder}/made"), find_checkpoint(f"{folder}/kept")
    (False, True)
    """
    path = Path(path)
    old = _beside(path, "old")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
    os.replace(new, path)
    shutil.rmtree(old, ignore_errors=True)


def _beside(path, which):
    """The temporary name of the new or the old checkpoint. It is hidden, so it cannot clash with a user's run.old."""
    return path.with_name(f".{path.name}.{which}")


def _check_folder(path):
    """Raise ValueError if saving would overwrite something at ``path`` that is not a checkpoint."""
    others = [path.name] if path.is_file() else sorted({p.name for p in path.glob("*")} - set(PARTS))
    if any(not name.startswith(".") for name in others):  # such as .DS_Store
        raise ValueError(f"{path}: there is something else already ({', '.join(others[:3])}); give another folder")


def find_checkpoint(path):
    """Whether there is a checkpoint at ``path``: bool. An empty folder is not a checkpoint.

    If a killed process left the checkpoint under its temporary name, it is renamed first.

    Raises
    ------
    ValueError
        There is something else at ``path``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     before = find_checkpoint(f"{folder}/made")
    ...     save_checkpoint(f"{folder}/.made.old", {"w": torch.ones(2)}, {"epoch": 3})
    ...     before, find_checkpoint(f"{folder}/made"), load_checkpoint(f"{folder}/made")[1]
    (False, True, {'epoch': 3})
    """
    path = Path(path)
    if not path.exists():  # perhaps a process was killed between the two renames of save_checkpoint
        with contextlib.suppress(FileNotFoundError):  # usually there is none; or another rank has renamed it already
            os.replace(_beside(path, "old"), path)
    _check_folder(path)
    return any(path.glob("*"))


def load_checkpoint(path):
    """Read a checkpoint of `save_checkpoint`.

    Returns
    -------
    tensors : dict of str to Tensor, on the CPU
    info : dict

    Raises
    ------
    FileNotFoundError
        One of the two files is missing.
    ValueError
        A file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/made", {"w": torch.ones(2)}, {"epoch": 3})
    ...     load_checkpoint(f"{folder}/made")
    ({'w': tensor([1., 1.])}, {'epoch': 3})
    """
    path = Path(path)
    for part in PARTS:
        if not (path / part).is_file():
            raise FileNotFoundError(f"{path / part}: not there; a checkpoint is a folder with tensors.safetensors "
                                    "and info.json")
    try:
        info = json.loads((path / "info.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path / 'info.json'} is damaged: not JSON ({error}); use another copy, or "
                         "train again") from error
    try:
        return load_file(path / "tensors.safetensors"), info
    except SafetensorError as error:
        raise ValueError(f"{path / 'tensors.safetensors'} is damaged: not a safetensors file ({error}); "
                         "use another copy, or train again") from error


def save_model(model, path, extra_tensors=None, **extra_info):
    """Save a model as a checkpoint.

    Parameters
    ----------
    model : torch.nn.Module
        With ``config`` (a dataclass), ``item_ids`` (an array) and ``history`` (a list). If it has an
        ``optimizer_state`` (a dict of tensors), this is saved too, so that a later training can go on from it.
    path : path
        The folder.
    extra_tensors : dict of str to Tensor, optional
        Tensors to save that are not parameters.
    **extra_info
        Other arguments that are needed to build the model, in types that JSON has.

    Examples
    --------
    ``extra_info`` is stored together with the settings.

    >>> import tempfile
    >>> from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(GRU4Rec([3, 7], GRU4RecConfig(hidden_size=2)), f"{folder}/model",
    ...                shop="tents")
    ...     _, info = load_checkpoint(f"{folder}/model")
    >>> info["model"], info["item_ids"], info["config"]["hidden_size"], info["shop"]
    ('GRU4Rec', [3, 7], 2, 'tents')
    """
    info = {"format": FORMAT, "model": type(model).__name__, "config": asdict(model.config), "history": model.history,
            "item_ids": model.item_ids.tolist(), **extra_info}
    optimizer = {f"optimizer.{name}": t for name, t in getattr(model, "optimizer_state", {}).items()}
    save_checkpoint(path, model.state_dict() | optimizer | (extra_tensors or {}), info)


def load_model(cls, config_cls, path, device, extra_info=()):
    """Read a model that `save_model` wrote.

    Parameters
    ----------
    cls : type
        The class of the model: ``cls(item_ids, config, device, **extra_info)``.
    config_cls : type
        The dataclass of its settings.
    path : path
        The folder.
    device : str or torch.device
        As in `pick_device`.
    extra_info : sequence of str
        The names of the other arguments that are needed to build the model.

    Returns
    -------
    torch.nn.Module
        In evaluation mode. A setting that the folder does not have, because it was saved by an older version, gets
        its default, with a warning.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        The folder has another model, its tensors do not match its settings, or a file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig
    >>> model = GRU4Rec([3, 7], GRU4RecConfig(hidden_size=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, f"{folder}/model")
    ...     twin = load_model(GRU4Rec, GRU4RecConfig, f"{folder}/model", "cpu")
    >>> torch.equal(twin.output, model.output)
    True
    """
    tensors, info = load_checkpoint(path)
    return build_model(cls, config_cls, tensors, info, path, device, extra_info)


def build_model(cls, config_cls, tensors, info, path, device, extra_info=()):
    """Build a model from a checkpoint that was already read.

    Parameters
    ----------
    tensors, info
        As `load_checkpoint` returns them.
    cls, config_cls, path, device, extra_info
        As in `load_model`; ``path`` is named in errors.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    ValueError
        The checkpoint has another model, or its tensors do not match its settings.

    Examples
    --------
    >>> from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig
    >>> model = GRU4Rec([3, 7], GRU4RecConfig(hidden_size=2))
    >>> info = {"model": "GRU4Rec", "item_ids": [3, 7], "config": asdict(model.config),
    ...         "history": []}
    >>> twin = build_model(GRU4Rec, GRU4RecConfig, model.state_dict(), info, "no folder", "cpu")
    >>> torch.equal(twin.output, model.output)
    True
    """
    wanted = {"config", "item_ids", *extra_info}
    kind = info.get("model", "")
    if kind != cls.__name__ or not wanted <= info.keys():
        rest = "; give the folder that its save(…) wrote" if kind in ("", cls.__name__) else (
            f" but of a {kind}; load it with that class")
        raise ValueError(f"{path}: info.json is not of a {cls.__name__}{rest}")
    config = _config_of(config_cls, info, path)
    # As everywhere, text ids are objects: with a fixed width, each would be as long as the longest.
    texts = any(isinstance(item, str) for item in info["item_ids"][:1])
    item_ids = np.array(info["item_ids"], dtype=object if texts else None)
    # Built on the device "meta", the model has shapes but needs no memory before they are checked.
    model = cls(item_ids, config, "meta", **{name: info[name] for name in extra_info})
    weights = {name: t for name, t in tensors.items() if not name.startswith("optimizer.")}
    check_tensors(weights, model.state_dict(), path)
    optimizer = {name.removeprefix("optimizer."): t for name, t in tensors.items() if name not in weights}
    of_weights = {f"{kind}.{name}": t for kind in ("acc", "velocity") for name, t in weights.items()}
    check_tensors(optimizer, {name: of_weights.get(name, torch.empty(0)) for name in optimizer}, path)
    device = pick_device(device)
    # A copy, because tensors read from a file are not aligned in memory: sums are slower and rounded differently.
    model.load_state_dict({name: t.to(device, copy=True) for name, t in weights.items()}, assign=True)
    model.history = info.get("history", [])
    model.optimizer_state = optimizer
    return model.eval()


def _config_of(config_cls, info, path):
    """The settings of a saved model. Settings that an older version did not have get their defaults, with a warning."""
    saved, known = info["config"], {f.name for f in fields(config_cls)}
    if info.get("format", 1) > FORMAT or saved.keys() - known:
        unknown = ", ".join(sorted(saved.keys() - known)) or f"format {info['format']}"
        raise ValueError(f"{path}: saved by another version of rnnbook, with what this one does not know ({unknown}); "
                         "load it with that version, or train the model again")
    config = config_cls(**saved)
    missing = sorted(known - saved.keys())
    if missing:
        warnings.warn(f"{path}: saved by an older version of rnnbook, which did not have all settings; taken as "
                      + ", ".join(f"{name}={getattr(config, name)!r}" for name in missing), stacklevel=2)
    return config


def digest_of(model):
    """The SHA-256 of a model's catalogue, weights and optimiser state, as hex: str. Equal models have equal digests.

    Examples
    --------
    >>> from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig
    >>> one, other = (GRU4Rec([3, 7], GRU4RecConfig(hidden_size=2)) for _ in range(2))
    >>> digest_of(one) == digest_of(one), digest_of(one) == digest_of(other)
    (True, False)
    """
    found = hashlib.sha256("\n".join(map(str, model.item_ids.tolist())).encode())
    for name, tensor in sorted((model.state_dict() | getattr(model, "optimizer_state", {})).items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().numpy().data)
    return found.hexdigest()


def copy_first_rows(tensors, old, what):
    """Copy old tensors into the first rows of larger ones; tensors of equal size are copied whole.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Changed in place. Those that ``old`` does not have stay as they are.
    old : dict of str to Tensor
    what : str
        What ``old`` is, for an error message.

    Raises
    ------
    ValueError
        An old tensor has more rows, or rows of another size.

    Examples
    --------
    >>> grown = {"table": torch.zeros(3, 2)}
    >>> copy_first_rows(grown, {"table": torch.ones(2, 2)}, "the old model")
    >>> grown["table"].sum(1)
    tensor([2., 2., 0.])
    """
    for name, tensor in tensors.items():
        if name in old:
            rows = old[name]
            if rows.shape[1:] != tensor.shape[1:] or len(rows) > len(tensor):
                raise ValueError(f"{name} of {what} is {tuple(rows.shape)}, which does not fit into "
                                 f"{tuple(tensor.shape)}; keep the settings that it was trained with")
            with torch.no_grad():
                tensor[:len(rows)] = rows.to(tensor.device)


def check_tensors(saved, expected, path):
    """Raise ValueError unless ``saved`` has the names, shapes and dtypes of ``expected``, and only finite values.

    Parameters
    ----------
    saved, expected : dict of str to Tensor
    path : path
        Named in the error.

    Examples
    --------
    >>> check_tensors({"w": torch.zeros(2)}, {"w": torch.zeros(3)}, "model")
    Traceback (most recent call last):
    ValueError: model: w is (2,) torch.float32, the model needs (3,) torch.float32
    """
    if saved.keys() != expected.keys():
        raise ValueError(f"{path}: other tensors than those of the model; missing are "
                         f"{sorted(expected.keys() - saved.keys())}, not known are "
                         f"{sorted(saved.keys() - expected.keys())}")
    for name, tensor in expected.items():
        if saved[name].shape != tensor.shape or saved[name].dtype != tensor.dtype:
            raise ValueError(f"{path}: {name} is {tuple(saved[name].shape)} {saved[name].dtype}, "
                             f"the model needs {tuple(tensor.shape)} {tensor.dtype}")
        if saved[name].is_floating_point() and not saved[name].isfinite().all():
            raise ValueError(f"{path}: {name} holds values that are not finite; remove it, and start again with a "
                             "lower learning rate")
