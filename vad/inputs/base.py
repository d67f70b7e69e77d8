"""What all inputs have in common."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vad.catalog import Catalog
from vad.data.frame_index import FrameIndex
from vad.frames.maps import holds, writing
from vad.frames.store import Advance, Frames
from vad.images.decode import decoding_pool
from vad.images.view import Colour, View
from vad.inputs.device_cache import on_device
from vad.inputs.shape import Positions, Shape, Window


class Batch(NamedTuple):
    """What goes into the network and what its output is compared with; for an autoencoder both are one."""

    given: Tensor
    target: Tensor


class Samples:
    """Samples of one split: how many there are, any of them as a batch, and the frames that each one scores.

    `windows` holds positions in the index, of shape (W, L): the frames that sample w is cut from. `scored`, (W, K), are
    those of them that it scores. The target of a batch is (B, C, size, size), or (B, C, K, size, size) where K > 1.
    """

    slow: ClassVar[bool] = False
    """Whether making a sample takes so long that `keep` is worth its disk."""

    def __init__(self, frames: Frames, index: FrameIndex, device: torch.device, window: Window, training: bool):
        self.array: NDArray[Any] = frames
        """What batches are cut from: the frames, or what `keep` made of them."""
        self.frames = frames
        self.index = index
        self._device = device
        self._resident: Tensor | None = None
        self.windows = window.positions(index, training)
        self.scored = self.windows[:, window.scored_from :]

    def __len__(self) -> int:
        return len(self.scored)

    def batch(self, which: Positions) -> Batch:
        """The samples with these numbers, float32 on the device that computes."""
        raise NotImplementedError

    def keep(self, place: Path, advance: Advance) -> None:
        """Compute once what every epoch would compute again, in a file that begins with the name `place`."""

    def kept_at(self, place: Path) -> Path | None:
        """The file that `keep` makes, if it makes one."""
        return None

    def over(self, array: NDArray[Any], device: torch.device) -> Self:
        """The same samples, cut from another copy of `array`, for another device: work in another process."""
        other = copy.copy(self)
        other.frames, other.array, other._device, other._resident = array, array, device, None
        return other

    def settle(self) -> None:
        """Bring the array to the device whole, if it is a GPU with room for it: no batch travels then."""
        self._resident = on_device(self.array, self._device)

    def picture(self, values: Tensor) -> Tensor:
        """Frames as a network sees or makes them, (B, C, H, W), for people: uint8 of shape (B, H, W, 3), RGB."""
        raise NotImplementedError

    def _take(self, positions: Positions) -> Tensor:
        """Return the values at these positions of `array`, on the device; positions of shape S give a tensor of shape S + (...)."""
        if self._resident is not None:
            return self._resident[torch.from_numpy(positions).to(self._device)]
        taken = torch.from_numpy(self.array[positions])
        if self._device.type == "cuda":
            taken = taken.pin_memory()
        return taken.to(self._device, non_blocking=True)


@dataclass(frozen=True)
class Input:
    """A kind of input: the shape of a sample in a view, what makes its samples, and the windows of frames they are cut from."""

    shape: Callable[[View], Shape]
    made: Callable[[Frames, FrameIndex, torch.device, Window, bool], Samples]
    window: Window
    colour: Colour = "rgb"
    pretrained: str | None = None
    """The installed package that holds weights trained on other data, for an input that computes with such weights."""

    def samples(self, frames: Frames, index: FrameIndex, device: torch.device, *, training: bool = False) -> Samples:
        """Samples of stored frames; `training` leaves out those that an input trains without."""
        return self.made(frames, index, device, self.window, training)

    def reach(self, index: FrameIndex, *, training: bool = False) -> Positions:
        """The frames that each sample scores, positions of shape (W, K), without any frame being looked at."""
        return self.window.positions(index, training)[:, self.window.scored_from :]

    def scored(self, index: FrameIndex) -> NDArray[np.bool_]:
        """Which frames of the index get a score at all, (N,)."""
        known = np.zeros(len(index), bool)
        known[self.reach(index).ravel()] = True
        return known


INPUTS: Catalog[Callable[..., Input]] = Catalog("input")


def fold_frames(values: Tensor) -> Tensor:
    """Frames of clips as frames of their own: (B, C, T, H, W) -> (B * T, C, H, W). Frames stay as they are."""
    return values if values.dim() == 4 else values.transpose(1, 2).flatten(0, 1)


class ComputedSamples(Samples):
    """Samples whose values, float16, are computed from frames by `compute`, a sample at a time; see `keep`."""

    slow = True
    label: str
    """What is computed, with the version of the code and all options that decide it, fit for a file's name."""
    sides: tuple[int, ...]
    """The shape of a sample's values as they are kept: channels last."""
    _kept = False

    def compute(self, sample: int) -> NDArray[np.floating[Any]]:
        """Compute the values of a sample. Several threads call it."""
        raise NotImplementedError

    def batch(self, which: Positions) -> Batch:
        if self._kept:
            values = self._take(which)
        else:
            asked, places = np.unique(which, return_inverse=True)  # the last pass repeats its last sample
            with decoding_pool() as pool:
                found = [values.astype(np.float16) for values in pool.map(self.compute, asked.tolist())]
            values = torch.from_numpy(np.stack(found)[places]).to(self._device)
        values = values.permute(0, 3, 1, 2).float()
        return Batch(values, values)

    def settle(self) -> None:
        if self._kept:
            super().settle()

    def kept_at(self, place: Path) -> Path:
        return place.with_name(f"{place.name}-{self.label}.npy")

    def keep(self, place: Path, advance: Advance) -> None:
        """Compute all samples into a memory map, float16 of shape (W, H, W, C), or open it. Kept or not, values are the same."""
        path = self.kept_at(place)
        shape = (len(self), *self.sides)
        if not holds(path, shape, np.float16):
            with writing(path, shape, np.float16) as write, decoding_pool() as pool:
                for sample, values in enumerate(pool.map(self.compute, range(len(self)))):
                    write(sample, values)
                    advance(1)
        self.array, self._kept = np.load(path, mmap_mode="r"), True
