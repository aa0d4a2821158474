"""Times: their size tells the unit, dates are read in many forms, and each remedy works when it is followed."""

import re
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbook.data import load_log, load_ratings, load_reviews, load_sessions
from rnnbook.interactions import SessionData
from rnnbook.interactions.sessions import cut_sessions
from rnnbook.interactions.tables import DataError, read_events

T0 = 1_396_342_800  # 2014-04-01 09:00 UTC
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NAMES = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def written(path, times):
    path.write_text("session,item,time\n" + "".join(f"{n // 3},{n % 3},{time}\n" for n, time in enumerate(times)))
    return path


def frame(times):
    return pd.DataFrame({"session": 1, "item": 2, "time": times})


@pytest.mark.parametrize("unit", PER_SECOND)
@pytest.mark.parametrize("dtype", [str, int, float])
def test_the_size_of_times_tells_their_unit(tmp_path, unit, dtype):
    seconds = [T0 + n for n in range(9)]
    times = [dtype(t * PER_SECOND[unit]) for t in seconds]
    for source in (written(tmp_path / "log.csv", times), frame(times), pl.from_pandas(frame(times))):
        found, report = read_events(source)
        assert found["time"].to_list() == seconds
        assert report == {"rows read": 9} | ({f"times read as {NAMES[unit]}": 9} if unit != "s" else {})
        found, report = read_events(source, time_unit=unit)
        assert found["time"].to_list() == seconds and report == {"rows read": 9}  # nothing was assumed


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(10**8, 4 * 10**9), min_size=3, max_size=12), st.sampled_from(list(PER_SECOND)),
       st.sampled_from(list(PER_SECOND)), st.data())
def test_one_time_in_another_unit_is_refused_and_the_remedy_works(seconds, unit, other, data):
    times = [t * PER_SECOND[unit] for t in seconds]
    at = data.draw(st.integers(0, len(times) - 1))
    times[at] = seconds[at] * PER_SECOND[other]
    if unit == other:
        assert read_events(frame(times))[0]["time"].to_list() == seconds
        return
    with pytest.raises(DataError, match=rf"at row {at} ") as error:
        read_events(frame(times))
    how, factor = re.search(r"(divide|multiply) them by (\d+)\.", str(error.value)).groups()
    times[at] = times[at] / int(factor) if how == "divide" else times[at] * int(factor)
    np.testing.assert_allclose(read_events(frame(times))[0]["time"], seconds, rtol=1e-12)


def test_a_named_unit_is_taken_at_its_word(tmp_path):
    assert read_events(frame([0, 4724, 55929]), time_unit="ms")[0]["time"].to_list() == [0, 4.724, 55.929]
    assert read_events(frame([20140401.0]), time_unit="s")[0]["time"].to_list() == [20140401]
    with pytest.raises(DataError, match=r"year 5000 at row 0 .*not seconds: give another time_unit=, .* --time-unit"):
        read_events(frame([T0 * 1000]), time_unit="s")
    assert read_events(frame([T0 * 1000]))[0]["time"].to_list() == [T0]
    with pytest.raises(DataError, match=r"has dates, such as 2014-04-01; time_unit='ms' is for .* --time-unit\.$"):
        read_events(frame(["2014-04-01"]), time_unit="ms")
    with pytest.raises(ValueError, match="time_unit is one of 's', 'ms', 'us', 'ns', not 'h'"):
        read_events(frame([1]), time_unit="h")


def test_a_named_unit_that_leads_to_the_years_before_1973_is_reported():
    early = "times before 1973, if they are in milliseconds: is that their unit?"
    assert read_events(frame([T0, T0 + 1, T0 * 1000]), time_unit="ms")[1] == {"rows read": 3, early: 2}
    assert read_events(frame([0, 4724]), time_unit="ms")[1] == {"rows read": 2, early: 2}
    assert read_events(frame([20140401]), time_unit="s")[1] == {"rows read": 1, early.replace("milli", ""): 1}
    assert read_events(frame([0, 4724]))[1] == {"rows read": 2}  # nobody has named one
    missing = frame([T0 * 1000, np.nan])
    assert early not in read_events(missing, time_unit="ms", drop_missing=True)[1]


