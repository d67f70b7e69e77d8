"""Cache the SHA-256 of files, and more about them, until they change."""

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import PIL.Image

from vad.errors import InputError
from vad.images.decode import read_movie
from vad.system.files import reading, replacing, require_plain, sha256
from vad.system.threads import available

Size = tuple[int, int]


class DigestCache:
    """Facts about the files of a data set, in one JSON file; a fact is computed again when its file has changed."""

    def __init__(self, path: Path):
        self._path = path
        self._new = False
        try:
            memory = json.loads(path.read_text())
            known = dict(memory["facts"]) if memory["sha256"] == _digest(memory["facts"]) else {}
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            known = {}
        # By fact and path: the file's status, and the fact.
        self._known = {key: entry for key, entry in known.items() if isinstance(entry, list) and len(entry) == 2}

    def digests(self, paths: Sequence[Path]) -> tuple[str, ...]:
        """Return the SHA-256 of each file. Raises InputError for one that is unreadable or empty."""
        return tuple(self.remember_each("sha256", paths, _sha256))

    def remember(self, fact: str, path: Path, find: Callable[[Path], Any]) -> Any:
        """Return `find(path)`, a JSON value, from the cache where the file has not changed."""
        return self.remember_each(fact, [path], find)[0]

    def remember_each(self, fact: str, paths: Sequence[Path], find: Callable[[Path], Any]) -> list[Any]:
        """Return `remember` of many files at once."""
        wanted = {f"{fact} {path}": (path, _status(path)) for path in paths}
        unknown = {key: item for key, item in wanted.items() if self._known.get(key, [None])[0] != item[1]}
        if unknown:
            files = [path for path, _ in unknown.values()]
            if len(files) == 1:  # threads would take longer to start: of 10,000 videos half a minute
                found = [find(files[0])]
            else:
                with ThreadPoolExecutor(available()) as pool:
                    found = list(pool.map(find, files))
            for (key, (_, status)), value in zip(unknown.items(), found, strict=True):
                self._known[key] = [status, value]
            self._new = True
        return [self._known[key][1] for key in wanted]

    def save(self) -> None:
        """Write new facts; where that fails, they are computed again the next time."""
        if self._new:
            with suppress(InputError), replacing(self._path) as temporary:
                temporary.write_text(json.dumps({"sha256": _digest(self._known), "facts": self._known}))
            self._new = False


def _digest(known: Any) -> str:
    """SHA-256 of all facts: an altered one would name other frames, or none."""
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _status(path: Path) -> str:
    """Return what differs once a file has changed: tar and rsync keep size and modification time, but not the time of change."""
    with reading(path, content=False):
        status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _sha256(path: Path) -> str:
    with reading(path):
        if not path.stat().st_size:
            raise InputError(f"{path} is empty (0 bytes); restore or remove it")
        return sha256(path)


def image_size(path: Path) -> Size | None:
    """Return width and height of an image by its header; None where that cannot be read, as decoding says why."""
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        require_plain(path)
        with PIL.Image.open(path) as image:
            return image.size if all(image.size) else None
    return None


def movie_size(path: Path) -> Size | None:
    """Return width and height of a movie's first frame; None where it cannot be read."""
    with suppress(InputError):
        return next(((frame.shape[1], frame.shape[0]) for frame in read_movie(path)), None)
    return None
