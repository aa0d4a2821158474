"""The choice of the device, the state of its random numbers, and the cache of autocast."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import torch


def pick_device(device="auto"):
    """The `torch.device` of this name. ``"auto"`` is CUDA if available, else Apple's MPS, else the CPU.

    Raises
    ------
    ValueError
        There is no such device. The message names it.

    Examples
    --------
    >>> pick_device("cpu"), pick_device().type in ("cpu", "cuda", "mps")
    (device(type='cpu'), True)
    """
    if device != "auto":
        try:
            torch.empty(1, device=device)
            return torch.device(device)
        except (AssertionError, NotImplementedError, RuntimeError, TypeError):
            raise ValueError(f"device={str(device)!r}: PyTorch finds no such device here; take auto or cpu") from None
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


# PyTorch has one generator for all threads. So only one thread at a time is in a `seeded` block.
_GENERATOR = threading.RLock()


@contextlib.contextmanager
def seeded(seed, device):
    """Inside this context, random numbers come from ``seed``. Afterwards the previous random state is restored.

    That is the state of the CPU's generator, and of the GPU's if ``device`` is one of CUDA. Generators of other GPUs
    are seeded, too, and stay so. If several threads train, each waits here for the others: their epochs alternate, and
    one seed gives one model.

    Examples
    --------
    >>> with seeded(3, torch.device("cpu")):
    ...     first = torch.rand(2)
    >>> with seeded(3, torch.device("cpu")):
    ...     print(torch.equal(torch.rand(2), first))
    True
    """
    with _GENERATOR, torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def random_state(device):
    """The states of the random number generators of the CPU and, if it has its own, of the device.

    Returns
    -------
    dict of str to Tensor, uint8
        With the keys ``"cpu"`` and perhaps ``"cuda"`` or ``"mps"``.

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
    """Restore the states that `random_state` returned. Generators that ``state`` does not have are not changed.

    Examples
    --------
    An empty ``state`` changes nothing.

    >>> set_random_state({}, torch.device("cpu"))
    """
    if "cpu" in state:
        torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    if "mps" in state and device.type == "mps":
        torch.mps.set_rng_state(state["mps"])


def clear_rounded_weights():
    """Clear the rounded copies of the weights that autocast keeps until its context ends.

    Without this, all training steps inside one autocast context would use the weights of the first step.

    Examples
    --------
    >>> w, x = torch.ones(1, 1, requires_grad=True), torch.ones(1, 1)
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     before = x @ w
    ...     _ = w.data.add_(1)
    ...     stale = x @ w
    ...     clear_rounded_weights()
    ...     before.item(), stale.item(), (x @ w).item()
    (1.0, 1.0, 2.0)
    """
    torch.clear_autocast_cache()


def as_tensor(array, like):
    """An array as a Tensor on the device of another one; floats get its dtype.

    Examples
    --------
    >>> as_tensor(np.array([1.0, 2.0]), like=torch.zeros(1)).dtype
    torch.float32
    >>> as_tensor(np.array([1, 2]), like=torch.zeros(1)).dtype
    torch.int64
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.to(like.device, like.dtype if tensor.is_floating_point() else tensor.dtype)
