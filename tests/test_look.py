"""A look at a log: numbers counted by hand and by slow loops, odd logs, and the page in a browser."""

import re
from collections import Counter, defaultdict
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbook import look
from rnnbook.interactions import DAY, DataError, RatingData, ReviewData, SessionData

HOUR = 3600


def sessions(rows, name="sessions"):
    return SessionData.from_frame(pd.DataFrame(rows, columns=["session", "item", "time"]), name=name)


def ratings(rows, name="ratings"):
    return RatingData.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating", "time"]), name=name)


def reviews(rows, texts):
    df = pd.DataFrame(rows, columns=["user", "item", "rating", "time"]).assign(text=texts)
    return ReviewData.from_frame(df)


# Three days. Session 3 has one event; "new" is clicked in the last day only.
CLICKS = [(1, "tent", 0), (1, "rope", 10), (1, "tent", 10), (1, "tent", 10 + HOUR),
          (2, "rope", 2 * HOUR), (2, "mug", 2 * HOUR + 40),
          (3, "tent", 3 * HOUR),
          (4, "new", 2 * DAY + HOUR), (4, "tent", 2 * DAY + HOUR + 5), (4, "rope", 2 * DAY + HOUR + 6)]
STARS = [("ann", "tea", 5, 0), ("ann", "mug", 4, 0), ("bob", "tea", 3, DAY), ("ann", "tea", 4, 3 * DAY),
         ("ann", "mug", 4, 3 * DAY), ("bob", "mug", 4, 3 * DAY), ("ann", "tea", 4, 3 * DAY), ("bob", "tea", 1, 3 * DAY),
         ("ann", "tea", 4, 3 * DAY), ("cat", "tea", 4, 4 * DAY)]


# Numbers ------------------------------------------------------------------------------------------------


def test_sessions_by_hand():
    found = look.facts(sessions(CLICKS))
    assert (found.n_events, found.n_sessions, found.n_items, found.n_catalogue) == (10, 4, 4, 4)
    assert (found.first, found.last) == (0, 2 * DAY + HOUR + 6)
    assert found.lengths.tolist() == [0, 1, 1, 1, 1] and found.longest == 1
    assert found.support.tolist() == [5, 3, 1, 1] and found.popular == (("tent", 5), ("rope", 3), ("mug", 1))
    assert found.per_day.tolist() == [7, 0, 3]
    assert (found.repeats, found.again, found.openings) == (0.2, 0.1, 0.4)
    assert found.once == 0.1  # "mug"; "new" opens its session
    assert found.rest == 0.3
    assert found.gap_percentiles == (5, HOUR, HOUR, HOUR)  # of 0, 1, 5, 10, 40 and 3600
    assert dict(zip(look.GAPS, found.gap_counts.tolist())) == {
        "0 s": 1, "up to 10 s": 3, "up to 30 s": 0, "up to 1 min": 1, "up to 2 min": 0, "up to 5 min": 0,
        "up to 30 min": 0, "longer": 1}
    assert (found.test_sessions, found.test_events, found.test_unseen_items, found.test_predicted) == (1, 3, 1, 1)
    assert found.test_unseen == pytest.approx(1 / 3)


def test_ratings_by_hand():
    found = look.facts(ratings(STARS))
    assert (found.n_ratings, found.n_users, found.n_items) == (10, 3, 2)
    assert found.values.tolist() == [1, 3, 4, 5] and found.counts.tolist() == [1, 1, 7, 1]
    assert found.mean == pytest.approx(3.7) and found.deviation == pytest.approx(np.sqrt(1.01))
    assert found.per_user.tolist() == [0, 1, 0, 1, 0, 0, 1] and np.flatnonzero(found.per_item).tolist() == [3, 7]
    assert found.support.tolist() == [7, 3] and found.popular == (("tea", 7), ("mug", 3))
    assert found.per_day.tolist() == [2, 1, 0, 6, 1]
    assert found.span_percentiles == (2 * DAY, 3 * DAY, 3 * DAY, 3 * DAY)
    assert found.repeats == 0.5  # five pairs
    assert found.tied == 0.5  # ann's second of 2, her second to fourth of 4, and bob's second of 2
    assert (found.late_ratings, found.late_users, found.late_items) == (1, 1, 1)
    assert (found.cold_users, found.cold_items) == (1, 0)
    assert (found.cold_user, found.cold_item, found.cold) == (1, 0, 1)
    assert found.texts is None


