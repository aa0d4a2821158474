"""Command line: ``python -m rnnbook data``, ``… reproduce <experiment>`` and ``… train <log> <folder>``."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import subprocess
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

from rnnbook.benchmarks import EXPERIMENTS


def list_data():
    """The list of data sets as a str: name, whether it is here, size, licence, description, source, how to get it."""
    from rnnbook import sources

    row = "{:22} {:8} {:23} {}"
    lines = [row.format("name", "here", "size", "licence"), "-" * 100]
    for source in sources.SOURCES.values():
        paths = sources.find(source)
        here = "built in" if not source.files else "yes" if paths else "no"
        lines.append(row.format(source.name, here, source.size, source.licence))
        place = f"path {paths[0].parent}" if paths else f"get  {source.how}"
        facts = [source.what, f"from {source.origin}", place]
        for fact in facts:
            lines += textwrap.wrap(fact, 100, initial_indent=" " * 4, subsequent_indent=" " * 9,
                                   break_long_words=False, break_on_hyphens=False)
    lines += ["-" * 100, f"Put files into {sources.cache_dir()}/NAME, or into NAME in the folder that "
              f"RNNBOOK_DATA names ({os.environ.get('RNNBOOK_DATA', 'not set')})."]
    return "\n".join(lines).replace(str(Path.home()), "~")


def list_results():
    """The experiments as text: the state of each result and the time that it took; the totals below."""
    from rnnbook import results

    row = "{:26} {:9} {:>8}"
    state = results.overview()
    lines = [row.format("experiment", "result", "minutes"), "-" * 45]
    lines += [row.format(name, found, f"{took / 60:.1f}" if took else "")
              for name, found, took in state.itertuples()]
    lines.append("-" * 45)
    for which, part in {"all": state, "stale": state[state["state"] == "stale"]}.items():
        lines.append(row.format(which, len(part), f"{part['seconds'].sum() / 60:.1f}"))
    return "\n".join(lines)


def reproduce_stale():
    """Run every experiment whose result is stale, one by one, each in a process of its own; names those that failed."""
    from rnnbook import results

    state = results.overview()
    stale, failed = state[state["state"] == "stale"], []
    for name, _, took in stale.itertuples():
        print(f"{name}, which took {took / 60:.1f} minutes", flush=True)
        if subprocess.run([sys.executable, "-m", "rnnbook", "reproduce", name]).returncode:
            failed.append(name)
    return failed


def setting(text):
    """Turn ``"n_epochs=3"`` into ``("n_epochs", 3)``; a value that is not JSON is a str."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def seconds(text):
    """Turn ``"3600"`` into 3600.0; the number must be finite and above 0."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return found


def train(log, folder, settings, seed, fast, test_seconds):
    """Train a GRU4Rec on a log of clicks, score it on the test part, and write both into ``folder``.

    A run that was killed continues from its last checkpoint, and gets the same numbers as an uninterrupted run.
    """
    from rnnbook import data, gru4rec, metrics
    from rnnbook.gru4rec import GRU4RecConfig
    from rnnbook.training import find_checkpoint

    fit, evaluate = gru4rec.fit, metrics.evaluate_sessions
    if fast:
        from rnnbook import fast as compiled

        fit, evaluate = compiled.fit, compiled.evaluate_sessions

    known = [field.name for field in fields(GRU4RecConfig)]
    unknown = sorted(settings.keys() - set(known))
    if unknown:
        raise ValueError(f"no setting {', '.join(unknown)}; there are {', '.join(known)}")
    config = GRU4RecConfig(**settings)
    print(f"Reading {log}")
    train, test = data.load_sessions(log, test_seconds=test_seconds)
    goes_on = find_checkpoint(folder / "checkpoint")
    print(f"Training on {train}" + (", from where the checkpoint is" if goes_on else ""))
    if fast:
        print("The first run with --fast compiles, which takes up to a minute", flush=True)
    model = fit(train, config, seed=seed, checkpoint=folder / "checkpoint")
    model.save(folder / "model")
    print(f"Scoring on {test}")
    scores = evaluate(model, test)
    found = {m: {"mean": getattr(scores, m), "interval": scores.intervals[m]} for m in metrics.METRICS}
    (folder / "scores.json").write_text(json.dumps({"k": scores.k, "ties": scores.ties} | found, indent=1) + "\n")
    print(scores)


def arguments():
    """The parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m rnnbook", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("data", help="list the data sets: here or not, size, licence, source")
    reproduce = commands.add_parser("reproduce", help="run an experiment and write its result file")
    reproduce.add_argument("experiment", choices=sorted(EXPERIMENTS), nargs="?", help="none lists them")
    several = reproduce.add_mutually_exclusive_group()
    several.add_argument("--list", action="store_true", help="list the results: fresh or stale, and how long each took")
    several.add_argument("--stale", action="store_true",
                         help="run all whose result was made with other code; a stopped run goes on where it was")
    reproduce.add_argument("--peer", help="a checkout to compare with: for peer-speed and gpu the authors' own code, "
                                          "for chapter-speed session-rec")
    trains = commands.add_parser("train", help="train a GRU4Rec on a log, score it, and save both in a folder")
    trains.add_argument("log", help="a data set's name, or a table: csv, tsv, parquet, gzipped or not")
    trains.add_argument("folder", type=Path,
                        help="for checkpoint, model and scores; a killed run resumes from there")
    trains.add_argument("--set", type=setting, nargs="+", action="extend", default=[], metavar="NAME=VALUE",
                        help="settings of GRU4RecConfig, for example n_epochs=3 loss=bpr-max")
    trains.add_argument("--test-seconds", type=seconds, metavar="SECONDS",
                        help="length of the test period at the end of the log, by default a day")
    trains.add_argument("--seed", type=int, default=0)
    trains.add_argument("--fast", action="store_true", help="use the compiled step and evaluation, on a CPU")
    return parser


def main(argv=None):
    parser = arguments()
    args = parser.parse_args(argv)
    if args.command == "data":
        print(list_data())
    elif args.command == "train":
        try:
            train(args.log, args.folder, dict(args.set), args.seed, args.fast, args.test_seconds)
        except BrokenPipeError:  # an OSError, but not an error of the user: `run` handles it
            raise
        except (FloatingPointError, ImportError, OSError, TypeError, ValueError) as error:  # in log, settings or folder
            parser.exit(1, f"{error}\n")
    elif args.list:
        print(list_results())
    elif args.stale:
        failed = reproduce_stale()
        if failed:
            parser.exit(1, f"not made again: {', '.join(failed)}\n")
    elif args.experiment is None:
        print("\n".join(sorted(EXPERIMENTS)))
    else:
        reproduce_one(parser, args.experiment, **({"peer": args.peer} if args.peer else {}))


def reproduce_one(parser, experiment, **options):
    """Run an experiment, and say where its result is."""
    from rnnbook import results

    module = importlib.import_module(f"rnnbook.benchmarks.{EXPERIMENTS[experiment]}")
    try:
        module.main(experiment, **options)
    except FileNotFoundError as error:  # most often a data set, and the message says how to get it
        parser.exit(1, f"{error}\n")
    print(f"The result is in {results.path_of(experiment)}")


def run():
    """Call `main`; end without a traceback if the reader of the output has closed it, as ``| head`` does."""
    ended = None
    try:
        try:
            main()
        except SystemExit as end:
            ended = end
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:  # Python flushes stdout when it ends, and this must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    if ended:
        raise ended
