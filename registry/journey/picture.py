"""The journey as a picture: each approach's AP beside the reference's, and each claim's difference with its verdict."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from registry.journey.retrace import Journey, Verdict
from registry.pictures.style import BLUE, CHANCE, INK, VERMILLION, sheet
from vad.measures.metrics import CONFIDENCE, Difference, Measured

_ROW, _AROUND = 0.29, 2.0  # inches that a row takes, and all that is not rows
_GREY = "#767676"
_REFERENCE: dict[str, Any] = {"color": VERMILLION, "marker": "D", "ms": 6.5, "mfc": "w", "mew": 1.4}
# Each verdict has its own colour, marker and word; any one of them is enough.
_VERDICTS: dict[Verdict, tuple[str, str]] = {
    "holds": (BLUE, "o"),
    "does not hold": (VERMILLION, "X"),
    "undecided": (_GREY, "s"),
    "not run": (_GREY, ""),
}


def draw(path: Path, journey: Journey) -> None:
    """A row an approach, each variant once, and below them a row a claim, in the reference's order."""
    rows, claims = journey.reference.rows(), journey.reference.claims
    with sheet(path, _AROUND + _ROW * (len(rows) + len(claims))) as figure:
        above, below = figure.subplots(2, height_ratios=[len(rows), len(claims)])
        _approaches(above, journey)
        _claims(below, journey)
        interval = f", {CONFIDENCE:.0%} interval over videos" if journey.about.has_interval else ""
        handles: list[Artist] = [
            Line2D([], [], color=BLUE, marker="o", ms=6.5, lw=1.6, label=f"AP here{interval}"),
            Line2D([], [], **_REFERENCE, ls="", label="the reference's AP"),
            Line2D([], [], **CHANCE, label=f"chance, {journey.about.chance:.3f}"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3, columnspacing=1.6)


def _approaches(axes: Axes, journey: Journey) -> None:
    rows, several = journey.reference.rows(), journey.about.has_interval
    names = [f"{row.approach}   {row.phase}" for row in rows]
    _lay_out(axes, names, "approach, phase", f"AP on {journey.name}", "AP, interval" if several else "AP")
    axes.axvline(journey.about.chance, **CHANCE)
    for place, row in enumerate(rows):
        axes.plot(row.ends, [place] * len(row.ends), **_REFERENCE, lw=1.4, zorder=3)
        result = journey.results.get(row.variant)
        if result is None:
            _say(axes, place, "not run", _GREY)
        else:
            m = result.sampled.measured
            _mark(axes, place, m, BLUE, "o")
            _say(axes, place, f"{m.ap:.3f}" + (f"   {m.low:.3f} – {m.high:.3f}" if several else ""))


def _claims(axes: Axes, journey: Journey) -> None:
    claims = journey.reference.claims
    _lay_out(axes, [claim.claim for claim in claims], "claim", f"difference in AP on {journey.name}", "verdict")
    axes.axvline(0, color=INK, lw=1.2)
    for place, claim in enumerate(claims):
        verdict, found = journey.verdict(claim)
        colour, marker = _VERDICTS[verdict]
        if found is not None:
            _mark(axes, place, found, colour, marker)
        _say(axes, place, verdict, colour, "normal" if verdict in ("undecided", "not run") else "bold")


def _lay_out(axes: Axes, names: Sequence[str], left: str, unit: str, right: str) -> None:
    """Draw one row for each name, with headings for the names and for the columns that `_say` adds."""
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(unit, parse_math=False)  # a folder's name may hold a dollar sign
    axes.set_yticks(range(len(names)), names)
    axes.annotate(left, (0, 1), (-4, 3), "axes fraction", "offset points", ha="right", color=_GREY)
    axes.annotate(right, (1.02, 1), (0, 3), "axes fraction", "offset points", color=_GREY)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid()


def _mark(axes: Axes, place: int, found: Measured | Difference, colour: str, marker: str) -> None:
    if found.videos > 1:
        axes.hlines(place, found.low, found.high, color=colour, lw=1.6, zorder=4)
    axes.plot(found.ap, place, marker=marker, ms=7, c=colour, mec="w", mew=0.8, zorder=5)


def _say(axes: Axes, place: int, text: str, colour: str = INK, weight: str = "normal") -> None:
    """A word or a number to the right of a row."""
    at = axes.get_yaxis_transform()
    axes.text(1.02, place, text, transform=at, va="center_baseline", color=colour, weight=weight, size=9)
