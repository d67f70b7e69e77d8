"""Labels of the test frames, in every form that the field has. To add one: write a module with `takes` and `read`, and name it in `FORMS`."""

import os
from collections.abc import Mapping
from pathlib import Path

from vad.data.frame_index import Flags, FrameIndex
from vad.data.frameset import Labels
from vad.data.labels import annotations, arrays, avenue, interval_table, intervals, mask_images, table, tracks
from vad.data.labels.annotations import read_annotations
from vad.data.labels.avenue import MASKS
from vad.data.labels.base import Asked, Form, Paths
from vad.data.labels.find import DEMO_MARKER, find_labels, other_labels
from vad.data.labels.known import extent, version_of
from vad.errors import InputError
from vad.images.digest_cache import DigestCache, Size

__all__ = [
    "DEMO_MARKER",
    "FORMS",
    "MASKS",
    "extent",
    "find_labels",
    "other_labels",
    "read_annotations",
    "read_labels",
    "version_of",
]

# The first that takes a file or folder reads it (UBnormal has both tracks and masks); a file that none of the others takes is a CSV.
FORMS: tuple[Form, ...] = (avenue, arrays, intervals, tracks, mask_images, annotations, interval_table, table)
_MOST, _MANY, _NEARLY_ALL = 0.5, 5, 0.9  # of the frames of that many videos, and of fewer
_FOLDERS = "N_label.mat, nor NAME.npy, NAME_gt/ with mask images, NAME_gt.txt or NAME_tracks.txt"


def read_labels(
    path: Path,
    index: FrameIndex,
    memory: DigestCache,
    first_frame: int | None = None,
    files: Paths | None = None,
    sizes: Mapping[int, Size] | None = None,
) -> Labels:
    """Read the labels of exactly the frames in `index`. Raises InputError for labels that do not fit.

    `first_frame` is the number of the frame that a video's first label or mask belongs to (by default 0, and 1 for a set
    without a frame 0; of Avenue's masks it must be given there), `files` their folders or movies, `sizes` the size of each video's frames.
    """
    if not os.path.exists(path):  # False, too, for what can be no path
        raise InputError(f"LABELS={path} does not exist; give a CSV (Id,Label) or a folder of N_label.mat")
    form = next((form for form in FORMS if form.takes(path)), None)
    if form is None:
        raise InputError(f"LABELS={path} holds no {_FOLDERS}")
    asked = Asked(path, index, memory, first_frame, files or {}, sizes or {})
    found = form.read(asked)
    for clip in asked.clips if first_frame else ():
        asked.places(clip)  # raises where a frame lies before the first
    named = form in (table, interval_table)
    notes = (*found.notes, *_inverted(path, index, found.values))
    labels = Labels(found.values, str(path), None if named else first_frame, notes, form.NAME)
    if labels.values.all() or not labels.values.any():
        one = f"{path}: all {len(index):,} test frames are {'anomalous' if labels.values.any() else 'normal'}"
        fix = "mend the labels, or do without them (LABELS=none: a run then reports a proxy AP)"
        raise InputError(f"{one}, but AP needs both; {fix}")
    return labels


def _inverted(path: Path, index: FrameIndex, values: Flags) -> list[str]:
    """A note on labels that may say 1 of normal frames. UCSD Ped2 is 82 % anomalous, but 5 of its 12 videos begin normal."""
    share, begins = float(values.mean()), all(values[span.start] for span in index.spans)
    if not begins or share < (_MOST if len(index.spans) >= _MANY else _NEARLY_ALL):
        return []
    said = f"{path}: {share:.0%} of the test frames are anomalous, and every video begins with an anomalous one"
    return [f"{said}; is 1 normal in this file? Then swap 0 and 1: here 1 is anomalous"]
