"""Folders for what a process needs for a moment; the next process removes them if it was killed."""

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vad.errors import InputError
from vad.system.files import sweep, unfinished


@contextmanager
def workplace(home: Path) -> Iterator[Path]:
    """Put temporary files of the block below `home`, and remove those of processes that are gone. Raises InputError."""
    place = home.resolve() / "tmp"
    if "%" in str(place):  # MLflow reads the %20 of a path as a blank
        place = Path(tempfile.gettempdir())
    own = unfinished(place / "vad-work")
    try:
        home.mkdir(parents=True, exist_ok=True)
        own.mkdir(parents=True, exist_ok=True)
        for folder in (home, *(child for child in home.iterdir() if child.is_dir())):
            sweep(folder)
        sweep(place, "vad-work")
    except OSError as error:
        fault = f"cannot write {own.parent}: {error.strerror}"
        raise InputError(f"{fault}; set VAD_HOME to a folder that you own") from None
    # The variable TMPDIR stays as it is: Ray puts sockets there, whose addresses have to be short.
    before, tempfile.tempdir = tempfile.tempdir, str(own)
    try:
        yield own
    finally:
        tempfile.tempdir = before
        shutil.rmtree(own, ignore_errors=True)


def writable(folder: Path) -> Path:
    """Return the folder, made, or where it cannot be written one that is removed with this process."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    own = Path(_scratch().name, folder.name)
    own.mkdir(exist_ok=True)
    return own


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()
