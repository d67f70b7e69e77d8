"""Optical flow as input: how far each pixel moved since the frame before."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vad.data.frame_index import FrameIndex
from vad.frames.store import Frames
from vad.inputs.base import INPUTS, ComputedSamples, Input
from vad.inputs.shape import Shape, Window, runs

# Pixels at which flow is cut off; it becomes 1.
REACH = 20.0
# Raise this when a change to the code makes other flow of the same frames.
FLOW_CODE = 1

Flow = NDArray[np.float32]


def farneback(before: Frames, after: Frames) -> Flow:
    """Dense flow from one RGB frame (H, W, 3) to the next, float32 of shape (H, W, 2) in [-1, 1]: dx and dy over 20 pixels.

    Farnebäck's polynomial expansion (2003) by OpenCV on grey bytes, with the reference's parameters.
    """
    first, second = (cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in (before, after))
    empty: NDArray[np.float32] = None  # type: ignore[assignment]  # OpenCV's stubs do not know that none may be given
    flow = cv2.calcOpticalFlowFarneback(first, second, empty, 0.5, 3, 15, 3, 5, 1.2, 0)
    return np.asarray(flow.clip(-REACH, REACH) / REACH, np.float32)


class FlowSamples(ComputedSamples):
    """Flow from the frame before to each frame; the first frame of a run has none, which is zero."""

    def __init__(self, frames: Frames, index: FrameIndex, device: torch.device, window: Window, training: bool):
        super().__init__(frames, index, device, window, training)
        self._before = np.full(len(index), -1)
        for run in runs(index, window.break_at_gaps):
            self._before[run[1:]] = run[:-1]
        self.label = f"flow{FLOW_CODE}-{'gaps' if window.break_at_gaps else 'joined'}"
        self.sides = (*frames.shape[1:3], 2)

    def compute(self, sample: int) -> Flow:
        position = self.windows[sample, 0]
        if (before := self._before[position]) < 0:
            return np.zeros(self.sides, np.float32)
        return farneback(self.frames[before], self.frames[position])

    def picture(self, values: Tensor) -> Tensor:
        """Direction as hue, distance as brightness."""
        pictures = []
        for dx, dy in values.float().cpu().numpy():
            distance, angle = cv2.cartToPolar(np.ascontiguousarray(dx), np.ascontiguousarray(dy), angleInDegrees=True)
            most = max(float(distance.max()), 1e-6)
            hsv = np.stack([angle / 2, np.full_like(dx, 255), distance / most * 255], -1).astype(np.uint8)
            pictures.append(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
        return torch.from_numpy(np.stack(pictures))


@INPUTS.register("optical_flow", version=1)
def optical_flow(*, break_at_gaps: bool = False) -> Input:
    """Flow from the frame before (dx, dy) in [-1, 1], (2, size, size); zero for the first frame of a video."""
    return Input(
        lambda view: Shape("frame", 2, view.height, view.width), FlowSamples, Window(break_at_gaps=break_at_gaps)
    )
