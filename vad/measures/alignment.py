"""Align scores with labels, frame by frame: which frames have no score, and how to fill them.

Methods that look at windows score fewer frames than there are labels: not the first or last ones, or only every 16th.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vad.data.frame_index import Flags, FrameIndex, Values, filled
from vad.data.scores import VideoScores, match_videos
from vad.errors import InputError

Missing = Literal["edge", "drop", "interpolate"]
_WAYS = "--missing edge (repeat the nearest score), drop (leave these frames out) or interpolate (between neighbours)"
_MOST = 5  # videos, or groups of them, that a message names


@dataclass(frozen=True)
class Spacing:
    """Which frames of a video a list without frame numbers scores: from the `offset`-th (0 is the first), one every `every`.

    A list with a score for each frame leaves out none.
    """

    offset: int | None = None
    every: int = 1

    def skips(self) -> bool:
        """Whether it leaves out frames."""
        return bool(self.offset) or self.every > 1


def align(given: Sequence[VideoScores], index: FrameIndex, source: str, spacing: Spacing) -> Values:
    """Align scores with the frames of `index`, NaN where there is none. Raises InputError for frames and videos that have no label."""
    spans = dict(zip(index.titles, index.spans, strict=True))
    named = _named(given, spans, source, spacing)
    values = np.full(len(index), np.nan)
    short: list[str] = []
    for name, part in named.items():
        span = spans[name]
        length = span.stop - span.start
        if part.frames is not None:
            frames = index.frame[span]
            at = np.searchsorted(frames, part.frames)
            unknown = part.frames[frames[np.minimum(at, length - 1)] != part.frames]
            if len(unknown):
                some = ", ".join(f"{name}_{frame}" for frame in unknown[:3]) + (", ..." if len(unknown) > 3 else "")
                count = (
                    "1 frame of video {} has" if len(unknown) == 1 else f"{len(unknown):,} frames of video {{}} have"
                )
                shifted = [by for by in (-1, 1) if np.isin(part.frames + by, frames).all()]
                fix = {-1: "subtract 1 from its numbers", 1: "add 1 to its numbers"}
                hint = f"is it shifted by one? Then {fix[shifted[0]]}" if shifted else "are the labels of another set?"
                raise InputError(f"{source}: {count.format(name)} no label ({some}); {hint}")
        elif len(part.values) > length:
            more = f"{source} has {len(part.values):,} scores of video {name}, which has {length:,} labelled frames"
            raise InputError(f"{more}; are the labels of another set?")
        elif len(part.values) == length:
            at = np.arange(length)
        elif spacing.offset is None:
            short.append(f"video {name} {len(part.values):,} of {length:,}")
            continue
        else:
            at = spacing.offset + spacing.every * np.arange(len(part.values))
            if at[-1] >= length:
                ends = f"--offset {spacing.offset} --every {spacing.every} puts the last of {len(at):,} scores on frame {at[-1]}"
                raise InputError(
                    f"{source}: {ends} (from 0) of video {name}, which has {length:,}; give the right offset"
                )
        values[span][at] = part.values
    if short:
        raise InputError(f"{source} scores fewer frames than have labels: {_few(short)}; {_which()}")
    return values


def require_scores(values: Values, index: FrameIndex, source: str, labels: str) -> None:
    """Raise InputError where a frame has no score; the message says which frames of which videos, and what can be done."""
    if len(missing := np.flatnonzero(np.isnan(values))):
        some = ", ".join(FrameIndex(index.video[missing[:3]], index.frame[missing[:3]], index.names).ids)
        count = f"{len(missing)} missing ({some}{', ...' if len(missing) > 3 else ''}) of {len(index)} frames"
        gaps = "; ".join(missing_frames(values, index))
        raise InputError(f"{source} does not fit {labels}: {count}: {gaps}; give a row for each, or {_WAYS}")


def fill(values: Values, index: FrameIndex, how: Missing) -> tuple[Values, Flags]:
    """Return scores without NaN, and which frames stay. Raises InputError for a video without any score, unless it is dropped."""
    keep = ~np.isnan(values)
    if how == "drop":
        if not keep.any():
            raise InputError("no labelled frame has a score")
        return values, keep
    whole = values.copy()
    for name, span in zip(index.titles, index.spans, strict=True):
        there = np.flatnonzero(keep[span])
        if not len(there):
            raise InputError(f"video {name} has no score at all; give its scores, or --missing drop")
        if how == "interpolate":
            whole[span] = np.interp(np.arange(span.stop - span.start), there, values[span][there])
        else:
            whole[span] = filled(values[span])
    return whole, np.ones(len(index), bool)


def missing_frames(values: Values, index: FrameIndex) -> list[str]:
    """Say which frames of which videos have no score; videos that lack the same frames share a line."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, span in zip(index.titles, index.spans, strict=True):
        if (gap := np.isnan(values[span])).any():
            groups[_gap(gap, index.frame[span])].append(name)
    lines = []
    for gap_text, videos in groups.items():
        which = ", ".join(videos[:_MOST]) + (f" and {len(videos) - _MOST} more" if len(videos) > _MOST else "")
        lines.append(f"video{'s' if len(videos) > 1 else ''} {which}: {gap_text}")
    return lines[:_MOST] + ([f"and {len(lines) - _MOST} more ways"] if len(lines) > _MOST else [])


