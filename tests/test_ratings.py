"""Ratings: no row is lost unseen, the past comes first, published forms are read, refusals name their place."""

import gzip
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbook import data as rnnbook_data
from rnnbook import sources
from rnnbook.data import load_ratings
from rnnbook.interactions import RatingData, concatenate
from rnnbook.interactions.tables import DataError

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
T0 = 880_000_000  # 1997-11-20


@st.composite
def tables(draw):
    """Small tables of ratings with integer or string ids, ties and repeated pairs, in any order."""
    n = draw(st.integers(1, 40))
    columns = {name: draw(st.lists(st.integers(*span), min_size=n, max_size=n))
               for name, span in (("user", (0, 6)), ("item", (0, 5)), ("half", (0, 10)), ("hour", (0, 12)))}
    df = pd.DataFrame(columns)
    df = pd.DataFrame({"user": df["user"], "item": df["item"], "rating": df["half"] / 2,
                       "time": T0 + 3600.0 * df["hour"]})
    if draw(st.booleans()):
        df = df.assign(user=df["user"].map("u{}".format), item=df["item"].map("i{}".format))
    return df


def check_arrays(data):
    assert data.users.dtype == data.items.dtype == np.int64
    assert data.ratings.dtype == data.times.dtype == np.float64
    assert len(data.users) == len(data.items) == len(data.times) == data.n_ratings
    assert (np.diff(data.times) >= 0).all() and np.isfinite(data.ratings).all()
    for ids in (data.user_ids, data.item_ids):
        assert ids.tolist() == sorted(set(ids.tolist()))


def in_time_order(df):
    """The rows as tuples, sorted by time and else as they came: the obvious, slow reference."""
    found = df[["user", "item", "rating", "time"]].itertuples(index=False, name=None)
    return sorted(found, key=lambda row: row[3])


def rows(data):
    return list(data.to_frame().itertuples(index=False, name=None))


# ---- from_frame and back, splits ---------------------------------------------------------------------------


def test_they_are_found_beside_the_sessions():
    assert rnnbook_data.load_ratings is load_ratings and rnnbook_data.RatingData is RatingData


@settings(max_examples=60, deadline=None)
@given(tables())
def test_a_frame_survives_the_round_trip(df):
    data = RatingData.from_frame(df, name="mine")
    check_arrays(data)
    assert rows(data) == in_time_order(df) and data.name == "mine"
    assert data.report["rows read"] == len(df)
    assert data.report.get("repeated ratings of a pair kept", 0) == df.duplicated(["user", "item"]).sum()
    assert RatingData.from_frame(data.to_frame()).sha256 == data.sha256
    assert RatingData.from_frame(pl.from_pandas(df)).sha256 == data.sha256


@settings(max_examples=80, deadline=None)
@given(tables(), st.integers(1, 9))
def test_every_row_read_is_a_rating_or_counted_as_dropped(df, least):
    expected = df[df.groupby("user")["item"].transform("size") >= least]
    if expected.empty:
        with pytest.raises(DataError, match=f"no user has {least} ratings. Lower min_user_ratings"):
            load_ratings(df, min_user_ratings=least)
        return
    data = load_ratings(df, min_user_ratings=least)
    check_arrays(data)
    assert rows(data) == in_time_order(expected)
    assert set(data.user_ids) == set(expected["user"]) and set(data.item_ids) == set(expected["item"])
    dropped = data.report.get(f"ratings by users with fewer than {least} dropped", 0)
    assert data.report["rows read"] == len(df) == data.n_ratings + dropped
    assert data.report.get("repeated ratings of a pair kept", 0) == expected.duplicated(["user", "item"]).sum()


