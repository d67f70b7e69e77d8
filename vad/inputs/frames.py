"""Inputs made of pixels alone: frames, their differences, clips, sequences."""

from typing import Annotated

import torch
from torch import Tensor

from vad.catalog import Count, Within
from vad.inputs.base import INPUTS, Batch, Input, Samples
from vad.inputs.shape import Positions, Shape, Window

# ITU-R BT.601, as OpenCV's RGB2GRAY has it.
_LUMA = (0.299, 0.587, 0.114)


def _scale(pixels: Tensor) -> Tensor:
    """Bytes to [-1, 1] as the reference does: x / 127.5 - 1."""
    return pixels.float().div_(127.5).sub_(1.0)


class FrameSamples(Samples):
    """Each frame is a sample. Bytes travel to the device; scaling to [-1, 1] happens there."""

    def batch(self, which: Positions) -> Batch:
        frames = _scale(self._take(self.scored[which, 0]).permute(0, 3, 1, 2))
        return Batch(frames, frames)

    def picture(self, values: Tensor) -> Tensor:
        return ((values + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


@INPUTS.register("rgb", version=1)
def rgb() -> Input:
    """Single colour frames in [-1, 1], (3, size, size)."""
    return Input(lambda view: Shape("frame", 3, view.height, view.width), FrameSamples, Window())


class DifferenceSamples(Samples):
    """A frame's grey values less those of the frame before it, without their sign."""

    def batch(self, which: Positions) -> Batch:
        grey = self._take(self.windows[which]).float() @ (torch.tensor(_LUMA, device=self._device) / 255)
        change = (grey[:, 1] - grey[:, 0]).abs_()[:, None]
        return Batch(change, change)

    def picture(self, values: Tensor) -> Tensor:
        return (values * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).expand(-1, -1, -1, 3)


@INPUTS.register("frame_difference", version=1)
def frame_difference(*, break_at_gaps: bool = False) -> Input:
    """|I_t - I_(t-1)| of grey frames in [0, 1], (1, size, size). The first frame of a video gets no score."""
    return Input(
        lambda view: Shape("frame", 1, view.height, view.width),
        DifferenceSamples,
        Window(2, 1, break_at_gaps=break_at_gaps),
    )


class ClipSamples(FrameSamples):
    """Windows of frames, compared with themselves."""

    def batch(self, which: Positions) -> Batch:
        clips = _scale(self._take(self.windows[which]).permute(0, 4, 1, 2, 3))
        return Batch(clips, clips)


@INPUTS.register("clip", version=1)
def clip(*, frames: Annotated[int, Within(low=2)] = 8, stride: Count = 1, break_at_gaps: bool = False) -> Input:
    """Clips of `frames` colour frames in [-1, 1], (3, frames, size, size).

    Training takes every `stride`-th clip, scoring every one; a frame's score is the largest that a clip
    gives it.
    """
    window = Window(frames, stride=stride, break_at_gaps=break_at_gaps)
    return Input(lambda view: Shape("clip", 3, view.height, view.width, frames), ClipSamples, window)


class SequenceSamples(FrameSamples):
    """Windows of frames and the frame that comes next, which is to be predicted."""

    def batch(self, which: Positions) -> Batch:
        past = _scale(self._take(self.windows[which][:, :-1]).permute(0, 1, 4, 2, 3))
        return Batch(past, super().batch(which).target)


@INPUTS.register("sequence", version=1)
def sequence(*, frames: Count = 8, break_at_gaps: bool = False) -> Input:
    """`frames` colour frames in [-1, 1], (frames, 3, size, size), and the next one, which gets the score.

    The first `frames` frames of a video get none.
    """
    window = Window(frames + 1, frames, break_at_gaps=break_at_gaps)
    return Input(lambda view: Shape("sequence", 3, view.height, view.width, frames), SequenceSamples, window)
