"""What a run found, and how a person reads it: in the terminal, and in MLflow as a run's or a version's description."""

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from registry.console import interval, plural, table
from registry.entries.entry import Entry
from registry.models.versions import Versions
from registry.store.record import Altered
from registry.store.runlog import RunLog
from registry.store.tracking import Found, Tracking
from vad.measures.metrics import Measured

FILE = "results.json"
OVERVIEW = "overview.png"
_PICTURES = {
    "timelines.png": "scores of each video",
    "precision_recall.png": "precision and recall",
    "variants.png": "variants",
    "losses.png": "losses",
    "worst_frames.png": "worst frames",
}


@dataclass(frozen=True)
class Result:
    """A finished run as it is shown: its variants best first, where it is, what was registered."""

    entry: str
    data: str
    profile: str
    metric: str
    best: str
    variants: dict[str, Measured | None]
    reference: dict[str, float]
    members: dict[str, str]
    run_id: str
    link: str
    version: str | None = None
    registered: str = ""
    findings: tuple[str, ...] = ()


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
        content = tracking.read_json(run.run_id, FILE, home) or {}
        content["variants"] = {n: Measured(**m) if m else None for n, m in content["variants"].items()}
        return Result(**content)
    except (Altered, TypeError, KeyError, AttributeError):
        return None


def as_text(result: Result) -> str:
    """A run's variants best first, where the run is, what was registered, and what to do next."""
    rows = []
    for variant, m in result.variants.items():
        metrics = [f"{m.ap:.4f}", interval(m), f"{m.auc:.4f}"] if m else ["-", "-", "-"]
        reference = f"{result.reference[variant]:.4f}" if variant in result.reference else "-"
        rows.append(["*" if variant == result.best else "", variant, *metrics, reference])
    ap, auc = metric_name(result.metric), metric_name(result.metric, "AUC")
    parts = ["", table(["", "variant", ap, "95 % interval", auc, "reference AP"], rows, right=(2, 4, 5)), ""]
    if top := result.variants[result.best]:
        pooled = f"{plural(top.frames, 'frame')}, {plural(top.videos, 'video')}"
        parts.append(f"prevalence {top.prevalence:.4f}; random scores have AP {top.chance:.4f} on average; {pooled}")
    if result.metric == "proxy_ap":
        parts.append("No labels: proxy AP is measured on painted anomalies and is not the AP of the test frames.")
    parts += caution(result.profile)
    parts += ["", *result.findings] if result.findings else []
    parts += [
        "",
        f"run    {result.run_id}  {result.link}",
        f"model  {result.registered}",
        "",
        "next   make ui                          the leaderboard in a browser",
        "       make leaderboard                 the same in the terminal",
    ]
    if result.version is not None:
        parts += [f"       {f'make submit MODEL=v{result.version}':<32} predictions by this run's model"]
    return "\n".join(parts)


def caution(profile: str) -> list[str]:
    """The note under figures of the demo profile."""
    said = "Demo profile: these numbers show that everything works; they say nothing about real footage."
    return [said] if profile == "demo" else []


def metric_name(metric: str, name: str = "AP") -> str:
    """A metric as people write it."""
    return name if metric == "ap" else f"proxy {name}"


def headline(metric: str, measured: Measured) -> str:
    """A figure with its interval, as in "AP 0.8209 [0.6864, 0.9349]"."""
    interval = f" [{measured.low:.4f}, {measured.high:.4f}]" if measured.has_interval else ""
    return f"{metric_name(metric)} {measured.ap:.4f}{interval}"


def describe(entry: Entry, result: Result | None, log: RunLog, trained: bool = True) -> str:
    """A run's description as Markdown: result, hypothesis, reference, the table of variants, the pictures; losses where members were `trained`."""
    lines = []
    if result is not None and (top := result.variants[result.best]):
        # MLflow's UI folds a description after a few lines, and the table with it.
        others = ", ".join(f"`{name}` {m.ap:.4f}" for name, m in [*result.variants.items()][1:3] if m)
        then = f"; then {others}" if others else ""
        lines += [f"**Result.** `{result.best}`: {headline(result.metric, top)}{then}", ""]
    lines += [f"**Hypothesis.** {entry.hypothesis}", ""]
    if entry.reference.ap is not None:
        lines += [f"**Reference.** {entry.reference.ap:.4f} AP ({entry.reference.source or 'source not named'})", ""]
    if result is not None:
        lines += [*_variants(result), f"![{result.best} over the frames]({_overview(log)})", ""]
        page = f"{_page(log)}/artifacts/pictures"
        shown = {name: title for name, title in _PICTURES.items() if trained or name != "losses.png"}
        lines.append("Pictures: " + ", ".join(f"[{title}]({page}/{name})" for name, title in shown.items()))
    return "\n".join(lines)


def describe_version(entry: Entry, result: Result, variant: str, value: Measured, log: RunLog) -> str:
    """A model version's description as Markdown: what it is, how good, and the picture of its run."""
    # The table of versions shows the beginning as it is written.
    lines = [f"{variant} of {result.entry} on {result.data}: {headline(result.metric, value)}", ""]
    if reference := reference_text(entry, variant, " AP"):
        lines += [f"Reference: {reference}, on the competition's data", ""]
    if result.profile != "full":
        lines += [f"Profile `{result.profile}`: brief training, which says nothing about real footage.", ""]
    if variant == result.best:
        lines += [f"![{variant} over the frames]({_overview(log)})", ""]
    lines.append(f"[The run that made it]({_page(log)})")
    return "\n".join(lines)


def reference_for(entry: Entry, variant: str) -> tuple[float | None, str]:
    """Return the reference's AP to compare a variant with, and its variant: the same one if it is listed, else that of `reference.ap`."""
    stated = entry.reference.variants
    if variant in stated:
        return stated[variant], variant
    headline = entry.reference.ap
    return headline, next((name for name, ap in stated.items() if ap == headline), "")


def reference_text(entry: Entry, variant: str, unit: str = "") -> str:
    """Return the reference's AP, with its variant if that is another one; empty where there is none."""
    stated, of = reference_for(entry, variant)
    return "" if stated is None else f"{stated:.4f}{unit}{f' ({of})' if of and of != variant else ''}"


def _variants(result: Result) -> list[str]:
    """The variants that were measured as a table in Markdown, best first."""
    rows = [
        f"| {name} | {m.ap:.4f} | {interval(m)} | "
        f"{f'{result.reference[name]:.4f}' if name in result.reference else ''} |"
        for name, m in result.variants.items()
        if m is not None
    ]
    head = [f"| variant | {metric_name(result.metric)} | 95 % interval | reference |", "|---|---|---|---|"]
    return [*head, *rows, ""] if rows else []


def _page(log: RunLog) -> str:
    return f"#/experiments/{log.experiment_id}/runs/{log.run_id}"


def _overview(log: RunLog) -> str:
    return f"get-artifact?path={quote(f'pictures/{OVERVIEW}', safe='')}&run_uuid={log.run_id}"
