"""Cell arrays of MATLAB files: `volLabel`, one mask a frame, and `gt`, the intervals of each video.

SciPy's reader can crash the process on a damaged file, and holds all masks at once. Version 7.3 is HDF5 and needs h5py.
"""

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vad.errors import InputError
from vad.system.files import reading

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

VARIABLE, INTERVALS = "volLabel", "gt"
_HDF5, _HDF5_AT = b"\x89HDF\r\n\x1a\n", 512
_HEADER, _MATRIX, _COMPRESSED = 128, 14, 15
_CELL, _SPARSE, _NUMBERS = 1, 5, range(6, 16)
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_LARGEST = 2**28  # bytes: an 8K mask of doubles


# What is made of a cell: of its values, column after column, and how many rows it has.
_Take = Callable[[NDArray[Any], int], Any]


def anomalous_frames(path: Path) -> list[int]:
    """1 for each mask with a pixel that is not 0, else 0. Raises InputError that names the file and what is wrong with it."""
    return _masks(path, lambda values, rows: _anomalous(values))


def interval_lists(path: Path) -> list[list[list[int]]] | None:
    """First and last anomalous frame of each interval, counted from 1, for each video; None without a variable `gt`.

    Of one video the variable may be the matrix itself.
    """
    return _cells(path, INTERVALS, _intervals, alone=True)


def has_intervals(path: Path) -> bool:
    """Whether there is a variable `gt`, whatever it holds. Raises InputError for a file that cannot be read."""
    return _cells(path, INTERVALS, lambda values, rows: None, alone=True) is not None


def masks_in(path: Path) -> list[NDArray[Any]]:
    """The masks themselves, one a frame. Raises InputError as `anomalous_frames`."""
    return _masks(path, _matrix)


def numbers_in(path: Path) -> dict[str, list[NDArray[Any]]]:
    """Each variable of numbers, as a list of one matrix, or of one for each cell of a cell array. Raises InputError."""
    found = {}
    with _opened(path, "(version 5 to 7)", "; save it with -v7") as file:
        if _is_hdf5(file):
            raise InputError(f"{path} is a MATLAB file of version 7.3 (HDF5); save it in MATLAB with -v7")
        for reader, held, sides, name in _variables(file, path.stat().st_size):
            if held == _CELL:
                found[name] = [reader.cell(_matrix) for _ in range(math.prod(sides))]
            elif held in _NUMBERS:
                found[name] = [_matrix(reader.numbers(), sides[0])]
                if found[name][0].size != math.prod(sides):
                    raise ValueError(f"{name} has {found[name][0].size:,} of {math.prod(sides):,} numbers")
            else:
                continue
            if reader.stream is not file:
                reader.to_the_end()
    return found


def _matrix(values: NDArray[Any], rows: int) -> NDArray[Any]:
    return values.reshape(-1, rows).T if rows else values


def _masks(path: Path, take: _Take) -> list[Any]:
    if (found := _cells(path, VARIABLE, take)) is None:
        raise InputError(f"{path} has no variable {VARIABLE}")
    return found


def _cells(path: Path, variable: str, take: _Take, alone: bool = False) -> list[Any] | None:
    """What is made of each cell of a variable; with `alone` of a matrix, too, as of one cell."""
    with _opened(path, "(version 5 to 7.3)") as file:
        if _is_hdf5(file):
            return _from_hdf5(path, variable, take, alone)
        return _search(file, path.stat().st_size, variable, take, alone)


@contextmanager
def _opened(path: Path, versions: str, fix: str = "") -> Iterator[IO[bytes]]:
    """Open a file; say by InputError that what is read of it in the block is damaged."""
    try:
        with reading(path), path.open("rb") as file:
            yield file
    except (ValueError, LookupError, struct.error, zlib.error) as error:
        raise InputError(f"{path} is not a MATLAB file {versions} that can be read: {error}{fix}") from None


def _is_hdf5(file: IO[bytes]) -> bool:
    """Whether a file is of version 7.3."""
    start = file.read(_HDF5_AT + len(_HDF5))
    file.seek(0)
    return start.startswith(_HDF5) or start.endswith(_HDF5)


class _Inflated(io.RawIOBase):
    """Compressed bytes as a stream, so that a few of them cannot fill the memory. Reading to the end checks their sum."""

    def __init__(self, data: bytes):
        self._inflate = zlib.decompressobj()
        self._rest = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        place = memoryview(buffer).cast("B")
        made = self._inflate.decompress(self._rest, len(place))
        if place and not made and not self._inflate.eof:
            raise ValueError("it is truncated")
        self._rest = self._inflate.unconsumed_tail
        place[: len(made)] = made
        return len(made)


