"""The process of one answer: it defines what a student wrote, and then calls it with what the tests send.

The package is not here, so nobody can call its own answer; an import of it gives something that can be named and not
used. Files, other processes and the network are closed, time and memory are bounded. This keeps accidents small and
tricks dull. It is no prison: what must be safe from bad intent runs under an account that can do no harm.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.abc
import importlib.machinery
import io
import math
import os
import re
import site
import sys
import sysconfig
import traceback
import types

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from tools.grading import wire

try:
    import resource
except ImportError:  # Windows has no limits; the clock still stops an answer there
    resource = None  # type: ignore[assignment]

SECONDS = 3  # of computing, for all calls of an exercise
MEMORY = 3 * 2**30  # bytes above what numpy and torch take
MINE = "<your answer>"  # the name of the student's code in a traceback
LIBRARIES = tuple({os.path.realpath(path) + os.sep for path in (
    *site.getsitepackages(), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))})
CLOSED = ("ctypes.dl", "os.exec", "os.fork", "os.kill", "os.posix_spawn", "os.spawn", "os.system", "pty.",
          "resource.prlimit", "socket.", "sqlite3.", "subprocess.")


def serve(connection, answer, helpers, imports, without_autograd):
    """Define the answer, say so, and answer calls until the connection ends.

    `helpers` are the student's other cells, of which only definitions are used, and `imports` the chapter's.
    """
    leave = os._exit

    def refuse(what):
        connection.send_bytes(wire.pack({"forbidden": what}))
        leave(0)

    shut(refuse, connection.fileno())
    if without_autograd:
        close_autograd(refuse)
    names = {"__name__": "__main__"}
    for source in (*imports, *helpers):
        run(definitions(source), names)
    notes = run(answer, names)
    connection.send_bytes(wire.pack({"names": [name for name in names if callable(names[name])], "notes": notes}))
    while True:
        try:
            call = wire.unpack(connection.recv_bytes())
        except EOFError:
            leave(0)
        connection.send_bytes(called(names, answer, *call))


def called(names, answer, name, arguments, keywords):
    """What a call gave, as a message: {"value": ...}, or in words {"error": ...} or {"unusable": ...}.

    With a value comes how many numbers there were in the largest tensor on the way to it.
    """
    try:
        with Largest() as largest:
            value = names[name](*wire.decode(arguments), **wire.decode(keywords))
    except BaseException as error:  # also SystemExit
        return wire.pack({"error": described(error, answer), "kind": type(error).__name__})
    try:
        return wire.pack({"value": wire.encode(value), "largest": largest.numbers})
    except TypeError as error:
        return wire.pack({"unusable": str(error)[:200]})
    except (ValueError, RecursionError, MemoryError):
        return wire.pack({"unusable": "something too large or too deep"})


class Largest(TorchFunctionMode):
    """Knows how many numbers the largest tensor had that was made while it was on."""

    numbers = 0

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        found = function(*arguments, **(keywords or {}))
        for made in found if isinstance(found, tuple | list) else [found]:
            if isinstance(made, torch.Tensor):
                self.numbers = max(self.numbers, made.numel())
        return found


def run(source, names):
    """Run statement by statement, as far as possible; returns what could not be run, in words."""
    notes = []
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = f" (line {error.lineno})" if getattr(error, "lineno", None) else ""
        return [f"{type(error).__name__}{place}: {getattr(error, 'msg', error)}"]
    for statement in tree.body:
        try:
            exec(compile(ast.Module([statement], []), MINE, "exec"), names)
        except BaseException as error:
            notes.append(described(error, source))
    return notes


def parsed(source):
    """The tree of a cell. Lines such as `%timeit f(3)` and `!pip list` are left out."""
    try:
        return tree_of(source)
    except SyntaxError:
        return tree_of(re.sub(r"^\s*[%!].*$", "", source, flags=re.M))


def tree_of(source):
    """What `ast.parse` gives. Python 3.11 raises a SystemError if other threads parse at the same moment."""
    for _ in range(20):
        with contextlib.suppress(SystemError):
            return ast.parse(source)
    return ast.parse(source)


def definitions(source):
    """The imports, functions, classes and constants of a cell: what a student leaves for the cells that follow."""
    try:
        body = parsed(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    kept = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
            or (isinstance(node, ast.Assign) and not any(isinstance(part, ast.Call) for part in ast.walk(node)))]
    return ast.unparse(ast.Module(kept, []))


def described(error, source):
    """An error, and the line of the answer where it came from."""
    text = f"{type(error).__name__}: {error}"[:500]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == MINE]
    if lines:
        code = source.splitlines()[lines[-1] - 1:lines[-1]]
        text += f" (line {lines[-1]}" + (f", `{code[0].strip()[:100]}`)" if code else ")")
    return text


# What is closed


class Stranger(types.ModuleType):
    """Stands for the package, and for whatever is in it: it can be imported and named, but not used."""

    __path__: list = []
    refuse = None

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Stranger(f"{self.__name__}.{name}")

    def __call__(self, *args, **keywords):
        Stranger.refuse(self.__name__)

    __getitem__ = __call__


class Package(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a Stranger where the package is asked for."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "rnnbook":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return Stranger(spec.name)

    def exec_module(self, module):
        pass


def shut(refuse, connection):
    """Close files, processes and the network, bound time and memory, and let what is printed go nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.closerange(3, connection)  # what multiprocessing has open towards the other processes
    os.closerange(connection + 1, 4096)
    sys.stdout = sys.stderr = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), line_buffering=False)
    os.environ.clear()
    os.chdir(os.sep)
    Stranger.refuse = staticmethod(refuse)
    sys.meta_path.insert(0, Package())
    np.seterr(all="ignore")
    torch.set_num_threads(1)
    if resource:
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = math.ceil(used.ru_utime + used.ru_stime) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if os.path.exists("/proc/self/statm"):  # macOS does not bound the memory of a process
            with open("/proc/self/statm") as file:
                taken = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    sys.addaudithook(watch)


def watch(event, arguments):
    """An audit hook: Python has no way to take it off again."""
    if event.startswith(CLOSED):
        raise PermissionError(f"an answer may not do this: {event}")
    if event == "open" and not readable(*arguments[:2]):
        raise PermissionError("an answer may not open files")


def readable(path, mode):
    """Whether a file is one that an import needs."""
    if isinstance(path, int):
        return True
    path = os.path.realpath(os.fsdecode(path))
    return set(mode or "r") <= set("rbt") and path.startswith(LIBRARIES) and "rnnbook" not in path


def close_autograd(refuse):
    """Every way to a gradient ends in one of these."""
    def refused(*args, **keywords):
        refuse("autograd")

    class Engine:
        run_backward = refused

    torch.autograd.Variable._execution_engine = Engine()
    torch.autograd.variable.ImperativeEngine = torch._C._ImperativeEngine = torch._C._EngineBase = Engine
    torch._C._enter_dual_level = torch._functorch.predispatch._enter_dual_level_impl = refused
