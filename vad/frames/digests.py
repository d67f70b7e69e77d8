"""SHA-256 of many files, remembered by path, size and time of change so that they are read once."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from vad.errors import InputError
from vad.files import replacing
from vad.frames.decode import count_movie_frames, read_bytes
from vad.threads import available


class Memory:
    """What was found out about a data set's files, in one JSON file; an entry lapses when its file changes."""

    def __init__(self, path: Path):
        self._path = path
        self._new = False
        try:
            known = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            known = None
        self._known: dict[str, Any] = known if isinstance(known, dict) else {}

    def digests(self, paths: Sequence[Path]) -> tuple[str, ...]:
        """The SHA-256 of each file's bytes. Raises InputError for one that is unreadable or empty."""
        return tuple(self._each("sha256", paths, lambda path: hashlib.sha256(read_bytes(path)).hexdigest()))

    def movie_frames(self, path: Path) -> int:
        """How many frames a video file holds."""
        return int(self._each("frames", [path], count_movie_frames)[0])

    def remember(self, fact: str, path: Path, find: Callable[[Path], Any]) -> Any:
        """`find(path)`, a JSON value, or what it was when the file had this size and time."""
        return self._each(fact, [path], find)[0]

    def _each(self, fact: str, paths: Iterable[Path], find: Callable[[Path], Any]) -> list[Any]:
        keys = [self._key(fact, path) for path in paths]
        unknown = [(key, path) for key, path in zip(keys, paths, strict=True) if key not in self._known]
        if unknown:
            with ThreadPoolExecutor(available()) as pool:
                found = list(pool.map(lambda item: find(item[1]), unknown))
            self._known |= {key: value for (key, _), value in zip(unknown, found, strict=True)}
            self._new = True
        return [self._known[key] for key in keys]

    @staticmethod
    def _key(fact: str, path: Path) -> str:
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from None
        return f"{fact} {status.st_size} {status.st_mtime_ns} {path}"

    def save(self) -> None:
        """Keep what is new; where that cannot be written it is found out again the next time."""
        if self._new:
            with suppress(InputError), replacing(self._path) as temporary:
                temporary.write_text(json.dumps(self._known))
            self._new = False
