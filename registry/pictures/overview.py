"""All test videos end to end in one small picture, for descriptions in MLflow's UI, which shows it in its own size."""

from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from registry.pictures.style import BLUE, INK, ORANGE, sheet
from vad.data.frame_index import FrameIndex, Values

_INCHES, _DPI = 6.4, 100
_MOST_NAMES = 24


def overview(path: Path, index: FrameIndex, scores: Values, variant: str, labels: NDArray[np.bool_] | None) -> None:
    """The scores of one variant, video after video; labelled frames are shaded."""
    with sheet(path, 2.0, width=_INCHES, dpi=_DPI) as figure:
        axes = figure.subplots()
        low, high = float(scores.min()), float(scores.max())
        margin = 0.08 * (high - low) or 0.5
        axes.set(xlim=(0, len(scores)), ylim=(low - margin, high + margin), ylabel="score")
        for span in index.spans:
            axes.plot(np.arange(span.start, span.stop), scores[span], color=BLUE, lw=1.0)
            if span.start:
                axes.axvline(span.start, color=INK, lw=0.6, alpha=0.5)
        handles: list[Artist] = [Line2D([], [], color=BLUE, lw=1.4, label=variant)]
        if labels is not None and labels.any():
            edges = np.flatnonzero(np.diff(labels.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
            bars = [(int(start), int(stop - start)) for start, stop in edges]
            axes.broken_barh(
                bars, (0, 1), transform=axes.get_xaxis_transform(), color=ORANGE, alpha=0.3, lw=0, zorder=0
            )
            handles.append(Patch(color=ORANGE, alpha=0.3, lw=0, label="labelled anomalous"))
        shown = index.spans if len(index.spans) <= _MOST_NAMES else []
        axes.set_xticks([(s.start + s.stop) / 2 for s in shown], [str(index.video[s.start]) for s in shown])
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel("video")
        figure.legend(handles=handles, loc="outside upper left", ncols=2, columnspacing=1.6)
