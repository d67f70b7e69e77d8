"""A registered model behind MLflow's scoring server, on this machine alone."""

import gc
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow.models.flavor_backend_registry import get_flavor_backend

from registry.models.versions import Version, Versions
from registry.store.tracking import Tracking
from vad.errors import InputError

HOST = "127.0.0.1"
_PORTS = range(5001, 5101)
# Seconds that requests which are being answered get to end in; what the whole may take is five.
_GRACE = 2.0


def serve(model: str, port: int | None, home: Path, say: Callable[[str], object]) -> None:
    """Serve a registered model until this process or the server is stopped; `say` is told where once it answers.

    Raises InputError for a model that is not there, a port that is taken, or a model that cannot be loaded.
    """
    tracking = Tracking()
    versions = Versions(tracking)
    version = versions.resolve(model)
    if not versions.whole(version):
        raise InputError(f"{version.uri} has lost its files; run {version.tags.get('vad.entry', 'its entry')} again")
    chosen = _free_port(port)
    log = home / "serving" / f"{chosen}.log"
    with _server(version, chosen, tracking.uri, log) as process:
        while not _answers(chosen):
            if process.poll() is not None:
                raise InputError(f"{version.uri} cannot be served: {_last_line(log)}; more in {log}")
            time.sleep(0.05)
        made = f"{version.tags.get('vad.variant', '?')} of {version.tags.get('vad.entry', '?')}"
        say(
            f"model version {version.number} ({made}): http://{HOST}:{chosen}/invocations  (Ctrl-C stops it; log: {log})"
        )
        status = process.wait()
    if status:
        raise RuntimeError(f"the server ended by itself with status {status}: {_last_line(log)}; more in {log}")


@contextmanager
def _server(version: Version, port: int, uri: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """What `mlflow models serve --env-manager local` starts, with its output in a file; it ends with the block.

    It has a copy of the model: a store on another machine is asked once, and what changes in one does not reach the server.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # MLflow calls uvicorn by name, and an environment need not be activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ.update(PATH=path, MLFLOW_TRACKING_URI=uri)
    gc.freeze()  # or the end of this process would look through all that it imported, for seconds on a busy machine
    with tempfile.TemporaryDirectory(prefix="vad-serve-") as folder, log.open("wb") as output:
        fetched = mlflow.artifacts.download_artifacts(artifact_uri=version.uri, dst_path=folder)
        backend: Any = get_flavor_backend(fetched, env_manager="local")
        process = backend.serve(fetched, port, HOST, None, synchronous=False, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            process.kill()
            process.wait()


def _free_port(asked: int | None) -> int:
    for port in [asked] if asked else _PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    if asked:
        raise InputError(f"port {asked} is taken; leave --port out to have a free one found")
    raise InputError(f"no port from {_PORTS[0]} to {_PORTS[-1]} is free; name one with --port")


def _answers(port: int) -> bool:
    """Whether the server has loaded its model; past any proxy that the environment names."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
