"""What `vad doctor` knows of a store, and what it finds there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.store.tracking import Found


@dataclass(frozen=True)
class Finding:
    """What is wrong where, and what helps: `mend` if it is there, else the reader. A note is no fault."""

    where: str
    what: str
    remedy: str
    mend: Callable[[], object] | None = field(default=None, compare=False)
    note: bool = False


@dataclass(frozen=True)
class Version:
    """A version of a registered model; its name is as in `vad-ensemble/1`."""

    name: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Store:
    """What a store knows.

    `ids` are those of all runs and logged models, deleted ones too. `has(owner, path)` says whether a run (by id) or
    a version (by name) has this file, and `place(owner)` where its files lie; None where that is not on this disk.
    `moved` holds the right address for each wrong one.
    """

    runs: list[Found]
    versions: list[Version]
    ids: set[str]
    has: Callable[[str, str], bool]
    place: Callable[[str], Path | None] = lambda owner: None
    moved: Mapping[str, str] = field(default_factory=dict)
