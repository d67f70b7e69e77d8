"""A registered model behind MLflow's scoring server, on this machine alone."""

import gc
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from registry.models.versions import Versions
from registry.servers import HOST, free_port, serving
from registry.store.mlflow_private import scoring_server
from registry.store.tracking import Tracking

_PORTS = range(5001, 5101)
_REQUEST_SECONDS = 3600  # MLflow's default answers 504 after 60 s, though the model is still scoring


def serve(model: str, port: int | None, home: Path, say: Callable[[str], object]) -> None:
    """Serve a registered model until this process is stopped. Raises InputError for a model or port that cannot be used."""
    tracking = Tracking()
    versions = Versions(tracking)
    version = versions.resolve(model)
    chosen = free_port(port, _PORTS)
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

        with serving(start, f"{address}/ping", log, f"{version.uri} cannot be served", say):
            what = f"model version {version.number} ({variant} of {entry}, made on {data})"
            say(f"{what}: {address}/invocations  (Ctrl-C stops it; log: {log})")
