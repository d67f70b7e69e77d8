"""The reference's autoencoder of clips: convolutions in space and time."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from vad.catalog import Within
from vad.detectors.networks.base import NETWORKS
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

    def __init__(self, shape: Shape, *, latent: Annotated[int, Within(low=1)] = 256):
        super().__init__()
        if shape.size < 16 or shape.size % 16:
            raise InputError(f'model "conv3d_ae" needs a size that is a multiple of 16, not {shape.size}')
        if shape.frames % 8:
            raise InputError(f'model "conv3d_ae" needs clips of 8, 16, 24, ... frames, not {shape.frames}')
        grid, deep = shape.size // 16, shape.frames // 8
        down: list[nn.Module] = []
        for number, (wide_in, wide_out) in enumerate(zip((shape.channels, *_WIDTHS), _WIDTHS, strict=False)):
            stride = (1, 2, 2) if number == 0 else (2, 2, 2)
            down += [
                nn.Conv3d(wide_in, wide_out, 3, stride, 1, bias=False),
                nn.BatchNorm3d(wide_out),
                nn.LeakyReLU(0.2),
            ]
        self.encoder = nn.Sequential(*down)
        flat = _WIDTHS[-1] * deep * grid * grid
        self.bottleneck = nn.Sequential(
            nn.Flatten(),
            nn.Linear(flat, latent),
            nn.LeakyReLU(0.2),
            nn.Linear(latent, flat),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (_WIDTHS[-1], deep, grid, grid)),
        )
        up: list[nn.Module] = []
        for number, (wide_in, wide_out) in enumerate(zip(_WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True)):
            kernel, padding = ((2, 4, 4), (0, 1, 1)) if number == 0 else ((4, 4, 4), (1, 1, 1))
            up += [
                nn.ConvTranspose3d(wide_in, wide_out, kernel, 2, padding, bias=False),
                nn.BatchNorm3d(wide_out),
                nn.ReLU(),
            ]
        up += [nn.ConvTranspose3d(_WIDTHS[0], shape.channels, (1, 4, 4), (1, 2, 2), (0, 1, 1)), nn.Tanh()]
        self.decoder = nn.Sequential(*up)

    def forward(self, clips: Tensor) -> Tensor:
        """Reconstruct `clips`."""
        return torch.as_tensor(self.decoder(self.bottleneck(self.encoder(clips))))
