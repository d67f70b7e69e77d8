"""Which process a run belongs to, and whether that is gone."""

import os
import socket
from collections.abc import Mapping

from vad.processes import machine, started


def here() -> str:
    """This machine, by name and by what tells it from another of the same name (or a container's processes from its host's)."""
    return f"{socket.gethostname()} {machine()}".strip()


def this_process() -> dict[str, str]:
    """The tags of a run that this process has open."""
    return {"vad.host": here(), "vad.pid": str(os.getpid()), "vad.process": started(os.getpid())}


def process_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process of this host that a run's tags name is gone."""
    return started(int(tags.get("vad.pid", 0))) != tags.get("vad.process", "")
