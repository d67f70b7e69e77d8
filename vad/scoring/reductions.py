"""From an anomaly map to one number a frame, and how entries say which map, calibrated or not, is reduced how."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vad.catalog import Catalog, Count, Named
from vad.detectors.networks import ERRORS
from vad.detectors.networks.reconstruction_errors import patches
from vad.errors import InputError
from vad.user_code import told

REDUCTIONS: Catalog[Callable[..., Tensor]] = Catalog("reduction")
"""Each takes maps (F, C, H, W) and gives (F,)."""


@REDUCTIONS.register("mean", version=1)
def mean(maps: Tensor) -> Tensor:
    """The mean over channels and cells or pixels."""
    return maps.mean((1, 2, 3))


@REDUCTIONS.register("max", version=1)
def maximum(maps: Tensor) -> Tensor:
    """The largest value."""
    return maps.amax((1, 2, 3))


@REDUCTIONS.register("patch", version=1)
def patch(maps: Tensor, *, size: Count = 16) -> Tensor:
    """The largest mean of one patch of `size` x `size`; patches do not overlap, the last may be smaller."""
    return patches(maps, size).amax((1, 2, 3))


@REDUCTIONS.register("top", version=1)
def top(maps: Tensor, *, count: Count = 9) -> Tensor:
    """The mean of the `count` largest cells or pixels, or of all where there are fewer; channels are averaged first."""
    cells = maps.mean(1).flatten(1)
    return cells.topk(min(count, cells.shape[1])).values.mean(1)


@dataclass(frozen=True)
class MapScore:
    """A frame's score from an anomaly map: the kind of map, whether it is calibrated by train frames, and the reduction."""

    map: str
    reduce: Named
    calibrate: bool = False

    def plain(self) -> dict[str, Any]:
        """As an entry spells it."""
        return {"map": self.map, "reduce": self.reduce.plain(), "calibrate": self.calibrate}

    @property
    def label(self) -> str:
        """One word, fit for a file's name."""
        return "-".join([self.map, *(["calibrated"] if self.calibrate else []), self.reduce.label])


FrameScore = Named | MapScore
"""How a member's frames are scored: by an error of the catalog, map and reduction in one, or from a map."""


def try_out(score: FrameScore, sides: Sequence[int]) -> None:
    """Score two black frames of sides (C, H, W). Raises InputError where that fails or gives no number a frame."""
    maps = torch.zeros(2, *sides)
    try:
        found = REDUCTIONS.make(score.reduce, maps) if isinstance(score, MapScore) else ERRORS.make(score, maps, maps)
        shape = tuple(found.shape)
    except Exception as error:
        raise InputError(f'score "{score.label}" fails: {told(error)}') from error
    if shape != (2,):
        raise InputError(f'score "{score.label}" gives {shape} for two frames, but must give one number a frame, (2,)')


def code_of(score: FrameScore) -> dict[str, str]:
    """The code that a score depends on, as `Catalog.code` gives it."""
    return REDUCTIONS.code(score.reduce.name) if isinstance(score, MapScore) else ERRORS.code(score.name)
