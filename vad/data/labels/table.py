"""Labels as a CSV, `Id,Label`: the competition's form, and this project's own."""

from pathlib import Path

from vad.data.frame_index import FrameIndex
from vad.data.labels.base import Asked, Found, refuse_first_frame
from vad.data.tables import read_table, require_same_frames
from vad.errors import InputError

NAME = "CSV, Id and Label"


def takes(path: Path) -> bool:
    """Take any file."""
    return not path.is_dir()


def read(asked: Asked) -> Found:
    """Read a row for each frame, in any order."""
    path, index = asked.path, asked.index
    refuse_first_frame(asked)
    table = read_table(path, "Label")
    there, values = table.index, table.values
    for shift, theirs, ours, fix in ((1, 0, 1, "add 1 to"), (-1, 1, 0, "subtract 1 from")):
        if there != index and FrameIndex(there.video, there.frame + shift, there.names) == index:
            numbered = f"{path} numbers frames from {theirs}, but the test frames are numbered from {ours}"
            raise InputError(f"{numbered}; {fix} its numbers")
    require_same_frames(there, index, str(path), "the test frames")
    return Found(values.astype(bool))
