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
from vad.data.names import some
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
from vad.measures.regions import LEAST_IOU, Maps, Pixels, Regions, Truth, pixel_measures, region_measures

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
    """A labelled video: its labels, which of its frames are measured, and the width and height of its frames, where known."""

    labels: Flags
    kept: Flags
    size: tuple[int, int] | None = None


def localize(maps: str, masks: str | None, tracks: str | None, shown: Mapping[str, Shown]) -> Localization:
    """Measure maps on every video that has masks, or without masks on each that has maps. Raises InputError."""
    every_map = open_maps(Path(maps))
    opened = _by_video(every_map, match_videos(every_map, shown, f"--maps {maps}"))
    every_mask = open_masks(Path(masks)) if masks else {}  # those of training videos may lie there, too
    painted = (
        _by_video(every_mask, match_videos(every_mask, shown, f"--masks {masks}", allow_unknown=True)) if masks else {}
    )
    rows = None
    if tracks and tracks != VALUES:
        every_track = read_tracks(Path(tracks))
        rows = _by_video(every_track, match_videos(every_track, shown, f"--tracks {tracks}"))
    measured: Mapping[str, object] = painted if masks else opened
    videos = [name for name in shown if name in measured and shown[name].kept.any()]
    truths, differ = [], {}
    for name in videos:
        if name not in opened:
            raise InputError(f"--maps {maps} has no maps of video {name}, which has masks; give an array of that name")
        video, made = shown[name], opened[name]()
        _require_maps(f"--maps {maps}: video {name}", len(made), video)
        if masks:
            there = painted[name]()
            _require_masks(f"--masks {masks}: video {name}", there, video)
            truth = _truth(name, there, rows, tracks)
        else:
            wide, high = video.size or made.shape[:0:-1]
            truth = _tracked(name, video.labels, (high, wide), rows or {}, f"{tracks}")
        if count := int((np.array([len(boxes) > 0 for boxes in truth.boxes]) != video.labels).sum()):
            differ[name] = count
        truths.append(truth.only(video.kept))
    loaders = [partial(_kept, opened[name], shown[name].kept) for name in videos]
    frames = sum(int(shown[name].kept.sum()) for name in videos)
    with Bar("regions", frames) as bar:
        regions = region_measures(loaders, truths, bar.advance)
    pixels = Pixels(None, None)
    if masks:
        flags = [partial(_flags, painted[name], shown[name].kept) for name in videos]
        pixels = pixel_measures(loaders, flags)
    true, linked = _LINKED if tracks is None else _OF_VALUES if tracks == VALUES else _OF_FILES
    left_out = f"{plural(len(shown) - len(videos), 'labelled video')} without {'masks' if masks else 'maps'} left out"
    protocol = {
        "maps": f"{maps} against {masks or tracks}: {plural(len(videos), 'video')}, {plural(frames, 'frame')}; {left_out}",
        "regions": f"bounding boxes of connected components of maps; true ones are {true}; found where a detected box "
        f"has IoU >= {LEAST_IOU:g} (Ramachandra and Jones 2020); {len(regions.false_a_frame)} thresholds; area up to one false "
        "region a frame, straight lines, extended flat",
        "tracks": f"{plural(regions.tracks, 'track')}: {linked}; found where 10 % of its regions are",
        "pixels": "pixel AUC pools all pixels; the 40 % criterion counts frames: an anomalous one is found where 40 % of its pixels are"
        if masks
        else "not measured without --masks",
    }
    if extra := len(every_mask) - len(painted):
        protocol["maps"] += f"; masks of {plural(extra, 'video')} without labels passed over"
    if differ:
        where = some([f"{name} ({count:,})" for name, count in differ.items()])
        protocol["agreement"] = (
            f"{masks or tracks} and labels differ in {plural(sum(differ.values()), 'frame')}: {where}"
        )
    return Localization(regions, pixels, protocol)


def _by_video(found: Mapping[str, _Of], names: Mapping[str, str]) -> dict[str, _Of]:
    return {video: found[name] for name, video in names.items()}


def _require_maps(what: str, count: int, video: Shown) -> None:
    """Raise InputError unless there is a map for each labelled frame, or for each that is measured."""
    if count not in (len(video.kept), video.kept.sum()):
        fix = "give one for each, or with --missing drop one for each scored frame"
        raise InputError(f"{what} has {count:,} maps, but {len(video.labels):,} labelled frames; {fix}")


def _require_masks(what: str, masks: Painted, video: Shown) -> None:
    """Raise InputError unless there is a mask for each labelled frame, of the size of the video's frames."""
    if len(masks) != len(video.labels):
        fix = "give one for each, or are these masks of another set?"
        raise InputError(f"{what} has {len(masks):,} masks, but {len(video.labels):,} labelled frames; {fix}")
    if video.size not in (None, (size := masks.shape[:0:-1])):
        raise InputError(f"{what} has masks of {size[0]} x {size[1]}, but frames of {video.size[0]} x {video.size[1]}")


def _kept(load: Callable[[], Maps], kept: Flags) -> Maps:
    """The maps of the frames that are measured, of a video's maps or of exactly these."""
    maps = load()
    return maps[kept] if len(maps) == len(kept) else maps


def _flags(painted: Callable[[], Painted], kept: Flags) -> Masks:
    masks: Masks = painted()[kept] != 0
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
