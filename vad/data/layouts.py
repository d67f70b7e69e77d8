"""Folders on disk to a FrameSet: videos as folders of frames (`training_videos/01/frame_00700.jpg`) or movies (`01.avi`)."""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from vad.data.datasets import detect
from vad.data.datasets.base import TEST, TRAIN, Half, Layout, find_halves
from vad.data.frame_index import DIGITS, composed, natural, number_of, numbered
from vad.data.frameset import FrameSet, Split, Video
from vad.data.names import IMAGES, MOVIES, is_label, is_litter, is_media, is_movie, is_other_movie, some
from vad.errors import InputError
from vad.images.decode import count_movie_frames
from vad.images.digest_cache import DigestCache, Size, image_size, movie_size
from vad.system.files import names_in

__all__ = ["TEST", "TRAIN", "find_halves", "read_frameset"]

_FRAME = re.compile(rf"(?:.*\D)?0*(\d{{1,{DIGITS}}})\.(?:{'|'.join(IMAGES)})", re.IGNORECASE)
_VIDEO = re.compile(r"(\d+)(?:\.(.*))?", re.ASCII)


def read_frameset(root: Path, memory_folder: Path, name: str | None = None, *, strict: bool = True) -> FrameSet:
    """Find and index the videos below `root`; digests and counts are kept in `memory_folder`. Raises InputError.

    Raises InputError where there is no data set or several, and for what is wrong in one. Without `strict`, what is wrong
    goes to `faults` where others can be read, digests are empty in a video with an unreadable file, and a movie that cannot be decoded has no frames.
    """
    layout = detect(root)
    home = layout.home
    memory = DigestCache(memory_folder / f"{hashlib.sha256(str(home).encode()).hexdigest()[:16]}.json")
    reading = _Reading(memory, strict, layout)
    train, test = reading.split("train", layout.train), reading.split("test", layout.test)
    reading.compare_sizes()
    reading.compare_halves(train, test)
    memory.save()
    notes, faults = tuple(reading.notes), tuple(reading.faults)
    return FrameSet(
        name or root.resolve().name,
        root,
        train,
        test,
        notes=notes,
        faults=faults,
        home=home,
        layout=layout.reader,
        own_labels=layout.labels,
    )


