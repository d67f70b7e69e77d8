"""Frame-level measures beyond pooled AP and AUC: macro AUC, EER, thresholds, AP and AUC per video and per scene, and the delay
of an alarm.

A frame is alarmed where its score is the threshold or higher. `tests/vad/measures/test_frame_level.py` holds each measure against
scikit-learn or a slow, obvious formula.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vad.data.frame_index import Flags, FrameIndex, Values
from vad.errors import InputError

TPR = 0.95  # of `fpr_at_tpr`
_UBNORMAL = re.compile(r"(?:ab)?normal_(scene_\d+)_")


class Curve(NamedTuple):
    """At each threshold, the highest first: how many anomalous frames (`hits`) and normal ones (`false`) are alarmed."""

    threshold: Values
    hits: Values
    false: Values


@dataclass(frozen=True)
class Macro:
    """Mean of the per-video AUCs; `plain` is None where no video has both normal and anomalous frames.

    `plain` leaves out videos of one kind (`left_out` of them). `padded` leaves out none: as is the field's habit, each video gets a
    normal frame with score 0 in front and an anomalous one with score 1 at its end; where scores lie outside 0 to 1, with the lowest
    and the highest of them all, as if they were `scaled` to 0 to 1 together first.
    """

    plain: float | None
    padded: float
    videos: int
    left_out: int
    scaled: bool


@dataclass(frozen=True)
class Point:
    """A threshold and what it gives."""

    threshold: float
    precision: float
    recall: float
    fpr: float
    f1: float


@dataclass(frozen=True)
class Part:
    """The frames of one video or scene; `ap` and `auc` are None where all are normal or all anomalous."""

    name: str
    frames: int
    anomalous: int
    ap: float | None
    auc: float | None


@dataclass(frozen=True)
class FrameMeasures:
    """All of them; `scenes` is empty where names of videos tell none, or only one."""

    macro: Macro
    eer: float
    best_f1: Point
    at_tpr: Point
    videos: tuple[Part, ...]
    scenes: tuple[Part, ...]


def measure_frames(scores: Values, labels: Flags, index: FrameIndex) -> FrameMeasures:
    """Every measure of this module. Raises InputError for labels of one kind."""
    if labels.all() or not labels.any():
        raise InputError("all labels are the same; these measures need normal and anomalous frames")
    pooled = curve(scores, labels)
    videos = tuple(_part(name, scores[s], labels[s]) for name, s in zip(index.titles, index.spans, strict=True))
    macro = macro_auc(scores, labels, index)
    return FrameMeasures(macro, eer(pooled), best_f1(pooled), at_tpr(pooled), videos, _scenes(scores, labels, index))


def curve(scores: Values, labels: Flags) -> Curve:
    """Count alarms at every distinct score."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits = np.cumsum(labels[order], dtype=np.float64)[ends]
    return Curve(ranked[ends], hits, ends + 1 - hits)


def auc(found: Curve) -> float:
    """Area under the ROC curve, ties counted half. Both kinds of frames must be there."""
    before = np.append(0.0, found.hits[:-1])
    area = np.sum(np.diff(found.false, prepend=0.0) * (found.hits + before)) / 2
    return float(area / (found.hits[-1] * found.false[-1]))


def average_precision(found: Curve) -> float:
    """AP as scikit-learn counts it: precision, weighted by what each threshold adds to recall."""
    precision = found.hits / (found.hits + found.false)
    return min(1.0, float(np.sum(np.diff(found.hits, prepend=0.0) * precision) / found.hits[-1]))


def macro_auc(scores: Values, labels: Flags, index: FrameIndex) -> Macro:
    """Return the mean of the per-video AUCs, plain and padded."""
    low, high = float(scores.min()), float(scores.max())
    scaled = low < 0 or high > 1
    pads = (low, high) if scaled else (0.0, 1.0)  # AUC sees ranks alone: the scores need not be scaled themselves
    plain, padded = [], []
    for span in index.spans:
        inside = labels[span]
        if inside.any() and not inside.all():
            plain.append(auc(curve(scores[span], inside)))
        padded.append(auc(curve(np.r_[pads[0], scores[span], pads[1]], np.r_[False, inside, True])))
    mean = float(np.mean(plain)) if plain else None
    return Macro(mean, float(np.mean(padded)), len(plain), len(padded) - len(plain), scaled)


def eer(found: Curve) -> float:
    """The rate at which as large a share of normal frames is alarmed as of anomalous frames is missed.

    Between two thresholds the ROC curve is a straight line.
    """
    fpr = np.append(0.0, found.false / found.false[-1])
    missed = np.append(1.0, 1 - found.hits / found.hits[-1])
    gap = fpr - missed  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))


