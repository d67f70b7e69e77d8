"""The experiment registry: what a run is. Built on `vad`, which knows nothing of it.

cli -> maintenance, analysis, journey -> runs -> models, engines, pictures -> store, data -> entries

MLflow is imported in `store` alone, and where a model is packaged, loaded and served (`models.packaging`, `models.worker`,
`models.pyfunc_model`); `store.mlflow_private` has what MLflow does not promise.
"""

import os
from pathlib import Path

# MLflow reads them when it is imported, which may be anywhere below.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
try:
    Path.home()
except RuntimeError:  # a container under a user that no list knows; MLflow and others cannot be imported without one
    os.environ["HOME"] = "/nonexistent"
