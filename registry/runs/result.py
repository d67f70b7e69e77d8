"""A finished run as it is shown, and as it is kept among its artifacts."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from registry.models.versions import Versions
from registry.store.record import Altered
from registry.store.tracking import Found, Tracking
from vad.measures.metrics import Measured

FILE = "results.json"


@dataclass(frozen=True)
class Result:
    """A finished run as it is shown: its variants best first, where it is, what was registered."""

    entry: str
    data: str
    profile: str
    figure: str
    best: str
    variants: dict[str, Measured | None]
    reference: dict[str, float]
    members: dict[str, str]
    run_id: str
    link: str
    version: str | None = None
    registered: str = ""


def present(result: Result, versions: Versions) -> Result:
    """A stored result with what is true of its version now: aliases move after a run has ended."""
    if result.version is None:
        return result
    production = versions.alias("production")
    state = "production" if production and production.number == result.version else "not production"
    if production and production.number != result.version:
        state += f", which is version {production.number}"
    return replace(result, registered=f"{result.best} is version {result.version} of the registered model; {state}")


def stored_result(tracking: Tracking, run: Found, home: Path) -> Result | None:
    """What a finished run found, from its own record; None where that is gone or was altered."""
    try:
        path = tracking.fetch(run.run_id, FILE, home / "fetched" / run.run_id)
        if path is None:
            return None
        content = json.loads(path.read_text())
        content["variants"] = {n: Measured(**m) if m else None for n, m in content["variants"].items()}
        return Result(**content)
    except (Altered, ValueError, TypeError, KeyError):
        return None
