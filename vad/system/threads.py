"""On how many threads a network computes. Sums are split among threads, so the last bits of a result depend on it."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def available() -> int:
    """How many processors this process may use: its affinity mask, and its container's CPU quota, of which 1.5 counts as 2."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *(math.ceil(quota) for quota in _quotas())]))


def limit() -> int:
    """Keep PyTorch to the processors that this process may use, unless `OMP_NUM_THREADS` is set; on how many threads it computes."""
    import torch  # only where it computes: it takes a second to load

    if not os.environ.get("OMP_NUM_THREADS") and torch.get_num_threads() > available():
        torch.set_num_threads(available())
    return torch.get_num_threads()


@contextmanager
def using(count: int) -> Iterator[None]:
    """Compute on this many CPU threads, for calls from this Python thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _quotas() -> Iterator[float]:
    """The quotas, in processors, of this process's control group, all above it, and the mount's root, for a container."""
    with suppress(OSError):
        for line in _PROC.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            first = [_CGROUPS / controllers, _CGROUPS / "cpu"] if "cpu" in controllers.split(",") else []
            for root in first if controllers else [_CGROUPS]:
                group = root / path.lstrip("/")
                for folder in (group, *group.parents):
                    if folder.is_relative_to(root):
                        yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """The quota of one group in processors, if it has one."""
    with suppress(OSError, ValueError, ZeroDivisionError):  # in cpu.max "max" is no number, and no quota
        files = ["cpu.max"] if (folder / "cpu.max").exists() else ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        quota, period = map(float, " ".join((folder / name).read_text() for name in files).split())
        if quota > 0:
            yield quota / period
