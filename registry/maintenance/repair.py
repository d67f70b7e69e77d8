"""Repair a store: correct addresses, remove useless caches, set orphans aside."""

import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from registry.store.address import ARTIFACTS, local_path
from registry.store.mlflow_private import replace_addresses
from vad.errors import InputError
from vad.system.files import replacing

ASIDE = ".orphans"
_ID = re.compile(r"(m-)?[0-9a-f]{32}")
_FRESH = 60  # seconds after its last change in which a file may be in use


def find_moved(addresses: Iterable[str], here: Path) -> dict[str, str]:
    """Return the right address for each one that leads elsewhere, though its files, or others of the same root, lie in `here`."""
    right = here.resolve()
    parts = {address: found for address in addresses if (found := cut(address)) and found[0].resolve() != right}
    moved = {root for root, rest in parts.values() if rest.parts and (here / rest).exists()}
    return {
        address: (here / rest).as_uri() if address.startswith("file:") else str(here / rest)
        for address, (root, rest) in parts.items()
        if root in moved and ((here / rest).exists() or not (root / rest).exists())
    }


def cut(address: str) -> tuple[Path, Path] | None:
    """The folder of artifacts that an address leads to, and the way from there; None where it leads to no such folder."""
    place = local_path(address)
    root = next((up for up in (place, *place.parents) if up.name == ARTIFACTS), None) if place else None
    return (root, place.relative_to(root)) if place and root else None


def set_right(database: Path, moved: Mapping[str, str]) -> Path:
    """Put the right addresses in, all or none; return a copy of the database before that. Raises InputError where it fails."""
    copy = database.with_name(f"{database.name}.before-doctor-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        with closing(sqlite3.connect(database, timeout=20)) as opened, opened:
            opened.execute("BEGIN IMMEDIATE")  # no other process writes between the copy and the change
            with (
                replacing(copy) as new,
                closing(sqlite3.connect(new)) as target,
                closing(sqlite3.connect(database)) as now,
            ):
                now.backup(target)
            replace_addresses(opened, moved)
    except sqlite3.Error as error:
        raise InputError(f"cannot mend {database}: {error}; stop what uses it, and try again") from None
    return copy


def run_folders(artifacts: Path) -> Iterator[Path]:
    """Folders of runs and logged models, known by MLflow's names: here, in `models`, and in the folder of an experiment."""
    for folder in artifacts.iterdir() if artifacts.is_dir() else ():
        if folder.is_dir() and _ID.fullmatch(folder.name):
            yield folder
        elif folder.is_dir() and (folder.name == "models" or folder.name.isdigit()):
            yield from run_folders(folder)


def set_aside(path: Path, artifacts: Path, when: str) -> Path:
    """Move a folder below `artifacts` to the orphans of this time; gives its new place."""
    place = artifacts / ASIDE / when / path.relative_to(artifacts)
    place.parent.mkdir(parents=True, exist_ok=True)
    return path.rename(place)


def is_json(path: Path) -> bool:
    """Whether a file holds an object as JSON."""
    with suppress(ValueError):
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    return False


def remove(path: Path, lock: Path | None = None) -> None:
    """Remove a file or a folder, unless a living process holds its lock or has just written it."""
    with suppress(Timeout), _held(lock):
        if settled(path):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def idle(path: Path, lock: Path) -> bool:
    """Whether a file or folder could be removed now: no process holds its lock or has just written it."""
    with suppress(Timeout), _held(lock):
        return settled(path)
    return False


def _held(lock: Path | None) -> AbstractContextManager[object]:
    """The lock for a block; raises Timeout where another process holds it. What has no lock is not held."""
    return FileLock(lock, timeout=0) if lock and lock.exists() else nullcontext()


def settled(path: Path) -> bool:
    """Whether nothing in a file or folder changed in the last minute."""
    below = [Path(folder) / name for folder, _, names in os.walk(path) for name in (".", *names)]
    times = [found.stat().st_mtime for found in (path, *below) if found.exists()]
    return max(times, default=0.0) < time.time() - _FRESH


@contextmanager
def possible(verb: str, advice: str) -> Iterator[None]:
    """Turn an error of the system into an InputError that says what cannot be done."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot {verb} {error.filename}: {error.strerror}; {advice}, and try again") from None


def files(*tops: Path) -> dict[Path, os.stat_result]:
    """Return the existing files, and those below the folders: each once, with its `stat`."""
    paths = [Path(folder, name) for top in tops for folder, _, names in os.walk(top) for name in names]
    found = {}
    for path in (*(top for top in tops if not top.is_dir()), *paths):
        with suppress(FileNotFoundError):  # it may go meanwhile
            found[path] = path.lstat()
    return found


def size(*folders: Path) -> int:
    """Bytes of all files and folders; what was set aside does not count, and a file with several names counts once."""
    found = [about for path, about in files(*folders).items() if ASIDE not in path.parts]
    return sum({(about.st_dev, about.st_ino): about.st_size for about in found}.values())


def megabytes(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:,.1f} MB"
