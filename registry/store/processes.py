"""Which process has a run open, and whether it is gone: by its number on this host, elsewhere by a tag that it renews."""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from vad.system.processes import machine, started

ALIVE = "vad.alive"
"""The tag with the second since 1970 in which the process of an open run renewed its lease."""
RENEWED_EVERY = 60.0
LEASE = 900.0  # seconds after which a lease is over; clocks of two machines may differ by minutes


def here() -> str:
    """Return this machine's name with an id that separates it from others of that name, such as its containers."""
    return f"{socket.gethostname()} {machine()}"


def this_process() -> dict[str, str]:
    """Return the tags of a run that this process has open."""
    return {"vad.host": here(), "vad.pid": str(os.getpid()), "vad.process": started(os.getpid())}


def now() -> str:
    """Return the value of `ALIVE` that renews a lease."""
    return f"{time.time():.0f}"


def process_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that a run's tags name is gone: certainly on this host, else by its lease if it has one."""
    try:
        if tags.get("vad.host") == here():
            return started(int(tags.get("vad.pid", 0))) != tags.get("vad.process", "")
        return time.time() - float(tags.get(ALIVE, "inf")) > LEASE
    except ValueError:  # not written by this program
        return False


class Lease:
    """Calls `renew` again and again in a thread, whatever it raises."""

    def __init__(self, renew: Callable[[], object]):
        self._over = threading.Event()
        # A daemon: a server that hangs must not hold up the end of the process.
        self._thread = threading.Thread(target=self._renew, args=(renew,), name="lease", daemon=True)
        self._thread.start()

    def _renew(self, renew: Callable[[], object]) -> None:
        while not self._over.wait(RENEWED_EVERY):
            with suppress(Exception):
                renew()

    def end(self) -> None:
        """Renew no more. Waits for a renewal that is under way: the end of the process would cut its transaction in two."""
        self._over.set()
        self._thread.join(timeout=1)
