"""UCSD Ped2 by the project's experiments, beside published figures: the page `docs/published.md`, on standard output.

    .venv/bin/python -m benchmarks.published FOLDER [--labels PATH] [--device cuda] [--entries NAME ...] [--set KEY=VALUE ...]
        [--work bench/published] [--keep FILE.json] > page.md

Everything is run by the product, in the store of `--work`: the same command resumes what was interrupted, and runs nothing twice.
An entry that fails has a row that says why. `--keep` holds rows between calls, so that a GPU and a laptop can share the work: rows of
entries that are run now replace the kept ones, and the page has all of them, each with the machine and the commit that measured it.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from registry.entries.loading import load_entry
from registry.runs.context import Request
from registry.runs.executor import run
from registry.store.address import sqlite_uri
from registry.store.score_table import ScoreTable, labelled_table
from registry.store.tracking import Found, Tracking
from registry.suites.cells import declared_variant
from vad.data.frame_index import Flags, FrameIndex, Values
from vad.errors import InputError
from vad.measures.frame_level import macro_auc
from vad.measures.metrics import drawn, drawn_videos, measured, middle
from vad.system.devices import computing_on

ENTRIES = (
    *("phase1_convae_mean", "phase2_max_error", "phase5_multiscale"),
    *("phase6_clip_ae", "phase6_residual_bank", "phase6_flow_bank", "phase6_fused", "phase6_features"),
)
PUBLISHED = Path(__file__).with_suffix(".yaml")
_FIRST, _LAST = 8, 7  # frames of a video that no window of 16 is centred on


@dataclass(frozen=True)
class TestSet:
    """The labelled frames that all rows are of."""

    frames: int
    videos: int
    anomalous: int


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
    pretrained: bool
    machine: str  # and the commit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--labels")
    parser.add_argument("--device")
    parser.add_argument("--entries", nargs="+", default=ENTRIES)
    parser.add_argument("--set", nargs="+", default=(), dest="overrides")
    parser.add_argument("--work", type=Path, default=Path("bench/published"))
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    os.environ["MLFLOW_TRACKING_URI"] = sqlite_uri((given.work / "mlflow.db").resolve())
    measured_on, kept = _kept(given.keep)
    rows: list[Row] = []
    failed: dict[str, str] = {}
    with computing_on(given.device) if given.device else nullcontext():
        for entry in given.entries:
            request = Request(
                entry, given.folder, given.labels, "full", tuple(given.overrides), home=given.work / ".vad"
            )
            try:
                found, test = _measured(request)
                if measured_on not in (None, test):
                    raise InputError(f"{given.keep} keeps rows of other frames or labels, {measured_on}, not {test}")
                measured_on = test
                rows += found
            except Exception as error:  # hours of the others must not be lost
                failed[entry] = str(error) or type(error).__name__
                print(f"{entry} failed: {failed[entry]}", file=sys.stderr)
    new = {row.entry for row in rows}
    rows += [row for row in kept if row.entry not in new]
    if measured_on is None:
        raise SystemExit("no entry was measured, so there is no page")
    rows.sort(key=lambda row: [*ENTRIES, row.entry].index(row.entry))
    if given.keep:
        text = json.dumps({"test": asdict(measured_on), "rows": [asdict(row) for row in rows]}, indent=1)
        given.keep.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(page(rows, failed, measured_on, given.overrides))


def _kept(path: Path | None) -> tuple[TestSet | None, list[Row]]:
    if path is None or not path.exists():
        return None, []
    kept = json.loads(path.read_text(encoding="utf-8"))
    return TestSet(**kept["test"]), [Row(**row) for row in kept["rows"]]


def _measured(request: Request) -> tuple[list[Row], TestSet]:
    """Run an entry; measure the variant that it declares, and the best one where that is another."""
    result, tracking = run(request), Tracking()
    table = labelled_table(tracking, result.run_id, request.home)
    if table is None or table.labels is None:
        raise InputError("the data set has no labels")
    of_run = tracking.get(result.run_id)
    declared = declared_variant(load_entry(request.experiment, "full", request.overrides).entry)
    best = max(table.variants, key=lambda name: measured("auc", table.variants[name], table.labels))  # type: ignore[arg-type]
    names = dict.fromkeys(name for name in (declared, best) if name)
    rows = [_row(of_run, name, name != declared, table) for name in names]
    return rows, TestSet(len(table.labels), len(table.index.spans), int(table.labels.sum()))


def _row(run: Found, variant: str, hindsight: bool, table: ScoreTable) -> Row:
    scores, labels, index = table.variants[variant], table.labels, table.index
    assert labels is not None
    low, high = middle(drawn("auc", scores, labels, index, drawn_videos(labels, index)))
    scaled = scaled_by_video(scores, index)
    inner = inner_frames(index)
    commit = run.tags.get("mlflow.source.git.commit", "unknown")[:7] + (
        " with changes" if run.tags.get("vad.dirty") == "yes" else ""
    )
    return Row(
        run.tags["vad.entry"],
        variant,
        hindsight,
        measured("auc", scores, labels),
        low,
        high,
        measured("auc", scaled, labels),
        # Scaled again, as those protocols see no other frames.
        _cut(scores, labels, index, inner),
        macro_auc(scores, labels, index).plain or float("nan"),
        measured("ap", scores, labels),
        run.metrics.get("members_seconds", 0.0),
        run.tags.get("vad.pretrained") == "yes",
        f"{run.tags.get('vad.machine')}, torch {run.tags.get('vad.torch')}, commit {commit}",
    )


def _cut(scores: Values, labels: Flags, index: FrameIndex, inner: Flags) -> float:
    """AUC of the inner frames, scaled from 0 to 1 in each video; NaN where they are all of one kind, as in short videos."""
    if not labels[inner].any() or labels[inner].all():
        return float("nan")
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


def page(rows: Sequence[Row], failed: dict[str, str], test: TestSet, overrides: Sequence[str] = ()) -> str:
    """The page in Markdown."""
    published: list[dict[str, Any]] = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    best = max(rows, key=lambda row: (not row.pretrained, not row.hindsight, row.auc))
    parts = [
        _ours(rows, failed, test, overrides),
        _theirs(published, best),
        _protocols(rows),
        _short(rows, best, published, test),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _ours(rows: Sequence[Row], failed: dict[str, str], test: TestSet, overrides: Sequence[str]) -> list[str]:
    budget = f" with `--set {' '.join(overrides)}`, a small budget," if overrides else ""
    lines = [
        "# Beside published methods: UCSD Ped2",
        "",
        f"`python -m benchmarks.published FOLDER --labels PATH --keep benchmarks/published_rows.json`{budget} makes this page. It runs "
        "the experiments as they stand on the complete data set, and measures their scores by the protocols of the field too. `--entries` "
        "runs some; the others keep their rows, with the machine and the commit that measured them.",
        "",
        f"{test.frames:,} test frames, {test.videos} videos, {test.anomalous / test.frames:.0%} of the frames anomalous.",
        "",
        "## Our experiments",
        "",
        "AUC and AP in percent. AUC is micro, over all test frames, with a 95 % interval that draws whole videos again. The columns behind it "
        "measure the same scores by other protocols.",
        "",
        f"| experiment | variant | AUC | scaled by video | scaled, without the first {_FIRST} and last {_LAST} frames | macro AUC | AP | training, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = [_percent(value) for value in (row.scaled, row.scaled_and_cut, row.macro, row.ap)]
        auc = f"**{100 * row.auc:.1f}** [{100 * row.low:.1f}, {100 * row.high:.1f}]"
        variant = row.variant + ("*" if row.hindsight else "")
        lines.append(f"| `{row.entry}` | {variant} | {auc} | {' | '.join(figures)} | {row.seconds:,.0f} |")
    lines += [f"| `{entry}` | failed: {' '.join(why.split())} | | | | | | |" for entry, why in failed.items()]
    lines += ["", "Measured on:", ""]
    for machine in dict.fromkeys(row.machine for row in rows):
        entries = dict.fromkeys(f"`{row.entry}`" for row in rows if row.machine == machine)
        lines.append(f"- {machine}: {', '.join(entries)}.")
    if any(row.hindsight for row in rows):
        chosen = "`*`: the experiment's best variant, chosen by these very test labels"
        lines += [
            "",
            f"{chosen}. The row above it is the variant that the experiment names before anything is measured, if it names one.",
        ]
    if missing := [entry for entry in ENTRIES if entry not in {*failed, *(row.entry for row in rows)}]:
        lines += ["", f"Not run for this page: {', '.join(f'`{entry}`' for entry in missing)}."]
    return lines


def _theirs(published: Sequence[dict[str, Any]], best: Row) -> list[str]:
    head = f"our `{best.entry}`, {best.variant}, by that protocol as far as frames and scaling go"
    lines = [
        "## Published",
        "",
        "Frame AUC in percent, as the sources state it. Nothing here was run again.",
        "",
        f"| method | AUC | {head} | learns from | protocol | source |",
        "|---|---|---|---|---|---|",
    ]
    for one in published:
        figures = f"{one['auc']:.1f} | {_percent(getattr(best, one['like']))}"
        lines.append(f"| {one['method']} | {figures} | {one['learned_from']} | {one['protocol']} | {one['source']} |")
    return lines


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.1f}"


def _protocols(rows: Sequence[Row]) -> list[str]:
    def change(name: str) -> str:
        found = [100 * (getattr(row, name) - row.auc) for row in rows]
        changes = [f"{change:+.1f}" for change in sorted(found) if not np.isnan(change)] or ["no"]
        return " to ".join(dict.fromkeys((changes[0], changes[-1]))) + " points"

    elsewhere = dict.fromkeys(f"`{row.entry}`" for row in rows if row.pretrained)
    return [
        "## Which differences of protocol matter",
        "",
        f"- **Scaling scores in each video** before videos are pooled: {change('scaled')} for ours. It takes the lowest and the highest score of the "
        "whole test video, so it cannot be done while a video runs. It helps where videos differ in level, and can hurt where a video is anomalous "
        "throughout. The autoencoder, MemAE and MNAD scale. HF2-VAD and AI-VAD use statistics of training frames instead; our AUC takes scores as the experiment makes them.",
        f"- **Leaving out frames** at both ends of videos as well: {change('scaled_and_cut')} for ours. The autoencoder and MemAE look at windows of 16 frames and leave these out.",
        f"- **Macro AUC**, the mean over videos with both kinds of frames: {change('macro')} for ours. All published figures here are micro.",
        "- **Choosing the epoch by test AUC**, as HF2-VAD's code does: the best of many figures is too high for a new scene. Our experiments keep the epoch "
        "by training loss, or the last one. A variant marked `*` has the same fault.",
        "- **Smoothing** in time: a median of 17 frames (HF2-VAD), a Gaussian (AI-VAD and most of our variants, as their files say), none (the others). It suits Ped2, where an anomaly lasts for most of its video.",
        "- **Learning from test frames**: MNAD's memory is updated while it is tested. Normalisation by statistics of all test frames, as in our phases 1 to 5, is a mild form of it.",
        "- **What was learned elsewhere**: detectors, flow, poses and CLIP bring what millions of other images taught. Ours learn from the training frames alone"
        + (f", but for {', '.join(elsewhere)}, which have features of ImageNet." if elsewhere else "."),
    ]


def _short(rows: Sequence[Row], best: Row, published: Sequence[dict[str, Any]], test: TestSet) -> list[str]:
    def gap(one: dict[str, Any]) -> float:
        return float(one["auc"]) - 100 * float(getattr(best, one["like"]))

    def listed(some: Sequence[dict[str, Any]]) -> str:
        return ", ".join(f"{one['method']} ({gap(one):+.1f})" for one in some)

    chosen = "chosen by test labels" if best.hindsight else "which the experiment names before it is measured"
    above, below = ([one for one in published if (gap(one) > 0) == is_above] for is_above in (True, False))
    lines = [
        "## Where ours falls short",
        "",
        f"In points of AUC, each by its own protocol as in the table above, beside the best of ours: `{best.entry}`, {best.variant}, {chosen}.",
        "",
    ]
    if plain := [one for one in above if "pretrained" not in one["learned_from"]]:
        lines.append(f"- Better, and learned from training frames alone, as ours: {listed(plain)}.")
    if pretrained := [one for one in above if "pretrained" in one["learned_from"]]:
        lines.append(f"- Better, with networks that were trained elsewhere: {listed(pretrained)}.")
    if below:
        lines.append(f"- Not better: {listed(below)}.")
    ae = published[0]
    ours = [row for row in rows if row.entry in ("phase1_convae_mean", "phase6_clip_ae") and not row.hindsight]
    if ours:
        by_its = (f"`{row.entry}` ({row.variant}) {_percent(getattr(row, ae['like']))}" for row in ours)
        lines.append(
            f"- Our autoencoders by the protocol of the published {ae['method']} ({ae['auc']}): {', '.join(by_its)}."
        )
    lines += [
        f"- Ours has an interval of {100 * (best.high - best.low):.1f} points, as the test set has {test.videos} videos. Published figures come without one: differences of a few points between methods may be chance.",
        "- Ped2 was looked at while the experiments of phase 6 were made ([results](results.md)), so their figures are no proof for a new scene. One scene decides nothing: [suites](suites.md) measure on several.",
    ]
    return lines


if __name__ == "__main__":
    main()
