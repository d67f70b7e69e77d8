"""Import a folder of `vad export` into this store: with new ids, nothing twice, and resumed by the same command."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from registry.analysis.choose import PARENT, all_runs
from registry.console import plural
from registry.maintenance.parcel import Parcel, RunRecord, VersionRecord, unpack
from registry.models.packaging import FACT, LISTING, listed
from registry.models.production import Production
from registry.models.versions import PRODUCTION, Versions
from registry.store.address import local_path
from registry.store.record import is_record, recorded
from registry.store.runlog import DESCRIPTION
from registry.store.tracking import Tracking
from vad.errors import InputError
from vad.system.files import files_in, sha256, share, twins

_KIND, _ORIGIN, _VERSION = "vad.kind", "vad.imported_from", "vad.version"
_RESULTS, _MODEL_FILE = "results.json", "MLmodel"
# Tags of a run and of a version that hold for the other store only.
_HERE = ("vad.host", "vad.pid", "vad.process", "vad.alive", "vad.taken_up", "vad.force", "vad.logged_model")
_DECISION = ("vad.decision", "vad.decided")


def import_(folder: Path, home: Path) -> tuple[list[str], list[str]]:
    """Import what this store does not have yet, and resume an interrupted import. Return what was done, and notes.

    Raises InputError where a file is missing or was altered, before the store is touched.
    """
    parcel = unpack(folder)
    for run_id, record in parcel.runs.items():
        weights = {name: digest for name, digest in record.needed().items() if digest}
        _require_recorded(parcel.artifacts(run_id), recorded(record.tags) | weights)
    if parcel.version is not None:
        digest = parcel.version.tags.get(FACT, "")
        _require_recorded(parcel.model, {**listed(parcel.model, digest, str(parcel.model)), LISTING: digest})
        if parcel.version.run_id not in parcel.runs:
            raise InputError(f"{folder} has a version of run {parcel.version.run_id}, but not this run; export again")
    return _Import(parcel, Tracking(new=True), home).all()


def _require_recorded(folder: Path, known: Mapping[str, str]) -> None:
    """Raise InputError for a file of which the run or version keeps no SHA-256, or another one."""
    for name, path in files_in(folder).items():
        if sha256(path) != known.get(name):
            other = "its SHA-256 is not the one that was recorded when it was made"
            raise InputError(f"{path} was altered: {other}; ask for another export")


class _Import:
    """An import under way. A run has the status RUNNING until it is complete."""

    def __init__(self, parcel: Parcel, tracking: Tracking, home: Path):
        self._parcel, self._tracking, self._home = parcel, tracking, home
        self._client = tracking.client
        self._versions = Versions(tracking)
        self._here = {run.run_id: run for run in all_runs(tracking)}
        self._ids: dict[str, str] = {}  # here, by those of the parcel
        self._new: dict[str, str] = {}  # those of runs that are not here yet, or were cut off
        self._notes: list[str] = []

    def all(self) -> tuple[list[str], list[str]]:
        """Open what is missing, fill it, register the version, and end the runs last."""
        # Experiments last, so that a finished one always has all its members.
        records = sorted(self._parcel.runs.values(), key=lambda record: record.tags[_KIND] == "experiment")
        for record in records:
            self._open(record)
        for run_id in self._new:
            self._fill(self._parcel.runs[run_id])
        number, became = self._version(self._parcel.version) if self._parcel.version else (None, "")
        for record in records:
            self._end(record, number, record.run_id in self._new)
        done = [f"run    {new}, which was {old}" for old, new in self._new.items()]
        known = len(records) - len(self._new)
        done.append(f"{plural(len(self._new), 'run')} imported, {known} were there already")
        return [*done, *([f"model  {became}"] if became else [])], self._notes

    def _open(self, record: RunRecord) -> None:
        """Find the run here that stands for a record, or make it; what was cut off counts as new."""
        origin = record.tags.get(_ORIGIN, record.run_id)
        imported = [run for run in self._here.values() if run.tags.get(_ORIGIN) == origin]
        known = self._here.get(record.run_id) or self._here.get(origin) or next(iter(imported), None)
        if known:
            run_id = known.run_id
        else:
            experiment = self._tracking.experiment(record.experiment, record.experiment_tags)
            tags = {_KIND: record.tags[_KIND], _ORIGIN: origin}
            run_id = self._client.create_run(experiment, record.started, tags, record.name).info.run_id
        self._ids[record.run_id] = run_id
        # One that `vad run` has taken up since has a process, and is not ours any more.
        if not known or (known in imported and known.status == "RUNNING" and "vad.host" not in known.tags):
            self._new[record.run_id] = run_id

    def _fill(self, record: RunRecord) -> None:
        """Log all that a record holds; what was logged before stays or is overwritten."""
        run_id = self._ids[record.run_id]
        own = (*_HERE, PARENT, _VERSION)
        tags = {key: value for key, value in record.tags.items() if key not in own and not is_record(key)}
        log = self._tracking.reopen(run_id)
        params = {key: value for key, value in record.params.items() if not key.startswith(_HERE)}
        log.log(params=params, tags=tags)
        self._client.log_points(run_id, record.metrics)
        files = self._parcel.artifacts(record.run_id)
        if files.is_dir():
            log.artifacts(files)

    def _end(self, record: RunRecord, number: str | None, new: bool) -> None:
        """Replace old ids by new ones, and set the status of a new run. A run that was here gets the tags that it lacks."""
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
            stayed = "no model: it stayed in the store that this run was imported from"
            content |= {
                "members": {name: self._ids.get(run, run) for name, run in content.get("members", {}).items()},
                "run_id": run_id,
                "link": self._tracking.link(run_id, here.info.experiment_id),
                "version": ours,
                "registered": f"imported as version {ours}" if ours else stayed,
            }
            log.text(_RESULTS, json.dumps(content, indent=2))
        if record.ended is None:
            self._client.update_run(run_id, record.status)
        else:
            self._client.set_terminated(run_id, record.status, record.ended)

    def _mapped(self, record: RunRecord, number: str | None, new: bool) -> dict[str, str]:
        """The tags of a record that name a run or a version, with the ids of this store."""
        tags = {}
        note, parent, old = (record.tags.get(key) for key in (DESCRIPTION, PARENT, _VERSION))
        if note:
            tags[DESCRIPTION] = self._with_new_ids(note)
        if parent in self._ids:
            tags[PARENT] = self._ids[parent]
        elif parent and new:
            self._notes.append(f"{record} stands alone here: its experiment, run {parent}, did not come along")
        if old and number and self._parcel.version and self._parcel.version.number == old:
            tags[_VERSION] = number
        elif old and new:
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

    def _version(self, record: VersionRecord) -> tuple[str, str]:
        """The number that the version has here, registered if it is not there; and what became of it."""
        same = {key: record.tags.get(key, "") for key in ("vad.ensemble", "vad.protocol")}
        version = next((v for v in self._versions.all() if v.has(same) and self._versions.whole(v)), None)
        if version and _DECISION[0] in version.tags:
            return version.number, f"is {version.uri} already"
        if version is None:
            run_id = self._ids[record.run_id]
            tags = {key: value for key, value in record.tags.items() if key not in _DECISION} | {"vad.run_id": run_id}
            description = self._with_new_ids(record.description)
            version = self._versions.add(self._model(record, run_id), run_id, tags, description)
        Production(self._versions, self._home).receive(version, "imported")
        production = self._versions.alias(PRODUCTION)
        stays = f"`vad promote v{version.number}` makes it production"
        stays = f"production stays {production.uri}" if production else stays
        return version.number, f"imported as {version.uri}; {stays}"

    def _model(self, record: VersionRecord, run_id: str) -> str:
        """Return the id of a version's logged model, whole: the one that was begun, or a new one."""
        experiment = self._client.get_run(run_id).info.experiment_id
        registered = {version.model_id for version in self._versions.all()}
        about = record.model_name, record.params, record.model_type
        model = self._tracking.begin_model(run_id, experiment, *about, registered)
        model_id = str(model.model_id)
        self._client.set_logged_model_tags(model_id, {**record.model_tags, _ORIGIN: record.model_id})
        self._client.log_points(run_id, record.metrics, model_id)
        self._client.log_output(run_id, model_id)
        self._client.log_model_artifacts(model_id, str(self._parcel.model))
        self._share_weights(model.artifact_location)
        old = yaml.safe_load((self._parcel.model / _MODEL_FILE).read_text())
        new = {"artifact_path": model.artifact_location, "model_id": model_id, "model_uuid": model_id, "run_id": run_id}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / _MODEL_FILE
            path.write_text(yaml.safe_dump(old | new))
            self._client.log_model_artifact(model_id, str(path))
        self._client.finalize_logged_model(model_id, "READY")
        return model_id

    def _share_weights(self, location: str) -> None:
        """Let weights of the version and of its members, where both lie on this disk, take room once."""
        places = [local_path(self._client.get_run(self._ids[old]).info.artifact_uri) for old in self._parcel.runs]
        folders = filter(None, (*places, local_path(location)))
        for original, copy in twins([path for folder in folders for path in sorted(folder.rglob("*.safetensors"))]):
            share(original, copy)
