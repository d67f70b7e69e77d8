"""A store of years, one that cannot be written, one that keeps nothing, and texts of all kinds in it."""

import errno
import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from mlflow.exceptions import MlflowException

from registry.models.versions import NAME, Versions
from registry.store.record import TAG, as_tags, recorded
from registry.store.retries import mendable
from registry.store.tracking import Tracking
from vad.detectors import network_detector


@pytest.fixture
def log(workspace):
    """An open run."""
    tracking = workspace.tracking()
    return tracking.open_run(tracking.experiment("e", {}), "member", "d", "small-1", {})


def _fill(folder: Path, count: int) -> Path:
    """Files whose paths are as long as those of scores."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:024d}-max-scoring-4.safetensors").write_text(str(number))
    return folder


def test_every_file_of_a_run_stays_on_record(workspace, log, tmp_path):
    _fill(tmp_path / "first", 1)
    log.artifacts(tmp_path / "first", "checkpoints")
    for number in range(3):
        log.artifacts(_fill(tmp_path / f"scores{number}", 70), f"scores/{number}")
    tracking = workspace.tracking()
    found = tracking.get(log.run_id)
    assert max(map(len, found.tags.values())) <= 8000
    assert len(recorded(found.tags)) == 211
    for path in recorded(found.tags):
        assert tracking.fetch(log.run_id, path, tmp_path / "fetched") is not None, path


def test_the_record_of_an_earlier_version_is_read_and_gone_on_with():
    files = {f"scores/{number}.safetensors": f"{number:064d}" for number in range(300)}
    tags = as_tags(files)
    assert [*tags] == [TAG, *(f"{TAG}.{number}" for number in range(1, len(tags)))] and len(tags) > 2
    assert recorded(tags) == files and max(map(len, tags.values())) <= 8000
    assert [*recorded(dict(reversed(tags.items())))] == [*files]
    earlier = {TAG: tags[TAG], "vad.kind": "member"}
    assert as_tags(recorded(earlier))[TAG] == tags[TAG]


def _many(database: Path, experiments: int, models: int) -> None:
    """Experiments and registered models that came after what is there."""
    with closing(sqlite3.connect(database)) as opened, opened:
        for table, key, name, count in (
            ("experiments", "experiment_id", "name", experiments),
            ("registered_models", "name", "name", models),
        ):
            columns = [row[1] for row in opened.execute(f"PRAGMA table_info({table})")]
            first = opened.execute(f"SELECT * FROM {table} ORDER BY creation_time LIMIT 1").fetchone()
            row = dict(zip(columns, first, strict=True))
            for number in range(count):
                new = row | {key: 1000 + number} | {name: f"later {number}"}
                new["creation_time"] = row["creation_time"] + 10**9 + number
                new["last_updated_time" if "last_updated_time" in row else "last_update_time"] = new["creation_time"]
                marks = ", ".join("?" * len(columns))
                opened.execute(f"INSERT INTO {table} VALUES ({marks})", [new[column] for column in columns])


def test_nothing_is_lost_behind_1100_experiments_and_150_models(trained):
    _many(trained.folder / "mlflow.db", 1100, 150)
    assert "tiny" in trained.done("leaderboard")
    again = trained.vad("run", "tiny", "--data", "data")
    assert "tiny is done already" in again.stderr
    client = trained.tracking().client
    assert len(client.search_experiments()) >= 1101
    assert len(client.search_registered_models()) == 151
    assert len(client.search_model_versions(f"name = '{NAME}'", max_results=1)) == 1
    assert Versions(trained.tracking()).resolve("production").number == "1"


TEXTS = [
    "it's",
    'a "name"',
    'it\'s "both"',
    "back\\slash",
    "ends so\\",
    "100 %",
    "a_b",
    "`tick`",
    "line\nbreak",
    "ü; --",
    "' or '1' = '1",
]


@pytest.mark.parametrize("text", TEXTS)
def test_runs_are_found_by_any_text(workspace, text):
    tracking = workspace.tracking()
    experiment = tracking.experiment("e", {})
    alike = re.sub(r"['\"\\`\n]", "x", text)
    runs = {
        value: tracking.open_run(experiment, "submission", "d", "s", {"vad.file": value}).run_id
        for value in (text, f"{text}?" if alike == text else alike)
    }
    found = tracking.find("submission", tags={"vad.file": text}, statuses=("RUNNING",))
    assert [run.run_id for run in found] == [runs[text]]


def test_predictions_in_a_folder_with_an_apostrophe_are_recorded_and_explained(trained):
    folder = Path("it's here")
    folder.mkdir()
    trained.done("submit", "--data", "data", "--out", str(folder / "p.csv"))
    assert "recorded on" in trained.done("record", str(folder / "p.csv"), "--score", "0.5")
    trained.done("explain", str(folder / "p.csv"))
    (folder / "p.csv").write_text("other")
    assert "Traceback" not in trained.refused("explain", str(folder / "p.csv"))


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///:memory:"])
def test_a_database_in_memory_is_refused(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for command in (("run", "tiny", "--data", "data"), ("leaderboard",)):
        assert f"MLFLOW_TRACKING_URI={uri}: a database in memory keeps nothing" in workspace.refused(*command)


@contextmanager
def read_only(folder: Path):
    """A folder in which nothing can be written, by root neither."""
    for command in (["mount", "--bind", folder, folder], ["mount", "-o", "remount,bind,ro", folder]):
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting is not permitted here")
    try:
        os.chdir(folder)  # where this process stands is what lies below the mount
        yield
    finally:
        os.chdir("/")
        subprocess.run(["umount", "-l", folder], check=True)


LOOKING = [
    ("leaderboard",), ("history",), ("doctor",), ("explain", "v1"), ("compare", "v1", "tiny"), ("show", "tiny"),
    ("data", "data"), ("why", "tiny", "--data", "data"), ("why", "tiny", "--data", "data", "--set", "train.epochs=9"),
]  # fmt: skip


def test_who_only_looks_needs_nothing_that_can_be_written(trained):
    shutil.rmtree(".vad/index", ignore_errors=True)
    with closing(sqlite3.connect("mlflow.db")) as opened, opened:  # what can only be looked at stays as it is
        opened.execute("UPDATE runs SET status = 'RUNNING' WHERE name = 'small-1'")
        opened.execute("UPDATE tags SET value = 0 WHERE key = 'mlflow.vad.pid'")
    with read_only(trained.folder):
        assert not os.access("mlflow.db", os.W_OK)
        for command in LOOKING:
            result = trained.vad(*command)
            assert result.exit_code == (2 if command == ("doctor",) else 0), (command, result.output)
            assert "Traceback" not in result.output
        assert "cannot write" in trained.refused("run", "tiny", "--data", "data", "--set", "train.epochs=9")


def test_who_only_looks_makes_no_store(workspace):
    Path("mlflow.db").unlink()
    before = {path for path in workspace.folder.rglob("*") if ".vad" not in path.parts}
    assert "3 of 3 members would be trained" in workspace.done("why", "tiny", "--data", "data")
    for command in (("leaderboard",), ("history",), ("explain", "v1"), ("doctor",)):
        assert "there is no " in workspace.refused(*command)
    assert {path for path in workspace.folder.rglob("*") if ".vad" not in path.parts} == before


def test_members_that_wait_hold_neither_open_files_nor_open_runs(workspace, edit, monkeypatch):
    """Else a queue of hundreds of members comes to the system's limit of open files."""
    edit("seeds: [1, 2]", "seeds: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]")
    seen, train = [], network_detector.train

    def watched(*given):
        locks = [file for file in psutil.Process().open_files() if "/.vad/" in file.path and "lock" in file.path]
        seen.append((len(locks), [run.status for run in workspace.runs("member")].count("RUNNING")))
        return train(*given)

    monkeypatch.setattr(network_detector, "train", watched)
    workspace.done("run", "tiny", "--data", "data", "--set", "train.epochs=1")
    assert len(seen) == 12
    assert all(1 <= running <= 2 and locks <= 4 for locks, running in seen), seen


def test_a_store_that_could_not_be_opened_for_open_files_is_not_called_broken(workspace):
    uri, home = Tracking().uri, Path(".vad")
    told = MlflowException("(sqlite3.OperationalError) unable to open database file")
    for error in (OSError(errno.EMFILE, "Too many open files", "lock"), told):
        message = mendable(error, uri, home)
        assert "too many files are open (`ulimit -n` allows " in message
        assert "move it away" not in message and "run the same command again to resume" in message
    Path("mlflow.db").write_bytes(b"garbage")
    assert "move it away" in mendable(told, uri, home)
