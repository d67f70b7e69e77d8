"""What all commands share: a folder to work in, JSON for programs, help that begins with a verb, completion of names."""

import json
import os
from pathlib import Path

import pytest
import torch
from click.shell_completion import ShellComplete

from registry.cli import completion, main

# Words that a help text may begin with, so that it says what the command does.
VERBS = "Run Validate Print Inspect Explain List Compare Set Open Write Answer Render Measure Trace Record Make Go Export Import Find Free"


def test_every_help_text_begins_with_a_verb():
    for name, command in main.commands.items():
        assert command.get_short_help_str(100).split()[0] in VERBS.split(), name
        assert (command.help or "").split()[0] in VERBS.split(), name


def test_a_command_works_in_another_folder(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "tiny" in trained.done("-C", str(trained.folder), "leaderboard")
    assert Path.cwd() == tmp_path
    assert trained.vad("-C", "nowhere", "leaderboard").exit_code == 2


def test_a_quiet_command_prints_its_result_alone(workspace):
    result = workspace.vad("-q", "run", "tiny", "--data", "data")
    assert result.exit_code == 0 and result.stderr == ""
    assert "prevalence 0.3000" in result.stdout
    assert "from run" in workspace.vad("run", "tiny", "--data", "data").stderr


def test_a_value_of_training_is_named_with_its_section(workspace):
    assert 'did you mean "train.epochs"?' in workspace.refused("show", "tiny", "--set", "epochs=3")


def test_the_demo_profile_never_trains_longer(workspace):
    assert "epochs: 2" in workspace.done("show", "tiny", "--profile", "demo")
    assert "epochs: 9" in workspace.done("show", "tiny", "--profile", "demo", "--set", "train.epochs=9")


def test_blocks_from_a_named_folder_are_those_of_one_command(workspace, monkeypatch):
    (workspace.folder / "mine").mkdir()
    assert "tiny" in workspace.done("--blocks", "mine", "check")
    assert "VAD_BLOCKS" not in os.environ
    monkeypatch.setenv("HOME", str(workspace.folder))
    assert "tiny" in workspace.done("--blocks", "~/mine", "check")
    monkeypatch.setenv("VAD_BLOCKS", "$HOME/mine")
    assert "tiny" in workspace.done("check")


def test_what_commands_report_is_json_on_request(trained):
    (entry,) = json.loads(trained.done("check", "tiny", "--json"))
    assert entry["name"] == "tiny" and set(entry["members"]) == {"small-1", "small-2", "large-1"}
    found = json.loads(trained.done("data", "data", "--json"))
    labels = {key: found["labels"][key] for key in ("source", "frames", "anomalous", "form")}
    assert labels == {"source": "data/labels.csv", "frames": 30, "anomalous": 9, "form": "CSV, Id and Label"}
    assert [(video["split"], video["id"], video["frames"]) for video in found["videos"]][:2] == [
        ("train", 1, 10),
        ("train", 2, 10),
    ]
    trained.done("submit", "--out", "p.csv")
    measured = json.loads(trained.done("evaluate", "p.csv", "--labels", "data/labels.csv", "--json"))
    assert 0 < measured["ap"] <= 1 and measured["videos"] == 3
    for command in (["leaderboard"], ["history"], ["explain", "p.csv"], ["doctor"], ["why", "tiny", "--data", "data"]):
        json.loads(trained.done(*command, "--json"))


def completed(*words: str) -> list[str]:
    """What a shell is given where the last word is to be completed."""
    *before, begun = words
    return [item.value for item in ShellComplete(main, {}, "vad", "_VAD_COMPLETE").get_completions(before, begun)]


@pytest.mark.parametrize(("begun", "found"), [("ti", ["tiny"]), ("", ["all", "tiny"]), ("x", [])])
def test_names_of_experiments_are_completed(workspace, begun, found):
    assert completed("run", begun) == found


@pytest.mark.parametrize("server", [False, True])
def test_runs_and_versions_are_completed(trained, monkeypatch, server):
    (run,) = trained.runs("experiment")
    if server:  # any store that is no file is asked by MLflow's client
        monkeypatch.setattr(completion, "sqlite_path", lambda uri: None)
    versions = ["candidate", "production", "v1"]
    for words in (["compare"], ["compare", "tiny"], ["reproduce"], ["export", "folder", "--run"], ["gc", "--runs"]):
        assert completed(*words, "") == [run.run_id[:8], *versions], words
    for words in (["submit", "--model"], ["serve", "--model"], ["render", "1", "--model"], ["promote"]):
        assert completed(*words, "") == versions, words
    assert completed("compare", run.run_id[:3]) == [run.run_id[:8]]
    assert completed("submit", "--model", "prod") == ["production"]


def test_runs_are_completed_in_another_folder(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert completed("-C", str(trained.folder), "compare", "v") == ["v1"]
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize("store", ["none", "damaged", "http://127.0.0.1:9"])
def test_where_there_is_nothing_to_complete_nothing_is_said_or_made(workspace, monkeypatch, capfd, store):
    Path("mlflow.db").unlink()
    if store == "damaged":
        Path("mlflow.db").write_text("no database")
    elif store != "none":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    before = workspace.files()
    assert completed("compare", "") == completed("submit", "--model", "") == []
    assert workspace.files() == before
    assert capfd.readouterr() == ("", "")


def test_a_path_may_have_a_tilde_or_a_variable(workspace, monkeypatch):
    monkeypatch.setenv("HOME", str(workspace.folder))
    monkeypatch.setenv("PLACE", str(workspace.folder))
    plain = workspace.done("data", str(workspace.folder / "data"))
    for path in ("~/data", "$HOME/data", "${PLACE}/data"):
        assert workspace.done("data", path) == workspace.done("data", "--data", path) == plain
    assert workspace.done("data", "data", "--labels", "$PLACE/data/labels.csv").count("9 of 30") == 1
    monkeypatch.chdir("/")
    assert "tiny" in workspace.done("-C", "$PLACE", "check")
    assert "tiny" in workspace.done("check", "$PLACE/experiments/tiny.yaml")
    assert "$NOWHERE/data" in workspace.refused("data", "$NOWHERE/data")


def test_the_home_of_caches_may_have_a_variable(workspace, monkeypatch):
    monkeypatch.setenv("PLACE", str(workspace.folder))
    monkeypatch.setenv("VAD_HOME", "$PLACE/cache")
    workspace.done("data", "data")
    assert Path("cache").is_dir() and not Path(".vad").exists()


def test_a_data_folder_that_is_named_twice_is_refused(workspace):
    message = "the data folder is named twice, data and --data other; leave one out"
    assert message in workspace.refused("data", "data", "--data", "other")


@pytest.mark.parametrize("command", [("run", "tiny"), ("submit",), ("render", "1"), ("serve",), ("reproduce", "tiny")])
def test_a_device_that_is_not_there_is_one_clear_error(workspace, monkeypatch, command):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    message = "Error: device cuda: PyTorch finds no GPU here; give another by --device or VAD_DEVICE, or leave it out\n"
    assert workspace.refused(*command, "--device", "cuda") == message
    monkeypatch.setenv("VAD_DEVICE", "cuda")
    assert workspace.refused(*command) == message
    assert not Path(".vad").exists()
    monkeypatch.setenv("VAD_DEVICE", "tpu")
    assert "device tpu: give cpu, cuda, or cuda:N for one of several GPUs" in workspace.refused(*command)


def test_a_device_is_that_of_one_command(workspace, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # it would be taken
    said = workspace.vad("-v", "run", "tiny", "--data", "data", "--device", "cpu")
    assert said.exit_code == 0 and "device cpu, engine local" in said.stderr
    assert "VAD_DEVICE" not in os.environ and "CUDA_VISIBLE_DEVICES" not in os.environ
    monkeypatch.setenv("VAD_DEVICE", "cpu")
    assert "30 frames" in workspace.done("submit", "--data", "data")
