"""Reviews: each text stays with its rating and comes through unchanged, published forms are read, errors say where."""

import csv
import gzip
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnbook import data as rnnbook_data
from rnnbook import sources
from rnnbook.data import load_ratings, load_reviews
from rnnbook.interactions import RatingData, ReviewData
from rnnbook.interactions.tables import DataError

T0 = 1_400_000_000  # 2014-05-13
TEXTS = ["Good.", "", "naïve café", "日本語 العربية", "👩‍👩‍👧 🇪🇺 😀", "e\u0301 is no \xe9",
         "\0\a\b\x1b[31m\x7f\x85\u2028",
         "tab\t, line\nfeed\r\nand \"quotes\"; \\n", "  space  ", "&quot;5&#34; &amp; &lt;b&gt;", "\U0010ffff\ufeff",
         "x" * 20_000, "ü😀" * 10_000, "null", "NaN", "5.0"]


def frame(texts, **columns):
    """A row for each text, in the order of time."""
    n = len(texts)
    return pd.DataFrame({"user": np.arange(n) % 3, "item": np.arange(n), "rating": np.arange(n) % 5 + 1.0,
                         "time": T0 + 60.0 * np.arange(n), "text": texts} | columns)


@st.composite
def tables(draw):
    """Small tables in any order, with ties, repeated pairs, missing texts and any character that there is."""
    texts = draw(st.lists(st.none() | st.text(max_size=12), min_size=1, max_size=30))
    columns = {name: draw(st.lists(st.integers(0, most), min_size=len(texts), max_size=len(texts)))
               for name, most in (("user", 4), ("item", 5), ("rating", 5), ("time", 12))}
    return pd.DataFrame({"text": pd.Series(texts, dtype=object)} | columns)


def in_time_order(df):
    """The rows as tuples, sorted by time and else as they came: the obvious, slow reference."""
    found = [(*row[:4], row[4] or "") for row in df[["user", "item", "rating", "time", "text"]].itertuples(
        index=False, name=None)]
    return sorted(found, key=lambda row: row[3])


def rows(data):
    return list(data.to_frame().itertuples(index=False, name=None))


def texts(data):
    return [data.text(i) for i in range(data.n_ratings)]


def check_arrays(data):
    assert data.characters.dtype == np.uint32 and data.offsets.dtype == data.lengths.dtype == np.int64
    assert data.offsets[0] == 0 and data.offsets[-1] == len(data.characters) == data.n_characters
    assert len(data.offsets) == data.n_ratings + 1 == data.ratings.n_ratings + 1
    assert (data.lengths >= 0).all() and (np.diff(data.ratings.times) >= 0).all()


# ---- from_frame and back, parts ----------------------------------------------------------------------------


def test_they_are_found_beside_the_sessions():
    assert rnnbook_data.load_reviews is load_reviews and rnnbook_data.ReviewData is ReviewData


@settings(max_examples=60, deadline=None)
@given(tables())
def test_a_frame_survives_the_round_trip(df):
    data = ReviewData.from_frame(df, name="mine")
    check_arrays(data)
    expected = in_time_order(df)
    assert rows(data) == expected and texts(data) == [row[4] for row in expected]
    assert data.lengths.tolist() == [len(row[4]) for row in expected]
    assert data.characters.tolist() == [ord(c) for row in expected for c in row[4]]
    assert data.name == data.ratings.name == "mine"
    assert data.ratings.sha256 == RatingData.from_frame(df).sha256
    assert ReviewData.from_frame(data.to_frame()).sha256 == data.sha256
    assert ReviewData.from_frame(pl.from_pandas(df)).sha256 == data.sha256


@settings(max_examples=60, deadline=None)
@given(tables())
def test_everything_odd_is_counted(df):
    report = ReviewData.from_frame(df).report
    assert report["rows read"] == len(df)
    assert report.get("repeated ratings of a pair kept", 0) == df.duplicated(["user", "item"]).sum()
    assert report.get("reviews without text", 0) == sum(not text for text in df["text"])
    lost = sum("\ufffd" in (text or "") for text in df["text"])
    assert report.get("reviews with a character that could not be read (U+FFFD)", 0) == lost


