"""What a folder of `vad export` holds, made in another store: with new ids, nothing twice, and to be repeated when cut off."""

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from registry.maintenance.parcel import (
    Parcel,
    RunRecord,
    VersionRecord,
    unpack,
)
from registry.models.packaging import FACT, LISTING, listed
from registry.models.production import Production
from registry.models.versions import PRODUCTION, Version, Versions
from registry.store.connection import unless_absent
from registry.store.record import is_record, recorded
from registry.store.retries import equals
from registry.store.tracking import Tracking
from vad.errors import InputError
from vad.system.files import sha256

_KIND, _ORIGIN, _PARENT, _VERSION = "vad.kind", "vad.imported_from", "mlflow.parentRunId", "vad.version"
_NOTE, _RESULTS, _MODEL_FILE = "mlflow.note.content", "results.json", "MLmodel"
_STATUSES = ("FINISHED", "FAILED", "KILLED", "RUNNING")
# Tags of a run and of a version that are true of the other store only.
_HERE = ("vad.host", "vad.pid", "vad.process", "vad.alive", "vad.taken_up", "vad.force", "vad.logged_model")
_DECISION = ("vad.decision", "vad.decided")


@dataclass
class Imported:
    """What an import did: new ids by the old ones, how many runs were there before, what became of the version."""

    runs: dict[str, str] = field(default_factory=dict)
    known: int = 0
    version: str = ""
    notes: list[str] = field(default_factory=list)


def import_(folder: Path, home: Path) -> Imported:
    """Make what a folder holds in this store, unless it is there. What was cut off is taken up.

    Raises InputError, before the store is touched, where a file is missing or was altered.
    """
    parcel = unpack(folder)
    for run_id, record in parcel.runs.items():
        weights = {name: digest for name, digest in record.needed().items() if digest}
        _require_recorded(parcel.artifacts(run_id), recorded(record.tags) | weights)
        _require(parcel.artifacts(run_id) / _RESULTS, json.loads, "members")
    if parcel.version is not None:
        digest = parcel.version.tags.get(FACT, "")
        _require_recorded(parcel.model, {**listed(parcel.model, digest, str(parcel.model)), LISTING: digest})
        _require(parcel.model / _MODEL_FILE, yaml.safe_load, "flavors")
        if parcel.version.run_id not in parcel.runs:
            raise InputError(f"{folder} has a version of run {parcel.version.run_id}, but not this run; export again")
    return _Import(parcel, Tracking(new=True), home).all()


