"""The competition's corruption law: each test frame is drawn on its own and gets one kind of corruption at most."""

import math
from typing import Literal, get_args

import cv2
import numpy as np

from vad.images.decode import Image

Kind = Literal["clean", "noise", "sign", "flip"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHARES = (0.498, 0.2, 0.2, 0.102)
JPEG_QUALITY = 95
NOISE_SIGMA = 25.0
SIGN_SIZE = 0.05 * 255
SIGN_BLUR = 0.55
SIGN_CORRELATION = 0.5


def draw_kinds(count: int, generator: np.random.Generator) -> list[Kind]:
    """Draw the kind of corruption of each of `count` frames, independently, by the law's shares."""
    return [KINDS[position] for position in generator.choice(len(KINDS), count, p=SHARES)]


def corrupt(image: Image, kind: Kind, generator: np.random.Generator) -> Image:
    """Return the frame, uint8 of shape (H, W, 3), after this kind, as a new array. Raises ValueError for an unknown kind.

    Sums are cut to whole numbers, not rounded: noisy frames of the competition's law are half a grey level darker.
    """
    if kind == "clean":
        return image.copy()
    if kind == "flip":
        return np.ascontiguousarray(image[::-1])
    if kind == "noise":
        change = generator.standard_normal(image.shape, np.float32) * np.float32(NOISE_SIGMA)
    elif kind == "sign":
        # A smooth Gaussian field a channel. Signs of two Gaussians of correlation r correlate by 2/pi * asin(r) (Sheppard).
        common = math.sin(SIGN_CORRELATION * math.pi / 2)
        fields = generator.standard_normal(image.shape, np.float32) * np.float32(math.sqrt(1 - common))
        fields += generator.standard_normal((*image.shape[:2], 1), np.float32) * np.float32(math.sqrt(common))
        smooth = np.asarray(cv2.GaussianBlur(fields, (0, 0), SIGN_BLUR, borderType=cv2.BORDER_REFLECT), np.float32)
        change = np.copysign(np.float32(SIGN_SIZE), smooth)
    else:
        raise ValueError(f"no kind of corruption is called {kind!r}; there are {', '.join(KINDS)}")
    return np.asarray(np.clip(image + change, 0, 255), np.uint8)


def as_jpeg(image: Image) -> bytes:
    """An RGB frame stored as the competition's were. It takes much of the noise in colour away with it."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
