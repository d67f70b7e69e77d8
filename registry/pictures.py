"""The pictures of a run, drawn by matplotlib without a display. The same numbers give the same bytes.

All are 9 inches wide, so that text keeps its size in points when MLflow shows them about 900 px wide;
they hold twice as many pixels, for sharp screens. Colours are Okabe and Ito's, safe for the colour-blind.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN, CARETUP, MarkerStyle
from matplotlib.patches import Patch
from matplotlib.ticker import AutoLocator, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from vad.files import replacing
from vad.metrics import CONFIDENCE, Measured
from vad.scores import FrameIndex, Values

if TYPE_CHECKING:  # it would load PyTorch
    from vad.training import Epoch

WIDTH, DPI = 9.0, 200
WORST, APART = 10, 15
MOST_PANELS, MOST_ROWS = 120, 8

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
INK, FAINT, RULE = "#333333", "#BDBDBD", "#E4E4E4"
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (9, 3)), (0, (4, 1, 1, 1, 1, 1)))
_STYLE = {
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize"), 9.5),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 9),
    **dict.fromkeys(("axes.titlepad", "xtick.major.size", "ytick.major.size"), 3),
    **dict.fromkeys(("axes.linewidth", "grid.linewidth"), 0.7),
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "axes.titlelocation": "left",
    "axes.edgecolor": "#888888",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "legend.handlelength": 2.2,
}


@dataclass(frozen=True, eq=False)
class WorstFrame:
    """One row of the sheet: images are uint8 of shape (H, W, 3), RGB; `error` is of shape (H, W)."""

    title: str
    frame: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8]
    error: NDArray[np.floating]


def worst_positions(
    index: FrameIndex, scores: Values, labels: NDArray[np.bool_], count: int = WORST
) -> tuple[list[int], list[int]]:
    """Where the worst false alarms and misses lie: the highest normal and the lowest anomalous scores, worst first.

    Two of a kind in one video are at least `APART` frames apart: else one event would take all places.
    """
    rising = np.argsort(scores, kind="stable")
    falling = np.argsort(-scores, kind="stable")
    alarms, misses = falling[~labels[falling]], rising[labels[rising]]
    return _apart(index, alarms, count), _apart(index, misses, count)


def _apart(index: FrameIndex, candidates: NDArray[np.intp], count: int) -> list[int]:
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


def timelines(
    path: Path, index: FrameIndex, variants: Mapping[str, Values], best: str, labels: NDArray[np.bool_] | None
) -> None:
    """Scores over frames, a panel a video (the first `MOST_PANELS` of them): the best variant, the others behind it.

    Variants live on scales of their own, and only the order of scores counts: the others are shifted
    and stretched to the best one's mean and spread, so that their shapes can be compared.
    """
    scores = variants[best]
    others = [_fitted(values, scores) for name, values in variants.items() if name != best]
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
                here = [position for position in marks if span.start <= position < span.stop]
                if here:
                    style = {"ls": "", "marker": MarkerStyle(caret), "ms": 7, "c": colour, "mec": "w", "mew": 0.5}
                    axes.plot(index.frame[here], scores[here], **style, clip_on=False, in_layout=False)
        for axes in grid[len(spans) :]:
            axes.remove()
        figure.supxlabel("frame", fontsize=9.5)
        figure.supylabel("score", fontsize=9.5)
        handles: list[Artist] = [Line2D([], [], color=BLUE, lw=1.6, label=_wrapped(best, 34))]
        if others:
            label = f"{_plural(len(others), 'other variant')}, fitted to its scale"
            handles.append(Line2D([], [], color=FAINT, lw=1.2, label=label))
        for marks, marker, colour, one in ((alarms, "v", VERMILLION, "false alarm"), (misses, "^", BLACK, "miss")):
            if marks:
                label = f"worst {_plural(len(marks), one)}"
                handles.append(Line2D([], [], color=colour, ls="", marker=marker, ms=6, mec="w", mew=0.5, label=label))
        if labels is not None and labels.any():
            handles.append(Patch(color=ORANGE, alpha=0.3, lw=0, label="labelled anomalous"))
        figure.legend(handles=handles, loc="outside upper center", ncols=3, columnspacing=1.6)
        if len(spans) < len(index.spans):
            figure.suptitle(f"the first {len(spans)} of {len(index.spans)} videos", fontsize=9.5)


def _timeline(
    axes: Axes, index: FrameIndex, span: slice, scores: Values, others: list[Values], labels: NDArray[np.bool_] | None
) -> None:
    """One video's lines. They break where frames are missing."""
    frames = index.frame[span]
    steps = np.diff(frames)
    usual = float(np.median(steps)) if len(steps) else 1.0
    breaks = np.flatnonzero(steps > APART * usual) + 1
    for piece in np.split(np.arange(span.start, span.stop), breaks):
        x = index.frame[piece]
        if others:
            # one line, lifted off between variants: many lines would take long
            ends = [np.append(values[piece], np.nan) for values in others]
            axes.plot(np.tile(np.append(x, np.nan), len(others)), np.concatenate(ends), color=FAINT, lw=0.5)
        axes.plot(x, scores[piece], color=BLUE, lw=1.3, marker="o" if len(piece) == 1 else "", ms=3.5)
        if labels is not None:
            edges = np.flatnonzero(np.diff(labels[piece].astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
            bars = [(x[a] - 0.5, x[b - 1] - x[a] + 1.0) for a, b in edges]
            axes.broken_barh(
                bars, (0, 1), transform=axes.get_xaxis_transform(), color=ORANGE, alpha=0.3, lw=0, zorder=0
            )
    axes.set_xlim(frames[0] - 0.5, frames[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_title(f"video {index.video[span.start]}")
    axes.grid(axis="y")


def _fitted(values: Values, onto: Values) -> Values:
    """`values` with the mean and the standard deviation of `onto`."""
    stretch = onto.std() / values.std() if np.ptp(values) > 0 else 0.0
    fitted: Values = (values - values.mean()) * stretch + onto.mean()
    return fitted


def precision_recall(path: Path, scores: Values, labels: NDArray[np.bool_], measured: Measured) -> None:
    """The precision-recall curve as the step function whose area AP is, above the line of chance."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(labels, scores)
    recall, reached = np.unique(recall[::-1], return_index=True)  # AP takes each recall where it is reached first
    precision = precision[::-1][reached]
    precision[0] = precision[1]  # scikit-learn's (0, 1) is a convention; no threshold gives it
    with sheet(path, 5.2) as figure:
        axes = figure.subplots()
        axes.plot(recall, precision, drawstyle="steps-pre", color=BLUE, lw=1.8, clip_on=False, zorder=3)
        axes.axhline(measured.prevalence, color=INK, lw=1.1, ls=(0, (5, 3)))
        side, above = ("bottom", 3) if measured.prevalence < 0.9 else ("top", -3)
        text = f"chance: the share of anomalous frames, {measured.prevalence:.3f}"
        axes.annotate(text, (0, measured.prevalence), (6, above), textcoords="offset points", va=side)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.grid()
        axes.set_title(f"AP {measured.ap:.3f} {_interval(measured)}", fontsize=12, pad=22)
        about = f"{measured.frames:,} frames of {_plural(measured.videos, 'video')}; area under the ROC curve"
        axes.text(0, 1.025, f"{about} {measured.auc:.3f}", transform=axes.transAxes)


def _interval(measured: Measured) -> str:
    if measured.videos == 1:
        return "(no interval: it is drawn over videos, and there is one)"
    return f"({CONFIDENCE:.0%} interval over videos {measured.low:.3f} to {measured.high:.3f})"


def loss_curves(path: Path, curves: Mapping[str, Sequence["Epoch"]], kept: Mapping[str, int] | None = None) -> None:
    """The training losses of all members, named `group-seed`: a colour a group, a line style a seed."""
    curves = {name: epochs for name, epochs in curves.items() if epochs}
    parts = {name: (name.rpartition("-")[0] or name, name.rpartition("-")[2]) for name in curves}
    groups = list(dict.fromkeys(group for group, _ in parts.values()))
    seeds = list(dict.fromkeys(seed for _, seed in parts.values()))
    several = len(groups) > 1  # in a single group, each seed has a colour too
    colours = dict(zip(groups if several else seeds, cycle(_COLOURS), strict=False))
    styles = dict(zip(seeds, cycle(_DASHES), strict=False))
    with sheet(path, 4.6) as figure:
        axes = figure.subplots()
        for name, epochs in curves.items():
            group, seed = parts[name]
            losses = {epoch.number: epoch.loss for epoch in epochs}
            colour, dot = colours[group if several else seed], "o" if len(losses) == 1 else ""
            axes.plot(list(losses), list(losses.values()), c=colour, ls=styles[seed], lw=1.5, marker=dot, ms=4)
            if kept and kept.get(name) in losses:
                at = kept[name]
                axes.plot(at, losses[at], marker="o", ms=6.5, c=colour, mec="w", mew=1, zorder=4)
        axes.set(xlabel="epoch", ylabel="training loss (log scale)")
        axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        axes.set_xlim(left=0.5)
        axes.grid()
        _log_scale(axes, [epoch.loss for epochs in curves.values() for epoch in epochs])
        if several:
            handles = [Line2D([], [], color=colours[group], lw=2.5, label=_wrapped(group, 22)) for group in groups]
            if len(seeds) > 1:
                handles += [Line2D([], [], color=INK, lw=1.4, ls=styles[s], label=f"seed {s}") for s in seeds]
        else:
            lines = [(colours[seed], styles[seed], _wrapped(name, 22)) for name, (_, seed) in parts.items()]
            handles = [Line2D([], [], color=colour, ls=style, lw=1.5, label=label) for colour, style, label in lines]
        if kept:
            handles.append(Line2D([], [], color=INK, ls="", marker="o", ms=6.5, label="kept epoch"))
        if handles:
            figure.legend(handles=handles, loc="outside right upper")
        else:
            axes.text(0.5, 0.5, "no training was recorded", transform=axes.transAxes, ha="center")


def _log_scale(axes: Axes, losses: list[float]) -> None:
    """A log scale with plain numbers, and ticks for a narrow range too, where powers of ten would leave none."""
    positive = [loss for loss in losses if loss > 0]
    if not positive:
        return
    axes.set_yscale("log", nonpositive="mask")
    wide = max(positive) > 5 * min(positive)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else AutoLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")


def variant_bars(
    path: Path, measured: Mapping[str, Measured], best: str, reference: Mapping[str, float], figure_name: str = "AP"
) -> None:
    """The figure of each variant with its interval, best first, beside what the reference reports of it."""
    names = sorted(measured, key=lambda name: -measured[name].ap)
    rows = np.arange(len(names))
    found = np.asarray([measured[name].ap for name in names])
    lows, highs = (np.asarray([getattr(measured[name], end) for name in names]) for end in ("low", "high"))
    stated = [(row, reference[name]) for row, name in enumerate(names) if name in reference]
    prevalence, several = measured[names[0]].prevalence, measured[names[0]].videos > 1
    with sheet(path, 1.25 + 0.36 * len(names)) as figure:
        axes = figure.subplots()
        axes.barh(rows, found, 0.62, color=[BLUE if name == best else "#C8CDD2" for name in names])
        for width, colour in ((3.4, "w"), (1.4, INK)) if several else ():  # a white edge sets it off from the bar
            axes.hlines(rows, lows, highs, color=colour, lw=width, zorder=3)
            axes.plot([*lows, *highs], [*rows, *rows], ls="", marker="|", ms=7 + width, mew=width, c=colour, zorder=3)
        if stated:
            at, values = zip(*stated, strict=True)
            axes.plot(values, at, ls="", marker="D", ms=7, color=VERMILLION, mec="w", mew=1, zorder=4)
        axes.axvline(prevalence, color=BLACK, lw=1.2, ls=(0, (4, 2.5)))
        right = max([*highs, *found, *(value for _, value in stated), prevalence])
        axes.set(xlim=(0, min(1.0, 1.05 * right) or 1.0), ylim=(len(names) - 0.5, -0.6), xlabel=figure_name)
        axes.set_yticks(rows, [_wrapped(name, 30) for name in names])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        for row, name in enumerate(names):
            weight = "bold" if name == best else "normal"
            axes.get_yticklabels()[row].set_fontweight(weight)
            text = f"{found[row]:.3f}" + (f"   {lows[row]:.3f} – {highs[row]:.3f}" if several else "")
            axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center")
        handles: list[Artist] = [
            Patch(color=BLUE, label="best"),
            Line2D([], [], color=BLACK, lw=1.2, ls=(0, (4, 2.5)), label=f"chance, {prevalence:.3f}"),
        ]
        if several:
            handles.append(Line2D([], [], color=INK, lw=1.4, label=f"{CONFIDENCE:.0%} interval over videos"))
        if stated:
            handles.append(Line2D([], [], ls="", marker="D", ms=7, color=VERMILLION, mec="w", label="reference"))
        figure.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1.6)


def worst_frames(path: Path, rows: Sequence[WorstFrame]) -> None:
    """Frame, reconstruction and error side by side, for up to `MOST_ROWS` frames; all errors on one scale."""
    rows = rows[:MOST_ROWS]
    sides = 1 if len(rows) <= 3 else 2
    lines = max(1, -(-len(rows) // sides))
    shape = rows[0].frame.shape if rows else (1, 3)
    height = (2.92 if sides == 1 else 1.39) * shape[0] / shape[1]  # what the layout below leaves to an image
    errors = np.concatenate([row.error.ravel() for row in rows]) if rows else np.zeros(1)
    most = float(np.quantile(errors, 0.995)) or float(errors.max()) or 1.0
    with sheet(path, 0.95 + lines * (height + 0.225), "compressed") as figure:
        if not rows:
            figure.text(0.5, 0.5, "there are no frames to show", ha="center")
            return
        ratios = [1, 1, 1] if sides == 1 else [1, 1, 1, 0.12, 1, 1, 1]
        grid = figure.add_gridspec(lines, len(ratios), width_ratios=ratios)
        shown = []
        for number, row in enumerate(rows):
            line, side = number % lines, number // lines
            three = [figure.add_subplot(grid[line, 4 * side + column]) for column in range(3)]
            three[0].imshow(row.frame)
            three[1].imshow(row.reconstruction)
            heat = three[2].imshow(row.error, cmap="inferno", vmin=0, vmax=most)
            for axes, head in zip(three, ("frame", "reconstruction", "error"), strict=True):
                axes.set(xticks=[], yticks=[])
                axes.set_axis_off()
                if line == 0:
                    axes.set_title(head, loc="center", color="#6B6B6B")
            three[0].set_title(row.title + ("\n" if line == 0 else ""))
            shown += three
        bar = figure.colorbar(heat, ax=shown, location="bottom", shrink=0.4, aspect=40, pad=0.02, extend="max")
        bar.ax.xaxis.set(major_locator=MaxNLocator(5), major_formatter="{x:g}")
        bar.set_label("error, one scale for all")


@contextmanager
def sheet(path: Path, height: float, layout: Literal["constrained", "compressed"] = "constrained") -> Iterator[Figure]:
    """A figure `height` inches high, written to `path` as PNG when the block is done."""
    with matplotlib.style.context(["default", _STYLE]):  # no matplotlibrc may change a picture
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout=layout)
        yield figure
        with replacing(path) as temporary:
            options = {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 4}}
            FigureCanvasAgg(figure).print_png(temporary, **options)  # type: ignore[no-untyped-call]  # savefig draws twice


def _wrapped(name: str, width: int) -> str:
    """A long name on two lines, broken after the underscore nearest to its middle."""
    if len(name) <= width:
        return name
    breaks = [i + 1 for i, letter in enumerate(name) if letter in "_-"] or [len(name) // 2]
    middle = min(breaks, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:middle]}\n{name[middle:]}"


def _plural(count: int, one: str) -> str:
    return f"{count} {one}{'' if count == 1 else 'es' if one.endswith('s') else 's'}"
