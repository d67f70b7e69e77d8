"""A suite's matrix as a picture: a coloured cell for each figure, and each row's worst case with its interval."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from registry.pictures.style import BLUE, INK, sheet, wrapped
from registry.suites.matrix import Matrix
from vad.measures.metrics import CONFIDENCE

_ROW, _AROUND = 0.42, 1.7  # inches that a row takes, and all that is not rows
_LIGHT = 0.6  # of the scale of colours: figures above it are written in white


def draw(path: Path, found: Matrix) -> None:
    """Draw the rows in their order: figures on each set to the left, worst cases to the right."""
    with sheet(path, _AROUND + _ROW * len(found.rows)) as figure:
        cells, worst = figure.subplots(1, 2, width_ratios=[max(1.0, 0.55 * len(found.columns)), 1.2])
        _cells(cells, found)
        _worst(worst, found)
        label = f"worst case (bold to the left), {CONFIDENCE:.0%} interval over videos"
        handles: list[Artist] = [Line2D([], [], color=BLUE, marker="o", ms=6.5, lw=1.6, label=label)]
        figure.legend(handles=handles, loc="outside upper right")
        figure.suptitle(f"suite {found.name}: {found.metric.upper()}", x=0.01, ha="left", parse_math=False)


def _cells(axes: Axes, found: Matrix) -> None:
    names = [column.name for column in found.columns]
    known = [[row.cells[name].value if name in row.cells else np.nan for name in names] for row in found.rows]
    values = np.reshape(known, (len(found.rows), len(names)))
    low = min(0.5, float(np.nanmin(values, initial=1.0)))
    axes.imshow(values, cmap="Blues", vmin=low, vmax=1.0, aspect="auto")
    for (place, at), value in np.ndenumerate(values):
        text = "–" if np.isnan(value) else f"{value:.3f}"
        dark = not np.isnan(value) and (value - low) / (1.0 - low or 1.0) > _LIGHT
        weight = "bold" if found.rows[place].worst_on == names[at] else "normal"
        axes.text(at, place, text, ha="center", va="center", color="w" if dark else INK, weight=weight)
    titles = [f"{row.entry}\n{row.variant}{'*' if row.hindsight else ''}" for row in found.rows]
    axes.set_yticks(range(len(titles)), titles, parse_math=False)
    axes.set_xticks(range(len(names)), [wrapped(name, 14) for name in names], parse_math=False)
    axes.xaxis.tick_top()
    _bare(axes)


def _worst(axes: Axes, found: Matrix) -> None:
    style: dict[str, Any] = {"marker": "o", "ms": 7, "mec": "w", "mew": 0.8, "c": BLUE, "zorder": 5}
    for place, row in enumerate(found.rows):
        at = axes.get_yaxis_transform()
        if row.worst is None:
            axes.text(0.02, place, "sets are missing", transform=at, va="center_baseline", color="#767676")
            continue
        if row.worst_interval:
            axes.hlines(place, *row.worst_interval, color=BLUE, lw=1.6, zorder=4)
        axes.plot(row.worst, place, **style)
        rank = f"rank {row.rank}{'=' if row.tied else ''}, mean {row.mean_rank:.2f}"
        axes.text(1.02, place, rank, transform=at, va="center_baseline", size=9)
    axes.set_ylim(len(found.rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xlabel(f"worst case, {found.metric.upper()}")
    axes.grid(axis="x")
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
