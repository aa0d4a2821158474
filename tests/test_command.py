"""The command line that trains: from a log to scores, and on after a kill."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from rnnbook import cli, metrics
from rnnbook.data import load_sessions
from rnnbook.gru4rec import GRU4Rec
from rnnbook.worlds import SessionWorld

SETTINGS = ["hidden_size=8", "batch_size=16", "n_sample=32", "n_epochs=4"]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "clicks.csv"
    frame = SessionWorld(n_items=40).sample(3000).to_frame()
    frame["time"] += 60 * frame["session"]  # so that some sessions are of the last day
    frame.to_csv(path, index=False)
    return path


def command(log, folder, *more):
    return [sys.executable, "-m", "rnnbook", "train", str(log), str(folder), "--fast", "--set", *SETTINGS, *more]


def test_from_a_log_to_scores(log, tmp_path):
    done = subprocess.run(command(log, tmp_path / "run"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert "The first run with --fast compiles" in done.stdout
    _, test = load_sessions(log)
    again = metrics.evaluate_sessions(GRU4Rec.load(tmp_path / "run" / "model", device="cpu"), test)
    assert scores["recall"]["mean"] == pytest.approx(again.recall)
    assert scores["k"] == 20 and scores["ties"] == again.ties and "recall@20" in done.stdout


def test_a_killed_run_goes_on_to_the_same_numbers(log, tmp_path):
    """Killed without a warning once a part of an epoch is on the disk, then started again with the same words."""
    whole = subprocess.run(command(log, tmp_path / "whole"), capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    killed = subprocess.Popen(command(log, tmp_path / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while not (tmp_path / "killed" / "checkpoint" / "info.json").exists():
        assert killed.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "scores.json").exists()
    again = subprocess.run(command(log, tmp_path / "killed"), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "from where the checkpoint is" in again.stdout and "from where" not in whole.stdout
    for name in ("scores.json", "model/tensors.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_log_of_an_hour_has_a_test_part_of_minutes(tmp_path):
    frame = SessionWorld(n_items=40).sample(500).to_frame()
    frame["time"] *= 3600 / frame["time"].max()
    frame.to_csv(tmp_path / "hour.csv", index=False)
    words = command(tmp_path / "hour.csv", tmp_path / "run", "n_epochs=1")
    refused = subprocess.run(words, capture_output=True, text=True)
    assert refused.returncode == 1 and "--test-seconds" in refused.stderr
    done = subprocess.run([*words, "--test-seconds", "600"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, test = load_sessions(tmp_path / "hour.csv", test_seconds=600)
    assert f"Scoring on {test}" in done.stdout


@pytest.mark.parametrize("length", ["0", "-60", "nan", "inf", "an hour"])
def test_a_test_part_has_some_length(length, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "session-world", "run", f"--test-seconds={length}"])
    assert ended.value.code == 2 and f"{length!r} is not a number of seconds above 0" in capsys.readouterr().err


@pytest.mark.parametrize("words,message", [
    (["nowhere.csv", "run"], "nowhere.csv"), (["session-world", "run", "--set", "hidden_sizes=3"], "hidden_sizes"),
    (["session-world", "run", "--set", "loss=hinge"], "loss='hinge'"),
    (["session-world", "run", "--set", "n_epoch=3"], "no setting n_epoch; there are hidden_size,"),
    (["session-world", "run", "--set", "n_epochs=three", "--set", "loss=bpr"], "n_epochs='three'; it must be an"),
    (["session-world", "run", "--set", "hidden_size=1.5"], "hidden_size=1.5"),
    (["session-world", "run", "--set", "learning_rate=fast"], "learning_rate='fast'; it must be a number"),
    (["session-world", "run", "--set", "learning_rate=-1"], "above 0"),
    (["session-world", "run", "--test-seconds", "3600"], "--test-seconds, is for a log that has none")])
def test_what_cannot_be_is_one_line(words, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", *words])
    error = capsys.readouterr().err
    assert ended.value.code == 1 and message in error and "Traceback" not in error
    assert not os.path.exists("run")


@pytest.mark.parametrize("words,unbuffered", [
    (["data"], ""), (["data"], "1"), (["--help"], ""), (["train", "session-world", "run"], "1")])
def test_it_ends_quietly_when_nobody_reads_on(words, unbuffered):
    """As in ``… | head -2``."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "rnnbook", *words], stdout=write, stderr=subprocess.PIPE, text=True,
                          env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_without_a_name_the_experiments_are_listed(capsys):
    cli.main(["reproduce"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:-3]] == list(cli.EXPERIMENTS)


def test_a_setting_needs_a_value(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "session-world", "run", "--set", "n_epochs"])
    assert "not of the form name=value" in capsys.readouterr().err
