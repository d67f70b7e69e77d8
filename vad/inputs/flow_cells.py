"""How many pixels of each cell move how fast and where to: what banks compare."""

from typing import Annotated

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vad.catalog import Within
from vad.data.frame_index import FrameIndex
from vad.errors import InputError
from vad.frames.store import Frames
from vad.images.view import View
from vad.inputs.base import INPUTS, Input
from vad.inputs.computed import ComputedSamples
from vad.inputs.shape import Shape, Window

# Raise this when a change to the code makes other values of the same frames.
CELLS_CODE = 1
# Pixels a frame: the bins of speed lie between these edges, and a direction counts from `_MOVING` on.
_EDGES = np.asarray([0.25, 0.5, 1, 2, 3, 4, 6], np.float32)
_MOVING = 1.0
_SPEEDS, _DIRECTIONS = len(_EDGES) + 1, 8
CHANNELS = _SPEEDS + _DIRECTIONS

# OpenCV's flow reads memory that is not its own in frames that are flatter or smaller, and kills the process.
_LEAST_SIDE = 32


def dis_flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Dense flow from one grey frame (H, W) to the next, in pixels, float32 (H, W, 2): dx and dy.

    Dense inverse search (Kroeger et al., 2016) by OpenCV, with its fast preset.
    """
    # An object for each pair: one that was used before gives other flow of small frames.
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    empty: NDArray[np.float32] = None  # type: ignore[assignment]  # OpenCV's stubs do not know that none may be given
    return np.asarray(flow.calc(before, after, empty), np.float32)


def histograms(flow: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
    """Count the pixels of each cell by speed, and those that move by direction: float32 (H // cell, W // cell, 16)."""
    rows, columns = flow.shape[0] // cell, flow.shape[1] // cell
    flow = flow[: rows * cell, : columns * cell]
    distance, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1])
    place = (np.arange(rows * cell) // cell)[:, None] * columns + np.arange(columns * cell) // cell
    speed = np.searchsorted(_EDGES, distance, side="right")
    counts = np.bincount((place * _SPEEDS + speed).ravel(), minlength=rows * columns * _SPEEDS)
    moving = distance >= _MOVING
    direction = np.rint(angle[moving] * (_DIRECTIONS / (2 * np.pi))).astype(np.intp) % _DIRECTIONS
    ways = np.bincount(place[moving] * _DIRECTIONS + direction, minlength=rows * columns * _DIRECTIONS)
    parts = counts.reshape(rows, columns, _SPEEDS), ways.reshape(rows, columns, _DIRECTIONS)
    return np.concatenate(parts, 2).astype(np.float32)


class FlowCellSamples(ComputedSamples):
    """Histograms of flow from the frame before to each frame but the first of a video."""

    def __init__(
        self, frames: Frames, index: FrameIndex, device: torch.device, window: Window, training: bool, *, cell: int = 32
    ):
        super().__init__(frames, index, device, window, training)
        self._cell = cell

    def name(self) -> str:
        return f"flowcells{CELLS_CODE}-{self._cell}"

    def shape(self) -> tuple[int, ...]:
        return self.frames.shape[1] // self._cell, self.frames.shape[2] // self._cell, CHANNELS

    def compute(self, sample: int) -> NDArray[np.float32]:
        before, after = self.windows[sample]
        # Where numbers are missing between the two, movement is that of several frames.
        apart = max(1, int(self.index.frame[after] - self.index.frame[before]))
        return histograms(dis_flow(self.frames[before], self.frames[after]) / np.float32(apart), self._cell)


@INPUTS.register("flow_cells", version=1)
def flow_cells(*, cell: Annotated[int, Within(low=4, high=44)] = 32) -> Input:
    """Histograms of optical flow in square cells of `cell` pixels, (16, rows, columns): counts of pixels in 8 bins of
    speed and, of those faster than a pixel a frame, in 8 directions. The first frame of a video gets no score.

    Speeds are pixels of the view a frame; across missing frame numbers the movement is divided by their count.
    """

    def made(
        frames: Frames, index: FrameIndex, device: torch.device, window: Window, training: bool
    ) -> FlowCellSamples:
        return FlowCellSamples(frames, index, device, window, training, cell=cell)

    def shape(view: View) -> Shape:
        if min(view.height, view.width) < _LEAST_SIDE:
            frames = f"frames of {_LEAST_SIDE} pixels a side at least, not {view.width} x {view.height}"
            raise InputError(f'input "flow_cells" needs {frames}; choose a larger `size`')
        return Shape("cells", CHANNELS, view.height // cell, view.width // cell)

    return Input(shape, made, Window(2, 1), "grey")
