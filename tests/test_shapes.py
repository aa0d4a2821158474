"""Published files are recognised by their shape, by path and in a DataFrame, and are read as by name."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rnnbook.data import load_ratings, load_reviews, load_sessions
from rnnbook.interactions.tables import DataError
from rnnbook.sources import SHAPES, recognise

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
T0 = 1_396_342_800  # 2014-04-01 09:00 UTC
DAYS, PER_DAY = 5, 3  # sessions of three clicks, on three items
CLICKS = [(3 * day + n, item, T0 + 86_400 * day + 3600 * n + 60 * item)
          for day in range(DAYS) for n in range(PER_DAY) for item in range(3)]


def iso(seconds, form="%Y-%m-%dT%H:%M:%S.277Z"):
    return pd.Timestamp(seconds, unit="s").strftime(form)


def idomaar(session):
    clicks = [click for click in CLICKS if click[0] == session]
    about = json.dumps({"numtracks": len(clicks), "playtime": 180})
    tracks = [{"type": "track", "id": item, "playstart": time - clicks[0][2]} for _, item, time in clicks]
    linked = json.dumps({"subjects": [{"type": "user", "id": 7}], "objects": tracks})
    return f"event.session\t{session}\t{clicks[0][2]}\t{about} {linked}"


def otto(session):
    events = [{"aid": item, "ts": 1000 * time, "type": "clicks"} for s, item, time in CLICKS if s == session]
    return json.dumps({"session": session, "events": events})


SESSION_FILES = {
    "RSC15": ("yoochoose-clicks.dat", "\n".join(f"{s},{iso(t)},{i},S" for s, i, t in CLICKS)),
    "REES46": ("2019-Oct.csv", "\n".join([
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session",
        *(f"{iso(t, '%Y-%m-%d %H:%M:%S UTC')},view,{i},1,,,9.99,5,0a-{s:02}" for s, i, t in CLICKS),
        f"{iso(T0, '%Y-%m-%d %H:%M:%S UTC')},view,1,1,,,9.99,5,"])),
    "Diginetica": ("train-item-views.csv", "\n".join([
        "sessionId;userId;itemId;timeframe;eventdate",
        *(f"{s};NA;{i};{1000 * (t % 86_400)};{iso(t, '%Y-%m-%d')}" for s, i, t in reversed(CLICKS))])),
    "OTTO": ("train.jsonl", "\n".join(map(otto, range(DAYS * PER_DAY)))),
    "Coveo": ("browsing_train.csv", "\n".join([
        "session_id_hash,event_type,product_action,product_sku_hash,server_timestamp_epoch_ms,hashed_url",
        *(f"h{s:02},event_product,detail,{i},{1000 * t},u" for s, i, t in CLICKS), f"h1,pageview,,,{1000 * T0},u"])),
    "30Music": ("sessions.idomaar", "\n".join(map(idomaar, range(DAYS * PER_DAY)))),
    "RetailRocket": ("events.csv", "\n".join([
        "timestamp,visitorid,event,itemid,transactionid", *(f"{1000 * t},7,view,{i}," for _, i, t in CLICKS),
        f"{1000 * T0 + 200_000},7,addtocart,2,"])),
    "Last.fm-1K": ("userid-timestamp-artid-artname-traid-traname.tsv", "\n".join([
        *(f'user_000001\t{iso(t, "%Y-%m-%dT%H:%M:%SZ")}\ta\tThe "Who\t{i}\t12" mix' for _, i, t in reversed(CLICKS)),
        f'user_000001\t{iso(T0, "%Y-%m-%dT%H:%M:%SZ")}\t\tNobody\t\tNo id'])),
}
EXTRA = {"REES46": {"rows without a session dropped": 1}, "Coveo": {"rows without an item dropped": 1},
         "RetailRocket": {"events other than views dropped": 1, "sessions cut at gaps above 1,800 s": DAYS * PER_DAY},
         "Last.fm-1K": {"rows without an item dropped": 1, "sessions cut at gaps above 1,800 s": DAYS * PER_DAY}}


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("name", SESSION_FILES)
def test_a_published_log_is_read_by_its_path(tmp_path, name, end):
    file, text = SESSION_FILES[name]
    path = tmp_path / f"{file}{end}"
    path.write_bytes(gzip.compress(text.encode()) if end else text.encode())
    train, test = load_sessions(path)
    fraction = 0.277 if name == "RSC15" else 0
    found = np.concatenate([part.to_frame()[["item", "time"]].to_numpy() for part in (train, test)])
    np.testing.assert_allclose(found, [(item, time + fraction) for _, item, time in CLICKS], rtol=1e-12)
    assert (train.n_sessions, test.n_sessions) == (11, 4) and set(train.lengths) == {3}
    more = EXTRA.get(name, {})
    n = len(CLICKS) + sum(count for what, count in more.items() if what.endswith("dropped"))
    assert train.report == {"rows read": n, f"rows in the published form of {name}": n, "events held out": 12} | more


@pytest.mark.parametrize("name", ["REES46", "Diginetica", "Coveo", "RetailRocket"])
def test_a_published_log_is_recognised_in_a_frame(tmp_path, name):
    file, text = SESSION_FILES[name]
    (tmp_path / file).write_text(text)
    df = pd.read_csv(tmp_path / file, sep=";" if name == "Diginetica" else ",")
    train, _ = load_sessions(df)
    assert f"rows in the published form of {name}" in train.report
    assert train.sha256 == load_sessions(tmp_path / file)[0].sha256
    df.to_parquet(tmp_path / "log.parquet")
    assert load_sessions(tmp_path / "log.parquet")[0].sha256 == train.sha256


@pytest.mark.parametrize("name", ["rsc15", "diginetica", "retailrocket"])
def test_by_path_and_by_name_a_file_is_the_same(monkeypatch, name):
    monkeypatch.setenv("RNNBOOK_DATA", str(SAMPLES))
    [path] = (SAMPLES / name).iterdir()
    by_name, by_path = load_sessions(name), load_sessions(path)
    assert [part.sha256 for part in by_name] == [part.sha256 for part in by_path]
    assert not any("published form" in what for what in by_name[0].report)


def test_whoever_names_other_columns_wants_another_thing(tmp_path):
    (tmp_path / "log.csv").write_text(SESSION_FILES["REES46"][1])
    train, _ = load_sessions(tmp_path / "log.csv", user="user_id")
    assert "sessions cut at gaps above 1,800 s" in train.report
    assert not any("published form" in what for what in train.report)
    train, _ = load_sessions(tmp_path / "log.csv", session="user_session", item="product_id")  # as it is anyway
    assert "rows in the published form of REES46" in train.report
    with pytest.raises(DataError, match="no column 'visit'"):
        load_sessions(tmp_path / "log.csv", session="visit")


def test_a_longer_gap_may_be_named_for_a_published_log(tmp_path):
    (tmp_path / "events.csv").write_text(SESSION_FILES["RetailRocket"][1])
    train, _ = load_sessions(tmp_path / "events.csv", gap=20_000)
    assert train.report["sessions cut at gaps above 20,000 s"] == DAYS


RATINGS = [(f"A{n % 4}{'X' * 11}", f"B{n % 3}{'0' * 8}", n % 5 + 1.0, T0 + 1000 * n) for n in range(24)]
NUMBERS = [(n % 4 + 1, n % 3 + 5, n % 5 + 1.0, T0 + 1000 * n) for n in range(24)]


def lines(form, rows):
    return "\n".join(form.format(*row, ms=1000 * row[3]) for row in rows)


RATING_FILES = {  # name of the shape, file, its text, the rows
    "MovieLens 1M": ("MovieLens", "ratings.dat", lines("{}::{}::{:.0f}::{}", NUMBERS), NUMBERS),
    "MovieLens 100K": ("MovieLens", "u.data", lines("{}\t{}\t{:.0f}\t{}", NUMBERS), NUMBERS),
    "Netflix": ("the Netflix Prize", "combined_data_1.txt", "7:\n" + "\n".join(
        f"{n + 1},{n % 5 + 1},{iso(T0 + 86_400 * n, '%Y-%m-%d')}" for n in range(24)),
        [(n + 1, 7, n % 5 + 1.0, T0 // 86_400 * 86_400 + 86_400 * n) for n in range(24)]),
    "Amazon 2014": ("Amazon's ratings of 2014", "ratings_Baby.csv", lines("{},{},{},{}", RATINGS), RATINGS),
    "Amazon 2018": ("Amazon's ratings of 2018", "Baby.csv", lines("{1},{0},{2},{3}", RATINGS), RATINGS),
    "Amazon 2023": ("Amazon's reviews of 2023", "Baby.csv.gz", "user_id,parent_asin,rating,timestamp\n" + lines(
        "{0},{1},{2},{ms}", RATINGS), RATINGS),
    "Amazon 2014, reviews": ("Amazon's reviews of 2014 and 2018", "reviews_Baby_5.json", "\n".join(json.dumps(
        {"reviewerID": u, "asin": i, "overall": r, "reviewText": "so", "unixReviewTime": t}) for u, i, r, t in RATINGS),
        RATINGS),
    "Amazon 2023, reviews": ("Amazon's reviews of 2023", "Baby.jsonl", "\n".join(json.dumps(
        {"user_id": u, "parent_asin": i, "asin": "x", "rating": r, "text": "so", "timestamp": 1000 * t})
        for u, i, r, t in RATINGS), RATINGS),
    "RecBole": ("RecBole", "ml.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + lines(
        "{}\t{}\t{}\t{}", NUMBERS), NUMBERS),
}


@pytest.mark.parametrize("which", RATING_FILES)
def test_published_ratings_are_read_by_their_path(tmp_path, which):
    name, file, text, rows = RATING_FILES[which]
    path = tmp_path / file
    path.write_bytes(gzip.compress(text.encode()) if file.endswith(".gz") else text.encode())
    data = load_ratings(path)
    assert list(data.to_frame().itertuples(index=False, name=None)) == [tuple(row) for row in rows]
    assert data.report[f"rows in the published form of {name}"] == data.report["rows read"] == 24
    assert not any("times read" in what for what in data.report)
    if "reviews" in which:
        reviews = load_reviews(path)
        assert reviews.ratings.sha256 == data.sha256 and reviews.text(0) == "so"
        assert f"rows in the published form of {name}" in reviews.report


def test_recbole_may_hold_sessions_or_users(tmp_path):
    text = "session_id:token\titem_id:token\ttimestamp:float\n" + "\n".join(f"{s}\t{i}\t{t}" for s, i, t in CLICKS)
    (tmp_path / "shop.inter").write_text(text)
    assert load_sessions(tmp_path / "shop.inter")[0].report["rows in the published form of RecBole"] == len(CLICKS)
    (tmp_path / "shop.inter").write_text(text.replace("session_id", "user_id"))
    with pytest.raises(DataError, match=r'user="user_id:token", gap=1800, on the command line --user user_id:token'):
        load_sessions(tmp_path / "shop.inter")
    assert load_sessions(tmp_path / "shop.inter", user="user_id:token")[0].n_sessions == 11


def test_a_damaged_line_of_30music_is_named(tmp_path):
    path = tmp_path / "sessions.idomaar"
    for wrong in ("event.session\t1\t2", 'event.session\t1\t2\t{} {"subjects": []}', "event.session", "x\ty\tz\t{} []"):
        path.write_text(f"{idomaar(0)}\n\n{wrong}\n")
        with pytest.raises(DataError, match="line 3: not a session of 30Music"):
            load_sessions(path)


def test_what_is_not_published_has_no_shape():
    for names in (["session", "item", "time"], ["user", "item", "rating", "time"], ["userId", "movieId", "rating"], []):
        for kind in ("sessions", "ratings", "reviews"):
            assert recognise(kind, names) is None
    assert recognise("ratings", [], "1,2014-04-07T10:51:09.277Z,214536502,0") is None  # clicks are no ratings
    assert recognise("sessions", [], "1,2014-04-07 10:51:09,214536502,0") is None
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)


def test_the_reading_functions_take_the_options_of_a_shape_unless_others_are_given(tmp_path):
    path = tmp_path / "2019-Oct.csv"
    path.write_text(SESSION_FILES["REES46"][1] + "\n2019-10-01 00:00:00 UTC,view,,1,,,9.99,5,0a-01")
    with pytest.raises(DataError, match="the item id is missing at line 48"):  # only sessions are known to be missing
        load_sessions(path)
    train, _ = load_sessions(path, drop_missing=True)
    assert train.report["rows without an item dropped"] == train.report["rows without a session dropped"] == 1
