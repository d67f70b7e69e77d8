"""Memory maps that can be checked: a .npy file and, behind its array, where NumPy does not look, the CRC-32 of each row.

A file that was overwritten would otherwise pass for the frames that it held, and scores would be wrong without a word.
"""

import contextlib
import functools
import math
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vad.errors import InputError
from vad.system.files import replacing

State = Literal["sound", "without checksums", "damaged"]
Write = Callable[[int, NDArray[Any]], None]
_SUM = np.dtype("<u4")


@contextlib.contextmanager
def writing(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> Iterator[Write]:
    """Yield what writes one row of a new map; several threads may call it. The map is there when the block ends.

    A memory map would cost a page fault for every 4 KiB. Raises InputError where there is no room.
    """
    sums, size = np.zeros(shape[0], _SUM), math.prod(shape[1:]) * np.dtype(dtype).itemsize
    with replacing(path) as temporary, temporary.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        start, end = file.tell(), file.tell() + shape[0] * size
        file.truncate(end + sums.nbytes)
        _reserve(file.fileno(), end + sums.nbytes, path)

        def write(row: int, values: NDArray[Any]) -> None:
            content, offset = np.ascontiguousarray(values, dtype).data.cast("B"), start + row * size
            sums[row] = zlib.crc32(content)
            while content:
                written = os.pwrite(file.fileno(), content, offset)
                content, offset = content[written:], offset + written

        yield write
        file.seek(end)
        file.write(sums.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _reserve(file: int, size: int, path: Path) -> None:
    """Take the room now, before long work, not when it runs out."""
    with contextlib.suppress(AttributeError):  # not a system that can
        try:
            os.posix_fallocate(file, 0, size)
        except OSError as error:
            fault = f"cannot write {path} ({size / 1e9:.2f} GB): {error.strerror}"
            raise InputError(f"{fault}; make room, or set VAD_HOME to another disk") from None


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