@pytest.mark.parametrize("block", [1, 3, 4096])
def test_every_text_comes_through_unchanged(monkeypatch, block):
    monkeypatch.setattr("rnnbook.interactions.reviews.BLOCK", block)
    data = ReviewData.from_frame(frame(TEXTS))
    check_arrays(data)
    assert texts(data) == data.to_frame()["text"].tolist() == TEXTS
    assert data.text(-1) == TEXTS[-1] and data.report == {"rows read": len(TEXTS), "reviews without text": 1}
    for outside in (len(TEXTS), -len(TEXTS) - 1):
        with pytest.raises(IndexError):
            data.text(outside)


def test_the_order_of_time_is_that_of_texts_too():
    data = ReviewData.from_frame(frame(["third", "first", "also first", "second"], time=[9, 2, 2, 5]))
    assert texts(data) == ["first", "also first", "second", "third"]
    assert data.ratings.items.tolist() == [1, 2, 3, 0]
    many = ReviewData.from_frame(frame([str(n) for n in range(20_000)], time=np.arange(20_000) % 7))
    assert texts(many) == many.ratings.item_ids[many.ratings.items].astype(str).tolist()


@settings(max_examples=60, deadline=None)
@given(tables(), st.data())
def test_take_by_place_slice_or_mask_takes_the_texts(df, draw):
    data = ReviewData.from_frame(df)
    mask = np.array(draw.draw(st.lists(st.booleans(), min_size=len(df), max_size=len(df))))
    start, step = draw.draw(st.integers(0, len(df))), draw.draw(st.integers(1, 3))
    for which in (mask, np.flatnonzero(mask), np.flatnonzero(mask).tolist(), slice(start, None, step)):
        part = data.take(which)
        check_arrays(part)
        wanted = np.arange(len(df))[which]
        assert rows(part) == [rows(data)[i] for i in wanted] and texts(part) == [texts(data)[i] for i in wanted]
        assert part.ratings.sha256 == data.ratings.take(which).sha256 and part.report == {}
        assert part.ratings.user_ids is data.ratings.user_ids and part.ratings.item_ids is data.ratings.item_ids


def test_take_refuses_what_would_break_the_order_of_time():
    data = ReviewData.from_frame(frame(["a", "b", "c"]))
    for which in ([1, 0], [1, 1], slice(None, None, -1)):
        with pytest.raises(ValueError, match="the indices must ascend"):
            data.take(which)
    with pytest.raises(IndexError):
        data.take([3])
    assert texts(data.take([0, -1])) == ["a", "c"]


@settings(max_examples=40, deadline=None)
@given(tables().filter(lambda df: len(df) >= 10))
def test_a_split_is_in_the_order_of_time_over_the_same_ids(df):
    data = ReviewData.from_frame(df)
    for shares in ((), (0.5, 0.5)):
        parts = data.split_by_time(*shares)
        assert [part.ratings.sha256 for part in parts] == [
            part.sha256 for part in data.ratings.split_by_time(*shares)]
        assert [row for part in parts for row in rows(part)] == rows(data)
        for part in parts:
            check_arrays(part)
            assert part.ratings.user_ids is data.ratings.user_ids and part.name == data.name
            assert part.ratings.item_ids is data.ratings.item_ids


def test_what_cannot_be_split_is_refused():
    data = ReviewData.from_frame(frame(["a", "b"]))
    with pytest.raises(DataError, match=r"2 ratings cannot be cut into parts of \(0.8, 0.1, 0.1\)"):
        data.split_by_time()
    with pytest.raises(ValueError, match="must be positive and add up to 1"):
        data.split_by_time(0.5, 0.6)


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(1, 6))
def test_the_texts_of_dropped_users_go_with_their_ratings(df, least):
    expected = df[df.groupby("user")["item"].transform("size") >= least]
    if expected.empty:
        with pytest.raises(DataError, match=f"no user has {least} ratings. Lower min_user_ratings"):
            load_reviews(df, min_user_ratings=least)
        return
    data = load_reviews(df, min_user_ratings=least)
    check_arrays(data)
    assert rows(data) == in_time_order(expected)
    assert data.ratings.sha256 == load_ratings(df, min_user_ratings=least).sha256
    dropped = data.report.get(f"ratings by users with fewer than {least} dropped", 0)
    assert data.report["rows read"] == len(df) == data.n_ratings + dropped
    assert data.report.get("reviews without text", 0) == sum(not text for text in expected["text"])


def test_the_digest_sees_every_part():
    df = frame(["ab", "c", ""])
    changed = [df, frame(["ab", "C", ""]), frame(["a", "bc", ""]), frame(["ab", "", "c"]), frame(["ab", "c", "\0"]),
               df.assign(rating=[1, 2, 3.5]), df.assign(user=[0, 1, 1]), df.assign(time=[1, 2, 3])]
    assert len({ReviewData.from_frame(each).sha256 for each in changed}) == len(changed)
    assert ReviewData.from_frame(df).sha256 == ReviewData.from_frame(df.iloc[::-1]).sha256


