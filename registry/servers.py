"""A server of MLflow's on this machine, as a child of this process: its port, its log, and its end with ours."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.request import ProxyHandler, build_opener

from registry.signals import ignore_further_signals
from vad.errors import InputError

HOST = "127.0.0.1"
_SHUTDOWN_SECONDS = 2.0  # for requests that are being answered


@contextmanager
def serving(
    start: Callable[[BinaryIO], subprocess.Popen[bytes]],
    page: str,
    log: Path,
    failure: str,
    say: Callable[[str], object],
) -> Iterator[None]:
    """Start a server with its log as output, run the block once it answers `page`, and wait until Ctrl-C ends it.

    Raises InputError that begins with `failure` where it does not start, RuntimeError where it ends without being stopped.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("wb") as output, _ended_with_block(start(output)) as process:
            while not _answers(page):
                if process.poll() is not None:
                    raise InputError(f"{failure}: {last_line(log)}; more in {log}")
                time.sleep(0.05)
            yield
            status = process.wait()
            raise RuntimeError(f"the server ended with status {status}: {last_line(log)}; more in {log}")
    except KeyboardInterrupt:  # how a person ends a server, and no error
        ignore_further_signals()
        with suppress(OSError):  # a closed terminal
            say("\nstopped" if sys.stdout.isatty() else "stopped")  # a terminal shows ^C


def _answers(page: str) -> bool:
    opener = build_opener(ProxyHandler({}))  # past any proxy that the environment names
    with suppress(OSError, HTTPException), opener.open(page, timeout=1) as answer:
        return bool(answer.status == 200)
    return False


def free_port(asked: int | None, ports: Sequence[int]) -> int:
    """Return the port that was asked for, or the first free one of `ports`. Raises InputError where there is none."""
    for port in [asked] if asked else ports:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    if asked:
        raise InputError(f"port {asked} is taken; leave --port out to have a free one found")
    raise InputError(f"no port from {ports[0]} to {ports[-1]} is free; name one with --port")


def last_line(log: Path) -> str:
    """Return the last line of a log."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


@contextmanager
def _ended_with_block(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End the process, and its process group where it leads one, with the block."""
    leads = process.poll() is None and os.getpgid(process.pid) == process.pid
    try:
        yield process
    finally:
        ignore_further_signals()
        process.terminate()
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C does not wait
            process.wait(_SHUTDOWN_SECONDS)
        if leads:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
