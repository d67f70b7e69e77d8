"""UCSD Ped2 by the project's experiments, beside published figures: the page `docs/published.md`, on standard output.

    .venv/bin/python -m benchmarks.published FOLDER [--labels PATH] [--device cuda] [--entries NAME ...] [--set KEY=VALUE ...]
        [--work bench/published] > page.md

Everything is run by the product, in the store of `--work`: the same command resumes what was interrupted, and runs nothing twice.
An entry that fails has a row that says why.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import ceilings
from registry.entries.loading import load_entry
from registry.runs.context import Request
from registry.runs.executor import run
from registry.store.address import sqlite_uri
from registry.store.score_table import ScoreTable, judged_table
from registry.store.tracking import Tracking
from registry.suites.cells import declared_variant
from vad.data.frame_index import Flags, FrameIndex, Values
from vad.errors import InputError
from vad.measures.frame_level import macro_auc
from vad.measures.resampling import drawn, drawn_videos, measured
from vad.system.devices import computing_on

ENTRIES = ("phase1_convae_mean", "phase2_max_error", "phase5_multiscale", "phase6_flow_bank", "phase6_fused")
PUBLISHED = Path(__file__).with_suffix(".yaml")
_FIRST, _LAST = 8, 7  # frames of a video that no window of 16 is centred on


@dataclass(frozen=True)
class Row:
    """One variant of an entry: AUC by this project's protocol, and what it would be by others'."""

    entry: str
    variant: str
    hindsight: bool
    auc: float
    low: float
    high: float
    scaled: float  # scores of each video from 0 to 1
    scaled_and_cut: float  # the same without the frames at both ends of a video
    macro: float
    ap: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--labels")
    parser.add_argument("--device")
    parser.add_argument("--entries", nargs="+", default=ENTRIES)
    parser.add_argument("--set", nargs="+", default=(), dest="overrides")
    parser.add_argument("--work", type=Path, default=Path("bench/published"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    os.environ["MLFLOW_TRACKING_URI"] = sqlite_uri((given.work / "mlflow.db").resolve())
    rows: list[Row] = []
    failed: dict[str, str] = {}
    table: ScoreTable | None = None
    with computing_on(given.device) if given.device else nullcontext():
        for entry in given.entries:
            request = Request(
                entry, given.folder, given.labels, "full", tuple(given.overrides), home=given.work / ".vad"
            )
            try:
                found, table = _measured(request)
                rows += found
            except Exception as error:  # hours of the others must not be lost
                failed[entry] = str(error) or type(error).__name__
                print(f"{entry} failed: {failed[entry]}", file=sys.stderr)
    if table is None:
        raise SystemExit("no entry was measured, so there is no page")
    sys.stdout.write(page(rows, failed, table, given.overrides))


def _measured(request: Request) -> tuple[list[Row], ScoreTable]:
    """Run an entry; measure the variant that it declares, and the best one where that is another."""
    result, tracking = run(request), Tracking()
    table = judged_table(tracking, result.run_id, request.home)
    if table is None or table.labels is None:
        raise InputError("the data set has no labels")
    seconds = tracking.get(result.run_id).metrics.get("members_seconds", 0.0)
    declared = declared_variant(load_entry(request.experiment, "full", request.overrides).entry)
    best = max(table.variants, key=lambda name: measured("auc", table.variants[name], table.labels))  # type: ignore[arg-type]
    names = dict.fromkeys(name for name in (declared, best) if name)
    rows = [_row(result.entry, name, name != declared, table, seconds) for name in names]
    return rows, table


def _row(entry: str, variant: str, hindsight: bool, table: ScoreTable, seconds: float) -> Row:
    scores, labels, index = table.variants[variant], table.labels, table.index
    assert labels is not None
    low, high = np.quantile(drawn("auc", scores, labels, index, drawn_videos(labels, index)), [0.025, 0.975])
    scaled = scaled_by_video(scores, index)
    inner = inner_frames(index)
    return Row(
        entry,
        variant,
        hindsight,
        measured("auc", scores, labels),
        float(low),
        float(high),
        measured("auc", scaled, labels),
        # Scaled again, as those protocols see no other frames.
        _cut(scores, labels, index, inner),
        macro_auc(scores, labels, index).plain or float("nan"),
        measured("ap", scores, labels),
        seconds,
    )


def _cut(scores: Values, labels: Flags, index: FrameIndex, inner: Flags) -> float:
    """AUC of the inner frames, scaled from 0 to 1 in each video."""
    kept = FrameIndex(index.video[inner], index.frame[inner])
    return measured("auc", scaled_by_video(scores[inner], kept), labels[inner])


def scaled_by_video(scores: Values, index: FrameIndex) -> Values:
    """Scores from 0 to 1 in each video, as many repositories do before they pool videos."""
    scaled = np.empty_like(scores)
    for span in index.spans:
        low, high = scores[span].min(), scores[span].max()
        scaled[span] = (scores[span] - low) / ((high - low) or 1.0)
    return scaled


def inner_frames(index: FrameIndex) -> Flags:
    """The frames that a window of 16 is centred on."""
    inner = np.zeros(len(index), bool)
    for span in index.spans:
        inner[span.start + _FIRST : span.stop - _LAST] = True
    return inner


def page(rows: Sequence[Row], failed: dict[str, str], table: ScoreTable, overrides: Sequence[str] = ()) -> str:
    """The page in Markdown."""
    published: list[dict[str, Any]] = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    return "\n".join(
        [*_ours(rows, failed, table, overrides), *_theirs(published), *_protocols(rows), *_short(rows, published), ""]
    )


def _ours(rows: Sequence[Row], failed: dict[str, str], table: ScoreTable, overrides: Sequence[str]) -> list[str]:
    assert table.labels is not None
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    machine = ", ".join(f"{name} {value}" for name, value in ceilings.machine().items())
    command = "python -m benchmarks.published FOLDER --labels PATH"
    budget = f" with `--set {' '.join(overrides)}`, a small budget," if overrides else ""
    lines = [
        "# Beside published methods: UCSD Ped2",
        "",
        f"`{command}`{budget} makes this page: it runs the experiments as they stand on the complete data set and measures "
        "their scores by the protocols of the field.",
        "",
        f"{len(table.labels):,} test frames of {len(table.index.spans)} videos, {table.labels.mean():.0%} anomalous. "
        f"Machine: {machine}; commit {commit.strip() or 'unknown'}.",
        "",
        "## Our experiments",
        "",
        "All figures but seconds are in percent. AUC is micro over all test frames, with a 95 % interval that draws whole videos again. The next "
        "columns measure the same scores by other protocols.",
        "",
        f"| experiment | variant | AUC | scaled by video | scaled, without the first {_FIRST} and last {_LAST} frames | macro AUC | AP | training, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = [f"{100 * value:.1f}" for value in (row.scaled, row.scaled_and_cut, row.macro, row.ap)]
        auc = f"**{100 * row.auc:.1f}** [{100 * row.low:.1f}, {100 * row.high:.1f}]"
        variant = row.variant + ("*" if row.hindsight else "")
        lines.append(f"| `{row.entry}` | {variant} | {auc} | {' | '.join(figures)} | {row.seconds:,.0f} |")
    lines += [f"| `{entry}` | failed: {' '.join(why.split())} | | | | | | |" for entry, why in failed.items()]
    if any(row.hindsight for row in rows):
        lines += [
            "",
            "`*` is the experiment's best variant, chosen by these very test labels. The row above it, if there is one, is the variant that the experiment declares.",
        ]
    missing = [entry for entry in ENTRIES if entry not in {*failed, *(row.entry for row in rows)}]
    if missing:
        lines += ["", f"Not run for this page: {', '.join(f'`{entry}`' for entry in missing)}."]
    return lines


def _theirs(published: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "",
        "## Published",
        "",
        "Frame AUC in percent, as the sources state it. Nothing here was run again.",
        "",
        "| method | AUC | made from | protocol | source |",
        "|---|---|---|---|---|",
    ]
    for one in published:
        lines.append(
            f"| {one['method']} | {one['auc']:.1f} | {one['learned_from']} | {one['protocol']} | {one['source']} |"
        )
    return lines


def _protocols(rows: Sequence[Row]) -> list[str]:
    def change(name: str) -> str:
        changes = [100 * (getattr(row, name) - row.auc) for row in rows]
        return f"{min(changes):+.1f} to {max(changes):+.1f} points" if changes else "not measured"

    return [
        "",
        "## Which differences of protocol matter",
        "",
        f"- **Scaling scores in each video** before videos are pooled changes our AUC by {change('scaled')}. It uses the lowest and the highest score of a whole test video, so it cannot be done while "
        "a video runs. It helps where videos differ in level, and it hurts a video that is normal or anomalous throughout. The autoencoder, MemAE and MNAD scale; HF2-VAD and AI-VAD use statistics of training frames, and our AUC uses the scores as "
        "the experiment writes them.",
        f"- **Leaving out frames** at both ends of videos as well: {change('scaled_and_cut')} against our AUC. The column has the protocol of the autoencoder and MemAE.",
        f"- **Macro AUC**, the mean over videos with both kinds of frames: {change('macro')}. The published figures here are micro.",
        "- **Choosing the epoch by test AUC**, as HF2-VAD's code does: the figure is the best of many, and too high for a new scene. Our experiments keep the epoch by training loss. A variant marked `*` has the same fault.",
        "- **Smoothing.** Our variants smooth in time as their files say. Smoothing suits Ped2, where an anomaly lasts for most of its video.",
        "- **Learning from test frames.** MNAD's memory is updated by test frames.",
        "- **Labels.** They are the same for all: the published ones. Frames were encoded as JPEG again by many repositories.",
    ]


def _short(rows: Sequence[Row], published: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["", "## Where ours falls short", ""]
    declared = [row for row in rows if not row.hindsight] or list(rows)
    best = max(declared, key=lambda row: row.auc)
    above = [one for one in published if one["auc"] > 100 * best.auc]
    gaps = ", ".join(f"{one['method']} ({one['auc'] - 100 * best.auc:.1f} points)" for one in above)
    lines.append(
        f"- The best of our declared variants is `{best.entry}` ({best.variant}) with {100 * best.auc:.1f}. "
        + (f"Above it are {gaps}." if above else "No published figure here is above it.")
    )
    plain = [one for one in above if "pretrained" not in one["learned_from"]]
    if plain:
        names = ", ".join(one["method"] for one in plain)
        lines.append(
            f"- Of these, {names} use nothing pretrained, as ours do. What sets them apart is the method, and the protocol above."
        )
    worst = min(declared, key=lambda row: row.auc)
    if worst is not best:
        lines.append(
            f"- The last of our declared variants is `{worst.entry}` ({worst.variant}) with {100 * worst.auc:.1f}."
        )
    within = [one for one in published if 100 * best.low <= one["auc"] <= 100 * best.high]
    if within:
        names = ", ".join(one["method"] for one in within)
        lines.append(
            f"- The interval of our best reaches the figures of {names}: twelve videos do not tell these apart from it. Published figures come without an interval."
        )
    lines.append("- One scene decides nothing: [suites](suites.md) measure on several.")
    return lines


if __name__ == "__main__":
    main()