def test_texts_by_hand():
    data = reviews(STARS[:4], ["hot", None, "ok", "hot"])
    assert look.facts(data).texts.tolist() == [1, 0, 1, 2]
    text = look.describe(data)
    assert re.search(r"Characters +8\n", text) and re.search(r"Reviews without text +1 \(25 %\)", text)
    assert "Characters" not in look.describe(data.ratings)


LINES = """\
three days ==========
Events 10
Items 4
From 1970-01-01 00:00 UTC
To 1970-01-03 01:00 UTC, 2.04 days later
3.33 on average; the most on 1970-01-01, 7
Days without events 1 of 3
2.5 on average; half have at most 2, 90 % at most 4, 99 % at most 4, all at most 4
Longest session 1: 4 events
Sessions of one event 1 (25 %)
half are at most 5 s, 90 % at most 1 h
Of these over 30 min 16.7 %
20 % of the events are on an item that the session has already, 10 % on
Most popular tent (5), rope (3), mug (1)
Top 10 % of the items 50 % of the events (1 item)
Half of the events on the 1 item with the most (25 % of all)
Concentration 0.35 (Gini)
Items with one event 2 (50 %)
Items with fewer than 5 3 (75 %), with 50 % of the events
First of its session 40 %
Only event of its item 10 %
Out of reach 50 %
The rest 30 %
Held out 1 session with 3 events (30 %)
33.3 % of these events, on 1 item
Left to predict 1 event (33.3 % of those held out)
Rows read 10""".splitlines()


def test_the_text_states_the_facts():
    text = re.sub(r"\s+", " ", look.describe(sessions(CLICKS, name="three days")))
    for line in LINES:
        assert line in text, line
    assert max(map(len, look.describe(sessions(CLICKS)).splitlines())) <= 96


def test_the_page_states_what_the_text_states():
    """Every line of the text, word by word, stands in the page."""
    for data in (sessions(CLICKS), ratings(STARS), reviews(STARS, ["a"] * 10)):
        shown = re.sub(r"<style.*?</style>|<svg.*?</svg>", "", look.page(data), flags=re.S)
        words = re.sub(r"<[^>]+>|\s", "", shown).replace("&#x27;", "'").replace("\xa0", "")
        for line in look.describe(data).splitlines():
            for part in filter(None, re.split(r"\s{2,}|^=+$", line)):
                assert re.sub(r"\s", "", part) in words, part


def test_a_share_is_neither_none_nor_all_in_words_if_it_is_not():
    n = 200_000
    text = look.describe(SessionData(np.zeros(n, dtype=np.int64), np.array([0, n]), np.arange(float(n)),
                                     np.array(["tent"]), np.array([1])))
    assert re.search("Repeats +over 99.9 % of the events are", text)
    assert re.search("First of its session +under 0.001 % of the events", text)
    assert re.search("Only event of its item +0 % of the events", text)
    assert re.search("Top 1 % of the items +100 % of the events", text)


# Against slow loops -------------------------------------------------------------------------------------


