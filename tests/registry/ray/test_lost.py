"""Workers and nodes of a Ray cluster that are lost, and members that fail."""

import os
import re
import time

import pytest

pytestmark = pytest.mark.timeout(900)  # a cluster is many processes


def test_a_member_whose_node_is_lost_goes_on_on_another(
    on_ray, pair, cluster, heard, tmp_path, same_as_local, monkeypatch
):
    from registry.engines import ray as engine

    second = cluster.add_node(num_cpus=1, object_store_memory=10**9)
    reached, removed, train = {}, tmp_path / "removed", engine.train_remotely

    def held(*given):
        """Tell of the first epoch, and of the next when the node is gone: a member would be done else, on a slow machine."""
        for told in train(*given):
            yield told
            end = time.monotonic() + 120
            while told.epoch and not removed.exists() and time.monotonic() < end:
                time.sleep(0.05)

    def kill(name, epoch):
        reached[name] = epoch
        if len(reached) == 2 and second in cluster.worker_nodes:  # each node trains one
            cluster.remove_node(second, allow_graceful=False)
            removed.touch()

    monkeypatch.setattr(engine, "train_remotely", held)
    heard(kill)
    result = on_ray.vad("run", "pair", "--data", "data", "--engine", "ray")
    assert result.exit_code == 0, result.output
    assert second not in cluster.worker_nodes
    said = re.findall(
        r"^  (small-[12]): its worker was lost; another resumes after epoch (\d)", result.stderr, re.MULTILINE
    )
    assert len(said) == 1
    assert 1 <= int(said[0][1]) < 6
    assert on_ray.states() == {"small-1": "FINISHED", "small-2": "FINISHED"}
    for member in on_ray.runs("member"):
        history = on_ray.tracking().client.get_metric_history(member.run_id, "loss")
        assert [point.step for point in history] == list(range(1, 7)), "no epoch twice, none left out"
    assert same_as_local(on_ray, tmp_path, "pair")


def test_a_member_that_is_lost_again_and_again_fails(on_ray, pair, monkeypatch):
    from registry.engines import ray as engine

    def die(*_):
        yield from ()
        os._exit(1)

    monkeypatch.setattr(engine, "train_remotely", die)
    result = on_ray.vad("run", "pair", "--data", "data", "--engine", "ray")
    assert result.exit_code == 1
    assert result.stderr.count("its worker was lost; another resumes from the beginning") == 4
    assert "2 of 2 members failed: small-1 (3 workers in a row were lost: " in result.output
    assert on_ray.states() == {"small-1": "FAILED", "small-2": "FAILED"}


def test_a_member_that_diverges_fails_and_the_others_go_on(on_ray, edit):
    edit("batch_size: 4, seeds: [1]}", "batch_size: 4, seeds: [1], train: {lr: 1.0e+30}}")
    result = on_ray.vad("run", "tiny", "--data", "data", "--engine", "ray")
    assert result.exit_code == 1
    assert "1 of 3 members failed: large-1 (the loss became NaN or infinite in epoch" in result.output
    assert "Traceback" not in result.output
    assert on_ray.states() == {"small-1": "FINISHED", "small-2": "FINISHED", "large-1": "FAILED"}
    assert on_ray.states("experiment") == {"tiny": "FAILED"}
