"""Runs in MLflow, found by the digests in their tags: a parent run is an entry on some data, a child run a member."""

import heapq
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import mlflow
from mlflow.entities import LoggedModel, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from registry.signals import was_stopped
from registry.store.address import ARTIFACTS, local_path, sqlite_path, sqlite_uri
from registry.store.connection import reaching, unless_absent, without_password
from registry.store.paths import writable
from registry.store.processes import ALIVE, Lease, now, process_gone, this_process
from registry.store.record import Altered, recorded
from registry.store.retries import Retries, RetryingClient, Unreachable, equals, without_retries
from registry.store.runlog import RunLog
from registry.store.tags import stored
from vad.errors import InputError
from vad.system.files import require_writable, sha256

Kind = Literal["experiment", "member", "submission", "decision", "suite"]
# The tag that counts how often a run was resumed. A parameter of this name and a number says by which process.
_TAKEN = "vad.taken_up"


def default_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`, or a SQLite file in the working folder. Raises InputError."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(Path("mlflow.db").resolve())
    if (registry := os.environ.get("MLFLOW_REGISTRY_URI") or uri) != uri:
        ours = f"registered models lie in the store of the runs, {without_password(uri)}"
        raise InputError(f"MLFLOW_REGISTRY_URI={without_password(registry)}: {ours}; unset it")
    return uri


@dataclass(frozen=True)
class Found:
    """A run as plain values; `started` is in seconds since 1970."""

    run_id: str
    name: str
    experiment_id: str
    experiment: str
    status: str
    started: float
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]

    @property
    def when(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started))


class Tracking:
    """A tracking store. With `new` a missing one is made, with `maybe` it counts as one without runs. Raises InputError."""

    client: RetryingClient

    def __init__(self, uri: str | None = None, mark_stale: bool = True, new: bool = False, maybe: bool = False):
        self.uri = uri or default_uri()
        self.shown = without_password(self.uri)  # the address as it may be printed and stored
        self._seen: dict[str, Run] = {}
        self._experiments: dict[str, str] = {}
        asked = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        # MLflow sets these variables; a store of another folder, opened later, would be mistaken for this one.
        for name, value in asked.items():
            os.environ.pop(name, None)
            os.environ |= {name: value} if value is not None else {}
        self.retrying = Retries(self.shown)
        """Repeats a call of MLflow that does not go by the client."""
        self._exists = not maybe or (database := sqlite_path(self.uri)) is None or database.exists()
        if not self._exists:
            return
        with reaching(self.uri, new):
            self.client = RetryingClient(self.retrying)
            self._experiments = self._named_experiments()
        if mark_stale:
            self._mark_stale()

    def _named_experiments(self) -> dict[str, str]:
        return {e.experiment_id: e.name for e in self.client.search_experiments()}

    def experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """Return the id of the MLflow experiment of this name, made if it is not there; tags that it lacks are set."""
        known = self.client.get_experiment_by_name(name)
        if known is None:
            location = self._artifacts.as_uri() if self._artifacts else None
            self.client.call_unless("RESOURCE_ALREADY_EXISTS", "create_experiment", name, location, dict(tags))
            known = self.client.get_experiment_by_name(name)
        if known.lifecycle_stage != "active":
            raise InputError(f'the MLflow experiment "{name}" was deleted; `mlflow experiments restore` restores it')
        if folder := local_path(known.artifact_location):  # fail now, not after hours of training
            require_writable(folder / known.experiment_id)
        self._experiments[known.experiment_id] = name
        for key, value in tags.items():
            if key not in known.tags:
                self.client.set_experiment_tag(known.experiment_id, key, value)
        return str(known.experiment_id)

    @property
    def _artifacts(self) -> Path | None:
        """The folder of artifacts beside a database on this disk."""
        database = sqlite_path(self.uri)
        return database.resolve().parent / ARTIFACTS if database else None

    def require_in_place(self, reading: bool = False) -> None:
        """Raise InputError where artifacts would be written to, or removed from, the folder that a database was copied from.

        For `reading` only where that folder is gone: files would be called lost that lie beside the database.
        """
        if (own := self._artifacts) is None or not own.is_dir():
            return
        for experiment in self.client.search_experiments():
            folder = local_path(experiment.artifact_location)
            if folder and folder.name == own.name and folder != own and not (reading and folder.exists()):
                fault = f"the database {sqlite_path(self.uri)} was moved or copied: its addresses lead to {folder}, its files lie in {own}"
                raise InputError(f"{fault}; set them right first, by `vad doctor --fix`")

    def open_run(
        self, experiment_id: str, kind: Kind, digest: str, name: str, tags: Mapping[str, Any], parent: str | None = None
    ) -> RunLog:
        """Open a run to log to: one of this digest that was interrupted, else a new one."""
        self.require_in_place()
        every = {**tags, "vad.kind": kind, "vad.digest": digest, **this_process(), ALIVE: now()}
        for run in self.find(kind, digest, ("KILLED", "FAILED", "RUNNING"), experiment_id):
            same = (run.tags.get("mlflow.parentRunId"), run.tags.get("vad.force")) == (parent, tags.get("vad.force"))
            if same and self._take_up(run.run_id, every):
                return self._open(self.client.get_run(run.run_id))
        every |= {"mlflow.parentRunId": parent} if parent else {}
        return self._open(self.client.create_run(experiment_id, None, {k: str(v) for k, v in every.items()}, name))

    def _open(self, run: Run) -> RunLog:
        # Not by the retrying client: renewing a lease must not wait for or report an outage.
        lease = Lease(lambda: mlflow.MlflowClient(self.uri).set_tag(run.info.run_id, stored(ALIVE), now()))
        return RunLog(self.client, run, lease)

    def _take_up(self, run_id: str, tags: Mapping[str, Any]) -> bool:
        """Resume an interrupted run with these tags; return False where another process has it or is faster."""
        # A run is not read at one moment. This tag follows the status, so the status is read after it.
        number = int(self.client.get_run(run_id).data.tags.get(_TAKEN, 0)) + 1
        run = self.client.get_run(run_id)
        if run.info.status == "RUNNING" and not process_gone(run.data.tags):
            return False
        # The first process to log the parameter has the run, as MLflow never changes one; one that was killed since does not count.
        me = json.dumps(this_process())
        while (by := run.data.params.get(f"{_TAKEN}.{number}", me)) != me:
            if not process_gone(json.loads(by)):
                return False
            number += 1
        if not self.client.call_unless("INVALID_PARAMETER_VALUE", "log_param", run_id, f"{_TAKEN}.{number}", me):
            return False
        log = self.reopen(run_id)
        log.tags(tags)  # before the status: a RUNNING run must name its process
        self.client.update_run(run_id, status="RUNNING")
        log.tags({_TAKEN: number})  # after the status: with this tag others see that the run is taken
        return True

    def begin_model(
        self,
        run_id: str,
        experiment_id: str,
        name: str,
        params: Mapping[str, Any],
        model_type: str | None = None,
        registered: Collection[str] = (),
    ) -> LoggedModel:
        """Return a logged model of a run: one of this name that is not `registered` (by id), emptied, or a new one."""
        query = f"{equals('source_run_id', run_id)} AND {equals('name', name)}"
        for model in self.client.search_logged_models([experiment_id], query):
            if model.model_id not in registered:
                self.remove_files(model.artifact_location)
                return model
        plain = {key: str(value) for key, value in params.items()}
        return self.client.create_logged_model(experiment_id, name, run_id, params=plain, model_type=model_type)

    def model_metrics(self, model_id: str) -> set[str] | None:
        """Return the names of a logged model's metrics; None where it was deleted."""
        model = unless_absent(lambda: self.client.get_logged_model(model_id))
        return {metric.key for metric in model.metrics or ()} if model else None

    def has_model(self, uri: str) -> bool:
        """Whether a registered model's files are where the store says they are."""
        try:
            self.retrying(lambda: mlflow.models.get_model_info(uri))
        except (MlflowException, OSError):
            return False
        return True

    def has_files(self, location: str) -> bool:
        """Return whether an artifact location holds anything."""
        return bool(self.retrying(lambda: mlflow.artifacts.list_artifacts(artifact_uri=location)))

    def download(self, address: str, folder: Path) -> Path:
        """Copy an artifact location or a registered model into a folder; return the copy's path."""
        download = mlflow.artifacts.download_artifacts
        return Path(self.retrying(lambda: download(artifact_uri=address, dst_path=str(folder))))

    def remove_files(self, location: str) -> None:
        """Remove everything at an artifact location."""
        self.retrying(get_artifact_repository(location, self.uri).delete_artifacts)

    @contextmanager
    def ending_runs(self) -> Iterator[None]:
        """End all runs of this process where the block is stopped or fails."""
        try:
            yield
        except BaseException as error:
            mine = this_process()
            for run in self._running():
                if mine.items() <= run.data.tags.items():
                    self.client.set_terminated(run.info.run_id, "KILLED" if was_stopped(error) else "FAILED")
            raise

    def reopen(self, run_id: str) -> RunLog:
        """Open a finished run to add to it; its status stays."""
        return RunLog(self.client, self.client.get_run(run_id))

    def find(
        self,
        kind: Kind,
        digest: str | None = None,
        statuses: Sequence[str] = ("FINISHED",),
        experiment_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        most: int | None = None,
    ) -> list[Found]:
        """Return runs of a kind, newest first."""
        wanted = {"vad.kind": kind, **({"vad.digest": digest} if digest else {}), **(tags or {})}
        # By the tags' names of this version, and of earlier versions.
        spellings = (stored, str) if any(stored(key) != key for key in wanted) and self._has_older else (stored,)
        names = [{key: name(key) for key in wanted} for name in spellings]
        queries = {" and ".join(equals(f"tags.`{of[key]}`", value) for key, value in wanted.items()) for of in names}

        def search(ids: list[str]) -> list[Found]:
            found: dict[str, Found] = {}
            each = [self.client.runs(ids, query) for query in queries] if ids else []
            for run in heapq.merge(*each, key=lambda run: run.info.start_time, reverse=True):
                if run.info.status in statuses and wanted.items() <= run.data.tags.items():
                    found.setdefault(run.info.run_id, self._found(run))
                if len(found) == most:
                    break
            return list(found.values())

        known = [experiment_id] if experiment_id else list(self._experiments)
        found = search(known)
        if found or experiment_id or not self._exists:
            return found
        self._experiments = self._named_experiments()  # another process may have made one since
        return search([name for name in self._experiments if name not in known])

    @cached_property
    def _has_older(self) -> bool:
        """Whether an earlier version made any of the runs: each search for both would take twice as long."""
        ids = list(self._experiments)
        return bool(ids) and self.client.any_run(ids, "tags.`vad.digest` LIKE '%'")

    def get(self, run_id: str) -> Found:
        """Return one run by id. Raises InputError where there is none."""
        if run := self._look_at(run_id):
            return self._found(run)
        raise InputError(f"there is no run {run_id} in {self.shown}")

    def fetch(self, run_id: str, path: str, home: Path) -> Path | None:
        """Return an artifact, of a server a copy below `home`; None if it is gone or was never logged. Raises Altered."""
        run = self._seen.get(run_id) or self._look_at(run_id)
        if run is None:
            return None
        folder = home / "fetched" / run_id
        copy = folder / path
        if copy.is_file() and sha256(copy) == recorded(run.data.tags).get(path):
            return copy  # fetched from a server before
        found = self._download(run.info.artifact_uri, path, folder)
        if found is None:
            return None
        digest = sha256(found)
        if digest != recorded(run.data.tags).get(path):
            run = self._look_at(run_id) or run  # more may have been logged since
        known = recorded(run.data.tags).get(path)
        if known and known != digest:
            raise Altered(run_id, path)
        return found if known else None

    def read_json(self, run_id: str, path: str, home: Path) -> dict[str, Any] | None:
        """Return the content of an artifact; None if it is gone or no JSON object. Raises Altered."""
        found = self.fetch(run_id, path, home)
        try:
            return dict(json.loads(found.read_text())) if found else None
        except (OSError, ValueError, TypeError):
            return None

    def _look_at(self, run_id: str) -> Run | None:
        run = unless_absent(lambda: self.client.get_run(run_id))
        if run:
            self._seen[run_id] = run
        return run

    def _download(self, root: str, path: str, folder: Path) -> Path | None:
        if local := local_path(root):
            return local / path if os.path.isfile(local / path) else None
        # The client would ask a server for the run and its models before each of these calls.
        files = get_artifact_repository(root, self.uri)

        def copy() -> Path | None:
            listed = self.retrying(lambda: files.list_artifacts(os.path.dirname(path) or None))
            if path not in [item.path for item in listed]:
                return None
            place = str(writable(folder))
            return Path(self.retrying(lambda: files.download_artifacts(path, place)))

        return unless_absent(copy)

    def link(self, run_id: str, experiment_id: str) -> str:
        """Return where to find a run: its page on a server, or the experiment that `make ui` lists it in."""
        if self.uri.startswith("http"):
            return f"{self.shown.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"
        return f"(make ui, experiment {self._experiments[experiment_id]})"

    def _found(self, run: Run) -> Found:
        info, data = run.info, run.data
        self._seen[info.run_id] = run
        params = {key: value for key, value in data.params.items() if not key.startswith(_TAKEN)}
        experiment, started = self._experiments.get(info.experiment_id, ""), info.start_time / 1000
        about = (info.run_id, info.run_name, info.experiment_id, experiment, info.status, started)
        return Found(*about, dict(data.metrics), params, dict(data.tags))

    def _mark_stale(self) -> None:
        """Mark runs that say RUNNING though their process is gone as KILLED, where the store can be written."""
        for run in self._running():
            if process_gone(run.data.tags):
                with without_retries(), suppress(MlflowException, Unreachable):
                    again = self.client.get_run(run.info.run_id)  # another process may have taken it since
                    if again.info.status == "RUNNING" and process_gone(again.data.tags):
                        self.client.set_terminated(run.info.run_id, "KILLED")

    def _running(self) -> list[Run]:
        """Return runs that say that a process has them open."""
        ids = list(self._experiments)
        return list(self.client.runs(ids, "attributes.status = 'RUNNING'")) if ids else []
