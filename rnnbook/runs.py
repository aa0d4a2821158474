"""A run: the folder of a trained model, and what the command line does with it.

A run's folder holds ``run.json`` (what was asked), ``checkpoint`` (from which a training goes on), ``model`` and
``scores.json`` (of the first log). A training has stages: the first trains on a log; `resume` adds others.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
from filelock import FileLock, Timeout

from rnnbook import data, gru4rec, improved, joint, metrics, rrn
from rnnbook.interactions import DataError, RatingData, ReviewData, SessionData
from rnnbook.interactions.lookup import ids_like
from rnnbook.interactions.ragged import concatenated_ranges
from rnnbook.training import pick_device
from rnnbook.training.checkpoints import move_checkpoint

FORMAT = 1  # of run.json
SHOWN = 3  # at most so many unknown candidates are named in an error


class Kind(NamedTuple):
    """A kind of model: what the command line needs to know of it."""

    fit: Callable
    model: Any
    config: Any
    load: Callable  # of its data
    metrics: tuple[str, ...]


KINDS = {"gru4rec": Kind(gru4rec.fit, gru4rec.GRU4Rec, gru4rec.GRU4RecConfig, data.load_sessions, metrics.METRICS),
         "improved": Kind(improved.fit, improved.ImprovedRNN, improved.ImprovedConfig, data.load_sessions,
                          metrics.METRICS),
         "rrn": Kind(rrn.fit, rrn.RRN, rrn.RRNConfig, data.load_ratings, metrics.RATING_METRICS),
         "joint": Kind(joint.fit, joint.Joint, joint.JointConfig, data.load_reviews, metrics.RATING_METRICS)}


@contextlib.contextmanager
def locked(folder):
    """Inside this context no other process works in the folder, which is made if it is not there.

    If it was made, and is still empty at the end, it is removed.

    Raises
    ------
    BlockingIOError
        Another process does. The message names it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, locked(folder):
    ...     print(sorted(path.name for path in Path(folder).iterdir()))
    ['.lock', '.owner']
    """
    folder = Path(folder)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / ".lock"), folder / ".owner"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        name = owner.read_text(encoding="utf-8") if owner.is_file() else "another process"
        raise BlockingIOError(f"{folder} is in use by {name}; wait until it has ended, or give another "
                              "folder") from None
    try:
        owner.write_text(f"process {os.getpid()} on {socket.gethostname()}: {' '.join(sys.argv[1:])}", encoding="utf-8")
        yield folder
    finally:
        with contextlib.suppress(OSError):
            owner.unlink()
            if is_new and {path.name for path in folder.iterdir()} <= {".lock"}:  # an error before anything was done
                shutil.rmtree(folder)
        lock.release()


# --- What was asked ---------------------------------------------------------------------------------------


def _lasting(log):
    """A log's name as a later command finds it from any folder: the whole path of a file, the name of a data set."""
    return str(Path(log).absolute()) if Path(log).is_file() else str(log)


def write_whole(path, text):
    """Write a text file such that it is never there in part."""
    with _replacing(path) as new:
        new.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _replacing(path):
    """Yields the name of a new file that takes the place of ``path`` once it is whole."""
    new = path.with_name(f".{path.name}.new")
    try:
        yield new
        os.replace(new, path)
    except OSError as error:  # for example, if the disk is full
        new.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error


def read_plan(folder):
    """What was asked of a run: the content of its ``run.json``.

    Raises
    ------
    FileNotFoundError
        There is no run in the folder.
    ValueError
        The file is damaged, or of another version.
    """
    folder = Path(folder)
    path = folder / "run.json"
    if not folder.is_dir():
        what = f"{folder} is a file, not the folder of a run" if folder.exists() else f"there is no folder {folder}"
        raise FileNotFoundError(f"{what}; make a run with: rnnbook train LOG FOLDER")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no run.json, so it is not the folder of a run; make one with: rnnbook "
                                f"train LOG {folder}")
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        if plan["format"] != FORMAT or plan["model"] not in KINDS or not plan["stages"]:
            raise ValueError(f"its format is {plan['format']}")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged or of another version of rnnbook ({error}); train again in another "
                         "folder") from error
    return plan


