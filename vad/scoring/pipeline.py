"""Member scores to streams, streams to variants: pure functions on arrays, milliseconds long.

A stream is one score a frame, made from members or read from a predictions file; a variant is streams fused, then steps.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from vad.catalog import Named
from vad.data.frame_index import FrameIndex, Values
from vad.errors import InputError
from vad.scoring.reconstruction_errors import ERRORS
from vad.scoring.steps import FITS, STEPS

Fitted = dict[str, Values]
MemberScores = Mapping[tuple[str, Named], Values]
Fusion = Literal["single", "max", "product", "weights"]


@dataclass(frozen=True)
class Stream:
    """Members (by group and seed name) under one error, or a predictions file; then steps."""

    members: tuple[str, ...]
    error: Named | None
    steps: tuple[Named, ...] = ()
    file: str | None = None


@dataclass(frozen=True)
class Variant:
    """Streams fused to one, then steps. `weights` go with `kind: weights` alone."""

    kind: Fusion
    streams: tuple[str, ...]
    weights: tuple[float, ...] = ()
    steps: tuple[Named, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """Final scores of each variant, scores of each stream, and what fitted steps took from them."""

    variants: dict[str, Values]
    streams: dict[str, Values]
    fitted: Fitted = field(default_factory=dict)


def run_pipeline(
    streams: Mapping[str, Stream],
    variants: Mapping[str, Variant],
    member_scores: MemberScores,
    files: Mapping[str, Values],
    index: FrameIndex,
    fitted: Fitted | None = None,
) -> Outcome:
    """Compute every variant for the frames of `index`.

    `member_scores` are of shape (N,), NaN where a member has none; `files` are scores of streams read from files. Fitted
    steps use the values in `fitted`, all of which must be there; without it, they take them from these very frames.
    """
    taken: Fitted = {} if fitted is None else dict(fitted)
    stream_scores: dict[str, Values] = {}
    for name, stream in streams.items():
        if stream.file is not None:
            rows = files[name][None]
        else:
            assert stream.error is not None
            rows = np.stack([member_scores[member, stream.error] for member in stream.members])
        rows = _apply(stream.steps, rows, index, taken, f"streams/{name}", fitted)
        if len(rows) != 1:
            raise InputError(f'stream "{name}" has {len(rows)} members and no step that combines them')
        stream_scores[name] = rows[0]
    results = {}
    for name, variant in variants.items():
        rows = fuse(variant, [stream_scores[stream] for stream in variant.streams])[None]
        results[name] = _apply(variant.steps, rows, index, taken, f"variants/{name}", fitted)[0]
    return Outcome(results, stream_scores, taken)


def code_of_steps(streams: Collection[Stream], variants: Collection[Variant]) -> dict[str, str]:
    """The code of every error and step, as `Catalog.code` gives it."""
    codes = [ERRORS.code(stream.error.name) for stream in streams if stream.error]
    steps = [*(stream.steps for stream in streams), *(variant.steps for variant in variants)]
    codes += [STEPS.code(step.name) for some in steps for step in some]
    return {key: value for code in codes for key, value in code.items()}


def fuse(variant: Variant, scores: Sequence[Values]) -> Values:
    """One score a frame from several: the only one, the elementwise largest, the product, or a weighted sum."""
    stacked = np.stack(scores)
    if variant.kind == "single":
        return np.asarray(stacked[0])
    if variant.kind == "max":
        return np.asarray(stacked.max(0))
    if variant.kind == "product":
        return np.asarray(stacked.prod(0))
    return np.asarray(np.tensordot(np.asarray(variant.weights), stacked, 1))


def _apply(
    steps: Sequence[Named], rows: Values, index: FrameIndex, taken: Fitted, place: str, stored: Fitted | None
) -> Values:
    for number, step in enumerate(steps):
        if step.name != "fill":
            _require_scores(rows, index, place)
        key, fitted = f"{place}/{number}-{step.name}", tuple[Values, ...]()
        if step.name in FITS:
            if stored is None:
                taken[key] = FITS[step.name](rows, **dict(step.options))
            if key not in taken:
                raise InputError(
                    f'the stored values of step "{key}" are missing; the model is damaged, run its entry again'
                )
            fitted = (taken[key],)
        rows = STEPS.make(step, rows, index.spans, *fitted)
    _require_scores(rows, index, place)
    return rows


def _require_scores(rows: Values, index: FrameIndex, place: str) -> None:
    """Raise InputError for frames that no member scores, where a step needs all."""
    missing = np.asarray(np.isnan(rows).any(0))
    if not (count := int(missing.sum())):
        return
    first = int(missing.argmax())
    span = next(span for span in index.spans if span.start <= first < span.stop)
    length, where = span.stop - span.start, f'stream "{place.removeprefix("streams/")}"'
    if missing[span].all():
        raise InputError(
            f"{where}: video {index.video[first]} has {length} frame{'s' if length > 1 else ''}, too few for what its members look at "
            "at once (with break_at_gaps, too few without a gap); leave the video out, or begin the steps with {fill: 0}"
        )
    who, whose = (f"and {count - 1:,} more have", "their") if count > 1 else ("has", "its")
    raise InputError(
        f"{where}: frame {index.ids[first]} {who} no score, as {whose} members need the frames before; begin the "
        "steps with {fill: nearest} or {fill: 0}"
    )
