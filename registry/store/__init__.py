"""The tracking store: runs in MLflow, its UI, its upkeep."""
