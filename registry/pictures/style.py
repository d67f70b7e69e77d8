"""The look of every picture: size, colours (Okabe and Ito's), and the figure that they are drawn on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vad.system.files import replacing

WIDTH, DPI = 9.0, 200  # twice the pixels that MLflow shows, for sharp screens

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
INK, FAINT, RULE = "#333333", "#BDBDBD", "#E4E4E4"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
CHANCE: dict[str, Any] = {"color": BLACK, "lw": 1.2, "ls": (0, (4, 2.5))}
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (9, 3)), (0, (4, 1, 1, 1, 1, 1)))
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


@contextmanager
def sheet(path: Path, height: float, width: float = WIDTH, dpi: int = DPI, dense: bool = False) -> Iterator[Figure]:
    """A figure `height` inches high, written to `path` as PNG when the block is done."""
    with matplotlib.style.context(["default", _STYLE]):  # no matplotlibrc may change a picture
        figure = Figure(figsize=(width, height), dpi=dpi, layout="compressed" if dense else "constrained")
        yield figure
        with replacing(path) as temporary:
            options = {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 4}}
            FigureCanvasAgg(figure).print_png(temporary, **options)  # type: ignore[no-untyped-call]  # savefig draws twice


def wrapped(name: str, width: int) -> str:
    """A long name on two lines, broken after the underscore nearest to its middle."""
    if len(name) <= width:
        return name
    breaks = [i + 1 for i, letter in enumerate(name) if letter in "_-"] or [len(name) // 2]
    middle = min(breaks, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:middle]}\n{name[middle:]}"
