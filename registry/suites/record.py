"""A suite's matrix in MLflow: an experiment of its own with a run for each row, written anew only where figures changed."""

import re
from dataclasses import asdict

from registry.store.runlog import DESCRIPTION
from registry.store.tracking import Tracking
from registry.store.ui import TAG as VIEW_TAG
from registry.store.ui import suite_view
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
    about = {"metric": found.metric, "profile": found.profile, "set": found.overrides, "columns": columns}
    runs = tracking.find("suite", experiment_id=experiment)
    written = 0
    for row in rows:
        digest = digest_of(about | {"row": asdict(row)})
        before = [run for run in runs if run.tags.get("vad.entry") == row.entry]
        same = next((run.run_id for run in before if run.tags.get("vad.digest") == digest), None)
        if same is None:
            _write(row, found, experiment, digest, tracking)
            written += 1
        for run in before:
            if run.run_id != same:
                tracking.client.delete_run(run.run_id)
    if written:
        figures = [_metric(found, column.name) for column in found.columns]
        view = suite_view(["worst", "worst_low", "worst_high", "mean_rank", *figures])
        for tag, value in {DESCRIPTION: note, VIEW_TAG: view}.items():
            tracking.client.set_experiment_tag(experiment, tag, value)
    return written


def _write(row: Row, found: Matrix, experiment: str, digest: str, tracking: Tracking) -> None:
    tags = {
        "vad.entry": row.entry,
        "vad.suite": found.name,
        "vad.variant": row.variant,
        "vad.variant_chosen_by": "the worst case on these labels" if row.hindsight else "the entry",
        "vad.pretrained": "yes" if row.pretrained else "",
        "vad.profile": found.profile,
        "vad.set": " ".join(found.overrides),
    }
    kept = {key: value for key, value in tags.items() if value}
    log = tracking.open_run(experiment, "suite", digest, row.entry, kept)
    log.log(_metrics(row, found), {"entry": row.entry, "variant": row.variant, "profile": found.profile})
    log.end("FINISHED")


def _metrics(row: Row, found: Matrix) -> dict[str, float]:
    low, high = row.worst_interval or (None, None)
    compared = {"worst": row.worst, "worst_low": low, "worst_high": high, "mean_rank": row.mean_rank, "rank": row.rank}
    metrics = compared | {_metric(found, name): cell.value for name, cell in row.cells.items()}
    return {name: float(value) for name, value in metrics.items() if value is not None}


def _metric(found: Matrix, column: str) -> str:
    """The metric of a column."""
    return f"{found.metric}.{_NOT_IN_A_METRIC.sub('_', column)}"
