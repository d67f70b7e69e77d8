"""CSV files of one number a frame, predictions or labels: read in the usual variants, written as a leaderboard expects them."""

import csv
import gzip
import io
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import DIGITS, FrameIndex, Values, composed, number_of
from vad.data.numbers import plain_number
from vad.errors import InputError
from vad.system.files import replacing, require_plain

_ID = re.compile(rf"([^\x00-\x1f\x7f]*[^\s])_(\d{{1,{DIGITS}}})", re.ASCII)
_DELIMITERS = ",;\t"
_INTERVALS = ["video", "start", "end"]  # of labels
_USAGE = "usage"  # Kaggle's column that marks public and private rows
_LONGEST = 10_000  # characters of a line


@dataclass(frozen=True)
class Form:
    """The format of a file: delimiter, the two names of the header, and the ids in the order of its rows."""

    delimiter: str = ","
    names: tuple[str, str] = ("Id", "Predicted")
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A number for each frame: `values` is float64 (N,), in the order of `index`; `order` sorts the file's rows into it."""

    index: FrameIndex
    values: Values
    form: Form
    order: NDArray[np.intp]


def read_table(path: Path, column: str, ids_alone: bool = False) -> Table:
    """Read a CSV of frame ids (`{video}_{frame}`) and one number each, in any order.

    The header is `Id,column` (for `Predicted`, any second name) or `video,frame,column`, in any case; an unnamed first column
    (pandas' index) is ignored, and so is a last `Usage` (Kaggle's solution files). With `ids_alone` the second column
    may hold anything, and the numbers are 0. Raises InputError.
    """
    numbers: list[float] = []
    spelt: list[str] = []
    lines: dict[tuple[str, int], int] = {}
    with _readable(path, f"Id,{column}"), _open(path) as file:
        numbered = _lines(file, path)
        first, line = _header_line(numbered)
        delimiter, names, skip = _header(line, path, column, apart=not ids_alone)
        rows = csv.reader((line for _, line in numbered), delimiter=delimiter)
        for row in rows:
            where = f"{path}, line {rows.line_num + first}"
            if not row:
                continue
            cells = [cell.strip() for cell in row[skip:]]
            if len(cells) != len(names):
                wanted = f"there must be {len(names)}: {', '.join(names)}"
                raise InputError(f"{where}: {len(cells)} columns, but {wanted}")
            cells = cells[:-1] if names[-1].casefold() == _USAGE else cells
            cells = ["_".join(cells[:-1]), cells[-1]]
            match = _ID.fullmatch(cells[0])
            if not match or (match[1].isascii() and match[1].isdigit() and number_of(match[1]) is None):
                raise InputError(f"{where}: {cells[0]!r:.60} is not a frame id; write video_frame, as in 3_120")
            number = number_of(match[1])
            frame = (composed(match[1]) if number is None else str(number), int(match[2]))
            if frame in lines:
                raise InputError(f"{where}: {cells[0]} appears twice; the first is in line {lines[frame]}")
            lines[frame] = rows.line_num + first
            numbers.append(0.0 if ids_alone else _number(cells[1], where, column))
            spelt.append(cells[0])
    if not numbers:
        raise InputError(f"{path} has no rows below its header")
    index, order = FrameIndex.named(*zip(*lines, strict=True))
    form = Form(delimiter, (names[0], names[-2 if names[-1].casefold() == _USAGE else -1]), tuple(spelt))
    return Table(index, np.asarray(numbers, np.float64)[order], form, order)


def read_intervals(path: Path) -> list[tuple[str, list[str]]] | None:
    """Return the rows of a CSV `video,start,end`, each with where it stands; None for another header. Raises InputError."""
    with _readable(path, "Id,Label"), _open(path) as file:
        numbered = _lines(file, path)
        first, line = _header_line(numbered)
        names = line.strip().casefold().replace('"', "").replace(" ", "")
        delimiter = next((mark for mark in _DELIMITERS if mark.join(_INTERVALS) == names), None)
        if delimiter is None:
            return None
        rows = csv.reader((line for _, line in numbered), delimiter=delimiter)
        found = [(f"{path}, line {rows.line_num + first}", [cell.strip() for cell in row]) for row in rows if row]
    for where, row in found:
        if len(row) != len(_INTERVALS):
            raise InputError(
                f"{where}: {len(row)} columns, but there must be {len(_INTERVALS)}: {', '.join(_INTERVALS)}"
            )
    return found


def _header_line(lines: Iterator[tuple[int, str]]) -> tuple[int, str]:
    """Take the header and its number; Excel writes `sep=;` above it."""
    first, line = next(lines, (1, ""))
    return next(lines, (2, "")) if line.casefold().startswith("sep=") else (first, line)


@contextmanager
def _readable(path: Path, header: str) -> Iterator[None]:
    """Raise InputError for a file that is no text, cannot be unpacked, or cannot be read."""
    try:
        yield
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file (UTF-8); give a CSV with the header {header}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path} cannot be unpacked: {error}; restore it, or unpack it yourself") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV text file: {error}") from None