def slow_sessions(data):
    """The same numbers, event by event."""
    clicks, ends = Counter(data.items.tolist()), {}
    opened, repeats, again, once, gaps, days = 0, 0, 0, 0, [], Counter()
    parts = [(data.items[a:b].tolist(), data.times[a:b].tolist()) for a, b in pairwise(data.offsets.tolist())]
    for s, (items, times) in enumerate(parts):
        opened += 1
        ends[s] = times[-1]
        for i, (item, time) in enumerate(zip(items, times)):
            repeats += item in items[:i]
            again += i > 0 and items[i - 1] == item
            once += i > 0 and clicks[item] == 1
            days[int(time // DAY)] += 1
            if i:
                gaps.append(time - times[i - 1])
    late = {s for s in ends if ends[s] >= max(ends.values()) - DAY}
    known = {item for s, (items, _) in enumerate(parts) if s not in late for item in items}
    held = [items for s, (items, _) in enumerate(parts) if s in late]
    unseen = [item for items in held for item in items if item not in known]
    return {"openings": opened, "repeats": repeats, "again": again, "once": once, "gaps": sorted(gaps), "days": days,
            "lengths": Counter(len(items) for items, _ in parts), "support": sorted(clicks.values(), reverse=True),
            "test_sessions": len(late), "test_events": sum(map(len, held)), "unseen": len(unseen),
            "test_unseen_items": len(set(unseen)),
            "test_predicted": sum(max(sum(item in known for item in items) - 1, 0) for items in held)}


def percentiles(ordered):
    return tuple(next(v for k, v in enumerate(ordered, 1) if 100 * k >= percent * len(ordered))
                 for percent in look.PERCENTILES) if ordered else ()


def as_counts(counter):
    return [counter[v] for v in range(max(counter) + 1)]


CLICK = st.tuples(st.integers(0, 5), st.sampled_from("abcdef"), st.integers(0, 60).map(lambda n: n * HOUR / 4))


@settings(max_examples=150, deadline=None)
@given(st.lists(CLICK, min_size=1, max_size=40))
def test_sessions_agree_with_a_slow_count(rows):
    data = sessions(rows)
    found, slow, n = look.facts(data), slow_sessions(data), len(rows)
    for name in ("openings", "repeats", "again", "once"):
        assert getattr(found, name) == slow[name] / n
    for name in ("test_sessions", "test_events", "test_unseen_items", "test_predicted"):
        assert getattr(found, name) == slow[name]
    assert found.test_unseen == slow["unseen"] / slow["test_events"]
    assert found.gap_percentiles == percentiles(slow["gaps"]) and found.gap_counts.sum() == len(slow["gaps"])
    assert found.lengths.tolist() == as_counts(slow["lengths"]) and found.support.tolist() == slow["support"]
    first = min(slow["days"])
    assert found.per_day.tolist() == as_counts(Counter({day - first: count for day, count in slow["days"].items()}))
    assert found.rest == (n - slow["openings"] - slow["once"] - slow["repeats"]) / n
    holds_shares(found)
    assert "nan" not in look.describe(data)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abcdef"), st.integers(0, 400).map(lambda n: n * HOUR)),
                min_size=10, max_size=60))
def test_what_is_left_to_predict_is_what_the_split_leaves(rows):
    data = sessions(rows)
    try:
        _, last = data.split_by_time()
    except DataError:
        return
    assert look.facts(data).test_predicted == last.n_events - last.n_sessions


STAR = st.tuples(st.integers(0, 4), st.sampled_from("abcde"), st.sampled_from([1, 2.5, 4]),
                 st.integers(0, 12).map(lambda n: n * 8 * HOUR))


@settings(max_examples=150, deadline=None)
@given(st.lists(STAR, min_size=1, max_size=40))
def test_ratings_agree_with_a_slow_count(rows):
    data = ratings(rows)
    found, n = look.facts(data), len(rows)
    events = list(zip(data.users.tolist(), data.items.tolist(), data.ratings.tolist(), data.times.tolist()))
    pairs = [event[:2] for event in events]
    moments = [(user, time) for user, _, _, time in events]
    assert found.repeats == sum(pair in pairs[:i] for i, pair in enumerate(pairs)) / n
    assert found.tied == sum(moment in moments[:i] for i, moment in enumerate(moments)) / n
    assert dict(zip(found.values.tolist(), found.counts.tolist())) == Counter(rating for _, _, rating, _ in events)
    assert found.per_user.tolist() == as_counts(Counter(Counter(user for user, *_ in events).values()))
    assert found.per_item.tolist() == as_counts(Counter(Counter(item for _, item, *_ in events).values()))
    times = defaultdict(list)
    for user, time in moments:
        times[user].append(time)
    assert found.span_percentiles == percentiles(sorted(max(each) - min(each) for each in times.values()))
    late = pairs[n - found.late_ratings:]
    old_users, old_items = ({pair[side] for pair in pairs[:n - found.late_ratings]} for side in (0, 1))
    assert found.cold_user == np.mean([user not in old_users for user, _ in late])
    assert found.cold_item == np.mean([item not in old_items for _, item in late])
    assert found.cold == np.mean([user not in old_users or item not in old_items for user, item in late])
    assert found.cold_users == len({user for user, _ in late} - old_users)
    assert found.cold_items == len({item for _, item in late} - old_items)
    if n >= 10:
        assert found.late_ratings == data.split_by_time(0.9, 0.1)[1].n_ratings
    holds_shares(found)
    assert "nan" not in look.describe(data)