def _named(
    given: Sequence[VideoScores], spans: dict[str, slice], source: str, spacing: Spacing
) -> dict[str, VideoScores]:
    """The scores of each video by its name among the labels."""
    names = list(spans)
    if len(given) == 1 and given[0].name is None:
        return dict(zip(names, _split(given[0], list(spans.values()), source, spacing), strict=True))
    if any(part.name is None for part in given):
        if len(given) != len(names):
            fix = "save each under its video's name"
            raise InputError(
                f"{source} holds {len(given)} lists of scores without names for {len(names)} videos; {fix}"
            )
        return dict(zip(names, given, strict=True))
    known = match_videos([str(part.name) for part in given], names, source)
    return {known[str(part.name)]: part for part in given}


def _split(whole: VideoScores, spans: Sequence[slice], source: str, spacing: Spacing) -> list[VideoScores]:
    """One list for all videos, one after another, cut where a video ends."""
    lengths = [span.stop - span.start for span in spans]
    fewer = sum(lengths) - len(whole.values)
    if len(lengths) > 1 and fewer:
        lack, rest = divmod(fewer, len(lengths))
        counts = f"{source} is one list of {len(whole.values):,} scores for {sum(lengths):,} labelled frames of {len(lengths)} videos"
        if fewer < 0:
            raise InputError(f"{counts}; are the labels of another set?")
        spaced = [len(range(spacing.offset or 0, length, spacing.every)) for length in lengths]
        if spacing.every > 1 and sum(spaced) == len(whole.values):
            return _cut(whole, spaced)
        if rest or spacing.every > 1 or lack >= min(lengths):
            raise InputError(
                f"{counts}, so it is not clear where a video begins; save one array a video (.npz by name, or a folder)"
            )
        if spacing.offset is None:
            raise InputError(f"{counts}: {lack} fewer for each video, if each lacks as many; {_which()}")
        lengths = [length - lack for length in lengths]
    return [whole] if len(lengths) == 1 else _cut(whole, lengths)


def _cut(whole: VideoScores, lengths: Sequence[int]) -> list[VideoScores]:
    return [VideoScores(None, None, part) for part in np.split(whole.values, np.cumsum(lengths)[:-1])]


def _which() -> str:
    which = "a list without frame numbers does not say which frames it scores"
    offset = "--offset N, the frames before the first score (8 for windows of 16 that stand for their middle)"
    return f"{which}: give {offset}, --every N where one in N is scored, and {_WAYS}"


def _gap(missing: Flags, frames: NDArray[np.int64]) -> str:
    there = np.flatnonzero(~missing)
    if not len(there):
        return f"all {len(missing)} frames"
    first, last = int(there[0]), len(missing) - 1 - int(there[-1])
    parts = [f"the first {first}"] * bool(first) + [f"the last {last}"] * bool(last)
    steps = np.unique(np.diff(there))
    if len(steps) == 1 and steps[0] > 1:
        parts.append(f"all but every {steps[0]}th in between")
    elif len(steps) > 1:
        gaps = [(frames[a + 1], frames[b - 1]) for a, b in pairwise(there) if b > a + 1]
        parts += [f"{a} to {b}" if a != b else str(a) for a, b in gaps[:3]] + ["..."] * (len(gaps) > 3)
    return ", ".join(parts)


def _few(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_MOST]) + (f" and {len(texts) - _MOST} more" if len(texts) > _MOST else "")
