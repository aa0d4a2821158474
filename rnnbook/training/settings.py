"""The check of all settings. The annotation of a field says which values are allowed.

A config is a frozen dataclass that calls `check_settings` in its ``__post_init__``::

    @dataclass(frozen=True)
    class Config:
        hidden_size: Size = 100
        dropout: Dropout = 0.4
        loss: Literal["bpr", "top1"] = "bpr"

        def __post_init__(self):
            check_settings(self)
"""

from __future__ import annotations

import math
from dataclasses import fields
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints


class Limit(NamedTuple):
    """The range of a number, which must also be finite.

    Examples
    --------
    >>> Limit(at_least=0, below=1).says("a number")
    'a number of at least 0 and below 1'
    >>> Limit(above=0).holds(0), Limit(above=0).holds(1e-9)
    (False, True)
    """

    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf

    def holds(self, value):
        """bool: whether a number is in the range."""
        return self.at_least <= value <= self.at_most and self.above < value < self.below

    def says(self, kind):
        """str: the range in words; ``kind`` is a noun such as "a number"."""
        parts = [f"{words} {limit:g}" for words, limit in (
            ("of at least", self.at_least), ("above", self.above), ("at most", self.at_most), ("below", self.below))
            if math.isfinite(limit)]
        return f"{kind} {' and '.join(parts)}".strip()


Size = Annotated[int, Limit(at_least=1)]  # the size of a layer or a batch; a number of epochs or steps
Count = Annotated[int, Limit(at_least=0)]
Rate = Annotated[float, Limit(above=0)]  # a learning rate or a bound
Weight = Annotated[float, Limit(at_least=0)]  # a penalty, a strength or a time in seconds
Share = Annotated[float, Limit(at_least=0, at_most=1)]
Dropout = Annotated[float, Limit(at_least=0, below=1)]  # the probability to drop a unit
Momentum = Annotated[float, Limit(at_least=0, below=1)]


def check_settings(config):
    """Raise ValueError unless every field of a dataclass has a value that its annotation allows.

    NumPy numbers are converted to Python numbers and lists to tuples, so a config that was read from JSON is equal to
    the original.

    Parameters
    ----------
    config : dataclass instance
        It is changed in place, even if it is frozen.

    Raises
    ------
    ValueError
        Names the field, its value and what is allowed.

    Examples
    --------
    >>> from rnnbook.rrn import RRNConfig
    >>> RRNConfig(learning_rate=-1)
    Traceback (most recent call last):
    ValueError: learning_rate=-1; it must be a number above 0
    >>> RRNConfig(decay="no")
    Traceback (most recent call last):
    ValueError: decay='no'; it must be True or False
    """
    allowed = get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        value = _plain(getattr(config, field.name))
        if not _fits(value, allowed[field.name]):
            raise ValueError(f"{field.name}={value!r}; it must be {_says(allowed[field.name])}")
        object.__setattr__(config, field.name, value)


def _plain(value):
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _fits(value, kind: Any):
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Annotated:
        return _fits(value, parts[0]) and parts[1].holds(value)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in parts)
    if origin is tuple:  # tuple[X, ...]: one X or more
        return isinstance(value, tuple) and len(value) > 0 and all(_fits(part, parts[0]) for part in value)
    if kind in (int, float):  # in Python True is an int, but it is not a sensible number
        number = Integral if kind is int else Real
        return isinstance(value, number) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind)


def _says(kind: Any):
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(_says, parts))
    if origin is Annotated:
        return parts[1].says(_says(parts[0]))
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is tuple:
        return f"a tuple, each {_says(parts[0])}"
    return {int: "an integer", float: "a number", bool: "True or False", NoneType: "None"}.get(kind, kind)
