"""Anybody's scores against labels: every measure, and the protocol by which it was measured."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from registry.analysis.evaluate_labels import Labelled, labelled_frames, labels_of_data
from registry.analysis.evaluate_regions import VALUES, Localization, Shown, localize
from registry.analysis.evaluate_regions import as_json as places_as_json
from registry.console import plural
from vad.data.frame_index import Flags, FrameIndex, Values
from vad.data.scores import VideoScores, read_video_scores
from vad.errors import InputError
from vad.measures.alignment import Missing, Spacing, align, fill, missing_frames, require_scores
from vad.measures.frame_level import Delay, FrameMeasures, detection_delay, measure_frames
from vad.measures.metrics import RESAMPLES, Difference, Measured, Sampled, difference, sample

_WORDS = {
    "edge": "take the score of the nearest frame of their video",
    "drop": "are left out of every metric",
    "interpolate": "take scores between those of their neighbours",
}


@dataclass(frozen=True)
class Request:
    """What is to be measured, named as the options of `vad evaluate`."""

    files: tuple[str, ...]
    labels: str | None
    data: str | None = None
    first_frame: int | None = None
    missing: Missing | None = None
    offset: int | None = None
    every: int = 1
    fps: float = 25.0
    false_alarms: float = 10.0
    maps: str | None = None
    masks: str | None = None
    tracks: str | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was found of one file. `labels` and `scores` are of the frames that were measured."""

    file: str
    sampled: Sampled
    frames: FrameMeasures
    delay: Delay
    protocol: dict[str, str]
    labels: Flags
    scores: Values

    @property
    def measured(self) -> Measured:
        return self.sampled.measured


@dataclass(frozen=True, eq=False)
class Evaluated:
    """One evaluation, or two of the same frames with the AP of the second less that of the first."""

    files: tuple[Evaluation, ...]
    difference: Difference | None
    fps: float
    false_alarms: float
    places: Localization | None = None


def evaluate(request: Request, home: Path) -> Evaluated:
    """Measure one file of scores, or two and their difference. Raises InputError where scores and labels do not fit."""
    if request.labels == "none" or not (request.labels or request.data):
        raise InputError(
            "evaluate needs labels: give --labels, a CSV (Id,Label) or any others that `vad data` reads, or --data, a set that has some"
        )
    if len(request.files) > 2:
        raise InputError(f"{len(request.files)} files of scores: give one, or two to compare")
    _require_maps(request)
    given = [read_video_scores(Path(file)) for file in request.files]
    spacing = Spacing(request.offset, request.every)
    if request.data:
        known = labels_of_data(request.data, request.labels, request.first_frame, home)
    else:
        known = labelled_frames(Path(request.labels or ""), _shortest(given), spacing, request.first_frame, home)
    spans = dict(zip(known.index.titles, known.index.spans, strict=True))
    complete, spaced = [], False
    keep = np.ones(len(known.index), bool)
    for file, videos in zip(request.files, given, strict=True):
        values = align(videos, known.index, file, spacing)
        spaced |= videos[0].frames is None and bool(np.isnan(values).any())
        values, stay, note = _complete(values, known, request, file)
        if videos[0].name is None and sorted(spans) != list(spans):  # one list, or several without names
            order = f"{', '.join(list(spans)[:12])}{', ...' if len(spans) > 12 else ''}"
            note += f"; the scores name no video, so videos are taken in the order {order}"
        keep &= stay
        complete.append((file, values, note))
    if spacing.skips() and not spaced:
        names = " and ".join(request.files)
        raise InputError(
            f"{names}: --offset and --every are for a list without frame numbers that scores fewer frames than have labels; leave them out"
        )
    index = FrameIndex(known.index.video[keep], known.index.frame[keep], known.index.names)
    truth = known.labels.values[keep]
    if truth.all() or not truth.any():
        raise InputError(
            f"{request.files[0]}: all frames that have a score are of one kind, but AP needs normal and anomalous ones"
        )
    shown = {name: Shown(known.labels.values[span], keep[span], known.sizes.get(name)) for name, span in spans.items()}
    places = localize(request.maps, request.masks, request.tracks, shown) if request.maps else None
    files = []
    for file, values, note in complete:
        scores, at_any_time = values[keep], np.where(keep, values, np.nan)
        sampled, frames = sample(scores, truth, index), measure_frames(scores, truth, index)
        delay = detection_delay(at_any_time, known.labels.values, known.index, request.fps, request.false_alarms)
        protocol = known.words() | {"frames": note} | _protocol(frames, sampled.measured)
        protocol |= places.protocol if places else {}
        files.append(Evaluation(file, sampled, frames, delay, protocol, truth, scores))
    found = difference(files[1].sampled, files[0].sampled) if len(files) > 1 else None
    return Evaluated(tuple(files), found, request.fps, request.false_alarms, places)


