"""The leaderboard as text for a terminal, as JSON, and as CSV."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from registry.analysis.leaderboard import Row, differing
from registry.console import table

_TIES = "=  a tie: its interval reaches the figure of the first of that rank; `vad compare A B` compares two runs pair by pair"


def as_text(rows: Sequence[Row]) -> str:
    """A table for each data set and protocol; columns that would be empty, or the same in every row, are left out."""
    if not rows:
        return "No finished run yet. Start with: make run EXP=phase5_multiscale"
    parts = []
    for experiment in dict.fromkeys(row.experiment for row in rows):
        board = [row for row in rows if row.experiment == experiment]
        parts.append(f"{experiment}\n{_board(board)}")
    if any(row.tied for row in rows):
        parts.append(_TIES)
    return "\n\n".join(parts)


def _board(board: Sequence[Row]) -> str:
    """One board's table."""
    name = "AP" if board[0].figure == "ap" else "proxy AP"
    columns: list[tuple[str, bool, Callable[[Row], str]]] = [
        ("#", True, lambda row: f"{row.rank}{'=' if row.tied else ' '}"),
        ("entry", False, lambda row: row.entry),
        ("variant", False, lambda row: row.variant),
        (name, True, lambda row: _number(row.value)),
        ("95 % interval", False, _interval),
        ("AUC", True, lambda row: _number(row.auc)),
        ("reference AP", False, _reference),
        ("board", False, lambda row: ", ".join(f"{score:.4f} {name}" for name, score in row.boards.items()) or "-"),
        ("train s", True, lambda row: _whole(row.train_seconds)),
        ("frames/s", True, lambda row: _whole(row.frames_per_second)),
        ("MB", True, lambda row: _whole(row.megabytes)),
        ("model", False, lambda row: row.model or "-"),
        ("run", False, lambda row: row.run_id[:8]),
    ]
    if len({row.profile for row in board}) > 1:
        columns.append(("profile", False, lambda row: row.profile))
    columns += [(setting, False, _setting(setting)) for setting in differing(board)]
    cells = [(title, right, [show(row) for row in board]) for title, right, show in columns]
    kept = [column for column in cells if set(column[2]) != {"-"}]
    body = list(zip(*(column[2] for column in kept), strict=True))
    right = [place for place, column in enumerate(kept) if column[1]]
    return table([title for title, _, _ in kept], body, right=right)


def as_json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2)


def as_csv(rows: Sequence[Row]) -> str:
    """A column a value: boards and settings are spread out, as `board_public` and `param_lr`."""
    plain = []
    for row in rows:
        values = asdict(row)
        boards, params = values.pop("boards"), values.pop("params")
        values |= {f"board_{name}": score for name, score in boards.items()}
        plain.append(values | {f"param_{name}": value for name, value in params.items()})
    names = list(dict.fromkeys(name for values in plain for name in values)) or list(Row.__dataclass_fields__)
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: value for name, value in values.items() if value is not None} for values in plain)
    return text.getvalue().rstrip("\n")


def _setting(name: str) -> Callable[[Row], str]:
    return lambda row: row.params.get(name, "-")


def _interval(row: Row) -> str:
    return "-" if row.low is None or row.high is None else f"{row.low:.4f} to {row.high:.4f}"


def _reference(row: Row) -> str:
    if row.reference_ap is None:
        return "-"
    other = f" {row.reference_of}" if row.reference_of and row.reference_of != row.variant else ""
    return f"{row.reference_ap:.4f}{other}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
