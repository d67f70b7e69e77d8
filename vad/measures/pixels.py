"""How well anomaly maps tell anomalous pixels from normal ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import Values
from vad.measures.frame_level import Curve, auc, curve
from vad.measures.regions import Maps

LEVELS = 65_536  # of a map's values that are told apart where there are more
ENOUGH = 0.4  # of a frame's anomalous pixels (Mahadevan and others, CVPR 2010)
_SAMPLE = 4_000_000
Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Pixels:
    """`auc` pools all pixels of all frames. `criterion_auc` counts frames: one is found where 40 % of its anomalous pixels are."""

    auc: float | None
    criterion_auc: float | None


def pixel_measures(videos: Sequence[Callable[[], Maps]], masks: Sequence[Callable[[], Masks]]) -> Pixels:
    """Measure maps (N, h, w), one a video, against masks (N, H, W); a map's pixel stands for the part of the mask that it covers.

    Values are told apart exactly up to 4 million pixels, in 65,536 levels beyond. None where all pixels, or frames, are of one kind.
    """
    levels = _levels(videos)
    anomalous, normal = np.zeros(len(levels)), np.zeros(len(levels))
    scores: list[float] = []
    labels: list[bool] = []
    for load, load_masks in zip(videos, masks, strict=True):
        maps, truth = load(), load_masks()
        weight = truth[0].size / maps[0].size
        for frame, mask in zip(maps, truth, strict=True):
            share = _share(mask, frame.shape)
            bins = np.maximum(np.searchsorted(levels, frame.ravel(), side="right") - 1, 0)
            hits = np.bincount(bins, weight * share.ravel(), len(levels))
            anomalous += hits
            normal += weight * np.bincount(bins, minlength=len(levels)) - hits
            labels.append(bool(mask.any()))
            scores.append(_score(frame, share))
    both = anomalous.sum() > 0 and normal.sum() > 1e-9
    pooled = Curve(levels[::-1], np.cumsum(anomalous[::-1]), np.cumsum(normal[::-1]))
    kinds = np.asarray(labels)
    mixed = kinds.any() and not kinds.all()
    return Pixels(auc(pooled) if both else None, auc(curve(np.asarray(scores), kinds)) if mixed else None)


def _score(frame: NDArray[np.floating], share: Values) -> float:
    """The highest threshold at which a frame counts: a normal one by any pixel, an anomalous one by 40 % of its anomalous pixels."""
    if not share.any():
        return float(frame.max())
    inside = np.sort(frame[share >= min(0.5, share.max())])[::-1]
    return float(inside[int(np.ceil(ENOUGH * len(inside))) - 1])


def _share(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> Values:
    """The share of each pixel of a map of this shape that is anomalous."""
    filtering = cv2.INTER_AREA if shape[0] <= mask.shape[0] and shape[1] <= mask.shape[1] else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(mask.astype(np.float64), (shape[1], shape[0]), interpolation=filtering))


def _levels(videos: Sequence[Callable[[], Maps]]) -> Values:
    parts = []
    total = sum(load().size for load in videos)
    for load in videos:
        flat = load().ravel()
        parts.append(flat[:: 1 + total // _SAMPLE])
    values = np.unique(np.concatenate(parts).astype(np.float64))
    return values if total <= _SAMPLE else np.unique(np.quantile(values, np.linspace(0, 1, LEVELS)))