def holds_shares(found):
    """Every float but times and the two moments of the ratings is a share."""
    others = {"first", "last", "mean", "deviation"}
    shares = [getattr(found, field.name) for field in fields(found) if field.type == "float"
              and field.name not in others]
    assert len(shares) == (6 if isinstance(found, look.SessionFacts) else 5)
    assert all(0 <= share <= 1 for share in shares)


# Odd logs -----------------------------------------------------------------------------------------------

ONE = [(1, "tent", 5)]
ODD = {"one event": sessions(ONE), "one session": sessions([(1, "a", 0), (1, "b", 1), (1, "a", 2)]),
       "equal times": sessions([(s, item, 7) for s in (1, 2) for item in "aab"]),
       "one item": sessions([(s, "a", t) for s in (1, 2) for t in (0, 2 * DAY, 9 * DAY)]),
       "sessions of one event": sessions([(s, "ab"[s % 2], s) for s in range(5)]),
       "a catalogue without clicks": sessions(CLICKS).take([2]),
       "long ago and long after": sessions([(1, "a", 0), (2, "a", 9e10)]),
       "one rating": ratings([("ann", "tea", 5, 3)]), "one review": reviews([("ann", "tea", 5, 3)], [None]),
       "equal ratings": ratings([(user, item, 3, 7) for user in "ab" for item in "cd"]),
       "ratings of one item": ratings([(user, "tea", user / 7, user) for user in range(30)])}
EMPTY = {"sessions": sessions(ONE).take([]), "ratings": RatingData.empty(np.array([], object), np.array([], object)),
         "taken ratings": ratings(STARS).take(slice(0, 0)), "reviews": reviews(STARS[:1], ["a"]).take(slice(0, 0))}


@pytest.mark.parametrize("name", ODD)
def test_odd_logs(name):
    text, html = look.describe(ODD[name]), look.page(ODD[name])
    assert "nan" not in text + html and "inf" not in text and html.count("<svg") >= 2


@pytest.mark.parametrize("name", EMPTY)
def test_empty_logs(name):
    found = look.facts(EMPTY[name])
    assert np.isnan(found.first) and found.popular == () and found.support.tolist() == []
    text, html = look.describe(EMPTY[name]), look.page(EMPTY[name])
    assert re.search("(Events|Ratings) +0\n", text) and "nan" not in text + html and "<svg" not in html


def test_all_in_the_last_day():
    assert "nothing: every session ends in the last 24 hours" in look.describe(ODD["one session"])


def test_one_log_is_looked_at_not_two():
    data = sessions(CLICKS)
    for wrong in ((data, data), data.to_frame(), None):
        with pytest.raises(TypeError, match=f"not at a {type(wrong).__name__}"):
            look.describe(wrong)


def test_the_report_is_shown():
    data, _ = sessions(CLICKS).split_by_time()
    report = "\n".join(["What was read and repaired", "  Rows read +10", "  Events ordered by file order alone +1",
                        "  Events held out +3$"])
    assert re.search(report, look.describe(data))
    assert "What was read" not in look.describe(sessions(CLICKS).take([0]))


# Hostile logs -------------------------------------------------------------------------------------------

HOSTILE = ['<script>alert("1")</script>', "\"' onload=alert(1) x='", "\x1b[2J\u2028Size\u202egnp", "&lt;" + "x" * 500]


