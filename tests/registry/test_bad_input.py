"""What users get wrong, at the command line: one message, exit status 2, nothing half written."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.cli import main

FRAME = Path("data/Dataset/testing_videos/02/frame_00004.jpg")


def _drop(path: Path) -> None:
    shutil.rmtree(path)


def _relabel(old: str, new: str) -> None:
    path = Path("data/labels.csv")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


CASES = {
    "data that does not exist": (lambda: _drop(Path("data")), "DATA=data does not exist; give the folder that contains training_videos/ and testing_videos/"),
    "no videos": (lambda: _drop(Path("data/Dataset")), "DATA=data must contain training_videos/ and testing_videos/, training/ and testing/, train/ and test/, at any depth; it holds no folder"),
    "one half only": (
        lambda: _drop(Path("data/Dataset/testing_videos")),
        "DATA=data: beside data/Dataset/training_videos there must be a folder testing_videos/, and there is none",
    ),
    "no frames": (
        lambda: [_drop(path) for path in Path("data/Dataset/training_videos").iterdir()],
        "data/Dataset/training_videos holds no frames; expected NAME/frame_XXXXX.jpg or NAME.avi in it",
    ),
    "zero bytes": (lambda: FRAME.write_bytes(b""), f"{FRAME} is empty (0 bytes); restore or remove it"),
    "truncated": (
        lambda: FRAME.write_bytes(FRAME.read_bytes()[:-200]),
        f"{FRAME} is a damaged JPEG (Premature end of JPEG file); restore or remove it",
    ),
    "text": (lambda: FRAME.write_text("hello"), f"{FRAME} is not a JPEG, PNG, BMP, TIFF or WebP; restore or remove it"),
    "two sizes": (
        lambda: shutil.copy(_other_size(), FRAME),
        f"{FRAME} is 32 x 32, but {FRAME.with_name('frame_00000.jpg')} of the same video is 64 x 48",
    ),
    "one number twice": (
        lambda: shutil.copy(FRAME, FRAME.with_name("frame_4.jpg")),
        f"{FRAME} and {FRAME.with_name('frame_4.jpg')} have one frame number, 4; remove one",
    ),
    "labels missing": (lambda: _relabel("1_3,1\n", ""), "data/labels.csv does not fit the test frames: 1 missing (1_3) of 30 frames"),
    "labels too many": (lambda: _relabel("1_3,1\n", "1_3,1\n7_0,0\n"), "1 too many (7_0) of 30 frames"),
    "labels not binary": (lambda: _relabel("1_3,1\n", "1_3,2\n"), "data/labels.csv, line 5: Label is '2'; write 0 (normal) or 1 (anomalous), or False or True"),
    "labels twice": (lambda: _relabel("1_3,1\n", "1_3,1\n1_3,1\n"), "data/labels.csv, line 6: 1_3 appears twice"),
    "labels as text": (lambda: _relabel("1_3,1\n", "1_3,anomaly\n"), "data/labels.csv, line 5: Label is 'anomaly'; write 0 (normal) or 1 (anomalous), or False or True"),
}  # fmt: skip


def _other_size() -> Path:
    import cv2
    import numpy as np

    cv2.imwrite("other.jpg", np.zeros((32, 32, 3), np.uint8))
    return Path("other.jpg")


@pytest.mark.parametrize("case", CASES)
def test_bad_data_is_named_and_leaves_no_run(workspace, case):
    spoil, message = CASES[case]
    spoil()
    assert message in workspace.refused("run", "tiny", "--data", "data")
    assert workspace.tracking().find("experiment", statuses=("RUNNING", "FAILED", "KILLED", "FINISHED")) == []
    assert not [name for name in workspace.files() if name.endswith(".part")]


def test_labels_that_do_not_exist(workspace):
    message = workspace.refused("run", "tiny", "--data", "data", "--labels", "nowhere.csv")
    assert "LABELS=nowhere.csv does not exist; give a CSV (Id,Label) or a folder of N_label.mat" in message


def test_no_model_yet(workspace):
    message = workspace.refused("submit")
    assert "no model is registered yet; run an experiment: `make run EXP=phase5_multiscale`" in message


def test_a_model_that_is_not_there_and_an_output_that_cannot_be_written(finished):
    message = finished.refused("submit", "--model", "nope")
    assert (
        "MODEL=nope: vad-ensemble has no such alias or version (aliases: candidate, production; versions: 1)" in message
    )
    # A file stands where a folder would have to be made: true for every user, root too.
    message = finished.refused("submit", "--out", "first.txt/predictions.csv")
    assert "cannot write first.txt/predictions.csv" in message
    assert "choose a folder that you can write to" in message
    assert "OUT=data is a folder; name a file in it" in finished.refused("submit", "--out", "data")
    packed = "OUT=p.csv.gz: files are not packed; name one that ends with .csv"
    assert packed in finished.refused("submit", "--out", "p.csv.gz")
    assert not finished.tracking().find("submission")


def test_an_unreachable_tracking_server(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    message = workspace.refused("run", "tiny", "--data", "data")
    assert "the tracking server http://127.0.0.1:9 cannot be reached" in message
    assert "start it, or unset MLFLOW_TRACKING_URI" in message
    assert "cannot be reached" in workspace.refused("leaderboard")


@pytest.mark.parametrize("uri", ["foo://bar", "./mlruns", "http://", "postgresql://me:secret@127.0.0.1:9/db"])
def test_a_tracking_address_that_is_none(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    message = workspace.refused("leaderboard")
    assert "cannot be" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("foo:bar", "MLflow knows no addresses foo:..."),
        ("runs.db", "it is a path"),
        ("file:///nowhere/runs", "it is a path"),
    ],
)
def test_an_address_that_mlflow_does_not_take_is_told_in_a_line(workspace, monkeypatch, uri, reason):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    message = f"MLFLOW_TRACKING_URI={uri} cannot be used: {reason}; name a server (http://...) or sqlite:///path.db"
    assert workspace.refused("leaderboard") == f"Error: {message}\n"


def test_a_database_that_is_none(workspace):
    Path("mlflow.db").write_text("this is a diary, not a database")
    said = workspace.refused("leaderboard")
    assert "mlflow.db cannot be used as MLflow's database" in said and "put a copy of it back" in said


def test_a_database_that_was_emptied_is_not_taken_for_a_new_one(workspace):
    assert workspace.vad("run", "tiny", "--data", "data").exit_code == 0
    Path("mlflow.db").write_bytes(b"")
    for command in (["leaderboard"], ["run", "tiny", "--data", "data"]):
        said = workspace.refused(*command)
        assert "mlflow.db is empty, but " in said and "put a copy of it back" in said
    assert Path("mlflow.db").stat().st_size == 0


def test_evaluate_names_what_does_not_fit(workspace):
    Path("p.csv").write_text("Id,Predicted\n1_0,0.5\n1_1,nan\n")
    assert "p.csv, line 3: Predicted is 'nan'; it must be finite" in workspace.refused(
        "evaluate", "p.csv", "--labels", "data/labels.csv"
    )
    Path("p.csv").write_text("Id,Predicted\n1_0,0.5\n1_1,0.1\n")
    message = workspace.refused("evaluate", "p.csv", "--labels", "data/labels.csv")
    assert "p.csv does not fit the labels in data/labels.csv: 28 missing (1_2, 1_3, 1_4, ...) of 30 frames" in message
    assert "cannot read nowhere.csv" in workspace.refused("evaluate", "nowhere.csv", "--labels", "data/labels.csv")
    for given in ([], ["--labels", "none"], ["--data", "data", "--labels", "none"]):
        assert "evaluate needs labels: give --labels" in workspace.refused("evaluate", "p.csv", *given)
    for order in ((str(FRAME), "data/labels.csv"), ("p.csv", str(FRAME))):
        assert f"{FRAME} is not a text file" in workspace.refused("evaluate", order[0], "--labels", order[1])


def test_data_lists_every_fault_at_once(workspace):
    FRAME.write_bytes(b"")
    other = FRAME.with_name("frame_00007.jpg")
    other.write_text("text")
    _relabel("1_3,1\n", "")
    result = workspace.vad("data", "data")
    assert result.exit_code == 2
    for part in (
        "3 faults:",
        f"{FRAME} is empty (0 bytes)",
        f"{other} is not a JPEG, PNG, BMP, TIFF or WebP",
        "1 missing (1_3)",
    ):
        assert part in result.output
    Path(FRAME).unlink()
    other.unlink()


def test_who_looks_makes_no_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAD_HOME", raising=False)
    for uri in ("", f"sqlite:///{tmp_path / 'nope' / 'x.db'}"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        for command in (
            ("leaderboard", "doctor", "submit", "ui") if uri else ("history", "rollback", "serve", "journey")
        ):
            result = CliRunner().invoke(main, [command])
            assert result.exit_code == 2, (command, result.output)
            assert "there is no " in result.stderr and ".db" in result.stderr, (command, result.stderr)
        assert not list(tmp_path.rglob("*.db")) and not (tmp_path / "nope").exists()
