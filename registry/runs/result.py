"""What a run found: figures, members and the registered version; and how a person sees them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from registry.console import plural, table
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


def as_text(result: Result) -> str:
    """A run's variants best first, where the run is, what was registered, and what to do next."""
    name = "AP" if result.figure == "ap" else "proxy AP"
    rows = []
    for variant, m in result.variants.items():
        mark = "*" if variant == result.best else ""
        reference = f"{result.reference[variant]:.4f}" if variant in result.reference else "-"
        if m is None:
            rows.append([mark, variant, "-", "-", "-", reference])
        else:
            rows.append([mark, variant, f"{m.ap:.4f}", interval(m), f"{m.auc:.4f}", reference])
    auc = "AUC" if result.figure == "ap" else "proxy AUC"
    parts = ["", table(["", "variant", name, "95 % interval", auc, "reference AP"], rows, right=(2, 4, 5)), ""]
    if top := result.variants[result.best]:
        pooled = f"{plural(top.frames, 'frame')}, {plural(top.videos, 'video')}"
        parts.append(f"prevalence {top.prevalence:.4f} (the AP of random scores), {pooled}")
    if result.figure == "proxy_ap":
        parts.append("No labels: proxy AP is measured on painted anomalies and is not the AP of the test frames.")
    if result.profile == "demo":
        parts.append("Demo profile: these figures show that all works; they say nothing about real footage.")
    parts += [f"run    {result.run_id}  {result.link}", f"model  {result.registered}", ""]
    parts += ["next   make ui                          the leaderboard in a browser"]
    parts += ["       make leaderboard                 the same in the terminal"]
    if result.version is not None:
        parts += [f"       {f'make submit MODEL=v{result.version}':<32} predictions by this run's model"]
    return "\n".join(parts)


def interval(m: Measured) -> str:
    """The interval, or a dash where there is one video: drawing it again and again says nothing."""
    return f"{m.low:.4f} to {m.high:.4f}" if m.videos > 1 else "-"


def measured_text(m: Measured) -> str:
    return "\n".join(
        [
            f"AP          {m.ap:.4f}  (95 % interval {interval(m)}, bootstrap over {plural(m.videos, 'video')})",
            f"AUC         {m.auc:.4f}",
            f"prevalence  {m.prevalence:.4f}  ({m.frames:,} frames)",
        ]
    )
