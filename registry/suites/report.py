"""A suite's matrix in the terminal, as JSON, as CSV and as Markdown."""

import csv
import io
import json
from collections.abc import Iterator
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
        return "\n".join(
            [*_about(found), "", "No entry has a finished run on these data sets; name some: vad run EXP ..."]
        )
    header, rows = _table(found)
    lines = [table(header, rows, right=(0, *range(3, 3 + len(found.columns)))), ""]
    lines += _notes(found)
    if found.missing:
        lines += ["", *_missing(found)]
    return "\n".join([*_about(found), "", *lines])


def as_markdown(found: Matrix) -> str:
    """The matrix as a table in Markdown, with its notes."""
    header, rows = _table(found)
    rows = [header, ["---"] * len(header), *rows]
    return "\n\n".join([" ".join(_about(found)), "\n".join(f"| {' | '.join(row)} |" for row in rows), *_notes(found)])


def as_json(found: Matrix) -> str:
    """All of it, for programs."""
    return json.dumps(asdict(found), indent=2)


def as_csv(found: Matrix) -> str:
    """A line a row; of each set its figure, interval and run in columns of their own."""
    out = io.StringIO()
    sets = [f"{column.name}{part}" for column in found.columns for part in ("", " low", " high", " run")]
    compared = ["worst", "worst_on", "worst low", "worst high", "mean_rank", "mean_rank low", "mean_rank high"]
    header = [
        "rank",
        "tied",
        "entry",
        "variant",
        "hindsight",
        "pretrained",
        *compared,
        "behind",
        "behind low",
        "behind high",
        *sets,
    ]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for row in found.rows:
        line: list[Any] = [row.rank, row.tied, row.entry, row.variant, row.hindsight, row.pretrained]
        line += [row.worst, row.worst_on]
        line += [*_ends(row.worst_interval), row.mean_rank, *_ends(row.rank_interval)]
        line += [row.behind, *_ends(row.behind_interval)]
        for column in found.columns:
            cell = row.cells.get(column.name)
            line += [cell.value, *_ends(cell.interval), cell.run_id] if cell else [None] * 4
        writer.writerow(line)
    return out.getvalue().rstrip("\n")


def within(interval: Interval | None) -> str:
    """An interval in brackets, with a space before it; empty without one."""
    return f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return interval or (None, None)


def _table(found: Matrix) -> tuple[list[str], list[list[str]]]:
    """Header and rows; whether weights were pretrained stands there if they were in some row."""
    names = [column.name for column in found.columns]
    header = ["#", "entry", "variant", *names, "worst case", "on", "mean rank"]
    rows = [_line(row, names) for row in found.rows]
    if any(row.pretrained for row in found.rows):
        header.append("pretrained")
        for row, line in zip(found.rows, rows, strict=True):
            line.append("yes" if row.pretrained else "no")
    return header, rows


def _line(row: Row, names: list[str]) -> list[str]:
    cells = [f"{row.cells[name].value:.4f}" if name in row.cells else "-" for name in names]
    rank = "-" if row.rank is None else f"{row.rank}{'=' if row.tied else ' '}"
    worst = "-" if row.worst is None else f"{row.worst:.4f}{within(row.worst_interval)}"
    mean = "-"
    if row.mean_rank is not None:
        low, high = row.rank_interval or (row.mean_rank, row.mean_rank)
        mean = f"{row.mean_rank:.2f}" + (f" [{low:.2f}, {high:.2f}]" if row.rank_interval else "")
    return [
        rank,
        row.entry,
        (row.variant or "-") + ("*" if row.hindsight else ""),
        *cells,
        worst,
        row.worst_on or "-",
        mean,
    ]


def _about(found: Matrix) -> list[str]:
    set_ = f", set: {', '.join(found.overrides)}" if found.overrides else ""
    metric = "AUC" if found.metric == "auc" else "AP"
    return [f"suite {found.name}: {metric} over all frames of a set, profile {found.profile}{set_}"]


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
