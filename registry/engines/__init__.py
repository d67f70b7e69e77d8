"""Where members are trained: in this process one after the other, or as tasks of a Ray cluster.

An engine trains and knows nothing of runs. This process alone speaks to MLflow and to the screen.
"""
