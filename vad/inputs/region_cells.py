"""Moving regions: what moves together, how large it is and how it moves, told to each cell that it covers."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.inputs.base import INPUTS, Input
from vad.inputs.cells import Cell, CellKind, cell_numbers, whole
from vad.inputs.flow_cells import LEAST_SIDE, MOVING, dis_flow, flow_bins

_OPENED, _CLOSED = np.ones((3, 3), np.uint8), np.ones((7, 7), np.uint8)
_LEAST_AREA = 64  # pixels of a region; what is smaller is noise
_SIDES = 3  # width, height, area
CHANNELS = 16 + _SIDES


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

    return CellKind(f"regioncells1-{cell}", cell, CHANNELS, compute, 2, LEAST_SIDE).input("region_cells")
