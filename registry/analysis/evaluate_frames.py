"""Which frames there are, where labels do not name each one: those of the scores, and of labels that say how long a video is."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import FrameIndex
from vad.data.labels import annotations, arrays, interval_table, intervals, mask_images, tracks
from vad.data.labels.base import Asked, Form, by_name, without_ending
from vad.data.scores import VideoScores
from vad.errors import InputError
from vad.images.digest_cache import DigestCache
from vad.measures.alignment import Spacing

Scored = Mapping[str, NDArray[np.int64]]  # the numbers of each video's scored frames
Counts = Mapping[str, int]  # how many labels each of them has, where labels say how long a video is
Answer = tuple[dict[str, Iterable[int]], int | None, str]
_INTERVALS: tuple[Form, ...] = (intervals, annotations)  # counted from the first frame of a video
_NO_END = "the labels do not say how long a video is, so each ends with its last score"
_BY_NUMBER = (
    "the labels number frames, and the first score of a video is taken for frame {0} (if for {1}: --first-frame {1})"
)
_FROM_ONE = "the scores have no frame 0, so frames are taken to be numbered from 1 (if from 0: --first-frame 0)"


def scored_frames(given: Sequence[VideoScores], spacing: Spacing) -> FrameIndex | None:
    """Return the frames of the scores: by their numbers, else from 0 to the last that is scored; None where no video is named."""
    if any(part.name is None for part in given):
        return None
    frames: dict[str, Iterable[int]] = {}
    for part in given:
        count, every = len(part.values), spacing.every
        last = max((spacing.offset or 0) + every * (count - 1) + 1, every * count)
        frames[str(part.name)] = range(last) if part.frames is None else part.frames.tolist()
    return _index(frames)


def frames_of(
    place: Path,
    form: Form,
    given: Sequence[VideoScores],
    index: FrameIndex | None,
    first_frame: int | None,
    memory: DigestCache,
) -> tuple[FrameIndex, int | None, str]:
    """Return the frames that labels of this form are read for, the number of a video's first one, and what is not certain.

    `index` holds the scored frames. Raises InputError where it is not clear which frames these are.
    """
    lengths = arrays.lengths(place) if form is arrays else mask_images.lengths(place) if form is mask_images else {}
    if index is None and lengths:
        return _index({without_ending(name): range(count) for name, count in lengths.items()}), first_frame, ""
    if index is None:
        why = f"neither the scores nor {place} say where a video begins"
        raise InputError(
            f"{why}; give --data FOLDER, the data set, or scores with one array a video (.npz by name, or a folder)"
        )
    scored = {name: index.frame[span] for name, span in zip(index.titles, index.spans, strict=True)}
    whose = _matched(Asked(place, index, memory), lengths)
    counts = {name: lengths[theirs] for name, theirs in whose.items()}
    if given[0].frames is None:
        frames, first_frame, note = _counted(place, form, scored, counts, first_frame)
    elif lengths or form in _INTERVALS:  # what labels count from the first frame of a video
        frames, first_frame, note = _numbered(place, scored, counts, first_frame)
    else:
        frames, note = {name: numbers.tolist() for name, numbers in scored.items()}, ""
    if form is arrays and whose:  # those without a score are missing ones
        first = first_frame or 0
        unscored = lengths.keys() - whose.values()
        frames |= {without_ending(name): range(first, first + lengths[name]) for name in unscored}
    return _index(frames), first_frame, note


def _counted(place: Path, form: Form, scored: Scored, counts: Counts, first_frame: int | None) -> Answer:
    """The frames of scores that are lists, and come counted from 0."""
    boxes = form is tracks and tracks.of_boxes(place)  # those of published frames, which are numbered from 1
    if boxes or form is interval_table:
        first = int(boxes) if first_frame is None else first_frame
        frames = {name: (numbers + first).tolist() for name, numbers in scored.items()}
        return frames, None, f"{_BY_NUMBER.format(first, 1 - first)}; {_NO_END}"
    frames = {name: range(counts[name]) if name in counts else numbers.tolist() for name, numbers in scored.items()}
    return frames, first_frame, "" if counts or form is arrays else _NO_END


def _numbered(place: Path, scored: Scored, counts: Counts, first_frame: int | None) -> Answer:
    """The frames of scores that name each by its number, for labels that count from a video's first."""
    frames: dict[str, Iterable[int]] = {name: numbers.tolist() for name, numbers in scored.items()}
    if all(counts.get(name) == len(numbers) for name, numbers in scored.items()):
        return frames, first_frame, ""
    first = _first(place, scored, counts) if first_frame is None else first_frame
    for name, count in counts.items():
        frames[name] = np.union1d(scored[name], np.arange(first, first + count)).tolist()
    return frames, first, _FROM_ONE if first_frame is None and not counts and first == 1 else ""


def _matched(asked: Asked, lengths: Mapping[str, int]) -> dict[str, str]:
    """The name that each scored video has in the labels."""
    with suppress(InputError):  # `read_labels` says what is wrong
        return {clip.title: name for clip, name in by_name(asked, lengths, "", of_normal=False)[0].items()}
    return {}


def _first(place: Path, scored: Scored, counts: Counts) -> int:
    """The number of a whole video's first frame. Raises InputError where its end does not tell, either."""
    begins = [int(numbers[0]) for numbers in scored.values()]
    least, windows = min(begins), len(begins) > 1 and len(set(begins)) == 1 and begins[0] > 1  # all lack as many
    beyond = [int(scored[name][-1]) - count for name, count in counts.items()]  # -1 of the last frame, counted from 0
    if least == 0 or (least > 1 and beyond and max(beyond) == -1):
        return 0
    if 0 in beyond or not (beyond or windows):
        return 1
    why = f"the scores begin at frame {least}, so it is not clear which frame the first label in {place} belongs to"
    raise InputError(f"{why}; give --first-frame 0 or --first-frame 1, or the data set, --data FOLDER")


def _index(frames: Mapping[str, Iterable[int]]) -> FrameIndex:
    titles, numbers = zip(*((name, number) for name, of in frames.items() for number in of), strict=True)
    return FrameIndex.named(titles, numbers)[0]
