"""The scores of a run's variants, frame by frame, with the labels that they are measured against: a table among its artifacts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from registry.store.tracking import Tracking
from vad.data.frame_index import FrameIndex, Values
from vad.errors import InputError

TEST, PROXY = "scores.csv", "proxy_scores.csv"  # of the test frames; of painted ones, where there are no labels
_VIDEO, _NAME, _FRAME, _LABEL = "video", "name", "frame", "label"


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of each variant, float64 of shape (N,), in the order of `index`; `labels` are None where unknown."""

    index: FrameIndex
    labels: NDArray[np.bool_] | None
    variants: dict[str, Values]


def write_table(path: Path, table: ScoreTable) -> None:
    """Write the table as CSV, every digit kept."""
    index = table.index
    lengths = [span.stop - span.start for span in index.spans]
    videos = {_NAME: np.repeat(index.titles, lengths)} if index.names else {_VIDEO: index.video}
    columns = {**videos, _FRAME: index.frame}
    columns |= {} if table.labels is None else {_LABEL: table.labels.astype(int)}
    pd.DataFrame(columns | table.variants).to_csv(path, index=False, lineterminator="\n")


def read_table(path: Path) -> ScoreTable:
    """Read what `write_table` wrote. Raises InputError for a file that is none of those."""
    try:
        rows = pd.read_csv(path, header=None, dtype=str, na_filter=False)
        named = rows.iat[0, 0] == _NAME
        numbers = rows.iloc[:, 1:] if named else rows
        columns = dict(zip(numbers.iloc[0], numbers[1:].to_numpy(np.float64).T, strict=True))
        if len(columns) < numbers.shape[1] or not all(np.isfinite(column).all() for column in columns.values()):
            raise ValueError("a column appears twice, or has a value that is not finite")
        frame = _whole_numbers(columns.pop(_FRAME), 10**9).tolist()
        if named:
            index, order = FrameIndex.named(rows[0].tolist()[1:], frame)
        else:
            index, order = FrameIndex.sorted(_whole_numbers(columns.pop(_VIDEO), 10**9).tolist(), frame)
        if len(set(index.ids)) < len(order) or (np.diff(order) < 0).any():
            raise ValueError("its frames are not in order, or there twice")
        labels = _whole_numbers(columns.pop(_LABEL), 2).astype(bool) if _LABEL in columns else None
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a table of scores: {error}") from None
    return ScoreTable(index, labels, columns)


def _whole_numbers(column: Values, below: int) -> NDArray[np.int64]:
    if ((column < 0) | (column >= below) | (column % 1 != 0)).any():
        raise ValueError(f"what should be a whole number below {below:,} is not")
    return column.astype(np.int64)


def stored_table(tracking: Tracking, run_id: str, name: str, home: Path) -> ScoreTable | None:
    """Return a run's table; None where it has none, or it is gone, damaged or altered."""
    try:
        path = tracking.fetch(run_id, name, home)
        return read_table(path) if path else None
    except InputError:
        return None


def labelled_table(tracking: Tracking, run_id: str, home: Path) -> ScoreTable | None:
    """Return the scores that a run was measured by, with labels; None where it has none, or they are gone."""
    tables = (stored_table(tracking, run_id, name, home) for name in (TEST, PROXY))
    return next((table for table in tables if table is not None and table.labels is not None), None)


def same_labels(one: ScoreTable, other: ScoreTable) -> bool:
    """Whether two tables hold the same frames under the same labels, so that their metrics can be set side by side."""
    if one.index != other.index or one.labels is None or other.labels is None:
        return False
    return bool(np.array_equal(one.labels, other.labels))
