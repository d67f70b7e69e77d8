"""A suite: data sets, entries and the protocol by which they are measured, from a file or from the command line."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from registry.data.datasets import NO_LABELS, Dataset, open_frames_of
from registry.entries.entry import each_once, unknown
from registry.entries.loading import profiles
from registry.entries.yaml_reader import Strict, read_yaml, validated
from vad.errors import InputError
from vad.measures.metrics import Metric

DEMO = "demo"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)]
Path_ = Annotated[str, Field(pattern=r"^[^\x00]+$")]


def _profile(name: str) -> str:
    if name not in profiles():
        raise ValueError(unknown("profile", name, profiles()))
    return name


def _spelt_out(data: Any) -> Any:
    return {"path": data} if isinstance(data, str) else data


class DataSpec(Strict):
    """A data set of the file: its folder, labels that lie elsewhere, and the frame that a first mask belongs to."""

    path: Path_
    labels: Path_ | None = None
    first_frame: Literal[0, 1] | None = None


class SuiteSpec(Strict):
    """What a suite's file says."""

    name: Name
    metric: Metric = "auc"
    data: Annotated[dict[Name, Annotated[DataSpec, BeforeValidator(_spelt_out)]], Field(min_length=1)]
    entries: Annotated[list[str], Field(min_length=1), AfterValidator(each_once)]
    profile: Annotated[str, AfterValidator(_profile)] = "full"
    set: list[str] = Field(default=[])


@dataclass(frozen=True)
class Source:
    """A data set by the name it has in the suite; without a `path` the demo street. `where` names it in an error."""

    name: str
    path: str | None
    labels: str | None
    first_frame: int | None
    where: str


@dataclass(frozen=True)
class Suite:
    """Data sets, entries, and what the figures of all of them have in common. `file` is None for one of the command line."""

    name: str
    sources: tuple[Source, ...]
    entries: tuple[str, ...]
    profile: str
    overrides: tuple[str, ...]
    metric: Metric
    file: Path | None = None

    def of(self, entries: Sequence[str]) -> "Suite":
        """Return the same suite of other entries."""
        return replace(self, entries=tuple(entries))


def read_suite(path: Path) -> Suite:
    """Read a suite's file; its relative paths are relative to it. Raises InputError with file, line and key."""
    document = read_yaml(path)
    spec = validated(document, SuiteSpec, {("data", 3): DataSpec})
    sources = []
    for name, data in spec.data.items():
        where = f"{path}, line {document.line(('data', name))}: data.{name}"
        sources.append(_source(name, data, where, path.parent))
    entries = tuple(_beside(path.parent, entry) if os.path.dirname(entry) else entry for entry in spec.entries)
    return Suite(spec.name, tuple(sources), entries, spec.profile, tuple(spec.set), spec.metric, path)


def suite_of(
    data: Sequence[str], labels: Sequence[str], first_frame: int | None, profile: str | None, overrides: Sequence[str]
) -> Suite:
    """Return the suite of these folders, without entries: labels for each of them, or one path for all. Raises InputError."""
    if len(labels) not in (0, 1, len(data)):
        count = f"--labels is given {len(labels)} times for {len(data)} data sets"
        raise InputError(f"{count}; give it once, or once for each --data, in their order")
    places = [folder if folder == DEMO else os.path.realpath(folder) for folder in data]
    if twice := next((folder for folder, place in zip(data, places, strict=True) if places.count(place) > 1), None):
        raise InputError(f"--data {twice} is given twice; leave one out")
    given = labels if len(labels) == len(data) else [next(iter(labels), None)] * len(data)
    names = [Path(folder).resolve().name for folder in data]
    if len(set(names)) < len(names):  # as many of the folders above as tell them apart
        names = [os.path.relpath(folder, os.path.commonpath(map(os.path.abspath, data))) for folder in data]
        names = [name.replace(os.sep, "-") for name in names]
    sources = [
        Source(name, None if folder == DEMO else folder, label, first_frame, f"--data {folder}")
        for name, folder, label in zip(names, data, given, strict=True)
    ]
    return Suite(" + ".join(names), tuple(sources), (), profile or "full", tuple(overrides), "auc")


def open_sets(suite: Suite, home: Path) -> list[Dataset]:
    """Open the data sets of a suite, in its order. Raises InputError that says of each what is wrong with it."""
    found: list[Dataset] = []
    faults, protocols = [], dict[str, Source]()
    for source in suite.sources:
        try:
            data = open_frames_of(source.path, source.labels, home, source.first_frame)
            if data.labels is None:
                raise InputError("it has no labels, and a suite measures by labels; name them with `labels`")
        except InputError as error:
            faults.append(f"{source.where}: {error}")
            continue
        same = protocols.setdefault(data.protocol(), source)
        if same is not source:
            faults.append(f"{source.where}: these are the frames and labels of {same.name}; leave one out")
        found.append(data)
    if faults:
        raise InputError("\n".join(faults))
    return found


def _source(name: str, spec: DataSpec, where: str, folder: Path) -> Source:
    if spec.path == DEMO:
        return Source(name, None, spec.labels, spec.first_frame, where)
    path = _beside(folder, spec.path)
    labels = spec.labels
    if labels is not None and labels != NO_LABELS:  # beside the suite's file, else beside the data
        places = [_beside(folder, labels), _beside(Path(path), labels)]
        labels = next(filter(os.path.exists, places), places[0])
    return Source(name, path, labels, spec.first_frame, where)


def _beside(folder: Path, path: str) -> str:
    return str(folder / os.path.expanduser(os.path.expandvars(path)))
