"""A widget that also runs on a page without a kernel."""

from __future__ import annotations

import html
import itertools
import json
from pathlib import Path

import anywidget

HERE = Path(__file__).parent
_MOUNT = (HERE / "mount.js").read_text(encoding="utf-8")
_numbers = itertools.count(1)


def source(name):
    """The module ``name`` with the shared helpers in front, as one ES module."""
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("common.js", name))


class Widget(anywidget.AnyWidget):
    """Base of the book's widgets.

    With a live kernel it is an ordinary anywidget. Beside the widget view, its display carries HTML that
    mounts the same ES module with the current state, so that it works on any static page: no kernel, no
    widget manager, no network. A subclass sets ``_esm = source("….js")``, a module with a function
    ``render({model, el})``, and does there, in the browser, everything that the reader can do.
    """

    _css = (HERE / "widgets.css").read_text(encoding="utf-8")
    _ipython_display_ = None  # that of ipywidgets 7 would bypass _repr_mimebundle_

    def summary(self):
        """One sentence for readers without scripts: what the widget shows."""
        raise NotImplementedError

    def state(self):
        """dict: the synchronised traits that the module reads."""
        base = set(anywidget.AnyWidget.class_trait_names(sync=True))
        return {name: getattr(self, name) for name in sorted(self.trait_names(sync=True))
                if name not in base and not name.startswith("_")}

    def to_html(self, element_id=None):
        """The widget as HTML with its style, state and module inside.

        Element ids are numbered in the order of display, so that a page executed anew stays the same.
        """
        element_id = element_id or f"rnnbook-widget-{next(_numbers)}"
        # Escaping every "<" keeps "</script>" and "<!--" out; json keeps U+2028 and U+2029 out.
        state = json.dumps(self.state(), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        mount = _MOUNT.replace("ELEMENT_ID", json.dumps(element_id)).replace("STATE", state)
        return (f'<div id="{element_id}" class="rnnbook-widget"><p>{html.escape(self.summary())}</p></div>\n'
                f'<style>{self._css}</style>\n<script type="module">\n{self._esm}\n{mount}</script>')

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        plain = f"{type(self).__name__}: {self.summary()}"  # never a memory address
        return {**data, "text/plain": plain, "text/html": self.to_html()}, metadata
