"""The pictures of a run, drawn by matplotlib."""

from registry.pictures.frames import WorstFrame, overview, timelines, worst_frames, worst_positions
from registry.pictures.plots import loss_curves, precision_recall, variant_bars

__all__ = ["WorstFrame", "loss_curves", "overview", "precision_recall", "timelines", "variant_bars", "worst_frames", "worst_positions"]  # fmt: skip
