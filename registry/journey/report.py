"""A journey as text for a terminal, as Markdown, and as files: tables, verdicts, what is not run yet."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, get_args

from registry.console import interval, plural, table
from registry.journey.retrace import Journey, Row, Verdict
from registry.runs.result import caution
from vad.measures.metrics import Difference
from vad.system.files import replacing

MARKDOWN, PICTURE = "journey.md", "journey.png"
_RULE = (
    "A claim holds where the whole 95 % interval of the difference speaks for it, does not hold where the whole of it "
    "speaks against it, and is undecided in between. Intervals are bootstraps over videos; two variants that are "
    "compared are measured on the same draws."
)
_ROWS = ["phase", "approach", "variant", "reference AP", "AP here", "95 % interval", "vs baseline", "run"]
_CLAIMS = ["claim", "verdict", "difference", "of"]


@dataclass(frozen=True)
class _Part:
    """A heading, a table below it with the columns in `right` set flush right, and lines below that."""

    title: str
    header: Sequence[str]
    rows: list[list[Any]]
    right: tuple[int, ...]
    lines: list[str]


def as_text(journey: Journey) -> str:
    """The tables of the reference with our AP, the claims with their verdicts, and what is still to be run."""
    lines = []
    for part in _parts(journey):
        lines += ["", part.title, table(part.header, part.rows, part.right)]
        lines += ["", *(fill(line, 120) for line in part.lines)] if part.lines else []
    lines += ["", *_about(journey), *(f"note: {note}" for note in journey.notes)]
    if journey.missing:
        lines += ["", f"not run yet; to run: {journey.command(*journey.missing)}"]
    return "\n".join([*lines, ""])


def as_markdown(journey: Journey) -> str:
    """The same in Markdown, with the picture in the same folder."""
    lines = [f"# The journey on {journey.name}", "", "\n".join(f"- {line}" for line in _about(journey)), ""]
    lines += [f"![AP of each approach, and the claims]({PICTURE})", ""]
    for part in _parts(journey):
        rule = ["--:" if column in part.right else "---" for column in range(len(part.header))]
        rows = (part.header, rule, *part.rows)
        lines += [f"## {part.title}", "", *(f"| {' | '.join(map(str, row))} |" for row in rows), ""]
        lines += [*(f"- {line}" for line in part.lines), ""] if part.lines else []
    if journey.notes:
        lines += ["## Notes", "", *(f"- {note}" for note in journey.notes), ""]
    if journey.missing:
        lines += ["## Not run yet", "", f"    {journey.command(*journey.missing)}", ""]
    return "\n".join(lines)


def as_json(journey: Journey) -> dict[str, Any]:
    """The same as plain values."""
    (profile, overrides), about, reference = journey.settings, journey.about, journey.reference
    rows = []
    for title, row in ((one.title, row) for one in reference.tables for row in one.rows):
        result, change = journey.results.get(row.variant), journey.difference(row.variant, reference.baseline)
        found = {"measured": result and asdict(result.sampled.measured), "run_id": result and result.run_id}
        rows.append({"table": title, **row.model_dump(), **found, "vs_baseline": change and asdict(change)})
    decided = [(claim, *journey.verdict(claim)) for claim in reference.claims]
    claims = [{**c.model_dump(), "verdict": verdict, "difference": d and asdict(d)} for c, verdict, d in decided]
    data = {"data": journey.name, "frames": about.frames, "videos": about.videos, "prevalence": about.prevalence}
    runs = {"profile": profile, "set": overrides, "reference": reference.source, "baseline": reference.baseline}
    return {**data, **runs, "rows": rows, "claims": claims, "notes": journey.notes, "not_run": journey.missing}


def write(journey: Journey, folder: Path) -> list[Path]:
    """Write the Markdown and the picture into a folder, each whole or not at all. Raises InputError if that fails."""
    from registry.journey.picture import draw

    draw(folder / PICTURE, journey)
    with replacing(folder / MARKDOWN) as temporary:
        temporary.write_text(as_markdown(journey), encoding="utf-8")
    return [folder / MARKDOWN, folder / PICTURE]


def _parts(journey: Journey) -> list[_Part]:
    reference = journey.reference
    parts = []
    for one in reference.tables:
        why = [f"{row.approach}: {row.why}" for row in one.rows if row.why]
        parts.append(_Part(one.title, _ROWS, [_row(journey, row) for row in one.rows], (0, 4), why))
    decided = [(claim, *journey.verdict(claim)) for claim in reference.claims]
    rows = [[c.claim, verdict, _signed(found), f"{c.variant} - {c.than}"] for c, verdict, found in decided]
    counts = Counter(verdict for _, verdict, _ in decided)
    verdicts = ", ".join(f"{verdict}: {counts[verdict]}" for verdict in get_args(Verdict))
    parts.append(_Part("Claims", _CLAIMS, rows, (), [verdicts, _RULE]))
    return parts


def _row(journey: Journey, row: Row) -> list[Any]:
    result = journey.results.get(row.variant)
    first = [row.phase, row.approach, row.variant, " to ".join(f"{ap:.4f}" for ap in row.ends) or "-"]
    if result is None:
        return [*first, "not run", "-", "-", "-"]
    baseline = journey.reference.baseline
    change = "baseline" if row.variant == baseline else _signed(journey.difference(row.variant, baseline))
    return [*first, f"{result.sampled.measured.ap:.4f}", interval(result.sampled.measured), change, result.run_id[:8]]


def _signed(found: Difference | None) -> str:
    """A difference with its interval, which a few videos do not give."""
    if found is None:
        return "-"
    return f"{found.ap:+z.4f}" + (f" [{found.low:+z.4f}, {found.high:+z.4f}]" if found.has_interval else "")


def _about(journey: Journey) -> list[str]:
    """What was measured."""
    profile, overrides = journey.settings
    about = journey.about
    lines = [
        f"{journey.name}: {about.frames:,} frames, {plural(about.videos, 'video')}, prevalence {about.prevalence:.4f} (random scores have AP {about.chance:.4f} on average)",
        f"runs: profile {profile}, {f'set: {overrides}' if overrides else 'no overrides'}",
        f"reference: {journey.reference.source}",
    ]
    lines += caution(profile)
    if not about.has_interval:
        lines.append(f"Too few videos for an interval ({about.videos}), so no claim is decided.")
    return lines
