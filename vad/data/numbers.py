"""Files of numbers: NumPy's .npy and .npz, MATLAB's .mat, text with one value a line. Never a pickle, as that can run code."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import Values
from vad.data.matlab import numbers_in
from vad.errors import InputError
from vad.system.files import lines_of, reading

ARRAYS = (".npy", ".npz", ".mat")
TEXTS = (".txt", ".csv", ".lst")
_WORDS = {"true": 1.0, "false": 0.0}
_PICKLE = b"\x80"  # what Python's pickles begin with since 2003
_LONGEST = 100  # bytes of a line with one value


def is_pickle(path: Path) -> bool:
    return path.is_file() and _begins(path)[:1] == _PICKLE


def is_list(path: Path) -> bool:
    """Whether the first line of a text is one number and nothing else."""
    if path.suffix.lower() not in TEXTS or not path.is_file():
        return False
    return _number(_begins(path).partition(b"\n")[0].decode("utf-8-sig", "replace")) is not None


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a file by name. A cell array of MATLAB gives one for each cell. Raises InputError."""
    pickle = f"{path} is a Python pickle, which can run code when it is read, so it is not"
    numbers = "save numbers: numpy.save(file, values) for one video, numpy.savez(file, **{name: values}) for several"
    with reading(path):
        if is_pickle(path):
            raise InputError(f"{pickle}; {numbers}")
        if path.suffix.lower() == ".mat":
            return _from_matlab(path)
    try:
        with reading(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that are none
            opened = np.load(path, mmap_mode="r", allow_pickle=False)
            if isinstance(opened, np.ndarray):
                return {path.stem: opened}
            with opened:
                arrays = {name: np.asarray(opened[name]) for name in opened.files}
    except InputError:
        raise
    except Exception as error:  # a damaged header raises many kinds
        if "pickle" in str(error) or "Python objects" in str(error):
            raise InputError(f"{pickle}; {numbers}") from None
        raise InputError(f"{path} is no file of arrays that can be read: {str(error)[:200]}; write it again") from None
    if not arrays:
        raise InputError(f"{path} holds no array")
    return arrays


def read_list(path: Path, expected: str) -> Values:
    """Read one finite value a line. Raises InputError that says what was `expected`."""
    values = []
    for at, text in lines_of(path):
        if (value := _number(text)) is None or not math.isfinite(value):
            raise InputError(f"{path}, line {at}: {text!r:.60} is no {expected}")
        values.append(value)
    return np.asarray(values, np.float64)


def read_rows(path: Path, columns: str, fits: Callable[..., bool]) -> list[list[float]]:
    """Read rows of numbers, one for each of the `columns` (`track, first, last`), that are finite and fit. Raises InputError."""
    rows = []
    for at, line in lines_of(path):
        try:
            row = [float(cell) for cell in line.replace(",", " ").split()]
        except ValueError:
            row = []
        if len(row) != columns.count(",") + 1 or not all(map(math.isfinite, row)) or not fits(*row):
            raise InputError(f"{path}, line {at}: {line!r:.60} is no row of {columns}")
        rows.append(row)
    return rows


def _begins(path: Path) -> bytes:
    with reading(path), path.open("rb") as file:
        return file.read(_LONGEST)


def _number(text: str) -> float | None:
    word = text.strip().casefold()
    try:
        return _WORDS[word] if word in _WORDS else float(word)
    except ValueError:
        return None


def _from_matlab(path: Path) -> dict[str, NDArray[Any]]:
    variables = numbers_in(path)
    if len(variables) != 1:
        found = ", ".join(variables) or "none"
        raise InputError(f"{path} must hold one variable, numbers or a cell for each video; it holds {found}")
    ((name, arrays),) = variables.items()
    return {name: arrays[0]} if len(arrays) == 1 else {f"arr_{at}": array for at, array in enumerate(arrays)}
