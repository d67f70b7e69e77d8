"""The reference's predictor of the next frame: a convolutional LSTM between an encoder and a decoder."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from vad.catalog import Count
from vad.detectors.networks.base import NETWORKS
from vad.detectors.networks.halving import decoder, encoder
from vad.inputs.shape import Kind, Shape

_WIDTHS = (32, 64, 128, 256)


@NETWORKS.register("convlstm", version=1)
class ConvLSTM(nn.Module):
    """Encode each frame separately, run one ConvLSTM cell over the codes, and decode its last state into a frame.

    Input: (B, frames, channels, size, size) in [-1, 1]; output: the frame that comes next, (B, channels,
    size, size); `size` is a multiple of 16. Down: four 4 x 4 convolutions of stride 2, batch norm, LeakyReLU 0.2. The
    cell has `hidden` channels, one 3 x 3 convolution for its four gates, no peepholes, and begins at zero.
    Up: a 3 x 3 convolution, then four 4 x 4 transposed ones of stride 2, batch norm, ReLU; the last ends in tanh.

    Source: the reference's ConvLSTM of phase 3 (the cell is that of Shi et al., 2015, without peepholes).
    """

    takes: ClassVar[Kind] = "sequence"
    multiple: ClassVar[int] = 16

    def __init__(self, shape: Shape, *, hidden: Count = 64):
        super().__init__()
        self.encoder = encoder(shape.channels, _WIDTHS)
        self.gates = nn.Conv2d(_WIDTHS[-1] + hidden, 4 * hidden, 3, 1, 1)
        self.hidden = hidden
        first = (nn.Conv2d(hidden, _WIDTHS[-1], 3, 1, 1), nn.BatchNorm2d(_WIDTHS[-1]), nn.ReLU())
        self.decoder = decoder(_WIDTHS, shape.channels, *first)

    def forward(self, sequences: Tensor) -> Tensor:
        """Predict the frame after each of `sequences`."""
        batch, frames = sequences.shape[:2]
        codes = self.encoder(sequences.flatten(0, 1)).unflatten(0, (batch, frames))
        hidden = cell = codes.new_zeros((batch, self.hidden, *codes.shape[-2:]))
        for step in range(frames):
            gates = self.gates(torch.cat([codes[:, step], hidden], 1))
            into, forget, out = torch.sigmoid(gates[:, : 3 * self.hidden]).chunk(3, 1)
            cell = forget * cell + into * torch.tanh(gates[:, 3 * self.hidden :])
            hidden = out * torch.tanh(cell)
        return torch.as_tensor(self.decoder(hidden))
