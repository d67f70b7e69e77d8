"""One open run in MLflow, to log to."""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from mlflow.entities import Metric, Param, Run, RunTag

from registry.store.address import local_path
from registry.store.processes import Lease
from registry.store.record import as_tags, recorded
from registry.store.retries import RetryingClient, without_retries
from registry.store.tags import stored
from vad.system.files import files_in, sha256

Status = Literal["FINISHED", "FAILED", "KILLED"]
DESCRIPTION = "mlflow.note.content"  # Markdown that MLflow's UI shows above a run


class RunLog:
    """One open run. Everything is sent in batches; the status is true when the process ends without being killed."""

    def __init__(self, client: RetryingClient, run: Run, lease: Lease | None = None):
        self._client = client
        self._lease = lease
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self._params = dict(run.data.params)
        self._files = recorded(run.data.tags)

    def log(
        self,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        model: str | None = None,
    ) -> None:
        """Log all in one call, metrics also on the logged model that is named; parameters that are logged stay."""
        now = int(time.time() * 1000)
        new = {key: str(value)[:6000] for key, value in (params or {}).items() if key not in self._params}
        self._client.log_batch(
            self.run_id,
            metrics=[Metric(key, float(value), now, 0, model_id=model) for key, value in (metrics or {}).items()],
            params=[Param(key, value) for key, value in new.items()],
            tags=[RunTag(stored(key), str(value)[:8000]) for key, value in (tags or {}).items()],
        )
        self._params |= new

    def tags(self, tags: Mapping[str, Any]) -> None:
        self.log(tags=tags)

    def curve(self, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Log metrics of several steps, each a step and its metrics: a call for one costs as much as for a thousand."""
        now = int(time.time() * 1000)
        values = [Metric(key, float(value), now, step) for step, metrics in points for key, value in metrics.items()]
        self._client.log_points(self.run_id, values)

    def place(self) -> str:
        """Return where a person finds the run's files: a folder on this disk, or its page on a server."""
        folder = local_path(str(self._client.get_run(self.run_id).info.artifact_uri))
        return os.path.relpath(folder) if folder else f"the artifacts of run {self.run_id}"

    def steps(self, metric: str) -> set[int]:
        """Return the steps for which a metric was logged."""
        return {point.step for point in self._client.get_metric_history(self.run_id, metric)}

    def artifact(self, path: Path) -> None:
        """Log a file, and record its SHA-256."""
        self._client.log_artifact(self.run_id, str(path))
        self._files[path.name] = sha256(path)
        self.tags(as_tags(self._files))

    def text(self, name: str, content: str) -> None:
        """Log a file with this content, and record its SHA-256."""
        self._client.log_text(self.run_id, content, name)
        self._files[name] = hashlib.sha256(content.encode()).hexdigest()
        self.tags(as_tags(self._files))

    def artifacts(
        self,
        path: Path,
        folder: str | None = None,
        known: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> None:
        """Log a folder's files, then `metrics` and `tags`; record each SHA-256, computed unless it is `known` by name."""
        self._client.log_artifacts(self.run_id, str(path), folder)
        for name, file in files_in(path).items():
            self._files[f"{folder}/{name}" if folder else name] = (known or {}).get(name) or sha256(file)
        self.log(metrics, tags={**as_tags(self._files), **(tags or {})})

    def end(self, status: Status) -> None:
        """Set the status. For that of a run that was cut off it does not wait: the next command sets it where it is missing."""
        if self._lease:
            self._lease.end()
        if status == "FINISHED":
            self._client.set_terminated(self.run_id, status)
        else:
            with without_retries(), suppress(Exception):  # or it would hide why the run was cut off
                self._client.set_terminated(self.run_id, status)
