"""How far a cell is from the nearest train cell of the same place."""

import torch
from torch import Tensor

from vad.catalog import Count, Whole
from vad.detectors.banks.base import BANKS
from vad.images.decode import decoding_pool


class NearestCells:
    """Keeps every `stride`-th train sample, and looks for a cell among those at most `reach` cells away."""

    takes = "cells"

    def __init__(self, reach: int, stride: int):
        self._reach, self._stride = reach, stride

    def keep(self, cells: Tensor) -> Tensor:
        return torch.arange(0, len(cells), self._stride)

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
