"""Commands that begin at the same moment in one folder: what they share is done once, and none gets in another's way."""

from pathlib import Path

from benchmarks.at_once import at_once, write_entry
from registry.models.versions import PRODUCTION, Versions

STATES = ("FINISHED", "FAILED", "KILLED", "RUNNING")


def _pair(workspace):
    """Two entries that share a member, `small-2`."""
    write_entry(workspace.folder, "pair", [1, 2])
    write_entry(workspace.folder, "other", [2, 3])


def _scores(workspace, folder):
    tracking = workspace.tracking()
    runs = tracking.find("experiment")
    return {run.name: tracking.fetch(run.run_id, "scores.csv", folder).read_bytes() for run in runs}


def test_entries_that_share_a_member_and_make_the_database(workspace, tmp_path):
    _pair(workspace)
    Path("mlflow.db").unlink()
    ended = at_once([("run", name, "--data", "data") for name in ("pair", "other")], workspace.folder)
    assert [end.status for end in ended] == [0, 0], ended
    tracking = workspace.tracking()
    runs, members = (tracking.find(kind, statuses=STATES) for kind in ("experiment", "member"))
    assert [run.status for run in runs + members] == ["FINISHED"] * 5
    assert sorted(run.name for run in members) == ["small-1", "small-2", "small-3"]
    versions = Versions(tracking)
    assert len(versions.all()) == 2
    assert [PRODUCTION in names for names in versions.aliases().values()].count(True) == 1
    together = _scores(workspace, tmp_path)
    result = workspace.vad("run", "pair", "other", "--data", "data", "--force")
    assert result.exit_code == 0, result.output
    assert _scores(workspace, tmp_path) == together
