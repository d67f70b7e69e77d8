"""Labels as pixel masks, an image for each frame; a frame with a pixel above 0 is anomalous.

UCSD publishes them as `Test001_gt/001.bmp`, UBnormal as `Scene1/NAME_annotations/NAME_0000_gt.png`, whose values are tracks.
"""

import re
from pathlib import Path

import numpy as np

from vad.data.frame_index import DIGITS
from vad.data.labels.base import Asked, Clip, Found, by_name
from vad.data.names import IMAGES, is_image, is_litter, some
from vad.errors import InputError
from vad.images.decode import read_mask
from vad.system.files import names_in

NAME = "mask images"
_NUMBER = re.compile(rf"(?:.*\D)?0*(\d{{1,{DIGITS}}})(?:_gt)?\.(?:{'|'.join(IMAGES)})", re.IGNORECASE)
_ENDINGS = ("_gt", "_annotations")
_SCENES = "Scene*/*_annotations"
_FOLDER = re.compile(r"mask|gt|ground|label", re.IGNORECASE)


def takes(path: Path) -> bool:
    """Take a folder with folders of images that are called NAME_gt or NAME_annotations, or that is itself called masks, or ground truth."""
    return bool(mask_folders(path))


def mask_folders(path: Path) -> dict[str, Path]:
    """The folders of masks at `path`, by name."""
    if not path.is_dir():
        return {}
    folders = {name: path / name for name in names_in(path) if not is_litter(name) and (path / name).is_dir()}
    called = {name: folder for name, folder in folders.items() if name.casefold().endswith(_ENDINGS)}
    called = called or {folder.name: folder for folder in sorted(path.glob(_SCENES))}
    if not called and not _FOLDER.search(path.name):  # these may be the clips themselves
        return {}
    return {name: f for name, f in (called or folders).items() if any(map(is_image, names_in(f)))}


def read(asked: Asked) -> Found:
    """Read whether each frame's mask has a pixel above 0: masks and frames may be numbered from 0 or from 1, each on its own."""
    folders = mask_folders(asked.path)
    whose, notes = by_name(asked, folders, "NAME_gt/ with an image for each frame", of_normal=False)
    numbered = {clip: _numbered(folders[name]) for clip, name in whose.items()}
    first = int(not any(0 in masks for masks in numbered.values()))
    values = np.zeros(len(asked.index), bool)
    for clip, masks in numbered.items():
        places = asked.places(clip) + first
        if lacking := [number for number in places.tolist() if number not in masks]:
            there = f"{folders[whose[clip]]} has {len(masks):,} masks ({min(masks)} to {max(masks)})"
            frames = f"test video {clip.title} has {len(places):,} frames ({clip.numbers[0]} to {clip.numbers[-1]})"
            raise InputError(f"{there}, but {frames}: no mask {some(list(map(str, lacking)))}; restore them")
        values[clip.span] = _anomalous(asked, clip, [masks[number] for number in places.tolist()])
    asked.memory.save()
    return Found(values, notes)


def lengths(path: Path) -> dict[str, int]:
    """Return how many masks each video has, by the name of the folder, if they are of whole videos. Raises InputError."""
    masks = {name: _numbered(folder) for name, folder in mask_folders(path).items()}
    first = int(not any(0 in numbers for numbers in masks.values()))
    return {name: len(numbers) for name, numbers in masks.items() if len(numbers) == max(numbers) + 1 - first}


def _anomalous(asked: Asked, clip: Clip, paths: list[Path]) -> list[bool]:
    found = asked.memory.remember_each("mask", paths, _look)
    for path, (_, width, height) in zip(paths, found, strict=True):
        asked.require_size(clip, path, (width, height))
    return [bool(anomalous) for anomalous, _, _ in found]


def _look(path: Path) -> tuple[int, int, int]:
    """Whether a mask has a pixel above 0, its width and its height."""
    mask = read_mask(path)
    return int(mask.any()), mask.shape[1], mask.shape[0]


def _numbered(folder: Path) -> dict[int, Path]:
    """The masks of a folder by number. Raises InputError where two have one."""
    masks: dict[int, Path] = {}
    for name in names_in(folder):
        match = None if is_litter(name) else _NUMBER.fullmatch(name)
        if match and masks.setdefault(int(match[1]), folder / name) != folder / name:
            raise InputError(f"{masks[int(match[1])]} and {folder / name} are both mask {int(match[1])}; remove one")
    if not masks:
        raise InputError(f"{folder} holds no mask whose name ends with its number, as 001.bmp")
    return masks
