"""CUHK Avenue's pixel masks: `testing_label_mask/N_label.mat`, the cell array `volLabel` with a mask for each frame."""

import re
from pathlib import Path

import numpy as np

from vad.data.frame_index import Flags
from vad.data.labels.base import Asked, Found, Paths
from vad.data.matlab import anomalous_frames
from vad.errors import InputError
from vad.images.decode import FEWER_AT_THE_END
from vad.system.files import names_in

NAME = "CUHK Avenue's masks"
MASKS = Path("ground_truth_demo") / "testing_label_mask"
_MASK = re.compile(r"(\d{1,9})_label\.mat")


def takes(path: Path) -> bool:
    """Take a folder in which such files lie, at any depth."""
    return path.is_dir() and any(_MASK.fullmatch(file.name) for file in path.rglob("*_label.mat"))


def read(asked: Asked) -> Found:
    """Read whether each frame's mask has a pixel above 0. Raises InputError where it is not clear which frame the first belongs to."""
    masks = find_masks(asked.path)
    values = _from_masks(asked, masks)
    others = ", ".join(str(masks[video]) for video in sorted(masks.keys() - set(asked.index.video.tolist())))
    return Found(values, (f"there is no test video for {others}",) if others else ())


def find_masks(folder: Path) -> dict[int, Path]:
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


def _from_masks(asked: Asked, masks: Paths) -> Flags:
    folder, index, memory, first_frame = asked.path, asked.index, asked.memory, asked.first_frame
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
        if video in asked.movies and last + 1 < len(anomalous) - FEWER_AT_THE_END:
            fewer = f"{asked.movies[video]} only {last + 1} frames that can be decoded; the movie is truncated"
            raise InputError(
                f"{masks[video]} has {len(anomalous)} masks, but {fewer}, or the masks are not its own: restore it"
            )
        values[span] = anomalous[places]
    memory.save()
    return values
