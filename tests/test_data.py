"""The data layer: no row is lost unseen, nothing of the future leaks, and every refusal names its place."""

import gzip
import hashlib
import re
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbook import sources
from rnnbook.data import load_sessions
from rnnbook.interactions import DAY, SessionData
from rnnbook.interactions.tables import DataError, digest, read_events

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
T0 = 1_396_342_800  # 2014-04-01 09:00 UTC


@st.composite
def logs(draw, unique_times=False):
    """Small click logs over a few days, with integer or string ids, ties and repeated rows."""
    n = draw(st.integers(1, 40))
    text = draw(st.booleans())
    session = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    item = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    hours = draw(st.lists(st.integers(0, 96), min_size=n, max_size=n, unique=unique_times))
    df = pd.DataFrame({"session": session, "item": item, "time": T0 + 3600.0 * np.array(hours)})
    names = {"session": df["session"].map("s{}".format), "item": df["item"].map("i{}".format)}
    return df.assign(**names) if text else df


def as_rows(df):
    """The rows as a sorted list, whatever their order."""
    return sorted(df[["session", "item", "time"]].itertuples(index=False, name=None))


def check_arrays(data):
    assert data.items.dtype == data.offsets.dtype == np.int64 and data.times.dtype == np.float64
    assert data.offsets[0] == 0 and data.offsets[-1] == data.n_events == len(data.times)
    assert (np.diff(data.offsets) > 0).all() and len(data.session_ids) == data.n_sessions
    assert len(set(data.item_ids.tolist())) == data.n_items
    assert ((data.items >= 0) & (data.items < data.n_items)).all()
    starts = data.times[data.offsets[:-1]]
    assert (np.diff(starts) >= 0).all()
    inside = np.ones(data.n_events, bool)
    inside[data.offsets[:-1]] = False
    assert (np.diff(data.times, prepend=0)[inside] >= 0).all()
    assert data.support.sum() == data.lengths.sum() == data.n_events


def lost(report):
    return sum(count for what, count in report.items() if what.endswith(("dropped", "held out")))


# ---- from_frame --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(logs())
def test_a_frame_survives_the_round_trip(df):
    data = SessionData.from_frame(df)
    check_arrays(data)
    assert as_rows(data.to_frame()) == as_rows(df)
    assert data.report["rows read"] == data.n_events == len(df)
    assert data.report.get("duplicate rows kept", 0) == df.duplicated().sum()
    assert SessionData.from_frame(data.to_frame()).sha256 == data.sha256


