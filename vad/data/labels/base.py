"""What all forms of labels have in common: which frames are asked for, and how what a file holds is fitted to them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import Flags, FrameIndex, composed, last_number, number_of
from vad.data.names import is_movie, some
from vad.errors import InputError
from vad.images.decode import FEWER_AT_THE_END
from vad.images.digest_cache import DigestCache, Size

Paths = Mapping[int, Path]
_NORMAL = re.compile("normal_.*|.*_label_a", re.IGNORECASE)  # of UBnormal and UCF-Crime, of XD-Violence
OTHER_SET = "these are labels of another set, or frames are missing"


@dataclass(frozen=True, eq=False)
class Clip:
    """One test video: where its frames lie in the index, and their numbers, ascending."""

    id: int
    title: str
    span: slice
    numbers: NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """The labels in `path` of exactly the frames in `index`.

    `first_frame` is the number of the frame that a video's first label belongs to, where it was given; `files` are the
    folder or movie of each video; `sizes` are those of the frames of each video, where known.
    """

    path: Path
    index: FrameIndex
    memory: DigestCache
    first_frame: int | None = None
    files: Paths = field(default_factory=dict)
    sizes: Mapping[int, Size] = field(default_factory=dict)

    @cached_property
    def clips(self) -> tuple[Clip, ...]:
        videos, frames = self.index.video, self.index.frame
        spans = zip(self.index.spans, self.index.titles, strict=True)
        return tuple(Clip(int(videos[span.start]), title, span, frames[span]) for span, title in spans)

    @cached_property
    def movies(self) -> Paths:
        return {id: path for id, path in self.files.items() if is_movie(path.name) and not path.is_dir()}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """A note where the order of the videos is not that of their names by letters, for labels that name no video."""
        names = [self.files[c.id].name if c.id in self.files else c.title for c in self.clips]
        if (by_letters := sorted(names)) == names or not (self.files or self.index.names):
            return ()
        order, other = (", ".join([*listed[:3], *["..."] * (len(listed) > 3)]) for listed in (names, by_letters))
        return (f"{self.path}: the videos are taken in the order {order}; sorted by letters it would be {other}",)

    @cached_property
    def first(self) -> int:
        """The number of a whole video's first frame: 0 where any frame has that number, else 1."""
        return int(not (self.index.frame == 0).any()) if self.first_frame is None else self.first_frame

    def require_size(self, clip: Clip, where: object, size: Size) -> None:
        """Raise InputError unless a mask of this width and height has the size of the video's frames, where that is known."""
        if (right := self.sizes.get(clip.id)) is not None and size != tuple(right):
            frames = f"the frames of test video {clip.title} are {right[0]} x {right[1]}"
            raise InputError(f"{where} is {size[0]} x {size[1]}, but {frames}; masks and frames must have one size")

    def places(self, clip: Clip) -> NDArray[np.int64]:
        """Where a video's frames stand in the whole video, from 0. Raises InputError for a frame before its first."""
        places = clip.numbers - self.first
        if places[0] < 0:
            raise InputError(
                f"FIRST_FRAME={self.first}, but test video {clip.title} has a frame {self.first - 1}; leave it out"
            )
        return places


@dataclass(frozen=True)
class Found:
    """Whether each frame is anomalous, and what a person must be told of it."""

    values: Flags
    notes: tuple[str, ...] = ()


class Form(Protocol):
    """One form of labels: a module with a `NAME` for people."""

    NAME: str

    def takes(self, path: Path) -> bool:
        """Whether a file or folder has this form."""

    def read(self, asked: Asked) -> Found:
        """Read the labels. Raises InputError for labels that do not fit, which names the video."""


def refuse_first_frame(asked: Asked) -> None:
    """Raise InputError where the number of the first frame was given, for a file that needs none."""
    if asked.first_frame:
        given = f"FIRST_FRAME={asked.first_frame} is for masks"
        raise InputError(f"{given}; {asked.path} names each frame by its number; leave it out")


def is_masks(values: NDArray[np.generic]) -> bool:
    """Whether an array holds pixel masks, (N, H, W)."""
    return values.ndim == 3 and min(values.shape) > 1


def as_flags(values: NDArray[np.generic], where: str) -> Flags:
    """Return one flag a frame, of values (N,), (1, N) or (N, 1), or of pixel masks (N, H, W). Raises InputError."""
    if values.dtype.kind not in "buif":
        raise InputError(f"{where} holds {values.dtype}, but labels are numbers, 0 (normal) or 1 (anomalous)")
    if is_masks(values):
        return np.array([frame.any() for frame in values], bool)
    if values.ndim > 2 or (values.ndim == 2 and 1 not in values.shape):
        raise InputError(f"{where} has the shape {values.shape}; labels are (N,) or (1, N), or masks (N, H, W)")
    flat = values.ravel()
    wrong = np.flatnonzero((flat != 0) & (flat != 1))
    if len(wrong):
        raise InputError(f"{where}: label {wrong[0] + 1} is {flat[wrong[0]]}; labels are 0 or 1 (are these scores?)")
    return flat.astype(bool)


