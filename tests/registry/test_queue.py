"""Several experiments as one queue: what they share is trained once, a failure stops nothing else, it can go on."""

import re
import shutil
from pathlib import Path

import pytest

from vad.frames.store import SplitSource


def _three(workspace):
    """Beside `tiny`: `fused`, which fuses the same members otherwise; `wider`, which shares one member and has one of its own."""
    folder = workspace.folder / "experiments"
    tiny = (folder / "tiny.yaml").read_text()
    (folder / "fused.yaml").write_text(tiny.replace("tiny", "fused").replace("{gaussian: 1}", "{gaussian: 2}"))
    wider = (
        tiny.replace("tiny", "wider")
        .replace("seeds: [1, 2]", "seeds: [1]")
        .replace("size: 64, output: tanh", "size: 64, output: sigmoid")
    )
    (folder / "wider.yaml").write_text(wider)
    return workspace


@pytest.fixture
def three(workspace):
    return _three(workspace)


def test_a_queue_from_its_plan_to_the_next_time(three, monkeypatch):
    read = []
    original = SplitSource.tasks
    monkeypatch.setattr(SplitSource, "tasks", lambda self: read.append(len(self)) or original(self))
    result = three.vad("run", "all", "--data", "data")
    assert result.exit_code == 0, result.output
    assert read == [20, 30], "frames are decoded once, for all sizes"
    plan = result.stderr[: result.stderr.index("[1/3]")]
    assert re.search(r"^fused +3 to train +\d+ s$", plan, re.MULTILINE)
    assert re.search(r"^tiny +nothing to train +3 as in fused$", plan, re.MULTILINE)
    assert re.search(r"^wider +1 to train +\d+ s +1 as in fused$", plan, re.MULTILINE)
    assert re.search(r"^members: 4 to train, 4 reused; about \d+ s in all, less where", plan, re.MULTILINE)
    assert len(three.runs("member")) == 4
    assert {run.name: run.status for run in three.runs("experiment")} == dict.fromkeys(
        ("fused", "tiny", "wider"), "FINISHED"
    )
    assert [line.split()[0] for line in result.stdout.splitlines() if re.search(r"\d\.\d{4} to", line)] == [
        "fused",
        "tiny",
        "wider",
    ]

    before = three.files()
    result = three.vad("run", "all", "--data", "data")
    assert result.exit_code == 0
    assert len(re.findall(r"^\w+ +done already", result.stderr, re.MULTILINE)) == 3
    assert "timing" not in result.stderr
    assert len(re.findall(r"done already$", result.stdout, re.MULTILINE)) == 3
    assert three.files() == before

    three.done("run", "all", "--data", "data", "--force")
    assert len(three.runs("member")) == 8, "each distinct member once more"
    assert len(three.runs("experiment")) == 6


def test_what_an_earlier_run_trained_is_reused_and_named(trained):
    three = _three(trained)
    result = three.vad("run", "fused", "wider", "--data", "data")
    assert result.exit_code == 0, result.output
    assert re.search(r"^fused +nothing to train +1 from run \w{8} \(tiny\)", result.stderr, re.MULTILINE)
    assert re.search(r"^members: 1 to train, 4 reused", result.stderr, re.MULTILINE)
    assert len(three.runs("member")) == 4


def test_a_member_that_fails_is_reported_at_once_and_the_others_go_on(three):
    path = three.folder / "experiments" / "fused.yaml"
    for name in ("fused", "tiny"):
        path = three.folder / "experiments" / f"{name}.yaml"
        path.write_text(
            path.read_text().replace("batch_size: 4, seeds: [1]}", "batch_size: 4, seeds: [1], train: {lr: 1.0e+30}}")
        )
    result = three.vad("run", "all", "--data", "data")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert result.stderr.index("fused failed: 1 of 3 members failed: large-1") < result.stderr.index("[3/3] wider")
    assert "as found before" in result.stderr, "a shared member is not tried twice"
    assert re.search(r"^fused +failed .*the loss became NaN or infinite in epoch \d", result.stdout, re.MULTILINE)
    assert re.search(r"^wider +\w+ +\d\.\d+", result.stdout, re.MULTILINE)
    assert "2 of 3 experiments failed" in result.stdout
    states = {run.name: run.status for run in three.runs("experiment")}
    assert states == {"fused": "FAILED", "tiny": "FAILED", "wider": "FINISHED"}
    diverged = [run for run in three.runs("member") if run.status == "FAILED"]
    assert [run.name for run in diverged] == ["large-1"]
    assert diverged[0].tags["vad.diverged"].startswith("epoch ")


def test_faults_of_all_entries_are_reported_before_anything_runs(three):
    for name, old, new in (("fused", "epochs: 2", "epocs: 2"), ("wider", "size: 32", "size: 44")):
        path = three.folder / "experiments" / f"{name}.yaml"
        path.write_text(path.read_text().replace(old, new))
    message = three.refused("run", "all", "--data", "data")
    assert 'train.epocs: unknown key; did you mean "epochs"?' in message
    assert "needs a size that is a multiple of 8, not 44" in message
    assert three.runs("experiment") == []


def test_a_name_twice_is_refused(three):
    assert "tiny is named twice" in three.refused("run", "tiny", "tiny", "--data", "data")


def test_no_experiments_at_all(workspace):
    shutil.rmtree("experiments")
    Path("experiments").mkdir()
    assert "there is no experiment in experiments" in workspace.refused("run", "all", "--data", "data")


def test_a_stopped_queue_goes_on(three, monkeypatch):
    from registry.runs import queue

    original = queue.run_once

    def stop(work, *rest):
        if work.plan.name == "tiny":
            raise KeyboardInterrupt
        return original(work, *rest)

    monkeypatch.setattr(queue, "run_once", stop)
    result = three.vad("run", "all", "--data", "data")
    assert result.exit_code == 130
    assert "run the same command again to resume" in result.stderr
    monkeypatch.setattr(queue, "run_once", original)
    result = three.vad("run", "all", "--data", "data")
    assert result.exit_code == 0
    assert re.search(r"^fused +done already", result.stderr, re.MULTILINE)
    assert len(three.runs("member")) == 4


def test_an_error_of_ours_in_one_experiment_leaves_the_others_alone(three, monkeypatch):
    from registry.runs import queue

    original = queue.run_once

    def trip(work, *rest):
        if work.plan.name == "fused":
            raise RuntimeError("out of paper")
        return original(work, *rest)

    monkeypatch.setattr(queue, "run_once", trip)
    result = three.vad("run", "all", "--data", "data")
    assert result.exit_code == 1
    assert re.search(r"^fused +failed +out of paper$", result.stdout, re.MULTILINE)
    assert len(re.findall(r"\d\.\d{4} to", result.stdout)) == 2
