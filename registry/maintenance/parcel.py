"""A folder that carries runs and a model version from one store to another: readable JSON and plain files.

export.json                        what it is, when it was made, SHA-256 and size of every other file
runs/<id>/run.json, artifacts/     a run
model/version.json, artifacts/     a model version, where one comes along
"""

import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, TypeAdapter, ValidationError

from vad.errors import InputError
from vad.system.files import altered, files_in, sha256

FORMAT = 1
_CONTENTS = "export.json"
Count = Annotated[int, Field(ge=0, lt=2**63)]  # the largest that a database stores
# JSON has no NaN.
Value = Annotated[float, PlainSerializer(lambda value: value if math.isfinite(value) else str(value))]
# The files that a finished run must have, by its kind; the tags of a member name its own.
_NEEDED = {"experiment": ("results.json", "entry.yaml", "resolved.yaml", "scores.csv"), "submission": ("sha256.txt",)}


@dataclass(frozen=True)
class Point:
    """A logged value of a metric; `timestamp` is in milliseconds."""

    key: str
    value: Value
    timestamp: Count
    step: Count


@dataclass(frozen=True)
class RunRecord:
    """A run; `started` and `ended` are in milliseconds since 1970."""

    run_id: str
    name: str
    experiment: str
    experiment_tags: dict[str, str]
    status: Literal["FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED"]
    started: Count
    ended: Count | None
    params: dict[str, str]
    tags: dict[str, str]
    metrics: list[Point]

    def __str__(self) -> str:
        return f"run {self.run_id} ({self.name})"

    def needed(self) -> dict[str, str | None]:
        """Return the artifacts that it must have, with their SHA-256 where its tags record it."""
        if folder := self.tags.get("vad.checkpoint"):
            weights = f"{folder}/weights.safetensors"
            return {weights: self.tags.get("vad.weights_sha256"), f"{folder}/checkpoint.json": None}
        return dict.fromkeys(_NEEDED.get(self.tags["vad.kind"], ())) if self.status == "FINISHED" else {}


@dataclass(frozen=True)
class VersionRecord:
    """A version of the registered model, and the logged model that holds its files."""

    number: str
    description: str
    run_id: str
    tags: dict[str, str]
    model_id: str
    model_name: str
    model_type: str | None
    model_tags: dict[str, str]
    params: dict[str, str]
    metrics: list[Point]


@dataclass
class Parcel:
    """A folder of this kind: its runs by id, and the version, if one comes along."""

    folder: Path
    runs: dict[str, RunRecord]
    version: VersionRecord | None

    def artifacts(self, run_id: str) -> Path:
        """The folder of a run's artifacts; it is not there where the run has none."""
        return self.folder / "runs" / run_id / "artifacts"

    @property
    def model(self) -> Path:
        """The folder of the version's files."""
        return self.folder / "model" / "artifacts"

    def write(self) -> None:
        """Write down the runs and the version."""
        for run in self.runs.values():
            _write(self.artifacts(run.run_id).with_name("run.json"), TypeAdapter(RunRecord).dump_python(run))
        if self.version is not None:
            _write(self.model.with_name("version.json"), TypeAdapter(VersionRecord).dump_python(self.version))


def seal(folder: Path, about: Mapping[str, Any]) -> tuple[int, int]:
    """Write `export.json`, which completes an export; return the number of files and their size in bytes."""
    files = {name: {"sha256": sha256(path), "bytes": path.stat().st_size} for name, path in _files(folder).items()}
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    _write(folder / _CONTENTS, {"format": FORMAT, **about, "made": made, "files": files})
    return len(files), sum(path.stat().st_size for path in _files(folder).values())


def unpack(folder: Path) -> Parcel:
    """Read an export, every file checked first. Raises InputError that names what is missing or was altered."""
    path = folder / _CONTENTS
    if not os.path.isfile(path):  # False, too, for what can be no path
        raise InputError(f"{folder} is no export: it has no {_CONTENTS}; name the folder that `vad export` wrote")
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise InputError(f"{path} has format {content['format']}, and this program reads {FORMAT}; update it")
        _verify(folder, content["files"])
        runs = {path.parent.name: _read(RunRecord, path) for path in sorted(folder.glob("runs/*/run.json"))}
        for name, run in runs.items():
            if run.run_id != name or "vad.kind" not in run.tags:
                raise InputError(f"{folder}: run {name} has another id in its record, or no tag vad.kind; export again")
        version = folder / "model" / "version.json"
        return Parcel(folder, runs, _read(VersionRecord, version) if version.exists() else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{folder} is damaged, and cannot be read: {error!r:.300}; export again") from None


def points(metrics: Iterable[Any]) -> list[Point]:
    """Return MLflow's metrics as an export has them."""
    return [Point(m.key, m.value, m.timestamp, m.step) for m in metrics]


def require(what: str, folder: Path, files: Mapping[str, str | None], location: str) -> None:
    """Raise InputError where files are missing or altered."""
    if missing := [name for name in files if not (folder / name).is_file()]:
        gone = f"{what} cannot be exported: {', '.join(missing)} is gone from {location}"
        raise InputError(f"{gone}; bring it back, or run the experiment again with --force and export that")
    if wrong := altered(folder, {name: digest for name, digest in files.items() if digest}):
        raise InputError(f"{what} cannot be exported: {', '.join(wrong)} in {location} was altered; bring it back")


def _verify(folder: Path, recorded: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InputError for the first file that is not as recorded."""
    found = _files(folder)
    # A link may lead out of the export.
    if links := [path for path in sorted(folder.rglob("*")) if path.is_symlink()]:
        raise InputError(f"{links[0]} is a link; an export has plain files and folders only; remove it")
    for name, about in sorted(recorded.items()):
        if name not in found:
            raise InputError(f"{folder / name} is missing; copy the export again")
        if sha256(found[name]) != about["sha256"]:
            raise InputError(f"{folder / name} was altered: its SHA-256 is not the one recorded; copy the export again")
    if more := sorted(found.keys() - recorded.keys()):
        raise InputError(f"{folder / more[0]} is no part of the export; remove it")


def _files(folder: Path) -> dict[str, Path]:
    """Return every file but `export.json`, by its path below the folder."""
    return {name: path for name, path in files_in(folder).items() if name != _CONTENTS}


def _read(kind: type, path: Path) -> Any:
    """A record of this kind. Raises InputError that names the file and the key that is not as it must be."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "the file"
        raise InputError(f"{path}: {key}: {fault['msg'].lower()}; export again") from None


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