def write_plan(folder, plan):
    """Write ``run.json``."""
    write_whole(folder / "run.json", json.dumps(plan, indent=1) + "\n")


def load_model(folder, device="auto"):
    """The finished model of a run, and its plan.

    Raises
    ------
    FileNotFoundError
        There is no run in the folder, or its training has not ended.
    """
    folder, plan = Path(folder), read_plan(folder)
    if any((folder / left).exists() for left in (".finished", ".model.old")) or not (folder / "model").exists():
        with contextlib.suppress(BlockingIOError), locked(folder):  # whoever has the lock, tidies
            plan = read_plan(folder)
            tidy(folder, plan)
    if not (folder / "model").exists():
        raise FileNotFoundError(f"{folder}: the training has not ended; go on with: rnnbook resume {folder}")
    return KINDS[plan["model"]].model.load(folder / "model", device=_device_of(plan, device)), plan


def _device_of(plan, device):
    """The device that was asked for; the compiled code is for a CPU."""
    return "cpu" if plan["fast"] and device == "auto" else device


def tidy(folder, plan):
    """Finish or undo what a killed process left: a finished model counts once the plan says that its stage is done.

    Only the process that has the lock may do this.
    """
    finished, done = folder / ".finished", plan["stages"][-1]["done"]
    if finished.exists() and done:
        move_checkpoint(finished, folder / "model")
    elif finished.exists():
        shutil.rmtree(finished)
    if (folder / "model").exists():  # so the earlier one, which was moved aside, is not needed
        shutil.rmtree(folder / ".model.old", ignore_errors=True)
    if done and len(plan["stages"]) > 1:  # only the first stage goes on from its checkpoint
        for number in range(1, len(plan["stages"]) + 1):
            for name in (_checkpoint(number), f".{_checkpoint(number)}.old", f".{_checkpoint(number)}.new"):
                shutil.rmtree(folder / name, ignore_errors=True)


def _checkpoint(number):
    """The name of the checkpoint of a stage, which is counted from 1."""
    return "checkpoint" if number == 1 else f"checkpoint-{number}"


# --- Training ---------------------------------------------------------------------------------------------


def train(log, folder, *, model="gru4rec", settings=None, seed=0, device="auto", fast=False, valid=False, reading=None):
    """Train a model on a log, score it on the last part of the log, and write both into a folder.

    A run that was killed goes on from its last checkpoint, and gets the same numbers as an uninterrupted run.

    Parameters
    ----------
    log : str
        The name of a data set, or a file.
    folder : path
    model : str
        A key of ``KINDS``.
    settings : dict, optional
        Settings of the model that are not the defaults.
    seed : int
    device : str
    fast : bool
        Use the compiled step and evaluation (GRU4Rec on a CPU).
    valid : bool
        Hold out the end of the training part, and stop when the model no longer improves on it.
    reading : dict, optional
        Options of `data.load_sessions`, `data.load_ratings` or `data.load_reviews`.

    Returns
    -------
    scores, or None if there was nothing to score

    Raises
    ------
    ValueError
        A setting is not known or not allowed, or the folder has another run.
    FileExistsError
        A file has the name of the folder.
    """
    settings = settings or {}
    known = [field.name for field in fields(KINDS[model].config)]
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        raise ValueError(f"no setting {', '.join(unknown)}; there are {', '.join(known)}")
    if fast and model != "gru4rec":
        raise ValueError(f"--fast is for the model gru4rec, not for {model}")
    check_reading(KINDS[model].load, reading or {}, f"the model {model}")
    config = KINDS[model].config(**settings)
    if fast:
        from rnnbook.fast import unsupported

        refused = unsupported(config, pick_device("cpu" if device == "auto" else device))
        if refused:
            raise ValueError(f"the compiled step cannot train with {refused}; leave out --fast")
    for place in (Path(folder), *Path(folder).parents):
        if place.exists() and not place.is_dir():
            raise FileExistsError(f"{place} is a file; the second argument is a new folder for the run")
    stage = {"log": _lasting(log), "reading": reading or {}, "n_epochs": config.n_epochs, "done": False}
    plan = json.loads(json.dumps({"format": FORMAT, "model": model, "settings": settings, "seed": seed, "fast": fast,
                                  "valid": valid, "stages": [stage]}))
    with locked(folder) as folder:
        if (folder / "run.json").exists():
            before = read_plan(folder)
            _check_same(folder, before, plan)
            plan = before
        return _run_last_stage(folder, plan, device)


