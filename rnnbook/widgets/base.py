"""Base class of widgets that also work on a page without a kernel."""

from __future__ import annotations

import html
import itertools
import json
import re
from pathlib import Path

import anywidget
import numpy as np

HERE = Path(__file__).parent
_MOUNT = (HERE / "mount.js").read_text(encoding="utf-8")
_numbers = itertools.count(1)
MOST = 8  # names that a reader chooses from


def source(*names):
    """The JavaScript files ``names`` with the shared helpers before them, as the source of one ES module (str)."""
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("common.js", *names))


def rounded(values):
    """Numbers, or nested sequences of them, as nested lists with four digits each, to keep the page small."""
    return [rounded(v) for v in values] if np.ndim(values) else float(f"{values:.4g}")


class Widget(anywidget.AnyWidget):
    """Base class of the book's widgets.

    With a live kernel it is an ordinary anywidget. Its output also contains HTML, which runs the same ES module with
    the current state. So it works on any static page, without kernel, widget manager or network. A subclass sets
    ``_esm = source("….js")``, a module with a function ``render({model, el})`` and the line
    ``export default { render };``. This module must handle all actions of the reader in the browser.
    """

    _css = (HERE / "widgets.css").read_text(encoding="utf-8")
    _ipython_display_ = None  # the method of ipywidgets 7 would bypass _repr_mimebundle_

    def summary(self):
        """str: one sentence that says what the widget shows, for readers without scripts."""
        raise NotImplementedError

    def state(self):
        """dict: the synchronised traits that the module reads."""
        base = set(anywidget.AnyWidget.class_trait_names(sync=True))
        return {name: getattr(self, name) for name in sorted(self.trait_names(sync=True))
                if name not in base and not name.startswith("_")}

    def linked(self):
        """dict: what a link to the widget on a page keeps, by trait, and the values that the link may set.

        These are a list of them, ``{"low": …, "high": …}`` for a number between, or ``{"longest": …}`` for a text; for
        a trait that is a list, ``{"of": the values of an element, "least": fewest elements, "most": most}``.
        """
        return {}

    def to_html(self, element_id=None):
        """str: the widget as HTML that contains its style, state and module.

        By default element ids are numbered in the order of display, so the HTML is the same if a page is executed
        again.
        """
        element_id = element_id or f"rnnbook-widget-{next(_numbers)}"
        # A script that is no module runs where it stands: the widget is there before the page is drawn, nothing moves.
        script = re.sub(r"^export (default .*)?", "", self._esm, flags=re.MULTILINE)
        # Escaping every "<" prevents "</script>" and "<!--"; json already escapes U+2028 and U+2029.
        state = json.dumps(self.state(), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        linked = json.dumps([type(self).__name__, self.linked()], separators=(",", ":")).replace("<", "\\u003c")
        mount = (_MOUNT.replace("ELEMENT_ID", json.dumps(element_id)).replace("LINKED", linked)
                 .replace("STATE", state))  # last: it may hold any text
        return (f'<div id="{element_id}" class="rnnbook-widget"><p>{html.escape(self.summary())}</p></div>\n'
                f'<style>{Widget._css}</style><style>{self._css.removeprefix(Widget._css)}</style>\n'
                f'<script>(() => {{ "use strict";\n{script}\n{mount}}})()</script>')

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        plain = f"{type(self).__name__}: {self.summary()}"  # without a memory address, which would change every time
        return {**data, "text/plain": plain, "text/html": self.to_html()}, metadata
