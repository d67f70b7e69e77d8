"""The demo street: a small labelled data set, drawn, in the competition's layout and corrupted by its law."""

import contextlib
import errno
import hashlib
import io
import json
import os
import uuid
from pathlib import Path

import numpy as np
from scipy.io import savemat

from vad.data.labels import DEMO_MARKER, MASKS
from vad.data.layouts import TEST, TRAIN
from vad.data.names import is_litter
from vad.errors import InputError
from vad.images.decode import Image, decoding_pool
from vad.synthetic.corruption import Kind, as_jpeg, corrupt, draw_kinds
from vad.synthetic.street_drawing import HEIGHT, WIDTH, draw_scenery, paint, photograph
from vad.synthetic.street_figures import Pixels
from vad.synthetic.street_scenes import Clip, test_clips, training_clips
from vad.system.files import folder_beside, sha256

VERSION = 2  # raise it when a change to the drawing or the scenes changes a file
SEED = 20251221
TRAIN_VIDEOS, TRAIN_FRAMES = 4, 45
TEST_VIDEOS, TEST_FRAMES = 6, 60
_MARK = {"version": VERSION, "seed": SEED}
_DIGEST = "sha256"  # in the marker: of all other files
_SEEN = 150  # pixels of the cause that make a frame anomalous
# SciPy puts the time of day into the header's free text, and two streets would differ.
_MAT_HEADER = b"MATLAB 5.0 MAT-file, demo street".ljust(116)
_BATCH = 30
_TRIES = 5


def make_street(folder: Path) -> Path:
    """Make the demo street in a folder, always of the same bytes, unless it is whole already; return the folder.

    Several processes may do this at once. Raises InputError where the folder holds something else, or cannot be written.
    """
    if _is_whole(folder):
        return folder
    try:
        with folder_beside(folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:12]}")) as temporary:
            _build(temporary)
            for _ in range(_TRIES):
                if _is_whole(folder):
                    return folder
                with contextlib.suppress(FileNotFoundError), folder_beside(temporary.with_suffix(".stale")) as stale:
                    os.replace(folder, stale)
                try:
                    os.rename(temporary, folder)
                    return folder
                except OSError as error:
                    # Another process was faster by a hair: look again at what it left there.
                    if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                        raise
    except OSError as error:
        raise InputError(f"cannot make the demo street in {folder}: {error.strerror}; free or choose a place") from None
    raise InputError(f"cannot replace {folder}: other processes keep writing to it; remove it and try again")


def _is_whole(folder: Path) -> bool:
    """Return whether the folder holds the whole street. Raises InputError where it holds something else."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        tables = all((folder / name).is_file() for name in ("labels.csv", "sample_submission.csv"))
        masks, frames = len(list((folder / MASKS).glob("*"))), len(list((folder / "Dataset").glob("*/*/*")))
        files = tables and masks >= TEST_VIDEOS and frames == TRAIN_VIDEOS * TRAIN_FRAMES + TEST_VIDEOS * TEST_FRAMES
        mark = json.loads((folder / DEMO_MARKER).read_text(encoding="utf-8"))
        if files and mark.items() >= _MARK.items() and (known := mark.get(_DIGEST)):
            if known != _digest(folder):
                changed = f"files of the demo street in {folder} were altered, so its results would be of other data"
                raise InputError(
                    f"{changed}; remove the folder to draw it again, or copy it and name the copy with DATA="
                )
            return True
    try:
        before, names = folder.stat().st_ino, os.listdir(folder)
        # Another process may take a stale street away meanwhile, and empty it: then this listing says nothing.
        foreign = bool(names) and DEMO_MARKER not in names and folder.stat().st_ino == before
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(f"cannot use {folder} for the demo street: {error.strerror}; name another folder") from None
    if foreign:
        raise InputError(
            f"{folder} is not a demo street (it has no {DEMO_MARKER}); move it away or name another folder"
        )
    return False


def _build(folder: Path) -> None:
    generator = np.random.default_rng(SEED)
    scenery = draw_scenery(generator)
    training = training_clips(TRAIN_VIDEOS, TRAIN_FRAMES, generator)
    tests = test_clips(TEST_FRAMES, generator)
    kinds = iter(draw_kinds(TEST_VIDEOS * TEST_FRAMES, generator))
    frames: list[tuple[str, Clip, int, Kind]]
    frames = [(TRAIN, clip, number, "clean") for clip in training for number in clip.numbers]
    frames += [(TEST, clip, number, next(kinds)) for clip in tests for number in clip.numbers]
    masks: dict[tuple[int, int], Image] = {}

    def write(job: tuple[Path, Pixels, float, Kind, np.random.Generator]) -> None:
        path, canvas, seconds, kind, random = job
        path.write_bytes(as_jpeg(corrupt(photograph(scenery, canvas, seconds, random), kind, random)))

    with decoding_pool() as pool:
        # Figures are thousands of small calls, for which threads would wait for the interpreter's lock: one draws a batch.
        for start in range(0, len(frames), _BATCH):
            drawn = []
            for half, clip, number, kind in frames[start : start + _BATCH]:
                figures, things, seconds = clip.at(number)
                canvas, mask = paint(scenery, figures, things)
                if half == TEST:
                    masks[clip.video, number] = mask if np.count_nonzero(mask) >= _SEEN else np.zeros_like(mask)
                path = folder / "Dataset" / half / f"{clip.video:02d}" / f"frame_{number:05d}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                random = np.random.default_rng([SEED, half == TEST, clip.video, number])
                drawn.append((path, canvas, seconds, kind, random))
            list(pool.map(write, drawn))
        (folder / MASKS).mkdir(parents=True)
        list(pool.map(lambda clip: _write_masks(folder / MASKS, clip, masks), tests))
    labels = {f"{video}_{number}": int(masks[video, number].any()) for video, number in sorted(masks)}
    _write_table(folder / "labels.csv", "Label", labels)
    _write_table(folder / "sample_submission.csv", "Predicted", dict.fromkeys(labels, 0))
    mark = {**_MARK, _DIGEST: _digest(folder)}
    (folder / DEMO_MARKER).write_text(json.dumps(mark) + "\n", encoding="utf-8")


def _digest(folder: Path) -> str:
    """SHA-256 of the names and bytes of all files but the marker and what systems leave behind."""
    found = hashlib.sha256()
    for path in sorted(
        path for path in folder.rglob("*") if path.is_file() and not (path.name == DEMO_MARKER or is_litter(path.name))
    ):
        found.update(f"{path.relative_to(folder).as_posix()}\0{sha256(path)}\n".encode())
    return found.hexdigest()


def _write_masks(folder: Path, clip: Clip, masks: dict[tuple[int, int], Image]) -> None:
    """CUHK Avenue's file: volLabel, a 1 x T cell array of masks by frame number, with empty ones for lost frames."""
    cells = np.empty((1, clip.numbers[-1] + 4), object)
    for number in range(cells.size):
        cells[0, number] = masks.get((clip.video, number), np.zeros((HEIGHT, WIDTH), np.uint8))
    file = io.BytesIO()
    savemat(file, {"volLabel": cells}, do_compression=True)
    (folder / f"{clip.video}_label.mat").write_bytes(_MAT_HEADER + file.getvalue()[len(_MAT_HEADER) :])


def _write_table(path: Path, column: str, values: dict[str, int]) -> None:
    path.write_text(f"Id,{column}\n" + "".join(f"{name},{value}\n" for name, value in values.items()), encoding="utf-8")
