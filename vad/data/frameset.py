"""A data set as this project sees it: ordered frames of train and test videos, and labels if there are any."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from vad.data.frame_index import Flags, FrameIndex


@dataclass(frozen=True)
class Video:
    """One video: its frame numbers, ascending; an image file for each, or one movie; the SHA-256 of each image or the movie.

    `name` is that of its folder or movie, empty where that is its number; `scene` is the camera, where the data set says it.
    """

    id: int
    numbers: tuple[int, ...]
    images: tuple[Path, ...] | None
    movie: Path | None
    contents: tuple[str, ...]
    name: str = ""
    scene: str = ""
    size: tuple[int, int] | None = None  # width and height of the first frame

    @property
    def title(self) -> str:
        """The name by which people know it."""
        return self.name or str(self.id)


@dataclass(frozen=True)
class Split:
    """The train or the test videos, in ascending order of id."""

    name: Literal["train", "test"]
    videos: tuple[Video, ...]

    @cached_property
    def index(self) -> FrameIndex:
        video = np.repeat(np.array([v.id for v in self.videos], np.int64), [len(v.numbers) for v in self.videos])
        frame = np.concatenate([np.asarray(v.numbers, np.int64) for v in self.videos])
        return FrameIndex(video, frame, {v.id: v.name for v in self.videos if v.name})

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, frame numbers and contents: the same frames anywhere have the same digest."""
        digest = hashlib.sha256()
        for video in self.videos:
            known_by = repr(video.name) if video.name else video.id
            digest.update(f"video {known_by} {video.numbers}\n".encode())
            digest.update("".join(video.contents).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.index)

    def slice(self, keep: dict[int, slice]) -> "Split":
        """The same videos with only the frames at the given positions; a video left empty is dropped."""
        videos = []
        for video in self.videos:
            part = keep.get(video.id, slice(None))
            if numbers := video.numbers[part]:
                images = video.images and video.images[part]
                contents = video.contents[part] if images else video.contents
                videos.append(replace(video, numbers=numbers, images=images, contents=contents))
        return Split(self.name, tuple(videos))


@dataclass(frozen=True)
class Labels:
    """Whether each test frame is anomalous, bool of shape (N,); `first_frame` is that of the first mask, where it was said.

    `form` is what they were read as.
    """

    values: Flags
    source: str
    first_frame: int | None = None
    notes: tuple[str, ...] = ()
    form: str = ""

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(np.packbits(self.values).tobytes() + str(len(self.values)).encode()).hexdigest()


@dataclass(frozen=True)
class FrameSet:
    """A data set: the folder that was named, its two splits, and the labels of its test frames where known."""

    name: str
    root: Path
    train: Split
    test: Split
    labels: Labels | None = None
    notes: tuple[str, ...] = ()  # on what was passed over
    faults: tuple[str, ...] = ()  # what a strict reading refuses
    home: Path | None = None  # the folder of the two halves
    layout: str = ""  # as what it was recognised
    own_labels: Path | None = None  # those that belong to its layout

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.train.digest} {self.test.digest}".encode()).hexdigest()
