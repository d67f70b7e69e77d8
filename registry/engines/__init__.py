"""Where members are trained: in this process, or as tasks of a Ray cluster. An engine knows nothing of runs."""