def check_reading(load, reading, whom):
    """Raise ValueError if a loader does not have one of the options."""
    strange = sorted(reading.keys() - inspect.signature(load).parameters.keys())
    if strange:
        raise ValueError(f"{', '.join('--' + name.replace('_', '-') for name in strange)} is not for {whom}")


def reading_with(before, given):
    """The options of a run, with those given now in their place; sessions take the place of users, and the reverse.

    Examples
    --------
    >>> reading_with({"user": "who", "gap": 900, "item": "what"}, {"session": "visit"})
    {'item': 'what', 'session': 'visit'}
    """
    dropped = {"session": ("user", "gap"), "user": ("session",)}
    gone = {name for option, names in dropped.items() if option in given for name in names}
    return {name: value for name, value in before.items() if name not in gone} | given


def _check_same(folder, before, plan):
    """Raise ValueError unless both plans are the same, apart from what is done of them."""
    if len(before["stages"]) > 1 or "asked" in before["stages"][0]:
        raise ValueError(f"{folder} was resumed since it was trained; go on with: rnnbook resume {folder}, and with "
                         "--epochs or --log if that training has ended")
    config = KINDS[plan["model"]].config
    old, new = ({**each, **each["stages"][0], **(asdict(config(**each["settings"])) if each["model"] == plan["model"]
                                                 else {})} for each in (before, plan))
    differ = [name for name in old | new
              if name not in ("settings", "stages", "done", "until") and old.get(name) != new.get(name)]
    if differ:
        changes = ", ".join(f"{name}={old.get(name)!r}, now {new.get(name)!r}" for name in differ[:3])
        raise ValueError(f"{folder} has another run ({changes}); give another folder, or delete this one to start "
                         "again")


def resume(folder, *, epochs=None, log=None, device="auto", reading=None):
    """Go on with a run: finish it, train for more epochs, or take in a newer log.

    Parameters
    ----------
    folder : path
    epochs : int, optional
        More epochs. Without this and without a log, a training that was killed is finished.
    log : str, optional
        A newer log. A GRU4Rec is trained on it, by default for one epoch, and gets new rows for new items. An RRN and
        a joint model take in its ratings without training.
    device : str
    reading : dict, optional
        As in `train`; by default the options of the run.

    Returns
    -------
    scores, or None if there was nothing to score

    Raises
    ------
    ValueError
        There is nothing to do, another training has not ended, or the model cannot go on in this way.
    """
    read_plan(folder)  # a folder without a run stays as it is
    asked = {"epochs": epochs, "log": log and _lasting(log)}
    with locked(folder) as folder:
        plan = read_plan(folder)
        tidy(folder, plan)
        last, nothing = plan["stages"][-1], not any(asked.values())
        if not last["done"] and not nothing and asked != last.get("asked"):
            raise ValueError(f"{folder}: a training has not ended; finish it first with: rnnbook resume {folder}")
        if last["done"] and nothing:
            raise ValueError(f"{folder}: its training has ended; give --epochs for more, or --log for a newer log")
        if not last["done"]:
            return _run_last_stage(folder, plan, device)
        before = copy.deepcopy(plan)
        _add_stage(plan, asked, reading or {})
        try:
            return _run_last_stage(folder, plan, device)
        except (ArithmeticError, ImportError, RuntimeError, TypeError, ValueError):
            write_plan(folder, before)  # it is refused, so nothing is left to finish
            if len(before["stages"]) < len(plan["stages"]):
                shutil.rmtree(folder / _checkpoint(len(plan["stages"])), ignore_errors=True)
            raise


