"""A registered model behind MLflow's scoring server, on this machine alone."""

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.models.versions import Version, Versions
from registry.servers import HOST, ending, free_port, last_line, until_stopped, wait_until_ready
from registry.store.mlflow_private import scoring_server
from registry.store.tracking import Tracking

_PORTS = range(5001, 5101)
_PATIENCE = 3600  # seconds that a request may take


def serve(model: str, port: int | None, home: Path, say: Callable[[str], object]) -> None:
    """Serve a registered model until this process or the server is stopped; `say` is told where once it answers.

    Raises InputError for a model that is not there, a port that is taken, or a model that cannot be loaded.
    """
    tracking = Tracking()
    versions = Versions(tracking)
    version = versions.resolve(model)
    chosen = free_port(port, _PORTS)
    log = home / "serving" / f"{chosen}.log"
    with until_stopped(say), _server(versions, version, chosen, tracking.uri, log) as process:
        wait_until_ready(process, chosen, "/ping", f"{version.uri} cannot be served", log)
        variant, entry, data = (version.tags.get(f"vad.{key}", "?") for key in ("variant", "entry", "data_name"))
        say(
            f"model version {version.number} ({variant} of {entry}, made on {data}): http://{HOST}:{chosen}/invocations  (Ctrl-C stops it; log: {log})"
        )
        status = process.wait()
        raise RuntimeError(f"the server ended by itself with status {status}: {last_line(log)}; more in {log}")


@contextmanager
def _server(versions: Versions, version: Version, port: int, uri: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """What `mlflow models serve --env-manager local` starts, with its output in a file; it ends with the block.

    It has a copy of the model: a store on another machine is asked once, and what changes in one does not reach the server.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # MLflow calls uvicorn by name, and an environment need not be activated.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    os.environ.update(PATH=path, MLFLOW_TRACKING_URI=uri)
    # MLflow's default: it answers 504 after 60 s, though the model is still scoring.
    os.environ.setdefault("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", str(_PATIENCE))
    gc.freeze()  # or the end of this process would look through all that it imported, for seconds on a busy machine
    with tempfile.TemporaryDirectory(prefix="vad-serve-") as folder, log.open("wb") as output:
        fetched = str(versions.fetch(version, Path(folder)))
        process = scoring_server(fetched, port, HOST, output)
        with ending(process):
            yield process
