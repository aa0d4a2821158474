"""Plots that read on a light and on a dark page, and without colour."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.rcsetup import cycler

GREY = "#7a7a7a"  # about 4.2 : 1 against white and against the dark theme's background
COLOURS = ("#2f7fc1", "#d55e00", "#0f9370", "#b565a7", "#a67c00", "#6b7a8f")  # each at least 3 : 1 on both
LINES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "X")


def style():
    """Set matplotlib's defaults for the book: see-through ground, mid-grey text, a line style for each curve.

    Curves drawn by one call after the other differ in colour, dash and marker together, so none of the three
    is needed to tell them apart; a dense curve carries a marker every tenth of the axes only.

    Examples
    --------
    >>> with plt.rc_context():
    ...     style()
    ...     plt.rcParams["axes.facecolor"], plt.rcParams["text.color"]
    ('none', '#7a7a7a')
    """
    plt.rcParams.update({
        "axes.prop_cycle": (cycler(color=COLOURS) + cycler(linestyle=LINES) + cycler(marker=MARKERS)
                            + cycler(markevery=[(0.015 * i, 0.1) for i in range(len(COLOURS))])),
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
    """Draw the best score anyone can reach as a horizontal line at height `y` (float, in the axis' unit).

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
    """Draw means with their intervals: rows of a result file at the places ``x``, in the look of curve number ``look``.

    ``options`` go to `matplotlib.axes.Axes.errorbar`, such as ``label``.

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
