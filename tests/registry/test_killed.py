"""A run that is killed or stopped in any of its parts: nothing stays behind, and the next one ends as if it had been let be.

The command runs in processes that are forked from one that has loaded everything, so that a kill costs no imports.
"""

import fcntl
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import phases
from benchmarks.at_once import forks
from registry import signals as stopping
from registry.cli import main
from registry.models.versions import Versions
from registry.signals import STATUS, STOPPED, stop_on_signals

RUN = ["run", "tiny", "--data", "data"]
PARTS = ["store", "decode", "epoch", "state", "keep", "score", "log", "register"]


class Commands:
    """The command in a workspace, again and again; the system's temporary folder is one of its own."""

    def __init__(self, folder, tmp_path):
        self.folder = folder
        self.marks, self.said, self.temporary = (tmp_path / name for name in ("marks", "said", "temporary"))
        self.temporary.mkdir()

    def start(self, arguments):
        self.marks.unlink(missing_ok=True)
        where = (self.folder, self.temporary, self.marks, self.said)
        process = forks().Process(target=phases.in_folder, args=(*where, dict(os.environ), arguments))
        process.start()
        return process

    def reach(self, part, arguments=RUN):
        """The process once it is in a part."""
        process = self.start(arguments)
        self.wait(process, lambda: any(mark.name == part for mark in phases.read(self.marks)))
        return process

    def wait(self, process, condition):
        end = time.monotonic() + 30
        while not condition():
            assert process.is_alive() and time.monotonic() < end, self.said.read_text()
            time.sleep(0.002)

    def finish(self, arguments=RUN):
        process = self.start(arguments)
        process.join(60)
        assert process.exitcode == 0, self.said.read_text()

    def stop(self, process, number, twice=False):
        """It must end by itself, soon, in one line."""
        asked = time.monotonic()
        os.kill(process.pid, number)
        if twice:
            time.sleep(0.05)
            with suppress(ProcessLookupError):  # it may be as quick as that
                os.kill(process.pid, number)
        process.join(10)
        assert time.monotonic() - asked < 5
        assert process.exitcode == STATUS, self.said.read_text()
        assert STOPPED in self.said.read_text()
        assert "Traceback" not in self.said.read_text()
        assert "RUNNING" not in statuses(self.folder)
        assert left_over(self.folder) == []


@pytest.fixture
def commands(workspace, tmp_path):
    return Commands(workspace.folder, tmp_path)


def statuses(folder):
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return {status for (status,) in database.execute("SELECT status FROM runs")}


def left_over(folder):
    """What nobody will finish."""
    found = [
        path for path in folder.rglob("*") if path.name.endswith((".part", "-journal")) or path.parent.name == "tmp"
    ]
    return sorted(str(path.relative_to(folder)) for path in found)


def scores(folder):
    (found,) = (folder / "mlartifacts").rglob("scores.csv")
    return found.read_bytes()


