"""A fitted detector to frame scores: anomaly maps, calibrated, reduced to one number a frame where they are computed."""

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
# A cell in which nothing ever happened on train frames: its deviation counts as this share of the mean deviation at least.
_LEAST = 0.1


@dataclass(frozen=True)
class Way:
    """A fitted detector with the calibration of its maps: all that scores need but the samples."""

    scorer: Scorer
    calibration: Calibration

    def map(self, output: Output, score: FrameScore, default: str) -> Tensor:
        """Return the map behind a score, calibrated as for the score: (F, C, H, W). An error of the catalog has the default map."""
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
    """Each score of each of `count` frames, float64 of shape (count,). Only these numbers leave the device.

    A frame that several samples hold gets the largest of its scores, one that none holds gets NaN. Raises InputError that names
    the frame whose score is not finite.
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
    """Measure maps on train frames that the detector did not see: see `Calibration`."""
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
    """Run all samples; yield the frames of each pass that are scored, and the output, whose first frames these are."""
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
    """What a detector saw of a frame and, if it makes one, what it made of it, uint8 (H, W, 3); its anomaly map, float32 (h, w)."""

    seen: NDArray[np.uint8]
    made: NDArray[Any] | None
    map: NDArray[np.float32]


def explain(way: Way, samples: Samples, score: FrameScore, default: str) -> Callable[[int], Explained | None]:
    """For pictures, a function of a frame: the map that its score is made from, averaged over channels.

    Of the samples that hold the frame the middle one is taken; None where there is none. Several threads may call it.
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
