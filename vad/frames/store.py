"""Each file decoded once: all views of a split in one pass, into memory maps, uint8 of shape (N, H, W, 3) or (N, H, W).

A map's name holds the digest of the frames, the view and the filter, and it gets that name when it is complete.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vad.data.frameset import Split, Video
from vad.errors import InputError
from vad.frames.maps import Write, holds, writing
from vad.images.decode import RESIZE_FILTER, Image, decoding_pool, read_image, read_movie
from vad.images.digest_cache import Size
from vad.images.view import Sketch, look

Frames = NDArray[np.uint8]
Advance = Callable[[int], None]
_Sketch = TypeVar("_Sketch", bound=Sketch)
Task = Callable[[], Iterator[tuple[int, Image]]]
_CHUNK = 8  # small enough that cores end together, large enough that nothing is lost between two


class SplitSource:
    """The frames of a split, read from its files. `tasks` are independent, each yields (position, RGB image) in turn."""

    def __init__(self, split: Split):
        self._split = split
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
        for offset, path in enumerate(video.images[part]):
            image = read_image(path)
            size = image.shape[1], image.shape[0]
            if video.size not in (None, size):
                raise InputError(unequal(path, size, video))
            yield start + part.start + offset, image


def unequal(path: Path, size: Size, video: Video) -> str:
    """Say that a frame has not the size of its video's first frame."""
    assert video.images is not None and video.size is not None
    first = f"{video.images[0]} of the same video is {video.size[0]} x {video.size[1]}"
    return f"{path} is {size[0]} x {size[1]}, but {first}; the frames of a video must have one size"


def frame_size(split: Split) -> tuple[int, int]:
    """Return height and width of the first frame of a split. Raises InputError where it cannot be decoded."""
    video = split.videos[0]
    image = read_image(video.images[0]) if video.images else next(read_movie(video.movie)) if video.movie else None
    assert image is not None
    return image.shape[0], image.shape[1]


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


MAPS = f"{'[0-9a-f]' * 24}-*"  # what fits their names, and no file of another's that lies there


def map_path(folder: Path, source: SplitSource, view: Sketch) -> Path:
    return folder / f"{source.digest[:24]}-{view.label}-{RESIZE_FILTER}.npy"


def evidence_path(frames: Path) -> Path:
    """Return the path of a map's evidence of repairs, float32 (N, repairs), above 0 where a frame was repaired."""
    return frames.with_suffix(".repairs.npy")


def open_frames(
    source: SplitSource, views: Iterable[_Sketch], folder: Path, advance: Advance | None = None
) -> dict[_Sketch, Frames]:
    """Return the source's frames in each view, as read-only memory maps; decode what is missing.

    `advance` is called with the number of frames decoded since its last call. Raises InputError for a frame that cannot be decoded.
    """
    paths = {view: map_path(folder, source, view) for view in views}
    if missing := to_decode(source, paths, folder):
        with contextlib.ExitStack() as stack:
            frames, evidence = dict[Sketch, Write](), dict[Sketch, Write]()
            for view in missing:
                shape = (len(source), *view.shape)
                frames[view] = stack.enter_context(writing(paths[view], shape, np.uint8))
                if view.repairs:
                    shape = (len(source), len(view.repairs))
                    evidence[view] = stack.enter_context(writing(evidence_path(paths[view]), shape, np.float32))

            def run(task: Task) -> int:
                count = 0
                for count, (position, image) in enumerate(task(), 1):  # noqa: B007  # counted past the loop
                    for view, (seen, found) in zip(missing, look(image, missing), strict=True):
                        frames[view](position, seen)
                        if view.repairs:
                            evidence[view](position, np.asarray(found, np.float32))
                return count

            with decoding_pool() as pool:
                for count in pool.map(run, source.tasks()):
                    if advance:
                        advance(count)
    return {view: np.load(path, mmap_mode="r") for view, path in paths.items()}


def to_decode(source: SplitSource, views: Iterable[_Sketch], folder: Path) -> list[_Sketch]:
    """Return the views without an intact map."""
    return [view for view in views if not _is_sound(map_path(folder, source, view), len(source), view)]


def _is_sound(path: Path, count: int, view: Sketch) -> bool:
    sound = holds(path, (count, *view.shape), np.uint8)
    return sound and (not view.repairs or holds(evidence_path(path), (count, len(view.repairs)), np.float32))
