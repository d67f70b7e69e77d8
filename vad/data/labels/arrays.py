"""Labels as arrays: `.npy`, `.npz` or one value a line, of all test videos one after the other or one for each."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import Flags
from vad.data.labels.base import OTHER_SET, Asked, Found, as_flags, by_name, fit_values, is_masks
from vad.data.names import is_litter
from vad.data.numbers import is_list, is_pickle, read_arrays, read_list
from vad.errors import InputError
from vad.system.files import names_in

NAME = "arrays, a value or a mask for each frame"
_ARRAYS = (".npy", ".npz")  # a .mat holds intervals


def takes(path: Path) -> bool:
    """Take arrays, texts whose first line is a number, pickles (to refuse them), and folders of arrays."""
    if path.is_dir():
        return bool(_files(path))
    return path.suffix.lower() in _ARRAYS or is_pickle(path) or is_list(path)


def read(asked: Asked) -> Found:
    """Read the labels of each video by its name, or those of all in the order of the videos' names."""
    path = asked.path
    if path.is_dir():
        files = _files(path)
        found, notes = by_name(asked, files, "NAME.npy")
        arrays = {clip: (str(path / files[name]), _load(path / files[name])) for clip, name in found.items()}
    elif path.suffix.lower() == ".npz" and len(members := read_arrays(path)) > 1:
        found, notes = by_name(asked, members, "an array of its name")
        arrays = {clip: (f"{path}, {name}", members[name]) for clip, name in found.items()}
    else:
        return _of_all(asked, as_flags(_load(path), str(path)))
    values = np.zeros(len(asked.index), bool)
    for clip, (where, array) in arrays.items():
        if is_masks(array):
            asked.require_size(clip, where, (array.shape[2], array.shape[1]))
        values[clip.span] = fit_values(asked, clip, as_flags(array, where), where)
    return Found(values, notes)


def lengths(path: Path) -> dict[str, int]:
    """Return how many labels each video has, by its name; none where they are not kept by video. Raises InputError."""
    arrays: dict[str, NDArray[np.generic]] = {}
    if path.is_dir():
        arrays = {name: _load(path / file) for name, file in _files(path).items()}
    elif path.suffix.lower() == ".npz" and len(members := read_arrays(path)) > 1:
        arrays = members
    return {name: len(array) if array.ndim == 3 else array.size for name, array in arrays.items()}


def _of_all(asked: Asked, values: Flags) -> Found:
    if len(values) != len(asked.index):
        videos = ", ".join(f"{clip.title}: {len(clip.numbers):,}" for clip in asked.clips[:5])
        more = ", ..." if len(asked.clips) > 5 else ""
        frames = f"there are {len(asked.index):,} test frames ({videos}{more})"
        raise InputError(f"{asked.path} has {len(values):,} labels, but {frames}; {OTHER_SET}")
    return Found(values, asked.order)


def _files(folder: Path) -> dict[str, str]:
    """The arrays or texts of a folder by the name of their video."""
    names = [name for name in names_in(folder) if not is_litter(name)]
    for endings in ((".npy",), (".txt",)):
        files = {Path(name).stem: name for name in names if name.lower().endswith(endings)}
        if files and (endings == (".npy",) or all(is_list(folder / name) for name in files.values())):
            return files
    return {}


def _load(path: Path) -> NDArray[np.generic]:
    """The one array, or the list, of a file. Raises InputError."""
    if is_list(path):
        return read_list(path, "label; write 0 (normal) or 1 (anomalous)")
    return next(iter(read_arrays(path).values()))