def _add_stage(plan, asked, reading):
    """Add what is asked to the plan: more epochs of the last stage, or a stage with another log."""
    last, new_log = plan["stages"][-1], asked["log"] is not None
    if plan["model"] == "improved" and new_log:
        raise ValueError("the improved RNN cannot be trained on a newer log: train it again on all of the data")
    staged = [name for name in ("recent", "privileged") if plan["settings"].get(name)]
    staged += ["output=embedding"] if plan["settings"].get("output") == "embedding" else []
    if not new_log and (staged or plan["settings"].get("decay")):
        raise ValueError(f"with {', '.join(staged) or 'decay'}, more epochs later are not what they are at once: train "
                         "again, with a larger n_epochs, in another folder")
    if not new_log and last.get("stopped"):
        raise ValueError("the training has stopped, because the model no longer improved on the validation part; for "
                         "more epochs, train again without --valid in another folder")
    if plan["model"] in ("rrn", "joint") and asked["epochs"] and (new_log or len(plan["stages"]) > 1):
        raise ValueError(f"a model of ratings ({plan['model']}) takes in a newer log without training: give --log "
                         "without --epochs, or --epochs before the first --log")
    if new_log or len(plan["stages"]) > 1:
        plan["stages"].append({"log": asked["log"] or last["log"], "reading": reading_with(last["reading"], reading),
                               "n_epochs": asked["epochs"] or 1, "done": False, "asked": asked})
    else:  # the checkpoint of the first stage goes on
        last |= {"n_epochs": last["n_epochs"] + asked["epochs"], "done": False, "asked": asked}


class Parts(NamedTuple):
    """The data of a stage. What is not held out is None."""

    train: Any
    valid: Any = None
    test: Any = None


def read_parts(plan):
    """Read the log of the last stage. Only in the first stage a part is held out for the scores, and for validation."""
    kind, stage, first = KINDS[plan["model"]], plan["stages"][-1], len(plan["stages"]) == 1
    log, reading = stage["log"], stage["reading"]
    if kind.load is not data.load_sessions:
        ratings = kind.load(log, **reading)
        if not first:
            return Parts(ratings)
        whole = ratings if isinstance(ratings, RatingData) else ratings.ratings
        print(f"Read {whole}", flush=True)  # with what was dropped of it, of which the parts do not know
        if plan["valid"]:
            return Parts(*ratings.split_by_time(0.8, 0.1, 0.1))
        train, test = ratings.split_by_time(0.9, 0.1)
        return Parts(train, None, test)
    if not first:
        return Parts(load_log(log, reading).drop_short("one-event sessions dropped"))
    train, test = data.load_sessions(log, **reading)
    if not plan["valid"]:
        return Parts(train, None, test)
    train, valid = data.hold_out(train, reading.get("test_seconds"))
    test = test.restrict_to(train.item_ids).drop_short("events of sessions left with one event dropped")
    return Parts(train, valid, test)


def load_log(log, reading):
    """A log of sessions that is not split: SessionData. Of the options, those of `data.load_log` are used."""
    return data.load_log(log, **{name: value for name, value in reading.items()
                                 if name not in ("min_support", "test_seconds")})


