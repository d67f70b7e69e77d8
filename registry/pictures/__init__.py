"""The pictures of a run, drawn by matplotlib."""

from registry.pictures.figures import loss_curves as loss_curves
from registry.pictures.figures import precision_recall as precision_recall
from registry.pictures.figures import variant_bars as variant_bars
from registry.pictures.frames import WorstFrame as WorstFrame
from registry.pictures.frames import overview as overview
from registry.pictures.frames import timelines as timelines
from registry.pictures.frames import worst_frames as worst_frames
from registry.pictures.frames import worst_positions as worst_positions