def _require_recorded(folder: Path, known: Mapping[str, str]) -> None:
    """Raise InputError for a file of which the run or version keeps no SHA-256, or another one."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest = known.get(path.relative_to(folder).as_posix())
        if digest is None or sha256(path) != digest:
            raise InputError(
                f"{path} was altered: its SHA-256 is not the one that was recorded when it was made; ask for another export"
            )


def _require(path: Path, read: Callable[[str], Any], key: str) -> None:
    """Raise InputError where a file that an import reads is no mapping that has this key with a mapping below it."""
    try:
        good = not path.is_file() or isinstance(read(path.read_text())[key], dict)
    except (OSError, ValueError, TypeError, LookupError, RecursionError, yaml.YAMLError):
        good = False
    if not good:
        raise InputError(f"{path} is not as `vad export` writes it: it has no {key}; export again")


class _Import:
    """An import on its way into a store. A run says RUNNING until it is whole."""

    def __init__(self, parcel: Parcel, tracking: Tracking, home: Path):
        self._parcel, self._tracking, self._home = parcel, tracking, home
        self._client = tracking.client
        self._versions = Versions(tracking)
        self._ids: dict[str, str] = {}
        self._done = Imported()

    def all(self) -> Imported:
        """Open what is missing, fill it, register the version, and end the runs last."""
        # Experiments last: who sees one finished finds all that belongs to it.
        records = sorted(self._parcel.runs.values(), key=lambda record: record.tags[_KIND] == "experiment")
        for record in records:
            self._open(record)
        for run_id in self._done.runs:
            self._fill(self._parcel.runs[run_id])
        number = self._version(self._parcel.version) if self._parcel.version else None
        for record in records:
            self._end(record, number, record.run_id in self._done.runs)
        self._done.known = len(records) - len(self._done.runs)
        return self._done

    def _open(self, record: RunRecord) -> None:
        """Find the run here that stands for a record, or make it; what was cut off counts as new."""
        origin, kind = record.tags.get(_ORIGIN, record.run_id), record.tags[_KIND]
        for run_id in (record.run_id, origin):
            if self._active(run_id):
                self._ids[record.run_id] = run_id
                return
        found = self._tracking.find(kind, statuses=_STATUSES, tags={_ORIGIN: origin})  # type: ignore[arg-type]
        if found:
            run_id = found[0].run_id
        else:
            experiment = self._tracking.experiment(record.experiment, record.experiment_tags)
            tags = {_KIND: kind, _ORIGIN: origin}
            run_id = self._client.create_run(experiment, record.started, tags, record.name).info.run_id
        self._ids[record.run_id] = run_id
        # One that `vad run` has taken up since has a process, and is not ours any more.
        if not found or (found[0].status == "RUNNING" and "vad.host" not in found[0].tags):
            self._done.runs[record.run_id] = run_id

    def _active(self, run_id: str) -> bool:
        run = unless_absent(lambda: self._client.get_run(run_id))
        return run is not None and bool(run.info.lifecycle_stage == "active")

    def _fill(self, record: RunRecord) -> None:
        """Log all that a record holds; what is there already stays or is written over."""
        run_id = self._ids[record.run_id]
        own = (*_HERE, _PARENT, _VERSION)
        tags = {key: value for key, value in record.tags.items() if key not in own and not is_record(key)}
        log = self._tracking.reopen(run_id)
        log.params({key: value for key, value in record.params.items() if not key.startswith(_HERE)})
        log.tags(tags)
        self._client.log_points(run_id, record.metrics)
        files = self._parcel.artifacts(record.run_id)
        if files.is_dir():
            log.artifacts(files)

    def _end(self, record: RunRecord, number: str | None, new: bool) -> None:
        """Put new ids for the old ones, and give a new run its status. One that was here gets what it lacked."""
        run_id = self._ids[record.run_id]
        tags, here = self._mapped(record, number, new), self._client.get_run(run_id)
        imported = _ORIGIN in here.data.tags and here.info.status != "RUNNING"
        if not new and not (imported and any(here.data.tags.get(key) != value for key, value in tags.items())):
            return
        log = self._tracking.reopen(run_id)
        log.tags(tags)
        results = self._parcel.artifacts(record.run_id) / _RESULTS
        if results.is_file():
            content = json.loads(results.read_text())
            ours = number if tags.get(_VERSION) == number else None
            content["run_id"], content["version"] = run_id, ours
            content["members"] = {name: self._ids.get(member, member) for name, member in content["members"].items()}
            content["link"] = self._tracking.link(run_id, here.info.experiment_id)
            stayed = "no model: it stayed in the store that this run was imported from"
            content["registered"] = f"imported as version {ours}" if ours else stayed
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / _RESULTS
                path.write_text(json.dumps(content, indent=2))
                log.artifact(path)
        if record.ended is None:
            self._client.update_run(run_id, record.status)
        else:
            self._client.set_terminated(run_id, record.status, record.ended)

    def _mapped(self, record: RunRecord, number: str | None, new: bool) -> dict[str, str]:
        """The tags of a record that name a run or a version, with the ids of this store."""
        tags = {}
        if told := record.tags.get(_NOTE):
            tags[_NOTE] = self._with_new_ids(told)
        if parent := record.tags.get(_PARENT):
            if parent in self._ids:
                tags[_PARENT] = self._ids[parent]
            elif new:
                self._done.notes.append(f"{record} stands alone here: its experiment, run {parent}, did not come along")
        if old := record.tags.get(_VERSION):
            if self._parcel.version and self._parcel.version.number == old and number:
                tags[_VERSION] = number
            elif new:
                tags[_VERSION] = f"{old} elsewhere"
        return tags

    def _with_new_ids(self, text: str) -> str:
        """A description whose links and pictures lead to runs, with the ids that those have here."""
        for old, new in self._ids.items():
            if old in text:
                experiment = self._client.get_run(new).info.experiment_id
                text = re.sub(rf"experiments/\d+/runs/{old}", f"experiments/{experiment}/runs/{new}", text)
                text = text.replace(old, new)
        return text

    def _version(self, record: VersionRecord) -> str:
        """The number that the version has here, registered if it is not there."""
        same = ("vad.ensemble", "vad.protocol")
        known = [
            version
            for version in self._versions.all()
            if all(version.tags.get(key) == record.tags.get(key) for key in same) and self._versions.whole(version)
        ]
        version = known[0] if known else self._register(record)
        if known and _DECISION[0] in version.tags:
            self._done.version = f"is {version.uri} already"
            return version.number
        Production(self._versions, self._home).receive(version, "imported")
        production = self._versions.alias(PRODUCTION)
        stays = (
            f"production stays {production.uri}"
            if production
            else f"`vad promote v{version.number}` makes it production"
        )
        self._done.version = f"imported as {version.uri}; {stays}"
        return version.number

    def _register(self, record: VersionRecord) -> Version:
        run_id = self._ids[record.run_id]
        model_id = self._model(record, run_id)
        tags = {key: value for key, value in record.tags.items() if key not in _DECISION}
        tags = {key: run_id if key == "vad.run_id" else value for key, value in tags.items()}
        return self._versions.add(model_id, run_id, tags, self._with_new_ids(record.description))

    def _model(self, record: VersionRecord, run_id: str) -> str:
        """The logged model of a version, whole: the one that was begun, or a new one. Gives its id."""
        experiment = self._client.get_run(run_id).info.experiment_id
        begun = [
            found for found in self._client.search_logged_models([experiment], equals(f"tags.`{_ORIGIN}`", record.model_id))
            if found.tags.get(_ORIGIN) == record.model_id
        ]  # fmt: skip
        model = begun[0] if begun else self._client.create_logged_model(
            experiment, record.model_name, run_id, {**record.model_tags, _ORIGIN: record.model_id}, record.params,
            record.model_type,
        )  # fmt: skip
        model_id = str(model.model_id)
        self._client.log_points(run_id, record.metrics, model_id)
        self._client.log_output(run_id, model_id)
        self._client.log_model_artifacts(model_id, str(self._parcel.model))
        about = yaml.safe_load((self._parcel.model / _MODEL_FILE).read_text())
        new = {"artifact_path": model.artifact_location, "model_id": model_id, "model_uuid": model_id, "run_id": run_id}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / _MODEL_FILE
            path.write_text(yaml.safe_dump(about | new))
            self._client.log_model_artifact(model_id, str(path))
        self._client.finalize_logged_model(model_id, "READY")
        return model_id
