"""RBDC, TBDC and pixel AUC for `vad evaluate`: anomaly maps against masks, and tracks where they are given."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from registry.console import Bar, plural
from vad.data.scores import match_videos
from vad.errors import InputError
from vad.measures.pixels import Pixels, pixel_measures
from vad.measures.region_files import Maps, Masks, open_maps, open_masks, read_tracks, truth_of, truth_of_tracks
from vad.measures.regions import LEAST_IOU, Regions, Truth, region_measures

_Of = TypeVar("_Of")


@dataclass(frozen=True)
class Localization:
    """What the maps tell about where anomalies are, and how it was measured."""

    regions: Regions
    pixels: Pixels
    protocol: dict[str, str]


def localize(maps: str, masks: str, tracks: str | None, lengths: Mapping[str, int]) -> Localization:
    """Measure maps on every video that has masks; `lengths` is how many frames each labelled video has. Raises InputError."""
    opened = _by_video(open_maps(Path(maps)), lengths, maps)
    truth_masks = _by_video(open_masks(Path(masks)), lengths, masks)
    rows = None if tracks is None else _by_video(read_tracks(Path(tracks)), lengths, tracks)
    videos, truths = [name for name in lengths if name in truth_masks], []
    for name in videos:
        if name not in opened:
            raise InputError(f"--maps {maps} has no maps of video {name}, which has masks; give an array of that name")
        truths.append(
            _truth(
                name, lengths[name], opened[name], truth_masks[name], None if rows is None else rows.get(name), tracks
            )
        )
    frames = sum(lengths[name] for name in videos)
    with Bar("regions", frames) as bar:
        regions = region_measures([opened[name] for name in videos], truths, bar.advance)
    pixels = pixel_measures([opened[name] for name in videos], [truth_masks[name] for name in videos])
    left_out = len(lengths) - len(videos)
    of = (
        f"{plural(len(videos), 'video')} with masks ({frames:,} frames); {left_out} without left out"
        if left_out
        else f"all {len(videos)} videos"
    )
    linked = (
        "regions linked by overlap from frame to frame, as no file of tracks is given"
        if tracks is None
        else f"those of {tracks}"
    )
    words = f"bounding boxes of connected components of {'masks' if tracks is None else 'maps; true ones are the boxes of the tracks'}"
    curve = (
        f"{len(regions.false_a_frame)} thresholds; area up to one false region a frame, straight lines, extended flat"
    )
    return Localization(
        regions,
        pixels,
        {
            "maps": f"{maps} against {masks}, {of}",
            "regions": f"{words}; found where a detected box has IoU >= {LEAST_IOU:g} (Ramachandra and Jones 2020); {curve}",
            "tracks": f"{plural(regions.tracks, 'track')}: {linked}; found where 10 % of its regions are",
            "pixels": "pixel AUC pools all pixels; the 40 % criterion counts frames: an anomalous one is found where 40 % of its pixels are",
        },
    )


def _by_video(found: Mapping[str, _Of], lengths: Mapping[str, int], source: str) -> dict[str, _Of]:
    known = match_videos(found, lengths, source)
    return {known[name]: value for name, value in found.items()}


def _truth(
    name: str, frames: int, maps: Callable[[], Maps], masks: Callable[[], Masks], rows: Any, tracks: str | None
) -> Truth:
    there = masks()
    if len(there) != frames:
        raise InputError(
            f"video {name} has {len(there)} masks, but {frames} labelled frames; are the masks of another set?"
        )
    if (count := len(maps())) != frames:
        raise InputError(f"video {name} has {count} maps, but {frames} labelled frames; give a map for each frame")
    if tracks is None:
        return truth_of(there)
    if rows is None:
        if there.any():
            raise InputError(f"--tracks {tracks} has no file for video {name}, whose masks are not empty; give one")
        return truth_of(there)
    return truth_of_tracks(rows, frames, there.shape[1:], f"{tracks}, video {name}")


def as_json(found: Localization) -> dict[str, Any]:
    return {
        "rbdc": found.regions.rbdc,
        "tbdc": found.regions.tbdc,
        "pixel_auc": found.pixels.auc,
        "pixel_criterion_auc": found.pixels.criterion_auc,
        "region_curve": asdict(found.regions),
    }


def lines(found: Localization) -> list[tuple[str, str]]:
    """The figures for a terminal, each with its name."""
    auc, criterion = (
        "-" if value is None else f"{value:.4f}" for value in (found.pixels.auc, found.pixels.criterion_auc)
    )
    return [
        ("RBDC", f"{found.regions.rbdc:.4f}  ({plural(found.regions.regions, 'region')})"),
        ("TBDC", f"{found.regions.tbdc:.4f}  ({plural(found.regions.tracks, 'track')})"),
        ("pixel AUC", f"{auc}  (all pixels; {criterion} by frames of which 40 % are found)"),
    ]
