"""A run, a submission and a table work without a network: nothing is fetched, nobody is told."""

import os
import subprocess
import sys

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
for arguments in sys.argv[1].split(" then "):
    main(arguments.split(), standalone_mode=False)
"""


def watched(code, commands):
    given = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return subprocess.run(
        [sys.executable, "-c", code, commands], capture_output=True, text=True, env=given, timeout=240
    )


def test_the_watch_sees_a_connection():
    code = WATCHED.replace(
        "main(arguments.split(), standalone_mode=False)",
        "__import__('http.client').client.HTTPConnection('10.0.0.1').connect()",
    )
    assert "NETWORK" in watched(code, "x").stderr


def test_nothing_is_fetched_and_nobody_is_told(workspace):
    done = watched(WATCHED, "run tiny --data data then submit --data data then leaderboard")
    assert done.returncode == 0, done.stderr
    assert "NETWORK" not in done.stderr
    assert "registered as" in done.stdout and "v1 production candidate" in done.stdout
