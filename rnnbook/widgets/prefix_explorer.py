"""A session as training pairs, with click deletion, and what a deletion does to the prediction."""

from __future__ import annotations

import numpy as np
import traitlets

from rnnbook.widgets.base import HERE, Widget, source

MAX_CLICKS, MAX_SESSIONS = 8, 8  # of a session, and in all, that fit on a screen
N_DRAWS = 8
EXAMPLE = (("tent", "stove", "jeans", "torch", "rope", "mug", "stove"), ("jeans", "shirt", "jeans"),
           ("map", "torch", "boots", "socks", "boots"), ("lamp", "bulb"))
MOODS = (("tent", "stove", "torch", "rope", "mug"), ("map", "boots", "socks", "torch", "rope"),
         ("jeans", "shirt", "socks", "boots"), ("lamp", "bulb", "torch"))
STAY, NOISE = 0.9, 0.1


class PrefixExplorer(Widget):
    """A session unrolled into its training pairs, click deletion, and how batches are cut from the pairs.

    It shows two forms. In the paper's, every prefix is a separate example with its own deletions. In the fast one, a
    session has one set of deletions, the network reads the kept clicks once, and each target is predicted from the
    state after the kept clicks before it. Targets are never deleted. The reader can strike clicks out or put them back.

    Beside it stands the next click's exact distribution given all clicks of the pair, and given the kept ones. A
    visitor of this shop stays in a mood with probability 0.9 or else draws a new one, and clicks an item of the mood,
    or one time in ten any item, by accident. In a mood, its items are equally likely.

    Parameters
    ----------
    sessions : sequence of sequences of str
        1 to 8 sessions of 2 to 8 clicks.
    moods : sequence of sequences of str
        The items of each mood. An item of the sessions that is in no mood is clicked by accident only.
    session : int
        The one shown at the start.
    rate : float
        Probability that a click is deleted, from 0 to 0.9.
    batch_size : int
        1 to 8: pairs in the paper's form, sessions in the fast one.
    form : {"prefixes", "positions"}
        The paper's form or the fast one.
    seed : int

    Attributes
    ----------
    uniform : list
        A number u in [0, 1) for each draw, session, prefix and click; a click is deleted where u < rate. The fast
        form uses those of the longest prefix.
    flips : list of int
        8 r + c for each click c of prefix r that the reader has struck out or put back. The fast form has those of the
        longest prefix.

    Raises
    ------
    ValueError
        If there are too many sessions or none, one is too short or too long, or ``session`` is not among them.

    Examples
    --------
    >>> widget = PrefixExplorer([["tent", "stove", "boots"], ["lamp", "bulb"]], rate=0.5)
    >>> widget.summary().split(",")[0]
    '2 sessions as training pairs'
    """

    _esm = source("prefix_explorer.js")
    _css = Widget._css + (HERE / "prefix_explorer.css").read_text(encoding="utf-8")
    sessions = traitlets.List().tag(sync=True)
    uniform = traitlets.List().tag(sync=True)  # [draw][session][prefix][click]
    session = traitlets.Int().tag(sync=True)
    rate = traitlets.Float(min=0, max=0.9).tag(sync=True)
    batch_size = traitlets.Int(min=1, max=8).tag(sync=True)
    form = traitlets.Enum(["prefixes", "positions"]).tag(sync=True)
    draw = traitlets.Int(0).tag(sync=True)
    pair = traitlets.Int(2).tag(sync=True)
    flips = traitlets.List(traitlets.Int()).tag(sync=True)
    items = traitlets.List().tag(sync=True)
    emission = traitlets.List().tag(sync=True)  # [mood][item]: P(item | mood)
    stay = traitlets.Float(STAY).tag(sync=True)

    def __init__(self, sessions=EXAMPLE, moods=MOODS, session=0, rate=0.25, batch_size=3, form="prefixes", seed=0,
                 **kwargs):
        if not 1 <= len(sessions) <= MAX_SESSIONS:
            raise ValueError(f"{len(sessions)} sessions; the explorer shows 1 to {MAX_SESSIONS}")
        if bad := [len(items) for items in sessions if not 2 <= len(items) <= MAX_CLICKS]:
            raise ValueError(f"a session of {bad[0]} clicks; the explorer shows those of 2 to {MAX_CLICKS}")
        if not 0 <= session < len(sessions):
            raise ValueError(f"session is {session}; there are the sessions 0 to {len(sessions) - 1}")
        rng = np.random.default_rng(seed)
        uniform = [[[rng.random(r).round(3).tolist() for r in range(1, len(items))] for items in sessions]
                   for _ in range(N_DRAWS)]
        items = [str(item) for item in dict.fromkeys(item for items in (*moods, *sessions) for item in items)]
        emission = [[NOISE / len(items) + (1 - NOISE) * (item in map(str, mood)) / len(set(mood)) for item in items]
                    for mood in moods]
        super().__init__(sessions=[[str(item) for item in items] for items in sessions], uniform=uniform,
                         items=items, emission=emission, session=session, rate=rate, batch_size=batch_size, form=form,
                         **kwargs)

    def linked(self):
        most = max(map(len, self.sessions))
        return {"session": list(range(len(self.sessions))), "rate": {"low": 0, "high": 0.9},
                "batch_size": list(range(1, 9)), "form": ["prefixes", "positions"], "draw": list(range(N_DRAWS)),
                "pair": list(range(most - 1)),
                "flips": {"of": list(range(MAX_CLICKS**2)), "least": 0, "most": MAX_CLICKS**2}}

    def summary(self):
        return (f"{len(self.sessions)} sessions as training pairs, prefix and next click, with clicks "
                f"deleted at rate {self.rate:g}: separately for each prefix, or once for all positions of a session; "
                "and what the exact next-click distribution makes of it.")
