"""Frame scores: one number a frame, grouped by video."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Which frames, in order: video ids and frame numbers, both int64 of shape (N,), sorted by (video, frame).

    `usable`, bool (N,), says which of them members may look at; without it all. The others get no score of their own.
    """

    video: NDArray[np.int64]
    frame: NDArray[np.int64]
    usable: Flags | None = None

    def __len__(self) -> int:
        return len(self.video)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrameIndex):
            return False
        return np.array_equal(self.video, other.video) and np.array_equal(self.frame, other.frame)

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """One slice a video: where its frames lie. What is temporal works within a span, never across two."""
        starts = np.flatnonzero(np.diff(self.video, prepend=-1))
        return tuple(slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], len(self)], strict=True))

    @cached_property
    def ids(self) -> list[str]:
        """`{video}_{frame}` without zero padding, the competition's way to name a frame."""
        return [f"{video}_{frame}" for video, frame in zip(self.video, self.frame, strict=True)]

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(np.stack([self.video, self.frame]).tobytes()).hexdigest()

    @classmethod
    def sorted(cls, video: Sequence[int], frame: Sequence[int]) -> tuple["FrameIndex", NDArray[np.intp]]:
        """The index of these frames in order, and the permutation that sorts them."""
        order = np.lexsort((np.asarray(frame), np.asarray(video)))
        return cls(np.asarray(video, np.int64)[order], np.asarray(frame, np.int64)[order]), order
