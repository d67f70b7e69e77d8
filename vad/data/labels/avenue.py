"""CUHK Avenue's pixel masks: `testing_label_mask/N_label.mat`, the cell array `volLabel` with a mask for each frame."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from vad.data.labels.base import Asked, Found
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
    folder, masks = asked.path, find_masks(asked.path)
    begins = {int(clip.numbers[0]) for clip in asked.clips}
    if asked.first_frame is None and begins == {1}:
        raise InputError(
            f"the frames of every test video begin at 1, so it is not clear which frame the first mask in {folder} belongs to; "
            "give FIRST_FRAME=1 (--first-frame 1) for frame 1, as FFmpeg numbers, or FIRST_FRAME=0 where frame 0 is missing"
        )
    asked = replace(asked, first_frame=asked.first_frame or 0)
    values = np.zeros(len(asked.index), bool)
    for clip in asked.clips:
        if (path := masks.pop(clip.id, None)) is None:
            raise InputError(f"{folder} has no mask for test video {clip.id} ({clip.id}_label.mat)")
        anomalous = np.asarray(asked.memory.remember("anomalous", path, anomalous_frames), bool)
        places = asked.places(clip)
        if (last := int(places[-1])) >= len(anomalous):
            fault = f"{path} has {len(anomalous)} masks, but test video {clip.id} has a frame {last + asked.first}"
            if not asked.first and last == len(anomalous) and min(begins) >= 1:
                fault += "; is it numbered from 1, as FFmpeg does? Then give FIRST_FRAME=1 (--first-frame 1)"
            raise InputError(fault)
        if clip.id in asked.movies and last + 1 < len(anomalous) - FEWER_AT_THE_END:
            fewer = f"{asked.movies[clip.id]} only {last + 1} frames that can be decoded; the movie is truncated"
            raise InputError(
                f"{path} has {len(anomalous)} masks, but {fewer}, or the masks are not its own: restore it"
            )
        values[clip.span] = anomalous[places]
    asked.memory.save()
    others = ", ".join(str(masks[video]) for video in sorted(masks))
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
