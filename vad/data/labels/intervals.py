"""Labels as intervals of frames, counted from 1, both ends included: `<set>.mat` with the cell array `gt`, UCSD's `.m`."""

import re
from pathlib import Path

import numpy as np

from vad.data.labels.base import Asked, Found, by_position, fit_intervals
from vad.data.matlab import interval_lists
from vad.errors import InputError
from vad.system.files import reading

NAME = "intervals counted from 1"
_ENTRY = re.compile(r"gt_frame\s*=\s*\[([^\]]*)\]")
_RANGE = re.compile(r"(\d{1,9})(?:\s*:\s*(\d{1,9}))?")
_BETWEEN = re.compile(r"[\s,;]*")


def takes(path: Path) -> bool:
    """Take MATLAB files and scripts."""
    return path.suffix.lower() in (".mat", ".m") and path.is_file()


def read(asked: Asked) -> Found:
    """Read the intervals of each video: an entry belongs to the video of its number, or all follow the videos' order."""
    path = asked.path
    entries = _script(path) if path.suffix.lower() == ".m" else _matlab(path)
    whose, notes = by_position(asked, len(entries)), list[str]()
    values = np.zeros(len(asked.index), bool)
    for clip, place in whose.items():
        found = fit_intervals(asked, clip, entries[place], f"{path}, entry {place + 1}")
        values[clip.span] = found.values
        notes += found.notes
    if len(entries) == len(whose):
        notes += asked.order
    else:
        notes.append(f"{path}: of {len(entries)} entries {len(whose)} are of test videos, by the number in their names")
    return Found(values, tuple(notes))


def _matlab(path: Path) -> list[list[list[int]]]:
    entries = interval_lists(path)
    if entries is None:
        raise InputError(f"{path} has no variable gt; a cell array is read with 2 x K intervals for each video")
    return entries


def _script(path: Path) -> list[list[list[int]]]:
    """The entries of UCSD's list, as `TestVideoFile{end+1}.gt_frame = [61:180];`."""
    with reading(path):
        text = path.read_text(encoding="utf-8", errors="replace")
    entries: list[list[list[int]]] = []
    for match in _ENTRY.finditer("\n".join(line.partition("%")[0] for line in text.splitlines())):
        if _BETWEEN.fullmatch(_RANGE.sub("", match[1])) is None:
            raise InputError(
                f"{path}, entry {len(entries) + 1}: {match[1]!r:.60} is no list of frames, such as 5:90, 140:200"
            )
        entries.append([[int(begin), int(end or begin)] for begin, end in _RANGE.findall(match[1])])
    if not entries:
        raise InputError(f"{path} has no line such as TestVideoFile{{end+1}}.gt_frame = [61:180];")
    return entries