def test_zones_in_some_times_alone_are_refused_and_the_remedy_works(tmp_path):
    times = ["2014-04-01T09:00:00Z", "2014-04-01T09:00:01", "2014-04-01T09:00:02"]
    path = written(tmp_path / "log.csv", times)
    with pytest.raises(DataError, match=r"like the first at line 3 .*, with a zone in all or in none, or delete"):
        read_events(path)
    for same in ([f"{time.removesuffix('Z')}Z" for time in times], [time.removesuffix("Z") for time in times]):
        assert read_events(written(path, same))[0]["time"].to_list() == [T0, T0 + 1, T0 + 2]


def test_every_loader_takes_a_unit(tmp_path):
    times = [1000 * (T0 + 20_000 * n) for n in range(24)]
    df = pd.DataFrame({"session": np.repeat(np.arange(8), 3), "user": 1, "item": np.tile([1, 2, 3], 8), "rating": 3,
                       "text": "x", "time": times})
    train, _ = load_sessions(df, time_unit="ms")
    assert train.times[0] == load_ratings(df, time_unit="ms").times[0] == T0
    assert load_reviews(df, time_unit="ms").ratings.times[0] == T0


@pytest.mark.parametrize("form", [
    "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S.%f UTC", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ",
    "%Y-%m-%d %H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%MZ", "%Y/%m/%d %H:%M:%S", "%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%d %H:%M:%S+0000",
    "%Y-%m-%dT%H:%M:%S.%f+00:00", "%Y-%m-%d %H:%M:%S +0000", "%Y%m%d%H%M%S", "%Y%m%d%H%M", " %Y-%m-%d %H:%M:%S"])
def test_dates_are_read_in_many_forms(tmp_path, form):
    times = [datetime.fromtimestamp(T0 + 60 * n, UTC).strftime(form) for n in range(5)]
    found, _ = read_events(written(tmp_path / "log.csv", times))
    assert found["time"].to_list() == [T0 + 60 * n for n in range(5)]


def test_an_offset_is_taken_off():
    times = ["2014-04-01T11:00:00+02:00", "2014-04-01T09:00:00+0000", "2014-04-01T04:00:00.500-05:00"]
    assert read_events(frame(times))[0]["time"].to_list() == [T0, T0, T0 + 0.5]


@pytest.mark.parametrize("cast", [str, int, float])
def test_numbers_that_are_all_dates_are_dates(tmp_path, cast):
    days = [20140401, 20140402, 20140430]
    found, report = read_events(frame([cast(day) for day in days]))
    expected = [datetime(2014, 4, day, tzinfo=UTC).timestamp() for day in (1, 2, 30)]
    assert found["time"].to_list() == expected and report["times such as 20140401 read as dates"] == 3
    found, report = read_events(frame([cast(n) for n in (20140401, 20149999)]))  # seconds, in 1970
    assert found["time"].to_list() == [20140401, 20149999] and report == {"rows read": 2}


def test_a_late_number_that_is_no_date_is_refused(tmp_path):
    path = written(tmp_path / "log.csv", [20140401] * 1500 + [20140231])
    with pytest.raises(DataError, match=r"no time, or not one written like the first at line 1502 \('20140231'\)"):
        read_events(path)


def test_a_date_that_stands_for_never_is_refused_with_a_remedy_for_dates():
    with pytest.raises(DataError, match=r"a time after the year 5000 at row 1 .*\. Correct those rows"):
        read_events(frame(["2014-04-01", "9999-12-31"]))


def test_times_that_are_missing_at_first_do_not_hide_the_form(tmp_path):
    path = written(tmp_path / "log.csv", ["NULL", "", "2014-04-01 09:00:00 UTC"])
    with pytest.raises(DataError, match=r"at line 2 .*, line 3 "):
        read_events(path)
    found, report = read_events(path, drop_missing=True)
    assert found["time"].to_list() == [T0] and report["rows without a time dropped"] == 2


