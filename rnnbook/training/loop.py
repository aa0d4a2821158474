"""The training loop of all chapters: validate, keep the best epoch, stop early, save checkpoints, and resume."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import torch
from tqdm.auto import tqdm

from rnnbook.training.checkpoints import check_tensors, find_checkpoint, load_checkpoint, save_checkpoint
from rnnbook.training.devices import random_state, seeded, set_random_state


def identity(config, train, valid, seed, **more):
    """Settings, data and seed of a run. A checkpoint can be continued only if all of them are the same.

    The number of epochs is left out, so a run can be continued with more of them.

    Parameters
    ----------
    config : dataclass
    train : SessionData, RatingData or ReviewData
    valid : the same, or None
    seed : int
    **more
        Other values that must be the same, in types that JSON has.

    Returns
    -------
    dict
        For `run`.

    Examples
    --------
    >>> from rnnbook.rnn import ClassifierConfig
    >>> from rnnbook.worlds import SessionWorld
    >>> train = SessionWorld().sample(10)
    >>> same = identity(ClassifierConfig(), train, None, seed=0)
    >>> same["seed"], same["train"] == train.sha256, same["valid"]
    (0, True, None)
    """
    settings = {name: value for name, value in asdict(config).items() if name != "n_epochs"}
    return {"config": settings, "train": train.sha256, "valid": valid and valid.sha256, "seed": seed, **more}


def run(model, train_epoch, n_epochs, *, seed, optimizer, identity, validate=None, patience=None, metric="recall",
        better=max, checkpoint=None, writes=True, callback=None, n_before=0):
    """Train epoch by epoch: validate, keep the best epoch, stop early, save checkpoints, and resume a killed run.

    Each epoch seeds its random numbers from ``(seed, epoch)``, and a checkpoint within an epoch holds their state. So a
    resumed run draws the same random numbers as an uninterrupted one.

    Parameters
    ----------
    model : torch.nn.Module
    train_epoch : callable(epoch, mid_epoch, save) -> float
        Runs one epoch and returns its mean loss. ``epoch`` counts from ``n_before``. During the epoch it may call
        ``save(pack)``; then the checkpoint is rewritten with the tensors that ``pack() -> {name: Tensor}`` returns. A
        run that resumes there gets these tensors as ``mid_epoch``. At the beginning of an epoch ``mid_epoch`` is empty.
    n_epochs : int
    seed : int
    optimizer : Adagrad or Adam
        Or any object with ``tensors() -> {name: Tensor}``.
    identity : dict
        Values that must be the same for a checkpoint to be continued: settings, data, seed. In types that JSON has, or
        tuples.
    validate : callable() -> dict of float, optional
        Called after each epoch. The epoch with the best ``metric`` in it is kept.
    patience : int, optional
        Stop when ``metric`` has not improved for this many epochs.
    metric : str
        A key of the dict that ``validate`` returns.
    better : max or min
        Whether high or low values of ``metric`` are better.
    checkpoint : path, optional
        Folder that is rewritten after each epoch, and at each ``save(pack)``. If it exists, the run resumes from it.
    writes : bool
        Whether this process writes the checkpoint. If several processes train together, only one does.
    callback : callable(dict), optional
        Receives one point per epoch: ``epoch, loss`` and what ``validate`` returned.
    n_before : int
        The number of epochs that the model was trained before this run.

    Returns
    -------
    list of dict
        The points, one per epoch.

    Raises
    ------
    FloatingPointError
        The loss became infinite or NaN.
    ValueError
        The checkpoint is damaged or belongs to another run.

    Examples
    --------
    Each epoch halves the weight of a model with one weight. The kept epoch is the one with the weight nearest to 0.3.

    >>> from rnnbook.training import Adagrad
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> def train_epoch(epoch, mid_epoch, save):
    ...     model.weight.data *= 0.5
    ...     return model.weight.item()
    >>> def validate():
    ...     return {"off": round(abs(model.weight.item() - 0.3), 3)}
    >>> history = run(model, train_epoch, 3, seed=0, optimizer=Adagrad({}, lr=0.1), identity={},
    ...               validate=validate, metric="off", better=min)
    >>> [(point["loss"], point["off"]) for point in history]
    [(0.5, 0.2), (0.25, 0.05), (0.125, 0.175)]
    >>> model.weight.item()
    0.25
    """
    device = next(model.parameters()).device
    best = {k: v.clone() for k, v in model.state_dict().items()} if validate else {}
    named = {"model": model.state_dict(), "optimizer": optimizer.tensors(), "best": best}
    tensors = {f"{kind}.{name}": tensor for kind, group in named.items() for name, tensor in group.items()}
    history, mid_epoch, random = _resume(checkpoint, tensors, identity)
    if len(history) > n_epochs:
        raise ValueError(f"{checkpoint}: the checkpoint has {len(history)} epochs, more than n_epochs={n_epochs}; "
                         "raise n_epochs, or give another folder")
    if mid_epoch and len(history) == n_epochs:
        raise ValueError(f"{checkpoint}: the checkpoint is within epoch {n_epochs + 1}, beyond n_epochs={n_epochs}; "
                         "raise n_epochs, or give another folder")

    def save(more):
        if checkpoint is not None and writes:
            save_checkpoint(checkpoint, tensors | more, {"identity": identity, "history": history})

    def save_mid_epoch(pack):
        if checkpoint is not None:
            packed = {f"mid_epoch.{k}": v for k, v in pack().items()}  # every rank calls pack(), which may communicate
            save(packed | {f"random.{k}": v for k, v in random_state(device).items()})

    for epoch in range(n_before + len(history), n_before + n_epochs):
        if validate and patience and history and _epochs_since_best(history, metric, better) >= patience:
            break
        with seeded((seed * 1_000_003 + epoch) % 2**63, device):
            set_random_state(random, device)
            model.train()
            loss = train_epoch(epoch, mid_epoch, save_mid_epoch)
        mid_epoch, random = {}, {}
        model.eval()
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} in epoch {epoch + 1}; lower the learning rate")
        history.append({"epoch": epoch + 1, "loss": loss} | (validate() if validate else {}))
        if validate and _epochs_since_best(history, metric, better) == 0:
            for name, tensor in model.state_dict().items():
                best[name].copy_(tensor)
        save({})
        if callback:
            callback(history[-1])
    if validate and history:
        model.load_state_dict(best)
    model.eval()
    return history


def _resume(checkpoint, tensors, identity):
    """Load a checkpoint, if any, into ``tensors``; returns its history, mid-epoch tensors and random states."""
    if checkpoint is None or not find_checkpoint(checkpoint):
        return [], {}, {}
    try:
        saved, info = load_checkpoint(checkpoint)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{error}; training cannot go on from it, delete {checkpoint} to start again") from error
    differs = _differences(info.get("identity", {}), json.loads(json.dumps(identity)))  # JSON has no tuples
    if differs:
        raise ValueError(f"{checkpoint}: the checkpoint belongs to another run ({', '.join(differs)}); "
                         "give another folder, or delete this one to start again")
    mid_epoch, random = ({k.removeprefix(kind): saved.pop(k) for k in [*saved] if k.startswith(kind)}
                         for kind in ("mid_epoch.", "random."))
    check_tensors(saved, tensors, checkpoint)
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(saved[name])
    return info["history"], mid_epoch, random


def _epochs_since_best(history, metric, better):
    """The number of epochs since the best one; if several are equally good, since the first of them."""
    scores = [point[metric] for point in history]
    return len(scores) - 1 - scores.index(better(scores))


def _differences(saved, given):
    """The differences between two identities, as a list of str; those of settings with both values."""
    found = []
    for name, value in given.items():
        other = saved.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            found += [f"{k}={other.get(k)!r}, now {v!r}" for k, v in value.items() if other.get(k) != v]
        elif other != value:
            found.append({"train": "other training data", "valid": "other validation data"}.get(
                name, f"{name}={other!r}, now {value!r}"))
    return found


def progress_bar(n_steps, shown, n_before=0):
    """A tqdm progress bar over the steps of a training run.

    Parameters
    ----------
    n_steps : int
        All steps, including the ``n_before`` that were done in an earlier run.
    shown : bool
        False hides the bar. If it is True, the environment variable ``TQDM_DISABLE`` can still hide it.

    Examples
    --------
    >>> with progress_bar(3, shown=False) as bar:
    ...     bar.update(3)
    """
    return tqdm(total=n_steps, initial=n_before, unit="step", leave=False, **({} if shown else {"disable": True}))
