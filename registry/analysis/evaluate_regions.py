"""RBDC, TBDC and pixel AUC for `vad evaluate`: anomaly maps against masks, and tracks where they are given."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from registry.console import Bar, number, plural
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
    """What the maps tell about where anomalies are, and how it was measured."""

    regions: Regions
    pixels: Pixels
    protocol: dict[str, str]


def localize(maps: str, masks: str, tracks: str | None, lengths: Mapping[str, int]) -> Localization:
    """Measure maps on every video that has masks; `lengths` is how many frames each labelled video has. Raises InputError."""
    opened = _by_video(open_maps(Path(maps)), lengths, maps)
    painted = _by_video(open_masks(Path(masks)), lengths, masks)
    rows = _by_video(read_tracks(Path(tracks)), lengths, tracks) if tracks and tracks != VALUES else None
    videos, truths = [name for name in lengths if name in painted], []
    for name in videos:
        if name not in opened:
            raise InputError(f"--maps {maps} has no maps of video {name}, which has masks; give an array of that name")
        for what, count in (("masks", len(there := painted[name]())), ("maps", len(opened[name]()))):
            if count != lengths[name]:
                fix = f"give one for each frame, or are these {what} of another set?"
                raise InputError(f"video {name} has {count} {what}, but {lengths[name]} labelled frames; {fix}")
        truths.append(_truth(name, there, rows, tracks))
    frames = sum(lengths[name] for name in videos)
    with Bar("regions", frames) as bar:
        regions = region_measures([opened[name] for name in videos], truths, bar.advance)
    pixels = pixel_measures([opened[name] for name in videos], [partial(_flags, painted[name]) for name in videos])
    true, linked = _LINKED if tracks is None else _OF_VALUES if tracks == VALUES else _OF_FILES
    left_out = f"{len(lengths) - len(videos)} labelled videos without masks left out"
    return Localization(
        regions,
        pixels,
        {
            "maps": f"{maps} against {masks}: {plural(len(videos), 'video')}, {plural(frames, 'frame')}; {left_out}",
            "regions": f"bounding boxes of connected components of maps; true ones are {true}; found where a detected box "
            f"has IoU >= {LEAST_IOU:g} (Ramachandra and Jones 2020); {len(regions.false_a_frame)} thresholds; area up to one false "
            "region a frame, straight lines, extended flat",
            "tracks": f"{plural(regions.tracks, 'track')}: {linked}; found where 10 % of its regions are",
            "pixels": "pixel AUC pools all pixels; the 40 % criterion counts frames: an anomalous one is found where 40 % of its pixels are",
        },
    )


def _by_video(found: Mapping[str, _Of], lengths: Mapping[str, int], source: str) -> dict[str, _Of]:
    known = match_videos(found, lengths, source)
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
    return [
        ("RBDC", f"{found.regions.rbdc:.4f}  ({plural(found.regions.regions, 'region')})"),
        ("TBDC", f"{found.regions.tbdc:.4f}  ({plural(found.regions.tracks, 'track')})"),
        ("pixel AUC", f"{auc}  (all pixels; {criterion} by frames of which 40 % are found)"),
    ]
