"""What a data set holds, and what is wrong with it, before anyone trains on it.

Every file is decoded once, as training decodes it. A frame looks upside
down when it is more like the training frames turned over than like the training frames: a small
picture of it is correlated with the median of theirs, upright and vertically flipped.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.data.frameset import FrameSet, Split, Video
from vad.errors import InputError
from vad.frames.store import Advance
from vad.images.decode import Image, count_movie_frames, decoding_pool, read_image, read_movie

Size = tuple[int, int]
_THUMBNAIL = 16
# How much better the flipped correlation must be, on a scale where both lie in [-1, 1]. On surveillance
# footage the difference is near +1 or -1; a frame in between (dark, covered, of another scene) is left alone.
_MARGIN = 0.1
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
    """A data set looked at from end to end. `notes` and `faults` are those of its FrameSet."""

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
    """One frame, decoded and made small."""

    number: int
    size: Size
    small: Image


_Looks = list[_Look | Fault]


def inspect_frames(frameset: FrameSet, advance: Advance | None = None) -> Report:
    """Decode every frame of `frameset`, best one that was read with `strict=False`, and report on it.

    `advance` is told how many frames were looked at, as they are. Nothing is raised for a file that
    cannot be read: it is in the report.
    """
    tasks = [
        (video, task) for split in (frameset.train, frameset.test) for video in split.videos for task in _tasks(video)
    ]
    looks: dict[int, _Looks] = {id(video): [] for video, _ in tasks}
    with decoding_pool() as pool:
        for (video, _), found in zip(tasks, pool.map(lambda item: item[1](), tasks), strict=True):
            looks[id(video)] += found
            if advance:
                advance(len(found))
    train = [look.small for video in frameset.train.videos for look in looks[id(video)] if isinstance(look, _Look)]
    median = np.median(np.stack(train), axis=0) if train else None

    def report(split: Split) -> SplitReport:
        return SplitReport(split.name, tuple(_report(video, looks[id(video)], median) for video in split.videos))

    return Report(
        frameset.name, frameset.root, report(frameset.train), report(frameset.test), frameset.notes, frameset.faults
    )


def _report(video: Video, looks: _Looks, median: NDArray[Any] | None) -> VideoReport:
    seen = [look for look in looks if isinstance(look, _Look)]
    first, last = (video.numbers[0], video.numbers[-1]) if video.numbers else (None, None)
    return VideoReport(
        id=video.id,
        frames=len(video.numbers),
        first=first,
        last=last,
        missing=() if first is None else tuple(sorted(set(range(first, video.numbers[-1])) - set(video.numbers))),
        sizes=tuple(sorted({look.size for look in seen})),
        unreadable=tuple(look for look in looks if isinstance(look, Fault)),
        upside_down=() if median is None else tuple(_upside_down(seen, median)),
    )


def _upside_down(seen: list[_Look], median: NDArray[Any]) -> Iterator[int]:
    upright, flipped = _standard(median), _standard(median[::-1])
    for look in seen:
        small = _standard(look.small)
        if np.mean(small * flipped) - np.mean(small * upright) > _MARGIN:
            yield look.number


def _standard(image: NDArray[Any]) -> NDArray[np.float64]:
    """Mean 0 and deviation 1, so that the mean of a product is a correlation; all 0 where the image is plain."""
    centred = image - np.mean(image, dtype=np.float64)
    return np.asarray(centred / (centred.std() or 1.0))


def _tasks(video: Video) -> list[Callable[[], _Looks]]:
    if video.images is None:
        return [lambda: _look_at_movie(video)]
    pairs = list(zip(video.numbers, video.images, strict=True))
    parts = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    return [lambda part=part: [_look_at_image(*pair) for pair in part] for part in parts]  # type: ignore[misc]


def _look_at_image(number: int, path: Path) -> _Look | Fault:
    try:
        return _look(number, read_image(path))
    except InputError as error:
        return Fault(path, str(error))


def _look_at_movie(video: Video) -> _Looks:
    assert video.movie is not None
    looks: _Looks = []
    try:
        if not video.numbers:
            count_movie_frames(video.movie)
        for number, image in zip(video.numbers, read_movie(video.movie), strict=False):
            looks.append(_look(number, image))
    except InputError as error:
        return [*looks, Fault(video.movie, str(error))]
    if len(looks) < len(video.numbers):
        gave = f"{video.movie} gave {len(looks)} frames of {len(video.numbers)} this time; it may be damaged"
        looks.append(Fault(video.movie, gave))
    return looks


def _look(number: int, image: Image) -> _Look:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    return _Look(number, (grey.shape[1], grey.shape[0]), np.asarray(small, np.uint8))
