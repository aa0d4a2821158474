"""Plots that are legible on a light and a dark page, and without colour."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

GREY = "#7a7a7a"  # a contrast of about 4.2 : 1 with white and with the dark theme's background
COLOURS = ("#2f7fc1", "#d55e00", "#0f9370", "#b565a7", "#a67c00", "#6b7a8f")  # each has at least 3 : 1 with both
LINES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (1, 1)))
DASHES = ("", (3.7, 1.6), (6.4, 1.6, 1, 1.6), (1, 1.65), (6, 1.5, 1, 1.5, 1, 1.5), (1, 1))  # the same, for seaborn
MARKERS = ("o", "s", "^", "D", "v", "X")


def style():
    """Set matplotlib's defaults for the book: transparent background, mid-grey text, a line style for each curve.

    Successive curves differ in colour, dash pattern and marker, so they can be told apart by any one of the three. A
    dense curve has a marker only every tenth of the axes.

    Examples
    --------
    >>> with plt.rc_context():
    ...     style()
    ...     plt.rcParams["axes.facecolor"], plt.rcParams["text.color"]
    ('none', '#7a7a7a')
    """
    plt.rcParams.update({
        "axes.prop_cycle": (plt.cycler(color=COLOURS) + plt.cycler(linestyle=LINES) + plt.cycler(marker=MARKERS)
                            + plt.cycler(markevery=[(0.015 * i, 0.1) for i in range(len(COLOURS))])),
        "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
        "legend.facecolor": "none", "legend.edgecolor": "none", "legend.framealpha": 0.0,
        "text.color": GREY, "axes.labelcolor": GREY, "axes.edgecolor": GREY, "axes.titlecolor": GREY,
        "xtick.color": GREY, "ytick.color": GREY,
        "axes.grid": True, "grid.color": GREY, "grid.alpha": 0.25, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False,
        "lines.linewidth": 1.8, "lines.markersize": 5, "font.size": 11.5,
        "figure.figsize": (7.2, 3.6), "figure.dpi": 110, "figure.constrained_layout.use": True,
        "svg.hashsalt": "rnnbook",
    })


def oracle_line(ax, y, label="Bayes optimum"):
    """Draw the best possible score as a horizontal line at height `y` (float, in the unit of the axis).

    Returns the `matplotlib.lines.Line2D`.

    Examples
    --------
    >>> figure, ax = plt.subplots()
    >>> line = oracle_line(ax, 0.61)
    >>> list(line.get_ydata()), [text.get_text() for text in ax.texts]
    ([0.61, 0.61], ['Bayes optimum 0.61'])
    >>> plt.close(figure)
    """
    line = ax.axhline(y, color=GREY, linewidth=2.4, linestyle=(0, (8, 3)), marker="none", label=label, zorder=1)
    ax.annotate(f"{label} {y:.3g}", xy=(1, y), xycoords=("axes fraction", "data"), xytext=(-2, 4),
                textcoords="offset points", ha="right", va="bottom", color=GREY, fontweight="bold")
    return line


def intervals(ax, x, rows, look=0, **options):
    """Draw means with their intervals, at the positions ``x``.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : sequence of float [n]
    rows : sequence of dict [n]
        Rows of a result file with ``"mean"``, ``"low"`` and ``"high"``.
    look : int
        The number of the colour, line style and marker.
    **options
        Passed to `matplotlib.axes.Axes.errorbar`, such as ``label``.

    Returns
    -------
    matplotlib.container.ErrorbarContainer

    Examples
    --------
    >>> figure, ax = plt.subplots()
    >>> rows = [{"mean": 0.50, "low": 0.48, "high": 0.53},
    ...         {"mean": 0.60, "low": 0.59, "high": 0.61}]
    >>> bars = intervals(ax, [100, 1000], rows, label="GRU4Rec")
    >>> bars.lines[0].get_ydata().tolist(), bars.get_label()
    ([0.5, 0.6], 'GRU4Rec')
    >>> plt.close(figure)
    """
    means = [row["mean"] for row in rows]
    spread = [[row["mean"] - row["low"] for row in rows], [row["high"] - row["mean"] for row in rows]]
    looks = {"color": COLOURS[look], "linestyle": LINES[look], "marker": MARKERS[look], "markevery": 1, "capsize": 3}
    return ax.errorbar(x, means, yerr=spread, **looks | options)


def lines(curves, x=None, ax=None, **options):
    """Draw up to six curves with seaborn, each in a colour, dash and marker of its own, and their legend.

    Parameters
    ----------
    curves : dict of str to array or Tensor [n]
    x : sequence [n], optional
        By default 0, 1, …, n - 1.
    ax : matplotlib.axes.Axes, optional
        By default that of a new figure.
    **options
        For `seaborn.lineplot`, such as ``markevery=1`` for a marker at each point instead of every tenth of the axes.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> ax = lines({"GRU": torch.tensor([0.5, 0.6, 0.7]), "LSTM": [0.4, 0.6, 0.8]}, x=[1, 10, 100])
    >>> [text.get_text() for text in ax.get_legend().get_texts()], ax.lines[1].get_xdata().tolist()
    (['GRU', 'LSTM'], [1.0, 10.0, 100.0])
    >>> plt.close(ax.figure)
    """
    n, ax = len(curves), ax or plt.subplots()[1]
    looks = {"palette": COLOURS[:n], "dashes": DASHES[:n], "markers": MARKERS[:n], "markeredgecolor": "none",
             "markersize": 6}
    return sns.lineplot(pd.DataFrame(curves, index=x), ax=ax, **looks | options)


def bars(values, highlight, ax=None):
    """Draw numbers as horizontal bars with seaborn, the first on top, each with its number, one in another colour.

    Parameters
    ----------
    values : dict of str to float
    highlight : str
        The name of the bar in another colour.
    ax : matplotlib.axes.Axes, optional
        By default that of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> ax = bars({"mean": 1.12, "RRN": 0.91}, highlight="RRN")
    >>> [text.get_text() for text in ax.texts], [label.get_text() for label in ax.get_yticklabels()]
    (['1.120', '0.910'], ['mean', 'RRN'])
    >>> plt.close(ax.figure)
    """
    colours = {name: COLOURS[name == highlight] for name in values}
    ax = sns.barplot(x=list(values.values()), y=list(values), hue=list(values), palette=colours, saturation=1,
                     errorbar=None, width=0.6, legend=False, ax=ax or plt.subplots()[1])
    for bar in ax.containers:
        ax.bar_label(bar, fmt="%.3f", padding=4, fontsize=10)
    ax.grid(visible=False, axis="y")
    return ax


def dots(rows, hollow=(), ax=None):
    """Draw differences as dots with their intervals, one below the other, beside a line at zero.

    Parameters
    ----------
    rows : dict of str to dict
        ``mean, low, high`` by name, such as `rnnbook.results.lead` returns them; the first is on top.
    hollow : collection of str
        The names of those that are not certain: their dots are hollow.
    ax : matplotlib.axes.Axes, optional
        By default that of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> ax = dots({"KNN": {"mean": 0.3, "low": 0.2, "high": 0.4},
    ...            "GRU": {"mean": 0.1, "low": -0.1, "high": 0.3}}, hollow=["GRU"])
    >>> [mark.get_markerfacecolor() for mark in ax.lines if mark.get_marker() == "o"]
    ['#2f7fc1', 'none']
    >>> plt.close(ax.figure)
    """
    ax = ax or plt.subplots()[1]
    ax.axvline(0, color=GREY, linewidth=1.4, linestyle="-", marker="none", zorder=1)
    for name, row in rows.items():
        ax.errorbar(row["mean"], name, xerr=[[row["mean"] - row["low"]], [row["high"] - row["mean"]]], marker="o",
                    markersize=7, color=COLOURS[0], markerfacecolor="none" if name in hollow else COLOURS[0],
                    linestyle="", markevery=1, capsize=3)
    ax.yaxis.set_inverted(True)
    ax.margins(y=0.5 / len(rows))
    ax.grid(visible=False, axis="y")
    return ax
