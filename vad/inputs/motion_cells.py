"""What moves in each cell, as banks compare it: how many pixels move how fast and where to, and the region that they belong to."""

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


_OPENED, _CLOSED = np.ones((3, 3), np.uint8), np.ones((7, 7), np.uint8)
_LEAST_AREA = 64  # pixels of a region; what is smaller is noise
_SIDES = 3  # width, height, area
_REGION_CHANNELS = CHANNELS + _SIDES


def moving_regions(flow: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Find what moves together: the number of the region of each pixel, (H, W), and OpenCV's statistics of each region, (R, 5).

    Number 0 is what does not move, and what is smaller than 64 pixels; no pixel has the number of such a region, whose statistics are 0.
    """
    moving = cv2.morphologyEx((flow_bins(flow)[0] >= MOVING).astype(np.uint8), cv2.MORPH_OPEN, _OPENED)
    moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, _CLOSED)
    count, number, boxes, _ = cv2.connectedComponentsWithStats(moving)
    large = boxes[:, cv2.CC_STAT_AREA] >= _LEAST_AREA
    boxes[~large] = 0
    return np.asarray((np.arange(count) * large)[number], np.int32), np.asarray(boxes, np.int32)


def regions(flow: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Describe what moves together: the number of the region of each pixel, (H, W), 0 for none, and its description, (R, 19).

    A description has the logarithm of 1 + how many of its pixels are in each bin of speed and of direction, then of its width,
    height and area. Number 0 is described by zeros.
    """
    number, boxes = moving_regions(flow)
    count = len(boxes)
    pairs = [
        np.bincount((number * 8 + bins).ravel(), minlength=count * 8).reshape(count, 8) for bins in flow_bins(flow)
    ]
    sides = boxes[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA]]
    described = np.log1p(np.concatenate([*pairs, sides], 1)).astype(np.float32)
    described[0] = 0
    return number, described


def covering(number: NDArray[np.int32], count: int, cell: int) -> NDArray[np.intp]:
    """Return the number, of `count`, of the region that covers most of each cell, (rows, columns); 0 where none does."""
    rows, columns = number.shape[0] // cell, number.shape[1] // cell
    place = cell_numbers(rows, columns, cell) * count + number[: rows * cell, : columns * cell]
    pixels = np.bincount(place.ravel(), minlength=rows * columns * count).reshape(rows, columns, count)
    pixels[..., 0] = 0
    return np.asarray(pixels.argmax(2))


@INPUTS.register("region_cells", version=1)
def region_cells(*, cell: Cell = 32) -> Input:
    """The moving region that covers most of each square cell of `cell` pixels, (19, rows, columns); zeros where none does.

    A region is what moves together by a pixel a frame and more. Of it: 32 log(1 + n) of its pixels n in 8 bins of speed and 8 of
    direction, of its width, height and area. The first frame of a video gets no score.
    """

    def compute(frames: Sequence[NDArray[np.uint8]], apart: int) -> NDArray[np.float32]:
        number, described = regions(dis_flow(frames[0], frames[1]) / np.float32(apart))
        return whole(32 * described[covering(number, len(described), cell)])

    return CellKind(f"regioncells1-{cell}", cell, _REGION_CHANNELS, compute, 2, LEAST_SIDE).input("region_cells")
