"""Machines that share a server and nothing else: runs in PostgreSQL, artifacts through MLflow's server.

Skipped where PostgreSQL or its driver is not installed.
"""

import json
import re
import shutil
import time
from pathlib import Path

import pytest

from benchmarks.at_once import at_once
from benchmarks.tracking_server import missing, mlflow_server, postgresql
from registry.models.versions import Versions
from registry.store.tracking import Tracking

ENTRY = """\
name: pair
hypothesis: A red box does not belong here.
members:
  small: {model: fully_conv_ae, size: 32, output: tanh, batch_size: 4, seeds: [1, 2]}
train: {loss: mse, optimizer: adam, lr: 1.0e-3, epochs: 2, precision: fp32}
streams:
  small: {members: small, error: max, steps: [{normalize: 99}, mean]}
variants:
  plain: {stream: small, steps: [{normalize: 100}]}
  smooth: {stream: small, steps: [{gaussian: 1}, {normalize: 100}]}
"""
MEMBERS = ["small-1", "small-2"]
STATES = ("FINISHED", "FAILED", "KILLED", "RUNNING")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Where the server keeps what runs log."""
    return tmp_path_factory.mktemp("server") / "artifacts"


@pytest.fixture(scope="module")
def server(artifacts):
    """The server."""
    if reason := missing():
        pytest.skip(reason)
    with postgresql() as database, mlflow_server(database, artifacts) as running:
        yield running


@pytest.fixture(scope="module")
def ran(server, tmp_path_factory, tiny_data):
    """Two machines that run the entry at once, one of them for one epoch: folder and output of each."""
    folders = [tmp_path_factory.mktemp("machine") for _ in range(2)]
    for folder in folders:
        shutil.copytree(tiny_data, folder / "data")
        _write_entry(folder)
    commands = [("run", "pair", "--data", "data"), ("run", "pair", "--data", "data", "--set", "train.epochs=1")]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("VAD_HOME", raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", server.address)
        ended = at_once(commands, folders, tmp_path_factory.mktemp("logs"))
    assert [end.status for end in ended] == [0, 0], ended
    return {folder: end.said for folder, end in zip(folders, ended, strict=True)}


@pytest.fixture
def elsewhere(workspace, server, monkeypatch):
    """A third machine, with the frames and the server's address: no experiments, no store."""
    shutil.rmtree("experiments")
    Path("mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    return workspace


def _write_entry(folder):
    (folder / "experiments").mkdir()
    (folder / "experiments" / "pair.yaml").write_text(ENTRY)


def test_two_machines_run_at_once_into_one_store(ran, server, artifacts):
    tracking = Tracking(server.address)
    parents, members = (tracking.find(kind, statuses=STATES) for kind in ("experiment", "member"))
    assert [run.status for run in parents + members] == ["FINISHED"] * 6
    for parent in parents:
        children = [run for run in members if run.tags["mlflow.parentRunId"] == parent.run_id]
        assert sorted(child.name for child in children) == MEMBERS
    assert len({run.experiment_id for run in parents + members}) == 1
    assert {parent.tags.get("vad.set", "") for parent in parents} == {"", "train.epochs=1"}

    versions = Versions(tracking)
    assert {version.run_id for version in versions.all()} == {parent.run_id for parent in parents}
    assert sorted(alias for aliases in versions.aliases().values() for alias in aliases).count("production") == 1

    stored = [path.name for path in artifacts.rglob("*") if path.is_file()]
    assert stored.count("weights.safetensors") == 4 and stored.count("MLmodel") == 2
    for folder, said in ran.items():
        assert {path.name for path in folder.iterdir()} == {".vad", "data", "experiments"}
        assert re.search(
            rf"^run +\w+  {server.address}/#/experiments/\d+/runs/\w+\?workflowType=machine_learning$",
            said,
            re.MULTILINE,
        )
        assert not re.search(r"View run|Downloading|WARNING|INFO|\d%", said), said


def test_another_machine_submits_by_the_registered_model(ran, elsewhere, tmp_path):
    said = elsewhere.done("submit", "--model", "production", "--data", "data", "--out", "x.csv")
    tracking = elsewhere.tracking()
    version = Versions(tracking).resolve("production")
    known = tracking.fetch(version.run_id, f"predictions-{version.tags['vad.variant']}.csv", tmp_path)
    assert Path("x.csv").read_bytes() == known.read_bytes()
    assert len(known.read_text().splitlines()) == 31
    (submission,) = tracking.find("submission")
    assert submission.run_id in said
    assert submission.tags["mlflow.parentRunId"] == version.run_id
    assert tracking.fetch(submission.run_id, "x.csv", tmp_path).read_bytes() == Path("x.csv").read_bytes()

    rows = json.loads(elsewhere.done("leaderboard", "--json"))
    assert {row["profile"] for row in rows} == {"full", "full (train.epochs=1)"}
    assert [row["model"].count("production") for row in rows].count(1) == 1


def test_another_machine_finds_the_run_done(ran, elsewhere):
    _write_entry(elsewhere.folder)
    before = len(elsewhere.tracking().find("member", statuses=STATES))
    result = elsewhere.vad("run", "pair", "--data", "data")
    assert result.exit_code == 0, result.output
    assert "pair is done already: nothing to train, nothing to score" in result.stderr
    assert len(elsewhere.tracking().find("member", statuses=STATES)) == before
    # With another fusion the members come from the server, and only they.
    path = Path("experiments/pair.yaml")
    path.write_text(ENTRY.replace("gaussian: 1", "gaussian: 2"))
    result = elsewhere.vad("run", "pair", "--data", "data")
    assert result.exit_code == 0, result.output
    assert re.findall(r"^  (small-\d) +from run \w+ \(pair, epoch", result.stderr, re.MULTILINE) == MEMBERS
    assert len(elsewhere.tracking().find("member", statuses=STATES)) == before


def test_a_server_that_died_is_named_in_seconds(elsewhere, server):
    """The last of this module: its server is gone afterwards."""
    server.kill()
    started = time.monotonic()
    message = elsewhere.refused("leaderboard")
    assert time.monotonic() - started < 15
    assert len(message.splitlines()) == 1
    assert f"the tracking server {server.address} cannot be reached (" in message
    assert "start it, or unset MLFLOW_TRACKING_URI" in message
