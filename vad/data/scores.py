"""Scores of frames in the formats people have: our CSV, NumPy's .npy and .npz, MATLAB's .mat, text with one value a line, folders of these."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import Values, composed, last_number
from vad.data.numbers import ARRAYS, TEXTS, is_list, is_pickle, read_arrays, read_list
from vad.data.tables import read_scores
from vad.errors import InputError
from vad.system.files import names_in, reading

FORMATS = "a CSV (Id,Predicted), .npy, .npz, .mat, text with one value a line, or a folder of one such file a video"
_UNNAMED = re.compile(r"arr_\d+")


@dataclass(frozen=True)
class VideoScores:
    """What a file says of one video, or, with no `name`, of the only one or of all, one after another.

    `frames` are the numbers of the frames, ascending; None where the file has only an order.
    """

    name: str | None
    frames: NDArray[np.int64] | None
    values: Values


def read_video_scores(path: Path) -> list[VideoScores]:
    """Read a file or folder of scores. Raises InputError for what is none, for pickles, and for scores that are not finite."""
    with reading(path):
        if path.is_dir():
            return _from_folder(path)
    if path.suffix.lower() in ARRAYS or is_pickle(path):
        arrays = [(name, _sequence(array, f"{path}: {name}")) for name, array in read_arrays(path).items()]
        if len(arrays) == 1 and (path.suffix.lower() == ".npy" or last_number(arrays[0][0]) is None):
            return [VideoScores(None, None, arrays[0][1])]
        return [VideoScores(None if _UNNAMED.fullmatch(name) else name, None, values) for name, values in arrays]
    if is_list(path):
        return [VideoScores(None, None, read_list(path, "finite number; write one score a line"))]
    index, values = read_scores(path)
    return [VideoScores(name, index.frame[s], values[s]) for name, s in zip(index.titles, index.spans, strict=True)]


def match_videos(
    given: Iterable[str], known: Iterable[str], source: str, allow_unknown: bool = False
) -> dict[str, str]:
    """Find for each given name the known video: the same name, the same number (`01` and `1`), or the number at its end (`Test001`).

    Raises InputError for a video that is unknown, and for two names of one. With `allow_unknown`, unknown ones are left out, unless all are.
    """
    names = list(known)
    numbered: dict[int | None, list[str]] = {}
    for name in names:
        numbered.setdefault(last_number(name), []).append(name)
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    unknown: list[str] = []
    for name in given:
        same = numbered.get(last_number(name), [])
        # A number decides where one of the two names is a number alone.
        fits = len(same) == 1 and (name.isdigit() or same[0].isdigit())
        video = composed(name) if composed(name) in names else same[0] if fits else None
        if video is None:
            unknown.append(name)
            continue
        if video in taken:
            raise InputError(f"{source}: {taken[video]!r:.60} and {name!r:.60} are both video {video}; keep one")
        found[name] = video
        taken[video] = name
    if unknown and not (allow_unknown and found):
        there = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise InputError(
            f"{source} has a video {unknown[0]!r:.60}, which has no labels; the labelled videos are {there}"
        )
    return found


def _from_folder(folder: Path) -> list[VideoScores]:
    files = [folder / n for n in names_in(folder) if not n.startswith(".") and Path(n).suffix.lower() in ARRAYS + TEXTS]
    found = []
    for file in files:
        parts = read_video_scores(file)
        if len(parts) != 1 or parts[0].frames is not None:
            raise InputError(
                f"{file} must hold the scores of one video, one value a frame; {folder} has a file a video"
            )
        found.append(VideoScores(file.stem, None, parts[0].values))
    if not found:
        raise InputError(f"{folder} holds no scores; give {FORMATS}")
    return found


def _sequence(array: NDArray[Any], where: str) -> Values:
    """One number a frame, of shape (N,), (1, N) or (N, 1)."""
    if array.dtype.kind not in "uif":
        raise InputError(f"{where} holds {array.dtype}, not numbers; give one score a frame")
    if max(array.shape, default=0) != array.size or array.ndim not in (1, 2):
        shape = " x ".join(map(str, array.shape)) or "one number"
        raise InputError(f"{where} is an array of {shape}; give one score a frame, as (N,) or (1, N)")
    values = array.ravel().astype(np.float64)
    if not len(values):
        raise InputError(f"{where} holds no score")
    if len(bad := np.flatnonzero(~np.isfinite(values))):
        raise InputError(f"{where}: score {bad[0]} (the first is 0) is {values[bad[0]]}; it must be finite")
    return values
