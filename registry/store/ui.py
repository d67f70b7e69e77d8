"""MLflow's own UI, on this machine alone."""

import os
import socket
import sys

import click

from registry.store.tracking import Tracking
from vad.errors import InputError

_HOST = "127.0.0.1"


def serve(port: int | None) -> None:
    """Replace this process by MLflow's UI on a free port. Raises InputError where the asked port is taken."""
    tracking = Tracking()
    if tracking.uri.startswith("http"):
        click.echo(f"The runs are on a server that has a UI of its own: {tracking.uri}")
        return
    if port is not None and not _free(port):
        raise InputError(f"port {port} is taken; leave --port out to have a free one found")
    chosen = port or next((p for p in range(5000, 5100) if _free(p)), 0)
    if not chosen:
        raise InputError("no port from 5000 to 5099 is free; name one with --port")
    click.echo(f"MLflow UI: http://{_HOST}:{chosen}  (Ctrl-C stops it)")
    sys.stdout.flush()
    program = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(chosen), "--workers", "1"]
    os.execv(sys.executable, [*program, "--backend-store-uri", tracking.uri])


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True
