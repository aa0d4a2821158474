"""Checkpoints and saved models: tensors as safetensors, everything else as JSON, nothing pickled."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, fields
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rnnbook.training.devices import pick_device

PARTS = ("tensors.safetensors", "info.json")  # of a checkpoint


def save_checkpoint(path, tensors, info):
    """Write ``path/tensors.safetensors`` and ``path/info.json``; the folder appears whole or not at all.

    A kill at any moment leaves the new one or the one before; that may have a name of its own then, and
    `find_checkpoint` gives it its name back.

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
    path.parent.mkdir(parents=True, exist_ok=True)
    new, old = _beside(path, "new"), _beside(path, "old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir()
    save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, new / "tensors.safetensors")
    (new / "info.json").write_text(json.dumps(info, indent=1), encoding="utf-8")
    shutil.copymode(new / "info.json", new / "tensors.safetensors")  # safetensors lets nobody else read it
    if path.exists():
        os.replace(path, old)
    os.replace(new, path)
    shutil.rmtree(old, ignore_errors=True)


def _beside(path, which):
    """The hidden folder that the new or the old checkpoint is for a moment; what people call run.old is theirs."""
    return path.with_name(f".{path.name}.{which}")


def _check_folder(path):
    """Raise ValueError if there is something at ``path`` that saving would overwrite, and that is no checkpoint."""
    others = [path.name] if path.is_file() else sorted({p.name for p in path.glob("*")} - set(PARTS))
    if others and not all((path / part).is_file() for part in PARTS):
        raise ValueError(f"{path}: there is something else already ({', '.join(others[:3])}); give another folder")


def find_checkpoint(path):
    """Whether there is a checkpoint at ``path``, which a kill may have left beside it. An empty folder is none; one
    with anything else in it raises ValueError.

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
    if not path.exists():  # killed when the former one had made room for the new one
        with contextlib.suppress(FileNotFoundError):  # most often there is none; or another rank was sooner
            os.replace(_beside(path, "old"), path)
    _check_folder(path)
    return any(path.glob("*"))


def load_checkpoint(path):
    """Read what `save_checkpoint` wrote, as ``(tensors, info)``; a damaged folder raises ValueError.

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
        raise ValueError(f"{path / 'info.json'}: not JSON ({error}); the file is damaged, save it again") from error
    try:
        return load_file(path / "tensors.safetensors"), info
    except SafetensorError as error:
        raise ValueError(f"{path / 'tensors.safetensors'}: not a safetensors file ({error}); "
                         "it is damaged, save it again") from error


def save_model(model, path, extra_tensors=None, **extra_info):
    """Write a model with ``config``, ``item_ids`` and ``history`` as a checkpoint.

    Parameters
    ----------
    model : torch.nn.Module
    path : path
        The folder.
    extra_tensors : dict of str to Tensor, optional
        Tensors to keep that are no parameters.
    **extra_info
        What else is needed to build the model, in types that JSON has.

    Examples
    --------
    ``extra_info`` is stored beside the settings.

    >>> import tempfile
    >>> from rnnbook.gru4rec import GRU4Rec, GRU4RecConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(GRU4Rec([3, 7], GRU4RecConfig(hidden_size=2)), f"{folder}/model",
    ...                shop="tents")
    ...     _, info = load_checkpoint(f"{folder}/model")
    >>> info["model"], info["item_ids"], info["config"]["hidden_size"], info["shop"]
    ('GRU4Rec', [3, 7], 2, 'tents')
    """
    info = {"model": type(model).__name__, "config": asdict(model.config), "history": model.history,
            "item_ids": model.item_ids.tolist(), **extra_info}
    save_checkpoint(path, model.state_dict() | (extra_tensors or {}), info)


def load_model(cls, config_cls, path, device, extra_info=()):
    """Read what `save_model` wrote; ``extra_info`` names what else is needed to build the model.

    A folder that is of another model, or whose tensors do not fit its settings, raises ValueError.

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
    """`load_model` from a checkpoint that was read already.

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
    known = {f.name for f in fields(config_cls)}
    wanted = {"model", "config", "item_ids", *extra_info}
    if info.get("model") != cls.__name__ or not wanted <= info.keys() or set(info["config"]) != known:
        raise ValueError(f"{path}: info.json is not of a {cls.__name__} of this version; save the model again")
    # Shapes are compared before anything of that size is allocated.
    model = cls(info["item_ids"], config_cls(**info["config"]), "meta", **{name: info[name] for name in extra_info})
    check_tensors(tensors, model.state_dict(), path)
    device = pick_device(device)
    # A copy, since what was read from a file lies at odd addresses, where sums are slower and rounded otherwise.
    model.load_state_dict({name: t.to(device, copy=True) for name, t in tensors.items()}, assign=True)
    model.history = info.get("history", [])
    return model.eval()


def check_tensors(saved, expected, path):
    """Raise ValueError unless ``saved`` has the names, shapes and dtypes of ``expected`` and is finite.

    Examples
    --------
    >>> check_tensors({"w": torch.zeros(2)}, {"w": torch.zeros(3)}, "model")
    Traceback (most recent call last):
    ValueError: model: w is (2,) torch.float32, the model needs (3,) torch.float32
    """
    if saved.keys() != expected.keys():
        raise ValueError(f"{path}: holds other tensors than the model: {sorted(saved.keys() ^ expected.keys())}")
    for name, tensor in expected.items():
        if saved[name].shape != tensor.shape or saved[name].dtype != tensor.dtype:
            raise ValueError(f"{path}: {name} is {tuple(saved[name].shape)} {saved[name].dtype}, "
                             f"the model needs {tuple(tensor.shape)} {tensor.dtype}")
        if saved[name].is_floating_point() and not saved[name].isfinite().all():
            raise ValueError(f"{path}: {name} holds values that are not finite")
