"""What a network sees: stored frames as batches of samples.

An input has a number of channels and turns frames (uint8, (N, size, size, 3), RGB) into samples. A
sample's batch is (B, channels, size, size), float32 in [-1, 1], on the device that computes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vad.catalog import Catalog
from vad.frames.store import Frames
from vad.scores import FrameIndex


class Samples(Protocol):
    """Samples of one split: how many, any of them as a batch, and the frame that each one scores."""

    def __len__(self) -> int: ...
    def batch(self, positions: NDArray[np.intp]) -> Tensor: ...


@dataclass(frozen=True)
class Input:
    """A kind of input: its number of channels, and how samples are made of frames."""

    channels: int
    samples: Callable[[Frames, FrameIndex, torch.device], Samples]


INPUTS: Catalog[Callable[[], Input]] = Catalog("input")


class FrameSamples:
    """Each frame is a sample. Bytes travel to the device; scaling to [-1, 1] happens there."""

    def __init__(self, frames: Frames, index: FrameIndex, device: torch.device):
        self._frames = frames
        self._device = device

    def __len__(self) -> int:
        return len(self._frames)

    def batch(self, positions: NDArray[np.intp]) -> Tensor:
        """(B, 3, size, size), float32, channels-last in memory; x / 127.5 - 1 as the reference scales."""
        pixels = torch.from_numpy(self._frames[positions]).to(self._device, non_blocking=True)
        return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


@INPUTS.register("rgb")
def rgb() -> Input:
    """Single colour frames."""
    return Input(3, FrameSamples)
