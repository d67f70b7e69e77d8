"""How unlike the background a cell is, and how unlike anything that stood before the background there."""

from typing import Any

import torch
from torch import Tensor

from vad.catalog import Count, Whole
from vad.detectors.banks.base import BANKS
from vad.detectors.banks.nearest_cells import NearestCells

_LEAST = 0.1  # of the mean deviation: that of a value which hardly ever changes on train frames


class Background:
    """Keeps every `stride`-th train sample, for the median and the deviation of each value of each cell."""

    takes = "cells"

    def __init__(self, stride: int):
        self._stride = stride

    def keep(self, cells: Tensor) -> Tensor:
        return torch.arange(0, len(cells), self._stride)

    def prepare(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        median = cells.median(0).values
        deviation = (cells - median).abs().mean(0)
        return median, deviation.clamp_min(_LEAST * float(deviation.mean()) or 1.0)

    def distances(self, cells: Tensor, prepared: tuple[Tensor, Tensor], left_out: Tensor | None) -> Tensor:
        median, deviation = prepared
        return ((cells - median).abs() / deviation).mean(1)


class NearestResiduals(NearestCells):
    """As `NearestCells`, of how far each value is from its median on train frames."""

    def prepare(self, cells: Tensor) -> Any:
        median = cells.median(0).values  # of an even number the lower one, so that it is a whole number
        return median, super().prepare((cells - median).abs())

    def distances(self, cells: Tensor, prepared: Any, left_out: Tensor | None) -> Tensor:
        median, known = prepared
        return super().distances((cells - median).abs(), known, left_out)


@BANKS.register("background", version=1)
def background(*, stride: Count = 2) -> Background:
    """How far each cell is from its median on train frames, by the mean absolute deviation there, the mean over its values.
    The median is that of every `stride`-th train frame. A train frame counts for its own median."""
    return Background(stride)


@BANKS.register("nearest_residuals", version=1)
def nearest_residuals(*, reach: Whole = 1, stride: Count = 2) -> NearestResiduals:
    """As `nearest_cells`, after the background is taken away: of each value its distance from the median of train frames."""
    return NearestResiduals(reach, stride)
