"""`vad doctor` on stores that were damaged for real: it changes nothing unless it is told to."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from registry.maintenance import doctor
from registry.maintenance.findings import Store
from registry.store.processes import ALIVE
from registry.store.tags import stored
from vad.system.processes import machine, own_mark

GONE = f"4194304-1-{machine()}"  # no system gives a process this number
OLD = time.time() - 3600


def snapshot(folder: Path) -> dict[str, tuple[str, int]]:
    """The bytes and the time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def write(path: Path, content: str = "x" * 1000, when: float = OLD) -> Path:
    """A file that was last changed an hour ago, as were the new folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    for changed in (path, path.parent, path.parent.parent):
        os.utime(changed, (when, when))
    return path


def refused(workspace, *arguments: str) -> str:
    """The report of a doctor that leaves a fault, with its error at the end."""
    result = workspace.vad("doctor", *arguments)
    assert result.exit_code == 2, result.output
    return result.stdout + result.stderr


@pytest.fixture
def copied(finished, finished_folder, tmp_path, monkeypatch):
    """A copy of the finished workspace, whose database still names the first one's files."""
    shutil.copytree(finished_folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return replace(finished, folder=tmp_path / "copy")


def test_a_sound_store_is_one_line_and_both_readers_see_the_same(finished):
    line = finished.done("doctor")
    assert re.fullmatch(r"sound: \d+ runs, 1 version, [\d.]+ MB of artifacts, [\d.]+ MB of caches\n", line)
    read = doctor._on_disk(finished.folder / "mlflow.db")
    asked = Store(finished.tracking())
    assert {run.run_id: run.status for run in read.runs} == {run.run_id: run.status for run in asked.runs}
    assert (
        [(v.name, v.aliases, v.tags["vad.entry"]) for v in read.versions]
        == [(v.name, v.aliases, v.tags["vad.entry"]) for v in asked.versions]
        == [("vad-ensemble/1", ("candidate", "production"), "tiny")]
    )
    assert read.whole == asked.whole
    assert len(read.whole) == 5  # three members, the run of the entry, the version


def test_a_copy_neither_writes_nor_removes_in_the_folder_that_it_was_copied_from(copied, finished_folder):
    before = snapshot(finished_folder)
    moved = f"its addresses lead to {finished_folder}/mlartifacts, its files lie in {copied.folder}/mlartifacts; set them right"
    assert moved in copied.refused("run", "tiny", "--data", "data", "--force")
    assert moved in copied.refused("gc", "--runs", "tiny", "--yes")
    assert moved in copied.refused("submit", "--data", "data")
    assert snapshot(finished_folder) == before
    copied.done("doctor", "--fix")
    copied.done("run", "tiny", "--data", "data", "--force")
    assert snapshot(finished_folder) == before


def test_a_project_that_was_copied_and_then_moved_works_again(copied, finished_folder, tmp_path, monkeypatch):
    assert f"addresses lead to {finished_folder}/mlartifacts, but the files lie in {copied.folder}" in refused(copied)
    copied.done("doctor", "--fix")
    next(copied.folder.glob("mlflow.db.before-doctor-*")).unlink()
    there = tmp_path / "far away" / "work"
    shutil.move(copied.folder, there)
    monkeypatch.chdir(there)
    moved = replace(copied, folder=there)
    write(there / "experiments" / "other.txt")

    run = moved.runs("experiment")[0].run_id
    for command in (["submit", "--data", "data"], ["compare", run, "v1"], ["reproduce", run], ["explain", "v1"]):
        assert f"was moved or copied: its addresses lead to {copied.folder}/mlartifacts" in moved.refused(*command)
    before = snapshot(there)
    report = refused(moved)
    assert f"addresses lead to {copied.folder}/mlartifacts, but the files lie in {there}/mlartifacts" in report
    assert report.endswith(
        "Error: 1 fault, of which `vad doctor --fix` mends 1; the report says what helps with each\n"
    )
    assert snapshot(there) == before

    done = moved.done("doctor", "--fix")
    assert done.startswith("mended") and "\nsound: " in done
    after = snapshot(there)
    assert {name for name in before if before[name] != after[name]} == {"mlflow.db"}
    copy = next(there.glob("mlflow.db.before-doctor-*"))
    assert f"corrected; a copy of the old database is next to it: {copy}\n" in done
    with closing(sqlite3.connect(copy)) as kept:
        assert f"{copied.folder}/mlartifacts" in kept.execute("SELECT artifact_uri FROM runs").fetchone()[0]
    assert "by model version 1" in moved.done("submit", "--data", "data")
    assert "is done already" in moved.vad("run", "tiny", "--data", "data").stderr
    assert not copied.folder.exists()
    shutil.rmtree(there / "data")
    note = moved.done("doctor")
    assert f"note   {finished_folder}/data" not in note, "the first folder's data are there"
    assert f"note   {there}/data: gone; " in note and "give DATA=" in note and "\nsound: " in note


def test_runs_whose_process_is_gone_are_marked(workspace):
    code = (
        "import sys, time; from registry.store.tracking import Tracking; t = Tracking();"
        "t.open_run(t.experiment('e', {}), 'experiment', 'd', 'tiny', {}); print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    assert "sound: 1 run," in workspace.done("doctor"), "its process is alive"
    process.send_signal(signal.SIGKILL)
    process.communicate()

    before = snapshot(workspace.folder)
    assert "(tiny): RUNNING, but the process is gone" in refused(workspace)
    assert snapshot(workspace.folder) == before
    assert workspace.done("doctor", "--fix").startswith("mended run ")
    tracking = workspace.tracking()
    (run,) = tracking.find("experiment", statuses=("KILLED",))

    log = tracking.open_run(run.experiment_id, "experiment", "d", "tiny", {})
    log.tags({"vad.host": "elsewhere"})
    tracking.client.delete_tag(log.run_id, stored(ALIVE))  # as earlier versions left it
    assert "sound: 1 run," in workspace.done("doctor")
    with closing(sqlite3.connect("mlflow.db")) as opened, opened:
        opened.execute("UPDATE runs SET start_time = start_time - 8 * 86400000")
    assert "(tiny): RUNNING on elsewhere for 8 days" in refused(workspace, "--fix")
    assert [r.status for r in workspace.tracking().find("experiment", statuses=("RUNNING",))] == ["RUNNING"]


def test_useless_caches_go_and_no_others(finished, tmp_path, monkeypatch):
    home = tmp_path / "home"
    shutil.copytree(finished.folder / ".vad", home)
    monkeypatch.setenv("VAD_HOME", str(home))
    whole, broken, altered, *_ = sorted((home / "frames").glob("*.npy"))
    os.truncate(broken, broken.stat().st_size - 1)
    altered.write_bytes(altered.read_bytes()[:128] + bytes(altered.stat().st_size - 128))
    members = [run.tags["vad.digest"] for run in finished.tracking().find("member")]
    run_id = finished.tracking().find("member")[0].run_id
    useless = [
        broken,
        altered,
        write(home / "frames" / f".a.npy.{GONE}.part"),
        write(home / f".demo-street.{GONE}.part" / "labels.csv").parent,
        write(home / "resume" / f"{members[0]}.safetensors"),
        write(home / "index" / "half.json", '{"sha256'),
    ]
    held = write(home / "resume" / f"{members[1]}.safetensors")
    kept = [
        whole,
        held,
        write(home / "resume" / "unfinished.safetensors"),
        write(home / "frames" / f".b.npy.{own_mark()}.part"),
        write(home / "fetched" / run_id / "scores.csv"),
        write(home / "fetched" / "0123" / "scores.csv"),  # of a server's run, which this store does not know
        write(home / "index" / "young.json", "{", when=time.time()),
    ]
    with (home / "locks" / members[1]).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = snapshot(home)
        report = refused(finished)
        assert {line.split(": ")[0].removeprefix("fault  ") for line in report.splitlines() if "fault  " in line} == {
            *map(str, useless)
        }
        assert snapshot(home) == before
        finished.done("doctor", "--fix")
    assert not [path for path in useless if path.exists()]
    assert not [path for path in kept if not path.exists()]
    assert f"fault  {held}: " in refused(finished), "nobody holds it any more"


def test_orphans_are_set_aside_and_what_is_lost_is_named(copied):
    copied.done("doctor", "--fix")
    artifacts = copied.folder / "mlartifacts"
    orphans = [Path("0" * 32), Path("models", "m-" + "1" * 32), Path("7", "2" * 32)]
    for orphan in orphans:
        write(artifacts / orphan / "artifacts" / "big.bin", "x" * 1_500_000)
    write(artifacts / "notes" / "mine.txt")
    run = copied.tracking().find("experiment")[0]
    (artifacts / run.run_id / "artifacts" / "results.json").unlink()
    shutil.rmtree(next(path for path in (artifacts / "models").iterdir() if path.name != orphans[1].name))

    before = snapshot(copied.folder)
    found = json.loads(copied.vad("doctor", "--json").stdout)
    assert snapshot(copied.folder) == before
    assert found["sound"] is False and len(found["findings"]) == 5
    assert [f["where"] for f in found["findings"] if f["fix_mends"]] == sorted(str(artifacts / o) for o in orphans)
    assert found["findings"][2]["what"] == "1.5 MB of artifacts that no run of this database owns"

    report = refused(copied, "--fix")
    assert f"fault  run {run.run_id} (tiny): its results.json is gone\n       `vad run tiny` makes it again" in report
    assert "fault  models:/vad-ensemble/1: its files are gone" in report
    assert "`vad promote` that, for this one is candidate and production" in report
    assert "2 faults that `vad doctor --fix` cannot mend" in report
    (aside,) = (artifacts / ".orphans").iterdir()
    for orphan in orphans:
        assert (aside / orphan / "artifacts" / "big.bin").stat().st_size == 1_500_000
        assert not (artifacts / orphan).exists()
    assert (artifacts / "notes" / "mine.txt").exists()

    # What the report advises helps: the members are there, so nothing is trained.
    said = copied.done("run", "tiny", "--data", "data")
    assert "registered as models:/vad-ensemble/2; now production: version 1 has lost files of its model" in said
    notes = copied.done("doctor")
    assert "made again since: nothing to do" in notes and "made again as vad-ensemble/2\n" in notes


@pytest.mark.parametrize("content", [None, "no database"])
def test_where_there_is_no_store_none_is_made(workspace, content):
    (workspace.folder / "mlflow.db").unlink()
    if content:
        (workspace.folder / "mlflow.db").write_text(content)
    before = snapshot(workspace.folder)
    said = "there is no" if content is None else "cannot be read: file is not a database"
    for arguments in ([], ["--fix"]):
        assert said in refused(workspace, *arguments)
    assert snapshot(workspace.folder) == before


def test_a_database_in_use_is_left_as_it_is(copied, monkeypatch):
    before = snapshot(copied.folder)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0.1}))
    with closing(connect("mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "database is locked; stop what uses it" in refused(copied, "--fix")
        other.execute("ROLLBACK")
    assert snapshot(copied.folder) == before