@settings(max_examples=30, deadline=None)
@given(logs(unique_times=True), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(df, random):
    order = list(range(len(df)))
    random.shuffle(order)
    assert SessionData.from_frame(df.iloc[order]).sha256 == SessionData.from_frame(df).sha256


def test_the_digest_sees_every_part():
    df = pd.DataFrame({"session": [1, 1, 2], "item": [7, 8, 7], "time": [0.0, 1.0, 2.0]})
    changed = [df, df.replace({"item": {8: 9}}), df.replace({"session": {2: 3}}),
               df.assign(time=[0.0, 1.0, 2.5])]
    assert len({SessionData.from_frame(each).sha256 for each in changed}) == 4


@pytest.mark.parametrize("times", [
    [10.5, 11.5, 12.5],
    pd.to_datetime(["1970-01-01T00:00:10.5", "1970-01-01T00:00:11.5", "1970-01-01T00:00:12.5"]),
    pd.to_datetime([10.5, 11.5, 12.5], unit="s", utc=True).tz_convert("Asia/Tokyo"),
    ["1970-01-01T00:00:10.500Z", "1970-01-01T00:00:11.5Z", "1970-01-01T00:00:12.5Z"],
    ["1970-01-01 00:00:10.5", "1970-01-01 00:00:11.5", "1970-01-01 00:00:12.5"],
    ["1970-01-01T02:00:10.5+02:00", "1970-01-01T00:00:11.5+00:00", "1969-12-31T23:00:12.5-01:00"],
    ["10.5", "11.5", "12.5"],
])
def test_every_way_to_write_a_time_gives_the_same_seconds(times):
    data = SessionData.from_frame(pd.DataFrame({"session": [1, 1, 1], "item": [1, 2, 3], "time": times}))
    np.testing.assert_array_equal(data.times, [10.5, 11.5, 12.5])


def test_ids_stay_what_they_are():
    df = pd.DataFrame({"session": ["1", "1", "02"], "item": ["7", "07", "7"], "time": [1, 2, 3]})
    data = SessionData.from_frame(df)
    assert data.item_ids.tolist() == ["07", "7"] and data.session_ids.tolist() == ["1", "02"]
    whole = SessionData.from_frame(df.assign(session=["1", "1", "2"], item=[7.0, 8.0, 7.0]))
    assert whole.item_ids.tolist() == [7, 8] and whole.session_ids.dtype == np.int64


def test_polars_and_categorical_frames_are_read_too():
    df = pd.DataFrame({"session": ["a", "a", "b"], "item": ["x", "y", "x"], "time": [1, 2, 3]})
    expected = SessionData.from_frame(df).sha256
    assert SessionData.from_frame(pl.from_pandas(df)).sha256 == expected
    assert SessionData.from_frame(df.astype({"item": "category", "session": object})).sha256 == expected


def test_take_keeps_the_catalogue_and_the_given_order():
    df = pd.DataFrame({"session": [1, 1, 2, 3, 3], "item": [5, 6, 7, 8, 5], "time": [1, 2, 3, 4, 5]})
    data = SessionData.from_frame(df)
    part = data.take([2, 0])
    assert part.session_ids.tolist() == [3, 1] and part.item_ids is data.item_ids
    assert part.to_frame()["item"].tolist() == [8, 5, 5, 6]
    assert data.take([]).n_sessions == data.take([]).n_events == 0


def test_a_fixed_catalogue_is_kept_and_an_unknown_item_is_named():
    df = pd.DataFrame({"session": [1, 1], "item": ["a", "zebra"], "time": [1, 2]}, index=["first", "second"])
    data = SessionData.from_frame(df, item_ids=np.array(["zebra", "b", "a"]))
    assert data.items.tolist() == [2, 0]
    with pytest.raises(DataError, match="row 'second': item 'zebra' is not among"):
        SessionData.from_frame(df, item_ids=["a", "b"])


# ---- splits ------------------------------------------------------------------------------------------------


def authors_preprocessing(df, min_support=5):
    """The published script, step by step on a DataFrame: the obvious, slow reference."""
    def long_enough(part):
        return part[part.groupby("session")["item"].transform("size") >= 2]

    df = long_enough(df)
    df = long_enough(df[df.groupby("item")["item"].transform("size") >= min_support])
    if df.empty:
        return df, df
    end = df.groupby("session")["time"].transform("max")
    train, test = df[end < df["time"].max() - DAY], df[end >= df["time"].max() - DAY]
    return train, long_enough(test[test["item"].isin(train["item"])])


@pytest.mark.claim("nothing-lost-unseen")
@pytest.mark.claim("split-no-future")
@settings(max_examples=80, deadline=None)
@given(logs(), st.integers(1, 3))
def test_the_split_is_the_authors_and_counts_are_conserved(df, min_support):
    expected_train, expected_test = authors_preprocessing(df, min_support)
    if expected_train.empty or expected_test.empty:
        with pytest.raises(DataError, match=r"[Ll]oad more data"):
            load_sessions(df, min_support=min_support)
        return
    train, test = load_sessions(df, min_support=min_support)
    for data, expected in ((train, expected_train), (test, expected_test)):
        check_arrays(data)
        assert as_rows(data.to_frame()) == as_rows(expected)
    assert train.item_ids is test.item_ids and (train.support > 0).all()
    assert not set(train.session_ids) & set(test.session_ids)
    assert train.report["rows read"] == len(df) == train.n_events + lost(train.report)
    assert 2 * test.report["events held out"] == test.n_events + lost(test.report)


@pytest.mark.claim("split-no-future")
@settings(max_examples=60, deadline=None)
@given(logs(), st.integers(1, 80))
def test_no_event_of_the_earlier_part_is_in_the_held_out_time(df, hours):
    data = SessionData.from_frame(df)
    try:
        before, last = data.split_by_time(3600 * hours)
    except DataError:
        return
    cut = df["time"].max() - 3600 * hours
    assert before.times.max() < cut
    ends = df.groupby("session")["time"].max()
    assert (ends[last.session_ids] >= cut).all() and (ends[before.session_ids] < cut).all()
    assert not set(before.session_ids) & set(last.session_ids)
    assert before.item_ids is last.item_ids and (before.support > 0).all()


def test_validation_is_the_same_split_again_and_the_counts_add_up():
    log = SessionData.from_frame(pd.DataFrame({
        "session": np.repeat(np.arange(9), 2), "item": np.tile([1, 2], 9),
        "time": T0 + 40_000.0 * np.repeat(np.arange(9), 2)}))
    first, test = log.split_by_time()
    second, valid = first.split_by_time()
    assert [part.n_sessions for part in (test, valid, second)] == [3, 3, 3]
    assert second.n_events + lost(second.report) == second.report["rows read"] == 18


def test_an_impossible_split_says_what_to_change():
    df = pd.DataFrame({"session": [1, 1, 2, 2], "item": [1, 2, 1, 2], "time": [1, 2, 3, 4]})
    with pytest.raises(DataError, match=r"none is left to train on .*test_seconds.*--test-seconds"):
        load_sessions(df, min_support=1)
    with pytest.raises(DataError, match="lower min_support, on the command line --min-support"):
        load_sessions(df)
    train, test = load_sessions(df, min_support=1, test_seconds=1)
    assert train.session_ids.tolist() == [1] and test.session_ids.tolist() == [2]
    late = df.assign(item=[1, 2, 3, 4])
    with pytest.raises(DataError, match="no session of two known items"):
        load_sessions(late, min_support=1, test_seconds=1)


@pytest.mark.parametrize(("sessions", "ends", "what"), [
    ([1, 1, 1, 1], [1, 2, 3, 4], "one session is left"), ([1, 1, 2, 2], [1, 4, 2, 4], "all 2 sessions end at the same"),
    ([1, 1, 2, 3], [1, 2, 3, 4], "one session is left")])
def test_sessions_that_all_end_at_once_cannot_be_split_at_any_time(sessions, ends, what):
    df = pd.DataFrame({"session": sessions, "item": [1, 2, 1, 2], "time": ends, "visit": [1, 1, 2, 2]})
    for test_seconds in (None, 1, 1e-3):
        with pytest.raises(DataError, match=f"sessions: {what}.*, and a split takes two .* --session NAME; or load"):
            load_sessions(df, min_support=1, test_seconds=test_seconds)
    right = df.assign(time=[1, 2, 3, 4])
    assert len(load_sessions(right, session="visit", min_support=1, test_seconds=1)) == 2


def test_one_session_that_is_left_of_rare_items_has_another_remedy():
    df = pd.DataFrame({"session": [1, 1, 2, 2], "item": [1, 1, 1, 2], "time": [1, 2, 90_003, 90_004]})
    with pytest.raises(DataError, match=r"one session is left, .*; lower min_support, .* --min-support"):
        load_sessions(df, min_support=2)
    assert [part.n_sessions for part in load_sessions(df.assign(item=1), min_support=1)] == [1, 1]


# ---- published formats -------------------------------------------------------------------------------------


@pytest.fixture
def samples(monkeypatch):
    """The hand-made samples in the place of the published data."""
    monkeypatch.setenv("RNNBOOK_DATA", str(SAMPLES))


def test_rsc15_format(samples):
    train, test = load_sessions("rsc15")
    raw = pd.read_csv(SAMPLES / "rsc15/yoochoose-clicks.dat", names=["session", "time", "item", "category"])
    raw["time"] = [datetime.fromisoformat(time).timestamp() for time in raw["time"]]
    for data, expected in zip((train, test), authors_preprocessing(raw), strict=True):
        assert as_rows(data.to_frame()) == as_rows(expected)
    assert train.report == {"rows read": 45, "duplicate rows kept": 1, "one-event sessions dropped": 1,
                            "events of items clicked fewer than 5 times dropped": 1, "events held out": 14}
    assert "1 one-event sessions dropped" in repr(train)


def test_retailrocket_sessions_end_after_half_an_hour_and_hold_views_only(samples):
    train, test = load_sessions("retailrocket")
    assert train.report["events other than views dropped"] == 6
    assert train.n_events + lost(train.report) == train.report["rows read"] == 48
    # four visitors a day; the third comes back after 31 minutes, so there are five sessions a day
    assert train.n_sessions == 10 and test.n_sessions == 5
    assert train.times[0] == 1433221332.0 and train.item_ids.tolist() == [100, 101, 102, 103]


def test_diginetica_time_is_the_day_and_the_milliseconds_in_it(samples):
    train, test = load_sessions("diginetica")
    first = pd.read_csv(SAMPLES / "diginetica/train-item-views.csv", sep=";")
    seconds = pd.to_datetime(first["eventdate"]).map(pd.Timestamp.timestamp) + first["timeframe"] / 1000
    assert np.isin(train.times, seconds).all() and np.isin(test.times, seconds).all()


def test_a_missing_timeframe_is_counted(tmp_path, monkeypatch):
    text = (SAMPLES / "diginetica/train-item-views.csv").read_text().splitlines()
    text[1] = "1;7;81760;NA;2016-05-09"
    (tmp_path / "train-item-views.csv").write_text("\n".join(text).replace("sessionId;userId;itemId",
                                                                          "session_id;user_id;item_id"))
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    assert load_sessions("diginetica")[0].report["missing timeframes read as 0"] == 1


def test_a_published_split_is_kept(tmp_path):
    train, test = load_sessions(SAMPLES / "yoochoose-100k")
    assert (train.n_events, train.n_sessions, test.n_events, test.n_sessions) == (27, 9, 9, 3)
    assert train.report == {"rows read": 27} and test.report == {"rows read": 9}
    for half in ("train", "test"):
        df = pd.read_csv(SAMPLES / f"yoochoose-100k/{half}.tsv", sep="\t")
        if half == "test":
            df.loc[len(df)] = [31, 999, 1.4e9]  # an item that train lacks
        df.to_parquet(tmp_path / f"{half}.parquet")
    train, test = load_sessions(tmp_path)
    assert test.report == {"rows read": 10, "events of items unseen in training dropped": 1}
    with pytest.raises(TypeError, match=f"{tmp_path.name} has a test part of its own"):
        load_sessions(tmp_path, test_seconds=3600)
    (tmp_path / "test.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"should hold one file test\.csv"):
        load_sessions(tmp_path)


def test_a_session_in_both_halves_is_counted(tmp_path):
    for half in ("train", "test"):
        (tmp_path / f"{half}.csv").write_text("session,item,time\n1,a,1\n1,b,2\n")
    assert load_sessions(tmp_path)[1].report["sessions also in train"] == 1


def test_yoochoose_100k_has_the_published_counts():
    if sources.find(sources.SOURCES["yoochoose-100k"]) is None:
        pytest.skip("yoochoose-100k is not here (licence CC BY-NC-ND: not in the repository); "
                    "test_a_published_split_is_kept reads a sample in the same format")
    train, test = load_sessions("yoochoose-100k")
    assert (train.n_events, train.n_sessions, train.n_items) == (70_278, 17_794, 2_933)
    assert (test.n_events, test.n_sessions, (test.support > 0).sum()) == (13_568, 3_416, 1_771)
    assert test.item_ids is train.item_ids and lost(train.report) == lost(test.report) == 0


def video(monkeypatch, tmp_path, lines):
    (tmp_path / "sasrec-video").mkdir()
    (tmp_path / "sasrec-video" / "Video.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    name = "sasrec-video"
    monkeypatch.setitem(sources.SOURCES, name, replace(sources.SOURCES[name], digests=()))


def test_sasrec_video_leaves_the_last_action_of_each_user_out(monkeypatch, tmp_path):
    lines = ["1 30", "1 10", "1 20", "2 10", "2 30", "3 20", "3 10", "3 99", "4 10", "4 20", "4 30"]
    video(monkeypatch, tmp_path, lines)
    train, test = load_sessions("sasrec-video")
    items = [train.item_ids[train.items[a:b]].tolist() for a, b in zip(train.offsets, train.offsets[1:])]
    # User 2 has two actions, and nobody but user 3 knows item 99, as the last: both stay as they are.
    assert items == [[30, 10], [10, 30], [20, 10, 99], [10, 20]] and train.session_ids.tolist() == [1, 2, 3, 4]
    assert test.session_ids.tolist() == [1, 4] and test.item_ids is train.item_ids
    assert test.item_ids[test.items].tolist() == [30, 10, 20, 10, 20, 30]
    assert train.report["events held out"] == 2
    with pytest.raises(TypeError, match="a test part of its own"):
        load_sessions("sasrec-video", test_seconds=3600)


def test_nothing_to_leave_out():
    data = SessionData.from_frame(pd.DataFrame({"session": [1, 1], "item": [1, 2], "time": [0, 1]}))
    with pytest.raises(DataError, match="no session has three events"):
        data.leave_last_out()


def test_sasrec_video_has_the_published_counts():
    if sources.find(sources.SOURCES["sasrec-video"]) is None:
        pytest.skip("sasrec-video is not here; test_sasrec_video_leaves_the_last_action_of_each_user_out reads a file "
                    "in the same format")
    train, test = load_sessions("sasrec-video")
    assert (train.report["rows read"], train.n_sessions, train.n_items) == (287_107, 31_013, 23_715)
    assert train.n_events + test.n_sessions == 287_107


def test_the_embedded_world_needs_nothing():
    pytest.importorskip("rnnbook.worlds")
    train, test = load_sessions("session-world")
    assert (train.n_sessions, test.n_sessions) == (10_000, 3_000)
    assert np.array_equal(train.item_ids, test.item_ids)
    assert train.sha256 == load_sessions("session-world")[0].sha256


# ---- any table ---------------------------------------------------------------------------------------------

TABLE = pd.DataFrame({"session_id": np.repeat(np.arange(8), 3), "Item ID": np.tile(["a", "b", "c"], 8),
                      "timestamp": T0 + 20_000.0 * np.repeat(np.arange(8), 3) + np.tile([0, 60, 120], 8)})


@pytest.mark.parametrize("write", [
    lambda path: TABLE.to_csv(path / "log.csv", index=False),
    lambda path: TABLE.to_csv(path / "log.tsv", index=False, sep="\t"),
    lambda path: TABLE.to_csv(path / "log.txt", index=False, sep=";", lineterminator="\r\n",
                              encoding="utf-8-sig"),
    lambda path: TABLE.to_csv(path / "log.csv.gz", index=False),
    lambda path: TABLE.assign(title='a "quoted", title\nof two lines').to_csv(path / "log.csv", index=False),
    lambda path: TABLE.to_parquet(path / "log.parquet"),
    lambda path: (path / "log.parquet.gz").write_bytes(gzip.compress(TABLE.to_parquet())),
], ids=["csv", "tsv", "semicolons, BOM and CRLF", "gz", "quotes", "parquet", "parquet.gz"])
def test_any_table_reads_like_the_frame(tmp_path, write):
    write(tmp_path)
    [path] = tmp_path.iterdir()
    expected = [data.sha256 for data in load_sessions(TABLE)]
    assert [data.sha256 for data in load_sessions(path)] == expected
    named = load_sessions(str(path), session="session_id", item="Item ID", time="timestamp")
    assert [data.sha256 for data in named] == expected


def test_late_string_ids_do_not_become_holes(tmp_path):
    rows = [f"{n},{n % 4},{T0 + n}" for n in range(1500)] + [f"1499,x7,{T0 + 1500}"]
    (tmp_path / "log.csv").write_text("session,item,time\n" + "\n".join(rows))
    frame, report = read_events(tmp_path / "log.csv")
    assert report == {"rows read": 1501} and frame["item"][-1] == "x7" and frame["item"][0] == "0"


def test_blank_lines_are_counted(tmp_path):
    text = TABLE.to_csv(index=False).splitlines()
    (tmp_path / "log.csv").write_text("\n".join(text[:5] + ["", ""] + text[5:]) + "\n\n")
    train, _ = load_sessions(tmp_path / "log.csv")
    assert train.report["blank lines skipped"] == 3 and train.report["rows read"] == 24


GOOD = ["session,item,time"] + [f"{n // 2},{n % 3},{T0 + n}" for n in range(10)]


def with_line(number, text):
    return "\n".join(GOOD[:number - 1] + [text] + GOOD[number:]) + "\n"


@pytest.mark.parametrize(("content", "message"), [
    (with_line(1, "session,product_name,time"),
     r"bad.csv has no column for the item .*'product_name', 'time'.*item="),
    (with_line(1, "session,product_name,day"), r"no column for the item .* and no column for the time .*"
     r"Name the right one: item=.*--item NAME\. Name the right one: time=.*--time NAME\."),
    ("\n".join(GOOD[1:]),
     r'first line looks like data.* header=\["session", "item", "time"\].* --header session,item,time'),
    (with_line(4, "1,,5"), r"bad.csv, column 'item': the item id is missing at line 4 \(nothing\)\. Fill it"),
    (with_line(4, ",1,5"), r"bad.csv, column 'session': the session id is missing at line 4"),
    (with_line(4, "1,1,"), r"bad.csv, column 'time': no time.* at line 4 \(nothing\)"),
    (with_line(4, "1,1"), r"bad.csv cannot be read: line 4 has 2 fields where the first has 3\. Complete or delete"),
    (with_line(4, "1,1,NaN"), r"column 'time': no time.* at line 4 \('NaN'\)"),
    (with_line(5, "1,1,yesterday"), r"column 'time': no time.* at line 5 \('yesterday'\)\. Write every time"),
    (with_line(2, "1,1,1 April"), r"column 'time': not a time at line 2 \('1 April'\)"),
    (with_line(7, "1,1,-5"), r"column 'time': a time before 1970 at line 7 \('-5'\)"),
    (with_line(7, "1,1,1396342800000"), r"a time after the year 5000 at line 7 .*divide them by 1000"),
    (with_line(6, "1,1,5,surplus"), r"bad.csv cannot be read: line 6 has 4 fields where the first has 3"),
    ('session,item,time,title\n1,b,5,"of two\nlines"\n1,c,,x\n', r"no time.* at line 4 \(nothing\)"),
    (with_line(4, '1,"a\nb",5'), r"column 'item': a line break in an id at line 4 .*stray double quote"),
    (with_line(5, '1,"a 5'), r"bad.csv cannot be read: line 5 opens a quote that does not close\. Close it, or delete"),
    ("session,item,item,time\n1,2,3,4\n", r"bad.csv has two columns 'item'"),
    ("", r"bad.csv is empty"), ("\n \n", r"bad.csv is empty"),
    ("session,item,time\n", r"bad.csv is empty: it has no rows"),
    ("session,item,time\n\n\n", r"bad.csv is empty: it has no rows"),
])
def test_a_faulty_text_table_is_refused_by_file_column_and_line(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        load_sessions(path)


def test_the_error_shows_three_rows_and_counts_the_rest(tmp_path):
    (tmp_path / "bad.csv").write_text("session,item,time\n1,1,5\n" + "1,1,soon\n" * 5)
    with pytest.raises(DataError, match=r"line 3 \('soon'\), line 4 .*, line 5 \('soon'\) and 2 more"):
        load_sessions(tmp_path / "bad.csv")


@pytest.mark.parametrize(("content", "message"), [
    (b"session,item,time\n1,caf\xc3\xa9,1\n1,caf\xe9,2\n",
     r"column 'item': bytes that are not UTF-8 at line 3 .*iconv"),
    ("session,item,time\n1,a,1\n".encode("utf-16"), r"is UTF-16. Save it as UTF-8"),
    (b"PK\x03\x04\0\0", r"not a text table, but an archive or a spreadsheet\. Unpack it"),
    (b"7z\xbc\xaf\x27\x1c\0", r"not a text table, but an archive"),
    (b"\xd0\xcf\x11\xe0\0\0", r"a NUL byte at line 1, so it is not a text table\. .* Otherwise save it as CSV"),
    (pd.DataFrame({"session": [1], "item": [1], "time": [1]}).to_parquet()[:200], r"not a complete parquet file"),
    (gzip.compress(b"session,item,time\n" + b"".join(b"%d,%d,%d\n" % (n, n * 7919 % 1009, n * n % 99991)
                                                     for n in range(30_000)))[:-900],
     r"log is truncated or damaged after line [1-9][\d,]*: get"),
    (gzip.compress("\n".join(GOOD).encode())[:-8] + b"damaged!", r"truncated or damaged"),
    # Named, since gzip writes the time into its bytes: as ids they would differ between two processes.
], ids=["latin-1", "utf-16", "zip", "7z", "xls", "half-parquet", "half-gzip", "gzip-with-wrong-checksum"])
def test_damaged_bytes_are_refused(tmp_path, content, message):
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_sessions(tmp_path / "log")


def test_the_remedy_for_a_nul_byte_works_when_it_is_followed(tmp_path):
    path, new = tmp_path / "log.csv", tmp_path / "new.csv"
    path.write_bytes(with_line(7, "1,1\0,5").encode())
    with pytest.raises(DataError, match=r"log\.csv has a NUL byte at line 7") as error:
        load_sessions(path)
    [remedy] = re.findall(r"tr .* NEW", str(error.value))
    subprocess.run(remedy.replace("OLD", str(path)).replace("NEW", str(new)), shell=True, check=True)
    assert new.read_text() == with_line(7, "1,1,5") and len(read_events(new)[0]) == 10


def test_a_text_that_begins_as_an_archive_does_is_read(tmp_path):
    (tmp_path / "log.csv").write_text("PK,session,item,time\n1,1,2,3\n")
    assert len(read_events(tmp_path / "log.csv")[0]) == 1


@pytest.mark.parametrize("content", [bytes(range(1, 256)) * 9, "\n".join(GOOD).encode(), b"<html>404</html>"])
@pytest.mark.parametrize("ending", ["parquet", "parquet.gz"])
def test_what_is_called_parquet_is_read_as_nothing_else(tmp_path, content, ending):
    path = tmp_path / f"log.{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    with pytest.raises(DataError, match=rf"^log\.{ending} is not a complete parquet file.* get it again"):
        load_sessions(path)


def test_damaged_bytes_in_a_column_that_is_not_read_do_no_harm(tmp_path):
    rows = TABLE.to_csv(index=False).encode().splitlines()
    rows = [rows[0] + b",title"] + [row + b",caf\xe9" for row in rows[1:]]
    (tmp_path / "log.csv").write_bytes(b"\n".join(rows))
    assert load_sessions(tmp_path / "log.csv")[0].sha256 == load_sessions(TABLE)[0].sha256


@pytest.mark.parametrize(("change", "message"), [
    ({"columns": ["session_id", "thing", "timestamp"]}, r"the DataFrame has no column for the item"),
    ({"columns": ["session_id", "timestamp", "timestamp"], "item": "session_id"},
     r"has two columns 'timestamp'"),
    ({"cell": ("Item ID", None)}, r"the DataFrame, column 'Item ID': the item id is missing at row 'r3'"),
    ({"cell": ("timestamp", np.nan)}, r"column 'timestamp': no time.* at row 'r3'"),
    ({"cell": ("timestamp", np.inf)}, r"column 'timestamp': no time.* at row 'r3'"),
    ({"cell": ("timestamp", -1.0)}, r"a time before 1970 at row 'r3'"),
    ({"cell": ("Item ID", 7)}, r"column 'Item ID': str in the first row, int in row 'r3'.*astype"),
])
def test_a_faulty_frame_is_refused_by_column_and_row(change, message):
    df = TABLE.set_index("r" + TABLE.index.astype(str)).astype({"Item ID": object})
    if "columns" in change:
        df.columns = change["columns"]
    else:
        column, value = change["cell"]
        df.loc["r3", column] = value
    with pytest.raises(DataError, match=message):
        load_sessions(df, item=change.get("item"))


def test_other_columns_of_a_frame_may_hold_anything():
    df = TABLE.assign(note=pd.Series([1, "two", None] * 8, dtype=object))
    assert load_sessions(df)[0].sha256 == load_sessions(TABLE)[0].sha256


def test_a_column_of_gaps_is_missing_not_blank():
    with pytest.raises(DataError, match="no time"):
        load_sessions(TABLE.assign(timestamp=None))


def test_a_late_fraction_is_not_cut_to_an_integer():
    df = pd.DataFrame({"session": 1, "item": [*np.arange(1500.0), 2.5], "time": np.arange(1501)})
    assert SessionData.from_frame(df).n_items == 1501


def test_what_is_no_table_is_said_to_be_none():
    with pytest.raises(DataError, match="the DataFrame is empty"):
        SessionData.from_frame(TABLE.iloc[:0], session="session_id", item="Item ID", time="timestamp")
    with pytest.raises(TypeError, match="a path or a DataFrame"):
        load_sessions(17)
    with pytest.raises(FileNotFoundError, match="'rsc16' is neither a file here nor one of"):
        load_sessions("rsc16")
    with pytest.raises(TypeError, match="has its own column names"):
        load_sessions("rsc15", item="item")
    with pytest.raises(TypeError, match="session-world has a test part of its own and is taken as it is; min_support="):
        load_sessions("session-world", min_support=3)
    with pytest.raises(TypeError, match="session-world has a test part of its own"):
        load_sessions("session-world", test_seconds=3600)
    with pytest.raises(DataError, match="no column 'clicked'"):
        load_sessions(TABLE, item="clicked")


def test_digest_takes_long_columns_of_ids_in_pieces():
    ids = np.arange(250_001)
    whole = "\n".join(map(str, ids.tolist())).encode() + b"\0"
    assert digest([], [ids]) == hashlib.sha256(whole).hexdigest()
