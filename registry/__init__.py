"""The experiment registry: what a run is. Entries, the executor, tracking, the registered model, the command line.

Built on `vad`, which knows nothing of it. MLflow's client is spoken to in `tracking` (runs) and
`versions` (registered models) alone; `pyfunc_model` is the code that MLflow loads to serve a model.
"""