@pytest.fixture
def hostile():
    rows = [(name, name, time) for k, name in enumerate(HOSTILE) for time in range(5 - k)]
    return sessions(rows, name="\x1b[2J</title><script src=//example.com></script>" + "x" * 500)


def test_ids_and_names_are_escaped(hostile):
    html = look.page(hostile)
    assert "<script" not in html and "</title><" not in html and "\x1b" not in html and "\u202e" not in html
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; (5)" in html
    text = look.describe(hostile)
    assert r"\x1b[2J\u2028Size\u202egnp (3)" in re.sub(r"\s+", " ", text)
    assert "\x1b" not in text and "\u202e" not in text and len(text.splitlines()[0]) == 40


def test_a_file_name_that_is_not_utf_8_can_be_written():
    data = sessions(CLICKS, name="\udcff.csv")
    assert rb"\udcff.csv" in look.page(data).encode() and look.describe(data).encode()


# Pictures -----------------------------------------------------------------------------------------------


def test_each_picture_has_a_text_that_states_the_finding():
    html = look.page(sessions(CLICKS))
    texts = re.findall(r'<svg [^>]*role="img" aria-label="([^"]*)"', html)
    assert len(texts) == html.count("<svg") == html.count("<figcaption>") == 5
    assert [text.replace("\xa0", " ") for text in texts] == [
        "Bars over time: 3.33 events a day on average, the most, 7, on 1970-01-01.",
        "Bars: sessions of 1 event are the most frequent, 25 % of all.",
        "Bars from 0 s to over 30 min: the highest is “up to 10 s”, with 50 %. Half of the times are at most 5 s.",
        "A curve above the diagonal: the 10 % of the items with the most events have 50 % of them.",
        "Bars: first of its session 40 %, only one of its item 10 %, repeats 20 %, the rest 30 %."]


def test_no_two_parts_of_pictures_share_an_id():
    for data in (sessions(CLICKS), reviews(STARS, ["text"] * 10)):
        html = look.page(data)
        ids = re.findall(r'\bid="([^"]*)"', html)
        assert ids and len(ids) == len(set(ids))
        assert set(re.findall(r'(?:href="|url\()#([^")]*)', html)) <= set(ids)


def test_a_page_is_the_same_each_time():
    assert look.page(sessions(CLICKS)) == look.page(sessions(CLICKS))


# In a browser -------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["sessions", "reviews"])
def test_the_page_in_a_browser(new_tab, noise, hostile, tmp_path, kind, theme):
    """It asks for nothing, says nothing on the console, does not scroll sideways, and axe finds nothing serious."""
    path = tmp_path / "look.html"
    data = hostile if kind == "sessions" else reviews([(name, name, t / 4, t * 5 * DAY) for t in range(60)
                                                       for name in HOSTILE], HOSTILE * 60)
    path.write_text(look.page(data), encoding="utf-8")
    tab = new_tab(viewport={"width": 1280, "height": 900}, color_scheme=theme)
    tab.on("console", lambda message: noise.append(message.text))
    tab.on("pageerror", lambda error: noise.append(str(error)))
    tab.on("dialog", lambda dialog: noise.append(dialog.message))
    tab.on("request", lambda request: request.url in (path.as_uri(), "data:,") or noise.append(request.url))
    tab.goto(path.as_uri())
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(253, 252, 250)", "dark": "rgb(20, 24, 28)"}[theme]
    assert tab.evaluate("getComputedStyle(document.querySelector('svg text')).fill") == {
        "light": "rgb(36, 41, 46)", "dark": "rgb(213, 219, 225)"}[theme]
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        heights = tab.locator("svg text").evaluate_all("all => all.map(text => text.getBoundingClientRect().height)")
        assert min(heights) >= 10
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 700, "height": 900})
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.evaluate("document.documentElement.scrollWidth") == 700
    assert serious(path, new_tab, theme) == []


def serious(path, new_tab, theme):
    """What axe-core finds; it runs as a script, which the page's own policy forbids."""
    tab = new_tab(color_scheme=theme, bypass_csp=True)
    tab.goto(path.as_uri())
    found = Axe().run(tab, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in {"serious", "critical"}]
