"""Every finished run, best first within one data set and protocol, the reference's figure beside ours."""

import csv
import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from registry.console import table
from registry.models.versions import Versions
from registry.store.tracking import Found, Tracking


@dataclass(frozen=True)
class Row:
    """A run on the leaderboard."""

    experiment: str
    rank: int
    entry: str
    variant: str
    figure: str
    value: float | None
    low: float | None
    high: float | None
    auc: float | None
    reference_ap: float | None
    profile: str
    train_seconds: float | None
    started: str
    run_id: str
    model: str


def leaderboard(tracking: Tracking, everything: bool = False) -> list[Row]:
    """The best run of each entry, profile and set of overrides; with `everything`, every run."""
    versions = Versions(tracking)
    aliases = versions.aliases()
    models = {
        v.run_id: f"v{v.number}" + "".join(f" {alias}" for alias in aliases.get(v.number, [])) for v in versions.all()
    }
    boards: dict[str, list[Found]] = {}
    for run in tracking.find("experiment"):
        boards.setdefault(run.experiment, []).append(run)
    rows: list[Row] = []
    for experiment in sorted(boards):
        ranked = sorted(boards[experiment], key=lambda run: -run.metrics.get(_figure(run), -1.0))
        seen = set()
        rank = 0
        for run in ranked:
            identity = tuple(run.tags.get(f"vad.{key}", "") for key in ("entry", "profile", "set"))
            if identity in seen and not everything:
                continue
            seen.add(identity)
            rank += 1
            rows.append(_row(run, rank, models.get(run.run_id, "")))
    return rows


def as_text(rows: Sequence[Row]) -> str:
    """A table for a terminal, one for each data set and protocol."""
    if not rows:
        return "No finished run yet. Start with: make run EXP=phase5_multiscale"
    parts = []
    for experiment in dict.fromkeys(row.experiment for row in rows):
        board = [row for row in rows if row.experiment == experiment]
        name = "AP" if board[0].figure == "ap" else "proxy AP"
        header = [
            "#",
            "entry",
            "variant",
            name,
            "95 % interval",
            "AUC",
            "reference AP",
            "profile",
            "train s",
            "model",
            "run",
        ]
        body = [
            [
                row.rank,
                row.entry,
                row.variant,
                _number(row.value),
                f"{row.low:.4f} to {row.high:.4f}" if row.low is not None and row.high is not None else "-",
                _number(row.auc),
                _number(row.reference_ap),
                row.profile,
                f"{row.train_seconds:.0f}" if row.train_seconds is not None else "-",
                row.model or "-",
                row.run_id[:8],
            ]
            for row in board
        ]
        parts.append(f"{experiment}\n{table(header, body, right=(0, 3, 5, 6, 8))}")
    return "\n\n".join(parts)


def as_json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2)


def as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(Row.__dataclass_fields__)
    writer.writerow(names)
    writer.writerows([getattr(row, name) if getattr(row, name) is not None else "" for name in names] for row in rows)
    return text.getvalue().rstrip("\n")


def _row(run: Found, rank: int, model: str) -> Row:
    figure = _figure(run)
    metrics, tags = run.metrics, run.tags
    reference = tags.get("vad.reference_ap")
    return Row(
        experiment=run.experiment,
        rank=rank,
        entry=tags.get("vad.entry", run.name),
        variant=run.params.get("best_variant", ""),
        figure=figure,
        value=metrics.get(figure),
        low=metrics.get(f"{figure}_low"),
        high=metrics.get(f"{figure}_high"),
        auc=metrics.get("auc" if figure == "ap" else "proxy_auc"),
        reference_ap=float(reference) if reference else None,
        profile=tags.get("vad.profile", "") + (f" ({tags['vad.set']})" if tags.get("vad.set") else ""),
        train_seconds=metrics.get("members_seconds"),
        started=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started)),
        run_id=run.run_id,
        model=model,
    )


def _figure(run: Found) -> str:
    return run.tags.get("vad.figure", "ap")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
