"""The yardstick: how a notebook does the same work, written as its author would have, and no worse.

Decode and shrink each JPEG once for every scale with PIL; keep all frames as one float32 tensor; train in fp32,
NCHW, eagerly, with PyTorch's plain Adam and a DataLoader-less shuffle; score by moving every error map to the CPU.
The networks are the project's own, so that both sides compute the same thing.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def load(paths: Sequence[Path], size: int) -> Tensor:
    """Frames as (N, 3, size, size), float32 in [-1, 1]."""
    from PIL import Image  # not where only training is compared

    frames = []
    for path in paths:
        image = Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
        frames.append(pixels / 127.5 - 1.0)
    return torch.stack(frames)


class Trainer:
    """Batches of one epoch after another; each call of `step` is one."""

    def __init__(self, network: nn.Module, frames: Tensor, batch_size: int, device: torch.device, lr: float = 2e-4):
        self.network = network.to(device).train()
        self._frames = frames
        self._batch_size = batch_size
        self._device = device
        self._optimizer = torch.optim.Adam(network.parameters(), lr=lr)
        self._criterion = nn.MSELoss()
        self._order: list[Tensor] = []
        self.losses: list[float] = []

    def step(self) -> None:
        if not self._order:
            self._order = list(torch.randperm(len(self._frames)).split(self._batch_size))
        batch = self._frames[self._order.pop()].to(self._device)
        self._optimizer.zero_grad()
        output = self.network(batch)
        loss = self._criterion(output, batch)
        loss.backward()
        self._optimizer.step()
        self.losses.append(loss.item())

    def epoch(self) -> float:
        """One pass over all frames; the mean of its batch losses."""
        self.losses.clear()
        for _ in range(-(-len(self._frames) // self._batch_size)):
            self.step()
        return sum(self.losses) / len(self.losses)


def score(network: nn.Module, frames: Tensor, batch_size: int, device: torch.device) -> np.ndarray:
    """The largest squared error of each frame, by way of whole error maps on the CPU."""
    network.to(device).eval()
    scores = []
    with torch.no_grad():
        for batch in frames.split(batch_size):
            batch = batch.to(device)
            maps = ((batch - network(batch)) ** 2).cpu().numpy()
            scores.extend(float(error.max()) for error in maps)
    return np.asarray(scores)