def _run_last_stage(folder, plan, device):
    """Train the last stage of a plan, score the model, and write both; returns the scores."""
    kind, stage, number = KINDS[plan["model"]], plan["stages"][-1], len(plan["stages"])
    print(f"Reading {stage['log']}", flush=True)
    parts, device = read_parts(plan), pick_device(_device_of(plan, device))
    _note_times(plan, parts)
    write_plan(folder, plan)  # now that the log can be read
    start = kind.model.load(folder / "model", device=device) if number > 1 else None
    if start is not None:
        parts = parts._replace(train=_with_ids_like(parts.train, start))
    if start is not None and plan["model"] != "gru4rec":
        model = observe(start, parts.train)
        print(f"Took in {parts.train}")
    else:
        model = _fit(plan, parts, start, folder / _checkpoint(number), device)
    scores = None
    if parts.test is not None:
        print(f"Scoring on {parts.test}", flush=True)
        if parts.valid is not None and kind.metrics == metrics.RATING_METRICS:
            observe(model, parts.valid)  # the model has to know what was rated before the test part
        scores = evaluate(plan, model, parts.test)
        found = {name: getattr(scores, name) for name in ("k", "ties") if hasattr(scores, name)}
        found |= {m: {"mean": getattr(scores, m), "interval": scores.intervals[m]} for m in kind.metrics}
        write_whole(folder / "scores.json", json.dumps(found, indent=1) + "\n")
    model.save(folder / ".finished")
    stage["done"] = True
    write_plan(folder, plan)  # from here on the stage is done, whenever the process is killed
    tidy(folder, plan)
    return scores


def _note_times(plan, parts):
    """Note in the plan when the log of its last stage ends; say so if it begins before the end of an earlier one."""
    *before, stage = plan["stages"]
    times = np.concatenate([part.ratings.times if isinstance(part, ReviewData) else part.times
                            for part in parts if part is not None])
    if not len(times):
        return  # such a log is refused for what it lacks
    begins, ended = times.min(), max((each.get("until", -np.inf) for each in before), default=-np.inf)
    stage["until"] = float(times.max())
    if before and stage["asked"]["log"] and begins < ended:
        print(f"{stage['log']} is not newer: it begins at {_utc(begins)}, and what the model has read ends at "
              f"{_utc(ended)} UTC. "
              "The model may read again what it knows, or what its scores were held out from", flush=True)


def _say_if_read(plan, log, known):
    """Say so if a log to score begins before the end of what the run has read."""
    ended = max((stage.get("until", -np.inf) for stage in plan["stages"]), default=-np.inf)
    if len(known.times) and known.times.min() < ended:
        print(f"{log} begins at {_utc(known.times.min())}, and what the run has read ends at {_utc(ended)} UTC: the "
              "model may have been trained on a part of it", flush=True)


def _utc(moment):
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}"


def _fit(plan, parts, start, checkpoint, device):
    kind, n_epochs = KINDS[plan["model"]], plan["stages"][-1]["n_epochs"]
    fit, options = kind.fit, {} if start is None else {"start": start}
    goes_on = checkpoint.is_dir() and any(checkpoint.iterdir())
    print(f"Training {'from where the checkpoint is, ' if goes_on else ''}on {parts.train}", flush=True)
    if plan["fast"]:
        from rnnbook import fast

        fit = fast.fit
        print("The first run with --fast compiles, which takes up to a minute", flush=True)
    model = fit(parts.train, replace(kind.config(**plan["settings"]), n_epochs=n_epochs), valid=parts.valid,
                checkpoint=checkpoint, device=device, seed=plan["seed"], **options)
    if parts.valid is not None and len(model.history) < n_epochs:
        plan["stages"][-1]["stopped"] = True
        print(f"Stopped after epoch {len(model.history)}: the model no longer improved on the validation part")
    return model


def observe(model, new):
    """Let a model of ratings take in RatingData or ReviewData; returns the model."""
    model.observe(new if isinstance(new, RatingData) else new.ratings)
    return model


def evaluate(plan, model, test):
    """The scores of a model on SessionData, RatingData or ReviewData: SessionScores or RatingScores."""
    if plan["fast"]:
        from rnnbook import fast

        return fast.evaluate_sessions(model, test)
    if isinstance(test, SessionData):
        return metrics.evaluate_sessions(model, test)
    seen = getattr(model, "seen", model)  # with the users and items that a recurrent model met after its training
    known = SimpleNamespace(user_ids=seen.user_ids, item_ids=seen.item_ids, follow=model.follow)
    return metrics.evaluate_ratings(known, test if isinstance(test, RatingData) else test.ratings)


