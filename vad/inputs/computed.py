"""Samples that take long to make: computed by several threads, once, and kept in a file beside the frames."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vad.data.frame_index import FrameIndex
from vad.frames.maps import Checksums, holds
from vad.frames.store import Advance, Frames, reserve
from vad.images.decode import decoding_pool
from vad.inputs.base import Batch, Samples
from vad.inputs.shape import Positions, Window
from vad.system.files import replacing


class ComputedSamples(Samples):
    """Samples whose values, float16, are computed from frames by `compute`, a sample at a time; see `keep`."""

    slow = True

    def __init__(self, frames: Frames, index: FrameIndex, device: torch.device, window: Window, training: bool):
        super().__init__(frames, index, device, window, training)
        self._kept = False

    def name(self) -> str:
        """What is computed, with the version of the code and all options that decide it, fit for a file's name."""
        raise NotImplementedError

    def shape(self) -> tuple[int, ...]:
        """The shape of a sample's values as they are kept: channels last."""
        raise NotImplementedError

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
        return place.with_name(f"{place.name}-{self.name()}.npy")

    def keep(self, place: Path, advance: Advance) -> None:
        """Compute all samples into a memory map, float16 of shape (W, H, W, C), or open it. Kept or not, values are the same."""
        path = self.kept_at(place)
        shape = (len(self), *self.shape())
        if not holds(path, shape, np.float16):
            sums = Checksums(len(self))
            with replacing(path) as temporary, decoding_pool() as pool:
                kept = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
                reserve(temporary, path)
                for sample, values in enumerate(pool.map(self.compute, range(len(self)))):
                    kept[sample] = values
                    sums.note(sample, kept[sample].data)
                    advance(1)
                kept.flush()
                with temporary.open("r+b") as file:
                    sums.append(file, kept.offset + kept.nbytes)
        self.array, self._kept = np.load(path, mmap_mode="r"), True
