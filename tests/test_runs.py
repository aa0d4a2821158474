"""A run's folder: killed anywhere it goes on to the same model, two processes never share it, and it resumes."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from rnnbook import cli, data, metrics, runs
from rnnbook.gru4rec import GRU4Rec
from rnnbook.worlds import RatingWorld, ReviewWorld, SessionWorld

TINY = {"hidden_size": 4, "batch_size": 8, "n_sample": 8, "n_epochs": 2}
ASKED = {"settings": TINY, "reading": {"min_support": 1}}


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A log, that of the next week with a new item, ratings and reviews."""
    folder = tmp_path_factory.mktemp("logs")
    week = SessionWorld(n_items=20).sample(120).to_frame()
    week["time"] += 1500 * week["session"]
    later = SessionWorld(n_items=20).sample(60, seed=1).to_frame()
    later["time"] += 1500 * later["session"] + week["time"].max() + 1
    later.loc[later.index % 7 == 3, "item"] = "a new one"
    week.to_csv(folder / "week.csv", index=False)
    later.to_csv(folder / "later.csv", index=False)
    ratings = RatingWorld(n_users=20, n_steps=10).sample().to_frame()
    ratings.iloc[:150].to_csv(folder / "ratings.csv", index=False)
    ratings.iloc[150:].to_csv(folder / "later-ratings.csv", index=False)
    ReviewWorld(n_items=20).sample().to_frame().to_csv(folder / "reviews.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def files(folder):
    """The files that count, and their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and path.name != ".lock" and ".new/" not in str(path)}


@pytest.fixture
def kill_at(monkeypatch):
    """kill_at(n) lets the process end at the n-th change of a file from now on; it returns how many there were."""
    count, limit = [0], [None]

    def counted(real):
        def change(*args, **options):
            count[0] += 1
            if count[0] == limit[0]:
                raise Killed
            return real(*args, **options)
        return change

    for module, name in ((os, "replace"), (shutil, "rmtree"), (Path, "write_text"), (Path, "mkdir"),
                         (runs, "write_whole")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    monkeypatch.setattr("rnnbook.training.checkpoints.save_file", counted(save_file))

    def kill_at(n):
        seen = count[0]
        count[0], limit[0] = 0, n
        return seen

    return kill_at


STEPS = {
    "train": [lambda log, run: runs.train(log / "week.csv", run, **ASKED)],
    "more epochs": [lambda log, run: runs.train(log / "week.csv", run, **ASKED),
                    lambda log, run: runs.resume(run, epochs=1)],
    "a newer log": [lambda log, run: runs.train(log / "week.csv", run, **ASKED),
                    lambda log, run: runs.resume(run, log=log / "later.csv")],
}


@pytest.mark.parametrize("name", STEPS)
def test_killed_at_any_change_of_a_file_it_goes_on_to_the_same_bytes(name, logs, kill_at, monkeypatch):
    monkeypatch.setattr("rnnbook.training.lanes.REPORTS", 3)  # checkpoints in an epoch
    *before, last = STEPS[name]
    for step in before:
        step(logs, "before")
    if before:
        shutil.copytree("before", "whole")
    kill_at(None)
    last(logs, "whole")
    n_changes = kill_at(None)
    assert n_changes > 30
    expected, expected_plan = files("whole"), runs.read_plan("whole")
    for n in [*range(1, 16), *range(16, n_changes - 12, 5), *range(n_changes - 12, n_changes + 1)]:
        shutil.rmtree("run", ignore_errors=True)
        if before:
            shutil.copytree("before", "run")
        kill_at(n)
        with pytest.raises(Killed):
            last(logs, "run")
        kill_at(None)
        done = False
        if before:
            model, plan = runs.load_model("run", "cpu")  # the old model, or the new one, answers
            assert isinstance(model, GRU4Rec)
            done = plan["stages"][-1]["done"] and plan == expected_plan
        if done:  # the same words would ask for more
            runs.tidy(Path("run"), plan)  # what the next resume does first
        else:
            last(logs, "run")
        assert files("run") == expected, n


def test_one_more_epoch_later_is_one_more_at_once(logs):
    runs.train(logs / "week.csv", "twice", **ASKED)
    runs.resume("twice", epochs=1)
    runs.train(logs / "week.csv", "once", settings=TINY | {"n_epochs": 3}, reading=ASKED["reading"])
    for name in ("model/tensors.safetensors", "scores.json"):
        assert files("twice")[name] == files("once")[name]


def test_a_newer_log_brings_a_new_item(logs):
    runs.train(logs / "week.csv", "run", **ASKED)
    before = runs.load_model("run", "cpu")[0].item_ids.tolist()
    runs.resume("run", log=logs / "later.csv", epochs=2)
    model, plan = runs.load_model("run", "cpu")
    assert model.item_ids.tolist() == [*before, "a new one"] and len(model.history) == 4
    assert [stage["n_epochs"] for stage in plan["stages"]] == [2, 2]
    answers = runs.recommend("run", [["a new one"]], k=21)
    assert "a new one" in answers["item"].tolist() and answers["rank"].tolist() == list(range(1, 22))


def test_what_cannot_go_on_says_why(logs):
    with pytest.raises(FileNotFoundError, match=r"there is no folder nowhere; .*rnnbook train LOG FOLDER"):
        runs.resume("nowhere", epochs=1)
    assert not Path("nowhere").exists()
    runs.train(logs / "week.csv", "run", **ASKED)
    with pytest.raises(ValueError, match="its training has ended; give --epochs for more, or --log"):
        runs.resume("run")
    with pytest.raises(ValueError, match=r"run has another run \(seed=0, now 1\); give another folder"):
        runs.train(logs / "week.csv", "run", seed=1, **ASKED)
    with pytest.raises(ValueError, match=r"hidden_size=4, now 5"):
        runs.train(logs / "week.csv", "run", settings=TINY | {"hidden_size": 5}, reading=ASKED["reading"])
    runs.resume("run", epochs=1)
    with pytest.raises(ValueError, match="run was resumed since it was trained; go on with: rnnbook resume run"):
        runs.train(logs / "week.csv", "run", **ASKED)


def test_a_resume_that_is_refused_leaves_nothing_to_finish(logs):
    runs.train(logs / "week.csv", "run", **ASKED)
    before = files("run")
    frame = pd.read_csv(logs / "week.csv")
    frame.drop_duplicates("session").to_csv("short.csv", index=False)
    with pytest.raises(ValueError, match="needs a session of two events"):
        runs.resume("run", log="short.csv")
    assert files("run") == before
    frame["item"] = np.arange(len(frame))
    frame.to_csv("numbers.csv", index=False)
    runs.resume("run", log="numbers.csv")  # numbers are new items: "0", "1", …
    assert "7" in runs.load_model("run", "cpu")[0].item_ids.tolist()


def test_what_was_trained_in_another_way_at_once_is_not_resumed(logs):
    small = {"hidden_size": 4, "embedding_size": 4, "n_epochs": 1}
    runs.train(logs / "week.csv", "recent", model="improved", settings=small | {"recent": 0.5})
    with pytest.raises(ValueError, match="with recent, more epochs later are not what they are at once"):
        runs.resume("recent", epochs=1)
    runs.train(logs / "ratings.csv", "decay", model="rrn", settings={"n_epochs": 1, "decay": True})
    with pytest.raises(ValueError, match="with decay, more epochs later"):
        runs.resume("decay", epochs=1)
    runs.train(logs / "week.csv", "stopped", valid=True, settings=TINY | {"n_epochs": 30, "learning_rate": 1e-9},
               reading=ASKED["reading"])
    assert len(runs.load_model("stopped", "cpu")[0].history) < 30
    with pytest.raises(ValueError, match="the training has stopped, because the model no longer improved"):
        runs.resume("stopped", epochs=1)


def test_a_default_that_is_spelled_out_is_the_same_run(logs):
    runs.train(logs / "week.csv", "run", **ASKED)
    runs.train(logs / "week.csv", "run", settings=TINY | {"loss": "cross-entropy"}, reading=ASKED["reading"])


def test_a_reader_leaves_a_training_alone(logs):
    """Between the finished model and the plan that says so, only the process that trains may tidy."""
    runs.train(logs / "week.csv", "run", **ASKED)
    shutil.copytree("run/model", "run/.finished")
    with runs.locked("run"):
        runs.load_model("run", "cpu")
        assert Path("run/.finished").exists()
    runs.load_model("run", "cpu")
    assert not Path("run/.finished").exists()


def test_files_of_others_stay(logs):
    runs.train(logs / "week.csv", "run", **ASKED)
    shutil.copytree("run/checkpoint", "run/checkpoint.bak")
    runs.resume("run", log=logs / "later.csv")
    assert Path("run/checkpoint.bak").exists() and not Path("run/checkpoint").exists()


def test_an_unfinished_training_is_finished_first(logs, kill_at):
    kill_at(20)
    with pytest.raises(Killed):
        runs.train(logs / "week.csv", "run", **ASKED)
    kill_at(None)
    with pytest.raises(FileNotFoundError, match="the training has not ended; go on with: rnnbook resume run"):
        runs.load_model("run")
    with pytest.raises(ValueError, match="finish it first with: rnnbook resume run"):
        runs.resume("run", epochs=3)
    runs.resume("run")
    runs.train(logs / "week.csv", "whole", **ASKED)
    assert files("run") == files("whole")


def test_a_killed_run_goes_on_from_another_folder(logs, kill_at, monkeypatch, tmp_path):
    """Its log was named from where it began."""
    home = tmp_path / "home"
    (home / "elsewhere").mkdir(parents=True)
    shutil.copy(logs / "week.csv", home)
    monkeypatch.chdir(home)
    kill_at(20)
    with pytest.raises(Killed):
        runs.train("week.csv", "run", **ASKED)
    kill_at(None)
    runs.train("week.csv", "whole", **ASKED)
    monkeypatch.chdir("elsewhere")
    runs.resume("../run")
    assert files("../run") == files("../whole")


def test_two_processes_do_not_share_a_folder(logs):
    with runs.locked("run"):
        again = subprocess.run([sys.executable, "-m", "rnnbook", "train", str(logs / "week.csv"), "run"],
                               capture_output=True, text=True)
        assert again.returncode == 1 and "Traceback" not in again.stderr
        assert re.search(rf"run is in use by process {os.getpid()} on \S+: .*; wait until it has ended", again.stderr)
    with runs.locked("run"):
        pass


def test_a_lock_is_given_back_after_an_error():
    with pytest.raises(RuntimeError), runs.locked("run"):
        raise RuntimeError
    with runs.locked("run") as folder:
        assert folder == Path("run")
    assert not folder.exists()  # nothing was done in it


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 99, "model": "gru4rec", "stages": [1]}',
                                     '{"format": 1, "model": "word2vec", "stages": [1]}', "\x00"])
def test_a_damaged_plan_is_said_to_be_one(content):
    Path("run").mkdir()
    Path("run/run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run.json is damaged or of another version of rnnbook"):
        runs.load_model("run")


def test_the_scores_are_those_of_the_model_on_the_test_part(logs):
    for valid in (False, True):
        runs.train(logs / "week.csv", f"run-{valid}", valid=valid, **ASKED)
        _, test = data.load_sessions(logs / "week.csv", min_support=1)
        model = GRU4Rec.load(f"run-{valid}/model", device="cpu")
        scores = metrics.evaluate_sessions(model, test.restrict_to(model.item_ids).drop_short("dropped"))
        assert json.loads(Path(f"run-{valid}/scores.json").read_text())["recall"]["mean"] == scores.recall


def test_another_log_is_scored_on_what_the_model_knows(logs):
    runs.train(logs / "week.csv", "run", **ASKED)
    known, scores = runs.score("run", logs / "later.csv", device="cpu")
    frame = pd.read_csv(logs / "later.csv")
    assert known.report["events of items unseen in training dropped"] == (frame["item"] == "a new one").sum()
    model, _ = runs.load_model("run", "cpu")
    frame = frame[frame["item"].isin(model.item_ids)]
    frame = frame[frame.groupby("session")["item"].transform("size") > 1]
    by_hand = data.load_log(frame).restrict_to(model.item_ids)
    assert scores.recall == metrics.evaluate_sessions(model, by_hand).recall
    strange = frame.assign(item="strange")
    strange.to_csv("strange.csv", index=False)
    with pytest.raises(ValueError, match="nothing is left to score, because the model in run knows none of it"):
        runs.score("run", "strange.csv")


def test_every_session_of_a_log_is_answered(logs):
    runs.train(logs / "week.csv", "run", **ASKED)
    model, _ = runs.load_model("run", "cpu")
    allowed = model.item_ids[:9].tolist()
    answers, sessions = runs.recommend_for_log("run", logs / "later.csv", k=3, exclude_seen=True, candidates=allowed)
    frame = pd.read_csv(logs / "later.csv")
    frame = frame[frame["item"] != "a new one"]
    assert sorted(answers["session"].unique()) == sorted(frame["session"].unique()) == sorted(sessions.session_ids)
    for session, rows in answers.groupby("session"):
        history = frame.loc[frame["session"] == session, "item"].tolist()
        best = model.recommend(history, k=3, exclude_seen=True, candidates=allowed)
        assert rows["item"].tolist() == best.ids.tolist() and rows["rank"].tolist() == list(range(1, len(rows) + 1))
        np.testing.assert_allclose(rows["score"], best.scores, rtol=1e-5, atol=1e-6)


def test_a_strange_id_does_not_change_what_the_others_are(logs):
    """A column is of integers only if all of it is: one new item that is a text must not hide the known ones."""
    frame = pd.read_csv(logs / "week.csv")
    frame["item"] = frame["item"].str.removeprefix("item-")
    frame.to_csv("numbers.csv", index=False)
    frame.assign(item=frame["item"].where(frame.index % 9 != 4, "A9")).to_csv("mixed.csv", index=False)
    runs.train("numbers.csv", "run", **ASKED)
    answers, sessions = runs.recommend_for_log("run", "mixed.csv", k=1)
    assert sessions.n_events == (frame.index % 9 != 4).sum() and len(answers) == sessions.n_sessions
    assert runs.score("run", "mixed.csv")[0].n_events > 0.8 * sessions.n_events
    with pytest.raises(ValueError, match="the ids known so far are like 0, but there is 'A9' too"):
        runs.resume("run", log="mixed.csv")
    runs.train("mixed.csv", "texts", **ASKED)
    answers, _ = runs.recommend_for_log("texts", "numbers.csv", k=1)
    assert answers["session"].nunique() == frame["session"].nunique()


def test_of_users_the_last_visit_is_answered(logs):
    rows = [("ann", "item-1", 0), ("ann", "item-2", 60), ("ann", "item-3", 9000), ("bob", "item-4", 10),
            ("bob", "item-5", 20), ("cid", "unknown", 30)]
    pd.DataFrame(rows, columns=["who", "item", "time"]).to_csv("open.csv", index=False)
    runs.train(logs / "week.csv", "run", **ASKED)
    answers, sessions = runs.recommend_for_log("run", "open.csv", k=2, reading={"user": "who", "gap": 1800})
    model, _ = runs.load_model("run", "cpu")
    expected = {"ann": model.recommend(["item-3"], k=2), "bob": model.recommend(["item-4", "item-5"], k=2)}
    assert {user: rows["item"].tolist() for user, rows in answers.groupby("user")} == {
        user: best.ids.tolist() for user, best in expected.items()}
    assert sessions.report["sessions without a known item, which have no answer"] == 1
    assert sessions.report["events of earlier sessions dropped"] == 2


def test_of_a_published_split_the_test_part_is_scored(tmp_path):
    runs.train("session-world", "run", settings=TINY | {"n_epochs": 1})
    known, _ = runs.score("run", "session-world")
    assert known.n_sessions == data.load_sessions("session-world")[1].n_sessions


def test_ids_are_typed_as_the_model_has_them(logs):
    frame = pd.read_csv(logs / "week.csv")
    frame["item"] = frame["item"].str.removeprefix("item-").astype(int)
    frame.to_csv("numbers.csv", index=False)
    runs.train("numbers.csv", "run", **ASKED)
    model, _ = runs.load_model("run", "cpu")
    answers = runs.recommend("run", [["4", " 7 "]], k=2)
    assert answers["item"].tolist() == model.recommend([4, 7], k=2).ids.tolist()
    with pytest.raises(ValueError, match="'x' cannot be the id of an item: here these are integers"):
        runs.recommend("run", [["4", "x"]])


def test_a_model_is_scored_on_the_users_that_it_met_after_its_training(logs):
    runs.train(logs / "ratings.csv", "run", model="rrn", settings={"n_epochs": 1})
    newcomers = pd.read_csv(logs / "later-ratings.csv")
    newcomers["user"] = "new-" + newcomers["user"].astype(str)
    newcomers.iloc[:20].to_csv("first.csv", index=False)
    newcomers.iloc[20:].to_csv("then.csv", index=False)
    assert call("resume", "run", "--log", "first.csv") == 0
    known, scores = runs.score("run", "then.csv", device="cpu")
    assert known.n_ratings > 0 and set(known.user_ids[known.users]) <= set(newcomers["user"][:20])
    assert np.isfinite(scores.rmse)


@pytest.mark.parametrize("model", ["improved", "rrn", "joint"])
def test_other_models_train_score_and_go_on(model, logs):
    name = {"improved": "week.csv", "rrn": "ratings.csv", "joint": "reviews.csv"}[model]
    small = {"improved": {"hidden_size": 4, "embedding_size": 4, "n_epochs": 1},
             "rrn": {"n_epochs": 1}, "joint": {"n_epochs": 1, "text_hidden_size": 4, "text_layers": 1}}[model]
    scores = runs.train(logs / name, "run", model=model, settings=small, valid=True)
    assert np.isfinite(getattr(scores, "recall", None) or scores.rmse)
    runs.resume("run", epochs=1)
    assert len(runs.load_model("run", "cpu")[0].history) == 2
    if model == "improved":
        assert len(runs.recommend("run", [["item-4"]], k=3)) == 3
        with pytest.raises(ValueError, match="cannot be trained on a newer log"):
            runs.resume("run", log=logs / "later.csv")
        return
    with pytest.raises(ValueError, match=rf"run has a model of ratings \({model}\), which predicts ratings"):
        runs.recommend("run", [["4"]])
    with pytest.raises(ValueError, match="give --log without --epochs"):
        runs.resume("run", log=logs / "later-ratings.csv", epochs=2)
    if model == "rrn":
        seen = runs.load_model("run", "cpu")[0].seen.n_ratings
        known, scored = runs.score("run", logs / "later-ratings.csv")
        runs.resume("run", log=logs / "later-ratings.csv")
        assert runs.load_model("run", "cpu")[0].seen.n_ratings == seen + len(pd.read_csv(logs / "later-ratings.csv"))
        assert np.isfinite(scored.rmse) and known.n_ratings > 0


# --- The command line -------------------------------------------------------------------------------------


def call(*words):
    """The exit code of the command line, called in this process; anything but a SystemExit is a failure."""
    try:
        cli.main([str(word) for word in words])
    except SystemExit as ended:
        return ended.code or 0
    return 0


def test_the_five_commands(logs, capsys):
    tiny = [f"{name}={value}" for name, value in TINY.items()]
    assert call("train", logs / "week.csv", "run", "--min-support", 1, "--set", *tiny) == 0
    capsys.readouterr()
    assert call("recommend", "run", "--history", "item-4, item-7", "--k", 2, "--exclude-seen") == 0
    printed = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert printed.columns.tolist() == ["rank", "item", "score"] and len(printed) == 2
    assert call("recommend", "run", "--history", "item-4", "--candidates", "nowhere.txt") == 1
    assert "nowhere.txt: No such file" in capsys.readouterr().err
    Path("allowed.txt").write_text("item-4\n\n item-7\n")
    for name, read in (("out.csv", pd.read_csv), ("out.parquet", pd.read_parquet),
                       ("out.jsonl", lambda path: pd.read_json(path, lines=True))):
        assert call("recommend", "run", "--log", logs / "later.csv", "--candidates", "allowed.txt", "-o", name) == 0
        assert set(read(name)["item"]) == {"item-4", "item-7"}
    assert call("score", "run", "--log", logs / "later.csv") == 0
    assert call("resume", "run", "--log", logs / "later.csv") == 0
    assert call("resume", "run", "--epochs", 1) == 0
    assert len(runs.load_model("run", "cpu")[0].history) == 4


@pytest.mark.parametrize(("words", "code", "message"), [
    ([], 2, "required"), (["recommend", "run"], 2, "--history"), (["score", "run"], 2, "--log"),
    (["recommend", "run", "--history", "a", "--log", "b"], 2, "not allowed with"),
    (["recommend", "run", "--history", "a", "--k", "0"], 2, "'0' is not a whole number of at least 1"),
    (["resume", "run", "--epochs", "-1"], 2, "--epochs"), (["resume", "run", "--epochs", "1.5"], 2, "whole number"),
    (["train", "x", "run", "--gap", "soon"], 2, "not a number of seconds"),
    (["train", "x", "run", "--model", "svd"], 2, "svd"), (["train", "x", "run", "--time-unit", "days"], 2, "time-unit"),
    (["recommend", "run", "--history", "a"], 1, "there is no folder run; make a run with: rnnbook train LOG FOLDER"),
    (["recommend", "run", "--history", "a", "-o", "out.xlsx"], 1, "must end in .csv, .parquet, .jsonl"),
    (["recommend", "run", "--history", "a", "-o", "nowhere/out.csv"], 1, "there is no folder nowhere; make the folder"),
    (["look", "nowhere.csv", "-o", "nodir/log.html"], 1, "there is no folder nodir; make the folder first"),
    (["look", "nowhere.csv", "-o", "."], 1, ". is a folder; give the name of a file, such as out"),
    (["train", "session-world", "run", "--device", "gpu9"], 1, "device='gpu9'"),
    (["train", "session-world", "run", "--model", "rrn"], 1, "session-world"),
    (["train", "rating-world", "run", "--model", "rrn", "--fast"], 1, "--fast is for the model gru4rec"),
    (["train", "session-world", "run", "--item", "sku"], 1, "own column names"),
    (["train", "session-world", "run", "--set", "hidden_size=[]"], 1, "hidden_size=(); it must be"),
    (["train", "rating-world", "run", "--model", "rrn", "--gap", "60"], 1, "--gap is not for the model rrn"),
    (["look", "rating-world", "--session", "s"], 1, "--session is not for a log of ratings"),
    (["train", "session-world", "run", "--rating", "stars"], 1, "--rating is not for the model gru4rec"),
    (["train", "session-world", "run", "--device", "cuda:99"], 1, "device='cuda:99': PyTorch finds no such device"),
    (["train", "session-world", "run", "--fast", "--set", "loss=top1"], 1, "loss='top1'; leave out --fast"),
    (["train", "session-world", "run", "--seed", "9" * 20], 2, "is not a whole number from 0"),
    (["look", "nowhere.csv"], 1, "nowhere.csv"), (["data", "--speed"], 2, "--speed")])
def test_an_error_is_one_sentence(words, code, message, capsys):
    assert call(*words) == code
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said and (code == 2 or said.count("\n") == 1)
    assert not Path("run").exists()


@pytest.mark.parametrize("command", ["look", "sequential", "train", "resume", "score", "recommend", "data",
                                     "reproduce"])
def test_help_shows_an_example_that_parses(command, capsys):
    assert call(command, "--help") == 0
    example = capsys.readouterr().out.rstrip().splitlines()[-1].removeprefix("example: rnnbook ")
    assert example.split()[0] == command
    cli.arguments().parse_args(shlex.split(example))


def test_unknown_candidates_are_named_by_their_lines(logs, capsys):
    runs.train(logs / "week.csv", "run", **ASKED)
    asked = ["recommend", "run", "--log", logs / "later.csv", "--candidates", "some.txt"]
    Path("some.txt").write_text("item-4\n\nnope\nitem-7\nno\n")
    assert call(*asked) == 1
    error = capsys.readouterr().err
    assert error == "some.txt, line 3 ('nope'), line 5 ('no'): not in the catalogue; delete those lines\n"
    Path("some.txt").write_text("item-4\n" + "nope\n" * 15)
    assert call("recommend", "run", "--history", "item-4", "--candidates", "some.txt") == 1
    assert "line 4 ('nope') and 12 more: not in the catalogue" in capsys.readouterr().err
    Path("some.txt").write_text("\n \n")
    assert call(*asked) == 1 and "some.txt has no ids; write one on each line" in capsys.readouterr().err
    Path("some.txt").write_text("item-4\n\nitem-7\n")
    assert call(*asked) == 0
    with pytest.raises(ValueError, match="a candidate is not in the catalogue: 'nope'"):
        runs.recommend("run", [["item-4"]], candidates=["nope"])


def test_fewer_items_than_were_asked_for_are_said(logs, capsys):
    runs.train(logs / "week.csv", "run", **ASKED)
    for words, said in (
            (["--history", "item-4", "--k", 20], ""),
            (["--history", "item-4", "--k", 200], "only 20 items are left, fewer than --k 200"),
            (["--history", "item-4", "--k", 20, "--exclude-seen"], "only 19 items are left, fewer than --k 20"),
            (["--log", logs / "later.csv", "--k", 200], "only 20 items are left for some sessions, fewer than --k")):
        assert call("recommend", "run", *words) == 0
        error = capsys.readouterr().err
        assert said in error and ("fewer" in error) == bool(said)
    Path("one.txt").write_text("item-4\n")
    Path("open.csv").write_text("session,item,time\na,item-4,1\nb,item-7,2\n")  # to the first, nothing is left
    words = ["--log", "open.csv", "--candidates", "one.txt", "--exclude-seen", "--k", 1]
    assert call("recommend", "run", *words) == 0
    assert "only 0 items are left for some sessions, fewer than --k 1\n" in capsys.readouterr().err


def test_a_pause_is_asked_for_users_alone(logs, capsys):
    tiny = [f"{name}={value}" for name, value in TINY.items()]
    words = ["--min-support", 1, "--set", *tiny]
    assert call("train", logs / "week.csv", "run", "--gap", 10, *words) == 1 and not Path("run").exists()
    assert "week.csv is one of sessions: leave it out, on the command line --gap" in capsys.readouterr().err
    assert call("train", logs / "week.csv", "run", *words) == 0
    for command in (["look"], ["recommend", "run", "--log"], ["score", "run", "--log"], ["resume", "run", "--log"]):
        assert call(*command, logs / "later.csv", "--gap", 10) == 1
        assert "later.csv is one of sessions: leave it out" in capsys.readouterr().err


def test_a_score_of_one_session_or_user_has_no_interval(logs, capsys):
    runs.train(logs / "week.csv", "run", **ASKED)
    runs.train(logs / "ratings.csv", "ratings", model="rrn", settings={"n_epochs": 1})
    clicks, ratings = pd.read_csv(logs / "later.csv"), pd.read_csv(logs / "later-ratings.csv")
    for folder, frame, who, metric in (("run", clicks[clicks["item"] != "a new one"], "session", "recall@20"),
                                       ("ratings", ratings, "user", "rmse")):
        by_size = frame[who].value_counts()
        for n, said in ((1, rf"\(one {who}: no interval\)"), (2, r"\[.*\]")):
            frame[frame[who].isin(by_size.index[:n])].to_csv("some.csv", index=False)
            capsys.readouterr()
            assert call("score", folder, "--log", "some.csv") == 0
            printed = capsys.readouterr().out
            assert re.search(rf"{metric} +\d\.\d+  {said}\n", printed), printed


@pytest.mark.parametrize("model", ["gru4rec", "rrn"])
def test_a_log_that_is_not_newer_is_said_to_be_none(model, logs, capsys):
    name, later = ("week.csv", "later.csv") if model == "gru4rec" else ("ratings.csv", "later-ratings.csv")
    asked = ASKED if model == "gru4rec" else {"settings": {"n_epochs": 1}}
    runs.train(logs / name, "run", model=model, **asked)
    shutil.copytree("run", "same")
    capsys.readouterr()
    assert call("resume", "run", "--log", logs / later) == 0
    printed = capsys.readouterr().out
    assert "is not newer" not in printed
    assert ("scores.json are those before the newer log; score again, with a log that comes after it: "
            "rnnbook score run --log LOG") in printed
    # ratings that the model has read are refused, so here the log begins in what was held out
    pd.read_csv(logs / name).iloc[0 if model == "gru4rec" else 145:].to_csv("old.csv", index=False)
    assert call("resume", "same", "--log", "old.csv") == 0
    assert re.search(r"old.csv is not newer: it begins at .*, and what the model has read ends at .* UTC",
                     capsys.readouterr().out)
    if model == "gru4rec":  # more epochs of the last log are no other log
        assert call("resume", "run", "--epochs", 1) == 0 and "is not newer" not in capsys.readouterr().out


@pytest.mark.parametrize(("words", "message"), [
    (["train", "clicks.csv", "clicks.csv"], "clicks.csv is a file; the second argument is a new folder for the run"),
    (["train", "clicks.csv", "clicks.csv/run"], "clicks.csv is a file; the second argument is a new folder for"),
    (["recommend", "clicks.csv", "--history", "a"], "clicks.csv is a file, not the folder of a run; make a run with"),
    (["resume", "folder"], "folder has no run.json, so it is not the folder of a run; make one with: rnnbook train"),
    (["sequential", "clicks.csv"], "1 session of two clicks or more; it takes 20"),
    (["train", "clicks.csv", "run", "--min-support", "1", "--test-seconds", "1"], "one session is left, and a split")])
def test_a_file_or_a_folder_in_the_wrong_place_is_said_to_be_one(words, message, capsys):
    Path("clicks.csv").write_text("session,item,time\n1,2,3\n1,3,4\n")
    Path("folder").mkdir()
    before = Path("clicks.csv").read_text()
    assert call(*words) == 1
    assert message in capsys.readouterr().err
    assert Path("clicks.csv").read_text() == before and not Path("run").exists()


WORDS = st.sampled_from(["train", "recommend", "resume", "score", "look", "session-world", "nowhere.csv", "empty.csv",
                         "folder", "binary.csv", "good.csv", "run", "damaged", "--log", "--history", "item-4", "", ",",
                         "--k", "3", "0", "-1", "nan", "--epochs", "1", "--set", "n_epochs=1", "hidden_size=2", "x=1",
                         "--item", "session", "--time", "--user", "--gap", "60", "--header", "a,b,c", "--sep", ";",
                         "--no-quotes", "--drop-missing", "-o", "out.csv", "out", "--candidates", "--exclude-seen",
                         "--device", "cpu", "tpu", "--kind", "ratings", "--min-support", "--seed", "--valid", "--model",
                         "rrn", "improved", "--test-seconds", "1e9", "--time-unit", "ms", "\u2028", "--help"])


@pytest.fixture(scope="module")
def things(tmp_path_factory, logs):
    """A folder with files that are good, damaged and strange."""
    folder = tmp_path_factory.mktemp("things")
    (folder / "empty.csv").write_text("")
    (folder / "binary.csv").write_bytes(bytes(range(256)))
    (folder / "folder").mkdir()
    shutil.copy(logs / "week.csv", folder / "good.csv")
    runs.train(folder / "good.csv", folder / "run", **ASKED)
    shutil.copytree(folder / "run", folder / "damaged")
    (folder / "damaged" / "model" / "tensors.safetensors").write_bytes(b"no tensors")
    return folder


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=st.sampled_from(["train", "recommend", "resume", "score", "look"]), words=st.lists(WORDS, max_size=6))
def test_whatever_is_typed_there_is_no_traceback(first, words, things, monkeypatch):
    monkeypatch.chdir(things)
    assert call(first, *words) in (0, 1, 2)


def test_a_full_disk_is_said_and_the_old_model_stays(logs, tmp_path):
    """No file may grow beyond a few kilobytes, as on a disk that is full."""
    runs.train(logs / "week.csv", "run", **ASKED)
    before = files("run/model")
    limited = ("import resource, signal, sys; from rnnbook import cli; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
               "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); cli.main(sys.argv[1:])")
    answer = ["recommend", "run", "--log", str(logs / "later.csv"), "--k", "20", "-o", "out.csv"]
    for words in (["resume", "run", "--epochs", "1"], answer):
        done = subprocess.run([sys.executable, "-c", limited, *words], capture_output=True, text=True)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert re.search("too large|cannot be written", done.stderr)
        assert not Path("out.csv").exists() and files("run/model") == before
    runs.resume("run")
    assert len(runs.load_model("run", "cpu")[0].history) == 3


# --- Nothing is lost silently -----------------------------------------------------------------------------


@pytest.mark.parametrize("model, name", [("rrn", "ratings.csv"), ("joint", "reviews.csv")])
def test_what_was_dropped_of_ratings_is_said(model, name, logs, capsys):
    log = pd.read_csv(logs / name).iloc[:60]
    log.loc[[3, 5, 9], "rating"] = None
    log.to_csv("holes.csv", index=False)
    settings = {"n_epochs": 1} | ({"text_hidden_size": 4, "text_layers": 1} if model == "joint" else {})
    runs.train("holes.csv", "run", model=model, settings=settings, reading={"drop_missing": True})
    assert "3 rows without a rating dropped" in capsys.readouterr().out


def test_what_was_dropped_is_said_before_the_order_is_measured(logs, capsys, monkeypatch):
    log = pd.read_csv(logs / "week.csv")
    log.loc[[3, 5, 9], "item"] = None
    log.to_csv("holes.csv", index=False)
    monkeypatch.setattr("rnnbook.sequential.sequentiality", lambda log, **options: "measured")
    assert call("sequential", "holes.csv", "--drop-missing") == 0
    printed = capsys.readouterr()
    assert "3 rows without an item dropped" in printed.err and printed.out == "measured\n"


def test_a_column_of_sessions_takes_the_place_of_that_of_users(logs, capsys):
    log = pd.read_csv(logs / "week.csv").rename(columns={"session": "who"})
    log.to_csv("users.csv", index=False)
    runs.train("users.csv", "run", **ASKED | {"reading": {"user": "who", "gap": 1800}})
    log.assign(visit=log["who"] // 2).to_csv("both.csv", index=False)
    answers, _ = runs.recommend_for_log("run", "both.csv", k=1, reading={"session": "visit"})
    assert answers.columns[0] == "session" and set(answers["session"]) <= set(log["who"] // 2)
    capsys.readouterr()
    known, _ = runs.score("run", "both.csv", reading={"session": "visit"})
    assert set(known.session_ids) <= set(log["who"] // 2)
    assert "may have been trained on a part of it" in capsys.readouterr().out


def test_a_log_that_comes_later_is_scored_without_a_warning(logs, capsys):
    runs.train(logs / "week.csv", "run", **ASKED)
    capsys.readouterr()
    runs.score("run", logs / "later.csv")
    assert "trained on" not in capsys.readouterr().out


@pytest.mark.parametrize("words, message", [
    (["look", "ratings.csv"], "look --kind ratings or train --model rrn"),
    (["look", "nobody.csv"], "--session NAME, or, in load_sessions and load_log, that of users: user=…"),
    (["look", "nobody.csv"], "that of users: user=…, on the command line --user NAME"),
    (["look", "ratings.csv", "--kind", "ratings", "-o", "page.pdf"], "page.pdf: the page is HTML"),
    (["train", "ratings.csv", ""], "the folder's name is empty")])
def test_the_remedy_fits_the_log(words, message, logs, capsys):
    shutil.copy(logs / "ratings.csv", "ratings.csv")
    pd.DataFrame({"who": [1, 1], "item": [1, 2], "time": [1, 2]}).to_csv("nobody.csv", index=False)
    assert call(*words) != 0
    assert message in capsys.readouterr().err
