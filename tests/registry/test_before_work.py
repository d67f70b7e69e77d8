"""What is wrong is said before anything is trained, or a run is opened."""

import os
import shutil
from pathlib import Path

import pytest


def _refused_early(workspace, *arguments):
    """The message of a run that is refused before it tracks anything."""
    message = workspace.refused("run", "tiny", *arguments)
    assert not Path("mlflow.db").exists() or workspace.runs("experiment") == []
    return message


def test_a_wrong_policy_of_promotion(workspace):
    Path("promotion.yaml").write_text("same_data: true\nmin_gian: 0.1\nconfidence: 0.8\n")
    assert "promotion.yaml" in _refused_early(workspace, "--data", "data")


def test_a_holdout_that_rounds_to_no_frame(workspace):
    message = _refused_early(workspace, "--data", "data", "--labels", "none", "--set", "holdout=0.01")
    kept = "0.01 of the train videos (20 frames) is 0 frames, but at least 2 are needed; choose a larger one"
    assert f"SET holdout=0.01: holdout: {kept}" in message


def test_one_frame_held_out_is_too_few_to_paint_an_anomaly_into(workspace):
    shutil.rmtree("data/Dataset/training_videos/02")
    message = _refused_early(workspace, "--data", "data", "--labels", "none")
    assert "tiny.yaml, line 2: holdout: 0.1 of the train videos (10 frames) is 1 frame, but at least 2" in message


def test_a_policy_of_promotion_may_end_in_yml_and_two_stop(workspace):
    Path("promotion.yml").write_text("same_data: true\nmin_gain: 010\nconfidence: 0.8\n")
    assert "promotion.yml, line 2" in _refused_early(workspace, "--data", "data")
    Path("promotion.yaml").write_text("same_data: true\nmin_gain: 0.1\nconfidence: 0.8\n")
    assert "promotion.yaml and promotion.yml both exist" in _refused_early(workspace, "--data", "data")


@pytest.mark.parametrize("batch", [19, 1])
def test_a_last_batch_on_which_a_network_cannot_train(workspace, edit, batch):
    edit(
        "large: {model: fully_conv_ae, size: 64, output: tanh, batch_size: 4,",
        f"large: {{model: conv_ae, size: 32, latent: 4, batch_size: {batch},",
    )
    message = _refused_early(workspace, "--data", "data")
    assert (
        f"tiny.yaml, line 7: members.large.batch_size: {batch} leaves one of 20 samples for the last batch" in message
    )


def test_a_share_of_a_gpu_without_ray(workspace):
    message = _refused_early(workspace, "--data", "data", "--gpu-share", "0.5")
    assert "--gpu-share 0.5 is an option of Ray; add --engine ray" in message


@pytest.mark.parametrize("name", ["out/", "promotion.yaml"])
def test_an_out_that_cannot_be_written(trained, name):
    Path("promotion.yaml").write_text("same_data: true\nmin_gain: 0.0\nconfidence: 0.8\n")
    Path("out").mkdir()
    place = "out" if name == "out/" else "promotion.yaml/x.csv"
    trained.refused("submit", "--out", place)
    assert trained.runs("submission") == []


def test_an_out_that_is_a_pipe_or_a_device_stays(trained):
    os.mkfifo("pipe")
    assert "cannot write pipe: it is a pipe or a device, not a file; name a file" in trained.refused(
        "submit", "--out", "pipe"
    )
    assert trained.runs("submission") == [] and Path("pipe").is_fifo()


def test_an_out_that_is_a_link_stays_one(trained):
    Path("out").mkdir()
    Path("p.csv").symlink_to("out/new.csv")
    trained.done("submit", "--out", "p.csv")
    assert Path("p.csv").is_symlink() and Path("out/new.csv").read_text().startswith("Id,Predicted\n")
    assert [path.name for path in Path("out").iterdir()] == ["new.csv"]
