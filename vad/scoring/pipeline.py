"""Member scores to streams, streams to variants: pure functions on arrays, milliseconds long.

A stream is one score a frame, made from members or read from a predictions file; a variant is streams fused, then steps.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from vad.catalog import Named
from vad.data.frame_index import FrameIndex, Values
from vad.errors import InputError
from vad.scoring.reductions import FrameScore, code_of
from vad.scoring.steps import FITS, STEPS, TRAIN_FITS

Fitted = dict[str, Values]
MemberScores = Mapping[tuple[str, FrameScore], Values]
Fusion = Literal["single", "max", "mean", "product", "noisy_or", "weights"]


@dataclass(frozen=True)
class Stream:
    """Members (by group and seed name) under one score, or a predictions file; then steps."""

    members: tuple[str, ...]
    error: FrameScore | None
    steps: tuple[Named, ...] = ()
    file: str | None = None


@dataclass(frozen=True)
class Variant:
    """Streams fused to one, then steps. `weights` go with `kind: weights` alone."""

    kind: Fusion
    streams: tuple[str, ...]
    weights: tuple[float, ...] = ()
    steps: tuple[Named, ...] = ()

    def transductive(self, streams: Mapping[str, Stream]) -> bool:
        """Whether a score depends on statistics of the test frames."""
        return any(step.name in FITS for step in self._all_steps(streams))

    def looks_at_train(self, streams: Mapping[str, Stream]) -> bool:
        """Whether a score depends on the scores of train frames."""
        return any(step.name in TRAIN_FITS for step in self._all_steps(streams))

    def _all_steps(self, streams: Mapping[str, Stream]) -> list[Named]:
        return [*self.steps, *(step for name in self.streams for step in streams[name].steps)]


@dataclass(frozen=True)
class Scored:
    """Frames and their scores, (N,), by member and score, NaN where a member has none; and those that streams read from files."""

    index: FrameIndex
    members: MemberScores
    files: Mapping[str, Values] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """Final scores of each variant, scores of each stream, and what fitted steps took from them."""

    variants: dict[str, Values]
    streams: dict[str, Values]
    fitted: Fitted = field(default_factory=dict)


def run_pipeline(
    streams: Mapping[str, Stream],
    variants: Mapping[str, Variant],
    scored: Scored,
    train: Scored | None = None,
    fitted: Fitted | None = None,
    own: bool = False,
) -> Outcome:
    """Compute every variant for the frames of `scored`.

    Fitted steps use the values in `fitted`. Without it they take them: those for test frames from these very frames, as they do
    with `own`; those for train frames from `train`, which goes the same way. Raises InputError for values that are missing.
    """
    taken: Fitted = dict(fitted or {})
    if own:
        taken = {key: values for key, values in taken.items() if key.rpartition("-")[2] not in FITS}
    if fitted is None:
        _require_members(streams, variants)
    train = train and _of_scored_videos(train)
    way = _Steps((scored.index, *([train.index] if train else [])), taken, fitted is None or own, fitted is not None)
    stream_scores: dict[str, list[Values]] = {}
    for name, stream in streams.items():
        rows = [_rows_of(stream, name, scored)]
        if train and stream.error and all((m, stream.error) in train.members for m in stream.members):
            rows.append(_rows_of(stream, name, train))
        rows = way.apply(stream.steps, f"streams/{name}", rows)
        if len(rows[0]) != 1:
            raise InputError(f'stream "{name}" has {len(rows[0])} members and no step that combines them')
        stream_scores[name] = [values[0] for values in rows]
    results = {}
    for name, variant in variants.items():
        # Train frames are fused where all streams have them: `zip` ends with the shortest.
        parts = zip(*(stream_scores[stream] for stream in variant.streams), strict=False)
        rows = [fuse(name, variant, scores)[None] for scores in parts]
        results[name] = way.apply(variant.steps, f"variants/{name}", rows)[0][0]
    return Outcome(results, {name: of_test for name, (of_test, *_) in stream_scores.items()}, taken)


def _require_members(streams: Mapping[str, Stream], variants: Mapping[str, Variant]) -> None:
    """Raise InputError for a step that needs scores of train frames where a predictions file has none."""
    steps = {f'stream "{name}"': stream.steps for name, stream in streams.items() if stream.file}
    steps |= {f'variant "{name}"': v.steps for name, v in variants.items() if any(streams[s].file for s in v.streams)}
    for where, some in steps.items():
        if names := [step.name for step in some if step.name in TRAIN_FITS]:
            raise InputError(
                f"{where}: {names[0]} needs the scores of train frames, which a predictions file does not have; remove the step"
            )


def _of_scored_videos(train: Scored) -> Scored:
    """Return train frames without the videos that are too short for a member, which its training passes over too."""
    spans, scores = train.index.spans, train.members.values()
    kept = [span for span in spans if not any(np.isnan(values[span]).all() for values in scores)]
    if len(kept) in (0, len(spans)):
        return train
    which = np.concatenate([np.arange(span.start, span.stop) for span in kept])
    index = FrameIndex(train.index.video[which], train.index.frame[which])
    return Scored(index, {key: values[which] for key, values in train.members.items()})


def _rows_of(stream: Stream, name: str, scored: Scored) -> Values:
    if stream.file is not None:
        return scored.files[name][None]
    assert stream.error is not None
    return np.stack([scored.members[member, stream.error] for member in stream.members])


def code_of_steps(streams: Collection[Stream], variants: Collection[Variant]) -> dict[str, str]:
    """The code of every score and step, as `Catalog.code` gives it."""
    codes = [code_of(stream.error) for stream in streams if stream.error]
    steps = [*(stream.steps for stream in streams), *(variant.steps for variant in variants)]
    codes += [STEPS.code(step.name) for some in steps for step in some]
    return {key: value for code in codes for key, value in code.items()}


def fuse(name: str, variant: Variant, scores: Sequence[Values]) -> Values:
    """One score a frame from several, (S, N) to (N,): the only one, the largest, the mean, the product, a weighted sum, or the
    noisy or, 1 - (1 - p) (1 - q) ..., of scores that are probabilities (Pearl, 1988). Raises InputError where they are none.
    """
    stacked = np.stack(scores)
    if variant.kind == "weights":
        return np.asarray(np.tensordot(np.asarray(variant.weights), stacked, 1))
    if variant.kind == "noisy_or" and (stacked.min() < 0 or stacked.max() > 1):
        names, probabilities = ", ".join(variant.streams), "noisy_or fuses scores from 0 to 1"
        raise InputError(f'variant "{name}": {probabilities}; end the steps of its streams ({names}) with train_rank')
    return np.asarray(_FUSIONS[variant.kind](stacked))


_FUSIONS: Mapping[str, Callable[[Values], Values]] = {
    "single": lambda scores: scores[0],
    "max": lambda scores: scores.max(0),
    "mean": lambda scores: scores.mean(0),
    "product": lambda scores: scores.prod(0),
    "noisy_or": lambda scores: 1 - (1 - scores).prod(0),
}


@dataclass(frozen=True)
class _Steps:
    """The way of scores, (M, N), of test frames and perhaps train frames through steps; `indices` are of these frames.

    `taken` holds the values that fitted steps took, or, with `takes`, take from test frames now. `of_model`: whether all were stored.
    """

    indices: tuple[FrameIndex, ...]
    taken: Fitted
    takes: bool
    of_model: bool

    def apply(self, steps: Sequence[Named], place: str, rows: list[Values]) -> list[Values]:
        """Return the scores behind these steps, of test frames and, where there are any, of train frames."""
        for number, step in enumerate(steps):
            key = f"{place}/{number}-{step.name}"
            fitted: list[Values | None] = [None] * len(rows)
            if step.name != "fill":
                self._require_scores(rows[0], 0, place)
            if step.name in TRAIN_FITS:
                if key not in self.taken and len(rows) > 1:
                    self._require_scores(rows[1], 1, place)
                    self.taken[key] = TRAIN_FITS[step.name](rows[1], **dict(step.options))
                fitted = [self._known(key) for _ in rows]
            elif fit := FITS.get(step.name):
                if key not in self.taken and self.takes:
                    self.taken[key] = fit(rows[0], **dict(step.options))
                fitted = [self._known(key), *(fit(values, **dict(step.options)) for values in rows[1:])]
            rows = [self._step(step, key, *given) for given in zip(rows, self.indices, fitted, strict=False)]
        self._require_scores(rows[0], 0, place)
        return rows

    def _step(self, step: Named, key: str, values: Values, index: FrameIndex, fitted: Values | None) -> Values:
        made: Values = STEPS.make(step, values, index.spans, *(() if fitted is None else (fitted,)))
        if made.ndim != 2 or made.shape[1] != len(index) or (np.isnan(made) & ~np.isnan(values).any(0)).any():
            shape = f"{made.shape}, {'with' if np.isnan(made).any() else 'without'} NaN"
            wanted = f"(members, frames), here ({len(values)} or 1, {len(index)}), and no new NaN"
            raise InputError(f"{key}: the step gives an array {shape}; it must give {wanted}")
        return made

    def _known(self, key: str) -> Values:
        if key not in self.taken:
            raise InputError(
                f'the stored values of step "{key}" are missing; the model is damaged, run its entry again'
            )
        return self.taken[key]

    def _require_scores(self, values: Values, which: int, place: str) -> None:
        """Raise InputError for frames that no member scores, where a step needs all."""
        missing, index = np.asarray(np.isnan(values).any(0)), self.indices[which]
        if not (count := int(missing.sum())):
            return
        first = int(missing.argmax())
        span = index.spans[index.places[first]]
        kind, _, name = place.partition("/")
        length, where = span.stop - span.start, f'{kind.removesuffix("s")} "{name}"'
        if self.of_model:
            several = f"this model looks at several frames of a video at once (video {index.title(index.video[first])} has {length})"
            raise InputError(
                f"frame {index.ids[first]} has no score: {several} and may leave noisy ones out; give more frames of the video, or leave it out"
            )
        if missing[span].all():
            raise InputError(
                f"{where}: video {index.title(index.video[first])} has {length} frame{'s' if length > 1 else ''}, too few for what its members look at "
                "at once (with break_at_gaps, too few without a gap); leave the video out, or begin the steps with {fill: 0}"
            )
        who, whose = (f"and {count - 1:,} more have", "their") if count > 1 else ("has", "its")
        raise InputError(
            f"{where}: frame {index.ids[first]} {who} no score, as {whose} members need the frames before or a repair leaves it out; begin the "
            "steps with {fill: nearest} or {fill: 0}"
        )
