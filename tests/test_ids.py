"""Ids: what stands for nothing is missing, 100.0 is 100, spaces make no second item; from files and frames alike."""

import uuid

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbook.data import load_ratings, load_reviews, load_sessions
from rnnbook.interactions import SessionData
from rnnbook.interactions.ids import clean_ids
from rnnbook.interactions.tables import DataError, read_events

SPELLINGS = ["", " ", "\t ", "NULL", "null", "Null", r"\N", "None", "none", "NONE", "NaN", "nan", "NAN", "NA", "na",
             "N/A", "n/a",
             "<NA>", "NaT", "#N/A", "#NA", "-nan", "<null>", "(null)", "nil", "undefined", "1.#IND", " NULL "]
T0 = 1_396_342_800


def log(item):
    """A log of three rows, the second with this item."""
    items = pd.Series([7, item, 9], dtype=object)
    return pd.DataFrame({"session": [1, 1, 2], "item": items, "time": [T0, T0 + 1, T0 + 2]})


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("items", [("7", "9"), ("seven", "nine"), ("7.0", "9.0")])
def test_what_is_missing_is_refused_by_its_line_or_dropped_and_counted(tmp_path, spelling, items):
    path = tmp_path / "log.tsv"
    path.write_text(f"session;item;time\n1;{items[0]};5\n1;{spelling};6\n2;{items[1]};7\n")
    frame = pd.DataFrame({"session": [1, 1, 2], "item": [items[0], spelling, items[1]], "time": [5, 6, 7]})
    for source, place in ((path, "line 3"), (frame, "row 1")):
        options = {"separator": ";"} if source is path else {}
        with pytest.raises(DataError, match=rf"item id is missing at {place} \(.*\)\. Fill it in.* drop_missing=True"):
            read_events(source, **options)
        found, report = read_events(source, **options, drop_missing=True)
        assert found["item"].to_list() == ([7, 9] if items[0][0] == "7" else list(items))
        assert report["rows read"] == 3 and report["rows without an item dropped"] == 1


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT])
def test_what_is_missing_in_a_frame_is_refused_by_its_row(nothing):
    with pytest.raises(DataError, match="the item id is missing at row 1"):
        read_events(log(nothing))
    assert read_events(log(nothing), drop_missing=True)[0]["item"].to_list() == [7, 9]
    floats = pl.DataFrame({"session": [1, 1], "item": [7.0, float("nan")], "time": [1, 2]})
    assert read_events(floats, drop_missing=True)[0]["item"].to_list() == [7]


def test_every_column_of_a_row_may_be_missing_and_every_loader_drops(tmp_path):
    rows = [f"{n // 2 + 1},{n % 3},{n % 5},{T0 + 1000 * n},fine" for n in range(200)]
    rows[3], rows[50], rows[90], rows[120] = "NULL,1,1,5,x", rf"1,\N,1,{T0},x", f"1,1,None,{T0},x", "1,1,1,NaN,x"
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["user,item,rating,time,text", *rows]))
    for load in (load_ratings, load_reviews):
        with pytest.raises(DataError, match=r"user id is missing at line 5 .*item id is missing at line 52 .*no rating"
                                            r".* at line 92 .*no time, .* at line 122 \('NaN'\).* --drop-missing") as e:
            load(path)
        assert str(e.value).count("drop_missing=True") == 1
        data = load(path, drop_missing=True)
        assert data.n_ratings == 196 and data.report["rows read"] == 200
        for what in ("a user", "an item", "a rating", "a time"):
            assert data.report[f"rows without {what} dropped"] == 1
    train, _ = load_sessions(path, session="user", drop_missing=True)  # its rating is not read
    assert train.report["rows read"] == 200
    assert sum(n for what, n in train.report.items() if what.startswith("rows without")) == 3


def test_a_value_that_is_wrong_is_not_dropped_as_missing(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("session,item,time\n1,2,5\n1,3,NULL\n1,2,soon\n")
    with pytest.raises(DataError, match=r"no time, .* at line 4 \('soon'\)"):
        read_events(path, drop_missing=True)
    path.write_text("session,item,time\n1,NULL,5\n,3,7\n")
    with pytest.raises(DataError, match="no row is left of 2"):
        read_events(path, drop_missing=True)


@pytest.mark.parametrize("name", ["nanna", "nullo", "nonesuch", "nation", "n/ab", "Nan Goldin", "None of us", "0", "-"])
def test_what_only_begins_so_is_an_id(name):
    assert clean_ids(pl.Series([name, "x"])).column.to_list() == [name, "x"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-2**63, 2**63 - 1), min_size=1, max_size=20),
       st.sampled_from(["{}", "{}.0", "{}.00", " {} "]))
