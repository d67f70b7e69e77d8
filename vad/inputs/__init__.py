"""What a network sees: stored frames as batches of samples, filed under the name that entries use.

A sample is a frame, a clip or a sequence; it scores one frame or several. What looks at more than one
frame looks at consecutive frames of one video, never across two.
"""

from vad.inputs import cells, flow, frames, frozen_features, motion_cells  # noqa: F401
from vad.inputs.base import INPUTS, Batch, Input, Samples, fold_frames
from vad.inputs.shape import Positions, Shape, Window, windows

__all__ = ["INPUTS", "Batch", "Input", "Positions", "Samples", "Shape", "Window", "fold_frames", "windows"]
