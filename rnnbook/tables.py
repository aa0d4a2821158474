"""Numbers and tables as the pages show them: rounded to what their intervals carry, as HTML that fits a phone."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from html import escape
from itertools import groupby

import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import HTML

INTERVAL = re.compile(r"[\[(][-+−\d.,%\s to]+[\])]")  # of "0.7 [0.6, 0.8]" and "1.5 (1.2 to 1.8)"


def interval(mean, low, high, sign=""):
    """A mean with its interval as text; the mean alone where there is none (low = high, as from a single run).

    It has three significant digits, a difference two; but no more than two of half the interval's width, and no fewer
    than one.

    Parameters
    ----------
    mean, low, high : float
    sign : str
        "+" for a difference.

    Examples
    --------
    >>> interval(0.70312, 0.69167, 0.71581), interval(16722.952, 13652.141, 19793.763)
    ('0.703 [0.692, 0.716]', '16,700 [13,700, 19,800]')
    >>> interval(0.00042, -0.00213, 0.00297, "+"), interval(0.9, 0.9, 0.9)
    ('+0.0004 [-0.0021, +0.0030]', '0.900')
    """
    half = (high - low) / 2
    places = (1 if sign else 2) - _exponent(max(abs(mean), half))
    if low < high:
        places = min(max(places, -math.floor(math.log10(half))), 1 - _exponent(half))
    ends = [low, high] if low < high else []
    mean, *ends = (_fixed(number, places, sign) for number in (mean, *ends))
    return f"{mean} [{', '.join(ends)}]" if ends else mean


def _exponent(number):
    """The power of ten of a number's first digit, after it is rounded to three of them."""
    return int(f"{number:.2e}".partition("e")[2])


def _fixed(number, places, sign=""):
    """A number with so many decimals, or rounded to tens, hundreds, … where `places` is below zero; never "-0.00"."""
    return f"{round(number, places) + 0.0:{sign},.{max(places, 0)}f}"


def style():
    """From here on, the tables of this notebook or page are shown as `html` writes them.

    Examples
    --------
    >>> style()  # does nothing where nobody looks
    """
    shell = get_ipython()
    if shell:
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, html)


def html(frame):
    """A DataFrame as an HTML table (str), as the pages show it.

    Floats have at most three significant digits, and those of a column as many decimals as one of them needs. Columns
    in which nothing stands are left out, and so are rows' numbers from zero. An interval does not break; where there is
    little room, it stands below its mean. Losses in labels have their names of `losses_named`.

    Parameters
    ----------
    frame : DataFrame
        Its cells may be `IPython.display.HTML`.

    Examples
    --------
    >>> shown = html(pd.DataFrame({"RMSE": [0.51234, 0.4], "note": ["", None]}, index=["MF", "RRN"]))
    >>> "0.512" in shown, "0.400" in shown, "note" in shown
    (True, True, False)
    """
    texts = pd.DataFrame({place: _column(frame.iloc[:, place]) for place in range(frame.shape[1])}, index=frame.index)
    filled = [place for place in texts if (texts[place] != "").any()]
    texts, columns = texts[filled], [_levels(frame.columns[place]) for place in filled]
    kinds = ["words" if any(map(_is_words, texts[place])) else "" for place in filled]  # for the style sheet
    names = [] if isinstance(frame.index, pd.RangeIndex) and not frame.index.name else [
        str(name or "") for name in frame.index.names]
    if names and not any(names) and frame.columns.name:  # what stands below or beside it
        names[-1] = str(frame.columns.name)
    body = []
    for key, before, cells in zip(texts.index, [None, *texts.index], texts.itertuples(index=False)):
        labels = _labels(_levels(key), _levels(before)) if names else []
        body.append([*labels, *(_cell("td", text, kind) for text, kind in zip(cells, kinds))])
    head, rest = ("".join(f"<tr>{''.join(row)}</tr>" for row in rows) for rows in (_heads(columns, names, kinds), body))
    return f'<table class="dataframe"><thead>{head}</thead><tbody>{rest}</tbody></table>'


def losses_named(label):
    """A label (str) with each loss as the papers write it: BPR-max where the package has ``bpr-max``.

    Examples
    --------
    >>> losses_named("GRU4Rec bpr-max"), losses_named("top1"), losses_named("cross-entropy")
    ('GRU4Rec BPR-max', 'TOP1', 'cross-entropy')
    """
    return re.sub(r"\b(bpr|top1)\b", lambda loss: loss[0].upper(), label)


def _levels(label):
    levels = label if isinstance(label, tuple) else (label,)
    return tuple(losses_named(level) if isinstance(level, str) else level for level in levels)


def _cell(tag, text, kind=""):
    """A cell of a table. What belongs together, as "[0.6, −0.8]" or "7 %", is not broken; a zero has no sign."""
    start = f'<{tag} class="{kind}">' if kind else f"<{tag}>"
    if isinstance(text, HTML):
        return f"{start}{text.data}</{tag}>"
    text = re.sub(r"(?<!\w)[-+−](?=0(?:\.0*)?%?(?![\d.]))", "", str(text))
    text = re.sub(r"(?<![\w.)])-(?=\d)", "−", text)
    text = re.sub(r"(?<=\d) ?%", "\N{NO-BREAK SPACE}%", text)
    text = INTERVAL.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    return f"{start}{escape(text)}</{tag}>"


def _is_words(cell):
    return isinstance(cell, HTML) or re.match(r"[^\W\d_]", cell) is not None


def _labels(levels, before):
    """The labels of a row; one that the row before has, too, is marked."""
    again = [before[:n + 1] == levels[:n + 1] for n in range(len(levels) - 1)]
    return [_cell("th", label, "again" * same) for label, same in zip(levels, [*again, False])]


def _heads(columns, names, kinds):
    """The rows of a table's head: what columns have in common stands above them once; the last row names the index."""
    rows, levels = [], max(map(len, columns), default=0)
    for level in range(levels):
        last = level == levels - 1
        corner = [_cell("th", name, "words") if last and name else "<td></td>" for name in names]
        if last:
            heads = [_cell("th", column[-1], kind) for column, kind in zip(columns, kinds)]
        else:
            heads = [f'<th colspan="{len(list(run))}">{escape(str(shared[-1]))}</th>'
                     for shared, run in groupby(columns, key=lambda column: column[:level + 1])]
        rows.append([*corner, *heads])
    return rows


def _column(values):
    """The cells of a column as texts."""
    def decimals(number):
        return max(-int(Decimal(f"{number:.3g}").as_tuple().exponent), 0)

    def is_number(value):
        return isinstance(value, float | np.floating) and math.isfinite(value)

    most = max([decimals(value) for value in values if is_number(value)], default=0)

    def text(value):
        if value is None or value is pd.NA or value != value:
            return ""
        if is_number(value):
            return _fixed(value, min(most, 2 - _exponent(value)))
        if isinstance(value, int | np.integer) and abs(int(value)) >= 10_000:
            return f"{value:,}"
        return value if isinstance(value, HTML) else str(value)

    return [text(value) for value in values]


def fold(summary, *parts):
    """HTML that opens at a click: a summary, and below it badges and DataFrames, each of which scrolls by itself.

    Examples
    --------
    >>> fold("Scores", pd.DataFrame({"RMSE": [0.9]}, index=["RRN"])).data[:32]
    '<details class="fold"><summary>S'
    """
    inner = (part.data if isinstance(part, HTML) else f'<div class="wide">{html(part)}</div>' for part in parts)
    return HTML(f'<details class="fold"><summary>{escape(summary)}</summary>{"".join(inner)}</details>')
