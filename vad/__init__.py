"""Video anomaly detection: frames, networks, training, scores, fusion and metrics.

A library of plain functions over arrays and modules. It knows nothing of runs, entries or
command lines; the `registry` package builds those on top of it. Data goes one way:

    files -> FrameSet -> uint8 frames -> trained network -> frame scores -> steps -> fused scores -> AP
"""
