"""Every finished run, best first within one data set and protocol, the reference's and the board's figures beside ours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from registry.models.lineage import board_scores
from registry.models.versions import Versions
from registry.store.tracking import Found, Tracking

_PARAMS = ("model", "input", "members", "sizes", "loss", "epochs", "lr", "precision")
"""What of an entry's settings a leaderboard shows, where runs differ in it."""


@dataclass(frozen=True)
class Row:
    """A run on the leaderboard.

    `rank` is that of the first of its tie; `tied` says that there are others. `reference_of` is the variant of the
    reference's figure. Costs: `train_seconds` of all its members, whichever run paid for them, `frames_per_second`
    from decoded frames to scores, `megabytes` of weights.
    """

    experiment: str
    rank: int
    tied: bool
    entry: str
    variant: str
    figure: str
    value: float | None
    low: float | None
    high: float | None
    auc: float | None
    reference_ap: float | None
    reference_of: str
    boards: dict[str, float]
    profile: str
    train_seconds: float | None
    frames_per_second: float | None
    megabytes: float | None
    params: dict[str, str]
    started: str
    run_id: str
    model: str


def leaderboard(tracking: Tracking, everything: bool = False) -> list[Row]:
    """The best run of each entry, profile and set of overrides; with `everything`, every run."""
    models = _models(tracking)
    boards: dict[str, list[Found]] = {}
    for run in tracking.find("experiment"):
        boards.setdefault(run.experiment, []).append(run)
    rows: list[Row] = []
    for experiment in sorted(boards):
        ranked = sorted(boards[experiment], key=lambda run: -run.metrics.get(_figure(run), -1.0))
        seen = set()
        board = []
        for run in ranked:
            identity = tuple(run.tags.get(f"vad.{key}", "") for key in ("entry", "profile", "set"))
            if identity in seen and not everything:
                continue
            seen.add(identity)
            board.append(_row(run, models))
        rows += _ranked(board)
    return rows


def _ranked(board: list[Row]) -> list[Row]:
    """Rows, best first, with their ranks. A row ties with the first of its group when its interval reaches that one's figure."""
    ranked: list[Row] = []
    first: Row | None = None
    for position, row in enumerate(board, 1):
        reaches = first is not None and row.high is not None and first.value is not None and row.high >= first.value
        if first is None or not reaches:
            first = row = replace(row, rank=position)
        else:
            row = replace(row, rank=first.rank, tied=True)
        ranked.append(row)
    ties = {row.rank for row in ranked if row.tied}
    return [replace(row, tied=row.rank in ties) for row in ranked]


def differing(board: Sequence[Row]) -> list[str]:
    """The settings in which the runs of one board differ."""
    return [name for name in _PARAMS if len({row.params.get(name, "") for row in board}) > 1]


def _models(tracking: Tracking) -> dict[str, str]:
    """The version that each run registered, or found registered already, with its aliases; by run id and by number."""
    versions = Versions(tracking)
    aliases = versions.aliases()
    named: dict[str, str] = {}
    for version in versions.all():
        text = " ".join([f"v{version.number}", *aliases.get(version.number, [])])
        named |= {version.run_id: text, version.number: text}
    return named


def _row(run: Found, models: dict[str, str]) -> Row:
    figure = _figure(run)
    metrics, tags = run.metrics, run.tags
    reference = tags.get("vad.reference_ap")
    return Row(
        experiment=run.experiment,
        rank=0,
        tied=False,
        entry=tags.get("vad.entry", run.name),
        variant=run.params.get("best_variant", ""),
        figure=figure,
        value=metrics.get(figure),
        low=metrics.get(f"{figure}_low"),
        high=metrics.get(f"{figure}_high"),
        auc=metrics.get("auc" if figure == "ap" else "proxy_auc"),
        reference_ap=float(reference) if reference else None,
        reference_of=tags.get("vad.reference_of", ""),
        boards=board_scores(metrics),
        profile=tags.get("vad.profile", "") + (f" ({tags['vad.set']})" if tags.get("vad.set") else ""),
        train_seconds=metrics.get("members_seconds"),
        frames_per_second=metrics.get("frames_per_second"),
        megabytes=metrics.get("megabytes"),
        params={name: run.params[name] for name in _PARAMS if name in run.params},
        started=run.when,
        run_id=run.run_id,
        model=models.get(run.run_id) or models.get(tags.get("vad.version", ""), ""),
    )


def _figure(run: Found) -> str:
    return run.tags.get("vad.figure", "ap")
