"""Noise and flips of test frames, as repairs find them without labels, and other frames with the same noise and flips."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vad.data.frameset import Split
from vad.frames.repaired import TrainRepairs, read_evidence
from vad.frames.store import SplitSource, open_frames
from vad.images.decode import Image
from vad.repair import REPAIRS, SKETCH
from vad.repair.noise import noise_level

_LOOKED_AT = 1000  # frames of a split, evenly spread: enough for shares, and a few seconds


@dataclass(frozen=True)
class Damage:
    """Noise and flips of N test frames.

    `noise`, (N,), is its standard deviation in grey levels, 0 where the repair `noise` would keep the frame; `flipped`, (N,), says
    whether the repair `flips` would turn it; `digest` is of the frames and repairs that decide both.
    """

    noise: NDArray[np.float64]
    flipped: NDArray[np.bool_]
    digest: str

    def apply(self, image: Image, generator: np.random.Generator) -> Image:
        """Draw a test frame; return the image, uint8 of shape (H, W, 3), as noisy as that one, and upside down if that one is."""
        drawn = int(generator.integers(len(self.noise)))
        if self.flipped[drawn]:
            image = np.ascontiguousarray(image[::-1])
        if missing := max(0.0, self.noise[drawn] ** 2 - noise_level(image) ** 2) ** 0.5:
            # The same in all colours: JPEG leaves little of the noise in colour.
            change = np.float32(missing) * generator.standard_normal((*image.shape[:2], 1), np.float32)
            image = np.rint(np.clip(image + change, 0, 255)).astype(np.uint8)
        return image


def find_damage(test: Split, train: Split, folder: Path) -> Damage | None:
    """Look at test frames, decoded into this folder, as repairs fitted on train frames do; None where nothing is noisy or upside down."""
    asked, normal = (SplitSource(_some(split)) for split in (test, train))
    named = tuple(REPAIRS.named(name, {}) for name in ("flips", "noise"))
    repairs = TrainRepairs(named, normal, _some(train).index, folder)
    view = SKETCH.repaired(repairs.fitted)
    open_frames(asked, [view], folder)
    turned, noisier = np.asarray(read_evidence(asked, view, folder), np.float64).T
    if not (turned > 0).any() and not (noisier > 0).any():
        return None
    noise = np.where(noisier > 0, noisier + float(repairs.fitted[1].state["most"][0]), 0.0)
    digest = hashlib.sha256(" ".join([asked.digest, *(repair.digest for repair in repairs.fitted)]).encode())
    return Damage(noise, turned > 0, digest.hexdigest())


def _some(split: Split) -> Split:
    """Return every frame of a split, or of a large one every second, third and so on of each video."""
    step = -(-len(split) // _LOOKED_AT)
    return split.slice({video.id: slice(None, None, step) for video in split.videos})
