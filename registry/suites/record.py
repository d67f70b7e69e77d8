"""A suite's matrix in MLflow: an experiment of its own with a run for each row, written anew only where figures changed."""

import re
from dataclasses import asdict

from registry.store.runlog import DESCRIPTION
from registry.store.tracking import Tracking
from registry.suites.matrix import Matrix, Row
from registry.suites.report import as_markdown
from vad.detectors.member import digest_of

_NOT_IN_A_METRIC = re.compile(r"[^\w .-]")


def record(found: Matrix, tracking: Tracking) -> int:
    """Write the rows that changed since they were written last; return how many. A row that is replaced is deleted."""
    rows = [row for row in found.rows if row.cells]
    if not rows:
        return 0
    note = as_markdown(found)
    experiment = tracking.experiment(f"suite: {found.name}", {DESCRIPTION: note})
    columns = {column.name: column.protocol for column in found.columns}
    known = {run.tags.get("vad.entry"): run for run in reversed(tracking.find("suite", experiment_id=experiment))}
    written = 0
    for row in rows:
        about = {"figure": found.figure, "profile": found.profile, "set": found.overrides, "columns": columns}
        digest = digest_of(about | {"row": asdict(row)})
        before = known.get(row.entry)
        if before is not None and before.tags.get("vad.digest") == digest:
            continue
        tags = {
            "vad.entry": row.entry,
            "vad.suite": found.name,
            "vad.variant": row.variant,
            "vad.variant_chosen_by": "the worst case on these labels" if row.hindsight else "the entry",
            "vad.profile": found.profile,
            "vad.set": " ".join(found.overrides),
        }
        log = tracking.open_run(
            experiment, "suite", digest, row.entry, {key: value for key, value in tags.items() if value}
        )
        log.log(_metrics(row, found), {"entry": row.entry, "variant": row.variant, "profile": found.profile})
        log.end("FINISHED")
        if before is not None:
            tracking.client.delete_run(before.run_id)
        written += 1
    if written:
        tracking.client.set_experiment_tag(experiment, DESCRIPTION, note)
    return written


def _metrics(row: Row, found: Matrix) -> dict[str, float]:
    metrics: dict[str, float | None] = {"worst": row.worst, "mean_rank": row.mean_rank, "rank": row.rank}
    if row.worst_interval:
        metrics |= {"worst_low": row.worst_interval[0], "worst_high": row.worst_interval[1]}
    for name, cell in row.cells.items():
        metrics[f"{found.figure}.{_NOT_IN_A_METRIC.sub('_', name)}"] = cell.value
    return {name: float(value) for name, value in metrics.items() if value is not None}
