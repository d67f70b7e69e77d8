"""How a run presents itself in MLflow: its description, that of its version, and its pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch

from registry.entries.entry import Entry
from registry.runs.context import RunContext
from registry.runs.members import TrainedMember
from registry.runs.result import Result
from registry.store.runlog import RunLog
from vad.frames.store import Frames
from vad.measures.metrics import Measured
from vad.scoring.frame_scores import error_maps
from vad.scoring.pipeline import Outcome
from vad.system.weights import fit_weights, load_tensors

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


_WORST = 8


def write_pictures(
    context: RunContext,
    outcome: Outcome,
    judged: Outcome | None,
    result: Result,
    known: Mapping[str, TrainedMember],
    maps: Mapping[str, Mapping[int, Frames]],
    device: torch.device,
    folder: Path,
) -> None:
    from registry import pictures

    folder.mkdir()
    labels = context.data.labels.values if context.data.labels else None
    pictures.timelines(folder / "timelines.png", context.data.index, outcome.variants, result.best, labels)
    all_measured = {name: m for name, m in result.variants.items() if m is not None}
    if judged is not None and context.judge is not None and all_measured:
        best = judged.variants[result.best]
        index = context.data.index if context.data.labels else context.targets[-1].index
        top = all_measured[result.best]
        pictures.precision_recall(folder / "precision_recall.png", best, context.judge.values, index, top)
        name = figure_name(result.figure)
        pictures.variant_bars(folder / "variants.png", all_measured, result.best, result.reference, name)
    if known:
        curves = {name: member.epochs for name, member in known.items()}
        kept = {name: member.epoch for name, member in known.items()}
        pictures.loss_curves(folder / "losses.png", curves, kept)
        if rows := _worst_frames(context, outcome, result, known, maps, device):
            pictures.worst_frames(folder / "worst_frames.png", rows)
    pictures.overview(folder / OVERVIEW, context.data.index, outcome.variants[result.best], result.best, labels)


def _worst_frames(
    context: RunContext,
    outcome: Outcome,
    result: Result,
    known: Mapping[str, TrainedMember],
    maps: Mapping[str, Mapping[int, Frames]],
    device: torch.device,
) -> list[Any]:
    """False alarms and misses with labels, else the highest scores, as the largest member of the best variant saw them."""
    from registry import pictures

    streams = [context.plan.streams[name] for name in context.plan.variants[result.best].streams]
    members = [known[name] for stream in streams for name in stream.members]
    if not members:
        return []
    scores, index = outcome.variants[result.best], context.data.index
    labels = context.data.labels.values if context.data.labels else None
    if labels is None:
        chosen, _ = pictures.worst_positions(index, scores, np.zeros(len(scores), bool), _WORST)
    else:
        alarms, misses = pictures.worst_positions(index, scores, labels, _WORST // 2)
        chosen = [*alarms, *misses]
    seen = max(members, key=lambda item: item.member.size)
    member = seen.member
    network = member.build()
    state, _ = load_tensors(seen.weights)
    fit_weights(network, state, str(seen.weights))
    samples = member.kind_of_input().samples(maps["test"][member.size], index, device)
    error_map = error_maps(network, samples, member.training.precision, device)
    rows = []
    for position in chosen:
        if maps_of_frame := error_map(position):
            what = "" if labels is None else "miss, " if labels[position] else "false alarm, "
            title = f"{index.ids[position]}: {what}score {scores[position]:.2f}"
            rows.append(pictures.WorstFrame(title, *(values.numpy() for values in maps_of_frame)))
    return rows
