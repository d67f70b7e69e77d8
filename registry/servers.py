"""MLflow's servers on this machine, as children of this process: its UI, and its scoring server of a registered model."""

import gc
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired
from typing import Any, BinaryIO
from urllib.request import ProxyHandler, build_opener

from registry.models.versions import Versions
from registry.signals import ignore_further_signals
from registry.store.address import sqlite_path, sqlite_uri
from registry.store.mlflow_private import scoring_server
from registry.store.paths import writable
from registry.store.tracking import Tracking
from registry.store.ui import announce, leaderboards
from vad.errors import InputError
from vad.system.files import last_line

HOST = "127.0.0.1"
_SHUTDOWN_SECONDS = 2.0  # for requests that are being answered
_REQUEST_SECONDS = 3600  # MLflow's default answers 504 after 60 s, though the model is still scoring


def serve_ui(port: int | None, browse: bool, home: Path, say: Callable[[str], object]) -> None:
    """Show the runs in MLflow's UI until this process is stopped; a server has one: only say its links. Raises InputError."""
    tracking = Tracking()
    if tracking.uri.startswith("http"):
        address = tracking.shown.rstrip("/")
        announce(leaderboards(tracking, address), address, "", browse, say)
        return
    chosen = _free_port(port, range(5000, 5100))
    address, log = f"http://{HOST}:{chosen}", writable(home / "ui") / f"{chosen}.log"
    links = leaderboards(tracking, address)
    uri, folder = tracking.uri, None
    if database := sqlite_path(uri):  # by its name alone: of a folder MLflow does not understand every name
        _, mark, options = uri.partition("?")
        uri, folder = sqlite_uri(Path(database.name)) + mark + options, database.absolute().parent
    # The store goes by the environment: a list of processes would show a password in it. Jobs serve language models
    # alone, with eight more processes.
    given = {**os.environ, "MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    program = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(chosen), "--workers", "1"]

    def start(output: BinaryIO) -> Popen[bytes]:
        return Popen(program, env=given, stdin=DEVNULL, stdout=output, stderr=STDOUT, process_group=0, cwd=folder)

    with _running(start, f"{address}/health", log, "MLflow's UI did not start", say):
        announce(links, address, "  (Ctrl-C stops it)", browse, say)


def serve_model(model: str, port: int | None, home: Path, say: Callable[[str], object]) -> None:
    """Serve a registered model until this process is stopped. Raises InputError for a model or port that cannot be used."""
    tracking = Tracking()
    versions = Versions(tracking)
    version = versions.resolve(model)
    chosen = _free_port(port, range(5001, 5101))
    address, log = f"http://{HOST}:{chosen}", home / "serving" / f"{chosen}.log"
    variant, entry, data = (version.tags.get(f"vad.{key}", "?") for key in ("variant", "entry", "data_name"))
    # MLflow calls uvicorn by name, and an environment need not be activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ.update(PATH=path, MLFLOW_TRACKING_URI=tracking.uri)
    os.environ.setdefault("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", str(_REQUEST_SECONDS))
    gc.freeze()  # or the end of this process would look through all that it imported, for seconds on a busy machine
    with tempfile.TemporaryDirectory(prefix="vad-serve-") as folder:

        def start(output: BinaryIO) -> Any:  # with a copy: what changes in the store does not reach the server
            return scoring_server(str(versions.fetch(version, Path(folder))), chosen, HOST, output)

        with _running(start, f"{address}/ping", log, f"{version.uri} cannot be served", say):
            what = f"model version {version.number} ({variant} of {entry}, made on {data})"
            say(f"{what}: {address}/invocations  (Ctrl-C stops it; log: {log})")


@contextmanager
def _running(
    start: Callable[[BinaryIO], Popen[bytes]], page: str, log: Path, failure: str, say: Callable[[str], object]
) -> Iterator[None]:
    """Start a server, run the block once it answers `page`, and wait for Ctrl-C. Raises InputError, or RuntimeError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("wb") as output:
            process = start(output)
            try:
                while not _answers(page):
                    if process.poll() is not None:
                        raise InputError(f"{failure}: {last_line(log)}; more in {log}")
                    time.sleep(0.05)
                yield
                status = process.wait()
                raise RuntimeError(f"the server ended with status {status}: {last_line(log)}; more in {log}")
            finally:
                _end(process)
    except KeyboardInterrupt:  # how a person ends a server, and no error
        ignore_further_signals()
        with suppress(OSError):  # a closed terminal
            say("\nstopped" if sys.stdout.isatty() else "stopped")  # a terminal shows ^C


def _answers(page: str) -> bool:
    opener = build_opener(ProxyHandler({}))  # past any proxy that the environment names
    with suppress(OSError, HTTPException), opener.open(page, timeout=1) as answer:
        return bool(answer.status == 200)
    return False


def _free_port(asked: int | None, ports: Sequence[int]) -> int:
    """Return the port that was asked for, or the first free one of `ports`. Raises InputError where there is none."""
    for port in [asked] if asked else ports:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    if asked:
        raise InputError(f"port {asked} is taken; leave --port out to have a free one found")
    raise InputError(f"no port from {ports[0]} to {ports[-1]} is free; name one with --port")


def _end(process: Popen[bytes]) -> None:
    """End a process, and its process group where it leads one."""
    ignore_further_signals()
    process.terminate()
    with suppress(TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C does not wait
        process.wait(_SHUTDOWN_SECONDS)
    with suppress(ProcessLookupError):  # where it leads no group
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
