"""The command line: ``rnnbook`` or ``python -m rnnbook``, with the commands of `arguments`."""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import math
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from rnnbook.benchmarks import EXPERIMENTS


def list_data():
    """The list of data sets as a str: name, whether it is here, size, description, licence, source, how to get it."""
    from rnnbook import sources

    row = "{:23} {:8} {}"
    lines = [row.format("name", "here", "size"), "-" * 96]
    for source in sources.SOURCES.values():
        paths = sources.find(source)
        here = "built in" if not source.files else "yes" if paths else "no"
        lines.append(row.format(source.name, here, source.size))
        place = f"path {paths[0].parent}" if paths else f"get  {source.how}"
        facts = [source.what, f"licence: {source.licence}", f"from {source.origin}", place]
        for fact in facts:
            lines += textwrap.wrap(fact, 96, initial_indent=" " * 4, subsequent_indent=" " * 9,
                                   break_long_words=False, break_on_hyphens=False)
    lines += ["-" * 96, f"Put files into {sources.cache_dir()}/NAME, or into NAME in the folder that "
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


def count(text):
    """Turn ``"10"`` into 10; the number must be at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def seed(text):
    """Turn ``"3"`` into 3; the number must be at least 0 and below 2**63."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2**63 - 1")
    return int(text)


def folder(text):
    """The path of a folder; an empty text, as of a shell variable that is not set, is none."""
    if not text:
        raise argparse.ArgumentTypeError("the folder's name is empty")
    return Path(text)


