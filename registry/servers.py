"""A server of MLflow's as a child of this process: a free port, its output in a file, its end with ours."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from registry.signals import heard
from vad.errors import InputError

HOST = "127.0.0.1"
# Seconds that requests which are being answered get to end in; what the whole may take is five.
_GRACE = 2.0


def free_port(asked: int | None, ports: Sequence[int]) -> int:
    """The port that was asked for, or the first free one of `ports`. Raises InputError where there is none."""
    for port in [asked] if asked else ports:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    if asked:
        raise InputError(f"port {asked} is taken; leave --port out to have a free one found")
    raise InputError(f"no port from {ports[0]} to {ports[-1]} is free; name one with --port")


def wait_until_ready(process: subprocess.Popen[bytes], port: int, page: str, what: str, log: Path) -> None:
    """Return when the server answers. Raises InputError with the last line of its log where it ends instead."""
    while not _answers(port, page):
        if process.poll() is not None:
            raise InputError(f"{what}: {last_line(log)}; more in {log}")
        time.sleep(0.05)


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, and all of its group where it leads one, end with the block."""
    leads = False
    with suppress(ProcessLookupError):
        leads = os.getpgid(process.pid) == process.pid
    try:
        yield process
    finally:
        heard()  # what follows takes its time, and ends
        process.terminate()
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C does not wait
            process.wait(_GRACE)
        with suppress(ProcessLookupError):
            if leads:
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()


@contextmanager
def until_stopped(say: Callable[[str], object]) -> Iterator[None]:
    """A person's Ctrl-C is how a server ends: no error, and a word."""
    try:
        yield
    except KeyboardInterrupt:
        heard()
        with suppress(OSError):  # a terminal that was closed
            say("\nstopped" if sys.stdout.isatty() else "stopped")  # one that is there shows ^C


def last_line(log: Path) -> str:
    """What a server said last."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _answers(port: int, page: str) -> bool:
    """Whether a server answers; past any proxy that the environment names."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", page)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
