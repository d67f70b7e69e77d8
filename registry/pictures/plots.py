"""Plots of a run: the precision-recall curve, the AP of each variant, the losses of all members."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import AutoLocator, LogLocator, MaxNLocator, NullLocator

from registry.console import plural
from registry.pictures.style import BLUE, CHANCE, COLOURS, DASHES, INK, VERMILLION, sheet, wrapped
from vad.data.frame_index import Flags, FrameIndex, Values
from vad.measures.metrics import CONFIDENCE, Measured, precision_band

if TYPE_CHECKING:  # it would load PyTorch
    from vad.detectors.base import Epoch


def precision_recall(path: Path, scores: Values, labels: Flags, index: FrameIndex, measured: Measured) -> None:
    """The precision-recall curve as the step function whose area is AP, with its interval, and the line of chance."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(labels, scores)
    # Of equal recalls AP takes the one at the highest threshold.
    recall, reached = np.unique(recall[::-1], return_index=True)
    precision = precision[::-1][reached]
    precision[0] = precision[1]  # scikit-learn's (0, 1) is a convention; no threshold gives it
    with sheet(path, 5.4) as figure:
        axes = figure.subplots()
        (curve,) = axes.plot(recall, precision, drawstyle="steps-pre", color=BLUE, lw=1.8, clip_on=False, zorder=3)
        curve.set_label("all frames")
        handles: list[Artist] = [curve]
        interval = f"(no interval from {plural(measured.videos, 'video')})"
        if measured.has_interval:
            interval = f"({CONFIDENCE:.0%} interval over videos {measured.low:.3f} to {measured.high:.3f})"
            axes.fill_between(*precision_band(scores, labels, index), color=BLUE, alpha=0.18, lw=0, zorder=2)
            handles.append(Patch(color=BLUE, alpha=0.18, lw=0, label=f"{CONFIDENCE:.0%} interval at each recall"))
        chance = f"chance: the share of anomalous frames, {measured.prevalence:.3f}"
        handles.append(axes.axhline(measured.prevalence, color=INK, lw=1.1, ls=(0, (5, 3)), label=chance))
        figure.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=1.6)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
        axes.grid()
        axes.set_title(f"AP {measured.ap:.3f} {interval}", fontsize=12, pad=22)
        about = f"{measured.frames:,} frames of {plural(measured.videos, 'video')}; area under the ROC curve"
        axes.text(0, 1.025, f"{about} {measured.auc:.3f}", transform=axes.transAxes)


def variant_bars(
    path: Path, measured: Mapping[str, Measured], best: str, reference: Mapping[str, float], metric_name: str
) -> None:
    """Draw the AP of each variant with its interval, best first, next to the reference's figure."""
    names = sorted(measured, key=lambda name: -measured[name].ap)
    rows = np.arange(len(names))
    found = np.asarray([measured[name].ap for name in names])
    lows, highs = (np.asarray([getattr(measured[name], end) for name in names]) for end in ("low", "high"))
    stated = [(row, reference[name]) for row, name in enumerate(names) if name in reference]
    chance, several = measured[names[0]].chance, measured[names[0]].has_interval
    with sheet(path, 1.25 + 0.36 * len(names)) as figure:
        axes = figure.subplots()
        axes.barh(rows, found, 0.62, color=[BLUE if name == best else "#C8CDD2" for name in names])
        for width, colour in ((3.4, "w"), (1.4, INK)) if several else ():  # a white edge sets it off from the bar
            axes.hlines(rows, lows, highs, color=colour, lw=width, zorder=3)
            axes.plot([*lows, *highs], [*rows, *rows], ls="", marker="|", ms=7 + width, mew=width, c=colour, zorder=3)
        handles: list[Artist] = [
            Patch(color=BLUE, label="registered"),
            axes.axvline(chance, **CHANCE, label=f"chance, {chance:.3f}"),
        ]
        if several:
            handles.append(Line2D([], [], color=INK, lw=1.4, label=f"{CONFIDENCE:.0%} interval over videos"))
        if stated:
            at, values = zip(*stated, strict=True)
            style: dict[str, Any] = {"ls": "", "marker": "D", "ms": 7, "color": VERMILLION, "mec": "w", "mew": 1}
            handles += axes.plot(values, at, **style, zorder=4, label="reference")
        right = max([*highs, *found, *(value for _, value in stated), chance])
        axes.set(xlim=(0, min(1.0, 1.05 * right) or 1.0), ylim=(len(names) - 0.5, -0.6), xlabel=metric_name)
        axes.set_yticks(rows, [wrapped(name, 30) for name in names])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        for row, name in enumerate(names):
            axes.get_yticklabels()[row].set_fontweight("bold" if name == best else "normal")
            text = f"{found[row]:.3f}" + (f"   {lows[row]:.3f} – {highs[row]:.3f}" if several else "")
            axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center")
        figure.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1.6)


def loss_curves(path: Path, curves: Mapping[str, Sequence["Epoch"]], kept: Mapping[str, int]) -> None:
    """The training losses of all members, named `group-seed`: a colour a group, a line style a seed; a dot the `kept` epoch."""
    parts = {name: (name.rpartition("-")[0] or name, name.rpartition("-")[2]) for name in curves}
    groups = list(dict.fromkeys(group for group, _ in parts.values()))
    seeds = list(dict.fromkeys(seed for _, seed in parts.values()))
    several = len(groups) > 1  # in a single group, each seed has a colour too
    colours = dict(zip(groups if several else seeds, cycle(COLOURS), strict=False))
    styles = dict(zip(seeds, cycle(DASHES), strict=False))
    with sheet(path, 4.6) as figure:
        axes = figure.subplots()
        for name, epochs in curves.items():
            group, seed = parts[name]
            losses = {epoch.number: epoch.loss for epoch in epochs}
            colour, dot = colours[group if several else seed], "o" if len(losses) == 1 else ""
            axes.plot(list(losses), list(losses.values()), c=colour, ls=styles[seed], lw=1.5, marker=dot, ms=4)
            if (at := kept.get(name)) in losses:
                axes.plot(at, losses[at], marker="o", ms=6.5, c=colour, mec="w", mew=1, zorder=4)
        axes.set(xlabel="epoch", ylabel="training loss (log scale)")
        axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
        axes.set_xlim(left=0.5)
        axes.grid()
        _log_scale(axes, [epoch.loss for epochs in curves.values() for epoch in epochs])
        if several:
            handles = [Line2D([], [], color=colours[group], lw=2.5, label=wrapped(group, 22)) for group in groups]
            if len(seeds) > 1:
                handles += [Line2D([], [], color=INK, lw=1.4, ls=styles[s], label=f"seed {s}") for s in seeds]
        else:
            lines = [(colours[seed], styles[seed], wrapped(name, 22)) for name, (_, seed) in parts.items()]
            handles = [Line2D([], [], color=colour, ls=style, lw=1.5, label=label) for colour, style, label in lines]
        handles.append(Line2D([], [], color=INK, ls="", marker="o", ms=6.5, label="kept epoch"))
        figure.legend(handles=handles, loc="outside right upper")


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
