"""Labels as arrays: `.npy`, `.npz` or one value a line, of all test videos one after the other or one for each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import Flags
from vad.data.labels.base import OTHER_SET, Asked, Found, as_flags, by_name, fit_values
from vad.data.names import is_litter
from vad.errors import InputError
from vad.system.files import names_in, reading, require_plain

NAME = "arrays, one value a frame"
_ARRAYS, _TEXTS = (".npy", ".npz"), (".txt", ".csv", ".lst")
_WORDS = {"true": 1.0, "false": 0.0}
_PICKLE = b"\x80"  # what Python's pickles begin with since 2003
_LONGEST = 100  # characters of a line with one value


def takes(path: Path) -> bool:
    """Take arrays, texts whose first line is a number, pickles (to refuse them), and folders of arrays."""
    if path.is_dir():
        return bool(_files(path))
    return path.suffix.lower() in _ARRAYS or _begins_as_pickle(path) or _is_list(path)


def read(asked: Asked) -> Found:
    """Read the labels of each video by its name, or those of all in the order of the videos' names."""
    path = asked.path
    if path.is_dir():
        files = _files(path)
        found, notes = by_name(asked, files, "NAME.npy")
        arrays = {clip: (str(path / files[name]), _load(path / files[name])) for clip, name in found.items()}
    elif path.suffix.lower() == ".npz" and len(members := _load_all(path)) > 1:
        found, notes = by_name(asked, members, "an array of its name")
        arrays = {clip: (f"{path}, {name}", members[name]) for clip, name in found.items()}
    else:
        return _of_all(asked, as_flags(_load(path), str(path)))
    values = np.zeros(len(asked.index), bool)
    for clip, (where, array) in arrays.items():
        values[clip.span] = fit_values(asked, clip, as_flags(array, where), where)
    return Found(values, notes)


def _of_all(asked: Asked, values: Flags) -> Found:
    if len(values) != len(asked.index):
        videos = ", ".join(f"{clip.title}: {len(clip.numbers):,}" for clip in asked.clips[:5])
        more = ", ..." if len(asked.clips) > 5 else ""
        frames = f"there are {len(asked.index):,} test frames ({videos}{more})"
        raise InputError(f"{asked.path} has {len(values):,} labels, but {frames}; {OTHER_SET}")
    titles = asked.index.titles
    if asked.index.names and sorted(titles) != list(titles):
        order = f"the videos are taken in the order {', '.join(titles[:3])}, ..."
        return Found(values, (f"{asked.path}: {order}; sorted by letters they would be in another",))
    return Found(values)


def _files(folder: Path) -> dict[str, str]:
    """The arrays or texts of a folder by the name of their video."""
    names = [name for name in names_in(folder) if not is_litter(name)]
    for endings in ((".npy",), (".txt",)):
        files = {Path(name).stem: name for name in names if name.lower().endswith(endings)}
        if files and (endings == (".npy",) or all(_is_list(folder / name) for name in files.values())):
            return files
    return {}


def _is_list(path: Path) -> bool:
    """Whether the first line of a text is one number and nothing else."""
    if path.suffix.lower() not in _TEXTS or not path.is_file():
        return False
    with reading(path), path.open("rb") as file:
        line = file.readline(_LONGEST).decode("utf-8-sig", "replace").strip()
    return _number(line) is not None


def _begins_as_pickle(path: Path) -> bool:
    if not path.is_file():
        return False
    with reading(path), path.open("rb") as file:
        return file.read(1) == _PICKLE


def _number(line: str) -> float | None:
    try:
        return _WORDS.get(line.casefold()) if line.casefold() in _WORDS else float(line)
    except ValueError:
        return None


def _load(path: Path) -> NDArray[np.generic]:
    """The one array of a file, without running any code of it. Raises InputError."""
    if path.suffix.lower() == ".npz":
        return next(iter(_load_all(path).values()))
    if path.suffix.lower() in _TEXTS:
        return np.asarray(list(_lines(path)))
    with _whole(path):
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _load_all(path: Path) -> dict[str, NDArray[np.generic]]:
    with _whole(path), np.load(path, allow_pickle=False) as archive:
        members = {name: np.asarray(archive[name]) for name in archive.files}
    if not members:
        raise InputError(f"{path} holds no array")
    return members


def _lines(path: Path) -> Iterator[float]:
    with reading(path):
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for at, line in enumerate(lines, 1):
        if line.strip():
            number = _number(line.strip())
            if number is None:
                raise InputError(
                    f"{path}, line {at}: {line.strip()!r:.60} is no label; write 0 (normal) or 1 (anomalous)"
                )
            yield number


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Say what is wrong with a file of arrays; one that only Python's pickle could read is refused, as that can run code."""
    convert = "np.save a plain array of 0 and 1 for each video, NAME.npy, in a folder"
    refused = f"{path} is a Python pickle, which can run code when it is read, so it is not; {convert}"
    with reading(path):
        require_plain(path)
        if _begins_as_pickle(path):
            raise InputError(refused)
    try:
        with reading(path):
            yield
    except InputError:
        raise
    except Exception as error:  # a damaged header raises many kinds
        if "pickle" in str(error) or "Python objects" in str(error):
            raise InputError(refused) from None
        raise InputError(f"{path} is no file of arrays that can be read: {str(error)[:200]}; restore it") from None
