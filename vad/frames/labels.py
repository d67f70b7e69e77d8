"""Labels of the test frames, from a CSV (`Id,Label`) or from CUHK Avenue's pixel masks."""

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vad.errors import InputError
from vad.files import names_in, require_plain
from vad.frames.digests import Memory
from vad.frames.frameset import Labels
from vad.frames.masks import anomalous_frames
from vad.scores import FrameIndex
from vad.tables import read_table, require_same_frames

MASKS = Path("ground_truth_demo") / "testing_label_mask"
_MASK = re.compile(r"(\d{1,9})_label\.mat")


def find_labels(root: Path) -> Path | None:
    """The labels that lie in a data set's own folder, if any: `labels.csv`, or the authors' masks. Raises InputError for a pipe."""
    for candidate in (root / "labels.csv", root / MASKS):
        if candidate.exists():
            require_plain(candidate)
            return candidate
    return None


def read_labels(path: Path, index: FrameIndex, memory: Memory) -> Labels:
    """The labels of exactly the frames in `index`.

    A frame is anomalous when its mask has a pixel above zero; a mask is found by the 0-based frame
    number. Raises InputError for missing, extra or non-binary rows, and for missing or short masks.
    """
    if not os.path.exists(path):  # False, too, for what can be no path
        raise InputError(f"LABELS={path} does not exist; give a CSV (Id,Label) or a folder of N_label.mat")
    values = _from_masks(path, index, memory) if path.is_dir() else _from_csv(path, index)
    return Labels(values, str(path))


def _from_csv(path: Path, index: FrameIndex) -> NDArray[np.bool_]:
    table = read_table(path, "Label")
    given, values = table.index, table.values
    bad = np.flatnonzero((values != 0) & (values != 1))
    if len(bad):
        raise InputError(f"{path}: the label of {given.ids[bad[0]]} is {values[bad[0]]:g}; labels are 0 or 1")
    require_same_frames(given, index, str(path), "the test frames")
    return values.astype(bool)


def _from_masks(folder: Path, index: FrameIndex, memory: Memory) -> NDArray[np.bool_]:
    names_in(folder)  # glob passes over what may not be read
    masks = {int(m[1]): p for p in sorted(folder.rglob("*_label.mat")) if (m := _MASK.fullmatch(p.name))}
    if not masks:
        raise InputError(f"LABELS={folder} holds no N_label.mat")
    values = np.zeros(len(index), bool)
    for span in index.spans:
        video = int(index.video[span.start])
        if video not in masks:
            raise InputError(f"{folder} has no mask for test video {video} ({video}_label.mat)")
        anomalous = np.asarray(memory.remember("anomalous", masks[video], anomalous_frames), bool)
        last = int(index.frame[span.stop - 1])
        if last >= len(anomalous):
            raise InputError(f"{masks[video]} has {len(anomalous)} masks, but test video {video} has a frame {last}")
        values[span] = anomalous[index.frame[span]]
    memory.save()
    return values
