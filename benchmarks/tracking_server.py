"""A tracking server as several machines share one, thrown away afterwards: `mlflow server` over PostgreSQL.

Artifacts go through the server. All is bound to 127.0.0.1. It needs PostgreSQL's programs
and its Python driver; `missing` says what to install where one is not there.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.at_once import forks

HOST = "127.0.0.1"


def missing() -> str | None:
    """What is not installed here and how to install it; None where all is there."""
    if _initdb() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if find_spec("psycopg2") is None:
        return "psycopg2 is not installed: pip install -e '.[postgresql]'"
    return None


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL of its own; yields its address."""
    initdb = _initdb()
    assert initdb is not None, missing()
    with tempfile.TemporaryDirectory(prefix="vad-postgresql-") as folder:
        user = []
        if os.geteuid() == 0:  # which PostgreSQL refuses
            shutil.chown(folder, "postgres")
            user = ["runuser", "-u", "postgres", "--"]
        port, data = free_port(), f"{folder}/data"
        quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, "check": True}
        texts = ["--no-locale", "--encoding=UTF8"]  # whatever locale this machine names, installed or not
        subprocess.run([*user, initdb, "-D", data, "-U", "mlflow", "--auth=trust", *texts, "--no-sync"], **quiet)
        control = [*user, str(Path(initdb).with_name("pg_ctl")), "-D", data, "-w"]
        # No socket: its path would have to be short.
        options = f"-c listen_addresses={HOST} -c port={port} -c unix_socket_directories="
        subprocess.run([*control, "start", "-l", f"{folder}/log", "-o", options], **quiet)
        try:
            yield f"postgresql+psycopg2://mlflow@{HOST}:{port}/postgres"
        finally:
            subprocess.run([*control, "stop", "-m", "immediate"], **quiet)


class MlflowServer:
    """A running MLflow server: its address, an end to it without a farewell, and a pause."""

    def __init__(self, address: str, group: int, wait: Callable[[], object]):
        self.address = address
        self._group, self._wait = group, wait

    def kill(self) -> None:
        """End the server and its workers as a failing machine would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)
        self._wait()

    def hang(self, seconds: float) -> None:
        """Take connections and answer none for a while, as a machine does that is out of memory."""
        os.killpg(self._group, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.killpg(self._group, signal.SIGCONT)


@contextlib.contextmanager
def mlflow_server(database: str, artifacts: Path, port: int | None = None) -> Iterator[MlflowServer]:
    """An MLflow server through which artifacts go, on a port of its own if none is named; its log lies beside their folder."""
    artifacts = artifacts.resolve()
    port = port or free_port()
    address = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", database, "--serve-artifacts", "--artifacts-destination", str(artifacts)]
    # Jobs (for judges of language models) are processes of their own, and slow to start.
    given = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (artifacts.parent / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=artifacts.parent, env=given, start_new_session=True
        )
    server = MlflowServer(address, process.pid, process.wait)
    try:
        wait_for(lambda: process.poll() is not None or _answers(f"{address}/health"))
        if process.poll() is not None:
            sys.exit((artifacts.parent / "server.log").read_text())
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def forked_server(database: str, artifacts: Path, port: int) -> Iterator[MlflowServer]:
    """The worker of such a server, forked from a process that has imported what it needs before: it starts sooner."""
    address = f"http://{HOST}:{port}"
    process = forks().Process(target=_work, args=(database, artifacts, port))
    process.start()
    server = MlflowServer(address, process.pid or 0, process.join)
    try:
        wait_for(lambda: not process.is_alive() or _answers(f"{address}/health"))
        if not process.is_alive():
            sys.exit((artifacts.parent / "server.log").read_text())
        yield server
    finally:
        server.kill()


def _work(database: str, artifacts: Path, port: int) -> None:
    """What `mlflow server` starts."""
    os.setsid()
    with (artifacts.parent / "server.log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(artifacts.parent)
    given = {"FILE_STORE": database, "ARTIFACT_DESTINATION": str(artifacts), "ARTIFACT_ROOT": "mlflow-artifacts:/"}
    given |= {"SERVE_ARTIFACTS": "true"}
    os.environ.update({f"_MLFLOW_SERVER_{name}": value for name, value in given.items()})
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    import uvicorn

    uvicorn.run("mlflow.server.fastapi_app:app", host=HOST, port=port)


def wait_for(condition: Callable[[], bool], seconds: float = 600) -> None:
    """Wait until something is true; exits where it is not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit("it did not happen in time")
        time.sleep(0.3)


def _initdb() -> str | None:
    """PostgreSQL's newest `initdb`; Debian keeps it off the path."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return shutil.which("initdb", path=str(programs[-1])) if programs else shutil.which("initdb")


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