def test_a_run_that_was_killed_in_each_of_its_parts_ends_as_one_that_was_not(commands, workspace, ran):
    (workspace.folder / "mlflow.db").unlink()  # that it is made is a part too
    for number, part in enumerate(PARTS):
        process = commands.reach(part)
        time.sleep(0.01 * (number % 4))
        process.kill()
        process.join()
    commands.finish()
    process = commands.reach("import", ["submit"])
    commands.wait(process, lambda: "model version 1" in commands.said.read_text())
    time.sleep(0.1)
    process.kill()
    process.join()
    commands.finish(["submit"])
    assert left_over(workspace.folder) == []
    assert list(commands.temporary.iterdir()) == []
    assert list((workspace.folder / ".vad" / "resume").iterdir()) == []
    assert scores(workspace.folder) == scores(ran)
    client = workspace.tracking().client
    runs = client.search_runs([found.experiment_id for found in client.search_experiments()])
    kinds = sorted(run.data.tags["vad.kind"] for run in runs)
    assert kinds == ["decision", "experiment", "member", "member", "member", "submission"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    models = client.search_logged_models(list({run.info.experiment_id for run in runs}))
    assert sorted(model.name for model in models) == ["ensemble", "large-1", "small-1", "small-2"]
    assert {str(model.status) for model in models} == {"READY"}
    assert Versions(workspace.tracking()).aliases() == {"1": ["production", "candidate"]}


def test_a_stop_in_any_part_is_soon_and_says_how_to_go_on(commands, workspace, ran):
    commands.stop(commands.reach("decode"), signal.SIGTERM)
    commands.stop(commands.reach("epoch"), signal.SIGINT, twice=True)
    commands.stop(commands.reach("log"), signal.SIGTERM, twice=True)
    commands.stop(commands.reach("log"), signal.SIGHUP)
    commands.stop(commands.reach("register"), signal.SIGINT)
    commands.finish()
    assert statuses(workspace.folder) == {"FINISHED"}
    assert scores(workspace.folder) == scores(ran)


def test_without_its_terminal_a_command_goes_on_where_nohup_has_it_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals(own_process=False):
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert not stopping.stop_received()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_closed_stops_the_run(commands, workspace):
    """Whatever is said from then on is an error of its own."""
    ours, theirs = os.openpty()
    process = forks().Process(target=_at_a_terminal, args=(os.ttyname(theirs), commands, RUN))
    process.start()
    os.close(theirs)
    os.set_blocking(ours, False)

    def trains():
        with suppress(OSError):  # nobody speaks, now or yet
            os.read(ours, 1 << 16)
        return any(mark.name == "epoch" for mark in phases.read(commands.marks))

    commands.said.touch()
    commands.wait(process, trains)
    os.close(ours)
    process.join(10)
    assert process.exitcode == STATUS
    assert "RUNNING" not in statuses(workspace.folder) and "KILLED" in statuses(workspace.folder)
    assert left_over(workspace.folder) == []


def _at_a_terminal(terminal, commands, arguments):
    os.setsid()
    for stream in range(3):
        os.dup2(os.open(terminal, os.O_RDWR), stream)  # the first of a session becomes its terminal
    where = (commands.folder, commands.temporary, commands.marks, Path(terminal))
    phases.in_folder(*where, dict(os.environ), arguments)


def test_who_waits_for_another_run_can_be_stopped(commands, workspace):
    commands.stop(commands.reach("epoch"), signal.SIGTERM)
    for lock in (
        workspace.folder / ".vad" / "locks"
    ).iterdir():  # of the experiment, and of the member that was in training
        _wait_and_stop(commands, lock)


def _wait_and_stop(commands, lock):
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = commands.reach("import")
        commands.wait(process, lambda: "waiting for that" in commands.said.read_text())
        commands.stop(process, signal.SIGTERM)


def test_a_stop_that_a_destructor_swallows_comes_again(monkeypatch):
    class Unlucky:
        def __del__(self):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)
            except KeyboardInterrupt:
                swallowed.append(True)
                raise

    swallowed, told = [], []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stop_on_signals(own_process=False):
        Unlucky()
        assert swallowed
        time.sleep(3)
        pytest.fail("it did not come again")
    assert signal.getsignal(signal.SIGTERM) is before
    assert told == []


def test_a_signal_is_not_repeated_once_the_command_has_left(monkeypatch):
    """The wait between two of them ends at that moment; the process would end by the second."""
    left, over, came = threading.Event(), threading.Event(), []

    def wait(seconds):
        over.set()
        left.wait(3)
        return False

    monkeypatch.setattr(stopping._ending, "wait", wait)
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(True))
    try:
        with pytest.raises(KeyboardInterrupt), stop_on_signals(own_process=False):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(3)
        assert over.wait(3)
        repeating = [thread for thread in threading.enumerate() if "_repeat" in thread.name]
        left.set()
        for thread in repeating:
            thread.join(3)
        assert repeating
        assert came == []
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_file_that_a_signal_leaves_before_anyone_tidies_it_up_goes_at_the_stop(workspace, monkeypatch):
    """The signal comes when the file is made, and the block that would remove it is not entered."""
    make, made = Path.touch, []

    def touch(path, *arguments, **options):
        make(path, *arguments, **options)
        made.append(path)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(3)

    monkeypatch.setattr(Path, "touch", touch)
    done = CliRunner().invoke(main, RUN)
    assert done.exit_code == STATUS, done.output
    assert STOPPED in done.output
    assert [path.exists() for path in made] == [False]


def test_a_clean_up_is_not_stopped_by_a_second_signal():
    done = []
    with pytest.raises(KeyboardInterrupt), stop_on_signals(own_process=False):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(3)
        finally:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.15)
            done.append(Path.cwd())
    assert done
