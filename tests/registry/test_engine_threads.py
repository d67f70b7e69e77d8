"""Several members at once in one process, as on a GPU, tried on a processor: nothing but the order of events may change."""

import os
import signal

import pytest

from registry.engines import local
from registry.runs import training
from registry.store.runlog import RunLog


@pytest.fixture
def at_once(monkeypatch):
    """Two workers, whatever the device."""
    original = local.LocalEngine.__init__
    monkeypatch.setattr(local.LocalEngine, "__init__", lambda engine, device: original(engine, device, 2))


def _scores(workspace, folder):
    folder.mkdir()
    tracking = workspace.tracking()
    return tracking.fetch(tracking.find("experiment")[0].run_id, "scores.csv", folder).read_bytes()


def _members(workspace):
    return {
        run.name: run.status for run in workspace.tracking().find("member", statuses=("FINISHED", "FAILED", "KILLED"))
    }


def test_scores_and_curves_are_those_of_one_after_the_other(trained, tmp_path, monkeypatch):
    alone = _scores(trained, tmp_path / "alone")
    original = local.LocalEngine.__init__
    monkeypatch.setattr(local.LocalEngine, "__init__", lambda engine, device: original(engine, device, 2))
    trained.done("run", "tiny", "--data", "data", "--force")
    assert _scores(trained, tmp_path / "together") == alone
    tracking = trained.tracking()
    curves: dict[str, list[list[float]]] = {}
    for run in tracking.find("member"):
        points = tracking.client.get_metric_history(run.run_id, "loss")
        curves.setdefault(run.name, []).append([point.value for point in points])
    assert len(curves) == 3
    assert all(len(both) == 2 and both[0] == both[1] for both in curves.values())


def test_one_that_diverges_leaves_the_others_alone(workspace, edit, at_once):
    edit("batch_size: 4, seeds: [1]}", "batch_size: 4, seeds: [1], train: {lr: 1.0e+30}}")
    result = workspace.vad("run", "tiny", "--data", "data")
    assert result.exit_code == 1
    assert "1 of 3 members failed: large-1 (the loss became NaN or infinite in epoch" in result.output
    assert "Traceback" not in result.output
    assert _members(workspace) == {"small-1": "FINISHED", "small-2": "FINISHED", "large-1": "FAILED"}


def test_a_stop_ends_all_and_the_next_run_goes_on(workspace, at_once, monkeypatch, tmp_path, ran):
    original, stopped = RunLog.curve, []

    def stop(log, points):
        original(log, points)
        if points[-1][0] == 1 and not stopped:
            stopped.append(points)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunLog, "curve", stop)
    monkeypatch.setattr(training, "_CURVE_EVERY", 0)
    assert workspace.vad("run", "tiny", "--data", "data").exit_code == 130
    assert set(_members(workspace).values()) <= {"KILLED", "FINISHED"}
    assert "KILLED" in _members(workspace).values()
    workspace.done("run", "tiny", "--data", "data")
    (whole,) = (ran / "mlartifacts").rglob("scores.csv")
    assert _scores(workspace, tmp_path / "found") == whole.read_bytes(), "as those of a run that nobody stopped"
