"""What of the caches may go: not used for long, too large together, or of no use to anybody. All of it is made anew when it is missed."""

import filecmp
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from registry.maintenance import repair as mending
from registry.store.address import sqlite_path
from registry.store.tracking import Tracking
from vad.errors import InputError
from vad.system.files import share

_DAY = 86400
# Kinds of caches by their folder in VAD_HOME.
_CACHES = {
    "frames": "decoded frames",
    "fetched": "files fetched from a server",
    "ui": "logs of MLflow's UI",
    "serving": "logs of servers",
    "errors": "reports of errors",
}
# Bytes: what is smaller is not worth a link.
_LITTLE = 1 << 16


@dataclass(frozen=True)
class Waste:
    """Something that can go: what it is, the bytes that are free then, and how it goes."""

    what: str
    size: int
    free: Callable[[], object]


def caches(home: Path, uri: str, days: float, most: int | None) -> list[Waste]:
    """Return what may go of the caches in `home`: not used for `days`, and what is used least while there are more bytes than `most`.

    Weights that stand twice in the artifacts of a store on this disk become one file with two names.
    """
    before = time.time() - days * _DAY
    found: list[Waste] = []
    kept: list[tuple[float, str, Path, int]] = []
    for folder, what in _CACHES.items():
        for path in sorted((home / folder).glob("[!.]*")):
            used, size = last_used(path), mending.size(path)
            if used < before and mending.settled(path):
                found.append(Waste(f"{what}, not used for {days:g} days", size, partial(mending.remove, path, None)))
            else:
                kept.append((used, what, path, size))
    total = sum(size for *_, size in kept)
    for _, what, path, size in sorted(kept):
        if most is not None and total > most and mending.settled(path):
            found.append(Waste(f"{what}, used least", size, partial(mending.remove, path, None)))
            total -= size
    database = sqlite_path(uri)
    if database is None or database.exists():
        found += _states(home, Tracking(uri, mark_stale=False), before)
    found += _locks(home, min(before, time.time() - _DAY))
    if database is not None:
        artifacts = database.absolute().parent / mending.ARTIFACTS
        found += [
            Waste(
                "weights that stand twice in the artifacts: one file from now on",
                copy.stat().st_size,
                partial(share, one, copy),
            )
            for one, copy in twins(artifacts)
        ]
    return found


def _states(home: Path, tracking: Tracking, before: float) -> Iterator[Waste]:
    """Half-trained members that nobody takes up: the member is finished, or no run that was cut off is of it."""
    done = {run.tags.get("vad.digest") for run in tracking.find("member")}
    open_ = {
        run.tags.get("vad.digest") for run in tracking.find("member", statuses=("RUNNING", "KILLED", "FAILED"))
    } - done
    for path in sorted((home / "resume").glob("[!.]*.safetensors")):
        digest, lock = path.stem, home / "locks" / path.stem
        if digest in done or (digest not in open_ and last_used(path) < before):
            why = "it is finished" if digest in done else "no run of this store is of it"
            with mending.free(lock) as nobody:
                if nobody and mending.settled(path):
                    yield Waste(
                        f"the state of a half-trained member, as {why}",
                        mending.size(path),
                        partial(mending.remove, path, lock),
                    )


def _locks(home: Path, before: float) -> Iterator[Waste]:
    for path in sorted((home / "locks").glob("[!.]*")):
        with mending.free(path) as nobody:
            if nobody and path.stat().st_mtime < before:
                yield Waste("locks that nobody holds", 0, partial(mending.remove, path, path))


def twins(artifacts: Path) -> Iterator[tuple[Path, Path]]:
    """Yield files of weights that hold the same bytes on the disk, the second of which may become a link to the first."""
    by_size: dict[int, list[Path]] = {}
    for path in sorted(artifacts.rglob("*.safetensors")):
        if path.is_file() and not path.is_symlink() and (size := path.stat().st_size) > _LITTLE:
            by_size.setdefault(size, []).append(path)
    for paths in by_size.values():
        firsts: list[Path] = []
        for path in paths:
            if one := next((first for first in firsts if filecmp.cmp(first, path, shallow=False)), None):
                if not one.samefile(path):
                    yield one, path
            else:
                firsts.append(path)


def last_used(path: Path) -> float:
    """When a file, or one in a folder, was last read or written; seconds since 1970. Systems note reading once a day."""
    return max(
        (max(found.stat().st_mtime, found.stat().st_atime) for found in mending.files(path)),
        default=path.lstat().st_mtime,
    )


def freed(places: Iterable[Path]) -> int:
    """The bytes that are free when all these files and folders are gone: a file goes with the last of its names."""
    names: dict[tuple[int, int], list[os.stat_result]] = {}
    for path in {file for place in places for file in mending.files(place)}:
        about = path.lstat()
        names.setdefault((about.st_dev, about.st_ino), []).append(about)
    return sum(found[0].st_size for found in names.values() if len(found) >= found[0].st_nlink)


def summary(waste: Sequence[Waste]) -> list[tuple[str, int, int]]:
    """What it is, how many, and bytes; what frees most comes first."""
    kinds: dict[str, list[int]] = {}
    for item in waste:
        kinds.setdefault(item.what, []).append(item.size)
    return sorted(((what, len(sizes), sum(sizes)) for what, sizes in kinds.items()), key=lambda row: -row[2])


def let_go(waste: Collection[Waste]) -> None:
    """Free all of it, in this order. Raises InputError for what cannot be removed; what came before it is gone."""
    try:
        for item in waste:
            item.free()
    except OSError as error:
        raise InputError(f"cannot remove {error.filename}: {error.strerror}; make it yours, and try again") from None
