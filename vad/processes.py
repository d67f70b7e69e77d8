"""Which process left something, and whether that is gone: a mark of its number, its start and its machine."""

import functools
import hashlib
import os
from pathlib import Path


def own_mark() -> str:
    """This process as it signs what it leaves: its number, its start and its machine, as in `1234-56789-0a1b2c3d`."""
    return f"{os.getpid()}-{started(os.getpid())}-{machine()}"


def gone(mark: str) -> bool:
    """Whether the process of a mark was one of this machine, and is not there any more."""
    number, start, where = (*mark.split("-", 2), "", "")[:3]
    return where == machine() and number.isdigit() and started(int(number)) != start


def started(number: int) -> str:
    """When a process started, in the kernel's clock ticks; empty where there is no such process."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return _alive(number)


def _alive(number: int) -> str:
    try:
        os.kill(number, 0)
    except (OSError, OverflowError):
        return ""
    return "alive" if not Path("/proc/self/stat").exists() else ""


@functools.cache
def machine() -> str:
    """Some digits of the machine's own id and of the space in which its processes have their numbers."""
    try:
        known = Path("/etc/machine-id").read_text().strip()
    except OSError:
        known = ""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{known} {space}".encode()).hexdigest()[:8] if known or space else ""