# --- Answers ----------------------------------------------------------------------------------------------


def score(folder, log, *, device="auto", reading=None):
    """Score a finished model on another log. What the model does not know is dropped, and counted in the data's report.

    Returns
    -------
    data : SessionData or RatingData
        What was scored.
    scores : SessionScores or RatingScores

    Raises
    ------
    DataError
        Nothing is left to score.
    """
    model, plan = load_model(folder, device)
    load, options = KINDS[plan["model"]].load, reading_with(plan["stages"][0]["reading"], reading or {})
    check_reading(load, options, f"the model {plan['model']}")
    if load is data.load_sessions:
        split = log in data.SPLITS or Path(log).is_dir()  # of a published split, the test part
        known = data.load_sessions(log, **(reading or {}))[1] if split else load_log(log, options)
        known = _with_ids_like(known, model).restrict_to(model.item_ids)
        known = known.drop_short("events of sessions left with one event dropped")
        left = known.n_events
    else:
        ratings = _with_ids_like(load(log, **options), model)
        seen = getattr(model, "seen", model)
        known = (ratings if isinstance(ratings, RatingData) else ratings.ratings).restrict_to(seen.user_ids,
                                                                                              seen.item_ids)
        left = known.n_ratings
    if not (load is data.load_sessions and split):
        _say_if_read(plan, log, known)
    if not left:
        raise DataError(f"{log}: nothing is left to score, because the model in {folder} knows none of it: {known}")
    return known, evaluate(plan, model, known)


def recommend(folder, histories, *, k=10, exclude_seen=False, candidates=None, device="auto"):
    """The answers of a finished model of sessions to some histories.

    Parameters
    ----------
    histories : list of lists of str
        As typed: where the model's ids are integers, they are converted.
    k, exclude_seen
        As in `Recommender.recommend_many`.
    candidates : list of str or Path, optional
        Recommend only these items. Of a file, each line is an id.

    Returns
    -------
    pandas DataFrame
        As in `recommend_for_log`; the column ``session`` is the number of the history, and is missing if there is one.
    """
    model = _recommender(folder, device)[0]
    allowed = _candidates(model.item_ids, candidates)
    found = model.recommend_many([_as_ids(model.item_ids, history) for history in histories], k,
                                 exclude_seen=exclude_seen, candidates=allowed)
    return _as_frame(np.arange(len(found)), found).drop(columns="session" if len(found) == 1 else [])


def recommend_for_log(folder, log, *, k=10, exclude_seen=False, candidates=None, device="auto", reading=None):
    """The answers of a finished model of sessions to every session of a log.

    Returns
    -------
    answers : pandas DataFrame
        Columns ``session, rank, item, score``: for each session k rows, the best item first. If the log has users in
        place of sessions, the first column is ``user``, and the last session of each user is answered.
    sessions : SessionData
        What the model read of the log. Its report counts the events of items that the model does not know, and the
        sessions without a known item, which have no answer.
    """
    model, plan = _recommender(folder, device)
    allowed = _candidates(model.item_ids, candidates)
    options = reading_with(plan["stages"][0]["reading"], reading or {})
    check_reading(data.load_sessions, options, f"the model {plan['model']}")
    user = options.pop("user", None)
    if user:
        gap = options.pop("gap", data.GAP)
        log = last_visits(load_log(log, options | {"session": user}), gap)
    else:
        log = load_log(log, options)
    sessions = _with_ids_like(log, model).restrict_to(model.item_ids)
    if sessions.n_sessions < log.n_sessions:
        sessions.report["sessions without a known item, which have no answer"] = log.n_sessions - sessions.n_sessions
    found = model.recommend_many(sessions, k, exclude_seen=exclude_seen, candidates=allowed)
    return _as_frame(sessions.session_ids, found).rename(columns={"session": "user"} if user else {}), sessions


