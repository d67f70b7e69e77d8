"""A suite's matrix in the terminal, as JSON, as CSV and as Markdown."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from registry.console import plural, table
from registry.runs.result import caution
from registry.suites.matrix import Interval, Matrix, Row
from vad.measures.metrics import LEAST_VIDEOS

_MOST_MISSING = 8
_HINDSIGHT = "*  chosen in hindsight: of this entry's variants the one with the best worst case on these very labels; `choose` in the entry settles it before"
_PRETRAINED = (
    "pretrained: weights that were trained on other data have a part in it; these rows have a ranking of their own"
)
_TIES = "=  a tie: the interval of the difference to the first of that rank, paired, reaches 0"


def as_text(found: Matrix) -> str:
    """The matrix, what its marks mean, and what fills the cells that are missing."""
    if not found.rows:
        return f"{_about(found)}\n\nNo entry has a finished run on these data sets; name some: vad run EXP ..."
    header, rows = _table(found)
    lines = [table(header, rows, right=(0, *range(3, 3 + len(found.columns)))), ""]
    lines += _notes(found)
    if found.missing:
        lines += ["", *_missing(found)]
    return "\n".join([_about(found), "", *lines])


def as_markdown(found: Matrix) -> str:
    """The matrix as a table in Markdown, with its notes."""
    header, rows = _table(found)
    rows = [header, ["---"] * len(header), *rows]
    return "\n\n".join([_about(found), "\n".join(f"| {' | '.join(row)} |" for row in rows), *_notes(found)])


def as_json(found: Matrix) -> str:
    """All of it, for programs."""
    return json.dumps(asdict(found), indent=2)


def as_csv(found: Matrix) -> str:
    """A line a row; of each set its figure, interval and run in columns of their own."""
    out = io.StringIO()
    names = [column.name for column in found.columns]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(title for title, _ in _cells(Row("", "", False, {}), names))
    writer.writerows([value for _, value in _cells(row, names)] for row in found.rows)
    return out.getvalue().rstrip("\n")


def _cells(row: Row, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """A row's values for the CSV, each with the title of its column."""
    for key in ("rank", "tied", "entry", "variant", "hindsight", "pretrained", "worst", "worst_on"):
        yield key, getattr(row, key)
    yield from _ends("worst", row.worst_interval)
    yield "mean_rank", row.mean_rank
    yield from _ends("mean_rank", row.rank_interval)
    yield "behind", row.behind
    yield from _ends("behind", row.behind_interval)
    for name in names:
        cell = row.cells.get(name)
        yield name, cell.value if cell else None
        yield from _ends(name, cell.interval if cell else None)
        yield f"{name} run", cell.run_id if cell else None


def _ends(name: str, interval: Interval | None) -> Iterator[tuple[str, float | None]]:
    yield from zip((f"{name} low", f"{name} high"), interval or (None, None), strict=True)


def _table(found: Matrix) -> tuple[list[str], list[list[str]]]:
    """Header and rows; whether weights were pretrained stands there if they were in some row."""
    names = [column.name for column in found.columns]
    header = ["#", "entry", "variant", *names, "worst case", "on", "mean rank"]
    if not any(row.pretrained for row in found.rows):
        return header, [_line(row, names) for row in found.rows]
    told = [[*_line(row, names), "yes" if row.pretrained else "no"] for row in found.rows]
    return [*header, "pretrained"], told


def _line(row: Row, names: list[str]) -> list[str]:
    rank = "-" if row.rank is None else f"{row.rank}{'=' if row.tied else ' '}"
    variant = (row.variant or "-") + ("*" if row.hindsight else "")
    cells = [f"{row.cells[name].value:.4f}" if name in row.cells else "-" for name in names]
    worst = _within(row.worst, row.worst_interval, 4)
    return [rank, row.entry, variant, *cells, worst, row.worst_on or "-", _within(row.mean_rank, row.rank_interval, 2)]


def _within(value: float | None, interval: Interval | None, digits: int) -> str:
    """A value, and its interval in brackets where it has one."""
    if value is None:
        return "-"
    return f"{value:.{digits}f}" + (f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]" if interval else "")


def _about(found: Matrix) -> str:
    set_ = f", set: {', '.join(found.overrides)}" if found.overrides else ""
    return f"suite {found.name}: {found.metric.upper()} over all frames of a set, profile {found.profile}{set_}"


def _notes(found: Matrix) -> Iterator[str]:
    """What the marks and the intervals mean, as far as they are there; of the demo profile, what its figures mean."""
    yield from caution(found.profile)
    if any(row.tied for row in found.rows):
        yield _TIES
    if any(row.hindsight for row in found.rows):
        yield _HINDSIGHT
    if any(row.pretrained for row in found.rows):
        yield _PRETRAINED
    few = [column for column in found.columns if not column.has_interval]
    if few:
        counts = ", ".join(f"{c.name} ({c.anomalous_videos})" for c in few)
        line = f"no interval from sets with fewer than {LEAST_VIDEOS} videos with an anomaly: {counts}"
        if len(few) < len(found.columns):
            line += "; their figures are taken as they are, so the intervals of worst case and mean rank are too narrow"
        yield line
    if any(row.worst_interval for row in found.rows):
        yield "[low, high]: 95 % interval, a bootstrap over videos within each set, the same draws for all rows"
    if found.metric == "ap" and any(row.worst_interval for row in found.rows):
        yield "intervals are of the variant shown; that which a run prints for the variant that its labels chose (*) chooses again in each draw"


def _missing(found: Matrix) -> Iterator[str]:
    yield f"{plural(len(found.missing), 'cell')} missing; a row without all sets has no worst case and no rank"
    for one in found.missing[:_MOST_MISSING]:
        yield f"  {one.entry} on {one.on}: {one.why}"
    if more := len(found.missing) - _MOST_MISSING:
        yield f"  and {more} more" if more > 0 else ""
    yield "to run:"
    commands = list(dict.fromkeys(one.command for one in found.missing))
    yield from (f"  {command}" for command in commands[:_MOST_MISSING])
