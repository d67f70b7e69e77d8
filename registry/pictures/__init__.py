"""The pictures of a run, drawn by matplotlib."""

from registry.pictures.bars import variant_bars as variant_bars
from registry.pictures.curves import loss_curves as loss_curves
from registry.pictures.curves import precision_recall as precision_recall
from registry.pictures.frames import WorstFrame as WorstFrame
from registry.pictures.frames import worst_frames as worst_frames
from registry.pictures.timelines import overview as overview
from registry.pictures.timelines import timelines as timelines
from registry.pictures.timelines import worst_positions as worst_positions
