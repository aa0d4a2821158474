"""Ids and times that a caller passes to a rating model: read exactly, or refused."""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
import torch

from rnnbook import rrn
from rnnbook.baselines import Biases
from rnnbook.interactions import RatingData
from rnnbook.interactions.lookup import as_seconds, find_ids, joined_ids, other_spelling

MOMENT = datetime(2014, 4, 1, 9, 30, tzinfo=UTC)
SECONDS = MOMENT.timestamp()


@pytest.mark.parametrize("times", [
    [SECONDS], np.array([SECONDS]), torch.tensor([SECONDS], dtype=torch.float64), pd.Series([SECONDS]), [int(SECONDS)],
    [MOMENT], [MOMENT.replace(tzinfo=None)], [pd.Timestamp(MOMENT)], [np.datetime64("2014-04-01T09:30:00")],
    pd.Series([MOMENT]), pd.DatetimeIndex([MOMENT]), np.array(["2014-04-01T09:30"], dtype="datetime64[m]"),
    ["2014-04-01T09:30:00Z"], ["2014-04-01 11:30:00+02:00"], ["2014-04-01 09:30"], np.array(["2014-04-01T09:30:00"]),
])
def test_a_moment_is_the_same_in_every_type(times):
    assert as_seconds(times).tolist() == [SECONDS] and as_seconds(times).dtype == np.float64


def test_a_date_is_its_midnight_and_none_is_none():
    assert as_seconds([date(1970, 1, 2)]).tolist() == [86400.0]
    assert as_seconds([]).tolist() == [] and as_seconds([-5, 0]).tolist() == [-5, 0]


@pytest.mark.parametrize(("times", "message"), [
    ([0.0, np.nan], "number 1"), ([np.inf], "number 0"), ([None, 3.0], "not a time|missing|not a number"),
    ([pd.NaT], "missing|not a time"), ([np.datetime64("NaT", "s")], "not a number"), (["soon"], "cannot be read"),
    ([SECONDS * 1000], "after the year 5000"), ([SECONDS * 1e6], "after the year 5000"), ([True], "numbers or dates"),
    ([MOMENT, 3.0], "not a time"), (["2014-04-01", 3.0], "cannot be read|not a time"), ([3 + 4j], "numbers or dates"),
])
def test_what_is_no_time_is_refused(times, message):
    with pytest.raises(ValueError, match=message):
        as_seconds(times)


def test_ids_are_found_and_unknown_ones_are_new():
    assert find_ids([8, 9, 7], np.array([7, 8])).tolist() == [1, -1, 0]
    assert find_ids(["b", "z"], np.array(["a", "b"], dtype=object), "user").tolist() == [1, -1]
    assert find_ids([], np.array([7, 8])).tolist() == [] and find_ids([], np.array(["a"])).dtype == np.int64
    with pytest.raises(ValueError, match="unknown user '8': did you mean 8"):
        find_ids(["8"], np.array([7, 8]), "user")


@pytest.mark.parametrize(("unknown", "known", "meant"), [
    ("100.0", [99, 100], 100), (100.0, [100], 100), ("3", [3], 3), (" 3", [3], 3), ("03", [3], 3), ("03", ["3"], "3"),
    (np.int64(3), ["3"], "3"), ("mug ", ["tea", "mug"], "mug"), ("-7", [-7], -7), (4, [3], None), ("tea", [3], None),
    ("x", [], None), (None, ["a"], None), ("9" * 30, [3], None), ("x.0", ["x"], "x")])
def test_another_spelling_of_an_unknown_id_is_found(unknown, known, meant):
    assert other_spelling(unknown, pd.Index(known)) == meant


def test_catalogues_are_joined_in_order():
    assert joined_ids(np.array(["b", "a"]), np.array(["c", "a"])).tolist() == ["b", "a", "c"]
    with pytest.raises(ValueError, match="known so far are like 1, but there is '1' too; all must"):
        joined_ids(np.array([1]), np.array(["1"]))


@pytest.fixture(scope="module")
def ratings():
    rows = [(u, i, 3.0 + (u + i) % 3, SECONDS + 86400 * (u + i)) for u in range(6) for i in range(5)]
    return RatingData.from_frame(pd.DataFrame(rows, columns=["user", "item", "rating", "time"]))


@pytest.fixture(scope="module", params=["rrn", "biases"])
def predictor(request, ratings):
    if request.param == "biases":
        return Biases().fit(ratings)
    return rrn.new_model(ratings, rrn.RRNConfig(), device="cpu")


def test_a_predictor_takes_datetimes_as_seconds(predictor):
    later = pd.Timestamp(MOMENT) + pd.Timedelta(days=20)
    by_seconds = predictor.predict([3], [2], [later.timestamp()])
    for times in ([later], [later.to_pydatetime()], [str(later)], np.array([later.to_datetime64()])):
        assert predictor.predict([3], [2], times) == by_seconds


@pytest.mark.parametrize(("users", "items", "times", "message"), [
    (["3"], [2], [SECONDS], "unknown user '3': did you mean 3"), ([3], ["2"], [SECONDS], "did you mean 2"),
    ([3], [2], [np.nan], "not a number"), ([3], [2], [SECONDS * 1000], "after the year 5000"),
    (["x"], [2], [SECONDS], "'x' cannot be the id of a user"), ([None], [2], [SECONDS], "cannot be the id of a user"),
])
def test_a_typing_error_gets_no_answer_of_a_new_user(predictor, users, items, times, message):
    with pytest.raises(ValueError, match=message):
        predictor.predict(users, items, times)
    assert np.isfinite(predictor.predict([999], [2], [SECONDS])).all()  # a new user is none


def test_a_trajectory_takes_datetimes_and_refuses_typing_errors(ratings):
    model = rrn.new_model(ratings, rrn.RRNConfig(), device="cpu")
    later = pd.Timestamp(MOMENT) + pd.Timedelta(days=20)
    assert model.trajectory(3, times=[later]).times.tolist() == [later.timestamp()]
    with pytest.raises(ValueError, match="did you mean 3"):
        model.trajectory("3")
    with pytest.raises(ValueError, match="no ratings yet"):
        model.trajectory(99)
