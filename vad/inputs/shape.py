"""The shape of a sample."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["frame", "clip", "sequence"]


@dataclass(frozen=True)
class Shape:
    """The shape of the samples that an input makes and a network takes: a batch of

    frames (B, channels, size, size), clips (B, channels, frames, size, size) or
    sequences (B, frames, channels, size, size) whose next frame is asked for.
    """

    kind: Kind
    channels: int
    size: int
    frames: int = 1

    @property
    def sides(self) -> tuple[int, ...]:
        """The shape of one sample, without the batch."""
        frame = (self.channels, self.size, self.size)
        return {"frame": frame, "clip": (self.channels, self.frames, *frame[1:]), "sequence": (self.frames, *frame)}[
            self.kind
        ]
