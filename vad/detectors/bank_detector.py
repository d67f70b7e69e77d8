"""Banks as detectors: fitting is collecting, a map is the distance from what was collected."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vad.catalog import Named
from vad.detectors.banks import BANKS, Bank
from vad.detectors.base import Listener, Output, Scorer, State, Trained
from vad.detectors.member import Member
from vad.errors import InputError
from vad.inputs import Positions, Samples
from vad.system.threads import limit

# Samples of a pass, and train frames on each side of a frame that are left out where the frame itself is a train frame.
_PASS, NEAR = 16, 15
# Seconds of a sample, roughly: to make it, and to find it in the bank.
_FITTING, _SEARCHING = 0.004, 0.006


class BankDetector:
    """A bank of the catalog of models. It has no seed and no training recipe."""

    trained: ClassVar[bool] = False
    maps: ClassVar[tuple[str, ...]] = ("distance",)
    has_errors: ClassVar[bool] = False

    def __init__(self, member: Member):
        self._member = member
        self._bank: Bank = BANKS[member.model](**dict(member.options))

    def try_out(self) -> int:
        shape = self._member.shape()
        if shape.kind != self._bank.takes:
            raise InputError(
                f'model "{self._member.model}" takes {self._bank.takes}, but the input makes {shape.kind.removesuffix("s")}s; choose another '
                "input, such as flow_cells"
            )
        if not shape.height or not shape.width:
            raise InputError("the input has no whole cell in frames of this size; choose a larger `size`")
        return 0

    def require_samples(self, count: int) -> None:
        """Any number will do."""

    def seconds(self, fitted: int, scored: int, device: torch.device) -> float:
        return _FITTING * fitted + _SEARCHING * scored

    def memory(self) -> int:
        return 0

    def fit(self, samples: Samples, device: torch.device, listener: Listener) -> Trained:
        started, threads = time.perf_counter(), limit()
        cells = torch.cat([samples.batch(which).given.cpu() for which in _passes(len(samples))])
        chosen = self._bank.keep(cells)
        frames = torch.from_numpy(samples.scored[chosen.numpy(), -1])
        state = {
            "cells": cells[chosen].half(),
            "video": torch.from_numpy(samples.index.video)[frames],
            "frame": torch.from_numpy(samples.index.frame)[frames],
        }
        return Trained(state, None, None, (), "fp32", threads, fit_seconds=time.perf_counter() - started)

    def scorer(self, state: State, source: str, device: torch.device, *, leave_out: bool = False) -> Scorer:
        sides = self._member.shape().sides
        shapes = {name: tuple(values.shape) for name, values in state.items()}
        count = len(state["cells"]) if shapes.get("cells") else 0
        if not count or shapes != {"cells": (count, *sides), "video": (count,), "frame": (count,)}:
            raise InputError(f"{source}: this is not a bank of samples of shape {sides}; run the entry again")
        return BankScorer(self._bank, state, device, leave_out)


class BankScorer:
    """A bank on a device."""

    def __init__(self, bank: Bank, state: State, device: torch.device, leave_out: bool):
        limit()
        self._bank, self._leave_out = bank, leave_out
        self._prepared = bank.prepare(state["cells"].to(device).float())
        self._video, self._frame = state["video"], state["frame"]

    def pass_size(self, samples: Samples) -> int:
        return _PASS

    def run(self, samples: Samples, which: Positions) -> Output:
        cells = samples.batch(which).given
        left_out = self._near(samples, which).to(cells.device) if self._leave_out else None
        return _Distances(samples, samples.scored[which, -1], self._bank.distances(cells, self._prepared, left_out))

    def _near(self, samples: Samples, which: Positions) -> Tensor:
        """Which kept samples are of the same video and at most `NEAR` frames away, (B, N)."""
        positions = samples.scored[which, -1]
        video, frame = (
            torch.from_numpy(values[positions])[:, None] for values in (samples.index.video, samples.index.frame)
        )
        near = (video == self._video) & ((frame - self._frame).abs() <= NEAR)
        return near & ~near.all(1, keepdim=True)  # a bank of one short video has no others


@dataclass(frozen=True)
class _Distances:
    """How far the cells of frames, at these positions of the index, are from the bank: (F, h, w)."""

    samples: Samples
    positions: Positions
    distances: Tensor

    def map(self, kind: str) -> Tensor:
        return self.distances[:, None]

    def error(self, error: Named) -> Tensor:
        raise InputError(f'error "{error.name}" is of networks; a bank has `reduce`, as in `reduce: {{top: 9}}`')

    def pictures(self, frame: int) -> tuple[NDArray[np.uint8], NDArray[Any] | None]:
        seen = np.asarray(self.samples.frames[self.positions[frame]])
        return (np.asarray(cv2.cvtColor(seen, cv2.COLOR_GRAY2RGB), np.uint8) if seen.ndim == 2 else seen), None


def _passes(count: int) -> Iterator[Positions]:
    for start in range(0, count, _PASS):
        yield np.arange(start, min(start + _PASS, count))
