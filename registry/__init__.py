"""The experiment registry: what a run is. Built on `vad`, which knows nothing of it.

cli -> upkeep, insight, journey -> runs -> models, engines, pictures -> store, data -> entries

MLflow's client is spoken to in `store.tracking` (runs) and `models.versions` (registered models) alone;
`models.pyfunc_model` is the code that MLflow loads to serve a model.
"""
