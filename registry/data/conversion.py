"""What `vad convert` does: any data set written in the competition's form, whole or not at all."""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2

from registry.console import Bar
from registry.data.datasets import Dataset
from vad.data.frameset import Split, Video
from vad.data.layouts import TEST, TRAIN
from vad.errors import InputError
from vad.frames.store import Advance, read_whole_movie, unequal
from vad.images.decode import Image, read_image
from vad.images.digest_cache import image_size
from vad.system.files import new_folder, reading

_QUALITY = 95  # of a JPEG that is made here; one that is there is copied
_LABELS, _NAMES = "labels.csv", "videos.csv"


@dataclass(frozen=True)
class Converted:
    """What was written: a folder, how many frames, how many of them byte for byte, and whether it has labels and names."""

    path: Path
    frames: int
    copied: int
    labelled: bool
    named: bool


def convert(dataset: Dataset, out: Path, ending: str) -> Converted:
    """Write `training_videos/NN/frame_XXXXX.jpg`, `testing_videos/`, `labels.csv`, and `videos.csv` for names. Raises InputError.

    Images of the kind `ending` (jpg or png) are copied, all others and the frames of movies are decoded and written anew:
    as PNG they stay as they are, bit for bit. Frames keep their numbers, numbered videos theirs.
    """
    frames = dataset.frames
    assert frames is not None
    for folder in (frames.root, frames.home or frames.root):
        if out.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"OUT={out} lies in the data set that is converted; name a folder outside of {folder}")
    halves: tuple[tuple[str, Split], ...] = ((TRAIN, frames.train), (TEST, frames.test))
    copied = 0
    with new_folder(out) as made, Bar("convert", len(frames.train) + len(frames.test)) as bar:
        for half, split in halves:
            copied += sum(_write(video, made / half, ending, bar.advance) for video in split.videos)
        named = _write_names(made / _NAMES, halves)
        if dataset.labels:
            ids = zip(dataset.index.video, dataset.index.frame, dataset.labels.values, strict=True)
            _write_rows(made / _LABELS, ["Id", "Label"], [[f"{v}_{f}", int(label)] for v, f, label in ids])
    return Converted(out, len(frames.train) + len(frames.test), copied, dataset.labels is not None, named)


def _write(video: Video, half: Path, ending: str, advance: Advance) -> int:
    """Write the frames of a video; return how many are copies."""
    folder = half / f"{video.id:02d}"
    folder.mkdir(parents=True)
    copied = 0
    for number, path in zip(video.numbers, video.images or (), strict=False):
        if (size := image_size(path)) is not None and video.size not in (None, size):
            raise InputError(unequal(path, size, video))
        made = _place(folder, number, ending)
        if path.suffix.lower().replace("jpeg", "jpg") == f".{ending}":
            with reading(path):
                shutil.copyfile(path, made)
            copied += 1
        else:
            _encode(made, read_image(path))
        advance(1)
    if video.movie is not None:
        for position, image in read_whole_movie(video, 0):
            _encode(_place(folder, video.numbers[position], ending), image)
            advance(1)
    return copied


def _place(folder: Path, number: int, ending: str) -> Path:
    return folder / f"frame_{number:05d}.{ending}"


def _encode(path: Path, image: Image) -> None:
    data = cv2.imencode(path.suffix, image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    path.write_bytes(data.tobytes())


def _write_names(path: Path, halves: tuple[tuple[str, Split], ...]) -> bool:
    """Write which number stands for which name, where any video has a name or a scene."""
    rows = [[half, video.id, video.title, video.scene] for half, split in halves for video in split.videos]
    named = any(video.name or video.scene for _, split in halves for video in split.videos)
    if named:
        _write_rows(path, ["split", "video", "name", "scene"], rows)
    return named


def _write_rows(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
