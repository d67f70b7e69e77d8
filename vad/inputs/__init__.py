"""What a network sees: stored frames as batches of samples, filed under the name that entries use.

A sample is a frame, a clip or a sequence; it scores one frame or several. What looks at more than one
frame looks at consecutive frames of one video, never across two.
"""

from vad.inputs.base import INPUTS, Batch, Input, Positions, Samples, fold_frames
from vad.inputs.flow import optical_flow
from vad.inputs.frames import clip, frame_difference, rgb, sequence
from vad.inputs.windows import windows

__all__ = [
    "INPUTS",
    "Batch",
    "Input",
    "Positions",
    "Samples",
    "clip",
    "fold_frames",
    "frame_difference",
    "optical_flow",
    "rgb",
    "sequence",
    "windows",
]
