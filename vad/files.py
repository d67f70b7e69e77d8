"""Files that are either whole or absent."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from vad.errors import InputError

_BLOCK = 1 << 20


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name `path`, on failure it goes.

    Raises InputError where the folder cannot be made or written.
    """
    temporary = _temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Raise InputError where `path` could not be written; for finding out before long work, not after it."""
    _temporary(path).unlink()


def _temporary(path: Path) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose a folder that you can write to") from None
    return temporary


def require_plain(path: Path) -> None:
    """Raise InputError for a pipe or a device, which might be read for ever. Raises OSError where there is nothing."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{path} is a pipe or a device, not a file; remove it")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
