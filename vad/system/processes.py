"""Which process left something, and whether that is gone: a mark of its number, its start and its machine."""

import functools
import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path

import psutil


def own_mark() -> str:
    """This process as it signs what it leaves: its number, its start and its machine, as in `1234-56789-0a1b2c3d`."""
    return f"{os.getpid()}-{started(os.getpid())}-{machine()}"


def gone(mark: str) -> bool:
    """Return whether the process of a mark ran on this machine and has ended."""
    number, start, where = (*mark.split("-", 2), "", "")[:3]
    return where == machine() and number.isdigit() and started(int(number)) != start


def started(number: int) -> str:
    """When a process started, in hundredths of a second since the machine did; empty where there is none, or only its status."""
    try:
        boot = psutil.boot_time()  # a clock that is set moves both times alike
        process = psutil.Process(number)
        ended = process.status() == psutil.STATUS_ZOMBIE
        return "" if ended else str(round((process.create_time() - boot) * 100))
    except (psutil.Error, ValueError):
        return ""


@functools.cache
def machine() -> str:
    """Some digits of this machine since it was started, and of the container in which its processes have their numbers."""
    known = [socket.gethostname()]
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        with suppress(OSError):
            known.append(Path(path).read_text().strip())
    with suppress(OSError):
        known.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256(" ".join(known).encode()).hexdigest()[:8]
