"""Export a run or a model version into a folder, with all that belongs to it."""

import importlib.metadata
import json
from pathlib import Path

from registry.analysis.choose import LEAST, PARENT, all_runs, by_id
from registry.console import plural
from registry.maintenance import repair as mending
from registry.maintenance.parcel import Parcel, RunRecord, VersionRecord, points, require, seal
from registry.models.packaging import FACT, require_listed
from registry.models.versions import NAME, Version, Versions
from registry.store.address import ARTIFACTS, local_path, sqlite_path
from registry.store.record import recorded
from registry.store.tracking import Tracking
from vad.errors import InputError
from vad.system.files import files_in, new_folder


def export(folder: Path, run: str | None, model: str | None) -> tuple[str, list[str]]:
    """Write a run, or a model version with its run, into a new folder, with members, submissions and all their files.

    Return what was written and notes. Raises InputError for what is not there, still runs, or has lost files.
    """
    if run and model:
        raise InputError("give --run or --model, not both")
    tracking = Tracking()
    version = None if run else Versions(tracking).resolve(model or "production")
    run_id = version.run_id if version else _full_id(run or "", tracking)
    with new_folder(folder) as place:
        export = _Export(tracking, place)
        export.run_with_all(run_id)
        if version:
            export.version(version)
        export.parcel.write()
        what = str(export.parcel.runs[run_id])
        what = f"{version.uri} with its {what}" if version else what
        files, size = seal(place, {"what": what, "mlflow": importlib.metadata.version("mlflow")})
    sizes = f"{plural(len(export.parcel.runs), 'run')}, {files} files, {mending.megabytes(size)}"
    return f"exported {what} to {folder}: {sizes}, all copied; this store keeps everything", list(
        dict.fromkeys(export.notes)
    )


def _full_id(run: str, tracking: Tracking) -> str:
    if found := by_id(run, all_runs(tracking)):
        return found.run_id
    give = f"give a run's id, or its first {LEAST} or more digits; `vad leaderboard --all` lists those"
    raise InputError(f"there is no run {run} in {tracking.shown} that `vad` made: {give}")


def moved(tracking_uri: str, location: str) -> Path | None:
    """Return where the files of an artifact location lie now, if the folder of the SQLite store was moved; else None."""
    place, database = local_path(location), sqlite_path(tracking_uri)
    if place is None or place.exists() or database is None:
        return None
    found = mending.find_moved([location], database.resolve().with_name(ARTIFACTS))
    return local_path(found[location]) if found else None


class _Export:
    """An export under way."""

    def __init__(self, tracking: Tracking, place: Path):
        self._tracking, self._client = tracking, tracking.client
        self.parcel = Parcel(place, {}, None)
        self.notes: list[str] = []

    def run_with_all(self, run_id: str) -> None:
        """A run, its children, and the members that it reused from other runs."""
        self._run(run_id)
        for child in all_runs(self._tracking, {PARENT: run_id}):
            if child.status == "RUNNING":
                self.notes.append(
                    f"run {child.run_id} ({child.name}) is still running and not in the export; export again when it ended"
                )
            else:
                self._run(child.run_id)
        results = self.parcel.artifacts(run_id) / "results.json"
        members = json.loads(results.read_text())["members"] if results.exists() else {}
        for name, member in members.items():
            if member not in self.parcel.runs:
                self._run(member)
                self.notes.append(
                    f"{name} (run {member}) is in the export; the experiment that trained it is not, and is not needed"
                )

    def version(self, version: Version) -> None:
        """A version of the registered model, its files checked against the SHA-256 that they carry."""
        found = self._client.get_model_version(NAME, version.number)
        model = self._client.get_logged_model(version.source.removeprefix("models:/"))
        self._copy(model.artifact_location, self.parcel.model)
        require_listed(self.parcel.model, version.tags.get(FACT, ""), version.uri)  # which leaves what the list names
        self.parcel.version = VersionRecord(
            version.number, found.description or "", version.run_id, version.tags, model.model_id, model.name,
            model.model_type, dict(model.tags), dict(model.params), points(model.metrics or ()),
        )  # fmt: skip

    def _run(self, run_id: str) -> None:
        self._tracking.get(run_id)  # which says so where there is none
        run = self._client.get_run(run_id)
        info, experiment = run.info, self._client.get_experiment(run.info.experiment_id)
        metrics = points(p for key in sorted(run.data.metrics) for p in self._client.get_metric_history(run_id, key))
        record = RunRecord(
            run_id, info.run_name, experiment.name, dict(experiment.tags), info.status, info.start_time, info.end_time,
            dict(run.data.params), dict(run.data.tags), metrics,
        )  # fmt: skip
        if record.status == "RUNNING":
            raise InputError(f"{record} is still running; export it when it has ended")
        files = self.parcel.artifacts(run_id)
        self._copy(info.artifact_uri, files)
        known = recorded(record.tags)
        there = {path: digest for path, digest in known.items() if (files / path).exists()}
        require(str(record), files, record.needed() | there, info.artifact_uri)
        for name, path in files_in(files).items():
            if name not in known:
                why = f"run {run_id} did not log it, or keeps no SHA-256 of it"
                self.notes.append(f"{path.name} is not in the export, only here: {why}")
                path.unlink()
        self.parcel.runs[run_id] = record

    def _copy(self, location: str, target: Path) -> None:
        """Copy what lies at an artifact location, if anything does."""
        if (elsewhere := moved(self._tracking.uri, location)) and (parts := mending.cut(location)):
            self.notes.append(f"the store says that its files lie in {parts[0]}; `vad doctor --fix` mends that")
            location = elsewhere.as_uri()
        if self._tracking.has_files(location):
            # MLflow makes a folder of the address's last name.
            self._tracking.download(location, target.parent).rename(target)
