"""Lists of intervals by the names of videos: UCF-Crime's `Temporal_Anomaly_Annotation*.txt`, XD-Violence's `annotations.txt`."""

import re
from pathlib import Path

import numpy as np

from vad.data.labels.base import Asked, Found, by_name, fit_intervals
from vad.data.names import MOVIES
from vad.errors import InputError
from vad.system.files import lines_of, reading

NAME = "annotations, intervals by the name of a video"
Intervals = tuple[tuple[int, int], ...]
# `Abuse028_x264.mp4  Abuse  165  240  -1  -1`: -1 stands for no interval
_CRIME = re.compile(r"(\S+(?: \S+)*?)\s+([A-Za-z]\w*)((?:\s+-?\d+){2,})", re.ASCII)
# `v=38GQ9L2meyE__#1_label_B6-0-0 103 2200 ...`
_VIOLENCE = re.compile(r"((?:\S+ )*?(?=\S*_label_\S)\S++)((?:\s+\d+)*)", re.ASCII)


def takes(path: Path) -> bool:
    """Take a text whose first line is one of such a list."""
    if path.suffix.lower() != ".txt" or not path.is_file():
        return False
    with reading(path), path.open("rb") as file:
        line = file.readline(1000).decode("utf-8-sig", "replace").strip()
    return bool(_VIOLENCE.fullmatch(line) or _CRIME.fullmatch(line))


def read_annotations(path: Path) -> dict[str, Intervals]:
    """Return the anomalous intervals of each video by its name, first and last frame, as the file has them. Raises InputError.

    A video without an anomaly has none. The name is that of the movie, without its ending.
    """
    found: dict[str, Intervals] = {}
    for at, line in lines_of(path):
        match = _VIOLENCE.fullmatch(line) or _CRIME.fullmatch(line)
        if match is None:
            forms = "`NAME.mp4 Class first last -1 -1` (UCF-Crime) or `NAME_label_... first last` (XD-Violence)"
            raise InputError(f"{path}, line {at}: {line!r:.60} is no annotation; a line is {forms}")
        stem, _, ending = match[1].rpartition(".")
        name = stem if stem and ending.lower() in MOVIES else match[1]
        numbers = [int(number) for number in match[match.lastindex or 0].split()]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
        intervals = tuple(pair for pair in pairs if pair != (-1, -1))
        if len(numbers) % 2 or any(not 0 <= begin <= end for begin, end in intervals):
            raise InputError(f"{path}, line {at}: {line!r:.60} has no pairs of first and last frame")
        if name in found:
            raise InputError(f"{path}, line {at}: {name} appears twice; remove one")
        found[name] = intervals
    if not found:
        raise InputError(f"{path} holds no annotation")
    return found


def read(asked: Asked) -> Found:
    """Read the intervals of each video by its name, counted from 1, both ends included. XD-Violence lists no normal videos."""
    known = read_annotations(asked.path)
    whose, notes = by_name(asked, known, "a line that begins with its name", of_normal=False)
    values, told = np.zeros(len(asked.index), bool), list(notes)
    for clip, name in whose.items():
        intervals = [(max(begin, 1), end) for begin, end in known[name]]
        found = fit_intervals(asked, clip, intervals, f"{asked.path}, {name}")
        values[clip.span] = found.values
        told += found.notes
    return Found(values, tuple(told))