@settings(max_examples=40, deadline=None)
@given(tables().filter(lambda df: len(df) >= 10))
def test_a_split_is_in_the_order_of_time_and_joins_again(df):
    data = RatingData.from_frame(df)
    parts = data.split_by_time()
    n = len(df)
    assert [part.n_ratings for part in parts] == np.diff([0, round(.8 * n), round(.9 * n), n]).tolist()
    assert [row for part in parts for row in rows(part)] == rows(data)
    for earlier, later in pairwise(parts):
        assert earlier.times[-1] <= later.times[0]
        assert later.user_ids is data.user_ids and later.item_ids is data.item_ids
    assert concatenate(concatenate(*parts[:2]), parts[2]).sha256 == data.sha256


def test_what_cannot_be_split_or_joined_is_refused():
    data = RatingData.from_frame(pd.DataFrame({"user": [1, 1], "item": [1, 2], "rating": 3, "time": [1, 2]}))
    first, second = data.split_by_time(0.5, 0.5)
    assert rows(first) == [(1, 1, 3.0, 1.0)] and rows(second) == [(1, 2, 3.0, 2.0)]
    with pytest.raises(DataError, match=r"2 ratings cannot be cut into parts of \(0.8, 0.1, 0.1\)"):
        data.split_by_time()
    for shares in ((0.5, 0.6), (1.5, -0.5)):
        with pytest.raises(ValueError, match="must be positive and add up to 1"):
            data.split_by_time(*shares)
    with pytest.raises(ValueError, match="begins before ratings ends"):
        concatenate(second, first)


def test_joined_ratings_number_new_ids_behind_the_old():
    first = RatingData.from_frame(pd.DataFrame({"user": [7, 5], "item": ["b", "a"], "rating": 3, "time": [1, 2]}))
    second = RatingData.from_frame(pd.DataFrame({"user": [6, 7], "item": ["a", "c"], "rating": 4, "time": [2, 9]}))
    both = concatenate(first, second)
    assert rows(both) == rows(first) + rows(second)
    assert both.user_ids.tolist() == [5, 7, 6] and both.item_ids.tolist() == ["a", "b", "c"]
    assert both.users.dtype == both.items.dtype == np.int64


def test_take_by_place_slice_or_mask_keeps_the_ids():
    data = RatingData.from_frame(pd.DataFrame({"user": [5, 6, 7], "item": ["a", "b", "a"], "rating": [1, 2, 3],
                                               "time": [3, 1, 2]}))
    for which in ([0, 2], slice(0, 3, 2), np.array([True, False, True])):
        part = data.take(which)
        assert rows(part) == [(6, "b", 2.0, 1.0), (5, "a", 1.0, 3.0)] and part.report == {}
        assert part.user_ids is data.user_ids and part.item_ids is data.item_ids
    for disordered in ([2, 0], [0, 2, 1], [-1, 0]):
        with pytest.raises(ValueError, match="the indices must ascend"):
            data.take(disordered)


def test_the_digest_sees_every_part():
    df = pd.DataFrame({"user": [1, 2], "item": [7, 8], "rating": [3.0, 4.0], "time": [0.0, 1.0]})
    changed = [df, df.replace({"user": {2: 3}}), df.replace({"item": {8: 9}}), df.assign(rating=[3.0, 4.5]),
               df.assign(time=[0.0, 1.5]), df.assign(user=[1, 1]), df.assign(item=[8, 7])]
    assert len({RatingData.from_frame(each).sha256 for each in changed}) == len(changed)


def test_the_text_says_what_there_is():
    df = pd.DataFrame({"user": [1, 1, 2], "item": [7, 7, 8], "rating": [3, 4, 5], "time": T0})
    text = repr(load_ratings(df, min_user_ratings=2))
    assert text.splitlines()[0] == "ratings: 2 ratings by 1 user of 1 item, 1997-11-20 to 1997-11-20"
    assert "1 ratings by users with fewer than 2 dropped" in text and "1 repeated ratings of a pair kept" in text


# ---- any table ---------------------------------------------------------------------------------------------

TABLE = pd.DataFrame({"userId": np.repeat([3, 1, 2], 4), "movie_id": ["07", "7", "x", "y"] * 3,
                      "Stars": np.tile([4.5, 3, 0, -1], 3), "timestamp": T0 + 100 * np.arange(12)[::-1]})


