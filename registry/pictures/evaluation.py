"""The picture of `vad evaluate`: ROC and precision-recall curves, and the AUC of each video."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from registry.analysis.evaluate import Evaluated, Evaluation
from registry.console import plural
from registry.pictures.style import BLUE, CHANCE, FAINT, VERMILLION, sheet
from vad.data.frame_index import Values
from vad.measures.frame_level import curve

_COLOURS = (BLUE, VERMILLION)
_MOST = 40  # bars; of more videos, the curve of their sorted AUCs


def evaluation_picture(path: Path, found: Evaluated) -> None:
    """Draw one file, or two over each other. The dots mark EER and best F1, the ring the 95 % of FPR95."""
    with sheet(path, 7.6) as figure:
        (roc, precision), (bottom, _) = grid = figure.subplots(2, 2, height_ratios=(1.45, 1))
        grid[1, 1].remove()
        bottom.set_subplotspec(grid[1, 0].get_gridspec()[1, :])
        handles: list[Line2D] = []
        for side, colour in zip(found.files, _COLOURS, strict=False):
            _curves(roc, precision, side, colour)
            measured = side.measured
            text = f"{Path(side.file).name}: AP {measured.ap:.3f}, AUC {measured.auc:.3f}"
            handles.append(Line2D([], [], color=colour, lw=1.8, label=text))
        roc.plot([0, 1], [0, 1], **CHANCE)
        roc.plot([0, 1], [1, 0], color=FAINT, lw=0.8)
        precision.axhline(found.files[0].measured.prevalence, **CHANCE)
        roc.set(xlabel="share of normal frames alarmed (FPR)", ylabel="share of anomalous frames alarmed (TPR)")
        roc.set_title("ROC: dot, equal error rate; ring, 95 % TPR")
        precision.set(xlabel="recall", ylabel="precision")
        precision.set_title("precision and recall: dot, best F1")
        for axes in (roc, precision):
            axes.set(xlim=(0, 1), ylim=(0, 1.02))
            axes.grid()
        _videos(bottom, found)
        handles.append(Line2D([], [], **CHANCE, label="chance"))
        first = found.files[0].measured
        figure.legend(handles=handles, loc="outside upper left", ncols=3)
        figure.supxlabel(
            f"{first.frames:,} frames of {plural(first.videos, 'video')}, {first.prevalence:.1%} anomalous", fontsize=9
        )


def _curves(roc: Axes, precision: Axes, side: Evaluation, colour: str) -> None:
    found = curve(side.scores, side.labels)
    fpr, tpr = found.false / found.false[-1], found.hits / found.hits[-1]
    roc.plot(*_thin(np.append(0.0, fpr), np.append(0.0, tpr)), color=colour, lw=1.8, clip_on=False)
    dot: dict[str, Any] = {"marker": "o", "color": colour, "ms": 6, "mec": "w", "zorder": 4}
    roc.plot(side.frames.eer, 1 - side.frames.eer, **dot)
    roc.plot(
        side.frames.at_tpr.fpr, side.frames.at_tpr.recall, **dot | {"mfc": "none", "mec": colour, "ms": 8, "mew": 1.5}
    )
    hit = np.diff(found.hits, prepend=0.0) > 0
    share = (found.hits / (found.hits + found.false))[hit]
    precision.plot(*_thin(tpr[hit], share), drawstyle="steps-pre", color=colour, lw=1.6, clip_on=False)
    best = side.frames.best_f1
    precision.plot(best.recall, best.precision, **dot)


def _thin(x: Values, y: Values, most: int = 4000) -> tuple[Values, Values]:
    """No more points than can be seen."""
    kept = np.unique(np.linspace(0, len(x) - 1, most).astype(int)) if len(x) > most else np.arange(len(x))
    return x[kept], y[kept]


def _videos(axes: Axes, found: Evaluated) -> None:
    """The AUC of each video that has both kinds of frames."""
    names = [part.name for part in found.files[0].frames.videos if part.auc is not None]
    left_out = len(found.files[0].frames.videos) - len(names)
    axes.set(ylim=(0, 1.02), ylabel="AUC of a video")
    axes.axhline(0.5, **CHANCE)
    axes.grid(axis="y")
    out = f"; {left_out} with one kind of frames left out" if left_out else ""
    axes.set_title(f"AUC per video, {plural(len(names), 'video')}; dotted: macro AUC{out}")
    width = 0.8 / len(found.files)
    for at, (side, colour) in enumerate(zip(found.files, _COLOURS, strict=False)):
        values = [part.auc for part in side.frames.videos if part.auc is not None]
        if len(names) > _MOST:
            axes.plot(np.sort(values), color=colour, lw=1.6)
            axes.set_xlabel("videos, sorted by AUC")
        else:
            axes.bar(np.arange(len(names)) + (at - (len(found.files) - 1) / 2) * width, values, width, color=colour)
            axes.set_xticks(range(len(names)), names, rotation=0 if max(map(len, names), default=0) < 4 else 60)
            axes.set_xlabel("video")
        macro = side.frames.macro
        if macro.plain is not None:
            axes.axhline(macro.plain, color=colour, lw=1, ls=":")
