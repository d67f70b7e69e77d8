"""What a person sees during a run: bars on a terminal; elsewhere a line every few seconds and one at the end of each part."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self, SupportsFloat

from tqdm import tqdm

_BAR = "{desc:<26.26} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{postfix}  {rate_noinv_fmt}  {remaining} left"
_LINE_EVERY = 10.0


class Console:
    """Messages on standard error, so that standard output stays for results."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()

    def say(self, text: str = "") -> None:
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()

    def bar(self, what: str, total: int, unit: str = "frames") -> "Bar":
        return Bar(self, what, total, unit)


class Bar:
    """A progress bar with rate and time left; `loss` shows the latest. Without a terminal, a line every `_LINE_EVERY` seconds.

    It is drawn, and its clock runs, from where it is entered.
    """

    def __init__(self, console: Console, what: str, total: int, unit: str):
        self._console = console
        self._what = what
        self._total = total
        self._unit = unit
        self._started = self._told = 0.0
        self._done = 0
        self._loss: float | None = None
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        self._started = self._told = time.perf_counter()
        if self._console.live:
            self._bar = tqdm(
                total=self._total, desc=self._what, unit=f" {self._unit}", bar_format=_BAR, file=sys.stderr, leave=False
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if kind is None and self._done:
            seconds = time.perf_counter() - self._started
            loss = "" if self._loss is None else f", loss {self._loss:.5f}"
            self._console.say(
                f"  {self._what:<26} {self._done:,} {self._unit} in {seconds:.1f} s, {self._rate():,.0f}/s{loss}"
            )

    def _rate(self) -> float:
        return self._done / max(time.perf_counter() - self._started, 1e-9)

    def advance(self, count: int, loss: SupportsFloat | None = None) -> None:
        """So many more are done; fewer than none where some were lost and must be done again."""
        self._done += count
        if self._bar is None and time.perf_counter() - self._told >= _LINE_EVERY:
            self._told = time.perf_counter()
            left = duration((self._total - self._done) / max(self._rate(), 1e-9))
            self._console.say(f"  {self._what:<26} {self._done:,} of {self._total:,} {self._unit}, {left} left")
        if self._bar is not None:
            # Reading a loss from a GPU waits for it; so only as often as the bar is drawn.
            if loss is not None and time.time() - self._bar.last_print_t >= self._bar.mininterval:
                self._bar.set_postfix_str(f"loss {float(loss):.5f}", refresh=False)
            self._bar.update(count)

    def loss(self, value: float) -> None:
        self._loss = value


@contextmanager
def libraries_silent() -> Iterator[None]:
    """Until the end of the block, what C libraries write to standard error is dropped; what Python writes there arrives.

    Decoders remark on what is damaged and name no file; the error that follows does.
    """
    try:
        own = sys.stderr.fileno()
    except (OSError, ValueError):  # no file: a test, a notebook
        own = -1
    if own != 2:
        yield
        return
    python = sys.stderr
    python.flush()
    kept = open(os.dup(own), "w", encoding=python.encoding, errors=python.errors, buffering=1)  # noqa: SIM115
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, own)
    os.close(nowhere)
    sys.stderr = kept
    try:
        yield
    finally:
        sys.stderr = python
        os.dup2(kept.fileno(), own)
        with suppress(OSError):  # a terminal that is closed
            kept.close()


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """Rows in aligned columns; the columns in `right` are set flush right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        parts = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(parts).rstrip())
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def plural(count: int, one: str) -> str:
    """How many of what: `1 run`, `2 runs`, `1,200 runs`."""
    return f"{count:,} {one}{'' if count == 1 else 'es' if one.endswith('s') else 's'}"
