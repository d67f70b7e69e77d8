"""From a file back to its commit, boards' scores, and Kaggle's command."""

import json
import os
from pathlib import Path

import pytest

from registry.models.versions import Versions
from registry.store.tracking import Tracking


def submit(workspace, *arguments):
    return workspace.done("submit", "--out", "sent.csv", *arguments)


def links(workspace, what):
    return {link["what"]: link["lines"] for link in json.loads(workspace.done("explain", what, "--json"))["links"]}


def test_a_submission_is_explained_down_to_the_commit(finished):
    submit(finished)
    run = Tracking().find("experiment")[0]
    found = links(finished, "sent.csv")
    assert list(found) == ["file", "submission", "version", "run", "variant", "members", "entry", "data", "code"]
    assert "not altered" in found["file"][1]
    assert found["version"][0].startswith("models:/vad-ensemble/1 (production")
    assert found["version"][1] == "its files are those that were registered (SHA-256)"
    assert found["run"][0].startswith(f"{run.run_id}, FINISHED")
    assert found["variant"][0] == f"max: ap {run.metrics['ap']:.4f}"
    assert found["entry"][0].startswith("experiments/tiny.yaml, profile full")
    assert run.tags["vad.train_digest"] in found["data"][1]
    text = finished.done("explain", "sent.csv")
    for member in Tracking().find("member"):
        assert member.run_id[:8] in text and member.tags["vad.weights_sha256"][:16] in text
    assert finished.done("explain", "v1").splitlines()[0].split()[1] == "models:/vad-ensemble/1"
    assert finished.done("explain", "models:/vad-ensemble@production") == finished.done("explain", "production")


def test_an_altered_file_is_told_from_an_unknown_one(finished, tmp_path):
    submit(finished)
    sent = finished.folder / "sent.csv"
    sent.write_text(sent.read_text().replace("1_0,", "1_0,0"))
    result = finished.vad("explain", "sent.csv")
    assert result.exit_code == 2
    assert "the file was altered since it was written" in result.stdout
    assert "the file was altered since it was written" in finished.refused("record", "sent.csv", "--score", "0.5")
    other = tmp_path / "other.csv"
    other.write_text("Id,Predicted\n1_0,0.5\n")
    assert "no run of this store wrote a file with its SHA-256" in finished.vad("explain", str(other)).stdout
    assert "no run of this store wrote" in finished.refused("record", str(other), "--score", "0.5")
    assert "cannot read nothing.csv: No such file" in finished.refused("record", "nothing.csv", "--score", "0.5")
    assert "nothing.csv is neither a file nor a model version" in finished.refused("explain", "nothing.csv")


def test_an_experiment_file_is_told_from_predictions(finished):
    said = finished.refused("explain", "experiments/tiny.yaml")
    assert "experiments/tiny.yaml is an experiment file" in said
    assert "`vad why experiments/tiny.yaml` explains" in said and "`vad show experiments/tiny.yaml` prints" in said
    finished.done("show", "experiments/tiny.yaml")
    finished.done("why", "experiments/tiny.yaml", "--data", "data")
    assert "tiny is neither a file nor a model version" in (said := finished.refused("explain", "tiny"))
    assert "for an experiment: vad why EXP" in said


def test_a_runs_own_predictions_are_known_too(blends, tmp_path):
    run = Tracking().find("experiment")[0]
    best = run.params["best_variant"]
    path = Tracking().fetch(run.run_id, f"predictions-{best}.csv", tmp_path)
    found = links(blends, str(path))
    assert found["written"] == [f"by the run itself, as predictions of its best variant {best}"]
    assert found["members"] == ["none: it reads predictions files"]
    text = blends.done("record", str(path), "--score", "0.5")
    assert text == f"public board 0.5: recorded on run {run.run_id} ({run.tags['vad.entry']})\n"


def test_altered_weights_of_a_version_are_told(finished):
    version = Versions(Tracking()).resolve("v1")
    weights = next(path for path in (finished.folder / "mlartifacts").rglob("ensemble/weights/*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"x")
    try:
        result = finished.vad("explain", version.uri)
        assert result.exit_code == 2
        assert "was altered: its SHA-256 is not the one recorded" in result.stdout
    finally:
        weights.write_bytes(whole)


def test_a_boards_score_stands_on_submission_run_version_and_leaderboard(finished):
    submit(finished)
    text = finished.done("record", "sent.csv", "--score", "0.631", "--board", "public")
    assert text.startswith("public board 0.631: recorded on version 1 and run ")
    finished.done("record", "sent.csv", "--score", "0.6", "--board", "private")
    tracking = Tracking()
    run = tracking.find("experiment")[0]
    assert (run.metrics["board_public"], run.metrics["board_private"]) == (0.631, 0.6)
    assert Versions(tracking).resolve("v1").tags["board_public"] == "0.6310"
    assert "public board: 0.631" in finished.done("explain", "sent.csv")
    (row,) = json.loads(finished.done("leaderboard", "--json"))
    assert row["boards"] == {"public": 0.631, "private": 0.6}
    assert "0.6310 public, 0.6000 private" in finished.done("leaderboard")
    assert run.status == "FINISHED"


@pytest.mark.parametrize("score", ["1.2", "-0.1", "much", "nan", "inf", "-inf"])
def test_a_score_that_is_none(finished, score):
    assert "--score" in finished.refused("record", "sent.csv", "--score", score)


def kaggle(folder: Path, code: int) -> None:
    """A program by the name of Kaggle's that writes down what it was given."""
    folder.mkdir(exist_ok=True)
    program = folder / "kaggle"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/given\necho "the board has it"\nexit {code}\n')
    program.chmod(0o755)


def test_kaggle_gets_the_file_and_its_reply_is_recorded(finished, tmp_path, monkeypatch):
    kaggle(tmp_path / "bin", 0)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    text = submit(finished, "--kaggle", "pixel-play", "--message", "first try")
    assert "the board has it" in text
    given = (tmp_path / "bin" / "given").read_text().splitlines()
    assert given == ["competitions", "submit", "-c", "pixel-play", "-f", "sent.csv", "-m", "first try"]
    tags = Tracking().find("submission")[0].tags
    assert (tags["vad.kaggle"], tags["vad.kaggle_reply"], tags["vad.kaggle_accepted"]) == (
        "pixel-play",
        "the board has it",
        "yes",
    )
    kaggle(tmp_path / "bin", 1)
    assert "kaggle did not take sent.csv for pixel-play: the board has it" in finished.refused(
        "submit", "--out", "sent.csv", "--kaggle", "pixel-play"
    )
    assert Path("sent.csv").is_file()
    assert Tracking().find("submission")[0].tags["vad.kaggle_accepted"] == "no"


def test_without_kaggles_command_a_plain_message_before_any_work(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    message = finished.refused("submit", "--out", "never.csv", "--kaggle", "pixel-play")
    assert "pip install kaggle" in message and "vad record FILE" in message
    assert not Path("never.csv").exists()
