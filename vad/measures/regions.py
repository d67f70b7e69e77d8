"""RBDC and TBDC: whether anomalous regions, and tracks of them, are found in anomaly maps, and at how many false regions a frame; pixel AUC.

Definitions: Ramachandra and Jones, Street Scene: A new dataset and evaluation protocol for video anomaly detection, WACV 2020.
A region is a bounding box (left, top, right, bottom) in shares of the frame's width and height, so that maps and masks may differ in size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

import cv2
import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import Flags, Values
from vad.measures.frame_level import Curve, auc, curve

LEAST_IOU = 0.1  # of a detected region with a true one, for either to count as found
LEAST_OF_A_TRACK = 0.1  # of a track's regions
THRESHOLDS = 128
_AT_LEAST = 30_000  # times that a map is taken at a threshold: more thresholds where frames are few
Boxes = NDArray[np.float64]
Maps = NDArray[np.floating]


@dataclass(frozen=True)
class Truth:
    """The true regions of one video: for each frame its boxes (K, 4), and the track that each belongs to (K,)."""

    boxes: tuple[Boxes, ...]
    tracks: tuple[NDArray[np.int64], ...]

    def only(self, kept: Flags) -> "Truth":
        """Return the regions of these frames alone."""
        return Truth(tuple(compress(self.boxes, kept)), tuple(compress(self.tracks, kept)))


@dataclass(frozen=True)
class Regions:
    """Both areas under the curve, and the curve: at each threshold the false regions a frame and the rates of regions and tracks found."""

    rbdc: float
    tbdc: float
    regions: int
    tracks: int
    frames: int
    false_a_frame: tuple[float, ...]
    region_rate: tuple[float, ...]
    track_rate: tuple[float, ...]


def boxes_of(mask: NDArray[np.bool_]) -> Boxes:
    """The bounding boxes of a mask's connected components; pixels that touch at a corner are connected."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    left, top, width, height = stats[1:, :4].T.astype(np.float64)
    high, wide = mask.shape
    return np.stack([left / wide, top / high, (left + width) / wide, (top + height) / high], axis=1)


def overlaps(one: Boxes, other: Boxes) -> Values:
    """Intersection over union of each box with each other box, of shape (len(one), len(other))."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - shared
    ratio: Values = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def tracks_by_overlap(boxes: Sequence[Boxes]) -> tuple[NDArray[np.int64], ...]:
    """Link regions of one video to tracks: the pairs of two frames that overlap most go first; a region without a partner begins a track."""
    tracks: list[NDArray[np.int64]] = []
    started = 0
    before = np.zeros((0, 4))
    for current in boxes:
        found = np.full(len(current), -1, np.int64)
        shared = overlaps(before, current)
        while shared.size and shared.max() > 0:
            old, new = np.unravel_index(int(shared.argmax()), shared.shape)
            found[new] = tracks[-1][old]
            shared[old, :] = shared[:, new] = 0
        fresh = np.flatnonzero(found < 0)
        found[fresh] = started + np.arange(len(fresh))
        started += len(fresh)
        tracks.append(found)
        before = current
    return tuple(tracks)


def thresholds_of(videos: Sequence[Callable[[], Maps]], most: int = THRESHOLDS) -> Values:
    """Thresholds, the highest first: every value where there are few, else about `most` quantiles, and more where frames are few.

    A third are of the frames' highest values. Quantiles are dense at both ends: low thresholds join regions, so fewer are false again.
    The lowest value is none: at it all is one region, in every frame.
    """
    peaks, pixels = [], []
    for load in videos:
        maps = load()
        peaks.append(maps.reshape(len(maps), -1).max(axis=1))
        flat = maps.ravel()
        pixels.append(
            flat if len(videos) * flat.size < 2_000_000 else flat[:: 1 + len(videos) * flat.size // 2_000_000]
        )
        pixels.append(np.array([flat.min()]))
    pooled = np.concatenate(pixels).astype(np.float64)
    tops = np.concatenate(peaks)
    values = np.unique(np.concatenate([pooled, tops]))[1:]
    most = max(most, _AT_LEAST // len(tops))
    if len(values) > most:
        ends = np.geomspace(1e-6, 1, most // 3)
        shares = np.concatenate([1 - ends, ends[::2], np.linspace(0, 1, most // 6)])
        chosen = np.concatenate([np.quantile(tops, np.linspace(0, 1, most // 3)), np.quantile(pooled, shares)])
        values = np.unique(np.append(chosen[chosen > values[0]], values[0]))
    return values[::-1]


def region_measures(
    videos: Sequence[Callable[[], Maps]], truths: Sequence[Truth], progress: Callable[[int], None] = lambda _: None
) -> Regions:
    """RBDC and TBDC of anomaly maps, one (N, h, w) a video, against the regions of its N frames. `progress` is called with the frames done."""
    thresholds = thresholds_of(videos)
    regions = sum(len(boxes) for truth in truths for boxes in truth.boxes)
    lengths = [np.bincount(np.concatenate([*truth.tracks, np.zeros(0, np.int64)])) for truth in truths]
    tracks = sum(int((length > 0).sum()) for length in lengths)
    false, found, followed = (np.zeros(len(thresholds)) for _ in range(3))
    frames = 0
    for load, truth, length in zip(videos, truths, lengths, strict=True):
        hits = np.zeros((len(thresholds), len(length)))
        for frame, boxes, track in zip(load(), truth.boxes, truth.tracks, strict=True):
            peak = frame.max()
            for at in range(int(np.searchsorted(-thresholds, -peak)), len(thresholds)):
                matched = overlaps(boxes_of(frame >= thresholds[at]), boxes) >= LEAST_IOU
                false[at] += (~matched.any(axis=1)).sum()
                seen = matched.any(axis=0)
                found[at] += seen.sum()
                np.add.at(hits[at], track[seen], 1)
            frames += 1
            progress(1)
        followed += (hits[:, length > 0] >= LEAST_OF_A_TRACK * length[length > 0] - 1e-9).sum(axis=1)
    a_frame, region_rate, track_rate = false / max(frames, 1), found / max(regions, 1), followed / max(tracks, 1)
    return Regions(
        area_up_to_one(a_frame, region_rate),
        area_up_to_one(a_frame, track_rate),
        regions,
        tracks,
        frames,
        *(tuple(map(float, values)) for values in (a_frame, region_rate, track_rate)),
    )


def area_up_to_one(false: Values, rate: Values) -> float:
    """Return the area under the best rate reached with at most x false regions a frame, for x from 0 to 1.

    Straight lines join the points, from (0, 0); after the last point the rate is constant.
    """
    order = np.lexsort((rate, false))
    x = np.concatenate([[0.0], false[order]])
    y = np.maximum.accumulate(np.concatenate([[0.0], rate[order]]))
    inside = int(np.searchsorted(x, 1.0, side="right"))
    end = y[inside - 1]
    if inside < len(x):
        end += (y[inside] - end) * (1 - x[inside - 1]) / (x[inside] - x[inside - 1])
    return float(np.trapezoid(np.append(y[:inside], end), np.append(x[:inside], 1.0)))


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