def _shortest(given: Sequence[list[VideoScores]]) -> list[VideoScores]:
    """The file that `--offset` and `--every` are of: without frame numbers the one with fewer scores, else the first."""
    if any(part.frames is not None for videos in given for part in videos):
        return given[0]
    return min(given, key=lambda videos: (videos[0].name is None, sum(len(part.values) for part in videos)))


def as_json(found: Evaluated) -> dict[str, Any]:
    """The metrics as JSON: of one file, or of `a` and `b` with the `difference` b less a."""
    sides = [_side(side, found) for side in found.files]
    if found.difference is not None:
        return {"a": sides[0], "b": sides[1], "difference": asdict(found.difference)}
    return sides[0] | (places_as_json(found.places) if found.places else {})


def _complete(values: Values, known: Labelled, request: Request, file: str) -> tuple[Values, Flags, str]:
    """Scores without gaps, which frames stay, and the protocol's words on it."""
    gaps = missing_frames(values, known.index)
    if request.missing is None:
        require_scores(values, known.index, file, f"the labels in {known.labels.source}")
    if request.missing is None or not gaps:
        return values, np.ones(len(values), bool), known.note or "no frame lacks a score"
    filled, stay = fill(values, known.index, request.missing)
    what = f"{plural(int(np.isnan(values).sum()), 'frame')} without a score ({'; '.join(gaps)})"
    more = f"; {known.note}" if known.note else ""
    return filled, stay, f"{request.missing}: {what} {_WORDS[request.missing]}{more}"


def _require_maps(request: Request) -> None:
    """Raise InputError where maps, masks and tracks are not given together."""
    where = request.masks or (request.tracks if request.tracks != VALUES else None)
    if bool(request.maps) != bool(where) or (request.tracks and not where):
        raise InputError("RBDC and TBDC need --maps, and --masks or --tracks FOLDER; pixel AUC needs --masks")
    if request.maps and len(request.files) > 1:
        raise InputError("--maps belongs to one file of scores; give one FILE")


def _side(side: Evaluation, found: Evaluated) -> dict[str, Any]:
    delay = asdict(side.delay) | {"fps": found.fps, "allowed_an_hour": found.false_alarms}
    return {
        **asdict(side.measured),
        "macro_auc": asdict(side.frames.macro),
        "eer": side.frames.eer,
        "best_f1": asdict(side.frames.best_f1),
        "fpr_at_95_tpr": asdict(side.frames.at_tpr),
        "detection_delay": delay,
        "by_video": [asdict(part) for part in side.frames.videos],
        "by_scene": [asdict(part) for part in side.frames.scenes],
        "protocol": side.protocol,
        "file": side.file,
    }


def _protocol(frames: FrameMeasures, measured: Measured) -> dict[str, str]:
    macro = frames.macro
    scaled = (
        "all scores are scaled to 0 to 1 together first, as some lie outside"
        if macro.scaled
        else "scores lie in 0 to 1 and stay"
    )
    return {
        "pooling": "AP, AUC, EER, F1 and FPR are micro: all frames of all videos in one ranking; ties count half in AUC",
        "macro": f"mean AUC of videos; plain leaves out {plural(macro.left_out, 'video')} of one kind; padded gives every video a "
        f"normal frame with score 0 in front and an anomalous frame with score 1 at its end ({scaled})",
        "smoothing": "none: scores are measured as they stand in the file",
        "statistics": "no metric normalises scores by video or set; the thresholds of F1 and FPR are chosen on these labels",
        "interval": f"95 %, bootstrap over {plural(measured.videos, 'whole video')}, {RESAMPLES:,} draws from a fixed seed",
    }
