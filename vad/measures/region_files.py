"""Anomaly maps, pixel masks and tracks as they lie on disk, one video after another, so that no data set must fit into memory."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import natural
from vad.data.labels.mask_images import mask_folders
from vad.data.labels.tracks import is_boxes, lists_in, read_boxes
from vad.data.matlab import masks_in
from vad.data.names import is_image
from vad.data.numbers import read_arrays, read_rows
from vad.errors import InputError
from vad.images.decode import read_mask
from vad.measures.regions import Maps, Truth, boxes_of, tracks_by_overlap
from vad.system.files import names_in, reading

Masks = NDArray[np.bool_]
Painted = NDArray[Any]  # masks before it is asked what is not 0
_MASK_FORMS = "a folder of images or an .npy (N, H, W) for each video, or Avenue's N_label.mat"


def open_maps(path: Path) -> dict[str, Callable[[], Maps]]:
    """The anomaly maps of each video: an .npz with an array (N, h, w) a video, or a folder of .npy. Raises InputError where they are none."""
    if not path.exists():
        raise InputError(
            f"--maps {path} does not exist; give an .npz with an array (N, h, w) for each video, or a folder of .npy"
        )
    if path.is_dir():
        files = [path / name for name in names_in(path) if name.endswith(".npy") and not name.startswith(".")]
        found: dict[str, Callable[[], Maps]] = {file.stem: partial(_maps, file, file.stem, file.stem) for file in files}
    else:
        try:
            with reading(path), np.load(path, allow_pickle=False) as opened:
                found = {name: partial(_maps, path, name, name) for name in opened.files}
        except (ValueError, AttributeError, TypeError, EOFError, OSError):
            read_arrays(path)  # says what is wrong with it, if it cannot be read
            raise InputError(
                f"--maps {path} must be an .npz with an array (N, h, w) for each video, by its name"
            ) from None
    if not found:
        raise InputError(f"--maps {path} holds no array; give one (N, h, w) for each video")
    return found


def _maps(path: Path, name: str, video: str) -> Maps:
    try:
        with reading(path):
            opened = np.load(path, allow_pickle=False)
            array = opened if isinstance(opened, np.ndarray) else opened[name]
    except ValueError as error:
        raise InputError(f"{path}: the maps of video {video} cannot be read: {error}") from None
    if array.dtype.kind not in "uif" or array.ndim != 3 or not array.size:
        shape = " x ".join(map(str, array.shape))
        raise InputError(
            f"{path}: the maps of video {video} are {array.dtype} of {shape}; give numbers of (N, h, w), a map a frame"
        )
    maps: Maps = array.astype(np.float32, copy=False)
    if not np.isfinite(maps).all():
        raise InputError(f"{path}: a map of video {video} holds a value that is not finite")
    return maps


def open_masks(folder: Path) -> dict[str, Callable[[], Painted]]:
    """The masks of each video that has any; what is not 0 is anomalous. Raises InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"--masks {folder} is not a folder; give {_MASK_FORMS}")
    found: dict[str, Callable[[], Painted]] = {}
    paths = [folder / name for name in names_in(folder) if not name.startswith(".")]
    for path in mask_folders(folder).values() or paths:
        name = path.name
        if path.is_dir() and (images := [n for n in names_in(path) if is_image(n)]):
            files = [path / n for n in sorted(images, key=natural)]
            found[name.removesuffix("_gt").removesuffix("_annotations")] = partial(_from_images, files)
        elif name.endswith(".npy") or name.endswith("_label.mat"):
            found[path.stem.removesuffix("_label")] = partial(_from_array, path)
    if not found:
        raise InputError(f"--masks {folder} holds no masks; give {_MASK_FORMS}")
    return found


def _from_images(files: list[Path]) -> Painted:
    masks: list[Painted] = []
    for file in files:
        image = read_mask(file)
        if masks and image.shape != masks[0].shape:
            wrong, right = (f"{shape[1]} x {shape[0]}" for shape in (image.shape, masks[0].shape))
            raise InputError(
                f"{file} is a mask of {wrong}, but {files[0].name} is one of {right}; all of a video must have one size"
            )
        masks.append(image)
    return np.stack(masks)


