"""A server that dies, a database that is locked or gone, a full disk, a read-only folder: in the middle of a real run."""

import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
import requests

from benchmarks.at_once import at_once
from benchmarks.tracking_server import forked_server, free_port
from registry.store import retries
from registry.store.retries import Retries, RetryingClient
from tests.registry.conftest import Workspace, copy_workspace, mounted
from vad.system.threads import using

ENTRY = """\
name: one
hypothesis: A red box does not belong here.
members:
  small: {model: fully_conv_ae, size: 32, output: tanh, batch_size: 4, seeds: [1]}
train: {loss: mse, optimizer: adam, lr: 1.0e-3, epochs: 6, precision: fp32}
streams: {small: {members: small, error: max, steps: [{normalize: 99}, mean]}}
variants: {plain: {stream: small, steps: [{normalize: 100}]}}
"""
RUN = ("run", "one", "--data", "data")
STATES = ("FINISHED", "FAILED", "KILLED", "RUNNING")


@pytest.fixture
def work(workspace):
    """A workspace with the entry `one`."""
    Path("experiments/one.yaml").write_text(ENTRY)
    return workspace


@dataclass(frozen=True)
class Undisturbed:
    """A workspace in which `one` ran in peace, and its scores."""

    folder: Path
    scores: bytes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, empty_store, tiny_data):
    folder = tmp_path_factory.mktemp("peace") / "work"
    (folder / "experiments").mkdir(parents=True)
    (folder / "experiments" / "one.yaml").write_text(ENTRY)
    shutil.copytree(tiny_data, folder / "data")
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch, using(1):
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("VAD_HOME", raising=False)
        Workspace(folder).done(*RUN)
    return Undisturbed(folder, next(folder.rglob("scores.csv")).read_bytes())


def _scores(workspace, folder):
    """The scores of the one run of the store, which is finished as its one member is."""
    tracking = workspace.tracking()
    (parent,), (member,) = (tracking.find(kind, statuses=STATES) for kind in ("experiment", "member"))
    assert (parent.status, member.status) == ("FINISHED", "FINISHED")
    epochs = tracking.reopen(member.run_id).steps("loss")
    assert epochs == set(range(1, 7))
    return tracking.fetch(parent.run_id, "scores.csv", folder).read_bytes()


def _end_process(workspace):
    """Let the runs whose status could not be written be those of a process that is gone, as they are for the next command."""
    tracking = workspace.tracking()
    for kind in ("experiment", "member"):
        for run in tracking.find(kind, statuses=("RUNNING",)):
            tracking.reopen(run.run_id).tags({"vad.pid": 0})


@contextmanager
def once_it_trains(do):
    """Do something, in a thread, as soon as an epoch of the run in the block is done."""

    def wait():
        end = time.monotonic() + 60
        while time.monotonic() < end and not list(Path(".vad/resume").glob("*.safetensors")):
            time.sleep(0.01)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


@pytest.fixture
def database(empty_store, tmp_path):
    """The database of a server."""
    return f"sqlite:///{shutil.copy(empty_store, tmp_path / 'server.db')}"


def test_a_server_that_dies_in_the_middle_of_a_run_and_comes_back(work, undisturbed, database, tmp_path, monkeypatch):
    artifacts, port = tmp_path / "artifacts", free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with ExitStack() as servers:
        server = servers.enter_context(forked_server(database, artifacts, port))

        def outage():
            server.kill()
            time.sleep(3)
            servers.enter_context(forked_server(database, artifacts, port))

        with once_it_trains(outage):
            result = work.vad(*RUN)
        assert result.exit_code == 0, result.output
        assert _scores(work, tmp_path) == undisturbed.scores
        assert list(Path(".vad/resume").iterdir()) == []
        who = f"the tracking server http://127.0.0.1:{port}"
        assert result.stderr.count(f"{who} does not answer (Connection refused); waiting up to 10 min") == 1
        assert result.stderr.count(f"{who} answers again, after ") == 1


def test_a_server_that_hangs_and_wakes_up(work, undisturbed, database, tmp_path, monkeypatch):
    """What it was asked meanwhile it may do all the same, when it wakes up."""
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with forked_server(database, tmp_path / "artifacts", port) as server:
        with once_it_trains(lambda: server.hang(5)):
            result = work.vad(*RUN)
        assert result.exit_code == 0, result.output
        assert _scores(work, tmp_path) == undisturbed.scores
        assert result.stderr.count("does not answer (timed out); waiting up to 10 min") == 1
        assert result.stderr.count("answers again, after ") == 1


def test_where_retries_end_the_same_command_sends_what_was_trained(work, undisturbed, database, tmp_path, monkeypatch):
    artifacts, port = tmp_path / "artifacts", free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("VAD_RETRY_SECONDS", "1")
    with forked_server(database, artifacts, port) as server, once_it_trains(server.kill):
        message = work.refused(*RUN)
    assert f"the tracking server http://127.0.0.1:{port} does not answer (Connection refused), and has for" in message
    assert "run the same command again to resume" in message.splitlines()[-1]
    assert len(list(Path(".vad/resume").iterdir())) == 1
    with forked_server(database, artifacts, port):
        _end_process(work)
        result = work.vad(*RUN)
        assert result.exit_code == 0, result.output
        assert "on these frames; resumes where it was interrupted" in result.stderr
        assert "resumed after epoch 6, where it was interrupted" in result.stderr
        assert _scores(work, tmp_path) == undisturbed.scores


