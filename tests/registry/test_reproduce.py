"""`vad reproduce`: a recorded run once more, from its artifacts alone."""

import json
from pathlib import Path

import pytest

from registry.analysis import reproduce as repeating
from registry.store.address import sqlite_uri
from registry.store.tracking import Tracking
from vad.system.threads import using


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """Other numbers of threads than those of the run."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")


def test_a_run_comes_out_the_same_bit_for_bit(trained):
    Path("data").rename("elsewhere")
    assert "is not here; give --data FOLDER" in trained.refused("reproduce", "production")
    before = trained.files()
    result = trained.vad("reproduce", "production", "--data", "elsewhere")
    assert result.exit_code == 0, result.output
    run = Tracking().find("experiment")[0].run_id
    assert f"run {run}: reproduced: bit for bit the same" in result.stdout
    assert result.stdout.count("the same") == 4 and result.stdout.count("  none") == 2, result.stdout
    left = {path for path in trained.files() - before if not path.startswith((".vad/index", ".vad/fetched"))}
    assert left == set()
    assert len(Tracking().find("experiment")) == 1


def test_what_differs_is_told(trained, monkeypatch):
    """Here, because the second run is told to train for longer and on more threads."""

    def run_otherwise(command, folder, *_):
        with monkeypatch.context() as patch, using(2):
            patch.chdir(folder)
            patch.setenv("MLFLOW_TRACKING_URI", sqlite_uri(folder / "mlflow.db"))
            trained.done(*command[3:], "--set", "train.epochs=3")

    monkeypatch.setattr(repeating, "_run", run_otherwise)
    result = trained.vad("reproduce", "tiny", "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert not any(found["members"].values()) and not found["predictions"]
    assert any("epochs" in note for note in found["notes"])
    assert (
        "small-1 was trained in fp32 on 1 thread and this time in fp32 on 2 threads; that alone changes its last digits"
    ) in found["notes"]
    assert max(found["variants"].values()) > 0


def test_other_data_are_refused_with_the_frame(trained):
    frame, other = sorted(Path("data").rglob("testing_videos/*/*.jpg"))[:2]
    frame.write_bytes(other.read_bytes())
    message = trained.refused("reproduce", "production")
    assert "test frames differ: video 1: frame 0 changed" in message


@pytest.mark.parametrize("name", ["entry.yaml", "weights.safetensors"])
def test_an_altered_record_is_refused_before_anything_is_trained(trained, name):
    path = next(path for path in Path("mlartifacts").rglob(f"artifacts/**/{name}") if "m-" not in str(path))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    message = trained.refused("reproduce", "production")
    assert f"{name} of run" in message and "was altered" in message and "once more" not in message


def test_changes_that_are_not_committed_do_not_count(monkeypatch, tmp_path):
    here = repeating.checkout()
    if not here["commit"]:
        pytest.skip("this project lies in no git repository")
    monkeypatch.setattr(repeating, "checkout", lambda: {**here, "dirty": "yes"})
    for dirty, own in (("no", False), ("yes", True)):
        notes = []
        folder = repeating._code({"code": {"commit": here["commit"], "dirty": dirty}}, notes, tmp_path / "code")
        assert any("files were not committed when it was run" in note for note in notes) == own
        assert (folder == repeating._PROJECT) == own
        assert (folder / "registry" / "cli" / "__init__.py").is_file()
