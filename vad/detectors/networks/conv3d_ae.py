"""The reference's autoencoder of clips: convolutions in space and time."""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from vad.catalog import Count
from vad.detectors.networks.base import NETWORKS, bottleneck
from vad.errors import InputError
from vad.inputs.shape import Kind, Shape

_WIDTHS = (32, 64, 128, 256)


@NETWORKS.register("conv3d_ae", version=1)
class Conv3dAutoencoder(nn.Module):
    """Four strided 3D convolutions down, a narrow vector, four transposed ones up.

    Input and output: (B, channels, frames, size, size) in [-1, 1]; `size` is a multiple of 16, `frames`
    of 8. The first step down and the last step up leave time as it is; the others halve or double it.
    Down: 3 x 3 x 3, batch norm, LeakyReLU 0.2. Up: 4 in each direction that doubles (the first block 2 in
    time), batch norm, ReLU; the last ends in tanh and is the only one with a bias. The vector passes LeakyReLU 0.2 on both sides.

    Source: the reference's 3D network of phase 3.
    """

    takes: ClassVar[Kind] = "clip"
    multiple: ClassVar[int] = 16

    def __init__(self, shape: Shape, *, latent: Count = 256):
        super().__init__()
        if shape.frames % 8:
            raise InputError(f'model "conv3d_ae" needs clips of 8, 16, 24, ... frames, not {shape.frames}')
        grid, deep = shape.size // 16, shape.frames // 8
        down: list[nn.Module] = []
        for number, (wide_in, wide_out) in enumerate(pairwise((shape.channels, *_WIDTHS))):
            stride = (1, 2, 2) if number == 0 else (2, 2, 2)
            convolution = nn.Conv3d(wide_in, wide_out, 3, stride, 1, bias=False)
            down += [convolution, nn.BatchNorm3d(wide_out), nn.LeakyReLU(0.2)]
        self.encoder = nn.Sequential(*down)
        self.bottleneck = bottleneck((_WIDTHS[-1], deep, grid, grid), latent)
        up: list[nn.Module] = []
        for number, (wide_in, wide_out) in enumerate(pairwise(reversed(_WIDTHS))):
            kernel, padding = ((2, 4, 4), (0, 1, 1)) if number == 0 else ((4, 4, 4), (1, 1, 1))
            doubling = nn.ConvTranspose3d(wide_in, wide_out, kernel, 2, padding, bias=False)
            up += [doubling, nn.BatchNorm3d(wide_out), nn.ReLU()]
        up += [nn.ConvTranspose3d(_WIDTHS[0], shape.channels, (1, 4, 4), (1, 2, 2), (0, 1, 1)), nn.Tanh()]
        self.decoder = nn.Sequential(*up)

    def forward(self, clips: Tensor) -> Tensor:
        """Reconstruct `clips`."""
        return torch.as_tensor(self.decoder(self.bottleneck(self.encoder(clips))))