def best_f1(found: Curve) -> Point:
    """The threshold with the highest F1; of equal ones, the highest threshold. It is chosen on these very labels."""
    return _point(found, int(np.argmax(found.hits / (found.hits + found.false + found.hits[-1]))))


def at_tpr(found: Curve, tpr: float = TPR) -> Point:
    """The highest threshold that alarms at least this share of the anomalous frames."""
    return _point(found, int(np.searchsorted(found.hits, tpr * found.hits[-1] - 1e-9)))


def scene_of(name: str) -> str | None:
    """What stands before `_` in a video's name (ShanghaiTech's `01_0014`), UBnormal's `scene_N`; None where there is no `_`."""
    if match := _UBNORMAL.match(name):
        return match[1]
    scene, found, _ = name.partition("_")
    return scene if found else None


def _point(found: Curve, at: int) -> Point:
    hits, false, anomalous = found.hits[at], found.false[at], found.hits[-1]
    f1 = 2 * hits / (hits + false + anomalous)
    return Point(
        *map(float, (found.threshold[at], hits / (hits + false), hits / anomalous, false / found.false[-1], f1))
    )


def _part(name: str, scores: Values, labels: Flags) -> Part:
    if labels.all() or not labels.any():
        return Part(name, len(labels), int(labels.sum()), None, None)
    found = curve(scores, labels)
    return Part(name, len(labels), int(labels.sum()), average_precision(found), auc(found))


def _scenes(scores: Values, labels: Flags, index: FrameIndex) -> tuple[Part, ...]:
    frames: dict[str | None, list[slice]] = {}
    for name, span in zip(index.titles, index.spans, strict=True):
        frames.setdefault(scene_of(name), []).append(span)
    if None in frames or len(frames) < 2:
        return ()
    parts = []
    for scene, spans in frames.items():
        chosen = np.r_[tuple(spans)]
        parts.append(_part(str(scene), scores[chosen], labels[chosen]))
    return tuple(parts)


@dataclass(frozen=True)
class Delay:
    """At `threshold`: the false alarms raised in `hours` of normal footage, and how soon events are noticed.

    An event is a run of anomalous frames in a video. `detected` of `events` have an alarmed frame; of these, `mean` and `median` are
    the frames from the event's first to its first alarmed one, None where none is detected. `threshold` is None where the highest
    score alone raises more false alarms than allowed: then nothing is alarmed.
    """

    threshold: float | None
    false_alarms: int
    hours: float
    events: int
    detected: int
    mean: float | None
    median: float | None


def detection_delay(scores: Values, labels: Flags, index: FrameIndex, fps: float, an_hour: float) -> Delay:
    """The delay at the lowest threshold below which false alarms first exceed `an_hour`, for footage of `fps` frames a second.

    A false alarm is raised where a normal frame is alarmed and the frame before it in its video is not: an alarm that lasts
    counts once, and one that outlasts its event not at all. A frame whose score is NaN raises no alarm and ends none, but its
    time counts.
    """
    hours = float((~labels).sum()) / fps / 3600
    there = ~np.isnan(scores)
    scored = FrameIndex(index.video[there], index.frame[there])
    threshold, false_alarms = _lowest_threshold(scores[there], labels[there], scored, int(an_hour * hours + 1e-9))
    alarmed = np.zeros(len(scores), bool) if threshold is None else scores >= threshold
    delays, events = [], 0
    for span in index.spans:
        edges = np.flatnonzero(np.diff(labels[span], prepend=False, append=False)) + span.start
        for start, stop in edges.reshape(-1, 2):
            events += 1
            if len(first := np.flatnonzero(alarmed[start:stop])):
                delays.append(int(first[0]))
    mean, median = (float(np.mean(delays)), float(np.median(delays))) if delays else (None, None)
    return Delay(threshold, false_alarms, hours, events, len(delays), mean, median)


def _lowest_threshold(scores: Values, labels: Flags, index: FrameIndex, allowed: int) -> tuple[float | None, int]:
    """Go down from the highest score while at most `allowed` false alarms are raised."""
    before = np.concatenate([[-np.inf], scores[:-1]])
    before[[span.start for span in index.spans]] = -np.inf
    # A frame raises an alarm at the thresholds from its own score down to, but without, that of the frame before.
    raising = ~labels & (scores > before)
    thresholds = np.unique(scores)[::-1]
    begins = np.searchsorted(-thresholds, -scores[raising])
    ends = np.searchsorted(-thresholds, -before[raising])
    size = len(thresholds) + 1
    raised = np.cumsum(np.bincount(begins, minlength=size) - np.bincount(ends, minlength=size))[:-1]
    within = len(thresholds) if (raised <= allowed).all() else int(np.argmax(raised > allowed))
    return (float(thresholds[within - 1]), int(raised[within - 1])) if within else (None, 0)
