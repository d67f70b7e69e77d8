"""`vad why`: what would be trained or reused, and what changed since last time, down to the key and the file."""

import json
import shutil
from pathlib import Path

import pytest

from registry.runs import identity
from registry.store.tracking import Tracking
from vad.detectors import member
from vad.detectors.member import TRAINING_CODE


@pytest.fixture
def again(finished, tmp_path, monkeypatch):
    """A copy of the finished workspace, to change at will; its store is the finished one."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished.folder / 'mlflow.db'}")
    shutil.copytree(finished.folder / "data", tmp_path / "data")
    shutil.copytree(finished.folder / "experiments", tmp_path / "experiments")
    monkeypatch.chdir(tmp_path)
    return finished


def edit(old, new):
    path = Path("experiments/tiny.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def why(workspace, *arguments):
    return json.loads(workspace.done("why", "tiny", "--data", "data", "--json", *arguments))


def actions(found):
    return {row["member"]: row["action"] for row in found["members"]}


def test_done_already(again):
    found = why(again)
    assert found["done"] == Tracking().find("experiment")[0].run_id
    assert set(actions(found).values()) == {"reused"}
    assert found["entry_changes"] == found["data_changes"] == []
    assert "nothing would be trained or scored" in again.done("why", "tiny", "--data", "data")


def test_a_changed_setting_is_named_and_only_its_members_are_trained(again):
    edit("size: 32, output: tanh", "size: 32, output: sigmoid")
    found = why(again)
    assert actions(found) == {"small-1": "to train", "small-2": "to train", "large-1": "reused"}
    assert found["entry_changes"] == ["members.small.output: tanh -> sigmoid"]
    assert [row["why"] for row in found["members"] if row["action"] == "to train"] == ["output: tanh -> sigmoid"] * 2
    found = why(again, "--set", "train.lr=1e-2", "--set", "members.small.output=tanh")
    assert found["entry_changes"] == ["train.lr: 0.001 -> 0.01"]
    assert set(actions(found).values()) == {"to train"}


def test_a_changed_fusion_trains_nothing(again):
    edit("max: {fuse: {max: [small, large]}", "max: {fuse: {product: [small, large]}")
    found = why(again)
    assert set(actions(found).values()) == {"reused"} and found["done"] is None
    assert found["entry_changes"] == [
        "variants.max.fuse.max: [small, large] -> absent",
        "variants.max.fuse.product: absent -> [small, large]",
    ]
    assert "no member would be trained" in again.done("why", "tiny", "--data", "data")


def test_a_changed_file_is_named(again):
    folder = Path("data/Dataset/training_videos")
    shutil.copy(folder / "01" / "frame_00001.jpg", folder / "01" / "frame_00002.jpg")
    (folder / "02" / "frame_00009.jpg").unlink()
    found = why(again)
    assert found["data_changes"] == ["train frames differ: video 1: frame 2 changed; video 2: frame 9 gone"]
    assert {row["why"] for row in found["members"]} == {"other train frames"}


def test_a_changed_label_and_a_new_test_video_are_named(again):
    labels = Path("data/labels.csv")
    labels.write_text(labels.read_text().replace("1_0,0", "1_0,1"))
    found = why(again)
    assert len(found["data_changes"]) == 1 and found["data_changes"][0].startswith("labels differ: ")
    assert set(actions(found).values()) == {"reused"}
    shutil.copytree("data/Dataset/testing_videos/03", "data/Dataset/testing_videos/07")
    labels.write_text(labels.read_text() + "".join(f"7_{frame},0\n" for frame in range(10)))
    found = why(again)
    assert found["data_changes"][0] == "test frames differ: video 7 is new"
    assert all("its scores of these test frames are new" in row["why"] for row in found["members"])


def test_a_new_version_of_the_code_is_named(again, monkeypatch):
    for module in (identity, member):
        monkeypatch.setattr(module, "TRAINING_CODE", 99)
    found = why(again)
    assert f"version of the training code: {TRAINING_CODE} -> 99" in found["code_changes"]
    assert {row["why"] for row in found["members"]} == {f"training code: {TRAINING_CODE} -> 99"}


def test_a_first_run_has_nothing_to_be_compared_with(again):
    Path("experiments/other.yaml").write_text(
        Path("experiments/tiny.yaml").read_text().replace("name: tiny", "name: other")
    )
    found = json.loads(again.done("why", "other", "--data", "data", "--json"))
    assert found["last"] is None
    assert set(actions(found).values()) == {"reused"}, "the members are those of tiny"
    assert "there is no finished run of this experiment" in again.done("why", "other", "--data", "data")


def test_a_member_is_held_against_the_nearest_on_these_frames_whoever_trained_it(again):
    text = Path("experiments/tiny.yaml").read_text()
    Path("experiments/other.yaml").write_text(text.replace("name: tiny", "name: other"))
    found = json.loads(again.done("why", "other", "--data", "data", "--set", "train.lr=0.002", "--json"))
    told = {row["member"]: row["why"] for row in found["members"]}
    assert told == {name: f"lr: 0.001 -> 0.002 (from {name} of tiny)" for name in ("small-1", "small-2", "large-1")}
    assert "3 of 3 members would be trained" in again.done("why", "other", "--data", "data", "--set", "train.lr=0.002")

    edit("seeds: [1, 2]", "seeds: [1, 3]")
    assert {row["member"]: row["why"] for row in why(again)["members"]}["small-3"] in (
        "seed: 1 -> 3 (from small-1 of tiny)",
        "seed: 2 -> 3 (from small-2 of tiny)",
    )
    frame = Path("data/Dataset/training_videos/01/frame_00001.jpg")
    shutil.copy(frame, frame.with_name("frame_00002.jpg"))
    found = json.loads(again.done("why", "other", "--data", "data", "--json"))
    assert {row["why"] for row in found["members"]} == {"never trained on these frames"}


def test_weights_that_are_gone_are_named(trained):
    shutil.rmtree(next(Path("mlartifacts").glob("*/*/checkpoints/large")))
    member = next(run for run in Tracking().find("member") if run.name == "large-1")
    found = why(trained, "--set", "variants.small_only.steps=[]")
    assert {row["member"]: row["why"] for row in found["members"]}["large-1"] == (
        f"the weights of run {member.run_id[:8]} are gone or were altered"
    )


def test_it_changes_nothing_in_the_store(again):
    before = [(run.run_id, run.metrics, run.tags) for kind in ("experiment", "member") for run in Tracking().find(kind)]
    why(again, "--set", "train.lr=1e-2")
    after = [(run.run_id, run.metrics, run.tags) for kind in ("experiment", "member") for run in Tracking().find(kind)]
    assert after == before
