"""How a frame is seen: which part of the image, in what colour, at what size, and what is repaired first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.images.decode import Image, resize

Colour = Literal["rgb", "grey"]
Region = tuple[float, float, float, float]
# Sides of a view that keeps the frames' aspect ratio are multiples of this, so that cells fill it.
_GRID = 32


class FrameRepair(Protocol):
    """A repair fitted on train frames, as `vad.repair` makes it."""

    @property
    def label(self) -> str:
        """One word with the digest of its state, fit for a file's name."""

    def apply(self, image: Image) -> tuple[Image, float]:
        """Return the repaired image, or the image itself, and the evidence: above 0 where it was repaired."""


class Sketch(Protocol):
    """How a frame is stored: as a byte array of fixed shape, under a short name. A `View` is one."""

    @property
    def label(self) -> str:
        """One word, fit for a file's name."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""

    @property
    def repairs(self) -> tuple[FrameRepair, ...]:
        """What is repaired first."""

    def see(self, image: Image) -> NDArray[np.uint8]:
        """Return the array of an RGB image, repaired already."""


@dataclass(frozen=True)
class View:
    """What a detector sees of a frame: `region` (left, top, right, bottom, in shares of the frame), then colour, then size.

    `repairs` are undone before that. They belong to test frames: a view of train frames has none.
    """

    height: int
    width: int
    colour: Colour = "rgb"
    region: Region | None = None
    repairs: tuple[FrameRepair, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a frame in this view: (H, W, 3), or (H, W) in grey."""
        return (self.height, self.width, 3) if self.colour == "rgb" else (self.height, self.width)

    @property
    def label(self) -> str:
        """One word for a file's name. A square in colour is its size alone, as the first stores have it."""
        plain = self.height == self.width and self.colour == "rgb"
        parts = [str(self.width) if plain else f"{self.width}x{self.height}-{self.colour}"]
        parts += ["region" + "_".join(f"{side:g}" for side in self.region)] if self.region else []
        return "-".join([*parts, *(repair.label for repair in self.repairs)])

    def plain(self) -> int | dict[str, Any]:
        """As plain values, without repairs: what decides what is learnt from train frames."""
        if self.height == self.width and self.colour == "rgb" and self.region is None:
            return self.width
        region = {"region": list(self.region)} if self.region else {}
        return {"height": self.height, "width": self.width, "colour": self.colour, **region}

    def repaired(self, repairs: Sequence[FrameRepair]) -> "View":
        """Return the same view of frames that these repairs were applied to."""
        return replace(self, repairs=tuple(repairs))

    def see(self, image: Image) -> NDArray[np.uint8]:
        """Return an RGB image, repaired already, in this view."""
        if self.region:
            height, width = image.shape[:2]
            left, top, right, bottom = (
                round(share * side) for share, side in zip(self.region, (width, height) * 2, strict=True)
            )
            image = np.ascontiguousarray(image[top : max(bottom, top + 1), left : max(right, left + 1)])
        if self.colour == "grey":
            return resize(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8), self.height, self.width)
        return resize(image, self.height, self.width)


def square(size: int) -> View:
    """Return the view of whole frames in colour, squeezed to a square."""
    return View(size, size)


def sides(size: int, keep_aspect: bool, frame: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a view of frames of this (height, width), whose longer side is about `size`."""
    if not keep_aspect:
        return size, size
    scale = size / max(frame)
    height, width = (max(_GRID, round(side * scale / _GRID) * _GRID) for side in frame)
    return height, width


def look(image: Image, views: Sequence[Sketch]) -> list[tuple[NDArray[np.uint8], list[float]]]:
    """Repair an RGB image and return it in each view, with the evidence of each repair. The one way from files to detectors."""
    done: dict[tuple[FrameRepair, ...], tuple[Image, list[float]]] = {}
    for view in views:
        if view.repairs not in done:
            repaired, evidence = image, []
            for repair in view.repairs:
                repaired, found = repair.apply(repaired)
                evidence.append(found)
            done[view.repairs] = repaired, evidence
    return [(view.see(done[view.repairs][0]), done[view.repairs][1]) for view in views]


def from_plain(value: int | dict[str, Any]) -> View:
    """Return the view that `View.plain` wrote."""
    if isinstance(value, int):
        return square(value)
    left_top_right_bottom = value.get("region")
    region = tuple(map(float, left_top_right_bottom)) if left_top_right_bottom else None
    return View(int(value["height"]), int(value["width"]), value["colour"], region)  # type: ignore[arg-type]
