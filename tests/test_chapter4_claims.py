"""What chapter 4 claims beyond `test_rrn.py`: what its result files show."""

import pytest

from rnnbook import results

REAL = ("rrn-movielens-100k", "rrn-movietweetings-100k")


def paired(name, a, b):
    return next(row for row in results.load(name)["paired"] if (row["a"], row["b"]) == (a, b))


