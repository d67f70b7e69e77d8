"""Folders on disk to a FrameSet: videos as folders of frames (`training_videos/01/frame_00700.jpg`) or movies (`01.avi`)."""

import hashlib
import os
import re
import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal

from vad.data.frameset import FrameSet, Split, Video
from vad.errors import InputError
from vad.images.decode import count_movie_frames
from vad.images.digest_cache import DigestCache, Size, image_size, movie_size
from vad.system.files import names_in

TRAIN, TEST = "training_videos", "testing_videos"
# The names of the two halves, in any case. Of several pairs in a folder the first here counts.
_HALVES = ((TRAIN, TEST), ("training", "testing"), ("train", "test"))
_OTHER_HALF = dict(_HALVES) | {test: train for train, test in _HALVES}
IMAGES = ("jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp")
MOVIES = ("avi", "mp4", "mov", "mkv", "webm", "m4v", "mpg", "ts")
DIGITS = 9  # as in a predictions file; zeros in front do not count
_FRAME = re.compile(rf"(?:.*\D)?0*(\d{{1,{DIGITS}}})\.(?:{'|'.join(IMAGES)})", re.IGNORECASE)
_VIDEO = re.compile(r"(\d+)(?:\.(.*))?", re.ASCII)
# What Windows, network disks and archives made on a Mac leave everywhere, beside all that begins with a dot.
_LITTER = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "lost+found"}
_FEW = 3


def read_frameset(root: Path, memory_folder: Path, name: str | None = None, *, strict: bool = True) -> FrameSet:
    """Find and index the videos below `root`; digests and counts are kept in `memory_folder`. Raises InputError.

    Raises InputError where there is no data set or several, and for what is wrong in one. Without `strict`, what is wrong
    goes to `faults` where others can be read, digests are empty in a video with an unreadable file, and a movie that cannot be decoded has no frames.
    """
    train_folder, test_folder = find_halves(root)
    home = train_folder.parent
    memory = DigestCache(memory_folder / f"{hashlib.sha256(str(home).encode()).hexdigest()[:16]}.json")
    reading = _Reading(memory, strict)
    train, test = reading.split("train", train_folder), reading.split("test", test_folder)
    reading.compare_sizes()
    reading.compare_halves(train, test)
    memory.save()
    notes, faults = tuple(reading.notes), tuple(reading.faults)
    return FrameSet(name or root.resolve().name, root, train, test, notes=notes, faults=faults, home=home)


def find_halves(root: Path) -> tuple[Path, Path]:
    """Return the folders of train and test videos at or below `root`. Raises InputError where there are none, or several pairs."""
    if not os.path.isdir(root):  # False, too, for what can be no path
        fault = "is a file" if os.path.exists(root) else "does not exist"
        raise InputError(f"DATA={root} {fault}; give the folder that contains {TRAIN}/ and {TEST}/")
    pairs: dict[int, list[tuple[Path, Path]]] = {}  # by their rank in _HALVES
    halves, closed = list[Path](), list[OSError]()
    for folder, children, _ in os.walk(root, onerror=closed.append):
        here = {child.casefold(): Path(folder, child) for child in children if child.casefold() in _OTHER_HALF}
        whole = [(rank, *names) for rank, names in enumerate(_HALVES) if here.keys() >= set(names)]
        for rank, train, test in whole[:1]:
            pairs.setdefault(rank, []).append((here[train], here[test]))
        halves += [] if whole else here.values()
        children[:] = sorted(child for child in children if child.casefold() not in here and not is_litter(child))
    if pairs:
        found = pairs[min(pairs)]
        if len(found) == 1:
            return found[0]
        places = ", ".join(str(train.parent) for train, _ in found)
        raise InputError(f"DATA={root} holds {len(found)} data sets ({places}); name one of them")
    if halves:
        missing = _OTHER_HALF[halves[0].name.casefold()]
        raise InputError(f"DATA={root}: beside {halves[0]} there must be a folder {missing}/, and there is none")
    if closed:
        raise InputError(f"cannot read {closed[0].filename}: {closed[0].strerror}")
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not is_litter(path.name)]
    held = _some([f"{path.name}/" for path in folders]) or "no folder"
    if root.resolve().name.casefold() in _OTHER_HALF:
        held += f"; it is one half itself: give the folder above it, DATA={shlex.quote(str(root.resolve().parent))}"
    elif folders:
        held += f"; call the one of normal footage {TRAIN}/ and the one of test footage {TEST}/"
    pairs_of = ", ".join(f"{train}/ and {test}/" for train, test in _HALVES)
    raise InputError(f"DATA={root} must contain {pairs_of}, at any depth; it holds {held}")


def is_litter(name: str) -> bool:
    """Whether a file or folder is one that systems leave behind, or hidden; nobody means it as data."""
    return name.startswith(".") or name.casefold() in _LITTER