def test_the_text_says_what_there_is():
    data = load_reviews(frame(["ab", None, "\ufffd\ufffd"], user=[1, 1, 1], item=[7, 7, 8]))
    assert repr(data).splitlines() == [
        "reviews: 3 ratings by 1 user of 2 items, 2014-05-13 to 2014-05-13, 4 characters of text",
        "             3 rows read", "             1 repeated ratings of a pair kept",
        "             1 reviews without text",
        "             1 reviews with a character that could not be read (U+FFFD)"]


# ---- published formats -------------------------------------------------------------------------------------

# as published in 2014 and 2018: seconds, and no text where nothing was written
OLD = [
    {"reviewerID": "A2SUAM1J3GNN3B", "asin": "0000013714", "reviewerName": "J. M", "helpful": [2, 3],
     "reviewText": "I bought this for my husband. He &#34;loves&#34; it\u2026", "overall": 5.0,
     "summary": "Heavenly", "unixReviewTime": T0 + 200, "reviewTime": "05 13, 2014"},
    {"overall": 4.0, "verified": True, "reviewerID": "A1", "asin": "B004LLIKVU", "style": {"Amount:": " 50"},
     "unixReviewTime": T0},
    {"reviewerID": "A1", "asin": "0000013714", "reviewText": "", "overall": 1.0, "unixReviewTime": T0 + 200},
    {"reviewerID": "A3", "asin": "B004LLIKVU", "reviewText": "Wunderschön 😀\n\u0000", "overall": 3,
     "unixReviewTime": T0 + 100, "vote": "1,024"},
]
READ = [("A1", "B004LLIKVU", 4.0, T0, ""), ("A3", "B004LLIKVU", 3.0, T0 + 100, "Wunderschön 😀\n\0"),
        ("A2SUAM1J3GNN3B", "0000013714", 5.0, T0 + 200, "I bought this for my husband. He &#34;loves&#34; it…"),
        ("A1", "0000013714", 1.0, T0 + 200, "")]

# as published in 2023: milliseconds, and the variants of one product (asin) under its parent
NEW = [
    {"rating": record["overall"], "title": record.get("summary", ""), "text": record.get("reviewText", ""),
     "images": [], "asin": f"variant-{n}", "parent_asin": record["asin"], "user_id": record["reviewerID"],
     "timestamp": 1000 * record["unixReviewTime"] + n, "helpful_vote": 0, "verified_purchase": True}
    for n, record in enumerate(OLD)
]
READ_NEW = [(*READ[0][:3], T0 + 0.001, READ[0][4]), (*READ[1][:3], T0 + 100.003, READ[1][4]),
            (*READ[2][:3], T0 + 200.0, READ[2][4]), (*READ[3][:3], T0 + 200.002, READ[3][4])]


def lines(records, **style):
    return "".join(json.dumps(record, **style) + "\n" for record in records)


