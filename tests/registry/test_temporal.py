"""Entries that look at more than one frame: clips, sequences, differences and flow, from run to predictions file."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vad.data.tables import read_scores

ENTRY = """\
# make run EXP=temporal
name: temporal
hypothesis: A red box does not belong here.
members:
  clips:  {{model: conv3d_ae, latent: 4, init: {{kaiming_normal: {{linear: xavier}}}}, input: {{clip: {{frames: 8, stride: 2}}}}, size: 16, batch_size: 2, seeds: [1]}}
  past:   {{model: convlstm, hidden: 4, input: {{sequence: 3}}, size: 16, batch_size: 4, seeds: [1]}}
  change: {{model: fully_conv_ae, input: frame_difference, size: 16, batch_size: 4, seeds: [1]}}
  flow:   {{model: conv_ae, latent: 4, input: optical_flow, size: 32, batch_size: 4, seeds: [1, 2]}}
  still:  {{model: fully_conv_ae, init: kaiming_normal, size: 32, batch_size: 4, seeds: [1]}}
train:
  loss: {{mse: 1, ssim: 0.5, gradient: 0.2}}
  optimizer: adamw
  schedule: {{plateau: {{patience: 1}}}}
  grad_clip: 1
  lr: 1.0e-3
  epochs: 2
  precision: fp32
streams:
  clips:  {{members: clips, error: max, steps: [{{normalize: 99}}]}}
  past:   {{members: past, error: ssim, steps: [{past}{{normalize: 99}}]}}
  change: {{members: change, error: {{patch: 4}}, steps: [{{fill: 0}}, rank]}}
  flow:   {{members: flow, error: gradient, steps: [mean, {{gaussian_residual: 3}}, {{normalize: 99}}]}}
  still:  {{members: [still-1], error: mean, steps: [{{local_zscore: 5}}, {{normalize: 99}}]}}
variants:
  all: {{fuse: {{weights: {{clips: 1, past: 1, change: 1, flow: 1, still: 1}}}}, steps: [{{normalize: 100}}]}}
