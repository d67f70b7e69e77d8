"""Where the labels of a data set lie."""

import os
from pathlib import Path

from vad.data.labels import arrays, intervals, mask_images
from vad.data.labels.avenue import MASKS
from vad.data.matlab import INTERVALS, has_intervals
from vad.data.names import is_litter
from vad.errors import InputError
from vad.system.files import names_in, reading

# The demo street comes with both, made from one list; its CSV counts.
DEMO_MARKER = "street.json"
_CSVS = ("labels.csv", "labels.csv.gz", "labels.csv.zip")
_TEST_HALVES = ("testing_videos", "testing", "test")
_MASK_FOLDERS = ("masks", "test_frame_mask", "test_pixel_mask")
_ARRAYS = ("frame_labels", "labels", "label", "gt", "frame_gt")


def find_labels(root: Path, home: Path | None = None, own: Path | None = None) -> Path | None:
    """Find the labels of a data set. Raises InputError for several of equal standing.

    They may lie in `root`, `home` (the folder of the two halves), those between, and the half with the test videos. What is
    called `labels.csv` (.gz, .zip) or holds Avenue's masks counts first, then `own`, those of a published layout, then
    what the field's repositories keep there: `<set>.mat`, `frame_labels_<set>.npy`, `gt.npz`, `<set>.m`, folders of masks.
    """
    folders = _folders(root, home)
    paths = [folder / name for folder in folders for name in names_in(folder) if name.casefold() in _CSVS]
    paths += [path for folder in folders for path in (folder / MASKS, folder / MASKS.name) if os.path.lexists(path)]
    paths = [path for path in paths if path.name != MASKS.name or not (path.parents[1] / DEMO_MARKER).exists()]
    return _only(paths) or own or _only(other_labels(root, home))


def other_labels(root: Path, home: Path | None = None) -> list[Path]:
    """The labels in a form of the field's repositories that lie in a data set."""
    folders = _folders(root, home)
    return [path for folder in folders for path in [folder / name for name in names_in(folder)] if _is_known(path)]


def _folders(root: Path, home: Path | None) -> list[Path]:
    inner = home or root
    folders = [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return folders + [
        inner / name for name in names_in(inner) if name.casefold() in _TEST_HALVES and (inner / name).is_dir()
    ]


def _only(paths: list[Path]) -> Path | None:
    found = list({os.path.realpath(path): path for path in paths}.values())
    if len(found) > 1:
        several = ", ".join(map(str, found))
        raise InputError(f"any of {several} could be the labels; name one with LABELS=, or keep only it")
    for path in found:
        with reading(path):  # refuses a broken link, or a pipe
            return path
    return None


def _is_known(path: Path) -> bool:
    """Whether a file or folder is named as labels are, and holds some."""
    if is_litter(path.name):
        return False
    stem, ending = path.stem.casefold(), path.suffix.lower()
    if path.is_dir():
        if path.name.casefold() in _MASK_FOLDERS:
            return arrays.takes(path) or mask_images.takes(path)
        inside = names_in(path) if path.name.casefold() in _TEST_HALVES else []
        return any(name.casefold().endswith("_gt") for name in inside) and mask_images.takes(path)
    if ending == ".mat":
        return _has_intervals(path)
    if ending == ".m":
        with reading(path):
            return "gt_frame" in path.read_text(encoding="utf-8", errors="replace")
    named = stem in _ARRAYS or stem.startswith("frame_labels_")
    return ending in (".npy", ".npz", ".txt") and named and (ending != ".txt" or arrays.takes(path))


def _has_intervals(path: Path) -> bool:
    """Whether a MATLAB file has the variable `gt`; one that cannot be read is told where it is named."""
    try:
        return has_intervals(path)
    except InputError:
        return path.stem.casefold() == INTERVALS and intervals.takes(path)
