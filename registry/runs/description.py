"""What people read of a run and of a version in MLflow's UI, in Markdown: the result first, for the page shows three lines.

A relative address reaches an artifact also behind a proxy. Pictures are shown in their own size, and a wide one pushes
the rest of the page off the screen.
"""

from urllib.parse import quote

from registry.entries.entry import Entry
from registry.runs.result import Result
from registry.store.runlog import RunLog
from vad.measures.metrics import Measured

OVERVIEW = "overview.png"
_PICTURES = {
    "timelines.png": "scores of each video",
    "precision_recall.png": "precision and recall",
    "variants.png": "variants",
    "losses.png": "losses",
    "worst_frames.png": "worst frames",
}


def describe(entry: Entry, result: Result | None, log: RunLog) -> str:
    """A run's description: result, hypothesis, reference, the table of variants, the pictures."""
    lines = []
    if result is not None and (top := result.variants[result.best]):
        lines += [f"**Result.** `{result.best}`: {figure_name(result.figure)} {with_interval(top)}", ""]
    lines += [f"**Hypothesis.** {entry.hypothesis}", ""]
    if entry.reference.ap is not None:
        lines += [f"**Reference.** {entry.reference.ap:.4f} AP ({entry.reference.source or 'source not named'})", ""]
    if result is not None:
        lines += [*_table(result), f"![{result.best} over the frames]({_artifact(log.run_id, OVERVIEW)})", ""]
        page = f"#/experiments/{log.experiment_id}/runs/{log.run_id}/artifacts/pictures"
        lines.append("Pictures: " + ", ".join(f"[{title}]({page}/{name})" for name, title in _PICTURES.items()))
    return "\n".join(lines)


def describe_version(entry: Entry, result: Result, variant: str, value: Measured, log: RunLog) -> str:
    """A model version's description: what it is, how good, and the picture of its run."""
    figure = figure_name(result.figure)
    page = f"#/experiments/{log.experiment_id}/runs/{log.run_id}"
    stated, of = reference_for(entry, variant)
    # The table of versions shows the beginning as it is written.
    lines = [f"{variant} of {result.entry} on {result.data}: {figure} {with_interval(value)}", ""]
    if stated is not None:
        lines += [
            f"Reference: {stated:.4f} AP{f' ({of})' if of and of != variant else ''}, on the competition's data",
            "",
        ]
    if result.profile != "full":
        lines += [f"Profile `{result.profile}`: brief training, which says nothing about real footage.", ""]
    if variant == result.best:
        lines += [f"![{variant} over the frames]({_artifact(log.run_id, OVERVIEW)})", ""]
    lines.append(f"[The run that made it]({page})")
    return "\n".join(lines)


def _table(result: Result) -> list[str]:
    """The variants, best first, as a table."""
    figure = figure_name(result.figure)
    rows = []
    for name, m in result.variants.items():
        if m is not None:
            known = f"{result.reference[name]:.4f}" if name in result.reference else ""
            rows.append(f"| {name} | {m.ap:.4f} | {m.low:.4f} to {m.high:.4f} | {known} |")
    return [f"| variant | {figure} | 95 % interval | reference |", "|---|---|---|---|", *rows, ""] if rows else []


def _artifact(run_id: str, picture: str) -> str:
    return f"get-artifact?path={quote(f'pictures/{picture}', safe='')}&run_uuid={run_id}"


def reference_for(entry: Entry, variant: str) -> tuple[float | None, str]:
    """The reference's AP to set beside a variant's: of the same variant if it states one, else its headline; and whose it is."""
    stated = entry.reference.variants
    if variant in stated:
        return stated[variant], variant
    headline = entry.reference.ap
    return headline, next((name for name, ap in stated.items() if ap == headline), "")


def figure_name(name: str) -> str:
    """A figure as people write it."""
    return "AP" if name == "ap" else "proxy AP"


def with_interval(m: Measured) -> str:
    """AP with its interval in brackets."""
    return f"{m.ap:.4f} [{m.low:.4f}, {m.high:.4f}]"
