"""A shop of six items: the reader clicks, and sees predictions from all clicks and from the last one."""

from __future__ import annotations

import traitlets

from rnnbook.widgets.base import HERE, Widget, source

ITEMS = ("tent", "stove", "boots", "socks", "jeans", "shirt")
MOODS = ((0.15, 0.15, 0.46, 0.20, 0.02, 0.02),  # P(item | mood) of a customer who goes to the mountains
         (0.02, 0.02, 0.03, 0.20, 0.48, 0.25))  # and of one who goes to the office; both buy socks equally often
STAY = 0.95


class NextClick(Widget):
    """A game in a world of hidden moods: guess the next click of ten visitors, then see two other guesses.

    The other guesses are P(next click) given all clicks of the session, and given only the last one. Both are exact,
    that is, the best possible predictions. The browser computes them by the forward recursion of a hidden Markov chain.
    Visitors are drawn from the same world. In a second mode the reader clicks, and sees both guesses change.

    Parameters
    ----------
    items : sequence of str [n_items]
        The items of the shop.
    moods : nested sequence of float [n_moods][n_items]
        P(item | mood).
    stay : float
        Probability that the mood stays the same from one click to the next. All other moods are equally likely.
    clicks : sequence of int
        The clicks of the first visitor, as indices into ``items``.
    seed : int, optional
        Of the next clicks and the other visitors; by default they differ each time.

    Examples
    --------
    >>> widget = NextClick(items=["tent", "shirt"], moods=[[0.9, 0.1], [0.2, 0.8]],
    ...                    clicks=[0, 0, 1])
    >>> widget.summary()[:67]
    'A shop of 2 items: tent, shirt. Someone who has clicked tent, tent,'
    """

    _esm = source("next_click.js")
    _css = Widget._css + (HERE / "next_click.css").read_text(encoding="utf-8")
    items = traitlets.List().tag(sync=True)
    moods = traitlets.List().tag(sync=True)  # [n_moods][n_items]
    stay = traitlets.Float().tag(sync=True)
    clicks = traitlets.List().tag(sync=True)
    seed = traitlets.Int(None, allow_none=True).tag(sync=True)

    def __init__(self, items=ITEMS, moods=MOODS, stay=STAY, clicks=(0, 1, 3), seed=None, **kwargs):
        super().__init__(items=list(items), moods=[list(mood) for mood in moods], stay=stay, clicks=list(clicks),
                         seed=seed, **kwargs)

    def summary(self):
        return (f"A shop of {len(self.items)} items: {', '.join(self.items)}. Someone who has clicked "
                f"{', '.join(self.items[click] for click in self.clicks)} is in the mood of the earlier clicks, which "
                "a guess from the last click alone cannot know.")
