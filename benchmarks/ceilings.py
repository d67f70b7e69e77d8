"""What the machine could do at best, and what it is."""

import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.side import Work
from vad.system.precision import Precision, computes_in_bf16
from vad.system.threads import available, limit


def precisions(device: torch.device) -> list[Precision]:
    """Those that the device has instructions for: an emulated product is no ceiling, and takes minutes."""
    return ["bf16", "fp32"] if computes_in_bf16(device) else ["fp32"]


def product(precision: Precision, device: torch.device, size: int = 2048) -> float:
    """Floating-point operations a second of a square matrix product."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times = 1 if device.type == "cpu" else 200

    def multiply() -> int:
        for _ in range(times):
            torch.mm(a, b)
        return times * 2 * size**3

    return _rate(multiply)


def bandwidth(device: torch.device, megabytes: int = 256) -> float:
    """Bytes a second that a copy reads and writes."""
    a = torch.zeros(megabytes * 2**20 // 4, device=device)
    b = torch.empty_like(a)

    def copy() -> int:
        b.copy_(a)
        return 2 * a.numel() * 4

    return _rate(copy)


def to_device(device: torch.device, megabytes: int = 256) -> float:
    """Bytes a second from pinned memory to a GPU."""
    a = torch.zeros(megabytes * 2**20, dtype=torch.uint8, pin_memory=True)

    def copy() -> int:
        a.to(device, non_blocking=True)
        return a.numel()

    return _rate(copy)


def imread(paths: list[Path]) -> Work:
    """Files that OpenCV reads and decodes on all cores, doing nothing else."""
    cv2.setNumThreads(1)

    def read() -> int:
        with ThreadPoolExecutor(available()) as pool:
            for _ in pool.map(lambda path: cv2.imread(str(path)) is None, paths, chunksize=16):
                pass
        return len(paths)

    return read


def _rate(work: Callable[[], int], seconds: float = 2.0) -> float:
    """The median of so many seconds or of five runs, whichever is longer, after one that warms up."""
    limit()
    work()
    rates = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 5:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        started = time.perf_counter()
        count = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        rates.append(count / (time.perf_counter() - started))
    return statistics.median(rates)


def machine() -> dict[str, str]:
    """What a figure was measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    about = {"processor": f"{cpu}, {available()} cores", "python": platform.python_version()}
    if torch.cuda.is_available():
        about["gpu"] = torch.cuda.get_device_name()
    return about | {"torch": torch.__version__, "opencv": cv2.__version__, "numpy": np.__version__}
