"""How many pixels of each cell move how fast and where to: what banks compare."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.inputs.base import INPUTS, Input
from vad.inputs.cells import Cell, CellKind, cell_numbers, whole

# Pixels a frame: the bins of speed lie between these edges. What is in the bins from `MOVING` on moves, by 1 and more.
_EDGES = np.asarray([0.25, 0.5, 1, 2, 3, 4, 6], np.float32)
MOVING = 3
_SPEEDS, _DIRECTIONS = len(_EDGES) + 1, 8
CHANNELS = _SPEEDS + _DIRECTIONS

# OpenCV's flow reads memory that is not its own in frames that are flatter or smaller, and kills the process.
LEAST_SIDE = 32


def dis_flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Dense flow from one grey frame (H, W) to the next, in pixels, float32 (H, W, 2): dx and dy.

    Dense inverse search (Kroeger et al., 2016) by OpenCV, with its fast preset.
    """
    # An object for each pair: one that was used before gives other flow of small frames.
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    empty: NDArray[np.float32] = None  # type: ignore[assignment]  # OpenCV's stubs do not know that none may be given
    return np.asarray(flow.calc(before, after, empty), np.float32)


def flow_bins(flow: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of each pixel of a flow (H, W, 2) the bin of its speed and that of its direction, 0 to 7, (H, W) both."""
    distance, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1])
    speed = np.searchsorted(_EDGES, distance, side="right")
    return speed, np.rint(angle * (_DIRECTIONS / (2 * np.pi))).astype(np.intp) % _DIRECTIONS


def histograms(flow: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
    """Count the pixels of each cell by speed, and those that move by direction: float32 (H // cell, W // cell, 16)."""
    rows, columns = flow.shape[0] // cell, flow.shape[1] // cell
    flow = flow[: rows * cell, : columns * cell]
    speed, direction = flow_bins(flow)
    place = cell_numbers(rows, columns, cell)
    counts = np.bincount((place * _SPEEDS + speed).ravel(), minlength=rows * columns * _SPEEDS)
    moving = speed >= MOVING
    ways = np.bincount((place * _DIRECTIONS + direction)[moving], minlength=rows * columns * _DIRECTIONS)
    parts = counts.reshape(rows, columns, _SPEEDS), ways.reshape(rows, columns, _DIRECTIONS)
    return np.concatenate(parts, 2).astype(np.float32)


@INPUTS.register("flow_cells", version=2)
def flow_cells(*, cell: Cell = 32) -> Input:
    """Histograms of optical flow in square cells of `cell` pixels, (16, rows, columns): how many pixels are in each of 8 bins
    of speed and, of those faster than a pixel a frame, in each of 8 directions. The first frame of a video gets no score.

    Speeds are pixels of the view a frame; across missing frame numbers the movement is divided by their count. Of a count n
    the value is 32 log(1 + n): a few pixels more count for much where there were few.
    """

    def compute(frames: Sequence[NDArray[np.uint8]], apart: int) -> NDArray[np.float32]:
        counts = histograms(dis_flow(frames[0], frames[1]) / np.float32(apart), cell)
        return whole(32 * np.log1p(counts))

    return CellKind(f"flowcells2-{cell}", cell, CHANNELS, compute, 2, LEAST_SIDE).input("flow_cells")
