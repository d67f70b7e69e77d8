"""What `make bench` does in a store of its own, on little: that it goes on working, not how long it takes."""

from benchmarks import registry_parts
from registry.runs.context import Request
from registry.store.tracking import Tracking


def test_a_run_and_the_decision_to_skip_it_are_timed_in_a_new_store(workspace, tmp_path):
    with registry_parts.store(tmp_path):
        found = registry_parts.run_and_skip(Request("tiny", data="data", home=tmp_path / "home"))
    assert 0 < found["tracking_share"] < 1
    assert found["run_seconds"] > found["skip_seconds"] > 0
    assert (tmp_path / "mlflow.db").exists()


def test_the_leaderboard_is_timed_over_runs_that_were_made_for_it(tmp_path):
    with registry_parts.store(tmp_path):
        assert registry_parts.leaderboard_seconds(3) > 0
        assert len(Tracking().find("experiment")) == 3


def test_the_post_processing_of_phase_4_is_timed(monkeypatch):
    monkeypatch.setattr(registry_parts, "VIDEOS", registry_parts.VIDEOS[7:8] * 21)
    assert registry_parts.post_processing() > 0
