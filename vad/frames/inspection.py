"""Report what a data set holds, and what is wrong with it, before training.

Upside-down frames are those that the repair `flips` would turn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import FrameIndex
from vad.data.frameset import FrameSet, Video
from vad.errors import InputError
from vad.frames.store import Advance, read_whole_movie
from vad.images.decode import Image, count_movie_frames, decoding_pool, read_image
from vad.images.digest_cache import Size
from vad.repair import SKETCH, Flips
from vad.repair.base import State

_CHUNK = 32


@dataclass(frozen=True)
class Fault:
    """A file, or a frame of a movie, that cannot be read. `reason` is a sentence that names it."""

    path: Path
    reason: str


@dataclass(frozen=True)
class VideoReport:
    """One video. `missing` are the numbers absent between `first` and `last`; sizes are (width, height)."""

    id: int
    frames: int
    first: int | None
    last: int | None
    missing: tuple[int, ...]
    sizes: tuple[Size, ...]
    unreadable: tuple[Fault, ...]
    upside_down: tuple[int, ...]
    name: str  # shown to users


@dataclass(frozen=True)
class SplitReport:
    """The train or the test videos, in ascending order of id."""

    name: Literal["train", "test"]
    videos: tuple[VideoReport, ...]

    @property
    def frames(self) -> int:
        return sum(video.frames for video in self.videos)


@dataclass(frozen=True)
class Report:
    """The result of decoding a whole data set. `notes` and `faults` are those of its FrameSet."""

    name: str
    root: Path
    train: SplitReport
    test: SplitReport
    notes: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def videos(self) -> tuple[VideoReport, ...]:
        return (*self.train.videos, *self.test.videos)

    @property
    def unreadable(self) -> tuple[Fault, ...]:
        return tuple(fault for video in self.videos for fault in video.unreadable)

    @property
    def sound(self) -> bool:
        """Whether a run could use this data: every file readable, one size in each video, nothing twice."""
        return not self.faults and not self.unreadable and all(len(video.sizes) == 1 for video in self.videos)


@dataclass(frozen=True)
class _Look:
    """One frame, decoded, and its sketch as repairs see it."""

    number: int
    size: Size
    sketch: NDArray[np.uint8]


def inspect_frames(frameset: FrameSet, advance: Advance | None = None) -> Report:
    """Decode every frame of `frameset` (read it with `strict=False`) and report on it, including files that cannot be read."""
    videos = (*frameset.train.videos, *frameset.test.videos)
    # A task decodes some of a video's images, or a whole movie.
    starts = [(video, range(0, len(video.images), _CHUNK) if video.images else (0,)) for video in videos]
    tasks = [(video, start) for video, places in starts for start in places]
    looks: dict[int, list[_Look | Fault]] = {id(video): [] for video in videos}
    with decoding_pool() as pool:
        for (video, _), found in zip(tasks, pool.map(lambda task: list(_look_at(*task)), tasks), strict=True):
            looks[id(video)] += found
            if advance:
                advance(len(found))
    normal = [(v.id, look) for v in frameset.train.videos for look in looks[id(v)] if isinstance(look, _Look)]
    flips = None
    if normal:
        index = FrameIndex(np.asarray([video for video, _ in normal]), np.asarray([look.number for _, look in normal]))
        flips = Flips().fit(np.stack([look.sketch for _, look in normal]), index)

    splits = (frameset.train, frameset.test)
    train, test = (SplitReport(s.name, tuple(_report(v, looks[id(v)], flips) for v in s.videos)) for s in splits)
    return Report(frameset.name, frameset.root, train, test, frameset.notes, frameset.faults)


def _report(video: Video, looks: list[_Look | Fault], flips: State | None) -> VideoReport:
    seen, numbers = [look for look in looks if isinstance(look, _Look)], video.numbers
    first, last = (numbers[0], numbers[-1]) if numbers else (None, None)
    missing = tuple(sorted({*range(numbers[0], numbers[-1])} - {*numbers})) if numbers else ()
    sizes = tuple(sorted({look.size for look in seen}))
    unreadable = tuple(look for look in looks if isinstance(look, Fault))
    upside_down: tuple[int, ...] = ()
    if flips is not None and seen:
        evidence = Flips().evidence(np.stack([look.sketch for look in seen]), flips)
        upside_down = tuple(look.number for look, found in zip(seen, evidence, strict=True) if found > 0)
    return VideoReport(video.id, len(numbers), first, last, missing, sizes, unreadable, upside_down, video.title)


def _look_at(video: Video, start: int) -> Iterator[_Look | Fault]:
    """Decode a whole movie, or the next images of a video from position `start` on."""
    if video.movie is not None:
        try:
            if not video.numbers:
                count_movie_frames(video.movie)
            for position, image in read_whole_movie(video, 0):
                yield _look(video.numbers[position], image)
        except InputError as error:
            yield Fault(video.movie, str(error))
    for number, path in islice(zip(video.numbers, video.images or (), strict=False), start, start + _CHUNK):
        try:
            yield _look(number, read_image(path))
        except InputError as error:
            yield Fault(path, str(error))


def _look(number: int, image: Image) -> _Look:
    return _Look(number, (image.shape[1], image.shape[0]), SKETCH.see(image))
