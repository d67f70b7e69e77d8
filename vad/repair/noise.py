"""Leave out test frames that are far noisier than train frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import FrameIndex
from vad.images.decode import Image
from vad.images.view import FrameRepair, Sketch
from vad.repair.base import REPAIRS, Repair, State

# Immerkaer's mask cancels constant and linear structure, so that noise remains.
_MASK = np.asarray([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_LENGTH = float(np.sqrt(np.square(_MASK).sum()))
# Median absolute value of a standard Gaussian; a byte holds a level in tenths of a grey level.
_MEDIAN, _TENTHS = 0.6745, 10
# The limit is twice the noise of the noisiest train frame plus one grey level.
_TIMES, _MORE = 2.0, 1.0


def noise_level(image: Image) -> float:
    """Return the standard deviation of the noise of an RGB image, in grey levels.

    Source: Immerkaer, Fast noise variance estimation (1996), with the median instead of the mean, which edges raise.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.median(np.abs(cv2.filter2D(grey, -1, _MASK)))) / (_MEDIAN * _LENGTH)


@dataclass(frozen=True)
class _Level:
    """The noise level of a frame, in tenths, as one byte."""

    label: str = "noise1"
    shape: tuple[int, ...] = (1,)
    repairs: tuple[FrameRepair, ...] = ()

    def see(self, image: Image) -> NDArray[np.uint8]:
        return np.asarray([min(255, round(noise_level(image) * _TENTHS))], np.uint8)


class Noise(Repair):
    """Compares the noise of a frame with that of the noisiest train frame."""

    sketch: ClassVar[Sketch] = _Level()
    drops: ClassVar[bool] = True

    def fit(self, sketches: NDArray[np.uint8], index: FrameIndex) -> State:
        return {"most": np.asarray([_TIMES * float(sketches.max()) / _TENTHS + _MORE], np.float32)}

    def apply(self, image: Image, state: Mapping[str, NDArray[Any]]) -> tuple[Image, float]:
        return image, noise_level(image) - float(state["most"][0])


@REPAIRS.register("noise", version=1)
def noise() -> Noise:
    """Leave out frames that are far noisier than every train frame: members see the other frames as if they were consecutive.

    The step `fill` gives such a frame a score from frames near it. Where this would leave fewer than a fifth of a video's
    frames, none is left out.
    """
    return Noise()
