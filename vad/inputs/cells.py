"""Frames as cells: what is known of each square of a frame, as banks compare it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vad.catalog import Within
from vad.data.frame_index import FrameIndex
from vad.errors import InputError
from vad.frames.store import Frames
from vad.images.view import Colour, View
from vad.inputs.base import INPUTS, ComputedSamples, Input
from vad.inputs.shape import Shape, Window

Compute = Callable[[Sequence[NDArray[np.uint8]], int], NDArray[np.floating[Any]]]
"""From the frames of a window, grey (H, W) or in colour (H, W, 3), and the frame numbers from the first to the second, to cells (rows, columns, C).

Values are whole numbers, and the squares of a cell's sum to 2^22 at most: distances are exact in float32 then, in whatever
order they are added up, and values in float16.
"""

_MOST_SQUARE = 2**22
_BLOCK = 8  # pixels of the sides of the blocks whose means describe a cell
_SIGMA = 1.5  # of the blur that takes noise away, in pixels
_ORIENTATIONS = 8

Cell = Annotated[int, Within(low=4, high=44)]
BlockCell = Annotated[int, Within(low=8, high=64, multiple=_BLOCK)]


@dataclass(frozen=True)
class CellKind:
    """A way to describe cells. `label` names code and options, as it goes into names of files."""

    label: str
    cell: int
    channels: int
    compute: Compute
    length: int = 1
    least_side: int = 8
    colour: Colour = "grey"

    def input(self, name: str) -> Input:
        return Input(
            partial(self._shape, name),
            partial(CellSamples, kind=self),
            Window(self.length, self.length - 1),
            self.colour,
        )

    def _shape(self, name: str, view: View) -> Shape:
        if min(view.height, view.width) < self.least_side:
            frames = f"frames of {self.least_side} pixels a side at least, not {view.width} x {view.height}"
            raise InputError(f'input "{name}" needs {frames}; choose a larger `size`')
        return Shape("cells", self.channels, view.height // self.cell, view.width // self.cell)


class CellSamples(ComputedSamples):
    """The cells of the last frame of each window."""

    def __init__(
        self, frames: Frames, index: FrameIndex, device: torch.device, window: Window, training: bool, kind: CellKind
    ):
        super().__init__(frames, index, device, window, training)
        rows, columns = (side // kind.cell for side in frames.shape[1:3])
        self._compute, self.label, self.sides = kind.compute, kind.label, (rows, columns, kind.channels)

    def compute(self, sample: int) -> NDArray[np.floating[Any]]:
        window = self.windows[sample]
        # Where numbers are missing between two frames, what changed is the change of several frames.
        apart = max(1, int(self.index.frame[window[1]] - self.index.frame[window[0]])) if len(window) > 1 else 1
        return self._compute([self.frames[position] for position in window], apart)


def whole(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Round values, none below 0, to whole numbers, and cut off those that are too large; see `Compute`."""
    most = int((_MOST_SQUARE / values.shape[-1]) ** 0.5)
    return np.asarray(np.rint(values).clip(max=most), np.float32)


def cell_numbers(rows: int, columns: int, cell: int) -> NDArray[np.intp]:
    """The number of the cell of each pixel, row by row: (rows * cell, columns * cell)."""
    return (np.arange(rows * cell) // cell)[:, None] * columns + np.arange(columns * cell) // cell


def in_cells(values: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
    """Group the means of 8 x 8 blocks of an image by cell: (H, W) to (rows, columns, (cell / 8)^2)."""
    rows, columns, side = values.shape[0] // cell, values.shape[1] // cell, cell // _BLOCK
    cut = np.ascontiguousarray(values[: rows * cell, : columns * cell])
    blocks = np.asarray(cv2.resize(cut, (columns * side, rows * side), interpolation=cv2.INTER_AREA), np.float32)
    return blocks.reshape(rows, side, columns, side).transpose(0, 2, 1, 3).reshape(rows, columns, side * side)


def _smooth(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(frame.astype(np.float32), (0, 0), _SIGMA), np.float32)


@INPUTS.register("grey_cells", version=1)
def grey_cells(*, cell: BlockCell = 32) -> Input:
    """The mean grey of each block of 8 x 8 pixels, by square cells of `cell` pixels: ((cell / 8)^2, rows, columns)."""

    def compute(frames: Sequence[NDArray[np.uint8]], _: int) -> NDArray[np.float32]:
        return whole(in_cells(_smooth(frames[-1]), cell))

    return CellKind(f"greycells1-{cell}", cell, (cell // _BLOCK) ** 2, compute).input("grey_cells")


@INPUTS.register("colour_cells", version=1)
def colour_cells(*, cell: BlockCell = 32) -> Input:
    """As `grey_cells`, of red, green and blue: (3 (cell / 8)^2, rows, columns)."""

    def compute(frames: Sequence[NDArray[np.uint8]], _: int) -> NDArray[np.float32]:
        smooth = _smooth(frames[-1])
        return whole(np.concatenate([in_cells(smooth[..., channel], cell) for channel in range(3)], 2))

    return CellKind(f"colourcells1-{cell}", cell, 3 * (cell // _BLOCK) ** 2, compute, colour="rgb").input(
        "colour_cells"
    )


@INPUTS.register("edge_cells", version=1)
def edge_cells(*, cell: Cell = 32) -> Input:
    """The strength of edges in each of 8 directions, by square cells of `cell` pixels: (8, rows, columns).

    A histogram of oriented gradients (Dalal and Triggs, 2005) without its normalisation: how strong edges are tells cells apart.
    """

    def compute(frames: Sequence[NDArray[np.uint8]], _: int) -> NDArray[np.float32]:
        grey = _smooth(frames[-1])
        strength, angle = cv2.cartToPolar(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
        rows, columns = grey.shape[0] // cell, grey.shape[1] // cell
        place = cell_numbers(rows, columns, cell)
        cut = np.s_[: rows * cell, : columns * cell]
        way = np.rint(angle[cut] * (_ORIENTATIONS / (2 * np.pi))).astype(np.intp) % _ORIENTATIONS
        count = rows * columns * _ORIENTATIONS
        sums = np.bincount((place * _ORIENTATIONS + way).ravel(), strength[cut].ravel(), minlength=count)
        return whole(sums.reshape(rows, columns, _ORIENTATIONS) / cell**2 * 4)

    return CellKind(f"edgecells1-{cell}", cell, _ORIENTATIONS, compute).input("edge_cells")


@INPUTS.register("change_cubes", version=1)
def change_cubes(*, cell: BlockCell = 32, length: Annotated[int, Within(low=2, high=16)] = 5) -> Input:
    """How much the grey of each block of 8 x 8 pixels changes from frame to frame over `length` frames, by square cells.

    (C, rows, columns), C = (length - 1) (cell / 8)^2: temporal-gradient cubes (Lu, Shi and Jia, 2013). The first frames of a
    video get no score.
    """

    def compute(window: Sequence[NDArray[np.uint8]], _: int) -> NDArray[np.float32]:
        smooth = [_smooth(frame) for frame in window]
        changes = [np.abs(after - before) for before, after in pairwise(smooth)]
        return whole(np.concatenate([4 * in_cells(change, cell) for change in changes], 2))

    channels = (length - 1) * (cell // _BLOCK) ** 2
    return CellKind(f"cubes1-{cell}-{length}", cell, channels, compute, length).input("change_cubes")