class _Reader:
    """Elements of a MATLAB file, one after another; each has a type, a size, and padding after it."""

    def __init__(self, stream: IO[bytes], order: str):
        self.stream = stream
        self._order = order

    def take(self, count: int) -> bytes:
        if count > _LARGEST or len(data := self.stream.read(count)) < count:
            raise ValueError(f"there are no {count:,} bytes where they should be")
        return data

    def tag(self) -> tuple[int, int, bytes]:
        """Type and size of an element; one of up to four bytes is in its tag."""
        head = self.take(8)
        kind, size = struct.unpack(self._order + "II", head)
        small = kind >> 16
        return (kind & 0xFFFF, small, head[4 : 4 + small]) if small else (kind, size, b"")

    def numbers(self) -> NDArray[Any]:
        kind, size, data = self.tag()
        data = data or self.take(size + -size % 8)[:size]
        return np.frombuffer(data, self._order + _TYPES[kind])

    def to_the_end(self) -> None:
        """Read what is left: compressed data has a checksum at its end."""
        while self.stream.read(2**20):
            pass

    def matrix(self) -> tuple[int, list[int], str]:
        """What a matrix begins with: its class, its sides, its name."""
        flags, dimensions, name = self.numbers(), self.numbers(), self.numbers()
        return int(flags[:1].sum()) & 0xFF, list(map(int, dimensions)), name.tobytes().decode("latin-1")

    def cell(self, take: _Take) -> Any:
        """The next matrix, as `take` has it."""
        kind, size, _ = self.tag()
        if kind != _MATRIX:
            raise ValueError("a cell holds what is no matrix")
        if not size:
            return take(np.zeros(0, np.uint8), 0)
        inner = _Reader(io.BytesIO(self.take(size)), self._order)
        held, sides, _ = inner.matrix()
        if held == _SPARSE:
            inner.numbers(), inner.numbers()  # where its values stand
        elif held not in _NUMBERS:
            raise ValueError("a cell must hold numbers")
        values = inner.numbers()
        if held != _SPARSE and len(values) != math.prod(sides):
            raise ValueError(f"a cell has {len(values):,} of {math.prod(sides):,} numbers")
        return take(values, sides[0] if sides else 0)


def _anomalous(values: NDArray[Any]) -> int:
    if not np.isfinite(values).all():
        raise ValueError("a pixel of a mask is not finite")
    return int(values.any())


def _intervals(values: NDArray[Any], rows: int) -> list[list[int]]:
    if len(values) and ((rows != 2 and len(values) != 2) or not (np.abs(values) < 2**53).all() or (values % 1).any()):
        raise ValueError("a cell must be 2 x K: first and last anomalous frame of K intervals")
    return values.astype(np.int64).reshape(-1, 2).tolist()


def _search(file: IO[bytes], length: int, variable: str, take: _Take, alone: bool) -> list[Any] | None:
    """Return the variable's cells; None where it is missing."""
    for reader, held, sides, name in _variables(file, length):
        if name == variable:
            if held != _CELL and not (alone and held in _NUMBERS):
                raise ValueError(f"{variable} is no cell array")
            count = math.prod(sides)
            found = (
                [reader.cell(take) for _ in range(count)]
                if held == _CELL
                else [take(reader.numbers(), sides[0] if len(sides) == 2 else 0)]
            )
            reader.to_the_end()
            return found
    return None


def _variables(file: IO[bytes], length: int) -> Iterator[tuple[_Reader, int, list[int], str]]:
    """Yield each variable's reader, positioned after its class, sides and name."""
    order = {b"IM": "<", b"MI": ">"}.get(file.read(_HEADER)[-2:])
    if order is None:
        raise ValueError("its header is none")
    while file.tell() < length:
        reader = _Reader(file, order)
        kind, size, _ = reader.tag()
        after = file.tell() + size
        if after > length:
            raise ValueError("it is truncated")
        if kind == _COMPRESSED:
            reader = _Reader(io.BufferedReader(_Inflated(file.read(size))), order)
            kind, size, _ = reader.tag()
        if kind == _MATRIX and size:
            yield reader, *reader.matrix()
        file.seek(after)


def _from_hdf5(path: Path, variable: str, take: _Take, alone: bool) -> list[Any] | None:
    """As `_search`, of version 7.3: there a cell array holds references to its elements."""
    try:
        import h5py
    except ImportError:
        ways = "to read it: pip install -e '.[hdf5]', or save it in MATLAB with -v7"
        raise InputError(f"{path} is a MATLAB file of version 7.3 (HDF5); {ways}") from None
    try:
        with h5py.File(path, "r", locking=False) as file:
            if variable not in file:
                return None
            cells = file[variable]
            if alone and isinstance(cells, h5py.Dataset) and cells.dtype.kind in "uif" and cells.ndim == 2:
                return [_hdf5_cell(cells, take)]
            if not isinstance(cells, h5py.Dataset) or h5py.check_ref_dtype(cells.dtype) is not h5py.Reference:
                raise ValueError(f"{variable} is no cell array")
            return [_hdf5_cell(file[reference], take) for reference in cells[()].ravel()]
    except (OSError, RuntimeError, TypeError, AttributeError, MemoryError) as error:
        raise ValueError(str(error)) from None


def _hdf5_cell(mask: Any, take: _Take) -> Any:
    """As `_Reader.cell`, which is stored row by row. Of an empty one the size stands in its place; a sparse one is a group."""
    if "MATLAB_sparse" in mask.attrs:
        mask = mask.get("data")
    if mask is None or mask.attrs.get("MATLAB_empty", 0):
        return take(np.zeros(0, np.uint8), 0)
    if mask.dtype.kind not in "buif" or mask.attrs.get("MATLAB_class") == b"char":
        raise ValueError("a cell must hold numbers")
    if mask.size > _LARGEST // mask.dtype.itemsize:
        raise ValueError(f"a cell has {mask.size:,} numbers")
    return take(np.asarray(mask[()]).ravel(), mask.shape[-1] if mask.shape else 0)
