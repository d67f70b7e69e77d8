"""The reference's U-Net: an autoencoder with skip connections."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from vad.catalog import Count
from vad.detectors.networks.base import NETWORKS, bottleneck
from vad.detectors.networks.halving import Double, Halve
from vad.inputs.shape import Kind, Shape

_WIDTHS = (64, 128, 256, 512, 512)


@NETWORKS.register("unet_ae", version=1)
class UNetAutoencoder(nn.Module):
    """Five blocks down, a bottleneck vector, five blocks up; all blocks up but the first have a skip connection.

    Input and output: (B, channels, size, size) in [-1, 1]; `size` is a multiple of 32. A block down is a
    4 x 4 convolution of stride 2 and a 3 x 3 one, each with batch norm and LeakyReLU 0.2; a block up is
    a 4 x 4 transposed convolution of stride 2 and a 3 x 3 one, each with batch norm and ReLU; none has a bias. The vector
    passes LeakyReLU 0.2 on both sides. The head is a 3 x 3 convolution and tanh; the input itself has
    no skip connection.

    Source: the reference's U-Net of phase 1 (after Ronneberger et al., 2015).
    """

    takes: ClassVar[Kind] = "frame"
    multiple: ClassVar[int] = 32

    def __init__(self, shape: Shape, *, latent: Count = 512):
        super().__init__()
        grid = shape.size // 32
        leaky = partial(nn.LeakyReLU, 0.2)
        down = [_block(Halve(a, b, bias=False), b, leaky) for a, b in pairwise((shape.channels, *_WIDTHS))]
        self.down = nn.ModuleList(down)
        self.bottleneck = bottleneck((_WIDTHS[-1], grid, grid), latent)
        # Input channels of the blocks up: from the second on, the skip connection doubles them.
        inputs = (_WIDTHS[-1], *(2 * width for width in _WIDTHS[-2::-1]))
        outputs = (_WIDTHS[-2], *_WIDTHS[-3::-1], _WIDTHS[0])
        up = [_block(Double(a, b, bias=False), b, nn.ReLU) for a, b in zip(inputs, outputs, strict=True)]
        self.up = nn.ModuleList(up)
        self.head = nn.Sequential(nn.Conv2d(_WIDTHS[0], shape.channels, 3, 1, 1), nn.Tanh())

    def forward(self, frames: Tensor) -> Tensor:
        """Reconstruct `frames`."""
        maps = []
        x = frames
        for block in self.down:
            x = block(x)
            maps.append(x)
        x = self.up[0](self.bottleneck(x))
        for block, skip in zip(self.up[1:], maps[-2::-1], strict=True):
            x = block(torch.cat([x, skip], 1))
        return torch.as_tensor(self.head(x))


def _block(resample: nn.Module, width: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Return a halving or doubling of the map, then a 3 x 3 convolution, each with batch norm and the activation."""
    convolution = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    return nn.Sequential(
        resample, nn.BatchNorm2d(width), activation(), convolution, nn.BatchNorm2d(width), activation()
    )
