"""The pictures of a run: timelines, precision-recall curve, variants, losses, worst frames, and a small one for descriptions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from registry.runs.context import RunContext
from registry.runs.description import OVERVIEW, figure_name
from registry.runs.members import TrainedMember
from registry.runs.result import Result
from vad.frames.store import Frames
from vad.scoring.frame_scores import error_maps
from vad.scoring.pipeline import Outcome
from vad.system.weights import fit_weights, load_tensors

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
