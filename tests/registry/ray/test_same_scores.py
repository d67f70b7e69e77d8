"""The Ray engine beside the local one: the same scores, the same runs, the same refusals."""

import re
import sys
from pathlib import Path

import pytest

from tests.registry.apart import apart
from tests.registry.test_own_blocks import NET

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(900)  # a cluster is many processes

ENTRY = """\
name: mixed
hypothesis: A red box does not belong here.
members:
  small:  {model: conv_ae, size: 32, latent: 4, batch_size: 4, seeds: [1, 2]}
  change: {model: fully_conv_ae, input: frame_difference, size: 32, batch_size: 4, seeds: [1]}
  flow:   {model: conv_ae, latent: 4, input: optical_flow, size: 32, batch_size: 4, seeds: [1]}
  clips:  {model: conv3d_ae, latent: 4, input: {clip: {frames: 8, stride: 2}}, size: 16, batch_size: 2, seeds: [1]}
train: {loss: mse, optimizer: adamw, schedule: cosine, lr: 1.0e-3, epochs: 3, precision: fp32}
streams:
  small:  {members: small, error: max, steps: [mean, {normalize: 99}]}
  change: {members: change, error: mean, steps: [{fill: 0}, {normalize: 99}]}
  flow:   {members: flow, error: mean, steps: [{normalize: 99}]}
  clips:  {members: clips, error: mean, steps: [{normalize: 99}]}
variants:
  all: {fuse: {weights: {small: 1, change: 1, flow: 1, clips: 1}}}
  small_only: {stream: small}
"""


def test_without_ray_one_error_says_what_to_do(workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "registry.engines.ray", raising=False)
    message = workspace.refused("run", "tiny", "--data", "data", "--engine", "ray")
    assert (
        "Ray is not installed; `make run ENGINE=ray ...` installs it, and so does `pip install -e '.[ray]'`" in message
    )
    assert "is not installed" in workspace.refused("run", "all", "--data", "data", "--engine", "ray")
    assert workspace.runs("experiment") == []


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_a_cluster_that_cannot_be_used(workspace, monkeypatch, address):
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("RAY_ADDRESS", address)
    message = workspace.refused("run", "tiny", "--data", "data", "--engine", "ray")
    assert f"RAY_ADDRESS={address}: " in message
    assert workspace.runs("experiment") == []


def test_the_scores_are_those_of_the_local_engine_and_frames_travel_once(on_ray, tmp_path, monkeypatch, same_as_local):
    import ray

    Path("experiments/mixed.yaml").write_text(ENTRY)
    put = []
    original = ray.put
    monkeypatch.setattr(ray, "put", lambda value: put.append(value.shape) or original(value))
    result = on_ray.vad("run", "mixed", "--data", "data", "--engine", "ray")
    assert result.exit_code == 0, result.output
    assert sorted(put) == [(20, 16, 16, 3), (20, 32, 32, 2), (20, 32, 32, 3)]
    assert re.search(r"^  Ray cluster: nodes 1, CPUs 1, GPUs 0$", result.stderr, re.MULTILINE)
    assert len(re.findall(r"^  train \S+ +\d+ \w+ in .* loss \d", result.stderr, re.MULTILINE)) == 5
    members = on_ray.runs("member")
    assert on_ray.states() == dict.fromkeys(("small-1", "small-2", "change-1", "flow-1", "clips-1"), "FINISHED")
    (parent,) = on_ray.runs("experiment")
    assert {member.tags["mlflow.parentRunId"] for member in members} == {parent.run_id}
    for member in members:
        history = on_ray.tracking().client.get_metric_history(member.run_id, "loss")
        assert [point.step for point in history] == [1, 2, 3]
    assert not ray.is_initialized()
    assert list(Path(".vad/resume").iterdir()) == []
    assert same_as_local(on_ray, tmp_path, "mixed")


def test_blocks_of_ones_own_travel_though_a_checkouts_vad_lies_in_the_working_folder(workspace, edit):
    pytest.importorskip("ray", reason="Ray is not installed")
    (workspace.folder / "vad").symlink_to(ROOT / "vad")
    (workspace.folder / "blocks").mkdir()
    (workspace.folder / "blocks" / "my_net.py").write_text(NET)
    edit("small: {model: fully_conv_ae, size: 32, output: tanh,", "small: {model: my_net, width: 4, size: 32,")
    ran = apart(workspace.folder, "run", "tiny", "--data", "data", "--engine", "ray")
    assert ran.returncode == 0, ran.stderr
    assert "registered as models:/" in ran.stdout


def test_a_queue_trains_what_all_its_experiments_miss_at_once(on_ray, pair):
    text = Path("experiments/pair.yaml").read_text().replace("epochs: 6", "epochs: 1")
    Path("experiments/pair.yaml").write_text(text)
    Path("experiments/other.yaml").write_text(text.replace("pair", "other").replace("[1, 2]", "[2, 3]"))
    result = on_ray.vad("run", "other", "pair", "--data", "data", "--engine", "ray")
    assert result.exit_code == 0, result.output
    trained = re.findall(r"^  train (\S+) .*loss", result.stderr, re.MULTILINE)
    assert sorted(trained) == ["small-1", "small-2", "small-3"]
    assert result.stderr.index("members of all experiments at once") < result.stderr.index("  train ")
    assert result.stderr.rindex("  train ") < result.stderr.index("[1/2] other")
    experiments = {run.name: run for run in on_ray.runs("experiment")}
    assert {name: run.status for name, run in experiments.items()} == {"other": "FINISHED", "pair": "FINISHED"}
    parents = {member.name: member.tags["mlflow.parentRunId"] for member in on_ray.runs("member")}
    assert parents == {
        "small-2": experiments["other"].run_id,
        "small-3": experiments["other"].run_id,
        "small-1": experiments["pair"].run_id,
    }
