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
from vad.frames.digests import Memory
from vad.frames.frameset import FrameSet, Split, Video

TRAIN, TEST = "training_videos", "testing_videos"
_IMAGE = re.compile(r"(?:.*\D)?(\d{1,9})\.(?:jpe?g|png)", re.IGNORECASE)
_MOVIE = re.compile(r"(\d{1,9})\.(?:avi|mp4)", re.IGNORECASE)


def read_frameset(root: Path, memory_folder: Path, name: str | None = None) -> FrameSet:
    """Find and index the videos below `root`; what was learnt of the files is kept in `memory_folder`.

    Raises InputError where the folder does not exist, has no data set or several, lacks one of its
    two halves, has no frames, holds two files with one frame number, or has an unreadable file.
    """
    home = find_videos(root)
    memory = Memory(memory_folder / f"{hashlib.sha256(str(home).encode()).hexdigest()[:16]}.json")
    train, notes = _read_split("train", home / TRAIN, memory)
    test, more = _read_split("test", home / TEST, memory)
    memory.save()
    return FrameSet(name or root.resolve().name, root, train, test, notes=(*notes, *more))


def find_videos(root: Path) -> Path:
    """The folder at or below `root` that holds both halves of a data set."""
    if not root.exists():
        raise InputError(f"DATA={root} does not exist; give a folder that contains {TRAIN}/ and {TEST}/")
    if not root.is_dir():
        raise InputError(f"DATA={root} is a file; give the folder that contains {TRAIN}/ and {TEST}/")
    whole, halves = [], []
    for folder, children, _ in os.walk(root):
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
    raise InputError(f"DATA={root} contains no {TRAIN}/ and {TEST}/ at any depth")


def _read_split(name: Literal["train", "test"], folder: Path, memory: Memory) -> tuple[Split, list[str]]:
    videos: dict[int, Video] = {}
    notes = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and path.name.isascii() and path.name.isdigit():
            video = _read_images(path, memory, notes)
        elif match := _MOVIE.fullmatch(path.name):
            count = memory.movie_frames(path)
            video = Video(int(match[1]), tuple(range(count)), None, path, memory.digests([path]))
        else:
            notes.append(f"{path} was passed over: it is neither a numbered folder nor a numbered .avi")
            continue
        if video is None:
            continue
        if video.id in videos:
            raise InputError(f"{folder} holds video {video.id} twice: {path} and {_place(videos[video.id])}")
        videos[video.id] = video
    if not videos:
        raise InputError(f"{folder} holds no frames; expected NN/frame_XXXXX.jpg or NN.avi in it")
    return Split(name, tuple(videos[key] for key in sorted(videos))), notes


def _read_images(folder: Path, memory: Memory, notes: list[str]) -> Video | None:
    frames: dict[int, Path] = {}
    with os.scandir(folder) as entries:
        files = sorted(entry.name for entry in entries)
    for file in files:
        match = _IMAGE.fullmatch(file)
        if match is None:
            if not file.startswith("."):
                notes.append(f"{folder / file} was passed over: its name is not frame_NNNNN.jpg")
            continue
        number = int(match[1])
        if number in frames:
            raise InputError(f"{frames[number]} and {folder / file} have one frame number, {number}; remove one")
        frames[number] = folder / file
    if not frames:
        notes.append(f"{folder} is empty: it holds no frame_NNNNN.jpg")
        return None
    numbers = tuple(sorted(frames))
    images = tuple(frames[number] for number in numbers)
    return Video(int(folder.name), numbers, images, None, memory.digests(images))


def _place(video: Video) -> Path:
    return video.movie if video.images is None and video.movie else video.images[0].parent  # type: ignore[index]
