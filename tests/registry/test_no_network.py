"""A run, a submission and a table work without a network: nothing is fetched, nobody is told."""

import os
import subprocess
import sys

import pytest

# Python tells a hook of every look-up of a name and every connection, before it is made.
WATCHED = """
import sys
def watch(event, given):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.sendto") or (
        event == "socket.connect" and given[0].family.name != "AF_UNIX"
    ):
        print("NETWORK", event, given[1:], file=sys.stderr)
        raise OSError(f"no network: {event}")
sys.addaudithook(watch)
from registry.cli import main
main(sys.argv[1:])
"""


def watched(*arguments):
    given = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    command = [sys.executable, "-c", WATCHED, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**given, "OMP_NUM_THREADS": "1"}, timeout=240)


def test_the_watch_sees_a_connection(workspace):
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.replace("main(sys.argv[1:])", "import urllib.request as r; r.urlopen('http://10.0.0.1')")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "NETWORK" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("run", "tiny", "--data", "data", "--force"), ("submit", "--data", "data"), ("leaderboard",)]
)
def test_nothing_is_fetched_and_nobody_is_told(trained, arguments):
    done = watched(*arguments)
    assert done.returncode == 0, done.stderr
    assert "NETWORK" not in done.stderr
