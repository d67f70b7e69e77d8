"""The figure of each variant as a bar."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from registry.pictures.style import BLUE, CHANCE, INK, VERMILLION, sheet, wrapped
from vad.measures.metrics import CONFIDENCE, Measured


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
        handles: list[Artist] = [
            Patch(color=BLUE, label="best"),
            axes.axvline(prevalence, **CHANCE, label=f"chance, {prevalence:.3f}"),
        ]
        if several:
            handles.append(Line2D([], [], color=INK, lw=1.4, label=f"{CONFIDENCE:.0%} interval over videos"))
        if stated:
            at, values = zip(*stated, strict=True)
            style: dict[str, Any] = {"ls": "", "marker": "D", "ms": 7, "color": VERMILLION, "mec": "w", "mew": 1}
            handles += axes.plot(values, at, **style, zorder=4, label="reference")
        right = max([*highs, *found, *(value for _, value in stated), prevalence])
        axes.set(xlim=(0, min(1.0, 1.05 * right) or 1.0), ylim=(len(names) - 0.5, -0.6), xlabel=figure_name)
        axes.set_yticks(rows, [wrapped(name, 30) for name in names])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        for row, name in enumerate(names):
            weight = "bold" if name == best else "normal"
            axes.get_yticklabels()[row].set_fontweight(weight)
            text = f"{found[row]:.3f}" + (f"   {lows[row]:.3f} – {highs[row]:.3f}" if several else "")
            axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center")
        figure.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1.6)
