"""Command line: ``python -m rnnbook data`` and ``python -m rnnbook reproduce <experiment>``."""

from __future__ import annotations

import argparse
import importlib
import os
import textwrap
from pathlib import Path

# experiment -> module of rnnbook.benchmarks whose main(experiment) writes its result file
EXPERIMENTS = {
    "gru4rec-yoochoose-100k": "gru4rec",
    "gru4rec-world": "gru4rec",
    "gru4rec-search": "gru4rec_search",
    "improved-yoochoose-100k": "improved",
    "improved-noise": "improved",
    "improved-drift": "improved",
    "improved-privileged": "improved",
    "improved-catalogue": "improved",
    "improved-search": "improved_search",
    "rrn-movielens-100k": "rrn",
    "rrn-movietweetings-100k": "rrn",
    "rrn-world": "rrn",
    "rrn-scale": "rrn_scale",
    "rrn-descent": "rrn_scale",
    "rrn-surprise": "rrn_surprise",
    "joint-world": "joint",
    "joint-gift-cards": "joint",
    "joint-cost": "joint_cost",
    "joint-large": "joint_cost",
    "bugs-world": "bugs",
    "bugs-yoochoose-100k": "bugs",
    "peer-speed": "peer_speed",
    "rnn-memory": "rnn",
    "rsc15-preprocess": "rsc15_preprocess",
}


def list_data():
    """The data sets as text: name, here or not, size, licence; below them where from and how to get it."""
    from . import sources

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
    lines += ["-" * 100, f"Put files into {sources.cache()}/NAME, or into NAME in the folder that "
              f"RNNBOOK_DATA names ({os.environ.get('RNNBOOK_DATA', 'not set')})."]
    return "\n".join(lines).replace(str(Path.home()), "~")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m rnnbook", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("data", help="list the data sets: here or not, size, licence, source")
    reproduce = commands.add_parser("reproduce", help="run an experiment and write its result file")
    reproduce.add_argument("experiment", choices=sorted(EXPERIMENTS))
    reproduce.add_argument("--peer", help="for peer-speed: a checkout of the authors' own code")
    args = parser.parse_args(argv)
    if args.command == "data":
        print(list_data())
    else:
        module = importlib.import_module(f"rnnbook.benchmarks.{EXPERIMENTS[args.experiment]}")
        try:
            module.main(args.experiment, **({"peer": args.peer} if args.peer else {}))
        except FileNotFoundError as error:  # most often a data set, and the message says how to get it
            parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
