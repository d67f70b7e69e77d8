"""Labels as tracks: Street Scene's `Test001_gt.txt` (a box a line), UBnormal's `*_tracks.txt` (track, first and last frame)."""

import math
from pathlib import Path

import numpy as np

from vad.data.labels.base import OTHER_SET, Asked, Clip, Found, by_name, refuse_first_frame
from vad.data.names import is_litter
from vad.data.numbers import plain_number, read_rows
from vad.errors import InputError
from vad.system.files import lines_of, names_in

NAME = "tracks"
_BOXES, _TRACKS = "_gt.txt", "_tracks.txt"


def takes(path: Path) -> bool:
    """Take a folder in which such lists lie, at most two folders deep."""
    return path.is_dir() and bool(lists_in(path))


def read(asked: Asked) -> Found:
    """Read which frames a box or a track lies in. A video that is called `normal_` needs no list."""
    refuse_first_frame(asked)
    lists = lists_in(asked.path)
    whose, notes = by_name(asked, lists, f"NAME{_BOXES} or NAME{_TRACKS}", of_normal=False)
    values = np.zeros(len(asked.index), bool)
    # Beside UBnormal's test videos lie those for validation.
    told = list(notes) if any(map(is_boxes, lists.values())) else []
    for clip, name in whose.items():
        path = lists[name]
        frames = _frames_of_boxes(path) if is_boxes(path) else _frames_of_tracks(path)
        values[clip.span] = np.isin(clip.numbers, frames)
        told += _beyond(clip, path, frames)
    return Found(values, tuple(told))


def of_boxes(path: Path) -> bool:
    """Whether these are lists of boxes, which name each frame by its number."""
    return any(map(is_boxes, lists_in(path).values()))


def is_boxes(path: Path) -> bool:
    """Whether a file is called as Street Scene's lists are."""
    return path.name.casefold().endswith(_BOXES)


def _beyond(clip: Clip, path: Path, frames: list[int]) -> list[str]:
    """A note on labels behind a video's end. Raises InputError for more than a few."""
    last, most = int(clip.numbers[-1]), max(frames, default=0)
    if most <= last:
        return []
    note = f"{path} labels frame {most}, but test video {clip.title} ends at {last}"
    if most > last + 1:
        raise InputError(f"{note}; {OTHER_SET}")
    return [f"{note}; are they shifted by one?"]


def lists_in(folder: Path) -> dict[str, Path]:
    """The lists below a folder by the name of their video."""
    found: dict[str, Path] = {}
    waiting = [(folder, 0)]
    while waiting:
        here, depth = waiting.pop()
        for name in names_in(here):
            path = here / name
            ending = next((e for e in (_BOXES, _TRACKS) if name.casefold().endswith(e)), None)
            if is_litter(name):
                continue
            if ending:
                found[name[: -len(ending)]] = path
            elif depth < 2 and "." not in name and path.is_dir():
                waiting.append((path, depth + 1))
    return found


def read_boxes(path: Path) -> list[list[float]]:
    """Read boxes with their tracks as rows: track, frame, left, top, right, bottom. Raises InputError."""
    rows = []
    for (at, line), number in zip(lines_of(path), _frames_of_boxes(path), strict=True):
        cells = [plain_number(cell) for cell in line.replace(",", " ").split()[1:]]
        row = [cell for cell in cells if cell is not None and math.isfinite(cell)]
        if not len(row) == len(cells) == 5 or min(row[3:]) <= 0:
            raise InputError(f"{path}, line {at}: {line!r:.60} is no box; a line is `012.jpg track x y w h`")
        track, left, top, width, height = row
        rows.append([track, number, left, top, left + width, top + height])
    return rows


def _frames_of_boxes(path: Path) -> list[int]:
    """The numbers of the frames of boxes: a line is `Test001/012.jpg track x y w h`, or begins with the frame's number."""
    frames = []
    for at, line in lines_of(path):
        cells = line.replace(",", " ").split()
        name = Path(cells[0].replace("\\", "/")).stem
        digits = name[len(name.rstrip("0123456789")) :]
        if not digits or len(cells) < 2:
            raise InputError(f"{path}, line {at}: {line!r:.60} is no box; a line is `012.jpg track x y w h`")
        frames.append(int(digits))
    return frames


def _frames_of_tracks(path: Path) -> list[int]:
    """The frames of tracks, counted from 0: a line is `track, first, last`, the last included."""
    rows = read_rows(path, "track, first, last", _is_track)
    return [frame for _, first, last in rows for frame in range(int(first), int(last) + 1)]


def _is_track(track: float, first: float, last: float) -> bool:
    return 0 <= first <= last <= 10**7 and not (first % 1 or last % 1)
