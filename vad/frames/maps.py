"""Memory maps that can be checked: a .npy file and, behind its array, where NumPy does not look, the CRC-32 of each row.

A file that was overwritten would otherwise pass for the frames that it held, and scores would be wrong without a word.
"""

import contextlib
import functools
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

State = Literal["sound", "without checksums", "damaged"]
_SUM = np.dtype("<u4")


class Checksums:
    """The CRC-32 of each row of a map that is being written; `append` writes them behind its array."""

    def __init__(self, rows: int):
        self._sums = np.zeros(rows, _SUM)

    @property
    def nbytes(self) -> int:
        return self._sums.nbytes

    def note(self, row: int, content: memoryview) -> None:
        """Take the checksum of a row; several threads may, each of its own rows."""
        self._sums[row] = zlib.crc32(content)

    def append(self, file: BinaryIO, at: int) -> None:
        """Write the checksums where the array ends."""
        file.seek(at)
        file.write(self._sums.tobytes())


def save(path: Path, values: NDArray[Any]) -> None:
    """Write an array that is in memory as a map."""
    sums = Checksums(len(values))
    for row, content in enumerate(values):
        sums.note(row, content.data)
    with path.open("wb") as file:
        np.save(file, values)
        sums.append(file, file.tell())


def holds(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> bool:
    """Whether there is a sound map of this shape and type. Its content is read once in a process, and again when it changed."""
    with contextlib.suppress(OSError, ValueError, EOFError):
        array = _open(path)
        return array.shape == shape and array.dtype == dtype and state(path) == "sound"
    return False


def state(path: Path) -> State:
    """Whether a map holds what was written; one of an earlier version has no checksums that tell."""
    try:
        status = path.stat()
        return _state(path.absolute(), (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    except (OSError, ValueError, EOFError):
        return "damaged"


@functools.cache
def _state(path: Path, status: tuple[int, ...]) -> State:
    array = _open(path)
    end, size = array.offset + array.nbytes, status[1]
    if size == end:
        return "without checksums"
    if size != end + len(array) * _SUM.itemsize:
        return "damaged"
    sums = np.fromfile(path, _SUM, len(array), offset=end)
    return (
        "sound"
        if all(zlib.crc32(row.data) == known for row, known in zip(np.asarray(array), sums.tolist(), strict=True))
        else "damaged"
    )


def _open(path: Path) -> np.memmap[Any, Any]:
    """Open a map. Raises OSError or ValueError where it is none, or too short."""
    return np.lib.format.open_memmap(path, mode="r")
