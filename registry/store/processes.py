"""Which process a run belongs to, and whether that is gone."""

import hashlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path


def here() -> str:
    """This machine, by name and by what tells it from another of the same name (or a container's processes from its host's)."""
    return f"{socket.gethostname()} {_machine()}".strip()


def this_process() -> dict[str, str]:
    """The tags of a run that this process has open."""
    return {"vad.host": here(), "vad.pid": str(os.getpid()), "vad.process": _process_start(os.getpid())}


def process_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process of this host that a run's tags name is gone."""
    return _process_start(int(tags.get("vad.pid", 0))) != tags.get("vad.process", "")


def _process_start(pid: int) -> str:
    """When a process started, in the kernel's clock ticks; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return _process_alive(pid)


def _process_alive(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):
        return ""
    return "alive" if not Path("/proc/self/stat").exists() else ""


def _machine() -> str:
    """Some digits of the machine's own id and of the space in which its processes have their numbers."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{machine} {space}".encode()).hexdigest()[:8] if machine or space else ""
