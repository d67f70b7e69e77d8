"""What a process that is the command `vad` sets for the libraries that it will import; not for a program that calls it."""

import logging
import os
from pathlib import Path


def settle(home: Path) -> None:
    """Let MLflow leave waiting and telling to us, and let caches that want a home have one; `home` is VAD_HOME."""
    # It would wait and repeat on its own: minutes, without a word, and not knowing what it made already.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # it raises what it would print, with a traceback
    if not os.access(Path.home(), os.W_OK):
        os.environ.setdefault("MPLCONFIGDIR", str(home.resolve() / "matplotlib"))
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(home.resolve() / "torch"))
