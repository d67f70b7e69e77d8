"""What all commands share: a folder to work in, JSON for programs, help that begins with a verb, completion of names."""

import json
import os
from pathlib import Path

import pytest

from registry.cli import main
from registry.cli.options import experiment_names

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


def test_blocks_from_a_named_folder_are_those_of_one_command(workspace):
    (workspace.folder / "mine").mkdir()
    assert "tiny" in workspace.done("--blocks", "mine", "check")
    assert "VAD_BLOCKS" not in os.environ


def test_what_commands_report_is_json_on_request(trained):
    (entry,) = json.loads(trained.done("check", "tiny", "--json"))
    assert entry["name"] == "tiny" and set(entry["members"]) == {"small-1", "small-2", "large-1"}
    found = json.loads(trained.done("data", "data", "--json"))
    assert found["labels"] == {"source": "data/labels.csv", "frames": 30, "anomalous": 9}
    assert [(video["split"], video["id"], video["frames"]) for video in found["videos"]][:2] == [
        ("train", 1, 10),
        ("train", 2, 10),
    ]
    trained.done("submit", "--out", "p.csv")
    measured = json.loads(trained.done("evaluate", "p.csv", "--labels", "data/labels.csv", "--json"))
    assert 0 < measured["ap"] <= 1 and measured["videos"] == 3
    for command in (["leaderboard"], ["history"], ["explain", "p.csv"], ["doctor"], ["why", "tiny", "--data", "data"]):
        json.loads(trained.done(*command, "--json"))


@pytest.mark.parametrize(("begun", "found"), [("ti", ["tiny"]), ("", ["all", "tiny"]), ("x", [])])
def test_names_of_experiments_are_completed(workspace, begun, found):
    assert experiment_names(None, None, begun) == found
