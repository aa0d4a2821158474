"""The page with pictures."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from html import escape
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from rnnbook import plots
from rnnbook.interactions import DAY
from rnnbook.look.counts import GAPS, SessionFacts, count_percentiles
from rnnbook.look.words import date, duration, in_words, number, percent, raw, top

STYLE = """
:root { color-scheme: light dark; --ground: #fdfcfa; --surface: #f4f2ed; --text: #24292e; --muted: #5b646d;
  --line: #dcd8cf; --accent: #17696a; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --surface: #20262c; --text: #d5dbe1; --muted: #a3adb7;
  --line: #363e46; --accent: #63bdb9; } }
@media print { :root { color-scheme: light; --ground: #fff; --surface: #fff; --text: #000; --muted: #444; --line: #bbb;
  --accent: #17696a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 3rem; background: var(--ground); color: var(--text);
  font: 16px/1.5 "Source Sans 3", "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: anywhere; }
h1, h2 { font-family: Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif; line-height: 1.2; }
h1 { margin: 0; font-size: 1.9rem; }
h2 { margin: 0 0 0.6rem; font-size: 1.3rem; color: var(--accent); }
header p { margin: 0.3rem 0 1rem; color: var(--muted); }
section { padding: 1.4rem 0; border-top: 1px solid var(--line); }
section.pictured { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 27rem); gap: 0 2.5rem; }
section.pictured h2 { grid-column: 1 / -1; }
dl { margin: 0; max-width: 46rem; }
dl > div { display: grid; grid-template-columns: 12rem 1fr; gap: 0 1rem; padding: 0.35rem 0; break-inside: avoid; }
dt { color: var(--muted); }
dd { margin: 0; font-variant-numeric: tabular-nums; }
section:first-child dl { display: flex; flex-wrap: wrap; gap: 0.2rem 2.6rem; max-width: none; }
section:first-child dl > div { display: block; }
section:first-child dd { font-size: 1.45rem; line-height: 1.2; }
.why { display: block; color: var(--muted); font-size: 0.9rem; }
.pictures { display: grid; gap: 1rem; align-content: start; }
figure { margin: 0; padding: 0.7rem; background: var(--surface); border: 1px solid var(--line); border-radius: 4px;
  break-inside: avoid; }
figure svg { display: block; width: 100%; height: auto; color: var(--text); }
figcaption { margin-bottom: 0.4rem; font-weight: 600; line-height: 1.3; }
h2 { break-after: avoid; }
@media (max-width: 60rem) { section.pictured { display: block; }
  .pictures { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 27rem)); margin-top: 0.9rem; } }
@media (max-width: 36rem) { dl > div { grid-template-columns: 1fr; } dt { font-size: 0.9em; } }
@media print { body { padding: 0; font-size: 10.5pt; } section { padding: 0.7rem 0; }
  section.pictured { display: block; } dl > div { padding: 0.15rem 0; grid-template-columns: 12rem 1fr; }
  .pictures { grid-template-columns: 1fr 1fr; margin-top: 0.6rem; } }
"""
SAFE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # a page that runs and loads nothing


class _Picture(NamedTuple):
    title: str
    alt: str  # what is to be seen
    draw: Callable  # on matplotlib axes


def _section(title, told, pictures):
    """A part of the page: its title, the facts in words, and the pictures beside them."""
    rows = "".join(f"<div><dt>{escape(fact.name)}</dt><dd>{escape(fact.value)}"
                   + (f'<span class="why">{escape(fact.why)}</span>' if fact.why else "") + "</dd></div>\n"
                   for fact in told)
    head = f"<h2>{title}</h2>\n<dl>\n{rows}</dl>\n"
    if not pictures:
        return f"<section>{head}</section>\n"
    figures = "".join(f"<figure><figcaption>{picture.title}</figcaption>{_svg(picture)}</figure>\n"
                      for picture in pictures)
    return f'<section class="pictured">{head}<div class="pictures">\n{figures}</div></section>\n'


def _svg(picture):
    """The picture as an SVG element whose text has the colour of the page's, with ids that no other picture has."""
    with plt.rc_context():
        plots.style()
        figure = Figure(figsize=(4.5, 2.8))
        picture.draw(figure.subplots())
        written = io.StringIO()
        figure.savefig(written, format="svg")
    return plots.inline(written.getvalue(), re.sub("[ ,]+", "-", picture.title), picture.alt)


def _upright(labels, shares, xlabel, ax):
    """Bars that stand, of shares, from 0."""
    ax.bar(np.arange(len(labels)), 100 * np.asarray(shares), width=0.85, color=plots.COLOURS[0])
    ax.set_xticks(np.arange(len(labels)), labels)
    ax.set(xlabel=xlabel, ylabel="%", ylim=(0, None))
    ax.grid(visible=False, axis="x")