def _from_array(path: Path) -> Painted:
    arrays = masks_in(path) if path.suffix == ".mat" else list(read_arrays(path).values())
    if len({array.shape for array in arrays}) > 1:
        raise InputError(f"{path} holds masks of several sizes; all of a video must have one size")
    array = np.stack(arrays) if path.suffix == ".mat" else arrays[0]
    if array.ndim != 3 or array.dtype.kind not in "buif" or not array.size:
        raise InputError(f"{path} is {array.dtype} of {' x '.join(map(str, array.shape))}; give masks of (N, H, W)")
    return array


def truth_of(masks: Masks) -> Truth:
    """The regions of masks, linked to tracks by overlap from frame to frame."""
    boxes = tuple(boxes_of(mask) for mask in masks)
    return Truth(boxes, tracks_by_overlap(boxes))


def truth_of_values(painted: Painted) -> Truth:
    """The regions of masks whose value is the track, as UBnormal's: all pixels of a value are one region."""
    boxes, tracks = [], []
    ids: dict[Any, int] = {}
    for mask in painted:
        values = [value for value in np.unique(mask).tolist() if value]
        boxes.append(np.asarray([_box(mask == value) for value in values], np.float64).reshape(-1, 4))
        tracks.append(np.asarray([ids.setdefault(value, len(ids)) for value in values], np.int64))
    return Truth(tuple(boxes), tuple(tracks))


def _box(mask: Masks) -> list[float]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    high, wide = mask.shape
    return [columns[0] / wide, rows[0] / high, (columns[-1] + 1) / wide, (rows[-1] + 1) / high]


def read_tracks(path: Path) -> dict[str, NDArray[np.float64]]:
    """The rows of each video's file `NAME.txt`: track, frame (from 0), left, top, right, bottom in pixels. Raises InputError for others.

    Street Scene's `NAME_gt.txt`, whose frames are counted from 1, are read, too.
    """
    published = {name: file for name, file in lists_in(path).items() if is_boxes(file)} if path.is_dir() else {}
    if published:
        boxes = {name: np.asarray(read_boxes(file), np.float64).reshape(-1, 6) for name, file in published.items()}
        return {name: of - [0, 1, 0, 0, 0, 0] for name, of in boxes.items()}
    files = (
        [path / n for n in names_in(path) if n.endswith((".txt", ".csv")) and n[0] != "."] if path.is_dir() else [path]
    )
    if not files or not files[0].exists():
        raise InputError(f"--tracks {path}: there is no file of tracks; give a folder with NAME.txt for each video")
    form = "track, frame, left, top, right, bottom"
    rows = {file.stem: read_rows(file, form, _is_box_of_a_track) for file in files}
    return {name: np.asarray(of, np.float64).reshape(-1, 6) for name, of in rows.items()}


def _is_box_of_a_track(track: float, frame: float, left: float, top: float, right: float, bottom: float) -> bool:
    return min(track, frame) >= 0 and not frame % 1 and left < right and top < bottom


def truth_of_tracks(rows: NDArray[np.float64], frames: int, size: tuple[int, int], source: str) -> Truth:
    """The regions of a file of tracks, for a video of so many frames of this size (height, width). Raises InputError for others."""
    if len(rows) and (last := int(rows[:, 1].max())) >= frames:
        hint = "; frames are counted from 0" if last == frames else ""
        raise InputError(f"{source} has a track in frame {last}, but the video has {frames} frames{hint}")
    if len(rows) and (rows[:, [2, 3]] >= size[::-1]).any():
        left, top = (int(rows[:, at].max()) for at in (2, 3))
        raise InputError(
            f"{source} has a box at {left}, {top}, but frames are {size[1]} x {size[0]}; tracks are in pixels of the frames: "
            "give --data FOLDER, or --masks of their size"
        )
    _, track = np.unique(rows[:, 0], return_inverse=True)
    scaled = rows[:, 2:] / np.array([size[1], size[0], size[1], size[0]])
    places = [np.flatnonzero(rows[:, 1].astype(int) == frame) for frame in range(frames)]
    return Truth(tuple(scaled[at] for at in places), tuple(track[at].astype(np.int64) for at in places))
