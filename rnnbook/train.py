"""One training loop for all chapters, and checkpoints that hold tensors and JSON, never pickled code."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file


PARTS = ("tensors.safetensors", "info.json")  # of a checkpoint


def pick_device(device="auto"):
    """``"auto"`` is CUDA, else Apple's MPS, else the CPU; anything else is passed to `torch.device`.

    Examples
    --------
    >>> pick_device("cpu"), pick_device().type in ("cpu", "cuda", "mps")
    (device(type='cpu'), True)
    """
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def forget_rounded():
    """Drop autocast's copies of the weights. It keeps them until its context ends, so inside one context training would
    go on computing with the weights of the first step.

    Examples
    --------
    >>> w, x = torch.ones(1, 1, requires_grad=True), torch.ones(1, 1)
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     before = x @ w
    ...     _ = w.data.add_(1)
    ...     stale = x @ w
    ...     forget_rounded()
    ...     before.item(), stale.item(), (x @ w).item()
    (1.0, 1.0, 2.0)
    """
    torch.clear_autocast_cache()


class Adagrad:
    """Adagrad with momentum for dense parameters and for single rows of large tables.

    ``acc += g²;  v = momentum · v − lr · g / √(acc + 1e-6);  p += v``, with a table's ``acc`` and ``v``
    touched only in the rows that had a gradient: a step costs the rows it used, not the catalogue.

    Parameters
    ----------
    parameters : dict of str to Tensor
        Every parameter by name, the tables among them.
    lr : float
    momentum : float

    Examples
    --------
    The first step of a parameter is as long as the learning rate, whatever its gradient; only the rows used move.

    >>> table = torch.zeros(3, 2)
    >>> optimizer = Adagrad({"table": table}, lr=0.1)
    >>> optimizer.step_rows("table", torch.tensor([2, 0]),
    ...                     torch.tensor([[50.0, 50.0], [-2.0, 2.0]]))
    >>> table
    tensor([[ 0.1000, -0.1000],
            [ 0.0000,  0.0000],
            [-0.1000, -0.1000]])
    """

    def __init__(self, parameters, lr, momentum=0.0):
        self.parameters, self.lr, self.momentum = dict(parameters), lr, momentum
        self.acc = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        self.velocity = {name: torch.zeros_like(p) for name, p in self.parameters.items()} if momentum else {}
        self.slots = {name: torch.empty(len(p), dtype=torch.int64, device=p.device)
                      for name, p in self.parameters.items()}

    def tensors(self):
        """The optimiser's state by name; writing into the tensors restores it."""
        return {f"{kind}.{name}": t for kind, tensors in (("acc", self.acc), ("velocity", self.velocity))
                for name, t in tensors.items()}

    @torch.no_grad()
    def step(self, name, grad):
        """Update a dense parameter in place."""
        forget_rounded()
        acc = self.acc[name].addcmul_(grad, grad)
        update = grad.div(acc.add(1e-6).sqrt_()).mul_(-self.lr)
        if self.momentum:
            update = self.velocity[name].mul_(self.momentum).add_(update)
        self.parameters[name].data.add_(update)

    @torch.no_grad()
    def step_rows(self, name, rows, grad):
        """Update rows of a table in place.

        Parameters
        ----------
        rows : Tensor, int64 [n]
            Row numbers, repeats allowed.
        grad : Tensor, float [n, ...]
            The gradient of each entry; entries of the same row are summed.
        """
        forget_rounded()
        table, slot = self.parameters[name].data, self.slots[name]
        # Every entry of a row writes its place into the row's slot; the one that stays stands for them all.
        # (A sort would find one too, and take longer.)
        slot[rows] = torch.arange(len(rows), device=rows.device)
        winner = slot[rows]
        # Each repeat of a row then gets the row's whole gradient, so all repeats write the same values below.
        grad = torch.zeros_like(grad).index_add_(0, winner, grad).index_select(0, winner)
        acc = self.acc[name].index_select(0, rows).addcmul_(grad, grad)
        self.acc[name].index_copy_(0, rows, acc)
        update = grad.div_(acc.add_(1e-6).sqrt_()).mul_(-self.lr)
        if self.momentum:
            update = update.add_(self.velocity[name].index_select(0, rows), alpha=self.momentum)
            self.velocity[name].index_copy_(0, rows, update)
        table.index_copy_(0, rows, update.add_(table.index_select(0, rows)))


