"""Plots of frames: score timelines with the worst frames marked, an overview, and the worst frames with reconstruction and error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN, CARETUP, MarkerStyle
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from registry.console import plural
from registry.pictures.style import BLACK, BLUE, FAINT, INK, ORANGE, VERMILLION, sheet, wrapped
from vad.data.frame_index import Flags, FrameIndex, Values

WORST, APART = 10, 15
MOST_PANELS = 120
_MOST_NAMES = 24  # of videos below an overview
_SHADE: dict[str, Any] = {"color": ORANGE, "alpha": 0.3, "lw": 0}


def worst_positions(
    index: FrameIndex, scores: Values, labels: Flags, count: int = WORST
) -> tuple[list[int], list[int]]:
    """Where the worst false alarms and misses lie: the highest normal and the lowest anomalous scores, worst first.

    Without labels of both kinds every frame may be one; else only a frame that some frame of the other kind should have outranked.
    """
    rising, falling = (np.argsort(values, kind="stable") for values in (scores, -scores))
    alarms, misses = falling[~labels[falling]], rising[labels[rising]]
    if len(alarms) and len(misses):
        lowest, highest = scores[misses[0]], scores[alarms[0]]
        alarms, misses = alarms[scores[alarms] >= lowest], misses[scores[misses] <= highest]
    return _apart(index, alarms, count), _apart(index, misses, count)


def _apart(index: FrameIndex, candidates: NDArray[np.intp], count: int) -> list[int]:
    """The first of the candidates, in one video `APART` frames apart at least: else one event would take all places."""
    free = np.ones(len(index), bool)
    chosen: list[int] = []
    for position in candidates.tolist():
        if len(chosen) == count:
            break
        if free[position]:
            chosen.append(position)
            near = np.abs(index.frame - index.frame[position]) < APART
            free &= ~(near & (index.video == index.video[position]))
    return chosen


def timelines(path: Path, index: FrameIndex, variants: Mapping[str, Values], best: str, labels: Flags | None) -> None:
    """Scores over frames, one panel for each video: the best variant in front of the others, scaled to its mean and spread."""
    scores = variants[best]
    others = []
    for values in (values for name, values in variants.items() if name != best):
        stretch = scores.std() / values.std() if np.ptp(values) > 0 else 0.0
        others.append(np.asarray((values - values.mean()) * stretch + scores.mean()))
    alarms, misses = ([], []) if labels is None else worst_positions(index, scores, labels)
    spans = index.spans[:MOST_PANELS]
    columns = next(c for c, most in ((1, 3), (2, 10), (3, 36), (4, MOST_PANELS)) if len(spans) <= most)
    rows = -(-len(spans) // columns)
    with sheet(path, 0.95 + rows * (1.75, 1.55, 1.3, 1.15)[columns - 1]) as figure:
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        low, high = float(scores.min()), float(scores.max())
        margin = 0.12 * (high - low) or 0.5 * abs(high) or 0.5
        grid[0].set_ylim(low - margin, high + margin)
        grid[0].yaxis.set_major_locator(MaxNLocator(3 if columns > 1 else 4))
        grid[0].yaxis.set_major_formatter("{x:g}")
        for axes, span in zip(grid, spans, strict=False):
            _timeline(axes, index, span, scores, others, labels)
            for marks, caret, colour in ((alarms, CARETDOWN, VERMILLION), (misses, CARETUP, BLACK)):
                if here := [position for position in marks if span.start <= position < span.stop]:
                    style = {"ls": "", "marker": MarkerStyle(caret), "ms": 7, "c": colour, "mec": "w", "mew": 0.5}
                    axes.plot(index.frame[here], scores[here], **style, clip_on=False, in_layout=False)
        for axes in grid[len(spans) :]:
            axes.remove()
        figure.supxlabel("frame", fontsize=9.5)
        figure.supylabel("score", fontsize=9.5)
        handles: list[Artist] = [Line2D([], [], color=BLUE, lw=1.6, label=f"{wrapped(best, 34)} (registered)")]
        if others:
            label = f"{plural(len(others), 'other variant')}, fitted to its scale"
            handles.append(Line2D([], [], color=FAINT, lw=1.2, label=label))
        for marks, marker, colour, one in ((alarms, "v", VERMILLION, "false alarm"), (misses, "^", BLACK, "miss")):
            if marks:
                label = f"worst {plural(len(marks), one)}"
                handles.append(Line2D([], [], color=colour, ls="", marker=marker, ms=6, mec="w", mew=0.5, label=label))
        if labels is not None and labels.any():
            handles.append(Patch(**_SHADE, label="labelled anomalous"))
        figure.legend(handles=handles, loc="outside upper center", ncols=3, columnspacing=1.6)
        if len(spans) < len(index.spans):
            figure.suptitle(f"the first {len(spans)} of {len(index.spans)} videos", fontsize=9.5)


def _timeline(
    axes: Axes, index: FrameIndex, span: slice, scores: Values, others: list[Values], labels: Flags | None
) -> None:
    """One video's lines. They break where frames are missing."""
    frames = index.frame[span]
    steps = np.diff(frames)
    usual = float(np.median(steps)) if len(steps) else 1.0
    breaks = np.flatnonzero(steps > APART * usual) + 1
    for piece in np.split(np.arange(span.start, span.stop), breaks):
        x = index.frame[piece]
        if others:
            # One line with NaN between variants: many lines would be slow.
            ends = [np.append(values[piece], np.nan) for values in others]
            axes.plot(np.tile(np.append(x, np.nan), len(others)), np.concatenate(ends), color=FAINT, lw=0.5)
        axes.plot(x, scores[piece], color=BLUE, lw=1.3, marker="o" if len(piece) == 1 else "", ms=3.5)
        if labels is not None:
            _shade(axes, x, labels[piece])
    axes.set_xlim(frames[0] - 0.5, frames[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_title(f"video {index.title(index.video[span.start])}")
    axes.grid(axis="y")


def _shade(axes: Axes, x: NDArray[Any], labels: Flags) -> None:
    """Shade the anomalous frames; `x` are the centres of all frames."""
    edges = np.flatnonzero(np.diff(labels.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    bars = [(x[a] - 0.5, x[b - 1] - x[a] + 1.0) for a, b in edges]
    axes.broken_barh(bars, (0, 1), transform=axes.get_xaxis_transform(), **_SHADE, zorder=0)


def overview(path: Path, index: FrameIndex, scores: Values, variant: str, labels: Flags | None) -> None:
    """The scores of one variant, video after video; small, as descriptions in MLflow's UI show a picture in its own size."""
    with sheet(path, 2.0, width=6.4, dpi=100) as figure:
        axes = figure.subplots()
        low, high = float(scores.min()), float(scores.max())
        margin = 0.08 * (high - low) or 0.5
        axes.set(xlim=(0, len(scores)), ylim=(low - margin, high + margin), xlabel="video", ylabel="score")
        for span in index.spans:
            axes.plot(np.arange(span.start, span.stop), scores[span], color=BLUE, lw=1.0)
            if span.start:
                axes.axvline(span.start, color=INK, lw=0.6, alpha=0.5)
        handles: list[Artist] = [Line2D([], [], color=BLUE, lw=1.4, label=variant)]
        if labels is not None and labels.any():
            _shade(axes, np.arange(len(labels)) + 0.5, labels)
            handles.append(Patch(**_SHADE, label="labelled anomalous"))
        shown = index.spans if len(index.spans) <= _MOST_NAMES else []
        axes.set_xticks([(s.start + s.stop) / 2 for s in shown], [index.title(index.video[s.start]) for s in shown])
        axes.tick_params(axis="x", length=0)
        figure.legend(handles=handles, loc="outside upper left", ncols=2, columnspacing=1.6)


@dataclass(frozen=True, eq=False)
class WorstFrame:
    """One frame of `worst_frames`: images are uint8 (H, W, 3), RGB; `error` is (h, w). A bank makes no reconstruction."""

    title: str
    frame: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8] | None
    error: NDArray[np.floating]


def worst_frames(path: Path, rows: Sequence[WorstFrame]) -> None:
    """Frame, reconstruction (where there is one) and error side by side, one frame or more; all errors on one scale."""
    with_made = all(row.reconstruction is not None for row in rows)
    heads = ["frame", "reconstruction", "error"] if with_made else ["frame", "anomaly map"]
    panels = len(heads)
    sides = 1 if len(rows) <= 3 else 2
    lines = -(-len(rows) // sides)
    shape = rows[0].frame.shape
    # What the layout below leaves to an image.
    height = (2.92 if sides == 1 else 1.39) * 3 / panels * shape[0] / shape[1]
    errors = np.concatenate([row.error.ravel() for row in rows])
    most = float(np.quantile(errors, 0.995)) or float(errors.max()) or 1.0
    with sheet(path, 0.95 + lines * (height + 0.225), dense=True) as figure:
        ratios = [1] * panels if sides == 1 else [*[1] * panels, 0.12, *[1] * panels]
        grid = figure.add_gridspec(lines, len(ratios), width_ratios=ratios)
        shown = []
        for number, row in enumerate(rows):
            line, side = number % lines, number // lines
            shown_here = [figure.add_subplot(grid[line, (panels + 1) * side + column]) for column in range(panels)]
            shown_here[0].imshow(row.frame)
            if row.reconstruction is not None:
                shown_here[1].imshow(row.reconstruction)
            heat = shown_here[-1].imshow(row.error, cmap="inferno", vmin=0, vmax=most)
            for axes, head in zip(shown_here, heads, strict=True):
                axes.set(xticks=[], yticks=[])
                axes.set_axis_off()
                if line == 0:
                    axes.set_title(head, loc="center", color="#6B6B6B")
            shown_here[0].set_title(row.title + ("\n" if line == 0 else ""))
            shown += shown_here
        bar = figure.colorbar(heat, ax=shown, location="bottom", shrink=0.4, aspect=40, pad=0.02, extend="max")
        bar.ax.xaxis.set(major_locator=MaxNLocator(5), major_formatter="{x:g}")
        bar.set_label(f"{heads[-1]}, one scale for all")
