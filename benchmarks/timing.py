"""Two ways of doing one thing, timed side by side, and what the machine could do at best."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

ROUNDS = 5


@dataclass(frozen=True)
class Compared:
    """Units a second of both sides, and their ratio in each round (ours over theirs)."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]


def compare(ours: Callable[[], int], theirs: Callable[[], int], rounds: int = ROUNDS) -> Compared:
    """Run both in turn, A B A B, after one run each that warms up. Each gives how many units it did."""
    ours()
    theirs()
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for rate, work in zip(rates, (ours, theirs), strict=True):
            rate.append(units_per_second(work))
    return Compared(*rates)


def units_per_second(work: Callable[[], int]) -> float:
    started = time.perf_counter()
    count = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return count / (time.perf_counter() - started)


def best_seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median of a few runs, after one that warms up."""
    work()
    return statistics.median(1 / units_per_second(lambda: work() is None or 1) for _ in range(rounds))


def matrix_ceiling(dtype: torch.dtype, device: torch.device, size: int = 2048, seconds: float = 1.0) -> float:
    """Floating-point operations a second of a square matrix product."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def multiply() -> int:
        for _ in range(4):
            torch.mm(a, b)
        return 4 * 2 * size**3

    return _best_rate(multiply, seconds)


def bandwidth_ceiling(device: torch.device, megabytes: int = 256, seconds: float = 1.0) -> float:
    """Bytes a second that a copy reads and writes."""
    a = torch.zeros(megabytes * 2**20 // 4, device=device)
    b = torch.empty_like(a)

    def copy() -> int:
        b.copy_(a)
        return 2 * a.numel() * 4

    return _best_rate(copy, seconds)


def to_device_ceiling(device: torch.device, megabytes: int = 256) -> float:
    """Bytes a second from pinned memory to a GPU."""
    a = torch.zeros(megabytes * 2**20, dtype=torch.uint8, pin_memory=True)

    def copy() -> int:
        a.to(device, non_blocking=True)
        return a.numel()

    return _best_rate(copy, 1.0)


def imread_ceiling(paths: list[Path]) -> float:
    """Files a second that OpenCV reads and decodes on all cores, doing nothing else."""
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def read() -> int:
            for _ in pool.map(lambda path: cv2.imread(str(path)) is None, paths, chunksize=16):
                pass
            return len(paths)

        return _best_rate(read, 2.0)


def _best_rate(work: Callable[[], int], seconds: float) -> float:
    work()
    rates = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        rates.append(units_per_second(work))
    return max(rates)


def machine() -> dict[str, str]:
    """What a figure was measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    about = {"processor": f"{cpu}, {os.cpu_count()} cores", "python": platform.python_version()}
    if torch.cuda.is_available():
        about["gpu"] = torch.cuda.get_device_name()
    return about | {"torch": torch.__version__, "opencv": cv2.__version__, "numpy": np.__version__}
