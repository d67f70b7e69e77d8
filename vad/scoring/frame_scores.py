"""Frame scores of a fitted detector: its anomaly maps are calibrated and reduced to one number a frame on the device."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vad.data.frame_index import Values
from vad.detectors.base import Output, Scorer
from vad.errors import InputError
from vad.inputs import Positions, Samples
from vad.scoring.reductions import REDUCTIONS, FrameScore, MapScore

Calibration = Mapping[str, Tensor]
"""Mean and deviation of each channel and cell on train frames, float32 (2, C, H, W), by kind of map."""
# A cell's deviation counts as at least this share of the mean deviation: in some cells nothing ever happens on train frames.
_LEAST = 0.1


@dataclass(frozen=True)
class Way:
    """A fitted detector with the calibration of its maps: all that scoring needs except samples."""

    scorer: Scorer
    calibration: Calibration

    def map(self, output: Output, score: FrameScore, default: str) -> Tensor:
        """Return the map that a score is reduced from, calibrated: (F, C, H, W). For an error of the catalog it is the default map."""
        if not isinstance(score, MapScore):
            return output.map(default)
        found = output.map(score.map)
        if score.calibrate:
            mean, deviation = self.calibration[score.map]
            found = (found - mean) / deviation
        return found

    def value(self, output: Output, score: FrameScore) -> Tensor:
        """Return the score of each frame, (F,)."""
        if not isinstance(score, MapScore):
            return output.error(score)
        found: Tensor = REDUCTIONS.make(score.reduce, self.map(output, score, ""))
        return found


@torch.inference_mode()
def score(
    way: Way, samples: Samples, scores: Sequence[FrameScore], count: int, on_batch: Callable[[int], None] | None = None
) -> dict[FrameScore, Values]:
    """Return each score of each of `count` frames, float64 of shape (count,). Only these numbers leave the device.

    A frame in several samples gets the largest of its scores, a frame in none gets NaN. Raises InputError with the frame
    where a score is not finite.
    """
    results = {wanted: np.full(count, np.nan) for wanted in scores}
    for frames, output in _passes(way.scorer, samples, on_batch):
        for wanted, values in results.items():
            found = way.value(output, wanted)[: len(frames)].double().cpu().numpy()
            if not np.isfinite(found).all():
                number = int(frames[np.argmin(np.isfinite(found))]) + 1
                culprit = f"the {wanted.label} score of frame {number} of {count}"
                raise InputError(f"{culprit} is not finite; train.precision=fp32 may help")
            np.fmax.at(values, frames, found)
    return results


@torch.inference_mode()
def calibrate(
    scorer: Scorer, samples: Samples, kinds: Sequence[str], on_batch: Callable[[int], None] | None = None
) -> dict[str, Tensor]:
    """Return the `Calibration` of maps, measured on `samples` of train frames."""
    sums: dict[str, Tensor] = {}
    total = 0
    for frames, output in _passes(scorer, samples, on_batch):
        total += len(frames)
        for kind in kinds:
            found = output.map(kind)[: len(frames)].double()
            moments = torch.stack([found.sum(0), found.square().sum(0)])
            sums[kind] = sums[kind] + moments if kind in sums else moments
    calibration = {}
    for kind, (first, second) in sums.items():
        mean = first / total
        deviation = (second / total - mean.square()).clamp(min=0).sqrt()
        least = _LEAST * deviation.mean()
        floor = torch.where(least > 0, least, torch.ones_like(least))  # a map that never varies is not scaled
        calibration[kind] = torch.stack([mean, torch.maximum(deviation, floor)]).float().cpu()
    return calibration


def _passes(
    scorer: Scorer, samples: Samples, on_batch: Callable[[int], None] | None
) -> Iterator[tuple[Positions, Output]]:
    """Run all samples; yield the scored frames of each pass, and its output, which starts with these frames."""
    samples.settle()
    size = scorer.pass_size(samples)
    for start in range(0, len(samples), size):
        held = min(size, len(samples) - start)
        which = np.minimum(np.arange(start, start + size), start + held - 1)
        yield samples.scored[which[:held]].ravel(), scorer.run(samples, which)
        if on_batch:
            on_batch(held)


@dataclass(frozen=True)
class Explained:
    """A frame as the detector saw it and, from a network, as it made it, uint8 (H, W, 3); the anomaly map, float32 (h, w)."""

    seen: NDArray[np.uint8]
    made: NDArray[Any] | None
    map: NDArray[np.float32]


def explain(way: Way, samples: Samples, score: FrameScore, default: str) -> Callable[[int], Explained | None]:
    """Return a function that explains a frame for pictures; the map is averaged over channels.

    It takes the middle one of the samples that hold the frame, returns None where there is none, and is thread-safe.
    """

    def of(frame: int) -> Explained | None:
        holding = np.argwhere(samples.scored == frame)
        if not len(holding):
            return None
        sample, offset = holding[len(holding) // 2]
        with torch.inference_mode():
            output = way.scorer.run(samples, np.asarray([sample]))
            found = way.map(output, score, default)[offset].mean(0).float().cpu().numpy()
        return Explained(*output.pictures(int(offset)), np.asarray(found))

    return of
