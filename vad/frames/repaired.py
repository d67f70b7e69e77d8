"""Repairs fitted on the train frames of a data set, when a view of test frames first needs them, and what they found."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vad.catalog import Named
from vad.data.frame_index import FrameIndex
from vad.frames.store import SplitSource, evidence_path, map_path, open_frames
from vad.images.view import View
from vad.repair import FittedRepair, fit, sketches_of

_FEWEST = 0.2


class TrainRepairs:
    """The repairs that an entry asks for, of one set of train frames."""

    def __init__(self, repairs: tuple[Named, ...], source: SplitSource, index: FrameIndex, folder: Path):
        self._repairs, self._source, self._index, self._folder = repairs, source, index, folder

    @cached_property
    def fitted(self) -> tuple[FittedRepair, ...]:
        """The repairs with their states; sketches of the train frames are decoded if they are not there."""
        sketches = sketches_of(self._repairs)
        frames = open_frames(self._source, sketches, self._folder)
        return fit(self._repairs, [frames[sketch] for sketch in sketches], self._index)


def read_evidence(source: SplitSource, view: View, folder: Path) -> NDArray[np.float32]:
    """Return what the repairs of a view found in each frame, (N, repairs): above 0 where a frame was repaired."""
    return np.asarray(np.load(evidence_path(map_path(folder, source, view))), np.float32)


def usable(index: FrameIndex, evidence: NDArray[np.float32], repairs: Sequence[FittedRepair]) -> FrameIndex:
    """Return the index with the frames that members may look at: without those that repairs drop.

    In a video where fewer than a fifth would be left, all are.
    """
    dropping = [number for number, repair in enumerate(repairs) if repair.drops]
    if not dropping:
        return index
    good = np.asarray(~(evidence[:, dropping] > 0).any(1))
    for span in index.spans:
        if good[span].mean() < _FEWEST:
            good[span] = True
    return replace(index, usable=good)


def write_findings(
    path: Path, index: FrameIndex, repairs: Sequence[FittedRepair], evidence: NDArray[np.float32]
) -> None:
    """Write a table with a row for each frame: `Id`, and for each repair whether the frame was repaired, and the evidence."""
    columns = [name for repair in repairs for name in (repair.named.name, f"{repair.named.name}_evidence")]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["Id", *columns])
        for name, found in zip(index.ids, evidence.tolist(), strict=True):
            table.writerow([name, *(cell for value in found for cell in (int(value > 0), f"{value:.4f}"))])
