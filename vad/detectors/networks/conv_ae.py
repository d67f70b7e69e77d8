"""The reference's convolutional autoencoder with a linear bottleneck."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from vad.catalog import Count
from vad.detectors.networks.base import NETWORKS
from vad.detectors.networks.halving import decoder, encoder
from vad.inputs.shape import Kind, Shape

_WIDTHS = (32, 64, 128, 256, 512)


@NETWORKS.register("conv_ae", version=1)
class ConvAutoencoder(nn.Module):
    """Five strided convolutions down, a linear latent vector, five transposed convolutions up.

    Input and output: (B, channels, size, size) in [-1, 1]; `size` is a multiple of 32. Every
    convolution is 4 x 4, stride 2, padding 1. Down: batch norm and LeakyReLU 0.2. Up: batch norm and
    ReLU; the last has neither and ends in tanh. The latent itself is linear; the vector that is
    spread out again passes `expand_activation`. No dropout, no skip connections.

    Source: the reference's networks of phases 1 to 5; with two channels that of its flow stream.
    """

    takes: ClassVar[Kind] = "frame"
    multiple: ClassVar[int] = 32

    def __init__(self, shape: Shape, *, latent: Count, expand_activation: Literal["leaky_relu", "none"] = "leaky_relu"):
        super().__init__()
        grid = shape.size // 32
        self.encoder = encoder(shape.channels, _WIDTHS)
        self.compress = nn.Linear(_WIDTHS[-1] * grid * grid, latent)
        self.expand = nn.Linear(latent, _WIDTHS[-1] * grid * grid)
        self.expand_activation = nn.LeakyReLU(0.2) if expand_activation == "leaky_relu" else nn.Identity()
        self.unflatten = nn.Unflatten(1, (_WIDTHS[-1], grid, grid))
        self.decoder = decoder(_WIDTHS, shape.channels)

    def forward(self, frames: Tensor) -> Tensor:
        """Reconstruct `frames`."""
        code = self.compress(torch.flatten(self.encoder(frames), 1))
        return torch.as_tensor(self.decoder(self.unflatten(self.expand_activation(self.expand(code)))))
