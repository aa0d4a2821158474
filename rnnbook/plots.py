"""Plots that are legible on a light and a dark page, on a phone, and without colour."""

from __future__ import annotations

import re
from html import escape

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from IPython.core.pylabtools import print_figure
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

INK = "#24292e"
GREY = "#57606a"  # for what is not the matter itself, such as the line of the optimum
COLOURS = ("#2f7fc1", "#d55e00", "#0f9370", "#b565a7", "#a67c00", "#6b7a8f")  # 3 : 1 with white and with a dark page
LINES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (1, 1)))
DASHES = ("", (3.7, 1.6), (6.4, 1.6, 1, 1.6), (1, 1.65), (6, 1.5, 1, 1.5, 1, 1.5), (1, 1))  # the same, for seaborn
MARKERS = ("o", "s", "^", "D", "v", "X")
SLIDE = (8.6, 3.4)  # inches: as wide as a slide, text of 10 points has 18 pixels there or more
TALL = 4.5  # inches: as high as a slide, text in a higher figure has less


def style():
    """Set matplotlib's defaults for the book: readable text on a phone, a line style for each curve.

    A figure is 5 inches wide: on a phone its text of 10 points or more is then still 9 pixels high. Successive curves
    differ in colour, dash pattern and marker, so they can be told apart by any one of the three. A dense curve has a
    marker only every tenth of the axes. Bars whose axis does not hold zero are refused.

    Examples
    --------
    >>> with plt.rc_context():
    ...     style()
    ...     plt.rcParams["figure.figsize"], plt.rcParams["text.color"]
    ([5.0, 3.1], '#24292e')
    """
    plt.rcParams.update({
        "axes.prop_cycle": (plt.cycler(color=COLOURS) + plt.cycler(linestyle=LINES) + plt.cycler(marker=MARKERS)
                            + plt.cycler(markevery=[(0.015 * i, 0.1) for i in range(len(COLOURS))])),
        "figure.facecolor": "white", "axes.facecolor": "none", "legend.frameon": False,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GREY, "axes.titlecolor": INK,
        "xtick.color": GREY, "ytick.color": GREY, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
        "axes.grid": True, "grid.color": GREY, "grid.alpha": 0.25, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False,
        "lines.linewidth": 1.8, "lines.markersize": 5,
        "font.size": 11, "axes.titlesize": 11, "xtick.labelsize": 10, "ytick.labelsize": 10, "legend.fontsize": 10,
        "figure.figsize": (5, 3.1), "figure.dpi": 110, "figure.constrained_layout.use": True,
        "savefig.pad_inches": 0.03, "figure.hooks": ["rnnbook.plots:from_zero"],
        "svg.fonttype": "none", "svg.hashsalt": "rnnbook",
    })


def from_zero(figure):
    """Let a figure raise a ValueError, when it is drawn, if it has bars on an axis that does not hold zero.

    A bar is read by its length. Where zero is out of sight, dots with intervals say the same and do not mislead.
    `style` hooks this to every new figure.

    Examples
    --------
    >>> with plt.rc_context():
    ...     style()
    ...     figure, ax = plt.subplots()
    >>> _ = ax.bar(["MF", "RRN"], [0.95, 0.91])
    >>> figure.canvas.draw()
    >>> _ = ax.set_ylim(0.8, 1)
    >>> figure.canvas.draw()
    Traceback (most recent call last):
        ...
    ValueError: bars on an axis from 0.8 to 1: draw dots, or begin at zero
    >>> plt.close(figure)
    """
    def check(event):
        for ax in figure.axes:
            for bars in ax.containers:
                if isinstance(bars, BarContainer):
                    low, high = sorted(ax.get_ylim() if bars.orientation == "vertical" else ax.get_xlim())
                    if not low <= 0 <= high:
                        raise ValueError(f"bars on an axis from {low:g} to {high:g}: draw dots, or begin at zero")

    figure.canvas.mpl_connect("draw_event", check)


