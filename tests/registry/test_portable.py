"""Runs and models carried between stores: whole, the same as before, once, and from a store whose folder was moved."""

import json
import math
import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import pytest
import torch
from click.testing import CliRunner
from mlflow.entities import Metric

from registry.cli import main
from registry.maintenance.exporting import moved
from registry.maintenance.parcel import RunRecord, seal, unpack
from registry.models.versions import Versions
from registry.store.record import recorded
from registry.store.tracking import Tracking
from vad.system.files import sha256

EVERY = ("FINISHED", "FAILED", "KILLED", "RUNNING")
ITS_OWN = ("vad.host", "vad.pid", "vad.process", "vad.alive", "vad.imported_from", "vad.version", "vad.logged_model")
ITS_OWN += ("mlflow.parentRunId", "mlflow.note.content", "vad.files")
BLENDED = ("gaussian: 1}, {normalize: 100}]}\n  small_only", "gaussian: 2}, {normalize: 100}]}\n  small_only")


@dataclass(frozen=True)
class Carried:
    """A store in a folder that was moved: its production model and a run that only reuses members, as exported."""

    folder: Path
    model: Path
    blend: Path
    predictions: bytes
    said: str


def _vad(*arguments):
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def one_thread_throughout():
    """What two threads compute differs in the last digit from what one does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def carried(one_thread_throughout, finished_folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("moved")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("VAD_HOME", raising=False)
        patch.chdir(finished_folder)
        _vad("submit", "--out", "predictions.csv")
        entry = Path("experiments/tiny.yaml")
        entry.write_text(entry.read_text().replace(*BLENDED))
        _vad("run", "tiny", "--data", "data")
        blend = Tracking().find("experiment")[0].run_id
        member, when = Tracking().find("member")[0].run_id, 1_700_000_000_000
        values = [Metric("extra", step / 3, when + step, step) for step in range(1100)]
        Tracking().client.log_batch(member, values[:1000])
        Tracking().client.log_batch(member, [*values[1000:], Metric("extra", math.nan, when, 2000)])
        shutil.move(finished_folder, place / "work")

        patch.chdir(place / "work")
        result = _vad("export", "../model", "--model", "1")
        reused = _vad("export", "../blend", "--run", blend[:8])
        predictions = Path("predictions.csv").read_bytes()
    return Carried(place / "work", place / "model", place / "blend", predictions, result.output + reused.output)


@pytest.fixture(scope="module")
def imported_folder(carried, empty_store, tiny_data, tmp_path_factory):
    """A second store that the model was imported into, which exported it again."""
    folder = tmp_path_factory.mktemp("second") / "work"
    shutil.copytree(carried.folder / "experiments", folder / "experiments")
    shutil.copytree(tiny_data, folder / "data")
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "said.txt").write_text(_vad("import", str(carried.model)).stdout)
        _vad("export", "again", "--model", "1")
    return folder


@pytest.fixture
def imported(workspace, imported_folder, monkeypatch):
    monkeypatch.chdir(imported_folder)
    return replace(workspace, folder=imported_folder)


def _bare(run: RunRecord):
    """What must not change: all but ids, and where the process ran."""
    metrics = [replace(p, value=str(p.value)) for p in run.metrics]  # NaN equals nothing, itself included
    tags = {key: value for key, value in run.tags.items() if key not in ITS_OWN}
    return replace(run, run_id="", tags=tags, metrics=sorted(metrics, key=str))


def _led(text, ids):
    """A description whose links lead to the runs of another store."""
    for old, new in ids.items():
        text = re.sub(rf"experiments/\d+/runs/{old}", f"experiments/1/runs/{new}", text).replace(old, new)
    return text


def _digests(folder: Path):
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}


def _require_same(before, after):
    """Two exports, of one store and of another, hold the same; gives the new ids by the old."""
    ids = {run.tags["vad.imported_from"]: run_id for run_id, run in after.runs.items()}
    assert ids.keys() == before.runs.keys()
    for old, new in ids.items():
        assert _bare(before.runs[old]) == _bare(after.runs[new])
        told = before.runs[old].tags.get("mlflow.note.content", "")
        assert after.runs[new].tags.get("mlflow.note.content", "") == _led(told, ids)
        parent = before.runs[old].tags.get("mlflow.parentRunId")
        assert after.runs[new].tags.get("mlflow.parentRunId") == ids.get(parent)
        assert not {"vad.host", "vad.pid", "vad.process", "vad.alive"} & after.runs[new].tags.keys()
        was, now = _digests(before.artifacts(old)), _digests(after.artifacts(new))
        assert recorded(after.runs[new].tags) == now or not now
        assert (was.pop("results.json", ""), now.pop("results.json", "")).count("") in (0, 2)
        assert was == now
    was, now = _digests(before.model), _digests(after.model)
    for its_own in ("MLmodel", "model.sha256"):
        assert was.pop(its_own) != now.pop(its_own)
    assert was == now
    one, other = before.version, after.version
    assert (_led(one.description, ids), one.params, one.metrics) == (other.description, other.params, other.metrics)
    assert ids[one.run_id] in other.description, "its picture is that of the run here"
    assert other.tags["vad.run_id"] == other.run_id == ids[one.run_id]
    return ids


def test_a_model_from_a_moved_store_is_whole_in_another(imported, carried):
    assert "`vad doctor --fix` mends that" in carried.said
    assert carried.said.count(" MB, all copied; this store keeps everything") == 2
    assert "is in the export; the experiment that trained it is not, and is not needed" in carried.said
    said = Path("said.txt").read_text()
    assert "5 runs imported, 0 were there already" in said
    assert "imported as models:/vad-ensemble/1; `vad promote v1` makes it production" in said
    before = unpack(carried.model)
    ids = _require_same(before, unpack(Path("again")))
    (row,) = json.loads(imported.done("leaderboard", "--json"))
    (old,) = (run for run in before.runs.values() if run.tags["vad.kind"] == "experiment")
    assert row["run_id"] == ids[old.run_id]
    assert row["value"] == next(point.value for point in old.metrics if point.key == "ap")
    assert row["model"] == "v1 candidate", "nobody here decided that it be production"
    version = Versions(imported.tracking()).resolve("candidate")
    info = mlflow.models.get_model_info(version.uri)
    assert (info.run_id, f"models:/{info.model_id}") == (row["run_id"], version.source)
    assert version.tags["vad.decision"] == "imported: imported"


def test_imported_weights_take_room_once_and_doctor_counts_the_runs_that_were_imported(imported):
    weights = [path for path in Path("mlartifacts").rglob("*.safetensors") if "weights" in str(path)]
    assert len(weights) == 2 * len({path.stat().st_ino for path in weights}) == 6, "of three members and in the version"
    assert "weights that are stored twice" not in imported.done("gc", "--dry-run")
    assert "\nsound: 5 runs, 1 version, " in imported.done("doctor")


def test_an_imported_model_submits_the_same_file(imported, carried):
    imported.done("submit", "--model", "v1", "--data", "data", "--out", "p.csv")
    assert Path("p.csv").read_bytes() == carried.predictions
    assert len(imported.tracking().find("submission")) == 1, "it is the submission that came along"


def test_a_run_finds_what_was_imported(imported):
    members = {run.run_id for run in imported.tracking().find("member")}
    other = imported.vad("run", "tiny", "--data", "data")
    assert other.exit_code == 0, other.output
    assert "to train" not in other.stderr
    assert all(member in other.stderr for member in members)
    entry = Path("experiments/tiny.yaml")
    entry.write_text(entry.read_text().replace(*reversed(BLENDED)))
    same = imported.vad("run", "tiny", "--data", "data")
    assert "tiny is done already" in same.stderr
    assert "version 1 of the registered model; not production" in same.stdout


def test_nothing_is_made_twice_in_either_store(imported, carried, tmp_path, monkeypatch):
    shutil.copytree(carried.folder, tmp_path / "origin")
    for place, parcel in ((imported.folder, carried.model), (tmp_path / "origin", imported.folder / "again")):
        monkeypatch.chdir(place)
        if place != imported.folder:
            assert "was moved or copied" in imported.refused("import", str(parcel))
            imported.done("doctor", "--fix")
        before = {run.run_id for kind in ("experiment", "member") for run in Tracking().find(kind, statuses=EVERY)}
        said = imported.done("import", str(parcel))
        assert "0 runs imported, 5 were there already" in said
        after = {run.run_id for kind in ("experiment", "member") for run in Tracking().find(kind, statuses=EVERY)}
        assert before == after
        if place == imported.folder:
            assert "is models:/vad-ensemble/1 already" in said


def test_an_import_that_was_cut_off_is_taken_up(workspace, carried, monkeypatch):
    for name, count in (("log_artifacts", 3), ("finalize_logged_model", 1), ("set_registered_model_alias", 1)):
        with monkeypatch.context() as patch:
            original, calls = getattr(mlflow.MlflowClient, name), []

            def cut(*given, original=original, calls=calls, count=count, **named):
                calls.append(given)
                if len(calls) == count:
                    raise KeyboardInterrupt
                return original(*given, **named)

            patch.setattr(mlflow.MlflowClient, name, cut)
            assert workspace.vad("import", str(carried.model)).exit_code == 130
        assert json.loads(workspace.done("leaderboard", "--json")) == []
    assert "5 runs imported" in workspace.done("import", str(carried.model))
    workspace.done("export", "again", "--model", "1")
    _require_same(unpack(carried.model), unpack(Path("again")))
    versions = Versions(workspace.tracking())
    assert versions.aliases() == {"1": ["candidate"]}
    assert len(versions.all()) == len(workspace.tracking().client.search_logged_models(_experiments(workspace))) == 1


def _experiments(workspace):
    return [found.experiment_id for found in workspace.tracking().client.search_experiments()]


def test_members_of_another_experiment_come_along_and_find_it_when_it_comes(workspace, carried, edit):
    first = workspace.vad("import", str(carried.blend))
    assert "4 runs imported" in first.stdout
    assert first.stderr.count("stands alone here: its experiment") == 3
    tracking = workspace.tracking()
    assert [run.tags.get("mlflow.parentRunId") for run in tracking.find("member")] == [None] * 3
    edit(*BLENDED)
    text = workspace.done("run", "tiny", "--data", "data")
    assert "no model: it stayed in the store that this run was imported from" in text

    assert "2 runs imported, 3 were there already" in workspace.done("import", str(carried.model))
    tiny = tracking.find("experiment")
    assert len(tiny) == 2
    (parent,) = {run.tags["mlflow.parentRunId"] for run in tracking.find("member")}
    assert parent == Versions(tracking).resolve("1").run_id
    for run in tiny:
        results = json.loads(tracking.fetch(run.run_id, "results.json", workspace.folder).read_text())
        assert set(results["members"].values()) == {member.run_id for member in tracking.find("member")}
        assert results["run_id"] == run.run_id


def test_a_damaged_export_is_refused_before_the_store_is_touched(workspace, carried):
    shutil.copytree(carried.blend, "copy", copy_function=os.link)
    path = sorted(Path("copy").rglob("weights.safetensors"))[0]
    more = path.with_name("more.txt")
    content = path.read_bytes()
    path.unlink()  # others read this file
    assert f"{path} is missing; copy the export again" in workspace.refused("import", "copy")
    path.write_bytes(content[:-1] + b"x")
    assert f"{path} was altered: its SHA-256 is not the one recorded" in workspace.refused("import", "copy")
    path.write_bytes(content)
    more.touch()
    assert f"{more} is no part of the export; remove it" in workspace.refused("import", "copy")
    Path("copy/export.json").unlink()
    assert "copy is no export: it has no export.json" in workspace.refused("import", "copy")
    Path("copy/export.json").write_text('{"format": 9}')
    assert "has format 9, and this program reads 1" in workspace.refused("import", "copy")
    Path("copy/export.json").write_text("{")
    assert "copy is damaged" in workspace.refused("import", "copy")
    assert [found.name for found in workspace.tracking().client.search_experiments()] == ["Default"]


def _refit(folder):
    """Seal a folder as its sender would who altered it."""
    content = json.loads((folder / "export.json").read_text())
    (folder / "export.json").unlink()
    seal(folder, {"what": content["what"], "mlflow": content["mlflow"]})


@pytest.mark.parametrize(
    "what", ["code/vad/steps.py", "code/cv2.py", "model.sha256", "scores.csv", "weights.safetensors", "more.txt"]
)
def test_what_was_altered_and_sealed_again_is_refused(workspace, carried, what):
    """An export says twice what its files are: as it was packed, and as runs and version were made."""
    shutil.copytree(carried.model, "copy")
    if what.startswith("code/"):
        path = Path("copy/model/artifacts") / what
    elif what == "more.txt":
        path = next(Path("copy/runs").rglob("scores.csv")).with_name(what)
    else:
        path = next(Path("copy").rglob(what))
    path.write_bytes((path.read_bytes() if path.exists() else b"") + b"# changed\n")
    _refit(Path("copy"))
    message = workspace.refused("import", "copy")
    assert path.name in message and "altered" in message, message
    assert [found.name for found in workspace.tracking().client.search_experiments()] == ["Default"]


def test_what_was_put_beside_the_files_does_not_come_along(workspace, carried, tmp_path, monkeypatch):
    shutil.copytree(carried.folder, tmp_path / "origin")
    monkeypatch.chdir(tmp_path / "origin")
    workspace.done("doctor", "--fix")  # it was copied
    stored = Path("mlartifacts")
    places = [*stored.rglob("m-*/artifacts/code"), *(path.parent for path in stored.rglob("scores.csv"))]
    for place in places:
        (place / "cv2.py").write_text("planted")
    said = workspace.vad("export", "../parcel", "--model", "1")
    assert said.exit_code == 0, said.output
    assert "cv2.py is not in the export, only here: run " in said.output
    assert not list((tmp_path / "parcel").rglob("cv2.py"))


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(workspace, carried, monkeypatch):
    monkeypatch.chdir(carried.folder)
    assert "is there already, and not an empty folder" in workspace.refused("export", "data")
    assert "give --run or --model, not both" in workspace.refused("export", "new", "--run", "0" * 8, "--model", "1")
    assert "first 8 or more digits" in workspace.refused("export", "new", "--run", "0" * 7)
    assert "there is no run 00000000 in sqlite" in workspace.refused("export", "new", "--run", "0" * 8)
    assert "no such alias or version" in workspace.refused("export", "new", "--model", "9")
    member = Tracking().find("member")[0]
    weights = f"{member.tags['vad.checkpoint']}/weights.safetensors"
    path = Path("mlartifacts", member.run_id, "artifacts", weights)
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1] + b"x")
        assert f"{weights} in file:" in workspace.refused("export", "new")
        path.unlink()
        assert f"run {member.run_id} ({member.name}) cannot be exported: {weights} is gone" in workspace.refused(
            "export", "new"
        )
    finally:
        path.write_bytes(content)
    assert not [found for found in Path().iterdir() if "new" in found.name]


def test_only_a_place_that_is_gone_is_looked_for_beside_the_database(tmp_path):
    uri, new = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlartifacts" / "ab" / "artifacts"
    new.mkdir(parents=True)
    assert moved(uri, "file:///gone/mlartifacts/ab/artifacts") == new
    assert moved(uri, "file:///gone/mlartifacts/cd/artifacts") is None
    assert moved(uri, new.as_uri()) is None
    assert moved("http://tracker:5000", "file:///gone/mlartifacts/ab/artifacts") is None