@pytest.mark.parametrize("write", [
    lambda path: TABLE.to_csv(path / "log.csv", index=False),
    lambda path: TABLE.to_csv(path / "log.tsv", index=False, sep="\t"),
    lambda path: TABLE.to_csv(path / "log.txt", index=False, sep=";", lineterminator="\r\n",
                              encoding="utf-8-sig"),
    lambda path: (path / "log.dat").write_text(TABLE.to_csv(index=False).replace(",", "::")),
    lambda path: (path / "log.inter").write_text(TABLE.to_csv(index=False, sep="\t", header=[
        "user_id:token", "item_id:token", "rating:float", "timestamp:float"])),
    lambda path: TABLE.to_csv(path / "log.csv.gz", index=False),
    lambda path: TABLE.assign(note='a "quoted", note\nof two lines').to_csv(path / "log.csv", index=False),
    lambda path: TABLE.to_parquet(path / "log.parquet"),
], ids=["csv", "tsv", "semicolons, BOM and CRLF", "double colons", "RecBole", "gz", "quotes", "parquet"])
def test_any_table_reads_like_the_frame(tmp_path, write):
    write(tmp_path)
    [path] = tmp_path.iterdir()
    data = load_ratings(path)
    plain = TABLE.set_axis(["user", "item", "rating", "time"], axis=1)
    assert rows(data) == in_time_order(plain) and data.name == path.name
    assert data.user_ids.tolist() == [1, 2, 3] and data.item_ids.tolist() == ["07", "7", "x", "y"]
    assert data.sha256 == load_ratings(TABLE).sha256 == load_ratings(str(path)).sha256


def test_the_named_columns_are_taken():
    df = TABLE.assign(critic=TABLE["userId"] % 2, mark=TABLE["Stars"] + 1)
    data = load_ratings(df, user="critic", item="movie_id", rating="mark", time="timestamp")
    assert rows(data) == in_time_order(pd.DataFrame({
        "user": df["critic"], "item": df["movie_id"], "rating": df["mark"], "time": df["timestamp"]}))
    with pytest.raises(DataError, match="no column 'critics'"):
        load_ratings(df, user="critics")


def test_a_time_may_be_a_date():
    days = ["2005-09-06", "2005-09-04", "2005-09-05"]
    df = pd.DataFrame({"user": 1, "item": [1, 2, 3], "rating": 5, "date": days})
    data = load_ratings(df)
    assert [f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}" for time in data.times] == sorted(days)
    assert data.item_ids[data.items].tolist() == [2, 3, 1]


GOOD = ["user,item,rating,time"] + [f"{n // 2},{n % 3},{n % 5},{T0 + n}" for n in range(10)]


def with_line(number, text):
    return "\n".join(GOOD[:number - 1] + [text] + GOOD[number:]) + "\n"


