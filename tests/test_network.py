"""The cable of the network benchmark: it lets through as much as it says, and nothing of it stays."""

import shutil
import subprocess
import sys

import pytest

from rnnbook.benchmarks.network import cable

RECEIVE = """
import socket, time
with socket.create_server(("10.77.0.1", 29501)) as server:
    print("ready", flush=True)
    connection, _ = server.accept()
    began, n = time.perf_counter(), 0
    while piece := connection.recv(65536):
        n += len(piece)
    print(n, time.perf_counter() - began)
"""
SEND = """
import socket
with socket.create_connection(("10.77.0.1", 29501)) as connection:
    connection.sendall(bytes(5_000_000))
"""


def can_lay_a_cable():
    if not (shutil.which("ip") and shutil.which("tc")):
        return False
    try:
        with cable(1):
            return True
    except subprocess.CalledProcessError:
        return False


needs_root = pytest.mark.skipif(not can_lay_a_cable(), reason="no network namespaces: they need Linux, root, ip and tc")


def namespaces():
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout.split()


@needs_root
def test_a_cable_lets_through_no_more_than_it_says():
    with cable(0.1) as (a, b):
        command = ["ip", "netns", "exec", a, sys.executable, "-c", RECEIVE]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
            assert receiver.stdout.readline().strip() == "ready"
            subprocess.run(["ip", "netns", "exec", b, sys.executable, "-c", SEND], check=True)
            n, seconds = map(float, receiver.stdout.read().split())
    assert n == 5_000_000
    assert seconds > 0.9 * 8 * n / 1e8  # never sooner than the cable's speed, whatever else the machine does


@needs_root
def test_nothing_of_a_cable_stays():
    before = namespaces()
    with pytest.raises(RuntimeError), cable(1):
        raise RuntimeError
    assert namespaces() == before
