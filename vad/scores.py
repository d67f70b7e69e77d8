"""Frame scores: one number a frame, grouped by video, and the CSV files that carry them."""

import csv
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vad.errors import InputError
from vad.files import replacing, require_plain

Values = NDArray[np.float64]
_ID = re.compile(r"(0|[1-9]\d{0,8})_(0|[1-9]\d{0,8})")


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Which frames, in order: video ids and frame numbers, both int64 of shape (N,), sorted by (video, frame)."""

    video: NDArray[np.int64]
    frame: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.video)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, FrameIndex)
            and np.array_equal(self.video, other.video)
            and np.array_equal(self.frame, other.frame)
        )

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """One slice a video: where its frames lie. What is temporal works within a span, never across two."""
        starts = np.flatnonzero(np.diff(self.video, prepend=-1))
        return tuple(slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], len(self)], strict=True))

    @cached_property
    def ids(self) -> list[str]:
        """`{video}_{frame}` without zero padding, the competition's way to name a frame."""
        return [f"{video}_{frame}" for video, frame in zip(self.video, self.frame, strict=True)]

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(np.stack([self.video, self.frame]).tobytes()).hexdigest()

    @classmethod
    def sorted(cls, video: Sequence[int], frame: Sequence[int]) -> tuple["FrameIndex", NDArray[np.intp]]:
        """The index of these frames in order, and the permutation that sorts them."""
        order = np.lexsort((np.asarray(frame), np.asarray(video)))
        return cls(np.asarray(video, np.int64)[order], np.asarray(frame, np.int64)[order]), order


def read_table(path: Path, column: str) -> tuple[FrameIndex, Values]:
    """Read a CSV with the header `Id,<column>`: its frames in order and their numbers.

    Raises InputError that names the file and the line for: no such file, another header, an id that
    is not `{video}_{frame}`, a duplicate id, a number that is not finite, no rows.
    """
    videos: list[int] = []
    frames: list[int] = []
    numbers: list[float] = []
    lines: dict[str, int] = {}
    try:
        require_plain(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if header != ["Id", column]:
                raise InputError(f"{path}: the header is {','.join(header)!r:.60}, but must be 'Id,{column}'")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if not row:
                    continue
                if len(row) != 2:
                    raise InputError(f"{where}: {len(row)} columns, but there must be two, Id and {column}")
                if not (match := _ID.fullmatch(row[0])):
                    raise InputError(
                        f"{where}: {row[0]!r:.60} is no frame id; write video_frame without zeros in front"
                    )
                if row[0] in lines:
                    raise InputError(f"{where}: {row[0]} is there twice; the first is in line {lines[row[0]]}")
                lines[row[0]] = rows.line_num
                videos.append(int(match[1]))
                frames.append(int(match[2]))
                numbers.append(_finite(row[1], where, column))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text file (UTF-8); give a CSV with the header Id,{column}") from None
    except csv.Error as error:
        raise InputError(f"{path} is no CSV text file: {error}") from None
    if not numbers:
        raise InputError(f"{path} has no rows below its header")
    index, order = FrameIndex.sorted(videos, frames)
    return index, np.asarray(numbers, np.float64)[order]


def _finite(text: str, where: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise InputError(f"{where}: {column} is {text!r:.60}, which is no number") from None
    if not math.isfinite(number):
        raise InputError(f"{where}: {column} is {text!r:.60}; it must be finite")
    return number


def read_scores(path: Path, expected: FrameIndex | None = None) -> tuple[FrameIndex, Values]:
    """Read a predictions file (`Id,Predicted`). With `expected`, its frames must be exactly those."""
    index, values = read_table(path, "Predicted")
    if expected is not None:
        require_same_frames(index, expected, str(path), "the test frames")
    return index, values


def require_same_frames(given: FrameIndex, expected: FrameIndex, source: str, what: str) -> None:
    """Raise InputError unless `given` has exactly the frames of `expected`."""
    if given == expected:
        return
    have, want = set(given.ids), set(expected.ids)
    missing = [name for name in expected.ids if name not in have]
    extra = [name for name in given.ids if name not in want]
    parts = [
        f"{len(names)} {word} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for names, word in ((missing, "missing"), (extra, "too many"))
        if names
    ]
    raise InputError(f"{source} does not fit {what}: {' and '.join(parts)} of {len(expected)} frames")


def write_scores(path: Path, index: FrameIndex, values: Values) -> None:
    """Write `Id,Predicted`, sorted by (video, frame), with every digit, whole or not at all.

    Raises InputError where a score is not finite or the file cannot be written.
    """
    if not np.isfinite(values).all():
        culprit = index.ids[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise InputError(f"the score of frame {culprit} is not finite; nothing was written to {path}")
    with replacing(path) as temporary:
        rows = [f"{name},{value!r}\n" for name, value in zip(index.ids, values.tolist(), strict=True)]
        temporary.write_text("Id,Predicted\n" + "".join(rows), encoding="utf-8")
