"""Single frames beside what a network made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from registry.pictures.style import sheet

MOST_ROWS = 8


@dataclass(frozen=True, eq=False)
class WorstFrame:
    """One row of the sheet: images are uint8 of shape (H, W, 3), RGB; `error` is of shape (H, W)."""

    title: str
    frame: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8]
    error: NDArray[np.floating]


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
