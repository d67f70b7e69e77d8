"""`vad ui`: the server it starts, the links it prints, how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from contextlib import suppress
from pathlib import Path

import pytest

from registry.store import ui as view
from registry.store.ui import announce
from tests.registry.conftest import LOOPBACK, listening


def _finished_run(tracking, experiment, figure):
    made = tracking.experiment(experiment, {})
    log = tracking.open_run(made, "experiment", f"digest of {experiment}", "tiny", {"vad.figure": figure})
    log.end("FINISHED")
    return made


def _processes(column, number):
    """Processes whose parent (column 1) or group (column 2) is this one; none where the system has no /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[column]) == number:
                found.append(int(stat.parent.name))
    return found


def test_from_an_empty_store_to_two_leaderboards_and_a_quiet_end(workspace, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "registry.cli", "ui", "--port", str(port), "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "Start with: make run" in process.stdout.readline()
        assert f"{address}/#/experiments?workflowType=machine_learning" in process.stdout.readline()
        assert listening(port) == {LOOPBACK}
        children = _processes(1, process.pid)
        assert [len(_processes(2, child)) for child in children] in ([2], [])

        assert workspace.refused("ui", "--port", str(port)) == (
            f"Error: port {port} is taken; leave --port out to have a free one found\n"
        )

        older = _finished_run(workspace.tracking(), "street proxy_ap 1", "proxy_ap")
        time.sleep(0.01)
        newer = _finished_run(workspace.tracking(), "street ap 2", "ap")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        first, second = workspace.done("ui").splitlines()
        assert first == f"MLflow UI: {address}/{view.view_link(newer, view.NAME)}"
        assert second == f"street proxy_ap 1: {address}/{view.view_link(older, view.NAME)}"
        sorts = [workspace.tracking().client.get_experiment(made).tags[view.TAG] for made in (newer, older)]
        orders = [json.loads(json.loads(sort)["state"])["orderByKey"] for sort in sorts]
        assert orders == ["metrics.`ap`", "metrics.`proxy_ap`"]

        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, messages = process.communicate(timeout=10)
        assert time.monotonic() - asked < 5
        assert (process.returncode, output, messages) == (0, "stopped\n", "")
        assert [_processes(2, child) for child in children] in ([[]], [])
    finally:
        process.kill()
        process.communicate()


def test_a_server_that_does_not_start_is_one_line(workspace, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    message = workspace.refused("ui")
    assert re.fullmatch(
        r"Error: MLflow's UI did not start: it said nothing; more in .*ui/5\d\d\d\.log\n", message.replace(os.sep, "/")
    )


@pytest.mark.parametrize(
    ("display", "terminal", "browse", "opens"),
    [(":0", True, True, True), ("", True, True, False), (":0", False, True, False), (":0", True, False, False)],
)
def test_a_browser_opens_only_before_a_person_who_wants_it(monkeypatch, display, terminal, browse, opens):
    opened, said = [], []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    announce({f"e{i}": f"http://x/{i}" for i in range(12)}, "http://x", "", browse, said.append)
    assert opened == (["http://x/0"] if opens else [])
    assert said[:2] == ["MLflow UI: http://x/0", "e1: http://x/1"]
    assert said[-2:] == ["e8: http://x/8", "3 older experiments are listed there"]
