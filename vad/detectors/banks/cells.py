"""How far a cell is from train cells of the same place: from the nearest one, from the background, or both."""

from typing import Any

import torch
from torch import Tensor

from vad.catalog import Count, Whole
from vad.detectors.banks.base import BANKS
from vad.images.decode import decoding_pool


class _CellBank:
    """Keeps every `stride`-th train sample."""

    takes = "cells"

    def __init__(self, stride: int):
        self._stride = stride

    def keep(self, cells: Tensor) -> Tensor:
        return torch.arange(0, len(cells), self._stride)


class NearestCells(_CellBank):
    """Looks for a cell among those at most `reach` cells away."""

    def __init__(self, reach: int, stride: int):
        super().__init__(stride)
        self._reach = reach

    def prepare(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        # Places first, so that what is compared lies together: (h, w, C, N), and the squared length of each cell.
        known = cells.permute(2, 3, 1, 0).contiguous()
        return known, known.square().sum(2, keepdim=True)

    def distances(self, cells: Tensor, prepared: tuple[Tensor, Tensor], left_out: Tensor | None) -> Tensor:
        known, lengths = prepared
        rows, columns = cells.shape[2:]
        asked = cells.permute(2, 3, 0, 1).contiguous()

        def around(place: int, end: int) -> slice:
            return slice(max(0, place - self._reach), min(end, place + self._reach + 1))

        def search(row: int) -> Tensor:
            nearest = []
            for column in range(columns):
                places = around(row, rows), around(column, columns)
                others, squares = known[places].flatten(0, 1), lengths[places].flatten(0, 1)
                # |a - b|^2 without the part of `a` alone. Counts are whole numbers: below 2^24 nothing is rounded.
                found = torch.baddbmm(squares, asked[row, column].expand(len(others), -1, -1), others, alpha=-2)
                if left_out is not None:
                    found = found.masked_fill_(left_out, torch.inf)
                nearest.append(found.amin((0, 2)))
            return torch.stack(nearest)

        with decoding_pool() as pool:  # rows of cells at once, each on one core
            nearest = torch.stack(list(pool.map(search, range(rows))))
        return (nearest + asked.square().sum(3)).clamp_(min=0).sqrt_().permute(2, 0, 1)


@BANKS.register("nearest_cells", version=1)
def nearest_cells(*, reach: Whole = 1, stride: Count = 2) -> NearestCells:
    """Distance of each cell from the nearest train cell: among those of the same place and of places at most `reach` cells
    away, in every `stride`-th train frame. Nothing is trained; distances are those of the samples' values as they are."""
    return NearestCells(reach, stride)


_LEAST = 0.1  # of the mean deviation: that of a value which hardly ever changes on train frames


class Background(_CellBank):
    """Takes the median and the deviation of each value of each cell."""

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
