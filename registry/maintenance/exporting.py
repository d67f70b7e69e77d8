"""A run or a model version from a store into a folder, with all that belongs to it."""

import importlib.metadata
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from registry.analysis.choose import LEAST
from registry.maintenance import repair as mending
from registry.maintenance.parcel import (
    Parcel,
    RunRecord,
    VersionRecord,
    packing,
    points,
    read_json,
    require,
    seal,
)
from registry.models.packaging import FACT, require_listed
from registry.models.versions import NAME, Version, Versions
from registry.store.address import sqlite_path
from registry.store.record import recorded
from registry.store.tracking import Kind, Tracking
from vad.errors import InputError

_KIND, _PARENT = "vad.kind", "mlflow.parentRunId"
_RESULTS, _MODEL_FILE = "results.json", "MLmodel"
_STATUSES = ("FINISHED", "FAILED", "KILLED", "RUNNING")


@dataclass(frozen=True)
class Exported:
    """What was written: how many runs and files, their size in bytes, and what else there is to say."""

    what: str
    runs: int
    files: int
    size: int
    notes: list[str]


def export(folder: Path, run: str | None, model: str | None) -> Exported:
    """Write a run, or a model version with its run, into a new folder: with members, submissions, and all their files.

    Raises InputError for a run or version that is not there, still runs, or has lost files.
    """
    if run and model:
        raise InputError("give --run or --model, not both")
    tracking = Tracking()
    version = None if run else Versions(tracking).resolve(model or "production")
    run_id = version.run_id if version else _full_id(run or "", tracking)
    with packing(folder) as place:
        export = _Export(tracking, place)
        export.run_with_all(run_id)
        if version:
            export.version(version)
        export.parcel.write()
        what = str(export.parcel.runs[run_id])
        what = f"{version.uri} with its {what}" if version else what
        files, size = seal(place, {"what": what, "mlflow": importlib.metadata.version("mlflow")})
    return Exported(what, len(export.parcel.runs), files, size, list(export.notes))


def _full_id(run: str, tracking: Tracking) -> str:
    """The id that begins so. Raises InputError where there is none, or more than one."""
    if not re.fullmatch(f"[0-9a-f]{{{LEAST},32}}", run):
        raise InputError(f"--run {run}: give a run's id, or its first {LEAST} or more digits (0-9, a-f)")
    experiments = [found.experiment_id for found in tracking.client.search_experiments()]
    found = tracking.client.search_runs(experiments, f"attributes.run_id LIKE '{run}%'")
    if len(found) != 1:
        several = f"several runs whose ids begin with {run}; give more digits"
        raise InputError(f"there are {several}" if found else f"there is no run {run} in {tracking.uri}")
    return str(found[0].info.run_id)


def moved(tracking_uri: str, location: str) -> Path | None:
    """Where the files of an artifact location lie that is no more: the same way below the `mlartifacts` of the SQLite store.

    None where the location is as it should be, or the files are not there either.
    """
    place = mending.local(location)
    database = sqlite_path(tracking_uri)
    if place is None or place.exists() or database is None:
        return None
    here = database.resolve().parent / mending.ARTIFACTS
    found = mending.find_moved([location], here).get(location)
    return mending.local(found) if found else None


class _Export:
    """An export on its way into a folder."""

    def __init__(self, tracking: Tracking, place: Path):
        self._tracking = tracking
        self._client = tracking.client
        self.parcel = Parcel(place, {}, None)
        self.notes: dict[str, None] = {}  # in order, each once

    def run_with_all(self, run_id: str) -> None:
        """A run, its children, and the members that it reused from other runs."""
        self._run(run_id)
        for kind in get_args(Kind):
            for child in self._tracking.find(kind, statuses=_STATUSES, tags={_PARENT: run_id}):
                if child.status == "RUNNING":
                    self._note(f"run {child.run_id} ({child.name}) is still running, and stays behind")
                else:
                    self._run(child.run_id)
        results = self.parcel.artifacts(run_id) / _RESULTS
        members = read_json(results, f"run {run_id}")["members"] if results.exists() else {}
        for name, member in members.items():
            if member not in self.parcel.runs:
                self._run(member)
                self._note(f"{name} comes along from another experiment (run {member}), which does not")

    def version(self, version: Version) -> None:
        """A version of the registered model, its files checked against the SHA-256 that they carry."""
        found = self._client.get_model_version(NAME, version.number)
        if not version.source.startswith("models:/m-"):
            raise InputError(f"{version.uri} has no logged model; run {version.tags.get('vad.entry')} again")
        model = self._client.get_logged_model(version.source.removeprefix("models:/"))
        files = self.parcel.model
        self._copy(model.artifact_location, files)
        (files / "registered_model_meta").unlink(missing_ok=True)  # name and number; MLflow writes them on loading
        about = "artifacts/ensemble/ensemble.json"
        require(version.uri, files, {_MODEL_FILE: None, about: None}, model.artifact_location)
        weights = read_json(files / about, version.uri)["sha256"]
        require(version.uri, (files / about).parent, weights, model.artifact_location)
        require_listed(files, version.tags.get(FACT, ""), version.uri)  # which leaves what the list names
        record = VersionRecord(
            version.number, found.description or "", version.run_id, version.tags, model.model_id, model.name,
            model.model_type, dict(model.tags), dict(model.params), points(model.metrics or ()),
        )  # fmt: skip
        self.parcel = replace(self.parcel, version=record)

    def _run(self, run_id: str) -> None:
        self._tracking.get(run_id)  # which says so where there is none
        run = self._client.get_run(run_id)
        info, experiment = run.info, self._client.get_experiment(run.info.experiment_id)
        metrics = points(p for key in sorted(run.data.metrics) for p in self._client.get_metric_history(run_id, key))
        record = RunRecord(
            run_id, info.run_name, experiment.name, dict(experiment.tags), info.status, info.start_time, info.end_time,
            dict(run.data.params), dict(run.data.tags), metrics,
        )  # fmt: skip
        if _KIND not in record.tags:
            raise InputError(f"{record} was not made by `vad`; export one that `vad leaderboard --all` lists")
        if record.status == "RUNNING":
            raise InputError(f"{record} is still running; export it when it has ended")
        files = self.parcel.artifacts(run_id)
        self._copy(info.artifact_uri, files)
        known = recorded(record.tags)
        there = {path: digest for path, digest in known.items() if (files / path).exists()}
        require(str(record), files, record.needed() | there, info.artifact_uri)
        for path in [path for path in files.rglob("*") if path.is_file()]:
            if path.relative_to(files).as_posix() not in known:
                self._note(f"{path.name} stays behind: run {run_id} did not log it, or keeps no SHA-256 of it")
                path.unlink()
        self.parcel.runs[run_id] = record

    def _copy(self, location: str, target: Path) -> None:
        """The files of an artifact location; none where it is on this disk and not there."""
        place = mending.local(location)
        if place is None:
            if self._tracking.has_files(location):
                # MLflow makes a folder of the address's last name.
                self._tracking.download(location, target.parent).rename(target)
            return
        if elsewhere := moved(self._tracking.uri, location):
            self._note(f"the store says that its files lie in {mending.root(location)}; `vad doctor --fix` mends that")
            place = elsewhere
        if place.is_dir():
            shutil.copytree(place, target, ignore=shutil.ignore_patterns("__pycache__"))

    def _note(self, text: str) -> None:
        self.notes[text] = None
