"""Each file decoded once: all sizes of a split in one pass, into memory maps, uint8 of shape (N, size, size, 3), RGB.

A map's name holds the digest of the frames, the size and the filter, and it gets that name when it is complete.
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vad.data.frameset import Split, Video
from vad.errors import InputError
from vad.images.decode import RESIZE_FILTER, Image, decoding_pool, read_image, read_movie, resize
from vad.system.files import replacing

Frames = NDArray[np.uint8]
Advance = Callable[[int], None]
Task = Callable[[], Iterator[tuple[int, Image]]]
_CHUNK = 8  # small enough that cores end together, large enough that nothing is lost between two


class SplitSource:
    """The frames of a split, read from its files. `tasks` are independent, each yields (position, RGB image) in turn."""

    def __init__(self, split: Split):
        self._split = split
        self._shapes: dict[int, tuple[int, ...]] = {}
        self.digest = split.digest

    def __len__(self) -> int:
        return len(self._split)

    def tasks(self) -> list[Task]:
        tasks: list[Task] = []
        start = 0
        for video in self._split.videos:
            if video.images is None:
                tasks.append(partial(read_whole_movie, video, start))
            else:
                parts = [slice(first, first + _CHUNK) for first in range(0, len(video.images), _CHUNK)]
                tasks += [partial(self._read, video, start, part) for part in parts]
            start += len(video.numbers)
        return tasks

    def _read(self, video: Video, start: int, part: slice) -> Iterator[tuple[int, Image]]:
        assert video.images is not None
        if video.id not in self._shapes:
            self._shapes[video.id] = read_image(video.images[0]).shape
        shape = self._shapes[video.id]
        for offset, path in enumerate(video.images[part]):
            image = read_image(path)
            if image.shape != shape:
                sizes = f"{image.shape[1]} x {image.shape[0]}, but {video.images[0]} of the same video is {shape[1]} x {shape[0]}"
                raise InputError(f"{path} is {sizes}; the frames of a video must have one size")
            yield start + part.start + offset, image


def read_whole_movie(video: Video, start: int) -> Iterator[tuple[int, Image]]:
    """Yield position, from `start` on, and image of each frame. Raises InputError where the movie has lost some."""
    assert video.movie is not None
    wanted = {number: position for position, number in enumerate(video.numbers)}
    found = 0
    for number, image in enumerate(read_movie(video.movie)):
        if number in wanted:
            found += 1
            yield start + wanted[number], image
    if found != len(video.numbers):
        raise InputError(f"{video.movie} gave {found} frames of {len(video.numbers)} this time; it may be damaged")


def map_path(folder: Path, source: SplitSource, size: int) -> Path:
    return folder / f"{source.digest[:24]}-{size}-{RESIZE_FILTER}.npy"


def open_frames(
    source: SplitSource, sizes: Sequence[int], folder: Path, advance: Advance | None = None
) -> dict[int, Frames]:
    """The source's frames at each size, as read-only memory maps; decodes what is not there yet.

    `advance` is told how many frames were decoded, as they are. Raises InputError for a frame that cannot be decoded.
    """
    paths = {size: map_path(folder, source, size) for size in sizes}
    missing = [size for size in paths if not holds(paths[size], (len(source), size, size, 3), np.uint8)]
    if missing:
        with contextlib.ExitStack() as stack:
            temporary = {size: stack.enter_context(replacing(paths[size])) for size in missing}
            files = {size: stack.enter_context(temporary[size].open("wb")) for size in missing}
            for size, file in files.items():
                shape = (len(source), size, size, 3)
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                file.truncate(file.tell() + math.prod(shape))
                reserve(temporary[size], paths[size])
            _fill(source, files, advance)
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
    return {size: np.load(path, mmap_mode="r") for size, path in paths.items()}


def _fill(source: SplitSource, files: Mapping[int, BinaryIO], advance: Advance | None) -> None:
    """Write each frame to its place in the file of each size; a map of it would cost a page fault for every 4 KiB."""
    starts = {size: file.tell() for size, file in files.items()}

    def run(task: Task) -> int:
        count = 0
        for position, image in task():
            for size, file in files.items():
                small = resize(image, size).data.cast("B")
                _write(file.fileno(), small, starts[size] + position * len(small))
            count += 1
        return count

    with decoding_pool() as pool:
        for count in pool.map(run, source.tasks()):
            if advance:
                advance(count)


def _write(file: int, content: memoryview, offset: int) -> None:
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written


def reserve(path: Path, wanted: Path) -> None:
    """Take the room now: a memory map that runs out of disk later kills the process without a word."""
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except AttributeError:  # not a system that can
            return
        except OSError as error:
            fault = f"cannot write {wanted} ({path.stat().st_size / 1e9:.2f} GB): {error.strerror}"
            raise InputError(f"{fault}; make room, or set VAD_HOME to another disk") from None


def holds(path: Path, shape: tuple[int, ...], dtype: type[np.generic]) -> bool:
    """Whether there is a memory map of this shape and type."""
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(array.shape == shape and array.dtype == dtype)
