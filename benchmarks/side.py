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
ROUNDS = 3

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


def compare(ours: Side, theirs: Side, rounds: int = ROUNDS) -> Compared:
    """What both have prepared, in turn, A B A B, after one run each that warms up."""
    rates: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for side, rate in zip((ours, theirs), rates, strict=True):
            count, seconds = side.seconds()
            if number:
                rate.append(count / seconds)
    return Compared(*rates)
