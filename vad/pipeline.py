"""Member scores to streams, streams to variants: pure functions on arrays, milliseconds long.

A stream is one score a frame, made from a group of members or read from a predictions file. A
variant is a way to a final score: streams fused, then steps. The order of steps is the entry's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vad.errors import InputError
from vad.scores import FrameIndex, Values
from vad.steps import FITS, STEPS

Fitted = dict[str, Values]
Fusion = Literal["single", "max", "product", "weights"]


@dataclass(frozen=True)
class Step:
    """A step by name with its options, complete."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Stream:
    """Members (by group and seed name) under one error, or a predictions file; then steps."""

    members: tuple[str, ...]
    error: str | None
    steps: tuple[Step, ...] = ()
    file: str | None = None


@dataclass(frozen=True)
class Variant:
    """Streams fused to one, then steps. `weights` go with `kind: weights` alone."""

    kind: Fusion
    streams: tuple[str, ...]
    weights: tuple[float, ...] = ()
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """Final scores of each variant, scores of each stream, and what fitted steps took from them."""

    variants: dict[str, Values]
    streams: dict[str, Values]
    fitted: Fitted = field(default_factory=dict)


def run_pipeline(
    streams: Mapping[str, Stream],
    variants: Mapping[str, Variant],
    member_scores: Mapping[tuple[str, str], Values],
    files: Mapping[str, Values],
    index: FrameIndex,
    fitted: Fitted | None = None,
) -> Outcome:
    """Compute every variant for the frames of `index`.

    `member_scores` holds, by (member, error), raw scores of shape (N,); `files` the scores of streams
    that are read from files. With `fitted`, fitted steps use those values; without, they take them
    from these very frames (transductively) and the outcome reports them.
    """
    taken: Fitted = {} if fitted is None else dict(fitted)
    stream_scores: dict[str, Values] = {}
    for name, stream in streams.items():
        if stream.file is not None:
            rows = files[name][None]
        else:
            rows = np.stack([member_scores[member, stream.error or ""] for member in stream.members])
        rows = _apply(stream.steps, rows, index, taken, f"streams/{name}")
        if len(rows) != 1:
            raise InputError(f'stream "{name}" has {len(rows)} members and no step that combines them')
        stream_scores[name] = rows[0]
    results = {}
    for name, variant in variants.items():
        rows = fuse(variant, [stream_scores[stream] for stream in variant.streams])[None]
        results[name] = _apply(variant.steps, rows, index, taken, f"variants/{name}")[0]
    return Outcome(results, stream_scores, taken)


def fuse(variant: Variant, scores: Sequence[Values]) -> Values:
    """One score a frame from several: the only one, the elementwise largest, the product, or a weighted sum."""
    if variant.kind == "single":
        return scores[0]
    stacked = np.stack(scores)
    if variant.kind == "max":
        return np.asarray(stacked.max(0))
    if variant.kind == "product":
        return np.asarray(stacked.prod(0))
    return np.asarray(np.tensordot(np.asarray(variant.weights), stacked, 1))


def _apply(steps: Sequence[Step], rows: Values, index: FrameIndex, taken: Fitted, place: str) -> Values:
    for number, step in enumerate(steps):
        options = dict(step.options)
        if step.name in FITS:
            key = f"{place}/{number}-{step.name}"
            if key not in taken:
                taken[key] = FITS[step.name](rows, **options)
            rows = STEPS[step.name](rows, index.spans, taken[key], **options)
        else:
            rows = STEPS[step.name](rows, index.spans, **options)
    return rows