def last_visits(log, gap):
    """Of each session of SessionData the events after its last pause of more than ``gap`` seconds."""
    pause = np.diff(log.times, prepend=0) > gap
    pause[log.offsets[:-1]] = True
    place = np.arange(log.n_events)
    begin = np.maximum.accumulate(np.where(pause, place, 0))  # of the visit that each event belongs to
    last = np.repeat(begin[log.offsets[1:] - 1], log.lengths)
    return log.keep_events(place >= last, "events of earlier sessions dropped")


def _with_ids_like(log, model):
    """SessionData, RatingData or ReviewData whose ids are of the type of the model's, where they can be."""
    if isinstance(log, SessionData):
        return replace(log, item_ids=ids_like(log.item_ids, model.item_ids))
    if isinstance(log, RatingData):
        return replace(log, user_ids=ids_like(log.user_ids, model.user_ids),
                       item_ids=ids_like(log.item_ids, model.item_ids))
    return replace(log, ratings=_with_ids_like(log.ratings, model))


def _as_frame(session_ids, found):
    """A list of Recommendations as a DataFrame, one row for each item."""
    if not found:
        return pd.DataFrame({"session": [], "rank": [], "item": [], "score": []})
    lengths = np.array([len(best.ids) for best in found])
    return pd.DataFrame({"session": np.repeat(session_ids, lengths),
                         "rank": concatenated_ranges(np.ones_like(lengths), lengths),
                         "item": np.concatenate([best.ids for best in found]),
                         "score": np.concatenate([best.scores for best in found])})


TABLES = {".csv": lambda frame, path: frame.to_csv(path, index=False),
          ".parquet": lambda frame, path: pl.from_pandas(frame).write_parquet(path),
          ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True)}


def check_table(path):
    """Raise ValueError or OSError if no table can be written to ``path``, before anything is computed."""
    if path.suffix not in TABLES:
        raise ValueError(f"{path}: the name must end in {', '.join(TABLES)}")
    check_place(path)


def check_place(path):
    """Raise FileNotFoundError or IsADirectoryError if no file can be written to ``path``."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; make the folder first")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file, such as {path / 'out'}{path.suffix}")


def write_table(frame, path):
    """Write a DataFrame to a file such that it is never there in part."""
    with _replacing(path) as new:
        TABLES[path.suffix](frame, new)


def _recommender(folder, device):
    """The finished model of a run, compiled if it was trained so, and the plan."""
    model, plan = load_model(folder, device)
    if KINDS[plan["model"]].load is not data.load_sessions:
        raise ValueError(f"{folder} has a model of ratings ({plan['model']}), which predicts ratings and not the next "
                         "item; in Python: model.predict(users, items, times)")
    if plan["fast"]:
        from rnnbook import fast

        model = model if fast.cannot_rank(model) else fast.Ranker(model)
    return model, plan


def _candidates(item_ids, given):
    """The ids of candidates, a list, a file or None; raises ValueError for lines of the file that name no item."""
    if not isinstance(given, Path):
        return None if given is None else _as_ids(item_ids, given)
    lines = [(number, line) for number, line in enumerate(given.read_text(encoding="utf-8-sig").splitlines(), 1)
             if line.strip()]
    if not lines:
        raise ValueError(f"{given} has no ids; write one on each line")
    known, ids = pd.Index(item_ids), _as_ids(item_ids, [line for _, line in lines])
    unknown = [f"line {number} ({each!r})" for (number, _), each in zip(lines, ids) if each not in known]
    if unknown:
        more = f" and {len(unknown) - SHOWN:,} more" if len(unknown) > SHOWN else ""
        raise ValueError(f"{given}, {', '.join(unknown[:SHOWN])}{more}: not in the catalogue; delete those lines")
    return ids


def _as_ids(item_ids, typed):
    """Ids as they were typed, as integers where the model's ids are: what is no integer stays as it is."""
    typed = [each.strip() for each in typed]
    if item_ids.dtype.kind not in "iu":
        return typed
    return [int(each) if each.removeprefix("-").isdecimal() else each for each in typed]
