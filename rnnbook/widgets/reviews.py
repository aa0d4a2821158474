"""The law of a ReviewWorld, for a page that computes with it."""

from __future__ import annotations

import numpy as np

from rnnbook.worlds import MovingReviewWorld
from rnnbook.worlds.reviews import CLOSINGS, EDGES, OPENINGS, WORDS


def law_of(world, most):
    """A ReviewWorld as the page takes it: its settings, its grammar, and the step of its grid of qualities (a dict).

    Parameters
    ----------
    world : ReviewWorld
    most : int
        So many ratings and words of one item the page will reckon with. With more of them the grid is finer.

    Raises
    ------
    ValueError
        The qualities of the world move.

    Examples
    --------
    >>> from rnnbook.worlds import ReviewWorld
    >>> law = law_of(ReviewWorld(), most=3)
    >>> law["noise"], law["words"][:2], law["step"]
    (1.0, ['worthless', 'dreadful'], 0.05)
    """
    if isinstance(world, MovingReviewWorld):
        raise ValueError("the page knows the law of a ReviewWorld, not of one whose qualities move")
    step = 0.5 / np.sqrt(1 + most / world.noise**2 + most / world.text_noise**2)  # half of the least deviation
    return {"noise": world.noise, "text_noise": world.text_noise, "text": world.text, "openings": list(OPENINGS),
            "words": list(WORDS), "closings": list(CLOSINGS), "edges": np.round(EDGES, 12).tolist(),
            "step": min(float(step), 0.05)}