def test_integers_are_integers_however_they_are_written(numbers, form):
    written = [form.format(number) for number in numbers]
    assert clean_ids(pl.Series(written)).column.to_list() == numbers
    assert clean_ids(pl.Series(numbers)).column.to_list() == numbers


def test_a_file_and_its_frame_have_the_same_ids(tmp_path):
    """pandas makes floats of integers with a gap, and writes them so."""
    df = pd.DataFrame({"session": [1, 1, 2, 2], "item": [100.0, 101.0, np.nan, 100.0], "time": [1, 2, 3, 4]})
    df.to_csv(tmp_path / "log.csv", index=False)
    df.to_parquet(tmp_path / "log.parquet")
    found = [read_events(source, drop_missing=True) for source in (df, pl.from_pandas(df), tmp_path / "log.csv",
                                                                   tmp_path / "log.parquet")]
    assert all(frame["item"].to_list() == [100, 101, 100] and frame["item"].dtype == pl.Int64 for frame, _ in found)
    assert found[2][1]["ids such as 100.0 read as integers"] == 3  # said where the text was another one


@pytest.mark.parametrize("ids", [["07", "7"], ["7.5", "8"], ["1e3", "2"], ["9223372036854775808", "1"], ["-0", "1"],
                                 ["7.", "8"]])
def test_what_is_no_plain_integer_stays_text(tmp_path, ids):
    rows = [f"1,{item},{n}" for n, item in enumerate(ids)]
    (tmp_path / "log.csv").write_text("\n".join(["session,item,time", *rows]))
    assert read_events(tmp_path / "log.csv")[0]["item"].to_list() == ids


def test_floats_that_have_lost_digits_are_no_ids():
    df = log(1.0).assign(item=[2.0**53, 2.0**60, 7.0])
    with pytest.raises(DataError, match=r"a float too large to be an exact id at row 0 .*, row 1 "):
        read_events(df)
    short = log(1.0).assign(item=np.array([2**24, 2**24 + 1, 7], dtype=np.float32))  # the first two have become one
    with pytest.raises(DataError, match=r"a float too large to be an exact id at row 0 .*, row 1 "):
        read_events(short)


def test_spaces_around_an_id_make_no_second_item(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("session, item, time\n1, mug, 5\n1,mug ,6\n2,\u00a0mug,7\n2,tea,8\n")
    frame, report = read_events(path)
    assert frame["item"].to_list() == ["mug", "mug", "mug", "tea"]
    assert report["ids with spaces around them trimmed"] == 3
    path.write_text("session,item,time\n1, 7,5\n1,7,6\n 2,8,7\n")
    frame, report = read_events(path)
    assert frame["item"].to_list() == [7, 7, 8] and frame["session"].to_list() == [1, 1, 2]
    assert report["ids with spaces around them trimmed"] == 2
    df = pd.DataFrame({"session": [1, 1], "item": ["mug", " mug"], "time": [1, 2]})
    assert SessionData.from_frame(df).item_ids.tolist() == ["mug"]


def test_uuids_and_other_objects_are_ids_by_their_text():
    ids = [uuid.UUID(int=1), uuid.UUID(int=2), uuid.UUID(int=1)]
    assert read_events(log(None).assign(item=ids))[0]["item"].to_list() == list(map(str, ids))


def test_a_log_of_numbers_fits_a_catalogue_of_strings():
    words = np.array(["07", "7", "8", "tent"], dtype=object)
    for written in ([8, 7, 8], ["8", "7", "8"]):
        data = SessionData.from_frame(log(7).assign(item=written), item_ids=words)
        assert data.items.tolist() == [2, 1, 2] and data.item_ids is words
    with pytest.raises(DataError, match="row 1: item 9 is not among the 4 of item_ids"):
        SessionData.from_frame(log(7).assign(item=[8, 9, 8]), item_ids=words)


def test_messages_print_plain_values():
    df = log(7).assign(item=[1, 2, 3], time=[1, 2, np.nan]).set_index(pd.Index([140, 141, 142]))
    with pytest.raises(DataError, match=r"at row 142 \(nothing\)"):
        read_events(df)
    with pytest.raises(DataError, match=r"row 141: item 2 is not among the 2 of item_ids \(1 items are not\)\. Drop"):
        SessionData.from_frame(df.assign(time=1), item_ids=np.array([1, 3]))
    with pytest.raises(DataError, match=r"item '2.0' is not among .*: did you mean 2\? Drop"):
        SessionData.from_frame(df.assign(time=1, item=["x", "2.0", "y"]), item_ids=np.array([1, 2, 3]))


