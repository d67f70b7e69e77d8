"""The pictures of a run, drawn by matplotlib."""

from registry.pictures.bars import variant_bars
from registry.pictures.curves import loss_curves, precision_recall
from registry.pictures.frames import WorstFrame, worst_frames
from registry.pictures.overview import overview
from registry.pictures.timelines import timelines, worst_positions

__all__ = [
    "WorstFrame",
    "loss_curves",
    "overview",
    "precision_recall",
    "timelines",
    "variant_bars",
    "worst_frames",
    "worst_positions",
]