def fit_values(asked: Asked, clip: Clip, values: Flags, where: str) -> Flags:
    """Return the labels of a video's frames, of those of the whole video, or of just these frames. Raises InputError."""
    count, there = len(values), len(clip.numbers)
    if count == there:
        return values
    places = asked.places(clip)
    last, gaps = int(places[-1]), int(places[-1]) + 1 - there  # before its first frame, or between two
    lost_at_the_end = clip.id in asked.movies and 0 < count - there <= FEWER_AT_THE_END
    if last < count and (gaps or lost_at_the_end):
        return values[places]
    frames = f"test video {clip.title} has {there:,} frames ({clip.numbers[0]} to {clip.numbers[-1]})"
    raise InputError(f"{where} has {count:,} labels, but {frames}; {OTHER_SET}")


def fit_intervals(asked: Asked, clip: Clip, intervals: Sequence[Sequence[int]], where: str) -> Found:
    """Return the labels of a video of its anomalous intervals, counted from 1, both ends included. Raises InputError."""
    places, values = asked.places(clip) + 1, np.zeros(len(clip.numbers), bool)
    for begin, end in intervals:
        if not 1 <= begin <= end:
            raise InputError(
                f"{where}: {begin} to {end} is no interval of frames counted from 1, of test video {clip.title}"
            )
        values |= (places >= begin) & (places <= end)
    most, last = max((int(end) for _, end in intervals), default=0), int(places[-1])
    whole = places[0] == 1  # a clip that begins in the middle may end there, too
    note = f"{where}: the labels of video {clip.title} end at frame {most}, but the video at {last} (counted from 1)"
    if not whole or most <= last or (clip.id in asked.movies and most - last <= FEWER_AT_THE_END):
        return Found(values)
    if most == last + 1:
        return Found(values, (f"{note}; are they shifted by one?",))
    raise InputError(f"{note}; {OTHER_SET}")


def without_ending(name: str) -> str:
    """Return the name of the video that labels called `Test001_gt` or `NAME_annotations` are of."""
    return re.sub("_gt$|_annotations$", "", name, flags=re.IGNORECASE)


def by_position(asked: Asked, count: int) -> dict[Clip, int]:
    """Return which of `count` entries is whose: by the number at the end of a video's name, else in order. Raises InputError."""
    clips = asked.clips
    if count == len(clips):
        return {clip: place for place, clip in enumerate(clips)}
    numbers = [last_number(clip.title) for clip in clips]
    known = [number for number in numbers if number is not None and 1 <= number <= count]
    if len(known) == len(set(known)) == len(clips):
        return {clip: number - 1 for clip, number in zip(clips, known, strict=True)}
    raise InputError(f"{asked.path} has labels of {count} videos, but there are {len(clips)} test videos; {OTHER_SET}")


def by_name(
    asked: Asked, names: Iterable[str], form: str, *, of_normal: bool = True
) -> tuple[dict[Clip, str], tuple[str, ...]]:
    """Return which name is each video's, and a note on names of no video. Raises InputError for a video without one.

    With `of_normal=False` a video needs none whose own name says that it is normal. A name fits that is the video's, or the same number, or ends with the same number where all numbers differ.
    """
    names, clips = list(names), asked.clips
    plain = {name: composed(without_ending(name)).casefold() for name in names}
    found: dict[Clip, str] = {}
    for key in (str.casefold, number_of, last_number):
        keys: dict[object, list[str]] = {}
        for name in names:
            keys.setdefault(key(plain[name]), []).append(name)
        ours = [key(composed(clip.title)) for clip in clips]
        loose = key is last_number and (found or len(set(ours)) < len(ours) or any(len(n) > 1 for n in keys.values()))
        for clip, wanted in zip(clips, ours, strict=True):
            same = keys.get(wanted, []) if wanted is not None and not loose else []
            if clip not in found and len(same) > 1:
                raise InputError(f"{asked.path}: {some(same)} are all of test video {clip.title}; remove all but one")
            if clip not in found and same:
                found[clip] = same[0]
    needed = [clip for clip in clips if of_normal or not _NORMAL.fullmatch(clip.title)]
    if lacking := [clip.title for clip in needed if clip not in found]:
        raise InputError(
            f"{asked.path} has no labels of test video {some(lacking)} ({form}); add them, or name with LABELS= what has labels of every test video"
        )
    others = sorted(set(names) - set(found.values()))
    return found, ((f"{asked.path}: there is no test video for {some(others)}",) if others else ())
