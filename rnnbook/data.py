"""Tables in, arrays out: sessions of clicks as flat arrays with offsets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class SessionData:
    """Sessions in CSR style: session ``s`` is ``items[offsets[s]:offsets[s + 1]]``.

    Sessions are ordered by the time of their first event (ties: order of first appearance), events by
    time within the session (ties: order of appearance).
    """

    items: np.ndarray  # int64 [n_events], index into item_ids
    offsets: np.ndarray  # int64 [n_sessions + 1]
    times: np.ndarray  # float64 [n_events], seconds since 1970
    item_ids: np.ndarray  # [n_items] raw ids; train and test share one catalogue
    session_ids: np.ndarray  # [n_sessions] raw ids
    name: str = "sessions"

    @classmethod
    def from_frame(cls, df, *, session="session", item="item", time="time", item_ids=None, name="sessions"):
        df = df[[session, item, time]].sort_values([session, time], kind="stable")
        start = df.groupby(session)[time].transform("min")
        df = df.assign(_start=start).sort_values(["_start", session, time], kind="stable")
        if item_ids is None:
            item_ids = np.unique(df[item].to_numpy())
        items = pd.Index(item_ids).get_indexer(df[item])
        if (items < 0).any():
            raise ValueError("unknown item")
        sessions, first = np.unique(df[session].to_numpy(), return_index=True)
        order = np.argsort(first)
        return cls(items.astype(np.int64), np.append(first[order], len(df)).astype(np.int64),
                   df[time].to_numpy(np.float64), np.asarray(item_ids), sessions[order], name)

    @property
    def n_events(self):
        return len(self.items)

    @property
    def n_sessions(self):
        return len(self.offsets) - 1

    @property
    def n_items(self):
        return len(self.item_ids)

    @cached_property
    def lengths(self):
        """int64 [n_sessions]: events per session."""
        return np.diff(self.offsets)

    @cached_property
    def support(self):
        """int64 [n_items]: how often each item was clicked."""
        return np.bincount(self.items, minlength=self.n_items)

    def take(self, sessions):
        """The given sessions (int64 indices), in that order, over the same catalogue."""
        sessions = np.asarray(sessions, dtype=np.int64)
        lengths = self.lengths[sessions]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        pos = np.repeat(self.offsets[:-1][sessions] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return replace(self, items=self.items[pos], times=self.times[pos], offsets=offsets,
                       session_ids=self.session_ids[sessions])
