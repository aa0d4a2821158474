"""The finished parts of an experiment, on disk until its result is written: one that was stopped goes on from there.

A unit is what one seed, arm or draw gives. It is used again only by the same code and packages, with the same data and
settings. Its file is JSON that holds numbers and arrays exactly.
"""

import base64
import hashlib
import json
import multiprocessing
import os
import shutil
import time
from dataclasses import fields, is_dataclass
from functools import partial
from importlib import import_module

import numpy as np
import torch
from tqdm import tqdm

from rnnbook import results


class Units:
    """The units of an experiment whose result has just been begun with `results.new_result`."""

    def __init__(self, result):
        identity = {key: result[key] for key in ("experiment", "code", "packages", "data", "config")}
        self.result, self.run, self.began = result, result["created"], time.time()
        self.folder = results.root() / "_build" / "experiments" / result["experiment"] / _digest(identity)
        self.folder.mkdir(parents=True, exist_ok=True)

    def remember(self, key, compute):
        """What ``compute()`` returned under this key, now or before the experiment was stopped."""
        path = self.folder / f"{_digest(encode(key))}.json"
        if not path.exists():
            value = encode(compute())
            unit = {"key": encode(key), "value": value, "run": self.run, "elapsed": time.time() - self.began}
            partial_file = path.with_suffix(f".{os.getpid()}.part")
            partial_file.write_text(json.dumps(unit), encoding="utf-8")
            partial_file.replace(path)
        return decode(json.loads(path.read_text(encoding="utf-8"))["value"])

    def in_parallel(self, function, jobs):
        """[function(job) for job in jobs] on all cores, one thread each, with a progress bar."""
        with multiprocessing.get_context("spawn").Pool(os.cpu_count(), torch.set_num_threads, (1,)) as pool:
            done = list(tqdm(pool.imap(partial(_remember_job, self, function), jobs), total=len(jobs), unit="run"))
            pool.close()  # leaving the block kills the processes; closed and joined, they end and leave nothing behind
            pool.join()
            return done

    def write(self):
        """Write the result, with the seconds of the stopped runs added, and remove the units; returns its path."""
        elapsed = {}
        for path in self.folder.glob("*.json"):
            unit = json.loads(path.read_text(encoding="utf-8"))
            elapsed[unit["run"]] = max(unit["elapsed"], elapsed.get(unit["run"], 0.0))
        elapsed.pop(self.run, None)  # `results.write` counts these
        path = results.write(self.result | {"seconds": sum(elapsed.values())})
        shutil.rmtree(self.folder.parent)
        return path


def _remember_job(units, function, job):
    return units.remember([function.__name__, job], partial(function, job))


def _digest(value):
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def encode(value):
    """A value as JSON can hold it: numbers, texts, arrays, and lists, tuples, dicts and dataclasses of such."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [encode(item) for item in value]
    if type(value) is tuple:
        return {"tuple": [encode(item) for item in value]}
    if type(value) is dict:
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value, order="C")
        return {"array": base64.b64encode(array.tobytes()).decode(), "dtype": array.dtype.str, "shape": array.shape}
    if is_dataclass(value) and type(value).__module__.startswith("rnnbook."):
        kind = f"{type(value).__module__} {type(value).__qualname__}"
        return {"class": kind, "fields": {f.name: encode(getattr(value, f.name)) for f in fields(value)}}
    raise TypeError(f"a unit cannot hold a {type(value).__name__}")


def decode(coded):
    """The value that `encode` was given."""
    if isinstance(coded, list):
        return [decode(item) for item in coded]
    if not isinstance(coded, dict):
        return coded
    if "tuple" in coded:
        return tuple(decode(item) for item in coded["tuple"])
    if "dict" in coded:
        return {decode(key): decode(item) for key, item in coded["dict"]}
    if "array" in coded:
        array = np.frombuffer(base64.b64decode(coded["array"]), coded["dtype"]).reshape(coded["shape"])
        return array.copy() if array.shape else array[()]
    module, name = coded["class"].split()
    return getattr(import_module(module), name)(**{key: decode(item) for key, item in coded["fields"].items()})
