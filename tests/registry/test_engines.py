"""The Ray engine beside the local one: the same scores, whatever is lost on the way.

A cluster of this machine, on loopback alone. Skipped where Ray is not installed.
"""

import os
import re
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from registry.runs import members
from registry.store.runlog import RunLog

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # loopback; Ray reads it when it is imported

pytestmark = pytest.mark.timeout(900)  # a cluster is many processes
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")

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


# Two members with epochs enough to be stopped in, and little to carry after each.
PAIR = """\
name: pair
hypothesis: A red box does not belong here.
members:
  small: {model: fully_conv_ae, size: 96, batch_size: 2, seeds: [1, 2]}
train: {loss: mse, optimizer: adam, lr: 1.0e-3, epochs: 6, precision: fp32}
streams:
  small: {members: small, error: max, steps: [mean, {normalize: 99}]}
variants:
  small: {stream: small}
"""


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of one node with one processor; tests may add nodes to it."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    made.add_node(num_cpus=1, include_dashboard=False, object_store_memory=10**9)
    yield made
    made.shutdown()


@pytest.fixture
def on_ray(workspace, cluster, monkeypatch):
    """The workspace, its commands with `--engine ray` on that cluster."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    return workspace


@pytest.fixture
def pair(workspace):
    """The entry `pair`."""
    (workspace.folder / "experiments" / "pair.yaml").write_text(PAIR)


@pytest.fixture
def heard(monkeypatch):
    """Call a function with member and epoch before the driver takes in what a worker told of that epoch."""

    def use(listener):
        from registry.engines.ray import _Task

        original = _Task.hear

        def hear(task, told):
            if told.epoch is not None:
                listener(task.job.member.name, told.epoch.number)
            original(task, told)

        monkeypatch.setattr(_Task, "hear", hear)

    return use


def _runs(workspace, kind):
    return workspace.tracking().find(kind, statuses=("FINISHED", "FAILED", "KILLED", "RUNNING"))


def _states(workspace, kind="member"):
    return {run.name: run.status for run in _runs(workspace, kind)}


def _scores(workspace, tmp_path):
    """The scores of the newest finished run, as they are written."""
    tracking = workspace.tracking()
    newest = tracking.find("experiment")[0]
    return tracking.fetch(newest.run_id, "scores.csv", tmp_path).read_bytes()


@pytest.fixture(scope="module")
def same_as_local():
    """Are the newest scores, bit for bit, those of an undisturbed run in this process? It is made once for each entry."""
    undisturbed = {}

    def same(workspace, tmp_path, entry):
        found = _scores(workspace, tmp_path)
        if entry not in undisturbed:
            workspace.done("run", entry, "--data", "data", "--force")
            undisturbed[entry] = _scores(workspace, tmp_path)
        return found == undisturbed[entry]

    return same


def test_without_ray_one_error_says_what_to_do(workspace, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "registry.engines.ray", raising=False)
    message = workspace.refused("run", "tiny", "--data", "data", "--engine", "ray")
    assert (
        "Ray is not installed; `make run ENGINE=ray ...` installs it, and so does `pip install -e '.[ray]'`" in message
    )
    assert "is not installed" in workspace.refused("run", "all", "--data", "data", "--engine", "ray")
    assert _runs(workspace, "experiment") == []


@needs_ray
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
    members = _runs(on_ray, "member")
    assert _states(on_ray) == dict.fromkeys(("small-1", "small-2", "change-1", "flow-1", "clips-1"), "FINISHED")
    (parent,) = _runs(on_ray, "experiment")
    assert {member.tags["mlflow.parentRunId"] for member in members} == {parent.run_id}
    for member in members:
        history = on_ray.tracking().client.get_metric_history(member.run_id, "loss")
        assert [point.step for point in history] == [1, 2, 3]
    assert not ray.is_initialized()
    assert list(Path(".vad/resume").iterdir()) == []
    assert same_as_local(on_ray, tmp_path, "mixed")


@needs_ray
def test_a_member_whose_node_is_lost_goes_on_on_another(on_ray, pair, cluster, heard, tmp_path, same_as_local):
    second = cluster.add_node(num_cpus=1, object_store_memory=10**9)
    reached = {}

    def kill(name, epoch):
        reached[name] = epoch
        if len(reached) == 2 and second in cluster.worker_nodes:  # each node trains one
            cluster.remove_node(second, allow_graceful=False)

    heard(kill)
    result = on_ray.vad("run", "pair", "--data", "data", "--engine", "ray")
    assert result.exit_code == 0, result.output
    assert second not in cluster.worker_nodes
    said = re.findall(
        r"^  (small-[12]): its worker was lost; another goes on after epoch (\d)", result.stderr, re.MULTILINE
    )
    assert len(said) == 1
    assert 1 <= int(said[0][1]) < 6
    assert _states(on_ray) == {"small-1": "FINISHED", "small-2": "FINISHED"}
    for member in _runs(on_ray, "member"):
        history = on_ray.tracking().client.get_metric_history(member.run_id, "loss")
        assert [point.step for point in history] == list(range(1, 7)), "no epoch twice, none left out"
    assert same_as_local(on_ray, tmp_path, "pair")


@needs_ray
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
    monkeypatch.setattr(members, "_CURVE_EVERY", 0)
    result = on_ray.vad("run", "pair", "--data", "data", "--engine", first)
    assert result.exit_code == 130, result.output
    assert set(_states(on_ray).values()) == {"KILLED"}
    assert _states(on_ray, "experiment") == {"pair": "KILLED"}
    result = on_ray.vad("run", "pair", "--data", "data", "--engine", then)
    assert result.exit_code == 0, result.output
    assert "    went on after epoch 3, where it was cut off" in result.stderr
    assert _states(on_ray) == {"small-1": "FINISHED", "small-2": "FINISHED"}
    assert same_as_local(on_ray, tmp_path, "pair")


@needs_ray
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
    experiments = {run.name: run for run in _runs(on_ray, "experiment")}
    assert {name: run.status for name, run in experiments.items()} == {"other": "FINISHED", "pair": "FINISHED"}
    parents = {member.name: member.tags["mlflow.parentRunId"] for member in _runs(on_ray, "member")}
    assert parents == {
        "small-2": experiments["other"].run_id,
        "small-3": experiments["other"].run_id,
        "small-1": experiments["pair"].run_id,
    }


@needs_ray
def test_a_member_that_diverges_fails_and_the_others_go_on(on_ray, edit):
    edit("batch_size: 4, seeds: [1]}", "batch_size: 4, seeds: [1], train: {lr: 1.0e+30}}")
    result = on_ray.vad("run", "tiny", "--data", "data", "--engine", "ray")
    assert result.exit_code == 1
    assert "1 of 3 members failed: large-1 (the loss became NaN or infinite in epoch" in result.output
    assert "Traceback" not in result.output
    assert _states(on_ray) == {"small-1": "FINISHED", "small-2": "FINISHED", "large-1": "FAILED"}
    assert _states(on_ray, "experiment") == {"tiny": "FAILED"}


@needs_ray
def test_a_member_that_is_lost_again_and_again_fails(on_ray, pair, monkeypatch):
    from registry.engines import ray as engine

    def die(*_):
        yield from ()
        os._exit(1)

    monkeypatch.setattr(engine, "train_remotely", die)
    result = on_ray.vad("run", "pair", "--data", "data", "--engine", "ray")
    assert result.exit_code == 1
    assert result.stderr.count("its worker was lost; another goes on from the beginning") == 4
    assert "2 of 2 members failed: small-1 (3 workers in a row were lost: " in result.output
    assert _states(on_ray) == {"small-1": "FAILED", "small-2": "FAILED"}


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_a_cluster_that_cannot_be_used(workspace, monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    message = workspace.refused("run", "tiny", "--data", "data", "--engine", "ray")
    assert f"RAY_ADDRESS={address}: " in message
    assert _runs(workspace, "experiment") == []