def test_a_database_that_is_locked_is_waited_for(workspace, connected_as_users_are):
    holder = sqlite3.connect("mlflow.db", check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    threading.Timer(8, holder.rollback).start()  # longer than SQLite waits by itself
    result = workspace.vad("-v", "leaderboard")
    assert result.exit_code == 0, result.output
    assert "mlflow.db is locked by another program: attempt 1 failed after " in result.stderr
    assert "mlflow.db is locked by another program; waiting up to 10 min" in result.stderr
    assert "answers again, after " in result.stderr


@pytest.mark.parametrize("asked", ["soon", "-1", "nan", "inf", "1_0"])
def test_a_time_for_retries_that_is_no_time(workspace, monkeypatch, asked):
    monkeypatch.setenv("VAD_RETRY_SECONDS", asked)
    assert f"VAD_RETRY_SECONDS={asked}: give a number of seconds" in workspace.refused("leaderboard")


def test_what_a_lost_answer_left_is_taken_up_and_not_made_twice(workspace, monkeypatch):
    """The first answer to each call that makes something is lost on the way."""
    workspace.tracking()
    lost = []

    def losing(name):
        original = getattr(mlflow.MlflowClient, name)

        def call(*given, **named):
            answer = original(*given, **named)
            if name not in lost:
                lost.append(name)
                raise requests.ConnectionError("Connection reset by peer")
            return answer

        monkeypatch.setattr(mlflow.MlflowClient, name, call)

    for name in ("create_run", "create_logged_model", "create_model_version", "log_outputs"):
        losing(name)
    Path("experiments/one.yaml").write_text(ENTRY.replace("epochs: 6", "epochs: 1"))
    result = workspace.vad(*RUN)
    assert result.exit_code == 0, result.output
    assert sorted(lost) == ["create_logged_model", "create_model_version", "create_run", "log_outputs"]
    tracking = workspace.tracking()
    runs = [run for kind in ("experiment", "member", "decision") for run in tracking.find(kind, statuses=STATES)]
    assert [run.status for run in runs] == ["FINISHED"] * 3
    experiments = [found.experiment_id for found in tracking.client.search_experiments()]
    models = tracking.client.search_logged_models(experiments)
    assert sorted(model.name for model in models) == ["ensemble", "small-1"]
    assert len(tracking.client.search_model_versions("name = 'vad-ensemble'")) == 1
    assert len(tracking.client.get_run(runs[0].run_id).outputs.model_outputs) == 1


def test_what_is_wrong_for_good_is_not_repeated(workspace):
    workspace.tracking()
    client = RetryingClient(Retries("sqlite:///mlflow.db"))
    started = time.monotonic()
    with pytest.raises(mlflow.MlflowException, match="not found"):
        client.get_run("0" * 32)
    assert time.monotonic() - started < retries._SILENT_SECONDS


@pytest.mark.parametrize("place", ["home", "store"])
def test_a_full_disk_is_named_and_with_room_the_same_command_goes_on(work, undisturbed, tmp_path, monkeypatch, place):
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted(disk, "-t", "tmpfs", "-o", "size=200m", "none"):
        if place == "home":
            monkeypatch.setenv("VAD_HOME", str(disk))
        else:
            shutil.copy("mlflow.db", disk)
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk}/mlflow.db")
        free = 1_000_000  # room for frames and tables, not for weights
        with (disk / "filler").open("wb") as filler:
            filler.write(bytes(shutil.disk_usage(disk).free - free))
        message = work.refused(*RUN)
        assert len(message.strip().splitlines()[-1:]) == 1
        assert "the disk is full" in message and str(disk) in message.splitlines()[-1]
        (disk / "filler").unlink()
        _end_process(work)
        result = work.vad(*RUN)
        assert result.exit_code == 0, result.output
        assert _scores(work, tmp_path) == undisturbed.scores


def test_a_read_only_folder_is_refused_before_any_training(work, tmp_path):
    with mounted(work.folder, "--bind", str(work.folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(work.folder)], check=True)
        (ended,) = at_once([RUN], work.folder, tmp_path)
        assert ended.status == 2, ended.said
        assert "Traceback" not in ended.said and "train small-1" not in ended.said
        assert "Read-only file system" in ended.said.splitlines()[-1]


def test_read_only_artifacts_are_refused_before_any_training(work):
    artifacts = work.folder / "mlartifacts"
    artifacts.mkdir()
    with mounted(artifacts, "-t", "tmpfs", "-o", "ro", "none"):
        message = work.refused(*RUN)
        assert f"cannot write {artifacts}" in message and "Read-only file system" in message
        assert "train small-1" not in message


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_database_that_is_gone_in_the_middle_leaves_what_was_finished(undisturbed, tmp_path, monkeypatch, how):
    folder = copy_workspace(undisturbed.folder, tmp_path / "work")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    finished = {path for path in Path("mlartifacts").rglob("*") if path.is_file()}
    assert len(finished) > 10

    def harm():
        Path("mlflow.db").unlink()
        if how == "replaced":
            Path("mlflow.db").write_bytes(b"garbage " * 9000)

    with once_it_trains(harm):
        message = Workspace(folder).refused(*RUN, "--set", "train.epochs=7")
    assert f"the database {folder}/mlflow.db " in message.splitlines()[-1]
    assert "What was finished is still in" in message
    assert finished <= {path for path in Path("mlartifacts").rglob("*") if path.is_file()}
    assert len(list(Path(".vad/resume").iterdir())) == 1
    if how == "replaced":
        (ended,) = at_once([RUN], folder)
        assert "cannot be used as MLflow's database: " in ended.said
