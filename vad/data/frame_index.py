"""Frame scores: one number a frame, grouped by video."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
DIGITS = 9  # of a video's or a frame's number; zeros in front do not count
_NUMBER, _PARTS = re.compile(rf"0*(\d{{1,{DIGITS}}})", re.ASCII), re.compile(r"\d+|\D+", re.ASCII)


def natural(name: str) -> tuple[object, ...]:
    """Return a key that sorts names as people do: `clip 2` before `clip 10`."""
    parts = _PARTS.findall(name)
    return (*((0, int(p), "") if p.isdigit() else (1, 0, p.casefold()) for p in parts), (2, 0, name))


def composed(name: str) -> str:
    """Return a name with its accents as one character each: a Mac's archives keep them apart."""
    return unicodedata.normalize("NFC", name)


def number_of(name: str) -> int | None:
    """Return the number that a name is, as 7 for `07`; None for any other name."""
    match = _NUMBER.fullmatch(name)
    return int(match[1]) if match else None


def last_number(name: str) -> int | None:
    """Return the last number in a name, as 4 of `Test004`."""
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else None


def numbered(names: Iterable[str]) -> dict[str, int]:
    """Return an id for each name: its number where it is one; the others are counted on, in their natural order."""
    ids = {name: number for name in names if (number := number_of(name)) is not None}
    others = sorted({name for name in names if name not in ids}, key=natural)
    first = max(ids.values(), default=0) + 1
    return ids | {name: first + rank for rank, name in enumerate(others)}


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Which frames, in order: video ids and frame numbers, both int64 of shape (N,), sorted by (video, frame).

    `names` are those of the videos whose name is no number, by id.
    `usable`, bool (N,), says which of them members may look at; without it all. The others get no score of their own.
    """

    video: NDArray[np.int64]
    frame: NDArray[np.int64]
    names: Mapping[int, str] = field(default_factory=dict)
    usable: Flags | None = None

    def __len__(self) -> int:
        return len(self.video)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrameIndex):
            return False
        same = np.array_equal(self.video, other.video) and np.array_equal(self.frame, other.frame)
        return same and (self.names == other.names or self.titles == other.titles)

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """One slice a video: where its frames lie. What is temporal works within a span, never across two."""
        starts = np.flatnonzero(np.diff(self.video, prepend=-1))
        return tuple(slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], len(self)], strict=True))

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """Of each frame the place of its video in `spans`, (N,)."""
        return np.cumsum(np.diff(self.video, prepend=self.video[:1]) != 0)

    def title(self, video: int) -> str:
        """Return the name by which people know a video: that of its folder or movie; of a number, the number."""
        return self.names.get(int(video), str(video))

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """The name of each video, in the order of `spans`."""
        return tuple(self.title(self.video[span.start]) for span in self.spans)

    @cached_property
    def ids(self) -> list[str]:
        """`{video}_{frame}` without zero padding, the competition's way to name a frame."""
        if not self.names:
            return [f"{video}_{frame}" for video, frame in zip(self.video, self.frame, strict=True)]
        titles = zip(self.titles, self.spans, strict=True)
        return [f"{title}_{frame}" for title, span in titles for frame in self.frame[span]]

    @cached_property
    def digest(self) -> str:
        digest = hashlib.sha256(np.stack([self.video, self.frame]).tobytes())
        digest.update("".join(f"{title}\n" for title in self.titles if self.names).encode())
        return digest.hexdigest()

    @classmethod
    def named(cls, titles: Sequence[str], frame: Sequence[int]) -> tuple["FrameIndex", NDArray[np.intp]]:
        """As `sorted`, of the names of videos."""
        ids = numbered(dict.fromkeys(titles))
        index, order = cls.sorted([ids[title] for title in titles], frame)
        return cls(index.video, index.frame, {id: name for name, id in ids.items() if number_of(name) is None}), order

    @classmethod
    def sorted(cls, video: Sequence[int], frame: Sequence[int]) -> tuple["FrameIndex", NDArray[np.intp]]:
        """The index of these frames in order, and the permutation that sorts them."""
        order = np.lexsort((np.asarray(frame), np.asarray(video)))
        return cls(np.asarray(video, np.int64)[order], np.asarray(frame, np.int64)[order]), order


def filled(values: Values) -> Values:
    """Return the scores of one video with the nearest frame's where a frame has none (NaN), of two the earlier, if it has any."""
    known = np.flatnonzero(~np.isnan(values))
    if len(known) in (0, len(values)):
        return values
    frames = np.arange(len(values))
    after = np.searchsorted(known, frames).clip(max=len(known) - 1)
    before = (after - 1).clip(min=0)
    earlier = np.abs(frames - known[before]) <= np.abs(known[after] - frames)
    return np.asarray(values[known[np.where(earlier, before, after)]])
