"""The reference's small autoencoder of frame differences: convolutions only."""

from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from vad.detectors.networks.base import NETWORKS
from vad.detectors.networks.halving import Double, Halve
from vad.inputs.shape import Kind, Shape

_WIDTHS = (32, 64, 128)


@NETWORKS.register("fully_conv_ae", version=1)
class FullyConvAutoencoder(nn.Module):
    """Three strided convolutions down, three transposed ones up; no linear layer, no batch norm.

    Input and output: (B, channels, size, size); `size` is a multiple of 8. Every convolution is 4 x 4,
    stride 2, padding 1, followed by ReLU; the last by `output`: sigmoid for inputs in [0, 1], tanh for
    [-1, 1].

    Source: the reference's baseline of phase 1 on frame differences.
    """

    takes: ClassVar[Kind] = "frame"
    multiple: ClassVar[int] = 8

    def __init__(self, shape: Shape, *, output: Literal["sigmoid", "tanh"] = "sigmoid"):
        super().__init__()
        layers: list[nn.Module] = []
        for wide_in, wide_out in pairwise((shape.channels, *_WIDTHS)):
            layers += [Halve(wide_in, wide_out), nn.ReLU()]
        for wide_in, wide_out in pairwise((*_WIDTHS[::-1], shape.channels)):
            layers += [Double(wide_in, wide_out), nn.ReLU()]
        layers[-1] = nn.Sigmoid() if output == "sigmoid" else nn.Tanh()
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: Tensor) -> Tensor:
        """Reconstruct `frames`."""
        return torch.as_tensor(self.layers(frames))