class Adam:
    """Adam, its moments there from the start, so that a checkpoint can hold and restore them by name.

    Tables whose gradient is sparse are moved by `torch.optim.SparseAdam`: only in the rows of a step.

    Parameters
    ----------
    parameters : dict of str to Tensor
        Every parameter by name, the tables among them.
    lr : float
    tables : set of str
        The names of those with sparse gradients.
    table_lr : float, optional
        Of the tables, if another.

    Examples
    --------
    Three steps down the slope of w². The moments have names, so that a checkpoint can hold them.

    >>> w = torch.tensor([1.0], requires_grad=True)
    >>> optimizer = Adam({"w": w}, lr=0.1)
    >>> for _ in range(3):
    ...     optimizer.zero_grad()
    ...     w.square().sum().backward()
    ...     optimizer.step()
    >>> round(w.item(), 1), sorted(optimizer.tensors())
    (0.7, ['exp_avg.w', 'exp_avg_sq.w', 'step.w'])
    """

    def __init__(self, parameters, lr, tables=frozenset(), table_lr=None):
        self.named, self.rates = dict(parameters), (lr, lr if table_lr is None else table_lr)
        dense = [p for name, p in self.named.items() if name not in tables]
        self.parts: list[torch.optim.Optimizer] = [torch.optim.Adam(dense, lr)]
        if tables:
            self.parts.append(torch.optim.SparseAdam([p for name, p in self.named.items() if name in tables],
                                                     self.rates[1]))
        self.state = {name: {"step": torch.zeros(()), "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
                      for name, p in self.named.items()}
        for name, p in self.named.items():
            self.parts[name in tables].state[p] = self.state[name]

    def zero_grad(self):
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()

    def step(self):
        """Update all parameters that have a gradient."""
        forget_rounded()
        for part in self.parts:
            part.step()

    def slow_down(self, share):
        """Go on with this share of the learning rates that were given."""
        for part, lr in zip(self.parts, self.rates):
            part.param_groups[0]["lr"] = share * lr

    def tensors(self):
        """The optimiser's state by name; writing into the tensors restores it."""
        return {f"{kind}.{name}": t for name, state in self.state.items() for kind, t in state.items()}


def identity(config, train, valid, seed, **more):
    """What a checkpoint must agree in to be continued, for `run`: settings, data, seed.

    Examples
    --------
    >>> from rnnbook.rnn import ClassifierConfig
    >>> from rnnbook.worlds import SessionWorld
    >>> train = SessionWorld().sample(10)
    >>> same = identity(ClassifierConfig(), train, None, seed=0)
    >>> same["seed"], same["train"] == train.sha256, same["valid"]
    (0, True, None)
    """
    return {"config": asdict(config), "train": train.sha256, "valid": valid and valid.sha256, "seed": seed, **more}


def run(model, train_epoch, n_epochs, *, seed, optimizer, identity, validate=None, patience=None, metric="recall",
        better=max, checkpoint=None, writes=True, callback=None):
    """Train epoch by epoch: validate, keep the best, stop early, save, and go on where a killed run stopped.

    Each epoch seeds its own random numbers from ``(seed, epoch)``, and what is saved within an epoch holds their state.
    So a run that resumes draws what the uninterrupted run would have drawn.

    Parameters
    ----------
    model : torch.nn.Module
    train_epoch : callable(epoch, middle, save) -> float
        Runs one epoch and returns its mean loss. Within it, it may call ``save(pack)``: the checkpoint is rewritten,
        with the tensors that ``pack() -> {name: Tensor}`` gives. A run that goes on from there is handed them as
        ``middle``, which is empty at an epoch's beginning.
    optimizer : Adagrad or Adam
        Anything with ``tensors() -> {name: Tensor}``.
    identity : dict
        What must be the same for a checkpoint to be continued: settings, data, seed. In types that JSON has, or tuples.
    validate : callable() -> dict of float, optional
        Called after each epoch; ``metric`` in it decides which epoch is kept.
    patience : int, optional
        Stop when ``metric`` has not improved for this many epochs.
    better : max or min
        Which values of ``metric`` are the good ones.
    checkpoint : path, optional
        Folder that is rewritten after each epoch, and when ``train_epoch`` says so; continued from if it exists.
    writes : bool
        Whether this process rewrites it; of several that train together one does.
    callback : callable(dict), optional
        Receives one point per epoch: ``epoch, loss`` and what ``validate`` returned.

    Returns
    -------
    list of dict
        The points, one per epoch.

    Examples
    --------
    Each epoch halves the error of a one-number model. The validation keeps the epoch that is nearest to 0.3.

    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> def train_epoch(epoch, middle, save):
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
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"optimizer.{k}": v for k, v in optimizer.tensors().items()}
    best = {k: v.clone() for k, v in model.state_dict().items()} if validate else {}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    middle: dict[str, torch.Tensor] = {}
    random: dict[str, torch.Tensor] = {}
    history = []
    if checkpoint is not None and find_checkpoint(checkpoint):
        try:
            saved, info = load_checkpoint(checkpoint)
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(f"{error}; training cannot go on from it, delete {checkpoint} to start anew") from error
        differs = _differences(info.get("identity", {}), json.loads(json.dumps(identity)))  # JSON has no tuples
        if differs:
            raise ValueError(f"{checkpoint}: the checkpoint is of another run ({', '.join(differs)}); "
                             "give another folder, or delete this one to start anew")
        middle, random = ({k.removeprefix(kind): saved.pop(k) for k in [*saved] if k.startswith(kind)}
                          for kind in ("middle.", "random."))
        check_tensors(saved, tensors, checkpoint)
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(saved[name])
        history = info["history"]

    def since_best():
        scores = [point[metric] for point in history]
        return len(scores) - 1 - scores.index(better(scores))

    device = next(model.parameters()).device

    def save(more):
        if checkpoint is not None and writes:
            save_checkpoint(checkpoint, tensors | more, {"identity": identity, "history": history})

    def save_within(pack):
        if checkpoint is not None:
            packed = {f"middle.{k}": v for k, v in pack().items()}  # by every process, where several train
            save(packed | {f"random.{k}": v for k, v in random_state(device).items()})

    for epoch in range(len(history), n_epochs):
        if validate and patience and history and since_best() >= patience:
            break
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed((seed * 1_000_003 + epoch) % 2**63)
            set_random_state(random, device)
            model.train()
            loss = train_epoch(epoch, middle, save_within)
        middle, random = {}, {}
        point = {"epoch": epoch + 1, "loss": loss}
        model.eval()
        if not torch.isfinite(torch.tensor(point["loss"])):
            raise FloatingPointError(f"the loss became {point['loss']} in epoch {epoch + 1}; lower the learning rate")
        if validate:
            point |= validate()
        history.append(point)
        if validate and since_best() == 0:
            for k, v in model.state_dict().items():
                best[k].copy_(v)
        save({})
        if callback:
            callback(point)
    if validate and history:
        model.load_state_dict(best)
    model.eval()
    return history


def _differences(saved, given):
    """In what two identities differ, a setting with its values."""
    found = []
    for name, value in given.items():
        other = saved.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            found += [f"{k}={other.get(k)!r}, now {v!r}" for k, v in value.items() if other.get(k) != v]
        elif other != value:
            found.append({"train": "other training data", "valid": "other validation data"}.get(
                name, f"{name}={other!r}, now {value!r}"))
    return found


def random_state(device):
    """The states of the random numbers of the CPU, and of the device where it has its own, by name.

    Examples
    --------
    >>> state = random_state(torch.device("cpu"))
    >>> first = torch.rand(2)
    >>> set_random_state(state, torch.device("cpu"))
    >>> torch.equal(torch.rand(2), first)
    True
    """
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state, device):
    """Go on with the random numbers of `random_state`, those that are in ``state``.

    Examples
    --------
    Where there is none, nothing happens.

    >>> set_random_state({}, torch.device("cpu"))
    """
    if "cpu" in state:
        torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    if "mps" in state and device.type == "mps":
        torch.mps.set_rng_state(state["mps"])


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


def save_model(model, path, beside=None, **more):
    """Write a model with ``config``, ``item_ids`` and ``history`` as a checkpoint.

    ``more`` is what else builds it, ``beside`` are tensors that are no parameters.

    Examples
    --------
    Beside what the class itself would save, ``more`` stands in the settings.

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
            "item_ids": model.item_ids.tolist(), **more}
    save_checkpoint(path, model.state_dict() | (beside or {}), info)


def load_model(cls, config_cls, path, device, more=()):
    """Read what `save_model` wrote, ``more`` the names of what else builds it.

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
    return build_model(cls, config_cls, tensors, info, path, device, more)


def build_model(cls, config_cls, tensors, info, path, device, more=()):
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
    wanted = {"model", "config", "item_ids", *more}
    if info.get("model") != cls.__name__ or not wanted <= info.keys() or set(info["config"]) != known:
        raise ValueError(f"{path}: info.json is not of a {cls.__name__} of this version; save the model again")
    # Shapes are compared before anything of that size is allocated.
    model = cls(info["item_ids"], config_cls(**info["config"]), "meta", **{name: info[name] for name in more})
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
