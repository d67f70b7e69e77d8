"""Labels as a CSV of intervals, `video,start,end`: a row for each anomaly, in the numbers that the frames have."""

from pathlib import Path

import numpy as np

from vad.data.frame_index import composed, number_of
from vad.data.labels.base import Asked, Found, refuse_first_frame
from vad.data.names import some
from vad.data.tables import read_intervals
from vad.errors import InputError

NAME = "CSV of intervals, both ends included, counted as the frames are numbered"


def takes(path: Path) -> bool:
    """Take a CSV with this header."""
    return not path.is_dir() and read_intervals(path) is not None


def read(asked: Asked) -> Found:
    """Read the intervals of each video. One without a row is normal, which is told."""
    refuse_first_frame(asked)
    clips, named = {clip.title: clip for clip in asked.clips}, set()
    values = np.zeros(len(asked.index), bool)
    for where, (name, *ends) in read_intervals(asked.path) or ():
        number = number_of(name)
        clip = clips.get(composed(name) if number is None else str(number))
        if clip is None:
            raise InputError(f"{where}: there is no test video {name!r:.60}, but {some(clips)}")
        begin, end = (number_of(text) for text in ends)
        first, last = int(clip.numbers[0]), int(clip.numbers[-1])
        if begin is None or end is None or not first <= begin <= end <= last:
            there = f"test video {clip.title}, which has frames {first} to {last}"
            raise InputError(f"{where}: {' to '.join(ends)!r:.60} is no interval of {there}; both ends are included")
        values[clip.span] |= (begin <= clip.numbers) & (clip.numbers <= end)
        named.add(clip.title)
    others = [title for title in clips if title not in named]
    return Found(
        values, (f"{asked.path} has no interval for {some(others)}, so all frames there are normal",) if others else ()
    )
