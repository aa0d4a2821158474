"""The bug hunt: every student gets a small recommender with faults of its own, and hands in tests.

    python -m tools.hunt make ../hunt --students roster.csv
    python -m tools.hunt grade ../hunt submissions.zip --roster roster.csv

A suite of tests is marked by the share of the copy's faults that it notices, each planted alone into a correct version;
a test that fails on one of three correct versions costs all points. Which faults a copy has, what its functions are
called, and which of two usual conventions its docstrings ask for is drawn from the seed and the student's name. So a
suite that was made for another copy does not fit.

    shop.py         the recommender, as it should be
    refactored.py   some of its functions written in another way; they do the same
    reordered.py    and some with another order of sessions and of random numbers
    copies.py       conventions, faults, names: the text of each version
    marks.py        which tests fail on which version; tests and recommender run in processes of their own
    task.md         what students read
"""
