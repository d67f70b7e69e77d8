"""Frames that are upside down, turned back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import FrameIndex
from vad.images.decode import Image
from vad.repair.base import REPAIRS, SKETCH, Repair, State

# The mirror image must correlate better by this margin, and at least this well. A dark, covered or foreign frame is not turned.
_MARGIN, _FITS = 0.1, 0.5
# Medians that correlate less than this are separate scenes; how many scenes are kept, of how many frames each.
_SAME_SCENE, _MOST_SCENES, _OF_FRAMES = 0.9, 64, 101
_UNCLEAR = 0.1  # the share of train frames that may fail the test


class Flips(Repair):
    """Compares a frame, and its mirror image, with the median train frame of each scene, by correlation of small grey images."""

    def fit(self, sketches: NDArray[np.uint8], index: FrameIndex) -> State:
        medians: list[NDArray[np.uint8]] = []
        for span in index.spans:
            chosen = np.unique(np.linspace(span.start, span.stop - 1, _OF_FRAMES).astype(int))
            median = np.median(sketches[chosen], axis=0).astype(np.uint8)
            known = _standard(np.stack(medians)) @ _standard(median[None]).T if medians else np.zeros(1)
            if known.max() < _SAME_SCENE and len(medians) < _MOST_SCENES:
                medians.append(median)
        scenes = np.stack(medians)
        # Where the scene looks alike upside down, or many train frames are upside down themselves, there is no evidence.
        upright, mirrored = _correlations(sketches, scenes)
        clear = float(np.quantile(upright - mirrored, _UNCLEAR)) > _MARGIN
        return {"medians": scenes, "margin": np.asarray([_MARGIN if clear else np.inf], np.float32)}

    def apply(self, image: Image, state: Mapping[str, NDArray[Any]]) -> tuple[Image, float]:
        evidence = float(self.evidence(SKETCH.see(image)[None], state)[0])
        return (np.ascontiguousarray(image[::-1]) if evidence > 0 else image), evidence

    def evidence(self, sketches: NDArray[np.uint8], state: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the evidence that each frame is upside down, (N,), of frames given as sketches."""
        upright, mirrored = _correlations(sketches, state["medians"])
        return np.asarray(np.minimum(mirrored - upright - float(state["margin"][0]), mirrored - _FITS))


@REPAIRS.register("flips", version=1)
def flips() -> Flips:
    """Turn back frames that are upside down (mirrored from top to bottom), and no others.

    A frame is turned where its mirror image correlates well with the median train frame of a scene, and clearly better than the
    frame itself.
    Where train frames would not pass that test, as under a camera that looks straight down, nothing is turned.
    """
    return Flips()


def _correlations(
    sketches: NDArray[np.uint8], scenes: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How well each sketch, and its mirror image, fits the scene that it fits best: correlations, (N,) twice."""
    frames = _standard(sketches)
    upright, mirrored = ((frames @ _standard(those).T).max(1) for those in (scenes, scenes[:, ::-1]))
    return upright, mirrored


def _standard(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean 0 and length 1, (N, H * W), so that a product is a correlation; all 0 where an image is plain."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9))