@pytest.mark.parametrize(("content", "message"), [
    (with_line(1, "user,item,liked,time"), r"bad.csv has no column for the rating .*'liked', 'time'.*rating="),
    (with_line(1, "who,item,rating,time"), r"bad.csv has no column for the user .*user="),
    ("\n".join(GOOD[1:]), r'first line looks like data.* header=\["user", "item", "rating", "time"\]'),
    (with_line(4, ",1,3,5"), r"bad.csv, column 'user': the user id is missing at line 4 \(nothing\)\. Fill it"),
    (with_line(4, "1,,3,5"), r"bad.csv, column 'item': the item id is missing at line 4"),
    (with_line(4, "1,1,,5"), r"bad.csv, column 'rating': no rating.* at line 4 \(nothing\)\. Write every"),
    (with_line(4, "1,1,NaN,5"), r"column 'rating': no rating.* at line 4 \('NaN'\)"),
    (with_line(4, "1,1,inf,5"), r"column 'rating': no rating.* at line 4 \('inf'\)"),
    (with_line(5, "1,1,four,5"), r"column 'rating': .*not a number at line 5 \('four'\)"),
    (with_line(5, '1,1,"4,5",5'), r"column 'rating': .*not a number at line 5 \('4,5'\).*4\.5, not 4,5"),
    (with_line(4, "1,1,3,"), r"column 'time': no time.* at line 4"),
    (with_line(4, "1,1,3"), r"bad.csv cannot be read: line 4 has 3 fields where the first has 4\. Complete or delete"),
    (with_line(7, "1,1,3,-5"), r"column 'time': a time before 1970 at line 7 \('-5'\)"),
    (with_line(7, "1,1,3,880000000000"), r"column 'time': a time after the year 5000 at line 7 .*by 1000"),
    (with_line(6, "1,1,3,5,surplus"), r"bad.csv cannot be read: line 6 has 5 fields where the first has 4"),
    (with_line(6, "1,1,,5").replace(",", "::"), r"column 'rating': no rating.* at line 6 \(''\)"),
    (with_line(6, ",1,3,5").replace(",", "::"), r"column 'user': the user id is missing at line 6 \(''\)"),
    (with_line(6, "1,1,3:5").replace(",", "::"), r"cannot be read: line 6 has 3 fields where the first has 4\. Comp"),
    (with_line(6, "1,1,3,5,6").replace(",", "::"), r"line 6 has 5 fields where .* 4\. .* stray '::' there\.$"),
    (with_line(6, "1,1,3,5\t6").replace(",", "::"), r"column 'time': no time.* at line 6 \('5\\t6'\)"),
    ("", r"bad.csv is empty"), ("user,item,rating,time\n", r"bad.csv is empty: it has no rows"),
    ("7:\n1,5,2005-09-06\n8:\n2,four,2005-09-06\n", r"column 'rating': .*not a number at line 4 \('four'\)"),
    ("7:\n1,5,2005-09-06\n\n2,4\n", r"line 4 has 2 fields where the first has 3\. Complete or"),
    ("7:\n1,5,2005-09-06\n2,4,2005-09-06,9\n", r"line 3 has 4 fields where the first has 3\. .* stray ',' there\.$"),
    ("7:\n", r"bad.csv is empty: it has no rows"),
])
def test_a_faulty_text_table_is_refused_by_file_column_and_line(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        load_ratings(path)


def test_an_id_between_double_colons_may_hold_a_colon(tmp_path):
    (tmp_path / "log").write_text("user::item::rating::time\nann:b::m:1::4::5\n\nann::m::5::6\n")
    data = load_ratings(tmp_path / "log")
    assert rows(data) == [("ann:b", "m:1", 4.0, 5.0), ("ann", "m", 5.0, 6.0)]
    assert data.report == {"rows read": 2, "blank lines skipped": 1}


def test_a_truncated_gzip_is_refused(tmp_path):
    text = "".join(f"{n},{n * 7919 % 1009},{n % 5},{T0 + n * n % 99991}\n" for n in range(30_000))
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(f"user,item,rating,time\n{text}".encode())[:-900])
    with pytest.raises(DataError, match=r"log.csv.gz is truncated or damaged after line [1-9][\d,]*: get"):
        load_ratings(tmp_path / "log.csv.gz")


def test_blank_lines_are_counted(tmp_path):
    (tmp_path / "log.csv").write_text("\n".join(GOOD[:5] + ["", ""] + GOOD[5:]) + "\n\n")
    assert load_ratings(tmp_path / "log.csv").report["blank lines skipped"] == 3


@pytest.mark.parametrize(("column", "value", "message"), [
    ("userId", None, r"the DataFrame, column 'userId': the user id is missing at row 'r3'"),
    ("movie_id", None, r"the DataFrame, column 'movie_id': the item id is missing at row 'r3'"),
    ("Stars", np.nan, r"the DataFrame, column 'Stars': no rating.* at row 'r3'"),
    ("Stars", np.inf, r"the DataFrame, column 'Stars': no rating.* at row 'r3'"),
    ("timestamp", np.nan, r"the DataFrame, column 'timestamp': no time.* at row 'r3'"),
    ("timestamp", -1.0, r"column 'timestamp': a time before 1970 at row 'r3'"),
    ("timestamp", 1e12, r"column 'timestamp': a time after the year 5000 at row 'r3'"),
])
def test_a_faulty_frame_is_refused_by_column_and_row(column, value, message):
    df = TABLE.set_index("r" + TABLE.index.astype(str)).astype({column: object if value is None else float})
    df.loc["r3", column] = value
    with pytest.raises(DataError, match=message):
        load_ratings(df)


