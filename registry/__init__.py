"""The experiment registry: what a run is. Built on `vad`, which knows nothing of it.

cli -> upkeep, insight, journey -> runs -> models, engines, pictures -> store, data -> entries

MLflow's client is spoken to in `store` (runs), `models.versions` and `models.packaging` (registered models) and
`upkeep` alone; `models.pyfunc_model` is the code that MLflow loads to serve a model.
"""

import os

# MLflow reads them when it is imported, which may be anywhere below.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
