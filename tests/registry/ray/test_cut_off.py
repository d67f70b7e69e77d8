"""Trainings that one engine began and another ends."""

import os
import signal

import pytest

from registry.runs import training
from registry.store.runlog import RunLog

pytestmark = pytest.mark.timeout(900)  # a cluster is many processes


@pytest.mark.parametrize(("first", "then"), [("ray", "local"), ("local", "ray")])
def test_what_one_engine_began_another_ends(on_ray, pair, tmp_path, monkeypatch, same_as_local, first, then):
    original = RunLog.curve

    def stop(log, points):
        original(log, points)
        if points[-1][0] == 3 and not stopped:
            stopped.append(points)
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = []
    monkeypatch.setattr(RunLog, "curve", stop)
    monkeypatch.setattr(training, "_CURVE_EVERY", 0)
    result = on_ray.vad("run", "pair", "--data", "data", "--engine", first)
    assert result.exit_code == 130, result.output
    assert set(on_ray.states().values()) == {"KILLED"}
    assert on_ray.states("experiment") == {"pair": "KILLED"}
    result = on_ray.vad("run", "pair", "--data", "data", "--engine", then)
    assert result.exit_code == 0, result.output
    assert "    resumed after epoch 3, where it was interrupted" in result.stderr
    assert on_ray.states() == {"small-1": "FINISHED", "small-2": "FINISHED"}
    assert same_as_local(on_ray, tmp_path, "pair")


def test_a_stop_after_the_cluster_was_left_is_heard_too(on_ray):
    from registry.engines.ray import RayEngine

    engine = RayEngine(None)
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("stop"))
    try:
        engine.start()
        engine.close()
        os.kill(os.getpid(), signal.SIGTERM)  # unheard, it ends this process
        assert heard == ["stop"]
    finally:
        signal.signal(signal.SIGTERM, before)