def write(path, text):
    """As a file, gzipped if it is called so."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize(("name", "file", "records", "expected"), [
    ("amazon-gift-cards", "amazon-gift-cards/Gift_Cards_5.json", OLD, READ),
    ("amazon-2014:Digital_Music", "amazon-2014/reviews_Digital_Music_5.json", OLD, READ),
    ("amazon-2023:Digital_Music", "amazon-2023/Digital_Music.jsonl", NEW, READ_NEW),
])
def test_the_published_forms_are_read_by_name_and_by_path(tmp_path, monkeypatch, name, file, records, expected, end):
    path = write(tmp_path / f"{file}{end}", lines(records))
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    data = load_reviews(name)
    check_arrays(data)
    assert rows(data) == expected and data.name == name
    assert data.report == {"rows read": 4, "reviews without text": 2}
    by_path = load_reviews(path)
    assert by_path.name == path.name and by_path.sha256 == load_reviews(str(path)).sha256 == data.sha256
    assert load_reviews(pd.DataFrame(records)).sha256 == data.sha256


def test_the_form_and_no_single_row_decides_the_unit_of_time(tmp_path):
    path = write(tmp_path / "Baby.jsonl", lines([NEW[0], NEW[1] | {"timestamp": T0}, *NEW[2:]]))
    with pytest.raises(DataError, match=rf"Baby.jsonl, column 'timestamp': a time before 1973, in milliseconds at "
                                        rf"line 2 \('{T0}'\)\. These look like seconds: multiply them by 1000"):
        load_reviews(path)
    path = write(tmp_path / "Baby_5.json", lines([OLD[0], OLD[1] | {"unixReviewTime": 1000 * T0}]))
    with pytest.raises(DataError, match=r"Baby_5.json, column 'unixReviewTime': a time after the year 5000 at line 2 "
                                        r".*divide them by 1000"):
        load_reviews(path)


def test_the_table_of_ratings_alone_has_no_text(tmp_path):
    text = f"user_id,parent_asin,rating,timestamp\nA1,B1,5.0,{1000 * T0}\n"
    with pytest.raises(DataError, match=r"Baby.csv.gz has no column for the text .*Name the right one: text="):
        load_reviews(write(tmp_path / "Baby.csv.gz", text))


def test_a_name_knows_its_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNBOOK_DATA", str(tmp_path))
    write(tmp_path / "amazon-2023" / "Baby.jsonl", lines(OLD))
    with pytest.raises(DataError, match=r"Baby\.jsonl has no column 'user_id' and .*; it has 'reviewerID', 'asin', "):
        load_reviews("amazon-2023:Baby")


def test_names_bring_their_own_columns_and_unknown_ones_are_listed(tmp_path):
    with pytest.raises(TypeError, match="amazon-gift-cards has its own column names"):
        load_reviews("amazon-gift-cards", text="summary")
    for nothing in ("amazon-2014", "amazon-2015:Baby", "netflix", "amazon-gift-cards:Baby", tmp_path):
        with pytest.raises(FileNotFoundError, match="neither a file here nor one of the data sets: review-world, "
                                                    "amazon-gift-cards, amazon-2014:<Category>, amazon-2023:"):
            load_reviews(nothing)
    with pytest.raises(TypeError, match="a path or a DataFrame"):
        load_reviews(17)


# ---- JSON lines --------------------------------------------------------------------------------------------


def records(df):
    return df.to_dict("records")


@pytest.mark.parametrize("escaped", [True, False])
def test_every_text_comes_through_json_unchanged(tmp_path, escaped):
    df = frame(TEXTS)
    data = load_reviews(write(tmp_path / "mine.jsonl", lines(records(df), ensure_ascii=escaped)))
    assert texts(data) == TEXTS and data.sha256 == ReviewData.from_frame(df).sha256


def test_half_a_surrogate_pair_becomes_a_counted_sign(tmp_path):
    half = ["\ud800", "a\udc00b\ud83d", "\ud83d\ude00 whole", "plain"]
    whole = ["\ufffd", "a\ufffdb\ufffd", "😀 whole", "plain"]
    text = "".join(f'{{"user": 1, "item": {n}, "rating": 5, "time": {n}, "text": {json.dumps(each)}}}\n'
                   for n, each in enumerate(half))
    assert r"\ud800" in text and r"\ud83d\ude00 whole" in text
    data = load_reviews(write(tmp_path / "mine.json", text))
    assert texts(data) == whole
    assert data.report == {"rows read": 4, "reviews with a character that could not be read (U+FFFD)": 2}
    df = frame(whole).assign(text=pd.Series(["\ud800", "a\udc00b\ud83d", *whole[2:]], dtype=object))
    assert texts(ReviewData.from_frame(df)) == whole


def test_ids_and_numbers_are_as_they_are_written(tmp_path):
    text = ('{"user": 7, "item": "07", "rating": 4.5, "time": 5, "text": null}\r\n\n   \n'
            '\ufeff{"text": "raw \ttab", "item": 7, "user": "8", "rating": "-1e0", "time": "6.5"}')
    data = load_reviews(write(tmp_path / "mine.json", text))
    assert rows(data) == [(7, "07", 4.5, 5.0, ""), (8, "7", -1.0, 6.5, "raw \ttab")]
    assert data.report == {"rows read": 2, "blank lines skipped": 2, "reviews without text": 1}


def test_the_named_columns_are_taken(tmp_path):
    path = write(tmp_path / "mine.json", lines([{"who": "a", "what": 1, "stars": 2, "overall": 3, "when": 4, "time": 5,
                                                 "summary": "short", "reviewText": "long"}]))
    assert rows(load_reviews(path, user="who", item="what", rating="stars", time="when", text="summary")) == [
        ("a", 1, 2.0, 4.0, "short")]
    with pytest.raises(DataError, match=r"mine\.json has no column 'body'; it has 'who', 'what', "):
        load_reviews(path, user="who", item="what", text="body")


GOOD = lines(records(frame(["fine", "good", "bad", "fair"]))).splitlines()


def third(text):
    return "\n".join([*GOOD[:2], text, *GOOD[3:]]) + "\n"


@pytest.mark.parametrize(("content", "message"), [
    (third(GOOD[2][:-9]), r"bad.json cannot be read: line 3: Unterminated string .* at character \d+\. Correct or"),
    (third(GOOD[2].replace(":", "", 1)), r"bad.json cannot be read: line 3: Expecting ':' delimiter at character \d+"),
    (third(GOOD[2] + GOOD[2]), r"line 3: Extra data at character \d+\. Correct or delete that line"),
    (third(GOOD[2].replace('"', "'")), r"line 3: Expecting property name enclosed in double quotes at character 2"),
    (third("[1]"), r"line 3: not a JSON object\. Write one object per line"),
    (third("[" * 100_000), r"line 3: (too many brackets|Expecting value)"),
    ("oops\n" + third(""), r"line 1: Expecting value at character 1"),
    ("[\n" + ",\n".join(GOOD) + "\n]", r"line 1: Expecting value at character"),
    (f"[{', '.join(GOOD)}]", r"line 1: not a JSON object\. Write one object per line, \{…\}, without a list around"),
    (third("{}"), r"bad.json, column 'user': the user id is missing at line 3 \(nothing\)"),
    (third('{"user": 1}'), r"bad.json, column 'item': the item id is missing at line 3 \(nothing\)\. Fill it in"),
    (third(GOOD[2].replace('"user": 2', '"user": null')), r"column 'user': the user id is missing at line 3"),
    (third(GOOD[2].replace('"rating"', '"mark"')), r"column 'rating': no rating.* at line 3 \(nothing\)\. Write"),
    (third(GOOD[2].replace("3.0", "NaN")), r"column 'rating': no rating.* at line 3 \('NaN'\)"),
    (third(GOOD[2].replace("3.0", "true")), r"column 'rating': neither a string nor a number at line 3 \(True\)\. C"),
    (third(GOOD[2].replace("3.0", '"four"')), r"column 'rating': .*not a number at line 3 \('four'\)"),
    (third(GOOD[2].replace('"time": 1400000120.0', '"time": "soon"')), r"column 'time': no time.* line 3 \('soon'\)"),
    (third(GOOD[2].replace('"time": 1400000120.0', '"time": -1')), r"column 'time': a time before 1970 at line 3"),
    (third(GOOD[2].replace('"bad"', '["bad"]')), r"column 'text': neither a string nor a number at line 3 \(\['bad'\]"),
    (third(GOOD[2].replace('"item": 2', r'"item": "\ud800"')), r"column 'item': bytes that are not UTF-8 at line 3"),
    ("\n" + third("").replace('"text"', '"body"'), r"bad.json has no column for the text \(such as 'text'\); it has "
                                                   r"'user', 'item', 'rating', 'time', 'body'\. Name .*text="),
    ("", r"bad.json is empty"),
])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_a_faulty_file_is_refused_by_line_column_and_remedy(tmp_path, content, message, end):
    path = write(tmp_path / f"bad.json{end}", content)
    with pytest.raises(DataError, match=message.replace("bad.json", f"bad.json{end}")):
        load_reviews(path)


def test_bytes_that_are_not_utf8_are_refused_in_json_and_counted_in_a_table(tmp_path):
    path = tmp_path / "latin.json"
    path.write_bytes(third(GOOD[2].replace("bad", "caf\xe9")).encode("latin-1"))
    with pytest.raises(DataError, match=r"latin.json cannot be read: line 3: bytes that are not UTF-8\. Save the"):
        load_reviews(path)
    path = tmp_path / "latin.csv"
    path.write_bytes(frame(["caf\xe9", "tea"]).to_csv(index=False).encode("latin-1"))
    data = load_reviews(path)
    assert texts(data) == ["caf\ufffd", "tea"]
    assert data.report["reviews with a character that could not be read (U+FFFD)"] == 1


def test_a_truncated_gzip_is_refused(tmp_path):
    words = np.random.default_rng(0).integers(0, 2**31, (4000, 10)).astype(str)
    packed = gzip.compress(lines(records(frame([" ".join(line) for line in words]))).encode())
    (tmp_path / "log.jsonl.gz").write_bytes(packed[:-900])
    with pytest.raises(DataError, match=r"log.jsonl.gz is truncated or damaged after line [1-9][\d,]*: get it"):
        load_reviews(tmp_path / "log.jsonl.gz")


# ---- any table ---------------------------------------------------------------------------------------------

SAFE = [text.replace("\0", "") for text in TEXTS]  # a csv holds no NUL


@pytest.mark.parametrize("save", [
    lambda df, path: df.to_csv(path / "log.csv", index=False, quoting=csv.QUOTE_NONNUMERIC),
    lambda df, path: df.to_csv(path / "log.tsv", index=False, sep="\t", quoting=csv.QUOTE_ALL),
    lambda df, path: df.to_csv(path / "log.csv.gz", index=False, quoting=csv.QUOTE_NONNUMERIC),
    lambda df, path: df.to_parquet(path / "log.parquet"),
], ids=["csv", "tsv", "gz", "parquet"])
def test_any_table_reads_like_the_frame(tmp_path, save):
    df = frame(SAFE)
    save(df, tmp_path)
    [path] = tmp_path.iterdir()
    data = load_reviews(path)
    assert texts(data) == SAFE and data.sha256 == ReviewData.from_frame(df).sha256


def test_a_faulty_table_is_refused_by_line(tmp_path):
    df = frame(["two\nlines", "good", ""]).assign(rating=[1, None, 3])
    path = write(tmp_path / "bad.csv", df.to_csv(index=False))
    with pytest.raises(DataError, match=r"bad.csv, column 'rating': no rating.* at line 4 \(nothing\)\. Write every"):
        load_reviews(path)


@pytest.mark.parametrize("column", [[1, 2, 3], [None, 2.5, None], [["a"], ["b"], ["c"]],
                                    pd.to_datetime(["2014-01-01"] * 3)])
def test_what_is_no_text_is_refused(column):
    with pytest.raises(DataError, match=r"(?s)the DataFrame, column 'text': not a text at row .*the reviews: text="):
        ReviewData.from_frame(frame(["a", "b", "c"]).assign(text=column))


@pytest.mark.parametrize("column", [[None] * 3, [np.nan] * 3, pd.Series([None, "", np.nan], dtype=object)])
def test_what_nobody_wrote_is_empty(column):
    data = ReviewData.from_frame(frame(["a", "b", "c"]).assign(text=column))
    assert texts(data) == ["", "", ""] and data.n_characters == 0 and data.report["reviews without text"] == 3


def test_a_faulty_frame_is_refused_by_column_and_row():
    df = frame(["a", "b", "c"]).set_index(pd.Index(["x", "y", "z"]))
    with pytest.raises(DataError, match=r"the DataFrame, column 'rating': no rating.* at row 'y'"):
        ReviewData.from_frame(df.assign(rating=[1, None, 2]))
    with pytest.raises(DataError, match="the DataFrame has no column 'text'; it has 'user', 'item', "):
        ReviewData.from_frame(df.drop(columns="text"))
    with pytest.raises(DataError, match=r"column 'text': str in the first row, int in row 'y'\. Give them one type"):
        ReviewData.from_frame(df.assign(text=pd.Series(["a", 1, "c"], dtype=object, index=df.index)))


# ---- the real data, where they are -------------------------------------------------------------------------


def test_gift_cards_have_the_published_counts():
    if (found := sources.find(sources.SOURCES["amazon-gift-cards"])) is None:
        pytest.skip("amazon-gift-cards is not here (it is not in the repository); its form is read above")
    data = load_reviews("amazon-gift-cards")
    assert (data.n_ratings, data.ratings.n_users, data.ratings.n_items) == (2_972, 458, 148)
    assert data.n_characters == 200_108 and data.lengths.max() == 2_409
    assert data.report == {"rows read": 2_972, "repeated ratings of a pair kept": 7, "reviews without text": 6}
    with (gzip.open if found[0].suffix == ".gz" else open)(found[0], "rt", encoding="utf-8") as file:
        by_hand = [json.loads(line) for line in file]
    by_hand.sort(key=lambda record: record["unixReviewTime"])
    assert texts(data) == [record.get("reviewText", "") for record in by_hand]
    assert len(set(texts(data))) == 1_938 and data.sha256 == (
        "e0e8f5bc6cc3dd9f77099c5f4bd76fbf6639b1f2129c6b4edc58c17e85164955")
