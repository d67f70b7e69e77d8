"""Files that are either whole or absent."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from vad.errors import InputError

_BLOCK = 1 << 20


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the name `path`, on failure it goes.

    Raises InputError where the folder cannot be made or written, or has no room.
    """
    temporary = _temporary(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except Exception as error:  # safetensors passes the system's error on in words alone
        number = error.errno if isinstance(error, OSError) else None
        full = number in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)
        if isinstance(error, InputError) or not full:
            raise
        raise InputError(
            f"cannot write {path}: the disk is full; make room, and the same command goes on from here"
        ) from None
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


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