class _Reading:
    """One pass over a data set's folders."""

    def __init__(self, memory: DigestCache, strict: bool):
        self._memory = memory
        self._strict = strict
        self._sizes: dict[Size, list[Path]] = {}
        self.notes: list[str] = []
        self.faults: list[str] = []

    def split(self, name: Literal["train", "test"], folder: Path) -> Split:
        videos: dict[int, tuple[Path, Video]] = {}
        others: dict[str, str] = {}  # what is no video, and the number that it is named by
        for file in names_in(folder):
            path, named = folder / file, _VIDEO.fullmatch(file.strip())
            digits, ending = named.groups() if named else ("", None)
            folders = ending is None and path.is_dir()
            if is_litter(file):
                continue
            if not named or not (folders or (ending or "").lower() in MOVIES):
                others[file] = digits.lstrip("0") or digits[:1]
            elif len(digits.lstrip("0")) > DIGITS:
                self._fault(f"{path}: a video's number has {DIGITS} digits at most; rename it")
            else:
                video = self._images(path, int(digits)) if folders else self._movie(path, int(digits))
                if video and (known := videos.setdefault(video.id, (path, video))[0]) != path:
                    self._fault(f"{folder} holds video {video.id} twice: {path} and {known}")
        form = f"a video is a folder of frames whose name is a number, such as 01, or a movie such as 01.avi ({', '.join(MOVIES)})"
        lost = [file for file, number in others.items() if number and int(number) not in videos]
        if lost:
            self._fault(f"{folder} holds what is named as a video and cannot be read as one: {_some(lost)}; {form}")
        if about := [file for file in others if file not in lost]:
            self.notes.append(f"{folder}: passed over {_some(about)}; {form}")
        if not videos:
            found = f", and found {_some(others)}; rename the videos among them, as in 01" if others else ""
            expected = (
                f"{folder} holds no frames; expected NN/frame_XXXXX.jpg or NN.avi in it, where NN is a number{found}"
            )
            raise InputError("\n".join(self.faults) or expected)
        return Split(name, tuple(videos[key][1] for key in sorted(videos)))

    def compare_sizes(self) -> None:
        """Tell of videos of several sizes, by their first frames: all frames are squeezed into one square."""
        told = [f"{w} x {h} ({_some([str(path) for path in paths])})" for (w, h), paths in self._sizes.items()]
        upright = {path.parent.name for (w, h), paths in self._sizes.items() if w < h for path in paths}
        wide = {path.parent.name for (w, h), paths in self._sizes.items() if w > h for path in paths}
        if upright and wide and upright != wide:  # cameras of both kinds in both halves are no mistake
            mixed = (
                f"some videos are wider than high, others higher than wide, and not in both halves: {', '.join(told)}"
            )
            fix = "turn those that lie on their side (a rotation tag in a file turns nothing here), or leave them out"
            self._fault(f"{mixed}; {fix}")
        elif len(told) > 1:
            sizes = f"videos have frames of {len(told)} sizes"
            self.notes.append(f"{sizes}, all squeezed into one square: {', '.join(told)}")

    def compare_halves(self, train: Split, test: Split) -> None:
        """Tell of test frames that are training frames, byte for byte: their scores say nothing about new footage."""
        trained = {content: video.id for video in train.videos for content in video.contents if content}
        told, total = [], 0
        for video in test.videos:
            sources = [trained[content] for content in video.contents if content in trained]
            if sources:
                count = len(video.numbers) if video.movie else len(sources)
                origin = (
                    "training video"
                    + ("s " if len({*sources}) > 1 else " ")
                    + _some([str(i) for i in sorted({*sources})])
                )
                told.append(f"video {video.id}: {count:,} of {len(video.numbers):,} frames, from {origin}")
                total += count
        if told:
            self.notes.append(
                f"{total:,} of {len(test):,} test frames are byte-for-byte copies of training frames ({_some(told, '; ')}); scores on frames "
                "that a network trained on say nothing about new footage: remove these frames from one half"
            )

    def _movie(self, path: Path, number: int) -> Video:
        try:
            count = int(self._memory.remember("frames", path, count_movie_frames))
        except InputError:
            if self._strict:
                raise
            count = 0
        self._measure(path, path, movie_size)
        return Video(number, tuple(range(count)), None, path, self._digests([path]))

    def _images(self, folder: Path, video: int) -> Video | None:
        frames: dict[int, Path] = {}
        others: list[str] = []
        try:
            files = [file for file in names_in(folder) if not is_litter(file)]
        except InputError as error:
            self._fault(str(error))
            return None
        for file in files:
            if (match := _FRAME.fullmatch(file)) is None:
                others.append(file)
            elif (known := frames.setdefault(int(match[1]), folder / file)) != folder / file:
                self._fault(f"{known} and {folder / file} have one frame number, {int(match[1])}; remove one")
        if not frames:
            self._fault(f"{folder} is named as a video and holds no frame: {_reason(folder, others)}")
            return None
        if others:
            self.notes.append(f"{folder}: passed over: {_reason(folder, others)}")
        numbers = tuple(sorted(frames))
        images = tuple(frames[number] for number in numbers)
        self._measure(images[0], folder, image_size)
        return Video(video, numbers, images, None, self._digests(images))

    def _digests(self, paths: Sequence[Path]) -> tuple[str, ...]:
        try:
            return self._memory.digests(paths)
        except InputError:
            if self._strict:
                raise
            return ("",) * len(paths)

    def _measure(self, first: Path, video: Path, find: Callable[[Path], Size | None]) -> None:
        """Keep the size of a video's first frame; what cannot be read is told of where it is decoded."""
        if os.path.exists(first) and (size := self._memory.remember("size", first, find)):
            self._sizes.setdefault((size[0], size[1]), []).append(video)

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
    reasons = [_some(files)]
    if inner:
        reasons.append("frames must lie in the folder itself, not in one below it")
    if foreign:
        reasons.append(f"{', '.join(foreign)} is no format of frames that is read ({', '.join(IMAGES)})")
    if len(foreign) < len(endings):
        reasons.append(f"a frame's name must end with its number of at most {DIGITS} digits, as frame_00012.jpg")
    return "; ".join(reasons)


def _some(names: Collection[str], separator: str = ", ") -> str:
    shown = separator.join(list(names)[:_FEW])
    return shown if len(names) <= _FEW else f"{shown} and {len(names) - _FEW:,} more"
