"""Two ways of doing one thing, each in a process of its own, timed in turn.

One process for both would lend the notebook what the project sets for itself, such as how freed memory is kept.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import torch

Work = Callable[[], int]
"""Does some units of work and gives how many."""
Make = Callable[[int], Work]
"""Makes work of this amount."""
ROUNDS = 3
SECONDS = 4.0

_work: Work


class Side:
    """A process that prepares a piece of work once and does it when told."""

    def __init__(self) -> None:
        self._process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def prepare(self, make: Callable[..., Work], *arguments: Any) -> None:
        """Make the work there; `make` is a function of a module."""
        self._process.submit(_prepare, make, arguments).result()

    def seconds(self) -> tuple[int, float]:
        """Do it: how many units, in how many seconds."""
        return self._process.submit(_timed).result()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._process.submit(function, *arguments).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()


def _prepare(make: Callable[..., Work], arguments: Sequence[Any]) -> None:
    global _work
    _work = make(*arguments)


def _timed() -> tuple[int, float]:
    started = time.perf_counter()
    count = _work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return count, time.perf_counter() - started


@dataclass(frozen=True)
class Compared:
    """Units a second of both sides in each round."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def median(self) -> float:
        """Of our units a second."""
        return statistics.median(self.ours)


def compare(
    ours: tuple[Side, Make], theirs: tuple[Side, Make], rounds: int = ROUNDS, seconds: float = SECONDS
) -> Compared:
    """Both in turn, A B A B, each as much as the other: so much that a round takes about so many seconds.

    How much that is comes from the least amount, which both do twice before: to warm up, and to be timed.
    """
    for side, make in (ours, theirs):
        side.prepare(make, 1)
        side.seconds()
    least = sum(side.seconds()[1] for side, _ in (ours, theirs))
    for side, make in (ours, theirs):
        side.prepare(make, max(1, round(seconds / least)))
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for (side, _), rate in zip((ours, theirs), rates, strict=True):
            count, spent = side.seconds()
            rate.append(count / spent)
    return Compared(*rates)