"""


@pytest.fixture
def temporal(workspace):
    def write(past="{fill: nearest}, "):
        (workspace.folder / "experiments" / "temporal.yaml").write_text(ENTRY.format(past=past))
        return workspace

    return write


def test_from_run_to_predictions_and_what_is_kept_for_the_next(temporal, tmp_path, pictures):
    workspace = temporal()
    result = workspace.vad("run", "temporal", "--data", "data")
    assert result.exit_code == 0, result.output
    tracking = workspace.tracking()
    (parent,) = tracking.find("experiment")
    assert tracking.fetch(parent.run_id, "pictures/worst_frames.png", tmp_path) is not None
    _, expected = read_scores(tracking.fetch(parent.run_id, "predictions-all.csv", tmp_path))
    workspace.done("submit", "--data", "data", "--out", "found.csv")
    _, found = read_scores(Path("found.csv"))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(set(found)) > 10

    assert result.stderr.count("  optical_flow ") == 2, "once for train frames, once for test frames, not once a member"
    kept = sorted(path.name for path in Path(".vad/frames").glob("*flow*"))
    assert len(kept) == 2
    result = workspace.vad("run", "temporal", "--data", "data", "--set", "members.flow.seeds=[3]")
    assert result.exit_code == 0, result.output
    assert "  optical_flow " not in result.stderr

    # The weights of another network under the right name and digest: a store that someone meddled with.
    runs = {run.name: run for run in workspace.tracking().find("member")}
    files = {
        n: next(Path("mlartifacts").rglob(f"{runs[n].run_id}/**/weights.safetensors")) for n in ("flow-1", "still-1")
    }
    shutil.copy(files["still-1"], files["flow-1"])
    known = json.loads(runs["flow-1"].tags["vad.files"])
    known["checkpoints/flow/seed-1/weights.safetensors"] = runs["still-1"].tags["vad.weights_sha256"]
    workspace.tracking().client.set_tag(runs["flow-1"].run_id, "mlflow.vad.files", json.dumps(known))
    shutil.rmtree(next(Path("mlartifacts").rglob(f"{runs['flow-1'].run_id}/**/scores")))
    message = workspace.refused("run", "temporal", "--data", "data", "--set", "members.flow.seeds=[1]")
    assert "weights do not fit the network" in message


def test_frames_that_nothing_scores_must_be_filled(temporal):
    message = temporal(past="").refused("run", "temporal", "--data", "data")
    assert 'temporal.yaml, line 20: stream "past": frame 1_0 and 8 more have no score' in message
    assert "begin the steps with {fill: nearest} or {fill: 0}" in message
    assert temporal(past="").refused("check", "temporal").count("have no score") == 1


def test_a_test_video_shorter_than_a_window_is_named_before_anything_is_trained(temporal):
    workspace = temporal()
    for frame in range(5, 10):
        (Path("data/Dataset/testing_videos/02") / f"frame_{frame:05d}.jpg").unlink()
    labels = Path("data/labels.csv").read_text().splitlines()
    Path("data/labels.csv").write_text(
        "\n".join(r for r in labels if not r.startswith(tuple(f"2_{n}," for n in range(5, 10))))
    )
    message = workspace.refused("run", "temporal", "--data", "data")
    assert 'stream "clips": video 2 has 5 frames, too few for what its members look at at once' in message
    assert workspace.tracking().find("member") == []
    path = workspace.folder / "experiments" / "temporal.yaml"
    path.write_text(path.read_text().replace("error: max, steps: [", "error: max, steps: [{fill: 0}, "))
    assert "6 of 6 members would be trained" in workspace.done("why", "temporal", "--data", "data")


def test_train_videos_shorter_than_a_window_are_named(temporal):
    workspace = temporal()
    for frame in range(5, 10):
        for video in ("01", "02"):
            (Path("data/Dataset/training_videos") / video / f"frame_{frame:05d}.jpg").unlink()
    message = workspace.refused("run", "temporal", "--data", "data")
    assert "members.clips: input clip finds no sample in the train videos, whose longest has 5 frames" in message
    assert "an input that looks at fewer" in message


def test_a_video_of_one_frame_has_zero_flow_and_a_score(temporal):
    workspace = temporal()
    folder = Path("data/Dataset/testing_videos")
    (folder / "04").mkdir()
    shutil.copy(folder / "01" / "frame_00000.jpg", folder / "04" / "frame_00000.jpg")
    with Path("data/labels.csv").open("a") as file:
        file.write("4_0,0\n")
    path = workspace.folder / "experiments" / "temporal.yaml"
    text = path.read_text()
    path.write_text(text[: text.index("variants:")] + "variants:\n  flow: {stream: flow}\n")
    assert "video 4 has 1 frame, too few" in workspace.refused("run", "temporal", "--data", "data")
    text = text.replace("{fill: nearest}", "{fill: 0}").replace("max, steps: [", "max, steps: [{fill: 0}, ")
    path.write_text(text)
    workspace.done("run", "temporal", "--data", "data")
    (parent,) = workspace.tracking().find("experiment")
    _, scores = read_scores(workspace.tracking().fetch(parent.run_id, "predictions-all.csv", Path("fetched")))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("members.clips.input=rgb", 'members.clips: model "conv3d_ae" takes clips, but the input makes frames'),
        ("members.past.model=conv3d_ae", "unknown key"),
        ("members.change.input={clip: 8}", 'model "fully_conv_ae" takes frames, but the input makes clips'),
        ("members.clips.input.clip.frames=9", 'model "conv3d_ae" needs clips of 8, 16, 24, ... frames, not 9'),
        ("members.clips.input.clip.stride=0", 'input "clip": stride must be at least 1, not 0'),
        ("members.clips.input={clipp: 8}", 'unknown input "clipp"; did you mean "clip"?'),
        ("members.still.init=kaimin_normal", 'unknown init "kaimin_normal"; did you mean "kaiming_normal"?'),
        ("train.loss={mse: 1, sim: 1}", 'train.loss: unknown loss "sim"; did you mean "ssim"?'),
        ("train.loss={}", "must name at least one loss"),
        ("train.loss={mse: -1}", "input should be greater than 0, not -1"),
        ("train.grad_clip=0", "train.grad_clip: input should be greater than 0, not 0"),
        ("train.schedule=step", 'schedule "step" needs the option "step_size"'),
        ("streams.change.error={patch: 0}", 'error "patch": size must be at least 1, not 0'),
        ("streams.flow.members=[flow-1, flow]", 'flow-1 is a member of "flow", which is there already'),
        ("streams.flow.members=[flow-9]", 'unknown member group "flow-9"'),
        ("streams.flow.members=[flow, flow]", "names flow twice"),
        ("streams.change.steps=[{fill: far}]", "step \"fill\": value must be a number or must be one of nearest, not 'far'"),
        ("variants.all.fuse={max: [clips, speed]}", 'unknown stream "speed"'),
    ],
)  # fmt: skip
def test_a_fault_is_named(temporal, override, message):
    assert message in temporal().refused("check", "temporal", "--set", override)