@contextmanager
def _open(path: Path) -> Iterator[IO[str]]:
    """Open a CSV, compressed or not."""
    require_plain(path)
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.lower().endswith(".csv") and not n.startswith("__MACOSX/")]
            if len(names) != 1:
                found = f"it holds {', '.join(names[:5]) or 'none'}"
                raise InputError(f"{path} must hold one CSV file; {found}; unpack it and name the one you mean")
            with archive.open(names[0]) as packed:
                yield io.TextIOWrapper(packed, encoding="utf-8-sig", newline="")
    else:
        opened = gzip.open if path.suffix.lower() == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file


def _lines(file: IO[str], path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers. A compressed file of a few kB can hold one line of many GB."""
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST + 1), ""), 1):
        if len(line) > _LONGEST:
            long = f"longer than {_LONGEST:,} characters"
            raise InputError(f"{path}, line {number}: {long}; a row has an id and a number")
        yield number, line


def _header(line: str, path: Path, column: str, apart: bool) -> tuple[str, list[str], int]:
    """Return the delimiter, the names, and how many columns before them to skip; `apart` allows `video,frame` for `Id`."""
    line = line.rstrip("\r\n")
    for delimiter in _DELIMITERS:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
        skip = int(len(cells) > 2 and (not cells[0] or cells[0].startswith("Unnamed:")))  # pandas' index
        names = cells[skip:]
        usage = 1 if len(names) > 2 and names[-1].casefold() == _USAGE else 0
        own = names[: len(names) - usage]
        wanted = column == "Predicted" or (own[-1:] and own[-1].casefold() == column.casefold())
        known = [["id"], ["video", "frame"]] if apart else [["id"]]
        if [name.casefold() for name in own[:-1]] in known and own[-1] and wanted:
            return delimiter, names, skip
    example = "3_12,1" if column == "Label" else "3_12,0.5"
    header = f"'Id,{column}', with rows such as {example}" + (f", or 'video,frame,{column}'" if apart else "")
    header += f", or '{','.join(_INTERVALS)}' (docs/data.md)" if column == "Label" else ""
    raise InputError(f"{path}: the header is {line!r:.60}, but must be {header}")


def _number(text: str, where: str, column: str) -> float:
    if column == "Label":
        text = {"true": "1", "false": "0"}.get(text.casefold(), text)
    value = plain_number(text)
    if column == "Label" and value not in (0, 1):
        raise InputError(f"{where}: Label is {text!r:.60}; write 0 (normal) or 1 (anomalous), or False or True")
    if value is None:
        hint = "; write a decimal point" if plain_number(text.replace(",", ".")) is not None else ""
        raise InputError(f"{where}: {column} is {text!r:.60}, which is not a number{hint}")
    if not math.isfinite(value):
        raise InputError(f"{where}: {column} is {text!r:.60}; it must be finite")
    return value


def read_scores(path: Path, expected: FrameIndex | None = None) -> tuple[FrameIndex, Values]:
    """Read a predictions file: frames in order, float64 scores (N,). Raises InputError for labels, and where frames differ from `expected`."""
    table = read_table(path, "Predicted")
    if table.form.names[1].casefold() == "label" and np.isin(table.values, (0, 1)).all():
        raise InputError(f"{path} holds labels (column Label, 0 and 1 alone), not scores; name the predictions file")
    if expected is not None:
        require_same_frames(table.index, expected, str(path), "the test frames")
    return table.index, table.values


def require_same_frames(given: FrameIndex, expected: FrameIndex, source: str, what: str) -> None:
    """Raise InputError unless `given` has exactly the frames of `expected`."""
    if given == expected:
        return
    parts = []
    for word, here, there in (("missing", expected, given), ("too many", given, expected)):
        known = set(there.ids)
        if names := [name for name in here.ids if name not in known]:
            parts.append(f"{len(names)} {word} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    fix = f"; give a row for each of {what}, and no other"
    raise InputError(f"{source} does not fit {what}: {' and '.join(parts)} of {len(expected)} frames{fix}")


def write_scores(path: Path, index: FrameIndex, values: Values, sample: Table | None = None) -> None:
    """Write a predictions file atomically and in full precision: `Id,Predicted`, sorted by (video, frame).

    A `sample` of the same frames sets the format and the order of rows instead. Raises InputError for a score that is not finite.
    """
    if not np.isfinite(values).all():
        culprit = index.ids[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise InputError(f"the score of frame {culprit} is not finite; nothing was written to {path}")
    form, ordered = (sample.form, values[np.argsort(sample.order)]) if sample else (Form(), values)
    rows = zip(form.ids or index.ids, ordered.tolist(), strict=True)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=form.delimiter, lineterminator="\n")
        table.writerow(form.names)
        table.writerows((name, repr(value)) for name, value in rows)
