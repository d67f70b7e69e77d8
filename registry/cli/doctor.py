"""`vad doctor`: what is wrong with the store, and its mending."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from registry.cli.options import home
from vad.errors import InputError

if TYPE_CHECKING:  # what is heavy is imported where it is used
    from registry.maintenance.doctor import Report
    from registry.maintenance.findings import Finding


@click.command(short_help="What is wrong with the store; --fix mends it.")
@click.option("--fix", is_flag=True, help="Mend what can be mended. Without it nothing is changed.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor(fix: bool, as_json: bool) -> None:
    """Find what is wrong with the store and its caches, and with --fix mend it.

    Folders that were moved, runs whose process is gone, half-written caches, artifacts that nobody owns, runs and
    versions that lost their files. Exit status 2 while a fault remains; a note is no fault.

    Example: vad doctor --fix
    """
    from registry.maintenance.doctor import examine, mend
    from registry.store.tracking import default_uri

    report = examine(default_uri(), home())
    mended: list[Finding] = []
    if fix and (done := mend(report)):
        report = examine(default_uri(), home())
        mended = [replace(finding, remedy=said) for finding, said in done.items() if finding not in report.findings]
    click.echo(_as_json(report, mended) if as_json else _as_text(report, mended))
    if report.faults:
        raise InputError(_summary(report))


def _summary(report: "Report") -> str:
    """How many faults there are, and what is to be done."""
    from registry.console import plural

    count = plural(len(report.faults), "fault")
    mendable = sum(finding.mend is not None for finding in report.faults)
    if not mendable:
        return f"{count} that `vad doctor --fix` cannot mend; the report says what helps with each"
    return f"{count}, of which `vad doctor --fix` mends {mendable}; the report says what helps with each"


def _as_text(report: "Report", mended: list["Finding"]) -> str:
    from registry.console import plural
    from registry.maintenance.repair import megabytes

    lines = [f"mended {finding.where}: {finding.what}\n       {finding.remedy}" for finding in mended]
    for finding in report.findings:
        remedy = f"--fix: {finding.remedy}" if finding.mend else finding.remedy
        lines.append(f"{'note  ' if finding.note else 'fault '} {finding.where}: {finding.what}\n       {remedy}")
    if report.left_out:
        lines.append(f"not looked at, for want of the server's disk: {', '.join(report.left_out)}")
    if not report.faults:
        sizes = [plural(report.runs, "run"), plural(report.versions, "version")]
        sizes += [] if report.left_out else [f"{megabytes(report.artifact_bytes)} of artifacts"]
        lines.append(f"sound: {', '.join(sizes)}, {megabytes(report.cache_bytes)} of caches")
    return "\n".join(lines)


def _as_json(report: "Report", mended: list["Finding"]) -> str:
    def plain(finding: "Finding") -> dict[str, Any]:
        kind = "note" if finding.note else "fault"
        about = {"where": finding.where, "what": finding.what, "remedy": finding.remedy}
        return {"kind": kind, **about, "fix_mends": finding.mend is not None}

    content = {
        "sound": not report.faults,
        "findings": [plain(finding) for finding in report.findings],
        "mended": [plain(finding) for finding in mended],
        "runs": report.runs,
        "versions": report.versions,
        "artifact_bytes": None if report.left_out else report.artifact_bytes,
        "cache_bytes": report.cache_bytes,
        "left_out": list(report.left_out),
    }
    return json.dumps(content, indent=2)
