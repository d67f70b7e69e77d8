"""What a person sees during a run: bars on a terminal; elsewhere a line every few seconds and one at the end of each part."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, SupportsFloat

from tqdm import tqdm

if TYPE_CHECKING:  # it would load NumPy
    from vad.measures.metrics import Measured

_BAR = "{desc:<26.26} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{postfix}  {rate_noinv_fmt}  {remaining} left"
_LINE_EVERY = 10.0
_quiet = False


def be_quiet(quiet: bool) -> None:
    """Leave out messages and progress from now on, or no longer; results and errors stay."""
    global _quiet
    _quiet = quiet


def say(text: str = "") -> None:
    """Write a message to standard error, so that standard output stays for results."""
    if _quiet:
        return
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


class Bar:
    """A progress bar with rate and time left, or without a terminal a line every `_LINE_EVERY` seconds; a line at its end."""

    def __init__(self, what: str, total: int, unit: str = "frames"):
        self._what, self._total, self._unit = what, total, unit
        self._started = self._told = 0.0
        self._done = 0
        self._loss = ""

    def __enter__(self) -> Self:
        self._started = self._told = time.perf_counter()
        look: dict[str, Any] = {"unit": f" {self._unit}", "bar_format": _BAR, "leave": False}
        self._bar = tqdm(
            total=self._total, desc=self._what, file=sys.stderr, disable=_quiet or not sys.stderr.isatty(), **look
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.close()
        if kind is None and self._done:
            seconds = time.perf_counter() - self._started
            self._say(f"{self._done:,} {self._unit} in {seconds:.1f} s, {self._rate():,.0f}/s{self._loss}")

    def _say(self, text: str) -> None:
        say(f"  {self._what:<26} {text}")

    def _rate(self) -> float:
        return self._done / max(time.perf_counter() - self._started, 1e-9)

    def advance(self, count: int, loss: SupportsFloat | None = None) -> None:
        """Count what is done; a negative count is of what was lost and must be done again."""
        self._done += count
        if not self._bar.disable:
            # Reading a loss from a GPU waits for it; so only as often as the bar is drawn.
            if loss is not None and time.time() - self._bar.last_print_t >= self._bar.mininterval:
                self._bar.set_postfix_str(f"loss {float(loss):.5f}", refresh=False)
            self._bar.update(count)
        elif time.perf_counter() - self._told >= _LINE_EVERY:
            self._told = time.perf_counter()
            left = duration((self._total - self._done) / max(self._rate(), 1e-9))
            self._say(f"{self._done:,} of {self._total:,} {self._unit}, {left} left")

    def loss(self, value: float) -> None:
        """Set the loss that the line at the end tells."""
        self._loss = f", loss {value:.5f}"


@contextmanager
def libraries_silent() -> Iterator[None]:
    """Drop what C libraries write to standard error in the block; what Python writes there arrives.

    Decoders remark on what is damaged and name no file; the error that follows does.
    """
    python = sys.__stderr__
    if python is None or python is not sys.stderr:  # a test, a notebook
        yield
        return
    python.flush()
    kept = open(os.dup(2), "w", encoding=python.encoding, errors=python.errors, buffering=1)  # noqa: SIM115
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    sys.stderr = kept
    try:
        yield
    finally:
        sys.stderr = python
        os.dup2(kept.fileno(), 2)
        with suppress(OSError):  # a terminal that is closed
            kept.close()


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """Return rows in aligned columns; the columns in `right` are set flush right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * width for width in widths]
    lines = []
    for row in (cells[0], rule, *cells[1:]):
        parts = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def plural(count: int, one: str) -> str:
    """Return how many of what: `1 run`, `2 runs`, `1,200 runs`."""
    return f"{count:,} {one}{'' if count == 1 else 'es' if one.endswith('s') else 's'}"


def interval(m: "Measured") -> str:
    """The interval, or a dash where there are too few videos for one."""
    return f"{m.low:.4f} to {m.high:.4f}" if m.has_interval else "-"


def measured_text(m: "Measured") -> str:
    """Return AP with its interval, AUC and prevalence, a line each."""
    return "\n".join(
        [
            f"AP          {m.ap:.4f}  (95 % interval {interval(m)}, bootstrap over {plural(m.videos, 'video')})",
            f"AUC         {m.auc:.4f}",
            f"prevalence  {m.prevalence:.4f}  ({m.frames:,} frames)",
        ]
    )
