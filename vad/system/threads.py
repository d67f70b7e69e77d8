"""On how many threads a network computes. Sums are split among threads, so the last bits of a result depend on it."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def available() -> int:
    """How many processors this process may use, at least 1: its affinity mask, and the CPU quota of its container.

    A quota of 1.5 processors counts as 2.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *(math.ceil(quota) for quota in _quotas())]))


def limit() -> int:
    """Keep PyTorch to the processors that this process may use, unless `OMP_NUM_THREADS` is set; on how many threads it computes."""
    if not os.environ.get("OMP_NUM_THREADS") and torch.get_num_threads() > available():
        torch.set_num_threads(available())
    return torch.get_num_threads()


@contextmanager
def using(count: int) -> Iterator[None]:
    """Compute on so many threads of the processor, in this thread of Python."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _quotas() -> Iterator[float]:
    """The quotas of this process's control group and of all above it, in processors; version 2 (`cpu.max`) and 1 (`cpu.cfs_*`).

    In a container the group's path may be the host's; what is mounted then is the group itself, so the mount's root counts too.
    """
    with suppress(OSError):
        for line in _PROC.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _quotas_up(_CGROUPS, path, _v2)
            elif "cpu" in controllers.split(","):
                for name in (controllers, "cpu"):
                    yield from _quotas_up(_CGROUPS / name, path, _v1)


def _quotas_up(root: Path, path: str, read: Callable[[Path], tuple[float, float]]) -> Iterator[float]:
    group = root / path.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            return
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = read(folder)
            if quota > 0:
                yield quota / period


def _v2(folder: Path) -> tuple[float, float]:
    quota, period = (folder / "cpu.max").read_text().split()  # "max" is no number, and no quota
    return float(quota), float(period)


def _v1(folder: Path) -> tuple[float, float]:
    quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    return float(quota), float(period)
