"""Values as bytes between a test and an answer: numbers, text, lists, arrays and tensors, and nothing that could run.

Not pickle: the bytes come from a process in which a student's code runs, and unpickling runs what they say.
"""

from __future__ import annotations

import base64
import json

import numpy as np
import torch

LARGEST = 64_000_000  # bytes of a message
PLAIN = (bool, int, float, str)


def pack(value):
    return json.dumps(value).encode()


def unpack(message):
    return json.loads(message)


def encode(value):
    """`value` in the terms of JSON; TypeError if it is something that a test cannot use."""
    if value is None or type(value) in PLAIN:
        return value
    if type(value) is complex:
        return {"complex": [value.real, value.imag]}
    if isinstance(value, torch.Tensor):
        return {"tensor": encode(np.asarray(value.detach().cpu().resolve_conj().resolve_neg()))}
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind not in "biuf":
            raise TypeError(f"an array of {value.dtype}")
        if value.nbytes > LARGEST / 2:
            raise ValueError("too large")
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        value = np.asarray(value)
        return {kind: [value.dtype.str, list(value.shape), base64.b64encode(value.tobytes()).decode()]}
    if isinstance(value, tuple | list):
        return {"tuple" if isinstance(value, tuple) else "list": [encode(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(part)] for key, part in value.items()]}
    raise TypeError(f"a {type(value).__name__}")


def decode(coded):
    """The value that was encoded; an error of some kind if `coded` never came from `encode`."""
    if not isinstance(coded, dict):
        return coded
    ((kind, content),) = coded.items()
    if kind == "tensor":
        return torch.from_numpy(np.array(decode(content)))
    if kind in {"array", "scalar"}:
        dtype, shape, content = content
        dtype = np.dtype(dtype)
        if dtype.kind not in "biuf":
            raise TypeError(f"an array of {dtype}")
        array = np.frombuffer(base64.b64decode(content), dtype).reshape(shape).copy()
        return array[()] if kind == "scalar" else array
    if kind == "complex":
        return complex(*content)
    if kind == "dict":
        return {decode(key): decode(part) for key, part in content}
    return {"tuple": tuple, "list": list}[kind](map(decode, content))
