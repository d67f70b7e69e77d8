"""Every finished run, best first within one data set and protocol, the reference's and the board's metrics beside ours."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import pandas as pd

from registry.console import number, table
from registry.models.lineage import board_scores
from registry.models.versions import Versions
from registry.store.tracking import Found, Tracking

# The settings that are shown where runs differ in them.
_PARAMS = ("model", "input", "members", "sizes", "repair", "loss", "epochs", "lr", "precision")
_FLUSH_RIGHT = ("#", "AP", "proxy AP", "AUC", "proxy AUC", "train s", "frames/s", "MB")
_TIES = "=  a tie: its interval reaches the value of the first of that rank; `vad compare A B` compares two runs pair by pair"


@dataclass
class Row:
    """A run on the leaderboard."""

    experiment: str
    rank: int  # that of the first of its tie
    tied: bool
    entry: str
    variant: str
    figure: str  # `ap` or `proxy_ap`; so spelt in --json and --csv
    value: float | None
    low: float | None
    high: float | None
    auc: float | None
    transductive: str  # "no" where a frame alone scores as among the others; empty where an older run does not say
    pretrained: str  # "yes" where weights that were trained on other data have a part in it, else "no"
    reference_ap: float | None
    reference_of: str  # the variant of the reference's AP
    boards: dict[str, float]
    profile: str
    train_seconds: float | None  # of all its members, whichever run trained them
    frames_per_second: float | None
    megabytes: float | None  # of weights
    params: dict[str, str]
    started: str
    run_id: str
    model: str


def leaderboard(tracking: Tracking, everything: bool = False) -> list[Row]:
    """The best run of each entry, profile and set of overrides; with `everything`, every run.

    In each experiment, runs with pretrained weights have a ranking of their own, below that of the others.
    """
    models: dict[str, str] = {}  # the version that a run registered, or found registered, by run id and by number
    aliases = (versions := Versions(tracking)).aliases()
    for version in versions.all():
        text = " ".join([f"v{version.number}", *aliases.get(version.number, [])])
        models |= {version.run_id: text, version.number: text}
    runs = tracking.find("experiment")
    runs.sort(key=lambda run: (run.experiment, -run.metrics.get(run.tags.get("vad.figure", "ap"), -1.0)))
    rows: list[Row] = []
    for _, board in groupby(runs, key=lambda run: run.experiment):
        best: dict[object, Found] = {}
        for run in board:
            settings = tuple(run.tags.get(f"vad.{key}", "") for key in ("entry", "profile", "set"))
            best.setdefault(run.run_id if everything else settings, run)
        found = [_row(run, models) for run in best.values()]
        for pretrained in ("no", "yes"):
            rows += _ranked([row for row in found if row.pretrained == pretrained])
    return rows


def _ranked(board: list[Row]) -> list[Row]:
    """Rank rows, best first. A row ties with the first of its group when its interval reaches that one's value."""
    first = None
    for position, row in enumerate(board, 1):
        if first is None or row.high is None or first.value is None or row.high < first.value:
            first, row.rank = row, position
        row.rank = first.rank
    count = Counter(row.rank for row in board)
    for row in board:
        row.tied = count[row.rank] > 1
    return board


def _row(run: Found, models: dict[str, str]) -> Row:
    tags, figure = run.tags, run.tags.get("vad.figure", "ap")
    reference = tags.get("vad.reference_ap")
    keys = {"value": figure, "low": f"{figure}_low", "high": f"{figure}_high"}
    keys |= {"auc": "auc" if figure == "ap" else "proxy_auc", "train_seconds": "members_seconds"}
    keys |= {"frames_per_second": "frames_per_second", "megabytes": "megabytes"}
    figures: dict[str, Any] = {field: run.metrics.get(key) for field, key in keys.items()}
    return Row(
        **figures,
        experiment=run.experiment,
        rank=0,
        tied=False,
        entry=tags.get("vad.entry", run.name),
        variant=run.params.get("best_variant", ""),
        figure=figure,
        transductive=tags.get("vad.transductive", ""),
        pretrained=tags.get("vad.pretrained", "no"),
        reference_ap=float(reference) if reference else None,
        reference_of=tags.get("vad.reference_of", ""),
        boards=board_scores(run.metrics),
        profile=tags.get("vad.profile", "") + (f" ({tags['vad.set']})" if tags.get("vad.set") else ""),
        params={name: run.params[name] for name in _PARAMS if name in run.params},
        started=run.when,
        run_id=run.run_id,
        model=models.get(run.run_id) or models.get(tags.get("vad.version", ""), ""),
    )


def as_text(rows: Sequence[Row]) -> str:
    """A table for each data set and protocol; columns that would be empty, or the same in every row, are left out."""
    if not rows:
        return "No finished run yet. Start with: make run EXP=phase5_multiscale"
    boards = groupby(
        rows, key=lambda row: f"{row.experiment}{', pretrained elsewhere' if row.pretrained == 'yes' else ''}"
    )
    parts = [f"{title}\n{_board(list(board))}" for title, board in boards]
    return "\n\n".join([*parts, *([_TIES] if any(row.tied for row in rows) else [])])


def _board(board: Sequence[Row]) -> str:
    """One board's table."""
    cells = [_cells(row) for row in board]
    settings = [name for name in _PARAMS if len({row.params.get(name, "") for row in board}) > 1]
    profiles, inductive = len({row.profile for row in board}) > 1, any(row.transductive == "no" for row in board)
    for row, line in zip(board, cells, strict=True):
        line += [("profile", row.profile)] if profiles else []
        line += [("transductive", row.transductive or "-")] if inductive else []
        line += [(name, row.params.get(name, "-")) for name in settings]
    kept = [column for column in zip(*cells, strict=True) if {cell for _, cell in column} != {"-"}]
    titles = [column[0][0] for column in kept]
    body = list(zip(*([cell for _, cell in column] for column in kept), strict=True))
    return table(titles, body, right=[place for place, title in enumerate(titles) if title in _FLUSH_RIGHT])


def _cells(row: Row) -> list[tuple[str, str]]:
    """A row's cells, each with the title of its column."""
    other = f" {row.reference_of}" if row.reference_of not in ("", row.variant) else ""
    return [
        ("#", f"{row.rank}{'=' if row.tied else ' '}"),
        ("entry", row.entry),
        ("variant", row.variant),
        ("AP" if row.figure == "ap" else "proxy AP", number(row.value)),
        ("95 % interval", "-" if row.low is None or row.high is None else f"{row.low:.4f} to {row.high:.4f}"),
        ("AUC" if row.figure == "ap" else "proxy AUC", number(row.auc)),
        ("reference AP", number(row.reference_ap) + other),
        ("board", ", ".join(f"{score:.4f} {name}" for name, score in row.boards.items()) or "-"),
        ("train s", number(row.train_seconds, ",.0f")),
        ("frames/s", number(row.frames_per_second, ",.0f")),
        ("MB", number(row.megabytes, ",.0f")),
        ("version", row.model or "-"),
        ("run", row.run_id[:8]),
    ]


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
    columns = None if plain else list(Row.__dataclass_fields__)
    return pd.DataFrame(plain, columns=columns).to_csv(index=False, lineterminator="\n").rstrip("\n")
