"""RBDC, TBDC and pixel AUC for `vad evaluate`: anomaly maps against masks, and tracks where they are given."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from registry.console import Bar, number, plural
from vad.data.frame_index import Flags
from vad.data.scores import match_videos
from vad.errors import InputError
from vad.measures.region_files import (
    Masks,
    Painted,
    open_maps,
    open_masks,
    read_tracks,
    truth_of,
    truth_of_tracks,
    truth_of_values,
)
from vad.measures.regions import LEAST_IOU, Pixels, Regions, Truth, pixel_measures, region_measures

_Of = TypeVar("_Of")
VALUES = "values"  # of --tracks: the values of masks are the tracks
# What true regions and tracks are: without --tracks, of values, of files.
_LINKED = "those of masks", "regions linked by overlap from frame to frame, as no file of tracks is given"
_OF_VALUES = "the boxes of all pixels of one value in a mask", "the values of masks"
_OF_FILES = "the boxes of the tracks", "those of the files"


@dataclass(frozen=True)
class Localization:
    """Metrics of where the maps locate anomalies, and their protocol."""

    regions: Regions
    pixels: Pixels
    protocol: dict[str, str]


@dataclass(frozen=True)
class Shown:
    """A labelled video: its labels, and the width and height of its frames, where known."""

    labels: Flags
    size: tuple[int, int] | None = None


def localize(maps: str, masks: str | None, tracks: str | None, shown: Mapping[str, Shown]) -> Localization:
    """Measure maps on every video that has masks, or without masks on each that has maps. Raises InputError."""
    opened = _by_video(open_maps(Path(maps)), shown, maps)
    painted = _by_video(open_masks(Path(masks)), shown, masks) if masks else {}
    rows = _by_video(read_tracks(Path(tracks)), shown, tracks) if tracks and tracks != VALUES else None
    measured: Mapping[str, object] = painted if masks else opened
    videos, truths = [name for name in shown if name in measured], []
    for name in videos:
        if name not in opened:
            raise InputError(f"--maps {maps} has no maps of video {name}, which has masks; give an array of that name")
        given = {"masks": painted[name]()} if masks else {}
        given |= {"maps": opened[name]()}
        frames = len(shown[name].labels)
        for what, arrays in given.items():
            if len(arrays) != frames:
                fix = f"give one for each frame, or are these {what} of another set?"
                raise InputError(f"video {name} has {len(arrays)} {what}, but {frames} labelled frames; {fix}")
        if masks:
            truths.append(_truth(name, given["masks"], rows, tracks))
        else:
            wide, high = shown[name].size or given["maps"].shape[:0:-1]
            truths.append(_tracked(name, shown[name].labels, (high, wide), rows or {}, f"{tracks}"))
    frames = sum(len(shown[name].labels) for name in videos)
    with Bar("regions", frames) as bar:
        regions = region_measures([opened[name] for name in videos], truths, bar.advance)
    pixels = Pixels(None, None)
    if masks:
        pixels = pixel_measures([opened[name] for name in videos], [partial(_flags, painted[name]) for name in videos])
    true, linked = _LINKED if tracks is None else _OF_VALUES if tracks == VALUES else _OF_FILES
    left_out = f"{len(shown) - len(videos)} labelled videos without {'masks' if masks else 'maps'} left out"
    return Localization(
        regions,
        pixels,
        {
            "maps": f"{maps} against {masks or tracks}: {plural(len(videos), 'video')}, {plural(frames, 'frame')}; {left_out}",
            "regions": f"bounding boxes of connected components of maps; true ones are {true}; found where a detected box "
            f"has IoU >= {LEAST_IOU:g} (Ramachandra and Jones 2020); {len(regions.false_a_frame)} thresholds; area up to one false "
            "region a frame, straight lines, extended flat",
            "tracks": f"{plural(regions.tracks, 'track')}: {linked}; found where 10 % of its regions are",
            "pixels": "pixel AUC pools all pixels; the 40 % criterion counts frames: an anomalous one is found where 40 % of its pixels are"
            if masks
            else "not measured without --masks",
        },
    )


def _by_video(found: Mapping[str, _Of], shown: Mapping[str, Shown], source: str) -> dict[str, _Of]:
    known = match_videos(found, shown, source)
    return {known[name]: value for name, value in found.items()}


def _flags(painted: Callable[[], Painted]) -> Masks:
    masks: Masks = painted() != 0
    return masks


def _truth(name: str, painted: Painted, rows: Mapping[str, NDArray[np.float64]] | None, tracks: str | None) -> Truth:
    if tracks == VALUES:
        return truth_of_values(painted)
    if rows is not None and name in rows:
        return truth_of_tracks(rows[name], len(painted), painted.shape[1:], f"{tracks}, video {name}")
    if rows is not None and painted.any():
        raise InputError(f"--tracks {tracks} has no file for video {name}, whose masks are not empty; give one")
    return truth_of(painted != 0)


def _tracked(
    name: str, labels: Flags, size: tuple[int, int], rows: Mapping[str, NDArray[np.float64]], tracks: str
) -> Truth:
    """The truth of a video without masks; one whose frames are all normal needs no tracks."""
    if name not in rows and labels.any():
        raise InputError(f"--tracks {tracks} has no file for video {name}, which has anomalous frames; give one")
    return truth_of_tracks(rows.get(name, np.zeros((0, 6))), len(labels), size, f"{tracks}, video {name}")


def as_json(found: Localization) -> dict[str, Any]:
    return {
        "rbdc": found.regions.rbdc,
        "tbdc": found.regions.tbdc,
        "pixel_auc": found.pixels.auc,
        "pixel_criterion_auc": found.pixels.criterion_auc,
        "region_curve": asdict(found.regions),
    }


def lines(found: Localization) -> list[tuple[str, str]]:
    """The metrics for a terminal, each with its name."""
    auc, criterion = number(found.pixels.auc), number(found.pixels.criterion_auc)
    pixels = f"{auc}  (all pixels; {criterion} by frames of which 40 % are found)"
    return [
        ("RBDC", f"{found.regions.rbdc:.4f}  ({plural(found.regions.regions, 'region')})"),
        ("TBDC", f"{found.regions.tbdc:.4f}  ({plural(found.regions.tracks, 'track')})"),
        ("pixel AUC", pixels if found.pixels.auc is not None else "-"),
    ]