@pytest.mark.parametrize("column", [pd.to_datetime(["2005-09-06"] * 12), [True, False] * 6, [None] * 12])
def test_what_is_no_number_is_no_rating(column):
    with pytest.raises(DataError, match=r"column 'Stars': no rating, or not a number at row 0 .* and 9 more"):
        load_ratings(TABLE.assign(Stars=column))


def test_what_is_no_source_is_said_to_be_none(tmp_path):
    for nothing in ("movielens-100m", tmp_path):
        with pytest.raises(FileNotFoundError, match="neither a file here nor one of the data sets: rating-w"):
            load_ratings(nothing)
    with pytest.raises(TypeError, match="has its own column names"):
        load_ratings("movielens-100k", user="user")
    with pytest.raises(TypeError, match="a path or a DataFrame"):
        load_ratings(17)
    with pytest.raises(DataError, match="the DataFrame is empty"):
        load_ratings(TABLE.iloc[:0])


# ---- published formats -------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Writes a file of a data set, whatever the published digest, where the loader looks first."""
    def write(name, file, content):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / file).write_text(content)
        monkeypatch.setitem(sources.SOURCES, name, replace(sources.SOURCES[name], digests=()))
        return tmp_path / name / file
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    return write


def raw(name, file, separator):
    """The rows of a sample, read by hand."""
    lines = (SAMPLES / name / file).read_text().splitlines()
    return [line.split(separator) for line in lines]