def reading_options():
    """A parser with the options of a table, for the commands that read one. An option that is not given is absent."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("the table", "A missing column name is guessed.")
    for role in ("session", "user", "item", "time", "rating", "text"):
        group.add_argument(f"--{role}", metavar="COLUMN", help=f"the column of the {role}")
    group.add_argument("--gap", type=seconds, metavar="SECONDS",
                       help="without a column of sessions, a user's session ends after so long a pause (1800)")
    group.add_argument("--time-unit", choices=("s", "ms", "us", "ns"),
                       help="of times that are numbers; otherwise their size tells")
    group.add_argument("--sep", dest="separator", metavar="TEXT", help="between two fields; otherwise it is guessed")
    group.add_argument("--header", type=lambda text: [name.strip() for name in text.split(",")], metavar="NAMES",
                       help="names of the columns, if the file has none: --header session,time,item")
    group.add_argument("--no-quotes", dest="quote_char", action="store_const", const=None,
                       help="double quotes are characters like all others")
    group.add_argument("--drop-missing", action="store_true",
                       help="drop rows without an id, a time or a rating, instead of refusing them")
    return parser


READING = ("session", "user", "item", "time", "rating", "text", "gap", "time_unit", "separator", "header", "quote_char",
           "drop_missing", "min_support", "test_seconds")


def reading_of(args):
    """The options of the loaders that were given: a dict."""
    return {name: getattr(args, name) for name in READING if hasattr(args, name)}


def arguments():
    """The parser of the command line."""
    parser = argparse.ArgumentParser(prog="rnnbook", description="Recurrent recommenders: from a log to answers.")
    commands = parser.add_subparsers(dest="command", required=True)
    table = reading_options()

    def command(name, what, example, **options):
        return commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".",
                                   epilog=f"example: {example}", **options)

    command("data", "list the data sets: here or not, size, licence, source", "rnnbook data")
    looks = command("look", "describe a log before anybody trains on it", "rnnbook look clicks.csv -o log.html",
                    parents=[table])
    looks.add_argument("log", help="a data set's name, or a table: csv, tsv, jsonl, parquet, gzipped or not")
    looks.add_argument("--kind", choices=("sessions", "ratings", "reviews"),
                       help="what the log holds: that of a named data set, otherwise sessions")
    looks.add_argument("-o", dest="output", type=Path, metavar="FILE", help="also write one HTML file with pictures")

    orders = command("sequential", "measure what the order of the clicks is worth in a log of sessions",
                     "rnnbook sequential clicks.csv", parents=[table])
    orders.add_argument("log", help="a data set's name, or a table: csv, tsv, jsonl, parquet, gzipped or not")
    orders.add_argument("--seed", type=seed, default=0, help="of the random numbers (0)")

    trains = command("train", "train a model on a log, score it, and save both in a folder",
                     "rnnbook train clicks.csv run --fast --set n_epochs=3 loss=bpr-max", parents=[table])
    trains.add_argument("log", help="a data set's name, or a table: csv, tsv, jsonl, parquet, gzipped or not")
    trains.add_argument("folder", type=folder, help="for checkpoint, model and scores; a killed run resumes from there")
    trains.add_argument("--model", choices=("gru4rec", "improved", "rrn", "joint"), default="gru4rec",
                        help="gru4rec and improved for sessions, rrn for ratings, joint for reviews")
    trains.add_argument("--set", type=setting, nargs="+", action="extend", default=[], metavar="NAME=VALUE",
                        help="settings of the model, for example n_epochs=3 loss=bpr-max")
    trains.add_argument("--valid", action="store_true",
                        help="hold out the end of the training part, and stop when the model no longer improves on it")
    trains.add_argument("--test-seconds", type=seconds, default=argparse.SUPPRESS, metavar="SECONDS",
                        help="length of the test period at the end of a log of sessions, by default a day; "
                             "of ratings and reviews the last tenth is the test")
    trains.add_argument("--min-support", type=count, default=argparse.SUPPRESS, metavar="N",
                        help="drop items that were clicked fewer times, by default 5")
    trains.add_argument("--seed", type=seed, default=0, help="of the random numbers (0)")
    trains.add_argument("--fast", action="store_true", help="use the compiled step and evaluation, on a CPU")

    resumes = command("resume", "finish a killed training, train for more epochs, or take in a newer log",
                      "rnnbook resume run --log next_week.csv", parents=[table])
    resumes.add_argument("folder", type=Path, metavar="RUN", help="the folder that train made")
    resumes.add_argument("--epochs", type=count, help="more epochs; with --log, of the newer log (1)")
    resumes.add_argument("--log", help="a newer log: gru4rec trains on it, with new rows for new items; rrn and joint "
                                       "take its ratings in")

    scores = command("score", "score a model on another log", "rnnbook score run --log other.csv", parents=[table])
    scores.add_argument("folder", type=Path, metavar="RUN", help="the folder that train made")
    scores.add_argument("--log", required=True, help="a table in the form of the training log")

    recommends = command("recommend", "recommend items for a history, or for every session of a log",
                         'rnnbook recommend run --history "item-4, item-17"', parents=[table])
    recommends.add_argument("folder", type=Path, metavar="RUN", help="the folder that train made")
    asked = recommends.add_mutually_exclusive_group(required=True)
    asked.add_argument("--history", metavar="ITEMS", help="item ids, the oldest first, with commas between them")
    asked.add_argument("--log", help="a table of open sessions, in the form of the training log; if it has users in "
                                     "place of sessions, the last session of each is answered")
    recommends.add_argument("--k", type=count, default=10, help="how many items for each session (10)")
    recommends.add_argument("--exclude-seen", action="store_true", help="leave out the items of the session")
    recommends.add_argument("--candidates", type=Path, metavar="FILE", help="recommend only these items, one id a line")
    recommends.add_argument("-o", dest="output", type=Path, metavar="FILE",
                            help="write a table: .csv, .parquet or .jsonl; otherwise csv is printed")
    for each in (orders, trains, resumes, scores, recommends):
        each.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, …")

    reproduce = command("reproduce", "run an experiment and write its result file", "rnnbook reproduce gru4rec-world")
    reproduce.add_argument("experiment", choices=sorted(EXPERIMENTS), nargs="?", metavar="EXPERIMENT",
                           help="one of those that --list names; by default all are listed")
    several = reproduce.add_mutually_exclusive_group()
    several.add_argument("--list", action="store_true", help="list the results: fresh or stale, and how long each took")
    several.add_argument("--stale", action="store_true",
                         help="run all whose result was made with other code; a stopped run goes on where it was")
    reproduce.add_argument("--peer", help="a checkout to compare with: for peer-speed and gpu the authors' own code, "
                                          "for chapter-speed session-rec")
    return parser


# --- The commands -----------------------------------------------------------------------------------------
# They import what they need when they are called: `rnnbook data` does not load PyTorch.


def do_train(args):
    from rnnbook import runs

    scores = runs.train(args.log, args.folder, model=args.model, settings=dict(args.set), seed=args.seed,
                        device=args.device, fast=args.fast, valid=args.valid, reading=reading_of(args))
    print(shown(scores))


def shown(scores):
    """Scores as text. There is no interval over sessions, or over users, if there is only one."""
    one, n = ("session", scores.n_sessions) if hasattr(scores, "n_sessions") else ("user", scores.n_users)
    return str(scores) if n > 1 else re.sub(r"\[.*\]$", f"(one {one}: no interval)", str(scores), flags=re.MULTILINE)


def do_resume(args):
    from rnnbook import runs

    scores = runs.resume(args.folder, epochs=args.epochs, log=args.log, device=args.device, reading=reading_of(args))
    print(f"The model is in {args.folder / 'model'}. The numbers in {args.folder / 'scores.json'} are those before the "
          f"newer log; score again, with a log that comes after it: rnnbook score {args.folder} --log LOG"
          if scores is None else shown(scores))


def do_score(args):
    from rnnbook import runs

    known, scores = runs.score(args.folder, args.log, device=args.device, reading=reading_of(args))
    print(f"{known}\n{shown(scores)}")


def do_recommend(args):
    from rnnbook import runs

    options = {"k": args.k, "exclude_seen": args.exclude_seen, "candidates": args.candidates, "device": args.device}
    if args.output is not None:
        runs.check_table(args.output)
    if args.history is not None:
        [history] = csv.reader([",".join(args.history.splitlines())], skipinitialspace=True)
        answers = runs.recommend(args.folder, [history], **options)
        least, whose = len(answers), ""
    else:
        answers, sessions = runs.recommend_for_log(args.folder, args.log, reading=reading_of(args), **options)
        print(sessions, file=sys.stderr)
        lengths = answers.groupby(answers.columns[0]).size()
        least = 0 if len(lengths) < sessions.n_sessions else lengths.min()
        whose = f" for some {answers.columns[0]}s"
    if least < args.k:
        print(f"only {least:,} item{'s are' if least != 1 else ' is'} left{whose}, fewer than --k {args.k}",
              file=sys.stderr)
    if args.output is None:
        print(answers.to_csv(index=False, float_format="%.6g"), end="")
    else:
        runs.write_table(answers, args.output)
        print(f"{len(answers):,} rows are in {args.output}")


def do_look(args):
    from rnnbook import data, look, runs

    loads = {"sessions": data.load_log, "ratings": data.load_ratings, "reviews": data.load_reviews}
    if args.output is not None:
        runs.check_place(args.output)
        if args.output.suffix not in (".html", ".htm"):
            raise ValueError(f"{args.output}: the page is HTML; give a name that ends in .html")
    kind = args.kind or data.kind_of(args.log)
    runs.check_reading(data.load_sessions if kind == "sessions" else loads[kind], reading_of(args), f"a log of {kind}")
    log = loads[kind](args.log, **reading_of(args))
    if args.output is not None:
        args.output.write_text(look.page(log), encoding="utf-8")
    print(look.describe(log) + (f"\n\nThe page with pictures is {args.output}" if args.output is not None else ""))


def do_sequential(args):
    from rnnbook import data, runs
    from rnnbook.sequential import sequentiality

    runs.check_reading(data.load_sessions, reading_of(args), "a log of sessions")
    log = data.load_log(args.log, **reading_of(args))
    print(log, file=sys.stderr)  # with what was dropped of it
    print(sequentiality(log, device=args.device, seed=args.seed))


def do_reproduce(args):
    if args.list or not (args.stale or args.experiment):
        print(list_results())
    elif args.stale:
        failed = reproduce_stale()
        if failed:
            raise ValueError(f"not made again: {', '.join(failed)}")
    else:
        reproduce_one(args.experiment, **({"peer": args.peer} if args.peer else {}))


COMMANDS = {"data": lambda args: print(list_data()), "look": do_look, "sequential": do_sequential, "train": do_train,
            "resume": do_resume, "score": do_score, "recommend": do_recommend, "reproduce": do_reproduce}


def main(argv=None):
    """Run the command line. An error of the user ends it with one sentence and the exit code 1."""
    parser = arguments()
    args = parser.parse_args(argv)
    try:
        COMMANDS[args.command](args)
    except BrokenPipeError:  # an OSError, but not an error of the user: `run` handles it
        raise
    except KeyboardInterrupt:
        trains = args.command in ("train", "resume")
        parser.exit(130, f"stopped{'; the same command continues from the last checkpoint' if trains else ''}\n")
    except (ArithmeticError, ImportError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        parser.exit(1, sentence(error) + "\n")


def sentence(error):
    """What an error says, on one line."""
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        said = str(error) or type(error).__name__
    return " ".join(said.split())


def reproduce_one(experiment, **options):
    """Run an experiment, and say where its result is."""
    from rnnbook import results

    module = importlib.import_module(f"rnnbook.benchmarks.{EXPERIMENTS[experiment]}")
    module.main(experiment, **options)
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
