"""Two machines that train together, by the speed of the network between them, which "Beyond one machine" forecasts.

``python -m rnnbook reproduce gru4rec-network`` makes the two machines itself: two network namespaces of Linux, with a
core for each, and between them a cable that lets so many bits a second through. It has to be run as root, and needs
``ip`` and ``tc``, which Debian has in the package iproute2.
"""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict

from rnnbook import results
from rnnbook.benchmarks.gru4rec_scale import RANKS, SIZES, sessions_of
from rnnbook.benchmarks.rows import mean_row

SPEEDS = (0.1, 1, 10)  # gigabits a second
LANES = 512
REPEATS = 3
JOB = """
import json
from rnnbook.benchmarks.gru4rec_scale import Ranks, one_rank
print(json.dumps(one_rank({}, {}, 1, {})))
Ranks("cpu").accelerator.end_training()  # or the rank that is still there may take the other's end for a failure
"""


@contextmanager
def cable(gigabits):
    """The names of two machines with a cable between them; both are gone afterwards."""
    names = [f"rnnbook-{os.getpid()}-{end}" for end in "ab"]  # another process may have a cable too

    def run(*words):
        subprocess.run(words, check=True)

    try:
        for name in names:
            run("ip", "netns", "add", name)
        run("ip", "link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for i, name in enumerate(names):
            run("ip", "-n", name, "address", "add", f"10.77.0.{i + 1}/24", "dev", "cable")
            for device in ("lo", "cable"):
                run("ip", "-n", name, "link", "set", device, "up")
            # A burst passes at once: it has to be little beside the 1.5 MB of a step's sum.
            run("tc", "-n", name, "qdisc", "add", "dev", "cable", "root", "tbf", "rate", f"{1000 * gigabits:g}mbit",
                "burst", "128kb", "latency", "50ms")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def started(rank, n, fast, words=()):
    """A rank on a core of its own, which prints what `one_rank` found."""
    job = JOB.format(LANES, n > 1, fast)
    where = {"RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": str(n), "MASTER_ADDR": "10.77.0.1",
             "MASTER_PORT": "29500", "GLOO_SOCKET_IFNAME": "cable"}
    return subprocess.Popen([*words, "taskset", "--cpu-list", str(rank), sys.executable, "-c", job],
                            env=os.environ | where, stdout=subprocess.PIPE, text=True)


def found_by(processes):
    """What rank 0 found; CalledProcessError if one of the ranks failed."""
    printed = [process.communicate()[0] for process in processes]
    for process in processes:
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
    return json.loads(printed[0])


def main(experiment):
    missing = [command for command in ("ip", "tc", "taskset") if not shutil.which(command)]
    if missing:
        raise FileNotFoundError(f"{', '.join(missing)}: not here; on Debian, apt-get install iproute2 util-linux")
    train = sessions_of(SIZES[0])
    result = results.new_result(experiment, results.describe(train, train.take([])), {
        "model": asdict(RANKS) | {"batch_size": LANES}, "cores of a machine": 1, "repeats": REPEATS,
        "gigabits a second": SPEEDS})

    def add(name, runs):
        for metric in runs[0]:
            result["rows"].append(mean_row(name, metric, [run[metric] for run in runs]))

    for fast, code in ((False, ""), (True, ", compiled")):
        add(f"1 machine{code}", [found_by([started(0, 1, fast)]) for _ in range(REPEATS)])
        for gigabits in SPEEDS:
            with cable(gigabits) as names:
                add(f"2 machines, {gigabits:g} gigabit{code}", [
                    found_by([started(rank, 2, fast, ["ip", "netns", "exec", name]) for rank, name in enumerate(names)])
                    for _ in range(REPEATS)])
    results.write(result)