class _Reading:
    """One pass over a data set's folders."""

    def __init__(self, memory: DigestCache, strict: bool, layout: Layout):
        self._memory = memory
        self._layout = layout
        self._strict = strict
        self._sizes: dict[Size, list[Path]] = {}
        self.notes: list[str] = list(layout.notes)
        self.faults: list[str] = []

    def split(self, name: Literal["train", "test"], half: Half) -> Split:
        folder = half.folder
        videos: dict[str, tuple[Path, Video]] = {}  # by the name that people know them by
        others: dict[str, str] = {}  # what is no video, and the number that it is named by
        for path in half.only or [folder / file for file in names_in(folder)]:
            file, named = path.name, _VIDEO.fullmatch(path.name.strip())
            digits, ending = named.groups() if named else ("", None)
            movie = ending is None and is_movie(file) if not named else (ending or "").lower() in MOVIES
            folders = ending is None and path.is_dir()
            if is_litter(file) or (not named and is_label(file)):
                continue
            if not (folders or movie):
                others[file] = digits.lstrip("0") or digits[:1]
            elif len(digits.lstrip("0")) > DIGITS:
                self._fault(f"{path}: a video's number has {DIGITS} digits at most; rename it")
            else:
                title = str(int(digits)) if named else composed(file if folders else path.stem).strip()
                if not title.isprintable():
                    self._fault(f"{str(path)!r}: a video's name must have no line breaks and the like; rename it")
                    continue
                video = self._images(path, named is None) if folders else self._movie(path)
                if video is None and not named:
                    others[file] = ""
                if video and (known := videos.setdefault(title, (path, video))[0]) != path:
                    self._fault(f"{folder} holds video {title} twice: {path} and {known}")
        form = f"a video is a folder of frames, such as 01, or a movie such as 01.avi ({', '.join(MOVIES)})"
        lost = [file for file, number in others.items() if (number and number not in videos) or is_other_movie(file)]
        if lost:
            self._fault(f"{folder} holds what is named as a video and cannot be read as one: {some(lost)}; {form}")
        if about := [file for file in others if file not in lost]:
            self.notes.append(f"{folder}: passed over {some(about)}; {form}")
        if not videos:
            found = f"; found {some(others)}" if others else ""
            expected = f"{folder} holds no frames; expected NAME/frame_XXXXX.jpg or NAME.avi in it{found}"
            raise InputError("\n".join(self.faults) or expected)
        ids, scene = numbered(videos), self._layout.scene
        whole = {
            id: replace(videos[title][1], id=id, name="" if number_of(title) is not None else title, scene=scene(title))
            for title, id in ids.items()
        }
        return Split(name, tuple(whole[id] for id in sorted(whole)))

    def compare_sizes(self) -> None:
        """Tell of videos of several sizes, by their first frames: all frames are resized to one."""
        told = [f"{w} x {h} ({some([str(path) for path in paths])})" for (w, h), paths in self._sizes.items()]
        upright = {path.parent.name for (w, h), paths in self._sizes.items() if w < h for path in paths}
        wide = {path.parent.name for (w, h), paths in self._sizes.items() if w > h for path in paths}
        if upright and wide and upright != wide:  # cameras of both kinds in both halves are no mistake
            mixed = (
                f"some videos are wider than high, others higher than wide, and not in both halves: {', '.join(told)}"
            )
            fix = (
                "turn those that lie on their side (a rotation tag turns a movie here, but no image), or leave them out"
            )
            self._fault(f"{mixed}; {fix}")
        elif len(told) > 1:
            sizes = f"videos have frames of {len(told)} sizes"
            self.notes.append(f"{sizes}, all resized to one: {', '.join(told)}")

    def compare_halves(self, train: Split, test: Split) -> None:
        """Tell of test frames that are training frames, byte for byte: their scores say nothing about new footage."""
        trained = {content: video.title for video in train.videos for content in video.contents if content}
        told, total = [], 0
        for video in test.videos:
            sources = [trained[content] for content in video.contents if content in trained]
            if sources:
                count = len(video.numbers) if video.movie else len(sources)
                origin = (
                    "training video" + ("s " if len({*sources}) > 1 else " ") + some(sorted({*sources}, key=natural))
                )
                told.append(f"video {video.title}: {count:,} of {len(video.numbers):,} frames, from {origin}")
                total += count
        if told:
            self.notes.append(
                f"{total:,} of {len(test):,} test frames are byte-for-byte copies of training frames ({some(told, '; ')}); scores on frames "
                "that a network trained on say nothing about new footage: remove these frames from one half"
            )

    def _movie(self, path: Path) -> Video:
        try:
            count = int(self._memory.remember("frames", path, count_movie_frames))
        except InputError:
            if self._strict:
                raise
            count = 0
        size = self._measure(path, path, movie_size)
        return Video(0, tuple(range(count)), None, path, self._digests([path]), size=size)

    def _images(self, folder: Path, named: bool) -> Video | None:
        """Return the video of a folder. One without frames is a fault; with a name and no image or movie it is passed over."""
        frames: dict[int, Path] = {}
        others: list[str] = []
        try:
            files = [file for file in names_in(folder) if not is_litter(file) and not is_label(file)]
        except InputError as error:
            self._fault(str(error))
            return None
        for file in files:
            if (match := _FRAME.fullmatch(file)) is None:
                others.append(file)
            elif (known := frames.setdefault(int(match[1]), folder / file)) != folder / file:
                self._fault(f"{known} and {folder / file} have one frame number, {int(match[1])}; remove one")
        if not frames and named:
            if any(map(is_media, others)):
                fix = "mend that, or move the folder elsewhere"
                self._fault(f"{folder} holds no frame that is read: {_reason(folder, others)}; {fix}")
            return None
        if not frames:
            self._fault(f"{folder} is named as a video and holds no frame: {_reason(folder, others)}")
            return None
        if others:
            self.notes.append(f"{folder}: passed over: {_reason(folder, others)}")
        numbers = tuple(sorted(frames))
        images = tuple(frames[number] for number in numbers)
        if (names := [path.name for path in images]) != (by_name := sorted(names, key=natural)):
            at = next(at for at, name in enumerate(names) if name != by_name[at])
            order = f"the number at the end of a name orders frames: {names[at]} is frame {numbers[at]}"
            self.notes.append(
                f"{folder}: {order}; by whole names {by_name[at]} would stand there: rename them if that is right"
            )
        size = self._measure(images[0], folder, image_size)
        return Video(0, numbers, images, None, self._digests(images), size=size)

    def _digests(self, paths: Sequence[Path]) -> tuple[str, ...]:
        try:
            return self._memory.digests(paths)
        except InputError:
            if self._strict:
                raise
            return ("",) * len(paths)

    def _measure(self, first: Path, video: Path, find: Callable[[Path], Size | None]) -> Size | None:
        """Keep and return the size of a video's first frame; what cannot be read is told of where it is decoded."""
        if os.path.exists(first) and (size := self._memory.remember("size", first, find)):
            self._sizes.setdefault((size[0], size[1]), []).append(video)
            return size[0], size[1]
        return None

    def _fault(self, message: str) -> None:
        if self._strict:
            raise InputError(message)
        self.faults.append(message)


def _reason(folder: Path, files: Collection[str]) -> str:
    """What these files of a video's folder are, and why no frames are read from them."""
    if not files:
        return "it is empty; restore its frames, or remove it"
    inner = [file for file in files if (folder / file).is_dir()]
    endings = {os.path.splitext(file)[1].lower() for file in files if file not in inner}
    foreign = sorted(ending or "a name without ending" for ending in endings if ending[1:] not in IMAGES)
    reasons = [some(files)]
    if inner:
        reasons.append("frames must lie in the folder itself, not in one below it")
    if foreign:
        reasons.append(f"{', '.join(foreign)} is not a readable image format ({', '.join(IMAGES)})")
    if len(foreign) < len(endings):
        reasons.append(f"a frame's name must end with its number of at most {DIGITS} digits, as frame_00012.jpg")
    return "; ".join(reasons)