def _lying(shares, ax):
    """Bars that lie, of shares by name, each with its number; the first is on top."""
    bars = ax.barh(list(shares), [100 * share for share in shares.values()], height=0.7, color=plots.COLOURS[0])
    ax.bar_label(bars, [percent(share) for share in shares.values()], padding=3)
    ax.invert_yaxis()
    ax.set(xlim=(0, 125 * max(*shares.values(), 0.004)), xlabel="%")
    ax.set_xticks([tick for tick in ax.get_xticks() if tick <= min(100, ax.get_xlim()[1])])
    ax.grid(visible=False, axis="y")


def _doubling(counts, xlabel, ax):
    """Bars over 1, 2 to 3, 4 to 7, … of values of which ``counts[v]`` are v."""
    edges = 2 ** np.arange(len(counts).bit_length() + 1)
    shares = 100 * np.diff(np.append(0, np.cumsum(counts))[np.minimum(edges, len(counts))]) / counts[1:].sum()
    ax.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=plots.COLOURS[0], edgecolor=plots.GREY)
    ax.set_xscale("log", base=2)
    shown = edges[::-(-len(edges) // 7)]
    ax.set_xticks(shown, [f"{edge:,}" for edge in shown])
    ax.set(xlabel=xlabel, ylabel="%", ylim=(0, None), xlim=(1, edges[-1]))
    ax.grid(visible=False, axis="x")


def _lorenz(support, what, ax):
    n = len(support)
    total = np.append(0, np.cumsum(support))
    at = np.unique(np.concatenate([np.linspace(0, n, 101), np.geomspace(1, n, 60)]).astype(np.int64))
    ax.plot(100 * at / n, 100 * total[at] / total[-1], marker="none")
    ax.plot([0, 100], [0, 100], color=plots.GREY, linestyle="--", marker="none")
    ax.annotate("if all items were equal", (50, 44), color=plots.GREY, ha="left", va="top")
    ax.set(xlabel="% of the items, the most popular first", ylabel=f"% of the {what}", xlim=(0, 100), ylim=(0, 102))


def _days_a_bar(facts):
    return -(-len(facts.per_day) // 120)


def _dates(first, n):
    """A few days from ``first`` on, in days since 1970, and their dates: beginnings of years, months or days."""
    unit, most = ("Y", 6) if n > 1000 else ("M", 4) if n > 90 else ("D", 3)
    begin, end = np.array([first, first + n], dtype="datetime64[D]").astype(f"datetime64[{unit}]").astype(int)
    marks = np.arange(begin, end + 1, -(-(end + 1 - begin) // most)).astype(f"datetime64[{unit}]")
    days = marks.astype("datetime64[D]").astype(int)
    within = (days >= first) & (days < first + n)
    return days[within], marks[within].astype(str)


def _daily(facts, what, ax):
    n, step = len(facts.per_day), _days_a_bar(facts)
    start = np.arange(0, n, step)
    width = np.diff(start, append=n)
    ax.bar(facts.first // DAY + start, np.add.reduceat(facts.per_day, start) / width, width=width, align="edge",
           color=plots.COLOURS[0])
    ax.set_xticks(*_dates(int(facts.first // DAY), n))
    ax.yaxis.set_major_formatter("{x:,.10g}")
    ax.set(ylabel=f"{what} a day", ylim=(0, None), xlim=(facts.first // DAY, facts.first // DAY + n))
    ax.grid(visible=False, axis="x")


def _shared_pictures(facts, what):
    """Of popularity and of days."""
    (_, share), busiest = top(facts, 10), int(facts.per_day.argmax())
    day = date(facts.first + busiest * DAY)
    step = _days_a_bar(facts)
    means = f", means over {step} days" if step > 1 else ""
    days = [_Picture(f"{what.capitalize()} a day{means}", f"Bars over time: {number(facts.per_day.mean())} {what} a "
                     f"day on average, the most, {facts.per_day[busiest]:,}, on {day}.", partial(_daily, facts, what))]
    popular = _Picture("How unequal the items are", f"A curve above the diagonal: the 10\xa0% of the items with the "
                       f"most {what} have {percent(share)} of them.", partial(_lorenz, facts.support, what))
    return days if len(facts.per_day) > 1 else [], popular


def _session_pictures(facts):
    days, popular = _shared_pictures(facts, "events")
    lengths, cap = facts.lengths, 12
    labels = [str(length) for length in range(1, min(cap, len(lengths)))]
    shares = lengths[1:cap] / facts.n_sessions
    if len(lengths) > cap:
        labels.append(f"{cap}+")
        shares = np.append(shares, lengths[cap:].sum() / facts.n_sessions)
    parts = {"first of its session": facts.openings, "only one of its item": facts.once,
             "repeats": facts.repeats, "the rest": facts.rest}
    mode = int(lengths.argmax())
    pictures = {
        "Time": days,
        "Sessions": [_Picture("Events a session", f"Bars: sessions of {mode:,} event{'s' * (mode != 1)} are the most "
                              f"frequent, {percent(lengths[mode] / facts.n_sessions)} of all.",
                              partial(_upright, labels, shares, "events"))],
        "Items": [popular],
        "What can be predicted": [_Picture("Of all events", "Bars: " + ", ".join(
            f"{name} {percent(share)}" for name, share in parts.items()) + ".", partial(_lying, parts))],
    }
    if facts.gap_percentiles:
        gaps = dict(zip(GAPS, facts.gap_counts / facts.gap_counts.sum(), strict=True))
        most = max(gaps, key=gaps.__getitem__)
        pictures["Sessions"].append(_Picture(
            "Time between events", f"Bars from 0\xa0s to over 30\xa0min: the highest is \u201c{most}\u201d, with "
            f"{percent(gaps[most])}. Half of the times are at most {duration(facts.gap_percentiles[0])}.",
            partial(_lying, gaps)))
    return pictures


def _rating_pictures(facts):
    days, popular = _shared_pictures(facts, "ratings")
    values, counts, n = facts.values, facts.counts, facts.n_ratings
    often = int(counts.argmax())
    draw = partial(_upright, [f"{value:.6g}" for value in values], counts / n, "rating")
    if len(values) > 12:
        draw = partial(_histogram, values, counts)
    user, item = (count_percentiles(each)[0] for each in (facts.per_user, facts.per_item))
    new = {"by a new user": facts.cold_user, "of a new item": facts.cold_item, "one of the two": facts.cold}
    pictures = {
        "Time": days,
        "Values": [_Picture("Ratings", f"Bars: {values[often]:.6g} is the most frequent rating, "
                            f"{percent(counts[often] / n)} of all.", draw)],
        "Users": [_Picture("Ratings a user", f"Bars over 1, 2 to 3, 4 to 7 ratings and so on: half of the users gave "
                           f"at most {user:,}.", partial(_doubling, facts.per_user, "ratings, on a doubling scale"))],
        "Items": [_Picture("Ratings an item", f"Bars over 1, 2 to 3, 4 to 7 ratings and so on: half of the items have "
                           f"at most {item:,}.", partial(_doubling, facts.per_item, "ratings, on a doubling scale")),
                  popular],
        "If the last 10\xa0% of the ratings were the test part": [_Picture(
            "Of the held-out ratings", "Bars: " + ", ".join(f"{name} {percent(share)}" for name, share in new.items())
            + ".", partial(_lying, new))],
    }
    if facts.texts is not None and facts.texts[1:].any():
        half = count_percentiles(facts.texts)[0]
        pictures["Texts"] = [_Picture("Characters a review, where there is text", f"Bars over 1, 2 to 3, 4 to 7 "
                                      f"characters and so on: half of the reviews have at most {half:,}.",
                                      partial(_doubling, facts.texts, "characters, on a doubling scale"))]
    return pictures


def _histogram(values, counts, ax):
    shares, edges = np.histogram(values, bins=20, weights=100 * counts / counts.sum())
    ax.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=plots.COLOURS[0], edgecolor=plots.GREY)
    ax.set(xlabel="rating", ylabel="%", ylim=(0, None))


def page(data):
    """Describe a log as one HTML file: the facts of `describe`, with pictures. It loads nothing and runs no script.

    Parameters
    ----------
    data : SessionData, RatingData or ReviewData
        All of a log, before it is split.

    Returns
    -------
    str
        To be written in UTF-8.

    Examples
    --------
    >>> from rnnbook.interactions import RatingData
    >>> stars = pd.DataFrame({"user": ["bob", "ann"], "item": "<tea>", "rating": [3, 5], "time": 10})
    >>> html = page(RatingData.from_frame(stars))
    >>> html[:15], html.count("<svg"), "&lt;tea&gt;" in html, "<tea>" in html
    ('<!doctype html>', 5, True, False)
    """
    found, sections = in_words(data)
    name, first = escape(raw(found.name)), np.isfinite(found.first)
    drawn = {} if not first else (_session_pictures if isinstance(found, SessionFacts) else _rating_pictures)(found)
    body = "".join(_section(title, told, drawn.get(title, [])) for title, told in sections)
    return (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>A look at {name}</title>\n'
            f'<meta http-equiv="Content-Security-Policy" content="{SAFE}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n<header><h1>{name}</h1>\n"
            "<p>What this log is, before anybody trains on it.</p></header>\n"
            f"<main>\n{body}</main>\n</body>\n</html>\n")