def test_ties_keep_the_order_of_the_file_and_are_counted():
    df = pd.DataFrame({"session": [1, 1, 1, 1, 2, 2, 2], "item": list("cabbaba"), "time": [5, 5, 5, 9, 1, 1, 2]})
    data = SessionData.from_frame(df)
    assert data.to_frame()["item"].tolist() == list("aba") + list("cabb")
    assert data.report == {"rows read": 7, "events ordered by file order alone": 3}
    assert "events ordered by file order alone" not in SessionData.from_frame(df.assign(time=range(7))).report
    same = pd.DataFrame({"session": 1, "item": list("aab"), "time": [5, 5, 6]})  # the order of twins changes nothing
    assert SessionData.from_frame(same).report == {"rows read": 3, "duplicate rows kept": 1}


# ---- users' logs ---------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=40), st.integers(1, 12))
def test_sessions_are_cut_where_a_user_does_nothing(events, gap):
    """Against the obvious loop, on times that may tie."""
    log = pl.DataFrame({"user": [user for user, _ in events], "time": [float(time) for _, time in events],
                        "row": list(range(len(events)))})
    expected, last, session = {}, {}, 0
    for user, time, row in sorted(((user, float(time), row) for row, (user, time) in enumerate(events))):
        if user not in last or time - last[user] > gap:
            session += 1
        last[user] = time
        expected[row] = session
    cut = cut_sessions(log, gap)
    assert dict(zip(cut["row"], cut["session"])) == expected


def test_a_log_of_users_is_cut_from_any_table(tmp_path):
    rows = [(f"u{user}", f"i{n % 3}", T0 + 40_000 * day + 100 * n)
            for user in range(3) for day in range(6) for n in range(4)]
    df = pd.DataFrame(rows, columns=["client", "item", "time"])
    df.to_csv(tmp_path / "log.csv", index=False)
    df.to_parquet(tmp_path / "log.parquet")
    for source in (df, tmp_path / "log.csv", tmp_path / "log.parquet"):
        train, test = load_sessions(source, user="client")
        assert train.report["sessions cut at gaps above 1,800 s"] == 18 == train.n_sessions + test.n_sessions
        assert set(train.lengths) == {4} and train.report["rows read"] == 72
    df["time"] += 300_000 * (df["client"] == "u2")
    train, test = load_sessions(df, user="client", gap=50_000)
    assert train.report["sessions cut at gaps above 50,000 s"] == train.n_sessions + test.n_sessions == 3


def test_what_does_not_go_together_is_refused():
    with pytest.raises(TypeError, match="to cut its sessions, user=; not both"):
        load_sessions(frame([1]), session="session", user="item")
    for gap in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="gap must be a number of seconds above 0"):
            load_sessions(frame([1]), user="session", gap=gap)
        with pytest.raises(ValueError, match="gap must be a number of seconds above 0"):
            load_log(frame([1]), user="session", gap=gap)
    for option in ({"gap": 60}, {"gap": 1800}, {"user": "u"}, {"header": ["a"]}, {"separator": ","},
                   {"quote_char": None}, {"time_unit": "s"}, {"drop_missing": True}):
        with pytest.raises(TypeError, match=f"has its own column names and format; {next(iter(option))}= is for"):
            load_sessions("rsc15", **option)


@pytest.mark.parametrize("gap", [10, 1800])  # the second is what is taken if nobody names one
def test_a_gap_for_a_log_of_sessions_is_refused_and_the_remedies_work(tmp_path, gap):
    path = tmp_path / "clicks.csv"
    rows = [f"{n // 3},u{n // 6},{n % 3},{T0 + 40_000 * (n // 3) + 600 * (n % 3)}" for n in range(24)]
    path.write_text("\n".join(["session,who,item,time", *rows]))
    for load in (load_sessions, load_log):
        with pytest.raises(DataError, match=r"clicks.csv is one of sessions: leave it out, .* --gap, .* --user NAME"):
            load(path, gap=gap)
        load(path)
    assert load_log(path, user="who", gap=gap).n_sessions == (24 if gap == 10 else 8)
