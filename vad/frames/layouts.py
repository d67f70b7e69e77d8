"""Folders on disk to a FrameSet. Every layout ends here; nothing below knows where frames came from.

Known: the competition's (`training_videos/01/frame_00700.jpg`), and CUHK Avenue as its authors
publish it (`training_videos/01.avi`), each at any depth below the folder that was named.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import Literal

from vad.errors import InputError
from vad.files import names_in
from vad.frames.digests import Memory
from vad.frames.frameset import FrameSet, Split, Video

TRAIN, TEST = "training_videos", "testing_videos"
_IMAGE = re.compile(r"(?:.*\D)?(\d{1,9})\.(?:jpe?g|png)", re.IGNORECASE)
_MOVIE = re.compile(r"(\d{1,9})\.(?:avi|mp4)", re.IGNORECASE)


def read_frameset(root: Path, memory_folder: Path, name: str | None = None, *, strict: bool = True) -> FrameSet:
    """Find and index the videos below `root`; what was learnt of the files is kept in `memory_folder`.

    Raises InputError where the folder does not exist, has no data set or several, lacks one of its
    two halves, has no frames, holds two files with one frame number, or has an unreadable file.

    Without `strict`, to look at data that may be at fault: a number or a video that is there twice
    goes to `faults`, the first counts; images are not opened and all digests of contents are empty;
    a movie that cannot be decoded has no frames.
    """
    home = find_videos(root)
    memory = Memory(memory_folder / f"{hashlib.sha256(str(home).encode()).hexdigest()[:16]}.json")
    reading = _Reading(memory, strict)
    train, test = reading.split("train", home / TRAIN), reading.split("test", home / TEST)
    memory.save()
    return FrameSet(
        name or root.resolve().name, root, train, test, notes=tuple(reading.notes), faults=tuple(reading.faults)
    )


def find_videos(root: Path) -> Path:
    """The folder at or below `root` that holds both halves of a data set."""
    if not os.path.exists(root):  # False, too, for what can be no path
        raise InputError(f"DATA={root} does not exist; give a folder that contains {TRAIN}/ and {TEST}/")
    if not root.is_dir():
        raise InputError(f"DATA={root} is a file; give the folder that contains {TRAIN}/ and {TEST}/")
    whole, halves, closed = [], [], list[OSError]()
    for folder, children, _ in os.walk(root, onerror=closed.append):
        found = [half for half in (TRAIN, TEST) if half in children]
        if len(found) == 2:
            whole.append(Path(folder))
        elif found:
            halves.append(Path(folder) / found[0])
        children[:] = sorted(child for child in children if child not in (TRAIN, TEST) and not child.startswith("."))
    if len(whole) > 1:
        raise InputError(f"DATA={root} holds {len(whole)} data sets ({', '.join(map(str, whole))}); name one of them")
    if whole:
        return whole[0]
    if halves:
        missing = TEST if halves[0].name == TRAIN else TRAIN
        raise InputError(f"DATA={root}: beside {halves[0]} there must be a folder {missing}/, and there is none")
    if closed:
        raise InputError(f"cannot read {closed[0].filename}: {closed[0].strerror}")
    raise InputError(f"DATA={root} contains no {TRAIN}/ and {TEST}/ at any depth")


class _Reading:
    """One pass over a data set's folders."""

    def __init__(self, memory: Memory, strict: bool):
        self._memory = memory
        self._strict = strict
        self.notes: list[str] = []
        self.faults: list[str] = []

    def split(self, name: Literal["train", "test"], folder: Path) -> Split:
        videos: dict[int, Video] = {}
        for path in map(folder.joinpath, names_in(folder)):
            if path.name.startswith("."):
                continue
            if path.is_dir() and path.name.isascii() and path.name.isdigit():
                video = self._images(path)
            elif match := _MOVIE.fullmatch(path.name):
                video = self._movie(path, int(match[1]))
            else:
                self.notes.append(f"{path} was passed over: it is neither a numbered folder nor a numbered .avi")
                continue
            if video is None:
                continue
            if video.id in videos:
                self._fault(f"{folder} holds video {video.id} twice: {path} and {_place(videos[video.id])}")
            else:
                videos[video.id] = video
        if not videos:
            raise InputError(f"{folder} holds no frames; expected NN/frame_XXXXX.jpg or NN.avi in it")
        return Split(name, tuple(videos[key] for key in sorted(videos)))

    def _movie(self, path: Path, number: int) -> Video:
        try:
            count = self._memory.movie_frames(path)
        except InputError:
            if self._strict:
                raise
            count = 0
        contents = self._memory.digests([path]) if self._strict else ("",)
        return Video(number, tuple(range(count)), None, path, contents)

    def _images(self, folder: Path) -> Video | None:
        frames: dict[int, Path] = {}
        try:
            files = names_in(folder)
        except InputError as error:
            self._fault(str(error))
            return None
        for file in files:
            match = _IMAGE.fullmatch(file)
            if match is None:
                if not file.startswith("."):
                    self.notes.append(f"{folder / file} was passed over: its name is not frame_NNNNN.jpg")
                continue
            number = int(match[1])
            if number in frames:
                self._fault(f"{frames[number]} and {folder / file} have one frame number, {number}; remove one")
            else:
                frames[number] = folder / file
        if not frames:
            self.notes.append(f"{folder} is empty: it holds no frame_NNNNN.jpg")
            return None
        numbers = tuple(sorted(frames))
        images = tuple(frames[number] for number in numbers)
        contents = self._memory.digests(images) if self._strict else ("",) * len(images)
        return Video(int(folder.name), numbers, images, None, contents)

    def _fault(self, message: str) -> None:
        if self._strict:
            raise InputError(message)
        self.faults.append(message)


def _place(video: Video) -> Path:
    return video.movie if video.images is None and video.movie else video.images[0].parent  # type: ignore[index]
