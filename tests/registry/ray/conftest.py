"""A Ray cluster of this machine, on loopback alone. What needs it is skipped where Ray is not installed."""

import os
from importlib.util import find_spec

import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # loopback; Ray reads it when it is imported

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
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
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
