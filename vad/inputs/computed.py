"""Samples that take long to make: computed by several threads, once, and kept in a file beside the frames."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vad.frames.maps import holds, writing
from vad.frames.store import Advance
from vad.images.decode import decoding_pool
from vad.inputs.base import Batch, Samples
from vad.inputs.shape import Positions


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

    def keep(self, place: Path, advance: Advance) -> None:
        """Compute all samples into a memory map, float16 of shape (W, H, W, C), or open it. Kept or not, values are the same."""
        path = place.with_name(f"{place.name}-{self.label}.npy")
        shape = (len(self), *self.sides)
        if not holds(path, shape, np.float16):
            with writing(path, shape, np.float16) as write, decoding_pool() as pool:
                for sample, values in enumerate(pool.map(self.compute, range(len(self)))):
                    write(sample, values)
                    advance(1)
        self.array, self._kept = np.load(path, mmap_mode="r"), True
