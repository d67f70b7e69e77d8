"""What a person sees during a run: bars on a terminal; elsewhere a line every few seconds and one at the end of each part."""

import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, SupportsFloat

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # it would load NumPy
    from vad.data.frame_index import Values
    from vad.measures.metrics import Difference, Measured

_COLUMNS = (
    TextColumn("{task.description:<26.26} {task.percentage:>3.0f}%", markup=False),
    BarColumn(bar_width=None),
    TextColumn("{task.fields[note]}", markup=False),
    TimeRemainingColumn(compact=True),
)
_LINE_EVERY = 10.0
_DRAWN_EVERY = 0.1
_quiet = _verbose = False
_begun = time.perf_counter()


def be_quiet(quiet: bool) -> None:
    """Leave out messages and progress from now on, or no longer; results and errors stay."""
    global _quiet
    _quiet = quiet


def be_verbose(verbose: bool) -> None:
    """Write details, too, from now on, or no longer."""
    global _verbose, _begun
    _verbose, _begun = verbose, time.perf_counter()


def say(text: str = "") -> None:
    """Write a message to standard error, so that standard output stays for results."""
    if _quiet:
        return
    if _screen.progress.live.is_started:
        _screen.progress.console.out(text, highlight=False)
    else:
        print(text, file=sys.stderr, flush=True)


def detail(text: str) -> None:
    """Write what only `-v` shows, with the seconds since the command began."""
    if _verbose:
        say(f"  [{time.perf_counter() - _begun:6.1f} s] {text}")


class _Screen:
    """The bars on a terminal, which is theirs while there is one; `expected` are the seconds of steps to come, by name."""

    def __init__(self) -> None:
        self.progress = Progress(*_COLUMNS, console=Console(stderr=True), transient=True, expand=True)
        self.whole: TaskID | None = None
        self.expected: dict[str, list[float]] = defaultdict(list)

    def add(self, what: str, total: float) -> TaskID | None:
        """Add a bar, where there is a terminal."""
        if _quiet or not sys.stderr.isatty() or self.progress.console.is_dumb_terminal:
            return None
        task = self.progress.add_task(what, total=total, note="")
        self.progress.start()
        return task

    def advance(self, task: TaskID | None, count: float, **more: Any) -> None:
        if task is not None:
            self.progress.update(task, advance=count, **more)

    def remove(self, task: TaskID | None) -> None:
        if task is not None:
            self.progress.remove_task(task)
            if not self.progress.tasks:
                self.progress.stop()


_screen = _Screen()


@contextmanager
def whole(what: str, steps: Iterable[tuple[str, float]]) -> Iterator[None]:
    """Show a bar for all of `steps` above theirs: the names of their bars, and the seconds that each takes, roughly."""
    steps = list(steps)
    if not steps:  # as in one of several experiments, which have a bar for all
        yield
        return
    for step, seconds in steps:
        _screen.expected[step].append(seconds)
    _screen.whole = _screen.add(what, sum(seconds for _, seconds in steps))
    try:
        yield
    finally:
        _screen.remove(_screen.whole)
        _screen.whole = None
        _screen.expected.clear()


class Bar:
    """A progress bar with rate and time left, or without a terminal a line every `_LINE_EVERY` seconds; a line at its end."""

    def __init__(self, what: str, total: int, unit: str = "frames"):
        self._what, self._total, self._unit = what, total, unit
        self._started = self._told = 0.0
        self._done = 0
        self._loss = ""

    def __enter__(self) -> Self:
        self._started = self._told = time.perf_counter()
        self._task = _screen.add(self._what, self._total)
        self._seconds = expected.pop(0) if (expected := _screen.expected.get(self._what)) else 0.0
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _screen.remove(self._task)
        self._advance_whole(self._total - self._done)  # where it stopped early
        if kind is None and self._done:
            seconds = time.perf_counter() - self._started
            self._say(f"{self._done:,} {self._unit} in {seconds:.1f} s, {self._rate():,.0f}/s{self._loss}")

    def _say(self, text: str) -> None:
        say(f"  {self._what:<26} {text}")

    def _rate(self) -> float:
        return self._done / max(time.perf_counter() - self._started, 1e-9)

    def _advance_whole(self, count: int) -> None:
        _screen.advance(_screen.whole, self._seconds * count / max(1, self._total))

    def advance(self, count: int, loss: SupportsFloat | None = None) -> None:
        """Count what is done; a negative count is of what was lost and must be done again."""
        self._done += count
        self._advance_whole(count)
        since = time.perf_counter() - self._told
        if self._task is not None:
            # Reading a loss from a GPU waits for it; so only as often as the bar is drawn.
            if since >= _DRAWN_EVERY:
                self._told += since
                shown = "" if loss is None else f"  loss {float(loss):.5f}"
                note = f"{self._done:,}/{self._total:,} {self._unit}{shown}  {self._rate():,.0f}/s"
                _screen.advance(self._task, 0, note=note)
            _screen.advance(self._task, count)
        elif since >= _LINE_EVERY:
            self._told += since
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


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[int] = (), indent: int = 0) -> str:
    """Return rows in aligned columns; the columns in `right` are set flush right. No line is wider than a terminal."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    columns = [[str(cell) for cell in column] for column in zip(header, *rows, strict=True)]
    for place, column in enumerate(columns):
        grid.add_column(no_wrap=place in right, overflow="fold")
        if place in right:  # Rich would drop a space at the end, as behind a rank without a tie
            columns[place] = [cell.rjust(max(map(len, column))) for cell in column]
    first, *others = zip(*columns, strict=True)
    grid.add_row(*map(Text, first), style="bold")
    grid.add_row(*(Rule(characters="-", style="none") for _ in header))
    for row in others:
        grid.add_row(*map(Text, row))
    terminal = Console()
    if not sys.stdout.isatty():
        terminal = Console(width=10_000, color_system=None)
    elif indent:
        terminal.width -= indent
    with terminal.capture() as captured:
        terminal.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def plural(count: int, one: str) -> str:
    """Return how many of what: `1 run`, `2 runs`, `1,200 runs`."""
    return f"{count:,} {one}{'' if count == 1 else 'es' if one.endswith('s') else 's'}"


def number(value: float | None, form: str = ".4f") -> str:
    """Return a number as tables have it, a dash for none."""
    return "-" if value is None else format(value, form)


def interval(m: "Measured") -> str:
    """Return the interval, or a dash where there are too few videos for one."""
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


def difference_text(found: "Difference", metric: str = "AP") -> str:
    """Return by how much B is better than A, with the interval, and what follows from it."""
    if not found.has_interval:
        return f"{found.ap:+.4f} {metric}; {plural(found.videos, 'video')}, too few for an interval: nothing shows whether that is chance"
    verdict = "B is better" if found.low > 0 else "A is better" if found.high < 0 else "undecided"
    how = f"paired bootstrap over {found.videos} videos, B ahead in {found.better:.0%} of the draws"
    return f"{found.ap:+.4f} {metric}, 95 % interval {found.low:+.4f} to {found.high:+.4f} ({how}): {verdict}"


def rank_nothing(scores: "Values") -> str:
    """Return what is wrong with scores that are all equal; nothing of others."""
    equal = len(scores) > 1 and scores.min() == scores.max()
    return f"all {len(scores):,} scores are {scores[0]:g}, so they rank nothing" if equal else ""
