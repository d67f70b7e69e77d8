"""Examine a store and its caches, which changes nothing, and mend what can be mended."""

import json
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from registry.console import plural
from registry.maintenance import repair as mending
from registry.maintenance.findings import Finding, Store, check
from registry.store import mlflow_private
from registry.store.address import ARTIFACTS, reading, sqlite_path, sqlite_uri
from registry.store.connection import require_schema
from registry.store.tracking import Tracking, default_uri
from vad.errors import InputError

_RECORDS = ("decision", "suite")  # kinds of runs in MLflow that nobody ran
_LEFT_OUT = ("moved addresses", "altered and orphaned artifacts", "data that is gone")


@dataclass(frozen=True)
class Report:
    """All findings, and how large the store is. `left_out` names what could not be looked at."""

    findings: list[Finding]
    mended: list[Finding]
    runs: int
    versions: int
    artifact_bytes: int | None
    cache_bytes: int
    left_out: tuple[str, ...] = ()

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.note]


def examine(home: Path) -> Report:
    """Look at the store and at the caches in `home`. Raises InputError where there is no store, and for what cannot be read."""
    uri = default_uri()
    database = sqlite_path(uri)
    with mending.possible("read", "make it readable"):
        store = _on_disk(database.resolve()) if database else Store(Tracking(uri, mark_stale=False))
        artifacts = mending.size(store.artifacts) if store.database else None
        runs = sum(run.tags["vad.kind"] not in _RECORDS for run in store.runs)
        sizes = runs, len(store.versions), artifacts, mending.size(home)
        return Report(check(store, home), [], *sizes, () if store.database else _LEFT_OUT)


def mend(report: Report, home: Path) -> Report:
    """Mend what can be mended, and look again; `mended` says what was done. Raises InputError for what cannot be written."""
    done = {}
    with mending.possible("change", "make it yours"):
        for finding in report.findings:
            if finding.mend:
                made = finding.mend()
                done[finding] = f"{finding.remedy}: {made}" if isinstance(made, Path) else finding.remedy
    again = examine(home) if done else report
    mended = [replace(finding, remedy=said) for finding, said in done.items() if finding not in again.findings]
    return replace(again, mended=mended)


def summary(report: Report) -> str:
    """How many faults there are, and what is to be done."""
    count = plural(len(report.faults), "fault")
    mendable = sum(finding.mend is not None for finding in report.faults)
    can = f", of which `vad doctor --fix` mends {mendable}" if mendable else " that `vad doctor --fix` cannot mend"
    return f"{count}{can}; the report says what helps with each"


def as_text(report: Report) -> str:
    """The report for a terminal: what was mended, what is wrong, or that the store is sound."""
    lines = [f"mended {finding.where}: {finding.what}\n       {finding.remedy}" for finding in report.mended]
    for finding in report.findings:
        remedy = f"--fix: {finding.remedy}" if finding.mend else finding.remedy
        lines.append(f"{'note  ' if finding.note else 'fault '} {finding.where}: {finding.what}\n       {remedy}")
    if report.left_out:
        lines.append(f"not looked at, for want of the server's disk: {', '.join(report.left_out)}")
    if not report.faults:
        sizes = [plural(report.runs, "run"), plural(report.versions, "version")]
        if report.artifact_bytes is not None:
            sizes.append(f"{mending.megabytes(report.artifact_bytes)} of artifacts")
        lines.append(f"sound: {', '.join(sizes)}, {mending.megabytes(report.cache_bytes)} of caches")
    return "\n".join(lines)


def as_json(report: Report) -> str:
    def plain(finding: Finding) -> dict[str, Any]:
        kind = "note" if finding.note else "fault"
        about = {"where": finding.where, "what": finding.what, "remedy": finding.remedy}
        return {"kind": kind, **about, "fix_mends": finding.mend is not None}

    content = {"sound": not report.faults, **vars(report)}
    content |= {key: [plain(finding) for finding in content[key]] for key in ("findings", "mended")}
    return json.dumps(content, indent=2)


def _on_disk(database: Path) -> Store:
    """What a SQLite store knows. Raises InputError where there is none, before MLflow's client could make or change it."""
    if not database.is_file():
        raise InputError(f"there is no {database}; run an experiment first, or name a store with MLFLOW_TRACKING_URI")
    artifacts = database.with_name(ARTIFACTS)
    folders = list(mending.run_folders(artifacts))  # before the database, which knows a run before its folder is made
    try:
        require_schema(database)
        with reading(database) as ask:
            moved = mending.find_moved(mlflow_private.addresses(ask), artifacts)
            places = mlflow_private.places(ask)
    except sqlite3.Error as error:
        half = database.with_name(f"{database.name}-journal").exists()
        hint = "a write to it was cut off: `vad leaderboard` takes that back" if half else "is it MLflow's database?"
        raise InputError(f"{database} cannot be read: {error}; {hint}") from None

    places = {owner: moved.get(address, address) for owner, address in places.items()}
    return Store(Tracking(sqlite_uri(database), mark_stale=False), places, database, moved, folders)
