"""Labels of the test frames, from a CSV (`Id,Label`) or from CUHK Avenue's pixel masks."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vad.data.frame_index import Flags, FrameIndex
from vad.data.frameset import Labels
from vad.data.masks import anomalous_frames
from vad.data.tables import read_table, require_same_frames
from vad.errors import InputError
from vad.images.decode import FEWER_AT_THE_END
from vad.images.digest_cache import DigestCache
from vad.system.files import names_in, reading, require_plain

Paths = Mapping[int, Path]

# The demo street comes with both, made from one list; its CSV counts.
DEMO_MARKER = "street.json"
MASKS = Path("ground_truth_demo") / "testing_label_mask"
_CSVS = ("labels.csv", "labels.csv.gz", "labels.csv.zip")
_TEST_HALVES = ("testing_videos", "testing", "test")
_MASK = re.compile(r"(\d{1,9})_label\.mat")


def find_labels(root: Path, home: Path | None = None) -> Path | None:
    """Find the labels of a data set: `labels.csv` (.gz, .zip), or the authors' masks. Raises InputError for several.

    They may lie in `root`, `home` (the folder of the two halves), those between, and the half with the test videos.
    """
    inner = home or root
    folders = [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    folders += [inner / name for name in names_in(inner) if name.casefold() in _TEST_HALVES and (inner / name).is_dir()]
    paths = [folder / name for folder in folders for name in names_in(folder) if name.casefold() in _CSVS]
    paths += [path for folder in folders for path in (folder / MASKS, folder / MASKS.name) if os.path.lexists(path)]
    paths = [path for path in paths if path.name != MASKS.name or not (path.parents[1] / DEMO_MARKER).exists()]
    found = list({os.path.realpath(path): path for path in paths}.values())
    if len(found) > 1:
        several = ", ".join(map(str, found))
        raise InputError(f"any of {several} could be the labels; name one with LABELS=, or keep only it")
    for path in found:
        with reading(path):
            require_plain(path)
    return next(iter(found), None)


def read_labels(
    path: Path, index: FrameIndex, memory: DigestCache, first_frame: int | None = None, movies: Paths | None = None
) -> Labels:
    """Read the labels of exactly the frames in `index`. Raises InputError for labels that do not fit.

    `first_frame` is the number of the first mask's frame (0; must be given where all videos begin at 1), `movies` their files.
    """
    if not os.path.exists(path):  # False, too, for what can be no path
        raise InputError(f"LABELS={path} does not exist; give a CSV (Id,Label) or a folder of N_label.mat")
    if path.is_dir():
        masks = _find_masks(path)
        values = _from_masks(path, masks, index, memory, first_frame, movies or {})
        others = ", ".join(str(masks[video]) for video in sorted(masks.keys() - set(index.video.tolist())))
        labels = Labels(values, str(path), first_frame, (f"there is no test video for {others}",) if others else ())
    elif first_frame:
        raise InputError(f"FIRST_FRAME={first_frame} is for masks; {path} names each frame by its number; leave it out")
    else:
        labels = Labels(_from_csv(path, index), str(path))
    if labels.values.all() or not labels.values.any():
        one = f"{path}: all {len(index):,} test frames are {'anomalous' if labels.values.any() else 'normal'}"
        fix = "mend the labels, or do without them (LABELS=none: a run then reports a proxy AP)"
        raise InputError(f"{one}, but AP needs both; {fix}")
    return labels


def _from_csv(path: Path, index: FrameIndex) -> Flags:
    table = read_table(path, "Label")
    given, values = table.index, table.values
    bad = np.flatnonzero((values != 0) & (values != 1))
    if len(bad):
        raise InputError(f"{path}: the label of {given.ids[bad[0]]} is {values[bad[0]]:g}; labels are 0 or 1")
    for shift, theirs, ours, fix in ((1, 0, 1, "add 1 to"), (-1, 1, 0, "subtract 1 from")):
        if given != index and FrameIndex(given.video, given.frame + shift) == index:
            numbered = f"{path} numbers frames from {theirs}, but the test frames are numbered from {ours}"
            raise InputError(f"{numbered}; {fix} its numbers")
    require_same_frames(given, index, str(path), "the test frames")
    return values.astype(bool)


def _find_masks(folder: Path) -> dict[int, Path]:
    """The file of masks of each video. Raises InputError where there is none, or two are of one video."""
    names_in(folder)  # glob passes over what may not be read
    masks: dict[int, Path] = {}
    for path in sorted(folder.rglob("*_label.mat")):
        if match := _MASK.fullmatch(path.name):
            if (number := int(match[1])) in masks:
                raise InputError(f"{masks[number]} and {path} are both masks of video {number}; remove one")
            masks[number] = path
    if not masks:
        raise InputError(f"LABELS={folder} holds no N_label.mat")
    return masks


def _from_masks(
    folder: Path, masks: Paths, index: FrameIndex, memory: DigestCache, first_frame: int | None, movies: Paths
) -> Flags:
    begins = {int(index.frame[span.start]) for span in index.spans}
    if first_frame is None and begins == {1}:
        raise InputError(
            f"the frames of every test video begin at 1, so it is not clear which frame the first mask in {folder} belongs to; "
            "give FIRST_FRAME=1 (--first-frame 1) for frame 1, as FFmpeg numbers, or FIRST_FRAME=0 where frame 0 is missing"
        )
    first = first_frame or 0
    values = np.zeros(len(index), bool)
    for span in index.spans:
        video = int(index.video[span.start])
        if video not in masks:
            raise InputError(f"{folder} has no mask for test video {video} ({video}_label.mat)")
        anomalous = np.asarray(memory.remember("anomalous", masks[video], anomalous_frames), bool)
        places = index.frame[span] - first
        if places[0] < 0:
            raise InputError(f"FIRST_FRAME={first}, but test video {video} has a frame {first - 1}; leave it out")
        if (last := int(places[-1])) >= len(anomalous):
            fault = f"{masks[video]} has {len(anomalous)} masks, but test video {video} has a frame {last + first}"
            if not first and last == len(anomalous) and min(begins) >= 1:
                fault += "; is it numbered from 1, as FFmpeg does? Then give FIRST_FRAME=1 (--first-frame 1)"
            raise InputError(fault)
        if video in movies and last + 1 < len(anomalous) - FEWER_AT_THE_END:
            fewer = f"{movies[video]} only {last + 1} frames that can be decoded; the movie is truncated"
            raise InputError(
                f"{masks[video]} has {len(anomalous)} masks, but {fewer}, or the masks are not its own: restore it"
            )
        values[span] = anomalous[places]
    memory.save()
    return values
