"""The shape of a sample, and the windows of consecutive frames of one video that samples are cut from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import FrameIndex
from vad.errors import InputError

Positions = NDArray[np.intp]
Kind = Literal["frame", "clip", "sequence", "cells"]


@dataclass(frozen=True)
class Shape:
    """The shape of the samples that an input makes and a detector takes: a batch of

    frames (B, channels, height, width), clips (B, channels, frames, height, width), sequences (B, frames, channels, height,
    width) whose next frame is predicted, or cells (B, channels, rows, columns): features of each cell of a frame.
    """

    kind: Kind
    channels: int
    height: int
    width: int
    frames: int = 1

    @property
    def size(self) -> int:
        """The side of a square frame, as networks take it. Raises InputError where frames are not square."""
        if self.height != self.width:
            raise InputError(
                f"this model takes square frames, not {self.width} x {self.height}; leave out `aspect: keep`"
            )
        return self.width

    @property
    def unit(self) -> str:
        """What a progress bar counts."""
        return "frames" if self.kind == "cells" else f"{self.kind}s"

    @property
    def sides(self) -> tuple[int, ...]:
        """The shape of one sample, without the batch."""
        frame = (self.channels, self.height, self.width)
        of_kind = {"clip": (self.channels, self.frames, *frame[1:]), "sequence": (self.frames, *frame)}
        return of_kind.get(self.kind, frame)

    @property
    def target(self) -> tuple[int, ...]:
        """The shape of the target of one sample: of a sequence, its next frame."""
        return self.sides[1:] if self.kind == "sequence" else self.sides


@dataclass(frozen=True)
class Window:
    """The frames of a sample: `length` consecutive ones; those from index `scored_from` on get a score.

    Training takes every `stride`-th window, scoring every one.
    """

    length: int = 1
    scored_from: int = 0
    stride: int = 1
    break_at_gaps: bool = False

    def positions(self, index: FrameIndex, training: bool) -> Positions:
        """Return all windows as positions in the index, (W, length)."""
        return windows(index, self.length, self.stride if training else 1, self.break_at_gaps)


def runs(index: FrameIndex, break_at_gaps: bool) -> list[Positions]:
    """Return runs of usable frames as positions: whole videos, or with `break_at_gaps` their parts between missing frame numbers."""
    found: list[Positions] = []
    for span in index.spans:
        run = np.arange(span.start, span.stop)
        if index.usable is not None:
            run = run[index.usable[span]]
        found += np.split(run, 1 + np.flatnonzero(np.diff(index.frame[run]) != 1)) if break_at_gaps else [run]
    return found


def windows(index: FrameIndex, length: int, stride: int = 1, break_at_gaps: bool = False) -> Positions:
    """Return every `stride`-th window of `length` frames in each run: positions in the index, (W, length).

    A run shorter than `length` has no window.
    """
    long_enough = [run for run in runs(index, break_at_gaps) if len(run) >= length]
    found = [np.lib.stride_tricks.sliding_window_view(run, length)[::stride] for run in long_enough]
    return np.concatenate([np.zeros((0, length), np.intp), *found]).astype(np.intp)