def test_both_forms_of_movielens_100k_are_one(here):
    sample = raw("movielens-100k", "u.data", "\t")
    expected = sorted(((int(user), int(item), float(rating), float(time)) for user, item, rating, time in sample),
                      key=lambda row: (row[3], row[0], row[1]))
    assert len({row[3] for row in expected}) < len(expected)  # there are ties
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    lines = ["\t".join(row) for row in sample]
    path = here("movielens-100k", "ml-100k.inter", "\n".join([header, *reversed(lines)]))
    inter = load_ratings("movielens-100k")
    path.unlink()
    path = here("movielens-100k", "u.data", "\n".join(lines))
    data = load_ratings("movielens-100k")
    assert rows(data) == rows(inter) == expected
    assert data.sha256 == inter.sha256 and data.report == inter.report == {"rows read": 24}
    assert data.name == inter.name == "movielens-100k"
    path.with_name("u.data.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert load_ratings("movielens-100k").sha256 == data.sha256


def test_movietweetings_keeps_the_zeros_of_an_id(here):
    sample = raw("movietweetings-100k", "ratings.dat", "::")
    here("movietweetings-100k", "ratings.dat", "\n".join(map("::".join, sample)))
    data = load_ratings("movietweetings-100k")
    df = pd.DataFrame([(int(user), item, float(rating), float(time)) for user, item, rating, time in sample],
                      columns=["user", "item", "rating", "time"])
    assert rows(data) == in_time_order(df) and "0097531" in data.item_ids and data.ratings.min() == 0
    active = load_ratings("movietweetings-100k", min_user_ratings=10)
    assert active.user_ids.tolist() == [2, 4] and active.n_ratings == 21
    assert active.report == {"rows read": 24, "ratings by users with fewer than 10 dropped": 3}


def test_movielens_of_other_sizes_is_read(here):
    df = pd.DataFrame([(6, 10, 4.5, T0 + 1.0), (6, 9, 2, T0), (11, 10, 5, T0 + 1)],
                      columns=["user", "item", "rating", "time"])
    text = df.astype({"time": int}).to_csv(index=False).splitlines()
    here("movielens-1m", "ratings.dat", "\n".join(text[1:]).replace(",", "::"))
    here("movielens-32m", "ratings.csv", "\n".join(["userId,movieId,rating,timestamp", *text[1:]]))
    here("movielens-latest-small", "ratings.csv", "\n".join(["userId,movieId,rating,timestamp", *text[1:]]))
    for name in ("movielens-1m", "movielens-32m", "movielens-latest-small"):
        data = load_ratings(name)
        assert rows(data) == in_time_order(df) and data.name == name
        assert data.user_ids.tolist() == [6, 11] and data.report == {"rows read": 3}


def test_the_four_files_of_netflix_are_one(here):
    files = ["1:\n30,3,2005-09-06\n31,4,2005-09-04\n2:\n\n30,1,2005-09-06\n", "3:\n32,5,1999-12-31\n",
             "4:\n5:\n31,2,2005-09-06\n", "6:\n30,5,2000-01-01"]
    for number, text in enumerate(files, 1):
        here("netflix", f"combined_data_{number}.txt", text)
    data = load_ratings("netflix")
    check_arrays(data)
    frame = data.to_frame().assign(day=pd.to_datetime(data.times, unit="s").strftime("%Y-%m-%d"))
    assert list(frame[["user", "item", "rating", "day"]].itertuples(index=False, name=None)) == [
        (32, 3, 5.0, "1999-12-31"), (30, 6, 5.0, "2000-01-01"), (31, 1, 4.0, "2005-09-04"),
        (30, 1, 3.0, "2005-09-06"), (30, 2, 1.0, "2005-09-06"), (31, 5, 2.0, "2005-09-06")]
    assert data.report == {"rows read": 6, "lines that name a movie or are blank": 7}
    here("netflix", "combined_data_3.txt", "4:\n31,2,2005-09-06\n5:\n31,2,soon\n")
    with pytest.raises(DataError, match=r"combined_data_3.txt, column 'time': no time.* at line 4 \('soon'\)"):
        load_ratings("netflix")


def test_the_made_up_samples_are_read_as_the_data_sets(monkeypatch):
    monkeypatch.setenv("RNNBOOK_DATA", str(SAMPLES))
    assert repr(load_ratings("movielens-100k")).startswith("movielens-100k: 24 ratings by 4 users of 10 items")
    with pytest.raises(DataError, match=r"ratings.dat is not the published file: .* give the path of a table"):
        load_ratings("movietweetings-100k")


def test_the_embedded_world_needs_nothing():
    from rnnbook.worlds import RatingWorld

    data = load_ratings("rating-world")
    assert data.n_ratings == 100_000 and data.sha256 == RatingWorld().sample(seed=0).sha256


# ---- the real data, where they are ---------------------------------------------------------------------------


def real(name):
    if sources.find(sources.SOURCES[name]) is None:
        pytest.skip(f"{name} is not here (it is not in the repository); samples in the same format are read above")
    return name


def test_movielens_100k_has_the_published_counts():
    data = load_ratings(real("movielens-100k"))
    assert (data.n_ratings, data.n_users, data.n_items) == (100_000, 943, 1_682)
    assert set(data.ratings) == {1, 2, 3, 4, 5} and data.report == {"rows read": 100_000}
    assert "1997-09-20 to 1998-04-22" in repr(data) and data.sha256 == (
        "276146830e4ccb0934b335e387a2a0968b0fb8882be278ee0cd0718a965ab20b")


def test_movietweetings_100k_has_the_published_counts():
    data = load_ratings(real("movietweetings-100k"))
    assert (data.n_ratings, data.n_users, data.n_items) == (100_000, 16_554, 10_506)
    assert set(data.ratings) == set(range(11)) and {len(item) for item in data.item_ids} == {7}
    assert "2013-02-28 to 2013-09-01" in repr(data)
    active = load_ratings("movietweetings-100k", min_user_ratings=10)
    assert (active.n_ratings, active.n_users) == (67_040, 2_583)