def inline(svg, name, alt):
    """A picture that matplotlib has written as SVG, as an element of an HTML page.

    Its text has the page's font and colour, and what is `GREY` the colour ``--muted`` of the page's style.

    Parameters
    ----------
    svg : str
    name : str
        The picture's name on its page, with which its ids begin.
    alt : str
        What is to be seen, for those who do not see it.

    Returns
    -------
    str

    Examples
    --------
    >>> svg = '''<svg width="9pt"><g id="patch_1"><path/></g>
    ... <text style="fill: #24292e" id="text_1">1.2345</text></svg>'''
    >>> print(inline(svg, "fig-one", "A number."))
    <svg role="img" aria-label="A number." style="stroke-linejoin: round" width="9pt">
    <text style="fill: currentColor">1.2345</text></svg>
    """
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg"):], flags=re.S)
    svg = re.sub(r'<g id="patch_1">.*?</g>', "", svg, count=1, flags=re.S)  # the figure's ground
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda own: f' id="{name}-{own[1]}"' if own[1] in used else "", svg)
    svg = re.sub(r'(?:xlink:)?(href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r"font-family: [^;\"]+", "font-family: inherit", svg)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), svg)  # without thousandths of a point
    svg = svg.replace(INK, "currentColor").replace(GREY, "var(--muted)")
    # A browser leaves room for a figure that it has not drawn yet.
    box = re.match(r'<svg[^>]* viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    style = "stroke-linejoin: round" + (f"; aspect-ratio: {box[1]} / {box[2]}" if box else "")
    return f'<svg role="img" aria-label="{escape(alt)}" style="{style}"' + svg.removeprefix("<svg")


def side_by_side(figure):
    """Lay out anew a figure whose panels stand one below the other, for a phone: side by side, for a slide.

    Each panel gets the labels of an axis that it shares with the last.

    Examples
    --------
    >>> figure, (above, below) = plt.subplots(2, sharex=True)
    >>> _ = below.set(xlabel="clicks")
    >>> side_by_side(figure)
    >>> figure.canvas.draw()
    >>> bool(above.get_position().x1 < below.get_position().x0), above.get_xlabel()
    (True, 'clicks')
    >>> plt.close(figure)
    """
    panels = figure.axes
    figure.set_size_inches(SLIDE)
    for ax, place in zip(panels, figure.add_gridspec(1, len(panels))):
        ax.set_subplotspec(place)
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(ax.get_xlabel() or panels[-1].get_xlabel(), visible=True)


def load_ipython_extension(shell):
    """Let IPython show figures as SVG, for a page, and as PNG, for a notebook, as the build of the book needs them.

    Where panels one below the other are too high for a slide, the metadata of the SVG has them `side_by_side`. That is
    drawn last, since it changes the figure.

    Parameters
    ----------
    shell : the running IPython

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from IPython.core.formatters import DisplayFormatter
    >>> shell = SimpleNamespace(display_formatter=DisplayFormatter())
    >>> load_ipython_extension(shell)
    >>> for height in (3, 6):
    ...     figure, axes = plt.subplots(2, figsize=(5, height))
    ...     data, more = shell.display_formatter.format(figure)
    ...     sorted(data), data["text/plain"], list(more["image/svg+xml"])
    (['image/png', 'image/svg+xml', 'text/plain'], '<Figure size 500x300 with 2 Axes>', [])
    (['image/png', 'image/svg+xml', 'text/plain'], '<Figure size 500x600 with 2 Axes>', ['slide'])
    >>> plt.close("all")
    """
    def forms(figure):
        data = {"text/plain": repr(figure), "image/svg+xml": print_figure(figure, "svg"),
                "image/png": print_figure(figure, base64=True)}
        slide = {}
        if figure.get_figheight() > TALL and figure.axes[0].get_gridspec().ncols == 1:
            side_by_side(figure)
            slide["slide"] = print_figure(figure, "svg")
        return data, {"image/svg+xml": slide}

    shell.display_formatter.mimebundle_formatter.for_type(Figure, forms)


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
    """Draw numbers as horizontal bars with seaborn, the first on top, one in another colour, and their numbers.

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
    for y, value in enumerate(values.values()):  # beside the axes no line can run through them
        ax.annotate(f"{value:.3f}", xy=(1, y), xycoords=("axes fraction", "data"), xytext=(4, 0),
                    textcoords="offset points", va="center", fontsize=10)
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
